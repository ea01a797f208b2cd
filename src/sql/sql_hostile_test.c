/* Bad input: each a clear error with its place (errors.c), and the lake stays up. */
#include "sql/sql_fixture.h"

#include "format/arrow.h"
#include "os/thread.h"

static void some_rows(Lake *lake)
{
    lake_rows(lake, "create namespace bronze");
    lake_rows(lake,
              "create table bronze.events as select i as id, 'n' as name from range(10) r(i)");
}

TEST(sql_refuses_what_is_no_read)
{
    static const struct {
        const char *text;
        Code code;
        int64_t position; /* -2: any */
        const char *hint; /* a part; NULL: any */
    } ROWS[] = {
        { "", E_INVALID, -2, NULL },
        { "-- nothing", E_INVALID, -2, NULL },
        { ";", E_INVALID, -2, NULL },
        { "select 1; select 2", E_INVALID, 10, NULL },
        { "select 1; drop table bronze.events", E_INVALID, 10, NULL },
        { "copy bronze.events to '/tmp/x'", E_FORBIDDEN, 0, NULL },
        { "copy (select 1) to 's3://lake/x'", E_FORBIDDEN, 0, NULL },
        { "attach '/tmp/x.db'", E_FORBIDDEN, 0, NULL },
        { "pragma version", E_FORBIDDEN, 0, NULL },
        { "pragma database_list", E_FORBIDDEN, 0, NULL },
        { "install httpfs", E_FORBIDDEN, 0, NULL },
        { "load httpfs", E_FORBIDDEN, 0, NULL },
        { "set memory_limit = '1TB'", E_FORBIDDEN, 0, NULL },
        { "reset threads", E_FORBIDDEN, 0, NULL },
        { "use memory", E_FORBIDDEN, 0, NULL },
        { "call pragma_version()", E_FORBIDDEN, 0, NULL },
        { "checkpoint", E_FORBIDDEN, 0, NULL },
        { "vacuum", E_FORBIDDEN, 0, NULL },
        { "export database '/tmp/x'", E_FORBIDDEN, 0, NULL },
        { "import database '/tmp/x'", E_FORBIDDEN, -2, NULL },
        { "prepare p as select 1", E_FORBIDDEN, 0, NULL },
        { "execute p", E_FORBIDDEN, 0, NULL },
        { "create macro f(a) as a", E_FORBIDDEN, 0, NULL },
        { "create function f(a) as a", E_FORBIDDEN, 0, NULL },
        { "create sequence s", E_FORBIDDEN, 0, NULL },
        { "create type x as enum ('a')", E_FORBIDDEN, 0, NULL },
        { "create secret (type s3)", E_FORBIDDEN, 0, NULL },
        { "create index i on bronze.events (id)", E_FORBIDDEN, 0, NULL },
        { "begin", E_UNSUPPORTED, 0, NULL },
        { "update bronze.events set id = 1", E_UNSUPPORTED, 0, NULL },
        { "explain analyze copy (select 1) to '/tmp/x'", E_UNSUPPORTED, -2, NULL },
        { "explain insert into bronze.events values (1, 'x')", E_UNSUPPORTED, -2, NULL },
        { "create temp table x as select 1", E_INVALID, -2, NULL },
        { "create table main.x as select 1 as a", E_FORBIDDEN, 13, NULL },
        { "create namespace system", E_FORBIDDEN, -2, NULL },
        { "drop table tarn.runs", E_FORBIDDEN, -2, NULL },
        { "select * from read_text('/etc/passwd')", E_FORBIDDEN, 14, NULL },
        { "select * from '/etc/passwd'", E_FORBIDDEN, 14, NULL },
        { "select * from read_csv('/etc/passwd')", E_FORBIDDEN, 14, "s3://" },
        { "select * from read_csv('https://example.org/x.csv')", E_FORBIDDEN, 14, "s3://" },
        { "select * from bronze.evens", E_NOT_FOUND, 14, "bronze.events" },
        { "select * from events", E_NOT_FOUND, 14, "bronze.events" },
        { "select * from silver.events", E_NOT_FOUND, 14, "bronze.events" },
        { "select * from duckdb_settings", E_NOT_FOUND, 14, NULL },
        { "select * from sqlite_master", E_NOT_FOUND, 14, NULL },
        { "select * from pg_catalog.pg_class", E_NOT_FOUND, 14, NULL },
        { "select * from information_schema.nothing", E_NOT_FOUND, 14, NULL },
        { "select * from memory.main.x", E_NOT_FOUND, 14, NULL },
        { "select nme from bronze.events", E_NOT_FOUND, 7, "name" },
        { "select id from bronze.events where nam = 'x'", E_NOT_FOUND, 35, "name" },
        { "select id\nfrom bronze.events\nwhere e.id = 1", E_NOT_FOUND, 35, NULL },
        { "select sum(name) from bronze.events", E_TYPE, 7, NULL },
        { "select id, count(*) from bronze.events", E_INVALID, 7, "GROUP BY ALL" },
        { "select 'x'::int", E_TYPE, -2, "TRY_CAST" },
        { "select repeat('x', 2e9)", E_LIMIT, 7, NULL },
        { "select repeat('x', id + 2000000000) from bronze.events", E_LIMIT, -2, NULL },
        { "select len(range(2000000000 + id)) from bronze.events", E_LIMIT, -2, NULL },
        { "select * frm bronze.events", E_SYNTAX, -2, NULL },
        { "select 'open", E_SYNTAX, 7, NULL },
        { "select \xff", E_SYNTAX, -2, NULL },
        { "insert into bronze.events values ('x', 'y')", E_TYPE, -2, NULL },
        { "insert into bronze.events values (1)", E_INVALID, 26, NULL },
        { "insert into bronze.events (id, nme) values (1, 'a')", E_NOT_FOUND, -2, "name" },
        { "insert into bronze.event values (1, 'a')", E_NOT_FOUND, 12, NULL },
        { "create table bronze.x (a interval)", E_TYPE, -2, NULL },
        { "create table nowhere.x (a int)", E_NOT_FOUND, -2, NULL },
        { "create table bronze.x (a int primary key)", E_UNSUPPORTED, -2, NULL },
    };
    Lake *lake AUTO(lake_free) = lake_new();
    some_rows(lake);
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        Err err;
        Code code = lake_error(lake, ROWS[i].text, &err);
        if (code != ROWS[i].code)
            test_failed(__FILE__, __LINE__, "%s gave %s, wanted %s: %s [%s]", ROWS[i].text,
                        code_info(code)->name, code_info(ROWS[i].code)->name, err.text, err.hint);
        if (ROWS[i].position != -2 && err.position != ROWS[i].position)
            test_failed(__FILE__, __LINE__, "%s: position %lld, wanted %lld (%s)", ROWS[i].text,
                        (long long)err.position, (long long)ROWS[i].position, err.text);
        if (ROWS[i].hint != NULL && str_find(str_z(err.hint), str_z(ROWS[i].hint)) < 0)
            test_failed(__FILE__, __LINE__, "%s: hint '%s', wanted '%s' (%s)", ROWS[i].text,
                        err.hint, ROWS[i].hint, err.text);
        CHECK(err.text[0] != '\0');
    }
    CHECK_STR(lake_rows(lake, "select count(*) from bronze.events"), STR("10"));
}

