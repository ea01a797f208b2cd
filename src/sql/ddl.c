/* ddl.c: CREATE, DROP, ALTER of tables, views and namespaces. The engine's parser reads the
 * statement; Iceberg's parts (transforms, sort fields) are a small grammar here, without
 * expressions: field     = name { "." name } | transform "(" [ number "," ] name { "." name } ")"
 *   sort      = field [ ASC | DESC ] [ NULLS FIRST | NULLS LAST ] */
#include "sql/sql_priv.h"

#include "table/iceberg.h"
#include "table/type.h"

static Code at_target(SqlRun *run, Code code)
{
    if (code == E_OK || (run->err != NULL && run->err->position >= 0))
        return code;
    return err_at(run->err, code, run->parsed->name_position);
}

static Code unsupported(SqlRun *run, const char *what, const char *hint)
{
    Code code = err_set(run->err, E_UNSUPPORTED, "%s", what);
    return at_target(run, err_hint(run->err, code, "%s", hint));
}

/* ---- the small grammar ---- */

typedef struct FieldReader {
    SqlToken *tokens;
    size_t count, at;
    Arena *arena;
    Err *err;
} FieldReader;

static bool take(FieldReader *r, const char *word)
{
    if (r->at < r->count && sql_token_is(&r->tokens[r->at], word)) {
        r->at++;
        return true;
    }
    return false;
}

static Code read_path(FieldReader *r, Str *ret_path)
{
    Str path = STR_NONE;
    do {
        if (r->at >= r->count || !sql_token_names(&r->tokens[r->at]))
            return err_set(r->err, E_SYNTAX, "a column's name is missing");
        Str name = sql_token_value(r->arena, &r->tokens[r->at++]);
        path = path.ptr == NULL
                   ? name
                   : str_format(r->arena, STR_FMT "." STR_FMT, STR_ARG(path), STR_ARG(name));
    } while (take(r, "."));
    *ret_path = path;
    return E_OK;
}

static Code transform_of(FieldReader *r, Str name, int64_t width, IceTransform *ret_transform)
{
    static const struct {
        const char *name;
        TransformKind kind;
        bool has_width;
    } ROWS[] = {
        { "year", TRANSFORM_YEAR, false },    { "years", TRANSFORM_YEAR, false },
        { "month", TRANSFORM_MONTH, false },  { "months", TRANSFORM_MONTH, false },
        { "day", TRANSFORM_DAY, false },      { "days", TRANSFORM_DAY, false },
        { "hour", TRANSFORM_HOUR, false },    { "hours", TRANSFORM_HOUR, false },
        { "void", TRANSFORM_VOID, false },    { "identity", TRANSFORM_IDENTITY, false },
        { "bucket", TRANSFORM_BUCKET, true }, { "truncate", TRANSFORM_TRUNCATE, true },
    };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        if (!str_ieq(name, str_z(ROWS[i].name)))
            continue;
        bool fits = ROWS[i].has_width ? width > 0 && width <= INT32_MAX : width < 0;
        if (!fits)
            return err_set(r->err, E_INVALID,
                           ROWS[i].has_width
                               ? "bucket and truncate take a positive number first: bucket(16, id)"
                               : "this transform takes a column only: day(ts)");
        *ret_transform = (IceTransform){ ROWS[i].kind, ROWS[i].has_width ? (int32_t)width : 0 };
        return E_OK;
    }
    Code code =
        err_set(r->err, E_INVALID, "there is no partition transform " STR_FMT, STR_ARG(name));
    return err_hint(r->err, code,
                    "year, month, day, hour, bucket(n, c), truncate(n, c), identity, void");
}

static Code read_field(FieldReader *r, Str *ret_path, IceTransform *ret_transform)
{
    *ret_transform = (IceTransform){ TRANSFORM_IDENTITY, 0 };
    bool call = r->at + 1 < r->count && sql_token_is(&r->tokens[r->at + 1], "(");
    if (!call)
        return read_path(r, ret_path);
    Str name = sql_token_value(r->arena, &r->tokens[r->at]);
    r->at += 2;
    int64_t width = -1;
    if (r->at < r->count && r->tokens[r->at].kind == SQL_TOKEN_NUMBER) {
        if (!str_i64(r->tokens[r->at++].text, &width) || !take(r, ","))
            return err_set(r->err, E_SYNTAX, "bucket and truncate are written bucket(16, id)");
    }
    TRY(read_path(r, ret_path));
    if (!take(r, ")"))
        return err_set(r->err, E_SYNTAX, "a partition field is written day(ts) or bucket(16, id)");
    return transform_of(r, name, width, ret_transform);
}

