/* Objects read: whole, by range, by part; their header fields. */
#include "front/s3/s3_priv.h"

#include "base/text.h"

#include <string.h>

enum { GET_BLOCK_BYTES = 128 << 10, GET_WHOLE_BYTES = 64 << 10 };

/* ---- get and head ---- */

typedef struct Reading {
    HttpReq *r;
    ObjectReader *reader;
    uint64_t at, end, from;
} Reading;

static Code reading_pull(void *self, Buf *out, HttpPullState *ret_state, Err *err)
{
    Reading *reading = self;
    size_t most = http_pull_bytes(reading->r, GET_BLOCK_BYTES), got = 0;
    size_t len = (size_t)MIN((uint64_t)most, reading->end - reading->at);
    if (!buf_reserve(out, len))
        return err_set(err, E_LIMIT, "a block of the reply");
    TRY(object_pread(reading->reader, out->ptr + out->len, len, reading->at, &got, err));
    out->len += got;
    reading->at += got;
    *ret_state = reading->at == reading->end ? HTTP_PULL_END : HTTP_PULL_MORE;
    return got == len ? E_OK : err_set(err, E_CORRUPT, "an object that is shorter than it was");
}

static void reading_done(void *self)
{
    Reading *reading = self;
    object_reader_free(&reading->reader);
}

static const HttpPull reading_ops = { reading_pull, reading_done };

/* What is in the page cache goes out from there, compared with its checksum before (LOOP_CUT_KEEP_US). */
static size_t reading_in_file(void *self, uint64_t at, size_t len, char *room, int *ret_fd, uint64_t *ret_file_at)
{
    Reading *reading = self;
    return object_in_file(reading->reader, reading->from + at, len, room, HTTP_CUT_ROOM_BYTES, ret_fd,
                          ret_file_at);
}

static void reading_seek(void *self, uint64_t at)
{
    Reading *reading = self;
    reading->at = reading->from + at;
}

static const HttpCuts reading_cuts = { reading_in_file, reading_seek };

static bool part_number_ok(S3Req *s)
{
    Str text = s3_param(s, "partNumber");
    int64_t number = 0;
    if (!text.ptr)
        return true;
    if (s3_field(s, "Range").ptr)
        return s3_fail_text(s, S3_InvalidRequest,
                            STR("Cannot specify both Range header and partNumber query parameter"));
    return (str_i64(text, &number) && number >= 1 && number <= STORE_PARTS_MAX) ||
           s3_fail_argument(s, "partNumber", text,
                            STR("Part number must be an integer between 1 and 10000, inclusive."));
}

/* S3 reads "bytes=" with one range of digits; whatever else is no range at all. */
static bool range_asked(S3Req *s, uint64_t size)
{
    Str text = s3_field(s, "Range");
    if (size == 0 && str_starts(text, STR("bytes=-")) && !str_eq(text, STR("bytes=-0")))
        return false; /* the last bytes of nothing are all of it */
    for (size_t i = 6; i < text.len; i++) {
        if (!strchr("0123456789-", text.ptr[i]))
            return false;
    }
    return str_starts(text, STR("bytes="));
}

/* What is read of an object. */
typedef struct Span {
    uint64_t at, len;
    bool is_part;
    const StorePart *part; /* NULL: of an object that is not in parts, or none was asked for */
} Span;

/* The part that ?partNumber= asks for. */
static bool part_find(S3Req *s, const ObjectInfo *info, Span *ret_span)
{
    Str text = s3_param(s, "partNumber");
    int64_t number = 0;
    *ret_span = (Span){ .is_part = text.ptr != NULL };
    if (!text.ptr)
        return true;
    if (!str_i64(text, &number))
        return false;
    if (info->part_count == 0 && number == 1) {
        ret_span->len = info->size_bytes;
        return true;
    }
    for (size_t i = 0; i < info->part_count; i++) {
        ret_span->part = &info->parts[i];
        ret_span->len = info->parts[i].size_bytes;
        if (i + 1 == (size_t)number)
            return true;
        ret_span->at += ret_span->len;
    }
    S3Detail details[] = { { "ActualPartCount", s3_number(s, MAX(info->part_count, (size_t)1)) },
                           { "PartNumberRequested", text } };
    return s3_fail_details(s, S3_InvalidPartNumber, STR_NONE, details, ARRAY_LEN(details));
}

