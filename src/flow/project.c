#include "flow/flow_priv.h"

#include "base/vec.h"
#include "flow/graph.h"
#include "format/checksum.h"
#include "format/json.h"
#include "store/store_keep.h"

typedef Vec(Str) StrVec;
typedef Vec(size_t) IndexVec;

void project_free(Project **project_pointer)
{
    Project *project = TAKE(*project_pointer);
    if (!project || __atomic_sub_fetch(&project->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    arena_done(&project->arena);
    mem_free(&project);
}

Project *project_ref(Flow *flow)
{
    MUTEX_HELD(&flow->mutex);
    __atomic_add_fetch(&flow->project->refs, 1, __ATOMIC_RELAXED);
    return flow->project;
}

const FlowNode *project_node(const Project *project, Str name)
{
    for (size_t i = 0; i < project->count; i++) {
        if (str_eq(project->nodes[i].model.name, name))
            return &project->nodes[i];
    }
    return NULL;
}

Str flow_hash(Arena *arena, Str text)
{
    uint8_t digest[SHA256_LEN];
    sha256_of(text, digest);
    return hex_format(arena, str_of(digest, 8));
}

static const FlowFile *file_of(const FlowFile *files, size_t count, Str path)
{
    for (size_t i = 0; i < count; i++) {
        if (str_eq(files[i].path, path))
            return &files[i];
    }
    return NULL;
}

static Code no_file(const FlowFile *files, size_t count, const Model *model, Str path, Err *err)
{
    Str names[64];
    size_t n = 0;
    for (size_t i = 0; i < count && n < ARRAY_LEN(names); i++)
        names[n++] = files[i].path;
    Code code = err_set(err, E_NOT_FOUND, STR_FMT " names a file that is not in the project: "
                        STR_FMT, STR_ARG(model->name), STR_ARG(path));
    code = err_place(err, code, STR_FMT, STR_ARG(model->path));
    Str nearest = str_nearest(path, names, n);
    return nearest.ptr ? err_hint(err, code, "did you mean '" STR_FMT "'?", STR_ARG(nearest)) : code;
}

static Code read_suite(Arena *arena, const FlowFile *files, size_t count, FlowNode *node,
                       Buf *identity, Err *err)
{
    const Model *model = &node->model;
    if (model->suite.len > 0) {
        const FlowFile *file = file_of(files, count, model->suite);
        const Json *json;
        if (!file)
            return no_file(files, count, model, model->suite, err);
        TRY(suite_parse(arena, file->path, str_copy(arena, file->text), &node->suite, err));
        TRY(json_parse(arena, file->text, NULL, &json, err));
        json_canonical(identity, json);
    }
    TRY(suite_add_audits(arena, model, &node->suite, err));
    if (model->kind == MODEL_VIEW && node->suite.count > 0)
        return err_set(err, E_UNSUPPORTED, STR_FMT ": expectations belong to stored models; make it"
                       " FULL", STR_ARG(model->name));
    return E_OK;
}

static Code read_seed(Arena *arena, const FlowFile *files, size_t count, FlowNode *node, Buf *identity,
                      Err *err)
{
    if (node->model.kind != MODEL_SEED)
        return E_OK;
    const FlowFile *file = file_of(files, count, node->model.seed_path);
    if (!file)
        return no_file(files, count, &node->model, node->model.seed_path, err);
    node->seed_text = str_copy(arena, file->text);
    buf_put(identity, file->text);
    return E_OK;
}

static Code read_node(Arena *arena, const FlowFile *files, size_t count, const FlowFile *file,
                      FlowNode *node, Err *err)
{
    Buf identity AUTO(buf_done);
    buf_init(&identity, 4 * (size_t)FLOW_FILE_BYTES_MAX);
    TRY(model_parse(arena, file->path, file->text, &node->model, err));
    buf_put(&identity, model_canonical(arena, node->model.text));
    TRY(read_suite(arena, files, count, node, &identity, err));
    TRY(read_seed(arena, files, count, node, &identity, err));
    TRY(buf_end(&identity, "a model with its files", err));
    node->fingerprint = flow_hash(arena, buf_str(&identity));
    return E_OK;
}

static Code read_deps(Flow *flow, Arena *arena, FlowNode *node, Err *err)
{
    const Model *model = &node->model;
    if (model->kind == MODEL_SEED)
        return E_OK;
    SqlRequest request = { .text = model->sql, .read_only = true,
                           .refuse_volatile = model->kind == MODEL_INCREMENTAL };
    Code code = sql_dependencies(flow->options.sql, &request, arena, &node->deps, &node->dep_count,
                                 err);
    if (code == E_OK || !err)
        return code;
    size_t at = err->position >= 0 ? (size_t)err->position + model->sql_at : model->sql_at;
    size_t line = 1;
    for (size_t i = 0; i < at && i < model->text.len; i++)
        line += model->text.ptr[i] == '\n';
    return err_place(err, code, STR_FMT ":%zu", STR_ARG(model->path), line);
}

static bool is_model(const FlowFile *file)
{
    return str_starts(file->path, STR("models/")) && str_ends(file->path, STR(".sql"));
}

static Code check_files(const FlowFile *files, size_t count, Err *err)
{
    if (count > FLOW_FILES_MAX)
        return err_set(err, E_LIMIT, "a project has at most %d files", FLOW_FILES_MAX);
    size_t models = 0;
    for (size_t i = 0; i < count; i++) {
        if (files[i].text.len > FLOW_FILE_BYTES_MAX)
            return err_set(err, E_LIMIT, STR_FMT " is larger than %d bytes", STR_ARG(files[i].path),
                           FLOW_FILE_BYTES_MAX);
        models += is_model(&files[i]);
        bool known = is_model(&files[i]) || str_starts(files[i].path, STR("suites/"))
                     || str_starts(files[i].path, STR("seeds/"));
        if (!known)
            return err_set(err, E_INVALID, STR_FMT " is neither models/*.sql nor below suites/ or"
                           " seeds/", STR_ARG(files[i].path));
    }
    if (models > FLOW_MODELS_MAX)
        return err_set(err, E_LIMIT, "a project has at most %d models", FLOW_MODELS_MAX);
    return E_OK;
}

static void add_input(const FlowNode *nodes, size_t count, Str ns, Str name, IndexVec *inputs)
{
    for (size_t i = 0; i < count; i++) {
        if (!str_ieq(nodes[i].model.ns, ns) || !str_ieq(nodes[i].model.table, name))
            continue;
        for (size_t j = 0; j < inputs->len; j++) {
            if (inputs->items[j] == i)
                return;
        }
        vec_push(inputs, i);
    }
}

static void find_inputs(Arena *arena, const FlowNode *nodes, size_t count, FlowNode *node)
{
    IndexVec inputs = { 0 };
    for (size_t i = 0; i < node->dep_count; i++) {
        if (node->deps[i].kind == SQL_DEP_TABLE)
            add_input(nodes, count, node->deps[i].ns, node->deps[i].name, &inputs);
    }
    for (size_t i = 0; i < node->suite.count; i++)
        add_input(nodes, count, node->suite.items[i].ref_ns, node->suite.items[i].ref_table, &inputs);
    node->inputs = arena_copy(arena, inputs.items, inputs.len * sizeof *inputs.items);
    node->input_count = inputs.len;
    vec_done(&inputs);
}

/* Puts the nodes into the order of the graph and renumbers their inputs. */
static Code put_in_order(Project *project, FlowNode *nodes, size_t count, Err *err)
{
    Arena *arena = &project->arena;
    GraphNode *graph = arena_array(arena, GraphNode, count);
    for (size_t i = 0; i < count; i++) {
        find_inputs(arena, nodes, count, &nodes[i]);
        graph[i] = (GraphNode){ nodes[i].model.name, nodes[i].inputs, nodes[i].input_count };
    }
    size_t *order;
    TRY(graph_order(arena, graph, count, &order, err));
    size_t *place = arena_array(arena, size_t, count);
    project->nodes = arena_array(arena, FlowNode, count);
    project->count = count;
    for (size_t i = 0; i < count; i++) {
        place[order[i]] = i;
        project->nodes[i] = nodes[order[i]];
    }
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < project->nodes[i].input_count; j++)
            project->nodes[i].inputs[j] = place[project->nodes[i].inputs[j]];
    }
    return E_OK;
}

