/* Both sides of an exchange in the hands of the handler: WebSocket, gRPC.
 *
 * Invariants:
 * 1. All of it happens on the loop; a callback that ends its own exchange has it ended when it returns.
 * 2. `ahead` holds what was shown and not taken, or came while the handler rested; it is shown before
 *    anything newer, and `ended` comes after all of it was shown.
 * 3. `closed` is the last call, and the request is over behind it. */
#include "front/http/http_priv.h"

enum { KEPT_BYTES_MAX = 4 << 20 }; /* of input that the handler left; over it the exchange is cut */

void http_reply_duplex(HttpReq *r, int status, const HttpDuplex *duplex, void *self)
{
    ASSERT(duplex->bytes_in && duplex->ended && duplex->closed && !http_replied(r));
    ASSERT(r->route->lane == HTTP_ON_LOOP);
    reply_set(r, REPLY_DUPLEX, status, NULL);
    r->duplex = duplex;
    r->duplex_self = self;
}

static void duplex_finish(HttpReq *r)
{
    if (r->conn && r->duplex_aborts)
        r->wire->cut(r);
    else if (r->conn)
        r->wire->end(r);
    r->duplex->closed(r->duplex_self);
    request_over(r);
}

void duplex_begin(HttpReq *r)
{
    bool fresh = r->phase == REQ_HEAD;
    if (fresh && r->head.expects_continue && r->has_body)
        r->wire->proceed(r);
    r->phase = REQ_DUPLEX;
    r->head_sent = true;
    buf_done(&r->ahead);
    buf_init(&r->ahead, KEPT_BYTES_MAX);
    if (!r->has_body)
        buf_init(&r->trailers, HTTP_TRAILER_BYTES_MAX);
    r->wire->head(r, -1, false);
    if (r->reply_body.len > 0)
        r->wire->body(r, &r->reply_body);
    if (r->duplex_ends)
        duplex_finish(r);
    else
        r->wire->rest(r, r->duplex_rests);
}

/* Behind a callback; false: the exchange is over. */
static bool duplex_left(HttpReq *r)
{
    r->duplex_busy = false;
    if (!r->duplex_ends)
        return true;
    duplex_finish(r);
    return false;
}

static void consumed(HttpReq *r, size_t bytes)
{
    r->body_bytes += bytes;
    if (r->wire->consumed && bytes > 0)
        r->wire->consumed(r, bytes);
}

static void ended_tell(HttpReq *r)
{
    if (!r->duplex_in_ends || (r->duplex_rests && r->ahead.len > 0))
        return;
    r->duplex_in_ends = false;
    r->duplex_busy = true;
    r->duplex->ended(r->duplex_self);
    IGNORE(duplex_left(r)); /* either is fine */
}

/* Shows `ahead` as long as the handler takes of it. */
void duplex_show(HttpReq *r)
{
    size_t taken = 1;
    while (taken > 0 && r->ahead.len > 0 && !r->duplex_rests) {
        r->duplex_busy = true;
        taken = r->duplex->bytes_in(r->duplex_self, buf_str(&r->ahead));
        buf_drop_front(&r->ahead, taken);
        consumed(r, taken);
        if (!duplex_left(r))
            return;
    }
    ended_tell(r);
}

size_t duplex_in(HttpReq *r, Str bytes)
{
    size_t len = bytes.len, taken = 1;
    while (taken > 0 && bytes.len > 0 && r->ahead.len == 0 && !r->duplex_rests) {
        r->duplex_busy = true;
        taken = r->duplex->bytes_in(r->duplex_self, bytes);
        bytes = str_from(bytes, taken);
        consumed(r, taken);
        if (!duplex_left(r))
            return len;
    }
    if (bytes.len == 0)
        return len;
    bool fresh = r->ahead.len == 0;
    buf_put(&r->ahead, bytes);
    if (r->ahead.over)
        http_duplex_abort(r);
    else if (!fresh)
        duplex_show(r);
    return len;
}

void duplex_in_over(HttpReq *r, Str trailers)
{
    if (r->duplex_ended)
        return;
    r->duplex_ended = r->duplex_in_ends = true;
    buf_put(&r->trailers, trailers);
    duplex_show(r); /* what is kept comes before the end */
}

void duplex_writable(HttpReq *r)
{
    if (!r->duplex->writable)
        return;
    r->duplex_busy = true;
    r->duplex->writable(r->duplex_self);
    IGNORE(duplex_left(r)); /* either is fine */
}

void duplex_drain(HttpReq *r)
{
    if (!r->duplex->drain)
        return;
    r->duplex_busy = true;
    r->duplex->drain(r->duplex_self);
    IGNORE(duplex_left(r)); /* either is fine */
}

void duplex_gone(HttpReq *r)
{
    duplex_finish(r);
}

void http_duplex_send(HttpReq *r, Str bytes)
{
    if (!r->conn || r->duplex_ends || bytes.len == 0)
        return;
    r->reply_body.max = SIZE_MAX;
    buf_put(&r->reply_body, bytes);
    r->sent_bytes += bytes.len;
    if (r->phase == REQ_DUPLEX) /* else it follows the head */
        r->wire->body(r, &r->reply_body);
}

void http_duplex_send_take(HttpReq *r, Buf *take_bytes)
{
    if (!r->conn || r->duplex_ends || take_bytes->len == 0) {
        buf_done(take_bytes);
        return;
    }
    if (r->phase != REQ_DUPLEX) {
        http_duplex_send(r, buf_str(take_bytes));
        buf_done(take_bytes);
        return;
    }
    r->sent_bytes += take_bytes->len;
    r->wire->body(r, take_bytes);
    buf_done(take_bytes); /* a small one was copied */
}

size_t http_duplex_queued(const HttpReq *r)
{
    return r->conn ? r->wire->queued(r) : 0;
}

void http_duplex_rest(HttpReq *r, bool rests)
{
    r->duplex_rests = rests;
    if (!r->conn || r->phase != REQ_DUPLEX)
        return;
    r->wire->rest(r, rests);
    if (!rests && (r->ahead.len > 0 || r->duplex_in_ends))
        loop_timer_set(r->loop, &r->later, 0); /* not from within the handler's own call */
}

void http_duplex_end(HttpReq *r)
{
    if (r->duplex_ends)
        return;
    r->duplex_ends = true;
    if (r->phase == REQ_DUPLEX && !r->duplex_busy)
        duplex_finish(r);
}

void http_duplex_abort(HttpReq *r)
{
    r->duplex_aborts = true;
    http_duplex_end(r);
}

void http_duplex_post(HttpReq *r, LoopPost *post)
{
    loop_post(r->loop, post);
}
