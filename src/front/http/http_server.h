/* http_server.h: HTTP as a request object: routes from one table, bodies in blocks, replies pulled.
 * Owner:   main/ owns the HttpServer; an HttpReq belongs to its connection and is lent to one handler
 *          at a time, until its reply has been sent and on_free has run.
 * Threads: handlers of HTTP_ON_LOOP run on an event loop and must not block; those of the other
 *          lanes run on a worker, one at a time for one request. Only http_req_cancelled and
 *          http_req_resume may be called from elsewhere.
 * Errors:  a handler replies with http_reply_problem; a handler that never replies gives 500.
 * Limits:  those of format/http.h, the HTTP_*_MAX below and HttpOptions; over them: 4xx, or closed.
 * Units:   bytes; _ms, _us. Positions in problems are byte offsets. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "os/os.h"

enum {
    HTTP_BLOCK_BYTES = 1 << 20,           /* of a streamed request body, handed to on_body */
    HTTP_PULL_BYTES = 256 << 10,          /* of a streamed reply, asked for at once */
    HTTP_CUT_ROOM_BYTES = 256 << 10,      /* what HttpCuts.check may work in */
    HTTP_PULL_AHEAD = 4,                  /* so many pulled blocks wait for the socket at most */
    HTTP_PIPELINE_BYTES_MAX = 256 << 10,  /* of replies that wait before requests are parsed on */
    HTTP_ARGS_MAX = 8,                    /* `{name}` parts of a route */
    HTTP_REPLY_HEADERS_MAX = 160,         /* an object brings up to 128 of its own */
    HTTP_ROUTES_MAX = 256,
    HTTP_LISTENERS_MAX = 16,
    HTTP_BODY_DEFAULT_MAX = 1 << 20
};

typedef struct HttpServer HttpServer;
typedef struct HttpReq HttpReq;
typedef struct HttpPolicy HttpPolicy;       /* http_policy.h */
typedef struct Policy Policy;
typedef struct TlsServer TlsServer;         /* os/tls.h */
typedef struct Loop Loop;                   /* os/loop.h */
typedef struct Loops Loops;
typedef struct LoopPost LoopPost;

/* Where the handlers of a route run. */
typedef enum HttpLane { HTTP_ON_LOOP, HTTP_ON_IO_WORKER, HTTP_ON_QUERY_WORKER } HttpLane;

typedef void HttpHandler(HttpReq *r);

/* HttpRoute.flags. */
enum {
    HTTP_ROUTE_NO_COMPRESS = 1, /* its reply reflects a secret beside the client's words */
    HTTP_ROUTE_NO_RATE = 2,     /* health, metrics: outside of the tiers */
    HTTP_ROUTE_OPEN_CACHE = 4,  /* no Cache-Control: no-store by default */
    HTTP_ROUTE_NO_ADMIT = 8,    /* answers also when the server is full */
    HTTP_ROUTE_NO_PAGE = 16     /* no fields that tell a browser what its pages may do with the reply */
};

typedef struct HttpRoute {
    const char *method;        /* "GET" also answers HEAD */
    const char *path;          /* "/v1/objects/{bucket}/{key*}": {x} is one segment, {x*} the rest */
    const char *name;          /* stable: operationId, label of metrics and log lines */
    int right;                 /* 0: no key is asked for; else HttpOptions.authorize judges it */
    HttpLane lane;
    HttpLane (*lane_of)(HttpReq *r); /* chosen for each request, by its head; NULL: `lane` */
    /* Bytes of a reply that is made at once and may be large, asked in the lane right before on_end: when
     * http.buffered_max is used up, on_end waits for them. NULL, or 16 KiB and less: it never waits. */
    size_t (*room_of)(HttpReq *r);
    uint64_t body_max;         /* bytes; 0: HTTP_BODY_DEFAULT_MAX */
    uint32_t timeout_ms;       /* from the head to the start of the reply; 0: the server's default */
    bool (*takes_its_time)(HttpReq *r); /* by its head: as long as its client waits, on_end looks; NULL: none does */
    HttpHandler *on_head;      /* may refuse by replying, before 100-continue; NULL: accepts */
    /* NULL: the body is collected, see http_req_body. On the loop a block that is the whole body, as its length was
     * said, stays until on_free. */
    void (*on_body)(HttpReq *r, Str block);
    HttpHandler *on_end;       /* the body is complete: reply */
    HttpHandler *on_free;      /* exactly once for each request that authorize let in; NULL: nothing */
    const char *doc;           /* first sentence is the summary of OpenAPI */
    const void *more;          /* for the door that owns the table */
    unsigned flags;            /* HTTP_ROUTE_* */
} HttpRoute;

