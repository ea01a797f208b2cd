/* The catalog over a store in memory and a real metadata database: catalog.c, catalog_io.c,
 * create.c, commit.c, build.c, manifests.c, schema_change.c, scan.c. */
#include "base/test.h"
#include "table/catalog_priv.h"
#include "table/scan.h"

#include <stdio.h>
#include <string.h>

typedef struct Lake {
    Arena arena;
    Store *store;
    Meta *meta;
    Catalog *catalog;
    Err err;
} Lake;

static const IceField COLUMNS[] = {
    { .name = STR_INIT("id"), .required = false, .type = NULL },
    { .name = STR_INIT("name") },
    { .name = STR_INIT("day") },
};

static void lake_open(Lake *lake)
{
    *lake = (Lake){ 0 };
    const char *dir = test_dir();
    Str path = str_format(&lake->arena, "%s/tarn.db", dir);
    StoreOptions store = { .backend = "memory", .index = "memory", .dir = dir };
    MetaOptions meta = { .path = str_copy_z(&lake->arena, path) };
    CHECK_OK(store_open(os_real(), &store, &lake->store, &lake->err), &lake->err);
    CHECK_OK(meta_open(os_real(), &meta, &lake->meta, &lake->err), &lake->err);
    CatalogOptions options = {
        .os = os_real(), .store = lake->store, .meta = lake->meta, .lake_bucket = STR("lake")
    };
    CHECK_OK(catalog_open(&options, &lake->catalog, &lake->err), &lake->err);
    CHECK_OK(catalog_namespace_create(lake->catalog, STR("silver"), NULL, 0, NULL, &lake->err),
             &lake->err);
}

static void lake_close(Lake *lake)
{
    catalog_free(&lake->catalog);
    meta_free(&lake->meta);
    store_free(&lake->store);
    arena_done(&lake->arena);
}

static void table_make(Lake *lake, const char *name, bool partitioned)
{
    IceField columns[ARRAY_LEN(COLUMNS)];
    memcpy(columns, COLUMNS, sizeof columns);
    columns[0].type = ice_type_simple(ICE_LONG);
    columns[1].type = ice_type_simple(ICE_STRING);
    columns[2].type = ice_type_simple(ICE_DATE);
    PartitionColumn partition = { .column = STR("day"), .transform = { TRANSFORM_MONTH, 0 } };
    TableCreate create = { .ns = STR("silver"),
                           .name = str_z(name),
                           .columns = columns,
                           .column_count = ARRAY_LEN(columns),
                           .partition = &partition,
                           .partition_count = partitioned };
    CHECK_OK(catalog_table_create(lake->catalog, &create, NULL, &lake->err), &lake->err);
}

static TableVersion *loaded(Lake *lake, const char *name)
{
    TableVersion *version = NULL;
    CHECK_OK(catalog_load(lake->catalog, STR("silver"), str_z(name), &version, &lake->err),
             &lake->err);
    return version;
}

static DataFile file_of(Lake *lake, const char *name, int64_t rows, int64_t month)
{
    IceValue *partition = arena_array(&lake->arena, IceValue, 1);
    partition[0] = ice_value_i64(month);
    return (DataFile){ .address = str_format(&lake->arena, "s3://lake/data/%s.parquet", name),
                       .format = STR("PARQUET"),
                       .partition = partition,
                       .partition_count = month >= 0,
                       .record_count = rows,
                       .size_bytes = 1000,
                       .sort_order_id = -1,
                       .sequence_number = -1 };
}

static Code commit_files(Lake *lake, CommitKind kind, const char *table, const DataFile *add,
                         size_t add_count, const Str *remove, size_t remove_count,
                         CommitResult *result)
{
    TableCommit commit = { .name = { STR("silver"), str_z(table) },
                           .kind = kind,
                           .add = add,
                           .add_count = add_count,
                           .remove = remove,
                           .remove_count = remove_count };
    return catalog_commit(lake->catalog, &commit, 1, NULL, result, &lake->err);
}

static size_t files_now(Lake *lake, const char *table)
{
    TableVersion *AUTO(table_version_free) version = loaded(lake, table);
    DataFile *files;
    size_t count = 0;
    CHECK_OK(table_files(version, 0, &lake->arena, &files, &count, &lake->err), &lake->err);
    return count;
}

