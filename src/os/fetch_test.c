/* Covers fetch.c, fetch_try.c, fetch_url.c, fetch_rules.c: against a door of canned replies on the same loop.
 * Networks, TLS, proxies and time are in tests/fetch/. */
#include "os/fetch.h"

#include "base/test.h"

#include <stdatomic.h>
#include <string.h>

/* ---- the door: /ok, /echo, /heads, /flaky/N (503 before the Nth request), /cut, /silent, /big, /to/PATH (307),
 * /see/PATH (303), /away (to another port), /refused-size ---- */

typedef struct Door {
    Loops *loops;
    Fetcher *fetcher;
    NetAddress bound;
    char base[64];
    atomic_int requests;
    Err err;
} Door;

typedef struct DoorConn {
    LoopConn *conn;
    Door *door;
} DoorConn;

static void *door_opened(LoopConn *conn, void *context)
{
    DoorConn *c = mem_new(sizeof *c);
    *c = (DoorConn){ conn, context };
    return c;
}

static void say(DoorConn *c, const char *status, const char *head, Str body)
{
    Buf out AUTO(buf_done);
    buf_init(&out, 16 << 20);
    buf_format(&out, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n", status, body.len, head);
    buf_put(&out, body);
    loop_conn_send(c->conn, buf_str(&out));
}

static void answer(DoorConn *c, Str head, Str path, Str body)
{
    Arena tmp AUTO(arena_done) = { 0 };
    int number = atomic_fetch_add(&c->door->requests, 1) + 1;
    int64_t wanted = 0;
    if (str_eq(path, STR("/ok"))) {
        say(c, "200 OK", "X-Kind: good\r\n", STR("fine"));
    } else if (str_eq(path, STR("/echo"))) {
        say(c, "200 OK", "", body);
    } else if (str_eq(path, STR("/heads"))) {
        say(c, "200 OK", "", head);
    } else if (str_starts(path, STR("/flaky/")) && str_i64(str_from(path, 7), &wanted)) {
        if (number < wanted)
            say(c, "503 No", "", STR("not yet"));
        else
            say(c, "200 OK", "", STR("now"));
    } else if (str_eq(path, STR("/later"))) {
        say(c, number < 2 ? "429 Slow" : "200 OK", "Retry-After: 86400\r\n", STR("x"));
    } else if (str_eq(path, STR("/cut"))) {
        loop_conn_send(c->conn, STR("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"));
        loop_conn_close(c->conn);
    } else if (str_eq(path, STR("/big"))) {
        say(c, "200 OK", "", str_of(arena_alloc(&tmp, 1 << 20), 1 << 20));
    } else if (str_starts(path, STR("/to/"))) {
        Str to = str_format(&tmp, "Location: " STR_FMT "\r\n%c", STR_ARG(str_from(path, 3)), 0);
        say(c, "307 Over there", to.ptr, STR("moved"));
    } else if (str_starts(path, STR("/see/"))) {
        Str to = str_format(&tmp, "Location: " STR_FMT "\r\n%c", STR_ARG(str_from(path, 4)), 0);
        say(c, "303 See", to.ptr, STR("moved"));
    } else if (str_eq(path, STR("/away"))) {
        Str to = str_format(&tmp, "Location: http://localhost:%u/heads\r\n%c",
                            net_address_port(&c->door->bound), 0);
        say(c, "302 Away", to.ptr, STR(""));
    } else if (str_eq(path, STR("/file"))) {
        say(c, "302 Away", "Location: file:///etc/passwd\r\n", STR(""));
    } else if (!str_eq(path, STR("/silent"))) {
        say(c, "404 None", "", STR(""));
    }
}

static size_t door_bytes(void *state, Str bytes)
{
    DoorConn *c = state;
    ptrdiff_t end = str_find(bytes, STR("\r\n\r\n"));
    Str rest = bytes, line, path;
    uint64_t length = 0;
    if (end < 0)
        return 0;
    while (str_split(&rest, '\n', &line)) {
        if (str_istarts(line, STR("Content-Length:")))
            CHECK(str_u64(str_trim(str_from(line, 15)), &length));
    }
    if (bytes.len < (size_t)end + 4 + length)
        return 0;
    Str words = bytes;
    str_split(&words, ' ', &path);
    str_split(&words, ' ', &path);
    answer(c, str_sub(bytes, 0, (size_t)end + 4), path, str_sub(bytes, (size_t)end + 4, length));
    return (size_t)end + 4 + length;
}

static void door_ended(void *state, bool all_read)
{
    if (all_read)
        loop_conn_close(((DoorConn *)state)->conn);
}

static void door_closed(void *state)
{
    mem_free(&state);
}

static const LoopProtocol door_protocol = { .name = "door", .held_max = 32 << 20, .opened = door_opened,
                                            .bytes_in = door_bytes, .ended = door_ended, .closed = door_closed };

static void door_start(Door *door, const char *network)
{
    static Str networks[1];
    LoopOptions options = { .os = os_real(), .loops = 1 };
    LoopListen listen = { .protocol = &door_protocol, .context = door };
    networks[0] = str_z(network);
    CHECK_OK(net_address_parse(STR("127.0.0.1:0"), &listen.address, &door->err), &door->err);
    CHECK_OK(loops_start(&options, &door->loops, &door->err), &door->err);
    CHECK_OK(loops_listen(door->loops, &listen, &door->bound, &door->err), &door->err);
    FetcherOptions fetcher = { .os = os_real(), .loop = loops_at(door->loops, 0), .agent = "tarn/test",
                               .rules = { .networks = networks, .network_count = network ? 1 : 0 } };
    CHECK_OK(fetcher_new(&fetcher, &door->fetcher, &door->err), &door->err);
}

static void door_stop(Door *door)
{
    fetcher_free(&door->fetcher);
    loops_free(&door->loops);
}

static Code get_with(Door *door, FetchOptions options, const char *path, FetchReply *ret_reply)
{
    Arena tmp AUTO(arena_done) = { 0 };
    options.url = str_format(&tmp, "http://127.0.0.1:%u%s", net_address_port(&door->bound), path);
    options.retry_ms = 1;
    return fetch_wait(door->fetcher, &options, NULL, ret_reply, &door->err);
}

TEST(fetch_gets_and_posts)
{
    Door door AUTO(door_stop) = { 0 };
    FetchReply reply AUTO(fetch_reply_done) = { 0 };
    door_start(&door, NULL);
    CHECK_OK(get_with(&door, (FetchOptions){ 0 }, "/ok", &reply), &door.err);
    CHECK_INT(reply.status, 200);
    CHECK_STR(buf_str(&reply.body), STR("fine"));
    CHECK_STR(fetch_reply_header(&reply, "x-kind"), STR("good"));
    CHECK(!fetch_reply_header(&reply, "x-other").ptr);
    CHECK_INT(reply.tries, 1);
    CHECK_INT(reply.version, 11);
    fetch_reply_done(&reply);
    FetchOptions post = { .method = STR("POST"), .body = STR("hello") };
    CHECK_OK(get_with(&door, post, "/echo", &reply), &door.err);
    CHECK_STR(buf_str(&reply.body), STR("hello"));
    fetch_reply_done(&reply);
    FetchHeader headers[] = { { STR("X-A"), STR("1"), false }, { STR("Content-Type"), STR("text/x"), false },
                              { STR("X-Empty"), STR(""), false } };
    post = (FetchOptions){ .method = STR("PUT"), .body = STR("b"), .headers = headers, .header_count = 3 };
    CHECK_OK(get_with(&door, post, "/heads", &reply), &door.err);
    Str head = buf_str(&reply.body);
    static const char *const there[] = { "PUT /heads HTTP/1.1\r\n", "X-A: 1\r\n", "Content-Type: text/x\r\n",
                                         "X-Empty:\r\n", "User-Agent: tarn/test\r\n", "Content-Length: 1\r\n" };
    for (size_t i = 0; i < ARRAY_LEN(there); i++)
        CHECK(str_find(head, str_z(there[i])) >= 0);
    CHECK(str_find(head, STR("Expect")) < 0);
}

TEST(fetch_tries_again_what_may_be_sent_twice)
{
    static const FetchHeader key = { STR_INIT("Idempotency-Key"), STR_INIT("k1"), false };
    const struct {
        FetchOptions options;
        const char *path;
        int status;
        uint32_t tries;
    } rows[] = {
        { { .tries_max = 3 }, "/flaky/3", 200, 3 },
        { { .tries_max = 3 }, "/flaky/4", 503, 3 },
        { { .tries_max = 1 }, "/flaky/2", 503, 1 },
        { { .tries_max = 3, .method = STR("POST"), .body = STR("x") }, "/flaky/2", 503, 1 },
        { { .tries_max = 3, .method = STR("POST"), .headers = &key, .header_count = 1 }, "/flaky/2", 200, 2 },
        { { .tries_max = 3, .method = STR("DELETE") }, "/flaky/2", 200, 2 },
        { { .tries_max = 3 }, "/none", 404, 1 },
        { { .tries_max = 3 }, "/later", 429, 1 }, /* tomorrow is too late */
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Door door AUTO(door_stop) = { 0 };
        FetchReply reply AUTO(fetch_reply_done) = { 0 };
        door_start(&door, NULL);
        CHECK_OK(get_with(&door, rows[i].options, rows[i].path, &reply), &door.err);
        CHECK_INT(reply.status, rows[i].status);
        CHECK_INT(reply.tries, rows[i].tries);
        CHECK_INT(atomic_load(&door.requests), rows[i].tries);
    }
}

TEST(fetch_says_what_went_wrong)
{
    Door door AUTO(door_stop) = { 0 };
    FetchReply reply;
    door_start(&door, NULL);
    CHECK_CODE(get_with(&door, (FetchOptions){ 0 }, "/cut", &reply), E_UNAVAILABLE);
    CHECK(strstr(door.err.place, "/cut"));
    CHECK_INT(atomic_load(&door.requests), 1);
    CHECK_CODE(get_with(&door, (FetchOptions){ .tries_max = 2 }, "/cut", &reply), E_UNAVAILABLE);
    CHECK_INT(atomic_load(&door.requests), 3);
    CHECK_CODE(get_with(&door, (FetchOptions){ .reply_max = (1 << 20) - 1 }, "/big", &reply), E_LIMIT);
    CHECK_CODE(get_with(&door, (FetchOptions){ .total_ms = 50, .tries_max = 3 }, "/silent", &reply), E_TIMEOUT);
    FetchOptions nobody = { .url = STR("http://127.0.0.1:1/"), .tries_max = 2, .retry_ms = 1 };
    CHECK_CODE(fetch_wait(door.fetcher, &nobody, NULL, &reply, &door.err), E_UNAVAILABLE);
    CHECK_OK(get_with(&door, (FetchOptions){ .reply_max = 1 << 20 }, "/big", &reply), &door.err);
    CHECK_INT(reply.body.len, 1 << 20);
    fetch_reply_done(&reply);
}

TEST(fetch_refuses_what_is_no_request)
{
    Door door AUTO(door_stop) = { 0 };
    FetchReply reply;
    door_start(&door, NULL);
    static const char *const urls[] = { "", "ok", "/ok", "file:///etc/passwd", "ftp://x/", "gopher://127.0.0.1/_x",
                                        "http://", "http://u:p@127.0.0.1/", "http://u@127.0.0.1/", "http://a b/",
                                        "http://a\r\nb/", "javascript:1", "http://[::1", "http://x:99999/" };
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        FetchOptions options = { .url = str_z(urls[i]) };
        CHECK_CODE(fetch_wait(door.fetcher, &options, NULL, &reply, &door.err), E_INVALID);
    }
    static const FetchHeader bad[] = { { STR_INIT("A b"), STR_INIT("1"), false },
                                       { STR_INIT("A"), STR_INIT("1\r\nB: 2"), false },
                                       { STR_INIT(""), STR_INIT("1"), false },
                                       { STR_INIT("A:"), STR_INIT("1"), false },
                                       { STR_INIT("Content-Length"), STR_INIT("1"), false },
                                       { STR_INIT("transfer-encoding"), STR_INIT("chunked"), false } };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        CHECK_CODE(get_with(&door, (FetchOptions){ .headers = &bad[i], .header_count = 1 }, "/ok", &reply),
                   E_INVALID);
    CHECK_CODE(get_with(&door, (FetchOptions){ .method = STR("get") }, "/ok", &reply), E_INVALID);
    CHECK_CODE(get_with(&door, (FetchOptions){ .method = STR("GET /x") }, "/ok", &reply), E_INVALID);
    CHECK_INT(atomic_load(&door.requests), 0);
}

