/* rows_priv.h: checks NDJSON while it streams: every line that is not blank is one JSON object.
 * Owner:   row_check_new gives it, row_check_free takes it.
 * Threads: one at a time.
 * Errors:  INVALID and SYNTAX with `line N` as place; LIMIT for a line over the maximum.
 * Limits:  the maximum of row_check_new a line.
 * Units:   bytes; lines are counted from 1. */
#pragma once

#include "base/err.h"
#include "base/str.h"

typedef struct RowCheck RowCheck;

RowCheck *row_check_new(size_t line_bytes_max);
void row_check_free(RowCheck **check);
Code row_check_write(RowCheck *check, Str bytes, Err *err) CHECKED;
/* The last line may come without a line end. INVALID when there was no row at all. */
Code row_check_end(RowCheck *check, uint64_t *ret_rows, Err *err) CHECKED;
