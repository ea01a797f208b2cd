/* segment.c: the files of the journal.
 *
 * Invariants
 * 1. A file called ID.seg has a whole, synced header of that id: it is written under another name,
 *    synced, renamed, and the directory synced, before the first record goes in.
 * 2. Ids grow and are never used twice for records that were acknowledged; the files of a journal
 *    have ids without a gap, so they are retired from the oldest on, one directory sync each.
 * 3. A spare still holds its old records; their LSNs belong to the old id and are refused. */
#include "os/crash_point.h"
#include "journal/journal_priv.h"

#include <stdio.h>
#include <string.h>

Code segment_path(const Journal *journal, const char *kind, uint64_t id, char *ret_path, Err *err)
{
    int len = snprintf(ret_path, OS_PATH_MAX, "%s/%016llx.%s", journal->dir, (unsigned long long)id,
                       kind);
    if (len < 0 || len >= OS_PATH_MAX)
        return err_set(err, E_LIMIT, "the path of the journal is too long: %s", journal->dir);
    return E_OK;
}

uint64_t segment_first_lsn(const Journal *journal, uint64_t id)
{
    return id * journal->segment_bytes + SEGMENT_HEADER_BYTES;
}

void segment_release(Segment **segment)
{
    if (*segment && atomic_fetch_sub(&(*segment)->uses, 1) == 1) {
        os_file_close(&(*segment)->file);
        os_file_close(&(*segment)->direct);
        mem_free(segment);
    }
    *segment = NULL;
}

Segment *segment_borrow(Journal *journal, uint64_t id)
{
    MUTEX_HELD(&journal->mutex);
    if (journal->segments.len == 0 || id < journal->segments.items[0]->id)
        return NULL;
    uint64_t at = id - journal->segments.items[0]->id;
    if (at >= journal->segments.len)
        return NULL;
    Segment *segment = journal->segments.items[at];
    atomic_fetch_add(&segment->uses, 1);
    return segment;
}

static Segment *segment_of_file(uint64_t id, OsFile *take_file)
{
    Segment *segment = mem_new(sizeof *segment);
    segment->id = id;
    segment->file = take_file;
    atomic_init(&segment->uses, 1);
    return segment;
}

static Code header_write(const Journal *journal, OsFile *file, uint64_t id, Err *err)
{
    char head[SEGMENT_HEADER_BYTES] = { 0 };
    memcpy(head, SEGMENT_MAGIC, 8);
    store_u32le(head + 8, SEGMENT_VERSION);
    store_u32le(head + 12, SEGMENT_FEATURES);
    store_u64le(head + 16, id);
    store_u64le(head + 24, journal->segment_bytes);
    store_u32le(head + 32, journal->salt);
    store_u32le(head + SEGMENT_HEADER_CRC_AT, crc32c(0, str_of(head, SEGMENT_HEADER_CRC_AT)));
    return os_file_pwrite(file, str_of(head, sizeof head), 0, err);
}

/* Sizes, header and sync under the name `path`; what fails is removed again. */
static Code file_prepare(Journal *journal, const char *path, uint64_t id, OsFile **ret_file,
                         Err *err)
{
    OsFile *file AUTO(os_file_close) = NULL;
    TRY(os_file_open(journal->os, path, OS_READ | OS_WRITE | OS_CREATE, &file, err));
    Code code = os_file_allocate(file, journal->segment_bytes, err);
    if (code == E_OK)
        code = header_write(journal, file, id, err);
    if (code == E_OK)
        code = journal_sync_judge(journal, os_file_sync(file, err), err);
    if (code != E_OK) {
        IGNORE(os_unlink(journal->os, path, NULL)); /* else it stays as a spare of no harm */
        return code;
    }
    *ret_file = TAKE(file);
    return E_OK;
}

Code segment_open_direct(const Journal *journal, Segment *segment, Err *err)
{
    char path[OS_PATH_MAX];
    TRY(segment_path(journal, "seg", segment->id, path, err));
    return os_file_open(journal->os, path, OS_WRITE | OS_DIRECT, &segment->direct, err);
}

