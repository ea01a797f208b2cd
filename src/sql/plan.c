/* plan.c: columns are matched by field id (the schema map), so that renamed, added and widened ones
 * are right in old files too. The engine opens no file to plan: how many rows there are and within
 * which bounds is told by the manifests. An empty list of files is no argument of the engine: it
 * becomes typed NULLs under WHERE false. */
#include "sql/plan.h"

#include "sql/predicate.h"
#include "sql/sql.h"
#include "table/scan.h"
#include "table/value.h"

static void put_columns(Buf *buf, const IceSchema *schema)
{
    for (size_t i = 0; i < schema->field_count; i++) {
        buf_put(buf, i == 0 ? STR("") : STR(", "));
        sql_put_name(buf, schema->fields[i].name);
    }
}

static void put_empty(Buf *buf, const IceSchema *schema, bool with_file)
{
    buf_put(buf, STR("SELECT "));
    for (size_t i = 0; i < schema->field_count; i++) {
        buf_put(buf, i == 0 ? STR("NULL::") : STR(", NULL::"));
        ice_type_put_sql(buf, schema->fields[i].type);
        buf_put(buf, STR(" AS "));
        sql_put_name(buf, schema->fields[i].name);
    }
    if (with_file)
        buf_put(buf, STR(", NULL::VARCHAR AS \"" PLAN_FILE_COLUMN "\""));
    buf_put(buf, STR(" WHERE false"));
}

static void put_schema_map(Buf *buf, const IceSchema *schema)
{
    buf_put(buf, STR("schema => MAP {"));
    for (size_t i = 0; i < schema->field_count; i++) {
        const IceField *field = &schema->fields[i];
        Buf type AUTO(buf_done);
        buf_init(&type, PLAN_TEXT_MAX);
        ice_type_put_sql(&type, field->type);
        buf_format(buf, "%s%d: {name: ", i == 0 ? "" : ", ", field->id);
        sql_put_text(buf, field->name);
        buf_put(buf, STR(", type: "));
        sql_put_text(buf, buf_str(&type));
        buf_put(buf, STR(", default_value: NULL}"));
    }
    buf_put_char(buf, '}');
}

typedef struct Bounds {
    bool known, nulls;
    int64_t least, most;
} Bounds;

static const DataFileColumn *column_of(const DataFile *file, int32_t field_id)
{
    size_t low = 0, high = file->column_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (file->columns[middle].field_id < field_id)
            low = middle + 1;
        else
            high = middle;
    }
    bool found = low < file->column_count && file->columns[low].field_id == field_id;
    return found ? &file->columns[low] : NULL;
}

/* As the engine counts: days, microseconds, unscaled decimals. */
static bool bound_number(const IceType *type, Str bytes, int64_t *ret_number)
{
    IceValue value;
    if (bytes.ptr == NULL || ice_value_decode(type, bytes, &value, NULL) != E_OK || !value.present)
        return false;
    *ret_number = type->kind == ICE_DECIMAL ? (int64_t)value.decimal : value.number;
    return type->kind != ICE_DECIMAL || value.decimal == (__int128)*ret_number;
}

static bool has_bounds(const IceType *type)
{
    switch (type->kind) {
    case ICE_INT:
    case ICE_LONG:
    case ICE_DATE:
    case ICE_TIMESTAMP:
    case ICE_TIMESTAMPTZ:
    case ICE_DECIMAL:
        return true;
    default:
        return false;
    }
}

/* Over all files, or unknown. */
static Bounds bounds_of(const IceField *field, DataFile *const *files, size_t count)
{
    Bounds all = { 0 };
    for (size_t i = 0; i < count; i++) {
        const DataFileColumn *column = column_of(files[i], field->id);
        int64_t least, most;
        if (column == NULL)
            return (Bounds){ 0 };
        all.nulls = all.nulls || column->null_count != 0;
        if (column->null_count == files[i]->record_count)
            continue;
        if (!bound_number(field->type, column->lower, &least) ||
            !bound_number(field->type, column->upper, &most))
            return (Bounds){ 0 };
        all.least = all.known ? MIN(all.least, least) : least;
        all.most = all.known ? MAX(all.most, most) : most;
        all.known = true;
    }
    return all;
}

