#include "flow/body.h"

#include "flow/model_lex.h"
#include "flow/quality.h"

#include <string.h>

const ModelColumn QUARANTINE_COLUMNS[] = {
    { STR_INIT("model"), STR_INIT("VARCHAR") },
    { STR_INIT("run_id"), STR_INIT("VARCHAR") },
    { STR_INIT("reason"), STR_INIT("VARCHAR") },
    { STR_INIT("_file"), STR_INIT("VARCHAR") },
    { STR_INIT("_row"), STR_INIT("BIGINT") },
    { STR_INIT("_raw"), STR_INIT("VARCHAR") },
    { STR_INIT("quarantined_at"), STR_INIT("TIMESTAMP WITH TIME ZONE") },
};
const size_t QUARANTINE_COLUMN_COUNT = ARRAY_LEN(QUARANTINE_COLUMNS);

/* ---- columns ---- */

static bool take_place(Body *body, Str name)
{
    static const Str names[] = { STR_INIT("_file"), STR_INIT("_row"), STR_INIT("_raw") };
    bool *flags[] = { &body->has_file, &body->has_row, &body->has_raw };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_ieq(name, names[i])) {
            *flags[i] = true;
            return true;
        }
    }
    return false;
}

static const ModelColumn *declared(const Model *model, Str name)
{
    for (size_t i = 0; i < model->column_count; i++) {
        if (str_ieq(model->columns[i].name, name))
            return &model->columns[i];
    }
    return NULL;
}

static Code fit_declared(Arena *arena, Body *body, const IceSchema *given, Err *err)
{
    const Model *model = body->model;
    body->columns = arena_array(arena, BodyColumn, model->column_count);
    for (size_t i = 0; i < model->column_count; i++) {
        const ModelColumn *column = &model->columns[i];
        const IceField *field = ice_schema_column(given, column->name);
        BodyColumn *out = &body->columns[body->column_count++];
        if (!field) {
            Code code = err_set(err, E_INVALID, STR_FMT " declares a column that its SELECT does not"
                                " give: " STR_FMT, STR_ARG(model->name), STR_ARG(column->name));
            Str nearest = ice_schema_nearest(given, column->name);
            return nearest.ptr ? err_hint(err, code, "did you mean " STR_FMT "?", STR_ARG(nearest))
                               : code;
        }
        TRY(ice_type_from_sql(arena, column->type, &out->type, err));
        out->name = column->name;
        out->cast = !str_ieq(ice_type_to_sql(arena, out->type), ice_type_to_sql(arena, field->type));
        body->casts |= out->cast;
    }
    return E_OK;
}

Code body_fit(Arena *arena, Body *body, const IceSchema *given, Err *err)
{
    const Model *model = body->model;
    bool free_columns = model->column_count == 0;
    if (free_columns)
        body->columns = arena_array(arena, BodyColumn, given->field_count);
    for (size_t i = 0; i < given->field_count; i++) {
        const IceField *field = &given->fields[i];
        if (take_place(body, field->name) || (!free_columns && declared(model, field->name)))
            continue;
        if (!free_columns) {
            Code code = err_set(err, E_INVALID, STR_FMT " gives a column that it does not declare: "
                                STR_FMT, STR_ARG(model->name), STR_ARG(field->name));
            return err_hint(err, code, "add it to `columns`, or name the columns in the SELECT");
        }
        body->columns[body->column_count++] = (BodyColumn){ field->name, field->type, false };
    }
    if (!free_columns)
        TRY(fit_declared(arena, body, given, err));
    body->separates = body->casts;
    for (size_t i = 0; i < body->suite->count; i++)
        body->separates |= quality_is_separable(&body->suite->items[i], model->on_fail);
    return body->column_count > 0 ? E_OK : err_set(err, E_INVALID, STR_FMT " gives no columns",
                                                   STR_ARG(model->name));
}

/* ---- statements ---- */

static void put_columns(Buf *sql, const Body *body)
{
    for (size_t i = 0; i < body->column_count; i++) {
        if (i > 0)
            buf_put(sql, STR(", "));
        sql_put_name(sql, body->columns[i].name);
    }
}

