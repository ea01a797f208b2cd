/* Invariants:
 * 1. A model starts only when every model of the plan that it waits for is published.
 * 2. A report in `reports` changes only under the run's mutex; a model fills its own and it is copied.
 * 3. The row of the whole run is in the metadata before the first model starts, as `running`; a run that
 *    is found so at the next start was cut off: its staged files are the orphan sweep's.
 * 4. Progress is told under the mutex, so one call at a time. */
#include "flow/run_priv.h"

enum { RUN_JSON_MAX = 32 << 20, WAIT_LOOK_US = 100000 };

typedef struct Runner Runner;

typedef struct RunStep {
    Runner *runner;
    const FlowStep *step;
    const FlowNode *node;
    bool started;
} RunStep;

struct Runner {
    Flow *flow;
    const Project *project;
    const FlowPlan *plan;
    const FlowRunOptions *options;
    Arena *arena;
    FlowReport *report;
    RunStep *steps;
    Pool *pool;      /* NULL: one thread only */
    Mutex mutex;     /* guards the rest, and the reports */
    Cond changed;
    size_t running;
    size_t done;
};

/* Under the mutex: what flow_run_state tells meanwhile. */
static void show(Runner *runner)
{
    Buf buf AUTO(buf_done);
    buf_init(&buf, RUN_JSON_MAX);
    flow_report_json(runner->report, &buf);
    MUTEX_HELD(&runner->flow->mutex);
    arena_reset(&runner->flow->live_arena);
    runner->flow->live_id = str_copy(&runner->flow->live_arena, runner->report->run_id);
    runner->flow->live_run = buf.over ? STR("{}")
                                      : str_copy(&runner->flow->live_arena, buf_str(&buf));
}

static void tell(Runner *runner, size_t index, Str phase, double fraction, bool whole)
{
    const FlowModelReport *report = &runner->report->models[index];
    FlowProgress progress = {
        .run_id = runner->report->run_id,
        .model = report->model,
        .state = report->state,
        .phase = phase,
        .fraction = fraction,
        .models_done = runner->done,
        .models = runner->plan->count,
        .report = whole ? report : NULL,
    };
    if (runner->options->progress)
        runner->options->progress(runner->options->progress_arg, &progress);
}

static void on_phase(void *arg, const ModelRun *run, const char *phase, double fraction)
{
    RunStep *step = arg;
    (void)run;
    MUTEX_HELD(&step->runner->mutex);
    tell(step->runner, (size_t)(step - step->runner->steps), str_z(phase), fraction, false);
}

static void run_step(void *arg)
{
    RunStep *step = arg;
    Runner *runner = step->runner;
    size_t index = (size_t)(step - runner->steps);
    Arena arena AUTO(arena_done) = { 0 };
    FlowModelReport report = { .model = step->step->model, .kind = step->step->kind };
    ModelRun run = {
        .flow = runner->flow,
        .project = runner->project,
        .node = step->node,
        .step = step->step,
        .run_id = runner->report->run_id,
        .arena = &arena,
        .report = &report,
        .cancel = runner->options->cancel,
        .phase = on_phase,
        .phase_arg = step,
    };
    model_run(&run);
    MUTEX_HELD(&runner->mutex);
    report_copy(runner->arena, &report, &runner->report->models[index]);
    runner->running--;
    runner->done++;
    show(runner);
    tell(runner, index, STR("done"), 1, true);
    cond_broadcast(&runner->changed);
}

typedef enum Readiness { READY, WAITING, BLOCKED } Readiness;

static Readiness readiness(const Runner *runner, const FlowStep *step)
{
    Readiness out = READY;
    for (size_t i = 0; i < step->after_count; i++) {
        for (size_t j = 0; j < runner->plan->count; j++) {
            if (!str_eq(runner->plan->steps[j].model, step->after[i]))
                continue;
            FlowState state = runner->report->models[j].state;
            if (state == FLOW_QUEUED || state == FLOW_RUNNING)
                out = out == BLOCKED ? BLOCKED : WAITING;
            else if (state != FLOW_PUBLISHED)
                out = BLOCKED;
        }
    }
    return out;
}

