/* Covers loop.c, loop_conn.c, loop_out.c, and of net.c what they need. */
#include "os/loop.h"

#include "base/test.h"
#include "os/loop_echo.h"
#include "os/loop_priv.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TEST(loop_lines_come_back_whole_and_split)
{
    EchoDoor door AUTO(echo_stop) = { .loop_count = 2 };
    echo_start(&door);
    int fd = echo_client(&door);
    echo_say(fd, STR("one\ntwo\nth"));
    echo_hear(fd, STR("one\ntwo\n"));
    echo_say(fd, STR("ree\n"));
    echo_hear(fd, STR("three\n"));
    echo_say(fd, STR("close\nignored\n"));
    echo_hear(fd, STR("bye\n"));
    echo_hear_end(fd);
    net_close(&fd);
}

TEST(loop_reads_no_more_than_is_wanted)
{
    enum { LINES = 50, WANTS = 100 };
    EchoDoor door AUTO(echo_stop) = { .loop_count = 1, .wants = WANTS };
    static char text[LINES * 10 + 1];
    for (int i = 0; i < LINES; i++)
        snprintf(text + (size_t)i * 10, 11, "line %04d\n", i);
    echo_start(&door);
    int fd = echo_client(&door);
    echo_say(fd, str_z(text));
    echo_hear(fd, str_z(text));
    CHECK(atomic_load(&door.shown_max) >= WANTS);
    CHECK(atomic_load(&door.shown_max) < WANTS + 10); /* with the piece of a line that was kept */
    net_close(&fd);
}

TEST(loop_work_keeps_the_order_of_lines)
{
    EchoDoor door AUTO(echo_stop) = { .loop_count = 2 };
    echo_start(&door);
    int fds[8];
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = echo_client(&door);
        echo_say(fds[i], STR("work a\nb\nwork c\nd\n"));
    }
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        echo_hear(fds[i], STR("WORK A\nb\nWORK C\nd\n"));
        net_close(&fds[i]);
    }
}

static atomic_int_fast64_t still_us;

static int64_t still_monotonic_us(void *self)
{
    (void)self;
    return atomic_load(&still_us);
}

static int policy_of(const EchoDoor *door)
{
    struct sched_param param;
    int policy = -1;
    CHECK_INT(pthread_getschedparam(door->loops->items[0].thread.inner, &policy, &param), 0);
    return policy;
}

TEST(loop_that_is_busy_does_not_interrupt_and_comes_back)
{
    OsOps ops = *os_real()->ops;
    ops.monotonic_us = still_monotonic_us;
    Os os = { &ops, os_real()->self };
    atomic_store(&still_us, 1000000);
    EchoDoor door AUTO(echo_stop) = { .loop_count = 1, .os = &os };
    echo_start(&door);
    int fd = echo_client(&door);
    for (int i = 0; i < 500; i++) {
        echo_say(fd, STR("x\n"));
        echo_hear(fd, STR("x\n"));
    }
    CHECK_INT(policy_of(&door), SCHED_OTHER);
    atomic_fetch_add(&still_us, 100 * 1000); /* 500 in a tenth of a second */
    echo_say(fd, STR("x\n"));
    echo_hear(fd, STR("x\n"));
    CHECK_INT(policy_of(&door), SCHED_BATCH);
    atomic_fetch_add(&still_us, 10 * 1000 * 1000); /* and then one in ten */
    echo_say(fd, STR("x\n"));
    echo_hear(fd, STR("x\n"));
    CHECK_INT(policy_of(&door), SCHED_OTHER);
    net_close(&fd);
}

TEST(loop_timer_fires_on_its_connection)
{
    EchoDoor door AUTO(echo_stop) = { .loop_count = 1 };
    echo_start(&door);
    int fd = echo_client(&door);
    echo_say(fd, STR("wait\n"));
    echo_hear(fd, STR("timer\n"));
    net_close(&fd);
}

