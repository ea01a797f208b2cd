/* Whole lakes in a test: flow.c, project.c, plan.c, run.c, run_model.c, target.c, publish.c, quality.c. */
#include "flow/lake_test.h"

#include <string.h>

static const FlowPlanQuery ALL = { 0 };

#define MODEL_FILE(name, text) { STR_INIT("models/" name ".sql"), STR_INIT(text) }

static void check_published(const FlowReport *report)
{
    for (size_t i = 0; i < report->count; i++) {
        const FlowModelReport *model = &report->models[i];
        if (model->state != FLOW_PUBLISHED)
            test_failed(__FILE__, __LINE__, STR_FMT " is " STR_FMT ": %s [%s]", STR_ARG(model->model),
                        STR_ARG(flow_state_name(model->state)), model->error ? model->error->text : "",
                        model->error ? model->error->place : "");
    }
}

TEST(flow_casts_dedups_and_quarantines_with_place)
{
    TestLake lake AUTO(test_lake_done);
    test_lake_open(&lake);
    test_ingest(&lake, "a.csv", STR("id,n\n1,10\n2,x\n1,10\n3,500\n"));
    const FlowFile files[] = {
        MODEL_FILE("t", "MODEL (name silver.t, kind FULL, dedup all, columns (id BIGINT, n BIGINT), "
                        "audits (accepted_range(column := n, min := 0, max := 100)), "
                        "gate (min_score 0.5)); "
                        "SELECT id, n, _file, _row, _raw FROM source('t', 'a.csv')"),
        MODEL_FILE("g", "MODEL (name gold.g, kind FULL); SELECT count(*) AS n FROM silver.t"),
    };
    test_load(&lake, files, ARRAY_LEN(files));
    FlowReport report = test_run(&lake, &ALL);
    CHECK_INT(report.count, 2);
    check_published(&report);
    const FlowModelReport *t = test_report(&report, "silver.t");
    CHECK_INT(t->rows_in, 4);
    CHECK_INT(t->rows_out, 1);
    CHECK_INT(t->rows_duplicate, 1);
    CHECK_INT(t->rows_quarantined, 2);
    CHECK_STR(test_text(&lake, "SELECT id || ':' || n FROM silver.t"), STR("1:10"));
    CHECK_STR(test_text(&lake, "SELECT n FROM gold.g"), STR("1"));
    CHECK_STR(test_text(&lake, "SELECT reason || '|' || _row || '|' || _raw FROM quarantine.t "
                               "WHERE reason LIKE 'cast%'"), STR("cast(n)|2|2,x"));
    CHECK_STR(test_text(&lake, "SELECT _raw FROM quarantine.t WHERE reason LIKE 'expect%'"),
              STR("3,500"));
}

