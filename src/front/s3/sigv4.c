/* The canonical request is made from decoded parts and encoded again, since clients differ in what
 * they leave raw; where that gives another signature, the path as it was sent is tried. */
#include "front/s3/sigv4.h"

#include "base/buf.h"
#include "base/text.h"
#include "format/checksum.h"

#include <stdlib.h>
#include <string.h>

#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define CREDENTIAL_FORM "expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\"."

enum { CANONICAL_BYTES = 1024, CANONICAL_BYTES_MAX = 256 << 10 };

typedef struct Pair {
    Str name, value; /* encoded */
} Pair;

/* ---- failures ---- */

static bool fail(SigFail *ret_fail, const char *code, int status, Str message)
{
    *ret_fail = (SigFail){ .code = code, .status = status, .message = message };
    return false;
}

static bool malformed(SigKind kind, Arena *arena, SigFail *ret_fail, Str what)
{
    if (kind == SIG_QUERY)
        return fail(ret_fail, "AuthorizationQueryParametersError", 400,
                    str_format(arena, "Error parsing the X-Amz-Credential parameter; " STR_FMT,
                               STR_ARG(what)));
    return fail(
        ret_fail, "AuthorizationHeaderMalformed", 400,
        str_format(arena, "The authorization header is malformed; " STR_FMT, STR_ARG(what)));
}

static bool query_fail(SigFail *ret_fail, const char *message)
{
    return fail(ret_fail, "AuthorizationQueryParametersError", 400, str_z(message));
}

/* ---- looking into the request ---- */

static Str field(const SigRequest *request, const char *name)
{
    for (size_t i = 0; i < request->field_count; i++) {
        if (str_ieq(request->fields[i].name, str_z(name)))
            return request->fields[i].value;
    }
    return STR_NONE;
}

static bool query_next(Str *rest, Arena *arena, Str *ret_name, Str *ret_value)
{
    Str pair;
    while (rest->ptr && rest->len > 0 && str_split(rest, '&', &pair)) {
        if (pair.len == 0)
            continue;
        ptrdiff_t equals = str_find_char(pair, '=');
        Str name = equals < 0 ? pair : str_sub(pair, 0, (size_t)equals);
        Str value = equals < 0 ? STR("") : str_from(pair, (size_t)equals + 1);
        if (!url_decode_form(arena, name, ret_name))
            *ret_name = name;
        if (!url_decode_form(arena, value, ret_value))
            *ret_value = value;
        return true;
    }
    return false;
}

static Str parameter(const SigRequest *request, Arena *arena, const char *wanted)
{
    Str rest = request->query, name, value;
    while (query_next(&rest, arena, &name, &value)) {
        if (str_eq(name, str_z(wanted)))
            return value;
    }
    return STR_NONE;
}

/* ---- the claim ---- */

static bool digits(Str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
    }
    return text.len > 0;
}

static bool amz_date_parse(Str text, int64_t *ret_us)
{
    char iso[20];
    if (text.len != 16 || text.ptr[8] != 'T' || text.ptr[15] != 'Z' ||
        !digits(str_sub(text, 0, 8)) || !digits(str_sub(text, 9, 6)))
        return false;
    const char *t = text.ptr;
    memcpy(iso, (char[]){ t[0], t[1], t[2],  t[3], '-',   t[4],  t[5], '-',   t[6],  t[7],
                          'T',  t[9], t[10], ':',  t[11], t[12], ':',  t[13], t[14], 'Z' },
           sizeof iso);
    return time_parse(str_of(iso, sizeof iso), ret_us);
}

