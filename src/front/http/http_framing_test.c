/* The table of framing cases: what two readers could take differently is refused and the connection is
 * closed, so that no second request can hide in the first one's body. */
#include "front/http/http_fake.h"

#define POST "POST /echo HTTP/1.1\r\nHost: x\r\n"
#define HIDDEN "GET /plain HTTP/1.1\r\nHost: x\r\n\r\n"

TEST(http_framing_cases_are_refused)
{
    static const struct {
        const char *name;
        Str bytes;
        int least, most;
    } rows[] = {
        { "length and chunked", STR_INIT(POST "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" HIDDEN), 400, 400 },
        { "two lengths", STR_INIT(POST "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde" HIDDEN), 400, 400 },
        { "two equal lengths", STR_INIT(POST "Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd" HIDDEN), 400, 400 },
        { "length list", STR_INIT(POST "Content-Length: 4, 4\r\n\r\nabcd" HIDDEN), 400, 400 },
        { "length with sign", STR_INIT(POST "Content-Length: +4\r\n\r\nabcd" HIDDEN), 400, 400 },
        { "negative length", STR_INIT(POST "Content-Length: -1\r\n\r\n" HIDDEN), 400, 400 },
        { "hexadecimal length", STR_INIT(POST "Content-Length: 0x4\r\n\r\nabcd" HIDDEN), 400, 400 },
        { "long length", STR_INIT(POST "Content-Length: 1111111111111111111\r\n\r\n" HIDDEN), 400, 413 },
        { "blank before colon", STR_INIT(POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" HIDDEN), 400, 400 },
        { "folded coding", STR_INIT(POST "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" HIDDEN), 400, 501 },
        { "other coding", STR_INIT(POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" HIDDEN), 400, 501 },
        { "two codings", STR_INIT(POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" HIDDEN), 400, 501 },
        { "coding twice", STR_INIT(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" HIDDEN), 400, 501 },
        { "NUL in a value", STR_INIT(POST "X: a\0b\r\nContent-Length: 0\r\n\r\n" HIDDEN), 400, 400 },
        { "bare CR in a value", STR_INIT(POST "X: a\rb\r\nContent-Length: 0\r\n\r\n" HIDDEN), 400, 400 },
        { "bare LF", STR_INIT("GET /plain HTTP/1.1\nHost: x\n\n" HIDDEN), 400, 400 },
        { "no host", STR_INIT("GET /plain HTTP/1.1\r\n\r\n" HIDDEN), 400, 400 },
        { "two hosts", STR_INIT("GET /plain HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n" HIDDEN), 400, 400 },
        { "two blanks", STR_INIT("GET  /plain HTTP/1.1\r\nHost: x\r\n\r\n" HIDDEN), 400, 400 },
        { "fragment", STR_INIT("GET /plain#x HTTP/1.1\r\nHost: x\r\n\r\n" HIDDEN), 400, 404 },
        { "version 2.0", STR_INIT("GET /plain HTTP/2.0\r\nHost: x\r\n\r\n" HIDDEN), 400, 505 },
        { "no version", STR_INIT("GET /plain\r\nHost: x\r\n\r\n" HIDDEN), 400, 505 },
        { "chunk size 0x5", STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n0x5\r\nabcde\r\n0\r\n\r\n" HIDDEN), 400, 400 },
        { "chunk too short", STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n2\r\nabcde\r\n0\r\n\r\n" HIDDEN), 400, 400 },
        { "chunk size with blank", STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n 5\r\nabcde\r\n0\r\n\r\n" HIDDEN), 400, 400 },
        { "chunk size of 17 digits", STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n00000000000000005\r\nabcde\r\n0\r\n\r\n" HIDDEN), 400, 400 },
        { "chunk with bare LF", STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n5\nabcde\n0\n\n" HIDDEN), 400, 400 },
        { "negative chunk", STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n-1\r\n" HIDDEN), 400, 400 },
        { "empty chunk size", STR_INIT(POST "Transfer-Encoding: chunked\r\n\r\n\r\n" HIDDEN), 400, 400 },
        { "rubbish", STR_INIT("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 tls to a clear port\r\n\r\n"), 400, 400 },
    };
    Fake fake;
    fake_start(&fake, NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        Str reply = fake_ask(&fake, rows[i].bytes, &arena);
        int status = fake_status(reply);
        if (status < rows[i].least || status > rows[i].most)
            test_failed(__FILE__, __LINE__, "%s: status %d", rows[i].name, status);
        if (status != 404 && str_find(reply, STR("\r\n\r\nplain")) >= 0)
            test_failed(__FILE__, __LINE__, "%s: the hidden request was answered", rows[i].name);
    }
    fake_end(&fake);
}

TEST(http_a_head_that_is_too_large)
{
    Fake fake;
    Arena arena AUTO(arena_done) = { 0 };
    Buf text AUTO(buf_done);
    buf_init(&text, 1 << 20);
    fake_start(&fake, NULL);
    buf_put(&text, STR("GET /plain HTTP/1.1\r\nHost: x\r\nX: "));
    for (int i = 0; i < 40 << 10; i++)
        buf_put_char(&text, 'x');
    CHECK_INT(fake_status(fake_ask(&fake, buf_str(&text), &arena)), 431);
    buf_clear(&text);
    buf_put(&text, STR("GET /plain HTTP/1.1\r\nHost: x\r\n"));
    for (int i = 0; i < 200; i++)
        buf_format(&text, "X-%d: y\r\n", i);
    buf_put(&text, STR("\r\n"));
    CHECK_INT(fake_status(fake_ask(&fake, buf_str(&text), &arena)), 431);
    buf_clear(&text);
    buf_put(&text, STR("GET /"));
    for (int i = 0; i < 10 << 10; i++)
        buf_put_char(&text, 'x');
    buf_put(&text, STR(" HTTP/1.1\r\nHost: x\r\n\r\n"));
    CHECK_INT(fake_status(fake_ask(&fake, buf_str(&text), &arena)), 414);
    fake_end(&fake);
}
