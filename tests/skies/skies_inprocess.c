/* The demo project on its real files, without a server: `skies_inprocess PROJECT DATA [DIR]`.
 * Ingests the files of DATA, loads PROJECT, plans, runs, prints a line a model and the hashes of the gold tables;
 * exits with the status of the run. A tool for measuring and for tests/skies, not a test of its own. */
#include "flow/flow.h"
#include "format/arrow.h"
#include "os/worker.h"
#include "sql/raw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const FILES[] = { "airports.csv", "flights-3m.parquet", "birdstrikes.csv",
                                     "earthquakes.json", "weather.csv", "zipcodes.csv" };
static const char *const QUERIES[] = {
    "SELECT 'silver.flights ' || count(*) || ' ' || sum(delay) || ' ' || sum(distance) FROM silver.flights",
    "SELECT 'silver.strikes ' || count(*) || ' ' || sum(cost_total) || ' ' || count(speed_knots) "
    "FROM silver.strikes",
    "SELECT 'silver.quakes ' || count(*) || ' ' || count(DISTINCT id) || ' ' || min(time_ms) || ' ' || "
    "max(time_ms) FROM silver.quakes",
    "SELECT 'gold.delay_by_airport_hour ' || count(*) || ' ' || md5(string_agg(CAST(to_json(r) AS VARCHAR),"
    " chr(10) ORDER BY origin, hour)) FROM gold.delay_by_airport_hour AS r",
    "SELECT 'gold.route ' || count(*) || ' ' || md5(string_agg(CAST(to_json(r) AS VARCHAR), chr(10) "
    "ORDER BY origin, destination)) FROM gold.route AS r",
    "SELECT 'gold.daily ' || count(*) || ' ' || md5(string_agg(CAST(to_json(r) AS VARCHAR), chr(10) "
    "ORDER BY day)) FROM gold.daily AS r",
    "SELECT 'gold.strikes_by_airport ' || count(*) || ' ' || md5(string_agg(CAST(to_json(r) AS VARCHAR), "
    "chr(10) ORDER BY iata)) FROM gold.strikes_by_airport AS r",
    "SELECT 'quarantine.strikes ' || count(*) || ' ' || min(_row) || ' ' || any_value(reason) "
    "FROM quarantine.strikes",
    "SELECT 'quarantine.flights ' || count(*) || ' ' || string_agg(_raw, ' ' ORDER BY _raw) "
    "FROM quarantine.flights",
};

typedef struct Lake {
    Arena arena;
    Err err;
    Store *store;
    Meta *meta;
    Catalog *catalog;
    Sql *sql;
    Source *source;
    Flow *flow;
} Lake;

static void must(Lake *lake, Code code, const char *what)
{
    if (code == E_OK)
        return;
    fprintf(stderr, "%s: %s: %s [%s] %s\n", what, code_info(code)->name, lake->err.text,
            lake->err.place, lake->err.hint);
    exit(1);
}

static void lake_open(Lake *lake, const char *dir)
{
    Os *os = os_real();
    Str store_dir = str_format(&lake->arena, "%s/store", dir);
    Str db = str_format(&lake->arena, "%s/tarn.db", dir);
    must(lake, os_dir_make(os, dir, &lake->err), "dir");
    StoreOptions store = { .dir = store_dir.ptr };
    must(lake, store_open(os, &store, &lake->store, &lake->err), "store");
    MetaOptions meta = { .path = db.ptr };
    must(lake, meta_open(os, &meta, &lake->meta, &lake->err), "meta");
    CatalogOptions catalog = { .os = os, .store = lake->store, .meta = lake->meta,
                               .lake_bucket = STR("lake") };
    must(lake, catalog_open(&catalog, &lake->catalog, &lake->err), "catalog");
    SqlOptions sql = { .os = os, .catalog = lake->catalog, .store = lake->store, .threads = 2,
                       .memory_bytes = UINT64_C(1) << 30 };
    must(lake, sql_open(&sql, &lake->sql, &lake->err), "sql");
    SourceOptions source = { .os = os, .store = lake->store };
    must(lake, source_open(&source, &lake->source, &lake->err), "source");
    FlowOptions flow = { .os = os, .sql = lake->sql, .catalog = lake->catalog, .store = lake->store,
                         .meta = lake->meta, .source = lake->source };
    must(lake, flow_open(&flow, &lake->flow, &lake->err), "flow");
}

static Str whole(Lake *lake, const char *path)
{
    Buf buf AUTO(buf_done);
    buf_init(&buf, 1 << 30);
    must(lake, os_read_whole(os_real(), path, &buf, &lake->err), path);
    return str_copy(&lake->arena, buf_str(&buf));
}

static void ingest(Lake *lake, const char *data, const char *name)
{
    IngestResult result;
    Str path = str_format(&lake->arena, "%s/%s", data, name);
    IngestBegin begin = { .source = STR("skies"), .name = str_z(name) };
    must(lake, source_ingest_bytes(lake->source, &begin, whole(lake, path.ptr), &lake->arena, &result,
                                   &lake->err), name);
    printf("%-28s %10llu " STR_FMT "%s\n", name, (unsigned long long)result.size_bytes,
           STR_ARG(result.content_type), result.duplicate ? " (duplicate)" : "");
}

