/* Covers http2.c, http2_guard.c, http2_reply.c: how connections end, and the bounds on what a peer may leave open. */
#include "front/http/http2_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <poll.h>
#include <sys/socket.h>

enum { LARGE = 3 << 20 };

TEST(http2_drain_says_goaway_twice_and_ends_what_runs)
{
    RigDoor door;
    rig_door_open(&door, (HttpOptions){ 0 });
    RigClient *c = rig_client_new(&door, 65535, true);
    RigAnswer *a = rig_ask(c, "GET", "/wait", STR_NONE, NULL, NULL);
    RIG_UNTIL(c, atomic_load(&door.entered) == 1);
    CHECK(!http_server_drain(door.server, 0));
    RIG_UNTIL(c, c->goaways == 1);
    CHECK_INT(c->last_goaway, INT32_MAX);
    RIG_UNTIL(c, c->goaways == 2);
    CHECK_INT(c->last_goaway, 1);
    CHECK_INT(c->goaway_code, NGHTTP2_NO_ERROR);
    rig_gate_open(&door);
    RIG_UNTIL(c, a->closed);
    CHECK_INT(a->status, 200);
    RIG_UNTIL(c, c->gone);
    CHECK(http_server_drain(door.server, RIG_WAIT_MS));
    rig_client_free(c);
    rig_door_close(&door);
}

TEST(http2_idle_connection_gets_goaway)
{
    RigDoor door;
    rig_door_open(&door, (HttpOptions){ .idle_ms_max = 400 });
    RigClient *c = rig_client_new(&door, 65535, true);
    RigAnswer *a = rig_ask(c, "GET", "/fixed", STR_NONE, NULL, NULL);
    RIG_UNTIL(c, c->gone);
    CHECK_INT(a->status, 200);
    CHECK_INT(c->goaways, 1);
    CHECK_INT(c->goaway_code, NGHTTP2_NO_ERROR);
    rig_client_free(c);
    rig_door_close(&door);
}

TEST(http2_stalled_reply_is_reset_alone)
{
    RigDoor door;
    LimitStats stats;
    rig_door_open(&door, (HttpOptions){ .rate_window_ms = 50 });
    RigClient *c = rig_client_new(&door, 1000, false);
    RigAnswer *a = rig_ask(c, "GET", "/bytes/5000000", STR_NONE, NULL, NULL), *b;
    RIG_UNTIL(c, a->closed);
    CHECK_INT(a->status, 200);
    CHECK_INT(a->code, NGHTTP2_CANCEL);
    CHECK_INT(a->body_bytes, 1000);
    b = rig_ask(c, "GET", "/fixed", STR_NONE, NULL, NULL);
    RIG_UNTIL(c, b->closed);
    CHECK_INT(b->status, 200);
    limits_stats(policy_limits(http_server_policy(door.server)), &stats);
    CHECK_INT(stats.bytes, 0);
    rig_client_free(c);
    rig_door_close(&door);
}

/* Windows of nothing: statuses come, bodies are not made, and go on when there is room. */
TEST(http2_shut_windows_hold_no_blocks)
{
    enum { STREAMS = 100, BYTES = 500000 };
    RigDoor door;
    LimitStats stats;
    rig_door_open(&door, (HttpOptions){ 0 });
    RigClient *c = rig_client_new(&door, 0, true);
    RigAnswer *answers[STREAMS];
    for (size_t i = 0; i < STREAMS; i++)
        answers[i] = rig_ask(c, "GET", i % 2 ? "/bytes/500000" : "/work/500000", STR_NONE, NULL, NULL);
    for (size_t i = 0; i < STREAMS; i++)
        RIG_UNTIL(c, answers[i]->status == 200);
    limits_stats(policy_limits(http_server_policy(door.server)), &stats);
    CHECK_INT(stats.bytes, 0);
    nghttp2_settings_entry wider = { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 65535 };
    CHECK_INT(nghttp2_submit_settings(c->session, 0, &wider, 1), 0);
    for (size_t i = 0; i < STREAMS; i++) {
        RIG_UNTIL(c, answers[i]->closed);
        CHECK_INT(answers[i]->body_bytes, BYTES);
    }
    rig_client_free(c);
    rig_door_close(&door);
}

TEST(http2_reply_is_charged_with_what_it_holds)
{
    enum { STREAMS = 20, BLOCK = 100000, WINDOW = 1000 };
    RigDoor door;
    LimitStats stats = { 0 };
    HttpPolicy policy = { .limits = { .requests_an_address = 1000, .bytes_max = 1 << 30 } };
    rig_door_open(&door, (HttpOptions){ .policy = &policy });
    RigClient *c = rig_client_new(&door, WINDOW, false);
    RigAnswer *answers[STREAMS];
    for (size_t i = 0; i < STREAMS; i++)
        answers[i] = rig_ask(c, "GET", "/bytes/5000000", STR_NONE, NULL, NULL);
    for (size_t i = 0; i < STREAMS; i++)
        RIG_UNTIL(c, answers[i]->body_bytes == WINDOW);
    RIG_UNTIL(c, (limits_stats(policy_limits(http_server_policy(door.server)), &stats),
                   stats.bytes == STREAMS * (BLOCK - WINDOW)));
    for (size_t i = 0; i < STREAMS; i++)
        CHECK_INT(nghttp2_submit_rst_stream(c->session, 0, (int32_t)(1 + 2 * i), NGHTTP2_CANCEL), 0);
    RIG_UNTIL(c, (limits_stats(policy_limits(http_server_policy(door.server)), &stats), stats.bytes == 0));
    rig_client_free(c);
    rig_door_close(&door);
}

