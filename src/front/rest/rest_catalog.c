/* Datasets, objects, models, runs, keys as JSON. */
#include "front/rest/rest_priv.h"

#include <string.h>

static void time_field(JsonWriter *w, Arena *arena, const char *key, int64_t time_us)
{
    json_key(w, str_z(key));
    json_put_str(w, time_us ? time_format(arena, time_us) : STR_NONE);
}

static void count_field(JsonWriter *w, const char *key, int64_t count)
{
    json_key(w, str_z(key));
    if (count < 0)
        json_put_null(w);
    else
        json_put_i64(w, count);
}

static void dataset_fields(JsonWriter *w, Arena *arena, const ApiDataset *d)
{
    json_field_str(w, "namespace", d->ns);
    json_field_str(w, "name", d->name);
    json_field_str(w, "kind", d->kind);
    count_field(w, "rows", d->rows);
    count_field(w, "files", d->files);
    count_field(w, "bytes", d->bytes);
    json_field_i64(w, "snapshot_id", d->snapshot_id);
    time_field(w, arena, "updated", d->updated_us);
    json_field_str(w, "uuid", d->uuid);
}

static void columns_field(JsonWriter *w, const ApiDataset *d)
{
    json_key(w, STR("columns"));
    json_begin_array(w);
    for (size_t i = 0; i < d->column_count; i++) {
        const ApiColumn *column = &d->columns[i];
        json_begin_object(w);
        json_field_str(w, "name", column->name);
        json_field_str(w, "type", column->type);
        json_field_bool(w, "required", column->required);
        json_field_i64(w, "id", column->field_id);
        json_field_str(w, "doc", column->doc.len ? column->doc : STR_NONE);
        json_end_object(w);
    }
    json_end_array(w);
}

void rest_datasets(HttpReq *r)
{
    ApiCall *call = rest_call(r);
    ApiDataset *datasets = NULL;
    size_t count = 0;
    bool more = false;
    int64_t limit = 0;
    Err err;
    Buf out;
    buf_init(&out, REST_JSON_MAX);
    JsonWriter w = json_writer(&out);
    Code code = rest_number(r, "limit", API_PAGE_ROWS_DEFAULT, &limit, &err);
    if (code == E_OK)
        code = api_datasets(call, rest_query(r, "namespace"), rest_query(r, "cursor"), (size_t)limit,
                            &datasets, &count, &more, &err);
    json_begin_object(&w);
    json_key(&w, STR("items"));
    json_begin_array(&w);
    for (size_t i = 0; i < count; i++) {
        json_begin_object(&w);
        dataset_fields(&w, call->arena, &datasets[i]);
        json_end_object(&w);
    }
    json_end_array(&w);
    Str next = more && count ? str_format(call->arena, STR_FMT "." STR_FMT,
                                          STR_ARG(datasets[count - 1].ns),
                                          STR_ARG(datasets[count - 1].name))
                             : STR_NONE;
    json_field_str(&w, "next_cursor", next);
    json_end_object(&w);
    rest_send(r, 200, &out, code, &err);
}

static void dataset_send(HttpReq *r, bool whole)
{
    ApiCall *call = rest_call(r);
    ApiDataset d = { 0 };
    Str ns, name;
    Err err;
    Buf out;
    buf_init(&out, REST_JSON_MAX);
    JsonWriter w = json_writer(&out);
    Code code = rest_dataset_name(r, &ns, &name, &err);
    if (code == E_OK)
        code = api_dataset(call, ns, name, &d, &err);
    json_begin_object(&w);
    if (code == E_OK && whole) {
        dataset_fields(&w, call->arena, &d);
        json_field_str(&w, "location", d.location.len ? d.location : STR_NONE);
        json_field_str(&w, "metadata", d.metadata_address.len ? d.metadata_address : STR_NONE);
        json_field_str(&w, "view_sql", d.view_sql.len ? d.view_sql : STR_NONE);
        json_key(&w, STR("partition_by"));
        json_begin_array(&w);
        for (size_t i = 0; i < d.partition_count; i++)
            json_put_str(&w, d.partition_by[i]);
        json_end_array(&w);
    } else if (code == E_OK) {
        json_field_str(&w, "namespace", d.ns);
        json_field_str(&w, "name", d.name);
        json_field_i64(&w, "snapshot_id", d.snapshot_id);
    }
    columns_field(&w, &d);
    json_end_object(&w);
    rest_send(r, 200, &out, code, &err);
}

void rest_dataset(HttpReq *r)
{
    dataset_send(r, true);
}

void rest_dataset_schema(HttpReq *r)
{
    dataset_send(r, false);
}

/* ---- objects ---- */

