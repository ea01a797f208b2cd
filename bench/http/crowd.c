/* Many connections to a server, held by one thread: what wrk and h2load do not do.
 *
 *   crowd idle  ADDRESS COUNT [tls]   each asks for /fixed once and stays
 *   crowd park  ADDRESS COUNT         each asks for /park/pN and waits
 *   crowd slow  ADDRESS COUNT PATH    a byte a second: a quarter each of heads, bodies, chunks, replies to PATH
 *   crowd drain ADDRESS COUNT ACTIVE  idle ones, and ACTIVE that ask for /sleep/50 again and again
 *
 * Prints a line of JSON for each step and takes commands from standard input, a line each:
 *   again      asks over every connection once more          (idle)
 *   cycle M    says that it is ready, and after a line parks and resumes M requests, one by one (park)
 *   wake       resumes every parked one                      (park)
 *   end        says what it has seen and ends                (all)
 * Sources are 127.0.1.1, 127.0.1.2, ...: one for every PORTS_EACH connections. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { PORTS_EACH = 20000, OPENING_MAX = 256, EVENTS_MAX = 256, SLOW_KINDS = 4, READ_BYTES = 64 << 10, HEAD_MAX = 4096 };

typedef enum Kind { IDLE, PARKED, ACTIVE, SLOW_HEAD, SLOW_BODY, SLOW_CHUNK, SLOW_REPLY } Kind;

typedef enum Step { CONNECTING, SHAKING, ASKING, WAITING, RESTING, CLOSED } Step;

typedef struct Conn {
    int fd, number;
    SSL *ssl;
    Kind kind;
    Step step;
    char head[HEAD_MAX]; /* of the reply */
    size_t head_len;
    long long body_left; /* -1: the head is not complete */
    int status;
    bool last; /* Connection: close */
    double closed_s;
    uint64_t replies;
} Conn;

static struct {
    struct sockaddr_in to;
    const char *mode, *path;
    int count, active, epoll_fd, opened, opening, next;
    SSL_CTX *tls;
    Conn *conns;
    double started_s;
    uint64_t ok, failed, bad_status, closed_idle, cut, slow_done;
    bool ready_said;
    int pair[2]; /* of cycle; 0: not open */
} the;

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "crowd: %s: %s\n", what, strerror(errno));
    exit(2);
}

static void watch(Conn *c, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = c };
    epoll_ctl(the.epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
}

/* ---- requests ---- */

static int request_text(const Conn *c, char *text, size_t cap)
{
    static const char host[] = "Host: bench\r\n\r\n";
    switch (c->kind) {
    case IDLE:
        return snprintf(text, cap, "GET /fixed HTTP/1.1\r\n%s", host);
    case PARKED:
        return snprintf(text, cap, "GET /park/p%d HTTP/1.1\r\n%s", c->number, host);
    case ACTIVE:
        return snprintf(text, cap, "GET /sleep/50 HTTP/1.1\r\n%s", host);
    case SLOW_HEAD:
        return snprintf(text, cap, "GET /fixed HTTP/1.1\r\nX-Slow: ");
    case SLOW_BODY:
        return snprintf(text, cap, "PUT /drop HTTP/1.1\r\nContent-Length: 100000\r\n%s", host);
    case SLOW_CHUNK:
        return snprintf(text, cap, "PUT /drop HTTP/1.1\r\nTransfer-Encoding: chunked\r\n%s", host);
    case SLOW_REPLY:
        return snprintf(text, cap, "GET %s HTTP/1.1\r\n%s", the.path, host);
    }
    return 0;
}

static long put(Conn *c, const char *bytes, size_t len)
{
    if (c->ssl) {
        int put = SSL_write(c->ssl, bytes, (int)len);
        return put > 0 ? put : SSL_get_error(c->ssl, put) == SSL_ERROR_SYSCALL ? -1 : 0;
    }
    long done = send(c->fd, bytes, len, MSG_NOSIGNAL);
    return done >= 0 ? done : errno == EAGAIN ? 0 : -1;
}

/* Bytes; 0: none now; -1: the end. */
static long get(Conn *c, char *bytes, size_t cap)
{
    if (c->ssl) {
        int got = SSL_read(c->ssl, bytes, (int)cap);
        if (got > 0)
            return got;
        int why = SSL_get_error(c->ssl, got);
        return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
    }
    long got = recv(c->fd, bytes, cap, 0);
    return got > 0 ? got : got < 0 && errno == EAGAIN ? 0 : -1;
}

static void ask(Conn *c)
{
    char text[256];
    int len = request_text(c, text, sizeof text);
    c->body_left = -1;
    c->head_len = 0;
    c->status = 0;
    c->step = WAITING;
    if (put(c, text, (size_t)len) != len)
        the.failed++;
}

