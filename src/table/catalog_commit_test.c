/* What commits do to tables, alone and in groups, and what is left of those that did not end: commit.c, build.c,
 * manifests.c, scan.c. */
#include "table/catalog_rig.h"

#include "table/scan.h"

#include <stdio.h>
#include <string.h>

TEST(catalog_commits_append_overwrite_delete)
{
    RigLake lake;
    CommitResult result;
    rig_lake_open(&lake);
    rig_table_make(&lake, "t", true);
    DataFile a = rig_file_of(&lake, "a", 10, 1), b = rig_file_of(&lake, "b", 20, 2),
             c = rig_file_of(&lake, "c", 5, 1);
    CHECK_OK(rig_commit_files(&lake, COMMIT_APPEND, "t", &a, 1, NULL, 0, &result), &lake.err);
    CHECK_INT(result.total_records, 10);
    CHECK_OK(rig_commit_files(&lake, COMMIT_APPEND, "t", &b, 1, NULL, 0, &result), &lake.err);
    CHECK_INT(result.total_records, 30);
    CHECK_INT(result.sequence_number, 2);
    int64_t second = result.snapshot_id;
    CHECK_OK(rig_commit_files(&lake, COMMIT_OVERWRITE, "t", &c, 1, &a.address, 1, &result), &lake.err);
    CHECK_INT(result.total_records, 25);
    CHECK_INT(rig_files_now(&lake, "t"), 2);
    CHECK_CODE(rig_commit_files(&lake, COMMIT_OVERWRITE, "t", &a, 1, &a.address, 1, &result),
               E_CONFLICT);
    CHECK_INT(rig_files_now(&lake, "t"), 2);
    CHECK_OK(rig_commit_files(&lake, COMMIT_DELETE, "t", NULL, 0, &b.address, 1, &result), &lake.err);
    CHECK_INT(rig_files_now(&lake, "t"), 1);
    CHECK_OK(rig_commit_files(&lake, COMMIT_REPLACE, "t", &a, 1, NULL, 0, &result), &lake.err);
    CHECK_INT(result.total_records, 10);
    TableVersion *AUTO(table_version_free) version = rig_loaded(&lake, "t");
    const TableMetadata *m = table_version_metadata(version);
    CHECK_INT(m->snapshot_count, 5);
    CHECK_STR(m->snapshots[2].operation, STR("overwrite"));
    CHECK_STR(m->snapshots[3].operation, STR("delete"));
    for (size_t i = 1; i < m->snapshot_count; i++)
        CHECK(m->snapshots[i].timestamp_ms > m->snapshots[i - 1].timestamp_ms);
    ScanPlan plan;
    CHECK_OK(
        table_scan(version, &(TableScan){ .snapshot_id = second }, &lake.arena, &plan, &lake.err),
        &lake.err);
    CHECK_INT(plan.record_count, 30);
    IceValue day = ice_value_i64(35); /* 1970-02-05: month 1 */
    ScanPredicate predicate = {
        .field_id = 3, .op = PREDICATE_EQ, .values = &day, .value_count = 1
    };
    TableScan query = { .snapshot_id = second, .predicates = &predicate, .predicate_count = 1 };
    CHECK_OK(table_scan(version, &query, &lake.arena, &plan, &lake.err), &lake.err);
    CHECK_INT(plan.file_count, 1);
    CHECK_INT(plan.manifests_read, 1);
    CHECK_CODE(
        table_scan(version, &(TableScan){ .snapshot_id = 12345 }, &lake.arena, &plan, &lake.err),
        E_NOT_FOUND);
    CHECK_CODE(
        table_scan(version, &(TableScan){ .ref = STR("mian") }, &lake.arena, &plan, &lake.err),
        E_NOT_FOUND);
    CHECK_STR(str_z(lake.err.hint), STR("did you mean 'main'? tarn.snapshots lists them"));
    CHECK_CODE(
        table_scan(version, &(TableScan){ .timestamp_ms = 5 }, &lake.arena, &plan, &lake.err),
        E_NOT_FOUND);
    table_version_free(&version);
    rig_lake_close(&lake);
}

