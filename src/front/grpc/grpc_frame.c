/* Invariants:
 * 1. `bytes` holds what came of the open message; it is empty while the prefix is read.
 * 2. A message that lies whole in one piece is given as it lies there, without a copy. */
#include "front/grpc/grpc_frame.h"

void grpc_reader_init(GrpcReader *reader, size_t message_max)
{
    *reader = (GrpcReader){ .message_max = MIN(message_max, (size_t)UINT32_MAX) };
    buf_init(&reader->bytes, reader->message_max);
}

void grpc_reader_done(GrpcReader *reader)
{
    buf_done(&reader->bytes);
}

static GrpcStep prefix_over(GrpcReader *reader)
{
    const uint8_t *p = reader->prefix;
    reader->len = (uint32_t)p[1] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 8 | p[4];
    if (p[0] > 1)
        return GRPC_MALFORMED;
    if (p[0] == 1)
        return GRPC_COMPRESSED;
    return reader->len > reader->message_max ? GRPC_TOO_BIG : GRPC_MORE;
}

static GrpcStep prefix_in(GrpcReader *reader, Str *in)
{
    while (in->len > 0 && reader->prefix_len < GRPC_PREFIX_LEN) {
        reader->prefix[reader->prefix_len++] = (uint8_t)in->ptr[0];
        *in = str_from(*in, 1);
    }
    return reader->prefix_len == GRPC_PREFIX_LEN ? prefix_over(reader) : GRPC_MORE;
}

/* The message that was given is over: its memory stays only when it is little. */
static void message_forget(GrpcReader *reader)
{
    if (reader->bytes.cap > GRPC_KEEP_BYTES) {
        buf_done(&reader->bytes);
        buf_init(&reader->bytes, reader->message_max);
    }
    buf_clear(&reader->bytes);
}

GrpcStep grpc_reader_next(GrpcReader *reader, Str *in, Str *ret_message)
{
    if (reader->failed != GRPC_MORE)
        return reader->failed;
    if (reader->prefix_len < GRPC_PREFIX_LEN) {
        if (reader->prefix_len == 0 && reader->bytes.cap > 0)
            message_forget(reader);
        reader->failed = prefix_in(reader, in);
        if (reader->failed != GRPC_MORE || reader->prefix_len < GRPC_PREFIX_LEN)
            return reader->failed;
    }
    Str piece = str_sub(*in, 0, reader->len - reader->bytes.len);
    *in = str_from(*in, piece.len);
    if (reader->bytes.len > 0 || piece.len < reader->len)
        buf_put(&reader->bytes, piece);
    if (piece.len < reader->len && reader->bytes.len < reader->len)
        return GRPC_MORE;
    *ret_message = reader->bytes.len > 0 ? buf_str(&reader->bytes) : piece;
    reader->prefix_len = 0;
    return GRPC_MESSAGE;
}

bool grpc_reader_between(const GrpcReader *reader)
{
    return reader->prefix_len == 0 && reader->failed == GRPC_MORE;
}

void grpc_prefix_encode(uint8_t out[GRPC_PREFIX_LEN], uint32_t message_len)
{
    out[0] = 0;
    for (size_t i = 1; i < GRPC_PREFIX_LEN; i++)
        out[i] = (uint8_t)(message_len >> (8 * (GRPC_PREFIX_LEN - 1 - i)));
}

void grpc_frame_put(Buf *out, Str message)
{
    uint8_t prefix[GRPC_PREFIX_LEN];
    if (message.len > UINT32_MAX || !buf_reserve(out, sizeof prefix + message.len)) {
        out->over = true;
        return;
    }
    grpc_prefix_encode(prefix, (uint32_t)message.len);
    buf_put(out, str_of(prefix, sizeof prefix));
    buf_put(out, message);
}
