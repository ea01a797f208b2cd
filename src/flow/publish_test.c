/* Covers publish.c: what is published together, and what happens when somebody writes meanwhile. */
#include "flow/flow.h"

#define TEST_WORKERS_STARTED
#include "flow/lake_test.h"

#include <stdio.h>

#define MODEL_FILE(name, text) { STR_INIT("models/" name ".sql"), STR_INIT(text) }

typedef struct Meanwhile {
    TestLake *lake;
    const char *sql; /* once, right before the model is published */
    bool done;
} Meanwhile;

static void change(TestLake *lake, const char *sql)
{
    SqlRequest request = { .text = str_z(sql) };
    SqlResult *result AUTO(sql_result_free) = NULL;
    CHECK_OK(sql_query(lake->sql, &request, &result, &lake->err), &lake->err);
}

static void meanwhile(void *arg, const FlowProgress *progress)
{
    Meanwhile *m = arg;
    if (m->done || !str_eq(progress->phase, STR("publish")))
        return;
    change(m->lake, m->sql);
    m->done = true;
}

static FlowReport run_with(TestLake *lake, const FlowPlanQuery *query, const char *sql)
{
    FlowPlan plan = { 0 };
    FlowReport report = { 0 };
    Meanwhile m = { .lake = lake, .sql = sql };
    FlowRunOptions options = { .progress = meanwhile, .progress_arg = &m };
    CHECK_OK(flow_plan(lake->flow, query, &lake->arena, &plan, &lake->err), &lake->err);
    CHECK_OK(flow_run(lake->flow, &plan, &options, &lake->arena, &report, &lake->err), &lake->err);
    CHECK(m.done);
    for (size_t i = 0; i < report.count; i++)
        if (report.models[i].error)
            printf("      " STR_FMT ": %s\n", STR_ARG(report.models[i].model), report.models[i].error->text);
    return report;
}

static const FlowFile REJECTS[] = {
    MODEL_FILE("t", "MODEL (name silver.t, columns (id BIGINT), gate (min_score 0)); SELECT id FROM source('t', 'a.csv')")
};

/* The table is there already when it shall be made: neither the good rows nor the rejected ones are published. */
TEST(publish_makes_both_tables_or_none)
{
    TestLake lake AUTO(test_lake_done);
    test_lake_open(&lake);
    test_ingest(&lake, "a.csv", STR("id\n1\nx\n"));
    test_load(&lake, REJECTS, 1);
    FlowPlanQuery all = { 0 };
    FlowReport report = run_with(&lake, &all, "CREATE TABLE silver.t (other BIGINT)");
    CHECK_INT(report.state, FLOW_FAILED_STATE);
    CHECK(str_starts(test_text(&lake, "SELECT count(*) FROM quarantine.t"), STR("NOT_FOUND")));
    CHECK_STR(test_text(&lake, "SELECT count(*) FROM silver.t"), STR("0"));
}

TEST(publish_of_both_tables_is_one_commit)
{
    TestLake lake AUTO(test_lake_done);
    test_lake_open(&lake);
    test_ingest(&lake, "a.csv", STR("id\n1\nx\n"));
    test_load(&lake, REJECTS, 1);
    FlowPlanQuery all = { 0 };
    FlowReport report = test_run(&lake, &all);
    CHECK_INT(report.state, FLOW_PUBLISHED);
    CHECK_STR(test_text(&lake, "SELECT count(*) FROM silver.t"), STR("1"));
    CHECK_STR(test_text(&lake, "SELECT count(*) FROM quarantine.t"), STR("1"));
    CHECK(report.models[0].snapshot_id != 0);
    TableVersion *good AUTO(table_version_free) = NULL, *bad AUTO(table_version_free) = NULL;
    CHECK_OK(catalog_load(lake.catalog, STR("silver"), STR("t"), &good, &lake.err), &lake.err);
    CHECK_OK(catalog_load(lake.catalog, STR("quarantine"), STR("t"), &bad, &lake.err), &lake.err);
    /* Objects of one commit bear its name. */
    Str a = table_version_entry(good)->metadata_location, b = table_version_entry(bad)->metadata_location;
    CHECK_STR(str_from(a, (size_t)str_rfind_char(a, '/')), str_from(b, (size_t)str_rfind_char(b, '/')));
}

static const FlowFile DAYS[] = {
    MODEL_FILE("d", "MODEL (name silver.d, kind INCREMENTAL_BY_TIME_RANGE (time_column ts, batch_size 2), "
                    "start '2020-01-01', end '2020-01-03', columns (ts TIMESTAMP, v BIGINT)); "
                    "SELECT ts, v FROM source('t', 'd.csv') WHERE CAST(ts AS TIMESTAMP) >= $start_ts "
                    "AND CAST(ts AS TIMESTAMP) < $end_ts")
};

static void days_run(TestLake *lake)
{
    FlowPlanQuery all = { 0 };
    test_lake_open(lake);
    test_ingest(lake, "d.csv", STR("ts,v\n2020-01-01 05:00:00,1\n2020-01-02 05:00:00,2\n"));
    test_load(lake, DAYS, 1);
    FlowReport report = test_run(lake, &all);
    CHECK_INT(report.state, FLOW_PUBLISHED);
}

/* 2020-01-02 again, alone. */
static const FlowPlanQuery SECOND = { .from_us = INT64_C(1577923200) * 1000000,
                                      .to_us = INT64_C(1578009600) * 1000000, .force = true };

TEST(publish_carries_over_what_came_meanwhile)
{
    TestLake lake AUTO(test_lake_done);
    days_run(&lake);
    FlowReport report = run_with(&lake, &SECOND, "INSERT INTO silver.d VALUES (TIMESTAMP '2020-01-01 06:00:00', 7)");
    CHECK_INT(report.state, FLOW_PUBLISHED);
    CHECK_STR(test_text(&lake, "SELECT string_agg(v, ' ' ORDER BY ts) FROM silver.d"), STR("1 7 2"));
}

TEST(publish_does_not_bring_back_what_was_deleted_meanwhile)
{
    TestLake lake AUTO(test_lake_done);
    days_run(&lake);
    change(&lake, "INSERT INTO silver.d VALUES (TIMESTAMP '2020-01-01 06:00:00', 7)");
    FlowReport report = run_with(&lake, &SECOND, "DELETE FROM silver.d WHERE v = 7"); /* a whole file */
    CHECK_INT(report.state, FLOW_PUBLISHED);
    CHECK_STR(test_text(&lake, "SELECT string_agg(v, ' ' ORDER BY ts) FROM silver.d"), STR("1 2"));
}

TEST(publish_gives_up_when_it_is_another_table)
{
    TestLake lake AUTO(test_lake_done);
    days_run(&lake);
    FlowReport report = run_with(&lake, &SECOND, "CREATE OR REPLACE TABLE silver.d AS SELECT TIMESTAMP '2020-01-02' AS ts, "
                                                 "5::BIGINT AS v, 'new' AS extra");
    CHECK_INT(report.state, FLOW_FAILED_STATE);
    CHECK_STR(test_text(&lake, "SELECT string_agg(v, ' ' ORDER BY ts) FROM silver.d"), STR("5"));
}