Code segment_create(Journal *journal, uint64_t id, Segment **ret_segment, Err *err)
{
    char from[OS_PATH_MAX], to[OS_PATH_MAX];
    uint64_t spare = id;
    {
        MUTEX_HELD(&journal->mutex);
        if (journal->spares.len > 0)
            spare = journal->spares.items[--journal->spares.len];
    }
    TRY(segment_path(journal, "spare", spare, from, err));
    TRY(segment_path(journal, "seg", id, to, err));
    OsFile *file AUTO(os_file_close) = NULL;
    TRY(file_prepare(journal, from, id, &file, err));
    Code code = os_rename(journal->os, from, to, err);
    if (code == E_OK)
        code = journal_sync_judge(journal, os_dir_sync(journal->os, journal->dir, err), err);
    if (code != E_OK) {
        IGNORE(os_unlink(journal->os, from, NULL)); /* one of the two names; recovery takes both */
        IGNORE(os_unlink(journal->os, to, NULL));
        return code;
    }
    CRASH_POINT_AT("journal_segment_made");
    Segment *segment AUTO(segment_release) = segment_of_file(id, TAKE(file));
    TRY(segment_open_direct(journal, segment, err));
    *ret_segment = TAKE(segment);
    return E_OK;
}

static Code header_check(Journal *journal, OsFile *file, uint64_t id, const char *path, Err *err)
{
    char head[SEGMENT_HEADER_CRC_AT + 4];
    size_t got = 0;
    TRY(os_file_pread(file, head, sizeof head, 0, &got, err));
    if (got < sizeof head || memcmp(head, SEGMENT_MAGIC, 8) != 0)
        return err_set(err, E_CORRUPT, "not a segment of a journal: %s", path);
    if (load_u32le(head + 8) > SEGMENT_VERSION || load_u32le(head + 12) != SEGMENT_FEATURES)
        return err_set(err, E_UNSUPPORTED, "written by a newer version of tarn: %s", path);
    if (load_u32le(head + SEGMENT_HEADER_CRC_AT) != crc32c(0, str_of(head, SEGMENT_HEADER_CRC_AT)))
        return err_set(err, E_CORRUPT, "the header of the segment is damaged: %s", path);
    uint64_t size = load_u64le(head + 24);
    if (load_u64le(head + 16) != id || size < JOURNAL_SEGMENT_MIN || size > JOURNAL_SEGMENT_MAX)
        return err_set(err, E_CORRUPT, "the header is of another segment: %s", path);
    if (journal->segments.len > 0 &&
        (size != journal->segment_bytes || load_u32le(head + 32) != journal->salt))
        return err_set(err, E_CORRUPT, "a segment of another journal: %s", path);
    journal->segment_bytes = size;
    journal->salt = load_u32le(head + 32);
    return E_OK;
}

Code segment_open(Journal *journal, uint64_t id, Segment **ret_segment, Err *err)
{
    char path[OS_PATH_MAX];
    TRY(segment_path(journal, "seg", id, path, err));
    OsFile *file AUTO(os_file_close) = NULL;
    TRY(os_file_open(journal->os, path, OS_READ | OS_WRITE, &file, err));
    TRY(header_check(journal, file, id, path, err));
    *ret_segment = segment_of_file(id, TAKE(file));
    return E_OK;
}

Code segment_retire(Journal *journal, uint64_t id, bool *ret_spare, Err *err)
{
    char from[OS_PATH_MAX], to[OS_PATH_MAX];
    TRY(segment_path(journal, "seg", id, from, err));
    TRY(segment_path(journal, "spare", id, to, err));
    bool keep;
    {
        MUTEX_HELD(&journal->mutex);
        keep = journal->spares.len < JOURNAL_SPARES_MAX;
    }
    Code code = keep ? os_rename(journal->os, from, to, err) : os_unlink(journal->os, from, err);
    if (code != E_OK && code != E_NOT_FOUND) /* not there: a try before came so far */
        return code;
    CRASH_POINT_AT("journal_segment_renamed");
    TRY(journal_sync_judge(journal, os_dir_sync(journal->os, journal->dir, err), err));
    *ret_spare = keep;
    return E_OK;
}
