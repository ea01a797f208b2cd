/* http_duplex.h: both sides of an exchange in the hands of its handler: WebSocket, bidirectional gRPC.
 * Owner:   the handler owns `self` until `closed`; the request is gone after `closed`.
 * Threads: all on the request's loop, of a route with the lane HTTP_ON_LOOP; http_duplex_post brings
 *          others there.
 * Errors:  a client that goes, or must be cut off, is seen as `closed`.
 * Limits:  4 MiB of input that the handler leaves; output as http_duplex_queued tells it.
 * Units:   bytes. */
#pragma once

#include "front/http/http_server.h"

typedef struct HttpDuplex {
    /* Bytes of the client, decoded: how many were taken. What is left is shown again with more
     * behind it, or when the handler stops resting. */
    size_t (*bytes_in)(void *self, Str bytes);
    void (*ended)(void *self);    /* the client has ended its side, all of it was shown; http_req_trailer */
    void (*writable)(void *self); /* some of what was queued has gone; NULL: nothing */
    void (*drain)(void *self);    /* the server ends: end when convenient; NULL: nothing */
    void (*closed)(void *self);   /* the last call, exactly once; on_free follows */
} HttpDuplex;

/* From on_head (the body is the client's side) or on_end. `status` 101 on HTTP/1.1 where
 * http_req_upgrades says so, else 200. Fields before it; nothing but the functions below after it. */
void http_reply_duplex(HttpReq *r, int status, const HttpDuplex *duplex, void *self);

void http_duplex_send(HttpReq *r, Str bytes);           /* copied */
void http_duplex_send_take(HttpReq *r, Buf *take_bytes);
size_t http_duplex_queued(const HttpReq *r);            /* bytes that wait: send less when many do */
void http_duplex_rest(HttpReq *r, bool rests);          /* rests: nothing is shown, the client waits */
void http_duplex_end(HttpReq *r);                       /* what is queued goes out, then the end, with
                                                         * http_reply_trailer; `closed` comes at once,
                                                         * or when the callback that asks returns */
void http_duplex_abort(HttpReq *r);                     /* the client sees that it is not whole */
/* From any thread, as long as `closed` was not called: runs on the loop. Look there whether it was. */
void http_duplex_post(HttpReq *r, LoopPost *post);
