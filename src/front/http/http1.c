/* HTTP/1.1 and 1.0: heads one after another, bodies by length or chunks, deadlines, closing.
 *
 * Invariants:
 * 1. At most one request at a time: pipelined ones wait unread, so replies keep their order; the
 *    replies to those that are answered at once go out together at the end of the turn.
 * 2. `idle` runs between requests and, once a head has begun, as its absolute deadline.
 * 3. `rate` runs while a body comes or a large reply waits: a window counts only after one in which
 *    bytes were due all the time.
 * 4. Behind a reply that closes nothing is read any more: what follows is taken and dropped.
 * 5. `body_comes` from the end of a head with a body until its last byte. A reply before that closes, unless
 *    little is left: that is read away before the next head. */
#include "front/http/http_priv.h"

#include "base/log.h"

enum {
    BODY_REST_MAX = 64 << 10,
    HEAD_READ_BYTES = 32 << 10 /* a head and a small body at once */
};

static const HttpWire http1_wire;

static const HttpServer *server_of(const HttpConn *conn)
{
    return conn->room->server;
}

static Loop *loop_of(const HttpConn *conn)
{
    return loop_conn_loop(conn->conn);
}

/* ---- slow peers ---- */

static void rate_watch(HttpConn *conn)
{
    if (conn->rate.class_at)
        return;
    conn->rate_mark = UINT64_MAX;
    loop_timer_set(loop_of(conn), &conn->rate, server_of(conn)->options.rate_window_ms);
}

static void rate_over(LoopTimer *timer)
{
    HttpConn *conn = (HttpConn *)((char *)timer - offsetof(HttpConn, rate));
    const HttpOptions *options = &server_of(conn)->options;
    HttpReq *r = conn->req;
    bool receives = r && conn->body_comes && req_receives(r);
    bool sends = loop_conn_queued(conn->conn) > 0;
    uint64_t moved = conn->received_bytes + loop_conn_delivered(conn->conn);
    uint64_t least = (uint64_t)options->rate_bytes_min * options->rate_window_ms / 1000;
    bool slow = (receives || sends) && conn->rate_mark != UINT64_MAX && moved < conn->rate_mark + least;
    conn->rate_mark = receives || sends ? moved : UINT64_MAX;
    if (receives || sends || r)
        loop_timer_set(loop_of(conn), &conn->rate, options->rate_window_ms);
    if (!slow)
        return;
    room_count(&conn->room->timeouts);
    if (receives)
        req_refuse(r, 408, E_TIMEOUT, "the body comes slower than the minimum rate");
    else
        loop_conn_abort(conn->conn);
}

/* ---- ending ---- */

/* The rate ends a peer that does not read the last reply. */
static void conn_close(HttpConn *conn)
{
    if (loop_conn_queued(conn->conn) > 0)
        rate_watch(conn);
    loop_conn_close(conn->conn);
}

/* An answer to what is no request. */
static void conn_refuse(HttpConn *conn, int status, const char *text)
{
    Buf body, reply;
    HttpPair fields[POLICY_FIELDS_MAX];
    char id_room[POLICY_ID_LEN];
    Str id = policy_id_make(conn->room, id_room);
    int said = status;
    buf_init(&body, 4096);
    buf_init(&reply, 8192);
    const char *type = problem_plain(conn->room->server, &body, &said, text, id);
    buf_format(&reply, "HTTP/1.1 %d " STR_FMT "\r\nContent-Type: %s\r\n"
               "Content-Length: %zu\r\nConnection: close\r\n", said,
               STR_ARG(http_status_text(said)), type, body.len);
    size_t count = policy_id_fields(conn->room->server, id, fields);
    for (size_t i = 0; i < count; i++)
        buf_format(&reply, STR_FMT ": " STR_FMT "\r\n", STR_ARG(fields[i].name), STR_ARG(fields[i].value));
    buf_put(&reply, STR("\r\n"));
    buf_put(&reply, buf_str(&body));
    loop_conn_send(conn->conn, buf_str(&reply));
    buf_done(&body);
    buf_done(&reply);
    policy_refused(conn->room, loop_conn_address(conn->conn), status, text);
    conn->closes = true;
    conn_close(conn);
}

