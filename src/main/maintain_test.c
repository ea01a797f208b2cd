#include "main/maintain.h"

#include "base/test.h"
#include "os/os_sim.h"

static const int64_t HOUR_US = 3600000000, HOUR_MS = 3600000;

typedef struct World {
    OsSim *sim;
    Arena arena;
    MaintainOptions options;
    Err err;
} World;

static void world_open(World *w)
{
    *w = (World){ .sim = os_sim_new(test_seed()) };
    Os *os = os_sim_os(w->sim);
    StoreOptions store = { .index = "memory", .dir = "/s", .segment_bytes = 256 * 1024 };
    MetaOptions meta = { .path = "/m/tarn.db" };
    MaintainOptions *o = &w->options;
    *o = (MaintainOptions){ .os = os, .interval_ms = 24 * HOUR_MS, .grace_ms = 2 * HOUR_MS,
                            .audit_ms = 1000 * HOUR_MS };
    CHECK_OK(os_dir_make(os, "/m", &w->err), &w->err);
    CHECK_OK(store_open(os, &store, &o->store, &w->err), &w->err);
    CHECK_OK(meta_open(os, &meta, &o->meta, &w->err), &w->err);
    CatalogOptions catalog = { .os = os, .store = o->store, .meta = o->meta, .lake_bucket = STR("lake") };
    CHECK_OK(catalog_open(&catalog, &o->catalog, &w->err), &w->err);
}

static void world_close(World *w)
{
    catalog_free(&w->options.catalog);
    meta_free(&w->options.meta);
    store_free(&w->options.store);
    os_sim_free(&w->sim);
    arena_done(&w->arena);
}

static void orphan_make(World *w, Str key)
{
    Str address = str_format(&w->arena, "s3://lake/" STR_FMT, STR_ARG(key));
    StorePut put = { .bucket = STR("lake"), .key = key };
    CHECK_OK(catalog_stage_intend(w->options.catalog, key, os_uuid(w->options.os), &address, 1, &w->err), &w->err);
    CHECK_OK(store_put(w->options.store, &put, STR("rows"), NULL, &w->err), &w->err);
}

static bool is_there(World *w, Str key)
{
    ObjectInfo info;
    return store_head(w->options.store, STR("lake"), key, &w->arena, &info, &w->err) == E_OK;
}

static size_t audit_rows(World *w)
{
    MetaRead *read AUTO(meta_read_end) = NULL;
    MetaAudit *rows = NULL;
    size_t count = 0;
    CHECK_OK(meta_read_begin(w->options.meta, &read, &w->err), &w->err);
    CHECK_OK(meta_list_audit(read, 0, 100, &w->arena, &rows, &count, &w->err), &w->err);
    return count;
}

static void audit(World *w)
{
    MetaTxn txn;
    meta_txn_init(&txn, &w->arena);
    meta_add_audit(&txn, &(MetaAudit){ .time_us = os_now_us(w->options.os), .verb = STR("look") });
    CHECK_OK(meta_commit(w->options.meta, &txn, &w->err), &w->err);
}

TEST(maintain_takes_what_is_old_enough)
{
    World w;
    bool stop = false;
    world_open(&w);
    StorePut plain = { .bucket = STR("lake"), .key = STR("plain") };
    CHECK_OK(store_put(w.options.store, &plain, STR("x"), NULL, &w.err), &w.err);
    audit(&w);
    orphan_make(&w, STR("old"));
    os_sim_advance_us(w.sim, HOUR_US);
    orphan_make(&w, STR("young"));
    maintain_round(&w.options, &stop);
    CHECK(is_there(&w, STR("old")));
    os_sim_advance_us(w.sim, HOUR_US + 1000);
    maintain_round(&w.options, &stop);
    CHECK(!is_there(&w, STR("old")));
    CHECK(is_there(&w, STR("young")));
    os_sim_advance_us(w.sim, 1000 * HOUR_US);
    audit(&w);
    CHECK_INT(audit_rows(&w), 2);
    maintain_round(&w.options, &stop);
    CHECK_INT(audit_rows(&w), 1);
    CHECK(!is_there(&w, STR("young")));
    CHECK(is_there(&w, STR("plain")));
    world_close(&w);
}

TEST(maintain_stops_before_the_next_object)
{
    World w;
    bool stop = true;
    world_open(&w);
    orphan_make(&w, STR("a"));
    os_sim_advance_us(w.sim, 3 * HOUR_US);
    maintain_round(&w.options, &stop);
    CHECK(is_there(&w, STR("a")));
    stop = false;
    maintain_round(&w.options, &stop);
    CHECK(!is_there(&w, STR("a")));
    world_close(&w);
}

/* A machine that fails in every step: nothing ends, and the next round does the work. */
TEST(maintain_goes_on_after_a_failure)
{
    World w;
    bool stop = false;
    world_open(&w);
    orphan_make(&w, STR("a"));
    os_sim_advance_us(w.sim, 3 * HOUR_US);
    os_sim_fail_at(w.sim, os_sim_calls(w.sim) + 1, 1, E_NO_SPACE);
    maintain_round(&w.options, &stop);
    os_sim_fail_at(w.sim, 0, 0, E_OK);
    maintain_round(&w.options, &stop);
    CHECK(!is_there(&w, STR("a")));
    world_close(&w);
}

