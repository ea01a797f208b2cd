/* Objects: put, copy, get, head, delete, tags, attributes. */
#include "front/s3/s3_priv.h"

#include "base/text.h"

#include <string.h>

enum { GET_BLOCK_BYTES = 256 << 10, GET_WHOLE_BYTES = 64 << 10, COPY_BLOCK_BYTES = 1 << 20 };

static bool counts_versions(const S3Req *s)
{
    return s->info.versioning != VERSIONING_NEVER;
}

static void version_header(S3Req *s, uint64_t sequence, bool null_version)
{
    if (counts_versions(s))
        http_reply_header(s->r, "x-amz-version-id", s3_version_text(s, sequence, null_version));
}

void s3_checksum_header(S3Req *s, const ObjectInfo *info)
{
    if (info->checksum.kind == DIGEST_NONE)
        return;
    Str name = str_lower(
        s->arena, str_format(s->arena, "x-amz-checksum-%s", digest_name(info->checksum.kind)));
    Str value = s3_base64(s->arena, digest_str(&info->checksum));
    if (info->part_count > 0 && info->checksum_composite)
        value = str_format(s->arena, STR_FMT "-%zu", STR_ARG(value), info->part_count);
    http_reply_header(s->r, str_copy_z(s->arena, name), value);
    http_reply_header(s->r, "x-amz-checksum-type",
                      info->checksum_composite ? STR("COMPOSITE") : STR("FULL_OBJECT"));
}

/* ---- put ---- */

void s3_put_object_head(S3Req *s)
{
    if (s3_field(s, "x-amz-copy-source").ptr || !s3_conditions_of_put(s))
        return;
    if (http_req_length(s->r) < 0 && !s->aws_chunked &&
        !s3_field(s, "x-amz-decoded-content-length").ptr)
        s3_fail(s, S3_MissingContentLength);
}

static void put_answer(S3Req *s, uint64_t sequence, Str etag, const DigestValue *checksum)
{
    http_reply_header(s->r, "ETag", str_format(s->arena, "\"" STR_FMT "\"", STR_ARG(etag)));
    if (s->info.versioning == VERSIONING_ENABLED)
        version_header(s, sequence, false);
    http_reply_header(s->r, "x-amz-object-size", s3_number(s, s->body_bytes));
    if (checksum->kind != DIGEST_NONE)
        s3_checksum_header(s, &(ObjectInfo){ .checksum = *checksum });
    s3_reply_empty(s, 200);
}

static void copy_object(S3Req *s);

void s3_put_object(S3Req *s)
{
    uint64_t sequence = 0;
    Err err;
    if (s3_field(s, "x-amz-copy-source").ptr) {
        copy_object(s);
        return;
    }
    StorePut put = { .take_staged = s->staged,
                     .bucket = s->bucket,
                     .key = s->key,
                     .condition = s->condition,
                     .if_sequence = s->if_sequence,
                     .md5 = s->md5_bytes,
                     .checksum = s->checksum_value };
    if (!s3_put_fields(s, &put, s->arena))
        return;
    Code code = api_object_put(&s->call, &put, &sequence, &err);
    s->staged = put.take_staged;
    if (code != E_OK)
        s3_fail_err(s, &err);
    else
        put_answer(s, sequence, hex_format(s->arena, str_of(s->md5_bytes, 16)), &s->checksum_value);
}

/* ---- conditions of a read ---- */

bool s3_http_date_parse(Str text, int64_t *ret_us)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    char iso[24];
    if (text.len != 29 || text.ptr[3] != ',')
        return false;
    ptrdiff_t month = str_find(str_z(months), str_sub(text, 8, 3));
    if (month < 0 || month % 3)
        return false;
    Buf out AUTO(buf_done);
    buf_init(&out, sizeof iso);
    buf_format(&out, STR_FMT "-%02d-" STR_FMT "T" STR_FMT "Z", STR_ARG(str_sub(text, 12, 4)),
               (int)month / 3 + 1, STR_ARG(str_sub(text, 5, 2)), STR_ARG(str_sub(text, 17, 8)));
    return time_parse(buf_str(&out), ret_us);
}

static bool etag_list_has(Str list, Str etag)
{
    Str one;
    while (list.ptr && str_split(&list, ',', &one)) {
        if (str_eq(str_trim(one), STR("*")) || s3_etag_is(one, etag))
            return true;
    }
    return false;
}

