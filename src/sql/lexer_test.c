/* Cases of lexer.c and text_pass.c. */
#include "sql/lexer.h"

#include "base/buf.h"
#include "base/test.h"

static size_t kinds_of(const char *text, char *out)
{
    static const char LETTERS[] = ".NQS9P,!";
    SqlLexer lexer = { .text = str_z(text) };
    size_t count = 0;
    for (;;) {
        SqlToken token = sql_token_next(&lexer);
        if (token.kind == SQL_TOKEN_END)
            break;
        out[count++] = LETTERS[token.kind];
        if (token.kind == SQL_TOKEN_BAD || count == 60)
            break;
    }
    out[count] = '\0';
    return count;
}

TEST(lexer_kinds)
{
    static const struct {
        const char *text, *kinds;
    } ROWS[] = {
        { "", "" },
        { " \n\t", "" },
        { "select a, 'b' from \"c\"", "NN,SNQ" },
        { "-- only a comment", "" },
        { "/* a /* nested */ one */ x", "N" },
        { "/* open /* */", "!" },
        { "'it''s' x", "SN" },
        { "'open", "!" },
        { "\"open", "!" },
        { "e'a\\'b' x", "SN" },
        { "'a\\' x", "SN" },
        { "$$it's; --$$ x", "SN" },
        { "$tag$ $$ ; $tag$ x", "SN" },
        { "$tag$ open $other$", "!" },
        { "$1 + $name + ?", "P,P,P" },
        { "1 1.5 .5 1e10 1.5e-3 0xff 1_000", "9999999" },
        { "a.b.c", "N,N,N" },
        { "a=>b a=b", "N,NN,N" },
        { "x'00ff' b'01'", "SS" },
        { "gr\xc3\xbc\xc3\x9f = 1", "N,9" },
        { "a;b", "N,N" },
        { "\"a\"\"b\"", "Q" },
    };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        char got[64];
        kinds_of(ROWS[i].text, got);
        CHECK_STR(str_z(got), str_z(ROWS[i].kinds));
    }
    SqlLexer nul = { .text = str_of("a\0b", 3) };
    CHECK_INT(sql_token_next(&nul).kind, SQL_TOKEN_NAME);
    CHECK_INT(sql_token_next(&nul).kind, SQL_TOKEN_BAD);
    CHECK_INT(sql_token_next(&nul).kind, SQL_TOKEN_END);
}

TEST(lexer_values)
{
    Arena arena AUTO(arena_done) = { 0 };
    static const struct {
        const char *text, *value;
    } ROWS[] = {
        { "name", "name" },   { "\"a\"\"b\"", "a\"b" }, { "'it''s'", "it's" },
        { "$$a'b$$", "a'b" }, { "$x$a$$b$x$", "a$$b" }, { "''", "" },
        { "e'ab'", "ab" },
    };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        SqlLexer lexer = { .text = str_z(ROWS[i].text) };
        SqlToken token = sql_token_next(&lexer);
        CHECK_STR(sql_token_value(&arena, &token), str_z(ROWS[i].value));
    }
}

TEST(lexer_comment_depth_is_bounded)
{
    Buf buf AUTO(buf_done);
    buf_init(&buf, 1 << 20);
    for (int i = 0; i < LEXER_COMMENT_DEPTH_MAX + 1; i++)
        buf_put(&buf, STR("/*"));
    for (int i = 0; i < LEXER_COMMENT_DEPTH_MAX + 1; i++)
        buf_put(&buf, STR("*/"));
    SqlLexer lexer = { .text = buf_str(&buf) };
    CHECK_INT(sql_token_next(&lexer).kind, SQL_TOKEN_BAD);
}

static SqlText prepared(const char *text, Arena *arena)
{
    SqlText out = { 0 };
    Err err;
    CHECK_OK(sql_text_prepare(str_z(text), 0, arena, &out, &err), &err);
    CHECK_INT(out.len, str_z(text).len);
    return out;
}

/* Runs of spaces count as one, at the end as none; that lengths stay is checked by prepared(). */
static Str squeezed(Arena *arena, Str text)
{
    char *out = arena_alloc(arena, text.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] != ' ' || (len > 0 && out[len - 1] != ' '))
            out[len++] = text.ptr[i];
    return str_trim(str_of(out, len));
}

/* What stood behind the change stands at the same place. */
static void check_tail(const SqlText *text, const char *before, const char *tail)
{
    Str user = str_z(before);
    Str end = str_z(tail);
    CHECK_STR(str_from(sql_text_str(text), user.len - end.len), end);
}

