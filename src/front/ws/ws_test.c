/* ws.c and ws_handshake.c over a real server on loopback. */
#include "front/http/http_fake.h"
#include "front/ws/ws.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static atomic_int closed_calls, closed_code, message_calls;

static void echo(Ws *ws, WsOpcode kind, Str bytes)
{
    atomic_fetch_add(&message_calls, 1);
    if (str_eq(bytes, STR("leave")))
        ws_close(ws, 4000, STR("asked"));
    for (int i = 0; str_eq(bytes, STR("pour")) && i < 100; i++)
        ws_send(ws, WS_BINARY, bytes);
    ws_send(ws, kind, bytes);
}

static void closed(Ws *ws, uint16_t code, Str reason)
{
    CHECK(ws_req(ws) && reason.len <= WS_CONTROL_MAX);
    atomic_store(&closed_code, code);
    atomic_fetch_add(&closed_calls, 1);
}

static const WsHandlers handlers = { .message = echo, .closed = closed };
static const Str subprotocols[] = { STR_INIT("one"), STR_INIT("two") }, origins[] = { STR_INIT("https://a") };
static const WsOptions plain = { .handlers = &handlers, .subprotocols = subprotocols, .subprotocol_count = 2,
                                 .origins = origins, .origin_count = 1, .deflate = true, .close_ms = 200 };
static const WsOptions narrow = { .handlers = &handlers, .queue_max = 50 };
static const WsOptions quick = { .handlers = &handlers, .ping_ms = 30 };
static const WsOptions idle = { .handlers = &handlers, .idle_ms = 30, .close_ms = 30 };

static void ws_plain(HttpReq *r)
{
    IGNORE(ws_accept(r, &plain, NULL)); /* refused or not, it is replied */
}
static void ws_narrow(HttpReq *r)
{
    IGNORE(ws_accept(r, &narrow, NULL));
}
static void ws_quick(HttpReq *r)
{
    IGNORE(ws_accept(r, &quick, NULL));
}
static void ws_idle(HttpReq *r)
{
    IGNORE(ws_accept(r, &idle, NULL));
}

static const HttpRoute routes[] = {
    { "GET", "/ws", "ws", .on_end = ws_plain },
    { "POST", "/ws", "wsPost", .on_end = ws_plain },
    { "GET", "/narrow", "narrow", .on_end = ws_narrow },
    { "GET", "/quick", "quick", .on_end = ws_quick },
    { "GET", "/idle", "idle", .on_end = ws_idle },
};

static void begin(Fake *fake)
{
    Err err;
    *fake = (Fake){ 0 };
    atomic_store(&closed_calls, 0);
    HttpOptions options = { .os = os_real(), .listen = STR("127.0.0.1:0"), .routes = routes,
                            .route_count = ARRAY_LEN(routes), .loops = 1, .io_workers = 1, .query_workers = 1 };
    CHECK_OK(http_server_start(&options, &fake->server, &err), &err);
    CHECK_OK(net_address_parse(http_server_address(fake->server), &fake->address, &err), &err);
}

#define HEAD "Host: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define V13 "Sec-WebSocket-Version: 13\r\n"
#define SHAKE HEAD KEY V13 "\r\n"
#define MASK_NONE "\0\0\0\0" /* a mask is asked for, any mask is one */

