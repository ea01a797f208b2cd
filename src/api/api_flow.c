/* Models and runs: a run goes on in a thread of its own; its events stay for those who ask later.
 *
 * Invariants:
 * 1. At most one run that somebody asked for goes on or waits for its turn; the next one is refused. It waits
 *    RUN_WAIT_MS at most for the run of an arrival.
 * 2. `events` only grows and each is whole; readers copy what they take under the run's mutex. The last one is the
 *    end, also of a run with more than API_RUN_EVENTS_MAX: what is left out is progress, and the end says how much.
 * 3. `ended` is set after the last event; the thread touches nothing of the run afterwards.
 * 4. RUNS_KEPT runs stay in memory; older ones are answered from the metadata. */
#include "api/api_priv.h"

#include "flow/arrivals.h"
#include "format/json.h"

enum { EVENT_BYTES_MAX = 4 << 20, RUN_WAIT_MS = 10 * 60 * 1000 };

/* ---- models ---- */

static void strs_field(JsonWriter *w, const char *key, const Str *items, size_t count)
{
    json_key(w, str_z(key));
    json_begin_array(w);
    for (size_t i = 0; i < count; i++)
        json_put_str(w, items[i]);
    json_end_array(w);
}

Code api_models(ApiCall *call, Buf *out, Err *err)
{
    FlowModelInfo *models;
    size_t count;
    TRY(flow_models(call->lake->flow, call->arena, &models, &count, err));
    JsonWriter w = api_items_begin(out);
    for (size_t i = 0; i < count; i++) {
        const FlowModelInfo *m = &models[i];
        json_begin_object(&w);
        json_field_str(&w, "name", m->name);
        json_field_str(&w, "kind", model_kind_name(m->kind));
        json_field_str(&w, "state", m->state);
        json_field_f64(&w, "gate", m->gate_min);
        json_field_str(&w, "path", m->path);
        json_field_str(&w, "owner", m->owner);
        json_field_str(&w, "fingerprint", m->fingerprint);
        strs_field(&w, "inputs", m->inputs, m->input_count);
        strs_field(&w, "tags", m->tags, m->tag_count);
        api_time_field(&w, call->arena, "updated", m->updated_us);
        json_field_str(&w, "text", m->text);
        json_end_object(&w);
    }
    return api_items_end(&w, "the list of models", err);
}

Code api_models_load(ApiCall *call, Str json, Buf *out, Err *err)
{
    const Json *root, *list;
    TRY(json_parse(call->arena, json, NULL, &root, err));
    TRY(json_need_arr(root, "files", &list, err));
    size_t count = json_len(list);
    if (count > API_MODEL_FILES_MAX)
        return err_set(err, E_LIMIT, "a project has at most %d files", API_MODEL_FILES_MAX);
    FlowFile *files = arena_array(call->arena, FlowFile, count + 1);
    size_t at = 0;
    for (JsonIter it = json_iter(list); json_next(&it); at++) {
        TRY(json_need_str(it.value, "path", &files[at].path, err));
        TRY(json_need_str(it.value, "text", &files[at].text, err));
    }
    TRY(flow_load(call->lake->flow, files, count, err));
    api_audit_behind(call, "models.load", STR("models"), str_format(call->arena, "{\"files\":%zu}", count));
    return api_models(call, out, err);
}

/* ---- plans ---- */

static Code time_member(const Json *root, const char *key, int64_t *ret_us, Err *err)
{
    const Json *value = json_get(root, key);
    if (json_is_null(value))
        return E_OK;
    if (!time_parse(json_str(value), ret_us))
        return err_hint(err, err_set(err, E_INVALID, "`%s` is no time", key), "write 2026-11-22");
    return E_OK;
}

static Code plan_read(ApiCall *call, Arena *arena, Str json, FlowPlanQuery *ret_query, FlowPlan *ret_plan, Err *err)
{
    FlowPlanQuery query = { 0 };
    const Json *root = NULL;
    if (str_trim(json).len > 0)
        TRY(json_parse(call->arena, json, NULL, &root, err));
    const Json *models = json_get(root, "models");
    if (root && json_type(root) != JSON_OBJECT)
        return err_set(err, E_INVALID, "a run is asked for with a JSON object");
    Str *names = arena_array(arena, Str, json_len(models) + 1);
    for (JsonIter it = json_iter(models); json_next(&it);)
        names[query.count++] = str_copy(arena, json_str(it.value));
    query.models = names;
    query.failed = json_bool(json_get(root, "failed"), false);
    query.force = json_bool(json_get(root, "force"), false);
    TRY(time_member(root, "from", &query.from_us, err));
    TRY(time_member(root, "to", &query.to_us, err));
    *ret_query = query;
    return flow_plan(call->lake->flow, &query, arena, ret_plan, err);
}

