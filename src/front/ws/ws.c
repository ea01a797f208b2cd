/* Invariants:
 * 1. Everything happens on the request's loop. The Ws is freed in duplex_closed only, which the core calls
 *    last; what must end the exchange outside of a callback is left to the timer `soon`.
 * 2. One close frame is sent at most. After it nothing is sent, and messages that still come are dropped.
 * 3. While WS_QUEUE_BYTES wait to go out, or the handler rests, nothing is read: a peer that does not read
 *    cannot make answers pile up. A turn hands out WS_TURN_BYTES at most, then others have theirs.
 * 4. Once the peer's close frame is here, or a rule was broken, the exchange ends behind what is queued.
 *
 * States: OPEN -> CLOSING (our close frame is out, close_ms run) -> OVER; OPEN -> OVER on the peer's close
 * frame, a broken rule, a cut. In OVER the code and the reason for `closed` are set. */
#include "front/http/http_duplex.h"
#include "front/ws/ws_priv.h"

#include <string.h>

enum {
    WS_TURN_BYTES = 4 << 20,
    WS_DEFLATE_LEVEL = 1,
    WS_FRAME_SLACK = 64 << 10 /* a compressed message and its head are larger by less */
};

typedef enum WsState { WS_STATE_OPEN, WS_STATE_CLOSING, WS_STATE_OVER } WsState;

struct Ws {
    HttpReq *req;
    const WsOptions *options;
    void *self;
    WsReader reader;
    Deflater *deflater; /* made when the first message is compressed */
    Str subprotocol;
    LoopTimer quiet;    /* the peer is silent; in CLOSING: it does not answer */
    LoopTimer idle;     /* no message of either side */
    LoopTimer soon;     /* the turn is over: go on reading, or cut */
    WsState state;
    bool deflates, server_keeps;
    uint8_t server_bits;
    bool heard, pinged; /* since `quiet` was set */
    bool rests;         /* the handler's wish */
    bool full;          /* too much waits to go out */
    bool rested;        /* what the core was told last */
    bool paused;        /* the turn is over */
    bool cut;           /* to be aborted by `soon` */
    uint16_t code;      /* for `closed` */
    uint8_t reason_len;
    char reason[WS_CONTROL_MAX];
};

#define WS_OF(timer, field) ((Ws *)((char *)(timer) - offsetof(Ws, field)))

static uint32_t ping_ms(const Ws *ws)
{
    return ws->options->ping_ms ? ws->options->ping_ms : WS_PING_MS;
}

static void over(Ws *ws, uint16_t code, Str reason)
{
    if (ws->state == WS_STATE_OVER)
        return;
    ws->state = WS_STATE_OVER;
    ws->code = code;
    ws->reason_len = (uint8_t)MIN(reason.len, sizeof ws->reason);
    if (ws->reason_len > 0)
        memcpy(ws->reason, reason.ptr, ws->reason_len);
}

/* Fit for callbacks and timers, where the Ws is not looked at afterwards. */
static void cut_now(Ws *ws)
{
    over(ws, WS_ABNORMAL, STR_NONE);
    http_duplex_abort(ws->req);
}

static void cut_soon(Ws *ws)
{
    ws->cut = true;
    loop_timer_set(http_req_loop(ws->req), &ws->soon, 0);
}

/* ---- sending ---- */

static void close_frame_send(Ws *ws, uint16_t code, Str reason)
{
    Buf out AUTO(buf_done);
    buf_init(&out, WS_HEAD_MAX + WS_CONTROL_MAX);
    ws_close_put(&out, code, reason, NULL);
    http_duplex_send(ws->req, buf_str(&out));
}

static void queue_look(Ws *ws)
{
    size_t max = ws->options->queue_max ? ws->options->queue_max : WS_QUEUE_DEFAULT_MAX;
    if (http_duplex_queued(ws->req) > max)
        cut_soon(ws);
}

static bool compress(Ws *ws, Str bytes, Buf *out)
{
    if (!ws->deflates || bytes.len < WS_DEFLATE_LEAST_BYTES || bytes.len > WS_DEFLATE_MOST_BYTES)
        return false;
    if (!ws->deflater &&
        deflater_open(ws->server_bits, WS_DEFLATE_LEVEL, &ws->deflater, NULL) != E_OK)
        return false;
    Code code = deflater_message(ws->deflater, bytes, ws->server_keeps, out, NULL);
    ASSERT(code == E_OK); /* there is room for more than zlib can make of it */
    if (!ws->server_keeps)
        deflater_free(&ws->deflater);
    return true;
}

static void frame_send(Ws *ws, const WsFrame *frame, Str bytes)
{
    uint8_t head[WS_HEAD_MAX];
    size_t len = ws_frame_head(head, frame, bytes.len);
    http_duplex_send(ws->req, str_of(head, len));
    http_duplex_send(ws->req, bytes);
}

