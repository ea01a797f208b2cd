/* type.h: Iceberg's types, their SQL spelling and their tree form.
 * Owner:   types live in an Arena and never change once made.
 * Threads: any.
 * Errors:  TYPE for SQL types that a table cannot hold, with the cast to use as the hint; SYNTAX.
 * Limits:  ICE_DEPTH_MAX levels, ICE_FIELDS_MAX fields in a tree, names of ICE_NAME_MAX bytes.
 * Units:   none. */
#pragma once

#include "base/err.h"
#include "base/buf.h"

enum { ICE_DEPTH_MAX = 32, ICE_FIELDS_MAX = 10000, ICE_NAME_MAX = 512, ICE_FIXED_MAX = 1 << 20 };

typedef enum IceKind {
#define ICE_TYPE(kind, name, sql, parquet, bound) ICE_##kind,
#define SQL_ALIAS(sql, kind)
#define SQL_UNSUPPORTED(sql, cast)
#include "table/types.def"
#undef ICE_TYPE
#undef SQL_ALIAS
#undef SQL_UNSUPPORTED
    ICE_KIND_COUNT
} IceKind;

/* How a single value is written as bytes (spec: "Binary single-value serialization"). */
typedef enum IceBound {
    BOUND_NONE,
    BOUND_BOOL, /* one byte */
    BOUND_I32,  /* 4 bytes little endian */
    BOUND_I64,  /* 8 bytes little endian */
    BOUND_F32,
    BOUND_F64,
    BOUND_DECIMAL, /* unscaled, two's complement big endian, fewest bytes */
    BOUND_BYTES    /* as they are */
} IceBound;

typedef struct IceKindInfo {
    const char *name;    /* Iceberg's */
    const char *sql;     /* DuckDB's */
    const char *parquet; /* how it is written */
    IceBound bound;
} IceKindInfo;

typedef struct IceType IceType;

typedef struct IceField {
    int32_t id; /* 0: not assigned yet */
    Str name;
    bool required;
    const IceType *type;
    Str doc; /* ptr NULL: none */
} IceField;

struct IceType {
    IceKind kind;
    int32_t precision, scale; /* DECIMAL */
    int32_t length;           /* FIXED */
    IceField *fields; /* STRUCT: its fields; LIST: [0] "element"; MAP: [0] "key", [1] "value" */
    size_t field_count;
};

const IceKindInfo *ice_kind_info(IceKind kind);
bool ice_is_nested(const IceType *type);
bool ice_type_eq(const IceType *a,
                 const IceType *b); /* names, ids and requiredness of fields count */

/* A shared constant of a kind without parameters (not DECIMAL, FIXED or nested). */
const IceType *ice_type_simple(IceKind kind);

/* Spec, "Schema evolution": int to long, float to double, decimal(P,S) to a larger P. Equal is
 * true. */
bool ice_type_widens(const IceType *from, const IceType *to);

/* Text of Iceberg's JSON for a type that is not nested: "decimal(9, 2)", "fixed[16]", "long". */
Str ice_type_format(Arena *arena, const IceType *type);
Code ice_type_parse(Arena *arena, Str text, const IceType **ret_type, Err *err) CHECKED;

/* SQL text as DuckDB writes it: DECIMAL(9,2), STRUCT(a INTEGER, b VARCHAR), T[], MAP(K, V). Fields
 * of nested types are optional and have id 0 until ice_schema_assign_ids. FIXED becomes BLOB. */
Code ice_type_from_sql(Arena *arena, Str sql, const IceType **ret_type, Err *err) CHECKED;
Str ice_type_to_sql(Arena *arena, const IceType *type);
void ice_type_put_sql(Buf *buf, const IceType *type);
