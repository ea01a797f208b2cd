/* ws_deflate.h: the offers of Sec-WebSocket-Extensions, and what of permessage-deflate a server takes.
 * Owner:   a WsDeflate is a value.
 * Threads: any.
 * Errors:  WS_OFFER_MALFORMED: the field breaks RFC 6455 section 9.1, the handshake is refused.
 * Limits:  WS_OFFERS_MAX offers, WS_PARAMETERS_MAX parameters of one.
 * Units:   bits are the logarithm of a window in bytes. */
#pragma once

#include "base/buf.h"

enum { WS_OFFERS_MAX = 16, WS_PARAMETERS_MAX = 16 };

/* RFC 7692 section 7.1. */
typedef struct WsDeflate {
    int server_bits, client_bits;    /* windows of what each side sends */
    bool server_keeps, client_keeps; /* from message to message */
} WsDeflate;

typedef enum WsOffer { WS_OFFER_NONE, WS_OFFER_TAKEN, WS_OFFER_MALFORMED } WsOffer;

/* The first offer of permessage-deflate that can be met within `most` is taken; `answer` gets the value of
 * the reply's field. Others, and unknown extensions, are passed over. */
WsOffer ws_offer_take(Str value, const WsDeflate *most, WsDeflate *ret_deflate, Buf *answer);
