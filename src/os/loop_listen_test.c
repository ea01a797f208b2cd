/* Covers loop_listen.c and what connections cost: memory while idle, and the system calls of a turn. */
#include "base/test.h"
#include "os/loop_echo.h"
#include "os/service.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int sharing_socket(const NetAddress *address)
{
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_INT(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on), 0);
    if (bind(fd, &address->inner.any, address->len) == 0 && listen(fd, 8) == 0)
        return fd;
    close(fd);
    return -1;
}

/* Who shares his port with everybody is found too. */
TEST(listen_a_port_that_is_shared_by_others_is_taken)
{
    NetAddress any, bound;
    Err err;
    int fds[4];
    CHECK_OK(net_address_parse(STR("127.0.0.1:0"), &any, &err), &err);
    int foreign = sharing_socket(&any);
    CHECK_OK(net_local(foreign, &bound, &err), &err);
    CHECK_CODE(net_listen(&bound, fds, 4, NULL, &err), E_EXISTS);
    net_close(&foreign);
    CHECK_OK(net_listen(&bound, fds, 4, NULL, &err), &err);
    CHECK_CODE(net_listen(&bound, &foreign, 1, NULL, &err), E_EXISTS);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++)
        net_close(&fds[i]);
}

TEST(listen_each_loop_serves_its_share)
{
    enum { CLIENTS = 64 };
    EchoDoor door AUTO(echo_stop) = { .loop_count = 4 };
    int fds[CLIENTS];
    echo_start(&door);
    for (size_t i = 0; i < CLIENTS; i++) {
        fds[i] = echo_client(&door);
        echo_say(fds[i], STR("loop\n"));
    }
    int seen[4] = { 0 };
    for (size_t i = 0; i < CLIENTS; i++) {
        char got[8];
        CHECK_INT(read(fds[i], got, sizeof got), 2);
        seen[(got[0] - '0') & 3]++;
        net_close(&fds[i]);
    }
    for (size_t i = 0; i < 4; i++)
        CHECK(seen[i] > 0);
}

TEST(listen_on_an_inherited_socket)
{
    NetAddress any;
    Err err;
    EchoDoor door AUTO(echo_stop) = { .loop_count = 2 };
    CHECK_OK(net_address_parse(STR("127.0.0.1:0"), &any, &err), &err);
    CHECK_OK(net_listen(&any, &door.listen.fd, 1, NULL, &err), &err);
    echo_start(&door);
    int fds[16];
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = echo_client(&door);
        echo_say(fds[i], STR("one\n"));
        echo_hear(fds[i], STR("one\n"));
    }
    CHECK(!loops_drain(door.loops, 0) || loops_connections(door.loops) == 0);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        echo_hear_end(fds[i]);
        net_close(&fds[i]);
    }
    CHECK(loops_drain(door.loops, 20000));
}

TEST(listen_admits_and_says_who_has_gone)
{
    EchoDoor door AUTO(echo_stop) = { .loop_count = 1 };
    echo_start(&door);
    int fd = echo_client(&door);
    echo_say(fd, STR("one\n"));
    echo_hear(fd, STR("one\n"));
    CHECK_INT(atomic_load(&door.admitted), 1);
    CHECK_INT(atomic_load(&door.gone), 0);
    door.admits = false;
    int refused = echo_client(&door);
    echo_hear(refused, STR("full\n"));
    echo_hear_end(refused);
    net_close(&refused);
    net_close(&fd);
    CHECK(echo_until(&door.gone, 1));
    CHECK_INT(atomic_load(&door.admitted), 1);
}

/* A request that has come before the end is answered, not dropped. */
TEST(listen_drain_answers_what_has_come)
{
    EchoDoor door AUTO(echo_stop) = { .loop_count = 2 };
    int fds[32];
    echo_start(&door);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = echo_client(&door);
        echo_say(fds[i], STR("one\n"));
    }
    CHECK(!loops_drain(door.loops, 0) || true);
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        echo_hear(fds[i], STR("one\n"));
        echo_hear_end(fds[i]);
        net_close(&fds[i]);
    }
    CHECK(loops_drain(door.loops, 20000));
}

/* As where the kernel has no memory: each call fails, and the next one does. */
TEST(listen_drain_ends_where_nobody_can_be_accepted)
{
    NetAddress any;
    Err err;
    EchoDoor door AUTO(echo_stop) = { .loop_count = 2 };
    CHECK_OK(net_address_parse(STR("127.0.0.1:0"), &any, &err), &err);
    CHECK_OK(net_listen(&any, &door.listen.fd, 1, NULL, &err), &err);
    echo_start(&door);
    CHECK_INT(shutdown(door.listen.fd, SHUT_RDWR), 0);
    CHECK(loops_drain(door.loops, 20000));
}

/* ---- output ---- */

static void file_make(EchoDoor *door, size_t len)
{
    char path[600];
    Err err;
    Buf content AUTO(buf_done) = { .max = len + 1 };
    snprintf(path, sizeof path, "%s/file", test_dir());
    for (size_t i = 0; i <= len; i++)
        buf_put_char(&content, (char)('a' + i % 23));
    CHECK_OK(os_write_whole(os_real(), path, buf_str(&content), &err), &err);
    door->file_fd = open(path, O_RDONLY | O_CLOEXEC);
    door->file_len = len;
}

