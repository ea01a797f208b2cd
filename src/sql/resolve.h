/* resolve.h: from the names of a gated SELECT to what the engine binds in their place.
 * Owner:   the caller; sql_resolved_done gives back tables and scans. Texts live in the given
 * arena. Threads: one at a time. Errors:  those of the gate; NOT_FOUND with the nearest name and
 * the place; INVALID for a view that reads itself, for volatile functions where they are refused.
 * Limits:  SQL_TABLES_MAX names, RESOLVE_DEPTH_MAX views in views.
 * Units:   counts of files.
 *
 * Every name of one text is taken at one snapshot of the metadata; the names of a view's text at
 * one that is not older. This is the only place where a table's name becomes rows, so the policies
 * of govern/ (filters, masks) belong into the text that it binds. */
#pragma once

#include "sql/border.h"
#include "sql/gate.h"
#include "sql/lexer.h"
#include "sql/raw.h"
#include "sql/sql.h"
#include "table/catalog.h"

enum { RESOLVE_DEPTH_MAX = 16 };

typedef struct SqlResolved {
    BorderBinding *bindings;
    size_t binding_count;
    TableVersion **versions;
    size_t version_count;
    RawScan **raws;
    size_t raw_count;
    size_t travel_count;
    uint64_t files_planned, files_total;
    Gate gate; /* of the text itself */
    const Sql *pinned; /* whose tails stay readable behind `places`; NULL: nobody's */
    uint64_t places[SQL_TAILS_MAX];
} SqlResolved;

void sql_resolved_done(SqlResolved *resolved);

/* Gates `text` and resolves what it reads; calls that read objects are replaced in it. Bindings
 * that are there already in `ret_resolved` (a zeroed one has none) stay. */
Code sql_resolve(Sql *sql, BorderConn *conn, const SqlRequest *request, SqlText *text, Arena *arena,
                 SqlResolved *ret_resolved, Err *err) CHECKED;

/* Room for one more; LIMIT. */
Code sql_resolved_add(SqlResolved *resolved, Arena *arena, const BorderBinding *binding,
                      Err *err) CHECKED;
