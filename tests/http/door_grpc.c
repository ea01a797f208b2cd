/* The gRPC services of the test door: tests/grpc/test.proto, Health and reflection. PUT /health/{service} with
 * 1, 2 or 3 says how the service is. */
#include "door.h"

#include "front/grpc/grpc_health.h"
#include "front/grpc/grpc_reflection.h"
#include "test.pb-c.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

enum { TICK_US = 1000, NUMBER_MAX = 8 << 20 };

static atomic_uint seen_begun, seen_cancelled, seen_freed, seen_messages;

/* ---- messages ---- */

static void message_send(GrpcCall *call, const ProtobufCMessage *message)
{
    Buf bytes AUTO(buf_done);
    size_t size = protobuf_c_message_get_packed_size(message);
    buf_init(&bytes, NUMBER_MAX);
    if (!buf_reserve(&bytes, size)) {
        grpc_finish(call, GRPC_INTERNAL, STR("too large"));
        return;
    }
    bytes.len = protobuf_c_message_pack(message, (uint8_t *)bytes.ptr);
    grpc_send(call, buf_str(&bytes));
}

static void send_text(GrpcCall *call, const char *text)
{
    Tarn__Test__V1__Text reply = TARN__TEST__V1__TEXT__INIT;
    reply.text = (char *)(uintptr_t)text;
    message_send(call, &reply.base);
}

/* In malloc's memory; NULL: it is no such message, and the call is finished. */
static void *unpack(GrpcCall *call, const ProtobufCMessageDescriptor *type, Str message)
{
    atomic_fetch_add(&seen_messages, 1);
    void *unpacked = protobuf_c_message_unpack(type, NULL, message.len, (const uint8_t *)message.ptr);
    if (!unpacked)
        grpc_finish(call, GRPC_INTERNAL, STR("the bytes are no such message"));
    return unpacked;
}

static void done(void *message)
{
    protobuf_c_message_free_unpacked(message, NULL);
}

static void begun(GrpcCall *call)
{
    atomic_fetch_add(&seen_begun, grpc_method(call) != NULL);
}

static void cancel(GrpcCall *call)
{
    atomic_fetch_add(&seen_cancelled, grpc_cancelled(call));
}

static void freed(GrpcCall *call)
{
    atomic_fetch_add(&seen_freed, 1);
    free(grpc_self(call));
}

/* ---- methods ---- */

static void echo(GrpcCall *call, Str message)
{
    Tarn__Test__V1__Text *text = unpack(call, &tarn__test__v1__text__descriptor, message);
    if (!text)
        return;
    message_send(call, &text->base);
    grpc_finish(call, GRPC_OK, STR_NONE);
    done(text);
}

typedef struct Counter {
    uint32_t at, count, padding_bytes, fail_at;
    int64_t sum;
} Counter;

static Counter *counter_of(GrpcCall *call)
{
    if (!grpc_self(call))
        grpc_set_self(call, calloc(1, sizeof(Counter)));
    return grpc_self(call);
}

static void count_message(GrpcCall *call, Str message)
{
    Tarn__Test__V1__CountRequest *request = unpack(call, &tarn__test__v1__count_request__descriptor, message);
    if (!request)
        return;
    *counter_of(call) = (Counter){ .count = request->count,
                                   .padding_bytes = MIN(request->padding_bytes, (uint32_t)NUMBER_MAX / 2),
                                   .fail_at = request->fail_at };
    done(request);
}

static void count_room(GrpcCall *call)
{
    Counter *counter = grpc_self(call);
    uint8_t *padding = calloc(1, counter->padding_bytes + 1);
    while (counter->at < counter->count && grpc_wants(call)) {
        Tarn__Test__V1__Number number = TARN__TEST__V1__NUMBER__INIT;
        number.value = ++counter->at;
        number.padding.data = padding;
        number.padding.len = counter->padding_bytes;
        message_send(call, &number.base);
        if (counter->at == counter->fail_at) {
            grpc_trailer(call, "x-place", STR("here"));
            grpc_finish(call, GRPC_DATA_LOSS, STR("a number is lost"));
        }
    }
    free(padding);
    if (counter->at == counter->count)
        grpc_finish(call, GRPC_OK, STR_NONE);
}

