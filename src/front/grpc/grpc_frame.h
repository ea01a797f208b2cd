/* grpc_frame.h: the length-prefixed messages of gRPC over HTTP/2, as pieces of a body bring them.
 * Owner:   a GrpcReader belongs to whoever initialised it; grpc_reader_done frees what it holds. A message
 *          is borrowed until the next call and as long as the piece that was given.
 * Threads: one at a time.
 * Errors:  a GrpcStep beyond GRPC_MESSAGE; it sticks.
 * Limits:  the maximum of grpc_reader_init.
 * Units:   bytes. */
#pragma once

#include "base/buf.h"

enum { GRPC_PREFIX_LEN = 5, GRPC_MESSAGE_DEFAULT_MAX = 4 << 20, GRPC_KEEP_BYTES = 4 << 10 };

typedef enum GrpcStep {
    GRPC_MORE,
    GRPC_MESSAGE,
    GRPC_TOO_BIG,    /* RESOURCE_EXHAUSTED */
    GRPC_COMPRESSED, /* the flag is set: UNIMPLEMENTED, or INTERNAL where no encoding was named */
    GRPC_MALFORMED   /* a flag that is neither 0 nor 1: INTERNAL */
} GrpcStep;

typedef struct GrpcReader {
    size_t message_max;
    uint8_t prefix[GRPC_PREFIX_LEN];
    uint8_t prefix_len;
    GrpcStep failed; /* GRPC_MORE: not */
    uint32_t len;    /* of the message whose prefix is complete */
    Buf bytes;       /* of a message that did not come in one piece */
} GrpcReader;

void grpc_reader_init(GrpcReader *reader, size_t message_max);
void grpc_reader_done(GrpcReader *reader);
/* Takes bytes off the front of `*in`. GRPC_MORE: `in` is empty. GRPC_MESSAGE: call again with the rest. A
 * length is refused when it is read; memory grows with the bytes that came. */
GrpcStep grpc_reader_next(GrpcReader *reader, Str *in, Str *ret_message);
/* No message is half read: here a body may end. */
bool grpc_reader_between(const GrpcReader *reader);

void grpc_prefix_encode(uint8_t out[GRPC_PREFIX_LEN], uint32_t message_len);
void grpc_frame_put(Buf *out, Str message);
