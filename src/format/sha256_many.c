/* The processor's own instructions do one text at a time, each round waiting for the one before; sixteen texts in the
 * lanes of vectors take less than half of that each. All lanes walk the same number of blocks, then those at their end
 * take their last bytes alone and the next text.
 *
 * Invariant: the state of a lane is what SHA-256 has after `at` bytes of its text, a multiple of BLOCK. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "format/sha256_many.h"
#include "format/sha256_cubes.h"

#include <openssl/sha.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>

enum { BLOCK = 64, LANES = 16, LANES_LEAST = 8 /* below it one by one is faster */ };

typedef struct Lanes {
    uint32_t state[8][LANES];
    const char *next[LANES]; /* the next block */
    const Str *text[LANES];  /* NULL: the lane is free */
    uint8_t *digest[LANES];
    size_t at[LANES];
} Lanes;

#define WIDE __attribute__((target("avx512f,avx512bw")))
#define ADD(x, y) _mm512_add_epi32(x, y)
#define ROT(x, n) _mm512_ror_epi32(x, n)
#define XOR3(x, y, z) _mm512_ternarylogic_epi32(x, y, z, 0x96)
#define CHOOSE(x, y, z) _mm512_ternarylogic_epi32(x, y, z, 0xca)
#define MOST(x, y, z) _mm512_ternarylogic_epi32(x, y, z, 0xe8)

