/* Invariants:
 * 1. flow->project is never NULL after flow_open; it is replaced whole, under the mutex.
 * 2. What is in the metadata (rows of models, settings flow.file/PATH) is the project that was loaded
 *    last; both change in one transaction.
 * 3. At most one run is going on; `running` says so. */
#include "flow/flow_priv.h"

#include "base/vec.h"

#define FILE_PREFIX "flow.file/"
enum { RUNS_LOOKED_AT = 100 }; /* newest first; one at most can be running */

typedef Vec(FlowFile) FileVec;

static Code stored_files(Flow *flow, Arena *arena, FileVec *files, Err *err)
{
    MetaRead *read AUTO(meta_read_end) = NULL;
    MetaModel *models;
    MetaSetting *settings;
    size_t model_count;
    size_t setting_count;
    TRY(meta_read_begin(flow->options.meta, &read, err));
    TRY(meta_list_models(read, arena, &models, &model_count, err));
    TRY(meta_list_settings(read, arena, &settings, &setting_count, err));
    for (size_t i = 0; i < model_count; i++)
        vec_push(files, (FlowFile){ models[i].path, models[i].text });
    for (size_t i = 0; i < setting_count; i++) {
        if (str_starts(settings[i].key, STR(FILE_PREFIX)))
            vec_push(files, (FlowFile){ str_from(settings[i].key, sizeof FILE_PREFIX - 1),
                                        settings[i].value });
    }
    return E_OK;
}

static Code load_stored(Flow *flow, Err *err)
{
    Arena arena AUTO(arena_done) = { 0 };
    FileVec files = { 0 };
    Code code = stored_files(flow, &arena, &files, err);
    if (code == E_OK)
        code = project_build(flow, files.items, files.len, &flow->project, err);
    vec_done(&files);
    return code;
}

/* No run can be going on when a Flow opens: what the database has as running ended with its process. */
static Code runs_interrupted(Flow *flow, Err *err)
{
    Arena arena AUTO(arena_done) = { 0 };
    MetaRead *read AUTO(meta_read_end) = NULL;
    MetaRun *runs;
    size_t count;
    MetaTxn txn;
    meta_txn_init(&txn, &arena);
    TRY(meta_read_begin(flow->options.meta, &read, err));
    TRY(meta_list_runs(read, 0, RUNS_LOOKED_AT, &arena, &runs, &count, err));
    meta_read_end(&read);
    bool found = false;
    for (size_t i = 0; i < count; i++) {
        if (!str_eq(runs[i].state, flow_state_name(FLOW_RUNNING)))
            continue;
        found = true;
        runs[i].state = flow_state_name(FLOW_CANCELLED);
        runs[i].ended_us = os_now_us(flow->options.os);
        meta_put_run(&txn, &runs[i]);
    }
    return found ? meta_commit(flow->options.meta, &txn, err) : E_OK;
}

Code flow_open(const FlowOptions *options, Flow **ret_flow, Err *err)
{
    Flow *flow AUTO(flow_free) = mem_new(sizeof *flow);
    flow->options = *options;
    flow->options.threads = options->threads ? MIN(options->threads, (size_t)FLOW_THREADS_MAX) : 2;
    mutex_init(&flow->mutex);
    cond_init(&flow->idle);
    Code code = load_stored(flow, err);
    if (code == E_INVALID || code == E_SYNTAX || code == E_UNSUPPORTED) /* of an older tarn: start without */
        code = project_build(flow, NULL, 0, &flow->project, err);
    if (code != E_OK)
        return err_wrap(err, code, "the models that were loaded last");
    TRY(runs_interrupted(flow, err));
    *ret_flow = TAKE(flow);
    return E_OK;
}

void flow_free(Flow **flow_pointer)
{
    Flow *flow = TAKE(*flow_pointer);
    if (!flow)
        return;
    project_free(&flow->project);
    arena_done(&flow->live_arena);
    cond_done(&flow->idle);
    mutex_done(&flow->mutex);
    mem_free(&flow);
}

static void put_files(MetaTxn *txn, Arena *arena, const FlowFile *files, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!str_starts(files[i].path, STR("models/")))
            meta_put_setting(txn, str_format(arena, FILE_PREFIX STR_FMT, STR_ARG(files[i].path)),
                             files[i].text);
    }
}

