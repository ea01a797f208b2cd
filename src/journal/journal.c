/* journal.c: appending in groups, reading, forgetting.
 *
 * Invariants
 * 1. One writer at a time: the first appender that finds nobody writing takes the queue, writes it
 * and wakes the others; `writing` is its right to the tail, the group buffer and new segments.
 * 2. Segments that a group needs exist and are synced before its first byte is written, so a full
 *    disk fails a group before it touched the log.
 * 3. `durable` moves only after the sync of every segment that the group touched.
 * 4. A failed write of records fences, and a failed sync of any file or directory of this drive: the first error is
 *    kept, nothing is written or synced again.
 * 5. Groups are written past the page cache, in whole blocks: the last one of a group again with the next group,
 *    with the same bytes up to the tail, and zeros behind it.
 * 7. They are written from a ring that holds the bytes of LSN n at n % JOURNAL_RECENT_BYTES: from `recent_from` on, and
 *    no further back from `recent_to` than its length. Only the writer changes it, behind `recent_to`, which it moves
 *    before; who reads it holds `recent_mutex` and compares checksums as for bytes of the drive.
 * 6. A record and the END record behind it fit their segment: tail % segment_bytes is never more
 * than segment_bytes - RECORD_HEADER_BYTES. */
#include "os/crash_point.h"
#include "journal/journal_priv.h"

#include <stdlib.h>
#include <string.h>

struct Append {
    JournalRecord *records;
    size_t count;
    uint64_t bytes;
    Append *next;
    bool done;
    Code code;
    Err *err;
};

static Code fenced_code(Journal *journal, Err *err)
{
    return err_set(err, E_UNAVAILABLE, "the drive is fenced since: %s", journal->fence.text);
}

static void fence(Journal *journal, const Err *err)
{
    MUTEX_HELD(&journal->mutex);
    if (!journal->fenced) {
        err_clear(&journal->fence);
        IGNORE(err_set(&journal->fence, E_IO, "%s", err ? err->text : "a sync failed")); /* for those who come later */
    }
    journal->fenced = true;
}

Code journal_writable(Journal *journal, Err *err)
{
    MUTEX_HELD(&journal->mutex);
    return journal->fenced ? fenced_code(journal, err) : E_OK;
}

Code journal_sync_judge(Journal *journal, Code code, const Err *err)
{
    if (code != E_OK && code != E_NO_SPACE && code != E_UNAVAILABLE)
        fence(journal, err);
    return code;
}

static uint64_t place_of(const Journal *journal, uint64_t lsn, size_t payload_len)
{
    uint64_t at = lsn % journal->segment_bytes;
    if (at + record_bytes(payload_len) + RECORD_HEADER_BYTES <= journal->segment_bytes)
        return lsn;
    return segment_first_lsn(journal, lsn / journal->segment_bytes + 1);
}

/* Gives each record its LSN and returns the tail behind them. */
static uint64_t group_place(const Journal *journal, Append *group)
{
    uint64_t lsn = journal->tail;
    for (; group; group = group->next)
        for (size_t i = 0; i < group->count; i++) {
            JournalRecord *record = &group->records[i];
            record->lsn = place_of(journal, lsn, record->payload.len);
            lsn = record->lsn + record_bytes(record->payload.len);
        }
    return lsn;
}

static Code segments_ensure(Journal *journal, uint64_t last_id, Err *err)
{
    for (;;) {
        uint64_t id;
        {
            MUTEX_HELD(&journal->mutex);
            id = (*vec_last(&journal->segments))->id + 1;
        }
        if (id > last_id)
            return E_OK;
        Segment *segment;
        TRY(segment_create(journal, id, &segment, err));
        MUTEX_HELD(&journal->mutex);
        vec_push(&journal->segments, segment);
    }
}

static char *recent_at(const Journal *journal, uint64_t lsn)
{
    return journal->recent + lsn % JOURNAL_RECENT_BYTES;
}

/* What is new, in whole blocks; the last one, where it is not full, stays for those that follow. */
static Code group_put_out(Journal *journal, Err *err)
{
    char *group = recent_at(journal, journal->group_at);
    size_t full = journal->group_len / OS_BLOCK_BYTES * OS_BLOCK_BYTES, rest = journal->group_len - full;
    size_t len = rest ? full + OS_BLOCK_BYTES : full;
    if (journal->group_len == journal->group_old)
        return E_OK;
    memset(group + journal->group_len, 0, len - journal->group_len);
    Segment *segment AUTO(segment_release) = segment_borrow(journal, journal->group_at / journal->segment_bytes);
    ASSERT(segment && segment->direct);
    TRY(os_file_pwrite(segment->direct, str_of(group, len), journal->group_at % journal->segment_bytes, err));
    journal->group_at += full;
    journal->group_len = journal->group_old = rest;
    return E_OK;
}

