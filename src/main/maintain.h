/* maintain.h: the one background thread that keeps a lake small.
 * Owner:   `tarn serve` starts it when the lake is open and frees it before the lake is closed.
 * Threads: one of its own; start and free by one.
 * Errors:  a step that fails is logged as a warning and tried again at the next round.
 * Limits:  a round forgets as many rows as meta/ops.def says.
 * Units:   _ms: milliseconds. */
#pragma once

#include "api/api.h"
#include "meta/meta.h"
#include "govern/access.h"
#include "os/clock.h"
#include "sql/compact.h"
#include "store/store.h"
#include "table/catalog.h"

enum { MAINTAIN_LOOK_S = 60, MAINTAIN_FLUSH_S = 2 * MAINTAIN_LOOK_S };

typedef struct MaintainOptions {
    Os *os;
    Meta *meta;
    Store *store;
    Catalog *catalog;
    int64_t interval_ms; /* between rounds; the first is at start */
    int64_t grace_ms;    /* age of an intent whose objects are swept */
    int64_t audit_ms;    /* age of audit rows that are forgotten */
    int64_t reclaim_ms;  /* from a snapshot's end to that of its files */
    int64_t trash_ms;    /* from a table's drop to the end of its files; reclaim_ms at least */
    int64_t orphans_ms;  /* between looks for files that nothing names; 0: never */
    ApiMaintained *shown; /* of /metrics; outlives the thread; NULL: nobody looks */
    Govern *govern;      /* writes when access keys were used, every MAINTAIN_FLUSH_S; NULL: nothing is known */
    void (*flush)(void *arg); /* writes what waits, as often; NULL: nothing does */
    void *flush_arg;
    Clock *clock;        /* its floor is kept once a minute at most, and told when it holds; NULL: there is none */
    Sql *sql;            /* joins small files of tables with tarn.compact = true; NULL: nothing does */
    CompactRule compact;
} MaintainOptions;

/* One round on the caller's thread; `stop` (read atomically) ends it at the next object, segment or
 * transaction. */
void maintain_round(const MaintainOptions *options, const bool *stop);

typedef struct Maintain Maintain;

Code maintain_start(const MaintainOptions *options, Maintain **ret_maintain, Err *err) CHECKED;
/* Ends the thread after the object, segment or transaction at hand. */
void maintain_free(Maintain **maintain);