TEST(catalog_serializable_overwrite_conflicts_with_an_append)
{
    RigLake lake;
    CommitResult first, result;
    rig_lake_open(&lake);
    rig_table_make(&lake, "t", false);
    DataFile a = rig_file_of(&lake, "a", 10, -1), b = rig_file_of(&lake, "b", 20, -1),
             c = rig_file_of(&lake, "c", 1, -1);
    CHECK_OK(rig_commit_files(&lake, COMMIT_APPEND, "t", &a, 1, NULL, 0, &first), &lake.err);
    CHECK_OK(rig_commit_files(&lake, COMMIT_APPEND, "t", &b, 1, NULL, 0, &result), &lake.err);
    TableCommit commit = { .name = { STR("silver"), STR("t") },
                           .kind = COMMIT_OVERWRITE,
                           .add = &c,
                           .add_count = 1,
                           .remove = &a.address,
                           .remove_count = 1,
                           .base_snapshot_id = first.snapshot_id };
    CHECK_CODE(catalog_commit(lake.catalog, &commit, 1, NULL, &result, &lake.err), E_CONFLICT);
    commit.snapshot_isolation = true;
    CHECK_OK(catalog_commit(lake.catalog, &commit, 1, NULL, &result, &lake.err), &lake.err);
    CHECK_INT(result.total_records, 21);
    commit = (TableCommit){ .name = { STR("silver"), STR("t") },
                            .uuid = { { 1 } },
                            .kind = COMMIT_PROPERTIES };
    CHECK_CODE(catalog_commit(lake.catalog, &commit, 1, NULL, &result, &lake.err), E_CONFLICT);
    rig_lake_close(&lake);
}

TEST(catalog_extra_is_in_the_same_transaction)
{
    RigLake lake;
    CommitResult result;
    rig_lake_open(&lake);
    rig_table_make(&lake, "t", false);
    DataFile a = rig_file_of(&lake, "a", 10, -1);
    TableCommit commit = {
        .name = { STR("silver"), STR("t") }, .kind = COMMIT_APPEND, .add = &a, .add_count = 1
    };
    MetaTxn extra;
    meta_txn_init(&extra, &lake.arena);
    meta_require_setting(&extra, STR("k"), STR("not there"));
    CHECK_CODE(catalog_commit(lake.catalog, &commit, 1, &extra, &result, &lake.err), E_CONFLICT);
    CHECK_INT(rig_files_now(&lake, "t"), 0);
    /* Nothing of the failed attempt stays but the table's first metadata file. */
    StoreListPage page;
    CHECK_OK(store_list(lake.store, &(StoreListQuery){ .bucket = STR("lake") }, &lake.arena, &page,
                        &lake.err),
             &lake.err);
    CHECK_INT(page.object_count, 1);
    meta_txn_init(&extra, &lake.arena);
    meta_put_setting(&extra, STR("k"), STR("v"));
    CHECK_OK(catalog_commit(lake.catalog, &commit, 1, &extra, &result, &lake.err), &lake.err);
    MetaRead *read = NULL;
    MetaSetting setting;
    MetaStagedFile *staged;
    size_t count = 9;
    CHECK_OK(meta_read_begin(lake.meta, &read, &lake.err), &lake.err);
    CHECK_OK(meta_get_setting(read, STR("k"), &lake.arena, &setting, &lake.err), &lake.err);
    CHECK_OK(meta_list_staged_before(read, INT64_MAX, &lake.arena, &staged, &count, &lake.err),
             &lake.err);
    CHECK_INT(count, 0); /* every intent has ended */
    meta_read_end(&read);
    rig_lake_close(&lake);
}

