/* Covers raw.c and what runs in the worker: raw_call.c, raw_check.c, raw_text.c, raw_worker.c,
 * started by worker_fixture.c; and files.c. */
#include "sql/raw.h"

#include "base/test.h"
#include "format/arrow.h"
#include "format/checksum.h"
#include "format/inflate.h"
#include "os/os.h"
#include "sql/engine.h"
#include "sql/files.h"
#include "sql/raw_priv.h"

#include <string.h>

typedef struct Rig {
    Store *store;
    Engine *engine;
    EngineLease *lease;
    Arena arena;
    Err err;
} Rig;

static void rig_open(Rig *rig)
{
    memset(rig, 0, sizeof *rig);
    err_clear(&rig->err);
    StoreOptions store = { .backend = "memory", .index = "memory", .dir = test_dir() };
    CHECK_OK(store_open(os_real(), &store, &rig->store, &rig->err), &rig->err);
    CHECK_OK(store_bucket_create(rig->store, STR("bronze"), &rig->err), &rig->err);
    EngineOptions options = { .os = os_real(), .files = store_files(rig->store) };
    CHECK_OK(engine_open(&options, &rig->engine, &rig->err), &rig->err);
    CHECK_OK(engine_lease(rig->engine, ENGINE_INTERACTIVE, 0, NULL, &rig->lease, &rig->err),
             &rig->err);
}

static void rig_close(Rig *rig)
{
    engine_return(&rig->lease);
    engine_close(&rig->engine);
    store_free(&rig->store);
    arena_done(&rig->arena);
}

static void put(Rig *rig, const char *key, Str bytes)
{
    StorePut put = { .bucket = STR("bronze"), .key = str_z(key) };
    CHECK_OK(store_put(rig->store, &put, bytes, NULL, &rig->err), &rig->err);
}

/* The rows of `text` over the name `r`, as lines of JSON arrays. */
static Code query(Rig *rig, const RawRequest *request, const char *text, Str *ret_lines)
{
    RawScan *scan AUTO(raw_free) = NULL;
    RawOptions options = { .os = os_real(), .store = rig->store };
    *ret_lines = STR_NONE;
    err_clear(&rig->err);
    TRY(raw_open(&options, request, &scan, &rig->err));
    BorderBinding binding = { .name = STR("r"), .source = raw_source(scan) };
    EngineQuery q = { .request = {
                          .text = str_z(text), .bindings = &binding, .binding_count = 1 } };
    EngineResult *result AUTO(engine_result_free) = NULL;
    TRY(engine_query(rig->lease, &q, &result, &rig->err));
    Buf lines AUTO(buf_done);
    buf_init(&lines, 1 << 20);
    for (;;) {
        ArrowArray array AUTO(arrow_array_done) = { 0 };
        TRY(engine_result_next(result, &array, &rig->err));
        if (!array.release)
            break;
        for (int64_t i = 0; i < array.length; i++) {
            JsonWriter w = json_writer(&lines);
            arrow_put_json_array(&w, engine_result_schema(result), &array, i);
            buf_put_char(&lines, '\n');
        }
    }
    *ret_lines = str_copy(&rig->arena, buf_str(&lines));
    return E_OK;
}

static void check(Rig *rig, const RawRequest *request, const char *text, const char *wanted)
{
    Str lines;
    CHECK_OK(query(rig, request, text, &lines), &rig->err);
    CHECK_STR(lines, str_z(wanted));
}

TEST(raw_names)
{
    RawFormat format;
    CHECK(raw_format_of(STR("s3://b/x.CSV.gz"), &format) && format == RAW_CSV);
    CHECK(raw_format_of(STR("s3://b/x.parquet"), &format) && format == RAW_PARQUET);
    CHECK(raw_format_of(STR("s3://b/x.ndjson.zst"), &format) && format == RAW_JSON);
    CHECK(!raw_format_of(STR("s3://b/x.exe"), &format));
}