typedef struct Conditions {
    const char *match, *none, *modified, *unmodified;
    bool copies;
} Conditions;

/* RFC 9110 13.2.2: If-Match goes before If-Unmodified-Since, If-None-Match before
 * If-Modified-Since. */
static bool conditions_hold(S3Req *s, const ObjectInfo *info, const Conditions *names)
{
    Str match = s3_field(s, names->match), none = s3_field(s, names->none);
    Str etag = object_etag(s->arena, info);
    int64_t time_us, seconds_us = info->modified_us / 1000000 * 1000000;
    if (match.ptr && !etag_list_has(match, etag))
        return s3_fail_with(s, S3_PreconditionFailed, STR_NONE, "Condition", str_z(names->match));
    if (!match.ptr && s3_http_date_parse(s3_field(s, names->unmodified), &time_us) &&
        seconds_us > time_us)
        return s3_fail_with(s, S3_PreconditionFailed, STR_NONE, "Condition",
                            str_z(names->unmodified));
    bool same = none.ptr && etag_list_has(none, etag);
    bool older = !none.ptr && s3_http_date_parse(s3_field(s, names->modified), &time_us) &&
                 seconds_us <= time_us;
    if (!same && !older)
        return true;
    if (names->copies)
        return s3_fail_with(s, S3_PreconditionFailed, STR_NONE, "Condition",
                            str_z(same ? names->none : names->modified));
    http_reply_header(s->r, "ETag", s3_quoted_etag(s, info));
    http_reply_header(s->r, "Last-Modified", s3_http_date(s->arena, info->modified_us));
    s3_reply_empty(s, 304);
    return false;
}

static const Conditions of_get = { "If-Match", "If-None-Match", "If-Modified-Since",
                                   "If-Unmodified-Since", false };
static const Conditions of_copy = { "x-amz-copy-source-if-match", "x-amz-copy-source-if-none-match",
                                    "x-amz-copy-source-if-modified-since",
                                    "x-amz-copy-source-if-unmodified-since", true };

/* ---- copy ---- */

static bool copy_source_parse(S3Req *s, Str *ret_bucket, Str *ret_key, uint64_t *ret_sequence)
{
    Str source = s3_field(s, "x-amz-copy-source"), version = STR_NONE, decoded;
    if (str_starts(source, STR("/")))
        source = str_from(source, 1);
    ptrdiff_t query = str_find(source, STR("?versionId="));
    if (query >= 0) {
        version = str_from(source, (size_t)query + strlen("?versionId="));
        source = str_sub(source, 0, (size_t)query);
    }
    if (!url_decode(s->arena, source, &decoded))
        return s3_fail_argument(s, "x-amz-copy-source", source,
                                STR("Invalid copy source encoding"));
    ptrdiff_t slash = str_find_char(decoded, '/');
    *ret_bucket = slash < 0 ? decoded : str_sub(decoded, 0, (size_t)slash);
    *ret_key = slash < 0 ? STR("") : str_from(decoded, (size_t)slash + 1);
    if (!store_bucket_name_ok(*ret_bucket))
        return s3_fail_argument(s, "x-amz-copy-source", decoded,
                                STR("Invalid copy source bucket name"));
    if (ret_key->len == 0 || ret_key->len > STORE_KEY_MAX)
        return s3_fail_argument(s, "x-amz-copy-source", *ret_key,
                                STR("Invalid copy source object key"));
    *ret_sequence = 0;
    return !version.ptr || s3_version_parse(s, version, ret_sequence);
}

bool s3_copy_source_ok(S3Req *s)
{
    Str bucket, key;
    uint64_t sequence;
    return copy_source_parse(s, &bucket, &key, &sequence);
}

