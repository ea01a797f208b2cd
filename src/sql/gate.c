/* gate.c: the walk over the tree of a SELECT.
 *
 * Invariants:
 * 1. Every object with a "class" is an expression, every other one with a text "type" a node, a
 * table reference or a modifier; both are looked up in a list, and what is not there is refused.
 * 2. Values of constants are not walked: nothing in them is run.
 * 3. A bare name is a CTE only where the engine sees that CTE: in later CTEs of the same list, in
 * the body, inside itself when it is recursive. */
#include "sql/gate.h"

#include <string.h>

typedef struct Walk {
    Arena *arena;
    Gate *gate;
    Err *err;
    Str *ctes;
    size_t cte_count;
    unsigned depth;
} Walk;

typedef enum FunctionTrait {
    FUNCTION_PLAIN,
    FUNCTION_VOLATILE,
    FUNCTION_CAPPED,
    FUNCTION_RAW
} FunctionTrait;
typedef struct FunctionRow {
    const char *name;
    FunctionTrait trait;
} FunctionRow;

static const FunctionRow FUNCTIONS[] = {
#define FUNCTION(name, kind, trait) { name, FUNCTION_##trait },
#define TABLE_FUNCTION(name, trait)
#include "sql/functions.def"
#undef FUNCTION
#undef TABLE_FUNCTION
};

static const FunctionRow TABLE_FUNCTIONS[] = {
#define FUNCTION(name, kind, trait)
#define TABLE_FUNCTION(name, trait) { name, FUNCTION_##trait },
#include "sql/functions.def"
#undef FUNCTION
#undef TABLE_FUNCTION
};

static const char *const CLASSES[] = {
    "BETWEEN",    "CASE",        "CAST",     "COLLATE",   "COLUMN_REF",
    "COMPARISON", "CONJUNCTION", "CONSTANT", "DEFAULT",   "FUNCTION",
    "LAMBDA",     "LAMBDA_REF",  "OPERATOR", "PARAMETER", "POSITIONAL_REFERENCE",
    "STAR",       "SUBQUERY",    "TYPE",     "WINDOW",
};

static const char *const NODES[] = {
    "SELECT_NODE",
    "SET_OPERATION_NODE",
    "RECURSIVE_CTE_NODE",
    "CTE_NODE", /* queries */
    "BASE_TABLE",
    "EMPTY",
    "EXPRESSION_LIST",
    "JOIN",
    "PIVOT",
    "SHOW_REF",
    "SUBQUERY",
    "TABLE_FUNCTION",
    "DISTINCT_MODIFIER",
    "LIMIT_MODIFIER",
    "LIMIT_PERCENT_MODIFIER",
    "ORDER_MODIFIER",
    "ORDER_DEFAULT",
    "ASCENDING",
    "DESCENDING",
};

/* What a bare name gives when no column is called so. */
static const char *const VOLATILE_NAMES[] = {
    "current_date", "current_time", "current_timestamp", "localtime", "localtimestamp",
};

static bool listed(const char *const *names, size_t count, Str name)
{
    for (size_t i = 0; i < count; i++)
        if (str_ieq(name, str_z(names[i])))
            return true;
    return false;
}

static const FunctionRow *row_of(const FunctionRow *rows, size_t count, Str name)
{
    for (size_t i = 0; i < count; i++)
        if (str_ieq(name, str_z(rows[i].name)))
            return &rows[i];
    return NULL;
}

static const FunctionRow *function_row(Str name)
{
    Str lower_name = name;
    char lower[64];
    if (name.len < sizeof lower) {
        for (size_t i = 0; i < name.len; i++)
            lower[i] =
                name.ptr[i] >= 'A' && name.ptr[i] <= 'Z' ? (char)(name.ptr[i] + 32) : name.ptr[i];
        lower_name = str_of(lower, name.len);
    }
    size_t from = 0;
    size_t to = ARRAY_LEN(FUNCTIONS);
    while (from < to) {
        size_t middle = (from + to) / 2;
        int order = str_cmp(lower_name, str_z(FUNCTIONS[middle].name));
        if (order == 0)
            return &FUNCTIONS[middle];
        if (order < 0)
            to = middle;
        else
            from = middle + 1;
    }
    /* The table is in byte order; "formatReadableSize" is the only kind with capitals. */
    return row_of(FUNCTIONS,
                  name.len > 6 && str_istarts(name, STR("format")) ? ARRAY_LEN(FUNCTIONS) : 0,
                  name);
}

