/* catalog_rig.h: for tests of the catalog: one over a store in memory and a real metadata database, with the namespace
 *                silver.
 * Owner:   rig_lake_close ends it; what is borrowed lives in its arena.
 * Threads: any, but for `err` and `arena`.
 * Errors:  by CHECK.
 * Limits:  none.
 * Units:   as table/. */
#pragma once

#include "base/test.h"
#include "table/catalog_priv.h"

typedef struct RigLake {
    Arena arena;
    Store *store;
    Meta *meta;
    Catalog *catalog;
    Err err;
} RigLake;

void rig_lake_open(RigLake *lake);
void rig_lake_close(RigLake *lake);
void rig_table_make(RigLake *lake, const char *name, bool partitioned);
TableVersion *rig_loaded(RigLake *lake, const char *name);
DataFile rig_file_of(RigLake *lake, const char *name, int64_t rows, int64_t month);
Code rig_commit_files(RigLake *lake, CommitKind kind, const char *table, const DataFile *add, size_t add_count,
                      const Str *remove, size_t remove_count, CommitResult *result);
size_t rig_files_now(RigLake *lake, const char *table);
