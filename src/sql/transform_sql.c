#include "sql/transform_sql.h"

#include <stdio.h>

static void put_name(Buf *buf, Str name)
{
    buf_put_char(buf, '"');
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '"')
            buf_put_char(buf, '"');
        buf_put_char(buf, name.ptr[i]);
    }
    buf_put_char(buf, '"');
}

/* `before` name `after` */
static void put_around(Buf *buf, const char *before, Str name, const char *after)
{
    buf_put(buf, str_z(before));
    put_name(buf, name);
    buf_put(buf, str_z(after));
}

static Code put_truncate(Buf *buf, int32_t width, const IceField *field, Err *err)
{
    char after[64];
    switch ((int)field->type->kind) {
    case ICE_STRING:
        snprintf(after, sizeof after, ", %d)", width);
        put_around(buf, "left(", field->name, after);
        return E_OK;
    case ICE_INT:
    case ICE_LONG: /* towards minus infinity */
        put_around(buf, "(", field->name, "::BIGINT - ");
        snprintf(after, sizeof after, "::BIGINT %% %d + %d) %% %d)", width, width, width);
        put_around(buf, "(", field->name, after);
        return E_OK;
    default:
        return err_set(err, E_UNSUPPORTED,
                       "truncate of the column " STR_FMT " cannot be written yet",
                       STR_ARG(field->name));
    }
}

Code transform_put_number(Buf *buf, IceTransform transform, const IceField *field, Err *err)
{
    char after[80];
    switch (transform.kind) {
    case TRANSFORM_IDENTITY:
        put_name(buf, field->name);
        return E_OK;
    case TRANSFORM_BUCKET:
        snprintf(after, sizeof after, ")::BIGINT & 2147483647) %% %d)", transform.width);
        put_around(buf, "((tarn_hash(", field->name, after);
        return E_OK;
    case TRANSFORM_TRUNCATE:
        return put_truncate(buf, transform.width, field, err);
    case TRANSFORM_YEAR:
        put_around(buf, "(year(", field->name, ") - 1970)");
        return E_OK;
    case TRANSFORM_MONTH:
        put_around(buf, "((year(", field->name, ") - 1970) * 12");
        put_around(buf, " + month(", field->name, ") - 1)");
        return E_OK;
    case TRANSFORM_DAY:
        put_around(buf, "(CAST(", field->name, " AS DATE) - DATE '1970-01-01')");
        return E_OK;
    case TRANSFORM_HOUR: /* towards minus infinity */
        put_around(buf, "((epoch_us(", field->name, ") - (epoch_us(");
        put_around(buf, "", field->name,
                   ") % 3600000000 + 3600000000) % 3600000000) // 3600000000)");
        return E_OK;
    case TRANSFORM_VOID:
        buf_put(buf, STR("NULL"));
        return E_OK;
    }
    return err_set(err, E_INTERNAL, "an unknown transform");
}

/* Times as numbers, so that no spelling of a time has to be read back. */
static void put_identity(Buf *buf, const IceField *field)
{
    switch ((int)field->type->kind) {
    case ICE_BOOLEAN:
        put_around(buf, "(", field->name, "::INTEGER)");
        break;
    case ICE_DATE:
        put_around(buf, "(", field->name, " - DATE '1970-01-01')");
        break;
    case ICE_TIME:
    case ICE_TIMESTAMP:
    case ICE_TIMESTAMPTZ:
        put_around(buf, "epoch_us(", field->name, ")");
        break;
    case ICE_BINARY:
    case ICE_FIXED:
        put_around(buf, "lower(hex(", field->name, "))");
        break;
    default:
        put_name(buf, field->name);
        break;
    }
}

Code transform_put_sql(Buf *buf, IceTransform transform, const IceField *field, Err *err)
{
    buf_put(buf, STR("CAST("));
    if (transform.kind == TRANSFORM_IDENTITY)
        put_identity(buf, field);
    else
        TRY(transform_put_number(buf, transform, field, err));
    buf_put(buf, STR(" AS VARCHAR)"));
    return E_OK;
}

Code transform_value(const IceType *type, Str text, Arena *arena, IceValue *ret_value, Err *err)
{
    if (!text.ptr) {
        *ret_value = ICE_NULL;
        return E_OK;
    }
    int64_t number;
    switch ((int)type->kind) {
    case ICE_BOOLEAN:
    case ICE_INT:
    case ICE_LONG:
    case ICE_DATE:
    case ICE_TIME:
    case ICE_TIMESTAMP:
    case ICE_TIMESTAMPTZ:
        if (!str_i64(text, &number))
            return err_set(err, E_INTERNAL, "'" STR_FMT "' is no partition value", STR_ARG(text));
        *ret_value = ice_value_i64(number);
        return E_OK;
    case ICE_STRING:
        *ret_value = ice_value_str(str_copy(arena, text));
        return E_OK;
    case ICE_FLOAT: /* the double of the float, not of its shortest text */
        TRY(ice_value_parse(type, text, arena, ret_value, err));
        ret_value->real = (double)(float)ret_value->real;
        return E_OK;
    default:
        return ice_value_parse(type, text, arena, ret_value, err);
    }
}
