/* Uploads in parts: begun, their parts, aborted, listed. */
#include "front/s3/s3_priv.h"

#include "base/text.h"

#include <string.h>

static Str upload_text(S3Req *s, const StoreUploadId *id)
{
    return hex_format(s->arena, str_of(id->bytes, sizeof id->bytes));
}

static bool no_upload(S3Req *s)
{
    if (s3_completed_before(s))
        return false;
    return s3_fail_with(s, S3_NoSuchUpload, STR_NONE, "UploadId", s3_param(s, "uploadId"));
}

bool s3_upload_take(S3Req *s)
{
    Str bytes;
    if (!hex_parse(s->arena, s3_param(s, "uploadId"), &bytes) ||
        bytes.len != sizeof s->upload.id.bytes)
        return no_upload(s);
    s->upload.bucket = s->bucket;
    s->upload.key = s->key;
    memcpy(s->upload.id.bytes, bytes.ptr, bytes.len);
    return true;
}

bool s3_upload_fail(S3Req *s, const Err *err)
{
    return err->code == E_NOT_FOUND ? no_upload(s) : s3_fail_err(s, err);
}

bool s3_upload_get(S3Req *s, StoreUpload *ret_upload)
{
    Err err;
    if (!s3_upload_take(s))
        return false;
    return api_upload_get(&s->call, &s->upload, ret_upload, &err) == E_OK ||
           s3_upload_fail(s, &err);
}

/* Hashes only composite, CRC-64 only of the whole, the other CRCs either way. */
static bool checksum_type_take(S3Req *s, StoreUpload *upload)
{
    Str algorithm = s3_field(s, "x-amz-checksum-algorithm"),
        type = s3_field(s, "x-amz-checksum-type");
    bool composite = str_ieq(type, STR("COMPOSITE")), whole = str_ieq(type, STR("FULL_OBJECT"));
    if (type.len > 0 && !composite && !whole)
        return s3_fail_text(s, S3_InvalidRequest,
                            STR("Value for x-amz-checksum-type header is invalid."));
    if (algorithm.len == 0)
        return type.len == 0 ||
               s3_fail_text(s, S3_InvalidRequest,
                            STR("The x-amz-checksum-type header can only be used with the "
                                "x-amz-checksum-algorithm header."));
    if (!digest_parse(algorithm, &upload->checksum_kind))
        return s3_fail_text(s, S3_InvalidRequest, s3_algorithms_text);
    bool sha = !digest_is_crc(upload->checksum_kind),
         crc64 = upload->checksum_kind == DIGEST_CRC64NVME;
    if ((sha && whole) || (crc64 && composite))
        return s3_fail_text(s, S3_InvalidRequest,
                            str_format(s->arena,
                                       "The " STR_FMT
                                       " checksum type cannot be used with the %s checksum "
                                       "algorithm.",
                                       STR_ARG(whole ? STR("FULL_OBJECT") : STR("COMPOSITE")),
                                       str_copy_z(s->arena, str_lower(s->arena, algorithm))));
    upload->checksum_composite = sha || (!crc64 && !whole);
    return true;
}

void s3_create_upload(S3Req *s)
{
    StorePut fields = { 0 };
    StoreUploadId id;
    Err err;
    Buf body;
    StoreUpload upload = { .bucket = s->bucket, .key = s->key, .owner = s->call.principal.id };
    if (!s3_put_fields(s, &fields, s->arena) || !checksum_type_take(s, &upload))
        return;
    upload.content_type = fields.content_type;
    upload.tags = fields.tags;
    upload.tag_count = fields.tag_count;
    upload.meta = fields.meta;
    upload.meta_count = fields.meta_count;
    if (api_upload_create(&s->call, &upload, &id, &err) != E_OK) {
        s3_fail_err(s, &err);
        return;
    }
    if (upload.checksum_kind != DIGEST_NONE) {
        http_reply_header(s->r, "x-amz-checksum-algorithm",
                          str_z(digest_name(upload.checksum_kind)));
        http_reply_header(s->r, "x-amz-checksum-type",
                          s3_checksum_type(upload.checksum_composite));
    }
    buf_init(&body, 16 << 10);
    XmlWriter w = xml_writer(&body);
    xml_open_in(&w, "InitiateMultipartUploadResult", S3_XMLNS);
    xml_field(&w, "Bucket", s->bucket);
    xml_field(&w, "Key", s->key);
    xml_field(&w, "UploadId", upload_text(s, &id));
    xml_close(&w, "InitiateMultipartUploadResult");
    s3_reply_xml(s, 200, &body);
}

