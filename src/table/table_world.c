/* The world of table_world.h. */
#include "table/table_world.h"

Code world_open(World *w)
{
    Os *os = os_sim_os(w->sim);
    StoreOptions store = { .index = "memory", .dir = "/s", .segment_bytes = 256 * 1024 };
    MetaOptions meta = { .path = "/m/tarn.db" };
    TRY(os_dir_make(os, "/m", &w->err));
    TRY(store_open(os, &store, &w->store, &w->err));
    TRY(meta_open(os, &meta, &w->meta, &w->err));
    CatalogOptions options = {
        .os = os, .store = w->store, .meta = w->meta, .lake_bucket = STR("lake")
    };
    return catalog_open(&options, &w->catalog, &w->err);
}

void world_close(World *w)
{
    catalog_free(&w->catalog);
    meta_free(&w->meta);
    store_free(&w->store);
}

void world_end(World *w)
{
    world_close(w);
    os_sim_free(&w->sim);
    arena_done(&w->arena);
}

void world_table_make(World *w, const char *name, bool partitioned)
{
    IceField columns[] = { { .name = STR("id"), .type = ice_type_simple(ICE_LONG) },
                           { .name = STR("day"), .type = ice_type_simple(ICE_DATE) } };
    PartitionColumn partition = { .column = STR("day"), .transform = { TRANSFORM_IDENTITY, 0 } };
    TableCreate create = { .ns = STR("n"),
                           .name = str_z(name),
                           .columns = columns,
                           .column_count = 2,
                           .partition = &partition,
                           .partition_count = partitioned };
    CHECK_OK(catalog_table_create(w->catalog, &create, NULL, &w->err), &w->err);
}

void world_begin(World *w, bool partitioned)
{
    *w = (World){ .sim = os_sim_new(test_seed()) };
    CHECK_OK(world_open(w), &w->err);
    CHECK_OK(catalog_namespace_create(w->catalog, STR("n"), NULL, 0, NULL, &w->err), &w->err);
    world_table_make(w, "t", partitioned);
}

TableVersion *world_loaded(World *w)
{
    TableVersion *version = NULL;
    CHECK_OK(catalog_load(w->catalog, STR("n"), STR("t"), &version, &w->err), &w->err);
    return version;
}

DataFile world_file(World *w, Str location, int64_t rows, int64_t bytes, int64_t day)
{
    IceValue *partition = arena_array(&w->arena, IceValue, 1);
    partition[0] = ice_value_i64(day);
    return (DataFile){ .address = str_format(&w->arena, STR_FMT "/data/%05d.parquet",
                                             STR_ARG(location), w->files++),
                       .format = STR("PARQUET"),
                       .partition = partition,
                       .partition_count = day >= 0,
                       .record_count = rows,
                       .size_bytes = bytes,
                       .sort_order_id = -1,
                       .sequence_number = -1 };
}

Str world_location(World *w)
{
    TableVersion *AUTO(table_version_free) version = world_loaded(w);
    return str_copy(&w->arena, table_version_metadata(version)->location);
}

Code world_commit(World *w, CommitKind kind, const DataFile *add, size_t add_count, const Str *remove,
                   size_t remove_count, CommitResult *ret_result)
{
    TableCommit commit = { .name = { STR("n"), STR("t") }, .kind = kind, .add = add, .add_count = add_count,
                           .remove = remove, .remove_count = remove_count };
    return catalog_commit(w->catalog, &commit, 1, NULL, ret_result, &w->err);
}

void world_property_set(World *w, const char *key, const char *value)
{
    CommitResult result;
    IceProperty set = { str_z(key), str_z(value) };
    TableCommit commit = { .name = { STR("n"), STR("t") }, .kind = COMMIT_PROPERTIES, .set = &set, .set_count = 1 };
    CHECK_OK(catalog_commit(w->catalog, &commit, 1, NULL, &result, &w->err), &w->err);
}

DataFile world_append(World *w, int64_t rows, int64_t bytes, int64_t day)
{
    CommitResult result;
    DataFile file = world_file(w, world_location(w), rows, bytes, day);
    Str bucket, key;
    CHECK(store_address_parse(file.address, &bucket, &key));
    StorePut put = { .bucket = bucket, .key = key };
    CHECK_OK(store_put(w->store, &put, STR("rows"), NULL, &w->err), &w->err);
    CHECK_OK(world_commit(w, COMMIT_APPEND, &file, 1, NULL, 0, &result), &w->err);
    return file;
}

