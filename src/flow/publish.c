/* Invariants:
 * 1. Ledger, quality, lineage, run and signature rows ride in the transaction of the table's commit, so
 *    they never disagree with what is published.
 * 2. A model that is held back commits only these rows; its files stay staged under the run id.
 * 3. Quarantined rows are published with the good ones, in one transaction, also when the tables are made by it: a
 *    reader who sees the good rows finds the rejected ones, and a model that failed left neither. */
#include "flow/run_priv.h"

#include "flow/ledger.h"
#include "format/json.h"

static void put_day(Work *work, int64_t start_us, size_t day, Str state)
{
    Str its = work->passed && work->day_low[day] ? STR("incomplete") : state;
    meta_put_ledger(&work->txn, &(MetaLedger){
        .model = work->node->model.name,
        .fingerprint = work->node->fingerprint,
        .start_us = start_us,
        .end_us = start_us + LEDGER_DAY_US,
        .state = its,
        .run_id = work->run->run_id,
        .rows = work->day_rows[day],
        .reason = str_eq(its, STR("incomplete")) ? STR("fewer rows than the median day allows")
                                                 : work->hold_reason,
        .updated_us = os_now_us(work->flow->options.os),
    });
}

static void put_ledger(Work *work, Str state)
{
    const FlowStep *step = work->run->step;
    size_t day = 0;
    if (work->node->model.kind != MODEL_INCREMENTAL) {
        meta_put_ledger(&work->txn, &(MetaLedger){
            .model = work->node->model.name, .fingerprint = work->node->fingerprint, .state = state,
            .run_id = work->run->run_id, .rows = work->good.rows, .reason = work->hold_reason,
            .updated_us = os_now_us(work->flow->options.os) });
        return;
    }
    for (size_t i = 0; i < step->interval_count; i++) {
        int64_t end = step->intervals[i].end_us;
        for (int64_t at = step->intervals[i].start_us; at < end; at += LEDGER_DAY_US)
            put_day(work, at, day++, state);
    }
}

static void put_quality(Work *work)
{
    const FlowStep *step = work->run->step;
    Buf buf AUTO(buf_done);
    buf_init(&buf, META_VALUE_BYTES_MAX);
    quality_put_json(&buf, &work->node->suite, &work->quality);
    Str json = buf.over ? STR("{}") : str_copy(work->arena, buf_str(&buf));
    bool days = step->interval_count > 0;
    meta_put_quality(&work->txn, &(MetaQuality){
        .run_id = work->run->run_id,
        .model = work->node->model.name,
        .start_us = days ? step->intervals[0].start_us : 0,
        .end_us = days ? step->intervals[step->interval_count - 1].end_us : 0,
        .table_uuid = work->target.uuid,
        .snapshot_id = work->target.snapshot_id,
        .score = work->quality.score,
        .gate = work->node->model.gate_min,
        .passed = work->passed,
        .results_json = json,
        .time_us = os_now_us(work->flow->options.os),
    });
}

static void put_lineage(Work *work)
{
    meta_delete_lineage(&work->txn, work->node->model.name);
    for (size_t i = 0; i < work->node->dep_count; i++) {
        const SqlDependency *dep = &work->node->deps[i];
        Str source = dep->kind == SQL_DEP_OBJECT
                         ? dep->name
                         : str_format(work->arena, STR_FMT "%c" STR_FMT, STR_ARG(dep->ns),
                                      dep->kind == SQL_DEP_TABLE ? '.' : '/', STR_ARG(dep->name));
        meta_put_lineage(&work->txn, &(MetaLineage){ work->node->model.name, source,
                                                     work->run->run_id,
                                                     os_now_us(work->flow->options.os) });
    }
}

static void put_run(Work *work, Str state)
{
    Buf buf AUTO(buf_done);
    FlowModelReport report = *work->run->report;
    int64_t now = os_now_us(work->flow->options.os);
    report.state = work->passed ? FLOW_PUBLISHED : FLOW_GATED;
    buf_init(&buf, META_VALUE_BYTES_MAX);
    flow_model_report_json(&report, &buf);
    meta_put_run(&work->txn, &(MetaRun){ work->run->run_id, work->node->model.name, state, now, now,
                                         buf.over ? STR("{}") : buf_str(&buf) });
}

/* What the model stood on before goes out of the ledger when its text has changed. */
static void put_signature(Work *work)
{
    Str key = flow_signature_key(work->arena, work->node->model.name);
    meta_put_setting(&work->txn, key,
                     str_format(work->arena, STR_FMT " " STR_FMT, STR_ARG(work->node->fingerprint),
                                STR_ARG(work->signature)));
}