TEST(catalog_staged_files_are_readable_by_run)
{
    RigLake lake;
    CommitResult result;
    rig_lake_open(&lake);
    rig_table_make(&lake, "t", true);
    TableVersion *version = rig_loaded(&lake, "t");
    const TableMetadata *m = table_version_metadata(version);
    Uuid uuid = table_version_entry(version)->uuid;
    DataFile a = rig_file_of(&lake, "a", 10, 1);
    CHECK_OK(catalog_stage_intend(lake.catalog, STR("r1"), uuid, &a.address, 1, &lake.err),
             &lake.err);
    ScanPlan plan;
    CHECK_CODE(
        table_scan(version, &(TableScan){ .ref = STR("run:r1") }, &lake.arena, &plan, &lake.err),
        E_NOT_FOUND);
    CHECK_OK(catalog_stage_files(lake.catalog, STR("r1"), m, &a, 1, &lake.err), &lake.err);
    CHECK_OK(
        table_scan(version, &(TableScan){ .ref = STR("run:r1") }, &lake.arena, &plan, &lake.err),
        &lake.err);
    CHECK_INT(plan.record_count, 10);
    CHECK_OK(table_scan(version, &(TableScan){ 0 }, &lake.arena, &plan, &lake.err), &lake.err);
    CHECK_INT(plan.record_count, 0);
    TableCommit commit = { .name = { STR("silver"), STR("t") },
                           .kind = COMMIT_APPEND,
                           .add = &a,
                           .add_count = 1,
                           .run_id = STR("r1") };
    CHECK_OK(catalog_commit(lake.catalog, &commit, 1, NULL, &result, &lake.err), &lake.err);
    CHECK_CODE(
        table_scan(version, &(TableScan){ .ref = STR("run:r1") }, &lake.arena, &plan, &lake.err),
        E_NOT_FOUND);
    table_version_free(&version);
    rig_lake_close(&lake);
}

/* What a crash between the objects and the transaction leaves. */
TEST(catalog_sweep_takes_what_no_commit_ended)
{
    RigLake lake;
    CommitResult result;
    rig_lake_open(&lake);
    rig_table_make(&lake, "t", false);
    TableVersion *version = rig_loaded(&lake, "t");
    DataFile a = rig_file_of(&lake, "a", 10, -1);
    TableBuild build, *builds[] = { &build };
    const TableEntry *entry = table_version_entry(version);
    build_init(&build, lake.catalog, &lake.arena, table_version_metadata(version),
               entry->metadata_location, os_uuid(os_real()));
    TableCommit commit = { .kind = COMMIT_APPEND, .add = &a, .add_count = 1 };
    CHECK_OK(build_apply(&build, &commit, &result, &lake.err), &lake.err);
    CHECK_OK(build_finish(&build, &lake.err), &lake.err);
    CHECK_OK(builds_publish(lake.catalog, builds, &entry->uuid, 1, &lake.err), &lake.err);
    size_t objects = 0;
    CHECK_OK(catalog_sweep(lake.catalog, 5, NULL, &objects, &lake.err), &lake.err);
    CHECK_INT(objects, 0); /* too young */
    CHECK_OK(catalog_sweep(lake.catalog, INT64_MAX, NULL, &objects, &lake.err), &lake.err);
    CHECK_INT(objects, 3); /* manifest, list, metadata.json */
    CHECK_INT(rig_files_now(&lake, "t"), 0);
    CHECK_OK(rig_commit_files(&lake, COMMIT_APPEND, "t", &a, 1, NULL, 0, &result), &lake.err);
    CHECK_OK(catalog_sweep(lake.catalog, INT64_MAX, NULL, &objects, &lake.err), &lake.err);
    CHECK_INT(objects, 0); /* what is committed stays */
    CHECK_INT(rig_files_now(&lake, "t"), 1);
    table_version_free(&version);
    rig_lake_close(&lake);
}

