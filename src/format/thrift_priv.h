/* thrift_priv.h: the reading half of Thrift's compact protocol, for Parquet.
 * Owner:   a Thrift borrows its Reader.
 * Threads: one at a time.
 * Errors:  all stick in the Reader.
 * Limits:  THRIFT_DEPTH_MAX structs and lists in each other; counts by what is left of the bytes.
 * Units:   bytes. */
#pragma once

#include "base/cursor.h"

enum { THRIFT_DEPTH_MAX = 32 };

typedef enum ThriftType {
    THRIFT_STOP,
    THRIFT_TRUE,
    THRIFT_FALSE,
    THRIFT_BYTE,
    THRIFT_I16,
    THRIFT_I32,
    THRIFT_I64,
    THRIFT_DOUBLE,
    THRIFT_BINARY,
    THRIFT_LIST,
    THRIFT_SET,
    THRIFT_MAP,
    THRIFT_STRUCT
} ThriftType;

typedef struct Thrift {
    Reader *r;
    unsigned depth;
} Thrift;

/* A field that thrift_next found; its value must be read, or skipped, before the next. */
typedef struct ThriftField {
    int16_t id;
    uint8_t type;
    bool in_list; /* an element: a boolean takes a byte of its own */
} ThriftField;

/* `thrift_begin(t); for (ThriftField f = { 0 }; thrift_next(t, &f);) switch (f.id) ...` */
void thrift_begin(Thrift *t);
bool thrift_next(Thrift *t, ThriftField *field);

bool thrift_bool(Thrift *t, ThriftField field);
int64_t thrift_int(Thrift *t, ThriftField field, int64_t min,
                   int64_t max); /* any width; else it fails */
Str thrift_binary(Thrift *t, ThriftField field);
void thrift_skip(Thrift *t, ThriftField field);

/* The count of a list and the field that each element is read as; fails over `count_max`. A list's
 * elements are read `count` times with `*ret_element`. */
size_t thrift_list(Thrift *t, ThriftField field, size_t count_max, ThriftField *ret_element);

/* For an element or field that must be a struct; then as after thrift_begin. */
bool thrift_struct(Thrift *t, ThriftField field);
