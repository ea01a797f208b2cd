#include "base/test.h"
#include "format/http.h"

#include <string.h>

/* Decodes with pieces of `step` bytes; -2: not over, 0: over, else the status of the refusal. Data
 * goes to `out`, the trailers' names, values and line ends to `trailers`. */
static int decode_chunks(Str in, size_t step, Buf *out, Buf *trailers, size_t *ret_left)
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
        if (result == HTTP_REFUSE)
            return refusal.status;
        Str rest = http_chunks_trailers(&chunks), name, value;
        while (result == HTTP_DONE && http_trailer_next(&rest, &name, &value))
            buf_format(trailers, STR_FMT "=" STR_FMT "|", STR_ARG(name), STR_ARG(value));
        if (result == HTTP_DONE)
            return 0;
    }
    return -2;
}

typedef struct ChunksRow {
    const char *text, *data, *trailers;
    int result;
} ChunksRow;

static void check_row(const ChunksRow *row, size_t step)
{
    Buf out AUTO(buf_done), trailers AUTO(buf_done);
    size_t left = 0;
    buf_init(&out, 1000);
    buf_init(&trailers, 1000);
    int result = decode_chunks(str_z(row->text), step, &out, &trailers, &left);
    if (result != row->result)
        test_failed(__FILE__, __LINE__, "%s by %zu gives %d", row->text, step, result);
    if (row->data)
        CHECK_STR(buf_str(&out), str_z(row->data));
    CHECK_STR(buf_str(&trailers), str_z(row->trailers ? row->trailers : ""));
    if (strstr(row->text, "GET"))
        CHECK_INT(left, 3);
}

