/* grpc.h: gRPC over a request of HTTP/2: methods from a table, messages as bytes, status in trailers.
 * Owner:   a GrpcCall is made by grpc_accept and is gone after `freed`, which comes once.
 * Threads: the functions of a method run one at a time: on the request's loop, or on an I/O worker where
 *          the method says on_worker; `cancel` always on the loop. The functions below belong into them,
 *          except grpc_cancelled and grpc_post, which any thread may call until `freed`.
 * Errors:  what the client breaks ends the call with the status that the specification of gRPC names
 *          (doc/statuscodes.md); a handler says grpc_finish.
 * Limits:  a message has GrpcMethod.message_max bytes; over it RESOURCE_EXHAUSTED. While
 *          GRPC_AHEAD_BYTES wait to go out nothing is read and nobody is asked for more.
 * Units:   bytes; _ms, _us.
 *
 * One route a service, whose path ends in the name of the method:
 *
 *     static void lake(HttpReq *r)
 *     {
 *         grpc_accept(r, methods, ARRAY_LEN(methods), http_req_context(r));
 *     }
 *     { "POST", "/tarn.v1.Lake/{method}", "grpcLake", .on_head = lake, .on_end = lake,
 *       .body_max = GRPC_BODY_MAX } */
#pragma once

#include "front/grpc/grpc_frame.h"
#include "front/grpc/grpc_text.h"
#include "front/http/http_server.h"
#include "os/loop.h"

#define GRPC_BODY_MAX (1ull << 62) /* messages have maxima, a stream of them has none */

enum {
    GRPC_AHEAD_BYTES = 256 << 10,
    GRPC_TRAILERS_MAX = 8,
    GRPC_TEXT_MAX = 1024 /* of grpc-message; longer ones are cut */
};

typedef struct GrpcCall GrpcCall;

typedef enum GrpcKind { GRPC_UNARY, GRPC_SERVER_STREAM, GRPC_CLIENT_STREAM, GRPC_BIDI } GrpcKind;

typedef struct GrpcMethod {
    const char *path; /* "/tarn.v1.Lake/Get" */
    GrpcKind kind;
    bool on_worker;
    size_t message_max;  /* 0: GRPC_MESSAGE_DEFAULT_MAX */
    uint32_t timeout_ms; /* the most, whatever the client grants; 0: what the client grants */
    void (*begun)(GrpcCall *call);                /* NULL: nothing */
    /* One message; of GRPC_UNARY and GRPC_SERVER_STREAM the only one, when the client's side is over.
     * The bytes are borrowed for the call. */
    void (*message)(GrpcCall *call, Str message);
    void (*ended)(GrpcCall *call);                /* the client's side is over; required where it streams */
    /* There is room to send: as long as each call sends something, and after grpc_again; NULL: never. */
    void (*room)(GrpcCall *call);
    void (*drain)(GrpcCall *call);                /* the server ends (on the loop); NULL: the call goes on */
    void (*cancel)(GrpcCall *call);               /* interrupt what runs; must not block; NULL: nothing */
    void (*freed)(GrpcCall *call);                /* last, if any of them came; NULL: nothing */
} GrpcMethod;

/* From on_head or on_end of a route with the lane HTTP_ON_LOOP. A request that is no call of gRPC gets the
 * reply of HTTP, an unknown method UNIMPLEMENTED at once. `methods` stay as long as the server. */
void grpc_accept(HttpReq *r, const GrpcMethod *methods, size_t count, void *context);
/* UNIMPLEMENTED for every path: on_head and on_end of a route behind those of the services. */
void grpc_unknown(HttpReq *r);

const GrpcMethod *grpc_method(const GrpcCall *call);
void *grpc_context(const GrpcCall *call);        /* of grpc_accept */
Arena *grpc_arena(GrpcCall *call);               /* lives as long as the call */
void *grpc_self(const GrpcCall *call);
void grpc_set_self(GrpcCall *call, void *self);
Str grpc_metadata(const GrpcCall *call, const char *name);     /* STR_NONE: absent; the first one */
bool grpc_metadata_bin(GrpcCall *call, const char *name, Str *ret_bytes); /* of a name ending in -bin */
Str grpc_peer(const GrpcCall *call);
int64_t grpc_left_us(const GrpcCall *call); /* to the deadline when this function was called; INT64_MAX: none */

void grpc_send(GrpcCall *call, Str message);     /* copied */
bool grpc_wants(const GrpcCall *call);           /* room for more: send until it is false, then return */
void grpc_again(GrpcCall *call);                 /* on the loop: `room` has something to send now */
/* A name ending in -bin gets its bytes in base64. Before grpc_finish. */
void grpc_trailer(GrpcCall *call, const char *name, Str value);
/* Ends the call behind what was sent; the first one counts. A unary method that returns GRPC_OK has sent
 * one message. On the loop it may also come later, from a timer or a post. */
void grpc_finish(GrpcCall *call, GrpcStatus status, Str text);
void grpc_finish_err(GrpcCall *call, const Err *err); /* the status of its code; E_OK: GRPC_OK */

bool grpc_cancelled(const GrpcCall *call);       /* the client went, or the deadline is over */
const bool *grpc_cancel_flag(const GrpcCall *call); /* the same, to be read atomically */
void grpc_post(GrpcCall *call, LoopPost *post);  /* from any thread: runs on the call's loop */
