/* dml.c: INSERT, CREATE TABLE AS, DELETE, and a SELECT into files.
 *
 * Invariants:
 * 1. Files are published under intents before the commit names them and ends the intents; a failure
 *    between leaves files that no table names, for the sweep of orphans.
 * 2. DELETE reads and rewrites one state of the table: the commit names it as its base, and a file
 *    that was added or removed meanwhile is a CONFLICT, never a row deleted by half.
 * 3. Texts that we put around the user's start `shift` bytes before it: error places are moved
 * back. */
#include "sql/errors.h"
#include "sql/plan.h"
#include "sql/sql_priv.h"
#include "sql/write.h"

#include "format/arrow.h"
#include "table/iceberg.h"

#include <string.h>

enum { TRIM_ROWS = 10000 }; /* a write of so many sorts them in memory, hundreds of bytes each */

/* ---- columns ---- */

static Code column_field(const BorderQuery *query, size_t i, Arena *arena, IceField *ret_field,
                         Err *err)
{
    Str name = str_copy(arena, border_query_column_name(query, i));
    Str type = str_copy(arena, border_query_column_type(query, i));
    *ret_field = (IceField){ .name = name };
    if (str_eq(type, STR("HUGEINT"))) /* what sum() of integers gives */
        type = STR("DECIMAL(38,0)");
    if (str_eq(type, STR("UBIGINT")))
        type = STR("DECIMAL(20,0)");
    Code code = ice_type_from_sql(arena, type, &ret_field->type, err);
    if (code != E_OK)
        return err_wrap(err, code, "column " STR_FMT, STR_ARG(name));
    return E_OK;
}

static Code query_schema(const BorderQuery *query, Arena *arena, IceSchema **ret_schema, Err *err)
{
    IceSchema *schema = arena_new(arena, IceSchema);
    size_t count = border_query_columns(query);
    if (count > ICE_FIELDS_MAX)
        return err_set(err, E_LIMIT, "more than %d columns", ICE_FIELDS_MAX);
    schema->fields = arena_array(arena, IceField, count);
    schema->field_count = count;
    for (size_t i = 0; i < count; i++)
        TRY(column_field(query, i, arena, &schema->fields[i], err));
    int32_t last_id = 0;
    TRY(ice_schema_assign_ids(arena, schema, &last_id, err));
    *ret_schema = schema;
    return E_OK;
}

static Code bind_columns(BorderConn *conn, const SqlRequest *request, Str text,
                         const SqlResolved *resolved, Arena *arena, IceSchema **ret_schema,
                         Err *err)
{
    BorderParam *params = NULL;
    TRY(sql_params(request, arena, &params, err));
    BorderRequest border = { .text = text,
                             .params = params,
                             .param_count = request->param_count,
                             .bindings = resolved->bindings,
                             .binding_count = resolved->binding_count,
                             .columns_only = true };
    BorderQuery *query AUTO(border_query_free) = NULL;
    Code code = border_query_start(conn, &border, &query, err);
    TRY(sql_error(err, code, text));
    return query_schema(query, arena, ret_schema, err);
}

Code sql_bind_columns(Sql *sql, BorderConn *conn, const SqlRequest *request, SqlText *text,
                      Arena *arena, IceSchema **ret_schema, Err *err)
{
    SqlResolved resolved AUTO(sql_resolved_done) = { 0 };
    TRY(sql_resolve(sql, conn, request, text, arena, &resolved, err));
    return bind_columns(conn, request, sql_text_str(text), &resolved, arena, ret_schema, err);
}

Code sql_describe(Sql *sql, const SqlRequest *request, Arena *arena, IceSchema **ret_schema,
                  Err *err)
{
    SqlText text;
    TRY(sql_text_prepare(request->text, 0, arena, &text, err));
    EngineLease *lease AUTO(engine_return) = NULL;
    TRY(engine_lease(sql->engine, ENGINE_INTERACTIVE, SQL_LEASE_WAIT_US, request->cancel, &lease,
                     err));
    return sql_bind_columns(sql, engine_lease_conn(lease), request, &text, arena, ret_schema, err);
}

