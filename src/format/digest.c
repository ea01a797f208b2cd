#define OPENSSL_SUPPRESS_DEPRECATED
#include "format/digest.h"

#include "format/checksum.h"

#include <openssl/md5.h>
#include <openssl/sha.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

typedef struct KindRow {
    const char *name;
    size_t len;
    uint64_t poly; /* reflected, of a CRC */
} KindRow;

static const KindRow rows[DIGEST_KINDS] = {
    [DIGEST_NONE] = { "", 0, 0 },
    [DIGEST_MD5] = { "MD5", 16, 0 },
    [DIGEST_SHA1] = { "SHA1", 20, 0 },
    [DIGEST_SHA256] = { "SHA256", 32, 0 },
    [DIGEST_CRC32] = { "CRC32", 4, 0xEDB88320 },
    [DIGEST_CRC32C] = { "CRC32C", 4, 0x82F63B78 },
    [DIGEST_CRC64NVME] = { "CRC64NVME", 8, 0x9A6C9329AC4BC9B5ull },
    [DIGEST_SHA512] = { "SHA512", 64, 0 },
    [DIGEST_XXHASH64] = { "XXHASH64", 8, 0 },
    [DIGEST_XXHASH3] = { "XXHASH3", 8, 0 },
    [DIGEST_XXHASH128] = { "XXHASH128", 16, 0 },
};

size_t digest_len(DigestKind kind)
{
    return rows[kind].len;
}

const char *digest_name(DigestKind kind)
{
    return rows[kind].name;
}

bool digest_parse(Str name, DigestKind *ret_kind)
{
    for (int kind = DIGEST_NONE + 1; kind < DIGEST_KINDS; kind++) {
        if (str_ieq(name, str_z(rows[kind].name))) {
            *ret_kind = (DigestKind)kind;
            return true;
        }
    }
    return false;
}

bool digest_is_crc(DigestKind kind)
{
    return rows[kind].poly != 0;
}

typedef union Context {
    MD5_CTX md5;
    SHA_CTX sha1;
    SHA256_CTX sha256;
    SHA512_CTX sha512;
    XXH64_state_t xxh64;
} Context;

enum { XXH3_ALIGN = 64 }; /* of the library's state, which no allocator of ours promises */

static XXH3_state_t *xxh3_of(const Digest *digest)
{
    return (XXH3_state_t *)(((uintptr_t)digest->context + XXH3_ALIGN - 1) & ~(uintptr_t)(XXH3_ALIGN - 1));
}

static void xxhash_begin(Digest *digest)
{
    bool wide = digest->kind == DIGEST_XXHASH128;
    if (digest->kind == DIGEST_XXHASH64) {
        digest->context = mem_new(sizeof(XXH64_state_t));
        ASSERT(XXH64_reset(digest->context, 0) == XXH_OK);
        return;
    }
    digest->context = mem_new(sizeof(XXH3_state_t) + XXH3_ALIGN);
    ASSERT((wide ? XXH3_128bits_reset(xxh3_of(digest)) : XXH3_64bits_reset(xxh3_of(digest))) == XXH_OK);
}

/* OpenSSL's plain functions, as in checksum.c; they do not fail. */
void digest_init(Digest *digest, DigestKind kind)
{
    *digest = (Digest){ .kind = kind };
    if (kind == DIGEST_NONE || digest_is_crc(kind))
        return;
    if (kind == DIGEST_XXHASH64 || kind == DIGEST_XXHASH3 || kind == DIGEST_XXHASH128) {
        xxhash_begin(digest);
        return;
    }
    Context *context = digest->context = mem_new(sizeof *context);
    ASSERT(kind == DIGEST_MD5      ? MD5_Init(&context->md5)
           : kind == DIGEST_SHA1   ? SHA1_Init(&context->sha1)
           : kind == DIGEST_SHA512 ? SHA512_Init(&context->sha512)
                                   : SHA256_Init(&context->sha256));
}

