/* http_wire.h: between a request and the protocol that it came by: HTTP/1.1 and a stream of HTTP/2
 *            are a row each.
 * Owner:   a wire owns what `link` points at and frees it after `over`; the request is the core's.
 * Threads: all of it on the connection's loop.
 * Errors:  none: what a wire cannot send it cuts.
 * Limits:  those of http_server.h.
 * Units:   bytes.
 *
 * The life of a request, as a wire sees it:
 *   r = req_new(conn, &wire, link)   the wire fills r->head (bytes in http_req_arena(r))
 *   req_begin(r)                     or req_drop(r) when the head is refused; else exactly one `over`
 *   req_body_in / req_body_end       while it has a body (r->has_body, set by the wire before begin)
 *   head, body, file, end or cut     what the request answers; always in this order
 *   over(r)                          the last call; the request may live on, but never calls again
 * Any entry point may come to `over` before it returns: look at your own state afterwards, not at r.
 * No function of a row calls the request before it returns, but `over` may begin the next one later. */
#pragma once

#include "format/http.h"
#include "front/http/http_server.h"
#include "os/loop.h"

typedef struct HttpConn HttpConn;

typedef struct HttpWire {
    const char *name;                        /* "HTTP/1.1": for logs and http_req_version */
    bool one;                                /* HTTP/1: of one minor version or the other */
    /* HTTP/1.1: the socket rests; HTTP/2: what comes is kept and the window is not opened. Not
     * resting any more, what was kept is shown again, later in this turn. */
    void (*rest)(HttpReq *r, bool resting);
    void (*consumed)(HttpReq *r, size_t bytes); /* of the body: HTTP/2 opens the window; NULL: nothing */
    void (*proceed)(HttpReq *r);             /* 100 Continue */
    /* Status and fields: reply_fields_all, r->reply_fields. `length` -1: not known; `ends`: no body
     * and no trailers follow (`length` may still be that of what HEAD would give). */
    void (*head)(HttpReq *r, int64_t length, bool ends);
    void (*body)(HttpReq *r, Buf *take_bytes); /* empties it; not empty before */
    /* `done` once, sent or not; NULL: the file is read and goes out by `body`. */
    void (*file)(HttpReq *r, int fd, uint64_t at, uint64_t len, void (*done)(void *arg), void *arg);
    bool (*file_cuts)(HttpReq *r, uint64_t len, LoopCut *cut); /* false: not here; NULL: never */
    void (*end)(HttpReq *r);                 /* the body's end, with r->reply_trailers */
    size_t (*queued)(const HttpReq *r);      /* of this reply, or of all that share its socket */
    /* A window of the peer's holds the reply: nothing is pulled for it until req_writable. NULL: never. */
    bool (*held)(const HttpReq *r);
    /* What is queued goes out, then the client sees that the body is not whole. `over` follows. */
    void (*cut)(HttpReq *r);
    void (*over)(HttpReq *r);                /* r->body_over tells whether its body was read */
} HttpWire;

/* A request for the wire to fill; `conn` knows its server and loop. */
HttpReq *req_new(HttpConn *conn, const HttpWire *wire, void *link);
void req_drop(HttpReq *r);                   /* instead of req_begin: nothing was called, no `over` */
void req_begin(HttpReq *r);
/* Body bytes, decoded: how many were taken; the rest is to be shown again after rest(r, false). */
size_t req_body_in(HttpReq *r, Str bytes);
size_t req_body_room(HttpReq *r);            /* so many bytes would be taken now; SIZE_MAX: all */
void req_body_end(HttpReq *r, Str trailers); /* lines as http_trailer reads them; once, after all bytes */
void req_refuse(HttpReq *r, int status, Code code, const char *text); /* the body is wrong or slow */
bool req_receives(const HttpReq *r);         /* it waits for bytes of the body: the minimum rate counts */
void req_writable(HttpReq *r);               /* some of what was queued has gone */
void req_ended(HttpReq *r);                  /* the client ended its side behind the whole request */
void req_drain(HttpReq *r);                  /* the server ends */
void req_gone(HttpReq *r);                   /* the client is not there any more */

/* The fields of a reply that stand in each: for wires that send a list of names and values. */
enum { HTTP_FIXED_FIELDS_MAX = 3 + 16 /* POLICY_FIELDS_MAX */ };
typedef struct HttpPair {
    Str name, value;
} HttpPair;
/* Date, Content-Type, Content-Length (length >= 0), X-Request-Id ...; values live until the next call. */
size_t reply_fields_all(HttpReq *r, int64_t length, HttpPair *ret_fields);

/* What a connection speaks: HTTP/1.1, or HTTP/2 once it is known. As LoopProtocol. */
typedef struct HttpTalk {
    size_t (*bytes_in)(HttpConn *conn, Str bytes);
    size_t (*wants)(HttpConn *conn); /* NULL: all */
    void (*ended)(HttpConn *conn, bool all_read);
    void (*writable)(HttpConn *conn);
    void (*drain)(HttpConn *conn);
    void (*closed)(HttpConn *conn); /* conn->conn is NULL; frees what is its own, then conn_free */
} HttpTalk;

extern const HttpTalk http1_talk;

/* http2.c: ALPN said h2, or the first bytes are the preface, which it is shown next. Sets conn->talk
 * and conn->h2; the memory of the connection that only HTTP/2 needs is behind conn->h2. */
void http2_open(HttpConn *conn);
