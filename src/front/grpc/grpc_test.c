/* grpc.c, grpc_call.c and grpc_health.c over a real server on loopback, nghttp2 as the client. */
#include "base/test.h"
#include "front/grpc/grpc_health.h"
#include "os/net.h"

#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CALLS_MAX = 64, WAIT_MS = 20000, GOT_MAX = 64 << 20, TICK_US = 500 };

/* ---- the server: bytes for messages ---- */

static atomic_int begun, freed, cancelled, running;

static void call_begun(GrpcCall *call)
{
    atomic_fetch_add(&begun, grpc_method(call) != NULL);
}

static void call_cancel(GrpcCall *call)
{
    atomic_fetch_add(&cancelled, grpc_cancelled(call));
}

static void call_freed(GrpcCall *call)
{
    atomic_fetch_add(&freed, 1);
    free(grpc_self(call));
}

static void echo(GrpcCall *call, Str message)
{
    if (str_eq(message, STR("fail"))) {
        Err err;
        IGNORE(err_set(&err, E_NOT_FOUND, "no 100%% of it")); /* sent */
        grpc_trailer(call, "X-Data-Bin", STR("\x01\x02"));
        grpc_finish_err(call, &err);
        return;
    }
    grpc_send(call, message);
    grpc_finish(call, GRPC_OK, STR_NONE);
}

/* `count N`: N messages of 1,000 bytes. */
static void count_message(GrpcCall *call, Str message)
{
    uint64_t *left = calloc(1, sizeof *left);
    CHECK(str_u64(message, left));
    grpc_set_self(call, left);
}

static void count_room(GrpcCall *call)
{
    static const char zeros[1000];
    uint64_t *left = grpc_self(call);
    while (*left > 0 && grpc_wants(call)) {
        grpc_send(call, str_of(zeros, sizeof zeros));
        (*left)--;
    }
    if (*left == 0)
        grpc_finish(call, GRPC_OK, STR_NONE);
}

static void sum_message(GrpcCall *call, Str message)
{
    uint64_t *sum = grpc_self(call);
    if (!sum)
        grpc_set_self(call, sum = calloc(1, sizeof *sum));
    *sum += message.len;
}

static void sum_ended(GrpcCall *call)
{
    uint64_t *sum = grpc_self(call);
    grpc_send(call, str_format(grpc_arena(call), "%llu", (unsigned long long)(sum ? *sum : 0)));
    grpc_finish(call, GRPC_OK, STR_NONE);
}

static void chat_message(GrpcCall *call, Str message)
{
    grpc_send(call, message);
}

static void chat_ended(GrpcCall *call)
{
    grpc_finish(call, GRPC_OK, STR_NONE);
}

static void sleep_message(GrpcCall *call, Str message)
{
    atomic_fetch_add(&running, 1);
    while (!grpc_cancelled(call))
        usleep(TICK_US);
    grpc_send(call, message);
    grpc_finish(call, GRPC_OK, STR_NONE);
}

#define LIFE .begun = call_begun, .cancel = call_cancel, .freed = call_freed

static const GrpcMethod methods[] = {
    { "/t.T/Echo", GRPC_UNARY, .message = echo, LIFE },
    { "/t.T/EchoLater", GRPC_UNARY, .on_worker = true, .message = echo, LIFE },
    { "/t.T/Count", GRPC_SERVER_STREAM, .message = count_message, .room = count_room, LIFE },
    { "/t.T/CountLater", GRPC_SERVER_STREAM, .on_worker = true, .message = count_message, .room = count_room, LIFE },
    { "/t.T/Sum", GRPC_CLIENT_STREAM, .message = sum_message, .ended = sum_ended, LIFE },
    { "/t.T/SumLater", GRPC_CLIENT_STREAM, .on_worker = true, .message = sum_message, .ended = sum_ended, LIFE },
    { "/t.T/Chat", GRPC_BIDI, .message = chat_message, .ended = chat_ended, LIFE },
    { "/t.T/ChatLater", GRPC_BIDI, .on_worker = true, .message = chat_message, .ended = chat_ended, LIFE },
    { "/t.T/Sleep", GRPC_UNARY, .on_worker = true, .message = sleep_message, LIFE },
};

