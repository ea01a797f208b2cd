/* The Avro schemas of manifests and manifest lists, with the field ids of the spec ("Manifests",
 * "Manifest lists"). Maps with integer keys are arrays of key-value records (appendix A). */
#include "format/json.h"
#include "table/manifest_priv.h"

#include <stdio.h>

static void field_begin(JsonWriter *w, const char *name, int32_t id)
{
    json_begin_object(w);
    json_field_str(w, "name", str_z(name));
    json_field_i64(w, "field-id", id);
}

static void required(JsonWriter *w, const char *name, int32_t id, const char *type)
{
    field_begin(w, name, id);
    json_field_str(w, "type", str_z(type));
    json_end_object(w);
}

/* `type` is JSON. */
static void optional(JsonWriter *w, const char *name, int32_t id, Str type)
{
    field_begin(w, name, id);
    json_key(w, STR("type"));
    json_begin_array(w);
    json_put_str(w, STR("null"));
    json_put_raw(w, type);
    json_end_array(w);
    json_key(w, STR("default"));
    json_put_null(w);
    json_end_object(w);
}

static void optional_map(JsonWriter *w, const char *name, int32_t id, int key_id, const char *value)
{
    char type[512];
    int len = snprintf(
        type, sizeof type,
        "{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"k%d_v%d\",\"fields\":["
        "{\"name\":\"key\",\"type\":\"int\",\"field-id\":%d},"
        "{\"name\":\"value\",\"type\":\"%s\",\"field-id\":%d}]},\"logicalType\":\"map\"}",
        key_id, key_id + 1, key_id, value, key_id + 1);
    optional(w, name, id, str_of(type, (size_t)len));
}

/* How many bytes hold a decimal of that many digits. */
size_t decimal_fixed_len(int32_t precision)
{
    static const uint8_t LEN[39] = { 0,  1,  1,  2,  2,  3,  3,  4,  4,  4,  5,  5,  6,
                                     6,  6,  7,  7,  8,  8,  9,  9,  9,  10, 10, 11, 11,
                                     11, 12, 12, 13, 13, 13, 14, 14, 15, 15, 16, 16, 16 };
    return LEN[precision];
}

/* Appendix A: the Avro type of a partition value. */
static void value_type_put(Buf *out, const IceType *type, int32_t field_id)
{
    switch (type->kind) {
    case ICE_BOOLEAN:
    case ICE_INT:
    case ICE_LONG:
    case ICE_FLOAT:
    case ICE_DOUBLE:
    case ICE_STRING:
        buf_format(out, "\"%s\"", ice_kind_info(type->kind)->name);
        break;
    case ICE_BINARY:
        buf_put(out, STR("\"bytes\""));
        break;
    case ICE_DATE:
        buf_put(out, STR("{\"type\":\"int\",\"logicalType\":\"date\"}"));
        break;
    case ICE_TIME:
        buf_put(out, STR("{\"type\":\"long\",\"logicalType\":\"time-micros\"}"));
        break;
    case ICE_TIMESTAMP:
    case ICE_TIMESTAMPTZ:
        buf_format(out,
                   "{\"type\":\"long\",\"logicalType\":\"timestamp-micros\",\"adjust-to-utc\":%s}",
                   type->kind == ICE_TIMESTAMPTZ ? "true" : "false");
        break;
    case ICE_DECIMAL:
        buf_format(out,
                   "{\"type\":\"fixed\",\"name\":\"decimal_%d_%d_%d\",\"size\":%zu,\"logicalType\":"
                   "\"decimal\",\"precision\":%d,\"scale\":%d}",
                   type->precision, type->scale, field_id, decimal_fixed_len(type->precision),
                   type->precision, type->scale);
        break;
    case ICE_UUID:
        buf_format(
            out,
            "{\"type\":\"fixed\",\"name\":\"uuid_fixed_%d\",\"size\":16,\"logicalType\":\"uuid\"}",
            field_id);
        break;
    case ICE_FIXED:
        buf_format(out, "{\"type\":\"fixed\",\"name\":\"fixed_%d_%d\",\"size\":%d}", type->length,
                   field_id, type->length);
        break;
    case ICE_STRUCT:
    case ICE_LIST:
    case ICE_MAP:
    case ICE_KIND_COUNT:
        ASSERT(!"partition values are not nested");
    }
}

/* Avro allows letters, digits and '_': the same replacement as the reference makes. */
static Str avro_name(Arena *arena, Str name)
{
    Buf AUTO(buf_done) out;
    buf_init(&out, 8 * ICE_NAME_MAX);
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        bool digit = c >= '0' && c <= '9';
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (letter || (digit && i))
            buf_put_char(&out, (char)c);
        else if (digit)
            buf_format(&out, "_%c", c);
        else
            buf_format(&out, "_x%X", c);
    }
    return str_copy(arena, buf_str(&out));
}

