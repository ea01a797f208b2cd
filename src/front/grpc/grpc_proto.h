/* grpc_proto.h: fields of protobuf messages, as much as the services of gRPC itself need; doors use
 *               generated code.
 * Owner:   a field borrows from the message.
 * Threads: any.
 * Errors:  a damaged message fails its Reader: reader_check.
 * Limits:  none: a field lies inside of its message.
 * Units:   bytes. */
#pragma once

#include "base/cursor.h"

typedef struct ProtoField {
    uint32_t number;
    bool is_bytes;
    uint64_t value; /* of a varint, or of 32 or 64 fixed bits */
    Str bytes;      /* a string, bytes or a message */
} ProtoField;

/* The next field; false: the message is over, or damaged. Groups are damage. */
bool proto_next(Reader *reader, ProtoField *ret_field);
/* The last field of that number that is bytes; STR_NONE: none, or damaged. */
Str proto_bytes(Str message, uint32_t number);

void proto_put_varint(Buf *out, uint32_t number, uint64_t value); /* 0 is not written */
void proto_put_bytes(Buf *out, uint32_t number, Str bytes);       /* nor is nothing */
void proto_put_message(Buf *out, uint32_t number, Str message);   /* also an empty one */
