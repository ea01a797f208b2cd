/* The routes of the test door. */
#include "door.h"

#include "format/checksum.h"
#include "format/http.h"
#include "format/json.h"
#include "front/http/http_duplex.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

static Door *door_of(HttpReq *r)
{
    return http_req_context(r);
}

static uint64_t number_arg(HttpReq *r, const char *name, uint64_t most)
{
    uint64_t number = 0;
    return str_u64(http_req_arg(r, name), &number) ? MIN(number, most) : 0;
}

/* ---- small replies ---- */

static void fixed_end(HttpReq *r)
{
    static const Str body = STR_INIT(
        "{\"id\":42,\"name\":\"a reply of two hundred bytes\",\"values\":[1,2,3,4,5,6,7,8,9,10,11,12,13,"
        "14,15,16,17,18,19,20],\"text\":\"the quick brown fox jumps over the lazy dog and runs on and on again\",\"ok\":"
        "true}  \n");
    http_reply(r, 200, "application/json", body);
}

static void status_end(HttpReq *r)
{
    int status = (int)number_arg(r, "code", 599);
    http_reply(r, MAX(status, 200), "text/plain", STR("as asked\n"));
}

static void field_put(JsonWriter *w, Str name, Str value)
{
    json_begin_array(w);
    json_put_str(w, name);
    json_put_str(w, value);
    json_end_array(w);
}

static void headers_end(HttpReq *r)
{
    Buf body;
    buf_init(&body, 256 << 10);
    JsonWriter w = json_writer(&body);
    json_begin_object(&w);
    json_field_str(&w, "method", http_req_method(r));
    json_field_str(&w, "target", http_req_target(r));
    json_field_str(&w, "path", http_req_path(r));
    json_field_str(&w, "query", http_req_query_raw(r));
    json_field_str(&w, "host", http_req_host(r));
    json_field_str(&w, "scheme", http_req_scheme(r));
    json_field_str(&w, "version", http_req_version(r));
    json_field_str(&w, "client", http_req_peer(r));
    json_field_str(&w, "tls_name", http_req_tls_name(r));
    json_field_str(&w, "id", http_req_id(r));
    json_field_str(&w, "body", http_req_body(r));
    json_key(&w, STR("fields"));
    json_begin_array(&w);
    for (size_t i = 0; i < http_req_field_count(r); i++)
        field_put(&w, http_req_field_name(r, i), http_req_field_value(r, i));
    json_end_array(&w);
    json_end_object(&w);
    http_reply_take(r, 200, "application/json", &body);
}

static void counts_end(HttpReq *r)
{
    Buf body;
    buf_init(&body, 64 << 10);
    door_counts_put(&body);
    http_reply_take(r, 200, "application/json", &body);
}

/* ---- bodies out ---- */

enum { PATTERN = 251, PATTERN_BYTES = PATTERN * 1024 };

static char pattern[PATTERN_BYTES * 2];

/* Byte number i of a body is i % 251. */
void door_pattern_fill(void)
{
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = (char)(i % PATTERN);
}

typedef struct Bytes {
    uint64_t at, end, cut; /* cut: the reply breaks off there; UINT64_MAX: it does not */
    HttpReq *r;
    bool asks;
} Bytes;

static Code bytes_pull(void *self, Buf *out, HttpPullState *ret_state, Err *err)
{
    Bytes *b = self;
    (void)err;
    size_t most = b->asks ? http_pull_bytes(b->r, PATTERN_BYTES) : PATTERN_BYTES;
    size_t len = (size_t)MIN(b->end - b->at, (uint64_t)most);
    buf_put(out, str_of(pattern + b->at % PATTERN, len));
    b->at += len;
    *ret_state = b->at >= b->cut ? HTTP_PULL_CUT : b->at == b->end ? HTTP_PULL_END : HTTP_PULL_MORE;
    return E_OK;
}

static void bytes_done(void *self)
{
    mem_free(&self);
}

