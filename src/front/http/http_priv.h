/* http_priv.h: the server, its connections and requests, for the files of this folder.
 * Owner:   http_server.c the HttpServer, http_conn.c the HttpConn, http_run.c the HttpReq.
 * Threads: an HttpConn is its loop's; an HttpReq is its worker's while `running`, else the loop's,
 *          except `cancelled`, and `cancel` under its mutex.
 * Errors:  none of its own.
 * Limits:  those of http_server.h.
 * Units:   bytes, _us. */
#pragma once

#include "base/vec.h"
#include "format/http.h"
#include "front/http/http_server.h"
#include "os/loop.h"

#include <stdatomic.h>

enum {
    HTTP_SEGMENTS_MAX = 16,          /* of a route's pattern */
    HTTP_PULLED_MAX = 64 << 20,      /* one pulled block: a single row may be large */
    HTTP_REQUEST_ID_MAX = 128,
    HTTP_IO_WORKERS = 16,
    HTTP_QUERY_WORKERS = 16,
    HTTP_QUEUE_MAX = 10000
};

typedef struct HttpConn HttpConn;

typedef struct RouteStats {
    atomic_uint_fast64_t by_class[6];
    atomic_uint_fast64_t latency[HTTP_LATENCY_BUCKETS + 1];
    atomic_uint_fast64_t latency_sum_us, bytes_in, bytes_out;
} RouteStats;

/* A pattern, cut at its slashes. */
typedef struct RouteShape {
    Str segments[HTTP_SEGMENTS_MAX];
    size_t count;
    bool takes_rest; /* the last one is `{name*}` */
} RouteShape;

struct HttpServer {
    HttpOptions options;
    Loops *loops;
    RouteShape *shapes;
    RouteStats *stats;               /* one a route, and one for what matches none */
    char address[NET_ADDRESS_TEXT_MAX];
    size_t address_len;
    uint64_t boot;                   /* random, in request ids */
    atomic_uint_fast64_t requests, in_flight, timeouts, aborted;
    atomic_bool draining;
};

typedef enum ReqPhase {
    REQ_HEAD,      /* head stage runs, or is not needed */
    REQ_BODY,      /* the body is read */
    REQ_END,       /* on_end runs, or the request is parked */
    REQ_SENDING,   /* a streamed reply goes out */
    REQ_OVER       /* on_free runs */
} ReqPhase;

/* What runs in the lane in one go. */
enum { RUN_HEAD = 1, RUN_BLOCK = 2, RUN_END = 4, RUN_PULL = 8, RUN_FREE = 16 };

typedef enum ReplyKind { REPLY_NONE, REPLY_WHOLE, REPLY_STREAM } ReplyKind;

typedef struct HttpArg {
    Str name, value;
} HttpArg;

struct HttpReq {
    LoopWork work;                   /* first */
    HttpConn *conn;
    HttpServer *server;
    const HttpRoute *route;          /* NULL: none matches */
    size_t stats_at;
    Arena arena;
    HttpHead head;
    HttpArg args[HTTP_ARGS_MAX];
    size_t arg_count;
    Str id, trace, principal, peer;
    void *user;
    int64_t started_us;
    uint32_t timeout_ms;
    LoopTimer timer;                 /* the time to a reply */
    ReqPhase phase;
    unsigned run;
    bool running, parked, head_ran, entered, timed_out;
    /* body */
    bool has_body, body_over;
    uint64_t body_max, body_left, body_bytes;
    HttpChunks chunks;
    Buf body;                        /* collected, or the block that fills */
    /* reply */
    ReplyKind reply;
    int status;
    const char *type;
    Buf headers;
    size_t header_count;
    Buf reply_body;                  /* whole, or the block just pulled */
    int64_t length;
    const HttpPull *pull;
    void *pull_self;
    HttpPullState pull_state;
    Code pull_code;
    Err pull_err;
    bool head_sent, chunked_out, pull_waits;
    Str text; /* what positions of problems count in */
    LoopTimer later;
    uint64_t pulled_bytes, sent_bytes;
    /* cancel */
    bool cancelled;                  /* read and written atomically */
    Mutex mutex;                     /* guards what follows */
    void (*cancel)(void *arg);
    void *cancel_arg;
};

struct HttpConn {
    HttpServer *server;
    LoopConn *conn;                  /* NULL: the socket is gone, the request still runs */
    Loop *loop;
    HttpReq *req;                    /* NULL: between requests */
    LoopTimer idle;                  /* between requests, or the deadline of a head */
    LoopTimer rate;
    bool head_begun, closes, waits_for_room;
    uint64_t rate_mark, received_bytes;
};

extern const LoopProtocol http_protocol;

/* http_route.c */
Code route_shape_parse(const char *path, RouteShape *ret_shape, Err *err) CHECKED;
/* Sets route and args; false: `allow` (in the request's arena) lists other methods, or is empty. */
bool route_find(HttpReq *r, Str *ret_allow);

/* http_run.c */
HttpReq *req_new(HttpConn *conn, const HttpHead *head, Str bytes);
void req_begin(HttpReq *r);
size_t req_body_in(HttpReq *r, Str bytes);     /* in REQ_BODY */
/* Replies with a problem in REQ_BODY and closes; returns `taken`. */
size_t body_refuse(HttpReq *r, int status, Code code, const char *text, size_t taken);
void req_pull(HttpReq *r);
void req_cancel(HttpReq *r);
void req_gone(HttpReq *r);                     /* the socket is closed */
void conn_request_over(HttpConn *conn);        /* http_conn.c: the reply is queued */
void conn_free(HttpConn *conn);

/* http_reply.c */
void reply_head_put(HttpReq *r, Buf *out, int64_t length, bool closes);
void problem_put(HttpReq *r, Buf *out, int status, const Err *err, Str text);
Str http_status_text(int status);
void reply_reset(HttpReq *r);

/* http_log.c */
void req_count(HttpReq *r);
