/* Joined files, snapshots that go, and the files behind them: build.c, manifests.c, expire.c, compact.c,
 * reclaim.c, dropped.c, orphans.c, reached.c, remover.c, on the simulated machine: its clock is ours and its power goes at any call. */
#include "base/test.h"
#include "os/os_sim.h"
#include "table/catalog_priv.h"
#include "table/scan.h"
#include "table/table_keep.h"

#include <string.h>

static const int64_t MINUTE_US = 60000000, HOUR_US = 3600000000, DAY_US = 24 * 3600000000;

typedef struct World {
    OsSim *sim;
    Arena arena;
    Store *store;
    Meta *meta;
    Catalog *catalog;
    Err err;
    int files;
} World;

static Code world_open(World *w)
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

static void world_close(World *w)
{
    catalog_free(&w->catalog);
    meta_free(&w->meta);
    store_free(&w->store);
}

static void world_end(World *w)
{
    world_close(w);
    os_sim_free(&w->sim);
    arena_done(&w->arena);
}

static void table_make(World *w, const char *name, bool partitioned)
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

static void world_begin(World *w, bool partitioned)
{
    *w = (World){ .sim = os_sim_new(test_seed()) };
    CHECK_OK(world_open(w), &w->err);
    CHECK_OK(catalog_namespace_create(w->catalog, STR("n"), NULL, 0, NULL, &w->err), &w->err);
    table_make(w, "t", partitioned);
}

static TableVersion *loaded(World *w)
{
    TableVersion *version = NULL;
    CHECK_OK(catalog_load(w->catalog, STR("n"), STR("t"), &version, &w->err), &w->err);
    return version;
}

static DataFile file_of(World *w, Str location, int64_t rows, int64_t bytes, int64_t day)
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

static Str location(World *w)
{
    TableVersion *AUTO(table_version_free) version = loaded(w);
    return str_copy(&w->arena, table_version_metadata(version)->location);
}

static Code commit(World *w, CommitKind kind, const DataFile *add, size_t add_count, const Str *remove,
                   size_t remove_count, CommitResult *ret_result)
{
    TableCommit commit = { .name = { STR("n"), STR("t") }, .kind = kind, .add = add, .add_count = add_count,
                           .remove = remove, .remove_count = remove_count };
    return catalog_commit(w->catalog, &commit, 1, NULL, ret_result, &w->err);
}

static void property_set(World *w, const char *key, const char *value)
{
    CommitResult result;
    IceProperty set = { str_z(key), str_z(value) };
    TableCommit commit = { .name = { STR("n"), STR("t") }, .kind = COMMIT_PROPERTIES, .set = &set, .set_count = 1 };
    CHECK_OK(catalog_commit(w->catalog, &commit, 1, NULL, &result, &w->err), &w->err);
}

static DataFile append(World *w, int64_t rows, int64_t bytes, int64_t day)
{
    CommitResult result;
    DataFile file = file_of(w, location(w), rows, bytes, day);
    Str bucket, key;
    CHECK(store_address_parse(file.address, &bucket, &key));
    StorePut put = { .bucket = bucket, .key = key };
    CHECK_OK(store_put(w->store, &put, STR("rows"), NULL, &w->err), &w->err);
    CHECK_OK(commit(w, COMMIT_APPEND, &file, 1, NULL, 0, &result), &w->err);
    return file;
}

static bool is_there(World *w, Str address)
{
    Str bucket, key;
    ObjectInfo info;
    CHECK(store_address_parse(address, &bucket, &key));
    return store_head(w->store, bucket, key, &w->arena, &info, &w->err) == E_OK;
}

/* Objects below a folder of the table. */
static size_t objects(World *w, const char *folder, const char *ending)
{
    StoreListPage page = { 0 };
    size_t count = 0;
    StoreListQuery query = { .bucket = STR("lake"),
                             .prefix = str_format(&w->arena, STR_FMT "/%s/",
                                                  STR_ARG(str_from(location(w), 10)), folder) };
    do {
        query.start_after = page.next;
        CHECK_OK(store_list(w->store, &query, &w->arena, &page, &w->err), &w->err);
        for (size_t i = 0; i < page.object_count; i++)
            count += str_ends(page.objects[i].key, str_z(ending));
    } while (page.truncated);
    return count;
}

