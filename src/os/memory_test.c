#include "os/memory.h"

#include "base/test.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static size_t resident_bytes(void)
{
    unsigned long all = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CHECK(file && fscanf(file, "%lu %lu", &all, &resident) == 2);
    fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

TEST(memory_holes_go_back)
{
    enum { BLOCKS = 1000, BLOCK = 40 << 10, PIN = 100 };
    static char *blocks[BLOCKS], *pins[BLOCKS];
    if (mallinfo2().uordblks == 0)
        return; /* a sanitizer's malloc */
    memory_trim(); /* of the tests before this one */
    size_t before = resident_bytes();
    for (size_t i = 0; i < BLOCKS; i++) {
        blocks[i] = malloc(BLOCK);
        memset(blocks[i], 1, BLOCK);
        pins[i] = malloc(PIN);
    }
    for (size_t i = 0; i < BLOCKS; i++)
        free(blocks[i]);
    CHECK(resident_bytes() - before > BLOCKS * (size_t)BLOCK * 3 / 4);
    memory_trim();
    CHECK(resident_bytes() < before + BLOCKS * (size_t)BLOCK / 4);
    for (size_t i = 0; i < BLOCKS; i++)
        free(pins[i]);
}
