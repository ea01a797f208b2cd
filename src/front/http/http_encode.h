/* http_encode.h: replies in gzip or Zstandard for those who accept it (RFC 9110 12.5.3, RFC 8878).
 * Owner:   what a stream needs lives in its request and ends with its HttpPull.
 * Threads: encode_reply where the request runs.
 * Errors:  none: a reply that cannot be encoded goes out as it is.
 * Limits:  ENCODE_ON_LOOP_MAX; the memory of open streams comes out of the budget of bytes.
 * Units:   bytes. */
#pragma once

#include "base/str.h"
#include "format/encode.h"

typedef struct HttpReq HttpReq;
typedef struct Limits Limits;

enum {
    ENCODE_BYTES_MIN = 1 << 10,    /* below, the field and the processor cost more than is saved */
    ENCODE_ON_LOOP_MAX = 128 << 10, /* of a whole body that a loop encodes: about 0.2 ms */
    ENCODE_IDENTITY = -1
};

typedef struct EncodeRules {
    bool off;
    int gzip_level, zstd_level;
    size_t bytes_min;
} EncodeRules;

/* What Accept-Encoding likes best of Zstandard, gzip and none; equal: in this order. */
int encode_choose(Str accept);
/* Whether bodies of a media type become smaller. */
bool encode_type_ok(Str type);

/* Encodes the reply that is set, or wraps its stream; sets Content-Encoding, Vary, a weak ETag. Never:
 * partial and error replies, files, types that are compressed already, what a handler encoded itself,
 * `no-transform`, routes of HTTP_ROUTE_NO_COMPRESS. Streams reach the client after each pull that ends
 * in HTTP_PULL_LATER, events and lines of JSON after each pull. */
void encode_reply(HttpReq *r, const EncodeRules *rules, Limits *limits);