TEST(catalog_swept_files_are_not_committed)
{
    RigLake lake;
    CommitResult result;
    rig_lake_open(&lake);
    rig_table_make(&lake, "t", false);
    TableVersion *version = rig_loaded(&lake, "t");
    Uuid uuid = table_version_entry(version)->uuid;
    DataFile files[] = { rig_file_of(&lake, "a", 10, -1), rig_file_of(&lake, "b", 10, -1) };
    TableCommit commit = { .name = { STR("silver"), STR("t") },
                           .kind = COMMIT_APPEND,
                           .add = files,
                           .add_count = 2,
                           .run_id = STR("r1") };
    CHECK_OK(catalog_stage_intend(lake.catalog, STR("r1"), uuid, &files[0].address, 1, &lake.err),
             &lake.err);
    CHECK_CODE(catalog_commit(lake.catalog, &commit, 1, NULL, &result, &lake.err), E_CONFLICT);
    CHECK_OK(catalog_stage_intend(lake.catalog, STR("r1"), uuid, &files[1].address, 1, &lake.err),
             &lake.err);
    size_t objects = 0;
    CHECK_OK(catalog_sweep(lake.catalog, INT64_MAX, NULL, &objects, &lake.err), &lake.err);
    CHECK_CODE(catalog_commit(lake.catalog, &commit, 1, NULL, &result, &lake.err), E_CONFLICT);
    CHECK_INT(rig_files_now(&lake, "t"), 0);
    table_version_free(&version);
    rig_lake_close(&lake);
}

/* The sweep may come between a file and what is known of it, when the clock leaps: its object is gone. */
TEST(catalog_swept_files_are_not_staged)
{
    RigLake lake;
    rig_lake_open(&lake);
    rig_table_make(&lake, "t", false);
    TableVersion *version = rig_loaded(&lake, "t");
    Uuid uuid = table_version_entry(version)->uuid;
    const TableMetadata *m = table_version_metadata(version);
    DataFile a = rig_file_of(&lake, "a", 10, -1);
    size_t objects = 0;
    CHECK_OK(catalog_stage_intend(lake.catalog, STR("r1"), uuid, &a.address, 1, &lake.err), &lake.err);
    CHECK_OK(catalog_sweep(lake.catalog, INT64_MAX, NULL, &objects, &lake.err), &lake.err);
    CHECK_CODE(catalog_stage_files(lake.catalog, STR("r1"), m, &a, 1, &lake.err), E_CONFLICT);
    table_version_free(&version);
    rig_lake_close(&lake);
}

TEST(catalog_many_commits_stay_small)
{
    RigLake lake;
    CommitResult result;
    rig_lake_open(&lake);
    rig_table_make(&lake, "t", false);
    IceProperty keep[] = { { STR("tarn.snapshots-max"), STR("20") },
                           { STR("write.metadata.previous-versions-max"), STR("5") } };
    TableCommit commit = {
        .name = { STR("silver"), STR("t") }, .kind = COMMIT_PROPERTIES, .set = keep, .set_count = 2
    };
    CHECK_OK(catalog_commit(lake.catalog, &commit, 1, NULL, &result, &lake.err), &lake.err);
    enum { COMMITS = 120 };
    for (int i = 0; i < COMMITS; i++) {
        Str name = str_format(&lake.arena, "f%d", i);
        DataFile file = rig_file_of(&lake, str_copy_z(&lake.arena, name), 1, -1);
        CHECK_OK(rig_commit_files(&lake, COMMIT_APPEND, "t", &file, 1, NULL, 0, &result), &lake.err);
    }
    CHECK_INT(rig_files_now(&lake, "t"), COMMITS);
    TableVersion *version = rig_loaded(&lake, "t");
    const TableMetadata *m = table_version_metadata(version);
    CHECK_INT(m->snapshot_count, 20);
    CHECK_INT(m->snapshot_log_count, 20);
    CHECK_INT(m->metadata_log_count, 5);
    ScanPlan plan;
    CHECK_OK(table_scan(version, &(TableScan){ 0 }, &lake.arena, &plan, &lake.err), &lake.err);
    CHECK(plan.manifests_total <= MANIFESTS_MERGE_MIN + 1);
    for (size_t i = 1; i < plan.file_count; i++)
        CHECK(plan.files[i - 1]->sequence_number < plan.files[i]->sequence_number);
    Str prefix = str_from(m->location, 10); /* after s3://lake/ */
    StoreListPage page;
    size_t jsons = 0;
    StoreListQuery query = { .bucket = STR("lake"),
                             .prefix =
                                 str_format(&lake.arena, STR_FMT "/metadata/", STR_ARG(prefix)) };
    CHECK_OK(store_list(lake.store, &query, &lake.arena, &page, &lake.err), &lake.err);
    for (size_t i = 0; i < page.object_count; i++)
        jsons += str_ends(page.objects[i].key, STR(".metadata.json"));
    CHECK_INT(jsons, 6);
    table_version_free(&version);
    rig_lake_close(&lake);
}