bool gate_function(Str name, GateFunction *ret_function)
{
    const FunctionRow *row = function_row(name);
    if (row == NULL)
        return false;
    *ret_function =
        (GateFunction){ row->name, row->trait == FUNCTION_VOLATILE, row->trait == FUNCTION_CAPPED };
    return true;
}

static int64_t position_of(const Json *object)
{
    return json_i64(json_get(object, "query_location"), -1);
}

static Code refuse(Walk *walk, Code code, const Json *object)
{
    return err_at(walk->err, code, position_of(object));
}

static Code walk_value(Walk *walk, const Json *value, bool in_type);

static Code walk_members(Walk *walk, const Json *object, bool in_type)
{
    JsonIter it = json_iter(object);
    while (json_next(&it))
        TRY(walk_value(walk, it.value, in_type || str_eq(it.key, STR("cast_type"))));
    return E_OK;
}

static void note_volatile(Walk *walk, const Json *object, Str name)
{
    if (walk->gate->has_volatile)
        return;
    walk->gate->has_volatile = true;
    walk->gate->volatile_name = name;
    walk->gate->volatile_position = position_of(object);
}

/* The number of a constant, also below a cast; -1: none. */
static double constant_number(const Json *expression)
{
    for (unsigned i = 0; i < 8 && str_eq(json_str(json_get(expression, "class")), STR("CAST")); i++)
        expression = json_get(expression, "child");
    if (!str_eq(json_str(json_get(expression, "class")), STR("CONSTANT")))
        return -1;
    return json_f64(json_get(json_get(expression, "value"), "value"), -1);
}

static Str constant_text(const Json *expression)
{
    if (!str_eq(json_str(json_get(expression, "class")), STR("CONSTANT")))
        return STR_NONE;
    return json_str(json_get(json_get(expression, "value"), "value"));
}

static Code check_capped(Walk *walk, const Json *function, Str name)
{
    Str schema = json_str(json_get(function, "schema"));
    if (str_ieq(schema, STR("main")) || str_ieq(schema, STR("pg_catalog")))
        return refuse(walk,
                      err_set(walk->err, E_FORBIDDEN, "write " STR_FMT "(...) without a schema",
                              STR_ARG(name)),
                      function);
    if (str_ieq(name, STR("range")) || str_ieq(name, STR("generate_series")))
        return E_OK; /* large bounds may lie close together: the macro of the engine looks */
    JsonIter it = json_iter(json_get(function, "children"));
    while (json_next(&it))
        if (constant_number(it.value) > GATE_REPEAT_BYTES_MAX)
            return refuse(walk,
                          err_set(walk->err, E_LIMIT,
                                  STR_FMT "(...) would make a value of more "
                                          "than %d bytes",
                                  STR_ARG(name), GATE_REPEAT_BYTES_MAX),
                          function);
    return E_OK;
}

/* A width in the format could make one value of gigabytes. */
static Code check_format(Walk *walk, const Json *function, Str name)
{
    Str format = constant_text(json_at(json_get(function, "children"), 0));
    if (format.ptr == NULL || json_str(json_get(function, "schema")).len > 0)
        return refuse(walk,
                      err_set(walk->err, E_FORBIDDEN,
                              "the format of " STR_FMT " must be a text in "
                              "the statement",
                              STR_ARG(name)),
                      function);
    unsigned digits = 0;
    for (size_t i = 0; i < format.len; i++) {
        digits = format.ptr[i] >= '0' && format.ptr[i] <= '9' ? digits + 1 : 0;
        bool nested =
            format.ptr[i] == ':' && memchr(format.ptr + i, '{', MIN(format.len - i, 8u)) != NULL;
        if (digits > 4 || format.ptr[i] == '*' || (nested && str_ieq(name, STR("format"))))
            return refuse(walk,
                          err_set(walk->err, E_LIMIT,
                                  "the width in the format of " STR_FMT
                                  " is too large or not fixed",
                                  STR_ARG(name)),
                          function);
    }
    return E_OK;
}

