/* Covers journal.c, record.c, recover.c, scrub.c and segment.c. */
#include "journal/journal_priv.h"

#include "base/test.h"
#include "base/vec.h"
#include "os/os_sim.h"
#include "os/thread.h"

#include <stdio.h>
#include <string.h>

enum { SMALL = JOURNAL_SEGMENT_MIN, USER = JOURNAL_TYPE_USER };

typedef struct Seen {
    Vec(uint64_t) numbers; /* the first 8 bytes of each payload */
    Vec(uint64_t) lsns;
} Seen;

static void seen_done(Seen *seen)
{
    vec_done(&seen->numbers);
    vec_done(&seen->lsns);
}

static Code see(void *arg, const JournalRecord *record, Err *err)
{
    Seen *seen = arg;
    if (record->payload.len < 8)
        return err_set(err, E_CORRUPT, "a short record");
    uint64_t number;
    memcpy(&number, record->payload.ptr, 8);
    for (size_t i = 8; i < record->payload.len; i++)
        if (record->payload.ptr[i] != (char)(number + i))
            return err_set(err, E_CORRUPT, "wrong bytes in record %llu",
                           (unsigned long long)number);
    vec_push(&seen->numbers, number);
    vec_push(&seen->lsns, record->lsn);
    return E_OK;
}

static Str body(char *space, uint64_t number, size_t len)
{
    memcpy(space, &number, 8);
    for (size_t i = 8; i < len; i++)
        space[i] = (char)(number + i);
    return str_of(space, len);
}

static Code open_at(Os *os, const char *dir, uint64_t from, Seen *seen, JournalOpened *opened,
                    Journal **journal, Err *err)
{
    JournalOptions options = { .dir = dir, .segment_bytes = SMALL, .replay_from = from };
    return journal_open(os, &options, seen ? see : NULL, seen, opened, journal, err);
}

static Code append(Journal *journal, uint64_t number, size_t len, uint64_t *lsn, Err *err)
{
    static _Thread_local char space[SMALL];
    JournalRecord record = { .type = USER, .payload = body(space, number, len) };
    TRY(journal_append(journal, &record, 1, err));
    if (lsn)
        *lsn = record.lsn;
    return E_OK;
}

TEST(journal_replays_what_was_appended)
{
    Err err;
    Journal *journal AUTO(journal_drop) = NULL;
    JournalOpened opened;
    uint64_t lsns[100];
    CHECK_OK(open_at(os_real(), test_dir(), 0, NULL, &opened, &journal, &err), &err);
    CHECK(opened.clean);
    for (uint64_t i = 0; i < 100; i++)
        CHECK_OK(append(journal, i, 8 + i * 97, &lsns[i], &err), &err);
    Buf buf AUTO(buf_done);
    buf_init(&buf, SMALL);
    CHECK_OK(journal_read(journal, lsns[99], USER, &buf, &err), &err);
    CHECK_INT(buf.len, 8 + 99 * 97);
    CHECK_CODE(journal_read(journal, lsns[99] + 8, USER, &buf, NULL), E_CORRUPT);
    CHECK_OK(journal_read_known(journal, lsns[99], USER, 8 + 99 * 97, false, &buf, &err), &err);
    CHECK_INT(buf.len, 8 + 99 * 97);
    CHECK_CODE(journal_read_known(journal, lsns[99], USER, 8 + 99 * 97 - 1, false, &buf, NULL), E_CORRUPT);
    Code now = journal_read_known(journal, lsns[99], USER, 8 + 99 * 97, true, &buf, NULL);
    CHECK(now == E_UNAVAILABLE || (now == E_OK && buf.len == 8 + 99 * 97));
    CHECK_CODE(journal_read(journal, journal_end(journal), USER, &buf, NULL), E_NOT_FOUND);
    journal_close(&journal);

    for (int pass = 0; pass < 3; pass++) { /* closed, dropped, closed */
        Seen seen AUTO(seen_done) = { 0 };
        CHECK_OK(open_at(os_real(), test_dir(), 0, &seen, &opened, &journal, &err), &err);
        CHECK_INT(opened.clean, pass != 2);
        CHECK_INT(opened.torn_bytes, 0);
        CHECK_INT(seen.numbers.len, 100);
        for (size_t i = 0; i < seen.numbers.len && i < 100; i++)
            CHECK(seen.numbers.items[i] == i && seen.lsns.items[i] == lsns[i]);
        if (pass == 1)
            journal_drop(&journal);
        else
            journal_close(&journal);
    }
    Seen seen AUTO(seen_done) = { 0 };
    CHECK_OK(open_at(os_real(), test_dir(), lsns[60], &seen, &opened, &journal, &err), &err);
    CHECK_INT(seen.numbers.len, 40);
    CHECK_INT(opened.records, 40);
}