/* ---- the group committer ---- */

enum { WRITERS = 8, APPENDS = 12 };

typedef struct Writer_ {
    RigLake *lake;
    int number;
    Thread thread;
    size_t failed, grouped;
} AppendWriter;

static void *append_run(void *arg)
{
    AppendWriter *writer = arg;
    for (int i = 0; i < APPENDS; i++) {
        Arena AUTO(arena_done) arena = { 0 };
        Err err;
        CommitResult result;
        DataFile file = { .address =
                              str_format(&arena, "s3://lake/d/%d-%d.parquet", writer->number, i),
                          .format = STR("PARQUET"),
                          .record_count = 1,
                          .size_bytes = 10,
                          .sort_order_id = -1 };
        TableCommit commit = {
            .name = { STR("silver"), STR("t") }, .kind = COMMIT_APPEND, .add = &file, .add_count = 1
        };
        MetaTxn extra;
        meta_txn_init(&extra, &arena);
        if (i == 3) /* this one cannot stand */
            meta_require_setting(&extra, STR("k"), STR("never"));
        Code code = catalog_commit(writer->lake->catalog, &commit, 1, &extra, &result, &err);
        writer->failed += code == E_CONFLICT && i == 3;
        if (i != 3)
            CHECK_OK(code, &err);
        writer->grouped += code == E_OK && result.group_size > 1;
    }
    return NULL;
}

/* Rows that are carried over from before a DELETE would be there again. */
TEST(catalog_serializable_replacement_conflicts_with_a_delete)
{
    RigLake lake;
    CommitResult first, result;
    rig_lake_open(&lake);
    rig_table_make(&lake, "t", false);
    DataFile files[] = { rig_file_of(&lake, "a", 10, -1), rig_file_of(&lake, "b", 20, -1) };
    DataFile copy = rig_file_of(&lake, "c", 30, -1);
    CHECK_OK(rig_commit_files(&lake, COMMIT_APPEND, "t", files, 2, NULL, 0, &first), &lake.err);
    CHECK_OK(rig_commit_files(&lake, COMMIT_DELETE, "t", NULL, 0, &files[0].address, 1, &result), &lake.err);
    TableCommit commit = { .name = { STR("silver"), STR("t") }, .kind = COMMIT_REPLACE, .add = &copy,
                           .add_count = 1, .base_snapshot_id = first.snapshot_id };
    CHECK_CODE(catalog_commit(lake.catalog, &commit, 1, NULL, &result, &lake.err), E_CONFLICT);
    commit.kind = COMMIT_OVERWRITE; /* names what it removes: that is there still */
    commit.remove = &files[1].address;
    commit.remove_count = 1;
    CHECK_OK(catalog_commit(lake.catalog, &commit, 1, NULL, &result, &lake.err), &lake.err);
    CHECK_INT(result.total_records, 30);
    rig_lake_close(&lake);
}

