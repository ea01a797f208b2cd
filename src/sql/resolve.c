/* resolve.c
 *
 * Invariants:
 * 1. A name is bound once a request, whatever the number of texts that use it: the first wins, and
 *    bindings of the request win over tables.
 * 2. A name that is being resolved is on the chain of its texts; meeting it again there is a view
 * that reads itself.
 * 3. A view means the same for every reader: a bare name in its text is a CTE of that text or an
 *    error, never a name of the reader's request. CREATE VIEW refuses it already.
 * 4. What was taken from catalog and raw is in `resolved` as soon as it is taken: an error in the
 *    middle loses nothing. */
#include "sql/resolve.h"

#include "sql/plan.h"
#include "sql/sql_priv.h"

/* A text that is being resolved, and the name that it stands for. */
typedef struct Chain {
    const struct Chain *outer;
    Str ns, name;
    bool is_view;
    unsigned depth;
} Chain;

typedef struct Resolve {
    Sql *sql;
    BorderConn *conn;
    const SqlRequest *request;
    Arena *arena;
    SqlResolved *out;
    Err *err;
} Resolve;

/* A name that waits for the catalog. */
typedef struct Wanted {
    const GateRef *ref;
    const SqlTravel *travel;
    Str ns, name;
} Wanted;

void sql_resolved_done(SqlResolved *resolved)
{
    for (size_t i = 0; i < resolved->version_count; i++)
        table_version_free(&resolved->versions[i]);
    for (size_t i = 0; i < resolved->raw_count; i++)
        raw_free(&resolved->raws[i]);
    for (size_t i = 0; resolved->pinned && i < resolved->pinned->tail_count; i++)
        resolved->pinned->tails[i].unpin(resolved->pinned->tails[i].self, resolved->places[i]);
    *resolved = (SqlResolved){ 0 };
}

Code sql_resolved_add(SqlResolved *resolved, Arena *arena, const BorderBinding *binding, Err *err)
{
    if (resolved->bindings == NULL)
        resolved->bindings = arena_array(arena, BorderBinding, SQL_TABLES_MAX);
    if (resolved->binding_count == SQL_TABLES_MAX)
        return err_set(err, E_LIMIT, "a statement reads more than %d tables", SQL_TABLES_MAX);
    resolved->bindings[resolved->binding_count++] = *binding;
    return E_OK;
}

static bool is_bound(const SqlResolved *resolved, Str ns, Str name)
{
    for (size_t i = 0; i < resolved->binding_count; i++)
        if (str_ieq(resolved->bindings[i].schema, ns) && str_ieq(resolved->bindings[i].name, name))
            return true;
    return false;
}

static Code resolve_text(Resolve *r, SqlText *text, const Chain *chain, Gate *ret_gate) CHECKED;

/* Resolves the text of a view or of a binding and binds `ns.name` to it. */
static Code resolve_nested(Resolve *r, Str ns, Str name, Str sql, bool is_view, const Chain *chain)
{
    for (const Chain *outer = chain; outer != NULL; outer = outer->outer)
        if (str_ieq(outer->ns, ns) && str_ieq(outer->name, name))
            return err_set(r->err, E_INVALID, "the view " STR_FMT "." STR_FMT " reads itself",
                           STR_ARG(ns), STR_ARG(name));
    Chain inner = {
        .outer = chain, .ns = ns, .name = name, .is_view = is_view, .depth = chain->depth + 1
    };
    if (inner.depth > RESOLVE_DEPTH_MAX)
        return err_set(r->err, E_LIMIT, "views in views more than %d deep", RESOLVE_DEPTH_MAX);
    SqlText text;
    TRY(sql_text_prepare(sql, r->out->travel_count, r->arena, &text, r->err));
    Gate gate;
    TRY(resolve_text(r, &text, &inner, &gate));
    BorderBinding binding = { .schema = ns, .name = name, .sql = sql_text_str(&text) };
    return sql_resolved_add(r->out, r->arena, &binding, r->err);
}

/* An error in a view's text has its place there, not in the user's. */
static Code nested_error(Resolve *r, Code code, Str name, int64_t position)
{
    if (code == E_OK || r->err == NULL)
        return code;
    r->err->position = position;
    return err_wrap(r->err, code, "in " STR_FMT, STR_ARG(name));
}