static size_t expired_rows(World *w)
{
    MetaRead *AUTO(meta_read_end) read = NULL;
    MetaStagedFile *rows;
    size_t count = 0;
    CHECK_OK(meta_read_begin(w->meta, &read, &w->err), &w->err);
    CHECK_OK(meta_list_staged_files(read, EXPIRED_RUN, &w->arena, &rows, &count, &w->err), &w->err);
    return count;
}

static void snapshots_are_whole(World *w, const TableVersion *version)
{
    const TableMetadata *m = table_version_metadata(version);
    for (size_t i = 0; i < m->snapshot_count; i++) {
        DataFile *files;
        size_t count = 0;
        CHECK_OK(table_files(version, m->snapshots[i].id, &w->arena, &files, &count, &w->err), &w->err);
        for (size_t k = 0; k < count; k++)
            CHECK(is_there(w, files[k].address));
    }
}

/* ---- joining files ---- */

static const CompactRule RULE = { .small_bytes = 1000, .target_bytes = 4000, .files_min = 4 };

static CompactBin *planned(World *w, const CompactRule *rule, size_t *ret_count)
{
    TableVersion *AUTO(table_version_free) version = loaded(w);
    CompactBin *bins = NULL;
    CHECK_OK(table_compact_plan(version, rule, &w->arena, &bins, ret_count, &w->err), &w->err);
    return bins;
}

TEST(compact_takes_small_files_of_one_partition)
{
    World w;
    size_t count;
    world_begin(&w, true);
    for (int i = 0; i < 5; i++) {
        append(&w, 10, 100 + i, 7);
        append(&w, 20, 100, i < 3 ? 8 : 9); /* three and two: too few */
    }
    append(&w, 1000, 1000, 7); /* not small */
    CompactBin *bins = planned(&w, &RULE, &count);
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
    append(&w, 90, 900, 7);
    for (int i = 0; i < 5; i++)
        append(&w, 10, 100, 7);
    CompactBin *bins = planned(&w, &RULE, &count);
    CHECK_INT(count, 1);
    CHECK_INT(bins[0].file_count, 5);
    for (int i = 0; i < 5; i++)
        append(&w, 10, 100, 7); /* 1,000 bytes beside its 900 */
    bins = planned(&w, &RULE, &count);
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
        append(&w, 10, 500, 7);
    CompactBin *bins = planned(&w, &RULE, &count);
    CHECK_INT(count, 3);
    for (size_t i = 0; i < count; i++) {
        CHECK(bins[i].bytes <= 4000 + 500);
        files += bins[i].file_count;
    }
    CHECK_INT(files, 21);
    world_end(&w);
}

static Code rewrite(World *w, const CompactBin *bin, int64_t rows, CommitResult *ret_result)
{
    DataFile file = file_of(w, location(w), rows, bin->bytes, bin->files[0].partition[0].number);
    Str *remove = arena_array(&w->arena, Str, bin->file_count);
    Str bucket, key;
    CHECK(store_address_parse(file.address, &bucket, &key));
    StorePut put = { .bucket = bucket, .key = key };
    CHECK_OK(store_put(w->store, &put, STR("rows"), NULL, &w->err), &w->err);
    for (size_t i = 0; i < bin->file_count; i++)
        remove[i] = bin->files[i].address;
    return commit(w, COMMIT_COMPACT, &file, 1, remove, bin->file_count, ret_result);
}

