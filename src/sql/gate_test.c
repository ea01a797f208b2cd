/* The gate over what the engine's own json_serialize_sql says of each text. */
#include "sql/gate.h"

#include "base/buf.h"
#include "base/test.h"
#include "sql/border.h"

static Code never_open(void *self, Str address, void **ret_file, BorderFileInfo *ret_info, Err *err)
{
    (void)self, (void)ret_file, (void)ret_info;
    return err_set(err, E_NOT_FOUND, "no object " STR_FMT, STR_ARG(address));
}

static Code gate(const char *text, Arena *arena, Gate *ret_gate, Err *err)
{
    static Border *border;
    static BorderConn *conn;
    if (border == NULL) {
        BorderOptions options = { .files = { .open = never_open } };
        TRY(border_open(&options, &border, err));
        TRY(border_connect(border, &conn, err));
    }
    Str json;
    TRY(border_serialize(conn, str_z(text), arena, &json, err));
    return gate_check(json, arena, ret_gate, err);
}

TEST(gate_lets_reads_through)
{
    static const struct {
        const char *text;
        const char *refs; /* ns.name of each, with a space behind */
    } ROWS[] = {
        { "select 1", "" },
        { "from b.c", "b.c " },
        { "table b.c", "b.c " },
        { "values (1, 2), (3, 4)", "" },
        { "select * from a.t x join b.u using (k) where exists (select 1 from c.v)",
          "a.t b.u c.v " },
        { "with q as (select * from a.t) select * from q", "a.t " },
        { "with q as (select * from q) select 1", ".q " },
        { "with q as (select 1), r as (select * from q) select * from r, q", "" },
        { "select (with q as (select 1) select * from q), (select 1 from q)", ".q " },
        { "with recursive t(n) as (select 1 union all select n + 1 from t where n < 9) select * "
          "from t",
          "" },
        { "select * from (select * from a.t) s, lateral (select s.x + 1 y)", "a.t " },
        { "select 1 union all select x from a.t order by 1 limit 3", "a.t " },
        { "select sum(x) over (partition by y order by z), row_number() over w from a.t window w "
          "as (order by x)",
          "a.t " },
        { "select list_transform([1, 2], x -> x + 1), [y for y in [1] if y > 0]", "" },
        { "select * from range(3) r(i), unnest([1, 2]) u(x), generate_series(1, 2) g", "" },
        { "select cast(a as decimal(9, 2)), a::int[], try_cast(b as struct(x int)), interval '1' "
          "day from a.t",
          "a.t " },
        { "pivot a.t on (x) in (1, 2) using sum(y)", "a.t " },
        { "unpivot a.t on x, y into name n value v", "a.t " },
        { "describe select * from a.t", "a.t " },
        { "summarize a.t", "a.t " },
        { "select * exclude (a) replace (b + 1 as b), columns('a.*') from a.t", "a.t " },
        { "select a.b.c, x.y from n.a", "n.a " },
        { "select count(*), count(distinct x), string_agg(x, ',' order by y) from a.t group by all",
          "a.t " },
        { "select case when a then 1 else 2 end, a between 1 and 2, a in (1, 2), a is null, not a "
          "from n.t",
          "n.t " },
        { "select x like 'a%', x similar to 'b', x ilike 'c', x || 'd', x -> '$.a', x ->> 'b' from "
          "n.t",
          "n.t " },
        { "select * from a.t tablesample 10 percent", "a.t " },
        { "select * from a.t qualify row_number() over (order by x) = 1", "a.t " },
        { "select $1, $name, ?1", NULL },
        { "select date '2026-01-01', extract(year from d), date_trunc('day', d) from n.t", "n.t " },
        { "select x.upper() from n.t", "n.t " },
        { "select 'a' collate nocase", "" },
        { "select grouping(a), a from n.t group by rollup (a)", "n.t " },
    };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        Gate got;
        Err err;
        if (ROWS[i].refs == NULL)
            continue;
        CHECK_OK(gate(ROWS[i].text, &arena, &got, &err), &err);
        if (err.code != E_OK && gate(ROWS[i].text, &arena, &got, &err) != E_OK)
            continue;
        Buf refs AUTO(buf_done);
        buf_init(&refs, 1 << 12);
        for (size_t r = 0; r < got.ref_count; r++)
            buf_format(&refs, STR_FMT "." STR_FMT " ", STR_ARG(got.refs[r].ns),
                       STR_ARG(got.refs[r].name));
        CHECK_STR(buf_str(&refs), str_z(ROWS[i].refs));
    }
}

