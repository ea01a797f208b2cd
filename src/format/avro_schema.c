#include "format/avro.h"

#include <string.h>

/* A named type that was declared already; types refer to it by name. */
typedef struct Named Named;
struct Named {
    Str name;
    AvroSchema *schema;
    Named *next;
};

typedef struct Parse {
    Arena *arena;
    Named *named;
    Err *err;
} Parse;

static Code parse_type(Parse *p, const Json *json, Str space, unsigned depth,
                       AvroSchema **ret_schema);

static const struct {
    Str name;
    AvroKind kind;
} kinds[] = {
    { STR_INIT("null"), AVRO_NULL },     { STR_INIT("boolean"), AVRO_BOOLEAN },
    { STR_INIT("int"), AVRO_INT },       { STR_INIT("long"), AVRO_LONG },
    { STR_INIT("float"), AVRO_FLOAT },   { STR_INIT("double"), AVRO_DOUBLE },
    { STR_INIT("bytes"), AVRO_BYTES },   { STR_INIT("string"), AVRO_STRING },
    { STR_INIT("fixed"), AVRO_FIXED },   { STR_INIT("enum"), AVRO_ENUM },
    { STR_INIT("array"), AVRO_ARRAY },   { STR_INIT("map"), AVRO_MAP },
    { STR_INIT("record"), AVRO_RECORD },
};

enum { LAST_PRIMITIVE = 7 };

static bool kind_of(Str name, size_t last, AvroKind *ret_kind)
{
    for (size_t i = 0; i <= last; i++) {
        if (str_eq(kinds[i].name, name)) {
            *ret_kind = kinds[i].kind;
            return true;
        }
    }
    return false;
}

static Str full_name(Arena *arena, Str name, Str space)
{
    if (space.len == 0 || str_find_char(name, '.') >= 0)
        return name;
    return str_format(arena, STR_FMT "." STR_FMT, STR_ARG(space), STR_ARG(name));
}

static AvroSchema *named_find(const Parse *p, Str name)
{
    for (const Named *at = p->named; at; at = at->next)
        if (str_eq(at->name, name))
            return at->schema;
    return NULL;
}

static AvroSchema *schema_new(Parse *p, AvroKind kind, const Json *json)
{
    AvroSchema *schema = arena_new(p->arena, AvroSchema);
    schema->kind = kind;
    schema->json = json;
    schema->element_id = schema->key_id = schema->value_id = AVRO_NO_ID;
    return schema;
}

/* A type given by its name alone: a primitive, or one that was declared before. */
static Code parse_name(Parse *p, const Json *json, Str space, AvroSchema **ret_schema)
{
    Str name = json_str(json);
    AvroKind kind;
    if (kind_of(name, LAST_PRIMITIVE, &kind)) {
        *ret_schema = schema_new(p, kind, json);
        return E_OK;
    }
    AvroSchema *found = named_find(p, full_name(p->arena, name, space));
    if (!found)
        found = named_find(p, name);
    if (!found)
        return err_set(p->err, E_INVALID, "Avro schema: type '" STR_FMT "' is not known",
                       STR_ARG(name));
    *ret_schema = found;
    return E_OK;
}

static Code parse_union(Parse *p, const Json *json, Str space, unsigned depth,
                        AvroSchema **ret_schema)
{
    size_t count = json_len(json);
    if (count == 0 || count > AVRO_FIELDS_MAX)
        return err_set(p->err, E_INVALID, "Avro schema: a union of %zu types", count);
    AvroSchema *schema = schema_new(p, AVRO_UNION, json);
    schema->branches = arena_array(p->arena, AvroSchema *, count);
    for (JsonIter it = json_iter(json); json_next(&it);) {
        AvroSchema *branch;
        TRY(parse_type(p, it.value, space, depth, &branch));
        if (branch->kind == AVRO_UNION)
            return err_set(p->err, E_INVALID, "Avro schema: a union directly in a union");
        schema->branches[schema->branch_count++] = branch;
    }
    *ret_schema = schema;
    return E_OK;
}

static int32_t id_of(const Json *json, const char *key)
{
    int64_t id = json_i64(json_get(json, key), AVRO_NO_ID);
    return id >= 0 && id <= INT32_MAX ? (int32_t)id : AVRO_NO_ID;
}

static Code parse_fields(Parse *p, AvroSchema *record, Str space, unsigned depth)
{
    const Json *fields;
    TRY(json_need_arr(record->json, "fields", &fields, p->err));
    size_t count = json_len(fields);
    if (count > AVRO_FIELDS_MAX)
        return err_set(p->err, E_LIMIT, "Avro schema: a record of %zu fields", count);
    record->fields = arena_array(p->arena, AvroField, count);
    for (JsonIter it = json_iter(fields); json_next(&it);) {
        AvroField *field = &record->fields[record->field_count];
        field->json = it.value;
        field->field_id = id_of(it.value, "field-id");
        TRY(json_need_str(it.value, "name", &field->name, p->err));
        TRY(parse_type(p, json_get(it.value, "type"), space, depth, &field->schema));
        record->field_count++;
    }
    return E_OK;
}

