/* landing.h: the changes of objects become rows of the Iceberg table bronze.objects, each exactly once.
 * Owner:   main/ opens one a lake; freed before the Sql that its tail is registered with.
 * Threads: landing_step and start by one; the rest from any.
 * Errors:  those of catalog and sql; a step that fails in the thread is a warning and comes again.
 * Limits:  LANDING_ROWS_MAX changes a commit.
 * Units:   _ms; _us: microseconds since 1970 UTC; sequence: as in store.h.
 *
 * Rows and the place in the feed commit in one transaction of the metadata, so a crash neither loses nor
 * doubles. A SELECT reads the table's files and, behind them, the feed: a change is seen at once, and the feed keeps
 * what the SELECT began with until its result is freed. Files
 * of tables (the lake's bucket) are no objects here, so the table does not feed on itself. */
#pragma once

#include "source/source.h"
#include "sql/sql.h"
#include "table/catalog.h"

enum {
    LANDING_ROWS_MAX = 100000, /* numbers of changes, of which some are no rows; sorted in memory, 0.9 KiB each */
    LANDING_INTERVAL_MS = 60000
};

typedef struct Landing Landing;

typedef struct LandingOptions {
    Os *os;
    Store *store;
    Meta *meta;
    Catalog *catalog;
    Sql *sql;
    Source *source;
    int64_t interval_ms; /* from the first change to its commit; 0: LANDING_INTERVAL_MS */
    uint64_t rows_max;   /* that do not wait for it; 0: LANDING_ROWS_MAX */
} LandingOptions;

/* Makes bronze.objects when it is not there and registers it; before the first query. */
Code landing_open(const LandingOptions *options, Landing **ret_landing, Err *err) CHECKED;
void landing_free(Landing **landing); /* ends the thread after the step at hand */
/* From now on in the background. */
Code landing_start(Landing *landing, Err *err) CHECKED;
/* Lands what there is, at most rows_max changes, on the caller's thread. */
Code landing_step(Landing *landing, uint64_t *ret_rows, Err *err) CHECKED;

typedef struct LandingState {
    uint64_t landed;   /* sequence: everything up to it is in the files */
    uint64_t seen;     /* behind it the next step begins: `landed`, or later where nothing was to land */
    uint64_t newest;   /* of the feed */
    uint64_t rows, commits, failures, lost; /* since start; lost: changes that the feed did not have any more */
} LandingState;
LandingState landing_state(Landing *landing);
