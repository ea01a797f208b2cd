/* Streams: heads become requests, bodies are shown to them as far as they take them.
 *
 * Invariants:
 * 1. A stream lives while nghttp2 knows it (`open`) or its request may still call (`r`).
 * 2. `kept` is shown before anything newer; its window opens only when the request has consumed it,
 *    so that it never holds more than H2_STREAM_WINDOW.
 * 3. `in_told` is set once, behind the last byte and while the request does not rest.
 * 4. What is consumed and what was never consumed of a stream add up to what came: the connection's
 *    window loses nothing when a stream ends early. */
#include "front/http/http2_priv.h"

#include <nghttp2/nghttp2.h>
#include <string.h>

/* ---- life ---- */

H2Stream *h2_stream_new(H2 *h2, int32_t id)
{
    H2Stream *s = h2->spare;
    if (s) {
        h2->spare = s->next;
        h2->spare_count--;
        Buf small = s->small;
        *s = (H2Stream){ .small = small };
    } else {
        s = mem_new(sizeof *s);
        buf_init(&s->small, HTTP_SMALL_BODY);
    }
    s->h2 = h2;
    s->id = id;
    s->open = s->rests = true;
    s->in_mark = s->out_mark = UINT64_MAX; /* the window in which it began does not count */
    s->next = h2->streams;
    if (s->next)
        s->next->prev = s;
    h2->streams = s;
    h2->stream_count++;
    return s;
}

static void blocks_free(H2Stream *s)
{
    while (s->blocks) {
        H2Block *block = s->blocks;
        s->blocks = block->next;
        h2_block_free(&block);
    }
    s->last = NULL;
}

static void stream_empty(H2Stream *s)
{
    if (s->kept_budget + s->sent_budget > 0)
        limits_bytes_give(h2_limits(s->h2), s->h2->seat, s->kept_budget + s->sent_budget);
    s->kept_budget = s->sent_budget = s->queued = 0;
    blocks_free(s);
    buf_done(&s->kept);
    buf_done(&s->trailers);
    buf_done(&s->reply_trailers);
    buf_clear(&s->small);
    s->small_at = 0;
}

static void stream_unlink(H2Stream *s)
{
    H2 *h2 = s->h2;
    loop_timer_stop(h2->loop, &s->linger);
    if (s->prev)
        s->prev->next = s->next;
    else
        h2->streams = s->next;
    if (s->next)
        s->next->prev = s->prev;
    h2->stream_count--;
}

static void stream_free(H2Stream *s)
{
    H2 *h2 = s->h2;
    stream_empty(s);
    if (!h2 || h2->spare_count == H2_SPARE_STREAMS) {
        buf_done(&s->small);
        mem_free(&s);
        return;
    }
    if (s->small.cap > H2_SPARE_BYTES) {
        buf_done(&s->small);
        buf_init(&s->small, HTTP_SMALL_BODY);
    }
    s->next = h2->spare;
    h2->spare = s;
    h2->spare_count++;
}

/* Neither nghttp2 nor a request has it; it goes when it is not in the list of those that are due. */
void h2_stream_left(H2Stream *s)
{
    if (s->open || s->r || s->due)
        return;
    if (s->h2)
        stream_unlink(s);
    stream_free(s);
}

static void linger_over(LoopTimer *timer)
{
    H2Stream *s = (H2Stream *)((char *)timer - offsetof(H2Stream, linger));
    if (s->open)
        h2_reset(s, NGHTTP2_NO_ERROR);
}

/* Clients that get RST_STREAM on the heels of a reply forget the reply (curl 7.88, h2 of Python). */
void h2_stream_linger(H2Stream *s)
{
    s->linger.fire = linger_over;
    loop_timer_set(s->h2->loop, &s->linger, H2_LINGER_MS);
}

void h2_stream_closed(H2Stream *s)
{
    H2 *h2 = s->h2;
    s->open = false;
    h2_consume(s, s->unconsumed);
    if (!s->in_ended && !s->peer_reset)
        h2_guard_left_open(&h2->guard, (uint32_t)s->id);
    stream_empty(s);
    if (s->r) {
        h2_stream_due(s); /* req_gone, from where the request may be called */
    } else {
        h2_stream_left(s);
    }
}

void h2_stream_gone(H2Stream *s)
{
    HttpReq *r = s->r;
    stream_empty(s);
    stream_unlink(s);
    s->h2 = NULL;
    s->open = s->due = false;
    if (r)
        req_gone(r); /* `over` frees the stream, now or later */
    else
        h2_stream_left(s);
}

