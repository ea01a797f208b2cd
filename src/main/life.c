#include "main/life.h"

#include "base/log.h"
#include "os/os.h"
#include "os/service.h"

#include <errno.h>

static int64_t now_ms(void)
{
    return os_monotonic_us(os_real()) / 1000;
}

void life_begin(Life *life)
{
    *life = (Life){ .beat_ms = service_watchdog_us() / 2000 };
    sigemptyset(&life->signals);
    sigaddset(&life->signals, SIGTERM);
    sigaddset(&life->signals, SIGINT);
    sigaddset(&life->signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &life->signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    life->beat_at_ms = now_ms() + life->beat_ms;
}

/* -1: nothing came within the time. */
static int signal_wait(const Life *life, int64_t wait_ms)
{
    int64_t end_ms = now_ms() + wait_ms;
    int number;
    do { /* what interrupts it does not begin the time anew */
        int64_t left_ms = MAX(end_ms - now_ms(), (int64_t)0);
        struct timespec time = { left_ms / 1000, left_ms % 1000 * 1000000 };
        number = wait_ms < 0 ? sigwaitinfo(&life->signals, NULL) : sigtimedwait(&life->signals, NULL, &time);
    } while (number < 0 && errno == EINTR);
    return number;
}

LifeEvent life_wait(Life *life, int64_t wait_ms)
{
    int64_t left_ms = wait_ms;
    bool beats = false;
    if (life->beat_ms) {
        int64_t beat_ms = MAX(life->beat_at_ms - now_ms(), (int64_t)0);
        beats = wait_ms < 0 || beat_ms < wait_ms;
        left_ms = beats ? beat_ms : wait_ms;
    }
    int number = signal_wait(life, left_ms);
    if (number == SIGHUP)
        return LIFE_RELOAD;
    if (number > 0) {
        log_line(LOG_INFO, "event=signal number=%d", number);
        return LIFE_END;
    }
    if (!beats)
        return LIFE_NOTHING;
    life->beat_at_ms = now_ms() + life->beat_ms;
    return LIFE_BEAT;
}

static void tell(Str state)
{
    Err err;
    err_clear(&err);
    if (service_notify(state, &err) != E_OK)
        log_line(LOG_WARN, "event=notify error=\"%s\"", err.text);
}

void life_ready(Life *life, Str status)
{
    Arena tmp AUTO(arena_done) = { 0 };
    life->told_ready = true;
    tell(str_format(&tmp, "READY=1\nSTATUS=" STR_FMT "\n", STR_ARG(status)));
}

void life_reloading(const Life *life)
{
    Arena tmp AUTO(arena_done) = { 0 };
    if (life->told_ready)
        tell(str_format(&tmp, "RELOADING=1\nMONOTONIC_USEC=%lld\n", (long long)os_monotonic_us(os_real())));
}

void life_stopping(const Life *life)
{
    (void)life;
    tell(STR("STOPPING=1\nSTATUS=waiting for requests in flight\n"));
}

void life_beat(const Life *life)
{
    (void)life;
    tell(STR("WATCHDOG=1\n"));
}

void life_give_up(const Life *life)
{
    signal(SIGTERM, SIG_DFL);
    signal(SIGINT, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &life->signals, NULL);
}
