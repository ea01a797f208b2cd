/* Uploads in parts, and the batch delete. */
#include "front/s3/s3_priv.h"

#include "base/text.h"

#include <string.h>

static Str upload_text(S3Req *s, const StoreUploadId *id)
{
    return hex_format(s->arena, str_of(id->bytes, sizeof id->bytes));
}

static void complete_answer(S3Req *s, const ObjectInfo *info);

/* An upload that is gone may have been completed, even while this request looked: the same again
 * has the answer of the first time. */
static bool completed_before(S3Req *s)
{
    ObjectInfo info;
    bool done = false;
    Err err;
    if (s->op->run != s3_complete_upload ||
        store_completed(s->call.lake->store, s->bucket, s->key, &s->upload, s->arena, &info, &done,
                        &err) != E_OK ||
        !done)
        return false;
    complete_answer(s, &info);
    return true;
}

static bool no_upload(S3Req *s)
{
    if (completed_before(s))
        return false;
    return s3_fail_with(s, S3_NoSuchUpload, STR_NONE, "UploadId", s3_param(s, "uploadId"));
}

static bool upload_take(S3Req *s)
{
    Str bytes;
    if (!hex_parse(s->arena, s3_param(s, "uploadId"), &bytes) ||
        bytes.len != sizeof s->upload.bytes)
        return no_upload(s);
    memcpy(s->upload.bytes, bytes.ptr, bytes.len);
    return true;
}

static bool upload_fail(S3Req *s, const Err *err)
{
    return err->code == E_NOT_FOUND ? no_upload(s) : s3_fail_err(s, err);
}

static bool upload_get(S3Req *s, StoreUpload *ret_upload)
{
    Err err;
    if (!upload_take(s))
        return false;
    return store_upload_get(s->call.lake->store, s->bucket, s->key, &s->upload, s->arena,
                            ret_upload, &err) == E_OK ||
           upload_fail(s, &err);
}

/* SHA only composite, CRC-64 only of the whole, the other CRCs either way. */
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
    if (!digest_parse(algorithm, &upload->checksum_kind) || upload->checksum_kind == DIGEST_MD5)
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
    if (store_upload_create(s->call.lake->store, &upload, &id, &err) != E_OK) {
        s3_fail_err(s, &err);
        return;
    }
    if (upload.checksum_kind != DIGEST_NONE) {
        http_reply_header(s->r, "x-amz-checksum-algorithm",
                          str_z(digest_name(upload.checksum_kind)));
        http_reply_header(s->r, "x-amz-checksum-type",
                          upload.checksum_composite ? STR("COMPOSITE") : STR("FULL_OBJECT"));
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
    if (s3_field(s, "x-amz-copy-source").ptr && !s3_copy_source_ok(s))
        return;
    if (!upload_get(s, &upload))
        return;
    if (!upload.checksum_composite)
        s->checksum_default =
            upload.checksum_kind != DIGEST_NONE ? upload.checksum_kind : DIGEST_CRC64NVME;
    s->checksum_bound = upload.checksum_kind;
    s->checksum_needed = upload.checksum_kind != DIGEST_NONE && upload.checksum_composite;
    if (!s3_field(s, "x-amz-copy-source").ptr && http_req_length(s->r) < 0 && !s->aws_chunked &&
        !s3_field(s, "x-amz-decoded-content-length").ptr)
        s3_fail(s, S3_MissingContentLength);
}

