/* Runs in a worker process, which may hold nothing but its descriptors and its memory. The objects
 * are the files s3://raw/0, s3://raw/1, ... of an engine instance that was opened before the fork.
 * 1. No byte reaches the engine before it was checked here (raw_check.c, the footer and the page
 * headers of Parquet) or in the job before, over the same descriptors.
 * 2. The engine gets no path but those files and writes none. */
#include "format/arrow.h"
#include "format/inflate.h"
#include "format/parquet.h"
#include "sql/border.h"
#include "sql/raw_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h> /* tidy: machine because a worker has descriptors, not an Os */
#include <unistd.h>   /* tidy: machine because a worker has descriptors, not an Os */

enum { SQL_MAX = 8 << 20, OUT_MAX = 1 << 30, BATCH_ROWS = 64 << 10, BATCH_BYTES = 1 << 20 };

typedef struct Raw {
    RawCall call;
    RawInput *inputs;
    WorkerCall *worker;
    BorderConn *conn;
    Arena arena;
    Buf sql, out;
    RawColumn *base; /* what the files have, or what was declared */
    size_t base_count;
    RawDialect dialect; /* CSV: of the first object with records */
    size_t empty_count; /* objects without records: the engine does not see them */
} Raw;

/* Of this process; the files of its one job. */
static struct {
    Border *border;
    RawInput *inputs;
    size_t count;
} here;

/* ---- the files that the engine sees ---- */

static Code read_at(RawInput *input, void *bytes, size_t len, uint64_t at, size_t *ret_len,
                    Err *err)
{
    size_t got = 0;
    if (input->text.ptr) {
        got = at < input->text.len ? MIN(len, input->text.len - (size_t)at) : 0;
        memcpy(bytes, input->text.ptr + at, got);
    }
    while (!input->text.ptr && got < len) {
        ssize_t n = pread(input->fd, (char *)bytes + got, len - got, (off_t)(at + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set(err, E_IO, "the object cannot be read: %s", strerror(errno));
        if (n == 0)
            break;
        got += (size_t)n;
    }
    *ret_len = got;
    return E_OK;
}

static Code files_open(void *self, Str address, void **ret_file, BorderFileInfo *ret_info, Err *err)
{
    (void)self;
    uint64_t index;
    if (!str_starts(address, STR("s3://raw/")) || !str_u64(str_from(address, 9), &index) ||
        index >= here.count)
        return err_set(err, E_NOT_FOUND, "there is no object " STR_FMT, STR_ARG(address));
    RawInput *input = &here.inputs[index];
    *ret_info =
        (BorderFileInfo){ .version = 1,
                          .size_bytes = input->text.ptr ? input->text.len : input->size_bytes };
    *ret_file = input;
    return E_OK;
}

static Code files_pread(void *file, void *bytes, size_t len, uint64_t at, size_t *ret_len, Err *err)
{
    return read_at(file, bytes, len, at, ret_len, err);
}

static void files_close(void *file)
{
    (void)file; /* the input stays */
}

/* In the zygote: 10 ms that no job has to wait for. One thread: the caller of each query. */
static void open_engine(void)
{
    BorderOptions options = {
        .files = { .open = files_open, .pread = files_pread, .close = files_close }, .threads = 1
    };
    if (!here.border)
        IGNORE(border_open(&options, &here.border, NULL)); /* a job tries again and says why */
}

/* ---- loading and checking ---- */

static Code inflate_text(RawInput *input, Str head, Err *err)
{
    InflateKind kind;
    if (!inflate_kind_of(head, &kind))
        return E_OK;
    Buf plain;
    buf_init(&plain, RAW_TEXT_BYTES_MAX);
    InflateLimits limits = { .bytes_max = RAW_TEXT_BYTES_MAX };
    Code code = inflate_whole(kind, buf_str(&input->text), &limits, &plain, err);
    if (code == E_OK) {
        buf_done(&input->text);
        input->text = plain;
        return E_OK;
    }
    buf_done(&plain);
    return err_place(err, code, STR_FMT, STR_ARG(input->address));
}

static Code load_text(RawInput *input, Err *err)
{
    uint64_t size = input->size_bytes;
    if (size > RAW_TEXT_BYTES_MAX)
        return err_set(err, E_LIMIT, STR_FMT " has more than %llu bytes", STR_ARG(input->address),
                       (unsigned long long)RAW_TEXT_BYTES_MAX);
    Buf text;
    buf_init(&text, RAW_TEXT_BYTES_MAX + 1);
    buf_reserve(&text, size + 1);
    size_t got = 0;
    Code code = read_at(input, text.ptr, size, 0, &got, err);
    text.len = got;
    input->text = text;
    TRY(code);
    if (got != size)
        return err_set(err, E_CORRUPT, STR_FMT " is shorter than it says", STR_ARG(input->address));
    return inflate_text(input, str_sub(buf_str(&input->text), 0, 16), err);
}

static Code read_pages(void *arg, uint64_t at, void *bytes, size_t len, size_t *ret_len, Err *err)
{
    return read_at(arg, bytes, len, at, ret_len, err);
}

static Code check_parquet(RawInput *input, Err *err)
{
    char tail[PARQUET_TAIL_LEN];
    size_t got = 0;
    uint64_t footer_bytes = 0;
    if (input->size_bytes < PARQUET_TAIL_LEN + 4)
        return err_set(err, E_CORRUPT, "the object is too short for Parquet");
    TRY(read_at(input, tail, sizeof tail, input->size_bytes - sizeof tail, &got, err));
    TRY(parquet_footer_size(str_of(tail, got), input->size_bytes, &footer_bytes, err));
    Arena arena AUTO(arena_done) = { 0 };
    char *bytes = arena_alloc(&arena, footer_bytes + 1);
    TRY(read_at(input, bytes, footer_bytes, input->size_bytes - sizeof tail - footer_bytes, &got,
                err));
    ParquetFooter footer;
    TRY(parquet_footer_decode(str_of(bytes, got), input->size_bytes, &arena, &footer, err));
    return parquet_pages_check(&footer, read_pages, input, err);
}

static Code check_text(Raw *raw, RawInput *input, Err *err)
{
    const RawCall *call = &raw->call;
    Str text = buf_str(&input->text);
    bool is_empty = raw_text_is_empty(call->format, text);
    if (call->format == RAW_CSV && !is_empty && !raw->dialect.delim)
        raw->dialect = raw_csv_dialect(text, call->delim, call->quote);
    raw->empty_count += is_empty;
    if (call->checked || is_empty)
        return E_OK;
    return call->format == RAW_CSV
               ? raw_check_csv(text, raw->dialect, call->as_text, input->address, err)
               : raw_check_json(text, call->as_text, input->address, err);
}

static Code load_one(Raw *raw, RawInput *input, Err *err)
{
    struct stat st;
    if (fstat(input->fd, &st) != 0)
        return err_set(err, E_IO, "the object has no size: %s", strerror(errno));
    input->size_bytes = (uint64_t)st.st_size;
    if (raw->call.format != RAW_PARQUET) {
        TRY(load_text(input, err));
        return check_text(raw, input, err);
    }
    Code code = raw->call.checked ? E_OK : check_parquet(input, err);
    return code == E_OK ? E_OK : err_place(err, code, STR_FMT, STR_ARG(input->address));
}

static Code load(Raw *raw, Err *err)
{
    for (size_t i = 0; i < raw->call.file_count; i++) {
        RawInput *input = &raw->inputs[i];
        input->address = raw->call.files[i];
        input->fd = raw->worker->fds[i];
        TRY(load_one(raw, input, err));
    }
    return E_OK;
}

/* ---- SQL ---- */

static void put_quoted(Buf *buf, Str text, char quote)
{
    buf_put_char(buf, quote);
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == quote)
            buf_put_char(buf, quote);
        buf_put_char(buf, text.ptr[i]);
    }
    buf_put_char(buf, quote);
}

