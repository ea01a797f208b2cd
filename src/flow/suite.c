#include "flow/suite.h"

#include "base/buf.h"
#include "base/vec.h"
#include "format/json.h"
#include "sql/sql.h"

#include <math.h>

typedef Vec(Expectation) ExpectVec;

typedef struct ArgReader {
    Arena *arena;
    Str path;
    const Json *kwargs;
    Expectation *e;
    Err *err;
} ArgReader;

static const ExpectInfo INFOS[] = {
#define EXPECT(kind, gx, audit, shape, doc) { STR_INIT(gx), STR_INIT(audit), SHAPE_##shape },
#include "flow/expect.def"
#undef EXPECT
};

const ExpectInfo *expect_info(ExpectKind kind)
{
    return &INFOS[kind];
}

Str severity_name(Severity severity)
{
    static const Str names[] = { STR_INIT("critical"), STR_INIT("warning"), STR_INIT("info") };
    return names[severity];
}

static Code bad(ArgReader *r, const char *what)
{
    Code code = err_set(r->err, E_INVALID, STR_FMT ": %s", STR_ARG(INFOS[r->e->kind].gx), what);
    return err_place(r->err, code, STR_FMT, STR_ARG(r->path));
}

/* A JSON value as an SQL literal: texts quoted, numbers as they were written. */
static Code literal(ArgReader *r, const Json *value, Str *ret_sql)
{
    Buf buf AUTO(buf_done);
    buf_init(&buf, SUITE_BYTES_MAX);
    JsonWriter w = json_writer(&buf);
    switch (json_type(value)) {
    case JSON_STRING:
        sql_put_text(&buf, json_str(value));
        break;
    case JSON_NUMBER:
    case JSON_BOOL:
        json_put_value(&w, value);
        break;
    case JSON_MISSING:
    case JSON_NULL:
    case JSON_ARRAY:
    case JSON_OBJECT:
        return bad(r, "a text, a number or a truth value belongs here");
    }
    TRY(buf_end(&buf, "a literal", r->err));
    *ret_sql = str_copy(r->arena, buf_str(&buf));
    return E_OK;
}

static Code texts(ArgReader *r, const Json *list, bool literals, Str **ret_texts, size_t *ret_count)
{
    size_t count = json_len(list);
    if (json_type(list) != JSON_ARRAY || count == 0 || count > SUITE_VALUES_MAX)
        return bad(r, "a list with at least one value belongs here");
    Str *out = arena_array(r->arena, Str, count);
    JsonIter it = json_iter(list);
    for (size_t i = 0; json_next(&it); i++) {
        if (literals)
            TRY(literal(r, it.value, &out[i]));
        else if (json_type(it.value) == JSON_STRING)
            out[i] = json_str(it.value);
        else
            return bad(r, "a list of texts belongs here");
    }
    *ret_texts = out;
    *ret_count = count;
    return E_OK;
}

static Code read_columns(ArgReader *r)
{
    Expectation *e = r->e;
    const Json *list = json_get(r->kwargs, "column_list");
    if (e->kind == EXPECT_COMPOUND_UNIQUE)
        return texts(r, list, false, &e->columns, &e->column_count);
    if (e->kind == EXPECT_ROW_COUNT || e->kind == EXPECT_COLUMN_SET || e->kind == EXPECT_SQL_ROWS)
        return E_OK;
    bool pair = e->kind == EXPECT_PAIR_GREATER;
    e->columns = arena_array(r->arena, Str, 2);
    e->column_count = pair ? 2 : 1;
    e->columns[0] = json_str(json_get(r->kwargs, pair ? "column_A" : "column"));
    e->columns[1] = json_str(json_get(r->kwargs, "column_B"));
    for (size_t i = 0; i < e->column_count; i++) {
        if (e->columns[i].len == 0)
            return bad(r, "the column is missing");
    }
    return E_OK;
}

