/* Invariants:
 * 1. Nothing a reader can see changes before publish_model: until then there are only staged files.
 * 2. good and bad rows of a statement are disjoint, and with the dropped duplicates they are all rows
 *    that the SELECT gave; and once a run the records of its text inputs that are no rows.
 * 3. The report is complete when model_run returns, whatever happened.
 *
 * States: prepare -> write -> check -> publish; a failure in any of them ends in FLOW_FAILED_STATE, a
 * gate that does not open in FLOW_GATED. */
#include "flow/run_priv.h"

#include "format/arrow.h"

#include <string.h>

static const char *const REASON_SEPARATOR = "; ";

static void phase(const Work *work, const char *name, double fraction)
{
    if (work->run->phase)
        work->run->phase(work->run->phase_arg, work->run, name, fraction);
}

static Code check_cancel(const Work *work)
{
    if (work->run->cancel && __atomic_load_n(work->run->cancel, __ATOMIC_RELAXED))
        return err_set(work->err, E_CANCELLED, "the run was cancelled");
    return E_OK;
}

Code work_place(const Work *work, Code code, int64_t at)
{
    const Model *model = &work->node->model;
    Err *err = work->err;
    int64_t in_model = err->position - at;
    if (at < 0 || err->position < at || in_model > (int64_t)work->body.sql.len) {
        err->position = -1;
        return err->place[0] ? code : err_place(err, code, STR_FMT, STR_ARG(model->path));
    }
    size_t line = 1;
    size_t end = model->sql_at + (size_t)in_model;
    for (size_t i = 0; i < end && i < model->text.len; i++)
        line += model->text.ptr[i] == '\n';
    err->position = (int64_t)end;
    return err_place(err, code, STR_FMT ":%zu", STR_ARG(model->path), line);
}

size_t work_params(const Work *work, const FlowInterval *interval, SqlParam *ret_params)
{
    size_t n = 0;
    if (interval && str_find(work->body.sql, STR("$start_ts")) >= 0)
        ret_params[n++] = (SqlParam){ .name = STR("start_ts"), .kind = SQL_PARAM_TIMESTAMP,
                                      .i64 = interval->start_us };
    if (interval && str_find(work->body.sql, STR("$end_ts")) >= 0)
        ret_params[n++] = (SqlParam){ .name = STR("end_ts"), .kind = SQL_PARAM_TIMESTAMP,
                                      .i64 = interval->end_us };
    if (str_find(work->body.sql, STR("$run_id")) >= 0)
        ret_params[n++] = (SqlParam){ .name = STR("run_id"), .kind = SQL_PARAM_TEXT,
                                      .text = work->run->run_id };
    return n;
}

/* ---- prepare ---- */

/* CSV and JSON are read as text with their places; Parquet has its types. */
static Code bind_text(Work *work, const Str *addresses, size_t count, RawFormat format)
{
    RawOptions options = { .os = work->flow->options.os, .store = work->flow->options.store };
    RawRequest request = { .format = format, .addresses = addresses, .address_count = count,
                           .as_text = true, .problems = true, .header = format == RAW_CSV ? 1 : -1,
                           .union_by_name = true };
    RawScan *scan;
    TRY(raw_open(&options, &request, &scan, work->err));
    size_t number = work->raw_count++;
    work->raws[number] = scan;
    work->bindings[work->binding_count++] = (SqlBinding){
        .name = str_format(work->arena, "@t%zu", number), .source = raw_source(scan)
    };
    work->bindings[work->binding_count++] = (SqlBinding){
        .name = str_format(work->arena, "@s%zu", number),
        .sql = str_format(work->arena, "SELECT * EXCLUDE (_problem) FROM \"@t%zu\" "
                          "WHERE _problem IS NULL", number)
    };
    return E_OK;
}

