/* model.c, and model_lex.c through it. */
#include "flow/model.h"

#include "base/test.h"

static const char GOOD[] =
    "-- a comment\n"
    "MODEL (\n"
    "  name silver.flights, /* the fact */\n"
    "  kind INCREMENTAL_BY_TIME_RANGE (time_column date, batch_size 30, lookback 2),\n"
    "  cron '@daily', start '2001-01-01', end '2001-07-02',\n"
    "  grain (origin, date),\n"
    "  dedup (origin, \"Flight No\"),\n"
    "  columns (date TIMESTAMP, \"Flight No\" DECIMAL(9, 2), tags MAP(VARCHAR, INTEGER)),\n"
    "  complete (min_part 0.4, on_low hold),\n"
    "  suite 'suites/flights.json',\n"
    "  audits (not_null(columns := (a, b), severity := 'warning'), number_of_rows(min := 1)),\n"
    "  gate (min_score 0.95, on_fail warn),\n"
    "  partitioned_by (day(date), bucket(16, origin), origin),\n"
    "  sorted_by (date),\n"
    "  owner 'it''s us', description 'x', tags (a, b),\n"
    ");\n"
    "SELECT 1 AS a -- ends here\n;\n";

TEST(model_header_is_read_whole)
{
    Arena arena AUTO(arena_done) = { 0 };
    Err err;
    Model m = { 0 };
    CHECK_OK(model_parse(&arena, STR("models/f.sql"), str_z(GOOD), &m, &err), &err);
    CHECK_STR(m.name, STR("silver.flights"));
    CHECK_STR(m.ns, STR("silver"));
    CHECK_STR(m.table, STR("flights"));
    CHECK_INT(m.kind, MODEL_INCREMENTAL);
    CHECK_STR(m.time_column, STR("date"));
    CHECK_INT(m.batch_size, 30);
    CHECK_INT(m.lookback, 2);
    CHECK_INT(m.end_us - m.start_us, INT64_C(182) * 86400 * 1000000);
    CHECK_INT(m.grain_count, 2);
    CHECK_INT(m.dedup, DEDUP_KEY);
    CHECK_STR(m.dedup_keys[1], STR("Flight No"));
    CHECK_INT(m.column_count, 3);
    CHECK_STR(m.columns[1].name, STR("Flight No"));
    CHECK_STR(m.columns[1].type, STR("DECIMAL(9, 2)"));
    CHECK_STR(m.columns[2].type, STR("MAP(VARCHAR, INTEGER)"));
    CHECK(m.complete_min == 0.4 && m.complete_hold);
    CHECK_STR(m.suite, STR("suites/flights.json"));
    CHECK_INT(m.audit_count, 2);
    CHECK_STR(m.audits[0].args[0].values[1], STR("b"));
    CHECK_STR(m.audits[0].args[1].values[0], STR("warning"));
    CHECK(m.gate_min == 0.95);
    CHECK_INT(m.on_fail, ON_FAIL_WARN);
    CHECK_STR(m.partitioned_by[1], STR("bucket(16, origin)"));
    CHECK_STR(m.owner, STR("it's us"));
    CHECK_STR(m.sql, STR("SELECT 1 AS a -- ends here"));
    CHECK_STR(str_sub(m.text, m.sql_at, 6), STR("SELECT"));
}

TEST(model_defaults_follow_the_namespace)
{
    static const struct { Str text; double gate; ModelOnFail on_fail; } cases[] = {
        { STR_INIT("MODEL (name silver.a, kind FULL) SELECT 1"), 0.90, ON_FAIL_QUARANTINE },
        { STR_INIT("MODEL (name gold.a, kind FULL); SELECT 1"), 0.99, ON_FAIL_BLOCK },
        { STR_INIT("model(name sandbox.a)SELECT 1"), 0, ON_FAIL_QUARANTINE },
        { STR_INIT("MODEL (name gold.a, gate (min_score 0)) SELECT 1"), 0, ON_FAIL_BLOCK },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        Err err;
        Model m = { 0 };
        CHECK_OK(model_parse(&arena, STR("m.sql"), cases[i].text, &m, &err), &err);
        CHECK(m.gate_min == cases[i].gate);
        CHECK_INT(m.on_fail, cases[i].on_fail);
        CHECK_INT(m.kind, MODEL_FULL);
    }
}