/* The block of the tail is written by two groups and by two openings, and a group by several pieces. */
TEST(journal_goes_on_in_the_block_of_its_tail)
{
    enum { LARGE = 3 << 19, GROUP = 5, ROUNDS = 40 };
    Err err;
    JournalOpened opened;
    uint64_t number = 0;
    Arena arena AUTO(arena_done) = { 0 };
    char *spaces = arena_array_raw(&arena, GROUP, LARGE);
    JournalOptions options = { .dir = test_dir() };
    for (uint64_t round = 0; round < ROUNDS; round++) {
        Journal *journal AUTO(journal_drop) = NULL;
        Seen seen AUTO(seen_done) = { 0 };
        JournalRecord records[GROUP];
        CHECK_OK(journal_open(os_real(), &options, see, &seen, &opened, &journal, &err), &err);
        CHECK_INT(seen.numbers.len, number);
        for (size_t i = 0; i < seen.numbers.len; i++)
            CHECK_INT(seen.numbers.items[i], i);
        for (size_t i = 0; i < GROUP; i++) {
            size_t len = round == 37 ? LARGE : 8 + (size_t)((round * GROUP + i) * 2654435761u) % 5000;
            records[i] = (JournalRecord){ .type = USER, .payload = body(spaces + i * LARGE, number++, len) };
        }
        CHECK_OK(journal_append(journal, records, GROUP, &err), &err);
        if (round % 2)
            journal_close(&journal);
    }
}

/* Each is read right behind its append and once more at the end: from the ring what is not older than it is long, across
 * its seam too, and from the file what is, or what memory has damaged. */
TEST(journal_reads_what_is_recent_in_memory)
{
    enum { LEN = 100003, COUNT = 2 * JOURNAL_RECENT_BYTES / LEN };
    Err err;
    JournalOpened opened;
    Journal *journal AUTO(journal_drop) = NULL;
    JournalOptions options = { .dir = test_dir(), .segment_bytes = 3 << 20 }; /* seams within segments */
    uint64_t lsns[COUNT], bytes, reads, before, recent = 0;
    Arena arena AUTO(arena_done) = { 0 };
    char *space = arena_array_raw(&arena, 1, LEN);
    Buf buf AUTO(buf_done);
    buf_init(&buf, LEN);
    CHECK_OK(journal_open(os_real(), &options, NULL, NULL, &opened, &journal, &err), &err);
    for (uint64_t i = 0; i < COUNT; i++) {
        JournalRecord record = { .type = USER, .payload = body(space, i, LEN) };
        CHECK_OK(journal_append(journal, &record, 1, &err), &err);
        lsns[i] = record.lsn;
        CHECK_OK(journal_read_known(journal, lsns[i], USER, LEN, true, &buf, &err), &err);
        CHECK(str_eq(buf_str(&buf), record.payload));
    }
    journal_recent(journal, &bytes, &before);
    CHECK_INT(bytes, JOURNAL_RECENT_BYTES);
    CHECK_INT(before, COUNT);
    for (uint64_t i = 0; i < COUNT; i++) {
        CHECK_OK(journal_read_known(journal, lsns[i], USER, LEN, false, &buf, &err), &err);
        CHECK(str_eq(buf_str(&buf), body(space, i, LEN)));
        recent += lsns[i] + JOURNAL_RECENT_BYTES >= (journal_end(journal) + OS_BLOCK_BYTES - 1) / OS_BLOCK_BYTES * OS_BLOCK_BYTES;
    }
    journal_recent(journal, &bytes, &reads);
    CHECK(recent > 0 && recent < COUNT);
    CHECK_INT(reads - before, recent);

    journal->recent[(lsns[COUNT - 1] + LEN / 2) % JOURNAL_RECENT_BYTES] ^= 1;
    CHECK_OK(journal_read_known(journal, lsns[COUNT - 1], USER, LEN, false, &buf, &err), &err);
    CHECK(str_eq(buf_str(&buf), body(space, COUNT - 1, LEN)));
    journal_recent(journal, &bytes, &reads);
    CHECK_INT(reads - before, recent); /* the file gave it */
    journal_close(&journal);
    CHECK_OK(journal_open(os_real(), &options, NULL, NULL, &opened, &journal, &err), &err);
    CHECK_OK(journal_read_known(journal, lsns[COUNT - 1], USER, LEN, false, &buf, &err), &err);
    journal_recent(journal, &bytes, &reads);
    CHECK_INT(reads, 0);
}