void s3_upload_part_head(S3Req *s)
{
    StoreUpload upload;
    int64_t number = 0;
    if (!s3_has(s, "partNumber") || !str_i64(s3_param(s, "partNumber"), &number) || number < 1 ||
        number > STORE_PARTS_MAX) {
        s3_fail_argument(s, "partNumber", s3_param(s, "partNumber"),
                         STR("Part number must be an integer between 1 and 10000, inclusive."));
        return;
    }
    s->part_number = (uint32_t)number;
    if (!s3_bytes_served(s))
        return;
    if (s3_field(s, "x-amz-copy-source").ptr && !s3_copy_source_ok(s))
        return;
    if (!s3_upload_get(s, &upload))
        return;
    if (!upload.checksum_composite)
        s->checksum_default =
            upload.checksum_kind != DIGEST_NONE ? upload.checksum_kind : DIGEST_CRC64NVME;
    s->checksum_bound = upload.checksum_kind;
    s->checksum_open = upload.checksum_kind == DIGEST_NONE;
    s->checksum_needed = upload.checksum_kind != DIGEST_NONE && upload.checksum_composite;
    if (!s3_field(s, "x-amz-copy-source").ptr)
        s3_length_said(s);
}

void s3_upload_part(S3Req *s)
{
    Err err;
    bool copies = s3_field(s, "x-amz-copy-source").ptr != NULL;
    StoreUpload upload;
    if (!s3_upload_get(s, &upload))
        return;
    if (copies)
        s3_checksum_begin(s, upload.checksum_kind != DIGEST_NONE ? upload.checksum_kind
                                                                 : DIGEST_CRC64NVME);
    if (copies && !s3_copy_into_part(s))
        return;
    StorePart part = { .number = s->part_number, .checksum = s->checksum_value };
    if (s->whole.kind != DIGEST_NONE) {
        DigestValue whole = digest_final(&s->whole);
        part.has_crc64 = true;
        memcpy(part.crc64, whole.bytes, sizeof part.crc64);
    }
    memcpy(part.md5, s->md5_bytes, sizeof part.md5);
    if (api_upload_part(&s->call, &s->upload, &part, &s->staged, &err) != E_OK) {
        s3_upload_fail(s, &err);
        return;
    }
    if (copies) {
        if (s->checksum_open)
            s->checksum_value = (DigestValue){ 0 };
        s3_copy_part_answer(s);
        return;
    }
    http_reply_header(s->r, "ETag",
                      s3_etag_of(s, s->md5_bytes));
    if (s->checksum_value.kind != DIGEST_NONE)
        http_reply_header(s->r, s3_checksum_name(s->checksum_value.kind),
                          s3_base64(s->arena, digest_str(&s->checksum_value)));
    s3_reply_empty(s, 200);
}

void s3_abort_upload(S3Req *s)
{
    Err err;
    StoreUpload upload;
    int64_t since = 0;
    Str when = s3_field(s, "x-amz-if-match-initiated-time");
    if (!s3_upload_take(s) || (when.ptr && !s3_upload_get(s, &upload)))
        return;
    bool dated = when.ptr && s3_http_date_parse(when, &since);
    if (when.ptr && (!dated || (since / 1000000 != upload.created_us / 1000000 &&
                                since <= os_now_us(s->call.lake->os)))) {
        s3_fail_with(s, S3_PreconditionFailed, STR_NONE, "Condition",
                     STR("If-Match-Initiated-Time"));
        return;
    }
    if (api_upload_abort(&s->call, &s->upload, &err) != E_OK)
        s3_upload_fail(s, &err);
    else
        s3_reply_empty(s, 204);
}

/* ---- lists ---- */

void s3_list_parts(S3Req *s)
{
    StoreUpload upload;
    ApiParts page;
    int64_t most = 1000, after = 0;
    Err err;
    Buf body;
    Str max_text = s3_param(s, "max-parts"), marker = s3_param(s, "part-number-marker");
    if (!s3_upload_get(s, &upload))
        return;
    if (!s3_limit_take(s, "max-parts", max_text, &most) ||
        !s3_limit_take(s, "part-number-marker", marker, &after))
        return;
    most = MIN(most, (int64_t)1000);
    if (api_upload_parts(&s->call, &s->upload, (uint32_t)MIN(after, (int64_t)STORE_PARTS_MAX),
                         (size_t)MAX(most, (int64_t)1), &page, &err) != E_OK) {
        s3_upload_fail(s, &err);
        return;
    }
    buf_init(&body, S3_REPLY_BYTES_MAX);
    XmlWriter w = xml_writer(&body);
    xml_open_in(&w, "ListPartsResult", S3_XMLNS);
    xml_field(&w, "Bucket", s->bucket);
    xml_field(&w, "Key", s->key);
    xml_field(&w, "UploadId", upload_text(s, &s->upload.id));
    xml_field_u64(&w, "PartNumberMarker", (uint64_t)after);
    xml_field_u64(&w, "NextPartNumberMarker", page.count && most > 0 ? page.parts[page.count - 1].number : 0);
    xml_field_u64(&w, "MaxParts", (uint64_t)most);
    xml_field_bool(&w, "IsTruncated", page.truncated && most > 0);
    for (size_t i = 0; i < page.count && most > 0; i++) {
        xml_open(&w, "Part");
        xml_field_u64(&w, "PartNumber", page.parts[i].number);
        xml_field(&w, "LastModified", s3_iso_date(s->arena, upload.created_us));
        xml_field(&w, "ETag",
                  s3_etag_of(s, page.parts[i].md5));
        if (upload.checksum_kind != DIGEST_NONE && page.parts[i].checksum.kind != DIGEST_NONE)
            xml_field(
                &w,
                str_format(s->arena, "Checksum%s%c", digest_name(page.parts[i].checksum.kind), 0).ptr,
                s3_base64(s->arena, digest_str(&page.parts[i].checksum)));
        xml_field_u64(&w, "Size", page.parts[i].size_bytes);
        xml_close(&w, "Part");
    }
    xml_field(&w, "StorageClass", STR("STANDARD"));
    if (upload.checksum_kind != DIGEST_NONE) {
        xml_field(&w, "ChecksumAlgorithm", str_z(digest_name(upload.checksum_kind)));
        xml_field(&w, "ChecksumType",
                  s3_checksum_type(upload.checksum_composite));
    }
    xml_close(&w, "ListPartsResult");
    s3_reply_xml(s, 200, &body);
}

