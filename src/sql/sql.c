/* sql.c: the Sql, its engine over the store's objects, results, and what a SELECT is made of.
 *
 * Invariants:
 * 1. A SqlResult holds its lease, its tables and its scans until it is freed, in that order of end:
 *    engine's result, lease, resolved names, arena. */
#include "sql/sql.h"

#include "format/arrow.h"
#include "os/thread.h"
#include "sql/files.h"
#include "sql/sql_priv.h"

/* ---- open ---- */

Code sql_open(const SqlOptions *options, Sql **ret_sql, Err *err)
{
    ASSERT(options->os != NULL && options->catalog != NULL && options->store != NULL);
    Sql *sql AUTO(sql_free) = mem_new(sizeof *sql);
    sql->options = *options;
    if (sql->options.lake_bucket.len == 0)
        sql->options.lake_bucket = STR("lake");
    if (sql->options.timeout_ms == 0)
        sql->options.timeout_ms = SQL_TIMEOUT_MS_DEFAULT;
    uint64_t memory = options->memory_bytes != 0 ? options->memory_bytes : (uint64_t)1 << 30;
    unsigned slots = options->slots != 0 ? options->slots : SQL_SLOTS_DEFAULT;
    unsigned threads = options->threads != 0 ? options->threads : thread_cores();
    EngineOptions engine = { .os = options->os,
                             .files = store_files(options->store),
                             .temp_dir = options->temp_dir,
                             .temp_bytes = options->spill_bytes_max };
    for (int i = 0; i < ENGINE_POOL_COUNT; i++)
        engine.pools[i] =
            (EngineLimits){ .threads = threads, .slots = slots, .memory_bytes = memory };
    /* What is written comes from scan workers or runs beside other models, which use the rest. */
    if (options->threads == 0)
        engine.pools[ENGINE_INGEST].threads = MAX(threads / 2, 1u);
    TRY(engine_open(&engine, &sql->engine, err));
    *ret_sql = TAKE(sql);
    return E_OK;
}

void sql_free(Sql **sql)
{
    if (*sql == NULL)
        return;
    engine_close(&(*sql)->engine);
    arena_done(&(*sql)->arena);
    mem_free(sql);
}

void sql_on_late(Sql *sql, SqlLate *late, void *arg)
{
    engine_on_late(sql->engine, late, arg);
}

Code sql_register_source(Sql *sql, Str ns, Str name, const ScanSource *source, Err *err)
{
    for (size_t i = 0; i < sql->table_count; i++)
        if (str_ieq(sql->tables[i].ns, ns) && str_ieq(sql->tables[i].name, name))
            return err_set(err, E_EXISTS, "there is a system table " STR_FMT "." STR_FMT,
                           STR_ARG(ns), STR_ARG(name));
    if (sql->table_count == SQL_SOURCES_MAX)
        return err_set(err, E_LIMIT, "more than %d system tables", SQL_SOURCES_MAX);
    sql->tables[sql->table_count++] = (SqlSystemTable){ .ns = str_copy(&sql->arena, ns),
                                                        .name = str_copy(&sql->arena, name),
                                                        .source = source };
    return E_OK;
}

const SqlTail *sql_tail_of(const Sql *sql, Str ns, Str name)
{
    for (size_t i = 0; i < sql->tail_count; i++)
        if (str_ieq(sql->tails[i].ns, ns) && str_ieq(sql->tails[i].name, name))
            return &sql->tails[i];
    return NULL;
}

Code sql_register_tail(Sql *sql, const SqlTail *tail, Err *err)
{
    if (sql_tail_of(sql, tail->ns, tail->name) != NULL)
        return err_set(err, E_EXISTS, STR_FMT "." STR_FMT " has a tail", STR_ARG(tail->ns),
                       STR_ARG(tail->name));
    if (sql->tail_count == SQL_TAILS_MAX)
        return err_set(err, E_LIMIT, "more than %d tables with a tail", SQL_TAILS_MAX);
    sql->tails[sql->tail_count++] = *tail;
    return E_OK;
}

