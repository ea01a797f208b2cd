/* prune_priv.h: may a manifest or a file hold a row that satisfies the predicates?
 * Owner:   nobody; plain functions.
 * Threads: any.
 * Errors:  none: what is not known is kept.
 * Limits:  none.
 * Units:   none. */
#pragma once

#include "table/scan.h"

/* The predicates with all that does not depend on the file worked out once. */
typedef struct Pruner Pruner;

Code pruner_new(Arena *arena, const TableMetadata *metadata, const IceSchema *schema,
                const ScanPredicate *predicates, size_t count, Pruner **ret_pruner,
                Err *err) CHECKED;
bool prune_keeps_manifest(Pruner *pruner, const ManifestFile *manifest);
bool prune_keeps_file(Pruner *pruner, const DataFile *file);
