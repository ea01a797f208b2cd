/* Objects put and copied, and parts that are copied. */
#include "front/s3/s3_priv.h"

#include "base/text.h"

#include <string.h>

enum { COPY_BLOCK_BYTES = 1 << 20 };

/* ---- put ---- */

/* A body that waits for 100-continue does not come for a key that is taken already; the leader judges
 * all others when they are there. */
static bool absent_yet(S3Req *s)
{
    ObjectInfo info;
    if (s->condition != PUT_IF_ABSENT || !s3_field(s, "Expect").ptr ||
        api_object_head(&s->call, s->bucket, s->key, 0, &info, NULL) != E_OK || info.delete_marker)
        return true;
    return s3_fail_with(s, S3_PreconditionFailed, STR_NONE, "Condition", STR("If-None-Match"));
}

void s3_put_object_head(S3Req *s)
{
    if (s3_field(s, "x-amz-copy-source").ptr || !s3_conditions_of_put(s) || !absent_yet(s))
        return;
    s3_length_said(s);
}

static void put_answer(S3Req *s, uint64_t sequence, const DigestValue *checksum)
{
    http_reply_header(s->r, "ETag", s3_etag_of(s, s->md5_bytes));
    if (s->info.versioning == VERSIONING_ENABLED)
        s3_version_header(s, sequence, false);
    http_reply_header(s->r, "x-amz-object-size", s3_number(s, s->body_bytes));
    if (checksum->kind != DIGEST_NONE)
        s3_checksum_header(s, &(ObjectInfo){ .checksum = *checksum });
    s3_reply_empty(s, 200);
}

static void copy_object(S3Req *s);

static void put_over(S3Req *s, Code code, uint64_t sequence, const Err *err)
{
    if (code != E_OK)
        s3_fail_err(s, err);
    else
        put_answer(s, sequence, &s->checksum_value);
}

static void publication_over(StorePublication *publication)
{
    S3Req *s = publication->arg;
    Err err;
    s->staged = publication->put.take_staged;
    if (publication->md5_wanted)
        memcpy(s->md5_bytes, publication->md5, sizeof s->md5_bytes);
    Code code = api_object_put_over(&s->call, publication, &err);
    if (publication->sha256_differs)
        s3_sha256_wrong(s, publication->sha256);
    else
        put_over(s, code, publication->sequence, &err);
    http_req_resume(s->r);
}

/* On a loop: the group that the record is in becomes durable meanwhile. */
static void put_later(S3Req *s, const StorePut *put)
{
    StorePublication *publication = arena_new(s->arena, StorePublication); /* zeroed: most of it is its Err */
    Err err;
    publication->put = *put;
    publication->done = publication_over;
    publication->arg = s;
    publication->md5_wanted = s->md5_later;
    publication->sha256_wanted = s->sha256_later ? s->sha256_wanted : NULL;
    s->staged = NULL;
    http_req_park(s->r);
    Code code = api_object_put_later(&s->call, publication, &err);
    if (code == E_OK)
        return;
    publication->code = code;
    publication->err = err;
    publication_over(publication);
}

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
                     .md5 = s->md5_later ? NULL : s->md5_bytes,
                     .checksum = s->checksum_value };
    if (!s3_put_fields(s, &put, s->arena))
        return;
    if (http_req_on_loop(s->r)) {
        put_later(s, &put);
        return;
    }
    Code code = api_object_put(&s->call, &put, &sequence, &err);
    s->staged = put.take_staged;
    put_over(s, code, sequence, &err);
}

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
    if (!api_bucket_name_ok(*ret_bucket) || s3_is_address(*ret_bucket))
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

/* Of the source, not of what it was to become. */
static bool copy_source_missing(S3Req *s, Str bucket, Str key, uint64_t sequence)
{
    ObjectInfo info;
    if (!s3_may_list(s, bucket))
        return s3_fail(s, S3_AccessDenied);
    if (sequence == 0)
        return s3_fail_with(s, S3_NoSuchKey, STR_NONE, "Key", key);
    if (api_object_head(&s->call, bucket, key, sequence, &info, NULL) == E_OK && info.delete_marker)
        return s3_fail_text(s, S3_InvalidRequest,
                            STR("The source of a copy request may not specifically refer to a delete marker by "
                                "version id."));
    S3Detail details[] = { { "Key", key },
                           { "VersionId", s3_version_text(s, sequence, sequence == STORE_VERSION_NULL) } };
    return s3_fail_details(s, S3_NoSuchVersion, STR_NONE, details, ARRAY_LEN(details));
}

