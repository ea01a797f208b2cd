/* One connection of a loop.
 *
 * Invariants:
 * 1. All of it happens on the loop's thread.
 * 2. `held` holds exactly the input that was shown to the protocol and not taken, so `bytes_in` sees
 *    every byte once it is taken, in order.
 * 3. While `resting` nothing is read from the socket and nothing is shown.
 * 4. Phases go OPEN -> CLOSING (queued output still goes out) -> LINGERING (our side is shut, input is
 *    read away so that the peer gets the last reply and no reset) -> DEAD (descriptor closed,
 *    `closed` called); any phase may go to DEAD. The memory goes at the end of the turn. */
#include "os/loop_priv.h"

#include <string.h>
#include <sys/epoll.h>

enum { WRITE_PARTS_MAX = 16, SMALL_BLOCK_BYTES = 32 << 10, HELD_KEEP_BYTES = 4 << 10 };

void conn_ready(LoopConn *conn)
{
    Loop *loop = conn->loop;
    if (conn->in_ready || conn->phase == CONN_DEAD)
        return;
    conn->in_ready = true;
    conn->next_ready = NULL;
    if (loop->ready_last)
        loop->ready_last->next_ready = conn;
    else
        loop->ready_first = conn;
    loop->ready_last = conn;
}

static void out_free(LoopConn *conn)
{
    while (conn->out_first) {
        OutBlock *block = conn->out_first;
        conn->out_first = block->next;
        buf_done(&block->bytes);
        mem_free(&block);
    }
    conn->out_last = NULL;
    conn->out_bytes = 0;
}

static void conn_die(LoopConn *conn)
{
    Loop *loop = conn->loop;
    if (conn->phase == CONN_DEAD)
        return;
    conn->phase = CONN_DEAD;
    loop_timer_stop(loop, &conn->linger);
    net_close(&conn->fd);
    conn->prev->next = conn->next;
    conn->next->prev = conn->prev;
    out_free(conn);
    buf_done(&conn->held);
    conn->protocol->closed(conn->state);
    conn->state = NULL;
    conn->next = loop->dead;
    loop->dead = conn;
    MUTEX_HELD(&loop->loops->mutex);
    atomic_fetch_sub(&loop->loops->connections, 1);
    cond_broadcast(&loop->loops->changed);
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
            mem_free(&conn);
        }
    }
}

static void linger_over(LoopTimer *timer)
{
    conn_die((LoopConn *)((char *)timer - offsetof(LoopConn, linger)));
}

void conn_open(Loop *loop, int fd, const NetAddress *peer, const LoopListener *listener)
{
    LoopConn *conn = mem_new(sizeof *conn);
    struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                 .data.ptr = conn };
    *conn = (LoopConn){ .handle = HANDLE_CONN, .loop = loop, .fd = fd, .writable = true };
    conn->protocol = listener->protocol;
    conn->linger.fire = linger_over;
    conn->peer_len = (uint8_t)net_address_format(peer, conn->peer).len;
    buf_init(&conn->held, conn->protocol->held_max + LOOP_READ_BYTES);
    conn->next = loop->conns.next;
    conn->prev = &loop->conns;
    conn->next->prev = conn;
    loop->conns.next = conn;
    conn->state = conn->protocol->opened(conn, listener->context);
    if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
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

static void out_sent(LoopConn *conn, size_t sent)
{
    conn->out_bytes -= sent;
    conn->sent_bytes += sent;
    while (sent > 0) {
        OutBlock *block = conn->out_first;
        size_t left = block->bytes.len - block->at;
        if (sent < left) {
            block->at += sent;
            return;
        }
        sent -= left;
        conn->out_first = block->next;
        if (!conn->out_first)
            conn->out_last = NULL;
        buf_done(&block->bytes);
        mem_free(&block);
    }
}

/* Writes what the socket takes; false: the connection is broken or its turn is over. */
static bool conn_flush(LoopConn *conn, size_t *budget)
{
    while (conn->out_first && conn->writable && *budget > 0) {
        struct iovec parts[WRITE_PARTS_MAX];
        size_t count = 0;
        for (OutBlock *b = conn->out_first; b && count < WRITE_PARTS_MAX; b = b->next)
            parts[count++] = (struct iovec){ b->bytes.ptr + b->at, b->bytes.len - b->at };
        ptrdiff_t sent = net_write(conn->fd, parts, count);
        if (sent == -2) {
            conn_die(conn);
            return false;
        }
        if (sent < 0) {
            conn->writable = false;
            return true;
        }
        out_sent(conn, (size_t)sent);
        *budget -= MIN(*budget, (size_t)sent);
        if (conn->phase == CONN_OPEN && conn->protocol->writable)
            conn->protocol->writable(conn->state);
        if (conn->phase == CONN_DEAD)
            return false;
    }
    if (conn->out_first && conn->writable)
        conn_ready(conn);
    return true;
}

static bool conn_takes(const LoopConn *conn)
{
    return conn->phase == CONN_OPEN && !conn->resting;
}

/* Shows held input until the protocol takes no more of it. */
static void conn_show_held(LoopConn *conn)
{
    while (conn->held.len > 0 && conn_takes(conn)) {
        size_t taken = conn->protocol->bytes_in(conn->state, buf_str(&conn->held));
        if (conn->phase == CONN_DEAD || taken == 0)
            return;
        buf_drop_front(&conn->held, taken);
    }
    if (conn->held.len == 0 && conn->held.cap > HELD_KEEP_BYTES) {
        size_t most = conn->held.max;
        buf_done(&conn->held);
        buf_init(&conn->held, most);
    }
}

