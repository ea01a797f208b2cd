/* Covers build.c, manifests.c, expire.c, compact.c: joined files and snapshots that go, on the simulated machine. */
#include "table/table_world.h"

TEST(compact_takes_small_files_of_one_partition)
{
    World w;
    size_t count;
    world_begin(&w, true);
    for (int i = 0; i < 5; i++) {
        world_append(&w, 10, 100 + i, 7);
        world_append(&w, 20, 100, i < 3 ? 8 : 9); /* three and two: too few */
    }
    world_append(&w, 1000, 1000, 7); /* not small */
    CompactBin *bins = world_planned(&w, &WORLD_RULE, &count);
    CHECK_INT(count, 1);
    CHECK_INT(bins[0].file_count, 5);
    CHECK_INT(bins[0].records, 50);
    CHECK_INT(bins[0].files[0].partition[0].number, 7);
    for (size_t i = 1; i < bins[0].file_count; i++)
        CHECK(bins[0].files[i - 1].sequence_number < bins[0].files[i].sequence_number);
    world_end(&w);
}

TEST(compact_leaves_a_file_that_outweighs_the_others)
{
    World w;
    size_t count;
    world_begin(&w, true);
    world_append(&w, 90, 900, 7);
    for (int i = 0; i < 5; i++)
        world_append(&w, 10, 100, 7);
    CompactBin *bins = world_planned(&w, &WORLD_RULE, &count);
    CHECK_INT(count, 1);
    CHECK_INT(bins[0].file_count, 5);
    for (int i = 0; i < 5; i++)
        world_append(&w, 10, 100, 7); /* 1,000 bytes beside its 900 */
    bins = world_planned(&w, &WORLD_RULE, &count);
    CHECK_INT(count, 1);
    CHECK_INT(bins[0].file_count, 11);
    world_end(&w);
}

TEST(compact_fills_bins_up_to_the_target)
{
    World w;
    size_t count, files = 0;
    world_begin(&w, true);
    for (int i = 0; i < 21; i++)
        world_append(&w, 10, 500, 7);
    CompactBin *bins = world_planned(&w, &WORLD_RULE, &count);
    CHECK_INT(count, 3);
    for (size_t i = 0; i < count; i++) {
        CHECK(bins[i].bytes <= 4000 + 500);
        files += bins[i].file_count;
    }
    CHECK_INT(files, 21);
    world_end(&w);
}

TEST(compact_commit_keeps_rows_age_and_what_came_meanwhile)
{
    World w;
    CommitResult result;
    size_t count;
    world_begin(&w, true);
    for (int i = 0; i < 4; i++)
        world_append(&w, 10, 100, 7);
    CompactBin *bins = world_planned(&w, &WORLD_RULE, &count);
    CHECK_INT(count, 1);
    int64_t newest = bins[0].files[3].sequence_number;
    world_append(&w, 5, 100, 7); /* while the rewrite is on */
    CHECK_CODE(world_rewrite(&w, &bins[0], 41, &result), E_INVALID);
    CHECK_OK(world_rewrite(&w, &bins[0], 40, &result), &w.err);
    CHECK_INT(result.total_records, 45);
    TableVersion *AUTO(table_version_free) version = world_loaded(&w);
    const IceSnapshot *snapshot = table_snapshot_current(table_version_metadata(version));
    CHECK_STR(snapshot->operation, STR("replace"));
    DataFile *files;
    CHECK_OK(table_files(version, 0, &w.arena, &files, &count, &w.err), &w.err);
    CHECK_INT(count, 2);
    CHECK_INT(files[0].record_count, 40); /* in front of what came later, though written after it */
    CHECK_INT(files[0].sequence_number, newest);
    CHECK(files[1].sequence_number < result.sequence_number);
    /* A second rewrite of the same files has lost the race. */
    CHECK_CODE(world_rewrite(&w, &bins[0], 40, &result), E_CONFLICT);
    table_version_free(&version);
    world_end(&w);
}