static Code bind_request(Resolve *r, const SqlBinding *binding, const GateRef *ref,
                         const Chain *chain)
{
    if (binding->sql.ptr != NULL)
        return nested_error(r, resolve_nested(r, ref->ns, ref->name, binding->sql, false, chain),
                            ref->name, ref->position);
    BorderBinding bound = { .schema = ref->ns, .name = ref->name, .source = binding->source };
    if (binding->source == NULL) {
        DataFile **files = arena_array(r->arena, DataFile *, binding->file_count);
        for (size_t i = 0; i < binding->file_count; i++)
            files[i] = (DataFile *)(uintptr_t)&binding->files[i];
        TRY(sql_plan_files(binding->schema, files, binding->file_count, false, r->arena, &bound.sql,
                           r->err));
        r->out->files_planned += binding->file_count;
        r->out->files_total += binding->file_count;
    }
    return sql_resolved_add(r->out, r->arena, &bound, r->err);
}

/* Names that are not the catalog's: `*ret_done` when one was bound. */
static Code bind_other(Resolve *r, const GateRef *ref, const Chain *chain, bool *ret_done)
{
    *ret_done = true;
    if (is_bound(r->out, ref->ns, ref->name))
        return E_OK;
    for (size_t i = 0; i < r->request->binding_count; i++) {
        const SqlBinding *binding = &r->request->bindings[i];
        if (str_ieq(binding->ns, ref->ns) && str_ieq(binding->name, ref->name))
            return bind_request(r, binding, ref, chain);
    }
    for (size_t i = 0; i < r->sql->table_count; i++) {
        const SqlSystemTable *table = &r->sql->tables[i];
        if (str_ieq(table->ns, ref->ns) && str_ieq(table->name, ref->name)) {
            BorderBinding bound = { .schema = ref->ns, .name = ref->name, .source = table->source };
            return sql_resolved_add(r->out, r->arena, &bound, r->err);
        }
    }
    if (str_ieq(ref->ns, STR("information_schema"))) {
        BorderBinding bound = { .schema = ref->ns, .name = ref->name };
        TRY(sql_info_table(r->sql, ref->name, r->arena, &bound.sql, r->err));
        if (bound.sql.ptr != NULL)
            return sql_resolved_add(r->out, r->arena, &bound, r->err);
    }
    *ret_done = false;
    return E_OK;
}

static Code not_found(Resolve *r, Str ns, Str name, int64_t position)
{
    Str nearest = sql_info_nearest(r->sql, ns, name, r->arena);
    Code code = ns.len > 0
                    ? err_set(r->err, E_NOT_FOUND, "there is no table " STR_FMT "." STR_FMT,
                              STR_ARG(ns), STR_ARG(name))
                    : err_set(r->err, E_NOT_FOUND, "there is no table " STR_FMT, STR_ARG(name));
    if (nearest.len > 0)
        code = err_hint(r->err, code, "did you mean " STR_FMT "?", STR_ARG(nearest));
    else
        code = err_hint(r->err, code, "SHOW TABLES lists all");
    return position >= 0 ? err_at(r->err, code, position) : code;
}

/* A name is bound for the whole request: files may be left out only for the one place where it
 * stands. */
static SqlPlanHint hint_of(const Resolve *r, const Gate *gate, const Chain *chain)
{
    bool alone = chain->outer == NULL && chain->name.ptr == NULL && gate->ref_count == 1 &&
                 r->out->binding_count == 0;
    return (SqlPlanHint){ .node = alone ? gate->node : NULL, .request = r->request };
}

/* The files and, behind what they hold, the tail; `sql` becomes both. */
static Code bind_tail(Resolve *r, const SqlTail *tail, const SqlPlan *plan, Str *sql)
{
    Str name = str_format(r->arena, STR_FMT "." STR_FMT, STR_ARG(tail->ns), STR_ARG(tail->name));
    Str property = table_property(plan->metadata, tail->property, STR("0"));
    uint64_t after = 0;
    if (!str_u64(property, &after))
        return err_set(r->err, E_CORRUPT, "the property " STR_FMT " of " STR_FMT " is no number",
                       STR_ARG(tail->property), STR_ARG(name));
    after = MAX(after, r->out->places[tail - r->sql->tails]);
    BorderBinding bound = { .schema = STR("@tail"), .name = name, .source = tail->source };
    if (!is_bound(r->out, bound.schema, name))
        TRY(sql_resolved_add(r->out, r->arena, &bound, r->err));
    Buf buf AUTO(buf_done);
    buf_init(&buf, PLAN_TEXT_MAX);
    buf_format(&buf, "SELECT * FROM (" STR_FMT ") UNION ALL SELECT ", STR_ARG(*sql));
    for (size_t i = 0; i < plan->schema->field_count; i++) {
        buf_put(&buf, i == 0 ? STR("") : STR(", "));
        sql_put_name(&buf, plan->schema->fields[i].name);
    }
    buf_put(&buf, STR(" FROM \"@tail\"."));
    sql_put_name(&buf, name);
    buf_put(&buf, STR(" WHERE "));
    sql_put_name(&buf, tail->column);
    buf_format(&buf, " > %llu", (unsigned long long)after);
    TRY(buf_end(&buf, "a table with its tail", r->err));
    *sql = str_copy(r->arena, buf_str(&buf));
    return E_OK;
}

