#include "flow/run_priv.h"

#include "format/json.h"

Str flow_state_name(FlowState state)
{
    static const Str names[] = { STR_INIT("queued"), STR_INIT("running"), STR_INIT("published"),
                                 STR_INIT("gated"),  STR_INIT("failed"),  STR_INIT("upstream_failed"),
                                 STR_INIT("cancelled") };
    return names[state];
}

void report_copy(Arena *arena, const FlowModelReport *from, FlowModelReport *to)
{
    *to = *from;
    to->model = str_copy(arena, from->model);
    to->rejects = arena_array(arena, FlowReject, from->reject_count);
    for (size_t i = 0; i < from->reject_count; i++)
        to->rejects[i] = (FlowReject){ str_copy(arena, from->rejects[i].reason),
                                       from->rejects[i].rows };
    to->checks = arena_array(arena, FlowCheck, from->check_count);
    for (size_t i = 0; i < from->check_count; i++) {
        to->checks[i] = from->checks[i];
        to->checks[i].type = str_copy(arena, from->checks[i].type);
        to->checks[i].column = str_copy(arena, from->checks[i].column);
        to->checks[i].severity = str_copy(arena, from->checks[i].severity);
        to->checks[i].result_json = str_copy(arena, from->checks[i].result_json);
    }
    if (from->error)
        to->error = arena_copy(arena, from->error, sizeof *from->error);
}

static void put_error(JsonWriter *w, const Err *error)
{
    json_key(w, STR("error"));
    json_begin_object(w);
    json_field_str(w, "code", str_z(code_info(error->code)->name));
    json_field_str(w, "text", str_z(error->text));
    if (error->place[0])
        json_field_str(w, "place", str_z(error->place));
    if (error->hint[0])
        json_field_str(w, "hint", str_z(error->hint));
    if (error->position >= 0)
        json_field_i64(w, "position", error->position);
    json_end_object(w);
}

static void put_checks(JsonWriter *w, const FlowModelReport *report)
{
    json_key(w, STR("checks"));
    json_begin_array(w);
    for (size_t i = 0; i < report->check_count; i++) {
        const FlowCheck *check = &report->checks[i];
        json_begin_object(w);
        json_field_str(w, "type", check->type);
        json_field_str(w, "column", check->column);
        json_field_str(w, "severity", check->severity);
        json_field_bool(w, "success", check->success);
        json_field_i64(w, "element_count", check->element_count);
        json_field_i64(w, "missing_count", check->missing_count);
        json_field_i64(w, "unexpected_count", check->unexpected_count);
        json_field_f64(w, "fraction", check->fraction);
        json_field_raw(w, "result", check->result_json);
        json_end_object(w);
    }
    json_end_array(w);
}

static void put_rejects(JsonWriter *w, const FlowModelReport *report)
{
    json_key(w, STR("rejects"));
    json_begin_array(w);
    for (size_t i = 0; i < report->reject_count; i++) {
        json_begin_object(w);
        json_field_str(w, "reason", report->rejects[i].reason);
        json_field_i64(w, "rows", report->rejects[i].rows);
        json_end_object(w);
    }
    json_end_array(w);
}

static void put_model(JsonWriter *w, const FlowModelReport *report)
{
    json_begin_object(w);
    json_field_str(w, "model", report->model);
    json_field_str(w, "kind", model_kind_name(report->kind));
    json_field_str(w, "state", flow_state_name(report->state));
    json_field_i64(w, "rows_in", report->rows_in);
    json_field_i64(w, "rows_out", report->rows_out);
    json_field_i64(w, "rows_duplicate", report->rows_duplicate);
    json_field_i64(w, "rows_quarantined", report->rows_quarantined);
    put_rejects(w, report);
    json_field_f64(w, "score", report->score);
    json_field_f64(w, "success_percent", report->success_percent);
    json_field_f64(w, "gate", report->gate_min);
    json_field_bool(w, "veto", report->veto);
    json_field_i64(w, "days_published", report->days_published);
    json_field_i64(w, "days_incomplete", report->days_incomplete);
    json_field_u64(w, "bytes", report->bytes);
    json_field_u64(w, "files", report->files);
    json_field_i64(w, "ms", report->wall_ms);
    json_field_i64(w, "snapshot_id", report->snapshot_id);
    if (report->error)
        put_error(w, report->error);
    put_checks(w, report);
    json_end_object(w);
}

void flow_model_report_json(const FlowModelReport *report, Buf *buf)
{
    JsonWriter w = json_writer(buf);
    put_model(&w, report);
}

void flow_report_json(const FlowReport *report, Buf *buf)
{
    JsonWriter w = json_writer(buf);
    json_begin_object(&w);
    json_field_str(&w, "run_id", report->run_id);
    json_field_str(&w, "state", flow_state_name(report->state));
    json_field_i64(&w, "started_us", report->started_us);
    json_field_i64(&w, "ms", report->wall_ms);
    json_key(&w, STR("models"));
    json_begin_array(&w);
    for (size_t i = 0; i < report->count; i++)
        put_model(&w, &report->models[i]);
    json_end_array(&w);
    json_end_object(&w);
}

/* Failed is worse than held back, held back worse than cancelled. */
static const FlowModelReport *worst(const FlowReport *report)
{
    static const FlowState order[] = { FLOW_FAILED_STATE, FLOW_GATED, FLOW_CANCELLED,
                                       FLOW_UPSTREAM_FAILED };
    for (size_t o = 0; o < ARRAY_LEN(order); o++) {
        for (size_t i = 0; i < report->count; i++) {
            if (report->models[i].state == order[o])
                return &report->models[i];
        }
    }
    return NULL;
}

Code flow_report_code(const FlowReport *report, Err *err)
{
    const FlowModelReport *model = worst(report);
    if (!model)
        return E_OK;
    if (model->error) {
        if (err)
            *err = *model->error;
        return err_wrap(err, model->error->code, STR_FMT, STR_ARG(model->model));
    }
    if (model->state == FLOW_CANCELLED)
        return err_set(err, E_CANCELLED, "the run was cancelled");
    return err_set(err, E_GATED, STR_FMT " was held back: score %.4f, gate %.2f%s",
                   STR_ARG(model->model), model->score, model->gate_min,
                   model->veto ? ", a critical expectation failed" : "");
}
