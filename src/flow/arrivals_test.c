/* Covers arrivals.c: what arrives starts the models that read it, once, and nothing else does. */
#include "flow/arrivals.h"

#define TEST_WORKERS_STARTED
#include "flow/lake_test.h"
#include "store/store_keep.h"

#include "os/thread.h"

#define MODEL_FILE(name, text) { STR_INIT("models/" name ".sql"), STR_INIT(text) }

static const FlowFile PROJECT[] = {
    MODEL_FILE("s", "MODEL (name silver.s, on arrival, columns (id BIGINT)); "
                    "SELECT id FROM source('t', 'a.csv', all := true)"),
    MODEL_FILE("g", "MODEL (name gold.g, gate (min_score 0)); SELECT count(*) AS n FROM silver.s"),
    MODEL_FILE("o", "MODEL (name silver.o, columns (id BIGINT)); SELECT id FROM source('t', 'o.csv')"),
};

static FlowArrivals *arrivals_open(TestLake *lake)
{
    FlowArrivals *arrivals = NULL;
    FlowArrivalsOptions options = { .flow = lake->flow, .quiet_ms = 5 };
    CHECK_OK(flow_arrivals_open(&options, &arrivals, &lake->err), &lake->err);
    return arrivals;
}

/* Until so many decisions were made; at most a minute. */
static FlowArrivalsState decided(TestLake *lake, FlowArrivals *arrivals, uint64_t count)
{
    for (int i = 0; i < 6000 && flow_arrivals_state(arrivals).decisions < count; i++)
        store_feed_wait(lake->store, UINT64_MAX, 10000, NULL);
    CHECK_INT(flow_arrivals_state(arrivals).decisions, count);
    return flow_arrivals_state(arrivals);
}

static void put(TestLake *lake, const char *key, const char *bytes)
{
    StorePut put = { .bucket = STR("bronze"), .key = str_z(key) };
    CHECK_OK(store_put(lake->store, &put, str_z(bytes), NULL, &lake->err), &lake->err);
}

TEST(arrivals_start_what_reads_them)
{
    TestLake lake AUTO(test_lake_done);
    test_lake_open(&lake);
    test_load(&lake, PROJECT, ARRAY_LEN(PROJECT));
    FlowArrivals *arrivals AUTO(flow_arrivals_free) = arrivals_open(&lake);
    test_ingest(&lake, "o.csv", STR("id\n1\n")); /* read by a model that waits for its plan */
    test_ingest(&lake, "a.csv", STR("id\n1\n2\n"));
    FlowArrivalsState state = decided(&lake, arrivals, 1);
    CHECK_INT(state.runs, 1);
    CHECK_INT(state.failures, 0);
    CHECK_STR(test_text(&lake, "SELECT n FROM gold.g"), STR("2"));
    CHECK_STR(test_text(&lake, "SELECT count(*) FROM silver.o"), STR("NOT_FOUND: there is no table silver.o"));
    put(&lake, "t/today/a.csv", "id\n3\n"); /* through another door: no tags */
    state = decided(&lake, arrivals, 2);
    CHECK_INT(state.runs, 2);
    CHECK_STR(test_text(&lake, "SELECT n FROM gold.g"), STR("3"));
    put(&lake, "t/today/a.csv", "id\n3\n"); /* the same bytes */
    state = decided(&lake, arrivals, 3);
    CHECK_INT(state.runs, 2);
    CHECK_INT(state.triggers, 3);
    put(&lake, "t/today/a.csv", "id\n3\n4\n5\n");
    put(&lake, "t/today/b.csv", "id\n9\n"); /* nobody reads it */
    state = decided(&lake, arrivals, 4);
    CHECK_INT(state.runs, 3);
    CHECK_INT(state.triggers, 4);
    CHECK_STR(test_text(&lake, "SELECT n FROM gold.g"), STR("5"));
}

