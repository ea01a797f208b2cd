/* info.c: SHOW, DESCRIBE and information_schema, answered from the catalog. SHOW and DESCRIBE
 * become a SELECT of ours, so that there is one way to answer; information_schema becomes VALUES.
 */
#include "sql/sql_priv.h"

#include "format/arrow.h"
#include "table/iceberg.h"
#include "table/type.h"

#include <string.h>

enum { INFO_TEXT_MAX = 64 << 20 };

/* ---- names near by ---- */

Str sql_info_nearest(Sql *sql, Str ns, Str name, Arena *arena)
{
    TableEntry *entries = NULL;
    size_t count = 0;
    if (catalog_table_list(sql->options.catalog, STR_NONE, arena, &entries, &count, NULL) != E_OK)
        return STR_NONE;
    Str *names = arena_array(arena, Str, 2 * (count + sql->table_count));
    size_t full = count + sql->table_count;
    for (size_t i = 0; i < full; i++) {
        Str entry_ns = i < count ? entries[i].ns : sql->tables[i - count].ns;
        Str entry_name = i < count ? entries[i].name : sql->tables[i - count].name;
        names[i] = str_format(arena, STR_FMT "." STR_FMT, STR_ARG(entry_ns), STR_ARG(entry_name));
        names[full + i] = entry_name;
    }
    /* the same name in another namespace is nearer than any misspelling */
    for (size_t i = 0; i < full; i++)
        if (str_ieq(names[full + i], name))
            return names[i];
    if (ns.len > 0)
        return str_nearest(str_format(arena, STR_FMT "." STR_FMT, STR_ARG(ns), STR_ARG(name)),
                           names, full);
    Str nearest = str_nearest(name, names + full, full);
    for (size_t i = 0; i < full; i++)
        if (nearest.len > 0 && str_eq(names[full + i], nearest))
            return names[i];
    return STR_NONE;
}

/* ---- information_schema ---- */

typedef struct Rows {
    Buf buf;
    size_t count;
} Rows;

static void row_begin(Rows *rows)
{
    buf_put(&rows->buf, rows->count++ == 0 ? STR("(") : STR(",("));
}

static void put_cell(Rows *rows, Str text, bool first)
{
    if (!first)
        buf_put_char(&rows->buf, ',');
    if (text.ptr == NULL)
        buf_put(&rows->buf, STR("NULL"));
    else
        sql_put_text(&rows->buf, text);
}

/* `names` and their types; no row: NULLs under WHERE false. */
static Code rows_end(Rows *rows, const char *const *columns, size_t count, Arena *arena,
                     Str *ret_sql, Err *err)
{
    Buf buf AUTO(buf_done);
    buf_init(&buf, INFO_TEXT_MAX);
    buf_put(&buf, STR("SELECT "));
    for (size_t i = 0; i < count; i++) {
        bool number = strcmp(columns[i], "ordinal_position") == 0;
        if (rows->count == 0)
            buf_format(&buf, "%sNULL::%s AS %s", i == 0 ? "" : ", ", number ? "INTEGER" : "VARCHAR",
                       columns[i]);
        else
            buf_format(&buf, "%sc%zu::%s AS %s", i == 0 ? "" : ", ", i,
                       number ? "INTEGER" : "VARCHAR", columns[i]);
    }
    if (rows->count == 0) {
        buf_put(&buf, STR(" WHERE false"));
    } else {
        buf_put(&buf, STR(" FROM (VALUES "));
        buf_put(&buf, buf_str(&rows->buf));
        buf_put(&buf, STR(") AS v("));
        for (size_t i = 0; i < count; i++)
            buf_format(&buf, "%sc%zu", i == 0 ? "" : ", ", i);
        buf_put_char(&buf, ')');
    }
    TRY(buf_end(&rows->buf, "information_schema", err));
    TRY(buf_end(&buf, "information_schema", err));
    *ret_sql = str_copy(arena, buf_str(&buf));
    return E_OK;
}