void s3_upload_part(S3Req *s)
{
    Err err;
    bool copies = s3_field(s, "x-amz-copy-source").ptr != NULL;
    StoreUpload upload;
    if (!upload_get(s, &upload))
        return;
    if (copies)
        s3_checksum_begin(s, upload.checksum_kind != DIGEST_NONE ? upload.checksum_kind
                                                                 : DIGEST_CRC64NVME);
    if (copies && !s3_copy_into_part(s))
        return;
    StorePart part = { .number = s->part_number, .checksum = s->checksum_value };
    memcpy(part.md5, s->md5_bytes, sizeof part.md5);
    if (store_upload_part(s->call.lake->store, s->bucket, s->key, &s->upload, &part, &s->staged,
                          &err) != E_OK) {
        upload_fail(s, &err);
        return;
    }
    if (copies) {
        s3_copy_part_answer(s);
        return;
    }
    http_reply_header(s->r, "ETag",
                      str_format(s->arena, "\"" STR_FMT "\"",
                                 STR_ARG(hex_format(s->arena, str_of(s->md5_bytes, 16)))));
    if (part.checksum.kind != DIGEST_NONE)
        http_reply_header(
            s->r,
            str_copy_z(s->arena, str_lower(s->arena, str_format(s->arena, "x-amz-checksum-%s",
                                                                digest_name(part.checksum.kind)))),
            s3_base64(s->arena, digest_str(&part.checksum)));
    s3_reply_empty(s, 200);
}

void s3_abort_upload(S3Req *s)
{
    Err err;
    StoreUpload upload;
    int64_t since = 0;
    Str when = s3_field(s, "x-amz-if-match-initiated-time");
    if (!upload_take(s) || (when.ptr && !upload_get(s, &upload)))
        return;
    if (when.ptr &&
        (!s3_http_date_parse(when, &since) || since / 1000000 != upload.created_us / 1000000)) {
        s3_fail_with(s, S3_PreconditionFailed, STR_NONE, "Condition",
                     STR("If-Match-Initiated-Time"));
        return;
    }
    if (store_upload_abort(s->call.lake->store, s->bucket, s->key, &s->upload, &err) != E_OK)
        upload_fail(s, &err);
    else
        s3_reply_empty(s, 204);
}

/* ---- complete ---- */

typedef struct Wanted {
    StorePart *parts;
    size_t count;
} Wanted;

static bool invalid_part(S3Req *s, int64_t number, Str etag)
{
    if (completed_before(s)) /* the parts went with it */
        return false;
    S3Detail details[] = { { "UploadId", s3_param(s, "uploadId") },
                           { "PartNumber", s3_number(s, (uint64_t)number) },
                           { "ETag", etag } };
    return s3_fail_details(s, S3_InvalidPart, STR_NONE, details, ARRAY_LEN(details));
}

/* The checksum that a part of the list brings: of the upload's kind, in form, and the part's. */
static bool part_checksum_ok(S3Req *s, const XmlNode *node, const StorePart *part,
                             const StoreUpload *upload, Str etag)
{
    DigestKind found = DIGEST_NONE, wanted = upload->checksum_kind;
    Str value = STR_NONE, all = STR(""), bytes;
    size_t count = 0;
    for (int kind = DIGEST_SHA1; kind < DIGEST_KINDS; kind++) {
        const char *name = digest_name((DigestKind)kind);
        Str sent = xml_text(node, str_format(s->arena, "Checksum%s%c", name, 0).ptr);
        if (sent.len == 0)
            continue;
        found = (DigestKind)kind;
        value = sent;
        all = str_format(s->arena, STR_FMT "%s:" STR_FMT ";", STR_ARG(all), name, STR_ARG(sent));
        count++;
    }
    if (count > 1 ||
        (count == 1 && (!base64_parse(s->arena, value, &bytes) || bytes.len != digest_len(found))))
        return s3_fail_argument(s, "Checksum", count > 1 ? all : value,
                                STR("Invalid Base64 or multiple checksums present in request"));
    if (count == 0 && wanted != DIGEST_NONE && upload->checksum_composite)
        return s3_fail_text(
            s, S3_InvalidRequest,
            str_format(s->arena,
                       "The upload was created using a " STR_FMT
                       " checksum. The complete request must include the checksum for each part. "
                       "It was missing for part %u in the request.",
                       STR_ARG(str_lower(s->arena, str_z(digest_name(wanted)))), part->number));
    if (count == 1 && wanted != DIGEST_NONE && found != wanted)
        return s3_fail_text(
            s, S3_BadDigest,
            str_format(s->arena,
                       "The " STR_FMT " you specified for part %u did not match what we received.",
                       STR_ARG(str_lower(s->arena, str_z(digest_name(found)))), part->number));
    return count == 0 || part->checksum.kind != found ||
           str_eq(bytes, digest_str(&part->checksum)) || invalid_part(s, part->number, etag);
}