static void put_text_option(Buf *buf, const char *name, Str value)
{
    if (!value.len)
        return;
    buf_format(buf, ", %s=", name);
    put_quoted(buf, value, '\'');
}

static void put_declared(Raw *raw)
{
    if (raw->call.column_count == 0)
        return;
    buf_put(&raw->sql, STR(", columns={"));
    for (size_t i = 0; i < raw->call.column_count; i++) {
        if (i > 0)
            buf_put(&raw->sql, STR(", "));
        put_quoted(&raw->sql, raw->call.columns[i].name, '\'');
        buf_put(&raw->sql, STR(": "));
        put_quoted(&raw->sql,
                   raw->call.columns[i].type.len ? raw->call.columns[i].type : STR("VARCHAR"),
                   '\'');
    }
    buf_put_char(&raw->sql, '}');
}

static bool is_empty_text(const Raw *raw, size_t i)
{
    return raw->call.format != RAW_PARQUET &&
           raw_text_is_empty(raw->call.format, buf_str(&raw->inputs[i].text));
}

/* FROM read_parquet([...], ...) */
static void put_from(Raw *raw)
{
    static const char *const readers[] = { "read_parquet", "read_csv", "read_json" };
    const RawCall *call = &raw->call;
    buf_format(&raw->sql, " FROM %s([", readers[call->format]);
    const char *comma = "";
    for (size_t i = 0; i < call->file_count; i++) {
        if (is_empty_text(raw, i))
            continue;
        buf_format(&raw->sql, "%s's3://raw/%zu'", comma, i);
        comma = ", ";
    }
    buf_format(&raw->sql, "], union_by_name=%s", call->union_by_name ? "true" : "false");
    if (call->format == RAW_CSV) {
        char quote[] = { raw->dialect.quote, 0 }, delim[] = { raw->dialect.delim, 0 };
        buf_format(&raw->sql,
                   ", compression='none', max_line_size=%d, skip=0, comment='', "
                   "strict_mode=true, null_padding=false, ignore_errors=false",
                   RAW_FIELD_BYTES_MAX);
        put_text_option(&raw->sql, "delim", str_z(delim));
        put_text_option(&raw->sql, "quote", str_z(quote));
        put_text_option(&raw->sql, "escape", str_z(quote));
        if (call->header >= 0)
            buf_format(&raw->sql, ", header=%s", call->header ? "true" : "false");
        put_text_option(&raw->sql, "nullstr", call->null_text);
        put_declared(raw);
    } else if (call->format == RAW_JSON) {
        buf_format(&raw->sql, ", compression='uncompressed', maximum_object_size=%d",
                   RAW_FIELD_BYTES_MAX);
        put_declared(raw);
    }
    buf_put_char(&raw->sql, ')');
}

