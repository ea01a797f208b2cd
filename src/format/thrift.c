#include "format/thrift_priv.h"

void thrift_begin(Thrift *t)
{
    if (++t->depth > THRIFT_DEPTH_MAX)
        reader_fail(t->r, "structs are nested too deep");
}

bool thrift_next(Thrift *t, ThriftField *field)
{
    uint8_t head = read_u8(t->r);
    if (!reader_ok(t->r) || (head & 15) == THRIFT_STOP) {
        t->depth--;
        return false;
    }
    int64_t id = head >> 4 ? field->id + (head >> 4) : read_zigzag(t->r);
    if (id < 0 || id > INT16_MAX || (head & 15) > THRIFT_STRUCT)
        reader_fail(t->r, "a field's header is wrong");
    *field = (ThriftField){ .id = (int16_t)id, .type = head & 15 };
    if (!reader_ok(t->r))
        t->depth--;
    return reader_ok(t->r);
}

bool thrift_bool(Thrift *t, ThriftField field)
{
    if (field.type != THRIFT_TRUE && field.type != THRIFT_FALSE)
        reader_fail(t->r, "a field must be a boolean");
    if (field.in_list)
        return read_u8(t->r) == THRIFT_TRUE;
    return field.type == THRIFT_TRUE;
}

int64_t thrift_int(Thrift *t, ThriftField field, int64_t min, int64_t max)
{
    int64_t value = 0;
    if (field.type == THRIFT_BYTE)
        value = (int8_t)read_u8(t->r);
    else if (field.type == THRIFT_I16 || field.type == THRIFT_I32 || field.type == THRIFT_I64)
        value = read_zigzag(t->r);
    else
        reader_fail(t->r, "a field must be an integer");
    if (value < min || value > max)
        reader_fail(t->r, "an integer is outside of its range");
    return reader_ok(t->r) ? value : 0;
}

Str thrift_binary(Thrift *t, ThriftField field)
{
    if (field.type != THRIFT_BINARY)
        reader_fail(t->r, "a field must be binary");
    uint64_t len = read_varint(t->r);
    if (len > reader_left(t->r)) {
        reader_fail(t->r, "a length beyond the end");
        return STR_NONE;
    }
    Str bytes = read_bytes(t->r, (size_t)len);
    return bytes.ptr ? bytes : str_of("", 0);
}

size_t thrift_list(Thrift *t, ThriftField field, size_t count_max, ThriftField *ret_element)
{
    *ret_element = (ThriftField){ .in_list = true };
    if (field.type != THRIFT_LIST && field.type != THRIFT_SET) {
        reader_fail(t->r, "a field must be a list");
        return 0;
    }
    uint8_t head = read_u8(t->r);
    uint64_t count = head >> 4 == 15 ? read_varint(t->r) : head >> 4;
    if (count > count_max || count > reader_left(t->r))
        reader_fail(t->r, "a list has too many elements");
    ret_element->type = head & 15;
    if (ret_element->type == THRIFT_STOP || ret_element->type > THRIFT_STRUCT)
        reader_fail(t->r, "a list's elements have no type");
    return reader_ok(t->r) ? (size_t)count : 0;
}

bool thrift_struct(Thrift *t, ThriftField field)
{
    if (field.type != THRIFT_STRUCT)
        reader_fail(t->r, "a field must be a struct");
    if (!reader_ok(t->r))
        return false;
    thrift_begin(t);
    return true;
}

static void skip_list(Thrift *t, ThriftField field)
{
    ThriftField element;
    size_t count = thrift_list(t, field, SIZE_MAX, &element);
    if (++t->depth > THRIFT_DEPTH_MAX)
        reader_fail(t->r, "lists are nested too deep");
    for (size_t i = 0; i < count && reader_ok(t->r); i++)
        thrift_skip(t, element);
    t->depth--;
}

static void skip_map(Thrift *t)
{
    uint64_t count = read_varint(t->r);
    if (count == 0)
        return;
    uint8_t types = read_u8(t->r);
    ThriftField key = { .type = types >> 4, .in_list = true },
                value = { .type = types & 15, .in_list = true };
    if (count > reader_left(t->r) || ++t->depth > THRIFT_DEPTH_MAX)
        reader_fail(t->r, "a map has too many elements or is nested too deep");
    for (uint64_t i = 0; i < count && reader_ok(t->r); i++) {
        thrift_skip(t, key);
        thrift_skip(t, value);
    }
    t->depth--;
}

void thrift_skip(Thrift *t, ThriftField field)
{
    switch ((ThriftType)field.type) {
    case THRIFT_TRUE:
    case THRIFT_FALSE:
        thrift_bool(t, field);
        break;
    case THRIFT_BYTE:
        read_u8(t->r);
        break;
    case THRIFT_I16:
    case THRIFT_I32:
    case THRIFT_I64:
        read_zigzag(t->r);
        break;
    case THRIFT_DOUBLE:
        read_skip(t->r, 8);
        break;
    case THRIFT_BINARY:
        thrift_binary(t, field);
        break;
    case THRIFT_LIST:
    case THRIFT_SET:
        skip_list(t, field);
        break;
    case THRIFT_MAP:
        skip_map(t);
        break;
    case THRIFT_STRUCT:
        thrift_begin(t);
        for (ThriftField inner = { 0 }; thrift_next(t, &inner);)
            thrift_skip(t, inner);
        break;
    case THRIFT_STOP:
        reader_fail(t->r, "a value without a type");
        break;
    }
}
