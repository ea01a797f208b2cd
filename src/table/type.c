#include "table/type.h"

#include <stdio.h>
#include <string.h>

static const IceKindInfo KINDS[ICE_KIND_COUNT] = {
#define ICE_TYPE(kind, name, sql, parquet, bound) [ICE_##kind] = { name, sql, parquet, bound },
#define SQL_ALIAS(sql, kind)
#define SQL_UNSUPPORTED(sql, cast)
#include "table/types.def"
#undef ICE_TYPE
#undef SQL_ALIAS
#undef SQL_UNSUPPORTED
};

static const IceType SIMPLE[ICE_KIND_COUNT] = {
#define ICE_TYPE(a_kind, name, sql, parquet, bound) [ICE_##a_kind] = { .kind = ICE_##a_kind },
#define SQL_ALIAS(sql, a_kind)
#define SQL_UNSUPPORTED(sql, cast)
#include "table/types.def"
#undef ICE_TYPE
#undef SQL_ALIAS
#undef SQL_UNSUPPORTED
};

const IceKindInfo *ice_kind_info(IceKind kind)
{
    ASSERT((unsigned)kind < ICE_KIND_COUNT);
    return &KINDS[kind];
}

bool ice_is_nested(const IceType *type)
{
    return type->kind == ICE_STRUCT || type->kind == ICE_LIST || type->kind == ICE_MAP;
}

const IceType *ice_type_simple(IceKind kind)
{
    ASSERT((unsigned)kind < ICE_STRUCT && kind != ICE_DECIMAL && kind != ICE_FIXED);
    return &SIMPLE[kind];
}

static bool field_eq(const IceField *a, const IceField *b)
{
    return a->id == b->id && a->required == b->required && str_eq(a->name, b->name) &&
           str_eq(a->doc, b->doc) && ice_type_eq(a->type, b->type);
}

/* Depth is bounded by ICE_DEPTH_MAX: every maker of types keeps it. */
bool ice_type_eq(const IceType *a, const IceType *b)
{
    if (a->kind != b->kind || a->precision != b->precision || a->scale != b->scale ||
        a->length != b->length || a->field_count != b->field_count)
        return false;
    for (size_t i = 0; i < a->field_count; i++)
        if (!field_eq(&a->fields[i], &b->fields[i]))
            return false;
    return true;
}

bool ice_type_widens(const IceType *from, const IceType *to)
{
    if (from->kind == ICE_INT && to->kind == ICE_LONG)
        return true;
    if (from->kind == ICE_FLOAT && to->kind == ICE_DOUBLE)
        return true;
    if (from->kind == ICE_DECIMAL && to->kind == ICE_DECIMAL)
        return from->scale == to->scale && from->precision <= to->precision;
    return !ice_is_nested(from) && ice_type_eq(from, to);
}

Str ice_type_format(Arena *arena, const IceType *type)
{
    if (type->kind == ICE_DECIMAL)
        return str_format(arena, "decimal(%d, %d)", type->precision, type->scale);
    if (type->kind == ICE_FIXED)
        return str_format(arena, "fixed[%d]", type->length);
    return str_z(KINDS[type->kind].name);
}

static Code decimal_check(int64_t precision, int64_t scale, Err *err)
{
    if (precision < 1 || precision > 38 || scale < 0 || scale > precision)
        return err_set(err, E_TYPE,
                       "decimal(%lld,%lld): precision is 1 to 38, scale 0 to precision",
                       (long long)precision, (long long)scale);
    return E_OK;
}

/* "decimal(9, 2)": the two numbers between the parentheses. */
static Code decimal_parse(Arena *arena, Str text, const IceType **ret_type, Err *err)
{
    Str rest = str_sub(text, 8, text.len - 9);
    Str part;
    int64_t precision, scale;
    bool ok = str_split(&rest, ',', &part) && str_i64(str_trim(part), &precision) && rest.ptr &&
              str_i64(str_trim(rest), &scale);
    if (!ok)
        return err_set(err, E_CORRUPT, "type '" STR_FMT "' is no decimal", STR_ARG(text));
    TRY(decimal_check(precision, scale, err));
    IceType *type = arena_new(arena, IceType);
    *type =
        (IceType){ .kind = ICE_DECIMAL, .precision = (int32_t)precision, .scale = (int32_t)scale };
    *ret_type = type;
    return E_OK;
}

Code ice_type_parse(Arena *arena, Str text, const IceType **ret_type, Err *err)
{
    if (str_starts(text, STR("decimal(")) && str_ends(text, STR(")")))
        return decimal_parse(arena, text, ret_type, err);
    if (str_starts(text, STR("fixed[")) && str_ends(text, STR("]"))) {
        int64_t length;
        if (!str_i64(str_sub(text, 6, text.len - 7), &length) || length < 1 ||
            length > ICE_FIXED_MAX)
            return err_set(err, E_CORRUPT, "type '" STR_FMT "': length is 1 to %d", STR_ARG(text),
                           ICE_FIXED_MAX);
        IceType *type = arena_new(arena, IceType);
        *type = (IceType){ .kind = ICE_FIXED, .length = (int32_t)length };
        *ret_type = type;
        return E_OK;
    }
    for (int kind = 0; kind < ICE_STRUCT; kind++) {
        if (kind == ICE_DECIMAL || kind == ICE_FIXED || !str_eq(text, str_z(KINDS[kind].name)))
            continue;
        *ret_type = &SIMPLE[kind];
        return E_OK;
    }
    static const char *const V3[] = { "unknown", "timestamp_ns", "timestamptz_ns", "variant" };
    for (size_t i = 0; i < ARRAY_LEN(V3); i++)
        if (str_eq(text, str_z(V3[i])))
            return err_set(err, E_UNSUPPORTED, "type '%s' is of Iceberg v3", V3[i]);
    if (str_starts(text, STR("geometry")) || str_starts(text, STR("geography")))
        return err_set(err, E_UNSUPPORTED, "type '" STR_FMT "' is of Iceberg v3", STR_ARG(text));
    return err_set(err, E_CORRUPT, "type '" STR_FMT "' is unknown", STR_ARG(text));
}
