/* HTTP/2 (RFC 9113) by nghttp2: a session for each connection, a request for each stream.
 *
 * Invariants:
 * 1. nghttp2 sees one frame at a time, each after the guard (http2_guard.c) has judged it.
 * 2. Frames are made only while less than H2_OUT_MAX waits in the socket; what nghttp2 holds back is
 *    bounded by its own limit of acknowledgements and by H2_STREAMS_MAX.
 * 3. Requests are called from entry points and from `settled` only, never from a callback that sends:
 *    streams with something to tell stand in `due`, and are settled on the way out of an entry point,
 *    or by a post.
 * 4. A window opens when the request has consumed the bytes (no_auto_window_update).
 * 5. The H2 goes when its socket is gone, nothing of it is running and its post has come.
 *
 *   state      what moves it on                                       function
 *   (open)     GOAWAY, a mistake of the peer, drain, idle             h2_fail, drain, wait_over
 *   drains     the notice is acknowledged or late: the real GOAWAY    goaway_send
 *   goaway     the last stream ends                                   flush: loop_conn_close
 *   broken     nothing is read or sent                                flush: loop_conn_close */
#include "front/http/http2_priv.h"

#include "base/log.h"

#include <nghttp2/nghttp2.h>
#include <string.h>

static const uint8_t notice_ping[8] = "tarn-end";

Limits *h2_limits(const H2 *h2)
{
    return policy_limits(h2->room->server->policy);
}

void h2_consume(H2Stream *s, size_t bytes)
{
    nghttp2_session *session = s->h2->session;
    bytes = MIN(bytes, s->unconsumed);
    if (bytes == 0)
        return;
    s->unconsumed -= bytes;
    bool lingers = !s->r && s->in_bytes < H2_LINGER_BYTES;
    if (s->open && (s->r || lingers))
        IGNORE(nghttp2_session_consume(session, s->id, bytes)); /* fails for lack of memory only */
    else
        IGNORE(nghttp2_session_consume_connection(session, bytes)); /* the same */
    h2_kick(s->h2);
}

void h2_reset(H2Stream *s, uint32_t code)
{
    IGNORE(nghttp2_submit_rst_stream(s->h2->session, 0, s->id, code)); /* fails for lack of memory only */
    h2_kick(s->h2);
}

/* ---- output ---- */

static void bulk_ship(H2 *h2)
{
    if (h2->bulk.len > 0)
        loop_conn_send_take(h2->conn->conn, &h2->bulk);
    buf_done(&h2->bulk);
}

/* Where the next `more` bytes go: the loop's common buffer, or blocks that the socket takes over. */
static Buf *out_for(H2 *h2, size_t more)
{
    Buf *small = &h2->room->out;
    if (h2->bulk.max == 0 && small->len + more <= H2_SMALL_OUT)
        return small;
    if (h2->bulk.max == 0 && small->len > 0) {
        loop_conn_send(h2->conn->conn, buf_str(small));
        buf_clear(small);
    }
    if (h2->bulk.len + more > h2->bulk.cap)
        bulk_ship(h2);
    if (h2->bulk.cap == 0) {
        buf_init(&h2->bulk, 2 * H2_OUT_BLOCK);
        IGNORE(buf_reserve(&h2->bulk, MAX((size_t)H2_OUT_BLOCK, more))); /* within its maximum */
    }
    return &h2->bulk;
}

static bool out_full(const H2 *h2)
{
    return h2->bulk.len + loop_conn_queued(h2->conn->conn) >= H2_OUT_MAX;
}

/* To nghttp2 a stream too many is an error of the connection, to RFC 9113 5.1.2 one of the stream:
 * the session allows more than the peer is told in the first setting of its first frame. */
static void announce(H2 *h2, char *frame)
{
    static const char most[4] = { 0, 0, H2_STREAMS_MAX >> 8, H2_STREAMS_MAX & 0xff };
    ASSERT(frame[3] == NGHTTP2_SETTINGS && frame[H2_FRAME_HEAD + 1] == NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    memcpy(frame + H2_FRAME_HEAD + 2, most, sizeof most);
    h2->announced = true;
}

static ssize_t send_bytes(nghttp2_session *session, const uint8_t *bytes, size_t len, int flags, void *user)
{
    H2 *h2 = user;
    (void)session, (void)flags;
    if (out_full(h2))
        return NGHTTP2_ERR_WOULDBLOCK;
    Buf *out = out_for(h2, len);
    buf_put(out, str_of(bytes, len));
    if (!h2->announced)
        announce(h2, out->ptr + out->len - len);
    return (ssize_t)len;
}

static int send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head, size_t len,
                     nghttp2_data_source *source, void *user)
{
    H2 *h2 = user;
    H2Stream *s = source->ptr;
    (void)session, (void)frame;
    if (out_full(h2))
        return NGHTTP2_ERR_WOULDBLOCK;
    Buf *out = out_for(h2, H2_FRAME_HEAD + len);
    size_t before = out->len;
    buf_put(out, str_of(head, H2_FRAME_HEAD));
    if (!h2_stream_copy(s, out, len)) {
        out->len = before;
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* RST_STREAM with INTERNAL_ERROR */
    }
    if (s->r && s->queued < H2_AHEAD_MAX / 2) {
        s->writes = true;
        h2_stream_due(s);
    }
    return 0;
}

