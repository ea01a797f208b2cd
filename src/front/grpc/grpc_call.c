/* Invariants:
 * 1. One function of the method runs at a time. While one is with a worker (`busy`) the loop touches nothing
 *    that the worker has (grpc_priv.h), reads no message, and lets the exchange end without it.
 * 2. The order is begun, messages, ended, with room between; none of them comes once the call is finished
 *    or the exchange is over; freed is the last one and comes once, when no worker has the call.
 * 3. Trailers are sent once. A deadline does not wait for a worker: its trailers go out, the worker sees
 *    `cancelled`, and the call is freed when it is back.
 * 4. While GRPC_AHEAD_BYTES wait to go out, or a worker is busy, nothing is read: a client that does not
 *    take its answers cannot make them pile up.
 *
 * An event of the exchange changes the state of the call and then asks call_go what is to run next. */
#include "front/grpc/grpc_priv.h"

static void call_go(GrpcCall *call);

enum {
    LANE_IO = 0,
    DEADLINE_STEP_MS_MAX = 100000,
    TURN_EVENTS_MAX = 16 /* then the other connections of the loop have their turn */
};

#define CALL_OF(timer, field) ((GrpcCall *)((char *)(timer) - offsetof(GrpcCall, field)))

static bool single(const GrpcCall *call)
{
    return call->method->kind == GRPC_UNARY || call->method->kind == GRPC_SERVER_STREAM;
}

static bool answers_once(const GrpcCall *call)
{
    return call->method->kind == GRPC_UNARY || call->method->kind == GRPC_CLIENT_STREAM;
}

/* Nothing that the client says counts any more. */
static bool is_over(const GrpcCall *call)
{
    return call->closing || (!call->busy && call->finished);
}

/* ---- the end ---- */

static void call_free(GrpcCall *call)
{
    loop_timer_stop(call->loop, &call->deadline);
    loop_timer_stop(call->loop, &call->soon);
    grpc_reader_done(&call->reader);
    buf_done(&call->message);
    buf_done(&call->out);
    arena_done(&call->arena);
    mem_free(&call);
}

static void cancel_tell(GrpcCall *call)
{
    if (call->cancelled)
        return;
    __atomic_store_n(&call->cancelled, true, __ATOMIC_RELEASE);
    if (call->method->cancel)
        call->method->cancel(call);
}

static void trailer_put(GrpcCall *call, Str name, Str value)
{
    http_reply_trailer(call->req, str_copy_z(http_req_arena(call->req), name), value);
}

/* `text` of a status that is no GRPC_OK. */
static void trailers_send(GrpcCall *call, GrpcStatus status, Str text)
{
    if (call->closing || !call->req)
        return;
    call->closing = true;
    loop_timer_stop(call->loop, &call->deadline);
    Buf message AUTO(buf_done);
    buf_init(&message, 3 * GRPC_TEXT_MAX);
    grpc_message_put(&message, str_sub(text, 0, GRPC_TEXT_MAX));
    trailer_put(call, STR("grpc-status"),
                str_format(http_req_arena(call->req), "%d", (int)status));
    if (text.len > 0)
        trailer_put(call, STR("grpc-message"), buf_str(&message));
    for (size_t i = 0; i < call->trailer_count && !call->busy; i++)
        trailer_put(call, call->trailers[i].name, call->trailers[i].value);
    http_duplex_end(call->req); /* the call may be gone now */
}

/* The core, not the method, ends the call; what a worker still does is for nothing. */
static void call_fail(GrpcCall *call, GrpcStatus status, const char *text)
{
    cancel_tell(call);
    trailers_send(call, status, str_z(text));
}

/* ---- running the method's functions ---- */