/* ---- a connection ---- */

static void conn_closed(Conn *c)
{
    bool asked = c->step == WAITING || c->step == ASKING;
    if (c->step == CONNECTING || c->step == SHAKING)
        the.opening--;
    if (c->kind >= SLOW_HEAD)
        the.cut++;
    else if (asked || c->step == CONNECTING || c->step == SHAKING) {
        the.failed++;
        fprintf(stderr, "crowd: connection %d of kind %d ended in step %d with %zu bytes of a head behind %llu replies: %s\n", c->number,
                c->kind, c->step, c->head_len, (unsigned long long)c->replies, strerror(errno));
    }
    else
        the.closed_idle++;
    c->step = CLOSED;
    c->closed_s = now_s() - the.started_s;
    SSL_free(c->ssl);
    c->ssl = NULL;
    close(c->fd);
    c->fd = -1;
}

static void conn_ready(Conn *c)
{
    the.opening--;
    the.opened++;
    watch(c, c->kind == SLOW_REPLY ? EPOLLRDHUP : EPOLLIN);
    ask(c);
}

static void conn_open(int number)
{
    Conn *c = &the.conns[number];
    struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000101u + (unsigned)(number / PORTS_EACH)) };
    int on = 1, small = 4096;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        die("socket");
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (c->kind == SLOW_REPLY)
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    if (bind(c->fd, (struct sockaddr *)&from, sizeof from) != 0)
        die("bind");
    if (connect(c->fd, (struct sockaddr *)&the.to, sizeof the.to) != 0 && errno != EINPROGRESS)
        die("connect");
    c->number = number;
    c->step = CONNECTING;
    the.opening++;
    struct epoll_event event = { .events = EPOLLOUT, .data.ptr = c };
    if (epoll_ctl(the.epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0)
        die("epoll_ctl");
}

static void shake(Conn *c)
{
    int done = SSL_connect(c->ssl);
    if (done == 1) {
        conn_ready(c);
        return;
    }
    int why = SSL_get_error(c->ssl, done);
    ERR_clear_error();
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
        watch(c, why == SSL_ERROR_WANT_READ ? EPOLLIN : EPOLLOUT);
    else
        conn_closed(c);
}

static void connected(Conn *c)
{
    int error = 0;
    socklen_t len = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
    if (error) {
        conn_closed(c);
    } else if (the.tls) {
        c->ssl = SSL_new(the.tls);
        SSL_set_fd(c->ssl, c->fd);
        c->step = SHAKING;
        shake(c);
    } else {
        conn_ready(c);
    }
}

/* The head's end: how much body follows. */
static void head_read(Conn *c, const char *end)
{
    const char *length = strcasestr(c->head, "\ncontent-length:");
    const char *close_word = strcasestr(c->head, "\nconnection: close");
    c->status = atoi(c->head + 9);
    c->body_left = length && length < end ? atoll(length + 16) : 0;
    c->last = close_word && close_word < end;
}

static void reply_over(Conn *c)
{
    c->replies++;
    c->step = RESTING;
    if (c->status == 200)
        the.ok++;
    else
        the.bad_status++;
    if (c->kind == ACTIVE && !c->last)
        ask(c);
}

static void bytes_take(Conn *c, const char *bytes, size_t len)
{
    if (c->body_left < 0) {
        size_t part = len < sizeof c->head - 1 - c->head_len ? len : sizeof c->head - 1 - c->head_len;
        memcpy(c->head + c->head_len, bytes, part);
        c->head_len += part;
        c->head[c->head_len] = 0;
        const char *end = strstr(c->head, "\r\n\r\n");
        if (!end)
            return;
        head_read(c, end);
        len = c->head_len - (size_t)(end + 4 - c->head);
    }
    c->body_left -= (long long)len;
    if (c->body_left <= 0 && c->step == WAITING)
        reply_over(c);
}

static void conn_event(Conn *c, uint32_t events)
{
    static char bytes[READ_BYTES];
    if (c->step == CONNECTING) {
        connected(c);
        return;
    }
    if (c->step == SHAKING) {
        shake(c);
        return;
    }
    if (c->kind == SLOW_REPLY) { /* read once a second, see trickle */
        if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
            conn_closed(c);
        return;
    }
    for (;;) {
        long got = get(c, bytes, sizeof bytes);
        if (got < 0)
            conn_closed(c);
        if (got <= 0)
            return;
        if (c->kind < SLOW_HEAD)
            bytes_take(c, bytes, (size_t)got);
        else
            c->status = c->status ? c->status : atoi(bytes + 9); /* 408, and the end comes */
    }
}