/* ---- a SELECT into files ---- */

typedef struct Target {
    const IceSchema *schema;
    const IcePartitionSpec *spec;
    const IceSortOrder *sort;
    const TableMetadata *metadata;
    Str location;
    Uuid table;
    Str run_id; /* of the intents */
    Str name;   /* for errors */
    bool by_position, from_reserve;
} Target;

static Code write_files(Sql *sql, const SqlRequest *request, Str text, const SqlResolved *resolved,
                        const Target *target, Arena *arena, DataFile **ret_files, size_t *ret_count,
                        WriteStats *ret_stats, Err *err)
{
    BorderParam *params = NULL;
    TRY(sql_params(request, arena, &params, err));
    WriteJob job = { .os = sql->options.os,
                     .store = sql->options.store,
                     .select = { .text = text,
                                 .params = params,
                                 .param_count = request->param_count,
                                 .bindings = resolved->bindings,
                                 .binding_count = resolved->binding_count },
                     .schema = target->schema,
                     .by_position = target->by_position,
                     .spec = target->spec,
                     .sort = target->sort,
                     .metadata = target->metadata,
                     .location = target->location,
                     .catalog = sql->options.catalog,
                     .table = target->table,
                     .run_id = target->run_id,
                     .timeout_us = sql_timeout_us(sql, request),
                     .cancel = request->cancel,
                     .from_reserve = target->from_reserve };
    Code code =
        write_run(sql->engine, ENGINE_INGEST, &job, arena, ret_files, ret_count, ret_stats, err);
    TRY(sql_error(err, code, text));
    if (sql_is_cancelled(request)) /* nothing is committed yet */
        return err_set(err, E_CANCELLED, "the statement was cancelled");
    return E_OK;
}

Code sql_write(Sql *sql, const SqlWrite *write, Arena *arena, DataFile **ret_files,
               size_t *ret_count, SqlWriteStats *ret_stats, Err *err)
{
    SqlText text;
    TRY(sql_text_prepare(write->select.text, 0, arena, &text, err));
    SqlResolved resolved AUTO(sql_resolved_done) = { 0 };
    EngineLease *lease AUTO(engine_return) = NULL;
    TRY(engine_lease(sql->engine, ENGINE_INTERACTIVE, SQL_LEASE_WAIT_US, write->select.cancel,
                     &lease, err));
    TRY(sql_resolve(sql, engine_lease_conn(lease), &write->select, &text, arena, &resolved, err));
    engine_return(&lease);
    Target target = { .schema = write->schema,
                      .spec = write->spec,
                      .sort = write->sort,
                      .metadata = write->metadata,
                      .location = write->location,
                      .table = write->table,
                      .run_id = write->run_id,
                      .by_position = write->by_position,
                      .from_reserve = write->from_reserve };
    WriteStats stats = { 0 };
    DataFile *files = NULL;
    size_t count = 0;
    TRY(write_files(sql, &write->select, sql_text_str(&text), &resolved, &target, arena, &files,
                    &count, &stats, err));
    if (!uuid_is_none(write->table) && write->metadata != NULL && count > 0)
        TRY(catalog_stage_files(sql->options.catalog, write->run_id, write->metadata, files, count, err));
    if (stats.rows >= TRIM_ROWS)
        border_trim();
    *ret_files = files;
    *ret_count = count;
    *ret_stats = (SqlWriteStats){ .rows = stats.rows,
                                  .files = stats.files,
                                  .bytes = stats.bytes,
                                  .elapsed_us = stats.elapsed_us };
    return E_OK;
}

/* ---- INSERT ---- */

static Code unsupported(SqlRun *run, const char *what, const char *hint)
{
    Code code = err_set(run->err, E_UNSUPPORTED, "%s", what);
    code = err_hint(run->err, code, "%s", hint);
    return err_at(run->err, code, run->parsed->whole.position);
}

