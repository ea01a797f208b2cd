/* Covers http1.c, http_duplex.c, http_file.c: both sides in a handler's hands, replies that are files. */
#include "front/http/http_duplex.h"
#include "front/http/http_fake.h"
#include "os/loop.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static Fake *fake_of(HttpReq *r)
{
    return http_req_context(r);
}

/* ---- a made-up protocol of lines: each is answered by itself in brackets ---- */

typedef struct Lines {
    HttpReq *r;
    LoopTimer timer;
    bool drains;
} Lines;

static atomic_int line_calls, line_ends, line_closes, line_drains;

static void lines_wake(LoopTimer *timer)
{
    Lines *lines = (Lines *)((char *)timer - offsetof(Lines, timer));
    http_duplex_rest(lines->r, false);
}

/* One line a call; an unfinished one is left and seen again. */
static size_t lines_in(void *self, Str bytes)
{
    Lines *lines = self;
    ptrdiff_t end = str_find_char(bytes, '\n');
    atomic_fetch_add(&line_calls, 1);
    if (end < 0)
        return 0;
    Str line = str_sub(bytes, 0, (size_t)end);
    if (str_eq(line, STR("end"))) {
        http_duplex_end(lines->r);
        http_duplex_send(lines->r, STR("never"));
    } else if (str_eq(line, STR("abort"))) {
        http_duplex_abort(lines->r);
    } else if (str_eq(line, STR("rest"))) {
        http_duplex_rest(lines->r, true);
        loop_timer_set(http_req_loop(lines->r), &lines->timer, 20);
    }
    http_duplex_send(lines->r, STR("["));
    http_duplex_send(lines->r, line);
    Buf tail;
    buf_init(&tail, 16);
    buf_put(&tail, STR("]"));
    http_duplex_send_take(lines->r, &tail);
    return (size_t)end + 1;
}

static void lines_ended(void *self)
{
    Lines *lines = self;
    atomic_fetch_add(&line_ends, 1);
    http_reply_trailer(lines->r, "X-Last", http_req_trailer(lines->r, "X-First"));
    http_duplex_send(lines->r, STR("bye"));
    http_duplex_end(lines->r);
}

static void lines_drain(void *self)
{
    Lines *lines = self;
    atomic_fetch_add(&line_drains, 1);
    http_duplex_send(lines->r, STR("closing"));
    http_duplex_end(lines->r);
}

static void lines_closed(void *self)
{
    Lines *lines = self;
    loop_timer_stop(http_req_loop(lines->r), &lines->timer);
    atomic_fetch_add(&line_closes, 1);
    free(lines);
}

static const HttpDuplex lines_duplex = { lines_in, lines_ended, NULL, lines_drain, lines_closed };

static void lines_begin(HttpReq *r)
{
    Lines *lines = mem_new(sizeof *lines);
    lines->r = r;
    lines->timer.fire = lines_wake;
    loop_timer_set(http_req_loop(r), &lines->timer, 0); /* its class is older than that of 20 ms */
    loop_timer_stop(http_req_loop(r), &lines->timer);
    bool upgrades = http_req_upgrades(r, "lines");
    if (upgrades) {
        http_reply_header(r, "Upgrade", STR("lines"));
        http_reply_header(r, "Connection", STR("Upgrade"));
    }
    http_reply_duplex(r, upgrades ? 101 : 200, &lines_duplex, lines);
    http_duplex_send(r, STR("hello")); /* follows the head */
}

static void lines_free(HttpReq *r)
{
    atomic_fetch_add(&fake_of(r)->frees, 1);
}

/* ---- files ---- */

static atomic_int file_dones;
static int file_fd;

static void file_done(void *arg)
{
    (void)arg;
    atomic_fetch_add(&file_dones, 1);
}

static void file_end(HttpReq *r)
{
    Str text;
    uint64_t at = 0, len = 0;
    CHECK(http_req_query(r, "at", &text) && str_u64(text, &at));
    CHECK(http_req_query(r, "len", &text) && str_u64(text, &len));
    if (http_req_query(r, "problem", &text)) {
        Err err;
        IGNORE(err_set(&err, E_GONE, "no such file any more")); /* replied */
        http_reply_problem(r, &err);
    }
    http_reply_file(r, 200, "text/plain", file_fd, at, len, file_done, NULL);
}

static void closes_end(HttpReq *r)
{
    http_reply(r, 200, "text/plain", http_req_version(r));
}

static const HttpRoute routes[] = {
    { "GET", "/lines", "lines", .on_end = lines_begin, .on_free = lines_free },
    { "POST", "/lines", "linesPost", .on_head = lines_begin, .on_end = lines_begin, .on_free = lines_free },
    { "GET", "/file", "file", .on_end = file_end },
    { "GET", "/version", "version", .on_end = closes_end },
};

