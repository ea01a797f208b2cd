/* Statistics of a data file from its Parquet footer. Every leaf of the file must carry a field id
 * of the schema; columns that the file does not have are simply absent (they read as NULL). */
#include "table/stats.h"

#include "base/cursor.h"
#include "format/parquet.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What Parquet said about one leaf over all row groups. */
typedef struct LeafStats {
    int64_t size_bytes, values, nulls;
    bool nulls_known, bounds_known, any;
    IceValue low, high;
} LeafStats;

typedef struct StatsIn {
    const ParquetFooter *footer;
    const IceSchema *schema;
    const TableMetadata *metadata;
    Arena *arena;
    Err *err;
} StatsIn;

/* Plain encoding of a bound to the value of the Iceberg type; false: this pairing has no bound. */
static bool bound_value(const ParquetNode *node, const IceType *type, Str bytes,
                        IceValue *ret_value)
{
    IceValue value = { .present = true };
    IceBound bound = ice_kind_info(type->kind)->bound;
    switch (node->type) {
    case PARQUET_BOOLEAN:
        value.number = bytes.len == 1 && bytes.ptr[0] != 0;
        break;
    case PARQUET_INT32:
        if (bytes.len != 4)
            return false;
        value.number = (int32_t)load_u32le(bytes.ptr);
        value.decimal = value.number;
        break;
    case PARQUET_INT64:
        if (bytes.len != 8)
            return false;
        value.number = (int64_t)load_u64le(bytes.ptr);
        value.decimal = value.number;
        break;
    case PARQUET_FLOAT:
    case PARQUET_DOUBLE:
        if (ice_value_decode(ice_type_simple(bytes.len == 4 ? ICE_FLOAT : ICE_DOUBLE), bytes,
                             &value, NULL))
            return false;
        break;
    case PARQUET_BYTE_ARRAY:
    case PARQUET_FIXED:
        if (bound != BOUND_DECIMAL && bound != BOUND_BYTES)
            return false;
        if (ice_value_decode(type, bytes, &value, NULL))
            return false;
        break;
    case PARQUET_INT96:
    case PARQUET_GROUP:
        return false;
    }
    *ret_value = value;
    return true;
}

/* Units and widths that a column of the type is written with; others are refused, not
 * reinterpreted. */
static bool leaf_fits(const ParquetNode *node, const IceType *type)
{
    ParquetType of = node->type;
    bool micros = node->logical == PARQUET_L_NONE || node->unit == PARQUET_MICROS;
    switch (type->kind) {
    case ICE_BOOLEAN:
        return of == PARQUET_BOOLEAN;
    case ICE_INT:
    case ICE_DATE:
        return of == PARQUET_INT32;
    case ICE_LONG:
        return of == PARQUET_INT64 || of == PARQUET_INT32;
    case ICE_FLOAT:
        return of == PARQUET_FLOAT;
    case ICE_DOUBLE:
        return of == PARQUET_DOUBLE || of == PARQUET_FLOAT;
    case ICE_DECIMAL:
        return (of == PARQUET_INT32 || of == PARQUET_INT64 || of == PARQUET_FIXED ||
                of == PARQUET_BYTE_ARRAY) &&
               node->scale == type->scale && node->precision <= type->precision;
    case ICE_TIME:
    case ICE_TIMESTAMP:
    case ICE_TIMESTAMPTZ:
        return of == PARQUET_INT64 && micros;
    case ICE_STRING:
    case ICE_BINARY:
        return of == PARQUET_BYTE_ARRAY;
    case ICE_UUID:
        return of == PARQUET_FIXED && node->fixed_len == 16;
    case ICE_FIXED:
        return of == PARQUET_FIXED && node->fixed_len == type->length;
    case ICE_STRUCT:
    case ICE_LIST:
    case ICE_MAP:
    case ICE_KIND_COUNT:
        break;
    }
    return false;
}

