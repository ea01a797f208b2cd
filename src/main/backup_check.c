/* A backup is read back: compared with its list, or copied to a new data directory with the same comparison. */
#include "main/backup.h"

#include "format/checksum.h"
#include "main/lake.h"
#include "main/render.h"

#include <stdio.h>
#include <string.h>

enum { READ_BYTES = 1024 * 1024 };

/* Reads `path` once; copies it to `to` on the way (NULL: does not). */
static Code file_pass(const char *path, const char *to, uint32_t *ret_crc, uint64_t *ret_size, Err *err)
{
    AUTO(os_file_close) OsFile *file = NULL;
    AUTO(os_file_close) OsFile *copy = NULL;
    Buf bytes AUTO(buf_done);
    uint32_t crc = 0;
    uint64_t at = 0;
    size_t got = 1;
    buf_init(&bytes, READ_BYTES);
    if (!buf_reserve(&bytes, READ_BYTES))
        return buf_end(&bytes, "a piece of a file", err);
    TRY(os_file_open(os_real(), path, OS_READ, &file, err));
    if (to)
        TRY(os_file_open(os_real(), to, OS_WRITE | OS_CREATE | OS_TRUNCATE, &copy, err));
    for (; got > 0; at += got) {
        TRY(os_file_pread(file, bytes.ptr, READ_BYTES, at, &got, err));
        Str piece = str_of(bytes.ptr, got);
        crc = crc32c(crc, piece);
        if (copy && got)
            TRY(os_file_pwrite(copy, piece, at, err));
    }
    *ret_crc = crc;
    *ret_size = at;
    return E_OK;
}

Code backup_crc(const char *path, uint32_t *ret_crc, uint64_t *ret_size, Err *err)
{
    return file_pass(path, NULL, ret_crc, ret_size, err);
}

static void passed(const char *label, uint64_t done, uint64_t total)
{
    render_progress(label, total ? (double)done / (double)total : 1, "");
}

Code backup_verify(const char *dir, const BackupHead *head, BackupFinding *finding, uint64_t *ret_found, Err *err)
{
    BackupList list AUTO(backup_list_done) = { 0 };
    Arena tmp AUTO(arena_done) = { 0 };
    uint64_t done = 0;
    *ret_found = 0;
    TRY(backup_list_read(dir, head, &list, err));
    for (size_t i = 0; i < list.files.len; i++) {
        const BackupFile *file = &list.files.items[i];
        uint32_t crc = 0;
        uint64_t size = 0;
        arena_reset(&tmp);
        Code code = backup_crc(backup_path(&tmp, "%s/" STR_FMT "/data/" STR_FMT, dir, STR_ARG(head->name),
                                           STR_ARG(file->path)), &crc, &size, err);
        const char *what = code == E_NOT_FOUND                        ? "is missing"
                           : code != E_OK                             ? err->text
                           : size != file->size || crc != file->crc ? "is not as it was copied"
                                                                      : NULL;
        if (what)
            finding(file->path, what);
        *ret_found += what != NULL;
        passed("verified", done += file->size, head->bytes);
    }
    render_progress_end();
    if (!*ret_found)
        return E_OK;
    Code code = err_set(err, E_CORRUPT, "%llu of %llu files of the backup " STR_FMT " are damaged",
                        (unsigned long long)*ret_found, (unsigned long long)head->files, STR_ARG(head->name));
    return err_hint(err, code, "`tarn backup verify %s --all` names every backup that shares those files: remove "
                    "them all, then make a new one; check the disk", dir);
}

/* ---- restore ---- */

/* Until everything is there, FORMAT says that it is not: no server starts on a part of a lake. */
static const Str unfinished = STR_INIT(LAKE_UNFINISHED), format_name = STR_INIT("FORMAT");

static Code empty_check(const char *to, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    OsDirEntry *entries;
    size_t count;
    TRY(os_dir_list(os_real(), to, &tmp, &entries, &count, err));
    if (count)
        return err_hint(err, err_set(err, E_EXISTS, "%s is not empty", to), "name a directory that is not there yet");
    return E_OK;
}

/* The directory that `path` lies in, made when it was not the last one. */
static Code parent_make(Arena *arena, const char *to, Str path, Str *last, Err *err)
{
    ptrdiff_t slash = str_rfind_char(path, '/');
    Str parent = slash < 0 ? STR_NONE : str_sub(path, 0, (size_t)slash);
    if (str_eq(parent, *last))
        return E_OK;
    *last = parent;
    return lake_dirs_make(backup_path(arena, "%s/" STR_FMT, to, STR_ARG(parent)), err);
}

static Code file_restore(const char *dir, const BackupHead *head, const BackupFile *file, const char *to, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    uint32_t crc;
    uint64_t size;
    const char *from = backup_path(&tmp, "%s/" STR_FMT "/data/" STR_FMT, dir, STR_ARG(head->name),
                                   STR_ARG(file->path));
    TRY(file_pass(from, to, &crc, &size, err));
    if (size == file->size && crc == file->crc)
        return E_OK;
    return err_hint(err, err_set(err, E_CORRUPT, "%s is not as it was copied", from),
                    "`tarn backup verify %s --all` tells which backups are whole", dir);
}

/* The last step: from here on it is a lake. */
static Code format_restore(const char *dir, const BackupHead *head, const BackupList *list, const char *to, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    const BackupFile *file = backup_list_get(list, format_name);
    const char *fresh = backup_path(&tmp, "%s/FORMAT.new", to);
    if (!file)
        return err_set(err, E_CORRUPT, "the backup " STR_FMT " has no file FORMAT", STR_ARG(head->name));
    TRY(file_restore(dir, head, file, fresh, err));
    TRY(os_filesystem_sync(to, err));
    TRY(os_rename(os_real(), fresh, backup_path(&tmp, "%s/" STR_FMT, to, STR_ARG(format_name)), err));
    return os_dir_sync(os_real(), to, err);
}

Code backup_restore(const char *dir, const BackupHead *head, const char *to, Err *err)
{
    BackupList list AUTO(backup_list_done) = { 0 };
    Arena tmp AUTO(arena_done) = { 0 };
    Str last = STR_NONE;
    uint64_t done = 0;
    TRY(backup_list_read(dir, head, &list, err));
    TRY(lake_dirs_make(to, err));
    TRY(empty_check(to, err));
    TRY(os_write_whole(os_real(), backup_path(&tmp, "%s/" STR_FMT, to, STR_ARG(format_name)), unfinished, err));
    TRY(lake_dirs_make(backup_path(&tmp, "%s/store/objects", to), err)); /* also when nothing lies in it */
    for (size_t i = 0; i < list.files.len; i++) {
        const BackupFile *file = &list.files.items[i];
        arena_reset(&tmp);
        if (str_eq(file->path, format_name))
            continue;
        TRY(parent_make(&tmp, to, file->path, &last, err));
        TRY(file_restore(dir, head, file, backup_path(&tmp, "%s/" STR_FMT, to, STR_ARG(file->path)), err));
        passed("restored", done += file->size, head->bytes);
    }
    render_progress_end();
    TRY(os_filesystem_sync(to, err));
    return format_restore(dir, head, &list, to, err);
}