TEST(raw_csv)
{
    Rig rig;
    rig_open(&rig);
    put(&rig, "a.csv", STR("id,name,when\n1,\"a, \"\"b\"\"\",2024-01-02\n2,,2024-01-03\n"));
    put(&rig, "b.csv", STR("id;name\n7;x\n8\n9;y;z\n"));
    Str a = STR("s3://bronze/a.csv"), b = STR("s3://bronze/b.csv");
    RawRequest request = { .format = RAW_CSV, .addresses = &a, .address_count = 1, .header = -1 };
    check(&rig, &request, "select id + 1, name, \"when\" from r where id < 3",
          "[2,\"a, \\\"b\\\"\",\"2024-01-02\"]\n[3,null,\"2024-01-03\"]\n");
    request.as_text = true;
    check(&rig, &request, "select * from r",
          "[\"1\",\"a, \\\"b\\\"\",\"2024-01-02\",\"s3://bronze/a.csv\",1,"
          "\"1,\\\"a, \\\"\\\"b\\\"\\\"\\\",2024-01-02\"]\n"
          "[\"2\",null,\"2024-01-03\",\"s3://bronze/a.csv\",2,\"2,,2024-01-03\"]\n");
    RawColumn columns[] = { { STR("name"), STR("") }, { STR("ID"), STR("BIGINT") } };
    request.addresses = &b;
    request.columns = columns;
    request.column_count = 2;
    check(&rig, &request, "select \"ID\", name, _row, _raw from r",
          "[\"7\",\"x\",1,\"7;x\"]\n[null,null,2,\"8\"]\n[null,null,3,\"9;y;z\"]\n");
    check(&rig, &request, "select count(*) from r", "[3]\n");
    columns[0].name = STR("nam");
    Str lines;
    CHECK_CODE(query(&rig, &request, "select * from r", &lines), E_INVALID);
    CHECK_STR(str_z(rig.err.place), STR("s3://bronze/b.csv:1"));
    rig_close(&rig);
}

TEST(raw_json)
{
    Rig rig;
    rig_open(&rig);
    put(&rig, "a.json",
        STR("{\"id\":1,\"tags\":[\"x\"],\"n\":{\"a\":1}}\n{\"id\":2,\"extra\":true}\nnonsense\n"));
    put(&rig, "b.json", STR(" [{\"id\": 5, \"s\": \"t\"}, {\"id\": 6}]"));
    Str a = STR("s3://bronze/a.json"), b = STR("s3://bronze/b.json");
    RawRequest request = { .format = RAW_JSON, .addresses = &b, .address_count = 1 };
    check(&rig, &request, "select id + 1, s from r", "[6,\"t\"]\n[7,null]\n");
    request.as_text = true;
    check(&rig, &request, "select id, s, _row, _raw from r",
          "[\"5\",\"t\",1,\"{\\\"id\\\":5,\\\"s\\\":\\\"t\\\"}\"]\n[\"6\",null,2,\"{\\\"id\\\":6}"
          "\"]\n");
    request.addresses = &a;
    check(&rig, &request, "select id, tags, n, extra, _row from r",
          "[\"1\",\"[\\\"x\\\"]\",\"{\\\"a\\\":1}\",null,1]\n[\"2\",null,null,\"true\",2]\n"
          "[null,null,null,null,3]\n");
    rig_close(&rig);
}

/* A Parquet object made by the engine. */
static void put_parquet(Rig *rig, const char *key, const char *select)
{
    StageSink *sink = stage_sink_new(rig->store, false);
    BorderSink border = stage_sink_border(sink);
    Str text = str_format(&rig->arena, "copy (%s) to 's3://stage/x' (format parquet)", select);
    EngineQuery q = { .request = { .text = text, .sink = &border } };
    EngineResult *result = NULL;
    CHECK_OK(engine_query(rig->lease, &q, &result, &rig->err), &rig->err);
    engine_result_free(&result);
    StorePut put = { .bucket = STR("bronze"),
                     .key = str_z(key),
                     .take_staged = sink->files[0]->staged };
    CHECK_OK(store_publish(rig->store, &put, 1, NULL, &rig->err), &rig->err);
    sink->files[0]->staged = put.take_staged;
    stage_sink_free(&sink);
}

