/* Schemas as JSON (spec, appendix C), both ways. Depth is counted in both: ICE_DEPTH_MAX. */
#include "format/json.h"
#include "table/schema_json_priv.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct SchemaIn {
    Arena *arena;
    size_t fields;
    Err *err;
} SchemaIn;

static Code type_decode(SchemaIn *in, const Json *json, int depth, const IceType **ret_type);

static Code broken(SchemaIn *in, const char *what)
{
    return err_set(in->err, E_CORRUPT, "schema: %s", what);
}

Code ice_json_i32(const Json *object, const char *key, int32_t *ret_number, Err *err)
{
    int64_t number;
    if (json_need_i64(object, key, &number, err))
        return err_wrap(err, E_CORRUPT, "metadata");
    if (number < INT32_MIN || number > INT32_MAX)
        return err_set(err, E_CORRUPT, "metadata: '%s' does not fit 32 bits", key);
    *ret_number = (int32_t)number;
    return E_OK;
}

static Code count_check(SchemaIn *in, size_t more)
{
    in->fields += more;
    if (in->fields > ICE_FIELDS_MAX)
        return err_set(in->err, E_LIMIT, "a schema has more than %d fields", ICE_FIELDS_MAX);
    return E_OK;
}

static Code field_decode(SchemaIn *in, const Json *json, int depth, IceField *ret_field)
{
    IceField field = { 0 };
    TRY(ice_json_i32(json, "id", &field.id, in->err));
    if (json_need_str(json, "name", &field.name, in->err) ||
        json_need_bool(json, "required", &field.required, in->err))
        return err_wrap(in->err, E_CORRUPT, "schema");
    field.doc = json_str(json_get(json, "doc"));
    if (field.name.len > ICE_NAME_MAX || !field.name.len)
        return broken(in, "a name is empty or too long");
    TRY(type_decode(in, json_get(json, "type"), depth, &field.type));
    *ret_field = field;
    return E_OK;
}

static Code fields_decode(SchemaIn *in, const Json *json, int depth, IceField **ret_fields,
                          size_t *ret_count)
{
    const Json *list;
    if (json_need_arr(json, "fields", &list, in->err))
        return err_wrap(in->err, E_CORRUPT, "schema");
    TRY(count_check(in, json_len(list)));
    IceField *fields = arena_array(in->arena, IceField, json_len(list) + 1);
    size_t count = 0;
    JsonIter it = json_iter(list);
    while (json_next(&it))
        TRY(field_decode(in, it.value, depth, &fields[count++]));
    *ret_fields = fields;
    *ret_count = count;
    return E_OK;
}

/* element, key or value: "key-id", "key", "key-required" (keys are always required). */
static Code part_decode(SchemaIn *in, const Json *json, const char *name, int depth,
                        IceField *ret_field)
{
    char id[32], required[32];
    snprintf(id, sizeof id, "%s-id", name);
    snprintf(required, sizeof required, "%s-required", name);
    IceField field = { .name = str_z(name), .required = true };
    TRY(ice_json_i32(json, id, &field.id, in->err));
    if (!str_eq(field.name, STR("key")) && json_need_bool(json, required, &field.required, in->err))
        return err_wrap(in->err, E_CORRUPT, "schema");
    TRY(type_decode(in, json_get(json, name), depth, &field.type));
    *ret_field = field;
    return E_OK;
}

static Code nested_decode(SchemaIn *in, const Json *json, int depth, const IceType **ret_type)
{
    IceType *type = arena_new(in->arena, IceType);
    Str kind = json_str(json_get(json, "type"));
    if (str_eq(kind, STR("struct"))) {
        type->kind = ICE_STRUCT;
        TRY(fields_decode(in, json, depth + 1, &type->fields, &type->field_count));
    } else if (str_eq(kind, STR("list"))) {
        type->kind = ICE_LIST;
        type->field_count = 1;
        type->fields = arena_array(in->arena, IceField, 1);
        TRY(count_check(in, 1));
        TRY(part_decode(in, json, "element", depth + 1, &type->fields[0]));
    } else if (str_eq(kind, STR("map"))) {
        type->kind = ICE_MAP;
        type->field_count = 2;
        type->fields = arena_array(in->arena, IceField, 2);
        TRY(count_check(in, 2));
        TRY(part_decode(in, json, "key", depth + 1, &type->fields[0]));
        TRY(part_decode(in, json, "value", depth + 1, &type->fields[1]));
    } else {
        return broken(in, "a nested type is no struct, list or map");
    }
    *ret_type = type;
    return E_OK;
}

static Code type_decode(SchemaIn *in, const Json *json, int depth, const IceType **ret_type)
{
    if (depth > ICE_DEPTH_MAX)
        return err_set(in->err, E_LIMIT, "a schema is nested deeper than %d", ICE_DEPTH_MAX);
    if (json_type(json) == JSON_STRING)
        return ice_type_parse(in->arena, json_str(json), ret_type, in->err);
    if (json_type(json) == JSON_OBJECT)
        return nested_decode(in, json, depth, ret_type);
    return broken(in, "a type is missing");
}

