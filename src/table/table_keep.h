/* table_keep.h: what keeps tables small: which files to join, which snapshots go, which files nobody needs.
 * Owner:   results live in the Arena that is passed in.
 * Threads: any.
 * Errors:  those of catalog.h; a damaged table stops the work on itself, not on the others.
 * Limits:  COMPACT_FILES_MAX files a bin; a round of catalog_reclaim takes what is due.
 * Units:   _ms, _us since 1970 UTC; bytes.
 *
 * Which snapshots a commit keeps is said by properties of the table: tarn.snapshots-max (500),
 * history.expire.max-snapshot-age-ms with history.expire.min-snapshots-to-keep (1), and
 * tarn.snapshots-thin = true: those of the last hour, then one an hour for 7 days. The current one and
 * those that a branch or tag names always stay. gc.enabled = false: no file is ever removed.
 * tarn.orphans-age-ms (a day at least): files below the table's location that tarn did not write and no
 * snapshot names go too, when they are older. */
#pragma once

#include "table/catalog.h"

enum { COMPACT_FILES_MAX = 1000, ORPHANS_AGE_MS_MIN = 86400000 };

typedef struct CompactRule {
    uint64_t small_bytes;  /* a file below it is small */
    uint64_t target_bytes; /* of a new file, about */
    size_t files_min;      /* small files of one partition that are worth it; at least 2 */
} CompactRule;

/* Files of one partition that become one. */
typedef struct CompactBin {
    const IcePartitionSpec *spec;
    DataFile *files;
    size_t file_count;
    int64_t records, bytes;
} CompactBin;

/* The smallest first, and none that is larger than all before it together: so a row is written again
 * some log2 times, not at each round. */
Code table_compact_plan(const TableVersion *version, const CompactRule *rule, Arena *arena,
                        CompactBin **ret_bins, size_t *ret_count, Err *err) CHECKED;

/* The same text for files of one spec and one tuple of partition values, and for no others. */
Code table_partition_key(Arena *arena, const TableMetadata *m, const DataFile *file, Str *ret_key,
                         Err *err) CHECKED;

/* Snapshots whose time is over although nobody commits. `*stop` as in catalog_sweep. */
Code catalog_expire(Catalog *catalog, const bool *stop, size_t *ret_snapshots, Err *err) CHECKED;

/* Removes files of snapshots that expired before `before_us` and that no snapshot reaches: neither of the
 * table as it is, nor of a version that somebody in this process still reads. Only below the table's own
 * location. `before_us` leaves time to readers that found a file's name and did not open it. */
Code catalog_reclaim(Catalog *catalog, int64_t before_us, const bool *stop, size_t *ret_objects,
                     Err *err) CHECKED;

/* Tables that were dropped before `before_us` leave the trash, and their files go: what their snapshots name and
 * what tarn wrote below their location. Those that somebody in this process still reads wait. */
Code catalog_reclaim_dropped(Catalog *catalog, int64_t before_us, const bool *stop, size_t *ret_objects,
                             Err *err) CHECKED;

/* Reads which files every snapshot names, and removes what tarn wrote below a table's location before
 * `before_us` and nothing names: no snapshot, no intent, no metadata of the table. */
Code catalog_reclaim_orphans(Catalog *catalog, int64_t before_us, const bool *stop, size_t *ret_objects,
                             Err *err) CHECKED;

/* Since the catalog was opened. */
typedef struct CatalogKept {
    uint64_t snapshots_expired; /* by commits, and by catalog_expire */
    uint64_t objects_removed;   /* data files, manifests, lists, metadata: swept and reclaimed */
    uint64_t bytes_removed;
    uint64_t tables_removed; /* dropped ones, whole */
} CatalogKept;
CatalogKept catalog_kept(Catalog *catalog);
