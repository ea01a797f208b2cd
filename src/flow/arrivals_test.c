/* Covers arrivals.c: what arrives starts the models that read it, once, and nothing else does. */
#include "flow/arrivals.h"

#define TEST_WORKERS_STARTED
#include "flow/lake_test.h"
#include "store/store_keep.h"

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
