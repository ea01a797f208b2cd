/* arrow_build.h: Arrow batches of our own rows, cell by cell.
 * Owner:   a batch belongs to whoever holds it; its release frees the columns too.
 * Threads: one at a time.
 * Errors:  none; texts beyond the column's maximum are cut off.
 * Limits:  rows and bytes of text as said when a column is made.
 * Units:   rows; bytes. */
#pragma once

#include "format/arrow.h"

typedef enum ArrowCellType { ARROW_CELL_TEXT, ARROW_CELL_I64, ARROW_CELL_F64, ARROW_CELL_BOOL } ArrowCellType;

/* One value of a row. */
typedef struct ArrowCell {
    bool set;       /* false: null */
    Str text;
    int64_t number; /* of ARROW_CELL_BOOL too */
    double real;
} ArrowCell;

/* A batch with room for `columns` children, each to be set to an arrow_column_new; its length is the caller's. */
ArrowArray arrow_batch_new(size_t columns);
ArrowArray *arrow_column_new(ArrowCellType type, size_t rows_max, size_t text_bytes_max);
void arrow_column_put(ArrowArray *column, ArrowCell cell);
