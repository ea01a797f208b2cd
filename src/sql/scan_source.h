/* scan_source.h: rows that do not lie in table files and reach a query as Arrow batches.
 * Owner:   whoever fills the struct; it must outlive every query that was given it.
 * Threads: schema, rows_estimate and open from any thread; one scan is driven by one thread at a
 * time. Errors:  any; they become the query's error with the source's text, place and hint. Limits:
 * none here; a source bounds its own batches (64 Ki rows is a good size). Units:   rows; columns
 * are counted from 0 in the order of the schema. */
#pragma once

#include "base/err.h"
#include "base/str.h"

struct ArrowSchema; /* format/arrow.h */
struct ArrowArray;

typedef enum ScanOp {
    SCAN_EQ,
    SCAN_NE,
    SCAN_LT,
    SCAN_LE,
    SCAN_GT,
    SCAN_GE,
    SCAN_IS_NULL,
    SCAN_IS_NOT_NULL
} ScanOp;

typedef enum ScanValueKind {
    SCAN_VALUE_NONE, /* of IS NULL and IS NOT NULL */
    SCAN_VALUE_BOOL,
    SCAN_VALUE_I64, /* integers; timestamps in microseconds, dates in days */
    SCAN_VALUE_F64,
    SCAN_VALUE_TEXT /* text, and the text form of every other type */
} ScanValueKind;

typedef struct ScanValue {
    ScanValueKind kind;
    bool boolean;
    int64_t i64;
    double f64;
    Str text;
} ScanValue;

/* `column op value`. */
typedef struct ScanFilter {
    size_t column;
    ScanOp op;
    ScanValue value;
} ScanFilter;

/* What one scan needs. Filters are all true of every row that the query keeps; the engine checks
 * them again, so a source may use them to skip rows or may ignore them. */
typedef struct ScanQuery {
    const size_t *columns; /* deliver exactly these, in this order */
    size_t column_count;   /* at least 1 */
    const ScanFilter *filters;
    size_t filter_count;
    /* More that is true of every row kept, as the engine's SQL over the names of the columns: AND,
     * OR, NOT, comparisons with constants. ptr NULL: nothing. */
    Str where;
    /* Read atomically while `next` works or waits; true: the query was interrupted, nobody takes
     * more rows: CANCELLED. NULL: never. It outlives the scan. */
    const bool *interrupted;
} ScanQuery;

typedef struct ScanSource {
    void *self;
    /* A struct schema (format "+s") with one child a column; the caller releases it. */
    Code (*schema)(void *self, struct ArrowSchema *ret_schema, Err *err);
    Code (*open)(void *self, const ScanQuery *query, void **ret_scan, Err *err);
    /* The next batch; its release is NULL at the end. The caller releases it. */
    Code (*next)(void *scan, struct ArrowArray *ret_array, Err *err);
    void (*close)(void *scan);
    int64_t (*rows_estimate)(void *self); /* NULL, or -1: not known */
} ScanSource;
