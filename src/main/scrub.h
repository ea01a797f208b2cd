/* scrub.h: the background thread that reads every stored byte once in a while, before somebody needs it.
 * Owner:   `tarn serve` starts it when the lake is open and frees it before the lake is closed.
 * Threads: one of its own; start and free by one; scrub_last by any.
 * Errors:  a walk that cannot be finished is logged as a warning and tried again after SCRUB_AGAIN_S.
 * Limits:  SCRUB_TOLD_MAX findings of a walk are logged, all are counted; a walk that a stop cuts off begins again.
 * Units:   _ms: milliseconds; _us: microseconds since 1970. */
#pragma once

#include "api/api.h"
#include "store/store.h"

enum { SCRUB_TOLD_MAX = 100, SCRUB_AGAIN_S = 3600 };

typedef struct ScrubOptions {
    Os *os;
    Store *store;
    const char *data_dir;
    int64_t interval_ms;       /* from the end of a walk to the next, over restarts too; the first: after DIR/FORMAT */
    uint64_t bytes_per_second; /* 0: no bound */
    ApiScrubbed *shown;        /* of /metrics; outlives the thread */
} ScrubOptions;

/* What the last walk that was finished has found. */
typedef struct ScrubLast {
    int64_t ended_us; /* 0: there was none */
    uint64_t objects, bytes, findings;
    Str first; /* finding; empty: none */
} ScrubLast;

/* Of DIR/store/scrubbed; what is not there or cannot be read is no walk. */
void scrub_last(Os *os, const char *data_dir, Arena *arena, ScrubLast *ret_last);

/* One walk on the caller's thread; `stop` (read atomically) ends it. False: it could not be finished. */
bool scrub_round(const ScrubOptions *options, const bool *stop);

typedef struct Scrub Scrub;

/* `*ret_scrub` is NULL with an interval of 0: nothing is read in the background. */
Code scrub_start(const ScrubOptions *options, Scrub **ret_scrub, Err *err) CHECKED;
void scrub_free(Scrub **scrub); /* ends the walk after the piece at hand */