static void route(HttpReq *r)
{
    grpc_accept(r, methods, ARRAY_LEN(methods), http_req_context(r));
}

static GrpcHealth *health; /* of the case that runs */

static void health_route(HttpReq *r)
{
    grpc_health_accept(health, r);
}

static const HttpRoute routes[] = {
    { "POST", GRPC_HEALTH_PATH, "health", .body_max = GRPC_BODY_MAX, .on_head = health_route, .on_end = health_route },
    { "POST", "/t.T/{method}", "t", .body_max = GRPC_BODY_MAX, .on_head = route, .on_end = route },
};

static HttpServer *server_begin(NetAddress *ret_address)
{
    Err err;
    HttpServer *server = NULL;
    HttpOptions options = { .os = os_real(), .listen = STR("127.0.0.1:0"), .routes = routes,
                            .route_count = ARRAY_LEN(routes), .loops = 2, .io_workers = 4, .query_workers = 1 };
    CHECK_OK(http_server_start(&options, &server, &err), &err);
    CHECK_OK(net_address_parse(http_server_address(server), ret_address, &err), &err);
    return server;
}

/* ---- the client ---- */

typedef struct Call {
    Buf says, hears;
    size_t said;
    bool half; /* does not end its side */
    bool over;
    uint32_t reset;
    char status[8], text[64], data_bin[16];
    bool trailers_only, headed;
} Call;

typedef struct Client {
    int fd;
    nghttp2_session *session;
    Call calls[CALLS_MAX];
    size_t count;
} Client;

static Call *call_at(Client *client, int32_t stream)
{
    return &client->calls[(stream - 1) / 2];
}

