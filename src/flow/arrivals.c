/* Invariants:
 * 1. The row `flow.arrivals` of feed_cursors never passes a change whose run has not ended: what was
 *    cut off is read again, and the plan knows what of it is still missing.
 * 2. A change is compared with the project as it is when the change is read: a project that is loaded
 *    later runs by its own plan.
 * 3. All but `stop` and the counters belongs to the thread. */
#include "flow/arrivals.h"

#include "base/log.h"
#include "flow/flow_priv.h"
#include "flow/run_priv.h"
#include "format/json.h"
#include "store/store_keep.h"

#define CONSUMER STR("flow.arrivals")

enum { PAGE = 1000, SKIPPED_MAX = 10000, LOOK_US = 20000, RETRY_MS = 1000, RETRY_MS_MAX = 60000, TRIES_MAX = 10 };

struct FlowArrivals {
    FlowArrivalsOptions options;
    Os *os;
    Store *store;
    Thread thread;
    bool stop, cancel;  /* read atomically; `cancel`: of the run that is on */
    uint64_t durable, seen;
    Arena arena;        /* of the names */
    Str *names;         /* triggered, each once; at most FLOW_MODELS_MAX */
    size_t name_count;
    int64_t first_us, last_us;
    int64_t retry_ms;
    int tries;          /* runs for these names */
    Mutex mutex;        /* guards what follows */
    FlowArrivalsState state;
};

/* ---- what a change triggers ---- */

static Str tag_of(const ObjectInfo *info, Str key)
{
    for (size_t i = 0; i < info->tag_count; i++)
        if (str_eq(info->tags[i].key, key))
            return info->tags[i].value;
    return STR_NONE;
}

/* As source_find takes objects for a source's: by the first folder and by the name. */
static bool is_of_source(const StoreChange *change, const SqlDependency *dep)
{
    Str key = change->key;
    Str name = tag_of(&change->object, STR("name"));
    if (name.len == 0)
        name = str_from(key, (size_t)(str_rfind_char(key, '/') + 1));
    return key.len > dep->ns.len && str_starts(key, dep->ns) && key.ptr[dep->ns.len] == '/' &&
           str_eq(name, dep->name);
}

static bool is_read(const FlowArrivals *arrivals, const StoreChange *change, const SqlDependency *dep)
{
    Str bucket, key;
    switch (dep->kind) {
    case SQL_DEP_SOURCE:
        return str_eq(change->bucket, source_bucket(arrivals->options.flow->options.source)) &&
               is_of_source(change, dep);
    case SQL_DEP_OBJECT:
        return store_address_parse(dep->name, &bucket, &key) && str_eq(bucket, change->bucket) &&
               str_eq(key, change->key);
    case SQL_DEP_TABLE:
        return str_ieq(dep->ns, STR("bronze")) && str_ieq(dep->name, STR("objects"));
    }
    return false;
}

static bool is_triggered(const FlowArrivals *arrivals, const FlowNode *node, const StoreChange *change)
{
    for (size_t i = 0; i < node->dep_count && node->model.on_arrival; i++)
        if (is_read(arrivals, change, &node->deps[i]))
            return true;
    return false;
}

static void name_add(FlowArrivals *arrivals, Str name)
{
    for (size_t i = 0; i < arrivals->name_count; i++)
        if (str_eq(arrivals->names[i], name))
            return;
    if (arrivals->name_count == FLOW_MODELS_MAX)
        return;
    if (!arrivals->names)
        arrivals->names = arena_array(&arrivals->arena, Str, FLOW_MODELS_MAX);
    arrivals->names[arrivals->name_count++] = str_copy(&arrivals->arena, name);
}

static void change_match(FlowArrivals *arrivals, const Project *project, const StoreChange *change)
{
    size_t before = arrivals->name_count;
    bool any = false;
    if (change->kind != CHANGE_PUT || !source_counts(arrivals->options.flow->options.source, change))
        return;
    for (size_t i = 0; i < project->count; i++) {
        if (!is_triggered(arrivals, &project->nodes[i], change))
            continue;
        name_add(arrivals, project->nodes[i].model.name);
        any = true;
    }
    if (!any)
        return;
    arrivals->last_us = os_monotonic_us(arrivals->os);
    if (before == 0)
        arrivals->first_us = arrivals->last_us;
    MUTEX_HELD(&arrivals->mutex);
    arrivals->state.triggers++;
}

/* ---- the place ---- */

