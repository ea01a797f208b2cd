/* usage.c: what each bucket holds, in a row of the index that changes with what it counts.
 *
 * Invariants
 * 1. The row is written in the batch of the changes that it counts, from the states before and after: so
 *    it is right whether they come one by one, in groups, or from a replay of the journal.
 * 2. It lives until all of it is zero, not as long as the bucket: a replay may meet objects before their
 *    bucket, and the trash of a bucket outlives it. */
#include "store/store_priv.h"

UsageDelta *usage_of(Plan *plan, Str bucket)
{
    for (UsageDelta *delta = plan->usage; delta; delta = delta->next)
        if (str_eq(delta->bucket, bucket))
            return delta;
    UsageDelta *delta = arena_new(&plan->arena, UsageDelta);
    delta->bucket = str_copy(&plan->arena, bucket);
    delta->next = plan->usage;
    return plan->usage = delta;
}

void usage_add_version(Plan *plan, Str bucket, const VersionState *version)
{
    UsageDelta *delta = usage_of(plan, bucket);
    if (version->is && !version->now.info.delete_marker) {
        delta->versions++;
        delta->bytes += version->now.info.size_bytes;
    }
    if (version->was && !version->before.info.delete_marker) {
        delta->versions--;
        delta->bytes -= version->before.info.size_bytes;
    }
}

/* A key is an object while its newest version is no marker. The newest row of the index is always among
 * those that the state knows. */
Code usage_add_key(Plan *plan, Store *store, KeyState *state, Err *err)
{
    VersionState *before = NULL, *after = NULL;
    for (VersionState *version = state->versions; version; version = version->next) {
        if (version->was && (!before || version->sequence > before->sequence))
            before = version;
        if (version->is && (!after || version->sequence > after->sequence))
            after = version;
    }
    bool older = before && (!after || after->sequence < before->sequence);
    if (older && !state->all_known)
        TRY(plan_newest(plan, store, state, &after, err));
    bool was = before && !before->before.info.delete_marker;
    bool is = after && !after->now.info.delete_marker;
    if (was != is)
        usage_of(plan, state->bucket)->objects += is ? 1 : (uint64_t)-1;
    return E_OK;
}

static Code counts_at(Cursor *cursor, Str bucket, StoreBucket *ret_bucket, Err *err)
{
    Buf seek AUTO(buf_done);
    buf_init(&seek, INDEX_KEY_MAX);
    key_usage(&seek, bucket);
    TRY(cursor_seek(cursor, buf_str(&seek), err));
    ret_bucket->objects = ret_bucket->versions = ret_bucket->bytes = 0;
    ret_bucket->trash_bytes = ret_bucket->uploads = 0;
    if (!cursor->there || !str_eq(cursor_key(cursor), buf_str(&seek)))
        return E_OK;
    Reader r = reader_of(cursor_value(cursor));
    ret_bucket->versions = read_u64le(&r);
    ret_bucket->bytes = read_u64le(&r);
    ret_bucket->objects = read_u64le(&r);
    ret_bucket->trash_bytes = read_u64le(&r);
    ret_bucket->uploads = read_u64le(&r);
    return reader_end(&r, "the usage of a bucket", err);
}

Code usage_lookup(Store *store, Str bucket, StoreBucket *ret_bucket, Err *err)
{
    Cursor cursor AUTO(cursor_done) = { 0 };
    TRY(cursor_init(&cursor, store, err));
    return counts_at(&cursor, bucket, ret_bucket, err);
}

Code usage_look(Plan *plan, Cursor *cursor, Str bucket, Err *err)
{
    UsageDelta *delta = usage_of(plan, bucket);
    if (delta->looked_up)
        return E_OK;
    TRY(counts_at(cursor, bucket, &delta->before, err));
    delta->looked_up = true;
    return E_OK;
}

static Code row_write(Plan *plan, Store *store, const UsageDelta *delta, Buf *key, Err *err)
{
    StoreBucket now = delta->before;
    if (!delta->looked_up)
        TRY(usage_lookup(store, delta->bucket, &now, err));
    const uint64_t counts[] = { now.versions + delta->versions, now.bytes + delta->bytes,
                                now.objects + delta->objects, now.trash_bytes + delta->trash_bytes,
                                now.uploads + delta->uploads };
    Buf value AUTO(buf_done);
    buf_init(&value, INDEX_KEY_MAX);
    uint64_t any = 0;
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        write_u64le(&value, counts[i]);
        any |= counts[i];
    }
    key_usage(key, delta->bucket);
    if (any == 0)
        plan_write_remove(plan, key);
    else
        plan_write_put(plan, key, plan_text(plan, &value));
    return E_OK;
}

Code usage_writes(Plan *plan, Store *store, StoreUsage *usage, Buf *key, Err *err)
{
    for (const UsageDelta *delta = plan->usage; delta; delta = delta->next) {
        usage->objects += delta->versions;
        usage->object_bytes += delta->bytes;
        if ((delta->versions | delta->bytes | delta->objects | delta->trash_bytes | delta->uploads) != 0)
            TRY(row_write(plan, store, delta, key, err));
    }
    return E_OK;
}
