/* One connection of a loop: its phases, its turn and its input.
 *
 * Invariants:
 * 1. All of it happens on the loop's thread.
 * 2. `held` holds exactly the input that was shown to the protocol and not taken, so `bytes_in` sees
 *    every byte once it is taken, in order.
 * 3. While `resting` nothing is read from the socket and nothing is shown.
 * 4. A read that gives less than it could has emptied the socket; the edge-triggered epoll tells of
 *    more. Only after the peer's end was told is it read again, to find that end.
 * 5. Phases go
 *      PROXY -> HANDSHAKE -> OPEN, each only where the listener asks for it, within LOOP_HANDSHAKE_MS;
 *      OPEN -> CLOSING (queued output still goes out, while the peer takes any) ->
 *      LINGERING (our side is shut, input is read away so that the peer gets the last reply and no
 *      reset) -> DEAD (descriptor closed, `closed` called if `opened` was).
 *    Before OPEN a failure goes to CLOSING, so that an alert is not lost; any phase may go to DEAD.
 *    The memory goes at the end of the turn.
 * 6. What a protocol does in its connection's turn is done before the turn is over; the connection is
 *    put on the list again only for what is left: output or input beyond the budget, or held input
 *    that its last callback wants after all. */
#include "os/loop_priv.h"

#include <string.h>
#include <sys/epoll.h>

enum { TLS_RECORD_MAX = 5 + 16384 + 256 }; /* RFC 8446 5.2 */

void conn_ready(LoopConn *conn)
{
    Loop *loop = conn->loop;
    if (conn->in_ready || conn->in_turn || conn->phase == CONN_DEAD)
        return;
    conn->in_ready = true;
    conn->next_ready = NULL;
    if (loop->ready_last)
        loop->ready_last->next_ready = conn;
    else
        loop->ready_first = conn;
    loop->ready_last = conn;
    loop->ready_count++;
}

void conn_unhold(LoopConn *conn)
{
    if (!conn->held)
        return;
    buf_done(conn->held);
    mem_free(&conn->held);
}

void conn_hold(LoopConn *conn, Str bytes)
{
    if (bytes.len == 0)
        return;
    if (!conn->held) {
        conn->held = mem_new(sizeof *conn->held);
        buf_init(conn->held, SIZE_MAX);
    }
    buf_put(conn->held, bytes);
}

void conn_die(LoopConn *conn)
{
    Loop *loop = conn->loop;
    Loops *loops = loop->loops;
    const LoopListen *listen = &conn->listener->listen;
    if (conn->phase == CONN_DEAD)
        return;
    conn->phase = CONN_DEAD;
    loop_timer_stop(loop, &conn->timer);
    net_close(&conn->fd);
    conn->prev->next = conn->next;
    conn->next->prev = conn->prev;
    out_free(conn);
    conn_unhold(conn);
    if (conn->opened)
        listen->protocol->closed(conn->state);
    conn->state = NULL;
    if (conn->admitted && listen->gone)
        listen->gone(listen->guard, conn->seat);
    conn->next = loop->dead;
    loop->dead = conn;
    loop_trim(loop);
    atomic_fetch_sub(&loops->connections, 1);
    if (!atomic_load(&loops->draining))
        return;
    MUTEX_HELD(&loops->mutex);
    cond_broadcast(&loops->changed);
}

void conn_dead_free(Loop *loop)
{
    LoopConn **at = &loop->dead;
    while (*at) {
        LoopConn *conn = *at;
        if (conn->in_ready) {
            at = &conn->next; /* the ready list still names it */
        } else {
            *at = conn->next;
            tls_conn_free(&conn->tls);
            mem_free(&conn);
        }
    }
}

void conn_cut(LoopConn *conn)
{
    if (conn->phase != CONN_DEAD)
        net_reset(conn->fd);
    conn_die(conn);
}

static void linger_over(LoopTimer *timer)
{
    LoopConn *conn = (LoopConn *)((char *)timer - offsetof(LoopConn, timer));
    if (conn->phase == CONN_CLOSING)
        conn_cut(conn);
    else
        conn_die(conn);
}

static void greeting_over(LoopTimer *timer)
{
    LoopConn *conn = (LoopConn *)((char *)timer - offsetof(LoopConn, timer));
    atomic_fetch_add(&conn->loop->loops->handshakes_failed, 1);
    conn_die(conn);
}

void conn_begin(LoopConn *conn)
{
    const LoopListen *listen = &conn->listener->listen;
    loop_timer_stop(conn->loop, &conn->timer);
    conn->phase = CONN_OPEN;
    conn->state = listen->protocol->opened(conn, listen->context);
    conn->opened = true;
}

