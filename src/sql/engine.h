/* engine.h: engine instances by use, leases of their connections, results as Arrow batches.
 * Owner:   engine_open's caller; leases and results end before engine_close.
 * Threads: an Engine: any. A lease and its result: one at a time, but for engine_result_cancel.
 * Errors:  those of the border; TIMEOUT, CANCELLED, UNAVAILABLE (no free connection in time),
 * LIMIT. Limits:  `slots` leases a pool at a time; ENGINE_BATCH_ROWS rows and about
 * ENGINE_BATCH_BYTES a batch. Units:   bytes; rows; _us: microseconds. */
#pragma once

#include "os/os.h"
#include "sql/border.h"

enum {
    ENGINE_BATCH_ROWS = 64 << 10,
    ENGINE_BATCH_BYTES = 1 << 20,
    ENGINE_SLOTS_MAX = 256,
    ENGINE_LATE_MS = 2000,
    ENGINE_LATE_TEXT_MAX = 200
};

typedef enum EnginePool {
    ENGINE_INTERACTIVE, /* ordered results */
    ENGINE_INGEST,      /* writes; opens when first used */
    ENGINE_COMPACTION,  /* rewrites; opens when first used */
    ENGINE_ORDERED, /* sorted writes: always one thread, since two interleave their row groups */
    ENGINE_POOL_COUNT
} EnginePool;

typedef struct EngineLimits {
    unsigned threads;      /* 0: 1 */
    unsigned slots;        /* leases at a time; 0: 8 */
    uint64_t memory_bytes; /* 0: 1 GiB */
} EngineLimits;

typedef struct EngineOptions {
    Os *os;
    BorderFiles files;
    EngineLimits pools[ENGINE_POOL_COUNT];
    const char *temp_dir; /* NULL: no spilling; below it one folder a pool */
    uint64_t temp_bytes;
} EngineOptions;

/* A call of the engine that still runs ENGINE_LATE_MS after its interrupt: once a statement, from
 * the watchdog's thread, with the beginning of its text. It must not block. */
typedef void EngineLate(void *arg, int64_t late_ms, Str text);

typedef struct Engine Engine;
typedef struct EngineLease EngineLease;
typedef struct EngineResult EngineResult;

Code engine_open(const EngineOptions *options, Engine **ret_engine, Err *err) CHECKED;
void engine_close(Engine **engine);
/* NULL: nobody. When it returns the function before is not called any more. */
void engine_on_late(Engine *engine, EngineLate *late, void *arg);

/* Waits up to `wait_us` for a free connection, then UNAVAILABLE; `cancel` (NULL: never) is read
 * atomically in that time, true: CANCELLED. */
Code engine_lease(Engine *engine, EnginePool pool, int64_t wait_us, const bool *cancel,
                  EngineLease **ret_lease, Err *err) CHECKED;
void engine_return(EngineLease **lease); /* fit for AUTO; the lease's result was freed before */
BorderConn *engine_lease_conn(EngineLease *lease);
/* From any thread while the lease is held: what runs on it, also a query that has no result yet,
 * and what would be started on it later, ends with CANCELLED. */
void engine_lease_cancel(EngineLease *lease);

typedef struct EngineQuery {
    BorderRequest request;     /* borrowed until engine_result_free */
    int64_t timeout_us;        /* of the whole: planning, running, fetching; 0: none */
    const bool *cancel;        /* read atomically while it runs; true: CANCELLED; NULL: never */
    uint64_t result_bytes_max; /* LIMIT beyond it; 0: none */
} EngineQuery;

typedef struct EngineStats {
    uint64_t rows;
    uint64_t batches;
    uint64_t bytes;   /* of the Arrow buffers handed out, about */
    int64_t plan_us;  /* until the plan stood */
    int64_t first_us; /* until the first batch could be fetched */
    int64_t total_us; /* until the end */
} EngineStats;

/* Plans and runs until the first rows are there. */
Code engine_query(EngineLease *lease, const EngineQuery *query, EngineResult **ret_result,
                  Err *err) CHECKED;
const struct ArrowSchema *engine_result_schema(const EngineResult *result);
Str engine_result_column_type(const EngineResult *result, size_t column); /* the SQL type */
BorderQuery *engine_result_query(EngineResult *result); /* borrowed: names, tuples */
/* The next batch, never empty; its release is NULL at the end. The caller releases it. */
Code engine_result_next(EngineResult *result, struct ArrowArray *ret_array, Err *err) CHECKED;
void engine_result_cancel(EngineResult *result); /* any thread, while the result lives */
EngineStats engine_result_stats(const EngineResult *result);
void engine_result_free(EngineResult **result); /* stops what still runs */

/* For metrics. */
typedef struct EngineCounts {
    uint64_t queries;
    uint64_t reopened; /* instances replaced after an internal error */
    size_t leased;
    uint64_t late; /* of the whole engine: calls that ran on after their interrupt */
} EngineCounts;
EngineCounts engine_counts(Engine *engine, EnginePool pool);