static Code read_bounds(ArgReader *r)
{
    Expectation *e = r->e;
    const Json *min = json_get(r->kwargs, "min_value");
    const Json *max = json_get(r->kwargs, "max_value");
    if (json_is_null(min) && json_is_null(max))
        return bad(r, "min_value or max_value belongs to it");
    if (!json_is_null(min))
        TRY(literal(r, min, &e->min));
    if (!json_is_null(max))
        TRY(literal(r, max, &e->max));
    e->min_number = json_f64(min, -INFINITY);
    e->max_number = json_f64(max, INFINITY);
    e->strict_min = json_bool(json_get(r->kwargs, "strict_min"), false);
    e->strict_max = json_bool(json_get(r->kwargs, "strict_max"), false);
    return E_OK;
}

static Code need_text(ArgReader *r, const char *key, Str *ret_text)
{
    *ret_text = json_str(json_get(r->kwargs, key));
    if (ret_text->len > 0)
        return E_OK;
    Code code = bad(r, "an argument is missing");
    return err_hint(r->err, code, "\"%s\": \"...\"", key);
}

static Code read_reference(ArgReader *r)
{
    Str name;
    TRY(need_text(r, "table", &name));
    TRY(need_text(r, "table_column", &r->e->ref_column));
    ptrdiff_t dot = str_find_char(name, '.');
    if (dot <= 0)
        return bad(r, "the other table is NAMESPACE.TABLE");
    r->e->ref_ns = str_sub(name, 0, (size_t)dot);
    r->e->ref_table = str_from(name, (size_t)dot + 1);
    return E_OK;
}

static Code read_kind(ArgReader *r)
{
    Expectation *e = r->e;
    switch (e->kind) {
    case EXPECT_IN_SET:
    case EXPECT_NOT_IN_SET:
        return texts(r, json_get(r->kwargs, "value_set"), true, &e->values, &e->value_count);
    case EXPECT_BETWEEN:
    case EXPECT_LENGTH:
    case EXPECT_ROW_COUNT:
    case EXPECT_MEAN:
    case EXPECT_SUM:
    case EXPECT_MIN:
    case EXPECT_MAX:
        return read_bounds(r);
    case EXPECT_REGEX:
    case EXPECT_NOT_REGEX:
        return need_text(r, "regex", &e->text);
    case EXPECT_PAIR_GREATER:
        e->or_equal = json_bool(json_get(r->kwargs, "or_equal"), false);
        return E_OK;
    case EXPECT_REFERENCE:
        return read_reference(r);
    case EXPECT_SQL_ROWS:
        TRY(need_text(r, "unexpected_rows_query", &e->text));
        return str_find(e->text, STR("{batch}")) >= 0
                   ? E_OK : bad(r, "the query reads from {batch}");
    case EXPECT_OF_TYPE:
        return need_text(r, "type_", &e->text);
    case EXPECT_COLUMN_SET:
        e->exact_match = json_bool(json_get(r->kwargs, "exact_match"), true);
        return texts(r, json_get(r->kwargs, "column_set"), false, &e->values, &e->value_count);
    case EXPECT_NOT_NULL:
    case EXPECT_UNIQUE:
    case EXPECT_COMPOUND_UNIQUE:
    case EXPECT_KIND_COUNT:
        break;
    }
    return E_OK;
}

static Code read_severity(ArgReader *r, const Json *item)
{
    Str text = json_str(json_get(item, "severity"));
    if (text.len == 0)
        return E_OK;
    for (Severity s = SEVERITY_CRITICAL; s <= SEVERITY_INFO; s++) {
        if (str_ieq(text, severity_name(s))) {
            r->e->severity = s;
            return E_OK;
        }
    }
    return bad(r, "severity is critical, warning or info");
}

