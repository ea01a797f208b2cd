/* Covers trashed.c, undelete.c and what compact.c does for them: small bodies in the trash, listed, taken back, moved. */
#include "base/test.h"
#include "os/os_sim.h"
#include "store/store_conformance.h"
#include "store/store_keep.h"
#include "store/store_trash.h"

#include <string.h>

#define BUCKET STR("bronze")
#define MINUTE_US ((int64_t)60 * 1000000)
enum { SMALL_LEN = 5000, LARGE_LEN = 140000, HOT_LEN = 100000 };

static Code bin_open(OsSim *sim, Store **store, Err *err)
{
    StoreOptions options = {
        .index = "memory", .dir = "/s", .segment_bytes = 256 * 1024, .trash_seconds = 600
    };
    return store_open(os_sim_os(sim), &options, store, err);
}

static uint64_t bin_bytes(Store *store)
{
    Err err;
    StoreUsage usage = { 0 };
    Arena arena AUTO(arena_done) = { 0 };
    StoreBucket bucket = { 0 };
    CHECK_OK(store_usage(store, &usage, &err), &err);
    if (store_bucket_get(store, BUCKET, &arena, &bucket, NULL) == E_OK)
        CHECK_INT(bucket.trash_bytes, usage.trash_bytes); /* these tests have one bucket */
    return usage.trash_bytes;
}

static size_t bin_count(Store *store, Str prefix)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    StoreTrashQuery query = { .bucket = BUCKET, .prefix = prefix };
    StoreTrashPage page = { 0 };
    CHECK_OK(store_trash_list(store, &query, &arena, &page, &err), &err);
    return page.count;
}

static Code bin_restore(Store *store, Str key, uint64_t which, uint64_t *ret_sequence, Err *err)
{
    Arena arena AUTO(arena_done) = { 0 };
    ObjectInfo info;
    TRY(store_undelete(store, BUCKET, key, which, &arena, &info, err));
    if (ret_sequence)
        *ret_sequence = info.sequence;
    return E_OK;
}

static uint64_t bin_purge(Store *store)
{
    Err err;
    StorePurged purged = { 0 };
    CHECK_OK(store_trash_purge(store, NULL, &purged, &err), &err);
    return purged.objects;
}

static void bin_restart(OsSim *sim, Store **store, bool cut)
{
    Err err;
    store_free(store);
    if (cut) {
        os_sim_crash(sim);
        os_sim_reboot(sim);
    }
    CHECK_OK(bin_open(sim, store, &err), &err);
}

static bool is_there(Store *store, Str key)
{
    Arena arena AUTO(arena_done) = { 0 };
    ObjectInfo info;
    return store_head(store, BUCKET, key, &arena, &info, NULL) == E_OK;
}

TEST(undelete_takes_small_and_large_back)
{
    OsSim *sim AUTO(os_sim_free) = os_sim_new(1);
    Err err;
    Store *store AUTO(store_free) = NULL;
    CHECK_OK(bin_open(sim, &store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("s"), SMALL_LEN, 1, &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("l"), LARGE_LEN, 2, &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("e"), 0, 3, &err), &err);
    CHECK_INT(bin_bytes(store), 0);
    const Str keys[] = { STR("s"), STR("l"), STR("e") };
    const size_t lens[] = { SMALL_LEN, LARGE_LEN, 0 };
    for (int pass = 0; pass < 4; pass++) { /* as it is, a restart, a power cut, again */
        for (size_t i = 0; i < ARRAY_LEN(keys); i++)
            CHECK_OK(store_delete(store, BUCKET, keys[i], &err), &err);
        CHECK_INT(bin_bytes(store), SMALL_LEN + LARGE_LEN);
        CHECK_INT(bin_count(store, STR_NONE), 3);
        if (pass > 0)
            bin_restart(sim, &store, pass > 1);
        CHECK_INT(bin_bytes(store), SMALL_LEN + LARGE_LEN);
        for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
            CHECK_OK(bin_restore(store, keys[i], 0, NULL, &err), &err);
            CHECK_CODE(bin_restore(store, keys[i], 0, NULL, &err), E_NOT_FOUND);
        }
        if (pass > 0)
            bin_restart(sim, &store, pass > 1);
        for (size_t i = 0; i < ARRAY_LEN(keys); i++)
            CHECK(pattern_is(store, BUCKET, keys[i], lens[i], i + 1));
        CHECK_INT(bin_bytes(store), 0);
        CHECK_INT(bin_count(store, STR_NONE), 0);
    }
    os_sim_advance_us(sim, 20 * MINUTE_US);
    CHECK_INT(bin_purge(store), 0);
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        CHECK(pattern_is(store, BUCKET, keys[i], lens[i], i + 1));
}

