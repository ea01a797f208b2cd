/* fetch.h: HTTP requests that the lake makes itself, on a loop: timeouts, retries, redirects, proxies.
 * Owner:   fetcher_new's caller owns the Fetcher; a Fetch ends with its `done` or fetch_cancel.
 * Threads: a Fetcher and its fetches: their loop's; fetch_wait, fetcher_free: any other.
 * Errors:  INVALID (URL, method, header), FORBIDDEN (an address or host that rules keep away, a
 *          certificate that is not trusted), UNAVAILABLE, TIMEOUT, LIMIT, CANCELLED. A status of
 *          the server is a reply, never an error.
 * Limits:  the FETCH_*_MAX below and those of FetchOptions.
 * Units:   bytes, _ms. */
#pragma once

#include "base/buf.h"
#include "os/loop.h"

enum {
    FETCH_URL_MAX = 8 << 10,
    FETCH_HEADERS_MAX = 64,          /* of a request */
    FETCH_HEAD_BYTES_MAX = 64 << 10, /* of a reply's head, and of the headers of a request */
    FETCH_AT_ONCE_MAX = 1000,        /* of a Fetcher; more give UNAVAILABLE */
    FETCH_REDIRECTS_MAX = 10,
    FETCH_TRIES_MAX = 10,
    FETCH_RULES_MAX = 256,           /* hosts, networks */
    FETCH_CONNECT_MS = 10000,        /* defaults */
    FETCH_TOTAL_MS = 60000,
    FETCH_STALL_MS = 30000,
    FETCH_REPLY_MAX = 8 << 20,
    FETCH_RETRY_MS = 100,
    FETCH_RETRY_MS_MAX = 10000
};

typedef struct Fetcher Fetcher;
typedef struct Fetch Fetch;

/* What a request whose target comes from a user's input may reach. Its address is looked at when it
 * is connected to, whatever a name said before, and again for each redirect and each connection that
 * is used again. Public addresses are open; private, loopback, link-local, shared and reserved ones,
 * also in their IPv6 forms, only within `networks`. A proxy is the operator's: it decides over names,
 * and only addresses that are written as such are looked at here. */
typedef struct FetchRules {
    const Str *hosts;    /* "api.example.org", "*.example.org": only these; none: every host */
    size_t host_count;
    const Str *networks; /* "10.1.0.0/16", "fd00::/8", "127.0.0.1": these too */
    size_t network_count;
} FetchRules;

typedef struct FetcherOptions {
    Os *os;
    Loop *loop;
    FetchRules rules;      /* copied */
    const char *agent;     /* User-Agent */
    const char *ca_path;   /* PEM file of roots; NULL: the system's */
    const char *cert_path; /* PEM of a client's certificate and its key; NULL: none. Only shown to */
    const char *key_path;  /* the host of the first URL, not behind a redirect to another */
    const char *proxy;     /* "http://10.0.0.1:3128"; NULL: none, the environment is not asked */
    const Str *resolve;    /* "name:port:address[,address]" instead of DNS, as curl --resolve */
    size_t resolve_count;
} FetcherOptions;

typedef struct FetchHeader {
    Str name, value;
    bool secret; /* like Authorization and Cookie: not sent to another host behind a redirect */
} FetchHeader;

typedef enum FetchVersion {
    FETCH_ANY_VERSION, /* HTTP/2 where TLS agrees on it */
    FETCH_HTTP_1,
    FETCH_HTTP_2 /* also in clear, with prior knowledge */
} FetchVersion;

/* The reply; `body` only when nobody took it as it came. */
typedef struct FetchReply {
    int status;
    Buf head; /* lines of the last head, see fetch_reply_header */
    Buf body;
    uint32_t tries;     /* requests that went out, redirects not counted */
    uint32_t redirects; /* that were followed */
    int version;        /* 10, 11, 20 */
} FetchReply;