/* Under the mutex. Its ledger rows say why, so that `--failed` finds it. */
static void skip(Runner *runner, RunStep *step)
{
    size_t index = (size_t)(step - runner->steps);
    FlowModelReport *report = &runner->report->models[index];
    report->state = FLOW_UPSTREAM_FAILED;
    runner->done++;
    ModelRun run = { .flow = runner->flow, .node = step->node, .step = step->step,
                     .run_id = runner->report->run_id, .report = report };
    Err why;
    err_clear(&why);
    IGNORE(err_set(&why, E_PRECONDITION, "an input failed or was held back"));
    publish_failure(&run, &why);
    show(runner);
    tell(runner, index, STR("done"), 1, true);
}

/* Under the mutex. True when something was started or skipped. */
static bool start_ready(Runner *runner, RunStep **ret_inline)
{
    bool any = false;
    for (size_t i = 0; i < runner->plan->count; i++) {
        RunStep *step = &runner->steps[i];
        if (step->started || runner->running >= runner->flow->options.threads)
            continue;
        Readiness ready = readiness(runner, step->step);
        if (ready == WAITING)
            continue;
        step->started = true;
        any = true;
        if (ready == BLOCKED) {
            skip(runner, step);
            continue;
        }
        runner->report->models[i].state = FLOW_RUNNING;
        runner->running++;
        show(runner);
        tell(runner, i, STR("plan"), 0, false);
        if (!runner->pool || pool_submit(runner->pool, run_step, step, NULL) != E_OK) {
            *ret_inline = step; /* this thread does it */
            return true;
        }
    }
    return any;
}

static void run_all(Runner *runner)
{
    mutex_lock(&runner->mutex);
    while (runner->done < runner->plan->count) {
        RunStep *own = NULL;
        bool any = start_ready(runner, &own);
        if (own) {
            mutex_unlock(&runner->mutex);
            run_step(own);
            mutex_lock(&runner->mutex);
        } else if (!any && runner->done < runner->plan->count) {
            cond_wait(&runner->changed, &runner->mutex);
        }
    }
    while (runner->running > 0)
        cond_wait(&runner->changed, &runner->mutex);
    mutex_unlock(&runner->mutex);
}

static FlowState worst_state(const FlowReport *report)
{
    static const FlowState order[] = { FLOW_FAILED_STATE, FLOW_GATED, FLOW_CANCELLED,
                                       FLOW_UPSTREAM_FAILED };
    for (size_t o = 0; o < ARRAY_LEN(order); o++) {
        for (size_t i = 0; i < report->count; i++) {
            if (report->models[i].state == order[o])
                return order[o];
        }
    }
    return FLOW_PUBLISHED;
}

static Code put_whole_run(Runner *runner, bool ended, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Buf buf AUTO(buf_done);
    MetaTxn txn;
    meta_txn_init(&txn, &tmp);
    buf_init(&buf, RUN_JSON_MAX);
    flow_report_json(runner->report, &buf);
    meta_put_run(&txn, &(MetaRun){
        .run_id = runner->report->run_id,
        .state = flow_state_name(runner->report->state),
        .started_us = runner->report->started_us,
        .ended_us = ended ? os_now_us(runner->flow->options.os) : 0,
        .detail_json = buf.over ? STR("{}") : buf_str(&buf),
    });
    return meta_commit(runner->flow->options.meta, &txn, err);
}

/* A plan is made of names: the project may have changed since. */
static Code find_nodes(Runner *runner, Err *err)
{
    runner->steps = arena_array(runner->arena, RunStep, runner->plan->count + 1);
    runner->report->models = arena_array(runner->arena, FlowModelReport, runner->plan->count + 1);
    runner->report->count = runner->plan->count;
    for (size_t i = 0; i < runner->plan->count; i++) {
        const FlowStep *step = &runner->plan->steps[i];
        const FlowNode *node = project_node(runner->project, step->model);
        if (!node)
            return err_set(err, E_CONFLICT, STR_FMT " is no longer a model: plan again",
                           STR_ARG(step->model));
        runner->steps[i] = (RunStep){ runner, step, node, false };
        runner->report->models[i] = (FlowModelReport){ .model = str_copy(runner->arena, step->model),
                                                       .kind = step->kind,
                                                       .gate_min = node->model.gate_min };
    }
    return E_OK;
}

static Code run_plan(Runner *runner, Err *err)
{
    Os *os = runner->flow->options.os;
    int64_t started = os_monotonic_us(os);
    runner->report->started_us = os_now_us(os);
    runner->report->state = FLOW_RUNNING;
    TRY(find_nodes(runner, err));
    TRY(put_whole_run(runner, false, err));
    if (os_has_threads(os) && runner->flow->options.threads > 1)
        TRY(pool_new("flow", runner->flow->options.threads, FLOW_MODELS_MAX, &runner->pool, err));
    run_all(runner);
    pool_free(&runner->pool);
    runner->report->wall_ms = (os_monotonic_us(os) - started) / 1000;
    runner->report->state = worst_state(runner->report);
    return put_whole_run(runner, true, err);
}

