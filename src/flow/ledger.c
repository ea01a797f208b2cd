#include "flow/ledger.h"

#include "base/vec.h"

#include <stdlib.h>

typedef Vec(FlowInterval) IntervalVec;

int64_t ledger_day(int64_t time_us)
{
    int64_t rest = time_us % LEDGER_DAY_US;
    return time_us - rest - (rest < 0 ? LEDGER_DAY_US : 0);
}

typedef enum DayState { DAY_NEVER, DAY_FAILED, DAY_INCOMPLETE, DAY_DONE } DayState;

static DayState state_of(const MetaLedger *row)
{
    if (str_eq(row->state, STR("published")))
        return row->rows > 0 ? DAY_DONE : DAY_INCOMPLETE; /* its file may come later */
    return str_eq(row->state, STR("incomplete")) ? DAY_INCOMPLETE : DAY_FAILED;
}

static bool is_missing(const LedgerQuery *q, DayState state)
{
    if (q->failed_only)
        return state == DAY_FAILED;
    if (q->force)
        return true;
    return state == DAY_NEVER || state == DAY_FAILED
           || (state == DAY_INCOMPLETE && q->redo_incomplete);
}

static void mark_lookback(bool *missing, size_t count, int64_t days)
{
    size_t first = 0;
    while (first < count && !missing[first])
        first++;
    if (first == count)
        return;
    for (int64_t i = 1; i <= days && (size_t)i <= first; i++)
        missing[first - (size_t)i] = true;
}

static LedgerMissing join_days(Arena *arena, const LedgerQuery *q, int64_t from, const bool *missing,
                               size_t count)
{
    LedgerMissing out = { 0 };
    IntervalVec intervals = { 0 };
    int64_t longest = q->batch_days > 0 ? q->batch_days * LEDGER_DAY_US : INT64_MAX;
    for (size_t i = 0; i < count; i++) {
        if (!missing[i])
            continue;
        int64_t start = from + (int64_t)i * LEDGER_DAY_US;
        out.days++;
        FlowInterval *last = intervals.len > 0 ? vec_last(&intervals) : NULL;
        if (last && last->end_us == start && start - last->start_us < longest)
            last->end_us += LEDGER_DAY_US;
        else
            vec_push(&intervals, (FlowInterval){ start, start + LEDGER_DAY_US });
    }
    out.count = intervals.len;
    out.intervals = arena_copy(arena, intervals.items, intervals.len * sizeof *intervals.items);
    vec_done(&intervals);
    return out;
}

Code ledger_missing(Arena *arena, const LedgerQuery *q, LedgerMissing *ret_missing, Err *err)
{
    int64_t from = ledger_day(q->from_us ? MAX(q->from_us, q->start_us) : q->start_us);
    int64_t to = ledger_day(q->to_us ? MIN(q->to_us, q->end_us) : q->end_us);
    *ret_missing = (LedgerMissing){ 0 };
    if (to <= from)
        return E_OK;
    size_t count = (size_t)((to - from) / LEDGER_DAY_US);
    if (count > LEDGER_DAYS_MAX)
        return err_set(err, E_LIMIT, "more than %d days in one plan", LEDGER_DAYS_MAX);
    DayState *states = arena_array(arena, DayState, count);
    for (size_t i = 0; i < q->row_count; i++) {
        int64_t at = q->rows[i].start_us - from;
        if (at >= 0 && at < to - from)
            states[at / LEDGER_DAY_US] = state_of(&q->rows[i]);
    }
    bool *missing = arena_array(arena, bool, count);
    size_t failed = 0;
    for (size_t i = 0; i < count; i++) {
        missing[i] = is_missing(q, states[i]);
        failed += missing[i] && states[i] == DAY_FAILED;
    }
    mark_lookback(missing, count, q->lookback_days);
    *ret_missing = join_days(arena, q, from, missing, count);
    ret_missing->failed_days = failed;
    return E_OK;
}

static int by_number(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a;
    int64_t right = *(const int64_t *)b;
    return left < right ? -1 : left > right;
}

void ledger_low_days(Arena *arena, const int64_t *rows, size_t count, double part, bool *ret_low)
{
    if (count == 0)
        return;
    int64_t *sorted = arena_copy(arena, rows, count * sizeof *rows);
    qsort(sorted, count, sizeof *sorted, by_number);
    double middle = count % 2 ? (double)sorted[count / 2]
                              : ((double)sorted[count / 2 - 1] + (double)sorted[count / 2]) / 2;
    for (size_t i = 0; i < count; i++)
        ret_low[i] = (double)rows[i] < part * middle;
}
