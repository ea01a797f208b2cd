/* One request from its head to the end of its reply, whatever protocol it came by.
 *
 * Invariants:
 * 1. While `running` the request is its worker's (or its parker's); the loop looks at nothing but
 *    `conn`, `cancelled`, `timed_out`, `ahead`, `trailers`, `body_over` and the refusal, which the
 *    worker does not touch. Only the loop sets and clears `running`.
 * 2. Phases: HEAD -> BODY -> END -> SENDING or DUPLEX -> over; a reply in HEAD or BODY skips to the
 *    reply, and the rest of the body is not read.
 * 3. on_free runs exactly once when authorize let the request in; `done` of a stream exactly once.
 * 4. The head of a streamed reply goes out with its first block, so an error of the first block still
 *    gives a problem document; a later error cuts the reply off.
 * 5. The wire's `over` is called exactly once, also when the client is gone; `conn` is NULL from the
 *    moment that the client is gone, and after `over`.
 * 6. A request that the loop leaves while its client may still speak rests: it sees bytes only in BODY
 *    and DUPLEX.
 *
 *   phase    what moves it on                                   function
 *   HEAD     authorize and on_head have run                     stage_over
 *   BODY     a block is full, the body is complete              req_body_in, req_body_end, stage_over
 *   END      on_end has run, or http_req_resume                 stage_over
 *   SENDING  the wire has room, a block has been pulled         req_pull, block_send
 *   DUPLEX   the handler ends it, or the client goes            http_duplex.c */
#include "front/http/http_priv.h"

#include "base/log.h"

#include <string.h>

enum { SPARE_BYTES_MAX = 16 << 10 }; /* of memory that an ended request keeps for the next */

/* ---- making and ending ---- */

static void time_over(LoopTimer *timer);
static void later_over(LoopTimer *timer);

HttpReq *req_new(HttpConn *conn, const HttpWire *wire, void *link)
{
    HttpRoom *room = conn->room;
    HttpReq *r = room->spare;
    if (r) {
        room->spare = r->next_spare;
        room->spare_count--;
        memset(r, 0, offsetof(HttpReq, mutex));
        r->cancel = NULL;
    } else {
        r = mem_new(sizeof *r);
        mutex_init(&r->mutex);
        buf_init(&r->reply_body, HTTP_PULLED_MAX);
    }
    r->conn = conn;
    r->wire = wire;
    r->link = link;
    r->room = room;
    r->server = room->server;
    r->loop = atomic_load_explicit(&room->loop, memory_order_relaxed);
    r->work.loop = r->loop;
    r->stats_at = r->server->options.route_count;
    r->started_us = loop_now_us(r->loop);
    r->timer.fire = time_over;
    r->later.fire = later_over;
    return r;
}

void req_drop(HttpReq *r)
{
    HttpRoom *room = r->room;
    buf_done(&r->body);
    buf_done(&r->ahead);
    buf_done(&r->trailers);
    if (room->spare_count == HTTP_SPARE_REQUESTS) {
        buf_done(&r->reply_body);
        mutex_done(&r->mutex);
        arena_done(&r->arena);
        mem_free(&r);
        return;
    }
    if (r->reply_body.cap > SPARE_BYTES_MAX)
        buf_done(&r->reply_body);
    buf_clear(&r->reply_body);
    r->reply_body.max = HTTP_PULLED_MAX;
    if (r->arena.used_bytes > SPARE_BYTES_MAX)
        arena_done(&r->arena);
    else
        arena_reset(&r->arena);
    r->next_spare = room->spare;
    room->spare = r;
    room->spare_count++;
}

