/* Covers border.cc, border_files.cc, border_names.cc, border_functions.cc; fake_files.c stands in for the
 * store. */
#include "sql/border.h"

#include "base/test.h"
#include "format/arrow.h"
#include "sql/border_parse.h"
#include "sql/fake_files.h"

#include <string.h>

/* An instance over files in memory, one connection. */
typedef struct Rig {
    FakeFiles fake;
    BorderSink sink;
    Border *border;
    BorderConn *conn;
    Err err;
} Rig;

static uint32_t hash_i64_fake(int64_t n)
{
    return (uint32_t)n * 2;
}
static uint32_t hash_bytes_fake(Str s, uint32_t seed)
{
    return (uint32_t)s.len + seed;
}
static uint32_t hash_decimal_fake(__int128 n)
{
    return (uint32_t)n * 3;
}

static void rig_open(Rig *rig, unsigned threads)
{
    fake_files_init(&rig->fake);
    rig->sink = fake_files_sink(&rig->fake);
    rig->border = NULL;
    rig->conn = NULL;
    err_clear(&rig->err);
    BorderOptions options = { .files = fake_files_reader(&rig->fake),
                              .threads = threads,
                              .temp_dir = test_dir(),
                              .hash_i64 = hash_i64_fake,
                              .hash_bytes = hash_bytes_fake,
                              .hash_decimal = hash_decimal_fake };
    CHECK_OK(border_open(&options, &rig->border, &rig->err), &rig->err);
    CHECK_OK(border_connect(rig->border, &rig->conn, &rig->err), &rig->err);
}

static void rig_close(Rig *rig)
{
    border_disconnect(&rig->conn);
    border_close(&rig->border);
    CHECK_INT(rig->fake.open_now, 0);
    fake_files_done(&rig->fake);
}

/* Runs to the end and sums the first column (int64) and rows. */
static Code run(Rig *rig, const BorderRequest *request, int64_t *ret_sum, int64_t *ret_rows)
{
    BorderQuery *query = NULL;
    Err *err = &rig->err;
    *ret_sum = *ret_rows = 0;
    err_clear(err);
    TRY(border_query_start(rig->conn, request, &query, err));
    BorderStep step = BORDER_MORE;
    Code code = E_OK;
    while (code == E_OK && step != BORDER_READY)
        code = border_query_step(query, &step, err);
    while (code == E_OK) {
        struct ArrowArray array;
        size_t bytes;
        code = border_query_fetch(query, 65536, 1 << 20, &array, &bytes, err);
        if (code != E_OK || !array.release)
            break;
        const int64_t *values = array.children[0]->buffers[1];
        for (int64_t i = 0;
             str_eq(border_query_column_type(query, 0), STR("BIGINT")) && i < array.length; i++)
            *ret_sum += values[array.children[0]->offset + i];
        *ret_rows += array.length;
        array.release(&array);
    }
    border_query_free(&query);
    return code;
}

static Code run_text(Rig *rig, const char *text, int64_t *ret_sum, int64_t *ret_rows)
{
    BorderRequest request = { .text = str_z(text) };
    return run(rig, &request, ret_sum, ret_rows);
}

TEST(border_selects)
{
    Rig rig;
    rig_open(&rig, 2);
    int64_t sum, rows;
    CHECK_OK(run_text(&rig, "select range as a, 'x' as b from range(100000)", &sum, &rows),
             &rig.err);
    CHECK_INT(sum, 100000LL * 99999 / 2);
    CHECK_INT(rows, 100000);
    CHECK_OK(run_text(&rig, "select 1::bigint as a where false", &sum, &rows), &rig.err);
    CHECK_INT(rows, 0);
    BorderParam params[] = { { .kind = BORDER_PARAM_I64, .i64 = 40 },
                             { .name = STR("more"), .kind = BORDER_PARAM_TEXT, .text = STR("2") } };
    BorderRequest named = { .text = STR("select $more::bigint"),
                            .params = &params[1],
                            .param_count = 1 };
    CHECK_OK(run(&rig, &named, &sum, &rows), &rig.err);
    CHECK_INT(sum, 2);
    BorderRequest placed = { .text = STR("select (? + 2)::bigint"),
                             .params = params,
                             .param_count = 1 };
    CHECK_OK(run(&rig, &placed, &sum, &rows), &rig.err);
    CHECK_INT(sum, 42);
    rig_close(&rig);
}