static void flush(H2 *h2)
{
    HttpConn *conn = h2->conn;
    if (!conn || h2->closing)
        return;
    Buf *small = &h2->room->out;
    buf_clear(small);
    h2->inside++;
    int failed = nghttp2_session_send(h2->session);
    h2->inside--;
    if (h2->bulk.max > 0) {
        bulk_ship(h2);
        h2->bulk.max = 0;
    } else if (small->len > 0) {
        loop_conn_send(conn->conn, buf_str(small));
    }
    buf_clear(small);
    bool over = !nghttp2_session_want_read(h2->session) && !nghttp2_session_want_write(h2->session);
    if (failed || h2->broken || over) {
        h2->closing = true;
        loop_conn_close(conn->conn);
    }
}

void h2_kick(H2 *h2)
{
    if (h2->inside > 0 || h2->posted || !h2->conn)
        return;
    if (!h2->due) {
        flush(h2);
        if (!h2->due)
            return;
    }
    h2->posted = true;
    loop_post(h2->loop, &h2->post);
}

/* ---- the way in and out ---- */

static void timers_set(H2 *h2);

static void h2_free(H2 *h2)
{
    if (h2->conn || h2->posted || h2->inside > 0)
        return;
    ASSERT(!h2->streams);
    while (h2->spare) {
        H2Stream *s = h2->spare;
        h2->spare = s->next;
        buf_done(&s->small);
        mem_free(&s);
    }
    nghttp2_session_del(h2->session);
    buf_done(&h2->head);
    buf_done(&h2->bulk);
    mem_free(&h2);
}

/* The peer cannot open its windows any more. */
static void stalled_reset(H2 *h2)
{
    for (H2Stream *s = h2->streams; s; s = s->next) {
        if (h2_stream_waits(s))
            h2_reset(s, NGHTTP2_CANCEL);
    }
    flush(h2);
}

static void leave(H2 *h2)
{
    while (h2->due && h2->conn) {
        H2Stream *s = h2->due;
        h2->due = s->next_due;
        if (!h2->due)
            h2->last_due = NULL;
        h2_stream_settle(s);
    }
    if (h2->inside == 1 && h2->conn) {
        flush(h2);
        if (h2->peer_ended)
            stalled_reset(h2);
        timers_set(h2);
    }
    h2->inside--;
    if (h2->due && h2->conn)
        h2_kick(h2);
    h2_free(h2);
}

static void post_run(LoopPost *post)
{
    H2 *h2 = (H2 *)post;
    h2->posted = false;
    h2->inside++;
    leave(h2);
}

/* A connection error: GOAWAY with the code, then the end. */
static void h2_fail(H2 *h2, uint32_t code, const char *why)
{
    if (h2->broken)
        return;
    h2->broken = true;
    if (log_on(LOG_INFO))
        log_line(LOG_INFO, "http2 connection ended peer=" STR_FMT " code=%s text=%s",
                 STR_ARG(loop_conn_peer(h2->conn->conn)), nghttp2_http2_strerror(code), why);
    IGNORE(nghttp2_session_terminate_session(h2->session, code)); /* fails for lack of memory only */
}

/* The last stream is named: what comes behind it was not worked on. */
static void goaway_send(H2 *h2)
{
    if (h2->goaway)
        return;
    h2->goaway = true;
    int32_t last = nghttp2_session_get_last_proc_stream_id(h2->session);
    IGNORE(nghttp2_submit_goaway(h2->session, 0, last, NGHTTP2_NO_ERROR, NULL, 0)); /* no memory: ignored */
}