void rest_buckets(HttpReq *r)
{
    ApiCall *call = rest_call(r);
    StoreBucket *buckets = NULL;
    size_t count = 0;
    Err err;
    Buf out;
    buf_init(&out, REST_JSON_MAX);
    JsonWriter w = json_writer(&out);
    static const char *const versioning[] = { "never", "on", "suspended" };
    Str name = rest_query(r, "name");
    size_t shown = 0;
    Code code = api_buckets(call, &buckets, &count, &err);
    json_begin_object(&w);
    json_key(&w, STR("items"));
    json_begin_array(&w);
    for (size_t i = 0; i < count; i++) {
        if (name.len && !str_eq(name, buckets[i].name))
            continue;
        shown++;
        json_begin_object(&w);
        json_field_str(&w, "name", buckets[i].name);
        json_field_str(&w, "versioning", str_z(versioning[buckets[i].versioning]));
        json_field_u64(&w, "objects", buckets[i].objects);
        json_field_u64(&w, "versions", buckets[i].versions);
        json_field_u64(&w, "bytes", buckets[i].bytes);
        json_field_u64(&w, "trash_bytes", buckets[i].trash_bytes);
        json_field_u64(&w, "uploads", buckets[i].uploads);
        time_field(&w, call->arena, "created", buckets[i].created_us);
        json_end_object(&w);
    }
    json_end_array(&w);
    json_end_object(&w);
    if (code == E_OK && name.len && !shown)
        code = err_hint(&err, err_set(&err, E_NOT_FOUND, "there is no bucket '" STR_FMT "'", STR_ARG(name)),
                        "`tarn bucket ls` shows them");
    rest_send(r, 200, &out, code, &err);
}

static void object_put(JsonWriter *w, Arena *arena, const ObjectInfo *info)
{
    json_begin_object(w);
    json_field_str(w, "key", info->key);
    json_field_u64(w, "size_bytes", info->size_bytes);
    json_field_str(w, "content_type", info->content_type);
    time_field(w, arena, "modified", info->modified_us);
    json_field_str(w, "sha256", hex_format(arena, str_of((const char *)info->sha256, 32)));
    json_field_u64(w, "sequence", info->sequence);
    json_end_object(w);
}

void rest_objects(HttpReq *r)
{
    ApiCall *call = rest_call(r);
    StoreListPage page = { 0 };
    int64_t limit = 0;
    Err err;
    Buf out;
    buf_init(&out, REST_JSON_MAX);
    JsonWriter w = json_writer(&out);
    Code code = rest_number(r, "limit", STORE_LIST_MAX, &limit, &err);
    StoreListQuery query = { .bucket = http_req_arg(r, "bucket"), .prefix = rest_query(r, "prefix"),
                             .delimiter = rest_query(r, "delimiter"),
                             .start_after = rest_query(r, "cursor"),
                             .limit = (size_t)MIN(limit, (int64_t)STORE_LIST_MAX) };
    if (code == E_OK)
        code = api_objects(call, &query, &page, &err);
    json_begin_object(&w);
    json_key(&w, STR("items"));
    json_begin_array(&w);
    for (size_t i = 0; i < page.object_count; i++)
        object_put(&w, call->arena, &page.objects[i]);
    json_end_array(&w);
    json_key(&w, STR("prefixes"));
    json_begin_array(&w);
    for (size_t i = 0; i < page.prefix_count; i++)
        json_put_str(&w, page.prefixes[i]);
    json_end_array(&w);
    json_field_str(&w, "next_cursor", page.truncated ? page.next : STR_NONE);
    json_end_object(&w);
    rest_send(r, 200, &out, code, &err);
}

typedef struct ObjectStream {
    HttpReq *r;
    ObjectReader *reader;
    uint64_t at, end;
} ObjectStream;

static Code object_pull(void *self, Buf *out, HttpPullState *ret_state, Err *err)
{
    ObjectStream *stream = self;
    size_t most = http_pull_bytes(stream->r, HTTP_PULL_BYTES), got = 0;
    size_t want = (size_t)MIN((uint64_t)most, stream->end - stream->at);
    if (!buf_reserve(out, want))
        return buf_end(out, "a block", err);
    TRY(object_pread(stream->reader, out->ptr + out->len, want, stream->at, &got, err));
    if (got != want)
        return err_set(err, E_CORRUPT, "the object ends before its size");
    out->len += got;
    stream->at += got;
    *ret_state = stream->at == stream->end ? HTTP_PULL_END : HTTP_PULL_MORE;
    return E_OK;
}

static void object_done(void *self)
{
    ObjectStream *stream = self;
    object_reader_free(&stream->reader);
    mem_free(&stream);
}