static void event_run(GrpcCall *call)
{
    const GrpcMethod *method = call->method;
    switch (call->event) {
    case CALL_BEGUN:
        method->begun(call);
        return;
    case CALL_MESSAGE:
        method->message(call, buf_str(&call->message));
        return;
    case CALL_ENDED:
        method->ended(call);
        return;
    case CALL_ROOM:
        method->room(call);
        return;
    case CALL_FREED:
        method->freed(call);
        return;
    }
}

static void worker_run(LoopWork *work)
{
    event_run((GrpcCall *)work);
}

static void event_over(GrpcCall *call)
{
    if (call->event == CALL_FREED) {
        call_free(call);
        return;
    }
    if (call->event == CALL_ROOM)
        call->roomy = call->roomy || call->sent;
    if (call->event == CALL_MESSAGE) {
        call->has_message = false;
        buf_clear(&call->message);
        call->roomy = call->method->room != NULL;
        if (call->method->kind == GRPC_UNARY && call->method->on_worker && !call->finished)
            grpc_finish(call, GRPC_INTERNAL, STR("the method gave no answer"));
    }
    if (call->out.over)
        call_fail(call, GRPC_RESOURCE_EXHAUSTED, "the answer is too large");
}

static void worker_over(LoopWork *work)
{
    GrpcCall *call = (GrpcCall *)work;
    bool freed = call->event == CALL_FREED;
    call->busy = false;
    call->in_call = true;
    event_over(call);
    if (freed)
        return;
    call->in_call = false;
    call_go(call);
}

/* True: it has run; false: a worker has it, or the call is gone. */
static bool event_start(GrpcCall *call, CallEvent event)
{
    call->event = event;
    call->entered = true;
    call->sent = false;
    call->now_us = loop_now_us(call->loop);
    if (!call->method->on_worker) {
        event_run(call);
        event_over(call);
        return event != CALL_FREED;
    }
    call->work = (LoopWork){ .loop = call->loop, .work = worker_run, .done = worker_over };
    call->busy = true;
    if (loop_work(&call->work, LANE_IO, NULL) == E_OK)
        return false;
    call->busy = false;
    if (event == CALL_FREED) { /* it must run; the lane is full or the server ends */
        event_run(call);
        call_free(call);
        return false;
    }
    call_fail(call, GRPC_UNAVAILABLE, "too many calls wait for a worker");
    return true;
}

/* What is to run next, by the order of invariant 2; false: nothing now. */
static bool event_next(GrpcCall *call, CallEvent *ret_event)
{
    bool streams = !single(call);
    if (!call->begun) {
        call->begun = true;
        *ret_event = CALL_BEGUN;
        if (call->method->begun)
            return true;
    }
    *ret_event = CALL_MESSAGE;
    if (call->has_message && (streams || call->in_over))
        return true;
    *ret_event = CALL_ENDED;
    if (streams && call->in_over && !call->ended_told) {
        call->ended_told = true;
        return true;
    }
    *ret_event = CALL_ROOM;
    bool ready = streams || (call->messages > 0 && call->in_over);
    if (!call->method->room || !call->roomy || !ready || call->full)
        return false;
    call->roomy = false;
    return true;
}

static void rest_look(GrpcCall *call)
{
    bool rest = call->busy || call->full || (call->has_message && !single(call));
    if (rest != call->rested)
        http_duplex_rest(call->req, rest);
    call->rested = rest;
}

static void out_flush(GrpcCall *call)
{
    if (call->out.len > 0 && call->req && !call->closing)
        http_duplex_send_take(call->req, &call->out);
    buf_done(&call->out);
    buf_init(&call->out, GRPC_OUT_MAX);
}

