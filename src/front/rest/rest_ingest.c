/* POST /v1/ingest: a file, a form with files, or rows, straight into a staged object.
 *
 * Invariants:
 * 1. Nothing is published before the whole body has come: a form's files are finished one by one, each
 *    whole in itself; a form that breaks keeps the files that were whole, and says so in the problem.
 * 2. rest_ingest_free aborts what was begun and not finished. */
#include "front/rest/multipart.h"
#include "front/rest/rest_priv.h"

#include <string.h>

enum { FIELD_BYTES_MAX = 1024 };

typedef struct Upload {
    ApiCall call;        /* first: rest_call finds it */
    Ingest *ingest;
    bool form, is_file;
    Multipart multipart;
    Str source, name, consent, field;
    Buf value;           /* of a plain field */
    Buf items;           /* JSON of finished files of a form */
    size_t item_count;
    Str key;             /* Idempotency-Key */
    uint8_t fingerprint[32];
    bool claimed;
} Upload;

static void result_put(JsonWriter *w, Arena *arena, const IngestResult *done)
{
    json_begin_object(w);
    json_field_str(w, "address", done->address);
    json_field_str(w, "source", done->source);
    json_field_str(w, "name", done->name);
    json_field_u64(w, "size_bytes", done->size_bytes);
    json_field_u64(w, "sequence", done->sequence);
    json_field_u64(w, "rows", done->rows);
    json_field_str(w, "sha256", hex_format(arena, str_of((const char *)done->sha256, 32)));
    json_field_str(w, "content_type", done->content_type);
    json_field_str(w, "ingested", time_format(arena, done->ingested_us));
    json_field_bool(w, "duplicate", done->duplicate);
    json_end_object(w);
}

static Code file_begin(Upload *up, Str name, Str content_type, bool rows, Err *err)
{
    IngestBegin begin = { .source = up->source, .name = name, .content_type = content_type,
                          .consent = up->consent, .rows = rows };
    if (up->source.len == 0)
        return err_hint(err, err_set(err, E_INVALID, "an ingest wants its source"),
                        "POST /v1/ingest?source=NAME&name=FILE");
    return api_ingest_begin(&up->call, &begin, &up->ingest, err);
}

static Code form_begin(void *self, const MultipartPart *part, Err *err)
{
    Upload *up = self;
    up->is_file = part->filename.ptr != NULL;
    up->field = str_copy(up->call.arena, part->name);
    buf_clear(&up->value);
    return up->is_file ? file_begin(up, part->filename, part->content_type, false, err) : E_OK;
}

static Code form_data(void *self, Str bytes, Err *err)
{
    Upload *up = self;
    if (up->is_file)
        return api_ingest_write(up->ingest, bytes, err);
    buf_put(&up->value, bytes);
    return buf_end(&up->value, "a field of the form", err);
}

static Code form_end(void *self, Err *err)
{
    Upload *up = self;
    Str value = str_copy(up->call.arena, buf_str(&up->value));
    IngestResult done;
    if (up->is_file) {
        TRY(api_ingest_finish(&up->call, &up->ingest, &done, err));
        JsonWriter w = json_writer(&up->items);
        w.comma = up->item_count++ > 0;
        result_put(&w, up->call.arena, &done);
        return buf_end(&up->items, "the answer", err);
    }
    if (str_eq(up->field, STR("source")))
        up->source = value;
    else if (str_eq(up->field, STR("consent")))
        up->consent = value;
    return E_OK;
}

static const MultipartOps form_ops = { form_begin, form_data, form_end };

static Code upload_begin(HttpReq *r, Upload *up, Err *err)
{
    Str type = rest_media_type(r), rows = rest_query(r, "rows");
    up->source = rest_query(r, "source");
    up->name = rest_query(r, "name");
    up->consent = rest_query(r, "consent");
    up->form = str_ieq(type, STR("multipart/form-data"));
    if (up->form)
        return multipart_init(&up->multipart, http_req_header(r, "Content-Type"), &form_ops, up, err);
    bool ndjson = str_ieq(type, STR("application/x-ndjson")) || str_ieq(type, STR("application/jsonl"));
    bool is_rows = rows.len ? str_eq(rows, STR("1")) || str_eq(rows, STR("true"))
                            : ndjson && up->name.len == 0;
    return file_begin(up, up->name, type, is_rows, err);
}

/* authorize has made a plain call; it moves into the upload, which the request keeps. */
static Upload *upload_new(HttpReq *r)
{
    Upload *up = arena_new(http_req_arena(r), Upload);
    up->call = *rest_call(r);
    buf_init(&up->value, FIELD_BYTES_MAX);
    buf_init(&up->items, REST_JSON_MAX);
    http_req_set_user(r, up);
    return up;
}

void rest_ingest_head(HttpReq *r)
{
    Upload *up = upload_new(r);
    Err err;
    bool replayed = false;
    up->key = http_req_header(r, "Idempotency-Key");
    if (up->key.len > 0) {
        Code code = rest_claim(r, up->key, STR_NONE, up->fingerprint, &replayed, &err);
        if (code != E_OK)
            rest_claim_problem(r, code, &err);
        if (code != E_OK || replayed)
            return;
        up->claimed = true;
    }
    if (upload_begin(r, up, &err) != E_OK)
        http_reply_problem(r, &err);
}

void rest_ingest_body(HttpReq *r, Str block)
{
    Upload *up = http_req_user(r);
    Err err;
    Code code = up->form ? multipart_feed(&up->multipart, block, &err)
                         : api_ingest_write(up->ingest, block, &err);
    if (code != E_OK && up->item_count > 0)
        code = err_hint(&err, code, "%zu files of the form are in already", up->item_count);
    if (code != E_OK)
        http_reply_problem(r, &err);
}

static Code upload_finish(Upload *up, Buf *out, Err *err)
{
    IngestResult done;
    JsonWriter w = json_writer(out);
    if (up->form) {
        TRY(multipart_finish(&up->multipart, err));
        json_begin_object(&w);
        json_key(&w, STR("items"));
        json_begin_array(&w);
        if (up->item_count > 0)
            json_put_raw(&w, buf_str(&up->items));
        json_end_array(&w);
        json_end_object(&w);
        return buf_end(out, "the answer", err);
    }
    TRY(api_ingest_finish(&up->call, &up->ingest, &done, err));
    result_put(&w, up->call.arena, &done);
    return buf_end(out, "the answer", err);
}

void rest_ingest_end(HttpReq *r)
{
    Upload *up = http_req_user(r);
    Err err;
    Buf out;
    buf_init(&out, REST_JSON_MAX);
    Code code = upload_finish(up, &out, &err);
    rest_send(r, 200, &out, code, &err);
    if (up->claimed)
        rest_claim_end(r, up->key, up->fingerprint);
    up->claimed = false;
}

void rest_ingest_free(HttpReq *r)
{
    Upload *up = http_req_user(r);
    if (up->claimed)
        rest_claim_release(r, up->key, up->fingerprint);
    source_ingest_abort(&up->ingest);
    multipart_done(&up->multipart);
    buf_done(&up->value);
    buf_done(&up->items);
}