static void sum_message(GrpcCall *call, Str message)
{
    Tarn__Test__V1__Number *number = unpack(call, &tarn__test__v1__number__descriptor, message);
    if (!number)
        return;
    counter_of(call)->sum += number->value;
    if (number->value < 0)
        grpc_finish(call, GRPC_INVALID_ARGUMENT, STR("a number below zero"));
    done(number);
}

static void sum_ended(GrpcCall *call)
{
    Tarn__Test__V1__Number number = TARN__TEST__V1__NUMBER__INIT;
    number.value = counter_of(call)->sum;
    message_send(call, &number.base);
    grpc_finish(call, GRPC_OK, STR_NONE);
}

static void chat_message(GrpcCall *call, Str message)
{
    Tarn__Test__V1__Text *text = unpack(call, &tarn__test__v1__text__descriptor, message);
    if (!text)
        return;
    if (str_eq(str_z(text->text), STR("bye")))
        grpc_finish(call, GRPC_OK, STR_NONE);
    else
        message_send(call, &text->base);
    done(text);
}

static void chat_ended(GrpcCall *call)
{
    send_text(call, "goodbye");
    grpc_finish(call, GRPC_OK, STR_NONE);
}

static void chat_drain(GrpcCall *call)
{
    grpc_finish(call, GRPC_UNAVAILABLE, STR("the server ends"));
}

static void sleep_message(GrpcCall *call, Str message)
{
    Tarn__Test__V1__SleepRequest *request = unpack(call, &tarn__test__v1__sleep_request__descriptor, message);
    if (!request)
        return;
    for (uint32_t slept_us = 0; slept_us / 1000 < request->ms && !grpc_cancelled(call); slept_us += TICK_US)
        usleep(TICK_US);
    done(request);
    send_text(call, grpc_cancelled(call) ? "woken" : "slept");
    grpc_finish(call, GRPC_OK, STR_NONE);
}

static void fail_message(GrpcCall *call, Str message)
{
    Tarn__Test__V1__FailRequest *request = unpack(call, &tarn__test__v1__fail_request__descriptor, message);
    if (!request)
        return;
    grpc_finish(call, (GrpcStatus)request->status, str_z(request->text));
    done(request);
}

/* Gives x-text and x-data-bin back, in the message and as trailers. */
static void metadata_message(GrpcCall *call, Str message)
{
    Str text = grpc_metadata(call, "x-text"), bytes = STR_NONE;
    atomic_fetch_add(&seen_messages, message.len < NUMBER_MAX);
    if (grpc_metadata(call, "x-data-bin").ptr && !grpc_metadata_bin(call, "x-data-bin", &bytes)) {
        grpc_finish(call, GRPC_INVALID_ARGUMENT, STR("x-data-bin is not base64"));
        return;
    }
    grpc_trailer(call, "X-Text", text);
    grpc_trailer(call, "x-data-bin", bytes);
    send_text(call, str_format(grpc_arena(call), "text=" STR_FMT " bytes=%zu peer=%d left=%d", STR_ARG(text),
                               bytes.len, grpc_peer(call).len > 0, grpc_left_us(call) < INT64_MAX).ptr);
    grpc_finish(call, GRPC_OK, STR_NONE);
}

/* Returns without an answer, as a mistake of a handler would. */
static void silent_message(GrpcCall *call, Str message)
{
    atomic_fetch_add(&seen_messages, message.len < NUMBER_MAX);
    if (message.len > 0)
        grpc_finish(call, GRPC_OK, STR_NONE);
}

static void seen_message(GrpcCall *call, Str message)
{
    Tarn__Test__V1__SeenReply reply = TARN__TEST__V1__SEEN_REPLY__INIT;
    reply.begun = atomic_load(&seen_begun);
    reply.cancelled = atomic_load(&seen_cancelled);
    reply.freed = atomic_load(&seen_freed);
    reply.messages = atomic_load(&seen_messages) + (message.len == SIZE_MAX);
    message_send(call, &reply.base);
    grpc_finish(call, GRPC_OK, STR_NONE);
}

/* ---- tables ---- */

#define TEST_PATH "/tarn.test.v1.Test/"
#define LIFE .begun = begun, .cancel = cancel, .freed = freed

