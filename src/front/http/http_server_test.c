/* Covers http_conn.c, http_count.c, http_route.c, http_run.c, http_server.c. */
#include "front/http/http_fake.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

TEST(http_answers_and_keeps_alive)
{
    Fake fake;
    Arena arena AUTO(arena_done) = { 0 };
    fake_start(&fake, NULL);
    int fd = fake_connect(&fake);
    for (int i = 0; i < 3; i++) {
        fake_say(fd, STR("GET /plain HTTP/1.1\r\nHost: x\r\nX-Request-Id: abc\r\n\r\n"));
        Str reply = fake_hear_reply(fd, &arena);
        CHECK_INT(fake_status(reply), 200);
        CHECK_STR(fake_body(reply), STR("plain"));
        CHECK(fake_has(reply, "X-Request-Id: abc\r\n"));
        CHECK(fake_has(reply, "Date: "));
    }
    fake_say(fd, STR("HEAD /plain HTTP/1.1\r\n" FAKE_CLOSE "\r\n"));
    Str reply = fake_hear_all(fd, &arena);
    CHECK(fake_has(reply, "Content-Length: 5\r\n"));
    CHECK_INT(fake_body(reply).len, 0);
    net_close(&fd);
    HttpServerStats stats;
    http_server_stats(fake.server, &stats);
    CHECK_INT(stats.requests, 4);
    fake_end(&fake);
}

TEST(http_pipelined_replies_keep_their_order)
{
    Fake fake;
    Arena arena AUTO(arena_done) = { 0 };
    fake_start(&fake, NULL);
    Str reply = fake_ask(&fake,
                         STR("GET /o/a/1 HTTP/1.1\r\nHost: x\r\n\r\n"
                             "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\ntwo"
                             "GET /park HTTP/1.1\r\nHost: x\r\n\r\n"
                             "GET /move HTTP/1.1\r\nHost: x\r\n\r\n"
                             "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                             "2\r\nfo\r\n2\r\nur\r\n0\r\n\r\n"
                             "GET /plain HTTP/1.1\r\n" FAKE_CLOSE "\r\n"),
                         &arena);
    ptrdiff_t at[6] = { str_find(reply, STR("a|1|none")), str_find(reply, STR("\r\n\r\ntwo")),
                        str_find(reply, STR("resumed")), str_find(reply, STR("moved")),
                        str_find(reply, STR("\r\n\r\nfour")), str_find(reply, STR("\r\n\r\nplain")) };
    for (size_t i = 0; i < ARRAY_LEN(at); i++)
        CHECK(at[i] > (i ? at[i - 1] : 0));
    fake_end(&fake);
}

TEST(http_bytes_one_by_one)
{
    Fake fake;
    Arena arena AUTO(arena_done) = { 0 };
    fake_start(&fake, NULL);
    Str text = STR("POST /echo HTTP/1.1\r\n" FAKE_CLOSE "Transfer-Encoding: chunked\r\n\r\n"
                   "3;x=y\r\nabc\r\n1\r\nd\r\n0\r\nTrailer: t\r\n\r\n");
    int fd = fake_connect(&fake);
    for (size_t i = 0; i < text.len; i++)
        fake_say(fd, str_sub(text, i, 1));
    CHECK_STR(fake_body(fake_hear_all(fd, &arena)), STR("abcd"));
    net_close(&fd);
    fake_end(&fake);
}

