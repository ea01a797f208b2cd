/* predicate.c: the engine filters again, so a predicate that is left out costs time only; one too
 * many would lose rows. Hence: only AND, only the SELECT whose FROM is the table itself. */
#include "sql/predicate.h"

#include "sql/gate.h"

typedef struct Collect {
    const SqlParam *params;
    size_t param_count;
    const IceSchema *schema;
    Arena *arena;
    ScanPredicate *items;
    size_t count;
    unsigned depth;
} Collect;

static bool is_class(const Json *expression, const char *class)
{
    return str_eq(json_str(json_get(expression, "class")), str_z(class));
}

/* The SELECT whose FROM is a table and nothing else. */
static const Json *find_select(const Json *value, unsigned depth)
{
    if (depth > GATE_DEPTH_MAX ||
        (json_type(value) != JSON_OBJECT && json_type(value) != JSON_ARRAY))
        return NULL;
    Str from = json_str(json_get(json_get(value, "from_table"), "type"));
    if (str_eq(from, STR("BASE_TABLE")))
        return value;
    JsonIter it = json_iter(value);
    while (json_next(&it)) {
        const Json *found = find_select(it.value, depth + 1);
        if (found != NULL)
            return found;
    }
    return NULL;
}

/* A column of the table: `c`, or `t.c` with whatever the table is called. */
static const IceField *column_of(const Collect *c, const Json *expression)
{
    const Json *names = json_get(expression, "column_names");
    size_t count = json_len(names);
    if (!is_class(expression, "COLUMN_REF") || count == 0 || count > 2)
        return NULL;
    Str name = json_str(json_at(names, count - 1));
    for (size_t i = 0; i < c->schema->field_count; i++) {
        if (count == 2 && str_ieq(c->schema->fields[i].name, json_str(json_at(names, 0))))
            return NULL; /* may be a field of a struct */
    }
    for (size_t i = 0; i < c->schema->field_count; i++)
        if (str_ieq(c->schema->fields[i].name, name))
            return &c->schema->fields[i];
    return NULL;
}

static bool parse_value(Collect *c, const IceType *type, Str text, IceValue *value)
{
    return ice_value_parse(type, text, c->arena, value, NULL) == E_OK;
}

static bool param_value(Collect *c, const Json *expression, const IceType *type, IceValue *value)
{
    Str name = json_str(json_get(expression, "identifier"));
    const SqlParam *param = NULL;
    int64_t place = 0;
    for (size_t i = 0; i < c->param_count; i++)
        if (c->params[i].name.len > 0 && str_ieq(c->params[i].name, name))
            param = &c->params[i];
    if (param == NULL && str_i64(name, &place) && place >= 1 && (uint64_t)place <= c->param_count &&
        c->params[place - 1].name.len == 0)
        param = &c->params[place - 1];
    if (param == NULL)
        return false;
    bool integer = type->kind == ICE_INT || type->kind == ICE_LONG;
    if (param->kind == SQL_PARAM_I64 && integer)
        return parse_value(c, type, str_format(c->arena, "%lld", (long long)param->i64), value);
    if (param->kind == SQL_PARAM_TEXT && type->kind == ICE_STRING)
        return parse_value(c, type, param->text, value);
    if (param->kind == SQL_PARAM_TIMESTAMP && type->kind == ICE_TIMESTAMP) {
        Str text = time_format(c->arena, param->i64);
        return parse_value(c, type, str_sub(text, 0, text.len - 1), value); /* without the Z */
    }
    if (param->kind == SQL_PARAM_DATE && type->kind == ICE_DATE)
        return parse_value(c, type, date_format(c->arena, param->i64 * 86400000000), value);
    return false;
}

static bool constant_value(Collect *c, const Json *expression, const IceType *type, IceValue *value)
{
    if (is_class(expression, "PARAMETER"))
        return param_value(c, expression, type, value);
    Str cast = STR_NONE;
    if (is_class(expression, "CAST")) {
        cast = json_str(json_get(json_get(expression, "cast_type"), "id"));
        expression = json_get(expression, "child");
    }
    if (!is_class(expression, "CONSTANT"))
        return false;
    const Json *constant = json_get(expression, "value");
    Str id = json_str(json_get(json_get(constant, "type"), "id"));
    const Json *plain = json_get(constant, "value");
    bool text = str_eq(id, STR("VARCHAR"));
    bool integer = (str_eq(id, STR("INTEGER")) || str_eq(id, STR("BIGINT"))) && json_is_i64(plain);
    if ((type->kind == ICE_INT || type->kind == ICE_LONG) && integer && cast.ptr == NULL)
        return parse_value(c, type, str_format(c->arena, "%lld", (long long)json_i64(plain, 0)),
                           value);
    if (type->kind == ICE_STRING && text && cast.ptr == NULL)
        return parse_value(c, type, json_str(plain), value);
    Str day = json_str(plain);
    if (type->kind == ICE_DATE && text && (cast.ptr == NULL || str_eq(cast, STR("DATE"))))
        return day.len == 10 && parse_value(c, type, day, value);
    if (type->kind == ICE_TIMESTAMP && text && (cast.ptr == NULL || str_eq(cast, STR("TIMESTAMP"))))
        return day.len >= 10 && day.len <= 26 && parse_value(c, type, day, value);
    return false;
}