static Code group_bytes(Journal *journal, Str bytes, Err *err)
{
    while (bytes.len > 0) {
        uint64_t to_seam = JOURNAL_RECENT_BYTES - journal->group_at % JOURNAL_RECENT_BYTES;
        size_t most = (size_t)MIN((uint64_t)GROUP_PIECE_BYTES, to_seam);
        if (journal->group_len == most) {
            TRY(group_put_out(journal, err)); /* all of it: both are whole blocks */
            continue;
        }
        Str part = str_sub(bytes, 0, most - journal->group_len);
        memcpy(recent_at(journal, journal->group_at) + journal->group_len, part.ptr, part.len);
        journal->group_len += part.len;
        bytes = str_from(bytes, part.len);
    }
    return E_OK;
}

static Code group_sync(Journal *journal, uint64_t at, Err *err)
{
    TRY(group_put_out(journal, err));
    Segment *segment AUTO(segment_release) = segment_borrow(journal, at / journal->segment_bytes);
    ASSERT(segment);
    CRASH_POINT_AT("journal_unsynced");
    TRY(os_file_sync(segment->file, err));
    CRASH_POINT_AT("journal_synced");
    return E_OK;
}

static Code record_put(Journal *journal, const RecordHeader *header, Str payload, Err *err)
{
    static const char zeros[RECORD_ALIGN];
    char head[RECORD_HEADER_BYTES];
    record_head(head, journal->salt, header, payload);
    TRY(group_bytes(journal, str_of(head, sizeof head), err));
    TRY(group_bytes(journal, payload, err));
    return group_bytes(journal, str_of(zeros, record_bytes(payload.len) - sizeof head - payload.len), err);
}

/* Nobody writes to that segment any more. */
static void segment_end(Journal *journal, uint64_t at)
{
    Segment *segment AUTO(segment_release) = segment_borrow(journal, at / journal->segment_bytes);
    if (segment)
        os_file_close(&segment->direct);
}

static Code group_put(Journal *journal, const JournalRecord *record, Err *err)
{
    RecordHeader header = { .lsn = record->lsn, .durable = journal->durable, .type = record->type };
    uint64_t at = journal->group_at + journal->group_len;
    if (at != record->lsn) {
        RecordHeader end = { .lsn = at, .durable = journal->durable, .type = TYPE_END };
        TRY(record_put(journal, &end, STR_NONE, err));
        TRY(group_sync(journal, at, err));
        segment_end(journal, at);
        journal->group_at = record->lsn; /* the first of its segment */
        journal->group_len = journal->group_old = 0;
    }
    return record_put(journal, &header, record->payload, err);
}

/* The bytes up to this LSN, and the rest of its block, are about to be written. */
static void recent_move(Journal *journal, uint64_t lsn)
{
    MUTEX_HELD(&journal->recent_mutex);
    journal->recent_to = (lsn + OS_BLOCK_BYTES - 1) / OS_BLOCK_BYTES * OS_BLOCK_BYTES;
}

static Code group_write(Journal *journal, Append *group, Err *err)
{
    uint64_t tail = group_place(journal, group);
    TRY(segments_ensure(journal, tail / journal->segment_bytes, err));
    CRASH_POINT_AT("journal_unwritten");
    recent_move(journal, tail);
    Code code = E_OK;
    for (; group && code == E_OK; group = group->next)
        for (size_t i = 0; i < group->count && code == E_OK; i++)
            code = group_put(journal, &group->records[i], err);
    if (code == E_OK)
        code = group_sync(journal, journal->group_at + journal->group_len - 1, err);
    if (code != E_OK) {
        fence(journal, err);
        return err_wrap(err, E_IO, "the journal could not be written and is fenced");
    }
    MUTEX_HELD(&journal->mutex);
    journal->tail = journal->durable = tail;
    return E_OK;
}

/* Takes what is queued, up to the size of a group; the mutex is held. */
static Append *group_take(Journal *journal)
{
    Append *first = journal->queue_first, *last = first;
    uint64_t bytes = first->bytes;
    while (last->next && bytes + last->next->bytes <= JOURNAL_GROUP_MAX) {
        last = last->next;
        bytes += last->bytes;
    }
    journal->queue_first = last->next;
    if (!journal->queue_first)
        journal->queue_last = NULL;
    last->next = NULL;
    return first;
}

