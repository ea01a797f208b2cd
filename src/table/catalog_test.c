/* Tables as they are made, changed, renamed and dropped: catalog.c, catalog_io.c, create.c, schema_change.c. */
#include "table/catalog_rig.h"

#include "table/scan.h"

#include <stdio.h>
#include <string.h>

TEST(catalog_makes_and_loads_tables)
{
    RigLake lake;
    rig_lake_open(&lake);
    rig_table_make(&lake, "flights", true);
    TableVersion *AUTO(table_version_free) version = rig_loaded(&lake, "flights");
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
    rig_lake_close(&lake);
}

TEST(catalog_refuses_names_and_doubles)
{
    RigLake lake;
    rig_lake_open(&lake);
    rig_table_make(&lake, "t", false);
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
    rig_lake_close(&lake);
}

TEST(catalog_schema_evolution)
{
    RigLake lake;
    CommitResult result;
    rig_lake_open(&lake);
    rig_table_make(&lake, "t", true);
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
    TableVersion *version = rig_loaded(&lake, "t");
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
    version = rig_loaded(&lake, "t");
    CHECK_INT(
        ice_schema_column(table_schema_current(table_version_metadata(version)), STR("score"))->id,
        5);
    table_version_free(&version);
    rig_lake_close(&lake);
}

TEST(catalog_replace_with_a_new_schema_keeps_ids_by_name)
{
    RigLake lake;
    CommitResult result;
    rig_lake_open(&lake);
    rig_table_make(&lake, "t", false);
    TableVersion *version = rig_loaded(&lake, "t");
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
    DataFile a = rig_file_of(&lake, "a", 10, -1);
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
    rig_lake_close(&lake);
}

TEST(catalog_draft_makes_table_and_rows_at_once)
{
    RigLake lake;
    rig_lake_open(&lake);
    IceField column = { .name = STR("a"), .type = ice_type_simple(ICE_INT) };
    TableCreate create = {
        .ns = STR("silver"), .name = STR("ctas"), .columns = &column, .column_count = 1
    };
    TableDraft draft;
    CHECK_OK(catalog_table_draft(lake.catalog, &create, &lake.arena, &draft, &lake.err), &lake.err);
    TableVersion *version = NULL;
    CHECK_CODE(catalog_load(lake.catalog, STR("silver"), STR("ctas"), &version, &lake.err),
               E_NOT_FOUND);
    DataFile a = rig_file_of(&lake, "a", 10, -1);
    CHECK_OK(catalog_draft_commit(lake.catalog, &draft, &a, 1, STR_NONE, NULL, &lake.err),
             &lake.err);
    CHECK_INT(rig_files_now(&lake, "ctas"), 1);
    CHECK_CODE(catalog_draft_commit(lake.catalog, &draft, &a, 1, STR_NONE, NULL, &lake.err),
               E_EXISTS);
    CHECK_INT(rig_files_now(&lake, "ctas"), 1);
    rig_lake_close(&lake);
}

TEST(catalog_views_renames_drops)
{
    RigLake lake;
    CommitResult result;
    rig_lake_open(&lake);
    rig_table_make(&lake, "t", false);
    TableCreate view = { .ns = STR("silver"), .name = STR("v"), .view_sql = STR("SELECT 1") };
    CHECK_OK(catalog_table_create(lake.catalog, &view, NULL, &lake.err), &lake.err);
    CHECK_CODE(catalog_table_create(lake.catalog, &view, NULL, &lake.err), E_EXISTS);
    view.replace_view = true;
    view.view_sql = STR("SELECT 2");
    CHECK_OK(catalog_table_create(lake.catalog, &view, NULL, &lake.err), &lake.err);
    TableVersion *version = rig_loaded(&lake, "v");
    CHECK_STR(table_version_entry(version)->view_sql, STR("SELECT 2"));
    CHECK(!table_version_metadata(version));
    table_version_free(&version);
    CHECK_CODE(rig_commit_files(&lake, COMMIT_APPEND, "v", NULL, 0, NULL, 0, &result), E_INVALID);
    view.name = STR("t");
    CHECK_CODE(catalog_table_create(lake.catalog, &view, NULL, &lake.err), E_EXISTS);
    TableName t = { STR("silver"), STR("t") }, u = { STR("silver"), STR("u") },
              v = { STR("silver"), STR("v") };
    CHECK_CODE(catalog_table_rename(lake.catalog, t, v, NULL, &lake.err), E_EXISTS);
    CHECK_OK(catalog_table_rename(lake.catalog, t, u, NULL, &lake.err), &lake.err);
    version = rig_loaded(&lake, "u");
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
    rig_lake_close(&lake);
}
