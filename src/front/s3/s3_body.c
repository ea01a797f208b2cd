/* Bodies: how they are encoded is said by x-amz-content-sha256 alone; every digest that came is
 * compared.
 *
 *   x-amz-content-sha256                            the bytes
 *   HEX                                             as they are, their SHA-256
 *   UNSIGNED-PAYLOAD                                as they are
 *   STREAMING-UNSIGNED-PAYLOAD-TRAILER              aws-chunked, a checksum behind them
 *   STREAMING-AWS4-HMAC-SHA256-PAYLOAD              aws-chunked, each chunk signed
 *   STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER      the same with signed trailers */
#include "front/s3/s3_priv.h"

#include "base/text.h"

#include <string.h>

enum { OVERHANG_BYTES_MAX = 64 << 10 }; /* read, to say what is wrong with it */

const Str s3_algorithms_text =
    STR_INIT("Checksum algorithm provided is unsupported. Please try again with any of the valid "
             "types: [CRC32, CRC32C, CRC64NVME, MD5, SHA1, SHA256, SHA512, XXHASH128, "
             "XXHASH3, XXHASH64]");

DigestKind s3_checksum_field(Str name)
{
    DigestKind kind;
    Str prefix = STR("x-amz-checksum-");
    if (!str_istarts(name, prefix) || !digest_parse(str_from(name, prefix.len), &kind))
        return DIGEST_NONE;
    return kind;
}

static const struct {
    const char *payload;
    bool is_signed, has_trailer;
} encodings[] = {
    { "STREAMING-UNSIGNED-PAYLOAD-TRAILER", false, true },
    { "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", true, false },
    { "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", true, true },
};

static bool encoding_take(S3Req *s)
{
    Str payload = s->claim.payload, decoded = s3_field(s, "x-amz-decoded-content-length");
    for (size_t i = 0; i < ARRAY_LEN(encodings); i++) {
        if (!str_eq(payload, str_z(encodings[i].payload)))
            continue;
        s->aws_chunked = true;
        if (s->op->body == S3_BODY_XML && strcmp(s->op->method, "PUT") == 0)
            return s3_fail_text(s, S3_InvalidRequest,
                                STR("The value of x-amz-content-sha256 header is invalid."));
        s->chunks_signed = encodings[i].is_signed;
        aws_chunks_init(&s->chunks, encodings[i].is_signed, encodings[i].has_trailer);
        if (encodings[i].is_signed) {
            sig_chain_init(&s->chain, &s->claim, &s->sig_key);
            digest_init(&s->chunk_sha, DIGEST_SHA256);
        }
        if (!decoded.ptr)
            return s3_fail(s, S3_MissingContentLength);
        if (!str_i64(decoded, &s->decoded_length) || s->decoded_length < 0)
            return s3_fail(s, S3_MissingContentLength);
        return true;
    }
    return true;
}

bool s3_payload_form(S3Req *s)
{
    Str payload = s->claim.payload;
    bool hex = payload.len == 64;
    for (size_t i = 0; i < payload.len; i++)
        hex = hex && strchr("0123456789abcdefABCDEF", payload.ptr[i]);
    if (hex || str_eq(payload, STR("UNSIGNED-PAYLOAD")))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(encodings); i++) {
        if (str_eq(payload, str_z(encodings[i].payload)))
            return true;
    }
    return s3_fail_argument(
        s, "x-amz-content-sha256", s->claim.payload,
        STR("x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, "
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER, "
            "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD, "
            "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER or a valid sha256 value."));
}

/* HTTP/2 ends a body without a length; in HTTP/1.1 none at all would be an object of nothing. */
bool s3_length_said(S3Req *s)
{
    bool said = s3_field(s, "Content-Length").ptr || s3_field(s, "x-amz-decoded-content-length").ptr;
    bool framed = http_req_length(s->r) >= 0 && str_eq(http_req_version(s->r), STR("HTTP/2"));
    return said || framed || s3_fail(s, S3_MissingContentLength);
}

bool s3_many_checksums(S3Req *s)
{
    return s3_fail_text(s, S3_InvalidRequest,
                        STR("Expecting a single x-amz-checksum- header. Multiple checksum Types "
                            "are not allowed."));
}

