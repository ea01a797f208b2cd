#include "flow/quality.h"

static void put_bounds(Buf *sql, const Expectation *e, Str value)
{
    buf_put(sql, STR("NOT ("));
    if (e->min.ptr)
        buf_format(sql, STR_FMT " %s " STR_FMT, STR_ARG(value), e->strict_min ? ">" : ">=",
                   STR_ARG(e->min));
    if (e->min.ptr && e->max.ptr)
        buf_put(sql, STR(" AND "));
    if (e->max.ptr)
        buf_format(sql, STR_FMT " %s " STR_FMT, STR_ARG(value), e->strict_max ? "<" : "<=",
                   STR_ARG(e->max));
    buf_put_char(sql, ')');
}

static void put_set(Buf *sql, const Expectation *e, Str name, bool negated)
{
    buf_format(sql, STR_FMT "%s IN (", STR_ARG(name), negated ? " NOT" : "");
    for (size_t i = 0; i < e->value_count; i++)
        buf_format(sql, "%s" STR_FMT, i ? ", " : "", STR_ARG(e->values[i]));
    buf_put_char(sql, ')');
}

static void put_regex(Buf *sql, const Expectation *e, Str name, bool negated)
{
    buf_format(sql, "%sregexp_matches(CAST(" STR_FMT " AS VARCHAR), ", negated ? "NOT " : "",
               STR_ARG(name));
    sql_put_text(sql, e->text);
    buf_put_char(sql, ')');
}

static void put_reference(Buf *sql, const Expectation *e, Str name)
{
    buf_format(sql, STR_FMT " NOT IN (SELECT ", STR_ARG(name));
    sql_put_name(sql, e->ref_column);
    buf_put(sql, STR(" FROM "));
    sql_put_name(sql, e->ref_ns);
    buf_put_char(sql, '.');
    sql_put_name(sql, e->ref_table);
    buf_put(sql, STR(" WHERE "));
    sql_put_name(sql, e->ref_column);
    buf_put(sql, STR(" IS NOT NULL)"));
}

static void put_pair(Buf *sql, const Expectation *e, Str name)
{
    buf_format(sql, "NOT (" STR_FMT " %s ", STR_ARG(name), e->or_equal ? ">=" : ">");
    sql_put_name(sql, e->columns[1]);
    buf_put_char(sql, ')');
}

static void put_test(Buf *sql, const Expectation *e, Str name)
{
    Arena tmp AUTO(arena_done) = { 0 };
    switch (e->kind) {
    case EXPECT_NOT_NULL:
        buf_format(sql, STR_FMT " IS NULL", STR_ARG(name));
        break;
    case EXPECT_IN_SET:
        put_set(sql, e, name, true);
        break;
    case EXPECT_NOT_IN_SET:
        put_set(sql, e, name, false);
        break;
    case EXPECT_BETWEEN:
        put_bounds(sql, e, name);
        break;
    case EXPECT_LENGTH:
        put_bounds(sql, e, str_format(&tmp, "length(" STR_FMT ")", STR_ARG(name)));
        break;
    case EXPECT_REGEX:
        put_regex(sql, e, name, true);
        break;
    case EXPECT_NOT_REGEX:
        put_regex(sql, e, name, false);
        break;
    case EXPECT_PAIR_GREATER:
        put_pair(sql, e, name);
        break;
    case EXPECT_REFERENCE:
        put_reference(sql, e, name);
        break;
    case EXPECT_UNIQUE:
    case EXPECT_COMPOUND_UNIQUE:
    case EXPECT_SQL_ROWS:
    case EXPECT_ROW_COUNT:
    case EXPECT_MEAN:
    case EXPECT_SUM:
    case EXPECT_MIN:
    case EXPECT_MAX:
    case EXPECT_OF_TYPE:
    case EXPECT_COLUMN_SET:
    case EXPECT_KIND_COUNT:
        ASSERT(!"an expectation on single rows");
    }
}

/* NULL is missing, not unexpected; a comparison that gives NULL is no failure either. */
void quality_put_unexpected(Buf *sql, const Expectation *e)
{
    Buf name AUTO(buf_done);
    buf_init(&name, SQL_TEXT_MAX);
    sql_put_name(&name, e->columns[0]);
    buf_put(sql, STR("(coalesce("));
    put_test(sql, e, buf_str(&name));
    buf_put(sql, STR(", false)"));
    if (e->kind != EXPECT_NOT_NULL)
        buf_format(sql, " AND " STR_FMT " IS NOT NULL", STR_ARG(buf_str(&name)));
    if (e->condition.len > 0)
        buf_format(sql, " AND coalesce((" STR_FMT "), false)", STR_ARG(e->condition));
    buf_put_char(sql, ')');
}

bool quality_is_separable(const Expectation *e, ModelOnFail on_fail)
{
    ExpectShape shape = expect_info(e->kind)->shape;
    return on_fail == ON_FAIL_QUARANTINE && e->severity == SEVERITY_CRITICAL && e->mostly == 1
           && (shape == SHAPE_ROW || shape == SHAPE_REF);
}