static Code check_name(const FlowNode *nodes, size_t count, Err *err)
{
    const Model *last = &nodes[count - 1].model;
    for (size_t i = 0; i + 1 < count; i++) {
        if (str_eq(nodes[i].model.name, last->name)) {
            Code code = err_set(err, E_INVALID, "two models are called " STR_FMT,
                                STR_ARG(last->name));
            return err_place(err, code, STR_FMT " and " STR_FMT, STR_ARG(nodes[i].model.path),
                             STR_ARG(last->path));
        }
    }
    return E_OK;
}

Code project_build(Flow *flow, const FlowFile *files, size_t count, Project **ret_project, Err *err)
{
    TRY(check_files(files, count, err));
    Project *project AUTO(project_free) = mem_new(sizeof *project);
    project->refs = 1;
    FlowNode *nodes = arena_array(&project->arena, FlowNode, count + 1);
    size_t models = 0;
    for (size_t i = 0; i < count; i++) {
        if (!is_model(&files[i]))
            continue;
        TRY(read_node(&project->arena, files, count, &files[i], &nodes[models], err));
        models++;
        TRY(check_name(nodes, models, err));
        TRY(read_deps(flow, &project->arena, &nodes[models - 1], err));
    }
    TRY(put_in_order(project, nodes, models, err));
    *ret_project = TAKE(project);
    return E_OK;
}

