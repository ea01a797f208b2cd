/* http_priv.h: the server, its connections and requests, for the files of this folder.
 * Owner:   http_server.c the HttpServer, http_conn.c the HttpConn, http_run.c the HttpReq.
 * Threads: an HttpConn and an HttpRoom are their loop's; an HttpReq is its worker's while `running`,
 *          else the loop's, except `cancelled`, and `cancel` under its mutex.
 * Errors:  none of its own.
 * Limits:  those of http_server.h.
 * Units:   bytes, _us. */
#pragma once

#include "base/vec.h"
#include "format/http.h"
#include "front/http/http_duplex.h"
#include "front/http/http_policy.h"
#include "front/http/http_server.h"
#include "front/http/http_wire.h"
#include "os/loop.h"

#include <stdatomic.h>

enum {
    HTTP_SEGMENTS_MAX = 16,          /* of a route's pattern */
    HTTP_PULLED_MAX = 64 << 20,      /* one pulled block: a single row may be large */
    HTTP_IO_WORKERS = 16,
    HTTP_QUERY_WORKERS = 16,
    HTTP_QUEUE_MAX = 10000,
    HTTP_SPARE_REQUESTS = 64,        /* ended ones that a loop keeps for the next */
    HTTP_SMALL_BODY = 16 << 10,      /* copied behind its head */
    HTTP_FREE_BYTES = 16 << 10,      /* of a body, and of a reply, that are not charged to the budget of all */
    HTTP_DATE_LEN = 29
};

/* A pattern, cut at its slashes. */
typedef struct RouteShape {
    Str segments[HTTP_SEGMENTS_MAX];
    size_t count;
    bool takes_rest; /* the last one is `{name*}` */
} RouteShape;

/* What one loop keeps for the server; its thread writes, counters are read by others. */
typedef struct HttpRoom {
    HttpServer *server;
    _Atomic(Loop *) loop;            /* NULL: not yet taken */
    size_t index;
    HttpReq *spare;
    size_t spare_count;
    Buf out;                         /* a head is put together here */
    int64_t date_us;                 /* loop time of `date` */
    char date[HTTP_DATE_LEN + 1], digits[24];
    uint64_t request_number;
    uint64_t random;                 /* ids of traces: from a random start */
    atomic_uint_fast64_t requests, ended, timeouts, aborted;
    char apart[64];                  /* no cache line is shared with the next one */
} HttpRoom;

struct HttpServer {
    HttpOptions options;
    char addresses[HTTP_LISTENERS_MAX][NET_ADDRESS_TEXT_MAX]; /* as bound */
    size_t address_lens[HTTP_LISTENERS_MAX], address_count;
    Loops *loops;
    HttpRoom *rooms;                 /* one a loop */
    size_t room_count;
    Policy *policy;
    RouteShape *shapes;
    uint32_t route_keys[HTTP_ROUTES_MAX]; /* of the first segments; 0: they have braces */
    char boot[16];                   /* random hex digits, in request ids */
    atomic_bool draining;
};

typedef enum ReqPhase {
    REQ_HEAD,      /* head stage runs, or is not needed */
    REQ_BODY,      /* the body is read */
    REQ_END,       /* on_end runs, or the request is parked */
    REQ_SENDING,   /* a streamed reply goes out */
    REQ_DUPLEX,    /* both sides are the handler's: http_duplex.c */
    REQ_OVER       /* on_free runs */
} ReqPhase;

/* What runs in the lane in one go. */
enum { RUN_HEAD = 1, RUN_BLOCK = 2, RUN_END = 4, RUN_PULL = 8, RUN_FREE = 16 };

typedef enum ReplyKind { REPLY_NONE, REPLY_WHOLE, REPLY_STREAM, REPLY_FILE, REPLY_DUPLEX } ReplyKind;

typedef struct HttpArg {
    Str name, value;
} HttpArg;

