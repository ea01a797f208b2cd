#include "flow/quality.h"

#include "format/arrow.h"
#include "format/json.h"

#include <math.h>

static const double WEIGHT_WARNING = 0.5;

/* What the SQL said about one expectation. */
typedef struct Counts {
    int64_t elements, missing, unexpected;
    double observed;      /* of SHAPE_VALUE */
    bool observed_null;
    Err *exception;       /* it could not be evaluated */
} Counts;

typedef struct Checker {
    const QualityQuery *q;
    Arena *arena;
    Counts *counts; /* one an expectation */
    Err *err;
} Checker;

static bool is_evaluated(const Checker *c, size_t i)
{
    return expect_info(c->q->suite->items[i].kind)->shape != SHAPE_SCHEMA;
}

/* ---- the combined query: three numbers an expectation ---- */

static void put_group(Buf *sql, const Expectation *e)
{
    for (size_t i = 0; i < e->column_count; i++) {
        if (i > 0)
            buf_put(sql, STR(", "));
        sql_put_name(sql, e->columns[i]);
    }
}

/* All columns NULL: the row is missing. */
static void put_missing(Buf *sql, const Expectation *e)
{
    buf_put_char(sql, '(');
    for (size_t i = 0; i < e->column_count; i++) {
        if (i > 0)
            buf_put(sql, STR(" AND "));
        sql_put_name(sql, e->columns[i]);
        buf_put(sql, STR(" IS NULL"));
    }
    if (e->condition.len > 0)
        buf_format(sql, " AND (" STR_FMT ")", STR_ARG(e->condition));
    buf_put_char(sql, ')');
}

static void put_query_of(Buf *sql, const Expectation *e)
{
    Str rest = e->text;
    for (;;) {
        ptrdiff_t at = str_find(rest, STR("{batch}"));
        if (at < 0)
            break;
        buf_format(sql, STR_FMT "_rows", STR_ARG(str_sub(rest, 0, (size_t)at)));
        rest = str_from(rest, (size_t)at + sizeof "{batch}" - 1);
    }
    buf_put(sql, rest);
    buf_put_char(sql, '\n'); /* the query may end in a comment */
}

static void put_unique(Buf *sql, const Expectation *e)
{
    buf_put(sql, STR("(SELECT CAST(coalesce(sum(n), 0) AS BIGINT) FROM (SELECT count(*) AS n FROM "
                     "_rows WHERE NOT "));
    put_missing(sql, e);
    if (e->condition.len > 0)
        buf_format(sql, " AND (" STR_FMT ")", STR_ARG(e->condition));
    buf_put(sql, STR(" GROUP BY "));
    put_group(sql, e);
    buf_put(sql, STR(" HAVING count(*) > 1) AS g)"));
}

/* Values first, then the look-up: a column has few of them beside its rows. */
static void put_reference(Buf *sql, const Expectation *e)
{
    Expectation bare = *e;
    bare.condition = STR_NONE;
    buf_put(sql, STR("(SELECT CAST(coalesce(sum(n), 0) AS BIGINT) FROM (SELECT "));
    put_group(sql, e);
    buf_put(sql, STR(", count(*) AS n FROM _rows"));
    if (e->condition.len > 0)
        buf_format(sql, " WHERE (" STR_FMT ")", STR_ARG(e->condition));
    buf_put(sql, STR(" GROUP BY "));
    put_group(sql, e);
    buf_put(sql, STR(") AS g WHERE "));
    quality_put_unexpected(sql, &bare);
    buf_put_char(sql, ')');
}

static void put_value(Buf *sql, const Expectation *e)
{
    static const struct {
        ExpectKind kind;
        const char *function;
    } functions[] = { { EXPECT_MEAN, "avg" }, { EXPECT_SUM, "sum" }, { EXPECT_MIN, "min" },
                      { EXPECT_MAX, "max" } };
    for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
        if (functions[i].kind != e->kind)
            continue;
        buf_format(sql, "CAST(%s(", functions[i].function);
        put_group(sql, e);
        buf_put(sql, STR(") AS DOUBLE)"));
        return;
    }
    buf_put(sql, STR("CAST(count(*) AS DOUBLE)"));
}

