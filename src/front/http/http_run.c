/* One request from its head to the end of its reply.
 *
 * Invariants:
 * 1. While `running` the request is its worker's (or its parker's); the loop looks at nothing but
 *    `conn`, `cancelled` and `timed_out`. Only the loop sets and clears `running`.
 * 2. Phases: HEAD -> BODY -> END -> SENDING -> over; a reply in HEAD or BODY skips to the reply, and
 *    then the connection closes, because the rest of the body is not read.
 * 3. on_free runs exactly once when authorize let the request in; `done` of a stream exactly once.
 * 4. The head of a streamed reply goes out with its first block, so an error of the first block still
 *    gives a problem document; a later error cuts the connection off.
 * 5. `conn` is NULL only when the request is over and waits for on_free. A connection whose socket is
 *    gone stays until its request is over.
 *
 *   phase    what moves it on                                   function
 *   HEAD     authorize and on_head have run                     stage_over
 *   BODY     a block is full, the body is complete              req_body_in, stage_over
 *   END      on_end has run, or http_req_resume                 stage_over
 *   SENDING  the socket has room, a block has been pulled       req_pull, block_send */
#include "front/http/http_priv.h"

#include <string.h>

#include "base/log.h"

#include <stdio.h>

static void request_over(HttpReq *r);

/* ---- making and ending ---- */

static void head_copy(HttpReq *r, const HttpHead *head, Str bytes)
{
    memcpy(&r->head, head,
           offsetof(HttpHead, fields) + head->field_count * sizeof head->fields[0]);
    http_head_move(&r->head, arena_copy(&r->arena, bytes.ptr, bytes.len));
}

static bool id_ok(Str id)
{
    for (size_t i = 0; i < id.len; i++) {
        char c = id.ptr[i];
        bool ok = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  c == '-' || c == '_' || c == '.';
        if (!ok)
            return false;
    }
    return id.len > 0 && id.len <= HTTP_REQUEST_ID_MAX;
}

/* W3C trace context: 00-32 hex-16 hex-2 hex. */
static bool trace_ok(Str trace)
{
    for (size_t i = 0; i < trace.len; i++) {
        char c = trace.ptr[i];
        bool dash = i == 2 || i == 35 || i == 52;
        bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        if (dash ? c != '-' : !hex)
            return false;
    }
    return trace.len == 55;
}

static void time_over(LoopTimer *timer);
static void later_over(LoopTimer *timer);

HttpReq *req_new(HttpConn *conn, const HttpHead *head, Str bytes)
{
    HttpReq *r = mem_new(sizeof *r);
    HttpServer *server = conn->server;
    uint64_t number = atomic_fetch_add(&server->requests, 1);
    atomic_fetch_add(&server->in_flight, 1);
    r->conn = conn;
    r->server = server;
    r->stats_at = server->options.route_count;
    r->started_us = loop_now_us(conn->loop);
    r->timer.fire = time_over;
    r->later.fire = later_over;
    mutex_init(&r->mutex);
    head_copy(r, head, bytes);
    buf_init(&r->headers, 32 << 10);
    r->peer = str_copy(&r->arena, loop_conn_peer(conn->conn));
    Str id = http_field(&r->head, STR("X-Request-Id"));
    r->id = id_ok(id) ? id
                      : str_format(&r->arena, "%016llx-%llu", (unsigned long long)server->boot,
                                   (unsigned long long)number);
    Str trace = http_field(&r->head, STR("traceparent"));
    r->trace = trace_ok(trace) ? trace : STR_NONE;
    r->has_body = head->chunked || (head->has_length && head->content_length > 0);
    r->body_over = !r->has_body;
    r->body_left = head->content_length;
    return r;
}

static void req_free(HttpReq *r)
{
    ASSERT(!r->pull && !r->timer.class_at && !r->later.class_at);
    atomic_fetch_sub(&r->server->in_flight, 1);
    buf_done(&r->body);
    buf_done(&r->reply_body);
    buf_done(&r->headers);
    mutex_done(&r->mutex);
    arena_done(&r->arena);
    mem_free(&r);
}

static void pull_done(HttpReq *r)
{
    const HttpPull *pull = TAKE(r->pull);
    if (pull && pull->done)
        pull->done(r->pull_self);
}