static Code info_schemata(Sql *sql, Arena *arena, Str *ret_sql, Err *err)
{
    static const char *const COLUMNS[] = { "catalog_name", "schema_name" };
    Str *names = NULL;
    size_t count = 0;
    TRY(catalog_namespace_list(sql->options.catalog, arena, &names, &count, err));
    Rows rows = { 0 };
    buf_init(&rows.buf, INFO_TEXT_MAX);
    for (size_t i = 0; i < count; i++) {
        row_begin(&rows);
        put_cell(&rows, STR("lake"), true);
        put_cell(&rows, names[i], false);
        buf_put_char(&rows.buf, ')');
    }
    for (size_t i = 0; i < sql->table_count; i++) {
        bool known = false;
        for (size_t j = 0; j < count; j++)
            known = known || str_ieq(names[j], sql->tables[i].ns);
        for (size_t j = 0; j < i; j++)
            known = known || str_ieq(sql->tables[j].ns, sql->tables[i].ns);
        if (known)
            continue;
        row_begin(&rows);
        put_cell(&rows, STR("lake"), true);
        put_cell(&rows, sql->tables[i].ns, false);
        buf_put_char(&rows.buf, ')');
    }
    Code code = rows_end(&rows, COLUMNS, ARRAY_LEN(COLUMNS), arena, ret_sql, err);
    buf_done(&rows.buf);
    return code;
}

static void put_table(Rows *rows, Str ns, Str name, Str type)
{
    row_begin(rows);
    put_cell(rows, STR("lake"), true);
    put_cell(rows, ns, false);
    put_cell(rows, name, false);
    put_cell(rows, type, false);
    buf_put_char(&rows->buf, ')');
}

static Code info_tables(Sql *sql, Arena *arena, Str *ret_sql, Err *err)
{
    static const char *const COLUMNS[] = { "table_catalog", "table_schema", "table_name",
                                           "table_type" };
    TableEntry *entries = NULL;
    size_t count = 0;
    TRY(catalog_table_list(sql->options.catalog, STR_NONE, arena, &entries, &count, err));
    Rows rows = { 0 };
    buf_init(&rows.buf, INFO_TEXT_MAX);
    for (size_t i = 0; i < count; i++)
        put_table(&rows, entries[i].ns, entries[i].name,
                  entries[i].is_view ? STR("VIEW") : STR("BASE TABLE"));
    for (size_t i = 0; i < sql->table_count; i++)
        put_table(&rows, sql->tables[i].ns, sql->tables[i].name, STR("SYSTEM TABLE"));
    Code code = rows_end(&rows, COLUMNS, ARRAY_LEN(COLUMNS), arena, ret_sql, err);
    buf_done(&rows.buf);
    return code;
}

static void put_column(Rows *rows, Str ns, Str table, Str name, size_t ordinal, bool required,
                       Str type, Str doc)
{
    row_begin(rows);
    put_cell(rows, STR("lake"), true);
    put_cell(rows, ns, false);
    put_cell(rows, table, false);
    put_cell(rows, name, false);
    buf_format(&rows->buf, ",%zu", ordinal);
    put_cell(rows, required ? STR("NO") : STR("YES"), false);
    put_cell(rows, type, false);
    put_cell(rows, doc, false);
    buf_put_char(&rows->buf, ')');
}

/* What a system table's Arrow type is in SQL. */
static Str sql_of_format(const char *format)
{
    static const struct {
        const char *format, *sql;
    } ROWS[] = {
        { "b", "BOOLEAN" }, { "c", "TINYINT" },  { "s", "SMALLINT" },  { "i", "INTEGER" },
        { "l", "BIGINT" },  { "C", "UTINYINT" }, { "S", "USMALLINT" }, { "I", "UINTEGER" },
        { "L", "UBIGINT" }, { "f", "FLOAT" },    { "g", "DOUBLE" },    { "u", "VARCHAR" },
        { "U", "VARCHAR" }, { "z", "BLOB" },     { "Z", "BLOB" },      { "tdD", "DATE" },
    };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++)
        if (strcmp(format, ROWS[i].format) == 0)
            return str_z(ROWS[i].sql);
    if (strncmp(format, "tsu:", 4) == 0)
        return format[4] == '\0' ? STR("TIMESTAMP") : STR("TIMESTAMP WITH TIME ZONE");
    return str_z(format);
}

