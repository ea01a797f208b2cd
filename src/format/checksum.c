#define OPENSSL_SUPPRESS_DEPRECATED
#include "format/checksum.h"

#include <isa-l/crc.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>

enum { CRC_PIECE = 1 << 30 }; /* ISA-L counts CRC-32C's bytes in an int */

/* ISA-L's crc32_iscsi neither inverts its seed nor its result. */
uint32_t crc32c(uint32_t seed, Str bytes)
{
    uint32_t crc = ~seed;
    for (size_t at = 0; at < bytes.len; at += CRC_PIECE) {
        size_t len = MIN(bytes.len - at, (size_t)CRC_PIECE);
        crc = crc32_iscsi((unsigned char *)bytes.ptr + at, (int)len, crc);
    }
    return ~crc;
}

uint32_t crc32_zip(uint32_t seed, Str bytes)
{
    return crc32_gzip_refl(seed, (const unsigned char *)bytes.ptr, bytes.len);
}

/* OpenSSL's plain functions: the EVP ones look their algorithm up, under a lock, each time. */
void sha256_init(Sha256 *sha)
{
    sha->context = mem_new(sizeof(SHA256_CTX));
    ASSERT(SHA256_Init(sha->context) == 1);
}

void sha256_update(Sha256 *sha, Str bytes)
{
    if (bytes.len > 0)
        ASSERT(SHA256_Update(sha->context, bytes.ptr, bytes.len) == 1);
}

void sha256_final(Sha256 *sha, uint8_t ret_digest[SHA256_LEN])
{
    ASSERT(SHA256_Final(ret_digest, sha->context) == 1);
}

void sha256_done(Sha256 *sha)
{
    if (sha->context)
        OPENSSL_cleanse(sha->context, sizeof(SHA256_CTX));
    mem_free(&sha->context);
}

void sha256_of(Str bytes, uint8_t ret_digest[SHA256_LEN])
{
    SHA256_CTX sha; /* SHA256() is one of the EVP ones */
    ASSERT(SHA256_Init(&sha) == 1 && (bytes.len == 0 || SHA256_Update(&sha, bytes.ptr, bytes.len) == 1));
    ASSERT(SHA256_Final(ret_digest, &sha) == 1);
    OPENSSL_cleanse(&sha, sizeof sha); /* they may have been a secret's */
}

/* RFC 2104. */
void hmac_sha256(Str key, Str bytes, uint8_t ret_digest[SHA256_LEN])
{
    uint8_t inner[SHA256_CBLOCK] = { 0 }, outer[SHA256_CBLOCK];
    SHA256_CTX sha;
    if (key.len > sizeof inner)
        sha256_of(key, inner);
    else if (key.len > 0)
        memcpy(inner, key.ptr, key.len);
    for (size_t i = 0; i < sizeof inner; i++) {
        outer[i] = inner[i] ^ 0x5c;
        inner[i] ^= 0x36;
    }
    ASSERT(SHA256_Init(&sha) == 1 && SHA256_Update(&sha, inner, sizeof inner) == 1);
    ASSERT(bytes.len == 0 || SHA256_Update(&sha, bytes.ptr, bytes.len) == 1);
    ASSERT(SHA256_Final(ret_digest, &sha) == 1 && SHA256_Init(&sha) == 1);
    ASSERT(SHA256_Update(&sha, outer, sizeof outer) == 1 && SHA256_Update(&sha, ret_digest, SHA256_LEN) == 1);
    ASSERT(SHA256_Final(ret_digest, &sha) == 1);
    OPENSSL_cleanse(inner, sizeof inner);
    OPENSSL_cleanse(outer, sizeof outer);
    OPENSSL_cleanse(&sha, sizeof sha);
}

bool secret_eq(Str a, Str b)
{
    return a.len == b.len && (a.len == 0 || CRYPTO_memcmp(a.ptr, b.ptr, a.len) == 0);
}