/* The mutex is held on entry and on return. */
static void lead(Journal *journal)
{
    Append *group = group_take(journal);
    bool fenced = journal->fenced;
    Err err;
    err_clear(&err);
    journal->writing = true;
    mutex_unlock(&journal->mutex);
    Code code = fenced ? fenced_code(journal, &err) : group_write(journal, group, &err);
    mutex_lock(&journal->mutex);
    journal->writing = false;
    while (group) {
        Append *append = group;
        group = append->next;
        append->code = code;
        if (append->err && code != E_OK)
            *append->err = err;
        append->done = true; /* its owner may go as soon as the mutex is free */
    }
    cond_broadcast(&journal->changed);
}

static Code append_all(Journal *journal, JournalRecord *records, size_t count, Err *err)
{
    Append append = { .records = records, .count = count, .err = err };
    for (size_t i = 0; i < count; i++) {
        if (records[i].payload.len > journal_payload_max(journal))
            return err_set(err, E_LIMIT, "a record of %zu bytes; at most %llu",
                           records[i].payload.len,
                           (unsigned long long)journal_payload_max(journal));
        append.bytes += record_bytes(records[i].payload.len);
    }
    if (append.bytes > JOURNAL_GROUP_MAX)
        return err_set(err, E_LIMIT, "a group of %llu bytes; at most %d",
                       (unsigned long long)append.bytes, JOURNAL_GROUP_MAX);
    MUTEX_HELD(&journal->mutex);
    if (journal->queue_last)
        journal->queue_last->next = &append;
    else
        journal->queue_first = &append;
    journal->queue_last = &append;
    while (!append.done) {
        if (journal->writing)
            cond_wait(&journal->changed, &journal->mutex);
        else
            lead(journal);
    }
    return append.code;
}

Code journal_append(Journal *journal, JournalRecord *records, size_t count, Err *err)
{
    for (size_t i = 0; i < count; i++)
        ASSERT(records[i].type >= JOURNAL_TYPE_USER);
    return append_all(journal, records, count, err);
}

static Code seal(Journal *journal, uint16_t type, Err *err)
{
    JournalRecord record = { .type = type };
    return append_all(journal, &record, 1, err);
}

void journal_drop(Journal **journal)
{
    Journal *j = *journal;
    if (!j)
        return;
    ASSERT(!j->writing && !j->queue_first);
    for (size_t i = 0; i < j->segments.len; i++)
        segment_release(&j->segments.items[i]);
    vec_done(&j->segments);
    vec_done(&j->spares);
    free(j->recent);
    cond_done(&j->changed);
    mutex_done(&j->recent_mutex);
    mutex_done(&j->mutex);
    mem_free(&j->dir);
    mem_free(journal);
}

void journal_close(Journal **journal)
{
    if (*journal && !(*journal)->fenced)
        IGNORE(seal(*journal, TYPE_CLOSED, NULL)); /* without it the next start looks closer */
    journal_drop(journal);
}

/* At the tail, with what its block holds already. */
static Code writer_open(Journal *journal, Err *err)
{
    size_t got = 0;
    journal->recent = aligned_alloc(OS_BLOCK_BYTES, JOURNAL_RECENT_BYTES);
    ASSERT(journal->recent && "memory");
    journal->group_old = journal->group_len = journal->tail % OS_BLOCK_BYTES;
    journal->group_at = journal->recent_from = journal->recent_to = journal->tail - journal->group_len;
    Segment *segment AUTO(segment_release) = segment_borrow(journal, journal->tail / journal->segment_bytes);
    ASSERT(segment);
    if (!segment->direct)
        TRY(segment_open_direct(journal, segment, err));
    TRY(os_file_pread(segment->file, recent_at(journal, journal->group_at), journal->group_len,
                      journal->group_at % journal->segment_bytes, &got, err));
    return got == journal->group_len ? E_OK : err_set(err, E_IO, "the tail of the journal cannot be read");
}

