/* limit.h: what one client, and all of them together, may take: connections, requests, rates, bytes.
 * Owner:   a server makes one Limits and frees it after its last request.
 * Threads: any; one short lock of a shard for each address looked up, atomics for the rest.
 * Errors:  a refusal is a LimitVerdict, never an error; limits_new fails for settings that are none.
 * Limits:  the LIMIT_* below and LimitOptions; the table of addresses never grows.
 * Units:   bytes; _us: monotonic microseconds; _s seconds. */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "os/net.h"
#include "os/os.h"

enum {
    LIMIT_TIERS_MAX = 8,
    LIMIT_SHARDS = 64,
    LIMIT_WAYS = 8,               /* entries that one place of the table chooses from */
    LIMIT_ENTRIES_DEFAULT = 65536,
    LIMIT_ENTRIES_MAX = 1 << 22,
    LIMIT_NAME_MAX = 64,          /* of a tier */
    LIMIT_REQUESTS_MAX = 100000000, /* of a tier in its window */
    LIMIT_CLIENT_SHARE = 2        /* one client holds at most one part in so many of bytes_max */
};

typedef struct Limits Limits;
typedef struct LimitEntry LimitEntry; /* of one client; stays in the table while it is pinned */

/* So many requests a window, and so many of them at once. */
typedef struct LimitTier {
    const char *name;        /* lower-case letters, digits, '-': stands in RateLimit */
    uint32_t requests;       /* 0: no limit */
    uint32_t window_s;       /* 0: 60 */
    const char *announced;   /* out: "\"low\";q=100;w=60" */
} LimitTier;

typedef struct LimitOptions {
    Os *os;
    uint32_t entries;                 /* clients remembered; 0: LIMIT_ENTRIES_DEFAULT */
    uint32_t connections_an_address;  /* 0: no limit */
    uint32_t requests_an_address;     /* in flight; 0: no limit */
    uint32_t requests_max;            /* in flight of all; 0: no limit */
    uint64_t bytes_max;               /* buffered of all; 0: no limit */
    LimitTier tiers[LIMIT_TIERS_MAX];
    size_t tier_count;
} LimitOptions;

/* Whom an entry stands for. An address is IPv4 whole, IPv6 by its /64. */
typedef enum LimitKind { LIMIT_ADDRESS = 1, LIMIT_PRINCIPAL, LIMIT_FAILURES } LimitKind;
typedef struct LimitKey {
    uint64_t high, low;
    LimitKind kind;
} LimitKey;

typedef enum LimitVerdict {
    LIMIT_OK,
    LIMIT_RATE,          /* 429 */
    LIMIT_ADDRESS_FULL,  /* 429: the client has too much in flight */
    LIMIT_FULL           /* 503: all together have */
} LimitVerdict;

/* What RateLimit announces. The tier lives as long as the Limits. */
typedef struct LimitRate {
    const LimitTier *tier;   /* NULL: no limit */
    uint32_t remaining;
    uint32_t reset_s;        /* until the quota is whole again; nothing remaining: until one request is */
} LimitRate;

Code limits_new(const LimitOptions *options, Limits **ret_limits, Err *err) CHECKED;
void limits_free(Limits **limits);
/* Takes the tiers and maxima of `options`; what is counted stays. Any thread. */
Code limits_set(Limits *limits, const LimitOptions *options, Err *err) CHECKED;

LimitKey limit_key_address(const NetAddress *address);
LimitKey limit_key_name(const Limits *limits, Str principal);
LimitKey limit_key_failures(LimitKey address);

/* Connections: what an admitted one gets (NULL: the table had no place) is given back once. */
bool limits_conn_take(Limits *limits, LimitKey address, LimitEntry **ret_entry);
void limits_conn_give(LimitEntry *entry);

/* Requests in flight: `*ret_entry` (NULL: counted with all only) is given back. `seat`: the entry of an
 * open connection of this client, which saves the lock; NULL: `address` is looked up. That NULL too: a
 * client without a limit of its own. */
LimitVerdict limits_request_take(Limits *limits, LimitEntry *seat, const LimitKey *address,
                                 LimitEntry **ret_entry);
void limits_request_give(Limits *limits, LimitEntry *entry);

/* Takes one request off the bucket of `key` in `tier`; LIMIT_OK or LIMIT_RATE. */
LimitVerdict limits_rate_take(Limits *limits, LimitKey key, size_t tier, int64_t now_us,
                              LimitRate *ret_rate);
/* Says what limits_rate_take would, and takes nothing. */
LimitVerdict limits_rate_peek(Limits *limits, LimitKey key, size_t tier, int64_t now_us,
                              LimitRate *ret_rate);

/* The budget of buffered bytes: false: there is none left, nothing is taken. `entry`: of a request in
 * flight, or of a connection, that lasts until they are given back: its client has a share; NULL: nobody. */
bool limits_bytes_take(Limits *limits, LimitEntry *entry, size_t bytes);
void limits_bytes_give(Limits *limits, LimitEntry *entry, size_t bytes);
/* Takes them in any case: what is in memory already and cannot be refused any more. */
void limits_bytes_force(Limits *limits, LimitEntry *entry, size_t bytes);
uint64_t limits_bytes_left(const Limits *limits);
uint64_t limits_bytes_held(const Limits *limits);

/* Waiting for bytes: who waits holds none, or all would wait for each other. Clients take turns, each with its
 * requests in their order. Who can do with less takes nothing while limits_bytes_short. */
typedef struct LimitLine LimitLine;
typedef struct LimitWaiter {
    LimitEntry *entry;       /* as of limits_bytes_take */
    size_t bytes;            /* wanted; when granted: taken, to be given back (less when the budget itself is) */
    void (*granted)(struct LimitWaiter *waiter); /* any thread, under a lock: it calls nothing of these */
    struct LimitWaiter *prev, *next;
    LimitLine *line;         /* NULL: it does not stand in one */
} LimitWaiter;

/* True: taken, nobody waits. False: nothing is taken; limits_bytes_await is for who can wait. */
bool limits_bytes_try(Limits *limits, LimitEntry *entry, size_t bytes);
/* `granted` is called once, perhaps before it returns, unless limits_bytes_leave comes first. */
void limits_bytes_await(Limits *limits, LimitWaiter *waiter);
bool limits_bytes_leave(Limits *limits, LimitWaiter *waiter); /* false: it was granted */
bool limits_bytes_short(const Limits *limits); /* somebody waits for what all have together */

typedef struct LimitStats {
    uint64_t requests, bytes, bytes_peak;          /* at this moment */
    uint64_t refused_connections, refused_rate, refused_address, refused_full, refused_bytes;
    uint64_t waiting, waited;                      /* for bytes: at this moment, all */
    uint64_t unpinned;                             /* looked up while the table had no place */
} LimitStats;
void limits_stats(Limits *limits, LimitStats *ret_stats);
