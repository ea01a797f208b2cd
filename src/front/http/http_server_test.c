/* Covers http_conn.c, http_count.c, http_reply.c, http_req.c, http_route.c, http_run.c, http_server.c. */
#include "front/http/http_fake.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- handlers ---- */

static Fake *fake_of(HttpReq *r)
{
    return http_req_context(r);
}

static void plain_end(HttpReq *r)
{
    http_reply(r, 200, "text/plain", STR("plain"));
}

static void args_end(HttpReq *r)
{
    Str q = STR("none");
    IGNORE(http_req_query(r, "q", &q)); /* `none` stays */
    http_reply(r, 200, "text/plain",
               str_format(http_req_arena(r), STR_FMT "|" STR_FMT "|" STR_FMT,
                          STR_ARG(http_req_arg(r, "bucket")), STR_ARG(http_req_arg(r, "key")),
                          STR_ARG(q)));
}

static void echo_end(HttpReq *r)
{
    http_reply(r, 200, "application/octet-stream", http_req_body(r));
}

static void silent_end(HttpReq *r)
{
    (void)r;
}

static void up_head(HttpReq *r)
{
    Err err;
    atomic_fetch_add(&fake_of(r)->head_calls, 1);
    if (http_req_header(r, "X-Refuse").ptr) {
        IGNORE(err_set(&err, E_FORBIDDEN, "refused by the head")); /* replied */
        http_reply_problem(r, &err);
    }
}

static void up_body(HttpReq *r, Str block)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < block.len; i++)
        sum += (unsigned char)block.ptr[i];
    atomic_fetch_add(&fake_of(r)->blocks, 1);
    atomic_fetch_add(&fake_of(r)->block_bytes, block.len);
    atomic_fetch_add(&fake_of(r)->block_sum, sum);
}

static void up_end(HttpReq *r)
{
    atomic_fetch_add(&fake_of(r)->ends, 1);
    http_reply(r, 201, "text/plain", STR("stored"));
}

static void up_free(HttpReq *r)
{
    atomic_fetch_add(&fake_of(r)->frees, 1);
}

/* Streams `n` blocks of `size` bytes; `fail`: an error instead of block number `fail`. */
typedef struct Stream {
    Fake *fake;
    int64_t blocks, size, fail, at;
} Stream;

static Code stream_pull(void *self, Buf *out, HttpPullState *ret_state, Err *err)
{
    Stream *s = self;
    atomic_fetch_add(&s->fake->pulls, 1);
    if (s->at == s->fail)
        return err_set(err, E_CORRUPT, "block %lld is damaged", (long long)s->at);
    for (int64_t i = 0; i < s->size; i++)
        buf_put_char(out, (char)('a' + s->at % 26));
    s->at++;
    *ret_state = s->at == s->blocks ? HTTP_PULL_END : HTTP_PULL_MORE;
    return E_OK;
}

static void stream_done(void *self)
{
    Stream *s = self;
    atomic_fetch_add(&s->fake->pull_dones, 1);
    free(s);
}

static int64_t number_of(HttpReq *r, const char *name, int64_t fallback)
{
    Str text;
    if (http_req_query(r, name, &text))
        IGNORE(!str_i64(text, &fallback)); /* the fallback stays */
    return fallback;
}

static void stream_end(HttpReq *r)
{
    static const HttpPull pull = { stream_pull, stream_done };
    Stream *s = mem_new(sizeof *s);
    *s = (Stream){ fake_of(r), number_of(r, "blocks", 3), number_of(r, "size", 10),
                   number_of(r, "fail", -1), 0 };
    http_reply_header(r, "X-Test", STR("yes"));
    http_reply_header(r, "X-Forged", STR("a\r\nSet-Cookie: b"));
    http_reply_stream(r, 200, "text/plain", number_of(r, "length", -1), &pull, s);
}

static void gate_cancel(void *arg)
{
    Fake *fake = arg;
    atomic_fetch_add(&fake->cancels, 1);
    atomic_store(&fake->gate, true);
}

