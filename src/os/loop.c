/* Event loops: one thread each with its epoll, timers, posts and watches.
 *
 * Invariants:
 * 1. A LoopConn stays on the loop that accepted it.
 * 2. In a turn: posts, then events, then timers, then connections that are ready, each once; a
 *    connection that is not done puts itself on the list again, so nobody starves the others.
 * 3. Timers of one class have one duration and are appended, so the ring is sorted by time.
 * 4. Nothing that was stopped in a turn is called in it: a watch that stops leaves the turn's events.
 * 5. A loop with much to do lets a client of this machine, or another thread, go on that wakes it, and
 *    so finds more to do at once; one with little to do comes at once.
 * 6. loops_free ends workers before loops: every post of theirs is run before memory goes. A loop's thread ends when
 *    those that are expected from others have come. */
#include "os/loop_priv.h"
#include "os/memory.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { SPARE_DESCRIPTORS = 64, PACE_US = 100 * 1000, BUSY_EVENTS_A_SECOND = 4000 };

_Static_assert((int)LOOP_IN == (int)EPOLLIN && (int)LOOP_OUT == (int)EPOLLOUT &&
               (int)LOOP_BROKEN == (int)(EPOLLERR | EPOLLHUP), "as epoll has them");

/* ---- timers ---- */

void loop_timer_stop(Loop *loop, LoopTimer *timer)
{
    (void)loop;
    if (timer->class_at == 0)
        return;
    timer->prev->next = timer->next;
    timer->next->prev = timer->prev;
    timer->class_at = 0;
}

static size_t class_of(Loop *loop, uint32_t duration_ms)
{
    size_t best = SIZE_MAX, longest = 0;
    for (size_t i = 0; i < loop->class_count; i++) {
        uint32_t duration = loop->classes[i].duration_ms;
        if (duration == duration_ms)
            return i;
        if (duration > duration_ms &&
            (best == SIZE_MAX || duration < loop->classes[best].duration_ms))
            best = i;
        if (duration > loop->classes[longest].duration_ms)
            longest = i;
    }
    if (loop->class_count == LOOP_TIMER_CLASSES_MAX)
        return best == SIZE_MAX ? longest : best;
    TimerClass *fresh = &loop->classes[loop->class_count];
    fresh->duration_ms = duration_ms;
    fresh->head.prev = fresh->head.next = &fresh->head;
    return loop->class_count++;
}

void loop_timer_set(Loop *loop, LoopTimer *timer, uint32_t duration_ms)
{
    loop_timer_stop(loop, timer);
    size_t at = class_of(loop, duration_ms);
    TimerClass *class = &loop->classes[at];
    timer->due_us = loop->now_us + (int64_t)class->duration_ms * 1000;
    timer->prev = class->head.prev;
    timer->next = &class->head;
    timer->prev->next = timer;
    class->head.prev = timer;
    timer->class_at = (int)at + 1;
}

static void timers_fire(Loop *loop)
{
    for (size_t i = 0; i < loop->class_count; i++) {
        LoopTimer *head = &loop->classes[i].head;
        while (head->next != head && head->next->due_us <= loop->now_us) {
            LoopTimer *timer = head->next;
            loop_timer_stop(loop, timer);
            timer->fire(timer);
        }
    }
}

/* Has the loop woken when the soonest timer is due. The alarm is set again only to come sooner: timers
 * mostly move away from it, and then it wakes the loop for nothing once, instead of costing every turn. */
static void timers_arm(Loop *loop)
{
    int64_t soonest = INT64_MAX;
    for (size_t i = 0; i < loop->class_count; i++) {
        const LoopTimer *head = &loop->classes[i].head;
        if (head->next != head)
            soonest = MIN(soonest, head->next->due_us);
    }
    bool armed = loop->alarm_us > loop->now_us;
    if (soonest == INT64_MAX || (armed && loop->alarm_us <= soonest))
        return;
    int64_t wait_us = MAX(soonest - loop->now_us, (int64_t)1);
    struct itimerspec alarm = { .it_value = { wait_us / 1000000, wait_us % 1000000 * 1000 } };
    ASSERT(timerfd_settime(loop->alarm_fd, 0, &alarm, NULL) == 0);
    loop->alarm_us = loop->now_us + wait_us;
}

