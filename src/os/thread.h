/* thread.h: threads, mutexes, conditions and pools of workers.
 * Owner:   whoever initialised it; a Pool is drained by pool_free.
 * Threads: any.
 * Errors:  UNAVAILABLE when the machine gives no thread.
 * Limits:  POOL_THREADS_MAX workers a pool.
 * Units:   _us: microseconds. */
#pragma once

#include "base/err.h"

#include <pthread.h>

typedef struct Mutex {
    pthread_mutex_t inner;
} Mutex;

typedef struct Cond {
    pthread_cond_t inner; /* on the monotonic clock */
} Cond;

typedef struct Thread {
    pthread_t inner;
    bool running;
} Thread;

void mutex_init(Mutex *mutex);
void mutex_done(Mutex *mutex);
void mutex_lock(Mutex *mutex);
void mutex_unlock(Mutex *mutex);
bool mutex_try(Mutex *mutex); /* true: it is locked now */

/* `MUTEX_HELD(&x->mutex);` locks until the end of the scope. */
void mutex_unlock_(Mutex **mutex);
#define MUTEX_NAME_(a, b) a##b
#define MUTEX_NAME(a, b) MUTEX_NAME_(a, b)
#define MUTEX_HELD(mutex)                                                                          \
    Mutex *MUTEX_NAME(held_, __LINE__) AUTO(mutex_unlock_) = (mutex);                              \
    mutex_lock(MUTEX_NAME(held_, __LINE__))

void cond_init(Cond *cond);
void cond_done(Cond *cond);
void cond_wait(Cond *cond, Mutex *mutex);
bool cond_wait_us(Cond *cond, Mutex *mutex, int64_t timeout_us); /* false: time is over */
void cond_signal(Cond *cond);
void cond_broadcast(Cond *cond);

/* The cores that this process may use, at least 1. */
unsigned thread_cores(void);

/* `name` is at most 15 bytes and shows in tools. Signals are blocked in new threads. */
Code thread_start(Thread *thread, const char *name, void *(*run)(void *arg), void *arg, Err *err) CHECKED;
void thread_join(Thread *thread); /* does nothing when it was never started */
/* The calling thread does not interrupt who wakes it (SCHED_BATCH); false: as any other. A thread whose
 * policy somebody else chose keeps it. */
void thread_batch(bool batch);

/* A pool runs jobs in the order of submission on a fixed number of threads. */
enum { POOL_THREADS_MAX = 256 };
typedef struct Pool Pool;
typedef void PoolJob(void *arg);
Code pool_new(const char *name, size_t threads, size_t queue_max, Pool **ret_pool, Err *err) CHECKED;
void pool_free(Pool **pool);                      /* runs what is queued, then joins */
Code pool_submit(Pool *pool, PoolJob *job, void *arg, Err *err) CHECKED; /* UNAVAILABLE: queue full */
