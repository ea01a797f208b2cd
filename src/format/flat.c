#include "format/flat_priv.h"

#include <stdlib.h>
#include <string.h>

enum { BUILDER_CAP_FIRST = 1024, VTABLE_HEAD = 4 };

/* ---- reading ---- */

static void fail(Flat *flat, const char *why)
{
    if (!flat->failure)
        flat->failure = why;
}

static bool inside(const Flat *flat, size_t at, size_t len)
{
    return !flat->failure && at <= flat->bytes.len && len <= flat->bytes.len - at;
}

static uint64_t load(const Flat *flat, size_t at, size_t width)
{
    uint64_t value = 0;
    memcpy(&value, flat->bytes.ptr + at, width);
    return value;
}

static FlatTable table_at(Flat *flat, size_t at)
{
    FlatTable table = { .at = at };
    if (!inside(flat, at, 4)) {
        fail(flat, "a table outside of the message");
        return (FlatTable){ 0 };
    }
    int64_t vtable = (int64_t)at - (int32_t)load(flat, at, 4);
    if (vtable < 0 || !inside(flat, (size_t)vtable, VTABLE_HEAD)) {
        fail(flat, "a vtable outside of the message");
        return (FlatTable){ 0 };
    }
    table.vtable = (size_t)vtable;
    table.vtable_len = (uint16_t)load(flat, table.vtable, 2);
    table.len = (uint16_t)load(flat, table.vtable + 2, 2);
    if (table.vtable_len < VTABLE_HEAD || table.len < 4 ||
        !inside(flat, table.vtable, table.vtable_len) || !inside(flat, at, table.len)) {
        fail(flat, "a table that reaches beyond the message");
        return (FlatTable){ 0 };
    }
    return table;
}

/* Where the field of a slot is; 0: it is absent. */
static size_t field_at(Flat *flat, FlatTable table, unsigned slot, size_t width)
{
    size_t entry = VTABLE_HEAD + 2 * (size_t)slot;
    if (flat->failure || table.at == 0 || entry + 2 > table.vtable_len)
        return 0;
    size_t offset = (size_t)load(flat, table.vtable + entry, 2);
    if (offset == 0)
        return 0;
    if (offset < 4 || offset + width > table.len) {
        fail(flat, "a field outside of its table");
        return 0;
    }
    return table.at + offset;
}

/* Where a field of offsets points; 0: absent. */
static size_t target_at(Flat *flat, FlatTable table, unsigned slot)
{
    size_t at = field_at(flat, table, slot, 4);
    if (at == 0)
        return 0;
    size_t target = at + (size_t)load(flat, at, 4);
    if (target == at || !inside(flat, target, 4)) {
        fail(flat, "an offset outside of the message");
        return 0;
    }
    return target;
}

FlatTable flat_root(Flat *flat)
{
    if (!inside(flat, 0, 8)) {
        fail(flat, "no message");
        return (FlatTable){ 0 };
    }
    return table_at(flat, (size_t)load(flat, 0, 4));
}

uint8_t flat_u8(Flat *flat, FlatTable table, unsigned slot, uint8_t fallback)
{
    size_t at = field_at(flat, table, slot, 1);
    return at ? (uint8_t)load(flat, at, 1) : fallback;
}

int16_t flat_i16(Flat *flat, FlatTable table, unsigned slot, int16_t fallback)
{
    size_t at = field_at(flat, table, slot, 2);
    return at ? (int16_t)load(flat, at, 2) : fallback;
}

int32_t flat_i32(Flat *flat, FlatTable table, unsigned slot, int32_t fallback)
{
    size_t at = field_at(flat, table, slot, 4);
    return at ? (int32_t)load(flat, at, 4) : fallback;
}

int64_t flat_i64(Flat *flat, FlatTable table, unsigned slot, int64_t fallback)
{
    size_t at = field_at(flat, table, slot, 8);
    return at ? (int64_t)load(flat, at, 8) : fallback;
}

FlatVector flat_vector(Flat *flat, FlatTable table, unsigned slot, size_t item_len)
{
    FlatVector vector = { .items = STR_NONE };
    size_t at = target_at(flat, table, slot);
    if (at == 0)
        return vector;
    size_t count = (size_t)load(flat, at, 4);
    if (!inside(flat, at + 4, count * item_len)) {
        fail(flat, "a vector that reaches beyond the message");
        return vector;
    }
    vector.at = at + 4;
    vector.count = count;
    vector.items = str_of(flat->bytes.ptr + vector.at, count * item_len);
    return vector;
}

