/* statement.c: from one text to the function that does it. */
#include "sql/errors.h"
#include "sql/gate.h"
#include "sql/sql_priv.h"
#include "table/iceberg.h"

#include <string.h>

/* ---- running ---- */

Code sql_run_text(SqlRun *run, Str text, SqlKind kind)
{
    SqlResult *result = run->result;
    EngineQuery *query = arena_new(run->arena, EngineQuery);
    BorderParam *params = NULL;
    TRY(sql_params(run->request, run->arena, &params, run->err));
    query->request = (BorderRequest){ .text = text,
                                      .params = params,
                                      .param_count = run->request->param_count,
                                      .bindings = result->resolved.bindings,
                                      .binding_count = result->resolved.binding_count };
    query->timeout_us = sql_timeout_us(run->sql, run->request);
    query->cancel = run->request->cancel;
    query->result_bytes_max = run->request->result_bytes_max != 0
                                  ? run->request->result_bytes_max
                                  : run->sql->options.result_bytes_max;
    result->stats.kind = kind;
    Code code = engine_query(result->lease, query, &result->result, run->err);
    return sql_error(run->err, code, text);
}

Code sql_run_select(SqlRun *run, SqlKind kind)
{
    TRY(sql_resolve(run->sql, engine_lease_conn(run->result->lease), run->request, &run->text,
                    run->arena, &run->result->resolved, run->err));
    return sql_run_text(run, sql_text_str(&run->text), kind);
}

Code sql_run_done(SqlRun *run, SqlKind kind, const char *words, uint64_t rows)
{
    SqlRequest request = *run->request;
    request.param_count = 0;
    const SqlRequest *users = run->request;
    run->request = &request;
    sql_resolved_done(&run->result->resolved);
    Str text = str_format(run->arena, "SELECT '%s' AS statement, %llu::BIGINT AS rows", words,
                          (unsigned long long)rows);
    Code code = sql_run_text(run, text, kind);
    run->request = users;
    run->result->stats.rows = rows;
    return code;
}

Code sql_run_target(SqlRun *run, TableName *ret_name)
{
    const BorderStatement *s = run->parsed;
    Str ns = s->schema.len > 0 ? s->schema : run->request->default_ns;
    if (s->catalog.len > 0 || ns.len == 0) {
        Code code = err_set(run->err, E_INVALID,
                            s->catalog.len > 0 ? "a name has two parts: namespace.table"
                                               : "the table's namespace is missing");
        code = err_hint(run->err, code, "bronze." STR_FMT, STR_ARG(s->name));
        return err_at(run->err, code, s->name_position);
    }
    if (sql_name_reserved(ns)) {
        Code code = err_set(run->err, E_FORBIDDEN, "the namespace " STR_FMT " is the system's",
                            STR_ARG(ns));
        return err_at(run->err, code, s->name_position);
    }
    if (sql_tail_of(run->sql, ns, s->name) != NULL) {
        Code code = err_set(run->err, E_FORBIDDEN, STR_FMT "." STR_FMT " is written by the lake itself",
                            STR_ARG(ns), STR_ARG(s->name));
        return err_at(run->err, code, s->name_position);
    }
    *ret_name = (TableName){ .ns = ns, .name = s->name };
    return E_OK;
}

/* ---- EXPLAIN ---- */

/* The gate sees what is explained; the engine gets the word EXPLAIN back before it. */
static Code run_explain(SqlRun *run)
{
    size_t from = (size_t)run->parsed->whole.position;
    size_t to = (size_t)run->parsed->select.position;
    if (run->parsed->select.text.ptr == NULL || to < from || to > run->text.len)
        return err_set(run->err, E_UNSUPPORTED, "EXPLAIN is for SELECT");
    char *words = arena_copy(run->arena, run->text.ptr + from, to - from);
    sql_text_blank(&run->text, from, to);
    TRY(sql_resolve(run->sql, engine_lease_conn(run->result->lease), run->request, &run->text,
                    run->arena, &run->result->resolved, run->err));
    memcpy(run->text.ptr + from, words, to - from);
    return sql_run_text(run, sql_text_str(&run->text), SQL_EXPLAIN);
}

/* ---- dispatch ---- */

static Code refuse(SqlRun *run, Code code, const char *hint)
{
    const BorderStatement *s = run->parsed;
    code = err_set(run->err, code, STR_FMT " is no statement of tarn", STR_ARG(s->word));
    if (hint != NULL)
        code = err_hint(run->err, code, "%s", hint);
    return err_at(run->err, code, s->whole.position);
}