/* ---- posts and work ---- */

void loop_post(Loop *loop, LoopPost *post)
{
    uint64_t one = 1;
    bool signal;
    post->next = NULL;
    mutex_lock(&loop->mutex);
    if (loop->post_last)
        loop->post_last->next = post;
    else
        loop->post_first = post;
    loop->post_last = post;
    signal = !atomic_exchange(&loop->post_signalled, true);
    mutex_unlock(&loop->mutex);
    if (signal)
        ASSERT(write(loop->event_fd, &one, sizeof one) == sizeof one);
}

static void posts_run(Loop *loop)
{
    uint64_t count;
    if (!atomic_load(&loop->post_signalled))
        return;
    mutex_lock(&loop->mutex);
    LoopPost *post = loop->post_first;
    loop->post_first = loop->post_last = NULL;
    IGNORE(read(loop->event_fd, &count, sizeof count) < 0); /* empty already is as good */
    atomic_store(&loop->post_signalled, false);
    mutex_unlock(&loop->mutex);
    while (post) {
        LoopPost *next = post->next;
        post->run(post);
        post = next;
    }
}

void loop_expect(Loop *loop)
{
    loop->expected++;
}

void loop_came(Loop *loop)
{
    loop->expected--;
}

/* Its connections are gone: nothing else comes. */
static void expected_await(Loop *loop)
{
    uint64_t count;
    while (loop->expected > 0) {
        struct pollfd wait = { loop->event_fd, POLLIN, 0 };
        IGNORE(poll(&wait, 1, -1) < 0); /* interrupted: looks again */
        IGNORE(read(loop->event_fd, &count, sizeof count) < 0); /* the wish to end stands in it too */
        posts_run(loop);
    }
}

static void work_done(LoopPost *post)
{
    LoopWork *work = (LoopWork *)post;
    work->done(work);
}

static void work_run(void *arg)
{
    LoopWork *work = arg;
    Loop *loop = work->loop;
    work->work(work);
    work->post.run = work_done;
    loop_post(loop, &work->post);
}

Code loop_work(LoopWork *work, size_t lane, Err *err)
{
    ASSERT(lane < work->loop->loops->lane_count);
    Pool *pool = work->loop->loops->lanes[lane];
    if (!pool)
        return err_set(err, E_UNAVAILABLE, "the loops end");
    return pool_submit(pool, work_run, work, err);
}

int64_t loop_now_us(const Loop *loop)
{
    return loop->now_us;
}

/* ---- memory ---- */

static void trim_run(LoopWork *work)
{
    (void)work;
    memory_trim();
}

static void trim_done(LoopWork *work)
{
    work->loop->trims = false;
}

static void trim_fire(LoopTimer *timer)
{
    Loop *loop = (Loop *)((char *)timer - offsetof(Loop, trim));
    loop->trim_work = (LoopWork){ .loop = loop, .work = trim_run, .done = trim_done };
    loop->trims = loop->loops->lane_count > 0 && loop_work(&loop->trim_work, 0, NULL) == E_OK;
}

void loop_trim(Loop *loop)
{
    if (loop->trim.class_at || loop->trims)
        return;
    loop->trim.fire = trim_fire;
    loop_timer_set(loop, &loop->trim, LOOP_TRIM_MS);
}

/* ---- foreign descriptors ---- */

Code loop_watch_set(Loop *loop, LoopWatch *watch, Err *err)
{
    struct epoll_event event = { .events = watch->events, .data.ptr = watch };
    int op = watch->kind == HANDLE_WATCH ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    watch->kind = HANDLE_WATCH;
    if (epoll_ctl(loop->epoll_fd, op, watch->fd, &event) == 0)
        return E_OK;
    if (op == EPOLL_CTL_ADD)
        watch->kind = 0;
    return err_set(err, E_UNAVAILABLE, "the loop cannot watch a descriptor");
}

