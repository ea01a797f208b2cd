/* flat_priv.h: the little of FlatBuffers that Arrow's messages need: a checked reader and a
 * builder. Owner:   a Flat borrows its bytes; a FlatBuilder frees its memory with
 * flat_builder_done. Threads: one at a time. Errors:  a Flat's first failure sticks; then every
 * read gives its fallback. The builder cannot fail: what it builds comes from a schema that was
 * counted before. Limits:  counts by the bytes that are there; the caller bounds depth and how
 * often a table is visited (tables may share children). Units:   bytes; positions from the start.
 */
#pragma once

#include "base/str.h"

typedef struct Flat {
    Str bytes;
    const char *failure;
} Flat;

typedef struct FlatTable {
    size_t at; /* 0: no table */
    size_t vtable;
    uint16_t vtable_len, len;
} FlatTable;

FlatTable flat_root(Flat *flat);
uint8_t flat_u8(Flat *flat, FlatTable table, unsigned slot, uint8_t fallback);
int16_t flat_i16(Flat *flat, FlatTable table, unsigned slot, int16_t fallback);
int32_t flat_i32(Flat *flat, FlatTable table, unsigned slot, int32_t fallback);
int64_t flat_i64(Flat *flat, FlatTable table, unsigned slot, int64_t fallback);
Str flat_str(Flat *flat, FlatTable table, unsigned slot);         /* no pointer: absent */
FlatTable flat_table(Flat *flat, FlatTable table, unsigned slot); /* at 0: absent */

/* The items of a vector; no pointer: absent. */
typedef struct FlatVector {
    Str items;
    size_t at; /* of the items */
    size_t count;
} FlatVector;

FlatVector flat_vector(Flat *flat, FlatTable table, unsigned slot, size_t item_len);
FlatTable flat_vector_table(Flat *flat, FlatVector vector, size_t index);

/* Builds from the end to the start; a FlatRef is how far from the end a thing starts. */
typedef uint32_t FlatRef;

enum { FLAT_SLOTS_MAX = 8 };

typedef struct FlatBuilder {
    uint8_t *bytes;
    size_t cap, len;
    FlatRef slots[FLAT_SLOTS_MAX];
    size_t table_end;
} FlatBuilder;

void flat_builder_done(FlatBuilder *b);
FlatRef flat_put_str(FlatBuilder *b, Str text);
FlatRef flat_put_refs(FlatBuilder *b, const FlatRef *refs, size_t count);
FlatRef flat_put_longs(FlatBuilder *b, const int64_t *longs, size_t count, size_t longs_an_item);

/* A table: begin, add slots, end. Nothing else may be put in between. */
void flat_table_begin(FlatBuilder *b);
void flat_add(FlatBuilder *b, unsigned slot, uint64_t value, size_t width);
void flat_add_ref(FlatBuilder *b, unsigned slot, FlatRef ref); /* 0 adds nothing */
FlatRef flat_table_end(FlatBuilder *b);

/* Puts the root in front, padded to 8 bytes; borrowed until the builder is used again. */
Str flat_finish(FlatBuilder *b, FlatRef root);
