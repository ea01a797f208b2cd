/* raw.h: unchecked objects (Parquet, CSV, JSON) read in scan workers, rows as a ScanSource.
 * Owner:   a RawScan is its opener's and outlives the query that reads from its source.
 * Threads: any; each open scan of the source has a worker of its own.
 * Errors:  NOT_FOUND; CORRUPT and TYPE with the object and line; LIMIT; WORKER_DIED with the
 * object. Limits:  RAW_OBJECTS_MAX objects, RAW_COLUMNS_MAX columns, and the sizes below. Units:
 * bytes; rows; _ms: milliseconds. */
#pragma once

#include "os/os.h"
#include "sql/scan_source.h"
#include "store/store.h"

enum {
    RAW_OBJECTS_MAX = 10000,
    RAW_COLUMNS_MAX = 10000,
    RAW_JSON_DEPTH_MAX = 100,
    RAW_FIELD_BYTES_MAX = 16 << 20, /* one CSV field or line, one JSON value */
    RAW_OPTIONS_TEXT_MAX = 256,
    RAW_WORKER_ID = 1,   /* among the bodies of os/worker.h */
    RAW_JOB_OBJECTS = 16 /* WORKER_FDS_MAX; more are read by job after job */
};
#define RAW_OBJECT_BYTES_MAX ((uint64_t)2 << 30)
#define RAW_TEXT_BYTES_MAX ((uint64_t)1 << 30) /* CSV and JSON, decompressed, of one object */

/* Before worker_start: what runs in the workers. */
void raw_register(void);

typedef enum RawFormat { RAW_PARQUET, RAW_CSV, RAW_JSON } RawFormat;

typedef struct RawColumn {
    Str name;
    Str type; /* SQL; empty: VARCHAR */
} RawColumn;

typedef struct RawRequest {
    RawFormat format;
    const Str *addresses; /* s3://..., each one object, newest version unless @sequence is known */
    size_t address_count;
    const RawColumn *columns; /* none: found by looking at the first object */
    size_t column_count;
    /* Text of every column as it stands, and `_file`, `_row` (from 1), `_raw` (the line, for JSON
     * the value, NULL for Parquet) behind the columns: what a model with declared columns reads. A
     * record with another number of fields or text behind a quote, or a line that is no JSON
     * object, comes with NULL in every column and its _raw. */
    bool as_text;
    bool problems; /* with as_text, CSV and JSON: `_problem` is the last column, the reason of such
                      a row, else NULL */
    int header; /* CSV: 1 yes, 0 no, -1 find out */
    Str delim;  /* CSV: empty: find out */
    Str quote;
    Str null_text;      /* CSV: empty field when not given */
    bool union_by_name; /* several objects with different columns */
} RawRequest;

typedef struct RawOptions {
    Os *os;
    Store *store;
    uint64_t memory_bytes; /* of a worker; 0: 1 GiB */
    int64_t timeout_ms;    /* of a scan; 0: 300,000 */
    const bool *cancel;    /* read atomically by raw_open; true: CANCELLED; NULL: never */
} RawOptions;

typedef struct RawScan RawScan;

/* Starts a worker that finds out the columns; checks what must be checked first. */
Code raw_open(const RawOptions *options, const RawRequest *request, RawScan **ret_scan,
              Err *err) CHECKED;
const ScanSource *raw_source(const RawScan *scan);
/* Rows with a problem that all reads of `_problem` met so far. */
int64_t raw_problem_count(const RawScan *scan);
void raw_free(RawScan **scan); /* fit for AUTO */

/* "x.csv.gz" -> RAW_CSV; false when the name does not say. */
bool raw_format_of(Str address, RawFormat *ret_format);
