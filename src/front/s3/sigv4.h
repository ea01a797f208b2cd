/* sigv4.h: AWS Signature Version 4 as S3 has it: who signed a request, over what, and its chunks.
 * Owner:   everything lives in the given arena or borrows from the request.
 * Threads: any; one SigChain at a time.
 * Errors:  false with a SigFail: S3's code, status and AWS's text.
 * Limits:  SIG_*; a clock that differs by SIG_SKEW_S; a signed URL of SIG_EXPIRES_S_MAX.
 * Units:   _s: seconds; _us: microseconds since 1970 UTC.
 *
 * Pure bytes: no clock, no secret store. Every `x-amz-*` field and Host have to be signed; the scope
 * has to be of the day of X-Amz-Date, of this region, service s3 (or sts). Version 2 is refused. */
#pragma once

#include "base/err.h"
#include "base/str.h"

enum {
    SIG_LEN = 64,              /* hexadecimal digits */
    SIG_SKEW_S = 15 * 60,
    SIG_EXPIRES_S_MAX = 604800,
    SIG_FIELDS_MAX = 96,
    SIG_QUERY_MAX = 128        /* parameters of a query */
};

typedef struct SigField {
    Str name; /* any case */
    Str value;
} SigField;

typedef struct SigRequest {
    Str method;
    Str path;  /* raw, before `?` */
    Str query; /* raw, behind `?`; may be empty */
    const SigField *fields;
    size_t field_count;
} SigRequest;

typedef enum SigKind { SIG_ANONYMOUS, SIG_HEADER, SIG_QUERY } SigKind;

/* What the request says of its signature; nothing of it is proven before sig_verify. */
typedef struct SigClaim {
    SigKind kind;
    Str access_key, day, region, service;
    Str scope;           /* "20261122/us-east-1/s3/aws4_request" */
    Str amz_date;        /* "20261122T180000Z" */
    Str signed_headers;  /* "host;x-amz-date" */
    Str signature;       /* hexadecimal */
    Str token;           /* X-Amz-Security-Token; empty: none */
    Str payload;         /* of the canonical request: x-amz-content-sha256 or UNSIGNED-PAYLOAD */
    int64_t date_us;
    uint32_t expires_s;  /* of SIG_QUERY */
} SigClaim;

typedef struct SigFail {
    const char *code;    /* "SignatureDoesNotMatch" */
    int status;
    Str message;
    Str region;          /* the right one, when the region was wrong */
    Str headers;         /* that were not signed, ", " between them */
    Str string_to_sign, canonical; /* of SignatureDoesNotMatch */
    int64_t expired_us;  /* when a signed URL ended; 0: none */
} SigFail;

/* `service` is "s3" or "sts". Syntax, scope, day, region; SIG_ANONYMOUS: no signature at all. */
bool sig_claim(const SigRequest *request, Str region, Str service, Arena *arena, SigClaim *ret_claim,
               SigFail *ret_fail);
/* The clock: skew of a header's signature, the end of a signed URL. */
bool sig_check_time(const SigClaim *claim, int64_t now_us, Arena *arena, SigFail *ret_fail);

typedef struct SigKey {
    uint8_t bytes[32]; /* of a day, region and service; wipe it after use */
} SigKey;

SigKey sig_key(Str secret, Str day, Str region, Str service);
/* Compares in constant time. `host`: tried as the value of Host too (a public name behind a
 * proxy); empty: none. */
bool sig_verify(const SigRequest *request, const SigClaim *claim, const SigKey *key, Str host,
                Arena *arena, SigFail *ret_fail);
/* The `policy` field of a POST form, in base64 as sent. */
bool sig_verify_policy(Str policy, Str signature, const SigKey *key);
/* What a client would send: for tests, clients of ours and signed URLs of the command line. */
Str sig_sign(const SigRequest *request, const SigClaim *claim, const SigKey *key, Arena *arena);

/* The chain over chunks: each signature covers the one before. */
typedef struct SigChain {
    SigKey key;
    Str amz_date, scope;
    char previous[SIG_LEN];
} SigChain;

void sig_chain_init(SigChain *chain, const SigClaim *claim, const SigKey *key);
bool sig_chain_chunk(SigChain *chain, const uint8_t data_sha256[32], const char signature[SIG_LEN]);
/* `trailers`: "name:value\n" each, without x-amz-trailer-signature. */
bool sig_chain_trailer(SigChain *chain, Str trailers, Str signature);
void sig_chain_sign_chunk(SigChain *chain, const uint8_t data_sha256[32], char ret_signature[SIG_LEN]);