Code journal_open(Os *os, const JournalOptions *options, JournalVisit *visit, void *arg,
                  JournalOpened *ret_opened, Journal **ret_journal, Err *err)
{
    uint64_t size = options->segment_bytes ? options->segment_bytes : JOURNAL_SEGMENT_DEFAULT;
    if (size < JOURNAL_SEGMENT_MIN || size > JOURNAL_SEGMENT_MAX ||
        size % SEGMENT_HEADER_BYTES != 0)
        return err_set(err, E_INVALID, "segments of %llu bytes", (unsigned long long)size);
    TRY(os_dir_make_durable(os, options->dir, err));
    Journal *journal AUTO(journal_drop) = mem_new(sizeof *journal);
    journal->os = os;
    journal->dir = strdup(options->dir);
    ASSERT(journal->dir && "memory");
    journal->segment_bytes = size;
    os_random(os, &journal->salt, sizeof journal->salt);
    mutex_init(&journal->mutex);
    cond_init(&journal->changed);
    mutex_init(&journal->recent_mutex);
    JournalOpened opened;
    Code code = journal_recover(journal, options->replay_from, visit, arg, options->ret_segment_bytes, &opened, err);
    if (code != E_OK)
        return err_wrap(err, code, "the journal cannot be opened");
    TRY(writer_open(journal, err));
    TRY(seal(journal, TYPE_OPENED, err));
    *ret_opened = opened;
    *ret_journal = TAKE(journal);
    return E_OK;
}

static Code damaged(const Journal *journal, uint64_t lsn, Err *err)
{
    uint64_t id = lsn / journal->segment_bytes, at = lsn % journal->segment_bytes;
    return err_place(err,
                     err_set(err, E_CORRUPT, "a record of the journal is damaged at %016llx.seg:%llu",
                             (unsigned long long)id, (unsigned long long)at),
                     "%s/%016llx.seg:%llu", journal->dir, (unsigned long long)id, (unsigned long long)at);
}

Code journal_read(Journal *journal, uint64_t lsn, uint16_t type, Buf *buf, Err *err)
{
    Segment *segment AUTO(segment_release) = segment_borrow(journal, lsn / journal->segment_bytes);
    if (!segment || lsn >= journal_end(journal))
        return err_set(err, E_NOT_FOUND, "no record of the journal at %llu",
                       (unsigned long long)lsn);
    char head[RECORD_HEADER_BYTES];
    size_t got = 0;
    uint64_t at = lsn % journal->segment_bytes;
    RecordHeader header;
    TRY(os_file_pread(segment->file, head, sizeof head, at, &got, err));
    if (!record_header_get(str_of(head, got), journal->salt, lsn, &header) || header.type != type)
        return damaged(journal, lsn, err);
    buf_clear(buf);
    if (!buf_reserve(buf, header.payload_len))
        return err_set(err, E_LIMIT, "a record of %u bytes", header.payload_len);
    TRY(os_file_pread(segment->file, buf->ptr, header.payload_len, at + sizeof head, &got, err));
    if (got != header.payload_len || crc32c(0, str_of(buf->ptr, got)) != header.payload_crc)
        return damaged(journal, lsn, err);
    buf->len = got;
    return E_OK;
}

/* From the ring, where the record still is in it as a whole. */
static bool recent_copy(Journal *journal, uint64_t lsn, const OsPart parts[2])
{
    MUTEX_HELD(&journal->recent_mutex);
    if (lsn < journal->recent_from || lsn + JOURNAL_RECENT_BYTES < journal->recent_to ||
        lsn + parts[0].len + parts[1].len > journal->recent_to)
        return false;
    for (size_t i = 0; i < 2; i++) {
        size_t first = (size_t)MIN((uint64_t)parts[i].len, JOURNAL_RECENT_BYTES - lsn % JOURNAL_RECENT_BYTES);
        memcpy(parts[i].ptr, recent_at(journal, lsn), first);
        memcpy((char *)parts[i].ptr + first, journal->recent, parts[i].len - first);
        lsn += parts[i].len;
    }
    return true;
}

void journal_recent(Journal *journal, uint64_t *ret_bytes, uint64_t *ret_reads)
{
    MUTEX_HELD(&journal->recent_mutex);
    *ret_bytes = MIN(journal->recent_to - journal->recent_from, (uint64_t)JOURNAL_RECENT_BYTES);
    *ret_reads = atomic_load_explicit(&journal->recent_reads, memory_order_relaxed);
}

static bool known_is_good(const Journal *journal, uint64_t lsn, uint16_t type, Str head, Str payload)
{
    RecordHeader header;
    return record_header_get(head, journal->salt, lsn, &header) && header.type == type &&
           header.payload_len == payload.len && crc32c(0, payload) == header.payload_crc;
}

/* What was put together is often read together, and nobody but the drive has it: groups go past the page cache. */
static void neighbours_ahead(Journal *journal, const Segment *segment, uint64_t lsn)
{
    uint64_t at = lsn % journal->segment_bytes / YOUNG_RUN_BYTES * YOUNG_RUN_BYTES, end = journal_end(journal);
    if (end - lsn < YOUNG_BYTES && segment->id * journal->segment_bytes + at + YOUNG_RUN_BYTES <= end)
        os_file_ahead(segment->file, at, YOUNG_RUN_BYTES);
}

