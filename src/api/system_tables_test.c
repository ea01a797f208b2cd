/* Covers system_tables.c: values against what was done to the lake, maxima, filters, rights. */
#include "api/api_fake.h"
#include "api/system_tables.h"

#include "base/test.h"
#include "format/arrow.h"

#include <string.h>

/* The rows as JSON arrays, one a line; an error as "CODE: text". */
static Str ask_as(FakeLake *fake, bool admin, const char *text, Err *err)
{
    SqlResult *result AUTO(sql_result_free) = NULL;
    Buf out AUTO(buf_done);
    ApiCall call = fake_lake_call(fake, admin);
    buf_init(&out, 16 << 20);
    err_clear(err);
    Code code = api_sql(&call, str_z(text), NULL, 0, &result, err);
    while (code == E_OK) {
        ArrowArray batch AUTO(arrow_array_done) = { 0 };
        code = sql_result_next(result, &batch, err);
        if (code != E_OK || !batch.release)
            break;
        for (int64_t row = 0; row < batch.length; row++) {
            JsonWriter w = json_writer(&out);
            arrow_put_json_array(&w, sql_result_schema(result), &batch, row);
            buf_put_char(&out, '\n');
        }
    }
    if (code != E_OK)
        return str_format(&fake->arena, "%s: %s", code_info(code)->name, err->text);
    return str_copy(&fake->arena, buf_str(&out));
}

static Str ask(FakeLake *fake, const char *text)
{
    Err err;
    return ask_as(fake, true, text, &err);
}

static void tables_make(FakeLake *fake)
{
    fake_lake_sql(fake, "CREATE NAMESPACE t");
    fake_lake_sql(fake, "CREATE TABLE t.a AS SELECT i FROM range(3) r(i)");
    fake_lake_sql(fake, "INSERT INTO t.a SELECT i FROM range(4) r(i)");
    fake_lake_sql(fake, "DELETE FROM t.a WHERE i = 0");
    fake_lake_sql(fake, "CREATE TABLE t.b AS SELECT 'x' AS x");
    fake_lake_sql(fake, "CREATE TABLE t.empty (x VARCHAR)");
    fake_lake_sql(fake, "CREATE VIEW t.v AS SELECT * FROM t.a");
}

TEST(snapshots_are_what_time_travel_takes)
{
    FakeLake fake;
    fake_lake_open(&fake);
    tables_make(&fake);
    CHECK_STR(ask(&fake, "SELECT operation, added_rows, total_rows, added_files, is_current, parent_id IS NULL"
                         " FROM tarn.snapshots WHERE table_namespace = 't' AND table_name = 'a'"
                         " ORDER BY added_rows"),
              STR("[\"append\",3,3,1,false,true]\n[\"append\",4,7,1,false,false]\n"
                  "[\"overwrite\",5,5,1,true,false]\n"));
    CHECK_STR(ask(&fake, "SELECT table_name, count(*) FROM tarn.snapshots GROUP BY 1 ORDER BY 1"),
              STR("[\"a\",3]\n[\"b\",1]\n"));
    CHECK_STR(ask(&fake, "SELECT count(*) FROM tarn.snapshots s JOIN tarn.snapshots p"
                         " ON s.parent_id = p.snapshot_id AND s.table_name = p.table_name"),
              STR("[2]\n"));
    CHECK_STR(ask(&fake, "SELECT count(*) FROM tarn.snapshots WHERE committed_at > now() - INTERVAL 1 HOUR"
                         " AND committed_at <= now()"), STR("[4]\n"));
    Str id = ask(&fake, "SELECT snapshot_id FROM tarn.snapshots WHERE table_name = 'a' AND total_rows = 7");
    id = str_sub(id, 1, id.len - 3); /* "[ID]\n" */
    Str then = str_format(&fake.arena, "SELECT count(*), sum(i) FROM t.a FOR VERSION AS OF " STR_FMT,
                          STR_ARG(id));
    CHECK_STR(ask(&fake, str_copy_z(&fake.arena, then)), STR("[7,9]\n"));
    Err err;
    ask_as(&fake, false, "SELECT * FROM t.a FOR VERSION AS OF 17", &err);
    CHECK_INT(err.code, E_NOT_FOUND);
    CHECK(strstr(err.hint, "tarn.snapshots lists them") != NULL);
    fake_lake_close(&fake);
}

