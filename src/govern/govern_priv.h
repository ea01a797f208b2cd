/* govern_priv.h: what the files of govern/ share.
 * Owner:   govern.c the Govern, access.c its cache.
 * Threads: `mutex` guards what stands below it; `uses` says for itself.
 * Errors:  none of its own.
 * Limits:  ACCESS_CACHE_SLOTS keys are kept unsealed; of ACCESS_USES_MAX it is known when they signed.
 * Units:   _us. */
#pragma once

#include "format/seal.h"
#include "govern/access.h"
#include "os/thread.h"

#include <stdatomic.h>

enum { ACCESS_CACHE_SLOTS = 256, ACCESS_USE_SLOTS = 1024, ACCESS_USES_MAX = 100000 };

/* One access key, unsealed; a change of keys or principals empties all. */
typedef struct CachedKey {
    char id[ACCESS_ID_MAX + 1];
    char secret[ACCESS_SECRET_MAX + 1];
    char principal_id[64], principal_name[GOVERN_NAME_MAX + 1];
    GovernRole role;
    int64_t epoch;
    int64_t expires_us;
    bool used;
} CachedKey;

/* When a key signed last (access_use.c). */
typedef struct AccessUse {
    struct AccessUse *next; /* set before it is found */
    char id[ACCESS_ID_MAX + 1];
    atomic_int_fast64_t minute; /* since 1970 */
    char service[8], region[32]; /* these under uses_mutex */
    bool dirty;                  /* the database has an older one */
} AccessUse;

struct Govern {
    Os *os;
    Clock *clock; /* NULL: the machine's */
    Meta *meta;
    bool has_master;
    uint8_t master[SEAL_KEY_LEN];
    Mutex changing; /* principals and access keys are read, then written: one change at a time, from first to last */
    Mutex mutex; /* guards what follows */
    CachedKey *cache;
    uint64_t changes; /* a look-up that began before a change is not kept */
    _Atomic(AccessUse *) uses[ACCESS_USE_SLOTS]; /* read without a lock, added to under uses_mutex */
    Mutex uses_mutex;
    size_t use_count;
};

void access_cache_done(Govern *govern);
void access_use_init(Govern *govern);
void access_use_done(Govern *govern);
/* What was not written yet, over rows of the database. */
void access_use_overlay(Govern *govern, Arena *arena, MetaAccessKey *keys, size_t count);