/* "Sun, 22 Nov 2026 18:00:00 GMT" as an X-Amz-Date would say it. */
static bool http_date_convert(Str text, Arena *arena, Str *ret_amz_date)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    if (text.len != 29 || !str_ends(text, STR(" GMT")) || text.ptr[3] != ',')
        return false;
    ptrdiff_t month = str_find(str_z(months), str_sub(text, 8, 3));
    if (month < 0 || month % 3 != 0)
        return false;
    *ret_amz_date = str_format(arena, STR_FMT "%02d" STR_FMT "T" STR_FMT STR_FMT STR_FMT "Z",
                               STR_ARG(str_sub(text, 12, 4)), (int)month / 3 + 1,
                               STR_ARG(str_sub(text, 5, 2)), STR_ARG(str_sub(text, 17, 2)),
                               STR_ARG(str_sub(text, 20, 2)), STR_ARG(str_sub(text, 23, 2)));
    return true;
}

static bool credential_take(SigClaim *claim, Str credential, Str region, Str service, Arena *arena,
                            SigFail *ret_fail)
{
    Str rest = credential, parts[5];
    size_t count = 0;
    while (count < 5 && rest.ptr && str_split(&rest, '/', &parts[count]))
        count++;
    if (count != 5 || (rest.ptr && rest.len > 0) || parts[0].len == 0)
        return malformed(claim->kind, arena, ret_fail,
                         STR("the Credential is mal-formed; " CREDENTIAL_FORM));
    if (!str_eq(parts[3], service))
        return malformed(claim->kind, arena, ret_fail,
                         str_format(arena,
                                    "incorrect service \"" STR_FMT
                                    "\". This endpoint belongs to \"" STR_FMT "\".",
                                    STR_ARG(parts[3]), STR_ARG(service)));
    if (!str_eq(parts[4], STR("aws4_request")))
        return malformed(claim->kind, arena, ret_fail,
                         str_format(arena,
                                    "incorrect terminal \"" STR_FMT "\". This endpoint uses "
                                    "\"aws4_request\".",
                                    STR_ARG(parts[4])));
    if (parts[1].len != 8 || !digits(parts[1]))
        return malformed(claim->kind, arena, ret_fail,
                         str_format(arena,
                                    "incorrect date format \"" STR_FMT "\". This date in the "
                                    "credential must be in the format \"yyyyMMdd\".",
                                    STR_ARG(parts[1])));
    if (!str_eq(parts[2], region)) {
        malformed(claim->kind, arena, ret_fail,
                  str_format(arena,
                             "the region \"" STR_FMT "\" is wrong; expecting \"" STR_FMT "\"",
                             STR_ARG(parts[2]), STR_ARG(region)));
        ret_fail->region = claim->kind == SIG_HEADER ? region : STR_NONE;
        return false;
    }
    claim->access_key = parts[0];
    claim->day = parts[1];
    claim->region = parts[2];
    claim->service = parts[3];
    claim->scope = str_from(credential, parts[0].len + 1);
    return true;
}

static Str without_blanks(Arena *arena, Str text)
{
    char *copy = arena_alloc(arena, text.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != ' ' && text.ptr[i] != '\t')
            copy[len++] = text.ptr[i];
    }
    return str_of(copy, len);
}

