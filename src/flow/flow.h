/* flow.h: models as SQL files, what must run and why, and the runs that publish or hold back.
 * Owner:   main/ opens one Flow a lake.
 * Threads: any; one flow_run at a time (a second waits, or gets UNAVAILABLE), everything else beside it.
 * Errors:  INVALID and SYNTAX with the model's path as place; a cycle is INVALID and shows the cycle;
 *          GATED never comes as an error: it is a state of the report.
 * Limits:  the enum below.
 * Units:   _us: microseconds since 1970 UTC; intervals are half open, [start, end).
 *
 * A project is a list of files with relative paths: models/NAME.sql, suites/NAME.json, seeds/NAME.csv.
 * flow_load replaces the project; it stays in the metadata and comes back at flow_open. */
#pragma once

#include "flow/model.h"
#include "os/os.h"
#include "source/source.h"
#include "sql/sql.h"
#include "table/catalog.h"

enum {
    FLOW_FILES_MAX = 4096,
    FLOW_FILE_BYTES_MAX = 4 << 20,
    FLOW_MODELS_MAX = 1024,
    FLOW_INTERVALS_MAX = 100000, /* of one model in one plan */
    FLOW_THREADS_MAX = 16,
    FLOW_SAMPLES_MAX = 20        /* unexpected values kept a check: GX's partial list */
};

typedef struct Flow Flow;

typedef struct FlowOptions {
    Os *os;
    Sql *sql;
    Catalog *catalog;
    Store *store;
    Meta *meta;
    Source *source;
    size_t threads; /* models side by side; 0: 2 */
} FlowOptions;

Code flow_open(const FlowOptions *options, Flow **ret_flow, Err *err) CHECKED;
void flow_free(Flow **flow);

/* ---- the project ---- */
typedef struct FlowFile {
    Str path; /* models/x.sql */
    Str text;
} FlowFile;

/* All or nothing; seeds are ingested into bronze under the source `seeds`. */
Code flow_load(Flow *flow, const FlowFile *files, size_t count, Err *err) CHECKED;

typedef struct FlowModelInfo {
    Str name; /* silver.flights */
    ModelKind kind;
    Str path, owner, text;
    Str fingerprint;    /* 16 hexadecimal digits: canonical text and suite */
    Str *inputs;        /* models, tables and raw objects (s3-less: `source/name`) it reads */
    size_t input_count;
    Str *tags;
    size_t tag_count;
    double gate_min;
    Str state;          /* of the newest run: missing, published, gated, failed, ... */
    int64_t updated_us; /* 0: never ran */
} FlowModelInfo;

/* In the order of the graph: inputs first. */
Code flow_models(Flow *flow, Arena *arena, FlowModelInfo **ret_models, size_t *ret_count,
                 Err *err) CHECKED;

/* ---- the plan ---- */
typedef enum FlowReason {
    FLOW_NEW,         /* never published */
    FLOW_CHANGED,     /* its text or suite changed */
    FLOW_INPUT,       /* an input's snapshot changed */
    FLOW_INTERVALS,   /* intervals are missing */
    FLOW_FAILED,      /* the last run failed or was held back, or was asked for with `failed` */
    FLOW_UPSTREAM,    /* something above it runs in this plan */
    FLOW_FORCED
} FlowReason;

typedef struct FlowInterval {
    int64_t start_us, end_us;
} FlowInterval;

typedef struct FlowStep {
    Str model;
    ModelKind kind;
    FlowReason reason;
    Str why;                 /* one sentence for people */
    FlowInterval *intervals; /* statements to run, in order; none for a model without time */
    size_t interval_count;
    size_t days;             /* ledger entries that the intervals cover */
    Str *after;              /* models of this plan that must be done first */
    size_t after_count;
} FlowStep;

typedef struct FlowPlan {
    FlowStep *steps; /* inputs first; none: nothing is missing */
    size_t count;
    Str summary;     /* "10 models would run" or "nothing is missing" */
} FlowPlan;

typedef struct FlowPlanQuery {
    const Str *models; /* none: all; inputs are not added */
    size_t count;
    int64_t from_us, to_us; /* 0: the model's own start and now */
    bool failed;            /* only what failed or was held back */
    bool force;             /* also what is up to date */
} FlowPlanQuery;