static Code run_write(SqlRun *run)
{
    switch (run->parsed->kind) {
    case BORDER_INSERT:
        return sql_run_insert(run);
    case BORDER_DELETE:
        return sql_run_delete(run);
    case BORDER_CREATE_TABLE:
        return run->parsed->select.text.ptr != NULL ? sql_run_create_as(run)
                                                    : sql_run_create_table(run);
    case BORDER_CREATE_VIEW:
        return sql_run_create_view(run);
    case BORDER_CREATE_SCHEMA:
    case BORDER_DROP_SCHEMA:
        return sql_run_schema(run);
    case BORDER_DROP_TABLE:
    case BORDER_DROP_VIEW:
        return sql_run_drop(run);
    case BORDER_ALTER:
        return sql_run_alter(run);
    case BORDER_UPDATE:
    case BORDER_MERGE:
        return refuse(run, E_UNSUPPORTED, "DELETE and INSERT ... SELECT do what it would");
    case BORDER_COPY:
        return refuse(run, E_FORBIDDEN, "INSERT INTO t SELECT * FROM read_csv('s3://bucket/key')");
    case BORDER_TRANSACTION:
        return refuse(run, E_UNSUPPORTED, "every statement is a transaction of its own");
    case BORDER_CREATE_OTHER:
    case BORDER_DROP_OTHER:
    case BORDER_SET:
    case BORDER_OTHER:
    case BORDER_SELECT:
    case BORDER_EXPLAIN:
        break;
    }
    return refuse(run, E_FORBIDDEN,
                  "SELECT, INSERT, DELETE, CREATE, DROP, ALTER, SHOW, DESCRIBE, EXPLAIN");
}

static Code run_parsed(SqlRun *run)
{
    if (run->parsed->kind == BORDER_SELECT)
        return sql_run_select(run, SQL_SELECT);
    if (run->parsed->kind == BORDER_EXPLAIN)
        return run_explain(run);
    if (run->request->read_only) {
        Code code = err_set(run->err, E_FORBIDDEN,
                            STR_FMT " would change the lake; this is for reading only",
                            STR_ARG(run->parsed->word));
        return err_at(run->err, code, run->parsed->whole.position);
    }
    return run_write(run);
}

/* SHOW and DESCRIBE: a SELECT of ours in place of the text. */
static Code run_info(SqlRun *run, Str select)
{
    SqlRequest request = *run->request;
    request.text = select;
    request.param_count = 0;
    const SqlRequest *users = run->request;
    run->request = &request;
    TRY(sql_text_prepare(select, 0, run->arena, &run->text, run->err));
    Code code = sql_run_select(run, SQL_SHOW);
    if (code != E_OK && run->err != NULL)
        run->err->position = -1;
    run->request = users;
    return code;
}

static Code run_statement(SqlRun *run)
{
    const SqlRequest *request = run->request;
    if (request->text.len > SQL_TEXT_MAX)
        return err_set(run->err, E_LIMIT, "the statement has more than %d bytes", SQL_TEXT_MAX);
    if (!str_is_utf8(request->text))
        return err_set(run->err, E_SYNTAX, "the statement is not UTF-8");
    if (request->binding_count > SQL_BINDINGS_MAX)
        return err_set(run->err, E_LIMIT, "more than %d bindings", SQL_BINDINGS_MAX);
    TRY(sql_text_prepare(request->text, 0, run->arena, &run->text, run->err));
    Str info;
    TRY(sql_info_statement(&run->text, request, run->arena, &info, run->err));
    if (info.ptr != NULL)
        return run_info(run, info);
    size_t count = 0;
    Code code = border_parse(sql_text_str(&run->text), run->arena, &run->parsed, &count, run->err);
    TRY(sql_error(run->err, code, request->text));
    if (count == 0)
        return err_set(run->err, E_INVALID, "there is no statement");
    if (count > 1) {
        code = err_set(run->err, E_INVALID, "one statement at a time; here are %zu", count);
        return err_at(run->err, code, run->parsed[1].whole.position);
    }
    return run_parsed(run);
}

Code sql_query(Sql *sql, const SqlRequest *request, SqlResult **ret_result, Err *err)
{
    SqlResult *result AUTO(sql_result_free) = mem_new(sizeof *result);
    result->sql = sql;
    result->start_us = os_monotonic_us(sql->options.os);
    int64_t wait_us = MIN(sql_timeout_us(sql, request), (int64_t)SQL_LEASE_WAIT_US);
    TRY(engine_lease(sql->engine, ENGINE_INTERACTIVE, wait_us, request->cancel, &result->lease, err));
    if (sql_is_cancelled(request))
        return err_set(err, E_CANCELLED, "the statement was cancelled");
    SqlRun run = {
        .sql = sql, .request = request, .result = result, .arena = &result->arena, .err = err
    };
    TRY(run_statement(&run));
    *ret_result = TAKE(result);
    return E_OK;
}