/* "x-amz-checksum-crc16": a digest that there is not; not "-type", "-mode" and "-algorithm". */
static bool algorithm_named(Str field)
{
    Str prefix = STR("x-amz-checksum-"), name = str_from(field, MIN(prefix.len, field.len));
    return str_istarts(field, prefix) && !str_ieq(name, STR("type")) &&
           !str_ieq(name, STR("mode")) && !str_ieq(name, STR("algorithm"));
}

/* x-amz-sdk-checksum-algorithm names what else was sent; only bodies of objects have it checked. */
static bool sdk_algorithm_ok(S3Req *s)
{
    Str name = s3_field(s, "x-amz-sdk-checksum-algorithm");
    DigestKind kind;
    if (name.len == 0 || s->op->body == S3_BODY_XML || s3_field(s, "x-amz-copy-source").ptr)
        return true;
    if (!digest_parse(name, &kind))
        return s3_fail_text(s, S3_InvalidRequest, s3_algorithms_text);
    if (s->checksum_kind == DIGEST_NONE)
        return s3_fail_text(s, S3_InvalidRequest,
                            STR("x-amz-sdk-checksum-algorithm specified, but no corresponding "
                                "x-amz-checksum-* or x-amz-trailer headers were found."));
    return kind == s->checksum_kind ||
           s3_fail_text(s, S3_InvalidRequest,
                        STR("Value for x-amz-sdk-checksum-algorithm header is invalid."));
}

static bool upload_algorithm_ok(S3Req *s)
{
    DigestKind kind = s->checksum_kind;
    if (s->checksum_bound == DIGEST_NONE || kind == s->checksum_bound ||
        s3_field(s, "x-amz-copy-source").ptr || (kind == DIGEST_NONE && !s->checksum_needed))
        return true;
    return s3_fail_text(
        s, S3_InvalidRequest,
        str_format(s->arena,
                   "Checksum Type mismatch occurred, expected checksum Type: %s, actual checksum "
                   "Type: %s",
                   digest_name(s->checksum_bound),
                   kind == DIGEST_NONE ? "null" : digest_name(kind)));
}

/* The checksum that a header or a trailer brings; at most one. */
static bool checksum_take(S3Req *s)
{
    if (s->op->run == s3_complete_upload) /* its fields speak of the object, not of the list */
        return true;
    size_t found = 0;
    Str trailer = s3_field(s, "x-amz-trailer"), one;
    for (size_t i = 0; i < s->request.field_count; i++) {
        DigestKind kind = s3_checksum_field(s->request.fields[i].name);
        if (kind == DIGEST_NONE && algorithm_named(s->request.fields[i].name))
            return s3_fail_text(
                s, S3_InvalidRequest,
                STR("The algorithm type you specified in x-amz-checksum- header is invalid."));
        if (kind == DIGEST_NONE)
            continue;
        if (found++ > 0)
            return s3_many_checksums(s);
        s->checksum_kind = kind;
        s->checksum_wanted = s->request.fields[i].value;
    }
    if (found > 0) {
        DigestKind kind = s->checksum_kind;
        Str bytes;
        if (!base64_parse(s->arena, s->checksum_wanted, &bytes) || bytes.len != digest_len(kind))
            return s3_fail_text(
                s, S3_InvalidRequest,
                str_format(s->arena, "Value for %s header is invalid.", s3_checksum_name(kind)));
    }
    while (trailer.ptr && str_split(&trailer, ',', &one)) {
        DigestKind kind = s3_checksum_field(str_trim(one));
        if (kind == DIGEST_NONE)
            return s3_fail_text(
                s, S3_InvalidRequest,
                STR("The value specified in the x-amz-trailer header is not supported"));
        s->checksum_kind = kind;
        s->checksum_wanted = STR_NONE;
        found++;
    }
    if (found > 1)
        return s3_many_checksums(s);
    return sdk_algorithm_ok(s) && upload_algorithm_ok(s);
}

static bool md5_check_form(S3Req *s)
{
    Str wanted = s3_field(s, "Content-MD5"), bytes;
    if (!wanted.ptr || (base64_parse(s->arena, wanted, &bytes) && bytes.len == 16))
        return true;
    return s3_fail_with(s, S3_InvalidDigest, STR_NONE, "Content-MD5", wanted);
}