static void gate_end(HttpReq *r)
{
    Fake *fake = fake_of(r);
    http_req_on_cancel(r, gate_cancel, fake);
    while (!atomic_load(&fake->gate))
        usleep(200); /* until the client or the test opens it */
    http_req_on_cancel(r, NULL, NULL);
    http_reply(r, 200, "text/plain", http_req_cancelled(r) ? STR("cancelled") : STR("open"));
}

static void *park_thread(void *arg)
{
    HttpReq *r = arg;
    http_reply(r, 200, "text/plain", STR("resumed"));
    http_req_resume(r);
    return NULL;
}

static void park_end(HttpReq *r)
{
    pthread_t thread;
    http_req_park(r);
    if (pthread_create(&thread, NULL, park_thread, r) != 0 || pthread_detach(thread) != 0)
        abort();
}

static void move_end(HttpReq *r)
{
    if (http_req_on_loop(r))
        http_req_move(r);
    else
        http_reply(r, 200, "text/plain", STR("moved"));
}

static void range_end(HttpReq *r)
{
        uint64_t from = 0, len = 0;
    int status = http_req_range(r, 10, STR("\"v1\""), &from, &len);
    http_reply(r, status, "text/plain", status == 416 ? STR_NONE : str_sub(STR("0123456789"), from, len));
}

static void accept_end(HttpReq *r)
{
    static const char *const types[] = { "application/json", "text/csv" };
    const char *type = http_req_accepts(r, types, 2);
    http_reply(r, type ? 200 : 406, "text/plain", str_z(type ? type : "none"));
}

static const HttpRoute routes[] = {
    { "GET", "/plain", "plain", .on_end = plain_end },
    { "POST", "/plain", "plainPost", .on_end = plain_end },
    { "GET", "/o/{bucket}/{key*}", "args", .on_end = args_end },
    { "POST", "/echo", "echo", .on_end = echo_end, .lane = HTTP_ON_IO_WORKER, .body_max = 1000 },
    { "POST", "/up", "up", .on_head = up_head, .on_body = up_body, .on_end = up_end,
      .on_free = up_free, .lane = HTTP_ON_IO_WORKER, .body_max = 64 << 20 },
    { "GET", "/stream", "stream", .on_end = stream_end, .lane = HTTP_ON_QUERY_WORKER },
    { "GET", "/stream-loop", "streamLoop", .on_end = stream_end },
    { "GET", "/gate", "gate", .on_end = gate_end, .lane = HTTP_ON_IO_WORKER },
    { "GET", "/gate-short", "gateShort", .on_end = gate_end, .lane = HTTP_ON_IO_WORKER,
      .timeout_ms = 20 },
    { "GET", "/park", "park", .on_end = park_end },
    { "GET", "/move", "move", .on_end = move_end },
    { "GET", "/silent", "silent", .on_end = silent_end },
    { "GET", "/range", "range", .on_end = range_end },
    { "GET", "/accept", "accept", .on_end = accept_end },
    { "GET", "/asked", "asked", .on_end = plain_end },
    { "OPTIONS", "/asked", "askedOptions", .on_end = plain_end },
    { "GET", "/keyed", "keyed", .right = 1, .on_end = plain_end, .lane = HTTP_ON_IO_WORKER },
    { "POST", "/keyed-up", "keyedUp", .right = 1, .on_body = up_body, .on_end = up_end,
      .on_free = up_free, .lane = HTTP_ON_IO_WORKER, .body_max = 64 << 20 },
};

static Code authorize(HttpReq *r, Err *err)
{
    if (str_eq(http_req_header(r, "Authorization"), STR("Bearer good")))
        return E_OK;
    return err_set(err, E_UNAUTHENTICATED, "a key is needed");
}

/* ---- the frame ---- */