/* ---- slow ones: a byte a second ---- */

static void trickle(void)
{
    char byte;
    for (int i = 0; i < the.next; i++) {
        Conn *c = &the.conns[i];
        if (c->step != WAITING || c->kind < SLOW_HEAD)
            continue;
        long done = c->kind == SLOW_REPLY   ? recv(c->fd, &byte, 1, 0)
                    : c->kind == SLOW_CHUNK ? put(c, "1\r\nx\r\n", 6)
                                            : put(c, "x", 1);
        if (done < 0 && errno != EAGAIN)
            conn_closed(c);
        else if (c->kind == SLOW_REPLY && done == 0)
            conn_closed(c);
    }
}

/* ---- park and resume, one by one ---- */

static int blocking_open(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (struct sockaddr *)&the.to, sizeof the.to) != 0)
        die("connect");
    return fd;
}

/* One small reply; false: it is not there. */
static void one_reply(int fd, char *text, size_t cap)
{
    size_t len = 0;
    for (;;) {
        long got = recv(fd, text + len, cap - 1 - len, 0);
        if (got <= 0)
            die("a reply");
        len += (size_t)got;
        text[len] = 0;
        char *end = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "content-length:");
        if (end && length && len >= (size_t)(end + 4 - text) + (size_t)atol(length + 15))
            return;
    }
}

/* Parks on one connection and resumes from the other; how often it was not parked yet. */
static uint64_t cycles_run(int parked, int waker, int times)
{
    static const char park[] = "GET /park/cycle HTTP/1.1\r\nHost: b\r\n\r\n";
    static const char resume[] = "POST /resume/cycle HTTP/1.1\r\nHost: b\r\nContent-Length: 0\r\n\r\n";
    char text[HEAD_MAX];
    uint64_t misses = 0;
    for (int i = 0; i < times; i++) {
        if (send(parked, park, sizeof park - 1, 0) < 0)
            die("park");
        for (;; misses++) {
            if (send(waker, resume, sizeof resume - 1, 0) < 0)
                die("resume");
            one_reply(waker, text, sizeof text);
            if (strstr(text, "\"resumed\": 1"))
                break;
        }
        one_reply(parked, text, sizeof text);
    }
    return misses;
}

/* On two connections of one loop, which takes the requests in their order: found by trying. */
static void pair_open(void)
{
    enum { PAIRS_MAX = 50, TRIAL = 100 };
    for (int i = 0; i < PAIRS_MAX; i++) {
        the.pair[0] = blocking_open();
        the.pair[1] = blocking_open();
        if (cycles_run(the.pair[0], the.pair[1], TRIAL) == 0)
            return;
        close(the.pair[0]);
        close(the.pair[1]);
    }
    die("no two connections of one loop");
}

static void cycle(int times)
{
    if (!the.pair[0])
        pair_open();
    printf("{\"ready\":true}\n");
    fflush(stdout);
    char line[16];
    if (!fgets(line, sizeof line, stdin))
        exit(0);
    double began = now_s();
    uint64_t misses = cycles_run(the.pair[0], the.pair[1], times);
    printf("{\"cycles\":%d,\"misses\":%llu,\"s\":%.6f}\n", times, (unsigned long long)misses, now_s() - began);
}

static void wake_all(void)
{
    int waker = blocking_open();
    char text[HEAD_MAX], ask_text[128];
    for (int i = 0; i < the.count; i++) {
        int len = snprintf(ask_text, sizeof ask_text, "POST /resume/p%d HTTP/1.1\r\nHost: b\r\nContent-Length: 0\r\n\r\n", i);
        for (int tries = 0; tries < 1000; tries++) { /* some may be on their way still */
            if (send(waker, ask_text, (size_t)len, 0) < 0)
                die("resume");
            one_reply(waker, text, sizeof text);
            if (strstr(text, "\"resumed\": 1"))
                break;
            usleep(5000);
        }
    }
    close(waker);
}

/* ---- the crowd ---- */

static void say_state(const char *what)
{
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    printf("{\"what\":\"%s\",\"s\":%.3f,\"opened\":%d,\"ok\":%llu,\"bad_status\":%llu,\"failed\":%llu,\"closed_idle\":%llu,\"cut\":%llu",
           what, now_s() - the.started_s, the.opened, (unsigned long long)the.ok, (unsigned long long)the.bad_status,
           (unsigned long long)the.failed, (unsigned long long)the.closed_idle, (unsigned long long)the.cut);
    for (int kind = SLOW_HEAD; the.mode[0] == 's' && kind <= SLOW_REPLY; kind++) {
        static const char *const names[] = { "heads", "bodies", "chunks", "replies" };
        double first = 1e9, last = 0;
        int open = 0;
        for (int i = 0; i < the.count; i++) {
            Conn *c = &the.conns[i];
            if (c->kind != (Kind)kind)
                continue;
            open += c->step != CLOSED;
            if (c->step == CLOSED && c->closed_s < first)
                first = c->closed_s;
            if (c->step == CLOSED && c->closed_s > last)
                last = c->closed_s;
        }
        printf(",\"%s\":{\"open\":%d,\"first_s\":%.1f,\"last_s\":%.1f}", names[kind - SLOW_HEAD], open, first < 1e9 ? first : 0, last);
    }
    printf("}\n");
    fflush(stdout);
}

