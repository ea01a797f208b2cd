/* Covers loop.c, loop_conn.c, net.c. */
#include "os/loop.h"

#include "base/test.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A door that sends lines back: `work ...` goes through a worker, `close` ends, `wait` is never
 * answered but by a timer. */
typedef struct Echo {
    LoopConn *conn;
    Loop *loop;
    bool busy;
    LoopTimer timer;
} Echo;

typedef struct EchoWork {
    LoopWork work; /* first */
    Echo *echo;
    char line[64];
    size_t len;
} EchoWork;

static atomic_int echo_open, echo_timers, echo_ended;

static void echo_timer(LoopTimer *timer)
{
    Echo *echo = (Echo *)((char *)timer - offsetof(Echo, timer));
    atomic_fetch_add(&echo_timers, 1);
    loop_conn_send(echo->conn, STR("timer\n"));
}

static void *echo_opened(LoopConn *conn, void *context)
{
    Echo *echo = mem_new(sizeof *echo);
    echo->conn = conn;
    echo->loop = loop_conn_loop(conn);
    echo->timer.fire = echo_timer;
    atomic_fetch_add((atomic_int *)context, 1);
    return echo;
}

static void echo_work(LoopWork *work)
{
    EchoWork *w = (EchoWork *)work;
    for (size_t i = 0; i < w->len; i++)
        w->line[i] = (char)(w->line[i] >= 'a' && w->line[i] <= 'z' ? w->line[i] - 32 : w->line[i]);
}

static void echo_done(LoopWork *work)
{
    EchoWork *w = (EchoWork *)work;
    Echo *echo = w->echo;
    echo->busy = false;
    if (echo->conn) {
        loop_conn_send(echo->conn, str_of(w->line, w->len));
        loop_conn_rest(echo->conn, false);
    } else {
        mem_free(&echo);
    }
    mem_free(&w);
}

static size_t echo_in(void *state, Str bytes)
{
    Echo *echo = state;
    ptrdiff_t end = str_find_char(bytes, '\n');
    if (end < 0)
        return 0;
    Str line = str_sub(bytes, 0, (size_t)end + 1);
    if (str_eq(line, STR("close\n"))) {
        loop_conn_send(echo->conn, STR("bye\n"));
        loop_conn_close(echo->conn);
    } else if (str_eq(line, STR("wait\n"))) {
        loop_timer_set(echo->loop, &echo->timer, 5);
    } else if (str_starts(line, STR("work")) && line.len < 64) {
        EchoWork *w = mem_new(sizeof *w);
        w->echo = echo;
        w->work = (LoopWork){ .loop = echo->loop, .work = echo_work, .done = echo_done };
        w->len = line.len;
        memcpy(w->line, line.ptr, line.len);
        echo->busy = true;
        loop_conn_rest(echo->conn, true);
        if (loop_work(&w->work, 0, NULL) != E_OK)
            abort();
    } else {
        loop_conn_send(echo->conn, line);
    }
    return line.len;
}

static void echo_end(void *state, bool all_read)
{
    Echo *echo = state;
    atomic_fetch_add(&echo_ended, 1);
    if (all_read)
        loop_conn_close(echo->conn);
}

static void echo_drain(void *state)
{
    Echo *echo = state;
    loop_conn_close(echo->conn);
}

static void echo_closed(void *state)
{
    Echo *echo = state;
    loop_timer_stop(echo->loop, &echo->timer);
    echo->conn = NULL;
    atomic_fetch_sub(&echo_open, 1);
    if (!echo->busy)
        mem_free(&echo);
}

static const LoopProtocol echo_protocol = {
    .name = "echo", .held_max = 1024, .opened = echo_opened, .bytes_in = echo_in,
    .ended = echo_end, .drain = echo_drain, .closed = echo_closed,
    .refusal = STR_INIT("full\n"),
};

