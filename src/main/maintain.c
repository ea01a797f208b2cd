/* A round: sweep, purge, compact, forget. Invariants:
 * 1. Steps are independent and repeatable: one that fails or is cut off loses nothing.
 * 2. Nothing is removed that a commit names: the sweep takes intents only, and each commit ends its own
 *    (table/create.c); the store moves what is live before it forgets a segment. */
#include "main/maintain.h"

#include "base/log.h"
#include "os/thread.h"
#include "store/store_keep.h"

enum { COMMITS_KEPT_DAYS = 30 };

static const int64_t DAY_US = 86400000000;

struct Maintain {
    MaintainOptions options;
    Thread thread;
    Mutex mutex; /* guards `ending`, which a round reads without it */
    Cond changed;
    bool ending;
};

static void failed(const char *step, const Err *err)
{
    log_line(LOG_WARN, "event=maintain step=%s error=%s", step, err->text);
}

static void sweep(const MaintainOptions *o, int64_t now_us, const bool *stop)
{
    Err err;
    size_t objects = 0;
    if (catalog_sweep(o->catalog, now_us - o->grace_ms * 1000, stop, &objects, &err) != E_OK)
        failed("sweep", &err);
    else
        log_line(LOG_DEBUG, "event=maintain step=sweep objects=%zu", objects);
}

static void compact(const MaintainOptions *o, const bool *stop)
{
    Err err;
    size_t segments = 0;
    if (store_compact(o->store, stop, &segments, &err) != E_OK)
        failed("compact", &err);
    else
        log_line(LOG_DEBUG, "event=maintain step=compact segments=%zu", segments);
}

static void purge(const MaintainOptions *o, const bool *stop)
{
    Err err;
    StorePurged purged;
    if (store_trash_purge(o->store, stop, &purged, &err) != E_OK)
        failed("purge", &err);
    else
        log_line(LOG_DEBUG, "event=maintain step=purge files=%llu", (unsigned long long)purged.objects);
}

/* Said at each round until there is room again. */
static void space_tell(const MaintainOptions *o)
{
    static const char *const levels[] = { "healthy", "alarm", "background", "full" };
    StoreSpace space;
    store_space(o->store, &space);
    if (space.level != SPACE_HEALTHY)
        log_line(LOG_WARN, "event=space level=%s free_bytes=%llu total_bytes=%llu refused=%llu", levels[space.level],
                 (unsigned long long)space.free_bytes, (unsigned long long)space.total_bytes,
                 (unsigned long long)space.refused);
}

static void forget(const MaintainOptions *o, int64_t now_us, const bool *stop)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    MetaTxn txn;
    if (__atomic_load_n(stop, __ATOMIC_ACQUIRE))
        return;
    meta_txn_init(&txn, &arena);
    meta_delete_commits_before(&txn, now_us - COMMITS_KEPT_DAYS * DAY_US);
    meta_delete_audit_before(&txn, now_us - o->audit_ms * 1000);
    if (meta_commit(o->meta, &txn, &err) != E_OK)
        failed("forget", &err);
    else
        log_line(LOG_DEBUG, "event=maintain step=forget");
}

static bool wait_round(Maintain *m)
{
    MUTEX_HELD(&m->mutex);
    int64_t until_us = os_monotonic_us(m->options.os) + m->options.interval_ms * 1000;
    for (int64_t left_us; !m->ending; )
        if ((left_us = until_us - os_monotonic_us(m->options.os)) <= 0 ||
            !cond_wait_us(&m->changed, &m->mutex, left_us))
            break;
    return !m->ending;
}

void maintain_round(const MaintainOptions *options, const bool *stop)
{
    int64_t now_us = os_now_us(options->os);
    sweep(options, now_us, stop);
    purge(options, stop);
    compact(options, stop);
    forget(options, now_us, stop);
    space_tell(options);
}

static void *maintain_run(void *arg)
{
    Maintain *m = arg;
    do
        maintain_round(&m->options, &m->ending);
    while (wait_round(m));
    return NULL;
}

Code maintain_start(const MaintainOptions *options, Maintain **ret_maintain, Err *err)
{
    Maintain *m = mem_new(sizeof *m);
    m->options = *options;
    mutex_init(&m->mutex);
    cond_init(&m->changed);
    Code code = thread_start(&m->thread, "maintain", maintain_run, m, err);
    if (code != E_OK)
        maintain_free(&m);
    else
        *ret_maintain = m;
    return code;
}

void maintain_free(Maintain **maintain)
{
    Maintain *m = TAKE(*maintain);
    if (!m)
        return;
    mutex_lock(&m->mutex);
    __atomic_store_n(&m->ending, true, __ATOMIC_RELEASE);
    cond_signal(&m->changed);
    mutex_unlock(&m->mutex);
    thread_join(&m->thread);
    cond_done(&m->changed);
    mutex_done(&m->mutex);
    mem_free(&m);
}
