/* Queries: SQL as it is, and pages of a dataset by keyset.
 *
 * A page is `SELECT columns, key columns as text FROM t FOR VERSION AS OF snapshot WHERE (where) AND
 * (at or behind the last row) ORDER BY key LIMIT n + 1 OFFSET same`. The key is the columns of
 * `order`, then all others, so that rows with one key are equal in every column, and `same` (how many
 * of those were shown already) names a place exactly, also among duplicates. */
#include "api/api_priv.h"
#include "api/system_tables.h"

#include "format/checksum.h"
#include "format/json.h"

#include <string.h>

static bool is_reader(const ApiCall *call)
{
    return !govern_role_may(call->principal.role, RIGHT_WRITE);
}

/* The request is kept with the call: the result borrows it. */
static Code query_run(ApiCall *call, const SqlRequest *asked, SqlResult **ret_result, Err *err)
{
    int64_t start_us = os_monotonic_us(call->lake->os);
    SqlRequest *request = arena_copy(call->arena, asked, sizeof *asked);
    request->source_resolve = api_source_resolve;
    request->source_self = call;
    request->bindings = system_tables_refuse(&call->principal, call->arena, &request->binding_count);
    request->principal = call->principal.id;
    request->timeout_ms = call->timeout_ms;
    request->cancel = call->cancel;
    api_count(call, API_COUNT_queries, 1);
    Code code = sql_query(call->lake->sql, request, ret_result, err);
    api_count(call, API_COUNT_query_microseconds,
              (uint64_t)(os_monotonic_us(call->lake->os) - start_us));
    if (code != E_OK)
        api_count(call, API_COUNT_query_failures, 1);
    return code;
}

Code api_sql(ApiCall *call, Str text, const SqlParam *params, size_t param_count,
             SqlResult **ret_result, Err *err)
{
    Buf detail AUTO(buf_done);
    buf_init(&detail, 1 << 16);
    JsonWriter w = json_writer(&detail);
    json_begin_object(&w);
    json_field_str(&w, "sql", str_sub(text, 0, 4096));
    json_field_str(&w, "request_id", call->request_id);
    json_end_object(&w);
    MetaTxn audit; /* rides in the transaction of a write; a read leaves it alone */
    meta_txn_init(&audit, call->arena);
    govern_audit(call->lake->govern, &audit, call->principal.id, STR("sql"), STR("sql"), STR("ok"),
                 str_copy(call->arena, buf_str(&detail)));
    SqlRequest request = { .text = text, .params = params, .param_count = param_count,
                           .read_only = is_reader(call), .extra = &audit };
    TRY(query_run(call, &request, ret_result, err));
    SqlKind kind = sql_result_stats(*ret_result).kind;
    if (kind != SQL_SELECT && kind != SQL_EXPLAIN && kind != SQL_SHOW)
        api_count(call, API_COUNT_mutations, 1);
    return E_OK;
}

/* ---- pages ---- */

typedef struct PageKey {
    Str name, type;
    bool descending, as_text; /* as_text: compared as text, because its text is its only exact form */
} PageKey;

typedef struct Cursor {
    int64_t snapshot_id;
    const Json *key; /* an array of texts and nulls */
    uint64_t same;
    Str key_json;
} Cursor;

static const ApiColumn *column_find(const ApiDataset *dataset, Str name)
{
    for (size_t i = 0; i < dataset->column_count; i++) {
        if (str_eq(dataset->columns[i].name, name))
            return &dataset->columns[i];
    }
    for (size_t i = 0; i < dataset->column_count; i++) {
        if (str_ieq(dataset->columns[i].name, name))
            return &dataset->columns[i];
    }
    return NULL;
}

static Code column_need(ApiCall *call, const ApiDataset *dataset, Str name, const char *where,
                        const ApiColumn **ret_column, Err *err)
{
    const ApiColumn *column = column_find(dataset, name);
    if (column) {
        *ret_column = column;
        return E_OK;
    }
    Str *names = arena_array(call->arena, Str, dataset->column_count + 1);
    for (size_t i = 0; i < dataset->column_count; i++)
        names[i] = dataset->columns[i].name;
    Str near = str_nearest(name, names, dataset->column_count);
    Code code = err_set(err, E_INVALID, "%s: " STR_FMT "." STR_FMT " has no column '" STR_FMT "'", where,
                        STR_ARG(dataset->ns), STR_ARG(dataset->name), STR_ARG(name));
    return near.len ? err_hint(err, code, "did you mean '" STR_FMT "'?", STR_ARG(near)) : code;
}

