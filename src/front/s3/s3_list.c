/* Listings: objects, versions, uploads, parts. Cursors are keys, so they survive a restart. */
#include "front/s3/s3_priv.h"

#include "base/text.h"

#include <string.h>

bool s3_limit_take(S3Req *s, const char *name, Str text, int64_t *ret_limit)
{
    int64_t number = 0;
    if (text.len == 0)
        return true;
    if (!str_i64(text, &number) || number > INT32_MAX)
        return s3_fail_argument(
            s, name, text,
            str_format(s->arena, "Provided " STR_FMT " not an integer or within integer range",
                       STR_ARG(text)));
    if (number < 0)
        return s3_fail_argument(
            s, name, text,
            str_format(s->arena, "Argument %s must be an integer between 0 and 2147483647", name));
    *ret_limit = number;
    return true;
}

static bool max_take(S3Req *s, const char *name, size_t *ret_limit)
{
    int64_t number = 1000;
    if (!s3_limit_take(s, name, s3_param(s, name), &number))
        return false;
    *ret_limit = (size_t)MIN(number, (int64_t)1000);
    return true;
}

static bool encodes(S3Req *s, bool *ret_url)
{
    Str type = s3_param(s, "encoding-type");
    *ret_url = str_eq(type, STR("url"));
    if (type.len == 0 || *ret_url)
        return true;
    return s3_fail_with(s, S3_InvalidArgument, STR("Invalid Encoding Method specified in Request"),
                        "ArgumentName", STR("encoding-type"));
}

static void owner_put(XmlWriter *w, Str owner)
{
    xml_open(w, "Owner");
    xml_field(w, "ID", owner.len ? owner : STR("tarn"));
    xml_close(w, "Owner");
}

static void object_put(S3Req *s, XmlWriter *w, const ObjectInfo *info, bool url, bool owner)
{
    xml_open(w, "Contents");
    s3_put_encoded(w, "Key", info->key, url);
    xml_field(w, "LastModified", s3_iso_date(s->arena, info->modified_us));
    xml_field(w, "ETag", s3_quoted_etag(s, info));
    if (info->checksum.kind != DIGEST_NONE) {
        xml_field(w, "ChecksumAlgorithm", str_z(digest_name(info->checksum.kind)));
        xml_field(w, "ChecksumType",
                  s3_checksum_type(info->checksum_composite));
    }
    xml_field_u64(w, "Size", info->size_bytes);
    if (owner)
        owner_put(w, info->owner);
    xml_field(w, "StorageClass", STR("STANDARD"));
    xml_close(w, "Contents");
}

static void prefixes_put(XmlWriter *w, const Str *prefixes, size_t count, bool url)
{
    for (size_t i = 0; i < count; i++) {
        xml_open(w, "CommonPrefixes");
        s3_put_encoded(w, "Prefix", prefixes[i], url);
        xml_close(w, "CommonPrefixes");
    }
}

static bool list(S3Req *s, StoreListQuery *query, size_t limit, StoreListPage *ret_page)
{
    Err err;
    query->bucket = s->bucket;
    query->prefix = s3_param(s, "prefix");
    query->delimiter = s3_param(s, "delimiter");
    query->limit = limit;
    *ret_page = (StoreListPage){ 0 };
    if (limit == 0) /* nothing is asked for: nothing, and not truncated */
        return true;
    return api_objects(&s->call, query, ret_page, &err) == E_OK || s3_fail_err(s, &err);
}

static Str token_of(S3Req *s, Str key)
{
    return s3_base64(s->arena, key);
}