/* What was appended before it in the same group has changed the table too, and so for a table without a snapshot. */
TEST(catalog_serializable_commit_conflicts_with_an_append_of_its_group)
{
    RigLake lake;
    CommitResult first, ignored;
    rig_lake_open(&lake);
    rig_table_make(&lake, "t", false);
    DataFile a = rig_file_of(&lake, "a", 10, -1), b = rig_file_of(&lake, "b", 20, -1), c = rig_file_of(&lake, "c", 1, -1);
    for (int snapshots = 0; snapshots < 2; snapshots++) {
        first.snapshot_id = -1;
        if (snapshots)
            CHECK_OK(rig_commit_files(&lake, COMMIT_APPEND, "t", &a, 1, NULL, 0, &first), &lake.err);
        TableVersion *AUTO(table_version_free) version = rig_loaded(&lake, "t");
        TableBuild build;
        TableCommit append = { .kind = COMMIT_APPEND, .add = &b, .add_count = 1 };
        TableCommit replace = { .kind = COMMIT_REPLACE, .add = &c, .add_count = 1,
                                .base_snapshot_id = first.snapshot_id };
        build_init(&build, lake.catalog, &lake.arena, table_version_metadata(version),
                   table_version_entry(version)->metadata_location, os_uuid(os_real()));
        CHECK_OK(build_apply(&build, &append, &ignored, &lake.err), &lake.err);
        CHECK_CODE(build_apply(&build, &replace, &ignored, &lake.err), E_CONFLICT);
        replace.base_snapshot_id = 0;
        CHECK_OK(build_apply(&build, &replace, &ignored, &lake.err), &lake.err);
        CHECK_OK(build_finish(&build, &lake.err), &lake.err);
    }
    rig_lake_close(&lake);
}

TEST(catalog_group_committer_loses_nothing_and_fails_alone)
{
    RigLake lake;
    AppendWriter writers[WRITERS] = { 0 };
    rig_lake_open(&lake);
    rig_table_make(&lake, "t", false);
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (AppendWriter){ .lake = &lake, .number = i };
        CHECK_OK(thread_start(&writers[i].thread, "writer", append_run, &writers[i], &lake.err),
                 &lake.err);
    }
    size_t grouped = 0;
    for (int i = 0; i < WRITERS; i++) {
        thread_join(&writers[i].thread);
        CHECK_INT(writers[i].failed, 1);
        grouped += writers[i].grouped;
    }
    CHECK_INT(rig_files_now(&lake, "t"), WRITERS * (APPENDS - 1));
    TableVersion *version = rig_loaded(&lake, "t");
    size_t snapshots = table_version_metadata(version)->snapshot_count;
    CHECK(snapshots <= WRITERS * (APPENDS - 1));
    CHECK(grouped == 0 || snapshots < WRITERS * (APPENDS - 1));
    table_version_free(&version);
    rig_lake_close(&lake);
}

/* What a group does, without threads: two appends, an overwrite, an append. */
TEST(catalog_group_keeps_order_and_merges_neighbours)
{
    RigLake lake;
    CommitResult result[4];
    rig_lake_open(&lake);
    rig_table_make(&lake, "t", false);
    TableVersion *version = rig_loaded(&lake, "t");
    DataFile a = rig_file_of(&lake, "a", 1, -1), b = rig_file_of(&lake, "b", 2, -1),
             c = rig_file_of(&lake, "c", 4, -1);
    TableCommit commits[] = {
        { .kind = COMMIT_APPEND, .add = &a, .add_count = 1 },
        { .kind = COMMIT_APPEND, .add = &b, .add_count = 1 },
        { .kind = COMMIT_OVERWRITE,
          .add = &c,
          .add_count = 1,
          .remove = &a.address,
          .remove_count = 1 },
        { .kind = COMMIT_APPEND, .add = &a, .add_count = 1 },
    };
    TableBuild build;
    build_init(&build, lake.catalog, &lake.arena, table_version_metadata(version),
               STR("s3://lake/x/metadata/00000-x.metadata.json"), os_uuid(os_real()));
    /* The first two are one snapshot, which is not in the store when the overwrite reads it. */
    CHECK_OK(build_apply(&build, &commits[0], &result[0], &lake.err), &lake.err);
    CHECK_OK(build_apply(&build, &commits[1], &result[1], &lake.err), &lake.err);
    CHECK_INT(result[0].snapshot_id, result[1].snapshot_id);
    CHECK_OK(build_apply(&build, &commits[2], &result[2], &lake.err), &lake.err);
    CHECK_OK(build_apply(&build, &commits[3], &result[3], &lake.err), &lake.err);
    CHECK_OK(build_finish(&build, &lake.err), &lake.err);
    CHECK_INT(build.m->snapshot_count, 3);
    CHECK_INT(build.m->last_sequence_number, 3);
    CHECK(str_ends(build.new_location, STR(".metadata.json")) &&
          str_find(build.new_location, STR("/00001-")) > 0);
    table_version_free(&version);
    rig_lake_close(&lake);
}