TEST(catalog_makes_and_loads_tables)
{
    Lake lake;
    lake_open(&lake);
    table_make(&lake, "flights", true);
    TableVersion *AUTO(table_version_free) version = loaded(&lake, "flights");
    const TableMetadata *m = table_version_metadata(version);
    CHECK_INT(m->schema_count, 1);
    CHECK_INT(m->schemas[0].fields[2].id, 3);
    CHECK_STR(m->specs[0].fields[0].name, STR("day_month"));
    CHECK_INT(m->last_partition_id, 1000);
    CHECK_INT(m->current_snapshot_id, -1);
    CHECK(str_starts(m->location, STR("s3://lake/silver/flights/")));
    TableVersion *other = NULL;
    CHECK_CODE(catalog_load(lake.catalog, STR("silver"), STR("flihgts"), &other, &lake.err),
               E_NOT_FOUND);
    CHECK_STR(str_z(lake.err.hint), STR("did you mean 'silver.flights'?"));
    CHECK_CODE(catalog_load(lake.catalog, STR("silvr"), STR("flights"), &other, &lake.err),
               E_NOT_FOUND);
    CHECK_STR(str_z(lake.err.hint), STR("did you mean 'silver'?"));
    CHECK_OK(catalog_load(lake.catalog, STR("Silver"), STR("FLIGHTS"), &other, &lake.err),
             &lake.err);
    table_version_free(&other);
    table_version_free(&version);
    lake_close(&lake);
}

TEST(catalog_refuses_names_and_doubles)
{
    Lake lake;
    lake_open(&lake);
    table_make(&lake, "t", false);
    IceField column = { .name = STR("a"), .type = ice_type_simple(ICE_INT) };
    TableCreate create = {
        .ns = STR("silver"), .name = STR("t"), .columns = &column, .column_count = 1
    };
    CHECK_CODE(catalog_table_create(lake.catalog, &create, NULL, &lake.err), E_EXISTS);
    create.ns = STR("gold");
    CHECK_CODE(catalog_table_create(lake.catalog, &create, NULL, &lake.err), E_NOT_FOUND);
    create.ns = STR("silver");
    create.name = STR("");
    CHECK_CODE(catalog_table_create(lake.catalog, &create, NULL, &lake.err), E_INVALID);
    create.name = STR("a\nb");
    CHECK_CODE(catalog_table_create(lake.catalog, &create, NULL, &lake.err), E_INVALID);
    CHECK_CODE(catalog_namespace_create(lake.catalog, STR("Main"), NULL, 0, NULL, &lake.err),
               E_INVALID);
    CHECK_CODE(catalog_namespace_create(lake.catalog, STR("silver"), NULL, 0, NULL, &lake.err),
               E_EXISTS);
    CHECK_CODE(catalog_namespace_drop(lake.catalog, STR("silver"), NULL, &lake.err),
               E_PRECONDITION);
    lake_close(&lake);
}

TEST(catalog_commits_append_overwrite_delete)
{
    Lake lake;
    CommitResult result;
    lake_open(&lake);
    table_make(&lake, "t", true);
    DataFile a = file_of(&lake, "a", 10, 1), b = file_of(&lake, "b", 20, 2),
             c = file_of(&lake, "c", 5, 1);
    CHECK_OK(commit_files(&lake, COMMIT_APPEND, "t", &a, 1, NULL, 0, &result), &lake.err);
    CHECK_INT(result.total_records, 10);
    CHECK_OK(commit_files(&lake, COMMIT_APPEND, "t", &b, 1, NULL, 0, &result), &lake.err);
    CHECK_INT(result.total_records, 30);
    CHECK_INT(result.sequence_number, 2);
    int64_t second = result.snapshot_id;
    CHECK_OK(commit_files(&lake, COMMIT_OVERWRITE, "t", &c, 1, &a.address, 1, &result), &lake.err);
    CHECK_INT(result.total_records, 25);
    CHECK_INT(files_now(&lake, "t"), 2);
    CHECK_CODE(commit_files(&lake, COMMIT_OVERWRITE, "t", &a, 1, &a.address, 1, &result),
               E_CONFLICT);
    CHECK_INT(files_now(&lake, "t"), 2);
    CHECK_OK(commit_files(&lake, COMMIT_DELETE, "t", NULL, 0, &b.address, 1, &result), &lake.err);
    CHECK_INT(files_now(&lake, "t"), 1);
    CHECK_OK(commit_files(&lake, COMMIT_REPLACE, "t", &a, 1, NULL, 0, &result), &lake.err);
    CHECK_INT(result.total_records, 10);
    TableVersion *AUTO(table_version_free) version = loaded(&lake, "t");
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
    lake_close(&lake);
}

