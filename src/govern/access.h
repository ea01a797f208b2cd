/* access.h: principals and their access keys for signed requests, session tokens, and what each may do to
 *           buckets.
 * Owner:   results live in the passed arena.
 * Threads: any.
 * Errors:  UNAUTHENTICATED (no such key, disabled, expired, revoked; or a token that is none of ours, or is over),
 *          FORBIDDEN, NOT_FOUND, EXISTS, INVALID; UNAVAILABLE without a master key.
 * Limits:  ACCESS_*; a session of SESSION_S_MIN to SESSION_S_MAX, with a policy of SESSION_POLICY_MAX bytes.
 * Units:   _us: microseconds since 1970 UTC, 0: never; _s: seconds.
 *
 * A secret is needed to check a signature, so it is kept, sealed with the master key; what lies in the
 * database alone opens nothing. */
#pragma once

#include "govern/govern.h"

enum {
    ACCESS_ID_MAX = 32,      /* "TARN" and 16 of A-Z 2-7 */
    ACCESS_SECRET_MAX = 64,  /* 40 of base64's letters */
    SESSION_S_MIN = 900,
    SESSION_S_MAX = 43200,
    SESSION_POLICY_MAX = 8192,
    SESSION_NAME_MAX = 64
};

/* The master key: 32 bytes in `path` (made at the first start, readable by its owner alone), or 64
 * hexadecimal digits in `text` (TARN_MASTER_KEY), which goes before. */
Code govern_master_load(Govern *govern, const char *path, Str text, Err *err) CHECKED;

/* For start and doctor: keys that are not revoked, and how many of them this master key does not open. */
Code govern_access_sealed(Govern *govern, size_t *ret_keys, size_t *ret_closed, Err *err) CHECKED;
/* Revokes those that the master key does not open: when the one that sealed them is lost. */
Code govern_access_drop_closed(Govern *govern, Str by, Err *err) CHECKED;

/* ---- principals ---- */
Code govern_principal_create(Govern *govern, Str name, GovernRole role, Str by, Arena *arena,
                             MetaPrincipal *ret_principal, Err *err) CHECKED; /* EXISTS */
/* What is NULL stays. Ends its session tokens. */
Code govern_principal_set(Govern *govern, Str name, const GovernRole *role, const bool *disabled, Str by,
                          Err *err) CHECKED;
Code govern_principals(Govern *govern, Arena *arena, MetaPrincipal **ret_principals, size_t *ret_count,
                       Err *err) CHECKED;

/* ---- access keys: several a principal, so that one can follow the other ---- */
Code govern_access_create(Govern *govern, Str principal_name, int64_t expires_us, Str by, Arena *arena,
                          Str *ret_id, Str *ret_secret, Err *err) CHECKED;
typedef enum AccessChange { ACCESS_DISABLE, ACCESS_ENABLE, ACCESS_REVOKE } AccessChange;
/* One or both, together; what is NULL stays. */
Code govern_access_set(Govern *govern, Str id, const int64_t *expires_us, const AccessChange *change, Str by,
                       Err *err) CHECKED;
Code govern_access_change(Govern *govern, Str id, AccessChange change, Str by, Err *err) CHECKED;
/* Ends the key at `expires_us`, 0: never. */
Code govern_access_expire(Govern *govern, Str id, int64_t expires_us, Str by, Err *err) CHECKED;
/* Another key of the same principal; the old one ends at `old_until_us` at the latest. Both or neither. */
Code govern_access_rotate(Govern *govern, Str id, int64_t old_until_us, int64_t expires_us, Str by,
                          Arena *arena, Str *ret_id, Str *ret_secret, Err *err) CHECKED;
/* Of one principal, or of all with an empty name. */
Code govern_access_list(Govern *govern, Str principal_name, Arena *arena, MetaAccessKey **ret_keys,
                        size_t *ret_count, Err *err) CHECKED;

/* After a signature was found to be right. Cheap: a look without a lock but for the first one of a minute. */
void govern_access_used(Govern *govern, Str id, Str service, Str region);
/* Writes when keys were used, if that changed: every few minutes, and at the end. */
Code govern_access_flush(Govern *govern, Err *err) CHECKED;

/* What a signed request needs. Nothing is proven before its signature was checked with `secret`. */
typedef struct AccessGrant {
    Principal principal;
    Str key_id; /* of the access key; of a session: the one that began it */
    Str secret;
    Str session_policy; /* JSON; empty: none */
    Str session_name;
} AccessGrant;
/* It is remembered: govern_access_find reads nothing. */
bool govern_access_known(Govern *govern, Str access_key_id);
/* `token`: X-Amz-Security-Token; empty: none. UNAUTHENTICATED; GONE: a session of ours that is over. */
Code govern_access_find(Govern *govern, Str access_key_id, Str token, Arena *arena,
                        AccessGrant *ret_grant, Err *err) CHECKED;

/* ---- sessions (STS AssumeRole) ---- */
typedef struct SessionCredentials {
    Str access_key_id, secret, token;
    int64_t expires_us;
} SessionCredentials;
/* A session of `principal` (never of another session), narrowed by `policy` if it is not empty. */
Code govern_session_create(Govern *govern, const AccessGrant *grant, Str access_key_id,
                           Str session_name, Str policy,
                           uint32_t duration_s, Arena *arena, SessionCredentials *ret_credentials,
                           Err *err) CHECKED;

/* ---- rights on buckets ---- */
typedef enum BucketRight {
    BUCKET_LIST,    /* names of objects, versions, uploads; that the bucket is there */
    BUCKET_READ,    /* bytes, fields and tags of objects */
    BUCKET_WRITE,   /* puts, uploads, tags */
    BUCKET_DELETE,  /* objects and versions */
    BUCKET_CREATE,
    BUCKET_REMOVE,
    BUCKET_SET      /* versioning, CORS, tags of the bucket */
} BucketRight;
/* By role:  viewers list and read; scientists also do everything in buckets of their own; engineers write and
 * delete everywhere and set buckets up; admins do all. `owner`: principal id of the bucket; empty: the lake's. */
bool govern_bucket_may(const Principal *principal, BucketRight right, Str owner);

/* Judges an inline session policy: Version, Statement {Effect, Action, Resource} with `*` and `?`. Anything
 * else in it is refused when the session is made, so that nothing is granted by oversight. */
Code session_policy_check(Str policy, Err *err) CHECKED;
/* `action` "s3:GetObject", `resource` "arn:aws:s3:::bucket/key". An explicit Deny wins; no Allow: false. */
bool session_policy_allows(Str policy, Str action, Str resource, Arena *tmp);
