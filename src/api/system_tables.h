/* system_tables.h: the lake about itself, as SQL tables of the namespace `tarn` (system_tables.def).
 * Owner:   whoever calls system_tables_open; freed after the Sql that they are registered with.
 * Threads: any; a scan has its own rows, listed when it is opened.
 * Errors:  of metadata and catalog; LIMIT beyond the maxima; FORBIDDEN from what refuses a principal.
 * Limits:  SYSTEM_ROWS_MAX rows of one scan behind its WHERE, SYSTEM_TEXT_BYTES_MAX of their texts.
 * Units:   rows; times in microseconds since 1970 UTC. */
#pragma once

#include "govern/govern.h"
#include "sql/sql.h"
#include "table/catalog.h"

enum { SYSTEM_ROWS_MAX = 500000, SYSTEM_TEXT_BYTES_MAX = 256 << 20, SYSTEM_BATCH_ROWS = 8192 };

typedef struct SystemTables SystemTables;

typedef struct SystemTablesOptions {
    Catalog *catalog;
    Meta *meta;
    Store *store;
    size_t rows_max; /* 0: SYSTEM_ROWS_MAX */
} SystemTablesOptions;

/* Makes the tables and registers them, before the first query. */
Code system_tables_open(const SystemTablesOptions *options, Sql *sql, SystemTables **ret_tables,
                        Err *err) CHECKED;
void system_tables_free(SystemTables **tables);

/* Bindings that hide the tables which `principal` may not read, also from views over them: reading
 * one gives FORBIDDEN before a row is listed. They borrow `principal`. */
const SqlBinding *system_tables_refuse(const Principal *principal, Arena *arena, size_t *ret_count);
