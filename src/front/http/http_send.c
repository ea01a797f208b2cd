/* The reply of a request: whole, pulled while the client takes it, or cut off.
 *
 * Invariants:
 * 1. The head of a streamed reply goes out with its first block, so an error of the first block still
 *    gives a problem document; a later error cuts the reply off.
 * 2. A reply stays in flight until most of it has left the queue (TAIL_BYTES), and what it may have in
 *    memory is charged to the budget of all until then; a reply for which there is no room is a 503.
 * 3. `done` of a stream runs exactly once. */
#include "front/http/http_priv.h"

#include "base/log.h"

enum {
    TAIL_BYTES = 64 << 10,   /* that may be queued when a request is over */
    FREE_BYTES = 16 << 10,   /* of a reply that are not charged */
    AHEAD_BYTES_MIN = 64 << 10,
    AHEAD_SHARE = 64         /* of what was sent */
};

bool reply_bodiless(const HttpReq *r)
{
    return r->status == 204 || r->status == 304 || str_eq(r->head.method, STR("HEAD"));
}

/* All of the reply is queued. */
static void sent_all(HttpReq *r)
{
    if (r->wire->queued(r) <= TAIL_BYTES) {
        request_over(r);
        return;
    }
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
static void ahead_grow(HttpReq *r)
{
    size_t ahead = (size_t)MIN(AHEAD_BYTES_MIN + r->sent_bytes / AHEAD_SHARE,
                               (uint64_t)HTTP_PULL_AHEAD * HTTP_PULL_BYTES);
    if (ahead >= r->pull_ahead + AHEAD_BYTES_MIN && body_charge(r, ahead + HTTP_PULL_BYTES))
        r->pull_ahead = ahead;
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
    ahead_grow(r);
    if (r->reply_body.len > 0)
        r->wire->body(r, &r->reply_body);
    if (r->pull_state == HTTP_PULL_CUT) {
        reply_cut(r);
        return false;
    }
    if (r->pull_state == HTTP_PULL_END) {
        r->wire->end(r);
        sent_all(r);
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
    if (r->finishing) {
        if (r->wire->queued(r) <= TAIL_BYTES)
            request_over(r);
        return;
    }
    while (r->phase == REQ_SENDING && !r->running && !r->pull_waits &&
           r->wire->queued(r) < r->pull_ahead) {
        if (!lane_go(r, RUN_PULL) || !block_send(r))
            return;
    }
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

/* What the reply may have in memory; false: there is no room. */
static bool room_take(HttpReq *r)
{
    if (r->reply == REPLY_WHOLE)
        return r->reply_body.len <= FREE_BYTES || body_charge(r, r->reply_body.len);
    if (r->reply != REPLY_STREAM)
        return true;
    r->pull_ahead = AHEAD_BYTES_MIN;
    return body_charge(r, AHEAD_BYTES_MIN + HTTP_PULL_BYTES);
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
    bool pulled = r->run & RUN_PULL;
    if (!pulled || block_send(r))
        req_pull(r);
}

