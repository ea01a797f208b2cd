/* Answers: S3's errors and XML. */
#include "front/s3/s3_priv.h"

#include "base/text.h"

#include <string.h>

enum { ERROR_BYTES_MAX = 512 << 10 };

static const S3Error errors[S3_CODES] = {
#define S3_ERROR(code, status, text) { #code, status, text },
#include "front/s3/s3_errors.def"
#undef S3_ERROR
};

const S3Error *s3_error(S3Code code)
{
    return &errors[code];
}

static bool answer(S3Req *s, const char *code, int status, Str message, const S3Detail *details,
                   size_t count)
{
    Buf body;
    buf_init(&body, ERROR_BYTES_MAX);
    XmlWriter w = xml_writer(&body);
    bool sts = s->op && s->op->run == s3_sts;
    if (sts)
        xml_open_in(&w, "ErrorResponse", "https://sts.amazonaws.com/doc/2011-06-15/");
    xml_open(&w, "Error");
    if (sts)
        xml_field(&w, "Type", status < 500 ? STR("Sender") : STR("Receiver"));
    xml_field(&w, "Code", str_z(code));
    xml_field(&w, "Message", message);
    for (size_t i = 0; i < count; i++) {
        if (details[i].value.len > 0)
            xml_field(&w, details[i].name, details[i].value);
    }
    xml_field(&w, "Resource", http_req_path(s->r));
    xml_field(&w, "RequestId", http_req_id(s->r));
    xml_field(&w, "HostId", STR(S3_HOST_ID));
    xml_close(&w, "Error");
    if (sts) {
        xml_field(&w, "RequestId", http_req_id(s->r));
        xml_close(&w, "ErrorResponse");
    }
    if (status == 503)
        http_reply_header(s->r, "Retry-After", STR("1"));
    http_reply_take(s->r, status, "application/xml", &body);
    return false;
}

/* The code that AWS has for what the HTTP core says by a status alone. */
static S3Code code_of_status(int status)
{
    static const struct {
        int status;
        S3Code code;
    } codes[] = { { 404, S3_InvalidURI },         { 405, S3_MethodNotAllowed },
                  { 408, S3_RequestTimeout },     { 411, S3_MissingContentLength },
                  { 413, S3_EntityTooLarge },     { 414, S3_InvalidURI },
                  { 429, S3_SlowDown },           { 431, S3_RequestHeaderSectionTooLarge },
                  { 500, S3_InternalError },      { 501, S3_NotImplemented },
                  { 503, S3_SlowDown },           { 504, S3_ServiceUnavailable },
                  { 507, S3_InsufficientStorage } };
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        if (codes[i].status == status)
            return codes[i].code;
    }
    return status < 500 || status == 505 ? S3_BadRequest : S3_InternalError;
}

/* A status that says which version of HTTP or which expectation is wrong stays; others become those
 * of their codes, which clients of S3 know. */
int s3_problem(const HttpProblem *problem, Buf *out)
{
    const S3Error *error = s3_error(code_of_status(problem->status));
    bool own = code_of_status(problem->status) == S3_BadRequest;
    Str text = str_z(own && problem->err->text[0] ? problem->err->text : error->message);
    XmlWriter w = xml_writer(out);
    xml_open(&w, "Error");
    xml_field(&w, "Code", str_z(error->code));
    xml_field(&w, "Message", text);
    if (problem->path.len > 0)
        xml_field(&w, "Resource", problem->path);
    if (problem->id.len > 0)
        xml_field(&w, "RequestId", problem->id);
    xml_field(&w, "HostId", STR(S3_HOST_ID));
    xml_close(&w, "Error");
    return own ? problem->status : error->status;
}

bool s3_fail_with(S3Req *s, S3Code code, Str message, const char *detail, Str value)
{
    S3Detail details[] = { { detail, value } };
    return s3_fail_details(s, code, message, details, detail ? 1 : 0);
}

bool s3_fail_details(S3Req *s, S3Code code, Str message, const S3Detail *details, size_t count)
{
    return answer(s, errors[code].code, errors[code].status,
                  message.ptr ? message : str_z(errors[code].message), details, count);
}

bool s3_fail_argument(S3Req *s, const char *name, Str value, Str message)
{
    S3Detail details[] = { { "ArgumentName", str_z(name) }, { "ArgumentValue", value } };
    return s3_fail_details(s, S3_InvalidArgument, message, details, ARRAY_LEN(details));
}

bool s3_fail(S3Req *s, S3Code code)
{
    return s3_fail_with(s, code, STR_NONE, NULL, STR_NONE);
}