/* Shows nghttp2 bytes of one frame; false: the connection is over. */
static bool feed(H2 *h2, Str bytes)
{
    ssize_t used = nghttp2_session_mem_recv(h2->session, (const uint8_t *)bytes.ptr, bytes.len);
    if (used >= 0)
        return !h2->broken;
    uint32_t code = used == NGHTTP2_ERR_FLOODED            ? NGHTTP2_ENHANCE_YOUR_CALM
                    : used == NGHTTP2_ERR_BAD_CLIENT_MAGIC ? NGHTTP2_PROTOCOL_ERROR
                                                           : NGHTTP2_INTERNAL_ERROR;
    h2_fail(h2, code, nghttp2_strerror((int)used));
    return false;
}

/* ---- what nghttp2 tells ---- */

static H2Stream *stream_at(H2 *h2, int32_t id)
{
    return nghttp2_session_get_stream_user_data(h2->session, id);
}

static int begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    H2 *h2 = user;
    int32_t id = frame->hd.stream_id;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    if (h2->stream_count >= H2_STREAMS_MAX) { /* requests behind a reset run on: they count */
        IGNORE(nghttp2_submit_rst_stream(session, 0, id, NGHTTP2_REFUSED_STREAM)); /* no memory: ignored */
        return 0;
    }
    H2Stream *s = h2_stream_new(h2, id);
    nghttp2_extpri turns = { .urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY, .inc = 1 };
    h2_head_begin(h2);
    IGNORE(nghttp2_session_set_stream_user_data(session, id, s)); /* the stream is there */
    IGNORE(nghttp2_session_change_extpri_stream_priority(session, id, &turns, 1)); /* all take turns */
    return 0;
}

static int header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                  const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
    H2 *h2 = user;
    H2Stream *s = stream_at(h2, frame->hd.stream_id);
    (void)session, (void)flags;
    if (!s)
        return 0;
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        h2_head_field(h2, str_of(name, name_len), str_of(value, value_len));
    else
        h2_trailer(s, str_of(name, name_len), str_of(value, value_len));
    return 0;
}

/* A field that nghttp2 would leave out: the whole is malformed (RFC 9113 8.2.1). */
static int bad_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                      size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *user)
{
    (void)name, (void)name_len, (void)value, (void)value_len, (void)flags, (void)user;
    IGNORE(nghttp2_submit_rst_stream(session, 0, frame->hd.stream_id, NGHTTP2_PROTOCOL_ERROR));
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

static int frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    H2 *h2 = user;
    H2Stream *s = frame->hd.stream_id ? stream_at(h2, frame->hd.stream_id) : NULL;
    bool ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    (void)session;
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) && h2->drains &&
        memcmp(frame->ping.opaque_data, notice_ping, sizeof notice_ping) == 0)
        goaway_send(h2);
    if (!s)
        return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        h2_head_over(s, ends);
    else if (frame->hd.type == NGHTTP2_HEADERS || (frame->hd.type == NGHTTP2_DATA && ends))
        h2_data_over(s);
    else if (frame->hd.type == NGHTTP2_RST_STREAM)
        s->peer_reset = true;
    return 0;
}

static int data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes, size_t len,
                      void *user)
{
    H2Stream *s = stream_at(user, id);
    (void)flags;
    if (s)
        h2_data_in(s, str_of(bytes, len));
    else
        IGNORE(nghttp2_session_consume_connection(session, len)); /* fails for lack of memory only */
    return 0;
}

static int stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    H2Stream *s = stream_at(user, id);
    (void)session, (void)code;
    if (s)
        h2_stream_closed(s);
    return 0;
}

static int frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    H2 *h2 = user;
    uint8_t type = frame->hd.type;
    (void)session;
    bool ends = (type == NGHTTP2_HEADERS || type == NGHTTP2_DATA) &&
                (frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
    H2Stream *s = ends ? stream_at(h2, frame->hd.stream_id) : NULL;
    if (s && !s->in_ended)
        h2_stream_linger(s);
    bool blames = type == NGHTTP2_RST_STREAM && frame->rst_stream.error_code != NGHTTP2_NO_ERROR &&
                  frame->rst_stream.error_code != NGHTTP2_INTERNAL_ERROR;
    if (blames && !h2_guard_reset(h2))
        h2_fail(h2, h2->error, h2->why);
    return 0;
}