/* `*number`: of the input that is read; of a source that stands before, the same. SIZE_MAX: none. */
static Code bind_source(Work *work, const BodySource *source, size_t *number, Str *ret_file)
{
    Str *addresses;
    size_t count;
    RawFormat format;
    TRY(flow_source_resolve(work->flow, source->source, source->name, source->all, work->arena,
                            &addresses, &count, work->err));
    *ret_file = count == 1 ? addresses[0] : STR_NONE;
    if (!raw_format_of(source->name, &format) || format == RAW_PARQUET)
        return E_OK;
    if (*number != SIZE_MAX)
        return E_OK;
    *number = work->raw_count;
    return bind_text(work, addresses, count, format);
}

static bool is_same_source(const BodySource *a, const BodySource *b)
{
    return str_eq(a->source, b->source) && str_eq(a->name, b->name) && a->all == b->all;
}

static Code bind_sources(Work *work)
{
    const Model *model = &work->node->model;
    BodySource sources[BODY_SOURCES_MAX];
    size_t numbers[BODY_SOURCES_MAX];
    size_t count = body_sources(model->sql, sources);
    char *sql = (char *)(uintptr_t)str_copy_z(work->arena, model->sql);
    for (size_t i = 0; i < count; i++) {
        Str file;
        numbers[i] = SIZE_MAX;
        for (size_t j = 0; j < i && numbers[i] == SIZE_MAX; j++)
            if (is_same_source(&sources[i], &sources[j]))
                numbers[i] = numbers[j];
        Code code = bind_source(work, &sources[i], &numbers[i], &file);
        if (code != E_OK) {
            if (work->err->position < 0)
                err_at(work->err, code, (int64_t)sources[i].from);
            return work_place(work, code, 0);
        }
        if (numbers[i] != SIZE_MAX)
            body_replace(sql, &sources[i], numbers[i]);
        work->body.file = count == 1 ? file : STR_NONE;
    }
    work->body.sql = str_of(sql, model->sql.len);
    return E_OK;
}

static Code bind_seed(Work *work)
{
    const Model *model = &work->node->model;
    Str name = str_from(model->seed_path, (size_t)(str_rfind_char(model->seed_path, '/') + 1));
    IngestBegin begin = { .source = STR("seeds"), .name = name };
    IngestResult result;
    RawFormat format;
    if (!raw_format_of(name, &format) || format == RAW_PARQUET)
        return err_set(work->err, E_INVALID, STR_FMT ": a seed is a .csv or a .json file",
                       STR_ARG(model->seed_path));
    TRY(source_ingest_bytes(work->flow->options.source, &begin, work->node->seed_text, work->arena,
                            &result, work->err));
    work->body.file = result.address;
    work->body.sql = STR("SELECT * FROM \"@s0\"");
    return bind_text(work, &result.address, 1, format);
}

/* $start_ts and its kin must have a value also when only the columns are asked for. */
static Code describe(Work *work, IceSchema **ret_given)
{
    static const Str before = STR_INIT("SELECT * FROM (\n");
    SqlParam params[WORK_PARAMS_MAX];
    FlowInterval interval = { 0, 0 };
    /* LIMIT 0: the engine must not begin to run it. */
    SqlRequest request = {
        .text = str_format(work->arena, STR_FMT STR_FMT "\n) AS _body LIMIT 0", STR_ARG(before),
                           STR_ARG(work->body.sql)),
        .params = params,
        .param_count = work_params(work, &interval, params),
        .bindings = work->bindings,
        .binding_count = work->binding_count,
        .source_resolve = flow_source_resolve,
        .source_self = work->flow,
        .read_only = true,
        .cancel = work->run->cancel,
        .refuse_volatile = work->node->model.kind == MODEL_INCREMENTAL,
    };
    Code code = sql_describe(work->flow->options.sql, &request, work->arena, ret_given, work->err);
    return code == E_OK ? E_OK : work_place(work, code, (int64_t)before.len);
}

