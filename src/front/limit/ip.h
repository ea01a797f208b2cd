/* ip.h: addresses and networks of clients and proxies.
 * Owner:   values; nothing to free.
 * Threads: any.
 * Errors:  INVALID for a text that is no network; the other parsers return false.
 * Limits:  numbers only, no names, no zones.
 * Units:   bits of a prefix. */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "os/net.h"

/* IPv4 is ::ffff:a.b.c.d, so that one comparison serves both. */
typedef struct Ip {
    uint8_t bytes[16];
} Ip;

typedef struct IpNet {
    Ip ip;
    unsigned bits; /* 0 to 128 */
} IpNet;

Ip ip_of(const NetAddress *address);
bool ip_is_v4(const Ip *ip);
/* "10.0.0.1", "10.0.0.1:80", "2001:db8::1", "[2001:db8::1]", "[2001:db8::1]:80"; without a port: 0. */
bool ip_parse(Str text, NetAddress *ret_address);
/* The address alone: "10.0.0.1", "2001:db8::1"; `text` holds NET_ADDRESS_TEXT_MAX bytes. */
Str ip_format(const NetAddress *address, char *text);
/* "10.0.0.0/8", "2001:db8::/32", "::1"; bits behind the prefix must be zero: they are a mistake. */
Code ip_net_parse(Str text, IpNet *ret_net, Err *err) CHECKED;
bool ip_nets_have(const IpNet *nets, size_t count, const Ip *ip);
