/* Cross-origin requests: rules are kept with the bucket as the XML that came; the first that fits
 * speaks. */
#include "front/s3/s3_priv.h"

#include "base/text.h"

#include <string.h>

enum { RULES_MAX = 100 };

static bool method_known(Str method)
{
    static const char *const methods[] = { "GET", "PUT", "POST", "DELETE", "HEAD" };
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        if (str_eq(method, str_z(methods[i])))
            return true;
    }
    return false;
}

bool s3_field_name_ok(Str name, bool star)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];
        bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!alnum && !(c == '*' ? star : c && strchr("!#$%&'+-.^_`|~", c)))
            return false;
    }
    return name.len > 0;
}

/* At most one star. */
static bool origin_ok(S3Req *s, Str origin)
{
    ptrdiff_t star = str_find_char(origin, '*');
    return star < 0 || str_find_char(str_from(origin, (size_t)star + 1), '*') < 0 ||
           s3_fail_text(s, S3_InvalidRequest,
                        str_format(s->arena,
                                   "AllowedOrigin \"" STR_FMT
                                   "\" can not have more than one wildcard.",
                                   STR_ARG(origin)));
}

static bool names_ok(S3Req *s, const XmlNode *rule, const char *element)
{
    for (const XmlNode *h = xml_child(rule, element); h; h = xml_next(h, element)) {
        if (!s3_field_name_ok(h->text, true))
            return s3_fail_text(
                s, S3_InvalidRequest,
                str_format(s->arena, "AllowedHeader \"" STR_FMT "\" contains invalid character.",
                           STR_ARG(h->text)));
    }
    return true;
}

static bool rule_ok(S3Req *s, const XmlNode *rule)
{
    const XmlNode *origins = xml_child(rule, "AllowedOrigin"),
                  *methods = xml_child(rule, "AllowedMethod");
    if (!origins || !methods)
        return s3_fail(s, S3_MalformedXML);
    for (const XmlNode *o = origins; o; o = xml_next(o, "AllowedOrigin")) {
        if (!origin_ok(s, o->text))
            return false;
    }
    for (const XmlNode *m = methods; m; m = xml_next(m, "AllowedMethod")) {
        if (!method_known(m->text))
            return s3_fail_text(s, S3_InvalidRequest,
                                str_format(s->arena,
                                           "Found unsupported HTTP method in CORS config. "
                                           "Unsupported method is " STR_FMT,
                                           STR_ARG(m->text)));
    }
    return names_ok(s, rule, "AllowedHeader") && names_ok(s, rule, "ExposeHeader");
}

bool s3_cors_ok(S3Req *s, const XmlNode *root)
{
    size_t count = 0;
    for (const XmlNode *r = xml_child(root, "CORSRule"); r; r = xml_next(r, "CORSRule")) {
        if (count++ == RULES_MAX)
            return s3_fail(s, S3_MalformedXML);
        if (!rule_ok(s, r))
            return false;
    }
    return count > 0 || s3_fail(s, S3_MalformedXML);
}

/* ---- which rule speaks ---- */

typedef struct CorsAsk {
    Str origin, method, headers; /* headers: as in Access-Control-Request-Headers */
} CorsAsk;

static bool star_fits(Str pattern, Str text, bool ignore_case)
{
    ptrdiff_t star = str_find_char(pattern, '*');
    if (star < 0)
        return ignore_case ? str_ieq(pattern, text) : str_eq(pattern, text);
    Str head = str_sub(pattern, 0, (size_t)star), tail = str_from(pattern, (size_t)star + 1);
    if (text.len < head.len + tail.len)
        return false;
    Str first = str_sub(text, 0, head.len), last = str_from(text, text.len - tail.len);
    return ignore_case ? str_ieq(head, first) && str_ieq(tail, last)
                       : str_eq(head, first) && str_eq(tail, last);
}

static bool any_fits(const XmlNode *rule, const char *element, Str text, bool ignore_case)
{
    for (const XmlNode *n = xml_child(rule, element); n; n = xml_next(n, element)) {
        if (star_fits(n->text, text, ignore_case))
            return true;
    }
    return false;
}

static bool rule_fits(const XmlNode *rule, const CorsAsk *ask)
{
    Str rest = ask->headers, one;
    if (!any_fits(rule, "AllowedOrigin", ask->origin, false) ||
        !any_fits(rule, "AllowedMethod", ask->method, false))
        return false;
    while (rest.ptr && rest.len > 0 && str_split(&rest, ',', &one)) {
        if (!any_fits(rule, "AllowedHeader", str_trim(one), true))
            return false;
    }
    return true;
}

static const XmlNode *rule_find(S3Req *s, Str rules, const CorsAsk *ask)
{
    const XmlNode *root;
    if (!rules.ptr || xml_parse(s->arena, rules, &root, NULL) != E_OK)
        return NULL;
    for (const XmlNode *r = xml_child(root, "CORSRule"); r; r = xml_next(r, "CORSRule")) {
        if (rule_fits(r, ask))
            return r;
    }
    return NULL;
}