void fake_start(Fake *fake, const HttpOptions *options)
{
    HttpOptions mine = options ? *options : (HttpOptions){ 0 };
    Err err;
    *fake = (Fake){ 0 };
    mine.os = os_real();
    mine.listen = STR("127.0.0.1:0");
    if (!mine.routes) {
        mine.routes = routes;
        mine.route_count = ARRAY_LEN(routes);
    }
    mine.context = fake;
    mine.authorize = authorize;
    mine.loops = mine.loops ? mine.loops : 2;
    mine.io_workers = 4;
    mine.query_workers = 2;
    CHECK_OK(http_server_start(&mine, &fake->server, &err), &err);
    CHECK_OK(net_address_parse(http_server_address(fake->server), &fake->address, &err), &err);
}

void fake_end(Fake *fake)
{
    http_server_free(&fake->server);
    CHECK_INT(atomic_load(&fake->pull_dones) >= 0, 1);
}

int fake_connect(const Fake *fake)
{
    int fd = -1;
    Err err;
    CHECK_OK(net_connect(&fake->address, 20000, &fd, &err), &err);
    return fd;
}

void fake_say(int fd, Str bytes)
{
    while (bytes.len > 0) {
        ssize_t put = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (put <= 0)
            return; /* refused in the middle: the reply tells */
        bytes = str_from(bytes, (size_t)put);
    }
}

Str fake_hear_all(int fd, Arena *arena)
{
    Buf got AUTO(buf_done);
    char piece[65536];
    ssize_t len;
    buf_init(&got, FAKE_REPLY_MAX);
    while ((len = read(fd, piece, sizeof piece)) > 0)
        buf_put(&got, str_of(piece, (size_t)len));
    CHECK(!got.over);
    return str_copy(arena, buf_str(&got));
}

/* True when `got` begins with a whole reply. */
static bool reply_whole(Str got)
{
    ptrdiff_t end = str_find(got, STR("\r\n\r\n"));
    if (end < 0)
        return false;
    Str head = str_sub(got, 0, (size_t)end), body = str_from(got, (size_t)end + 4);
    if (str_find(head, STR("chunked")) >= 0)
        return str_ends(body, STR("0\r\n\r\n"));
    ptrdiff_t at = str_find(head, STR("Content-Length: "));
    Str rest = str_from(head, (size_t)(at < 0 ? 0 : at) + 16), number;
    uint64_t length = 0;
    return at < 0 || !str_split(&rest, '\r', &number) || !str_u64(number, &length) || body.len >= length;
}

Str fake_hear_reply(int fd, Arena *arena)
{
    Buf got AUTO(buf_done);
    char byte[4096];
    buf_init(&got, FAKE_REPLY_MAX);
    while (!reply_whole(buf_str(&got))) {
        ssize_t len = read(fd, byte, 1); /* one by one: what follows is another reply's */
        if (len <= 0)
            break;
        buf_put(&got, str_of(byte, 1));
    }
    return str_copy(arena, buf_str(&got));
}

Str fake_ask(const Fake *fake, Str bytes, Arena *arena)
{
    int fd = fake_connect(fake);
    fake_say(fd, bytes);
    Str reply = fake_hear_all(fd, arena);
    net_close(&fd);
    return reply;
}

int fake_status(Str reply)
{
    int64_t status = 0;
    return str_i64(str_sub(reply, 9, 3), &status) ? (int)status : 0;
}

Str fake_body(Str reply)
{
    ptrdiff_t end = str_find(reply, STR("\r\n\r\n"));
    return end < 0 ? STR_NONE : str_from(reply, (size_t)end + 4);
}

static bool has(Str reply, const char *text)
{
    return str_find(reply, str_z(text)) >= 0;
}

#define CLOSE "Host: x\r\nConnection: close\r\n"