static Code load_target(SqlRun *run, TableName *ret_name, TableVersion **ret_version)
{
    TRY(sql_run_target(run, ret_name));
    TableVersion *version AUTO(table_version_free) = NULL;
    Code code =
        catalog_load(run->sql->options.catalog, ret_name->ns, ret_name->name, &version, run->err);
    if (code != E_OK)
        return err_at(run->err, code, run->parsed->name_position);
    if (table_version_entry(version)->is_view) {
        code = err_set(run->err, E_INVALID, STR_FMT "." STR_FMT " is a view", STR_ARG(ret_name->ns),
                       STR_ARG(ret_name->name));
        return err_at(run->err, code, run->parsed->name_position);
    }
    *ret_version = TAKE(version);
    return E_OK;
}

static Str write_id(SqlRun *run)
{
    Uuid uuid = os_uuid(run->sql->options.os);
    if (run->write_id.len == 0)
        run->write_id = str_format(run->arena, "sql:" STR_FMT, STR_ARG(uuid_format(run->arena, uuid)));
    return run->write_id;
}

static Target target_of(SqlRun *run, const TableVersion *version)
{
    const TableMetadata *metadata = table_version_metadata(version);
    return (Target){ .schema = table_schema_current(metadata),
                     .spec = table_spec_default(metadata),
                     .sort = table_sort_order_default(metadata),
                     .metadata = metadata,
                     .location = metadata->location,
                     .table = metadata->uuid,
                     .run_id = write_id(run),
                     .name = table_version_entry(version)->name };
}

/* `SELECT * FROM (text) AS "@insert"(a, b)`; `*ret_shift` bytes stand before the user's text. */
static Code name_columns(SqlRun *run, const IceSchema *schema, Str text, Str *ret_text,
                         int64_t *ret_shift)
{
    const BorderStatement *s = run->parsed;
    Buf buf AUTO(buf_done);
    buf_init(&buf, 4 * SQL_TEXT_MAX);
    buf_put(&buf, STR("SELECT * FROM ("));
    *ret_shift = (int64_t)buf.len;
    buf_put(&buf, text);
    buf_put(&buf, STR("\n) AS \"@insert\"("));
    for (size_t i = 0; i < s->column_count; i++) {
        const IceField *field = ice_schema_find(schema, s->columns[i].name);
        if (field == NULL) {
            Str nearest = ice_schema_nearest(schema, s->columns[i].name);
            Code code = err_set(run->err, E_NOT_FOUND, "the table has no column " STR_FMT,
                                STR_ARG(s->columns[i].name));
            if (nearest.len > 0)
                code = err_hint(run->err, code, "did you mean " STR_FMT "?", STR_ARG(nearest));
            return err_at(run->err, code, s->name_position);
        }
        buf_put(&buf, i == 0 ? STR("") : STR(", "));
        sql_put_name(&buf, field->name);
    }
    buf_put_char(&buf, ')');
    TRY(buf_end(&buf, "the statement", run->err));
    *ret_text = str_copy(run->arena, buf_str(&buf));
    return E_OK;
}

static IceProperty principal_line(const SqlRun *run)
{
    return (IceProperty){ .key = STR("tarn.principal"), .value = run->request->principal };
}

static Code append_files(SqlRun *run, TableName name, const TableVersion *version,
                         const DataFile *files, size_t count)
{
    if (count == 0 && run->request->extra == NULL)
        return E_OK;
    IceProperty line = principal_line(run);
    TableCommit commit = { .name = name,
                           .uuid = table_version_entry(version)->uuid,
                           .kind = COMMIT_APPEND,
                           .add = files,
                           .add_count = count,
                           .has_base_schema = true,
                           .base_schema_id = table_version_metadata(version)->current_schema_id,
                           .run_id = run->write_id,
                           .summary = &line,
                           .summary_count = line.value.len > 0 };
    CommitResult result = { .snapshot_id = -1 };
    TRY(catalog_commit(run->sql->options.catalog, &commit, 1, run->request->extra, &result,
                       run->err));
    run->result->stats.snapshot_id = MAX(result.snapshot_id, (int64_t)0);
    return E_OK;
}

