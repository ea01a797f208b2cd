/* Covers http2.c, http2_guard.c, http2_reply.c, http2_stream.c: a server with made-up handlers, nghttp2 as
 * the client. Frames that nghttp2 would not send are in tests/h2. */
#include "front/http/http2_priv.h"

#include "base/test.h"
#include "front/http/http_duplex.h"

#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STREAMS_MAX = 1200, WAIT_MS = 10000, ROUND_MS = 5, LARGE = 3 << 20 };

/* ---- the server ---- */

typedef struct Door {
    HttpServer *server;
    NetAddress address;
    atomic_int entered, frees, cancels;
    Mutex mutex; /* guards what follows */
    Cond changed;
    bool gate;
} Door;

static void gate_open(Door *door)
{
    MUTEX_HELD(&door->mutex);
    door->gate = true;
    cond_broadcast(&door->changed);
}

static void gate_await(HttpReq *r)
{
    Door *door = http_req_context(r);
    atomic_fetch_add(&door->entered, 1);
    MUTEX_HELD(&door->mutex);
    for (int i = 0; i < WAIT_MS / 10 && !door->gate; i++)
        IGNORE(cond_wait_us(&door->changed, &door->mutex, 10 * 1000)); /* looked at again */
}

static void fixed_end(HttpReq *r)
{
    http_reply_header(r, "X-Mixed-Case", STR("Kept As Is"));
    http_reply_header(r, "Connection", STR("close"));
    http_reply(r, 200, "text/plain", str_format(http_req_arena(r), STR_FMT "|" STR_FMT,
                                                STR_ARG(http_req_header(r, "host")),
                                                STR_ARG(http_req_header(r, "cookie"))));
}

static void echo_end(HttpReq *r)
{
    http_reply(r, 200, NULL, http_req_body(r));
}

static void count_body(HttpReq *r, Str block)
{
    uint64_t sum = (uint64_t)(uintptr_t)http_req_user(r);
    for (size_t i = 0; i < block.len; i++)
        sum = sum * 31 + (unsigned char)block.ptr[i];
    http_req_set_user(r, (void *)(uintptr_t)sum);
}

static void count_end(HttpReq *r)
{
    http_reply(r, 200, NULL, str_format(http_req_arena(r), "%llu %llu", (unsigned long long)http_req_body_bytes(r),
                                        (unsigned long long)(uintptr_t)http_req_user(r)));
}

static void count_free(HttpReq *r)
{
    atomic_fetch_add(&((Door *)http_req_context(r))->frees, 1);
}

static void cancelled(void *arg)
{
    atomic_fetch_add(&((Door *)arg)->cancels, 1);
}

static void wait_end(HttpReq *r)
{
    http_req_on_cancel(r, cancelled, http_req_context(r));
    gate_await(r);
    http_req_on_cancel(r, NULL, NULL);
    http_reply(r, 200, NULL, STR("waited"));
}

static Code bytes_pull(void *self, Buf *out, HttpPullState *ret_state, Err *err)
{
    size_t *left = self;
    if (*left == 13)
        return err_set(err, E_IO, "the source broke");
    size_t part = MIN(*left, (size_t)100000);
    buf_put_zeros(out, part);
    *left -= part;
    *ret_state = *left > 0 ? HTTP_PULL_MORE : HTTP_PULL_END;
    return E_OK;
}

static void bytes_end(HttpReq *r)
{
    static const HttpPull pull = { bytes_pull, NULL };
    int64_t wanted = 0;
    size_t *left = arena_alloc(http_req_arena(r), sizeof *left);
    IGNORE(str_i64(http_req_arg(r, "n"), &wanted)); /* 0 else */
    *left = (size_t)wanted;
    http_reply_stream(r, 200, NULL, -1, &pull, left);
}

static void trailers_end(HttpReq *r)
{
    http_reply_trailer(r, "X-Sum", http_req_trailer(r, "x-sum"));
    http_reply(r, 200, NULL, http_req_body(r));
}

static size_t talk_in(void *self, Str bytes)
{
    http_duplex_send(self, bytes);
    return bytes.len;
}

static void talk_ended(void *self)
{
    http_duplex_send(self, STR("bye"));
    http_duplex_end(self);
}