TEST(border_writes_through_the_sink_only)
{
    Rig rig;
    rig_open(&rig, 2);
    int64_t sum, rows;
    BorderRequest request = { .text =
                                  STR("copy (select range as i from range(300000)) to "
                                      "'s3://stage/a.parquet' (format parquet, return_stats)") };
    CHECK_CODE(run(&rig, &request, &sum, &rows), E_FORBIDDEN);
    request.sink = &rig.sink;
    CHECK_OK(run(&rig, &request, &sum, &rows), &rig.err);
    CHECK(fake_files_find(&rig.fake, STR("s3://stage/a.parquet")) != NULL);
    CHECK_OK(run_text(&rig, "select sum(i)::bigint from read_parquet('s3://stage/a.parquet')", &sum,
                      &rows),
             &rig.err);
    CHECK_INT(sum, 300000LL * 299999 / 2);
    size_t preads = rig.fake.preads;
    CHECK_OK(run_text(&rig, "select sum(i)::bigint from read_parquet('s3://stage/a.parquet')", &sum,
                      &rows),
             &rig.err);
    CHECK_INT(rig.fake.preads, preads); /* the cache of blocks has them */
    /* another version under the same address is other bytes */
    request.text = STR("copy (select 7::bigint as i from range(10)) to 's3://stage/a.parquet'");
    CHECK_OK(run(&rig, &request, &sum, &rows), &rig.err);
    CHECK_OK(run_text(&rig, "select sum(i)::bigint from read_parquet('s3://stage/a.parquet')", &sum,
                      &rows),
             &rig.err);
    CHECK_INT(sum, 70);
    /* a failed write is the sink's error and leaves no finished file */
    rig.fake.fail_write = rig.fake.writes + 2;
    request.text = STR("copy (select random() as i from range(3000000)) to 's3://stage/b.parquet'");
    CHECK_CODE(run(&rig, &request, &sum, &rows), E_NO_SPACE);
    CHECK(!fake_files_find(&rig.fake, STR("s3://stage/b.parquet")));
    CHECK_CODE(run_text(&rig, "select * from read_parquet('s3://none/x.parquet')", &sum, &rows),
               E_NOT_FOUND);
    CHECK_STR(str_z(rig.err.text), STR("there is no object s3://none/x.parquet"));
    rig_close(&rig);
}

TEST(border_partitions_by_ordinal)
{
    Rig rig;
    rig_open(&rig, 2);
    BorderRequest request = {
        .text = STR(
            "copy (select i, k, tarn_ordinal(k::varchar, (i % 2)::varchar) as __part from (select "
            "range as i, case when range % 3 = 2 then null else range % 3 end as k from "
            "range(6000))) to 's3://stage/p' (format parquet, partition_by (__part))"),
        .sink = &rig.sink
    };
    BorderQuery *query = NULL;
    CHECK_OK(border_query_start(rig.conn, &request, &query, &rig.err), &rig.err);
    BorderStep step = BORDER_MORE;
    Code code = E_OK;
    while (code == E_OK && step != BORDER_READY)
        code = border_query_step(query, &step, &rig.err);
    CHECK_OK(code, &rig.err);
    size_t parts = 0;
    CHECK_INT(border_query_tuples(query, &parts), 6);
    CHECK_INT(parts, 2);
    size_t nulls = 0;
    for (size_t i = 0; i < border_query_tuples(query, &parts); i++)
        nulls += !border_query_tuple_part(query, i, 0).ptr;
    CHECK_INT(nulls, 2);
    border_query_free(&query);
    CHECK(rig.fake.count >= 6);
    if (rig.fake.count == 0)
        fake_files_put(&rig.fake, STR("none"), STR(""));
    CHECK(str_starts(str_z(rig.fake.items[0].address), STR("s3://stage/p/__part=")));
    rig_close(&rig);
}

