/* A pool of workers. Invariants:
 * 1. `jobs` is a ring of `queue_max` places; head and count are guarded by `mutex`.
 * 2. A job that was accepted runs exactly once, also when the pool is being freed.
 * 3. Who waits stands on the `idle` stack. A job wakes its top, who was busy last and whose stack and caches are
 *    warm; a worker that ends its job before the one that was woken has come takes the job itself. */
#include "os/thread.h"

#include <stdio.h>

typedef struct Job {
    PoolJob *run;
    void *arg;
} Job;

typedef struct PoolThread {
    Pool *pool;
    struct PoolThread *below; /* on the idle stack */
    Cond wake;
    Thread thread;
} PoolThread;

struct Pool {
    Mutex mutex; /* guards all below */
    PoolThread *idle;
    Job *jobs;
    size_t queue_max;
    size_t head;
    size_t count;
    bool closing;
    PoolThread threads[POOL_THREADS_MAX];
    size_t thread_count;
};

static void job_await(Pool *pool, PoolThread *self)
{
    self->below = pool->idle;
    pool->idle = self;
    cond_wait(&self->wake, &pool->mutex);
    for (PoolThread **at = &pool->idle; *at; at = &(*at)->below) /* woken by nobody */
        if (*at == self) {
            *at = self->below;
            return;
        }
}

static bool job_take(PoolThread *self, Job *ret_job)
{
    Pool *pool = self->pool;
    MUTEX_HELD(&pool->mutex);
    while (pool->count == 0 && !pool->closing)
        job_await(pool, self);
    if (pool->count == 0)
        return false;
    *ret_job = pool->jobs[pool->head];
    pool->head = (pool->head + 1) % pool->queue_max;
    pool->count--;
    return true;
}

static void *pool_run(void *arg)
{
    Job job;
    while (job_take(arg, &job))
        job.run(job.arg);
    return NULL;
}

Code pool_new(const char *name, size_t threads, size_t queue_max, Pool **ret_pool, Err *err)
{
    ASSERT(threads > 0 && threads <= POOL_THREADS_MAX && queue_max > 0);
    AUTO(pool_free) Pool *pool = mem_new(sizeof *pool);
    mutex_init(&pool->mutex);
    pool->queue_max = queue_max;
    pool->jobs = mem_new(queue_max * sizeof *pool->jobs);
    for (size_t i = 0; i < POOL_THREADS_MAX; i++) {
        pool->threads[i].pool = pool;
        cond_init(&pool->threads[i].wake);
    }
    for (size_t i = 0; i < threads; i++) {
        char thread_name[16];
        snprintf(thread_name, sizeof thread_name, "%.11s-%zu", name, i % 1000);
        TRY(thread_start(&pool->threads[i].thread, thread_name, pool_run, &pool->threads[i], err));
        pool->thread_count++;
    }
    *ret_pool = TAKE(pool);
    return E_OK;
}

void pool_free(Pool **pool_pointer)
{
    Pool *pool = *pool_pointer;
    if (!pool)
        return;
    mutex_lock(&pool->mutex);
    pool->closing = true;
    for (size_t i = 0; i < pool->thread_count; i++)
        cond_signal(&pool->threads[i].wake);
    mutex_unlock(&pool->mutex);
    for (size_t i = 0; i < pool->thread_count; i++)
        thread_join(&pool->threads[i].thread);
    for (size_t i = 0; i < POOL_THREADS_MAX; i++)
        cond_done(&pool->threads[i].wake);
    mutex_done(&pool->mutex);
    mem_free(&pool->jobs);
    mem_free(pool_pointer);
}

Code pool_submit(Pool *pool, PoolJob *job, void *arg, Err *err)
{
    MUTEX_HELD(&pool->mutex);
    if (pool->closing || pool->count == pool->queue_max)
        return err_set(err, E_UNAVAILABLE, "all workers are busy and %zu jobs wait", pool->count);
    pool->jobs[(pool->head + pool->count) % pool->queue_max] = (Job){ job, arg };
    pool->count++;
    if (pool->idle) {
        PoolThread *top = pool->idle;
        pool->idle = top->below;
        cond_signal(&top->wake);
    }
    return E_OK;
}
