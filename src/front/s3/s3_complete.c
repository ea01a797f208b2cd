/* Uploads completed: the list of parts, its checks, one answer for all who ask. */
#include "front/s3/s3_priv.h"

#include "base/text.h"

#include <string.h>

static void complete_answer(S3Req *s, const ObjectInfo *info);

/* An upload that is gone may have been completed, even while this request looked: the same again
 * has the answer of the first time. */
bool s3_completed_before(S3Req *s)
{
    ObjectInfo info;
    bool done = false;
    Err err;
    if (s->op->run != s3_complete_upload ||
        api_upload_completed(&s->call, &s->upload, &info, &done, &err) != E_OK ||
        !done)
        return false;
    complete_answer(s, &info);
    return true;
}

/* ---- complete ---- */

typedef struct Wanted {
    StorePart *parts;
    size_t count;
} Wanted;

static bool invalid_part(S3Req *s, int64_t number, Str etag)
{
    if (s3_completed_before(s)) /* the parts went with it */
        return false;
    S3Detail details[] = { { "UploadId", s3_param(s, "uploadId") },
                           { "PartNumber", s3_number(s, (uint64_t)number) },
                           { "ETag", etag } };
    return s3_fail_details(s, S3_InvalidPart, STR_NONE, details, ARRAY_LEN(details));
}

/* What a part gives to the whole's checksum of this kind; false: nothing. */
static bool part_share(const StorePart *part, DigestKind kind, DigestValue *ret_share)
{
    *ret_share = part->checksum;
    if (part->checksum.kind == kind)
        return true;
    if (kind != DIGEST_CRC64NVME || !part->has_crc64)
        return false;
    *ret_share = (DigestValue){ .kind = DIGEST_CRC64NVME };
    memcpy(ret_share->bytes, part->crc64, sizeof part->crc64);
    return true;
}

/* The checksum that a part of the list brings: of the upload's kind, in form, and the part's.
 * One that cannot be compared is none of this part's. */