TEST(arrivals_failures_stand_in_the_ledger)
{
    TestLake lake AUTO(test_lake_done);
    test_lake_open(&lake);
    const FlowFile project[] = { MODEL_FILE("s", "MODEL (name silver.s, on arrival); SELECT error('it broke') AS x "
                                                 "FROM source('t', 'a.csv', all := true)") };
    test_load(&lake, project, 1);
    FlowArrivals *arrivals AUTO(flow_arrivals_free) = arrivals_open(&lake);
    put(&lake, "t/a.csv", "id\n3\n");
    FlowArrivalsState state = decided(&lake, arrivals, 1);
    CHECK_INT(state.failures, 1);
    MetaRead *read AUTO(meta_read_end) = NULL;
    MetaLedger *rows;
    size_t count = 0;
    CHECK_OK(meta_read_begin(lake.meta, &read, &lake.err), &lake.err);
    CHECK_OK(meta_list_ledger(read, STR("silver.s"), STR_NONE, &lake.arena, &rows, &count, &lake.err), &lake.err);
    CHECK_INT(count, 1);
    CHECK_STR(rows[0].state, STR("failed"));
}

/* What came while nobody looked, or while a run was cut off, is found at the next start. */
TEST(arrivals_go_on_where_they_stopped)
{
    TestLake lake AUTO(test_lake_done);
    test_lake_open(&lake);
    test_load(&lake, PROJECT, ARRAY_LEN(PROJECT));
    FlowArrivals *arrivals AUTO(flow_arrivals_free) = arrivals_open(&lake);
    flow_arrivals_free(&arrivals);
    put(&lake, "t/a.csv", "id\n3\n");
    arrivals = arrivals_open(&lake);
    CHECK_INT(decided(&lake, arrivals, 1).runs, 1);
    CHECK_STR(test_text(&lake, "SELECT n FROM gold.g"), STR("1"));
}

/* ---- followed runs ---- */

typedef struct Watched {
    Mutex mutex;
    Cond changed;
    bool open;     /* progress may go on */
    size_t begun, held, ended, waits;
    Str run_id;
    bool *cancel;
    FlowState state;
    Arena arena;
} Watched;

static void *watch_begin(void *self, Str run_id, bool *cancel)
{
    Watched *w = self;
    MUTEX_HELD(&w->mutex);
    w->begun++;
    w->run_id = str_copy(&w->arena, run_id);
    w->cancel = cancel;
    cond_broadcast(&w->changed);
    return w;
}

static void watch_progress(void *arg, const FlowProgress *progress)
{
    Watched *w = arg;
    if (!str_eq(progress->phase, STR("publish"))) /* what it reads it has read */
        return;
    MUTEX_HELD(&w->mutex);
    w->held++;
    cond_broadcast(&w->changed);
    while (!w->open)
        cond_wait(&w->changed, &w->mutex);
}

static void watch_end(void *run, Code code, const Err *err, const FlowReport *report)
{
    Watched *w = run;
    (void)err;
    MUTEX_HELD(&w->mutex);
    w->ended += code == E_OK;
    w->state = code == E_OK ? report->state : FLOW_FAILED_STATE;
}

static void gate_set(Watched *w, bool open)
{
    MUTEX_HELD(&w->mutex);
    w->open = open;
    cond_broadcast(&w->changed);
}

static void held_wait(Watched *w)
{
    MUTEX_HELD(&w->mutex);
    while (w->held == 0)
        cond_wait(&w->changed, &w->mutex);
}

static FlowArrivals *watched_open(TestLake *lake, Watched *w)
{
    FlowArrivals *arrivals = NULL;
    *w = (Watched){ 0 };
    mutex_init(&w->mutex);
    cond_init(&w->changed);
    FlowArrivalsOptions options = { .flow = lake->flow, .quiet_ms = 5,
                                    .watch = { watch_begin, watch_progress, watch_end, w } };
    CHECK_OK(flow_arrivals_open(&options, &arrivals, &lake->err), &lake->err);
    return arrivals;
}

static void watched_done(Watched *w)
{
    cond_done(&w->changed);
    mutex_done(&w->mutex);
    arena_done(&w->arena);
}