/* VALUES and SELECT without a list of columns fill all of them. */
static Code check_count(SqlRun *run, const IceSchema *schema, Str text)
{
    IceSchema *given = NULL;
    TRY(bind_columns(engine_lease_conn(run->result->lease), run->request, text,
                     &run->result->resolved, run->arena, &given, run->err));
    if (given->field_count == schema->field_count)
        return E_OK;
    Code code = err_set(run->err, E_INVALID, "the table has %zu columns, the query gives %zu",
                        schema->field_count, given->field_count);
    code =
        err_hint(run->err, code, "INSERT INTO t (a, b) ..., or INSERT INTO t BY NAME SELECT ...");
    return err_at(run->err, code, run->parsed->select.position);
}

Code sql_run_insert(SqlRun *run)
{
    const BorderStatement *s = run->parsed;
    if (s->has_conflict || s->has_returning || s->default_values || s->has_with)
        return unsupported(
            run,
            "INSERT with ON CONFLICT, RETURNING, DEFAULT VALUES or WITH before it is not "
            "there",
            "INSERT INTO t WITH x AS (...) SELECT ...");
    TableName name;
    TableVersion *version AUTO(table_version_free) = NULL;
    TRY(load_target(run, &name, &version));
    Target target = target_of(run, version);
    target.by_position = s->column_count == 0 && !s->by_name;
    sql_keep_piece(&run->text, &s->select);
    TRY(sql_resolve(run->sql, engine_lease_conn(run->result->lease), run->request, &run->text,
                    run->arena, &run->result->resolved, run->err));
    Str text = sql_text_str(&run->text);
    int64_t shift = 0;
    if (s->column_count > 0)
        TRY(name_columns(run, target.schema, text, &text, &shift));
    else if (target.by_position)
        TRY(check_count(run, target.schema, text));
    DataFile *files = NULL;
    size_t count = 0;
    WriteStats stats = { 0 };
    Code code = write_files(run->sql, run->request, text, &run->result->resolved, &target,
                            run->arena, &files, &count, &stats, run->err);
    TRY(sql_shift(run->err, code, shift));
    TRY(append_files(run, name, version, files, count));
    return sql_run_done(run, SQL_INSERT, "INSERT", stats.rows);
}

/* ---- CREATE TABLE AS ---- */

static Code create_as_replace(SqlRun *run, const TableCreate *create, const TableVersion *version,
                              uint64_t *ret_rows)
{
    Target target = target_of(run, version);
    IceSchema *schema = NULL;
    TRY(catalog_schema_plan(target.metadata, create->columns, create->column_count, run->arena,
                            &schema, run->err));
    target.schema = schema;
    DataFile *files = NULL;
    size_t count = 0;
    WriteStats stats = { 0 };
    TRY(write_files(run->sql, run->request, sql_text_str(&run->text), &run->result->resolved,
                    &target, run->arena, &files, &count, &stats, run->err));
    TableCommit commit = { .name = { create->ns, create->name },
                           .uuid = table_version_entry(version)->uuid,
                           .kind = COMMIT_REPLACE,
                           .schema = schema,
                           .add = files,
                           .add_count = count,
                           .run_id = run->write_id };
    CommitResult result;
    TRY(catalog_commit(run->sql->options.catalog, &commit, 1, run->request->extra, &result,
                       run->err));
    run->result->stats.snapshot_id = MAX(result.snapshot_id, (int64_t)0);
    *ret_rows = stats.rows;
    return E_OK;
}

static Code create_as_new(SqlRun *run, const TableCreate *create, uint64_t *ret_rows)
{
    Catalog *catalog = run->sql->options.catalog;
    TableDraft draft;
    Code code = catalog_table_draft(catalog, create, run->arena, &draft, run->err);
    if (code != E_OK)
        return err_at(run->err, code, run->parsed->name_position);
    Target target = { .schema = table_schema_current(draft.metadata),
                      .spec = table_spec_default(draft.metadata),
                      .sort = table_sort_order_default(draft.metadata),
                      .metadata = draft.metadata,
                      .location = draft.location,
                      .table = draft.uuid,
                      .run_id = write_id(run),
                      .name = create->name };
    DataFile *files = NULL;
    size_t count = 0;
    WriteStats stats = { 0 };
    TRY(write_files(run->sql, run->request, sql_text_str(&run->text), &run->result->resolved,
                    &target, run->arena, &files, &count, &stats, run->err));
    *ret_rows = stats.rows;
    return catalog_draft_commit(catalog, &draft, files, count, run->write_id, run->request->extra,
                                run->err);
}