void h2_stream_due(H2Stream *s)
{
    H2 *h2 = s->h2;
    if (s->due)
        return;
    s->due = true;
    s->next_due = NULL;
    if (h2->last_due)
        h2->last_due->next_due = s;
    else
        h2->due = s;
    h2->last_due = s;
    h2_kick(h2);
}

/* ---- the body ---- */

static void in_tell(H2Stream *s)
{
    if (!s->r || !s->in_ended || s->in_told || s->rests || s->kept.len > s->kept_at)
        return;
    s->in_told = true;
    req_body_end(s->r, buf_str(&s->trailers));
}

static void kept_show(H2Stream *s)
{
    size_t taken = 1;
    while (taken > 0 && s->r && s->open && !s->rests && s->kept.len > s->kept_at) {
        taken = req_body_in(s->r, str_from(buf_str(&s->kept), s->kept_at));
        s->kept_at += taken;
    }
    if (s->kept.len == s->kept_at && s->kept.len > 0) {
        limits_bytes_give(h2_limits(s->h2), s->h2->seat, s->kept_budget);
        s->kept_budget = s->kept_at = 0;
        buf_done(&s->kept);
    }
}

void h2_stream_settle(H2Stream *s)
{
    s->due = false;
    if (!s->open && s->r) {
        req_gone(s->r); /* its `over` comes now, or when its worker has done */
        return;
    }
    if (!s->open) {
        h2_stream_left(s);
        return;
    }
    if (s->writes && s->r) {
        s->writes = false;
        req_writable(s->r);
    }
    if (s->r && !s->rests)
        kept_show(s);
    in_tell(s);
}

static void keep(H2Stream *s, Str bytes)
{
    if (s->kept.max == 0)
        buf_init(&s->kept, 2 * H2_STREAM_WINDOW);
    if (s->kept_at > 0 && s->kept.len + bytes.len > H2_STREAM_WINDOW) {
        buf_drop_front(&s->kept, s->kept_at);
        limits_bytes_give(h2_limits(s->h2), s->h2->seat, s->kept_at);
        s->kept_budget -= s->kept_at;
        s->kept_at = 0;
    }
    if (!limits_bytes_take(h2_limits(s->h2), s->h2->seat, bytes.len)) {
        h2_reset(s, NGHTTP2_ENHANCE_YOUR_CALM);
        return;
    }
    s->kept_budget += bytes.len;
    buf_put(&s->kept, bytes);
}

void h2_data_in(H2Stream *s, Str bytes)
{
    size_t taken = 1;
    s->in_bytes += bytes.len;
    s->unconsumed += bytes.len;
    while (taken > 0 && bytes.len > 0 && s->r && !s->rests && s->kept.len == 0) {
        taken = req_body_in(s->r, bytes); /* ends with each block of the request's */
        bytes = str_from(bytes, taken);
    }
    if (!s->r)
        h2_consume(s, s->unconsumed);
    else if (bytes.len > 0)
        keep(s, bytes);
}

bool h2_stream_stalled(const H2Stream *s)
{
    nghttp2_session *session = s->h2->session;
    return nghttp2_session_get_stream_remote_window_size(session, s->id) <= 0 ||
           nghttp2_session_get_remote_window_size(session) <= 0;
}

bool h2_stream_waits(const H2Stream *s)
{
    bool pulls = s->r && s->r->phase == REQ_SENDING && !s->r->running && !s->r->pull_waits;
    return s->open && (s->queued > 0 || pulls) && h2_stream_stalled(s);
}

/* Only what the peer alone holds up: a body that does not come, a reply that its window holds. */
void h2_stream_rate(H2Stream *s, uint64_t least)
{
    bool receives = s->r && !s->in_ended && req_receives(s->r);
    bool stalls = h2_stream_waits(s);
    bool slow_in = receives && s->in_mark != UINT64_MAX && s->in_bytes - s->in_mark < least;
    bool slow_out = stalls && s->out_mark != UINT64_MAX && s->out_bytes - s->out_mark < least;
    s->in_mark = receives ? s->in_bytes : UINT64_MAX;
    s->out_mark = stalls ? s->out_bytes : UINT64_MAX;
    if (slow_in || slow_out)
        room_count(&s->h2->room->timeouts);
    if (slow_out)
        h2_reset(s, NGHTTP2_CANCEL);
    else if (slow_in)
        req_refuse(s->r, 408, E_TIMEOUT, "the body comes slower than the minimum rate");
}

