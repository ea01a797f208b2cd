#include "flow/flow_priv.h"

#include "flow/ledger.h"

#include <string.h>

/* What the plan knows of one node while it is made. */
typedef struct PlanNode {
    const FlowNode *node;
    bool dirty;          /* what it gives will change in this plan */
    size_t *after;       /* planned nodes that come before, through views that are not planned */
    size_t after_count;
    FlowStep *step;      /* NULL: nothing to do */
} PlanNode;

typedef struct Planner {
    Flow *flow;
    const Project *project;
    const FlowPlanQuery *query;
    Arena *arena;
    PlanNode *nodes;
    MetaRead *read;
    Err *err;
} Planner;

Str flow_reason_name(FlowReason reason)
{
    static const Str names[] = { STR_INIT("new"),    STR_INIT("changed"),  STR_INIT("input"),
                                 STR_INIT("intervals"), STR_INIT("failed"), STR_INIT("upstream"),
                                 STR_INIT("forced") };
    return names[reason];
}

/* The last publish: whether there was one, of which fingerprint, on which inputs. */
typedef struct LastPublish {
    Str fingerprint, signature;
} LastPublish;

static Code last_publish(Planner *p, const FlowNode *node, LastPublish *ret_last)
{
    MetaSetting setting;
    Str key = flow_signature_key(p->arena, node->model.name);
    *ret_last = (LastPublish){ 0 };
    Code code = meta_get_setting(p->read, key, p->arena, &setting, p->err);
    if (code == E_NOT_FOUND)
        return E_OK;
    TRY(code);
    Str rest = setting.value;
    IGNORE(!str_split(&rest, ' ', &ret_last->fingerprint)); /* an empty value has no parts */
    ret_last->signature = rest;
    return E_OK;
}

static bool is_selected(const Planner *p, const FlowNode *node)
{
    for (size_t i = 0; i < p->query->count; i++) {
        if (str_eq(p->query->models[i], node->model.name))
            return true;
    }
    return p->query->count == 0;
}

static FlowStep *add_step(Planner *p, PlanNode *at, FlowReason reason, Str why)
{
    FlowStep *step = arena_new(p->arena, FlowStep);
    *step = (FlowStep){ .model = str_copy(p->arena, at->node->model.name),
                        .kind = at->node->model.kind, .reason = reason, .why = why };
    at->step = step;
    at->dirty = true;
    return step;
}

static Str dirty_input(const Planner *p, const PlanNode *at)
{
    for (size_t i = 0; i < at->node->input_count; i++) {
        if (p->nodes[at->node->inputs[i]].dirty)
            return p->project->nodes[at->node->inputs[i]].model.name;
    }
    return STR_NONE;
}

static bool was_failed(const MetaLedger *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!str_eq(rows[i].state, STR("published")) && !str_eq(rows[i].state, STR("incomplete")))
            return true;
    }
    return false;
}

/* FULL, VIEW, SEED: one ledger row without an interval. */
static Code plan_whole(Planner *p, PlanNode *at, const LastPublish *last, const MetaLedger *rows,
                       size_t count, Str signature)
{
    Arena *arena = p->arena;
    Str fingerprint = at->node->fingerprint;
    Str input = dirty_input(p, at);
    if (was_failed(rows, count))
        add_step(p, at, FLOW_FAILED, str_format(arena, "its last run was %.*s",
                                                STR_ARG(rows[0].state)));
    else if (p->query->failed)
        return E_OK;
    else if (last->fingerprint.len == 0)
        add_step(p, at, FLOW_NEW, STR("it was never published, or dropped"));
    else if (!str_eq(last->fingerprint, fingerprint) || count == 0)
        add_step(p, at, FLOW_CHANGED, STR("its text or its suite changed"));
    else if (at->node->model.kind == MODEL_VIEW)
        at->dirty = input.ptr != NULL;
    else if (input.ptr)
        add_step(p, at, FLOW_UPSTREAM, str_format(arena, STR_FMT " changes in this plan",
                                                  STR_ARG(input)));
    else if (!str_eq(last->signature, signature))
        add_step(p, at, FLOW_INPUT, STR("what it reads has changed"));
    if (p->query->force && !at->step)
        add_step(p, at, FLOW_FORCED, STR("it was asked for"));
    return E_OK;
}

static Str days_text(Arena *arena, const LedgerMissing *missing)
{
    int64_t end = missing->intervals[missing->count - 1].end_us;
    return str_format(arena, "%zu day%s missing, " STR_FMT " to " STR_FMT ", as %zu statement%s",
                      missing->days, missing->days == 1 ? "" : "s",
                      STR_ARG(date_format(arena, missing->intervals[0].start_us)),
                      STR_ARG(date_format(arena, end - LEDGER_DAY_US)), missing->count,
                      missing->count == 1 ? "" : "s");
}