TEST(loop_refuses_one_too_many)
{
    EchoDoor door AUTO(echo_stop) = { .loop_count = 1, .connections_max = 1 };
    echo_start(&door);
    int first = echo_client(&door), second = -1;
    echo_say(first, STR("x\n"));
    echo_hear(first, STR("x\n"));
    second = echo_client(&door);
    echo_hear(second, STR("full\n"));
    CHECK_INT(loops_refused(door.loops), 1);
    net_close(&first);
    net_close(&second);
}

TEST(loop_closes_who_sends_a_line_without_end)
{
    EchoDoor door AUTO(echo_stop) = { .loop_count = 1 };
    echo_start(&door);
    int fd = echo_client(&door);
    char block[4096];
    memset(block, 'x', sizeof block);
    echo_say(fd, str_of(block, sizeof block));
    char byte;
    CHECK(read(fd, &byte, 1) <= 0);
    net_close(&fd);
}

TEST(loop_drain_ends_idle_connections_and_refuses_new_ones)
{
    Err err;
    EchoDoor door AUTO(echo_stop) = { .loop_count = 2 };
    echo_start(&door);
    int fd = echo_client(&door), late = -1;
    echo_say(fd, STR("x\n"));
    echo_hear(fd, STR("x\n"));
    CHECK(!loops_drain(door.loops, 0) || loops_connections(door.loops) == 0);
    echo_hear_end(fd);
    net_close(&fd);
    CHECK(loops_drain(door.loops, 20000));
    CHECK_CODE(net_connect(&door.bound, 1000, &late, &err), E_UNAVAILABLE);
}

typedef struct LastWork {
    LoopWork work; /* first */
    EchoDoor *door;
    atomic_int asked;
} LastWork;

static void last_work(LoopWork *work)
{
    CHECK(echo_until(&((LastWork *)work)->door->open, 0)); /* the last that the loop does */
}

static void last_done(LoopWork *work)
{
    LastWork *last = (LastWork *)work;
    atomic_store(&last->asked, 1 + (loop_work(work, 0, NULL) == E_UNAVAILABLE));
}

/* What workers leave behind is finished when loops end, and what it asks for then is refused. */
TEST(loop_work_of_the_end_is_refused)
{
    EchoDoor door = { .loop_count = 1 };
    LastWork last = { .door = &door };
    echo_start(&door);
    int fd = echo_client(&door);
    echo_say(fd, STR("one\n"));
    echo_hear(fd, STR("one\n"));
    last.work = (LoopWork){ .loop = loops_at(door.loops, 0), .work = last_work, .done = last_done };
    CHECK_INT(loop_work(&last.work, 0, NULL), E_OK);
    echo_stop(&door);
    CHECK_INT(atomic_load(&last.asked), 2);
    net_close(&fd);
}

TEST(net_addresses)
{
    static const struct {
        const char *text, *shown;
    } rows[] = {
        { "127.0.0.1:8080", "127.0.0.1:8080" }, { "localhost:1", "127.0.0.1:1" },
        { ":80", "0.0.0.0:80" },                { "[::1]:65535", "[::1]:65535" },
        { "::1:80", NULL },                     { "127.0.0.1", NULL },
        { "127.0.0.1:65536", NULL },            { "example.org:80", NULL },
        { "127.0.0.1:-1", NULL },               { "", NULL },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        NetAddress address;
        char text[NET_ADDRESS_TEXT_MAX];
        Err err;
        Code code = net_address_parse(str_z(rows[i].text), &address, &err);
        CHECK_INT(code, rows[i].shown ? E_OK : E_INVALID);
        if (code == E_OK)
            CHECK_STR(net_address_format(&address, text), str_z(rows[i].shown));
    }
}

TEST(net_a_taken_port_is_named)
{
    NetAddress address, bound;
    Err err;
    int one = -1, two = -1;
    CHECK_OK(net_address_parse(STR("127.0.0.1:0"), &address, &err), &err);
    CHECK_OK(net_listen(&address, &one, 1, &bound, &err), &err);
    CHECK_CODE(net_listen(&bound, &two, 1, NULL, &err), E_EXISTS);
    CHECK(str_find(str_z(err.text), STR("127.0.0.1")) >= 0);
    net_close(&one);
}