/* The SELECT's columns, with names of the statement where it gives some. */
static Code create_as_columns(SqlRun *run, TableCreate *create)
{
    IceSchema *schema = NULL;
    TRY(bind_columns(engine_lease_conn(run->result->lease), run->request, sql_text_str(&run->text),
                     &run->result->resolved, run->arena, &schema, run->err));
    IceField *fields = arena_array(run->arena, IceField, schema->field_count);
    for (size_t i = 0; i < schema->field_count; i++)
        fields[i] = (IceField){ .name = schema->fields[i].name, .type = schema->fields[i].type };
    create->columns = fields;
    create->column_count = schema->field_count;
    return E_OK;
}

Code sql_run_create_as(SqlRun *run)
{
    const BorderStatement *s = run->parsed;
    TableCreate create;
    TRY(sql_table_create(run, &create));
    if (s->column_count > 0)
        return unsupported(run, "CREATE TABLE AS takes its columns from the SELECT",
                           "CREATE TABLE t AS SELECT x AS name, ...");
    TableVersion *version AUTO(table_version_free) = NULL;
    Code code = catalog_load(run->sql->options.catalog, create.ns, create.name, &version, run->err);
    if (code == E_OK && s->if_not_exists)
        return sql_run_done(run, SQL_CREATE, "CREATE TABLE", 0);
    bool is_view = code == E_OK && table_version_entry(version)->is_view;
    if (code == E_OK && (!s->or_replace || is_view)) {
        code = err_set(run->err, E_EXISTS, "the %s " STR_FMT "." STR_FMT " exists already",
                       is_view ? "view" : "table", STR_ARG(create.ns), STR_ARG(create.name));
        return err_at(run->err, code, s->name_position);
    }
    if (code != E_OK && code != E_NOT_FOUND)
        return code;
    sql_keep_piece(&run->text, &s->select);
    TRY(sql_resolve(run->sql, engine_lease_conn(run->result->lease), run->request, &run->text,
                    run->arena, &run->result->resolved, run->err));
    TRY(create_as_columns(run, &create));
    uint64_t rows = 0;
    if (version != NULL)
        TRY(create_as_replace(run, &create, version, &rows));
    else
        TRY(create_as_new(run, &create, &rows));
    return sql_run_done(run, SQL_CREATE, "CREATE TABLE AS", rows);
}

/* ---- DELETE ---- */

/* `"@delete"."t" AS x` stands for the table's state that is rewritten. */
static Code bind_deleted(SqlRun *run, const SqlPlan *plan, DataFile *const *files, size_t count,
                         BorderBinding *ret_binding)
{
    *ret_binding = (BorderBinding){ .schema = STR("@delete"), .name = run->parsed->name };
    return sql_plan_files(plan->schema, files, count, true, run->arena, &ret_binding->sql,
                          run->err);
}

static Code delete_text(SqlRun *run, const char *head, const char *open, const char *close,
                        Str *ret_text, int64_t *ret_shift)
{
    const BorderStatement *s = run->parsed;
    Buf buf AUTO(buf_done);
    buf_init(&buf, 4 * SQL_TEXT_MAX);
    buf_format(&buf, "%s FROM \"@delete\".", head);
    sql_put_name(&buf, s->name);
    if (s->alias.len > 0) {
        buf_put(&buf, STR(" AS "));
        sql_put_name(&buf, s->alias);
    }
    buf_format(&buf, " WHERE %s", open);
    *ret_shift = (int64_t)buf.len;
    buf_put(&buf, sql_text_str(&run->text));
    buf_format(&buf, "\n%s", close);
    TRY(buf_end(&buf, "the statement", run->err));
    *ret_text = str_copy(run->arena, buf_str(&buf));
    return E_OK;
}

