/* Origins compared as text: browsers write them in one form (RFC 6454 6.2), so there is nothing to
 * normalise, and what is not written so is no origin. */
#include "front/http/http_cors.h"

#include "front/http/http_priv.h"

#include <stdio.h>

static bool host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == ':' ||
           c == '[' || c == ']';
}

/* scheme "://" host [":" port], or "null"; nothing behind. */
static bool origin_ok(Str origin)
{
    if (str_eq(origin, STR("null")))
        return true;
    ptrdiff_t at = str_find(origin, STR("://"));
    if (at <= 0)
        return false;
    for (ptrdiff_t i = 0; i < at; i++) {
        char c = origin.ptr[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.'))
            return false;
    }
    Str host = str_from(origin, (size_t)at + 3);
    if (str_starts(host, STR("*.")))
        host = str_from(host, 2);
    for (size_t i = 0; i < host.len; i++) {
        if (!host_char(host.ptr[i]))
            return false;
    }
    return host.len > 0 && http_host_ok(host);
}

Code cors_rules_make(const Str *origins, size_t count, bool credentials, uint32_t max_age_s,
                     CorsRules *ret_rules, Err *err)
{
    CorsRules rules = { .credentials = credentials };
    if (count > CORS_ORIGINS_MAX)
        return err_set(err, E_INVALID, "there are at most %d origins", CORS_ORIGINS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (str_eq(origins[i], STR("*"))) {
            rules.any = true;
            continue;
        }
        if (!origin_ok(origins[i]))
            return err_set(err, E_INVALID, "'" STR_FMT "' is no origin such as https://app.example.org",
                           STR_ARG(origins[i]));
        rules.origins[rules.count++] = origins[i];
    }
    if (rules.any && credentials)
        return err_set(err, E_INVALID, "credentials are for named origins, not for every one");
    snprintf(rules.max_age, sizeof rules.max_age, "%u", max_age_s ? max_age_s : CORS_MAX_AGE_S);
    *ret_rules = rules;
    return E_OK;
}

/* A star in place of the first label takes one or more of them. */
static bool origin_fits(Str rule, Str origin)
{
    ptrdiff_t star = str_find(rule, STR("://*."));
    if (star < 0)
        return str_eq(rule, origin);
    Str before = str_sub(rule, 0, (size_t)star + 3), behind = str_from(rule, (size_t)star + 4);
    return origin.len > before.len + behind.len && str_starts(origin, before) && str_ends(origin, behind);
}

bool cors_allows(const CorsRules *rules, Str origin)
{
    if (!origin_ok(origin) || str_find_char(origin, '*') >= 0)
        return false;
    bool fits = rules->any;
    for (size_t i = 0; i < rules->count && !fits; i++)
        fits = origin_fits(rules->origins[i], origin);
    return fits;
}

bool cors_headers_ok(Str names)
{
    Str name;
    if (names.len > CORS_HEADERS_BYTES_MAX || !http_value_ok(names))
        return false;
    while (str_split(&names, ',', &name)) {
        if (!http_token_ok(str_trim(name)))
            return false;
    }
    return true;
}

bool cors_preflight(HttpReq *r, const CorsRules *rules)
{
    Str origin = http_known(&r->head, HTTP_FIELD_ORIGIN);
    if (!str_eq(r->head.method, STR("OPTIONS")) || !origin.ptr || r->allow.len == 0 ||
        !http_known(&r->head, HTTP_FIELD_AC_REQUEST_METHOD).ptr || !cors_allows(rules, origin))
        return false;
    Str names = http_field(&r->head, STR("Access-Control-Request-Headers"));
    http_reply_header(r, "Access-Control-Allow-Methods", r->allow);
    if (names.len > 0 && cors_headers_ok(names))
        http_reply_header(r, "Access-Control-Allow-Headers", names);
    http_reply_header(r, "Access-Control-Max-Age", str_z(rules->max_age));
    http_reply_header(r, "Allow", r->allow);
    http_reply_header(r, "Vary", STR("Access-Control-Request-Method, Access-Control-Request-Headers"));
    http_reply(r, 204, NULL, STR_NONE);
    return true;
}
