/* What makes a request a call: PROTOCOL-HTTP2.md of gRPC. */
#include "front/grpc/grpc_priv.h"

#include "os/loop.h"

static void refuse(HttpReq *r, int status, Code code, const char *text)
{
    Err err;
    IGNORE(err_set(&err, code, "%s", text)); /* sent */
    http_reply_problem_status(r, status, &err, STR_NONE);
}

/* The whole answer in one HEADERS frame. */
static void trailers_only(HttpReq *r, GrpcStatus status, const char *text)
{
    Buf message AUTO(buf_done);
    buf_init(&message, 3 * GRPC_TEXT_MAX);
    grpc_message_put(&message, str_z(text));
    http_reply_header(r, "grpc-status", str_format(http_req_arena(r), "%d", (int)status));
    http_reply_header(r, "grpc-message", buf_str(&message));
    http_reply(r, 200, "application/grpc", STR_NONE);
}

/* False: it is no call, and the reply says so. */
static bool call_check(HttpReq *r)
{
    if (!str_eq(http_req_version(r), STR("HTTP/2"))) {
        refuse(r, 505, E_UNSUPPORTED, "gRPC wants HTTP/2");
        return false;
    }
    if (!grpc_type_is(http_req_header(r, "Content-Type"))) {
        refuse(r, 415, E_UNSUPPORTED, "the content type of gRPC is application/grpc");
        return false;
    }
    return true;
}

static const GrpcMethod *method_find(const GrpcMethod *methods, size_t count, Str path)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(str_z(methods[i].path), path))
            return &methods[i];
    return NULL;
}

/* The request may be gone before its call is: what a worker reads is copied. */
static void metadata_copy(GrpcCall *call, HttpReq *r)
{
    size_t count = http_req_field_count(r);
    call->metadata = arena_array(&call->arena, GrpcField, count ? count : 1);
    for (size_t i = 0; i < count; i++)
        call->metadata[i] =
            (GrpcField){ str_copy(&call->arena, http_req_field_name(r, i)),
                         str_copy(&call->arena, http_req_field_value(r, i)) };
    call->metadata_count = count;
    call->peer = str_copy(&call->arena, http_req_peer(r));
}

/* The earlier of the client's deadline and the method's; false: grpc-timeout is malformed. */
static bool deadline_of(HttpReq *r, const GrpcMethod *method, int64_t *ret_deadline_us)
{
    Str value = http_req_header(r, "grpc-timeout");
    int64_t timeout_us = INT64_MAX;
    if (value.ptr && !grpc_timeout_parse(value, &timeout_us))
        return false;
    if (method->timeout_ms)
        timeout_us = MIN(timeout_us, (int64_t)method->timeout_ms * 1000);
    *ret_deadline_us = timeout_us == INT64_MAX ? 0 : http_req_started_us(r) + timeout_us;
    return true;
}

static GrpcCall *call_new(HttpReq *r, const GrpcMethod *method, int64_t deadline_us, void *context)
{
    ASSERT(method->message && (method->ended || method->kind == GRPC_UNARY ||
                               method->kind == GRPC_SERVER_STREAM));
    GrpcCall *call = mem_new(sizeof *call);
    call->req = r;
    call->loop = http_req_loop(r);
    call->method = method;
    call->context = context;
    call->deadline_us = deadline_us;
    Str encoding = http_req_header(r, "grpc-encoding");
    call->encoded = encoding.len > 0 && !str_eq(encoding, STR("identity"));
    size_t max = method->message_max ? method->message_max : GRPC_MESSAGE_DEFAULT_MAX;
    grpc_reader_init(&call->reader, max);
    buf_init(&call->message, max);
    buf_init(&call->out, GRPC_OUT_MAX);
    metadata_copy(call, r);
    return call;
}

void grpc_accept(HttpReq *r, const GrpcMethod *methods, size_t count, void *context)
{
    int64_t deadline_us;
    if (!call_check(r))
        return;
    const GrpcMethod *method = method_find(methods, count, http_req_path(r));
    if (!method) {
        grpc_unknown(r);
    } else if (!deadline_of(r, method, &deadline_us)) {
        trailers_only(r, GRPC_INTERNAL, "grpc-timeout is malformed");
    } else if (deadline_us && deadline_us <= loop_now_us(http_req_loop(r))) {
        trailers_only(r, GRPC_DEADLINE_EXCEEDED, "the deadline is over");
    } else {
        GrpcCall *call = call_new(r, method, deadline_us, context);
        http_reply_header(r, "Content-Type", STR("application/grpc"));
        http_reply_header(r, "grpc-accept-encoding", STR("identity"));
        http_reply_duplex(r, 200, &grpc_duplex, call);
        grpc_call_begin(call);
    }
}

void grpc_unknown(HttpReq *r)
{
    if (call_check(r))
        trailers_only(r, GRPC_UNIMPLEMENTED, "no such method");
}

const GrpcMethod *grpc_method(const GrpcCall *call)
{
    return call->method;
}

void *grpc_context(const GrpcCall *call)
{
    return call->context;
}

Arena *grpc_arena(GrpcCall *call)
{
    return &call->arena;
}

void *grpc_self(const GrpcCall *call)
{
    return call->self;
}

void grpc_set_self(GrpcCall *call, void *self)
{
    call->self = self;
}

Str grpc_metadata(const GrpcCall *call, const char *name)
{
    for (size_t i = 0; i < call->metadata_count; i++)
        if (str_ieq(call->metadata[i].name, str_z(name)))
            return call->metadata[i].value;
    return STR_NONE;
}

bool grpc_metadata_bin(GrpcCall *call, const char *name, Str *ret_bytes)
{
    Str value = grpc_metadata(call, name);
    return value.ptr && grpc_bin_parse(&call->arena, value, ret_bytes);
}

Str grpc_peer(const GrpcCall *call)
{
    return call->peer;
}