void loop_forget(Loop *loop, int fd, const void *pointer)
{
    IGNORE(epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, fd, NULL) != 0); /* gone is as good */
    for (int i = loop->event_at; i < loop->event_count; i++) {
        if (loop->events[i].data.ptr == pointer)
            loop->events[i].data.ptr = loop; /* as a post: run every turn */
    }
}

void loop_watch_stop(Loop *loop, LoopWatch *watch)
{
    if (watch->kind != HANDLE_WATCH)
        return;
    watch->kind = 0;
    loop_forget(loop, watch->fd, watch);
}

/* ---- the turn ---- */

static void ready_run(Loop *loop)
{
    LoopConn *conn = loop->ready_first;
    size_t count = MAX(loop->ready_count, (size_t)1);
    loop->turn_bytes = MAX(LOOP_ROUND_BYTES / count, (size_t)LOOP_TURN_BYTES_MIN);
    loop->ready_first = loop->ready_last = NULL;
    loop->ready_count = 0;
    while (conn) {
        LoopConn *next = conn->next_ready;
        conn->in_ready = false;
        conn_turn(conn);
        conn = next;
    }
}

static void events_take(Loop *loop)
{
    while (loop->event_at < loop->event_count) {
        const struct epoll_event *event = &loop->events[loop->event_at++];
        void *pointer = event->data.ptr;
        LoopWatch *watch = pointer;
        switch (*(LoopHandle *)pointer) {
        case HANDLE_POSTS:
            break; /* posts are run every turn */
        case HANDLE_LISTENER:
            door_accept(loop, pointer, false);
            break;
        case HANDLE_CONN:
            conn_event(pointer, event->events);
            break;
        case HANDLE_WATCH:
            watch->fire(watch, event->events);
            break;
        }
    }
}

/* Being woken for each request costs as much as the request. */
static void pace(Loop *loop)
{
    int64_t took_us = loop->now_us - loop->pace_us;
    loop->pace_events += (uint64_t)loop->event_count;
    if (took_us < PACE_US)
        return;
    bool busy = loop->pace_events * 1000000 / (uint64_t)took_us >= BUSY_EVENTS_A_SECOND;
    if (busy != loop->busy)
        thread_batch(busy);
    loop->busy = busy;
    loop->pace_us = loop->now_us;
    loop->pace_events = 0;
}

static void *loop_run(void *arg)
{
    Loop *loop = arg;
    struct epoll_event events[LOOP_EVENTS_MAX];
    loop->events = events;
    loop->now_us = loop->pace_us = os_monotonic_us(loop->loops->os);
    while (!atomic_load(&loop->loops->ending)) {
        timers_arm(loop);
        int count = epoll_wait(loop->epoll_fd, events, LOOP_EVENTS_MAX, loop->ready_first ? 0 : -1);
        loop->now_us = os_monotonic_us(loop->loops->os);
        loop->handshakes = 0;
        loop->event_at = 0;
        loop->event_count = MAX(count, 0);
        pace(loop);
        posts_run(loop);
        events_take(loop);
        timers_fire(loop);
        ready_run(loop);
        conn_dead_free(loop);
    }
    while (loop->conns.next != &loop->conns)
        loop_conn_abort(loop->conns.next);
    loop->events = NULL;
    loop->event_count = 0;
    expected_await(loop);
    return NULL;
}

/* ---- start and end ---- */

static Code loop_init(Loops *loops, Loop *loop, Err *err)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = loop };
    struct epoll_event alarm = { .events = EPOLLIN | EPOLLET, .data.ptr = loop };
    loop->handle = HANDLE_POSTS;
    loop->loops = loops;
    loop->conns.prev = loop->conns.next = &loop->conns;
    mutex_init(&loop->mutex);
    loop->scratch = mem_new(LOOP_READ_BYTES);
    loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    loop->alarm_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (loop->epoll_fd < 0 || loop->event_fd < 0 || loop->alarm_fd < 0 ||
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->alarm_fd, &alarm) != 0 ||
        epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, loop->event_fd, &event) != 0)
        return err_set(err, E_UNAVAILABLE, "no event loop can be made: out of descriptors");
    return thread_start(&loop->thread, "loop", loop_run, loop, err);
}