bool s3_fail_text(S3Req *s, S3Code code, Str message)
{
    return s3_fail_with(s, code, message, NULL, STR_NONE);
}

static Str hex_bytes(Arena *arena, Str text)
{
    Buf out;
    buf_init(&out, text.len * 3 + 1);
    for (size_t i = 0; i < text.len; i++)
        buf_format(&out, "%s%02x", i ? " " : "", (uint8_t)text.ptr[i]);
    Str copy = str_copy(arena, buf_str(&out));
    buf_done(&out);
    return copy;
}

bool s3_fail_signature(S3Req *s, const SigFail *fail)
{
    bool mismatch = fail->string_to_sign.len > 0;
    bool argument = strcmp(fail->code, "InvalidArgument") == 0;
    Str scheme = s3_field(s, "Authorization");
    ptrdiff_t blank = str_find_char(scheme, ' ');
    Str now = time_format(s->arena, os_now_us(s->server->options.lake->os));
    bool skewed = strcmp(fail->code, "RequestTimeTooSkewed") == 0;
    S3Detail details[] = {
        { "ArgumentName", argument ? STR("Authorization") : STR_NONE },
        { "ArgumentValue", !argument   ? STR_NONE
                           : blank < 0 ? scheme
                                       : str_sub(scheme, 0, (size_t)blank) },
        { "Region", fail->region },
        { "HeadersNotSigned", fail->headers },
        { "AWSAccessKeyId", mismatch ? s->claim.access_key : STR_NONE },
        { "StringToSign", fail->string_to_sign },
        { "SignatureProvided", mismatch ? s->claim.signature : STR_NONE },
        { "StringToSignBytes", mismatch ? hex_bytes(s->arena, fail->string_to_sign) : STR_NONE },
        { "CanonicalRequest", fail->canonical },
        { "CanonicalRequestBytes", mismatch ? hex_bytes(s->arena, fail->canonical) : STR_NONE },
        { "Expires", fail->expired_us ? s3_iso_date(s->arena, fail->expired_us) : STR_NONE },
        { "X-Amz-Expires",
          fail->expired_us ? str_format(s->arena, "%u", s->claim.expires_s) : STR_NONE },
        { "RequestTime", skewed ? s->claim.amz_date : STR_NONE },
        { "ServerTime", skewed || fail->expired_us ? now : STR_NONE },
        { "MaxAllowedSkewMilliseconds", skewed ? STR("900000") : STR_NONE },
    };
    return answer(s, fail->code, fail->status, fail->message, details, ARRAY_LEN(details));
}

bool s3_may_list(S3Req *s, Str bucket)
{
    return api_key_allowed(&s->call, &s->grant, "s3:ListBucket", bucket, STR_NONE);
}

bool s3_fail_err(S3Req *s, const Err *err)
{
    bool missing = err->code == E_NOT_FOUND || err->code == E_GONE;
    if (missing && s->key.len > 0 && !s3_may_list(s, s->bucket))
        return s3_fail(s, S3_AccessDenied);
    switch (err->code) {
    case E_NOT_FOUND:
        return s3_fail_with(s, S3_NoSuchKey, STR_NONE, "Key", s->key);
    case E_GONE: {
        S3Detail details[] = { { "Key", s->key }, { "VersionId", s3_param(s, "versionId") } };
        return s3_fail_details(s, S3_NoSuchVersion, STR_NONE, details, ARRAY_LEN(details));
    }
    case E_NO_SPACE:
        return s3_fail(s, S3_InsufficientStorage);
    case E_PRECONDITION:
        return s3_fail(s, S3_PreconditionFailed);
    case E_FORBIDDEN:
        return s3_fail(s, S3_AccessDenied);
    case E_UNAVAILABLE:
    case E_TIMEOUT:
        return s3_fail(s, S3_SlowDown);
    default:
        break;
    }
    const CodeInfo *info = code_info(err->code);
    return answer(s, info->s3, info->http, str_z(err->text[0] ? err->text : info->text), NULL, 0);
}

void s3_reply_xml(S3Req *s, int status, Buf *take_body)
{
    Err err;
    if (buf_end(take_body, "the answer", &err) != E_OK) {
        buf_done(take_body);
        s3_fail_err(s, &err);
        return;
    }
    http_reply_take(s->r, status, "application/xml", take_body);
}

void s3_reply_empty(S3Req *s, int status)
{
    http_reply(s->r, status, NULL, STR(""));
}