/* Runs what is due. The call may be gone afterwards, unless a callback of the exchange is under way. */
static void call_go(GrpcCall *call)
{
    CallEvent event;
    if (call->in_call || call->busy)
        return;
    for (int events = 0;; events++) {
        out_flush(call);
        if (!call->req || is_over(call))
            break;
        call->full = http_duplex_queued(call->req) >= GRPC_AHEAD_BYTES;
        if (events == TURN_EVENTS_MAX)
            loop_timer_set(call->loop, &call->soon, 0);
        if (events == TURN_EVENTS_MAX || !event_next(call, &event))
            break;
        call->in_call = true;
        bool ran = event_start(call, event);
        call->in_call = false;
        if (!ran)
            break;
    }
    if (call->req && !call->closing)
        rest_look(call);
    if (call->busy)
        return;
    if (!call->req) {
        if (!call->method->freed || !call->entered || event_start(call, CALL_FREED))
            call_free(call);
    } else if (call->finished) {
        bool wrong = call->status == GRPC_OK && answers_once(call) && call->sends != 1;
        trailers_send(call, wrong ? GRPC_INTERNAL : call->status,
                      wrong ? STR("the method did not send one message") : call->text);
    }
}

/* ---- the exchange ---- */

static void message_broken(GrpcCall *call, GrpcStep step)
{
    if (step == GRPC_TOO_BIG)
        call_fail(call, GRPC_RESOURCE_EXHAUSTED, "the message is larger than this method takes");
    else if (step == GRPC_COMPRESSED && call->encoded)
        call_fail(call, GRPC_UNIMPLEMENTED, "compressed messages are not taken");
    else
        call_fail(call, GRPC_INTERNAL,
                  step == GRPC_COMPRESSED ? "a compressed message, and no encoding is named"
                                          : "a message with an unknown flag");
}

static void message_in(GrpcCall *call, Str message)
{
    if (++call->messages > 1 && single(call)) {
        call_fail(call, GRPC_UNIMPLEMENTED, "this method takes one message");
        return;
    }
    buf_put(&call->message, message);
    call->has_message = true;
    call_go(call);
}

static bool reads_on(const GrpcCall *call)
{
    return !is_over(call) && !call->busy && !call->full && (!call->has_message || single(call));
}

static size_t duplex_bytes_in(void *self, Str bytes)
{
    GrpcCall *call = self;
    Str in = bytes, message;
    GrpcStep step = GRPC_MESSAGE;
    while (step == GRPC_MESSAGE && reads_on(call)) {
        step = grpc_reader_next(&call->reader, &in, &message);
        if (step == GRPC_MESSAGE)
            message_in(call, message);
        else if (step != GRPC_MORE)
            message_broken(call, step);
    }
    if (is_over(call))
        return bytes.len;
    rest_look(call);
    return bytes.len - in.len;
}

static void duplex_ended(void *self)
{
    GrpcCall *call = self;
    call->in_over = true;
    if (!grpc_reader_between(&call->reader))
        call_fail(call, GRPC_INTERNAL, "a message is cut short");
    else if (single(call) && call->messages == 0)
        call_fail(call, GRPC_UNIMPLEMENTED, "this method takes one message, none came");
    else
        call_go(call);
}

static void duplex_writable(void *self)
{
    GrpcCall *call = self;
    if (http_duplex_queued(call->req) <= GRPC_AHEAD_BYTES / 2)
        call_go(call);
}

static void duplex_drain(void *self)
{
    GrpcCall *call = self;
    if (!call->method->drain || call->closing || call->busy)
        return;
    call->method->drain(call);
    call_go(call);
}

static void duplex_closed(void *self)
{
    GrpcCall *call = self;
    call->req = NULL;
    loop_timer_stop(call->loop, &call->deadline);
    loop_timer_stop(call->loop, &call->soon);
    if (!is_over(call))
        cancel_tell(call);
    if (call->in_call || call->busy)
        return; /* whoever runs comes back to call_go */
    call_go(call);
}

const HttpDuplex grpc_duplex = { duplex_bytes_in, duplex_ended, duplex_writable, duplex_drain,
                                 duplex_closed };

/* ---- time ---- */