static Str key_of(Arena *arena, const Expectation *e)
{
    Buf buf AUTO(buf_done);
    buf_init(&buf, SUITE_BYTES_MAX);
    buf_put(&buf, INFOS[e->kind].gx);
    for (size_t i = 0; i < e->column_count; i++)
        buf_format(&buf, "%c" STR_FMT, i == 0 ? '(' : ',', STR_ARG(e->columns[i]));
    if (e->column_count > 0)
        buf_put_char(&buf, ')');
    return str_copy(arena, buf_str(&buf));
}

static Str config_of(Arena *arena, const ArgReader *r, const Json *item)
{
    Buf buf AUTO(buf_done);
    buf_init(&buf, 2 * SUITE_BYTES_MAX);
    JsonWriter w = json_writer(&buf);
    json_begin_object(&w);
    json_field_str(&w, "type", INFOS[r->e->kind].gx);
    json_key(&w, STR("kwargs"));
    json_put_value(&w, r->kwargs);
    json_key(&w, STR("meta"));
    if (json_is_null(json_get(item, "meta"))) {
        json_begin_object(&w);
        json_end_object(&w);
    } else {
        json_put_value(&w, json_get(item, "meta"));
    }
    json_field_str(&w, "severity", severity_name(r->e->severity));
    if (json_str(json_get(item, "description")).len > 0)
        json_field_str(&w, "description", json_str(json_get(item, "description")));
    json_end_object(&w);
    return str_copy(arena, buf_str(&buf));
}

/* GX writes the class name of custom SQL, its JSON schema the snake case: both are taken. */
static bool find_kind(Str type, ExpectKind *ret_kind)
{
    if (str_eq(type, STR("UnexpectedRowsExpectation"))) {
        *ret_kind = EXPECT_SQL_ROWS;
        return true;
    }
    for (size_t i = 0; i < EXPECT_KIND_COUNT; i++) {
        if (str_eq(type, INFOS[i].gx)) {
            *ret_kind = (ExpectKind)i;
            return true;
        }
    }
    return false;
}

static Code unknown(Str path, Str type, bool audit, Err *err)
{
    Str names[EXPECT_KIND_COUNT];
    for (size_t i = 0; i < EXPECT_KIND_COUNT; i++)
        names[i] = audit ? INFOS[i].audit : INFOS[i].gx;
    Code code = err_set(err, E_INVALID, "not a known %s: '" STR_FMT "'",
                        audit ? "audit" : "expectation", STR_ARG(type));
    code = err_place(err, code, STR_FMT, STR_ARG(path));
    Str nearest = str_nearest(type, names, EXPECT_KIND_COUNT);
    return nearest.ptr ? err_hint(err, code, "did you mean " STR_FMT "?", STR_ARG(nearest)) : code;
}

static Code read_item(Arena *arena, Str path, Str type, const Json *item, Expectation *ret_expect,
                      Err *err)
{
    Expectation e = { .mostly = 1 };
    if (!find_kind(type, &e.kind))
        return unknown(path, type, false, err);
    ArgReader r = { arena, path, json_get(item, "kwargs"), &e, err };
    if (json_type(r.kwargs) != JSON_OBJECT)
        return bad(&r, "kwargs is missing");
    TRY(read_severity(&r, item));
    TRY(read_columns(&r));
    TRY(read_kind(&r));
    e.mostly = json_f64(json_get(r.kwargs, "mostly"), 1);
    if (!(e.mostly >= 0 && e.mostly <= 1))
        return bad(&r, "mostly is a number from 0 to 1");
    e.condition = json_str(json_get(r.kwargs, "row_condition"));
    e.description = json_str(json_get(item, "description"));
    e.key = key_of(arena, &e);
    e.config_json = config_of(arena, &r, item);
    *ret_expect = e;
    return E_OK;
}