static void conn_close(LoopConn *conn)
{
    conn->phase = CONN_CLOSING;
    conn->timer.fire = linger_over;
    loop_timer_set(conn->loop, &conn->timer, LOOP_CLOSING_MS);
    conn_ready(conn);
}

void conn_fail(LoopConn *conn)
{
    atomic_fetch_add(&conn->loop->loops->handshakes_failed, 1);
    conn_unhold(conn);
    conn_close(conn);
}

/* The first phase; false: it has ended already. */
static bool conn_greet(LoopConn *conn)
{
    const LoopListen *listen = &conn->listener->listen;
    if (!listen->proxy_protocol && !listen->tls) {
        conn_begin(conn);
        return conn->phase != CONN_DEAD;
    }
    conn->phase = listen->proxy_protocol ? CONN_PROXY : CONN_HANDSHAKE;
    conn->timer.fire = greeting_over;
    loop_timer_set(conn->loop, &conn->timer, LOOP_HANDSHAKE_MS);
    if (conn->phase == CONN_PROXY || conn_tls_new(conn, NULL) == E_OK)
        return true;
    conn_die(conn);
    return false;
}

void conn_open(Loop *loop, int fd, const NetAddress *peer, const LoopListener *listener, void *seat)
{
    LoopConn *conn = mem_new(sizeof *conn);
    struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                 .data.ptr = conn };
    *conn = (LoopConn){ .handle = HANDLE_CONN, .loop = loop, .fd = fd, .writable = true,
                        .listener = listener, .address = *peer, .seat = seat,
                        .admitted = !listener->listen.proxy_protocol };
    conn->next = loop->conns.next;
    conn->prev = &loop->conns;
    conn->next->prev = conn;
    loop->conns.next = conn;
    loop_trim(loop);
    if (conn_greet(conn) && epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        conn_die(conn);
}

void conn_event(LoopConn *conn, uint32_t events)
{
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        conn->readable = true;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        conn->writable = true;
    if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
        conn->peer_ended = true;
    conn_ready(conn);
}

static bool conn_takes(const LoopConn *conn)
{
    return conn->phase == CONN_OPEN && !conn->resting;
}

/* Shows held input until the protocol takes no more of it. */
static void conn_show_held(LoopConn *conn)
{
    size_t at = 0;
    while (conn->held && at < conn->held->len && conn_takes(conn)) {
        Str rest = str_from(buf_str(conn->held), at);
        size_t taken = protocol_of(conn)->bytes_in(conn->state, rest);
        if (taken == 0 || conn->phase == CONN_DEAD)
            break;
        at += taken;
    }
    if (!conn->held)
        return;
    if (at == conn->held->len)
        conn_unhold(conn);
    else
        buf_drop_front(conn->held, at);
}

void conn_show(LoopConn *conn, Str bytes)
{
    if (conn->held) {
        conn_hold(conn, bytes);
        conn_show_held(conn);
    } else {
        while (bytes.len > 0 && conn_takes(conn)) {
            size_t taken = protocol_of(conn)->bytes_in(conn->state, bytes);
            if (taken == 0 || conn->phase == CONN_DEAD)
                break;
            bytes = str_from(bytes, taken);
        }
        if (conn->phase == CONN_OPEN)
            conn_hold(conn, bytes);
    }
    if (conn_takes(conn) && conn->held && conn->held->len > protocol_of(conn)->held_max)
        conn_cut(conn); /* the protocol neither takes nor refuses */
}

void conn_tell_end(LoopConn *conn, bool all_read)
{
    if (conn->phase != CONN_OPEN || conn->end_told)
        return;
    conn->end_told = all_read;
    protocol_of(conn)->ended(conn->state, all_read);
}

/* Input as it came from the socket. */
static void conn_take(LoopConn *conn, Str bytes)
{
    if (conn->phase == CONN_PROXY && !conn_proxy_in(conn, &bytes))
        return;
    if (conn->tls)
        conn_tls_in(conn, bytes);
    else if (bytes.len > 0)
        conn_show(conn, bytes);
}

/* Whether there may be something to read, and somebody who wants it. */
static bool conn_reads(const LoopConn *conn)
{
    return conn->readable && conn->phase != CONN_DEAD && conn->phase != CONN_CLOSING &&
           !(conn->phase == CONN_OPEN && conn->resting);
}

