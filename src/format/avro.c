/* Values and their bytes: the encoder and the decoder of one kind stand beside each other. */
#include "format/avro.h"

#include <string.h>

/* ---- values ---- */

AvroValue avro_null(void)
{
    return (AvroValue){ .kind = AVRO_NULL };
}

AvroValue avro_boolean(bool truth)
{
    return (AvroValue){ .kind = AVRO_BOOLEAN, .truth = truth };
}

AvroValue avro_int(int32_t number)
{
    return (AvroValue){ .kind = AVRO_INT, .integer = number };
}

AvroValue avro_long(int64_t number)
{
    return (AvroValue){ .kind = AVRO_LONG, .integer = number };
}

AvroValue avro_double(double number)
{
    return (AvroValue){ .kind = AVRO_DOUBLE, .real = number };
}

AvroValue avro_float(float number)
{
    return (AvroValue){ .kind = AVRO_FLOAT, .real = number };
}

AvroValue avro_bytes(Str bytes)
{
    return (AvroValue){ .kind = AVRO_BYTES, .bytes = bytes };
}

AvroValue avro_string(Str text)
{
    return (AvroValue){ .kind = AVRO_STRING, .bytes = text };
}

AvroValue avro_fixed(Str bytes)
{
    return (AvroValue){ .kind = AVRO_FIXED, .bytes = bytes };
}

AvroValue avro_list(AvroValue *items, size_t count)
{
    return (AvroValue){ .kind = AVRO_ARRAY, .items = items, .count = count };
}

AvroValue avro_map(Str *keys, AvroValue *values, size_t count)
{
    return (AvroValue){ .kind = AVRO_MAP, .items = values, .keys = keys, .count = count };
}

AvroValue avro_record(AvroValue *fields, size_t count)
{
    return (AvroValue){ .kind = AVRO_RECORD, .items = fields, .count = count };
}

const AvroValue *avro_field(const AvroSchema *record, const AvroValue *value, Str name)
{
    if (value->kind != AVRO_RECORD)
        return NULL;
    for (size_t i = 0; i < MIN(record->field_count, value->count); i++)
        if (str_eq(record->fields[i].name, name))
            return &value->items[i];
    return NULL;
}

const AvroValue *avro_field_by_id(const AvroSchema *record, const AvroValue *value,
                                  int32_t field_id)
{
    if (value->kind != AVRO_RECORD || field_id < 0)
        return NULL;
    for (size_t i = 0; i < MIN(record->field_count, value->count); i++)
        if (record->fields[i].field_id == field_id)
            return &value->items[i];
    return NULL;
}

/* ---- encoding ---- */

static const char *kind_name(AvroKind kind)
{
    static const char *const names[] = { "null",   "boolean", "int",    "long",  "float",
                                         "double", "bytes",   "string", "fixed", "enum",
                                         "array",  "map",     "record", "union" };
    return names[kind];
}

/* Whether a value may be written where `schema` stands. */
static bool fits(const AvroSchema *schema, const AvroValue *value)
{
    switch (schema->kind) {
    case AVRO_INT:
        return (value->kind == AVRO_INT || value->kind == AVRO_LONG) &&
               value->integer >= INT32_MIN && value->integer <= INT32_MAX;
    case AVRO_LONG:
        return value->kind == AVRO_INT || value->kind == AVRO_LONG;
    case AVRO_FLOAT:
    case AVRO_DOUBLE:
        return value->kind == AVRO_FLOAT || value->kind == AVRO_DOUBLE;
    case AVRO_FIXED:
        return (value->kind == AVRO_FIXED || value->kind == AVRO_BYTES) &&
               value->bytes.len == schema->fixed_len;
    case AVRO_ENUM:
        return value->kind == AVRO_ENUM && value->integer >= 0 &&
               (size_t)value->integer < schema->symbol_count;
    case AVRO_RECORD:
        return value->kind == AVRO_RECORD && value->count == schema->field_count;
    case AVRO_NULL:
    case AVRO_BOOLEAN:
    case AVRO_BYTES:
    case AVRO_STRING:
    case AVRO_ARRAY:
    case AVRO_MAP:
        return value->kind == schema->kind;
    case AVRO_UNION:
        break;
    }
    return false;
}

static Code no_fit(const AvroSchema *schema, const AvroValue *value, Err *err)
{
    return err_set(
        err, E_INVALID, "Avro: %s%s cannot hold this %s%s", kind_name(schema->kind),
        schema->name.len > 0 ? " (named)" : "", kind_name(value->kind),
        schema->kind == AVRO_RECORD && value->kind == AVRO_RECORD ? ": not as many fields" : "");
}

static Code encode(Buf *out, const AvroSchema *schema, const AvroValue *value, unsigned depth,
                   Err *err);

