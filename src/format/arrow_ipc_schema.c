/* The Schema message: Schema.fbs of Arrow; slot numbers stand in the enums. */
#include "format/arrow_ipc_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FORMAT_TEXT_MAX = 256 };
enum { SCHEMA_ENDIAN, SCHEMA_FIELDS, SCHEMA_METADATA };
enum {
    FIELD_NAME,
    FIELD_NULLABLE,
    FIELD_TYPE_KIND,
    FIELD_TYPE,
    FIELD_DICTIONARY,
    FIELD_CHILDREN,
    FIELD_METADATA
};

/* The union Type. */
enum {
    T_NULL = 1,
    T_INT,
    T_FLOAT,
    T_BINARY,
    T_UTF8,
    T_BOOL,
    T_DECIMAL,
    T_DATE,
    T_TIME,
    T_TIMESTAMP,
    T_INTERVAL,
    T_LIST,
    T_STRUCT,
    T_UNION,
    T_FIXED,
    T_FIXED_LIST,
    T_MAP,
    T_DURATION,
    T_LARGE_BINARY,
    T_LARGE_UTF8,
    T_LARGE_LIST
};

ArrowType ipc_written_type(const ArrowSchema *schema)
{
    if (!schema->dictionary)
        return arrow_type_of(schema->format);
    ArrowType values = arrow_type_of(schema->dictionary->format);
    if (values.kind != ARROW_UTF8 || schema->dictionary->dictionary)
        return (ArrowType){ ARROW_UNKNOWN };
    return values;
}

/* ---- writing ---- */

/* The table of a type and its place in the union. */
static FlatRef put_type(FlatBuilder *b, const ArrowSchema *schema, const ArrowType *type,
                        uint8_t *ret_kind)
{
    static const uint8_t kinds[] = {
        [ARROW_NULL] = T_NULL,
        [ARROW_BOOL] = T_BOOL,
        [ARROW_INT] = T_INT,
        [ARROW_FLOAT] = T_FLOAT,
        [ARROW_DECIMAL] = T_DECIMAL,
        [ARROW_UTF8] = T_UTF8,
        [ARROW_BINARY] = T_BINARY,
        [ARROW_FIXED] = T_FIXED,
        [ARROW_DATE] = T_DATE,
        [ARROW_TIME] = T_TIME,
        [ARROW_TIMESTAMP] = T_TIMESTAMP,
        [ARROW_DURATION] = T_DURATION,
        [ARROW_INTERVAL] = T_INTERVAL,
        [ARROW_LIST] = T_LIST,
        [ARROW_FIXED_LIST] = T_FIXED_LIST,
        [ARROW_STRUCT] = T_STRUCT,
        [ARROW_MAP] = T_MAP,
    };
    uint8_t kind = kinds[type->kind];
    if (type->large)
        kind = kind == T_UTF8 ? T_LARGE_UTF8 : kind == T_BINARY ? T_LARGE_BINARY : T_LARGE_LIST;
    FlatRef zone =
        type->kind == ARROW_TIMESTAMP && type->zone[0] ? flat_put_str(b, str_z(type->zone)) : 0;
    flat_table_begin(b);
    if (type->kind == ARROW_INT) {
        flat_add(b, 0, type->bits, 4);
        flat_add(b, 1, type->is_signed, 1);
    } else if (type->kind == ARROW_FLOAT) {
        flat_add(b, 0, type->bits == 16 ? 0 : type->bits == 32 ? 1 : 2, 2);
    } else if (type->kind == ARROW_DECIMAL) {
        flat_add(b, 0, (uint32_t)type->precision, 4);
        flat_add(b, 1, (uint32_t)type->scale, 4);
        flat_add(b, 2, type->bits, 4);
    } else if (type->kind == ARROW_DATE) {
        flat_add(b, 0, type->bits == 64, 2);
    } else if (type->kind == ARROW_TIME) {
        flat_add(b, 1, type->bits, 4);
        flat_add(b, 0, type->unit, 2);
    } else if (type->kind == ARROW_TIMESTAMP || type->kind == ARROW_DURATION ||
               type->kind == ARROW_INTERVAL) {
        flat_add_ref(b, 1, zone);
        flat_add(b, 0, type->unit, 2);
    } else if (type->kind == ARROW_FIXED || type->kind == ARROW_FIXED_LIST) {
        flat_add(b, 0, (uint64_t)type->len, 4);
    } else if (type->kind == ARROW_MAP) {
        flat_add(b, 0, (schema->flags & ARROW_FLAG_MAP_KEYS_SORTED) != 0, 1);
    }
    *ret_kind = kind;
    return flat_table_end(b);
}