TEST(border_names)
{
    Rig rig;
    rig_open(&rig, 1);
    int64_t sum, rows;
    BorderBinding bindings[] = {
        { .schema = STR("bronze"),
          .name = STR("events"),
          .sql = STR("select range as i from range(10)") },
        { .schema = STR("gold"),
          .name = STR("v"),
          .sql = STR("select i * 2 as i from bronze.events") },
        { .schema = STR("information_schema"),
          .name = STR("tables"),
          .sql = STR("select 5::bigint as n") },
        { .schema = STR("gold"),
          .name = STR("secret"),
          .code = E_FORBIDDEN,
          .error = STR("not yours"),
          .hint = STR("ask") },
        { .name = STR("bare"), .sql = STR("select 3::bigint as n") },
        { .schema = STR("gold"), .name = STR("loop"), .sql = STR("select * from gold.loop") },
        { .schema = STR("gold"), .name = STR("bad"), .sql = STR("select cast('x' as int) as i") },
    };
    BorderRequest request = { .bindings = bindings, .binding_count = ARRAY_LEN(bindings) };
    static const struct {
        const char *text;
        int64_t sum;
    } good[] = {
        { "select sum(i)::bigint from bronze.events", 45 },
        { "select sum(e.i + v.i)::bigint from BRONZE.Events e join gold.v on v.i = e.i", 40 },
        { "select events.i from bronze.events where i = 4", 4 },
        { "select n from information_schema.tables", 5 },
        { "select n from bare", 3 },
        { "with bare as (select 9::bigint as n) select n from bare", 9 },
        { "select (select max(i) from gold.v)::bigint", 18 },
        { "select 1::bigint from bare where exists (select 1 from bronze.events where i = 3)", 1 },
    };
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        request.text = str_z(good[i].text);
        CHECK_OK(run(&rig, &request, &sum, &rows), &rig.err);
        CHECK_INT(sum, good[i].sum);
    }
    static const struct {
        const char *text;
        Code code;
        int64_t position;
        const char *says;
    } bad[] = {
        { "select 1 from gold.none", E_NOT_FOUND, 14, "gold.none" },
        { "select 1 from bare, (select * from gold.secret)", E_FORBIDDEN, 35, "not yours" },
        { "select 1 from duckdb_settings", E_NOT_FOUND, 14, "duckdb_settings" },
        { "select 1 from main.duckdb_settings", E_NOT_FOUND, 14, "duckdb_settings" },
        { "select 1 from pg_catalog.pg_class", E_NOT_FOUND, 14, "pg_class" },
        { "select 1 where 1 in (select 1 from sqlite_master)", E_NOT_FOUND, 35, "sqlite_master" },
        { "select 1 from 's3://a/b.parquet'", E_NOT_FOUND, 14, "s3://a/b.parquet" },
        { "select nope from bare", E_INVALID, 7, "nope" },
        { "select 1 frm bare", E_SYNTAX, 13, "bare" },
        { "from (show tables)", E_FORBIDDEN, -1, "" },
        { "select * from gold.bad", E_TYPE, -1, "Could not convert" },
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        request.text = str_z(bad[i].text);
        Code code = run(&rig, &request, &sum, &rows);
        CHECK(code != E_OK);
        if (bad[i].says[0]) {
            CHECK_CODE(code, bad[i].code);
            CHECK_INT(rig.err.position, bad[i].position);
            CHECK(str_find(str_z(rig.err.text), str_z(bad[i].says)) >= 0);
        }
    }
    rig_close(&rig);
}