static void pattern_hear(int fd, size_t from, size_t len)
{
    char got[7000];
    size_t at = 0;
    while (at < len) {
        ssize_t n = read(fd, got, MIN(sizeof got, len - at));
        if (n <= 0)
            break;
        for (ssize_t i = 0; i < n; i++, at++) {
            if (got[i] != (char)('a' + (from + at) % 23)) {
                CHECK_INT(at, SIZE_MAX);
                return;
            }
        }
    }
    CHECK_INT(at, len);
}

TEST(loop_files_go_to_slow_readers_in_order_with_the_rest)
{
    enum { LEN = 24 << 20 }; /* more than a socket of the machine holds */
    EchoDoor door AUTO(echo_stop) = { .loop_count = 1 };
    file_make(&door, LEN);
    echo_start(&door);
    int fd = echo_client(&door);
    echo_say(fd, STR("one\nfile\ntwo\nfile\n"));
    echo_hear(fd, STR("one\n<\n"));
    pattern_hear(fd, 1, LEN);
    echo_hear(fd, STR(">\ntwo\n<\n"));
    pattern_hear(fd, 1, LEN);
    echo_hear(fd, STR(">\n"));
    CHECK(echo_until(&door.files_done, 2));
    net_close(&fd);
    net_close(&door.file_fd);
}

TEST(loop_files_of_who_leaves_are_done_once)
{
    enum { LEN = 6 << 20 };
    EchoDoor door AUTO(echo_stop) = { .loop_count = 1 };
    file_make(&door, LEN);
    echo_start(&door);
    int fd = echo_client(&door);
    echo_say(fd, STR("file\nfile\nclose\nfile\n"));
    echo_hear(fd, STR("<\n"));
    net_close(&fd);
    CHECK(echo_until(&door.files_done, 2));
    CHECK(echo_until(&door.open, 0));
    net_close(&door.file_fd);
}

TEST(loop_a_cut_goes_as_far_as_it_is_let)
{
    enum { LEN = 24 << 20 }; /* more than a socket of the machine holds */
    EchoDoor door AUTO(echo_stop) = { .loop_count = 1, .cut_len = UINT64_MAX };
    file_make(&door, LEN);
    echo_start(&door);
    int fd = echo_client(&door);
    echo_say(fd, STR("one\ncut\n"));
    echo_hear(fd, STR("one\n<\n"));
    pattern_hear(fd, 1, LEN);
    echo_hear(fd, STR(">25165824\n"));
    atomic_store(&door.cut_len, (uint64_t)(LEN / 2 + 1));
    echo_say(fd, STR("cut\n"));
    echo_hear(fd, STR("<\n"));
    pattern_hear(fd, 1, LEN / 2 + 1);
    echo_hear(fd, STR(">12582913\n"));
    atomic_store(&door.cut_len, (uint64_t)(0));
    echo_say(fd, STR("cut\ntwo\n"));
    echo_hear(fd, STR("<\n"));
    CHECK(echo_until(&door.files_done, 3));
    net_close(&fd);
    atomic_store(&door.cut_len, (uint64_t)(UINT64_MAX));
    fd = echo_client(&door);
    echo_say(fd, STR("cut\n"));
    echo_hear(fd, STR("<\n"));
    net_close(&fd); /* it leaves */
    CHECK(echo_until(&door.files_done, 4));
    CHECK(echo_until(&door.open, 0));
    net_close(&door.file_fd);
}

TEST(loop_a_file_that_is_shorter_breaks_the_connection)
{
    EchoDoor door AUTO(echo_stop) = { .loop_count = 1 };
    char got[4096];
    file_make(&door, 1000);
    door.file_len = 1001;
    echo_start(&door);
    int fd = echo_client(&door);
    size_t all = 0;
    echo_say(fd, STR("file\n"));
    for (ssize_t n; (n = read(fd, got, sizeof got)) > 0;)
        all += (size_t)n;
    CHECK(all <= 1002);
    CHECK(echo_until(&door.files_done, 1));
    net_close(&fd);
    net_close(&door.file_fd);
}

TEST(loop_large_replies_and_many_small_ones_arrive_whole)
{
    EchoDoor door AUTO(echo_stop) = { .loop_count = 1 };
    char lines[3000];
    echo_start(&door);
    int fd = echo_client(&door);
    for (size_t i = 0; i < sizeof lines; i++)
        lines[i] = i % 30 == 29 ? '\n' : 'x';
    for (int round = 0; round < 40; round++) {
        echo_say(fd, str_of(lines, sizeof lines));
        for (size_t at = 0; at < sizeof lines; at += 30)
            echo_hear(fd, str_of(lines + at, 30));
    }
    echo_say(fd, STR("big 9000000\n"));
    pattern_hear(fd, 0, 9000000);
    net_close(&fd);
}

/* ---- foreign descriptors ---- */