TEST(journal_refuses_what_is_too_large_or_not_there)
{
    Err err;
    Journal *journal AUTO(journal_drop) = NULL;
    JournalOpened opened;
    CHECK_CODE(open_at(os_real(), test_dir(), 70000, NULL, &opened, &journal, &err), E_CORRUPT);
    JournalOptions odd = { .dir = test_dir(), .segment_bytes = SMALL + 1 };
    CHECK_CODE(journal_open(os_real(), &odd, NULL, NULL, &opened, &journal, &err), E_INVALID);
    CHECK_OK(open_at(os_real(), test_dir(), 0, NULL, &opened, &journal, &err), &err);
    CHECK_CODE(append(journal, 1, SMALL - 100, NULL, &err), E_LIMIT);
    CHECK_OK(append(journal, 1, 9, NULL, &err), &err);
}

TEST(journal_forgets_and_recycles)
{
    Err err;
    Journal *journal AUTO(journal_drop) = NULL;
    JournalOpened opened;
    uint64_t last = 0;
    CHECK_OK(open_at(os_real(), test_dir(), 0, NULL, &opened, &journal, &err), &err);
    for (uint64_t i = 0; i < 60; i++) {
        CHECK_OK(append(journal, i, 10000, &last, &err), &err);
        if (i == 30)
            CHECK_OK(journal_forget(journal, journal_segment_of(journal, last), &err), &err);
    }
    uint64_t start = journal_start(journal);
    Seen scanned AUTO(seen_done) = { 0 };
    CHECK_OK(journal_scan(journal, 0, UINT64_MAX, see, &scanned, &err), &err);
    journal_close(&journal);
    Seen seen AUTO(seen_done) = { 0 };
    CHECK_OK(open_at(os_real(), test_dir(), 0, &seen, &opened, &journal, &err), &err);
    CHECK(opened.clean && journal_start(journal) == start);
    CHECK(seen.numbers.len >= 30 && seen.numbers.len < 40);
    CHECK_INT(scanned.numbers.len, seen.numbers.len);
    for (size_t i = 0; i < seen.numbers.len; i++)
        CHECK_INT(seen.numbers.items[i], 60 - seen.numbers.len + i);
}

/* Writes groups of three records; `acked` counts the groups that were acknowledged. */
static Code work(Os *os, uint64_t groups, uint64_t *acked, Err *err)
{
    static char spaces[3][SMALL];
    Journal *journal AUTO(journal_drop) = NULL;
    JournalOpened opened;
    TRY(open_at(os, "/j", 0, NULL, &opened, &journal, err));
    for (uint64_t i = 0; i < groups; i++) {
        JournalRecord records[3];
        for (uint64_t k = 0; k < 3; k++)
            records[k] = (JournalRecord){ .type = USER,
                                          .payload = body(spaces[k], i * 3 + k, 3000 + k * 2000) };
        TRY(journal_append(journal, records, 3, err));
        (*acked)++;
    }
    journal_close(&journal);
    return E_OK;
}

/* All acknowledged groups are there, in order, and at most the next group's start behind them. Then
 * a record of the length of the first lost one goes in: nothing of the lost group may follow it. */
static void check_after_crash(OsSim *sim, uint64_t acked, uint64_t point)
{
    Err err;
    uint64_t least = acked * 3, most = acked * 3 + 3;
    for (int again = 0; again < 3; again++) {
        Journal *journal AUTO(journal_drop) = NULL;
        Seen seen AUTO(seen_done) = { 0 };
        JournalOpened opened;
        Code code = open_at(os_sim_os(sim), "/j", 0, &seen, &opened, &journal, &err);
        CHECK_OK(code, &err);
        bool right = seen.numbers.len >= least && seen.numbers.len <= most;
        for (size_t i = 0; i < seen.numbers.len; i++)
            right = right && seen.numbers.items[i] == i;
        if (code != E_OK || !right) {
            test_failed(__FILE__, __LINE__,
                        "point %llu, start %d: %zu records, wanted %llu to %llu",
                        (unsigned long long)point, again, seen.numbers.len,
                        (unsigned long long)least, (unsigned long long)most);
            return;
        }
        uint64_t next = seen.numbers.len;
        CHECK_OK(append(journal, next, 3000 + next % 3 * 2000, NULL, &err), &err);
        least = most = next + 1;
    }
}