/* Fields up to `mutex` are zero in a new request; those below keep what they were. */
struct HttpReq {
    LoopWork work;                   /* first */
    HttpConn *conn;                  /* NULL: the client is gone, or `over` was called */
    const HttpWire *wire;
    void *link;                      /* the wire's */
    HttpServer *server;
    HttpRoom *room;
    Loop *loop;
    const HttpRoute *route;          /* NULL: none matches */
    HttpLane lane;                   /* of the route, for this request */
    size_t stats_at;
    size_t arg_count;
    Str id, trace, principal, peer, tls_name, allow, protocol; /* protocol: of an extended CONNECT */
    PolicyReq policy;
    void *user;
    int64_t started_us;
    uint32_t timeout_ms;
    LoopTimer timer;                 /* the time to a reply */
    ReqPhase phase;
    unsigned run;
    bool running, parked, moves, head_ran, entered, timed_out, shaped;
    /* body */
    bool has_body, body_over;        /* over: the last byte is here, perhaps not yet worked on */
    uint64_t body_max, body_bytes;   /* bytes: of what a handler may see */
    Buf body;                        /* collected, or the block that fills */
    Buf ahead;                       /* the loop's: what comes while a block is worked on */
    size_t body_room, ahead_room;    /* how large they may grow with what is charged */
    size_t charged;                  /* to the budget of all */
    size_t charged_before;           /* of it for the body of the request, when a reply has begun */
    Buf trailers;
    int refusal_status;              /* what req_refuse said while a block was worked on; 0: nothing */
    Code refusal_code;
    const char *refusal_text;
    /* reply */
    ReplyKind reply;
    int status;
    const char *type;
    HttpPair *reply_fields, *reply_trailers; /* in the arena */
    size_t reply_field_count, reply_trailer_count;
    size_t reply_field_bytes;
    int64_t length;
    const HttpPull *pull;
    void *pull_self;
    HttpPullState pull_state;
    Code pull_code;
    Err *pull_err;                   /* in the arena, when the code is not OK */
    size_t pull_room;                /* what one block may have; 0: nobody has asked for the first */
    size_t pull_charged;             /* of `charged` for that first block, or for the reply, until it begins */
    size_t room_wanted;              /* it has to wait for so much; http_room.c */
    bool has_room, room_granted;     /* before on_end; granted: while it waited */
    LimitWaiter waiter;
    bool head_sent, pull_waits, finishing;
    bool held;                       /* reply_held before its stages ran: no block is pulled with them */
    Str text;                        /* what positions of problems count in */
    LoopTimer later;
    uint64_t sent_bytes;
    struct HttpFile *file;           /* http_file.c */
    struct HttpCutting *cutting;     /* http_file.c; NULL: what is pulled is all that goes out */
    const HttpDuplex *duplex;
    void *duplex_self;
    bool duplex_rests, duplex_busy, duplex_ends, duplex_aborts, duplex_ended, duplex_in_ends;
    /* cancel */
    bool cancelled;                  /* read and written atomically */
    Mutex mutex;                     /* guards what follows */
    void (*cancel)(void *arg);
    void *cancel_arg;
    /* not cleared */
    HttpReq *next_spare;
    Arena arena;
    NetAddress address;              /* of the client as the socket has it; http_req_peer formats it */
    Buf reply_body;                  /* whole, or the block just pulled; empty in a new request */
    HttpArg args[HTTP_ARGS_MAX];
    HttpHead head;                   /* last: its unused fields are not touched */
};

struct HttpConn {
    HttpRoom *room;
    LoopConn *conn;                  /* NULL: the socket is gone, requests still run */
    const HttpTalk *talk;
    void *h2;                        /* of http2*.c */
    HttpReq *req;                    /* HTTP/1.1 from here; NULL: between requests */
    HttpChunks *chunks;              /* of the body that comes; NULL: it has a length */
    uint64_t body_left;              /* by its length */
    LoopTimer idle;                  /* between requests, or the deadline of a head */
    LoopTimer rate;                  /* set while a body comes or a reply waits */
    uint64_t rate_mark, received_bytes;
    bool head_begun, closes, aborts, body_comes, chunked_out, until_close, raw, waits_for_room;
    bool inside, freed;              /* conn_free waits for the way out */
};

extern const LoopProtocol http_protocol;

