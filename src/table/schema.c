/* Schemas: look-up, ids, copies. Depth is bounded by ICE_DEPTH_MAX: every maker of types keeps it.
 */
#include "table/iceberg.h"

#include <string.h>

static const IceField *fields_find_id(const IceField *fields, size_t count, int32_t id)
{
    for (size_t i = 0; i < count; i++) {
        if (fields[i].id == id)
            return &fields[i];
        if (!fields[i].type->field_count)
            continue;
        const IceField *found =
            fields_find_id(fields[i].type->fields, fields[i].type->field_count, id);
        if (found)
            return found;
    }
    return NULL;
}

const IceField *ice_schema_field(const IceSchema *schema, int32_t id)
{
    return fields_find_id(schema->fields, schema->field_count, id);
}

const IceField *ice_schema_column(const IceSchema *schema, Str name)
{
    for (size_t i = 0; i < schema->field_count; i++)
        if (str_eq(schema->fields[i].name, name))
            return &schema->fields[i];
    return NULL;
}

/* A name may hold dots itself, so every prefix that is a field's whole name is tried. */
static const IceField *fields_find(const IceField *fields, size_t count, Str dotted,
                                   bool (*eq)(Str a, Str b))
{
    for (size_t i = 0; i < count; i++) {
        const IceField *field = &fields[i];
        Str head = str_sub(dotted, 0, field->name.len);
        if (!eq(head, field->name))
            continue;
        if (dotted.len == head.len)
            return field;
        if (dotted.ptr[head.len] != '.')
            continue;
        const IceField *found = fields_find(field->type->fields, field->type->field_count,
                                            str_from(dotted, head.len + 1), eq);
        if (found)
            return found;
    }
    return NULL;
}

const IceField *ice_schema_find(const IceSchema *schema, Str dotted)
{
    const IceField *found = fields_find(schema->fields, schema->field_count, dotted, str_eq);
    return found ? found : fields_find(schema->fields, schema->field_count, dotted, str_ieq);
}

Str ice_schema_nearest(const IceSchema *schema, Str name)
{
    Arena AUTO(arena_done) tmp = { 0 };
    Str *names = arena_array(&tmp, Str, schema->field_count + 1);
    for (size_t i = 0; i < schema->field_count; i++)
        names[i] = schema->fields[i].name;
    return str_nearest(name, names, schema->field_count);
}

static IceField *fields_copy(Arena *arena, const IceField *fields, size_t count);

static const IceType *type_copy(Arena *arena, const IceType *type)
{
    if (!type->field_count && type->kind != ICE_DECIMAL && type->kind != ICE_FIXED &&
        type->kind != ICE_STRUCT)
        return ice_type_simple(type->kind);
    IceType *copy = arena_copy(arena, type, sizeof *type);
    copy->fields = fields_copy(arena, type->fields, type->field_count);
    return copy;
}

static IceField *fields_copy(Arena *arena, const IceField *fields, size_t count)
{
    IceField *copy = arena_array(arena, IceField, count + 1);
    for (size_t i = 0; i < count; i++) {
        copy[i] = fields[i];
        copy[i].name = str_copy(arena, fields[i].name);
        copy[i].doc = fields[i].doc.ptr ? str_copy(arena, fields[i].doc) : STR_NONE;
        copy[i].type = type_copy(arena, fields[i].type);
    }
    return copy;
}

IceSchema *ice_schema_copy(Arena *arena, const IceSchema *schema)
{
    IceSchema *copy = arena_copy(arena, schema, sizeof *schema);
    copy->fields = fields_copy(arena, schema->fields, schema->field_count);
    copy->identifier_ids = NULL;
    if (schema->identifier_count)
        copy->identifier_ids =
            arena_copy(arena, schema->identifier_ids,
                       schema->identifier_count * sizeof *schema->identifier_ids);
    return copy;
}

static Code names_check(const IceField *fields, size_t count, size_t *total, Err *err)
{
    *total += count;
    if (*total > ICE_FIELDS_MAX)
        return err_set(err, E_LIMIT, "a schema has more than %d fields", ICE_FIELDS_MAX);
    for (size_t i = 0; i < count; i++) {
        Str name = fields[i].name;
        if (!name.len || name.len > ICE_NAME_MAX || !str_is_utf8(name) ||
            memchr(name.ptr, 0, name.len) != NULL)
            return err_set(err, E_INVALID, "column %zu has no usable name (1 to %d bytes of UTF-8)",
                           i + 1, ICE_NAME_MAX);
        for (size_t j = 0; j < i; j++)
            if (str_ieq(name, fields[j].name))
                return err_set(err, E_INVALID, "column '" STR_FMT "' comes twice", STR_ARG(name));
    }
    return E_OK;
}

/* Level by level, as the reference does: all fields of a struct before their insides. */
static Code ids_assign(Arena *arena, IceField *fields, size_t count, int32_t *last_id,
                       size_t *total, int depth, Err *err)
{
    if (depth > ICE_DEPTH_MAX)
        return err_set(err, E_LIMIT, "a schema is nested deeper than %d", ICE_DEPTH_MAX);
    TRY(names_check(fields, count, total, err));
    for (size_t i = 0; i < count; i++)
        if (!fields[i].id) {
            if (*last_id == INT32_MAX)
                return err_set(err, E_LIMIT, "no field ids are left");
            fields[i].id = ++*last_id;
        }
    for (size_t i = 0; i < count; i++) {
        if (!fields[i].type->field_count)
            continue;
        IceType *type = arena_copy(arena, fields[i].type, sizeof *type);
        type->fields = arena_copy(arena, type->fields, type->field_count * sizeof *type->fields);
        fields[i].type = type;
        TRY(ids_assign(arena, type->fields, type->field_count, last_id, total, depth + 1, err));
    }
    return E_OK;
}

Code ice_schema_assign_ids(Arena *arena, IceSchema *schema, int32_t *last_id, Err *err)
{
    size_t total = 0;
    return ids_assign(arena, schema->fields, schema->field_count, last_id, &total, 1, err);
}