/* The exact kind comes before a kind that would hold the value as well. */
static bool branch_of(const AvroSchema *schema, const AvroValue *value, size_t *ret_branch)
{
    if (value->branch < schema->branch_count && fits(schema->branches[value->branch], value) &&
        schema->branches[value->branch]->kind == value->kind) {
        *ret_branch = value->branch;
        return true;
    }
    for (int exact = 1; exact >= 0; exact--) {
        for (size_t i = 0; i < schema->branch_count; i++) {
            const AvroSchema *branch = schema->branches[i];
            if (fits(branch, value) && (!exact || branch->kind == value->kind)) {
                *ret_branch = i;
                return true;
            }
        }
    }
    return false;
}

static void put_bytes(Buf *out, Str bytes)
{
    write_zigzag(out, (int64_t)bytes.len);
    buf_put(out, bytes);
}

static Code put_items(Buf *out, const AvroSchema *schema, const AvroValue *value, unsigned depth,
                      Err *err)
{
    if (value->count > 0)
        write_zigzag(out, (int64_t)value->count);
    for (size_t i = 0; i < value->count; i++) {
        if (value->kind == AVRO_MAP)
            put_bytes(out, value->keys[i]);
        TRY(encode(out, schema->items, &value->items[i], depth + 1, err));
    }
    write_zigzag(out, 0);
    return E_OK;
}

static void put_float(Buf *out, double real)
{
    float narrow = (float)real;
    uint32_t bits;
    memcpy(&bits, &narrow, sizeof bits);
    write_u32le(out, bits);
}

static void put_double(Buf *out, double real)
{
    uint64_t bits;
    memcpy(&bits, &real, sizeof bits);
    write_u64le(out, bits);
}

static Code encode(Buf *out, const AvroSchema *schema, const AvroValue *value, unsigned depth,
                   Err *err)
{
    if (depth >= AVRO_DEPTH_MAX)
        return err_set(err, E_LIMIT, "Avro value is nested deeper than %d levels", AVRO_DEPTH_MAX);
    if (schema->kind == AVRO_UNION) {
        size_t branch;
        if (!branch_of(schema, value, &branch))
            return no_fit(schema, value, err);
        write_zigzag(out, (int64_t)branch);
        return encode(out, schema->branches[branch], value, depth + 1, err);
    }
    if (!fits(schema, value))
        return no_fit(schema, value, err);
    switch (schema->kind) {
    case AVRO_NULL:
    case AVRO_UNION:
        break;
    case AVRO_BOOLEAN:
        write_u8(out, value->truth);
        break;
    case AVRO_INT:
    case AVRO_LONG:
    case AVRO_ENUM:
        write_zigzag(out, value->integer);
        break;
    case AVRO_FLOAT:
        put_float(out, value->real);
        break;
    case AVRO_DOUBLE:
        put_double(out, value->real);
        break;
    case AVRO_BYTES:
    case AVRO_STRING:
        put_bytes(out, value->bytes);
        break;
    case AVRO_FIXED:
        buf_put(out, value->bytes);
        break;
    case AVRO_ARRAY:
    case AVRO_MAP:
        return put_items(out, schema, value, depth, err);
    case AVRO_RECORD:
        for (size_t i = 0; i < schema->field_count; i++) {
            Code code = encode(out, schema->fields[i].schema, &value->items[i], depth + 1, err);
            if (code != E_OK)
                return err_wrap(err, code, STR_FMT, STR_ARG(schema->fields[i].name));
        }
        break;
    }
    return E_OK;
}

Code avro_encode(Buf *out, const AvroSchema *schema, const AvroValue *value, Err *err)
{
    return encode(out, schema, value, 0, err);
}

/* ---- decoding ---- */

typedef struct Decode {
    Reader *r;
    Arena *arena;
    size_t budget; /* values that may still come */
} Decode;

static void decode(Decode *d, const AvroSchema *schema, unsigned depth, AvroValue *value);

static Str get_bytes(Reader *r)
{
    int64_t len = read_zigzag(r);
    if (len < 0 || (uint64_t)len > reader_left(r)) {
        reader_fail(r, "a length beyond the end");
        return STR_NONE;
    }
    Str bytes = read_bytes(r, (size_t)len);
    return bytes.ptr ? bytes : str_of("", 0);
}

/* Whether a value of this schema can take no bytes at all; then only the budget bounds how many. */
static bool may_be_empty(const AvroSchema *schema, unsigned depth)
{
    if (schema->kind == AVRO_NULL)
        return true;
    if (schema->kind == AVRO_FIXED)
        return schema->fixed_len == 0;
    if (schema->kind != AVRO_RECORD || depth >= AVRO_DEPTH_MAX)
        return false;
    for (size_t i = 0; i < schema->field_count; i++)
        if (!may_be_empty(schema->fields[i].schema, depth + 1))
            return false;
    return true;
}

/* The count of the next block of an array or map; 0 ends it. */
static size_t get_block_count(Decode *d, const AvroSchema *schema)
{
    int64_t count = read_zigzag(d->r);
    if (count < 0) {
        read_zigzag(d->r); /* the block's size, for those who skip it */
        count = count == INT64_MIN ? INT64_MAX : -count;
    }
    bool some_bytes = schema->kind == AVRO_MAP || !may_be_empty(schema->items, 0);
    if ((uint64_t)count > d->budget || (some_bytes && (uint64_t)count > reader_left(d->r))) {
        reader_fail(d->r, "more items than there can be");
        return 0;
    }
    return (size_t)count;
}