static Code place_move(FlowArrivals *arrivals, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    MetaTxn txn;
    if (arrivals->seen == arrivals->durable)
        return E_OK;
    meta_txn_init(&txn, &tmp);
    meta_put_feed_cursor(&txn, CONSUMER, (int64_t)arrivals->seen);
    TRY(meta_commit(arrivals->options.flow->options.meta, &txn, err));
    arrivals->durable = arrivals->seen;
    return E_OK;
}

/* A lake that never had this reader begins with what comes now. */
static Code place_load(FlowArrivals *arrivals, Err *err)
{
    int64_t sequence = 0;
    MetaRead *read AUTO(meta_read_end) = NULL;
    TRY(meta_read_begin(arrivals->options.flow->options.meta, &read, err));
    TRY(meta_get_feed_cursor(read, CONSUMER, &sequence, err));
    meta_read_end(&read);
    arrivals->durable = arrivals->seen = (uint64_t)sequence;
    if (sequence > 0)
        return E_OK;
    arrivals->seen = store_sequence(arrivals->store);
    return place_move(arrivals, err);
}

/* Whether any model of the project runs when something arrives. */
static bool any_listens(const Project *project)
{
    for (size_t i = 0; i < project->count; i++)
        if (project->nodes[i].model.on_arrival && project->nodes[i].dep_count > 0)
            return true;
    return false;
}

static Code changes_read(FlowArrivals *arrivals, Err *err)
{
    Project *project AUTO(project_free) = project_ref(arrivals->options.flow);
    bool listens = any_listens(project);
    if (!listens) /* nothing is compared with anything */
        arrivals->seen = MAX(arrivals->seen, store_sequence(arrivals->store));
    for (size_t count = PAGE; count == PAGE && listens;) {
        Arena tmp AUTO(arena_done) = { 0 };
        StoreChange *changes;
        uint64_t newest = store_sequence(arrivals->store); /* numbers without a change count as seen */
        Code code = store_feed_read(arrivals->store, arrivals->seen, PAGE, &tmp, &changes, &count, err);
        if (code == E_GONE) {
            arrivals->seen = store_feed_begin(arrivals->store);
            log_line(LOG_ERROR, "event=feed_gap consumer=flow.arrivals until=%llu",
                     (unsigned long long)arrivals->seen);
            continue;
        }
        TRY(code);
        for (size_t i = 0; i < count; i++)
            change_match(arrivals, project, &changes[i]);
        uint64_t last = count > 0 ? changes[count - 1].sequence : 0;
        arrivals->seen = count < PAGE ? MAX(last, newest) : last;
    }
    MUTEX_HELD(&arrivals->mutex);
    arrivals->state.seen = arrivals->seen;
    return E_OK;
}

/* ---- the run ---- */

static bool is_named(const FlowArrivals *arrivals, Str name)
{
    for (size_t i = 0; i < arrivals->name_count; i++)
        if (str_eq(arrivals->names[i], name))
            return true;
    return false;
}

/* The triggered models that are still there, and all behind them. */
static void closure(const FlowArrivals *arrivals, const Project *project, Arena *arena, FlowPlanQuery *query)
{
    bool *in = arena_array(arena, bool, project->count + 1);
    Str *names = arena_array(arena, Str, project->count + 1);
    for (size_t i = 0; i < project->count; i++) {
        const FlowNode *node = &project->nodes[i];
        in[i] = is_named(arrivals, node->model.name);
        for (size_t j = 0; j < node->input_count && !in[i]; j++)
            in[i] = in[node->inputs[j]];
        if (in[i])
            names[query->count++] = node->model.name;
    }
    query->models = names;
}

static Code run_watched(FlowArrivals *arrivals, const FlowPlan *plan, Arena *arena, FlowReport *ret_report,
                        Err *err)
{
    const FlowWatch *watch = &arrivals->options.watch;
    FlowRunOptions options = { .cancel = &arrivals->cancel, .principal = ARRIVAL,
                               .run_id = uuid_format(arena, os_uuid(arrivals->os)) };
    __atomic_store_n(&arrivals->cancel, false, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&arrivals->stop, __ATOMIC_SEQ_CST))
        __atomic_store_n(&arrivals->cancel, true, __ATOMIC_SEQ_CST);
    if (watch->begin) {
        options.progress = watch->progress;
        options.progress_arg = watch->begin(watch->self, options.run_id, &arrivals->cancel);
    }
    Code code = flow_run(arrivals->options.flow, plan, &options, arena, ret_report, err);
    if (watch->begin)
        watch->end(options.progress_arg, code, err, ret_report);
    return code;
}

