/* How the one writer does: counted by the leader, read by whoever asks. */
#include "store/store_priv.h"

const uint32_t store_sync_bounds_us[STORE_SYNC_BUCKETS] = { 100,   250,   500,    1000,   2500,   5000,
                                                            10000, 25000, 100000, 500000, 1000000 };

void commit_stats_add(Store *store, size_t requests, uint64_t bytes, int64_t took_us)
{
    size_t bucket = 0;
    while (bucket < STORE_SYNC_BUCKETS && took_us > (int64_t)store_sync_bounds_us[bucket])
        bucket++;
    MUTEX_HELD(&store->mutex);
    store->commit_stats.groups++;
    store->commit_stats.requests += requests;
    store->commit_stats.bytes += bytes;
    store->commit_stats.sync_sum_us += (uint64_t)took_us;
    store->commit_stats.sync[bucket]++;
}

void store_commit_stats(Store *store, StoreCommitStats *ret_stats)
{
    MUTEX_HELD(&store->mutex);
    *ret_stats = store->commit_stats;
}