TEST(catalog_commit_of_several_tables_is_one)
{
    RigLake lake;
    CommitResult result[2];
    rig_lake_open(&lake);
    rig_table_make(&lake, "t", false);
    rig_table_make(&lake, "u", false);
    DataFile a = rig_file_of(&lake, "a", 1, -1), b = rig_file_of(&lake, "b", 2, -1);
    Str gone = STR("s3://lake/gone.parquet");
    TableCommit commits[] = {
        { .name = { STR("silver"), STR("t") }, .kind = COMMIT_APPEND, .add = &a, .add_count = 1 },
        { .name = { STR("silver"), STR("u") },
          .kind = COMMIT_DELETE,
          .remove = &gone,
          .remove_count = 1 },
    };
    CHECK_CODE(catalog_commit(lake.catalog, commits, 2, NULL, result, &lake.err), E_CONFLICT);
    CHECK_INT(rig_files_now(&lake, "t"), 0);
    commits[1] = (TableCommit){
        .name = { STR("silver"), STR("u") }, .kind = COMMIT_APPEND, .add = &b, .add_count = 1
    };
    CHECK_OK(catalog_commit(lake.catalog, commits, 2, NULL, result, &lake.err), &lake.err);
    CHECK_INT(rig_files_now(&lake, "t") + rig_files_now(&lake, "u"), 2);
    CHECK_INT(result[1].total_records, 2);
    commits[1].name.name = STR("t");
    CHECK_CODE(catalog_commit(lake.catalog, commits, 2, NULL, result, &lake.err), E_INVALID);
    rig_lake_close(&lake);
}

/* Another catalog on the same database moves the table in between. */
TEST(catalog_compare_and_swap_retries_inside)
{
    RigLake lake;
    CommitResult result;
    rig_lake_open(&lake);
    rig_table_make(&lake, "t", false);
    Catalog *other = NULL;
    CatalogOptions options = {
        .os = os_real(), .store = lake.store, .meta = lake.meta, .lake_bucket = STR("lake")
    };
    CHECK_OK(catalog_open(&options, &other, &lake.err), &lake.err);
    DataFile a = rig_file_of(&lake, "a", 1, -1), b = rig_file_of(&lake, "b", 2, -1);
    TableCommit commit = {
        .name = { STR("silver"), STR("t") }, .kind = COMMIT_APPEND, .add = &a, .add_count = 1
    };
    CHECK_OK(catalog_commit(other, &commit, 1, NULL, &result, &lake.err), &lake.err);
    CHECK_OK(rig_commit_files(&lake, COMMIT_APPEND, "t", &b, 1, NULL, 0, &result), &lake.err);
    CHECK_INT(result.total_records, 3);
    catalog_free(&other);
    rig_lake_close(&lake);
}

