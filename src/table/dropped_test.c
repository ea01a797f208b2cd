/* Covers dropped.c, orphans.c: files of dropped tables and those that nothing names. */
#include "table/table_world.h"

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
    world_property_set(&w, "tarn.snapshots-max", "2");
    for (int i = 0; i < 5; i++)
        world_replace(&w, i + 1);
    Str place = world_location(&w);
    CHECK_INT(world_expired_rows(&w), 3);
    Str stray = object_put(&w, place, "data/forgotten.parquet", TRUST_OURS); /* of no snapshot any more */
    Str theirs = object_put(&w, place, "_delta_log/0.json", TRUST_UNKNOWN);
    int64_t dropped_us = os_now_us(os_sim_os(w.sim));
    drop(&w);
    world_table_make(&w, "t", false); /* its name is free, its files are its own */
    world_append(&w, 1, 10, -1);
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
    CHECK(!world_has(&w, stray) && world_has(&w, theirs));
    CHECK_INT(dropped_rows(&w) + world_expired_rows(&w), 0);
    TableVersion *AUTO(table_version_free) version = world_loaded(&w);
    world_is_whole(&w, version);
    CHECK_INT(dropped_reclaimed(&w, INT64_MAX), 0);
    table_version_free(&version);
    world_end(&w);
}

TEST(dropped_tables_wait_for_readers_and_gc)
{
    World w;
    world_begin(&w, false);
    DataFile file = world_append(&w, 1, 10, -1);
    TableVersion *AUTO(table_version_free) held = world_loaded(&w);
    drop(&w);
    CHECK_INT(dropped_reclaimed(&w, INT64_MAX), 0);
    world_is_whole(&w, held);
    table_version_free(&held);
    CHECK(dropped_reclaimed(&w, INT64_MAX) > 0);
    CHECK(!world_has(&w, file.address));
    world_table_make(&w, "t", false);
    file = world_append(&w, 1, 10, -1);
    world_property_set(&w, "gc.enabled", "false");
    drop(&w);
    CHECK_INT(dropped_reclaimed(&w, INT64_MAX), 0);
    CHECK(world_has(&w, file.address));
    CHECK_INT(dropped_rows(&w), 1);
    world_end(&w);
}