static void put_unexpected(Buf *sql, const Checker *c, const Expectation *e)
{
    if (quality_is_separable(e, c->q->on_fail)) {
        buf_put(sql, STR("CAST(0 AS BIGINT)"));
        return;
    }
    switch (expect_info(e->kind)->shape) {
    case SHAPE_ROW:
        buf_put(sql, STR("count(*) FILTER (WHERE "));
        quality_put_unexpected(sql, e);
        buf_put_char(sql, ')');
        break;
    case SHAPE_REF:
        put_reference(sql, e);
        break;
    case SHAPE_UNIQUE:
        put_unique(sql, e);
        break;
    case SHAPE_ROWS:
        buf_put(sql, STR("(SELECT count(*) FROM ("));
        put_query_of(sql, e);
        buf_put(sql, STR(") AS g)"));
        break;
    case SHAPE_VALUE:
        put_value(sql, e);
        break;
    case SHAPE_SCHEMA:
        break;
    }
}

static void put_counts(Buf *sql, const Checker *c, const Expectation *e)
{
    if (e->condition.len > 0)
        buf_format(sql, ", count(*) FILTER (WHERE " STR_FMT ")", STR_ARG(e->condition));
    else
        buf_put(sql, STR(", count(*)"));
    if (e->column_count > 0 && e->kind != EXPECT_NOT_NULL) {
        buf_put(sql, STR(", count(*) FILTER (WHERE "));
        put_missing(sql, e);
        buf_put(sql, STR("), "));
    } else {
        buf_put(sql, STR(", CAST(0 AS BIGINT), "));
    }
    put_unexpected(sql, c, e);
}

static Code run_sql(Checker *c, Str text, SqlResult **ret_result, Err *err)
{
    SqlRequest request = { .text = text, .bindings = c->q->bindings,
                           .binding_count = c->q->binding_count, .read_only = true,
                           .cancel = c->q->cancel };
    return sql_query(c->q->sql, &request, ret_result, err);
}

static void take_counts(Checker *c, const ArrowSchema *schema, const ArrowArray *batch, size_t first,
                        size_t count)
{
    int64_t column = 1; /* behind the count of all rows */
    for (size_t i = first; i < first + count; i++) {
        Counts *counts = &c->counts[i];
        if (!is_evaluated(c, i) || column + 2 >= batch->n_children)
            continue;
        ArrowSchema **types = &schema->children[column];
        ArrowArray **values = &batch->children[column];
        counts->elements = arrow_i64(types[0], values[0], 0, 0);
        counts->missing = arrow_i64(types[1], values[1], 0, 0);
        if (expect_info(c->q->suite->items[i].kind)->shape == SHAPE_VALUE) {
            counts->observed_null = arrow_is_null(types[2], values[2], 0);
            counts->observed = arrow_f64(types[2], values[2], 0, 0);
        } else {
            counts->unexpected = arrow_i64(types[2], values[2], 0, 0);
        }
        column += 3;
    }
}

static Code count_range(Checker *c, size_t first, size_t count, Err *err)
{
    Buf sql AUTO(buf_done);
    SqlResult *result AUTO(sql_result_free) = NULL;
    buf_init(&sql, SQL_TEXT_MAX);
    buf_put(&sql, STR("SELECT count(*)"));
    for (size_t i = first; i < first + count; i++) {
        if (is_evaluated(c, i))
            put_counts(&sql, c, &c->q->suite->items[i]);
    }
    buf_put(&sql, STR(" FROM _rows"));
    TRY(buf_end(&sql, "the query of all expectations", err));
    TRY(run_sql(c, buf_str(&sql), &result, err));
    ArrowArray batch AUTO(arrow_array_done) = { 0 };
    TRY(sql_result_next(result, &batch, err));
    if (batch.release && batch.length > 0)
        take_counts(c, sql_result_schema(result), &batch, first, count);
    return E_OK;
}

