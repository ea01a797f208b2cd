/* Replies that are made at once: their room in the budget of all is had before they are made, or waited for. So is
 * that of collected bodies before they are read on.
 *
 * Invariants:
 * 1. Who waits holds nothing of the budget: what was charged for a body that is worked on already is given back
 *    first; a request that keeps its body (collected, of more than HTTP_FREE_BYTES) does not wait for its reply
 *    and goes on without room of its own.
 * 2. A request that waits is parked: the loop sees it as running. Either `granted` or leaving the line resumes
 *    it, never both.
 * 3. on_end runs once, when there is room. The time limit of the request goes on; over it the answer is 503.
 *    A body of more than a client ever has room for waits for what it can have, and is refused then.
 * 4. Room that was had is what the reply is charged, until it has begun; a reply that becomes larger is charged
 *    all the same, since it is there. At most as many as there are workers are made at once. */
#include "front/http/http_priv.h"

static Limits *limits_of(const HttpReq *r)
{
    return policy_limits(r->server->policy);
}

static void room_note(HttpReq *r, size_t bytes)
{
    r->charged += bytes;
    r->pull_charged = bytes;
    r->has_room = true;
}

/* on_body has seen the whole body. */
static void block_drop(HttpReq *r)
{
    if (!r->route->on_body)
        return;
    buf_done(&r->body);
    buf_done(&r->ahead);
    r->body_room = r->ahead_room = 0;
    IGNORE(body_charge_to(r, 0)); /* less is always had */
}

bool room_had(HttpReq *r)
{
    size_t bytes = r->has_room || !r->route->room_of ? 0 : r->route->room_of(r);
    if (bytes <= HTTP_FREE_BYTES)
        return true;
    block_drop(r);
    if (r->charged > 0)
        return true;
    if (limits_bytes_try(limits_of(r), r->policy.entry, bytes))
        room_note(r, bytes);
    else
        r->room_wanted = bytes;
    return r->has_room;
}

bool http_reply_room(HttpReq *r, size_t bytes)
{
    if (bytes <= HTTP_FREE_BYTES || r->has_room)
        return true;
    if (limits_bytes_try(limits_of(r), r->policy.entry, bytes))
        room_note(r, bytes);
    return r->has_room;
}

static void room_resumed(LoopPost *post)
{
    HttpReq *r = (HttpReq *)post;
    size_t wanted = r->room_wanted;
    r->room_wanted = 0;
    r->parked = r->running = false;
    http_req_on_cancel(r, NULL, NULL);
    if (r->room_granted)
        room_note(r, r->waiter.bytes);
    if (r->conn && r->room_granted && !r->timed_out) {
        stage_go(r, RUN_END);
    } else if (r->conn && !r->room_granted && r->timed_out) {
        r->timed_out = false;
        ASSERT(wanted > 0);
        refuse_now(r, 503, E_UNAVAILABLE, "the server had no room for the answer in time");
    } else {
        stage_over(r);
    }
}

static void body_resumed(LoopPost *post)
{
    HttpReq *r = (HttpReq *)post;
    bool had = r->room_granted && r->waiter.bytes >= r->head.content_length && !r->timed_out;
    if (r->room_granted)
        r->charged = r->body_room = r->waiter.bytes;
    r->parked = r->running = r->room_granted = false;
    http_req_on_cancel(r, NULL, NULL);
    if (!r->conn) {
        stage_over(r);
    } else if (had && r->refusal_status == 0) {
        r->wire->rest(r, false);
    } else if (had) {
        req_refuse(r, r->refusal_status, r->refusal_code, r->refusal_text);
    } else {
        r->timed_out = false;
        refuse_now(r, 503, E_UNAVAILABLE, "the server had no room for the body in time");
    }
}

static void resume(HttpReq *r)
{
    loop_post(r->work.loop, &r->work.post);
}

static void granted(LimitWaiter *waiter)
{
    HttpReq *r = (HttpReq *)((char *)waiter - offsetof(HttpReq, waiter));
    r->room_granted = true;
    resume(r);
}

static void wait_cancel(void *arg)
{
    HttpReq *r = arg;
    if (limits_bytes_leave(limits_of(r), &r->waiter))
        resume(r);
}

static void line_join(HttpReq *r, size_t bytes, void (*resumed)(LoopPost *post))
{
    ASSERT(r->charged == 0);
    r->parked = r->running = true;
    r->work.post.run = resumed;
    r->waiter = (LimitWaiter){ .entry = r->policy.entry, .bytes = bytes, .granted = granted };
    limits_bytes_await(limits_of(r), &r->waiter);
    http_req_on_cancel(r, wait_cancel, r);
}

void room_await(HttpReq *r)
{
    line_join(r, r->room_wanted, room_resumed);
}

void room_await_body(HttpReq *r)
{
    line_join(r, (size_t)r->head.content_length, body_resumed);
    r->wire->rest(r, true);
}