static void load(Lake *lake, const char *project)
{
    static const char *const folders[] = { "models", "suites", "seeds" };
    FlowFile files[256];
    size_t count = 0;
    for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
        OsDirEntry *entries;
        size_t n;
        Str folder = str_format(&lake->arena, "%s/%s", project, folders[i]);
        must(lake, os_dir_list(os_real(), folder.ptr, &lake->arena, &entries, &n, &lake->err), "list");
        for (size_t j = 0; j < n && count < ARRAY_LEN(files); j++) {
            Str path = str_format(&lake->arena, "%s/" STR_FMT, folder.ptr, STR_ARG(entries[j].name));
            files[count].path = str_format(&lake->arena, "%s/" STR_FMT, folders[i],
                                           STR_ARG(entries[j].name));
            files[count++].text = whole(lake, path.ptr);
        }
    }
    must(lake, flow_load(lake->flow, files, count, &lake->err), "load");
}

static void show(const FlowReport *report)
{
    for (size_t i = 0; i < report->count; i++) {
        const FlowModelReport *m = &report->models[i];
        printf("%-28s " STR_FMT " in %lld out %lld dup %lld bad %lld score %.4f gate %.2f days %lld/%lld "
               "%llu B %lld ms\n", m->model.ptr, STR_ARG(flow_state_name(m->state)),
               (long long)m->rows_in, (long long)m->rows_out, (long long)m->rows_duplicate,
               (long long)m->rows_quarantined, m->score, m->gate_min, (long long)m->days_published,
               (long long)m->days_incomplete, (unsigned long long)m->bytes, (long long)m->wall_ms);
        if (m->error)
            printf("    %s [%s] %s\n", m->error->text, m->error->place, m->error->hint);
        for (size_t j = 0; j < m->check_count; j++) {
            const FlowCheck *c = &m->checks[j];
            if (!c->success)
                printf("    " STR_FMT "(" STR_FMT ") " STR_FMT ": %lld of %lld\n", STR_ARG(c->type),
                       STR_ARG(c->column), STR_ARG(c->severity), (long long)c->unexpected_count,
                       (long long)(c->element_count - c->missing_count));
        }
    }
}

static void answer(Lake *lake, const char *sql)
{
    SqlRequest request = { .text = str_z(sql), .read_only = true };
    SqlResult *result AUTO(sql_result_free) = NULL;
    ArrowArray batch AUTO(arrow_array_done) = { 0 };
    Code code = sql_query(lake->sql, &request, &result, &lake->err);
    if (code == E_OK)
        code = sql_result_next(result, &batch, &lake->err);
    if (code != E_OK || !batch.release) {
        printf("%s: %s\n", code_info(code)->name, lake->err.text);
        return;
    }
    Str text = arrow_str(sql_result_schema(result)->children[0], batch.children[0], 0);
    printf(STR_FMT "\n", STR_ARG(text));
}

static void on_progress(void *arg, const FlowProgress *progress)
{
    const int64_t *started = arg;
    fprintf(stderr, "%6lld ms  %-28s " STR_FMT "\n",
            (long long)(os_monotonic_us(os_real()) - *started) / 1000, progress->model.ptr,
            STR_ARG(progress->phase));
}

int main(int argc, char **argv)
{
    Lake lake = { 0 };
    FlowPlan plan;
    FlowReport report = { 0 };
    FlowPlanQuery query = { 0 };
    FlowRunOptions options = { .progress = getenv("SKIES_PHASES") ? on_progress : NULL };
    if (argc < 3)
        return 2;
    err_clear(&lake.err);
    raw_register();
    must(&lake, worker_start(2, &lake.err), "workers");
    lake_open(&lake, argc > 3 ? argv[3] : "/tmp/skies-inprocess");
    int64_t loaded;
    int64_t started = os_monotonic_us(os_real());
    for (size_t i = 0; i < ARRAY_LEN(FILES); i++)
        ingest(&lake, argv[2], FILES[i]);
    load(&lake, argv[1]);
    options.progress_arg = &loaded;
    loaded = os_monotonic_us(os_real());
    must(&lake, flow_plan(lake.flow, &query, &lake.arena, &plan, &lake.err), "plan");
    printf(STR_FMT "\n", STR_ARG(plan.summary));
    must(&lake, flow_run(lake.flow, &plan, &options, &lake.arena, &report, &lake.err), "run");
    int64_t ended = os_monotonic_us(os_real());
    show(&report);
    printf("ingest and load %lld ms, run %lld ms\n", (long long)(loaded - started) / 1000,
           (long long)(ended - loaded) / 1000);
    for (size_t i = 0; i < ARRAY_LEN(QUERIES); i++)
        answer(&lake, QUERIES[i]);
    Code code = flow_report_code(&report, &lake.err);
    worker_stop();
    return code_info(code)->exit_status;
}