/* The C interface's metadata as a vector of KeyValue tables; 0: none. */
static FlatRef put_metadata(FlatBuilder *b, const char *metadata)
{
    enum { PAIRS_MAX = 64 };
    FlatRef pairs[PAIRS_MAX];
    int32_t count = 0, len;
    if (!metadata)
        return 0;
    memcpy(&count, metadata, sizeof count);
    metadata += sizeof count;
    if (count <= 0 || count > PAIRS_MAX)
        return 0;
    for (int32_t i = 0; i < count; i++) {
        FlatRef parts[2];
        for (int part = 0; part < 2; part++) {
            memcpy(&len, metadata, sizeof len);
            parts[part] = flat_put_str(b, str_of(metadata + sizeof len, (size_t)len));
            metadata += sizeof len + (size_t)len;
        }
        flat_table_begin(b);
        flat_add_ref(b, 0, parts[0]);
        flat_add_ref(b, 1, parts[1]);
        pairs[i] = flat_table_end(b);
    }
    return flat_put_refs(b, pairs, (size_t)count);
}

static Code put_field(FlatBuilder *b, const ArrowSchema *schema, unsigned depth, FlatRef *ret_field,
                      Err *err);

static Code put_children(FlatBuilder *b, const ArrowSchema *schema, unsigned depth,
                         FlatRef *ret_vector, Err *err)
{
    if (schema->n_children < 0 || schema->n_children > ARROW_COLUMNS_MAX)
        return err_set(err, E_LIMIT, "Arrow: %lld columns", (long long)schema->n_children);
    Arena tmp AUTO(arena_done) = { 0 };
    size_t count = (size_t)schema->n_children;
    FlatRef *fields = arena_array(&tmp, FlatRef, count + 1);
    for (size_t i = 0; i < count; i++)
        TRY(put_field(b, schema->children[i], depth + 1, &fields[i], err));
    *ret_vector = flat_put_refs(b, fields, count);
    return E_OK;
}

static Code put_field(FlatBuilder *b, const ArrowSchema *schema, unsigned depth, FlatRef *ret_field,
                      Err *err)
{
    ArrowType type = ipc_written_type(schema);
    if (type.kind == ARROW_UNKNOWN)
        return err_set(err, E_UNSUPPORTED, "Arrow: column '%s' has a type that cannot be sent (%s)",
                       schema->name ? schema->name : "", schema->format);
    if (depth > ARROW_DEPTH_MAX)
        return err_set(err, E_LIMIT, "Arrow: column '%s' is nested deeper than %d levels",
                       schema->name ? schema->name : "", ARROW_DEPTH_MAX);
    FlatRef children = 0;
    TRY(put_children(b, schema, depth, &children, err));
    uint8_t kind;
    FlatRef metadata = put_metadata(b, schema->metadata);
    FlatRef name = flat_put_str(b, str_z(schema->name));
    FlatRef type_ref = put_type(b, schema, &type, &kind);
    flat_table_begin(b);
    flat_add_ref(b, FIELD_NAME, name);
    flat_add_ref(b, FIELD_TYPE, type_ref);
    flat_add_ref(b, FIELD_CHILDREN, children);
    flat_add_ref(b, FIELD_METADATA, metadata);
    flat_add(b, FIELD_NULLABLE, (schema->flags & ARROW_FLAG_NULLABLE) != 0, 1);
    flat_add(b, FIELD_TYPE_KIND, kind, 1);
    *ret_field = flat_table_end(b);
    return E_OK;
}

Code arrow_ipc_schema_put(Buf *out, const ArrowSchema *schema, Err *err)
{
    FlatBuilder b AUTO(flat_builder_done) = { 0 };
    FlatRef fields = 0;
    TRY(put_children(&b, schema, 0, &fields, err));
    flat_table_begin(&b);
    flat_add_ref(&b, SCHEMA_FIELDS, fields);
    flat_add(&b, SCHEMA_ENDIAN, 0, 2);
    return ipc_message_put(out, &b, IPC_HEADER_SCHEMA, flat_table_end(&b), 0, err);
}