TEST(gate_refuses)
{
    static const struct {
        const char *text;
        Code code;
        int64_t position; /* -2: any */
    } ROWS[] = {
        { "select getvariable('x')", E_FORBIDDEN, 7 },
        { "select 1, current_setting('threads')", E_FORBIDDEN, 10 },
        { "select nextval('s')", E_FORBIDDEN, 7 },
        { "select setseed(1)", E_FORBIDDEN, 7 },
        { "select write_log('x')", E_FORBIDDEN, 7 },
        { "select sleep_ms(10000)", E_FORBIDDEN, 7 },
        { "select pg_sleep(10)", E_FORBIDDEN, 7 },
        { "select current_query()", E_FORBIDDEN, 7 },
        { "select json_serialize_sql('select 1')", E_FORBIDDEN, 7 },
        { "select json_deserialize_sql('{}')", E_FORBIDDEN, 7 },
        { "select stats(1)", E_FORBIDDEN, 7 },
        { "select tarn_hash(1), tarn_cap(1, 2)", E_FORBIDDEN, 7 },
        { "select x.getvariable() from n.t", E_FORBIDDEN, 7 },
        { "select system.main.repeat('x', 3)", E_FORBIDDEN, -2 },
        { "select main.repeat('x', 3)", E_FORBIDDEN, 7 },
        { "select * from read_text('/etc/passwd')", E_FORBIDDEN, 14 },
        { "select * from read_blob('s3://b/k')", E_FORBIDDEN, 14 },
        { "select * from glob('*')", E_FORBIDDEN, 14 },
        { "select * from sniff_csv('s3://b/k')", E_FORBIDDEN, 14 },
        { "select * from parquet_metadata('s3://b/k')", E_FORBIDDEN, 14 },
        { "select * from parquet_scan('s3://b/k')", E_FORBIDDEN, 14 },
        { "select * from query('select 1')", E_FORBIDDEN, 14 },
        { "select * from query_table('t')", E_FORBIDDEN, 14 },
        { "select * from json_execute_serialized_sql('{}')", E_FORBIDDEN, 14 },
        { "select * from duckdb_settings()", E_FORBIDDEN, 14 },
        { "select * from duckdb_secrets()", E_FORBIDDEN, 14 },
        { "select * from pragma_version()", E_FORBIDDEN, 14 },
        { "select * from enable_logging('QueryLog')", E_FORBIDDEN, 14 },
        { "select * from checkpoint()", E_FORBIDDEN, 14 },
        { "select * from tarn_source(0)", E_FORBIDDEN, 14 },
        { "select * from arrow_scan(1, 2, 3)", E_FORBIDDEN, 14 },
        { "select * from seq_scan('t')", E_FORBIDDEN, 14 },
        { "select * from test_all_types()", E_FORBIDDEN, 14 },
        { "select * from '/etc/passwd'", E_FORBIDDEN, 14 },
        { "select * from 'https://example.org/x.csv'", E_FORBIDDEN, 14 },
        { "select * from 'x.parquet'", E_FORBIDDEN, 14 },
        { "select * from read_csv('/etc/passwd')", E_FORBIDDEN, 14 },
        { "select * from read_csv('https://example.org/x.csv')", E_FORBIDDEN, 14 },
        { "select * from read_parquet(['s3://b/k', '/etc/passwd'])", E_FORBIDDEN, 14 },
        { "select * from read_json('s3:' || '//b/k')", E_INVALID, -2 },
        { "select * from read_json($1)", E_INVALID, -2 },
        { "select * from read_csv()", E_INVALID, 14 },
        { "select * from source('skies')", E_INVALID, 14 },
        { "select (select max(x) from glob('*') t(x))", E_FORBIDDEN, -2 },
        { "with q as (select * from read_text('x')) select 1", E_FORBIDDEN, -2 },
        { "select * from n.t where x in (select getvariable('y'))", E_FORBIDDEN, -2 },
        { "select * from n.t order by nextval('s')", E_FORBIDDEN, -2 },
        { "select sum(x) filter (where getvariable('a')) from n.t", E_FORBIDDEN, -2 },
        { "select sum(x) over (order by getvariable('a')) from n.t", E_FORBIDDEN, -2 },
        { "select * from n.t limit getvariable('a')", E_FORBIDDEN, -2 },
        { "select list_transform([1], x -> getvariable('a'))", E_FORBIDDEN, -2 },
        { "select case when getvariable('a') then 1 end", E_FORBIDDEN, -2 },
        { "values (getvariable('a'))", E_FORBIDDEN, -2 },
        { "with duckdb_settings as (select 1) select * from duckdb_settings", E_FORBIDDEN, -2 },
        { "show tables", E_UNSUPPORTED, -2 },
        { "select repeat('x', 2000000000)", E_LIMIT, 7 },
        { "select repeat('x', 2e9::bigint)", E_LIMIT, 7 },
        { "select lpad('x', 2000000000, 'y')", E_LIMIT, 7 },
        { "select printf('%2000000000d', 1)", E_LIMIT, 7 },
        { "select printf('%*d', 2000000000, 1)", E_LIMIT, 7 },
        { "select format('{:>{}}', 'x', 2000000000)", E_LIMIT, 7 },
        { "select format(f, 1) from n.t", E_FORBIDDEN, 7 },
        { "select 1; select 2", E_INVALID, -2 },
        { "copy (select 1) to 'x'", E_UNSUPPORTED, -2 },
        { "insert into t values (1)", E_UNSUPPORTED, -2 },
        { "selec 1", E_SYNTAX, 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        Gate got;
        Err err;
        err_clear(&err);
        Code code = gate(ROWS[i].text, &arena, &got, &err);
        if (code != ROWS[i].code)
            test_failed(__FILE__, __LINE__, "%s gave %s, wanted %s (%s)", ROWS[i].text,
                        code_info(code)->name, code_info(ROWS[i].code)->name, err.text);
        else if (ROWS[i].position != -2 && err.position != ROWS[i].position)
            test_failed(__FILE__, __LINE__, "%s: position %lld, wanted %lld", ROWS[i].text,
                        (long long)err.position, (long long)ROWS[i].position);
    }
}

TEST(gate_offers_the_nearest_function)
{
    Arena arena AUTO(arena_done) = { 0 };
    Gate got;
    Err err;
    CHECK_CODE(gate("select date_trnc('day', x) from n.t", &arena, &got, &err), E_FORBIDDEN);
    CHECK_STR(str_z(err.hint), STR("did you mean date_trunc?"));
}

TEST(gate_notes_what_is_volatile)
{
    static const struct {
        const char *text;
        bool is_volatile;
        int64_t position;
    } ROWS[] = {
        { "select 1", false, -1 },
        { "select now()", true, 7 },
        { "select current_date", true, 7 },
        { "select 1, uuid()", true, 10 },
        { "select x from n.t where d < current_timestamp", true, 28 },
        { "select random() from n.t", true, 7 },
        { "select t.current_date from n.t", false, -1 },
    };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        Gate got = { 0 };
        Err err;
        CHECK_OK(gate(ROWS[i].text, &arena, &got, &err), &err);
        CHECK_INT(got.has_volatile, ROWS[i].is_volatile);
        CHECK_INT(got.volatile_position, ROWS[i].position);
    }
}

