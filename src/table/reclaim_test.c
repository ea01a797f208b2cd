/* Covers reclaim.c, reached.c, remover.c: files that no snapshot reaches go, and no other; also over a power cut at every call. */
#include "table/table_world.h"

TEST(reclaim_removes_what_no_snapshot_reaches)
{
    World w;
    world_begin(&w, false);
    world_property_set(&w, "tarn.snapshots-max", "2");
    DataFile files[6];
    for (int i = 0; i < 6; i++) {
        files[i] = world_replace(&w, i + 1);
        os_sim_advance_us(w.sim, HOUR_US);
    }
    CHECK_INT(world_expired_rows(&w), 4);
    /* Of the first two: files, lists, what added them, and what removed the first. */
    CHECK_INT(world_reclaimed(&w, os_now_us(os_sim_os(w.sim)) - 2 * HOUR_US - MINUTE_US), 7);
    CHECK(!world_has(&w, files[0].address) && !world_has(&w, files[1].address));
    CHECK(world_has(&w, files[2].address)); /* too young */
    CHECK_INT(world_reclaimed(&w, INT64_MAX), 8);
    CHECK(!world_has(&w, files[2].address) && !world_has(&w, files[3].address));
    CHECK(world_has(&w, files[4].address) && world_has(&w, files[5].address));
    CHECK_INT(world_expired_rows(&w), 0);
    CHECK_INT(world_objects(&w, "data", ".parquet"), 2);
    TableVersion *AUTO(table_version_free) version = world_loaded(&w);
    world_is_whole(&w, version);
    CHECK_INT(world_reclaimed(&w, INT64_MAX), 0);
    table_version_free(&version);
    world_end(&w);
}

/* A file is named by the first five snapshots; when the time of the first is over, that of the fifth is not. */
TEST(reclaim_gives_each_snapshot_its_time)
{
    World w;
    world_begin(&w, false);
    world_property_set(&w, "tarn.snapshots-max", "1");
    DataFile first = world_append(&w, 1, 10, -1);
    for (int i = 0; i < 4; i++) {
        os_sim_advance_us(w.sim, HOUR_US);
        world_append(&w, 1, 10, -1);
    }
    os_sim_advance_us(w.sim, HOUR_US);
    world_replace(&w, 1); /* here the fifth expires */
    CHECK_INT(world_expired_rows(&w), 5);
    world_reclaimed(&w, os_now_us(os_sim_os(w.sim)) - MINUTE_US);
    CHECK_INT(world_expired_rows(&w), 1);
    CHECK(world_has(&w, first.address));
    CHECK_INT(world_objects(&w, "data", ".parquet"), 6);
    world_reclaimed(&w, INT64_MAX);
    CHECK(!world_has(&w, first.address));
    CHECK_INT(world_objects(&w, "data", ".parquet"), 1);
    world_end(&w);
}

TEST(reclaim_leaves_what_a_reader_holds)
{
    World w;
    world_begin(&w, false);
    world_property_set(&w, "tarn.snapshots-max", "1");
    DataFile first = world_replace(&w, 1);
    TableVersion *AUTO(table_version_free) held = world_loaded(&w);
    DataFile second = world_replace(&w, 2);
    world_replace(&w, 3);
    world_reclaimed(&w, INT64_MAX);
    CHECK(world_has(&w, first.address));
    CHECK(!world_has(&w, second.address));
    world_is_whole(&w, held);
    table_version_free(&held);
    world_end(&w);
}

