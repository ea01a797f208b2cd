/* md5_sha256.h: MD5 and SHA-256 of the same bytes for the time of MD5 alone, where the processor has SHA.
 * Owner:   the caller's.
 * Threads: any; one Digest at a time.
 * Errors:  none.
 * Limits:  none.
 * Units:   bytes. */
#pragma once

#include "format/checksum.h"
#include "format/digest.h"

/* As digest_update(md5, bytes) and sha256_update(sha, bytes); `md5` is of DIGEST_MD5. */
void md5_sha256_update(Digest *md5, Sha256 *sha, Str bytes);
