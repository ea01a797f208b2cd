/* Covers store.c, backend_drives.c, backend_memory.c, index_memory.c, index_rocksdb.c, plan.c, lookup.c, list.c, stage.c:
 * every backend with every index does what store_conformance.c says; a store comes back as it was. */
#include "store/store_priv.h"

#include "base/test.h"
#include "store/store_conformance.h"
#include "store/store_fixture.h"

#include <stdio.h>
#include <string.h>

#define BUCKET FIXTURE_BUCKET

/* Every backend with every index. */
static const struct {
    const char *backend, *index;
} rows[] = {
    { "memory", "memory" }, { "memory", "rocksdb" }, { "drives", "memory" }, { "drives", "rocksdb" }
};

static void conform(void (*suite)(Os *os, const StoreOptions *options))
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!fixture_has_rocksdb && str_eq(str_z(rows[i].index), STR("rocksdb")))
            continue;
        char dir[OS_PATH_MAX];
        snprintf(dir, sizeof dir, "%s/%zu", test_dir(), i);
        StoreOptions options = {
            .backend = rows[i].backend, .index = rows[i].index, .dir = dir, .segment_bytes = 1 << 20
        };
        suite(os_real(), &options);
    }
}

#define CONFORM(name)            \
    TEST(store_conforms_##name)  \
    {                            \
        conform(conform_##name); \
    }
CONFORM(put_and_read)
CONFORM(large_objects)
CONFORM(conditions)
CONFORM(publish_all_or_nothing)
CONFORM(listing)
CONFORM(buckets)
CONFORM(feed)
CONFORM(bad_input)
CONFORM(readers_outlive_objects)

static void dir_empty(const char *name)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    const char *dir = str_format(&arena, "%s/store/%s", test_dir(), name).ptr;
    OsDirEntry *entries;
    size_t count;
    CHECK_OK(os_dir_list(os_real(), dir, &arena, &entries, &count, &err), &err);
    for (size_t i = 0; i < count; i++) {
        Str path = str_format(&arena, "%s/" STR_FMT "%c", dir, STR_ARG(entries[i].name), 0);
        CHECK_OK(os_unlink(os_real(), path.ptr, &err), &err);
    }
}

/* How many files of the trash went for good. */
static size_t trash_out(Store *store)
{
    Err err;
    StorePurged purged = { 0 };
    CHECK_OK(store_trash_purge(store, NULL, &purged, &err), &err);
    return (size_t)purged.objects;
}

static void check_feed_equal(Store *store)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    StoreChange *changes;
    size_t count = 0;
    CHECK_OK(store_feed_read(store, 0, 0, &arena, &changes, &count, &err), &err);
    CHECK_INT(count, 1 + 45 + 6 + 1);
    CHECK_INT(store_sequence(store), 53);
}

TEST(store_comes_back_and_a_deleted_index_is_rebuilt)
{
    if (!fixture_has_rocksdb)
        return;
    Err err;
    Store *store AUTO(store_free) = NULL;
    CHECK_OK(fixture_open("rocksdb", &store, &err), &err);
    fixture_fill(store);
    fixture_check(store);
    CHECK(trash_out(store) > 0);
    size_t files = fixture_files("store");
    CHECK_INT(files, 8);
    store_free(&store);
    for (int pass = 0; pass < 4; pass++) {
        if (pass % 2)
            dir_empty("index");
        CHECK_OK(fixture_open(pass == 2 ? "memory" : "rocksdb", &store, &err), &err);
        fixture_check(store);
        check_feed_equal(store);
        CHECK_INT(fixture_files("store"), files);
        store_free(&store);
    }
}

TEST(store_compacts_and_is_rebuilt_after)
{
    if (!fixture_has_rocksdb)
        return;
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    CHECK_OK(fixture_open("rocksdb", &store, &err), &err);
    fixture_fill(store);
    for (uint64_t i = 0; i < 100; i++) /* 6 MB of which 60 kB stay */
        CHECK_OK(pattern_put(store, BUCKET, STR("hot"), 60000, i, &err), &err);
    uint64_t sequence = store_sequence(store);
    StoreUsage before, after;
    CHECK_OK(store_usage(store, &before, &err), &err);
    size_t freed = 0;
    CHECK_OK(store_compact(store, NULL, &freed, &err), &err);
    CHECK(freed >= 3);
    CHECK_OK(store_usage(store, &after, &err), &err);
    CHECK(after.journal_bytes < before.journal_bytes);
    CHECK(pattern_is(store, BUCKET, STR("hot"), 60000, 99));
    store_free(&store);
    for (int pass = 0; pass < 2; pass++) {
        CHECK_OK(fixture_open("rocksdb", &store, &err), &err);
        CHECK(pattern_is(store, BUCKET, STR("hot"), 60000, 99));
        CHECK_INT(store_sequence(store), sequence);
        CHECK_OK(store_delete(store, BUCKET, STR("hot"), &err), &err);
        fixture_check(store);
        StoreVerified verified;
        CHECK_OK(store_verify(store, true, NULL, NULL, &verified, &err), &err);
        CHECK_INT(verified.objects, 24);
        CHECK_INT(verified.findings, 0);
        CHECK_OK(pattern_put(store, BUCKET, STR("hot"), 60000, 99, &err), &err);
        sequence = store_sequence(store);
        store_free(&store);
        dir_empty("index");
    }
}