void h2_data_over(H2Stream *s)
{
    s->in_ended = true;
    in_tell(s);
}

void h2_trailer(H2Stream *s, Str name, Str value)
{
    HttpRefusal refusal;
    if (s->trailers.max == 0)
        buf_init(&s->trailers, HTTP_TRAILER_BYTES_MAX);
    if (http_trailer_put(&s->trailers, name, value, &refusal) == HTTP_REFUSE)
        h2_reset(s, NGHTTP2_PROTOCOL_ERROR);
}

/* ---- heads ---- */

void h2_head_begin(H2 *h2)
{
    buf_clear(&h2->head);
    h2->list_bytes = h2->field_count = 0;
}

static void record_put(H2 *h2, Str name, Str value)
{
    uint16_t lens[2] = { (uint16_t)name.len, (uint16_t)value.len };
    buf_put(&h2->head, str_of(lens, sizeof lens));
    buf_put(&h2->head, name);
    buf_put(&h2->head, value);
}

void h2_head_field(H2 *h2, Str name, Str value)
{
    h2->list_bytes += name.len + value.len + 32;
    h2->field_count++;
    if (h2->list_bytes <= H2_LIST_BYTES_MAX)
        record_put(h2, name, value);
}

static bool record_next(Str *rest, Str *ret_name, Str *ret_value)
{
    uint16_t lens[2];
    if (rest->len < sizeof lens)
        return false;
    memcpy(lens, rest->ptr, sizeof lens);
    *ret_name = str_sub(*rest, sizeof lens, lens[0]);
    *ret_value = str_sub(*rest, sizeof lens + lens[0], lens[1]);
    *rest = str_from(*rest, sizeof lens + lens[0] + lens[1]);
    return true;
}

/* Cookies that came in pieces are one (RFC 9113 8.2.3); :authority stands as Host too (8.3.1). */
static void head_complete(H2 *h2)
{
    Str rest = buf_str(&h2->head), name, value, authority = STR_NONE;
    Buf cookies, copy;
    bool has_host = false;
    buf_init(&cookies, 2 * H2_LIST_BYTES_MAX);
    buf_init(&copy, H2_LIST_BYTES_MAX);
    while (record_next(&rest, &name, &value)) {
        has_host = has_host || str_eq(name, STR("host"));
        if (str_eq(name, STR(":authority")))
            authority = value;
        if (!str_eq(name, STR("cookie")))
            continue;
        if (cookies.len > 0)
            buf_put(&cookies, STR("; "));
        buf_put(&cookies, value);
    }
    if (!has_host && authority.ptr) {
        buf_put(&copy, authority); /* the records may move */
        record_put(h2, STR("host"), buf_str(&copy));
    }
    if (cookies.len > 0)
        record_put(h2, STR("cookie "), buf_str(&cookies)); /* the space tells it from the pieces */
    buf_done(&cookies);
    buf_done(&copy);
}

typedef struct Pseudo {
    Str method, scheme, path, authority, protocol, host;
} Pseudo;

static Str *pseudo_of(Pseudo *p, Str name)
{
    static const struct {
        Str name;
        size_t at;
    } rows[] = {
        { STR_INIT(":method"), offsetof(Pseudo, method) },
        { STR_INIT(":scheme"), offsetof(Pseudo, scheme) },
        { STR_INIT(":path"), offsetof(Pseudo, path) },
        { STR_INIT(":authority"), offsetof(Pseudo, authority) },
        { STR_INIT(":protocol"), offsetof(Pseudo, protocol) },
        { STR_INIT("host"), offsetof(Pseudo, host) },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (str_eq(rows[i].name, name))
            return (Str *)((char *)p + rows[i].at);
    }
    return NULL;
}

static HttpStep refuse(HttpRefusal *ret_refusal, int status, const char *text)
{
    *ret_refusal = (HttpRefusal){ status, text };
    return HTTP_REFUSE;
}

