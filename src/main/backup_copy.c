/* A backup is made under a name that says that it is not whole.
 *
 * Invariants
 * 1. Nothing that is in an older backup is ever written: what both have gets a second name, all else a new file.
 * 2. Bodies are named last, under `.new` until their last byte, so what a killed backup left is taken over by the next
 *    one by its name and length, and compared as if it were new; one that a power cut has damaged is copied again.
 * 3. Of the journal just the bytes in front of the place are copied; behind them are zeros, as in a new segment.
 * 4. Everything new is read back from the copy before the tree gets its name: bodies against the checksums they carry,
 *    the rest against what was read.
 * 5. The lake's files are read and given second names, never written.
 * 6. A segment is shared with the backup before if the journal in front of that one's place is ours: a lake that was
 *    restored from an older backup writes other records into segments of the same names. */
#include "main/backup.h"

#include "format/checksum.h"
#include "main/lake.h"
#include "main/render.h"
#include "store/store_keep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE_BYTES = 1024 * 1024, FAN_OUT = 256, HEADER_BYTES = 4096 };

static const int64_t UPLOAD_US = (int64_t)3600 * 1000000; /* a body that nobody touched for so long is no upload */

static const char *to_of(Backup *b, Arena *tmp, Str path)
{
    return backup_path(tmp, "%s/data/" STR_FMT, b->tree, STR_ARG(path));
}

static const char *from_of(Backup *b, Arena *tmp, Str path)
{
    return backup_path(tmp, "%s/" STR_FMT, b->from, STR_ARG(path));
}

static const char *before_of(Backup *b, Arena *tmp, Str path)
{
    return backup_path(tmp, "%s/" STR_FMT "/data/" STR_FMT, b->dir, STR_ARG(b->before.name), STR_ARG(path));
}

static Code absent_make(const char *path, Err *err)
{
    Code code = os_unlink(os_real(), path, err);
    return code == E_NOT_FOUND ? E_OK : code;
}

static Code held(Backup *b, Err *err)
{
    int64_t now_us = os_monotonic_us(os_real());
    if (!b->renew || now_us < b->next_renew_us)
        return E_OK;
    b->next_renew_us = now_us + BACKUP_RENEW_US;
    return b->renew(b->arg, err);
}

static Code stepped(void *arg, uint64_t bytes, Err *err)
{
    Backup *b = arg;
    b->done += bytes;
    render_progress("copied", b->total ? (double)b->done / (double)b->total : 0, "");
    return held(b, err);
}

static void listed(Backup *b, Str path, uint64_t size, uint32_t crc, bool fresh)
{
    BackupFile file = { .path = str_copy(&b->list.arena, path), .size = size, .crc = crc, .fresh = fresh };
    vec_push(&b->list.files, file);
    if (fresh)
        b->head.new_bytes += size;
    else
        b->linked += size;
}

/* `len` bytes of `from`, zeros up to `size`, as they are read; their checksum is the list's. */
static Code bytes_copy(Backup *b, Str path, const char *from, uint64_t len, uint64_t size, Err *err)
{
    AUTO(os_file_close) OsFile *in = NULL;
    AUTO(os_file_close) OsFile *out = NULL;
    Arena tmp AUTO(arena_done) = { 0 };
    Buf bytes AUTO(buf_done);
    uint32_t crc = 0;
    const char *to = to_of(b, &tmp, path);
    buf_init(&bytes, PIECE_BYTES);
    buf_put_zeros(&bytes, PIECE_BYTES);
    TRY(absent_make(to, err));
    TRY(os_file_open(os_real(), from, OS_READ, &in, err));
    TRY(os_file_open(os_real(), to, OS_WRITE | OS_CREATE | OS_EXCLUSIVE, &out, err));
    for (uint64_t at = 0; at < len;) {
        size_t got, wanted = (size_t)MIN(len - at, (uint64_t)PIECE_BYTES);
        TRY(os_file_pread(in, bytes.ptr, wanted, at, &got, err));
        if (got != wanted)
            return err_set(err, E_CORRUPT, "%s ends before its %llu bytes", from, (unsigned long long)len);
        TRY(os_file_pwrite(out, str_of(bytes.ptr, got), at, err));
        crc = crc32c(crc, str_of(bytes.ptr, got));
        at += got;
        TRY(stepped(b, got, err));
    }
    memset(bytes.ptr, 0, PIECE_BYTES);
    for (uint64_t at = len; at < size; at += MIN(size - at, (uint64_t)PIECE_BYTES))
        crc = crc32c(crc, str_of(bytes.ptr, (size_t)MIN(size - at, (uint64_t)PIECE_BYTES)));
    if (size > len)
        TRY(os_file_truncate(out, size, err));
    listed(b, path, size, crc, true);
    return E_OK;
}