static bool type_is_plain(Str type)
{
    return str_find_char(type, '[') < 0 && !str_starts(type, STR("STRUCT")) &&
           !str_starts(type, STR("MAP")) && !str_eq(type, STR("BLOB"));
}

static void key_add(PageKey *keys, size_t *count, const ApiColumn *column, bool descending)
{
    for (size_t i = 0; i < *count; i++) {
        if (str_eq(keys[i].name, column->name))
            return;
    }
    keys[(*count)++] = (PageKey){ column->name, column->type, descending, !type_is_plain(column->type) };
}

/* "a,-b,c desc" */
static Code keys_make(ApiCall *call, const ApiDataset *dataset, Str order, PageKey *keys,
                      size_t *ret_count, Err *err)
{
    Str part;
    size_t count = 0;
    while (order.len > 0 && str_split(&order, ',', &part)) {
        const ApiColumn *column;
        part = str_trim(part);
        bool descending = str_starts(part, STR("-"));
        if (descending)
            part = str_from(part, 1);
        if (part.len > 5 && str_ieq(str_from(part, part.len - 5), STR(" desc"))) {
            descending = true;
            part = str_trim(str_sub(part, 0, part.len - 5));
        } else if (part.len > 4 && str_ieq(str_from(part, part.len - 4), STR(" asc"))) {
            part = str_trim(str_sub(part, 0, part.len - 4));
        }
        TRY(column_need(call, dataset, part, "order", &column, err));
        key_add(keys, &count, column, descending);
    }
    for (size_t i = 0; i < dataset->column_count; i++)
        key_add(keys, &count, &dataset->columns[i], false);
    *ret_count = count;
    return E_OK;
}

static void key_put(Buf *out, const PageKey *key)
{
    buf_put(out, key->as_text ? STR("CAST(") : STR(""));
    sql_put_name(out, key->name);
    buf_put(out, key->as_text ? STR(" AS VARCHAR)") : STR(""));
}

static void param_put(Buf *out, const PageKey *key, size_t at)
{
    if (key->as_text)
        buf_format(out, "$k%zu", at);
    else
        buf_format(out, "CAST($k%zu AS " STR_FMT ")", at, STR_ARG(key->type));
}

/* `row >= last` in the order of the keys, NULLs last, as after(1) OR (same(1) AND (after(2) OR ...)). */
static void behind_put(Buf *out, const PageKey *keys, size_t count, const Json *last)
{
    for (size_t i = 0; i < count; i++) {
        bool null = json_is_null(json_at(last, i));
        buf_put_char(out, '(');
        if (!null) {
            key_put(out, &keys[i]);
            buf_put(out, keys[i].descending ? STR(" < ") : STR(" > "));
            param_put(out, &keys[i], i);
            buf_put(out, STR(" OR "));
            key_put(out, &keys[i]);
            buf_put(out, STR(" IS NULL OR ("));
            key_put(out, &keys[i]);
            buf_put(out, STR(" = "));
            param_put(out, &keys[i], i);
        } else {
            buf_put_char(out, '(');
            key_put(out, &keys[i]);
            buf_put(out, STR(" IS NULL"));
        }
        buf_put(out, i + 1 < count ? STR(" AND ") : STR(""));
    }
    for (size_t i = 0; i < count; i++)
        buf_put(out, STR("))"));
}

/* What the cursor is only good for: the same question of the same table. */
static Str pin_of(ApiCall *call, const ApiDataset *dataset, const ApiPageQuery *query)
{
    uint8_t hash[32];
    Str text = str_format(call->arena, STR_FMT "|" STR_FMT "." STR_FMT "|" STR_FMT "|" STR_FMT "|" STR_FMT,
                          STR_ARG(dataset->uuid), STR_ARG(dataset->ns), STR_ARG(dataset->name),
                          STR_ARG(query->select), STR_ARG(query->where), STR_ARG(query->order));
    sha256_of(text, hash);
    return hex_format(call->arena, str_of((const char *)hash, 8));
}

static Code cursor_refuse(Err *err)
{
    return err_hint(err, err_set(err, E_INVALID, "this cursor does not belong to this question"),
                    "send `next_cursor` of the page before, with the same select, where and order");
}

