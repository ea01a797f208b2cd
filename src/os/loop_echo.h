/* loop_echo.h: a door of lines for the tests of the loop and of TLS, and clients of it.
 * Owner:   the test; echo_stop ends the loops.
 * Threads: the counters are atomic; the rest is the test's.
 * Errors:  a failed CHECK.
 * Limits:  lines of 1 KiB.
 * Units:   bytes. */
#pragma once

#include "os/loop.h"

#include <stdatomic.h>

/* Lines come back. `work ...` goes through a worker, `close` ends, `wait` is answered by a timer,
 * `peer` gives the client's address, `loop` its loop's index, `tls` what is known of TLS, `big N` N bytes, `file` the
 * door's file between two lines, `cut` the same as a LoopCut and behind it how many bytes of it went. */
typedef struct EchoDoor {
    Loops *loops;
    NetAddress bound;
    LoopListen listen;            /* filled before echo_start: tls, proxy_protocol, fd */
    uint32_t loop_count, connections_max;
    Os *os;                       /* NULL: os_real */
    int file_fd;
    uint64_t file_len;
    atomic_uint_fast64_t cut_len; /* what `check` lets go of a cut */
    bool trusts, admits;
    size_t wants;                 /* 0: all */
    atomic_int shown_max;         /* to the protocol at once */
    atomic_int open, timers, ended, files_done, admitted, gone;
    char seen[NET_ADDRESS_TEXT_MAX]; /* of `admit`'s last client, with one loop */
} EchoDoor;

void echo_start(EchoDoor *door);
void echo_stop(EchoDoor *door);   /* fit for AUTO */

int echo_client(const EchoDoor *door); /* a connected socket, 20 s for each step */
void echo_say(int fd, Str text);
void echo_hear(int fd, Str wanted); /* exactly that */
void echo_hear_end(int fd);
void echo_wake(EchoDoor *door);   /* each loop has a turn, with the clock of then */
bool echo_until(atomic_int *counter, int wanted); /* waits; false: not within 20 s */
