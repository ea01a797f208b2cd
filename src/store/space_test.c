/* Covers space.c: the levels, what is refused and what goes on, the reserve, and the way back, on a simulated disk. */
#include "base/test.h"
#include "os/os_sim.h"
#include "store/store_conformance.h"
#include "store/store_keep.h"

#include <string.h>

#define BUCKET STR("space")
enum { MIB = 1024 * 1024, LARGE_LEN = 140000, SMALL_LEN = 100, SMALL_COUNT = 1500, HOT_LEN = 100000 };

static Code space_open(OsSim *sim, Store **store, Err *err)
{
    StoreOptions options = { .index = "memory", .dir = "/s", .segment_bytes = 256 * 1024 };
    return store_open(os_sim_os(sim), &options, store, err);
}

static StoreSpace space_of(Store *store)
{
    StoreSpace space;
    store_space(store, &space);
    return space;
}

static uint64_t used_percent(const StoreSpace *space)
{
    return (space->total_bytes - space->free_bytes) * 100 / space->total_bytes;
}

static Str key_of(Arena *arena, uint64_t i)
{
    return str_format(arena, "k%05llu", (unsigned long long)i);
}

/* Puts large objects until one is refused; how many there are. */
static uint64_t fill(Store *store, Arena *arena, Code *ret_code)
{
    Err err;
    for (uint64_t i = 0; i < 1000; i++) {
        *ret_code = pattern_put(store, BUCKET, key_of(arena, i), LARGE_LEN, i, &err);
        if (*ret_code != E_OK)
            return i;
    }
    return 1000;
}

