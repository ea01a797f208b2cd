/* Rows of a result as JSON, NDJSON, CSV or an Arrow stream: pulled a block at a time, or a page.
 *
 * Invariants:
 * 1. One batch of the result is held at a time, and one block (about HTTP_PULL_BYTES) of text of it.
 * 2. A result is freed when its last row was pulled, so slot and connection are not held by a client
 *    that reads slowly the last blocks; the cancel hook is taken back before.
 * 3. A text ends with its closing bracket or a line end, so that a cut shows. */
#include "front/rest/rest_priv.h"

#include <string.h>

typedef struct Rows {
    HttpReq *r;
    SqlResult *result;
    RowFormat format;
    ArrowArray batch;   /* release NULL: none */
    int64_t row;        /* next of the batch */
    uint64_t rows;
    bool begun, whole;  /* whole: no stream, but one small answer */
} Rows;

static const char *const row_types[] = {
    [ROWS_JSON] = REST_JSON,
    [ROWS_NDJSON] = "application/x-ndjson",
    [ROWS_CSV] = "text/csv; charset=utf-8",
    [ROWS_ARROW] = "application/vnd.apache.arrow.stream",
};

bool rest_row_format(HttpReq *r, RowFormat *ret_format, const char **ret_type)
{
    static const char *const names[] = { REST_JSON, "application/x-ndjson", "text/csv",
                                         "application/vnd.apache.arrow.stream" };
    const char *accepted = http_req_accepts(r, names, ARRAY_LEN(names));
    Err err;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (accepted == names[i]) {
            *ret_format = (RowFormat)i;
            *ret_type = row_types[i];
            return true;
        }
    }
    Code code = err_set(&err, E_UNSUPPORTED, "none of the types in Accept can be sent");
    code = err_hint(&err, code, "application/json, application/x-ndjson, text/csv or "
                    "application/vnd.apache.arrow.stream");
    http_reply_problem_status(r, code == E_OK ? 500 : 406, &err, STR_NONE);
    return false;
}

void rest_columns_put(JsonWriter *w, const ArrowSchema *schema)
{
    json_key(w, STR("columns"));
    json_begin_array(w);
    for (int64_t i = 0; i < schema->n_children; i++) {
        Buf type AUTO(buf_done);
        buf_init(&type, 1 << 20);
        arrow_put_type_name(&type, schema->children[i]);
        json_begin_object(w);
        json_field_str(w, "name", str_z(schema->children[i]->name));
        json_field_str(w, "type", buf_str(&type));
        json_end_object(w);
    }
    json_end_array(w);
}

static Code begin_put(RowFormat format, const ArrowSchema *schema, Buf *out, Err *err)
{
    JsonWriter w = json_writer(out);
    switch (format) {
    case ROWS_JSON:
        buf_put_char(out, '{');
        rest_columns_put(&w, schema);
        buf_put(out, STR(",\"rows\":["));
        break;
    case ROWS_NDJSON:
        break;
    case ROWS_CSV:
        arrow_put_csv_header(out, schema);
        break;
    case ROWS_ARROW:
        return arrow_ipc_schema_put(out, schema, err);
    }
    return E_OK;
}

static void row_put(RowFormat format, const ArrowSchema *schema, const ArrowArray *array, int64_t row,
                    bool first, Buf *out)
{
    JsonWriter w = json_writer(out);
    switch (format) {
    case ROWS_JSON:
        buf_put(out, first ? STR("\n") : STR(",\n"));
        arrow_put_json_array(&w, schema, array, row);
        break;
    case ROWS_NDJSON:
        arrow_put_json_row(&w, schema, array, row);
        buf_put_char(out, '\n');
        break;
    case ROWS_CSV:
        arrow_put_csv_row(out, schema, array, row);
        break;
    case ROWS_ARROW:
        break; /* whole batches */
    }
}

static void rows_release(Rows *rows)
{
    arrow_array_done(&rows->batch);
    if (rows->result) {
        http_req_on_cancel(rows->r, NULL, NULL);
        sql_result_free(&rows->result);
    }
}

static void end_put(Rows *rows, Buf *out)
{
    SqlStats stats = sql_result_stats(rows->result);
    if (rows->format == ROWS_JSON)
        buf_format(out, "],\"row_count\":%llu,\"elapsed_ms\":%.3f}\n", (unsigned long long)rows->rows,
                   (double)stats.elapsed_us / 1000);
    else if (rows->format == ROWS_ARROW)
        arrow_ipc_eos_put(out);
}