static const HttpPull bytes_pull_row = { bytes_pull, bytes_done };

/* ?length=no: chunked; ?cut=N: breaks off at the first block behind N; ?asks=: how large a block may be. */
static void bytes_end(HttpReq *r)
{
    uint64_t size = number_arg(r, "n", 1ull << 40), from = 0, len = 0, cut = UINT64_MAX;
    Str text;
    int status = http_req_range(r, size, STR("\"v1\""), &from, &len);
    if (status == 416) {
        http_reply(r, 416, NULL, STR_NONE);
        return;
    }
    if (http_req_query(r, "cut", &text) && !str_u64(text, &cut))
        cut = 0;
    Bytes *b = mem_new(sizeof *b);
    *b = (Bytes){ from, from + len, cut, r, http_req_query(r, "asks", &text) };
    bool chunked = http_req_query(r, "length", &text) && str_eq(text, STR("no"));
    http_reply_header(r, "ETag", STR("\"v1\""));
    http_reply_stream(r, status, "application/octet-stream", chunked ? -1 : (int64_t)len,
                      &bytes_pull_row, b);
}

static void file_end(HttpReq *r)
{
    Door *door = door_of(r);
    uint64_t from = 0, len = 0;
    int status = http_req_range(r, door->file_bytes, STR("\"f1\""), &from, &len);
    if (status == 416) {
        http_reply(r, 416, NULL, STR_NONE);
        return;
    }
    http_reply_header(r, "ETag", STR("\"f1\""));
    http_reply_file(r, status, "application/octet-stream", door->file_fd, from, len, NULL, NULL);
}

static void trailers_end(HttpReq *r)
{
    Str rest = http_req_trailers(r), name, value;
    Buf body;
    buf_init(&body, 256 << 10);
    JsonWriter w = json_writer(&body);
    json_begin_object(&w);
    json_field_u64(&w, "bytes", http_req_body_bytes(r));
    json_key(&w, STR("trailers"));
    json_begin_array(&w);
    while (http_trailer_next(&rest, &name, &value))
        field_put(&w, name, value);
    json_end_array(&w);
    json_end_object(&w);
    http_reply_header(r, "Trailer", STR("X-Check, X-Bytes"));
    http_reply_trailer(r, "X-Check", STR("whole"));
    http_reply_trailer(r, "X-Bytes", str_format(http_req_arena(r), "%zu", body.len));
    http_reply_take(r, 200, "application/json", &body);
}

/* ---- bodies in ---- */

typedef struct Sink {
    Sha256 sha;
} Sink;

static void sink_head(HttpReq *r)
{
    Sink *sink = mem_new(sizeof *sink);
    sha256_init(&sink->sha);
    http_req_set_user(r, sink);
}

static void sink_body(HttpReq *r, Str block)
{
    Sink *sink = http_req_user(r);
    sha256_update(&sink->sha, block);
}

static void sink_end(HttpReq *r)
{
    Sink *sink = http_req_user(r);
    uint8_t digest[SHA256_LEN];
    char hex[2 * SHA256_LEN];
    sha256_final(&sink->sha, digest);
    for (size_t i = 0; i < sizeof hex; i++)
        hex[i] = "0123456789abcdef"[digest[i / 2] >> (i % 2 ? 0 : 4) & 15];
    http_reply(r, 200, "application/json",
               str_format(http_req_arena(r), "{\"bytes\": %llu, \"sha256\": \"" STR_FMT "\"}\n",
                          (unsigned long long)http_req_body_bytes(r),
                          STR_ARG(str_of(hex, sizeof hex))));
}

static void sink_free(HttpReq *r)
{
    Sink *sink = http_req_user(r);
    if (sink)
        sha256_done(&sink->sha);
    mem_free(&sink);
}

static void drop_body(HttpReq *r, Str block)
{
    (void)r, (void)block;
}