TEST(http_chunks)
{
    static const ChunksRow rows[] = {
        { "5\r\nhello\r\n0\r\n\r\n", "hello", NULL, 0 },
        { "A\r\n0123456789\r\n1\r\n!\r\n0\r\n\r\nGET", "0123456789!", NULL, 0 },
        { "0\r\n\r\n", "", NULL, 0 },
        { "000000000000000\r\n\r\nGET", "", NULL, 0 },
        { "0x5\r\nhello\r\n0\r\n\r\n", NULL, NULL, 400 },
        { "5\r\nhello!\r\n0\r\n\r\n", NULL, NULL, 400 },
        { "5\r\nhell\r\n0\r\n\r\n", NULL, NULL, 400 },
        { "5\r\nhello\n0\r\n\r\n", NULL, NULL, 400 },
        { "5\r\nhello0\r\n\r\n", NULL, NULL, 400 },
        { "5\nhello\r\n0\r\n\r\n", NULL, NULL, 400 },
        { "5\r\rhello\r\n0\r\n\r\n", NULL, NULL, 400 },
        { "5 \r\nhello\r\n0\r\n\r\n", NULL, NULL, 400 },
        { " 5\r\nhello\r\n0\r\n\r\n", NULL, NULL, 400 },
        { "\r\nhello\r\n", NULL, NULL, 400 },
        { "-5\r\nhello\r\n", NULL, NULL, 400 },
        { "+5\r\nhello\r\n", NULL, NULL, 400 },
        { "5_0\r\nhello\r\n", NULL, NULL, 400 },
        { "1000000000000000\r\n", NULL, NULL, 400 },
        { "0000000000000005\r\n", NULL, NULL, 400 },
        { "5\r\nhello\r\n0\r\n\n", NULL, NULL, 400 },
        { "5\r\nhello\r\n0\n\r\n", NULL, NULL, 400 },
        { "5\r\nhello\r\n0\r\n\r\r\n", NULL, NULL, 400 },
        { "5\r\nhel", NULL, NULL, -2 },
        { "5\r\nhello\r\n0\r\n\r", NULL, NULL, -2 },
        /* extensions */
        { "5;a=b\r\nhello\r\n0\r\n\r\n", "hello", NULL, 0 },
        { "5;a\r\nhello\r\n0;last\r\n\r\nGET", "hello", NULL, 0 },
        { "5;a;b=c;d=\"e;\\\"=\\\\,\"\r\nhello\r\n0\r\n\r\n", "hello", NULL, 0 },
        { "5 ; a = b ;c=\"d\" ;e\r\nhello\r\n0\r\n\r\n", "hello", NULL, 0 },
        { "5;\r\nhello\r\n0\r\n\r\n", NULL, NULL, 400 },
        { "5;a=\r\nhello\r\n0\r\n\r\n", NULL, NULL, 400 },
        { "5;=b\r\nhello\r\n0\r\n\r\n", NULL, NULL, 400 },
        { "5;;\r\nhello\r\n0\r\n\r\n", NULL, NULL, 400 },
        { "5;a b\r\nhello\r\n0\r\n\r\n", NULL, NULL, 400 },
        { "5;a \r\nhello\r\n0\r\n\r\n", NULL, NULL, 400 },
        { "5;a=b \r\nhello\r\n0\r\n\r\n", NULL, NULL, 400 },
        { "5 a\r\nhello\r\n0\r\n\r\n", NULL, NULL, 400 },
        { "5;a=\"b\r\nhello\r\n0\r\n\r\n", NULL, NULL, 400 },
        { "5;a=\"b\"c\r\nhello\r\n0\r\n\r\n", NULL, NULL, 400 },
        { "5;a=\"b\\\r\n\"\r\nhello\r\n0\r\n\r\n", NULL, NULL, 400 },
        { "5;\nhello\r\n0\r\n\r\n", NULL, NULL, 400 },
        { "5;a\nhello\r\n0\r\n\r\n", NULL, NULL, 400 },
        { "5;a\x01\r\nhello\r\n0\r\n\r\n", NULL, NULL, 400 },
        /* trailers */
        { "5\r\nhello\r\n00\r\nX: y\r\nZ:\r\n\r\nGET", "hello", "X=y|Z=|", 0 },
        { "0\r\nx-sum:\t a b\xff \t\r\n\r\n", "", "x-sum=a b\xff|", 0 },
        { "0\r\nAuthorization: me\r\nA: 1\r\nIF-MATCH: *\r\nconnection: close\r\n\r\n", "", "A=1|",
          0 },
        { "0\r\nContent-Length: 5\r\n\r\n", NULL, NULL, 400 },
        { "0\r\ntransfer-encoding: chunked\r\n\r\n", NULL, NULL, 400 },
        { "0\r\nHost: a\r\n\r\n", NULL, NULL, 400 },
        { "0\r\nbad trailer\r\n\r\n", NULL, NULL, 400 },
        { "0\r\n: y\r\n\r\n", NULL, NULL, 400 },
        { "0\r\nX : y\r\n\r\n", NULL, NULL, 400 },
        { "0\r\n X: y\r\n\r\n", NULL, NULL, 400 },
        { "0\r\nX: y\r\n z\r\n\r\n", NULL, NULL, 400 },
        { "0\r\nX: y\n\r\n", NULL, NULL, 400 },
        { "0\r\nX: y\rz\r\n\r\n", NULL, NULL, 400 },
        { "0\r\nX: \x01\r\n\r\n", NULL, NULL, 400 },
        { "0\r\nPUT / HTTP/1.1\r\nHost: a\r\n\r\n", NULL, NULL, 400 },
        { "0\r\nX: y\r\n", NULL, NULL, -2 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t step = 1; step < 100; step += 7)
            check_row(&rows[i], step);
}

/* `head`, then `unit` again and again: the status that ends it. */
static int flood(Str head, Str unit, size_t times)
{
    Buf text AUTO(buf_done), out AUTO(buf_done), trailers AUTO(buf_done);
    size_t left;
    buf_init(&text, 1 << 20);
    buf_init(&out, 1 << 20);
    buf_init(&trailers, 1 << 20);
    buf_put(&text, head);
    for (size_t i = 0; i < times; i++)
        buf_put(&text, unit);
    int whole = decode_chunks(buf_str(&text), SIZE_MAX, &out, &trailers, &left);
    CHECK_INT(decode_chunks(buf_str(&text), 1000, &out, &trailers, &left), whole);
    return whole;
}

TEST(http_chunks_have_maxima)
{
    CHECK_INT(flood(STR("1;"), STR("a"), 255), -2);
    CHECK_INT(flood(STR("1;"), STR("a"), 257), 400);
    CHECK_INT(flood(STR(""), STR("1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n"), 490), -2);
    CHECK_INT(flood(STR(""), STR("1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n"), 520), 400);
    CHECK_INT(flood(STR("0\r\nx:"), STR("a"), HTTP_TRAILER_BYTES_MAX - 2), -2);
    CHECK_INT(flood(STR("0\r\nx:"), STR("a"), HTTP_TRAILER_BYTES_MAX - 1), 431);
    CHECK_INT(flood(STR("0\r\n"), STR("a:b\r\n"), HTTP_FIELDS_MAX), -2);
    CHECK_INT(flood(STR("0\r\n"), STR("a:b\r\n"), HTTP_FIELDS_MAX + 1), 431);
    CHECK_INT(flood(STR("0\r\n"), STR("TE:b\r\n"), HTTP_FIELDS_MAX + 1), 431);
}

TEST(http_trailers_of_another_shape)
{
    Buf trailers AUTO(buf_done) = { 0 };
    HttpRefusal refusal;
    CHECK_INT(http_trailer_put(&trailers, STR("grpc-status"), STR(" 0 "), &refusal), HTTP_DONE);
    CHECK_INT(http_trailer_put(&trailers, STR("te"), STR("trailers"), &refusal), HTTP_MORE);
    CHECK_INT(http_trailer_put(&trailers, STR("host"), STR("a"), &refusal), HTTP_REFUSE);
    CHECK_INT(http_trailer_put(&trailers, STR("a"), STR("b\r\nc:d"), &refusal), HTTP_REFUSE);
    CHECK_INT(http_trailer_put(&trailers, STR("a b"), STR(""), &refusal), HTTP_REFUSE);
    CHECK_INT(http_trailer_put(&trailers, STR("empty"), STR(""), &refusal), HTTP_DONE);
    CHECK_STR(http_trailer(buf_str(&trailers), STR("GRPC-Status")), STR("0"));
    CHECK_STR(http_trailer(buf_str(&trailers), STR("Empty")), STR(""));
    CHECK(http_trailer(buf_str(&trailers), STR("te")).ptr == NULL);
    CHECK(http_trailer(STR_NONE, STR("te")).ptr == NULL);
    while (refusal.status != 431)
        if (http_trailer_put(&trailers, STR("x"), STR("0123456789"), &refusal) == HTTP_DONE)
            CHECK(trailers.len <= HTTP_TRAILER_BYTES_MAX && !trailers.over);
}
