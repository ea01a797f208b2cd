/* Spec, appendix B: 32-bit hash requirements: murmur3 x86 32, seed 0. */
#include "base/cursor.h"
#include "table/value.h"

static uint32_t rotl(uint32_t x, int by)
{
    return x << by | x >> (32 - by);
}

static uint32_t mix(uint32_t k)
{
    return rotl(k * 0xcc9e2d51u, 15) * 0x1b873593u;
}

uint32_t murmur3_32(Str bytes, uint32_t seed)
{
    uint32_t hash = seed;
    size_t blocks = bytes.len / 4;
    for (size_t i = 0; i < blocks; i++)
        hash = rotl(hash ^ mix(load_u32le(bytes.ptr + 4 * i)), 13) * 5 + 0xe6546b64u;
    uint32_t tail = 0;
    for (size_t i = bytes.len; i > blocks * 4; i--)
        tail = tail << 8 | (uint8_t)bytes.ptr[i - 1];
    hash ^= mix(tail);
    hash ^= (uint32_t)bytes.len;
    hash = (hash ^ hash >> 16) * 0x85ebca6bu;
    hash = (hash ^ hash >> 13) * 0xc2b2ae35u;
    return hash ^ hash >> 16;
}

uint32_t ice_hash_i64(int64_t number)
{
    char bytes[8];
    store_u64le(bytes, (uint64_t)number);
    return murmur3_32(str_of(bytes, sizeof bytes), 0);
}

uint32_t ice_hash_decimal(__int128 unscaled)
{
    char bytes[16];
    size_t len = 16;
    for (size_t i = 0; i < 16; i++)
        bytes[15 - i] = (char)(unscaled >> (8 * i));
    while (len > 1) { /* fewest bytes that keep the sign */
        uint8_t first = (uint8_t)bytes[16 - len], second = (uint8_t)bytes[17 - len];
        if (!((first == 0 && second < 0x80) || (first == 0xff && second >= 0x80)))
            break;
        len--;
    }
    return murmur3_32(str_of(bytes + 16 - len, len), 0);
}
