/* Covers http_body.c: bodies of requests, collected and in blocks. */
#include "front/http/http_fake.h"

TEST(http_limits_of_bodies)
{
    Fake fake;
    Arena arena AUTO(arena_done) = { 0 };
    fake_start(&fake, NULL);
    Str long_length = fake_ask(&fake, STR("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n"),
                               &arena);
    CHECK_INT(fake_status(long_length), 413);
    CHECK(fake_has(long_length, "Connection: close"));
    Buf text AUTO(buf_done);
    buf_init(&text, 4096);
    buf_put(&text, STR("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n"));
    for (int i = 0; i < 1024; i++)
        buf_put_char(&text, 'x');
    CHECK_INT(fake_status(fake_ask(&fake, buf_str(&text), &arena)), 413);
    fake_end(&fake);
}

TEST(http_upload_in_blocks)
{
    enum { BYTES = (3 << 20) + 17 };
    Fake fake;
    Arena arena AUTO(arena_done) = { 0 };
    fake_start(&fake, NULL);
    char *bytes = arena_alloc(&arena, BYTES);
    uint64_t sum = 0;
    for (size_t i = 0; i < BYTES; i++) {
        bytes[i] = (char)(i * 31 % 251);
        sum += (unsigned char)bytes[i];
    }
    int fd = fake_connect(&fake);
    fake_say(fd, str_format(&arena, "POST /up HTTP/1.1\r\n" FAKE_CLOSE "Content-Length: %d\r\n\r\n", BYTES));
    fake_say(fd, str_of(bytes, BYTES));
    CHECK_INT(fake_status(fake_hear_all(fd, &arena)), 201);
    net_close(&fd);
    CHECK_INT(atomic_load(&fake.block_bytes), BYTES);
    CHECK_INT(atomic_load(&fake.block_sum), sum);
    CHECK_INT(atomic_load(&fake.blocks), 4);
    http_server_free(&fake.server);
    CHECK_INT(atomic_load(&fake.frees), 1);
}

TEST(http_upload_cut_off_never_ends_but_frees)
{
    Fake fake;
    fake_start(&fake, NULL);
    int fd = fake_connect(&fake);
    fake_say(fd, STR("POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nsome"));
    net_close(&fd);
    http_server_free(&fake.server);
    CHECK_INT(atomic_load(&fake.ends), 0);
    CHECK_INT(atomic_load(&fake.frees), atomic_load(&fake.head_calls));
}

TEST(http_continue_only_after_the_head_was_accepted)
{
    Fake fake;
    Arena arena AUTO(arena_done) = { 0 };
    fake_start(&fake, NULL);
    int fd = fake_connect(&fake);
    fake_say(fd, STR("POST /up HTTP/1.1\r\n" FAKE_CLOSE "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n"));
    CHECK_STR(fake_hear_reply(fd, &arena), STR("HTTP/1.1 100 Continue\r\n\r\n"));
    CHECK_INT(atomic_load(&fake.head_calls), 1);
    fake_say(fd, STR("body"));
    CHECK_INT(fake_status(fake_hear_all(fd, &arena)), 201);
    net_close(&fd);
    Str refused = fake_ask(&fake, STR("POST /up HTTP/1.1\r\nHost: x\r\nX-Refuse: 1\r\n"
                                      "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n"), &arena);
    CHECK_INT(fake_status(refused), 403);
    CHECK(!fake_has(refused, "100 Continue"));
    CHECK(fake_has(refused, "Connection: close"));
    Str keyless = fake_ask(&fake, STR("POST /keyed-up HTTP/1.1\r\nHost: x\r\n"
                                      "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n"), &arena);
    CHECK_INT(fake_status(keyless), 401);
    CHECK_INT(atomic_load(&fake.blocks), 1);
    fake_end(&fake);
}
