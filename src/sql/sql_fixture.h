/* sql_fixture.h: a lake in memory for the tests of this folder.
 * Owner:   lake_new's caller.
 * Threads: one.
 * Errors:  a failure fails the case, where a function does not give a code.
 * Limits:  64 MiB of rows a statement.
 * Units:   none. */
#pragma once

#include "base/test.h"
#include "sql/sql.h"

typedef struct Lake Lake;

Lake *lake_new(void);
void lake_free(Lake **lake);
Sql *lake_sql(Lake *lake);
Catalog *lake_catalog(Lake *lake);
Store *lake_store(Lake *lake);
Arena *lake_arena(Lake *lake);

/* Runs a statement; its rows as CSV lines joined with '\n', in the lake's arena. A failure fails
 * the case and gives STR_NONE. */
Str lake_rows(Lake *lake, const char *text);
/* The same with everything of a request. */
Code lake_query(Lake *lake, const SqlRequest *request, Str *ret_rows, Err *err) CHECKED;
/* Code and Err of a statement that should fail; E_OK fails the case. */
Code lake_error(Lake *lake, const char *text, Err *ret_err) CHECKED;