static void checksums_put(S3Req *s, const ObjectInfo *info, const Span *span, bool whole)
{
    if (!str_ieq(s3_field(s, "x-amz-checksum-mode"), STR("ENABLED")))
        return;
    if (span->part && span->part->checksum.kind != DIGEST_NONE) {
        http_reply_header(s->r, s3_checksum_name(span->part->checksum.kind),
                          s3_base64(s->arena, digest_str(&span->part->checksum)));
        http_reply_header(s->r, "x-amz-checksum-type", s3_checksum_type(info->checksum_composite));
    } else if (whole) {
        s3_checksum_header(s, info);
    }
}

static void object_headers(S3Req *s, const ObjectInfo *info)
{
    static const struct {
        const char *param, *name;
    } overrides[] = { { "response-cache-control", "Cache-Control" },
                      { "response-content-disposition", "Content-Disposition" },
                      { "response-content-encoding", "Content-Encoding" },
                      { "response-content-language", "Content-Language" },
                      { "response-expires", "Expires" } };
    http_reply_header(s->r, "ETag", s3_quoted_etag(s, info));
    http_reply_header(s->r, "Last-Modified", s3_http_date(s->arena, info->modified_us));
    s3_version_header(s, info->sequence, info->null_version);
    for (size_t i = 0; i < info->meta_count; i++) {
        bool overridden = false;
        for (size_t j = 0; j < ARRAY_LEN(overrides); j++)
            overridden = overridden || (str_ieq(info->meta[i].key, str_z(overrides[j].name)) &&
                                        s3_has(s, overrides[j].param));
        if (!overridden)
            http_reply_header(s->r, str_copy_z(s->arena, info->meta[i].key), info->meta[i].value);
    }
    for (size_t i = 0; i < ARRAY_LEN(overrides); i++) {
        if (s3_has(s, overrides[i].param))
            http_reply_header(s->r, overrides[i].name, s3_param(s, overrides[i].param));
    }
    if (info->tag_count > 0)
        http_reply_header(s->r, "x-amz-tagging-count",
                          str_format(s->arena, "%zu", info->tag_count));
}

bool s3_version_wanted(S3Req *s, uint64_t *ret_sequence)
{
    Str version = s3_param(s, "versionId");
    *ret_sequence = 0;
    return !version.ptr || s3_version_parse(s, version, ret_sequence);
}

/* Why there is nothing to read: a marker says so in fields of its own. */
static void missing_answer(S3Req *s, uint64_t sequence, const Err *err)
{
    ObjectInfo info;
    Err other;
    if ((err->code == E_NOT_FOUND || err->code == E_GONE) && s3_may_list(s, s->bucket) &&
        api_object_head(&s->call, s->bucket, s->key, sequence, &info, &other) == E_OK &&
        info.delete_marker) {
        http_reply_header(s->r, "x-amz-delete-marker", STR("true"));
        s3_version_header(s, info.sequence, info.null_version);
        if (sequence != 0) {
            http_reply_header(s->r, "Last-Modified", s3_http_date(s->arena, info.modified_us));
            S3Detail details[] = { { "Method", http_req_method(s->r) },
                                   { "ResourceType", STR("DeleteMarker") } };
            s3_fail_details(s, S3_MethodNotAllowed, STR_NONE, details, ARRAY_LEN(details));
        } else {
            s3_fail_with(s, S3_NoSuchKey, STR_NONE, "Key", s->key);
        }
        return;
    }
    s3_fail_err(s, err);
}

