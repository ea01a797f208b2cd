/* http2_rig.h: for tests of HTTP/2: a server with made-up handlers, nghttp2 as its client.
 * Owner:   rig_door_close ends a server, rig_client_free a client with all its answers.
 * Threads: a client is one thread's; a RigDoor's counts are the handlers'.
 * Errors:  by CHECK.
 * Limits:  RIG_STREAMS_MAX streams of a client.
 * Units:   _ms: milliseconds. */
#pragma once

#include "front/http/http2_priv.h"

#include "base/test.h"

#include <nghttp2/nghttp2.h>

enum { RIG_STREAMS_MAX = 1200, RIG_WAIT_MS = 10000, RIG_ROUND_MS = 5 };

typedef struct RigDoor {
    HttpServer *server;
    NetAddress address;
    atomic_int entered, frees, cancels;
    Mutex mutex; /* guards what follows */
    Cond changed;
    bool gate;
} RigDoor;

typedef struct RigAnswer {
    int status;
    Buf body, fields, trailers;
    uint64_t body_bytes;
    bool closed, reset;
    uint32_t code;
    Str send;           /* what is still to be sent */
    bool holds, trails; /* holds: no END_STREAM behind `send`; trails: trailers do */
} RigAnswer;

typedef struct RigClient {
    int fd;
    nghttp2_session *session;
    RigAnswer answers[RIG_STREAMS_MAX]; /* of stream 1 + 2 * index */
    int goaways, last_goaway;
    uint32_t goaway_code;
    bool gone, keeps_body;
    uint64_t windows; /* WINDOW_UPDATE frames of streams */
} RigClient;

void rig_gate_open(RigDoor *door);
void rig_door_open(RigDoor *door, HttpOptions options);
void rig_door_close(RigDoor *door);
RigClient *rig_client_new(const RigDoor *door, uint32_t window, bool opens_windows);
void rig_client_free(RigClient *c);
RigAnswer *rig_ask(RigClient *c, const char *method, const char *path, Str body, const char *name,
                   const char *value);
bool rig_turn(RigClient *c,
              int wait_ms); /* One round of sending and receiving; false: nothing came. */
char *rig_large_new(size_t size, uint64_t *ret_sum);

/* Gives up after RIG_WAIT_MS in which nothing came. */
#define RIG_UNTIL(client, condition)                                                  \
    do {                                                                              \
        for (int quiet_ = 0;                                                          \
             !(condition) && !(client)->gone && quiet_ < RIG_WAIT_MS / RIG_ROUND_MS;) \
            quiet_ = rig_turn((client), RIG_ROUND_MS) ? 0 : quiet_ + 1;               \
        CHECK(condition);                                                             \
    } while (0)
