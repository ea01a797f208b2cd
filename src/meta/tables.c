/* tables.c: the .def files as const tables, and what follows from them. */
#include "meta/meta_priv.h"

#include <string.h>

#define COLUMN(Row, kind, field) { #kind[0], offsetof(Row, field), #field },
#define META_ROW(Row, table, columns) static const RowColumn columns_of_##Row[] = { columns };
#include "meta/rows.def"
#undef META_ROW

const RowShape row_shapes[ROW_COUNT] = {
#define META_ROW(Row, table, columns)                                                              \
    [ROW_##Row] = { #table, sizeof(Row), columns_of_##Row, ARRAY_LEN(columns_of_##Row) },
#include "meta/rows.def"
#undef META_ROW
};
#undef COLUMN

const OpInfo op_infos[OP_COUNT] = {
#define REQUIRE(name, types, code, sql, message, doc)                                              \
    [OP_require_##name] = { "require_" #name, OP_REQUIRE, -1, types, E_##code, sql, message, doc },
#define ADD(name, Row, message, doc)                                                               \
    [OP_##name] = { #name, OP_ADD, ROW_##Row, NULL, E_EXISTS, NULL, message, doc },
#define PUT(name, Row, doc) [OP_##name] = { #name, OP_PUT, ROW_##Row, NULL, E_OK, NULL, "", doc },
#define CHANGE(name, types, code, sql, message, doc)                                               \
    [OP_##name] = { #name, OP_CHANGE, -1, types, E_##code, sql, message, doc },
#define WRITE(name, types, sql, doc)                                                               \
    [OP_##name] = { #name, OP_WRITE, -1, types, E_OK, sql, "", doc },
#include "meta/ops.def"
#undef REQUIRE
#undef ADD
#undef PUT
#undef CHANGE
#undef WRITE
};

const ReadInfo read_infos[READ_COUNT] = {
#define READ(name, Row, types, sql, message)                                                       \
    [READ_##name] = { #name, ROW_##Row, types, sql, message },
#include "meta/reads.def"
#undef READ
};

void row_values(const RowShape *shape, const void *row, MetaValue *ret_values)
{
    ASSERT(shape->count <= META_PARAMS_MAX);
    for (size_t i = 0; i < shape->count; i++) {
        const RowColumn *column = &shape->columns[i];
        const void *field = (const char *)row + column->offset;
        MetaValue *value = &ret_values[i];
        *value = (MetaValue){ .kind = column->kind };
        switch (column->kind) {
        case 't':
        case 'b':
            value->bytes = *(const Str *)field;
            break;
        case 'u':
            value->bytes = str_of(field, sizeof(Uuid));
            break;
        case 'i':
            value->number = *(const int64_t *)field;
            break;
        case 'd':
            value->real = *(const double *)field;
            break;
        case 'e':
            value->kind = 'i';
            value->number = *(const int *)field;
            break;
        case 'o':
            value->kind = 'i';
            value->number = *(const bool *)field;
            break;
        }
    }
}

void row_decode_column(const RowColumn *column, void *row, const MetaValue *value)
{
    void *field = (char *)row + column->offset;
    switch (column->kind) {
    case 't':
    case 'b':
        *(Str *)field = value->bytes;
        break;
    case 'u':
        if (value->bytes.len == sizeof(Uuid))
            memcpy(field, value->bytes.ptr, sizeof(Uuid));
        break;
    case 'i':
    case 'n':
        *(int64_t *)field = value->number;
        break;
    case 'd':
        *(double *)field = value->real;
        break;
    case 'e':
        *(int *)field = (int)value->number;
        break;
    case 'o':
        *(bool *)field = value->number != 0;
        break;
    }
}

static Str value_format(Arena *arena, const MetaValue *value)
{
    Uuid uuid;
    switch (value->kind) {
    case 't':
        return value->bytes;
    case 'u':
        memcpy(uuid.bytes, value->bytes.ptr, sizeof uuid.bytes);
        return uuid_format(arena, uuid);
    case 'b':
        return hex_format(arena, value->bytes);
    case 'd':
        return str_format(arena, "%g", value->real);
    }
    return str_format(arena, "%lld", (long long)value->number);
}

Str message_format(Arena *arena, const char *message, const MetaValue *values, size_t count)
{
    Buf text AUTO(buf_done);
    buf_init(&text, ERR_TEXT_MAX);
    for (const char *at = message; *at; at++) {
        size_t number = at[0] == '{' && at[1] >= '1' && at[1] <= '9' && at[2] == '}'
                            ? (size_t)(at[1] - '0')
                            : 0;
        if (number && number <= count) {
            buf_put(&text, value_format(arena, &values[number - 1]));
            at += 2;
        } else {
            buf_put_char(&text, *at);
        }
    }
    return str_copy(arena, buf_str(&text));
}