static void put_typed_column(Buf *sql, const BodyColumn *column)
{
    if (!column->cast) {
        sql_put_name(sql, column->name);
        return;
    }
    buf_put(sql, STR("TRY_CAST("));
    sql_put_name(sql, column->name);
    buf_put(sql, STR(" AS "));
    ice_type_put_sql(sql, column->type);
    buf_put(sql, STR(") AS "));
    sql_put_name(sql, column->name);
}

/* `_cN`: the value is there and does not cast. */
static void put_cast_flag(Buf *sql, const BodyColumn *column, size_t number)
{
    buf_put(sql, STR(", ("));
    sql_put_name(sql, column->name);
    buf_put(sql, STR(" IS NOT NULL AND TRY_CAST("));
    sql_put_name(sql, column->name);
    buf_put(sql, STR(" AS "));
    ice_type_put_sql(sql, column->type);
    buf_format(sql, ") IS NULL) AS _c%zu", number);
}

/* WITH _body AS (...), _typed AS (...) */
static void put_ctes(Buf *sql, const Body *body, size_t *ret_at)
{
    buf_put(sql, STR("WITH _body AS (\n"));
    *ret_at = sql->len;
    buf_put(sql, body->sql);
    buf_put(sql, STR("\n), _typed AS (SELECT "));
    for (size_t i = 0; i < body->column_count; i++) {
        if (i > 0)
            buf_put(sql, STR(", "));
        put_typed_column(sql, &body->columns[i]);
    }
    if (body->has_file)
        buf_put(sql, STR(", _file"));
    if (body->has_row)
        buf_put(sql, STR(", _row"));
    if (body->has_raw)
        buf_put(sql, STR(", _raw"));
    for (size_t i = 0; i < body->column_count; i++) {
        if (body->columns[i].cast)
            put_cast_flag(sql, &body->columns[i], i);
    }
    buf_put(sql, STR(" FROM _body) "));
}

/* All reasons to set a row aside, joined by OR; the caller knows that there is one. */
static void put_any_reason(Buf *sql, const Body *body)
{
    bool first = true;
    for (size_t i = 0; i < body->column_count; i++) {
        if (!body->columns[i].cast)
            continue;
        buf_format(sql, "%s_c%zu", first ? "" : " OR ", i);
        first = false;
    }
    for (size_t i = 0; i < body->suite->count; i++) {
        const Expectation *e = &body->suite->items[i];
        if (!quality_is_separable(e, body->model->on_fail))
            continue;
        if (!first)
            buf_put(sql, STR(" OR "));
        quality_put_unexpected(sql, e);
        first = false;
    }
}

static void put_first_of_key(Buf *sql, const Body *body)
{
    buf_put(sql, STR(" QUALIFY row_number() OVER (PARTITION BY "));
    for (size_t i = 0; i < body->model->dedup_key_count; i++) {
        if (i > 0)
            buf_put(sql, STR(", "));
        sql_put_name(sql, body->model->dedup_keys[i]);
    }
    buf_put(sql, STR(" ORDER BY "));
    if (body->has_file && body->has_row)
        buf_put(sql, STR("_file, _row"));
    else
        put_columns(sql, body);
    buf_put(sql, STR(") = 1"));
}

Code body_good(Arena *arena, const Body *body, Str *ret_sql, size_t *ret_at, Err *err)
{
    Buf sql AUTO(buf_done);
    buf_init(&sql, SQL_TEXT_MAX);
    put_ctes(&sql, body, ret_at);
    buf_format(&sql, "SELECT %s", body->model->dedup == DEDUP_ALL ? "DISTINCT " : "");
    put_columns(&sql, body);
    buf_put(&sql, STR(" FROM _typed"));
    if (body->separates) {
        buf_put(&sql, STR(" WHERE NOT ("));
        put_any_reason(&sql, body);
        buf_put_char(&sql, ')');
    }
    if (body->model->dedup == DEDUP_KEY)
        put_first_of_key(&sql, body);
    TRY(buf_end(&sql, "a model's statement", err));
    *ret_sql = str_copy(arena, buf_str(&sql));
    return E_OK;
}

