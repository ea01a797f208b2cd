/* Objects deleted, one and many; tags and attributes. */
#include "front/s3/s3_priv.h"

#include "base/text.h"

#include <string.h>

/* ---- delete ---- */

void s3_delete_object(S3Req *s)
{
    StoreDelete wanted = { .bucket = s->bucket, .key = s->key, .owner = s->call.principal.id };
    StoreDeleted deleted = { 0 };
    Err err;
    if (!s3_version_wanted(s, &wanted.sequence) || !s3_condition_of_delete(s, &wanted.if_sequence))
        return;
    if (api_object_delete(&s->call, &wanted, 1, &deleted, &err) != E_OK) {
        s3_fail_err(s, &err);
        return;
    }
    if (deleted.marker)
        http_reply_header(s->r, "x-amz-delete-marker", STR("true"));
    if (deleted.sequence != 0 && s->info.versioning != VERSIONING_NEVER)
        s3_version_header(s, deleted.sequence, deleted.null_version);
    s3_reply_empty(s, 204);
}

/* ---- many deletes ---- */

typedef struct BatchItem {
    StoreDelete wanted;
    Str version;
    const S3Error *refused;
} BatchItem;

/* <ETag>, <Size>, <LastModifiedTime>: of the version that is there now. */
static bool batch_match_take(S3Req *s, const XmlNode *node, BatchItem *item)
{
    Str etag = xml_text(node, "ETag"), size = xml_text(node, "Size"),
        time = xml_text(node, "LastModifiedTime");
    S3Match match = { .etag = etag, .has_size = size.ptr != NULL, .has_time = time.ptr != NULL };
    Err err;
    if ((size.ptr && !str_u64(size, &match.size)) ||
        (time.ptr && !s3_http_date_parse(time, &match.time_us) && !time_parse(time, &match.time_us)))
        return s3_fail(s, S3_MalformedXML);
    if ((!etag.ptr && !size.ptr && !time.ptr) || item->refused)
        return true;
    Code code = s3_match_judge(s, item->wanted.key, &match, &item->wanted.if_sequence, &err);
    if (code != E_OK)
        item->refused = s3_error(code == E_NOT_FOUND      ? S3_NoSuchKey
                                 : code == E_PRECONDITION ? S3_PreconditionFailed
                                                          : S3_InternalError);
    return true;
}

static bool batch_parse(S3Req *s, BatchItem **ret_items, size_t *ret_count, bool *ret_quiet)
{
    const XmlNode *root;
    size_t count = 0;
    if (xml_parse(s->arena, buf_str(&s->text), &root, NULL) != E_OK ||
        !str_eq(root->name, STR("Delete")))
        return s3_fail(s, S3_MalformedXML);
    *ret_quiet = str_ieq(xml_text(root, "Quiet"), STR("true"));
    BatchItem *items = arena_array(s->arena, BatchItem, S3_DELETE_KEYS_MAX);
    for (const XmlNode *node = xml_child(root, "Object"); node; node = xml_next(node, "Object")) {
        if (count == S3_DELETE_KEYS_MAX || xml_text(node, "Key").len == 0)
            return s3_fail(s, S3_MalformedXML);
        BatchItem *item = &items[count++];
        item->wanted = (StoreDelete){ .bucket = s->bucket,
                                      .key = xml_text(node, "Key"),
                                      .owner = s->call.principal.id };
        item->version = xml_text(node, "VersionId");
        if (item->wanted.key.len > STORE_KEY_MAX)
            item->refused = s3_error(S3_KeyTooLongError);
        else if (!api_key_allowed(&s->call, &s->grant, s3_action("s3:DeleteObject", item->version.len > 0),
                                  s->bucket, item->wanted.key))
            item->refused = s3_error(S3_AccessDenied);
        if ((item->version.len > 0 &&
             !s3_version_parse(s, item->version, &item->wanted.sequence)) ||
            !batch_match_take(s, node, item))
            return false;
    }
    if (count == 0)
        return s3_fail(s, S3_MalformedXML);
    *ret_items = items;
    *ret_count = count;
    return true;
}

static void batch_item_put(S3Req *s, XmlWriter *w, const BatchItem *item,
                           const StoreDeleted *deleted, const S3Error *error, bool quiet)
{
    if (error) {
        xml_open(w, "Error");
        xml_field(w, "Key", item->wanted.key);
        if (item->version.len > 0)
            xml_field(w, "VersionId", item->version);
        xml_field(w, "Code", str_z(error->code));
        xml_field(w, "Message", str_z(error->message));
        xml_close(w, "Error");
        return;
    }
    if (quiet)
        return;
    xml_open(w, "Deleted");
    xml_field(w, "Key", item->wanted.key);
    if (item->version.len > 0)
        xml_field(w, "VersionId", item->version);
    if (deleted->marker) {
        xml_field_bool(w, "DeleteMarker", true);
        xml_field(w, "DeleteMarkerVersionId",
                  s3_version_text(s, deleted->sequence, deleted->null_version));
    }
    xml_close(w, "Deleted");
}