static void idle_over(LoopTimer *timer)
{
    HttpConn *conn = (HttpConn *)((char *)timer - offsetof(HttpConn, idle));
    if (conn->head_begun) {
        room_count(&conn->room->timeouts);
        conn_refuse(conn, 408, "the request's head did not come in time");
    } else if (loop_conn_queued(conn->conn) > 0) {
        loop_conn_abort(conn->conn);
    } else {
        loop_conn_close(conn->conn);
    }
}

/* ---- what comes ---- */

static void body_expect(HttpConn *conn, const HttpHead *head)
{
    conn->body_comes = true;
    conn->body_left = head->content_length;
    if (head->chunked)
        conn->chunks = mem_new(sizeof *conn->chunks);
}

static void body_forget(HttpConn *conn)
{
    conn->body_comes = false;
    if (!conn->chunks)
        return;
    http_chunks_done(conn->chunks);
    mem_free(&conn->chunks);
}

static size_t head_in(HttpConn *conn, Str bytes)
{
    HttpRefusal refusal = { 0 };
    size_t used = 0;
    HttpReq *r = req_new(conn, &http1_wire, conn);
    switch (http_head_parse(bytes, &r->head, &used, &refusal)) {
    case HTTP_MORE:
        req_drop(r);
        if (!conn->head_begun)
            loop_timer_set(loop_of(conn), &conn->idle, server_of(conn)->options.head_ms_max);
        conn->head_begun = true;
        return 0;
    case HTTP_REFUSE:
        req_drop(r);
        conn_refuse(conn, refusal.status, refusal.text);
        return bytes.len;
    case HTTP_DONE:
        break;
    }
    if (r->head.expects_other && !r->server->options.any_expect) {
        req_drop(r);
        conn_refuse(conn, 417, "only Expect: 100-continue");
        return bytes.len;
    }
    conn->head_begun = false;
    loop_timer_stop(loop_of(conn), &conn->idle);
    http_head_move(&r->head, arena_copy(&r->arena, bytes.ptr, used));
    r->has_body = r->head.chunked || (r->head.has_length && r->head.content_length > 0);
    conn->req = r;
    conn->chunked_out = conn->until_close = false;
    if (r->has_body)
        body_expect(conn, &r->head);
    req_begin(r);
    if (conn->body_comes && conn->conn && conn->req)
        rate_watch(conn);
    return used;
}

static size_t length_in(HttpConn *conn, HttpReq *r, Str bytes)
{
    Str data = str_sub(bytes, 0, (size_t)MIN((uint64_t)bytes.len, conn->body_left));
    size_t taken = data.len > 0 ? req_body_in(r, data) : 0;
    conn->received_bytes += taken;
    conn->body_left -= MIN((uint64_t)taken, conn->body_left);
    if (conn->body_comes && conn->body_left == 0) {
        body_forget(conn);
        if (conn->req == r)
            req_body_end(r, STR_NONE);
    }
    return taken;
}

static size_t chunks_in(HttpConn *conn, HttpReq *r, Str bytes)
{
    Str in = bytes;
    while (in.len > 0 && conn->req == r && conn->body_comes) {
        HttpRefusal refusal = { 0 };
        Str piece = str_sub(in, 0, req_body_room(r)), data;
        size_t before = piece.len;
        if (before == 0)
            break;
        HttpStep step = http_chunks_next(conn->chunks, &piece, &data, &refusal);
        in = str_from(in, before - piece.len);
        if (step == HTTP_REFUSE) {
            conn->closes = true;
            body_forget(conn);
            req_refuse(r, refusal.status, E_INVALID, refusal.text);
            return bytes.len;
        }
        if (r->phase != REQ_DUPLEX && conn->chunks->total + conn->chunks->left > r->body_max) {
            body_forget(conn); /* before its bytes come */
            conn->closes = true;
            req_refuse(r, 413, E_LIMIT, "the body is larger than this path takes");
            return bytes.len;
        }
        if (data.len > 0)
            IGNORE(req_body_in(r, data) == data.len); /* there is room, or it was refused */
        if (step != HTTP_DONE || conn->req != r || !conn->body_comes)
            continue;
        HttpChunks *chunks = TAKE(conn->chunks);
        conn->body_comes = false;
        req_body_end(r, http_chunks_trailers(chunks));
        http_chunks_done(chunks);
        mem_free(&chunks);
    }
    conn->received_bytes += bytes.len - in.len;
    return bytes.len - in.len;
}