typedef struct HttpListener {
    Str address;               /* "127.0.0.1:8080", "[::]:0" */
    int fd;                    /* > 0: an inherited socket, `address` is unused */
    TlsServer *tls;            /* NULL: clear; outlives the server */
    bool proxy_protocol;       /* a PROXY v2 header comes first, from a trusted proxy */
} HttpListener;

/* What the server itself has to say: no request at all, a limit, a deadline. */
typedef struct HttpProblem {
    const HttpReq *r;          /* NULL: what came was no request */
    int status;
    const Err *err;
    Str method, path, id;      /* empty without a request */
} HttpProblem;

typedef struct HttpOptions {
    Os *os;
    Str listen;                /* a clear one more in front of `listeners`; empty: none */
    HttpListener listeners[HTTP_LISTENERS_MAX];
    size_t listener_count;
    const HttpPolicy *policy;  /* clients, limits, CORS, compression, access log; NULL: defaults */
    const HttpRoute *routes;
    size_t route_count;
    void *context;             /* http_req_context */
    /* Judges `route->right` in the route's lane before on_head; may set the principal. */
    Code (*authorize)(HttpReq *r, Err *err);
    uint32_t loops;            /* 0: one a core */
    uint32_t io_workers;       /* 0: default */
    uint32_t query_workers;    /* 0: default */
    uint32_t head_ms_max;      /* from the first byte of a head to its end; 0: 10 s */
    uint32_t idle_ms_max;      /* between requests; 0: 60 s */
    uint32_t request_ms_max;   /* default of HttpRoute.timeout_ms; 0: 60 s */
    uint32_t rate_bytes_min;   /* a second, of bodies and replies that wait; 0: 1 KiB */
    uint32_t rate_window_ms;   /* over which that is measured; 0: 30 s */
    uint32_t connections_max;  /* 0: from the limit of descriptors */
    const char *problem_base;  /* before the code in `type` of problems; NULL: "/problems/" */
    /* Says problems in the door's own form, with its status and `problem_type`; NULL: RFC 9457. */
    int (*problem)(const HttpProblem *problem, Buf *out);
    const char *problem_type;
    const char *id_field;      /* where a request's id stands too ("x-amz-request-id"); NULL: nowhere */
    const char *own_field, *own_value; /* of every reply; NULL: none */
    bool any_expect;           /* Expect of something else than 100-continue is not looked at; false: 417 */
} HttpOptions;

Code http_server_start(const HttpOptions *options, HttpServer **ret_server, Err *err) CHECKED;
Str http_server_address(const HttpServer *server);      /* "127.0.0.1:41233", of the first listener */
Str http_server_address_at(const HttpServer *server, size_t listener); /* empty: no such */
Policy *http_server_policy(HttpServer *server);         /* for policy_reload */
Loops *http_server_loops(HttpServer *server);
/* Stops accepting, closes idle connections, lets requests end; true: all ended within the time. */
bool http_server_drain(HttpServer *server, uint32_t wait_ms);
void http_server_free(HttpServer **server);             /* drains for no time, joins its threads */

