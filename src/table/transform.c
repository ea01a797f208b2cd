/* Spec, "Partition transforms". */
#include "base/text.h"
#include "table/value.h"

#include <stdio.h>

static const int64_t US_PER_HOUR = 3600LL * 1000000;
static const int64_t US_PER_DAY = 86400LL * 1000000;

static const char *const NAMES[] = { "identity", "bucket", "truncate", "year",
                                     "month",    "day",    "hour",     "void" };

static bool takes_width(TransformKind kind)
{
    return kind == TRANSFORM_BUCKET || kind == TRANSFORM_TRUNCATE;
}

Code ice_transform_parse(Str text, IceTransform *ret_transform, Err *err)
{
    for (unsigned kind = 0; kind < ARRAY_LEN(NAMES); kind++) {
        Str name = str_z(NAMES[kind]);
        if (!takes_width(kind)) {
            if (!str_eq(text, name))
                continue;
            *ret_transform = (IceTransform){ .kind = kind };
            return E_OK;
        }
        if (!str_starts(text, name) || text.len < name.len + 3 || text.ptr[name.len] != '[' ||
            text.ptr[text.len - 1] != ']')
            continue;
        int64_t width;
        int64_t most = kind == TRANSFORM_BUCKET ? BUCKETS_MAX : INT32_MAX;
        if (!str_i64(str_sub(text, name.len + 1, text.len - name.len - 2), &width) || width < 1 ||
            width > most)
            return err_set(err, E_INVALID, "transform '" STR_FMT "': the number is 1 to %lld",
                           STR_ARG(text), (long long)most);
        *ret_transform = (IceTransform){ .kind = kind, .width = (int32_t)width };
        return E_OK;
    }
    return err_set(err, E_INVALID, "transform '" STR_FMT "' is unknown", STR_ARG(text));
}

Str ice_transform_format(Arena *arena, IceTransform transform)
{
    if (takes_width(transform.kind))
        return str_format(arena, "%s[%d]", NAMES[transform.kind], transform.width);
    return str_z(NAMES[transform.kind]);
}

static bool is_timestamp(const IceType *type)
{
    return type->kind == ICE_TIMESTAMP || type->kind == ICE_TIMESTAMPTZ;
}

static bool bucket_takes(IceKind kind)
{
    return kind == ICE_INT || kind == ICE_LONG || kind == ICE_DECIMAL || kind == ICE_DATE ||
           kind == ICE_TIME || kind == ICE_TIMESTAMP || kind == ICE_TIMESTAMPTZ ||
           kind == ICE_STRING || kind == ICE_UUID || kind == ICE_FIXED || kind == ICE_BINARY;
}

static bool truncate_takes(IceKind kind)
{
    return kind == ICE_INT || kind == ICE_LONG || kind == ICE_DECIMAL || kind == ICE_STRING ||
           kind == ICE_BINARY;
}

static const IceType *result_type(IceTransform transform, const IceType *source)
{
    switch (transform.kind) {
    case TRANSFORM_IDENTITY:
    case TRANSFORM_VOID:
        return source;
    case TRANSFORM_BUCKET:
        return bucket_takes(source->kind) ? ice_type_simple(ICE_INT) : NULL;
    case TRANSFORM_TRUNCATE:
        return truncate_takes(source->kind) ? source : NULL;
    case TRANSFORM_YEAR:
    case TRANSFORM_MONTH:
        return source->kind == ICE_DATE || is_timestamp(source) ? ice_type_simple(ICE_INT) : NULL;
    case TRANSFORM_DAY:
        /* The spec says int; readers and writers use date, which is the same number. */
        return source->kind == ICE_DATE || is_timestamp(source) ? ice_type_simple(ICE_DATE) : NULL;
    case TRANSFORM_HOUR:
        return is_timestamp(source) ? ice_type_simple(ICE_INT) : NULL;
    }
    return NULL;
}

Code ice_transform_type(IceTransform transform, const IceType *source, const IceType **ret_type,
                        Err *err)
{
    const IceType *type = ice_is_nested(source) ? NULL : result_type(transform, source);
    if (!type)
        return err_set(err, E_TYPE, "transform %s does not take type %s", NAMES[transform.kind],
                       ice_kind_info(source->kind)->name);
    *ret_type = type;
    return E_OK;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

/* Whole years or months since 1970 of a day. */
static int64_t months_since_1970(int64_t days, bool years)
{
    int64_t year;
    unsigned month, day;
    civil_from_days(days, &year, &month, &day);
    return years ? year - 1970 : (year - 1970) * 12 + (int64_t)month - 1;
}

static uint32_t value_hash(const IceType *type, const IceValue *value)
{
    if (type->kind == ICE_DECIMAL)
        return ice_hash_decimal(value->decimal);
    if (ice_kind_info(type->kind)->bound == BOUND_BYTES)
        return murmur3_32(value->bytes, 0);
    return ice_hash_i64(value->number);
}

/* The first `count` code points. */
static Str utf8_prefix(Str text, int32_t count)
{
    size_t at = 0;
    for (; at < text.len; at++)
        if (((uint8_t)text.ptr[at] & 0xc0) != 0x80 && count-- == 0)
            break;
    return str_sub(text, 0, at);
}

static IceValue truncated(const IceType *type, const IceValue *value, int32_t width)
{
    IceValue out = *value;
    if (type->kind == ICE_STRING)
        out.bytes = utf8_prefix(value->bytes, width);
    else if (type->kind == ICE_BINARY)
        out.bytes = str_sub(value->bytes, 0, (size_t)width);
    else if (type->kind == ICE_DECIMAL)
        out.decimal = value->decimal - ((value->decimal % width) + width) % width;
    else /* wraps at the lowest numbers, as the reference does */
        out.number = (int64_t)((uint64_t)value->number -
                               (uint64_t)(((value->number % width) + width) % width));
    return out;
}

Code ice_transform_apply(IceTransform transform, const IceType *source, const IceValue *value,
                         IceValue *ret_value, Err *err)
{
    const IceType *type;
    TRY(ice_transform_type(transform, source, &type, err));
    if (!value->present || transform.kind == TRANSFORM_VOID) {
        *ret_value = ICE_NULL;
        return E_OK;
    }
    int64_t days = source->kind == ICE_DATE ? value->number : floor_div(value->number, US_PER_DAY);
    switch (transform.kind) {
    case TRANSFORM_IDENTITY:
        *ret_value = *value;
        break;
    case TRANSFORM_BUCKET:
        *ret_value = ice_value_i64(ice_bucket(value_hash(source, value), transform.width));
        break;
    case TRANSFORM_TRUNCATE:
        *ret_value = truncated(source, value, transform.width);
        break;
    case TRANSFORM_YEAR:
    case TRANSFORM_MONTH:
        *ret_value = ice_value_i64(months_since_1970(days, transform.kind == TRANSFORM_YEAR));
        break;
    case TRANSFORM_DAY:
        *ret_value = ice_value_i64(days);
        break;
    case TRANSFORM_HOUR:
        *ret_value = ice_value_i64(floor_div(value->number, US_PER_HOUR));
        break;
    case TRANSFORM_VOID:
        break;
    }
    return E_OK;
}