static void put_reasons(Buf *sql, const Body *body)
{
    buf_put(sql, STR("concat_ws('; '"));
    for (size_t i = 0; i < body->column_count; i++) {
        if (!body->columns[i].cast)
            continue;
        Arena tmp AUTO(arena_done) = { 0 };
        buf_format(sql, ", CASE WHEN _c%zu THEN ", i);
        sql_put_text(sql, str_format(&tmp, "cast(" STR_FMT ")", STR_ARG(body->columns[i].name)));
        buf_put(sql, STR(" END"));
    }
    for (size_t i = 0; i < body->suite->count; i++) {
        const Expectation *e = &body->suite->items[i];
        if (!quality_is_separable(e, body->model->on_fail))
            continue;
        buf_put(sql, STR(", CASE WHEN "));
        quality_put_unexpected(sql, e);
        buf_put(sql, STR(" THEN "));
        sql_put_text(sql, e->key);
        buf_put(sql, STR(" END"));
    }
    buf_put(sql, STR(") AS reason"));
}

/* What was received where there is such a thing, else the row as JSON. */
static void put_raw(Buf *sql, const Body *body)
{
    buf_put(sql, STR("coalesce("));
    if (body->has_raw)
        buf_put(sql, STR("CAST(_raw AS VARCHAR), "));
    buf_put(sql, STR("CAST(to_json(struct_pack("));
    for (size_t i = 0; i < body->column_count; i++) {
        if (i > 0)
            buf_put(sql, STR(", "));
        sql_put_name(sql, body->columns[i].name);
        buf_put(sql, STR(" := "));
        sql_put_name(sql, body->columns[i].name);
    }
    buf_put(sql, STR(")) AS VARCHAR)) AS _raw"));
}

static void put_place(Buf *sql, const Body *body)
{
    if (body->has_file) {
        buf_put(sql, STR(", CAST(_file AS VARCHAR) AS _file"));
    } else if (body->file.len > 0) {
        buf_put(sql, STR(", "));
        sql_put_text(sql, body->file);
        buf_put(sql, STR(" AS _file"));
    } else {
        buf_put(sql, STR(", CAST(NULL AS VARCHAR) AS _file"));
    }
    buf_format(sql, ", CAST(%s AS BIGINT) AS _row, ", body->has_row ? "_row" : "NULL");
    put_raw(sql, body);
}

static void put_run(Buf *sql, const Body *body)
{
    buf_put(sql, STR("SELECT "));
    sql_put_text(sql, body->model->name);
    buf_put(sql, STR(" AS model, "));
    sql_put_text(sql, body->run_id);
    buf_put(sql, STR(" AS run_id, "));
}

static void put_now(Buf *sql, const Body *body)
{
    Arena tmp AUTO(arena_done) = { 0 };
    buf_put(sql, STR(", CAST("));
    sql_put_text(sql, time_format(&tmp, body->now_us));
    buf_put(sql, STR(" AS TIMESTAMP WITH TIME ZONE) AS quarantined_at"));
}

Code body_bad(Arena *arena, const Body *body, Str *ret_sql, size_t *ret_at, Err *err)
{
    Buf sql AUTO(buf_done);
    buf_init(&sql, SQL_TEXT_MAX);
    put_ctes(&sql, body, ret_at);
    put_run(&sql, body);
    put_reasons(&sql, body);
    put_place(&sql, body);
    put_now(&sql, body);
    buf_put(&sql, STR(" FROM _typed WHERE ("));
    put_any_reason(&sql, body);
    buf_put_char(&sql, ')');
    if (body->model->dedup == DEDUP_ALL) {
        buf_put(&sql, STR(" QUALIFY row_number() OVER (PARTITION BY "));
        put_columns(&sql, body);
        buf_format(&sql, "%s%s) = 1", body->has_raw ? ", _typed._raw" : "",
                   body->has_file && body->has_row ? " ORDER BY _typed._file, _typed._row" : "");
    }
    TRY(buf_end(&sql, "a model's statement", err));
    *ret_sql = str_copy(arena, buf_str(&sql));
    return E_OK;
}

