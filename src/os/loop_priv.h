/* loop_priv.h: what the files of the loop share.
 * Owner:   loop.c owns Loops and Loop, loop_listen.c the listeners, loop_conn.c LoopConn with its
 *          TLS in loop_tls.c and its output in loop_out.c.
 * Threads: a Loop's fields are its thread's, except `posts` (under its mutex) and atomics.
 * Errors:  none of its own.
 * Limits:  those of loop.h.
 * Units:   bytes, _us. */
#pragma once

#include "os/loop.h"
#include "os/tls_priv.h"

#include <stdatomic.h>

struct epoll_event;

enum {
    LOOP_EVENTS_MAX = 256,
    LOOP_ACCEPTS_A_TURN = 64,
    LOOP_SHARED_ACCEPTS_A_TURN = 4, /* of a socket that all loops share: they take turns */
    LOOP_BLOCK_BYTES = 16 << 10,   /* of small sends together: one TLS record */
    LOOP_SPARE_BLOCKS_MAX = 16,
    LOOP_TLS_IDLE_MS = 1000,       /* after one to two of them without a byte the buffers go */
    LOOP_TRIM_MS = 5000,           /* after connections came or went, what malloc keeps goes back */
    LOOP_TLS_TURNS = 8             /* who has had so many turns keeps them until then */
};

/* Output: copied bytes in the block itself, bytes that were taken, a part of a file, or a cut. */
typedef struct OutBlock {
    struct OutBlock *next;
    uint64_t at, end;              /* sent, and all */
    size_t room;                   /* copied: of `copy` */
    char *taken;                   /* NULL: `copy`, or a file */
    void (*done)(void *arg);       /* of a file */
    void *arg;
    uint64_t file_at;
    int fd;                        /* -1: no file */
    LoopCut *cut;                  /* NULL: none */
    uint64_t cut_to;               /* up to there it was looked at, at cut_us; file_at counts as of a file's part */
    int64_t cut_us;
    int cut_fd;
    char copy[];
} OutBlock;

/* The first field of whatever epoll points at. */
typedef enum LoopHandle { HANDLE_POSTS, HANDLE_LISTENER, HANDLE_CONN, HANDLE_WATCH } LoopHandle;

typedef enum ConnPhase {
    CONN_PROXY, CONN_HANDSHAKE, CONN_OPEN, CONN_CLOSING, CONN_LINGERING, CONN_DEAD
} ConnPhase;

typedef struct LoopListener LoopListener;

struct LoopConn {
    LoopHandle handle;
    int fd;
    LoopConn *prev, *next;         /* of the loop */
    LoopConn *next_ready;
    Loop *loop;
    const LoopListener *listener;
    void *state;                   /* the protocol's, from CONN_OPEN on */
    void *seat;                    /* of `admit`, for `gone` */
    TlsConn *tls;                  /* NULL: clear */
    Buf *held;                     /* shown and not taken, or of a PROXY header; NULL: nothing */
    OutBlock *out_first, *out_last;
    size_t out_bytes;
    uint64_t sent_bytes;
    LoopTimer timer;               /* of the greeting, of idle TLS, of closing and of lingering */
    NetAddress address;
    uint8_t phase, tls_turns;
    bool opened, admitted, in_ready, resting, readable, writable, peer_ended, end_told,
        drain_told, tls_used, in_turn, again, wide;
};

typedef struct TimerClass {
    uint32_t duration_ms;
    LoopTimer head; /* a ring: the soonest is head.next */
} TimerClass;

struct Loop {
    LoopHandle handle;
    Loops *loops;
    Thread thread;
    int epoll_fd, event_fd, alarm_fd;
    int64_t alarm_us;              /* when the alarm comes; past: none is set */
    int64_t now_us;
    char *scratch;                 /* LOOP_READ_BYTES */
    TlsWork *tls;                  /* NULL until the first TLS connection */
    LoopConn conns;                /* a ring */
    LoopConn *ready_first, *ready_last;
    size_t ready_count;
    size_t turn_bytes;             /* of each of those who are ready in this turn, each way */
    LoopConn *dead;                /* freed at the end of the turn */
    size_t handshakes;             /* of this turn */
    OutBlock *spare;               /* LOOP_BLOCK_BYTES each */
    size_t spare_count;
    struct epoll_event *events;    /* of this turn */
    int event_at, event_count;
    LoopTimer trim;                /* set by connections that come, go or rest */
    LoopWork trim_work;
    bool trims;                    /* a worker has it */
    size_t expected;               /* posts that will come from other threads */
    int64_t pace_us;               /* since when `pace_events` are counted */
    uint64_t pace_events;
    bool busy;                     /* the thread is SCHED_BATCH */
    TimerClass classes[LOOP_TIMER_CLASSES_MAX];
    size_t class_count;
    char peer_text[NET_ADDRESS_TEXT_MAX];
    Mutex mutex;                   /* guards what follows */
    LoopPost *post_first, *post_last;
    atomic_bool post_signalled;    /* read without it too */
};

