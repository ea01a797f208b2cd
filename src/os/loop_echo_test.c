/* The door of loop_echo.h. */
#include "os/loop_echo.h"

#include "base/test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct Echo {
    EchoDoor *door;
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

static void echo_timer(LoopTimer *timer)
{
    Echo *echo = (Echo *)((char *)timer - offsetof(Echo, timer));
    atomic_fetch_add(&echo->door->timers, 1);
    loop_conn_send(echo->conn, STR("timer\n"));
}

static void *echo_opened(LoopConn *conn, void *context)
{
    Echo *echo = mem_new(sizeof *echo);
    echo->door = context;
    echo->conn = conn;
    echo->loop = loop_conn_loop(conn);
    echo->timer.fire = echo_timer;
    atomic_fetch_add(&echo->door->open, 1);
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

static void work_send(Echo *echo, Str line)
{
    EchoWork *w = mem_new(sizeof *w);
    w->echo = echo;
    w->work = (LoopWork){ .loop = echo->loop, .work = echo_work, .done = echo_done };
    w->len = line.len;
    memcpy(w->line, line.ptr, line.len);
    echo->busy = true;
    loop_conn_rest(echo->conn, true);
    if (loop_work(&w->work, 0, NULL) != E_OK)
        abort();
}

static void tls_send(Echo *echo)
{
    const TlsInfo *info = loop_conn_tls(echo->conn);
    Buf text;
    buf_init(&text, 1024);
    if (info)
        buf_format(&text, STR_FMT " " STR_FMT " name=" STR_FMT " alpn=" STR_FMT " peer=" STR_FMT "%s\n",
                   STR_ARG(info->version), STR_ARG(info->cipher), STR_ARG(info->server_name),
                   STR_ARG(info->alpn), STR_ARG(info->peer_name), info->resumed ? " resumed" : "");
    else
        buf_put(&text, STR("clear\n"));
    loop_conn_send_take(echo->conn, &text);
}

static void file_done(void *arg)
{
    atomic_fetch_add(&((EchoDoor *)arg)->files_done, 1);
}

typedef struct EchoCut {
    LoopCut cut;
    Echo *echo;
    LoopConn *conn;
    uint64_t asked, let; /* by `check`: the last time */
    int64_t at_us;
} EchoCut;

/* Some of it each time; the end of what may go is in the middle of the file. */
static size_t cut_check(LoopCut *cut, uint64_t at, size_t len, char *room, int *ret_fd, uint64_t *ret_file_at)
{
    EchoCut *c = (EchoCut *)cut;
    EchoDoor *door = c->echo->door;
    uint64_t most = atomic_load(&door->cut_len);
    memset(room, 0, LOOP_READ_BYTES);
    if (at < c->asked || at > c->asked + c->let)
        abort(); /* a byte went that was not let go, or went twice */
    int64_t now_us = loop_now_us(loop_conn_loop(c->conn));
    if (at < c->asked + c->let && now_us - c->at_us <= LOOP_CUT_KEEP_US)
        abort(); /* asked again for what just was let go */
    c->at_us = now_us;
    *ret_fd = door->file_fd;
    *ret_file_at = 1 + at;
    c->asked = at;
    c->let = at < most ? MIN(most - at, MIN((uint64_t)len, (uint64_t)100000)) : 0;
    return (size_t)c->let;
}

static void cut_over(LoopCut *cut, uint64_t sent)
{
    EchoCut *c = (EchoCut *)cut;
    char text[40];
    atomic_fetch_add(&c->echo->door->files_done, 1);
    loop_conn_send(c->conn, str_of(text, (size_t)snprintf(text, sizeof text, ">%llu\n", (unsigned long long)sent)));
    mem_free(&c);
}

static void cut_send(Echo *echo)
{
    EchoCut *c = mem_new(sizeof *c);
    *c = (EchoCut){ .cut = { cut_check, cut_over }, .echo = echo, .conn = echo->conn };
    loop_conn_send(echo->conn, STR("<\n"));
    loop_conn_send_cut(echo->conn, echo->door->file_len, &c->cut);
}

static void big_send(Echo *echo, Str count)
{
    uint64_t len = 0;
    Buf bytes;
    if (!str_u64(count, &len))
        abort();
    buf_init(&bytes, len);
    buf_put_zeros(&bytes, len);
    for (uint64_t i = 0; i < len; i++)
        bytes.ptr[i] = (char)('a' + i % 23);
    loop_conn_send_take(echo->conn, &bytes);
}

static size_t echo_wants(void *state)
{
    const Echo *echo = state;
    return echo->door->wants ? echo->door->wants : SIZE_MAX;
}

static size_t echo_in(void *state, Str bytes)
{
    Echo *echo = state;
    if ((int)bytes.len > atomic_load(&echo->door->shown_max))
        atomic_store(&echo->door->shown_max, (int)bytes.len); /* one loop where it is looked at */
    ptrdiff_t end = str_find_char(bytes, '\n');
    if (end < 0)
        return 0;
    Str line = str_sub(bytes, 0, (size_t)end + 1);
    if (str_eq(line, STR("close\n"))) {
        loop_conn_send(echo->conn, STR("bye\n"));
        loop_conn_close(echo->conn);
    } else if (str_eq(line, STR("wait\n"))) {
        loop_timer_set(echo->loop, &echo->timer, 5);
    } else if (str_eq(line, STR("peer\n"))) {
        loop_conn_send(echo->conn, loop_conn_peer(echo->conn));
        loop_conn_send(echo->conn, STR("\n"));
    } else if (str_eq(line, STR("loop\n"))) {
        char text[2] = { (char)('0' + loop_index(echo->loop) % 10), '\n' };
        loop_conn_send(echo->conn, str_of(text, 2));
    } else if (str_eq(line, STR("tls\n"))) {
        tls_send(echo);
    } else if (str_eq(line, STR("file\n"))) {
        loop_conn_send(echo->conn, STR("<\n"));
        loop_conn_send_file(echo->conn, echo->door->file_fd, 1, echo->door->file_len, file_done, echo->door);
        loop_conn_send(echo->conn, STR(">\n"));
    } else if (str_eq(line, STR("cut\n"))) {
        cut_send(echo);
    } else if (str_starts(line, STR("big "))) {
        big_send(echo, str_sub(line, 4, line.len - 5));
    } else if (str_starts(line, STR("work")) && line.len < 64) {
        work_send(echo, line);
    } else {
        loop_conn_send(echo->conn, line);
    }
    return line.len;
}

static void echo_end(void *state, bool all_read)
{
    Echo *echo = state;
    atomic_fetch_add(&echo->door->ended, 1);
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
    atomic_fetch_sub(&echo->door->open, 1);
    if (!echo->busy)
        mem_free(&echo);
}

static const LoopProtocol echo_protocol = {
    .name = "echo", .held_max = 1024, .opened = echo_opened, .bytes_in = echo_in, .wants = echo_wants,
    .ended = echo_end, .drain = echo_drain, .closed = echo_closed,
    .refusal = STR_INIT("full\n"), .wants_tls = STR_INIT("speak TLS\n"),
};

static bool echo_trusted(void *guard, const NetAddress *peer)
{
    (void)peer;
    return ((EchoDoor *)guard)->trusts;
}

static bool echo_admit(void *guard, const NetAddress *peer, void **ret_seat)
{
    EchoDoor *door = guard;
    *ret_seat = &door->admitted;
    if (door->loop_count == 1)
        net_address_format(peer, door->seen);
    if (door->admits)
        atomic_fetch_add(&door->admitted, 1);
    return door->admits;
}

static void echo_gone(void *guard, void *seat)
{
    EchoDoor *door = guard;
    CHECK(seat == &door->admitted);
    atomic_fetch_add(&door->gone, 1);
}

void echo_start(EchoDoor *door)
{
    Err err;
    LoopOptions options = { .os = door->os ? door->os : os_real(), .loops = door->loop_count,
                            .connections_max = door->connections_max,
                            .lanes = { { "test", 2, 100 } }, .lane_count = 1 };
    LoopListen *listen = &door->listen;
    listen->protocol = &echo_protocol;
    listen->context = listen->guard = door;
    listen->trusted = echo_trusted;
    listen->admit = echo_admit;
    listen->gone = echo_gone;
    door->admits = true;
    if (listen->fd == 0 && listen->address.len == 0)
        CHECK_OK(net_address_parse(STR("127.0.0.1:0"), &listen->address, &err), &err);
    CHECK_OK(loops_start(&options, &door->loops, &err), &err);
    CHECK_OK(loops_listen(door->loops, listen, &door->bound, &err), &err);
}

void echo_stop(EchoDoor *door)
{
    loops_free(&door->loops);
    CHECK_INT(atomic_load(&door->open), 0);
    CHECK_INT(atomic_load(&door->admitted), atomic_load(&door->gone));
}

int echo_client(const EchoDoor *door)
{
    int fd = -1;
    Err err;
    CHECK_OK(net_connect(&door->bound, 20000, &fd, &err), &err);
    return fd;
}

void echo_say(int fd, Str text)
{
    CHECK_INT(write(fd, text.ptr, text.len), text.len);
}

void echo_hear(int fd, Str wanted)
{
    char got[1024];
    size_t len = 0;
    while (len < wanted.len) {
        ssize_t n = read(fd, got + len, MIN(sizeof got, wanted.len) - len);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    CHECK_STR(str_of(got, len), wanted);
}

void echo_hear_end(int fd)
{
    char byte;
    CHECK_INT(read(fd, &byte, 1), 0);
}

typedef struct Wake {
    LoopPost post;
    atomic_int done;
} Wake;

static void wake_run(LoopPost *post)
{
    atomic_store(&((Wake *)post)->done, 1);
}

void echo_wake(EchoDoor *door)
{
    for (size_t i = 0; i < loops_count(door->loops); i++) {
        Wake wake = { .post = { .run = wake_run } };
        CHECK_INT(loop_index(loops_at(door->loops, i)), i);
        loop_post(loops_at(door->loops, i), &wake.post);
        CHECK(echo_until(&wake.done, 1));
    }
}

bool echo_until(atomic_int *counter, int wanted)
{
    int64_t end_us = os_monotonic_us(os_real()) + 20 * 1000 * 1000;
    while (atomic_load(counter) != wanted) {
        if (os_monotonic_us(os_real()) > end_us)
            return false;
        usleep(500);
    }
    return true;
}