static Code run_once(FlowArrivals *arrivals, Arena *arena, FlowReport *ret_report, Err *err)
{
    Flow *flow = arrivals->options.flow;
    Project *project AUTO(project_free) = project_ref(flow);
    FlowPlanQuery query = { 0 };
    FlowPlan plan = { 0 };
    closure(arrivals, project, arena, &query);
    if (query.count == 0)
        return E_OK;
    TRY(flow_plan(flow, &query, arena, &plan, err));
    if (plan.count == 0)
        return E_OK;
    return run_watched(arrivals, &plan, arena, ret_report, err);
}

static void names_clear(FlowArrivals *arrivals)
{
    arena_reset(&arrivals->arena);
    arrivals->names = NULL;
    arrivals->name_count = 0;
    arrivals->retry_ms = 0;
    arrivals->tries = 0;
}

static void count_run(FlowArrivals *arrivals, bool ran, bool failed)
{
    MUTEX_HELD(&arrivals->mutex);
    arrivals->state.decisions++;
    arrivals->state.runs += ran;
    arrivals->state.failures += failed;
}

/* What could not even begin has a row of its own; once, however often it is tried. */
static void failure_record(FlowArrivals *arrivals, const Err *why)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Buf json AUTO(buf_done);
    MetaTxn txn;
    Os *os = arrivals->os;
    buf_init(&json, 64 << 10);
    JsonWriter w = json_writer(&json);
    json_begin_object(&w);
    json_field_str(&w, "trigger", STR("arrival"));
    json_field_str(&w, "detail", str_z(why->text));
    json_end_object(&w);
    meta_txn_init(&txn, &tmp);
    meta_put_run(&txn, &(MetaRun){ .run_id = uuid_format(&tmp, os_uuid(os)),
                                   .state = flow_state_name(FLOW_FAILED_STATE),
                                   .started_us = os_now_us(os), .ended_us = os_now_us(os),
                                   .detail_json = json.over ? STR("{}") : buf_str(&json) });
    Err err;
    if (meta_commit(arrivals->options.flow->options.meta, &txn, &err) != E_OK)
        log_line(LOG_WARN, "event=arrival error=%s", err.text);
}

/* A model was cut off by the end of the server, whatever became of the others. */
static bool was_cut_off(const FlowArrivals *arrivals, const FlowReport *report)
{
    bool cancelled = false;
    for (size_t i = 0; i < report->count; i++)
        cancelled |= report->models[i].state == FLOW_CANCELLED;
    return cancelled && __atomic_load_n(&arrivals->stop, __ATOMIC_ACQUIRE);
}

/* A model failed for what passes: no space, a table that became another one while its model ran. What takes too
 * long takes too long again. */
static bool may_pass(const FlowArrivals *arrivals, const FlowReport *report, Err *err)
{
    for (size_t i = 0; i < report->count && arrivals->tries < TRIES_MAX; i++) {
        const FlowModelReport *model = &report->models[i];
        if (model->state != FLOW_FAILED_STATE || !model->error ||
            (model->error->code != E_NO_SPACE && model->error->code != E_CONFLICT &&
             model->error->code != E_UNAVAILABLE))
            continue;
        *err = *model->error;
        return true;
    }
    return false;
}

/* What arrived waits, its place with it, with growing pauses. */
static void run_again(FlowArrivals *arrivals, const Err *why)
{
    arrivals->retry_ms = MIN(MAX(2 * arrivals->retry_ms, (int64_t)RETRY_MS), (int64_t)RETRY_MS_MAX);
    log_line(LOG_WARN, "event=arrival models=%zu error=%s", arrivals->name_count, why->text);
}

/* A run that could write nothing is not begun. */
static bool waits_for_space(FlowArrivals *arrivals)
{
    StoreSpace space;
    store_space(arrivals->store, &space);
    if (space.level == SPACE_FULL && arrivals->retry_ms == 0)
        log_line(LOG_WARN, "event=arrival models=%zu waits=space", arrivals->name_count);
    if (space.level == SPACE_FULL)
        arrivals->retry_ms = MAX(arrivals->retry_ms, (int64_t)RETRY_MS);
    return space.level == SPACE_FULL;
}

