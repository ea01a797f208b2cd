/* ledger.h: which days of an incremental model are missing, and which of them run as one statement.
 * Owner:   the Arena.
 * Threads: any.
 * Errors:  LIMIT for more than LEDGER_DAYS_MAX days.
 * Limits:  LEDGER_DAYS_MAX.
 * Units:   _us: microseconds since 1970 UTC, always at midnight; intervals are half open. */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "flow/flow.h"
#include "meta/meta_rows.h"

enum { LEDGER_DAYS_MAX = FLOW_INTERVALS_MAX };
#define LEDGER_DAY_US (INT64_C(86400) * 1000000)

typedef struct LedgerQuery {
    int64_t start_us, end_us; /* of the model, end cut to the last day that is over */
    int64_t from_us, to_us;   /* asked for; 0: all */
    int64_t batch_days;       /* 0: no bound */
    int64_t lookback_days;    /* runs again before the first missing day */
    bool failed_only;         /* only days that failed or were held back */
    bool redo_incomplete;     /* and those without rows: their input has changed */
    bool force;
    const MetaLedger *rows;   /* of this model and fingerprint, by start */
    size_t row_count;
} LedgerQuery;

typedef struct LedgerMissing {
    FlowInterval *intervals; /* in order, none longer than batch_days */
    size_t count;
    size_t days;
    size_t failed_days;      /* of these: ran before without being published */
} LedgerMissing;

Code ledger_missing(Arena *arena, const LedgerQuery *query, LedgerMissing *ret_missing,
                    Err *err) CHECKED;

/* Days with fewer rows than `part` of the median day; days without rows count as 0 rows. `rows` has one
 * number a day; `ret_low` has room for `count`. */
void ledger_low_days(Arena *arena, const int64_t *rows, size_t count, double part, bool *ret_low);

/* Midnight at or before. */
int64_t ledger_day(int64_t time_us);