/* ---- the journal ---- */

static Str segment_name(Backup *b, uint64_t id)
{
    return str_format(&b->list.arena, "store/journal/%016llx.seg", (unsigned long long)id);
}

static bool heads_same(const char *a, const char *b)
{
    static char one[HEADER_BYTES], two[HEADER_BYTES];
    AUTO(os_file_close) OsFile *file_a = NULL;
    AUTO(os_file_close) OsFile *file_b = NULL;
    size_t len_a = 0, len_b = 0;
    return os_file_open(os_real(), a, OS_READ, &file_a, NULL) == E_OK &&
           os_file_open(os_real(), b, OS_READ, &file_b, NULL) == E_OK &&
           os_file_pread(file_a, one, sizeof one, 0, &len_a, NULL) == E_OK &&
           os_file_pread(file_b, two, sizeof two, 0, &len_b, NULL) == E_OK && len_a == sizeof one &&
           len_b == sizeof two && memcmp(one, two, sizeof one) == 0;
}

static bool piece_same(OsFile *one, OsFile *two, Buf *bytes, size_t len, uint64_t at)
{
    size_t got_one = 0, got_two = 0;
    char *half = bytes->ptr + PIECE_BYTES;
    return os_file_pread(one, bytes->ptr, len, at, &got_one, NULL) == E_OK &&
           os_file_pread(two, half, len, at, &got_two, NULL) == E_OK && got_one == len && got_two == len &&
           memcmp(bytes->ptr, half, len) == 0;
}

/* The first `len` bytes of a segment, here and in the backup before. */
static Code segment_same(Backup *b, uint64_t id, uint64_t len, bool *ret_same, Err *err)
{
    AUTO(os_file_close) OsFile *ours = NULL;
    AUTO(os_file_close) OsFile *theirs = NULL;
    Arena tmp AUTO(arena_done) = { 0 };
    Buf bytes AUTO(buf_done);
    Str path = segment_name(b, id);
    buf_init(&bytes, 2 * PIECE_BYTES);
    buf_put_zeros(&bytes, 2 * PIECE_BYTES);
    *ret_same = os_file_open(os_real(), from_of(b, &tmp, path), OS_READ, &ours, NULL) == E_OK &&
                os_file_open(os_real(), before_of(b, &tmp, path), OS_READ, &theirs, NULL) == E_OK;
    for (uint64_t at = 0; *ret_same && at < len; at += PIECE_BYTES) {
        *ret_same = piece_same(ours, theirs, &bytes, (size_t)MIN(len - at, (uint64_t)PIECE_BYTES), at);
        TRY(held(b, err));
    }
    return E_OK;
}

/* Two lakes that went different ways have different records (times, checksums) from there on: the last bytes of the
 * backup before and the segment in front of them tell for all segments that are older. */
static Code journal_look(Backup *b, Err *err)
{
    uint64_t size = b->before.segment_bytes, end = b->before.end;
    b->same_journal = b->before.name.len && end && size == b->head.segment_bytes;
    if (!b->same_journal)
        return E_OK;
    uint64_t last = (end - 1) / size;
    TRY(segment_same(b, last, end - last * size, &b->same_journal, err));
    if (b->same_journal && last > b->before.begin / size && last > b->head.begin / size)
        TRY(segment_same(b, last - 1, size, &b->same_journal, err));
    return E_OK;
}