TEST(catalog_replace_of_many_manifests_writes_no_empty_one)
{
    RigLake lake;
    CommitResult result;
    ManifestFile *manifests;
    size_t count;
    rig_lake_open(&lake);
    rig_table_make(&lake, "t", false);
    for (int i = 0; i < MANIFESTS_MERGE_MIN - 1; i++) {
        Str name = str_format(&lake.arena, "f%d", i);
        DataFile file = rig_file_of(&lake, str_copy_z(&lake.arena, name), 1, -1);
        CHECK_OK(rig_commit_files(&lake, COMMIT_APPEND, "t", &file, 1, NULL, 0, &result), &lake.err);
    }
    DataFile all = rig_file_of(&lake, "all", 1, -1);
    CHECK_OK(rig_commit_files(&lake, COMMIT_REPLACE, "t", &all, 1, NULL, 0, &result), &lake.err);
    CHECK_INT(rig_files_now(&lake, "t"), 1);
    TableVersion *version = rig_loaded(&lake, "t");
    const IceSnapshot *now = table_snapshot_current(table_version_metadata(version));
    CHECK_OK(catalog_manifests_load(lake.catalog, now, &lake.arena, &manifests, &count, &lake.err), &lake.err);
    CHECK_INT(count, MANIFESTS_MERGE_MIN); /* what was added, and each that lost its file */
    for (size_t i = 0; i < count; i++)
        CHECK(manifests[i].added_files + manifests[i].existing_files + manifests[i].deleted_files > 0);
    table_version_free(&version);
    rig_lake_close(&lake);
}

/* One that nobody could read would be the end of the table. */
TEST(catalog_merges_no_more_entries_than_a_manifest_may_have)
{
    static const struct { int32_t entries; size_t manifests; } CASES[] = { { 1, 2 }, { 30000, 25 }, { 60000, 40 } };
    RigLake lake;
    CommitResult result;
    rig_lake_open(&lake);
    rig_table_make(&lake, "t", false);
    for (int i = 0; i < MANIFESTS_MERGE_MIN - 1; i++) {
        Str name = str_format(&lake.arena, "f%d", i);
        DataFile file = rig_file_of(&lake, str_copy_z(&lake.arena, name), 1, -1);
        CHECK_OK(rig_commit_files(&lake, COMMIT_APPEND, "t", &file, 1, NULL, 0, &result), &lake.err);
    }
    TableVersion *version = rig_loaded(&lake, "t");
    DataFile last = rig_file_of(&lake, "last", 1, -1);
    TableCommit commit = { .kind = COMMIT_APPEND, .add = &last, .add_count = 1 };
    for (size_t c = 0; c < ARRAY_LEN(CASES); c++) {
        TableBuild build;
        build_init(&build, lake.catalog, &lake.arena, table_version_metadata(version),
                   table_version_entry(version)->metadata_location, os_uuid(os_real()));
        CHECK_OK(build_manifests_load(&build, &lake.err), &lake.err);
        for (size_t i = 0; i < build.manifest_count; i++) /* as their list says it */
            build.manifests[i].added_files = CASES[c].entries;
        CHECK_OK(build_apply(&build, &commit, &result, &lake.err), &lake.err);
        CHECK_OK(build_finish(&build, &lake.err), &lake.err);
        CHECK_INT(build.manifest_count, CASES[c].manifests);
    }
    table_version_free(&version);
    rig_lake_close(&lake);
}

/* What was superseded is kept by who reads it, not by the cache: a version of 500 snapshots takes a megabyte and more. */
TEST(catalog_cache_keeps_one_version_of_a_table)
{
    RigLake lake;
    CommitResult result;
    rig_lake_open(&lake);
    rig_table_make(&lake, "t", false);
    rig_table_make(&lake, "u", false);
    TableVersion *AUTO(table_version_free) held = rig_loaded(&lake, "t");
    for (int i = 0; i < 5; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%d", i);
        DataFile file = rig_file_of(&lake, name, 1, -1);
        CHECK_OK(rig_commit_files(&lake, COMMIT_APPEND, "t", &file, 1, NULL, 0, &result), &lake.err);
        CHECK_INT(rig_files_now(&lake, "t"), i + 1);
        CHECK_INT(rig_files_now(&lake, "u"), 0);
    }
    CHECK_INT(lake.catalog->cache_count, 2);
    CHECK_INT(table_version_metadata(held)->snapshot_count, 0);
    size_t versions = 0;
    for (const TableVersion *version = lake.catalog->versions; version; version = version->after)
        versions++;
    CHECK_INT(versions, 3);
    table_version_free(&held);
    rig_lake_close(&lake);
}
