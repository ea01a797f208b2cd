/* One step of MD5 is a chain of additions and rotations that a core runs far below its width. Here
 * each lane of a vector is another text. All lanes walk the same number of blocks, then those at
 * their end take their last bytes alone and the next text.
 *
 * Invariant: the state of a lane is what MD5 has after `at` bytes of its text, a multiple of BLOCK. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "format/md5_many.h"
#include "format/md5_sines.h"

#include <openssl/md5.h>
#include <string.h>

enum { BLOCK = 64, LANES_MAX = 32, LANES_LEAST = 3 /* below it one by one is faster */ };

typedef struct Lanes {
    uint32_t state[4][LANES_MAX];
    const char *text[LANES_MAX]; /* the next block */
} Lanes;

#define STEP(a, b, c, d, f, chain, word, i, turn) \
    do {                                     \
        a += words[chain][word] + md5_sines[i];  \
        a += (f);                            \
        a = (a << (turn)) | (a >> (32 - turn)); \
        a += b;                              \
    } while (0)
#define STEPS(a, b, c, d, F, word, i, turn)                                  \
    do {                                                                     \
        STEP(a[0], b[0], c[0], d[0], F(b[0], c[0], d[0]), 0, word, i, turn); \
        if (chains > 1)                                                      \
            STEP(a[1], b[1], c[1], d[1], F(b[1], c[1], d[1]), 1, word, i, turn); \
    } while (0)
#define FOUR(F, i, step, first, r1, r2, r3, r4)                                        \
    do {                                                                               \
        STEPS(a, b, c, d, F, ((i) * (step) + (first)) % 16, i, r1);            \
        STEPS(d, a, b, c, F, (((i) + 1) * (step) + (first)) % 16, (i) + 1, r2); \
        STEPS(c, d, a, b, F, (((i) + 2) * (step) + (first)) % 16, (i) + 2, r3); \
        STEPS(b, c, d, a, F, (((i) + 3) * (step) + (first)) % 16, (i) + 3, r4); \
    } while (0)
#define SIXTEEN(F, i, step, first, r1, r2, r3, r4)            \
    do {                                                      \
        FOUR(F, i, step, first, r1, r2, r3, r4);              \
        FOUR(F, (i) + 4, step, first, r1, r2, r3, r4);        \
        FOUR(F, (i) + 8, step, first, r1, r2, r3, r4);        \
        FOUR(F, (i) + 12, step, first, r1, r2, r3, r4);       \
    } while (0)
#define F1(x, y, z) (z ^ (x & (y ^ z)))
#define F2(x, y, z) (y ^ (z & (x ^ y)))
#define F3(x, y, z) (x ^ y ^ z)
#define F4(x, y, z) (y ^ (x | ~z))

/* A block of each lane, turned: words[i] are the words i of all lanes. A row is a quad (16 bytes) of every fourth lane;
 * four rows, turned within their quads, are four words. */
