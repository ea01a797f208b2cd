/* Schema evolution (spec, "Schema evolution"): ids never change their meaning, dropped ids never
 * return. */
#include "table/catalog_priv.h"

#include <string.h>

typedef struct Change {
    Arena *arena;
    const TableMetadata *m;
    IceSchema *schema; /* a deep copy that changes */
    int32_t last_id;
    Err *err;
} Change;

/* The fields that hold `dotted`, and its place there. Copies are writable: types of a copied schema
 * are ours. */
typedef struct Slot {
    IceField **fields;
    size_t *count;
    size_t at;
} Slot;

static Code not_found(Change *c, Str column)
{
    Str nearest = ice_schema_nearest(c->schema, column);
    Code code =
        err_set(c->err, E_NOT_FOUND, "column '" STR_FMT "' is not in the table", STR_ARG(column));
    return nearest.len ? err_hint(c->err, code, "did you mean '" STR_FMT "'?", STR_ARG(nearest))
                       : code;
}

static bool slot_find(IceField **fields, size_t *count, const IceField *wanted, Slot *ret_slot)
{
    for (size_t i = 0; i < *count; i++) {
        IceField *field = &(*fields)[i];
        if (field == wanted) {
            *ret_slot = (Slot){ fields, count, i };
            return true;
        }
        IceType *type = (IceType *)field->type; /* a copy of ours: see change_begin */
        if (type->field_count && slot_find(&type->fields, &type->field_count, wanted, ret_slot))
            return true;
    }
    return false;
}

static Code slot_of(Change *c, Str column, Slot *ret_slot)
{
    const IceField *field = ice_schema_find(c->schema, column);
    if (!field || !slot_find(&c->schema->fields, &c->schema->field_count, field, ret_slot))
        return not_found(c, column);
    return E_OK;
}

static void change_begin(Change *c, Arena *arena, const TableMetadata *m, Err *err)
{
    *c = (Change){ arena, m, ice_schema_copy(arena, table_schema_current(m)), m->last_column_id,
                   err };
}

static bool is_top(const Change *c, const Slot *slot)
{
    return slot->fields == &c->schema->fields;
}

/* Is the column the source of the partition spec or the sort order in use? */
static const char *column_use(const TableMetadata *m, int32_t id)
{
    const IcePartitionSpec *spec = table_spec_default(m);
    for (size_t i = 0; i < spec->field_count; i++)
        if (spec->fields[i].source_id == id && spec->fields[i].transform.kind != TRANSFORM_VOID)
            return "the table is partitioned by it";
    const IceSortOrder *order = table_sort_order_default(m);
    for (size_t i = 0; i < order->field_count; i++)
        if (order->fields[i].source_id == id)
            return "the table is sorted by it";
    return NULL;
}

static Code add(Change *c, const SchemaChange *change)
{
    IceField **fields = &c->schema->fields;
    size_t *count = &c->schema->field_count;
    Str name = change->column;
    ptrdiff_t dot = str_rfind_char(change->column, '.');
    const IceField *parent =
        dot > 0 ? ice_schema_find(c->schema, str_sub(name, 0, (size_t)dot)) : NULL;
    if (parent && parent->type->kind == ICE_STRUCT) {
        IceType *type = (IceType *)parent->type;
        fields = &type->fields;
        count = &type->field_count;
        name = str_from(name, (size_t)dot + 1);
    }
    for (size_t i = 0; i < *count; i++)
        if (str_ieq((*fields)[i].name, name))
            return err_set(c->err, E_EXISTS, "column '" STR_FMT "' is there already",
                           STR_ARG(change->column));
    IceField *more = arena_array(c->arena, IceField, *count + 1);
    memcpy(more, *fields, *count * sizeof *more);
    more[*count] =
        (IceField){ .name = str_copy(c->arena, name),
                    .type = change->type,
                    .doc = change->text.ptr ? str_copy(c->arena, change->text) : STR_NONE };
    *fields = more;
    ++*count;
    return ice_schema_assign_ids(c->arena, c->schema, &c->last_id, c->err);
}

static Code drop(Change *c, const SchemaChange *change)
{
    Slot slot;
    TRY(slot_of(c, change->column, &slot));
    IceField *field = &(*slot.fields)[slot.at];
    const char *use = column_use(c->m, field->id);
    for (size_t i = 0; !use && i < c->schema->identifier_count; i++)
        use = c->schema->identifier_ids[i] == field->id ? "it identifies rows" : NULL;
    if (use)
        return err_set(c->err, E_PRECONDITION, "column '" STR_FMT "' cannot be dropped: %s",
                       STR_ARG(change->column), use);
    if (*slot.count == 1)
        return err_set(c->err, E_PRECONDITION, "column '" STR_FMT "' is the last one",
                       STR_ARG(change->column));
    if (!is_top(c, &slot))
        return err_set(c->err, E_UNSUPPORTED,
                       "column '" STR_FMT "': nested fields cannot be dropped yet",
                       STR_ARG(change->column));
    memmove(field, field + 1, (*slot.count - slot.at - 1) * sizeof *field);
    --*slot.count;
    return E_OK;
}

