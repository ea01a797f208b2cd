/* One data file as JSON, both ways: how staged files wait in the metadata database. Values are the
 * single-value bytes of the spec, in hexadecimal. */
#include "table/schema_json_priv.h"
#include "table/manifest.h"

static void hex_field(JsonWriter *w, const char *key, Str bytes)
{
    Arena AUTO(arena_done) tmp = { 0 };
    if (bytes.ptr)
        json_field_str(w, key, hex_format(&tmp, bytes));
}

static void number_field(JsonWriter *w, const char *key, int64_t number)
{
    if (number >= 0)
        json_field_i64(w, key, number);
}

static Code partition_put(JsonWriter *w, const DataFile *file, const TableMetadata *metadata,
                          Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    const IceType **types;
    const IcePartitionSpec *spec = table_spec(metadata, file->spec_id);
    if (!spec || spec->field_count != file->partition_count)
        return err_set(err, E_INVALID,
                       "file '" STR_FMT "' does not have the partition of a spec of the table",
                       STR_ARG(file->address));
    TRY(partition_types(metadata, spec, &tmp, &types, err));
    json_key(w, STR("partition"));
    json_begin_array(w);
    for (size_t i = 0; i < file->partition_count; i++) {
        Str bytes = STR_NONE;
        if (file->partition[i].present)
            TRY(ice_value_encode(&tmp, types[i], &file->partition[i], &bytes, err));
        if (bytes.ptr)
            json_put_str(w, hex_format(&tmp, bytes));
        else
            json_put_null(w);
    }
    json_end_array(w);
    return E_OK;
}

Code data_file_encode(Buf *json, const DataFile *file, const TableMetadata *metadata, Err *err)
{
    JsonWriter writer = json_writer(json), *w = &writer;
    json_begin_object(w);
    json_field_str(w, "address", file->address);
    json_field_str(w, "format", file->format);
    json_field_i64(w, "spec", file->spec_id);
    TRY(partition_put(w, file, metadata, err));
    json_field_i64(w, "records", file->record_count);
    json_field_i64(w, "bytes", file->size_bytes);
    number_field(w, "sort", file->sort_order_id);
    json_key(w, STR("columns"));
    json_begin_array(w);
    for (size_t i = 0; i < file->column_count; i++) {
        const DataFileColumn *column = &file->columns[i];
        json_begin_object(w);
        json_field_i64(w, "id", column->field_id);
        number_field(w, "size", column->size_bytes);
        number_field(w, "values", column->value_count);
        number_field(w, "nulls", column->null_count);
        number_field(w, "nans", column->nan_count);
        hex_field(w, "lower", column->lower);
        hex_field(w, "upper", column->upper);
        json_end_object(w);
    }
    json_end_array(w);
    json_key(w, STR("splits"));
    json_begin_array(w);
    for (size_t i = 0; i < file->split_offset_count; i++)
        json_put_i64(w, file->split_offsets[i]);
    json_end_array(w);
    json_end_object(w);
    return buf_end(json, "data file", err);
}

static Code broken(const char *what, Err *err)
{
    return err_set(err, E_CORRUPT, "staged file: %s", what);
}

static Code partition_get(Arena *arena, const Json *json, const TableMetadata *metadata,
                          DataFile *file, Err *err)
{
    const IcePartitionSpec *spec = table_spec(metadata, file->spec_id);
    const Json *list = json_get(json, "partition");
    if (!spec || json_len(list) != spec->field_count)
        return broken("its partition is of no spec of the table", err);
    const IceType **types;
    TRY(partition_types(metadata, spec, arena, &types, err));
    file->partition = arena_array(arena, IceValue, spec->field_count + 1);
    file->partition_count = spec->field_count;
    for (size_t i = 0; i < spec->field_count; i++) {
        Str bytes;
        if (json_is_null(json_at(list, i)))
            continue;
        if (!hex_parse(arena, json_str(json_at(list, i)), &bytes))
            return broken("a partition value is no hexadecimal", err);
        TRY(ice_value_decode(types[i], bytes, &file->partition[i], err));
    }
    return E_OK;
}

static Code bound_get(Arena *arena, const Json *json, Str *bound, Err *err)
{
    Str bytes;
    if (json_is_null(json))
        return E_OK;
    if (!hex_parse(arena, json_str(json), &bytes))
        return broken("a bound is no hexadecimal", err);
    *bound = str_of(bytes.ptr ? bytes.ptr : "", bytes.len);
    return E_OK;
}

static Code columns_get(Arena *arena, const Json *json, DataFile *file, Err *err)
{
    const Json *list = json_get(json, "columns");
    if (json_len(list) > DATA_FILE_COLUMNS_MAX)
        return broken("too many columns", err);
    file->columns = arena_array(arena, DataFileColumn, json_len(list) + 1);
    JsonIter it = json_iter(list);
    while (json_next(&it)) {
        DataFileColumn *column = &file->columns[file->column_count++];
        TRY(ice_json_i32(it.value, "id", &column->field_id, err));
        column->size_bytes = json_i64(json_get(it.value, "size"), -1);
        column->value_count = json_i64(json_get(it.value, "values"), -1);
        column->null_count = json_i64(json_get(it.value, "nulls"), -1);
        column->nan_count = json_i64(json_get(it.value, "nans"), -1);
        TRY(bound_get(arena, json_get(it.value, "lower"), &column->lower, err));
        TRY(bound_get(arena, json_get(it.value, "upper"), &column->upper, err));
    }
    return E_OK;
}

Code data_file_decode(Arena *arena, Str text, const TableMetadata *metadata, DataFile *ret_file,
                      Err *err)
{
    const Json *json, *splits;
    DataFile file = { .content = CONTENT_DATA, .sequence_number = -1 };
    if (json_parse(arena, text, NULL, &json, err))
        return err_wrap(err, E_CORRUPT, "staged file");
    TRY(ice_json_i32(json, "spec", &file.spec_id, err));
    file.address = json_str(json_get(json, "address"));
    file.format = json_str(json_get(json, "format"));
    file.record_count = json_i64(json_get(json, "records"), -1);
    file.size_bytes = json_i64(json_get(json, "bytes"), -1);
    file.sort_order_id = (int32_t)json_i64(json_get(json, "sort"), -1);
    if (!file.address.len || file.record_count < 0 || file.size_bytes < 0)
        return broken("its address, rows or size are missing", err);
    TRY(partition_get(arena, json, metadata, &file, err));
    TRY(columns_get(arena, json, &file, err));
    splits = json_get(json, "splits");
    if (json_len(splits) > SPLIT_OFFSETS_MAX)
        return broken("too many split offsets", err);
    file.split_offsets = arena_array(arena, int64_t, json_len(splits) + 1);
    JsonIter it = json_iter(splits);
    while (json_next(&it))
        file.split_offsets[file.split_offset_count++] = json_i64(it.value, 0);
    *ret_file = file;
    return E_OK;
}