static Code bind_version(Resolve *r, const Wanted *wanted, TableVersion *version, SqlPlanHint hint,
                         const Chain *chain)
{
    const TableEntry *entry = table_version_entry(version);
    Str bound_ns = wanted->ref->ns;
    if (is_bound(r->out, bound_ns, wanted->ref->name))
        return E_OK;
    if (entry->is_view) {
        if (wanted->travel != NULL)
            return err_at(r->err,
                          err_set(r->err, E_UNSUPPORTED, STR_FMT " is a view: it has no versions",
                                  STR_ARG(entry->name)),
                          wanted->travel->position);
        return nested_error(
            r, resolve_nested(r, bound_ns, wanted->ref->name, entry->view_sql, true, chain),
            entry->name, wanted->ref->position);
    }
    SqlPlan plan;
    TRY(sql_plan_table(version, wanted->travel, hint, r->arena, &plan, r->err));
    r->out->files_planned += plan.file_count;
    r->out->files_total += plan.files_total;
    const SqlTail *tail = sql_tail_of(r->sql, wanted->ns, wanted->name);
    if (tail != NULL && wanted->travel == NULL)
        TRY(bind_tail(r, tail, &plan, &plan.sql));
    BorderBinding bound = { .schema = bound_ns, .name = wanted->ref->name, .sql = plan.sql };
    return sql_resolved_add(r->out, r->arena, &bound, r->err);
}

/* Once a statement, before the first version is loaded: a place that has fallen behind by a later one is as good,
 * since the version itself says how far its files go. */
static void tails_pin(Resolve *r)
{
    if (r->out->pinned != NULL)
        return;
    for (size_t i = 0; i < r->sql->tail_count; i++)
        r->out->places[i] = r->sql->tails[i].pin(r->sql->tails[i].self);
    r->out->pinned = r->sql;
}

/* All names of one text at one snapshot of the metadata. */
static Code bind_tables(Resolve *r, Wanted *wanted, size_t count, const Gate *gate,
                        const Chain *chain)
{
    if (count == 0)
        return E_OK;
    if (r->out->versions == NULL)
        r->out->versions = arena_array(r->arena, TableVersion *, SQL_TABLES_MAX);
    if (r->out->version_count + count > SQL_TABLES_MAX)
        return err_set(r->err, E_LIMIT, "a statement reads more than %d tables", SQL_TABLES_MAX);
    TableName *names = arena_array(r->arena, TableName, count);
    for (size_t i = 0; i < count; i++)
        names[i] = (TableName){ .ns = wanted[i].ns, .name = wanted[i].name };
    tails_pin(r);
    TableVersion **versions = r->out->versions + r->out->version_count;
    Code code = catalog_resolve(r->sql->options.catalog, names, count, versions, r->err);
    for (size_t i = 0; i < count && code == E_NOT_FOUND; i++) {
        TableVersion *one AUTO(table_version_free) = NULL;
        if (catalog_load(r->sql->options.catalog, names[i].ns, names[i].name, &one, NULL) ==
            E_NOT_FOUND)
            return not_found(r, names[i].ns, names[i].name, wanted[i].ref->position);
    }
    TRY(code);
    r->out->version_count += count;
    for (size_t i = 0; i < count; i++)
        TRY(bind_version(r, &wanted[i], versions[i], hint_of(r, gate, chain), chain));
    return E_OK;
}

/* "@3" -> the clause that it stands for, or NULL. */
static const SqlTravel *travel_of(const SqlText *text, const GateRef *ref)
{
    for (size_t i = 0; i < text->travel_count; i++)
        if (str_eq(text->travels[i].schema, ref->ns) && str_eq(text->travels[i].name, ref->name))
            return &text->travels[i];
    return NULL;
}