TEST(system_tables_are_listed)
{
    FakeLake fake;
    fake_lake_open(&fake);
    CHECK_STR(ask(&fake, "SHOW TABLES FROM tarn"),
              STR("[\"tarn\",\"audit\",\"system table\"]\n[\"tarn\",\"buckets\",\"system table\"]\n"
                  "[\"tarn\",\"ledger\",\"system table\"]\n"
                  "[\"tarn\",\"lineage\",\"system table\"]\n[\"tarn\",\"quality\",\"system table\"]\n"
                  "[\"tarn\",\"runs\",\"system table\"]\n[\"tarn\",\"snapshots\",\"system table\"]\n"));
    CHECK_STR(ask(&fake, "SELECT column_name, data_type FROM information_schema.columns"
                         " WHERE table_schema = 'tarn' AND table_name = 'quality' ORDER BY ordinal_position"),
              STR("[\"run_id\",\"VARCHAR\"]\n[\"model\",\"VARCHAR\"]\n[\"score\",\"DOUBLE\"]\n"
                  "[\"gate\",\"DOUBLE\"]\n[\"passed\",\"BOOLEAN\"]\n"
                  "[\"recorded_at\",\"TIMESTAMP WITH TIME ZONE\"]\n"));
    CHECK_STR(ask(&fake, "SELECT count(*) FROM tarn.runs"), STR("[0]\n"));
    fake_lake_close(&fake);
}

/* 2020-01-01 and a day later. */
#define T0 INT64_C(1577836800000000)
#define DAY INT64_C(86400000000)

static void metadata_fill(FakeLake *fake)
{
    MetaTxn txn;
    Err err;
    meta_txn_init(&txn, &fake->arena);
    meta_put_run(&txn, &(MetaRun){ .run_id = STR("r1"), .state = STR("gated"), .started_us = T0,
                                   .ended_us = T0 + DAY, .detail_json = STR("{}") });
    meta_put_run(&txn, &(MetaRun){ .run_id = STR("r1"), .model = STR("s.m"), .state = STR("gated"),
                                   .started_us = T0, .detail_json = STR("{}") });
    meta_put_quality(&txn, &(MetaQuality){ .run_id = STR("r1"), .model = STR("s.m"), .score = 0.5,
                                           .gate = 0.75, .results_json = STR("[]"), .time_us = T0 });
    meta_put_quality(&txn, &(MetaQuality){ .run_id = STR("r1"), .model = STR("s.n"), .score = 1, .gate = 0.75,
                                           .passed = true, .results_json = STR("[]"), .time_us = T0 });
    meta_put_lineage(&txn, &(MetaLineage){ STR("s.m"), STR("b.raw"), STR("r1"), T0 });
    meta_put_ledger(&txn, &(MetaLedger){ .model = STR("s.m"), .fingerprint = STR("f"), .start_us = T0,
                                         .end_us = T0 + DAY, .state = STR("gated"), .run_id = STR("r1"),
                                         .rows = 7, .reason = STR("score"), .updated_us = T0 });
    meta_put_ledger(&txn, &(MetaLedger){ .model = STR("s.n"), .fingerprint = STR("f"),
                                         .state = STR("published"), .run_id = STR("r1"), .rows = 8,
                                         .updated_us = T0 });
    CHECK_OK(meta_commit(fake->lake.meta, &txn, &err), &err);
}

