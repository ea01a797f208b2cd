/* Covers http_reply.c, http_req.c, http_send.c: streams, ranges, what Accept names. */
#include "front/http/http_fake.h"

#include <unistd.h>

TEST(http_streams)
{
    static const char *const paths[] = { "/stream", "/stream-loop" };
    Fake fake;
    Arena arena AUTO(arena_done) = { 0 };
    fake_start(&fake, NULL);
    for (size_t i = 0; i < 2; i++) {
        Str chunked = fake_ask(&fake, str_format(&arena, "GET %s HTTP/1.1\r\n" FAKE_CLOSE "\r\n", paths[i]),
                               &arena);
        CHECK(fake_has(chunked, "Transfer-Encoding: chunked"));
        CHECK(fake_has(chunked, "X-Test: yes"));
        CHECK(!fake_has(chunked, "Set-Cookie"));
        CHECK_STR(fake_body(chunked), STR("a\r\naaaaaaaaaa\r\na\r\nbbbbbbbbbb\r\na\r\ncccccccccc\r\n0\r\n\r\n"));
        Str old = fake_ask(&fake, str_format(&arena, "GET %s HTTP/1.0\r\n\r\n", paths[i]), &arena);
        CHECK_STR(fake_body(old), STR("aaaaaaaaaabbbbbbbbbbcccccccccc"));
        Str sized = fake_ask(&fake, str_format(&arena, "GET %s?length=30 HTTP/1.1\r\n" FAKE_CLOSE "\r\n",
                                               paths[i]), &arena);
        CHECK(fake_has(sized, "Content-Length: 30\r\n"));
        CHECK_STR(fake_body(sized), STR("aaaaaaaaaabbbbbbbbbbcccccccccc"));
        Str one = fake_ask(&fake, str_format(&arena, "GET %s?blocks=1 HTTP/1.1\r\n" FAKE_CLOSE "\r\n",
                                             paths[i]), &arena);
        CHECK(fake_has(one, "Content-Length: 10\r\n"));
        Str head = fake_ask(&fake, str_format(&arena, "HEAD %s HTTP/1.1\r\n" FAKE_CLOSE "\r\n", paths[i]),
                            &arena);
        CHECK_INT(fake_body(head).len, 0);
    }
    http_server_free(&fake.server);
    CHECK_INT(atomic_load(&fake.pull_dones), 10);
}

TEST(http_stream_that_fails)
{
    Fake fake;
    Arena arena AUTO(arena_done) = { 0 };
    fake_start(&fake, NULL);
    Str early = fake_ask(&fake, STR("GET /stream?fail=0 HTTP/1.1\r\n" FAKE_CLOSE "\r\n"), &arena);
    CHECK_INT(fake_status(early), 422);
    CHECK(fake_has(early, "block 0 is damaged"));
    Str late = fake_ask(&fake, STR("GET /stream?fail=2 HTTP/1.1\r\n" FAKE_CLOSE "\r\n"), &arena);
    CHECK(!str_ends(late, STR("0\r\n\r\n")));
    Str short_one = fake_ask(&fake, STR("GET /stream?length=31 HTTP/1.1\r\n" FAKE_CLOSE "\r\n"), &arena);
    CHECK(fake_body(short_one).len < 31);
    http_server_free(&fake.server);
    CHECK_INT(atomic_load(&fake.pull_dones), 3);
}

TEST(http_a_slow_reader_holds_the_stream_back)
{
    enum { BLOCKS = 200, SIZE = 100000 };
    Fake fake;
    fake_start(&fake, NULL);
    int fd = fake_connect(&fake), small = 65536;
    CHECK_INT(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    fake_say(fd, STR("GET /stream?blocks=200&size=100000 HTTP/1.1\r\n" FAKE_CLOSE "\r\n"));
    int before = -1; /* stands still when the socket and the queue are full */
    for (int i = 0; i < 1000 && (before <= 0 || before != atomic_load(&fake.pulls)); i++) {
        before = atomic_load(&fake.pulls);
        usleep(20000);
    }
    CHECK(before > 0 && before < BLOCKS);
    char piece[65536];
    size_t sum = 0;
    ssize_t len;
    while ((len = read(fd, piece, sizeof piece)) > 0)
        sum += (size_t)len;
    CHECK(sum > (size_t)BLOCKS * SIZE);
    net_close(&fd);
    http_server_free(&fake.server);
    CHECK_INT(atomic_load(&fake.pulls), BLOCKS);
    CHECK_INT(atomic_load(&fake.pull_dones), 1);
}

TEST(http_ranges)
{
    static const struct {
        const char *fields;
        int status;
        const char *body, *part;
    } rows[] = {
        { "Range: bytes=2-4\r\n", 206, "234", "Content-Range: bytes 2-4/10" },
        { "Range: bytes=-3\r\n", 206, "789", "Content-Range: bytes 7-9/10" },
        { "Range: bytes=8-99\r\n", 206, "89", "Content-Range: bytes 8-9/10" },
        { "Range: bytes=10-\r\n", 416, "", "Content-Range: bytes */10" },
        { "Range: bytes=1-2,4-5\r\n", 200, "0123456789", "Accept-Ranges" },
        { "Range: lines=1-2\r\n", 200, "0123456789", "Accept-Ranges" },
        { "Range: bytes=2-4\r\nIf-Range: \"v1\"\r\n", 206, "234", "" },
        { "Range: bytes=2-4\r\nIf-Range: \"v0\"\r\n", 200, "0123456789", "" },
    };
    Fake fake;
    Arena arena AUTO(arena_done) = { 0 };
    fake_start(&fake, NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Str reply = fake_ask(&fake, str_format(&arena, "GET /range HTTP/1.1\r\n" FAKE_CLOSE "%s\r\n",
                                               rows[i].fields), &arena);
        CHECK_INT(fake_status(reply), rows[i].status);
        CHECK_STR(fake_body(reply), str_z(rows[i].body));
        CHECK(fake_has(reply, rows[i].part));
    }
    fake_end(&fake);
}

TEST(http_accept)
{
    static const struct {
        const char *accept, *type;
    } rows[] = {
        { "*/*", "application/json" },
        { "text/*", "text/csv" },
        { "text/csv, application/json;q=0.5", "text/csv" },
        { "application/json;q=0, */*", "text/csv" },
        { "image/png", "none" },
        { "TEXT/CSV", "text/csv" },
    };
    Fake fake;
    Arena arena AUTO(arena_done) = { 0 };
    fake_start(&fake, NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Str reply = fake_ask(&fake, str_format(&arena, "GET /accept HTTP/1.1\r\n" FAKE_CLOSE "Accept: %s\r\n\r\n",
                                               rows[i].accept), &arena);
        CHECK_STR(fake_body(reply), str_z(rows[i].type));
    }
    fake_end(&fake);
}
