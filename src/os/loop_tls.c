/* TLS under a connection: sealed bytes between the socket and the connection of tls_priv.h.
 *
 * Invariants:
 * 1. All input of one read is opened before the call returns, so that nothing sealed is kept here.
 * 2. What the socket did not take of sealed output goes before everything in the queue.
 * 3. The loop's sealed output is empty between calls: it is one connection's at a time.
 * 4. A peer that makes us seal without reading what we seal (key updates) is cut off at
 *    UNREAD_BYTES_MAX.
 * 5. A connection that moves bytes again and again keeps OpenSSL's buffers (33 KiB), which saves two
 *    allocations a record; in its first turns, and when nothing has moved for a while, they are given
 *    back at once. */
#include "os/loop_priv.h"

#include <string.h>

enum { UNREAD_BYTES_MAX = 256 << 10 };

Code conn_tls_new(LoopConn *conn, Err *err)
{
    Loop *loop = conn->loop;
    if (!loop->tls)
        loop->tls = tls_work_new(LOOP_READ_BYTES);
    return tls_conn_new(conn->listener->listen.tls, loop->tls, &conn->tls, err);
}

static void tls_idle(LoopTimer *timer)
{
    LoopConn *conn = (LoopConn *)((char *)timer - offsetof(LoopConn, timer));
    if (conn->tls_used) {
        conn->tls_used = false;
        loop_timer_set(conn->loop, timer, LOOP_TLS_IDLE_MS);
        return;
    }
    conn->tls_turns = 0;
    tls_conn_slim(conn->tls);
    loop_trim(conn->loop);
}

void conn_tls_used(LoopConn *conn)
{
    if (conn->tls_turns < LOOP_TLS_TURNS) {
        conn->tls_turns++;
        tls_conn_slim(conn->tls);
        return;
    }
    conn->tls_used = true;
    if (conn->timer.class_at != 0)
        return;
    conn->timer.fire = tls_idle;
    loop_timer_set(conn->loop, &conn->timer, LOOP_TLS_IDLE_MS);
}

static void left_keep(TlsLeft *left, Str bytes)
{
    if (bytes.len == 0)
        return;
    left->ptr = mem_grow(left->ptr, left->len + bytes.len);
    memcpy(left->ptr + left->len, bytes.ptr, bytes.len);
    left->len += bytes.len;
}

/* Sends what waits first, then what was sealed in this call. As net_write, 0: there is nothing. */
static ptrdiff_t sealed_send(LoopConn *conn)
{
    Buf *out = &conn->loop->tls->out;
    TlsLeft *left = tls_conn_left(conn->tls);
    bool old = left->len > 0;
    struct iovec part = { old ? left->ptr + left->at : out->ptr, old ? left->len - left->at : out->len };
    ptrdiff_t sent = part.iov_len == 0 ? 0 : conn->writable ? net_write(conn->fd, &part, 1, false) : -1;
    size_t gone = (size_t)MAX(sent, (ptrdiff_t)0);
    if (gone < part.iov_len)
        conn->writable = false;
    left->at += old ? gone : 0;
    left_keep(left, str_from(buf_str(out), old ? 0 : gone));
    buf_clear(out);
    if (left->at == left->len) {
        mem_free(&left->ptr);
        *left = (TlsLeft){ 0 };
    }
    return sent;
}

/* What the TLS connection says of its own: handshake, alerts, key updates. */
static void sealed_say(LoopConn *conn)
{
    TlsLeft *left = tls_conn_left(conn->tls);
    if (conn->loop->tls->out.len == 0)
        return;
    ptrdiff_t sent = sealed_send(conn);
    if (sent == -2 || left->len - left->at > UNREAD_BYTES_MAX)
        conn_cut(conn);
    else if (sent > 0)
        conn->sent_bytes += (uint64_t)sent;
}

static void opened_show(LoopConn *conn)
{
    TlsWork *work = conn->loop->tls;
    TlsStep step = TLS_READY;
    while (step == TLS_READY && conn->phase == CONN_OPEN) {
        size_t len = 0;
        step = tls_conn_open(conn->tls, &len);
        if (len > 0)
            conn_show(conn, str_of(work->plain, len));
    }
    sealed_say(conn);
    if (conn->phase == CONN_OPEN && step == TLS_ENDED)
        conn_tell_end(conn, true);
    else if (conn->phase == CONN_OPEN && step == TLS_BROKEN)
        conn_cut(conn);
}

/* A handshake that failed on its first bytes: a client that begins with a letter gets words it reads. */
static void clear_answer(LoopConn *conn, Str bytes)
{
    Str text = protocol_of(conn)->wants_tls;
    struct iovec part = { (char *)text.ptr, text.len };
    if (conn->sent_bytes > 0 || text.len == 0 || bytes.ptr[0] < 'A' || bytes.ptr[0] > 'z')
        return;
    buf_clear(&conn->loop->tls->out);
    IGNORE(net_write(conn->fd, &part, 1, false) < 0); /* it is only told why */
}

void conn_tls_in(LoopConn *conn, Str bytes)
{
    TlsWork *work = conn->loop->tls;
    ASSERT(work->out.len == 0);
    work->in = bytes;
    if (conn->phase == CONN_HANDSHAKE && bytes.len > 0) {
        conn->loop->handshakes++;
        TlsStep step = tls_conn_handshake(conn->tls);
        if (step == TLS_BROKEN)
            clear_answer(conn, bytes);
        sealed_say(conn);
        if (conn->phase == CONN_DEAD || step == TLS_MORE)
            return;
        if (step != TLS_READY) {
            conn_fail(conn);
            return;
        }
        conn_begin(conn);
    }
    if (conn->phase == CONN_OPEN && work->in.len > 0)
        opened_show(conn);
}

/* Seals as much of the queue as makes a good write. false: it cannot. */
static bool queue_seal(LoopConn *conn)
{
    TlsWork *work = conn->loop->tls;
    for (size_t sealed = 0; conn->out_first && sealed < TLS_BATCH_BYTES;) {
        const OutBlock *block = conn->out_first;
        size_t len = (size_t)MIN(block->end - block->at, (uint64_t)TLS_RECORD_BYTES_MAX), put = 0;
        if (block->fd < 0 && (len == TLS_RECORD_BYTES_MAX || !block->next)) {
            if (!tls_conn_seal(conn->tls, str_of(out_block_bytes(block), len)))
                return false;
            put = len;
        } else {
            if (!out_gather(conn, work->plain, TLS_RECORD_BYTES_MAX, &put) ||
                !tls_conn_seal(conn->tls, str_of(work->plain, put)))
                return false;
        }
        out_sent(conn, put);
        sealed += put;
    }
    return true;
}

ptrdiff_t conn_tls_put(LoopConn *conn)
{
    const TlsLeft *left = tls_conn_left(conn->tls);
    ASSERT(conn->loop->tls->out.len == 0);
    if (left->len == 0 && !queue_seal(conn)) {
        buf_clear(&conn->loop->tls->out); /* the next to use it is another connection */
        return -2;
    }
    return sealed_send(conn);
}

void conn_tls_end(LoopConn *conn)
{
    tls_conn_end(conn->tls);
    sealed_say(conn);
}
