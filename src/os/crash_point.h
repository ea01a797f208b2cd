/* crash_point.h: named places in which a test kills the process, as kill -9 would.
 * Owner:   the process; one place is armed at a time (store_crash_arm checks the name and arms it).
 * Threads: armed before the first thread; reached by any.
 * Errors:  none.
 * Limits:  none.
 * Units:   none. */
#pragma once

#include "base/base.h"

/* The n-th time that `name` is reached ends the process; NULL disarms. `name` stays the caller's. */
void crash_point_arm(const char *name, uint64_t times);

extern bool crash_point_armed;
void crash_point_reached(const char *name);

#define CRASH_POINT_AT(name)                        \
    do {                                            \
        if (__builtin_expect(crash_point_armed, 0)) \
            crash_point_reached(name);              \
    } while (0)