static bool copy_source_open(S3Req *s, ObjectReader **ret_reader)
{
    Str bucket, key;
    uint64_t sequence;
    StoreBucket info;
    Err err;
    if (!copy_source_parse(s, &bucket, &key, &sequence))
        return false;
    ApiBucketAsk ask = { &s->grant, BUCKET_READ, "s3:GetObject", bucket, key };
    if (!store_bucket_name_ok(bucket))
        return s3_fail_with(s, S3_NoSuchBucket, STR_NONE, "BucketName", bucket);
    Code code = api_bucket_enter(&s->call, &ask, &info, &err);
    if (code == E_NOT_FOUND)
        return s3_fail_with(s, S3_NoSuchBucket, STR_NONE, "BucketName", bucket);
    if (code == E_OK && !s3_owner_expected(s, "x-amz-source-expected-bucket-owner", info.owner))
        return false;
    if (code == E_OK)
        code = api_object_read(&s->call, bucket, key, sequence, ret_reader, &err);
    if (code != E_OK)
        return s3_fail_err(s, &err);
    return conditions_hold(s, object_reader_info(*ret_reader), &of_copy);
}

static bool bytes_copy(S3Req *s, ObjectReader *reader, uint64_t at, uint64_t len)
{
    Err err;
    bool part = s->op->body == S3_BODY_PART;
    Buf block AUTO(buf_done);
    buf_init(&block, COPY_BLOCK_BYTES);
    digest_done(&s->md5); /* of the empty body so far */
    digest_init(&s->md5, DIGEST_MD5);
    if (!buf_reserve(&block, COPY_BLOCK_BYTES) ||
        api_stage(&s->call, part, &s->staged, &err) != E_OK)
        return s3_fail_err(s, &err);
    while (len > 0) {
        size_t got = 0;
        if (object_pread(reader, block.ptr, (size_t)MIN(len, (uint64_t)COPY_BLOCK_BYTES), at, &got,
                         &err) != E_OK)
            return s3_fail_err(s, &err);
        Str data = str_of(block.ptr, got);
        digest_update(&s->md5, data);
        digest_update(&s->checksum, data);
        if (store_stage_write(s->staged, data, &err) != E_OK)
            return s3_fail_err(s, &err);
        at += got;
        len -= got;
    }
    if (store_stage_finish(s->staged, &err) != E_OK)
        return s3_fail_err(s, &err);
    DigestValue md5 = digest_final(&s->md5);
    memcpy(s->md5_bytes, md5.bytes, sizeof s->md5_bytes);
    s->checksum_value = digest_final(&s->checksum);
    return true;
}

static void copy_answer(S3Req *s, const char *root, int64_t time_us, const DigestValue *checksum)
{
    Buf body;
    buf_init(&body, 8192);
    XmlWriter w = xml_writer(&body);
    xml_open_in(&w, root, S3_XMLNS);
    xml_field(&w, "LastModified", s3_iso_date(s->arena, time_us));
    xml_field(&w, "ETag",
              str_format(s->arena, "\"" STR_FMT "\"",
                         STR_ARG(hex_format(s->arena, str_of(s->md5_bytes, 16)))));
    if (checksum->kind != DIGEST_NONE)
        xml_field(&w, str_format(s->arena, "Checksum%s%c", digest_name(checksum->kind), 0).ptr,
                  s3_base64(s->arena, digest_str(checksum)));
    xml_close(&w, root);
    s3_reply_xml(s, 200, &body);
}

void s3_checksum_begin(S3Req *s, DigestKind kind)
{
    digest_done(&s->checksum);
    digest_init(&s->checksum, kind);
}

static bool directive_ok(S3Req *s, const char *name, Str message)
{
    Str value = s3_field(s, name);
    return value.len == 0 || str_eq(value, STR("COPY")) || str_eq(value, STR("REPLACE")) ||
           s3_fail_argument(s, name, value, message);
}

static bool algorithm_ok(S3Req *s)
{
    Str name = s3_field(s, "x-amz-checksum-algorithm");
    DigestKind kind;
    return name.len == 0 || (digest_parse(name, &kind) && kind != DIGEST_MD5) ||
           s3_fail_text(s, S3_InvalidRequest, s3_algorithms_text);
}