void rest_object(HttpReq *r)
{
    static const HttpPull pull = { object_pull, object_done };
    ApiCall *call = rest_call(r);
    ObjectReader *reader = NULL;
    Err err;
    Code code = api_object_open(call, http_req_arg(r, "bucket"), http_req_arg(r, "key"), &reader, &err);
    if (code != E_OK) {
        http_reply_problem(r, &err);
        return;
    }
    const ObjectInfo *info = object_reader_info(reader);
    Str hash = hex_format(call->arena, str_of((const char *)info->sha256, 32));
    Str etag = str_format(call->arena, "\"" STR_FMT "\"", STR_ARG(hash));
    http_reply_header(r, "ETag", etag);
    http_reply_header(r, "X-Sequence", str_format(call->arena, "%llu", (unsigned long long)info->sequence));
    http_reply_header(r, "Content-Security-Policy", STR("sandbox; default-src 'none'"));
    uint64_t from = 0, len = 0;
    int status = http_req_not_modified(r, etag) ? 304 : http_req_range(r, info->size_bytes, etag, &from, &len);
    if (status == 304 || status == 416 || len == 0) {
        object_reader_free(&reader);
        http_reply(r, status, "application/octet-stream", STR_NONE);
        return;
    }
    ObjectStream *stream = mem_new(sizeof *stream);
    *stream = (ObjectStream){ r, reader, from, from + len };
    const char *type = info->content_type.len ? str_copy_z(call->arena, info->content_type)
                                              : "application/octet-stream";
    http_reply_stream(r, status, type, (int64_t)len, &pull, stream);
}

/* ---- models, runs, keys: the verbs build the JSON ---- */

#define VERB_JSON(handler, max, call_text)                                                         \
    void handler(HttpReq *r)                                                                       \
    {                                                                                              \
        ApiCall *call = rest_call(r);                                                              \
        Err err;                                                                                   \
        Buf out;                                                                                   \
        buf_init(&out, max);                                                                       \
        Code code = call_text;                                                                     \
        rest_send(r, 200, &out, code, &err);                                                       \
    }

VERB_JSON(rest_models, REST_JSON_MAX, api_models(call, &out, &err))
VERB_JSON(rest_models_load, REST_JSON_MAX, api_models_load(call, http_req_body(r), &out, &err))
VERB_JSON(rest_plan, REST_JSON_MAX, api_plan(call, http_req_body(r), &out, &err))
VERB_JSON(rest_run, REST_JSON_MAX, api_run(call, http_req_arg(r, "id"), &out, &err))
VERB_JSON(rest_keys, REST_JSON_MAX, api_keys(call, &out, &err))

void rest_runs(HttpReq *r)
{
    int64_t limit = 0;
    Err err;
    Buf out;
    buf_init(&out, REST_JSON_MAX);
    Code code = rest_number(r, "limit", 50, &limit, &err);
    if (code == E_OK)
        code = api_runs(rest_call(r), (size_t)limit, &out, &err);
    rest_send(r, 200, &out, code, &err);
}

void rest_run_start(HttpReq *r)
{
    ApiCall *call = rest_call(r);
    Str run_id = STR_NONE;
    Err err;
    Buf out;
    buf_init(&out, REST_JSON_MAX);
    Code code = api_run_start(call, http_req_body(r), &out, &run_id, &err);
    if (code == E_OK && run_id.len > 0)
        http_reply_header(r, "Location", str_format(call->arena, "/v1/runs/" STR_FMT, STR_ARG(run_id)));
    rest_send(r, run_id.len > 0 ? 202 : 200, &out, code, &err);
}

void rest_run_cancel(HttpReq *r)
{
    Err err;
    if (api_run_cancel(rest_call(r), http_req_arg(r, "id"), &err) != E_OK)
        http_reply_problem(r, &err);
    else
        http_reply(r, 202, REST_JSON, STR("{\"state\":\"cancelling\"}\n"));
}

typedef struct EventStream {
    ApiCall *call;
    Str run_id;
    uint64_t after;
    bool sse;
} EventStream;

static Code events_pull(void *self, Buf *out, HttpPullState *ret_state, Err *err)
{
    EventStream *stream = self;
    Buf lines AUTO(buf_done);
    bool ended = false;
    Str rest, line;
    buf_init(&lines, REST_JSON_MAX);
    TRY(api_run_events(stream->call, stream->run_id, &stream->after, &lines, &ended, err));
    rest = buf_str(&lines);
    while (stream->sse && rest.len > 0 && str_split(&rest, '\n', &line)) {
        if (line.len == 0)
            continue;
        buf_put(out, STR("data: "));
        buf_put(out, line);
        buf_put(out, STR("\n\n"));
    }
    if (!stream->sse)
        buf_put(out, rest);
    *ret_state = ended ? HTTP_PULL_END : HTTP_PULL_LATER;
    return E_OK;
}

static void events_done(void *self)
{
    mem_free(&self);
}

void rest_run_events(HttpReq *r)
{
    static const HttpPull pull = { events_pull, events_done };
    static const char *const types[] = { "text/event-stream", "application/x-ndjson" };
    const char *type = http_req_accepts(r, types, 2);
    type = type ? type : types[1];
    EventStream *stream = mem_new(sizeof *stream);
    *stream = (EventStream){ rest_call(r), http_req_arg(r, "id"), 0, type == types[0] };
    http_reply_header(r, "Cache-Control", STR("no-store"));
    http_reply_stream(r, 200, type, -1, &pull, stream);
}

void rest_key_revoke(HttpReq *r)
{
    Err err;
    if (api_key_revoke(rest_call(r), http_req_arg(r, "id"), &err) != E_OK)
        http_reply_problem(r, &err);
    else
        http_reply(r, 200, REST_JSON, STR("{\"revoked\":true}\n"));
}