Str flat_str(Flat *flat, FlatTable table, unsigned slot)
{
    return flat_vector(flat, table, slot, 1).items;
}

FlatTable flat_table(Flat *flat, FlatTable table, unsigned slot)
{
    size_t at = target_at(flat, table, slot);
    return at ? table_at(flat, at) : (FlatTable){ 0 };
}

FlatTable flat_vector_table(Flat *flat, FlatVector vector, size_t index)
{
    if (flat->failure || index >= vector.count)
        return (FlatTable){ 0 };
    size_t at = vector.at + 4 * index, offset = (size_t)load(flat, at, 4);
    if (offset == 0) {
        fail(flat, "an offset to itself");
        return (FlatTable){ 0 };
    }
    return table_at(flat, at + offset);
}

/* ---- building ---- */

void flat_builder_done(FlatBuilder *b)
{
    mem_free(&b->bytes);
    b->len = b->cap = 0;
}

/* Room for `count` bytes in front of what is there. */
static uint8_t *front(FlatBuilder *b, size_t count)
{
    if (b->len + count > b->cap) {
        size_t cap = MAX(2 * b->cap, (size_t)BUILDER_CAP_FIRST);
        while (cap < b->len + count)
            cap *= 2;
        uint8_t *grown = mem_new(cap);
        if (b->len > 0)
            memcpy(grown + cap - b->len, b->bytes + b->cap - b->len, b->len);
        mem_free(&b->bytes);
        b->bytes = grown;
        b->cap = cap;
    }
    b->len += count;
    return b->bytes + b->cap - b->len;
}

/* Pads so that after `len` more bytes the start is a multiple of `align` from the end. */
static void align_for(FlatBuilder *b, size_t len, size_t align)
{
    size_t pad = (align - (b->len + len) % align) % align;
    if (pad > 0)
        memset(front(b, pad), 0, pad);
}

static void push(FlatBuilder *b, uint64_t value, size_t width)
{
    align_for(b, width, width);
    memcpy(front(b, width), &value, width);
}

static void push_ref(FlatBuilder *b, FlatRef ref)
{
    align_for(b, 4, 4);
    uint32_t distance = (uint32_t)(b->len + 4 - ref);
    memcpy(front(b, 4), &distance, 4);
}

FlatRef flat_put_str(FlatBuilder *b, Str text)
{
    align_for(b, text.len + 1, 4);
    *front(b, 1) = 0;
    if (text.len > 0)
        memcpy(front(b, text.len), text.ptr, text.len);
    push(b, text.len, 4);
    return (FlatRef)b->len;
}

FlatRef flat_put_refs(FlatBuilder *b, const FlatRef *refs, size_t count)
{
    align_for(b, 4 * count, 4);
    for (size_t i = count; i > 0; i--)
        push_ref(b, refs[i - 1]);
    push(b, count, 4);
    return (FlatRef)b->len;
}

FlatRef flat_put_longs(FlatBuilder *b, const int64_t *longs, size_t count, size_t longs_an_item)
{
    align_for(b, 8 * count, 8);
    if (count > 0)
        memcpy(front(b, 8 * count), longs, 8 * count);
    push(b, count / longs_an_item, 4);
    return (FlatRef)b->len;
}

void flat_table_begin(FlatBuilder *b)
{
    memset(b->slots, 0, sizeof b->slots);
    b->table_end = b->len;
}

void flat_add(FlatBuilder *b, unsigned slot, uint64_t value, size_t width)
{
    push(b, value, width);
    b->slots[slot] = (FlatRef)b->len;
}

void flat_add_ref(FlatBuilder *b, unsigned slot, FlatRef ref)
{
    if (ref == 0)
        return;
    push_ref(b, ref);
    b->slots[slot] = (FlatRef)b->len;
}

FlatRef flat_table_end(FlatBuilder *b)
{
    push(b, 0, 4); /* the distance to the vtable comes below */
    size_t table = b->len;
    for (size_t i = FLAT_SLOTS_MAX; i > 0; i--)
        push(b, b->slots[i - 1] ? table - b->slots[i - 1] : 0, 2);
    push(b, table - b->table_end, 2);
    push(b, VTABLE_HEAD + 2 * FLAT_SLOTS_MAX, 2);
    uint32_t distance = (uint32_t)(b->len - table);
    memcpy(b->bytes + b->cap - table, &distance, 4);
    return (FlatRef)table;
}

Str flat_finish(FlatBuilder *b, FlatRef root)
{
    align_for(b, 4, 8);
    push_ref(b, root);
    return str_of(b->bytes + b->cap - b->len, b->len);
}