static void plan_put(JsonWriter *w, Arena *arena, const FlowPlan *plan)
{
    json_begin_object(w);
    json_field_str(w, "summary", plan->summary);
    json_key(w, STR("steps"));
    json_begin_array(w);
    for (size_t i = 0; i < plan->count; i++) {
        const FlowStep *step = &plan->steps[i];
        json_begin_object(w);
        json_field_str(w, "model", step->model);
        json_field_str(w, "kind", model_kind_name(step->kind));
        json_field_str(w, "reason", flow_reason_name(step->reason));
        json_field_str(w, "why", step->why);
        json_field_u64(w, "days", step->days);
        json_field_u64(w, "interval_count", step->interval_count);
        if (step->interval_count > 0) {
            api_time_field(w, arena, "from", step->intervals[0].start_us);
            api_time_field(w, arena, "to", step->intervals[step->interval_count - 1].end_us);
        }
        strs_field(w, "after", step->after, step->after_count);
        json_end_object(w);
    }
    json_end_array(w);
    json_end_object(w);
}

Code api_plan(ApiCall *call, Str json, Buf *out, Err *err)
{
    FlowPlan plan;
    FlowPlanQuery query;
    TRY(plan_read(call, call->arena, json, &query, &plan, err));
    JsonWriter w = json_writer(out);
    plan_put(&w, call->arena, &plan);
    return buf_end(out, "the plan", err);
}

/* ---- runs ---- */

/* Under the run's mutex. */
static void event_keep(ApiRun *run, const Buf *text)
{
    run->events = mem_grow(run->events, (run->event_count + 1) * sizeof *run->events);
    Buf *event = &run->events[run->event_count++];
    buf_init(event, EVENT_BYTES_MAX);
    buf_put(event, buf_str(text));
}

static void progress_keep(ApiRun *run, const Buf *text)
{
    MUTEX_HELD(&run->mutex);
    if (run->event_count < API_RUN_EVENTS_MAX)
        event_keep(run, text);
    else
        run->left_out++;
}

static void progress_event(void *arg, const FlowProgress *progress)
{
    ApiRun *run = arg;
    Buf text AUTO(buf_done);
    buf_init(&text, EVENT_BYTES_MAX);
    JsonWriter w = json_writer(&text);
    json_begin_object(&w);
    json_field_str(&w, "event", STR("progress"));
    json_field_str(&w, "run_id", progress->run_id);
    json_field_str(&w, "model", progress->model);
    json_field_str(&w, "state", flow_state_name(progress->state));
    json_field_str(&w, "phase", progress->phase);
    json_field_f64(&w, "fraction", progress->fraction);
    json_field_u64(&w, "models_done", progress->models_done);
    json_field_u64(&w, "models", progress->models);
    if (progress->report) {
        Buf report AUTO(buf_done);
        buf_init(&report, EVENT_BYTES_MAX / 2);
        flow_model_report_json(progress->report, &report);
        json_field_raw(&w, "report", report.over ? STR("null") : buf_str(&report));
    }
    json_end_object(&w);
    if (!text.over)
        progress_keep(run, &text);
}

static void end_event(ApiRun *run, Code code, const Err *err, const FlowReport *report)
{
    Buf text AUTO(buf_done);
    Buf json AUTO(buf_done);
    buf_init(&text, EVENT_BYTES_MAX);
    buf_init(&json, EVENT_BYTES_MAX / 2);
    JsonWriter w = json_writer(&text);
    json_begin_object(&w);
    json_field_str(&w, "event", STR("end"));
    json_field_str(&w, "run_id", run->run_id);
    if (code == E_OK) {
        json_field_str(&w, "state", flow_state_name(report->state));
        flow_report_json(report, &json);
        json_field_raw(&w, "report", json.over ? STR("null") : buf_str(&json));
    } else {
        json_field_str(&w, "state", code == E_CANCELLED ? STR("cancelled") : STR("failed"));
        json_field_str(&w, "code", str_z(code_info(code)->name));
        json_field_str(&w, "detail", str_z(err->text));
        if (err->hint[0])
            json_field_str(&w, "hint", str_z(err->hint));
    }
    MUTEX_HELD(&run->mutex);
    if (run->left_out)
        json_field_u64(&w, "events_left_out", run->left_out);
    json_end_object(&w);
    event_keep(run, &text);
}

static void *run_thread(void *arg)
{
    ApiRun *run = arg;
    FlowReport report;
    Err err;
    err_clear(&err);
    FlowRunOptions options = { .progress = progress_event, .progress_arg = run, .cancel = &run->cancel,
                               .principal = run->principal, .run_id = run->run_id, .wait_ms = RUN_WAIT_MS,
                               .again = &run->query };
    Code code = flow_run(run->lake->flow, &run->plan, &options, &run->arena, &report, &err);
    end_event(run, code, &err, &report);
    MUTEX_HELD(&run->mutex);
    run->ended = true;
    return NULL;
}