static Code check_function(Walk *walk, const Json *function)
{
    Str name = json_str(json_get(function, "function_name"));
    const FunctionRow *row = function_row(name);
    if (row == NULL || json_str(json_get(function, "catalog")).len > 0) {
        Str all[ARRAY_LEN(FUNCTIONS)];
        for (size_t i = 0; i < ARRAY_LEN(FUNCTIONS); i++)
            all[i] = str_z(FUNCTIONS[i].name);
        Str nearest = str_nearest(name, all, row == NULL ? ARRAY_LEN(all) : 0);
        Code code = err_set(walk->err, E_FORBIDDEN,
                            "the function " STR_FMT " is not on the list of "
                            "allowed functions",
                            STR_ARG(name));
        if (nearest.len > 0)
            code = err_hint(walk->err, code, "did you mean " STR_FMT "?", STR_ARG(nearest));
        return refuse(walk, code, function);
    }
    if (row->trait == FUNCTION_VOLATILE)
        note_volatile(walk, function, name);
    if (row->trait == FUNCTION_CAPPED)
        TRY(check_capped(walk, function, name));
    if (str_ieq(name, STR("printf")) || str_ieq(name, STR("format")))
        TRY(check_format(walk, function, name));
    return E_OK;
}

static Code walk_expression(Walk *walk, const Json *expression, Str class, bool in_type)
{
    if (!listed(CLASSES, ARRAY_LEN(CLASSES), class))
        return refuse(walk,
                      err_set(walk->err, E_FORBIDDEN,
                              "expressions of the kind " STR_FMT " are not allowed",
                              STR_ARG(class)),
                      expression);
    if (str_eq(class, STR("CONSTANT")))
        return E_OK;
    if (str_eq(class, STR("FUNCTION")) || str_eq(class, STR("WINDOW")))
        TRY(check_function(walk, expression));
    if (str_eq(class, STR("COLUMN_REF"))) {
        const Json *names = json_get(expression, "column_names");
        Str name = json_str(json_at(names, 0));
        if (json_len(names) == 1 && listed(VOLATILE_NAMES, ARRAY_LEN(VOLATILE_NAMES), name))
            note_volatile(walk, expression, name);
        return E_OK;
    }
    return walk_members(walk, expression, in_type);
}

static Code push_cte(Walk *walk, Str name, const Json *place)
{
    if (walk->cte_count == GATE_CTES_MAX)
        return err_set(walk->err, E_LIMIT, "more than %d CTEs", GATE_CTES_MAX);
    if (str_istarts(name, STR("duckdb_")) || str_istarts(name, STR("pg_")) ||
        str_istarts(name, STR("sqlite_")) || str_istarts(name, STR("pragma_")))
        return refuse(
            walk,
            err_set(walk->err, E_FORBIDDEN, "a CTE may not be called " STR_FMT, STR_ARG(name)),
            place);
    walk->ctes[walk->cte_count++] = name;
    return E_OK;
}

static Code walk_ctes(Walk *walk, const Json *node)
{
    JsonIter it = json_iter(json_get(json_get(node, "cte_map"), "map"));
    while (json_next(&it)) {
        TRY(walk_value(walk, json_get(it.value, "value"), false));
        TRY(push_cte(walk, json_str(json_get(it.value, "key")), it.value));
    }
    return E_OK;
}

/* A query: its CTEs, then what sees them. */
static Code walk_query(Walk *walk, const Json *node, Str type)
{
    size_t outer = walk->cte_count;
    TRY(walk_ctes(walk, node));
    if (str_eq(type, STR("RECURSIVE_CTE_NODE")) || str_eq(type, STR("CTE_NODE"))) {
        TRY(walk_value(walk, json_get(node, "left"), false));
        Str name = json_str(json_get(node, "cte_name"));
        TRY(push_cte(walk, name.ptr != NULL ? name : json_str(json_get(node, "ctename")), node));
    }
    JsonIter it = json_iter(node);
    while (json_next(&it))
        if (!str_eq(it.key, STR("cte_map")))
            TRY(walk_value(walk, it.value, false));
    walk->cte_count = outer;
    return E_OK;
}

static bool looks_like_file(Str name)
{
    return str_find_char(name, '/') >= 0 || str_find_char(name, '\\') >= 0 ||
           str_ends(name, STR(".csv")) || str_ends(name, STR(".json")) ||
           str_ends(name, STR(".parquet"));
}