static bool part_checksum_ok(S3Req *s, const XmlNode *node, const StorePart *part,
                             const StoreUpload *upload, Str etag)
{
    DigestKind found = DIGEST_NONE, wanted = upload->checksum_kind;
    Str value = STR_NONE, all = STR(""), bytes;
    size_t count = 0;
    for (int kind = DIGEST_NONE + 1; kind < DIGEST_KINDS; kind++) {
        const char *name = digest_name((DigestKind)kind);
        Str sent = xml_text(node, s3_checksum_element((DigestKind)kind));
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
    DigestValue known;
    return count == 0 || (part_share(part, found, &known) && str_eq(bytes, digest_str(&known))) ||
           invalid_part(s, part->number, etag);
}

/* Both lists go up by number, so that they are walked side by side: `*at` is where in the stored
 * one. */
static bool part_wanted_take(S3Req *s, const StoreUpload *upload, const XmlNode *node,
                             const ApiParts *stored, size_t *at, Wanted *wanted)
{
    int64_t number = 0;
    Str etag = xml_text(node, "ETag");
    if (!str_i64(xml_text(node, "PartNumber"), &number) || !etag.ptr)
        return s3_fail(s, S3_MalformedXML);
    if (number < 1)
        return s3_fail_argument(s, "PartNumber", xml_text(node, "PartNumber"),
                                STR("PartNumber must be >= 1"));
    if (wanted->count > 0 && wanted->parts[wanted->count - 1].number >= number)
        return s3_fail(s, S3_InvalidPartOrder);
    while (*at < stored->count && stored->parts[*at].number < number)
        ++*at;
    const StorePart *part = &stored->parts[*at];
    if (*at == stored->count || part->number != number ||
        !s3_etag_is(etag, hex_format(s->arena, str_of(part->md5, 16))))
        return invalid_part(s, number, etag);
    if (!part_checksum_ok(s, node, part, upload, etag))
        return false;
    wanted->parts[wanted->count++] = *part;
    return true;
}

static bool part_too_small(S3Req *s, const StorePart *part)
{
    S3Detail details[] = { { "ProposedSize", s3_number(s, part->size_bytes) },
                           { "MinSizeAllowed", s3_number(s, s->server->options.part_bytes_min) },
                           { "PartNumber", s3_number(s, part->number) },
                           { "ETag", hex_format(s->arena, str_of(part->md5, 16)) } };
    return s3_fail_details(s, S3_EntityTooSmall, STR_NONE, details, ARRAY_LEN(details));
}

static bool wanted_take(S3Req *s, const StoreUpload *upload, Wanted *wanted)
{
    const XmlNode *root;
    ApiParts stored;
    size_t at = 0;
    Err err;
    if (xml_parse(s->arena, buf_str(&s->text), &root, NULL) != E_OK ||
        !str_eq(root->name, STR("CompleteMultipartUpload")) || !xml_child(root, "Part"))
        return s3_fail(s, S3_MalformedXML);
    if (api_upload_parts(&s->call, &s->upload, 0, STORE_PARTS_MAX, &stored, &err) != E_OK)
        return s3_upload_fail(s, &err);
    wanted->parts = arena_array(s->arena, StorePart, STORE_PARTS_MAX);
    for (const XmlNode *node = xml_child(root, "Part"); node; node = xml_next(node, "Part")) {
        if (wanted->count == STORE_PARTS_MAX)
            return s3_fail(s, S3_MalformedXML);
        if (!part_wanted_take(s, upload, node, &stored, &at, wanted))
            return false;
    }
    for (size_t i = 0; i + 1 < wanted->count; i++) {
        if (wanted->parts[i].size_bytes < s->server->options.part_bytes_min)
            return part_too_small(s, &wanted->parts[i]);
    }
    return true;
}

/* The whole's checksum that the request says, against what was computed. */
static bool whole_compare(S3Req *s, const DigestValue *computed, size_t part_count)
{
    DigestKind kind = computed->kind;
    Str sent = http_req_header(s->r, s3_checksum_name(kind)),
        value = s3_base64(s->arena, digest_str(computed));
    ptrdiff_t dash = str_rfind_char(sent, '-');
    Str bare = dash > 0 ? str_sub(sent, 0, (size_t)dash) : sent, bytes;
    if (sent.len > 0 &&
        (!base64_parse(s->arena, bare, &bytes) || bytes.len != digest_len(kind) ||
         (dash > 0 && !str_eq(str_from(sent, (size_t)dash + 1), s3_number(s, part_count)))))
        return s3_fail_text(
            s, S3_InvalidRequest,
            str_format(s->arena, "Value for %s header is invalid.", s3_checksum_name(kind)));
    if (sent.len > 0 && !str_eq(bare, value))
        return s3_fail_text(
            s, S3_BadDigest,
            str_format(s->arena, "The %s you specified did not match the calculated checksum.",
                       digest_name(kind)));
    return true;
}

/* Of the whole from the parts' own: CRCs combine, composites hash the values. An upload that named
 * no algorithm gets CRC64NVME, as on AWS, and what the request says of that is not looked at. */
static bool whole_checksum(S3Req *s, const StoreUpload *upload, const Wanted *wanted,
                           DigestValue *ret_value)
{
    bool named = upload->checksum_kind != DIGEST_NONE;
    DigestKind kind = named ? upload->checksum_kind : DIGEST_CRC64NVME;
    Digest digest AUTO(digest_done) = { 0 };
    DigestValue whole = { 0 }, share;
    digest_init(&digest, kind);
    *ret_value = (DigestValue){ 0 };
    for (size_t i = 0; i < wanted->count; i++) {
        const StorePart *part = &wanted->parts[i];
        if (!part_share(part, kind, &share))
            return !named || s3_fail(s, S3_InvalidPart);
        digest_update(&digest, digest_str(&share));
        if (!upload->checksum_composite)
            whole = i > 0 ? digest_combine(&whole, &share, part->size_bytes) : share;
    }
    *ret_value = upload->checksum_composite ? digest_final(&digest) : whole;
    return !named || whole_compare(s, ret_value, wanted->count);
}

/* x-amz-checksum-type says again what the upload was made with. */
static bool complete_type_ok(S3Req *s, const StoreUpload *upload)
{
    Str type = s3_field(s, "x-amz-checksum-type");
    bool composite = str_ieq(type, STR("COMPOSITE"));
    size_t values = 0;
    for (size_t i = 0; i < s->request.field_count; i++)
        values += s3_checksum_field(s->request.fields[i].name) != DIGEST_NONE;
    if (values > 1)
        return s3_many_checksums(s);
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
    xml_field(&w, "Location", s3_location(s));
    xml_field(&w, "Bucket", s->bucket);
    xml_field(&w, "Key", s->key);
    xml_field(&w, "ETag", s3_quoted_etag(s, info));
    if (info->checksum.kind != DIGEST_NONE) {
        xml_field(&w, s3_checksum_element(info->checksum.kind), s3_checksum_text(s, info));
        xml_field(&w, "ChecksumType", s3_checksum_type(info->checksum_composite));
    }
    xml_close(&w, "CompleteMultipartUploadResult");
    if (s->info.versioning == VERSIONING_ENABLED)
        http_reply_header(s->r, "x-amz-version-id",
                          s3_version_text(s, info->sequence, info->null_version));
    s3_reply_xml(s, 200, &body);
}

void s3_complete_upload(S3Req *s)
{
    StoreUpload upload;
    Wanted wanted = { 0 };
    StoreComplete complete = { .bucket = s->bucket, .key = s->key };
    ObjectInfo info;
    Err err;
    if (!s3_upload_take(s))
        return;
    if (s3_completed_before(s) || !s3_upload_get(s, &upload) || !s3_conditions_of_put(s) ||
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
    complete.id = s->upload.id;
    complete.parts = wanted.parts;
    complete.part_count = wanted.count;
    complete.condition = s->condition;
    complete.if_sequence = s->if_sequence;
    Code code = api_upload_complete(&s->call, &complete, upload.checksum_composite, &info, &err);
    if (code == E_INVALID) {
        if (!s3_completed_before(s))
            s3_fail(s, S3_InvalidPart);
        return;
    }
    if (code != E_OK) {
        s3_upload_fail(s, &err);
        return;
    }
    complete_answer(s, &info);
}