/* How much to read at once: no more than the protocol takes, and over TLS a record that is not whole. */
static size_t conn_read_most(const LoopConn *conn, size_t budget)
{
    size_t (*wants)(void *state) = protocol_of(conn)->wants;
    size_t most = MIN(budget, (size_t)LOOP_READ_BYTES);
    if (conn->phase != CONN_OPEN || !wants)
        return most;
    size_t wanted = MIN(MAX(wants(conn->state), (size_t)1), most); /* SIZE_MAX: all */
    return MIN(most, wanted + (conn->tls ? TLS_RECORD_MAX : 0));
}

/* Reads until the socket is empty, the protocol rests or the turn is over. */
static void conn_read(LoopConn *conn, size_t *budget)
{
    while (*budget > 0 && conn_reads(conn)) {
        bool open = conn->phase == CONN_OPEN;
        if (conn->phase == CONN_HANDSHAKE && conn->loop->handshakes >= LOOP_HANDSHAKES_A_TURN)
            return; /* in the next turn */
        size_t most = conn_read_most(conn, *budget);
        ptrdiff_t got = net_read(conn->fd, conn->loop->scratch, most);
        if (got == -1) {
            conn->readable = false;
        } else if (got == -2 || (got == 0 && !open)) {
            conn_die(conn);
            return;
        } else if (got == 0) {
            conn->readable = false;
            conn_tell_end(conn, true);
        } else {
            *budget -= MIN(*budget, (size_t)got);
            conn->readable = (size_t)got == most || conn->peer_ended;
            if (conn->phase != CONN_LINGERING)
                conn_take(conn, str_of(conn->loop->scratch, (size_t)got));
        }
    }
}

/* After the output: on from CLOSING. */
static void conn_settle(LoopConn *conn)
{
    if (conn->phase != CONN_CLOSING || out_waits(conn))
        return;
    conn->phase = CONN_LINGERING;
    net_shutdown_write(conn->fd);
    conn_unhold(conn);
    loop_timer_set(conn->loop, &conn->timer, LOOP_LINGER_MS);
    conn->readable = true;
}

/* The door closes: told after what had come before was shown. */
static void conn_drain(LoopConn *conn)
{
    if (conn->phase != CONN_OPEN || conn->drain_told || !atomic_load(&conn->loop->loops->draining))
        return;
    conn->drain_told = true;
    if (protocol_of(conn)->drain)
        protocol_of(conn)->drain(conn->state);
}

/* Output, input, and the output that the input made. */
static void conn_move(LoopConn *conn)
{
    size_t out_budget = conn->loop->turn_bytes, in_budget = out_budget;
    if (!out_flush(conn, &out_budget))
        return;
    conn_show_held(conn);
    conn_read(conn, &in_budget);
    if (conn->phase == CONN_OPEN && conn->peer_ended && conn->resting)
        conn_tell_end(conn, false);
    conn_drain(conn);
    conn->again = false;
    if (conn->phase == CONN_DEAD || !out_flush(conn, &out_budget))
        return;
    if (conn->phase == CONN_CLOSING && conn->tls && !out_waits(conn)) {
        conn_tls_end(conn);
        if (!out_flush(conn, &out_budget))
            return;
    }
    conn_settle(conn);
}

void conn_turn(LoopConn *conn)
{
    if (conn->phase == CONN_DEAD)
        return;
    conn->in_turn = true;
    conn_move(conn);
    conn->in_turn = false;
    if (conn->tls && conn->phase == CONN_OPEN)
        conn_tls_used(conn);
    bool shows = conn->again && (conn->held || conn->peer_ended);
    if (shows || (conn->writable && out_waits(conn)) || conn_reads(conn))
        conn_ready(conn);
}

Loop *loop_conn_loop(const LoopConn *conn)
{
    return conn->loop;
}

Str loop_conn_peer(const LoopConn *conn)
{
    return net_address_format(&conn->address, conn->loop->peer_text);
}

const NetAddress *loop_conn_address(const LoopConn *conn)
{
    return &conn->address;
}

void *loop_conn_seat(const LoopConn *conn)
{
    return conn->seat;
}

const TlsInfo *loop_conn_tls(const LoopConn *conn)
{
    return conn->tls ? tls_conn_info(conn->tls) : NULL;
}

void loop_conn_rest(LoopConn *conn, bool resting)
{
    if (conn->resting == resting)
        return;
    conn->resting = resting;
    conn->again = true;
    if (!resting || conn->peer_ended)
        conn_ready(conn);
}

void loop_conn_close(LoopConn *conn)
{
    if (conn->phase == CONN_OPEN)
        conn_close(conn);
}

void loop_conn_abort(LoopConn *conn)
{
    conn_cut(conn);
}