TEST(http_routes)
{
    static const struct {
        const char *line;
        int status;
        const char *part;
    } rows[] = {
        { "GET /o/b/a%2Fb/c%20d?q=x+y%26", 200, "b|a/b/c d|x y&" },
        { "GET /o/b", 404, "NOT_FOUND" },
        { "GET /o/b/", 404, "NOT_FOUND" },
        { "GET /plain/", 404, "NOT_FOUND" },
        { "GET /plainx", 404, "NOT_FOUND" },
        { "GET //plain", 404, "NOT_FOUND" },
        { "GET /", 404, "NOT_FOUND" },
        { "PUT /plain", 405, "Allow: GET, HEAD, POST, OPTIONS" },
        { "OPTIONS /plain", 204, "Allow: GET, HEAD, POST, OPTIONS" },
        { "PATCH /plain", 405, "Allow: GET, HEAD, POST, OPTIONS" },
        { "TRACE /plain", 405, "Allow: GET, HEAD, POST, OPTIONS" },
        { "PUT /asked", 405, "Allow: GET, HEAD, OPTIONS\r\n" },
        { "OPTIONS /asked", 200, "" },
        { "PUT /nothing", 404, "NOT_FOUND" },
        { "BREW /plain", 501, "UNSUPPORTED" },
        { "BREW /nothing", 501, "UNSUPPORTED" },
        { "get /plain", 501, "UNSUPPORTED" },
        { "helloGET /plain", 501, "UNSUPPORTED" },
        { "GET /o/b/%zz", 400, "INVALID" },
        { "GET /silent", 500, "INTERNAL" },
        { "GET /keyed", 401, "WWW-Authenticate: Bearer" },
    };
    Fake fake;
    Arena arena AUTO(arena_done) = { 0 };
    fake_start(&fake, NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Str reply = fake_ask(&fake, str_format(&arena, "%s HTTP/1.1\r\n" FAKE_CLOSE "\r\n", rows[i].line),
                             &arena);
        CHECK_INT(fake_status(reply), rows[i].status);
        if (!fake_has(reply, rows[i].part))
            test_failed(__FILE__, __LINE__, "%s: no '%s' in " STR_FMT, rows[i].line, rows[i].part,
                        STR_ARG(reply));
    }
    Str unknown = fake_ask(&fake, STR("BREW /plain HTTP/1.1\r\nHost: x\r\n\r\n"), &arena);
    CHECK(fake_has(unknown, "Connection: close"));
    Str good = fake_ask(&fake, STR("GET /keyed HTTP/1.1\r\nAuthorization: Bearer good\r\n" FAKE_CLOSE "\r\n"),
                        &arena);
    CHECK_INT(fake_status(good), 200);
    fake_end(&fake);
}

TEST(http_cancels_when_the_client_goes)
{
    Fake fake;
    fake_start(&fake, NULL);
    int fd = fake_connect(&fake);
    fake_say(fd, STR("GET /gate HTTP/1.1\r\nHost: x\r\n\r\n"));
    fake_await_in_flight(&fake, 1);
    net_close(&fd);
    fake_await_in_flight(&fake, 0); /* the handler waits for the cancel, or for ever */
    CHECK_INT(atomic_load(&fake.cancels), 1);
    fake_end(&fake);
}

TEST(http_time_over_gives_504)
{
    Fake fake;
    Arena arena AUTO(arena_done) = { 0 };
    fake_start(&fake, NULL);
    Str reply = fake_ask(&fake, STR("GET /gate-short HTTP/1.1\r\n" FAKE_CLOSE "\r\n"), &arena);
    CHECK_INT(fake_status(reply), 504);
    CHECK(fake_has(reply, "TIMEOUT"));
    fake_end(&fake);
}

TEST(http_slow_heads_and_bodies_end)
{
    HttpOptions options = { .head_ms_max = 20, .idle_ms_max = 20, .rate_window_ms = 20,
                            .rate_bytes_min = 1000000 };
    Fake fake;
    Arena arena AUTO(arena_done) = { 0 };
    fake_start(&fake, &options);
    Str head = fake_ask(&fake, STR("GET /plain HTTP/1.1\r\nHo"), &arena);
    CHECK_INT(fake_status(head), 408);
    Str body = fake_ask(&fake, STR("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nab"),
                        &arena);
    CHECK_INT(fake_status(body), 408);
    CHECK_INT(fake_ask(&fake, STR(""), &arena).len, 0);
    fake_end(&fake);
}