static Code cursor_read(ApiCall *call, Str text, Str pin, Cursor *ret_cursor, Err *err)
{
    const Json *root;
    Str bytes;
    if (text.len > API_CURSOR_BYTES_MAX)
        return cursor_refuse(err);
    char *plain = arena_copy(call->arena, text.ptr, text.len);
    for (size_t i = 0; i < text.len; i++)
        plain[i] = plain[i] == '-' ? '+' : plain[i] == '_' ? '/' : plain[i];
    Str padded = str_format(call->arena, STR_FMT "%s", STR_ARG(str_of(plain, text.len)),
                            &"==="[3 - (4 - text.len % 4) % 4]);
    if (!base64_parse(call->arena, padded, &bytes) ||
        json_parse(call->arena, bytes, NULL, &root, NULL) != E_OK ||
        !str_eq(json_str(json_get(root, "p")), pin) || json_type(json_get(root, "k")) != JSON_ARRAY)
        return cursor_refuse(err);
    Buf key AUTO(buf_done);
    buf_init(&key, API_CURSOR_BYTES_MAX);
    JsonWriter w = json_writer(&key);
    json_put_value(&w, json_get(root, "k"));
    *ret_cursor = (Cursor){ json_i64(json_get(root, "s"), 0), json_get(root, "k"),
                            json_u64(json_get(root, "n"), 0), str_copy(call->arena, buf_str(&key)) };
    return E_OK;
}

Code api_page_cursor(const ApiPage *page, Str key_json, uint64_t same, Buf *out, Err *err)
{
    Buf text AUTO(buf_done);
    buf_init(&text, API_CURSOR_BYTES_MAX / 4 * 3);
    JsonWriter w = json_writer(&text);
    if (str_eq(key_json, page->before_key))
        same += page->before_same;
    json_begin_object(&w);
    json_field_str(&w, "p", page->pin);
    json_field_i64(&w, "s", page->snapshot_id);
    json_field_u64(&w, "n", same);
    json_field_raw(&w, "k", key_json);
    json_end_object(&w);
    if (text.over)
        return err_hint(err, err_set(err, E_LIMIT, "the values of the page's last row are too long for "
                                     "a cursor"), "select the rows by `where`, or ask in SQL");
    size_t from = out->len;
    base64_put(out, buf_str(&text));
    while (out->len > from && out->ptr[out->len - 1] == '=')
        out->len--;
    for (size_t i = from; i < out->len; i++)
        out->ptr[i] = out->ptr[i] == '+' ? '-' : out->ptr[i] == '/' ? '_' : out->ptr[i];
    return E_OK;
}

static Code select_put(ApiCall *call, const ApiDataset *dataset, Str select, Buf *out,
                       size_t *ret_columns, Err *err)
{
    Str part;
    size_t count = 0;
    while (select.len > 0 && str_split(&select, ',', &part)) {
        const ApiColumn *column;
        TRY(column_need(call, dataset, str_trim(part), "select", &column, err));
        if (count == API_SELECT_MAX)
            return err_set(err, E_LIMIT, "select names more than %d columns", API_SELECT_MAX);
        buf_put(out, count++ ? STR(", ") : STR(""));
        sql_put_name(out, column->name);
    }
    for (size_t i = 0; count == 0 && i < dataset->column_count; i++) {
        buf_put(out, i ? STR(", ") : STR(""));
        sql_put_name(out, dataset->columns[i].name);
    }
    *ret_columns = count ? count : dataset->column_count;
    return E_OK;
}

static Code snapshot_check(ApiCall *call, const ApiDataset *dataset, int64_t snapshot_id, Err *err)
{
    TableVersion *version AUTO(table_version_free) = NULL;
    TRY(catalog_load(call->lake->catalog, dataset->ns, dataset->name, &version, err));
    if (snapshot_id && !table_snapshot(table_version_metadata(version), snapshot_id))
        return err_hint(err, err_set(err, E_GONE, "the snapshot that this cursor pins has left the table"),
                        "begin again without a cursor");
    return E_OK;
}

typedef struct PageText {
    Buf text;
    size_t where_at; /* of the user's text; 0: none */
    SqlParam *params;
    size_t param_count;
} PageText;

