/* Covers http2.c, http2_reply.c, http2_stream.c: requests and replies, each in the lane it has. Frames that nghttp2 would
 * not send are in tests/h2. */
#include "front/http/http2_rig.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LARGE = 3 << 20 };

TEST(http2_reply_has_its_fields)
{
    RigDoor door;
    rig_door_open(&door, (HttpOptions){ 0 });
    RigClient *c = rig_client_new(&door, 65535, true);
    c->keeps_body = true;
    RigAnswer *a = rig_ask(c, "GET", "/fixed", STR_NONE, "cookie", "a=1"), *head = rig_ask(c, "HEAD", "/fixed", STR_NONE, NULL, NULL);
    RIG_UNTIL(c, a->closed && head->closed);
    CHECK_INT(a->status, 200);
    CHECK_STR(buf_str(&a->body), STR("lake.example|a=1"));
    CHECK(str_find(buf_str(&a->fields), STR("x-mixed-case: Kept As Is\n")) > 0);
    CHECK(str_find(buf_str(&a->fields), STR("content-length: 16\n")) > 0);
    CHECK(str_find(buf_str(&a->fields), STR("connection:")) < 0);
    CHECK_INT(head->status, 200);
    CHECK_INT(head->body_bytes, 0);
    rig_client_free(c);
    rig_door_close(&door);
}

TEST(http2_heads_that_are_none_are_counted)
{
    RigDoor door;
    HttpRouteStats stats;
    rig_door_open(&door, (HttpOptions){ 0 });
    RigClient *c = rig_client_new(&door, 65535, true);
    RigAnswer *a = rig_ask(c, "GET", "/fixed", STR_NONE, "expect", "200-ok"), *b = rig_ask(c, "GROW", "/fixed", STR_NONE, NULL, NULL);
    RIG_UNTIL(c, a->closed && b->closed);
    CHECK_INT(a->status, 417);
    CHECK_INT(b->status, 501);
    http_server_route_stats(door.server, SIZE_MAX, &stats);
    CHECK_INT(stats.by_class[4], 1);
    CHECK_INT(stats.by_class[5], 1);
    rig_client_free(c);
    rig_door_close(&door);
}

TEST(http2_bodies_pass_whole_in_every_lane)
{
    RigDoor door;
    uint64_t sum;
    char *bytes = rig_large_new(LARGE, &sum), wanted[64];
    rig_door_open(&door, (HttpOptions){ 0 });
    RigClient *c = rig_client_new(&door, 65535, true);
    c->keeps_body = true;
    RigAnswer *echo = rig_ask(c, "POST", "/echo", str_of(bytes, LARGE), NULL, NULL);
    RigAnswer *count = rig_ask(c, "POST", "/count", str_of(bytes, LARGE), "content-length", "3145728");
    RigAnswer *pulled = rig_ask(c, "GET", "/bytes/5000000", STR_NONE, NULL, NULL);
    RigAnswer *worked = rig_ask(c, "GET", "/work/5000000", STR_NONE, NULL, NULL);
    RIG_UNTIL(c, echo->closed && count->closed && pulled->closed && worked->closed);
    CHECK_INT(echo->body.len, LARGE);
    CHECK(echo->body.len == LARGE && memcmp(echo->body.ptr, bytes, LARGE) == 0);
    snprintf(wanted, sizeof wanted, "%d %llu", LARGE, (unsigned long long)sum);
    CHECK_STR(buf_str(&count->body), str_z(wanted));
    CHECK_INT(pulled->body_bytes, 5000000);
    CHECK_INT(worked->body_bytes, 5000000);
    rig_client_free(c);
    rig_door_close(&door);
    free(bytes);
}

TEST(http2_window_opens_when_the_handler_has_consumed)
{
    RigDoor door;
    uint64_t sum;
    char *bytes = rig_large_new(LARGE, &sum);
    LimitStats stats;
    rig_door_open(&door, (HttpOptions){ 0 });
    RigClient *c = rig_client_new(&door, 65535, true);
    RigAnswer *a = rig_ask(c, "POST", "/late", str_of(bytes, LARGE), NULL, NULL), *other;
    RIG_UNTIL(c, a->send.len <= LARGE - H2_STREAM_WINDOW && atomic_load(&door.entered) == 1);
    other = rig_ask(c, "GET", "/fixed", STR_NONE, NULL, NULL);
    RIG_UNTIL(c, other->closed); /* behind all DATA: it has been kept */
    CHECK_INT(LARGE - a->send.len, H2_STREAM_WINDOW);
    CHECK_INT(c->windows, 0);
    limits_stats(policy_limits(http_server_policy(door.server)), &stats);
    CHECK(stats.bytes >= H2_STREAM_WINDOW - 65536);
    rig_gate_open(&door);
    RIG_UNTIL(c, a->closed);
    CHECK_INT(a->status, 200);
    limits_stats(policy_limits(http_server_policy(door.server)), &stats);
    CHECK_INT(stats.bytes, 0);
    rig_client_free(c);
    rig_door_close(&door);
    CHECK_INT(atomic_load(&door.frees), 1);
    free(bytes);
}