static Code field_reader(SqlRun *run, Str text, FieldReader *ret_reader)
{
    *ret_reader = (FieldReader){ .arena = run->arena, .err = run->err };
    return sql_tokens(text, run->arena, &ret_reader->tokens, &ret_reader->count, run->err);
}

static Code read_end(FieldReader *r, Str text)
{
    if (r->at == r->count)
        return E_OK;
    return err_set(r->err, E_SYNTAX, "'" STR_FMT "' is more than a field", STR_ARG(text));
}

static Code read_partition(SqlRun *run, TableCreate *create)
{
    const BorderStatement *s = run->parsed;
    PartitionColumn *columns = arena_array(run->arena, PartitionColumn, s->partition_count);
    for (size_t i = 0; i < s->partition_count; i++) {
        FieldReader r;
        TRY(field_reader(run, s->partition[i], &r));
        TRY(read_field(&r, &columns[i].column, &columns[i].transform));
        TRY(read_end(&r, s->partition[i]));
    }
    create->partition = columns;
    create->partition_count = s->partition_count;
    return E_OK;
}

static Code read_sort(SqlRun *run, TableCreate *create)
{
    const BorderStatement *s = run->parsed;
    SortColumn *columns = arena_array(run->arena, SortColumn, s->sort_count);
    for (size_t i = 0; i < s->sort_count; i++) {
        FieldReader r;
        TRY(field_reader(run, s->sort[i], &r));
        TRY(read_path(&r, &columns[i].column));
        columns[i].descending = take(&r, "desc");
        if (!columns[i].descending && take(&r, "asc"))
            columns[i].descending = false;
        columns[i].nulls_last = columns[i].descending;
        if (take(&r, "nulls")) {
            columns[i].nulls_last = take(&r, "last");
            if (!columns[i].nulls_last && !take(&r, "first"))
                return err_set(run->err, E_SYNTAX, "NULLS FIRST or NULLS LAST");
        }
        TRY(read_end(&r, s->sort[i]));
    }
    create->sort = columns;
    create->sort_count = s->sort_count;
    return E_OK;
}

static Code read_properties(SqlRun *run, TableCreate *create)
{
    const BorderStatement *s = run->parsed;
    IceProperty *properties = arena_array(run->arena, IceProperty, s->option_count);
    size_t count = 0;
    for (size_t i = 0; i < s->option_count; i++) {
        Str name = s->options[i].name;
        if (str_ieq(name, STR("format-version")) || str_ieq(name, STR("format_version"))) {
            if (!str_eq(s->options[i].value, STR("2")))
                return unsupported(run, "tables are of Iceberg's format version 2", "leave it out");
            continue;
        }
        if (str_ieq(name, STR("location")))
            return unsupported(run, "a table's location is chosen by tarn", "leave it out");
        properties[count++] = (IceProperty){ .key = name, .value = s->options[i].value };
    }
    create->properties = properties;
    create->property_count = count;
    return E_OK;
}

Code sql_table_create(SqlRun *run, TableCreate *ret_create)
{
    TableName name;
    TRY(sql_run_target(run, &name));
    TableCreate create = { .ns = name.ns, .name = name.name };
    if (run->parsed->temporary)
        return unsupported(run, "there are no temporary tables",
                           "WITH x AS (SELECT ...) SELECT ...");
    TRY(at_target(run, read_partition(run, &create)));
    TRY(at_target(run, read_sort(run, &create)));
    TRY(read_properties(run, &create));
    *ret_create = create;
    return E_OK;
}

/* ---- CREATE ---- */

/* The parser prints a type whose name is a keyword (DATE) in quotes. */
static Str type_text(Str text)
{
    bool quoted = text.len > 2 && text.ptr[0] == '"' &&
                  str_find_char(str_from(text, 1), '"') == (ptrdiff_t)text.len - 2;
    return quoted ? str_sub(text, 1, text.len - 2) : text;
}

