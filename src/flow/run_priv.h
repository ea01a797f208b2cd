/* run_priv.h: one model on its way: what is staged, what was found, what is to be published.
 * Owner:   the thread that runs the model; everything dies with its Arena.
 * Threads: one.
 * Errors:  as flow.h.
 * Limits:  as flow.h.
 * Units:   _us: microseconds since 1970 UTC. */
#pragma once

#include "flow/body.h"
#include "flow/flow_priv.h"
#include "flow/ledger.h"
#include "flow/quality.h"
#include "sql/raw.h"

/* A table that may not exist yet. */
enum { PUBLISH_ATTEMPTS_MAX = 3 };

typedef struct Target {
    TableVersion *version;         /* NULL: it is made with the first publish */
    TableVersion *former[PUBLISH_ATTEMPTS_MAX]; /* that were current before: schema and files are by their metadata */
    size_t former_count;
    TableDraft draft;              /* when it is made */
    const TableMetadata *metadata; /* of the version or the draft */
    const IceSchema *schema;       /* of the files to write */
    const IcePartitionSpec *spec;
    const IceSortOrder *sort;
    Str location;
    Uuid uuid;
    int64_t snapshot_id;           /* that the run started from; 0: none */
} Target;

typedef struct Files {
    DataFile *items;
    size_t count;
    int64_t rows;
    uint64_t bytes;
} Files;

typedef struct Work {
    ModelRun *run;
    Flow *flow;
    const FlowNode *node;
    Arena *arena;        /* of the work */
    Err *err;
    Body body;
    RawScan *raws[BODY_SOURCES_MAX];
    size_t raw_count;
    bool raw_written[BODY_SOURCES_MAX]; /* its records that are no rows are in `bad` */
    SqlBinding *bindings; /* @t0, @s0, ...: all records of a text input, those that are rows */
    size_t binding_count;
    Target target;
    Target quarantine;   /* only with rejected rows */
    bool has_quarantine;
    Files good, bad;
    QualityResult quality;
    int64_t *day_rows;   /* of an incremental model: one number a day of its steps' intervals */
    bool *day_low;
    size_t day_count;
    Str signature;
    bool passed;         /* the gate */
    bool rewrites;       /* the whole table is replaced */
    Str hold_reason;
    MetaTxn txn;
} Work;

/* target.c */
Code target_open(Work *work, Target *target, TableName name, const IceField *columns, size_t count,
                 Err *err) CHECKED;
void target_done(Target *target);
/* Runs a SELECT into files of the target. `at`: where the model's SELECT begins in the text; -1: not in it. */
Code target_write(Work *work, const Target *target, Str sql, int64_t at, const SqlParam *params,
                  size_t param_count, Files *files) CHECKED;
SqlBinding target_binding(const Target *target, Str name, const Files *files);

/* publish.c: the commit with everything that belongs to it, or the record that it was held back. */
Code publish_model(Work *work) CHECKED;
/* The ledger and run rows of a model that failed. Best effort: an error is in the report already. */
void publish_failure(ModelRun *run, const Err *error);

/* A statement of the model: where is its fault in the model's file? Sets place and position. */
Code work_place(const Work *work, Code code, int64_t at);
Code work_number(Work *work, Str sql, int64_t at, const SqlParam *params, size_t param_count,
                 int64_t *ret_number) CHECKED;
/* Params of an interval; those that the SELECT does not name are left out. */
size_t work_params(const Work *work, const FlowInterval *interval, SqlParam *ret_params);
enum { WORK_PARAMS_MAX = 3 };

/* report.c */
void report_copy(Arena *arena, const FlowModelReport *from, FlowModelReport *to);