TEST(ws_handshakes_are_judged)
{
    static const struct {
        const char *head;
        int status;
        const char *wanted; /* stands in the reply */
    } rows[] = {
        { "GET /ws HTTP/1.1\r\n" SHAKE, 101, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" },
        { "GET /ws HTTP/1.1\r\n" SHAKE, 101, "Upgrade: websocket\r\nConnection: Upgrade\r\n" },
        { "GET /ws HTTP/1.1\r\n" HEAD KEY V13 "Sec-WebSocket-Protocol: x, two, one\r\n\r\n", 101,
          "Sec-WebSocket-Protocol: two\r\n" },
        { "GET /ws HTTP/1.1\r\n" HEAD KEY V13 "Sec-WebSocket-Protocol: x\r\nSec-WebSocket-Protocol: one\r\n\r\n", 101,
          "Sec-WebSocket-Protocol: one\r\n" },
        { "GET /ws HTTP/1.1\r\n" HEAD KEY V13 "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n", 101,
          "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=12\r\n" },
        { "GET /ws HTTP/1.1\r\n" HEAD KEY V13 "Origin: https://A\r\n\r\n", 101, "" },
        { "GET /ws HTTP/1.1\r\n" HEAD KEY V13 "Origin: https://b\r\n\r\n", 403, "" },
        { "GET /ws HTTP/1.1\r\n" HEAD KEY V13 "Sec-WebSocket-Protocol: a b\r\n\r\n", 400, "" },
        { "GET /ws HTTP/1.1\r\n" HEAD KEY V13 "Sec-WebSocket-Extensions: a;\r\n\r\n", 400, "" },
        { "GET /ws HTTP/1.1\r\n" HEAD KEY "\r\n", 426, "Sec-WebSocket-Version: 13\r\n" },
        { "GET /ws HTTP/1.1\r\n" HEAD KEY "Sec-WebSocket-Version: 8\r\n\r\n", 426, "Upgrade: websocket\r\n" },
        { "GET /ws HTTP/1.1\r\n" HEAD KEY V13 V13 "\r\n", 426, "" },
        { "GET /ws HTTP/1.1\r\n" HEAD V13 "\r\n", 400, "" },
        { "GET /ws HTTP/1.1\r\n" HEAD KEY KEY V13 "\r\n", 400, "" },
        { "GET /ws HTTP/1.1\r\n" HEAD V13 "Sec-WebSocket-Key: dGhlIHNhbXBsZQ==\r\n\r\n", 400, "" },
        { "GET /ws HTTP/1.1\r\n" HEAD V13 "Sec-WebSocket-Key: !GhlIHNhbXBsZSBub25jZQ==\r\n\r\n", 400, "" },
        { "GET /ws HTTP/1.1\r\n" HEAD KEY V13 "Content-Length: 2\r\n\r\nab", 400, "" },
        { "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n" KEY V13 "\r\n", 426, "Upgrade: websocket\r\n" },
        { "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n" KEY V13 "\r\n", 426, "" },
        { "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n" KEY V13 "\r\n", 426, "" },
        { "GET /ws HTTP/1.0\r\n" SHAKE, 426, "" },
        { "POST /ws HTTP/1.1\r\n" SHAKE, 405, "" },
    };
    Fake fake;
    begin(&fake);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        int fd = fake_connect(&fake);
        fake_say(fd, str_z(rows[i].head));
        shutdown(fd, SHUT_WR);
        Str reply = fake_hear_all(fd, &arena);
        if (fake_status(reply) != rows[i].status || str_find(reply, str_z(rows[i].wanted)) < 0)
            test_failed(__FILE__, __LINE__, "row %zu: " STR_FMT, i, STR_ARG(reply));
        close(fd);
    }
    fake_end(&fake);
}

/* Says the frames, hears until the server closes, gives what follows the head. */
static Str talk(const Fake *fake, const char *path, Str frames, Arena *arena)
{
    int fd = fake_connect(fake);
    Str head = str_format(arena, "GET %s HTTP/1.1\r\n" SHAKE, path);
    fake_say(fd, head);
    fake_say(fd, frames);
    Str all = fake_hear_all(fd, arena);
    close(fd);
    CHECK_INT(fake_status(all), 101);
    return str_from(all, (size_t)str_find(all, STR("\r\n\r\n")) + 4);
}

