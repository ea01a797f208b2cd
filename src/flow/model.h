/* model.h: one model file: a `MODEL (...)` header and one SELECT.
 * Owner:   results live in the Arena and borrow nothing.
 * Threads: any.
 * Errors:  SYNTAX and INVALID with path:line as place and the byte as position.
 * Limits:  the enum below.
 * Units:   _us: microseconds since 1970 UTC; a score is 0 to 1.
 *
 * The properties of the header are the rows of model_props.def. */
#pragma once

#include "base/err.h"
#include "base/str.h"

enum {
    MODEL_TEXT_MAX = 1 << 20,
    MODEL_COLUMNS_MAX = 1600,
    MODEL_LIST_MAX = 256,      /* names in grain, tags, partitioned_by, ... */
    MODEL_AUDITS_MAX = 256,
    MODEL_DEPTH_MAX = 16,      /* brackets in brackets in the header */
    MODEL_NAME_MAX = 255,
    MODEL_BATCH_MAX = 36500
};

typedef enum ModelKind { MODEL_FULL, MODEL_VIEW, MODEL_SEED, MODEL_INCREMENTAL } ModelKind;
typedef enum ModelOnFail { ON_FAIL_BLOCK, ON_FAIL_QUARANTINE, ON_FAIL_WARN } ModelOnFail;
typedef enum ModelDedup { DEDUP_NONE, DEDUP_ALL, DEDUP_KEY } ModelDedup;

Str model_kind_name(ModelKind kind); /* FULL, VIEW, SEED, INCREMENTAL_BY_TIME_RANGE */

typedef struct ModelColumn {
    Str name;
    Str type; /* SQL: BIGINT, DECIMAL(9,2) */
} ModelColumn;

/* An inline audit: `not_null(columns := (a, b), severity := 'warning')`. */
typedef struct ModelArg {
    Str name;
    Str *values; /* strings without quotes, numbers and names as written */
    size_t count;
} ModelArg;

typedef struct ModelAudit {
    Str name;
    ModelArg *args;
    size_t arg_count;
} ModelAudit;

typedef struct Model {
    Str path, text;
    Str name;             /* NAMESPACE.TABLE */
    Str ns, table;
    ModelKind kind;
    Str time_column;      /* of INCREMENTAL_BY_TIME_RANGE */
    int64_t batch_size;   /* days in one statement; 0: all */
    int64_t lookback;     /* days before that run again when something is missing */
    double complete_min;  /* a day with fewer rows than this part of the median day is `incomplete` in
                             the ledger; 0: none is */
    bool complete_hold;   /* rows of such a day are not published (else only flagged) */
    Str seed_path;        /* of SEED */
    Str cron;
    bool on_arrival;      /* runs by itself: arrivals.h */
    bool has_start, has_end;
    int64_t start_us, end_us;
    Str *grain;
    size_t grain_count;
    ModelDedup dedup;
    Str *dedup_keys;
    size_t dedup_key_count;
    ModelColumn *columns;
    size_t column_count;
    Str suite;            /* path of a Great Expectations suite */
    ModelAudit *audits;
    size_t audit_count;
    double gate_min;      /* default: silver 0.90, gold 0.99, others 0 */
    ModelOnFail on_fail;
    Str *partitioned_by;  /* as written: `day(ts)`, `origin` */
    size_t partition_count;
    Str *sorted_by;
    size_t sort_count;
    Str owner, description;
    Str *tags;
    size_t tag_count;
    Str sql;              /* the SELECT, without the closing semicolon; empty for a seed */
    size_t sql_at;        /* its place in `text`, for errors */
} Model;

Code model_parse(Arena *arena, Str path, Str text, Model *ret_model, Err *err) CHECKED;

/* The canonical text: comments out, white space outside quotes as one blank, words of the header in
 * one case. Two files with the same canonical text are the same model. */
Str model_canonical(Arena *arena, Str text);
