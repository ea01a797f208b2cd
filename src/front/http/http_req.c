/* What a handler may ask of its request. */
#include "front/http/http_priv.h"

#include <stdlib.h>
#include <string.h>

const HttpRoute *http_req_route(const HttpReq *r)
{
    return r->route;
}

void *http_req_context(const HttpReq *r)
{
    return r->server->options.context;
}

Arena *http_req_arena(HttpReq *r)
{
    return &r->arena;
}

Str http_req_method(const HttpReq *r)
{
    return r->head.method;
}

Str http_req_target(const HttpReq *r)
{
    return r->head.target;
}

Str http_req_path(const HttpReq *r)
{
    return r->head.path;
}

Str http_req_query_raw(const HttpReq *r)
{
    return r->head.query;
}

Str http_req_arg(const HttpReq *r, const char *name)
{
    for (size_t i = 0; i < r->arg_count; i++) {
        if (str_eq(r->args[i].name, str_z(name)))
            return r->args[i].value;
    }
    return STR_NONE;
}

bool http_req_query(const HttpReq *r, const char *name, Str *ret_value)
{
    Arena *arena = (Arena *)&r->arena; /* the request is not const to its own handler */
    Str rest = r->head.query, pair, decoded;
    while (rest.ptr && str_split(&rest, '&', &pair)) {
        ptrdiff_t equals = str_find_char(pair, '=');
        Str key = equals < 0 ? pair : str_sub(pair, 0, (size_t)equals);
        Str value = equals < 0 ? STR("") : str_from(pair, (size_t)equals + 1);
        if (!url_decode(arena, key, &decoded) || !str_eq(decoded, str_z(name)))
            continue;
        if (!url_decode_form(arena, value, &decoded))
            return false;
        *ret_value = decoded;
        return true;
    }
    return false;
}

Str http_req_header(const HttpReq *r, const char *name)
{
    return http_field(&r->head, str_z(name));
}

Str http_req_body(const HttpReq *r)
{
    return r->route && r->route->on_body ? STR_NONE : buf_str(&r->body);
}

int64_t http_req_length(const HttpReq *r)
{
    if (r->head.has_length)
        return (int64_t)r->head.content_length;
    return r->head.chunked ? -1 : 0;
}

uint64_t http_req_body_bytes(const HttpReq *r)
{
    return r->body_bytes;
}

Str http_req_id(const HttpReq *r)
{
    return r->id;
}

Str http_req_trace(const HttpReq *r)
{
    return r->trace;
}

Str http_req_peer(const HttpReq *r)
{
    HttpReq *own = (HttpReq *)r; /* the request is not const to its own handler */
    if (!r->peer.ptr) {
        char *text = arena_alloc(&own->arena, NET_ADDRESS_TEXT_MAX);
        own->peer = net_address_format(&r->address, text);
    }
    return r->peer;
}

int64_t http_req_started_us(const HttpReq *r)
{
    return r->started_us;
}

uint32_t http_req_timeout_ms(const HttpReq *r)
{
    return r->timeout_ms;
}

void *http_req_user(const HttpReq *r)
{
    return r->user;
}

void http_req_set_user(HttpReq *r, void *user)
{
    r->user = user;
}

void http_req_set_principal(HttpReq *r, Str name)
{
    r->principal = str_copy(&r->arena, name);
}

bool http_req_cancelled(const HttpReq *r)
{
    return __atomic_load_n(&r->cancelled, __ATOMIC_ACQUIRE);
}

const bool *http_req_cancel_flag(const HttpReq *r)
{
    return &r->cancelled;
}

void http_req_on_cancel(HttpReq *r, void (*cancel)(void *arg), void *arg)
{
    mutex_lock(&r->mutex);
    r->cancel = cancel;
    r->cancel_arg = arg;
    if (cancel && r->cancelled) {
        r->cancel = NULL;
        cancel(arg);
    }
    mutex_unlock(&r->mutex);
}

Str http_req_scheme(const HttpReq *r)
{
    return r->policy.scheme.ptr ? r->policy.scheme : STR("http");
}

Str http_req_host(const HttpReq *r)
{
    return r->policy.host.ptr ? r->policy.host : r->head.host;
}

Str http_req_tls_name(const HttpReq *r)
{
    return r->tls_name;
}

size_t http_req_field_count(const HttpReq *r)
{
    return r->head.field_count;
}

Str http_req_field_name(const HttpReq *r, size_t at)
{
    return http_field_name(&r->head, at);
}

Str http_req_field_value(const HttpReq *r, size_t at)
{
    return http_field_value(&r->head, at);
}

