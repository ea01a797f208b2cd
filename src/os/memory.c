#include "os/memory.h"

#include "base/base.h"
#include "os/thread.h"

#include <malloc.h>

void memory_arenas_bound(void)
{
    IGNORE(mallopt(M_ARENA_MAX, (int)MAX(thread_cores(), 2u)) == 0); /* as it was is fine too */
}

void memory_trim(void)
{
    if (mallinfo2().fordblks >= MEMORY_KEPT_MIN)
        IGNORE(malloc_trim(0)); /* 0: there was nothing */
}
