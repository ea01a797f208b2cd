/* clock.h: the time by which credentials end: the machine's, but never behind what was seen and kept before.
 * Owner:   main/lake.c makes one over DIR/clock; who judges an end borrows it.
 * Threads: clock_now_us and clock_look any; clock_load before they are called; clock_save, clock_keep and clock_news
 *          one at a time.
 * Errors:  CORRUPT for a damaged file, NOT_FOUND for none, those of os.h; after any of them the clock goes on.
 * Limits:  the floor follows a clock that leaps ahead by CLOCK_LEAP_US, and by as much again for each hour of running.
 * Units:   _us: microseconds, since 1970 UTC where it is a time.
 *
 * The file is one line: `tarn clock 1 `, the floor in 16 digits, and 9999999999999999 less the floor. */
#pragma once

#include "os/os.h"

#define CLOCK_STEP_US ((int64_t)100 * 1000)             /* the floor may be so far behind what was given out */
#define CLOCK_KEEP_US ((int64_t)60 * 1000000)           /* clock_keep writes no oftener */
#define CLOCK_SLACK_US ((int64_t)60 * 1000000)          /* behind the floor by less is nothing to speak of */
#define CLOCK_LEAP_US ((int64_t)2 * 86400 * 1000000)    /* docs/decisions/0009-clock-floor.md */
#define CLOCK_LEAP_EVERY_US ((int64_t)3600 * 1000000)

typedef struct Clock Clock;

/* BEHIND: the machine's clock was set back, the floor holds. AHEAD: it leapt further than the floor believes. */
typedef enum ClockState { CLOCK_WELL, CLOCK_BEHIND, CLOCK_AHEAD } ClockState;

typedef struct ClockLook {
    int64_t wall_us, floor_us;
    ClockState state;
} ClockLook;

/* Its floor is the machine's clock until clock_load. `path` is copied. */
Clock *clock_new(Os *os, const char *path);
void clock_free(Clock **clock);

/* Takes the floor from the file. An error leaves it where it is: the clock begins at the machine's. */
Code clock_load(Clock *clock, Err *err) CHECKED;
/* Writes the floor as it is now, so that a crash leaves the one before or this one. */
Code clock_save(Clock *clock, Err *err) CHECKED;
/* Raises the floor to the machine's clock; writes it when CLOCK_KEEP_US have gone by since that was tried last. */
Code clock_keep(Clock *clock, Err *err) CHECKED;

/* The later of the machine's clock and the floor; one load more than os_now_us. */
int64_t clock_now_us(Clock *clock);
void clock_look(const Clock *clock, ClockLook *ret_look);
/* Looks; true when the state is another one than at the last call (at first: than WELL). */
bool clock_news(Clock *clock, ClockLook *ret_look);
