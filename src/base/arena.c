#include "base/arena.h"

#include <stdlib.h>
#include <string.h>

enum { ARENA_BLOCK_MIN = 4096, ARENA_BLOCK_MAX = 1 << 20, ARENA_ALIGN = 16 };

struct ArenaBlock {
    ArenaBlock *older;
    size_t size;
    size_t used;
    _Alignas(ARENA_ALIGN) char bytes[];
};

static ArenaBlock *block_new(ArenaBlock *older, size_t wanted)
{
    size_t size = older ? MIN(older->size * 2, (size_t)ARENA_BLOCK_MAX) : ARENA_BLOCK_MIN;
    size = MAX(size, wanted);
    ASSERT(size <= SIZE_MAX - sizeof(ArenaBlock));
    ArenaBlock *block = malloc(sizeof(ArenaBlock) + size);
    ASSERT(block && "memory");
    *block = (ArenaBlock){ .older = older, .size = size };
    return block;
}

void *arena_alloc(Arena *arena, size_t size)
{
    ASSERT(size <= SIZE_MAX - ARENA_ALIGN);
    size = (size + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1);
    ArenaBlock *block = arena->newest;
    if (!block || block->size - block->used < size)
        block = arena->newest = block_new(block, size);
    void *memory = block->bytes + block->used;
    block->used += size;
    arena->used_bytes += size;
    return memset(memory, 0, size);
}

void *arena_array_raw(Arena *arena, size_t count, size_t item_size)
{
    ASSERT(item_size == 0 || count <= SIZE_MAX / item_size);
    return arena_alloc(arena, count * item_size);
}

void *arena_copy(Arena *arena, const void *bytes, size_t size)
{
    void *memory = arena_alloc(arena, size);
    return size ? memcpy(memory, bytes, size) : memory;
}

static void blocks_free(ArenaBlock *block)
{
    while (block) {
        ArenaBlock *older = block->older;
        free(block);
        block = older;
    }
}

void arena_reset(Arena *arena)
{
    ArenaBlock *keep = arena->newest;
    if (keep) {
        blocks_free(keep->older);
        keep->older = NULL;
        keep->used = 0;
    }
    arena->used_bytes = 0;
}

void arena_done(Arena *arena)
{
    blocks_free(arena->newest);
    *arena = (Arena){ 0 };
}