/* Neither the SELECT's columns nor its WHERE matter: it never meets them. */
TEST(flow_sets_aside_records_that_are_no_rows)
{
    TestLake lake AUTO(test_lake_done);
    test_lake_open(&lake);
    test_ingest(&lake, "a.csv", STR("id,n\n1,10\n2\n3,4,5\n4,\"x\"y\n5,z\n6,60\n"));
    test_ingest(&lake, "b.json", STR("{\"id\":1}\n7\n{\"id\":\n{\"id\":2}\n"));
    const FlowFile files[] = {
        MODEL_FILE("t", "MODEL (name silver.t, dedup all, columns (id BIGINT, n BIGINT)); "
                        "SELECT coalesce(id, '0') AS id, n, _file, _row, _raw "
                        "FROM source('t', 'a.csv') WHERE id <> '6' UNION ALL "
                        "SELECT id, n, _file, _row, _raw FROM source('t', 'a.csv') WHERE id = '6'"),
        MODEL_FILE("j", "MODEL (name silver.j, columns (id VARCHAR)); WITH _s0 AS (SELECT '9' AS id), "
                        "_t0 AS (SELECT id FROM source('t', 'b.json')) SELECT id FROM _t0"),
        MODEL_FILE("i", "MODEL (name silver.i, kind INCREMENTAL_BY_TIME_RANGE (time_column day, batch_size 1), "
                        "start '2024-01-01', end '2024-01-04', columns (id BIGINT, day DATE)); "
                        "SELECT id, CAST($start_ts AS DATE) AS day FROM source('t', 'b.json')"),
    };
    test_load(&lake, files, ARRAY_LEN(files));
    FlowReport report = test_run(&lake, &ALL);
    check_published(&report);
    const FlowModelReport *t = test_report(&report, "silver.t");
    CHECK_INT(t->rows_in, 6);
    CHECK_INT(t->rows_out, 2);
    CHECK_INT(t->rows_duplicate, 0);
    CHECK_INT(t->rows_quarantined, 4);
    CHECK_STR(test_text(&lake, "SELECT string_agg(reason || '|' || _row || '|' || _raw, ';' ORDER BY _row) "
                               "FROM quarantine.t WHERE ends_with(_file, 'a.csv')"),
              STR("record(number of fields)|2|2;record(number of fields)|3|3,4,5;"
                  "record(text behind a quote)|4|4,\"x\"y;cast(n)|5|5,z"));
    CHECK_STR(test_text(&lake, "SELECT string_agg(id, ',' ORDER BY id) FROM silver.j"), STR("1,2"));
    CHECK_STR(test_text(&lake, "SELECT string_agg(_row || '|' || _raw, ';' ORDER BY _row) FROM quarantine.j"),
              STR("2|7;3|{\"id\":"));
    CHECK_STR(test_text(&lake, "SELECT count(*) || ' ' || count(DISTINCT run_id) FROM quarantine.i"),
              STR("2 1"));
    test_ingest(&lake, "a.csv", STR("id,n\n1,10\n"));
    report = test_run(&lake, &ALL);
    check_published(&report);
    CHECK_STR(test_text(&lake, "SELECT count(*) FROM quarantine.t"), STR("0"));
}

TEST(flow_second_run_finds_nothing_missing)
{
    TestLake lake AUTO(test_lake_done);
    test_lake_open(&lake);
    test_ingest(&lake, "a.csv", STR("id\n1\n"));
    const FlowFile files[] = {
        MODEL_FILE("a", "MODEL (name silver.a, columns (id BIGINT)); SELECT id FROM source('t', 'a.csv')"),
        MODEL_FILE("v", "MODEL (name silver.v, kind VIEW); SELECT id FROM silver.a"),
        MODEL_FILE("b", "MODEL (name gold.b); SELECT sum(id) AS s FROM silver.v"),
    };
    test_load(&lake, files, ARRAY_LEN(files));
    FlowReport report = test_run(&lake, &ALL);
    check_published(&report);
    FlowPlan plan;
    CHECK_OK(flow_plan(lake.flow, &ALL, &lake.arena, &plan, &lake.err), &lake.err);
    CHECK_INT(plan.count, 0);
    CHECK_STR(plan.summary, STR("nothing is missing"));
    /* New bytes under the name: everything that hangs on them runs, through the view. */
    test_ingest(&lake, "a.csv", STR("id\n1\n2\n"));
    report = test_run(&lake, &ALL);
    check_published(&report);
    CHECK_INT(report.count, 2);
    CHECK_STR(test_text(&lake, "SELECT s FROM gold.b"), STR("3"));
    /* A change of layout is none; a change of the text is one. */
    FlowFile changed[] = { files[0], files[1],
                           MODEL_FILE("b", "MODEL (name gold.b); -- more\nSELECT sum(id)  AS s FROM silver.v") };
    test_load(&lake, changed, ARRAY_LEN(changed));
    CHECK_OK(flow_plan(lake.flow, &ALL, &lake.arena, &plan, &lake.err), &lake.err);
    CHECK_INT(plan.count, 0);
    changed[2].text = STR("MODEL (name gold.b); SELECT sum(id) + 1 AS s FROM silver.v");
    test_load(&lake, changed, ARRAY_LEN(changed));
    CHECK_OK(flow_plan(lake.flow, &ALL, &lake.arena, &plan, &lake.err), &lake.err);
    CHECK_INT(plan.count, 1);
    CHECK_INT(plan.steps[0].reason, FLOW_CHANGED);
}

