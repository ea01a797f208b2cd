/* Covers trash.c and the pins of read.c: how long bytes stay, who keeps them, what a restart, a rebuild and a compaction
 * make of them, a crash at every call of a purge. */
#include "base/test.h"
#include "os/os_sim.h"
#include "store/store_conformance.h"
#include "store/store_keep.h"
#include "store/upload.h"

#include <string.h>

#define BUCKET STR("bronze")
#define MINUTE_US ((int64_t)60 * 1000000)
enum { LARGE_LEN = 140000, PART_LEN = 70000, PART_COUNT = 3 };

static Code seconds_open(OsSim *sim, int64_t seconds, Store **store, Err *err)
{
    StoreOptions options = {
        .index = "memory", .dir = "/s", .segment_bytes = 256 * 1024, .trash_seconds = seconds
    };
    return store_open(os_sim_os(sim), &options, store, err);
}

static Code trash_open(OsSim *sim, Store **store, Err *err)
{
    return seconds_open(sim, 600, store, err);
}

static size_t files(OsSim *sim)
{
    Arena arena AUTO(arena_done) = { 0 };
    size_t sum = 0;
    for (unsigned i = 0; i < 256; i++) {
        Str dir = str_format(&arena, "/s/objects/%02x%c", i, 0);
        OsDirEntry *entries;
        size_t count = 0;
        if (os_dir_list(os_sim_os(sim), dir.ptr, &arena, &entries, &count, NULL) == E_OK)
            sum += count;
    }
    return sum;
}

static uint64_t purge(Store *store)
{
    Err err;
    StorePurged purged = { 0 };
    CHECK_OK(store_trash_purge(store, NULL, &purged, &err), &err);
    return purged.objects;
}

static uint64_t trash_bytes(Store *store)
{
    Err err;
    StoreUsage usage = { 0 };
    CHECK_OK(store_usage(store, &usage, &err), &err);
    return usage.trash_bytes;
}

/* An object of three parts; the bytes of part i are pattern `number` + i. */
static Code parts_put(Store *store, Str key, uint64_t number, Err *err)
{
    static char bytes[PART_LEN];
    StorePart parts[PART_COUNT];
    StoreUpload upload = { .bucket = BUCKET, .key = key };
    StoreUploadId id;
    uint64_t sequence;
    TRY(store_upload_create(store, &upload, &id, err));
    for (uint32_t i = 0; i < PART_COUNT; i++) {
        StagedObject *staged AUTO(store_stage_abort) = NULL;
        pattern_fill(bytes, PART_LEN, number + i, 0);
        parts[i] = (StorePart){ .number = i + 1, .size_bytes = PART_LEN, .md5 = { (uint8_t)i } };
        TRY(store_stage_part(store, &staged, err));
        TRY(store_stage_write(staged, str_of(bytes, PART_LEN), err));
        TRY(store_stage_finish(staged, err));
        TRY(store_upload_part(store, BUCKET, key, &id, &parts[i], &staged, err));
    }
    StoreComplete complete = {
        .bucket = BUCKET, .key = key, .id = id, .parts = parts, .part_count = PART_COUNT
    };
    return store_upload_complete(store, &complete, &sequence, err);
}

static bool part_reads(ObjectReader *reader, uint64_t i, uint64_t number)
{
    static char got[PART_LEN], wanted[PART_LEN];
    size_t len = 0;
    pattern_fill(wanted, PART_LEN, number + i, 0);
    return object_pread(reader, got, PART_LEN, i * PART_LEN, &len, NULL) == E_OK && len == PART_LEN &&
           memcmp(got, wanted, PART_LEN) == 0;
}

/* Set ahead it empties nothing early; set back it keeps what was there, and nothing that comes is kept for longer. */
TEST(trash_minds_no_jumps_of_the_clock)
{
    OsSim *sim AUTO(os_sim_free) = os_sim_new(1);
    Err err;
    Store *store AUTO(store_free) = NULL;
    const int64_t day = 24 * 60 * MINUTE_US;
    os_sim_set_now_us(sim, 100 * day);
    CHECK_OK(trash_open(sim, &store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("k"), LARGE_LEN, 1, &err), &err);
    CHECK_OK(store_delete(store, BUCKET, STR("k"), &err), &err);
    os_sim_set_now_us(sim, 101 * day);
    CHECK_INT(purge(store), 0);
    os_sim_advance_us(sim, 9 * MINUTE_US);
    CHECK_INT(purge(store), 0);
    os_sim_advance_us(sim, 2 * MINUTE_US);
    CHECK_INT(purge(store), 1);
    os_sim_set_now_us(sim, 100 * day);
    CHECK_OK(pattern_put(store, BUCKET, STR("k"), LARGE_LEN, 2, &err), &err);
    CHECK_OK(store_delete(store, BUCKET, STR("k"), &err), &err);
    os_sim_set_now_us(sim, 99 * day);
    CHECK_OK(pattern_put(store, BUCKET, STR("k"), LARGE_LEN, 3, &err), &err);
    CHECK_OK(store_delete(store, BUCKET, STR("k"), &err), &err);
    CHECK_INT(purge(store), 0);
    os_sim_advance_us(sim, 11 * MINUTE_US);
    CHECK_INT(purge(store), 1); /* the later one */
    store_free(&store);
    CHECK_OK(trash_open(sim, &store, &err), &err);
    CHECK_INT(purge(store), 0);
    os_sim_advance_us(sim, day);
    CHECK_INT(purge(store), 1);
    CHECK_INT(files(sim), 0);
}

