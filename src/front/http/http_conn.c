/* One connection: heads one after another, deadlines, closing.
 *
 * Invariants:
 * 1. At most one request at a time: pipelined ones wait unread, so replies keep their order.
 * 2. While a request runs the connection rests; the body phase is the only one that reads.
 * 3. `idle` runs between requests and, once a head has begun, as its absolute deadline. */
#include "front/http/http_priv.h"

#include "base/log.h"
#include "format/json.h"

static void rate_over(LoopTimer *timer);
static void idle_over(LoopTimer *timer);

static void *opened(LoopConn *loop_conn, void *context)
{
    HttpConn *conn = mem_new(sizeof *conn);
    conn->server = context;
    conn->conn = loop_conn;
    conn->loop = loop_conn_loop(loop_conn);
    conn->idle.fire = idle_over;
    conn->rate.fire = rate_over;
    conn->rate_mark = UINT64_MAX; /* a window counts only after one in which bytes were due */
    loop_timer_set(conn->loop, &conn->idle, conn->server->options.idle_ms_max);
    loop_timer_set(conn->loop, &conn->rate, conn->server->options.rate_window_ms);
    return conn;
}

void conn_free(HttpConn *conn)
{
    ASSERT(!conn->req && !conn->conn);
    mem_free(&conn);
}

/* An answer to what is no request. */
static void conn_refuse(HttpConn *conn, int status, const char *text)
{
    Buf body, reply;
    Str reason = http_status_text(status);
    buf_init(&body, 4096);
    buf_init(&reply, 8192);
    JsonWriter w = json_writer(&body);
    json_begin_object(&w);
    json_field_str(&w, "type", STR("about:blank"));
    json_field_str(&w, "title", reason);
    json_field_i64(&w, "status", status);
    json_field_str(&w, "detail", str_z(text));
    json_field_str(&w, "code", str_z(code_info(status == 408 ? E_TIMEOUT : E_INVALID)->name));
    json_end_object(&w);
    buf_format(&reply, "HTTP/1.1 %d " STR_FMT "\r\nContent-Type: application/problem+json\r\n"
               "Content-Length: %zu\r\nConnection: close\r\n\r\n", status, STR_ARG(reason), body.len);
    buf_put(&reply, buf_str(&body));
    loop_conn_send(conn->conn, buf_str(&reply));
    loop_conn_close(conn->conn);
    buf_done(&body);
    buf_done(&reply);
    atomic_fetch_add(&conn->server->stats[conn->server->options.route_count].by_class[4], 1);
    if (log_on(LOG_INFO))
        log_line(LOG_INFO, "request refused status=%d peer=" STR_FMT " text=%s", status,
                 STR_ARG(loop_conn_peer(conn->conn)), text);
}

static size_t head_in(HttpConn *conn, Str bytes)
{
    HttpHead head;
    HttpRefusal refusal = { 0 };
    size_t used = 0;
    switch (http_head_parse(bytes, &head, &used, &refusal)) {
    case HTTP_MORE:
        if (!conn->head_begun)
            loop_timer_set(conn->loop, &conn->idle, conn->server->options.head_ms_max);
        conn->head_begun = true;
        return 0;
    case HTTP_REFUSE:
        conn_refuse(conn, refusal.status, refusal.text);
        return bytes.len;
    case HTTP_DONE:
        break;
    }
    conn->head_begun = false;
    loop_timer_stop(conn->loop, &conn->idle);
    conn->req = req_new(conn, &head, str_sub(bytes, 0, used));
    req_begin(conn->req);
    return used;
}

static size_t bytes_in(void *state, Str bytes)
{
    HttpConn *conn = state;
    HttpReq *r = conn->req;
    if (r)
        return r->phase == REQ_BODY && !r->running ? req_body_in(r, bytes) : 0;
    if (conn->closes)
        return bytes.len; /* behind a reply that closes */
    if (loop_conn_queued(conn->conn) > HTTP_PIPELINE_BYTES_MAX) {
        conn->waits_for_room = true;
        loop_conn_rest(conn->conn, true);
        return 0;
    }
    return head_in(conn, bytes);
}

void conn_request_over(HttpConn *conn)
{
    if (conn->closes || atomic_load(&conn->server->draining)) {
        loop_conn_close(conn->conn);
        return;
    }
    loop_timer_set(conn->loop, &conn->idle, conn->server->options.idle_ms_max);
    loop_conn_rest(conn->conn, false);
}

static void writable(void *state)
{
    HttpConn *conn = state;
    if (conn->waits_for_room && loop_conn_queued(conn->conn) <= HTTP_PIPELINE_BYTES_MAX) {
        conn->waits_for_room = false;
        loop_conn_rest(conn->conn, false);
    }
    if (conn->req)
        req_pull(conn->req);
}

static void ended(void *state, bool all_read)
{
    HttpConn *conn = state;
    HttpReq *r = conn->req;
    if (!r)
        loop_conn_close(conn->conn);
    else if (r->body_over)
        req_cancel(r); /* gone, or it only ended its side: what the handler still says is sent */
    else if (all_read)
        loop_conn_abort(conn->conn);
}

static void drain(void *state)
{
    HttpConn *conn = state;
    if (!conn->req && !conn->head_begun)
        loop_conn_close(conn->conn);
    else
        conn->closes = conn->req != NULL;
}

static void closed(void *state)
{
    HttpConn *conn = state;
    conn->conn = NULL;
    loop_timer_stop(conn->loop, &conn->idle);
    loop_timer_stop(conn->loop, &conn->rate);
    if (conn->req)
        req_gone(conn->req);
    else
        conn_free(conn);
}

static void idle_over(LoopTimer *timer)
{
    HttpConn *conn = (HttpConn *)((char *)timer - offsetof(HttpConn, idle));
    if (conn->head_begun) {
        atomic_fetch_add(&conn->server->timeouts, 1);
        conn_refuse(conn, 408, "the request's head did not come in time");
    } else {
        loop_conn_close(conn->conn);
    }
}

/* A body that comes, or a reply that goes, slower than the minimum rate. */
static void rate_over(LoopTimer *timer)
{
    HttpConn *conn = (HttpConn *)((char *)timer - offsetof(HttpConn, rate));
    const HttpOptions *options = &conn->server->options;
    HttpReq *r = conn->req;
    bool receives = r && r->phase == REQ_BODY && !r->running;
    bool sends = loop_conn_queued(conn->conn) > 0;
    uint64_t moved = conn->received_bytes + loop_conn_sent(conn->conn);
    uint64_t least = (uint64_t)options->rate_bytes_min * options->rate_window_ms / 1000;
    bool slow = (receives || sends) && conn->rate_mark != UINT64_MAX && moved - conn->rate_mark < least;
    conn->rate_mark = receives || sends ? moved : UINT64_MAX;
    loop_timer_set(conn->loop, &conn->rate, options->rate_window_ms);
    if (!slow)
        return;
    atomic_fetch_add(&conn->server->timeouts, 1);
    if (receives)
        body_refuse(r, 408, E_TIMEOUT, "the body comes slower than the minimum rate", 0);
    else
        loop_conn_abort(conn->conn);
}

const LoopProtocol http_protocol = {
    .name = "http",
    .held_max = HTTP_HEAD_BYTES_MAX,
    .refusal = STR_INIT("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n"
                        "Connection: close\r\n\r\n"),
    .opened = opened,
    .bytes_in = bytes_in,
    .ended = ended,
    .writable = writable,
    .drain = drain,
    .closed = closed,
};
