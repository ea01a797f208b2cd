/* recover.c: finds the end of the journal, replays, and tells a torn tail from damage.
 *
 * Invariants
 * 1. Records are good from the start to the first bad place X, which is the end.
 * 2. Behind X there may be ghosts: good headers of a group that was never acknowledged, whose
 * earlier part is lost. Their durable LSN is at most X. A header behind X with a durable LSN
 * greater than X proves that the bytes at X were acknowledged once: that is damage, and the journal
 * is refused.
 * 3. Ghosts are wiped and synced before the journal is used, so that they can never follow a new
 *    record; the segments behind the tail become spares after that.
 * 4. Bytes may only be in the page cache (of a killed process): the segments are synced before
 * anything in them is replayed, so that no user knows more than the drive. */
#include "journal/journal_priv.h"

#include <stdio.h>
#include <string.h>

typedef struct Walk {
    uint64_t tail; /* X */
    uint16_t last_type;
    uint64_t records;
} Walk;

static bool name_parse(Str name, const char *kind, uint64_t *ret_id)
{
    Str suffix = str_z(kind);
    if (name.len != 16 + 1 + suffix.len || !str_ends(name, suffix) || name.ptr[16] != '.')
        return false;
    uint64_t id = 0;
    for (size_t i = 0; i < 16; i++) {
        char c = name.ptr[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
        id = id << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
    *ret_id = id;
    return true;
}

/* Opens the segments in order, remembers the spares. */
static Code segments_find(Journal *journal, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    OsDirEntry *entries;
    size_t count;
    TRY(os_dir_list(journal->os, journal->dir, &tmp, &entries, &count, err));
    for (size_t i = 0; i < count; i++) {
        uint64_t id;
        if (name_parse(entries[i].name, "spare", &id)) {
            vec_push(&journal->spares, id);
            continue;
        }
        if (!name_parse(entries[i].name, "seg", &id))
            continue; /* not ours: left alone */
        if (journal->segments.len > 0 && id != (*vec_last(&journal->segments))->id + 1)
            return err_place(err, err_set(err, E_CORRUPT, "a segment of the journal is missing"),
                             "%s before %016llx.seg", journal->dir, (unsigned long long)id);
        Segment *segment;
        TRY(segment_open(journal, id, &segment, err));
        vec_push(&journal->segments, segment);
    }
    return E_OK;
}

static Code segment_walk(Journal *journal, size_t at, uint64_t lsn, uint64_t from,
                         JournalVisit *visit, void *arg, Walk *walk, bool *ret_ended, Err *err)
{
    Window window AUTO(window_done) = { 0 };
    TRY(window_init(&window, journal->segments.items[at]->file, journal->segment_bytes, err));
    *ret_ended = false;
    for (;;) {
        RecordHeader header;
        Str payload;
        bool good;
        TRY(window_record(&window, journal, lsn, &header, &payload, &good, err));
        walk->tail = lsn;
        if (!good && lsn == from)
            return err_set(err, E_CORRUPT, "the record to replay from is damaged or missing: %s",
                           journal->dir);
        if (!good)
            return E_OK;
        walk->last_type = header.type;
        if (header.type == TYPE_END) {
            *ret_ended = true;
            return E_OK;
        }
        if (header.type >= JOURNAL_TYPE_USER && lsn >= from && visit) {
            JournalRecord record = { header.type, payload, lsn };
            TRY(visit(arg, &record, err));
        }
        walk->records += header.type >= JOURNAL_TYPE_USER && lsn >= from;
        lsn += record_bytes(header.payload_len);
    }
}

static Code walk_all(Journal *journal, uint64_t from, JournalVisit *visit, void *arg, Walk *walk,
                     Err *err)
{
    uint64_t first = journal->segments.items[0]->id;
    uint64_t last = (*vec_last(&journal->segments))->id;
    uint64_t id = MAX(from / journal->segment_bytes, first);
    if (id > last)
        return err_set(err, E_CORRUPT, "the journal ends before the place to replay from: %s",
                       journal->dir);
    if (from > 0 && from / journal->segment_bytes < first)
        return err_set(err, E_GONE, "the journal begins behind the place to replay from: %s", journal->dir);
    uint64_t lsn = MAX(from, segment_first_lsn(journal, id));
    for (; id <= last; id++, lsn = segment_first_lsn(journal, id)) {
        bool ended;
        TRY(segment_walk(journal, id - first, lsn, from, visit, arg, walk, &ended, err));
        if (!ended)
            return E_OK;
    }
    return err_set(err, E_CORRUPT, "the last segment of the journal is missing: %s", journal->dir);
}

/* Wipes one ghost, or refuses (invariant 2). */
static Code ghost_check(Journal *journal, OsFile *file, uint64_t at, const RecordHeader *header,
                        uint64_t tail, Err *err)
{
    if (header->durable > tail)
        return err_place(
            err, err_set(err, E_CORRUPT, "a record of the journal is damaged in the middle"),
            "%s/%016llx.seg:%llu", journal->dir,
            (unsigned long long)(tail / journal->segment_bytes),
            (unsigned long long)(tail % journal->segment_bytes));
    static const char zeros[RECORD_HEADER_BYTES];
    return os_file_pwrite(file, str_of(zeros, sizeof zeros), at, err);
}

/* Looks for ghosts in one segment from `at` on. */
static Code ghosts_scan(Journal *journal, Segment *segment, uint64_t at, uint64_t tail,
                        uint64_t *torn_end, Err *err)
{
    Window window AUTO(window_done) = { 0 };
    TRY(window_init(&window, segment->file, journal->segment_bytes, err));
    uint64_t base = segment->id * journal->segment_bytes;
    bool wiped = false;
    while (at + RECORD_HEADER_BYTES <= journal->segment_bytes) {
        Str bytes;
        TRY(window_get(&window, at, WINDOW_BYTES, &bytes, err));
        size_t room = bytes.len < RECORD_HEADER_BYTES ? 0 : bytes.len - RECORD_HEADER_BYTES + 1;
        if (room == 0)
            break;
        size_t i = bytes_are_zeros(bytes) ? (room + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN : 0;
        for (; i < room; i += RECORD_ALIGN) {
            RecordHeader header;
            if (load_u32le(bytes.ptr + i) != RECORD_MAGIC ||
                !record_header_get(str_from(bytes, i), journal->salt, base + at + i, &header))
                continue;
            TRY(ghost_check(journal, segment->file, at + i, &header, tail, err));
            *torn_end = base + at + i + record_bytes(header.payload_len);
            wiped = true;
        }
        at += i;
    }
    return wiped ? os_file_sync(segment->file, err) : E_OK;
}

/* All behind the tail: ghosts wiped, later segments made spares (from the newest back, so that no
 * gap can be left by a crash). */
static Code tail_cut(Journal *journal, const Walk *walk, uint64_t *ret_torn, Err *err)
{
    uint64_t torn_end = walk->tail;
    uint64_t first = journal->segments.items[0]->id;
    uint64_t id = walk->tail / journal->segment_bytes;
    for (size_t i = id - first; i < journal->segments.len; i++) {
        Segment *segment = journal->segments.items[i];
        uint64_t at =
            segment->id == id ? walk->tail % journal->segment_bytes : SEGMENT_HEADER_BYTES;
        TRY(ghosts_scan(journal, segment, at, walk->tail, &torn_end, err));
    }
    while ((*vec_last(&journal->segments))->id > id) {
        Segment *segment = *vec_last(&journal->segments);
        bool spare;
        TRY(segment_retire(journal, segment->id, &spare, err));
        journal->segments.len--;
        if (spare)
            vec_push(&journal->spares, segment->id);
        segment_release(&segment);
    }
    *ret_torn = torn_end - walk->tail;
    return E_OK;
}

/* Invariant 4; the segments behind `from` are all that may hold unsynced bytes. */
static Code found_sync(Journal *journal, uint64_t from, Err *err)
{
    for (size_t i = 0; i < journal->segments.len; i++)
        if (journal->segments.items[i]->id >= from / journal->segment_bytes)
            TRY(os_file_sync(journal->segments.items[i]->file, err));
    return E_OK;
}

Code journal_recover(Journal *journal, uint64_t from, JournalVisit *visit, void *arg,
                     uint64_t *ret_segment_bytes, JournalOpened *ret_opened, Err *err)
{
    TRY(segments_find(journal, err));
    if (ret_segment_bytes)
        *ret_segment_bytes = journal->segment_bytes;
    if (journal->segments.len == 0) {
        if (from > 0)
            return err_set(err, E_CORRUPT, "the journal is gone: %s", journal->dir);
        Segment *segment;
        TRY(segment_create(journal, 1, &segment, err));
        vec_push(&journal->segments, segment);
        journal->tail = journal->durable = segment_first_lsn(journal, 1);
        *ret_opened = (JournalOpened){ .clean = true };
        return E_OK;
    }
    TRY(found_sync(journal, from, err));
    Walk walk = { 0 };
    TRY(walk_all(journal, from, visit, arg, &walk, err));
    JournalOpened opened = { .clean = walk.last_type == TYPE_CLOSED, .records = walk.records };
    TRY(tail_cut(journal, &walk, &opened.torn_bytes, err));
    journal->tail = journal->durable = walk.tail;
    *ret_opened = opened;
    return E_OK;
}