TEST(maintain_ends_at_once)
{
    World w;
    Maintain *maintain = NULL;
    world_open(&w);
    CHECK_OK(maintain_start(&w.options, &maintain, &w.err), &w.err);
    maintain_free(&maintain);
    CHECK(maintain == NULL);
    maintain_free(&maintain);
    world_close(&w);
}

TEST(maintain_keeps_the_clock_so_that_a_crash_forgets_a_minute)
{
    World w;
    const bool stop = false;
    world_open(&w);
    Clock *clock AUTO(clock_free) = clock_new(w.options.os, "/m/clock");
    w.options.clock = clock;
    maintain_round(&w.options, &stop);
    CHECK_CODE(clock_load(clock, &w.err), E_NOT_FOUND); /* the start has written it, just now */
    os_sim_advance_us(w.sim, HOUR_US);
    maintain_round(&w.options, &stop);
    int64_t now_us = os_now_us(w.options.os);
    os_sim_set_now_us(w.sim, now_us - 24 * HOUR_US);
    clock_free(&clock);
    clock = clock_new(w.options.os, "/m/clock");
    CHECK_OK(clock_load(clock, &w.err), &w.err);
    CHECK(clock_now_us(clock) > now_us - 60 * 1000000);
    world_close(&w);
}

static void table_make(World *w, const char *name)
{
    IceField column = { .name = STR("id"), .type = ice_type_simple(ICE_LONG) };
    TableCreate create = { .ns = STR("n"), .name = str_z(name), .columns = &column, .column_count = 1 };
    CHECK_OK(catalog_table_create(w->options.catalog, &create, NULL, &w->err), &w->err);
}

static Str table_place(World *w, const char *name)
{
    TableVersion *version AUTO(table_version_free) = NULL;
    CHECK_OK(catalog_load(w->options.catalog, STR("n"), str_z(name), &version, &w->err), &w->err);
    return str_copy(&w->arena, str_from(table_version_entry(version)->metadata_location, 10));
}

TEST(maintain_ends_dropped_tables_after_the_trash_and_readers_time)
{
    World w;
    bool stop = false;
    ApiMaintained shown = { 0 };
    world_open(&w);
    w.options.trash_ms = HOUR_MS;
    w.options.reclaim_ms = 2 * HOUR_MS;
    w.options.shown = &shown;
    CHECK_OK(catalog_namespace_create(w.options.catalog, STR("n"), NULL, 0, NULL, &w.err), &w.err);
    table_make(&w, "t");
    Str key = table_place(&w, "t");
    CHECK(is_there(&w, key));
    CHECK_OK(catalog_table_drop(w.options.catalog, (TableName){ STR("n"), STR("t") }, NULL, &w.err), &w.err);
    os_sim_advance_us(w.sim, HOUR_US + 1000000);
    maintain_round(&w.options, &stop);
    CHECK(is_there(&w, key));
    os_sim_advance_us(w.sim, HOUR_US);
    maintain_round(&w.options, &stop);
    CHECK(!is_there(&w, key));
    CHECK_INT(atomic_load(&shown.failures), 0);
    CHECK_INT(atomic_load(&shown.seconds), os_now_us(w.options.os) / 1000000);
    os_sim_fail_at(w.sim, os_sim_calls(w.sim) + 1, 1, E_NO_SPACE);
    maintain_round(&w.options, &stop);
    CHECK(atomic_load(&shown.failures) > 0);
    world_close(&w);
}

/* Once in a while, over restarts too. */
TEST(maintain_looks_for_orphans_when_it_is_time)
{
    World w;
    bool stop = false;
    world_open(&w);
    w.options.orphans_ms = 24 * HOUR_MS;
    CHECK_OK(catalog_namespace_create(w.options.catalog, STR("n"), NULL, 0, NULL, &w.err), &w.err);
    table_make(&w, "t");
    Str place = table_place(&w, "t");
    Str orphan = str_format(&w.arena, STR_FMT ".old", STR_ARG(place)); /* below the location too */
    StorePut put = { .bucket = STR("lake"), .key = orphan, .trust = TRUST_OURS };
    maintain_round(&w.options, &stop);
    CHECK_OK(store_put(w.options.store, &put, STR("{}"), NULL, &w.err), &w.err);
    os_sim_advance_us(w.sim, 23 * HOUR_US);
    maintain_round(&w.options, &stop);
    CHECK(is_there(&w, orphan));
    w.options.orphans_ms = 0;
    os_sim_advance_us(w.sim, HOUR_US);
    maintain_round(&w.options, &stop);
    CHECK(is_there(&w, orphan));
    w.options.orphans_ms = 24 * HOUR_MS;
    maintain_round(&w.options, &stop);
    CHECK(!is_there(&w, orphan));
    CHECK(is_there(&w, place));
    world_close(&w);
}

static void flushed(void *arg)
{
    ++*(int *)arg;
}

TEST(maintain_writes_what_waits)
{
    World w;
    int count = 0;
    bool stop = false;
    world_open(&w);
    w.options.flush = flushed;
    w.options.flush_arg = &count;
    maintain_round(&w.options, &stop);
    CHECK_INT(count, 1);
    world_close(&w);
}