TEST(compact_commit_keeps_rows_age_and_what_came_meanwhile)
{
    World w;
    CommitResult result;
    size_t count;
    world_begin(&w, true);
    for (int i = 0; i < 4; i++)
        append(&w, 10, 100, 7);
    CompactBin *bins = planned(&w, &RULE, &count);
    CHECK_INT(count, 1);
    int64_t newest = bins[0].files[3].sequence_number;
    append(&w, 5, 100, 7); /* while the rewrite is on */
    CHECK_CODE(rewrite(&w, &bins[0], 41, &result), E_INVALID);
    CHECK_OK(rewrite(&w, &bins[0], 40, &result), &w.err);
    CHECK_INT(result.total_records, 45);
    TableVersion *AUTO(table_version_free) version = loaded(&w);
    const IceSnapshot *snapshot = table_snapshot_current(table_version_metadata(version));
    CHECK_STR(snapshot->operation, STR("replace"));
    DataFile *files;
    CHECK_OK(table_files(version, 0, &w.arena, &files, &count, &w.err), &w.err);
    CHECK_INT(count, 2);
    CHECK_INT(files[0].record_count, 40); /* in front of what came later, though written after it */
    CHECK_INT(files[0].sequence_number, newest);
    CHECK(files[1].sequence_number < result.sequence_number);
    /* A second rewrite of the same files has lost the race. */
    CHECK_CODE(rewrite(&w, &bins[0], 40, &result), E_CONFLICT);
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
            append(&w, 10, 100, 7);
        CompactBin *bins = planned(&w, &RULE, &count);
        for (size_t i = 0; i < count; i++)
            CHECK_OK(rewrite(&w, &bins[i], bins[i].records, &result), &w.err);
    }
    TableVersion *AUTO(table_version_free) version = loaded(&w);
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
    Str theirs = location(&w);
    table_make(&w, "u", false);
    DataFile file = file_of(&w, theirs, 1, 10, -1);
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
    property_set(&w, "tarn.snapshots-thin", "true");
    for (int i = 0; i < MINUTES; i++) {
        os_sim_advance_us(w.sim, MINUTE_US);
        append(&w, 1, 10, -1);
    }
    TableVersion *AUTO(table_version_free) version = loaded(&w);
    const TableMetadata *m = table_version_metadata(version);
    int64_t now_ms = os_now_us(os_sim_os(w.sim)) / 1000;
    size_t young = 0;
    for (size_t i = 0; i < m->snapshot_count; i++)
        young += m->snapshots[i].timestamp_ms >= now_ms - HOUR_US / 1000;
    CHECK(young >= 59 && young <= 61);
    CHECK(m->snapshot_count - young >= 4 && m->snapshot_count - young <= 5);
    for (size_t i = 1; i + young < m->snapshot_count; i++)
        CHECK(m->snapshots[i].timestamp_ms - m->snapshots[i - 1].timestamp_ms >= 59 * 60000);
    CHECK_INT(expired_rows(&w), MINUTES - m->snapshot_count);
    table_version_free(&version);
    size_t gone = 0, swept = 0;
    os_sim_advance_us(w.sim, 9 * 24 * HOUR_US); /* nobody commits any more */
    CHECK_OK(catalog_expire(w.catalog, NULL, &gone, &w.err), &w.err);
    version = loaded(&w);
    CHECK_INT(table_version_metadata(version)->snapshot_count, 1);
    CHECK(gone > 60);
    CHECK_OK(catalog_expire(w.catalog, NULL, &gone, &w.err), &w.err);
    CHECK_INT(gone, 0);
    CHECK_OK(catalog_sweep(w.catalog, INT64_MAX, NULL, &swept, &w.err), &w.err); /* no intents */
    CHECK_INT(swept, 0);
    CHECK_INT(expired_rows(&w), MINUTES - 1);
    table_version_free(&version);
    world_end(&w);
}

TEST(expire_by_age_keeps_as_many_as_was_asked)
{
    World w;
    world_begin(&w, false);
    for (int i = 0; i < 10; i++) {
        os_sim_advance_us(w.sim, HOUR_US);
        append(&w, 1, 10, -1);
    }
    property_set(&w, "history.expire.min-snapshots-to-keep", "3");
    property_set(&w, "history.expire.max-snapshot-age-ms", "1800000");
    TableVersion *AUTO(table_version_free) version = loaded(&w);
    CHECK_INT(table_version_metadata(version)->snapshot_count, 3);
    table_version_free(&version);
    world_end(&w);
}

/* ---- files ---- */

/* Replaces all rows by one file of `rows`. */
static DataFile replace(World *w, int64_t rows)
{
    CommitResult result;
    DataFile file = file_of(w, location(w), rows, 10, -1);
    Str bucket, key;
    CHECK(store_address_parse(file.address, &bucket, &key));
    StorePut put = { .bucket = bucket, .key = key };
    CHECK_OK(store_put(w->store, &put, STR("rows"), NULL, &w->err), &w->err);
    CHECK_OK(commit(w, COMMIT_REPLACE, &file, 1, NULL, 0, &result), &w->err);
    return file;
}

static size_t reclaimed(World *w, int64_t before_us)
{
    size_t count = 0;
    CHECK_OK(catalog_reclaim(w->catalog, before_us, NULL, &count, &w->err), &w->err);
    return count;
}