TEST(journal_survives_a_crash_at_every_call)
{
    uint64_t seed = test_seed();
    OsSim *clean AUTO(os_sim_free) = os_sim_new(seed);
    uint64_t acked = 0;
    Err err;
    CHECK_OK(work(os_sim_os(clean), 12, &acked, &err), &err);
    uint64_t calls = os_sim_calls(clean);
    for (uint64_t point = 1; point <= calls; point++)
        for (uint64_t variant = 0; variant < 3; variant++) {
            OsSim *sim AUTO(os_sim_free) = os_sim_new(seed + variant);
            os_sim_crash_at(sim, point);
            acked = 0;
            IGNORE(work(os_sim_os(sim), 12, &acked, &err));
            os_sim_reboot(sim);
            check_after_crash(sim, acked, point);
        }
}

/* Small records, several a sector: often the first of a torn group are lost and later ones are not.
 * New ones take the places of the lost, one a start: the old ones behind them must not come back.
 */
TEST(journal_ghosts_of_a_torn_group_stay_away)
{
    enum { GHOSTS = 8, LEN = 104, FILL = LEN - 40 }; /* a start's seal and a record: one ghost */
    static char spaces[GHOSTS][LEN];
    size_t torn = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        OsSim *sim AUTO(os_sim_free) = os_sim_new(seed);
        Journal *journal AUTO(journal_drop) = NULL;
        JournalOpened opened;
        JournalRecord records[GHOSTS];
        Err err;
        CHECK_OK(open_at(os_sim_os(sim), "/j", 0, NULL, &opened, &journal, &err), &err);
        for (uint64_t i = 0; i < GHOSTS; i++)
            records[i] = (JournalRecord){ .type = USER, .payload = body(spaces[i], i, LEN) };
        os_sim_crash_at(sim, os_sim_calls(sim) + 2); /* pwrite, sync */
        CHECK_CODE(journal_append(journal, records, GHOSTS, &err), E_IO);
        os_sim_reboot(sim);
        size_t wanted = 0;
        for (int start = 0; start < GHOSTS; start++) {
            journal_drop(&journal);
            Seen seen AUTO(seen_done) = { 0 };
            CHECK_OK(open_at(os_sim_os(sim), "/j", 0, &seen, &opened, &journal, &err), &err);
            torn += opened.torn_bytes > 0;
            if (start > 0)
                CHECK_INT(seen.numbers.len, wanted);
            CHECK_OK(append(journal, seen.numbers.len, FILL, NULL, &err), &err);
            wanted = seen.numbers.len + 1;
        }
    }
    CHECK(torn > 0);
}

typedef struct Pull {
    OsSim *sim;
    size_t count;
} Pull;

static Code pull_the_plug(void *arg, const JournalRecord *record, Err *err)
{
    (void)record;
    Pull *pull = arg;
    if (++pull->count < 20)
        return E_OK;
    os_sim_crash(pull->sim);
    return err_set(err, E_IO, "the machine is off");
}

/* A killed process left records that were written and not synced; the power goes while they are
 * replayed: what the user was told about is there. */
TEST(journal_replays_only_what_is_durable)
{
    for (uint64_t seed = 1; seed <= 5; seed++) {
        OsSim *sim AUTO(os_sim_free) = os_sim_new(seed);
        Journal *journal AUTO(journal_drop) = NULL;
        JournalOpened opened;
        Err err;
        CHECK_OK(open_at(os_sim_os(sim), "/j", 0, NULL, &opened, &journal, &err), &err);
        os_sim_set_honest(sim, false);
        for (uint64_t i = 0; i < 20; i++)
            CHECK_OK(append(journal, i, 2000, NULL, &err), &err);
        journal_drop(&journal);
        os_sim_set_honest(sim, true);
        JournalOptions options = { .dir = "/j" };
        Pull pull = { .sim = sim };
        CHECK_CODE(
            journal_open(os_sim_os(sim), &options, pull_the_plug, &pull, &opened, &journal, &err),
            E_IO);
        os_sim_reboot(sim);
        Seen seen AUTO(seen_done) = { 0 };
        CHECK_OK(open_at(os_sim_os(sim), "/j", 0, &seen, &opened, &journal, &err), &err);
        CHECK_INT(seen.numbers.len, 20);
    }
}