static Code rename_column(Change *c, const SchemaChange *change)
{
    Slot slot;
    TRY(slot_of(c, change->column, &slot));
    if (!is_top(c, &slot)) {
        Code code =
            err_set(c->err, E_UNSUPPORTED, "column '" STR_FMT "': nested fields cannot be renamed",
                    STR_ARG(change->column));
        return err_hint(c->err, code, "add a column with the new name and fill it");
    }
    for (size_t i = 0; i < *slot.count; i++)
        if (i != slot.at && str_ieq((*slot.fields)[i].name, change->text))
            return err_set(c->err, E_EXISTS, "column '" STR_FMT "' is there already",
                           STR_ARG(change->text));
    (*slot.fields)[slot.at].name = str_copy(c->arena, change->text);
    return ice_schema_assign_ids(c->arena, c->schema, &c->last_id, c->err); /* checks the name */
}

static Code widen(Change *c, const SchemaChange *change)
{
    Slot slot;
    TRY(slot_of(c, change->column, &slot));
    IceField *field = &(*slot.fields)[slot.at];
    if (!ice_type_widens(field->type, change->type)) {
        Str from = ice_type_to_sql(c->arena, field->type),
            to = ice_type_to_sql(c->arena, change->type);
        Code code =
            err_set(c->err, E_TYPE, "column '" STR_FMT "' cannot go from " STR_FMT " to " STR_FMT,
                    STR_ARG(change->column), STR_ARG(from), STR_ARG(to));
        return err_hint(c->err, code,
                        "allowed: INTEGER to BIGINT, FLOAT to DOUBLE, more digits of a DECIMAL");
    }
    field->type = change->type;
    return E_OK;
}

/* Takes the column out and puts it in at `to`. */
static Code move(Change *c, const SchemaChange *change, bool first)
{
    Slot slot, after = { 0 };
    TRY(slot_of(c, change->column, &slot));
    if (!first)
        TRY(slot_of(c, change->text, &after));
    if (!first && after.fields != slot.fields)
        return err_set(c->err, E_INVALID,
                       "column '" STR_FMT "' and '" STR_FMT "' are not in the same struct",
                       STR_ARG(change->column), STR_ARG(change->text));
    IceField *fields = *slot.fields, moved = fields[slot.at];
    if (!first && after.at == slot.at)
        return err_set(c->err, E_INVALID, "column '" STR_FMT "' cannot stand after itself",
                       STR_ARG(change->column));
    size_t to = first ? 0 : after.at + (after.at < slot.at);
    if (to < slot.at)
        memmove(&fields[to + 1], &fields[to], (slot.at - to) * sizeof *fields);
    else
        memmove(&fields[slot.at], &fields[slot.at + 1], (to - slot.at) * sizeof *fields);
    fields[to] = moved;
    return E_OK;
}

static Code apply_one(Change *c, const SchemaChange *change)
{
    Slot slot;
    switch (change->kind) {
    case SCHEMA_ADD:
        return add(c, change);
    case SCHEMA_DROP:
        return drop(c, change);
    case SCHEMA_RENAME:
        return rename_column(c, change);
    case SCHEMA_WIDEN:
        return widen(c, change);
    case SCHEMA_OPTIONAL:
        TRY(slot_of(c, change->column, &slot));
        (*slot.fields)[slot.at].required = false;
        return E_OK;
    case SCHEMA_DOC:
        TRY(slot_of(c, change->column, &slot));
        (*slot.fields)[slot.at].doc = str_copy(c->arena, change->text);
        return E_OK;
    case SCHEMA_FIRST:
        return move(c, change, true);
    case SCHEMA_AFTER:
        return move(c, change, false);
    }
    return E_OK;
}

static int32_t schema_id_next(const TableMetadata *m)
{
    int32_t id = -1;
    for (size_t i = 0; i < m->schema_count; i++)
        id = MAX(id, m->schemas[i].id);
    return id + 1;
}

Code catalog_schema_apply(const TableMetadata *metadata, const SchemaChange *changes, size_t count,
                          Arena *arena, IceSchema **ret_schema, Err *err)
{
    if (count > SCHEMA_CHANGES_MAX)
        return err_set(err, E_LIMIT, "more than %d schema changes at once", SCHEMA_CHANGES_MAX);
    Change c;
    change_begin(&c, arena, metadata, err);
    for (size_t i = 0; i < count; i++)
        TRY(apply_one(&c, &changes[i]));
    c.schema->id = schema_id_next(metadata);
    *ret_schema = c.schema;
    return E_OK;
}