typedef struct FetchHandler {
    /* The head of the reply that will be given; not of those that are tried again. NULL: not told. */
    void (*head)(void *self, Fetch *fetch, const FetchReply *reply);
    /* Its bytes as they come; an error ends the fetch with it. NULL: collected. */
    Code (*bytes)(void *self, Fetch *fetch, Str bytes, Err *err);
    /* The last call, never from within fetch_start; the Fetch is gone after it. `reply` is NULL
     * unless code is E_OK; what is taken of it is the caller's. */
    void (*done)(void *self, FetchReply *reply, Code code, const Err *err);
} FetchHandler;

typedef enum FetchMore { FETCH_MORE, FETCH_LATER, FETCH_END, FETCH_FAIL } FetchMore;
/* The next bytes of a body, up to `cap`. LATER: fetch_more says when. */
typedef FetchMore FetchBody(void *arg, void *bytes, size_t cap, size_t *ret_len);

typedef struct FetchOptions {
    Str method; /* capital letters; empty: GET */
    Str url;    /* http or https, without a name and password in it */
    const FetchHeader *headers;
    size_t header_count;
    Str body;
    FetchBody *body_pull; /* instead of `body`; it cannot be sent a second time */
    void *body_arg;
    int64_t body_bytes;  /* of body_pull; -1: chunked */
    bool from_user;      /* the target comes from a user's input: FetchRules hold */
    uint32_t connect_ms; /* 0: the defaults above */
    uint32_t total_ms;   /* over all tries and redirects */
    uint32_t stall_ms;   /* without a byte in that time (whole seconds, at least about 5); TIMEOUT */
    uint64_t reply_max;  /* of the body; LIMIT */
    uint32_t redirects_max; /* 0: a redirect is the reply */
    /* Retries after a failure on the way and after 408, 425, 429, 502, 503, 504: of GET, HEAD, OPTIONS,
     * PUT and DELETE, of what has an Idempotency-Key, and of anything that has not gone out. The n-th
     * waits a random part of retry_ms * 2^(n-1), at least what Retry-After says. */
    uint32_t tries_max; /* 0, 1: one */
    uint32_t retry_ms;
    uint32_t retry_ms_max; /* a Retry-After over it is not waited for: that reply is given */
    FetchVersion version;
    const FetchHandler *handler; /* NULL: only for fetch_wait */
    void *self;
} FetchOptions;

/* INVALID for a network that cannot be read. */
Code fetcher_new(const FetcherOptions *options, Fetcher **ret_fetcher, Err *err) CHECKED;
/* Fetches that run end with CANCELLED. Not from the loop's thread; the loop still runs. */
void fetcher_free(Fetcher **fetcher);

/* Copies what `options` points to, but for body_arg, handler and self. */
Code fetch_start(Fetcher *fetcher, const FetchOptions *options, Fetch **ret_fetch, Err *err) CHECKED;
void fetch_cancel(Fetch *fetch); /* `done` is not called; fit within head and bytes */
void fetch_rest(Fetch *fetch, bool resting); /* resting: the reply is not read on */
void fetch_more(Fetch *fetch); /* body_pull has bytes again */

/* From a thread that is not the loop's: waits for the end. `cancel` is read atomically meanwhile
 * (NULL: never); options->handler may be NULL or without done. */
Code fetch_wait(Fetcher *fetcher, const FetchOptions *options, const bool *cancel,
                FetchReply *ret_reply, Err *err) CHECKED;
Str fetch_reply_header(const FetchReply *reply, const char *name); /* STR_NONE: absent; first one */
void fetch_reply_done(FetchReply *reply);

/* For settings and tests: may a user's request go to this host, this address? */
typedef struct FetchRulesTable FetchRulesTable;
Code fetch_rules_new(const FetchRules *rules, FetchRulesTable **ret_table, Err *err) CHECKED;
void fetch_rules_free(FetchRulesTable **table);
bool fetch_rules_host(const FetchRulesTable *table, Str host);
bool fetch_rules_address(const FetchRulesTable *table, const NetAddress *address);
