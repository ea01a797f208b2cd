/* Replies on a stream: the row of HttpWire, and what waits for the stream's window.
 *
 * Invariants:
 * 1. `queued` is the sum of `small` from `small_at` and of the blocks from their `at`.
 * 2. A stream that has nothing to send is deferred in nghttp2, and resumed by whatever comes.
 * 3. Behind END_STREAM of a reply whose request was not read to its end goes RST_STREAM with NO_ERROR
 *    (RFC 9113 8.1) after H2_LINGER_MS, so that the peer stops; in place of END_STREAM of a body that is not whole goes
 *    RST_STREAM with INTERNAL_ERROR.
 * 4. No function of the row calls the request: what must be told is told when the stream is settled. */
#include "front/http/http2_priv.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <string.h>

enum { FIELDS_MAX = 1 + HTTP_FIXED_FIELDS_MAX + HTTP_REPLY_HEADERS_MAX + 16, PLAIN_BYTES_MAX = 4096 };

/* ---- what waits ---- */

void h2_block_free(H2Block **block)
{
    H2Block *b = *block;
    buf_done(&b->bytes);
    if (b->fd >= 0 && b->done)
        b->done(b->arg);
    mem_free(block);
}

static H2Block *block_add(H2Stream *s)
{
    H2Block *block = mem_new(sizeof *block);
    block->fd = -1;
    if (s->last)
        s->last->next = block;
    else
        s->blocks = block;
    s->last = block;
    return block;
}

static void queue_put(H2Stream *s, Buf *take)
{
    Str bytes = buf_str(take);
    H2Block *last = s->last;
    s->queued += bytes.len;
    if (!last && s->small.len + bytes.len <= HTTP_SMALL_BODY) {
        buf_put(&s->small, bytes);
        buf_clear(take);
    } else if (last && last->fd < 0 && bytes.len <= last->bytes.cap - last->bytes.len) {
        buf_put(&last->bytes, bytes);
        buf_clear(take);
    } else {
        block_add(s)->bytes = *take;
        *take = (Buf){ .max = take->max };
    }
}

/* Of one block, as much as it has and is wanted. */
static bool block_copy(H2Block *block, Buf *out, size_t *len)
{
    if (block->fd < 0) {
        size_t part = MIN(*len, block->bytes.len - block->at);
        buf_put(out, str_sub(buf_str(&block->bytes), block->at, part));
        block->at += part;
        *len -= part;
        return true;
    }
    size_t part = (size_t)MIN((uint64_t)*len, block->file_left);
    if (!buf_reserve(out, part) || !net_file_read(block->fd, out->ptr + out->len, part, block->file_at))
        return false;
    out->len += part;
    block->file_at += part;
    block->file_left -= part;
    *len -= part;
    return true;
}

bool h2_stream_copy(H2Stream *s, Buf *out, size_t len)
{
    size_t given = MIN(s->sent_budget, len);
    s->queued -= len;
    s->out_bytes += len;
    if (given > 0)
        limits_bytes_give(h2_limits(s->h2), s->h2->seat, given);
    s->sent_budget -= given;
    size_t part = MIN(len, s->small.len - s->small_at);
    buf_put(out, str_sub(buf_str(&s->small), s->small_at, part));
    s->small_at += part;
    len -= part;
    if (s->small_at == s->small.len) {
        s->small_at = 0;
        buf_clear(&s->small);
    }
    while (len > 0) {
        H2Block *block = s->blocks;
        if (!block_copy(block, out, &len))
            return false;
        if (block->fd < 0 ? block->at < block->bytes.len : block->file_left > 0)
            continue;
        s->blocks = block->next;
        if (!s->blocks)
            s->last = NULL;
        h2_block_free(&block);
    }
    return true;
}

static void trailers_submit(H2Stream *s)
{
    nghttp2_nv list[HTTP_REPLY_HEADERS_MAX];
    size_t count = 0;
    Str rest = buf_str(&s->reply_trailers), name, value;
    while (count < ARRAY_LEN(list) && http_trailer_next(&rest, &name, &value))
        list[count++] = (nghttp2_nv){ (uint8_t *)name.ptr, (uint8_t *)value.ptr, name.len, value.len,
                                      NGHTTP2_NV_FLAG_NONE };
    IGNORE(nghttp2_submit_trailer(s->h2->session, s->id, list, count)); /* the stream may be gone */
}

