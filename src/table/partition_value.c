/* Partition values: their types, and their Avro form (spec, appendix A). */
#include "table/manifest_priv.h"

#include <math.h>
#include <string.h>

static const IceField *field_in_any_schema(const TableMetadata *metadata, int32_t id)
{
    const IceSchema *current = table_schema_current(metadata);
    const IceField *field = current ? ice_schema_field(current, id) : NULL;
    for (size_t i = metadata->schema_count; !field && i-- > 0;)
        field = ice_schema_field(&metadata->schemas[i], id);
    return field;
}

Code partition_types(const TableMetadata *metadata, const IcePartitionSpec *spec, Arena *arena,
                     const IceType ***ret_types, Err *err)
{
    const IceType **types = arena_array(arena, const IceType *, spec->field_count + 1);
    for (size_t i = 0; i < spec->field_count; i++) {
        const IcePartitionField *field = &spec->fields[i];
        const IceField *source = field_in_any_schema(metadata, field->source_id);
        if (!source)
            return err_set(err, E_CORRUPT,
                           "partition field '" STR_FMT "': its source column %d is in no schema",
                           STR_ARG(field->name), field->source_id);
        TRY(ice_transform_type(field->transform, source->type, &types[i], err));
    }
    *ret_types = types;
    return E_OK;
}

/* Two's complement, big endian, sign-extended to the fixed length of the precision. */
static AvroValue decimal_to_avro(Arena *arena, const IceType *type, __int128 value)
{
    size_t len = decimal_fixed_len(type->precision);
    char *bytes = arena_alloc(arena, len);
    for (size_t i = 0; i < len; i++)
        bytes[len - 1 - i] = (char)(value >> (8 * i));
    return avro_fixed(str_of(bytes, len));
}

AvroValue partition_value_to_avro(Arena *arena, const IceType *type, const IceValue *value)
{
    if (!value->present)
        return avro_null();
    switch (type->kind) {
    case ICE_BOOLEAN:
        return avro_boolean(value->number != 0);
    case ICE_INT:
    case ICE_DATE:
        return avro_int((int32_t)value->number);
    case ICE_LONG:
    case ICE_TIME:
    case ICE_TIMESTAMP:
    case ICE_TIMESTAMPTZ:
        return avro_long(value->number);
    case ICE_FLOAT:
        return avro_float((float)value->real);
    case ICE_DOUBLE:
        return avro_double(value->real);
    case ICE_DECIMAL:
        return decimal_to_avro(arena, type, value->decimal);
    case ICE_STRING:
        return avro_string(value->bytes);
    case ICE_UUID:
    case ICE_FIXED:
        return avro_fixed(value->bytes);
    case ICE_BINARY:
        return avro_bytes(value->bytes);
    case ICE_STRUCT:
    case ICE_LIST:
    case ICE_MAP:
    case ICE_KIND_COUNT:
        break;
    }
    return avro_null();
}

static Code mismatch(const IceType *type, Err *err)
{
    return err_set(err, E_CORRUPT, "manifest: a partition value is not of type %s",
                   ice_kind_info(type->kind)->name);
}

Code partition_value_from_avro(const IceType *type, const AvroValue *avro, IceValue *ret_value,
                               Err *err)
{
    if (!avro || avro->kind == AVRO_NULL) {
        *ret_value = ICE_NULL;
        return E_OK;
    }
    IceValue value = { .present = true };
    switch (ice_kind_info(type->kind)->bound) {
    case BOUND_BOOL:
        if (avro->kind != AVRO_BOOLEAN)
            return mismatch(type, err);
        value.number = avro->truth;
        break;
    case BOUND_I32:
    case BOUND_I64:
        if (avro->kind != AVRO_INT && avro->kind != AVRO_LONG)
            return mismatch(type, err);
        value.number = avro->integer;
        break;
    case BOUND_F32:
    case BOUND_F64:
        if (avro->kind != AVRO_FLOAT && avro->kind != AVRO_DOUBLE)
            return mismatch(type, err);
        value.real = avro->real;
        break;
    case BOUND_DECIMAL:
        if (avro->kind != AVRO_FIXED && avro->kind != AVRO_BYTES)
            return mismatch(type, err);
        TRY(ice_value_decode(type, avro->bytes, &value, err));
        break;
    case BOUND_BYTES:
        if (avro->kind != AVRO_FIXED && avro->kind != AVRO_BYTES && avro->kind != AVRO_STRING)
            return mismatch(type, err);
        TRY(ice_value_decode(type, avro->bytes, &value, err));
        break;
    case BOUND_NONE:
        return mismatch(type, err);
    }
    *ret_value = value;
    return E_OK;
}

int64_t avro_i64_or(const AvroSchema *record, const AvroValue *value, int32_t field_id,
                    int64_t fallback)
{
    const AvroValue *field = avro_field_by_id(record, value, field_id);
    return field && (field->kind == AVRO_INT || field->kind == AVRO_LONG) ? field->integer
                                                                          : fallback;
}