Code flow_plan(Flow *flow, const FlowPlanQuery *query, Arena *arena, FlowPlan *ret_plan,
               Err *err) CHECKED;

/* ---- the run ---- */
typedef enum FlowState {
    FLOW_QUEUED,
    FLOW_RUNNING,
    FLOW_PUBLISHED,
    FLOW_GATED,           /* below its gate: staged, not published */
    FLOW_FAILED_STATE,
    FLOW_UPSTREAM_FAILED, /* an input failed or was held back: not run */
    FLOW_CANCELLED
} FlowState;

/* `gated`, `published`, ...: the words of the ledger and of the API. */
Str flow_state_name(FlowState state);
Str flow_reason_name(FlowReason reason);

typedef struct FlowCheck {
    Str type;       /* expect_column_values_to_be_between */
    Str column;     /* or columns, comma separated */
    Str severity;   /* critical, warning, info */
    bool success;
    int64_t element_count, missing_count, unexpected_count;
    double fraction; /* of rows that passed */
    Str result_json; /* GX's result of this expectation */
} FlowCheck;

typedef struct FlowReject {
    Str reason;   /* `expect_column_values_to_be_between(delay)`, `cast(delay)` */
    int64_t rows;
} FlowReject;

typedef struct FlowModelReport {
    Str model;
    ModelKind kind;
    FlowState state;
    int64_t rows_in, rows_out, rows_duplicate, rows_quarantined;
    FlowReject *rejects;
    size_t reject_count;
    FlowCheck *checks;
    size_t check_count;
    double score;           /* row-weighted, before quarantine; 0 with a critical veto stays its score */
    double success_percent; /* GX's */
    double gate_min;
    bool veto;              /* a critical expectation failed beyond quarantine */
    int64_t days_published, days_incomplete;
    uint64_t bytes, files;
    int64_t wall_ms;
    int64_t snapshot_id;    /* published or staged; 0: none */
    Err *error;             /* of a failed model, else NULL */
} FlowModelReport;

typedef struct FlowReport {
    Str run_id;
    FlowState state; /* published: everything; gated or failed: the worst of the models */
    FlowModelReport *models;
    size_t count;
    int64_t started_us, wall_ms;
} FlowReport;

typedef struct FlowProgress {
    Str run_id;
    Str model;           /* empty: none yet, another run is on; `phase` says which */
    FlowState state;
    Str phase;           /* plan, write, quarantine, count, check, publish, done */
    double fraction;     /* of this model, 0 to 1 */
    size_t models_done, models;
    const FlowModelReport *report; /* when this model is done, else NULL */
} FlowProgress;

/* Called from the run's threads, one call at a time; it must not call into the Flow. */
typedef void FlowProgressFn(void *arg, const FlowProgress *progress);

typedef struct FlowRunOptions {
    FlowProgressFn *progress; /* NULL: none */
    void *progress_arg;
    const bool *cancel;       /* set from any thread (read atomically); NULL: never */
    Str principal;            /* for the rows of runs */
    Str run_id;               /* empty: a new one */
    int64_t wait_ms;          /* at most for the run that is on; then, and with 0 at once, UNAVAILABLE */
    const FlowPlanQuery *again; /* who had to wait plans anew: what the other run did is not done twice; NULL: not */
} FlowRunOptions;

/* Runs a plan. E_OK also when models failed or were held back: the report says so. */
Code flow_run(Flow *flow, const FlowPlan *plan, const FlowRunOptions *options, Arena *arena,
              FlowReport *ret_report, Err *err) CHECKED;
/* Until no run is on, or `*stop` (read atomically) and flow_wake. */
void flow_wait_idle(Flow *flow, const bool *stop);
void flow_wake(Flow *flow);
/* GATED exits 6, FAILED 1, published 0: `err` is filled from the worst model. */
Code flow_report_code(const FlowReport *report, Err *err) CHECKED;
/* The report as JSON, for the API and for `runs`; one model alone for the progress stream. */
void flow_report_json(const FlowReport *report, Buf *buf);
void flow_model_report_json(const FlowModelReport *report, Buf *buf);

/* A run of now or of before, as JSON of the same shape. NOT_FOUND. */
Code flow_run_state(Flow *flow, Str run_id, Arena *arena, Str *ret_json, Err *err) CHECKED;