Code flow_source_resolve(void *self, Str source, Str name, bool all, Arena *arena,
                         Str **ret_addresses, size_t *ret_count, Err *err)
{
    Flow *flow = self;
    ObjectInfo *objects;
    size_t count;
    TRY(source_find(flow->options.source, source, name, all, arena, &objects, &count, err));
    Str *addresses = arena_array(arena, Str, count);
    for (size_t i = 0; i < count; i++)
        addresses[i] = str_format(arena, "s3://" STR_FMT "/" STR_FMT, STR_ARG(objects[i].bucket),
                                  STR_ARG(objects[i].key));
    *ret_addresses = addresses;
    *ret_count = count;
    return E_OK;
}

/* ---- the state of what a model reads ---- */

static Code sign_table(Flow *flow, Str ns, Str name, Buf *out, Err *err)
{
    TableVersion *version AUTO(table_version_free) = NULL;
    if (str_ieq(ns, STR("bronze"))) {
        buf_format(out, "bronze@%llu;", (unsigned long long)store_sequence(flow->options.store));
        return E_OK;
    }
    Code code = catalog_load(flow->options.catalog, ns, name, &version, err);
    if (code == E_NOT_FOUND) {
        buf_format(out, STR_FMT "." STR_FMT "@none;", STR_ARG(ns), STR_ARG(name));
        return E_OK;
    }
    TRY(code);
    const TableMetadata *metadata = table_version_metadata(version);
    buf_format(out, STR_FMT "." STR_FMT "@", STR_ARG(ns), STR_ARG(name));
    if (metadata)
        buf_format(out, "%lld;", (long long)metadata->current_snapshot_id);
    else
        buf_put(out, table_version_entry(version)->view_sql);
    return E_OK;
}

/* By its bytes where they are known: the same ones put again are no change. */
static void sign_object(const ObjectInfo *info, Arena *tmp, Buf *out)
{
    Str digest = info->has_sha256 ? hex_format(tmp, str_of(info->sha256, sizeof info->sha256))
                 : info->has_md5  ? object_etag(tmp, info)
                                  : str_format(tmp, "%llu", (unsigned long long)info->sequence);
    buf_format(out, STR_FMT "@" STR_FMT ";", STR_ARG(info->key), STR_ARG(digest));
}

static Code sign_dep(Flow *flow, const SqlDependency *dep, Arena *tmp, Buf *out, Err *err)
{
    ObjectInfo *objects = NULL;
    ObjectInfo one;
    size_t count = 1;
    Code code = E_NOT_FOUND;
    Str bucket;
    Str key;
    if (dep->kind == SQL_DEP_TABLE)
        return sign_table(flow, dep->ns, dep->name, out, err);
    if (dep->kind == SQL_DEP_SOURCE) {
        code = source_find(flow->options.source, dep->ns, dep->name, dep->all, tmp, &objects, &count,
                           err);
    } else if (store_address_parse(dep->name, &bucket, &key)) {
        code = store_head(flow->options.store, bucket, key, tmp, &one, err);
        objects = &one;
    }
    if (code == E_NOT_FOUND) {
        buf_format(out, STR_FMT "/" STR_FMT "@none;", STR_ARG(dep->ns), STR_ARG(dep->name));
        return E_OK;
    }
    TRY(code);
    for (size_t i = 0; i < count; i++)
        sign_object(&objects[i], tmp, out);
    return E_OK;
}

static Code sign_node(Flow *flow, const FlowNode *node, Arena *tmp, Buf *out, Err *err)
{
    for (size_t i = 0; i < node->dep_count; i++)
        TRY(sign_dep(flow, &node->deps[i], tmp, out, err));
    for (size_t i = 0; i < node->suite.count; i++) {
        const Expectation *e = &node->suite.items[i];
        if (e->ref_table.len > 0)
            TRY(sign_table(flow, e->ref_ns, e->ref_table, out, err));
    }
    return E_OK;
}

/* A view stands for what it reads: its node is signed too, each once. */
Code flow_signature(Flow *flow, const Project *project, const FlowNode *node, Arena *arena,
                    Str *ret_signature, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Buf out AUTO(buf_done);
    buf_init(&out, 64 << 20);
    const FlowNode **todo = arena_array(&tmp, const FlowNode *, project->count + 1);
    bool *seen = arena_array(&tmp, bool, project->count + 1);
    size_t count = 1;
    todo[0] = node;
    for (size_t at = 0; at < count; at++) {
        buf_format(&out, STR_FMT ":", STR_ARG(todo[at]->fingerprint));
        TRY(sign_node(flow, todo[at], &tmp, &out, err));
        for (size_t i = 0; i < todo[at]->input_count; i++) {
            size_t input = todo[at]->inputs[i];
            if (project->nodes[input].model.kind == MODEL_VIEW && !seen[input]) {
                seen[input] = true;
                todo[count++] = &project->nodes[input];
            }
        }
    }
    TRY(buf_end(&out, "the state of a model's inputs", err));
    *ret_signature = flow_hash(arena, buf_str(&out));
    return E_OK;
}

Str flow_signature_key(Arena *arena, Str model)
{
    return str_format(arena, "flow.inputs/" STR_FMT, STR_ARG(model));
}