static Code put_source_columns(Rows *rows, const SqlSystemTable *table, Arena *arena, Err *err)
{
    struct ArrowSchema schema = { 0 };
    TRY(table->source->schema(table->source->self, &schema, err));
    for (int64_t i = 0; i < schema.n_children; i++)
        put_column(rows, table->ns, table->name, str_copy(arena, str_z(schema.children[i]->name)),
                   (size_t)i + 1, false, str_copy(arena, sql_of_format(schema.children[i]->format)),
                   STR_NONE);
    schema.release(&schema);
    return E_OK;
}

static Code put_table_columns(Sql *sql, Rows *rows, const TableEntry *entry, Arena *arena, Err *err)
{
    TableVersion *version AUTO(table_version_free) = NULL;
    Code code = catalog_load(sql->options.catalog, entry->ns, entry->name, &version, err);
    if (code == E_NOT_FOUND) /* dropped since the list was made */
        return E_OK;
    TRY(code);
    if (table_version_metadata(version) == NULL)
        return E_OK;
    const IceSchema *schema = table_schema_current(table_version_metadata(version));
    for (size_t i = 0; i < schema->field_count; i++) {
        const IceField *field = &schema->fields[i];
        put_column(rows, entry->ns, entry->name, field->name, i + 1, field->required,
                   ice_type_to_sql(arena, field->type), field->doc);
    }
    return E_OK;
}

static Code info_columns(Sql *sql, Arena *arena, Str *ret_sql, Err *err)
{
    static const char *const COLUMNS[] = { "table_catalog", "table_schema",     "table_name",
                                           "column_name",   "ordinal_position", "is_nullable",
                                           "data_type",     "column_comment" };
    TableEntry *entries = NULL;
    size_t count = 0;
    TRY(catalog_table_list(sql->options.catalog, STR_NONE, arena, &entries, &count, err));
    Rows rows = { 0 };
    buf_init(&rows.buf, INFO_TEXT_MAX);
    Code code = E_OK;
    for (size_t i = 0; i < count && code == E_OK; i++)
        code = put_table_columns(sql, &rows, &entries[i], arena, err);
    for (size_t i = 0; i < sql->table_count && code == E_OK; i++)
        code = put_source_columns(&rows, &sql->tables[i], arena, err);
    if (code == E_OK)
        code = rows_end(&rows, COLUMNS, ARRAY_LEN(COLUMNS), arena, ret_sql, err);
    buf_done(&rows.buf);
    return code;
}

Code sql_info_table(Sql *sql, Str name, Arena *arena, Str *ret_sql, Err *err)
{
    *ret_sql = STR_NONE;
    if (str_ieq(name, STR("schemata")))
        return info_schemata(sql, arena, ret_sql, err);
    if (str_ieq(name, STR("tables")))
        return info_tables(sql, arena, ret_sql, err);
    if (str_ieq(name, STR("columns")))
        return info_columns(sql, arena, ret_sql, err);
    return E_OK;
}

/* ---- SHOW, DESCRIBE ---- */

typedef struct Words {
    const SqlText *text;
    size_t at;
    Arena *arena;
    Err *err;
} Words;

static bool take(Words *w, const char *word)
{
    if (w->at < w->text->token_count && sql_token_is(&w->text->tokens[w->at], word)) {
        w->at++;
        return true;
    }
    return false;
}

static bool at_end(Words *w)
{
    while (take(w, ";"))
        ;
    return w->at == w->text->token_count;
}

static bool take_name(Words *w, Str *ret_name)
{
    if (w->at >= w->text->token_count || !sql_token_names(&w->text->tokens[w->at]))
        return false;
    *ret_name = sql_token_value(w->arena, &w->text->tokens[w->at++]);
    return true;
}

/* `ns.table` or `table`; false when something else stands there. */
static bool take_table(Words *w, Str default_ns, Str *ret_ns, Str *ret_name)
{
    Str first;
    if (!take_name(w, &first))
        return false;
    *ret_ns = default_ns;
    *ret_name = first;
    if (take(w, ".")) {
        *ret_ns = first;
        return take_name(w, ret_name);
    }
    return true;
}

