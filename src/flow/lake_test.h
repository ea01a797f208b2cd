/* lake_test.h: a whole lake in one test: store in memory, metadata on disk, the real engine, a Flow.
 * Owner:   the test.
 * Threads: one.
 * Errors:  CHECKed.
 * Limits:  none.
 * Units:   none. */
#pragma once

#include "base/test.h"
#include "flow/flow.h"
#include "format/arrow.h"
#include "os/worker.h"
#include "source/landing.h"
#include "sql/raw.h"

#ifndef TEST_WORKERS_STARTED /* by another file of the runner */
/* Before the first thread: raw files are read in workers. */
__attribute__((constructor)) static void test_start_workers(void)
{
    Err err;
    raw_register();
    if (worker_start(2, &err) != E_OK)
        test_failed(__FILE__, __LINE__, "no workers: %s", err.text);
}

__attribute__((destructor)) static void test_stop_workers(void)
{
    worker_stop();
}
#endif

typedef struct TestLake {
    Store *store;
    Meta *meta;
    Catalog *catalog;
    Sql *sql;
    Source *source;
    Landing *landing;
    Flow *flow;
    Arena arena;
    Err err;
} TestLake;

static inline void test_lake_open_at(TestLake *lake, const char *dir, const char *backend)
{
    Os *os = os_real();
    *lake = (TestLake){ 0 };
    err_clear(&lake->err);
    const char *store_dir = str_format(&lake->arena, "%s/store", dir).ptr;
    const char *db = str_format(&lake->arena, "%s/tarn.db", dir).ptr;
    StoreOptions store = { .backend = backend, .index = "memory", .dir = store_dir };
    CHECK_OK(store_open(os, &store, &lake->store, &lake->err), &lake->err);
    MetaOptions meta = { .path = db };
    CHECK_OK(meta_open(os, &meta, &lake->meta, &lake->err), &lake->err);
    CatalogOptions catalog = { .os = os, .store = lake->store, .meta = lake->meta,
                               .lake_bucket = STR("lake") };
    CHECK_OK(catalog_open(&catalog, &lake->catalog, &lake->err), &lake->err);
    SqlOptions sql = { .os = os, .catalog = lake->catalog, .store = lake->store, .threads = 2 };
    CHECK_OK(sql_open(&sql, &lake->sql, &lake->err), &lake->err);
    SourceOptions source = { .os = os, .store = lake->store };
    CHECK_OK(source_open(&source, &lake->source, &lake->err), &lake->err);
    LandingOptions landing = { .os = os, .store = lake->store, .meta = lake->meta,
                               .catalog = lake->catalog, .sql = lake->sql, .source = lake->source };
    CHECK_OK(landing_open(&landing, &lake->landing, &lake->err), &lake->err);
    FlowOptions flow = { .os = os, .sql = lake->sql, .catalog = lake->catalog, .store = lake->store,
                         .meta = lake->meta, .source = lake->source, .threads = 2 };
    CHECK_OK(flow_open(&flow, &lake->flow, &lake->err), &lake->err);
}

static inline void test_lake_open(TestLake *lake)
{
    test_lake_open_at(lake, test_dir(), "memory");
}

static inline void test_lake_done(TestLake *lake)
{
    flow_free(&lake->flow);
    landing_free(&lake->landing);
    sql_free(&lake->sql);
    source_free(&lake->source);
    catalog_free(&lake->catalog);
    meta_free(&lake->meta);
    store_free(&lake->store);
    arena_done(&lake->arena);
}

static inline void test_ingest(TestLake *lake, const char *name, Str bytes)
{
    IngestResult result;
    IngestBegin begin = { .source = STR("t"), .name = str_z(name) };
    CHECK_OK(source_ingest_bytes(lake->source, &begin, bytes, &lake->arena, &result, &lake->err),
             &lake->err);
}

/* The text of the first column of the first row; "" when there is none. */
static inline Str test_text(TestLake *lake, const char *sql)
{
    SqlRequest request = { .text = str_z(sql), .read_only = true };
    SqlResult *result AUTO(sql_result_free) = NULL;
    ArrowArray batch AUTO(arrow_array_done) = { 0 };
    Buf buf AUTO(buf_done);
    buf_init(&buf, 1 << 20);
    Code code = sql_query(lake->sql, &request, &result, &lake->err);
    if (code == E_OK)
        code = sql_result_next(result, &batch, &lake->err);
    if (code != E_OK)
        return str_format(&lake->arena, "%s: %s", code_info(code)->name, lake->err.text);
    if (batch.release && batch.length > 0)
        arrow_put_text(&buf, sql_result_schema(result)->children[0], batch.children[0], 0);
    return str_copy(&lake->arena, buf_str(&buf));
}

static inline void test_load(TestLake *lake, const FlowFile *files, size_t count)
{
    CHECK_OK(flow_load(lake->flow, files, count, &lake->err), &lake->err);
}

static inline FlowReport test_run(TestLake *lake, const FlowPlanQuery *query)
{
    FlowPlan plan = { 0 };
    FlowReport report = { 0 };
    FlowRunOptions options = { 0 };
    CHECK_OK(flow_plan(lake->flow, query, &lake->arena, &plan, &lake->err), &lake->err);
    CHECK_OK(flow_run(lake->flow, &plan, &options, &lake->arena, &report, &lake->err), &lake->err);
    return report;
}

static inline const FlowModelReport *test_report(const FlowReport *report, const char *model)
{
    static const FlowModelReport none = { .state = FLOW_QUEUED };
    for (size_t i = 0; i < report->count; i++) {
        if (str_eq(report->models[i].model, str_z(model)))
            return &report->models[i];
    }
    return &none;
}