static bool part_wanted_take(S3Req *s, const StoreUpload *upload, const XmlNode *node,
                             const StorePart *stored, size_t stored_count, Wanted *wanted)
{
    int64_t number = 0;
    Str etag = xml_text(node, "ETag");
    if (!str_i64(xml_text(node, "PartNumber"), &number) || !etag.ptr)
        return s3_fail(s, S3_MalformedXML);
    if (number < 1)
        return s3_fail_argument(s, "PartNumber", xml_text(node, "PartNumber"),
                                STR("PartNumber must be >= 1"));
    if (wanted->count > 0 && wanted->parts[wanted->count - 1].number >= (uint32_t)number)
        return s3_fail(s, S3_InvalidPartOrder);
    for (size_t i = 0; i < stored_count; i++) {
        if (stored[i].number != (uint32_t)number)
            continue;
        if (!s3_etag_is(etag, hex_format(s->arena, str_of(stored[i].md5, 16))))
            break;
        if (!part_checksum_ok(s, node, &stored[i], upload, etag))
            return false;
        wanted->parts[wanted->count++] = stored[i];
        return true;
    }
    return invalid_part(s, number, etag);
}

static bool parts_read(S3Req *s, StorePart **ret_parts, size_t *ret_count)
{
    bool truncated;
    Err err;
    return store_upload_parts(s->call.lake->store, s->bucket, s->key, &s->upload, 0,
                              STORE_PARTS_MAX, s->arena, ret_parts, ret_count, &truncated,
                              &err) == E_OK ||
           upload_fail(s, &err);
}

static bool part_too_small(S3Req *s, const StorePart *part)
{
    S3Detail details[] = { { "ProposedSize", s3_number(s, part->size_bytes) },
                           { "MinSizeAllowed", s3_number(s, S3_PART_BYTES_MIN) },
                           { "PartNumber", s3_number(s, part->number) },
                           { "ETag", hex_format(s->arena, str_of(part->md5, 16)) } };
    return s3_fail_details(s, S3_EntityTooSmall, STR_NONE, details, ARRAY_LEN(details));
}

static bool wanted_take(S3Req *s, const StoreUpload *upload, Wanted *wanted)
{
    const XmlNode *root;
    StorePart *stored;
    size_t count;
    if (xml_parse(s->arena, buf_str(&s->text), &root, NULL) != E_OK ||
        !str_eq(root->name, STR("CompleteMultipartUpload")) || !xml_child(root, "Part"))
        return s3_fail(s, S3_MalformedXML);
    if (!parts_read(s, &stored, &count))
        return false;
    wanted->parts = arena_array(s->arena, StorePart, STORE_PARTS_MAX);
    for (const XmlNode *node = xml_child(root, "Part"); node; node = xml_next(node, "Part")) {
        if (wanted->count == STORE_PARTS_MAX)
            return s3_fail(s, S3_MalformedXML);
        if (!part_wanted_take(s, upload, node, stored, count, wanted))
            return false;
    }
    for (size_t i = 0; i + 1 < wanted->count; i++) {
        if (wanted->parts[i].size_bytes < S3_PART_BYTES_MIN)
            return part_too_small(s, &wanted->parts[i]);
    }
    return true;
}

/* An upload that named no algorithm has the one of its parts, if it is one that combines. */
static DigestKind kind_of_all(const Wanted *wanted)
{
    DigestKind kind = wanted->parts[0].checksum.kind;
    for (size_t i = 1; i < wanted->count; i++) {
        if (wanted->parts[i].checksum.kind != kind)
            return DIGEST_NONE;
    }
    return digest_is_crc(kind) ? kind : DIGEST_NONE;
}

