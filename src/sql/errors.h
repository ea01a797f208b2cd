/* errors.h: the engine's words for what went wrong, made tarn's: code, one sentence, place, hint.
 * Owner:   the caller's Err is changed in place.
 * Threads: any.
 * Errors:  it gives the code that the Err has afterwards.
 * Limits:  those of Err.
 * Units:   positions in bytes from the start of the user's text. */
#pragma once

#include "base/err.h"
#include "base/str.h"

/* `text` is what the engine was given (of the user's length) or ptr NULL. `code` E_OK stays. */
Code sql_error(Err *err, Code code, Str text) __attribute__((warn_unused_result));