static Code prepare(Work *work)
{
    const Model *model = &work->node->model;
    work->bindings = arena_array(work->arena, SqlBinding, 2 * BODY_SOURCES_MAX + 2);
    work->body.model = model;
    work->body.suite = &work->node->suite;
    work->body.run_id = work->run->run_id;
    work->body.now_us = os_now_us(work->flow->options.os);
    work->body.sql = model->sql;
    TRY(flow_signature(work->flow, work->run->project, work->node, work->arena, &work->signature,
                       work->err));
    if (model->kind == MODEL_SEED)
        TRY(bind_seed(work));
    else if (model->column_count > 0)
        TRY(bind_sources(work));
    IceSchema *given;
    TRY(describe(work, &given));
    TRY(body_fit(work->arena, &work->body, given, work->err));
    IceField *fields = arena_array(work->arena, IceField, work->body.column_count);
    for (size_t i = 0; i < work->body.column_count; i++)
        fields[i] = (IceField){ .name = work->body.columns[i].name,
                                .type = work->body.columns[i].type };
    return target_open(work, &work->target, (TableName){ model->ns, model->table }, fields,
                       work->body.column_count, work->err);
}

/* ---- write ---- */

/* silver.flights -> quarantine.flights, gold.daily -> quarantine.gold_daily */
static TableName quarantine_name(Work *work)
{
    const Model *model = &work->node->model;
    Str name = str_eq(model->ns, STR("silver"))
                   ? model->table
                   : str_format(work->arena, STR_FMT "_" STR_FMT, STR_ARG(model->ns),
                                STR_ARG(model->table));
    return (TableName){ STR("quarantine"), name };
}

static Code open_quarantine(Work *work)
{
    IceField *fields = arena_array(work->arena, IceField, QUARANTINE_COLUMN_COUNT);
    for (size_t i = 0; i < QUARANTINE_COLUMN_COUNT; i++) {
        fields[i].name = QUARANTINE_COLUMNS[i].name;
        TRY(ice_type_from_sql(work->arena, QUARANTINE_COLUMNS[i].type, &fields[i].type, work->err));
    }
    work->has_quarantine = true;
    return target_open(work, &work->quarantine, quarantine_name(work), fields,
                       QUARANTINE_COLUMN_COUNT, work->err);
}

Code work_number(Work *work, Str sql, int64_t at, const SqlParam *params, size_t param_count,
                 int64_t *ret_number)
{
    SqlResult *result AUTO(sql_result_free) = NULL;
    ArrowArray batch AUTO(arrow_array_done) = { 0 };
    SqlRequest request = { .text = sql, .params = params, .param_count = param_count,
                           .bindings = work->bindings, .binding_count = work->binding_count,
                           .source_resolve = flow_source_resolve, .source_self = work->flow,
                           .read_only = true, .cancel = work->run->cancel };
    Code code = sql_query(work->flow->options.sql, &request, &result, work->err);
    if (code == E_OK)
        code = sql_result_next(result, &batch, work->err);
    if (code != E_OK)
        return work_place(work, code, at);
    *ret_number = batch.release && batch.length > 0
                      ? arrow_i64(sql_result_schema(result)->children[0], batch.children[0], 0, 0)
                      : 0;
    return E_OK;
}

/* Records that a read met and that are no rows: to the quarantine, once a run. */
static Code write_odd(Work *work)
{
    for (size_t i = 0; i < work->raw_count; i++) {
        if (work->raw_written[i] || raw_problem_count(work->raws[i]) == 0)
            continue;
        Str sql;
        work->raw_written[i] = true;
        TRY(body_odd(work->arena, &work->body, i, &sql, work->err));
        TRY(target_write(work, &work->quarantine, sql, -1, NULL, 0, &work->bad));
    }
    return E_OK;
}