TEST(border_is_closed)
{
    Rig rig;
    rig_open(&rig, 1);
    int64_t sum, rows;
    static const char *const texts[] = {
        "create table t (a int)",
        "insert into t values (1)",
        "drop table t",
        "set threads = 4",
        "install httpfs",
        "load httpfs",
        "attach 'x.db'",
        "copy (select 1) to '/tmp/tarn-x.csv'",
        "export database '/tmp/tarn-x'",
        "pragma version",
        "call pragma_version()",
        "explain analyze copy (select 1) to '/tmp/tarn-x.csv'",
        "prepare p as select 1",
        "select 1; select 2",
        "",
        "select * from read_csv('/etc/passwd')",
        "select * from read_text('/etc/passwd')",
        "select * from read_text('file:///etc/passwd')",
        "select * from glob('/etc/*')",
        "select * from read_blob('/proc/self/environ')",
        "select * from read_parquet('http://127.0.0.1:1/x.parquet')",
        "select * from read_parquet('https://127.0.0.1:1/x.parquet')",
        "select * from '/etc/passwd'",
        "select * from sniff_csv('/etc/passwd')",
        "select * from read_csv('../../etc/passwd')",
        "select * from read_parquet('hf://x/y.parquet')",
        "select * from tarn_source(0)",
        "select * from read_json('gcs://a/b.json')",
        "from read_duckdb('/tmp/x.db')",
    };
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (run_text(&rig, texts[i], &sum, &rows) == E_OK)
            test_failed(__FILE__, __LINE__, "this ran: %s", texts[i]);
    /* also with a sink, which is asked for s3:// only */
    static const char *const copies[] = {
        "copy (select 1) to '/tmp/tarn-x.csv'",
        "copy (select 1) to 'x.parquet'",
        "copy (select 1) to '/dev/stdout'",
        "copy (select * from duckdb_settings) to 's3://a/b'",
        "copy t from 's3://a/b.parquet'",
    };
    for (size_t i = 0; i < ARRAY_LEN(copies); i++) {
        BorderRequest request = { .text = str_z(copies[i]), .sink = &rig.sink };
        if (run(&rig, &request, &sum, &rows) == E_OK)
            test_failed(__FILE__, __LINE__, "this ran: %s", copies[i]);
    }
    /* the spill folder is the engine's, not the text's */
    Arena arena AUTO(arena_done) = { 0 };
    Str spy = str_format(&arena, "select * from read_text('%s/x')", test_dir());
    BorderRequest request = { .text = spy };
    CHECK_CODE(run(&rig, &request, &sum, &rows), E_FORBIDDEN);
    rig_close(&rig);
}

