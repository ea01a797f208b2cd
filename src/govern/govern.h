/* govern.h: who asks, what they may, and the rows that say who changed what.
 * Owner:   main/ opens one Govern; results live in the passed arena.
 * Threads: any.
 * Errors:  UNAUTHENTICATED (no such key, expired, revoked: one text for all), FORBIDDEN, EXISTS,
 *          NOT_FOUND, INVALID.
 * Limits:  GOVERN_NAME_MAX bytes a key's name.
 * Units:   _us: microseconds since 1970 UTC; 0: never. */
#pragma once

#include "meta/meta.h"
#include "os/clock.h"

enum { GOVERN_NAME_MAX = 128, GOVERN_SECRET_BYTES = 32 };

typedef struct Govern Govern;

/* From the least to the most. `reader` is an older name of data_viewer. */
typedef enum GovernRole { ROLE_READER, ROLE_SCIENTIST, ROLE_ENGINEER, ROLE_ADMIN } GovernRole;
typedef enum GovernRight { RIGHT_READ, RIGHT_WRITE, RIGHT_ADMIN } GovernRight;

typedef struct Principal {
    Str id;   /* of the key */
    Str name;
    GovernRole role;
} Principal;

Code govern_open(Os *os, Meta *meta, Govern **ret_govern, Err *err) CHECKED;
void govern_free(Govern **govern);

/* From now on ends are judged by it, so before anything is asked; without one by the machine's clock. */
void govern_clock_set(Govern *govern, Clock *clock);
int64_t govern_now_us(const Govern *govern); /* by which keys, tokens, sessions and claims end */

/* `bearer` is the token itself. Its SHA-256 is looked up; the comparison tells nothing by its time. */
Code govern_authenticate(Govern *govern, Str bearer, Arena *arena, Principal *ret_principal,
                         Err *err) CHECKED;

/* FORBIDDEN names the right, the principal and `target`. Viewers and scientists may only read what
 * belongs to the lake; buckets of their own are judged by access.h. */
Code govern_check(const Principal *principal, GovernRight right, Str target, Err *err) CHECKED;
bool govern_role_may(GovernRole role, GovernRight right);

/* ---- keys: 256 random bits as `tarn_` and 64 hexadecimal digits; only the SHA-256 is kept ---- */
typedef struct KeyCreate {
    Str name;           /* unique among keys that are not revoked */
    GovernRole role;
    int64_t expires_us; /* 0: never */
    Str principal;      /* who makes it, for the audit */
} KeyCreate;

/* `*ret_secret` is shown once: nothing can give it again. */
Code govern_key_create(Govern *govern, const KeyCreate *create, Arena *arena, Str *ret_id,
                       Str *ret_secret, Err *err) CHECKED;
Code govern_key_list(Govern *govern, Arena *arena, MetaKey **ret_keys, size_t *ret_count,
                     Err *err) CHECKED;
Code govern_key_revoke(Govern *govern, Str id, Str principal, Err *err) CHECKED;

bool govern_role_parse(Str name, GovernRole *ret_role);
Str govern_role_name(GovernRole role);

/* Adds the row of the audit to the transaction of the change. */
void govern_audit(Govern *govern, MetaTxn *txn, Str principal, Str verb, Str target, Str outcome,
                  Str detail_json);

/* ---- policies: filters and masks that sql/ places where a name is resolved ---- */
typedef struct PolicyMask {
    Str column;
    Str expression; /* SQL over the table's columns, in place of the column */
} PolicyMask;

typedef struct PolicyExpr {
    Str row_filter; /* SQL over the table's columns; empty: all rows */
    const PolicyMask *masks;
    size_t mask_count;
} PolicyExpr;

/* What a principal sees of a table. No policy can be declared yet: all rows, no masks. */
Code govern_policy(Govern *govern, const Principal *principal, Str ns, Str table, Arena *arena,
                   PolicyExpr *ret_policy, Err *err) CHECKED;