TEST(journal_without_syncs_loses)
{
    uint64_t lost = 0;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        OsSim *sim AUTO(os_sim_free) = os_sim_new(seed);
        os_sim_set_honest(sim, false);
        uint64_t acked = 0;
        Err err;
        CHECK_OK(work(os_sim_os(sim), 5, &acked, &err), &err);
        os_sim_crash(sim);
        os_sim_reboot(sim);
        Journal *journal AUTO(journal_drop) = NULL;
        Seen seen AUTO(seen_done) = { 0 };
        JournalOpened opened;
        Code code = open_at(os_sim_os(sim), "/j", 0, &seen, &opened, &journal, &err);
        lost += code != E_OK || seen.numbers.len < 15;
    }
    CHECK(lost > 0);
}

TEST(journal_errors_fence_and_leave_nothing_half)
{
    uint64_t seed = test_seed();
    OsSim *clean AUTO(os_sim_free) = os_sim_new(seed);
    uint64_t acked = 0;
    Err err;
    CHECK_OK(work(os_sim_os(clean), 12, &acked, &err), &err);
    uint64_t calls = os_sim_calls(clean);
    for (uint64_t point = 1; point <= calls; point++)
        for (int full = 0; full < 2; full++) {
            OsSim *sim AUTO(os_sim_free) = os_sim_new(seed);
            os_sim_fail_at(sim, point, 1, full ? E_NO_SPACE : E_IO);
            acked = 0;
            IGNORE(work(os_sim_os(sim), 12, &acked, &err));
            os_sim_fail_at(sim, 0, 0, E_IO);
            os_sim_crash(sim);
            os_sim_reboot(sim);
            check_after_crash(sim, acked, point);
        }
}

TEST(journal_stays_fenced_after_a_failed_sync)
{
    OsSim *sim AUTO(os_sim_free) = os_sim_new(7);
    Journal *journal AUTO(journal_drop) = NULL;
    JournalOpened opened;
    Err err;
    CHECK_OK(open_at(os_sim_os(sim), "/j", 0, NULL, &opened, &journal, &err), &err);
    CHECK_OK(append(journal, 0, 100, NULL, &err), &err);
    os_sim_fail_at(sim, os_sim_calls(sim) + 2, 1, E_IO); /* pwrite, sync */
    CHECK_CODE(append(journal, 1, 100, NULL, &err), E_IO);
    for (int i = 0; i < 3; i++)
        CHECK_CODE(append(journal, 2, 100, NULL, &err), E_UNAVAILABLE);
    Seen seen AUTO(seen_done) = { 0 };
    CHECK_OK(journal_scan(journal, 0, UINT64_MAX, see, &seen, &err), &err);
    CHECK_INT(seen.numbers.len, 1);
}

/* Whatever fails in it: what was not given back has its name, so that nothing is missing in between at the next start. */
TEST(journal_forgets_without_a_gap_when_it_fails)
{
    for (uint64_t point = 1; point <= 12; point++) {
        OsSim *sim AUTO(os_sim_free) = os_sim_new(point);
        Journal *journal AUTO(journal_drop) = NULL;
        JournalOpened opened;
        Err err;
        uint64_t last = 0;
        CHECK_OK(open_at(os_sim_os(sim), "/j", 0, NULL, &opened, &journal, &err), &err);
        for (uint64_t i = 0; i < 40; i++)
            CHECK_OK(append(journal, i, 10000, &last, &err), &err);
        uint64_t keep = journal_segment_of(journal, last);
        os_sim_fail_at(sim, os_sim_calls(sim) + point, 1, point % 2 ? E_IO : E_NO_SPACE);
        IGNORE(journal_forget(journal, keep, &err));
        os_sim_fail_at(sim, 0, 0, E_IO);
        IGNORE(journal_forget(journal, keep, &err));
        uint64_t start = journal_start(journal);
        journal_drop(&journal);
        Seen seen AUTO(seen_done) = { 0 };
        CHECK_OK(open_at(os_sim_os(sim), "/j", 0, &seen, &opened, &journal, &err), &err);
        CHECK(journal_start(journal) <= MAX(start, keep) && seen.numbers.len > 0);
        for (size_t i = 0; i < seen.numbers.len; i++)
            CHECK_INT(seen.numbers.items[i], 40 - seen.numbers.len + i);
    }
}