static void begin(Fake *fake)
{
    HttpOptions options = { .routes = routes, .route_count = ARRAY_LEN(routes), .loops = 1 };
    atomic_store(&line_calls, 0);
    atomic_store(&line_ends, 0);
    atomic_store(&line_closes, 0);
    atomic_store(&line_drains, 0);
    atomic_store(&file_dones, 0);
    fake_start(fake, &options);
}

#define UPGRADE "GET /lines HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: lines\r\n\r\n"

TEST(duplex_after_an_upgrade)
{
    static const struct {
        const char *says, *hears;
        bool shuts;
        int ends;
    } rows[] = {
        { "a\nbc\n", "hello[a][bc]bye", true, 1 },
        { "a\nunfinished", "hello[a]bye", true, 1 },
        { "a\nend\nb\n", "hello[a]", false, 0 },
        { "rest\nb\nc\n", "hello[rest][b][c]bye", true, 1 },
        { "rest\nb\nend\n", "hello[rest][b]", false, 0 },
    };
    Fake fake;
    begin(&fake);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        int before = atomic_load(&line_ends), fd = fake_connect(&fake);
        fake_say(fd, str_format(&arena, UPGRADE "%s", rows[i].says));
        if (rows[i].shuts)
            CHECK_INT(shutdown(fd, SHUT_WR), 0);
        Str reply = fake_hear_all(fd, &arena);
        CHECK_INT(fake_status(reply), 101);
        CHECK(str_find(reply, STR("Content-Length")) < 0 && str_find(reply, STR("chunked")) < 0);
        CHECK_STR(fake_body(reply), str_z(rows[i].hears));
        CHECK_INT(atomic_load(&line_ends) - before, rows[i].ends);
        net_close(&fd);
    }
    fake_end(&fake);
    CHECK_INT(atomic_load(&line_closes), (int)ARRAY_LEN(rows));
    CHECK_INT(atomic_load(&fake.frees), (int)ARRAY_LEN(rows));
}

TEST(duplex_that_is_aborted_ends_in_a_reset_or_without_its_end)
{
    Fake fake;
    Arena arena AUTO(arena_done) = { 0 };
    begin(&fake);
    Str raw = fake_ask(&fake, STR(UPGRADE "abort\n"), &arena);
    CHECK(str_find(raw, STR("[abort]")) < 0);
    Str chunked = fake_ask(&fake, STR("POST /lines HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabort\n"), &arena);
    CHECK_INT(fake_status(chunked), 200);
    CHECK(!str_ends(chunked, STR("0\r\n\r\n")));
    fake_end(&fake);
    CHECK_INT(atomic_load(&line_closes), 2);
}

TEST(duplex_in_chunks_with_trailers)
{
    Fake fake;
    Arena arena AUTO(arena_done) = { 0 };
    begin(&fake);
    int fd = fake_connect(&fake);
    fake_say(fd, STR("POST /lines HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"));
    Str go = fake_hear_reply(fd, &arena);
    CHECK(str_starts(go, STR("HTTP/1.1 100 Continue\r\n\r\n")));
    fake_say(fd, STR("1\r\na\r\n3\r\n\nb\n\r\n0\r\nX-First: 1\r\n\r\nGET /version HTTP/1.1\r\nHost: x\r\n\r\n"));
    Buf all AUTO(buf_done);
    buf_init(&all, 1 << 20);
    char byte;
    while (!str_ends(buf_str(&all), STR("X-Last: 1\r\n\r\n")) && read(fd, &byte, 1) == 1)
        buf_put_char(&all, byte);
    CHECK(str_find(buf_str(&all), STR("Transfer-Encoding: chunked\r\n")) > 0);
    CHECK(str_find(buf_str(&all), STR("5\r\nhello\r\n")) > 0);
    CHECK(str_find(buf_str(&all), STR("0\r\nX-Last: 1\r\n\r\n")) > 0);
    CHECK_STR(fake_body(fake_hear_reply(fd, &arena)), STR("HTTP/1.1")); /* the connection lives on */
    net_close(&fd);
    fake_end(&fake);
    CHECK_INT(atomic_load(&line_closes), 1);
}