static bool all_empty(const Raw *raw)
{
    return raw->call.format != RAW_PARQUET && raw->empty_count == raw->call.file_count;
}

static void put_expression(Raw *raw, Str name)
{
    if (all_empty(raw)) {
        buf_put(&raw->sql, STR("NULL"));
    } else if (raw->call.as_text && str_eq(name, STR("_file"))) {
        buf_put(&raw->sql, STR("(["));
        for (size_t i = 0; i < raw->call.file_count; i++) {
            if (i > 0)
                buf_put(&raw->sql, STR(", "));
            put_quoted(&raw->sql, raw->call.files[i], '\'');
        }
        buf_put(&raw->sql, STR("])[file_index::BIGINT + 1]"));
    } else if (raw->call.as_text && str_eq(name, STR("_row"))) {
        buf_put(&raw->sql, STR("file_row_number + 1"));
    } else if (raw->call.as_text && str_eq(name, STR("_raw"))) {
        buf_put(&raw->sql, STR("NULL"));
    } else {
        put_quoted(&raw->sql, name, '"');
    }
}

static void put_select(Raw *raw, const RawColumn *columns, size_t count)
{
    buf_clear(&raw->sql);
    buf_put(&raw->sql, STR("SELECT "));
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_put(&raw->sql, STR(", "));
        bool cast = columns[i].type.len > 0;
        buf_put(&raw->sql, cast ? STR("CAST(") : STR(""));
        put_expression(raw, columns[i].name);
        if (cast) {
            buf_put(&raw->sql, STR(" AS "));
            buf_put(&raw->sql, columns[i].type);
            buf_put_char(&raw->sql, ')');
        }
        buf_put(&raw->sql, STR(" AS "));
        put_quoted(&raw->sql, columns[i].name, '"');
    }
    if (all_empty(raw))
        buf_put(&raw->sql, STR(" LIMIT 0"));
    else
        put_from(raw);
    if (raw->call.where.len > 0 && raw->call.format == RAW_PARQUET && !raw->call.describe) {
        buf_put(&raw->sql, STR(" WHERE "));
        buf_put(&raw->sql, raw->call.where);
    }
}

/* The engine's words name s3://raw/N, the reader wants the object. */
static Code with_address(const Raw *raw, Code code, Err *err)
{
    if (code == E_OK || !err || err->place[0])
        return code;
    err->position = -1;
    for (size_t i = 0; i < raw->call.file_count; i++) {
        char name[32];
        snprintf(name, sizeof name, "s3://raw/%zu", i);
        if (raw->call.file_count == 1 || strstr(err->text, name))
            return err_place(err, code, STR_FMT, STR_ARG(raw->call.files[i]));
    }
    return code;
}