static Code plan_intervals(Planner *p, PlanNode *at, const LastPublish *last, const MetaLedger *rows,
                           size_t count, Str signature)
{
    const Model *model = &at->node->model;
    int64_t today = ledger_day(os_now_us(p->flow->options.os));
    bool same = str_eq(last->fingerprint, at->node->fingerprint);
    LedgerQuery query = {
        .start_us = model->start_us,
        .end_us = model->has_end ? MIN(model->end_us, today) : today,
        .from_us = p->query->from_us,
        .to_us = p->query->to_us,
        .batch_days = model->batch_size,
        .lookback_days = model->lookback,
        .failed_only = p->query->failed,
        .redo_incomplete = same && !str_eq(last->signature, signature),
        .force = p->query->force,
        .rows = rows,
        .row_count = count,
    };
    LedgerMissing missing;
    TRY(ledger_missing(p->arena, &query, &missing, p->err));
    if (missing.days == 0)
        return E_OK;
    FlowReason reason = last->fingerprint.len == 0 ? FLOW_NEW
                        : !same                    ? FLOW_CHANGED
                        : missing.failed_days > 0  ? FLOW_FAILED
                        : p->query->force          ? FLOW_FORCED
                                                   : FLOW_INTERVALS;
    FlowStep *step = add_step(p, at, reason, days_text(p->arena, &missing));
    step->intervals = missing.intervals;
    step->interval_count = missing.count;
    step->days = missing.days;
    return E_OK;
}

static void add_after(PlanNode *at, size_t index)
{
    for (size_t i = 0; i < at->after_count; i++) {
        if (at->after[i] == index)
            return;
    }
    at->after[at->after_count++] = index;
}

static void find_after(Planner *p, PlanNode *at)
{
    at->after = arena_array(p->arena, size_t, p->project->count + 1);
    for (size_t i = 0; i < at->node->input_count; i++) {
        size_t input = at->node->inputs[i];
        const PlanNode *before = &p->nodes[input];
        if (before->step)
            add_after(at, input);
        for (size_t j = 0; !before->step && j < before->after_count; j++)
            add_after(at, before->after[j]);
    }
}

/* What was published and is not there any more was dropped or renamed: nothing of it counts as done. */
static Code is_gone(Planner *p, const FlowNode *node, const LastPublish *last, bool *ret_gone)
{
    TableVersion *version AUTO(table_version_free) = NULL;
    *ret_gone = false;
    if (last->fingerprint.len == 0)
        return E_OK;
    Code code = catalog_load(p->flow->options.catalog, node->model.ns, node->model.table, &version, p->err);
    *ret_gone = code == E_NOT_FOUND;
    return code == E_NOT_FOUND ? E_OK : code;
}

static Code plan_node(Planner *p, PlanNode *at)
{
    bool gone;
    LastPublish last;
    MetaLedger *rows;
    size_t count;
    Str signature;
    find_after(p, at);
    if (!is_selected(p, at->node))
        return E_OK;
    TRY(last_publish(p, at->node, &last));
    TRY(meta_list_ledger(p->read, at->node->model.name, at->node->fingerprint, p->arena, &rows,
                         &count, p->err));
    TRY(is_gone(p, at->node, &last, &gone));
    if (gone && !p->query->failed) {
        last = (LastPublish){ 0 };
        count = 0;
    }
    TRY(flow_signature(p->flow, p->project, at->node, p->arena, &signature, p->err));
    return at->node->model.kind == MODEL_INCREMENTAL
               ? plan_intervals(p, at, &last, rows, count, signature)
               : plan_whole(p, at, &last, rows, count, signature);
}

static void collect(Planner *p, FlowPlan *ret_plan)
{
    ret_plan->steps = arena_array(p->arena, FlowStep, p->project->count);
    for (size_t i = 0; i < p->project->count; i++) {
        PlanNode *at = &p->nodes[i];
        if (!at->step)
            continue;
        at->step->after = arena_array(p->arena, Str, at->after_count);
        for (size_t j = 0; j < at->after_count; j++)
            at->step->after[at->step->after_count++] = p->nodes[at->after[j]].step->model;
        ret_plan->steps[ret_plan->count++] = *at->step;
    }
    ret_plan->summary = ret_plan->count == 0 ? STR("nothing is missing")
                        : str_format(p->arena, "%zu model%s would run", ret_plan->count,
                                     ret_plan->count == 1 ? "" : "s");
}

static Code check_names(const Planner *p)
{
    for (size_t i = 0; i < p->query->count; i++) {
        if (project_node(p->project, p->query->models[i]))
            continue;
        Str *names = arena_array(p->arena, Str, p->project->count);
        for (size_t j = 0; j < p->project->count; j++)
            names[j] = p->project->nodes[j].model.name;
        Code code = err_set(p->err, E_NOT_FOUND, "no model is called " STR_FMT,
                            STR_ARG(p->query->models[i]));
        Str nearest = str_nearest(p->query->models[i], names, p->project->count);
        return nearest.ptr ? err_hint(p->err, code, "did you mean " STR_FMT "?", STR_ARG(nearest))
                           : code;
    }
    return E_OK;
}

Code flow_plan(Flow *flow, const FlowPlanQuery *query, Arena *arena, FlowPlan *ret_plan, Err *err)
{
    Project *project AUTO(project_free) = project_ref(flow);
    MetaRead *read AUTO(meta_read_end) = NULL;
    Planner p = { .flow = flow, .project = project, .query = query, .arena = arena, .err = err };
    TRY(check_names(&p));
    p.nodes = arena_array(arena, PlanNode, project->count);
    TRY(meta_read_begin(flow->options.meta, &read, err));
    p.read = read;
    for (size_t i = 0; i < project->count; i++) {
        p.nodes[i].node = &project->nodes[i];
        TRY(plan_node(&p, &p.nodes[i]));
    }
    FlowPlan plan = { 0 };
    collect(&p, &plan);
    *ret_plan = plan;
    return E_OK;
}
