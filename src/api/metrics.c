/* The values behind the rows of metrics.def, all of them asked at one time. */
#include "api/api_priv.h"

#include "flow/arrivals.h"
#include "source/landing.h"
#include "store/store_keep.h"
#include "table/table_keep.h"

static void store_values(const ApiLake *lake, uint64_t *values)
{
    StoreUsage usage = { 0 };
    if (store_usage(lake->store, &usage, NULL) != E_OK)
        return;
    StoreFeedState feed;
    store_feed_state(lake->store, &feed);
    values[API_METRIC_store_sequence] = feed.newest;
    values[API_METRIC_feed_unread_changes] = feed.unread;
    values[API_METRIC_feed_journal_bytes] = feed.journal_bytes;
    values[API_METRIC_store_objects] = usage.objects;
    values[API_METRIC_store_object_bytes] = usage.object_bytes;
    values[API_METRIC_store_trash_objects] = usage.trash_objects;
    values[API_METRIC_store_trash_bytes] = usage.trash_bytes;
    values[API_METRIC_store_journal_bytes] = usage.journal_bytes;
    values[API_METRIC_store_recent_bytes] = usage.recent_bytes;
    values[API_METRIC_store_recent_reads_total] = usage.recent_reads;
}

static void space_values(const ApiLake *lake, uint64_t *values)
{
    StoreSpace space;
    store_space(lake->store, &space);
    values[API_METRIC_store_space_level] = space.level;
    values[API_METRIC_store_space_free_bytes] = space.free_bytes;
    values[API_METRIC_store_space_total_bytes] = space.total_bytes;
    values[API_METRIC_store_space_refused_total] = space.refused;
    values[API_METRIC_fenced] = store_writable(lake->store, NULL) != E_OK || meta_writable(lake->meta, NULL) != E_OK;
    values[API_METRIC_store_held] = store_hold_on(lake->store);
}

static void landing_values(const ApiLake *lake, uint64_t *values)
{
    LandingState state = landing_state(lake->landing);
    values[API_METRIC_feed_landed_sequence] = state.landed;
    values[API_METRIC_feed_lag_changes] = state.newest - state.seen;
    values[API_METRIC_feed_landed_rows_total] = state.rows;
    values[API_METRIC_feed_landing_commits_total] = state.commits;
    values[API_METRIC_feed_landing_failures_total] = state.failures;
    values[API_METRIC_feed_lost_changes_total] = state.lost;
}

static void arrival_values(const ApiLake *lake, uint64_t *values)
{
    FlowArrivalsState state = flow_arrivals_state(lake->arrivals);
    values[API_METRIC_arrival_triggers_total] = state.triggers;
    values[API_METRIC_arrival_decisions_total] = state.decisions;
    values[API_METRIC_arrival_runs_total] = state.runs;
    values[API_METRIC_arrival_failures_total] = state.failures;
}

static void state_values(ApiState *state, uint64_t *values)
{
    values[API_METRIC_audit_waiting] = api_audit_waits(state);
    values[API_METRIC_audit_lost_total] = atomic_load(&state->audit_lost);
    values[API_METRIC_backup_last_seconds] = atomic_load(&state->backup_seconds);
    values[API_METRIC_backup_last_sequence] = atomic_load(&state->backup_sequence);
}

static void scrub_values(ApiScrubbed *scrubbed, uint64_t *values)
{
    values[API_METRIC_scrub_last_seconds] = atomic_load(&scrubbed->seconds);
    values[API_METRIC_scrub_objects] = atomic_load(&scrubbed->objects);
    values[API_METRIC_scrub_bytes] = atomic_load(&scrubbed->bytes);
    values[API_METRIC_scrub_findings] = atomic_load(&scrubbed->findings);
}

static void kept_values(const ApiLake *lake, uint64_t *values)
{
    CatalogKept kept = catalog_kept(lake->catalog);
    values[API_METRIC_maintenance_expired_snapshots_total] = kept.snapshots_expired;
    values[API_METRIC_maintenance_removed_files_total] = kept.objects_removed;
    values[API_METRIC_maintenance_removed_bytes_total] = kept.bytes_removed;
    values[API_METRIC_maintenance_removed_tables_total] = kept.tables_removed;
}

static void maintained_values(ApiMaintained *maintained, uint64_t *values)
{
    values[API_METRIC_maintenance_last_seconds] = atomic_load(&maintained->seconds);
    values[API_METRIC_maintenance_failures_total] = atomic_load(&maintained->failures);
    values[API_METRIC_maintenance_joined_files_total] = atomic_load(&maintained->joined_files);
    values[API_METRIC_maintenance_joined_bytes_total] = atomic_load(&maintained->joined_bytes);
}

void api_metrics(const ApiLake *lake, uint64_t ret_values[API_METRIC_COUNT])
{
    for (size_t i = 0; i < API_METRIC_COUNT; i++)
        ret_values[i] = 0;
    store_values(lake, ret_values);
    space_values(lake, ret_values);
    if (lake->catalog)
        kept_values(lake, ret_values);
    if (lake->state)
        state_values(lake->state, ret_values);
    if (lake->scrubbed)
        scrub_values(lake->scrubbed, ret_values);
    if (lake->maintained)
        maintained_values(lake->maintained, ret_values);
    if (lake->landing)
        landing_values(lake, ret_values);
    if (lake->arrivals)
        arrival_values(lake, ret_values);
}