TEST(store_of_a_killed_process_comes_back)
{
    if (!fixture_has_rocksdb)
        return;
    Err err;
    Store *store AUTO(store_free) = NULL, *image AUTO(store_free) = NULL;
    CHECK_OK(fixture_open("rocksdb", &store, &err), &err);
    fixture_fill(store);
    fixture_image_take("first"); /* nothing of the index was flushed */
    CHECK_OK(store->index_ops->flush(store->index, &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("late"), 777, 7, &err), &err);
    CHECK_OK(store_delete(store, BUCKET, STR("k11"), &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("k11"), 1100, 61, &err), &err);
    fixture_image_take("second"); /* some of it was */
    CHECK_OK(fixture_image_open("first", &image, &err), &err);
    fixture_check(image);
    check_feed_equal(image);
    store_free(&image);
    CHECK_OK(fixture_image_open("second", &image, &err), &err);
    CHECK(pattern_is(image, BUCKET, STR("late"), 777, 7));
    CHECK_OK(store_delete(image, BUCKET, STR("late"), &err), &err);
    fixture_check(image);
    CHECK_INT(store_sequence(image), 57);
}

TEST(store_sweeps_what_was_never_published)
{
    if (!fixture_has_rocksdb)
        return;
    Err err;
    Store *store AUTO(store_free) = NULL, *image AUTO(store_free) = NULL;
    CHECK_OK(fixture_open("rocksdb", &store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("k"), 200000, 1, &err), &err);
    StagedObject *staged AUTO(store_stage_abort) = NULL;
    static char bytes[300000];
    CHECK_OK(store_stage(store, &staged, &err), &err);
    CHECK_OK(store_stage_write(staged, str_of(bytes, sizeof bytes), &err), &err);
    CHECK_OK(store_stage_finish(staged, &err), &err);
    CHECK_INT(fixture_files("store"), 2);
    StagedObject *aborted AUTO(store_stage_abort) = NULL;
    CHECK_OK(store_stage(store, &aborted, &err), &err);
    CHECK_OK(store_stage_write(aborted, str_of(bytes, sizeof bytes), &err), &err);
    CHECK_INT(fixture_files("store"), 3);
    fixture_image_take("killed");
    store_stage_abort(&aborted);
    CHECK_INT(fixture_files("store"), 2);
    store_stage_abort(&staged);
    CHECK_INT(fixture_files("store"), 1);
    CHECK_OK(fixture_image_open("killed", &image, &err), &err);
    CHECK_INT(fixture_files("killed"), 1);
    CHECK(pattern_is(image, BUCKET, STR("k"), 200000, 1));
}

TEST(store_holds_nothing_of_a_large_object_that_was_announced)
{
    if (!fixture_has_rocksdb)
        return;
    Err err;
    Store *store AUTO(store_free) = NULL;
    static char bytes[STORE_INLINE_MAX];
    CHECK_OK(fixture_open("rocksdb", &store, &err), &err);
    for (int announced = 0; announced < 2; announced++) {
        StagedObject *staged AUTO(store_stage_abort) = NULL;
        CHECK_OK(store_stage(store, &staged, &err), &err);
        store_stage_expect(staged, sizeof bytes + (size_t)announced);
        CHECK_OK(store_stage_write(staged, str_of(bytes, 1), &err), &err);
        CHECK_INT(fixture_files("store"), announced);
        CHECK_OK(store_stage_write(staged, str_of(bytes, sizeof bytes - 1), &err), &err);
        CHECK(store_stage_small(staged) == !announced);
    }
}

TEST(store_refuses_odd_options)
{
    Err err;
    Store *store AUTO(store_free) = NULL;
    StoreOptions options = { .backend = "tape", .dir = test_dir() };
    CHECK_CODE(store_open(os_real(), &options, &store, &err), E_INVALID);
    options = (StoreOptions){ .index = "memory" };
    CHECK_CODE(store_open(os_real(), &options, &store, &err), E_INVALID);
}