static Code read_items(Arena *arena, Str path, const Json *list, ExpectVec *items, Err *err)
{
    JsonIter it = json_iter(list);
    while (json_next(&it)) {
        Expectation e;
        Str type = json_str(json_get(it.value, "type"));
        if (type.len == 0)
            type = json_str(json_get(it.value, "expectation_type"));
        if (items->len == SUITE_EXPECTATIONS_MAX)
            return err_set(err, E_LIMIT, "a suite has at most %d expectations",
                           SUITE_EXPECTATIONS_MAX);
        TRY(read_item(arena, path, type, it.value, &e, err));
        vec_push(items, e);
    }
    return E_OK;
}

Code suite_parse(Arena *arena, Str path, Str json, Suite *ret_suite, Err *err)
{
    JsonLimits limits = { .bytes_max = SUITE_BYTES_MAX };
    const Json *root;
    const Json *list;
    Code code = json_parse(arena, json, &limits, &root, err);
    if (code == E_OK)
        code = json_need_arr(root, "expectations", &list, err);
    if (code != E_OK)
        return err_place(err, code, STR_FMT, STR_ARG(path));
    Suite suite = { .name = json_str(json_get(root, "name")) };
    if (suite.name.len == 0)
        suite.name = json_str(json_get(root, "expectation_suite_name"));
    ExpectVec items = { 0 };
    code = read_items(arena, path, list, &items, err);
    if (code == E_OK) {
        suite.items = arena_copy(arena, items.items, items.len * sizeof *items.items);
        suite.count = items.len;
        *ret_suite = suite;
    }
    vec_done(&items);
    return code;
}

/* ---- audits: written as the JSON of one expectation a column, then read like a suite ---- */

/* Short names of arguments and what GX calls them; a list where `list`. */
static const struct Arg {
    Str audit;
    const char *gx;
    bool list;
} ARGS[] = {
    { STR_INIT("column"), "column", false },
    { STR_INIT("values"), "value_set", true },
    { STR_INIT("is_in"), "value_set", true },
    { STR_INIT("min"), "min_value", false },
    { STR_INIT("max"), "max_value", false },
    { STR_INIT("min_v"), "min_value", false },
    { STR_INIT("max_v"), "max_value", false },
    { STR_INIT("strict_min"), "strict_min", false },
    { STR_INIT("strict_max"), "strict_max", false },
    { STR_INIT("regex"), "regex", false },
    { STR_INIT("a"), "column_A", false },
    { STR_INIT("b"), "column_B", false },
    { STR_INIT("or_equal"), "or_equal", false },
    { STR_INIT("table"), "table", false },
    { STR_INIT("table_column"), "table_column", false },
    { STR_INIT("query"), "unexpected_rows_query", false },
    { STR_INIT("type"), "type_", false },
    { STR_INIT("mostly"), "mostly", false },
    { STR_INIT("condition"), "row_condition", false },
    { STR_INIT("exact_match"), "exact_match", false },
};

static void put_value(JsonWriter *w, Str value)
{
    double number;
    if (str_f64(value, &number) && isfinite(number))
        json_put_raw(w, value);
    else if (str_ieq(value, STR("true")) || str_ieq(value, STR("false")))
        json_put_bool(w, str_ieq(value, STR("true")));
    else
        json_put_str(w, value);
}

static bool put_arg(JsonWriter *w, const ModelArg *arg)
{
    for (size_t i = 0; i < ARRAY_LEN(ARGS); i++) {
        if (!str_ieq(arg->name, ARGS[i].audit))
            continue;
        json_key(w, str_z(ARGS[i].gx));
        if (!ARGS[i].list) {
            put_value(w, arg->values[0]);
            return arg->count == 1;
        }
        json_begin_array(w);
        for (size_t j = 0; j < arg->count; j++)
            put_value(w, arg->values[j]);
        json_end_array(w);
        return true;
    }
    return false;
}

static const ModelArg *audit_arg(const ModelAudit *audit, Str name)
{
    for (size_t i = 0; i < audit->arg_count; i++) {
        if (str_ieq(audit->args[i].name, name) && audit->args[i].count > 0)
            return &audit->args[i];
    }
    return NULL;
}