/* The expectation itself is wrong, not the machine. */
static bool is_its_own_fault(Code code)
{
    return code == E_SYNTAX || code == E_INVALID || code == E_TYPE || code == E_NOT_FOUND
           || code == E_FORBIDDEN || code == E_UNSUPPORTED || code == E_LIMIT;
}

/* All in one statement; when that fails each alone, so that one bad check does not hide the others. */
static Code count_all(Checker *c)
{
    size_t count = c->q->suite->count;
    Err first = { 0 };
    Code code = count_range(c, 0, count, &first);
    if (code == E_OK)
        return E_OK;
    if (!is_its_own_fault(code)) {
        if (c->err)
            *c->err = first;
        return code;
    }
    for (size_t i = 0; i < count; i++) {
        if (!is_evaluated(c, i))
            continue;
        Err *exception = arena_new(c->arena, Err);
        code = count_range(c, i, 1, exception);
        if (code == E_OK)
            continue;
        if (!is_its_own_fault(code)) {
            if (c->err)
                *c->err = *exception;
            return code;
        }
        c->counts[i].exception = exception;
    }
    return E_OK;
}

/* ---- results ---- */

static int64_t rejected(const QualityQuery *q, Str key)
{
    int64_t rows = 0;
    for (size_t i = 0; i < q->reject_count; i++) {
        if (str_eq(q->rejects[i].reason, key))
            rows += q->rejects[i].rows;
    }
    return rows;
}

static bool in_bounds(const Expectation *e, double value)
{
    bool low = e->strict_min ? value <= e->min_number : value < e->min_number;
    bool high = e->strict_max ? value >= e->max_number : value > e->max_number;
    return !low && !high;
}

static bool schema_fits(const Expectation *e, const IceSchema *schema)
{
    Arena tmp AUTO(arena_done) = { 0 };
    size_t found = 0;
    if (e->kind == EXPECT_OF_TYPE) {
        const IceField *field = ice_schema_column(schema, e->columns[0]);
        return field && str_ieq(ice_type_to_sql(&tmp, field->type), e->text);
    }
    for (size_t i = 0; i < e->value_count; i++)
        found += ice_schema_column(schema, e->values[i]) != NULL;
    return found == e->value_count && (!e->exact_match || found == schema->field_count);
}

static void judge(const Checker *c, const Expectation *e, Counts *counts, FlowCheck *check)
{
    ExpectShape shape = expect_info(e->kind)->shape;
    if (quality_is_separable(e, c->q->on_fail)) {
        counts->unexpected = rejected(c->q, e->key);
        counts->elements = c->q->row_count + c->q->bad_count;
    }
    check->element_count = counts->elements;
    check->missing_count = counts->missing;
    check->unexpected_count = counts->unexpected;
    int64_t of = counts->elements - counts->missing;
    check->fraction = of > 0 ? 1 - MIN(1.0, (double)counts->unexpected / (double)of) : 1;
    if (counts->exception)
        check->fraction = 0;
    else if (shape == SHAPE_VALUE)
        check->fraction = counts->observed_null || in_bounds(e, counts->observed);
    else if (shape == SHAPE_SCHEMA)
        check->fraction = schema_fits(e, c->q->schema);
    check->success = counts->unexpected == 0 && check->fraction == 1;
    if (!check->success && !counts->exception && (shape == SHAPE_ROW || shape == SHAPE_REF
                                                  || shape == SHAPE_UNIQUE))
        check->success = e->mostly < 1 && check->fraction >= e->mostly;
    check->severity = severity_name(counts->exception ? SEVERITY_CRITICAL : e->severity);
}

