/* checksum.h: CRC-32C and SHA-256 of bytes, at once or piece by piece.
 * Owner:   a Sha256 belongs to whoever initialised it; sha256_done frees what it holds.
 * Threads: any; one Sha256 at a time.
 * Errors:  none.
 * Limits:  none.
 * Units:   bytes. */
#pragma once

#include "base/str.h"

enum { SHA256_LEN = 32 };

/* CRC-32C (Castagnoli, RFC 3720). `seed` is 0 or the result for the bytes before:
 * crc32c(crc32c(0, a), b) == crc32c(0, ab). crc32c(0, "123456789") == 0xE3069283. */
uint32_t crc32c(uint32_t seed, Str bytes);

/* CRC-32 (IEEE 802.3, as in gzip and Parquet pages), chained in the same way. */
uint32_t crc32_zip(uint32_t seed, Str bytes);

typedef struct Sha256 {
    void *context; /* OpenSSL's */
} Sha256;

void sha256_init(Sha256 *sha);
void sha256_update(Sha256 *sha, Str bytes);
void sha256_final(Sha256 *sha, uint8_t ret_digest[SHA256_LEN]); /* then only sha256_done is left */
void sha256_done(Sha256 *sha);                                  /* fit for AUTO, also when zeroed */

void sha256_of(Str bytes, uint8_t ret_digest[SHA256_LEN]);

/* HMAC-SHA-256, for signatures of requests and of pages. */
void hmac_sha256(Str key, Str bytes, uint8_t ret_digest[SHA256_LEN]);

/* Compares in a time that does not depend on where the bytes differ. */
bool secret_eq(Str a, Str b);
