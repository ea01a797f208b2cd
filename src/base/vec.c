#include "base/vec.h"

#include <string.h>

void vec_grow_(void *items_pointer, size_t *cap, size_t wanted, size_t item_size)
{
    if (wanted <= *cap)
        return;
    size_t grown = *cap ? *cap : 8;
    while (grown < wanted)
        grown *= 2;
    ASSERT(grown <= SIZE_MAX / item_size);
    void *items;
    memcpy(&items, items_pointer, sizeof items);
    items = mem_grow(items, grown * item_size);
    memcpy(items_pointer, &items, sizeof items);
    *cap = grown;
}
