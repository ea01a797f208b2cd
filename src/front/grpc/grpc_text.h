/* grpc_text.h: what gRPC writes into header fields: status, message, timeout, binary metadata.
 * Owner:   results are values or live in the given arena or Buf.
 * Threads: any.
 * Errors:  parsers return false and leave their output alone.
 * Limits:  a timeout has 8 digits.
 * Units:   _us: microseconds. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

typedef enum GrpcStatus {
    GRPC_OK = 0,
    GRPC_CANCELLED = 1,
    GRPC_UNKNOWN = 2,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_ALREADY_EXISTS = 6,
    GRPC_PERMISSION_DENIED = 7,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_FAILED_PRECONDITION = 9,
    GRPC_ABORTED = 10,
    GRPC_OUT_OF_RANGE = 11,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_DATA_LOSS = 15,
    GRPC_UNAUTHENTICATED = 16
} GrpcStatus;

GrpcStatus grpc_status_of(Code code);     /* the column of errors.def */
GrpcStatus grpc_status_of_http(int status); /* what a reply that is no gRPC means */

/* grpc-message: everything outside of 20-7E and `%` as %XX. The decoder takes a `%` that starts no such
 * pair as it stands, as the specification asks. */
void grpc_message_put(Buf *out, Str text);
void grpc_message_decode(Buf *out, Str value);

/* grpc-timeout: 1 to 8 digits and a unit of H M S m u n; nanoseconds are rounded up. */
bool grpc_timeout_parse(Str value, int64_t *ret_us);

/* Metadata whose name ends in -bin: base64 without padding; it is read with or without. */
void grpc_bin_put(Buf *out, Str bytes);
bool grpc_bin_parse(Arena *arena, Str value, Str *ret_bytes);

/* content-type: application/grpc, alone, with +FORMAT or with parameters. */
bool grpc_type_is(Str content_type);
