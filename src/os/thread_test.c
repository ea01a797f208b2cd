/* Tests of thread.c and pool.c. */
#include "os/thread.h"

#include "base/test.h"

#include <sched.h>
#include <stdatomic.h>

static void count_up(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
}

TEST(pool_runs_every_job_before_it_is_freed)
{
    Err err;
    atomic_int count = 0;
    Pool *pool = NULL;
    CHECK_OK(pool_new("test", 4, 1000, &pool, &err), &err);
    for (int i = 0; i < 1000; i++)
        CHECK_OK(pool_submit(pool, count_up, &count, &err), &err);
    pool_free(&pool);
    CHECK_INT(atomic_load(&count), 1000);
    CHECK(pool == NULL);
}

typedef struct Gate {
    Mutex mutex;
    Cond cond;
    bool open;
} Gate;

static void gate_wait(void *arg)
{
    Gate *gate = arg;
    MUTEX_HELD(&gate->mutex);
    while (!gate->open)
        cond_wait(&gate->cond, &gate->mutex);
}

TEST(pool_refuses_when_its_queue_is_full)
{
    Err err;
    Gate gate = { 0 };
    mutex_init(&gate.mutex);
    cond_init(&gate.cond);
    Pool *pool = NULL;
    CHECK_OK(pool_new("test", 1, 2, &pool, &err), &err);
    Code code = E_OK;
    for (int i = 0; i < 4 && code == E_OK; i++) /* one runs at most, two wait */
        code = pool_submit(pool, gate_wait, &gate, &err);
    CHECK_CODE(code, E_UNAVAILABLE);
    mutex_lock(&gate.mutex);
    gate.open = true;
    cond_broadcast(&gate.cond);
    CHECK(!cond_wait_us(&gate.cond, &gate.mutex, 1000) || gate.open);
    mutex_unlock(&gate.mutex);
    pool_free(&pool);
    cond_done(&gate.cond);
    mutex_done(&gate.mutex);
}

TEST(the_cores_are_those_that_the_process_may_use)
{
    cpu_set_t before, one;
    CHECK(sched_getaffinity(0, sizeof before, &before) == 0);
    CHECK_INT(thread_cores(), CPU_COUNT(&before));
    int core = 0;
    while (!CPU_ISSET(core, &before))
        core++;
    CPU_ZERO(&one);
    CPU_SET(core, &one);
    CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
    CHECK_INT(thread_cores(), 1);
    CHECK(sched_setaffinity(0, sizeof before, &before) == 0);
}
