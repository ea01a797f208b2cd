/* arrow_priv.h: Arrow's format strings as a struct, for the files of arrow.h.
 * Owner:   values; the zone borrows from the format string.
 * Threads: any.
 * Errors:  a format that is not known gives ARROW_UNKNOWN.
 * Limits:  none.
 * Units:   bits; units of time as in Schema.fbs: 0 seconds to 3 nanoseconds. */
#pragma once

#include "format/arrow.h"

typedef enum ArrowKind {
    ARROW_UNKNOWN,
    ARROW_NULL,
    ARROW_BOOL,
    ARROW_INT,
    ARROW_FLOAT,
    ARROW_DECIMAL,
    ARROW_UTF8,
    ARROW_BINARY,
    ARROW_FIXED,
    ARROW_DATE,
    ARROW_TIME,
    ARROW_TIMESTAMP,
    ARROW_DURATION,
    ARROW_INTERVAL,
    ARROW_LIST,
    ARROW_FIXED_LIST,
    ARROW_STRUCT,
    ARROW_MAP
} ArrowKind;

typedef struct ArrowType {
    ArrowKind kind;
    uint8_t bits;   /* int, float, decimal, date, time: of one value */
    bool is_signed; /* int */
    bool large;     /* utf8, binary, list: 64-bit offsets */
    uint8_t unit;   /* time, timestamp, duration: 0 s, 1 ms, 2 us, 3 ns; interval: 0 M, 1 D, 2 n */
    int32_t precision, scale;
    int64_t len;      /* fixed, fixed list */
    const char *zone; /* timestamp: "" without zone */
} ArrowType;

ArrowType arrow_type_of(const char *format);

/* How many buffers and bytes a value an array of this type has; the width is 0 where it varies. */
int64_t arrow_buffer_count(const ArrowType *type);
size_t arrow_width(const ArrowType *type);

/* The children that the type must have; -1: any number. */
int64_t arrow_child_count(const ArrowType *type);