TEST(trash_keeps_bytes_for_its_time)
{
    OsSim *sim AUTO(os_sim_free) = os_sim_new(1);
    Err err;
    Store *store AUTO(store_free) = NULL;
    os_sim_set_now_us(sim, 1000 * MINUTE_US);
    CHECK_OK(trash_open(sim, &store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("k"), LARGE_LEN, 1, &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("k"), LARGE_LEN, 2, &err), &err);
    os_sim_advance_us(sim, 5 * MINUTE_US);
    CHECK_OK(parts_put(store, STR("p"), 10, &err), &err);
    CHECK_OK(store_delete(store, BUCKET, STR("p"), &err), &err);
    CHECK_INT(trash_bytes(store), LARGE_LEN + PART_COUNT * PART_LEN);
    CHECK_INT(purge(store), 0);
    CHECK_INT(files(sim), 2 + PART_COUNT);
    for (int pass = 0; pass < 2; pass++) { /* a restart from the journal, orderly and by a power cut */
        store_free(&store);
        if (pass == 1) {
            os_sim_crash(sim);
            os_sim_reboot(sim);
        }
        CHECK_OK(trash_open(sim, &store, &err), &err);
        CHECK_INT(trash_bytes(store), LARGE_LEN + PART_COUNT * PART_LEN);
        CHECK_INT(files(sim), 2 + PART_COUNT);
    }
    os_sim_advance_us(sim, 6 * MINUTE_US);
    CHECK_INT(purge(store), 1); /* what was replaced first */
    CHECK_INT(files(sim), 1 + PART_COUNT);
    os_sim_advance_us(sim, 6 * MINUTE_US);
    CHECK_INT(purge(store), PART_COUNT);
    CHECK_INT(trash_bytes(store), 0);
    CHECK_INT(files(sim), 1);
    CHECK(pattern_is(store, BUCKET, STR("k"), LARGE_LEN, 2));
    store_free(&store);
    CHECK_OK(trash_open(sim, &store, &err), &err); /* purged once, purged for good */
    CHECK_INT(trash_bytes(store), 0);
    CHECK_INT(purge(store), 0);
}