/* "AWS4-HMAC-SHA256 Credential=...,SignedHeaders=...,Signature=..." */
static bool header_take(SigClaim *claim, Str authorization, Str *ret_credential, Arena *arena,
                        SigFail *ret_fail)
{
    static const char *const names[] = { "Credential", "SignedHeaders", "Signature" };
    Str *const values[] = { ret_credential, &claim->signed_headers, &claim->signature };
    ptrdiff_t blank = str_find_char(authorization, ' ');
    Str algorithm = blank < 0 ? authorization : str_sub(authorization, 0, (size_t)blank), part;
    if (str_eq(algorithm, STR("AWS")))
        return fail(
            ret_fail, "InvalidRequest", 400,
            STR("The authorization mechanism you have provided is not supported. Please use "
                "AWS4-HMAC-SHA256."));
    if (blank < 0 || !str_eq(algorithm, STR("AWS4-HMAC-SHA256")))
        return fail(
            ret_fail, "InvalidArgument", 400,
            blank < 0
                ? STR("Authorization header is invalid -- one and only one ' ' (space) required.")
                : STR("Unsupported Authorization Type"));
    Str rest = without_blanks(arena, str_from(authorization, (size_t)blank + 1));
    size_t count = 0;
    for (Str look = rest; look.ptr && str_split(&look, ',', &part);)
        count++;
    if (count != ARRAY_LEN(names))
        return malformed(SIG_HEADER, arena, ret_fail,
                         STR("the authorization header requires three components: Credential, "
                             "SignedHeaders, and Signature."));
    for (size_t i = 0; i < ARRAY_LEN(names) && str_split(&rest, ',', &part); i++) {
        ptrdiff_t equals = str_find_char(part, '=');
        if (equals < 0 || str_find_char(str_from(part, (size_t)equals + 1), '=') >= 0)
            return malformed(SIG_HEADER, arena, ret_fail,
                             str_format(arena,
                                        "the authorization component \"" STR_FMT "\" is malformed.",
                                        STR_ARG(part)));
        if (!str_eq(str_sub(part, 0, (size_t)equals), str_z(names[i])))
            return malformed(SIG_HEADER, arena, ret_fail,
                             str_format(arena, "missing %s.", names[i]));
        *values[i] = str_from(part, (size_t)equals + 1);
    }
    return true;
}

static bool header_claim(const SigRequest *request, Str authorization, Str region, Str service,
                         Arena *arena, SigClaim *claim, SigFail *ret_fail)
{
    Str credential = STR_NONE, date = field(request, "x-amz-date");
    claim->kind = SIG_HEADER;
    if (!header_take(claim, authorization, &credential, arena, ret_fail) ||
        !credential_take(claim, credential, region, service, arena, ret_fail))
        return false;
    if (!date.ptr && !http_date_convert(field(request, "date"), arena, &date))
        date = STR_NONE;
    if (!amz_date_parse(date, &claim->date_us))
        return fail(ret_fail, "AccessDenied", 403,
                    STR("AWS authentication requires a valid Date or x-amz-date header."));
    claim->amz_date = date;
    if (!str_eq(str_sub(date, 0, 8), claim->day))
        return malformed(
            SIG_HEADER, arena, ret_fail,
            STR("The authorization header is malformed; Invalid credential date. Date is "
                "not the same as X-Amz-Date."));
    claim->token = field(request, "x-amz-security-token");
    claim->payload = field(request, "x-amz-content-sha256");
    if (!claim->payload.ptr && !str_eq(service, STR("s3")))
        claim->payload = STR("");
    if (!claim->payload.ptr)
        return fail(ret_fail, "InvalidRequest", 400,
                    STR("Missing required header for this request: x-amz-content-sha256"));
    return true;
}

static bool expires_take(SigClaim *claim, Str text, SigFail *ret_fail)
{
    int64_t expires = 0;
    if (!str_i64(text, &expires))
        return query_fail(ret_fail, "X-Amz-Expires should be a number");
    if (expires < 0)
        return query_fail(ret_fail, "X-Amz-Expires must be non-negative");
    if (expires > SIG_EXPIRES_S_MAX)
        return query_fail(ret_fail,
                          "X-Amz-Expires must be less than a week (in seconds); that is, the "
                          "given X-Amz-Expires must be less than 604800 seconds");
    claim->expires_s = (uint32_t)expires;
    return true;
}

