/* Covers http_body.c, http_send.c, http_run.c through a wire of its own that writes down what it is
 * told: no socket, the order of calls is what counts. */
#include "front/http/http_priv.h"

#include "base/test.h"

#include <string.h>

/* What the wire was told, as words; the queue's length is the test's to say. */
typedef struct Tape {
    Mutex mutex; /* guards what follows */
    Cond changed;
    Buf words;
    size_t queued;
    int gates;          /* so many blocks may be worked on */
    int blocks, frees;
    uint64_t block_bytes;
    /* the loop's alone */
    HttpConn conn;
    HttpReq *r;
    size_t took;
} Tape;

static void tape_say(Tape *tape, const char *format, uint64_t number)
{
    MUTEX_HELD(&tape->mutex);
    buf_format(&tape->words, format, (unsigned long long)number);
    cond_broadcast(&tape->changed);
}

static void tape_await(Tape *tape, const char *words)
{
    MUTEX_HELD(&tape->mutex);
    for (int i = 0; i < 200 && str_find(buf_str(&tape->words), str_z(words)) < 0; i++)
        IGNORE(cond_wait_us(&tape->changed, &tape->mutex, 100 * 1000)); /* looked at again */
    if (str_find(buf_str(&tape->words), str_z(words)) < 0)
        test_failed(__FILE__, __LINE__, "'%s' never came, only '" STR_FMT "'", words,
                    STR_ARG(buf_str(&tape->words)));
}

static void tape_check(Tape *tape, const char *words)
{
    MUTEX_HELD(&tape->mutex);
    CHECK_STR(buf_str(&tape->words), str_z(words));
    buf_clear(&tape->words);
}

static Tape *tape_of(const HttpReq *r)
{
    return r->link;
}

/* ---- the wire ---- */

static void wire_rest(HttpReq *r, bool resting)
{
    tape_say(tape_of(r), "rest%llu ", resting);
}

static void wire_proceed(HttpReq *r)
{
    tape_say(tape_of(r), "proceed ", 0);
}

static void wire_head(HttpReq *r, int64_t length, bool ends)
{
    tape_say(tape_of(r), "head%llu", (uint64_t)r->status);
    tape_say(tape_of(r), ends ? "/%lld. " : "/%lld ", (uint64_t)length);
}

static void wire_body(HttpReq *r, Buf *take_bytes)
{
    tape_say(tape_of(r), "body%llu ", take_bytes->len);
    buf_clear(take_bytes);
}

static void wire_end(HttpReq *r)
{
    tape_say(tape_of(r), "end%llu ", r->reply_trailer_count);
}

static size_t wire_queued(const HttpReq *r)
{
    Tape *tape = tape_of(r);
    MUTEX_HELD(&tape->mutex);
    return tape->queued;
}

static void wire_cut(HttpReq *r)
{
    tape_say(tape_of(r), "cut ", 0);
}

static void wire_over(HttpReq *r)
{
    tape_of(r)->r = NULL;
    tape_say(tape_of(r), "over ", 0);
}

static const HttpWire wire = {
    .name = "tape",
    .rest = wire_rest,
    .proceed = wire_proceed,
    .head = wire_head,
    .body = wire_body,
    .end = wire_end,
    .queued = wire_queued,
    .cut = wire_cut,
    .over = wire_over,
};

/* ---- handlers ---- */

static void up_body(HttpReq *r, Str block)
{
    Tape *tape = http_req_context(r);
    MUTEX_HELD(&tape->mutex);
    while (tape->gates == 0)
        cond_wait(&tape->changed, &tape->mutex);
    tape->gates--;
    tape->blocks++;
    tape->block_bytes += block.len;
}

static void up_end(HttpReq *r)
{
    http_reply_trailer(r, "X-Sum", STR("1"));
    http_reply(r, 201, NULL, http_req_trailer(r, "X-A"));
}

static void up_free(HttpReq *r)
{
    tape_say(http_req_context(r), "free ", 0);
}

static void small_end(HttpReq *r)
{
    http_reply(r, 200, "text/plain", http_req_body(r));
}

static Code big_pull(void *self, Buf *out, HttpPullState *ret_state, Err *err)
{
    Tape *tape = self;
    (void)err;
    buf_put_zeros(out, 100 << 10);
    MUTEX_HELD(&tape->mutex);
    tape->queued += 100 << 10;
    *ret_state = ++tape->blocks == 20 ? HTTP_PULL_END : HTTP_PULL_MORE;
    return E_OK;
}

static void big_end(HttpReq *r)
{
    static const HttpPull pull = { big_pull, NULL };
    http_reply_stream(r, 200, "text/plain", -1, &pull, http_req_context(r));
}

