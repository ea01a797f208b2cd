/* The server with made-up handlers, and the raw client: http_fake.h. */
#include "front/http/http_fake.h"

#include <pthread.h>
#include <stdlib.h>
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

bool fake_has(Str reply, const char *text)
{
    return str_find(reply, str_z(text)) >= 0;
}

void fake_await_in_flight(const Fake *fake, uint64_t wanted)
{
    HttpServerStats stats = { .in_flight = wanted + 1 };
    while (stats.in_flight != wanted)
        http_server_stats(fake->server, &stats);
}
