/* The budget of buffered bytes, of all and of each client, and those who wait for it.
 *
 * Invariants:
 * 1. bytes <= bytes_max at every moment but that of a refusal, the same with a client's share, but for bytes that
 *    were forced. What is taken is given once.
 * 2. Who waits stands in the line of its client; the lines are served in turn, each from its front. A line whose
 *    client has its share is passed over. Where all together have too much nobody is passed over, so that the
 *    first in turn, however much it wants, comes to it.
 * 3. No room is overlooked: `waiting` is raised before the lines are looked at, bytes are given before `waiting`
 *    is looked at, and who took for a moment and gave back looks too.
 * 4. A line lasts as long as somebody stands in it; its client is pinned by those who do. */
#include "front/limit/limit_priv.h"

typedef enum Taken { TAKEN, OWN_SHARE_FULL, ALL_FULL } Taken;

static bool bytes_add(atomic_uint_fast64_t *sum, uint64_t most, size_t bytes)
{
    uint64_t before = atomic_load_explicit(sum, memory_order_relaxed);
    do {
        if (most > 0 && (before >= most || bytes > most - before))
            return false;
    } while (!atomic_compare_exchange_weak(sum, &before, before + bytes));
    return true;
}

static void peak_note(Limits *limits)
{
    uint64_t now = atomic_load_explicit(&limits->bytes, memory_order_relaxed);
    uint64_t peak = atomic_load_explicit(&limits->bytes_peak, memory_order_relaxed);
    while (now > peak &&
           !atomic_compare_exchange_weak_explicit(&limits->bytes_peak, &peak, now,
                                                  memory_order_relaxed, memory_order_relaxed))
        continue;
}

static Taken bytes_take(Limits *limits, LimitEntry *entry, size_t bytes)
{
    uint64_t most = limits_config(limits)->bytes_max;
    if (entry && !bytes_add(&entry->bytes, most / LIMIT_CLIENT_SHARE, bytes))
        return OWN_SHARE_FULL;
    if (!bytes_add(&limits->bytes, most, bytes)) {
        if (entry)
            atomic_fetch_sub(&entry->bytes, bytes);
        return ALL_FULL;
    }
    peak_note(limits);
    return TAKEN;
}

static bool anybody_waits(const Limits *limits)
{
    return atomic_load(&limits->waiting) > 0;
}

bool limits_bytes_take(Limits *limits, LimitEntry *entry, size_t bytes)
{
    if (bytes_take(limits, entry, bytes) == TAKEN)
        return true;
    atomic_fetch_add_explicit(&limits->refused_bytes, 1, memory_order_relaxed);
    if (anybody_waits(limits))
        lines_serve(limits); /* the share was taken for a moment */
    return false;
}

void limits_bytes_force(Limits *limits, LimitEntry *entry, size_t bytes)
{
    if (entry)
        atomic_fetch_add(&entry->bytes, bytes);
    atomic_fetch_add(&limits->bytes, bytes);
    peak_note(limits);
}

void limits_bytes_give(Limits *limits, LimitEntry *entry, size_t bytes)
{
    uint64_t before = entry ? atomic_fetch_sub(&entry->bytes, bytes) : bytes;
    ASSERT(before >= bytes);
    before = atomic_fetch_sub(&limits->bytes, bytes);
    ASSERT(before >= bytes);
    if (anybody_waits(limits))
        lines_serve(limits);
}

uint64_t limits_bytes_held(const Limits *limits)
{
    return atomic_load_explicit(&limits->bytes, memory_order_relaxed);
}

uint64_t limits_bytes_left(const Limits *limits)
{
    uint64_t most = limits_config(limits)->bytes_max;
    uint64_t taken = atomic_load_explicit(&limits->bytes, memory_order_relaxed);
    return most == 0 ? UINT64_MAX : taken < most ? most - taken : 0;
}

/* ---- lines ---- */

static LimitLine **home_of(Limits *limits, LimitEntry *entry)
{
    return entry ? &entry->line : &limits->line_nobody;
}

