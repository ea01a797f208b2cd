/* Covers clock.c: time never goes behind the floor, also over a restart, a damaged file and a power cut at each call. */
#include "os/clock.h"

#include "base/test.h"
#include "os/os_sim.h"

static const int64_t BEGIN_US = 1800000000000000, SECOND_US = 1000000, HOUR_US = 3600000000, DAY_US = 86400000000;

typedef struct World {
    OsSim *sim;
    Os *os;
    Clock *clock;
    Err err;
} World;

static World world_new(void)
{
    World w = { .sim = os_sim_new(test_seed()) };
    w.os = os_sim_os(w.sim);
    os_sim_set_now_us(w.sim, BEGIN_US);
    CHECK_OK(os_dir_make(w.os, "/d", &w.err), &w.err);
    CHECK_OK(os_dir_sync(w.os, "/", &w.err), &w.err);
    return w;
}

static void world_done(World *w)
{
    clock_free(&w->clock);
    os_sim_free(&w->sim);
}

static Code start(World *w)
{
    clock_free(&w->clock);
    w->clock = clock_new(w->os, "/d/clock");
    return clock_load(w->clock, &w->err);
}

/* The simulated clock moves on by a microsecond with each look. */
static bool about(int64_t got, int64_t wanted)
{
    return got >= wanted && got < wanted + SECOND_US;
}

TEST(clock_holds_what_it_gave_out_when_it_is_set_back)
{
    World w AUTO(world_done) = world_new();
    CHECK_CODE(start(&w), E_NOT_FOUND);
    CHECK(about(clock_now_us(w.clock), BEGIN_US));
    os_sim_advance_us(w.sim, HOUR_US);
    CHECK(about(clock_now_us(w.clock), BEGIN_US + HOUR_US));
    os_sim_set_now_us(w.sim, BEGIN_US - DAY_US);
    CHECK(about(clock_now_us(w.clock), BEGIN_US + HOUR_US));
    os_sim_advance_us(w.sim, DAY_US); /* it has not caught up */
    CHECK(about(clock_now_us(w.clock), BEGIN_US + HOUR_US));
    os_sim_advance_us(w.sim, 2 * HOUR_US);
    CHECK(about(clock_now_us(w.clock), BEGIN_US + 2 * HOUR_US));
}

TEST(clock_holds_it_over_a_restart)
{
    World w AUTO(world_done) = world_new();
    ClockLook look;
    CHECK_CODE(start(&w), E_NOT_FOUND);
    os_sim_advance_us(w.sim, HOUR_US);
    CHECK_OK(clock_save(w.clock, &w.err), &w.err); /* without anybody having asked for the time */
    os_sim_set_now_us(w.sim, BEGIN_US - DAY_US);
    CHECK_OK(start(&w), &w.err);
    CHECK(about(clock_now_us(w.clock), BEGIN_US + HOUR_US));
    CHECK(clock_news(w.clock, &look) && look.state == CLOCK_BEHIND);
    CHECK(about(look.floor_us, BEGIN_US + HOUR_US) && about(look.wall_us, BEGIN_US - DAY_US));
    CHECK(!clock_news(w.clock, &look));
    uint64_t calls = os_sim_calls(w.sim);
    CHECK_OK(clock_save(w.clock, &w.err), &w.err);
    CHECK_INT(os_sim_calls(w.sim), calls); /* there is nothing new to write */
    os_sim_set_now_us(w.sim, BEGIN_US + 2 * HOUR_US);
    CHECK(clock_news(w.clock, &look) && look.state == CLOCK_WELL);
}

TEST(clock_is_kept_once_a_minute_at_most)
{
    World w AUTO(world_done) = world_new();
    CHECK_CODE(start(&w), E_NOT_FOUND);
    uint64_t calls = os_sim_calls(w.sim);
    os_sim_advance_us(w.sim, CLOCK_KEEP_US - SECOND_US);
    CHECK_OK(clock_keep(w.clock, &w.err), &w.err);
    CHECK_INT(os_sim_calls(w.sim), calls);
    os_sim_advance_us(w.sim, SECOND_US);
    CHECK_OK(clock_keep(w.clock, &w.err), &w.err);
    CHECK(os_sim_calls(w.sim) > calls);
    calls = os_sim_calls(w.sim);
    CHECK_OK(clock_keep(w.clock, &w.err), &w.err);
    CHECK_INT(os_sim_calls(w.sim), calls);
    os_sim_advance_us(w.sim, CLOCK_KEEP_US);
    os_sim_fail_at(w.sim, calls + 1, 1, E_NO_SPACE);
    CHECK_CODE(clock_keep(w.clock, &w.err), E_NO_SPACE);
    CHECK_OK(clock_keep(w.clock, &w.err), &w.err); /* not again at once */
    os_sim_advance_us(w.sim, CLOCK_KEEP_US);
    CHECK_OK(clock_keep(w.clock, &w.err), &w.err);
    int64_t now_us = clock_now_us(w.clock);
    os_sim_set_now_us(w.sim, BEGIN_US);
    CHECK_OK(start(&w), &w.err);
    CHECK(clock_now_us(w.clock) > now_us - SECOND_US);
}