TEST(http_drain_lets_requests_end)
{
    Fake fake;
    Arena arena AUTO(arena_done) = { 0 };
    fake_start(&fake, NULL);
    int idle = fake_connect(&fake), busy = fake_connect(&fake), late = -1;
    fake_say(idle, STR("GET /plain HTTP/1.1\r\nHost: x\r\n\r\n"));
    CHECK_INT(fake_status(fake_hear_reply(idle, &arena)), 200);
    fake_say(busy, STR("GET /gate HTTP/1.1\r\nHost: x\r\n\r\n"));
    fake_await_in_flight(&fake, 1);
    CHECK(!http_server_drain(fake.server, 0));
    CHECK_INT(fake_hear_all(idle, &arena).len, 0);
    net_close(&idle);
    Err err;
    CHECK_CODE(net_connect(&fake.address, 1000, &late, &err), E_UNAVAILABLE);
    atomic_store(&fake.gate, true);
    Str reply = fake_hear_all(busy, &arena);
    CHECK_INT(fake_status(reply), 200);
    CHECK(fake_has(reply, "Connection: close"));
    net_close(&busy);
    CHECK(http_server_drain(fake.server, 20000));
    fake_end(&fake);
}

/* ---- what has no time limit but its client's ---- */

static bool long_asked(HttpReq *r)
{
    Str value;
    return http_req_query(r, "long", &value);
}

static void slow_end(HttpReq *r)
{
    for (int i = 0; i < 500 && !http_req_cancelled(r); i++)
        usleep(200);
    http_reply(r, 200, "text/plain", http_req_cancelled(r) ? STR("given up") : STR("whole"));
}

TEST(http_some_take_as_long_as_their_client_waits)
{
    static const HttpRoute routes[] = { { "GET", "/slow", "slow", .on_end = slow_end, .lane = HTTP_ON_IO_WORKER,
                                          .timeout_ms = 20, .takes_its_time = long_asked } };
    HttpOptions options = { .routes = routes, .route_count = ARRAY_LEN(routes) };
    Fake fake;
    Arena arena AUTO(arena_done) = { 0 };
    fake_start(&fake, &options);
    CHECK_INT(fake_status(fake_ask(&fake, STR("GET /slow HTTP/1.1\r\n" FAKE_CLOSE "\r\n"), &arena)), 504);
    Str reply = fake_ask(&fake, STR("GET /slow?long=1 HTTP/1.1\r\n" FAKE_CLOSE "\r\n"), &arena);
    CHECK_INT(fake_status(reply), 200);
    CHECK_STR(fake_body(reply), STR("whole"));
    fake_end(&fake);
}

/* ---- an answer that another thread makes while the server ends ---- */

static struct {
    pthread_t thread;
    atomic_bool parked, cancelled, over;
} late;

static void late_cancel(void *arg)
{
    (void)arg;
    atomic_store(&late.cancelled, true);
}

static void *late_thread(void *arg)
{
    HttpReq *r = arg;
    while (!atomic_load(&late.cancelled))
        usleep(200);
    for (int i = 0; i < 1000 && !atomic_load(&late.over); i++)
        usleep(200); /* as long as a sync of a slow drive takes: who does not wait for it is away */
    if (atomic_load(&late.over))
        return NULL;
    http_reply(r, 200, "text/plain", STR("late"));
    http_req_resume(r);
    return NULL;
}

static void late_end(HttpReq *r)
{
    http_req_park(r);
    http_req_on_cancel(r, late_cancel, NULL);
    if (pthread_create(&late.thread, NULL, late_thread, r) != 0)
        abort();
    atomic_store(&late.parked, true);
}

static void late_free(HttpReq *r)
{
    Fake *fake = http_req_context(r);
    atomic_fetch_add(&fake->frees, 1);
}

TEST(http_server_ends_behind_those_whom_another_thread_answers)
{
    static const HttpRoute routes[] = { { "GET", "/late", "late", .on_end = late_end, .on_free = late_free } };
    HttpOptions options = { .routes = routes, .route_count = ARRAY_LEN(routes) };
    Fake fake;
    fake_start(&fake, &options);
    int fd = fake_connect(&fake);
    fake_say(fd, STR("GET /late HTTP/1.1\r\nHost: x\r\n\r\n"));
    while (!atomic_load(&late.parked))
        usleep(200);
    http_server_free(&fake.server);
    atomic_store(&late.over, true);
    pthread_join(late.thread, NULL);
    CHECK_INT(atomic_load(&fake.frees), 1);
    net_close(&fd);
}