static Str joined(S3Req *s, const XmlNode *rule, const char *element)
{
    Str all = STR_NONE;
    for (const XmlNode *n = xml_child(rule, element); n; n = xml_next(n, element))
        all = all.ptr ? str_format(s->arena, STR_FMT ", " STR_FMT, STR_ARG(all), STR_ARG(n->text))
                      : n->text;
    return all;
}

static Str asked_headers(S3Req *s, Str headers)
{
    Str all = STR_NONE, one;
    while (headers.ptr && headers.len > 0 && str_split(&headers, ',', &one)) {
        one = str_lower(s->arena, str_trim(one));
        all =
            all.ptr ? str_format(s->arena, STR_FMT ", " STR_FMT, STR_ARG(all), STR_ARG(one)) : one;
    }
    return all;
}

/* The ETag is always shown: uploads in parts of a page need it. */
static void fields_put(S3Req *s, const XmlNode *rule, const CorsAsk *ask)
{
    bool any = false;
    for (const XmlNode *o = xml_child(rule, "AllowedOrigin"); o; o = xml_next(o, "AllowedOrigin"))
        any = any || str_eq(o->text, STR("*"));
    Str expose = joined(s, rule, "ExposeHeader"), age = xml_text(rule, "MaxAgeSeconds"),
        headers = asked_headers(s, ask->headers);
    http_reply_header(s->r, "Access-Control-Allow-Origin", any ? STR("*") : ask->origin);
    http_reply_header(s->r, "Access-Control-Allow-Methods", joined(s, rule, "AllowedMethod"));
    http_reply_header(s->r, "Access-Control-Allow-Credentials", any ? STR("false") : STR("true"));
    http_reply_header(s->r, "Access-Control-Expose-Headers",
                      expose.ptr ? str_format(s->arena, STR_FMT ", ETag", STR_ARG(expose))
                                 : STR("ETag"));
    if (age.len > 0)
        http_reply_header(s->r, "Access-Control-Max-Age", age);
    if (headers.ptr)
        http_reply_header(s->r, "Access-Control-Allow-Headers", headers);
    http_reply_header(s->r, "Vary",
                      STR("Origin, Access-Control-Request-Headers, Access-Control-Request-Method"));
}

static bool ask_take(S3Req *s, CorsAsk *ret_ask)
{
    Str rest = s3_field(s, "Access-Control-Request-Headers"), one;
    *ret_ask =
        (CorsAsk){ s3_field(s, "Origin"), s3_field(s, "Access-Control-Request-Method"), rest };
    if (ret_ask->method.len > 0 && !method_known(ret_ask->method))
        return s3_fail_text(s, S3_BadRequest,
                            str_format(s->arena, "Invalid Access-Control-Request-Method: " STR_FMT,
                                       STR_ARG(ret_ask->method)));
    while (rest.ptr && rest.len > 0 && str_split(&rest, ',', &one)) {
        if (!s3_field_name_ok(str_trim(one), false))
            return s3_fail_text(s, S3_BadRequest,
                                str_format(s->arena,
                                           "Access-Control-Request-Headers \"" STR_FMT
                                           "\" contains invalid character.",
                                           STR_ARG(one)));
    }
    return true;
}

bool s3_cors_apply(S3Req *s)
{
    Str rules = s3_property(s, "cors");
    CorsAsk ask;
    if (!s3_field(s, "Origin").ptr || !rules.ptr)
        return true;
    if (!ask_take(s, &ask))
        return false;
    if (ask.method.len == 0)
        ask.method = http_req_method(s->r);
    const XmlNode *rule = rule_find(s, rules, &ask);
    if (rule)
        fields_put(s, rule, &ask);
    return true;
}

static bool forbid(S3Req *s, Str message)
{
    S3Detail details[] = { { "Method", s3_field(s, "Access-Control-Request-Method") },
                           { "ResourceType", s->key.len ? STR("OBJECT") : STR("BUCKET") } };
    return s3_fail_details(s, S3_AccessForbidden, message, details, ARRAY_LEN(details));
}

/* A preflight is not signed; it learns no more than what the rules say to its origin. */
void s3_cors_preflight(S3Req *s)
{
    CorsAsk ask;
    Err err;
    if (!s3_field(s, "Origin").len) {
        s3_fail_text(s, S3_BadRequest,
                     STR("Insufficient information. Origin request header needed."));
        return;
    }
    if (!ask_take(s, &ask))
        return;
    if (api_bucket_get(&s->call, s->bucket, &s->info, &err) != E_OK) {
        s3_fail_with(s, S3_NoSuchBucket, STR_NONE, "BucketName", s->bucket);
        return;
    }
    Str rules = s3_property(s, "cors");
    const XmlNode *rule = ask.method.len ? rule_find(s, rules, &ask) : NULL;
    if (!rules.ptr) {
        forbid(s, STR_NONE);
    } else if (!rule) {
        forbid(s, STR("CORSResponse: This CORS request is not allowed. This is usually because the "
                      "evalution of Origin, request method / Access-Control-Request-Method or "
                      "Access-Control-Request-Headers are not whitelisted by the resource's CORS "
                      "spec."));
    } else {
        fields_put(s, rule, &ask);
        s3_reply_empty(s, 200);
    }
}