static Code want(Resolve *r, const SqlText *text, const GateRef *ref, Wanted *wanted, size_t *count)
{
    const SqlTravel *travel = travel_of(text, ref);
    Wanted one = {
        .ref = ref, .travel = travel, .ns = travel != NULL ? travel->ns : ref->ns, .name = ref->name
    };
    if (one.ns.len == 0)
        one.ns = r->request->default_ns;
    if (one.ns.len == 0 || ref->catalog.len > 0)
        return not_found(r, ref->catalog.len > 0 ? ref->catalog : one.ns, ref->name, ref->position);
    for (size_t i = 0; i < *count; i++)
        if (str_ieq(wanted[i].ref->ns, ref->ns) && str_ieq(wanted[i].name, one.name))
            return E_OK;
    wanted[(*count)++] = one;
    return E_OK;
}

static Code bind_raws(Resolve *r, SqlText *text, const Gate *gate);

static Code resolve_text(Resolve *r, SqlText *text, const Chain *chain, Gate *ret_gate)
{
    r->out->travel_count += text->travel_count;
    Str json;
    TRY(border_serialize(r->conn, sql_text_str(text), r->arena, &json, r->err));
    TRY(gate_check(json, r->arena, ret_gate, r->err));
    if (r->request->refuse_volatile && ret_gate->has_volatile) {
        Code code = err_set(r->err, E_INVALID,
                            STR_FMT "() gives another value at every run and is "
                                    "refused here",
                            STR_ARG(ret_gate->volatile_name));
        code = err_hint(r->err, code, "use $start_ts, $end_ts or $run_id");
        return err_at(r->err, code, ret_gate->volatile_position);
    }
    Wanted *wanted = arena_array(r->arena, Wanted, ret_gate->ref_count);
    size_t count = 0;
    for (size_t i = 0; i < ret_gate->ref_count; i++) {
        const GateRef *ref = &ret_gate->refs[i];
        bool done = false;
        if (chain->is_view && ref->ns.len == 0)
            return not_found(r, ref->ns, ref->name, ref->position);
        TRY(bind_other(r, ref, chain, &done));
        if (!done)
            TRY(want(r, text, ref, wanted, &count));
        if (ref->ns.len > 0 && ref->alias.len == 0)
            sql_text_shorten(text, ref->ns, ref->name);
    }
    TRY(bind_tables(r, wanted, count, ret_gate, chain));
    return bind_raws(r, text, ret_gate);
}

/* ---- objects read in workers ---- */

static Str argument_text(const Json *argument)
{
    for (unsigned i = 0; i < 8 && str_eq(json_str(json_get(argument, "class")), STR("CAST")); i++)
        argument = json_get(argument, "child");
    return json_str(json_get(json_get(argument, "value"), "value"));
}

/* {'a': 'INTEGER', ...} */
static Code raw_columns(Resolve *r, const Json *argument, RawRequest *request)
{
    const Json *children = json_get(argument, "children");
    RawColumn *columns = arena_array(r->arena, RawColumn, json_len(children));
    JsonIter it = json_iter(children);
    size_t count = 0;
    while (json_next(&it)) {
        columns[count] = (RawColumn){ .name = json_str(json_get(it.value, "alias")),
                                      .type = argument_text(it.value) };
        if (columns[count].name.len == 0 || columns[count].type.ptr == NULL)
            return err_set(r->err, E_INVALID, "columns is written {'name': 'TYPE', ...}");
        count++;
    }
    request->columns = columns;
    request->column_count = count;
    return E_OK;
}

static bool is_true(Str text)
{
    return str_ieq(text, STR("t")) || str_ieq(text, STR("true")) || str_eq(text, STR("1"));
}

static Code raw_argument(Resolve *r, const GateRaw *raw, Str name, const Json *argument,
                         RawRequest *request, bool *all)
{
    Str text = argument_text(argument);
    if (str_ieq(name, STR("columns")))
        return raw_columns(r, argument, request);
    if (str_eq(name, STR("a")) && str_eq(raw->function, STR("source")))
        *all = is_true(text);
    else if (str_ieq(name, STR("header")))
        request->header = is_true(text) ? 1 : 0;
    else if (str_ieq(name, STR("delim")) || str_ieq(name, STR("sep")))
        request->delim = text;
    else if (str_ieq(name, STR("quote")))
        request->quote = text;
    else if (str_ieq(name, STR("nullstr")))
        request->null_text = text;
    else if (str_ieq(name, STR("union_by_name")))
        request->union_by_name = is_true(text);
    else if (str_ieq(name, STR("as_text")))
        request->as_text = is_true(text);
    else {
        Code code = err_set(r->err, E_INVALID, STR_FMT " has no argument " STR_FMT,
                            STR_ARG(raw->function), STR_ARG(name));
        code = err_hint(r->err, code,
                        "columns, header, delim, quote, nullstr, union_by_name, as_text");
        return err_at(r->err, code, json_i64(json_get(argument, "query_location"), raw->position));
    }
    return E_OK;
}

