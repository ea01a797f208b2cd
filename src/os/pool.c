/* A pool of workers. Invariants:
 * 1. `jobs` is a ring of `queue_max` places; head and count are guarded by `mutex`.
 * 2. A job that was accepted runs exactly once, also when the pool is being freed. */
#include "os/thread.h"

#include <stdio.h>

typedef struct Job {
    PoolJob *run;
    void *arg;
} Job;

struct Pool {
    Mutex mutex; /* guards all below */
    Cond wake;
    Job *jobs;
    size_t queue_max;
    size_t head;
    size_t count;
    bool closing;
    Thread threads[POOL_THREADS_MAX];
    size_t thread_count;
};

static bool job_take(Pool *pool, Job *ret_job)
{
    MUTEX_HELD(&pool->mutex);
    while (pool->count == 0 && !pool->closing)
        cond_wait(&pool->wake, &pool->mutex);
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
    cond_init(&pool->wake);
    pool->queue_max = queue_max;
    pool->jobs = mem_new(queue_max * sizeof *pool->jobs);
    for (size_t i = 0; i < threads; i++) {
        char thread_name[16];
        snprintf(thread_name, sizeof thread_name, "%.11s-%zu", name, i % 1000);
        TRY(thread_start(&pool->threads[i], thread_name, pool_run, pool, err));
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
    cond_broadcast(&pool->wake);
    mutex_unlock(&pool->mutex);
    for (size_t i = 0; i < pool->thread_count; i++)
        thread_join(&pool->threads[i]);
    mutex_done(&pool->mutex);
    cond_done(&pool->wake);
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
    cond_signal(&pool->wake);
    return E_OK;
}
