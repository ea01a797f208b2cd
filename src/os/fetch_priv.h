/* fetch_priv.h: a Fetcher and its fetches, for the files of fetch: fetch.c, fetch_try.c, fetch_url.c.
 * Owner:   fetch.c both; fetch_try.c what belongs to one try.
 * Threads: the loop's.
 * Errors:  those of fetch.h.
 * Limits:  those of fetch.h.
 * Units:   _us: monotonic. */
#pragma once

#include "base/arena.h"
#include "os/fetch.h"

struct curl_slist;
struct Curl_URL;

enum { FETCH_ERROR_MAX = 256, FETCH_DISCARD_MAX = 64 << 10 };

struct Fetcher {
    Arena arena; /* of the copied options */
    FetcherOptions options;
    FetchRulesTable *rules;
    void *multi;
    struct curl_slist *resolve;
    LoopTimer timer; /* what libcurl asked for */
    int64_t due_us;
    Fetch *first;
    size_t count;
    Fetch *pending; /* what could not be done within a callback of libcurl */
    bool inside;    /* libcurl runs: its callbacks must not come back into it */
    bool closing;
};

struct Fetch {
    Fetcher *fetcher;
    Fetch *prev, *next, *next_pending;
    Arena arena;
    FetchOptions options;
    struct Curl_URL *url;
    void *easy;
    struct curl_slist *headers;
    Str method, body; /* a redirect may change them */
    bool elsewhere;   /* a redirect led to another host: no secrets */
    int64_t deadline_us;
    LoopTimer timer; /* until the next try */
    int64_t due_us;
    FetchReply reply;
    uint64_t body_bytes; /* of the reply */
    bool pends, wants_start, wants_resume, cancelled, running; /* running: libcurl has it */
    bool resting, paused, body_paused;
    bool head_over, again, redirected, delivered, pulled, refused;
    uint32_t wait_ms; /* before the next try, when `again` */
    Code code;        /* of a callback, why the try ended */
    Err err;
    char error[FETCH_ERROR_MAX];
};

/* fetch_url.c: checks of what a caller gives. */
Code fetch_options_check(const FetchOptions *options, Err *err) CHECKED;
bool fetch_header_is(const FetchHeader *header, const char *name);
Code fetch_url_set(Fetch *fetch, Str url, Err *err) CHECKED; /* parses, checks against the rules */
/* Moves on to another URL: secrets are dropped when it is another host, the method as RFC 9110 says. */
Code fetch_url_follow(Fetch *fetch, int status, Str url, Err *err) CHECKED;
Str fetch_url_shown(const Fetch *fetch, Arena *arena); /* without its query */

/* fetch_try.c: one request to one URL. */
Code try_begin(Fetch *fetch, Err *err) CHECKED; /* easy is ready for the multi handle */
typedef enum TryEnd { TRY_OVER, TRY_AGAIN, TRY_FOLLOWED } TryEnd;
TryEnd try_end(Fetch *fetch, int result, Code *ret_code, Err *err);
