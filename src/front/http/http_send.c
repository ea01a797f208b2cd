/* The reply of a request: whole, pulled while the client takes it, or cut off.
 *
 * Invariants:
 * 1. The head of a streamed reply goes out with its first block, so an error of the first block still
 *    gives a problem document; a later error cuts the reply off. Where the peer's window holds the reply
 *    from the beginning, the head goes alone, and nothing is pulled until there is room.
 * 2. A reply stays in flight until most of it has left the queue (TAIL_BYTES), and what it has in memory
 *    is charged to the budget of all until then. Where there is no room, a stream whose pull asks
 *    (http_pull_bytes) goes on in blocks of HTTP_FREE_BYTES, each when the one before has gone; a reply that is
 *    made at once has waited for room before it was made (http_room.c); any other is a 503.
 * 3. `done` of a stream runs exactly once. */
#include "front/http/http_priv.h"

#include "base/log.h"

enum {
    TAIL_BYTES = 64 << 10,   /* that may be queued when a request is over */
    AHEAD_BYTES_MIN = 64 << 10,
    AHEAD_SHARE = 64         /* of what was sent */
};

bool reply_bodiless(const HttpReq *r)
{
    return r->status == 204 || r->status == 304 || str_eq(r->head.method, STR("HEAD"));
}

bool reply_held(const HttpReq *r)
{
    return r->conn && r->wire->held && r->wire->held(r);
}

static size_t to_charge(const HttpReq *r, size_t more)
{
    size_t holds = r->wire->queued(r) + more;
    return r->charged_before + (holds > HTTP_FREE_BYTES ? holds : 0);
}

/* Charges what the reply has in memory, and `more` that may come to it. */
static bool hold(HttpReq *r, size_t more)
{
    return body_charge_to(r, to_charge(r, more));
}

/* What is there already is charged whether there is room or not. */
static void hold_queued(HttpReq *r)
{
    if (!hold(r, 0))
        body_charge_force(r, to_charge(r, 0));
}

/* All of the reply is queued. */
static void sent_all(HttpReq *r)
{
    if (r->wire->queued(r) <= TAIL_BYTES) {
        request_over(r);
        return;
    }
    hold_queued(r);
    r->phase = REQ_SENDING;
    r->finishing = true;
    r->wire->rest(r, true);
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
    sent_all(r);
}

void stream_sent(HttpReq *r)
{
    r->wire->end(r);
    sent_all(r);
}

void reply_hold(HttpReq *r)
{
    hold_queued(r);
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
                 code_info(r->pull_code)->name, r->pull_err->text);
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
    reply_shape(r);
    whole_send(r);
}

/* How much may be queued when more is pulled: little at first, so that a reader who stops at once
 * holds little, and more for one who has taken much. */
static size_t ahead_of(const HttpReq *r)
{
    return (size_t)MIN(AHEAD_BYTES_MIN + r->sent_bytes / AHEAD_SHARE,
                       (uint64_t)HTTP_PULL_AHEAD * HTTP_PULL_BYTES);
}

/* What one block may have, as far as there is budget. */
static size_t pull_most(const HttpReq *r)
{
    return bytes_crowd(r) ? CROWD_PULL_BYTES : HTTP_PULL_BYTES;
}

/* For room: who can do with less leaves it to them. */
static bool others_wait(const HttpReq *r)
{
    return limits_bytes_short(policy_limits(r->server->policy));
}

/* The loop asks before each block (may_pull), but not before the first: that one is pulled where the
 * reply was set. */
size_t http_pull_bytes(HttpReq *r, size_t wanted)
{
    if (wanted <= HTTP_FREE_BYTES)
        return wanted;
    if (r->pull_room == 0) {
        size_t most = MIN(wanted, pull_most(r));
        bool has = r->pull_charged > 0; /* by http_room.c */
        bool had = has || (!others_wait(r) && body_charge(r, r->charged + most));
        if (had && !has)
            r->pull_charged = most;
        r->pull_room = had ? MIN(most, r->pull_charged) : HTTP_FREE_BYTES;
    }
    return MIN(wanted, r->pull_room);
}

