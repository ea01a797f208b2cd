/* Covers http_room.c: replies that wait for room before they are made, bodies before they are read on. */
#include "front/http/http_fake.h"
#include "front/http/http_policy.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BUDGET = 400 << 10, PAGE = 100 << 10 };

static Fake *fake_of(HttpReq *r)
{
    return http_req_context(r);
}

static size_t room_of(HttpReq *r)
{
    Str large;
    return http_req_query(r, "large", &large) ? (size_t)BUDGET * 10 : (size_t)PAGE;
}

static void page_send(HttpReq *r, size_t bytes)
{
    Buf body;
    buf_init(&body, bytes);
    CHECK(buf_reserve(&body, bytes));
    memset(body.ptr, 'p', bytes);
    body.len = bytes;
    http_reply_take(r, 200, "application/octet-stream", &body);
}

static void page_end(HttpReq *r)
{
    atomic_fetch_add(&fake_of(r)->ends, 1);
    page_send(r, PAGE);
}

static void half_end(HttpReq *r)
{
    atomic_fetch_add(&fake_of(r)->ends, 1);
    page_send(r, http_req_body(r).len / 2);
}

static void page_body(HttpReq *r, Str block)
{
    atomic_fetch_add(&fake_of(r)->block_bytes, block.len);
}

static void page_free(HttpReq *r)
{
    atomic_fetch_add(&fake_of(r)->frees, 1);
}

static const HttpRoute routes[] = {
    { "GET", "/loop", "loop", .on_end = page_end, .on_free = page_free, .room_of = room_of },
    { "GET", "/worker", "worker", .on_end = page_end, .on_free = page_free, .room_of = room_of,
      .lane = HTTP_ON_IO_WORKER },
    { "POST", "/worker", "workerPost", .on_end = page_end, .on_free = page_free, .room_of = room_of,
      .lane = HTTP_ON_IO_WORKER },
    { "POST", "/blocks", "blocks", .on_body = page_body, .on_end = page_end, .on_free = page_free,
      .room_of = room_of, .lane = HTTP_ON_IO_WORKER },
    { "GET", "/short", "short", .on_end = page_end, .on_free = page_free, .room_of = room_of,
      .lane = HTTP_ON_IO_WORKER, .timeout_ms = 20 },
    { "POST", "/short", "shortPost", .on_end = half_end, .on_free = page_free, .timeout_ms = 300 },
    { "GET", "/plain", "plain", .on_end = page_end },
    { "GET", "/seen", "seen", .on_end = page_end, .flags = HTTP_ROUTE_NO_ADMIT },
    { "POST", "/half", "half", .on_end = half_end },
    { "POST", "/keyed", "keyed", .right = 1, .on_end = half_end, .on_free = page_free, .lane = HTTP_ON_IO_WORKER },
};

static Limits *limits_of(Fake *fake)
{
    return policy_limits(http_server_policy(fake->server));
}

static void start(Fake *fake)
{
    HttpPolicy policy = { .limits = { .bytes_max = BUDGET }, .log_format = HTTP_LOG_NONE };
    HttpOptions options = { .routes = routes, .route_count = ARRAY_LEN(routes), .policy = &policy };
    fake_start(fake, &options);
}

/* Somebody has all but `left` of it. */
static size_t others_take(Fake *fake, size_t left)
{
    size_t bytes = (size_t)limits_bytes_left(limits_of(fake)) - left;
    CHECK(limits_bytes_take(limits_of(fake), NULL, bytes));
    return bytes;
}

static void wait_waiting(Fake *fake, uint64_t wanted)
{
    LimitStats stats = { .waiting = wanted + 1 };
    while (stats.waiting != wanted)
        limits_stats(limits_of(fake), &stats);
}

static void all_given_back(Fake *fake)
{
    while (limits_bytes_left(limits_of(fake)) != BUDGET)
        usleep(100); /* the end of a request comes behind its last byte */
}

#define CLOSE "Host: x\r\nConnection: close\r\n"