/* What was asked. */
const HttpRoute *http_req_route(const HttpReq *r);
void *http_req_context(const HttpReq *r);
Arena *http_req_arena(HttpReq *r);                      /* lives as long as the request */
Str http_req_method(const HttpReq *r);
Str http_req_target(const HttpReq *r);                  /* raw */
Str http_req_scheme(const HttpReq *r);                  /* "https": behind trusted proxies the client's */
Str http_req_host(const HttpReq *r);                    /* with its port, as the client asked */
Str http_req_version(const HttpReq *r);                 /* "HTTP/1.0", "HTTP/1.1", "HTTP/2" */
Str http_req_tls_name(const HttpReq *r);                /* of the client's certificate; STR_NONE: none */
size_t http_req_field_count(const HttpReq *r);          /* all header fields, by place */
Str http_req_field_name(const HttpReq *r, size_t at);
Str http_req_field_value(const HttpReq *r, size_t at);
Str http_req_trailer(const HttpReq *r, const char *name); /* when the body is over; STR_NONE: absent */
Str http_req_trailers(const HttpReq *r);                /* all, as http_trailer_next reads them */
/* Asks for a change of protocol: HTTP/1.1 by Upgrade, HTTP/2 by an extended CONNECT (RFC 8441). */
bool http_req_upgrades(const HttpReq *r, const char *protocol);
Loop *http_req_loop(const HttpReq *r);
Str http_req_path(const HttpReq *r);                    /* raw, before `?` */
Str http_req_query_raw(const HttpReq *r);               /* raw, behind `?` */
Str http_req_arg(const HttpReq *r, const char *name);   /* percent-decoded `{name}` */
bool http_req_query(const HttpReq *r, const char *name, Str *ret_value); /* decoded; first one */
Str http_req_header(const HttpReq *r, const char *name);/* STR_NONE: absent; first one */
Str http_req_body(const HttpReq *r);                    /* collected; empty where on_body is set */
int64_t http_req_length(const HttpReq *r);              /* Content-Length; -1: chunked */
uint64_t http_req_body_bytes(const HttpReq *r);         /* received so far */
Str http_req_id(const HttpReq *r);                      /* X-Request-Id: the client's when sane */
Str http_req_trace(const HttpReq *r);                   /* traceparent or STR_NONE */
Str http_req_peer(const HttpReq *r);
int64_t http_req_started_us(const HttpReq *r);          /* monotonic */
uint32_t http_req_timeout_ms(const HttpReq *r);
void *http_req_user(const HttpReq *r);
void http_req_set_user(HttpReq *r, void *user);
void http_req_set_principal(HttpReq *r, Str name);      /* for the log line */

/* The client went away, or the time is over, or the server ends. */
bool http_req_cancelled(const HttpReq *r);
const bool *http_req_cancel_flag(const HttpReq *r); /* the same, to be read atomically */
/* Runs once, on the loop, when that happens; it must not block. NULL takes it back: after that
 * return it does not run any more. */
void http_req_on_cancel(HttpReq *r, void (*cancel)(void *arg), void *arg);

bool http_req_on_loop(const HttpReq *r); /* the lane of this request */
/* on_end, on the loop, finds that it would wait: it replies nothing, and runs again on a worker. */
void http_req_move(HttpReq *r);
/* on_free has nothing left to do: it is not called. */
void http_req_freed(HttpReq *r);
/* A handler on the loop that answers later: park, then from any thread set the reply and resume. It is resumed
 * in any case: http_server_free waits for it. */
void http_req_park(HttpReq *r);
void http_req_resume(HttpReq *r);

/* Replies: one a request; headers before it. */
void http_reply_header(HttpReq *r, const char *name, Str value); /* a CR, LF or NUL drops it */
/* Behind the body; of a stream also while it is pulled. A client of HTTP/1.0 gets none. */
void http_reply_trailer(HttpReq *r, const char *name, Str value);
void http_reply(HttpReq *r, int status, const char *type, Str body);      /* body is copied */
void http_reply_take(HttpReq *r, int status, const char *type, Buf *take_body);
bool http_replied(const HttpReq *r);
int http_reply_status(const HttpReq *r); /* 0: none was set */
/* A whole reply that was set and not sent yet; false: none, or one that streams. */
bool http_reply_peek(const HttpReq *r, int *ret_status, Str *ret_type, Str *ret_body);

/* RFC 9457 from an error, with the status of its code; `text` is what `err->position` counts in. */
void http_reply_problem(HttpReq *r, const Err *err);
void http_reply_problem_in(HttpReq *r, const Err *err, Str text);
void http_reply_problem_status(HttpReq *r, int status, const Err *err, Str text);
/* What positions of later problems count in; borrowed as long as the request lives. */
void http_req_set_text(HttpReq *r, Str text);
/* The problem document as a value, for replies that have begun (HTTP_PULL_CUT). */
void http_problem_put(HttpReq *r, Buf *out, const Err *err);
bool http_reply_begun(const HttpReq *r); /* the head is on its way: its status stands */

