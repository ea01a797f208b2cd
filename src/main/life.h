/* life.h: how the process is told to reload or to end, and what it tells its service manager.
 * Owner:   `tarn serve`.
 * Threads: life_begin before any other thread is started; the rest on the main thread.
 * Errors:  none; a notice that is not delivered is logged.
 * Limits:  none.
 * Units:   _ms. */
#pragma once

#include "base/str.h"

#include <signal.h>

/* What came: SIGHUP; SIGTERM or SIGINT; a watchdog's beat is due; nothing within the time. */
typedef enum LifeEvent { LIFE_RELOAD, LIFE_END, LIFE_BEAT, LIFE_NOTHING } LifeEvent;

typedef struct Life {
    sigset_t signals;     /* blocked in every thread */
    int64_t beat_ms;      /* between two beats; 0: nobody listens */
    int64_t beat_at_ms;   /* monotonic */
    bool told_ready;
} Life;

void life_begin(Life *life);
/* Waits for `wait_ms`; -1: for as long as it takes. */
LifeEvent life_wait(Life *life, int64_t wait_ms);

void life_ready(Life *life, Str status);     /* READY=1, also after a reload */
void life_reloading(const Life *life);
void life_stopping(const Life *life);
void life_beat(const Life *life);            /* WATCHDOG=1: only when the doors were seen at work */
/* From now on the next signal that ends kills at once. */
void life_give_up(const Life *life);
