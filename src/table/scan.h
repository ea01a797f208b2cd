/* scan.h: which files of a table hold the rows that a query may need.
 * Owner:   the plan lives in the Arena; it is of one TableVersion and does not change.
 * Threads: any.
 * Errors:  NOT_FOUND for a snapshot, ref or run, with the nearest name; UNSUPPORTED for delete
 * files; CORRUPT with the address of the manifest. Limits:  SCAN_PREDICATES_MAX predicates,
 * SCAN_VALUES_MAX values of IN. Units:   _ms since 1970 UTC. */
#pragma once

#include "table/catalog.h"

enum { SCAN_PREDICATES_MAX = 256, SCAN_VALUES_MAX = 10000 };

typedef enum PredicateOp {
    PREDICATE_EQ,
    PREDICATE_NE,
    PREDICATE_LT,
    PREDICATE_LE,
    PREDICATE_GT,
    PREDICATE_GE,
    PREDICATE_IN,
    PREDICATE_STARTS_WITH,
    PREDICATE_IS_NULL,
    PREDICATE_NOT_NULL
} PredicateOp;

/* `field op value`; NULL never satisfies a comparison, as in SQL. */
typedef struct ScanPredicate {
    int32_t field_id;
    PredicateOp op;
    const IceValue *values; /* of the field's type: one; IN: value_count; IS_NULL, NOT_NULL: none */
    size_t value_count;
} ScanPredicate;

typedef struct TableScan {
    int64_t snapshot_id;  /* 0: not given */
    int64_t timestamp_ms; /* 0: not given; the snapshot that was current then */
    Str ref; /* ptr NULL: not given; a branch, a tag, a snapshot id as text, "run:ID" */
    const ScanPredicate *predicates; /* all must hold */
    size_t predicate_count;
} TableScan;

typedef struct ScanPlan {
    const IceSchema *schema; /* what the query sees: of the snapshot when it was asked for */
    const TableMetadata *metadata;
    int64_t snapshot_id; /* -1: the table is empty */
    int64_t snapshot_timestamp_ms;
    DataFile **files; /* in the order of the manifests */
    size_t file_count;
    int64_t record_count, size_bytes; /* sums over `files` */
    uint32_t manifests_total, manifests_read;
    uint64_t files_total; /* live files in the manifests that were read */
} ScanPlan;

/* At most one of snapshot_id, timestamp_ms and ref. A file is left out only when no row of it can
 * satisfy the predicates. */
Code table_scan(const TableVersion *version, const TableScan *query, Arena *arena,
                ScanPlan *ret_plan, Err *err) CHECKED;

/* Every live file of a snapshot, and the manifests it came from; for commits and checks. */
Code table_files(const TableVersion *version, int64_t snapshot_id, Arena *arena,
                 DataFile **ret_files, size_t *ret_count, Err *err) CHECKED;