/* The whole stored project is taken out and the new one put in. */
static Code save(Flow *flow, const Project *project, const FlowFile *files, size_t count, Err *err)
{
    Arena arena AUTO(arena_done) = { 0 };
    FileVec old = { 0 };
    MetaTxn txn;
    MetaRead *read AUTO(meta_read_end) = NULL;
    MetaModel *models;
    size_t model_count;
    meta_txn_init(&txn, &arena);
    TRY(meta_read_begin(flow->options.meta, &read, err));
    TRY(meta_list_models(read, &arena, &models, &model_count, err));
    meta_read_end(&read);
    Code code = stored_files(flow, &arena, &old, err);
    for (size_t i = 0; i < model_count; i++)
        meta_delete_model(&txn, models[i].name);
    for (size_t i = 0; i < old.len; i++) {
        if (!str_starts(old.items[i].path, STR("models/")))
            meta_delete_setting(&txn, str_format(&arena, FILE_PREFIX STR_FMT,
                                                 STR_ARG(old.items[i].path)));
    }
    vec_done(&old);
    TRY(code);
    int64_t now = os_now_us(flow->options.os);
    for (size_t i = 0; i < project->count; i++) {
        const FlowNode *node = &project->nodes[i];
        meta_put_model(&txn, &(MetaModel){ node->model.name, node->fingerprint, node->model.text,
                                           node->model.path, now });
    }
    put_files(&txn, &arena, files, count);
    return meta_commit(flow->options.meta, &txn, err);
}

Code flow_load(Flow *flow, const FlowFile *files, size_t count, Err *err)
{
    Project *project AUTO(project_free) = NULL;
    TRY(project_build(flow, files, count, &project, err));
    TRY(save(flow, project, files, count, err));
    mutex_lock(&flow->mutex);
    Project *old AUTO(project_free) = flow->project;
    flow->project = TAKE(project);
    mutex_unlock(&flow->mutex);
    return E_OK;
}

static void put_inputs(Arena *arena, const FlowNode *node, FlowModelInfo *info)
{
    info->inputs = arena_array(arena, Str, node->dep_count);
    for (size_t i = 0; i < node->dep_count; i++) {
        const SqlDependency *dep = &node->deps[i];
        if (dep->kind == SQL_DEP_OBJECT)
            info->inputs[i] = str_copy(arena, dep->name);
        else
            info->inputs[i] = str_format(arena, STR_FMT "%c" STR_FMT, STR_ARG(dep->ns),
                                         dep->kind == SQL_DEP_TABLE ? '.' : '/', STR_ARG(dep->name));
    }
    info->input_count = node->dep_count;
}

/* The newest row of the ledger says how the model stands; of another fingerprint: it changed. */
static Code put_state(MetaRead *read, Arena *arena, const FlowNode *node, FlowModelInfo *info,
                      Err *err)
{
    MetaLedger *rows;
    size_t count;
    info->state = STR("missing");
    TRY(meta_list_ledger(read, node->model.name, node->fingerprint, arena, &rows, &count, err));
    for (size_t i = 0; i < count; i++) {
        bool worse = str_eq(info->state, STR("missing")) || str_eq(info->state, STR("published"));
        if (rows[i].updated_us > info->updated_us || (rows[i].updated_us == info->updated_us && worse))
            info->state = str_eq(rows[i].state, STR("incomplete")) ? STR("published") : rows[i].state;
        info->updated_us = MAX(info->updated_us, rows[i].updated_us);
    }
    return E_OK;
}

Code flow_models(Flow *flow, Arena *arena, FlowModelInfo **ret_models, size_t *ret_count, Err *err)
{
    Project *project AUTO(project_free) = project_ref(flow);
    MetaRead *read AUTO(meta_read_end) = NULL;
    TRY(meta_read_begin(flow->options.meta, &read, err));
    FlowModelInfo *infos = arena_array(arena, FlowModelInfo, project->count);
    for (size_t i = 0; i < project->count; i++) {
        const FlowNode *node = &project->nodes[i];
        const Model *model = &node->model;
        infos[i] = (FlowModelInfo){
            .name = str_copy(arena, model->name),
            .kind = model->kind,
            .path = str_copy(arena, model->path),
            .owner = str_copy(arena, model->owner),
            .text = str_copy(arena, model->text),
            .fingerprint = str_copy(arena, node->fingerprint),
            .gate_min = model->gate_min,
            .tag_count = model->tag_count,
        };
        infos[i].tags = arena_array(arena, Str, model->tag_count);
        for (size_t j = 0; j < model->tag_count; j++)
            infos[i].tags[j] = str_copy(arena, model->tags[j]);
        put_inputs(arena, node, &infos[i]);
        TRY(put_state(read, arena, node, &infos[i], err));
    }
    *ret_models = infos;
    *ret_count = project->count;
    return E_OK;
}