static ssize_t on_send(nghttp2_session *session, const uint8_t *bytes, size_t len, int flags, void *user)
{
    Client *client = user;
    ssize_t put = send(client->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
    return session && flags >= 0 && put > 0 ? put : NGHTTP2_ERR_WOULDBLOCK;
}

static ssize_t on_read(nghttp2_session *session, int32_t stream, uint8_t *to, size_t len, uint32_t *flags,
                       nghttp2_data_source *source, void *user)
{
    Call *call = source->ptr;
    size_t count = MIN(len, call->says.len - call->said);
    if (count > 0)
        memcpy(to, call->says.ptr + call->said, count);
    call->said += count;
    if (call->said == call->says.len && !call->half)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return count == 0 && call->half && session && user && stream ? NGHTTP2_ERR_DEFERRED : (ssize_t)count;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
    Call *call = call_at(user, frame->hd.stream_id);
    Str key = str_of(name, name_len);
    char *to = str_eq(key, STR("grpc-status"))    ? call->status
               : str_eq(key, STR("grpc-message")) ? call->text
               : str_eq(key, STR("x-data-bin"))   ? call->data_bin
                                                  : NULL;
    if (to == call->status)
        call->trailers_only = !call->headed;
    if (to && session && flags != 255)
        memcpy(to, value, MIN(value_len, to == call->text ? (size_t)63 : (size_t)7));
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    if (frame->hd.type == NGHTTP2_HEADERS && session)
        call_at(user, frame->hd.stream_id)->headed = true;
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *bytes, size_t len, void *user)
{
    if (session && flags != 255)
        buf_put(&call_at(user, stream)->hears, str_of(bytes, len));
    return 0;
}

static int on_close(nghttp2_session *session, int32_t stream, uint32_t code, void *user)
{
    call_at(user, stream)->over = session != NULL;
    call_at(user, stream)->reset = code;
    return 0;
}

static void client_begin(Client *client, const NetAddress *address)
{
    nghttp2_session_callbacks *calls;
    Err err;
    *client = (Client){ .fd = -1 };
    CHECK_OK(net_connect(address, WAIT_MS, &client->fd, &err), &err);
    nghttp2_session_callbacks_new(&calls);
    nghttp2_session_callbacks_set_send_callback(calls, on_send);
    nghttp2_session_callbacks_set_on_header_callback(calls, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(calls, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(calls, on_close);
    CHECK_INT(nghttp2_session_client_new(&client->session, calls, client), 0);
    nghttp2_session_callbacks_del(calls);
    nghttp2_submit_settings(client->session, NGHTTP2_FLAG_NONE, NULL, 0);
}

static void client_end(Client *client)
{
    nghttp2_session_del(client->session);
    close(client->fd);
    for (size_t i = 0; i < client->count; i++) {
        buf_done(&client->calls[i].says);
        buf_done(&client->calls[i].hears);
    }
}

static nghttp2_nv nv(const char *name, const char *value)
{
    return (nghttp2_nv){ (uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value),
                         NGHTTP2_NV_FLAG_NONE };
}

/* `says` is the framed messages. */
static Call *call_begin(Client *client, const char *path, const char *timeout, Str says, bool half)
{
    nghttp2_nv fields[] = { nv(":method", "POST"), nv(":scheme", "http"), nv(":path", path), nv(":authority", "x"),
                            nv("content-type", "application/grpc"), nv("te", "trailers"), nv("grpc-timeout", timeout) };
    Call *call = &client->calls[client->count++];
    buf_init(&call->says, GOT_MAX);
    buf_init(&call->hears, GOT_MAX);
    buf_put(&call->says, says);
    call->half = half;
    nghttp2_data_provider provider = { .source.ptr = call, .read_callback = on_read };
    CHECK(nghttp2_submit_request(client->session, NULL, fields, ARRAY_LEN(fields), &provider, NULL) > 0);
    return call;
}

/* Until every call is over; false: the connection ended before. */
static bool client_run(Client *client, bool (*enough)(Client *client))
{
    static uint8_t bytes[64 << 10];
    while (!enough(client)) {
        nghttp2_session_send(client->session);
        bool writes = nghttp2_session_want_write(client->session);
        struct pollfd poll_fd = { client->fd, (short)(POLLIN | (writes ? POLLOUT : 0)), 0 };
        if (poll(&poll_fd, 1, 20) < 0)
            return false;
        ssize_t got = recv(client->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (got == 0 || (got > 0 && nghttp2_session_mem_recv(client->session, bytes, (size_t)got) != got))
            return false;
    }
    return true;
}

static bool all_over(Client *client)
{
    size_t over = 0;
    for (size_t i = 0; i < client->count; i++)
        over += client->calls[i].over;
    return over == client->count;
}

static bool some_run(Client *client)
{
    return client && atomic_load(&running) >= 4;
}

static bool all_freed(void)
{
    for (int i = 0; i < WAIT_MS && atomic_load(&freed) != atomic_load(&begun); i++)
        usleep(1000);
    return atomic_load(&freed) == atomic_load(&begun);
}

#define M(len, bytes) "\0\0\0\0" len bytes

TEST(grpc_calls_of_every_kind)
{
    static const struct {
        const char *path;
        Str says, hears;
        const char *status;
    } rows[] = {
        { "/t.T/Echo", STR_INIT(M("\5", "hello")), STR_INIT(M("\5", "hello")), "0" },
        { "/t.T/EchoLater", STR_INIT(M("\5", "hello")), STR_INIT(M("\5", "hello")), "0" },
        { "/t.T/Echo", STR_INIT(M("\4", "fail")), STR_INIT(""), "5" },
        { "/t.T/EchoLater", STR_INIT(M("\4", "fail")), STR_INIT(""), "5" },
        { "/t.T/Sum", STR_INIT(M("\1", "a") M("\3", "bcd")), STR_INIT(M("\1", "4")), "0" },
        { "/t.T/SumLater", STR_INIT(M("\1", "a") M("\3", "bcd")), STR_INIT(M("\1", "4")), "0" },
        { "/t.T/Sum", STR_INIT(""), STR_INIT(M("\1", "0")), "0" },
        { "/t.T/Chat", STR_INIT(M("\1", "a") M("\0", "") M("\3", "bcd")), STR_INIT(M("\1", "a") M("\0", "") M("\3", "bcd")), "0" },
        { "/t.T/ChatLater", STR_INIT(M("\1", "a") M("\0", "") M("\3", "bcd")), STR_INIT(M("\1", "a") M("\0", "") M("\3", "bcd")), "0" },
        { "/t.T/Count", STR_INIT(M("\1", "0")), STR_INIT(""), "0" },
        { "/t.T/Echo", STR_INIT(""), STR_INIT(""), "12" },
        { "/t.T/Echo", STR_INIT(M("\0", "") M("\0", "")), STR_INIT(""), "12" },
        { "/t.T/Echo", STR_INIT("\0\0\0"), STR_INIT(""), "13" },
        { "/t.T/Echo", STR_INIT("\1\0\0\0\0"), STR_INIT(""), "13" },
        { "/t.T/Echo", STR_INIT("\0\1\0\0\0"), STR_INIT(""), "8" },
        { "/t.T/Nothing", STR_INIT(""), STR_INIT(""), "12" },
    };
    NetAddress address;
    HttpServer *server = server_begin(&address);
    Client client;
    client_begin(&client, &address);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        IGNORE(call_begin(&client, rows[i].path, "10S", rows[i].says, false) == NULL);
    CHECK(client_run(&client, all_over));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Call *call = &client.calls[i];
        if (strcmp(call->status, rows[i].status) != 0 || !str_eq(buf_str(&call->hears), rows[i].hears))
            test_failed(__FILE__, __LINE__, "row %zu: status %s %s, %zu bytes, reset %u", i, call->status, call->text,
                        call->hears.len, call->reset);
    }
    CHECK(strcmp(client.calls[2].text, "no 100%25 of it") == 0 && strcmp(client.calls[2].data_bin, "AQI") == 0);
    CHECK(client.calls[15].trailers_only && !client.calls[0].trailers_only);
    client_end(&client);
    CHECK(all_freed());
    http_server_free(&server);
}

/* Several streams at once, more than the windows hold, from the loop and from workers. */
TEST(grpc_streams_are_whole)
{
    enum { MESSAGES = 3000, STREAMS = 8 };
    NetAddress address;
    HttpServer *server = server_begin(&address);
    Client client;
    client_begin(&client, &address);
    Buf lines AUTO(buf_done);
    buf_init(&lines, GOT_MAX);
    for (int i = 0; i < 1000; i++)
        grpc_frame_put(&lines, str_sub(STR("some words of a chat that goes on"), 0, (size_t)i % 30));
    for (int i = 0; i < STREAMS; i++) {
        IGNORE(call_begin(&client, i & 1 ? "/t.T/Count" : "/t.T/CountLater", "60S", STR(M("\4", "3000")), false) == NULL);
        IGNORE(call_begin(&client, i & 1 ? "/t.T/Chat" : "/t.T/ChatLater", "60S", buf_str(&lines), false) == NULL);
    }
    CHECK(client_run(&client, all_over));
    for (size_t i = 0; i < client.count; i++) {
        CHECK_INT(client.calls[i].hears.len, i & 1 ? lines.len : MESSAGES * 1005);
        CHECK(strcmp(client.calls[i].status, "0") == 0);
        if (i & 1)
            CHECK(str_eq(buf_str(&client.calls[i].hears), buf_str(&lines)));
    }
    client_end(&client);
    CHECK(all_freed());
    http_server_free(&server);
}

/* The trailers of a deadline come while its worker still runs; a client that goes cancels the rest. */
TEST(grpc_deadlines_and_clients_that_go)
{
    NetAddress address;
    HttpServer *server = server_begin(&address);
    Client client;
    atomic_store(&cancelled, 0);
    atomic_store(&running, 0);
    client_begin(&client, &address);
    for (int i = 0; i < 6; i++) /* two wait for a worker */
        IGNORE(call_begin(&client, "/t.T/Sleep", "200m", STR(M("\1", "x")), false) == NULL);
    IGNORE(call_begin(&client, "/t.T/Chat", "150m", STR(M("\1", "x")), true) == NULL);
    CHECK(client_run(&client, all_over));
    for (size_t i = 0; i < client.count; i++)
        CHECK(strcmp(client.calls[i].status, "4") == 0);
    client_end(&client);
    CHECK_INT(atomic_load(&cancelled), 7);
    CHECK(all_freed());
    atomic_store(&running, 0);
    client_begin(&client, &address);
    for (int i = 0; i < 6; i++)
        IGNORE(call_begin(&client, "/t.T/Sleep", "1H", STR(M("\1", "x")), i == 5) == NULL);
    CHECK(client_run(&client, some_run));
    client_end(&client);
    CHECK(all_freed());
    CHECK(atomic_load(&cancelled) >= 7 + 5);
    http_server_free(&server);
}

/* The server ends under calls that run, that wait and that stream. */
TEST(grpc_server_that_ends)
{
    NetAddress address;
    HttpServer *server = server_begin(&address);
    Client client;
    atomic_store(&running, 0);
    client_begin(&client, &address);
    for (int i = 0; i < 6; i++)
        IGNORE(call_begin(&client, "/t.T/Sleep", "1H", STR(M("\1", "x")), false) == NULL);
    IGNORE(call_begin(&client, "/t.T/ChatLater", "1H", STR(M("\1", "x")), true) == NULL);
    IGNORE(call_begin(&client, "/t.T/Count", "1H", STR(M("\7", "9000000")), false) == NULL);
    CHECK(client_run(&client, some_run));
    CHECK(!http_server_drain(server, 50));
    http_server_free(&server);
    client_end(&client);
    CHECK_INT(atomic_load(&freed), atomic_load(&begun));
}

static bool one_heard(Client *client)
{
    return client->calls[0].hears.len >= 7 || client->calls[0].over;
}

static bool two_heard(Client *client)
{
    return client->calls[0].hears.len >= 14 || client->calls[0].over;
}

/* A watcher hears each change from another thread; the server ends under it with a change on its way. */
TEST(grpc_health_is_watched)
{
    NetAddress address;
    Err err;
    health = grpc_health_new();
    CHECK_OK(grpc_health_set(health, STR("t.T"), GRPC_SERVING, &err), &err);
    HttpServer *server = server_begin(&address);
    Client client;
    client_begin(&client, &address);
    Call *watch = call_begin(&client, "/grpc.health.v1.Health/Watch", "1H", STR(M("\5", "\x0a\3t.T")), false);
    CHECK(client_run(&client, one_heard));
    CHECK_STR(buf_str(&watch->hears), STR(M("\2", "\x08\1")));
    CHECK_OK(grpc_health_set(health, STR("t.T"), GRPC_NOT_SERVING, &err), &err);
    CHECK(client_run(&client, two_heard));
    CHECK_STR(buf_str(&watch->hears), STR(M("\2", "\x08\1") M("\2", "\x08\2")));
    CHECK_OK(grpc_health_set(health, STR("t.T"), GRPC_SERVING, &err), &err);
    http_server_free(&server);
    client_end(&client);
    Code code = E_OK;
    for (int i = 0; i < GRPC_HEALTH_SERVICES_MAX && code == E_OK; i++) {
        char name[] = { 's', (char)('0' + i) };
        code = grpc_health_set(health, str_of(name, sizeof name), GRPC_SERVING, NULL);
    }
    CHECK(code == E_LIMIT);
    grpc_health_free(&health);
}
