/* suite.c, quality_sql.c, and the score of quality.c. */
#include "flow/quality.h"

#include "base/test.h"

TEST(suite_of_great_expectations_is_read)
{
    Arena arena AUTO(arena_done) = { 0 };
    Err err;
    Suite suite = { 0 };
    Str json = STR(
        "{\"name\":\"s\",\"expectations\":["
        "{\"type\":\"expect_column_values_to_be_between\",\"kwargs\":{\"column\":\"d\",\"min_value\":-120,"
        "\"max_value\":2880,\"strict_max\":true,\"mostly\":0.9},\"severity\":\"warning\"},"
        "{\"expectation_type\":\"expect_column_values_to_be_in_set\",\"kwargs\":{\"column\":\"d e\","
        "\"value_set\":[\"it's\",2,2.5]}},"
        "{\"type\":\"UnexpectedRowsExpectation\",\"kwargs\":{\"unexpected_rows_query\":"
        "\"SELECT * FROM {batch}\"}}]}");
    CHECK_OK(suite_parse(&arena, STR("s.json"), json, &suite, &err), &err);
    CHECK_INT(suite.count, 3);
    CHECK_STR(suite.name, STR("s"));
    const Expectation *e = &suite.items[0];
    CHECK_INT(e->severity, SEVERITY_WARNING);
    CHECK_STR(e->min, STR("-120"));
    CHECK(e->strict_max && !e->strict_min && e->mostly == 0.9);
    CHECK_STR(e->key, STR("expect_column_values_to_be_between(d)"));
    e = &suite.items[1];
    CHECK_INT(e->severity, SEVERITY_CRITICAL);
    CHECK_STR(e->values[0], STR("'it''s'"));
    CHECK_STR(e->values[2], STR("2.5"));
    CHECK_INT(suite.items[2].kind, EXPECT_SQL_ROWS);
}

TEST(suite_that_is_wrong_is_refused)
{
#define ONE(item) STR_INIT("{\"expectations\":[" item "]}")
    static const struct { Str json; Code code; } cases[] = {
        { STR_INIT("{"), E_SYNTAX },
        { STR_INIT("{}"), E_INVALID },
        { ONE("{\"type\":\"expect_magic\",\"kwargs\":{}}"), E_INVALID },
        { ONE("{\"type\":\"expect_column_values_to_not_be_null\"}"), E_INVALID },
        { ONE("{\"type\":\"expect_column_values_to_not_be_null\",\"kwargs\":{}}"), E_INVALID },
        { ONE("{\"type\":\"expect_column_values_to_not_be_null\",\"kwargs\":{\"column\":\"a\"},"
              "\"severity\":\"bad\"}"), E_INVALID },
        { ONE("{\"type\":\"expect_column_values_to_be_in_set\",\"kwargs\":{\"column\":\"a\","
              "\"value_set\":[]}}"), E_INVALID },
        { ONE("{\"type\":\"expect_column_values_to_be_in_set\",\"kwargs\":{\"column\":\"a\","
              "\"value_set\":[[1]]}}"), E_INVALID },
        { ONE("{\"type\":\"expect_column_values_to_be_between\",\"kwargs\":{\"column\":\"a\"}}"),
          E_INVALID },
        { ONE("{\"type\":\"expect_column_values_to_be_between\",\"kwargs\":{\"column\":\"a\","
              "\"min_value\":1,\"mostly\":2}}"), E_INVALID },
        { ONE("{\"type\":\"UnexpectedRowsExpectation\",\"kwargs\":{\"unexpected_rows_query\":"
              "\"SELECT 1\"}}"), E_INVALID },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        Err err;
        Suite suite;
        Code code = suite_parse(&arena, STR("s.json"), cases[i].json, &suite, &err);
        if (code != cases[i].code)
            test_failed(__FILE__, __LINE__, "case %zu gave %s", i, code_info(code)->name);
    }
}

TEST(audits_become_expectations)
{
    Arena arena AUTO(arena_done) = { 0 };
    Err err;
    Model m;
    Suite suite = { 0 };
    CHECK_OK(model_parse(&arena, STR("m.sql"), STR(
        "MODEL (name a.b, audits (not_null(columns := (x, y), severity := warning), "
        "unique_combination_of_columns(columns := (x, y)), accepted_range(column := x, min := 0, "
        "max := 9), accepted_values(column := y, values := ('p', 'q')), "
        "references(column := x, table := 'a.c', table_column := 'id'), number_of_rows(min := 1))) "
        "SELECT 1"), &m, &err), &err);
    CHECK_OK(suite_add_audits(&arena, &m, &suite, &err), &err);
    CHECK_INT(suite.count, 7);
    CHECK_INT(suite.items[1].severity, SEVERITY_WARNING);
    CHECK_STR(suite.items[2].key, STR("expect_compound_columns_to_be_unique(x,y)"));
    CHECK_STR(suite.items[3].max, STR("9"));
    CHECK_STR(suite.items[4].values[1], STR("'q'"));
    CHECK_STR(suite.items[5].ref_table, STR("c"));
    CHECK(suite.items[6].min_number == 1);
}