typedef enum HttpPullState {
    HTTP_PULL_MORE,   /* ask again when the socket has room */
    HTTP_PULL_LATER,  /* nothing at this moment: ask again in HTTP_PULL_LATER_MS */
    HTTP_PULL_END,
    HTTP_PULL_CUT     /* an error in the middle: what was pulled says so; the client sees the body cut */
} HttpPullState;

enum { HTTP_PULL_LATER_MS = 200 };

/* A body that is pulled while the socket drains; runs in the route's lane. An error cuts the
 * connection off, so that the client sees that the body is not whole. */
typedef struct HttpPull {
    Code (*pull)(void *self, Buf *out, HttpPullState *ret_state, Err *err);
    void (*done)(void *self);  /* exactly once; NULL: nothing */
} HttpPull;

/* `length` -1: chunked (HTTP/1.0: until close). HEAD and 304 never pull. */
void http_reply_stream(HttpReq *r, int status, const char *type, int64_t length,
                       const HttpPull *pull, void *self);

/* Before a reply of about so many bytes is made at once: false: there is no room, it is to be streamed in pieces
 * (http_pull_bytes). Never waits. In the request's lane. */
bool http_reply_room(HttpReq *r, size_t bytes);
/* How many bytes of the `wanted` ones a pull, or what is a whole reply, should have now: less when much is held
 * already, 16 KiB when http.buffered_max is used up. Who asks is never refused for want of memory. In the
 * request's lane. */
size_t http_pull_bytes(HttpReq *r, size_t wanted);

/* Behind http_reply_stream, of a length that is known: what of it stands in files may go out by sendfile
 * instead of being pulled, as far as `check` lets it go each time; what it does not is pulled. In clear. */
typedef struct HttpCuts {
    /* As LoopCut.check, on the loop; `at` counts from the reply's first byte. */
    size_t (*check)(void *self, uint64_t at, size_t len, char *room, int *ret_fd, uint64_t *ret_file_at);
    void (*seek)(void *self, uint64_t at); /* what is pulled next */
} HttpCuts;
void http_reply_cuts(HttpReq *r, const HttpCuts *cuts, void *self);

/* A cut of an open file, by sendfile in clear; `done` (may be NULL) runs once on the loop, sent or not. */
void http_reply_file(HttpReq *r, int status, const char *type, int fd, uint64_t at, uint64_t len,
                     void (*done)(void *arg), void *arg);

/* Range of a whole of `size` bytes: 200, 206 or 416 with the headers set; one range only, more are
 * answered by the whole. `etag` is quoted or empty; If-Range is honoured. */
int http_req_range(HttpReq *r, uint64_t size, Str etag, uint64_t *ret_from, uint64_t *ret_len);
bool http_req_not_modified(HttpReq *r, Str etag);       /* If-None-Match names it */
/* The best of `types` for Accept, by q; the first for no Accept; NULL: none fits (406). */
const char *http_req_accepts(const HttpReq *r, const char *const *types, size_t count);

/* Both sides in the hands of the handler (WebSocket, gRPC): http_duplex.h. */

/* Counters of a route, for metrics. */
enum { HTTP_LATENCY_BUCKETS = 12 };
extern const uint32_t http_latency_bounds_us[HTTP_LATENCY_BUCKETS]; /* upper; above the last: +Inf */
typedef struct HttpRouteStats {
    uint64_t by_class[6];                        /* [2]: 2xx ... */
    uint64_t latency[HTTP_LATENCY_BUCKETS + 1];  /* not cumulative */
    uint64_t latency_sum_us, bytes_in, bytes_out;
} HttpRouteStats;
typedef struct HttpServerStats {
    uint64_t connections, accepted, requests, in_flight, refused, timeouts, aborted;
} HttpServerStats;
void http_server_route_stats(const HttpServer *server, size_t route, HttpRouteStats *ret_stats);
void http_server_stats(const HttpServer *server, HttpServerStats *ret_stats);
