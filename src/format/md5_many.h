/* md5_many.h: MD5 of many texts at once, in the lanes of a vector: several times what one after the other takes.
 * Owner:   the caller's.
 * Threads: any.
 * Errors:  none.
 * Limits:  none.
 * Units:   bytes. */
#pragma once

#include "base/str.h"

enum { MD5_LEN = 16 };

void md5_many(const Str *texts, size_t count, uint8_t (*ret_digests)[MD5_LEN]);
