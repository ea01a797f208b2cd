#include "format/aws_chunked.h"

#include "base/test.h"

#include <string.h>

#define SIGNATURE "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648"

typedef struct Seen {
    Buf data;
    size_t chunks;
    AwsChunkStep end;
    size_t rest;
} Seen;

/* Feeds `step` bytes at a time. */
static Seen decode(AwsChunks *chunks, Str text, size_t step)
{
    Seen seen = { .end = AWS_CHUNKS_MORE };
    buf_init(&seen.data, 1 << 20);
    for (size_t at = 0; at < text.len && seen.end == AWS_CHUNKS_MORE; at += step) {
        Str in = str_sub(text, at, step), data;
        do {
            seen.end = aws_chunks_next(chunks, &in, &data);
            buf_put(&seen.data, data);
            seen.chunks += seen.end == AWS_CHUNKS_CHUNK_END;
            if (seen.end == AWS_CHUNKS_DATA || seen.end == AWS_CHUNKS_CHUNK_END)
                seen.end = AWS_CHUNKS_MORE;
            else if (seen.end == AWS_CHUNKS_MORE && in.len == 0)
                break;
        } while (seen.end == AWS_CHUNKS_MORE);
        seen.rest = in.len + (at + step < text.len ? text.len - at - step : 0);
    }
    return seen;
}

TEST(aws_chunks_good)
{
    static const struct {
        bool is_signed, has_trailer;
        const char *text, *data, *trailers;
        size_t chunks;
    } table[] = {
        { false, false, "5\r\nhello\r\n0\r\n\r\n", "hello", "", 2 },
        { false, true, "5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n", "hello",
          "x-amz-checksum-crc32:NhCmhg==\n", 2 },
        { false, true, "0\r\nX-Amz-Checksum-CRC32: AAAAAA== \r\n\r\n", "",
          "x-amz-checksum-crc32:AAAAAA==\n", 1 },
        { true, false, "5;chunk-signature=" SIGNATURE "\r\nhello\r\n0;chunk-signature=" SIGNATURE "\r\n\r\n",
          "hello", "", 2 },
        { true, true, "1;chunk-signature=" SIGNATURE "\r\nx\r\n0;chunk-signature=" SIGNATURE
          "\r\nx-amz-checksum-crc32c:sOO8/Q==\n\r\nx-amz-trailer-signature:" SIGNATURE "\r\n\r\n", "x",
          "x-amz-checksum-crc32c:sOO8/Q==\nx-amz-trailer-signature:" SIGNATURE "\n", 2 },
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        for (size_t step = 1; step < 200; step += 7) {
            AwsChunks chunks AUTO(aws_chunks_done);
            aws_chunks_init(&chunks, table[i].is_signed, table[i].has_trailer);
            Seen seen = decode(&chunks, str_z(table[i].text), step);
            CHECK_INT(seen.end, AWS_CHUNKS_DONE);
            CHECK_INT(seen.rest, 0);
            CHECK_INT(seen.chunks, table[i].chunks);
            CHECK_STR(buf_str(&seen.data), str_z(table[i].data));
            CHECK_STR(buf_str(&chunks.trailers), str_z(table[i].trailers));
            buf_done(&seen.data);
        }
    }
}

TEST(aws_chunks_refused)
{
    static const struct {
        bool is_signed, has_trailer;
        const char *text;
        AwsChunkFault fault;
    } table[] = {
        { false, false, "5\nhello\r\n0\r\n\r\n", AWS_FAULT_SYNTAX },
        { false, false, "\r\n", AWS_FAULT_SYNTAX },
        { false, false, "0x5\r\nhello", AWS_FAULT_SYNTAX },
        { false, false, "-1\r\n", AWS_FAULT_SYNTAX },
        { false, false, "1000000000000000\r\n", AWS_FAULT_SYNTAX },
        { false, false, "5\r\nhelloworld", AWS_FAULT_SYNTAX },
        { false, false, "5\r\nhello\rX", AWS_FAULT_SYNTAX },
        { false, false, "5;chunk-signature=" SIGNATURE "\r\n", AWS_FAULT_SIGNATURE },
        { true, false, "5\r\nhello", AWS_FAULT_SIGNATURE },
        { true, false, "5;chunk-signature=abc\r\nhello", AWS_FAULT_SIGNATURE },
        { true, false, "5;signature=" SIGNATURE "\r\nhello", AWS_FAULT_SIGNATURE },
        { false, false, "5\r\nhello\r\n5\r\nhello\r\n0\r\n\r\n", AWS_FAULT_CHUNK_SIZE },
        { false, false, "0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n", AWS_FAULT_TRAILER },
        { false, true, "0\r\nno colon\r\n\r\n", AWS_FAULT_TRAILER },
        { false, true, "0\r\na b:c\r\n\r\n", AWS_FAULT_TRAILER },
        { false, true, "0\r\nx-y:a b\r\n\r\n", AWS_FAULT_TRAILER },
        { false, true, "0\r\nx-y:a\rb:c\r\n\r\n", AWS_FAULT_SYNTAX },
        { false, true, "0\r\nx:1\nx-y:2\r\n\r\n", AWS_FAULT_TRAILER },
    };
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        for (size_t step = 1; step < 100; step += 9) {
            AwsChunks chunks AUTO(aws_chunks_done);
            aws_chunks_init(&chunks, table[i].is_signed, table[i].has_trailer);
            Seen seen = decode(&chunks, str_z(table[i].text), step);
            if (seen.end != AWS_CHUNKS_REFUSE || chunks.fault != table[i].fault)
                test_failed(__FILE__, __LINE__, "row %zu step %zu: end %d fault %d", i, step, seen.end,
                            chunks.fault);
            Str in = STR("0\r\n\r\n"), data;
            CHECK_INT(aws_chunks_next(&chunks, &in, &data), AWS_CHUNKS_REFUSE); /* it stays so */
            buf_done(&seen.data);
        }
    }
}

TEST(aws_chunks_large_and_what_follows)
{
    Buf text AUTO(buf_done);
    buf_init(&text, 1 << 20);
    for (int i = 0; i < 3; i++) {
        buf_put(&text, STR("2000\r\n"));
        buf_put_zeros(&text, 8192);
        buf_put(&text, STR("\r\n"));
    }
    buf_put(&text, STR("1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1"));
    AwsChunks chunks AUTO(aws_chunks_done);
    aws_chunks_init(&chunks, false, false);
    Seen seen = decode(&chunks, buf_str(&text), 1000);
    CHECK_INT(seen.end, AWS_CHUNKS_DONE);
    CHECK_INT(seen.rest, strlen("GET / HTTP/1.1"));
    CHECK_INT(chunks.total, 3 * 8192 + 1);
    buf_done(&seen.data);
}

TEST(aws_trailers)
{
    Str rest = STR("a:1\nb-c:x==\n"), name, value;
    CHECK(aws_trailer_next(&rest, &name, &value));
    CHECK_STR(name, STR("a"));
    CHECK_STR(value, STR("1"));
    CHECK(aws_trailer_next(&rest, &name, &value));
    CHECK_STR(name, STR("b-c"));
    CHECK_STR(value, STR("x=="));
    CHECK(!aws_trailer_next(&rest, &name, &value));
}