static void drop_end(HttpReq *r)
{
    http_reply(r, 200, "application/json",
               str_format(http_req_arena(r), "{\"bytes\": %llu}\n",
                          (unsigned long long)http_req_body_bytes(r)));
}

static void early_head(HttpReq *r)
{
    Err err;
    IGNORE(err_set(&err, E_FORBIDDEN, "this path takes nothing")); /* replied */
    http_reply_problem(r, &err);
}

/* ---- both ways at once ---- */

enum { ECHO_QUEUED_MAX = 1 << 20 };

static size_t echo_in(void *self, Str bytes)
{
    HttpReq *r = self;
    http_duplex_send(r, bytes);
    if (http_duplex_queued(r) > ECHO_QUEUED_MAX)
        http_duplex_rest(r, true);
    return bytes.len;
}

static void echo_ended(void *self)
{
    http_duplex_end(self);
}

static void echo_writable(void *self)
{
    HttpReq *r = self;
    if (http_duplex_queued(r) <= ECHO_QUEUED_MAX)
        http_duplex_rest(r, false);
}

static void echo_closed(void *self)
{
    (void)self;
}

static const HttpDuplex echo_duplex = { echo_in, echo_ended, echo_writable, NULL, echo_closed };

static void echo_head(HttpReq *r)
{
    http_reply_duplex(r, 200, &echo_duplex, r);
}

/* Only where there was no body: on_head runs for all others. */
static void echo_end(HttpReq *r)
{
    http_reply(r, 200, "application/octet-stream", STR_NONE);
}

/* Bytes as they are, both ways, after `Upgrade: echo`. */
static void raw_end(HttpReq *r)
{
    if (!http_req_upgrades(r, "echo")) {
        http_reply_header(r, "Upgrade", STR("echo"));
        http_reply_header(r, "Connection", STR("upgrade"));
        http_reply(r, 426, NULL, STR_NONE);
        return;
    }
    http_reply_header(r, "Upgrade", STR("echo"));
    http_reply_header(r, "Connection", STR("upgrade"));
    http_reply_duplex(r, str_starts(http_req_version(r), STR("HTTP/1")) ? 101 : 200, &echo_duplex, r);
}

/* ---- waiting ---- */

static void pause_ms(uint64_t ms)
{
    struct timespec pause = { (time_t)(ms / 1000), (long)(ms % 1000) * 1000000 };
    nanosleep(&pause, NULL); /* what a handler that blocks is */
}

static void sleep_end(HttpReq *r)
{
    pause_ms(number_arg(r, "ms", 600000));
    http_reply(r, 200, "text/plain", STR("slept\n"));
}

/* The body comes while nobody reads it. */
static void slow_head(HttpReq *r)
{
    pause_ms(number_arg(r, "ms", 600000));
}

struct DoorParked {
    DoorParked *next, **at;
    Door *door;
    HttpReq *r;
    uint64_t key;
};

static uint64_t key_of(Str name)
{
    uint64_t key = 1469598103934665603ull;
    for (size_t i = 0; i < name.len; i++)
        key = (key ^ (uint8_t)name.ptr[i]) * 1099511628211ull;
    return key;
}

/* Under the mutex. */
static void parked_leave(DoorParked *p)
{
    if (!p->at)
        return;
    *p->at = p->next;
    if (p->next)
        p->next->at = p->at;
    p->at = NULL;
}

static void parked_cancel(void *arg)
{
    DoorParked *p = arg;
    pthread_mutex_lock(&p->door->mutex);
    bool here = p->at != NULL;
    parked_leave(p);
    pthread_mutex_unlock(&p->door->mutex);
    if (here)
        http_req_resume(p->r);
}

static void park(HttpReq *r, Str name)
{
    Door *door = door_of(r);
    DoorParked *p = arena_new(http_req_arena(r), DoorParked);
    *p = (DoorParked){ .door = door, .r = r, .key = key_of(name) };
    http_req_park(r);
    pthread_mutex_lock(&door->mutex);
    DoorParked **at = &door->parked[p->key % ARRAY_LEN(door->parked)];
    p->next = *at;
    if (p->next)
        p->next->at = &p->next;
    p->at = at;
    *at = p;
    pthread_mutex_unlock(&door->mutex);
    http_req_on_cancel(r, parked_cancel, p);
}

