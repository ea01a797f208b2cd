#include "base/cursor.h"

#include <string.h>

Reader reader_of(Str bytes)
{
    return (Reader){ .bytes = bytes };
}

bool reader_ok(const Reader *r)
{
    return !r->failure;
}

size_t reader_left(const Reader *r)
{
    return r->failure ? 0 : r->bytes.len - r->at;
}

void reader_fail(Reader *r, const char *why)
{
    if (r->failure)
        return;
    r->failure = why;
    r->failure_at = r->at;
}

Code reader_check(const Reader *r, const char *what, Err *err)
{
    if (r->failure)
        return err_set(err, E_CORRUPT, "%s: %s at byte %zu of %zu", what, r->failure,
                       r->failure_at, r->bytes.len);
    return E_OK;
}

Code reader_end(const Reader *r, const char *what, Err *err)
{
    TRY(reader_check(r, what, err));
    if (r->at != r->bytes.len)
        return err_set(err, E_CORRUPT, "%s: %zu bytes too many from byte %zu on", what,
                       r->bytes.len - r->at, r->at);
    return E_OK;
}

/* The next `count` bytes, or NULL after a failure. */
static const uint8_t *read_raw(Reader *r, size_t count)
{
    if (r->failure)
        return NULL;
    if (count > r->bytes.len - r->at) {
        reader_fail(r, "the bytes end too early");
        return NULL;
    }
    const uint8_t *at = (const uint8_t *)r->bytes.ptr + r->at;
    r->at += count;
    return at;
}

uint32_t load_u32le(const void *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? value : __builtin_bswap32(value);
}

uint64_t load_u64le(const void *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? value : __builtin_bswap64(value);
}

void store_u32le(void *at, uint32_t value)
{
    value = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? value : __builtin_bswap32(value);
    memcpy(at, &value, sizeof value);
}

void store_u64le(void *at, uint64_t value)
{
    value = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? value : __builtin_bswap64(value);
    memcpy(at, &value, sizeof value);
}

uint8_t read_u8(Reader *r)
{
    const uint8_t *at = read_raw(r, 1);
    return at ? *at : 0;
}

uint16_t read_u16le(Reader *r)
{
    const uint8_t *at = read_raw(r, 2);
    return at ? (uint16_t)(at[0] | at[1] << 8) : 0;
}

uint32_t read_u32le(Reader *r)
{
    const uint8_t *at = read_raw(r, 4);
    return at ? load_u32le(at) : 0;
}

uint64_t read_u64le(Reader *r)
{
    const uint8_t *at = read_raw(r, 8);
    return at ? load_u64le(at) : 0;
}

uint16_t read_u16be(Reader *r)
{
    return __builtin_bswap16(read_u16le(r));
}

uint32_t read_u32be(Reader *r)
{
    return __builtin_bswap32(read_u32le(r));
}

uint64_t read_u64be(Reader *r)
{
    return __builtin_bswap64(read_u64le(r));
}

uint64_t read_varint(Reader *r)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        const uint8_t *at = read_raw(r, 1);
        if (!at)
            return 0;
        if (shift == 63 && *at > 1)
            break;
        value |= (uint64_t)(*at & 0x7F) << shift;
        if (!(*at & 0x80))
            return value;
    }
    reader_fail(r, "a variable-length integer has more than 64 bits");
    return 0;
}

int64_t read_zigzag(Reader *r)
{
    uint64_t value = read_varint(r);
    return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

Str read_bytes(Reader *r, size_t count)
{
    const uint8_t *at = read_raw(r, count);
    return at ? str_of(at, count) : STR_NONE;
}

Str read_str32(Reader *r, size_t max)
{
    return read_bytes(r, (size_t)read_count(r, read_u32le(r), max));
}

void read_skip(Reader *r, size_t count)
{
    IGNORE(read_raw(r, count) == NULL); /* the failure sticks */
}

uint64_t read_count(Reader *r, uint64_t value, uint64_t max)
{
    if (value <= max)
        return value;
    reader_fail(r, "a count is over its maximum");
    return 0;
}

static void write_raw(Writer *w, const void *bytes, size_t count)
{
    buf_put(w, str_of(bytes, count));
}

void write_u8(Writer *w, uint8_t value)
{
    buf_put_char(w, (char)value);
}

void write_u16le(Writer *w, uint16_t value)
{
    uint8_t bytes[2] = { (uint8_t)value, (uint8_t)(value >> 8) };
    write_raw(w, bytes, sizeof bytes);
}

void write_u32le(Writer *w, uint32_t value)
{
    uint8_t bytes[4];
    store_u32le(bytes, value);
    write_raw(w, bytes, sizeof bytes);
}

void write_u64le(Writer *w, uint64_t value)
{
    uint8_t bytes[8];
    store_u64le(bytes, value);
    write_raw(w, bytes, sizeof bytes);
}

void write_u16be(Writer *w, uint16_t value)
{
    write_u16le(w, __builtin_bswap16(value));
}

void write_u32be(Writer *w, uint32_t value)
{
    write_u32le(w, __builtin_bswap32(value));
}

void write_u64be(Writer *w, uint64_t value)
{
    write_u64le(w, __builtin_bswap64(value));
}

void write_varint(Writer *w, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        write_u8(w, (uint8_t)(value | 0x80));
    write_u8(w, (uint8_t)value);
}

void write_zigzag(Writer *w, int64_t value)
{
    write_varint(w, ((uint64_t)value << 1) ^ (uint64_t)(value >> 63));
}

void write_str32(Writer *w, Str bytes)
{
    ASSERT(bytes.len <= UINT32_MAX);
    write_u32le(w, (uint32_t)bytes.len);
    buf_put(w, bytes);
}