TEST(reclaim_removes_what_no_snapshot_reaches)
{
    World w;
    world_begin(&w, false);
    property_set(&w, "tarn.snapshots-max", "2");
    DataFile files[6];
    for (int i = 0; i < 6; i++) {
        files[i] = replace(&w, i + 1);
        os_sim_advance_us(w.sim, HOUR_US);
    }
    CHECK_INT(expired_rows(&w), 4);
    /* Of the first two: files, lists, what added them, and what removed the first. */
    CHECK_INT(reclaimed(&w, os_now_us(os_sim_os(w.sim)) - 2 * HOUR_US - MINUTE_US), 7);
    CHECK(!is_there(&w, files[0].address) && !is_there(&w, files[1].address));
    CHECK(is_there(&w, files[2].address)); /* too young */
    CHECK_INT(reclaimed(&w, INT64_MAX), 8);
    CHECK(!is_there(&w, files[2].address) && !is_there(&w, files[3].address));
    CHECK(is_there(&w, files[4].address) && is_there(&w, files[5].address));
    CHECK_INT(expired_rows(&w), 0);
    CHECK_INT(objects(&w, "data", ".parquet"), 2);
    TableVersion *AUTO(table_version_free) version = loaded(&w);
    snapshots_are_whole(&w, version);
    CHECK_INT(reclaimed(&w, INT64_MAX), 0);
    table_version_free(&version);
    world_end(&w);
}

/* A file is named by the first five snapshots; when the time of the first is over, that of the fifth is not. */
TEST(reclaim_gives_each_snapshot_its_time)
{
    World w;
    world_begin(&w, false);
    property_set(&w, "tarn.snapshots-max", "1");
    DataFile first = append(&w, 1, 10, -1);
    for (int i = 0; i < 4; i++) {
        os_sim_advance_us(w.sim, HOUR_US);
        append(&w, 1, 10, -1);
    }
    os_sim_advance_us(w.sim, HOUR_US);
    replace(&w, 1); /* here the fifth expires */
    CHECK_INT(expired_rows(&w), 5);
    reclaimed(&w, os_now_us(os_sim_os(w.sim)) - MINUTE_US);
    CHECK_INT(expired_rows(&w), 1);
    CHECK(is_there(&w, first.address));
    CHECK_INT(objects(&w, "data", ".parquet"), 6);
    reclaimed(&w, INT64_MAX);
    CHECK(!is_there(&w, first.address));
    CHECK_INT(objects(&w, "data", ".parquet"), 1);
    world_end(&w);
}

TEST(reclaim_leaves_what_a_reader_holds)
{
    World w;
    world_begin(&w, false);
    property_set(&w, "tarn.snapshots-max", "1");
    DataFile first = replace(&w, 1);
    TableVersion *AUTO(table_version_free) held = loaded(&w);
    DataFile second = replace(&w, 2);
    replace(&w, 3);
    reclaimed(&w, INT64_MAX);
    CHECK(is_there(&w, first.address));
    CHECK(!is_there(&w, second.address));
    snapshots_are_whole(&w, held);
    table_version_free(&held);
    world_end(&w);
}

TEST(reclaim_after_appends_and_a_rewrite)
{
    World w;
    CommitResult result;
    size_t count;
    world_begin(&w, true);
    property_set(&w, "tarn.snapshots-max", "3");
    for (int i = 0; i < 60; i++)
        append(&w, 10, 100, 7);
    CHECK(reclaimed(&w, INT64_MAX) > 50); /* lists and merged manifests, no data */
    CHECK_INT(objects(&w, "data", ".parquet"), 60);
    CompactBin *bins = planned(&w, &RULE, &count);
    for (size_t i = 0; i < count; i++)
        CHECK_OK(rewrite(&w, &bins[i], bins[i].records, &result), &w.err);
    for (int i = 0; i < 3; i++)
        append(&w, 10, 100, 7);
    reclaimed(&w, INT64_MAX);
    CHECK_INT(objects(&w, "data", ".parquet"), count + 3);
    CHECK(objects(&w, "metadata", ".avro") < 12);
    TableVersion *AUTO(table_version_free) version = loaded(&w);
    snapshots_are_whole(&w, version);
    table_version_free(&version);
    world_end(&w);
}