static bool query_claim(const SigRequest *request, Str region, Str service, Arena *arena,
                        SigClaim *claim, SigFail *ret_fail)
{
    static const char missing[] =
        "Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, "
        "X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.";
    Str algorithm = parameter(request, arena, "X-Amz-Algorithm");
    Str credential = parameter(request, arena, "X-Amz-Credential");
    Str expires = parameter(request, arena, "X-Amz-Expires");
    claim->kind = SIG_QUERY;
    claim->amz_date = parameter(request, arena, "X-Amz-Date");
    claim->signature = parameter(request, arena, "X-Amz-Signature");
    claim->signed_headers = parameter(request, arena, "X-Amz-SignedHeaders");
    if (algorithm.len == 0)
        return query_fail(ret_fail, missing);
    if (str_eq(algorithm, STR("AWS4-ECDSA-P256-SHA256")))
        return query_fail(ret_fail, "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"");
    if (!str_eq(algorithm, STR("AWS4-HMAC-SHA256")))
        return query_fail(ret_fail, "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256 and "
                                    "AWS4-ECDSA-P256-SHA256\"");
    if (credential.len == 0)
        return query_fail(ret_fail, missing);
    if (!credential_take(claim, credential, region, service, arena, ret_fail))
        return false;
    if (claim->amz_date.len == 0)
        return query_fail(ret_fail, missing);
    if (!amz_date_parse(claim->amz_date, &claim->date_us))
        return query_fail(ret_fail, "X-Amz-Date must be in the ISO8601 Long Format "
                                    "\"yyyyMMdd'T'HHmmss'Z'\"");
    if (!str_eq(str_sub(claim->amz_date, 0, 8), claim->day))
        return fail(ret_fail, "AuthorizationQueryParametersError", 400,
                    str_format(arena,
                               "Invalid credential date \"" STR_FMT "\". This date is not the same "
                               "as X-Amz-Date: \"" STR_FMT "\".",
                               STR_ARG(claim->day), STR_ARG(str_sub(claim->amz_date, 0, 8))));
    if (claim->signature.len == 0 || claim->signed_headers.len == 0 || expires.len == 0)
        return query_fail(ret_fail, missing);
    claim->token = parameter(request, arena, "X-Amz-Security-Token");
    claim->payload = field(request, "x-amz-content-sha256");
    if (!claim->payload.ptr)
        claim->payload = parameter(request, arena, "X-Amz-Content-Sha256");
    if (!claim->payload.ptr)
        claim->payload = STR("UNSIGNED-PAYLOAD");
    return expires_take(claim, expires, ret_fail);
}

static bool query_is_signed(const SigRequest *request, Arena *arena, bool *ret_version_2)
{
    static const char *const four[] = { "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature",
                                        "X-Amz-SignedHeaders", "X-Amz-Expires" };
    static const char *const two[] = { "AWSAccessKeyId", "Signature", "Expires" };
    bool found = false;
    if (request->query.len == 0)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(four); i++)
        found = found || parameter(request, arena, four[i]).ptr;
    for (size_t i = 0; i < ARRAY_LEN(two) && !found; i++)
        *ret_version_2 = *ret_version_2 || parameter(request, arena, two[i]).len > 0;
    return found || *ret_version_2;
}

bool sig_claim(const SigRequest *request, Str region, Str service, Arena *arena,
               SigClaim *ret_claim, SigFail *ret_fail)
{
    Str authorization = field(request, "authorization");
    bool version_2 = false, query = query_is_signed(request, arena, &version_2);
    *ret_claim = (SigClaim){ .kind = SIG_ANONYMOUS };
    if (authorization.ptr && query)
        return fail(
            ret_fail, "InvalidArgument", 400,
            STR("Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, "
                "Signature query string parameter or the Authorization header should be "
                "specified"));
    if (version_2)
        return fail(
            ret_fail, "InvalidRequest", 400,
            STR("The authorization mechanism you have provided is not supported. Please use "
                "AWS4-HMAC-SHA256."));
    if (authorization.ptr)
        return header_claim(request, authorization, region, service, arena, ret_claim, ret_fail);
    return !query || query_claim(request, region, service, arena, ret_claim, ret_fail);
}