TEST(audits_that_are_wrong_are_refused)
{
    static const Str cases[] = {
        STR_INIT("nott_null(column := x)"), STR_INIT("not_null(colum := x)"), STR_INIT("not_null()"),
        STR_INIT("accepted_range(column := x)"),
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        Err err;
        Model m;
        Suite suite = { 0 };
        Str text = str_format(&arena, "MODEL (name a.b, audits (" STR_FMT ")) SELECT 1",
                              STR_ARG(cases[i]));
        CHECK_OK(model_parse(&arena, STR("m.sql"), text, &m, &err), &err);
        CHECK_CODE(suite_add_audits(&arena, &m, &suite, &err), E_INVALID);
    }
}

TEST(unexpected_conditions_leave_nulls_alone)
{
    static const struct { Expectation e; const char *sql; } cases[] = {
        { { .kind = EXPECT_NOT_NULL }, "(coalesce(\"c\" IS NULL, false))" },
        { { .kind = EXPECT_BETWEEN, .min = STR_INIT("1"), .max = STR_INIT("2"), .strict_max = true },
          "(coalesce(NOT (\"c\" >= 1 AND \"c\" < 2), false) AND \"c\" IS NOT NULL)" },
        { { .kind = EXPECT_BETWEEN, .max = STR_INIT("2"), .condition = STR_INIT("x > 0") },
          "(coalesce(NOT (\"c\" <= 2), false) AND \"c\" IS NOT NULL AND coalesce((x > 0), false))" },
        { { .kind = EXPECT_REGEX, .text = STR_INIT("^a'") },
          "(coalesce(NOT regexp_matches(CAST(\"c\" AS VARCHAR), '^a'''), false) AND \"c\" IS NOT NULL)" },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Str column = STR("c");
        Expectation e = cases[i].e;
        Buf sql AUTO(buf_done);
        buf_init(&sql, 1000);
        e.columns = &column;
        e.column_count = 1;
        quality_put_unexpected(&sql, &e);
        CHECK_STR(buf_str(&sql), str_z(cases[i].sql));
    }
}

static QualityResult score_of(const Expectation *items, FlowCheck *checks, size_t count, ModelOnFail f)
{
    Suite suite = { .items = (Expectation *)(uintptr_t)items, .count = count };
    QualityResult result = { .checks = checks, .count = count };
    for (size_t i = 0; i < count; i++)
        checks[i].severity = severity_name(items[i].severity);
    quality_score(&suite, f, &result);
    return result;
}

TEST(score_is_weighted_by_rows_and_severity)
{
    const Expectation items[] = {
        { .kind = EXPECT_NOT_NULL, .severity = SEVERITY_CRITICAL, .mostly = 1 },
        { .kind = EXPECT_NOT_NULL, .severity = SEVERITY_WARNING, .mostly = 1 },
        { .kind = EXPECT_NOT_NULL, .severity = SEVERITY_INFO, .mostly = 1 },
    };
    FlowCheck checks[] = { { .success = true, .fraction = 1 }, { .success = false, .fraction = 0.7 },
                           { .success = false, .fraction = 0 } };
    QualityResult result = score_of(items, checks, 3, ON_FAIL_BLOCK);
    CHECK(result.score > 0.8999 && result.score < 0.9001); /* (1 + 0.5 * 0.7) / 1.5; info has no weight */
    CHECK(result.success_percent > 33.3 && result.success_percent < 33.4);
    CHECK(!result.veto);
}

TEST(score_has_a_critical_veto)
{
    const Expectation items[] = {
        { .kind = EXPECT_NOT_NULL, .severity = SEVERITY_CRITICAL, .mostly = 1 },
        { .kind = EXPECT_UNIQUE, .severity = SEVERITY_CRITICAL, .mostly = 1 },
    };
    FlowCheck one_row[] = { { .success = false, .fraction = 0.999999 },
                            { .success = true, .fraction = 1 } };
    /* Its rows can be set aside: no veto. Blocked: one row of a million is enough. */
    CHECK(!score_of(items, one_row, 2, ON_FAIL_QUARANTINE).veto);
    CHECK(score_of(items, one_row, 2, ON_FAIL_BLOCK).veto);
    FlowCheck twice[] = { { .success = true, .fraction = 1 }, { .success = false, .fraction = 0.99 } };
    CHECK(score_of(items, twice, 2, ON_FAIL_QUARANTINE).veto);
}

TEST(score_without_expectations_is_one)
{
    QualityResult result = score_of(NULL, NULL, 0, ON_FAIL_BLOCK);
    CHECK(result.score == 1 && result.success_percent == 100 && !result.veto);
}
