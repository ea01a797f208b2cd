#include "format/arrow_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ArrowType plain_type(char c)
{
    static const struct {
        char c;
        ArrowType type;
    } rows[] = {
        { 'n', { ARROW_NULL } },
        { 'b', { ARROW_BOOL, .bits = 1 } },
        { 'c', { ARROW_INT, .bits = 8, .is_signed = true } },
        { 'C', { ARROW_INT, .bits = 8 } },
        { 's', { ARROW_INT, .bits = 16, .is_signed = true } },
        { 'S', { ARROW_INT, .bits = 16 } },
        { 'i', { ARROW_INT, .bits = 32, .is_signed = true } },
        { 'I', { ARROW_INT, .bits = 32 } },
        { 'l', { ARROW_INT, .bits = 64, .is_signed = true } },
        { 'L', { ARROW_INT, .bits = 64 } },
        { 'e', { ARROW_FLOAT, .bits = 16 } },
        { 'f', { ARROW_FLOAT, .bits = 32 } },
        { 'g', { ARROW_FLOAT, .bits = 64 } },
        { 'u', { ARROW_UTF8 } },
        { 'U', { ARROW_UTF8, .large = true } },
        { 'z', { ARROW_BINARY } },
        { 'Z', { ARROW_BINARY, .large = true } },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].c == c)
            return rows[i].type;
    return (ArrowType){ ARROW_UNKNOWN };
}

static bool time_unit(char c, uint8_t *ret_unit)
{
    static const char units[] = "smun";
    const char *at = c ? strchr(units, c) : NULL;
    if (at)
        *ret_unit = (uint8_t)(at - units);
    return at != NULL;
}

static ArrowType time_type(const char *format)
{
    ArrowType unknown = { ARROW_UNKNOWN }, type = { ARROW_UNKNOWN, .bits = 64, .zone = "" };
    char kind = format[1], unit = kind ? format[2] : 0;
    if (kind == 'd')
        return unit == 'D'   ? (ArrowType){ ARROW_DATE, .bits = 32 }
               : unit == 'm' ? (ArrowType){ ARROW_DATE, .bits = 64 }
                             : unknown;
    if (kind == 'i') {
        type.kind = ARROW_INTERVAL;
        type.unit = unit == 'M' ? 0 : unit == 'D' ? 1 : 2;
        type.bits = unit == 'M' ? 32 : unit == 'D' ? 64 : 128;
        return unit && strchr("MDn", unit) ? type : unknown;
    }
    if (!time_unit(unit, &type.unit))
        return unknown;
    type.kind = kind == 't'   ? ARROW_TIME
                : kind == 's' ? ARROW_TIMESTAMP
                : kind == 'D' ? ARROW_DURATION
                              : ARROW_UNKNOWN;
    if (kind == 't')
        type.bits = type.unit <= 1 ? 32 : 64;
    if (kind == 's' && format[3] == ':')
        type.zone = format + 4;
    else if (kind == 's')
        return unknown;
    return type;
}

static ArrowType nested_type(const char *format)
{
    switch (format[1]) {
    case 'l':
        return (ArrowType){ ARROW_LIST };
    case 'L':
        return (ArrowType){ ARROW_LIST, .large = true };
    case 'w':
        return (ArrowType){ format[2] == ':' ? ARROW_FIXED_LIST : ARROW_UNKNOWN,
                            .len = format[2] == ':' ? strtoll(format + 3, NULL, 10) : 0 };
    case 's':
        return (ArrowType){ ARROW_STRUCT };
    case 'm':
        return (ArrowType){ ARROW_MAP };
    default:
        return (ArrowType){ ARROW_UNKNOWN };
    }
}

static ArrowType decimal_type(const char *format)
{
    int precision = 0, scale = 0, bits = 128;
    if (sscanf(format, "d:%d,%d,%d", &precision, &scale, &bits) < 2 ||
        (bits != 32 && bits != 64 && bits != 128))
        return (ArrowType){ ARROW_UNKNOWN };
    return (ArrowType){ ARROW_DECIMAL, .bits = (uint8_t)bits, .precision = precision,
                        .scale = scale };
}

