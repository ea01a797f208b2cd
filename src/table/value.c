#include "base/cursor.h"
#include "table/value.h"

#include <math.h>
#include <string.h>

IceValue ice_value_i64(int64_t number)
{
    return (IceValue){ .present = true, .number = number };
}

IceValue ice_value_f64(double real)
{
    return (IceValue){ .present = true, .real = real };
}

IceValue ice_value_str(Str bytes)
{
    return (IceValue){ .present = true, .bytes = bytes };
}

static Str le_bytes(Arena *arena, uint64_t number, size_t len)
{
    char bytes[8];
    store_u64le(bytes, number);
    return str_of(arena_copy(arena, bytes, len), len);
}

/* Two's complement, big endian, as few bytes as keep the sign. */
static Str decimal_bytes(Arena *arena, __int128 value)
{
    char bytes[16];
    for (size_t i = 0; i < 16; i++)
        bytes[15 - i] = (char)(value >> (8 * i));
    size_t from = 0;
    while (from < 15) {
        uint8_t first = (uint8_t)bytes[from], second = (uint8_t)bytes[from + 1];
        if (!((first == 0 && second < 0x80) || (first == 0xff && second >= 0x80)))
            break;
        from++;
    }
    return str_of(arena_copy(arena, bytes + from, 16 - from), 16 - from);
}

static uint64_t real_bits(IceBound bound, double real)
{
    uint64_t bits = 0;
    float narrow = (float)real;
    if (bound == BOUND_F32)
        memcpy(&bits, &narrow, sizeof narrow);
    else
        memcpy(&bits, &real, sizeof real);
    return bits;
}

Code ice_value_encode(Arena *arena, const IceType *type, const IceValue *value, Str *ret_bytes,
                      Err *err)
{
    ASSERT(value->present);
    IceBound bound = ice_kind_info(type->kind)->bound;
    switch (bound) {
    case BOUND_BOOL:
        *ret_bytes = le_bytes(arena, value->number != 0, 1);
        return E_OK;
    case BOUND_I32:
        *ret_bytes = le_bytes(arena, (uint64_t)value->number, 4);
        return E_OK;
    case BOUND_I64:
        *ret_bytes = le_bytes(arena, (uint64_t)value->number, 8);
        return E_OK;
    case BOUND_F32:
        *ret_bytes = le_bytes(arena, real_bits(bound, value->real), 4);
        return E_OK;
    case BOUND_F64:
        *ret_bytes = le_bytes(arena, real_bits(bound, value->real), 8);
        return E_OK;
    case BOUND_DECIMAL:
        *ret_bytes = decimal_bytes(arena, value->decimal);
        return E_OK;
    case BOUND_BYTES:
        *ret_bytes = str_of(value->bytes.ptr ? value->bytes.ptr : "", value->bytes.len);
        return E_OK;
    case BOUND_NONE:
        break;
    }
    return err_set(err, E_TYPE, "type %s has no single values", ice_kind_info(type->kind)->name);
}

static Code wrong_size(const IceType *type, Str bytes, Err *err)
{
    return err_set(err, E_CORRUPT, "%zu bytes are no value of type %s", bytes.len,
                   ice_kind_info(type->kind)->name);
}

static double f32_load(Str bytes)
{
    uint32_t bits = load_u32le(bytes.ptr);
    float real;
    memcpy(&real, &bits, sizeof real);
    return real;
}

static double f64_load(Str bytes)
{
    uint64_t bits = load_u64le(bytes.ptr);
    double real;
    memcpy(&real, &bits, sizeof real);
    return real;
}

static __int128 decimal_load(Str bytes)
{
    unsigned __int128 value = (int8_t)bytes.ptr[0] < 0 ? ~(unsigned __int128)0 : 0;
    for (size_t i = 0; i < bytes.len; i++)
        value = value << 8 | (uint8_t)bytes.ptr[i];
    return (__int128)value;
}

Code ice_value_decode(const IceType *type, Str bytes, IceValue *ret_value, Err *err)
{
    IceValue value = { .present = true };
    switch (ice_kind_info(type->kind)->bound) {
    case BOUND_BOOL:
        if (bytes.len != 1)
            return wrong_size(type, bytes, err);
        value.number = bytes.ptr[0] != 0;
        break;
    case BOUND_I32:
        if (bytes.len != 4)
            return wrong_size(type, bytes, err);
        value.number = (int32_t)load_u32le(bytes.ptr);
        break;
    case BOUND_I64:
        if (bytes.len != 8 && !(bytes.len == 4 && type->kind == ICE_LONG))
            return wrong_size(type, bytes, err);
        value.number =
            bytes.len == 4 ? (int32_t)load_u32le(bytes.ptr) : (int64_t)load_u64le(bytes.ptr);
        break;
    case BOUND_F32:
        if (bytes.len != 4)
            return wrong_size(type, bytes, err);
        value.real = f32_load(bytes);
        break;
    case BOUND_F64:
        if (bytes.len != 8 && bytes.len != 4)
            return wrong_size(type, bytes, err);
        value.real = bytes.len == 4 ? f32_load(bytes) : f64_load(bytes);
        break;
    case BOUND_DECIMAL:
        if (bytes.len < 1 || bytes.len > 16)
            return wrong_size(type, bytes, err);
        value.decimal = decimal_load(bytes);
        break;
    case BOUND_BYTES:
        if ((type->kind == ICE_UUID && bytes.len != 16) ||
            (type->kind == ICE_FIXED && bytes.len != (size_t)type->length))
            return wrong_size(type, bytes, err);
        value.bytes = str_of(bytes.ptr ? bytes.ptr : "", bytes.len);
        break;
    case BOUND_NONE:
        return wrong_size(type, bytes, err);
    }
    *ret_value = value;
    return E_OK;
}

static int real_compare(double a, double b)
{
    if (isnan(a) || isnan(b))
        return isnan(a) - isnan(b);
    if (a != b)
        return a < b ? -1 : 1;
    return !!signbit(b) - !!signbit(a);
}

int ice_value_compare(const IceType *type, const IceValue *a, const IceValue *b)
{
    switch (ice_kind_info(type->kind)->bound) {
    case BOUND_BOOL:
    case BOUND_I32:
    case BOUND_I64:
        return (a->number > b->number) - (a->number < b->number);
    case BOUND_F32:
    case BOUND_F64:
        return real_compare(a->real, b->real);
    case BOUND_DECIMAL:
        return (a->decimal > b->decimal) - (a->decimal < b->decimal);
    case BOUND_BYTES:
        return str_cmp(a->bytes, b->bytes);
    case BOUND_NONE:
        break;
    }
    return 0;
}