static void run_free(ApiRun *run)
{
    __atomic_store_n(&run->cancel, true, __ATOMIC_RELAXED);
    thread_join(&run->thread);
    for (size_t i = 0; i < run->event_count; i++)
        buf_done(&run->events[i]);
    mem_free(&run->events);
    mutex_done(&run->mutex);
    arena_done(&run->arena);
    mem_free(&run);
}

void api_runs_end(ApiState *state)
{
    while (state->runs) {
        ApiRun *run = state->runs;
        state->runs = run->next;
        run_free(run);
    }
}

static bool run_ended(ApiRun *run)
{
    MUTEX_HELD(&run->mutex);
    return run->ended;
}

/* Under the state's mutex. */
static ApiRun *run_find(ApiState *state, Str run_id)
{
    for (ApiRun *run = state->runs; run; run = run->next) {
        if (str_eq(run->run_id, run_id))
            return run;
    }
    return NULL;
}

static void runs_trim(ApiState *state)
{
    ApiRun **at = &state->runs;
    for (size_t i = 0; *at && i < RUNS_KEPT; i++)
        at = &(*at)->next;
    while (*at && run_ended(*at)) {
        ApiRun *old = *at;
        *at = old->next;
        run_free(old);
    }
}

static ApiRun *run_new(ApiLake *lake, Str run_id, Str principal)
{
    ApiRun *run = mem_new(sizeof *run);
    run->lake = lake;
    run->cancelled = &run->cancel;
    mutex_init(&run->mutex);
    run->run_id = str_copy(&run->arena, run_id);
    run->principal = str_copy(&run->arena, principal);
    return run;
}

/* Under the state's mutex. */
static void run_show(ApiState *state, ApiRun *run)
{
    run->next = state->runs;
    state->runs = run;
    runs_trim(state);
}

/* Under the state's mutex: the one that was asked for, and goes on or waits. */
static const ApiRun *run_asked(ApiState *state)
{
    for (ApiRun *run = state->runs; run; run = run->next)
        if (!run->of_arrival && !run_ended(run))
            return run;
    return NULL;
}

static Code run_launch(ApiCall *call, ApiRun *run, Err *err)
{
    ApiState *state = call->lake->state;
    MUTEX_HELD(&state->mutex);
    const ApiRun *other = run_asked(state);
    if (other)
        return err_hint(err, err_set(err, E_UNAVAILABLE, "a run is going on: " STR_FMT, STR_ARG(other->run_id)),
                        "follow it at /v1/runs/" STR_FMT "/events", STR_ARG(other->run_id));
    TRY(thread_start(&run->thread, "run", run_thread, run, err));
    run_show(state, run);
    return E_OK;
}

/* ---- runs of arrivals ---- */

static void *arrival_begin(void *self, Str run_id, bool *cancel)
{
    ApiLake *lake = self;
    ApiRun *run = run_new(lake, run_id, STR("arrival"));
    run->of_arrival = true;
    run->cancelled = cancel;
    MUTEX_HELD(&lake->state->mutex);
    run_show(lake->state, run);
    return run;
}

static void arrival_forget(ApiRun *run)
{
    MUTEX_HELD(&run->lake->state->mutex);
    ApiRun **at = &run->lake->state->runs;
    while (*at != run)
        at = &(*at)->next;
    *at = run->next;
    run_free(run);
}

static void arrival_end(void *arg, Code code, const Err *err, const FlowReport *report)
{
    ApiRun *run = arg;
    if (code == E_UNAVAILABLE) {
        arrival_forget(run);
        return;
    }
    end_event(run, code, err, report);
    MUTEX_HELD(&run->mutex);
    run->ended = true;
    run->cancelled = &run->cancel;
}

void api_watch_arrivals(ApiLake *lake, FlowWatch *ret_watch)
{
    *ret_watch = (FlowWatch){ .begin = arrival_begin, .progress = progress_event, .end = arrival_end, .self = lake };
}