TEST(gate_reads_objects)
{
    Arena arena AUTO(arena_done) = { 0 };
    Gate got;
    Err err;
    CHECK_OK(gate("select * from read_csv(['s3://b/1', 's3://b/2'], header := true) c, "
                  "source('skies', 'a.csv')",
                  &arena, &got, &err),
             &err);
    CHECK_INT(got.raw_count, 2);
    CHECK_STR(got.raws[0].function, STR("read_csv"));
    CHECK_STR(got.raws[0].alias, STR("c"));
    CHECK_INT(got.raws[0].text_count, 2);
    CHECK_STR(got.raws[0].texts[1], STR("s3://b/2"));
    CHECK_INT(got.raws[0].position, 14);
    CHECK_STR(got.raws[1].texts[0], STR("skies"));
    CHECK_STR(got.raws[1].texts[1], STR("a.csv"));
}

TEST(gate_bounds_depth)
{
    Arena arena AUTO(arena_done) = { 0 };
    Buf buf AUTO(buf_done);
    buf_init(&buf, 1 << 20);
    buf_put(&buf, STR("select "));
    for (int i = 0; i < 900; i++)
        buf_put(&buf, STR("(select "));
    buf_put(&buf, STR("1"));
    for (int i = 0; i < 900; i++)
        buf_put(&buf, STR(")"));
    buf_put_char(&buf, '\0');
    Gate got;
    Err err;
    Code code = gate(buf.ptr, &arena, &got, &err);
    CHECK(code == E_LIMIT || code == E_SYNTAX || code == E_INVALID);
}

TEST(gate_functions_are_in_order)
{
    GateFunction function;
    CHECK(gate_function(STR("SUM"), &function) && !function.is_volatile && !function.is_capped);
    CHECK(gate_function(STR("formatreadablesize"), &function));
    CHECK(gate_function(STR("now"), &function) && function.is_volatile);
    CHECK(gate_function(STR("repeat"), &function) && function.is_capped);
    CHECK(gate_function(STR("||"), &function) && gate_function(STR("!__postfix"), &function));
    CHECK(!gate_function(STR("getvariable"), &function) && !gate_function(STR(""), &function));
    static const char *const ALL[] = {
#define FUNCTION(name, kind, trait) name,
#define TABLE_FUNCTION(name, trait)
#include "sql/functions.def"
#undef FUNCTION
#undef TABLE_FUNCTION
    };
    for (size_t i = 0; i < ARRAY_LEN(ALL); i++)
        CHECK(gate_function(str_z(ALL[i]), &function));
    for (size_t i = 1; i < ARRAY_LEN(ALL); i++)
        CHECK(str_cmp(str_z(ALL[i - 1]), str_z(ALL[i])) < 0);
}