static Code rows_fill(Rows *rows, Buf *out, HttpPullState *ret_state, Err *err)
{
    const ArrowSchema *schema = sql_result_schema(rows->result);
    size_t most = rows->whole ? HTTP_PULL_BYTES : http_pull_bytes(rows->r, HTTP_PULL_BYTES);
    if (!rows->begun)
        TRY(begin_put(rows->format, schema, out, err));
    rows->begun = true;
    *ret_state = HTTP_PULL_MORE;
    while (out->len < most) {
        if (!rows->batch.release || rows->row == rows->batch.length) {
            arrow_array_done(&rows->batch);
            rows->row = 0;
            TRY(sql_result_next(rows->result, &rows->batch, err));
        }
        if (!rows->batch.release) {
            end_put(rows, out);
            rows_release(rows);
            *ret_state = HTTP_PULL_END;
            return E_OK;
        }
        if (rows->format == ROWS_ARROW) {
            TRY(arrow_ipc_batch_put(out, schema, &rows->batch, err));
            rows->rows += (uint64_t)rows->batch.length;
            rows->row = rows->batch.length;
        } else if (rows->row < rows->batch.length) {
            row_put(rows->format, schema, &rows->batch, rows->row++, rows->rows == 0, out);
            rows->rows++;
        }
    }
    return E_OK;
}

/* An error behind rows that are on their way stands at the end of the body, where the format has a place. */
static void failure_put(Rows *rows, Buf *out, const Err *err)
{
    buf_put(out, rows->format == ROWS_JSON ? STR("],\"error\":") : STR("{\"error\":"));
    http_problem_put(rows->r, out, err);
    buf_put(out, STR("}\n"));
}

static Code rows_pull(void *self, Buf *out, HttpPullState *ret_state, Err *err)
{
    Rows *rows = self;
    Code code = rows_fill(rows, out, ret_state, err);
    bool has_place = rows->format == ROWS_JSON || rows->format == ROWS_NDJSON;
    if (code == E_OK || !has_place || !http_reply_begun(rows->r))
        return code;
    failure_put(rows, out, err);
    rows_release(rows);
    *ret_state = HTTP_PULL_CUT;
    return E_OK;
}

static void rows_done(void *self)
{
    Rows *rows = self;
    rows_release(rows);
    mem_free(&rows);
}

static void result_cancel(void *arg)
{
    sql_result_cancel(arg);
}

/* ---- POST /v1/sql ---- */

typedef struct Statement {
    Str text;
    SqlParam *params;
    size_t count;
    int64_t timeout_ms; /* 0: the server's */
} Statement;

static Code param_read(const Json *value, SqlParam *param, Err *err)
{
    switch (json_type(value)) {
    case JSON_MISSING:
    case JSON_NULL:
        param->kind = SQL_PARAM_NULL;
        return E_OK;
    case JSON_BOOL:
        param->kind = SQL_PARAM_BOOL;
        param->i64 = json_bool(value, false);
        return E_OK;
    case JSON_NUMBER:
        param->kind = json_is_i64(value) ? SQL_PARAM_I64 : SQL_PARAM_F64;
        param->i64 = json_i64(value, 0);
        param->f64 = json_f64(value, 0);
        return E_OK;
    case JSON_STRING:
        param->kind = SQL_PARAM_TEXT;
        param->text = json_str(value);
        return E_OK;
    case JSON_ARRAY:
    case JSON_OBJECT:
        break;
    }
    return err_set(err, E_INVALID, "a parameter is null, true, false, a number or a text, not %s",
                   json_type_name(json_type(value)));
}

static Code statement_read(HttpReq *r, Statement *ret_statement, Err *err)
{
    Arena *arena = http_req_arena(r);
    const Json *root;
    Str body = http_req_body(r);
    *ret_statement = (Statement){ .text = body };
    if (!str_ieq(rest_media_type(r), STR("application/json")))
        return E_OK;
    TRY(json_parse(arena, body, NULL, &root, err));
    TRY(json_need_str(root, "sql", &ret_statement->text, err));
    ret_statement->timeout_ms = json_i64(json_get(root, "timeout_ms"), 0);
    if (ret_statement->timeout_ms < 0)
        return err_set(err, E_INVALID, "`timeout_ms` is a number of milliseconds");
    const Json *params = json_get(root, "params");
    if (json_is_null(params))
        return E_OK;
    if (json_type(params) != JSON_ARRAY && json_type(params) != JSON_OBJECT)
        return err_set(err, E_INVALID, "`params` is a list, or an object of names");
    if (json_len(params) > SQL_PARAMS_MAX)
        return err_set(err, E_LIMIT, "a statement takes at most %d parameters", SQL_PARAMS_MAX);
    ret_statement->params = arena_array(arena, SqlParam, json_len(params) + 1);
    for (JsonIter it = json_iter(params); json_next(&it);) {
        SqlParam *param = &ret_statement->params[ret_statement->count++];
        param->name = it.key;
        TRY(param_read(it.value, param, err));
    }
    return E_OK;
}