/* http_route.c */
Code route_shape_parse(const char *path, RouteShape *ret_shape, Err *err) CHECKED;
uint32_t route_key(const RouteShape *shape, const char *path);
/* Sets route and args; false: r->allow lists other methods, or is empty. */
bool route_find(HttpReq *r);

/* http_run.c */
bool lane_go(HttpReq *r, unsigned run);        /* true: it has run; false: a worker runs it */
void stage_go(HttpReq *r, unsigned run);
void stage_over(HttpReq *r);                   /* a stage has run, on the loop again */
void body_await(HttpReq *r);
void end_go(HttpReq *r);
void req_cancel(HttpReq *r);
void request_over(HttpReq *r);                 /* the reply is queued, or the client is gone */
void reply_shape(HttpReq *r);                  /* fields, compression: once for each head */

/* http_body.c */
/* From so many bytes of all requests on blocks stay small (those of replies: CROWD_PULL_BYTES) and nothing is
 * pulled ahead: what a thousand that are busy at once need not to fill the memory. */
enum { CROWD_BYTES = 32 << 20, CROWD_PULL_BYTES = 64 << 10 };
bool bytes_crowd(const HttpReq *r);
bool body_charge(HttpReq *r, size_t bytes);    /* at least so many */
bool body_charge_to(HttpReq *r, size_t bytes); /* exactly so many */
void body_charge_force(HttpReq *r, size_t bytes); /* at least so many, whatever the budget has */
bool body_charged_whole(const HttpReq *r);     /* before more of it is read than costs nothing */
bool body_reads_ahead(HttpReq *r);
void block_over(HttpReq *r);
void refuse_now(HttpReq *r, int status, Code code, const char *text);

/* http_room.c */
bool room_had(HttpReq *r);                     /* in the lane, before on_end; false: room_await follows */
void room_await(HttpReq *r);
void room_await_body(HttpReq *r);              /* it goes on from where it is */

/* http_send.c */
void reply_begin(HttpReq *r);
void reply_cut(HttpReq *r);
bool reply_held(const HttpReq *r);             /* by a window of the peer's */
void req_pull(HttpReq *r);
bool block_send(HttpReq *r);                   /* what was pulled; false: the request is over */
void stream_sent(HttpReq *r);                  /* its last byte is queued, or has gone */
void reply_hold(HttpReq *r);                   /* charges what the reply has in memory */
void later_over(LoopTimer *timer);

/* http_conn.c, http1.c */
void conn_free(HttpConn *conn);
void conn_drain(HttpConn *conn);               /* between requests while the server ends */
void http1_open(HttpConn *conn);

/* http_reply.c */
void reply_head_put(HttpReq *r, Buf *out, int64_t length, bool chunked, bool closes);
Str chunk_size_line(size_t size, char *to);    /* at most 18 bytes */
void reply_trailers_put(HttpReq *r, Buf *out);
void problem_put(HttpReq *r, Buf *out, int status, const Err *err, Str text);
/* Of what is no request; gives the media type. */
const char *problem_plain(const HttpServer *server, Buf *out, int *status, const char *text, Str id);
Str http_status_text(int status);
void reply_reset(HttpReq *r);
void reply_set(HttpReq *r, ReplyKind kind, int status, const char *type);
bool reply_bodiless(const HttpReq *r);         /* HEAD, 204, 304: no body goes out */

/* http_file.c, http_duplex.c */
void file_begin(HttpReq *r);
void file_drop(HttpReq *r);                    /* it was not sent */
/* True: the next bytes go out by themselves, or have gone; req_pull comes behind them. */
bool cuts_go(HttpReq *r);
void duplex_begin(HttpReq *r);
size_t duplex_in(HttpReq *r, Str bytes);
void duplex_in_over(HttpReq *r, Str trailers);
void duplex_show(HttpReq *r);                  /* what was kept while it rested */
void duplex_writable(HttpReq *r);
void duplex_drain(HttpReq *r);
void duplex_gone(HttpReq *r);

/* http_server.c */
void room_count(atomic_uint_fast64_t *counter);  /* by its own thread only */
HttpRoom *room_of(HttpServer *server, Loop *loop);
