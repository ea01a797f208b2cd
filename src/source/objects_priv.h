/* objects_priv.h: what lies in bronze, as rows of `bronze.objects` and by source and name.
 * Owner:   source_objects_new gives it, source_objects_free takes it; no scan may be open then.
 * Threads: any; one scan by one thread at a time.
 * Errors:  those of store_list; NOT_FOUND with the nearest name.
 * Limits:  OBJECTS_FOUND_MAX objects of one name.
 * Units:   bytes; _us: microseconds since 1970 UTC. */
#pragma once

#include "sql/scan_source.h"
#include "store/store.h"

enum { OBJECTS_FOUND_MAX = 1000000 };

typedef struct SourceObjects SourceObjects;

SourceObjects *source_objects_new(Store *store, Str bucket);
void source_objects_free(SourceObjects **objects);
const ScanSource *source_objects_source(SourceObjects *objects);

Code source_objects_find(SourceObjects *objects, Str source, Str name, bool all, Arena *arena,
                         ObjectInfo **ret_objects, size_t *ret_count, Err *err) CHECKED;