/* ---- running stages in the lane ---- */

static void pull_run(HttpReq *r)
{
    err_clear(&r->pull_err);
    r->pull_code = r->pull->pull(r->pull_self, &r->reply_body, &r->pull_state, &r->pull_err);
    if (r->pull_code == E_OK)
        r->pull_code = buf_end(&r->reply_body, "a block of the reply", &r->pull_err);
    if (r->pull_code != E_OK || r->pull_state == HTTP_PULL_END || r->pull_state == HTTP_PULL_CUT)
        pull_done(r);
}

static void head_run(HttpReq *r)
{
    Err err;
    err_clear(&err);
    r->head_ran = true;
    Code code = E_OK;
    if (r->route->right != 0 && r->server->options.authorize)
        code = r->server->options.authorize(r, &err);
    if (code != E_OK) {
        http_reply_problem(r, &err);
        return;
    }
    r->entered = true;
    if (r->route->on_head)
        r->route->on_head(r);
}

static void stages_run(HttpReq *r)
{
    bool bodiless = str_eq(r->head.method, STR("HEAD"));
    if (r->run & RUN_FREE) {
        pull_done(r);
        if (r->entered && r->route->on_free)
            r->route->on_free(r);
        return;
    }
    if (r->run & RUN_HEAD)
        head_run(r);
    if ((r->run & RUN_BLOCK) && !http_replied(r))
        r->route->on_body(r, buf_str(&r->body));
    if ((r->run & RUN_END) && !http_replied(r))
        r->route->on_end(r);
    if (r->parked)
        return; /* the reply is another thread's until it resumes */
    if (r->reply == REPLY_STREAM && r->phase != REQ_SENDING && !bodiless)
        r->run |= RUN_PULL; /* the first block, without another way through the loop */
    if (r->run & RUN_PULL)
        pull_run(r);
}

static void stage_over(HttpReq *r);

static void work_run(LoopWork *work)
{
    stages_run((HttpReq *)work);
}

static void work_over(LoopWork *work)
{
    HttpReq *r = (HttpReq *)work;
    r->running = false;
    stage_over(r);
}

/* True: the stages have run; false: a worker runs them and stage_over follows. */
static bool lane_go(HttpReq *r, unsigned run)
{
    r->run = run;
    if (!r->route || r->route->lane == HTTP_ON_LOOP) {
        stages_run(r);
        r->running = r->parked;
        return !r->parked;
    }
    r->running = true;
    r->work.work = work_run;
    r->work.done = work_over;
    if (loop_work(&r->work, (size_t)r->route->lane - 1, NULL) == E_OK)
        return false;
    r->running = false;
    if (run & RUN_FREE) {
        stages_run(r); /* it must run; the lane is full or the server ends */
    } else if (run & RUN_PULL) {
        r->pull_code = err_set(&r->pull_err, E_UNAVAILABLE, "too many requests wait for a worker");
    } else {
        Err err;
        IGNORE(err_set(&err, E_UNAVAILABLE, "too many requests wait for a worker")); /* replied */
        reply_reset(r);
        http_reply_problem(r, &err);
        r->run = 0;
    }
    return true;
}

static void stage_go(HttpReq *r, unsigned run)
{
    if (r->conn->conn)
        loop_conn_rest(r->conn->conn, true);
    if (lane_go(r, run))
        stage_over(r);
}

static void free_over(HttpReq *r)
{
    if (lane_go(r, RUN_FREE))
        req_free(r);
}

/* ---- the reply ---- */

static bool reply_closes(const HttpReq *r)
{
    return r->conn->closes || !r->head.keep_alive || !r->body_over ||
           atomic_load(&r->server->draining);
}

static void whole_send(HttpReq *r)
{
    LoopConn *conn = r->conn->conn;
    Buf head;
    bool bodiless = str_eq(r->head.method, STR("HEAD")) || r->status == 204 || r->status == 304;
    int64_t length = (int64_t)r->reply_body.len;
    if (r->reply == REPLY_STREAM)
        length = r->length;
    r->conn->closes = reply_closes(r);
    buf_init(&head, 64 << 10);
    reply_head_put(r, &head, length, r->conn->closes);
    loop_conn_send(conn, buf_str(&head));
    buf_done(&head);
    if (!bodiless) {
        r->sent_bytes += r->reply_body.len;
        if (r->reply_body.len > 16 << 10)
            loop_conn_send_take(conn, &r->reply_body);
        else
            loop_conn_send(conn, buf_str(&r->reply_body));
    }
    request_over(r);
}