/* One row a file: its address, its rows to delete. */
static Code note_matches(SqlRun *run, const SqlPlan *plan, const struct ArrowSchema *schema,
                         const struct ArrowArray *batch, bool *whole, bool *touched, size_t *found)
{
    ASSERT(batch->n_children == 2);
    for (int64_t i = 0; i < batch->length; i++) {
        Str file = arrow_str(schema->children[0], batch->children[0], i);
        int64_t rows = arrow_i64(schema->children[1], batch->children[1], i, -1);
        size_t f = 0;
        while (f < plan->file_count && !str_eq(plan->files[f]->address, file))
            f++;
        if (f == plan->file_count)
            return err_set(run->err, E_INTERNAL, "the file " STR_FMT " is not of the table",
                           STR_ARG(file));
        touched[f] = true;
        whole[f] = rows == plan->files[f]->record_count;
        (*found)++;
    }
    return E_OK;
}

/* The files that hold a row to delete, and how many each. */
static Code find_matches(SqlRun *run, const SqlPlan *plan, bool *whole, bool *touched,
                         size_t *ret_touched)
{
    Str text;
    int64_t shift = 0;
    TRY(delete_text(run, "SELECT \"" PLAN_FILE_COLUMN "\" AS f, count(*) AS n", "(", ") GROUP BY 1",
                    &text, &shift));
    SqlResult *result = run->result;
    Code code = sql_run_text(run, text, SQL_DELETE);
    TRY(sql_shift(run->err, code, shift));
    size_t found = 0;
    for (;;) {
        struct ArrowArray batch = { 0 };
        code = engine_result_next(result->result, &batch, run->err);
        TRY(sql_shift(run->err, sql_error(run->err, code, text), shift));
        if (batch.release == NULL)
            break;
        code = note_matches(run, plan, engine_result_schema(result->result), &batch, whole, touched,
                            &found);
        batch.release(&batch);
        TRY(code);
    }
    engine_result_free(&result->result);
    *ret_touched = found;
    return E_OK;
}

/* Writes what stays of `files`. */
static Code rewrite(SqlRun *run, const TableVersion *version, const SqlPlan *plan,
                    DataFile *const *files, size_t count, DataFile **ret_files, size_t *ret_count,
                    uint64_t *ret_rows)
{
    SqlResolved *resolved = &run->result->resolved;
    for (size_t i = 0; i < resolved->binding_count; i++)
        if (str_eq(resolved->bindings[i].schema, STR("@delete")))
            TRY(bind_deleted(run, plan, files, count, &resolved->bindings[i]));
    Str text;
    int64_t shift = 0;
    TRY(delete_text(run, "SELECT * EXCLUDE (\"" PLAN_FILE_COLUMN "\")", "((", ")) IS NOT TRUE",
                    &text, &shift));
    Target target = target_of(run, version);
    WriteStats stats = { 0 };
    Code code = write_files(run->sql, run->request, text, resolved, &target, run->arena, ret_files,
                            ret_count, &stats, run->err);
    *ret_rows = stats.rows;
    return sql_shift(run->err, code, shift);
}

/* Gates the condition alone, as `SELECT (condition)`, and resolves what its subqueries read. */
static Code resolve_condition(SqlRun *run, const SqlPlan *plan)
{
    const BorderStatement *s = run->parsed;
    SqlResolved *resolved = &run->result->resolved;
    ASSERT(s->where.position >= 7); /* DELETE FROM stands before it */
    sql_text_shorten(&run->text, s->schema, s->alias.len > 0 ? STR("") : s->name);
    sql_keep_piece(&run->text, &s->where);
    memcpy(run->text.ptr, "SELECT", 6);
    SqlRequest request = *run->request;
    TRY(sql_resolve(run->sql, engine_lease_conn(run->result->lease), &request, &run->text,
                    run->arena, resolved, run->err));
    sql_text_blank(&run->text, 0, 6);
    if (resolved->gate.has_volatile && !str_ieq(resolved->gate.volatile_name, STR("now")) &&
        !str_istarts(resolved->gate.volatile_name, STR("current_")))
        return err_at(run->err,
                      err_set(run->err, E_INVALID,
                              STR_FMT "() in a DELETE would not be the same twice",
                              STR_ARG(resolved->gate.volatile_name)),
                      resolved->gate.volatile_position);
    BorderBinding binding;
    TRY(bind_deleted(run, plan, plan->files, plan->file_count, &binding));
    return sql_resolved_add(resolved, run->arena, &binding, run->err);
}