TEST(the_metadata_as_rows)
{
    FakeLake fake;
    fake_lake_open(&fake);
    metadata_fill(&fake);
    static const struct {
        const char *sql, *rows;
    } ASKED[] = {
        { "SELECT run_id, model, state, epoch_us(started_at), epoch_us(ended_at) FROM tarn.runs"
          " ORDER BY model NULLS FIRST",
          "[\"r1\",null,\"gated\",1577836800000000,1577923200000000]\n"
          "[\"r1\",\"s.m\",\"gated\",1577836800000000,null]\n" },
        { "SELECT model FROM tarn.runs WHERE run_id = 'other'", "" },
        { "SELECT model FROM tarn.runs WHERE run_id >= 'r1' AND model IS NOT NULL", "[\"s.m\"]\n" },
        { "SELECT model, score, gate, passed FROM tarn.quality ORDER BY model",
          "[\"s.m\",0.5,0.75,false]\n[\"s.n\",1.0,0.75,true]\n" },
        { "SELECT model FROM tarn.quality WHERE score < 0.75", "[\"s.m\"]\n" },
        { "SELECT model FROM tarn.quality WHERE NOT passed", "[\"s.m\"]\n" },
        { "SELECT target, source, run_id, epoch_us(recorded_at) FROM tarn.lineage",
          "[\"s.m\",\"b.raw\",\"r1\",1577836800000000]\n" },
        { "SELECT model, epoch_us(interval_start), epoch_us(interval_end), state, rows, reason"
          " FROM tarn.ledger ORDER BY model",
          "[\"s.m\",1577836800000000,1577923200000000,\"gated\",7,\"score\"]\n"
          "[\"s.n\",null,null,\"published\",8,null]\n" },
        { "SELECT model FROM tarn.ledger WHERE rows > 7", "[\"s.n\"]\n" },
        { "SELECT model FROM tarn.ledger WHERE interval_start >= '2020-01-01 00:00:00+00'", "[\"s.m\"]\n" },
        { "SELECT count(*) FROM tarn.ledger WHERE 8 <> rows AND 'a' < model", "[1]\n" },
        { "SELECT verb, outcome, count(*) FROM tarn.audit WHERE target = 'sql' GROUP BY ALL", "" },
    };
    for (size_t i = 0; i < ARRAY_LEN(ASKED); i++)
        CHECK_STR(ask(&fake, ASKED[i].sql), str_z(ASKED[i].rows));
    fake_lake_sql(&fake, "CREATE NAMESPACE t");
    CHECK_STR(ask(&fake, "SELECT verb, target, outcome, detail->>'sql' FROM tarn.audit WHERE target = 'sql'"),
              STR("[\"sql\",\"sql\",\"ok\",\"CREATE NAMESPACE t\"]\n"));
    fake_lake_close(&fake);
}

TEST(the_audit_is_for_admins)
{
    FakeLake fake;
    Err err;
    fake_lake_open(&fake);
    fake_lake_sql(&fake, "CREATE NAMESPACE t");
    fake_lake_sql(&fake, "CREATE VIEW t.who AS SELECT principal FROM tarn.audit");
    static const char *const FORBIDDEN[] = {
        "SELECT * FROM tarn.audit",
        "SELECT count(*) FROM TARN.\"Audit\"",
        "SELECT * FROM /* x */ tarn . audit a WHERE false",
        "SELECT * FROM tarn.audit LIMIT 0",
        "WITH a AS (SELECT 1 FROM tarn.audit) SELECT * FROM a",
        "SELECT (SELECT max(detail) FROM tarn.audit)",
        "SELECT 1 WHERE EXISTS (FROM tarn.audit)",
        "SELECT * FROM t.who",
        "EXPLAIN SELECT * FROM tarn.audit",
        "EXPLAIN ANALYZE SELECT * FROM tarn.audit",
    };
    for (size_t i = 0; i < ARRAY_LEN(FORBIDDEN); i++) {
        Str got = ask_as(&fake, false, FORBIDDEN[i], &err);
        CHECK_INT(err.code, E_FORBIDDEN);
        CHECK(strstr(err.text, "tarn.audit") != NULL);
        CHECK(str_find(got, STR("reader")) >= 0);
        ask_as(&fake, true, FORBIDDEN[i], &err);
        CHECK_INT(err.code, E_OK);
    }
    ApiCall reader = fake_lake_call(&fake, false);
    ApiPage page = { 0 };
    ApiPageQuery query = { .ns = STR("tarn"), .name = STR("audit"), .preview = true };
    CHECK_CODE(api_page(&reader, &query, &page, &err), E_FORBIDDEN);
    query.name = STR("snapshots");
    CHECK_OK(api_page(&reader, &query, &page, &err), &err);
    sql_result_free(&page.result);
    CHECK_STR(ask_as(&fake, false, "SELECT count(*) FROM tarn.lineage", &err), STR("[0]\n"));
    CHECK_STR(ask_as(&fake, false, "WITH audit AS (SELECT 1 AS x) FROM audit", &err), STR("[1]\n"));
    fake_lake_close(&fake);
}