static Code write_interval(Work *work, const FlowInterval *interval)
{
    SqlParam params[WORK_PARAMS_MAX];
    size_t param_count = work_params(work, interval, params);
    Str sql;
    size_t at;
    TRY(check_cancel(work));
    TRY(body_good(work->arena, &work->body, &sql, &at, work->err));
    TRY(target_write(work, &work->target, sql, (int64_t)at, params, param_count, &work->good));
    int64_t bad_before = work->bad.rows;
    int64_t good_before = work->run->report->rows_out;
    work->run->report->rows_out = work->good.rows;
    TRY(write_odd(work));
    int64_t odd = work->bad.rows - bad_before;
    if (work->body.separates) {
        phase(work, "quarantine", 0.5);
        TRY(body_bad(work->arena, &work->body, &sql, &at, work->err));
        TRY(target_write(work, &work->quarantine, sql, (int64_t)at, params, param_count, &work->bad));
    }
    int64_t in = work->good.rows - good_before + work->bad.rows - bad_before;
    if (work->node->model.dedup != DEDUP_NONE) {
        phase(work, "count", 0.6);
        TRY(body_count(work->arena, &work->body, &sql, &at, work->err));
        TRY(work_number(work, sql, (int64_t)at, params, param_count, &in));
        in += odd;
    }
    work->run->report->rows_in += in;
    return E_OK;
}

static Code write_all(Work *work)
{
    const FlowStep *step = work->run->step;
    if (work->body.separates || work->raw_count > 0)
        TRY(open_quarantine(work));
    if (work->node->model.kind != MODEL_INCREMENTAL)
        return write_interval(work, NULL);
    for (size_t i = 0; i < step->interval_count; i++) {
        phase(work, "write", (double)i / (double)step->interval_count * 0.7);
        TRY(write_interval(work, &step->intervals[i]));
    }
    return E_OK;
}

/* ---- check ---- */

static void add_reject(Work *work, Str reason, int64_t rows)
{
    FlowModelReport *report = work->run->report;
    for (size_t i = 0; i < report->reject_count; i++) {
        if (str_eq(report->rejects[i].reason, reason)) {
            report->rejects[i].rows += rows;
            return;
        }
    }
    FlowReject *rejects = arena_array(work->arena, FlowReject, report->reject_count + 1);
    if (report->reject_count > 0)
        memcpy(rejects, report->rejects, report->reject_count * sizeof *rejects);
    rejects[report->reject_count++] = (FlowReject){ str_copy(work->arena, reason), rows };
    report->rejects = rejects;
}

static void add_reasons(Work *work, Str reasons, int64_t rows)
{
    Str separator = str_z(REASON_SEPARATOR);
    for (;;) {
        ptrdiff_t at = str_find(reasons, separator);
        if (at < 0)
            break;
        add_reject(work, str_sub(reasons, 0, (size_t)at), rows);
        reasons = str_from(reasons, (size_t)at + separator.len);
    }
    add_reject(work, reasons, rows);
}

/* Calls `each` for every row of two columns. */
static Code two_columns(Work *work, const SqlBinding *bindings, size_t count, Str sql,
                        void (*each)(Work *work, const ArrowSchema *schema, const ArrowArray *batch,
                                     int64_t row))
{
    SqlResult *result AUTO(sql_result_free) = NULL;
    SqlRequest request = { .text = sql, .bindings = bindings, .binding_count = count,
                           .read_only = true, .cancel = work->run->cancel };
    TRY(sql_query(work->flow->options.sql, &request, &result, work->err));
    for (;;) {
        ArrowArray batch AUTO(arrow_array_done) = { 0 };
        TRY(sql_result_next(result, &batch, work->err));
        if (!batch.release)
            return E_OK;
        for (int64_t row = 0; row < batch.length; row++)
            each(work, sql_result_schema(result), &batch, row);
    }
}

static void each_reason(Work *work, const ArrowSchema *schema, const ArrowArray *batch, int64_t row)
{
    add_reasons(work, arrow_str(schema->children[0], batch->children[0], row),
                arrow_i64(schema->children[1], batch->children[1], row, 0));
}

