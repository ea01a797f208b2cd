/* grpc_priv.h: a call, for the files of this folder.
 * Owner:   grpc.c makes it, grpc_call.c runs and frees it.
 * Threads: the loop's; while `busy` a worker has `out`, `message`, `finished`, `status`, `text`,
 *          `trailers`, `sent`, `sends`, `self` and the arena.
 * Errors:  none of its own.
 * Limits:  those of grpc.h.
 * Units:   bytes, _us. */
#pragma once

#include "front/grpc/grpc.h"
#include "front/http/http_duplex.h"

enum { GRPC_OUT_MAX = 64 << 20 }; /* of what one function on a worker sends */

typedef struct GrpcField {
    Str name, value;
} GrpcField;

typedef enum CallEvent { CALL_BEGUN, CALL_MESSAGE, CALL_ENDED, CALL_ROOM, CALL_FREED } CallEvent;

struct GrpcCall {
    LoopWork work;    /* first */
    HttpReq *req;     /* NULL: the exchange is over */
    Loop *loop;
    const GrpcMethod *method;
    void *context, *self;
    Arena arena;
    GrpcField *metadata;
    size_t metadata_count;
    Str peer;
    int64_t deadline_us; /* monotonic; 0: none */
    LoopTimer deadline, soon;
    GrpcReader reader;
    Buf message;      /* of a unary call, or on its way to a worker */
    Buf out;          /* what a function on a worker sent */
    CallEvent event;  /* what the worker runs */
    bool encoded;     /* the client named an encoding that is not spoken here */
    bool begun, busy, has_message, in_over, ended_told;
    bool full, rested;
    bool roomy;       /* `room` is to be asked */
    bool sent;        /* the function that runs has sent something */
    bool in_call;     /* a function of the method, or of the core, is further up the stack */
    bool entered;     /* a function of the method has run */
    bool finished;    /* status and text stand */
    bool closing;     /* the trailers are on their way */
    bool cancelled;   /* read and written atomically */
    uint32_t messages, sends;
    int64_t now_us;   /* when the function that runs was called */
    GrpcStatus status;
    Str text;         /* in the arena */
    GrpcField trailers[GRPC_TRAILERS_MAX];
    size_t trailer_count;
};

extern const HttpDuplex grpc_duplex;

/* The timers and the first function, behind http_reply_duplex. */
void grpc_call_begin(GrpcCall *call);
