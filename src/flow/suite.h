/* suite.h: expectations: read from a Great Expectations suite or from a model's audits.
 * Owner:   results live in the Arena.
 * Threads: any.
 * Errors:  INVALID and SYNTAX with the suite's path as place and the expectation's type in the text.
 * Limits:  SUITE_EXPECTATIONS_MAX, SUITE_VALUES_MAX, SUITE_BYTES_MAX.
 * Units:   none.
 *
 * Read: GX 1.x (`type`, `kwargs`, `severity`) and the spelling of 0.x (`expectation_type`). Without a
 * severity an expectation is critical. */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "flow/model.h"

enum { SUITE_EXPECTATIONS_MAX = 1000, SUITE_VALUES_MAX = 10000, SUITE_BYTES_MAX = 4 << 20 };

typedef enum ExpectKind {
#define EXPECT(kind, gx, audit, shape, doc) EXPECT_##kind,
#include "flow/expect.def"
#undef EXPECT
    EXPECT_KIND_COUNT
} ExpectKind;

typedef enum ExpectShape {
    SHAPE_ROW,
    SHAPE_UNIQUE,
    SHAPE_REF,
    SHAPE_ROWS,
    SHAPE_VALUE,
    SHAPE_SCHEMA
} ExpectShape;

typedef enum Severity { SEVERITY_CRITICAL, SEVERITY_WARNING, SEVERITY_INFO } Severity;

Str severity_name(Severity severity);

typedef struct ExpectInfo {
    Str gx;    /* expect_column_values_to_not_be_null */
    Str audit; /* not_null */
    ExpectShape shape;
} ExpectInfo;

const ExpectInfo *expect_info(ExpectKind kind);

typedef struct Expectation {
    ExpectKind kind;
    Severity severity;
    double mostly;          /* 1: all rows */
    Str *columns;           /* one, or a column_list */
    size_t column_count;
    Str *values;            /* SQL literals of value_set; names of column_set */
    size_t value_count;
    Str min, max;           /* SQL literals; no pointer: open */
    double min_number, max_number; /* of VALUE shapes */
    bool strict_min, strict_max, or_equal, exact_match;
    Str text;               /* regex, type_, the query of unexpected rows */
    Str ref_ns, ref_table, ref_column;
    Str condition;          /* row_condition: SQL; empty: all rows */
    Str description;        /* for people; stands for the columns where there are none */
    Str key;                /* short: expect_column_values_to_be_between(delay) */
    Str config_json;        /* {"type": ..., "kwargs": {...}, ...} as GX writes it */
} Expectation;

typedef struct Suite {
    Str name;
    Expectation *items;
    size_t count;
} Suite;

Code suite_parse(Arena *arena, Str path, Str json, Suite *ret_suite, Err *err) CHECKED;
/* Adds a model's audits behind `suite`'s expectations. */
Code suite_add_audits(Arena *arena, const Model *model, Suite *suite, Err *err) CHECKED;