static void put_statistics(Buf *buf, const IceSchema *schema, DataFile *const *files, size_t count)
{
    int64_t rows = 0;
    for (size_t i = 0; i < count; i++)
        rows += files[i]->record_count;
    buf_format(buf, ", explicit_cardinality => %lld", (long long)MAX(rows, (int64_t)1));
    if (count > PLAN_BOUNDS_FILES_MAX)
        return;
    bool any = false;
    for (size_t i = 0; i < schema->field_count; i++) {
        if (!has_bounds(schema->fields[i].type))
            continue;
        Bounds bounds = bounds_of(&schema->fields[i], files, count);
        if (!bounds.known)
            continue;
        buf_put(buf, any ? STR(", ") : STR(", bounds => ["));
        buf_format(buf, "[%zu, %lld, %lld, %d]", i, (long long)bounds.least,
                   (long long)bounds.most, bounds.nulls ? 1 : 0);
        any = true;
    }
    buf_put(buf, any ? STR("]") : STR(""));
}

Code sql_plan_files(const IceSchema *schema, DataFile *const *files, size_t count, bool with_file,
                    Arena *arena, Str *ret_sql, Err *err)
{
    Buf buf AUTO(buf_done);
    buf_init(&buf, PLAN_TEXT_MAX);
    if (schema->field_count == 0)
        return err_set(err, E_INVALID, "the table has no columns");
    if (count == 0) {
        put_empty(&buf, schema, with_file);
    } else {
        buf_put(&buf, STR("SELECT "));
        put_columns(&buf, schema);
        if (with_file)
            buf_put(&buf, STR(", filename AS \"" PLAN_FILE_COLUMN "\""));
        buf_put(&buf, STR(" FROM tarn_parquet(["));
        for (size_t i = 0; i < count; i++) {
            buf_put(&buf, i == 0 ? STR("") : STR(","));
            sql_put_text(&buf, files[i]->address);
        }
        buf_put(&buf, STR("], "));
        put_schema_map(&buf, schema);
        put_statistics(&buf, schema, files, count);
        buf_put_char(&buf, ')');
    }
    TRY(buf_end(&buf, "the list of a table's files", err));
    *ret_sql = str_copy(arena, buf_str(&buf));
    return E_OK;
}

/* A name of digits is a snapshot id, any other text a branch, a tag or run:ID. */
static Code travel_query(const SqlTravel *travel, TableScan *query, Err *err)
{
    if (travel->timestamp) {
        int64_t time_us = 0;
        if (!time_parse(travel->value, &time_us))
            return err_at(
                err, err_set(err, E_INVALID, "'" STR_FMT "' is no time", STR_ARG(travel->value)),
                travel->position);
        query->timestamp_ms = time_us / 1000;
        return E_OK;
    }
    if (!travel->is_text) {
        if (!str_i64(travel->value, &query->snapshot_id))
            return err_at(
                err,
                err_set(err, E_INVALID, "'" STR_FMT "' is no snapshot id", STR_ARG(travel->value)),
                travel->position);
        return E_OK;
    }
    query->ref = travel->value;
    return E_OK;
}

Code sql_plan_table(const TableVersion *version, const SqlTravel *travel, SqlPlanHint hint,
                    Arena *arena, SqlPlan *ret_plan, Err *err)
{
    const TableEntry *entry = table_version_entry(version);
    if (entry->is_view)
        return err_set(err, E_UNSUPPORTED, STR_FMT "." STR_FMT " is a view", STR_ARG(entry->ns),
                       STR_ARG(entry->name));
    TableScan query = { 0 };
    if (travel != NULL)
        TRY(travel_query(travel, &query, err));
    ScanPredicate *predicates = NULL;
    if (travel == NULL && hint.node != NULL)
        query.predicate_count = sql_predicates(
            hint.node, hint.request->params, hint.request->param_count,
            table_schema_current(table_version_metadata(version)), arena, &predicates);
    query.predicates = predicates;
    ScanPlan scan;
    Code code = table_scan(version, &query, arena, &scan, err);
    if (code != E_OK && travel != NULL)
        return err_at(err, code, travel->position);
    TRY(code);
    SqlPlan plan = { .schema = scan.schema,
                     .metadata = scan.metadata,
                     .files = scan.files,
                     .file_count = scan.file_count,
                     .files_total = scan.files_total,
                     .snapshot_id = scan.snapshot_id };
    TRY(sql_plan_files(scan.schema, scan.files, scan.file_count, false, arena, &plan.sql, err));
    *ret_plan = plan;
    return E_OK;
}