TEST(fetch_follows_redirects_without_secrets)
{
    static const FetchHeader headers[] = { { STR_INIT("Authorization"), STR_INIT("Bearer s"), false },
                                           { STR_INIT("X-Key"), STR_INIT("s"), true },
                                           { STR_INIT("X-Open"), STR_INIT("o"), false } };
    FetchOptions options = { .headers = headers, .header_count = 3 };
    Door door AUTO(door_stop) = { 0 };
    FetchReply reply AUTO(fetch_reply_done) = { 0 };
    door_start(&door, NULL);
    CHECK_OK(get_with(&door, options, "/to/heads", &reply), &door.err);
    CHECK_INT(reply.status, 307); /* not followed unless asked */
    fetch_reply_done(&reply);
    options.redirects_max = 2;
    CHECK_OK(get_with(&door, options, "/to/heads", &reply), &door.err);
    CHECK(str_find(buf_str(&reply.body), STR("Bearer s")) >= 0); /* the same place */
    CHECK_INT(reply.redirects, 1);
    fetch_reply_done(&reply);
    CHECK_OK(get_with(&door, options, "/away", &reply), &door.err);
    CHECK(str_find(buf_str(&reply.body), STR("X-Open: o")) >= 0);
    CHECK(str_find(buf_str(&reply.body), STR("Bearer")) < 0);
    CHECK(str_find(buf_str(&reply.body), STR("X-Key")) < 0);
    fetch_reply_done(&reply);
    CHECK_CODE(get_with(&door, options, "/to/to/to/ok", &reply), E_LIMIT);
    CHECK_CODE(get_with(&door, options, "/file", &reply), E_INVALID);
    options.method = STR("POST");
    options.body = STR("once");
    CHECK_OK(get_with(&door, options, "/to/echo", &reply), &door.err);
    CHECK_STR(buf_str(&reply.body), STR("once"));
    fetch_reply_done(&reply);
    CHECK_OK(get_with(&door, options, "/see/heads", &reply), &door.err);
    CHECK(str_starts(buf_str(&reply.body), STR("GET /heads")));
}

