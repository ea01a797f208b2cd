/* objects_priv.h: objects of bronze by source and name, and the changes of objects as rows.
 * Owner:   x_new gives it, x_free takes it; no scan may be open then.
 * Threads: any; one scan by one thread at a time.
 * Errors:  those of store_list and store_feed_read; NOT_FOUND with the nearest name.
 * Limits:  OBJECTS_FOUND_MAX objects of one name.
 * Units:   bytes; _us: microseconds since 1970 UTC. */
#pragma once

#include "sql/scan_source.h"
#include "store/store_keep.h"

enum { OBJECTS_FOUND_MAX = 1000000, SOURCE_COLUMNS_MAX = 32 };

typedef struct SourceObjects SourceObjects;

SourceObjects *source_objects_new(Store *store, Str bucket);
void source_objects_free(SourceObjects **objects);
Code source_objects_find(SourceObjects *objects, Str source, Str name, bool all, Arena *arena,
                         ObjectInfo **ret_objects, size_t *ret_count, Err *err) CHECKED;
Str source_tag(const ObjectInfo *info, Str key); /* no pointer: it has no such tag */

typedef struct SourceChanges SourceChanges;
typedef enum SourceColumnType { COLUMN_TEXT, COLUMN_I64, COLUMN_TIME } SourceColumnType;
typedef struct SourceColumn {
    Str name;
    SourceColumnType type;
} SourceColumn;

/* `skipped_bucket`: that of the tables. */
SourceChanges *source_changes_new(Store *store, Str skipped_bucket);
void source_changes_free(SourceChanges **changes);
/* Asked with bounds of `sequence` it reads only these; GONE when its readers have given them back. */
const ScanSource *source_changes_scan(SourceChanges *changes);
size_t source_changes_columns(SourceColumn *ret_columns); /* SOURCE_COLUMNS_MAX of them at most */
bool source_change_counts(const SourceChanges *changes, const StoreChange *change);
