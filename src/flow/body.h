/* body.h: the statements that are made from a model's SELECT: its good rows, its rejected rows, its count.
 * Owner:   texts live in the Arena.
 * Threads: any.
 * Errors:  INVALID when declared columns and the SELECT do not fit.
 * Limits:  SQL_TEXT_MAX a statement.
 * Units:   bytes.
 *
 * The SELECT stands unchanged in a CTE `_body`, so a place in a statement is a place in the model's file.
 * `_typed` above it casts to the declared columns and marks what does not cast. */
#pragma once

#include "flow/suite.h"
#include "sql/sql.h"
#include "table/iceberg.h"

enum { BODY_SOURCES_MAX = 64 };

typedef struct BodyColumn {
    Str name;
    const IceType *type; /* of the table */
    bool cast;           /* the SELECT gives another type */
} BodyColumn;

typedef struct Body {
    const Model *model;
    const Suite *suite;
    Str sql;             /* the SELECT, with source(...) replaced where text is read: same length */
    BodyColumn *columns;
    size_t column_count;
    bool has_file, has_row, has_raw;
    bool casts;          /* some column does */
    bool separates;      /* casts, or an expectation whose failing rows are set aside */
    Str file;            /* the one object that is read; empty: several, or tables */
    Str run_id;
    int64_t now_us;
} Body;

/* Columns from what the SELECT gives and what the header declares. */
Code body_fit(Arena *arena, Body *body, const IceSchema *given, Err *err) CHECKED;

/* `*ret_at`: where the SELECT begins in the statement. */
Code body_good(Arena *arena, const Body *body, Str *ret_sql, size_t *ret_at, Err *err) CHECKED;
Code body_bad(Arena *arena, const Body *body, Str *ret_sql, size_t *ret_at, Err *err) CHECKED;
/* Records of the text input `number` that are no rows; they never reach the SELECT. */
Code body_odd(Arena *arena, const Body *body, size_t number, Str *ret_sql, Err *err) CHECKED;
Code body_count(Arena *arena, const Body *body, Str *ret_sql, size_t *ret_at, Err *err) CHECKED;

/* The columns of a quarantine table: model, run_id, reason, _file, _row, _raw, quarantined_at. */
extern const ModelColumn QUARANTINE_COLUMNS[];
extern const size_t QUARANTINE_COLUMN_COUNT;

/* A call source('a', 'b') outside quotes and comments. */
typedef struct BodySource {
    size_t from, to;
    Str source, name;
    bool all;
} BodySource;

/* At most BODY_SOURCES_MAX; more are left alone. */
size_t body_sources(Str sql, BodySource *ret_sources);
/* Writes "@sN" and blanks over the call. */
void body_replace(char *sql, const BodySource *source, size_t number);
