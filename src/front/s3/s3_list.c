/* Listings: objects, versions, uploads, parts. Cursors are keys, so they survive a restart. */
#include "front/s3/s3_priv.h"

#include "base/text.h"

#include <string.h>

enum { ROW_BYTES = 512 }; /* of a list: some 300, and its key */

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

/* Pages of objects are sent in pieces where there is no room: list_send. What is deleted is told with about the
 * bytes that name it. */
size_t s3_reply_room(const S3Req *s)
{
    static const struct {
        void (*run)(S3Req *s);
        const char *limit; /* of rows; NULL: a field has it, or nobody */
    } rows[] = {
        { s3_list_parts, "max-parts" },
        { s3_list_uploads, "max-uploads" },
        { s3_list_buckets, "max-buckets" },
        { s3_get_attributes, NULL },
    };
    if (s->op->run == s3_delete_objects)
        return s->text.len * 2;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int64_t most = 1000;
        if (s->op->run != rows[i].run)
            continue;
        if (rows[i].limit && !str_i64(s3_param(s, rows[i].limit), &most))
            most = 1000;
        return (size_t)MIN(MAX(most, (int64_t)0), (int64_t)1000) * ROW_BYTES;
    }
    return 0;
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

static void prefixes_put(XmlWriter *w, const Str *prefixes, size_t count, bool url)
{
    for (size_t i = 0; i < count; i++) {
        xml_open(w, "CommonPrefixes");
        s3_put_encoded(w, "Prefix", prefixes[i], url);
        xml_close(w, "CommonPrefixes");
    }
}

/* ---- a page, whole or in pieces ----
 *
 * A page is made at once where http.buffered_max has room for it. Where it has not, its rows are asked for and
 * sent in pieces, each when the one before has left: a client waits for its own reading only. What is known at the
 * end alone (whether it is truncated) then stands behind the rows. */

typedef struct Listing Listing;

/* What one kind of list has of its own. */
typedef struct ListKind {
    const char *root;
    void (*begin)(const Listing *l, XmlWriter *w);  /* what was asked */
    void (*result)(const Listing *l, XmlWriter *w, const StoreListPage *last);
    void (*rows)(const Listing *l, XmlWriter *w, const StoreListPage *page);
} ListKind;

struct Listing {
    S3Req *s;
    const ListKind *kind;
    StoreListQuery query; /* where the next piece begins */
    size_t limit, count;  /* count: rows so far */
    bool url, owner, begun;
};

/* The page is in memory of its own, which goes before its text is sent. */
static Code page_ask(Listing *l, size_t limit, Arena *rows, StoreListPage *ret_page, Err *err)
{
    S3Req *s = l->s;
    *ret_page = (StoreListPage){ 0 };
    if (limit == 0) /* nothing is asked for: nothing, and not truncated */
        return E_OK;
    l->query.limit = limit;
    s->call.arena = rows;
    Code code = api_objects(&s->call, &l->query, ret_page, err);
    s->call.arena = s->arena;
    l->count += ret_page->object_count + ret_page->prefix_count;
    return code;
}

static void page_put(const Listing *l, XmlWriter *w, const StoreListPage *page)
{
    l->kind->rows(l, w, page);
    prefixes_put(w, page->prefixes, page->prefix_count, l->url);
}

static void whole_send(Listing *l)
{
    Arena rows AUTO(arena_done) = { 0 };
    StoreListPage page;
    Err err;
    Buf body;
    if (page_ask(l, l->limit, &rows, &page, &err) != E_OK) {
        s3_fail_err(l->s, &err);
        return;
    }
    buf_init(&body, S3_REPLY_BYTES_MAX);
    XmlWriter w = xml_writer(&body);
    xml_open_in(&w, l->kind->root, S3_XMLNS);
    l->kind->begin(l, &w);
    l->kind->result(l, &w, &page);
    page_put(l, &w, &page);
    xml_close(&w, l->kind->root);
    s3_reply_xml(l->s, 200, &body);
}