/* Compared by the store, with those of the others of its group; what it would be compared behind is not there. */
static bool sha256_is_later(S3Req *s)
{
    Str bytes;
    if (!s->md5_later || s->checksum_kind != DIGEST_NONE || !api_put_later_hashes() ||
        !hex_parse(s->arena, str_lower(s->arena, s->claim.payload), &bytes) || bytes.len != sizeof s->sha256_wanted)
        return false;
    memcpy(s->sha256_wanted, bytes.ptr, sizeof s->sha256_wanted);
    return true;
}

bool s3_body_begin(S3Req *s)
{
    Err err;
    s->decoded_length = -1;
    buf_init(&s->text, S3_XML_BODY_MAX);
    if (!encoding_take(s))
        return false;
    bool carries = s->op->body != S3_BODY_NONE;
    if (!carries)
        return true;
    if (!checksum_take(s) || !md5_check_form(s))
        return false;
    bool object = s->op->body == S3_BODY_STREAM || s->op->body == S3_BODY_PART;
    if (!object && http_req_length(s->r) > S3_XML_BODY_MAX)
        return s3_fail(s, S3_MaxMessageLengthExceeded);
    int64_t length = s->aws_chunked ? s->decoded_length : http_req_length(s->r);
    if (object && length > (int64_t)S3_OBJECT_BYTES_MAX)
        return s3_fail(s, S3_EntityTooLarge);
    s->md5_later = http_req_on_loop(s->r) && s->op->run == s3_put_object && !s3_field(s, "Content-MD5").ptr;
    digest_init(&s->md5, s->md5_later ? DIGEST_NONE : DIGEST_MD5);
    if (s->op->body == S3_BODY_STREAM && s->checksum_default == DIGEST_NONE)
        s->checksum_default = DIGEST_CRC64NVME;
    digest_init(&s->checksum,
                s->checksum_kind != DIGEST_NONE ? s->checksum_kind : s->checksum_default);
    if (s->checksum_open && s->checksum_kind != DIGEST_NONE && s->checksum_kind != DIGEST_CRC64NVME)
        digest_init(&s->whole, DIGEST_CRC64NVME);
    s->has_digests = true;
    bool copies = s3_field(s, "x-amz-copy-source").ptr != NULL;
    if (!object || copies) {
        digest_init(&s->payload_sha, DIGEST_SHA256);
        return true;
    }
    if (api_stage(&s->call, s->op->body == S3_BODY_PART, &s->staged, &err) != E_OK)
        return s3_fail_err(s, &err);
    if (length > 0)
        api_stage_expect(s->staged, (uint64_t)length);
    if (s->aws_chunked || str_eq(s->claim.payload, STR("UNSIGNED-PAYLOAD")))
        api_stage_unhashed(s->staged);
    else if ((s->sha256_later = sha256_is_later(s)))
        api_stage_unhashed(s->staged);
    else if ((s->md5_staged = !s->md5_later))
        api_stage_md5(s->staged, &s->md5);
    return true;
}

static bool length_wrong(S3Req *s)
{
    return s3_fail_text(s, S3_IncompleteBody,
                        STR("You did not provide the number of bytes specified by the "
                            "Content-Length HTTP header"));
}

static bool data_take(S3Req *s, Str data)
{
    Err err;
    s->body_bytes += data.len;
    if (s->op->body == S3_BODY_NONE)
        return data.len == 0 ||
               s3_fail_text(s, S3_InvalidRequest,
                            STR("The request included a body. Requests of this type must not "
                                "include a non-empty body."));
    if (s->decoded_length >= 0 && s->body_bytes > (uint64_t)s->decoded_length) /* judged at its end */
        return s->body_bytes <= (uint64_t)s->decoded_length + OVERHANG_BYTES_MAX || length_wrong(s);
    if (!s->md5_staged)
        digest_update(&s->md5, data);
    digest_update(&s->checksum, data);
    digest_update(&s->whole, data);
    if (s->staged)
        return (s->block_stays ? api_stage_lend : api_stage_write)(s->staged, data, &err) == E_OK ||
               s3_fail_err(s, &err);
    digest_update(&s->payload_sha, data);
    buf_put(&s->text, data);
    return buf_end(&s->text, "the body", &err) == E_OK || s3_fail(s, S3_MaxMessageLengthExceeded);
}

