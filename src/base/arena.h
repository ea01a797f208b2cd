/* arena.h: memory of one lifetime, freed at once.
 * Owner:   whoever declared it; results that point into it die with it.
 * Threads: one at a time.
 * Errors:  none: when there is no memory the process ends.
 * Limits:  a size that comes from input is checked by the caller against a named maximum first.
 * Units:   bytes. */
#pragma once

#include "base/base.h"

typedef struct ArenaBlock ArenaBlock;

/* A zeroed Arena is ready for use. It holds memory only: no files, no locks. */
typedef struct Arena {
    ArenaBlock *newest;
    size_t used_bytes; /* handed out in all blocks */
} Arena;

void arena_done(Arena *arena);
void arena_reset(Arena *arena);                    /* empties it and keeps one block for reuse */
void *arena_alloc(Arena *arena, size_t size);      /* zeroed, aligned to 16 */
void *arena_array_raw(Arena *arena, size_t count, size_t item_size); /* product checked */
void *arena_copy(Arena *arena, const void *bytes, size_t size);

#define arena_new(arena, Type) ((Type *)arena_alloc((arena), sizeof(Type)))
#define arena_array(arena, Type, count) ((Type *)arena_array_raw((arena), (count), sizeof(Type)))
