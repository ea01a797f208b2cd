/* The hooks between a request and what holds for every route.
 *
 * Invariants:
 * 1. PolicyRules never change; policy_reload puts new ones in their place, and all live until
 *    policy_free. A request keeps those of its head, so that it is judged by one set.
 * 2. What policy_admit has taken (`admitted`, `entry`) policy_over gives back, once.
 * 3. The client is the peer unless a trusted proxy says otherwise; limits count the client.
 * 4. With zero options no hook takes a lock or allocates but for the ids of request and trace. */
#include "front/http/http_policy.h"

#include "base/log.h"
#include "front/http/http_cors.h"
#include "front/http/http_encode.h"
#include "front/http/http_priv.h"
#include "front/http/http_trace.h"
#include "os/thread.h"

#include <stdio.h>
#include <string.h>

enum { RATE_TEXT_MAX = LIMIT_NAME_MAX + 40 };

#define HTML_POLICY                                                                                \
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"

struct PolicyRules {
    PolicyRules *older;
    Arena arena;
    IpNet nets[POLICY_PROXIES_MAX];
    size_t net_count;
    ForwardKind forwarded;
    Str public_url, hsts, html_policy;
    bool counts;                     /* requests in flight are limited */
    int (*tier)(HttpReq *r);
    int tier_address, tier_failures; /* -1: none */
    CorsRules cors;
    bool cors_on;
    EncodeRules encode;
};

struct Policy {
    Os *os;
    Limits *limits;
    HttpCounts *counts;
    _Atomic(PolicyRules *) rules;
    Mutex reload_mutex;
    AccessLog *access;               /* NULL: no log of its own */
    HttpLogFormat log_format;
    const char *log_path;
    Arena arena;
};

static const PolicyRules *rules_of(const Policy *policy)
{
    return atomic_load_explicit(&policy->rules, memory_order_acquire);
}

/* ---- settings ---- */

static void rules_free(PolicyRules **rules)
{
    PolicyRules *gone = TAKE(*rules);
    if (!gone)
        return;
    arena_done(&gone->arena);
    mem_free(&gone);
}

static Code url_check(Str url, Err *err)
{
    bool ok = url.len == 0 || str_starts(url, STR("https://")) || str_starts(url, STR("http://"));
    for (size_t i = 0; i < url.len; i++)
        ok = ok && url.ptr[i] > ' ' && url.ptr[i] < 127;
    if (!ok)
        return err_set(err, E_INVALID, "'" STR_FMT "' is no URL such as https://lake.example.org",
                       STR_ARG(url));
    return E_OK;
}

static Code rules_cors(PolicyRules *rules, const HttpPolicy *options, Err *err)
{
    Str origins[CORS_ORIGINS_MAX];
    if (options->cors_origin_count > CORS_ORIGINS_MAX)
        return err_set(err, E_INVALID, "there are at most %d origins", CORS_ORIGINS_MAX);
    for (size_t i = 0; i < options->cors_origin_count; i++)
        origins[i] = str_copy(&rules->arena, options->cors_origins[i]);
    rules->cors_on = options->cors_origin_count > 0;
    return cors_rules_make(origins, options->cors_origin_count, options->cors_credentials,
                           options->cors_max_age_s, &rules->cors, err);
}

/* Refused keys are one more tier, so that they need no table of their own. */
static Code limits_of(const HttpPolicy *options, Os *os, LimitOptions *ret_limits, int *ret_failures, Err *err)
{
    LimitOptions limits = options->limits;
    *ret_failures = -1;
    limits.os = os;
    if (options->failures_a_minute > 0) {
        if (limits.tier_count >= LIMIT_TIERS_MAX)
            return err_set(err, E_INVALID, "with refused keys there are at most %d tiers", LIMIT_TIERS_MAX - 1);
        *ret_failures = (int)limits.tier_count;
        limits.tiers[limits.tier_count++] = (LimitTier){ "failures", options->failures_a_minute, 60 };
    }
    *ret_limits = limits;
    return E_OK;
}