/* ---- reading ---- */

typedef struct SchemaGet {
    Flat *flat;
    size_t nodes; /* so far: tables may be shared, so that depth alone does not bound them */
    Err *err;
} SchemaGet;

static void release_node(ArrowSchema *schema)
{
    for (int64_t i = 0; i < schema->n_children; i++) {
        if (schema->children[i])
            arrow_schema_done(schema->children[i]);
        free(schema->children[i]);
    }
    free(schema->children);
    free((char *)(uintptr_t)schema->format);
    free((char *)(uintptr_t)schema->name);
    schema->release = NULL;
}

static char *owned_z(Str text)
{
    char *copy = mem_new(text.len + 1);
    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    return copy;
}

static const char unit_letters[] = "smun";

static bool unit_ok(int16_t unit)
{
    return unit >= 0 && unit <= 3;
}

/* The format string of a type of time; false: there is none such. */
static bool time_format_of(Flat *flat, uint8_t kind, FlatTable type, char text[FORMAT_TEXT_MAX])
{
    int16_t unit = flat_i16(flat, type, 0, kind == T_TIMESTAMP || kind == T_INTERVAL ? 0 : 1);
    Str zone = kind == T_TIMESTAMP ? flat_str(flat, type, 1) : STR_NONE;
    if (kind == T_DATE && (unit == 0 || unit == 1))
        snprintf(text, FORMAT_TEXT_MAX, unit == 0 ? "tdD" : "tdm");
    else if (kind == T_INTERVAL && unit >= 0 && unit <= 2)
        snprintf(text, FORMAT_TEXT_MAX, "ti%c", "MDn"[unit]);
    else if (kind == T_TIME && unit_ok(unit) &&
             flat_i32(flat, type, 1, 32) == (unit <= 1 ? 32 : 64))
        snprintf(text, FORMAT_TEXT_MAX, "tt%c", unit_letters[unit]);
    else if (kind == T_DURATION && unit_ok(unit))
        snprintf(text, FORMAT_TEXT_MAX, "tD%c", unit_letters[unit]);
    else if (kind == T_TIMESTAMP && unit_ok(unit) && zone.len < FORMAT_TEXT_MAX / 2)
        snprintf(text, FORMAT_TEXT_MAX, "ts%c:" STR_FMT, unit_letters[unit], STR_ARG(zone));
    else
        return false;
    return true;
}

static bool number_format_of(Flat *flat, uint8_t kind, FlatTable type, char text[FORMAT_TEXT_MAX])
{
    if (kind == T_INT) {
        int32_t bits = flat_i32(flat, type, 0, 0);
        int at = bits == 8 ? 0 : bits == 16 ? 1 : bits == 32 ? 2 : bits == 64 ? 3 : -1;
        if (at < 0)
            return false;
        snprintf(text, FORMAT_TEXT_MAX, "%c", (flat_u8(flat, type, 1, 0) ? "csil" : "CSIL")[at]);
    } else if (kind == T_FLOAT) {
        int16_t precision = flat_i16(flat, type, 0, 0);
        if (precision < 0 || precision > 2)
            return false;
        snprintf(text, FORMAT_TEXT_MAX, "%c", "efg"[precision]);
    } else {
        int32_t precision = flat_i32(flat, type, 0, 0), scale = flat_i32(flat, type, 1, 0);
        int32_t bits = flat_i32(flat, type, 2, 128);
        if (precision < 1 || precision > 38 || scale < 0 || scale > precision || bits != 128)
            return false;
        snprintf(text, FORMAT_TEXT_MAX, "d:%d,%d", precision, scale);
    }
    return true;
}

static bool format_of(Flat *flat, uint8_t kind, FlatTable type, char text[FORMAT_TEXT_MAX])
{
    static const char *const plain[] = {
        [T_NULL] = "n",       [T_BINARY] = "z",      [T_UTF8] = "u", [T_BOOL] = "b",
        [T_LIST] = "+l",      [T_STRUCT] = "+s",     [T_MAP] = "+m", [T_LARGE_BINARY] = "Z",
        [T_LARGE_UTF8] = "U", [T_LARGE_LIST] = "+L",
    };
    if (kind < ARRAY_LEN(plain) && plain[kind]) {
        snprintf(text, FORMAT_TEXT_MAX, "%s", plain[kind]);
        return true;
    }
    if (kind == T_INT || kind == T_FLOAT || kind == T_DECIMAL)
        return number_format_of(flat, kind, type, text);
    if (kind == T_FIXED || kind == T_FIXED_LIST) {
        int32_t len = flat_i32(flat, type, 0, 0);
        snprintf(text, FORMAT_TEXT_MAX, kind == T_FIXED ? "w:%d" : "+w:%d", len);
        return len > 0;
    }
    return time_format_of(flat, kind, type, text);
}

