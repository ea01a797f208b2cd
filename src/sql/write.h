/* write.h: runs a SELECT into published Parquet files with their DataFile entries, in no table yet.
 * Owner:   results live in the given arena; the files stay in the store (commit them, or leave them
 *          to the sweep of orphans).
 * Threads: any; each call takes one lease.
 * Errors:  those of the engine and the store; INVALID when the columns do not fit the schema;
 * LIMIT. On any error nothing was published. Limits:  WRITE_FILES_MAX files and
 * WRITE_PARTITIONS_MAX partition tuples a call. Units:   bytes; rows; _us: microseconds. */
#pragma once

#include "sql/engine.h"
#include "store/store.h"
#include "table/catalog.h"

enum {
    WRITE_FILES_MAX = 10000, /* STORE_PUBLISH_MAX */
    WRITE_PARTITIONS_MAX = 10000,
    WRITE_WAIT_US = 60000000, /* for a free connection, when no timeout is given */
    WRITE_ROW_GROUP_ROWS = 122880,
    WRITE_FILE_BYTES = 256 << 20
};

typedef struct WriteJob {
    Os *os;
    Store *store;
    BorderRequest select;          /* without a sink */
    const IceSchema *schema;       /* with field ids; the SELECT's columns are matched by name */
    bool by_position;              /* or by place */
    const IcePartitionSpec *spec;  /* NULL: unpartitioned */
    const IceSortOrder *sort;      /* NULL: as they come */
    const TableMetadata *metadata; /* for metrics modes; may be NULL */
    Str location;                  /* files become LOCATION/data/UUID.parquet */
    Catalog *catalog;              /* NULL: no intents */
    Uuid table;                    /* of the intents, which the commit of run_id ends */
    Str run_id;
    uint32_t row_group_rows;       /* 0: WRITE_ROW_GROUP_ROWS */
    uint64_t file_bytes;           /* 0: WRITE_FILE_BYTES; files overshoot by a row group */
    int64_t timeout_us;            /* 0: none */
    const bool *cancel;            /* as EngineQuery's */
    bool from_reserve;             /* as StorePut's */
} WriteJob;

typedef struct WriteStats {
    uint64_t rows;
    uint64_t files;
    uint64_t bytes;
    int64_t elapsed_us;
} WriteStats;

/* `pool` is ENGINE_INGEST or ENGINE_COMPACTION; a sorted write takes ENGINE_ORDERED. A SELECT
 * without rows gives no files. */
Code write_run(Engine *engine, EnginePool pool, const WriteJob *job, Arena *arena,
               DataFile **ret_files, size_t *ret_count, WriteStats *ret_stats, Err *err) CHECKED;
