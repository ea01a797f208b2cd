/* loop_priv.h: what loop.c and loop_conn.c share.
 * Owner:   loop.c owns Loops and Loop; loop_conn.c owns LoopConn.
 * Threads: a Loop's fields are its thread's, except `posts` (under its mutex) and atomics.
 * Errors:  none of its own.
 * Limits:  those of loop.h.
 * Units:   bytes, _us. */
#pragma once

#include "os/loop.h"

#include <stdatomic.h>

typedef struct OutBlock {
    struct OutBlock *next;
    Buf bytes;
    size_t at; /* sent */
} OutBlock;

/* The first field of whatever epoll points at. */
typedef enum LoopHandle { HANDLE_POSTS, HANDLE_LISTENER, HANDLE_CONN } LoopHandle;

typedef enum ConnState { CONN_OPEN, CONN_CLOSING, CONN_LINGERING, CONN_DEAD } ConnState;

struct LoopConn {
    LoopHandle handle;
    LoopConn *prev, *next;       /* of the loop */
    LoopConn *next_ready;
    Loop *loop;
    const LoopProtocol *protocol;
    void *state;
    int fd;
    ConnState phase;
    bool in_ready, resting, readable, writable, peer_ended, end_told;
    Buf held;                    /* shown and not taken */
    OutBlock *out_first, *out_last;
    size_t out_bytes;
    uint64_t sent_bytes;
    LoopTimer linger;
    char peer[NET_ADDRESS_TEXT_MAX];
    uint8_t peer_len;
};

typedef struct TimerClass {
    uint32_t duration_ms;
    LoopTimer head; /* a ring: the soonest is head.next */
} TimerClass;

struct Loop {
    LoopHandle handle;
    Loops *loops;
    Thread thread;
    int epoll_fd, event_fd;
    int64_t now_us;
    char *scratch;               /* LOOP_READ_BYTES */
    LoopConn conns;              /* a ring */
    LoopConn *ready_first, *ready_last;
    LoopConn *dead;              /* freed at the end of the turn */
    TimerClass classes[LOOP_TIMER_CLASSES_MAX];
    size_t class_count;
    Mutex mutex;                 /* guards what follows */
    LoopPost *post_first, *post_last;
    bool post_signalled;
};

struct LoopListener {
    LoopHandle handle;
    LoopListener *next;
    int fd;
    const LoopProtocol *protocol;
    void *context;
};

struct Loops {
    Os *os;
    Loop *items;
    size_t count;
    Pool *lanes[LOOP_LANES_MAX];
    size_t lane_count;
    LoopListener *listeners;     /* loops read it only to stop listening */
    uint64_t connections_max;
    atomic_uint_fast64_t connections, accepted, refused;
    atomic_bool draining, ending;
    int spare_fd;
    Mutex mutex;                 /* guards what follows */
    Cond changed;                /* a connection has ended, a loop has stopped listening */
    size_t stopped;
};

void conn_open(Loop *loop, int fd, const NetAddress *peer, const LoopListener *listener);
void conn_event(LoopConn *conn, uint32_t events);
void conn_ready(LoopConn *conn);
void conn_turn(LoopConn *conn);
void conn_dead_free(Loop *loop);