/* ---- what a user may reach ---- */

TEST(fetch_of_a_user_stays_outside)
{
    Door door AUTO(door_stop) = { 0 };
    Door opened AUTO(door_stop) = { 0 };
    FetchReply reply AUTO(fetch_reply_done) = { 0 };
    door_start(&door, NULL);
    FetchOptions user = { .from_user = true, .tries_max = 3, .redirects_max = 3 };
    CHECK_CODE(get_with(&door, user, "/ok", &reply), E_FORBIDDEN);
    /* a connection that is open already is no way in */
    CHECK_OK(get_with(&door, (FetchOptions){ 0 }, "/ok", &reply), &door.err);
    fetch_reply_done(&reply);
    CHECK_CODE(get_with(&door, user, "/ok", &reply), E_FORBIDDEN);
    CHECK_INT(atomic_load(&door.requests), 1);
    static const char *const hosts[] = { "localhost", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "0.0.0.0", "0",
                                         "[::1]", "[::]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "localhost.",
                                         "127.0.0.1.", "10.0.0.1", "169.254.169.254", "[fd00::1]", "[fe80::1]" };
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        Arena tmp AUTO(arena_done) = { 0 };
        user.url = str_format(&tmp, "http://%s:%u/ok", hosts[i], net_address_port(&door.bound));
        Code code = fetch_wait(door.fetcher, &user, NULL, &reply, &door.err);
        if (code != E_FORBIDDEN && code != E_INVALID && code != E_UNAVAILABLE)
            test_failed(__FILE__, __LINE__, "%s gave %s", hosts[i], code_info(code)->name);
    }
    CHECK_INT(atomic_load(&door.requests), 1);
    door_start(&opened, "127.0.0.0/8");
    CHECK_OK(get_with(&opened, user, "/ok", &reply), &opened.err);
    CHECK_INT(reply.status, 200);
}