static Code delete_all(SqlRun *run, const SqlPlan *plan, bool *touched)
{
    for (size_t i = 0; i < plan->file_count; i++)
        touched[i] = true;
    run->result->resolved.files_planned = plan->file_count;
    return E_OK;
}

static Code commit_delete(SqlRun *run, TableName name, const TableVersion *version,
                          const SqlPlan *plan, const bool *touched, const DataFile *add,
                          size_t add_count)
{
    Str *remove = arena_array(run->arena, Str, plan->file_count);
    size_t count = 0;
    for (size_t i = 0; i < plan->file_count; i++)
        if (touched[i])
            remove[count++] = plan->files[i]->address;
    IceProperty line = principal_line(run);
    TableCommit commit = { .name = name,
                           .uuid = table_version_entry(version)->uuid,
                           .kind = add_count > 0 ? COMMIT_OVERWRITE : COMMIT_DELETE,
                           .add = add,
                           .add_count = add_count,
                           .remove = remove,
                           .remove_count = count,
                           .base_snapshot_id = plan->snapshot_id,
                           .run_id = run->write_id,
                           .summary = &line,
                           .summary_count = line.value.len > 0 };
    CommitResult result = { .snapshot_id = -1 };
    TRY(catalog_commit(run->sql->options.catalog, &commit, 1, run->request->extra, &result,
                       run->err));
    run->result->stats.snapshot_id = MAX(result.snapshot_id, (int64_t)0);
    return E_OK;
}

Code sql_run_delete(SqlRun *run)
{
    const BorderStatement *s = run->parsed;
    if (s->has_using || s->has_returning || s->has_with)
        return unsupported(run, "DELETE with USING, RETURNING or WITH before it is not there",
                           "DELETE FROM t WHERE id IN (SELECT ...)");
    TableName name;
    TableVersion *version AUTO(table_version_free) = NULL;
    TRY(load_target(run, &name, &version));
    SqlPlan plan;
    TRY(sql_plan_table(version, NULL, (SqlPlanHint){ 0 }, run->arena, &plan, run->err));
    bool *touched = arena_array(run->arena, bool, plan.file_count);
    bool *whole = arena_array(run->arena, bool, plan.file_count);
    size_t found = plan.file_count;
    DataFile *add = NULL;
    size_t add_count = 0;
    uint64_t kept = 0;
    if (s->where.text.ptr == NULL) {
        TRY(delete_all(run, &plan, touched));
    } else {
        TRY(resolve_condition(run, &plan));
        TRY(find_matches(run, &plan, whole, touched, &found));
        DataFile **partly = arena_array(run->arena, DataFile *, plan.file_count);
        size_t partly_count = 0;
        for (size_t i = 0; i < plan.file_count; i++)
            if (touched[i] && !whole[i])
                partly[partly_count++] = plan.files[i];
        if (partly_count > 0)
            TRY(rewrite(run, version, &plan, partly, partly_count, &add, &add_count, &kept));
    }
    uint64_t rows = 0;
    for (size_t i = 0; i < plan.file_count; i++)
        rows += touched[i] ? (uint64_t)plan.files[i]->record_count : 0;
    if (found > 0)
        TRY(commit_delete(run, name, version, &plan, touched, add, add_count));
    return sql_run_done(run, SQL_DELETE, "DELETE", rows - kept);
}
