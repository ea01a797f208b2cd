/* The output of a connection: a queue of blocks.
 *
 * Invariants:
 * 1. `out_bytes` is what the blocks still hold; a file counts with what is left of its part.
 * 2. Small sends share a block of LOOP_BLOCK_BYTES, which comes from the loop's spare ones; a slow
 *    reader does not keep it: what is left moves to a block of its size.
 * 3. A file's `done` is called exactly once, when its block leaves the queue, and a cut's `over`.
 * 4. No byte of a cut goes out that `check` did not let go within the last LOOP_CUT_KEEP_US: what the socket
 *    did not take waits in the page cache as what it took does, and is asked for again when it waits longer. */
#include "os/loop_priv.h"

#include <string.h>
#include <sys/epoll.h>

enum { WRITE_PARTS_MAX = 32, KEEP_FREE_BYTES = 1 << 10 };

static OutBlock *block_new(Loop *loop, size_t room)
{
    OutBlock *block = loop->spare;
    if (room == LOOP_BLOCK_BYTES && block) {
        loop->spare = block->next;
        loop->spare_count--;
    } else {
        block = mem_grow(NULL, sizeof *block + room);
    }
    *block = (OutBlock){ .room = room, .fd = -1 };
    return block;
}

static void block_free(Loop *loop, OutBlock *block)
{
    if (block->fd >= 0)
        block->done(block->arg);
    if (block->cut)
        block->cut->over(block->cut, block->at);
    mem_free(&block->taken);
    if (block->room == LOOP_BLOCK_BYTES && loop->spare_count < LOOP_SPARE_BLOCKS_MAX) {
        block->next = loop->spare;
        loop->spare = block;
        loop->spare_count++;
        return;
    }
    mem_free(&block);
}

void out_spare_free(Loop *loop)
{
    while (loop->spare) {
        OutBlock *block = loop->spare;
        loop->spare = block->next;
        mem_free(&block);
    }
}

static void block_push(LoopConn *conn, OutBlock *block)
{
    if (conn->out_last)
        conn->out_last->next = block;
    else
        conn->out_first = block;
    conn->out_last = block;
}

static void block_shift(LoopConn *conn)
{
    OutBlock *block = conn->out_first;
    conn->out_first = block->next;
    if (!conn->out_first)
        conn->out_last = NULL;
    block_free(conn->loop, block);
}

void out_free(LoopConn *conn)
{
    while (conn->out_first)
        block_shift(conn);
    conn->out_bytes = 0;
}

void out_sent(LoopConn *conn, uint64_t sent)
{
    conn->out_bytes -= sent;
    while (sent > 0) {
        OutBlock *block = conn->out_first;
        uint64_t left = block->end - block->at;
        if (sent < left) {
            block->at += sent;
            return;
        }
        sent -= left;
        block->at = block->end;
        block_shift(conn);
    }
}

static bool in_memory(const OutBlock *block)
{
    return block->fd < 0 && !block->cut;
}

const char *out_block_bytes(const OutBlock *block)
{
    return (block->taken ? block->taken : block->copy) + block->at;
}

/* False: no more of the cut goes out this way. */
static bool cut_look(LoopConn *conn, OutBlock *block)
{
    int64_t now_us = conn->loop->now_us;
    if (block->at < block->cut_to && now_us - block->cut_us <= LOOP_CUT_KEEP_US)
        return true;
    size_t len = (size_t)MIN(block->end - block->at, (uint64_t)LOOP_CUT_BYTES);
    uint64_t file_at = 0;
    len = block->cut->check(block->cut, block->at, len, conn->loop->scratch, &block->cut_fd, &file_at);
    block->file_at = file_at - block->at;
    block->cut_to = block->at + len;
    block->cut_us = now_us;
    return len > 0;
}

/* 0: the rest is given back. */
static ptrdiff_t cut_put(LoopConn *conn, size_t most)
{
    OutBlock *block = conn->out_first;
    if (!cut_look(conn, block)) {
        conn->out_bytes -= block->end - block->at;
        block_shift(conn);
        return 0;
    }
    size_t len = (size_t)MIN(block->cut_to - block->at, (uint64_t)most);
    ptrdiff_t sent = net_send_file(conn->fd, block->cut_fd, block->file_at + block->at, len);
    if (sent >= 0 && (size_t)sent < len)
        conn->writable = false;
    return sent;
}

/* In clear: as net_write. A socket that took only a part is full. */
static ptrdiff_t clear_put(LoopConn *conn, size_t budget)
{
    OutBlock *block = conn->out_first;
    size_t all = (size_t)MIN(block->end - block->at, (uint64_t)budget);
    if (block->cut)
        return cut_put(conn, all);
    if (block->fd >= 0)
        return net_send_file(conn->fd, block->fd, block->file_at + block->at, all);
    struct iovec parts[WRITE_PARTS_MAX] = { { (char *)out_block_bytes(block), all } };
    size_t count = 1;
    while ((block = block->next) && in_memory(block) && count < WRITE_PARTS_MAX && all < budget) {
        size_t len = MIN((size_t)(block->end - block->at), budget - all);
        parts[count++] = (struct iovec){ (char *)out_block_bytes(block), len };
        all += len;
    }
    ptrdiff_t sent = net_write(conn->fd, parts, count, block && !in_memory(block));
    if (sent >= 0 && (size_t)sent < all)
        conn->writable = false;
    return sent;
}