/* A failed sync of a segment that is made, or of its directory, is final as well. */
TEST(journal_is_fenced_by_every_failed_sync)
{
    size_t fenced = 0;
    for (uint64_t point = 1; point <= 16; point++) {
        OsSim *sim AUTO(os_sim_free) = os_sim_new(point);
        Journal *journal AUTO(journal_drop) = NULL;
        JournalOpened opened;
        Err err;
        CHECK_OK(open_at(os_sim_os(sim), "/j", 0, NULL, &opened, &journal, &err), &err);
        for (uint64_t i = 0; i < 5; i++) /* the next does not fit its segment */
            CHECK_OK(append(journal, i, 11000, NULL, &err), &err);
        os_sim_fail_at(sim, os_sim_calls(sim) + point, 1, E_IO);
        Code code = append(journal, 5, 11000, NULL, &err);
        os_sim_fail_at(sim, 0, 0, E_IO);
        fenced += code == E_IO && append(journal, 5, 11000, NULL, &err) == E_UNAVAILABLE;
    }
    CHECK_INT(fenced, 6); /* the header's sync, the directory's, END and its sync, the record and its sync */
}

/* Every flipped bit of acknowledged records, but for the last seal, is refused. */
TEST(journal_finds_every_flipped_bit)
{
    Journal *journal AUTO(journal_drop) = NULL;
    JournalOpened opened;
    Err err;
    uint64_t end = 0;
    for (uint64_t at = 0; at == 0 || at < end; at += 3) {
        OsSim *sim AUTO(os_sim_free) = os_sim_new(3);
        CHECK_OK(open_at(os_sim_os(sim), "/j", 0, NULL, &opened, &journal, &err), &err);
        for (uint64_t i = 0; i < 4; i++)
            CHECK_OK(append(journal, i, 64, NULL, &err), &err);
        end = journal_end(journal) % SMALL;
        journal_close(&journal);
        if (at == 0)
            at = 4096;
        const char *path = "/j/0000000000000001.seg";
        CHECK_OK(os_sim_flip_bit(sim, path, at, (unsigned)(at % 8), &err), &err);
        Seen seen AUTO(seen_done) = { 0 };
        Code code = open_at(os_sim_os(sim), "/j", 0, &seen, &opened, &journal, &err);
        if (code != E_CORRUPT)
            test_failed(__FILE__, __LINE__, "byte %llu: %s, %zu records", (unsigned long long)at,
                        code_info(code)->name, seen.numbers.len);
        journal_drop(&journal);
    }
}

typedef struct Scrubbed {
    size_t records, damaged;
    uint64_t at; /* of the last damage */
} Scrubbed;

static Code scrub_visit(void *arg, const JournalRecord *record, Err *err)
{
    (void)err;
    ((Scrubbed *)arg)->records += record->type == USER;
    return E_OK;
}

static void scrub_damage(void *arg, const JournalDamage *damage)
{
    Scrubbed *scrubbed = arg;
    scrubbed->damaged++;
    scrubbed->at = damage->at;
    CHECK_STR(str_z(damage->file), STR("/j/0000000000000001.seg"));
}

/* While it is open: each bit of the header's block and of all records, one damage each, at or before the bit, and all
 * records but the damaged one are seen. */