TEST(undelete_ends_with_the_time_of_the_trash)
{
    OsSim *sim AUTO(os_sim_free) = os_sim_new(2);
    Err err;
    Store *store AUTO(store_free) = NULL;
    CHECK_OK(bin_open(sim, &store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    for (uint64_t i = 0; i < 3; i++) {
        CHECK_OK(pattern_put(store, BUCKET, STR("s"), SMALL_LEN, i, &err), &err);
        os_sim_advance_us(sim, 4 * MINUTE_US);
    }
    CHECK_INT(bin_bytes(store), 2 * SMALL_LEN);
    CHECK_INT(bin_purge(store), 0);
    os_sim_advance_us(sim, 3 * MINUTE_US);
    CHECK_INT(bin_purge(store), 1); /* that which was replaced first, 11 minutes ago */
    CHECK_INT(bin_bytes(store), SMALL_LEN);
    bin_restart(sim, &store, true);
    CHECK_INT(bin_bytes(store), SMALL_LEN);
    os_sim_advance_us(sim, 4 * MINUTE_US);
    CHECK_INT(bin_purge(store), 1);
    CHECK_CODE(bin_restore(store, STR("s"), 0, NULL, &err), E_NOT_FOUND);
    CHECK(pattern_is(store, BUCKET, STR("s"), SMALL_LEN, 2));
    bin_restart(sim, &store, false);
    CHECK_INT(bin_bytes(store), 0);
}

/* What takes the place of a taken back version, by what the bucket does with versions. */
TEST(undelete_replaces_nothing)
{
    OsSim *sim AUTO(os_sim_free) = os_sim_new(3);
    Err err;
    Store *store AUTO(store_free) = NULL;
    uint64_t first = 0, second = 0;
    CHECK_OK(bin_open(sim, &store, &err), &err);
    CHECK_CODE(bin_restore(store, STR("k"), 0, NULL, &err), E_NOT_FOUND);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("k"), SMALL_LEN, 1, &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("k"), SMALL_LEN, 2, &err), &err);
    CHECK_CODE(bin_restore(store, STR("k"), 0, NULL, &err), E_CONFLICT);
    CHECK_INT(bin_bytes(store), SMALL_LEN);
    CHECK_OK(store_bucket_set_versioning(store, BUCKET, VERSIONING_SUSPENDED, &err), &err);
    CHECK_CODE(bin_restore(store, STR("k"), 0, NULL, &err), E_CONFLICT); /* there is a null version */
    CHECK_OK(store_bucket_set_versioning(store, BUCKET, VERSIONING_ENABLED, &err), &err);
    CHECK_OK(bin_restore(store, STR("k"), 0, &first, &err), &err);
    CHECK(pattern_is(store, BUCKET, STR("k"), SMALL_LEN, 1));
    CHECK_OK(pattern_put(store, BUCKET, STR("k"), LARGE_LEN, 3, &err), &err);
    CHECK_OK(store_delete_version(store, BUCKET, STR("k"), store_sequence(store), &err), &err);
    CHECK_OK(store_delete(store, BUCKET, STR("k"), &err), &err); /* a marker: no trash */
    CHECK_INT(bin_count(store, STR_NONE), 1);
    CHECK(!is_there(store, STR("k")));
    CHECK_OK(bin_restore(store, STR("k"), 0, &second, &err), &err);
    CHECK(second > first);
    CHECK(pattern_is(store, BUCKET, STR("k"), LARGE_LEN, 3));
    CHECK_INT(bin_bytes(store), 0);
    bin_restart(sim, &store, true);
    CHECK(pattern_is(store, BUCKET, STR("k"), LARGE_LEN, 3));
}

