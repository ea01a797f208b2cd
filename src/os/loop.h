/* loop.h: event loops over sockets (epoll, edge-triggered), with TLS, timers, posts and workers.
 * Owner:   a door starts Loops and frees them; a LoopConn is its loop's, its state the protocol's;
 *          a TlsServer is its caller's and outlives the Loops.
 * Threads: everything of a LoopConn, LoopTimer and LoopWatch only on its loop's thread; loop_post
 *          and loop_work from any. No lock is held while a protocol is called.
 * Errors:  UNAVAILABLE when threads or descriptors are missing, those of net.h for listening.
 * Limits:  LOOPS_MAX, LOOP_TIMER_CLASSES_MAX, LOOP_HANDSHAKE_MS and LOOP_HANDSHAKES_A_TURN for what
 *          comes before a connection is opened; connections as LoopOptions says.
 * Units:   bytes; _ms; _us: monotonic microseconds. */
#pragma once

#include "base/buf.h"
#include "os/net.h"
#include "os/os.h"
#include "os/thread.h"
#include "os/tls.h"

enum {
    LOOPS_MAX = 64,
    LOOP_READ_BYTES = 256 << 10,    /* one scratch buffer a loop */
    LOOP_CUT_BYTES = 256 << 10,     /* of a LoopCut, looked at and sent while it is in the cache */
    LOOP_CUT_KEEP_US = 100000,      /* what the socket did not take of them is looked at again behind it */
    LOOP_ROUND_BYTES = 4 << 20,     /* a loop moves about so much in a turn, shared by who is ready */
    LOOP_TURN_BYTES_MIN = 32 << 10, /* but each of them so much at least */
    LOOP_UNSENT_BYTES = 256 << 10,  /* the kernel keeps so much that was not on the wire yet; the */
    LOOP_WIDE_BYTES = 4 << 20,      /* machine's own limit counts for a peer that has taken so much */
    LOOP_TIMER_CLASSES_MAX = 32,    /* different durations; further ones take the next longer */
    LOOP_LINGER_MS = 2000,          /* a closing connection's input is read away so long */
    LOOP_CLOSING_MS = 10000,        /* queued output of a closing one may stand still so long */
    LOOP_HANDSHAKE_MS = 10000,      /* from accepting to `opened`: PROXY header and TLS */
    LOOP_HANDSHAKES_A_TURN = 16,    /* TLS handshakes go on for so many connections a turn */
    LOOP_LANES_MAX = 4
};

typedef struct Loops Loops;
typedef struct Loop Loop;
typedef struct LoopConn LoopConn;

/* A function for a loop's thread; the struct belongs to the sender again when `run` is called. */
typedef struct LoopPost {
    struct LoopPost *next;
    void (*run)(struct LoopPost *post);
} LoopPost;

/* Work for a worker, and what happens on the loop afterwards. */
typedef struct LoopWork {
    LoopPost post;                       /* first: `done` is a post */
    Loop *loop;
    void (*work)(struct LoopWork *work); /* on a worker */
    void (*done)(struct LoopWork *work); /* on the loop */
} LoopWork;

/* One timer of a protocol's state; timers of one duration are a queue, so setting is O(1). */
typedef struct LoopTimer {
    struct LoopTimer *prev, *next;
    int64_t due_us;
    void (*fire)(struct LoopTimer *timer);
    int class_at; /* 1 + index; 0: not set */
} LoopTimer;

/* A foreign descriptor, level-triggered; zeroed before its first use. */
enum { LOOP_IN = 1, LOOP_OUT = 4, LOOP_BROKEN = 8 | 16 };
typedef struct LoopWatch {
    int kind; /* the loop's own */
    int fd;
    uint32_t events; /* LOOP_IN | LOOP_OUT: what is asked; LOOP_BROKEN is told unasked */
    void (*fire)(struct LoopWatch *watch, uint32_t events);
} LoopWatch;

/* What a door is to the loop: HTTP, Kafka and PostgreSQL are a row each. All required but
 * `wants`, `writable`, `drain` and the texts. */
typedef struct LoopProtocol {
    const char *name;
    size_t held_max;  /* input that was shown and not taken; over it the connection is closed */
    Str refusal;      /* sent in clear to a connection that is one too many */
    Str wants_tls;    /* sent in clear to a client that speaks clear text where TLS is spoken */
    /* A connection is ready: its PROXY header is read, its TLS handshake done. Gives its state,
     * which is passed to all others. */
    void *(*opened)(LoopConn *conn, void *context);
    /* Input: returns how many bytes it took; the rest is shown again with more behind it, or when
     * the connection stops resting. */
    size_t (*bytes_in)(void *state, Str bytes);
    /* So many bytes are worth reading at once: what is shown and not taken is held in memory. */
    size_t (*wants)(void *state);
    /* The peer has ended its side. `all_read`: nothing of it is unread; else the call comes again. */
    void (*ended)(void *state, bool all_read);
    void (*writable)(void *state);  /* some of the queued output has gone */
    void (*drain)(void *state);     /* the door closes: end when convenient */
    void (*closed)(void *state);    /* the last call; the LoopConn is gone afterwards */
} LoopProtocol;

typedef struct LoopLane {
    const char *name;
    size_t workers, queue_max;
} LoopLane;