Code body_odd(Arena *arena, const Body *body, size_t number, Str *ret_sql, Err *err)
{
    Buf sql AUTO(buf_done);
    buf_init(&sql, SQL_TEXT_MAX);
    put_run(&sql, body);
    buf_put(&sql, STR("_problem AS reason, _file, _row, _raw"));
    put_now(&sql, body);
    buf_format(&sql, " FROM \"@t%zu\" WHERE _problem IS NOT NULL", number);
    TRY(buf_end(&sql, "a model's statement", err));
    *ret_sql = str_copy(arena, buf_str(&sql));
    return E_OK;
}

Code body_count(Arena *arena, const Body *body, Str *ret_sql, size_t *ret_at, Err *err)
{
    Buf sql AUTO(buf_done);
    buf_init(&sql, SQL_TEXT_MAX);
    buf_put(&sql, STR("SELECT count(*) FROM (\n"));
    *ret_at = sql.len;
    buf_put(&sql, body->sql);
    buf_put(&sql, STR("\n) AS _body"));
    TRY(buf_end(&sql, "a model's statement", err));
    *ret_sql = str_copy(arena, buf_str(&sql));
    return E_OK;
}

/* ---- source(...) in the text ---- */

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'
           || c == '.' || c == '"';
}

/* 'text' at `*at`; quotes doubled inside are refused here and left to the engine's own source(). */
static bool take_text(Str sql, size_t *at, Str *ret_text)
{
    *at = head_skip_blank(sql, *at);
    if (*at >= sql.len || sql.ptr[*at] != '\'')
        return false;
    ptrdiff_t end = str_find_char(str_from(sql, *at + 1), '\'');
    if (end < 0)
        return false;
    *ret_text = str_sub(sql, *at + 1, (size_t)end);
    *at = head_skip_blank(sql, *at + 1 + (size_t)end + 1);
    return true;
}

static bool take_byte(Str sql, size_t *at, char c)
{
    *at = head_skip_blank(sql, *at);
    if (*at >= sql.len || sql.ptr[*at] != c)
        return false;
    (*at)++;
    return true;
}

/* , all := true */
static bool take_all(Str sql, size_t *at, bool *ret_all)
{
    if (!take_byte(sql, at, ','))
        return true;
    *at = head_skip_blank(sql, *at);
    if (!str_istarts(str_from(sql, *at), STR("all")))
        return false;
    *at += 3;
    if (!take_byte(sql, at, ':') || !take_byte(sql, at, '='))
        return false;
    *at = head_skip_blank(sql, *at);
    *ret_all = str_istarts(str_from(sql, *at), STR("true"));
    *at += *ret_all ? 4 : 5;
    return true;
}

static bool take_call(Str sql, size_t from, BodySource *ret_source)
{
    static const Str word = STR_INIT("source");
    size_t at = from + word.len;
    BodySource out = { .from = from };
    if (!str_istarts(str_from(sql, from), word) || !take_byte(sql, &at, '(')
        || !take_text(sql, &at, &out.source) || !take_byte(sql, &at, ',')
        || !take_text(sql, &at, &out.name) || !take_all(sql, &at, &out.all)
        || !take_byte(sql, &at, ')'))
        return false;
    out.to = at;
    *ret_source = out;
    return true;
}

size_t body_sources(Str sql, BodySource *ret_sources)
{
    size_t count = 0;
    size_t at = 0;
    while (at < sql.len && count < BODY_SOURCES_MAX) {
        size_t next = head_skip_blank(sql, at);
        if (next > at) {
            at = next;
        } else if (sql.ptr[at] == '\'') {
            ptrdiff_t end = str_find_char(str_from(sql, at + 1), '\'');
            at = end < 0 ? sql.len : at + 1 + (size_t)end + 1;
        } else if (is_word(sql.ptr[at]) && take_call(sql, at, &ret_sources[count])) {
            at = ret_sources[count++].to;
        } else if (is_word(sql.ptr[at])) {
            while (at < sql.len && is_word(sql.ptr[at]))
                at++;
        } else {
            at++;
        }
    }
    return count;
}

void body_replace(char *sql, const BodySource *source, size_t number)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Str name = str_format(&tmp, "\"@s%zu\"", number);
    size_t len = source->to - source->from;
    ASSERT(name.len <= len);
    memset(sql + source->from, ' ', len);
    memcpy(sql + source->from, name.ptr, name.len);
}