/* A segment that was full when the backup before was made is the same still. */
static const BackupFile *segment_before(Backup *b, Arena *tmp, uint64_t id, Str path)
{
    if (!b->same_journal || b->before.end < (id + 1) * b->head.segment_bytes)
        return NULL;
    const BackupFile *before = backup_list_get(&b->before_list, path);
    return before && heads_same(from_of(b, tmp, path), before_of(b, tmp, path)) ? before : NULL;
}

/* A second name of what the backup before has; false: it has it no more, or it was cut off. */
static bool shared(Backup *b, Arena *tmp, const BackupFile *before, const char *to)
{
    OsStat stat;
    if (os_link(before_of(b, tmp, before->path), to, NULL) != E_OK)
        return false;
    if (os_stat(os_real(), to, &stat, NULL) == E_OK && stat.size_bytes == before->size)
        return true;
    IGNORE(os_unlink(os_real(), to, NULL)); /* whoever makes it removes it before */
    return false;
}

static Code segment_take(Backup *b, uint64_t id, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Str path = segment_name(b, id);
    uint64_t size = b->head.segment_bytes;
    const BackupFile *before = segment_before(b, &tmp, id, path);
    const char *to = to_of(b, &tmp, path);
    TRY(absent_make(to, err));
    if (before && shared(b, &tmp, before, to)) {
        listed(b, path, before->size, before->crc, false);
        return stepped(b, 0, err);
    }
    return bytes_copy(b, path, from_of(b, &tmp, path), MIN(size, b->head.end - id * size), size, err);
}

static Code journal_take(Backup *b, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    uint64_t size = b->head.segment_bytes;
    const char *dir = to_of(b, &tmp, STR("store/journal"));
    OsStat stat;
    if (os_stat(os_real(), dir, &stat, NULL) == E_OK)
        TRY(backup_remove(dir, err)); /* of another place */
    TRY(lake_dirs_make(dir, err));
    TRY(journal_look(b, err));
    for (uint64_t id = b->head.begin / size; id <= (b->head.end - 1) / size; id++)
        TRY(segment_take(b, id, err));
    return E_OK;
}

/* ---- bodies ---- */

static Code body_copy(Backup *b, Arena *tmp, Str path, uint64_t size, Err *err)
{
    const char *to = to_of(b, tmp, path), *part = backup_path(tmp, "%s.new", to);
    CopyWay way;
    OsStat there;
    if (os_stat(os_real(), to, &there, NULL) == E_OK && there.size_bytes == size) { /* of a killed one */
        listed(b, path, size, 0, true);
        vec_last(&b->list.files)->found = true;
        return stepped(b, size, err);
    }
    TRY(absent_make(to, err));
    TRY(absent_make(part, err));
    Code code = os_copy(from_of(b, tmp, path), part, true, stepped, b, &way, err);
    if (code == E_NOT_FOUND)
        return E_OK; /* an upload that was given up */
    TRY(code);
    TRY(os_rename(os_real(), part, to, err));
    listed(b, path, size, 0, true);
    return E_OK;
}

static void damage_tell(Backup *b, Str path, uint64_t size, uint64_t found)
{
    render_progress_end();
    fprintf(stderr, "damaged in the lake: " STR_FMT " has %llu bytes, not %llu: taken from " STR_FMT "\n",
            STR_ARG(path), (unsigned long long)found, (unsigned long long)size, STR_ARG(b->before.name));
}

static Code body_take(Backup *b, Str path, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    OsStat stat;
    Code code = os_stat(os_real(), from_of(b, &tmp, path), &stat, err);
    if (code == E_NOT_FOUND)
        return E_OK;
    TRY(code);
    const BackupFile *before = backup_list_get(&b->before_list, path);
    if (before && shared(b, &tmp, before, to_of(b, &tmp, path))) { /* bodies never change: another length is damage */
        if (before->size != stat.size_bytes)
            damage_tell(b, path, before->size, stat.size_bytes);
        listed(b, path, before->size, before->crc, false);
        return stepped(b, 0, err);
    }
    return body_copy(b, &tmp, path, stat.size_bytes, err);
}

