/* The handlers and the client of http2_rig.h. */
#include "front/http/http2_rig.h"

#include "front/http/http_duplex.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* ---- the server ---- */

void rig_gate_open(RigDoor *door)
{
    MUTEX_HELD(&door->mutex);
    door->gate = true;
    cond_broadcast(&door->changed);
}

static void gate_await(HttpReq *r)
{
    RigDoor *door = http_req_context(r);
    atomic_fetch_add(&door->entered, 1);
    MUTEX_HELD(&door->mutex);
    for (int i = 0; i < RIG_WAIT_MS / 10 && !door->gate; i++)
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
    atomic_fetch_add(&((RigDoor *)http_req_context(r))->frees, 1);
}

static void cancelled(void *arg)
{
    atomic_fetch_add(&((RigDoor *)arg)->cancels, 1);
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
    atomic_fetch_add(&((RigDoor *)http_req_context(self))->frees, 1);
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

void rig_door_open(RigDoor *door, HttpOptions options)
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

void rig_door_close(RigDoor *door)
{
    rig_gate_open(door);
    http_server_free(&door->server);
    cond_done(&door->changed);
    mutex_done(&door->mutex);
}

/* ---- the client ---- */

static RigAnswer *answer_of(RigClient *c, int32_t stream)
{
    return &c->answers[stream / 2];
}

static ssize_t client_send(nghttp2_session *session, const uint8_t *bytes, size_t len, int flags, void *user)
{
    (void)session, (void)flags;
    ssize_t sent = send(((RigClient *)user)->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? NGHTTP2_ERR_WOULDBLOCK : sent;
}

static int client_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                         const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
    RigAnswer *a = answer_of(user, frame->hd.stream_id);
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
    RigAnswer *a = answer_of(user, stream);
    (void)session, (void)flags;
    a->body_bytes += len;
    if (((RigClient *)user)->keeps_body)
        buf_put(&a->body, str_of(bytes, len));
    return 0;
}

static int client_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    RigClient *c = user;
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
    RigAnswer *a = answer_of(user, stream);
    (void)session;
    a->closed = true;
    a->code = code;
    return 0;
}

static ssize_t client_body(nghttp2_session *session, int32_t stream, uint8_t *bytes, size_t len, uint32_t *flags,
                           nghttp2_data_source *source, void *user)
{
    RigAnswer *a = source->ptr;
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

static void client_open(RigClient *c, const RigDoor *door, uint32_t window, bool opens_windows)
{
    nghttp2_session_callbacks *calls;
    nghttp2_option *option = NULL;
    nghttp2_settings_entry settings[] = { { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window } };
    memset(c, 0, sizeof *c);
    for (size_t i = 0; i < RIG_STREAMS_MAX; i++) {
        buf_init(&c->answers[i].body, 16 << 20);
        buf_init(&c->answers[i].fields, 64 << 10);
        buf_init(&c->answers[i].trailers, 64 << 10);
    }
    CHECK_INT(net_connect(&door->address, RIG_WAIT_MS, &c->fd, NULL), E_OK);
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

static void client_close(RigClient *c)
{
    for (size_t i = 0; i < RIG_STREAMS_MAX; i++) {
        buf_done(&c->answers[i].body);
        buf_done(&c->answers[i].fields);
        buf_done(&c->answers[i].trailers);
    }
    nghttp2_session_del(c->session);
    net_close(&c->fd);
}

RigAnswer *rig_ask(RigClient *c, const char *method, const char *path, Str body, const char *name, const char *value)
{
    nghttp2_nv list[] = {
        { (uint8_t *)":method", (uint8_t *)method, 7, strlen(method), 0 },
        { (uint8_t *)":scheme", (uint8_t *)"http", 7, 4, 0 },
        { (uint8_t *)":path", (uint8_t *)path, 5, strlen(path), 0 },
        { (uint8_t *)":authority", (uint8_t *)"lake.example", 10, 12, 0 },
        { (uint8_t *)name, (uint8_t *)value, name ? strlen(name) : 0, value ? strlen(value) : 0, 0 },
    };
    int32_t next = (int32_t)nghttp2_session_get_next_stream_id(c->session);
    RigAnswer *a = answer_of(c, next);
    nghttp2_data_provider provider = { .source.ptr = a, .read_callback = client_body };
    a->send = body;
    CHECK_INT(nghttp2_submit_request(c->session, NULL, list, name ? 5 : 4, body.ptr ? &provider : NULL, NULL), next);
    return a;
}

/* One round of sending and receiving; false: nothing came. */
bool rig_turn(RigClient *c, int wait_ms)
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

RigClient *rig_client_new(const RigDoor *door, uint32_t window, bool opens_windows)
{
    RigClient *c = malloc(sizeof *c);
    client_open(c, door, window, opens_windows);
    return c;
}

void rig_client_free(RigClient *c)
{
    client_close(c);
    free(c);
}

char *rig_large_new(size_t size, uint64_t *ret_sum)
{
    char *bytes = malloc(size);
    *ret_sum = 0;
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (char)(i * 2654435761u >> 24);
        *ret_sum = *ret_sum * 31 + (unsigned char)bytes[i];
    }
    return bytes;
}