static void talk_closed(void *self)
{
    atomic_fetch_add(&((Door *)http_req_context(self))->frees, 1);
}

static void talk_end(HttpReq *r)
{
    static const HttpDuplex duplex = { .bytes_in = talk_in, .ended = talk_ended, .closed = talk_closed };
    if (http_req_upgrades(r, "websocket"))
        http_reply_duplex(r, 200, &duplex, r);
    else
        http_reply(r, 400, NULL, STR("no upgrade"));
}

static const HttpRoute routes[] = {
    { "GET", "/fixed", "fixed", .on_end = fixed_end },
    { "POST", "/echo", "echo", .body_max = 8 << 20, .on_end = echo_end },
    { "POST", "/count", "count", .lane = HTTP_ON_IO_WORKER, .body_max = 1 << 30, .on_body = count_body,
      .on_end = count_end, .on_free = count_free },
    { "POST", "/late", "late", .lane = HTTP_ON_IO_WORKER, .body_max = 1 << 30, .on_head = gate_await,
      .on_body = count_body, .on_end = count_end, .on_free = count_free },
    { "GET", "/wait", "wait", .lane = HTTP_ON_IO_WORKER, .on_end = wait_end, .on_free = count_free },
    { "GET", "/bytes/{n}", "bytes", .on_end = bytes_end },
    { "GET", "/work/{n}", "work", .lane = HTTP_ON_IO_WORKER, .on_end = bytes_end },
    { "POST", "/trailers", "trailers", .on_end = trailers_end },
    { "GET", "/ws", "ws", .on_end = talk_end },
};

static void door_open(Door *door, HttpOptions options)
{
    memset(door, 0, sizeof *door);
    mutex_init(&door->mutex);
    cond_init(&door->changed);
    Err err;
    err_clear(&err);
    options.os = os_real();
    options.listen = STR("127.0.0.1:0");
    options.routes = routes;
    options.route_count = ARRAY_LEN(routes);
    options.context = door;
    options.loops = 1;
    CHECK_OK(http_server_start(&options, &door->server, &err), &err);
    CHECK_OK(net_address_parse(http_server_address(door->server), &door->address, &err), &err);
}

static void door_close(Door *door)
{
    gate_open(door);
    http_server_free(&door->server);
    cond_done(&door->changed);
    mutex_done(&door->mutex);
}

/* ---- the client ---- */

typedef struct Answer {
    int status;
    Buf body, fields, trailers;
    uint64_t body_bytes;
    bool closed, reset;
    uint32_t code;
    Str send;         /* what is still to be sent */
    bool holds, trails; /* holds: no END_STREAM behind `send`; trails: trailers do */
} Answer;

typedef struct Client {
    int fd;
    nghttp2_session *session;
    Answer answers[STREAMS_MAX]; /* of stream 1 + 2 * index */
    int goaways, last_goaway;
    uint32_t goaway_code;
    bool gone, keeps_body;
    uint64_t windows; /* WINDOW_UPDATE frames of streams */
} Client;

static Answer *answer_of(Client *c, int32_t stream)
{
    return &c->answers[stream / 2];
}

static ssize_t client_send(nghttp2_session *session, const uint8_t *bytes, size_t len, int flags, void *user)
{
    (void)session, (void)flags;
    ssize_t sent = send(((Client *)user)->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? NGHTTP2_ERR_WOULDBLOCK : sent;
}

static int client_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                         const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
    Answer *a = answer_of(user, frame->hd.stream_id);
    Buf *to = a->status >= 200 && frame->headers.cat == NGHTTP2_HCAT_HEADERS ? &a->trailers : &a->fields;
    int64_t status = 0;
    (void)session, (void)flags;
    if (name_len == 7 && memcmp(name, ":status", 7) == 0 && str_i64(str_of(value, value_len), &status))
        a->status = (int)status;
    buf_format(to, "%.*s: %.*s\n", (int)name_len, (const char *)name, (int)value_len, (const char *)value);
    return 0;
}

static int client_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *bytes, size_t len,
                       void *user)
{
    Answer *a = answer_of(user, stream);
    (void)session, (void)flags;
    a->body_bytes += len;
    if (((Client *)user)->keeps_body)
        buf_put(&a->body, str_of(bytes, len));
    return 0;
}