Str http_req_version(const HttpReq *r)
{
    if (r->head.minor_version == 0 && r->wire->one)
        return STR("HTTP/1.0");
    return str_z(r->wire->name);
}

Str http_req_trailers(const HttpReq *r)
{
    return buf_str(&r->trailers);
}

Str http_req_trailer(const HttpReq *r, const char *name)
{
    return http_trailer(buf_str(&r->trailers), str_z(name));
}

bool http_req_upgrades(const HttpReq *r, const char *protocol)
{
    if (r->protocol.ptr)
        return str_ieq(r->protocol, str_z(protocol));
    return r->head.upgrades && r->wire->one && r->head.minor_version == 1 &&
           http_list_has(http_field(&r->head, STR("Upgrade")), str_z(protocol));
}

Loop *http_req_loop(const HttpReq *r)
{
    return r->loop;
}

static bool etag_same(Str a, Str b)
{
    if (str_starts(a, STR("W/")))
        a = str_from(a, 2);
    if (str_starts(b, STR("W/")))
        b = str_from(b, 2);
    return a.len > 0 && str_eq(a, b);
}

int http_req_range(HttpReq *r, uint64_t size, Str etag, uint64_t *ret_from, uint64_t *ret_len)
{
    Str range = http_req_header(r, "Range"), if_range = http_req_header(r, "If-Range");
    uint64_t from = 0, len = size;
    HttpStep step = HTTP_MORE;
    http_reply_header(r, "Accept-Ranges", STR("bytes"));
    if (range.ptr && (!if_range.ptr || (str_eq(if_range, etag) && etag.len > 0)))
        step = http_range_parse(range, size, &from, &len);
    if (step == HTTP_REFUSE) {
        http_reply_header(r, "Content-Range",
                          str_format(&r->arena, "bytes */%llu", (unsigned long long)size));
        return 416;
    }
    if (step == HTTP_DONE)
        http_reply_header(r, "Content-Range",
                          str_format(&r->arena, "bytes %llu-%llu/%llu", (unsigned long long)from,
                                     (unsigned long long)(from + len - 1), (unsigned long long)size));
    *ret_from = from;
    *ret_len = len;
    return step == HTTP_DONE ? 206 : 200;
}

bool http_req_not_modified(HttpReq *r, Str etag)
{
    Str rest = http_req_header(r, "If-None-Match"), one;
    while (rest.ptr && str_split(&rest, ',', &one)) {
        one = str_trim(one);
        if (str_eq(one, STR("*")) || etag_same(one, etag))
            return true;
    }
    return false;
}

/* The q of a media range in thousandths; -1: it does not cover `type`. */
static int range_covers(Str range, Str type, int *ret_exact)
{
    ptrdiff_t semicolon = str_find_char(range, ';');
    Str name = str_trim(semicolon < 0 ? range : str_sub(range, 0, (size_t)semicolon));
    Str rest = semicolon < 0 ? STR_NONE : str_from(range, (size_t)semicolon + 1), parameter;
    ptrdiff_t slash = str_find_char(type, '/');
    double q = 1;
    if (str_ieq(name, type))
        *ret_exact = 2;
    else if (name.len > 2 && str_ends(name, STR("/*")) &&
             str_ieq(str_sub(name, 0, name.len - 1), str_sub(type, 0, (size_t)slash + 1)))
        *ret_exact = 1;
    else if (str_eq(name, STR("*/*")))
        *ret_exact = 0;
    else
        return -1;
    while (rest.ptr && str_split(&rest, ';', &parameter)) {
        parameter = str_trim(parameter);
        if (str_istarts(parameter, STR("q=")) && !str_f64(str_from(parameter, 2), &q))
            q = 0;
    }
    return (int)(MIN(MAX(q, 0.0), 1.0) * 1000);
}

/* By the most exact range that covers a type: RFC 9110 12.5.1. */
static int accept_q(Str accept, Str type)
{
    Str range;
    int best_exact = -1, best_q = 0;
    while (accept.ptr && str_split(&accept, ',', &range)) {
        int exact = -1;
        int q = range_covers(str_trim(range), type, &exact);
        if (q >= 0 && exact > best_exact) {
            best_exact = exact;
            best_q = q;
        }
    }
    return best_q;
}

const char *http_req_accepts(const HttpReq *r, const char *const *types, size_t count)
{
    Str accept = http_req_header(r, "Accept");
    const char *best = NULL;
    int best_q = 0;
    if (!accept.ptr || accept.len == 0)
        return types[0];
    for (size_t i = 0; i < count; i++) {
        int q = accept_q(accept, str_z(types[i]));
        if (q > best_q) {
            best_q = q;
            best = types[i];
        }
    }
    return best;
}