/* ---- requests ---- */

bool sql_is_cancelled(const SqlRequest *request)
{
    return request->cancel && __atomic_load_n(request->cancel, __ATOMIC_ACQUIRE);
}

int64_t sql_timeout_us(const Sql *sql, const SqlRequest *request)
{
    return (request->timeout_ms > 0 ? request->timeout_ms : sql->options.timeout_ms) * 1000;
}

Code sql_params(const SqlRequest *request, Arena *arena, BorderParam **ret_params, Err *err)
{
    static const BorderParamKind KINDS[] = {
        [SQL_PARAM_NULL] = BORDER_PARAM_NULL,
        [SQL_PARAM_BOOL] = BORDER_PARAM_BOOL,
        [SQL_PARAM_I64] = BORDER_PARAM_I64,
        [SQL_PARAM_F64] = BORDER_PARAM_F64,
        [SQL_PARAM_TEXT] = BORDER_PARAM_TEXT,
        [SQL_PARAM_DATE] = BORDER_PARAM_DATE,
        [SQL_PARAM_TIMESTAMP] = BORDER_PARAM_TIMESTAMP,
    };
    if (request->param_count > SQL_PARAMS_MAX)
        return err_set(err, E_LIMIT, "more than %d parameters", SQL_PARAMS_MAX);
    BorderParam *params = arena_array(arena, BorderParam, request->param_count);
    for (size_t i = 0; i < request->param_count; i++) {
        const SqlParam *from = &request->params[i];
        params[i] = (BorderParam){ .name = from->name,
                                   .kind = KINDS[from->kind],
                                   .i64 = from->i64,
                                   .boolean = from->i64 != 0,
                                   .f64 = from->f64,
                                   .text = from->text };
    }
    *ret_params = params;
    return E_OK;
}

Code sql_shift(Err *err, Code code, int64_t shift)
{
    if (code != E_OK && err != NULL && err->position >= 0)
        err->position = err->position >= shift ? err->position - shift : -1;
    return code;
}

/* ---- results ---- */

const struct ArrowSchema *sql_result_schema(const SqlResult *result)
{
    return engine_result_schema(result->result);
}

Code sql_result_next(SqlResult *result, struct ArrowArray *ret_batch, Err *err)
{
    return engine_result_next(result->result, ret_batch, err);
}

void sql_result_cancel(SqlResult *result)
{
    engine_result_cancel(result->result);
}

SqlStats sql_result_stats(const SqlResult *result)
{
    SqlStats stats = result->stats;
    EngineStats engine = engine_result_stats(result->result);
    if (stats.kind == SQL_SELECT || stats.kind == SQL_SHOW || stats.kind == SQL_EXPLAIN)
        stats.rows = engine.rows;
    stats.bytes = engine.bytes;
    stats.files_planned = result->resolved.files_planned;
    stats.files_pruned = result->resolved.files_total - result->resolved.files_planned;
    stats.elapsed_us = os_monotonic_us(result->sql->options.os) - result->start_us;
    return stats;
}

void sql_result_free(SqlResult **result)
{
    SqlResult *r = *result;
    if (r == NULL)
        return;
    engine_result_free(&r->result);
    engine_return(&r->lease);
    sql_resolved_done(&r->resolved);
    arena_done(&r->arena);
    mem_free(result);
}

/* ---- what a SELECT is made of ---- */

static bool same_dependency(const SqlDependency *a, const SqlDependency *b)
{
    return a->kind == b->kind && a->all == b->all && str_ieq(a->ns, b->ns) &&
           str_ieq(a->name, b->name);
}

static void add_dependency(SqlDependency *list, size_t *count, SqlDependency one)
{
    for (size_t i = 0; i < *count; i++)
        if (same_dependency(&list[i], &one))
            return;
    list[(*count)++] = one;
}

