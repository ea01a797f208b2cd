/* The lake of catalog_rig.h. */
#include "table/catalog_rig.h"

#include "table/scan.h"

#include <string.h>

static const IceField COLUMNS[] = {
    { .name = STR_INIT("id"), .required = false, .type = NULL },
    { .name = STR_INIT("name") },
    { .name = STR_INIT("day") },
};

void rig_lake_open(RigLake *lake)
{
    *lake = (RigLake){ 0 };
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

void rig_lake_close(RigLake *lake)
{
    catalog_free(&lake->catalog);
    meta_free(&lake->meta);
    store_free(&lake->store);
    arena_done(&lake->arena);
}

void rig_table_make(RigLake *lake, const char *name, bool partitioned)
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

TableVersion *rig_loaded(RigLake *lake, const char *name)
{
    TableVersion *version = NULL;
    CHECK_OK(catalog_load(lake->catalog, STR("silver"), str_z(name), &version, &lake->err),
             &lake->err);
    return version;
}

DataFile rig_file_of(RigLake *lake, const char *name, int64_t rows, int64_t month)
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

Code rig_commit_files(RigLake *lake, CommitKind kind, const char *table, const DataFile *add,
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

size_t rig_files_now(RigLake *lake, const char *table)
{
    TableVersion *AUTO(table_version_free) version = rig_loaded(lake, table);
    DataFile *files;
    size_t count = 0;
    CHECK_OK(table_files(version, 0, &lake->arena, &files, &count, &lake->err), &lake->err);
    return count;
}
