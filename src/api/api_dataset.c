/* Datasets: what tables, views and system tables there are and of what they consist. */
#include "api/api_priv.h"

int64_t api_summary_number(const IceSnapshot *snapshot, const char *key)
{
    int64_t number = -1;
    for (size_t i = 0; snapshot && i < snapshot->summary_count; i++) {
        if (str_eq(snapshot->summary[i].key, str_z(key)) &&
            str_i64(snapshot->summary[i].value, &number))
            return number;
    }
    return snapshot ? -1 : 0;
}

static void columns_fill(Arena *arena, const IceSchema *schema, ApiDataset *dataset)
{
    ApiColumn *columns = arena_array(arena, ApiColumn, MAX(schema->field_count, (size_t)1));
    for (size_t i = 0; i < schema->field_count; i++) {
        const IceField *field = &schema->fields[i];
        columns[i] = (ApiColumn){ str_copy(arena, field->name), ice_type_to_sql(arena, field->type),
                                  str_copy(arena, field->doc), field->id, field->required };
    }
    dataset->columns = columns;
    dataset->column_count = schema->field_count;
}

static void partition_fill(Arena *arena, const TableMetadata *metadata, ApiDataset *dataset)
{
    const IcePartitionSpec *spec = table_spec_default(metadata);
    const IceSchema *schema = table_schema_current(metadata);
    if (!spec || spec->field_count == 0)
        return;
    Str *parts = arena_array(arena, Str, spec->field_count);
    for (size_t i = 0; i < spec->field_count; i++) {
        const IceField *field = ice_schema_field(schema, spec->fields[i].source_id);
        Str transform = ice_transform_format(arena, spec->fields[i].transform);
        Str column = field ? field->name : spec->fields[i].name;
        parts[i] = str_eq(transform, STR("identity"))
                       ? str_copy(arena, column)
                       : str_format(arena, STR_FMT "(" STR_FMT ")", STR_ARG(transform), STR_ARG(column));
    }
    dataset->partition_by = parts;
    dataset->partition_count = spec->field_count;
}

static void entry_fill(Arena *arena, const TableEntry *entry, ApiDataset *dataset)
{
    *dataset = (ApiDataset){ .ns = str_copy(arena, entry->ns), .name = str_copy(arena, entry->name),
                             .kind = entry->is_view ? STR("view") : STR("table"),
                             .uuid = uuid_format(arena, entry->uuid),
                             .location = str_copy(arena, entry->location),
                             .updated_us = entry->created_us,
                             .rows = -1, .files = -1, .bytes = -1,
                             .view_sql = str_copy(arena, entry->view_sql),
                             .metadata_address = str_copy(arena, entry->metadata_location) };
}

static void metadata_fill(Arena *arena, const TableMetadata *metadata, ApiDataset *dataset)
{
    const IceSnapshot *snapshot = table_snapshot_current(metadata);
    dataset->snapshot_id = snapshot ? snapshot->id : 0;
    dataset->updated_us = metadata->last_updated_ms * 1000;
    dataset->rows = api_summary_number(snapshot, "total-records");
    dataset->files = api_summary_number(snapshot, "total-data-files");
    dataset->bytes = api_summary_number(snapshot, "total-files-size");
    columns_fill(arena, table_schema_current(metadata), dataset);
    partition_fill(arena, metadata, dataset);
}

/* The columns of what is no table: a view, or a table of the system. */
static Code described_fill(ApiCall *call, Str ns, Str name, ApiDataset *dataset, Err *err)
{
    IceSchema *schema;
    Buf text AUTO(buf_done);
    buf_init(&text, SQL_TEXT_MAX);
    buf_put(&text, STR("SELECT * FROM "));
    sql_put_name(&text, ns);
    buf_put_char(&text, '.');
    sql_put_name(&text, name);
    SqlRequest request = { .text = buf_str(&text), .principal = call->principal.id,
                           .source_resolve = api_source_resolve, .source_self = call,
                           .timeout_ms = call->timeout_ms, .cancel = call->cancel };
    TRY(sql_describe(call->lake->sql, &request, call->arena, &schema, err));
    columns_fill(call->arena, schema, dataset);
    return E_OK;
}

Code api_dataset(ApiCall *call, Str ns, Str name, ApiDataset *ret_dataset, Err *err)
{
    TableVersion *version AUTO(table_version_free) = NULL;
    ApiDataset dataset;
    Err missing;
    err_clear(&missing);
    Code code = catalog_load(call->lake->catalog, ns, name, &version, &missing);
    if (code == E_NOT_FOUND) {
        dataset = (ApiDataset){ .ns = ns, .name = name, .kind = STR("system"), .rows = -1,
                                .files = -1, .bytes = -1 };
        if (described_fill(call, ns, name, &dataset, NULL) != E_OK) {
            if (err)
                *err = missing; /* it has the nearest name */
            return code;
        }
    } else if (code != E_OK) {
        if (err)
            *err = missing;
        return code;
    } else {
        entry_fill(call->arena, table_version_entry(version), &dataset);
        const TableMetadata *metadata = table_version_metadata(version);
        if (metadata)
            metadata_fill(call->arena, metadata, &dataset);
        else
            TRY(described_fill(call, ns, name, &dataset, err));
    }
    *ret_dataset = dataset;
    return E_OK;
}

static int entry_cmp(const TableEntry *entry, Str ns, Str name)
{
    int order = str_cmp(entry->ns, ns);
    return order ? order : str_cmp(entry->name, name);
}

/* The first dot parts namespace and name; a name may have more. */
static void name_split(Str dotted, Str *ret_ns, Str *ret_name)
{
    ptrdiff_t dot = str_find_char(dotted, '.');
    *ret_ns = dot < 0 ? dotted : str_sub(dotted, 0, (size_t)dot);
    *ret_name = dot < 0 ? STR_NONE : str_from(dotted, (size_t)dot + 1);
}

Code api_datasets(ApiCall *call, Str ns, Str after, size_t limit, ApiDataset **ret_datasets,
                  size_t *ret_count, bool *ret_more, Err *err)
{
    TableEntry *entries;
    size_t count, shown = 0, at = 0;
    Str after_ns, after_name;
    limit = limit == 0 || limit > API_LIST_MAX ? API_LIST_MAX : limit;
    name_split(after, &after_ns, &after_name);
    TRY(catalog_table_list(call->lake->catalog, ns.len ? ns : STR_NONE, call->arena, &entries, &count,
                           err));
    ApiDataset *datasets = arena_array(call->arena, ApiDataset, MIN(limit, count) + 1);
    for (; at < count && shown < limit; at++) {
        TableVersion *version AUTO(table_version_free) = NULL;
        if (after.len > 0 && entry_cmp(&entries[at], after_ns, after_name) <= 0)
            continue;
        ApiDataset *dataset = &datasets[shown++];
        entry_fill(call->arena, &entries[at], dataset);
        if (entries[at].is_view)
            continue;
        /* One that was dropped in between keeps its entry and shows no numbers. */
        if (catalog_load(call->lake->catalog, entries[at].ns, entries[at].name, &version, NULL) == E_OK &&
            table_version_metadata(version))
            metadata_fill(call->arena, table_version_metadata(version), dataset);
    }
    *ret_datasets = datasets;
    *ret_count = shown;
    *ret_more = at < count;
    return E_OK;
}