/* A second Sql over the same lake, with a small maximum. */
TEST(more_rows_than_the_maximum_are_a_limit)
{
    FakeLake fake;
    Err err;
    Sql *sql = NULL;
    SystemTables *tables = NULL;
    fake_lake_open(&fake);
    metadata_fill(&fake);
    ApiLake *lake = &fake.lake;
    SqlOptions options = { .os = lake->os, .catalog = lake->catalog, .store = lake->store, .threads = 1,
                           .slots = 1, .memory_bytes = 64 << 20 };
    SystemTablesOptions system = { .catalog = lake->catalog, .meta = lake->meta, .rows_max = 1 };
    CHECK_OK(sql_open(&options, &sql, &err), &err);
    CHECK_OK(system_tables_open(&system, sql, &tables, &err), &err);
    static const struct {
        const char *sql;
        Code code;
    } ASKED[] = {
        { "SELECT * FROM tarn.lineage", E_OK },
        { "SELECT * FROM tarn.ledger", E_LIMIT },
        { "SELECT * FROM tarn.ledger WHERE model = 's.m'", E_OK },
        { "SELECT * FROM tarn.quality WHERE model >= 's.m'", E_LIMIT },
    };
    for (size_t i = 0; i < ARRAY_LEN(ASKED); i++) {
        SqlRequest request = { .text = str_z(ASKED[i].sql), .read_only = true };
        SqlResult *result AUTO(sql_result_free) = NULL;
        ArrowArray batch AUTO(arrow_array_done) = { 0 };
        Code code = sql_query(sql, &request, &result, &err);
        if (code == E_OK)
            code = sql_result_next(result, &batch, &err);
        CHECK_INT(code, ASKED[i].code);
        if (code != E_OK)
            CHECK(strstr(err.text, "gives more than 1 rows") && strstr(err.hint, "WHERE"));
    }
    CHECK_CODE(system_tables_open(&system, sql, &tables, &err), E_EXISTS);
    sql_free(&sql);
    system_tables_free(&tables);
    fake_lake_close(&fake);
}

TEST(many_rows_come_in_batches)
{
    enum { EDGES = 2 * SYSTEM_BATCH_ROWS + 1 };
    FakeLake fake;
    MetaTxn txn;
    Err err;
    fake_lake_open(&fake);
    meta_txn_init(&txn, &fake.arena);
    for (int i = 0; i < EDGES; i++) {
        Str target = str_format(&fake.arena, "t%d", i % 3 ? i : -i);
        meta_put_lineage(&txn, &(MetaLineage){ target, STR("s"), STR(""), i + 1 });
    }
    CHECK_OK(meta_commit(fake.lake.meta, &txn, &err), &err);
    Str want = str_format(&fake.arena, "[%d,%d,%lld,%d]\n", EDGES, EDGES,
                          (long long)EDGES * (EDGES + 1) / 2, 0);
    CHECK_STR(ask(&fake, "SELECT count(*), count(DISTINCT target), sum(epoch_us(recorded_at)), count(run_id)"
                         " FROM tarn.lineage"), want);
    CHECK_STR(ask(&fake, "SELECT target FROM tarn.lineage WHERE recorded_at = make_timestamptz(8194)"),
              STR("[\"t-8193\"]\n"));
    fake_lake_close(&fake);
}