static ssize_t data_next(nghttp2_session *session, int32_t id, uint8_t *bytes, size_t len,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    H2Stream *s = source->ptr;
    (void)session, (void)id, (void)bytes, (void)user;
    size_t count = MIN(len, s->queued);
    if (count == 0 && s->cuts)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* RST_STREAM with INTERNAL_ERROR */
    if (count == 0 && !s->out_ended) {
        s->deferred = true;
        if (s->r && s->r->phase == REQ_SENDING) {
            s->writes = true; /* the window may have held it: it has room now */
            h2_stream_due(s);
        }
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (count == s->queued && s->out_ended && !s->cuts) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (s->reply_trailers.len > 0) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            trailers_submit(s);
        }
    }
    return (ssize_t)count;
}

static void resume(H2Stream *s)
{
    if (s->deferred) {
        s->deferred = false;
        IGNORE(nghttp2_session_resume_data(s->h2->session, s->id)); /* the stream may be gone */
    }
}

/* Does the request say more in this call? Then one flush behind it is enough. */
static bool goes_on(const HttpReq *r, bool head)
{
    bool streams = r->phase == REQ_SENDING, talks = r->phase == REQ_DUPLEX;
    if (head)
        return !talks && (!streams || r->reply_body.len > 0 || r->pull_state == HTTP_PULL_END);
    return !talks && (!streams || r->pull_state == HTTP_PULL_END);
}

/* ---- the row ---- */

/* NULL: there is nobody to tell any more. */
static H2Stream *stream_of(const HttpReq *r)
{
    H2Stream *s = r->link;
    return s->h2 && s->open ? s : NULL;
}

static void wire_rest(HttpReq *r, bool resting)
{
    H2Stream *s = stream_of(r);
    if (!s)
        return;
    s->rests = resting;
    if (!resting && (s->kept.len > 0 || (s->in_ended && !s->in_told)))
        h2_stream_due(s);
}

static void wire_consumed(HttpReq *r, size_t bytes)
{
    H2Stream *s = r->link;
    if (s->h2)
        h2_consume(s, bytes);
}

static void wire_proceed(HttpReq *r)
{
    H2Stream *s = stream_of(r);
    if (!s)
        return;
    nghttp2_nv status = { (uint8_t *)":status", (uint8_t *)"100", 7, 3, NGHTTP2_NV_FLAG_NO_COPY_NAME };
    IGNORE(nghttp2_submit_headers(s->h2->session, 0, s->id, NULL, &status, 1, NULL)); /* gone: no matter */
    h2_kick(s->h2);
}

/* RFC 9113 8.2.2; a handler that sets one means HTTP/1.1. */
static bool of_connection(Str name)
{
    static const Str names[] = { STR_INIT("Connection"), STR_INIT("Keep-Alive"), STR_INIT("Upgrade"),
                                 STR_INIT("Proxy-Connection"), STR_INIT("Transfer-Encoding") };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (names[i].len == name.len && str_ieq(names[i], name))
            return true;
    }
    return false;
}

/* New in each reply: not worth a place in the peer's table. */
static bool varies(Str name)
{
    return (name.len == 12 && str_ieq(name, STR("X-Request-Id"))) ||
           (name.len == 16 && str_ieq(name, STR("x-amz-request-id"))) ||
           (name.len == 11 && str_ieq(name, STR("traceparent"))) ||
           (name.len == 9 && str_ieq(name, STR("RateLimit")));
}

static size_t pairs_add(nghttp2_nv *list, size_t count, const HttpPair *pairs, size_t pair_count)
{
    for (size_t i = 0; i < pair_count && count < FIELDS_MAX; i++) {
        if (of_connection(pairs[i].name))
            continue;
        list[count++] = (nghttp2_nv){ (uint8_t *)pairs[i].name.ptr, (uint8_t *)pairs[i].value.ptr,
                                      pairs[i].name.len, pairs[i].value.len,
                                      varies(pairs[i].name) ? NGHTTP2_NV_FLAG_NO_INDEX
                                                            : NGHTTP2_NV_FLAG_NONE };
    }
    return count;
}

static void head_submit(H2Stream *s, int status, nghttp2_nv *list, size_t count, bool ends)
{
    char digits[16];
    nghttp2_data_provider body = { .source.ptr = s, .read_callback = data_next };
    int len = snprintf(digits, sizeof digits, "%d", status);
    list[0] = (nghttp2_nv){ (uint8_t *)":status", (uint8_t *)digits, 7, (size_t)len,
                            NGHTTP2_NV_FLAG_NO_COPY_NAME };
    s->head_out = true;
    if (nghttp2_submit_response(s->h2->session, s->id, list, count, ends ? NULL : &body) != 0)
        h2_reset(s, NGHTTP2_INTERNAL_ERROR);
}