static bool all_over(void)
{
    uint64_t settled = the.ok + the.bad_status + the.failed;
    switch (the.mode[0]) {
    case 'i':
        return settled >= (uint64_t)the.count;
    case 'd':
        return the.ok >= (uint64_t)(the.count + the.active);
    default:
        return the.opened + (int)the.failed >= the.count;
    }
}

static void command(void)
{
    char line[128];
    if (!fgets(line, sizeof line, stdin) || strncmp(line, "end", 3) == 0) {
        say_state("end");
        exit(0);
    }
    if (strncmp(line, "again", 5) == 0) {
        the.ok = 0;
        the.ready_said = false;
        for (int i = 0; i < the.count; i++) {
            if (the.conns[i].step == RESTING)
                ask(&the.conns[i]);
        }
    } else if (strncmp(line, "cycle ", 6) == 0) {
        cycle(atoi(line + 6));
        fflush(stdout);
    } else if (strncmp(line, "wake", 4) == 0) {
        wake_all();
        printf("{\"what\":\"woken\"}\n");
        fflush(stdout);
    } else if (strncmp(line, "state", 5) == 0) {
        say_state("state");
    }
}

static void setup(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: crowd idle|park|slow|drain ADDRESS:PORT COUNT [tls | ACTIVE | PATH]\n");
        exit(2);
    }
    char *colon = strrchr(argv[2], ':');
    *colon = 0;
    the.mode = argv[1];
    the.to = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(colon + 1)) };
    if (inet_pton(AF_INET, argv[2], &the.to.sin_addr) != 1)
        die(argv[2]);
    the.count = atoi(argv[3]);
    if (the.mode[0] == 'd')
        the.active = argc > 4 ? atoi(argv[4]) : 0;
    else if (the.mode[0] == 's')
        the.path = argc > 4 ? argv[4] : "/fixed";
    else if (argc > 4 && strcmp(argv[4], "tls") == 0)
        the.tls = SSL_CTX_new(TLS_client_method());
    if (the.tls)
        SSL_CTX_set_mode(the.tls, SSL_MODE_RELEASE_BUFFERS);
    int total = the.count + the.active;
    the.conns = calloc((size_t)total, sizeof *the.conns);
    for (int i = 0; i < total; i++) {
        static const Kind slow[SLOW_KINDS] = { SLOW_HEAD, SLOW_BODY, SLOW_CHUNK, SLOW_REPLY };
        the.conns[i].kind = the.mode[0] == 'i'   ? IDLE
                            : the.mode[0] == 'p' ? PARKED
                            : the.mode[0] == 's' ? slow[i % SLOW_KINDS]
                            : i < the.count      ? IDLE
                                                 : ACTIVE;
    }
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
    setup(argc, argv);
    int total = the.count + the.active;
    the.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct itimerspec each = { { 1, 0 }, { 1, 0 } };
    timerfd_settime(timer, 0, &each, NULL);
    struct epoll_event events[EVENTS_MAX] = { { .events = EPOLLIN, .data.fd = 0 } };
    Conn in = { .fd = 0 }, clock = { .fd = timer };
    events[0].data.ptr = &in;
    epoll_ctl(the.epoll_fd, EPOLL_CTL_ADD, 0, &events[0]);
    events[0].data.ptr = &clock;
    epoll_ctl(the.epoll_fd, EPOLL_CTL_ADD, timer, &events[0]);
    the.started_s = now_s();
    setvbuf(stdin, NULL, _IONBF, 0);
    for (;;) {
        while (the.next < total && the.opening < OPENING_MAX)
            conn_open(the.next++);
        if (!the.ready_said && all_over()) {
            the.ready_said = true;
            say_state("ready");
        }
        int count = epoll_wait(the.epoll_fd, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            Conn *c = events[i].data.ptr;
            uint64_t ticks;
            if (c == &in)
                command();
            else if (c == &clock && read(timer, &ticks, sizeof ticks) > 0)
                trickle();
            else if (c != &clock && c->step != CLOSED)
                conn_event(c, events[i].events);
        }
    }
}