static Code raw_addresses(Resolve *r, const GateRaw *raw, bool all, RawRequest *request)
{
    if (!str_eq(raw->function, STR("source"))) {
        request->addresses = raw->texts;
        request->address_count = raw->text_count;
        request->format = str_eq(raw->function, STR("read_csv"))    ? RAW_CSV
                          : str_eq(raw->function, STR("read_json")) ? RAW_JSON
                                                                    : RAW_PARQUET;
        return E_OK;
    }
    if (r->request->source_resolve == NULL)
        return err_set(r->err, E_UNSUPPORTED,
                       "source(...) is for models; read_csv('s3://...') reads an object");
    Str *addresses = NULL;
    size_t count = 0;
    TRY(r->request->source_resolve(r->request->source_self, raw->texts[0], raw->texts[1], all,
                                   r->arena, &addresses, &count, r->err));
    if (count == 0)
        return err_set(r->err, E_NOT_FOUND, "the source " STR_FMT " has no file " STR_FMT,
                       STR_ARG(raw->texts[0]), STR_ARG(raw->texts[1]));
    request->addresses = addresses;
    request->address_count = count;
    if (!raw_format_of(addresses[0], &request->format))
        return err_set(r->err, E_UNSUPPORTED,
                       "the name of '" STR_FMT "' does not tell whether it is CSV, "
                       "JSON or Parquet",
                       STR_ARG(raw->texts[1]));
    return E_OK;
}

static Code open_raw(Resolve *r, const GateRaw *raw)
{
    RawRequest request = { .header = -1 };
    bool all = false;
    JsonIter it = json_iter(raw->arguments);
    while (json_next(&it)) {
        Str name = json_str(json_get(it.value, "alias"));
        if (name.len > 0)
            TRY(raw_argument(r, raw, name, it.value, &request, &all));
    }
    Code code = raw_addresses(r, raw, all, &request);
    if (code == E_OK) {
        RawOptions options = { .os = r->sql->options.os,
                               .store = r->sql->options.store,
                               .timeout_ms = sql_timeout_us(r->sql, r->request) / 1000,
                               .cancel = r->request->cancel };
        if (r->out->raws == NULL)
            r->out->raws = arena_array(r->arena, RawScan *, GATE_RAWS_MAX);
        if (r->out->raw_count == GATE_RAWS_MAX)
            return err_set(r->err, E_LIMIT, "more than %d objects in one statement", GATE_RAWS_MAX);
        code = raw_open(&options, &request, &r->out->raws[r->out->raw_count], r->err);
    }
    if (code != E_OK)
        return err_at(r->err, code, raw->position);
    r->out->raw_count++;
    return E_OK;
}

static Code bind_raws(Resolve *r, SqlText *text, const Gate *gate)
{
    for (size_t i = 0; i < gate->raw_count; i++) {
        const GateRaw *raw = &gate->raws[i];
        TRY(open_raw(r, raw));
        Str name = str_format(r->arena, "@%zu", r->out->raw_count);
        Str reference = raw->alias.len > 0 ? str_format(r->arena, "\"" STR_FMT "\"", STR_ARG(name))
                                           : str_format(r->arena, "\"" STR_FMT "\" " STR_FMT,
                                                        STR_ARG(name), STR_ARG(raw->function));
        TRY(sql_text_replace_call(text, raw->position, reference, r->err));
        BorderBinding bound = { .name = name,
                                .source = raw_source(r->out->raws[r->out->raw_count - 1]) };
        TRY(sql_resolved_add(r->out, r->arena, &bound, r->err));
    }
    return E_OK;
}

Code sql_resolve(Sql *sql, BorderConn *conn, const SqlRequest *request, SqlText *text, Arena *arena,
                 SqlResolved *ret_resolved, Err *err)
{
    Resolve r = { .sql = sql,
                  .conn = conn,
                  .request = request,
                  .arena = arena,
                  .out = ret_resolved,
                  .err = err };
    Chain top = { 0 };
    return resolve_text(&r, text, &top, &ret_resolved->gate);
}