TEST(fetch_rules_of_addresses)
{
    static const struct {
        const char *address;
        bool open;
    } rows[] = {
        { "93.184.216.34:80", true }, { "8.8.8.8:1", true }, { "1.1.1.1:1", true }, { "172.15.0.1:1", true },
        { "172.32.0.1:1", true }, { "100.63.255.255:1", true }, { "100.128.0.0:1", true }, { "198.17.0.1:1", true },
        { "192.167.1.1:1", true }, { "223.255.255.255:1", true }, { "[2606:4700::1]:1", true }, { "[2a00::1]:1", true },
        { "0.0.0.0:80", false }, { "0.1.2.3:80", false }, { "10.255.255.255:1", false }, { "100.64.0.1:1", false },
        { "100.127.255.255:1", false }, { "127.0.0.1:1", false }, { "127.255.0.1:1", false }, { "169.254.169.254:80", false },
        { "172.16.0.1:1", false }, { "172.31.255.255:1", false }, { "192.168.0.1:1", false }, { "192.0.0.8:1", false },
        { "198.18.0.1:1", false }, { "198.19.255.255:1", false }, { "224.0.0.1:1", false }, { "240.0.0.1:1", false },
        { "255.255.255.255:1", false }, { "[::]:1", false }, { "[::1]:1", false }, { "[::ffff:10.0.0.1]:1", false },
        { "[::ffff:169.254.169.254]:1", false }, { "[::ffff:8.8.8.8]:1", true }, { "[::127.0.0.1]:1", false },
        { "[64:ff9b::a00:1]:1", false }, { "[64:ff9b::808:808]:1", true }, { "[64:ff9b:1::808:808]:1", false },
        { "[fe80::1]:1", false }, { "[fec0::1]:1", false }, { "[fc00::1]:1", false }, { "[fdff::1]:1", false },
        { "[ff02::1]:1", false }, { "[2002:7f00:1::]:1", false }, { "[2001::1]:1", false }, { "[2001:db8::1]:1", false },
        { "[2001:4860::1]:1", true }, { "[3fff::1]:1", false }, { "[4000::1]:1", false }, { "10.1.2.3:1", true },
        { "[::ffff:10.1.2.3]:1", true }, { "10.2.0.1:1", false }, { "[fd12:3456::1]:1", true },
    };
    static const Str networks[] = { STR_INIT("10.1.0.0/16"), STR_INIT("fd12:3456::/32") };
    FetchRules rules = { .networks = networks, .network_count = 2 };
    FetchRulesTable *table = NULL;
    Err err;
    CHECK_OK(fetch_rules_new(&rules, &table, &err), &err);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        NetAddress address;
        CHECK_OK(net_address_parse(str_z(rows[i].address), &address, &err), &err);
        if (fetch_rules_address(table, &address) != rows[i].open)
            test_failed(__FILE__, __LINE__, "%s is %s", rows[i].address, rows[i].open ? "kept away" : "open");
    }
    fetch_rules_free(&table);
    static const char *const bad[] = { "", "10.0.0.0/33", "10.0.0/8", "x", "::/129", "10.0.0.1/-1", "10.0.0.1/" };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        Str one = str_z(bad[i]);
        FetchRules wrong = { .networks = &one, .network_count = 1 };
        CHECK_CODE(fetch_rules_new(&wrong, &table, &err), E_INVALID);
    }
}

