/* table_world.h: a catalog on the simulated machine, for the tests of this folder's upkeep: its clock is ours and
 * its power goes at any call.
 * Owner:   the test.
 * Threads: one.
 * Errors:  checks of the test, but where a Code is given.
 * Limits:  one table `n.t` at a time.
 * Units:   microseconds, bytes. */
#pragma once

#include "base/test.h"
#include "os/os_sim.h"
#include "table/catalog_priv.h"
#include "table/scan.h"
#include "table/table_keep.h"

#include <string.h>

#define MINUTE_US INT64_C(60000000)
#define HOUR_US (60 * MINUTE_US)
#define DAY_US (24 * HOUR_US)

typedef struct World {
    OsSim *sim;
    Arena arena;
    Store *store;
    Meta *meta;
    Catalog *catalog;
    Err err;
    int files;
} World;

extern const CompactRule WORLD_RULE;

/* What stands on the machine. */
Code world_open(World *w);
void world_close(World *w);
void world_end(World *w);
void world_table_make(World *w, const char *name, bool partitioned);
void world_begin(World *w, bool partitioned);
TableVersion *world_loaded(World *w);
DataFile world_file(World *w, Str location, int64_t rows, int64_t bytes, int64_t day);
Str world_location(World *w);
Code world_commit(World *w, CommitKind kind, const DataFile *add, size_t add_count, const Str *remove,
    size_t remove_count, CommitResult *ret_result);
void world_property_set(World *w, const char *key, const char *value);
DataFile world_append(World *w, int64_t rows, int64_t bytes, int64_t day);
bool world_has(World *w, Str address);
/* Below the location of the table. */
size_t world_objects(World *w, const char *folder, const char *ending);
/* Snapshots that wait for their files to go. */
size_t world_expired_rows(World *w);
/* Every file that a snapshot of it names is there. */
void world_is_whole(World *w, const TableVersion *version);
CompactBin *world_planned(World *w, const CompactRule *rule, size_t *ret_count);
Code world_rewrite(World *w, const CompactBin *bin, int64_t rows, CommitResult *ret_result);
/* All rows by one file of `rows`. */
DataFile world_replace(World *w, int64_t rows);
size_t world_reclaimed(World *w, int64_t before_us);