static Code rules_make(const HttpPolicy *options, int tier_failures, PolicyRules **ret_rules, Err *err)
{
    PolicyRules *rules AUTO(rules_free) = mem_new(sizeof *rules);
    if (options->trusted_proxy_count > POLICY_PROXIES_MAX)
        return err_set(err, E_INVALID, "there are at most %d networks of proxies", POLICY_PROXIES_MAX);
    for (size_t i = 0; i < options->trusted_proxy_count; i++)
        TRY(ip_net_parse(options->trusted_proxies[i], &rules->nets[rules->net_count++], err));
    TRY(url_check(options->public_url, err));
    TRY(rules_cors(rules, options, err));
    if (options->gzip_level < 0 || options->gzip_level > ENCODE_LEVEL_MAX || options->zstd_level < 0 ||
        options->zstd_level > ENCODE_LEVEL_MAX)
        return err_set(err, E_INVALID, "the level of a compression is 1 to %d", ENCODE_LEVEL_MAX);
    Str url = options->public_url;
    while (str_ends(url, STR("/")))
        url = str_sub(url, 0, url.len - 1);
    rules->public_url = str_copy(&rules->arena, url);
    rules->forwarded = options->forwarded;
    rules->html_policy = options->html_policy.len > 0 ? str_copy(&rules->arena, options->html_policy)
                                                      : STR(HTML_POLICY);
    if (options->hsts_max_age_s > 0)
        rules->hsts = str_format(&rules->arena, "max-age=%u%s", options->hsts_max_age_s,
                                 options->hsts_subdomains ? "; includeSubDomains" : "");
    rules->counts = options->limits.requests_an_address > 0 || options->limits.requests_max > 0;
    rules->tier = options->tier;
    rules->tier_address = options->limits.tier_count > 0 ? options->tier_address : -1;
    rules->tier_failures = tier_failures;
    rules->encode = (EncodeRules){ .off = options->compress_off, .gzip_level = options->gzip_level,
                                   .zstd_level = options->zstd_level,
                                   .bytes_min = options->compress_bytes_min ? options->compress_bytes_min
                                                                            : ENCODE_BYTES_MIN };
    *ret_rules = TAKE(rules);
    return E_OK;
}

static Code log_begin(Policy *policy, const HttpPolicy *options, Err *err)
{
    policy->log_format = options->log_format;
    if (options->log_path)
        policy->log_path = str_copy_z(&policy->arena, str_z(options->log_path));
    if (options->log_format != HTTP_LOG_JSON && options->log_format != HTTP_LOG_COMBINED)
        return E_OK;
    return access_open(policy->os, policy->log_path, &policy->access, err);
}

Code policy_new(Os *os, const HttpPolicy *options, Policy **ret_policy, Err *err)
{
    static const HttpPolicy defaults;
    LimitOptions limits;
    PolicyRules *rules;
    int failures;
    if (!options)
        options = &defaults;
    Policy *policy AUTO(policy_free) = mem_new(sizeof *policy);
    policy->os = os;
    policy->counts = counts_new();
    mutex_init(&policy->reload_mutex);
    TRY(limits_of(options, os, &limits, &failures, err));
    TRY(limits_new(&limits, &policy->limits, err));
    TRY(rules_make(options, failures, &rules, err));
    atomic_store(&policy->rules, rules);
    TRY(log_begin(policy, options, err));
    *ret_policy = TAKE(policy);
    return E_OK;
}

void policy_free(Policy **policy)
{
    Policy *gone = TAKE(*policy);
    if (!gone)
        return;
    for (PolicyRules *rules = atomic_load(&gone->rules); rules;) {
        PolicyRules *older = rules->older;
        rules_free(&rules);
        rules = older;
    }
    access_free(&gone->access);
    limits_free(&gone->limits);
    counts_free(&gone->counts);
    mutex_done(&gone->reload_mutex);
    arena_done(&gone->arena);
    mem_free(&gone);
}