static void each_day(Work *work, const ArrowSchema *schema, const ArrowArray *batch, int64_t row)
{
    const FlowStep *step = work->run->step;
    int64_t day_us = arrow_i64(schema->children[0], batch->children[0], row, INT64_MIN / LEDGER_DAY_US)
                     * LEDGER_DAY_US;
    size_t first = 0;
    for (size_t i = 0; i < step->interval_count; i++) {
        const FlowInterval *interval = &step->intervals[i];
        if (day_us >= interval->start_us && day_us < interval->end_us)
            work->day_rows[first + (size_t)((day_us - interval->start_us) / LEDGER_DAY_US)] =
                arrow_i64(schema->children[1], batch->children[1], row, 0);
        first += (size_t)((interval->end_us - interval->start_us) / LEDGER_DAY_US);
    }
}

static Code count_days(Work *work, const SqlBinding *bindings, size_t count)
{
    const Model *model = &work->node->model;
    Buf sql AUTO(buf_done);
    work->day_count = work->run->step->days;
    work->day_rows = arena_array(work->arena, int64_t, work->day_count);
    work->day_low = arena_array(work->arena, bool, work->day_count);
    buf_init(&sql, SQL_TEXT_MAX);
    buf_put(&sql, STR("SELECT CAST(date_diff('day', DATE '1970-01-01', CAST("));
    sql_put_name(&sql, model->time_column);
    buf_put(&sql, STR(" AS DATE)) AS BIGINT) AS day, count(*) AS n FROM _rows GROUP BY 1"));
    TRY(two_columns(work, bindings, count, buf_str(&sql), each_day));
    if (model->complete_min > 0)
        ledger_low_days(work->arena, work->day_rows, work->day_count, model->complete_min,
                        work->day_low);
    return E_OK;
}

static Code check(Work *work)
{
    FlowModelReport *report = work->run->report;
    const Model *model = &work->node->model;
    SqlBinding bindings[2] = { target_binding(&work->target, STR("_rows"), &work->good) };
    size_t count = 1;
    if (work->has_quarantine)
        bindings[count++] = target_binding(&work->quarantine, STR("_bad"), &work->bad);
    if (work->bad.rows > 0)
        TRY(two_columns(work, bindings, count,
                        STR("SELECT reason, count(*) AS n FROM _bad GROUP BY reason"), each_reason));
    if (model->kind == MODEL_INCREMENTAL)
        TRY(count_days(work, bindings, count));
    QualityQuery query = {
        .sql = work->flow->options.sql,
        .cancel = work->run->cancel,
        .suite = &work->node->suite,
        .on_fail = model->on_fail,
        .schema = work->target.schema,
        .bindings = bindings,
        .binding_count = count,
        .row_count = work->good.rows,
        .bad_count = work->bad.rows,
        .rejects = report->rejects,
        .reject_count = report->reject_count,
    };
    return quality_check(&query, work->arena, &work->quality, work->err);
}

static void gate(Work *work)
{
    const Model *model = &work->node->model;
    const QualityResult *quality = &work->quality;
    FlowModelReport *report = work->run->report;
    report->score = quality->score;
    report->success_percent = quality->success_percent;
    report->checks = quality->checks;
    report->check_count = quality->count;
    report->gate_min = model->gate_min;
    report->veto = quality->veto;
    work->passed = model->on_fail == ON_FAIL_WARN
                   || (!quality->veto && quality->score >= model->gate_min);
    if (work->passed)
        return;
    work->hold_reason = str_format(work->arena, "score %.4f, gate %.2f", quality->score,
                                   model->gate_min);
    for (size_t i = 0; i < quality->count; i++) {
        const FlowCheck *failed = &quality->checks[i];
        if (failed->success || !str_eq(failed->severity, STR("critical")))
            continue;
        work->hold_reason = str_format(work->arena, STR_FMT "; " STR_FMT ": %lld of %lld rows",
                                       STR_ARG(work->hold_reason),
                                       STR_ARG(work->node->suite.items[i].key),
                                       (long long)failed->unexpected_count,
                                       (long long)failed->element_count);
        break;
    }
}