ArrowType arrow_type_of(const char *format)
{
    if (!format || !format[0])
        return (ArrowType){ ARROW_UNKNOWN };
    if (!format[1])
        return plain_type(format[0]);
    if (format[0] == '+')
        return nested_type(format);
    if (format[0] == 't')
        return time_type(format);
    if (format[0] == 'd')
        return decimal_type(format);
    if (format[0] == 'w' && format[1] == ':')
        return (ArrowType){ ARROW_FIXED, .len = strtoll(format + 2, NULL, 10) };
    return (ArrowType){ ARROW_UNKNOWN };
}

int64_t arrow_buffer_count(const ArrowType *type)
{
    switch (type->kind) {
    case ARROW_UNKNOWN:
    case ARROW_NULL:
        return 0;
    case ARROW_FIXED_LIST:
    case ARROW_STRUCT:
        return 1;
    case ARROW_UTF8:
    case ARROW_BINARY:
        return 3;
    case ARROW_BOOL:
    case ARROW_INT:
    case ARROW_FLOAT:
    case ARROW_DECIMAL:
    case ARROW_FIXED:
    case ARROW_DATE:
    case ARROW_TIME:
    case ARROW_TIMESTAMP:
    case ARROW_DURATION:
    case ARROW_INTERVAL:
    case ARROW_LIST:
    case ARROW_MAP:
        return 2;
    }
    return 0;
}

size_t arrow_width(const ArrowType *type)
{
    return type->kind == ARROW_FIXED  ? (size_t)type->len
           : type->kind == ARROW_BOOL ? 0
                                      : type->bits / 8;
}

int64_t arrow_child_count(const ArrowType *type)
{
    if (type->kind == ARROW_STRUCT)
        return -1;
    return type->kind == ARROW_LIST || type->kind == ARROW_FIXED_LIST || type->kind == ARROW_MAP;
}

/* ---- schemas as values ---- */

void arrow_schema_done(ArrowSchema *schema)
{
    if (schema->release)
        schema->release(schema);
    schema->release = NULL;
}

void arrow_array_done(ArrowArray *array)
{
    if (array->release)
        array->release(array);
    array->release = NULL;
}

static void release_copy(ArrowSchema *schema)
{
    for (int64_t i = 0; i < schema->n_children; i++) {
        arrow_schema_done(schema->children[i]);
        free(schema->children[i]);
    }
    if (schema->dictionary)
        arrow_schema_done(schema->dictionary);
    free(schema->dictionary);
    free(schema->children);
    free((char *)(uintptr_t)schema->format);
    free((char *)(uintptr_t)schema->name);
    free((char *)(uintptr_t)schema->metadata);
    schema->release = NULL;
}

static char *copy_z(const char *text)
{
    size_t len = strlen(text ? text : "");
    char *copy = mem_new(len + 1);
    memcpy(copy, text ? text : "", len);
    return copy;
}

/* The length of the C interface's metadata: a count, then lengths and bytes, 32-bit native. */
static size_t metadata_len(const char *metadata)
{
    int32_t count, len;
    size_t at = sizeof count;
    memcpy(&count, metadata, sizeof count);
    for (int32_t i = 0; i < 2 * count; i++) {
        memcpy(&len, metadata + at, sizeof len);
        at += sizeof len + (size_t)len;
    }
    return at;
}

void arrow_schema_copy(const ArrowSchema *schema, ArrowSchema *ret_copy)
{
    ArrowSchema copy = { .flags = schema->flags,
                         .n_children = schema->n_children,
                         .release = release_copy };
    copy.format = copy_z(schema->format);
    copy.name = copy_z(schema->name);
    if (schema->metadata) {
        size_t len = metadata_len(schema->metadata);
        copy.metadata = memcpy(mem_new(len), schema->metadata, len);
    }
    if (copy.n_children > 0)
        copy.children = mem_new((size_t)copy.n_children * sizeof *copy.children);
    for (int64_t i = 0; i < copy.n_children; i++) {
        copy.children[i] = mem_new(sizeof *copy.children[i]);
        arrow_schema_copy(schema->children[i], copy.children[i]);
    }
    if (schema->dictionary) {
        copy.dictionary = mem_new(sizeof *copy.dictionary);
        arrow_schema_copy(schema->dictionary, copy.dictionary);
    }
    *ret_copy = copy;
}