/* The rest of a small body that was not wanted, behind its reply. */
static size_t rest_in(HttpConn *conn, Str bytes)
{
    size_t taken = (size_t)MIN((uint64_t)bytes.len, conn->body_left);
    conn->body_left -= taken;
    if (conn->body_left == 0)
        body_forget(conn);
    return taken;
}

static size_t bytes_in(HttpConn *conn, Str bytes)
{
    HttpReq *r = conn->req;
    if (r && conn->raw)
        return req_body_in(r, bytes);
    if (r && conn->body_comes)
        return conn->chunks ? chunks_in(conn, r, bytes) : length_in(conn, r, bytes);
    if (r)
        return 0;
    if (conn->closes)
        return bytes.len;
    if (conn->body_comes)
        return rest_in(conn, bytes);
    if (loop_conn_queued(conn->conn) > HTTP_PIPELINE_BYTES_MAX) {
        conn->waits_for_room = true;
        rate_watch(conn);
        loop_conn_rest(conn->conn, true);
        return 0;
    }
    return head_in(conn, bytes);
}

/* Of a body what there is room for: the rest waits in the socket, where the client sees that it does. */
static size_t wants(HttpConn *conn)
{
    HttpReq *r = conn->req;
    if (r && (conn->raw || r->phase == REQ_DUPLEX))
        return SIZE_MAX;
    size_t room = r && conn->body_comes ? req_body_room(r) : 0;
    return room > 0 ? room : HEAD_READ_BYTES;
}

static void ended(HttpConn *conn, bool all_read)
{
    HttpReq *r = conn->req;
    if (!r)
        conn_close(conn);
    else if (conn->raw && all_read)
        req_body_end(r, STR_NONE);
    else if (!conn->raw && !conn->body_comes)
        req_ended(r);
    else if (all_read)
        loop_conn_abort(conn->conn);
}

static void writable(HttpConn *conn)
{
    if (conn->waits_for_room && loop_conn_queued(conn->conn) <= HTTP_PIPELINE_BYTES_MAX) {
        conn->waits_for_room = false;
        loop_conn_rest(conn->conn, false);
    }
    if (conn->req)
        req_writable(conn->req);
}

static void drain(HttpConn *conn)
{
    if (conn->req)
        req_drain(conn->req);
    else if (!conn->head_begun)
        conn_drain(conn);
}

static void closed(HttpConn *conn)
{
    if (conn->req)
        req_gone(conn->req); /* `over` frees the connection */
    else
        conn_free(conn);
}

const HttpTalk http1_talk = {
    .bytes_in = bytes_in,
    .wants = wants,
    .ended = ended,
    .writable = writable,
    .drain = drain,
    .closed = closed,
};

void http1_open(HttpConn *conn)
{
    conn->talk = &http1_talk;
    conn->idle.fire = idle_over;
    conn->rate.fire = rate_over;
}

/* ---- the wire of its requests ---- */

static void wire_rest(HttpReq *r, bool resting)
{
    HttpConn *conn = r->link;
    loop_conn_rest(conn->conn, resting);
}

static void wire_proceed(HttpReq *r)
{
    HttpConn *conn = r->link;
    if (r->head.minor_version > 0)
        loop_conn_send(conn->conn, STR("HTTP/1.1 100 Continue\r\n\r\n"));
}

/* So little of the body is to come that reading it away costs less than a new connection. A client that
 * waits for 100 may never send it. */
static bool rest_is_small(const HttpConn *conn, const HttpReq *r)
{
    return !conn->chunks && conn->body_left <= BODY_REST_MAX && !r->head.expects_continue;
}