typedef struct LoopOptions {
    Os *os;
    uint32_t loops;            /* 0: one a core */
    uint32_t connections_max;  /* 0: three quarters of the descriptors */
    LoopLane lanes[LOOP_LANES_MAX];
    size_t lane_count;
} LoopOptions;

/* One listener. `trusted`, `admit` and `gone` are called on loops' threads with `guard`. */
typedef struct LoopListen {
    NetAddress address;
    int fd;                       /* > 0: a listening socket that was inherited; `address` is unused */
    const LoopProtocol *protocol;
    void *context;                /* for `opened` */
    TlsServer *tls;               /* NULL: clear */
    bool proxy_protocol;          /* a PROXY v2 header comes first, also before TLS */
    void *guard;
    /* Who may send that header; required with proxy_protocol. Others are closed. */
    bool (*trusted)(void *guard, const NetAddress *peer);
    /* The client, after a PROXY header the announced one. NULL: all; false: refused with the
     * protocol's refusal, nothing else is called. */
    bool (*admit)(void *guard, const NetAddress *peer, void **ret_seat);
    void (*gone)(void *guard, void *seat); /* once for each admitted one; may be NULL */
} LoopListen;

Code loops_start(const LoopOptions *options, Loops **ret_loops, Err *err) CHECKED;
Code loops_listen(Loops *loops, const LoopListen *listen, NetAddress *ret_bound, Err *err) CHECKED;
/* Takes those who wait, stops listening, calls `drain` for every connection; true: all have ended
 * within the time. */
bool loops_drain(Loops *loops, uint32_t wait_ms);
void loops_free(Loops **loops); /* closes what is left, waits for workers, joins */
uint64_t loops_connections(const Loops *loops);
uint64_t loops_accepted(const Loops *loops);
uint64_t loops_refused(const Loops *loops);
uint64_t loops_handshakes_failed(const Loops *loops); /* PROXY headers and TLS: bad, or too late */
size_t loops_count(const Loops *loops);
Loop *loops_at(Loops *loops, size_t at);
size_t loop_index(const Loop *loop); /* where loops_at has it */

void loop_post(Loop *loop, LoopPost *post);
/* On the loop: another thread will post, whatever happens, and loops_free waits until it came. */
void loop_expect(Loop *loop);
void loop_came(Loop *loop); /* where that post is run */
/* UNAVAILABLE: the lane's queue is full, or the loops end; nothing will be called. */
Code loop_work(LoopWork *work, size_t lane, Err *err) CHECKED;
int64_t loop_now_us(const Loop *loop); /* of this turn */

/* Fires once, `duration_ms` from now; set again it moves. `fire` is set by the caller before. */
void loop_timer_set(Loop *loop, LoopTimer *timer, uint32_t duration_ms);
void loop_timer_stop(Loop *loop, LoopTimer *timer);

/* Watches `watch->fd` for `watch->events`; set again it changes what is asked. Stopped before the
 * descriptor is closed; `fire` does not come after that. */
Code loop_watch_set(Loop *loop, LoopWatch *watch, Err *err) CHECKED;
void loop_watch_stop(Loop *loop, LoopWatch *watch);

Loop *loop_conn_loop(const LoopConn *conn);
/* "127.0.0.1:51234" of loop_conn_address; valid until the next call on this loop. */
Str loop_conn_peer(const LoopConn *conn);
const NetAddress *loop_conn_address(const LoopConn *conn); /* the client: announced, or the peer */
void *loop_conn_seat(const LoopConn *conn);            /* what `admit` gave; NULL: nothing */
const TlsInfo *loop_conn_tls(const LoopConn *conn);    /* NULL: clear */
void loop_conn_send(LoopConn *conn, Str bytes);        /* copied, goes out at the end of the turn */
void loop_conn_send_take(LoopConn *conn, Buf *take_bytes);
/* A part of a file, behind what is queued: by sendfile in clear. A file that is shorter breaks the
 * connection. `done` comes once, when all has gone or never will; `fd` is the caller's until then. */
void loop_conn_send_file(LoopConn *conn, int fd, uint64_t at, uint64_t len,
                         void (*done)(void *arg), void *arg);
/* Bytes of files of which each piece is looked at right before it goes out by sendfile; in clear only. */
typedef struct LoopCut {
    /* How many of the `len` bytes from `at` on may go now, and where they stand; 0: no more of them goes
     * out this way. `room` has LOOP_READ_BYTES to work in. On the loop: it must not block. The file stays open
     * until the next call or `over`. */
    size_t (*check)(struct LoopCut *cut, uint64_t at, size_t len, char *room, int *ret_fd, uint64_t *ret_file_at);
    void (*over)(struct LoopCut *cut, uint64_t sent); /* once; the rest is the caller's to send */
} LoopCut;
void loop_conn_send_cut(LoopConn *conn, uint64_t len, LoopCut *cut);
size_t loop_conn_queued(const LoopConn *conn);         /* bytes that wait to go out */
/* Of these what the peer has acknowledged, about: for minimum rates, since the kernel takes in bursts. */
uint64_t loop_conn_delivered(const LoopConn *conn);
void loop_conn_rest(LoopConn *conn, bool resting);     /* resting: nothing is read */
void loop_conn_close(LoopConn *conn);                  /* when everything queued has gone out */
void loop_conn_abort(LoopConn *conn);                  /* now; `closed` comes before the turn ends */