static void put_list(JsonWriter *w, Str key, const ModelArg *arg)
{
    json_key(w, key);
    json_begin_array(w);
    for (size_t i = 0; i < arg->count; i++)
        json_put_str(w, arg->values[i]);
    json_end_array(w);
}

/* `column` no pointer: the audit is of the whole table or of a list of columns. */
static Code put_audit(Buf *buf, ExpectKind kind, const ModelAudit *audit, Str column, Str path,
                      Err *err)
{
    JsonWriter w = json_writer(buf);
    json_begin_object(&w);
    json_field_str(&w, "type", INFOS[kind].gx);
    const ModelArg *severity = audit_arg(audit, STR("severity"));
    if (severity)
        json_field_str(&w, "severity", severity->values[0]);
    json_key(&w, STR("kwargs"));
    json_begin_object(&w);
    if (column.ptr)
        json_field_str(&w, "column", column);
    for (size_t i = 0; i < audit->arg_count; i++) {
        const ModelArg *arg = &audit->args[i];
        if (str_ieq(arg->name, STR("severity")))
            continue;
        if (str_ieq(arg->name, STR("columns"))) {
            if (!column.ptr)
                put_list(&w, kind == EXPECT_COLUMN_SET ? STR("column_set") : STR("column_list"), arg);
            continue;
        }
        if (arg->count == 0 || !put_arg(&w, arg)) {
            Code code = err_set(err, E_INVALID, STR_FMT ": no such argument: " STR_FMT,
                                STR_ARG(audit->name), STR_ARG(arg->name));
            return err_place(err, code, STR_FMT, STR_ARG(path));
        }
    }
    json_end_object(&w);
    json_end_object(&w);
    return buf_end(buf, "an audit", err);
}

static Code add_audit(Arena *arena, const Model *model, const ModelAudit *audit, ExpectVec *items,
                      Err *err)
{
    size_t kind = 0;
    while (kind < EXPECT_KIND_COUNT && !str_ieq(audit->name, INFOS[kind].audit))
        kind++;
    if (kind == EXPECT_KIND_COUNT)
        return unknown(model->path, audit->name, true, err);
    bool whole = kind == EXPECT_COMPOUND_UNIQUE || kind == EXPECT_COLUMN_SET;
    const ModelArg *columns = whole ? NULL : audit_arg(audit, STR("columns"));
    for (size_t i = 0; i < (columns ? columns->count : 1); i++) {
        Buf buf AUTO(buf_done);
        buf_init(&buf, SUITE_BYTES_MAX);
        const Json *item;
        Expectation e;
        TRY(put_audit(&buf, (ExpectKind)kind, audit, columns ? columns->values[i] : STR_NONE,
                      model->path, err));
        TRY(json_parse(arena, str_copy(arena, buf_str(&buf)), NULL, &item, err));
        TRY(read_item(arena, model->path, INFOS[kind].gx, item, &e, err));
        if (items->len == SUITE_EXPECTATIONS_MAX)
            return err_set(err, E_LIMIT, "a model has at most %d expectations",
                           SUITE_EXPECTATIONS_MAX);
        vec_push(items, e);
    }
    return E_OK;
}

Code suite_add_audits(Arena *arena, const Model *model, Suite *suite, Err *err)
{
    ExpectVec items = { 0 };
    for (size_t i = 0; i < suite->count; i++)
        vec_push(&items, suite->items[i]);
    Code code = E_OK;
    for (size_t i = 0; i < model->audit_count && code == E_OK; i++)
        code = add_audit(arena, model, &model->audits[i], &items, err);
    if (code == E_OK) {
        suite->items = arena_copy(arena, items.items, items.len * sizeof *items.items);
        suite->count = items.len;
    }
    vec_done(&items);
    return code;
}