static bool chunk_end(S3Req *s)
{
    if (!s->chunks_signed)
        return true;
    DigestValue sha = digest_final(&s->chunk_sha);
    digest_done(&s->chunk_sha);
    digest_init(&s->chunk_sha, DIGEST_SHA256);
    if (sig_chain_chunk(&s->chain, sha.bytes, s->chunks.signature))
        return true;
    SigFail fail = { .code = "SignatureDoesNotMatch",
                     .status = 403,
                     .message =
                         STR("The request signature we calculated does not match the signature you "
                             "provided. Check your key and signing method.") };
    return s3_fail_signature(s, &fail);
}

static bool chunks_refuse(S3Req *s)
{
    switch (s->chunks.fault) {
    case AWS_FAULT_CHUNK_SIZE:
        return s3_fail(s, S3_InvalidChunkSizeError);
    case AWS_FAULT_TRAILER:
        return s3_fail(s, S3_MalformedTrailerError);
    case AWS_FAULT_NONE:
    case AWS_FAULT_SYNTAX:
    case AWS_FAULT_SIGNATURE:
        break;
    }
    return s3_fail(s, S3_IncompleteBody);
}

bool s3_body_take(S3Req *s, Str bytes)
{
    Str data;
    if (!s->aws_chunked)
        return data_take(s, bytes);
    while (bytes.len > 0) {
        if (s->chunks_over)
            return s->chunks.has_trailer
                       ? s3_fail(s, S3_MalformedTrailerError)
                       : s3_fail_text(s, S3_InvalidRequest,
                                      STR("Bytes follow the last chunk of the body."));
        switch (aws_chunks_next(&s->chunks, &bytes, &data)) {
        case AWS_CHUNKS_DATA:
            if (s->chunks_signed)
                digest_update(&s->chunk_sha, data);
            if (!data_take(s, data))
                return false;
            break;
        case AWS_CHUNKS_CHUNK_END:
            if (!chunk_end(s))
                return false;
            break;
        case AWS_CHUNKS_DONE:
            s->chunks_over = true;
            break;
        case AWS_CHUNKS_REFUSE:
            return chunks_refuse(s);
        case AWS_CHUNKS_MORE:
            break;
        }
    }
    return true;
}

/* STR_NONE: the trailers do not end as signed ones do. */
static Str trailer_signature(const S3Req *s)
{
    Str rest = buf_str(&s->chunks.trailers), name, value;
    while (aws_trailer_next(&rest, &name, &value)) {
        if (str_eq(name, STR("x-amz-trailer-signature")))
            return value.len == SIG_LEN ? value : STR_NONE;
    }
    return STR_NONE;
}

static bool trailers_take(S3Req *s)
{
    Str rest = buf_str(&s->chunks.trailers), name, value, signature = trailer_signature(s);
    Buf signed_part AUTO(buf_done);
    size_t found = 0;
    buf_init(&signed_part, AWS_CHUNK_TRAILER_MAX);
    if (s->chunks_signed && s->chunks.has_trailer && !signature.ptr)
        return s3_fail(s, S3_IncompleteBody);
    while (aws_trailer_next(&rest, &name, &value)) {
        if (str_eq(name, STR("x-amz-trailer-signature")))
            continue;
        buf_format(&signed_part, STR_FMT ":" STR_FMT "\n", STR_ARG(name), STR_ARG(value));
        if (s3_checksum_field(name) != s->checksum_kind || s->checksum_kind == DIGEST_NONE ||
            found++ > 0)
            return s3_fail(s, S3_MalformedTrailerError);
        s->checksum_wanted = str_copy(s->arena, value);
    }
    if (s->checksum_kind != DIGEST_NONE && !s->checksum_wanted.ptr)
        return s3_fail(s, S3_MalformedTrailerError);
    if (s->chunks_signed && s->chunks.has_trailer &&
        !sig_chain_trailer(&s->chain, buf_str(&signed_part), signature)) {
        SigFail fail = { .code = "SignatureDoesNotMatch",
                         .status = 403,
                         .message = STR(
                             "The request signature we calculated does not match the signature you "
                             "provided. Check your key and signing method.") };
        return s3_fail_signature(s, &fail);
    }
    return true;
}

