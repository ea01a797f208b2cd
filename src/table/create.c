/* Making, dropping and renaming tables and views; staged files of runs. */
#include "table/reclaim_priv.h"

#include <string.h>

/* ---- drafts ---- */

/* Keys may hold anything; in a table's location only what every tool takes unquoted. */
static Str path_part(Arena *arena, Str name)
{
    char *out = arena_copy(arena, name.ptr, name.len);
    for (size_t i = 0; i < name.len; i++) {
        char c = out[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '_' || c == '-';
        out[i] = plain ? c : '_';
    }
    return str_of(out, MIN(name.len, (size_t)100));
}

/* Iceberg's usual names: id_bucket, name_trunc, ts_day; the column itself for identity. */
static Str partition_name(Arena *arena, const PartitionColumn *column)
{
    static const char *const SUFFIX[] = { "",       "_bucket", "_trunc", "_year",
                                          "_month", "_day",    "_hour",  "_null" };
    if (column->name.ptr)
        return str_copy(arena, column->name);
    return str_format(arena, STR_FMT "%s", STR_ARG(column->column), SUFFIX[column->transform.kind]);
}

static Code column_find(const IceSchema *schema, Str name, const IceField **ret_field, Err *err)
{
    const IceField *field = ice_schema_find(schema, name);
    if (!field) {
        Str nearest = ice_schema_nearest(schema, name);
        Code code =
            err_set(err, E_NOT_FOUND, "column '" STR_FMT "' is not in the table", STR_ARG(name));
        return nearest.len ? err_hint(err, code, "did you mean '" STR_FMT "'?", STR_ARG(nearest))
                           : code;
    }
    *ret_field = field;
    return E_OK;
}

static Code spec_make(const TableCreate *create, const IceSchema *schema, Arena *arena,
                      IcePartitionSpec *spec, Err *err)
{
    if (create->partition_count > SPEC_FIELDS_MAX)
        return err_set(err, E_LIMIT, "more than %d partition columns", SPEC_FIELDS_MAX);
    spec->fields = arena_array(arena, IcePartitionField, create->partition_count + 1);
    for (size_t i = 0; i < create->partition_count; i++) {
        const PartitionColumn *column = &create->partition[i];
        const IceField *source = NULL;
        const IceType *type = NULL;
        TRY(column_find(schema, column->column, &source, err));
        Code code = ice_transform_type(column->transform, source->type, &type, err);
        if (code)
            return err_wrap(err, code, "partition by '" STR_FMT "'", STR_ARG(column->column));
        Str name = partition_name(arena, column);
        for (size_t j = 0; j < i; j++)
            if (str_eq(spec->fields[j].name, name))
                return err_set(err, E_INVALID, "partition field '" STR_FMT "' comes twice",
                               STR_ARG(name));
        if (column->transform.kind != TRANSFORM_IDENTITY && ice_schema_column(schema, name))
            return err_set(err, E_INVALID, "partition field '" STR_FMT "' has the name of a column",
                           STR_ARG(name));
        spec->fields[spec->field_count++] =
            (IcePartitionField){ .source_id = source->id,
                                 .field_id = PARTITION_FIELD_ID_FIRST + (int32_t)i,
                                 .name = name,
                                 .transform = column->transform };
    }
    return E_OK;
}

static Code sort_make(const TableCreate *create, const IceSchema *schema, Arena *arena,
                      IceSortOrder *order, Err *err)
{
    if (create->sort_count > SPEC_FIELDS_MAX)
        return err_set(err, E_LIMIT, "more than %d sort columns", SPEC_FIELDS_MAX);
    order->id = create->sort_count ? 1 : 0; /* 0 is reserved for "unsorted" */
    order->fields = arena_array(arena, IceSortField, create->sort_count + 1);
    for (size_t i = 0; i < create->sort_count; i++) {
        const IceField *source = NULL;
        TRY(column_find(schema, create->sort[i].column, &source, err));
        if (ice_is_nested(source->type))
            return err_set(err, E_TYPE, "sort by '" STR_FMT "': a nested type has no order",
                           STR_ARG(create->sort[i].column));
        order->fields[order->field_count++] =
            (IceSortField){ .source_id = source->id,
                            .transform = { TRANSFORM_IDENTITY, 0 },
                            .descending = create->sort[i].descending,
                            .nulls_last = create->sort[i].nulls_last };
    }
    return E_OK;
}

static void properties_make(const TableCreate *create, Arena *arena, TableMetadata *m)
{
    m->properties = arena_array(arena, IceProperty, create->property_count + 2);
    bool parquet = false, deletes = false;
    for (size_t i = 0; i < create->property_count; i++) {
        Str key = create->properties[i].key;
        parquet |= str_eq(key, STR("write.parquet.compression-codec"));
        deletes |= str_eq(key, STR("write.metadata.delete-after-commit.enabled"));
        m->properties[m->property_count++] =
            (IceProperty){ str_copy(arena, key), str_copy(arena, create->properties[i].value) };
    }
    if (!parquet)
        m->properties[m->property_count++] =
            (IceProperty){ STR("write.parquet.compression-codec"), STR("zstd") };
    if (!deletes)
        m->properties[m->property_count++] =
            (IceProperty){ STR("write.metadata.delete-after-commit.enabled"), STR("true") };
}

static Code draft_metadata(Catalog *catalog, const TableCreate *create, Arena *arena,
                           TableDraft *draft, Err *err)
{
    TableMetadata *m = arena_new(arena, TableMetadata);
    if (!create->column_count)
        return err_set(err, E_INVALID, "a table needs a column");
    IceSchema wanted = { .fields = (IceField *)create->columns,
                         .field_count = create->column_count };
    m->schemas = ice_schema_copy(arena, &wanted);
    m->schema_count = 1;
    TRY(ice_schema_assign_ids(arena, &m->schemas[0], &m->last_column_id, err));
    m->specs = arena_array(arena, IcePartitionSpec, 1);
    m->spec_count = 1;
    TRY(spec_make(create, &m->schemas[0], arena, &m->specs[0], err));
    m->sort_orders = arena_array(arena, IceSortOrder, 1);
    m->sort_order_count = 1;
    TRY(sort_make(create, &m->schemas[0], arena, &m->sort_orders[0], err));
    properties_make(create, arena, m);
    m->format_version = 2;
    m->uuid = draft->uuid;
    m->location = draft->location;
    m->last_updated_ms = os_now_us(catalog->os) / 1000;
    m->default_sort_order_id = m->sort_orders[0].id;
    m->last_partition_id = PARTITION_FIELD_ID_FIRST - 1 + (int32_t)m->specs[0].field_count;
    m->current_snapshot_id = -1;
    draft->metadata = m;
    return E_OK;
}

Code catalog_table_draft(Catalog *catalog, const TableCreate *create, Arena *arena,
                         TableDraft *ret_draft, Err *err)
{
    TRY(catalog_name_check(STR("a table"), create->name, err));
    TRY(catalog_name_check(STR("a namespace"), create->ns, err));
    TableDraft draft = { .name = { str_copy(arena, create->ns), str_copy(arena, create->name) },
                         .uuid = os_uuid(catalog->os) };
    Str ns = path_part(arena, create->ns), name = path_part(arena, create->name);
    Str uuid = uuid_format(arena, draft.uuid);
    draft.location =
        str_format(arena, "s3://" STR_FMT "/" STR_FMT "/" STR_FMT "/" STR_FMT,
                   STR_ARG(catalog->lake_bucket), STR_ARG(ns), STR_ARG(name), STR_ARG(uuid));
    if (!create->view_sql.ptr)
        TRY(draft_metadata(catalog, create, arena, &draft, err));
    *ret_draft = draft;
    return E_OK;
}

MetaTable draft_row(const TableDraft *draft, Arena *arena, int64_t now_us)
{
    return (MetaTable){ .uuid = draft->uuid,
                        .namespace_name = draft->name.ns,
                        .name = draft->name.name,
                        .location = str_format(arena, STR_FMT "/", STR_ARG(draft->location)),
                        .created_us = now_us,
                        .updated_us = now_us };
}

static void create_requirements(MetaTxn *txn, const TableDraft *draft, Str location)
{
    meta_require_namespace_exists(txn, draft->name.ns);
    meta_require_table_absent(txn, draft->name.ns, draft->name.name);
    meta_require_location_free(txn, location);
}

void draft_txn(MetaTxn *txn, const TableDraft *draft, Arena *arena, Str metadata_location, int64_t now_us)
{
    MetaTable row = draft_row(draft, arena, now_us);
    row.metadata_location = metadata_location;
    create_requirements(txn, draft, row.location);
    meta_add_table(txn, &row);
}

Code catalog_draft_commit(Catalog *catalog, const TableDraft *draft, const DataFile *add,
                          size_t add_count, Str run_id, const MetaTxn *extra, Err *err)
{
    CommitResult ignored;
    TableCommit commit = { .kind = COMMIT_APPEND, .draft = draft, .add = add, .add_count = add_count,
                           .run_id = run_id };
    return catalog_commit(catalog, &commit, 1, extra, &ignored, err);
}

/* ---- tables and views ---- */

static Code view_replace(Catalog *catalog, const TableCreate *create, const MetaTxn *extra,
                         bool *ret_done, Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    MetaTable row;
    {
        MetaRead *AUTO(meta_read_end) read = NULL;
        TRY(meta_read_begin(catalog->meta, &read, err));
        Code code = meta_get_table_named(read, create->ns, create->name, &tmp, &row, err);
        if (code == E_NOT_FOUND)
            return E_OK;
        TRY(code);
    }
    if (row.kind != META_VIEW)
        return err_set(err, E_EXISTS, "'" STR_FMT "." STR_FMT "' is a table, not a view",
                       STR_ARG(create->ns), STR_ARG(create->name));
    MetaTxn txn;
    meta_txn_init(&txn, &tmp);
    meta_txn_set_commit(&txn, os_uuid(catalog->os));
    meta_require_table_exists(&txn, row.uuid);
    meta_table_set_view_sql(&txn, row.uuid, create->view_sql, os_now_us(catalog->os));
    if (extra)
        meta_append(&txn, extra);
    *ret_done = true;
    return txn_commit(catalog, &txn, err);
}

static Code view_create(Catalog *catalog, const TableCreate *create, const MetaTxn *extra, Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    bool done = false;
    if (create->replace_view)
        TRY(view_replace(catalog, create, extra, &done, err));
    if (done)
        return E_OK;
    TableDraft draft;
    TRY(catalog_table_draft(catalog, create, &tmp, &draft, err));
    MetaTxn txn;
    meta_txn_init(&txn, &tmp);
    meta_txn_set_commit(&txn, os_uuid(catalog->os));
    MetaTable row = draft_row(&draft, &tmp, os_now_us(catalog->os));
    row.kind = META_VIEW;
    row.view_sql = create->view_sql;
    create_requirements(&txn, &draft, row.location);
    meta_add_table(&txn, &row);
    if (extra)
        meta_append(&txn, extra);
    return txn_commit(catalog, &txn, err);
}

Code catalog_table_create(Catalog *catalog, const TableCreate *create, const MetaTxn *extra,
                          Err *err)
{
    if (create->view_sql.ptr)
        return view_create(catalog, create, extra, err);
    Arena AUTO(arena_done) tmp = { 0 };
    TableDraft draft;
    TRY(catalog_table_draft(catalog, create, &tmp, &draft, err));
    return catalog_draft_commit(catalog, &draft, NULL, 0, STR_NONE, extra, err);
}

static Code row_find(Catalog *catalog, TableName name, Arena *arena, MetaTable *row, Err *err)
{
    MetaRead *AUTO(meta_read_end) read = NULL;
    TRY(meta_read_begin(catalog->meta, &read, err));
    return catalog_find(read, name, arena, row, err);
}

Code catalog_table_drop(Catalog *catalog, TableName name, const MetaTxn *extra, Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    MetaTable row;
    MetaTxn txn;
    TRY(row_find(catalog, name, &tmp, &row, err));
    meta_txn_init(&txn, &tmp);
    meta_txn_set_commit(&txn, os_uuid(catalog->os));
    meta_table_drop(&txn, row.uuid, os_now_us(catalog->os));
    if (extra)
        meta_append(&txn, extra);
    return txn_commit(catalog, &txn, err);
}

Code catalog_table_rename(Catalog *catalog, TableName from, TableName to, const MetaTxn *extra,
                          Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    MetaTable row;
    MetaTxn txn;
    TRY(catalog_name_check(STR("a table"), to.name, err));
    TRY(row_find(catalog, from, &tmp, &row, err));
    meta_txn_init(&txn, &tmp);
    meta_txn_set_commit(&txn, os_uuid(catalog->os));
    meta_require_namespace_exists(&txn, to.ns);
    meta_table_rename(&txn, row.uuid, to.ns, to.name);
    if (extra)
        meta_append(&txn, extra);
    return txn_commit(catalog, &txn, err);
}

/* ---- staged files ---- */

Code catalog_stage_intend(Catalog *catalog, Str run_id, Uuid table, const Str *addresses,
                          size_t count, Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    MetaTxn txn;
    meta_txn_init(&txn, &tmp);
    meta_txn_set_commit(&txn, os_uuid(catalog->os));
    int64_t now_us = os_now_us(catalog->os);
    for (size_t i = 0; i < count; i++)
        meta_add_staged_file(&txn, &(MetaStagedFile){ .run_id = run_id,
                                                      .address = addresses[i],
                                                      .table_uuid = table,
                                                      .created_us = now_us });
    return txn_commit(catalog, &txn, err);
}

Code catalog_stage_files(Catalog *catalog, Str run_id, const TableMetadata *metadata, const DataFile *files,
                         size_t count, Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    MetaTxn txn;
    meta_txn_init(&txn, &tmp);
    meta_txn_set_commit(&txn, os_uuid(catalog->os));
    int64_t now_us = os_now_us(catalog->os);
    for (size_t i = 0; i < count; i++) {
        Buf AUTO(buf_done) json;
        buf_init(&json, METADATA_BYTES_MAX);
        TRY(data_file_encode(&json, &files[i], metadata, err));
        meta_complete_staged_file(&txn, run_id, files[i].address, now_us, buf_str(&json)); /* its intent */
    }
    return txn_commit(catalog, &txn, err);
}

Code catalog_stage_list(Catalog *catalog, Str run_id, Uuid table, const TableMetadata *metadata,
                        Arena *arena, DataFile **ret_files, size_t *ret_count, Err *err)
{
    MetaStagedFile *rows;
    size_t count, found = 0;
    {
        MetaRead *AUTO(meta_read_end) read = NULL;
        TRY(meta_read_begin(catalog->meta, &read, err));
        TRY(meta_list_staged_files(read, run_id, arena, &rows, &count, err));
    }
    DataFile *files = arena_array(arena, DataFile, count + 1);
    for (size_t i = 0; i < count; i++) {
        if (!rows[i].data_file_json.len || !uuid_eq(rows[i].table_uuid, table))
            continue;
        TRY(data_file_decode(arena, rows[i].data_file_json, metadata, &files[found++], err));
    }
    *ret_files = files;
    *ret_count = found;
    return E_OK;
}

Code catalog_stage_drop(Catalog *catalog, Str run_id, Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    MetaStagedFile *rows;
    size_t count;
    {
        MetaRead *AUTO(meta_read_end) read = NULL;
        TRY(meta_read_begin(catalog->meta, &read, err));
        TRY(meta_list_staged_files(read, run_id, &tmp, &rows, &count, err));
    }
    MetaTxn txn;
    meta_txn_init(&txn, &tmp);
    meta_txn_set_commit(&txn, os_uuid(catalog->os));
    for (size_t i = 0; i < count; i++) {
        Str bucket, key;
        if (!store_address_parse(rows[i].address, &bucket, &key))
            continue;
        Code code = store_delete(catalog->store, bucket, key, err);
        if (code && code != E_NOT_FOUND)
            return code;
    }
    meta_delete_staged_run(&txn, run_id);
    return txn_commit(catalog, &txn, err);
}

/* ---- the sweep ---- */

/* The intents that the sweep has taken: no commit can end them any more. */
static const Str SWEPT_RUN = { "swept", 5 };

static Code sweep_list(Catalog *catalog, int64_t before_us, Arena *arena, MetaStagedFile **rows,
                       size_t *count, Err *err)
{
    MetaRead *AUTO(meta_read_end) read = NULL;
    size_t intents = 0;
    TRY(meta_read_begin(catalog->meta, &read, err));
    TRY(meta_list_staged_before(read, before_us, arena, rows, count, err));
    for (size_t i = 0; i < *count; i++)
        if (!str_eq((*rows)[i].run_id, EXPIRED_RUN) && !str_eq((*rows)[i].run_id, DROPPED_RUN))
            (*rows)[intents++] = (*rows)[i];
    *count = intents;
    return E_OK;
}

/* The rows of one commit stay together: it asks for one of them only. */
static size_t sweep_group(const MetaStagedFile *rows, size_t count)
{
    size_t n = MIN(count, (size_t)SWEEP_GROUP);
    while (n < count && n < SWEEP_GROUP_MAX && str_eq(rows[n].run_id, rows[n - 1].run_id) &&
           rows[n].created_us == rows[n - 1].created_us)
        n++;
    return n;
}

/* CONFLICT: a commit has ended one of them meanwhile. */
static Code sweep_take(Catalog *catalog, const MetaStagedFile *rows, size_t count, Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    MetaTxn txn;
    size_t taken = 0;
    meta_txn_init(&txn, &tmp);
    meta_txn_set_commit(&txn, os_uuid(catalog->os));
    for (size_t i = 0; i < count; i++) {
        if (str_eq(rows[i].run_id, SWEPT_RUN))
            continue; /* of a sweep that was cut off */
        MetaStagedFile row = rows[i];
        row.run_id = SWEPT_RUN;
        row.data_file_json = STR_NONE; /* nobody reads it under the run's name any more */
        meta_require_staged_file(&txn, rows[i].run_id, rows[i].address);
        meta_delete_staged_file(&txn, rows[i].run_id, rows[i].address);
        meta_add_staged_file(&txn, &row);
        taken++;
    }
    return taken ? txn_commit(catalog, &txn, err) : E_OK;
}

static Code sweep_delete(Catalog *catalog, const MetaStagedFile *rows, size_t count,
                         const bool *stop, size_t *objects, Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    Remover remover AUTO(remover_done) = { .catalog = catalog };
    MetaTxn txn;
    meta_txn_init(&txn, &tmp);
    meta_txn_set_commit(&txn, os_uuid(catalog->os));
    for (size_t i = 0; i < count && !keep_stops(stop); i++) {
        TRY(remover_add(&remover, rows[i].address, err));
        meta_delete_staged_file(&txn, SWEPT_RUN, rows[i].address);
    }
    TRY(remover_flush(&remover, err));
    *objects += remover.objects;
    return txn_commit(catalog, &txn, err);
}

/* Rows change hands first: a commit that is still under way then cannot end, so the objects are
 * nobody's. Rows go after their objects: a crash in between leaves both to the next sweep. */
Code catalog_sweep(Catalog *catalog, int64_t before_us, const bool *stop, size_t *ret_objects,
                   Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    MetaStagedFile *rows;
    size_t count, objects = 0, group;
    TRY(sweep_list(catalog, before_us, &tmp, &rows, &count, err));
    for (size_t at = 0; at < count && !keep_stops(stop); at += group) {
        group = sweep_group(rows + at, count - at);
        Code code = sweep_take(catalog, rows + at, group, err);
        if (code == E_CONFLICT)
            continue; /* what is left of the group: the next sweep */
        TRY(code);
        TRY(sweep_delete(catalog, rows + at, group, stop, &objects, err));
    }
    *ret_objects = objects;
    return E_OK;
}