TEST(reclaim_after_appends_and_a_rewrite)
{
    World w;
    CommitResult result;
    size_t count;
    world_begin(&w, true);
    world_property_set(&w, "tarn.snapshots-max", "3");
    for (int i = 0; i < 60; i++)
        world_append(&w, 10, 100, 7);
    CHECK(world_reclaimed(&w, INT64_MAX) > 50); /* lists and merged manifests, no data */
    CHECK_INT(world_objects(&w, "data", ".parquet"), 60);
    CompactBin *bins = world_planned(&w, &WORLD_RULE, &count);
    for (size_t i = 0; i < count; i++)
        CHECK_OK(world_rewrite(&w, &bins[i], bins[i].records, &result), &w.err);
    for (int i = 0; i < 3; i++)
        world_append(&w, 10, 100, 7);
    world_reclaimed(&w, INT64_MAX);
    CHECK_INT(world_objects(&w, "data", ".parquet"), count + 3);
    CHECK(world_objects(&w, "metadata", ".avro") < 12);
    TableVersion *AUTO(table_version_free) version = world_loaded(&w);
    world_is_whole(&w, version);
    table_version_free(&version);
    world_end(&w);
}

TEST(reclaim_honours_gc_enabled_and_foreign_places)
{
    World w;
    CommitResult result;
    world_begin(&w, false);
    world_property_set(&w, "tarn.snapshots-max", "1");
    StorePut put = { .bucket = STR("lake"), .key = STR("elsewhere/a.parquet") };
    CHECK_OK(store_put(w.store, &put, STR("rows"), NULL, &w.err), &w.err);
    DataFile foreign = world_file(&w, STR("s3://lake/elsewhere"), 1, 10, -1);
    foreign.address = STR("s3://lake/elsewhere/a.parquet");
    CHECK_OK(world_commit(&w, COMMIT_APPEND, &foreign, 1, NULL, 0, &result), &w.err);
    DataFile mine = world_replace(&w, 1);
    world_replace(&w, 2);
    world_property_set(&w, "gc.enabled", "false");
    CHECK_INT(world_reclaimed(&w, INT64_MAX), 0);
    CHECK(world_has(&w, mine.address));
    world_property_set(&w, "gc.enabled", "true");
    CHECK(world_reclaimed(&w, INT64_MAX) > 0);
    CHECK(!world_has(&w, mine.address));
    CHECK(world_has(&w, foreign.address));
    world_end(&w);
}

/* The power goes at call `call` of a round (0: never); afterwards a round ends the work. */
static uint64_t reclaim_cut_at(uint64_t call)
{
    World w;
    size_t count;
    world_begin(&w, false);
    world_property_set(&w, "tarn.snapshots-max", "2");
    for (int i = 0; i < 4; i++)
        world_replace(&w, i + 1);
    Str place = world_location(&w);
    uint64_t ready = os_sim_calls(w.sim);
    if (call)
        os_sim_crash_at(w.sim, ready + call);
    Code code = catalog_reclaim(w.catalog, INT64_MAX, NULL, &count, &w.err);
    uint64_t calls = os_sim_calls(w.sim) - ready;
    if (!call)
        CHECK_OK(code, &w.err);
    world_close(&w);
    if (!os_sim_is_crashed(w.sim))
        os_sim_crash(w.sim);
    os_sim_reboot(w.sim);
    CHECK_OK(world_open(&w), &w.err);
    TableVersion *AUTO(table_version_free) version = world_loaded(&w);
    world_is_whole(&w, version);
    table_version_free(&version);
    world_reclaimed(&w, INT64_MAX);
    CHECK_INT(world_expired_rows(&w), 0);
    if (world_objects(&w, "data", ".parquet") != 2 || world_objects(&w, "metadata", ".avro") != 6)
        test_failed(__FILE__, __LINE__, "call %llu of %s: %zu data files, %zu manifests and lists",
                    (unsigned long long)call, str_copy_z(&w.arena, place), world_objects(&w, "data", ".parquet"),
                    world_objects(&w, "metadata", ".avro"));
    world_end(&w);
    return calls;
}

TEST(reclaim_survives_a_power_cut_at_every_call)
{
    uint64_t calls = reclaim_cut_at(0);
    CHECK(calls > 3);
    for (uint64_t call = 1; call <= calls; call++)
        reclaim_cut_at(call);
}
