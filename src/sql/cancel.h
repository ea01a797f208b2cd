/* cancel.h: ends a statement from another thread, also before its result is there.
 * Owner:   whoever made it; it outlives the statements that were given it.
 * Threads: any.
 * Errors:  none; the statement ends with CANCELLED.
 * Limits:  one statement at a time.
 * Units:   none. */
#pragma once

#include "base/base.h"

typedef struct SqlCancel SqlCancel;

SqlCancel *sql_cancel_new(void);
void sql_cancel_free(SqlCancel **cancel);
void sql_cancel(SqlCancel *cancel); /* for good: later statements end at once */
bool sql_is_cancelled(SqlCancel *cancel);