TEST(catalog_serializable_overwrite_conflicts_with_an_append)
{
    Lake lake;
    CommitResult first, result;
    lake_open(&lake);
    table_make(&lake, "t", false);
    DataFile a = file_of(&lake, "a", 10, -1), b = file_of(&lake, "b", 20, -1),
             c = file_of(&lake, "c", 1, -1);
    CHECK_OK(commit_files(&lake, COMMIT_APPEND, "t", &a, 1, NULL, 0, &first), &lake.err);
    CHECK_OK(commit_files(&lake, COMMIT_APPEND, "t", &b, 1, NULL, 0, &result), &lake.err);
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
    lake_close(&lake);
}

TEST(catalog_extra_is_in_the_same_transaction)
{
    Lake lake;
    CommitResult result;
    lake_open(&lake);
    table_make(&lake, "t", false);
    DataFile a = file_of(&lake, "a", 10, -1);
    TableCommit commit = {
        .name = { STR("silver"), STR("t") }, .kind = COMMIT_APPEND, .add = &a, .add_count = 1
    };
    MetaTxn extra;
    meta_txn_init(&extra, &lake.arena);
    meta_require_setting(&extra, STR("k"), STR("not there"));
    CHECK_CODE(catalog_commit(lake.catalog, &commit, 1, &extra, &result, &lake.err), E_CONFLICT);
    CHECK_INT(files_now(&lake, "t"), 0);
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
    lake_close(&lake);
}

TEST(catalog_schema_evolution)
{
    Lake lake;
    CommitResult result;
    lake_open(&lake);
    table_make(&lake, "t", true);
    SchemaChange changes[] = {
        { .kind = SCHEMA_ADD, .column = STR("score"), .type = ice_type_simple(ICE_FLOAT) },
        { .kind = SCHEMA_RENAME, .column = STR("name"), .text = STR("title") },
        { .kind = SCHEMA_WIDEN, .column = STR("score"), .type = ice_type_simple(ICE_DOUBLE) },
        { .kind = SCHEMA_FIRST, .column = STR("score") },
        { .kind = SCHEMA_AFTER, .column = STR("id"), .text = STR("title") },
        { .kind = SCHEMA_DOC, .column = STR("id"), .text = STR("the number") },
    };
    TableCommit commit = { .name = { STR("silver"), STR("t") },
                           .kind = COMMIT_SCHEMA,
                           .changes = changes,
                           .change_count = ARRAY_LEN(changes) };
    CHECK_OK(catalog_commit(lake.catalog, &commit, 1, NULL, &result, &lake.err), &lake.err);
    TableVersion *version = loaded(&lake, "t");
    const IceSchema *schema = table_schema_current(table_version_metadata(version));
    static const char *const NAMES[] = { "score", "title", "id", "day" };
    static const int IDS[] = { 4, 2, 1, 3 };
    for (size_t i = 0; i < 4; i++) {
        CHECK_STR(schema->fields[i].name, str_z(NAMES[i]));
        CHECK_INT(schema->fields[i].id, IDS[i]);
    }
    CHECK_INT(schema->fields[0].type->kind, ICE_DOUBLE);
    table_version_free(&version);
    static const struct {
        SchemaChange change;
        Code wanted;
    } BAD[] = {
        { { .kind = SCHEMA_DROP, .column = STR_INIT("day") }, E_PRECONDITION },
        { { .kind = SCHEMA_DROP, .column = STR_INIT("scoer") }, E_NOT_FOUND },
        { { .kind = SCHEMA_RENAME, .column = STR_INIT("id"), .text = STR_INIT("DAY") }, E_EXISTS },
        { { .kind = SCHEMA_AFTER, .column = STR_INIT("id"), .text = STR_INIT("id") }, E_INVALID },
    };
    for (size_t i = 0; i < ARRAY_LEN(BAD); i++) {
        commit.changes = &BAD[i].change;
        commit.change_count = 1;
        CHECK_CODE(catalog_commit(lake.catalog, &commit, 1, NULL, &result, &lake.err),
                   BAD[i].wanted);
    }
    /* A dropped column that comes back is another column. */
    SchemaChange again[] = {
        { .kind = SCHEMA_DROP, .column = STR("score") },
        { .kind = SCHEMA_ADD, .column = STR("score"), .type = ice_type_simple(ICE_DOUBLE) }
    };
    commit.changes = again;
    commit.change_count = 2;
    CHECK_OK(catalog_commit(lake.catalog, &commit, 1, NULL, &result, &lake.err), &lake.err);
    version = loaded(&lake, "t");
    CHECK_INT(
        ice_schema_column(table_schema_current(table_version_metadata(version)), STR("score"))->id,
        5);
    table_version_free(&version);
    lake_close(&lake);
}