TEST(model_headers_that_are_wrong_say_where)
{
    static const struct { Str text; Code code; const char *says; } cases[] = {
        { STR_INIT(""), E_SYNTAX, "begins with MODEL" },
        { STR_INIT("SELECT 1"), E_SYNTAX, "begins with MODEL" },
        { STR_INIT("MODEL (name a.b"), E_SYNTAX, "not closed" },
        { STR_INIT("MODEL (name 'a.b)\nSELECT"), E_SYNTAX, "quote" },
        { STR_INIT("MODEL (name a.b,, kind FULL) SELECT 1"), E_SYNTAX, "missing" },
        { STR_INIT("MODEL (name a.b; kind FULL) SELECT 1"), E_SYNTAX, "means nothing" },
        { STR_INIT("MODEL (kind FULL) SELECT 1"), E_INVALID, "has no name" },
        { STR_INIT("MODEL (name a.b, kind FULL)"), E_INVALID, "SELECT is missing" },
        { STR_INIT("MODEL (name a, kind FULL) SELECT 1"), E_INVALID, "NAMESPACE.TABLE" },
        { STR_INIT("MODEL (name a.b.c) SELECT 1"), E_INVALID, "NAMESPACE.TABLE" },
        { STR_INIT("MODEL (name A.b) SELECT 1"), E_INVALID, "NAMESPACE.TABLE" },
        { STR_INIT("MODEL (name quarantine.b) SELECT 1"), E_INVALID, "no model may write" },
        { STR_INIT("MODEL (name a.b, nmae c) SELECT 1"), E_INVALID, "no property" },
        { STR_INIT("MODEL (name a.b, name c.d) SELECT 1"), E_INVALID, "twice" },
        { STR_INIT("MODEL (name a.b, kind TABLE) SELECT 1"), E_INVALID, "FULL, VIEW" },
        { STR_INIT("MODEL (name a.b, kind FULL (x 1)) SELECT 1"), E_INVALID, "no such property" },
        { STR_INIT("MODEL (name a.b, kind INCREMENTAL_BY_TIME_RANGE (time_column t)) SELECT 1"),
          E_INVALID, "a start" },
        { STR_INIT("MODEL (name a.b, kind SEED) "), E_INVALID, "a seed needs" },
        { STR_INIT("MODEL (name a.b, kind SEED (path 'x.csv')) SELECT 1"), E_INVALID, "no SELECT" },
        { STR_INIT("MODEL (name a.b, start '2001-01-01 05:00') SELECT 1"), E_INVALID, "a day" },
        { STR_INIT("MODEL (name a.b, start '2001-01-02', end '2001-01-02') SELECT 1"), E_INVALID,
          "not after" },
        { STR_INIT("MODEL (name a.b, gate (min_score 1.5)) SELECT 1"), E_INVALID, "0 to 1" },
        { STR_INIT("MODEL (name a.b, gate (min_score nan)) SELECT 1"), E_INVALID, "0 to 1" },
        { STR_INIT("MODEL (name a.b, gate (on_fail panic)) SELECT 1"), E_INVALID, "on_fail" },
        { STR_INIT("MODEL (name a.b, columns (a)) SELECT 1"), E_INVALID, "name TYPE" },
        { STR_INIT("MODEL (name a.b, audits (not_null)) SELECT 1"), E_INVALID, "an audit is" },
        { STR_INIT("MODEL (name a.b, complete (min_part 0.5)) SELECT 1"), E_INVALID, "incremental" },
        { STR_INIT("MODEL (name a.b, cron '5 4 * * *') SELECT 1"), E_INVALID, "@daily" },
        { STR_INIT("MODEL (name a.b, grain ((((((((((((((((((a)))))))))))))))))) SELECT 1"), E_LIMIT,
          "too deep" },
        { STR_INIT("MODEL (name a.\xFF) SELECT 1"), E_INVALID, "UTF-8" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        Err err;
        Model m;
        err_clear(&err);
        Code code = model_parse(&arena, STR("models/m.sql"), cases[i].text, &m, &err);
        if (code != cases[i].code || str_find(str_z(err.text), str_z(cases[i].says)) < 0)
            test_failed(__FILE__, __LINE__, "case %zu gave %s: %s", i, code_info(code)->name, err.text);
        CHECK(str_starts(str_z(err.place), STR("models/m.sql:")));
    }
}

TEST(model_error_names_the_line)
{
    Arena arena AUTO(arena_done) = { 0 };
    Err err;
    Model m;
    CHECK_CODE(model_parse(&arena, STR("m.sql"), STR("MODEL (\n  name a.b,\n  suit 'x'\n) SELECT 1"), &m,
                           &err), E_INVALID);
    CHECK_STR(str_z(err.place), STR("m.sql:3"));
    CHECK(str_find(str_z(err.hint), STR("suite")) >= 0);
}

TEST(model_canonical_text_forgets_layout_only)
{
    static const struct { Str a, b; bool same; } cases[] = {
        { STR_INIT("MODEL (a b)\n\nSELECT 1 -- x\n"), STR_INIT("MODEL (a b) SELECT /* y */ 1"), true },
        { STR_INIT("SELECT 'a  b'"), STR_INIT("SELECT 'a b'"), false },
        { STR_INIT("SELECT 'a -- b'"), STR_INIT("SELECT 'a"), false },
        { STR_INIT("SELECT \"a  b\""), STR_INIT("SELECT \"a b\""), false },
        { STR_INIT("SELECT $$ --x $$"), STR_INIT("SELECT $$"), false },
        { STR_INIT("SELECT $a$ ' $a$  , 1"), STR_INIT("SELECT $a$ ' $a$ , 1"), true },
        { STR_INIT("SELECT 1,2"), STR_INIT("SELECT 1,3"), false },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        bool same = str_eq(model_canonical(&arena, cases[i].a), model_canonical(&arena, cases[i].b));
        if (same != cases[i].same)
            test_failed(__FILE__, __LINE__, "case %zu", i);
    }
}