TEST(trash_leaves_what_is_being_read)
{
    OsSim *sim AUTO(os_sim_free) = os_sim_new(2);
    Err err;
    Store *store AUTO(store_free) = NULL;
    CHECK_OK(trash_open(sim, &store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    CHECK_OK(parts_put(store, STR("p"), 10, &err), &err);
    CHECK_OK(parts_put(store, STR("q"), 20, &err), &err);
    ObjectReader *reader AUTO(object_reader_free) = NULL, *second AUTO(object_reader_free) = NULL;
    CHECK_OK(store_reader_open(store, BUCKET, STR("p"), 0, &reader, &err), &err);
    CHECK_OK(store_reader_open(store, BUCKET, STR("p"), 0, &second, &err), &err);
    CHECK(part_reads(reader, 0, 10));
    CHECK_OK(store_delete(store, BUCKET, STR("p"), &err), &err);
    CHECK_OK(parts_put(store, STR("q"), 30, &err), &err); /* replaces */
    os_sim_advance_us(sim, 60 * MINUTE_US);
    CHECK_INT(purge(store), PART_COUNT); /* of "q", which nobody reads */
    CHECK(part_reads(reader, 1, 10));
    CHECK(part_reads(reader, 2, 10));
    object_reader_free(&reader);
    CHECK_INT(purge(store), 0); /* there is a second reader */
    CHECK(part_reads(second, 2, 10) && part_reads(second, 0, 10));
    object_reader_free(&second);
    CHECK_INT(purge(store), PART_COUNT);
    CHECK_INT(files(sim), PART_COUNT);
}

/* The segment that named the bytes is forgotten and the index is made again: the trash is the same. */
TEST(trash_survives_compaction_and_a_lost_index)
{
    OsSim *sim AUTO(os_sim_free) = os_sim_new(3);
    Err err;
    Store *store AUTO(store_free) = NULL;
    size_t freed = 0;
    CHECK_OK(trash_open(sim, &store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("k"), LARGE_LEN, 1, &err), &err);
    CHECK_OK(parts_put(store, STR("p"), 10, &err), &err);
    CHECK_OK(store_delete(store, BUCKET, STR("p"), &err), &err);
    CHECK_OK(store_delete(store, BUCKET, STR("k"), &err), &err);
    for (int pass = 0; pass < 3; pass++) {
        store_free(&store); /* what is hot leaves no trash */
        CHECK_OK(seconds_open(sim, -1, &store, &err), &err);
        for (uint64_t i = 0; i < 12; i++)
            CHECK_OK(pattern_put(store, BUCKET, STR("hot"), 100000, i, &err), &err);
        CHECK_OK(store_compact(store, NULL, &freed, &err), &err);
        CHECK(freed >= 3);
        store_free(&store);
        os_sim_crash(sim);
        os_sim_reboot(sim);
        CHECK_OK(seconds_open(sim, -1, &store, &err), &err);
        CHECK_INT(trash_bytes(store), LARGE_LEN + PART_COUNT * PART_LEN);
        CHECK_INT(files(sim), 1 + PART_COUNT);
    }
    os_sim_advance_us(sim, 11 * MINUTE_US);
    CHECK_INT(purge(store), 1 + PART_COUNT);
    CHECK_INT(files(sim), 0);
}

/* Two puts of one key in one group: the bytes of the first never had a row, and go all the same. */
TEST(trash_takes_bytes_that_were_replaced_in_their_own_group)
{
    OsSim *sim AUTO(os_sim_free) = os_sim_new(4);
    Err err;
    Store *store AUTO(store_free) = NULL;
    CHECK_OK(trash_open(sim, &store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    for (uint64_t i = 0; i < 4; i++)
        CHECK_OK(pattern_put(store, BUCKET, STR("k"), LARGE_LEN, i, &err), &err);
    store_free(&store);
    CHECK_OK(trash_open(sim, &store, &err), &err); /* the replay takes them as one group */
    CHECK_INT(trash_bytes(store), 3 * LARGE_LEN);
    os_sim_advance_us(sim, 11 * MINUTE_US);
    CHECK_INT(purge(store), 3);
    CHECK_INT(files(sim), 1);
    CHECK(pattern_is(store, BUCKET, STR("k"), LARGE_LEN, 3));
}

static Code purge_work(OsSim *sim, bool *ret_deleted, Err *err)
{
    Store *store AUTO(store_free) = NULL;
    StorePurged purged;
    TRY(trash_open(sim, &store, err));
    TRY(store_bucket_create(store, BUCKET, err));
    TRY(pattern_put(store, BUCKET, STR("stays"), LARGE_LEN, 1, err));
    TRY(pattern_put(store, BUCKET, STR("k"), LARGE_LEN, 2, err));
    TRY(pattern_put(store, BUCKET, STR("k"), LARGE_LEN, 3, err));
    TRY(parts_put(store, STR("p"), 10, err));
    TRY(store_delete(store, BUCKET, STR("p"), err));
    *ret_deleted = true;
    os_sim_advance_us(sim, 11 * MINUTE_US);
    return store_trash_purge(store, NULL, &purged, err);
}

TEST(trash_purge_survives_a_crash_at_every_call)
{
    uint64_t seed = test_seed();
    Err err;
    bool deleted = false;
    OsSim *clean AUTO(os_sim_free) = os_sim_new(seed);
    CHECK_OK(purge_work(clean, &deleted, &err), &err);
    uint64_t calls = os_sim_calls(clean);
    for (uint64_t point = 270; point <= calls; point++)
        for (int variant = 0; variant < 3; variant++) {
            OsSim *sim AUTO(os_sim_free) = os_sim_new(seed + (uint64_t)variant);
            Store *store AUTO(store_free) = NULL;
            deleted = false;
            if (variant == 2)
                os_sim_fail_at(sim, point, 1, E_IO);
            else
                os_sim_crash_at(sim, point);
            IGNORE(purge_work(sim, &deleted, &err));
            os_sim_crash(sim);
            os_sim_reboot(sim);
            CHECK_OK(trash_open(sim, &store, &err), &err);
            if (!deleted || !store)
                continue;
            CHECK(pattern_is(store, BUCKET, STR("stays"), LARGE_LEN, 1));
            CHECK(pattern_is(store, BUCKET, STR("k"), LARGE_LEN, 3));
            os_sim_advance_us(sim, 11 * MINUTE_US);
            purge(store);
            if (files(sim) != 2 || trash_bytes(store) != 0)
                test_failed(__FILE__, __LINE__, "point %llu variant %d: %zu files, %llu bytes of trash",
                            (unsigned long long)point, variant, files(sim), (unsigned long long)trash_bytes(store));
        }
}
