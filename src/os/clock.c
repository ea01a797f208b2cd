/* Invariants:
 * 1. `floor_us` only grows once it is loaded, and not beyond `trusted_us`; what the file says is never above it.
 * 2. No time is given out below the floor, and the floor is at most CLOCK_STEP_US below any trusted time given out.
 * 3. `trusted_us` is CLOCK_LEAP_US above the floor as it was at the load, and moves to CLOCK_LEAP_US above the floor
 *    once in CLOCK_LEAP_EVERY_US of the monotonic clock: a date that is wrong for an hour spoils days, not years.
 * 4. The file is replaced whole, and only by a later floor. */
#include "os/clock.h"

#include <stdatomic.h>

enum { CLOCK_FILE_MAX = 256 };

static const int64_t CHECK_SUM = 9999999999999999; /* of the two numbers in the file: 16 digits each, until 2286 */

struct Clock {
    Os *os;
    Arena arena; /* the path's */
    const char *path;
    atomic_int_fast64_t floor_us, trusted_us;
    int64_t trusted_at_us, tried_at_us; /* monotonic; these and those below are of the one who keeps */
    int64_t kept_us;                    /* what the file says; 0: not known */
    ClockState told;
};

static void floor_begin(Clock *clock, int64_t floor_us)
{
    atomic_store_explicit(&clock->floor_us, floor_us, memory_order_relaxed);
    atomic_store_explicit(&clock->trusted_us, floor_us + CLOCK_LEAP_US, memory_order_relaxed);
    clock->trusted_at_us = os_monotonic_us(clock->os);
}

static void floor_raise(Clock *clock, int64_t wall_us)
{
    int64_t wanted_us = MIN(wall_us, (int64_t)atomic_load_explicit(&clock->trusted_us, memory_order_relaxed));
    int_fast64_t floor_us = atomic_load_explicit(&clock->floor_us, memory_order_relaxed);
    while (floor_us < wanted_us &&
           !atomic_compare_exchange_weak_explicit(&clock->floor_us, &floor_us, wanted_us, memory_order_relaxed,
                                                  memory_order_relaxed))
        ;
}

Clock *clock_new(Os *os, const char *path)
{
    Clock *clock = mem_new(sizeof *clock);
    clock->os = os;
    clock->path = str_copy_z(&clock->arena, str_z(path));
    clock->tried_at_us = os_monotonic_us(os);
    floor_begin(clock, os_now_us(os));
    return clock;
}

void clock_free(Clock **clock)
{
    if (!*clock)
        return;
    arena_done(&(*clock)->arena);
    mem_free(clock);
}

/* ---- the file ---- */

static bool line_parse(Str line, int64_t *ret_floor_us)
{
    static const Str front = STR_INIT("tarn clock 1 ");
    int64_t floor_us, rest;
    if (line.len != front.len + 34 || !str_starts(line, front) || line.ptr[line.len - 1] != '\n' ||
        line.ptr[front.len + 16] != ' ' || !str_i64(str_sub(line, front.len, 16), &floor_us) ||
        !str_i64(str_sub(line, front.len + 17, 16), &rest) || floor_us <= 0 ||
        rest != CHECK_SUM - floor_us)
        return false;
    *ret_floor_us = floor_us;
    return true;
}

Code clock_load(Clock *clock, Err *err)
{
    Buf text AUTO(buf_done);
    int64_t floor_us;
    buf_init(&text, CLOCK_FILE_MAX);
    TRY(os_read_whole(clock->os, clock->path, &text, err));
    if (!line_parse(buf_str(&text), &floor_us))
        return err_set(err, E_CORRUPT, "%s is damaged", clock->path);
    floor_begin(clock, floor_us);
    clock->kept_us = floor_us;
    return E_OK;
}

Code clock_save(Clock *clock, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    int64_t at_us = os_monotonic_us(clock->os);
    clock->tried_at_us = at_us;
    floor_raise(clock, os_now_us(clock->os));
    if (at_us - clock->trusted_at_us >= CLOCK_LEAP_EVERY_US) {
        int64_t from_us = atomic_load_explicit(&clock->floor_us, memory_order_relaxed);
        atomic_store_explicit(&clock->trusted_us, from_us + CLOCK_LEAP_US, memory_order_relaxed);
        clock->trusted_at_us = at_us;
    }
    int64_t floor_us = atomic_load_explicit(&clock->floor_us, memory_order_relaxed);
    if (floor_us == clock->kept_us || floor_us <= 0 || floor_us >= CHECK_SUM)
        return E_OK;
    TRY(os_write_whole(clock->os, clock->path,
                       str_format(&tmp, "tarn clock 1 %016lld %016lld\n", (long long)floor_us,
                                  (long long)(CHECK_SUM - floor_us)), err));
    clock->kept_us = floor_us;
    return E_OK;
}

Code clock_keep(Clock *clock, Err *err)
{
    floor_raise(clock, os_now_us(clock->os));
    bool due = os_monotonic_us(clock->os) - clock->tried_at_us >= CLOCK_KEEP_US;
    return due ? clock_save(clock, err) : E_OK;
}

/* ---- the time ---- */

int64_t clock_now_us(Clock *clock)
{
    int64_t wall_us = os_now_us(clock->os);
    int64_t floor_us = atomic_load_explicit(&clock->floor_us, memory_order_relaxed);
    if (wall_us - floor_us >= CLOCK_STEP_US)
        floor_raise(clock, wall_us);
    return MAX(wall_us, floor_us);
}

void clock_look(const Clock *clock, ClockLook *ret_look)
{
    ClockLook look = { .wall_us = os_now_us(clock->os),
                       .floor_us = atomic_load_explicit(&clock->floor_us, memory_order_relaxed) };
    if (look.floor_us - look.wall_us > CLOCK_SLACK_US)
        look.state = CLOCK_BEHIND;
    else if (look.wall_us > atomic_load_explicit(&clock->trusted_us, memory_order_relaxed))
        look.state = CLOCK_AHEAD;
    *ret_look = look;
}

bool clock_news(Clock *clock, ClockLook *ret_look)
{
    clock_look(clock, ret_look);
    bool news = ret_look->state != clock->told;
    clock->told = ret_look->state;
    return news;
}