static Code piece_pull(void *self, Buf *out, HttpPullState *ret_state, Err *err)
{
    Listing *l = self;
    Arena rows AUTO(arena_done) = { 0 };
    StoreListPage page;
    size_t most = http_pull_bytes(l->s->r, HTTP_PULL_BYTES) / ROW_BYTES;
    TRY(page_ask(l, MIN(most, l->limit - l->count), &rows, &page, err));
    bool ends = !page.truncated || l->count >= l->limit;
    XmlWriter w = { out };
    if (!l->begun) {
        w = xml_writer(out);
        xml_open_in(&w, l->kind->root, S3_XMLNS);
        l->kind->begin(l, &w);
    }
    l->begun = true;
    page_put(l, &w, &page);
    if (ends) {
        l->kind->result(l, &w, &page);
        xml_close(&w, l->kind->root);
    } else {
        l->query.start_after = str_copy(l->s->arena, page.next);
        l->query.after_sequence = page.next_sequence;
    }
    *ret_state = ends ? HTTP_PULL_END : HTTP_PULL_MORE;
    return E_OK;
}

static void list_send(Listing *take_listing)
{
    static const HttpPull pieces = { piece_pull, NULL };
    Listing *l = arena_copy(take_listing->s->arena, take_listing, sizeof *l);
    l->query.bucket = l->s->bucket;
    l->query.prefix = s3_param(l->s, "prefix");
    l->query.delimiter = s3_param(l->s, "delimiter");
    if (http_reply_room(l->s->r, l->limit * ROW_BYTES))
        whole_send(l);
    else
        http_reply_stream(l->s->r, 200, "application/xml", -1, &pieces, l);
}

/* ---- objects ---- */

static void objects_put(const Listing *l, XmlWriter *w, const StoreListPage *page)
{
    ListSecond last = { 0 };
    for (size_t i = 0; i < page->object_count; i++)
        object_put(l->s, w, &page->objects[i], l->url, l->owner, &last);
}

static void v2_begin(const Listing *l, XmlWriter *w)
{
    S3Req *s = l->s;
    Str token = s3_param(s, "continuation-token"), after = s3_param(s, "start-after");
    xml_field(w, "Name", s->bucket);
    s3_put_encoded(w, "Prefix", l->query.prefix, l->url);
    if (l->query.delimiter.len > 0)
        s3_put_encoded(w, "Delimiter", l->query.delimiter, l->url);
    xml_field_u64(w, "MaxKeys", l->limit);
    if (l->url)
        xml_field(w, "EncodingType", STR("url"));
    if (token.ptr)
        xml_field(w, "ContinuationToken", token);
    if (after.len > 0)
        s3_put_encoded(w, "StartAfter", after, l->url);
}

static void v2_result(const Listing *l, XmlWriter *w, const StoreListPage *last)
{
    xml_field_u64(w, "KeyCount", l->count);
    xml_field_bool(w, "IsTruncated", last->truncated);
    if (last->truncated)
        xml_field(w, "NextContinuationToken", s3_base64(l->s->arena, last->next));
}

void s3_list_v2(S3Req *s)
{
    static const ListKind kind = { "ListBucketResult", v2_begin, v2_result, objects_put };
    Listing listing = { .s = s, .kind = &kind, .owner = str_eq(s3_param(s, "fetch-owner"), STR("true")) };
    Str token = s3_param(s, "continuation-token");
    listing.query.start_after = s3_param(s, "start-after");
    if (!str_eq(s3_param(s, "list-type"), STR("2"))) {
        s3_fail_with(s, S3_InvalidArgument, STR("Invalid List Type specified in Request"),
                     "ArgumentName", STR("list-type"));
        return;
    }
    if (token.len > 0 && !base64_parse(s->arena, token, &listing.query.start_after)) {
        s3_fail_argument(s, "continuation-token", token,
                         STR("The continuation token provided is incorrect"));
        return;
    }
    if (max_take(s, "max-keys", &listing.limit) && s3_list_encodes(s, &listing.url))
        list_send(&listing);
}