static void stream_abort(HttpReq *r)
{
    if (log_on(LOG_WARN))
        log_line(LOG_WARN, "reply cut off route=%s id=" STR_FMT " code=%s text=%s",
                 r->route ? r->route->name : "none", STR_ARG(r->id),
                 code_info(r->pull_code)->name, r->pull_err.text);
    atomic_fetch_add(&r->server->aborted, 1);
    loop_conn_abort(r->conn->conn); /* comes back as req_gone */
}

static void stream_head_send(HttpReq *r)
{
    Buf head;
    if (r->length < 0 && r->pull_state == HTTP_PULL_END)
        r->length = (int64_t)r->reply_body.len;
    r->chunked_out = r->length < 0 && r->head.minor_version > 0;
    r->conn->closes = reply_closes(r) || (r->length < 0 && !r->chunked_out);
    buf_init(&head, 64 << 10);
    reply_head_put(r, &head, r->length, r->conn->closes);
    loop_conn_send(r->conn->conn, buf_str(&head));
    buf_done(&head);
    r->head_sent = true;
}

/* Sends what was pulled; false: the request is over or the socket is gone. */
static bool block_send(HttpReq *r)
{
    LoopConn *conn = r->conn->conn;
    if (r->pull_code != E_OK && !r->head_sent) {
        reply_reset(r);
        http_reply_problem(r, &r->pull_err);
        whole_send(r);
        return false;
    }
    uint64_t sum = r->sent_bytes + r->reply_body.len;
    bool wrong = r->length >= 0 && (sum > (uint64_t)r->length ||
                                    (r->pull_state == HTTP_PULL_END && sum != (uint64_t)r->length));
    if (r->pull_code != E_OK || wrong) {
        stream_abort(r);
        return false;
    }
    if (!r->head_sent)
        stream_head_send(r);
    r->sent_bytes = sum;
    if (r->reply_body.len > 0) {
        char size[24];
        int len = snprintf(size, sizeof size, "%zx\r\n", r->reply_body.len);
        if (r->chunked_out) {
            loop_conn_send(conn, str_of(size, (size_t)len));
            buf_put(&r->reply_body, STR("\r\n"));
        }
        loop_conn_send_take(conn, &r->reply_body);
        buf_init(&r->reply_body, HTTP_PULLED_MAX);
    }
    if (r->pull_state == HTTP_PULL_CUT) { /* no last chunk: the client sees that it is not whole */
        atomic_fetch_add(&r->server->aborted, 1);
        r->conn->closes = true;
        request_over(r);
        return false;
    }
    if (r->pull_state == HTTP_PULL_END) {
        if (r->chunked_out)
            loop_conn_send(conn, STR("0\r\n\r\n"));
        request_over(r);
        return false;
    }
    if (r->pull_state == HTTP_PULL_LATER) {
        r->pull_waits = true;
        loop_timer_set(r->conn->loop, &r->later, HTTP_PULL_LATER_MS);
    }
    return true;
}

void req_pull(HttpReq *r)
{
    while (r->phase == REQ_SENDING && !r->running && !r->pull_waits &&
           loop_conn_queued(r->conn->conn) < (size_t)HTTP_PULL_AHEAD * HTTP_PULL_BYTES) {
        if (!lane_go(r, RUN_PULL) || !block_send(r))
            return;
    }
}

static void later_over(LoopTimer *timer)
{
    HttpReq *r = (HttpReq *)((char *)timer - offsetof(HttpReq, later));
    r->pull_waits = false;
    req_pull(r);
}

static void reply_begin(HttpReq *r)
{
    bool bodiless = str_eq(r->head.method, STR("HEAD")) || r->status == 204 || r->status == 304;
    loop_timer_stop(r->conn->loop, &r->timer);
    if (r->timed_out) {
        Err err;
        IGNORE(err_set(&err, E_TIMEOUT, "the request took longer than %u ms", r->timeout_ms)); /* sent */
        reply_reset(r);
        http_reply_problem(r, &err);
    }
    if (r->reply == REPLY_WHOLE || bodiless) {
        whole_send(r);
        return;
    }
    r->phase = REQ_SENDING;
    bool pulled = r->run & RUN_PULL;
    if (!pulled || block_send(r))
        req_pull(r);
}

