/* digest.h: the checksums that S3 knows, one after the other or several over the same bytes.
 * Owner:   a Digest belongs to whoever initialised it; digest_done frees what it holds.
 * Threads: any; one Digest at a time.
 * Errors:  none.
 * Limits:  DIGEST_LEN_MAX bytes a value.
 * Units:   bytes; a CRC's value is big-endian, as the services write it (before base64). */
#pragma once

#include "base/str.h"

typedef enum DigestKind {
    DIGEST_NONE,
    DIGEST_MD5,
    DIGEST_SHA1,
    DIGEST_SHA256,
    DIGEST_CRC32,     /* ISO-HDLC, as in gzip */
    DIGEST_CRC32C,    /* Castagnoli, RFC 3720 */
    DIGEST_CRC64NVME, /* NVM Express, reflected 0x9A6C9329AC4BC9B5 */
    DIGEST_SHA512,
    DIGEST_XXHASH64, /* seed 0, big-endian, as those behind it */
    DIGEST_XXHASH3,
    DIGEST_XXHASH128,
    DIGEST_KINDS /* journals have the numbers: a new kind goes behind the others */
} DigestKind;

enum { DIGEST_LEN_MAX = 64 };

typedef struct DigestValue {
    DigestKind kind;
    uint8_t bytes[DIGEST_LEN_MAX]; /* digest_len(kind) of them */
} DigestValue;

typedef struct Digest {
    DigestKind kind;
    uint64_t crc;
    void *context; /* the library's, of all but CRCs */
} Digest;

size_t digest_len(DigestKind kind);
const char *digest_name(DigestKind kind);              /* "CRC64NVME"; "" for DIGEST_NONE */
bool digest_parse(Str name, DigestKind *ret_kind);     /* letters alike; never DIGEST_NONE */
bool digest_is_crc(DigestKind kind);

void digest_init(Digest *digest, DigestKind kind);
void digest_update(Digest *digest, Str bytes);
DigestValue digest_final(Digest *digest);              /* then only digest_done is left */
void digest_done(Digest *digest);                      /* fit for AUTO, also when zeroed */
DigestValue digest_of(DigestKind kind, Str bytes);
bool digest_eq(const DigestValue *a, const DigestValue *b);
Str digest_str(const DigestValue *value);              /* the bytes, borrowed */

/* The CRC of `a` followed by `b`, whose length is `b_len`; both of one kind that digest_is_crc. */
DigestValue digest_combine(const DigestValue *a, const DigestValue *b, uint64_t b_len);

/* CRC-64/NVME of bytes; `seed` is 0 or the result for the bytes before.
 * crc64_nvme(0, "123456789") == 0xAE8B14860A799888. */
uint64_t crc64_nvme(uint64_t seed, Str bytes);