void s3_delete_objects(S3Req *s)
{
    BatchItem *items = NULL;
    size_t count = 0;
    bool quiet = false;
    Buf body;
    if (!batch_parse(s, &items, &count, &quiet))
        return;
    StoreDelete *wanted = arena_array(s->arena, StoreDelete, count);
    StoreDeleted *deleted = arena_array(s->arena, StoreDeleted, count);
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        if (!items[i].refused)
            wanted[n++] = items[i].wanted;
    Err err = { 0 };
    Code code = api_object_delete(&s->call, wanted, n, deleted, &err);
    /* A key that stands there twice, a condition that does not hold any more: one after the other. */
    bool single = code == E_INVALID || code == E_PRECONDITION;
    buf_init(&body, S3_REPLY_BYTES_MAX);
    XmlWriter w = xml_writer(&body);
    xml_open_in(&w, "DeleteResult", S3_XMLNS);
    for (size_t i = 0, at = 0; i < count; i++) {
        const S3Error *error = items[i].refused;
        if (!error && single)
            code = api_object_delete(&s->call, &wanted[at], 1, &deleted[at], &err);
        if (!error && code != E_OK)
            error = s3_error(code == E_PRECONDITION ? S3_PreconditionFailed : S3_InternalError);
        batch_item_put(s, &w, &items[i], items[i].refused ? NULL : &deleted[at], error, quiet);
        at += !items[i].refused;
    }
    xml_close(&w, "DeleteResult");
    s3_reply_xml(s, 200, &body);
}

/* ---- tags and attributes ---- */

bool s3_head_version(S3Req *s, ObjectInfo *ret_info)
{
    uint64_t sequence;
    Err err;
    if (!s3_version_wanted(s, &sequence))
        return false;
    if (api_object_head(&s->call, s->bucket, s->key, sequence, ret_info, &err) != E_OK) {
        if (sequence != 0 && err.code == E_NOT_FOUND)
            err_set(&err, E_GONE, "the version");
        return s3_fail_err(s, &err);
    }
    if (!ret_info->delete_marker)
        return true;
    if (!s3_may_list(s, s->bucket))
        return s3_fail(s, S3_AccessDenied);
    http_reply_header(s->r, "x-amz-delete-marker", STR("true"));
    if (sequence != 0)
        http_reply_header(s->r, "Last-Modified", s3_http_date(s->arena, ret_info->modified_us));
    return s3_fail(s, sequence ? S3_MethodNotAllowed : S3_NoSuchKey);
}

void s3_no_lock(S3Req *s)
{
    ObjectInfo info;
    if (s3_head_version(s, &info))
        s3_fail_text(s, S3_InvalidRequest, STR("Bucket is missing Object Lock Configuration"));
}

/* AWS gives them in the order of their keys; there are few. */
static void tags_sort(StoreTag *tags, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        StoreTag tag = tags[i];
        size_t at = i;
        for (; at > 0 && str_cmp(tags[at - 1].key, tag.key) > 0; at--)
            tags[at] = tags[at - 1];
        tags[at] = tag;
    }
}

void s3_get_tagging(S3Req *s)
{
    ObjectInfo info;
    Buf body;
    if (!s3_head_version(s, &info))
        return;
    buf_init(&body, S3_REPLY_BYTES_MAX);
    XmlWriter w = xml_writer(&body);
    tags_sort(info.tags, info.tag_count);
    s3_tags_put(&w, info.tags, info.tag_count);
    s3_version_header(s, info.sequence, info.null_version);
    s3_reply_xml(s, 200, &body);
}

static void tags_set(S3Req *s, const StoreTag *tags, size_t count, int status)
{
    ObjectInfo info;
    Err err;
    if (!s3_head_version(s, &info))
        return;
    if (api_object_tag(&s->call, s->bucket, s->key, info.sequence, tags, count, &err) != E_OK) {
        s3_fail_err(s, &err);
        return;
    }
    s3_version_header(s, info.sequence, info.null_version);
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
        s3_checksum_put(s, w, &info->parts[i].checksum);
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
    if (!attributes_known(s))
        return;
    if (!api_key_allowed(&s->call, &s->grant, s3_action("s3:GetObject", s3_has(s, "versionId")), s->bucket, s->key)) {
        s3_fail(s, S3_AccessDenied);
        return;
    }
    if (!s3_head_version(s, &info))
        return;
    buf_init(&body, S3_REPLY_BYTES_MAX);
    XmlWriter w = xml_writer(&body);
    xml_open_in(&w, "GetObjectAttributesResponse", S3_XMLNS);
    if (attribute_asked(s, "ETag"))
        xml_field(&w, "ETag", object_etag(s->arena, &info));
    if (attribute_asked(s, "Checksum") && info.checksum.kind != DIGEST_NONE) {
        xml_open(&w, "Checksum");
        xml_field(&w, s3_checksum_element(info.checksum.kind), s3_checksum_text(s, &info));
        xml_field(&w, "ChecksumType",
                  s3_checksum_type(info.checksum_composite));
        xml_close(&w, "Checksum");
    }
    if (attribute_asked(s, "ObjectParts") && info.part_count > 0)
        parts_element(s, &w, &info);
    if (attribute_asked(s, "StorageClass"))
        xml_field(&w, "StorageClass", s3_storage_class(&info));
    if (attribute_asked(s, "ObjectSize"))
        xml_field_u64(&w, "ObjectSize", info.size_bytes);
    xml_close(&w, "GetObjectAttributesResponse");
    http_reply_header(s->r, "Last-Modified", s3_http_date(s->arena, info.modified_us));
    s3_version_header(s, info.sequence, info.null_version);
    s3_reply_xml(s, 200, &body);
}