typedef struct Pipe {
    LoopWatch watch; /* first */
    LoopPost post;
    Loop *loop;
    struct Pipe *other;
    atomic_int fired, done;
    bool stops_other;
} Pipe;

static void pipe_fire(LoopWatch *watch, uint32_t events)
{
    Pipe *pipe = (Pipe *)watch;
    char byte;
    if (events & LOOP_IN)
        CHECK_INT(read(watch->fd, &byte, 1), 1);
    if (pipe->stops_other)
        loop_watch_stop(pipe->loop, &pipe->other->watch);
    if (events & LOOP_BROKEN)
        loop_watch_stop(pipe->loop, watch);
    atomic_fetch_add(&pipe->fired, 1);
}

static void pipe_watch(LoopPost *post)
{
    Pipe *pipe = (Pipe *)((char *)post - offsetof(Pipe, post));
    pipe->watch.fire = pipe_fire;
    CHECK_INT(loop_watch_set(pipe->loop, &pipe->watch, NULL), E_OK);
    atomic_store(&pipe->done, 1);
}

static void pipe_stop(LoopPost *post)
{
    Pipe *pipe = (Pipe *)((char *)post - offsetof(Pipe, post));
    loop_watch_stop(pipe->loop, &pipe->watch);
    atomic_store(&pipe->done, 1);
}

static void pipe_post(Pipe *pipe, void (*run)(LoopPost *post))
{
    atomic_store(&pipe->done, 0);
    pipe->post.run = run;
    loop_post(pipe->loop, &pipe->post);
    CHECK(echo_until(&pipe->done, 1));
}

TEST(loop_watches_foreign_descriptors)
{
    EchoDoor door AUTO(echo_stop) = { .loop_count = 1 };
    int ends[2];
    echo_start(&door);
    CHECK_INT(pipe2(ends, O_CLOEXEC), 0);
    Pipe pipe = { .loop = loops_at(door.loops, 0), .watch = { .fd = ends[0], .events = LOOP_IN } };
    pipe_post(&pipe, pipe_watch);
    for (int i = 1; i < 4; i++) {
        CHECK_INT(write(ends[1], "x", 1), 1);
        CHECK(echo_until(&pipe.fired, i));
    }
    pipe_post(&pipe, pipe_stop);
    CHECK_INT(write(ends[1], "x", 1), 1);
    echo_wake(&door);
    CHECK_INT(atomic_load(&pipe.fired), 3);
    pipe_post(&pipe, pipe_watch);
    CHECK(echo_until(&pipe.fired, 4));
    close(ends[1]);
    CHECK(echo_until(&pipe.fired, 5));
    echo_wake(&door);
    CHECK_INT(atomic_load(&pipe.fired), 5);
    close(ends[0]);
}

/* Two are ready in one turn; the first that fires stops the other, which then must not. */
TEST(loop_a_watch_that_is_stopped_in_the_turn_does_not_fire)
{
    EchoDoor door AUTO(echo_stop) = { .loop_count = 1 };
    int one[2], two[2];
    echo_start(&door);
    CHECK_INT(pipe2(one, O_CLOEXEC) + pipe2(two, O_CLOEXEC), 0);
    CHECK_INT(write(one[1], "x", 1) + write(two[1], "x", 1), 2);
    Pipe a = { .loop = loops_at(door.loops, 0), .watch = { .fd = one[0], .events = LOOP_IN } };
    Pipe b = { .loop = a.loop, .watch = { .fd = two[0], .events = LOOP_IN }, .other = &a };
    a.other = &b;
    a.stops_other = b.stops_other = true;
    a.post.run = b.post.run = pipe_watch;
    loop_post(a.loop, &a.post); /* both in one turn, before its events */
    loop_post(b.loop, &b.post);
    CHECK(echo_until(&a.done, 1) && echo_until(&b.done, 1));
    echo_wake(&door);
    echo_wake(&door);
    CHECK(atomic_load(&a.fired) + atomic_load(&b.fired) >= 1);
    pipe_post(&a, pipe_stop);
    pipe_post(&b, pipe_stop);
    for (int i = 0; i < 2; i++) {
        close(one[i]);
        close(two[i]);
    }
}

/* ---- what an idle connection costs ---- */

TEST(loop_idle_connections_are_small)
{
    enum { COUNT = 2000, BYTES_MAX = 512 };
    EchoDoor door AUTO(echo_stop) = { .loop_count = 1 };
    int *fds = mem_new(COUNT * sizeof *fds);
    echo_start(&door);
    IGNORE(net_descriptors_max() == 0); /* as many as the machine allows */
    size_t before = 0, warm = COUNT / 4;
    for (size_t i = 0; i < COUNT; i++) {
        if (i == warm)
            before = mallinfo2().uordblks;
        fds[i] = echo_client(&door);
        echo_say(fds[i], STR("one\n"));
        echo_hear(fds[i], STR("one\n"));
    }
    size_t each = (mallinfo2().uordblks - before) / (COUNT - warm);
    printf("     %zu bytes an idle connection\n", each);
    CHECK(each <= BYTES_MAX);
    for (size_t i = 0; i < COUNT; i++)
        net_close(&fds[i]);
    mem_free(&fds);
}
