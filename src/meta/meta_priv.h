/* meta_priv.h: what the files of meta/ share: values, shapes of rows, the closed lists as enums.
 * Owner:   values live in the arena of their transaction or on the caller's stack.
 * Threads: values and const tables.
 * Errors:  none.
 * Limits:  META_PARAMS_MAX values an item.
 * Units:   none. */
#pragma once

#include "meta/meta.h"

enum { META_PARAMS_MAX = 12 };

typedef struct MetaValue {
    char kind; /* t text, b bytes, i number, d double, u UUID, n NULL: the database numbers */
    Str bytes; /* t, b, u */
    int64_t number;
    double real;
} MetaValue;

typedef struct RowColumn {
    char kind; /* as in rows.def */
    size_t offset;
    const char *name;
} RowColumn;

typedef struct RowShape {
    const char *table;
    size_t size;
    const RowColumn *columns;
    size_t count;
} RowShape;

typedef enum RowId {
#define META_ROW(Row, table, columns) ROW_##Row,
#include "meta/rows.def"
#undef META_ROW
    ROW_COUNT
} RowId;

extern const RowShape row_shapes[ROW_COUNT];
void row_decode_column(const RowColumn *column, void *row, const MetaValue *value);
void row_values(const RowShape *shape, const void *row, MetaValue *ret_values);

typedef enum OpKind { OP_REQUIRE, OP_ADD, OP_PUT, OP_CHANGE, OP_WRITE } OpKind;

typedef enum OpId {
#define REQUIRE(name, types, code, sql, message, doc) OP_require_##name,
#define ADD(name, Row, message, doc) OP_##name,
#define PUT(name, Row, doc) OP_##name,
#define CHANGE(name, types, code, sql, message, doc) OP_##name,
#define WRITE(name, types, sql, doc) OP_##name,
#include "meta/ops.def"
#undef REQUIRE
#undef ADD
#undef PUT
#undef CHANGE
#undef WRITE
    OP_COUNT
} OpId;

typedef struct OpInfo {
    const char *name;
    OpKind kind;
    int row;           /* RowId of ADD and PUT, else -1 */
    const char *types; /* NULL: those of the row */
    Code code;         /* when it does not hold, or does not change exactly one row */
    const char *sql;   /* NULL: made from the row */
    const char *message;
    const char *doc;
} OpInfo;

extern const OpInfo op_infos[OP_COUNT];

struct MetaItem {
    OpId op;
    size_t count;
    const MetaValue *values;
};

typedef enum ReadId {
#define READ(name, Row, types, sql, message) READ_##name,
#include "meta/reads.def"
#undef READ
    READ_COUNT
} ReadId;

typedef struct ReadInfo {
    const char *name;
    RowId row;
    const char *types;
    const char *sql;
    const char *message;
} ReadInfo;

extern const ReadInfo read_infos[READ_COUNT];

/* A message of a .def file with its values in place of {1} ... */
Str message_format(Arena *arena, const char *message, const MetaValue *values, size_t count);