typedef uint32_t Vector4 __attribute__((vector_size(16)));
typedef uint32_t Vector8 __attribute__((vector_size(32)));
typedef uint32_t Vector16 __attribute__((vector_size(64)));
#define ORDER_4(a, b, c, d) a, b, c, d
#define ORDER_8(a, b, c, d) a, b, c, d, (a) + 4, (b) + 4, (c) + 4, (d) + 4
#define ORDER_16(a, b, c, d) ORDER_8(a, b, c, d), ORDER_8((a) + 8, (b) + 8, (c) + 8, (d) + 8)
#define PAIRS(count, x, y, a, b) __builtin_shufflevector(x, y, ORDER_##count(a, (count) + (a), b, (count) + (b)))
#define HALVES(count, x, y, a)                                                                               \
    __builtin_shufflevector(x, y, ORDER_##count(a, (a) + 1, (count) + (a), (count) + (a) + 1))

#define ROW_4(lanes, lane, quad) quad_of(lanes, lane, quad)
#define ROW_8(lanes, lane, quad)                                                                             \
    __builtin_shufflevector(ROW_4(lanes, lane, quad), ROW_4(lanes, (lane) + 4, quad), 0, 1, 2, 3, 4, 5, 6, 7)
#define ROW_16(lanes, lane, quad)                                                                            \
    __builtin_shufflevector(ROW_8(lanes, lane, quad), ROW_8(lanes, (lane) + 8, quad), 0, 1, 2, 3, 4, 5, 6, 7, 8, \
                            9, 10, 11, 12, 13, 14, 15)

static inline __attribute__((always_inline)) Vector4 quad_of(const Lanes *lanes, size_t lane, size_t quad)
{
    Vector4 quad_there;
    memcpy(&quad_there, lanes->text[lane] + quad * sizeof quad_there, sizeof quad_there);
    return quad_there;
}

/* The same for each width of vectors; what the compiler may use stands in front of it. */
#define BLOCKS_RUN(name, count, chain_count, may_use)                                                    \
    may_use static void name(Lanes *lanes, size_t blocks)                                                \
    {                                                                                                    \
        enum { chains = chain_count };                                                                   \
        Vector##count a[chains], b[chains], c[chains], d[chains], words[chains][16];                     \
        memcpy(a, lanes->state[0], sizeof a);                                                            \
        memcpy(b, lanes->state[1], sizeof b);                                                            \
        memcpy(c, lanes->state[2], sizeof c);                                                            \
        memcpy(d, lanes->state[3], sizeof d);                                                            \
        for (; blocks > 0; blocks--) {                                                                   \
            Vector##count a0[chains], b0[chains], c0[chains], d0[chains];                                \
            for (size_t k = 0; k < chains; k++) {                                                        \
                a0[k] = a[k], b0[k] = b[k], c0[k] = c[k], d0[k] = d[k];                                  \
                for (size_t i = 0; i < 4; i++) {                                                         \
                    size_t lane = k * (count);                                                           \
                    Vector##count row0 = ROW_##count(lanes, lane, i), row1 = ROW_##count(lanes, lane + 1, i);     \
                    Vector##count row2 = ROW_##count(lanes, lane + 2, i), row3 = ROW_##count(lanes, lane + 3, i); \
                    Vector##count low01 = PAIRS(count, row0, row1, 0, 1), low23 = PAIRS(count, row2, row3, 0, 1);   \
                    Vector##count high01 = PAIRS(count, row0, row1, 2, 3), high23 = PAIRS(count, row2, row3, 2, 3); \
                    words[k][4 * i] = HALVES(count, low01, low23, 0);                                    \
                    words[k][4 * i + 1] = HALVES(count, low01, low23, 2);                                \
                    words[k][4 * i + 2] = HALVES(count, high01, high23, 0);                              \
                    words[k][4 * i + 3] = HALVES(count, high01, high23, 2);                              \
                }                                                                                        \
            }                                                                                            \
            for (size_t lane = 0; lane < chains * (count); lane++)                                       \
                lanes->text[lane] += BLOCK;                                                              \
            SIXTEEN(F1, 0, 1, 0, 7, 12, 17, 22);                                                         \
            SIXTEEN(F2, 16, 5, 1, 5, 9, 14, 20);                                                         \
            SIXTEEN(F3, 32, 3, 5, 4, 11, 16, 23);                                                        \
            SIXTEEN(F4, 48, 7, 0, 6, 10, 15, 21);                                                        \
            for (size_t k = 0; k < chains; k++)                                                          \
                a[k] += a0[k], b[k] += b0[k], c[k] += c0[k], d[k] += d0[k];                              \
        }                                                                                                \
        memcpy(lanes->state[0], a, sizeof a);                                                            \
        memcpy(lanes->state[1], b, sizeof b);                                                            \
        memcpy(lanes->state[2], c, sizeof c);                                                            \
        memcpy(lanes->state[3], d, sizeof d);                                                            \
    }                                                                                                    \
    _Static_assert(chain_count * (count) <= LANES_MAX, "the lanes of the vectors")

#if defined(__x86_64__)
#define MAY_USE(what) __attribute__((target(what)))
BLOCKS_RUN(blocks_32, 16, 2, MAY_USE("avx512f"));
BLOCKS_RUN(blocks_16, 16, 1, MAY_USE("avx512f"));
BLOCKS_RUN(blocks_8_twice, 8, 2, MAY_USE("avx2"));
BLOCKS_RUN(blocks_8, 8, 1, MAY_USE("avx2"));
#endif
BLOCKS_RUN(blocks_4, 4, 1, __attribute__((unused)));
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words of a block are read as they lie");

typedef void LanesRun(Lanes *lanes, size_t blocks);

typedef struct Width {
    size_t lanes, few; /* `few` of them in about the same time or less */
    LanesRun *run, *run_few;
} Width;

static Width width_here(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f"))
        return (Width){ 32, 16, blocks_32, blocks_16 };
    if (__builtin_cpu_supports("avx2"))
        return (Width){ 16, 8, blocks_8_twice, blocks_8 };
#endif
    return (Width){ 4, 4, blocks_4, blocks_4 };
}

typedef struct Walk {
    Lanes lanes;
    const Str *text[LANES_MAX]; /* NULL: the lane is free */
    uint8_t *digest[LANES_MAX];
    size_t at[LANES_MAX];
} Walk;

/* What follows the state of a lane, alone. */
static void lane_end(Walk *walk, size_t lane)
{
    const Str *text = walk->text[lane];
    size_t at = walk->at[lane];
    uint64_t bits = (uint64_t)at * 8;
    MD5_CTX md5;
    ASSERT(MD5_Init(&md5) == 1);
    md5.A = walk->lanes.state[0][lane];
    md5.B = walk->lanes.state[1][lane];
    md5.C = walk->lanes.state[2][lane];
    md5.D = walk->lanes.state[3][lane];
    md5.Nl = (MD5_LONG)bits;
    md5.Nh = (MD5_LONG)(bits >> 32);
    ASSERT(at == text->len || MD5_Update(&md5, text->ptr + at, text->len - at) == 1);
    ASSERT(MD5_Final(walk->digest[lane], &md5) == 1);
    walk->text[lane] = NULL;
}

static void lane_begin(Walk *walk, size_t lane, const Str *text, uint8_t *digest)
{
    static const uint32_t start[4] = { 0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476 };
    for (size_t i = 0; i < 4; i++)
        walk->lanes.state[i][lane] = start[i];
    walk->text[lane] = text;
    walk->digest[lane] = digest;
    walk->at[lane] = 0;
}

/* All lanes as far as the shortest goes; free ones walk along with another's text. */
static void lanes_run(Walk *walk, const Width *width)
{
    size_t blocks = SIZE_MAX, any = 0;
    for (size_t lane = 0; lane < width->lanes; lane++) {
        if (!walk->text[lane])
            continue;
        blocks = MIN(blocks, (walk->text[lane]->len - walk->at[lane]) / BLOCK);
        any = lane;
    }
    for (size_t lane = 0; lane < width->lanes; lane++) {
        size_t of = walk->text[lane] ? lane : any;
        walk->lanes.text[lane] = walk->text[of]->ptr + walk->at[of];
    }
    (any < width->few ? width->run_few : width->run)(&walk->lanes, blocks);
    for (size_t lane = 0; lane < width->lanes; lane++)
        walk->at[lane] += walk->text[lane] ? blocks * BLOCK : 0;
}

void md5_many(const Str *texts, size_t count, uint8_t (*ret_digests)[MD5_LEN])
{
    Width width = width_here();
    Walk walk = { 0 };
    size_t next = 0, busy = 0;
    for (;;) {
        for (size_t lane = 0; lane < width.lanes; lane++) {
            if (walk.text[lane] && walk.text[lane]->len - walk.at[lane] < BLOCK) {
                lane_end(&walk, lane);
                busy--;
            }
            while (!walk.text[lane] && next < count) {
                lane_begin(&walk, lane, &texts[next], ret_digests[next]);
                next++;
                if (walk.text[lane]->len < BLOCK)
                    lane_end(&walk, lane);
                else
                    busy++;
            }
        }
        if (busy < LANES_LEAST)
            break;
        lanes_run(&walk, &width);
    }
    for (size_t lane = 0; lane < width.lanes; lane++)
        if (walk.text[lane])
            lane_end(&walk, lane);
}