static bool md5_wrong(S3Req *s, Str expected, Str computed)
{
    S3Detail details[] = { { "CalculatedDigest", s3_base64(s->arena, computed) },
                           { "ExpectedDigest", hex_format(s->arena, expected) } };
    return s3_fail_details(s, S3_BadDigest, STR_NONE, details, ARRAY_LEN(details));
}

static bool digests_compare(S3Req *s)
{
    Str md5 = s3_field(s, "Content-MD5"), bytes;
    DigestValue value = digest_final(&s->md5);
    memcpy(s->md5_bytes, value.bytes, sizeof s->md5_bytes);
    if (md5.ptr && (!base64_parse(s->arena, md5, &bytes) || !str_eq(bytes, digest_str(&value))))
        return md5_wrong(s, bytes, digest_str(&value));
    if (s3_field(s, "x-amz-copy-source").ptr) /* its checksum is of the bytes that are copied */
        return true;
    if (s->checksum_kind != DIGEST_NONE || s->checksum_default != DIGEST_NONE)
        s->checksum_value = digest_final(&s->checksum);
    if (s->checksum_kind == DIGEST_NONE)
        return true;
    if (!base64_parse(s->arena, s->checksum_wanted, &bytes) ||
        bytes.len != digest_len(s->checksum_kind))
        return s3_fail_text(
            s, S3_InvalidRequest,
            str_format(s->arena, "Value for %s trailing header is invalid.",
                       s3_checksum_name(s->checksum_kind)));
    if (!str_eq(bytes, digest_str(&s->checksum_value)))
        return s3_fail_text(
            s, S3_BadDigest,
            str_format(s->arena, "The %s you specified did not match the calculated checksum.",
                       digest_name(s->checksum_kind)));
    return true;
}

static bool sha_wrong(S3Req *s, Str computed)
{
    S3Detail details[] = { { "ClientComputedContentSHA256", s->claim.payload },
                           { "S3ComputedContentSHA256", computed } };
    return s3_fail_details(s, S3_XAmzContentSHA256Mismatch, STR_NONE, details, ARRAY_LEN(details));
}

static bool payload_compare(S3Req *s)
{
    Str payload = s->claim.payload, wanted;
    Err err;
    DigestValue sha = { .kind = DIGEST_SHA256 };
    if (s->staged && api_stage_finish(s->staged, &err) != E_OK)
        return s3_fail_err(s, &err);
    if (s->aws_chunked || s->sha256_later || str_eq(payload, STR("UNSIGNED-PAYLOAD")))
        return true;
    if (s->staged)
        memcpy(sha.bytes, api_stage_sha256(s->staged), 32);
    else
        sha = digest_final(&s->payload_sha);
    if (hex_parse(s->arena, str_lower(s->arena, payload), &wanted) &&
        str_eq(wanted, digest_str(&sha)))
        return true;
    return sha_wrong(s, hex_format(s->arena, digest_str(&sha)));
}

bool s3_sha256_wrong(S3Req *s, const uint8_t sha256[32])
{
    return sha_wrong(s, hex_format(s->arena, str_of(sha256, 32)));
}

/* A request without a body says its SHA-256 too. */
bool s3_empty_compare(S3Req *s)
{
    DigestValue sha = digest_of(DIGEST_SHA256, STR(""));
    Str computed = hex_format(s->arena, digest_str(&sha)), payload = s->claim.payload;
    return s->aws_chunked || payload.len != computed.len || str_ieq(payload, computed) ||
           sha_wrong(s, computed);
}

bool s3_body_end(S3Req *s)
{
    if (s->aws_chunked && !s->chunks_over)
        return s3_fail(s, S3_IncompleteBody);
    if (s->decoded_length >= 0 && s->body_bytes != (uint64_t)s->decoded_length)
        return length_wrong(s);
    if (s->op->body == S3_BODY_NONE)
        return true;
    if (s->aws_chunked && !trailers_take(s))
        return false;
    return payload_compare(s) && digests_compare(s);
}

void s3_body_free(S3Req *s)
{
    api_stage_abort(&s->staged);
    aws_chunks_done(&s->chunks);
    digest_done(&s->chunk_sha);
    digest_done(&s->payload_sha);
    digest_done(&s->md5);
    digest_done(&s->checksum);
    digest_done(&s->whole);
    buf_done(&s->text);
}
