/* raw_priv.h: what the parent asks of a scan worker, and the parts of the worker.
 * Owner:   a RawCall lives in the arena that it was decoded into.
 * Threads: one at a time; raw_worker.c and raw_text.c run inside of the worker process.
 * Errors:  those of raw.h.
 * Limits:  those of raw.h.
 * Units:   bytes; rows. */
#pragma once

#include "base/buf.h"
#include "os/worker.h"
#include "sql/raw.h"

struct ArrowSchema;

typedef struct RawCall {
    RawFormat format;
    bool describe; /* the schema only */
    bool as_text, problems, union_by_name;
    bool checked; /* these descriptors passed their checks in a job before */
    int header;
    Str delim, quote, null_text;
    Str *files; /* addresses, in the order of the descriptors */
    size_t file_count;
    RawColumn *columns; /* declared */
    size_t column_count;
    RawColumn *wanted; /* of a scan: name and SQL type */
    size_t wanted_count;
    Str where; /* of a scan of Parquet: rows that are false by it may stay away */
} RawCall;

Code raw_call_encode(const RawCall *call, Buf *ret_json, Err *err) CHECKED;
Code raw_call_decode(Str json, Arena *arena, RawCall *ret_call, Err *err) CHECKED;

/* In the worker: bytes of an object, in memory or behind a descriptor. */
typedef struct RawInput {
    Str address;
    int fd;
    uint64_t size_bytes;
    Buf text; /* CSV and JSON: all of it, decompressed */
} RawInput;

Code raw_worker_body(WorkerCall *call, Err *err);

typedef struct RawDialect {
    char delim, quote; /* a quote in a quoted field is written twice */
} RawDialect;

typedef struct RawField {
    Str text; /* without its quotes; doubled ones are still there */
    bool is_quoted, is_doubled;
    bool is_open;  /* the quote is not closed: the field is all that is left */
    bool has_more; /* there is text behind the closing quote */
} RawField;

/* What was given; else found by the first records. */
RawDialect raw_csv_dialect(Str text, Str delim, Str quote);
/* The field at `at`; returns where its delimiter, line end or the end of the text is. */
size_t raw_csv_field(Str s, size_t at, RawDialect dialect, RawField *ret_field);

/* Refuse what the engine must not see or would guess at, with its line: other encodings, NUL,
 * depth, widths that change, quotes that do not close, rows that are no objects, NaN. As text,
 * records of any form pass. */
Code raw_check_csv(Str text, RawDialect dialect, bool as_text, Str address, Err *err) CHECKED;
Code raw_check_json(Str text, bool as_text, Str address, Err *err) CHECKED;

bool raw_text_is_empty(RawFormat format, Str text); /* no record; an array without items too */
Code raw_empty_error(Str address, Err *err);

/* CSV and JSON as text, by code of ours: schema, batches and the end as an Arrow IPC stream. */
typedef Code RawSend(void *to, Str bytes, Err *err);
Code raw_text_run(const RawCall *raw, RawInput *inputs, RawSend *send, void *to, Err *err) CHECKED;