static void wire_head(HttpReq *r, int64_t length, bool ends)
{
    H2Stream *s = stream_of(r);
    nghttp2_nv list[FIELDS_MAX];
    HttpPair fixed[HTTP_FIXED_FIELDS_MAX];
    if (!s)
        return;
    size_t count = pairs_add(list, 1, fixed, reply_fields_all(r, length, fixed));
    count = pairs_add(list, count, r->reply_fields, r->reply_field_count);
    head_submit(s, r->status, list, count, ends);
    if (ends || !goes_on(r, true))
        h2_kick(s->h2);
}

static void wire_body(HttpReq *r, Buf *take_bytes)
{
    H2Stream *s = stream_of(r);
    if (!s) {
        buf_clear(take_bytes);
        return;
    }
    if (r->phase == REQ_DUPLEX) { /* other replies are charged where they are made */
        if (limits_bytes_take(h2_limits(s->h2), s->h2->seat, take_bytes->len))
            s->sent_budget += take_bytes->len;
        else
            s->cuts = true; /* the budget of all is spent: this one is given up, not the process */
    }
    queue_put(s, take_bytes);
    resume(s);
    if (!goes_on(r, false))
        h2_kick(s->h2);
}

static void wire_file(HttpReq *r, int fd, uint64_t at, uint64_t len, void (*done)(void *arg), void *arg)
{
    H2Stream *s = stream_of(r);
    if (!s) {
        if (done)
            done(arg);
        return;
    }
    H2Block *block = block_add(s);
    block->fd = fd;
    block->file_at = at;
    block->file_left = len;
    block->done = done;
    block->arg = arg;
    s->queued += len;
    resume(s); /* `end` follows */
}

static void wire_end(HttpReq *r)
{
    H2Stream *s = stream_of(r);
    HttpRefusal refusal;
    if (!s)
        return;
    buf_init(&s->reply_trailers, HTTP_TRAILER_BYTES_MAX);
    for (size_t i = 0; i < r->reply_trailer_count; i++)
        IGNORE(http_trailer_put(&s->reply_trailers, r->reply_trailers[i].name, r->reply_trailers[i].value,
                                &refusal)); /* one that may not stand there is left out */
    s->out_ended = true;
    resume(s);
    h2_kick(s->h2);
}

static size_t wire_queued(const HttpReq *r)
{
    const H2Stream *s = stream_of(r);
    return s ? s->queued : 0;
}

/* A stream that its window holds costs one block at most. One that is deferred for want of bytes asks for
 * them: data_next is called again only when some have come. */
static bool wire_held(const HttpReq *r)
{
    const H2Stream *s = stream_of(r);
    return s && (s->queued >= H2_AHEAD_MAX || (!s->deferred && h2_stream_stalled(s)));
}

static void wire_cut(HttpReq *r)
{
    H2Stream *s = stream_of(r);
    if (!s)
        return;
    s->cuts = true;
    if (!s->head_out)
        h2_reset(s, NGHTTP2_INTERNAL_ERROR);
    resume(s);
    h2_kick(s->h2);
}

static void wire_over(HttpReq *r)
{
    H2Stream *s = r->link;
    s->r = NULL;
    if (!s->h2 || !s->open) {
        h2_stream_left(s);
        return;
    }
    s->rests = false;
    h2_consume(s, s->unconsumed); /* nobody will: the connection's window goes on */
}

const HttpWire http2_wire = {
    .name = "HTTP/2",
    .rest = wire_rest,
    .consumed = wire_consumed,
    .proceed = wire_proceed,
    .head = wire_head,
    .body = wire_body,
    .file = wire_file,
    .end = wire_end,
    .queued = wire_queued,
    .held = wire_held,
    .cut = wire_cut,
    .over = wire_over,
};

/* ---- without a request ---- */

void h2_reply_plain(H2Stream *s, int status, const char *text)
{
    nghttp2_nv list[3 + POLICY_FIELDS_MAX];
    Buf body;
    char digits[24], id_room[POLICY_ID_LEN];
    Str id = policy_id_make(s->h2->conn->room, id_room);
    buf_init(&body, PLAIN_BYTES_MAX);
    const char *type = problem_plain(s->h2->conn->room->server, &body, &status, text, id);
    HttpPair pairs[2 + POLICY_FIELDS_MAX] = {
        { STR("content-type"), str_z(type) },
        { STR("content-length"), str_of(digits, (size_t)snprintf(digits, sizeof digits, "%zu", body.len)) },
    };
    size_t count = 2 + policy_id_fields(s->h2->conn->room->server, id, pairs + 2);
    head_submit(s, status, list, pairs_add(list, 1, pairs, count), false);
    queue_put(s, &body);
    s->out_ended = true;
    h2_kick(s->h2);
    buf_done(&body);
    policy_refused(s->h2->room, loop_conn_address(s->h2->conn->conn), status, text);
}