bool out_gather(const LoopConn *conn, char *bytes, size_t most, size_t *ret_len)
{
    size_t len = 0;
    for (const OutBlock *block = conn->out_first; block && len < most; block = block->next) {
        size_t piece = (size_t)MIN(block->end - block->at, (uint64_t)(most - len));
        if (block->fd < 0)
            memcpy(bytes + len, out_block_bytes(block), piece);
        else if (!net_file_read(block->fd, bytes + len, piece, block->file_at + block->at))
            return false;
        len += piece;
    }
    *ret_len = len;
    return true;
}

/* The socket is full: a block that is mostly room goes back. */
static void out_shrink(LoopConn *conn)
{
    OutBlock *first = conn->out_first;
    size_t left = first ? (size_t)(first->end - first->at) : 0;
    if (!first || first->room != LOOP_BLOCK_BYTES || left + KEEP_FREE_BYTES > first->room)
        return;
    OutBlock *fit = block_new(conn->loop, left);
    memcpy(fit->copy, out_block_bytes(first), left);
    fit->end = left;
    fit->next = first->next;
    if (conn->out_last == first)
        conn->out_last = fit;
    conn->out_first = fit;
    block_free(conn->loop, first);
}

static size_t sealed_left(const LoopConn *conn)
{
    const TlsLeft *left = conn->tls ? tls_conn_left(conn->tls) : NULL;
    return left ? left->len - left->at : 0;
}

bool out_waits(const LoopConn *conn)
{
    return conn->out_first || sealed_left(conn) > 0;
}

static void out_count(LoopConn *conn, size_t sent)
{
    conn->sent_bytes += sent;
    if (conn->wide || conn->sent_bytes < LOOP_WIDE_BYTES)
        return;
    conn->wide = true;
    net_unsent(conn->fd, 0);
}

bool out_flush(LoopConn *conn, size_t *budget)
{
    while (conn->writable && *budget > 0 && out_waits(conn)) {
        ptrdiff_t sent = conn->tls ? conn_tls_put(conn) : clear_put(conn, *budget);
        if (sent == -2) {
            conn_cut(conn); /* broken already, or a file that is shorter: that must be seen */
            return false;
        }
        if (sent < 0) {
            conn->writable = false;
            break;
        }
        out_count(conn, (size_t)sent);
        if (!conn->tls)
            out_sent(conn, (uint64_t)sent);
        *budget -= MIN(*budget, (size_t)sent);
        if (conn->phase == CONN_CLOSING)
            loop_timer_set(conn->loop, &conn->timer, LOOP_CLOSING_MS);
        if (conn->phase == CONN_OPEN && protocol_of(conn)->writable)
            protocol_of(conn)->writable(conn->state);
        if (conn->phase == CONN_DEAD)
            return false;
    }
    if (!conn->writable)
        out_shrink(conn);
    return true;
}

void loop_conn_send(LoopConn *conn, Str bytes)
{
    if (conn->phase != CONN_OPEN || bytes.len == 0)
        return;
    conn->out_bytes += bytes.len;
    OutBlock *last = conn->out_last;
    if (last && in_memory(last) && !last->taken && last->room - last->end > 0) {
        size_t fits = MIN(bytes.len, (size_t)(last->room - last->end));
        memcpy(last->copy + last->end, bytes.ptr, fits);
        last->end += fits;
        bytes = str_from(bytes, fits);
    }
    if (bytes.len > 0) {
        OutBlock *fresh = block_new(conn->loop, MAX(bytes.len, (size_t)LOOP_BLOCK_BYTES));
        memcpy(fresh->copy, bytes.ptr, bytes.len);
        fresh->end = bytes.len;
        block_push(conn, fresh);
    }
    conn_ready(conn);
}

void loop_conn_send_take(LoopConn *conn, Buf *take_bytes)
{
    if (conn->phase != CONN_OPEN || take_bytes->len == 0) {
        buf_done(take_bytes);
        return;
    }
    OutBlock *block = block_new(conn->loop, 0);
    block->end = take_bytes->len;
    block->taken = take_bytes->ptr;
    *take_bytes = (Buf){ 0 };
    conn->out_bytes += block->end;
    block_push(conn, block);
    conn_ready(conn);
}

void loop_conn_send_file(LoopConn *conn, int fd, uint64_t at, uint64_t len,
                         void (*done)(void *arg), void *arg)
{
    if (conn->phase != CONN_OPEN || len == 0) {
        done(arg);
        return;
    }
    OutBlock *block = block_new(conn->loop, 0);
    block->end = len;
    block->file_at = at;
    block->fd = fd;
    block->done = done;
    block->arg = arg;
    conn->out_bytes += len;
    block_push(conn, block);
    conn_ready(conn);
}

void loop_conn_send_cut(LoopConn *conn, uint64_t len, LoopCut *cut)
{
    ASSERT(!conn->tls && len > 0);
    if (conn->phase != CONN_OPEN) {
        cut->over(cut, 0);
        return;
    }
    OutBlock *block = block_new(conn->loop, 0);
    block->end = len;
    block->cut = cut;
    conn->out_bytes += len;
    block_push(conn, block);
    conn_ready(conn);
}

size_t loop_conn_queued(const LoopConn *conn)
{
    return conn->out_bytes + sealed_left(conn);
}

uint64_t loop_conn_delivered(const LoopConn *conn)
{
    size_t waits = net_unacknowledged(conn->fd); /* of TLS with its frames, a little more than was sent */
    return conn->sent_bytes - MIN((uint64_t)waits, conn->sent_bytes);
}
