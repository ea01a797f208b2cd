/* The body of a request: collected or in blocks, read ahead, charged to the budget of all.
 *
 * Invariants:
 * 1. While a worker has a block only `ahead` grows; the two change places when it has done.
 * 2. The first HTTP_FREE_BYTES of a body cost nothing; what grows beyond is charged to the budget until
 *    the request is over. Without budget a block is worked on as it is, so an upload goes on in small blocks and
 *    never waits for another one to end.
 * 3. A collected body is charged whole when it goes beyond what costs nothing, or waits for that with no more in
 *    memory (http_room.c): all that hold room come to their end. Who may not send it is told before. One whose
 *    length is not said, or of HTTP/2, which would keep what comes meanwhile, is charged as it grows, and refused
 *    where there is no room.
 * 4. Once refused, or over, nothing more of the body is taken. */
#include "front/http/http_priv.h"

/* ---- the budget ---- */

/* Raises what the request is charged to `bytes`; false: the budget has not so much. */
bool body_charge(HttpReq *r, size_t bytes)
{
    if (bytes <= r->charged)
        return true;
    if (!limits_bytes_take(policy_limits(r->server->policy), r->policy.entry, bytes - r->charged))
        return false;
    r->charged = bytes;
    return true;
}

bool body_charge_to(HttpReq *r, size_t bytes)
{
    if (bytes >= r->charged)
        return body_charge(r, bytes);
    limits_bytes_give(policy_limits(r->server->policy), r->policy.entry, r->charged - bytes);
    r->charged = bytes;
    return true;
}

void body_charge_force(HttpReq *r, size_t bytes)
{
    if (body_charge(r, bytes))
        return;
    limits_bytes_force(policy_limits(r->server->policy), r->policy.entry, bytes - r->charged);
    r->charged = bytes;
}

bool bytes_crowd(const HttpReq *r)
{
    const Limits *limits = policy_limits(r->server->policy);
    return limits_bytes_short(limits) || limits_bytes_held(limits) > CROWD_BYTES;
}

/* One byte more than comes: a block that is full goes to a worker before the end of the body is known. */
static size_t block_most(const HttpReq *r)
{
    if (!r->route->on_body)
        return (size_t)r->body_max;
    return r->head.has_length ? (size_t)MIN(r->head.content_length + 1, (uint64_t)HTTP_BLOCK_BYTES)
                              : (size_t)HTTP_BLOCK_BYTES;
}

/* How many bytes the block that fills now may have; tries to have room for `wanted`. */
static size_t block_room(HttpReq *r, size_t wanted)
{
    size_t *room = r->running ? &r->ahead_room : &r->body_room;
    size_t other = r->running ? r->body_room : r->ahead_room;
    size_t most = block_most(r);
    if (*room == 0)
        *room = MIN((size_t)HTTP_FREE_BYTES, most);
    while (*room < MIN(wanted, most)) {
        if (r->route->on_body && bytes_crowd(r))
            break;
        size_t more = MIN(*room * 4, most);
        size_t charge = more + (other > HTTP_FREE_BYTES ? other : 0);
        if (!body_charge(r, charge))
            break;
        *room = more;
    }
    return *room;
}

/* ---- refusing ---- */

void refuse_now(HttpReq *r, int status, Code code, const char *text)
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

/* ---- bytes that come ---- */

/* What it holds when it waits for its room is what costs nothing. */
bool body_charged_whole(const HttpReq *r)
{
    return !r->route->on_body && r->wire->one && r->head.has_length && r->head.content_length > HTTP_FREE_BYTES;
}

/* Of what is charged whole; 0: it has to wait, or does. */
static size_t whole_room(HttpReq *r)
{
    size_t all = (size_t)r->head.content_length;
    if (r->running)
        return 0;
    if (r->charged == 0 && r->body.len < HTTP_FREE_BYTES)
        return HTTP_FREE_BYTES - r->body.len;
    if (r->charged == 0 && limits_bytes_try(policy_limits(r->server->policy), r->policy.entry, all))
        r->charged = r->body_room = all;
    return r->charged > 0 ? all - r->body.len : 0;
}

size_t req_body_room(HttpReq *r)
{
    if (r->phase == REQ_DUPLEX)
        return SIZE_MAX;
    if (r->phase != REQ_BODY || r->body_over || r->refusal_status != 0)
        return 0;
    if (body_charged_whole(r))
        return whole_room(r);
    if (!r->route->on_body)
        return SIZE_MAX;
    const Buf *to = r->running ? &r->ahead : &r->body;
    return block_room(r, HTTP_BLOCK_BYTES) - to->len;
}

bool req_receives(const HttpReq *r)
{
    return r->phase == REQ_BODY && !r->running && !r->body_over;
}

/* What comes while a worker has a block is kept, up to one block. */
bool body_reads_ahead(HttpReq *r)
{
    return r->phase == REQ_BODY && r->running && req_body_room(r) > 0;
}

/* A collected body; the whole piece is taken, or the request refused. */
static size_t collect(HttpReq *r, Str bytes)
{
    if (r->body.len + bytes.len > r->body_max)
        req_refuse(r, 413, E_LIMIT, "the body is larger than this path takes");
    else if (r->body.len + bytes.len > block_room(r, r->body.len + bytes.len))
        req_refuse(r, 503, E_UNAVAILABLE, "the server has too many bodies to read");
    else {
        buf_put(&r->body, bytes);
        r->body_bytes += bytes.len;
    }
    return bytes.len;
}

size_t req_body_in(HttpReq *r, Str bytes)
{
    if (r->phase == REQ_DUPLEX)
        return duplex_in(r, bytes);
    Str data = str_sub(bytes, 0, req_body_room(r));
    if (data.len == 0 && bytes.len > 0 && req_receives(r) && body_charged_whole(r))
        room_await_body(r);
    if (data.len == 0)
        return 0;
    if (r->wire->consumed)
        r->wire->consumed(r, data.len);
    if (!r->route->on_body)
        return collect(r, data);
    if (r->body_bytes + (r->running ? r->ahead.len : 0) + data.len > r->body_max) {
        req_refuse(r, 413, E_LIMIT, "the body is larger than this path takes");
        return bytes.len;
    }
    buf_put(r->running ? &r->ahead : &r->body, data);
    if (!r->running)
        r->body_bytes += data.len;
    if (req_body_room(r) > 0)
        return data.len;
    if (r->running)
        r->wire->rest(r, true);
    else
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

/* A worker has done with a block; the next one may have come in the meantime. */
void block_over(HttpReq *r)
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
        size_t room = r->body_room;
        r->body_room = r->ahead_room;
        r->ahead_room = room;
        r->body_bytes += r->body.len;
    }
    if (r->body_over) {
        end_go(r);
        return;
    }
    body_await(r); /* a peer that has ended shows when the wire does not rest */
    if (req_body_room(r) == 0)
        stage_go(r, RUN_BLOCK);
}