/* Days that are held back leave the staged rows before they are published. */
static Code drop_low_days(Work *work)
{
    Buf sql AUTO(buf_done);
    size_t held = 0;
    size_t day = 0;
    buf_init(&sql, SQL_TEXT_MAX);
    if (!work->node->model.complete_hold || work->day_count == 0)
        return E_OK;
    buf_put(&sql, STR("SELECT * FROM _rows WHERE CAST("));
    sql_put_name(&sql, work->node->model.time_column);
    buf_put(&sql, STR(" AS DATE) NOT IN ("));
    for (size_t i = 0; i < work->run->step->interval_count; i++) {
        const FlowInterval *interval = &work->run->step->intervals[i];
        for (int64_t at = interval->start_us; at < interval->end_us; at += LEDGER_DAY_US, day++) {
            if (!work->day_low[day])
                continue;
            buf_format(&sql, "%sDATE '" STR_FMT "'", held++ ? ", " : "",
                       STR_ARG(date_format(work->arena, at)));
        }
    }
    buf_put_char(&sql, ')');
    if (held == 0)
        return E_OK;
    TRY(buf_end(&sql, "the days that are held back", work->err));
    work->bindings[work->binding_count++] = target_binding(&work->target, STR("_rows"), &work->good);
    Files kept = { 0 };
    TRY(target_write(work, &work->target, buf_str(&sql), -1, NULL, 0, &kept));
    work->good = kept;
    work->run->report->rows_out = kept.rows;
    return E_OK;
}

/* ---- all of it ---- */

static Code run_view(Work *work)
{
    work->passed = true;
    work->body.model = &work->node->model;
    work->body.sql = work->node->model.sql;
    TRY(flow_signature(work->flow, work->run->project, work->node, work->arena, &work->signature,
                       work->err));
    return publish_model(work);
}

static Code run_stored(Work *work)
{
    FlowModelReport *report = work->run->report;
    phase(work, "plan", 0);
    TRY(check_cancel(work));
    TRY(prepare(work));
    phase(work, "write", 0.05);
    TRY(write_all(work));
    phase(work, "check", 0.7);
    TRY(check_cancel(work));
    TRY(check(work));
    gate(work);
    report->rows_quarantined = work->bad.rows;
    report->rows_duplicate = report->rows_in - work->good.rows - work->bad.rows;
    for (size_t i = 0; i < work->day_count; i++) {
        report->days_incomplete += work->day_low[i];
        report->days_published += !work->day_low[i];
    }
    if (work->passed)
        TRY(drop_low_days(work));
    report->bytes = work->good.bytes;
    report->files = work->good.count;
    phase(work, "publish", 0.9);
    return publish_model(work);
}

static void work_done(Work *work)
{
    for (size_t i = 0; i < work->raw_count; i++)
        raw_free(&work->raws[i]);
    target_done(&work->target);
    target_done(&work->quarantine);
}

void model_run(ModelRun *run)
{
    Err err;
    err_clear(&err);
    int64_t started = os_monotonic_us(run->flow->options.os);
    Work *work = arena_new(run->arena, Work);
    *work = (Work){ .run = run, .flow = run->flow, .node = run->node, .arena = run->arena,
                    .err = &err };
    meta_txn_init(&work->txn, run->arena);
    run->report->gate_min = run->node->model.gate_min;
    Code code = run->node->model.kind == MODEL_VIEW ? run_view(work) : run_stored(work);
    if (code == E_OK) {
        run->report->state = work->passed ? FLOW_PUBLISHED : FLOW_GATED;
    } else {
        run->report->state = code == E_CANCELLED ? FLOW_CANCELLED : FLOW_FAILED_STATE;
        run->report->error = arena_copy(run->arena, &err, sizeof err);
        publish_failure(run, &err);
    }
    work_done(work);
    run->report->wall_ms = (os_monotonic_us(run->flow->options.os) - started) / 1000;
}
