#include "base/arena.h"

#include "base/test.h"

#include <string.h>

TEST(arena_memory_is_zeroed_and_aligned)
{
    Arena arena AUTO(arena_done) = { 0 };
    for (size_t size = 0; size < 300; size++) {
        unsigned char *memory = arena_alloc(&arena, size);
        CHECK_INT((uintptr_t)memory % 16, 0);
        for (size_t i = 0; i < size; i++)
            CHECK_INT(memory[i], 0);
        memset(memory, 0xAA, size);
    }
}

TEST(arena_reset_keeps_a_block_and_zeroes_again)
{
    Arena arena AUTO(arena_done) = { 0 };
    memset(arena_alloc(&arena, 100), 0xAA, 100);
    arena_reset(&arena);
    CHECK_INT(arena.used_bytes, 0);
    CHECK_INT(((unsigned char *)arena_alloc(&arena, 100))[99], 0);
    CHECK(arena_alloc(&arena, 5 << 20) != NULL);
}
