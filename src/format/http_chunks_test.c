#include "base/test.h"
#include "format/http.h"

#include <string.h>

/* Decodes with pieces of `step` bytes; -1: refused, -2: not over. Data goes to `out`. */
static int decode_chunks(Str in, size_t step, Buf *out, size_t *ret_left)
{
    HttpChunks chunks AUTO(http_chunks_done) = { 0 };
    HttpRefusal refusal;
    while (in.len > 0) {
        Str piece = str_sub(in, 0, step), data, before = piece;
        HttpStep result;
        do {
            result = http_chunks_next(&chunks, &piece, &data, &refusal);
            buf_put(out, data);
        } while (result == HTTP_MORE && piece.len > 0);
        in = str_from(in, before.len - piece.len);
        *ret_left = in.len;
        if (result != HTTP_MORE)
            return result == HTTP_DONE ? 0 : -1;
    }
    return -2;
}

TEST(http_chunks)
{
    static const struct {
        const char *text, *data;
        int result;
    } rows[] = {
        { "5\r\nhello\r\n0\r\n\r\n", "hello", 0 },
        { "5;a=b\r\nhello\r\n00\r\nX: y\r\nZ:\r\n\r\n", "hello", 0 },
        { "A\r\n0123456789\r\n1\r\n!\r\n0\r\n\r\nGET", "0123456789!", 0 },
        { "0\r\n\r\n", "", 0 },
        { "0x5\r\nhello\r\n0\r\n\r\n", NULL, -1 },
        { "5\r\nhello!\r\n0\r\n\r\n", NULL, -1 },
        { "5\nhello\r\n0\r\n\r\n", NULL, -1 },
        { "5 \r\nhello\r\n0\r\n\r\n", NULL, -1 },
        { " 5\r\nhello\r\n0\r\n\r\n", NULL, -1 },
        { "\r\nhello\r\n", NULL, -1 },
        { "-5\r\nhello\r\n", NULL, -1 },
        { "1000000000000000\r\n", NULL, -1 },
        { "5\r\nhello\r\n0\r\nbad trailer\r\n\r\n", NULL, -1 },
        { "5\r\nhello\r\n0\r\n X: y\r\n\r\n", NULL, -1 },
        { "5\r\nhello\r\n0\r\n\n", NULL, -1 },
        { "5\r\nhello\r\n0\r\nX: \x01\r\n\r\n", NULL, -1 },
        { "5\r\nhel", NULL, -2 },
        { "5\r\nhello\r\n0\r\n\r", NULL, -2 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        for (size_t step = 1; step < 100; step += 7) {
            Buf out AUTO(buf_done);
            size_t left = 0;
            buf_init(&out, 1000);
            int result = decode_chunks(str_z(rows[i].text), step, &out, &left);
            if (result != rows[i].result)
                test_failed(__FILE__, __LINE__, "row %zu step %zu gives %d", i, step, result);
            if (rows[i].data)
                CHECK_STR(buf_str(&out), str_z(rows[i].data));
            if (strstr(rows[i].text, "GET"))
                CHECK_INT(left, 3);
        }
    }
}
