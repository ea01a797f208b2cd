#include "base/buf.h"
#include "base/test.h"
#include "format/http.h"

#include <string.h>

/* The status that a request is refused with; 0: taken, -1: more bytes wanted. */
static int status_of(Str request)
{
    HttpHead head;
    HttpRefusal refusal = { 0 };
    size_t used = 0;
    HttpStep step = http_head_parse(request, &head, &used, &refusal);
    return step == HTTP_DONE ? 0 : step == HTTP_MORE ? -1 : refusal.status;
}

#define GET "GET / HTTP/1.1\r\nHost: a\r\n"

TEST(http_head_refuses)
{
    static const struct {
        Str request;
        int status;
    } rows[] = {
        { STR_INIT(GET "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"), 400 },
        { STR_INIT(GET "Content-Length: 1\r\nContent-Length: 2\r\n\r\n"), 400 },
        { STR_INIT(GET "Content-Length: 1\r\nContent-Length: 1\r\n\r\n"), 400 },
        { STR_INIT(GET "Content-Length: 1, 1\r\n\r\n"), 400 },
        { STR_INIT(GET "Content-Length: +1\r\n\r\n"), 400 },
        { STR_INIT(GET "Content-Length: -1\r\n\r\n"), 400 },
        { STR_INIT(GET "Content-Length: 1 \r\n\r\n"), 0 },
        { STR_INIT(GET "Content-Length:\r\n\r\n"), 400 },
        { STR_INIT(GET "Content-Length: 0x1\r\n\r\n"), 400 },
        { STR_INIT(GET "Content-Length: 1234567890123456789\r\n\r\n"), 400 },
        { STR_INIT(GET "Transfer-Encoding : chunked\r\n\r\n"), 400 },
        { STR_INIT(GET "Transfer-Encoding:\r\n chunked\r\n\r\n"), 400 },
        { STR_INIT(GET "Transfer-Encoding: xchunked\r\n\r\n"), 501 },
        { STR_INIT(GET "Transfer-Encoding: gzip, chunked\r\n\r\n"), 501 },
        { STR_INIT(GET "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"), 400 },
        { STR_INIT("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400 },
        { STR_INIT(GET "X: a\0b\r\n\r\n"), 400 },
        { STR_INIT(GET "X: a\rb\r\n\r\n"), 400 },
        { STR_INIT(GET "X: a\x01\r\n\r\n"), 400 },
        { STR_INIT(GET "X: a\r\r\n\r\n"), 400 },
        { STR_INIT("GET / HTTP/1.1\nHost: a\n\n"), 400 },
        { STR_INIT(GET "X: a\n\r\n"), 400 },
        { STR_INIT("GET / HTTP/1.1\r\n\r\n"), 400 },
        { STR_INIT(GET "Host: b\r\n\r\n"), 400 },
        { STR_INIT("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), 400 },
        { STR_INIT("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), 400 },
        { STR_INIT(GET ": x\r\n\r\n"), 400 },
        { STR_INIT(GET "noline\r\n\r\n"), 400 },
        { STR_INIT(GET "a b: x\r\n\r\n"), 400 },
        { STR_INIT("GET  / HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET / x HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT(" GET / HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET /#f HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET x HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET * HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET http://u@h/ HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), 505 },
        { STR_INIT("GET / HTTP/1.2\r\nHost: a\r\n\r\n"), 505 },
        { STR_INIT("GET / http/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET /\r\n\r\n"), 400 },
        { STR_INIT("G@T / HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n"), 501 },
        { STR_INIT(GET "Expect: magic\r\n\r\n"), 0 },
        { STR_INIT("\r\n\r\n" GET "\r\n"), 400 },
        { STR_INIT("\r\n" GET "\r\n"), 0 },
        { STR_INIT("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), 0 },
        { STR_INIT("GET / HTTP/1.0\r\n\r\n"), 0 },
        { STR_INIT(GET "Content-Length: 5, 5\r\n\r\n"), 400 },
        { STR_INIT(GET "Content-Length: 5 5\r\n\r\n"), 400 },
        { STR_INIT(GET "Content-Length: 5;\r\n\r\n"), 400 },
        { STR_INIT(GET "Content-Length: 1e3\r\n\r\n"), 400 },
        { STR_INIT(GET "Content-Length: \xef\xbc\x95\r\n\r\n"), 400 },
        { STR_INIT(GET "Content-Length: 123456789012345678\r\n\r\n"), 0 },
        { STR_INIT(GET "Content-Length: 000000000000000005\r\n\r\n"), 0 },
        { STR_INIT("GET / HTTP/1.0\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"), 400 },
        { STR_INIT(GET "Transfer-Encoding: CHUNKED\r\n\r\n"), 0 },
        { STR_INIT(GET "Transfer-Encoding:\tchunked \r\n\r\n"), 0 },
        { STR_INIT(GET "Transfer-Encoding: chunked, gzip\r\n\r\n"), 400 },
        { STR_INIT(GET "Transfer-Encoding: chunked, chunked\r\n\r\n"), 400 },
        { STR_INIT(GET "Transfer-Encoding: chunked,\r\n\r\n"), 400 },
        { STR_INIT(GET "Transfer-Encoding: ,chunked\r\n\r\n"), 400 },
        { STR_INIT(GET "Transfer-Encoding: chunked;q=1\r\n\r\n"), 400 },
        { STR_INIT(GET "Transfer-Encoding: \"chunked\"\r\n\r\n"), 400 },
        { STR_INIT(GET "Transfer-Encoding: \vchunked\r\n\r\n"), 400 },
        { STR_INIT(GET "Transfer-Encoding: identity\r\n\r\n"), 400 },
        { STR_INIT(GET "Transfer-Encoding:\r\n\r\n"), 400 },
        { STR_INIT(GET "Transfer-Encoding: gzip\r\n\r\n"), 501 },
        { STR_INIT(GET "Transfer-Encoding: identity\r\nContent-Length: 1\r\n\r\n"), 400 },
        { STR_INIT(GET " X: folded\r\n\r\n"), 400 },
        { STR_INIT(GET "X: a\r\n\tb\r\n\r\n"), 400 },
        { STR_INIT(GET "X: \x7f\r\n\r\n"), 400 },
        { STR_INIT(GET "X: 12345678\x7f\r\n\r\n"), 400 },
        { STR_INIT(GET "X: 123456\x01"
                       "89\r\n\r\n"),
          400 },
        { STR_INIT(GET "X: \x80\xff\t12345678\t\xfe\r\n\r\n"), 0 },
        { STR_INIT(GET "X\x80: a\r\n\r\n"), 400 },
        { STR_INIT(GET "\rX: a\r\n\r\n"), 400 },
        { STR_INIT(GET "Authorization: a\r\nauthorization: b\r\n\r\n"), 400 },
        { STR_INIT(GET "Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n"), 417 },
        { STR_INIT("GET / HTTP/1.0\r\nExpect: magic\r\n\r\n"), 0 },
        { STR_INIT("GET /\tHTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET /  HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET / HTTP/1.1 \r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET / HTTP/1.10\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET / HTTP/01.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET / HTTP/1,1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET / HTTP/0.9\r\nHost: a\r\n\r\n"), 505 },
        { STR_INIT("GET / HTTP/1.1\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET / HTTP/1.1\r\rHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET /a%2 HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET /%2F%00?%zz HTTP/1.1\r\nHost: a\r\n\r\n"), 0 },
        { STR_INIT("\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET http://a/ HTTP/1.1\r\n\r\n"), 400 },
        { STR_INIT("GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n"), 400 },
        { STR_INIT("GET http://a/ HTTP/1.1\r\nHost: A:80\r\n\r\n"), 0 },
        { STR_INIT("GET https://a:443/ HTTP/1.1\r\nHost: a\r\n\r\n"), 0 },
        { STR_INIT("GET https://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET http://a/ HTTP/1.0\r\n\r\n"), 0 },
        { STR_INIT("GET http:/// HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET http:a HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("CONNECT /x HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n"), 400 },
        { STR_INIT("connect / HTTP/1.1\r\nHost: a\r\n\r\n"), 0 },
        { STR_INIT("PRI * HTTP/2.0\r\n\r\n"), 505 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int status = status_of(rows[i].request);
        if (status != rows[i].status)
            test_failed(__FILE__, __LINE__, "row %zu gives %d, wanted %d", i, status,
                        rows[i].status);
        /* Byte by byte: the first start that is not asked to go on has the same answer. */
        int piecewise = -1;
        for (size_t len = 0; len <= rows[i].request.len && piecewise == -1; len++)
            piecewise = status_of(str_sub(rows[i].request, 0, len));
        if (piecewise != status)
            test_failed(__FILE__, __LINE__, "row %zu gives %d byte by byte, %d whole", i, piecewise,
                        status);
    }
}

TEST(http_hosts)
{
    static const char *const good[] = { "a",
                                        "a:",
                                        "a:0",
                                        "a:65535",
                                        "A.b-c_d~",
                                        "1.2.3.4:5",
                                        "[::]",
                                        "[::1]:80",
                                        "[1:2:3:4:5:6:7:8]",
                                        "[1::8]",
                                        "[fe80::abcd:1.2.3.4]",
                                        "[1:2:3:4:5:6:1.2.3.4]",
                                        "[2001:DB8::]" };
    static const char *const bad[] = { "",
                                       ":80",
                                       "a:65536",
                                       "a:-1",
                                       "a:+1",
                                       "a:1:2",
                                       "a:1 ",
                                       "a b",
                                       "a,b",
                                       "a@b",
                                       "a:1@b",
                                       "a/b",
                                       "a?b",
                                       "a#b",
                                       "a\\b",
                                       "%4",
                                       "%zz",
                                       "a;b",
                                       "a=b",
                                       "[",
                                       "[]",
                                       "[::1",
                                       "[::1]x",
                                       "[::1]:x",
                                       "::1",
                                       "[1:2:3:4:5:6:7]",
                                       "[1:2:3:4:5:6:7:8:9]",
                                       "[1::2::3]",
                                       "[:::]",
                                       "[1:::2]",
                                       "[:1::2]",
                                       "[12345::]",
                                       "[1:2:3:4:5:6:7:8::]",
                                       "[::1.2.3]",
                                       "[::1.2.3.256]",
                                       "[::1.2.3.04]",
                                       "[::1.2.3.4.5]",
                                       "[fe80::1%25eth0]",
                                       "[v1.a]",
                                       "[1:]",
                                       "[::1]a:80",
                                       "[1:2:3:4:5:6:7:1.2.3.4]",
                                       "\xc3\xa4" };
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        if (!http_host_ok(str_z(good[i])))
            test_failed(__FILE__, __LINE__, "%s is refused", good[i]);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (http_host_ok(str_z(bad[i])))
            test_failed(__FILE__, __LINE__, "%s is taken", bad[i]);
    CHECK_INT(status_of(STR("GET / HTTP/1.1\r\nHost:\r\n\r\n")), 400);
    CHECK_INT(status_of(STR("GET / HTTP/1.0\r\nHost:\r\n\r\n")), 0);
    CHECK_INT(status_of(STR("OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n")), 0);
}

/* Every known field is found by its name in any case, and no near one is. */
TEST(http_known_fields)
{
#define NAME_OF(name, text) text,
    static const char *const names[] = { HTTP_KNOWN_FIELDS(NAME_OF) };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        HttpRefusal refusal;
        size_t len = strlen(names[i]);
        Str bytes = str_lower(&arena, str_format(&arena, "x%sx", names[i])), none = bytes;
        none.len = 0;
        HttpHead head = { .bytes = bytes.ptr };
        const Str near[] = { str_sub(bytes, 0, len + 1), str_sub(bytes, 1, len + 1),
                             str_sub(bytes, 1, len - 1) };
        for (size_t k = 0; k < ARRAY_LEN(near); k++)
            CHECK_INT(http_head_add(&head, near[k], none, &refusal), HTTP_DONE);
        for (size_t k = 0; k < HTTP_KNOWN_COUNT; k++)
            CHECK_INT(head.known[k], 0);
        for (unsigned k = 0; k < 2; k++) {
            CHECK_INT(http_head_add(&head, str_sub(bytes, 1, len), bytes, &refusal), HTTP_DONE);
            CHECK_INT(head.known[i], 4);
            CHECK_INT(head.twice, k << i);
        }
        CHECK_STR(http_known(&head, (HttpKnown)i), bytes);
        CHECK_STR(http_field(&head, str_z(names[i])), bytes);
    }
}

TEST(http_head_moves)
{
    char from[] = "GET http://h?q HTTP/1.1\r\nHost: h\r\nX-Other: 1\r\n\r\n", to[sizeof from];
    HttpHead head;
    HttpRefusal refusal;
    size_t used;
    CHECK_INT(http_head_parse(str_of(from, sizeof from - 1), &head, &used, &refusal), HTTP_DONE);
    memcpy(to, from, sizeof to);
    http_head_move(&head, to);
    memset(from, 'z', sizeof from);
    CHECK_STR(head.method, STR("GET"));
    CHECK_STR(head.path, STR("/"));
    CHECK_STR(head.query, STR("q"));
    CHECK_STR(head.scheme, STR("http"));
    CHECK_STR(head.host, STR("h"));
    CHECK_STR(http_field(&head, STR("x-other")), STR("1"));
    CHECK_STR(http_field_name(&head, 1), STR("X-Other"));
    CHECK_INT(head.form, HTTP_ABSOLUTE);
}

TEST(http_head_taken_apart)
{
    static const char text[] =
        "PUT http://h:1/b%20c?x=1&y HTTP/1.1\r\nhost: H:1\r\nContent-length:  12\t\r\n"
        "X-Empty:\r\nConnection: Foo, CLOSE\r\nExpect: 100-Continue\r\n\r\nrest";
    HttpHead head;
    HttpRefusal refusal;
    size_t used = 0;
    CHECK_INT(http_head_parse(str_z(text), &head, &used, &refusal), HTTP_DONE);
    CHECK_INT(used, sizeof text - 1 - 4);
    CHECK_STR(head.method, STR("PUT"));
    CHECK_STR(head.path, STR("/b%20c"));
    CHECK_STR(head.query, STR("x=1&y"));
    CHECK_STR(head.host, STR("h:1"));
    CHECK(head.has_length && head.content_length == 12 && !head.chunked);
    CHECK(!head.keep_alive && head.expects_continue && !head.upgrades);
    CHECK_STR(http_field(&head, STR("X-EMPTY")), STR(""));
    CHECK(http_field(&head, STR("nothing")).ptr == NULL);
    /* Every shorter start asks for more, none is refused or taken. */
    for (size_t len = 0; len < used; len++)
        CHECK_INT(status_of(str_of(text, len)), -1);
}

TEST(http_keep_alive)
{
    static const struct {
        const char *request;
        bool keep_alive;
    } rows[] = {
        { "GET / HTTP/1.1\r\nHost: a\r\n\r\n", true },
        { "GET / HTTP/1.1\r\nHost: a\r\nConnection: x\r\nConnection: close\r\n\r\n", false },
        { "GET / HTTP/1.0\r\n\r\n", false },
        { "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true },
        { "GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n", false },
        { "GET / HTTP/1.1\r\nHost: a\r\nConnection: closed\r\n\r\n", true },
        { "GET / HTTP/1.1\r\nHost: a\r\nConnection:,, close ,\r\n\r\n", false },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        HttpHead head;
        HttpRefusal refusal;
        size_t used;
        CHECK_INT(http_head_parse(str_z(rows[i].request), &head, &used, &refusal), HTTP_DONE);
        CHECK_INT(head.keep_alive, rows[i].keep_alive);
    }
}

TEST(http_head_has_maxima)
{
    Buf buf AUTO(buf_done);
    buf_init(&buf, 1 << 20);
    buf_put(&buf, STR("GET /"));
    for (int i = 0; i < HTTP_TARGET_MAX + 100; i++)
        buf_put_char(&buf, 'a');
    CHECK_INT(status_of(buf_str(&buf)), 414);
    buf_put(&buf, STR(" HTTP/1.1\r\nHost: a\r\n\r\n"));
    CHECK_INT(status_of(buf_str(&buf)), 414);
    buf_clear(&buf);
    buf_put(&buf, STR(GET));
    for (int i = 0; i < HTTP_FIELDS_MAX - 1; i++)
        buf_put(&buf, STR("a: b\r\n"));
    buf_put(&buf, STR("\r\n"));
    CHECK_INT(status_of(buf_str(&buf)), 0);
    buf.len -= 2;
    buf_put(&buf, STR("a: b\r\n\r\n"));
    CHECK_INT(status_of(buf_str(&buf)), 431);
    buf_clear(&buf);
    buf_put(&buf, STR(GET "a: "));
    while (buf.len < HTTP_HEAD_BYTES_MAX)
        buf_put_char(&buf, 'x');
    CHECK_INT(status_of(buf_str(&buf)), 431);
}

TEST(http_ranges)
{
    static const struct {
        const char *value;
        uint64_t size;
        HttpStep step;
        uint64_t from, len;
    } rows[] = {
        { "bytes=0-0", 10, HTTP_DONE, 0, 1 },
        { "bytes=2-", 10, HTTP_DONE, 2, 8 },
        { "bytes=-3", 10, HTTP_DONE, 7, 3 },
        { "bytes=-30", 10, HTTP_DONE, 0, 10 },
        { "bytes=5-99", 10, HTTP_DONE, 5, 5 },
        { "bytes=10-", 10, HTTP_REFUSE, 0, 0 },
        { "bytes=-0", 10, HTTP_REFUSE, 0, 0 },
        { "bytes=0-", 0, HTTP_REFUSE, 0, 0 },
        { "bytes=5-2", 10, HTTP_MORE, 0, 0 },
        { "bytes=-", 10, HTTP_MORE, 0, 0 },
        { "bytes=0-1,3-4", 10, HTTP_MORE, 0, 0 },
        { "lines=1-2", 10, HTTP_MORE, 0, 0 },
        { "bytes=a-b", 10, HTTP_MORE, 0, 0 },
        { "", 10, HTTP_MORE, 0, 0 },
        { "bytes=0-18446744073709551615", 10, HTTP_DONE, 0, 10 },
        { "bytes=4-18446744073709551616", 10, HTTP_DONE, 4, 6 },
        { "bytes=4-99999999999999999999999999", 10, HTTP_DONE, 4, 6 },
        { "bytes=-99999999999999999999999999", 10, HTTP_DONE, 0, 10 },
        { "bytes=18446744073709551616-", 10, HTTP_REFUSE, 0, 0 },
        { "bytes=18446744073709551616-18446744073709551617", 10, HTTP_REFUSE, 0, 0 },
        { "bytes=18446744073709551617-18446744073709551616", 10, HTTP_MORE, 0, 0 },
        { "bytes=0004-0005", 10, HTTP_DONE, 4, 2 },
        { "bytes=1-+2", 10, HTTP_MORE, 0, 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t from = 0, len = 0;
        CHECK_INT(http_range_parse(str_z(rows[i].value), rows[i].size, &from, &len), rows[i].step);
        CHECK_INT(from, rows[i].from);
        CHECK_INT(len, rows[i].len);
    }
}