TEST(dropped_tables_leave_intents_and_foreign_files_but_for_their_own)
{
    World w;
    CommitResult result;
    world_begin(&w, false);
    Str place = world_location(&w);
    DataFile adopted = world_file(&w, place, 1, 10, -1); /* a snapshot names it, whoever wrote it */
    CHECK(adopted.address.len == object_put(&w, place, str_copy_z(&w.arena, str_from(adopted.address, place.len + 1)),
                                            TRUST_UNKNOWN).len);
    CHECK_OK(world_commit(&w, COMMIT_APPEND, &adopted, 1, NULL, 0, &result), &w.err);
    Str intent = object_put(&w, place, "data/on-its-way.parquet", TRUST_OURS);
    TableVersion *AUTO(table_version_free) version = world_loaded(&w);
    Uuid uuid = table_version_entry(version)->uuid;
    table_version_free(&version);
    CHECK_OK(catalog_stage_intend(w.catalog, STR("run"), uuid, &intent, 1, &w.err), &w.err);
    drop(&w);
    CHECK(dropped_reclaimed(&w, INT64_MAX) > 0);
    CHECK(!world_has(&w, adopted.address) && world_has(&w, intent));
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
    world_property_set(&w, "tarn.orphans-age-ms", "86400000");
    Str place = world_location(&w);
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
    DataFile theirs = world_append(&w, 1, 10, -1);
    world_table_make(&w, "u", false);
    drop(&w);
    TableCommit one = { .name = { STR("n"), STR("u") }, .kind = COMMIT_APPEND, .add = &theirs, .add_count = 1 };
    CHECK_CODE(catalog_commit(w.catalog, &one, 1, NULL, &result, &w.err), E_INVALID);
    bool stop = true;
    size_t count = 0;
    CHECK_OK(catalog_reclaim_dropped(w.catalog, INT64_MAX, &stop, &count, &w.err), &w.err);
    CHECK_INT(count, 0);
    CHECK(world_has(&w, theirs.address));
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
    world_property_set(&w, "tarn.snapshots-max", "2");
    for (int i = 0; i < 4; i++)
        world_replace(&w, i + 1);
    Str place = world_location(&w);
    object_put(&w, place, "data/forgotten.parquet", TRUST_OURS);
    drop(&w);
    world_table_make(&w, "t", false);
    world_append(&w, 1, 10, -1);
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
    world_reclaimed(&w, INT64_MAX);
    dropped_reclaimed(&w, INT64_MAX);
    if (dropped_rows(&w) + world_expired_rows(&w) || objects_below(&w, place))
        test_failed(__FILE__, __LINE__, "call %llu: %zu rows, %zu objects", (unsigned long long)call,
                    dropped_rows(&w) + world_expired_rows(&w), objects_below(&w, place));
    TableVersion *AUTO(table_version_free) version = world_loaded(&w);
    world_is_whole(&w, version);
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
    world_property_set(&w, "tarn.snapshots-max", "2");
    DataFile files[6];
    for (int i = 0; i < 4; i++)
        files[i] = world_replace(&w, i + 1);
    rows_forget(&w);
    CHECK_INT(world_reclaimed(&w, INT64_MAX), 0);
    os_sim_advance_us(w.sim, HOUR_US);
    int64_t before_us = os_now_us(os_sim_os(w.sim));
    for (int i = 4; i < 6; i++)
        files[i] = world_replace(&w, i + 1);
    CHECK_INT(world_objects(&w, "data", ".parquet"), 6);
    CHECK_INT(orphans_reclaimed(&w, before_us - 2 * HOUR_US), 0); /* too young */
    CHECK(orphans_reclaimed(&w, before_us) > 0);
    /* The data of this test are foreign: only what tarn wrote went. */
    CHECK_INT(world_objects(&w, "data", ".parquet"), 6);
    TableVersion *AUTO(table_version_free) version = world_loaded(&w);
    world_is_whole(&w, version);
    CHECK_INT(world_expired_rows(&w), 2);
    world_reclaimed(&w, INT64_MAX);
    table_version_free(&version);
    world_property_set(&w, "tarn.orphans-age-ms", "3600000"); /* less than a day: not believed */
    os_sim_advance_us(w.sim, DAY_US);
    orphans_reclaimed(&w, INT64_MAX);
    CHECK(world_has(&w, files[0].address));
    world_property_set(&w, "tarn.orphans-age-ms", "86400000");
    orphans_reclaimed(&w, INT64_MAX);
    CHECK(!world_has(&w, files[0].address) && !world_has(&w, files[1].address));
    CHECK(world_has(&w, files[4].address) && world_has(&w, files[5].address));
    CHECK_INT(world_objects(&w, "data", ".parquet"), 2);
    CHECK_INT(orphans_reclaimed(&w, INT64_MAX), 0);
    version = world_loaded(&w);
    world_is_whole(&w, version);
    CHECK_INT(world_objects(&w, "metadata", ".avro"), 6); /* as many as after a reclaim that had its rows */
    table_version_free(&version);
    world_end(&w);
}

TEST(orphans_are_not_what_anything_names)
{
    World w;
    world_begin(&w, false);
    world_property_set(&w, "tarn.snapshots-max", "1");
    world_property_set(&w, "tarn.orphans-age-ms", "86400000");
    Str place = world_location(&w);
    DataFile held_file = world_replace(&w, 1);
    TableVersion *AUTO(table_version_free) held = world_loaded(&w);
    DataFile expired = world_replace(&w, 2);
    rows_forget(&w); /* of the one that is held */
    world_replace(&w, 3);
    Str intent = object_put(&w, place, "data/on-its-way.parquet", TRUST_OURS);
    CHECK_OK(catalog_stage_intend(w.catalog, STR("run"), table_version_entry(held)->uuid, &intent, 1, &w.err), &w.err);
    Str orphan = object_put(&w, place, "data/nobodys.parquet", TRUST_OURS);
    Str young = object_put(&w, place, "young.txt", TRUST_UNKNOWN);
    Str beside = object_put(&w, STR("s3://lake/n/t"), "beside.parquet", TRUST_OURS);
    CHECK_INT(orphans_reclaimed(&w, INT64_MAX), 1);
    CHECK(!world_has(&w, orphan));
    CHECK(world_has(&w, held_file.address) && world_has(&w, expired.address));
    CHECK(world_has(&w, intent) && world_has(&w, young) && world_has(&w, beside));
    world_is_whole(&w, held);
    table_version_free(&held);
    os_sim_advance_us(w.sim, DAY_US);
    world_property_set(&w, "gc.enabled", "false");
    CHECK_INT(orphans_reclaimed(&w, INT64_MAX), 0);
    world_property_set(&w, "gc.enabled", "true");
    CHECK(orphans_reclaimed(&w, INT64_MAX) > 2); /* now also what was held, and the foreign file */
    CHECK(!world_has(&w, held_file.address) && !world_has(&w, young));
    CHECK(world_has(&w, expired.address) && world_has(&w, intent) && world_has(&w, beside));
    TableVersion *AUTO(table_version_free) version = world_loaded(&w);
    world_is_whole(&w, version);
    table_version_free(&version);
    world_end(&w);
}