/* ---- cases ---- */

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
        CHECK(has(reply, "X-Request-Id: abc\r\n"));
        CHECK(has(reply, "Date: "));
    }
    fake_say(fd, STR("HEAD /plain HTTP/1.1\r\n" CLOSE "\r\n"));
    Str reply = fake_hear_all(fd, &arena);
    CHECK(has(reply, "Content-Length: 5\r\n"));
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
                             "GET /plain HTTP/1.1\r\n" CLOSE "\r\n"),
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
    Str text = STR("POST /echo HTTP/1.1\r\n" CLOSE "Transfer-Encoding: chunked\r\n\r\n"
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
        Str reply = fake_ask(&fake, str_format(&arena, "%s HTTP/1.1\r\n" CLOSE "\r\n", rows[i].line),
                             &arena);
        CHECK_INT(fake_status(reply), rows[i].status);
        if (!has(reply, rows[i].part))
            test_failed(__FILE__, __LINE__, "%s: no '%s' in " STR_FMT, rows[i].line, rows[i].part,
                        STR_ARG(reply));
    }
    Str unknown = fake_ask(&fake, STR("BREW /plain HTTP/1.1\r\nHost: x\r\n\r\n"), &arena);
    CHECK(has(unknown, "Connection: close"));
    Str good = fake_ask(&fake, STR("GET /keyed HTTP/1.1\r\nAuthorization: Bearer good\r\n" CLOSE "\r\n"),
                        &arena);
    CHECK_INT(fake_status(good), 200);
    fake_end(&fake);
}

TEST(http_limits_of_bodies)
{
    Fake fake;
    Arena arena AUTO(arena_done) = { 0 };
    fake_start(&fake, NULL);
    Str long_length = fake_ask(&fake, STR("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 70000\r\n\r\n"),
                               &arena);
    CHECK_INT(fake_status(long_length), 413);
    CHECK(has(long_length, "Connection: close"));
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
    fake_say(fd, str_format(&arena, "POST /up HTTP/1.1\r\n" CLOSE "Content-Length: %d\r\n\r\n", BYTES));
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
    fake_say(fd, STR("POST /up HTTP/1.1\r\n" CLOSE "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n"));
    CHECK_STR(fake_hear_reply(fd, &arena), STR("HTTP/1.1 100 Continue\r\n\r\n"));
    CHECK_INT(atomic_load(&fake.head_calls), 1);
    fake_say(fd, STR("body"));
    CHECK_INT(fake_status(fake_hear_all(fd, &arena)), 201);
    net_close(&fd);
    Str refused = fake_ask(&fake, STR("POST /up HTTP/1.1\r\nHost: x\r\nX-Refuse: 1\r\n"
                                      "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n"), &arena);
    CHECK_INT(fake_status(refused), 403);
    CHECK(!has(refused, "100 Continue"));
    CHECK(has(refused, "Connection: close"));
    Str keyless = fake_ask(&fake, STR("POST /keyed-up HTTP/1.1\r\nHost: x\r\n"
                                      "Expect: 100-continue\r\nContent-Length: 4\r\n\r\n"), &arena);
    CHECK_INT(fake_status(keyless), 401);
    CHECK_INT(atomic_load(&fake.blocks), 1);
    fake_end(&fake);
}

