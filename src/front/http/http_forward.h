/* http_forward.h: who the client is behind proxies, and what it asked them for (RFC 7239, X-Forwarded-*).
 * Owner:   results borrow from the head.
 * Threads: any.
 * Errors:  none: what is malformed or not trusted is not looked at.
 * Limits:  FORWARD_HOPS_MAX proxies behind each other.
 * Units:   none. */
#pragma once

#include "format/http.h"
#include "front/limit/ip.h"

enum { FORWARD_HOPS_MAX = 16 };

/* Which fields the proxies write. A proxy passes on what it does not write, so that a field of the
 * other kind is the client's own word and is never looked at. */
typedef enum ForwardKind { FORWARD_X, FORWARD_RFC7239 } ForwardKind;

typedef struct Forward {
    NetAddress client;
    bool told;         /* client is not the peer; it has a port only when the proxy said one */
    Str scheme, host;  /* no pointer: not told */
} Forward;

/* From the right, as long as the hop that said it is trusted: the first address that is not is the
 * client. `peer` not trusted: it is the client, and nothing is looked at. */
void forward_find(const HttpHead *head, ForwardKind kind, const NetAddress *peer, const IpNet *trusted,
                  size_t trusted_count, Forward *ret_forward);
