#include "flow/body.h"

#include "base/test.h"

TEST(body_finds_sources_outside_quotes_and_comments)
{
    static const struct { Str sql; size_t count; } cases[] = {
        { STR_INIT("SELECT * FROM source('a', 'b.csv')"), 1 },
        { STR_INIT("SELECT 'source(''a'', ''b'')' FROM source ( 'a' , 'b' )"), 1 },
        { STR_INIT("-- source('a', 'b')\nSELECT 1 /* source('a', 'b') */"), 0 },
        { STR_INIT("SELECT resource('a', 'b'), \"source\" FROM t.source('a','b')"), 0 },
        { STR_INIT("SELECT source FROM source(x, 'b')"), 0 },
        { STR_INIT("FROM source('a','b') JOIN source('c','d', all := true)"), 2 },
        { STR_INIT("FROM source('a','b'"), 0 },
        { STR_INIT("source("), 0 },
        { STR_INIT("'open"), 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        BodySource sources[BODY_SOURCES_MAX];
        CHECK_INT(body_sources(cases[i].sql, sources), cases[i].count);
    }
}

TEST(body_replaces_a_source_in_place)
{
    Str sql = STR("SELECT 1 FROM source('a', 'b', all := true) AS s");
    BodySource source;
    Arena arena AUTO(arena_done) = { 0 };
    CHECK_INT(body_sources(sql, &source), 1);
    CHECK(source.all);
    CHECK_STR(source.name, STR("b"));
    char *copy = (char *)(uintptr_t)str_copy_z(&arena, sql);
    body_replace(copy, &source, 7);
    CHECK_STR(str_z(copy), STR("SELECT 1 FROM \"@s7\"                         AS s"));
}

static Body body_of(Arena *arena, Model *model, Suite *suite, Str text, Err *err)
{
    *suite = (Suite){ 0 };
    CHECK_OK(model_parse(arena, STR("m.sql"), text, model, err), err);
    CHECK_OK(suite_add_audits(arena, model, suite, err), err);
    return (Body){ .model = model, .suite = suite, .sql = model->sql, .run_id = STR("r1") };
}

TEST(body_separates_casts_and_critical_rows)
{
    Arena arena AUTO(arena_done) = { 0 };
    Err err;
    Model model;
    Suite suite;
    Body body = body_of(&arena, &model, &suite, STR(
        "MODEL (name silver.t, dedup all, columns (a BIGINT, b VARCHAR), "
        "audits (not_null(column := b), not_null(column := a, severity := warning))) "
        "SELECT a, b, _file, _row, _raw FROM _s0"), &err);
    IceField fields[] = {
        { .name = STR("a"), .type = ice_type_simple(ICE_STRING) },
        { .name = STR("b"), .type = ice_type_simple(ICE_STRING) },
        { .name = STR("_file"), .type = ice_type_simple(ICE_STRING) },
        { .name = STR("_row"), .type = ice_type_simple(ICE_LONG) },
        { .name = STR("_raw"), .type = ice_type_simple(ICE_STRING) },
    };
    IceSchema given = { .fields = fields, .field_count = ARRAY_LEN(fields) };
    CHECK_OK(body_fit(&arena, &body, &given, &err), &err);
    CHECK_INT(body.column_count, 2);
    CHECK(body.columns[0].cast && !body.columns[1].cast && body.separates && body.has_raw);
    Str sql;
    size_t at;
    CHECK_OK(body_good(&arena, &body, &sql, &at, &err), &err);
    CHECK_STR(str_sub(sql, at, model.sql.len), model.sql);
    CHECK(str_find(sql, STR("SELECT DISTINCT \"a\", \"b\" FROM _typed WHERE NOT (_c0 OR "
                            "(coalesce(\"b\" IS NULL, false)))")) >= 0);
    CHECK_OK(body_bad(&arena, &body, &sql, &at, &err), &err);
    CHECK(str_find(sql, STR("CASE WHEN _c0 THEN 'cast(a)' END")) >= 0);
    CHECK(str_find(sql, STR("'expect_column_values_to_not_be_null(b)'")) >= 0);
    CHECK(str_find(sql, STR("not_be_null(a)")) < 0);
}

TEST(body_and_declared_columns_must_fit)
{
    static const struct { Str columns; Code code; } cases[] = {
        { STR_INIT("a BIGINT, b VARCHAR"), E_OK },
        { STR_INIT("a BIGINT"), E_INVALID },
        { STR_INIT("a BIGINT, b VARCHAR, c DATE"), E_INVALID },
        { STR_INIT("a HUGEINT, b VARCHAR"), E_TYPE },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        Err err;
        Model model;
        Suite suite;
        Body body = body_of(&arena, &model, &suite, str_format(&arena,
            "MODEL (name silver.t, columns (" STR_FMT ")) SELECT 1", STR_ARG(cases[i].columns)), &err);
        IceField fields[] = { { .name = STR("a"), .type = ice_type_simple(ICE_STRING) },
                              { .name = STR("b"), .type = ice_type_simple(ICE_STRING) } };
        IceSchema given = { .fields = fields, .field_count = 2 };
        CHECK_CODE(body_fit(&arena, &body, &given, &err), cases[i].code);
    }
}
