/* api_priv.h: the state of the verbs, for the files of this folder.
 * Owner:   api_open and api_close.
 * Threads: what stands below a mutex is under it; counters are atomic.
 * Errors:  none of its own.
 * Limits:  RUNS_KEPT runs' events and AUDIT_WAITING_MAX rows of the audit in memory.
 * Units:   _us. */
#pragma once

#include "api/api.h"
#include "base/vec.h"
#include "format/json.h"
#include "os/thread.h"

#include <stdatomic.h>

enum { RUNS_KEPT = 16, IDEMPOTENCY_HOURS = 24, IDEMPOTENCY_TRIES_MAX = 16, AUDIT_WAITING_MAX = 1000 };

/* One run since the start: its thread while it goes on, its events afterwards. A run of an arrival has its
 * thread elsewhere (flow/arrivals.h). */
typedef struct ApiRun {
    struct ApiRun *next; /* older */
    ApiLake *lake;
    Arena arena;         /* of the plan and the report; the thread's while it runs */
    FlowPlanQuery query;
    FlowPlan plan;
    Str run_id, principal;
    Thread thread;
    bool of_arrival;
    bool cancel;         /* read atomically */
    Mutex mutex;         /* guards what follows */
    bool *cancelled;     /* &cancel, or the arrival's flag: valid until `ended` */
    Buf *events;         /* one JSON object a line each */
    size_t event_count;
    uint64_t left_out;   /* events beyond API_RUN_EVENTS_MAX */
    bool ended;
} ApiRun;

/* Rows of the audit that could not be written yet (api_audit.c). */
typedef struct AuditWaiting {
    Arena arena;
    MetaAudit *rows; /* AUDIT_WAITING_MAX, or NULL */
    size_t count;
} AuditWaiting;

struct ApiState {
    int64_t started_us, started_monotonic_us;
    atomic_uint_fast64_t counters[API_COUNTER_COUNT];
    atomic_uint_fast64_t backup_seconds, backup_sequence; /* of the last one that was verified */
    atomic_uint_fast64_t audit_lost;
    Mutex audit_mutex;   /* guards what follows */
    AuditWaiting audit_waiting;
    Mutex mutex;         /* guards what follows */
    ApiRun *runs;        /* newest first */
};

void api_count(ApiCall *call, ApiCounter counter, uint64_t more);
/* Writes the row of the audit for something that is not in a metadata transaction and can still be given up. */
Code api_audit(ApiCall *call, const char *verb, Str target, Str detail_json, Err *err) CHECKED;
/* The same of what stands already: a row that cannot be written waits and is written later. */
void api_audit_behind(ApiCall *call, const char *verb, Str target, Str detail_json);
uint64_t api_audit_waits(ApiState *state);
/* A time as text under `key`; 0 is null. */
void api_time_field(JsonWriter *w, Arena *arena, const char *key, int64_t time_us);
/* What stands around the rows of a list: {"items":[...]}; `what` is named when it grew too large. */
JsonWriter api_items_begin(Buf *out);
Code api_items_end(JsonWriter *w, const char *what, Err *err) CHECKED;
/* NOT_FOUND and EXISTS of what a caller has named: with what to do next, where nothing is said yet. */
Code api_named(Code code, Err *err, const char *next) CHECKED;
/* INVALID with the names that there are. */
Code api_role_parse(Str role, GovernRole *ret_role, Err *err) CHECKED;
/* A number of the summary: -1 when it is not there, 0 without a snapshot. */
int64_t api_summary_number(const IceSnapshot *snapshot, const char *key);
void api_runs_end(ApiState *state);
Code api_backup_load(ApiLake *lake, Err *err) CHECKED; /* when there was a backup last */
/* Of a user's text: resolves source('x','y') to addresses. `self` is the ApiCall. */
Code api_source_resolve(void *self, Str source, Str name, bool all, Arena *arena,
                        Str **ret_addresses, size_t *ret_count, Err *err) CHECKED;
