/* quality.h: expectations as SQL over staged rows, their results as Great Expectations reports them, and
 * the score.
 * Owner:   results live in the Arena.
 * Threads: any.
 * Errors:  those of the SQL; one expectation that cannot be evaluated is a failed critical check instead.
 * Limits:  FLOW_SAMPLES_MAX values a check.
 * Units:   a score is 0 to 1; percents 0 to 100.
 *
 * Staged rows are bound as `_rows`, their quarantined siblings as `_bad` with a column `reason`. */
#pragma once

#include "flow/flow.h"
#include "flow/suite.h"

/* A critical expectation on single rows with mostly 1: its failing rows can be set aside, so it becomes
 * a condition of the write and is not evaluated again. */
bool quality_is_separable(const Expectation *e, ModelOnFail on_fail);

/* The condition under which a row is unexpected; never NULL for a row. SHAPE_ROW and SHAPE_REF only. */
void quality_put_unexpected(Buf *sql, const Expectation *e);

typedef struct QualityQuery {
    Sql *sql;
    const bool *cancel;          /* as in SqlRequest */
    const Suite *suite;
    ModelOnFail on_fail;
    const IceSchema *schema;     /* of the staged files */
    const SqlBinding *bindings;  /* _rows first */
    size_t binding_count;
    int64_t row_count;           /* in _rows */
    int64_t bad_count;           /* quarantined rows */
    const FlowReject *rejects;   /* of these, by reason */
    size_t reject_count;
} QualityQuery;

typedef struct QualityResult {
    FlowCheck *checks;
    size_t count;
    double score;
    double success_percent;
    bool veto;
} QualityResult;

Code quality_check(const QualityQuery *query, Arena *arena, QualityResult *ret_result,
                   Err *err) CHECKED;

/* Score, veto and percent of checks that were made: the rule of README.md, alone. */
void quality_score(const Suite *suite, ModelOnFail on_fail, QualityResult *result);
/* GX's suite result over all checks. */
void quality_put_json(Buf *buf, const Suite *suite, const QualityResult *result);
