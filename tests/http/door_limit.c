/* Routes and options for tests/limit: bodies to compress, keys with tiers, links, events. */
#include "door.h"

#include "front/http/http_policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t count_arg(HttpReq *r)
{
    uint64_t number = 0;
    return str_u64(http_req_arg(r, "n"), &number) ? MIN(number, (uint64_t)1 << 26) : 0;
}

/* ---- bodies ---- */

static void text_fill(Buf *out, uint64_t bytes)
{
    for (unsigned i = 0; out->len < bytes && !out->over; i++)
        buf_format(out, "{\"row\":%u,\"name\":\"anna\",\"square\":%u}\n", i, i * i);
    out->len = MIN(out->len, (size_t)bytes);
}

/* GET /text/{n}: so many bytes of JSON at once; ?type= another type, ?etag= a tag, ?encoding= as if it were. */
static void text_end(HttpReq *r)
{
    Buf body;
    Str type = STR("application/json"), value;
    buf_init(&body, (1 << 26) + 256);
    text_fill(&body, count_arg(r));
    IGNORE(http_req_query(r, "type", &type)); /* absent: JSON */
    if (http_req_query(r, "etag", &value))
        http_reply_header(r, "ETag", str_format(http_req_arena(r), "\"" STR_FMT "\"", STR_ARG(value)));
    if (http_req_query(r, "encoding", &value))
        http_reply_header(r, "Content-Encoding", value);
    if (http_req_query(r, "cache", &value))
        http_reply_header(r, "Cache-Control", value);
    http_reply_take(r, 200, str_copy_z(http_req_arena(r), type), &body);
}

typedef struct Rows {
    uint64_t left, at;
    bool waits, cuts;
} Rows;

static Code rows_pull(void *self, Buf *out, HttpPullState *ret_state, Err *err)
{
    Rows *rows = self;
    (void)err;
    for (int i = 0; i < (rows->waits ? 1 : 100) && rows->left > 0; i++, rows->left--)
        buf_format(out, "data: row %llu of a stream of rows\n\n", (unsigned long long)rows->at++);
    *ret_state = rows->left > 0 ? rows->waits ? HTTP_PULL_LATER : HTTP_PULL_MORE
                                : rows->cuts ? HTTP_PULL_CUT : HTTP_PULL_END;
    return E_OK;
}

static void rows_reply(HttpReq *r, const char *type, bool waits, bool cuts)
{
    static const HttpPull pull = { rows_pull, free };
    Rows *rows = calloc(1, sizeof *rows);
    *rows = (Rows){ .left = count_arg(r), .waits = waits, .cuts = cuts };
    http_reply_stream(r, 200, type, -1, &pull, rows);
}

static void stream_end(HttpReq *r)
{
    rows_reply(r, "text/plain", false, false);
}

static void events_end(HttpReq *r)
{
    rows_reply(r, "text/event-stream", true, false);
}

static void cut_end(HttpReq *r)
{
    rows_reply(r, "text/plain", false, true);
}

static void html_end(HttpReq *r)
{
    Str value;
    if (http_req_query(r, "policy", &value))
        http_reply_header(r, "Content-Security-Policy", value);
    http_reply(r, 200, "text/html; charset=utf-8", STR("<!doctype html><title>x</title>"));
}

static void base_end(HttpReq *r)
{
    Str base = http_req_base_url(r), trace = http_req_trace(r), state = http_req_trace_state(r);
    Str peer = http_req_peer(r), id = http_req_id(r);
    http_reply(r, 200, "text/plain",
               str_format(http_req_arena(r), STR_FMT "\n" STR_FMT "\n" STR_FMT "\n" STR_FMT "\n" STR_FMT "\n",
                          STR_ARG(base), STR_ARG(peer), STR_ARG(id), STR_ARG(trace), STR_ARG(state)));
}

static void body_end(HttpReq *r)
{
    http_reply(r, 200, "text/plain", str_format(http_req_arena(r), "%zu", http_req_body(r).len));
}

static void plain_end(HttpReq *r)
{
    http_reply(r, 200, "text/plain", STR("plain\n"));
}

/* ---- keys ---- */

static Code key_judge(HttpReq *r, Err *err)
{
    Str field = http_req_header(r, "Authorization");
    Str name = str_starts(field, STR("Bearer ")) ? str_from(field, 7) : STR_NONE;
    if (str_eq(name, STR("anonymous")))
        return E_OK;
    if (name.len == 0 || str_starts(name, STR("bad")))
        return err_set(err, E_UNAUTHENTICATED, "this key opens nothing");
    http_req_set_principal(r, str_copy(http_req_arena(r), name));
    return E_OK;
}

/* Keys "0-anna", "1-bert" have the tier of their first letter, others none. */
static int key_tier(HttpReq *r)
{
    Str field = http_req_header(r, "Authorization");
    char c = field.len > 7 ? field.ptr[7] : 'x';
    return c >= '0' && c <= '9' ? c - '0' : -1;
}

static const HttpRoute routes[] = {
    { "GET", "/text/{n}", "text", .lane = HTTP_ON_IO_WORKER, .on_end = text_end },
    { "GET", "/loop-text/{n}", "loopText", .on_end = text_end },
    { "GET", "/secret/{n}", "secret", .lane = HTTP_ON_IO_WORKER, .flags = HTTP_ROUTE_NO_COMPRESS, .on_end = text_end },
    { "GET", "/rows/{n}", "rows", .lane = HTTP_ON_IO_WORKER, .on_end = stream_end },
    { "GET", "/events/{n}", "events", .on_end = events_end },
    { "GET", "/rows-cut/{n}", "rowsCut", .on_end = cut_end },
    { "GET", "/html", "html", .on_end = html_end },
    { "GET", "/base", "base", .on_end = base_end },
    { "POST", "/collect", "collect", .body_max = 64 << 20, .on_end = body_end },
    { "GET", "/key", "key", .right = 1, .on_end = plain_end },
    { "DELETE", "/key", "keyDelete", .right = 1, .on_end = plain_end },
    { "GET", "/key-open", "keyOpen", .right = 1, .flags = HTTP_ROUTE_OPEN_CACHE, .on_end = plain_end },
    { "GET", "/health", "health", .flags = HTTP_ROUTE_NO_RATE | HTTP_ROUTE_NO_ADMIT, .on_end = plain_end },
};

DoorRoutes door_limit_routes(void)
{
    return (DoorRoutes){ routes, ARRAY_LEN(routes) };
}

void door_limit_setup(HttpOptions *http, HttpPolicy *policy)
{
    http->authorize = key_judge;
    policy->tier = key_tier;
}

bool door_limit_option(HttpPolicy *policy, const char *name, const char *value)
{
    if (strcmp(name, "--access-file") == 0)
        policy->log_path = value;
    else if (strcmp(name, "--forwarded") == 0)
        policy->forwarded = strcmp(value, "forwarded") == 0 ? FORWARD_RFC7239 : FORWARD_X;
    else if (strcmp(name, "--public-url") == 0)
        policy->public_url = str_z(value);
    else if (strcmp(name, "--tier-address") == 0)
        policy->tier_address = atoi(value);
    else if (strcmp(name, "--credentials") == 0)
        policy->cors_credentials = strcmp(value, "yes") == 0;
    else
        return false;
    return true;
}