static Code parse_symbols(Parse *p, AvroSchema *schema)
{
    const Json *symbols;
    TRY(json_need_arr(schema->json, "symbols", &symbols, p->err));
    size_t count = json_len(symbols);
    if (count > AVRO_FIELDS_MAX)
        return err_set(p->err, E_LIMIT, "Avro schema: an enum of %zu symbols", count);
    schema->symbols = arena_array(p->arena, Str, count);
    for (JsonIter it = json_iter(symbols); json_next(&it);) {
        if (json_type(it.value) != JSON_STRING)
            return err_set(p->err, E_INVALID, "Avro schema: an enum's symbol is no string");
        schema->symbols[schema->symbol_count++] = json_str(it.value);
    }
    return E_OK;
}

/* Record, enum, fixed: declares the name before what is inside, which may refer to it. */
static Code parse_named(Parse *p, AvroSchema *schema, Str space, unsigned depth)
{
    Str name;
    TRY(json_need_str(schema->json, "name", &name, p->err));
    const Json *own_space = json_get(schema->json, "namespace");
    if (json_type(own_space) == JSON_STRING)
        space = json_str(own_space);
    schema->name = full_name(p->arena, name, space);
    if (named_find(p, schema->name))
        return err_set(p->err, E_INVALID, "Avro schema: '" STR_FMT "' is declared twice",
                       STR_ARG(schema->name));
    Named *named = arena_new(p->arena, Named);
    *named = (Named){ schema->name, schema, p->named };
    p->named = named;
    ptrdiff_t dot = str_rfind_char(schema->name, '.');
    space = dot > 0 ? str_sub(schema->name, 0, (size_t)dot) : STR_NONE;
    if (schema->kind == AVRO_RECORD)
        return parse_fields(p, schema, space, depth);
    if (schema->kind == AVRO_ENUM)
        return parse_symbols(p, schema);
    int64_t size;
    TRY(json_need_i64(schema->json, "size", &size, p->err));
    if (size < 0 || size > AVRO_BLOCK_BYTES_MAX)
        return err_set(p->err, E_INVALID, "Avro schema: a fixed of %lld bytes", (long long)size);
    schema->fixed_len = (size_t)size;
    return E_OK;
}

/* `{"type": NAME, ...}` with the attributes beside it. */
static Code parse_object(Parse *p, const Json *json, Str space, unsigned depth,
                         AvroSchema **ret_schema)
{
    const Json *type = json_get(json, "type");
    AvroKind kind;
    if (json_type(type) != JSON_STRING || !kind_of(json_str(type), ARRAY_LEN(kinds) - 1, &kind))
        return parse_type(p, type, space, depth, ret_schema);
    AvroSchema *schema = schema_new(p, kind, json);
    schema->logical_type = json_str(json_get(json, "logicalType"));
    schema->element_id = id_of(json, "element-id");
    schema->key_id = id_of(json, "key-id");
    schema->value_id = id_of(json, "value-id");
    schema->precision = (int32_t)MIN(json_u64(json_get(json, "precision"), 0), (uint64_t)INT32_MAX);
    schema->scale = (int32_t)MIN(json_u64(json_get(json, "scale"), 0), (uint64_t)INT32_MAX);
    *ret_schema = schema;
    if (kind == AVRO_ARRAY)
        return parse_type(p, json_get(json, "items"), space, depth, &schema->items);
    if (kind == AVRO_MAP)
        return parse_type(p, json_get(json, "values"), space, depth, &schema->items);
    if (kind == AVRO_RECORD || kind == AVRO_ENUM || kind == AVRO_FIXED)
        return parse_named(p, schema, space, depth);
    return E_OK;
}

static Code parse_type(Parse *p, const Json *json, Str space, unsigned depth,
                       AvroSchema **ret_schema)
{
    if (depth >= AVRO_DEPTH_MAX)
        return err_set(p->err, E_LIMIT, "Avro schema is nested deeper than %d levels",
                       AVRO_DEPTH_MAX);
    switch (json_type(json)) {
    case JSON_STRING:
        return parse_name(p, json, space, ret_schema);
    case JSON_ARRAY:
        return parse_union(p, json, space, depth + 1, ret_schema);
    case JSON_OBJECT:
        return parse_object(p, json, space, depth + 1, ret_schema);
    case JSON_MISSING:
    case JSON_NULL:
    case JSON_BOOL:
    case JSON_NUMBER:
        break;
    }
    return err_set(p->err, E_INVALID, "Avro schema: a type cannot be %s",
                   json_type_name(json_type(json)));
}

Code avro_schema_parse(Arena *arena, Str json, AvroSchema **ret_schema, Err *err)
{
    const Json *value;
    JsonLimits limits = { .bytes_max = AVRO_SCHEMA_BYTES_MAX, .depth_max = 4 * AVRO_DEPTH_MAX };
    Code code = json_parse(arena, json, &limits, &value, err);
    if (code == E_SYNTAX)
        return err_wrap(err, E_INVALID, "Avro schema");
    if (code != E_OK)
        return err_wrap(err, code, "Avro schema");
    Parse parse = { .arena = arena, .err = err };
    return parse_type(&parse, value, STR_NONE, 0, ret_schema);
}