/* Of the whole from the parts' own: CRCs combine, composites hash the values. */
static bool whole_checksum(S3Req *s, const StoreUpload *upload, const Wanted *wanted,
                           DigestValue *ret_value)
{
    DigestKind kind = upload->checksum_kind;
    Digest digest AUTO(digest_done) = { 0 };
    *ret_value = (DigestValue){ 0 };
    if (kind == DIGEST_NONE)
        kind = kind_of_all(wanted);
    if (kind == DIGEST_NONE)
        return true;
    digest_init(&digest, kind);
    DigestValue whole = wanted->parts[0].checksum;
    for (size_t i = 0; i < wanted->count; i++) {
        const StorePart *part = &wanted->parts[i];
        if (part->checksum.kind != kind)
            return s3_fail(s, S3_InvalidPart);
        digest_update(&digest, digest_str(&part->checksum));
        if (!upload->checksum_composite && i > 0)
            whole = digest_combine(&whole, &part->checksum, part->size_bytes);
    }
    *ret_value = upload->checksum_composite ? digest_final(&digest) : whole;
    Str name =
        str_lower(s->arena, str_format(s->arena, "x-amz-checksum-%s%c", digest_name(kind), 0));
    Str sent = http_req_header(s->r, name.ptr), value = s3_base64(s->arena, digest_str(ret_value));
    ptrdiff_t dash = str_rfind_char(sent, '-');
    Str bare = dash > 0 ? str_sub(sent, 0, (size_t)dash) : sent, bytes;
    if (sent.len > 0 &&
        (!base64_parse(s->arena, bare, &bytes) || bytes.len != digest_len(kind) ||
         (dash > 0 && !str_eq(str_from(sent, (size_t)dash + 1), s3_number(s, wanted->count)))))
        return s3_fail_text(
            s, S3_InvalidRequest,
            str_format(s->arena, "Value for " STR_FMT " header is invalid.", STR_ARG(name)));
    if (sent.len > 0 && !str_eq(dash > 0 ? str_sub(sent, 0, (size_t)dash) : sent, value))
        return s3_fail_text(
            s, S3_BadDigest,
            str_format(s->arena, "The %s you specified did not match the calculated checksum.",
                       digest_name(kind)));
    return true;
}

/* x-amz-checksum-type says again what the upload was made with. */
static bool complete_type_ok(S3Req *s, const StoreUpload *upload)
{
    Str type = s3_field(s, "x-amz-checksum-type");
    bool composite = str_ieq(type, STR("COMPOSITE"));
    if (type.len == 0)
        return true;
    if (!composite && !str_ieq(type, STR("FULL_OBJECT")))
        return s3_fail_text(s, S3_InvalidRequest,
                            STR("Value for x-amz-checksum-type header is invalid."));
    if (upload->checksum_kind == DIGEST_NONE || composite == upload->checksum_composite)
        return true;
    return s3_fail_text(
        s, S3_InvalidRequest,
        str_format(s->arena,
                   "The upload was created using the %s checksum mode. The complete request must "
                   "use the same checksum mode.",
                   upload->checksum_composite ? "COMPOSITE" : "FULL_OBJECT"));
}

static void complete_answer(S3Req *s, const ObjectInfo *info)
{
    Buf body;
    buf_init(&body, 16 << 10);
    XmlWriter w = xml_writer(&body);
    xml_open_in(&w, "CompleteMultipartUploadResult", S3_XMLNS);
    xml_field(&w, "Location",
              str_format(s->arena, STR_FMT "://" STR_FMT "/" STR_FMT "/" STR_FMT,
                         STR_ARG(http_req_scheme(s->r)), STR_ARG(http_req_host(s->r)),
                         STR_ARG(s->bucket), STR_ARG(s->key)));
    xml_field(&w, "Bucket", s->bucket);
    xml_field(&w, "Key", s->key);
    xml_field(&w, "ETag", s3_quoted_etag(s, info));
    if (info->checksum.kind != DIGEST_NONE) {
        Str value = s3_base64(s->arena, digest_str(&info->checksum));
        if (info->checksum_composite)
            value = str_format(s->arena, STR_FMT "-%zu", STR_ARG(value), info->part_count);
        xml_field(&w, str_format(s->arena, "Checksum%s%c", digest_name(info->checksum.kind), 0).ptr,
                  value);
        xml_field(&w, "ChecksumType",
                  info->checksum_composite ? STR("COMPOSITE") : STR("FULL_OBJECT"));
    }
    xml_close(&w, "CompleteMultipartUploadResult");
    if (s->info.versioning == VERSIONING_ENABLED)
        http_reply_header(s->r, "x-amz-version-id",
                          s3_version_text(s, info->sequence, info->null_version));
    s3_reply_xml(s, 200, &body);
}