/* Without budget a reply goes on when all before has gone: it waits for its own reader only. */
static bool may_pull(HttpReq *r)
{
    size_t queued = r->wire->queued(r), most = pull_most(r);
    if (queued >= ahead_of(r) || reply_held(r))
        return false;
    if (queued > 0 && bytes_crowd(r))
        return false;
    bool had = !others_wait(r) && hold(r, most);
    if (!had)
        hold_queued(r); /* gives back */
    r->pull_room = had ? most : HTTP_FREE_BYTES;
    return had || queued == 0;
}

/* Sends what was pulled; false: the request is over or the client is gone. */
bool block_send(HttpReq *r)
{
    if (r->pull_code != E_OK && !r->head_sent) {
        problem_send(r, r->pull_err);
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
        stream_sent(r);
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
    if (r->finishing && r->wire->queued(r) <= TAIL_BYTES) {
        request_over(r);
        return;
    }
    if (cuts_go(r))
        return;
    while (r->phase == REQ_SENDING && !r->finishing && !r->running && !r->pull_waits && may_pull(r)) {
        if (!lane_go(r, RUN_PULL) || !block_send(r))
            return;
    }
    if (r->phase == REQ_SENDING && !r->running)
        hold_queued(r);
}

void later_over(LoopTimer *timer)
{
    HttpReq *r = (HttpReq *)((char *)timer - offsetof(HttpReq, later));
    if (r->phase == REQ_DUPLEX) {
        duplex_show(r);
        return;
    }
    r->pull_waits = false;
    req_pull(r);
}

/* Behind a whole reply nobody reads the body of the request any more: its room is that of the reply's `bytes`, and
 * only what is left goes to those who wait. */
static bool asked_drop(HttpReq *r, size_t bytes)
{
    if (r->reply != REPLY_WHOLE || r->phase != REQ_END)
        return false;
    buf_done(&r->body);
    r->body_room = 0;
    size_t kept = bytes > HTTP_FREE_BYTES ? MIN(bytes, r->charged) : 0;
    IGNORE(body_charge_to(r, MAX(r->pull_charged, kept))); /* less is always had */
    return true;
}

/* What the reply has in memory, or will have with its first block; false: there is no room. What has waited for
 * room, or asked how much there is, is as large as it is because it cannot be smaller; and who looks after the
 * server needs to see it when it is full. */
static bool room_take(HttpReq *r)
{
    bool pulls = r->reply == REPLY_STREAM && !(r->run & RUN_PULL) && !r->held && !reply_bodiless(r);
    bool goes_on = r->has_room || r->pull_room > 0 || (r->route && (r->route->flags & HTTP_ROUTE_NO_ADMIT));
    size_t bytes = pulls ? (size_t)HTTP_PULL_BYTES : r->reply_body.len;
    r->charged_before = asked_drop(r, bytes) ? 0 : r->charged - r->pull_charged;
    if (bytes <= HTTP_FREE_BYTES || body_charge(r, r->charged_before + bytes))
        return true;
    if (goes_on)
        body_charge_force(r, r->charged_before + bytes);
    return goes_on;
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
    bool pulled = r->run & RUN_PULL;
    if (!pulled)
        r->held = reply_held(r); /* it may have been parked for long */
    if (!room_take(r)) {
        Err err;
        IGNORE(err_set(&err, E_UNAVAILABLE, "the server has too much to send")); /* sent */
        reply_reset(r);
        http_reply_problem(r, &err);
    }
    if (!r->shaped)
        reply_shape(r);
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
    if (!pulled && r->held)
        stream_head_send(r); /* the peer sees the status, and opens its window */
    if (!pulled || block_send(r))
        req_pull(r);
}