static const GrpcMethod methods[] = {
    { TEST_PATH "Echo", GRPC_UNARY, .message = echo, LIFE },
    { TEST_PATH "EchoLater", GRPC_UNARY, .on_worker = true, .message = echo, LIFE },
    { TEST_PATH "Count", GRPC_SERVER_STREAM, .message = count_message, .room = count_room, LIFE },
    { TEST_PATH "CountLater", GRPC_SERVER_STREAM, .on_worker = true, .message = count_message, .room = count_room, LIFE },
    { TEST_PATH "Sum", GRPC_CLIENT_STREAM, .message = sum_message, .ended = sum_ended, LIFE },
    { TEST_PATH "SumLater", GRPC_CLIENT_STREAM, .on_worker = true, .message = sum_message, .ended = sum_ended, LIFE },
    { TEST_PATH "Chat", GRPC_BIDI, .message = chat_message, .ended = chat_ended, .drain = chat_drain, LIFE },
    { TEST_PATH "ChatLater", GRPC_BIDI, .on_worker = true, .message = chat_message, .ended = chat_ended, LIFE },
    { TEST_PATH "Sleep", GRPC_UNARY, .on_worker = true, .timeout_ms = 20000, .message = sleep_message, LIFE },
    { TEST_PATH "Fail", GRPC_UNARY, .message = fail_message, LIFE },
    { TEST_PATH "Metadata", GRPC_UNARY, .on_worker = true, .message_max = 1000, .message = metadata_message, LIFE },
    { TEST_PATH "Silent", GRPC_UNARY, .on_worker = true, .message = silent_message, LIFE },
    { TEST_PATH "Seen", GRPC_UNARY, .message = seen_message },
};

static void test_route(HttpReq *r)
{
    grpc_accept(r, methods, ARRAY_LEN(methods), http_req_context(r));
}

/* ---- Health, reflection: made by the first who asks ---- */

extern const unsigned char grpc_test_set[]; /* test.set, made by the build */
extern const unsigned long grpc_test_set_len;

static GrpcHealth *health;
static GrpcReflection *reflection;
static pthread_once_t made = PTHREAD_ONCE_INIT;

static void make(void)
{
    Err err;
    health = grpc_health_new();
    Code code = grpc_reflection_new(str_of(grpc_test_set, grpc_test_set_len), &reflection, &err);
    ASSERT(code == E_OK);
}

static void health_route(HttpReq *r)
{
    pthread_once(&made, make);
    grpc_health_accept(health, r);
}

static void reflection_route(HttpReq *r)
{
    pthread_once(&made, make);
    grpc_reflection_accept(reflection, r);
}

static void health_put(HttpReq *r)
{
    Err err;
    uint64_t serving = 0;
    pthread_once(&made, make);
    Str service = str_eq(http_req_arg(r, "service"), STR("all")) ? STR_NONE : http_req_arg(r, "service");
    Code code = str_u64(http_req_body(r), &serving) && serving >= 1 && serving <= 3
                    ? grpc_health_set(health, service, (GrpcServing)serving, &err)
                    : err_set(&err, E_INVALID, "1, 2 or 3");
    if (code == E_OK)
        http_reply(r, 204, NULL, STR_NONE);
    else
        http_reply_problem(r, &err);
}

#define GRPC_ROUTE(path, name, handler)                                                            \
    { "POST", path, name, .body_max = GRPC_BODY_MAX, .on_head = handler, .on_end = handler }

static const HttpRoute routes[] = {
    GRPC_ROUTE(TEST_PATH "{method}", "grpcTest", test_route),
    GRPC_ROUTE("/tarn.test.v1.Gone/{method}", "grpcGone", grpc_unknown),
    GRPC_ROUTE(GRPC_HEALTH_PATH, "grpcHealth", health_route),
    GRPC_ROUTE(GRPC_REFLECTION_PATH, "grpcReflection", reflection_route),
    GRPC_ROUTE(GRPC_REFLECTION_ALPHA_PATH, "grpcReflectionAlpha", reflection_route),
    { "PUT", "/health/{service}", "healthPut", .on_end = health_put },
};

DoorRoutes door_grpc_routes(void)
{
    return (DoorRoutes){ routes, ARRAY_LEN(routes) };
}