TEST(catalog_replace_with_a_new_schema_keeps_ids_by_name)
{
    Lake lake;
    CommitResult result;
    lake_open(&lake);
    table_make(&lake, "t", false);
    TableVersion *version = loaded(&lake, "t");
    IceField columns[] = { { .name = STR("extra"), .type = ice_type_simple(ICE_INT) },
                           { .name = STR("name"), .type = ice_type_simple(ICE_INT) },
                           { .name = STR("id"), .type = ice_type_simple(ICE_LONG) } };
    IceSchema *schema = NULL;
    CHECK_OK(catalog_schema_plan(table_version_metadata(version), columns, 3, &lake.arena, &schema,
                                 &lake.err),
             &lake.err);
    CHECK_INT(schema->fields[0].id, 4);
    CHECK_INT(schema->fields[1].id, 5); /* text to number is another column */
    CHECK_INT(schema->fields[2].id, 1);
    DataFile a = file_of(&lake, "a", 10, -1);
    TableCommit commit = { .name = { STR("silver"), STR("t") },
                           .kind = COMMIT_REPLACE,
                           .add = &a,
                           .add_count = 1,
                           .schema = schema };
    CHECK_OK(catalog_commit(lake.catalog, &commit, 1, NULL, &result, &lake.err), &lake.err);
    CHECK_INT(result.schema_id, 1);
    commit.schema = NULL;
    commit.has_base_schema = true; /* files of schema 0, whose columns are gone */
    CHECK_CODE(catalog_commit(lake.catalog, &commit, 1, NULL, &result, &lake.err), E_CONFLICT);
    table_version_free(&version);
    lake_close(&lake);
}

TEST(catalog_draft_makes_table_and_rows_at_once)
{
    Lake lake;
    lake_open(&lake);
    IceField column = { .name = STR("a"), .type = ice_type_simple(ICE_INT) };
    TableCreate create = {
        .ns = STR("silver"), .name = STR("ctas"), .columns = &column, .column_count = 1
    };
    TableDraft draft;
    CHECK_OK(catalog_table_draft(lake.catalog, &create, &lake.arena, &draft, &lake.err), &lake.err);
    TableVersion *version = NULL;
    CHECK_CODE(catalog_load(lake.catalog, STR("silver"), STR("ctas"), &version, &lake.err),
               E_NOT_FOUND);
    DataFile a = file_of(&lake, "a", 10, -1);
    CHECK_OK(catalog_draft_commit(lake.catalog, &draft, &a, 1, STR_NONE, NULL, &lake.err),
             &lake.err);
    CHECK_INT(files_now(&lake, "ctas"), 1);
    CHECK_CODE(catalog_draft_commit(lake.catalog, &draft, &a, 1, STR_NONE, NULL, &lake.err),
               E_EXISTS);
    CHECK_INT(files_now(&lake, "ctas"), 1);
    lake_close(&lake);
}

