/* aws-chunked bodies: byte by byte the same comes out as at once. The first byte: signed, trailers. */
#include "format/aws_chunked.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static AwsChunkStep decode(AwsChunks *chunks, Str text, size_t step, Buf *out)
{
    for (; text.len > 0; text = str_from(text, step)) {
        Str in = str_sub(text, 0, step), data;
        for (;;) {
            AwsChunkStep got = aws_chunks_next(chunks, &in, &data);
            buf_put(out, data);
            if (got == AWS_CHUNKS_DONE || got == AWS_CHUNKS_REFUSE)
                return got;
            if (got == AWS_CHUNKS_MORE && in.len == 0)
                break;
        }
    }
    return AWS_CHUNKS_MORE;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    if (len == 0)
        return 0;
    AwsChunks whole AUTO(aws_chunks_done), steps AUTO(aws_chunks_done);
    Buf a AUTO(buf_done), b AUTO(buf_done);
    buf_init(&a, len);
    buf_init(&b, len);
    aws_chunks_init(&whole, bytes[0] & 1, bytes[0] & 2);
    aws_chunks_init(&steps, bytes[0] & 1, bytes[0] & 2);
    Str text = str_of(bytes + 1, len - 1);
    AwsChunkStep one = decode(&whole, text, text.len ? text.len : 1, &a);
    AwsChunkStep two = decode(&steps, text, 1, &b);
    ASSERT(one == two && whole.fault == steps.fault && whole.total == steps.total);
    ASSERT(str_eq(buf_str(&a), buf_str(&b)) && !a.over);
    ASSERT(str_eq(buf_str(&whole.trailers), buf_str(&steps.trailers)));
    return 0;
}
