/* scrub.c: looks at every byte that the journal has acknowledged, and goes on behind what is damaged.
 *
 * Invariants
 * 1. Every byte of a segment up to its END record, or to the durable end, is compared: the header's block by its CRC
 *    and zeros, records by their two CRCs, the padding behind them by being zero. Behind END nothing is looked at:
 *    a recycled segment has there what was there before.
 * 2. Behind damage the next record is one whose header's CRC and LSN are right, so that nothing else passes for it.
 * 3. A segment that is forgotten meanwhile is written anew: what is found there then is no damage. */
#include "journal/journal_priv.h"

#include <stdio.h>
#include <string.h>

typedef struct Scrub {
    Journal *journal;
    const JournalScrub *wanted;
    Segment *segment;
    Window window;
    uint64_t end; /* LSN; nothing behind it is acknowledged */
} Scrub;

static void scrub_done(Scrub *scrub)
{
    window_done(&scrub->window);
    segment_release(&scrub->segment);
}

static void damage(const Scrub *scrub, uint64_t lsn, const char *what)
{
    JournalDamage found = { .lsn = lsn, .at = lsn % scrub->journal->segment_bytes, .what = what };
    if (lsn < journal_start(scrub->journal) / scrub->journal->segment_bytes * scrub->journal->segment_bytes)
        return;
    if (segment_path(scrub->journal, "seg", scrub->segment->id, found.file, NULL) != E_OK)
        found.file[0] = 0;
    scrub->wanted->damage(scrub->wanted->arg, &found);
}

static Code header_look(Scrub *scrub, Err *err)
{
    Str head;
    TRY(window_get(&scrub->window, 0, SEGMENT_HEADER_BYTES, &head, err));
    bool good = head.len == SEGMENT_HEADER_BYTES && memcmp(head.ptr, SEGMENT_MAGIC, 8) == 0 &&
                load_u32le(head.ptr + SEGMENT_HEADER_CRC_AT) == crc32c(0, str_sub(head, 0, SEGMENT_HEADER_CRC_AT)) &&
                bytes_are_zeros(str_from(head, SEGMENT_HEADER_CRC_AT + 4));
    if (!good)
        damage(scrub, scrub->segment->id * scrub->journal->segment_bytes, "the header of the segment");
    return E_OK;
}

/* The place of the next whole header behind `lsn`, or the end. */
static Code resync(Scrub *scrub, uint64_t lsn, uint64_t *ret_lsn, Err *err)
{
    RecordHeader header;
    Str bytes;
    uint64_t size = scrub->journal->segment_bytes;
    for (lsn += RECORD_ALIGN; lsn < scrub->end && lsn % size != 0; lsn += RECORD_ALIGN) {
        TRY(window_get(&scrub->window, lsn % size, RECORD_HEADER_BYTES, &bytes, err));
        if (bytes.len < RECORD_HEADER_BYTES)
            break;
        if (load_u32le(bytes.ptr) == RECORD_MAGIC && record_header_get(bytes, scrub->journal->salt, lsn, &header)) {
            *ret_lsn = lsn;
            return E_OK;
        }
    }
    *ret_lsn = scrub->end;
    return E_OK;
}

static Code padding_look(Scrub *scrub, uint64_t lsn, const RecordHeader *header, Err *err)
{
    uint64_t used = RECORD_HEADER_BYTES + (uint64_t)header->payload_len;
    uint64_t all = record_bytes(header->payload_len);
    Str bytes;
    if (used == all)
        return E_OK;
    TRY(window_get(&scrub->window, lsn % scrub->journal->segment_bytes + used, (size_t)(all - used), &bytes, err));
    if (!bytes_are_zeros(bytes))
        damage(scrub, lsn, "the padding of a record");
    return E_OK;
}

static Code record_look(Scrub *scrub, uint64_t lsn, uint64_t *ret_next, Err *err)
{
    RecordHeader header;
    Str payload;
    bool good;
    TRY(window_record(&scrub->window, scrub->journal, lsn, &header, &payload, &good, err));
    if (!good) {
        damage(scrub, lsn, "a record");
        return resync(scrub, lsn, ret_next, err);
    }
    *ret_next = header.type == TYPE_END ? scrub->end : lsn + record_bytes(header.payload_len);
    JournalRecord record = { header.type, payload, lsn };
    if (header.type >= JOURNAL_TYPE_USER && scrub->wanted->visit)
        TRY(scrub->wanted->visit(scrub->wanted->arg, &record, err));
    return padding_look(scrub, lsn, &header, err);
}

static Code segment_look(Journal *journal, const JournalScrub *wanted, uint64_t id, uint64_t end, Err *err)
{
    Scrub scrub AUTO(scrub_done) = { .journal = journal, .wanted = wanted, .end = end };
    scrub.segment = segment_borrow(journal, id);
    if (!scrub.segment)
        return E_OK; /* forgotten in the meantime */
    TRY(window_init(&scrub.window, scrub.segment->file, journal->segment_bytes, err));
    TRY(header_look(&scrub, err));
    uint64_t lsn = segment_first_lsn(journal, id);
    while (lsn < end && lsn / journal->segment_bytes == id)
        TRY(record_look(&scrub, lsn, &lsn, err));
    return E_OK;
}

Code journal_scrub(Journal *journal, const JournalScrub *wanted, Err *err)
{
    uint64_t end = journal_end(journal), size = journal->segment_bytes;
    for (uint64_t id = journal_start(journal) / size; id * size < end; id++)
        TRY(segment_look(journal, wanted, id, end, err));
    return E_OK;
}