static Code walk_table(Walk *walk, const Json *table)
{
    GateRef ref = { .catalog = json_str(json_get(table, "catalog_name")),
                    .ns = json_str(json_get(table, "schema_name")),
                    .name = json_str(json_get(table, "table_name")),
                    .alias = json_str(json_get(table, "alias")),
                    .position = position_of(table) };
    if (!json_is_null(json_get(table, "at_clause")))
        return refuse(walk, err_set(walk->err, E_SYNTAX, "time travel cannot stand here"), table);
    if (ref.ns.len == 0 && ref.catalog.len == 0) {
        for (size_t i = walk->cte_count; i > 0; i--)
            if (str_ieq(walk->ctes[i - 1], ref.name))
                return E_OK;
        if (looks_like_file(ref.name)) {
            Code code = err_set(walk->err, E_FORBIDDEN,
                                "'" STR_FMT "' is no table; files and addresses "
                                "are not read by name",
                                STR_ARG(ref.name));
            code = err_hint(walk->err, code, "objects of the lake: read_csv('s3://bucket/key')");
            return refuse(walk, code, table);
        }
    }
    if (walk->gate->ref_count == GATE_REFS_MAX)
        return err_set(walk->err, E_LIMIT, "more than %d tables in one statement", GATE_REFS_MAX);
    walk->gate->refs[walk->gate->ref_count++] = ref;
    return E_OK;
}

/* Constant texts of an argument: one, or a list of them. */
static bool raw_texts(const Json *argument, GateRaw *raw, size_t max)
{
    Str text = constant_text(argument);
    if (text.ptr != NULL && raw->text_count < max) {
        raw->texts[raw->text_count++] = text;
        return true;
    }
    if (!str_ieq(json_str(json_get(argument, "function_name")), STR("list_value")))
        return false;
    JsonIter it = json_iter(json_get(argument, "children"));
    while (json_next(&it)) {
        text = constant_text(it.value);
        if (text.ptr == NULL || raw->text_count == max)
            return false;
        raw->texts[raw->text_count++] = text;
    }
    return true;
}

static Code check_addresses(Walk *walk, const GateRaw *raw, const Json *function)
{
    for (size_t i = 0; i < raw->text_count; i++) {
        bool inside = str_starts(raw->texts[i], STR("s3://")) && raw->texts[i].len > 5;
        if (!inside) {
            Code code = err_set(walk->err, E_FORBIDDEN,
                                STR_FMT " reads objects of the lake only, not '" STR_FMT "'",
                                STR_ARG(raw->function), STR_ARG(raw->texts[i]));
            code = err_hint(walk->err, code, STR_FMT "('s3://bucket/key')", STR_ARG(raw->function));
            return refuse(walk, code, function);
        }
    }
    return E_OK;
}

static Code walk_raw(Walk *walk, const Json *table, const Json *function, Str name)
{
    enum { TEXTS_MAX = 1024 };
    if (walk->gate->raw_count == GATE_RAWS_MAX)
        return err_set(walk->err, E_LIMIT, "more than %d objects in one statement", GATE_RAWS_MAX);
    GateRaw raw = { .function = name,
                    .alias = json_str(json_get(table, "alias")),
                    .texts = arena_array(walk->arena, Str, TEXTS_MAX),
                    .arguments = json_get(function, "children"),
                    .position = position_of(table) };
    JsonIter it = json_iter(raw.arguments);
    while (json_next(&it)) {
        if (json_str(json_get(it.value, "alias")).len > 0)
            continue;
        if (!raw_texts(it.value, &raw, TEXTS_MAX))
            return refuse(walk,
                          err_set(walk->err, E_INVALID,
                                  "the arguments of " STR_FMT " must be texts "
                                  "in the statement",
                                  STR_ARG(name)),
                          it.value);
    }
    bool is_source = str_ieq(name, STR("source"));
    if (is_source ? raw.text_count != 2 : raw.text_count == 0) {
        Code code =
            err_set(walk->err, E_INVALID, STR_FMT " has the wrong arguments", STR_ARG(name));
        code =
            err_hint(walk->err, code,
                     is_source ? "source('skies', 'airports.csv')" : "read_csv('s3://bucket/key')");
        return refuse(walk, code, table);
    }
    if (!is_source)
        TRY(check_addresses(walk, &raw, function));
    walk->gate->raws[walk->gate->raw_count++] = raw;
    return E_OK;
}

