#include "format/checksum.h"

#include <isa-l/crc.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

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

/* OpenSSL fails here only without memory or without its own SHA-256: nothing to go on with. */
void sha256_init(Sha256 *sha)
{
    sha->context = EVP_MD_CTX_new();
    ASSERT(sha->context != NULL);
    ASSERT(EVP_DigestInit_ex(sha->context, EVP_sha256(), NULL) == 1);
}

void sha256_update(Sha256 *sha, Str bytes)
{
    if (bytes.len > 0)
        ASSERT(EVP_DigestUpdate(sha->context, bytes.ptr, bytes.len) == 1);
}

void sha256_final(Sha256 *sha, uint8_t ret_digest[SHA256_LEN])
{
    ASSERT(EVP_DigestFinal_ex(sha->context, ret_digest, NULL) == 1);
}

void sha256_done(Sha256 *sha)
{
    EVP_MD_CTX_free(sha->context);
    sha->context = NULL;
}

void sha256_of(Str bytes, uint8_t ret_digest[SHA256_LEN])
{
    Sha256 sha AUTO(sha256_done) = { NULL };
    sha256_init(&sha);
    sha256_update(&sha, bytes);
    sha256_final(&sha, ret_digest);
}

void hmac_sha256(Str key, Str bytes, uint8_t ret_digest[SHA256_LEN])
{
    const char *key_ptr = key.len > 0 ? key.ptr : "";
    ASSERT(HMAC(EVP_sha256(), key_ptr, (int)key.len, (const unsigned char *)bytes.ptr, bytes.len,
                ret_digest, NULL) != NULL);
}

bool secret_eq(Str a, Str b)
{
    return a.len == b.len && (a.len == 0 || CRYPTO_memcmp(a.ptr, b.ptr, a.len) == 0);
}
