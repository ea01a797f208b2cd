/* compact.h: joins the small files of a table: the same rows in fewer files.
 * Owner:   nothing is kept.
 * Threads: any; two at work on one table do not harm each other, the later one begins again.
 * Errors:  those of sql_write and of the commit; CONFLICT when others changed the files again and again.
 * Limits:  COMPACT_ATTEMPTS_MAX plans a call.
 * Units:   bytes. */
#pragma once

#include "sql/sql.h"
#include "table/table_keep.h"

enum { COMPACT_ATTEMPTS_MAX = 3 };

typedef struct SqlCompact {
    Str ns, name;
    CompactRule rule;
    bool background;  /* nobody asked: stops while store_background_ok says no */
    const bool *stop; /* read atomically; true: ends before the next commit; NULL: never */
} SqlCompact;

typedef struct SqlCompacted {
    size_t commits, files_before, files_after;
    uint64_t rows, bytes; /* that were written again */
} SqlCompacted;

/* What is done stays done when a later bin fails. */
Code sql_compact(Sql *sql, const SqlCompact *compact, SqlCompacted *ret_compacted, Err *err) CHECKED;