TEST(journal_scrub_finds_every_flipped_bit_and_goes_on)
{
    OsSim *sim AUTO(os_sim_free) = os_sim_new(4);
    Journal *journal AUTO(journal_drop) = NULL;
    JournalOpened opened;
    Err err;
    CHECK_OK(open_at(os_sim_os(sim), "/j", 0, NULL, &opened, &journal, &err), &err);
    for (uint64_t i = 0; i < 6; i++)
        CHECK_OK(append(journal, i, 61 + i, NULL, &err), &err);
    uint64_t end = journal_end(journal) % SMALL;
    Scrubbed found = { 0 };
    JournalScrub wanted = { scrub_visit, scrub_damage, &found };
    CHECK_OK(journal_scrub(journal, &wanted, &err), &err);
    CHECK_INT(found.damaged, 0);
    CHECK_INT(found.records, 6);
    for (uint64_t at = 0; at < end; at += at < 100 || at > 4090 ? 1 : 97) {
        const char *path = "/j/0000000000000001.seg";
        found = (Scrubbed){ 0 };
        CHECK_OK(os_sim_flip_bit(sim, path, at, (unsigned)(at % 8), &err), &err);
        CHECK_OK(journal_scrub(journal, &wanted, &err), &err);
        CHECK_OK(os_sim_flip_bit(sim, path, at, (unsigned)(at % 8), &err), &err);
        if (found.damaged != 1 || found.at > at || found.records < 5)
            test_failed(__FILE__, __LINE__, "byte %llu: %zu damaged, the last at %llu, %zu records",
                        (unsigned long long)at, found.damaged, (unsigned long long)found.at, found.records);
    }
}

typedef struct Meanwhile {
    Journal *journal;
    uint64_t visits, damaged, number;
} Meanwhile;

/* Behind the first record everything that is old goes, and new records take its files. */
static Code meanwhile_visit(void *arg, const JournalRecord *record, Err *err)
{
    Meanwhile *m = arg;
    (void)record;
    if (m->visits++ > 0)
        return E_OK;
    uint64_t start = journal_start(m->journal);
    TRY(journal_forget(m->journal, journal_end(m->journal), err));
    CHECK(journal_start(m->journal) > start);
    for (int i = 0; i < 60; i++)
        TRY(append(m->journal, m->number++, 60000, NULL, err));
    return E_OK;
}

static void meanwhile_damage(void *arg, const JournalDamage *damage)
{
    (void)damage;
    ((Meanwhile *)arg)->damaged++;
}

/* A segment that is forgotten and written anew while it is looked at is no damage, and its records are not there. */
TEST(journal_scrub_passes_over_what_is_forgotten_meanwhile)
{
    OsSim *sim AUTO(os_sim_free) = os_sim_new(5);
    Journal *journal AUTO(journal_drop) = NULL;
    JournalOpened opened;
    Err err;
    JournalOptions options = { .dir = "/j", .segment_bytes = 3 << 20 }; /* more than is read at once */
    CHECK_OK(journal_open(os_sim_os(sim), &options, NULL, NULL, &opened, &journal, &err), &err);
    Meanwhile m = { .journal = journal };
    for (; m.number < 80; m.number++)
        CHECK_OK(append(journal, m.number, 60000, NULL, &err), &err);
    JournalScrub wanted = { meanwhile_visit, meanwhile_damage, &m };
    CHECK_OK(journal_scrub(journal, &wanted, &err), &err);
    CHECK(m.visits > 1);
    CHECK_INT(m.damaged, 0);
}

TEST(journal_refuses_a_newer_format_and_a_gap)
{
    OsSim *sim AUTO(os_sim_free) = os_sim_new(3);
    Journal *journal AUTO(journal_drop) = NULL;
    JournalOpened opened;
    Err err;
    uint64_t acked = 0;
    Os *os = os_sim_os(sim);
    CHECK_OK(work(os, 30, &acked, &err), &err);
    CHECK_OK(os_sim_flip_bit(sim, "/j/0000000000000001.seg", 8, 1, &err), &err);
    CHECK_CODE(open_at(os, "/j", 0, NULL, &opened, &journal, &err), E_UNSUPPORTED);
    CHECK_OK(os_sim_flip_bit(sim, "/j/0000000000000001.seg", 8, 1, &err), &err);
    CHECK_OK(os_unlink(os, "/j/0000000000000001.seg", &err), &err);
    CHECK_CODE(open_at(os, "/j", SMALL + 4096, NULL, &opened, &journal, &err), E_GONE);
    CHECK_OK(os_unlink(os, "/j/0000000000000003.seg", &err), &err);
    CHECK_CODE(open_at(os, "/j", 0, NULL, &opened, &journal, &err), E_CORRUPT);
}

typedef struct Appender {
    Journal *journal;
    uint64_t first;
    Thread thread;
} Appender;

