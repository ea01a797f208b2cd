#include "flow/run_priv.h"

#include <string.h>

void target_done(Target *target)
{
    table_version_free(&target->version);
    while (target->former_count > 0)
        table_version_free(&target->former[--target->former_count]);
}

/* day(ts), bucket(16, id), truncate(4, name), origin */
static Code partition_of(Arena *arena, Str text, PartitionColumn *ret_column, Err *err)
{
    ptrdiff_t open = str_find_char(text, '(');
    *ret_column = (PartitionColumn){ .column = text };
    if (open < 0)
        return ice_transform_parse(STR("identity"), &ret_column->transform, err);
    Str name = str_lower(arena, str_trim(str_sub(text, 0, (size_t)open)));
    Str inner = str_sub(text, (size_t)open + 1, text.len - (size_t)open - 2);
    ptrdiff_t comma = str_find_char(inner, ',');
    if (comma >= 0) {
        name = str_format(arena, STR_FMT "[" STR_FMT "]", STR_ARG(name),
                          STR_ARG(str_trim(str_sub(inner, 0, (size_t)comma))));
        inner = str_from(inner, (size_t)comma + 1);
    }
    if (str_ends(name, STR("s")) && comma < 0) /* days(ts), as Spark writes it */
        name = str_sub(name, 0, name.len - 1);
    ret_column->column = str_trim(inner);
    return ice_transform_parse(name, &ret_column->transform, err);
}

static Code make_draft(Work *work, Target *target, const TableCreate *bare, bool own, Err *err)
{
    TableCreate create = *bare;
    const Model *model = &work->node->model;
    if (own) {
        PartitionColumn *partition = arena_array(work->arena, PartitionColumn,
                                                 model->partition_count);
        SortColumn *sort = arena_array(work->arena, SortColumn, model->sort_count);
        for (size_t i = 0; i < model->partition_count; i++)
            TRY(partition_of(work->arena, model->partitioned_by[i], &partition[i], err));
        for (size_t i = 0; i < model->sort_count; i++)
            sort[i] = (SortColumn){ .column = model->sorted_by[i] };
        create.partition = partition;
        create.partition_count = model->partition_count;
        create.sort = sort;
        create.sort_count = model->sort_count;
    }
    Code code = catalog_namespace_create(work->flow->options.catalog, create.ns, NULL, 0, NULL, NULL);
    if (code != E_OK && code != E_EXISTS)
        return err_set(err, code, "the namespace " STR_FMT " cannot be made", STR_ARG(create.ns));
    return catalog_table_draft(work->flow->options.catalog, &create, work->arena, &target->draft, err);
}

Code target_open(Work *work, Target *target, TableName name, const IceField *columns, size_t count,
                 Err *err)
{
    bool own = target == &work->target;
    Code code = catalog_load(work->flow->options.catalog, name.ns, name.name, &target->version, err);
    if (code == E_NOT_FOUND) {
        TableCreate create = { .ns = name.ns, .name = name.name, .columns = columns,
                               .column_count = count };
        TRY(make_draft(work, target, &create, own, err));
        target->metadata = target->draft.metadata;
        target->schema = table_schema_current(target->metadata);
        target->uuid = target->draft.uuid;
        target->location = target->draft.location;
    } else {
        IceSchema *schema;
        TRY(code);
        target->metadata = table_version_metadata(target->version);
        if (!target->metadata)
            return err_set(err, E_CONFLICT, STR_FMT "." STR_FMT " is a view, not a table",
                           STR_ARG(name.ns), STR_ARG(name.name));
        code = catalog_schema_plan(target->metadata, columns, count, work->arena, &schema, err);
        if (code != E_OK)
            return err_hint(err, code, "drop the table first: its old type cannot become the new one");
        target->schema = schema;
        target->uuid = target->metadata->uuid;
        target->location = target->metadata->location;
        target->snapshot_id = MAX(target->metadata->current_snapshot_id, 0);
    }
    target->spec = table_spec_default(target->metadata);
    target->sort = table_sort_order_default(target->metadata);
    return E_OK;
}

Code target_write(Work *work, const Target *target, Str sql, int64_t at, const SqlParam *params,
                  size_t param_count, Files *files)
{
    SqlWrite write = {
        .select = { .text = sql, .params = params, .param_count = param_count,
                    .bindings = work->bindings, .binding_count = work->binding_count,
                    .source_resolve = flow_source_resolve, .source_self = work->flow,
                    .read_only = true, .cancel = work->run->cancel },
        .schema = target->schema,
        .metadata = target->metadata,
        .spec = target->spec,
        .sort = target->sort,
        .location = target->location,
        .table = target->uuid,
        .run_id = work->run->run_id,
    };
    DataFile *items;
    size_t count;
    SqlWriteStats stats;
    Code code = sql_write(work->flow->options.sql, &write, work->arena, &items, &count, &stats,
                          work->err);
    if (code != E_OK)
        return work_place(work, code, at);
    DataFile *all = arena_array(work->arena, DataFile, files->count + count);
    if (files->count > 0)
        memcpy(all, files->items, files->count * sizeof *all);
    if (count > 0)
        memcpy(all + files->count, items, count * sizeof *all);
    files->items = all;
    files->count += count;
    files->rows += (int64_t)stats.rows;
    files->bytes += stats.bytes;
    return E_OK;
}

SqlBinding target_binding(const Target *target, Str name, const Files *files)
{
    return (SqlBinding){ .name = name, .schema = target->schema, .files = files->items,
                         .file_count = files->count };
}