static void line_unlink(Limits *limits, LimitLine *line)
{
    *(line->prev ? &line->prev->next : &limits->line_first) = line->next;
    *(line->next ? &line->next->prev : &limits->line_last) = line->prev;
}

static void line_append(Limits *limits, LimitLine *line)
{
    line->prev = limits->line_last;
    line->next = NULL;
    *(line->prev ? &line->prev->next : &limits->line_first) = line;
    limits->line_last = line;
}

static void waiter_add(Limits *limits, LimitWaiter *waiter)
{
    LimitLine **home = home_of(limits, waiter->entry);
    if (!*home) {
        *home = mem_new(sizeof **home);
        (*home)->home = home;
        line_append(limits, *home);
    }
    LimitLine *line = *home;
    waiter->line = line;
    waiter->prev = line->last;
    waiter->next = NULL;
    *(line->last ? &line->last->next : &line->first) = waiter;
    line->last = waiter;
}

/* The line ends with its last one. */
static void waiter_remove(Limits *limits, LimitWaiter *waiter)
{
    LimitLine *line = TAKE(waiter->line);
    *(waiter->prev ? &waiter->prev->next : &line->first) = waiter->next;
    *(waiter->next ? &waiter->next->prev : &line->last) = waiter->prev;
    atomic_fetch_sub(&limits->waiting, 1);
    if (line->first)
        return;
    line_unlink(limits, line);
    *line->home = NULL;
    mem_free(&line);
}

/* Nobody waits for more than it can ever have. */
static Taken waiter_take(Limits *limits, LimitWaiter *waiter)
{
    uint64_t most = limits_config(limits)->bytes_max;
    uint64_t cap = waiter->entry ? most / LIMIT_CLIENT_SHARE : most;
    if (most > 0)
        waiter->bytes = (size_t)MIN((uint64_t)waiter->bytes, cap);
    return bytes_take(limits, waiter->entry, waiter->bytes);
}

/* Under wait_mutex. */
static void lines_turn(Limits *limits)
{
    LimitLine *next;
    bool is_short = false;
    for (LimitLine *line = limits->line_first; line && !is_short; line = next) {
        LimitWaiter *waiter = line->first;
        Taken taken = waiter_take(limits, waiter);
        next = line->next;
        is_short = taken == ALL_FULL;
        if (taken != TAKEN)
            continue;
        if (waiter->next && next) { /* it has had its turn */
            line_unlink(limits, line);
            line_append(limits, line);
        } else if (waiter->next) {
            next = line;
        }
        waiter_remove(limits, waiter);
        waiter->granted(waiter);
    }
    atomic_store_explicit(&limits->is_short, is_short, memory_order_relaxed);
}

void lines_serve(Limits *limits)
{
    MUTEX_HELD(&limits->wait_mutex);
    lines_turn(limits);
}

bool limits_bytes_try(Limits *limits, LimitEntry *entry, size_t bytes)
{
    if (anybody_waits(limits))
        return false;
    if (bytes_take(limits, entry, bytes) == TAKEN)
        return true;
    if (anybody_waits(limits))
        lines_serve(limits);
    return false;
}

void limits_bytes_await(Limits *limits, LimitWaiter *waiter)
{
    MUTEX_HELD(&limits->wait_mutex);
    atomic_fetch_add(&limits->waiting, 1);
    atomic_fetch_add_explicit(&limits->waited, 1, memory_order_relaxed);
    waiter_add(limits, waiter);
    lines_turn(limits);
}

bool limits_bytes_leave(Limits *limits, LimitWaiter *waiter)
{
    MUTEX_HELD(&limits->wait_mutex);
    if (!waiter->line)
        return false;
    waiter_remove(limits, waiter);
    lines_turn(limits); /* it may have been the one that all stood behind */
    return true;
}

bool limits_bytes_short(const Limits *limits)
{
    return atomic_load_explicit(&limits->is_short, memory_order_relaxed);
}