/* The reply is queued, or the socket is gone. */
static void request_over(HttpReq *r)
{
    HttpConn *conn = r->conn;
    loop_timer_stop(conn->loop, &r->timer);
    loop_timer_stop(conn->loop, &r->later);
    r->phase = REQ_OVER;
    req_count(r);
    conn->req = NULL;
    r->conn = NULL;
    if (conn->conn)
        conn_request_over(conn);
    else
        conn_free(conn);
    if (r->pull || (r->entered && r->route->on_free))
        free_over(r);
    else
        req_free(r);
}

/* ---- stages ---- */

static unsigned head_stage(const HttpReq *r)
{
    return r->head_ran ? 0 : RUN_HEAD;
}

static void body_await(HttpReq *r)
{
    r->phase = REQ_BODY;
    loop_conn_rest(r->conn->conn, false);
}

static void end_go(HttpReq *r)
{
    unsigned block = r->route->on_body && r->body.len > 0 ? RUN_BLOCK : 0;
    r->phase = REQ_END;
    if (r->route->on_body && r->timeout_ms)
        loop_timer_set(r->conn->loop, &r->timer, r->timeout_ms);
    stage_go(r, head_stage(r) | block | RUN_END);
}

static void accepted(HttpReq *r)
{
    if (r->head.expects_continue && r->has_body && !r->body_over)
        loop_conn_send(r->conn->conn, STR("HTTP/1.1 100 Continue\r\n\r\n"));
    if (r->body_over) {
        end_go(r);
        return;
    }
    if (r->route->on_body)
        loop_timer_stop(r->conn->loop, &r->timer); /* the minimum rate bounds an upload */
    body_await(r);
}

/* A stage has run, on the loop again. */
static void stage_over(HttpReq *r)
{
    if (r->run & RUN_FREE) {
        req_free(r);
        return;
    }
    if (!r->conn->conn) {
        if (r->reply == REPLY_NONE)
            r->status = 499;
        request_over(r);
        return;
    }
    if (r->phase == REQ_SENDING) {
        if (block_send(r))
            req_pull(r);
        return;
    }
    if (!http_replied(r) && (r->phase == REQ_END || r->timed_out)) {
        Err err;
        IGNORE(err_set(&err, E_INTERNAL, "the request was not answered")); /* it is now */
        http_reply_problem(r, &err);
    }
    if (http_replied(r)) {
        reply_begin(r);
    } else if (r->phase == REQ_HEAD) {
        accepted(r);
    } else {
        buf_clear(&r->body);
        body_await(r);
    }
}

void http_req_park(HttpReq *r)
{
    ASSERT(r->route->lane == HTTP_ON_LOOP);
    r->parked = true;
}

static void resumed(LoopPost *post)
{
    HttpReq *r = (HttpReq *)post;
    r->parked = false;
    r->running = false;
    stage_over(r);
}

void http_req_resume(HttpReq *r)
{
    r->work.post.run = resumed;
    loop_post(r->work.loop, &r->work.post);
}

/* ---- the body ---- */

size_t body_refuse(HttpReq *r, int status, Code code, const char *text, size_t taken)
{
    Err err;
    IGNORE(err_set(&err, code, "%s", text)); /* sent */
    r->conn->closes = true;
    http_reply_problem_status(r, status, &err, STR_NONE);
    loop_conn_rest(r->conn->conn, true);
    reply_begin(r);
    return taken;
}

/* Puts data into the block; false: over the limit. */
static bool body_keep(HttpReq *r, Str data)
{
    r->body_bytes += data.len;
    if (r->body_bytes > r->body_max)
        return false;
    buf_put(&r->body, data);
    return true;
}

