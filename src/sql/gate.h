/* gate.h: looks at a SELECT before it runs: one statement, allowed functions, which names it reads.
 * Owner:   results live in the given arena and borrow the JSON's.
 * Threads: any.
 * Errors:  FORBIDDEN for what is not on a list (with the nearest allowed name), INVALID, LIMIT,
 * SYNTAX; each with the position in the text. Limits:  GATE_DEPTH_MAX levels, GATE_REFS_MAX tables,
 * GATE_RAWS_MAX objects read. Units:   positions in bytes from the start of the text.
 *
 * It reads the tree that json_serialize_sql gives. Kinds of nodes, functions and table functions
 * are lists of what is allowed: what a newer engine adds is refused until somebody has looked at
 * it. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "format/json.h"

enum {
    GATE_DEPTH_MAX = 1000,
    GATE_REFS_MAX = 1024,
    GATE_RAWS_MAX = 64,
    GATE_CTES_MAX = 1024,
    GATE_REPEAT_BYTES_MAX = 16 << 20, /* one value that repeat, lpad, rpad may make */
    GATE_LIST_ITEMS_MAX = 10000000    /* one list that range may make */
};

/* A name in FROM that is no CTE. Each place is listed, also when the name repeats. */
typedef struct GateRef {
    Str catalog, ns, name;
    Str alias;
    int64_t position; /* -1: not known */
} GateRef;

/* read_csv('s3://...'), source('skies', 'x.csv') in FROM. */
typedef struct GateRaw {
    Str function; /* read_parquet, read_csv, read_json, source */
    Str alias;
    Str *texts; /* the constant arguments in order: addresses, or source and name */
    size_t text_count;
    const Json *arguments; /* all of them, named ones have an alias */
    int64_t position;
} GateRaw;

typedef struct Gate {
    GateRef *refs;
    size_t ref_count;
    GateRaw *raws;
    size_t raw_count;
    bool has_volatile;
    Str volatile_name;
    int64_t volatile_position;
    bool is_describe; /* DESCRIBE or SUMMARIZE of a query */
    const Json *node; /* the one SELECT's node */
} Gate;

/* `json` is what border_serialize gave. */
Code gate_check(Str json, Arena *arena, Gate *ret_gate, Err *err) CHECKED;

/* For tests and docs/reference: the row of a function. */
typedef struct GateFunction {
    const char *name;
    bool is_volatile;
    bool is_capped; /* a macro of the engine's start bounds it; see caps.def */
} GateFunction;
bool gate_function(Str name, GateFunction *ret_function);