TEST(flow_gate_holds_back_and_the_rest_publishes)
{
    TestLake lake AUTO(test_lake_done);
    test_lake_open(&lake);
    test_ingest(&lake, "a.csv", STR("id,iata\n1,ORD\n2,BAD\n"));
    test_ingest(&lake, "k.csv", STR("iata\nORD\n"));
    const FlowFile files[] = {
        MODEL_FILE("k", "MODEL (name silver.k, columns (iata VARCHAR)); "
                        "SELECT iata FROM source('t', 'k.csv')"),
        MODEL_FILE("a", "MODEL (name silver.a, columns (id BIGINT, iata VARCHAR), audits (references("
                        "column := iata, table := 'silver.k', table_column := 'iata', "
                        "severity := warning)), gate (min_score 0.5)); "
                        "SELECT id, iata FROM source('t', 'a.csv')"),
        MODEL_FILE("g", "MODEL (name gold.g, audits (references(column := iata, table := 'silver.k', "
                        "table_column := 'iata'))); SELECT iata, count(*) AS n FROM silver.a GROUP BY 1"),
        MODEL_FILE("h", "MODEL (name gold.h); SELECT count(*) AS n FROM gold.g"),
        MODEL_FILE("i", "MODEL (name gold.i); SELECT count(*) AS n FROM silver.a"),
    };
    test_load(&lake, files, ARRAY_LEN(files));
    FlowReport report = test_run(&lake, &ALL);
    CHECK_INT(test_report(&report, "silver.a")->state, FLOW_PUBLISHED);
    CHECK_INT(test_report(&report, "gold.g")->state, FLOW_GATED);
    CHECK(test_report(&report, "gold.g")->veto);
    CHECK_INT(test_report(&report, "gold.h")->state, FLOW_UPSTREAM_FAILED);
    CHECK_INT(test_report(&report, "gold.i")->state, FLOW_PUBLISHED);
    CHECK_INT(report.state, FLOW_GATED);
    Err err;
    CHECK_CODE(flow_report_code(&report, &err), E_GATED);
    CHECK(str_starts(test_text(&lake, "SELECT n FROM gold.g"), STR("NOT_FOUND")));
    /* What failed is what --failed runs again; a mended input lets it through. */
    FlowPlan plan;
    FlowPlanQuery failed = { .failed = true };
    CHECK_OK(flow_plan(lake.flow, &failed, &lake.arena, &plan, &lake.err), &lake.err);
    CHECK_INT(plan.count, 2);
    test_ingest(&lake, "k.csv", STR("iata\nORD\nBAD\n"));
    report = test_run(&lake, &ALL);
    check_published(&report);
    CHECK_STR(test_text(&lake, "SELECT n FROM gold.h"), STR("2"));
}

static const char DAYS[] =
    "ts,v\n2020-01-01 05:00:00,1\n2020-01-01 06:00:00,1\n2020-01-02 05:00:00,1\n2020-01-02 06:00:00,1\n"
    "2020-01-03 05:00:00,1\n2020-01-03 06:00:00,1\n2020-01-04 07:00:00,1\n2020-01-09 07:00:00,1\n";