/* The columns of the answer, with types when they are to be cast. */
static Code find_columns(Raw *raw, Err *err)
{
    const RawCall *call = &raw->call;
    if (all_empty(raw) && call->column_count == 0)
        return raw_empty_error(call->files[0], err);
    if (call->column_count &&
        (call->as_text || call->format == RAW_PARQUET || all_empty(raw))) {
        raw->base = arena_array(&raw->arena, RawColumn, call->column_count + 3);
        memcpy(raw->base, call->columns, call->column_count * sizeof *raw->base);
        raw->base_count = call->column_count;
        for (size_t i = 0; i < raw->base_count && all_empty(raw); i++)
            if (!raw->base[i].type.len)
                raw->base[i].type = STR("VARCHAR");
    } else {
        buf_clear(&raw->sql);
        buf_put(&raw->sql, STR("SELECT *"));
        put_from(raw);
        BorderRequest request = { .text = buf_str(&raw->sql), .columns_only = true };
        BorderQuery *query = NULL;
        TRY(border_query_start(raw->conn, &request, &query, err));
        size_t count = border_query_columns(query);
        raw->base = arena_array(&raw->arena, RawColumn, count + 3);
        for (size_t i = 0; i < count; i++)
            raw->base[i].name = str_copy(&raw->arena, border_query_column_name(query, i));
        raw->base_count = count;
        border_query_free(&query);
    }
    if (!call->as_text)
        return E_OK;
    for (size_t i = 0; i < raw->base_count; i++)
        raw->base[i].type = STR("VARCHAR");
    raw->base[raw->base_count++] = (RawColumn){ STR("_file"), STR("VARCHAR") };
    raw->base[raw->base_count++] = (RawColumn){ STR("_row"), STR("BIGINT") };
    raw->base[raw->base_count++] = (RawColumn){ STR("_raw"), STR("VARCHAR") };
    return E_OK;
}

/* ---- running ---- */

static Code send_batches(Raw *raw, BorderQuery *query, const ArrowSchema *schema, Err *err)
{
    BorderStep step = BORDER_MORE;
    while (step != BORDER_READY)
        TRY(border_query_step(query, &step, err));
    for (;;) {
        ArrowArray array AUTO(arrow_array_done) = { 0 };
        size_t bytes;
        TRY(border_query_fetch(query, BATCH_ROWS, BATCH_BYTES, &array, &bytes, err));
        if (!array.release)
            return E_OK;
        buf_clear(&raw->out);
        TRY(arrow_ipc_batch_put(&raw->out, schema, &array, err));
        TRY(buf_end(&raw->out, "a batch", err));
        TRY(worker_reply(raw->worker, buf_str(&raw->out), err));
    }
}

static Code send_query(Raw *raw, Err *err)
{
    if (raw->call.describe) {
        TRY(find_columns(raw, err));
        put_select(raw, raw->base, raw->base_count);
    } else {
        put_select(raw, raw->call.wanted, raw->call.wanted_count);
    }
    TRY(buf_end(&raw->sql, "the text of a scan", err));
    BorderRequest request = { .text = buf_str(&raw->sql), .columns_only = raw->call.describe };
    BorderQuery *query AUTO(border_query_free) = NULL;
    TRY(border_query_start(raw->conn, &request, &query, err));
    ArrowSchema schema AUTO(arrow_schema_done) = { 0 };
    TRY(border_query_schema(query, &schema, err));
    TRY(arrow_ipc_schema_put(&raw->out, &schema, err));
    TRY(worker_reply(raw->worker, buf_str(&raw->out), err));
    if (!raw->call.describe)
        TRY(send_batches(raw, query, &schema, err));
    buf_clear(&raw->out);
    arrow_ipc_eos_put(&raw->out);
    return worker_reply(raw->worker, buf_str(&raw->out), err);
}

static Code send_text(void *to, Str bytes, Err *err)
{
    return worker_reply(to, bytes, err);
}

static Code run(Raw *raw, Err *err)
{
    TRY(raw_call_decode(raw->worker->request, &raw->arena, &raw->call, err));
    if (raw->call.file_count != raw->worker->fd_count)
        return err_set(err, E_INTERNAL, "a scan of %zu objects came with %zu descriptors",
                       raw->call.file_count, raw->worker->fd_count);
    raw->inputs = arena_array(&raw->arena, RawInput, raw->call.file_count + 1);
    here.inputs = raw->inputs;
    here.count = raw->call.file_count;
    TRY(load(raw, err));
    if (raw->call.as_text && raw->call.format != RAW_PARQUET)
        return raw_text_run(&raw->call, raw->inputs, send_text, raw->worker, err);
    open_engine();
    if (!here.border)
        return err_set(err, E_UNAVAILABLE, "the engine did not open in the worker");
    TRY(border_connect(here.border, &raw->conn, err));
    return with_address(raw, send_query(raw, err), err);
}

Code raw_worker_body(WorkerCall *call, Err *err)
{
    Raw raw = { .worker = call };
    buf_init(&raw.sql, SQL_MAX);
    buf_init(&raw.out, OUT_MAX);
    Code code = run(&raw, err);
    if (raw.conn)
        border_disconnect(&raw.conn);
    for (size_t i = 0; raw.inputs && i < raw.call.file_count; i++)
        buf_done(&raw.inputs[i].text);
    here.count = 0;
    buf_done(&raw.sql);
    buf_done(&raw.out);
    arena_done(&raw.arena);
    return code;
}

void raw_register(void)
{
    worker_register(RAW_WORKER_ID, "raw", raw_worker_body, open_engine);
}
