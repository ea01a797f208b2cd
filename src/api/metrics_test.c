/* Covers metrics.c: every row has its value, and lag is what the feed has and the table has not. */
#include "api/api_fake.h"

#include "base/test.h"
#include "source/landing.h"
#include "store/store_keep.h"

TEST(metrics_follow_store_and_landing)
{
    FakeLake fake;
    Err err;
    uint64_t before[API_METRIC_COUNT], after[API_METRIC_COUNT], rows = 0;
    fake_lake_open(&fake);
    ApiLake *lake = &fake.lake;
    CHECK_OK(landing_step(lake->landing, &rows, &err), &err);
    api_metrics(lake, before);
    CHECK_INT(before[API_METRIC_feed_lag_changes], 0);
    StorePut put = { .bucket = STR("bronze"), .key = STR("k") };
    CHECK_OK(store_put(lake->store, &put, STR("12345"), NULL, &err), &err);
    api_metrics(lake, after);
    CHECK_INT(after[API_METRIC_store_sequence], before[API_METRIC_store_sequence] + 1);
    CHECK_INT(after[API_METRIC_store_objects], before[API_METRIC_store_objects] + 1);
    CHECK_INT(after[API_METRIC_store_object_bytes], before[API_METRIC_store_object_bytes] + 5);
    CHECK_INT(after[API_METRIC_feed_lag_changes], 1);
    CHECK(after[API_METRIC_feed_unread_changes] >= 1);
    CHECK_OK(landing_step(lake->landing, &rows, &err), &err);
    api_metrics(lake, after);
    CHECK_INT(after[API_METRIC_feed_landed_rows_total], 1);
    CHECK_INT(after[API_METRIC_feed_landing_commits_total], 1);
    CHECK(after[API_METRIC_feed_landed_sequence] > before[API_METRIC_feed_landed_sequence]);
    CHECK_INT(after[API_METRIC_arrival_runs_total], 0); /* nobody follows */
    ApiMaintained maintained = { .joined_files = 5, .failures = 2 };
    lake->maintained = &maintained;
    api_metrics(lake, after);
    CHECK_INT(after[API_METRIC_maintenance_joined_files_total], 5);
    CHECK_INT(after[API_METRIC_maintenance_failures_total], 2);
    fake_lake_close(&fake);
}