TEST(http2_reply_that_never_had_a_window_is_reset)
{
    RigDoor door;
    rig_door_open(&door, (HttpOptions){ .rate_window_ms = 50 });
    RigClient *c = rig_client_new(&door, 0, false);
    RigAnswer *a = rig_ask(c, "GET", "/work/5000000", STR_NONE, NULL, NULL);
    RIG_UNTIL(c, a->closed);
    CHECK_INT(a->status, 200);
    CHECK_INT(a->code, NGHTTP2_CANCEL);
    CHECK_INT(a->body_bytes, 0);
    rig_client_free(c);
    rig_door_close(&door);
}

TEST(http2_slow_body_is_408)
{
    RigDoor door;
    rig_door_open(&door, (HttpOptions){ .rate_window_ms = 50 });
    RigClient *c = rig_client_new(&door, 65535, true);
    RigAnswer *a = rig_ask(c, "POST", "/count", STR("begin"), NULL, NULL);
    a->holds = true;
    RIG_UNTIL(c, a->closed);
    CHECK_INT(a->status, 408);
    rig_client_free(c);
    rig_door_close(&door);
    CHECK_INT(atomic_load(&door.frees), 1);
}

/* What a raw client hears until the server closes; the code of the last GOAWAY, -1: none. */
static int raw_goaway(const RigDoor *door, Str bytes)
{
    static uint8_t heard[65536];
    size_t len = 0;
    int fd = -1, code = -1;
    CHECK_INT(net_connect(&door->address, RIG_WAIT_MS, &fd, NULL), E_OK);
    CHECK_INT(send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL), (ssize_t)bytes.len);
    for (ssize_t got = 1; got > 0 && len < sizeof heard; len += got > 0 ? (size_t)got : 0)
        got = recv(fd, heard + len, sizeof heard - len, 0);
    for (size_t at = 0; at + 9 <= len;) {
        H2FrameHead head = h2_frame_head((const char *)heard + at);
        if (head.type == NGHTTP2_GOAWAY && at + 17 <= len)
            code = heard[at + 16];
        at += 9 + head.length;
    }
    net_close(&fd);
    return code;
}

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define SETTINGS_FRAME "\0\0\0\4\0\0\0\0\0"

TEST(http2_heads_have_a_deadline)
{
    static const char no_end[] = PREFACE SETTINGS_FRAME "\0\0\1\1\1\0\0\0\1\x82"; /* no END_HEADERS */
    static const char half[] = PREFACE SETTINGS_FRAME "\0\0\5\1\5\0\0\0\1\x82";
    RigDoor door;
    rig_door_open(&door, (HttpOptions){ .head_ms_max = 50, .idle_ms_max = 100 });
    CHECK_INT(raw_goaway(&door, str_of(no_end, sizeof no_end - 1)), NGHTTP2_ENHANCE_YOUR_CALM);
    CHECK_INT(raw_goaway(&door, str_of(half, sizeof half - 1)), NGHTTP2_ENHANCE_YOUR_CALM);
    CHECK_INT(raw_goaway(&door, str_of(PREFACE, 10)), -1);                         /* no HTTP/2 yet */
    rig_door_close(&door);
}

/* Requests that run on behind resets count among the streams of a connection. */
TEST(http2_reset_requests_that_run_count)
{
    RigDoor door;
    rig_door_open(&door, (HttpOptions){ 0 });
    RigClient *c = rig_client_new(&door, 65535, true);
    for (int i = 0; i < H2_STREAMS_MAX; i++) {
        rig_ask(c, "GET", "/wait", STR_NONE, NULL, NULL);
        rig_turn(c, 0);
        CHECK_INT(nghttp2_submit_rst_stream(c->session, 0, 1 + 2 * i, NGHTTP2_CANCEL), 0);
    }
    RigAnswer *refused = rig_ask(c, "GET", "/fixed", STR_NONE, NULL, NULL);
    RIG_UNTIL(c, refused->closed);
    CHECK_INT(refused->code, NGHTTP2_REFUSED_STREAM);
    rig_gate_open(&door);
    for (int i = 0; i < RIG_WAIT_MS && atomic_load(&door.frees) < H2_STREAMS_MAX; i++)
        poll(NULL, 0, 1); /* until they have ended */
    RigAnswer *taken = rig_ask(c, "GET", "/fixed", STR_NONE, NULL, NULL);
    RIG_UNTIL(c, taken->closed);
    CHECK_INT(taken->status, 200);
    rig_client_free(c);
    rig_door_close(&door);
}

TEST(http2_bucket_gives_tokens_back)
{
    H2Bucket bucket = { 0 };
    for (int i = 0; i < 10; i++)
        CHECK(h2_bucket_take(&bucket, 1000, 10, 2));
    CHECK(!h2_bucket_take(&bucket, 1000, 10, 2));
    CHECK(!h2_bucket_take(&bucket, 400000, 10, 2));
    CHECK(h2_bucket_take(&bucket, 600000, 10, 2));
    CHECK(!h2_bucket_take(&bucket, 600000, 10, 2));
    CHECK(h2_bucket_take(&bucket, 3600000000, 10, 2));
    CHECK_INT(bucket.left, 9);
}
