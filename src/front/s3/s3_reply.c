/* Answers: S3's errors, XML, and the texts of dates, versions and ETags. */
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
    xml_field(&w, "HostId", STR("tarn"));
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

bool s3_fail_err(S3Req *s, const Err *err)
{
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

/* The number with its complement, so that a mistyped one is no other version. */
Str s3_version_text(S3Req *s, uint64_t sequence, bool null_version)
{
    if (null_version)
        return STR("null");
    return str_format(s->arena, "%016llx%08x", (unsigned long long)sequence,
                      (unsigned)((sequence ^ sequence >> 32) * 2654435761u));
}

bool s3_version_parse(S3Req *s, Str text, uint64_t *ret_sequence)
{
    uint64_t sequence = 0;
    if (str_eq(text, STR("null"))) {
        *ret_sequence = STORE_VERSION_NULL;
        return true;
    }
    for (size_t i = 0; i < 16 && i < text.len; i++) {
        const char *digit = strchr("0123456789abcdef", text.ptr[i]);
        sequence = sequence << 4 | (uint64_t)(digit && *digit ? digit - "0123456789abcdef" : 0);
    }
    *ret_sequence = sequence;
    if (sequence != 0 && str_eq(s3_version_text(s, sequence, false), text))
        return true;
    return s3_fail_argument(s, "versionId", text, STR("Invalid version id specified"));
}

Str s3_http_date(Arena *arena, int64_t time_us)
{
    static const char days[7][4] = { "Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed" };
    static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    int64_t seconds = time_us / 1000000, day = seconds / 86400, year;
    unsigned month, of_month, left = (unsigned)(seconds % 86400);
    civil_from_days(day, &year, &month, &of_month);
    return str_format(arena, "%s, %02u %s %04lld %02u:%02u:%02u GMT", days[day % 7], of_month,
                      months[month - 1], (long long)year, left / 3600, left / 60 % 60, left % 60);
}

Str s3_iso_date(Arena *arena, int64_t time_us)
{
    Str whole = time_format(arena, time_us); /* 2026-11-22T18:25:00.000000Z */
    return str_format(arena, STR_FMT ".%03dZ", STR_ARG(str_sub(whole, 0, 19)),
                      (int)(time_us / 1000 % 1000));
}

Str s3_quoted_etag(S3Req *s, const ObjectInfo *info)
{
    return str_format(s->arena, "\"" STR_FMT "\"", STR_ARG(object_etag(s->arena, info)));
}

bool s3_etag_is(Str wanted, Str etag)
{
    wanted = str_trim(wanted);
    if (str_starts(wanted, STR("W/")))
        wanted = str_from(wanted, 2);
    if (wanted.len >= 2 && wanted.ptr[0] == '"' && wanted.ptr[wanted.len - 1] == '"')
        wanted = str_sub(wanted, 1, wanted.len - 2);
    return str_eq(wanted, etag);
}

void s3_put_encoded(XmlWriter *w, const char *name, Str text, bool url)
{
    Buf out AUTO(buf_done);
    buf_init(&out, text.len * 3 + 1);
    if (url)
        url_encode(&out, text, true);
    xml_field(w, name, url ? buf_str(&out) : text);
}

Str s3_number(S3Req *s, uint64_t number)
{
    return str_format(s->arena, "%llu", (unsigned long long)number);
}

Str s3_base64(Arena *arena, Str bytes)
{
    Buf out AUTO(buf_done);
    buf_init(&out, bytes.len * 2 + 8);
    base64_put(&out, bytes);
    return str_copy(arena, buf_str(&out));
}