static void park_end(HttpReq *r)
{
    park(r, http_req_arg(r, "name"));
}

static void never_end(HttpReq *r)
{
    park(r, STR_NONE);
}

/* All that are parked under the name. */
static void resume_end(HttpReq *r)
{
    Door *door = door_of(r);
    uint64_t key = key_of(http_req_arg(r, "name")), count = 0;
    DoorParked *due = NULL;
    pthread_mutex_lock(&door->mutex);
    DoorParked *next;
    for (DoorParked *p = door->parked[key % ARRAY_LEN(door->parked)]; p; p = next) {
        next = p->next;
        if (p->key != key)
            continue;
        parked_leave(p);
        p->next = due;
        due = p;
    }
    pthread_mutex_unlock(&door->mutex);
    for (; due; due = next, count++) {
        next = due->next;
        http_reply(due->r, 200, "text/plain", STR("resumed\n"));
        http_req_resume(due->r);
    }
    http_reply(r, 200, "application/json",
               str_format(http_req_arena(r), "{\"resumed\": %llu}\n", (unsigned long long)count));
}

/* ---- the table ---- */

static const HttpRoute routes[] = {
    { "GET", "/fixed", "fixed", .on_end = fixed_end },
    { "GET", "/status/{code}", "status", .on_end = status_end },
    { "GET", "/headers", "headers", .on_end = headers_end },
    { "POST", "/headers", "headersPost", .on_end = headers_end },
    { "GET", "/", "root", .on_end = headers_end },
    { "POST", "/", "rootPost", .on_end = headers_end },
    { "GET", "/counts", "counts", .on_end = counts_end },
    { "GET", "/bytes/{n}", "bytes", .on_end = bytes_end },
    { "GET", "/file", "file", .on_end = file_end },
    { "GET", "/trailers", "trailers", .on_end = trailers_end },
    { "POST", "/trailers", "trailersPost", .on_end = trailers_end },
    { "PUT", "/sink", "sinkPut", .lane = HTTP_ON_IO_WORKER, .body_max = 1ull << 40, .on_head = sink_head,
      .on_body = sink_body, .on_end = sink_end, .on_free = sink_free },
    { "POST", "/sink", "sink", .lane = HTTP_ON_IO_WORKER, .body_max = 1ull << 40, .on_head = sink_head,
      .on_body = sink_body, .on_end = sink_end, .on_free = sink_free },
    { "PUT", "/drop", "drop", .body_max = 1ull << 40, .on_body = drop_body, .on_end = drop_end },
    { "POST", "/small", "small", .body_max = 4096, .on_end = headers_end },
    { "POST", "/early", "early", .body_max = 1ull << 40, .on_head = early_head, .on_end = drop_end },
    { "POST", "/echo", "echo", .body_max = 1ull << 40, .on_head = echo_head, .on_end = echo_end },
    { "GET", "/raw", "raw", .on_end = raw_end },
    { "GET", "/sleep/{ms}", "sleep", .lane = HTTP_ON_IO_WORKER, .on_end = sleep_end },
    { "POST", "/slow/{ms}", "slow", .lane = HTTP_ON_IO_WORKER, .body_max = 1ull << 40, .on_head = slow_head,
      .on_body = drop_body, .on_end = drop_end },
    { "GET", "/park/{name}", "park", .timeout_ms = 3600000, .on_end = park_end },
    { "POST", "/resume/{name}", "resume", .on_end = resume_end },
    { "GET", "/never", "never", .on_end = never_end },
};

DoorRoutes door_routes(void)
{
    return (DoorRoutes){ routes, ARRAY_LEN(routes) };
}