TEST(raw_parquet)
{
    Rig rig;
    rig_open(&rig);
    put_parquet(&rig, "a.parquet",
                "select range as i, 'v' || range as s, [range] as l from range(100000)");
    put_parquet(&rig, "b.parquet", "select 7::bigint as i, 'b' as s, [1::bigint] as l");
    Str both[40] = { STR("s3://bronze/a.parquet") };
    for (size_t i = 1; i < 40; i++)
        both[i] = STR("s3://bronze/b.parquet");
    RawRequest request = { .format = RAW_PARQUET, .addresses = both, .address_count = 1 };
    check(&rig, &request, "select sum(i)::bigint, count(s), max(l[1]) from r",
          "[4999950000,100000,99999]\n");
    check(&rig, &request, "select i, s from r where i = 4711", "[4711,\"v4711\"]\n");
    request.address_count = 40; /* three jobs */
    check(&rig, &request, "select sum(i)::bigint, count(*) from r", "[4999950273,100039]\n");
    request.as_text = true;
    check(&rig, &request, "select * from r where _file = 's3://bronze/b.parquet' limit 1",
          "[\"7\",\"b\",\"[1]\",\"s3://bronze/b.parquet\",1,null]\n");
    rig_close(&rig);
}

TEST(raw_hostile)
{
    Rig rig;
    rig_open(&rig);
    Buf deep AUTO(buf_done), gzip AUTO(buf_done);
    buf_init(&deep, 1 << 20);
    buf_init(&gzip, 1 << 20);
    buf_put(&deep, STR("{\"a\":"));
    for (size_t i = 0; i < 100000; i++)
        buf_put_char(&deep, '[');
    put(&rig, "deep.json", buf_str(&deep));
    CHECK_OK(deflate_whole(INFLATE_GZIP, STR("id,name\n1,a\n2,b\n"), 6, &gzip, &rig.err), &rig.err);
    put(&rig, "good.csv.gz", buf_str(&gzip));
    put(&rig, "short.csv.gz", str_sub(buf_str(&gzip), 0, gzip.len - 6));
    gzip.ptr[gzip.len - 6] ^= 1;
    put(&rig, "crc.csv.gz", buf_str(&gzip));
    put(&rig, "quote.csv", STR("a,b\n1,\"x\n2,y\n"));
    put(&rig, "nul.csv", str_of("a,b\n1,\0\n", 8));
    put(&rig, "utf16.csv",
        str_of("\xff\xfe"
               "a\0,\0b\0",
               8));
    put(&rig, "bad.parquet", STR("PAR1 this is no Parquet file at all ....PAR1"));
    put(&rig, "tiny.parquet", STR("PAR1"));
    put(&rig, "empty.csv", STR(""));
    static const struct {
        const char *key;
        RawFormat format;
        Code code;
    } rows[] = {
        { "deep.json", RAW_JSON, E_LIMIT },        { "short.csv.gz", RAW_CSV, E_CORRUPT },
        { "crc.csv.gz", RAW_CSV, E_CORRUPT },      { "quote.csv", RAW_CSV, E_CORRUPT },
        { "nul.csv", RAW_CSV, E_CORRUPT },         { "utf16.csv", RAW_CSV, E_CORRUPT },
        { "bad.parquet", RAW_PARQUET, E_CORRUPT }, { "tiny.parquet", RAW_PARQUET, E_CORRUPT },
        { "none.csv", RAW_CSV, E_NOT_FOUND },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Str address = str_format(&rig.arena, "s3://bronze/%s", rows[i].key);
        RawRequest request = {
            .format = rows[i].format, .addresses = &address, .address_count = 1, .header = -1
        };
        Str lines;
        CHECK_CODE(query(&rig, &request, "select * from r", &lines), rows[i].code);
        CHECK(str_starts(str_z(rig.err.place), address));
    }
    Str good = STR("s3://bronze/good.csv.gz");
    RawRequest request = { .format = RAW_CSV, .addresses = &good, .address_count = 1, .header = 1 };
    check(&rig, &request, "select * from r", "[1,\"a\"]\n[2,\"b\"]\n");
    rig_close(&rig);
}