/* A block of each lane, turned: words[i] are the words i of all lanes. */
WIDE static inline __attribute__((always_inline)) void words_load(const Lanes *lanes, __m512i words[16])
{
    const __m512i swap = _mm512_broadcast_i32x4(_mm_set_epi64x(0x0c0d0e0f08090a0bll, 0x0405060700010203ll));
    __m512i row[16], half[16];
    for (int i = 0; i < 16; i++)
        row[i] = _mm512_shuffle_epi8(_mm512_loadu_si512(lanes->next[i]), swap);
    for (int i = 0; i < 16; i += 2) { /* pairs of words */
        half[i] = _mm512_unpacklo_epi32(row[i], row[i + 1]);
        half[i + 1] = _mm512_unpackhi_epi32(row[i], row[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) { /* quads: row[i + k] has the words k of four lanes in each part */
        row[i] = _mm512_unpacklo_epi64(half[i], half[i + 2]);
        row[i + 1] = _mm512_unpackhi_epi64(half[i], half[i + 2]);
        row[i + 2] = _mm512_unpacklo_epi64(half[i + 1], half[i + 3]);
        row[i + 3] = _mm512_unpackhi_epi64(half[i + 1], half[i + 3]);
    }
    for (int k = 0; k < 4; k++) {
        __m512i low01 = _mm512_shuffle_i32x4(row[k], row[4 + k], 0x88);
        __m512i high01 = _mm512_shuffle_i32x4(row[k], row[4 + k], 0xdd);
        __m512i low23 = _mm512_shuffle_i32x4(row[8 + k], row[12 + k], 0x88);
        __m512i high23 = _mm512_shuffle_i32x4(row[8 + k], row[12 + k], 0xdd);
        words[k] = _mm512_shuffle_i32x4(low01, low23, 0x88);
        words[4 + k] = _mm512_shuffle_i32x4(high01, high23, 0x88);
        words[8 + k] = _mm512_shuffle_i32x4(low01, low23, 0xdd);
        words[12 + k] = _mm512_shuffle_i32x4(high01, high23, 0xdd);
    }
}

/* One round; the names of the state move by one with each. FIPS 180-4 6.2.2. */
#define ROUND(a, b, c, d, e, f, g, h, t)                                                                       \
    do {                                                                                                       \
        if ((t) >= 16) {                                                                                       \
            __m512i x = words[((t) + 1) % 16], y = words[((t) + 14) % 16];                                     \
            words[(t) % 16] = ADD(ADD(words[(t) % 16], XOR3(ROT(x, 7), ROT(x, 18), _mm512_srli_epi32(x, 3))),  \
                                  ADD(words[((t) + 9) % 16],                                                   \
                                      XOR3(ROT(y, 17), ROT(y, 19), _mm512_srli_epi32(y, 10))));                \
        }                                                                                                      \
        __m512i one = ADD(ADD(h, ADD(words[(t) % 16], _mm512_set1_epi32((int)sha256_cubes[t]))),                 \
                          ADD(XOR3(ROT(e, 6), ROT(e, 11), ROT(e, 25)), CHOOSE(e, f, g)));                      \
        d = ADD(d, one);                                                                                       \
        h = ADD(one, ADD(XOR3(ROT(a, 2), ROT(a, 13), ROT(a, 22)), MOST(a, b, c)));                             \
    } while (0)
#define EIGHT(t)                                   \
    do {                                           \
        ROUND(a, b, c, d, e, f, g, h, (t));        \
        ROUND(h, a, b, c, d, e, f, g, (t) + 1);    \
        ROUND(g, h, a, b, c, d, e, f, (t) + 2);    \
        ROUND(f, g, h, a, b, c, d, e, (t) + 3);    \
        ROUND(e, f, g, h, a, b, c, d, (t) + 4);    \
        ROUND(d, e, f, g, h, a, b, c, (t) + 5);    \
        ROUND(c, d, e, f, g, h, a, b, (t) + 6);    \
        ROUND(b, c, d, e, f, g, h, a, (t) + 7);    \
    } while (0)

WIDE static void blocks_walk(Lanes *lanes, size_t blocks)
{
    __m512i state[8], words[16];
    memcpy(state, lanes->state, sizeof state);
    __m512i a = state[0], b = state[1], c = state[2], d = state[3];
    __m512i e = state[4], f = state[5], g = state[6], h = state[7];
    for (; blocks > 0; blocks--) {
        words_load(lanes, words);
        for (int lane = 0; lane < LANES; lane++)
            lanes->next[lane] += BLOCK;
        EIGHT(0);
        EIGHT(8);
        EIGHT(16);
        EIGHT(24);
        EIGHT(32);
        EIGHT(40);
        EIGHT(48);
        EIGHT(56);
        state[0] = a = ADD(a, state[0]);
        state[1] = b = ADD(b, state[1]);
        state[2] = c = ADD(c, state[2]);
        state[3] = d = ADD(d, state[3]);
        state[4] = e = ADD(e, state[4]);
        state[5] = f = ADD(f, state[5]);
        state[6] = g = ADD(g, state[6]);
        state[7] = h = ADD(h, state[7]);
    }
    memcpy(lanes->state, state, sizeof state);
}

/* What follows the state of a lane, alone. */
static void lane_end(Lanes *lanes, size_t lane)
{
    const Str *text = lanes->text[lane];
    size_t at = lanes->at[lane];
    uint64_t bits = (uint64_t)at * 8;
    SHA256_CTX sha;
    ASSERT(SHA256_Init(&sha) == 1);
    for (size_t i = 0; i < ARRAY_LEN(lanes->state); i++)
        sha.h[i] = lanes->state[i][lane];
    sha.Nl = (uint32_t)bits;
    sha.Nh = (uint32_t)(bits >> 32);
    ASSERT(at == text->len || SHA256_Update(&sha, text->ptr + at, text->len - at) == 1);
    ASSERT(SHA256_Final(lanes->digest[lane], &sha) == 1);
    lanes->text[lane] = NULL;
}

static void lane_begin(Lanes *lanes, size_t lane, const Str *text, uint8_t *digest)
{
    static const uint32_t start[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                       0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
    for (size_t i = 0; i < ARRAY_LEN(start); i++)
        lanes->state[i][lane] = start[i];
    lanes->text[lane] = text;
    lanes->digest[lane] = digest;
    lanes->at[lane] = 0;
}

/* All lanes as far as the shortest goes; free ones walk along with another's text. */
static void lanes_run(Lanes *lanes)
{
    size_t blocks = SIZE_MAX, any = 0;
    for (size_t lane = 0; lane < LANES; lane++) {
        if (!lanes->text[lane])
            continue;
        blocks = MIN(blocks, (lanes->text[lane]->len - lanes->at[lane]) / BLOCK);
        any = lane;
    }
    for (size_t lane = 0; lane < LANES; lane++) {
        size_t of = lanes->text[lane] ? lane : any;
        lanes->next[lane] = lanes->text[of]->ptr + lanes->at[of];
    }
    blocks_walk(lanes, blocks);
    for (size_t lane = 0; lane < LANES; lane++)
        lanes->at[lane] += lanes->text[lane] ? blocks * BLOCK : 0;
}

/* How many of the texts are done or in a lane; the rest is for one by one. */
static size_t lanes_walk(Lanes *lanes, const Str *texts, size_t count, uint8_t (*ret_digests)[SHA256_LEN])
{
    size_t next = 0, busy = 0;
    for (;;) {
        for (size_t lane = 0; lane < LANES; lane++) {
            if (lanes->text[lane] && lanes->text[lane]->len - lanes->at[lane] < BLOCK) {
                lane_end(lanes, lane);
                busy--;
            }
            while (!lanes->text[lane] && next < count) {
                lane_begin(lanes, lane, &texts[next], ret_digests[next]);
                next++;
                if (lanes->text[lane]->len < BLOCK)
                    lane_end(lanes, lane);
                else
                    busy++;
            }
        }
        if (busy < LANES_LEAST)
            return next;
        lanes_run(lanes);
    }
}

void sha256_many(const Str *texts, size_t count, uint8_t (*ret_digests)[SHA256_LEN])
{
    size_t done = 0;
    if (count >= LANES_LEAST && sha256_many_pays()) {
        Lanes lanes = { 0 };
        done = lanes_walk(&lanes, texts, count, ret_digests);
        for (size_t lane = 0; lane < LANES; lane++)
            if (lanes.text[lane])
                lane_end(&lanes, lane);
    }
    for (; done < count; done++)
        sha256_of(texts[done], ret_digests[done]);
}

bool sha256_many_pays(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");
}
#else
void sha256_many(const Str *texts, size_t count, uint8_t (*ret_digests)[SHA256_LEN])
{
    for (size_t i = 0; i < count; i++)
        sha256_of(texts[i], ret_digests[i]);
}

bool sha256_many_pays(void)
{
    return false;
}
#endif