void s3_list_v2(S3Req *s)
{
    size_t limit;
    bool url;
    StoreListPage page;
    StoreListQuery query = { .start_after = s3_param(s, "start-after") };
    Str token = s3_param(s, "continuation-token"), after;
    if (!str_eq(s3_param(s, "list-type"), STR("2"))) {
        s3_fail_with(s, S3_InvalidArgument, STR("Invalid List Type specified in Request"),
                     "ArgumentName", STR("list-type"));
        return;
    }
    if (token.ptr && (token.len == 0 || !base64_parse(s->arena, token, &after))) {
        s3_fail_argument(s, "continuation-token", token,
                         STR("The continuation token provided is incorrect"));
        return;
    }
    if (token.ptr)
        query.start_after = after;
    if (!max_take(s, "max-keys", &limit) || !encodes(s, &url) || !list(s, &query, limit, &page))
        return;
    Buf body;
    buf_init(&body, S3_REPLY_BYTES_MAX);
    XmlWriter w = xml_writer(&body);
    bool owner = str_eq(s3_param(s, "fetch-owner"), STR("true"));
    xml_open_in(&w, "ListBucketResult", S3_XMLNS);
    xml_field(&w, "Name", s->bucket);
    s3_put_encoded(&w, "Prefix", query.prefix, url);
    if (query.delimiter.len > 0)
        s3_put_encoded(&w, "Delimiter", query.delimiter, url);
    xml_field_u64(&w, "MaxKeys", limit);
    if (url)
        xml_field(&w, "EncodingType", STR("url"));
    xml_field_u64(&w, "KeyCount", page.object_count + page.prefix_count);
    xml_field_bool(&w, "IsTruncated", page.truncated);
    if (token.ptr)
        xml_field(&w, "ContinuationToken", token);
    if (page.truncated)
        xml_field(&w, "NextContinuationToken", token_of(s, page.next));
    if (s3_param(s, "start-after").len > 0)
        s3_put_encoded(&w, "StartAfter", s3_param(s, "start-after"), url);
    for (size_t i = 0; i < page.object_count; i++)
        object_put(s, &w, &page.objects[i], url, owner);
    prefixes_put(&w, page.prefixes, page.prefix_count, url);
    xml_close(&w, "ListBucketResult");
    s3_reply_xml(s, 200, &body);
}

void s3_list_v1(S3Req *s)
{
    size_t limit;
    bool url;
    StoreListPage page;
    StoreListQuery query = { .start_after = s3_param(s, "marker") };
    if (!max_take(s, "max-keys", &limit) || !encodes(s, &url) || !list(s, &query, limit, &page))
        return;
    Buf body;
    buf_init(&body, S3_REPLY_BYTES_MAX);
    XmlWriter w = xml_writer(&body);
    xml_open_in(&w, "ListBucketResult", S3_XMLNS);
    xml_field(&w, "Name", s->bucket);
    s3_put_encoded(&w, "Prefix", query.prefix, url);
    s3_put_encoded(&w, "Marker", query.start_after, url);
    xml_field_u64(&w, "MaxKeys", limit);
    if (query.delimiter.len > 0)
        s3_put_encoded(&w, "Delimiter", query.delimiter, url);
    if (url)
        xml_field(&w, "EncodingType", STR("url"));
    xml_field_bool(&w, "IsTruncated", page.truncated);
    if (page.truncated && query.delimiter.len > 0)
        s3_put_encoded(&w, "NextMarker", page.next, url);
    for (size_t i = 0; i < page.object_count; i++)
        object_put(s, &w, &page.objects[i], url, true);
    prefixes_put(&w, page.prefixes, page.prefix_count, url);
    xml_close(&w, "ListBucketResult");
    s3_reply_xml(s, 200, &body);
}

