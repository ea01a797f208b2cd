/* govern_priv.h: what the files of govern/ share.
 * Owner:   govern.c the Govern, access.c its cache.
 * Threads: `mutex` guards what stands below it.
 * Errors:  none of its own.
 * Limits:  ACCESS_CACHE_SLOTS keys are kept unsealed.
 * Units:   _us. */
#pragma once

#include "format/seal.h"
#include "govern/access.h"
#include "os/thread.h"

enum { ACCESS_CACHE_SLOTS = 256 };

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

struct Govern {
    Os *os;
    Meta *meta;
    bool has_master;
    uint8_t master[SEAL_KEY_LEN];
    Mutex mutex; /* guards what follows */
    CachedKey *cache;
    uint64_t changes; /* a look-up that began before a change is not kept */
};

void access_cache_done(Govern *govern);