TEST(arrivals_during_a_run_are_one_more_run)
{
    TestLake lake AUTO(test_lake_done);
    Watched w;
    test_lake_open(&lake);
    test_load(&lake, PROJECT, ARRAY_LEN(PROJECT));
    FlowArrivals *arrivals AUTO(flow_arrivals_free) = watched_open(&lake, &w);
    put(&lake, "t/1/a.csv", "id\n1\n");
    held_wait(&w);
    put(&lake, "t/2/a.csv", "id\n2\n");
    put(&lake, "t/3/a.csv", "id\n3\n");
    put(&lake, "t/4/a.csv", "id\n4\n");
    Str json = STR_NONE;
    CHECK_OK(flow_run_state(lake.flow, w.run_id, &lake.arena, &json, &lake.err), &lake.err);
    gate_set(&w, true);
    FlowArrivalsState state = decided(&lake, arrivals, 2);
    CHECK_INT(state.runs, 2);
    CHECK_INT(state.triggers, 4);
    CHECK_INT(w.begun, 2);
    CHECK_INT(w.ended, 2);
    CHECK_STR(test_text(&lake, "SELECT n FROM gold.g"), STR("4"));
    flow_arrivals_free(&arrivals);
    watched_done(&w);
}

typedef struct Asked {
    TestLake *lake;
    Watched *w;
    Thread thread;
    int64_t wait_ms;
    Code code;
    FlowReport report;
    Str phase;
    Arena arena;
    Err err;
} Asked;

static void asked_progress(void *arg, const FlowProgress *progress)
{
    Asked *asked = arg;
    MUTEX_HELD(&asked->w->mutex);
    if (progress->model.len > 0)
        return;
    asked->phase = str_copy(&asked->arena, progress->phase);
    asked->w->waits++;
    cond_broadcast(&asked->w->changed);
}

static void *asked_run(void *arg)
{
    Asked *asked = arg;
    FlowPlan plan = { 0 };
    FlowPlanQuery query = { 0 };
    FlowRunOptions options = { .progress = asked_progress, .progress_arg = asked, .wait_ms = asked->wait_ms,
                               .again = &query };
    asked->code = flow_plan(asked->lake->flow, &query, &asked->arena, &plan, &asked->err);
    if (asked->code == E_OK)
        asked->code = flow_run(asked->lake->flow, &plan, &options, &asked->arena, &asked->report, &asked->err);
    return NULL;
}

/* Who asks while the run of an arrival is on waits, is told so, and does not do again what that run did. */
TEST(arrivals_let_a_run_wait_for_its_turn)
{
    TestLake lake AUTO(test_lake_done);
    Watched w;
    test_lake_open(&lake);
    test_load(&lake, PROJECT, ARRAY_LEN(PROJECT));
    test_ingest(&lake, "o.csv", STR("id\n1\n"));
    FlowArrivals *arrivals AUTO(flow_arrivals_free) = watched_open(&lake, &w);
    Asked asked = { .lake = &lake, .w = &w };
    put(&lake, "t/1/a.csv", "id\n1\n");
    held_wait(&w);
    asked_run(&asked);
    CHECK_INT(asked.code, E_UNAVAILABLE);
    asked.wait_ms = 60000;
    CHECK_OK(thread_start(&asked.thread, "asked", asked_run, &asked, &lake.err), &lake.err);
    {
        MUTEX_HELD(&w.mutex);
        while (w.waits == 0)
            cond_wait(&w.changed, &w.mutex);
    }
    gate_set(&w, true);
    thread_join(&asked.thread);
    CHECK_OK(asked.code, &asked.err);
    CHECK_STR(asked.phase, STR("waiting for the run of an arrival"));
    CHECK_INT(asked.report.state, FLOW_PUBLISHED);
    CHECK_INT(asked.report.count, 1); /* silver.o: nobody triggers it */
    CHECK_STR(asked.report.models[0].model, STR("silver.o"));
    CHECK_INT(w.waits, 1);
    flow_arrivals_free(&arrivals);
    arena_done(&asked.arena);
    watched_done(&w);
}

typedef struct Ended {
    FlowArrivals *arrivals;
    Watched *w;
    Thread thread;
} Ended;

static void *ended_run(void *arg)
{
    flow_arrivals_free(&((Ended *)arg)->arrivals);
    return NULL;
}