Code policy_reload(Policy *policy, const HttpPolicy *options, Err *err)
{
    LimitOptions limits;
    PolicyRules *rules AUTO(rules_free) = NULL;
    int failures;
    MUTEX_HELD(&policy->reload_mutex);
    TRY(limits_of(options, policy->os, &limits, &failures, err));
    TRY(rules_make(options, failures, &rules, err));
    TRY(limits_set(policy->limits, &limits, err));
    rules->older = atomic_load(&policy->rules);
    atomic_store_explicit(&policy->rules, TAKE(rules), memory_order_release);
    return E_OK;
}

Code policy_reopen(Policy *policy, Err *err)
{
    return policy->access ? access_reopen(policy->access, policy->log_path, err) : E_OK;
}

Limits *policy_limits(Policy *policy)
{
    return policy->limits;
}

HttpCounts *policy_counts(Policy *policy)
{
    return policy->counts;
}

AccessLog *policy_access(Policy *policy)
{
    return policy->access;
}

/* ---- connections ---- */

bool policy_trusts(void *policy, const NetAddress *peer)
{
    const PolicyRules *rules = rules_of(policy);
    if (rules->net_count == 0)
        return false;
    Ip ip = ip_of(peer);
    return ip_nets_have(rules->nets, rules->net_count, &ip);
}

bool policy_conn_admit(void *policy, const NetAddress *peer, void **ret_seat)
{
    LimitEntry *entry = NULL;
    bool admitted = policy_trusts(policy, peer) ||
                    limits_conn_take(((Policy *)policy)->limits, limit_key_address(peer), &entry);
    *ret_seat = entry;
    return admitted;
}

void policy_conn_gone(void *policy, void *seat)
{
    (void)policy;
    limits_conn_give(seat);
}

/* ---- the head ---- */

static bool id_ok(Str id)
{
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];
        bool ok = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  c == '-' || c == '_' || c == '.';
        if (!ok)
            return false;
    }
    return id.len > 0 && id.len <= POLICY_ID_MAX;
}

/* The boot of the server, the loop, a number: unique without a lock. */
Str policy_id_make(HttpRoom *room, char to[POLICY_ID_LEN])
{
    enum { BOOT = sizeof room->server->boot };
    uint64_t number = room->request_number++;
    memcpy(to, room->server->boot, BOOT);
    to[BOOT] = '-';
    to[BOOT + 1] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"[room->index % LOOPS_MAX];
    for (size_t i = POLICY_ID_LEN; i-- > BOOT + 2; number >>= 4)
        to[i] = "0123456789abcdef"[number & 15];
    return str_of(to, POLICY_ID_LEN);
}

size_t policy_id_fields(const HttpServer *server, Str id, HttpPair *to)
{
    const HttpOptions *options = &server->options;
    size_t count = 0;
    to[count++] = (HttpPair){ STR("X-Request-Id"), id };
    if (options->id_field)
        to[count++] = (HttpPair){ str_z(options->id_field), id };
    if (options->own_field)
        to[count++] = (HttpPair){ str_z(options->own_field), str_z(options->own_value) };
    return count;
}

