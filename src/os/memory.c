#include "os/memory.h"

#include "base/base.h"

#include <malloc.h>

void memory_trim(void)
{
    if (mallinfo2().fordblks >= MEMORY_KEPT_MIN)
        IGNORE(malloc_trim(0)); /* 0: there was nothing */
}