/* Its table goes while its model runs: the run is tried again, and makes it anew with everything. */
TEST(arrivals_survive_a_drop_of_the_table)
{
    TestLake lake AUTO(test_lake_done);
    Watched w;
    test_lake_open(&lake);
    test_load(&lake, PROJECT, ARRAY_LEN(PROJECT));
    FlowArrivals *arrivals AUTO(flow_arrivals_free) = watched_open(&lake, &w);
    w.open = true;
    put(&lake, "t/1/a.csv", "id\n1\n");
    decided(&lake, arrivals, 1);
    gate_set(&w, false);
    w.held = 0;
    put(&lake, "t/2/a.csv", "id\n2\n");
    held_wait(&w);
    CHECK_OK(catalog_table_drop(lake.catalog, (TableName){ STR("silver"), STR("s") }, NULL, &lake.err), &lake.err);
    gate_set(&w, true);
    FlowArrivalsState state = decided(&lake, arrivals, 3);
    CHECK_INT(state.runs, 3);
    CHECK_INT(state.failures, 1);
    CHECK_STR(test_text(&lake, "SELECT n FROM gold.g"), STR("2"));
    flow_arrivals_free(&arrivals);
    watched_done(&w);
}

/* The server ends while one model runs and after another has failed: what was cut off is begun again. */
TEST(arrivals_cut_off_beside_a_failure_go_on)
{
    static const FlowFile project[] = {
        MODEL_FILE("f", "MODEL (name silver.f, on arrival); SELECT error('it broke') AS x FROM source('t', 'a.csv', all := true)"),
        MODEL_FILE("s", "MODEL (name silver.s, on arrival, columns (id BIGINT)); "
                        "SELECT id FROM source('t', 'a.csv', all := true)"),
        MODEL_FILE("g", "MODEL (name gold.g, gate (min_score 0)); SELECT count(*) AS n FROM silver.s"),
    };
    TestLake lake AUTO(test_lake_done);
    Watched w;
    test_lake_open(&lake);
    test_load(&lake, project, ARRAY_LEN(project));
    FlowArrivals *arrivals = watched_open(&lake, &w);
    put(&lake, "t/1/a.csv", "id\n1\n");
    held_wait(&w); /* silver.s; gold.g waits behind it */
    Ended ended = { .arrivals = arrivals, .w = &w };
    CHECK_OK(thread_start(&ended.thread, "end", ended_run, &ended, &lake.err), &lake.err);
    for (int i = 0; i < 6000 && !__atomic_load_n(w.cancel, __ATOMIC_SEQ_CST); i++)
        store_feed_wait(lake.store, UINT64_MAX, 10000, NULL);
    gate_set(&w, true);
    thread_join(&ended.thread);
    CHECK_STR(test_text(&lake, "SELECT count(*) FROM gold.g"), STR("NOT_FOUND: there is no table gold.g"));
    arrivals = arrivals_open(&lake);
    decided(&lake, arrivals, 1);
    CHECK_STR(test_text(&lake, "SELECT n FROM gold.g"), STR("1"));
    flow_arrivals_free(&arrivals);
    watched_done(&w);
}

/* It is not begun again by itself; the next file begins the next one. */
TEST(arrivals_run_that_is_cancelled_stays_so)
{
    TestLake lake AUTO(test_lake_done);
    Watched w;
    test_lake_open(&lake);
    test_load(&lake, PROJECT, ARRAY_LEN(PROJECT));
    FlowArrivals *arrivals AUTO(flow_arrivals_free) = watched_open(&lake, &w);
    put(&lake, "t/1/a.csv", "id\n1\n");
    held_wait(&w);
    __atomic_store_n(w.cancel, true, __ATOMIC_SEQ_CST);
    gate_set(&w, true);
    FlowArrivalsState state = decided(&lake, arrivals, 1);
    CHECK_INT(w.state, FLOW_CANCELLED);
    CHECK_INT(state.failures, 1);
    put(&lake, "t/2/a.csv", "id\n2\n");
    state = decided(&lake, arrivals, 2);
    CHECK_INT(w.begun, 2);
    CHECK_STR(test_text(&lake, "SELECT n FROM gold.g"), STR("2"));
    flow_arrivals_free(&arrivals);
    watched_done(&w);
}