static void req_free(HttpReq *r)
{
    ASSERT(!r->pull && !r->file && !r->timer.class_at && !r->later.class_at);
    room_count(&r->room->ended);
    req_drop(r);
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

/* Fields, compression: once for each head that goes out. */
static void shape(HttpReq *r)
{
    r->shaped = true;
    policy_reply(r);
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
    if (!policy_admit_key(r))
        return;
    r->entered = true;
    if (r->route->on_head)
        r->route->on_head(r);
}

static void stages_run(HttpReq *r)
{
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
    if (http_replied(r) && !r->shaped)
        shape(r);
    if (r->reply == REPLY_STREAM && r->phase != REQ_SENDING && !reply_bodiless(r))
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

static void clock_start(HttpReq *r)
{
    if (!r->timer.class_at && r->timeout_ms > 0)
        loop_timer_set(r->loop, &r->timer, r->timeout_ms);
}

/* What comes while a worker has a block is kept, up to one block. */
static bool reads_ahead(const HttpReq *r)
{
    return r->phase == REQ_BODY && r->running && !r->body_over && r->refusal_status == 0 &&
           r->ahead.len < HTTP_BLOCK_BYTES;
}

static void stage_go(HttpReq *r, unsigned run)
{
    if (lane_go(r, run)) {
        stage_over(r);
        return;
    }
    if (r->phase == REQ_HEAD || r->phase == REQ_END)
        clock_start(r);
    if (r->conn)
        r->wire->rest(r, !reads_ahead(r));
}

static void free_over(HttpReq *r)
{
    if (lane_go(r, RUN_FREE))
        req_free(r);
}

/* ---- the reply ---- */

bool reply_bodiless(const HttpReq *r)
{
    return r->status == 204 || r->status == 304 || str_eq(r->head.method, STR("HEAD"));
}

static void whole_send(HttpReq *r)
{
    bool bodiless = reply_bodiless(r);
    int64_t length = r->reply == REPLY_WHOLE ? (int64_t)r->reply_body.len : r->length;
    bool ends = bodiless || (length == 0 && r->reply_trailer_count == 0);
    r->head_sent = true;
    r->wire->head(r, length, ends);
    if (!ends) {
        r->sent_bytes += r->reply_body.len;
        if (r->reply_body.len > 0)
            r->wire->body(r, &r->reply_body);
        r->wire->end(r);
    }
    request_over(r);
}

void reply_cut(HttpReq *r)
{
    room_count(&r->room->aborted);
    r->wire->cut(r);
    request_over(r);
}

static void stream_abort(HttpReq *r)
{
    if (log_on(LOG_WARN))
        log_line(LOG_WARN, "reply cut off route=%s id=" STR_FMT " code=%s text=%s",
                 r->route ? r->route->name : "none", STR_ARG(r->id),
                 code_info(r->pull_code)->name, r->pull_err.text);
    reply_cut(r);
}

static void stream_head_send(HttpReq *r)
{
    if (r->length < 0 && r->pull_state == HTTP_PULL_END)
        r->length = (int64_t)r->reply_body.len;
    r->head_sent = true;
    r->wire->head(r, r->length, false);
}

/* A problem in the place of a reply that has not begun. */
static void problem_send(HttpReq *r, const Err *err)
{
    reply_reset(r);
    http_reply_problem(r, err);
    shape(r);
    whole_send(r);
}

/* Sends what was pulled; false: the request is over or the client is gone. */
static bool block_send(HttpReq *r)
{
    if (r->pull_code != E_OK && !r->head_sent) {
        problem_send(r, &r->pull_err);
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
    if (r->reply_body.len > 0)
        r->wire->body(r, &r->reply_body);
    if (r->pull_state == HTTP_PULL_CUT) {
        reply_cut(r);
        return false;
    }
    if (r->pull_state == HTTP_PULL_END) {
        r->wire->end(r);
        request_over(r);
        return false;
    }
    if (r->pull_state == HTTP_PULL_LATER) {
        r->pull_waits = true;
        loop_timer_set(r->loop, &r->later, HTTP_PULL_LATER_MS);
    }
    return true;
}

void req_pull(HttpReq *r)
{
    while (r->phase == REQ_SENDING && !r->running && !r->pull_waits &&
           r->wire->queued(r) < (size_t)HTTP_PULL_AHEAD * HTTP_PULL_BYTES) {
        if (!lane_go(r, RUN_PULL) || !block_send(r))
            return;
    }
}

static void later_over(LoopTimer *timer)
{
    HttpReq *r = (HttpReq *)((char *)timer - offsetof(HttpReq, later));
    if (r->phase == REQ_DUPLEX) {
        duplex_show(r);
        return;
    }
    r->pull_waits = false;
    req_pull(r);
}

void reply_begin(HttpReq *r)
{
    loop_timer_stop(r->loop, &r->timer);
    if (r->timed_out) {
        Err err;
        IGNORE(err_set(&err, E_TIMEOUT, "the request took longer than %u ms", r->timeout_ms)); /* sent */
        reply_reset(r);
        http_reply_problem(r, &err);
    }
    if (!r->shaped)
        shape(r);
    if (r->reply == REPLY_WHOLE || reply_bodiless(r)) {
        whole_send(r);
        return;
    }
    r->wire->rest(r, true);
    if (r->reply == REPLY_DUPLEX) {
        duplex_begin(r);
        return;
    }
    r->phase = REQ_SENDING;
    if (r->reply == REPLY_FILE) {
        file_begin(r);
        return;
    }
    bool pulled = r->run & RUN_PULL;
    if (!pulled || block_send(r))
        req_pull(r);
}

/* The reply is queued, or the client is gone. */
void request_over(HttpReq *r)
{
    loop_timer_stop(r->loop, &r->timer);
    loop_timer_stop(r->loop, &r->later);
    r->phase = REQ_OVER;
    file_drop(r);
    policy_over(r);
    r->wire->over(r);
    r->conn = NULL;
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
    if (!r->route->on_body)
        clock_start(r);
    r->wire->rest(r, false);
}

static void end_go(HttpReq *r)
{
    unsigned block = r->route->on_body && r->body.len > 0 ? RUN_BLOCK : 0;
    r->phase = REQ_END;
    stage_go(r, head_stage(r) | block | RUN_END);
}

static void accepted(HttpReq *r)
{
    if (!r->has_body) {
        end_go(r);
        return;
    }
    if (r->head.expects_continue)
        r->wire->proceed(r);
    if (r->route->on_body)
        loop_timer_stop(r->loop, &r->timer); /* the minimum rate bounds an upload */
    body_await(r);
}

/* A worker has done with a block; the next one may have come in the meantime. */
static void block_over(HttpReq *r)
{
    buf_clear(&r->body);
    if (r->refusal_status != 0) {
        req_refuse(r, r->refusal_status, r->refusal_code, r->refusal_text);
        return;
    }
    if (r->ahead.len > 0) {
        Buf worked = r->body;
        r->body = r->ahead;
        r->ahead = worked;
        r->body_bytes += r->body.len;
    }
    if (r->body_over) {
        end_go(r);
        return;
    }
    body_await(r); /* a peer that has ended shows when the wire does not rest */
    if (r->body.len == HTTP_BLOCK_BYTES)
        stage_go(r, RUN_BLOCK);
}

/* A stage has run, on the loop again. */
static void stage_over(HttpReq *r)
{
    if (r->run & RUN_FREE) {
        req_free(r);
        return;
    }
    if (!r->conn) {
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
        block_over(r);
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

static void refuse_now(HttpReq *r, int status, Code code, const char *text)
{
    Err err;
    IGNORE(err_set(&err, code, "%s", text)); /* sent */
    http_reply_problem_status(r, status, &err, STR_NONE);
    reply_begin(r);
}

void req_refuse(HttpReq *r, int status, Code code, const char *text)
{
    if (r->phase == REQ_DUPLEX) {
        http_duplex_abort(r);
    } else if (r->phase == REQ_BODY && r->running) {
        r->refusal_status = status;
        r->refusal_code = code;
        r->refusal_text = text;
        r->wire->rest(r, true);
    } else if (r->phase == REQ_BODY) {
        refuse_now(r, status, code, text);
    }
}

size_t req_body_room(const HttpReq *r)
{
    if (r->phase == REQ_DUPLEX)
        return SIZE_MAX;
    if (r->phase != REQ_BODY || r->body_over || r->refusal_status != 0)
        return 0;
    if (!r->route->on_body)
        return SIZE_MAX;
    return HTTP_BLOCK_BYTES - (r->running ? r->ahead.len : r->body.len);
}

bool req_receives(const HttpReq *r)
{
    return r->phase == REQ_BODY && !r->running && !r->body_over;
}

size_t req_body_in(HttpReq *r, Str bytes)
{
    if (r->phase == REQ_DUPLEX)
        return duplex_in(r, bytes);
    Str data = str_sub(bytes, 0, req_body_room(r));
    if (data.len == 0)
        return 0;
    if (r->wire->consumed)
        r->wire->consumed(r, data.len);
    if (r->body_bytes + (r->running ? r->ahead.len : 0) + data.len > r->body_max) {
        req_refuse(r, 413, E_LIMIT, "the body is larger than this path takes");
        return bytes.len;
    }
    buf_put(r->running ? &r->ahead : &r->body, data);
    if (r->running) {
        if (r->ahead.len == HTTP_BLOCK_BYTES)
            r->wire->rest(r, true);
        return data.len;
    }
    r->body_bytes += data.len;
    if (r->route->on_body && r->body.len == HTTP_BLOCK_BYTES)
        stage_go(r, RUN_BLOCK);
    return data.len;
}

void req_body_end(HttpReq *r, Str trailers)
{
    if (r->phase == REQ_DUPLEX) {
        duplex_in_over(r, trailers);
        return;
    }
    if (r->phase != REQ_BODY || r->body_over || r->refusal_status != 0)
        return;
    buf_put(&r->trailers, trailers);
    r->body_over = true;
    if (r->running)
        r->wire->rest(r, true);
    else
        end_go(r);
}

/* ---- the beginning ---- */

static void time_over(LoopTimer *timer)
{
    HttpReq *r = (HttpReq *)((char *)timer - offsetof(HttpReq, timer));
    room_count(&r->room->timeouts);
    if (!r->running) {
        req_refuse(r, 408, E_TIMEOUT, "the body did not come in time");
        return;
    }
    r->timed_out = true;
    req_cancel(r);
}

static void not_routed(HttpReq *r)
{
    if (r->allow.len > 0)
        http_reply_header(r, "Allow", r->allow);
    if (r->allow.len > 0 && str_eq(r->head.method, STR("OPTIONS"))) {
        http_reply(r, 204, NULL, STR_NONE);
        reply_begin(r);
    } else if (r->allow.len > 0) {
        refuse_now(r, 405, E_UNSUPPORTED, "this path does not know this method");
    } else {
        refuse_now(r, 404, E_NOT_FOUND, "there is no such path; GET /v1/openapi.json lists them");
    }
}

void req_begin(HttpReq *r)
{
    room_count(&r->room->requests);
    r->peer = str_copy(&r->arena, loop_conn_peer(r->conn->conn));
    const TlsInfo *tls = loop_conn_tls(r->conn->conn);
    if (tls) {
        r->policy.scheme = STR("https");
        r->tls_name = str_copy(&r->arena, tls->peer_name);
    }
    r->body_over = !r->has_body;
    policy_head(r);
    if (!r->id.ptr)
        req_name(r);
    bool routed = route_find(r);
    if (!policy_admit(r)) {
        reply_begin(r);
        return;
    }
    if (!routed) {
        not_routed(r);
        return;
    }
    r->timeout_ms = r->route->timeout_ms ? r->route->timeout_ms : r->server->options.request_ms_max;
    if (!r->has_body) {
        end_go(r);
        return;
    }
    r->body_max = r->route->body_max ? r->route->body_max : HTTP_BODY_DEFAULT_MAX;
    if (r->head.has_length && r->head.content_length > r->body_max) {
        refuse_now(r, 413, E_LIMIT, "the body is larger than this path takes");
        return;
    }
    buf_init(&r->body, r->route->on_body ? HTTP_BLOCK_BYTES : (size_t)r->body_max);
    buf_init(&r->ahead, HTTP_BLOCK_BYTES);
    buf_init(&r->trailers, HTTP_TRAILER_BYTES_MAX);
    if (r->route->on_head || r->route->on_body || r->head.expects_continue)
        stage_go(r, RUN_HEAD);
    else
        body_await(r);
}

/* ---- the client is gone, or the server ends ---- */

void req_writable(HttpReq *r)
{
    if (r->phase == REQ_DUPLEX)
        duplex_writable(r);
    else
        req_pull(r);
}

void req_cancel(HttpReq *r)
{
    mutex_lock(&r->mutex);
    void (*cancel)(void *arg) = TAKE(r->cancel);
    __atomic_store_n(&r->cancelled, true, __ATOMIC_RELEASE);
    if (cancel)
        cancel(r->cancel_arg);
    mutex_unlock(&r->mutex);
}

void req_ended(HttpReq *r)
{
    if (r->phase == REQ_DUPLEX)
        duplex_in_over(r, STR_NONE);
    else
        req_cancel(r); /* gone, or it only ended its side: what the handler still says is sent */
}

void req_drain(HttpReq *r)
{
    if (r->phase == REQ_DUPLEX)
        duplex_drain(r);
}

void req_gone(HttpReq *r)
{
    r->conn = NULL;
    req_cancel(r);
    if (r->phase == REQ_DUPLEX) {
        duplex_gone(r);
        return;
    }
    if (r->running)
        return; /* stage_over ends it */
    if (r->reply == REPLY_NONE)
        r->status = 499;
    request_over(r);
}