static const HttpRoute routes[] = {
    { "POST", "/up", "up", .lane = HTTP_ON_IO_WORKER, .body_max = 3 << 20, .on_body = up_body,
      .on_end = up_end, .on_free = up_free },
    { "POST", "/small", "small", .body_max = 100 << 10, .on_end = small_end },
    { "GET", "/big", "big", .on_end = big_end },
    { "GET", "/a/b/{x}/c", "deep", .on_end = small_end },
    { "GET", "/{any}", "any", .on_end = small_end },
};

/* ---- the frame: what a test says runs on the loop ---- */

typedef struct Say {
    LoopPost post;
    Tape *tape;
    void (*run)(Tape *tape, Str bytes);
    Str bytes;
    bool done;
} Say;

static void say_run(LoopPost *post)
{
    Say *say = (Say *)post;
    say->run(say->tape, say->bytes);
    MUTEX_HELD(&say->tape->mutex);
    say->done = true;
    cond_broadcast(&say->tape->changed);
}

static void on_loop(Tape *tape, void (*run)(Tape *tape, Str bytes), Str bytes)
{
    Say say = { { NULL, say_run }, tape, run, bytes, false };
    loop_post(tape->conn.room->loop, &say.post);
    MUTEX_HELD(&tape->mutex);
    while (!say.done)
        cond_wait(&tape->changed, &tape->mutex);
}

static void ask(Tape *tape, Str bytes)
{
    size_t used = 0;
    HttpRefusal refusal;
    HttpReq *r = req_new(&tape->conn, &wire, tape);
    char *copy = arena_copy(&r->arena, bytes.ptr, bytes.len);
    CHECK_INT(http_head_parse(str_of(copy, bytes.len), &r->head, &used, &refusal), HTTP_DONE);
    r->has_body = r->head.chunked || r->head.content_length > 0;
    tape->r = r;
    req_begin(r);
}

static void body_in(Tape *tape, Str bytes)
{
    tape->took = tape->r ? req_body_in(tape->r, bytes) : 0;
    tape_say(tape, "took%llu ", tape->took);
}

static void body_end(Tape *tape, Str trailers)
{
    req_body_end(tape->r, trailers);
}

static void refuse(Tape *tape, Str text)
{
    req_refuse(tape->r, 400, E_INVALID, text.ptr);
}

static void gone(Tape *tape, Str none)
{
    (void)none;
    req_gone(tape->r);
}

static void writable(Tape *tape, Str none)
{
    (void)none;
    if (tape->r)
        req_writable(tape->r);
}

static void gate_open(Tape *tape, int count)
{
    MUTEX_HELD(&tape->mutex);
    tape->gates += count;
    cond_broadcast(&tape->changed);
}

static void queue_set(Tape *tape, size_t bytes)
{
    MUTEX_HELD(&tape->mutex);
    tape->queued = bytes;
}

static void tape_start(Tape *tape, HttpServer **ret_server, const HttpPolicy *policy)
{
    Err err;
    *tape = (Tape){ .queued = 0 };
    mutex_init(&tape->mutex);
    cond_init(&tape->changed);
    buf_init(&tape->words, 1 << 20);
    HttpOptions options = { .os = os_real(), .routes = routes, .route_count = ARRAY_LEN(routes),
                            .context = tape, .loops = 1, .io_workers = 1, .query_workers = 1,
                            .policy = policy };
    CHECK_OK(http_server_start(&options, ret_server, &err), &err);
    tape->conn.room = &(*ret_server)->rooms[0];
}

static void tape_end(Tape *tape, HttpServer **server)
{
    HttpServerStats stats = { .in_flight = 1 };
    int64_t end_us = os_monotonic_us(os_real()) + 20000000;
    while (stats.in_flight > 0 && os_monotonic_us(os_real()) < end_us)
        http_server_stats(*server, &stats);
    CHECK_INT(stats.in_flight, 0);
    http_server_free(server);
    buf_done(&tape->words);
    cond_done(&tape->changed);
    mutex_done(&tape->mutex);
}

static const char block[2 << 20]; /* zeros */
#define PUT_HEAD(length) STR("POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: " #length "\r\n\r\n")

/* ---- cases ---- */