TEST(fetch_rules_of_hosts)
{
    static const Str hosts[] = { STR_INIT("api.example.org"), STR_INIT("*.data.example") };
    static const struct {
        const char *host;
        bool open;
    } rows[] = { { "api.example.org", true }, { "API.EXAMPLE.ORG.", true }, { "x.api.example.org", false },
                 { "example.org", false }, { "a.data.example", true }, { "a.b.DATA.example", true },
                 { "data.example", false }, { "evildata.example", false }, { "", false } };
    FetchRules rules = { .hosts = hosts, .host_count = 2 };
    FetchRulesTable *table = NULL;
    Err err;
    CHECK_OK(fetch_rules_new(&rules, &table, &err), &err);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        CHECK_INT(fetch_rules_host(table, str_z(rows[i].host)), rows[i].open);
    fetch_rules_free(&table);
}

/* ---- streams ---- */

typedef struct Stream {
    Door *door;
    uint64_t bytes;
    uint64_t stop_at;   /* an error */
    bool rests, cancels;
    LoopPost post; /* goes on */
    Fetch *fetch;
    int status;
    bool cancel;
    size_t pulled;
} Stream;

static void stream_go_on(LoopPost *post)
{
    Stream *stream = (Stream *)((char *)post - offsetof(Stream, post));
    fetch_rest(stream->fetch, false);
}