TEST(duplex_is_closed_when_the_client_goes_and_told_when_the_server_ends)
{
    Fake fake;
    Arena arena AUTO(arena_done) = { 0 };
    begin(&fake);
    int gone = fake_connect(&fake), stays = fake_connect(&fake);
    struct linger hard = { 1, 0 };
    fake_say(gone, STR(UPGRADE "a\n"));
    fake_say(stays, STR(UPGRADE "a\n"));
    CHECK_STR(fake_body(fake_hear_reply(stays, &arena)), STR(""));
    CHECK_INT(setsockopt(gone, SOL_SOCKET, SO_LINGER, &hard, sizeof hard), 0);
    net_close(&gone); /* a reset */
    while (atomic_load(&line_closes) == 0)
        usleep(200); /* until the loop has noticed */
    CHECK(http_server_drain(fake.server, 20000));
    CHECK_STR(fake_hear_all(stays, &arena), STR("hello[a]closing"));
    net_close(&stays);
    fake_end(&fake);
    CHECK_INT(atomic_load(&line_closes), 2);
    CHECK_INT(atomic_load(&line_drains), 1);
}

/* The end comes right behind the bytes that were kept, in the moment in which they are to be shown. */
TEST(duplex_shows_what_was_kept_before_the_end)
{
    Fake fake;
    begin(&fake);
    for (int i = 0; i < 30; i++) {
        Arena arena AUTO(arena_done) = { 0 };
        int fd = fake_connect(&fake);
        fake_say(fd, STR("POST /lines HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
                         "b\r\nrest\nb\nc\nd\n\r\n"));
        usleep((useconds_t)i * 1000); /* around the 20 ms after which it reads on */
        fake_say(fd, STR("0\r\n\r\n"));
        Str reply = fake_hear_all(fd, &arena);
        CHECK(str_find(reply, STR("[")) > 0);
        ptrdiff_t d = str_find(reply, STR("d\r\n")), bye = str_find(reply, STR("bye"));
        CHECK(d > 0 && bye > d);
        net_close(&fd);
    }
    fake_end(&fake);
}

TEST(file_replies)
{
    static const struct {
        const char *method, *query;
        int status;
        size_t at, len;
        bool short_one;
    } rows[] = {
        { "GET", "at=0&len=300000", 200, 0, 300000, false },
        { "GET", "at=299990&len=10", 200, 299990, 10, false },
        { "GET", "at=5&len=0", 200, 5, 0, false },
        { "HEAD", "at=0&len=300000", 200, 0, 0, false },
        { "GET", "at=0&len=10&problem=1", 410, 0, 0, false },
        { "GET", "at=299990&len=20", 200, 299990, 10, true }, /* the file is shorter than was said */
    };
    Fake fake;
    char path[] = "/tmp/tarn-file-XXXXXX", *bytes = mem_new(300000);
    begin(&fake);
    for (size_t i = 0; i < 300000; i++)
        bytes[i] = (char)(i % 251);
    file_fd = mkstemp(path);
    CHECK_INT(write(file_fd, bytes, 300000), 300000);
    unlink(path);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        Str reply = fake_ask(&fake, str_format(&arena, "%s /file?%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
                                               rows[i].method, rows[i].query), &arena);
        CHECK_INT(fake_status(reply), rows[i].status);
        if (rows[i].status == 200 && !rows[i].short_one)
            CHECK(str_eq(fake_body(reply), str_of(bytes + rows[i].at, rows[i].len)));
        if (rows[i].short_one)
            CHECK(fake_body(reply).len < 20);
    }
    int gone = fake_connect(&fake), small = 4096;
    CHECK_INT(setsockopt(gone, SOL_SOCKET, SO_RCVBUF, &small, sizeof small), 0);
    fake_say(gone, STR("GET /file?at=0&len=300000 HTTP/1.1\r\nHost: x\r\n\r\n"));
    net_close(&gone);
    fake_end(&fake);
    CHECK(atomic_load(&file_dones) >= (int)ARRAY_LEN(rows)); /* the last one may not have been asked */
    CHECK(atomic_load(&file_dones) <= (int)ARRAY_LEN(rows) + 1);
    close(file_fd);
    mem_free(&bytes);
}

TEST(http1_versions_and_connections)
{
    static const struct {
        const char *head, *version, *connection;
    } rows[] = {
        { "GET /version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1", "Connection: close\r\n" },
        { "GET /version HTTP/1.0\r\n\r\n", "HTTP/1.0", "Connection: close\r\n" },
        { "GET /version HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /version HTTP/1.0\r\n\r\n", "HTTP/1.0",
          "Connection: keep-alive\r\n" },
    };
    Fake fake;
    begin(&fake);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        Str reply = fake_ask(&fake, str_z(rows[i].head), &arena);
        CHECK_INT(fake_status(reply), 200);
        CHECK(str_find(reply, str_z(rows[i].connection)) > 0);
        CHECK(str_ends(reply, str_z(rows[i].version)));
    }
    fake_end(&fake);
}