/* Ids of `old` for equal names, level by level. */
static Code ids_take(Change *c, const IceField *old, size_t old_count, IceField *fields,
                     size_t count, Str path)
{
    for (size_t i = 0; i < count; i++) {
        const IceField *match = NULL;
        fields[i].id = 0;
        for (size_t j = 0; j < old_count; j++)
            if (str_ieq(old[j].name, fields[i].name))
                match = &old[j];
        IceType *type = (IceType *)fields[i].type;
        for (size_t j = 0; j < type->field_count; j++)
            TRY(ids_take(c, NULL, 0, &type->fields[j], 1, path));
        if (!match)
            continue;
        if (ice_is_nested(type) && match->type->kind == type->kind) {
            fields[i].id = match->id;
            TRY(ids_take(c, match->type->fields, match->type->field_count, type->fields,
                         type->field_count, path));
        } else if (!ice_is_nested(type) && ice_type_widens(match->type, type)) {
            fields[i].id = match->id;
        } /* another type is another column: it gets a new id, old values are not reinterpreted */
        if (fields[i].id && !fields[i].doc.ptr)
            fields[i].doc = match->doc;
    }
    return E_OK;
}

Code catalog_schema_plan(const TableMetadata *metadata, const IceField *columns, size_t count,
                         Arena *arena, IceSchema **ret_schema, Err *err)
{
    const IceSchema *current = table_schema_current(metadata);
    IceSchema wanted = { .fields = (IceField *)columns, .field_count = count };
    Change c = { arena, metadata, ice_schema_copy(arena, &wanted), metadata->last_column_id, err };
    TRY(ids_take(&c, current->fields, current->field_count, c.schema->fields, count, STR_NONE));
    TRY(ice_schema_assign_ids(arena, c.schema, &c.last_id, err));
    c.schema->id = schema_id_next(metadata);
    *ret_schema = c.schema;
    return E_OK;
}

static bool schema_same(const IceSchema *a, const IceSchema *b)
{
    IceType left = { .kind = ICE_STRUCT, .fields = a->fields, .field_count = a->field_count };
    IceType right = { .kind = ICE_STRUCT, .fields = b->fields, .field_count = b->field_count };
    return a->identifier_count == b->identifier_count && ice_type_eq(&left, &right);
}

static int32_t id_max(const IceField *fields, size_t count)
{
    int32_t most = 0;
    for (size_t i = 0; i < count; i++)
        most = MAX(most,
                   MAX(fields[i].id, id_max(fields[i].type->fields, fields[i].type->field_count)));
    return most;
}

/* Makes `schema` the current one; an equal older one is taken instead of a new line. */
Code schema_install(Arena *arena, TableMetadata *m, const IceSchema *schema, Err *err)
{
    const IcePartitionSpec *spec = table_spec_default(m);
    for (size_t i = 0; i < spec->field_count; i++)
        if (spec->fields[i].transform.kind != TRANSFORM_VOID &&
            !ice_schema_field(schema, spec->fields[i].source_id))
            return err_set(err, E_PRECONDITION,
                           "the new schema lacks a column that the table is partitioned by");
    m->last_column_id = MAX(m->last_column_id, id_max(schema->fields, schema->field_count));
    for (size_t i = 0; i < m->schema_count; i++)
        if (schema_same(&m->schemas[i], schema)) {
            m->current_schema_id = m->schemas[i].id;
            return E_OK;
        }
    if (m->schema_count >= SCHEMAS_MAX)
        return err_set(err, E_LIMIT, "the table has %d schemas", SCHEMAS_MAX);
    IceSchema *schemas = arena_array(arena, IceSchema, m->schema_count + 1);
    memcpy(schemas, m->schemas, m->schema_count * sizeof *schemas);
    IceSchema *added = ice_schema_copy(arena, schema);
    added->id = schema_id_next(m);
    schemas[m->schema_count++] = *added;
    m->schemas = schemas;
    m->current_schema_id = added->id;
    return E_OK;
}

static bool fields_covered(const IceSchema *current, const IceField *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const IceField *now = ice_schema_field(current, fields[i].id);
        if (!now || (!ice_is_nested(now->type) && !ice_type_widens(fields[i].type, now->type)) ||
            !fields_covered(current, fields[i].type->fields, fields[i].type->field_count))
            return false;
    }
    return true;
}

bool schema_covers(const TableMetadata *m, const IceSchema *written)
{
    return fields_covered(table_schema_current(m), written->fields, written->field_count);
}
