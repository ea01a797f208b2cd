/* ws.h: WebSocket over a request: RFC 6455, compressed by RFC 7692, on HTTP/2 by RFC 8441.
 * Owner:   a Ws is made by ws_accept and is gone after `closed`, which comes exactly once; nothing below
 *          frees it before it returns.
 * Threads: all on the request's loop; ws_post brings others there.
 * Errors:  what the peer breaks closes the connection with the code of section 7.4.1; the handler sees
 *          `closed`. ws_accept answers a handshake that it refuses: 400, 403, 405, 426.
 * Limits:  WsOptions; over them the connection is closed: 1009 a message, 1008 fragments. While more than
 *          WS_QUEUE_BYTES wait to go out nothing is read.
 * Units:   bytes; _ms.
 *
 * A route has the method GET (the CONNECT of HTTP/2 finds it too) and the lane HTTP_ON_LOOP; on_end accepts:
 *
 *     static void chat(HttpReq *r) { IGNORE(ws_accept(r, &chat_options, NULL)); } */
#pragma once

#include "front/http/http_server.h"
#include "front/ws/ws_frame.h"
#include "os/loop.h"

enum {
    WS_MESSAGE_DEFAULT_MAX = 1 << 20,
    WS_FRAGMENTS_DEFAULT_MAX = 1 << 17, /* 4 MiB in frames of 64 bytes are half of it */
    WS_QUEUE_BYTES = 1 << 20,
    WS_QUEUE_DEFAULT_MAX = 16 << 20,
    WS_DEFLATE_BITS = 12,           /* windows that are asked for: 16 KiB to send, 4 KiB to receive */
    WS_DEFLATE_LEAST_BYTES = 64,    /* shorter messages are sent as they are */
    WS_DEFLATE_MOST_BYTES = 1 << 20, /* and longer ones: they would hold the loop */
    WS_PING_MS = 30000,
    WS_CLOSE_MS = 5000
};

typedef struct Ws Ws;

typedef struct WsHandlers {
    /* A whole message, WS_TEXT or WS_BINARY; the bytes are borrowed for the call. */
    void (*message)(Ws *ws, WsOpcode kind, Str bytes);
    void (*writable)(Ws *ws); /* less than WS_QUEUE_BYTES wait again; NULL: nothing */
    /* The server ends; NULL: ws_close(1001). */
    void (*drain)(Ws *ws);
    /* Last. WS_ABNORMAL: the connection ended without a close frame. */
    void (*closed)(Ws *ws, uint16_t code, Str reason);
} WsHandlers;

typedef struct WsOptions {
    const WsHandlers *handlers;
    const Str *subprotocols;  /* of which the client's first is taken; without a match: none */
    size_t subprotocol_count;
    const Str *origins;       /* of browsers that may come ("https://a.example"); none: all */
    size_t origin_count;
    size_t message_max;       /* 0: WS_MESSAGE_DEFAULT_MAX */
    uint32_t fragments_max;   /* 0: WS_FRAGMENTS_DEFAULT_MAX */
    size_t queue_max;         /* of what waits to go out: over it the connection is cut; 0: default */
    bool deflate;             /* takes offers of permessage-deflate */
    bool deflate_forgets;     /* no window is kept between messages: slower, no memory at rest */
    int deflate_bits;         /* 0: WS_DEFLATE_BITS */
    uint32_t ping_ms;         /* a peer that is silent so long is asked, and cut after as long again; 0: default */
    uint32_t idle_ms;         /* without a message of either side: closed with 1000; 0: never */
    uint32_t close_ms;        /* for the peer's answer to a close frame; 0: WS_CLOSE_MS */
} WsOptions;

/* From on_end. NULL: it was no handshake that can be taken, and the refusal is replied.
 * `options` stay as long as the connection. */
Ws *ws_accept(HttpReq *r, const WsOptions *options, void *self);

void *ws_self(const Ws *ws);
HttpReq *ws_req(const Ws *ws);          /* until `closed` returns */
Str ws_subprotocol(const Ws *ws);       /* STR_NONE: none was agreed */
bool ws_deflates(const Ws *ws);
void ws_send(Ws *ws, WsOpcode kind, Str bytes); /* WS_TEXT must be UTF-8; after ws_close: dropped */
void ws_ping(Ws *ws, Str bytes);        /* WS_CONTROL_MAX at most; the answer is not told */
size_t ws_queued(const Ws *ws);         /* bytes that wait to go out */
void ws_rest(Ws *ws, bool rests);       /* rests: no message comes, the client waits */
/* Says goodbye; `closed` follows when the peer has answered or close_ms are over. */
void ws_close(Ws *ws, uint16_t code, Str reason);
/* From any thread, as long as `closed` was not called: runs on the loop. Look there whether it was. */
void ws_post(Ws *ws, LoopPost *post);