TEST(http2_trailers_go_both_ways)
{
    RigDoor door;
    rig_door_open(&door, (HttpOptions){ 0 });
    RigClient *c = rig_client_new(&door, 65535, true);
    c->keeps_body = true;
    RigAnswer *a = rig_ask(c, "POST", "/trailers", STR("body"), "te", "trailers");
    a->trails = true;
    RIG_UNTIL(c, a->closed);
    CHECK_STR(buf_str(&a->body), STR("body"));
    CHECK_STR(buf_str(&a->trailers), STR("x-sum: 42\n"));
    rig_client_free(c);
    rig_door_close(&door);
}

TEST(http2_extended_connect_is_a_duplex)
{
    RigDoor door;
    rig_door_open(&door, (HttpOptions){ 0 });
    RigClient *c = rig_client_new(&door, 65535, true);
    c->keeps_body = true;
    RIG_UNTIL(c, nghttp2_session_get_remote_settings(c->session, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1);
    RigAnswer *a = rig_ask(c, "CONNECT", "/ws", STR("hello"), ":protocol", "websocket");
    RigAnswer *plain = rig_ask(c, "GET", "/ws", STR_NONE, NULL, NULL);
    a->holds = true;
    RIG_UNTIL(c, a->body.len == 5 && plain->closed);
    CHECK_INT(a->status, 200);
    CHECK_INT(plain->status, 400);
    a->holds = false;
    CHECK_INT(nghttp2_session_resume_data(c->session, 1), 0);
    RIG_UNTIL(c, a->closed);
    CHECK_STR(buf_str(&a->body), STR("hellobye"));
    RigAnswer *cut = rig_ask(c, "CONNECT", "/ws", STR("x"), ":protocol", "websocket");
    cut->holds = true;
    RIG_UNTIL(c, cut->body.len == 1);
    rig_client_free(c); /* the connection goes: `closed` comes all the same */
    rig_door_close(&door);
    CHECK_INT(atomic_load(&door.frees), 2);
}

TEST(http2_reply_that_breaks_is_reset)
{
    RigDoor door;
    rig_door_open(&door, (HttpOptions){ 0 });
    RigClient *c = rig_client_new(&door, 65535, true);
    RigAnswer *broken = rig_ask(c, "GET", "/bytes/300013", STR_NONE, NULL, NULL), *after;
    RIG_UNTIL(c, broken->closed);
    CHECK_INT(broken->code, NGHTTP2_INTERNAL_ERROR);
    CHECK_INT(broken->body_bytes, 300000);
    after = rig_ask(c, "GET", "/fixed", STR_NONE, NULL, NULL);
    RIG_UNTIL(c, after->closed);
    CHECK_INT(after->status, 200);
    rig_client_free(c);
    rig_door_close(&door);
}

TEST(http2_requests_outlive_their_streams_and_sockets)
{
    RigDoor door;
    rig_door_open(&door, (HttpOptions){ 0 });
    RigClient *c = rig_client_new(&door, 65535, true);
    rig_ask(c, "GET", "/wait", STR_NONE, NULL, NULL);
    rig_ask(c, "GET", "/wait", STR_NONE, NULL, NULL);
    RigAnswer *fixed = rig_ask(c, "GET", "/fixed", STR_NONE, NULL, NULL);
    RIG_UNTIL(c, fixed->closed && atomic_load(&door.entered) == 2);
    CHECK_INT(nghttp2_submit_rst_stream(c->session, 0, 1, NGHTTP2_CANCEL), 0);
    fixed = rig_ask(c, "GET", "/fixed", STR_NONE, NULL, NULL);
    RIG_UNTIL(c, fixed->closed && atomic_load(&door.cancels) == 1);
    rig_client_free(c);
    for (int i = 0; i < RIG_WAIT_MS && atomic_load(&door.cancels) < 2; i++)
        poll(NULL, 0, 1); /* until the server has seen that the socket is gone */
    CHECK_INT(atomic_load(&door.cancels), 2);
    CHECK_INT(atomic_load(&door.frees), 0);
    rig_door_close(&door);
    CHECK_INT(atomic_load(&door.frees), 2);
}

TEST(http2_thousand_streams_in_a_row)
{
    RigDoor door;
    rig_door_open(&door, (HttpOptions){ 0 });
    RigClient *c = rig_client_new(&door, 65535, true);
    for (int i = 0; i < 1000; i++) {
        RigAnswer *a = rig_ask(c, i % 2 ? "POST" : "GET", i % 2 ? "/echo" : "/fixed", i % 2 ? STR("body") : STR_NONE, NULL, NULL);
        while (!a->closed && rig_turn(c, RIG_WAIT_MS)) {
        }
        if (a->status != 200)
            test_failed(__FILE__, __LINE__, "stream %d has the status %d", 1 + 2 * i, a->status);
    }
    CHECK_INT(c->goaways, 0);
    rig_client_free(c);
    rig_door_close(&door);
}
