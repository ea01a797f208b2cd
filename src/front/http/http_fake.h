/* http_fake.h: a server with made-up handlers and a raw client, for the tests of this folder.
 * Owner:   the test case: fake_start and fake_end.
 * Threads: one client at a time; handlers run on the server's.
 * Errors:  a failed call fails the test.
 * Limits:  FAKE_REPLY_MAX bytes of one reply.
 * Units:   bytes, _ms. */
#pragma once

#include "base/test.h"
#include "front/http/http_server.h"
#include "os/net.h"

#include <stdatomic.h>

enum { FAKE_REPLY_MAX = 8 << 20 };

typedef struct Fake {
    HttpServer *server;
    NetAddress address;
    atomic_int head_calls, blocks, ends, frees, cancels, pulls, pull_dones;
    atomic_uint_fast64_t block_bytes, block_sum;
    atomic_bool gate; /* /gate waits for it */
} Fake;

/* NULL: options as they are; routes of their own know the Fake as their context. */
void fake_start(Fake *fake, const HttpOptions *options);
void fake_end(Fake *fake);
int fake_connect(const Fake *fake);
void fake_say(int fd, Str bytes);
#define FAKE_CLOSE "Host: x\r\nConnection: close\r\n" /* fields of a request */
bool fake_has(Str reply, const char *text);
void fake_await_in_flight(const Fake *fake, uint64_t wanted);
/* Everything until the server closes. */
Str fake_hear_all(int fd, Arena *arena);
/* One reply: head, and the body by its length or chunks (still framed). */
Str fake_hear_reply(int fd, Arena *arena);
/* Connects, says, hears all, closes. */
Str fake_ask(const Fake *fake, Str bytes, Arena *arena);
int fake_status(Str reply);
Str fake_body(Str reply);