/* A listener's socket on one loop. */
typedef struct LoopDoor {
    LoopHandle handle;
    int fd;                        /* may be that of all loops */
    const LoopListener *listener;
} LoopDoor;

struct LoopListener {
    LoopListener *next;
    LoopListen listen;
    LoopDoor *doors;               /* one a loop */
    size_t count;
    bool shared;                   /* one socket for all loops */
};

struct Loops {
    Os *os;
    Loop *items;
    size_t count;
    Pool *lanes[LOOP_LANES_MAX];
    size_t lane_count;
    LoopListener *listeners;       /* loops read it only to stop listening */
    uint64_t connections_max;
    atomic_uint_fast64_t connections, accepted, refused, handshakes_failed;
    atomic_bool draining, ending;
    int spare_fd;
    Mutex mutex;                   /* guards what follows */
    Cond changed;                  /* a connection has ended, a loop has stopped listening */
    size_t stopped;
};

static inline const LoopProtocol *protocol_of(const LoopConn *conn)
{
    return conn->listener->listen.protocol;
}

/* loop.c: takes `fd` out of the loop, and `pointer` out of what is left of this turn's events. */
void loop_forget(Loop *loop, int fd, const void *pointer);
void loop_trim(Loop *loop);                   /* soon: there may be memory to give back */

/* loop_listen.c */
void conn_refuse(int fd, const LoopListen *listen); /* tells why, where that can be read */
void door_accept(Loop *loop, const LoopDoor *door, bool all);
void listeners_free(Loops *loops);

/* loop_conn.c */
void conn_open(Loop *loop, int fd, const NetAddress *peer, const LoopListener *listener, void *seat);
void conn_event(LoopConn *conn, uint32_t events);
void conn_ready(LoopConn *conn);
void conn_turn(LoopConn *conn);
void conn_die(LoopConn *conn);
void conn_cut(LoopConn *conn);                /* dies, and the peer sees that it was not done */
void conn_dead_free(Loop *loop);
void conn_begin(LoopConn *conn);              /* the transport is ready */
void conn_fail(LoopConn *conn);               /* it never will be */
void conn_show(LoopConn *conn, Str bytes);    /* input in clear */
void conn_tell_end(LoopConn *conn, bool all_read);
void conn_hold(LoopConn *conn, Str bytes);
void conn_unhold(LoopConn *conn);

/* loop_greet.c: PROXY */
bool conn_trusted(const LoopListener *listener, const NetAddress *peer, void **ret_seat);
/* Takes the header off `*bytes`; true: go on with what is left. */
bool conn_proxy_in(LoopConn *conn, Str *bytes);

/* loop_out.c */
bool out_waits(const LoopConn *conn);         /* something is queued */
/* Writes what the socket takes; false: the connection is dead. */
bool out_flush(LoopConn *conn, size_t *budget);
/* Copies the first `most` queued bytes; false: a file is shorter than was said. */
bool out_gather(const LoopConn *conn, char *bytes, size_t most, size_t *ret_len) CHECKED;
void out_sent(LoopConn *conn, uint64_t sent);
void out_free(LoopConn *conn);
void out_spare_free(Loop *loop);
const char *out_block_bytes(const OutBlock *block); /* of one that is no file: what is left */

/* loop_tls.c */
Code conn_tls_new(LoopConn *conn, Err *err) CHECKED;
void conn_tls_in(LoopConn *conn, Str bytes);  /* input as it came */
ptrdiff_t conn_tls_put(LoopConn *conn);       /* as net_write */
void conn_tls_used(LoopConn *conn);           /* a turn of an open one */
void conn_tls_end(LoopConn *conn);            /* queues the closing alert */