/* Checks one text, and where the fault is said to be. */
static void check_refused(const char *text, bool json, bool as_text, Code code, const char *place)
{
    Err err;
    err_clear(&err);
    RawDialect dialect = raw_csv_dialect(str_z(text), STR(""), STR(""));
    Code got = json ? raw_check_json(str_z(text), as_text, STR("x"), &err)
                    : raw_check_csv(str_z(text), dialect, as_text, STR("x"), &err);
    if (got != code)
        test_failed(__FILE__, __LINE__, "%s: %d, not %d: %s", text, got, code, err.text);
    if (code != E_OK)
        CHECK_STR(str_z(err.place), str_z(place));
}

TEST(raw_checks)
{
    static const struct {
        const char *text, *place;
        bool json, as_text;
        Code code;
    } rows[] = {
        { "a,\"b\nc\",d\n", "", false, false, E_OK },
        { "a,b\r\n\r\n1, \"x, \"\"y\" \r\n2,5\"\r\n", "", false, false, E_OK },
        { "\xef\xbb\xbf\"a\",b\n1,2", "", false, false, E_OK },
        { "a,b\n1,2\n\n1,2,3\n", "x:4", false, false, E_CORRUPT },
        { "a,b\n1,2\n1\n", "x:3", false, false, E_CORRUPT },
        { "a,b\n1\n1,2,3\n1,\"2\"3\n", "", false, true, E_OK },
        { "a,b\n\"x\"y,1\n", "x:2", false, false, E_CORRUPT },
        { "a,b\n1,\"2\n3,4\n", "x:2", false, true, E_CORRUPT },
        { "a,b\n1,\xff\n", "x:2", false, true, E_CORRUPT },
        { "{\"a\":[1,2", "x:1", true, false, E_CORRUPT },
        { "{\"a\":\"[[[{{{\\\"\"}\n{}", "", true, false, E_OK },
        { " [{\"a\":null},{\"b\":1e-3}]\n", "", true, false, E_OK },
        { "[{\"a\":1}", "x:1", true, false, E_CORRUPT },
        { "{\"a\":1}\n{\"a\":nan}", "x:2", true, false, E_CORRUPT },
        { "{\"a\":-Infinity}", "x:1", true, false, E_CORRUPT },
        { "{\"a\":1}\n7", "x:2", true, false, E_CORRUPT },
        { "[1,2]", "x:1", true, false, E_CORRUPT },
        { "[{\"a\":1}] {}", "x:1", true, false, E_CORRUPT },
        { "{\"a\":1}\n{\"a\":\n7\n", "", true, true, E_OK },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check_refused(rows[i].text, rows[i].json, rows[i].as_text, rows[i].code, rows[i].place);
    Err err;
    Buf wide AUTO(buf_done);
    buf_init(&wide, 1 << 20);
    for (size_t i = 0; i < RAW_COLUMNS_MAX; i++)
        buf_put_char(&wide, ',');
    CHECK_CODE(raw_check_csv(buf_str(&wide), (RawDialect){ ',', '"' }, false, STR("x"), &err),
               E_LIMIT);
    CHECK_STR(str_z(err.place), STR("x:1"));
}

TEST(raw_dialect)
{
    static const struct {
        const char *text;
        char delim;
    } rows[] = {
        { "a;b\n1;2,5\n2;3,5\n", ';' },     { "a b\n", ',' },           { "x,y|z\n1,2,3|4\n", '|' },
        { "\"a;b;c\",d\n1,2\n", ',' },      { "a\tb,c\n1\t2\n", '\t' }, { "", ',' },
        { "a|b|c;d\n1|2\n1|2|3;4\n", '|' },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        RawDialect d = raw_csv_dialect(str_z(rows[i].text), STR(""), STR(""));
        if (d.delim != rows[i].delim)
            test_failed(__FILE__, __LINE__, "%s: '%c'", rows[i].text, d.delim);
    }
}

TEST(raw_empty)
{
    Rig rig;
    rig_open(&rig);
    put(&rig, "e.csv", STR("\n"));
    put(&rig, "a.csv", STR("id\n7\n"));
    put(&rig, "e.json", STR(" [ ]"));
    Str csv[] = { STR("s3://bronze/e.csv"), STR("s3://bronze/a.csv") };
    Str json = STR("s3://bronze/e.json");
    RawColumn columns[] = { { STR("id"), STR("BIGINT") }, { STR("s"), STR("") } };
    RawFormat formats[] = { RAW_CSV, RAW_JSON };
    for (size_t i = 0; i < 4; i++) {
        RawRequest request = { .format = formats[i / 2],
                               .addresses = i / 2 == 0 ? csv : &json,
                               .address_count = 1,
                               .header = -1,
                               .as_text = i % 2 };
        Str lines;
        CHECK_CODE(query(&rig, &request, "select * from r", &lines), E_CORRUPT);
        CHECK(str_ends(str_z(rig.err.place), STR(":1")) && rig.err.hint[0]);
        request.columns = columns;
        request.column_count = 2;
        check(&rig, &request, "select count(*), sum(id::bigint), max(s || '') from r",
              "[0,null,null]\n");
    }
    RawRequest request = { .format = RAW_CSV, .addresses = csv, .address_count = 2, .header = 1 };
    check(&rig, &request, "select id from r", "[7]\n");
    request.as_text = true;
    check(&rig, &request, "select id, _row from r", "[\"7\",1]\n");
    rig_close(&rig);
}

TEST(raw_problems)
{
    Rig rig;
    rig_open(&rig);
    put(&rig, "a.csv", STR("a,b\n1,2\n3\n\"x\"y,4\n5,6\n"));
    put(&rig, "a.json", STR("{\"a\":1}\n7\n{\"a\":\n"));
    Str csv = STR("s3://bronze/a.csv"), json = STR("s3://bronze/a.json");
    RawRequest request = { .format = RAW_CSV,
                           .addresses = &csv,
                           .address_count = 1,
                           .header = 1,
                           .as_text = true,
                           .problems = true };
    check(&rig, &request, "select a, _row, _raw, _problem from r",
          "[\"1\",1,\"1,2\",null]\n[null,2,\"3\",\"record(number of fields)\"]\n"
          "[null,3,\"\\\"x\\\"y,4\",\"record(text behind a quote)\"]\n[\"5\",4,\"5,6\",null]\n");
    request.format = RAW_JSON;
    request.addresses = &json;
    check(&rig, &request, "select _row, _raw from r where _problem is not null",
          "[2,\"7\"]\n[3,\"{\\\"a\\\":\"]\n");
    RawScan *scan AUTO(raw_free) = NULL;
    RawOptions options = { .os = os_real(), .store = rig.store };
    CHECK_OK(raw_open(&options, &request, &scan, &rig.err), &rig.err);
    BorderBinding binding = { .name = STR("r"), .source = raw_source(scan) };
    EngineQuery q = { .request = { .text = STR("select a from r where _problem is null"),
                                   .bindings = &binding,
                                   .binding_count = 1 } };
    EngineResult *result = NULL;
    CHECK_INT(raw_problem_count(scan), 0);
    CHECK_OK(engine_query(rig.lease, &q, &result, &rig.err), &rig.err);
    ArrowArray array AUTO(arrow_array_done) = { 0 };
    CHECK_OK(engine_result_next(result, &array, &rig.err), &rig.err);
    CHECK_INT(raw_problem_count(scan), 2);
    engine_result_free(&result);
    rig_close(&rig);
}