TEST(catalog_views_renames_drops)
{
    Lake lake;
    CommitResult result;
    lake_open(&lake);
    table_make(&lake, "t", false);
    TableCreate view = { .ns = STR("silver"), .name = STR("v"), .view_sql = STR("SELECT 1") };
    CHECK_OK(catalog_table_create(lake.catalog, &view, NULL, &lake.err), &lake.err);
    CHECK_CODE(catalog_table_create(lake.catalog, &view, NULL, &lake.err), E_EXISTS);
    view.replace_view = true;
    view.view_sql = STR("SELECT 2");
    CHECK_OK(catalog_table_create(lake.catalog, &view, NULL, &lake.err), &lake.err);
    TableVersion *version = loaded(&lake, "v");
    CHECK_STR(table_version_entry(version)->view_sql, STR("SELECT 2"));
    CHECK(!table_version_metadata(version));
    table_version_free(&version);
    CHECK_CODE(commit_files(&lake, COMMIT_APPEND, "v", NULL, 0, NULL, 0, &result), E_INVALID);
    view.name = STR("t");
    CHECK_CODE(catalog_table_create(lake.catalog, &view, NULL, &lake.err), E_EXISTS);
    TableName t = { STR("silver"), STR("t") }, u = { STR("silver"), STR("u") },
              v = { STR("silver"), STR("v") };
    CHECK_CODE(catalog_table_rename(lake.catalog, t, v, NULL, &lake.err), E_EXISTS);
    CHECK_OK(catalog_table_rename(lake.catalog, t, u, NULL, &lake.err), &lake.err);
    version = loaded(&lake, "u");
    CHECK_STR(table_version_entry(version)->name, STR("u"));
    table_version_free(&version);
    CHECK_OK(catalog_table_drop(lake.catalog, u, NULL, &lake.err), &lake.err);
    CHECK_CODE(catalog_load(lake.catalog, STR("silver"), STR("u"), &version, &lake.err),
               E_NOT_FOUND);
    TableEntry *entries;
    size_t count = 0;
    CHECK_OK(
        catalog_table_list(lake.catalog, STR("silver"), &lake.arena, &entries, &count, &lake.err),
        &lake.err);
    CHECK_INT(count, 1);
    lake_close(&lake);
}

TEST(catalog_staged_files_are_readable_by_run)
{
    Lake lake;
    CommitResult result;
    lake_open(&lake);
    table_make(&lake, "t", true);
    TableVersion *version = loaded(&lake, "t");
    const TableMetadata *m = table_version_metadata(version);
    Uuid uuid = table_version_entry(version)->uuid;
    DataFile a = file_of(&lake, "a", 10, 1);
    CHECK_OK(catalog_stage_intend(lake.catalog, STR("r1"), uuid, &a.address, 1, &lake.err),
             &lake.err);
    ScanPlan plan;
    CHECK_CODE(
        table_scan(version, &(TableScan){ .ref = STR("run:r1") }, &lake.arena, &plan, &lake.err),
        E_NOT_FOUND);
    CHECK_OK(catalog_stage_files(lake.catalog, STR("r1"), uuid, m, &a, 1, &lake.err), &lake.err);
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
    lake_close(&lake);
}

/* What a crash between the objects and the transaction leaves. */
TEST(catalog_sweep_takes_what_no_commit_ended)
{
    Lake lake;
    CommitResult result;
    lake_open(&lake);
    table_make(&lake, "t", false);
    TableVersion *version = loaded(&lake, "t");
    DataFile a = file_of(&lake, "a", 10, -1);
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
    CHECK_INT(files_now(&lake, "t"), 0);
    CHECK_OK(commit_files(&lake, COMMIT_APPEND, "t", &a, 1, NULL, 0, &result), &lake.err);
    CHECK_OK(catalog_sweep(lake.catalog, INT64_MAX, NULL, &objects, &lake.err), &lake.err);
    CHECK_INT(objects, 0); /* what is committed stays */
    CHECK_INT(files_now(&lake, "t"), 1);
    table_version_free(&version);
    lake_close(&lake);
}

TEST(catalog_swept_files_are_not_committed)
{
    Lake lake;
    CommitResult result;
    lake_open(&lake);
    table_make(&lake, "t", false);
    TableVersion *version = loaded(&lake, "t");
    Uuid uuid = table_version_entry(version)->uuid;
    DataFile files[] = { file_of(&lake, "a", 10, -1), file_of(&lake, "b", 10, -1) };
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
    CHECK_INT(files_now(&lake, "t"), 0);
    table_version_free(&version);
    lake_close(&lake);
}

TEST(catalog_many_commits_stay_small)
{
    Lake lake;
    CommitResult result;
    lake_open(&lake);
    table_make(&lake, "t", false);
    IceProperty keep[] = { { STR("tarn.snapshots-max"), STR("20") },
                           { STR("write.metadata.previous-versions-max"), STR("5") } };
    TableCommit commit = {
        .name = { STR("silver"), STR("t") }, .kind = COMMIT_PROPERTIES, .set = keep, .set_count = 2
    };
    CHECK_OK(catalog_commit(lake.catalog, &commit, 1, NULL, &result, &lake.err), &lake.err);
    enum { COMMITS = 120 };
    for (int i = 0; i < COMMITS; i++) {
        Str name = str_format(&lake.arena, "f%d", i);
        DataFile file = file_of(&lake, str_copy_z(&lake.arena, name), 1, -1);
        CHECK_OK(commit_files(&lake, COMMIT_APPEND, "t", &file, 1, NULL, 0, &result), &lake.err);
    }
    CHECK_INT(files_now(&lake, "t"), COMMITS);
    TableVersion *version = loaded(&lake, "t");
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
    lake_close(&lake);
}