TEST(compact_again_and_again_keeps_manifests_few)
{
    World w;
    CommitResult result;
    world_begin(&w, true);
    for (int round = 0; round < 30; round++) {
        size_t count;
        for (int i = 0; i < 8; i++)
            world_append(&w, 10, 100, 7);
        CompactBin *bins = world_planned(&w, &WORLD_RULE, &count);
        for (size_t i = 0; i < count; i++)
            CHECK_OK(world_rewrite(&w, &bins[i], bins[i].records, &result), &w.err);
    }
    TableVersion *AUTO(table_version_free) version = world_loaded(&w);
    ScanPlan plan;
    CHECK_OK(table_scan(version, &(TableScan){ 0 }, &w.arena, &plan, &w.err), &w.err);
    CHECK_INT(plan.record_count, 2400);
    CHECK(plan.manifests_total <= MANIFESTS_MERGE_MIN + 2);
    CHECK(plan.file_count < 30);
    table_version_free(&version);
    world_end(&w);
}

TEST(commit_refuses_files_of_another_table)
{
    World w;
    CommitResult result;
    world_begin(&w, false);
    Str theirs = world_location(&w);
    world_table_make(&w, "u", false);
    DataFile file = world_file(&w, theirs, 1, 10, -1);
    TableCommit one = { .name = { STR("n"), STR("u") }, .kind = COMMIT_APPEND, .add = &file, .add_count = 1 };
    CHECK_CODE(catalog_commit(w.catalog, &one, 1, NULL, &result, &w.err), E_INVALID);
    CHECK(str_find(str_z(w.err.text), STR("is one of table n.t")) >= 0);
    world_end(&w);
}

/* ---- snapshots ---- */

TEST(expire_thins_a_stream_to_one_an_hour)
{
    World w;
    enum { MINUTES = 5 * 60 };
    world_begin(&w, false);
    world_property_set(&w, "tarn.snapshots-thin", "true");
    for (int i = 0; i < MINUTES; i++) {
        os_sim_advance_us(w.sim, MINUTE_US);
        world_append(&w, 1, 10, -1);
    }
    TableVersion *AUTO(table_version_free) version = world_loaded(&w);
    const TableMetadata *m = table_version_metadata(version);
    int64_t now_ms = os_now_us(os_sim_os(w.sim)) / 1000;
    size_t young = 0;
    for (size_t i = 0; i < m->snapshot_count; i++)
        young += m->snapshots[i].timestamp_ms >= now_ms - HOUR_US / 1000;
    CHECK(young >= 59 && young <= 61);
    CHECK(m->snapshot_count - young >= 4 && m->snapshot_count - young <= 5);
    for (size_t i = 1; i + young < m->snapshot_count; i++)
        CHECK(m->snapshots[i].timestamp_ms - m->snapshots[i - 1].timestamp_ms >= 59 * 60000);
    CHECK_INT(world_expired_rows(&w), MINUTES - m->snapshot_count);
    table_version_free(&version);
    size_t gone = 0, swept = 0;
    os_sim_advance_us(w.sim, 9 * 24 * HOUR_US); /* nobody commits any more */
    CHECK_OK(catalog_expire(w.catalog, NULL, &gone, &w.err), &w.err);
    version = world_loaded(&w);
    CHECK_INT(table_version_metadata(version)->snapshot_count, 1);
    CHECK(gone > 60);
    CHECK_OK(catalog_expire(w.catalog, NULL, &gone, &w.err), &w.err);
    CHECK_INT(gone, 0);
    CHECK_OK(catalog_sweep(w.catalog, INT64_MAX, NULL, &swept, &w.err), &w.err); /* no intents */
    CHECK_INT(swept, 0);
    CHECK_INT(world_expired_rows(&w), MINUTES - 1);
    table_version_free(&version);
    world_end(&w);
}

TEST(expire_by_age_keeps_as_many_as_was_asked)
{
    World w;
    world_begin(&w, false);
    for (int i = 0; i < 10; i++) {
        os_sim_advance_us(w.sim, HOUR_US);
        world_append(&w, 1, 10, -1);
    }
    world_property_set(&w, "history.expire.min-snapshots-to-keep", "3");
    world_property_set(&w, "history.expire.max-snapshot-age-ms", "1800000");
    TableVersion *AUTO(table_version_free) version = world_loaded(&w);
    CHECK_INT(table_version_metadata(version)->snapshot_count, 3);
    table_version_free(&version);
    world_end(&w);
}
