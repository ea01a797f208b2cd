/* sha256_many.h: SHA-256 of many texts at once, in the lanes of a vector: half of what one after the other takes.
 * Owner:   the caller's.
 * Threads: any.
 * Errors:  none.
 * Limits:  none.
 * Units:   bytes. */
#pragma once

#include "format/checksum.h"

void sha256_many(const Str *texts, size_t count, uint8_t (*ret_digests)[SHA256_LEN]);
/* Whether this machine has such lanes: elsewhere it is as sha256_of of each, and nothing is won by waiting for more. */
bool sha256_many_pays(void);
