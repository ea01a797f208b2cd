#include "flow/ledger.h"

#include "base/test.h"

static MetaLedger row(int64_t day, Str state)
{
    return (MetaLedger){ .start_us = day * LEDGER_DAY_US, .end_us = (day + 1) * LEDGER_DAY_US,
                         .state = state, .rows = 1 };
}

static LedgerMissing missing_of(Arena *arena, LedgerQuery query)
{
    Err err;
    LedgerMissing missing = { 0 };
    CHECK_OK(ledger_missing(arena, &query, &missing, &err), &err);
    return missing;
}

static const LedgerQuery TEN_DAYS = { .start_us = 0, .end_us = 10 * LEDGER_DAY_US };

TEST(ledger_without_rows_is_one_statement)
{
    Arena arena AUTO(arena_done) = { 0 };
    LedgerMissing missing = missing_of(&arena, TEN_DAYS);
    CHECK_INT(missing.count, 1);
    CHECK_INT(missing.days, 10);
    CHECK_INT(missing.intervals[0].end_us, 10 * LEDGER_DAY_US);
}

TEST(ledger_joins_days_up_to_the_batch_size)
{
    Arena arena AUTO(arena_done) = { 0 };
    LedgerQuery query = TEN_DAYS;
    query.batch_days = 4;
    LedgerMissing missing = missing_of(&arena, query);
    CHECK_INT(missing.count, 3);
    CHECK_INT(missing.intervals[1].start_us, 4 * LEDGER_DAY_US);
    CHECK_INT(missing.intervals[2].end_us, 10 * LEDGER_DAY_US);
    query.batch_days = 1;
    CHECK_INT(missing_of(&arena, query).count, 10);
}

TEST(ledger_gives_only_what_is_missing)
{
    Arena arena AUTO(arena_done) = { 0 };
    MetaLedger rows[10];
    for (int64_t i = 0; i < 10; i++)
        rows[i] = row(i, STR("published"));
    LedgerQuery query = TEN_DAYS;
    query.rows = rows;
    query.row_count = 10;
    CHECK_INT(missing_of(&arena, query).days, 0);
    rows[3] = row(3, STR("gated"));
    rows[7] = row(7, STR("incomplete"));
    LedgerMissing missing = missing_of(&arena, query);
    CHECK_INT(missing.days, 1);
    CHECK_INT(missing.failed_days, 1);
    CHECK_INT(missing.intervals[0].start_us, 3 * LEDGER_DAY_US);
    query.redo_incomplete = true;
    CHECK_INT(missing_of(&arena, query).count, 2);
    rows[5].rows = 0; /* its file came later */
    CHECK_INT(missing_of(&arena, query).count, 3);
    query.failed_only = true;
    CHECK_INT(missing_of(&arena, query).days, 1);
    query.failed_only = false;
    query.force = true;
    CHECK_INT(missing_of(&arena, query).days, 10);
}

TEST(ledger_looks_back_and_stays_in_range)
{
    Arena arena AUTO(arena_done) = { 0 };
    MetaLedger rows[9];
    for (int64_t i = 0; i < 9; i++)
        rows[i] = row(i, STR("published"));
    LedgerQuery query = TEN_DAYS;
    query.rows = rows;
    query.row_count = 9;
    query.lookback_days = 2;
    LedgerMissing missing = missing_of(&arena, query);
    CHECK_INT(missing.days, 3);
    CHECK_INT(missing.intervals[0].start_us, 7 * LEDGER_DAY_US);
    query.lookback_days = 50;
    CHECK_INT(missing_of(&arena, query).days, 10);
    query.row_count = 0;
    query.lookback_days = 0;
    query.from_us = 4 * LEDGER_DAY_US + 5;
    query.to_us = 6 * LEDGER_DAY_US;
    missing = missing_of(&arena, query);
    CHECK_INT(missing.days, 2);
    CHECK_INT(missing.intervals[0].start_us, 4 * LEDGER_DAY_US);
}

TEST(ledger_has_a_limit)
{
    Arena arena AUTO(arena_done) = { 0 };
    Err err;
    LedgerMissing missing;
    LedgerQuery query = { .start_us = 0, .end_us = (LEDGER_DAYS_MAX + 1) * LEDGER_DAY_US };
    CHECK_CODE(ledger_missing(&arena, &query, &missing, &err), E_LIMIT);
}

TEST(ledger_finds_days_with_few_rows)
{
    Arena arena AUTO(arena_done) = { 0 };
    const int64_t rows[] = { 100, 120, 6, 0, 110, 50, 49 };
    const bool wanted[] = { false, false, true, true, false, false, false };
    bool low[ARRAY_LEN(rows)] = { 0 };
    ledger_low_days(&arena, rows, ARRAY_LEN(rows), 0.5, low); /* the median is 50 */
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        CHECK_INT(low[i], wanted[i]);
}

TEST(ledger_days_before_1970)
{
    CHECK_INT(ledger_day(-1), -LEDGER_DAY_US);
    CHECK_INT(ledger_day(-LEDGER_DAY_US), -LEDGER_DAY_US);
    CHECK_INT(ledger_day(LEDGER_DAY_US + 1), LEDGER_DAY_US);
}