void ws_send(Ws *ws, WsOpcode kind, Str bytes)
{
    ASSERT(kind == WS_TEXT || kind == WS_BINARY);
    if (ws->state != WS_STATE_OPEN || ws->cut)
        return;
    if (ws->options->idle_ms)
        loop_timer_set(http_req_loop(ws->req), &ws->idle, ws->options->idle_ms);
    Buf packed AUTO(buf_done);
    buf_init(&packed, WS_DEFLATE_MOST_BYTES + WS_FRAME_SLACK);
    WsFrame frame = { kind, true, compress(ws, bytes, &packed), NULL };
    frame_send(ws, &frame, frame.compressed ? buf_str(&packed) : bytes);
    queue_look(ws);
}

void ws_ping(Ws *ws, Str bytes)
{
    ASSERT(bytes.len <= WS_CONTROL_MAX);
    if (ws->state == WS_STATE_OPEN && !ws->cut)
        frame_send(ws, &(WsFrame){ WS_PING, true, false, NULL }, bytes);
}

void ws_close(Ws *ws, uint16_t code, Str reason)
{
    ASSERT(ws_code_valid(code) || code == WS_NO_STATUS);
    if (ws->state != WS_STATE_OPEN)
        return;
    close_frame_send(ws, code, reason);
    ws->state = WS_STATE_CLOSING;
    Loop *loop = http_req_loop(ws->req);
    loop_timer_stop(loop, &ws->idle);
    loop_timer_set(loop, &ws->quiet,
                   ws->options->close_ms ? ws->options->close_ms : WS_CLOSE_MS);
    ws->rests = false; /* the answer must be read */
    ws_rest(ws, false);
}

/* ---- receiving ---- */

/* Reading goes on when nobody is against it. */
static void rest_look(Ws *ws)
{
    bool rest = ws->state != WS_STATE_OVER && (ws->rests || ws->full || ws->paused);
    if (rest != ws->rested)
        http_duplex_rest(ws->req, rest);
    ws->rested = rest;
}

void ws_rest(Ws *ws, bool rests)
{
    ws->rests = rests && ws->state == WS_STATE_OPEN;
    rest_look(ws);
}

static void message_in(Ws *ws, const WsEvent *event)
{
    if (ws->state != WS_STATE_OPEN)
        return;
    if (ws->options->idle_ms)
        loop_timer_set(http_req_loop(ws->req), &ws->idle, ws->options->idle_ms);
    ws->options->handlers->message(ws, event->opcode, event->bytes);
}

static void event_in(Ws *ws, const WsEvent *event)
{
    switch (event->opcode) {
    case WS_TEXT:
    case WS_BINARY:
        message_in(ws, event);
        return;
    case WS_PING:
        if (ws->state == WS_STATE_OPEN)
            frame_send(ws, &(WsFrame){ WS_PONG, true, false, NULL }, event->bytes);
        return;
    case WS_CLOSE:
        if (ws->state == WS_STATE_OPEN)
            close_frame_send(ws, event->code, STR_NONE);
        over(ws, event->code, event->bytes);
        return;
    case WS_PONG:
    case WS_CONTINUATION:
        return;
    }
}

static bool reads_on(Ws *ws, size_t handed)
{
    ws->full = http_duplex_queued(ws->req) > WS_QUEUE_BYTES;
    ws->paused = handed > WS_TURN_BYTES;
    if (ws->paused)
        loop_timer_set(http_req_loop(ws->req), &ws->soon, 0);
    return ws->state != WS_STATE_OVER && !ws->cut && !ws->rests && !ws->full && !ws->paused;
}

static void broken(Ws *ws)
{
    Str text = str_z(ws->reader.fail_text);
    if (ws->state == WS_STATE_OPEN)
        close_frame_send(ws, ws->reader.fail_code, text);
    over(ws, ws->reader.fail_code, text);
}

static size_t duplex_bytes_in(void *self, Str bytes)
{
    Ws *ws = self;
    Str in = bytes;
    WsStep step = WS_EVENT;
    size_t handed = 0;
    ws->heard = true;
    while (step == WS_EVENT && reads_on(ws, handed)) {
        WsEvent event;
        step = ws_reader_next(&ws->reader, &in, &event);
        if (step == WS_EVENT) {
            handed += event.bytes.len + WS_HEAD_MAX;
            event_in(ws, &event);
        }
    }
    if (step == WS_FAILED)
        broken(ws);
    if (ws->state == WS_STATE_OVER) {
        http_duplex_end(ws->req);
        return bytes.len;
    }
    rest_look(ws);
    return bytes.len - in.len;
}

/* The peer ends its side without a close frame. */
static void duplex_ended(void *self)
{
    Ws *ws = self;
    over(ws, WS_ABNORMAL, STR_NONE);
    http_duplex_end(ws->req);
}