static bool is_nan(const IceType *type, const IceValue *value)
{
    return ice_kind_info(type->kind)->bound >= BOUND_F32 &&
           ice_kind_info(type->kind)->bound <= BOUND_F64 && isnan(value->real);
}

static void bounds_merge(LeafStats *stats, const ParquetChunk *chunk, const IceType *type)
{
    IceValue low, high;
    if (chunk->null_count == chunk->value_count)
        return; /* nothing but NULL: no bound, and none is missing */
    if (!chunk->has_min || !chunk->has_max || !bound_value(chunk->node, type, chunk->min, &low) ||
        !bound_value(chunk->node, type, chunk->max, &high) || is_nan(type, &low) ||
        is_nan(type, &high)) {
        stats->bounds_known = false;
        return;
    }
    if (!stats->any || ice_value_compare(type, &low, &stats->low) < 0)
        stats->low = low;
    if (!stats->any || ice_value_compare(type, &high, &stats->high) > 0)
        stats->high = high;
    stats->any = true;
}

static LeafStats leaf_stats(StatsIn *in, const ParquetNode *leaf, const IceType *type)
{
    LeafStats stats = { .nulls_known = true, .bounds_known = true };
    for (size_t i = 0; i < in->footer->row_group_count; i++) {
        const ParquetChunk *chunk = &in->footer->row_groups[i].chunks[leaf->column];
        stats.size_bytes += chunk->compressed_bytes;
        stats.values += chunk->value_count;
        stats.nulls_known &= chunk->null_count >= 0;
        stats.nulls += chunk->null_count;
        bounds_merge(&stats, chunk, type);
    }
    return stats;
}

/* Of floats: -0.0 may hide 0.0 in a footer and the other way round. */
static void zero_widen(const IceType *type, LeafStats *stats)
{
    if (type->kind != ICE_FLOAT && type->kind != ICE_DOUBLE)
        return;
    if (stats->low.real == 0)
        stats->low.real = -0.0;
    if (stats->high.real == 0)
        stats->high.real = 0.0;
}

static Code bounds_put(StatsIn *in, const IceType *type, MetricsMode mode, LeafStats *stats,
                       DataFileColumn *column)
{
    zero_widen(type, stats);
    TRY(ice_value_encode(in->arena, type, &stats->low, &column->lower, in->err));
    TRY(ice_value_encode(in->arena, type, &stats->high, &column->upper, in->err));
    if (mode.kind == METRICS_TRUNCATE) {
        column->lower = bound_truncate_lower(in->arena, type, column->lower, mode.width);
        column->upper = bound_truncate_upper(in->arena, type, column->upper, mode.width);
    }
    /* They may point into the footer, which does not stay. */
    column->lower = str_copy(in->arena, column->lower);
    if (column->upper.ptr)
        column->upper = str_copy(in->arena, column->upper);
    return E_OK;
}

/* Spec: bounds are kept of columns that are not inside lists or maps. */
static bool is_repeated(const ParquetNode *leaf)
{
    return leaf->repetition_max > 0;
}

static Str dotted_name(Arena *arena, const ParquetNode *leaf)
{
    Str name = leaf->name;
    for (const ParquetNode *node = leaf->parent; node && node->parent; node = node->parent)
        name = str_format(arena, STR_FMT "." STR_FMT, STR_ARG(node->name), STR_ARG(name));
    return name;
}

