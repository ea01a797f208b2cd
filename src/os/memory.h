/* memory.h: memory that malloc keeps, back to the kernel.
 * Owner:   none.
 * Threads: any; malloc's arenas are locked one after the other meanwhile, for about a millisecond.
 * Errors:  none.
 * Limits:  less than MEMORY_KEPT_MIN free bytes stay where they are.
 * Units:   bytes. */
#pragma once

enum { MEMORY_KEPT_MIN = 4 << 20 };

/* Pages inside of the heap too: holes between what is still used. */
void memory_trim(void);
/* No more arenas of malloc than cores (its own: eight times as many, each with holes of its own);
 * before the first thread starts. */
void memory_arenas_bound(void);