void digest_update(Digest *digest, Str bytes)
{
    Context *context = digest->context;
    if (bytes.len == 0)
        return;
    switch (digest->kind) {
    case DIGEST_CRC32:
        digest->crc = crc32_zip((uint32_t)digest->crc, bytes);
        break;
    case DIGEST_CRC32C:
        digest->crc = crc32c((uint32_t)digest->crc, bytes);
        break;
    case DIGEST_CRC64NVME:
        digest->crc = crc64_nvme(digest->crc, bytes);
        break;
    case DIGEST_MD5:
        ASSERT(MD5_Update(&context->md5, bytes.ptr, bytes.len));
        break;
    case DIGEST_SHA1:
        ASSERT(SHA1_Update(&context->sha1, bytes.ptr, bytes.len));
        break;
    case DIGEST_SHA256:
        ASSERT(SHA256_Update(&context->sha256, bytes.ptr, bytes.len));
        break;
    case DIGEST_SHA512:
        ASSERT(SHA512_Update(&context->sha512, bytes.ptr, bytes.len));
        break;
    case DIGEST_XXHASH64:
        ASSERT(XXH64_update(&context->xxh64, bytes.ptr, bytes.len) == XXH_OK);
        break;
    case DIGEST_XXHASH3:
        ASSERT(XXH3_64bits_update(xxh3_of(digest), bytes.ptr, bytes.len) == XXH_OK);
        break;
    case DIGEST_XXHASH128:
        ASSERT(XXH3_128bits_update(xxh3_of(digest), bytes.ptr, bytes.len) == XXH_OK);
        break;
    case DIGEST_NONE:
    case DIGEST_KINDS:
        break;
    }
}

static void number_put(DigestValue *value, uint64_t number)
{
    size_t len = digest_len(value->kind);
    for (size_t i = 0; i < len; i++)
        value->bytes[i] = (uint8_t)(number >> 8 * (len - 1 - i));
}

static uint64_t crc_get(const DigestValue *value)
{
    uint64_t crc = 0;
    for (size_t i = 0; i < digest_len(value->kind); i++)
        crc = crc << 8 | value->bytes[i];
    return crc;
}

DigestValue digest_final(Digest *digest)
{
    DigestValue value = { .kind = digest->kind };
    Context *context = digest->context;
    switch (digest->kind) {
    case DIGEST_CRC32:
    case DIGEST_CRC32C:
    case DIGEST_CRC64NVME:
        number_put(&value, digest->crc);
        break;
    case DIGEST_MD5:
        ASSERT(MD5_Final(value.bytes, &context->md5));
        break;
    case DIGEST_SHA1:
        ASSERT(SHA1_Final(value.bytes, &context->sha1));
        break;
    case DIGEST_SHA256:
        ASSERT(SHA256_Final(value.bytes, &context->sha256));
        break;
    case DIGEST_SHA512:
        ASSERT(SHA512_Final(value.bytes, &context->sha512));
        break;
    case DIGEST_XXHASH64:
        number_put(&value, XXH64_digest(&context->xxh64));
        break;
    case DIGEST_XXHASH3:
        number_put(&value, XXH3_64bits_digest(xxh3_of(digest)));
        break;
    case DIGEST_XXHASH128: {
        XXH128_canonical_t wide;
        XXH128_canonicalFromHash(&wide, XXH3_128bits_digest(xxh3_of(digest)));
        memcpy(value.bytes, wide.digest, sizeof wide.digest);
        break;
    }
    case DIGEST_NONE:
    case DIGEST_KINDS:
        break;
    }
    return value;
}

void digest_done(Digest *digest)
{
    mem_free(&digest->context);
}

DigestValue digest_of(DigestKind kind, Str bytes)
{
    Digest digest AUTO(digest_done) = { 0 };
    digest_init(&digest, kind);
    digest_update(&digest, bytes);
    return digest_final(&digest);
}

bool digest_eq(const DigestValue *a, const DigestValue *b)
{
    return a->kind == b->kind && memcmp(a->bytes, b->bytes, digest_len(a->kind)) == 0;
}

Str digest_str(const DigestValue *value)
{
    return str_of(value->bytes, digest_len(value->kind));
}

/* a * b mod P; reflected, the highest bit of the width is x^0. */
static uint64_t multiply(uint64_t a, uint64_t b, uint64_t poly, unsigned bits)
{
    uint64_t product = 0, top = 1ull << (bits - 1);
    for (uint64_t bit = top; bit > 0; bit >>= 1) {
        if (a & bit)
            product ^= b;
        b = (b >> 1) ^ (b & 1 ? poly : 0);
    }
    return product;
}

/* The CRC of a moved b_len bytes ahead, and b's: start and end values cancel out. */
DigestValue digest_combine(const DigestValue *a, const DigestValue *b, uint64_t b_len)
{
    ASSERT(a->kind == b->kind && digest_is_crc(a->kind));
    DigestValue value = { .kind = a->kind };
    unsigned bits = (unsigned)digest_len(a->kind) * 8;
    uint64_t poly = rows[a->kind].poly, crc = crc_get(a);
    uint64_t power = 1ull << (bits - 1 - 8); /* x^8: one byte ahead */
    for (; b_len > 0; b_len >>= 1) {
        if (b_len & 1)
            crc = multiply(crc, power, poly, bits);
        power = multiply(power, power, poly, bits);
    }
    number_put(&value, crc ^ crc_get(b));
    return value;
}
