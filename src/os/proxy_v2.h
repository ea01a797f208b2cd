/* proxy_v2.h: decodes the header of the PROXY protocol, version 2 (haproxy.org, proxy-protocol.txt,
 * section 2.2).
 * Owner:   the caller; nothing is kept.
 * Threads: any.
 * Errors:  PROXY_V2_REFUSE for whatever the specification does not have.
 * Limits:  PROXY_V2_BYTES_MAX with all TLVs; LOCAL, and PROXY over streams.
 * Units:   bytes. */
#pragma once

#include "base/str.h"

enum { PROXY_V2_FIXED_BYTES = 16, PROXY_V2_BYTES_MAX = 4096 };

typedef enum ProxyV2Step { PROXY_V2_MORE, PROXY_V2_REFUSE, PROXY_V2_DONE } ProxyV2Step;

typedef struct ProxyHeader {
    bool announces;          /* false: LOCAL, or a family that has no addresses: the peer counts */
    uint8_t source[16], target[16];
    size_t source_len;       /* 4 or 16 */
    uint16_t source_port, target_port;
} ProxyHeader;

/* `*ret_used`: what the header takes of `bytes`, when DONE. MORE only for a prefix that can still
 * become a header; it is never longer than PROXY_V2_BYTES_MAX. */
ProxyV2Step proxy_v2_decode(Str bytes, ProxyHeader *ret_header, size_t *ret_used);