TEST(http_streams)
{
    static const char *const paths[] = { "/stream", "/stream-loop" };
    Fake fake;
    Arena arena AUTO(arena_done) = { 0 };
    fake_start(&fake, NULL);
    for (size_t i = 0; i < 2; i++) {
        Str chunked = fake_ask(&fake, str_format(&arena, "GET %s HTTP/1.1\r\n" CLOSE "\r\n", paths[i]),
                               &arena);
        CHECK(has(chunked, "Transfer-Encoding: chunked"));
        CHECK(has(chunked, "X-Test: yes"));
        CHECK(!has(chunked, "Set-Cookie"));
        CHECK_STR(fake_body(chunked), STR("a\r\naaaaaaaaaa\r\na\r\nbbbbbbbbbb\r\na\r\ncccccccccc\r\n0\r\n\r\n"));
        Str old = fake_ask(&fake, str_format(&arena, "GET %s HTTP/1.0\r\n\r\n", paths[i]), &arena);
        CHECK_STR(fake_body(old), STR("aaaaaaaaaabbbbbbbbbbcccccccccc"));
        Str sized = fake_ask(&fake, str_format(&arena, "GET %s?length=30 HTTP/1.1\r\n" CLOSE "\r\n",
                                               paths[i]), &arena);
        CHECK(has(sized, "Content-Length: 30\r\n"));
        CHECK_STR(fake_body(sized), STR("aaaaaaaaaabbbbbbbbbbcccccccccc"));
        Str one = fake_ask(&fake, str_format(&arena, "GET %s?blocks=1 HTTP/1.1\r\n" CLOSE "\r\n",
                                             paths[i]), &arena);
        CHECK(has(one, "Content-Length: 10\r\n"));
        Str head = fake_ask(&fake, str_format(&arena, "HEAD %s HTTP/1.1\r\n" CLOSE "\r\n", paths[i]),
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
    Str early = fake_ask(&fake, STR("GET /stream?fail=0 HTTP/1.1\r\n" CLOSE "\r\n"), &arena);
    CHECK_INT(fake_status(early), 422);
    CHECK(has(early, "block 0 is damaged"));
    Str late = fake_ask(&fake, STR("GET /stream?fail=2 HTTP/1.1\r\n" CLOSE "\r\n"), &arena);
    CHECK(!str_ends(late, STR("0\r\n\r\n")));
    Str short_one = fake_ask(&fake, STR("GET /stream?length=31 HTTP/1.1\r\n" CLOSE "\r\n"), &arena);
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
    fake_say(fd, STR("GET /stream?blocks=200&size=100000 HTTP/1.1\r\n" CLOSE "\r\n"));
    int before = -1; /* stands still when the socket and the queue are full */
    for (int i = 0; i < 1000 && before != atomic_load(&fake.pulls); i++) {
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

static void wait_in_flight(const Fake *fake, uint64_t wanted)
{
    HttpServerStats stats = { .in_flight = wanted + 1 };
    while (stats.in_flight != wanted)
        http_server_stats(fake->server, &stats);
}

TEST(http_cancels_when_the_client_goes)
{
    Fake fake;
    fake_start(&fake, NULL);
    int fd = fake_connect(&fake);
    fake_say(fd, STR("GET /gate HTTP/1.1\r\nHost: x\r\n\r\n"));
    wait_in_flight(&fake, 1);
    net_close(&fd);
    wait_in_flight(&fake, 0); /* the handler waits for the cancel, or for ever */
    CHECK_INT(atomic_load(&fake.cancels), 1);
    fake_end(&fake);
}

TEST(http_time_over_gives_504)
{
    Fake fake;
    Arena arena AUTO(arena_done) = { 0 };
    fake_start(&fake, NULL);
    Str reply = fake_ask(&fake, STR("GET /gate-short HTTP/1.1\r\n" CLOSE "\r\n"), &arena);
    CHECK_INT(fake_status(reply), 504);
    CHECK(has(reply, "TIMEOUT"));
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
        Str reply = fake_ask(&fake, str_format(&arena, "GET /range HTTP/1.1\r\n" CLOSE "%s\r\n",
                                               rows[i].fields), &arena);
        CHECK_INT(fake_status(reply), rows[i].status);
        CHECK_STR(fake_body(reply), str_z(rows[i].body));
        CHECK(has(reply, rows[i].part));
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
        Str reply = fake_ask(&fake, str_format(&arena, "GET /accept HTTP/1.1\r\n" CLOSE "Accept: %s\r\n\r\n",
                                               rows[i].accept), &arena);
        CHECK_STR(fake_body(reply), str_z(rows[i].type));
    }
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
    wait_in_flight(&fake, 1);
    CHECK(!http_server_drain(fake.server, 0));
    CHECK_INT(fake_hear_all(idle, &arena).len, 0);
    net_close(&idle);
    Err err;
    CHECK_CODE(net_connect(&fake.address, 1000, &late, &err), E_UNAVAILABLE);
    atomic_store(&fake.gate, true);
    Str reply = fake_hear_all(busy, &arena);
    CHECK_INT(fake_status(reply), 200);
    CHECK(has(reply, "Connection: close"));
    net_close(&busy);
    CHECK(http_server_drain(fake.server, 20000));
    fake_end(&fake);
}