static Code walk_table_function(Walk *walk, const Json *table)
{
    const Json *function = json_get(table, "function");
    Str name = json_str(json_get(function, "function_name"));
    const FunctionRow *row = row_of(TABLE_FUNCTIONS, ARRAY_LEN(TABLE_FUNCTIONS), name);
    bool qualified = json_str(json_get(function, "schema")).len > 0 ||
                     json_str(json_get(function, "catalog")).len > 0;
    if (row == NULL || qualified ||
        !str_eq(json_str(json_get(function, "class")), STR("FUNCTION"))) {
        Code code = err_set(walk->err, E_FORBIDDEN, "the table function " STR_FMT " is not allowed",
                            STR_ARG(name));
        code = err_hint(walk->err, code,
                        "allowed: range, generate_series, unnest, json_each, json_tree, "
                        "read_csv, read_json, read_parquet, source");
        return refuse(walk, code, table);
    }
    if (row->trait == FUNCTION_RAW)
        TRY(walk_raw(walk, table, function, str_z(row->name)));
    TRY(walk_value(walk, json_get(function, "children"), false));
    TRY(walk_value(walk, json_get(function, "order_bys"), false));
    return walk_value(walk, json_get(table, "subquery"), false);
}

static Code walk_show(Walk *walk, const Json *show)
{
    if (json_is_null(json_get(show, "query"))) {
        Code code =
            err_set(walk->err, E_UNSUPPORTED, "this form of SHOW or DESCRIBE stands alone only");
        return err_hint(walk->err, code,
                        "SHOW TABLES FROM ns; DESCRIBE ns.table; information_schema.tables");
    }
    walk->gate->is_describe = true;
    return walk_members(walk, show, false);
}

static Code walk_node(Walk *walk, const Json *node, Str type, bool in_type)
{
    if (in_type)
        return walk_members(walk, node, true);
    if (!listed(NODES, ARRAY_LEN(NODES), type))
        return refuse(walk,
                      err_set(walk->err, E_FORBIDDEN,
                              "statements with a part of the kind " STR_FMT " are not allowed",
                              STR_ARG(type)),
                      node);
    if (str_ends(type, STR("_NODE")))
        return walk_query(walk, node, type);
    if (str_eq(type, STR("BASE_TABLE")))
        return walk_table(walk, node);
    if (str_eq(type, STR("TABLE_FUNCTION")))
        return walk_table_function(walk, node);
    if (str_eq(type, STR("SHOW_REF")))
        return walk_show(walk, node);
    return walk_members(walk, node, false);
}

static Code walk_value(Walk *walk, const Json *value, bool in_type)
{
    JsonType json = json_type(value);
    if (json != JSON_OBJECT && json != JSON_ARRAY)
        return E_OK;
    if (++walk->depth > GATE_DEPTH_MAX)
        return err_set(walk->err, E_LIMIT, "the statement is nested too deeply");
    Str class = json_str(json_get(value, "class"));
    Str type = json_str(json_get(value, "type"));
    Code code = E_OK;
    if (json == JSON_OBJECT && class.ptr != NULL)
        code = walk_expression(walk, value, class, in_type);
    else if (json == JSON_OBJECT && type.ptr != NULL)
        code = walk_node(walk, value, type, in_type);
    else
        code = walk_members(walk, value, in_type);
    walk->depth--;
    return code;
}

Code gate_check(Str json, Arena *arena, Gate *ret_gate, Err *err)
{
    JsonLimits limits = { .depth_max = 1024, .keeps_duplicates = true };
    const Json *tree = NULL;
    Code code = json_parse(arena, json, &limits, &tree, err);
    if (code == E_LIMIT)
        return err_set(err, E_LIMIT, "the statement is nested too deeply");
    TRY(code);
    const Json *statements = json_get(tree, "statements");
    if (json_bool(json_get(tree, "error"), true) || json_len(statements) == 0)
        return err_set(err, E_SYNTAX, "this is no SELECT");
    if (json_len(statements) != 1)
        return err_set(err, E_INVALID, "one statement at a time, please");
    Gate gate = { .refs = arena_array(arena, GateRef, GATE_REFS_MAX),
                  .raws = arena_array(arena, GateRaw, GATE_RAWS_MAX),
                  .volatile_position = -1,
                  .node = json_get(json_at(statements, 0), "node") };
    Walk walk = {
        .arena = arena, .gate = &gate, .err = err, .ctes = arena_array(arena, Str, GATE_CTES_MAX)
    };
    if (json_type(gate.node) != JSON_OBJECT)
        return err_set(err, E_INTERNAL, "the tree of the statement has no node");
    TRY(walk_value(&walk, gate.node, false));
    *ret_gate = gate;
    return E_OK;
}