TEST(wire_blocks_are_read_ahead)
{
    Tape tape;
    HttpServer *server = NULL;
    tape_start(&tape, &server, NULL);
    on_loop(&tape, ask, PUT_HEAD(2500000));
    tape_await(&tape, "rest0 ");
    tape_check(&tape, "rest1 rest0 ");
    on_loop(&tape, body_in, str_of(block, sizeof block)); /* one block, which the worker gets */
    tape_check(&tape, "rest0 took1048576 ");
    on_loop(&tape, body_in, str_of(block, 1000)); /* ahead */
    on_loop(&tape, body_in, str_of(block, sizeof block));
    on_loop(&tape, body_in, str_of(block, 10)); /* no room */
    tape_check(&tape, "took1000 rest1 took1047576 took0 ");
    gate_open(&tape, 1);
    tape_await(&tape, "rest0 ");
    tape_await(&tape, "rest0 rest0 ");
    on_loop(&tape, body_in, str_of(block, 2500000 - (2 << 20)));
    on_loop(&tape, body_end, STR("X-A: t\r\n"));
    tape_check(&tape, "rest0 rest0 took402848 rest1 ");
    gate_open(&tape, 2);
    tape_await(&tape, "free ");
    tape_check(&tape, "rest1 head201/1 body1 end1 over free ");
    CHECK_INT(tape.blocks, 3);
    CHECK_INT(tape.block_bytes, 2500000);
    tape_end(&tape, &server);
}

TEST(wire_refusals_wait_for_the_worker)
{
    Tape tape;
    HttpServer *server = NULL;
    tape_start(&tape, &server, NULL);
    on_loop(&tape, ask, STR("POST /up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"));
    tape_await(&tape, "rest0 ");
    on_loop(&tape, body_in, str_of(block, 1 << 20));
    tape_check(&tape, "rest1 rest0 rest0 took1048576 ");
    on_loop(&tape, refuse, STR("a bad chunk"));
    on_loop(&tape, body_in, str_of(block, 10)); /* nothing more is taken */
    tape_check(&tape, "rest1 took0 ");
    gate_open(&tape, 1);
    tape_await(&tape, "free ");
    CHECK(str_starts(buf_str(&tape.words), STR("head400/")));
    CHECK(str_ends(buf_str(&tape.words), STR("end0 over free ")));
    tape_end(&tape, &server);
}

TEST(wire_bodies_over_the_limit)
{
    Tape tape;
    HttpServer *server = NULL;
    tape_start(&tape, &server, NULL);
    on_loop(&tape, ask, STR("POST /small HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"));
    on_loop(&tape, body_in, str_of(block, 100 << 10));
    tape_check(&tape, "rest0 took102400 ");
    on_loop(&tape, body_in, str_of(block, 1));
    tape_await(&tape, "head413/");
    tape_await(&tape, "over took1 ");
    tape_end(&tape, &server);
}

TEST(wire_a_client_that_goes_while_a_worker_has_its_block)
{
    Tape tape;
    HttpServer *server = NULL;
    tape_start(&tape, &server, NULL);
    on_loop(&tape, ask, PUT_HEAD(2500000));
    tape_await(&tape, "rest0 ");
    on_loop(&tape, body_in, str_of(block, 1 << 20));
    on_loop(&tape, gone, STR_NONE);
    tape_check(&tape, "rest1 rest0 rest0 took1048576 ");
    gate_open(&tape, 1);
    tape_await(&tape, "free ");
    tape_check(&tape, "over free ");
    tape_end(&tape, &server);
}

TEST(wire_a_stream_waits_for_room_and_ends_when_it_has_left)
{
    Tape tape;
    HttpServer *server = NULL;
    tape_start(&tape, &server, NULL);
    on_loop(&tape, ask, STR("GET /big HTTP/1.1\r\nHost: x\r\n\r\n"));
    CHECK_INT(tape.blocks, 1); /* more than AHEAD_BYTES_MIN */
    tape_await(&tape, "rest1 head200/-1 body102400 ");
    on_loop(&tape, writable, STR_NONE); /* no room was made */
    CHECK_INT(tape.blocks, 1);
    for (int i = 2; i <= 20; i++) {
        queue_set(&tape, 60 << 10);
        on_loop(&tape, writable, STR_NONE);
        CHECK_INT(tape.blocks, i);
    }
    tape_await(&tape, "body102400 end0 ");
    CHECK(tape.r != NULL); /* in flight while it is queued */
    queue_set(&tape, 65 << 10);
    on_loop(&tape, writable, STR_NONE);
    CHECK(tape.r != NULL);
    queue_set(&tape, 64 << 10);
    on_loop(&tape, writable, STR_NONE);
    tape_await(&tape, "end0 rest1 over ");
    tape_end(&tape, &server);
}

