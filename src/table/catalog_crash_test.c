/* A power cut at every call that a commit makes: the table and what was committed with it agree,
 * what was acknowledged is there, and the next commit works. */
#include "base/test.h"
#include "os/os_sim.h"
#include "table/catalog_priv.h"

#include <stdio.h>
#include <string.h>

enum { STEPS = 6 };

typedef struct World {
    OsSim *sim;
    Store *store;
    Meta *meta;
    Catalog *catalog;
    int acknowledged;
    uint64_t ready; /* calls until the first step */
} World;

static const int64_t RECORDS_AFTER[STEPS + 1] = { -1, -1, 0, 10, 30, 25, 25 };

static Code world_open(World *w, Err *err)
{
    StoreOptions store = { .index = "memory", .dir = "/s", .segment_bytes = 256 * 1024 };
    MetaOptions meta = { .path = "/m/tarn.db" };
    Os *os = os_sim_os(w->sim);
    TRY(os_dir_make(os, "/m", err));
    TRY(store_open(os, &store, &w->store, err));
    TRY(meta_open(os, &meta, &w->meta, err));
    CatalogOptions options = {
        .os = os, .store = w->store, .meta = w->meta, .lake_bucket = STR("lake")
    };
    return catalog_open(&options, &w->catalog, err);
}

static void world_close(World *w)
{
    catalog_free(&w->catalog);
    meta_free(&w->meta);
    store_free(&w->store);
}

static DataFile file_of(Arena *arena, const char *name, int64_t rows)
{
    return (DataFile){ .address = str_format(arena, "s3://lake/d/%s.parquet", name),
                       .format = STR("PARQUET"),
                       .record_count = rows,
                       .size_bytes = 1000,
                       .sort_order_id = -1,
                       .sequence_number = -1 };
}

/* Step `number`, which writes its number as a setting in the same transaction. */
static Code step(World *w, int number, Err *err)
{
    Arena AUTO(arena_done) arena = { 0 };
    MetaTxn extra;
    CommitResult result;
    meta_txn_init(&extra, &arena);
    meta_put_setting(&extra, STR("step"), str_format(&arena, "%d", number));
    DataFile a = file_of(&arena, "a", 10), b = file_of(&arena, "b", 20),
             c = file_of(&arena, "c", 5);
    IceField column = { .name = STR("id"), .type = ice_type_simple(ICE_LONG) };
    TableCreate create = {
        .ns = STR("n"), .name = STR("t"), .columns = &column, .column_count = 1
    };
    SchemaChange change = { .kind = SCHEMA_ADD,
                            .column = STR("x"),
                            .type = ice_type_simple(ICE_INT) };
    TableCommit commit = { .name = { STR("n"), STR("t") }, .kind = COMMIT_APPEND, .add_count = 1 };
    switch (number) {
    case 1:
        return catalog_namespace_create(w->catalog, STR("n"), NULL, 0, &extra, err);
    case 2:
        return catalog_table_create(w->catalog, &create, &extra, err);
    case 3:
        commit.add = &a;
        break;
    case 4:
        commit.add = &b;
        break;
    case 5:
        commit.kind = COMMIT_OVERWRITE;
        commit.add = &c;
        commit.remove = &a.address;
        commit.remove_count = 1;
        break;
    default:
        commit = (TableCommit){
            .name = commit.name, .kind = COMMIT_SCHEMA, .changes = &change, .change_count = 1
        };
        break;
    }
    return catalog_commit(w->catalog, &commit, 1, &extra, &result, err);
}

static Code world_run(World *w, Err *err)
{
    TRY(world_open(w, err));
    w->ready = os_sim_calls(w->sim);
    for (int i = 1; i <= STEPS; i++) {
        TRY(step(w, i, err));
        w->acknowledged = i;
    }
    return E_OK;
}

static int step_of_setting(World *w)
{
    Arena AUTO(arena_done) arena = { 0 };
    MetaRead *AUTO(meta_read_end) read = NULL;
    MetaSetting setting;
    int64_t number = 0;
    Err err;
    CHECK_OK(meta_read_begin(w->meta, &read, &err), &err);
    if (meta_get_setting(read, STR("step"), &arena, &setting, &err) == E_OK)
        CHECK(str_i64(setting.value, &number));
    return (int)number;
}

static int64_t records_now(World *w)
{
    Arena AUTO(arena_done) arena = { 0 };
    TableVersion *AUTO(table_version_free) version = NULL;
    ScanPlan plan = { 0 };
    Err err;
    Code code = catalog_load(w->catalog, STR("n"), STR("t"), &version, &err);
    if (code == E_NOT_FOUND)
        return -1;
    CHECK_OK(code, &err);
    if (code)
        return -2;
    CHECK_OK(table_scan(version, &(TableScan){ 0 }, &arena, &plan, &err), &err);
    return plan.record_count;
}

/* After the reboot: nothing acknowledged is lost, nothing is half there, and work goes on. */
static void world_check(World *w, uint64_t call)
{
    Err err;
    Code code = world_open(w, &err);
    CHECK_OK(code, &err);
    if (code)
        return;
    int at = step_of_setting(w);
    if (at < w->acknowledged || at > w->acknowledged + 1 || records_now(w) != RECORDS_AFTER[at])
        test_failed(__FILE__, __LINE__, "call %llu: step %d, acknowledged %d, records %lld",
                    (unsigned long long)call, at, w->acknowledged, (long long)records_now(w));
    for (int i = at + 1; i <= STEPS; i++)
        CHECK_OK(step(w, i, &err), &err);
    CHECK_INT(records_now(w), RECORDS_AFTER[STEPS]);
}