static void version_put(S3Req *s, XmlWriter *w, const StoreListPage *page, size_t i, bool latest,
                        bool url)
{
    const ObjectInfo *info = &page->objects[i];
    const char *element = info->delete_marker ? "DeleteMarker" : "Version";
    xml_open(w, element);
    s3_put_encoded(w, "Key", info->key, url);
    xml_field(w, "VersionId", s3_version_text(s, info->sequence, info->null_version));
    xml_field_bool(w, "IsLatest", latest);
    xml_field(w, "LastModified", s3_iso_date(s->arena, info->modified_us));
    if (!info->delete_marker) {
        xml_field(w, "ETag", s3_quoted_etag(s, info));
        if (info->checksum.kind != DIGEST_NONE)
            xml_field(w, "ChecksumAlgorithm", str_z(digest_name(info->checksum.kind)));
        if (info->checksum.kind != DIGEST_NONE)
            xml_field(w, "ChecksumType",
                      s3_checksum_type(info->checksum_composite));
        xml_field_u64(w, "Size", info->size_bytes);
        xml_field(w, "StorageClass", STR("STANDARD"));
    }
    owner_put(w, info->owner);
    xml_close(w, element);
}

static bool version_marker_take(S3Req *s, StoreListQuery *query)
{
    Str version = s3_param(s, "version-id-marker");
    ObjectInfo info;
    if (version.len == 0)
        return true;
    if (query->start_after.len == 0)
        return s3_fail_with(s, S3_InvalidArgument,
                            STR("A version-id marker cannot be specified without a key marker."),
                            "ArgumentName", STR("version-id-marker"));
    if (!s3_version_parse(s, version, &query->after_sequence))
        return false;
    if (query->after_sequence == STORE_VERSION_NULL)
        query->after_sequence =
            api_object_head(&s->call, s->bucket, query->start_after, STORE_VERSION_NULL, &info,
                            NULL) == E_OK
                ? info.sequence
                : 0;
    return true;
}

void s3_list_versions(S3Req *s)
{
    size_t limit;
    bool url;
    StoreListPage page;
    StoreListQuery query = { .start_after = s3_param(s, "key-marker"), .versions = true };
    if (str_starts(s3_param(s, "max-keys"), STR("-"))) {
        s3_fail_argument(s, "maxKeys", s3_param(s, "max-keys"), STR("max-keys cannot be negative"));
        return;
    }
    if (!version_marker_take(s, &query) || !max_take(s, "max-keys", &limit) || !encodes(s, &url) ||
        !list(s, &query, limit, &page))
        return;
    Buf body;
    buf_init(&body, S3_REPLY_BYTES_MAX);
    XmlWriter w = xml_writer(&body);
    xml_open_in(&w, "ListVersionsResult", S3_XMLNS);
    xml_field(&w, "Name", s->bucket);
    s3_put_encoded(&w, "Prefix", query.prefix, url);
    s3_put_encoded(&w, "KeyMarker", query.start_after, url);
    xml_field(&w, "VersionIdMarker", s3_param(s, "version-id-marker"));
    xml_field_u64(&w, "MaxKeys", limit);
    if (query.delimiter.len > 0)
        s3_put_encoded(&w, "Delimiter", query.delimiter, url);
    if (url)
        xml_field(&w, "EncodingType", STR("url"));
    xml_field_bool(&w, "IsTruncated", page.truncated);
    if (page.truncated) {
        s3_put_encoded(&w, "NextKeyMarker", page.next, url);
        bool null_version = false;
        for (size_t i = 0; i < page.object_count; i++)
            if (page.objects[i].sequence == page.next_sequence)
                null_version = page.objects[i].null_version;
        if (page.next_sequence != 0)
            xml_field(&w, "NextVersionIdMarker",
                      s3_version_text(s, page.next_sequence, null_version));
    }
    for (size_t i = 0; i < page.object_count; i++) {
        bool first_of_key =
            i == 0 ? !(query.after_sequence && str_eq(page.objects[0].key, query.start_after))
                   : !str_eq(page.objects[i].key, page.objects[i - 1].key);
        version_put(s, &w, &page, i, first_of_key, url);
    }
    prefixes_put(&w, page.prefixes, page.prefix_count, url);
    xml_close(&w, "ListVersionsResult");
    s3_reply_xml(s, 200, &body);
}