static void *grown(Arena *arena, const void *old, size_t old_count, size_t count, size_t item_size)
{
    void *items = arena_array_raw(arena, count, item_size);
    if (old_count > 0)
        memcpy(items, old, old_count * item_size);
    return items;
}

static void get_items(Decode *d, const AvroSchema *schema, unsigned depth, AvroValue *value)
{
    size_t cap = 0;
    value->kind = schema->kind;
    value->items = NULL;
    value->keys = NULL;
    value->count = 0;
    for (size_t count; (count = get_block_count(d, schema)) > 0 && reader_ok(d->r);) {
        if (value->count + count > cap) {
            size_t wanted = MAX(value->count + count, 2 * cap);
            value->items =
                grown(d->arena, value->items, value->count, wanted, sizeof *value->items);
            if (schema->kind == AVRO_MAP)
                value->keys =
                    grown(d->arena, value->keys, value->count, wanted, sizeof *value->keys);
            cap = wanted;
        }
        for (size_t i = 0; i < count && reader_ok(d->r); i++, value->count++) {
            if (schema->kind == AVRO_MAP)
                value->keys[value->count] = get_bytes(d->r);
            decode(d, schema->items, depth + 1, &value->items[value->count]);
        }
    }
}

static void get_record(Decode *d, const AvroSchema *schema, unsigned depth, AvroValue *value)
{
    value->items = arena_array(d->arena, AvroValue, schema->field_count);
    value->count = schema->field_count;
    for (size_t i = 0; i < schema->field_count && reader_ok(d->r); i++)
        decode(d, schema->fields[i].schema, depth + 1, &value->items[i]);
}

static double get_real(Reader *r, bool narrow)
{
    double real = 0;
    if (narrow) {
        uint32_t bits = read_u32le(r);
        float number;
        memcpy(&number, &bits, sizeof number);
        return number;
    }
    uint64_t bits = read_u64le(r);
    memcpy(&real, &bits, sizeof real);
    return real;
}

static void get_union(Decode *d, const AvroSchema *schema, unsigned depth, AvroValue *value)
{
    int64_t branch = read_zigzag(d->r);
    if (branch < 0 || (uint64_t)branch >= schema->branch_count) {
        reader_fail(d->r, "a union branch that is not there");
        return;
    }
    decode(d, schema->branches[branch], depth + 1, value);
    value->branch = (uint32_t)branch;
}

static int64_t get_integer(Reader *r, const AvroSchema *schema)
{
    int64_t number = read_zigzag(r);
    if (schema->kind == AVRO_INT && (number < INT32_MIN || number > INT32_MAX))
        reader_fail(r, "an int of more than 32 bits");
    if (schema->kind == AVRO_ENUM && (number < 0 || (uint64_t)number >= schema->symbol_count))
        reader_fail(r, "an enum symbol that is not there");
    return number;
}

static void decode(Decode *d, const AvroSchema *schema, unsigned depth, AvroValue *value)
{
    if (depth >= AVRO_DEPTH_MAX)
        reader_fail(d->r, "nested too deep");
    if (d->budget == 0)
        reader_fail(d->r, "too many values");
    if (!reader_ok(d->r))
        return;
    d->budget--;
    value->kind = schema->kind;
    switch (schema->kind) {
    case AVRO_NULL:
        break;
    case AVRO_BOOLEAN: {
        uint8_t byte = read_u8(d->r);
        if (byte > 1)
            reader_fail(d->r, "a boolean that is neither 0 nor 1");
        value->truth = byte == 1;
        break;
    }
    case AVRO_INT:
    case AVRO_LONG:
    case AVRO_ENUM:
        value->integer = get_integer(d->r, schema);
        break;
    case AVRO_FLOAT:
    case AVRO_DOUBLE:
        value->real = get_real(d->r, schema->kind == AVRO_FLOAT);
        break;
    case AVRO_BYTES:
    case AVRO_STRING:
        value->bytes = get_bytes(d->r);
        break;
    case AVRO_FIXED:
        value->bytes = read_bytes(d->r, schema->fixed_len);
        break;
    case AVRO_ARRAY:
    case AVRO_MAP:
        get_items(d, schema, depth, value);
        break;
    case AVRO_RECORD:
        get_record(d, schema, depth, value);
        break;
    case AVRO_UNION:
        value->kind = AVRO_NULL;
        get_union(d, schema, depth, value);
        break;
    }
}

Code avro_decode(Reader *r, Arena *arena, const AvroSchema *schema, AvroValue *ret_value, Err *err)
{
    Decode d = { r, arena, AVRO_ITEMS_MAX };
    AvroValue value = { 0 };
    decode(&d, schema, 0, &value);
    TRY(reader_check(r, "Avro value", err));
    *ret_value = value;
    return E_OK;
}