/* ---- the group committer ---- */

enum { WRITERS = 8, APPENDS = 12 };

typedef struct Writer_ {
    Lake *lake;
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

TEST(catalog_group_committer_loses_nothing_and_fails_alone)
{
    Lake lake;
    AppendWriter writers[WRITERS] = { 0 };
    lake_open(&lake);
    table_make(&lake, "t", false);
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
    CHECK_INT(files_now(&lake, "t"), WRITERS * (APPENDS - 1));
    TableVersion *version = loaded(&lake, "t");
    size_t snapshots = table_version_metadata(version)->snapshot_count;
    CHECK(snapshots <= WRITERS * (APPENDS - 1));
    CHECK(grouped == 0 || snapshots < WRITERS * (APPENDS - 1));
    table_version_free(&version);
    lake_close(&lake);
}

/* What a group does, without threads: two appends, an overwrite, an append. */
TEST(catalog_group_keeps_order_and_merges_neighbours)
{
    Lake lake;
    CommitResult result[4];
    lake_open(&lake);
    table_make(&lake, "t", false);
    TableVersion *version = loaded(&lake, "t");
    DataFile a = file_of(&lake, "a", 1, -1), b = file_of(&lake, "b", 2, -1),
             c = file_of(&lake, "c", 4, -1);
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
    lake_close(&lake);
}

TEST(catalog_commit_of_several_tables_is_one)
{
    Lake lake;
    CommitResult result[2];
    lake_open(&lake);
    table_make(&lake, "t", false);
    table_make(&lake, "u", false);
    DataFile a = file_of(&lake, "a", 1, -1), b = file_of(&lake, "b", 2, -1);
    Str gone = STR("s3://lake/gone.parquet");
    TableCommit commits[] = {
        { .name = { STR("silver"), STR("t") }, .kind = COMMIT_APPEND, .add = &a, .add_count = 1 },
        { .name = { STR("silver"), STR("u") },
          .kind = COMMIT_DELETE,
          .remove = &gone,
          .remove_count = 1 },
    };
    CHECK_CODE(catalog_commit(lake.catalog, commits, 2, NULL, result, &lake.err), E_CONFLICT);
    CHECK_INT(files_now(&lake, "t"), 0);
    commits[1] = (TableCommit){
        .name = { STR("silver"), STR("u") }, .kind = COMMIT_APPEND, .add = &b, .add_count = 1
    };
    CHECK_OK(catalog_commit(lake.catalog, commits, 2, NULL, result, &lake.err), &lake.err);
    CHECK_INT(files_now(&lake, "t") + files_now(&lake, "u"), 2);
    CHECK_INT(result[1].total_records, 2);
    commits[1].name.name = STR("t");
    CHECK_CODE(catalog_commit(lake.catalog, commits, 2, NULL, result, &lake.err), E_INVALID);
    lake_close(&lake);
}

/* Another catalog on the same database moves the table in between. */
TEST(catalog_compare_and_swap_retries_inside)
{
    Lake lake;
    CommitResult result;
    lake_open(&lake);
    table_make(&lake, "t", false);
    Catalog *other = NULL;
    CatalogOptions options = {
        .os = os_real(), .store = lake.store, .meta = lake.meta, .lake_bucket = STR("lake")
    };
    CHECK_OK(catalog_open(&options, &other, &lake.err), &lake.err);
    DataFile a = file_of(&lake, "a", 1, -1), b = file_of(&lake, "b", 2, -1);
    TableCommit commit = {
        .name = { STR("silver"), STR("t") }, .kind = COMMIT_APPEND, .add = &a, .add_count = 1
    };
    CHECK_OK(catalog_commit(other, &commit, 1, NULL, &result, &lake.err), &lake.err);
    CHECK_OK(commit_files(&lake, COMMIT_APPEND, "t", &b, 1, NULL, 0, &result), &lake.err);
    CHECK_INT(result.total_records, 3);
    catalog_free(&other);
    lake_close(&lake);
}