static TableCommit commit_of(const Work *work, const Target *target, const Files *files,
                             CommitKind kind)
{
    TableCommit commit = {
        .kind = kind,
        .add = files->items,
        .add_count = files->count,
        .run_id = work->run->run_id,
    };
    if (!target->version) {
        commit.draft = &target->draft;
        commit.kind = COMMIT_APPEND;
        return commit;
    }
    commit.name = (TableName){ table_version_entry(target->version)->ns, table_version_entry(target->version)->name };
    commit.uuid = target->uuid;
    if (kind == COMMIT_REPLACE)
        commit.schema = target->schema;
    return commit;
}

static bool is_whole(const Work *work)
{
    const FlowStep *step = work->run->step;
    return work->node->model.kind != MODEL_INCREMENTAL || step->reason == FLOW_NEW
           || step->reason == FLOW_CHANGED;
}

static void put_not_in_intervals(Work *work, Buf *sql)
{
    const FlowStep *step = work->run->step;
    for (size_t i = 0; i < step->interval_count; i++) {
        buf_put(sql, i == 0 ? STR(" WHERE NOT coalesce(") : STR(" OR "));
        buf_put_char(sql, '(');
        sql_put_name(sql, work->node->model.time_column);
        buf_format(sql, " >= TIMESTAMP '" STR_FMT "' AND ",
                   STR_ARG(date_format(work->arena, step->intervals[i].start_us)));
        sql_put_name(sql, work->node->model.time_column);
        buf_format(sql, " < TIMESTAMP '" STR_FMT "')",
                   STR_ARG(date_format(work->arena, step->intervals[i].end_us)));
    }
    buf_put(sql, STR(", false)"));
}

/* Rows of other days are carried over: the table becomes (old rows outside the intervals) + good. Days
 * that were never published have no rows to take out, then it is an append. */
static Code carry_over(Work *work, bool *ret_append)
{
    const Model *model = &work->node->model;
    Buf name AUTO(buf_done);
    Buf sql AUTO(buf_done);
    buf_init(&name, SQL_TEXT_MAX);
    buf_init(&sql, SQL_TEXT_MAX);
    sql_put_name(&name, model->ns);
    buf_put_char(&name, '.');
    sql_put_name(&name, model->table);
    Files kept = { 0 };
    int64_t all;
    TRY(work_number(work, str_format(work->arena, "SELECT count(*) FROM " STR_FMT,
                                     STR_ARG(buf_str(&name))), -1, NULL, 0, &all));
    buf_format(&sql, "SELECT count(*) FROM " STR_FMT, STR_ARG(buf_str(&name)));
    put_not_in_intervals(work, &sql);
    int64_t outside;
    TRY(work_number(work, buf_str(&sql), -1, NULL, 0, &outside));
    *ret_append = outside == all;
    if (outside == all)
        return E_OK;
    buf_clear(&sql);
    buf_format(&sql, "SELECT * FROM " STR_FMT, STR_ARG(buf_str(&name)));
    put_not_in_intervals(work, &sql);
    TRY(target_write(work, &work->target, buf_str(&sql), -1, NULL, 0, &kept));
    DataFile *files = arena_array(work->arena, DataFile, kept.count + work->good.count);
    for (size_t i = 0; i < kept.count; i++)
        files[i] = kept.items[i];
    for (size_t i = 0; i < work->good.count; i++)
        files[kept.count + i] = work->good.items[i];
    work->good.items = files;
    work->good.count += kept.count;
    return E_OK;
}

/* The next plan makes it anew. */
static Code dropped_meanwhile(const Work *work)
{
    return err_set(work->err, E_CONFLICT, "the table " STR_FMT " was dropped while its model ran",
                   STR_ARG(work->node->model.name));
}

/* Somebody changed the table while its model ran: on from what it is now. */
static Code target_refresh(Work *work)
{
    const Model *model = &work->node->model;
    Target *target = &work->target;
    TableVersion *version AUTO(table_version_free) = NULL;
    Code code = catalog_load(work->flow->options.catalog, model->ns, model->table, &version, work->err);
    if (code == E_NOT_FOUND)
        return dropped_meanwhile(work);
    TRY(code);
    const TableMetadata *m = table_version_metadata(version);
    if (!m || !uuid_eq(m->uuid, target->uuid) || m->current_schema_id != target->metadata->current_schema_id ||
        m->default_spec_id != target->metadata->default_spec_id)
        return err_set(work->err, E_CONFLICT, "the table " STR_FMT " became another one while its model ran",
                       STR_ARG(model->name));
    target->former[target->former_count++] = target->version;
    target->version = TAKE(version);
    target->metadata = m;
    target->location = m->location;
    target->spec = table_spec_default(m);
    target->sort = table_sort_order_default(m);
    target->snapshot_id = MAX(m->current_snapshot_id, 0);
    return E_OK;
}