static int client_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    Client *c = user;
    (void)session;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        c->goaways++;
        c->last_goaway = frame->goaway.last_stream_id;
        c->goaway_code = frame->goaway.error_code;
    }
    if (frame->hd.type == NGHTTP2_RST_STREAM)
        answer_of(c, frame->hd.stream_id)->reset = true;
    if (frame->hd.type == NGHTTP2_WINDOW_UPDATE && frame->hd.stream_id > 0)
        c->windows++;
    return 0;
}

static int client_closed(nghttp2_session *session, int32_t stream, uint32_t code, void *user)
{
    Answer *a = answer_of(user, stream);
    (void)session;
    a->closed = true;
    a->code = code;
    return 0;
}

static ssize_t client_body(nghttp2_session *session, int32_t stream, uint8_t *bytes, size_t len, uint32_t *flags,
                           nghttp2_data_source *source, void *user)
{
    Answer *a = source->ptr;
    size_t part = MIN(len, a->send.len);
    (void)user;
    if (part == 0 && a->holds)
        return NGHTTP2_ERR_DEFERRED;
    memcpy(bytes, a->send.ptr, part);
    a->send = str_from(a->send, part);
    if (a->send.len == 0 && !a->holds)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (a->send.len == 0 && a->trails) {
        nghttp2_nv sum = { (uint8_t *)"x-sum", (uint8_t *)"42", 5, 2, 0 };
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        CHECK_INT(nghttp2_submit_trailer(session, stream, &sum, 1), 0);
    }
    return (ssize_t)part;
}

