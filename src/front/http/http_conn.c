/* One connection: which protocol it speaks, and its memory.
 *
 * Invariants:
 * 1. What a connection speaks is decided once: by ALPN, else by its first bytes.
 * 2. Its memory goes when it is asked for and nothing of the connection is running (`inside`). */
#include "front/http/http_priv.h"

#include <string.h>

enum {
    DRAIN_RECENT_US = 1000 * 1000, /* since the last request, or the accept */
    DRAIN_GRACE_MS = 300
};

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" /* RFC 9113 3.4 */

/* ---- before the first bytes ---- */

static const HttpTalk first_talk;

/* A first line of three words that no client of HTTP/1.1 sends: a preface gone wrong, which HTTP/2
 * answers by GOAWAY (RFC 9113 3.4). */
static bool preface_broken(Str bytes)
{
    Str rest = bytes, line, word[3] = { STR_NONE };
    if (str_find_char(bytes, '\r') < 0 || !str_split(&rest, '\r', &line))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(word); i++) {
        if (!str_split(&line, ' ', &word[i]) || word[i].len == 0)
            return false;
    }
    char second = word[1].ptr[0];
    return !line.ptr && !strchr("/*hH", second) && !str_starts(word[2], STR("HTTP/"));
}

static size_t first_bytes_in(HttpConn *conn, Str bytes)
{
    Str preface = STR(PREFACE);
    size_t common = MIN(bytes.len, preface.len);
    if (preface_broken(bytes))
        http2_open(conn);
    else if (!str_eq(str_sub(bytes, 0, common), str_sub(preface, 0, common)))
        http1_open(conn);
    else if (bytes.len >= preface.len)
        http2_open(conn);
    else if (!conn->head_begun) {
        conn->head_begun = true;
        loop_timer_set(loop_conn_loop(conn->conn), &conn->idle,
                       conn->room->server->options.head_ms_max);
    }
    return conn->talk == &first_talk ? 0 : conn->talk->bytes_in(conn, bytes);
}

static void first_ended(HttpConn *conn, bool all_read)
{
    (void)all_read;
    loop_conn_close(conn->conn);
}

/* A client that was heard lately may have its next request on the way: it gets a last chance. */
void conn_drain(HttpConn *conn)
{
    Loop *loop = loop_conn_loop(conn->conn);
    int64_t idle_us = (int64_t)conn->room->server->options.idle_ms_max * 1000;
    int64_t since_us = conn->idle.class_at ? loop_now_us(loop) - (conn->idle.due_us - idle_us) : INT64_MAX;
    if (since_us > DRAIN_RECENT_US)
        loop_conn_close(conn->conn);
    else
        loop_timer_set(loop, &conn->idle, DRAIN_GRACE_MS);
}

static void first_closed(HttpConn *conn)
{
    conn_free(conn);
}

static const HttpTalk first_talk = {
    .bytes_in = first_bytes_in,
    .ended = first_ended,
    .drain = conn_drain,
    .closed = first_closed,
};

/* ---- the row of the loop ---- */

static void idle_over(LoopTimer *timer)
{
    HttpConn *conn = (HttpConn *)((char *)timer - offsetof(HttpConn, idle));
    loop_conn_close(conn->conn);
}

static void *opened(LoopConn *loop_conn, void *context)
{
    Loop *loop = loop_conn_loop(loop_conn);
    HttpConn *conn = mem_new(sizeof *conn);
    const TlsInfo *tls = loop_conn_tls(loop_conn);
    conn->room = room_of(context, loop);
    conn->conn = loop_conn;
    conn->talk = &first_talk;
    conn->idle.fire = idle_over;
    loop_timer_set(loop, &conn->idle, conn->room->server->options.idle_ms_max);
    if (tls && str_eq(tls->alpn, STR("h2")))
        http2_open(conn);
    else if (tls && tls->alpn.len > 0)
        http1_open(conn);
    if (atomic_load_explicit(&conn->room->server->draining, memory_order_relaxed) && !conn->h2)
        conn_drain(conn); /* it waited while the listener closed */
    return conn;
}

void conn_free(HttpConn *conn)
{
    ASSERT(!conn->req && !conn->conn && !conn->h2);
    conn->freed = true;
    if (conn->inside)
        return;
    if (conn->chunks)
        http_chunks_done(conn->chunks);
    mem_free(&conn->chunks);
    mem_free(&conn);
}

static void leave(HttpConn *conn)
{
    conn->inside = false;
    if (conn->freed)
        conn_free(conn);
}

static size_t bytes_in(void *state, Str bytes)
{
    HttpConn *conn = state;
    conn->inside = true;
    size_t taken = conn->talk->bytes_in(conn, bytes);
    leave(conn);
    return taken;
}

static size_t wants(void *state)
{
    HttpConn *conn = state;
    return conn->talk->wants ? conn->talk->wants(conn) : SIZE_MAX;
}

static void ended(void *state, bool all_read)
{
    HttpConn *conn = state;
    conn->inside = true;
    conn->talk->ended(conn, all_read);
    leave(conn);
}

static void writable(void *state)
{
    HttpConn *conn = state;
    if (!conn->talk->writable)
        return;
    conn->inside = true;
    conn->talk->writable(conn);
    leave(conn);
}

static void drain(void *state)
{
    HttpConn *conn = state;
    conn->inside = true;
    conn->talk->drain(conn);
    leave(conn);
}

/* May come while the connection is inside of another call: an abort. */
static void closed(void *state)
{
    HttpConn *conn = state;
    Loop *loop = atomic_load_explicit(&conn->room->loop, memory_order_relaxed);
    conn->conn = NULL;
    loop_timer_stop(loop, &conn->idle);
    loop_timer_stop(loop, &conn->rate);
    conn->talk->closed(conn);
}

const LoopProtocol http_protocol = {
    .name = "http",
    .held_max = HTTP_HEAD_BYTES_MAX,
    .refusal = STR_INIT("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n"
                        "Connection: close\r\n\r\n"),
    .wants_tls = STR_INIT("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 21\r\n"
                          "Connection: close\r\n\r\nThis port speaks TLS\n"),
    .opened = opened,
    .bytes_in = bytes_in,
    .wants = wants,
    .ended = ended,
    .writable = writable,
    .drain = drain,
    .closed = closed,
};