TEST(clock_begins_anew_when_its_file_is_damaged)
{
    World w AUTO(world_done) = world_new();
    Buf text AUTO(buf_done);
    buf_init(&text, 256);
    CHECK_CODE(start(&w), E_NOT_FOUND);
    CHECK_OK(clock_save(w.clock, &w.err), &w.err);
    CHECK_OK(os_read_whole(w.os, "/d/clock", &text, &w.err), &w.err);
    Str whole = buf_str(&text);
    for (size_t at = 0; at < whole.len * 8; at++) {
        os_sim_set_now_us(w.sim, BEGIN_US - DAY_US);
        CHECK_OK(os_write_whole(w.os, "/d/clock", whole, &w.err), &w.err);
        CHECK_OK(os_sim_flip_bit(w.sim, "/d/clock", at / 8, (unsigned)(at % 8), &w.err), &w.err);
        CHECK_CODE(start(&w), E_CORRUPT);
        CHECK(about(clock_now_us(w.clock), BEGIN_US - DAY_US));
    }
    for (size_t len = 0; len < whole.len; len++) {
        CHECK_OK(os_write_whole(w.os, "/d/clock", str_sub(whole, 0, len), &w.err), &w.err);
        CHECK_CODE(start(&w), E_CORRUPT);
    }
    CHECK_OK(clock_save(w.clock, &w.err), &w.err);
    CHECK_OK(start(&w), &w.err);
}

/* A year ahead by mistake, found out and set right: the floor is days ahead, not the year. */
TEST(clock_believes_a_leap_by_and_by)
{
    World w AUTO(world_done) = world_new();
    ClockLook look;
    CHECK_CODE(start(&w), E_NOT_FOUND);
    os_sim_set_now_us(w.sim, BEGIN_US + 365 * DAY_US);
    CHECK(about(clock_now_us(w.clock), BEGIN_US + 365 * DAY_US));
    CHECK(clock_news(w.clock, &look) && look.state == CLOCK_AHEAD);
    for (int minute = 0; minute < 50; minute++) {
        os_sim_advance_us(w.sim, CLOCK_KEEP_US);
        CHECK_OK(clock_keep(w.clock, &w.err), &w.err);
    }
    os_sim_set_now_us(w.sim, BEGIN_US);
    CHECK(about(clock_now_us(w.clock), BEGIN_US + CLOCK_LEAP_US));
    CHECK_OK(clock_save(w.clock, &w.err), &w.err);
    CHECK_OK(start(&w), &w.err);
    CHECK(about(clock_now_us(w.clock), BEGIN_US + CLOCK_LEAP_US));

    os_sim_set_now_us(w.sim, BEGIN_US + 365 * DAY_US); /* and that it was away for a year, within days */
    for (int hour = 0; hour < 200; hour++) {
        os_sim_advance_us(w.sim, CLOCK_LEAP_EVERY_US);
        CHECK_OK(clock_keep(w.clock, &w.err), &w.err);
    }
    clock_look(w.clock, &look);
    CHECK_INT(look.state, CLOCK_WELL);
    CHECK(about(look.floor_us, BEGIN_US + 365 * DAY_US + 200 * HOUR_US));
}

TEST(clock_keeps_the_old_floor_or_the_new_one_at_a_power_cut)
{
    bool saved = false;
    for (uint64_t cut = 1; !saved; cut++) {
        World w AUTO(world_done) = world_new();
        CHECK(cut < 20);
        CHECK_CODE(start(&w), E_NOT_FOUND);
        CHECK_OK(clock_save(w.clock, &w.err), &w.err);
        os_sim_advance_us(w.sim, HOUR_US);
        os_sim_crash_at(w.sim, os_sim_calls(w.sim) + cut);
        saved = clock_save(w.clock, &w.err) == E_OK;
        CHECK_INT(saved, !os_sim_is_crashed(w.sim));
        os_sim_crash_at(w.sim, 0);
        if (saved)
            os_sim_crash(w.sim);
        os_sim_reboot(w.sim);
        os_sim_set_now_us(w.sim, BEGIN_US - DAY_US);
        CHECK_OK(start(&w), &w.err);
        int64_t now_us = clock_now_us(w.clock);
        CHECK(about(now_us, BEGIN_US + HOUR_US) || (!saved && about(now_us, BEGIN_US)));
        os_sim_set_now_us(w.sim, BEGIN_US + DAY_US);
        CHECK_OK(clock_save(w.clock, &w.err), &w.err); /* what was left behind is in nobody's way */
    }
}
