/* ws_priv.h: what a handshake agrees, for the files of this folder.
 * Owner:   the values borrow from the request.
 * Threads: the request's loop.
 * Errors:  a refused handshake has been replied.
 * Limits:  WS_FIELD_MAX.
 * Units:   bytes. */
#pragma once

#include "front/ws/ws.h"
#include "front/ws/ws_deflate.h"

enum { WS_FIELD_MAX = 4 << 10, WS_KEY_TEXT_LEN = 24, WS_KEY_LEN = 16 };

typedef struct WsAgreed {
    int status; /* 101, or 200 on HTTP/2 */
    Str subprotocol;
    bool deflates;
    WsDeflate deflate;
} WsAgreed;

/* Sets the fields of the reply; false: it replied. */
bool ws_handshake(HttpReq *r, const WsOptions *options, WsAgreed *ret_agreed);
