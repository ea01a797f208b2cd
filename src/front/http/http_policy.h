/* http_policy.h: what holds for every route: who the client is, limits, CORS, security fields, compression,
 *            the access log.
 * Owner:   an HttpServer has one Policy from http_server_start until http_server_free.
 * Threads: policy_head, policy_admit, policy_fields, policy_over on the request's loop; policy_admit_key
 *          and policy_reply where the request runs; policy_reload and policy_reopen from any thread.
 * Errors:  policy_new and policy_reload give INVALID for options that are none, IO for a log file.
 * Limits:  the POLICY_* below and HttpPolicy; docs/limits.md lists them with their reasons.
 * Units:   bytes, _s, _ms. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "front/http/http_access.h"
#include "front/http/http_forward.h"
#include "front/limit/limit.h"
#include "os/net.h"

enum {
    POLICY_PROXIES_MAX = 64,     /* networks of trusted proxies */
    POLICY_ID_LEN = 16 + 2 + 12, /* of ours */
    POLICY_ID_MAX = 128,         /* of a client's X-Request-Id */
    POLICY_FIELDS_MAX = 16,      /* of a reply */
    POLICY_HSTS_MAX = 64
};

typedef struct HttpReq HttpReq;
typedef struct HttpServer HttpServer;
typedef struct HttpPair HttpPair;
typedef struct HttpRoom HttpRoom;
typedef struct Policy Policy;
typedef struct PolicyRules PolicyRules;

/* The options: zeros are the defaults. Everything is copied. */
typedef struct HttpPolicy {
    /* who asks, and under which name */
    const Str *trusted_proxies;      /* "10.0.0.0/8", "::1"; their word about the client counts */
    size_t trusted_proxy_count;
    ForwardKind forwarded;           /* which fields these proxies write */
    Str public_url;                  /* "https://lake.example.org": for links; empty: as asked */
    /* limits; all zero: none but the server's own */
    LimitOptions limits;
    int (*tier)(HttpReq *r);         /* of the principal: index in limits.tiers, -1: none; NULL: 0 */
    int tier_address;                /* without a principal; -1: none */
    uint32_t failures_a_minute;      /* refused keys of one address; 0: no limit */
    /* fields of replies */
    const Str *cors_origins;         /* "https://app.example.org", "*"; none: no CORS */
    size_t cors_origin_count;
    bool cors_credentials;           /* never with "*" */
    uint32_t cors_max_age_s;         /* 0: 600 */
    uint32_t hsts_max_age_s;         /* over TLS only; 0: none */
    bool hsts_subdomains;
    Str html_policy;                 /* Content-Security-Policy of HTML; empty: the strict default */
    /* compression */
    bool compress_off;
    int gzip_level, zstd_level;      /* 0: default */
    size_t compress_bytes_min;       /* 0: 1 KiB */
    /* access log; a reload does not change it */
    HttpLogFormat log_format;
    const char *log_path;            /* of JSON and combined; NULL: standard output */
} HttpPolicy;

/* `options` NULL: the defaults. */
Code policy_new(Os *os, const HttpPolicy *options, Policy **ret_policy, Err *err) CHECKED;
void policy_free(Policy **policy);                     /* writes what the log still holds */
/* New origins, proxies, limits, fields for requests that begin from now on. */
Code policy_reload(Policy *policy, const HttpPolicy *options, Err *err) CHECKED;
Code policy_reopen(Policy *policy, Err *err) CHECKED;  /* the log file was moved away */
Limits *policy_limits(Policy *policy);                 /* for limits_bytes_take and _give */
AccessLog *policy_access(Policy *policy);              /* for access_stats; NULL: no such log */

/* LoopListen.admit, .gone and .trusted, with the Policy as guard. A trusted proxy is not counted: many
 * clients come from its address. */
bool policy_conn_admit(void *policy, const NetAddress *peer, void **ret_seat);
void policy_conn_gone(void *policy, void *seat);
bool policy_trusts(void *policy, const NetAddress *peer);

/* What a request carries for the policy: a field of HttpReq, all zero at first. */
typedef struct PolicyReq {
    const PolicyRules *rules;    /* those of its head: a reload does not change a request */
    LimitKey key;                /* of the client, when `known` */
    LimitEntry *seat;            /* of the connection, when it is the client's own */
    LimitEntry *entry;
    LimitRate rate;
    Str scheme, host;            /* as the client asked for them; no pointer: as the head says */
    Str rate_text, rate_policy;  /* values of RateLimit and RateLimit-Policy */
    Str tls, trace_state;
    bool known, exempt, admitted, encoded, replied;
} PolicyReq;

/* The hooks, in the order of a request's life. Each is called once, but policy_reply and policy_fields
 * once for each head that goes out, and not at all where the client is gone first. */
Str policy_id_make(HttpRoom *room, char to[POLICY_ID_LEN]); /* of a new request */
/* The id's fields and the door's own. Adds at most 3. */
size_t policy_id_fields(const HttpServer *server, Str id, HttpPair *to);
void policy_head(HttpReq *r);      /* the head is parsed, nothing is routed; sets r->id, r->trace, r->address */
bool policy_admit(HttpReq *r);     /* routed, no handler has run; false: it has replied */
bool policy_admit_key(HttpReq *r); /* authorize has let it in; false: it has replied */
void policy_reply(HttpReq *r);     /* status, type, fields and body are set; in the lane that set them */
size_t policy_fields(HttpReq *r, HttpPair *ret_fields); /* at most POLICY_FIELDS_MAX, until the head is out */
void policy_over(HttpReq *r);      /* the last call: counts, logs, gives back */
/* A head that was none, so that there is no request: counted and logged. */
void policy_refused(HttpRoom *room, const NetAddress *peer, int status, const char *text);

Str http_req_base_url(HttpReq *r);        /* "https://lake.example.org", without a slash: for links */
Str http_req_trace_state(const HttpReq *r); /* tracestate to pass on beside http_req_trace */

/* http_count.c: counters of routes, for http_server_route_stats. */
typedef struct HttpCounts HttpCounts;
HttpCounts *counts_new(void);
void counts_free(HttpCounts **counts);
void counts_add(HttpCounts *counts, const HttpReq *r, uint64_t took_us); /* on the loop of r */
void counts_refused(HttpRoom *room, int status);        /* a head that was none; on its loop */
HttpCounts *policy_counts(Policy *policy);