static Code leaf_put(StatsIn *in, const ParquetNode *leaf, DataFile *file)
{
    Str name = dotted_name(in->arena, leaf);
    if (leaf->field_id < 0) {
        Code code = err_set(in->err, E_UNSUPPORTED,
                            "column '" STR_FMT "' of the file has no field id", STR_ARG(name));
        return err_hint(in->err, code,
                        "write the file through tarn, or register it with a name mapping");
    }
    const IceField *field = ice_schema_field(in->schema, leaf->field_id);
    if (!field)
        return E_OK; /* a column that the table does not have (any more): never read */
    if (!leaf_fits(leaf, field->type))
        return err_set(in->err, E_TYPE, "column '" STR_FMT "' of the file cannot be read as %s",
                       STR_ARG(name), ice_kind_info(field->type->kind)->name);
    MetricsMode mode = metrics_mode(in->metadata, name);
    LeafStats stats = leaf_stats(in, leaf, field->type);
    DataFileColumn *column = &file->columns[file->column_count++];
    *column = (DataFileColumn){ .field_id = field->id,
                                .size_bytes = stats.size_bytes,
                                .value_count = -1,
                                .null_count = -1,
                                .nan_count = -1 };
    if (mode.kind == METRICS_NONE)
        return E_OK;
    column->value_count = stats.values;
    column->null_count = stats.nulls_known ? stats.nulls : -1;
    if (mode.kind == METRICS_COUNTS || !stats.any || !stats.bounds_known || is_repeated(leaf))
        return E_OK;
    return bounds_put(in, field->type, mode, &stats, column);
}

static int column_order(const void *a, const void *b)
{
    const DataFileColumn *left = a, *right = b;
    return (left->field_id > right->field_id) - (left->field_id < right->field_id);
}

static Code footer_read(ObjectReader *reader, uint64_t size_bytes, Arena *arena,
                        ParquetFooter *ret_footer, Err *err)
{
    char tail[PARQUET_TAIL_LEN];
    size_t got = 0;
    if (size_bytes < PARQUET_TAIL_LEN)
        return err_set(err, E_CORRUPT, "a file of %llu bytes is no Parquet file",
                       (unsigned long long)size_bytes);
    TRY(object_pread(reader, tail, sizeof tail, size_bytes - sizeof tail, &got, err));
    uint64_t footer_bytes;
    TRY(parquet_footer_size(str_of(tail, got), size_bytes, &footer_bytes, err));
    char *bytes = arena_alloc(arena, footer_bytes + 1);
    TRY(object_pread(reader, bytes, footer_bytes, size_bytes - sizeof tail - footer_bytes, &got,
                     err));
    return parquet_footer_decode(str_of(bytes, got), size_bytes, arena, ret_footer, err);
}

Code data_file_from_footer(ObjectReader *reader, const IceSchema *schema,
                           const TableMetadata *metadata, Arena *arena, DataFile *ret_file,
                           Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    ParquetFooter footer;
    uint64_t size_bytes = object_reader_info(reader)->size_bytes;
    TRY(footer_read(reader, size_bytes, &tmp, &footer, err));
    DataFile file = { .content = CONTENT_DATA,
                      .format = STR("PARQUET"),
                      .record_count = footer.row_count,
                      .size_bytes = (int64_t)size_bytes,
                      .sort_order_id = -1,
                      .sequence_number = -1 };
    if (footer.row_group_count > SPLIT_OFFSETS_MAX)
        return err_set(err, E_LIMIT, "the file has more than %d row groups", SPLIT_OFFSETS_MAX);
    StatsIn in = { &footer, schema, metadata, arena, err };
    file.columns = arena_array(arena, DataFileColumn, footer.leaf_count + 1);
    for (size_t i = 0; i < footer.leaf_count; i++)
        TRY(leaf_put(&in, footer.leaves[i], &file));
    qsort(file.columns, file.column_count, sizeof *file.columns, column_order);
    for (size_t i = 1; i < file.column_count; i++)
        if (file.columns[i].field_id == file.columns[i - 1].field_id)
            return err_set(err, E_CORRUPT, "field id %d comes twice in the file",
                           file.columns[i].field_id);
    file.split_offsets = arena_array(arena, int64_t, footer.row_group_count + 1);
    for (size_t i = 0; i < footer.row_group_count; i++)
        file.split_offsets[file.split_offset_count++] = footer.row_groups[i].start;
    *ret_file = file;
    return E_OK;
}