/* A write has happened: its answer is small, and kept for its Idempotency-Key, so it is built whole. */
static void written_send(HttpReq *r, Rows *rows, const char *type)
{
    Buf out;
    Err err;
    HttpPullState state = HTTP_PULL_MORE;
    Code code = E_OK;
    buf_init(&out, API_REPLY_KEPT_MAX);
    rows->whole = true;
    while (code == E_OK && state != HTTP_PULL_END)
        code = rows_pull(rows, &out, &state, &err);
    rows_done(rows);
    if (code != E_OK) {
        buf_done(&out);
        http_reply_problem(r, &err);
        return;
    }
    http_reply_take(r, 200, type, &out);
}

void rest_sql(HttpReq *r)
{
    static const HttpPull pull = { rows_pull, rows_done };
    ApiCall *call = rest_call(r);
    Statement statement = { 0 };
    SqlResult *result = NULL;
    RowFormat format;
    const char *type;
    Err err;
    if (!rest_row_format(r, &format, &type))
        return;
    Code code = statement_read(r, &statement, &err);
    http_req_set_text(r, statement.text);
    if (statement.timeout_ms)
        call->timeout_ms = call->timeout_ms ? MIN(call->timeout_ms, statement.timeout_ms) : statement.timeout_ms;
    if (code == E_OK)
        code = api_sql(call, statement.text, statement.params, statement.count, &result, &err);
    if (code != E_OK) {
        http_reply_problem_in(r, &err, statement.text);
        return;
    }
    Rows *rows = mem_new(sizeof *rows);
    *rows = (Rows){ .r = r, .result = result, .format = format };
    SqlKind kind = sql_result_stats(result).kind;
    if (kind != SQL_SELECT && kind != SQL_EXPLAIN && kind != SQL_SHOW) {
        written_send(r, rows, type);
        return;
    }
    http_req_on_cancel(r, result_cancel, result);
    http_reply_stream(r, 200, type, -1, &pull, rows);
}

/* ---- pages of a dataset ---- */

typedef struct PageOut {
    ApiPage page;
    RowFormat format;
    ArrowSchema shown, key;  /* views into the result's schema, not owned */
    Buf rows;
    Buf last;                /* JSON of the last row's key */
    uint64_t count, same;
    bool more;
} PageOut;

static void page_cut(const PageOut *page, const ArrowArray *batch, ArrowArray *ret_shown, ArrowArray *ret_key)
{
    *ret_shown = *batch;
    ret_shown->n_children = (int64_t)page->page.columns;
    *ret_key = *batch;
    ret_key->n_children = (int64_t)page->page.keys;
    ret_key->children = batch->children + page->page.columns;
}

static void key_note(PageOut *page, const ArrowArray *key, int64_t row)
{
    Buf text AUTO(buf_done);
    buf_init(&text, REST_JSON_MAX);
    if (page->page.keys == 0)
        return;
    JsonWriter w = json_writer(&text);
    arrow_put_json_array(&w, &page->key, key, row);
    page->same = str_eq(buf_str(&text), buf_str(&page->last)) ? page->same + 1 : 1;
    buf_clear(&page->last);
    buf_put(&page->last, buf_str(&text));
}

/* Puts the rows of a batch until the page is full. */
static Code batch_put(PageOut *page, const ArrowArray *batch, Err *err)
{
    ArrowArray shown, key;
    int64_t row = 0;
    page_cut(page, batch, &shown, &key);
    for (; row < batch->length && !page->more; row++) {
        page->more = page->count == page->page.limit ||
                     (page->count > 0 && page->rows.len > API_PAGE_BYTES_MAX);
        if (page->more)
            break;
        row_put(page->format, &page->shown, &shown, row, page->count == 0, &page->rows);
        page->count++;
        key_note(page, &key, row);
    }
    if (page->format == ROWS_ARROW && row > 0) {
        shown.length = row;
        TRY(arrow_ipc_batch_put(&page->rows, &page->shown, &shown, err));
    }
    return buf_end(&page->rows, "the page", err);
}