static Code page_text(ApiCall *call, const ApiPageQuery *query, const ApiDataset *dataset,
                      const PageKey *keys, const Cursor *cursor, ApiPage *page, PageText *out, Err *err)
{
    Buf *text = &out->text;
    buf_put(text, STR("SELECT "));
    TRY(select_put(call, dataset, query->select, text, &page->columns, err));
    for (size_t i = 0; i < page->keys; i++) {
        buf_put(text, STR(", CAST("));
        sql_put_name(text, keys[i].name);
        buf_format(text, " AS VARCHAR) AS \"key %zu\"", i);
    }
    buf_put(text, STR("\nFROM "));
    sql_put_name(text, dataset->ns);
    buf_put_char(text, '.');
    sql_put_name(text, dataset->name);
    if (page->snapshot_id)
        buf_format(text, " FOR VERSION AS OF %lld", (long long)page->snapshot_id);
    if (query->where.len > 0) {
        buf_put(text, STR("\nWHERE ("));
        out->where_at = text->len;
        buf_put(text, query->where);
        buf_put(text, STR("\n)"));
    }
    if (cursor->key) {
        buf_put(text, query->where.len > 0 ? STR(" AND ") : STR("\nWHERE "));
        behind_put(text, keys, page->keys, cursor->key);
        out->params = arena_array(call->arena, SqlParam, page->keys + 1);
        for (size_t i = 0; i < page->keys; i++) {
            const Json *value = json_at(cursor->key, i);
            if (!json_is_null(value))
                out->params[out->param_count++] = (SqlParam){
                    .name = str_format(call->arena, "k%zu", i), .kind = SQL_PARAM_TEXT,
                    .text = json_str(value) };
        }
    }
    for (size_t i = 0; i < page->keys; i++) {
        buf_put(text, i ? STR(", ") : STR("\nORDER BY "));
        key_put(text, &keys[i]);
        buf_put(text, keys[i].descending ? STR(" DESC NULLS LAST") : STR(" ASC NULLS LAST"));
    }
    buf_format(text, "\nLIMIT %zu OFFSET %llu", page->limit + 1, (unsigned long long)cursor->same);
    return buf_end(text, "the question", err);
}

static Code page_run(ApiCall *call, const ApiPageQuery *query, const ApiDataset *dataset,
                     const PageKey *keys, const Cursor *cursor, ApiPage *page, Err *err)
{
    PageText made = { 0 };
    buf_init(&made.text, SQL_TEXT_MAX);
    Code code = page_text(call, query, dataset, keys, cursor, page, &made, err);
    Str text = str_copy(call->arena, buf_str(&made.text));
    buf_done(&made.text);
    TRY(code);
    SqlRequest request = { .text = text, .params = made.params, .param_count = made.param_count,
                           .read_only = true };
    code = query_run(call, &request, &page->result, err);
    if (code == E_OK || !err)
        return code;
    int64_t at = err->position - (int64_t)made.where_at;
    bool theirs = made.where_at && err->position >= 0 && at >= 0 && at <= (int64_t)query->where.len;
    err->position = theirs ? at : -1; /* in their `where`, or in a text that they do not see */
    if (code == E_NOT_FOUND)
        code = err->code = E_INVALID; /* the dataset is there: a name in `where` is not */
    return code;
}

Code api_page(ApiCall *call, const ApiPageQuery *query, ApiPage *ret_page, Err *err)
{
    ApiDataset dataset;
    Cursor cursor = { 0 };
    TRY(api_dataset(call, query->ns, query->name, &dataset, err));
    ApiPage page = { .snapshot_id = dataset.snapshot_id, .before_key = STR(""),
                     .limit = (size_t)MIN(query->limit > 0 ? query->limit : API_PAGE_ROWS_DEFAULT,
                                          (int64_t)API_PAGE_ROWS_MAX) };
    PageKey *keys = arena_array(call->arena, PageKey, dataset.column_count + 1);
    page.pin = pin_of(call, &dataset, query);
    if (!query->preview) {
        TRY(keys_make(call, &dataset, query->order, keys, &page.keys, err));
        if (page.keys > API_KEY_COLUMNS_MAX)
            return err_hint(err, err_set(err, E_UNSUPPORTED, "a table with %zu columns has no pages",
                                         page.keys), "ask in SQL, or look at /preview");
    }
    if (query->cursor.len > 0 && !query->preview) {
        TRY(cursor_read(call, query->cursor, page.pin, &cursor, err));
        if (json_len(cursor.key) != page.keys)
            return cursor_refuse(err);
        page.snapshot_id = cursor.snapshot_id;
        page.before_key = cursor.key_json;
        page.before_same = cursor.same;
        if (str_eq(dataset.kind, STR("table")))
            TRY(snapshot_check(call, &dataset, cursor.snapshot_id, err));
    }
    TRY(page_run(call, query, &dataset, keys, &cursor, &page, err));
    *ret_page = page;
    return E_OK;
}