static void duplex_writable(void *self)
{
    Ws *ws = self;
    ws->heard = ws->heard || ws->full; /* it takes what we send: it is there */
    if (http_duplex_queued(ws->req) > WS_QUEUE_BYTES / 2)
        return;
    if (ws->full) {
        ws->full = false;
        rest_look(ws);
    }
    if (ws->options->handlers->writable && ws->state == WS_STATE_OPEN)
        ws->options->handlers->writable(ws);
}

static void duplex_drain(void *self)
{
    Ws *ws = self;
    if (ws->options->handlers->drain && ws->state == WS_STATE_OPEN)
        ws->options->handlers->drain(ws);
    else
        ws_close(ws, WS_GOING_AWAY, STR("the server ends"));
}

static void duplex_closed(void *self)
{
    Ws *ws = self;
    Loop *loop = http_req_loop(ws->req);
    over(ws, WS_ABNORMAL, STR_NONE);
    loop_timer_stop(loop, &ws->quiet);
    loop_timer_stop(loop, &ws->idle);
    loop_timer_stop(loop, &ws->soon);
    ws->options->handlers->closed(ws, ws->code, str_of(ws->reason, ws->reason_len));
    ws_reader_done(&ws->reader);
    deflater_free(&ws->deflater);
    mem_free(&ws);
}

static const HttpDuplex ws_duplex = { duplex_bytes_in, duplex_ended, duplex_writable, duplex_drain,
                                      duplex_closed };

/* ---- time ---- */

/* A peer that is silent is asked once. One that we do not read from may be silent. */
static void quiet_fire(LoopTimer *timer)
{
    Ws *ws = WS_OF(timer, quiet);
    if (ws->state == WS_STATE_CLOSING || (ws->pinged && !ws->heard)) {
        cut_now(ws);
        return;
    }
    ws->pinged = !ws->heard && !ws->rests;
    ws->heard = false;
    if (ws->pinged)
        ws_ping(ws, STR_NONE);
    loop_timer_set(http_req_loop(ws->req), &ws->quiet, ping_ms(ws));
}

static void idle_fire(LoopTimer *timer)
{
    ws_close(WS_OF(timer, idle), WS_NORMAL, STR("idle"));
}

static void soon_fire(LoopTimer *timer)
{
    Ws *ws = WS_OF(timer, soon);
    if (ws->cut) {
        cut_now(ws);
        return;
    }
    ws->paused = false;
    rest_look(ws);
}

/* ---- life ---- */

static void reader_begin(Ws *ws, const WsOptions *options, const WsAgreed *agreed)
{
    WsReaderOptions reader = {
        .message_max = options->message_max ? options->message_max : WS_MESSAGE_DEFAULT_MAX,
        .fragments_max = options->fragments_max ? options->fragments_max
                                                : WS_FRAGMENTS_DEFAULT_MAX,
        .from_client = true,
        .deflate = agreed->deflates,
        .keeps_window = agreed->deflate.client_keeps,
        /* clients with an old zlib use 9 where they said 8 */
        .window_bits = MAX(agreed->deflate.client_bits, DEFLATE_BITS_MIN),
    };
    ws_reader_init(&ws->reader, &reader);
}

Ws *ws_accept(HttpReq *r, const WsOptions *options, void *self)
{
    ASSERT(options->handlers->message && options->handlers->closed);
    WsAgreed agreed;
    if (!ws_handshake(r, options, &agreed))
        return NULL;
    Ws *ws = mem_new(sizeof *ws);
    ws->req = r;
    ws->options = options;
    ws->self = self;
    ws->subprotocol = agreed.subprotocol;
    ws->deflates = agreed.deflates;
    ws->server_keeps = agreed.deflate.server_keeps;
    ws->server_bits = (uint8_t)agreed.deflate.server_bits;
    ws->quiet.fire = quiet_fire;
    ws->idle.fire = idle_fire;
    ws->soon.fire = soon_fire;
    reader_begin(ws, options, &agreed);
    Loop *loop = http_req_loop(r);
    loop_timer_set(loop, &ws->quiet, ping_ms(ws));
    if (options->idle_ms)
        loop_timer_set(loop, &ws->idle, options->idle_ms);
    http_reply_duplex(r, agreed.status, &ws_duplex, ws);
    return ws;
}

void *ws_self(const Ws *ws)
{
    return ws->self;
}

HttpReq *ws_req(const Ws *ws)
{
    return ws->req;
}

Str ws_subprotocol(const Ws *ws)
{
    return ws->subprotocol;
}

bool ws_deflates(const Ws *ws)
{
    return ws->deflates;
}

size_t ws_queued(const Ws *ws)
{
    return http_duplex_queued(ws->req);
}

void ws_post(Ws *ws, LoopPost *post)
{
    http_duplex_post(ws->req, post);
}