static Str quoted(Arena *arena, Str text, bool name)
{
    Buf buf AUTO(buf_done);
    buf_init(&buf, 1 << 16);
    if (name)
        sql_put_name(&buf, text);
    else
        sql_put_text(&buf, text);
    return str_copy(arena, buf_str(&buf));
}

static Code describe(Words *w, Str ns, Str name, Str *ret_select)
{
    if (ns.len == 0) {
        Code code = err_set(w->err, E_INVALID, "the table's namespace is missing");
        return err_hint(w->err, code, "DESCRIBE bronze." STR_FMT, STR_ARG(name));
    }
    *ret_select = str_format(
        w->arena,
        "SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM " STR_FMT "." STR_FMT ")",
        STR_ARG(quoted(w->arena, ns, true)), STR_ARG(quoted(w->arena, name, true)));
    return E_OK;
}

static Code show_tables(Words *w, Str default_ns, bool all, Str *ret_select)
{
    Str ns = all ? STR_NONE : default_ns;
    if ((take(w, "from") || take(w, "in")) && !take_name(w, &ns))
        return err_set(w->err, E_SYNTAX, "SHOW TABLES FROM takes a namespace");
    Str where = ns.len == 0 ? STR("")
                            : str_format(w->arena, "WHERE lower(table_schema) = lower(" STR_FMT ")",
                                         STR_ARG(quoted(w->arena, ns, false)));
    *ret_select = str_format(w->arena,
                             "SELECT table_schema AS namespace, table_name AS name, "
                             "lower(table_type) AS kind FROM information_schema.tables " STR_FMT
                             " ORDER BY ALL",
                             STR_ARG(where));
    return E_OK;
}

static Code show(Words *w, Str default_ns, Str *ret_select)
{
    bool all = take(w, "all");
    if (take(w, "tables"))
        return show_tables(w, default_ns, all, ret_select);
    if (take(w, "namespaces") || take(w, "schemas") || take(w, "databases")) {
        *ret_select =
            STR("SELECT schema_name AS namespace FROM information_schema.schemata ORDER BY 1");
        return E_OK;
    }
    Str ns, name;
    if (take(w, "columns") && (take(w, "from") || take(w, "in")) &&
        take_table(w, default_ns, &ns, &name))
        return describe(w, ns, name, ret_select);
    Code code = err_set(w->err, E_SYNTAX, "this SHOW is not known");
    code = err_hint(w->err, code,
                    "SHOW TABLES [FROM ns], SHOW NAMESPACES, SHOW COLUMNS FROM ns.table");
    return err_at(w->err, code, w->text->token_count > 1 ? (int64_t)w->text->tokens[1].at : 0);
}

/* DESCRIBE of a query goes to the engine. */
static bool is_query_word(const SqlToken *token)
{
    static const char *const WORDS[] = {
        "select", "with", "from", "values", "(", "pivot", "unpivot"
    };
    for (size_t i = 0; i < ARRAY_LEN(WORDS); i++)
        if (sql_token_is(token, WORDS[i]))
            return true;
    return false;
}

Code sql_info_statement(const SqlText *text, const SqlRequest *request, Arena *arena,
                        Str *ret_select, Err *err)
{
    Words w = { .text = text, .arena = arena, .err = err };
    *ret_select = STR_NONE;
    Str select = STR_NONE;
    if (take(&w, "show")) {
        TRY(show(&w, request->default_ns, &select));
    } else if (take(&w, "describe") || take(&w, "desc")) {
        take(&w, "table");
        Str ns, name;
        if (w.at < text->token_count && is_query_word(&text->tokens[w.at]))
            return E_OK;
        if (!take_table(&w, request->default_ns, &ns, &name))
            return err_set(err, E_SYNTAX, "DESCRIBE takes a table: DESCRIBE bronze.events");
        TRY(describe(&w, ns, name, &select));
    } else {
        return E_OK;
    }
    if (!at_end(&w))
        return err_at(err, err_set(err, E_SYNTAX, "this is more than the statement takes"),
                      (int64_t)text->tokens[w.at].at);
    *ret_select = select;
    return E_OK;
}