Code api_run_start(ApiCall *call, Str json, Buf *out, Str *ret_run_id, Err *err)
{
    ApiRun *run = run_new(call->lake, uuid_format(call->arena, os_uuid(call->lake->os)), call->principal.id);
    JsonWriter w = json_writer(out);
    Code code = plan_read(call, &run->arena, json, &run->query, &run->plan, err);
    bool nothing = code == E_OK && run->plan.count == 0;
    Str run_id = nothing ? STR_NONE : str_copy(call->arena, run->run_id);
    if (code == E_OK) {
        json_begin_object(&w);
        json_field_str(&w, "run_id", run_id);
        json_field_str(&w, "state", nothing ? STR("nothing") : STR("running"));
        json_key(&w, STR("plan"));
        plan_put(&w, call->arena, &run->plan);
        json_end_object(&w);
        code = buf_end(out, "the plan", err);
    }
    if (code == E_OK && !nothing)
        code = run_launch(call, run, err);
    if (code != E_OK || nothing)
        run_free(run);
    TRY(code);
    if (!nothing) {
        api_audit_behind(call, "run.start", run_id, STR_NONE);
        api_count(call, API_COUNT_runs, 1);
    }
    *ret_run_id = run_id;
    return E_OK;
}

Code api_runs(ApiCall *call, size_t limit, Buf *out, Err *err)
{
    MetaRead *read AUTO(meta_read_end) = NULL;
    MetaRun *runs;
    size_t count;
    limit = limit == 0 || limit > API_LIST_MAX ? 50 : limit;
    TRY(meta_read_begin(call->lake->meta, &read, err));
    TRY(meta_list_runs(read, 0, limit, call->arena, &runs, &count, err));
    JsonWriter w = api_items_begin(out);
    for (size_t i = 0; i < count; i++) {
        json_begin_object(&w);
        json_field_str(&w, "run_id", runs[i].run_id);
        json_field_str(&w, "state", runs[i].state);
        api_time_field(&w, call->arena, "started", runs[i].started_us);
        api_time_field(&w, call->arena, "ended", runs[i].ended_us);
        json_end_object(&w);
    }
    return api_items_end(&w, "the list of runs", err);
}

Code api_run(ApiCall *call, Str run_id, Buf *out, Err *err)
{
    Str json;
    Code code = flow_run_state(call->lake->flow, run_id, call->arena, &json, err);
    if (code == E_NOT_FOUND) { /* accepted, and its thread has not written yet */
        MUTEX_HELD(&call->lake->state->mutex);
        ApiRun *run = run_find(call->lake->state, run_id);
        if (run) {
            JsonWriter w = json_writer(out);
            json_begin_object(&w);
            json_field_str(&w, "run_id", run_id);
            json_field_str(&w, "state", run_ended(run) ? STR("failed") : STR("running"));
            json_end_object(&w);
            return buf_end(out, "the run", err);
        }
    }
    TRY(code);
    buf_put(out, json);
    return buf_end(out, "the run", err);
}

static Code cancel_set(ApiState *state, Str run_id, Err *err)
{
    MUTEX_HELD(&state->mutex);
    ApiRun *run = run_find(state, run_id);
    if (!run || run_ended(run))
        return err_set(err, E_NOT_FOUND, "no run '" STR_FMT "' is going on", STR_ARG(run_id));
    MUTEX_HELD(&run->mutex);
    __atomic_store_n(run->cancelled, true, __ATOMIC_SEQ_CST);
    return E_OK;
}

Code api_run_cancel(ApiCall *call, Str run_id, Err *err)
{
    TRY(cancel_set(call->lake->state, run_id, err));
    api_audit_behind(call, "run.cancel", run_id, STR_NONE);
    return E_OK;
}

/* What an older run says: its state, and that there is no more. */
static Code events_of_before(ApiCall *call, Str run_id, Buf *out, Err *err)
{
    Str json;
    TRY(flow_run_state(call->lake->flow, run_id, call->arena, &json, err));
    JsonWriter w = json_writer(out);
    json_begin_object(&w);
    json_field_str(&w, "event", STR("end"));
    json_field_str(&w, "run_id", run_id);
    const Json *root;
    if (json_parse(call->arena, json, NULL, &root, NULL) == E_OK)
        json_field_str(&w, "state", json_str(json_get(root, "state")));
    json_field_raw(&w, "report", json);
    json_end_object(&w);
    buf_put_char(out, '\n');
    return buf_end(out, "the events", err);
}

Code api_run_events(ApiCall *call, Str run_id, uint64_t *after, Buf *out, bool *ret_end, Err *err)
{
    ApiState *state = call->lake->state;
    mutex_lock(&state->mutex);
    ApiRun *run = run_find(state, run_id);
    if (!run) {
        mutex_unlock(&state->mutex);
        *ret_end = true;
        return *after > 0 ? E_OK : events_of_before(call, run_id, out, err);
    }
    mutex_lock(&run->mutex);
    while (*after < run->event_count) {
        buf_put(out, buf_str(&run->events[(*after)++]));
        buf_put_char(out, '\n');
    }
    *ret_end = run->ended;
    mutex_unlock(&run->mutex);
    mutex_unlock(&state->mutex);
    return buf_end(out, "the events", err);
}