static void put_sample_query(Buf *sql, const Checker *c, const Expectation *e)
{
    ExpectShape shape = expect_info(e->kind)->shape;
    if (quality_is_separable(e, c->q->on_fail)) {
        buf_put(sql, STR("SELECT _raw FROM _bad WHERE contains(reason, "));
        sql_put_text(sql, e->key);
        buf_put_char(sql, ')');
    } else if (shape == SHAPE_ROWS) {
        buf_put(sql, STR("SELECT CAST(to_json(g) AS VARCHAR) FROM ("));
        put_query_of(sql, e);
        buf_put(sql, STR(") AS g"));
    } else if (shape == SHAPE_UNIQUE) {
        buf_put(sql, STR("SELECT CAST(to_json(g) AS VARCHAR) FROM (SELECT "));
        put_group(sql, e);
        buf_put(sql, STR(" FROM _rows WHERE NOT "));
        put_missing(sql, e);
        buf_put(sql, STR(" GROUP BY "));
        put_group(sql, e);
        buf_put(sql, STR(" HAVING count(*) > 1) AS g"));
    } else {
        buf_put(sql, STR("SELECT CAST("));
        sql_put_name(sql, e->columns[0]);
        buf_put(sql, STR(" AS VARCHAR) FROM _rows WHERE "));
        quality_put_unexpected(sql, e);
    }
    buf_format(sql, " LIMIT %d", FLOW_SAMPLES_MAX);
}

/* Samples are for people: when they cannot be had, the list stays empty. */
static void put_samples(JsonWriter *w, Checker *c, const Expectation *e)
{
    Buf sql AUTO(buf_done);
    SqlResult *result AUTO(sql_result_free) = NULL;
    buf_init(&sql, SQL_TEXT_MAX);
    put_sample_query(&sql, c, e);
    json_key(w, STR("partial_unexpected_list"));
    json_begin_array(w);
    bool good = buf_end(&sql, "samples", NULL) == E_OK
                && run_sql(c, buf_str(&sql), &result, NULL) == E_OK;
    for (int left = FLOW_SAMPLES_MAX; good && left > 0;) {
        ArrowArray batch AUTO(arrow_array_done) = { 0 };
        good = sql_result_next(result, &batch, NULL) == E_OK && batch.release;
        for (int64_t row = 0; good && row < batch.length && left > 0; row++, left--)
            json_put_str(w, arrow_str(sql_result_schema(result)->children[0], batch.children[0], row));
    }
    json_end_array(w);
}

static void put_percent(JsonWriter *w, const char *key, int64_t part, int64_t of)
{
    json_key(w, str_z(key));
    if (of > 0)
        json_put_f64(w, 100.0 * (double)part / (double)of);
    else
        json_put_null(w);
}

static void put_counts_json(JsonWriter *w, Checker *c, const Expectation *e, const FlowCheck *check)
{
    int64_t of = check->element_count - check->missing_count;
    json_field_i64(w, "element_count", check->element_count);
    json_field_i64(w, "unexpected_count", check->unexpected_count);
    put_percent(w, "unexpected_percent", check->unexpected_count, of);
    if (check->unexpected_count > 0)
        put_samples(w, c, e);
    else
        json_field_raw(w, "partial_unexpected_list", STR("[]"));
    if (e->kind == EXPECT_NOT_NULL)
        return;
    json_field_i64(w, "missing_count", check->missing_count);
    put_percent(w, "missing_percent", check->missing_count, check->element_count);
    put_percent(w, "unexpected_percent_total", check->unexpected_count, check->element_count);
    put_percent(w, "unexpected_percent_nonmissing", check->unexpected_count, of);
}

static void put_exception(JsonWriter *w, const Err *exception)
{
    json_key(w, STR("exception_info"));
    json_begin_object(w);
    json_field_bool(w, "raised_exception", exception != NULL);
    json_field_raw(w, "exception_traceback", STR("null"));
    json_field_str(w, "exception_message", exception ? str_z(exception->text) : STR_NONE);
    json_end_object(w);
}