static void partition_put(JsonWriter *w, const IcePartitionSpec *spec, const IceType *const *types)
{
    Arena AUTO(arena_done) tmp = { 0 };
    field_begin(w, "partition", 102);
    json_key(w, STR("type"));
    json_begin_object(w);
    json_field_str(w, "type", STR("record"));
    json_field_str(w, "name", STR("r102"));
    json_key(w, STR("fields"));
    json_begin_array(w);
    for (size_t i = 0; i < spec->field_count; i++) {
        Buf AUTO(buf_done) type;
        buf_init(&type, 1024);
        value_type_put(&type, types[i], spec->fields[i].field_id);
        Str name = avro_name(&tmp, spec->fields[i].name);
        optional(w, str_copy_z(&tmp, name), spec->fields[i].field_id, buf_str(&type));
    }
    json_end_array(w);
    json_end_object(w);
    json_end_object(w);
}

static void data_file_put(JsonWriter *w, const IcePartitionSpec *spec, const IceType *const *types)
{
    field_begin(w, "data_file", 2);
    json_key(w, STR("type"));
    json_begin_object(w);
    json_field_str(w, "type", STR("record"));
    json_field_str(w, "name", STR("r2"));
    json_key(w, STR("fields"));
    json_begin_array(w);
    required(w, "content", 134, "int");
    required(w, "file_path", 100, "string");
    required(w, "file_format", 101, "string");
    partition_put(w, spec, types);
    required(w, "record_count", 103, "long");
    required(w, "file_size_in_bytes", 104, "long");
    optional_map(w, "column_sizes", 108, 117, "long");
    optional_map(w, "value_counts", 109, 119, "long");
    optional_map(w, "null_value_counts", 110, 121, "long");
    optional_map(w, "nan_value_counts", 137, 138, "long");
    optional_map(w, "lower_bounds", 125, 126, "bytes");
    optional_map(w, "upper_bounds", 128, 129, "bytes");
    optional(w, "key_metadata", 131, STR("\"bytes\""));
    optional(w, "split_offsets", 132,
             STR("{\"type\":\"array\",\"items\":\"long\",\"element-id\":133}"));
    optional(w, "equality_ids", 135,
             STR("{\"type\":\"array\",\"items\":\"int\",\"element-id\":136}"));
    optional(w, "sort_order_id", 140, STR("\"int\""));
    json_end_array(w);
    json_end_object(w);
    json_end_object(w);
}

void manifest_schema_put(Buf *json, const IcePartitionSpec *spec, const IceType *const *types)
{
    JsonWriter writer = json_writer(json), *w = &writer;
    json_begin_object(w);
    json_field_str(w, "type", STR("record"));
    json_field_str(w, "name", STR("manifest_entry"));
    json_key(w, STR("fields"));
    json_begin_array(w);
    required(w, "status", 0, "int");
    optional(w, "snapshot_id", 1, STR("\"long\""));
    optional(w, "sequence_number", 3, STR("\"long\""));
    optional(w, "file_sequence_number", 4, STR("\"long\""));
    data_file_put(w, spec, types);
    json_end_array(w);
    json_end_object(w);
}

void manifest_list_schema_put(Buf *json)
{
    JsonWriter writer = json_writer(json), *w = &writer;
    json_begin_object(w);
    json_field_str(w, "type", STR("record"));
    json_field_str(w, "name", STR("manifest_file"));
    json_key(w, STR("fields"));
    json_begin_array(w);
    required(w, "manifest_path", 500, "string");
    required(w, "manifest_length", 501, "long");
    required(w, "partition_spec_id", 502, "int");
    required(w, "content", 517, "int");
    required(w, "sequence_number", 515, "long");
    required(w, "min_sequence_number", 516, "long");
    required(w, "added_snapshot_id", 503, "long");
    required(w, "added_files_count", 504, "int");
    required(w, "existing_files_count", 505, "int");
    required(w, "deleted_files_count", 506, "int");
    required(w, "added_rows_count", 512, "long");
    required(w, "existing_rows_count", 513, "long");
    required(w, "deleted_rows_count", 514, "long");
    optional(w, "partitions", 507,
             STR("{\"type\":\"array\",\"element-id\":508,\"items\":{\"type\":\"record\",\"name\":"
                 "\"r508\","
                 "\"fields\":[{\"name\":\"contains_null\",\"type\":\"boolean\",\"field-id\":509},"
                 "{\"name\":\"contains_nan\",\"type\":[\"null\",\"boolean\"],\"default\":null,"
                 "\"field-id\":518},"
                 "{\"name\":\"lower_bound\",\"type\":[\"null\",\"bytes\"],\"default\":null,\"field-"
                 "id\":510},"
                 "{\"name\":\"upper_bound\",\"type\":[\"null\",\"bytes\"],\"default\":null,\"field-"
                 "id\":511}"
                 "]}}"));
    optional(w, "key_metadata", 519, STR("\"bytes\""));
    json_end_array(w);
    json_end_object(w);
}