static bool copy_source_open(S3Req *s, ObjectReader **ret_reader)
{
    Str bucket, key;
    uint64_t sequence;
    StoreBucket info;
    Err err;
    if (!copy_source_parse(s, &bucket, &key, &sequence))
        return false;
    ApiBucketAsk ask = { &s->grant, BUCKET_READ, s3_action("s3:GetObject", sequence != 0), bucket, key };
    if (!api_bucket_name_ok(bucket))
        return s3_fail_with(s, S3_NoSuchBucket, STR_NONE, "BucketName", bucket);
    Code code = api_bucket_enter(&s->call, &ask, &info, &err);
    if (code == E_NOT_FOUND)
        return s3_fail_with(s, S3_NoSuchBucket, STR_NONE, "BucketName", bucket);
    if (code == E_OK && !s3_owner_expected(s, "x-amz-source-expected-bucket-owner", info.owner))
        return false;
    if (code == E_OK)
        code = api_object_read(&s->call, bucket, key, sequence, ret_reader, &err);
    if (code == E_NOT_FOUND || code == E_GONE)
        return copy_source_missing(s, bucket, key, sequence);
    if (code != E_OK)
        return s3_fail_err(s, &err);
    return s3_conditions_hold(s, object_reader_info(*ret_reader), &s3_of_copy);
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
    api_stage_unhashed(s->staged);
    while (len > 0) {
        size_t got = 0;
        if (http_req_cancelled(s->r)) { /* a copy has no other time limit; others wait for the worker */
            err_set(&err, E_CANCELLED, "nobody waits for the copy");
            return s3_fail_err(s, &err);
        }
        if (object_pread(reader, block.ptr, (size_t)MIN(len, (uint64_t)COPY_BLOCK_BYTES), at, &got,
                         &err) != E_OK)
            return s3_fail_err(s, &err);
        if (got == 0) {
            err_set(&err, E_CORRUPT, "an object that is shorter than it was");
            return s3_fail_err(s, &err);
        }
        Str data = str_of(block.ptr, got);
        digest_update(&s->md5, data);
        digest_update(&s->checksum, data);
        if (api_stage_write(s->staged, data, &err) != E_OK)
            return s3_fail_err(s, &err);
        at += got;
        len -= got;
    }
    if (api_stage_finish(s->staged, &err) != E_OK)
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
              s3_etag_of(s, s->md5_bytes));
    s3_checksum_put(s, &w, checksum);
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
    return name.len == 0 || digest_parse(name, &kind) ||
           s3_fail_text(s, S3_InvalidRequest, s3_algorithms_text);
}

/* An object's class and redirect are its own: no copy takes them along. */
static void copy_meta(S3Req *s, const ObjectInfo *source, const StorePut *said, StorePut *put)
{
    static const char *const own[] = { "x-amz-storage-class", "x-amz-website-redirect-location" };
    StoreTag *meta = arena_array(s->arena, StoreTag, source->meta_count + ARRAY_LEN(own));
    put->meta = meta;
    put->meta_count = 0;
    for (size_t i = 0; i < source->meta_count; i++) {
        if (!str_eq(source->meta[i].key, str_z(own[0])) && !str_eq(source->meta[i].key, str_z(own[1])))
            meta[put->meta_count++] = source->meta[i];
    }
    for (size_t i = 0; i < said->meta_count; i++) {
        if (str_eq(said->meta[i].key, str_z(own[0])) || str_eq(said->meta[i].key, str_z(own[1])))
            meta[put->meta_count++] = said->meta[i];
    }
}

static bool changes_something(S3Req *s)
{
    return s3_field(s, "x-amz-storage-class").len > 0 || s3_field(s, "x-amz-website-redirect-location").len > 0 ||
           str_eq(s3_field(s, "x-amz-metadata-directive"), STR("REPLACE")) ||
           s->info.versioning != VERSIONING_NEVER ||
           s3_fail_text(s, S3_InvalidRequest,
                        STR("This copy request is illegal because it is trying to copy an object to itself without "
                            "changing the object's metadata, storage class, website redirect location or encryption "
                            "attributes."));
}

/* The tags of the source come along for whoever may read them there and set them here. */
static bool tags_may_come(S3Req *s, const ObjectInfo *source, bool of_version)
{
    return source->tag_count == 0 || str_eq(s3_field(s, "x-amz-tagging-directive"), STR("REPLACE")) ||
           (api_key_allowed(&s->call, &s->grant, s3_action("s3:GetObjectTagging", of_version), source->bucket,
                            source->key)
                ? s3_may_tag(s)
                : s3_fail(s, S3_AccessDenied));
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
        !algorithm_ok(s) || !s3_conditions_of_put(s))
        return;
    if (!copy_source_open(s, &reader))
        return;
    const ObjectInfo *info = object_reader_info(reader);
    if (str_eq(info->bucket, s->bucket) && str_eq(info->key, s->key) && !changes_something(s))
        return;
    bool of_version = str_find(s3_field(s, "x-amz-copy-source"), STR("?versionId=")) >= 0;
    if (!s3_bytes_served(s) || !tags_may_come(s, info, of_version))
        return;
    DigestKind wanted = info->checksum.kind != DIGEST_NONE ? info->checksum.kind : DIGEST_CRC64NVME;
    IGNORE(!digest_parse(s3_field(s, "x-amz-checksum-algorithm"), &wanted)); /* else as the source has it */
    s3_checksum_begin(s, wanted);
    if (!bytes_copy(s, reader, 0, info->size_bytes))
        return;
    StorePut put = { .take_staged = s->staged,
                     .bucket = s->bucket,
                     .key = s->key,
                     .condition = s->condition,
                     .if_sequence = s->if_sequence,
                     .md5 = s->md5_bytes,
                     .checksum = s->checksum_value,
                     .content_type = info->content_type,
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
    } else {
        copy_meta(s, info, &fresh, &put);
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
        s3_version_header(s, sequence, false);
    ObjectInfo made = { .modified_us = os_now_us(s->call.lake->os) }; /* of one that was replaced already */
    IGNORE(api_object_head(&s->call, s->bucket, s->key, sequence, &made, NULL));
    copy_answer(s, "CopyObjectResult", made.modified_us, &s->checksum_value);
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