bool sig_check_time(const SigClaim *claim, int64_t now_us, Arena *arena, SigFail *ret_fail)
{
    int64_t skew_us = SIG_SKEW_S * 1000000ll, late_us = now_us - claim->date_us;
    if (claim->kind == SIG_HEADER && (late_us > skew_us || late_us < -skew_us))
        return fail(
            ret_fail, "RequestTimeTooSkewed", 403,
            STR("The difference between the request time and the current time is too large."));
    if (claim->kind != SIG_QUERY)
        return true;
    if (late_us < -skew_us)
        return fail(ret_fail, "AccessDenied", 403, str_format(arena, "Request is not valid yet."));
    int64_t end_us = claim->date_us + claim->expires_s * 1000000ll;
    if (now_us > end_us) {
        fail(ret_fail, "AccessDenied", 403, STR("Request has expired."));
        ret_fail->expired_us = end_us;
        return false;
    }
    return true;
}

/* ---- the canonical request ---- */

static int pair_order(const void *a, const void *b)
{
    const Pair *x = a, *y = b;
    int order = str_cmp(x->name, y->name);
    return order ? order : str_cmp(x->value, y->value);
}

static Str encoded(Arena *arena, Str text)
{
    Buf out;
    buf_init(&out, text.len * 3 + 1);
    url_encode(&out, text, false);
    Str copy = str_copy(arena, buf_str(&out));
    buf_done(&out);
    return copy;
}

static void query_put(Buf *out, const SigRequest *request, Arena *arena)
{
    Str rest = request->query, name, value;
    size_t count = 0;
    if (rest.len == 0)
        return;
    Pair *pairs = arena_array(arena, Pair, SIG_QUERY_MAX);
    while (count < SIG_QUERY_MAX && query_next(&rest, arena, &name, &value)) {
        if (!str_eq(name, STR("X-Amz-Signature")))
            pairs[count++] = (Pair){ encoded(arena, name), encoded(arena, value) };
    }
    qsort(pairs, count, sizeof *pairs, pair_order);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_put_char(out, '&');
        buf_put(out, pairs[i].name);
        buf_put_char(out, '=');
        buf_put(out, pairs[i].value);
    }
}

static void value_put(Buf *out, Str value)
{
    bool blank = false;
    value = str_trim(value);
    for (size_t i = 0; i < value.len; i++) {
        bool is_blank = value.ptr[i] == ' ';
        if (!is_blank || !blank)
            buf_put_char(out, value.ptr[i]);
        blank = is_blank;
    }
}

static void signed_field_put(Buf *out, const SigRequest *request, Str name, Str host)
{
    bool first = true;
    buf_put(out, name);
    buf_put_char(out, ':');
    if (host.len > 0 && str_ieq(name, STR("host"))) {
        value_put(out, host);
        buf_put_char(out, '\n');
        return;
    }
    for (size_t i = 0; i < request->field_count; i++) {
        if (!str_ieq(request->fields[i].name, name))
            continue;
        if (!first)
            buf_put_char(out, ',');
        value_put(out, request->fields[i].value);
        first = false;
    }
    buf_put_char(out, '\n');
}

static void canonical_put(Buf *out, const SigRequest *request, const SigClaim *claim, Str path,
                          Str host, Arena *arena)
{
    Str rest = claim->signed_headers, name;
    buf_put(out, request->method);
    buf_put_char(out, '\n');
    buf_put(out, path);
    buf_put_char(out, '\n');
    query_put(out, request, arena);
    buf_put_char(out, '\n');
    while (rest.ptr && str_split(&rest, ';', &name))
        signed_field_put(out, request, name, host);
    buf_put_char(out, '\n');
    buf_put(out, claim->signed_headers);
    buf_put_char(out, '\n');
    buf_put(out, claim->payload);
}

static bool is_signed(const SigClaim *claim, Str name)
{
    Str rest = claim->signed_headers, one;
    while (rest.ptr && str_split(&rest, ';', &one)) {
        if (str_ieq(one, name))
            return true;
    }
    return false;
}