static size_t ids_collect(const IceField *fields, size_t count, int32_t *ids, size_t at)
{
    for (size_t i = 0; i < count; i++) {
        ids[at++] = fields[i].id;
        at = ids_collect(fields[i].type->fields, fields[i].type->field_count, ids, at);
    }
    return at;
}

static int i32_order(const void *a, const void *b)
{
    const int32_t *left = a, *right = b;
    return (*left > *right) - (*left < *right);
}

static Code ids_check(SchemaIn *in, const IceSchema *schema)
{
    Arena AUTO(arena_done) tmp = { 0 };
    int32_t *ids = arena_array(&tmp, int32_t, in->fields + 1);
    size_t count = ids_collect(schema->fields, schema->field_count, ids, 0);
    qsort(ids, count, sizeof *ids, i32_order);
    for (size_t i = 0; i < count; i++)
        if (ids[i] < 1 || (i && ids[i] == ids[i - 1]))
            return broken(in, "a field id is not positive or comes twice");
    return E_OK;
}

Code schema_json_decode(Arena *arena, const Json *json, IceSchema **ret_schema, Err *err)
{
    SchemaIn in = { arena, 0, err };
    IceSchema *schema = arena_new(arena, IceSchema);
    if (json_type(json) != JSON_OBJECT)
        return broken(&in, "it is no object");
    int64_t id = json_i64(json_get(json, "schema-id"), 0);
    if (id < 0 || id > INT32_MAX)
        return broken(&in, "'schema-id' is out of range");
    schema->id = (int32_t)id;
    TRY(fields_decode(&in, json, 1, &schema->fields, &schema->field_count));
    TRY(ids_check(&in, schema));
    const Json *keys = json_get(json, "identifier-field-ids");
    TRY(count_check(&in, json_len(keys)));
    schema->identifier_ids = arena_array(arena, int32_t, json_len(keys) + 1);
    JsonIter it = json_iter(keys);
    while (json_next(&it)) {
        int64_t key = json_i64(it.value, 0);
        if (key < 1 || key > INT32_MAX || !ice_schema_field(schema, (int32_t)key))
            return broken(&in, "an identifier is no field");
        schema->identifier_ids[schema->identifier_count++] = (int32_t)key;
    }
    *ret_schema = schema;
    return E_OK;
}

static void type_encode(JsonWriter *w, const IceType *type);

static void fields_encode(JsonWriter *w, const IceField *fields, size_t count)
{
    json_field_str(w, "type", STR("struct"));
    json_key(w, STR("fields"));
    json_begin_array(w);
    for (size_t i = 0; i < count; i++) {
        json_begin_object(w);
        json_field_i64(w, "id", fields[i].id);
        json_field_str(w, "name", fields[i].name);
        json_field_bool(w, "required", fields[i].required);
        json_key(w, STR("type"));
        type_encode(w, fields[i].type);
        if (fields[i].doc.ptr)
            json_field_str(w, "doc", fields[i].doc);
        json_end_object(w);
    }
    json_end_array(w);
}

static void nested_encode(JsonWriter *w, const IceType *type)
{
    json_begin_object(w);
    if (type->kind == ICE_STRUCT) {
        fields_encode(w, type->fields, type->field_count);
    } else if (type->kind == ICE_LIST) {
        json_field_str(w, "type", STR("list"));
        json_field_i64(w, "element-id", type->fields[0].id);
        json_key(w, STR("element"));
        type_encode(w, type->fields[0].type);
        json_field_bool(w, "element-required", type->fields[0].required);
    } else {
        json_field_str(w, "type", STR("map"));
        json_field_i64(w, "key-id", type->fields[0].id);
        json_key(w, STR("key"));
        type_encode(w, type->fields[0].type);
        json_field_i64(w, "value-id", type->fields[1].id);
        json_key(w, STR("value"));
        type_encode(w, type->fields[1].type);
        json_field_bool(w, "value-required", type->fields[1].required);
    }
    json_end_object(w);
}

static void type_encode(JsonWriter *w, const IceType *type)
{
    Arena AUTO(arena_done) tmp = { 0 };
    if (ice_is_nested(type))
        nested_encode(w, type);
    else
        json_put_str(w, ice_type_format(&tmp, type));
}

void schema_json_encode(JsonWriter *w, const IceSchema *schema)
{
    json_begin_object(w);
    fields_encode(w, schema->fields, schema->field_count);
    json_field_i64(w, "schema-id", schema->id);
    if (schema->identifier_count) {
        json_key(w, STR("identifier-field-ids"));
        json_begin_array(w);
        for (size_t i = 0; i < schema->identifier_count; i++)
            json_put_i64(w, schema->identifier_ids[i]);
        json_end_array(w);
    }
    json_end_object(w);
}

void ice_schema_encode(Buf *json, const IceSchema *schema)
{
    JsonWriter w = json_writer(json);
    schema_json_encode(&w, schema);
}

Code ice_schema_decode(Arena *arena, Str json, IceSchema **ret_schema, Err *err)
{
    const Json *value;
    JsonLimits limits = { .depth_max = SCHEMA_JSON_DEPTH_MAX };
    if (json_parse(arena, json, &limits, &value, err))
        return err_wrap(err, E_CORRUPT, "schema");
    return schema_json_decode(arena, value, ret_schema, err);
}
