/* arrivals.h: models that run by themselves when a raw object that they read arrives.
 * Owner:   main/ opens one a Flow and frees it before the Flow.
 * Threads: one of its own; open and free by one, flow_arrivals_state from any.
 * Errors:  a trigger whose run could not begin is a warning, a failed row of `runs`, and comes again.
 * Limits:  one run at a time; what arrives meanwhile waits in the feed, each model at most once.
 * Units:   _ms; sequence: as in store.h.
 *
 * A model with `on arrival` is triggered by a put, through any door, of an object that it reads: by
 * source('s', 'name'), by address, or any at all when it reads bronze.objects. The run has the triggered
 * models and all that read from them; its plan leaves out what has nothing to do, so the same bytes
 * again start nothing. The place in the feed moves when the run has ended: a crash triggers it again. */
#pragma once

#include "flow/flow.h"

enum { ARRIVALS_QUIET_MS = 5000, ARRIVALS_WAIT_FACTOR = 10 };

typedef struct FlowArrivals FlowArrivals;

/* Who shows these runs as any other. All from the thread of the arrivals. */
typedef struct FlowWatch {
    void *(*begin)(void *self, Str run_id, bool *cancel); /* `*cancel` may be set (atomically) until `end` */
    FlowProgressFn *progress;                             /* `arg`: what begin gave */
    /* UNAVAILABLE: another run was quicker, this one is no run. `report` only with E_OK. */
    void (*end)(void *run, Code code, const Err *err, const FlowReport *report);
    void *self;
} FlowWatch;

typedef struct FlowArrivalsOptions {
    Flow *flow;
    FlowWatch watch; /* begin NULL: nobody */
    int64_t quiet_ms; /* without a further arrival before the run begins; after ten times as long it
                         begins anyway; 0: ARRIVALS_QUIET_MS */
} FlowArrivalsOptions;

Code flow_arrivals_open(const FlowArrivalsOptions *options, FlowArrivals **ret_arrivals,
                        Err *err) CHECKED;
void flow_arrivals_free(FlowArrivals **arrivals); /* cancels the run that is on; fit for AUTO */

typedef struct FlowArrivalsState {
    uint64_t triggers, runs, failures; /* since start: objects that arrived; what they started */
    uint64_t decisions;                /* runs, and times that nothing was missing */
    uint64_t seen;                     /* sequence that was looked at */
} FlowArrivalsState;
FlowArrivalsState flow_arrivals_state(FlowArrivals *arrivals);