static bool all_signed(const SigRequest *request, const SigClaim *claim, Arena *arena,
                       SigFail *ret_fail)
{
    Str missing = is_signed(claim, STR("host")) ? STR("") : STR("host");
    for (size_t i = 0; i < request->field_count; i++) {
        Str name = request->fields[i].name;
        if (str_istarts(name, STR("x-amz-")) && !is_signed(claim, name))
            missing = str_format(arena, STR_FMT "%s" STR_FMT, STR_ARG(missing),
                                 missing.len ? ", " : "", STR_ARG(str_lower(arena, name)));
    }
    if (missing.len == 0)
        return true;
    fail(ret_fail, "AccessDenied", 403,
         STR("There were headers present in the request which were not signed"));
    ret_fail->headers = missing;
    return false;
}

SigKey sig_key(Str secret, Str day, Str region, Str service)
{
    Buf first AUTO(buf_done);
    SigKey key;
    const Str steps[] = { day, region, service, STR("aws4_request") };
    buf_init(&first, secret.len + 8);
    buf_put(&first, STR("AWS4"));
    buf_put(&first, secret);
    hmac_sha256(buf_str(&first), steps[0], key.bytes);
    for (size_t i = 1; i < ARRAY_LEN(steps); i++) {
        uint8_t next[32];
        hmac_sha256(str_of(key.bytes, sizeof key.bytes), steps[i], next);
        memcpy(key.bytes, next, sizeof next);
    }
    explicit_bzero(first.ptr, first.len);
    return key;
}

static void hex_write(const uint8_t *bytes, size_t len, char *out)
{
    static const char digit[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digit[bytes[i] >> 4];
        out[2 * i + 1] = digit[bytes[i] & 15];
    }
}

static void signature_of(Str string_to_sign, const SigKey *key, char ret_signature[SIG_LEN])
{
    uint8_t mac[32];
    hmac_sha256(str_of(key->bytes, sizeof key->bytes), string_to_sign, mac);
    hex_write(mac, sizeof mac, ret_signature);
}

static Str string_to_sign(const SigClaim *claim, Str canonical, Arena *arena)
{
    uint8_t digest[32];
    char hex[SIG_LEN];
    sha256_of(canonical, digest);
    hex_write(digest, sizeof digest, hex);
    return str_format(arena, "AWS4-HMAC-SHA256\n" STR_FMT "\n" STR_FMT "\n%.64s",
                      STR_ARG(claim->amz_date), STR_ARG(claim->scope), hex);
}

static Str path_normal(Str raw, Arena *arena)
{
    Buf out;
    Str decoded;
    if (!url_decode(arena, raw, &decoded))
        return raw;
    buf_init(&out, decoded.len * 3 + 1);
    url_encode(&out, decoded, true);
    Str path = str_copy(arena, buf_str(&out));
    buf_done(&out);
    return path;
}

static bool signature_matches(const SigRequest *request, const SigClaim *claim, const SigKey *key,
                              Str path, Str host, Arena *arena, SigFail *ret_fail)
{
    Buf canonical AUTO(buf_done);
    char signature[SIG_LEN];
    buf_init(&canonical, CANONICAL_BYTES_MAX);
    IGNORE(!buf_reserve(&canonical, CANONICAL_BYTES)); /* most have less, and grow no more */
    canonical_put(&canonical, request, claim, path, host, arena);
    if (canonical.over)
        return fail(ret_fail, "RequestHeaderSectionTooLarge", 400,
                    STR("Your request header and query exceed the maximum allowed size."));
    Str to_sign = string_to_sign(claim, buf_str(&canonical), arena);
    signature_of(to_sign, key, signature);
    if (secret_eq(str_of(signature, SIG_LEN), claim->signature))
        return true;
    fail(ret_fail, "SignatureDoesNotMatch", 403,
         STR("The request signature we calculated does not match the signature you provided. Check "
             "your "
             "key and signing method."));
    ret_fail->string_to_sign = to_sign;
    ret_fail->canonical = str_copy(arena, buf_str(&canonical));
    return false;
}