static nghttp2_session *session_new(H2 *h2)
{
    nghttp2_session_callbacks *calls = NULL;
    nghttp2_option *option = NULL;
    nghttp2_session *session = NULL;
    ASSERT(nghttp2_session_callbacks_new(&calls) == 0 && nghttp2_option_new(&option) == 0);
    nghttp2_session_callbacks_set_send_callback(calls, send_bytes);
    nghttp2_session_callbacks_set_send_data_callback(calls, send_data);
    nghttp2_session_callbacks_set_on_begin_headers_callback(calls, begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(calls, header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(calls, bad_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(calls, frame_recv);
    nghttp2_session_callbacks_set_on_frame_send_callback(calls, frame_sent);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(calls, stream_close);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_max_outbound_ack(option, H2_ACKS_MAX);
    nghttp2_option_set_max_settings(option, H2_SETTINGS_MAX);
    nghttp2_option_set_max_continuations(option, H2_BLOCK_FRAMES_MAX + 1);
    ASSERT(nghttp2_session_server_new2(&session, calls, h2, option) == 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(calls);
    return session;
}

/* ---- timers ---- */

static void wait_over(LoopTimer *timer)
{
    H2 *h2 = (H2 *)((char *)timer - offsetof(H2, wait));
    H2Wait waited = h2->waits;
    h2->waits = H2_WAIT_NONE;
    h2->inside++;
    if (waited == H2_WAIT_NOTICE) {
        goaway_send(h2);
    } else if (waited == H2_WAIT_IDLE) {
        IGNORE(nghttp2_session_terminate_session(h2->session, NGHTTP2_NO_ERROR)); /* no memory: ignored */
    } else {
        room_count(&h2->room->timeouts);
        h2_fail(h2, NGHTTP2_ENHANCE_YOUR_CALM, "the head did not come in time");
    }
    leave(h2);
}

/* Each moves when its reason is another; `touched`: a head began since it was set. */
static void timers_set(H2 *h2)
{
    const HttpOptions *options = &h2->room->server->options;
    bool in_head = h2->guard.block_frames > 0 || (h2->in_frame && h2->frame.type == NGHTTP2_HEADERS);
    H2Wait waits = h2->drains && !h2->goaway ? H2_WAIT_NOTICE
                   : h2->preface_left > 0    ? H2_WAIT_PREFACE
                   : in_head                 ? H2_WAIT_BLOCK
                   : h2->stream_count == 0   ? H2_WAIT_IDLE
                                             : H2_WAIT_NONE;
    uint32_t ms = waits == H2_WAIT_NOTICE ? H2_NOTICE_MS
                  : waits == H2_WAIT_IDLE ? options->idle_ms_max
                                          : options->head_ms_max;
    if (waits == H2_WAIT_NONE)
        loop_timer_stop(h2->loop, &h2->wait);
    else if (waits != h2->waits || (h2->touched && (waits == H2_WAIT_IDLE || waits == H2_WAIT_BLOCK)))
        loop_timer_set(h2->loop, &h2->wait, ms);
    h2->waits = waits;
    h2->touched = false;
    if (h2->stream_count > 0 && !h2->rate.class_at) {
        h2->sent_mark = UINT64_MAX;
        loop_timer_set(h2->loop, &h2->rate, options->rate_window_ms);
    }
}

static void rate_over(LoopTimer *timer)
{
    H2 *h2 = (H2 *)((char *)timer - offsetof(H2, rate));
    const HttpOptions *options = &h2->room->server->options;
    uint64_t least = (uint64_t)options->rate_bytes_min * options->rate_window_ms / 1000;
    LoopConn *socket = h2->conn->conn;
    bool sends = loop_conn_queued(socket) > 0;
    uint64_t moved = loop_conn_delivered(socket);
    bool slow = sends && h2->sent_mark != UINT64_MAX && moved < h2->sent_mark + least;
    h2->sent_mark = sends ? moved : UINT64_MAX;
    if (slow) {
        room_count(&h2->room->timeouts);
        loop_conn_abort(socket);
        return;
    }
    h2->inside++;
    for (H2Stream *s = h2->streams, *next; s; s = next) {
        next = s->next;
        h2_stream_rate(s, least);
    }
    if (h2->stream_count > 0 || sends)
        loop_timer_set(h2->loop, &h2->rate, options->rate_window_ms);
    leave(h2);
}

/* ---- the row of the connection ---- */

/* Shows nghttp2 the next frame, or what there is of it: how many bytes; 0: its head is not whole. */
static size_t frame_in(H2 *h2, Str bytes)
{
    size_t len = 0;
    if (!h2->in_frame) {
        if (bytes.len < H2_FRAME_HEAD)
            return 0;
        h2->frame = h2_frame_head(bytes.ptr);
        if (h2->frame.type == NGHTTP2_PRIORITY && bytes.len < H2_FRAME_HEAD + (size_t)MIN(h2->frame.length, 4U))
            return 0; /* the guard looks into it */
        if (!h2_guard_frame(h2, &h2->frame, bytes.ptr + H2_FRAME_HEAD)) {
            h2_fail(h2, h2->error, h2->why);
            return 0;
        }
        h2->in_frame = true;
        h2->touched = h2->touched || h2->frame.type == NGHTTP2_HEADERS;
        h2->frame_left = h2->frame.length;
        len = H2_FRAME_HEAD;
    }
    size_t part = MIN(bytes.len - len, (size_t)h2->frame_left);
    h2->frame_left -= (uint32_t)part;
    len += part;
    h2->in_frame = h2->frame_left > 0;
    if (feed(h2, str_sub(bytes, 0, len)) && !h2->in_frame)
        h2_guard_frame_over(h2, &h2->frame);
    return len;
}

static size_t bytes_in(HttpConn *conn, Str bytes)
{
    H2 *h2 = conn->h2;
    Str rest = bytes;
    size_t len = 1;
    h2->inside++;
    while (len > 0 && rest.len > 0 && h2->conn && !h2->broken && !h2->closing) {
        if (h2->preface_left > 0) {
            len = MIN(rest.len, (size_t)h2->preface_left);
            h2->preface_left -= (uint32_t)len;
            IGNORE(feed(h2, str_sub(rest, 0, len))); /* h2->broken tells */
        } else {
            len = frame_in(h2, rest);
        }
        rest = str_from(rest, len);
    }
    bool done = !h2->conn || h2->broken || h2->closing;
    leave(h2);
    return done ? bytes.len : bytes.len - rest.len;
}

static void ended(HttpConn *conn, bool all_read)
{
    H2 *h2 = conn->h2;
    if (!all_read)
        return;
    h2->inside++;
    for (H2Stream *s = h2->streams, *next; s; s = next) {
        next = s->next;
        if (s->r && s->in_ended && s->r->phase != REQ_DUPLEX)
            req_ended(s->r);
        else if (s->open)
            h2_reset(s, NGHTTP2_CANCEL); /* nothing more of it comes, or it had its end told already */
    }
    h2->peer_ended = true;
    goaway_send(h2); /* the last stream's end is the connection's */
    leave(h2);
}

static void writable(HttpConn *conn)
{
    H2 *h2 = conn->h2;
    h2->inside++;
    leave(h2);
}

static void drain(HttpConn *conn)
{
    H2 *h2 = conn->h2;
    if (h2->drains)
        return;
    h2->drains = true;
    h2->inside++;
    for (H2Stream *s = h2->streams, *next; s; s = next) {
        next = s->next;
        if (s->r)
            req_drain(s->r);
    }
    IGNORE(nghttp2_submit_shutdown_notice(h2->session));        /* no memory: the timer goes on */
    IGNORE(nghttp2_submit_ping(h2->session, 0, notice_ping));   /* the same */
    leave(h2);
}

static void closed(HttpConn *conn)
{
    H2 *h2 = conn->h2;
    loop_timer_stop(h2->loop, &h2->wait);
    loop_timer_stop(h2->loop, &h2->rate);
    h2->inside++;
    h2->due = h2->last_due = NULL;
    while (h2->streams)
        h2_stream_gone(h2->streams);
    h2->conn = NULL;
    h2->inside--;
    conn->h2 = NULL;
    h2_free(h2);
    conn_free(conn);
}

static const HttpTalk http2_talk = {
    .bytes_in = bytes_in,
    .ended = ended,
    .writable = writable,
    .drain = drain,
    .closed = closed,
};

void http2_open(HttpConn *conn)
{
    static const nghttp2_settings_entry settings[] = {
        { NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1 << 20 }, /* announce, begin_headers */
        { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, H2_STREAM_WINDOW },
        { NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, H2_LIST_BYTES_MAX },
        { NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1 },
        { NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1 },
    };
    H2 *h2 = mem_new(sizeof *h2);
    h2->conn = conn;
    h2->room = conn->room;
    h2->seat = loop_conn_seat(conn->conn);
    h2->loop = loop_conn_loop(conn->conn);
    h2->post.run = post_run;
    h2->wait.fire = wait_over;
    h2->rate.fire = rate_over;
    h2->preface_left = H2_PREFACE_LEN;
    buf_init(&h2->head, 2 * H2_LIST_BYTES_MAX);
    h2->session = session_new(h2);
    conn->h2 = h2;
    conn->talk = &http2_talk;
    loop_timer_stop(h2->loop, &conn->idle);
    h2->inside++;
    ASSERT(nghttp2_submit_settings(h2->session, 0, settings, ARRAY_LEN(settings)) == 0);
    ASSERT(nghttp2_session_set_local_window_size(h2->session, 0, 0, H2_CONN_WINDOW) == 0);
    leave(h2);
}