Code journal_read_known(Journal *journal, uint64_t lsn, uint16_t type, size_t len, bool now, Buf *buf, Err *err)
{
    Segment *segment AUTO(segment_release) = segment_borrow(journal, lsn / journal->segment_bytes);
    if (!segment || lsn >= journal_end(journal))
        return err_set(err, E_NOT_FOUND, "no record of the journal at %llu", (unsigned long long)lsn);
    char head[RECORD_HEADER_BYTES];
    size_t got = 0;
    buf_clear(buf);
    if (!buf_reserve(buf, len))
        return err_set(err, E_LIMIT, "a record of %zu bytes", len);
    const OsPart parts[2] = { { head, sizeof head }, { buf->ptr, len } };
    Str head_str = str_of(head, sizeof head), payload = str_of(buf->ptr, len);
    if (recent_copy(journal, lsn, parts) && known_is_good(journal, lsn, type, head_str, payload)) {
        atomic_fetch_add_explicit(&journal->recent_reads, 1, memory_order_relaxed);
    } else {
        if (!now)
            neighbours_ahead(journal, segment, lsn);
        TRY(os_file_pread_two(segment->file, parts, lsn % journal->segment_bytes, now, &got, err));
        if (got != sizeof head + len || !known_is_good(journal, lsn, type, head_str, payload))
            return damaged(journal, lsn, err);
    }
    buf->len = len;
    return E_OK;
}

static Code segment_scan(Journal *journal, Segment *segment, uint64_t from, uint64_t to,
                         JournalVisit *visit, void *arg, Err *err)
{
    Window window AUTO(window_done) = { 0 };
    TRY(window_init(&window, segment->file, journal->segment_bytes, err));
    for (uint64_t lsn = segment_first_lsn(journal, segment->id); lsn < to;) {
        RecordHeader header;
        Str payload;
        bool good;
        TRY(window_record(&window, journal, lsn, &header, &payload, &good, err));
        if (!good)
            return damaged(journal, lsn, err);
        if (header.type == TYPE_END)
            return E_OK;
        JournalRecord record = { header.type, payload, lsn };
        if (header.type >= JOURNAL_TYPE_USER && lsn >= from)
            TRY(visit(arg, &record, err));
        lsn += record_bytes(header.payload_len);
    }
    return E_OK;
}

Code journal_scan(Journal *journal, uint64_t from, uint64_t to, JournalVisit *visit, void *arg,
                  Err *err)
{
    uint64_t end = MIN(to, journal_end(journal));
    from = MAX(from, journal_start(journal));
    for (uint64_t id = from / journal->segment_bytes; id * journal->segment_bytes < end; id++) {
        Segment *segment AUTO(segment_release) = segment_borrow(journal, id);
        if (segment)
            TRY(segment_scan(journal, segment, from, end, visit, arg, err));
    }
    return E_OK;
}

uint64_t journal_start(Journal *journal)
{
    MUTEX_HELD(&journal->mutex);
    return segment_first_lsn(journal, journal->segments.items[0]->id);
}

uint64_t journal_end(Journal *journal)
{
    MUTEX_HELD(&journal->mutex);
    return journal->durable;
}

uint64_t journal_segment_bytes(const Journal *journal)
{
    return journal->segment_bytes;
}

uint64_t journal_segment_of(const Journal *journal, uint64_t lsn)
{
    return segment_first_lsn(journal, lsn / journal->segment_bytes);
}

static void first_drop(Journal *journal, uint64_t id, bool spare)
{
    MUTEX_HELD(&journal->mutex);
    Segment *segment AUTO(segment_release) = journal->segments.items[0];
    ASSERT(segment->id == id && "one forgets at a time");
    journal->segments.len--;
    memmove(journal->segments.items, journal->segments.items + 1,
            journal->segments.len * sizeof journal->segments.items[0]);
    if (spare)
        vec_push(&journal->spares, id);
}

Code journal_forget(Journal *journal, uint64_t lsn, Err *err)
{
    for (;;) {
        uint64_t id;
        bool spare;
        {
            MUTEX_HELD(&journal->mutex);
            id = journal->segments.items[0]->id;
            if (id >= MIN(lsn, journal->durable) / journal->segment_bytes)
                return E_OK;
            if (journal->fenced)
                return fenced_code(journal, err);
        }
        TRY(segment_retire(journal, id, &spare, err)); /* one that keeps its name stays the first: no gap */
        first_drop(journal, id, spare);
    }
}