static bool raw_wants_all(const GateRaw *raw)
{
    JsonIter it = json_iter(raw->arguments);
    while (json_next(&it)) {
        const Json *value = json_get(it.value, "child");
        Str text = json_str(json_get(json_get(value, "value"), "value"));
        if (str_ieq(json_str(json_get(it.value, "alias")), STR("a")) && str_ieq(text, STR("t")))
            return true;
    }
    return false;
}

static size_t raw_dependencies(const Gate *gate, SqlDependency *list, size_t count)
{
    for (size_t i = 0; i < gate->raw_count; i++) {
        const GateRaw *raw = &gate->raws[i];
        SqlDependency one = { .position = raw->position };
        if (str_eq(raw->function, STR("source"))) {
            one.kind = SQL_DEP_SOURCE;
            one.ns = raw->texts[0];
            one.name = raw->texts[1];
            one.all = raw_wants_all(raw);
            add_dependency(list, &count, one);
            continue;
        }
        one.kind = SQL_DEP_OBJECT;
        for (size_t j = 0; j < raw->text_count; j++) {
            one.name = raw->texts[j];
            add_dependency(list, &count, one);
        }
    }
    return count;
}

static size_t object_count(const Gate *gate)
{
    size_t count = 0;
    for (size_t i = 0; i < gate->raw_count; i++)
        count += gate->raws[i].text_count;
    return count;
}

Code sql_dependencies(Sql *sql, const SqlRequest *request, Arena *arena,
                      SqlDependency **ret_dependencies, size_t *ret_count, Err *err)
{
    SqlText text;
    TRY(sql_text_prepare(request->text, 0, arena, &text, err));
    EngineLease *lease AUTO(engine_return) = NULL;
    TRY(engine_lease(sql->engine, ENGINE_INTERACTIVE, SQL_LEASE_WAIT_US, request->cancel, &lease,
                     err));
    Str json;
    TRY(border_serialize(engine_lease_conn(lease), sql_text_str(&text), arena, &json, err));
    Gate gate;
    TRY(gate_check(json, arena, &gate, err));
    if (request->refuse_volatile && gate.has_volatile) {
        Code code = err_set(err, E_INVALID,
                            STR_FMT "() gives another value at every run and is refused "
                                    "here",
                            STR_ARG(gate.volatile_name));
        code = err_hint(err, code, "use $start_ts, $end_ts or $run_id");
        return err_at(err, code, gate.volatile_position);
    }
    SqlDependency *list = arena_array(arena, SqlDependency, gate.ref_count + object_count(&gate));
    size_t count = 0;
    for (size_t i = 0; i < gate.ref_count; i++) {
        SqlDependency one = { .kind = SQL_DEP_TABLE,
                              .ns = gate.refs[i].ns,
                              .name = gate.refs[i].name,
                              .position = gate.refs[i].position };
        for (size_t t = 0; t < text.travel_count; t++)
            if (str_eq(text.travels[t].schema, one.ns))
                one.ns = text.travels[t].ns;
        add_dependency(list, &count, one);
    }
    *ret_count = raw_dependencies(&gate, list, count);
    *ret_dependencies = list;
    return E_OK;
}

/* ---- text helpers ---- */

void sql_put_name(Buf *buf, Str name)
{
    buf_put_char(buf, '"');
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '"')
            buf_put_char(buf, '"');
        buf_put_char(buf, name.ptr[i]);
    }
    buf_put_char(buf, '"');
}

void sql_put_text(Buf *buf, Str text)
{
    buf_put_char(buf, '\'');
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '\'')
            buf_put_char(buf, '\'');
        buf_put_char(buf, text.ptr[i]);
    }
    buf_put_char(buf, '\'');
}

bool sql_name_reserved(Str ns)
{
    static const char *const RESERVED[] = {
        "system", "temp", "main", "memory", "pg_catalog", "information_schema", "tarn",
    };
    for (size_t i = 0; i < ARRAY_LEN(RESERVED); i++)
        if (str_ieq(ns, str_z(RESERVED[i])))
            return true;
    return false;
}