static Code publish_once(Work *work)
{
    CommitResult results[2] = { 0 };
    TableCommit commits[2];
    size_t count = 0;
    bool append = false;
    if (work->target.version && !is_whole(work))
        TRY(carry_over(work, &append));
    CommitKind bad_kind = is_whole(work) ? COMMIT_REPLACE : COMMIT_APPEND;
    bool replaced = work->quarantine.version && bad_kind == COMMIT_REPLACE;
    if (work->has_quarantine && (work->bad.count > 0 || replaced))
        commits[count++] = commit_of(work, &work->quarantine, &work->bad, bad_kind);
    TableCommit main = commit_of(work, &work->target, &work->good,
                                 append ? COMMIT_APPEND : COMMIT_REPLACE);
    if (work->target.version && !append && !is_whole(work))
        main.base_snapshot_id = work->target.snapshot_id ? work->target.snapshot_id : -1;
    commits[count++] = main;
    Code code = catalog_commit(work->flow->options.catalog, commits, count, &work->txn, results, work->err);
    if (code == E_NOT_FOUND && work->target.version)
        return dropped_meanwhile(work);
    TRY(code);
    work->run->report->snapshot_id = results[count - 1].snapshot_id;
    return E_OK;
}

/* What is carried over is read again when the table has moved on. */
static Code publish_files(Work *work)
{
    const Files good = work->good;
    for (int attempt = 1;; attempt++) {
        work->good = good;
        Code code = publish_once(work);
        if (code != E_CONFLICT || attempt == PUBLISH_ATTEMPTS_MAX || !work->target.version || is_whole(work))
            return code;
        TRY(target_refresh(work));
    }
}

static Code publish_view(Work *work)
{
    const Model *model = &work->node->model;
    Code code = catalog_namespace_create(work->flow->options.catalog, model->ns, NULL, 0, NULL,
                                         work->err);
    if (code != E_OK && code != E_EXISTS)
        return code;
    err_clear(work->err);
    TableCreate create = { .ns = model->ns, .name = model->table, .view_sql = model->sql,
                           .replace_view = true };
    return catalog_table_create(work->flow->options.catalog, &create, &work->txn, work->err);
}

static Code snapshot_after(Work *work)
{
    const Model *model = &work->node->model;
    if (work->run->report->snapshot_id != 0 || model->kind == MODEL_VIEW)
        return E_OK;
    TableVersion *version AUTO(table_version_free) = NULL;
    TRY(catalog_load(work->flow->options.catalog, model->ns, model->table, &version, work->err));
    work->run->report->snapshot_id = table_version_metadata(version)->current_snapshot_id;
    return E_OK;
}

Code publish_model(Work *work)
{
    bool view = work->node->model.kind == MODEL_VIEW;
    Str state = work->passed ? STR("published") : STR("gated");
    put_ledger(work, state);
    put_run(work, state);
    if (!view)
        put_quality(work);
    if (!work->passed)
        return meta_commit(work->flow->options.meta, &work->txn, work->err);
    put_lineage(work);
    put_signature(work);
    TRY(view ? publish_view(work) : publish_files(work));
    return snapshot_after(work);
}

void publish_failure(ModelRun *run, const Err *error)
{
    Arena arena AUTO(arena_done) = { 0 };
    MetaTxn txn;
    meta_txn_init(&txn, &arena);
    int64_t now = os_now_us(run->flow->options.os);
    Str state = flow_state_name(run->report->state);
    Str reason = str_z(error->text);
    Buf buf AUTO(buf_done);
    buf_init(&buf, META_VALUE_BYTES_MAX);
    flow_model_report_json(run->report, &buf);
    meta_put_run(&txn, &(MetaRun){ run->run_id, run->node->model.name, state, now, now,
                                   buf.over ? STR("{}") : buf_str(&buf) });
    MetaLedger row = { .model = run->node->model.name, .fingerprint = run->node->fingerprint,
                       .state = state, .run_id = run->run_id, .reason = reason, .updated_us = now };
    if (run->node->model.kind != MODEL_INCREMENTAL)
        meta_put_ledger(&txn, &row);
    for (size_t i = 0; i < run->step->interval_count; i++) {
        int64_t end = run->step->intervals[i].end_us;
        for (int64_t at = run->step->intervals[i].start_us; at < end; at += LEDGER_DAY_US) {
            row.start_us = at;
            row.end_us = at + LEDGER_DAY_US;
            meta_put_ledger(&txn, &row);
        }
    }
    Err ignored;
    IGNORE(meta_commit(run->flow->options.meta, &txn, &ignored)); /* the model's own error is told */
}