static Code field_of(SqlRun *run, const BorderColumn *column, IceField *ret_field)
{
    if (column->dflt.text.ptr != NULL)
        return unsupported(run, "columns have no DEFAULT in Iceberg's format version 2",
                           "give the value in the INSERT");
    if (column->primary_key)
        return unsupported(run, "keys are not enforced",
                           "an expectation `unique` in the model's suite");
    *ret_field = (IceField){ .name = column->name, .required = column->not_null };
    return at_target(
        run, ice_type_from_sql(run->arena, type_text(column->type), &ret_field->type, run->err));
}

static Code replace_table(SqlRun *run, const TableCreate *create, bool *ret_done)
{
    TableVersion *version AUTO(table_version_free) = NULL;
    Code code =
        catalog_load(run->sql->options.catalog, create->ns, create->name, &version, run->err);
    *ret_done = code == E_OK;
    if (code == E_NOT_FOUND)
        return E_OK;
    TRY(code);
    IceSchema *schema = NULL;
    TRY(catalog_schema_plan(table_version_metadata(version), create->columns, create->column_count,
                            run->arena, &schema, run->err));
    TableCommit commit = { .name = { create->ns, create->name },
                           .kind = COMMIT_REPLACE,
                           .schema = schema };
    CommitResult result;
    return catalog_commit(run->sql->options.catalog, &commit, 1, run->request->extra, &result,
                          run->err);
}

Code sql_run_create_table(SqlRun *run)
{
    const BorderStatement *s = run->parsed;
    TableCreate create;
    TRY(sql_table_create(run, &create));
    IceField *fields = arena_array(run->arena, IceField, s->column_count);
    for (size_t i = 0; i < s->column_count; i++)
        TRY(field_of(run, &s->columns[i], &fields[i]));
    create.columns = fields;
    create.column_count = s->column_count;
    bool done = false;
    if (s->or_replace)
        TRY(at_target(run, replace_table(run, &create, &done)));
    if (!done) {
        Code code =
            catalog_table_create(run->sql->options.catalog, &create, run->request->extra, run->err);
        if (code != E_EXISTS || !s->if_not_exists)
            TRY(at_target(run, code));
    }
    return sql_run_done(run, SQL_CREATE, "CREATE TABLE", 0);
}

/* Only the piece stays; the rest of the text becomes spaces. */
void sql_keep_piece(SqlText *text, const BorderText *piece)
{
    size_t from = MIN((size_t)piece->position, text->len);
    size_t to = MIN(from + piece->text.len, text->len);
    sql_text_blank(text, 0, from);
    sql_text_blank(text, to, text->len);
}

Code sql_run_create_view(SqlRun *run)
{
    const BorderStatement *s = run->parsed;
    TableName name;
    TRY(sql_run_target(run, &name));
    if (run->request->param_count > 0)
        return unsupported(run, "a view has no parameters", "write the values");
    Str select = str_sub(run->request->text, (size_t)s->select.position, s->select.text.len);
    SqlRequest request = *run->request;
    request.text = run->request->text;
    request.default_ns = STR_NONE; /* a view means the same for everybody */
    request.binding_count = 0;
    sql_keep_piece(&run->text, &s->select);
    IceSchema *schema = NULL;
    TRY(sql_bind_columns(run->sql, engine_lease_conn(run->result->lease), &request, &run->text,
                         run->arena, &schema, run->err));
    if (s->column_count > 0) {
        Buf buf AUTO(buf_done);
        buf_init(&buf, 2 * SQL_TEXT_MAX);
        buf_format(&buf, "SELECT * FROM (" STR_FMT "\n) AS \"@view\"(", STR_ARG(select));
        for (size_t i = 0; i < s->column_count; i++) {
            buf_put(&buf, i == 0 ? STR("") : STR(", "));
            sql_put_name(&buf, s->columns[i].name);
        }
        buf_put_char(&buf, ')');
        TRY(buf_end(&buf, "the view's text", run->err));
        select = str_copy(run->arena, buf_str(&buf));
    }
    TableCreate create = {
        .ns = name.ns, .name = name.name, .view_sql = select, .replace_view = s->or_replace
    };
    Code code =
        catalog_table_create(run->sql->options.catalog, &create, run->request->extra, run->err);
    if (code != E_EXISTS || !s->if_not_exists)
        TRY(at_target(run, code));
    return sql_run_done(run, SQL_CREATE, "CREATE VIEW", 0);
}

