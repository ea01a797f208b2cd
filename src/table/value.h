/* value.h: single values of a type: bytes, order, text; and Iceberg's partition transforms.
 * Owner:   `bytes` of a value live as long as what they were read from.
 * Threads: any.
 * Errors:  CORRUPT for bytes that are no value of the type; INVALID, TYPE.
 * Limits:  decimals of 38 digits; BUCKETS_MAX.
 * Units:   dates in days, times and timestamps in microseconds, decimals unscaled. */
#pragma once

#include "table/type.h"

enum { BUCKETS_MAX = 1 << 20 };

typedef struct IceValue {
    bool present;     /* false: NULL */
    int64_t number;   /* BOOLEAN INT LONG DATE TIME TIMESTAMP TIMESTAMPTZ */
    double real;      /* FLOAT DOUBLE */
    __int128 decimal; /* DECIMAL, unscaled */
    Str bytes;        /* STRING UUID FIXED BINARY */
} IceValue;

#define ICE_NULL ((IceValue){ .present = false })
IceValue ice_value_i64(int64_t number);
IceValue ice_value_f64(double real);
IceValue ice_value_str(Str bytes);

/* Spec, appendix D: binary single-value serialization (bounds, partition summaries). */
Code ice_value_encode(Arena *arena, const IceType *type, const IceValue *value, Str *ret_bytes,
                      Err *err) CHECKED;
/* Also takes the shorter bytes of a type that was widened since (int for long, float for double).
 */
Code ice_value_decode(const IceType *type, Str bytes, IceValue *ret_value, Err *err) CHECKED;

/* Order of the spec: numbers by value, -0.0 < 0.0, NaN last, bytes unsigned, UUID as bytes. Both
 * present. */
int ice_value_compare(const IceType *type, const IceValue *a, const IceValue *b);

/* Text as a reader would write it (dates ISO, decimals with scale, binary as hex); NULL is "null".
 */
Str ice_value_format(Arena *arena, const IceType *type, const IceValue *value);
Code ice_value_parse(const IceType *type, Str text, Arena *arena, IceValue *ret_value,
                     Err *err) CHECKED;

typedef enum TransformKind {
    TRANSFORM_IDENTITY,
    TRANSFORM_BUCKET,
    TRANSFORM_TRUNCATE,
    TRANSFORM_YEAR,
    TRANSFORM_MONTH,
    TRANSFORM_DAY,
    TRANSFORM_HOUR,
    TRANSFORM_VOID
} TransformKind;

typedef struct IceTransform {
    TransformKind kind;
    int32_t width; /* buckets of BUCKET, width of TRUNCATE; else 0 */
} IceTransform;

/* "identity", "bucket[16]", "truncate[4]", "day", ...; SQL spells bucket(16, col): see partition.h.
 */
Code ice_transform_parse(Str text, IceTransform *ret_transform, Err *err) CHECKED;
Str ice_transform_format(Arena *arena, IceTransform transform);

/* Type of the result for a source type; TYPE when the transform does not take it. */
Code ice_transform_type(IceTransform transform, const IceType *source, const IceType **ret_type,
                        Err *err) CHECKED;

/* NULL stays NULL; truncated text points into `value` (decimals and numbers are computed). */
Code ice_transform_apply(IceTransform transform, const IceType *source, const IceValue *value,
                         IceValue *ret_value, Err *err) CHECKED;

/* Spec, appendix B: murmur3 x86 32 with seed 0. */
uint32_t murmur3_32(Str bytes, uint32_t seed);
uint32_t ice_hash_i64(int64_t number); /* int, long, date, time, timestamp(tz) */
uint32_t ice_hash_decimal(__int128 unscaled);
static inline int32_t ice_bucket(uint32_t hash, int32_t buckets)
{
    return (int32_t)((hash & 0x7fffffffu) % (uint32_t)buckets);
}
