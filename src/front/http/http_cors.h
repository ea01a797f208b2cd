/* http_cors.h: which pages of other origins may call, by the Fetch standard's CORS protocol.
 * Owner:   CorsRules borrows its origins from its owner.
 * Threads: any; rules do not change.
 * Errors:  INVALID for an origin that is none.
 * Limits:  CORS_*.
 * Units:   _s. */
#pragma once

#include "base/err.h"
#include "base/str.h"

typedef struct HttpReq HttpReq;

enum {
    CORS_ORIGINS_MAX = 64,
    CORS_MAX_AGE_S = 600,           /* browsers cut it: Chromium at two hours */
    CORS_HEADERS_BYTES_MAX = 1024   /* of Access-Control-Request-Headers */
};

typedef struct CorsRules {
    Str origins[CORS_ORIGINS_MAX];  /* one host, or all below one: a star for the first label */
    size_t count;
    bool any;                       /* "*" */
    bool credentials;
    char max_age[12];               /* as digits */
} CorsRules;

/* Takes `origins` (the texts stay the caller's) into rules that hold for every route. */
Code cors_rules_make(const Str *origins, size_t count, bool credentials, uint32_t max_age_s,
                     CorsRules *ret_rules, Err *err) CHECKED;
bool cors_allows(const CorsRules *rules, Str origin);
/* Field names as a preflight asks for them: tokens with commas. */
bool cors_headers_ok(Str names);
/* Answers a preflight; false: it is none, or CORS is not for this origin. */
bool cors_preflight(HttpReq *r, const CorsRules *rules);