/* ---- namespaces, DROP ---- */

Code sql_run_schema(SqlRun *run)
{
    const BorderStatement *s = run->parsed;
    Catalog *catalog = run->sql->options.catalog;
    bool create = s->kind == BORDER_CREATE_SCHEMA;
    if (s->catalog.len > 0)
        return unsupported(run, "a namespace has one part", "CREATE NAMESPACE gold");
    if (sql_name_reserved(s->name))
        return at_target(run,
                         err_set(run->err, E_FORBIDDEN, "the namespace " STR_FMT " is the system's",
                                 STR_ARG(s->name)));
    if (s->cascade)
        return unsupported(run, "DROP ... CASCADE is not there", "drop the tables first");
    Code code =
        create ? catalog_namespace_create(catalog, s->name, NULL, 0, run->request->extra, run->err)
               : catalog_namespace_drop(catalog, s->name, run->request->extra, run->err);
    bool fine = (create && code == E_EXISTS && s->if_not_exists) ||
                (!create && code == E_NOT_FOUND && s->if_exists);
    if (!fine)
        TRY(at_target(run, code));
    return sql_run_done(run, create ? SQL_CREATE : SQL_DROP,
                        create ? "CREATE NAMESPACE" : "DROP NAMESPACE", 0);
}

Code sql_run_drop(SqlRun *run)
{
    const BorderStatement *s = run->parsed;
    Catalog *catalog = run->sql->options.catalog;
    TableName name;
    TRY(sql_run_target(run, &name));
    bool view = s->kind == BORDER_DROP_VIEW;
    TableVersion *version AUTO(table_version_free) = NULL;
    Code code = catalog_load(catalog, name.ns, name.name, &version, run->err);
    if (code == E_OK && table_version_entry(version)->is_view != view) {
        code = err_set(run->err, E_INVALID, STR_FMT "." STR_FMT " is a %s", STR_ARG(name.ns),
                       STR_ARG(name.name), view ? "table" : "view");
        return at_target(run, err_hint(run->err, code, "DROP %s", view ? "TABLE" : "VIEW"));
    }
    if (code == E_OK)
        code = catalog_table_drop(catalog, name, run->request->extra, run->err);
    if (code != E_NOT_FOUND || !s->if_exists)
        TRY(at_target(run, code));
    return sql_run_done(run, SQL_DROP, view ? "DROP VIEW" : "DROP TABLE", 0);
}

/* ---- ALTER ---- */

static Code schema_change(SqlRun *run, SchemaChange *ret_change)
{
    const BorderStatement *s = run->parsed;
    SchemaChange change = { .column = s->old_name };
    switch (s->alter) {
    case BORDER_ALTER_ADD_COLUMN:
        change.kind = SCHEMA_ADD;
        change.column = s->columns[0].name;
        if (s->columns[0].not_null)
            return unsupported(run, "a new column is NULL in the rows that are there",
                               "leave NOT NULL out");
        IceField field;
        TRY(field_of(run, &s->columns[0], &field));
        change.type = field.type;
        break;
    case BORDER_ALTER_DROP_COLUMN:
        change.kind = SCHEMA_DROP;
        break;
    case BORDER_ALTER_RENAME_COLUMN:
        change.kind = SCHEMA_RENAME;
        change.text = s->new_name;
        break;
    case BORDER_ALTER_COLUMN_TYPE:
        change.kind = SCHEMA_WIDEN;
        TRY(at_target(run, ice_type_from_sql(run->arena, type_text(s->columns[0].type),
                                             &change.type, run->err)));
        break;
    case BORDER_ALTER_DROP_NOT_NULL:
        change.kind = SCHEMA_OPTIONAL;
        break;
    case BORDER_ALTER_COLUMN_COMMENT:
        change.kind = SCHEMA_DOC;
        change.text = s->new_name;
        break;
    case BORDER_ALTER_NONE:
    case BORDER_ALTER_SET_NOT_NULL:
    case BORDER_ALTER_RENAME_TABLE:
    case BORDER_ALTER_PARTITION:
    case BORDER_ALTER_SORT:
    case BORDER_ALTER_OPTIONS:
    case BORDER_ALTER_RESET_OPTIONS:
    case BORDER_ALTER_COMMENT:
    case BORDER_ALTER_OTHER:
        return unsupported(
            run, "this ALTER is not there yet",
            "ADD, DROP, RENAME COLUMN; ALTER c TYPE t; DROP NOT NULL; RENAME TO; SET (k = v)");
    }
    *ret_change = change;
    return E_OK;
}