static void tell_waiting(const Runner *runner)
{
    FlowProgress progress = {
        .run_id = runner->report->run_id,
        .state = FLOW_QUEUED,
        .phase = runner->flow->of_arrival ? STR("waiting for the run of an arrival")
                                          : STR("waiting for another run"),
        .models = runner->plan->count,
    };
    if (runner->options->progress)
        runner->options->progress(runner->options->progress_arg, &progress);
}

/* Its turn: at once, or behind the run that is on. */
static Code claim(Runner *runner, bool *ret_waited, Err *err)
{
    Flow *flow = runner->flow;
    const FlowRunOptions *options = runner->options;
    int64_t until_us = os_monotonic_us(flow->options.os) + options->wait_ms * 1000;
    MUTEX_HELD(&flow->mutex);
    for (; flow->running; *ret_waited = true) {
        int64_t left_us = until_us - os_monotonic_us(flow->options.os);
        if (left_us <= 0)
            return err_set(err, E_UNAVAILABLE, "a run is going on: " STR_FMT, STR_ARG(flow->live_id));
        if (options->cancel && __atomic_load_n(options->cancel, __ATOMIC_ACQUIRE))
            return err_set(err, E_CANCELLED, "the run was cancelled before its turn came");
        if (!*ret_waited)
            tell_waiting(runner);
        IGNORE(!cond_wait_us(&flow->idle, &flow->mutex, MIN(left_us, (int64_t)WAIT_LOOK_US)));
    }
    flow->running = true;
    flow->of_arrival = str_eq(options->principal, ARRIVAL);
    return E_OK;
}

static void release(Flow *flow)
{
    MUTEX_HELD(&flow->mutex);
    flow->running = false;
    flow->live_id = STR_NONE;
    arena_reset(&flow->live_arena);
    cond_broadcast(&flow->idle);
}

void flow_wait_idle(Flow *flow, const bool *stop)
{
    MUTEX_HELD(&flow->mutex);
    while (flow->running && !__atomic_load_n(stop, __ATOMIC_ACQUIRE))
        cond_wait(&flow->idle, &flow->mutex);
}

void flow_wake(Flow *flow)
{
    MUTEX_HELD(&flow->mutex);
    cond_broadcast(&flow->idle);
}

Code flow_run(Flow *flow, const FlowPlan *plan, const FlowRunOptions *options, Arena *arena,
              FlowReport *ret_report, Err *err)
{
    FlowReport report = { 0 };
    FlowPlan fresh = { 0 };
    bool waited = false;
    Runner runner = { .flow = flow, .plan = plan, .options = options, .arena = arena, .report = &report };
    report.run_id = options->run_id.len > 0 ? str_copy(arena, options->run_id)
                                            : uuid_format(arena, os_uuid(flow->options.os));
    TRY(claim(&runner, &waited, err));
    Project *project AUTO(project_free) = project_ref(flow);
    runner.project = project;
    mutex_init(&runner.mutex);
    cond_init(&runner.changed);
    Code code = E_OK;
    if (waited && options->again) {
        code = flow_plan(flow, options->again, arena, &fresh, err);
        runner.plan = &fresh;
    }
    if (code == E_OK)
        code = run_plan(&runner, err);
    cond_done(&runner.changed);
    mutex_done(&runner.mutex);
    release(flow);
    if (code == E_OK)
        *ret_report = report;
    return code;
}

static bool live_state(Flow *flow, Str run_id, Arena *arena, Str *ret_json)
{
    MUTEX_HELD(&flow->mutex);
    if (!flow->running || !str_eq(flow->live_id, run_id))
        return false;
    *ret_json = str_copy(arena, flow->live_run);
    return true;
}

Code flow_run_state(Flow *flow, Str run_id, Arena *arena, Str *ret_json, Err *err)
{
    if (live_state(flow, run_id, arena, ret_json))
        return E_OK;
    MetaRead *read AUTO(meta_read_end) = NULL;
    MetaRun run;
    TRY(meta_read_begin(flow->options.meta, &read, err));
    TRY(meta_get_run(read, run_id, STR_NONE, arena, &run, err));
    *ret_json = run.detail_json;
    return E_OK;
}