/* What a killed backup left and the lake does not have any more. Both are sorted. */
static Code strangers_remove(const char *dir, const OsDirEntry *known, size_t known_count, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    OsDirEntry *entries;
    size_t count, k = 0;
    TRY(os_dir_list(os_real(), dir, &tmp, &entries, &count, err));
    for (size_t i = 0; i < count; i++) {
        while (k < known_count && str_cmp(known[k].name, entries[i].name) < 0)
            k++;
        if (k == known_count || !str_eq(known[k].name, entries[i].name))
            TRY(os_unlink(os_real(), backup_path(&tmp, "%s/" STR_FMT, dir, STR_ARG(entries[i].name)), err));
    }
    return E_OK;
}

static Code bodies_take(Backup *b, Err *err)
{
    for (unsigned number = 0; number < FAN_OUT; number++) {
        Arena tmp AUTO(arena_done) = { 0 };
        OsDirEntry *entries;
        size_t count;
        Str dir = str_format(&tmp, "store/objects/%02x", number);
        TRY(os_dir_list(os_real(), from_of(b, &tmp, dir), &tmp, &entries, &count, err));
        const char *to = to_of(b, &tmp, dir);
        TRY(lake_dirs_make(to, err));
        TRY(strangers_remove(to, entries, count, err));
        for (size_t i = 0; i < count; i++)
            TRY(body_take(b, str_format(&tmp, STR_FMT "/" STR_FMT, STR_ARG(dir), STR_ARG(entries[i].name)), err));
    }
    return E_OK;
}

/* ---- the rest ---- */

/* The plain files of one directory, or one file; what is not there is not needed. */
static Code small_take(Backup *b, Str path, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    OsStat stat;
    OsDirEntry *entries;
    size_t count;
    const char *from = from_of(b, &tmp, path);
    Code code = os_stat(os_real(), from, &stat, err);
    if (code == E_NOT_FOUND)
        return E_OK;
    TRY(code);
    if (str_find_char(path, '\n') >= 0)
        return err_hint(err, err_set(err, E_INVALID, "the name of %s has a line's end in it", from), "rename the file");
    if (!stat.is_dir)
        return bytes_copy(b, path, from, stat.size_bytes, stat.size_bytes, err);
    TRY(lake_dirs_make(to_of(b, &tmp, path), err));
    TRY(os_dir_list(os_real(), from, &tmp, &entries, &count, err));
    for (size_t i = 0; i < count; i++)
        TRY(small_take(b, str_format(&tmp, STR_FMT "/" STR_FMT, STR_ARG(path), STR_ARG(entries[i].name)), err));
    return E_OK;
}

static Code metadata_take(Backup *b, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    OsStat stat;
    TRY(lake_dirs_make(to_of(b, &tmp, STR("meta")), err));
    TRY(os_stat(os_real(), b->metadata, &stat, err));
    return bytes_copy(b, STR("meta/tarn.db"), b->metadata, stat.size_bytes, stat.size_bytes, err);
}

Code backup_copy(Backup *b, Err *err)
{
    static const char *const secret[] = { "keys", "tls" };
    b->tree = backup_path(b->arena, "%s/" STR_FMT ".part", b->dir, STR_ARG(b->head.name));
    for (size_t i = 0; i < ARRAY_LEN(secret); i++) { /* a killed one may have had them */
        const char *left = backup_path(b->arena, "%s/data/%s", b->tree, secret[i]);
        OsStat stat;
        if (os_stat(os_real(), left, &stat, NULL) == E_OK)
            TRY(backup_remove(left, err));
    }
    TRY(lake_dirs_make(backup_path(b->arena, "%s/data", b->tree), err));
    TRY(metadata_take(b, err));
    TRY(journal_take(b, err));
    TRY(bodies_take(b, err));
    TRY(small_take(b, STR("FORMAT"), err));
    TRY(small_take(b, STR("tarn.yaml"), err));
    TRY(small_take(b, STR("clock"), err));
    for (size_t i = 0; b->keys && i < ARRAY_LEN(secret); i++)
        TRY(small_take(b, str_z(secret[i]), err));
    b->head.keys = b->keys;
    render_progress_end();
    return E_OK;
}

