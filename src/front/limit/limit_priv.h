/* limit_priv.h: the Limits, for the files of this folder.
 * Owner:   limit.c, and limit_bytes.c what counts bytes.
 * Threads: as each field says.
 * Errors:  none of its own.
 * Limits:  those of limit.h.
 * Units:   bytes, _us. */
#pragma once

#include "front/limit/limit.h"
#include "os/thread.h"

#include <stdatomic.h>

enum { LIMIT_CACHE_LINE = 64 };

struct LimitEntry {
    uint64_t high, low;
    int64_t full_us;               /* of its bucket; under the lock */
    atomic_uint connections, requests;
    atomic_uint_fast64_t bytes;    /* of its requests in flight */
    LimitLine *line;               /* under wait_mutex; NULL: nobody waits */
    LimitKind kind;                /* 0: free */
};

typedef struct Shard {
    Mutex mutex;
    uint64_t refused_connections, refused_rate, unpinned;
    char apart[LIMIT_CACHE_LINE];        /* two shards share no line */
} Shard;

struct LimitLine {
    LimitLine **home;              /* where the client has it */
    LimitLine *prev, *next;        /* in the order of their turns */
    LimitWaiter *first, *last;
};

typedef struct Config {
    struct Config *older;
    uint32_t connections_an_address, requests_an_address, requests_max;
    uint64_t bytes_max;
    char names[LIMIT_TIERS_MAX][LIMIT_NAME_MAX];
    char announced[LIMIT_TIERS_MAX][LIMIT_NAME_MAX + 40];
    LimitTier tiers[LIMIT_TIERS_MAX];
    size_t tier_count;
} Config;

struct Limits {
    uint64_t seed[4];
    size_t place_mask;
    LimitEntry *entries;
    _Atomic(Config *) config;
    Mutex set_mutex;               /* one limits_set at a time */
    Shard shards[LIMIT_SHARDS];
    char apart_requests[LIMIT_CACHE_LINE];
    atomic_uint requests;
    char apart_bytes[LIMIT_CACHE_LINE];
    atomic_uint_fast64_t bytes, bytes_peak;
    char apart_end[LIMIT_CACHE_LINE];
    atomic_uint_fast64_t refused_address, refused_full, refused_bytes;
    atomic_uint waiting;
    atomic_uint_fast64_t waited;
    atomic_bool is_short;          /* the first in turn waits for what all have */
    Mutex wait_mutex;              /* guards what follows */
    LimitLine *line_first, *line_last, *line_nobody; /* nobody: of those without an entry */
};

/* limit_bytes.c: who waits and can have what it wants, gets it. */
void lines_serve(Limits *limits);

static inline const Config *limits_config(const Limits *limits)
{
    return atomic_load_explicit(&limits->config, memory_order_acquire);
}