static void stream_head(void *self, Fetch *fetch, const FetchReply *reply)
{
    Stream *stream = self;
    (void)fetch;
    stream->status = reply->status;
}

static Code stream_bytes(void *self, Fetch *fetch, Str bytes, Err *err)
{
    Stream *stream = self;
    stream->bytes += bytes.len;
    if (stream->stop_at && stream->bytes >= stream->stop_at)
        return err_set(err, E_NO_SPACE, "enough");
    if (stream->cancels)
        __atomic_store_n(&stream->cancel, true, __ATOMIC_RELEASE);
    if (stream->rests) {
        fetch_rest(fetch, true);
        stream->fetch = fetch;
        stream->post.run = stream_go_on;
        loop_post(loops_at(stream->door->loops, 0), &stream->post);
    }
    return E_OK;
}

static const FetchHandler stream_handler = { stream_head, stream_bytes, NULL };

TEST(fetch_streams_rests_and_ends_early)
{
    Door door AUTO(door_stop) = { 0 };
    FetchReply reply AUTO(fetch_reply_done) = { 0 };
    door_start(&door, NULL);
    Stream stream = { .door = &door, .rests = true };
    FetchOptions options = { .handler = &stream_handler, .self = &stream };
    CHECK_OK(get_with(&door, options, "/big", &reply), &door.err);
    CHECK_INT(stream.bytes, 1 << 20);
    CHECK_INT(stream.status, 200);
    CHECK_INT(reply.body.len, 0);
    fetch_reply_done(&reply);
    stream = (Stream){ .door = &door, .stop_at = 1000 };
    CHECK_CODE(get_with(&door, options, "/big", &reply), E_NO_SPACE);
    stream = (Stream){ .door = &door };
    options.tries_max = 3;
    CHECK_CODE(get_with(&door, options, "/cut", &reply), E_UNAVAILABLE); /* what was given is not given twice */
    CHECK_INT(stream.bytes, 4);
    CHECK_OK(get_with(&door, options, "/flaky/6", &reply), &door.err);
    CHECK_INT(stream.bytes, 7); /* "now", and nothing of the replies before it */
}