TEST(text_time_travel_is_cut_in_place)
{
    static const struct {
        const char *text, *after;
        const char *ns, *name, *value;
        bool timestamp, is_text;
        int64_t position;
    } ROWS[] = {
        { "select * from b.e FOR VERSION AS OF 12", "select * from \"@0\".e", "b", "e", "12", false,
          false, 14 },
        { "select * from b.e for timestamp as of '2026-01-01' AS x where x.a",
          "select * from \"@0\".e AS x where x.a", "b", "e", "2026-01-01", true, true, 14 },
        { "select * from b.e AT (VERSION => 12) x", "select * from \"@0\".e x", "b", "e", "12",
          false, false, 14 },
        { "from \"b\".\"e f\" for system_time as of timestamp '2026-01-01 10:00'",
          "from \"@0\".\"e f\"", "b", "e f", "2026-01-01 10:00", true, true, 5 },
        { "from b.e FOR VERSION AS OF 'run:7'", "from \"@0\".e", "b", "e", "run:7", false, true,
          5 },
        { "from e AT(VERSION=>1)", "from \"@0\".e", "", "e", "1", false, false, 5 },
    };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        SqlText text = prepared(ROWS[i].text, &arena);
        CHECK_STR(squeezed(&arena, sql_text_str(&text)), str_z(ROWS[i].after));
        CHECK_INT(text.travel_count, 1);
        if (text.travel_count != 1)
            continue;
        CHECK_STR(text.travels[0].ns, str_z(ROWS[i].ns));
        CHECK_STR(text.travels[0].name, str_z(ROWS[i].name));
        CHECK_STR(text.travels[0].value, str_z(ROWS[i].value));
        CHECK_INT(text.travels[0].timestamp, ROWS[i].timestamp);
        CHECK_INT(text.travels[0].is_text, ROWS[i].is_text);
        CHECK_INT(text.travels[0].position, ROWS[i].position);
    }
}

TEST(text_without_time_travel_stays)
{
    static const char *const ROWS[] = {
        "select 'x FOR VERSION AS OF 1'",       "select substring(a from 1 for 3)",
        "select a at time zone 'UTC' from t",   "select [x for x in [1, 2]]",
        "-- b.e FOR VERSION AS OF 1\nselect 1", "select version, timestamp from t",
    };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        SqlText text = prepared(ROWS[i], &arena);
        CHECK_STR(sql_text_str(&text), str_z(ROWS[i]));
        CHECK_INT(text.travel_count, 0);
    }
}

TEST(text_broken_time_travel_says_where)
{
    static const struct {
        const char *text;
        int64_t position;
    } ROWS[] = {
        { "from b.e FOR VERSION AS OF", 26 },     { "from b.e FOR VERSION AS OF x", 27 },
        { "from b.e FOR VERSION AS OF 1.5", 27 }, { "from b.e FOR TIMESTAMP AS OF 7", 29 },
        { "from b.e AT (VERSION => 7", 9 },       { "from a.b.c.d FOR VERSION AS OF 1", 13 },
        { "from 'x' FOR VERSION AS OF 1", 9 },    { "select 'open", 7 },
    };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        SqlText text;
        Err err;
        CHECK_CODE(sql_text_prepare(str_z(ROWS[i].text), 0, &arena, &text, &err), E_SYNTAX);
        CHECK_INT(err.position, ROWS[i].position);
    }
}

TEST(text_iceberg_words)
{
    Arena arena AUTO(arena_done) = { 0 };
    SqlText text = prepared("CREATE NAMESPACE IF NOT EXISTS gold", &arena);
    CHECK_STR(sql_text_str(&text), STR("CREATE SCHEMA    IF NOT EXISTS gold"));
    text = prepared("create table gold.namespace (a int) tblproperties ('x' = 'y')", &arena);
    CHECK_STR(sql_text_str(&text),
              STR("create table gold.namespace (a int) WITH          ('x' = 'y')"));
    text = prepared("select namespace from t", &arena);
    CHECK_STR(sql_text_str(&text), STR("select namespace from t"));
}

TEST(text_three_part_columns)
{
    static const struct {
        const char *text, *after;
    } ROWS[] = {
        { "select b.e.i from b.e", "select   e.i from b.e" },
        { "select \"b\".E.i, B.e.* from b.e", "select     E.i,   e.* from b.e" },
        { "select b.e.s.x from b.e", "select   e.s.x from b.e" },
        { "select x.b.e.i from b.e", "select x.b.e.i from b.e" },
        { "select 'b.e.i', b.f.i from b.e", "select 'b.e.i', b.f.i from b.e" },
    };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        SqlText text = prepared(ROWS[i].text, &arena);
        sql_text_shorten(&text, STR("b"), STR("e"));
        CHECK_STR(sql_text_str(&text), str_z(ROWS[i].after));
    }
}

TEST(text_calls_are_replaced)
{
    Arena arena AUTO(arena_done) = { 0 };
    Err err;
    SqlText text =
        prepared("select * from read_csv('s3://b/(k', header := (true)) where 1", &arena);
    CHECK_OK(sql_text_replace_call(&text, 14, STR("\"@1\" read_csv"), &err), &err);
    CHECK_STR(squeezed(&arena, sql_text_str(&text)), STR("select * from \"@1\" read_csv where 1"));
    check_tail(&text, "select * from read_csv('s3://b/(k', header := (true)) where 1", "where 1");
    CHECK_CODE(sql_text_replace_call(&text, 0, STR("x"), &err), E_SYNTAX);
    CHECK_CODE(sql_text_replace_call(&text, 1000, STR("x"), &err), E_SYNTAX);
    text = prepared("from f(1", &arena);
    CHECK_CODE(sql_text_replace_call(&text, 5, STR("x"), &err), E_SYNTAX);
    text = prepared("from f(1)", &arena);
    CHECK_CODE(sql_text_replace_call(&text, 5, STR("longer than that"), &err), E_SYNTAX);
}