static void v1_begin(const Listing *l, XmlWriter *w)
{
    xml_field(w, "Name", l->s->bucket);
    s3_put_encoded(w, "Prefix", l->query.prefix, l->url);
    s3_put_encoded(w, "Marker", s3_param(l->s, "marker"), l->url);
    xml_field_u64(w, "MaxKeys", l->limit);
    if (l->query.delimiter.len > 0)
        s3_put_encoded(w, "Delimiter", l->query.delimiter, l->url);
    if (l->url)
        xml_field(w, "EncodingType", STR("url"));
}

static void v1_result(const Listing *l, XmlWriter *w, const StoreListPage *last)
{
    xml_field_bool(w, "IsTruncated", last->truncated);
    if (last->truncated && l->query.delimiter.len > 0)
        s3_put_encoded(w, "NextMarker", last->next, l->url);
}

void s3_list_v1(S3Req *s)
{
    static const ListKind kind = { "ListBucketResult", v1_begin, v1_result, objects_put };
    Listing listing = { .s = s, .kind = &kind, .owner = true };
    listing.query.start_after = s3_param(s, "marker");
    if (max_take(s, "max-keys", &listing.limit) && s3_list_encodes(s, &listing.url))
        list_send(&listing);
}

/* ---- versions ---- */

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

static void versions_begin(const Listing *l, XmlWriter *w)
{
    xml_field(w, "Name", l->s->bucket);
    s3_put_encoded(w, "Prefix", l->query.prefix, l->url);
    s3_put_encoded(w, "KeyMarker", s3_param(l->s, "key-marker"), l->url);
    xml_field(w, "VersionIdMarker", s3_param(l->s, "version-id-marker"));
    xml_field_u64(w, "MaxKeys", l->limit);
    if (l->query.delimiter.len > 0)
        s3_put_encoded(w, "Delimiter", l->query.delimiter, l->url);
    if (l->url)
        xml_field(w, "EncodingType", STR("url"));
}

static void versions_result(const Listing *l, XmlWriter *w, const StoreListPage *last)
{
    bool null_version = false;
    xml_field_bool(w, "IsTruncated", last->truncated);
    if (!last->truncated)
        return;
    s3_put_encoded(w, "NextKeyMarker", last->next, l->url);
    for (size_t i = 0; i < last->object_count; i++)
        if (last->objects[i].sequence == last->next_sequence)
            null_version = last->objects[i].null_version;
    if (last->next_sequence != 0)
        xml_field(w, "NextVersionIdMarker", s3_version_text(l->s, last->next_sequence, null_version));
}

static void versions_put(const Listing *l, XmlWriter *w, const StoreListPage *page)
{
    ListSecond last = { 0 };
    for (size_t i = 0; i < page->object_count; i++) {
        const ObjectInfo *info = &page->objects[i];
        bool first_of_key = i == 0 ? !(l->query.after_sequence && str_eq(info->key, l->query.start_after))
                                   : !str_eq(info->key, page->objects[i - 1].key);
        version_put(l->s, w, info, first_of_key, l->url, &last);
    }
}

void s3_list_versions(S3Req *s)
{
    static const ListKind kind = { "ListVersionsResult", versions_begin, versions_result, versions_put };
    Listing listing = { .s = s, .kind = &kind };
    listing.query = (StoreListQuery){ .start_after = s3_param(s, "key-marker"), .versions = true };
    if (str_starts(s3_param(s, "max-keys"), STR("-"))) {
        s3_fail_argument(s, "maxKeys", s3_param(s, "max-keys"), STR("max-keys cannot be negative"));
        return;
    }
    if (version_marker_take(s, &listing.query) && max_take(s, "max-keys", &listing.limit) &&
        s3_list_encodes(s, &listing.url))
        list_send(&listing);
}