static Code alter_properties(SqlRun *run, TableCommit *commit)
{
    const BorderStatement *s = run->parsed;
    commit->kind = COMMIT_PROPERTIES;
    if (s->alter == BORDER_ALTER_RESET_OPTIONS) {
        Str *names = arena_array(run->arena, Str, s->option_count);
        for (size_t i = 0; i < s->option_count; i++)
            names[i] = s->options[i].name;
        commit->unset = names;
        commit->unset_count = s->option_count;
        return E_OK;
    }
    if (s->alter == BORDER_ALTER_COMMENT) {
        IceProperty *comment = arena_new(run->arena, IceProperty);
        *comment = (IceProperty){ .key = STR("comment"), .value = s->new_name };
        commit->set = comment;
        commit->set_count = 1;
        return E_OK;
    }
    TableCreate properties = { 0 };
    TRY(read_properties(run, &properties));
    commit->set = properties.properties;
    commit->set_count = properties.property_count;
    return E_OK;
}

/* IF [NOT] EXISTS of a column: nothing is to be done. */
static bool column_is_fine(const SqlRun *run, const TableVersion *version)
{
    const BorderStatement *s = run->parsed;
    if (!s->if_column)
        return false;
    const IceSchema *schema = table_schema_current(table_version_metadata(version));
    if (s->alter == BORDER_ALTER_ADD_COLUMN)
        return ice_schema_find(schema, s->columns[0].name) != NULL;
    return s->alter == BORDER_ALTER_DROP_COLUMN && ice_schema_find(schema, s->old_name) == NULL;
}

Code sql_run_alter(SqlRun *run)
{
    const BorderStatement *s = run->parsed;
    Catalog *catalog = run->sql->options.catalog;
    TableName name;
    TRY(sql_run_target(run, &name));
    TableVersion *version AUTO(table_version_free) = NULL;
    Code code = catalog_load(catalog, name.ns, name.name, &version, run->err);
    if (code == E_NOT_FOUND && s->if_exists)
        return sql_run_done(run, SQL_ALTER, "ALTER TABLE", 0);
    TRY(at_target(run, code));
    if (s->alter == BORDER_ALTER_RENAME_TABLE) {
        TableName to = { .ns = name.ns, .name = s->new_name };
        TRY(at_target(run, catalog_table_rename(catalog, name, to, run->request->extra, run->err)));
        return sql_run_done(run, SQL_ALTER, "ALTER TABLE", 0);
    }
    if (table_version_entry(version)->is_view)
        return unsupported(run, "a view cannot be altered", "CREATE OR REPLACE VIEW");
    if (column_is_fine(run, version))
        return sql_run_done(run, SQL_ALTER, "ALTER TABLE", 0);
    TableCommit commit = { .name = name,
                           .uuid = table_version_entry(version)->uuid,
                           .kind = COMMIT_SCHEMA };
    SchemaChange change;
    bool properties = s->alter == BORDER_ALTER_OPTIONS || s->alter == BORDER_ALTER_RESET_OPTIONS ||
                      s->alter == BORDER_ALTER_COMMENT;
    if (properties) {
        TRY(alter_properties(run, &commit));
    } else {
        TRY(schema_change(run, &change));
        commit.changes = &change;
        commit.change_count = 1;
    }
    CommitResult result;
    TRY(at_target(run,
                  catalog_commit(catalog, &commit, 1, run->request->extra, &result, run->err)));
    return sql_run_done(run, SQL_ALTER, "ALTER TABLE", 0);
}