static void run_begin(FlowArrivals *arrivals)
{
    Arena arena AUTO(arena_done) = { 0 };
    FlowReport report = { 0 };
    Err err;
    err_clear(&err);
    flow_wait_idle(arrivals->options.flow, &arrivals->stop);
    Code code = run_once(arrivals, &arena, &report, &err);
    if (code == E_UNAVAILABLE)
        return; /* somebody was quicker: behind his run */
    if (code == E_OK && was_cut_off(arrivals, &report))
        return; /* again at the next start */
    arrivals->tries++;
    if (code == E_OK && may_pass(arrivals, &report, &err)) {
        run_again(arrivals, &err);
        count_run(arrivals, true, true);
        return;
    }
    if (code == E_OK)
        code = place_move(arrivals, &err);
    if (code != E_OK) {
        if (arrivals->retry_ms == 0)
            failure_record(arrivals, &err);
        run_again(arrivals, &err);
        count_run(arrivals, false, true);
        return;
    }
    if (report.count > 0)
        log_line(LOG_INFO, "event=arrival run=" STR_FMT " models=%zu state=" STR_FMT, STR_ARG(report.run_id),
                 report.count, STR_ARG(flow_state_name(report.state)));
    count_run(arrivals, report.count > 0, report.count > 0 && report.state != FLOW_PUBLISHED);
    names_clear(arrivals);
}

/* Until the run may begin; below 0: nothing is triggered. */
static int64_t left_us(const FlowArrivals *arrivals)
{
    int64_t quiet_us = arrivals->options.quiet_ms * 1000, now_us = os_monotonic_us(arrivals->os);
    if (arrivals->name_count == 0)
        return -1;
    int64_t begin_us = MIN(arrivals->last_us + quiet_us, arrivals->first_us + ARRIVALS_WAIT_FACTOR * quiet_us);
    return MAX(begin_us + arrivals->retry_ms * 1000 - now_us, (int64_t)0);
}

static int64_t look_us(const FlowArrivals *arrivals)
{
    return MIN((int64_t)LOOK_US, arrivals->options.quiet_ms * 1000);
}

static void *arrivals_run(void *arg)
{
    FlowArrivals *arrivals = arg;
    Err err;
    err_clear(&err);
    while (!__atomic_load_n(&arrivals->stop, __ATOMIC_ACQUIRE)) {
        bool moved = store_feed_wait(arrivals->store, arrivals->seen, left_us(arrivals), &arrivals->stop);
        if (moved) /* many at once: each look costs more than what it finds */
            store_feed_wait(arrivals->store, arrivals->seen + PAGE, look_us(arrivals), &arrivals->stop);
        Code code = moved ? changes_read(arrivals, &err) : E_OK;
        if (code == E_OK && arrivals->name_count == 0 && arrivals->seen - arrivals->durable >= SKIPPED_MAX)
            code = place_move(arrivals, &err);
        if (code != E_OK) {
            log_line(LOG_WARN, "event=arrival error=%s", err.text);
            store_feed_wait(arrivals->store, UINT64_MAX, RETRY_MS * 1000, &arrivals->stop);
            continue;
        }
        if (left_us(arrivals) == 0 && !__atomic_load_n(&arrivals->stop, __ATOMIC_ACQUIRE)) {
            arrivals->last_us = arrivals->first_us = os_monotonic_us(arrivals->os); /* of a retry */
            if (!waits_for_space(arrivals))
                run_begin(arrivals);
        }
    }
    return NULL;
}

Code flow_arrivals_open(const FlowArrivalsOptions *options, FlowArrivals **ret_arrivals, Err *err)
{
    FlowArrivals *arrivals AUTO(flow_arrivals_free) = mem_new(sizeof *arrivals);
    arrivals->options = *options;
    if (options->quiet_ms == 0)
        arrivals->options.quiet_ms = ARRIVALS_QUIET_MS;
    arrivals->os = options->flow->options.os;
    arrivals->store = options->flow->options.store;
    mutex_init(&arrivals->mutex);
    TRY(place_load(arrivals, err));
    TRY(thread_start(&arrivals->thread, "arrivals", arrivals_run, arrivals, err));
    *ret_arrivals = TAKE(arrivals);
    return E_OK;
}

void flow_arrivals_free(FlowArrivals **arrivals_pointer)
{
    FlowArrivals *arrivals = TAKE(*arrivals_pointer);
    if (!arrivals)
        return;
    __atomic_store_n(&arrivals->stop, true, __ATOMIC_SEQ_CST);
    __atomic_store_n(&arrivals->cancel, true, __ATOMIC_SEQ_CST);
    store_feed_wake(arrivals->store);
    flow_wake(arrivals->options.flow);
    thread_join(&arrivals->thread);
    mutex_done(&arrivals->mutex);
    arena_done(&arrivals->arena);
    mem_free(&arrivals);
}

FlowArrivalsState flow_arrivals_state(FlowArrivals *arrivals)
{
    MUTEX_HELD(&arrivals->mutex);
    return arrivals->state;
}
