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
    Err err;
    err_clear(&err);
    r->pull_code = r->pull->pull(r->pull_self, &r->reply_body, &r->pull_state, &err);
    if (r->pull_code == E_OK)
        r->pull_code = buf_end(&r->reply_body, "a block of the reply", &err);
    if (r->pull_code != E_OK)
        r->pull_err = arena_copy(&r->arena, &err, sizeof err);
    if (r->pull_code != E_OK || r->pull_state == HTTP_PULL_END || r->pull_state == HTTP_PULL_CUT)
        pull_done(r);
}

/* Fields, compression: once for each head that goes out. */
void reply_shape(HttpReq *r)
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
    if ((r->run & RUN_END) && !http_replied(r) && room_had(r))
        r->route->on_end(r);
    if (r->parked || r->moves || r->room_wanted > 0)
        return; /* the reply is another thread's until it resumes, or it is not made yet */
    if (http_replied(r) && !r->shaped)
        reply_shape(r);
    if (r->reply == REPLY_STREAM && r->phase != REQ_SENDING && !reply_bodiless(r) && !r->held)
        r->run |= RUN_PULL; /* the first block, without another way through the loop */
    if (r->run & RUN_PULL)
        pull_run(r);
}

static void work_run(LoopWork *work)
{
    stages_run((HttpReq *)work);
}

static void work_over(LoopWork *work)
{
    HttpReq *r = (HttpReq *)work;
    r->running = false;
    if (r->room_wanted > 0 && r->conn && !r->timed_out) {
        room_await(r);
        return;
    }
    r->room_wanted = 0;
    stage_over(r);
}

static bool moved(HttpReq *r)
{
    r->moves = false;
    r->lane = HTTP_ON_IO_WORKER;
    return lane_go(r, RUN_END);
}

/* True: the stages have run; false: a worker runs them and stage_over follows. */
bool lane_go(HttpReq *r, unsigned run)
{
    r->run = run;
    r->held = reply_held(r);
    if (!r->route || r->lane == HTTP_ON_LOOP) {
        stages_run(r);
        if (r->moves)
            return moved(r);
        if (r->room_wanted > 0) {
            room_await(r);
            return false;
        }
        r->running = r->parked;
        return !r->parked;
    }
    r->running = true;
    r->work.work = work_run;
    r->work.done = work_over;
    if (loop_work(&r->work, (size_t)r->lane - 1, NULL) == E_OK)
        return false;
    r->running = false;
    if (run & RUN_FREE) {
        stages_run(r); /* it must run; the lane is full or the server ends */
    } else if (run & RUN_PULL) {
        r->pull_err = arena_new(&r->arena, Err);
        r->pull_code = err_set(r->pull_err, E_UNAVAILABLE, "too many requests wait for a worker");
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

void stage_go(HttpReq *r, unsigned run)
{
    if (lane_go(r, run)) {
        stage_over(r);
        return;
    }
    if (r->phase == REQ_HEAD || r->phase == REQ_END)
        clock_start(r);
    if (r->conn)
        r->wire->rest(r, !body_reads_ahead(r));
}

static void free_over(HttpReq *r)
{
    if (lane_go(r, RUN_FREE))
        req_free(r);
}

/* The reply is queued, or the client is gone. */
void request_over(HttpReq *r)
{
    loop_timer_stop(r->loop, &r->timer);
    loop_timer_stop(r->loop, &r->later);
    r->phase = REQ_OVER;
    file_drop(r);
    IGNORE(body_charge_to(r, 0)); /* less is always had */
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

void body_await(HttpReq *r)
{
    r->phase = REQ_BODY;
    if (!r->route->on_body)
        clock_start(r);
    r->wire->rest(r, false);
}

void end_go(HttpReq *r)
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

/* A stage has run, on the loop again. */
void stage_over(HttpReq *r)
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
        bool left = http_req_cancelled(r) && !r->timed_out; /* 499: nobody is there to read it */
        IGNORE(err_set(&err, left ? E_CANCELLED : E_INTERNAL, "the request was not answered")); /* it is now */
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

bool http_req_on_loop(const HttpReq *r)
{
    return r->lane == HTTP_ON_LOOP;
}

void http_req_freed(HttpReq *r)
{
    r->entered = false;
}

void http_req_move(HttpReq *r)
{
    ASSERT(http_req_on_loop(r) && (r->run & RUN_END) && !http_replied(r));
    r->moves = true;
}

void http_req_park(HttpReq *r)
{
    ASSERT(http_req_on_loop(r));
    r->parked = true;
    loop_expect(r->loop);
}

static void resumed(LoopPost *post)
{
    HttpReq *r = (HttpReq *)post;
    loop_came(r->loop);
    r->parked = false;
    r->running = false;
    stage_over(r);
}

void http_req_resume(HttpReq *r)
{
    r->work.post.run = resumed;
    loop_post(r->work.loop, &r->work.post);
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

/* RFC 9110 9.3, RFC 5789, and what any route has. */
static bool method_is_known(const HttpReq *r)
{
    static const Str methods[] = { STR_INIT("GET"), STR_INIT("HEAD"), STR_INIT("POST"), STR_INIT("PUT"),
                                   STR_INIT("DELETE"), STR_INIT("CONNECT"), STR_INIT("OPTIONS"),
                                   STR_INIT("TRACE"), STR_INIT("PATCH") };
    const HttpOptions *options = &r->server->options;
    bool known = false;
    for (size_t i = 0; i < ARRAY_LEN(methods) && !known; i++)
        known = str_eq(methods[i], r->head.method);
    for (size_t i = 0; i < options->route_count && !known; i++)
        known = str_eq(str_z(options->routes[i].method), r->head.method);
    return known;
}

static void not_routed(HttpReq *r)
{
    if (!method_is_known(r)) {
        r->head.keep_alive = false; /* perhaps it is the rest of something that was read wrongly */
        refuse_now(r, 501, E_UNSUPPORTED, "this method is not known");
        return;
    }
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
    const LoopConn *socket = r->conn->conn;
    const TlsInfo *tls = socket ? loop_conn_tls(socket) : NULL;
    if (socket)
        r->address = *loop_conn_address(socket);
    if (tls) {
        r->policy.scheme = STR("https");
        r->tls_name = str_copy(&r->arena, tls->peer_name);
    }
    r->body_over = !r->has_body;
    policy_head(r);
    bool routed = route_find(r);
    if (!policy_admit(r)) {
        reply_begin(r);
        return;
    }
    if (!routed) {
        not_routed(r);
        return;
    }
    r->lane = r->route->lane_of ? r->route->lane_of(r) : r->route->lane;
    if (!r->route->takes_its_time || !r->route->takes_its_time(r))
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
    if (r->route->on_head || r->route->on_body || r->head.expects_continue || body_charged_whole(r))
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