static Code get_field(SchemaGet *get, FlatTable field, unsigned depth, ArrowSchema *ret_schema);

static Code get_children(SchemaGet *get, FlatVector fields, unsigned depth, ArrowSchema *schema)
{
    if (fields.count > ARROW_COLUMNS_MAX || get->nodes + fields.count > ARROW_NODES_MAX ||
        depth > ARROW_DEPTH_MAX)
        return err_set(get->err, E_LIMIT, "Arrow schema with too many columns or too deep");
    get->nodes += fields.count;
    if (fields.count > 0)
        schema->children = mem_new(fields.count * sizeof *schema->children);
    for (size_t i = 0; i < fields.count; i++) {
        schema->children[i] = mem_new(sizeof *schema->children[i]);
        schema->n_children++;
        TRY(get_field(get, flat_vector_table(get->flat, fields, i), depth, schema->children[i]));
    }
    return E_OK;
}

static bool children_fit(const ArrowSchema *schema)
{
    ArrowType type = arrow_type_of(schema->format);
    int64_t wanted = arrow_child_count(&type);
    if (wanted >= 0 && schema->n_children != wanted)
        return false;
    if (type.kind != ARROW_MAP)
        return true;
    const ArrowSchema *entries = schema->children[0];
    return arrow_type_of(entries->format).kind == ARROW_STRUCT && entries->n_children == 2;
}

static Code get_field(SchemaGet *get, FlatTable field, unsigned depth, ArrowSchema *ret_schema)
{
    Flat *flat = get->flat;
    char format[FORMAT_TEXT_MAX] = "";
    ArrowSchema schema AUTO(arrow_schema_done) = { .release = release_node };
    uint8_t kind = flat_u8(flat, field, FIELD_TYPE_KIND, 0);
    bool known = format_of(flat, kind, flat_table(flat, field, FIELD_TYPE), format);
    bool dictionary = flat_table(flat, field, FIELD_DICTIONARY).at != 0;
    if (flat->failure)
        return err_set(get->err, E_CORRUPT, "Arrow schema: %s", flat->failure);
    if (!known || dictionary)
        return err_set(get->err, E_UNSUPPORTED,
                       "Arrow schema: a type or a dictionary that is not read");
    schema.format = owned_z(str_z(format));
    schema.name = owned_z(flat_str(flat, field, FIELD_NAME));
    schema.flags = flat_u8(flat, field, FIELD_NULLABLE, 0) ? ARROW_FLAG_NULLABLE : 0;
    TRY(get_children(get, flat_vector(flat, field, FIELD_CHILDREN, 4), depth + 1, &schema));
    if (flat->failure)
        return err_set(get->err, E_CORRUPT, "Arrow schema: %s", flat->failure);
    if (!children_fit(&schema))
        return err_set(get->err, E_CORRUPT,
                       "Arrow schema: '%s' does not have the children of its type", schema.name);
    *ret_schema = schema;
    schema.release = NULL;
    return E_OK;
}

Code ipc_schema_get(Flat *flat, FlatTable header, ArrowSchema *ret_schema, Err *err)
{
    SchemaGet get = { .flat = flat, .err = err };
    ArrowSchema schema AUTO(arrow_schema_done) = { .release = release_node };
    schema.format = owned_z(STR("+s"));
    schema.name = owned_z(STR(""));
    if (flat_i16(flat, header, SCHEMA_ENDIAN, 0) != 0)
        return err_set(err, E_UNSUPPORTED, "Arrow schema of a big-endian machine");
    TRY(get_children(&get, flat_vector(flat, header, SCHEMA_FIELDS, 4), 0, &schema));
    if (flat->failure)
        return err_set(err, E_CORRUPT, "Arrow schema: %s", flat->failure);
    *ret_schema = schema;
    schema.release = NULL;
    return E_OK;
}