size_t req_body_in(HttpReq *r, Str bytes)
{
    size_t room = r->route->on_body ? HTTP_BLOCK_BYTES - r->body.len : bytes.len;
    Str in = str_sub(bytes, 0, MIN(room, (size_t)HTTP_BLOCK_BYTES)), all = in, data;
    HttpRefusal refusal = { 0 };
    if (r->head.chunked) {
        HttpStep step = HTTP_MORE;
        while (step == HTTP_MORE && in.len > 0) {
            step = http_chunks_next(&r->chunks, &in, &data, &refusal);
            if (step == HTTP_REFUSE)
                return body_refuse(r, refusal.status, E_INVALID, refusal.text, all.len);
            if (!body_keep(r, data))
                return body_refuse(r, 413, E_LIMIT, "the body is larger than this path takes", all.len);
        }
        r->body_over = step == HTTP_DONE;
    } else {
        data = str_sub(in, 0, (size_t)MIN((uint64_t)in.len, r->body_left));
        in = str_from(in, data.len);
        r->body_left -= data.len;
        r->body_over = r->body_left == 0;
        if (!body_keep(r, data))
            return body_refuse(r, 413, E_LIMIT, "the body is larger than this path takes", all.len);
    }
    size_t taken = all.len - in.len;
    r->conn->received_bytes += taken;
    if (r->body_over)
        end_go(r);
    else if (r->route->on_body && r->body.len == HTTP_BLOCK_BYTES)
        stage_go(r, RUN_BLOCK);
    return taken;
}

/* ---- the beginning ---- */

static void time_over(LoopTimer *timer)
{
    HttpReq *r = (HttpReq *)((char *)timer - offsetof(HttpReq, timer));
    atomic_fetch_add(&r->server->timeouts, 1);
    if (!r->running) {
        body_refuse(r, 408, E_TIMEOUT, "the body did not come in time", 0);
        return;
    }
    r->timed_out = true;
    req_cancel(r);
}

static void refuse_now(HttpReq *r, int status, Code code, const char *text)
{
    Err err;
    IGNORE(err_set(&err, code, "%s", text)); /* sent */
    http_reply_problem_status(r, status, &err, STR_NONE);
    reply_begin(r);
}

static void not_routed(HttpReq *r, Str allow)
{
    if (allow.len > 0)
        http_reply_header(r, "Allow", allow);
    if (allow.len > 0 && str_eq(r->head.method, STR("OPTIONS"))) {
        http_reply(r, 204, NULL, STR_NONE);
        reply_begin(r);
    } else if (allow.len > 0) {
        refuse_now(r, 405, E_UNSUPPORTED, "this path does not know this method");
    } else {
        refuse_now(r, 404, E_NOT_FOUND, "there is no such path; GET /v1/openapi.json lists them");
    }
}

void req_begin(HttpReq *r)
{
    const HttpOptions *options = &r->server->options;
    Str allow = STR_NONE;
    loop_conn_rest(r->conn->conn, true);
    r->work.loop = r->conn->loop;
    if (!route_find(r, &allow)) {
        not_routed(r, allow);
        return;
    }
    r->body_max = r->route->body_max ? r->route->body_max : HTTP_BODY_DEFAULT_MAX;
    if (r->head.has_length && r->head.content_length > r->body_max) {
        refuse_now(r, 413, E_LIMIT, "the body is larger than this path takes");
        return;
    }
    buf_init(&r->body, r->route->on_body ? HTTP_BLOCK_BYTES : (size_t)MAX(r->body_max, 1ull));
    r->timeout_ms = r->route->timeout_ms ? r->route->timeout_ms : options->request_ms_max;
    loop_timer_set(r->conn->loop, &r->timer, r->timeout_ms);
    bool early = r->route->on_head || r->route->on_body || r->head.expects_continue;
    if (r->has_body && early)
        stage_go(r, RUN_HEAD);
    else if (r->has_body)
        body_await(r);
    else
        end_go(r);
}

/* ---- the client is gone ---- */

void req_cancel(HttpReq *r)
{
    mutex_lock(&r->mutex);
    void (*cancel)(void *arg) = TAKE(r->cancel);
    __atomic_store_n(&r->cancelled, true, __ATOMIC_RELEASE);
    if (cancel)
        cancel(r->cancel_arg);
    mutex_unlock(&r->mutex);
}

void req_gone(HttpReq *r)
{
    req_cancel(r);
    if (r->running)
        return; /* stage_over ends it */
    if (r->reply == REPLY_NONE)
        r->status = 499;
    request_over(r);
}