/* Pseudo fields and Host, and the plain fields into `head`. */
static HttpStep fields_take(Str records, HttpHead *head, Pseudo *p, HttpRefusal *ret_refusal)
{
    Str name, value;
    HttpStep step = HTTP_DONE;
    while (step == HTTP_DONE && record_next(&records, &name, &value)) {
        Str *pseudo = pseudo_of(p, name);
        if (pseudo && pseudo->ptr)
            return refuse(ret_refusal, 400, "two Host fields");
        if (pseudo)
            *pseudo = value;
        if (name.ptr[0] == ':' || str_eq(name, STR("cookie")))
            continue;
        if (str_eq(name, STR("cookie ")))
            name.len--;
        if (!http_token_ok(name) || !http_value_ok(value))
            return refuse(ret_refusal, 400, "a field with a character that it cannot have");
        step = http_head_add(head, name, value, ret_refusal);
    }
    return step;
}

/* RFC 9113 8.3.1; what nghttp2 has let pass. */
static HttpStep pseudo_take(HttpHead *head, const Pseudo *p, HttpRefusal *ret_refusal)
{
    head->method = p->method;
    head->scheme = p->scheme;
    head->target = p->path;
    if (str_eq(p->method, STR("CONNECT")) && !p->protocol.ptr)
        return refuse(ret_refusal, 501, "CONNECT is not served");
    if (!http_token_ok(p->method))
        return refuse(ret_refusal, 400, "a method that is none");
    if (p->method.len > HTTP_METHOD_MAX)
        return refuse(ret_refusal, 501, "a method that is not known");
    if (!str_ieq(p->scheme, STR("http")) && !str_ieq(p->scheme, STR("https")))
        return refuse(ret_refusal, 400, "a scheme that is neither http nor https");
    if (p->authority.ptr && p->host.ptr && !str_ieq(p->authority, p->host))
        return refuse(ret_refusal, 400, "Host is another than :authority");
    Str host = p->authority.ptr ? p->authority : p->host;
    if (!http_host_ok(host))
        return refuse(ret_refusal, 400, "no host and port");
    HttpStep step = http_target_parse(head, ret_refusal);
    if (step != HTTP_REFUSE && head->form == HTTP_ABSOLUTE)
        return refuse(ret_refusal, 400, "a whole address as :path");
    head->host = host;
    head->scheme = p->scheme;
    return step == HTTP_REFUSE ? step : HTTP_DONE;
}

static HttpStep head_fill(HttpReq *r, Str records, bool ends, HttpRefusal *ret_refusal)
{
    HttpHead *head = &r->head;
    Pseudo p = { 0 };
    memset(head, 0, offsetof(HttpHead, fields));
    head->bytes = records.ptr;
    head->minor_version = 1;
    head->keep_alive = true;
    HttpStep step = fields_take(records, head, &p, ret_refusal);
    if (step == HTTP_DONE)
        step = pseudo_take(head, &p, ret_refusal);
    if (step == HTTP_DONE)
        step = http_length_parse(head, ret_refusal);
    if (step != HTTP_DONE)
        return step;
    Str expect = http_known(head, HTTP_FIELD_EXPECT);
    head->expects_other = expect.ptr && !str_ieq(expect, STR("100-continue"));
    if (head->expects_other && !r->server->options.any_expect)
        return refuse(ret_refusal, 417, "only Expect: 100-continue");
    r->protocol = p.protocol;
    r->has_body = !ends && !p.protocol.ptr; /* what follows an extended CONNECT is the handler's */
    head->chunked = r->has_body && !head->has_length;
    head->expects_continue = expect.ptr && !head->expects_other && r->has_body;
    return HTTP_DONE;
}

void h2_head_over(H2Stream *s, bool ends)
{
    H2 *h2 = s->h2;
    HttpRefusal refusal = { 431, "the head is too long" };
    HttpStep step = HTTP_REFUSE;
    s->in_ended = s->in_told = ends;
    if (h2->list_bytes <= H2_LIST_BYTES_MAX && h2->field_count <= HTTP_FIELDS_MAX + 4) {
        head_complete(h2);
        HttpReq *r = req_new(h2->conn, &http2_wire, s);
        Arena *arena = http_req_arena(r);
        char *bytes = arena_copy(arena, h2->head.ptr, h2->head.len);
        step = head_fill(r, str_of(bytes, h2->head.len), ends, &refusal);
        if (step == HTTP_DONE)
            s->r = r;
        else
            req_drop(r);
    }
    if (h2->head.cap > H2_SPARE_BYTES) {
        buf_done(&h2->head);
        buf_init(&h2->head, 2 * H2_LIST_BYTES_MAX);
    }
    if (step == HTTP_DONE)
        req_begin(s->r);
    else
        h2_reply_plain(s, refusal.status, refusal.text);
}