TEST(ws_talks)
{
    static const struct {
        const char *path;
        Str says, hears;
        int code;
    } rows[] = {
        { "/ws", STR_INIT("\x81\x85" MASK_NONE "Hello\x88\x80" MASK_NONE), STR_INIT("\x81\x05Hello\x88\x00"), 1005 },
        { "/ws", STR_INIT("\x89\x81" MASK_NONE "p\x88\x82" MASK_NONE "\x03\xe8"), STR_INIT("\x8a\x01p\x88\x02\x03\xe8"), 1000 },
        { "/ws", STR_INIT("\x81\x05Hello"), STR_INIT("\x88\x18\x03\xea" "a frame is not masked"), 1002 },
        { "/ws", STR_INIT("\x81\x81" MASK_NONE "\xff"), STR_INIT("\x88\x19\x03\xef" "a text that is not UTF-8"), 1007 },
        /* the server says goodbye, what comes before the answer is dropped */
        { "/ws", STR_INIT("\x81\x85" MASK_NONE "leave\x81\x81" MASK_NONE "x\x88\x82" MASK_NONE "\x0f\xa0"),
          STR_INIT("\x88\x07\x0f\xa0" "asked"), 4000 },
        /* and is not answered */
        { "/ws", STR_INIT("\x81\x85" MASK_NONE "leave"), STR_INIT("\x88\x07\x0f\xa0" "asked"), 1006 },
        { "/quick", STR_INIT(""), STR_INIT("\x89\x00"), 1006 },
        { "/idle", STR_INIT(""), STR_INIT("\x88\x06\x03\xe8" "idle"), 1006 },
    };
    Fake fake;
    begin(&fake);
    atomic_store(&message_calls, 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        Str heard = talk(&fake, rows[i].path, rows[i].says, &arena);
        size_t head = rows[i].hears.len > 1 ? 2 : 0; /* the reason's words may change */
        if (!str_eq(str_from(heard, head), str_from(rows[i].hears, head)))
            test_failed(__FILE__, __LINE__, "row %zu: '" STR_FMT "' of %zu bytes", i, STR_ARG(heard), heard.len);
        while (atomic_load(&closed_calls) <= (int)i)
            usleep(1000);
        CHECK_INT(atomic_load(&closed_code), rows[i].code);
    }
    fake_end(&fake);
    CHECK_INT(atomic_load(&closed_calls), (int)ARRAY_LEN(rows));
    CHECK_INT(atomic_load(&message_calls), 3); /* not the one behind our close frame */
}

TEST(ws_queue_has_a_maximum)
{
    Arena arena AUTO(arena_done) = { 0 };
    Fake fake;
    begin(&fake);
    Str heard = talk(&fake, "/narrow", STR("\x81\x84" MASK_NONE "pour"), &arena);
    CHECK(heard.len < 100); /* cut: nothing of 600 bytes, or what was on its way */
    fake_end(&fake);
    CHECK_INT(atomic_load(&closed_code), WS_ABNORMAL);
}

/* A client that does not answer the close frame is cut when close_ms are over. */
TEST(ws_drain_says_goodbye)
{
    Arena arena AUTO(arena_done) = { 0 };
    Fake fake;
    begin(&fake);
    int fd = fake_connect(&fake);
    fake_say(fd, STR("GET /ws HTTP/1.1\r\n" SHAKE "\x81\x82" MASK_NONE "hi"));
    char last[4] = { 0 };
    while (memcmp(last, "\x81\x02hi", 4) != 0) {
        memmove(last, last + 1, 3);
        if (recv(fd, last + 3, 1, 0) != 1)
            break;
    }
    CHECK(http_server_drain(fake.server, 5000));
    Str rest = fake_hear_all(fd, &arena);
    CHECK(rest.len > 4 && rest.ptr[0] == '\x88' && rest.ptr[2] == 0x03 && rest.ptr[3] == '\xe9');
    close(fd);
    fake_end(&fake);
    CHECK_INT(atomic_load(&closed_calls), 1);
    CHECK_INT(atomic_load(&closed_code), WS_ABNORMAL);
}