static void copy_object(S3Req *s)
{
    ObjectReader *reader AUTO(object_reader_free) = NULL;
    Str directive = s3_field(s, "x-amz-metadata-directive"),
        tagging = s3_field(s, "x-amz-tagging-directive");
    uint64_t sequence = 0;
    Err err;
    bool replaces = str_eq(directive, STR("REPLACE"));
    if (!directive_ok(s, "x-amz-metadata-directive", STR("Unknown metadata directive.")) ||
        !directive_ok(s, "x-amz-tagging-directive", STR("Unknown tagging directive.")) ||
        !algorithm_ok(s))
        return;
    if (!copy_source_open(s, &reader))
        return;
    const ObjectInfo *info = object_reader_info(reader);
    if (str_eq(info->bucket, s->bucket) && str_eq(info->key, s->key) && !replaces &&
        !counts_versions(s)) {
        s3_fail_text(s, S3_InvalidRequest,
                     STR("This copy request is illegal because it is trying to copy an object to "
                         "itself without "
                         "changing the object's metadata, storage class, website redirect location "
                         "or encryption "
                         "attributes."));
        return;
    }
    DigestKind wanted;
    if (digest_parse(s3_field(s, "x-amz-checksum-algorithm"), &wanted)) {
        s3_checksum_begin(s, wanted);
    } else if (info->checksum.kind != DIGEST_NONE) {
        s3_checksum_begin(s, info->checksum.kind);
    } else {
        s3_checksum_begin(s, DIGEST_CRC64NVME);
    }
    if (!bytes_copy(s, reader, 0, info->size_bytes))
        return;
    StorePut put = { .take_staged = s->staged,
                     .bucket = s->bucket,
                     .key = s->key,
                     .md5 = s->md5_bytes,
                     .checksum = s->checksum_value,
                     .content_type = info->content_type,
                     .meta = info->meta,
                     .meta_count = info->meta_count,
                     .tags = info->tags,
                     .tag_count = info->tag_count,
                     .trust = info->trust,
                     .owner = s->call.principal.id };
    StorePut fresh = put;
    if (!s3_put_fields(s, &fresh, s->arena))
        return;
    if (replaces) {
        put.content_type = fresh.content_type;
        put.meta = fresh.meta;
        put.meta_count = fresh.meta_count;
    }
    if (str_ieq(tagging, STR("REPLACE"))) {
        put.tags = fresh.tags;
        put.tag_count = fresh.tag_count;
    }
    Code code = api_object_put(&s->call, &put, &sequence, &err);
    s->staged = put.take_staged;
    if (code != E_OK) {
        s3_fail_err(s, &err);
        return;
    }
    if (!info->null_version)
        http_reply_header(s->r, "x-amz-copy-source-version-id",
                          s3_version_text(s, info->sequence, false));
    if (s->info.versioning == VERSIONING_ENABLED)
        version_header(s, sequence, false);
    copy_answer(s, "CopyObjectResult", os_now_us(s->call.lake->os), &s->checksum_value);
}

/* ---- get and head ---- */

typedef struct Reading {
    ObjectReader *reader;
    uint64_t at, end;
} Reading;

static Code reading_pull(void *self, Buf *out, HttpPullState *ret_state, Err *err)
{
    Reading *reading = self;
    size_t len = (size_t)MIN((uint64_t)GET_BLOCK_BYTES, reading->end - reading->at), got = 0;
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

/* The part that ?partNumber= asks for; `*ret_part` false: none was asked for. */
static bool part_find(S3Req *s, const ObjectInfo *info, uint64_t *ret_at, uint64_t *ret_len,
                      bool *ret_part)
{
    Str text = s3_param(s, "partNumber");
    int64_t number = 0;
    *ret_part = text.ptr != NULL;
    if (!*ret_part)
        return true;
    if (!str_i64(text, &number))
        return false;
    uint64_t at = 0;
    if (info->part_count == 0 && number == 1) {
        *ret_at = 0;
        *ret_len = info->size_bytes;
        return true;
    }
    for (size_t i = 0; i < info->part_count; i++) {
        if (i + 1 == (size_t)number) {
            *ret_at = at;
            *ret_len = info->parts[i].size_bytes;
            return true;
        }
        at += info->parts[i].size_bytes;
    }
    S3Detail details[] = { { "ActualPartCount", s3_number(s, MAX(info->part_count, (size_t)1)) },
                           { "PartNumberRequested", text } };
    return s3_fail_details(s, S3_InvalidPartNumber, STR_NONE, details, ARRAY_LEN(details));
}

static void object_headers(S3Req *s, const ObjectInfo *info, bool whole)
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
    version_header(s, info->sequence, info->null_version);
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
    if (whole && str_ieq(s3_field(s, "x-amz-checksum-mode"), STR("ENABLED")))
        s3_checksum_header(s, info);
}

