/* Listening, accepting, and the end of it.
 *
 * Invariants:
 * 1. Each loop has a listening socket of its own and the kernel spreads clients over them; an
 *    inherited socket is shared, level-triggered and exclusive: one loop is woken for a client.
 * 2. A client is counted in `connections` before it is opened, and admitted once.
 * 3. Draining serves who waits already, and requests that have come before it. */
#include "os/loop_priv.h"

#include <fcntl.h>
#include <sys/epoll.h>

typedef struct StopPost {
    LoopPost post; /* first */
    Loop *loop;
} StopPost;

/* No descriptor is left: takes one waiting client with the spare one and lets it go. */
static void accept_without_room(Loop *loop, int listen_fd)
{
    Loops *loops = loop->loops;
    NetAddress peer;
    MUTEX_HELD(&loops->mutex);
    atomic_fetch_add(&loops->refused, 1);
    net_close(&loops->spare_fd);
    int fd = net_accept(listen_fd, &peer);
    if (fd >= 0)
        net_close(&fd);
    loops->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

void conn_refuse(int fd, const LoopListen *listen)
{
    Str text = listen->protocol->refusal;
    struct iovec part = { (char *)text.ptr, text.len };
    if (text.len > 0 && !listen->tls)
        IGNORE(net_write(fd, &part, 1, false) < 0); /* it is only told why */
}

static void accept_one(Loop *loop, int fd, const NetAddress *peer, const LoopListener *listener)
{
    Loops *loops = loop->loops;
    atomic_fetch_add(&loops->accepted, 1);
    bool fits = atomic_fetch_add(&loops->connections, 1) < loops->connections_max;
    void *seat = NULL;
    if (fits && conn_trusted(listener, peer, &seat)) {
        conn_open(loop, fd, peer, listener, seat);
        return;
    }
    atomic_fetch_sub(&loops->connections, 1);
    atomic_fetch_add(&loops->refused, 1);
    conn_refuse(fd, &listener->listen);
    net_close(&fd);
}

void door_accept(Loop *loop, const LoopDoor *door, bool all)
{
    int turn = all                      ? NET_BACKLOG + 1 /* so many the kernel lets wait */
               : door->listener->shared ? LOOP_SHARED_ACCEPTS_A_TURN
                                        : LOOP_ACCEPTS_A_TURN;
    for (int i = 0; i < turn; i++) {
        NetAddress peer;
        int fd = net_accept(door->fd, &peer);
        if (fd == -1)
            return;
        if (fd == -2) {
            accept_without_room(loop, door->fd);
            return;
        }
        if (fd >= 0)
            accept_one(loop, fd, &peer, door->listener);
    }
}

/* Gives each loop its socket; false: one cannot watch it. */
static bool doors_watch(Loops *loops, LoopListener *listener)
{
    for (size_t i = 0; i < loops->count; i++) {
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = &listener->doors[i] };
        if (listener->shared)
            event.events |= EPOLLEXCLUSIVE;
        if (epoll_ctl(loops->items[i].epoll_fd, EPOLL_CTL_ADD, listener->doors[i].fd, &event) != 0)
            return false;
    }
    return true;
}

Code loops_listen(Loops *loops, const LoopListen *listen, NetAddress *ret_bound, Err *err)
{
    const LoopProtocol *protocol = listen->protocol;
    int fds[LOOPS_MAX];
    NetAddress bound;
    ASSERT(protocol->opened && protocol->bytes_in && protocol->ended && protocol->closed);
    ASSERT(!listen->proxy_protocol || listen->trusted);
    if (listen->fd > 0)
        TRY(net_local(listen->fd, &bound, err));
    else
        TRY(net_listen(&listen->address, fds, loops->count, &bound, err));
    LoopListener *listener = mem_new(sizeof *listener);
    *listener = (LoopListener){ loops->listeners, *listen, NULL, loops->count, listen->fd > 0 };
    for (size_t i = 0; i < (listener->shared ? 1 : loops->count); i++)
        net_tune(listener->shared ? listen->fd : fds[i], LOOP_UNSENT_BYTES);
    listener->doors = mem_new(loops->count * sizeof *listener->doors);
    for (size_t i = 0; i < loops->count; i++)
        listener->doors[i] = (LoopDoor){ HANDLE_LISTENER, listener->shared ? listen->fd : fds[i],
                                         listener };
    loops->listeners = listener;
    if (!doors_watch(loops, listener))
        return err_set(err, E_UNAVAILABLE, "the loop cannot watch its listener");
    if (ret_bound)
        *ret_bound = bound;
    return E_OK;
}

static void listener_close(LoopListener *listener)
{
    for (size_t i = 0; i < listener->count; i++) {
        if (i == 0 || !listener->shared)
            net_close(&listener->doors[i].fd);
        listener->doors[i].fd = -1;
    }
}

void listeners_free(Loops *loops)
{
    while (loops->listeners) {
        LoopListener *listener = loops->listeners;
        loops->listeners = listener->next;
        listener_close(listener);
        mem_free(&listener->doors);
        mem_free(&listener);
    }
}

static void conns_drain(Loop *loop)
{
    LoopConn *next;
    loop->turn_bytes = LOOP_TURN_BYTES_MIN;
    for (LoopConn *conn = loop->conns.next; conn != &loop->conns; conn = next) {
        next = conn->next;
        conn->readable = true; /* looks once more: what has come already is no longer idle */
        conn_turn(conn);
    }
}

static void loop_stop_listening(LoopPost *post)
{
    StopPost *stop = (StopPost *)post;
    Loop *loop = stop->loop;
    for (LoopListener *l = loop->loops->listeners; l; l = l->next) {
        LoopDoor *door = &l->doors[loop_index(loop)];
        door_accept(loop, door, true); /* who waits already is served, not reset */
        loop_forget(loop, door->fd, door);
    }
    conns_drain(loop);
    mem_free(&stop);
    MUTEX_HELD(&loop->loops->mutex);
    loop->loops->stopped++;
    cond_broadcast(&loop->loops->changed);
}

bool loops_drain(Loops *loops, uint32_t wait_ms)
{
    int64_t end_us = os_monotonic_us(loops->os) + (int64_t)wait_ms * 1000;
    if (!atomic_exchange(&loops->draining, true)) {
        for (size_t i = 0; i < loops->count; i++) {
            StopPost *stop = mem_new(sizeof *stop);
            *stop = (StopPost){ { NULL, loop_stop_listening }, &loops->items[i] };
            loop_post(&loops->items[i], &stop->post);
        }
    }
    MUTEX_HELD(&loops->mutex);
    while (loops->stopped < loops->count)
        cond_wait(&loops->changed, &loops->mutex);
    for (LoopListener *l = loops->listeners; l; l = l->next)
        listener_close(l);
    while (atomic_load(&loops->connections) > 0) {
        int64_t left_us = end_us - os_monotonic_us(loops->os);
        if (left_us <= 0)
            return false;
        IGNORE(cond_wait_us(&loops->changed, &loops->mutex, left_us)); /* the loop looks again */
    }
    return true;
}