TEST(room_a_reply_waits_and_is_made_when_there_is_room)
{
    static const struct {
        const char *head;
        size_t body;
    } rows[] = {
        { "GET /loop HTTP/1.1\r\n" CLOSE, 0 },
        { "GET /worker HTTP/1.1\r\n" CLOSE, 0 },
        { "GET /worker?large HTTP/1.1\r\n" CLOSE, 0 }, /* more than there ever is */
        { "POST /worker HTTP/1.1\r\n" CLOSE, 1000 },
        { "POST /blocks HTTP/1.1\r\n" CLOSE, 60000 },   /* its block is worked on, and given back */
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Fake fake;
        Arena arena AUTO(arena_done) = { 0 };
        start(&fake);
        size_t taken = others_take(&fake, 70 << 10);
        int fd = fake_connect(&fake);
        char *body = arena_alloc(&arena, rows[i].body + 1);
        memset(body, 'b', rows[i].body);
        fake_say(fd, str_format(&arena, "%sContent-Length: %zu\r\n\r\n", rows[i].head, rows[i].body));
        fake_say(fd, str_of(body, rows[i].body));
        wait_waiting(&fake, 1);
        CHECK_INT(atomic_load(&fake.ends), 0);
        limits_bytes_give(limits_of(&fake), NULL, taken);
        Str reply = fake_hear_all(fd, &arena);
        CHECK_INT(fake_status(reply), 200);
        CHECK_INT(fake_body(reply).len, PAGE);
        net_close(&fd);
        all_given_back(&fake);
        http_server_free(&fake.server);
        CHECK_INT(atomic_load(&fake.ends), 1);
        CHECK_INT(atomic_load(&fake.frees), 1);
    }
}

TEST(room_replies_behind_one_that_waits_keep_their_order)
{
    Fake fake;
    Arena arena AUTO(arena_done) = { 0 };
    start(&fake);
    size_t taken = others_take(&fake, 0);
    int fd = fake_connect(&fake);
    fake_say(fd, STR("GET /worker HTTP/1.1\r\nHost: x\r\n\r\nPOST /half HTTP/1.1\r\nContent-Length: 4\r\n" CLOSE "\r\nbody"));
    wait_waiting(&fake, 1);
    limits_bytes_give(limits_of(&fake), NULL, taken);
    Str reply = fake_hear_all(fd, &arena);
    CHECK_INT(fake_status(reply), 200);
    CHECK(str_ends(reply, STR("\r\n\r\npp")));
    CHECK(reply.len > PAGE);
    net_close(&fd);
    fake_end(&fake);
}

TEST(room_over_the_time_limit_it_is_503)
{
    Fake fake;
    Arena arena AUTO(arena_done) = { 0 };
    start(&fake);
    size_t taken = others_take(&fake, 0);
    Str reply = fake_ask(&fake, STR("GET /short HTTP/1.1\r\n" CLOSE "\r\n"), &arena);
    CHECK_INT(fake_status(reply), 503);
    CHECK(str_find(reply, STR("Retry-After: 1\r\n")) > 0);
    CHECK(str_find(reply, STR("no room for the answer")) > 0);
    wait_waiting(&fake, 0);
    limits_bytes_give(limits_of(&fake), NULL, taken);
    all_given_back(&fake);
    http_server_free(&fake.server);
    CHECK_INT(atomic_load(&fake.ends), 0);
    CHECK_INT(atomic_load(&fake.frees), 1);
}

TEST(room_who_goes_leaves_the_line)
{
    Fake fake;
    start(&fake);
    size_t taken = others_take(&fake, 0);
    for (int i = 0; i < 2; i++) {
        int fd = fake_connect(&fake);
        fake_say(fd, i ? STR("GET /loop HTTP/1.1\r\nHost: x\r\n\r\n") : STR("GET /worker HTTP/1.1\r\nHost: x\r\n\r\n"));
        wait_waiting(&fake, 1);
        net_close(&fd);
        wait_waiting(&fake, 0);
    }
    limits_bytes_give(limits_of(&fake), NULL, taken);
    all_given_back(&fake);
    int late = fake_connect(&fake); /* one that waits while the server ends */
    taken = others_take(&fake, 0);
    fake_say(late, STR("GET /worker HTTP/1.1\r\nHost: x\r\n\r\n"));
    wait_waiting(&fake, 1);
    http_server_free(&fake.server);
    net_close(&late);
    CHECK_INT(atomic_load(&fake.ends), 0);
    CHECK_INT(atomic_load(&fake.frees), 3);
    CHECK(taken > 0);
}

