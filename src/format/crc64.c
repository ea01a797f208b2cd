/* CRC-64/NVME: folding in lanes of 128 bits where the processor multiplies without carry, in sixteen of
 * them where it does so in vectors of 512 bits, else eight tables.
 *
 * Reflected: bit 0 of a word is the highest power. A carry-less product of two reflected words is the
 * product times x once more, hence x^(D-1) where a register moves D bits ahead. The constants are
 * computed from the polynomial before main(), so that no table of magic numbers stands here. */
#include "format/digest.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define POLY 0x9A6C9329AC4BC9B5ull /* reflected, without its x^64 */

enum {
    FOLD_LANES = 4,
    FOLD_BYTES = 16 * FOLD_LANES,
    WIDE_VECTORS = 4,
    WIDE_LANES = 4 * WIDE_VECTORS,
    WIDE_BYTES = 16 * WIDE_LANES
};

static uint64_t tables[8][256];
static uint64_t fold_far[2], fold_near[2]; /* by FOLD_BYTES, by 16 bytes: low word, high word */
static uint64_t fold_wide[2]; /* by WIDE_BYTES */
static bool can_fold, can_fold_wide;

/* x^power mod P, reflected. */
static uint64_t power_of_x(unsigned power)
{
    uint64_t value = 1ull << 63; /* x^0 */
    while (power-- > 0)
        value = (value >> 1) ^ (value & 1 ? POLY : 0);
    return value;
}

__attribute__((constructor)) static void tables_make(void)
{
    for (unsigned i = 0; i < 256; i++) {
        uint64_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ (crc & 1 ? POLY : 0);
        tables[0][i] = crc;
    }
    for (unsigned i = 0; i < 256; i++) {
        for (int t = 1; t < 8; t++)
            tables[t][i] = (tables[t - 1][i] >> 8) ^ tables[0][tables[t - 1][i] & 255];
    }
    fold_far[0] = power_of_x(FOLD_BYTES * 8 + 63);
    fold_far[1] = power_of_x(FOLD_BYTES * 8 - 1);
    fold_near[0] = power_of_x(128 + 63);
    fold_near[1] = power_of_x(128 - 1);
    fold_wide[0] = power_of_x(WIDE_BYTES * 8 + 63);
    fold_wide[1] = power_of_x(WIDE_BYTES * 8 - 1);
#if defined(__x86_64__)
    can_fold_wide = __builtin_cpu_supports("vpclmulqdq") && __builtin_cpu_supports("avx512f") &&
                    __builtin_cpu_supports("pclmul");
    can_fold = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
#endif
}

static uint64_t crc_by_tables(uint64_t crc, const uint8_t *at, size_t len)
{
    for (; len >= 8; at += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, at, 8); /* little-endian machines only: os/ refuses others */
        crc ^= word;
        crc = tables[7][crc & 255] ^ tables[6][crc >> 8 & 255] ^ tables[5][crc >> 16 & 255] ^
              tables[4][crc >> 24 & 255] ^ tables[3][crc >> 32 & 255] ^ tables[2][crc >> 40 & 255] ^
              tables[1][crc >> 48 & 255] ^ tables[0][crc >> 56];
    }
    while (len-- > 0)
        crc = (crc >> 8) ^ tables[0][(crc ^ *at++) & 255];
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("pclmul,sse4.1"))) static __m128i fold(__m128i lane, __m128i by, __m128i next)
{
    __m128i low = _mm_clmulepi64_si128(lane, by, 0x00), high = _mm_clmulepi64_si128(lane, by, 0x11);
    return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

/* At least FOLD_BYTES; gives what is left to the tables. */
__attribute__((target("pclmul,sse4.1"))) static uint64_t crc_by_folding(uint64_t crc, const uint8_t *at,
                                                                        size_t len)
{
    __m128i lanes[FOLD_LANES], far = _mm_set_epi64x((long long)fold_far[1], (long long)fold_far[0]);
    __m128i near = _mm_set_epi64x((long long)fold_near[1], (long long)fold_near[0]);
    uint8_t last[16];
    for (int i = 0; i < FOLD_LANES; i++)
        lanes[i] = _mm_loadu_si128((const __m128i *)(at + 16 * i));
    lanes[0] = _mm_xor_si128(lanes[0], _mm_set_epi64x(0, (long long)crc));
    for (at += FOLD_BYTES, len -= FOLD_BYTES; len >= FOLD_BYTES; at += FOLD_BYTES, len -= FOLD_BYTES) {
        for (int i = 0; i < FOLD_LANES; i++)
            lanes[i] = fold(lanes[i], far, _mm_loadu_si128((const __m128i *)(at + 16 * i)));
    }
    for (int i = 1; i < FOLD_LANES; i++)
        lanes[i] = fold(lanes[i - 1], near, lanes[i]);
    _mm_storeu_si128((__m128i *)last, lanes[FOLD_LANES - 1]);
    return crc_by_tables(crc_by_tables(0, last, sizeof last), at, len);
}

/* All whole WIDE_BYTES, of which there are two at least; the CRC before its last step. */
__attribute__((target("avx512f,vpclmulqdq,pclmul,sse4.1"))) static uint64_t
crc_by_wide_folding(uint64_t crc, const uint8_t *at, size_t len)
{
    __m128i far = _mm_set_epi64x((long long)fold_wide[1], (long long)fold_wide[0]);
    __m512i wide[WIDE_VECTORS], by = _mm512_broadcast_i32x4(far);
    __m128i near = _mm_set_epi64x((long long)fold_near[1], (long long)fold_near[0]), lane, lanes[WIDE_LANES];
    uint8_t last[16];
    for (int i = 0; i < WIDE_VECTORS; i++)
        wide[i] = _mm512_loadu_si512(at + 64 * i);
    wide[0] = _mm512_xor_si512(wide[0], _mm512_zextsi128_si512(_mm_set_epi64x(0, (long long)crc)));
    for (at += WIDE_BYTES, len -= WIDE_BYTES; len >= WIDE_BYTES; at += WIDE_BYTES, len -= WIDE_BYTES) {
        for (int i = 0; i < WIDE_VECTORS; i++) {
            __m512i low = _mm512_clmulepi64_epi128(wide[i], by, 0x00);
            __m512i high = _mm512_clmulepi64_epi128(wide[i], by, 0x11);
            __m512i next = _mm512_loadu_si512(at + 64 * i);
            wide[i] = _mm512_xor_si512(_mm512_xor_si512(low, high), next);
        }
    }
    memcpy(lanes, wide, sizeof lanes);
    lane = lanes[0];
    for (int i = 1; i < WIDE_LANES; i++)
        lane = fold(lane, near, lanes[i]);
    _mm_storeu_si128((__m128i *)last, lane);
    return crc_by_tables(0, last, sizeof last);
}
#endif

uint64_t crc64_nvme(uint64_t seed, Str bytes)
{
    const uint8_t *at = (const uint8_t *)bytes.ptr;
#if defined(__x86_64__)
    if (can_fold_wide && bytes.len >= 2 * WIDE_BYTES) {
        size_t whole = bytes.len / WIDE_BYTES * WIDE_BYTES;
        seed = ~crc_by_wide_folding(~seed, at, whole);
        at += whole;
        bytes = str_from(bytes, whole);
    }
    if (can_fold && bytes.len >= FOLD_BYTES)
        return ~crc_by_folding(~seed, at, bytes.len);
#endif
    return ~crc_by_tables(~seed, at, bytes.len);
}