static Loops *echo_start(uint32_t loops, uint32_t connections_max, NetAddress *ret_bound)
{
    Loops *result = NULL;
    NetAddress address;
    Err err;
    LoopOptions options = { .os = os_real(), .loops = loops, .connections_max = connections_max,
                            .lanes = { { "test", 2, 100 } }, .lane_count = 1 };
    atomic_store(&echo_open, 0);
    CHECK_OK(net_address_parse(STR("127.0.0.1:0"), &address, &err), &err);
    CHECK_OK(loops_start(&options, &result, &err), &err);
    LoopListen listen = { .address = address, .protocol = &echo_protocol, .context = &echo_open };
    CHECK_OK(loops_listen(result, &listen, ret_bound, &err), &err);
    return result;
}

static int client(const NetAddress *address)
{
    int fd = -1;
    Err err;
    CHECK_OK(net_connect(address, 20000, &fd, &err), &err);
    return fd;
}

static void say(int fd, Str text)
{
    CHECK_INT(write(fd, text.ptr, text.len), text.len);
}

/* Reads exactly what is wanted. */
static void hear(int fd, Str wanted)
{
    char got[256];
    size_t len = 0;
    while (len < wanted.len) {
        ssize_t n = read(fd, got + len, MIN(sizeof got, wanted.len) - len);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    CHECK_STR(str_of(got, len), wanted);
}

static void hear_end(int fd)
{
    char byte;
    CHECK_INT(read(fd, &byte, 1), 0);
}

TEST(loop_lines_come_back_whole_and_split)
{
    NetAddress bound;
    Loops *loops AUTO(loops_free) = echo_start(2, 0, &bound);
    int fd = client(&bound);
    say(fd, STR("one\ntwo\nth"));
    hear(fd, STR("one\ntwo\n"));
    say(fd, STR("ree\n"));
    hear(fd, STR("three\n"));
    say(fd, STR("close\nignored\n"));
    hear(fd, STR("bye\n"));
    hear_end(fd);
    net_close(&fd);
}

TEST(loop_work_keeps_the_order_of_lines)
{
    NetAddress bound;
    Loops *loops AUTO(loops_free) = echo_start(2, 0, &bound);
    int fds[8];
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        fds[i] = client(&bound);
        say(fds[i], STR("work a\nb\nwork c\nd\n"));
    }
    for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
        hear(fds[i], STR("WORK A\nb\nWORK C\nd\n"));
        net_close(&fds[i]);
    }
}

TEST(loop_timer_fires_on_its_connection)
{
    NetAddress bound;
    Loops *loops AUTO(loops_free) = echo_start(1, 0, &bound);
    int fd = client(&bound);
    say(fd, STR("wait\n"));
    hear(fd, STR("timer\n"));
    net_close(&fd);
}

TEST(loop_refuses_one_too_many)
{
    NetAddress bound;
    Loops *loops AUTO(loops_free) = echo_start(1, 1, &bound);
    int first = client(&bound), second = -1;
    say(first, STR("x\n"));
    hear(first, STR("x\n"));
    second = client(&bound);
    hear(second, STR("full\n"));
    CHECK_INT(loops_refused(loops), 1);
    net_close(&first);
    net_close(&second);
}

TEST(loop_closes_who_sends_a_line_without_end)
{
    NetAddress bound;
    Loops *loops AUTO(loops_free) = echo_start(1, 0, &bound);
    int fd = client(&bound);
    char block[4096];
    memset(block, 'x', sizeof block);
    say(fd, str_of(block, sizeof block));
    char byte;
    CHECK(read(fd, &byte, 1) <= 0);
    net_close(&fd);
}

TEST(loop_drain_ends_idle_connections_and_refuses_new_ones)
{
    NetAddress bound;
    Err err;
    Loops *loops AUTO(loops_free) = echo_start(2, 0, &bound);
    int fd = client(&bound), late = -1;
    say(fd, STR("x\n"));
    hear(fd, STR("x\n"));
    CHECK(!loops_drain(loops, 0) || loops_connections(loops) == 0);
    hear_end(fd);
    net_close(&fd);
    CHECK(loops_drain(loops, 20000));
    CHECK_CODE(net_connect(&bound, 1000, &late, &err), E_UNAVAILABLE);
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