static Str result_json(Checker *c, const Expectation *e, const Counts *counts, const FlowCheck *check)
{
    Buf buf AUTO(buf_done);
    buf_init(&buf, 4 << 20);
    JsonWriter w = json_writer(&buf);
    ExpectShape shape = expect_info(e->kind)->shape;
    json_begin_object(&w);
    json_field_bool(&w, "success", check->success);
    json_field_raw(&w, "expectation_config", e->config_json);
    json_key(&w, STR("result"));
    json_begin_object(&w);
    if (counts->exception) {
        /* GX leaves the result empty then. */
    } else if (shape == SHAPE_VALUE) {
        json_key(&w, STR("observed_value"));
        if (counts->observed_null)
            json_put_null(&w);
        else
            json_put_f64(&w, counts->observed);
    } else if (shape != SHAPE_SCHEMA) {
        put_counts_json(&w, c, e, check);
    }
    json_end_object(&w);
    json_field_raw(&w, "meta", STR("{}"));
    put_exception(&w, counts->exception);
    json_end_object(&w);
    if (buf_end(&buf, "a check's result", NULL) != E_OK)
        return STR("{}");
    return str_copy(c->arena, buf_str(&buf));
}

static Str columns_text(Arena *arena, const Expectation *e)
{
    if (e->column_count == 0)
        return str_copy(arena, e->description);
    Buf buf AUTO(buf_done);
    buf_init(&buf, SUITE_BYTES_MAX);
    for (size_t i = 0; i < e->column_count; i++)
        buf_format(&buf, "%s" STR_FMT, i ? ", " : "", STR_ARG(e->columns[i]));
    return str_copy(arena, buf_str(&buf));
}

void quality_score(const Suite *suite, ModelOnFail on_fail, QualityResult *result)
{
    double sum = 0;
    double weights = 0;
    size_t good = 0;
    result->veto = false;
    for (size_t i = 0; i < result->count; i++) {
        const FlowCheck *check = &result->checks[i];
        bool critical = str_eq(check->severity, STR("critical"));
        double weight = critical ? 1 : str_eq(check->severity, STR("warning")) ? WEIGHT_WARNING : 0;
        sum += weight * check->fraction;
        weights += weight;
        good += check->success;
        if (critical && !check->success && !quality_is_separable(&suite->items[i], on_fail))
            result->veto = true;
    }
    result->score = weights > 0 ? sum / weights : 1;
    result->success_percent = result->count > 0 ? 100.0 * (double)good / (double)result->count : 100;
}

Code quality_check(const QualityQuery *query, Arena *arena, QualityResult *ret_result, Err *err)
{
    size_t count = query->suite->count;
    Checker c = { .q = query, .arena = arena, .err = err };
    QualityResult result = { .count = count };
    result.checks = arena_array(arena, FlowCheck, count);
    c.counts = arena_array(arena, Counts, count);
    if (count > 0)
        TRY(count_all(&c));
    for (size_t i = 0; i < count; i++) {
        const Expectation *e = &query->suite->items[i];
        FlowCheck *check = &result.checks[i];
        judge(&c, e, &c.counts[i], check);
        check->type = str_copy(arena, expect_info(e->kind)->gx);
        check->column = columns_text(arena, e);
        check->result_json = result_json(&c, e, &c.counts[i], check);
    }
    quality_score(query->suite, query->on_fail, &result);
    *ret_result = result;
    return E_OK;
}

void quality_put_json(Buf *buf, const Suite *suite, const QualityResult *result)
{
    JsonWriter w = json_writer(buf);
    size_t good = 0;
    json_begin_object(&w);
    json_key(&w, STR("results"));
    json_begin_array(&w);
    for (size_t i = 0; i < result->count; i++) {
        good += result->checks[i].success;
        json_put_raw(&w, result->checks[i].result_json);
    }
    json_end_array(&w);
    json_field_bool(&w, "success", good == result->count);
    json_field_str(&w, "suite_name", suite->name.ptr ? suite->name : STR("audits"));
    json_field_raw(&w, "suite_parameters", STR("{}"));
    json_key(&w, STR("statistics"));
    json_begin_object(&w);
    json_field_u64(&w, "evaluated_expectations", result->count);
    json_field_u64(&w, "successful_expectations", good);
    json_field_u64(&w, "unsuccessful_expectations", result->count - good);
    json_field_f64(&w, "success_percent", result->success_percent);
    json_end_object(&w);
    json_field_raw(&w, "meta", STR("{}"));
    json_field_raw(&w, "id", STR("null"));
    json_end_object(&w);
}