/* ---- reading back ---- */

static bool is_body(Str path)
{
    return str_starts(path, STR("store/objects/"));
}

/* What is read next comes from the disk, as far as it was written there. */
static void memory_leave(const char *path)
{
    AUTO(os_file_close) OsFile *file = NULL;
    if (os_file_open(os_real(), path, OS_READ, &file, NULL) == E_OK)
        os_file_cool(file);
}

static Code body_check(const char *path, Str body, bool *ret_whole, uint32_t *ret_crc, Err *err)
{
    return store_file_check(os_real(), path, str_from(body, (size_t)str_rfind_char(body, '/') + 1), ret_whole, ret_crc,
                            err);
}

/* The lake has it whole, the copy is not: once more. */
static Code body_again(Backup *b, BackupFile *file, Arena *tmp, bool *ret_whole, Err *err)
{
    const char *to = to_of(b, tmp, file->path);
    CopyWay way;
    TRY(os_copy(from_of(b, tmp, file->path), to, true, NULL, NULL, &way, err));
    TRY(os_filesystem_sync(b->dir, err));
    memory_leave(to);
    return body_check(to, file->path, ret_whole, &file->crc, err);
}

/* A copy that is not whole, and is gone: `*ret_stays` true: it was made again. */
static Code body_judge(Backup *b, BackupFile *file, Code copy, Arena *tmp, bool *ret_stays, Err *err)
{
    bool whole = false;
    uint32_t crc;
    OsStat stat;
    const char *from = from_of(b, tmp, file->path);
    bool there = os_stat(os_real(), from, &stat, NULL) == E_OK;
    Code code = there ? body_check(from, file->path, &whole, &crc, err) : E_NOT_FOUND;
    if (code == E_NOT_FOUND) { /* also when it went just now */
        there = false;
        code = E_OK;
    } else if (code == E_OK && whole) {
        TRY(body_again(b, file, tmp, ret_stays, err));
        return *ret_stays ? E_OK : err_set(err, E_CORRUPT, "the copy of " STR_FMT " has no end", STR_ARG(file->path));
    }
    if (!there && file->found)
        return err_hint(err, err_set(err, E_CORRUPT, "what was left of " STR_FMT " by a backup before was damaged",
                                     STR_ARG(file->path)), "start the backup again: it goes on without it");
    b->head.new_bytes -= file->size;
    if (copy == E_OK && code == E_OK && (!there || stat.modified_us > b->head.made_us - UPLOAD_US) &&
        !backup_list_get(&b->before_list, file->path)) {
        b->unfinished++; /* an upload, or one that was given up */
        return E_OK;
    }
    b->head.left_out++;
    render_progress_end();
    fprintf(stderr, "damaged in the lake already%s: " STR_FMT ": %s\n", there ? "" : ", or deleted by now",
            STR_ARG(file->path), code == E_OK && copy == E_OK ? "its end is damaged" : err->text);
    return E_OK;
}

/* `*ret_stays` false: it is not of the backup. */
static Code body_verify(Backup *b, BackupFile *file, Arena *tmp, bool *ret_stays, Err *err)
{
    OsStat stat;
    const char *to = to_of(b, tmp, file->path);
    memory_leave(to);
    *ret_stays = false;
    Code code = body_check(to, file->path, ret_stays, &file->crc, err);
    if (code != E_OK && code != E_CORRUPT)
        return code;
    if (code != E_OK || !*ret_stays) {
        *ret_stays = false;
        TRY(os_unlink(os_real(), to, err));
        TRY(body_judge(b, file, code, tmp, ret_stays, err));
    }
    if (!*ret_stays)
        return E_OK;
    TRY(os_stat(os_real(), to, &stat, err));
    file->size = stat.size_bytes;
    return E_OK;
}

static Code small_verify(Backup *b, const BackupFile *file, Arena *tmp, Err *err)
{
    uint32_t crc;
    uint64_t size;
    const char *to = to_of(b, tmp, file->path);
    memory_leave(to);
    TRY(backup_crc(to, &crc, &size, err));
    if (crc == file->crc && size == file->size)
        return E_OK;
    return err_hint(err, err_set(err, E_CORRUPT, "the copy of " STR_FMT " is not what was read", STR_ARG(file->path)),
                    "the disk of the backup is not well: use another one");
}