TEST(undelete_of_one_among_many_and_the_list_in_pages)
{
    OsSim *sim AUTO(os_sim_free) = os_sim_new(4);
    Err err;
    Store *store AUTO(store_free) = NULL;
    static const Str keys[] = { STR_INIT("a"), STR_INIT("a/b"), STR_INIT("b") };
    uint64_t of_a = 0;
    CHECK_OK(bin_open(sim, &store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    for (uint64_t i = 0; i < 4; i++)
        for (size_t k = 0; k < ARRAY_LEN(keys); k++) {
            CHECK_OK(pattern_put(store, BUCKET, keys[k], SMALL_LEN, 10 * k + i, &err), &err);
            of_a = k == 0 && i == 1 ? store_sequence(store) : of_a;
        }
    CHECK_OK(store_delete(store, BUCKET, STR("a"), &err), &err);
    CHECK_INT(bin_count(store, STR_NONE), 10);
    CHECK_INT(bin_count(store, STR("a")), 7);
    CHECK_INT(bin_count(store, STR("a/")), 3);
    size_t seen = 0;
    Arena arena AUTO(arena_done) = { 0 };
    StoreTrashQuery query = { .bucket = BUCKET, .limit = 3 };
    StoreTrashPage page = { .truncated = true };
    uint64_t before = UINT64_MAX;
    Str key = STR_NONE;
    while (page.truncated) {
        CHECK_OK(store_trash_list(store, &query, &arena, &page, &err), &err);
        for (size_t i = 0; i < page.count; i++, seen++) {
            const ObjectInfo *info = &page.items[i].object;
            CHECK(str_cmp(key, info->key) < 0 || (str_eq(key, info->key) && info->sequence < before));
            CHECK_INT(info->size_bytes, SMALL_LEN);
            CHECK_INT(page.items[i].until_us - page.items[i].deleted_us, 10 * MINUTE_US);
            key = info->key;
            before = info->sequence;
        }
        query.start_after = page.next;
        query.after_sequence = page.next_sequence;
    }
    CHECK_INT(seen, 10);
    CHECK_OK(bin_restore(store, STR("a"), of_a, NULL, &err), &err);
    CHECK(pattern_is(store, BUCKET, STR("a"), SMALL_LEN, 1));
    CHECK_CODE(bin_restore(store, STR("b"), of_a, NULL, &err), E_NOT_FOUND); /* of another key */
    CHECK_INT(bin_bytes(store), 9 * SMALL_LEN);
}

/* The segment that had the body is forgotten, once and again, and the index is made again: it can still be taken back. */
TEST(undelete_survives_compaction_and_a_lost_index)
{
    OsSim *sim AUTO(os_sim_free) = os_sim_new(5);
    Err err;
    Store *store AUTO(store_free) = NULL;
    size_t freed = 0;
    CHECK_OK(bin_open(sim, &store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("s"), SMALL_LEN, 1, &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("t"), SMALL_LEN, 2, &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("gone"), SMALL_LEN, 3, &err), &err);
    CHECK_OK(store_delete(store, BUCKET, STR("gone"), &err), &err);
    os_sim_advance_us(sim, 5 * MINUTE_US);
    CHECK_OK(store_delete(store, BUCKET, STR("s"), &err), &err);
    CHECK_OK(store_delete(store, BUCKET, STR("t"), &err), &err);
    for (uint64_t pass = 0; pass < 3; pass++) {
        for (uint64_t i = 0; i < 12; i++)
            CHECK_OK(pattern_put(store, BUCKET, STR("hot"), HOT_LEN, i, &err), &err);
        CHECK_OK(store_compact(store, NULL, &freed, &err), &err);
        CHECK_INT(freed, 0); /* all of it lives, or is trash */
        os_sim_advance_us(sim, 6 * MINUTE_US);
        bin_purge(store); /* at first "gone", then what was hot */
        if (pass > 0)
            CHECK_OK(store_compact(store, NULL, &freed, &err), &err);
        CHECK(pass == 0 || freed > 0);
        if (pass == 0)
            CHECK_OK(bin_restore(store, STR("t"), 0, NULL, &err), &err);
        if (pass == 0)
            CHECK_OK(store_delete(store, BUCKET, STR("t"), &err), &err);
        bin_restart(sim, &store, true);
        CHECK_INT(bin_count(store, STR("gone")), 0);
        CHECK(pass > 0 || bin_count(store, STR("s")) == 1);
        CHECK(pattern_is(store, BUCKET, STR("hot"), HOT_LEN, 11));
    }
}

static Code moved_work(OsSim *sim, size_t *ret_freed, Err *err)
{
    Store *store AUTO(store_free) = NULL;
    TRY(bin_open(sim, &store, err));
    TRY(store_bucket_create(store, BUCKET, err));
    for (uint64_t i = 0; i < 12; i++)
        TRY(pattern_put(store, BUCKET, STR("hot"), HOT_LEN, i, err));
    os_sim_advance_us(sim, 11 * MINUTE_US);
    TRY(pattern_put(store, BUCKET, STR("s"), SMALL_LEN, 1, err));
    TRY(store_delete(store, BUCKET, STR("s"), err)); /* behind what is dead soon */
    for (uint64_t i = 12; i < 18; i++)
        TRY(pattern_put(store, BUCKET, STR("hot"), HOT_LEN, i, err));
    StorePurged purged;
    TRY(store_trash_purge(store, NULL, &purged, err));
    return store_compact(store, NULL, ret_freed, err);
}

TEST(undelete_of_what_compaction_has_moved)
{
    OsSim *sim AUTO(os_sim_free) = os_sim_new(6);
    Err err;
    size_t freed = 0;
    CHECK_OK(moved_work(sim, &freed, &err), &err);
    CHECK(freed >= 3);
    Store *store AUTO(store_free) = NULL;
    CHECK_OK(bin_open(sim, &store, &err), &err);
    uint64_t trash = bin_bytes(store);
    for (int pass = 0; pass < 2; pass++) {
        CHECK_INT(bin_count(store, STR("s")), 1);
        CHECK_INT(bin_bytes(store), trash);
        CHECK_OK(store_compact(store, NULL, &freed, &err), &err);
        bin_restart(sim, &store, pass == 0);
    }
    CHECK_OK(bin_restore(store, STR("s"), 0, NULL, &err), &err);
    CHECK(pattern_is(store, BUCKET, STR("s"), SMALL_LEN, 1));
}

typedef struct BinAcks {
    bool deleted, small_back, large_back, purged, done;
} BinAcks;

static Code bin_work(OsSim *sim, BinAcks *acks, Err *err)
{
    Store *store AUTO(store_free) = NULL;
    size_t freed = 0;
    TRY(bin_open(sim, &store, err));
    TRY(store_bucket_create(store, BUCKET, err));
    TRY(pattern_put(store, BUCKET, STR("hot"), HOT_LEN, 1, err));
    TRY(pattern_put(store, BUCKET, STR("old"), SMALL_LEN, 9, err));
    for (uint64_t i = 2; i < 9; i++)
        TRY(pattern_put(store, BUCKET, STR("hot"), HOT_LEN, i, err));
    os_sim_advance_us(sim, 11 * MINUTE_US);
    TRY(pattern_put(store, BUCKET, STR("s"), SMALL_LEN, 1, err));
    TRY(pattern_put(store, BUCKET, STR("l"), LARGE_LEN, 2, err));
    TRY(store_delete(store, BUCKET, STR("s"), err));
    TRY(store_delete(store, BUCKET, STR("l"), err));
    TRY(store_delete(store, BUCKET, STR("old"), err));
    acks->deleted = true;
    TRY(bin_restore(store, STR("s"), 0, NULL, err));
    acks->small_back = true;
    TRY(bin_restore(store, STR("l"), 0, NULL, err));
    acks->large_back = true;
    StorePurged purged;
    TRY(store_trash_purge(store, NULL, &purged, err));
    acks->purged = true;
    TRY(store_compact(store, NULL, &freed, err)); /* "old" is kept, at another place */
    CHECK(freed > 0);
    acks->done = true;
    return E_OK;
}

static void check_bin(OsSim *sim, const BinAcks *acks, uint64_t point, int variant)
{
    Err err;
    Store *store AUTO(store_free) = NULL;
    CHECK_OK(bin_open(sim, &store, &err), &err);
    if (!acks->deleted || !store)
        return;
    const Str keys[] = { STR("s"), STR("l"), STR("old") };
    const bool back[] = { acks->small_back, acks->large_back, false };
    const size_t lens[] = { SMALL_LEN, LARGE_LEN, SMALL_LEN };
    const uint64_t numbers[] = { 1, 2, 9 };
    for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
        bool lives = is_there(store, keys[i]), trash = bin_count(store, keys[i]) == 1;
        bool taken = !lives && bin_restore(store, keys[i], 0, NULL, &err) == E_OK;
        if (lives == trash || (back[i] && !lives) || (!lives && !taken) ||
            !pattern_is(store, BUCKET, keys[i], lens[i], numbers[i]))
            test_failed(__FILE__, __LINE__, "point %llu variant %d: key %zu lives %d trash %d: %s",
                        (unsigned long long)point, variant, i, lives, trash, err.text);
    }
    CHECK(pattern_is(store, BUCKET, STR("hot"), HOT_LEN, 8));
}

TEST(undelete_survives_a_crash_at_every_call)
{
    uint64_t seed = test_seed();
    Err err;
    BinAcks clean_acks = { 0 };
    OsSim *clean AUTO(os_sim_free) = os_sim_new(seed);
    CHECK_OK(bin_work(clean, &clean_acks, &err), &err);
    CHECK(clean_acks.done);
    uint64_t calls = os_sim_calls(clean);
    for (uint64_t point = 270; point <= calls; point++)
        for (int variant = 0; variant < 3; variant++) {
            OsSim *sim AUTO(os_sim_free) = os_sim_new(seed + (uint64_t)variant);
            BinAcks acks = { 0 };
            if (variant == 2)
                os_sim_fail_at(sim, point, 1, E_IO);
            else
                os_sim_crash_at(sim, point);
            IGNORE(bin_work(sim, &acks, &err));
            os_sim_crash(sim);
            os_sim_reboot(sim);
            check_bin(sim, &acks, point, variant);
        }
}
