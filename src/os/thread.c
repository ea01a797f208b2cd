#include "os/thread.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

unsigned thread_cores(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) /* more cores than a set holds */
        return (unsigned)MAX(sysconf(_SC_NPROCESSORS_ONLN), 1L);
    return (unsigned)MAX(CPU_COUNT(&set), 1);
}

void mutex_init(Mutex *mutex)
{
    int failed = pthread_mutex_init(&mutex->inner, NULL);
    ASSERT(!failed);
}

void mutex_done(Mutex *mutex)
{
    pthread_mutex_destroy(&mutex->inner);
}

void mutex_lock(Mutex *mutex)
{
    int failed = pthread_mutex_lock(&mutex->inner);
    ASSERT(!failed);
}

bool mutex_try(Mutex *mutex)
{
    return pthread_mutex_trylock(&mutex->inner) == 0;
}

void mutex_unlock(Mutex *mutex)
{
    int failed = pthread_mutex_unlock(&mutex->inner);
    ASSERT(!failed);
}

void mutex_unlock_(Mutex **mutex)
{
    mutex_unlock(*mutex);
}

void cond_init(Cond *cond)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    int failed = pthread_cond_init(&cond->inner, &attributes);
    ASSERT(!failed);
    pthread_condattr_destroy(&attributes);
}

void cond_done(Cond *cond)
{
    pthread_cond_destroy(&cond->inner);
}

void cond_wait(Cond *cond, Mutex *mutex)
{
    pthread_cond_wait(&cond->inner, &mutex->inner);
}

bool cond_wait_us(Cond *cond, Mutex *mutex, int64_t timeout_us)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + timeout_us % 1000000 * 1000;
    until.tv_sec += timeout_us / 1000000 + ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    return pthread_cond_timedwait(&cond->inner, &mutex->inner, &until) != ETIMEDOUT;
}

void cond_signal(Cond *cond)
{
    pthread_cond_signal(&cond->inner);
}

void cond_broadcast(Cond *cond)
{
    pthread_cond_broadcast(&cond->inner);
}

Code thread_start(Thread *thread, const char *name, void *(*run)(void *arg), void *arg, Err *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int why = pthread_create(&thread->inner, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (why)
        return err_set(err, E_UNAVAILABLE, "cannot start thread %s: %s", name, strerror(why));
    char short_name[16];
    snprintf(short_name, sizeof short_name, "%s", name);
    pthread_setname_np(thread->inner, short_name);
    thread->running = true;
    return E_OK;
}

void thread_join(Thread *thread)
{
    if (!thread->running)
        return;
    pthread_join(thread->inner, NULL);
    thread->running = false;
}

void thread_batch(bool batch)
{
    struct sched_param param;
    int policy;
    if (pthread_getschedparam(pthread_self(), &policy, &param) != 0 ||
        policy != (batch ? SCHED_OTHER : SCHED_BATCH))
        return;
    policy = batch ? SCHED_BATCH : SCHED_OTHER;
    IGNORE(pthread_setschedparam(pthread_self(), policy, &param) != 0); /* it costs a little more then */
}