static bool version_wanted(S3Req *s, uint64_t *ret_sequence)
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
    if ((err->code == E_NOT_FOUND || err->code == E_GONE) &&
        store_head_version(s->call.lake->store, s->bucket, s->key, sequence, s->arena, &info,
                           &other) == E_OK &&
        info.delete_marker) {
        http_reply_header(s->r, "x-amz-delete-marker", STR("true"));
        version_header(s, info.sequence, info.null_version);
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

void s3_get_object(S3Req *s)
{
    uint64_t sequence, from = 0, len = 0;
    Err err;
    bool part = false;
    ObjectReader *reader AUTO(object_reader_free) = NULL;
    if (!version_wanted(s, &sequence) || !part_number_ok(s))
        return;
    if (api_object_read(&s->call, s->bucket, s->key, sequence, &reader, &err) != E_OK) {
        missing_answer(s, sequence, &err);
        return;
    }
    const ObjectInfo *info = object_reader_info(reader);
    if (!conditions_hold(s, info, &of_get) || !part_find(s, info, &from, &len, &part))
        return;
    int status = 206;
    if (part) {
        http_reply_header(s->r, "Accept-Ranges", STR("bytes"));
        if (len > 0)
            http_reply_header(s->r, "Content-Range",
                              str_format(s->arena, "bytes %llu-%llu/%llu", (unsigned long long)from,
                                         (unsigned long long)(from + len - 1),
                                         (unsigned long long)info->size_bytes));
        if (info->part_count > 0)
            http_reply_header(s->r, "x-amz-mp-parts-count",
                              str_format(s->arena, "%zu", info->part_count));
    } else if (!range_asked(s, info->size_bytes)) {
        http_reply_header(s->r, "Accept-Ranges", STR("bytes"));
        status = 200;
        len = info->size_bytes;
    } else {
        status = http_req_range(s->r, info->size_bytes, s3_quoted_etag(s, info), &from, &len);
    }
    if (status == 416) {
        S3Detail details[] = { { "RangeRequested", s3_field(s, "Range") },
                               { "ActualObjectSize", s3_number(s, info->size_bytes) } };
        s3_fail_details(s, S3_InvalidRange, STR_NONE, details, ARRAY_LEN(details));
        return;
    }
    object_headers(s, info, status == 200 || (part && info->part_count == 0));
    Str type = s3_param(s, "response-content-type");
    const char *type_z = str_copy_z(s->arena, type.len ? type : info->content_type);
    Reading *reading = arena_new(s->arena, Reading);
    *reading = (Reading){ TAKE(reader), from, from + len };
    if (len == 0) {
        reading_done(reading);
        http_reply(s->r, status, type_z, STR(""));
        return;
    }
    http_reply_stream(s->r, status, type_z, (int64_t)len, &reading_ops, reading);
}

/* ---- delete ---- */

static bool delete_condition(S3Req *s, uint64_t *ret_if_sequence)
{
    Str match = s3_field(s, "If-Match");
    ObjectInfo info;
    Err err;
    *ret_if_sequence = 0;
    if (!match.ptr)
        return true;
    Code code = store_head(s->call.lake->store, s->bucket, s->key, s->arena, &info, &err);
    if (code != E_OK)
        return s3_fail_err(s, &err);
    if (!str_eq(match, STR("*")) && !s3_etag_is(match, object_etag(s->arena, &info)))
        return s3_fail_with(s, S3_PreconditionFailed, STR_NONE, "Condition", STR("If-Match"));
    *ret_if_sequence = info.sequence;
    return true;
}

void s3_delete_object(S3Req *s)
{
    StoreDelete wanted = { .bucket = s->bucket, .key = s->key, .owner = s->call.principal.id };
    StoreDeleted deleted = { 0 };
    Err err;
    if (!version_wanted(s, &wanted.sequence) || !delete_condition(s, &wanted.if_sequence))
        return;
    if (api_object_delete(&s->call, &wanted, 1, &deleted, &err) != E_OK) {
        s3_fail_err(s, &err);
        return;
    }
    if (deleted.marker)
        http_reply_header(s->r, "x-amz-delete-marker", STR("true"));
    if (deleted.sequence != 0 && counts_versions(s))
        version_header(s, deleted.sequence, deleted.null_version);
    s3_reply_empty(s, 204);
}

/* ---- tags and attributes ---- */

static bool head_version(S3Req *s, ObjectInfo *ret_info)
{
    uint64_t sequence;
    Err err;
    if (!version_wanted(s, &sequence))
        return false;
    if (store_head_version(s->call.lake->store, s->bucket, s->key, sequence, s->arena, ret_info,
                           &err) != E_OK) {
        if (sequence != 0)
            err_set(&err, E_GONE, "the version");
        return s3_fail_err(s, &err);
    }
    if (!ret_info->delete_marker)
        return true;
    http_reply_header(s->r, "x-amz-delete-marker", STR("true"));
    return s3_fail(s, sequence ? S3_MethodNotAllowed : S3_NoSuchKey);
}

void s3_no_lock(S3Req *s)
{
    ObjectInfo info;
    if (head_version(s, &info))
        s3_fail_text(s, S3_InvalidRequest, STR("Bucket is missing Object Lock Configuration"));
}

void s3_get_tagging(S3Req *s)
{
    ObjectInfo info;
    Buf body;
    if (!head_version(s, &info))
        return;
    buf_init(&body, S3_REPLY_BYTES_MAX);
    XmlWriter w = xml_writer(&body);
    s3_tags_put(&w, info.tags, info.tag_count);
    version_header(s, info.sequence, info.null_version);
    s3_reply_xml(s, 200, &body);
}

static void tags_set(S3Req *s, const StoreTag *tags, size_t count, int status)
{
    ObjectInfo info;
    Err err;
    if (!head_version(s, &info))
        return;
    if (store_set_tags(s->call.lake->store, s->bucket, s->key, info.sequence, tags, count, &err) !=
        E_OK) {
        s3_fail_err(s, &err);
        return;
    }
    version_header(s, info.sequence, info.null_version);
    s3_reply_empty(s, status);
}

void s3_put_tagging(S3Req *s)
{
    const XmlNode *root;
    StoreTag *tags;
    size_t count;
    if (xml_parse(s->arena, buf_str(&s->text), &root, NULL) != E_OK) {
        s3_fail(s, S3_MalformedXML);
        return;
    }
    if (s3_tags_xml(s, root, S3_TAGS_MAX, &tags, &count))
        tags_set(s, tags, count, 200);
}

void s3_delete_tagging(S3Req *s)
{
    tags_set(s, NULL, 0, 204);
}

static bool attribute_asked(const S3Req *s, const char *name)
{
    Str rest = s3_field_all(s, "x-amz-object-attributes"), one;
    while (rest.ptr && str_split(&rest, ',', &one)) {
        if (str_eq(str_trim(one), str_z(name)))
            return true;
    }
    return false;
}

static void checksum_element(S3Req *s, XmlWriter *w, const DigestValue *value)
{
    if (value->kind != DIGEST_NONE)
        xml_field(w, str_format(s->arena, "Checksum%s%c", digest_name(value->kind), 0).ptr,
                  s3_base64(s->arena, digest_str(value)));
}

static void parts_element(S3Req *s, XmlWriter *w, const ObjectInfo *info)
{
    int64_t most = 1000, after = 0;
    Str max_parts = s3_field(s, "x-amz-max-parts"),
        marker = s3_field(s, "x-amz-part-number-marker");
    if (max_parts.ptr && (!str_i64(max_parts, &most) || most < 0))
        most = 1000;
    if (marker.ptr && (!str_i64(marker, &after) || after < 0))
        after = 0;
    size_t from = MIN((size_t)after, info->part_count),
           to = MIN(from + (size_t)MIN(most, (int64_t)1000), info->part_count);
    xml_open(w, "ObjectParts");
    xml_field_u64(w, "PartsCount", info->part_count);
    xml_field_u64(w, "PartNumberMarker", (uint64_t)after);
    xml_field_u64(w, "NextPartNumberMarker", to);
    xml_field_u64(w, "MaxParts", (uint64_t)most);
    xml_field_bool(w, "IsTruncated", to < info->part_count);
    for (size_t i = from; i < to && info->checksum.kind != DIGEST_NONE; i++) {
        xml_open(w, "Part");
        xml_field_u64(w, "PartNumber", i + 1);
        xml_field_u64(w, "Size", info->parts[i].size_bytes);
        checksum_element(s, w, &info->parts[i].checksum);
        xml_close(w, "Part");
    }
    xml_close(w, "ObjectParts");
}

static bool attributes_known(S3Req *s)
{
    static const char *const names[] = { "ETag", "Checksum", "ObjectParts", "StorageClass",
                                         "ObjectSize" };
    Str rest = s3_field_all(s, "x-amz-object-attributes"), one;
    while (rest.ptr && str_split(&rest, ',', &one)) {
        bool known = false;
        one = str_trim(one);
        for (size_t i = 0; i < ARRAY_LEN(names); i++)
            known = known || str_eq(one, str_z(names[i]));
        if (!known)
            return s3_fail_argument(s, "x-amz-object-attributes", one,
                                    STR("Invalid attribute name specified."));
    }
    return true;
}

void s3_get_attributes(S3Req *s)
{
    ObjectInfo info;
    Buf body;
    if (s3_field(s, "x-amz-object-attributes").len == 0) {
        s3_fail_text(s, S3_InvalidRequest,
                     STR("The x-amz-object-attributes header specifying the attributes to "
                         "be retrieved is either missing or empty"));
        return;
    }
    if (!attributes_known(s) || !head_version(s, &info))
        return;
    buf_init(&body, S3_REPLY_BYTES_MAX);
    XmlWriter w = xml_writer(&body);
    xml_open_in(&w, "GetObjectAttributesResponse", S3_XMLNS);
    if (attribute_asked(s, "ETag"))
        xml_field(&w, "ETag", object_etag(s->arena, &info));
    if (attribute_asked(s, "Checksum") && info.checksum.kind != DIGEST_NONE) {
        xml_open(&w, "Checksum");
        checksum_element(s, &w, &info.checksum);
        xml_field(&w, "ChecksumType",
                  info.checksum_composite ? STR("COMPOSITE") : STR("FULL_OBJECT"));
        xml_close(&w, "Checksum");
    }
    if (attribute_asked(s, "ObjectParts") && info.part_count > 0)
        parts_element(s, &w, &info);
    if (attribute_asked(s, "StorageClass"))
        xml_field(&w, "StorageClass", STR("STANDARD"));
    if (attribute_asked(s, "ObjectSize"))
        xml_field_u64(&w, "ObjectSize", info.size_bytes);
    xml_close(&w, "GetObjectAttributesResponse");
    http_reply_header(s->r, "Last-Modified", s3_http_date(s->arena, info.modified_us));
    version_header(s, info.sequence, info.null_version);
    s3_reply_xml(s, 200, &body);
}

/* ---- parts, for s3_upload.c ---- */

bool s3_copy_into_part(S3Req *s)
{
    ObjectReader *reader AUTO(object_reader_free) = NULL;
    Str range = s3_field(s, "x-amz-copy-source-range");
    unsigned long long first = 0, last = 0;
    if (!copy_source_open(s, &reader))
        return false;
    uint64_t size = object_reader_info(reader)->size_bytes, from = 0, len = size;
    if (range.ptr) {
        Str dash = str_starts(range, STR("bytes=")) ? str_from(range, 6) : STR_NONE,
            left = STR_NONE;
        uint64_t a = 0, b = 0;
        bool ok = dash.ptr && str_split(&dash, '-', &left) && str_u64(left, &a) &&
                  str_u64(dash, &b) && a <= b;
        first = a;
        last = b;
        if (!ok)
            return s3_fail_argument(
                s, "x-amz-copy-source-range", range,
                STR("The x-amz-copy-source-range value must be of the form bytes=first-last where "
                    "first and last are the zero-based offsets of the first and last bytes to "
                    "copy"));
        if (last >= size)
            return s3_fail_argument(
                s, "x-amz-copy-source-range", s3_number(s, size),
                str_format(s->arena, "Range specified is not valid for source object of size: %llu",
                           (unsigned long long)size));
        from = first;
        len = last - first + 1;
    }
    if (!object_reader_info(reader)->null_version)
        http_reply_header(s->r, "x-amz-copy-source-version-id",
                          s3_version_text(s, object_reader_info(reader)->sequence, false));
    return bytes_copy(s, reader, from, len);
}

void s3_copy_part_answer(S3Req *s)
{
    copy_answer(s, "CopyPartResult", os_now_us(s->call.lake->os), &s->checksum_value);
}