TEST(reclaim_honours_gc_enabled_and_foreign_places)
{
    World w;
    CommitResult result;
    world_begin(&w, false);
    property_set(&w, "tarn.snapshots-max", "1");
    StorePut put = { .bucket = STR("lake"), .key = STR("elsewhere/a.parquet") };
    CHECK_OK(store_put(w.store, &put, STR("rows"), NULL, &w.err), &w.err);
    DataFile foreign = file_of(&w, STR("s3://lake/elsewhere"), 1, 10, -1);
    foreign.address = STR("s3://lake/elsewhere/a.parquet");
    CHECK_OK(commit(&w, COMMIT_APPEND, &foreign, 1, NULL, 0, &result), &w.err);
    DataFile mine = replace(&w, 1);
    replace(&w, 2);
    property_set(&w, "gc.enabled", "false");
    CHECK_INT(reclaimed(&w, INT64_MAX), 0);
    CHECK(is_there(&w, mine.address));
    property_set(&w, "gc.enabled", "true");
    CHECK(reclaimed(&w, INT64_MAX) > 0);
    CHECK(!is_there(&w, mine.address));
    CHECK(is_there(&w, foreign.address));
    world_end(&w);
}

/* The power goes at call `call` of a round (0: never); afterwards a round ends the work. */
static uint64_t reclaim_cut_at(uint64_t call)
{
    World w;
    size_t count;
    world_begin(&w, false);
    property_set(&w, "tarn.snapshots-max", "2");
    for (int i = 0; i < 4; i++)
        replace(&w, i + 1);
    Str place = location(&w);
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
    TableVersion *AUTO(table_version_free) version = loaded(&w);
    snapshots_are_whole(&w, version);
    table_version_free(&version);
    reclaimed(&w, INT64_MAX);
    CHECK_INT(expired_rows(&w), 0);
    if (objects(&w, "data", ".parquet") != 2 || objects(&w, "metadata", ".avro") != 6)
        test_failed(__FILE__, __LINE__, "call %llu of %s: %zu data files, %zu manifests and lists",
                    (unsigned long long)call, str_copy_z(&w.arena, place), objects(&w, "data", ".parquet"),
                    objects(&w, "metadata", ".avro"));
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

/* ---- dropped tables ---- */

static void drop(World *w)
{
    CHECK_OK(catalog_table_drop(w->catalog, (TableName){ STR("n"), STR("t") }, NULL, &w->err), &w->err);
}

/* Objects below a location, whoever wrote them. */
static size_t objects_below(World *w, Str place)
{
    StoreListPage page = { 0 };
    StoreListQuery query = { .bucket = STR("lake"),
                             .prefix = str_format(&w->arena, STR_FMT "/", STR_ARG(str_from(place, 10))) };
    CHECK_OK(store_list(w->store, &query, &w->arena, &page, &w->err), &w->err);
    CHECK(!page.truncated);
    return page.object_count;
}

static size_t dropped_rows(World *w)
{
    MetaRead *AUTO(meta_read_end) read = NULL;
    MetaTable *tables;
    MetaStagedFile *rows;
    size_t in_trash = 0, going = 0;
    CHECK_OK(meta_read_begin(w->meta, &read, &w->err), &w->err);
    CHECK_OK(meta_list_dropped_tables(read, &w->arena, &tables, &in_trash, &w->err), &w->err);
    CHECK_OK(meta_list_staged_files(read, DROPPED_RUN, &w->arena, &rows, &going, &w->err), &w->err);
    return in_trash + going;
}

static size_t dropped_reclaimed(World *w, int64_t before_us)
{
    size_t count = 0;
    CHECK_OK(catalog_reclaim_dropped(w->catalog, before_us, NULL, &count, &w->err), &w->err);
    return count;
}

static Str object_put(World *w, Str place, const char *name, ObjectTrust trust)
{
    Str bucket, key, address = str_format(&w->arena, STR_FMT "/%s", STR_ARG(place), name);
    CHECK(store_address_parse(address, &bucket, &key));
    StorePut put = { .bucket = bucket, .key = key, .trust = trust };
    CHECK_OK(store_put(w->store, &put, STR("rows"), NULL, &w->err), &w->err);
    return address;
}

TEST(dropped_tables_go_whole_when_their_time_is_over)
{
    World w;
    world_begin(&w, false);
    property_set(&w, "tarn.snapshots-max", "2");
    for (int i = 0; i < 5; i++)
        replace(&w, i + 1);
    Str place = location(&w);
    CHECK_INT(expired_rows(&w), 3);
    Str stray = object_put(&w, place, "data/forgotten.parquet", TRUST_OURS); /* of no snapshot any more */
    Str theirs = object_put(&w, place, "_delta_log/0.json", TRUST_UNKNOWN);
    int64_t dropped_us = os_now_us(os_sim_os(w.sim));
    drop(&w);
    table_make(&w, "t", false); /* its name is free, its files are its own */
    append(&w, 1, 10, -1);
    os_sim_advance_us(w.sim, HOUR_US);
    CHECK_INT(dropped_reclaimed(&w, dropped_us), 0); /* too early */
    CHECK_INT(dropped_rows(&w), 1);
    size_t there = objects_below(&w, place);
    CHECK(there > 12);
    CatalogKept before = catalog_kept(w.catalog);
    CHECK_INT(dropped_reclaimed(&w, dropped_us + MINUTE_US), there - 1);
    CatalogKept after = catalog_kept(w.catalog);
    CHECK_INT(after.objects_removed - before.objects_removed, there - 1);
    CHECK(after.bytes_removed > before.bytes_removed);
    CHECK_INT(after.tables_removed - before.tables_removed, 1);
    CHECK_INT(objects_below(&w, place), 1);
    CHECK(!is_there(&w, stray) && is_there(&w, theirs));
    CHECK_INT(dropped_rows(&w) + expired_rows(&w), 0);
    TableVersion *AUTO(table_version_free) version = loaded(&w);
    snapshots_are_whole(&w, version);
    CHECK_INT(dropped_reclaimed(&w, INT64_MAX), 0);
    table_version_free(&version);
    world_end(&w);
}

TEST(dropped_tables_wait_for_readers_and_gc)
{
    World w;
    world_begin(&w, false);
    DataFile file = append(&w, 1, 10, -1);
    TableVersion *AUTO(table_version_free) held = loaded(&w);
    drop(&w);
    CHECK_INT(dropped_reclaimed(&w, INT64_MAX), 0);
    snapshots_are_whole(&w, held);
    table_version_free(&held);
    CHECK(dropped_reclaimed(&w, INT64_MAX) > 0);
    CHECK(!is_there(&w, file.address));
    table_make(&w, "t", false);
    file = append(&w, 1, 10, -1);
    property_set(&w, "gc.enabled", "false");
    drop(&w);
    CHECK_INT(dropped_reclaimed(&w, INT64_MAX), 0);
    CHECK(is_there(&w, file.address));
    CHECK_INT(dropped_rows(&w), 1);
    world_end(&w);
}

TEST(dropped_tables_leave_intents_and_foreign_files_but_for_their_own)
{
    World w;
    CommitResult result;
    world_begin(&w, false);
    Str place = location(&w);
    DataFile adopted = file_of(&w, place, 1, 10, -1); /* a snapshot names it, whoever wrote it */
    CHECK(adopted.address.len == object_put(&w, place, str_copy_z(&w.arena, str_from(adopted.address, place.len + 1)),
                                            TRUST_UNKNOWN).len);
    CHECK_OK(commit(&w, COMMIT_APPEND, &adopted, 1, NULL, 0, &result), &w.err);
    Str intent = object_put(&w, place, "data/on-its-way.parquet", TRUST_OURS);
    TableVersion *AUTO(table_version_free) version = loaded(&w);
    Uuid uuid = table_version_entry(version)->uuid;
    table_version_free(&version);
    CHECK_OK(catalog_stage_intend(w.catalog, STR("run"), uuid, &intent, 1, &w.err), &w.err);
    drop(&w);
    CHECK(dropped_reclaimed(&w, INT64_MAX) > 0);
    CHECK(!is_there(&w, adopted.address) && is_there(&w, intent));
    size_t swept = 0;
    CHECK_OK(catalog_sweep(w.catalog, INT64_MAX, NULL, &swept, &w.err), &w.err);
    CHECK_INT(swept, 1);
    CHECK_INT(objects_below(&w, place), 0);
    world_end(&w);
}

TEST(dropped_tables_take_foreign_files_along_when_it_is_asked_for)
{
    World w;
    world_begin(&w, false);
    property_set(&w, "tarn.orphans-age-ms", "86400000");
    Str place = location(&w);
    object_put(&w, place, "_delta_log/0.json", TRUST_UNKNOWN);
    drop(&w);
    CHECK(dropped_reclaimed(&w, INT64_MAX) > 0);
    CHECK_INT(objects_below(&w, place), 0);
    world_end(&w);
}

TEST(files_of_a_dropped_table_are_nobody_elses)
{
    World w;
    CommitResult result;
    world_begin(&w, false);
    DataFile theirs = append(&w, 1, 10, -1);
    table_make(&w, "u", false);
    drop(&w);
    TableCommit one = { .name = { STR("n"), STR("u") }, .kind = COMMIT_APPEND, .add = &theirs, .add_count = 1 };
    CHECK_CODE(catalog_commit(w.catalog, &one, 1, NULL, &result, &w.err), E_INVALID);
    bool stop = true;
    size_t count = 0;
    CHECK_OK(catalog_reclaim_dropped(w.catalog, INT64_MAX, &stop, &count, &w.err), &w.err);
    CHECK_INT(count, 0);
    CHECK(is_there(&w, theirs.address));
    /* Forgotten, and cut off before the first of its files. */
    os_sim_fail_at(w.sim, os_sim_calls(w.sim) + 30, 1, E_IO);
    IGNORE(catalog_reclaim_dropped(w.catalog, INT64_MAX, NULL, &count, &w.err));
    os_sim_fail_at(w.sim, 0, 0, E_OK);
    CHECK_CODE(catalog_commit(w.catalog, &one, 1, NULL, &result, &w.err), E_INVALID);
    world_end(&w);
}

TEST(dropped_views_are_forgotten)
{
    World w;
    world_begin(&w, false);
    TableCreate create = { .ns = STR("n"), .name = STR("v"), .view_sql = STR("SELECT 1") };
    CHECK_OK(catalog_table_create(w.catalog, &create, NULL, &w.err), &w.err);
    CHECK_OK(catalog_table_drop(w.catalog, (TableName){ STR("n"), STR("v") }, NULL, &w.err), &w.err);
    CHECK_INT(dropped_rows(&w), 1);
    CHECK_INT(dropped_reclaimed(&w, INT64_MAX), 0);
    CHECK_INT(dropped_rows(&w), 0);
    world_end(&w);
}

/* The power goes at call `call` of a round (0: never); afterwards a round ends the work, and the table beside
 * it is whole. */
static uint64_t drop_cut_at(uint64_t call)
{
    World w;
    size_t count;
    world_begin(&w, false);
    property_set(&w, "tarn.snapshots-max", "2");
    for (int i = 0; i < 4; i++)
        replace(&w, i + 1);
    Str place = location(&w);
    object_put(&w, place, "data/forgotten.parquet", TRUST_OURS);
    drop(&w);
    table_make(&w, "t", false);
    append(&w, 1, 10, -1);
    uint64_t ready = os_sim_calls(w.sim);
    if (call)
        os_sim_crash_at(w.sim, ready + call);
    Code code = catalog_reclaim_dropped(w.catalog, INT64_MAX, NULL, &count, &w.err);
    uint64_t calls = os_sim_calls(w.sim) - ready;
    if (!call)
        CHECK_OK(code, &w.err);
    world_close(&w);
    if (!os_sim_is_crashed(w.sim))
        os_sim_crash(w.sim);
    os_sim_reboot(w.sim);
    CHECK_OK(world_open(&w), &w.err);
    size_t swept = 0;
    CHECK_OK(catalog_sweep(w.catalog, INT64_MAX, NULL, &swept, &w.err), &w.err); /* it leaves the row alone */
    reclaimed(&w, INT64_MAX);
    dropped_reclaimed(&w, INT64_MAX);
    if (dropped_rows(&w) + expired_rows(&w) || objects_below(&w, place))
        test_failed(__FILE__, __LINE__, "call %llu: %zu rows, %zu objects", (unsigned long long)call,
                    dropped_rows(&w) + expired_rows(&w), objects_below(&w, place));
    TableVersion *AUTO(table_version_free) version = loaded(&w);
    snapshots_are_whole(&w, version);
    table_version_free(&version);
    world_end(&w);
    return calls;
}

TEST(dropped_tables_survive_a_power_cut_at_every_call)
{
    uint64_t calls = drop_cut_at(0);
    CHECK(calls > 10);
    for (uint64_t call = 1; call <= calls; call++)
        drop_cut_at(call);
}

/* ---- orphans ---- */

static size_t orphans_reclaimed(World *w, int64_t before_us)
{
    size_t count = 0;
    CHECK_OK(catalog_reclaim_orphans(w->catalog, before_us, NULL, &count, &w->err), &w->err);
    return count;
}

/* As before expired snapshots had rows: their files stay and nothing names them. */
static void rows_forget(World *w)
{
    MetaTxn txn;
    meta_txn_init(&txn, &w->arena);
    meta_txn_set_commit(&txn, os_uuid(os_sim_os(w->sim)));
    meta_delete_staged_run(&txn, EXPIRED_RUN);
    CHECK_OK(meta_commit(w->meta, &txn, &w->err), &w->err);
}

TEST(orphans_of_forgotten_snapshots_go)
{
    World w;
    world_begin(&w, false);
    property_set(&w, "tarn.snapshots-max", "2");
    DataFile files[6];
    for (int i = 0; i < 4; i++)
        files[i] = replace(&w, i + 1);
    rows_forget(&w);
    CHECK_INT(reclaimed(&w, INT64_MAX), 0);
    os_sim_advance_us(w.sim, HOUR_US);
    int64_t before_us = os_now_us(os_sim_os(w.sim));
    for (int i = 4; i < 6; i++)
        files[i] = replace(&w, i + 1);
    CHECK_INT(objects(&w, "data", ".parquet"), 6);
    CHECK_INT(orphans_reclaimed(&w, before_us - 2 * HOUR_US), 0); /* too young */
    CHECK(orphans_reclaimed(&w, before_us) > 0);
    /* The data of this test are foreign: only what tarn wrote went. */
    CHECK_INT(objects(&w, "data", ".parquet"), 6);
    TableVersion *AUTO(table_version_free) version = loaded(&w);
    snapshots_are_whole(&w, version);
    CHECK_INT(expired_rows(&w), 2);
    reclaimed(&w, INT64_MAX);
    table_version_free(&version);
    property_set(&w, "tarn.orphans-age-ms", "3600000"); /* less than a day: not believed */
    os_sim_advance_us(w.sim, DAY_US);
    orphans_reclaimed(&w, INT64_MAX);
    CHECK(is_there(&w, files[0].address));
    property_set(&w, "tarn.orphans-age-ms", "86400000");
    orphans_reclaimed(&w, INT64_MAX);
    CHECK(!is_there(&w, files[0].address) && !is_there(&w, files[1].address));
    CHECK(is_there(&w, files[4].address) && is_there(&w, files[5].address));
    CHECK_INT(objects(&w, "data", ".parquet"), 2);
    CHECK_INT(orphans_reclaimed(&w, INT64_MAX), 0);
    version = loaded(&w);
    snapshots_are_whole(&w, version);
    CHECK_INT(objects(&w, "metadata", ".avro"), 6); /* as many as after a reclaim that had its rows */
    table_version_free(&version);
    world_end(&w);
}

TEST(orphans_are_not_what_anything_names)
{
    World w;
    world_begin(&w, false);
    property_set(&w, "tarn.snapshots-max", "1");
    property_set(&w, "tarn.orphans-age-ms", "86400000");
    Str place = location(&w);
    DataFile held_file = replace(&w, 1);
    TableVersion *AUTO(table_version_free) held = loaded(&w);
    DataFile expired = replace(&w, 2);
    rows_forget(&w); /* of the one that is held */
    replace(&w, 3);
    Str intent = object_put(&w, place, "data/on-its-way.parquet", TRUST_OURS);
    CHECK_OK(catalog_stage_intend(w.catalog, STR("run"), table_version_entry(held)->uuid, &intent, 1, &w.err), &w.err);
    Str orphan = object_put(&w, place, "data/nobodys.parquet", TRUST_OURS);
    Str young = object_put(&w, place, "young.txt", TRUST_UNKNOWN);
    Str beside = object_put(&w, STR("s3://lake/n/t"), "beside.parquet", TRUST_OURS);
    CHECK_INT(orphans_reclaimed(&w, INT64_MAX), 1);
    CHECK(!is_there(&w, orphan));
    CHECK(is_there(&w, held_file.address) && is_there(&w, expired.address));
    CHECK(is_there(&w, intent) && is_there(&w, young) && is_there(&w, beside));
    snapshots_are_whole(&w, held);
    table_version_free(&held);
    os_sim_advance_us(w.sim, DAY_US);
    property_set(&w, "gc.enabled", "false");
    CHECK_INT(orphans_reclaimed(&w, INT64_MAX), 0);
    property_set(&w, "gc.enabled", "true");
    CHECK(orphans_reclaimed(&w, INT64_MAX) > 2); /* now also what was held, and the foreign file */
    CHECK(!is_there(&w, held_file.address) && !is_there(&w, young));
    CHECK(is_there(&w, expired.address) && is_there(&w, intent) && is_there(&w, beside));
    TableVersion *AUTO(table_version_free) version = loaded(&w);
    snapshots_are_whole(&w, version);
    table_version_free(&version);
    world_end(&w);
}