static void *append_many(void *arg)
{
    Appender *appender = arg;
    Err err;
    Buf buf AUTO(buf_done);
    buf_init(&buf, SMALL);
    for (uint64_t i = 0; i < 50; i++) {
        uint64_t lsn = 0;
        CHECK_OK(append(appender->journal, appender->first + i, 100, &lsn, &err), &err);
        CHECK_OK(journal_read_known(appender->journal, lsn, USER, 100, true, &buf, &err), &err);
    }
    return NULL;
}

TEST(journal_takes_appends_of_many_threads)
{
    Err err;
    Journal *journal AUTO(journal_drop) = NULL;
    JournalOpened opened;
    CHECK_OK(open_at(os_real(), test_dir(), 0, NULL, &opened, &journal, &err), &err);
    Appender appenders[4] = { 0 };
    for (size_t i = 0; i < ARRAY_LEN(appenders); i++) {
        appenders[i].journal = journal;
        appenders[i].first = i * 1000;
        CHECK_OK(thread_start(&appenders[i].thread, "append", append_many, &appenders[i], &err),
                 &err);
    }
    for (size_t i = 0; i < ARRAY_LEN(appenders); i++)
        thread_join(&appenders[i].thread);
    Seen seen AUTO(seen_done) = { 0 };
    CHECK_OK(journal_scan(journal, 0, UINT64_MAX, see, &seen, &err), &err);
    CHECK_INT(seen.numbers.len, 200);
}

enum { RING_LEN = 700001, RING_COUNT = 2 * JOURNAL_RECENT_BYTES / RING_LEN /* of each of two */ };

typedef struct Ring {
    Journal *journal;
    uint64_t lsns[2 * RING_COUNT];
    atomic_uint count;
    Thread readers[2], appenders[2];
} Ring;

static void *ring_append(void *arg)
{
    Ring *ring = arg;
    Err err;
    char *space = mem_new(RING_LEN);
    for (uint64_t i = 0; i < RING_COUNT; i++) {
        JournalRecord record = { .type = USER, .payload = body(space, i, RING_LEN) };
        CHECK_OK(journal_append(ring->journal, &record, 1, &err), &err);
        __atomic_store_n(&ring->lsns[atomic_fetch_add(&ring->count, 1)], record.lsn << 8 | i, __ATOMIC_RELEASE);
    }
    mem_free(&space);
    return NULL;
}

/* Records about as old as the ring is long, whose places in it are being written again. */
static void *ring_read(void *arg)
{
    Ring *ring = arg;
    Err err;
    Buf buf AUTO(buf_done);
    uint64_t state = 1;
    buf_init(&buf, RING_LEN);
    for (unsigned count; (count = atomic_load(&ring->count)) < 2 * RING_COUNT;) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        unsigned age = JOURNAL_RECENT_BYTES / RING_LEN - 3 + (unsigned)((state >> 33) % 5);
        uint64_t number, one = count > age ? __atomic_load_n(&ring->lsns[count - age], __ATOMIC_ACQUIRE) : 0;
        if (one == 0)
            continue; /* not so many yet, or that thread is about to say where */
        CHECK_OK(journal_read_known(ring->journal, one >> 8, USER, RING_LEN, false, &buf, &err), &err);
        memcpy(&number, buf.ptr, sizeof number);
        CHECK_INT(number, one & 255);
    }
    return NULL;
}

TEST(journal_reads_what_is_recent_among_threads)
{
    Err err;
    JournalOpened opened;
    Journal *journal AUTO(journal_drop) = NULL;
    JournalOptions options = { .dir = test_dir(), .segment_bytes = 3 << 20 };
    CHECK_OK(journal_open(os_real(), &options, NULL, NULL, &opened, &journal, &err), &err);
    Ring *ring = mem_new(sizeof *ring);
    ring->journal = journal;
    for (size_t i = 0; i < ARRAY_LEN(ring->readers); i++) {
        CHECK_OK(thread_start(&ring->appenders[i], "append", ring_append, ring, &err), &err);
        CHECK_OK(thread_start(&ring->readers[i], "read", ring_read, ring, &err), &err);
    }
    for (size_t i = 0; i < ARRAY_LEN(ring->readers); i++) {
        thread_join(&ring->appenders[i]);
        thread_join(&ring->readers[i]);
    }
    uint64_t bytes, reads;
    journal_recent(journal, &bytes, &reads);
    CHECK_INT(bytes, JOURNAL_RECENT_BYTES);
    mem_free(&ring);
}