/* Golden ratio steps through all 64-bit numbers once, from where nobody knows. */
static uint64_t random_next(HttpRoom *room)
{
    uint64_t x = room->random += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

/* The client's trace goes on; where there is none, or none that can be read, one begins. */
static void trace_take(HttpReq *r)
{
    TraceParent parent;
    char *text = arena_alloc(&r->arena, TRACE_PARENT_LEN);
    uint64_t span_id = random_next(r->room);
    if (!r->head.known[HTTP_FIELD_TRACEPARENT] || r->head.twice & 1u << HTTP_FIELD_TRACEPARENT ||
        !trace_parent_parse(http_known(&r->head, HTTP_FIELD_TRACEPARENT), &parent)) {
        r->trace = trace_parent_new(random_next(r->room), random_next(r->room), span_id, text);
        return;
    }
    r->trace = trace_parent_format(&parent, span_id, text);
    Buf all AUTO(buf_done) = { 0 }, state AUTO(buf_done) = { 0 };
    buf_init(&all, HTTP_HEAD_BYTES_MAX);
    buf_init(&state, TRACE_STATE_BYTES_MAX);
    for (size_t i = 0; i < r->head.field_count; i++) {
        if (!str_ieq(http_field_name(&r->head, i), STR("tracestate")))
            continue;
        buf_put(&all, all.len > 0 ? STR(",") : STR(""));
        buf_put(&all, http_field_value(&r->head, i));
    }
    if (all.len > 0 && !all.over && trace_state_put(buf_str(&all), &state))
        r->policy.trace_state = str_copy(&r->arena, buf_str(&state));
}

static void client_find(HttpReq *r, const PolicyRules *rules)
{
    Forward forward;
    forward_find(&r->head, rules->forwarded, &r->address, rules->nets, rules->net_count, &forward);
    Ip ip = ip_of(&forward.client), peer = ip_of(&r->address);
    if (memcmp(&ip, &peer, sizeof ip) != 0)
        r->policy.seat = NULL;
    r->address = forward.client;
    if (forward.scheme.ptr)
        r->policy.scheme = forward.scheme;
    if (forward.host.ptr)
        r->policy.host = forward.host;
    r->policy.exempt = ip_nets_have(rules->nets, rules->net_count, &ip);
}

void policy_head(HttpReq *r)
{
    const PolicyRules *rules = rules_of(r->server->policy);
    r->policy.rules = rules;
    Str id = http_known(&r->head, HTTP_FIELD_X_REQUEST_ID);
    r->id = id.len > 0 && id_ok(id) ? id : policy_id_make(r->room, arena_alloc(&r->arena, POLICY_ID_LEN));
    trace_take(r);
    r->policy.seat = r->conn->conn ? loop_conn_seat(r->conn->conn) : NULL;
    if (rules->net_count > 0)
        client_find(r, rules);
    if (r->server->policy->access && r->conn->conn && loop_conn_tls(r->conn->conn))
        r->policy.tls = str_copy(&r->arena, loop_conn_tls(r->conn->conn)->version);
}

/* ---- limits ---- */

static LimitKey client_key(HttpReq *r)
{
    if (!r->policy.known)
        r->policy.key = limit_key_address(&r->address);
    r->policy.known = true;
    return r->policy.key;
}

/* The tier that was overrun, as draft-ietf-httpapi-ratelimit-headers-11, section 5.1 names it. */
static void violated_put(HttpReq *r, const char *tier)
{
    Buf *body = &r->reply_body;
    if (r->reply != REPLY_WHOLE || body->len < 2 || body->ptr[body->len - 2] != '}')
        return;
    body->len -= 2;
    buf_format(body, ",\"violated-policies\":[\"%s\"]}\n", tier);
}

static bool refuse(HttpReq *r, int status, const Err *err, uint32_t wait_s)
{
    char digits[16];
    http_reply_problem_status(r, status, err, STR_NONE);
    snprintf(digits, sizeof digits, "%u", MAX(wait_s, 1u));
    for (size_t i = 0; i < r->reply_field_count; i++) {
        if (str_ieq(r->reply_fields[i].name, STR("Retry-After")))
            r->reply_fields[i].value = str_copy(&r->arena, str_z(digits));
    }
    return false;
}

static bool rate_refuse(HttpReq *r)
{
    const LimitRate *rate = &r->policy.rate;
    Err err;
    err_clear(&err);
    IGNORE(err_set(&err, E_RATE, "more than %u requests in %u seconds (tier '%s'); try again in %u s", /* sent */
                   rate->tier->requests, rate->tier->window_s, rate->tier->name, MAX(rate->reset_s, 1u)));
    refuse(r, 429, &err, rate->reset_s);
    violated_put(r, rate->tier->name);
    return false;
}

static bool full_refuse(HttpReq *r, LimitVerdict verdict)
{
    Err err;
    err_clear(&err);
    if (verdict == LIMIT_ADDRESS_FULL) {
        IGNORE(err_set(&err, E_RATE, "this client has too many requests in flight")); /* sent */
        return refuse(r, 429, &err, 1);
    }
    IGNORE(err_set(&err, E_UNAVAILABLE, "the server has too many requests in flight")); /* sent */
    return refuse(r, 503, &err, 1);
}

static bool rate_take(HttpReq *r, LimitKey key, int tier)
{
    if (tier < 0)
        return true;
    return limits_rate_take(r->server->policy->limits, key, (size_t)tier, r->started_us, &r->policy.rate) ==
               LIMIT_OK || rate_refuse(r);
}

bool policy_admit(HttpReq *r)
{
    const PolicyRules *rules = r->policy.rules;
    Limits *limits = r->server->policy->limits;
    unsigned flags = r->route ? r->route->flags : 0;
    if (rules->counts && !(flags & HTTP_ROUTE_NO_ADMIT)) {
        LimitEntry *seat = r->policy.exempt ? NULL : r->policy.seat;
        LimitKey key = { 0 };
        bool looks_up = !r->policy.exempt && !seat;
        if (looks_up)
            key = client_key(r);
        LimitVerdict verdict =
            limits_request_take(limits, seat, looks_up ? &key : NULL, &r->policy.entry);
        if (verdict != LIMIT_OK)
            return full_refuse(r, verdict);
        r->policy.admitted = true;
    }
    if (rules->cors_on && !r->route && cors_preflight(r, &rules->cors))
        return false;
    if (flags & HTTP_ROUTE_NO_RATE)
        return true;
    bool keyed = r->route && r->route->right != 0 && r->server->options.authorize;
    if (!keyed)
        return rules->tier_address < 0 || rate_take(r, client_key(r), rules->tier_address);
    if (rules->tier_failures < 0)
        return true;
    LimitVerdict verdict = limits_rate_peek(limits, limit_key_failures(client_key(r)),
                                            (size_t)rules->tier_failures, r->started_us, &r->policy.rate);
    if (verdict != LIMIT_OK)
        return rate_refuse(r);
    r->policy.rate.tier = NULL; /* not what the reply announces */
    return true;
}

bool policy_admit_key(HttpReq *r)
{
    const PolicyRules *rules = r->policy.rules;
    if (r->route->right == 0 || r->route->flags & HTTP_ROUTE_NO_RATE)
        return true;
    if (r->principal.len == 0)
        return rules->tier_address < 0 || rate_take(r, client_key(r), rules->tier_address);
    int tier = rules->tier ? rules->tier(r) : 0;
    return tier < 0 || rate_take(r, limit_key_name(r->server->policy->limits, r->principal), tier);
}

/* ---- the reply ---- */

static char *digits_put(char *to, uint32_t value)
{
    char back[10];
    size_t len = 0;
    do
        back[len++] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    while (len > 0)
        *to++ = back[--len];
    return to;
}

/* draft-ietf-httpapi-ratelimit-headers-11: lists of items of RFC 9651, the tier a string. */
static void rate_announce(HttpReq *r)
{
    const LimitRate *rate = &r->policy.rate;
    if (!rate->tier)
        return;
    size_t name_len = strlen(rate->tier->name);
    char *text = arena_alloc(&r->arena, RATE_TEXT_MAX), *at = text;
    *at++ = '"';
    memcpy(at, rate->tier->name, name_len);
    at += name_len;
    memcpy(at, "\";r=", 4);
    at = digits_put(at + 4, rate->remaining);
    memcpy(at, ";t=", 3);
    at = digits_put(at + 3, rate->reset_s);
    r->policy.rate_text = str_of(text, (size_t)(at - text));
    r->policy.rate_policy = str_z(rate->tier->announced);
}

void policy_reply(HttpReq *r)
{
    r->policy.replied = true;
    r->policy.encoded = false;
    if (!r->policy.rules)
        return; /* its head was refused */
    rate_announce(r);
    encode_reply(r, &r->policy.rules->encode, r->server->policy->limits);
}

static bool field_is_set(const HttpReq *r, Str name)
{
    for (size_t i = 0; i < r->reply_field_count; i++) {
        if (str_ieq(r->reply_fields[i].name, name))
            return true;
    }
    return false;
}

static size_t cors_fields(HttpReq *r, const CorsRules *cors, HttpPair *to)
{
    static const Str exposed = STR_INIT(
        "Content-Range, ETag, Link, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id, traceparent");
    Str origin = http_known(&r->head, HTTP_FIELD_ORIGIN);
    size_t count = 0;
    if (!cors->any)
        to[count++] = (HttpPair){ STR("Vary"), STR("Origin") };
    if (!origin.ptr || !cors_allows(cors, origin))
        return count;
    to[count++] = (HttpPair){ STR("Access-Control-Allow-Origin"), cors->any ? STR("*") : origin };
    if (cors->credentials)
        to[count++] = (HttpPair){ STR("Access-Control-Allow-Credentials"), STR("true") };
    to[count++] = (HttpPair){ STR("Access-Control-Expose-Headers"), exposed };
    return count;
}

static size_t html_fields(HttpReq *r, const PolicyRules *rules, HttpPair *to)
{
    size_t count = 0;
    if (!field_is_set(r, STR("X-Frame-Options")))
        to[count++] = (HttpPair){ STR("X-Frame-Options"), STR("DENY") };
    if (!field_is_set(r, STR("Content-Security-Policy")))
        to[count++] = (HttpPair){ STR("Content-Security-Policy"), rules->html_policy };
    return count;
}

/* What a key opened is nobody else's: no shared cache may keep it, and no browser's disk either. */
static bool wants_no_store(const HttpReq *r)
{
    return r->route && r->route->right != 0 && !(r->route->flags & HTTP_ROUTE_OPEN_CACHE) &&
           !field_is_set(r, STR("Cache-Control"));
}

size_t policy_fields(HttpReq *r, HttpPair *to)
{
    const PolicyRules *rules = r->policy.rules;
    size_t count = 0;
    if (r->id.len > 0)
        count += policy_id_fields(r->server, r->id, to);
    if (r->trace.len > 0)
        to[count++] = (HttpPair){ STR("traceparent"), r->trace };
    bool page = !r->route || !(r->route->flags & HTTP_ROUTE_NO_PAGE);
    if (page) {
        to[count++] = (HttpPair){ STR("X-Content-Type-Options"), STR("nosniff") };
        to[count++] = (HttpPair){ STR("Referrer-Policy"), STR("no-referrer") };
    }
    if (page && !field_is_set(r, STR("Cross-Origin-Resource-Policy")))
        to[count++] = (HttpPair){ STR("Cross-Origin-Resource-Policy"), STR("same-origin") };
    if (!rules)
        return count;
    if (wants_no_store(r))
        to[count++] = (HttpPair){ STR("Cache-Control"), STR("no-store") };
    if (page && r->type && str_istarts(str_z(r->type), STR("text/html")))
        count += html_fields(r, rules, to + count);
    if (rules->hsts.len > 0 && str_eq(r->policy.scheme, STR("https")))
        to[count++] = (HttpPair){ STR("Strict-Transport-Security"), rules->hsts };
    if (r->policy.rate_text.len > 0) {
        to[count++] = (HttpPair){ STR("RateLimit-Policy"), r->policy.rate_policy };
        to[count++] = (HttpPair){ STR("RateLimit"), r->policy.rate_text };
    }
    if (rules->cors_on)
        count += cors_fields(r, &rules->cors, to + count);
    ASSERT(count <= POLICY_FIELDS_MAX);
    return count;
}

/* ---- the end ---- */

static Str protocol_of(const HttpReq *r)
{
    if (r->wire->one)
        return r->head.minor_version == 0 ? STR("HTTP/1.0") : STR("HTTP/1.1");
    return str_z(r->wire->name);
}

static void entry_write(Policy *policy, size_t shard, const AccessEntry *entry)
{
    char line[ACCESS_LINE_MAX];
    size_t len = policy->log_format == HTTP_LOG_JSON ? access_json(entry, line) : access_combined(entry, line);
    access_put(policy->access, shard, str_of(line, len));
}

static void access_write(HttpReq *r, uint64_t took_us)
{
    Policy *policy = r->server->policy;
    char client[NET_ADDRESS_TEXT_MAX];
    AccessEntry entry = { .time_us = os_now_us(policy->os) - (int64_t)took_us,
                          .took_us = took_us,
                          .in = r->body_bytes,
                          .out = r->sent_bytes,
                          .status = r->status,
                          .client = ip_format(&r->address, client),
                          .method = r->head.method,
                          .target = r->head.target,
                          .protocol = protocol_of(r),
                          .host = http_req_host(r),
                          .route = r->route ? str_z(r->route->name) : STR_NONE,
                          .principal = r->principal,
                          .id = r->id,
                          .trace = r->trace.len ? str_sub(r->trace, 3, 32) : STR_NONE,
                          .referer = http_field(&r->head, STR("Referer")),
                          .agent = http_field(&r->head, STR("User-Agent")),
                          .tls = r->policy.tls };
    entry_write(policy, r->room->index, &entry);
}

static void line_log(HttpReq *r, uint64_t took_us)
{
    Str peer = http_req_peer(r);
    log_line(LOG_INFO,
             "request method=" STR_FMT " path=" STR_FMT " route=%s status=%d in=%llu out=%llu us=%llu"
             " key=" STR_FMT " peer=" STR_FMT " id=" STR_FMT,
             STR_ARG(r->head.method), STR_ARG(str_sub(r->head.path, 0, 1024)),
             r->route ? r->route->name : "none", r->status, (unsigned long long)r->body_bytes,
             (unsigned long long)r->sent_bytes, (unsigned long long)took_us,
             STR_ARG(r->principal.len ? r->principal : STR("-")), STR_ARG(peer), STR_ARG(r->id));
}

void policy_over(HttpReq *r)
{
    Policy *policy = r->server->policy;
    uint64_t took_us = (uint64_t)MAX(os_monotonic_us(policy->os) - r->started_us, 0);
    if (!r->head_sent)
        r->status = 499; /* the client was gone first, whatever the handler said */
    counts_add(policy->counts, r, took_us);
    if (r->policy.admitted)
        limits_request_give(policy->limits, TAKE(r->policy.entry));
    r->policy.admitted = false;
    const PolicyRules *rules = r->policy.rules;
    if (r->status == 401 && rules && rules->tier_failures >= 0) {
        LimitRate rate;
        LimitKey key = limit_key_failures(client_key(r));
        IGNORE(limits_rate_take(policy->limits, key, (size_t)rules->tier_failures, r->started_us, &rate)); /* counted */
    }
    if (policy->access)
        access_write(r, took_us);
    else if (policy->log_format == HTTP_LOG_LINE && log_on(LOG_INFO))
        line_log(r, took_us);
}

void policy_refused(HttpRoom *room, const NetAddress *peer, int status, const char *text)
{
    Policy *policy = room->server->policy;
    char client[NET_ADDRESS_TEXT_MAX];
    counts_refused(room, status);
    if (policy->access) {
        AccessEntry entry = { .time_us = os_now_us(policy->os), .status = status,
                              .client = ip_format(peer, client), .refused = str_z(text) };
        entry_write(policy, room->index, &entry);
    } else if (policy->log_format == HTTP_LOG_LINE && log_on(LOG_INFO)) {
        log_line(LOG_INFO, "request refused status=%d peer=" STR_FMT " text=%s", status,
                 STR_ARG(net_address_format(peer, client)), text);
    }
}

/* ---- for handlers ---- */

Str http_req_base_url(HttpReq *r)
{
    const PolicyRules *rules = r->policy.rules;
    if (rules && rules->public_url.len > 0)
        return rules->public_url;
    Str scheme = http_req_scheme(r), host = http_req_host(r);
    return str_format(&r->arena, STR_FMT "://" STR_FMT, STR_ARG(scheme), STR_ARG(host));
}

Str http_req_trace_state(const HttpReq *r)
{
    return r->policy.trace_state;
}
