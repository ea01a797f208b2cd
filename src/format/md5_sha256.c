/* A step of MD5 waits for the one before, and most of a core's units stand idle meanwhile: the rounds of
 * SHA-256, which wait for each other alone, are put between them. The contexts are OpenSSL's, so that every
 * other way of feeding them goes on from here.
 *
 * Invariant: whole blocks go through both, and only when neither context has bytes of a block begun. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "format/md5_sha256.h"
#include "format/md5_sines.h"
#include "format/sha256_cubes.h"

#include <openssl/md5.h>
#include <openssl/sha.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>

enum { BLOCK = 64, SHA_BIT = 1 << 29 /* of EBX, CPUID leaf 7 */ };

static bool has_sha;

__attribute__((constructor)) static void machine_look(void)
{
    unsigned a, b, c, d;
    has_sha = __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & SHA_BIT) && __builtin_cpu_supports("sse4.1");
}

/* One step of MD5; what does not wait for `b` is added first. */
#define TURN(a, b, turn) a = (a << (turn) | a >> (32 - (turn))) + b
#define STEP1(a, b, c, d, i, turn)                       \
    a += words[(i) % 16] + md5_sines[i] + (d ^ (b & (c ^ d))); \
    TURN(a, b, turn);
#define STEP2(a, b, c, d, i, turn)                         \
    a += words[(5 * (i) + 1) % 16] + md5_sines[i] + (~d & c); \
    a += d & b;                                           \
    TURN(a, b, turn);
#define STEP3(a, b, c, d, i, turn)                             \
    a += words[(3 * (i) + 5) % 16] + md5_sines[i] + ((c ^ d) ^ b); \
    TURN(a, b, turn);
#define STEP4(a, b, c, d, i, turn)                       \
    a += words[7 * (i) % 16] + md5_sines[i] + (c ^ (b | ~d)); \
    TURN(a, b, turn);

/* Four rounds of SHA-256 with the words of block[q % 4], which then becomes those of four rounds ahead. */
#define ROUNDS(q)                                                                                             \
    do {                                                                                                      \
        __m128i now = _mm_add_epi32(block[(q) % 4], _mm_load_si128((const __m128i *)(sha256_cubes + 4 * (q)))); \
        cdgh = _mm_sha256rnds2_epu32(cdgh, abef, now);                                                        \
        if ((q) < 12) {                                                                                       \
            __m128i next = _mm_sha256msg1_epu32(block[(q) % 4], block[((q) + 1) % 4]);                        \
            next = _mm_add_epi32(next, _mm_alignr_epi8(block[((q) + 3) % 4], block[((q) + 2) % 4], 4));       \
            block[(q) % 4] = _mm_sha256msg2_epu32(next, block[((q) + 3) % 4]);                                \
        }                                                                                                     \
        abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(now, 0x0e));                               \
    } while (0)
#define FOUR(STEP, i, r1, r2, r3, r4) \
    STEP(a, b, c, d, i, r1)           \
    STEP(d, a, b, c, (i) + 1, r2)     \
    STEP(c, d, a, b, (i) + 2, r3)     \
    STEP(b, c, d, a, (i) + 3, r4)     \
    ROUNDS((i) / 4);
#define SIXTEEN(STEP, i, r1, r2, r3, r4)   \
    FOUR(STEP, i, r1, r2, r3, r4)          \
    FOUR(STEP, (i) + 4, r1, r2, r3, r4)    \
    FOUR(STEP, (i) + 8, r1, r2, r3, r4)    \
    FOUR(STEP, (i) + 12, r1, r2, r3, r4)

/* `abef` and `cdgh` hold the words of the state in the order of the processor's instructions. */
__attribute__((target("sha,sse4.1,ssse3"))) static void blocks_walk(uint32_t md5[4], uint32_t sha[8],
                                                                    const char *at, size_t count)
{
    uint32_t a = md5[0], b = md5[1], c = md5[2], d = md5[3], words[16];
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bll, 0x0405060700010203ll);
    __m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)sha), 0xb1);
    __m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(sha + 4)), 0x1b);
    __m128i abef = _mm_alignr_epi8(low, high, 8), cdgh = _mm_blend_epi16(high, low, 0xf0), block[4];
    for (; count > 0; count--, at += BLOCK) {
        const __m128i abef_before = abef, cdgh_before = cdgh;
        const uint32_t before[4] = { a, b, c, d };
        memcpy(words, at, sizeof words);
        for (int i = 0; i < 4; i++)
            block[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(at + 16 * i)), swap);
        SIXTEEN(STEP1, 0, 7, 12, 17, 22)
        SIXTEEN(STEP2, 16, 5, 9, 14, 20)
        SIXTEEN(STEP3, 32, 4, 11, 16, 23)
        SIXTEEN(STEP4, 48, 6, 10, 15, 21)
        a += before[0];
        b += before[1];
        c += before[2];
        d += before[3];
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    md5[0] = a;
    md5[1] = b;
    md5[2] = c;
    md5[3] = d;
    low = _mm_shuffle_epi32(abef, 0x1b);
    high = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)sha, _mm_blend_epi16(low, high, 0xf0));
    _mm_storeu_si128((__m128i *)(sha + 4), _mm_alignr_epi8(high, low, 8));
}

/* Both count bits, in two words. */
static void bits_add(uint32_t *low, uint32_t *high, size_t bytes)
{
    uint64_t bits = ((uint64_t)*high << 32 | *low) + (uint64_t)bytes * 8;
    *low = (uint32_t)bits;
    *high = (uint32_t)(bits >> 32);
}

/* What goes through both at once; the rest is the caller's. */
static Str blocks_take(MD5_CTX *md5, SHA256_CTX *sha, Str bytes)
{
    size_t count = bytes.len / BLOCK;
    if (!has_sha || count == 0 || md5->num != 0 || sha->num != 0)
        return bytes;
    uint32_t state[4] = { md5->A, md5->B, md5->C, md5->D };
    blocks_walk(state, sha->h, bytes.ptr, count);
    md5->A = state[0];
    md5->B = state[1];
    md5->C = state[2];
    md5->D = state[3];
    bits_add(&md5->Nl, &md5->Nh, count * BLOCK);
    bits_add(&sha->Nl, &sha->Nh, count * BLOCK);
    return str_from(bytes, count * BLOCK);
}
#endif

void md5_sha256_update(Digest *md5, Sha256 *sha, Str bytes)
{
    ASSERT(md5->kind == DIGEST_MD5);
#if defined(__x86_64__)
    MD5_CTX *of_md5 = md5->context; /* a union of contexts, this one among them */
    SHA256_CTX *of_sha = sha->context;
    if (of_md5->num != 0 && of_md5->num == of_sha->num) {
        Str head = str_sub(bytes, 0, BLOCK - of_md5->num);
        digest_update(md5, head);
        sha256_update(sha, head);
        bytes = str_from(bytes, head.len);
    }
    bytes = blocks_take(of_md5, of_sha, bytes);
#endif
    digest_update(md5, bytes);
    sha256_update(sha, bytes);
}