TEST(sql_read_only_refuses_writes)
{
    Lake *lake AUTO(lake_free) = lake_new();
    some_rows(lake);
    static const char *const TEXTS[] = { "insert into bronze.events values (1, 'a')",
                                         "drop table bronze.events", "create namespace x",
                                         "delete from bronze.events" };
    for (size_t i = 0; i < ARRAY_LEN(TEXTS); i++) {
        SqlRequest request = { .text = str_z(TEXTS[i]), .read_only = true };
        Str rows;
        Err err;
        CHECK_CODE(lake_query(lake, &request, &rows, &err), E_FORBIDDEN);
    }
    CHECK_STR(lake_rows(lake, "select count(*) from bronze.events"), STR("10"));
}

TEST(sql_a_late_cast_names_the_value)
{
    Lake *lake AUTO(lake_free) = lake_new();
    Err err;
    CHECK_CODE(
        lake_error(lake,
                   "select max(cast(v as int)) from (select case when i = 2999998 then 'late' else "
                   "i::varchar end as v from range(3000000) r(i))",
                   &err),
        E_TYPE);
    CHECK(str_find(str_z(err.text), STR("late")) >= 0);
    CHECK_INT(err.position, 11);
    CHECK(str_find(str_z(err.hint), STR("TRY_CAST")) >= 0);
}

TEST(sql_an_endless_join_ends_in_time)
{
    Lake *lake AUTO(lake_free) = lake_new();
    SqlRequest request = {
        .text = STR("select count(*) from range(10000000) a, range(10000000) b, range(1000) c "
                    "where a.range + b.range + c.range = -1"),
        .timeout_ms = 200
    };
    Str rows;
    Err err;
    CHECK_CODE(lake_query(lake, &request, &rows, &err), E_TIMEOUT);
    CHECK_STR(lake_rows(lake, "select 1"), STR("1"));
}

TEST(sql_results_are_bounded_and_cancelled)
{
    Lake *lake AUTO(lake_free) = lake_new();
    SqlRequest request = { .text =
                               STR("select i, i::varchar || 'some text' from range(10000000) r(i)"),
                           .result_bytes_max = 1 << 20 };
    Str rows;
    Err err;
    CHECK_CODE(lake_query(lake, &request, &rows, &err), E_LIMIT);
    SqlResult *result AUTO(sql_result_free) = NULL;
    request.result_bytes_max = 0;
    CHECK_OK(sql_query(lake_sql(lake), &request, &result, &err), &err);
    struct ArrowArray batch = { 0 };
    CHECK_OK(sql_result_next(result, &batch, &err), &err);
    CHECK(batch.release != NULL);
    if (batch.release != NULL)
        batch.release(&batch);
    sql_result_cancel(result);
    Code code = E_OK;
    for (int i = 0; i < 1000 && code == E_OK; i++) {
        batch.release = NULL;
        code = sql_result_next(result, &batch, &err);
        if (code == E_OK && batch.release != NULL)
            batch.release(&batch);
    }
    CHECK_CODE(code, E_CANCELLED);
}

static void *cancel_soon(void *arg)
{
    __atomic_store_n((bool *)arg, true, __ATOMIC_RELEASE);
    return NULL;
}

/* Whenever the other thread comes: before the lease, while it plans, while it runs. */
TEST(sql_a_statement_is_cancelled_before_its_result)
{
    Lake *lake AUTO(lake_free) = lake_new();
    bool cancel = false;
    SqlRequest request = { .text = STR("select count(*) from range(10000000) a, range(10000000) b "
                                       "where a.range + b.range = -1"),
                           .cancel = &cancel };
    Thread thread = { 0 };
    Str rows;
    Err err;
    CHECK_OK(thread_start(&thread, "cancel", cancel_soon, &cancel, &err), &err);
    CHECK_CODE(lake_query(lake, &request, &rows, &err), E_CANCELLED);
    thread_join(&thread);
    CHECK_CODE(lake_query(lake, &request, &rows, &err), E_CANCELLED);
    CHECK_STR(lake_rows(lake, "select 1"), STR("1"));
}