/* Timers of one duration are a queue, and there are few queues: a deadline goes by steps of a decade. */
static void deadline_set(GrpcCall *call)
{
    int64_t left_ms = (call->deadline_us - loop_now_us(call->loop) + 999) / 1000;
    uint32_t step_ms = 1;
    while (step_ms < DEADLINE_STEP_MS_MAX && step_ms * 10 <= left_ms)
        step_ms *= 10;
    loop_timer_set(call->loop, &call->deadline, step_ms);
}

static void deadline_fire(LoopTimer *timer)
{
    GrpcCall *call = CALL_OF(timer, deadline);
    if (loop_now_us(call->loop) < call->deadline_us)
        deadline_set(call);
    else
        call_fail(call, GRPC_DEADLINE_EXCEEDED, "the deadline is over");
}

static void soon_fire(LoopTimer *timer)
{
    call_go(CALL_OF(timer, soon));
}

void grpc_call_begin(GrpcCall *call)
{
    call->deadline.fire = deadline_fire;
    call->soon.fire = soon_fire;
    if (call->deadline_us)
        deadline_set(call);
    call->roomy = call->method->room != NULL;
    if (call->method->begun || call->method->room)
        loop_timer_set(call->loop, &call->soon, 0); /* the head goes out first */
}

/* ---- what a method's functions call ---- */

int64_t grpc_left_us(const GrpcCall *call)
{
    return call->deadline_us ? call->deadline_us - call->now_us : INT64_MAX;
}

void grpc_send(GrpcCall *call, Str message)
{
    uint8_t prefix[GRPC_PREFIX_LEN];
    call->sent = true;
    call->sends++;
    if (call->busy) {
        grpc_frame_put(&call->out, message);
    } else if (call->req && !call->closing && !call->finished) {
        ASSERT(message.len <= UINT32_MAX);
        grpc_prefix_encode(prefix, (uint32_t)message.len);
        http_duplex_send(call->req, str_of(prefix, sizeof prefix));
        http_duplex_send(call->req, message);
    }
}

bool grpc_wants(const GrpcCall *call)
{
    if (grpc_cancelled(call) || call->finished)
        return false;
    return call->busy ? call->out.len < GRPC_AHEAD_BYTES
                      : call->req && http_duplex_queued(call->req) < GRPC_AHEAD_BYTES;
}

void grpc_again(GrpcCall *call)
{
    call->roomy = true;
    if (call->req && !call->busy)
        loop_timer_set(call->loop, &call->soon, 0);
}

void grpc_trailer(GrpcCall *call, const char *name, Str value)
{
    if (call->trailer_count == GRPC_TRAILERS_MAX)
        return;
    Str key = str_lower(&call->arena, str_z(name));
    Buf text AUTO(buf_done);
    buf_init(&text, 3 * GRPC_TEXT_MAX);
    if (str_ends(key, STR("-bin")))
        grpc_bin_put(&text, str_sub(value, 0, GRPC_TEXT_MAX));
    else
        buf_put(&text, str_sub(value, 0, GRPC_TEXT_MAX));
    call->trailers[call->trailer_count++] =
        (GrpcField){ key, str_copy(&call->arena, buf_str(&text)) };
}

void grpc_finish(GrpcCall *call, GrpcStatus status, Str text)
{
    if (call->finished)
        return;
    call->finished = true;
    call->status = status;
    call->text = str_copy(&call->arena, str_sub(text, 0, GRPC_TEXT_MAX));
    if (!call->busy && !call->in_call && call->req)
        loop_timer_set(call->loop, &call->soon, 0);
}

void grpc_finish_err(GrpcCall *call, const Err *err)
{
    grpc_finish(call, grpc_status_of(err->code), str_z(err->text));
}

bool grpc_cancelled(const GrpcCall *call)
{
    return __atomic_load_n(&call->cancelled, __ATOMIC_ACQUIRE);
}

const bool *grpc_cancel_flag(const GrpcCall *call)
{
    return &call->cancelled;
}

void grpc_post(GrpcCall *call, LoopPost *post)
{
    loop_post(call->loop, post);
}
