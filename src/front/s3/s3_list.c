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

bool s3_list_encodes(S3Req *s, bool *ret_url)
{
    Str type = s3_param(s, "encoding-type");
    *ret_url = str_eq(type, STR("url"));
    if (type.len == 0 || *ret_url)
        return true;
    return s3_fail_with(s, S3_InvalidArgument, STR("Invalid Encoding Method specified in Request"),
                        "ArgumentName", STR("encoding-type"));
}

typedef struct ListSecond {
    int64_t second;
    Str text; /* "2026-11-22T18:00:00." */
} ListSecond;

static void owner_put(XmlWriter *w, Str owner)
{
    buf_put(w->out, STR("<Owner><ID>"));
    xml_put_text(w->out, owner.len ? owner : STR("tarn"));
    buf_put(w->out, STR("</ID></Owner>"));
}

/* Rows of a page are put piece by piece: a page has a thousand, and formats cost more than the index. */
static void text_put(XmlWriter *w, const char *text)
{
    buf_put(w->out, str_z(text));
}

static void key_put(XmlWriter *w, Str key, bool url)
{
    if (url) {
        s3_put_encoded(w, "Key", key, url);
        return;
    }
    buf_put(w->out, STR("<Key>"));
    xml_put_text(w->out, key);
    buf_put(w->out, STR("</Key>"));
}

static void number_put(XmlWriter *w, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + number % 10);
    while (number /= 10);
    buf_put(w->out, str_of(digits + at, sizeof digits - at));
}

/* Neighbours mostly were made in the same second. */
static void modified_put(S3Req *s, XmlWriter *w, int64_t time_us, ListSecond *last)
{
    int64_t ms = time_us / 1000 % 1000;
    if (!last->text.ptr || time_us / 1000000 != last->second || time_us < 0) {
        last->second = time_us / 1000000;
        last->text = str_sub(s3_iso_date(s->arena, time_us), 0, 20); /* up to the dot */
    }
    const char digits[] = { (char)('0' + ms / 100), (char)('0' + ms / 10 % 10), (char)('0' + ms % 10) };
    buf_put(w->out, STR("<LastModified>"));
    buf_put(w->out, last->text);
    buf_put(w->out, str_of(digits, sizeof digits));
    buf_put(w->out, STR("Z</LastModified>"));
}

static void etag_put(XmlWriter *w, const ObjectInfo *info)
{
    static const char digit[] = "0123456789abcdef";
    const uint8_t *bytes = info->has_md5 ? info->md5 : info->sha256;
    char hex[32];
    for (size_t i = 0; i < sizeof hex; i++)
        hex[i] = digit[i % 2 ? bytes[i / 2] & 15 : bytes[i / 2] >> 4];
    buf_put(w->out, STR("<ETag>&quot;"));
    buf_put(w->out, str_of(hex, sizeof hex));
    if (info->part_count > 0) {
        buf_put_char(w->out, '-');
        number_put(w, info->part_count);
    }
    buf_put(w->out, STR("&quot;</ETag>"));
}

static void contents_put(XmlWriter *w, const ObjectInfo *info)
{
    etag_put(w, info);
    if (info->checksum.kind != DIGEST_NONE) {
        buf_put(w->out, STR("<ChecksumAlgorithm>"));
        text_put(w, digest_name(info->checksum.kind));
        buf_put(w->out, STR("</ChecksumAlgorithm><ChecksumType>"));
        buf_put(w->out, s3_checksum_type(info->checksum_composite));
        buf_put(w->out, STR("</ChecksumType>"));
    }
    buf_put(w->out, STR("<Size>"));
    number_put(w, info->size_bytes);
    buf_put(w->out, STR("</Size>"));
}

static void class_put(XmlWriter *w, const ObjectInfo *info)
{
    buf_put(w->out, STR("<StorageClass>"));
    buf_put(w->out, s3_storage_class(info)); /* one of AWS's names */
    buf_put(w->out, STR("</StorageClass>"));
}

static void object_put(S3Req *s, XmlWriter *w, const ObjectInfo *info, bool url, bool owner, ListSecond *last)
{
    buf_put(w->out, STR("<Contents>"));
    key_put(w, info->key, url);
    modified_put(s, w, info->modified_us, last);
    contents_put(w, info);
    if (owner)
        owner_put(w, info->owner);
    class_put(w, info);
    buf_put(w->out, STR("</Contents>"));
}

static void objects_put(S3Req *s, XmlWriter *w, const StoreListPage *page, bool url, bool owner)
{
    ListSecond last = { 0 };
    for (size_t i = 0; i < page->object_count; i++)
        object_put(s, w, &page->objects[i], url, owner, &last);
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
    if (token.len > 0 && !base64_parse(s->arena, token, &after)) {
        s3_fail_argument(s, "continuation-token", token,
                         STR("The continuation token provided is incorrect"));
        return;
    }
    if (token.len > 0)
        query.start_after = after;
    if (!max_take(s, "max-keys", &limit) || !s3_list_encodes(s, &url) || !list(s, &query, limit, &page))
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
    objects_put(s, &w, &page, url, owner);
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
    if (!max_take(s, "max-keys", &limit) || !s3_list_encodes(s, &url) || !list(s, &query, limit, &page))
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
    objects_put(s, &w, &page, url, true);
    prefixes_put(&w, page.prefixes, page.prefix_count, url);
    xml_close(&w, "ListBucketResult");
    s3_reply_xml(s, 200, &body);
}

static void version_put(S3Req *s, XmlWriter *w, const ObjectInfo *info, bool latest, bool url, ListSecond *last)
{
    buf_put(w->out, info->delete_marker ? STR("<DeleteMarker>") : STR("<Version>"));
    key_put(w, info->key, url);
    buf_put(w->out, STR("<VersionId>"));
    buf_put(w->out, s3_version_text(s, info->sequence, info->null_version));
    buf_put(w->out, STR("</VersionId><IsLatest>"));
    buf_put(w->out, latest ? STR("true") : STR("false"));
    buf_put(w->out, STR("</IsLatest>"));
    modified_put(s, w, info->modified_us, last);
    if (!info->delete_marker) {
        contents_put(w, info);
        class_put(w, info);
    }
    owner_put(w, info->owner);
    buf_put(w->out, info->delete_marker ? STR("</DeleteMarker>") : STR("</Version>"));
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
    if (!version_marker_take(s, &query) || !max_take(s, "max-keys", &limit) || !s3_list_encodes(s, &url) ||
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
    ListSecond last = { 0 };
    for (size_t i = 0; i < page.object_count; i++) {
        bool first_of_key =
            i == 0 ? !(query.after_sequence && str_eq(page.objects[0].key, query.start_after))
                   : !str_eq(page.objects[i].key, page.objects[i - 1].key);
        version_put(s, &w, &page.objects[i], first_of_key, url, &last);
    }
    prefixes_put(&w, page.prefixes, page.prefix_count, url);
    xml_close(&w, "ListVersionsResult");
    s3_reply_xml(s, 200, &body);
}
