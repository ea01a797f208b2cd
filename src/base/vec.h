/* vec.h: a typed array that grows.
 * Owner:   whoever declared it; vec_done frees the array (not what its items own).
 * Threads: one at a time.
 * Errors:  none: a count that comes from input is checked by the caller against a named maximum.
 * Limits:  SIZE_MAX bytes.
 * Units:   items. */
#pragma once

#include "base/base.h"

/* `typedef Vec(int64_t) LongVec;` A zeroed Vec is ready for use. */
#define Vec(T)                                                                                     \
    struct {                                                                                       \
        T *items;                                                                                  \
        size_t len;                                                                                \
        size_t cap;                                                                                \
    }

#define vec_push(vec, ...)                                                                         \
    do {                                                                                           \
        vec_grow_(&(vec)->items, &(vec)->cap, (vec)->len + 1, sizeof *(vec)->items);               \
        (vec)->items[(vec)->len++] = (__VA_ARGS__);                                                \
    } while (0)

/* Room for `count` items in all. */
#define vec_reserve(vec, count) vec_grow_(&(vec)->items, &(vec)->cap, (count), sizeof *(vec)->items)

#define vec_last(vec) (&(vec)->items[(vec)->len - 1])

#define vec_done(vec)                                                                              \
    do {                                                                                           \
        mem_free(&(vec)->items);                                                                   \
        (vec)->len = (vec)->cap = 0;                                                               \
    } while (0)

void vec_grow_(void *items_pointer, size_t *cap, size_t wanted, size_t item_size);