static void wire_head(HttpReq *r, int64_t length, bool ends)
{
    HttpConn *conn = r->link;
    Buf *out = &conn->room->out;
    bool trailers = r->reply_trailer_count > 0 && !ends, switches = r->status == 101;
    bool chunked = (length < 0 || trailers) && r->head.minor_version > 0 && !switches;
    conn->chunked_out = chunked && !ends;
    conn->until_close = length < 0 && !chunked && !ends;
    conn->raw = switches;
    conn->closes = conn->closes || !r->head.keep_alive || conn->until_close ||
                   (conn->body_comes && r->reply != REPLY_DUPLEX && !rest_is_small(conn, r)) ||
                   atomic_load_explicit(&server_of(conn)->draining, memory_order_relaxed);
    buf_clear(out);
    reply_head_put(r, out, length, chunked, conn->closes);
    loop_conn_send(conn->conn, buf_str(out));
}

static void wire_body(HttpReq *r, Buf *take_bytes)
{
    HttpConn *conn = r->link;
    LoopConn *out = conn->conn;
    if (conn->chunked_out) {
        char size[20];
        loop_conn_send(out, chunk_size_line(take_bytes->len, size));
        buf_put(take_bytes, STR("\r\n"));
    }
    if (take_bytes->len > HTTP_SMALL_BODY) {
        size_t most = take_bytes->max;
        loop_conn_send_take(out, take_bytes);
        buf_init(take_bytes, most);
        rate_watch(conn);
    } else {
        loop_conn_send(out, buf_str(take_bytes));
        buf_clear(take_bytes);
        if (loop_conn_queued(out) > HTTP_SMALL_BODY)
            rate_watch(conn);
    }
}

static void wire_file(HttpReq *r, int fd, uint64_t at, uint64_t len, void (*done)(void *arg), void *arg)
{
    HttpConn *conn = r->link;
    loop_conn_send_file(conn->conn, fd, at, len, done, arg);
    rate_watch(conn);
}

static bool wire_file_cuts(HttpReq *r, uint64_t len, LoopCut *cut)
{
    HttpConn *conn = r->link;
    if (conn->chunked_out || loop_conn_tls(conn->conn))
        return false;
    loop_conn_send_cut(conn->conn, len, cut);
    rate_watch(conn);
    return true;
}

static void wire_end(HttpReq *r)
{
    HttpConn *conn = r->link;
    Buf *out = &conn->room->out;
    if (!conn->chunked_out)
        return;
    buf_clear(out);
    buf_put(out, STR("0\r\n"));
    reply_trailers_put(r, out);
    buf_put(out, STR("\r\n"));
    loop_conn_send(conn->conn, buf_str(out));
    conn->chunked_out = false;
}

static size_t wire_queued(const HttpReq *r)
{
    const HttpConn *conn = r->link;
    return loop_conn_queued(conn->conn);
}

static void wire_cut(HttpReq *r)
{
    HttpConn *conn = r->link;
    conn->closes = true;
    conn->aborts = conn->until_close || conn->raw; /* else the missing end tells */
}

static void wire_over(HttpReq *r)
{
    HttpConn *conn = r->link;
    conn->closes = conn->closes || conn->raw || (conn->body_comes && !rest_is_small(conn, r));
    conn->req = NULL;
    conn->raw = false;
    if (conn->body_comes && (conn->closes || !conn->conn))
        body_forget(conn);
    if (!conn->conn) {
        conn_free(conn);
    } else if (conn->aborts) {
        loop_conn_abort(conn->conn);
    } else if (conn->closes) {
        conn_close(conn);
    } else {
        loop_timer_set(loop_of(conn), &conn->idle, server_of(conn)->options.idle_ms_max);
        loop_conn_rest(conn->conn, false);
        if (atomic_load_explicit(&server_of(conn)->draining, memory_order_relaxed))
            conn_drain(conn); /* its reply did not say that it would be the last */
    }
}

static const HttpWire http1_wire = {
    .name = "HTTP/1.1",
    .one = true,
    .rest = wire_rest,
    .proceed = wire_proceed,
    .head = wire_head,
    .body = wire_body,
    .file = wire_file,
    .file_cuts = wire_file_cuts,
    .end = wire_end,
    .queued = wire_queued,
    .cut = wire_cut,
    .over = wire_over,
};