TEST(room_who_holds_something_does_not_wait)
{
    enum { BODY = 60000 };
    Fake fake;
    Arena arena AUTO(arena_done) = { 0 };
    start(&fake);
    size_t taken = others_take(&fake, 70 << 10);
    char *body = arena_alloc(&arena, BODY);
    memset(body, 'b', BODY);
    int fd = fake_connect(&fake);
    fake_say(fd, str_format(&arena, "POST /worker HTTP/1.1\r\nContent-Length: %d\r\n" CLOSE "\r\n", BODY));
    fake_say(fd, str_of(body, BODY));
    CHECK_INT(fake_status(fake_hear_all(fd, &arena)), 503); /* its reply is larger than its body was */
    net_close(&fd);
    fd = fake_connect(&fake);
    fake_say(fd, str_format(&arena, "POST /half HTTP/1.1\r\nContent-Length: %d\r\n" CLOSE "\r\n", BODY));
    fake_say(fd, str_of(body, BODY));
    Str reply = fake_hear_all(fd, &arena);
    CHECK_INT(fake_status(reply), 200); /* the body's room is the reply's */
    CHECK_INT(fake_body(reply).len, BODY / 2);
    net_close(&fd);
    limits_bytes_give(limits_of(&fake), NULL, taken);
    all_given_back(&fake);
    fake_end(&fake);
}

/* ---- bodies ---- */

enum { BODY_BYTES = 60000 };

/* Its head and the first half of the body, at once: a time limit counts from the head on. */
static int body_begin(Fake *fake, const char *path, size_t bytes)
{
    Arena arena AUTO(arena_done) = { 0 };
    int fd = fake_connect(fake);
    char *half = arena_alloc(&arena, BODY_BYTES / 2);
    memset(half, 'b', BODY_BYTES / 2);
    fake_say(fd, str_format(&arena, "POST %s HTTP/1.1\r\nContent-Length: %zu\r\n" CLOSE "\r\n" STR_FMT, path, bytes,
                            STR_ARG(str_of(half, BODY_BYTES / 2))));
    return fd;
}

static void body_go_on(int fd)
{
    char half[BODY_BYTES / 2];
    memset(half, 'b', sizeof half);
    fake_say(fd, str_of(half, sizeof half));
}

TEST(room_of_bodies_is_waited_for_and_nobody_holds_a_half)
{
    enum { CLIENTS = 16, AT_ONCE = BUDGET / BODY_BYTES };
    static const char *const paths[] = { "/half", "/worker" };
    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        Fake fake;
        Arena arena AUTO(arena_done) = { 0 };
        int fds[CLIENTS];
        size_t answers = i ? (size_t)PAGE : BODY_BYTES / 2;
        start(&fake);
        for (size_t at = 0; at < CLIENTS; at++) {
            fds[at] = body_begin(&fake, paths[i], BODY_BYTES);
            while (limits_bytes_held(limits_of(&fake)) < MIN(at + 1, (size_t)AT_ONCE) * BODY_BYTES)
                usleep(100); /* they come in this order */
        }
        wait_waiting(&fake, CLIENTS - AT_ONCE);
        CHECK_INT(limits_bytes_held(limits_of(&fake)), AT_ONCE * BODY_BYTES);
        for (size_t at = 0; at < CLIENTS; at++)
            body_go_on(fds[at]);
        for (size_t at = 0; at < CLIENTS; at++) {
            Str reply = fake_hear_all(fds[at], &arena);
            if (i == 0) /* a page of those that hold their bodies may find no room */
                CHECK_INT(fake_status(reply), 200);
            if (fake_status(reply) == 200)
                CHECK_INT(fake_body(reply).len, answers);
            net_close(&fds[at]);
        }
        all_given_back(&fake);
        http_server_free(&fake.server);
        CHECK_INT(atomic_load(&fake.ends), CLIENTS);
    }
}