static uint64_t crash_at(uint64_t call, bool honest, bool check)
{
    Err err;
    World w = { .sim = os_sim_new(test_seed() + call) };
    os_sim_set_honest(w.sim, honest);
    os_sim_crash_at(w.sim, call);
    Code code = world_run(&w, &err);
    uint64_t calls = call ? os_sim_calls(w.sim) : os_sim_calls(w.sim) - w.ready;
    if (!call)
        CHECK_OK(code, &err);
    world_close(&w);
    if (call) {
        if (!os_sim_is_crashed(w.sim))
            os_sim_crash(w.sim);
        os_sim_reboot(w.sim);
        os_sim_set_honest(w.sim, true);
        if (check)
            world_check(&w, call);
        world_close(&w);
    }
    uint64_t ready = w.ready;
    os_sim_free(&w.sim);
    return call ? calls : ready << 32 | calls;
}

TEST(catalog_commit_survives_a_power_cut_at_every_call)
{
    uint64_t counted = crash_at(0, true, false);
    uint64_t ready = counted >> 32, calls = counted & UINT32_MAX;
    CHECK(calls > STEPS);
    for (uint64_t call = ready + 1; call <= ready + calls; call++)
        crash_at(call, true, true);
}

/* The machine refuses writes for a while: a clear error, and the table is whole. */
TEST(catalog_commit_survives_a_full_disk_at_every_call)
{
    uint64_t counted = crash_at(0, true, false);
    uint64_t ready = counted >> 32, calls = counted & UINT32_MAX;
    for (uint64_t call = ready + 1; call <= ready + calls; call += 3) {
        Err err;
        World w = { .sim = os_sim_new(test_seed() + call) };
        os_sim_fail_at(w.sim, call, 2, E_NO_SPACE);
        IGNORE(world_run(&w, &err)); /* whether it fails depends on the call */
        world_close(&w);
        os_sim_fail_at(w.sim, 0, 0, E_OK);
        world_check(&w, call);
        world_close(&w);
        os_sim_free(&w.sim);
    }
}

/* One call fails, once, and then the power goes: an outcome that was not known is one or the other. */
TEST(catalog_survives_a_failing_call_and_then_a_power_cut)
{
    uint64_t counted = crash_at(0, true, false);
    uint64_t ready = counted >> 32, calls = counted & UINT32_MAX;
    int failed = 0;
    for (uint64_t call = ready + 1; call <= ready + calls; call++)
        for (int v = 0; v < 3; v++) {
            Err err;
            World w = { .sim = os_sim_new(test_seed() + call + 1000 * (uint64_t)v) };
            os_sim_fail_at(w.sim, call, 1, E_IO);
            failed += world_run(&w, &err) != E_OK;
            world_close(&w);
            os_sim_fail_at(w.sim, 0, 0, E_OK);
            os_sim_crash(w.sim);
            os_sim_reboot(w.sim);
            world_check(&w, call);
            world_close(&w);
            os_sim_free(&w.sim);
        }
    CHECK(failed > STEPS);
}

static Str const ORPHAN = { "s3://lake/d/orphan.parquet", 26 };

static Code orphan_make(World *w, Err *err)
{
    StorePut put = { .bucket = STR("lake"), .key = STR("d/orphan.parquet") };
    TRY(world_open(w, err));
    TRY(catalog_stage_intend(w->catalog, STR("r"), os_uuid(os_sim_os(w->sim)), &ORPHAN, 1, err));
    TRY(store_put(w->store, &put, STR("rows"), NULL, err));
    w->ready = os_sim_calls(w->sim);
    return E_OK;
}

static size_t intents_now(World *w)
{
    Arena AUTO(arena_done) arena = { 0 };
    MetaRead *AUTO(meta_read_end) read = NULL;
    MetaStagedFile *rows;
    size_t count = 0;
    Err err;
    CHECK_OK(meta_read_begin(w->meta, &read, &err), &err);
    CHECK_OK(meta_list_staged_before(read, INT64_MAX, &arena, &rows, &count, &err), &err);
    return count;
}

/* The power goes at call `call` of a sweep (0: never): the object never outlives its intent. */
static uint64_t sweep_cut_at(uint64_t call)
{
    Err err;
    size_t objects = 0;
    World w = { .sim = os_sim_new(test_seed() + call) };
    CHECK_OK(orphan_make(&w, &err), &err);
    uint64_t ready = w.ready;
    if (call)
        os_sim_crash_at(w.sim, ready + call);
    Code code = catalog_sweep(w.catalog, INT64_MAX, NULL, &objects, &err);
    uint64_t calls = os_sim_calls(w.sim) - ready;
    if (!call)
        CHECK_OK(code, &err);
    world_close(&w);
    if (!os_sim_is_crashed(w.sim))
        os_sim_crash(w.sim);
    os_sim_reboot(w.sim);
    CHECK_OK(world_open(&w, &err), &err);
    Arena AUTO(arena_done) arena = { 0 };
    ObjectInfo info;
    code = store_head(w.store, STR("lake"), STR("d/orphan.parquet"), &arena, &info, &err);
    if (code == E_OK)
        CHECK_INT(intents_now(&w), 1);
    CHECK_OK(catalog_sweep(w.catalog, INT64_MAX, NULL, &objects, &err), &err);
    CHECK_INT(objects, code == E_OK);
    CHECK_INT(intents_now(&w), 0);
    CHECK_CODE(store_head(w.store, STR("lake"), STR("d/orphan.parquet"), &arena, &info, &err),
               E_NOT_FOUND);
    world_close(&w);
    os_sim_free(&w.sim);
    return calls;
}

TEST(catalog_sweep_survives_a_power_cut_at_every_call)
{
    uint64_t calls = sweep_cut_at(0);
    CHECK(calls > 3);
    for (uint64_t call = 1; call <= calls; call++)
        sweep_cut_at(call);
}