static Code verify(Backup *b, Err *err)
{
    size_t kept = 0;
    uint64_t done = 0;
    for (size_t i = 0; i < b->list.files.len; i++) {
        Arena tmp AUTO(arena_done) = { 0 };
        BackupFile *file = &b->list.files.items[i];
        bool stays = true;
        uint64_t size = file->size;
        if (file->fresh && is_body(file->path))
            TRY(body_verify(b, file, &tmp, &stays, err));
        else if (file->fresh)
            TRY(small_verify(b, file, &tmp, err));
        done += file->fresh ? size : 0;
        render_progress("verified", b->head.new_bytes ? (double)done / (double)b->head.new_bytes : 1, "");
        if (stays)
            b->list.files.items[kept++] = *file;
    }
    b->list.files.len = kept;
    render_progress_end();
    return E_OK;
}

static int by_path(const void *a, const void *b)
{
    return str_cmp(((const BackupFile *)a)->path, ((const BackupFile *)b)->path);
}

Code backup_finish(Backup *b, Err *err)
{
    TRY(os_filesystem_sync(b->dir, err)); /* what is read back is what the disk took */
    TRY(verify(b, err));
    if (b->list.files.len)
        qsort(b->list.files.items, b->list.files.len, sizeof *b->list.files.items, by_path);
    TRY(backup_list_write(b->tree, &b->head, &b->list, err));
    TRY(os_filesystem_sync(b->dir, err));
    TRY(os_rename(os_real(), b->tree, backup_path(b->arena, "%s/" STR_FMT, b->dir, STR_ARG(b->head.name)), err));
    return os_dir_sync(os_real(), b->dir, err);
}

void backup_done(Backup *b)
{
    backup_list_done(&b->list);
    backup_list_done(&b->before_list);
}

/* ---- looking ahead ---- */

static Code planned(Backup *b, Str path, uint64_t *new_bytes, uint64_t *all_bytes, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    OsStat stat;
    OsDirEntry *entries;
    size_t count;
    const char *from = from_of(b, &tmp, path);
    Code code = os_stat(os_real(), from, &stat, err);
    if (code == E_NOT_FOUND)
        return E_OK;
    TRY(code);
    if (!stat.is_dir) {
        const BackupFile *before = str_ends(path, STR(".spare")) ? NULL : backup_list_get(&b->before_list, path);
        bool same = before && before->size == stat.size_bytes && str_starts(path, STR("store/"));
        if (same && !is_body(path)) {
            uint64_t id = strtoull(str_copy_z(&tmp, str_sub(path, 14, 16)), NULL, 16);
            same = segment_before(b, &tmp, id, path) != NULL;
        }
        *all_bytes += str_ends(path, STR(".spare")) ? 0 : stat.size_bytes;
        *new_bytes += same || str_ends(path, STR(".spare")) ? 0 : stat.size_bytes;
        return E_OK;
    }
    TRY(os_dir_list(os_real(), from, &tmp, &entries, &count, err));
    for (size_t i = 0; i < count; i++)
        TRY(planned(b, str_format(&tmp, STR_FMT "/" STR_FMT, STR_ARG(path), STR_ARG(entries[i].name)), new_bytes,
                    all_bytes, err));
    return E_OK;
}

Code backup_plan(Backup *b, uint64_t *ret_new_bytes, uint64_t *ret_all_bytes, Err *err)
{
    static const char *const paths[] = { "FORMAT", "tarn.yaml", "clock", "meta/tarn.db", "store/journal",
                                         "store/objects" };
    *ret_new_bytes = *ret_all_bytes = 0;
    if (!b->head.segment_bytes)
        b->head.segment_bytes = b->before.segment_bytes;
    TRY(journal_look(b, err));
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        TRY(planned(b, str_z(paths[i]), ret_new_bytes, ret_all_bytes, err));
    return E_OK;
}