TEST(flow_intervals_fill_and_flag_incomplete_days)
{
    TestLake lake AUTO(test_lake_done);
    test_lake_open(&lake);
    test_ingest(&lake, "d.csv", str_z(DAYS));
    const FlowFile files[] = {
        MODEL_FILE("d", "MODEL (name silver.d, kind INCREMENTAL_BY_TIME_RANGE (time_column ts, "
                        "batch_size 2), start '2020-01-01', end '2020-01-05', "
                        "complete (min_part 0.6, on_low hold), columns (ts TIMESTAMP, v BIGINT)); "
                        "SELECT ts, v FROM source('t', 'd.csv') WHERE CAST(ts AS TIMESTAMP) >= $start_ts "
                        "AND CAST(ts AS TIMESTAMP) < $end_ts"),
    };
    test_load(&lake, files, 1);
    FlowPlan plan;
    FlowPlanQuery first = { .to_us = INT64_C(1577923200) * 1000000 }; /* 2020-01-02 */
    CHECK_OK(flow_plan(lake.flow, &first, &lake.arena, &plan, &lake.err), &lake.err);
    CHECK_INT(plan.steps[0].days, 1);
    FlowReport report = test_run(&lake, &first);
    check_published(&report);
    CHECK_STR(test_text(&lake, "SELECT count(*) FROM silver.d"), STR("2"));
    CHECK_OK(flow_plan(lake.flow, &ALL, &lake.arena, &plan, &lake.err), &lake.err);
    CHECK_INT(plan.steps[0].days, 3);
    CHECK_INT(plan.steps[0].interval_count, 2);
    CHECK_INT(plan.steps[0].reason, FLOW_INTERVALS);
    report = test_run(&lake, &ALL);
    check_published(&report);
    /* 2020-01-04 has one row of a median of two: held back, and no longer missing. */
    CHECK_INT(report.models[0].days_incomplete, 1);
    CHECK_STR(test_text(&lake, "SELECT count(*) FROM silver.d"), STR("6"));
    CHECK_OK(flow_plan(lake.flow, &ALL, &lake.arena, &plan, &lake.err), &lake.err);
    CHECK_INT(plan.count, 0);
    /* Forced again for one day: the rows of that day are replaced, not doubled. */
    FlowPlanQuery again = { .from_us = INT64_C(1577923200) * 1000000,
                            .to_us = INT64_C(1578009600) * 1000000, .force = true };
    report = test_run(&lake, &again);
    check_published(&report);
    CHECK_INT(report.models[0].rows_out, 2);
    CHECK_STR(test_text(&lake, "SELECT count(*) FROM silver.d"), STR("6"));
    /* Dropped: no day of it is there any more, whatever the ledger had. */
    CHECK_OK(catalog_table_drop(lake.catalog, (TableName){ STR("silver"), STR("d") }, NULL, &lake.err), &lake.err);
    CHECK_OK(flow_plan(lake.flow, &ALL, &lake.arena, &plan, &lake.err), &lake.err);
    CHECK_INT(plan.count, 1);
    CHECK_INT(plan.steps[0].reason, FLOW_NEW);
    CHECK_INT(plan.steps[0].days, 4);
    report = test_run(&lake, &ALL);
    check_published(&report);
    CHECK_STR(test_text(&lake, "SELECT count(*) FROM silver.d"), STR("6"));
    CHECK_OK(flow_plan(lake.flow, &ALL, &lake.arena, &plan, &lake.err), &lake.err);
    CHECK_INT(plan.count, 0);
}

TEST(flow_makes_anew_what_was_dropped)
{
    TestLake lake AUTO(test_lake_done);
    test_lake_open(&lake);
    test_ingest(&lake, "a.csv", STR("id\n1\n"));
    const FlowFile files[] = {
        MODEL_FILE("a", "MODEL (name silver.a, columns (id BIGINT)); SELECT id FROM source('t', 'a.csv')"),
        MODEL_FILE("v", "MODEL (name silver.v, kind VIEW); SELECT id FROM silver.a"),
        MODEL_FILE("b", "MODEL (name gold.b); SELECT sum(id) AS s FROM silver.v"),
    };
    test_load(&lake, files, ARRAY_LEN(files));
    FlowReport report = test_run(&lake, &ALL);
    check_published(&report);
    static const char *const names[] = { "v", "a" };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        CHECK_OK(catalog_table_drop(lake.catalog, (TableName){ STR("silver"), str_z(names[i]) }, NULL, &lake.err),
                 &lake.err);
        FlowPlan plan;
        FlowPlanQuery failed = { .failed = true };
        CHECK_OK(flow_plan(lake.flow, &failed, &lake.arena, &plan, &lake.err), &lake.err);
        CHECK_INT(plan.count, 0);
        report = test_run(&lake, &ALL);
        check_published(&report);
        CHECK_STR(report.models[0].model, i == 0 ? STR("silver.v") : STR("silver.a"));
        CHECK_STR(test_text(&lake, "SELECT s FROM gold.b"), STR("1"));
        CHECK_STR(test_text(&lake, "SELECT count(*) FROM silver.v"), STR("1"));
        CHECK_OK(flow_plan(lake.flow, &ALL, &lake.arena, &plan, &lake.err), &lake.err);
        CHECK_INT(plan.count, 0);
    }
}

