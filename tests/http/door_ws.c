/* The WebSocket routes of the test door: each shows one thing that ws.h promises.
 *
 *   /ws                echo; messages of 16 MiB, compressed where the client offers it
 *   /ws/{kind}         small: the defaults, 100 fragments, no compression
 *                      forgets, wide: compressed without a window, with the largest ones
 *                      quick: pings after 200 ms, waits 300 ms for an answer to a close frame
 *                      idle: closed after 300 ms without a message
 *                      origin: only for pages of https://a.example
 *                      command: a text is a command, see command_run
 *   /ws-closed         the last codes that handlers saw, newest first, a line each */
#include "door.h"

#include "front/ws/ws.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENDS_KEPT = 32, END_TEXT_MAX = 160, COUNT_MAX = 10000000 };

/* ---- what handlers saw ---- */

static pthread_mutex_t ends_mutex = PTHREAD_MUTEX_INITIALIZER;
static char ends[ENDS_KEPT][END_TEXT_MAX]; /* under ends_mutex */
static size_t ends_count;

static void end_note(Ws *ws, uint16_t code, Str reason)
{
    pthread_mutex_lock(&ends_mutex);
    Str path = http_req_target(ws_req(ws));
    snprintf(ends[ends_count++ % ENDS_KEPT], END_TEXT_MAX, "%u " STR_FMT " " STR_FMT, code,
             STR_ARG(path), STR_ARG(reason));
    pthread_mutex_unlock(&ends_mutex);
}

static void ends_reply(HttpReq *r)
{
    Buf out AUTO(buf_done);
    buf_init(&out, ENDS_KEPT * END_TEXT_MAX);
    pthread_mutex_lock(&ends_mutex);
    for (size_t i = 0; i < MIN(ends_count, (size_t)ENDS_KEPT); i++)
        buf_format(&out, "%s\n", ends[(ends_count - 1 - i) % ENDS_KEPT]);
    pthread_mutex_unlock(&ends_mutex);
    http_reply(r, 200, "text/plain", buf_str(&out));
}

/* ---- echo ---- */

static void echo_message(Ws *ws, WsOpcode kind, Str bytes)
{
    ws_send(ws, kind, bytes);
}

static const WsHandlers echo_handlers = { .message = echo_message, .closed = end_note };

/* ---- commands ---- */

typedef struct Flood {
    uint32_t left; /* messages of a flood still to send */
    uint32_t len;
    char *bytes;
    LoopTimer wakes; /* ends a rest */
    Ws *ws;
} Flood;

static void flood_go(Ws *ws)
{
    Flood *flood = ws_self(ws);
    while (flood->left > 0 && ws_queued(ws) < WS_QUEUE_BYTES) {
        flood->left--;
        ws_send(ws, WS_BINARY, str_of(flood->bytes, flood->len));
    }
}

static void wake(LoopTimer *timer)
{
    Flood *flood = (Flood *)((char *)timer - offsetof(Flood, wakes));
    ws_rest(flood->ws, false);
}

/* `flood COUNT LEN`: sends as the client takes. `pour COUNT LEN`: sends at once, whatever waits. `close
 * CODE TEXT`, `ping TEXT`, `rest MS`: reads nothing for so long. `cut N LEN`... anything else is echoed. */
static void command_run(Ws *ws, WsOpcode kind, Str bytes)
{
    Flood *flood = ws_self(ws);
    char text[END_TEXT_MAX];
    unsigned count, len;
    int at = 0;
    snprintf(text, sizeof text, STR_FMT, STR_ARG(bytes));
    if (sscanf(text, "flood %u %u", &count, &len) == 2 && len < COUNT_MAX) {
        flood->left = count;
        flood->len = len;
        free(flood->bytes);
        flood->bytes = calloc(1, len + 1);
        flood_go(ws);
    } else if (sscanf(text, "pour %u %u", &count, &len) == 2 && len < COUNT_MAX) {
        char *zeros = calloc(1, len + 1);
        for (unsigned i = 0; i < count; i++)
            ws_send(ws, WS_BINARY, str_of(zeros, len));
        free(zeros);
    } else if (sscanf(text, "close %u %n", &count, &at) == 1) {
        ws_close(ws, (uint16_t)count, str_z(text + at));
        ws_send(ws, WS_TEXT, STR("behind the close frame"));
    } else if (str_starts(bytes, STR("ping "))) {
        ws_ping(ws, str_from(bytes, 5));
    } else if (sscanf(text, "rest %u", &count) == 1) {
        ws_rest(ws, true);
        flood->ws = ws;
        flood->wakes.fire = wake;
        loop_timer_set(http_req_loop(ws_req(ws)), &flood->wakes, count);
    } else {
        ws_send(ws, kind, bytes);
    }
}

static void command_closed(Ws *ws, uint16_t code, Str reason)
{
    Flood *flood = ws_self(ws);
    loop_timer_stop(http_req_loop(ws_req(ws)), &flood->wakes);
    end_note(ws, code, reason);
    free(flood->bytes);
    free(flood);
}

static const WsHandlers command_handlers = { .message = command_run,
                                             .writable = flood_go,
                                             .closed = command_closed };

/* ---- routes ---- */

static const Str subprotocols[] = { STR_INIT("graphql-transport-ws"), STR_INIT("echo.tarn") };
static const Str origins[] = { STR_INIT("https://a.example"), STR_INIT("https://b.example:8443") };

typedef struct Kind {
    const char *name;
    WsOptions options;
} Kind;

static const Kind kinds[] = {
    { "", { .handlers = &echo_handlers, .subprotocols = subprotocols, .subprotocol_count = ARRAY_LEN(subprotocols),
            .message_max = 16 << 20, .queue_max = 64 << 20, .deflate = true } },
    { "small", { .handlers = &echo_handlers, .fragments_max = 100 } },
    { "forgets", { .handlers = &echo_handlers, .deflate = true, .deflate_forgets = true } },
    { "wide", { .handlers = &echo_handlers, .deflate = true, .deflate_bits = 15, .message_max = 16 << 20 } },
    { "quick", { .handlers = &echo_handlers, .ping_ms = 500, .close_ms = 300 } },
    { "idle", { .handlers = &echo_handlers, .idle_ms = 1200, .close_ms = 300 } },
    { "origin", { .handlers = &echo_handlers, .origins = origins, .origin_count = ARRAY_LEN(origins) } },
    { "command", { .handlers = &command_handlers, .close_ms = 300, .queue_max = 8 << 20 } },
};

static void ws_route(HttpReq *r)
{
    Str name = http_req_arg(r, "kind");
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (!str_eq(str_z(kinds[i].name), name))
            continue;
        Flood *flood = kinds[i].options.handlers == &command_handlers ? calloc(1, sizeof *flood) : NULL;
        if (!ws_accept(r, &kinds[i].options, flood))
            free(flood);
        return;
    }
    Err err;
    IGNORE(err_set(&err, E_NOT_FOUND, "no such kind")); /* sent */
    http_reply_problem(r, &err);
}

static const HttpRoute routes[] = {
    { "GET", "/ws", "ws", .on_end = ws_route },
    { "GET", "/ws/{kind}", "wsKind", .on_end = ws_route },
    { "GET", "/ws-closed", "wsClosed", .on_end = ends_reply },
};

DoorRoutes door_ws_routes(void)
{
    return (DoorRoutes){ routes, ARRAY_LEN(routes) };
}