bool sig_verify(const SigRequest *request, const SigClaim *claim, const SigKey *key, Str host,
                Arena *arena, SigFail *ret_fail)
{
    SigFail other;
    Str normal = path_normal(request->path, arena);
    bool raw_differs = !str_eq(normal, request->path);
    if (!all_signed(request, claim, arena, ret_fail))
        return false;
    if (signature_matches(request, claim, key, normal, STR_NONE, arena, ret_fail))
        return true;
    if (raw_differs &&
        signature_matches(request, claim, key, request->path, STR_NONE, arena, &other))
        return true;
    return host.len > 0 && (signature_matches(request, claim, key, normal, host, arena, &other) ||
                            (raw_differs && signature_matches(request, claim, key, request->path,
                                                              host, arena, &other)));
}

bool sig_verify_policy(Str policy, Str signature, const SigKey *key)
{
    char wanted[SIG_LEN];
    signature_of(policy, key, wanted);
    return secret_eq(str_of(wanted, SIG_LEN), signature);
}

Str sig_sign(const SigRequest *request, const SigClaim *claim, const SigKey *key, Arena *arena)
{
    Buf canonical AUTO(buf_done);
    char signature[SIG_LEN];
    buf_init(&canonical, CANONICAL_BYTES_MAX);
    canonical_put(&canonical, request, claim, path_normal(request->path, arena), STR_NONE, arena);
    signature_of(string_to_sign(claim, buf_str(&canonical), arena), key, signature);
    return str_copy(arena, str_of(signature, SIG_LEN));
}

/* ---- chunks ---- */

void sig_chain_init(SigChain *chain, const SigClaim *claim, const SigKey *key)
{
    *chain = (SigChain){ .key = *key, .amz_date = claim->amz_date, .scope = claim->scope };
    memcpy(chain->previous, claim->signature.ptr, MIN(claim->signature.len, (size_t)SIG_LEN));
}

void sig_chain_sign_chunk(SigChain *chain, const uint8_t data_sha256[32],
                          char ret_signature[SIG_LEN])
{
    Buf text AUTO(buf_done);
    char hex[SIG_LEN];
    hex_write(data_sha256, 32, hex);
    buf_init(&text, 4096);
    buf_format(&text,
               "AWS4-HMAC-SHA256-PAYLOAD\n" STR_FMT "\n" STR_FMT "\n%.64s\n" EMPTY_SHA256 "\n%.64s",
               STR_ARG(chain->amz_date), STR_ARG(chain->scope), chain->previous, hex);
    signature_of(buf_str(&text), &chain->key, ret_signature);
    memcpy(chain->previous, ret_signature, SIG_LEN);
}

bool sig_chain_chunk(SigChain *chain, const uint8_t data_sha256[32], const char signature[SIG_LEN])
{
    char wanted[SIG_LEN];
    sig_chain_sign_chunk(chain, data_sha256, wanted);
    return secret_eq(str_of(wanted, SIG_LEN), str_of(signature, SIG_LEN));
}

bool sig_chain_trailer(SigChain *chain, Str trailers, Str signature)
{
    Buf text AUTO(buf_done);
    uint8_t digest[32];
    char hex[SIG_LEN], wanted[SIG_LEN];
    sha256_of(trailers, digest);
    hex_write(digest, sizeof digest, hex);
    buf_init(&text, 4096);
    buf_format(&text, "AWS4-HMAC-SHA256-TRAILER\n" STR_FMT "\n" STR_FMT "\n%.64s\n%.64s",
               STR_ARG(chain->amz_date), STR_ARG(chain->scope), chain->previous, hex);
    signature_of(buf_str(&text), &chain->key, wanted);
    return secret_eq(str_of(wanted, SIG_LEN), signature);
}
