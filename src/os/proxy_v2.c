#include "os/proxy_v2.h"

#include "base/cursor.h"

#include <string.h>

static const uint8_t signature[12] = { 0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D,
                                       0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A };

enum {
    VERSION_LOCAL = 0x20,
    VERSION_PROXY = 0x21,
    FAMILY_UNSPEC = 0x00,
    FAMILY_TCP4 = 0x11,
    FAMILY_TCP6 = 0x21,
    FAMILY_UNIX_STREAM = 0x31,
    TLV_CRC32C = 0x03,
    UNIX_BYTES = 216
};

static uint16_t two(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

/* CRC-32C, with the four bytes at `zero_at` as zeros. */
static uint32_t crc32c(const uint8_t *bytes, size_t len, size_t zero_at)
{
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < len; i++) {
        crc ^= i >= zero_at && i < zero_at + 4 ? 0 : bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78U : 0);
    }
    return ~crc;
}

/* The TLVs from `at` to the end of the header: each whole; a checksum, when it is there, right and
 * there once. */
static bool tlvs_hold(const uint8_t *bytes, size_t at, size_t end)
{
    bool summed = false;
    while (at < end) {
        if (end - at < 3)
            return false;
        size_t len = two(bytes + at + 1), value = at + 3;
        if (len > end - value)
            return false;
        if (bytes[at] == TLV_CRC32C) {
            if (summed || len != 4)
                return false;
            uint32_t wanted = (uint32_t)two(bytes + value) << 16 | two(bytes + value + 2);
            if (crc32c(bytes, end, value) != wanted)
                return false;
            summed = true;
        }
        at = value + len;
    }
    return true;
}

/* The addresses of a PROXY command; gives their length. false: a family that is none. */
static bool addresses_take(uint8_t family, const uint8_t *at, size_t len, ProxyHeader *header,
                           size_t *ret_len)
{
    size_t host = family == FAMILY_TCP4 ? 4 : family == FAMILY_TCP6 ? 16 : 0;
    if (family == FAMILY_UNSPEC || family == FAMILY_UNIX_STREAM) {
        *ret_len = family == FAMILY_UNSPEC ? len : UNIX_BYTES; /* no TLV can be told from an unknown address */
        return *ret_len <= len;
    }
    if (host == 0 || len < host * 2 + 4)
        return false;
    memcpy(header->source, at, host);
    memcpy(header->target, at + host, host);
    header->source_len = host;
    header->source_port = two(at + host * 2);
    header->target_port = two(at + host * 2 + 2);
    header->announces = true;
    *ret_len = host * 2 + 4;
    return true;
}

ProxyV2Step proxy_v2_decode(Str bytes, ProxyHeader *ret_header, size_t *ret_used)
{
    const uint8_t *at = (const uint8_t *)bytes.ptr;
    ProxyHeader header = { 0 };
    size_t addresses = 0;
    if (bytes.len == 0)
        return PROXY_V2_MORE;
    if (memcmp(at, signature, MIN(bytes.len, sizeof signature)) != 0)
        return PROXY_V2_REFUSE;
    if (bytes.len > 12 && at[12] != VERSION_LOCAL && at[12] != VERSION_PROXY)
        return PROXY_V2_REFUSE;
    if (bytes.len < PROXY_V2_FIXED_BYTES)
        return PROXY_V2_MORE;
    size_t len = two(at + 14);
    if (len > PROXY_V2_BYTES_MAX - PROXY_V2_FIXED_BYTES)
        return PROXY_V2_REFUSE;
    if (bytes.len < PROXY_V2_FIXED_BYTES + len)
        return PROXY_V2_MORE;
    if (at[12] == VERSION_PROXY) {
        if (!addresses_take(at[13], at + PROXY_V2_FIXED_BYTES, len, &header, &addresses) ||
            !tlvs_hold(at, PROXY_V2_FIXED_BYTES + addresses, PROXY_V2_FIXED_BYTES + len))
            return PROXY_V2_REFUSE;
    }
    *ret_header = header;
    *ret_used = PROXY_V2_FIXED_BYTES + len;
    return PROXY_V2_DONE;
}
