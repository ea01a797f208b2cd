/* predicate.h: what a SELECT's WHERE says about the columns of its only table, for leaving files
 * out. Owner:   results live in the given arena. Threads: any. Errors:  none: what is not
 * understood is no predicate. Limits:  SCAN_PREDICATES_MAX predicates, SCAN_VALUES_MAX values of
 * IN, GATE_DEPTH_MAX levels. Units:   none.
 *
 * Only comparisons are taken whose meaning in the engine is ours too: a column of a type with a
 * constant or a parameter of the same type (integers, text, dates, timestamps without zone). */
#pragma once

#include "format/json.h"
#include "sql/sql.h"
#include "table/scan.h"

/* `node` is the tree of the whole statement, in which one table stands once. */
size_t sql_predicates(const Json *node, const SqlParam *params, size_t param_count,
                      const IceSchema *schema, Arena *arena, ScanPredicate **ret_predicates);