static ObjectInfo completed_info(const StoreComplete *complete, bool composite, uint64_t sequence)
{
    ObjectInfo info = { .sequence = sequence,
                        .has_md5 = true,
                        .part_count = complete->part_count,
                        .checksum = complete->checksum,
                        .checksum_composite = composite };
    Digest md5 AUTO(digest_done) = { 0 };
    digest_init(&md5, DIGEST_MD5);
    for (size_t i = 0; i < complete->part_count; i++)
        digest_update(&md5, str_of((const char *)complete->parts[i].md5, 16));
    DigestValue value = digest_final(&md5);
    memcpy(info.md5, value.bytes, sizeof info.md5);
    return info;
}

void s3_complete_upload(S3Req *s)
{
    StoreUpload upload;
    Wanted wanted = { 0 };
    StoreComplete complete = { .bucket = s->bucket, .key = s->key };
    ObjectInfo info;
    uint64_t sequence = 0;
    Err err;
    if (!upload_take(s))
        return;
    if (completed_before(s) || !upload_get(s, &upload) || !s3_conditions_of_put(s) ||
        !complete_type_ok(s, &upload) || !wanted_take(s, &upload, &wanted) ||
        !whole_checksum(s, &upload, &wanted, &complete.checksum))
        return;
    uint64_t sum = 0;
    int64_t said = 0;
    for (size_t i = 0; i < wanted.count; i++)
        sum += wanted.parts[i].size_bytes;
    Str size_text = s3_field(s, "x-amz-mp-object-size");
    if (size_text.ptr && (!str_i64(size_text, &said) || said < 0)) {
        s3_fail_text(s, S3_InvalidRequest,
                     str_format(s->arena,
                                "Value for x-amz-mp-object-size header is %s: '" STR_FMT "'",
                                said < 0 ? "less than zero" : "invalid", STR_ARG(size_text)));
        return;
    }
    if (size_text.ptr && (uint64_t)said != sum) {
        s3_fail_text(s, S3_InvalidRequest,
                     str_format(s->arena,
                                "The provided 'x-amz-mp-object-size' header value " STR_FMT
                                " does not match what was computed: %llu",
                                STR_ARG(size_text), (unsigned long long)sum));
        return;
    }
    complete.id = s->upload;
    complete.parts = wanted.parts;
    complete.part_count = wanted.count;
    complete.condition = s->condition;
    complete.if_sequence = s->if_sequence;
    Code code = store_upload_complete(s->call.lake->store, &complete, &sequence, &err);
    if (code == E_INVALID) {
        if (!completed_before(s))
            s3_fail(s, S3_InvalidPart);
        return;
    }
    if (code != E_OK) {
        upload_fail(s, &err);
        return;
    }
    if (store_head_version(s->call.lake->store, s->bucket, s->key, sequence, s->arena, &info,
                           &err) != E_OK)
        info = completed_info(&complete, upload.checksum_composite,
                              sequence); /* replaced already by somebody else */
    complete_answer(s, &info);
}

/* ---- lists ---- */

