/* stats.h: statistics of data files from their Parquet footers, for own and foreign files alike.
 * Owner:   results live in the Arena.
 * Threads: any.
 * Errors:  CORRUPT for a footer that breaks its own promises; UNSUPPORTED for a file without field
 * ids. Limits:  those of format/parquet.h. Units:   bytes. */
#pragma once

#include "store/store.h"
#include "table/manifest.h"

/* Spec, "write.metadata.metrics": how much is kept of a column. */
typedef enum MetricsKind {
    METRICS_NONE,
    METRICS_COUNTS,
    METRICS_TRUNCATE,
    METRICS_FULL
} MetricsKind;

typedef struct MetricsMode {
    MetricsKind kind;
    int32_t width; /* of TRUNCATE, in code points or bytes */
} MetricsMode;

/* From write.metadata.metrics.default and .column.NAME; truncate(16) when nothing is said. */
MetricsMode metrics_mode(const TableMetadata *metadata, Str column);

/* Reads the footer of `reader` and fills all but address, spec_id and partition. `metadata` gives
 * the metrics modes and may be NULL. */
Code data_file_from_footer(ObjectReader *reader, const IceSchema *schema,
                           const TableMetadata *metadata, Arena *arena, DataFile *ret_file,
                           Err *err) CHECKED;

/* Bounds cut to `width`: the lower one is a prefix, the upper one is rounded up so that it stays
 * above (code points for STRING, bytes for BINARY); STR_NONE when no such upper bound exists. */
Str bound_truncate_lower(Arena *arena, const IceType *type, Str value, int32_t width);
Str bound_truncate_upper(Arena *arena, const IceType *type, Str value, int32_t width);