TEST(wire_a_client_that_goes_while_its_reply_is_queued)
{
    Tape tape;
    HttpServer *server = NULL;
    tape_start(&tape, &server, NULL);
    on_loop(&tape, ask, STR("GET /big HTTP/1.1\r\nHost: x\r\n\r\n"));
    on_loop(&tape, gone, STR_NONE);
    tape_await(&tape, "over ");
    CHECK_INT(tape.blocks, 1);
    tape_end(&tape, &server);
}

TEST(wire_a_small_budget_makes_small_blocks_and_refuses_streams)
{
    enum { BUDGET = 99 << 10 };
    HttpPolicy policy = { .limits = { .bytes_max = BUDGET }, .log_format = HTTP_LOG_NONE };
    Tape tape;
    HttpServer *server = NULL;
    tape_start(&tape, &server, &policy);
    gate_open(&tape, 1000);
    on_loop(&tape, ask, PUT_HEAD(200000));
    tape_await(&tape, "rest0 ");
    for (size_t left = 200000; left > 0;) { /* while the worker has both there is no room */
        on_loop(&tape, body_in, str_of(block, left));
        CHECK(tape.took <= BUDGET);
        left -= tape.took;
    }
    on_loop(&tape, body_end, STR_NONE);
    tape_await(&tape, "free ");
    CHECK_INT(tape.block_bytes, 200000);
    CHECK(tape.blocks >= 2);
    on_loop(&tape, ask, STR("GET /big HTTP/1.1\r\nHost: x\r\n\r\n"));
    tape_await(&tape, "head503/");
    queue_set(&tape, 0); /* the block that was pulled before is dropped */
    on_loop(&tape, writable, STR_NONE);
    CHECK_INT(limits_bytes_left(policy_limits(server->policy)), BUDGET);
    tape_end(&tape, &server);
}

TEST(wire_a_stream_is_charged_with_what_is_queued_and_goes_on_without_budget)
{
    enum { BUDGET = 300 << 10 };
    HttpPolicy policy = { .limits = { .bytes_max = BUDGET }, .log_format = HTTP_LOG_NONE };
    Tape tape;
    HttpServer *server = NULL;
    tape_start(&tape, &server, &policy);
    Limits *limits = policy_limits(server->policy);
    on_loop(&tape, ask, STR("GET /big HTTP/1.1\r\nHost: x\r\n\r\n"));
    CHECK_INT(limits_bytes_left(limits), BUDGET - (100 << 10));
    queue_set(&tape, 60 << 10); /* with another block of HTTP_PULL_BYTES it would be too much */
    on_loop(&tape, writable, STR_NONE);
    CHECK_INT(tape.blocks, 1);
    CHECK_INT(limits_bytes_left(limits), BUDGET - (60 << 10));
    queue_set(&tape, 40 << 10);
    on_loop(&tape, writable, STR_NONE);
    CHECK_INT(tape.blocks, 2);
    CHECK_INT(limits_bytes_left(limits), BUDGET - (140 << 10));
    CHECK(limits_bytes_take(limits, NULL, limits_bytes_left(limits))); /* somebody else has the rest */
    for (int i = 3; i <= 20; i++) {
        queue_set(&tape, 1);
        on_loop(&tape, writable, STR_NONE);
        CHECK_INT(tape.blocks, i - 1);
        queue_set(&tape, 0);
        on_loop(&tape, writable, STR_NONE);
        CHECK_INT(tape.blocks, i);
    }
    queue_set(&tape, 0);
    on_loop(&tape, writable, STR_NONE);
    tape_await(&tape, "end0 rest1 over ");
    limits_bytes_give(limits, NULL, BUDGET - (140 << 10));
    CHECK_INT(limits_bytes_left(limits), BUDGET);
    tape_end(&tape, &server);
}

TEST(wire_routes_are_found_by_their_first_segments)
{
    static const struct {
        const char *path, *name;
    } rows[] = {
        { "/up", "any" }, { "/a/b/1/c", "deep" }, { "/a/b/1/d", NULL }, { "/a/c/1/c", NULL },
        { "/other", "any" }, { "/", NULL }, { "/big/", NULL }, { "/a/b//c", NULL },
    };
    Tape tape;
    HttpServer *server = NULL;
    tape_start(&tape, &server, NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        on_loop(&tape, ask, str_format(&arena, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", rows[i].path));
        tape_await(&tape, "over ");
        MUTEX_HELD(&tape.mutex);
        bool found = str_starts(buf_str(&tape.words), STR("head200"));
        if (found != (rows[i].name != NULL))
            test_failed(__FILE__, __LINE__, "%s: " STR_FMT, rows[i].path, STR_ARG(buf_str(&tape.words)));
        buf_clear(&tape.words);
    }
    tape_end(&tape, &server);
}