void s3_list_parts(S3Req *s)
{
    StoreUpload upload;
    StorePart *parts;
    size_t count;
    bool truncated;
    int64_t most = 1000, after = 0;
    Err err;
    Buf body;
    Str max_text = s3_param(s, "max-parts"), marker = s3_param(s, "part-number-marker");
    if (!upload_get(s, &upload))
        return;
    if (!s3_limit_take(s, "max-parts", max_text, &most) ||
        !s3_limit_take(s, "part-number-marker", marker, &after))
        return;
    most = MIN(most, (int64_t)1000);
    if (store_upload_parts(s->call.lake->store, s->bucket, s->key, &s->upload,
                           (uint32_t)MIN(after, (int64_t)STORE_PARTS_MAX),
                           (size_t)MAX(most, (int64_t)1), s->arena, &parts, &count, &truncated,
                           &err) != E_OK) {
        upload_fail(s, &err);
        return;
    }
    buf_init(&body, S3_REPLY_BYTES_MAX);
    XmlWriter w = xml_writer(&body);
    xml_open_in(&w, "ListPartsResult", S3_XMLNS);
    xml_field(&w, "Bucket", s->bucket);
    xml_field(&w, "Key", s->key);
    xml_field(&w, "UploadId", upload_text(s, &s->upload));
    xml_field_u64(&w, "PartNumberMarker", (uint64_t)after);
    xml_field_u64(&w, "NextPartNumberMarker", count ? parts[count - 1].number : 0);
    xml_field_u64(&w, "MaxParts", (uint64_t)most);
    xml_field_bool(&w, "IsTruncated", truncated);
    for (size_t i = 0; i < count; i++) {
        xml_open(&w, "Part");
        xml_field_u64(&w, "PartNumber", parts[i].number);
        xml_field(&w, "LastModified", s3_iso_date(s->arena, upload.created_us));
        xml_field(&w, "ETag",
                  str_format(s->arena, "\"" STR_FMT "\"",
                             STR_ARG(hex_format(s->arena, str_of(parts[i].md5, 16)))));
        if (parts[i].checksum.kind != DIGEST_NONE)
            xml_field(
                &w,
                str_format(s->arena, "Checksum%s%c", digest_name(parts[i].checksum.kind), 0).ptr,
                s3_base64(s->arena, digest_str(&parts[i].checksum)));
        xml_field_u64(&w, "Size", parts[i].size_bytes);
        xml_close(&w, "Part");
    }
    xml_field(&w, "StorageClass", STR("STANDARD"));
    if (upload.checksum_kind != DIGEST_NONE) {
        xml_field(&w, "ChecksumAlgorithm", str_z(digest_name(upload.checksum_kind)));
        xml_field(&w, "ChecksumType",
                  upload.checksum_composite ? STR("COMPOSITE") : STR("FULL_OBJECT"));
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
                  upload->checksum_composite ? STR("COMPOSITE") : STR("FULL_OBJECT"));
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
    bool url = str_eq(s3_param(s, "encoding-type"), STR("url"));
    if (!s3_limit_take(s, "max-uploads", max_text, &most))
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
    if (most > 0 && store_upload_list(s->call.lake->store, &query, s->arena, &page, &err) != E_OK) {
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

/* ---- many deletes ---- */

typedef struct BatchItem {
    StoreDelete wanted;
    Str version;
    const S3Error *refused;
} BatchItem;

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
        else if (!api_key_allowed(&s->call, &s->grant, "s3:DeleteObject", s->bucket,
                                  item->wanted.key))
            item->refused = s3_error(S3_AccessDenied);
        if (item->version.len > 0 && !s3_version_parse(s, item->version, &item->wanted.sequence))
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
    bool twice = code == E_INVALID; /* a key that stands there twice: one after the other */
    buf_init(&body, S3_REPLY_BYTES_MAX);
    XmlWriter w = xml_writer(&body);
    xml_open_in(&w, "DeleteResult", S3_XMLNS);
    for (size_t i = 0, at = 0; i < count; i++) {
        const S3Error *error = items[i].refused;
        if (!error && twice)
            code = api_object_delete(&s->call, &wanted[at], 1, &deleted[at], &err);
        if (!error && code != E_OK)
            error = s3_error(S3_InternalError);
        batch_item_put(s, &w, &items[i], items[i].refused ? NULL : &deleted[at], error, quiet);
        at += !items[i].refused;
    }
    xml_close(&w, "DeleteResult");
    s3_reply_xml(s, 200, &body);
}
