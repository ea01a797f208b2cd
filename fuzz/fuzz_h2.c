/* HTTP/2: bytes into a session of a real server on loopback, over a table of routes of every kind. What
 * comes back are whole frames, SETTINGS first, none longer than 16,384; the server closes in time, and
 * nothing of a request is left behind. The first byte chooses whether the preface stands before the
 * input, and where it is cut in two. */
#include "base/buf.h"
#include "front/http/http_duplex.h"
#include "front/http/http_server.h"
#include "os/net.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { REPLY_BYTES_MAX = 64 << 20, STREAM_BYTES = 300000, WAIT_MS = 20000, ADDRESSES = 250 };
#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" "\0\0\0\4\0\0\0\0\0"

/* ---- routes ---- */

static void fixed_end(HttpReq *r)
{
    http_reply_trailer(r, "X-Checked", STR("1"));
    http_reply(r, 200, "text/plain", STR("fixed"));
}

static void echo_end(HttpReq *r)
{
    http_reply(r, 200, NULL, http_req_body(r));
}

static Code bytes_pull(void *self, Buf *out, HttpPullState *ret_state, Err *err)
{
    size_t *left = self, part = MIN(*left, (size_t)100000);
    (void)err;
    buf_put_zeros(out, part);
    *left -= part;
    *ret_state = *left > 0 ? HTTP_PULL_MORE : HTTP_PULL_END;
    return E_OK;
}

static void bytes_end(HttpReq *r)
{
    static const HttpPull pull = { bytes_pull, NULL };
    size_t *left = arena_alloc(http_req_arena(r), sizeof *left);
    *left = STREAM_BYTES;
    http_reply_stream(r, 200, NULL, -1, &pull, left);
}

static void sink_body(HttpReq *r, Str block)
{
    ASSERT(block.len <= HTTP_BLOCK_BYTES && http_req_body_bytes(r) >= block.len);
}

static void refuse_head(HttpReq *r)
{
    http_reply(r, 403, NULL, STR("no"));
}

static size_t talk_in(void *self, Str bytes)
{
    size_t taken = MIN(bytes.len, (size_t)1000);
    http_duplex_send(self, str_sub(bytes, 0, taken));
    return taken;
}

static void talk_ended(void *self)
{
    http_duplex_end(self);
}

static void talk_closed(void *self)
{
    (void)self;
}

static void talk_end(HttpReq *r)
{
    static const HttpDuplex duplex = { .bytes_in = talk_in, .ended = talk_ended, .closed = talk_closed };
    http_reply_duplex(r, 200, &duplex, r);
}

static const HttpRoute routes[] = {
    { "GET", "/", "root", .on_end = fixed_end },
    { "GET", "/fixed", "fixed", .on_end = fixed_end },
    { "GET", "/bytes/{n}", "bytes", .on_end = bytes_end },
    { "POST", "/sink", "sink", .body_max = 1 << 20, .on_body = sink_body, .on_end = fixed_end },
    { "POST", "/echo", "echo", .on_end = echo_end },
    { "POST", "/early", "early", .on_head = refuse_head, .on_end = fixed_end },
    { "GET", "/ws", "ws", .on_end = talk_end },
};

static HttpServer *server;
static NetAddress address;

static void server_end(void)
{
    http_server_free(&server);
}

static void server_begin(void)
{
    HttpOptions options = { .os = os_real(), .listen = STR("0.0.0.0:0"), .routes = routes, .route_count = ARRAY_LEN(routes),
                            .loops = 1, .io_workers = 1, .query_workers = 1 };
    Err err;
    err_clear(&err);
    ASSERT(http_server_start(&options, &server, &err) == E_OK);
    ASSERT(net_address_parse(http_server_address(server), &address, &err) == E_OK);
    IGNORE(atexit(server_end)); /* or the process just ends */
}

/* ---- one connection ---- */

/* Another address of loopback each time: each connection leaves a port in TIME_WAIT, and there are more of them than
 * ports. */
static int connected(void)
{
    static uint32_t count;
    Err err;
    int fd = -1;
    err_clear(&err);
    address.inner.four.sin_addr.s_addr = htonl(INADDR_LOOPBACK + count++ % ADDRESSES);
    if (net_connect(&address, WAIT_MS, &fd, &err) != E_OK) {
        fprintf(stderr, "fuzz_h2: %s\n", err.text);
        abort();
    }
    return fd;
}

static void say(int fd, Str bytes)
{
    while (bytes.len > 0) {
        ssize_t sent = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return; /* the server has closed: what it said is still to be read */
        bytes = str_from(bytes, (size_t)sent);
    }
}

static void check_frames(Str all)
{
    bool first = true;
    while (all.len >= 9) {
        const uint8_t *b = (const uint8_t *)all.ptr;
        size_t size = (size_t)b[0] << 16 | (size_t)b[1] << 8 | b[2];
        ASSERT(size <= 16384 && b[3] <= 9);
        ASSERT(!first || b[3] == 4);
        first = false;
        if (all.len < 9 + size)
            return; /* it was cut off */
        all = str_from(all, 9 + size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    Buf reply;
    if (!server)
        server_begin();
    if (len < 1)
        return 0;
    bool begins = bytes[0] & 1;
    Str in = str_of(bytes + 1, len - 1);
    size_t cut = in.len * (bytes[0] >> 1) / 128;
    int fd = connected();
    if (begins)
        say(fd, str_of(PREFACE, sizeof PREFACE - 1));
    say(fd, str_sub(in, 0, cut));
    say(fd, str_from(in, cut));
    net_shutdown_write(fd);
    buf_init(&reply, REPLY_BYTES_MAX);
    for (ssize_t got = 1; got > 0;) {
        ASSERT(buf_reserve(&reply, 65536));
        do
            got = recv(fd, reply.ptr + reply.len, 65536, 0);
        while (got < 0 && errno == EINTR); /* the fuzzer's own clock */
        ASSERT(got >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK)); /* it closes in time */
        reply.len += got > 0 ? (size_t)got : 0;
    }
    if (begins)
        check_frames(buf_str(&reply));
    buf_done(&reply);
    net_close(&fd);
    return 0;
}