TEST(fetch_is_cancelled)
{
    Door door AUTO(door_stop) = { 0 };
    FetchReply reply;
    Arena tmp AUTO(arena_done) = { 0 };
    door_start(&door, NULL);
    bool cancel = true;
    FetchOptions options = { .url = str_format(&tmp, "http://127.0.0.1:%u/silent", net_address_port(&door.bound)) };
    CHECK_CODE(fetch_wait(door.fetcher, &options, &cancel, &reply, &door.err), E_CANCELLED);
    Stream stream = { .door = &door, .cancels = true };
    options.url = str_format(&tmp, "http://127.0.0.1:%u/cut", net_address_port(&door.bound));
    options.handler = &stream_handler;
    options.self = &stream;
    Code code = fetch_wait(door.fetcher, &options, &stream.cancel, &reply, &door.err);
    CHECK(code == E_CANCELLED || code == E_UNAVAILABLE);
}

static FetchMore pull_body(void *arg, void *bytes, size_t cap, size_t *ret_len)
{
    Stream *stream = arg;
    size_t len = MIN(cap, (300000 - stream->pulled));
    memset(bytes, 'p', len);
    stream->pulled += len;
    *ret_len = len;
    return len ? FETCH_MORE : FETCH_END;
}

TEST(fetch_sends_a_body_piece_by_piece)
{
    Door door AUTO(door_stop) = { 0 };
    FetchReply reply AUTO(fetch_reply_done) = { 0 };
    door_start(&door, NULL);
    Stream stream = { 0 };
    FetchOptions options = { .method = STR("PUT"), .body_pull = pull_body, .body_arg = &stream, .body_bytes = 300000 };
    CHECK_OK(get_with(&door, options, "/echo", &reply), &door.err);
    CHECK_INT(reply.body.len, 300000);
    fetch_reply_done(&reply);
    stream = (Stream){ 0 };
    options.tries_max = 3;
    options.redirects_max = 1;
    CHECK_OK(get_with(&door, options, "/flaky/9", &reply), &door.err); /* it cannot be sent twice */
    CHECK_INT(reply.status, 503);
    fetch_reply_done(&reply);
    stream = (Stream){ 0 };
    CHECK_CODE(get_with(&door, options, "/to/echo", &reply), E_UNSUPPORTED);
}

typedef struct Ended {
    LoopPost post; /* first */
    Door *door;
    Str url;
    atomic_int started, cancelled;
} Ended;

static void ended_done(void *self, FetchReply *reply, Code code, const Err *err)
{
    Ended *ended = self;
    (void)err;
    CHECK(!reply);
    atomic_fetch_add(&ended->cancelled, code == E_CANCELLED);
}

static void ended_start(LoopPost *post)
{
    static const FetchHandler handler = { .done = ended_done };
    Ended *ended = (Ended *)post;
    Fetch *fetch;
    Err err;
    FetchOptions options = { .url = ended->url, .handler = &handler, .self = ended };
    for (int i = 0; i < FETCH_AT_ONCE_MAX; i++)
        CHECK_OK(fetch_start(ended->door->fetcher, &options, &fetch, &err), &err);
    CHECK_CODE(fetch_start(ended->door->fetcher, &options, &fetch, &err), E_UNAVAILABLE);
    fetch_cancel(fetch); /* the last one that was started: without `done` */
    atomic_store(&ended->started, 1);
}

TEST(fetcher_free_ends_what_runs)
{
    Door door = { 0 };
    Arena tmp AUTO(arena_done) = { 0 };
    door_start(&door, NULL);
    Ended ended = { .post.run = ended_start, .door = &door,
                    .url = str_format(&tmp, "http://127.0.0.1:%u/silent", net_address_port(&door.bound)) };
    loop_post(loops_at(door.loops, 0), &ended.post);
    door_stop(&door); /* behind the post */
    CHECK_INT(atomic_load(&ended.started), 1);
    CHECK_INT(atomic_load(&ended.cancelled), FETCH_AT_ONCE_MAX - 1);
}