/* Whoever waits would take all of it, if it were given back before the reply has its own. */
TEST(room_of_a_body_goes_on_to_its_reply)
{
    Fake fake;
    Arena arena AUTO(arena_done) = { 0 };
    start(&fake);
    size_t taken = others_take(&fake, BODY_BYTES);
    int first = body_begin(&fake, "/half", BODY_BYTES);
    while (limits_bytes_left(limits_of(&fake)) > 0)
        usleep(100);
    int second = body_begin(&fake, "/half", BODY_BYTES);
    wait_waiting(&fake, 1);
    body_go_on(first);
    CHECK_INT(fake_status(fake_hear_all(first, &arena)), 200);
    net_close(&first);
    body_go_on(second);
    CHECK_INT(fake_status(fake_hear_all(second, &arena)), 200);
    net_close(&second);
    limits_bytes_give(limits_of(&fake), NULL, taken);
    all_given_back(&fake);
    fake_end(&fake);
}

TEST(room_of_a_body_over_the_time_limit_it_is_503)
{
    Fake fake;
    Arena arena AUTO(arena_done) = { 0 };
    start(&fake);
    size_t taken = others_take(&fake, 20 << 10);
    int fd = body_begin(&fake, "/short", BODY_BYTES);
    Str reply = fake_hear_all(fd, &arena);
    CHECK_INT(fake_status(reply), 503);
    CHECK(str_find(reply, STR("Retry-After: 1\r\n")) > 0);
    CHECK(str_find(reply, STR("no room for the body")) > 0);
    net_close(&fd);
    wait_waiting(&fake, 0);
    limits_bytes_give(limits_of(&fake), NULL, taken);
    all_given_back(&fake);
    http_server_free(&fake.server);
    CHECK_INT(atomic_load(&fake.ends), 0);
    CHECK_INT(atomic_load(&fake.frees), 1);
}

TEST(room_of_a_body_is_for_those_who_may_send_it)
{
    Fake fake;
    Arena arena AUTO(arena_done) = { 0 };
    start(&fake);
    size_t taken = others_take(&fake, 0);
    int fd = body_begin(&fake, "/keyed", BODY_BYTES);
    CHECK_INT(fake_status(fake_hear_all(fd, &arena)), 401);
    net_close(&fd);
    wait_waiting(&fake, 0);
    limits_bytes_give(limits_of(&fake), NULL, taken);
    all_given_back(&fake);
    http_server_free(&fake.server);
    CHECK_INT(atomic_load(&fake.ends), 0);
    CHECK_INT(atomic_load(&fake.frees), 0);
}

TEST(room_of_a_body_that_is_larger_than_all_it_is_503)
{
    Fake fake;
    Arena arena AUTO(arena_done) = { 0 };
    start(&fake);
    int fd = body_begin(&fake, "/half", BUDGET + 1);
    CHECK_INT(fake_status(fake_hear_all(fd, &arena)), 503);
    net_close(&fd);
    all_given_back(&fake);
    fake_end(&fake);
}

TEST(room_of_a_body_who_goes_leaves_the_line)
{
    Fake fake;
    start(&fake);
    size_t taken = others_take(&fake, 0);
    int fd = body_begin(&fake, "/half", BODY_BYTES);
    wait_waiting(&fake, 1);
    net_close(&fd); /* nobody looks before there is room */
    limits_bytes_give(limits_of(&fake), NULL, taken);
    all_given_back(&fake);
    taken = others_take(&fake, 0);
    fd = body_begin(&fake, "/half", BODY_BYTES);
    int other = body_begin(&fake, "/worker", BODY_BYTES);
    wait_waiting(&fake, 2);
    http_server_free(&fake.server); /* while they wait */
    net_close(&fd);
    net_close(&other);
    CHECK_INT(atomic_load(&fake.ends), 0);
    CHECK(taken > 0);
}

TEST(room_without_a_wish_it_is_503_but_not_for_who_looks_after_the_server)
{
    Fake fake;
    Arena arena AUTO(arena_done) = { 0 };
    start(&fake);
    size_t taken = others_take(&fake, 0);
    CHECK_INT(fake_status(fake_ask(&fake, STR("GET /plain HTTP/1.1\r\n" CLOSE "\r\n"), &arena)), 503);
    Str seen = fake_ask(&fake, STR("GET /seen HTTP/1.1\r\n" CLOSE "\r\n"), &arena);
    CHECK_INT(fake_status(seen), 200);
    CHECK_INT(fake_body(seen).len, PAGE);
    limits_bytes_give(limits_of(&fake), NULL, taken);
    all_given_back(&fake);
    fake_end(&fake);
}