Code loops_start(const LoopOptions *options, Loops **ret_loops, Err *err)
{
    Loops *loops AUTO(loops_free) = mem_new(sizeof *loops);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    size_t wanted = options->loops ? options->loops : (size_t)MAX(cores, 1L);
    loops->os = options->os;
    loops->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    mutex_init(&loops->mutex);
    cond_init(&loops->changed);
    uint64_t descriptors = net_descriptors_max();
    uint64_t most = descriptors > SPARE_DESCRIPTORS * 4 ? descriptors / 4 * 3 : descriptors / 2;
    loops->connections_max = options->connections_max ? options->connections_max : most;
    ASSERT(options->lane_count <= LOOP_LANES_MAX);
    for (size_t i = 0; i < options->lane_count; i++, loops->lane_count++) {
        const LoopLane *lane = &options->lanes[i];
        TRY(pool_new(lane->name, lane->workers, lane->queue_max, &loops->lanes[i], err));
    }
    wanted = MIN(wanted, (size_t)LOOPS_MAX);
    loops->items = mem_new(wanted * sizeof *loops->items);
    for (; loops->count < wanted; loops->count++) {
        Code code = loop_init(loops, &loops->items[loops->count], err);
        if (code != E_OK) {
            loops->count++;
            return code;
        }
    }
    *ret_loops = TAKE(loops);
    return E_OK;
}

static void loop_done(Loop *loop)
{
    posts_run(loop); /* what workers posted after the thread's last turn */
    loop->ready_first = loop->ready_last = NULL;
    for (LoopConn *conn = loop->dead; conn; conn = conn->next)
        conn->in_ready = false;
    conn_dead_free(loop);
    net_close(&loop->epoll_fd);
    net_close(&loop->event_fd);
    net_close(&loop->alarm_fd);
    mutex_done(&loop->mutex);
    out_spare_free(loop);
    tls_work_free(&loop->tls);
    mem_free(&loop->scratch);
}

void loops_free(Loops **loops_at)
{
    Loops *loops = TAKE(*loops_at);
    uint64_t one = 1;
    if (!loops)
        return;
    atomic_store(&loops->ending, true);
    for (size_t i = 0; i < loops->count; i++) {
        if (loops->items[i].event_fd > 0)
            IGNORE(write(loops->items[i].event_fd, &one, sizeof one) < 0); /* it wakes already */
        thread_join(&loops->items[i].thread);
    }
    for (size_t i = 0; i < loops->lane_count; i++)
        pool_free(&loops->lanes[i]);
    for (size_t i = 0; i < loops->count; i++)
        loop_done(&loops->items[i]);
    listeners_free(loops);
    net_close(&loops->spare_fd);
    cond_done(&loops->changed);
    mutex_done(&loops->mutex);
    mem_free(&loops->items);
    mem_free(&loops);
}

uint64_t loops_connections(const Loops *loops)
{
    return atomic_load(&loops->connections);
}

uint64_t loops_accepted(const Loops *loops)
{
    return atomic_load(&loops->accepted);
}

uint64_t loops_refused(const Loops *loops)
{
    return atomic_load(&loops->refused);
}

uint64_t loops_handshakes_failed(const Loops *loops)
{
    return atomic_load(&loops->handshakes_failed);
}

size_t loops_count(const Loops *loops)
{
    return loops->count;
}

Loop *loops_at(Loops *loops, size_t at)
{
    ASSERT(at < loops->count);
    return &loops->items[at];
}

size_t loop_index(const Loop *loop)
{
    return (size_t)(loop - loop->loops->items);
}