TEST(space_refuses_writes_before_the_disk_is_full_and_comes_back)
{
    OsSim *sim AUTO(os_sim_free) = os_sim_new(1);
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    Code code = E_OK;
    os_sim_set_capacity(sim, 16 * MIB);
    CHECK_OK(space_open(sim, &store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    StoreSpace space = space_of(store);
    CHECK_INT(space.level, SPACE_HEALTHY);
    CHECK_INT(space.reserve_bytes, 512 * 1024);
    uint64_t count = fill(store, &arena, &code);
    CHECK_INT(code, E_NO_SPACE);
    space = space_of(store);
    CHECK_INT(space.level, SPACE_FULL);
    CHECK(used_percent(&space) >= 95 && space.free_bytes > 0 && count > 80);
    CHECK(space.refused > 0 && space.reserve_bytes > 0);
    CHECK_CODE(pattern_put(store, BUCKET, STR("small"), SMALL_LEN, 1, &err), E_NO_SPACE);
    CHECK(!store_background_ok(store));
    CHECK_OK(store_set_tags(store, BUCKET, key_of(&arena, 1), 0, NULL, 0, &err), &err);
    StorePut needed = { .bucket = BUCKET, .key = STR("needed"), .from_reserve = true };
    CHECK_OK(store_put(store, &needed, STR("x"), NULL, &err), &err);
    for (uint64_t i = 0; i < count; i++) /* nothing of what was acknowledged is hurt */
        CHECK(pattern_is(store, BUCKET, key_of(&arena, i), LARGE_LEN, i));
    CHECK_OK(store_delete(store, BUCKET, key_of(&arena, 0), &err), &err);
    space = space_of(store);
    CHECK_INT(space.trash_objects, 0); /* under pressure it goes at once, though an hour is not over */
    for (uint64_t i = 1; i < count / 3; i++)
        CHECK_OK(store_delete(store, BUCKET, key_of(&arena, i), &err), &err);
    space = space_of(store);
    CHECK_INT(space.level, SPACE_HEALTHY);
    CHECK_OK(pattern_put(store, BUCKET, STR("small"), SMALL_LEN, 1, &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("large"), LARGE_LEN, 2, &err), &err);
}

TEST(space_has_a_level_between_alarm_and_full)
{
    OsSim *sim AUTO(os_sim_free) = os_sim_new(2);
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    StoreSpace space = { 0 };
    os_sim_set_capacity(sim, 32 * MIB);
    CHECK_OK(space_open(sim, &store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    bool seen[SPACE_LEVELS] = { false };
    for (uint64_t i = 0; space.level < SPACE_FULL && i < 1000; i++) {
        CHECK_OK(pattern_put(store, BUCKET, key_of(&arena, i), LARGE_LEN, i, &err), &err);
        space = space_of(store);
        seen[space.level] = true;
        CHECK(store_background_ok(store) == (space.level < SPACE_BACKGROUND));
        static const uint64_t from[SPACE_LEVELS + 1] = { 0, 85, 90, 95, 101 };
        CHECK(used_percent(&space) >= from[space.level] && used_percent(&space) < from[space.level + 1] + 1);
    }
    for (int i = 0; i < SPACE_LEVELS; i++)
        CHECK(seen[i]);
}

static Code filler_make(OsSim *sim, Err *err)
{
    OsFile *file AUTO(os_file_close) = NULL;
    uint64_t free_bytes;
    TRY(os_space_free(os_sim_os(sim), "/", &free_bytes, err));
    TRY(os_file_open(os_sim_os(sim), "/filler", OS_WRITE | OS_CREATE, &file, err));
    return os_file_allocate(file, free_bytes, err);
}

/* Somebody else takes all that is free; then small objects are deleted and their segments compacted. */
static Code work_on_full_disk(OsSim *sim, Store **ret_store, size_t *ret_deleted, size_t *ret_freed, Err *err)
{
    Arena arena AUTO(arena_done) = { 0 };
    TRY(space_open(sim, ret_store, err));
    TRY(store_bucket_create(*ret_store, BUCKET, err));
    for (uint64_t i = 0; i < 30; i++)
        TRY(pattern_put(*ret_store, BUCKET, STR("hot"), HOT_LEN, i, err));
    for (uint64_t i = 0; i < SMALL_COUNT; i++)
        TRY(pattern_put(*ret_store, BUCKET, key_of(&arena, i), SMALL_LEN, i, err));
    TRY(filler_make(sim, err));
    for (*ret_deleted = 0; *ret_deleted < SMALL_COUNT; ++*ret_deleted)
        TRY(store_delete(*ret_store, BUCKET, key_of(&arena, *ret_deleted), err));
    if (pattern_put(*ret_store, BUCKET, STR("late"), SMALL_LEN, 1, err) == E_OK)
        return err_set(err, E_INVALID, "a put on a full disk went through");
    return store_compact(*ret_store, NULL, ret_freed, err);
}

TEST(space_deletes_and_compacts_on_a_full_disk)
{
    OsSim *sim AUTO(os_sim_free) = os_sim_new(3);
    Err err;
    Store *store AUTO(store_free) = NULL;
    size_t deleted = 0, freed = 0;
    os_sim_set_capacity(sim, 64 * MIB);
    CHECK_OK(work_on_full_disk(sim, &store, &deleted, &freed, &err), &err);
    CHECK_INT(deleted, SMALL_COUNT);
    CHECK(freed >= 3);
    CHECK(pattern_is(store, BUCKET, STR("hot"), HOT_LEN, 29));
    CHECK_OK(os_unlink(os_sim_os(sim), "/filler", &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("late"), SMALL_LEN, 1, &err), &err);
    StorePurged purged;
    CHECK_OK(store_trash_purge(store, NULL, &purged, &err), &err); /* a round of maintenance */
    StoreSpace space = space_of(store);
    CHECK_INT(space.level, SPACE_HEALTHY);
    CHECK_INT(space.reserve_bytes, 512 * 1024);
}

TEST(space_work_on_a_full_disk_survives_a_crash)
{
    uint64_t seed = test_seed(), calls;
    Err err;
    size_t deleted = 0, freed = 0;
    {
        OsSim *sim AUTO(os_sim_free) = os_sim_new(seed);
        Store *store AUTO(store_free) = NULL;
        os_sim_set_capacity(sim, 64 * MIB);
        CHECK_OK(work_on_full_disk(sim, &store, &deleted, &freed, &err), &err);
        calls = os_sim_calls(sim);
    }
    for (uint64_t point = calls; point > 4000; point -= point > calls - 15 ? 1 : 997) {
        OsSim *sim AUTO(os_sim_free) = os_sim_new(seed);
        Store *store AUTO(store_free) = NULL, *after AUTO(store_free) = NULL;
        Arena arena AUTO(arena_done) = { 0 };
        ObjectInfo info;
        deleted = 0;
        os_sim_set_capacity(sim, 64 * MIB);
        os_sim_crash_at(sim, point);
        IGNORE(work_on_full_disk(sim, &store, &deleted, &freed, &err));
        store_free(&store);
        if (os_sim_is_crashed(sim))
            os_sim_reboot(sim);
        CHECK_OK(space_open(sim, &after, &err), &err);
        if (!after)
            continue;
        CHECK(pattern_is(after, BUCKET, STR("hot"), HOT_LEN, 29));
        for (uint64_t i = 0; i < SMALL_COUNT; i++) {
            bool there = store_head(after, BUCKET, key_of(&arena, i), &arena, &info, NULL) == E_OK;
            if (i != deleted && there != (i > deleted)) /* the one at hand may be or not */
                test_failed(__FILE__, __LINE__, "point %llu: object %llu of %zu deleted", (unsigned long long)point,
                            (unsigned long long)i, deleted);
        }
    }
}
