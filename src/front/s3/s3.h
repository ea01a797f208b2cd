/* s3.h: the S3 door: a server of its own whose requests are signed (Signature Version 4).
 * Owner:   main/ owns the S3Server; the lake outlives it.
 * Threads: any for these functions.
 * Errors:  those of http_server.h; requests are answered in S3's XML.
 * Limits:  those of store/object.h, sigv4.h and s3_priv.h.
 * Units:   _ms. */
#pragma once

#include "api/api.h"
#include "front/http/http_server.h"

enum { S3_DOMAINS_MAX = 8 };

typedef struct S3Server S3Server;

typedef struct S3Options {
    ApiLake *lake;
    const HttpOptions *http;     /* listeners, policy, limits; routes and context are the door's */
    Str region;                  /* of signatures and LocationConstraint */
    Str domains[S3_DOMAINS_MAX]; /* "s3.example.org": BUCKET.s3.example.org is the bucket */
    size_t domain_count;
    uint64_t part_bytes_min;     /* of all parts but the last; 0: 5 MiB, as on AWS */
    Str public_host; /* tried as Host in signatures, for a proxy that changes it; empty: none */
} S3Options;

Code s3_start(const S3Options *options, S3Server **ret_s3, Err *err) CHECKED;
HttpServer *s3_http(S3Server *s3);
bool s3_drain(S3Server *s3, uint32_t wait_ms);
void s3_free(S3Server **s3);