static bool op_of(const Json *comparison, bool flipped, PredicateOp *ret_op)
{
    static const struct {
        const char *type;
        PredicateOp op, flipped;
    } ROWS[] = {
        { "COMPARE_EQUAL", PREDICATE_EQ, PREDICATE_EQ },
        { "COMPARE_LESSTHAN", PREDICATE_LT, PREDICATE_GT },
        { "COMPARE_GREATERTHAN", PREDICATE_GT, PREDICATE_LT },
        { "COMPARE_LESSTHANOREQUALTO", PREDICATE_LE, PREDICATE_GE },
        { "COMPARE_GREATERTHANOREQUALTO", PREDICATE_GE, PREDICATE_LE },
    };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++)
        if (str_eq(json_str(json_get(comparison, "type")), str_z(ROWS[i].type))) {
            *ret_op = flipped ? ROWS[i].flipped : ROWS[i].op;
            return true;
        }
    return false;
}

static void add(Collect *c, const IceField *field, PredicateOp op, const IceValue *values,
                size_t count)
{
    if (c->count < SCAN_PREDICATES_MAX)
        c->items[c->count++] = (ScanPredicate){
            .field_id = field->id, .op = op, .values = values, .value_count = count
        };
}

static void add_one(Collect *c, const IceField *field, PredicateOp op, const Json *constant)
{
    IceValue *value = arena_new(c->arena, IceValue);
    if (field != NULL && constant_value(c, constant, field->type, value))
        add(c, field, op, value, 1);
}

static void add_comparison(Collect *c, const Json *comparison)
{
    const Json *left = json_get(comparison, "left");
    const Json *right = json_get(comparison, "right");
    bool flipped = is_class(right, "COLUMN_REF");
    PredicateOp op;
    if (op_of(comparison, flipped, &op))
        add_one(c, column_of(c, flipped ? right : left), op, flipped ? left : right);
}

static void add_in(Collect *c, const Json *in)
{
    const Json *children = json_get(in, "children");
    const IceField *field = column_of(c, json_at(children, 0));
    size_t count = json_len(children);
    if (field == NULL || count < 2 || count - 1 > SCAN_VALUES_MAX)
        return;
    IceValue *values = arena_array(c->arena, IceValue, count - 1);
    JsonIter it = json_iter(children);
    size_t at = 0;
    while (json_next(&it)) {
        if (at++ == 0)
            continue;
        if (!constant_value(c, it.value, field->type, &values[at - 2]))
            return;
    }
    add(c, field, PREDICATE_IN, values, count - 1);
}

static void collect(Collect *c, const Json *where)
{
    if (++c->depth > GATE_DEPTH_MAX)
        return;
    Str type = json_str(json_get(where, "type"));
    if (str_eq(type, STR("CONJUNCTION_AND"))) {
        JsonIter it = json_iter(json_get(where, "children"));
        while (json_next(&it))
            collect(c, it.value);
    } else if (is_class(where, "COMPARISON")) {
        add_comparison(c, where);
    } else if (is_class(where, "BETWEEN")) {
        const IceField *field = column_of(c, json_get(where, "input"));
        add_one(c, field, PREDICATE_GE, json_get(where, "lower"));
        add_one(c, field, PREDICATE_LE, json_get(where, "upper"));
    } else if (str_eq(type, STR("COMPARE_IN"))) {
        add_in(c, where);
    }
    c->depth--;
}

size_t sql_predicates(const Json *node, const SqlParam *params, size_t param_count,
                      const IceSchema *schema, Arena *arena, ScanPredicate **ret_predicates)
{
    Collect c = { .params = params,
                  .param_count = param_count,
                  .schema = schema,
                  .arena = arena,
                  .items = arena_array(arena, ScanPredicate, SCAN_PREDICATES_MAX) };
    const Json *select = find_select(node, 0);
    if (select != NULL)
        collect(&c, json_get(select, "where_clause"));
    *ret_predicates = c.items;
    return c.count;
}
