/* shell.h: the SQL shell: editing and history, statements over several lines, commands with `\`.
 * Owner:   `tarn sql`.
 * Threads: one.
 * Errors:  those of statements are shown and the shell goes on.
 * Limits:  a statement has SHELL_TEXT_MAX bytes, the history 1,000 lines.
 * Units:   none. */
#pragma once

#include "main/client.h"

enum { SHELL_TEXT_MAX = 1 << 20 };

typedef enum SqlFormat { SQL_VIEW_TABLE, SQL_VIEW_JSON, SQL_VIEW_CSV } SqlFormat;

typedef struct SqlView {
    SqlFormat format;
    bool bars, timing, foot;
    size_t width; /* of the terminal; 0: no bound */
} SqlView;

/* Runs one statement and shows its answer. */
Code sql_statement(Client *client, Str text, const SqlView *view, Err *err) CHECKED;

Code shell_run(Client *client, SqlView *view, Err *err) CHECKED;