static void upload_put(S3Req *s, XmlWriter *w, const StoreUpload *upload, bool url)
{
    xml_open(w, "Upload");
    s3_put_encoded(w, "Key", upload->key, url);
    xml_field(w, "UploadId", upload_text(s, &upload->id));
    xml_open(w, "Initiator");
    xml_field(w, "ID", upload->owner);
    xml_close(w, "Initiator");
    xml_open(w, "Owner");
    xml_field(w, "ID", upload->owner);
    xml_close(w, "Owner");
    xml_field(w, "StorageClass", STR("STANDARD"));
    xml_field(w, "Initiated", s3_iso_date(s->arena, upload->created_us));
    if (upload->checksum_kind != DIGEST_NONE) {
        xml_field(w, "ChecksumAlgorithm", str_z(digest_name(upload->checksum_kind)));
        xml_field(w, "ChecksumType",
                  s3_checksum_type(upload->checksum_composite));
    }
    xml_close(w, "Upload");
}

void s3_list_uploads(S3Req *s)
{
    StoreUploadQuery query = { .bucket = s->bucket,
                               .prefix = s3_param(s, "prefix"),
                               .delimiter = s3_param(s, "delimiter"),
                               .key_after = s3_param(s, "key-marker") };
    StoreUploadPage page = { 0 };
    StoreUploadId after;
    int64_t most = 1000;
    Err err;
    Str max_text = s3_param(s, "max-uploads"), marker = s3_param(s, "upload-id-marker"), bytes;
    bool url;
    if (!s3_list_encodes(s, &url) || !s3_limit_take(s, "max-uploads", max_text, &most))
        return;
    if (marker.len > 0 && query.key_after.len > 0) {
        if (!hex_parse(s->arena, marker, &bytes) || bytes.len != sizeof after.bytes) {
            s3_fail_argument(s, "upload-id-marker", marker, STR("Invalid uploadId marker"));
            return;
        }
        memcpy(after.bytes, bytes.ptr, sizeof after.bytes);
        query.id_after = &after;
    }
    query.limit = (size_t)MIN(most, (int64_t)1000);
    if (most > 0 && api_uploads(&s->call, &query, &page, &err) != E_OK) {
        s3_fail_err(s, &err);
        return;
    }
    Buf body;
    buf_init(&body, S3_REPLY_BYTES_MAX);
    XmlWriter w = xml_writer(&body);
    xml_open_in(&w, "ListMultipartUploadsResult", S3_XMLNS);
    xml_field(&w, "Bucket", s->bucket);
    s3_put_encoded(&w, "KeyMarker", query.key_after, url);
    xml_field(&w, "UploadIdMarker", marker);
    if (page.truncated) {
        s3_put_encoded(&w, "NextKeyMarker", page.next_key, url);
        if (page.next_has_id)
            xml_field(&w, "NextUploadIdMarker", upload_text(s, &page.next_id));
    }
    if (query.delimiter.len > 0)
        s3_put_encoded(&w, "Delimiter", query.delimiter, url);
    s3_put_encoded(&w, "Prefix", query.prefix, url);
    if (url)
        xml_field(&w, "EncodingType", STR("url"));
    xml_field_u64(&w, "MaxUploads", (uint64_t)MIN(most, (int64_t)1000));
    xml_field_bool(&w, "IsTruncated", page.truncated);
    for (size_t i = 0; i < page.upload_count; i++)
        upload_put(s, &w, &page.uploads[i], url);
    for (size_t i = 0; i < page.prefix_count; i++) {
        xml_open(&w, "CommonPrefixes");
        s3_put_encoded(&w, "Prefix", page.prefixes[i], url);
        xml_close(&w, "CommonPrefixes");
    }
    xml_close(&w, "ListMultipartUploadsResult");
    s3_reply_xml(s, 200, &body);
}