static void client_open(Client *c, const Door *door, uint32_t window, bool opens_windows)
{
    nghttp2_session_callbacks *calls;
    nghttp2_option *option = NULL;
    nghttp2_settings_entry settings[] = { { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window } };
    memset(c, 0, sizeof *c);
    for (size_t i = 0; i < STREAMS_MAX; i++) {
        buf_init(&c->answers[i].body, 16 << 20);
        buf_init(&c->answers[i].fields, 64 << 10);
        buf_init(&c->answers[i].trailers, 64 << 10);
    }
    CHECK_INT(net_connect(&door->address, WAIT_MS, &c->fd, NULL), E_OK);
    CHECK(nghttp2_session_callbacks_new(&calls) == 0 && nghttp2_option_new(&option) == 0);
    nghttp2_session_callbacks_set_send_callback(calls, client_send);
    nghttp2_session_callbacks_set_on_header_callback(calls, client_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, client_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(calls, client_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(calls, client_closed);
    nghttp2_option_set_no_auto_window_update(option, !opens_windows);
    CHECK_INT(nghttp2_session_client_new2(&c->session, calls, c, option), 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(calls);
    CHECK_INT(nghttp2_submit_settings(c->session, 0, settings, 1), 0);
    CHECK_INT(nghttp2_session_set_local_window_size(c->session, 0, 0, 1 << 24), 0);
}

static void client_close(Client *c)
{
    for (size_t i = 0; i < STREAMS_MAX; i++) {
        buf_done(&c->answers[i].body);
        buf_done(&c->answers[i].fields);
        buf_done(&c->answers[i].trailers);
    }
    nghttp2_session_del(c->session);
    net_close(&c->fd);
}

static Answer *ask(Client *c, const char *method, const char *path, Str body, const char *name, const char *value)
{
    nghttp2_nv list[] = {
        { (uint8_t *)":method", (uint8_t *)method, 7, strlen(method), 0 },
        { (uint8_t *)":scheme", (uint8_t *)"http", 7, 4, 0 },
        { (uint8_t *)":path", (uint8_t *)path, 5, strlen(path), 0 },
        { (uint8_t *)":authority", (uint8_t *)"lake.example", 10, 12, 0 },
        { (uint8_t *)name, (uint8_t *)value, name ? strlen(name) : 0, value ? strlen(value) : 0, 0 },
    };
    int32_t next = (int32_t)nghttp2_session_get_next_stream_id(c->session);
    Answer *a = answer_of(c, next);
    nghttp2_data_provider provider = { .source.ptr = a, .read_callback = client_body };
    a->send = body;
    CHECK_INT(nghttp2_submit_request(c->session, NULL, list, name ? 5 : 4, body.ptr ? &provider : NULL, NULL), next);
    return a;
}

/* One round of sending and receiving; false: nothing came. */
static bool turn(Client *c, int wait_ms)
{
    static uint8_t bytes[1 << 18];
    IGNORE(nghttp2_session_send(c->session)); /* a broken connection shows below */
    struct pollfd wait = { c->fd, (short)(POLLIN | (nghttp2_session_want_write(c->session) ? POLLOUT : 0)), 0 };
    if (c->gone || poll(&wait, 1, wait_ms) <= 0)
        return false;
    ssize_t got = (wait.revents & (POLLIN | POLLHUP | POLLERR)) ? recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT) : -2;
    c->gone = got == 0 || (got == -1);
    if (got > 0)
        CHECK_INT(nghttp2_session_mem_recv(c->session, bytes, (size_t)got), got);
    IGNORE(nghttp2_session_send(c->session)); /* the same */
    return true;
}

/* Gives up after WAIT_MS in which nothing came. */
#define PUMP_UNTIL(client, condition)                                                              \
    do {                                                                                           \
        for (int quiet_ = 0; !(condition) && !(client)->gone && quiet_ < WAIT_MS / ROUND_MS;)      \
            quiet_ = turn((client), ROUND_MS) ? 0 : quiet_ + 1;                                    \
        CHECK(condition);                                                                          \
    } while (0)

static Client *client_new(const Door *door, uint32_t window, bool opens_windows)
{
    Client *c = malloc(sizeof *c);
    client_open(c, door, window, opens_windows);
    return c;
}

static void client_free(Client *c)
{
    client_close(c);
    free(c);
}

static char *large_new(size_t size, uint64_t *ret_sum)
{
    char *bytes = malloc(size);
    *ret_sum = 0;
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (char)(i * 2654435761u >> 24);
        *ret_sum = *ret_sum * 31 + (unsigned char)bytes[i];
    }
    return bytes;
}

/* ---- cases ---- */

TEST(http2_reply_has_its_fields)
{
    Door door;
    door_open(&door, (HttpOptions){ 0 });
    Client *c = client_new(&door, 65535, true);
    c->keeps_body = true;
    Answer *a = ask(c, "GET", "/fixed", STR_NONE, "cookie", "a=1"), *head = ask(c, "HEAD", "/fixed", STR_NONE, NULL, NULL);
    PUMP_UNTIL(c, a->closed && head->closed);
    CHECK_INT(a->status, 200);
    CHECK_STR(buf_str(&a->body), STR("lake.example|a=1"));
    CHECK(str_find(buf_str(&a->fields), STR("x-mixed-case: Kept As Is\n")) > 0);
    CHECK(str_find(buf_str(&a->fields), STR("content-length: 16\n")) > 0);
    CHECK(str_find(buf_str(&a->fields), STR("connection:")) < 0);
    CHECK_INT(head->status, 200);
    CHECK_INT(head->body_bytes, 0);
    client_free(c);
    door_close(&door);
}

TEST(http2_heads_that_are_none_are_counted)
{
    Door door;
    HttpRouteStats stats;
    door_open(&door, (HttpOptions){ 0 });
    Client *c = client_new(&door, 65535, true);
    Answer *a = ask(c, "GET", "/fixed", STR_NONE, "expect", "200-ok"), *b = ask(c, "GROW", "/fixed", STR_NONE, NULL, NULL);
    PUMP_UNTIL(c, a->closed && b->closed);
    CHECK_INT(a->status, 417);
    CHECK_INT(b->status, 501);
    http_server_route_stats(door.server, SIZE_MAX, &stats);
    CHECK_INT(stats.by_class[4], 1);
    CHECK_INT(stats.by_class[5], 1);
    client_free(c);
    door_close(&door);
}

TEST(http2_bodies_pass_whole_in_every_lane)
{
    Door door;
    uint64_t sum;
    char *bytes = large_new(LARGE, &sum), wanted[64];
    door_open(&door, (HttpOptions){ 0 });
    Client *c = client_new(&door, 65535, true);
    c->keeps_body = true;
    Answer *echo = ask(c, "POST", "/echo", str_of(bytes, LARGE), NULL, NULL);
    Answer *count = ask(c, "POST", "/count", str_of(bytes, LARGE), "content-length", "3145728");
    Answer *pulled = ask(c, "GET", "/bytes/5000000", STR_NONE, NULL, NULL);
    Answer *worked = ask(c, "GET", "/work/5000000", STR_NONE, NULL, NULL);
    PUMP_UNTIL(c, echo->closed && count->closed && pulled->closed && worked->closed);
    CHECK_INT(echo->body.len, LARGE);
    CHECK(echo->body.len == LARGE && memcmp(echo->body.ptr, bytes, LARGE) == 0);
    snprintf(wanted, sizeof wanted, "%d %llu", LARGE, (unsigned long long)sum);
    CHECK_STR(buf_str(&count->body), str_z(wanted));
    CHECK_INT(pulled->body_bytes, 5000000);
    CHECK_INT(worked->body_bytes, 5000000);
    client_free(c);
    door_close(&door);
    free(bytes);
}

TEST(http2_window_opens_when_the_handler_has_consumed)
{
    Door door;
    uint64_t sum;
    char *bytes = large_new(LARGE, &sum);
    LimitStats stats;
    door_open(&door, (HttpOptions){ 0 });
    Client *c = client_new(&door, 65535, true);
    Answer *a = ask(c, "POST", "/late", str_of(bytes, LARGE), NULL, NULL), *other;
    PUMP_UNTIL(c, a->send.len <= LARGE - H2_STREAM_WINDOW && atomic_load(&door.entered) == 1);
    other = ask(c, "GET", "/fixed", STR_NONE, NULL, NULL);
    PUMP_UNTIL(c, other->closed); /* behind all DATA: it has been kept */
    CHECK_INT(LARGE - a->send.len, H2_STREAM_WINDOW);
    CHECK_INT(c->windows, 0);
    limits_stats(policy_limits(http_server_policy(door.server)), &stats);
    CHECK(stats.bytes >= H2_STREAM_WINDOW - 65536);
    gate_open(&door);
    PUMP_UNTIL(c, a->closed);
    CHECK_INT(a->status, 200);
    limits_stats(policy_limits(http_server_policy(door.server)), &stats);
    CHECK_INT(stats.bytes, 0);
    client_free(c);
    door_close(&door);
    CHECK_INT(atomic_load(&door.frees), 1);
    free(bytes);
}

TEST(http2_trailers_go_both_ways)
{
    Door door;
    door_open(&door, (HttpOptions){ 0 });
    Client *c = client_new(&door, 65535, true);
    c->keeps_body = true;
    Answer *a = ask(c, "POST", "/trailers", STR("body"), "te", "trailers");
    a->trails = true;
    PUMP_UNTIL(c, a->closed);
    CHECK_STR(buf_str(&a->body), STR("body"));
    CHECK_STR(buf_str(&a->trailers), STR("x-sum: 42\n"));
    client_free(c);
    door_close(&door);
}

TEST(http2_extended_connect_is_a_duplex)
{
    Door door;
    door_open(&door, (HttpOptions){ 0 });
    Client *c = client_new(&door, 65535, true);
    c->keeps_body = true;
    PUMP_UNTIL(c, nghttp2_session_get_remote_settings(c->session, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1);
    Answer *a = ask(c, "CONNECT", "/ws", STR("hello"), ":protocol", "websocket");
    Answer *plain = ask(c, "GET", "/ws", STR_NONE, NULL, NULL);
    a->holds = true;
    PUMP_UNTIL(c, a->body.len == 5 && plain->closed);
    CHECK_INT(a->status, 200);
    CHECK_INT(plain->status, 400);
    a->holds = false;
    CHECK_INT(nghttp2_session_resume_data(c->session, 1), 0);
    PUMP_UNTIL(c, a->closed);
    CHECK_STR(buf_str(&a->body), STR("hellobye"));
    Answer *cut = ask(c, "CONNECT", "/ws", STR("x"), ":protocol", "websocket");
    cut->holds = true;
    PUMP_UNTIL(c, cut->body.len == 1);
    client_free(c); /* the connection goes: `closed` comes all the same */
    door_close(&door);
    CHECK_INT(atomic_load(&door.frees), 2);
}

TEST(http2_reply_that_breaks_is_reset)
{
    Door door;
    door_open(&door, (HttpOptions){ 0 });
    Client *c = client_new(&door, 65535, true);
    Answer *broken = ask(c, "GET", "/bytes/300013", STR_NONE, NULL, NULL), *after;
    PUMP_UNTIL(c, broken->closed);
    CHECK_INT(broken->code, NGHTTP2_INTERNAL_ERROR);
    CHECK_INT(broken->body_bytes, 300000);
    after = ask(c, "GET", "/fixed", STR_NONE, NULL, NULL);
    PUMP_UNTIL(c, after->closed);
    CHECK_INT(after->status, 200);
    client_free(c);
    door_close(&door);
}

TEST(http2_requests_outlive_their_streams_and_sockets)
{
    Door door;
    door_open(&door, (HttpOptions){ 0 });
    Client *c = client_new(&door, 65535, true);
    ask(c, "GET", "/wait", STR_NONE, NULL, NULL);
    ask(c, "GET", "/wait", STR_NONE, NULL, NULL);
    Answer *fixed = ask(c, "GET", "/fixed", STR_NONE, NULL, NULL);
    PUMP_UNTIL(c, fixed->closed && atomic_load(&door.entered) == 2);
    CHECK_INT(nghttp2_submit_rst_stream(c->session, 0, 1, NGHTTP2_CANCEL), 0);
    fixed = ask(c, "GET", "/fixed", STR_NONE, NULL, NULL);
    PUMP_UNTIL(c, fixed->closed && atomic_load(&door.cancels) == 1);
    client_free(c);
    for (int i = 0; i < WAIT_MS && atomic_load(&door.cancels) < 2; i++)
        poll(NULL, 0, 1); /* until the server has seen that the socket is gone */
    CHECK_INT(atomic_load(&door.cancels), 2);
    CHECK_INT(atomic_load(&door.frees), 0);
    door_close(&door);
    CHECK_INT(atomic_load(&door.frees), 2);
}

TEST(http2_thousand_streams_in_a_row)
{
    Door door;
    door_open(&door, (HttpOptions){ 0 });
    Client *c = client_new(&door, 65535, true);
    for (int i = 0; i < 1000; i++) {
        Answer *a = ask(c, i % 2 ? "POST" : "GET", i % 2 ? "/echo" : "/fixed", i % 2 ? STR("body") : STR_NONE, NULL, NULL);
        while (!a->closed && turn(c, WAIT_MS)) {
        }
        if (a->status != 200)
            test_failed(__FILE__, __LINE__, "stream %d has the status %d", 1 + 2 * i, a->status);
    }
    CHECK_INT(c->goaways, 0);
    client_free(c);
    door_close(&door);
}

TEST(http2_drain_says_goaway_twice_and_ends_what_runs)
{
    Door door;
    door_open(&door, (HttpOptions){ 0 });
    Client *c = client_new(&door, 65535, true);
    Answer *a = ask(c, "GET", "/wait", STR_NONE, NULL, NULL);
    PUMP_UNTIL(c, atomic_load(&door.entered) == 1);
    CHECK(!http_server_drain(door.server, 0));
    PUMP_UNTIL(c, c->goaways == 1);
    CHECK_INT(c->last_goaway, INT32_MAX);
    PUMP_UNTIL(c, c->goaways == 2);
    CHECK_INT(c->last_goaway, 1);
    CHECK_INT(c->goaway_code, NGHTTP2_NO_ERROR);
    gate_open(&door);
    PUMP_UNTIL(c, a->closed);
    CHECK_INT(a->status, 200);
    PUMP_UNTIL(c, c->gone);
    CHECK(http_server_drain(door.server, WAIT_MS));
    client_free(c);
    door_close(&door);
}

TEST(http2_idle_connection_gets_goaway)
{
    Door door;
    door_open(&door, (HttpOptions){ .idle_ms_max = 50 });
    Client *c = client_new(&door, 65535, true);
    Answer *a = ask(c, "GET", "/fixed", STR_NONE, NULL, NULL);
    PUMP_UNTIL(c, c->gone);
    CHECK_INT(a->status, 200);
    CHECK_INT(c->goaways, 1);
    CHECK_INT(c->goaway_code, NGHTTP2_NO_ERROR);
    client_free(c);
    door_close(&door);
}

TEST(http2_stalled_reply_is_reset_alone)
{
    Door door;
    LimitStats stats;
    door_open(&door, (HttpOptions){ .rate_window_ms = 50 });
    Client *c = client_new(&door, 1000, false);
    Answer *a = ask(c, "GET", "/bytes/5000000", STR_NONE, NULL, NULL), *b;
    PUMP_UNTIL(c, a->closed);
    CHECK_INT(a->status, 200);
    CHECK_INT(a->code, NGHTTP2_CANCEL);
    CHECK_INT(a->body_bytes, 1000);
    b = ask(c, "GET", "/fixed", STR_NONE, NULL, NULL);
    PUMP_UNTIL(c, b->closed);
    CHECK_INT(b->status, 200);
    limits_stats(policy_limits(http_server_policy(door.server)), &stats);
    CHECK_INT(stats.bytes, 0);
    client_free(c);
    door_close(&door);
}

/* Windows of nothing: statuses come, bodies are not made, and go on when there is room. */
TEST(http2_shut_windows_hold_no_blocks)
{
    enum { STREAMS = 100, BYTES = 500000 };
    Door door;
    LimitStats stats;
    door_open(&door, (HttpOptions){ 0 });
    Client *c = client_new(&door, 0, true);
    Answer *answers[STREAMS];
    for (size_t i = 0; i < STREAMS; i++)
        answers[i] = ask(c, "GET", i % 2 ? "/bytes/500000" : "/work/500000", STR_NONE, NULL, NULL);
    for (size_t i = 0; i < STREAMS; i++)
        PUMP_UNTIL(c, answers[i]->status == 200);
    limits_stats(policy_limits(http_server_policy(door.server)), &stats);
    CHECK_INT(stats.bytes, 0);
    nghttp2_settings_entry wider = { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 65535 };
    CHECK_INT(nghttp2_submit_settings(c->session, 0, &wider, 1), 0);
    for (size_t i = 0; i < STREAMS; i++) {
        PUMP_UNTIL(c, answers[i]->closed);
        CHECK_INT(answers[i]->body_bytes, BYTES);
    }
    client_free(c);
    door_close(&door);
}

TEST(http2_reply_is_charged_with_what_it_holds)
{
    enum { STREAMS = 20, BLOCK = 100000, WINDOW = 1000 };
    Door door;
    LimitStats stats = { 0 };
    HttpPolicy policy = { .limits = { .requests_an_address = 1000, .bytes_max = 1 << 30 } };
    door_open(&door, (HttpOptions){ .policy = &policy });
    Client *c = client_new(&door, WINDOW, false);
    Answer *answers[STREAMS];
    for (size_t i = 0; i < STREAMS; i++)
        answers[i] = ask(c, "GET", "/bytes/5000000", STR_NONE, NULL, NULL);
    for (size_t i = 0; i < STREAMS; i++)
        PUMP_UNTIL(c, answers[i]->body_bytes == WINDOW);
    PUMP_UNTIL(c, (limits_stats(policy_limits(http_server_policy(door.server)), &stats),
                   stats.bytes == STREAMS * (BLOCK - WINDOW)));
    for (size_t i = 0; i < STREAMS; i++)
        CHECK_INT(nghttp2_submit_rst_stream(c->session, 0, (int32_t)(1 + 2 * i), NGHTTP2_CANCEL), 0);
    PUMP_UNTIL(c, (limits_stats(policy_limits(http_server_policy(door.server)), &stats), stats.bytes == 0));
    client_free(c);
    door_close(&door);
}

TEST(http2_reply_that_never_had_a_window_is_reset)
{
    Door door;
    door_open(&door, (HttpOptions){ .rate_window_ms = 50 });
    Client *c = client_new(&door, 0, false);
    Answer *a = ask(c, "GET", "/work/5000000", STR_NONE, NULL, NULL);
    PUMP_UNTIL(c, a->closed);
    CHECK_INT(a->status, 200);
    CHECK_INT(a->code, NGHTTP2_CANCEL);
    CHECK_INT(a->body_bytes, 0);
    client_free(c);
    door_close(&door);
}

TEST(http2_slow_body_is_408)
{
    Door door;
    door_open(&door, (HttpOptions){ .rate_window_ms = 50 });
    Client *c = client_new(&door, 65535, true);
    Answer *a = ask(c, "POST", "/count", STR("begin"), NULL, NULL);
    a->holds = true;
    PUMP_UNTIL(c, a->closed);
    CHECK_INT(a->status, 408);
    client_free(c);
    door_close(&door);
    CHECK_INT(atomic_load(&door.frees), 1);
}

/* What a raw client hears until the server closes; the code of the last GOAWAY, -1: none. */
static int raw_goaway(const Door *door, Str bytes)
{
    static uint8_t heard[65536];
    size_t len = 0;
    int fd = -1, code = -1;
    CHECK_INT(net_connect(&door->address, WAIT_MS, &fd, NULL), E_OK);
    CHECK_INT(send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL), (ssize_t)bytes.len);
    for (ssize_t got = 1; got > 0 && len < sizeof heard; len += got > 0 ? (size_t)got : 0)
        got = recv(fd, heard + len, sizeof heard - len, 0);
    for (size_t at = 0; at + 9 <= len;) {
        H2FrameHead head = h2_frame_head((const char *)heard + at);
        if (head.type == NGHTTP2_GOAWAY && at + 17 <= len)
            code = heard[at + 16];
        at += 9 + head.length;
    }
    net_close(&fd);
    return code;
}

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define SETTINGS_FRAME "\0\0\0\4\0\0\0\0\0"

TEST(http2_heads_have_a_deadline)
{
    static const char no_end[] = PREFACE SETTINGS_FRAME "\0\0\1\1\1\0\0\0\1\x82"; /* no END_HEADERS */
    static const char half[] = PREFACE SETTINGS_FRAME "\0\0\5\1\5\0\0\0\1\x82";
    Door door;
    door_open(&door, (HttpOptions){ .head_ms_max = 50, .idle_ms_max = 100 });
    CHECK_INT(raw_goaway(&door, str_of(no_end, sizeof no_end - 1)), NGHTTP2_ENHANCE_YOUR_CALM);
    CHECK_INT(raw_goaway(&door, str_of(half, sizeof half - 1)), NGHTTP2_ENHANCE_YOUR_CALM);
    CHECK_INT(raw_goaway(&door, str_of(PREFACE, 10)), -1);                         /* no HTTP/2 yet */
    door_close(&door);
}

/* Requests that run on behind resets count among the streams of a connection. */
TEST(http2_reset_requests_that_run_count)
{
    Door door;
    door_open(&door, (HttpOptions){ 0 });
    Client *c = client_new(&door, 65535, true);
    for (int i = 0; i < H2_STREAMS_MAX; i++) {
        ask(c, "GET", "/wait", STR_NONE, NULL, NULL);
        turn(c, 0);
        CHECK_INT(nghttp2_submit_rst_stream(c->session, 0, 1 + 2 * i, NGHTTP2_CANCEL), 0);
    }
    Answer *refused = ask(c, "GET", "/fixed", STR_NONE, NULL, NULL);
    PUMP_UNTIL(c, refused->closed);
    CHECK_INT(refused->code, NGHTTP2_REFUSED_STREAM);
    gate_open(&door);
    for (int i = 0; i < WAIT_MS && atomic_load(&door.frees) < H2_STREAMS_MAX; i++)
        poll(NULL, 0, 1); /* until they have ended */
    Answer *taken = ask(c, "GET", "/fixed", STR_NONE, NULL, NULL);
    PUMP_UNTIL(c, taken->closed);
    CHECK_INT(taken->status, 200);
    client_free(c);
    door_close(&door);
}

TEST(http2_bucket_gives_tokens_back)
{
    H2Bucket bucket = { 0 };
    for (int i = 0; i < 10; i++)
        CHECK(h2_bucket_take(&bucket, 1000, 10, 2));
    CHECK(!h2_bucket_take(&bucket, 1000, 10, 2));
    CHECK(!h2_bucket_take(&bucket, 400000, 10, 2));
    CHECK(h2_bucket_take(&bucket, 600000, 10, 2));
    CHECK(!h2_bucket_take(&bucket, 600000, 10, 2));
    CHECK(h2_bucket_take(&bucket, 3600000000, 10, 2));
    CHECK_INT(bucket.left, 9);
}