static Code page_fill(PageOut *page, Err *err)
{
    const ArrowSchema *schema = sql_result_schema(page->page.result);
    page->shown = *schema;
    page->shown.n_children = (int64_t)page->page.columns;
    page->key = *schema;
    page->key.n_children = (int64_t)page->page.keys;
    page->key.children = schema->children + page->page.columns;
    TRY(begin_put(page->format, &page->shown, &page->rows, err));
    while (!page->more) {
        ArrowArray batch AUTO(arrow_array_done) = { 0 };
        TRY(sql_result_next(page->page.result, &batch, err));
        if (!batch.release)
            break;
        TRY(batch_put(page, &batch, err));
    }
    return E_OK;
}

static void page_link(HttpReq *r, Str cursor)
{
    Buf link AUTO(buf_done);
    Str rest = http_req_query_raw(r), pair;
    buf_init(&link, 16 << 10);
    buf_format(&link, "<" STR_FMT "?", STR_ARG(http_req_path(r)));
    while (rest.ptr && rest.len > 0 && str_split(&rest, '&', &pair)) {
        if (!str_starts(pair, STR("cursor=")))
            buf_format(&link, STR_FMT "&", STR_ARG(pair));
    }
    buf_format(&link, "cursor=" STR_FMT ">; rel=\"next\"", STR_ARG(cursor));
    if (!link.over)
        http_reply_header(r, "Link", buf_str(&link));
}

static Code page_end(HttpReq *r, PageOut *page, Err *err)
{
    Buf cursor AUTO(buf_done);
    buf_init(&cursor, API_CURSOR_BYTES_MAX);
    if (page->more && page->page.keys > 0) {
        TRY(api_page_cursor(&page->page, buf_str(&page->last), page->same, &cursor, err));
        page_link(r, buf_str(&cursor));
    }
    if (page->format == ROWS_ARROW)
        arrow_ipc_eos_put(&page->rows);
    if (page->format == ROWS_JSON) {
        JsonWriter w = json_writer(&page->rows);
        w.comma = true;
        buf_put_char(&page->rows, ']');
        json_field_u64(&w, "row_count", page->count);
        json_field_i64(&w, "snapshot_id", page->page.snapshot_id);
        json_field_bool(&w, "more", page->more);
        json_field_str(&w, "next_cursor", cursor.len ? buf_str(&cursor) : STR_NONE);
        buf_put(&page->rows, STR("}\n"));
    }
    return buf_end(&page->rows, "the page", err);
}

static void page_send(HttpReq *r, const ApiPageQuery *query)
{
    PageOut page = { 0 };
    const char *type;
    Err err;
    if (!rest_row_format(r, &page.format, &type))
        return;
    buf_init(&page.rows, REST_JSON_MAX);
    buf_init(&page.last, REST_JSON_MAX);
    Code code = api_page(rest_call(r), query, &page.page, &err);
    if (code == E_OK) {
        http_req_on_cancel(r, result_cancel, page.page.result);
        code = page_fill(&page, &err);
        http_req_on_cancel(r, NULL, NULL);
        sql_result_free(&page.page.result);
    }
    if (code == E_OK)
        code = page_end(r, &page, &err);
    buf_done(&page.last);
    if (code == E_OK) {
        http_reply_take(r, 200, type, &page.rows);
    } else {
        buf_done(&page.rows);
        http_reply_problem_in(r, &err, query->where);
    }
}

static void page_ask(HttpReq *r, bool preview)
{
    ApiPageQuery query = { .preview = preview, .select = rest_query(r, "select"),
                           .where = rest_query(r, "where"), .order = rest_query(r, "order"),
                           .cursor = rest_query(r, "cursor") };
    Err err;
    Code code = rest_dataset_name(r, &query.ns, &query.name, &err);
    if (code == E_OK)
        code = rest_number(r, "limit", 0, &query.limit, &err);
    if (code != E_OK)
        http_reply_problem(r, &err);
    else
        page_send(r, &query);
}

void rest_page(HttpReq *r)
{
    page_ask(r, false);
}

void rest_preview(HttpReq *r)
{
    page_ask(r, true);
}