/* ---- names of types ---- */

static void put_struct_name(Buf *out, const ArrowSchema *schema)
{
    buf_put(out, STR("STRUCT("));
    for (int64_t i = 0; i < schema->n_children; i++) {
        buf_put(out, i > 0 ? STR(", ") : STR(""));
        json_quote(out, str_z(schema->children[i]->name));
        buf_put_char(out, ' ');
        arrow_put_type_name(out, schema->children[i]);
    }
    buf_put_char(out, ')');
}

static void put_int_name(Buf *out, const ArrowType *type)
{
    const char *name = type->bits == 8    ? "TINYINT"
                       : type->bits == 16 ? "SMALLINT"
                       : type->bits == 32 ? "INTEGER"
                                          : "BIGINT";
    buf_format(out, "%s%s", type->is_signed ? "" : "U", name);
}

void arrow_put_type_name(Buf *out, const ArrowSchema *schema)
{
    ArrowType type = arrow_type_of(schema->format);
    static const char *const stamps[] = { "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP",
                                          "TIMESTAMP_NS" };
    if (schema->dictionary) {
        arrow_put_type_name(out, schema->dictionary);
        return;
    }
    switch (type.kind) {
    case ARROW_INT:
        put_int_name(out, &type);
        break;
    case ARROW_FLOAT:
        buf_put(out, type.bits == 64 ? STR("DOUBLE") : STR("FLOAT"));
        break;
    case ARROW_DECIMAL:
        buf_format(out, "DECIMAL(%d,%d)", type.precision, type.scale);
        break;
    case ARROW_TIMESTAMP:
        buf_put(out, str_z(type.zone[0] ? "TIMESTAMP WITH TIME ZONE" : stamps[type.unit]));
        break;
    case ARROW_LIST:
    case ARROW_FIXED_LIST:
        if (schema->n_children == 1)
            arrow_put_type_name(out, schema->children[0]);
        if (type.kind == ARROW_LIST)
            buf_put(out, STR("[]"));
        else
            buf_format(out, "[%lld]", (long long)type.len);
        break;
    case ARROW_STRUCT:
        put_struct_name(out, schema);
        break;
    case ARROW_MAP:
        buf_put(out, STR("MAP("));
        if (schema->n_children == 1 && schema->children[0]->n_children == 2) {
            arrow_put_type_name(out, schema->children[0]->children[0]);
            buf_put(out, STR(", "));
            arrow_put_type_name(out, schema->children[0]->children[1]);
        }
        buf_put_char(out, ')');
        break;
    case ARROW_UNKNOWN:
    case ARROW_NULL:
    case ARROW_BOOL:
    case ARROW_UTF8:
    case ARROW_BINARY:
    case ARROW_FIXED:
    case ARROW_DATE:
    case ARROW_TIME:
    case ARROW_DURATION:
    case ARROW_INTERVAL: {
        static const char *const names[] = {
            [ARROW_UNKNOWN] = "UNKNOWN",   [ARROW_NULL] = "NULL",   [ARROW_BOOL] = "BOOLEAN",
            [ARROW_UTF8] = "VARCHAR",      [ARROW_BINARY] = "BLOB", [ARROW_FIXED] = "BLOB",
            [ARROW_DATE] = "DATE",         [ARROW_TIME] = "TIME",   [ARROW_DURATION] = "INTERVAL",
            [ARROW_INTERVAL] = "INTERVAL",
        };
        buf_put(out, str_z(names[type.kind]));
    }
    }
}