TEST(flow_refuses_what_cannot_be_a_project)
{
    TestLake lake AUTO(test_lake_done);
    test_lake_open(&lake);
    static const struct { FlowFile files[2]; Code code; const char *says; } cases[] = {
        { { MODEL_FILE("a", "MODEL (name silver.a); SELECT * FROM silver.b"),
            MODEL_FILE("b", "MODEL (name silver.b); SELECT * FROM silver.a") },
          E_INVALID, "silver.a -> silver.b -> silver.a" },
        { { MODEL_FILE("a", "MODEL (name silver.a); SELECT 1 AS x"),
            MODEL_FILE("b", "MODEL (name silver.a); SELECT 2 AS x") }, E_INVALID, "two models" },
        { { MODEL_FILE("a", "MODEL (name silver.a, suite 'suites/x.json'); SELECT 1 AS x"),
            MODEL_FILE("b", "MODEL (name silver.b); SELECT 2 AS x") }, E_NOT_FOUND, "suites/x.json" },
        { { MODEL_FILE("a", "MODEL (name silver.a, kind INCREMENTAL_BY_TIME_RANGE (time_column t), "
                            "start '2020-01-01'); SELECT now() AS t"),
            MODEL_FILE("b", "MODEL (name silver.b); SELECT 2 AS x") }, E_INVALID, "now" },
        { { MODEL_FILE("a", "MODEL (name silver.a); SELECT 1 AS x; SELECT 2 AS x"),
            MODEL_FILE("b", "MODEL (name silver.b); SELECT 2 AS x") }, E_COUNT, "" },
        { { MODEL_FILE("a", "MODEL (name silver.a); DROP TABLE x"),
            MODEL_FILE("b", "MODEL (name silver.b); SELECT 2 AS x") }, E_COUNT, "" },
        { { { STR_INIT("a.sql"), STR_INIT("x") },
            MODEL_FILE("b", "MODEL (name silver.b); SELECT 2 AS x") }, E_INVALID, "neither" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Code code = flow_load(lake.flow, cases[i].files, 2, &lake.err);
        bool good = cases[i].code == E_COUNT ? code != E_OK : code == cases[i].code;
        if (!good || str_find(str_z(lake.err.text), str_z(cases[i].says)) < 0)
            test_failed(__FILE__, __LINE__, "case %zu gave %s: %s", i, code_info(code)->name,
                        lake.err.text);
    }
    FlowModelInfo *models;
    size_t count;
    CHECK_OK(flow_models(lake.flow, &lake.arena, &models, &count, &lake.err), &lake.err);
    CHECK_INT(count, 0);
}

TEST(flow_failure_names_file_and_line_and_changes_nothing)
{
    TestLake lake AUTO(test_lake_done);
    test_lake_open(&lake);
    const FlowFile files[] = {
        MODEL_FILE("a", "MODEL (name silver.a);\nSELECT 1 AS x,\n  no_such_column AS y\n"),
    };
    test_load(&lake, files, 1);
    FlowReport report = test_run(&lake, &ALL);
    CHECK_INT(report.models[0].state, FLOW_FAILED_STATE);
    CHECK_STR(str_z(report.models[0].error->place), STR("models/a.sql:3"));
    Str json;
    CHECK_OK(flow_run_state(lake.flow, report.run_id, &lake.arena, &json, &lake.err), &lake.err);
    CHECK(str_find(json, STR("\"state\":\"failed\"")) >= 0);
    CHECK(str_starts(test_text(&lake, "SELECT x FROM silver.a"), STR("NOT_FOUND")));
}

TEST(flow_seed_and_project_survive_a_restart)
{
    char dir[OS_PATH_MAX];
    Arena arena AUTO(arena_done) = { 0 };
    Str copy = str_copy(&arena, str_z(test_dir()));
    memcpy(dir, copy.ptr, copy.len);
    dir[copy.len] = 0;
    const FlowFile files[] = {
        { STR("seeds/names.csv"), STR("name,iata\n\"DALLAS/FORT WORTH, INTL\",DFW\n") },
        MODEL_FILE("s", "MODEL (name silver.s, kind SEED (path 'seeds/names.csv'), "
                        "columns (name VARCHAR, iata VARCHAR));"),
    };
    TestLake lake;
    test_lake_open_at(&lake, dir, "drives");
    test_load(&lake, files, 2);
    FlowReport report = test_run(&lake, &ALL);
    check_published(&report);
    test_lake_done(&lake);
    test_lake_open_at(&lake, dir, "drives");
    FlowModelInfo *models;
    size_t count;
    CHECK_OK(flow_models(lake.flow, &lake.arena, &models, &count, &lake.err), &lake.err);
    CHECK_INT(count, 1);
    CHECK_STR(models[0].state, STR("published"));
    FlowPlan plan;
    CHECK_OK(flow_plan(lake.flow, &ALL, &lake.arena, &plan, &lake.err), &lake.err);
    CHECK_INT(plan.count, 0);
    CHECK_STR(test_text(&lake, "SELECT name FROM silver.s WHERE iata = 'DFW'"),
              STR("DALLAS/FORT WORTH, INTL"));
    test_lake_done(&lake);
}

static const FlowCheck *check_named(const FlowModelReport *report, const char *type)
{
    static const FlowCheck none = { .element_count = -1 };
    for (size_t i = 0; i < report->check_count; i++) {
        if (str_ends(report->checks[i].type, str_z(type)))
            return &report->checks[i];
    }
    return &none;
}

TEST(flow_counts_as_great_expectations_does)
{
    TestLake lake AUTO(test_lake_done);
    test_lake_open(&lake);
    const FlowFile files[] = {
        MODEL_FILE("t", "MODEL (name sandbox.t, audits ("
                        "not_null(column := a, severity := warning), "
                        "accepted_values(column := a, values := ('x', 'y'), mostly := 0.7, severity := warning), "
                        "unique(column := a, severity := warning), "
                        "match_regex(column := nothing, regex := 'z', severity := warning), "
                        "number_of_rows(min := 5, max := 5), "
                        "of_type(column := a, type := 'VARCHAR'), "
                        "no_rows(query := 'SELECT * FROM {batch} WHERE a = ''q''', severity := info), "
                        "no_rows(query := 'SELECT nope FROM {batch}', severity := info))); "
                        "SELECT unnest(['x', 'x', 'y', 'q', NULL]) AS a, CAST(NULL AS VARCHAR) AS nothing"),
        MODEL_FILE("e", "MODEL (name sandbox.e, audits (not_null(column := a), unique(column := a))); "
                        "SELECT 1 AS a WHERE false"),
    };
    test_load(&lake, files, ARRAY_LEN(files));
    FlowReport report = test_run(&lake, &ALL);
    const FlowModelReport *t = test_report(&report, "sandbox.t");
    const FlowCheck *check = check_named(t, "not_be_null");
    CHECK_INT(check->element_count, 5);
    CHECK_INT(check->unexpected_count, 1);
    CHECK(!check->success && check->fraction == 0.8); /* of all rows */
    check = check_named(t, "be_in_set");
    CHECK_INT(check->missing_count, 1);
    CHECK_INT(check->unexpected_count, 1);
    CHECK(check->success && check->fraction == 0.75); /* of rows that are not NULL; mostly 0.7 */
    check = check_named(t, "be_unique");
    CHECK_INT(check->unexpected_count, 2); /* every member of the group */
    check = check_named(t, "match_regex");
    CHECK(check->success && check->missing_count == 5); /* nothing to judge: true */
    CHECK(check_named(t, "to_be_between")->success);
    CHECK(check_named(t, "of_type")->success);
    CHECK_INT(test_report(&report, "sandbox.e")->state, FLOW_PUBLISHED); /* empty: vacuously true */
    if (t->check_count != 8) {
        test_failed(__FILE__, __LINE__, "%zu checks: %s", t->check_count, t->error ? t->error->text : "");
        return;
    }
    /* A check that cannot be evaluated counts as critical, and does not hide the others. */
    CHECK_INT(t->checks[6].unexpected_count, 1);
    CHECK_STR(t->checks[7].severity, STR("critical"));
    CHECK(str_find(t->checks[7].result_json, STR("\"raised_exception\":true")) >= 0);
    CHECK_INT(t->state, FLOW_GATED);
    Str json = t->checks[1].result_json;
    CHECK(str_find(json, STR("\"unexpected_percent\":25")) >= 0);
    CHECK(str_find(json, STR("\"partial_unexpected_list\":[\"q\"]")) >= 0);
    CHECK(str_find(json, STR("\"unexpected_percent_total\":20")) >= 0);
}

TEST(flow_shows_objects_of_bronze_at_once)
{
    TestLake lake AUTO(test_lake_done);
    test_lake_open(&lake);
    test_ingest(&lake, "a.csv", STR("id\n1\n"));
    CHECK_STR(test_text(&lake, "SELECT source || ' ' || name || ' ' || size_bytes || ' ' || content_type "
                               "FROM bronze.objects"), STR("t a.csv 5 text/csv"));
}

static void cancel_in_write(void *arg, const FlowProgress *progress)
{
    if (str_eq(progress->phase, STR("write")))
        __atomic_store_n((bool *)arg, true, __ATOMIC_RELAXED);
}

TEST(flow_cancel_ends_the_statement_and_publishes_nothing)
{
    TestLake lake AUTO(test_lake_done);
    test_lake_open(&lake);
    const FlowFile files[] = {
        MODEL_FILE("t", "MODEL (name sandbox.t); SELECT count(*) AS n FROM range(1000000) AS a(x), "
                        "range(1000000) AS b(y) WHERE x * y % 7 = 3"),
    };
    test_load(&lake, files, 1);
    bool cancel = false;
    FlowPlan plan;
    FlowReport report = { 0 };
    FlowRunOptions options = { .progress = cancel_in_write, .progress_arg = &cancel, .cancel = &cancel };
    CHECK_OK(flow_plan(lake.flow, &ALL, &lake.arena, &plan, &lake.err), &lake.err);
    CHECK_OK(flow_run(lake.flow, &plan, &options, &lake.arena, &report, &lake.err), &lake.err);
    CHECK_INT(report.models[0].state, FLOW_CANCELLED);
    CHECK_CODE(flow_report_code(&report, &lake.err), E_CANCELLED);
    CHECK(str_starts(test_text(&lake, "SELECT n FROM sandbox.t"), STR("NOT_FOUND")));
}

TEST(flow_a_run_that_was_killed_is_not_running_any_more)
{
    TestLake lake AUTO(test_lake_done);
    test_lake_open(&lake);
    MetaRun run = { .run_id = STR("r1"), .state = STR("running"), .started_us = 1, .detail_json = STR("{}") };
    MetaTxn txn;
    meta_txn_init(&txn, &lake.arena);
    meta_put_run(&txn, &run);
    CHECK_OK(meta_commit(lake.meta, &txn, &lake.err), &lake.err);
    flow_free(&lake.flow);
    FlowOptions flow = { .os = os_real(), .sql = lake.sql, .catalog = lake.catalog, .store = lake.store,
                         .meta = lake.meta, .source = lake.source, .threads = 2 };
    CHECK_OK(flow_open(&flow, &lake.flow, &lake.err), &lake.err);
    MetaRead *read AUTO(meta_read_end) = NULL;
    MetaRun found = { 0 };
    CHECK_OK(meta_read_begin(lake.meta, &read, &lake.err), &lake.err);
    CHECK_OK(meta_get_run(read, STR("r1"), STR_NONE, &lake.arena, &found, &lake.err), &lake.err);
    CHECK_STR(found.state, STR("cancelled"));
    CHECK(found.ended_us > 0);
}