TEST(border_hashes)
{
    Rig rig;
    rig_open(&rig, 1);
    int64_t sum, rows;
    static const struct {
        const char *text;
        int64_t sum;
    } cases[] = {
        { "select tarn_hash(21::bigint)::bigint", 42 },
        { "select tarn_hash(21::int)::bigint", 42 },
        { "select tarn_hash(date '1970-01-03')::bigint", 4 },
        { "select tarn_hash(timestamp '1970-01-01 00:00:01')::bigint", 2000000 },
        { "select tarn_hash('abc'::varchar)::bigint", 3 },
        { "select tarn_hash('ab'::blob)::bigint", 2 },
        { "select tarn_hash(1.5::decimal(4,1))::bigint", 45 },
        { "select tarn_hash(1.5::decimal(30,1))::bigint", 45 },
        { "select tarn_hash(uuid())::bigint", 16 },
        { "select coalesce(tarn_hash(null::bigint)::bigint, 7)", 7 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CHECK_OK(run_text(&rig, cases[i].text, &sum, &rows), &rig.err);
        CHECK_INT(sum, cases[i].sum);
    }
    rig_close(&rig);
}

TEST(border_serializes)
{
    Rig rig;
    rig_open(&rig, 1);
    Arena arena AUTO(arena_done) = { 0 };
    Str json = STR_NONE;
    CHECK_OK(border_serialize(rig.conn, STR("select a from b.c"), &arena, &json, &rig.err),
             &rig.err);
    CHECK(str_starts(json, STR("{\"error\":false")));
    CHECK_CODE(border_serialize(rig.conn, STR("drop table x"), &arena, &json, &rig.err),
               E_UNSUPPORTED);
    CHECK_CODE(border_serialize(rig.conn, STR("select from from"), &arena, &json, &rig.err),
               E_SYNTAX);
    CHECK_INT(rig.err.position, 12);
    rig_close(&rig);
}

TEST(border_spills_below_its_folder)
{
    FakeFiles fake;
    fake_files_init(&fake);
    Err err;
    err_clear(&err);
    Rig rig = { 0 };
    BorderOptions options = { .files = fake_files_reader(&fake),
                              .threads = 1,
                              .memory_bytes = 64 << 20,
                              .temp_dir = test_dir() };
    CHECK_OK(border_open(&options, &rig.border, &err), &err);
    CHECK_OK(border_connect(rig.border, &rig.conn, &err), &err);
    int64_t sum, rows;
    CHECK_OK(
        run_text(&rig,
                 "select max(i)::bigint from (select range as i, hash(range)::varchar as h from "
                 "range(2000000) order by h desc limit 1500000)",
                 &sum, &rows),
        &rig.err);
    CHECK_INT(rows, 1);
    border_disconnect(&rig.conn);
    border_close(&rig.border);
    fake_files_done(&fake);
}

/* Text that nests without end must end as an error, not the process. */
TEST(border_survives_deep_texts)
{
    static const struct {
        const char *before, *open, *middle, *close, *after;
        size_t times;
    } rows[] = {
        { "select ", "(", "1", ")", "", 100000 },
        { "select ", "abs(", "1", ")", "", 20000 },
        { "select ", "1+", "1", "", "", 200000 },
        { "select ", "not ", "true", "", "", 100000 },
        { "select ", "- ", "1", "", "", 100000 },
        { "select ", "[", "1", "]", "", 100000 },
        { "select ", "case when true then ", "1", " end", "", 20000 },
        { "select * from ", "(select * from ", "range(1)", ")", "", 5000 },
        { "", "select 1 union all ", "select 1", "", "",
          20000 }, /* over a minute without the limit */
        { "", "(", "select 1", ")", "", 50000 },
        { "select 1 where ", "true and ", "true", "", "", 100000 },
        { "select 1 where ", "exists (select 1 where ", "true", ")", "", 5000 },
        { "with ", "a as (with ", "b as (select 1) select 1", ") select 1", " select 1", 5000 },
        { "select x", "::int", "", "", "", 100000 },
        { "select x", "[1]", "", "", "", 100000 },
        { "select null::", "struct(a ", "int", ")", "", 20000 },
        { "select * from range(1) a ", "join range(1) using (range) ", "", "", "", 5000 },
        { "select ", "x -> ", "x", "", "", 100000 },
    };
    Rig rig;
    rig_open(&rig, 1);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Buf text AUTO(buf_done);
        Arena arena AUTO(arena_done) = { 0 };
        buf_init(&text, 8 << 20);
        buf_put(&text, str_z(rows[i].before));
        for (size_t n = 0; n < rows[i].times; n++)
            buf_put(&text, str_z(rows[i].open));
        buf_put(&text, str_z(rows[i].middle));
        for (size_t n = 0; n < rows[i].times; n++)
            buf_put(&text, str_z(rows[i].close));
        buf_put(&text, str_z(rows[i].after));
        BorderStatement *statements;
        size_t count;
        Str json;
        int64_t sum, got;
        IGNORE(border_parse(buf_str(&text), &arena, &statements, &count, &rig.err));
        IGNORE(border_serialize(rig.conn, buf_str(&text), &arena, &json, &rig.err));
        BorderRequest request = { .text = buf_str(&text) };
        Code code = run(&rig, &request, &sum, &got);
        bool chain = str_find(buf_str(&text), STR("union all select 1 union")) >= 0 ||
                     str_find(buf_str(&text), STR("true and true and")) >= 0;
        CHECK(!chain || code == E_LIMIT);
        CHECK(!border_is_broken(rig.border));
    }
    CHECK_OK(run_text(&rig, "select 1::bigint", &(int64_t){ 0 }, &(int64_t){ 0 }), &rig.err);
    rig_close(&rig);
}