/* Which bytes are asked for, and the status that they have; 0: it was answered. */
static int span_take(S3Req *s, const ObjectInfo *info, Span *ret_span)
{
    uint64_t size = info->size_bytes;
    if (!part_find(s, info, ret_span))
        return 0;
    if (ret_span->is_part || !range_asked(s, size))
        http_reply_header(s->r, "Accept-Ranges", STR("bytes"));
    if (ret_span->is_part) {
        if (ret_span->len > 0)
            http_reply_header(s->r, "Content-Range",
                              str_format(s->arena, "bytes %llu-%llu/%llu",
                                         (unsigned long long)ret_span->at,
                                         (unsigned long long)(ret_span->at + ret_span->len - 1),
                                         (unsigned long long)size));
        if (info->part_count > 0)
            http_reply_header(s->r, "x-amz-mp-parts-count", s3_number(s, info->part_count));
        return ret_span->len > 0 ? 206 : 200;
    }
    if (!range_asked(s, size)) {
        ret_span->len = size;
        return 200;
    }
    int status =
        http_req_range(s->r, size, s3_quoted_etag(s, info), &ret_span->at, &ret_span->len);
    if (status != 416)
        return status;
    S3Detail details[] = { { "RangeRequested", s3_field(s, "Range") },
                           { "ActualObjectSize", s3_number(s, size) } };
    s3_fail_details(s, S3_InvalidRange, STR_NONE, details, ARRAY_LEN(details));
    return 0;
}

/* Small ones are read here, so that head and body leave in one call; others are pulled. */
static void bytes_send(S3Req *s, ObjectReader *take_reader, const Span *span, int status,
                       const char *type)
{
    ObjectReader *reader AUTO(object_reader_free) = take_reader;
    bool bare = str_eq(http_req_method(s->r), STR("HEAD"));
    size_t got = 0;
    Buf body;
    Err err;
    if (span->len == 0) {
        http_reply(s->r, status, type, STR(""));
    } else if (bare || span->len > GET_WHOLE_BYTES || http_pull_bytes(s->r, span->len) < span->len) {
        Reading *reading = arena_new(s->arena, Reading);
        *reading = (Reading){ s->r, TAKE(reader), span->at, span->at + span->len, span->at };
        http_reply_stream(s->r, status, type, (int64_t)span->len, &reading_ops, reading);
        http_reply_cuts(s->r, &reading_cuts, reading);
    } else {
        buf_init(&body, GET_WHOLE_BYTES);
        Code code = buf_reserve(&body, span->len)
                        ? object_pread(reader, body.ptr, span->len, span->at, &got, &err)
                        : err_set(&err, E_LIMIT, "the bytes of the reply");
        if (code == E_OK && got < span->len)
            code = err_set(&err, E_CORRUPT, "an object that is shorter than it was");
        body.len = got;
        if (code == E_OK)
            http_reply_take(s->r, status, type, &body);
        else
            s3_fail_err(s, &err);
        buf_done(&body);
    }
}

/* A HEAD opens no body. On a loop nothing is waited for (`s->now`). */
static Code reader_take(S3Req *s, uint64_t sequence, ObjectReader **ret_reader, Err *err)
{
    if (str_eq(http_req_method(s->r), STR("HEAD")))
        return api_object_read_head(&s->call, s->bucket, s->key, sequence, s->now, ret_reader, err);
    return s->now ? api_object_read_now(&s->call, s->bucket, s->key, ret_reader, err)
                  : api_object_read(&s->call, s->bucket, s->key, sequence, ret_reader, err);
}

void s3_get_object(S3Req *s)
{
    uint64_t sequence;
    Err err;
    Span span;
    ObjectReader *reader AUTO(object_reader_free) = NULL;
    if (!s3_version_wanted(s, &sequence) || !part_number_ok(s))
        return;
    if (s3_field(s, "x-amz-server-side-encryption-customer-algorithm").len > 0) {
        s3_fail_text(s, S3_InvalidRequest, STR("The encryption parameters are not applicable to this object."));
        return;
    }
    if (reader_take(s, sequence, &reader, &err) != E_OK) {
        if (s->now)
            http_req_move(s->r);
        else
            missing_answer(s, sequence, &err);
        return;
    }
    const ObjectInfo *info = object_reader_info(reader);
    if (!s3_conditions_hold(s, info, &s3_of_get))
        return;
    int status = span_take(s, info, &span);
    if (status == 0)
        return;
    object_headers(s, info);
    checksums_put(s, info, &span, status == 200 || (span.is_part && !span.part));
    Str type = s3_param(s, "response-content-type");
    const char *type_z = str_copy_z(s->arena, type.len ? type : info->content_type);
    bytes_send(s, TAKE(reader), &span, status, type_z);
}