bool world_has(World *w, Str address)
{
    Str bucket, key;
    ObjectInfo info;
    CHECK(store_address_parse(address, &bucket, &key));
    return store_head(w->store, bucket, key, &w->arena, &info, &w->err) == E_OK;
}

/* Objects below a folder of the table. */
size_t world_objects(World *w, const char *folder, const char *ending)
{
    StoreListPage page = { 0 };
    size_t count = 0;
    StoreListQuery query = { .bucket = STR("lake"),
                             .prefix = str_format(&w->arena, STR_FMT "/%s/",
                                                  STR_ARG(str_from(world_location(w), 10)), folder) };
    do {
        query.start_after = page.next;
        CHECK_OK(store_list(w->store, &query, &w->arena, &page, &w->err), &w->err);
        for (size_t i = 0; i < page.object_count; i++)
            count += str_ends(page.objects[i].key, str_z(ending));
    } while (page.truncated);
    return count;
}

size_t world_expired_rows(World *w)
{
    MetaRead *AUTO(meta_read_end) read = NULL;
    MetaStagedFile *rows;
    size_t count = 0;
    CHECK_OK(meta_read_begin(w->meta, &read, &w->err), &w->err);
    CHECK_OK(meta_list_staged_files(read, EXPIRED_RUN, &w->arena, &rows, &count, &w->err), &w->err);
    return count;
}

void world_is_whole(World *w, const TableVersion *version)
{
    const TableMetadata *m = table_version_metadata(version);
    for (size_t i = 0; i < m->snapshot_count; i++) {
        DataFile *files;
        size_t count = 0;
        CHECK_OK(table_files(version, m->snapshots[i].id, &w->arena, &files, &count, &w->err), &w->err);
        for (size_t k = 0; k < count; k++)
            CHECK(world_has(w, files[k].address));
    }
}

/* ---- joining files ---- */

const CompactRule WORLD_RULE = { .small_bytes = 1000, .target_bytes = 4000, .files_min = 4 };

CompactBin *world_planned(World *w, const CompactRule *rule, size_t *ret_count)
{
    TableVersion *AUTO(table_version_free) version = world_loaded(w);
    CompactBin *bins = NULL;
    CHECK_OK(table_compact_plan(version, rule, &w->arena, &bins, ret_count, &w->err), &w->err);
    return bins;
}

Code world_rewrite(World *w, const CompactBin *bin, int64_t rows, CommitResult *ret_result)
{
    DataFile file = world_file(w, world_location(w), rows, bin->bytes, bin->files[0].partition[0].number);
    Str *remove = arena_array(&w->arena, Str, bin->file_count);
    Str bucket, key;
    CHECK(store_address_parse(file.address, &bucket, &key));
    StorePut put = { .bucket = bucket, .key = key };
    CHECK_OK(store_put(w->store, &put, STR("rows"), NULL, &w->err), &w->err);
    for (size_t i = 0; i < bin->file_count; i++)
        remove[i] = bin->files[i].address;
    return world_commit(w, COMMIT_COMPACT, &file, 1, remove, bin->file_count, ret_result);
}

/* Replaces all rows by one file of `rows`. */
DataFile world_replace(World *w, int64_t rows)
{
    CommitResult result;
    DataFile file = world_file(w, world_location(w), rows, 10, -1);
    Str bucket, key;
    CHECK(store_address_parse(file.address, &bucket, &key));
    StorePut put = { .bucket = bucket, .key = key };
    CHECK_OK(store_put(w->store, &put, STR("rows"), NULL, &w->err), &w->err);
    CHECK_OK(world_commit(w, COMMIT_REPLACE, &file, 1, NULL, 0, &result), &w->err);
    return file;
}

size_t world_reclaimed(World *w, int64_t before_us)
{
    size_t count = 0;
    CHECK_OK(catalog_reclaim(w->catalog, before_us, NULL, &count, &w->err), &w->err);
    return count;
}