static void conn_show(LoopConn *conn, Str bytes)
{
    if (conn->held.len > 0) {
        buf_put(&conn->held, bytes);
        conn_show_held(conn);
    } else {
        while (bytes.len > 0 && conn_takes(conn)) {
            size_t taken = conn->protocol->bytes_in(conn->state, bytes);
            if (conn->phase == CONN_DEAD)
                return;
            if (taken == 0)
                break;
            bytes = str_from(bytes, taken);
        }
        if (conn->phase == CONN_OPEN && bytes.len > 0)
            buf_put(&conn->held, bytes);
    }
    if (conn->phase == CONN_OPEN && !conn->resting && conn->held.len > conn->protocol->held_max)
        conn_die(conn); /* the protocol neither takes nor refuses */
}

static void conn_tell_end(LoopConn *conn, bool all_read)
{
    if (conn->phase != CONN_OPEN || conn->end_told)
        return;
    conn->end_told = all_read;
    conn->protocol->ended(conn->state, all_read);
}

/* Reads until the socket is empty, the protocol rests or the turn is over. */
static void conn_read(LoopConn *conn, size_t *budget)
{
    while (conn->readable && *budget > 0) {
        bool away = conn->phase == CONN_LINGERING;
        if (conn->phase == CONN_DEAD || conn->phase == CONN_CLOSING || (!away && conn->resting))
            return;
        ptrdiff_t got = net_read(conn->fd, conn->loop->scratch, LOOP_READ_BYTES);
        if (got == -1) {
            conn->readable = false;
        } else if (got == -2 || (got == 0 && away)) {
            conn_die(conn);
            return;
        } else if (got == 0) {
            conn->readable = false;
            conn_tell_end(conn, true);
        } else {
            *budget -= MIN(*budget, (size_t)got);
            if (!away)
                conn_show(conn, str_of(conn->loop->scratch, (size_t)got));
        }
    }
    if (conn->readable && conn->phase != CONN_DEAD && *budget == 0)
        conn_ready(conn);
}

/* After the output: on from CLOSING. */
static void conn_settle(LoopConn *conn)
{
    if (conn->phase != CONN_CLOSING || conn->out_first)
        return;
    conn->phase = CONN_LINGERING;
    net_shutdown_write(conn->fd);
    buf_done(&conn->held);
    buf_init(&conn->held, conn->protocol->held_max + LOOP_READ_BYTES);
    loop_timer_set(conn->loop, &conn->linger, LOOP_LINGER_MS);
    conn->readable = true;
    conn_ready(conn);
}

void conn_turn(LoopConn *conn)
{
    size_t out_budget = LOOP_TURN_BYTES_MAX;
    size_t in_budget = LOOP_TURN_BYTES_MAX;
    if (conn->phase == CONN_DEAD || !conn_flush(conn, &out_budget))
        return;
    conn_show_held(conn);
    if (conn->phase != CONN_DEAD)
        conn_read(conn, &in_budget);
    if (conn->phase == CONN_OPEN && conn->peer_ended && conn->resting)
        conn_tell_end(conn, false);
    if (conn->phase == CONN_DEAD || !conn_flush(conn, &out_budget))
        return;
    conn_settle(conn);
}

Loop *loop_conn_loop(const LoopConn *conn)
{
    return conn->loop;
}

Str loop_conn_peer(const LoopConn *conn)
{
    return str_of(conn->peer, conn->peer_len);
}

static void out_push(LoopConn *conn, Buf *take_bytes)
{
    OutBlock *block = mem_new(sizeof *block);
    block->bytes = *take_bytes;
    *take_bytes = (Buf){ 0 };
    if (conn->out_last)
        conn->out_last->next = block;
    else
        conn->out_first = block;
    conn->out_last = block;
}

void loop_conn_send(LoopConn *conn, Str bytes)
{
    if (conn->phase != CONN_OPEN || bytes.len == 0)
        return;
    OutBlock *last = conn->out_last;
    if (!last || last->bytes.len + bytes.len > SMALL_BLOCK_BYTES) {
        Buf fresh;
        buf_init(&fresh, SIZE_MAX);
        out_push(conn, &fresh);
        last = conn->out_last;
    }
    buf_put(&last->bytes, bytes);
    conn->out_bytes += bytes.len;
    conn_ready(conn);
}

void loop_conn_send_take(LoopConn *conn, Buf *take_bytes)
{
    if (conn->phase != CONN_OPEN || take_bytes->len == 0) {
        buf_done(take_bytes);
        return;
    }
    conn->out_bytes += take_bytes->len;
    take_bytes->max = SIZE_MAX;
    out_push(conn, take_bytes);
    conn_ready(conn);
}

size_t loop_conn_queued(const LoopConn *conn)
{
    return conn->out_bytes;
}

uint64_t loop_conn_sent(const LoopConn *conn)
{
    return conn->sent_bytes;
}

void loop_conn_rest(LoopConn *conn, bool resting)
{
    if (conn->resting == resting)
        return;
    conn->resting = resting;
    if (resting && conn->peer_ended)
        conn_ready(conn);
    if (!resting)
        conn_ready(conn);
}

void loop_conn_close(LoopConn *conn)
{
    if (conn->phase != CONN_OPEN)
        return;
    conn->phase = CONN_CLOSING;
    conn_ready(conn);
}

void loop_conn_abort(LoopConn *conn)
{
    conn_die(conn);
}
