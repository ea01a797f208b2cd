/* plan.c: what a group of commits changes, seen as one: conditions of later requests see the
 * effects of earlier ones, and the index gets one batch.
 *
 * Invariants
 * 1. A key has one state a plan; `before` is what the index holds, `now` what it will hold.
 * 2. An op with a lower sequence than the state's changes nothing: replay may see moved records and
 *    repeated deletes behind newer ones.
 * 3. The batch carries the applied LSN, so the index is always a prefix of the journal. */
#include "store/store_priv.h"

void plan_done(Plan *plan)
{
    arena_done(&plan->arena);
    vec_done(&plan->writes);
}

Code plan_key(Plan *plan, Store *store, Str bucket, Str key, KeyState **ret_state, Err *err)
{
    KeyState **slot = &plan->slots[(str_hash(key) ^ str_hash(bucket)) % PLAN_SLOTS];
    for (KeyState *state = *slot; state; state = state->next)
        if (str_eq(state->key, key) && str_eq(state->bucket, bucket)) {
            *ret_state = state;
            return E_OK;
        }
    KeyState *state = arena_new(&plan->arena, KeyState);
    TRY(store_lookup(store, bucket, key, &plan->arena, &state->before, &state->was, err));
    state->bucket = str_copy(&plan->arena, bucket);
    state->key = str_copy(&plan->arena, key);
    state->is = state->was;
    state->now = state->before;
    state->next = *slot;
    *ret_state = *slot = state;
    return E_OK;
}

Code plan_bucket(Plan *plan, Store *store, Str bucket, BucketState **ret_state, Err *err)
{
    for (BucketState *state = plan->buckets; state; state = state->next)
        if (str_eq(state->name, bucket)) {
            *ret_state = state;
            return E_OK;
        }
    BucketState *state = arena_new(&plan->arena, BucketState);
    TRY(store_bucket_lookup(store, bucket, &state->created_us, &state->sequence, &state->was, err));
    state->name = str_copy(&plan->arena, bucket);
    state->is = state->was;
    state->next = plan->buckets;
    *ret_state = plan->buckets = state;
    return E_OK;
}

static Str arena_of(Plan *plan, Buf *buf)
{
    return str_copy(&plan->arena, buf_str(buf));
}

static void feed_put(Plan *plan, const ObjectInfo *info, StoreChangeKind kind, uint64_t size_bytes)
{
    Buf buf AUTO(buf_done);
    buf_init(&buf, INDEX_KEY_MAX + STORE_KEY_MAX);
    key_change(&buf, info->sequence);
    IndexWrite write = { .key = arena_of(plan, &buf) };
    buf_clear(&buf);
    write_u8(&buf, (uint8_t)kind);
    write_u64le(&buf, (uint64_t)info->modified_us);
    write_u64le(&buf, size_bytes);
    write_str32(&buf, info->bucket);
    write_str32(&buf, info->key);
    write.value = arena_of(plan, &buf);
    vec_push(&plan->writes, write);
}

static void put_op(Plan *plan, KeyState *state, const CommitOp *op)
{
    const ObjectInfo *info = &op->record.info;
    feed_put(plan, info, CHANGE_PUT, info->size_bytes);
    if (state->is && state->now.info.sequence > info->sequence)
        return;
    state->is = state->dirty = true;
    state->now = op->record;
    state->put = op;
}

static void delete_op(Plan *plan, KeyState *state, const CommitOp *op)
{
    bool applies = state->is && state->now.info.sequence < op->record.info.sequence;
    feed_put(plan, &op->record.info, CHANGE_DELETE, 0);
    if (!applies)
        return;
    state->is = false;
    state->dirty = true;
    state->put = NULL;
}

static void bucket_op(Plan *plan, BucketState *state, const CommitOp *op)
{
    const ObjectInfo *info = &op->record.info;
    bool create = op->kind == OP_BUCKET_CREATE;
    feed_put(plan, info, create ? CHANGE_BUCKET_CREATE : CHANGE_BUCKET_DELETE, 0);
    if (state->is && state->sequence > info->sequence)
        return;
    state->is = create;
    state->dirty = true;
    state->created_us = info->modified_us;
    state->sequence = info->sequence;
}

Code plan_op(Plan *plan, Store *store, const CommitOp *op, Err *err)
{
    const ObjectInfo *info = &op->record.info;
    if (op->kind == OP_BUCKET_CREATE || op->kind == OP_BUCKET_DELETE) {
        BucketState *bucket;
        TRY(plan_bucket(plan, store, info->bucket, &bucket, err));
        bucket_op(plan, bucket, op);
        return E_OK;
    }
    KeyState *state;
    TRY(plan_key(plan, store, info->bucket, info->key, &state, err));
    switch (op->kind) {
    case OP_PUT:
    case OP_MOVE:
        put_op(plan, state, op);
        break;
    case OP_DELETE:
        delete_op(plan, state, op);
        break;
    case OP_TRUST:
        feed_put(plan, info, CHANGE_TRUST, 0);
        if (state->is && state->now.info.sequence == op->of_sequence) {
            state->now.info.trust = info->trust;
            state->dirty = true;
        }
        break;
    case OP_BUCKET_CREATE:
    case OP_BUCKET_DELETE:
        break;
    }
    return E_OK;
}

static bool same_blob(const ObjectRecord *a, const ObjectRecord *b)
{
    return a->place == b->place &&
           str_eq(str_of(a->blob.bytes, sizeof a->blob), str_of(b->blob.bytes, sizeof b->blob));
}

static void write_remove(Plan *plan, Buf *key)
{
    vec_push(&plan->writes, (IndexWrite){ .remove = true, .key = arena_of(plan, key) });
    buf_clear(key);
}

static void write_put(Plan *plan, Buf *key, Str value)
{
    vec_push(&plan->writes, (IndexWrite){ .key = arena_of(plan, key), .value = value });
    buf_clear(key);
}

static bool blob_dropped(const KeyState *state)
{
    return state->was && state->before.place == PLACE_BLOB &&
           !(state->is && same_blob(&state->before, &state->now));
}

static void key_writes(Plan *plan, KeyState *state, Buf *key)
{
    if (state->was && !(state->is && state->now.info.sequence == state->before.info.sequence)) {
        key_version(key, state->bucket, state->key, state->before.info.sequence);
        write_remove(plan, key);
    }
    if (blob_dropped(state)) {
        key_blob(key, &state->before.blob);
        write_remove(plan, key);
    }
    if (!state->is)
        return;
    if (state->now.place == PLACE_JOURNAL && state->put)
        state->now.at = state->put->record.at;
    Buf value AUTO(buf_done);
    buf_init(&value, JOURNAL_PAYLOAD_MAX);
    object_encode(&value, &state->now);
    key_version(key, state->bucket, state->key, state->now.info.sequence);
    Str version = arena_of(plan, key);
    write_put(plan, key, arena_of(plan, &value));
    if (state->now.place == PLACE_BLOB) {
        key_blob(key, &state->now.blob);
        write_put(plan, key, version);
    }
}

static void bucket_writes(Plan *plan, const BucketState *state, Buf *key)
{
    key_bucket(key, state->name);
    if (!state->is) {
        write_remove(plan, key);
        return;
    }
    Buf value AUTO(buf_done);
    buf_init(&value, INDEX_KEY_MAX);
    write_u64le(&value, (uint64_t)state->created_us);
    write_u64le(&value, state->sequence);
    write_put(plan, key, arena_of(plan, &value));
}

static void state_write(Plan *plan, uint64_t applied_lsn, uint64_t next_sequence,
                        const StoreUsage *usage, Buf *key)
{
    Buf value AUTO(buf_done);
    buf_init(&value, INDEX_KEY_MAX);
    write_u32le(&value, INDEX_VERSION);
    write_u64le(&value, applied_lsn);
    write_u64le(&value, next_sequence);
    write_u64le(&value, usage->objects);
    write_u64le(&value, usage->object_bytes);
    key_state(key);
    write_put(plan, key, arena_of(plan, &value));
}

Code plan_apply(Plan *plan, Store *store, uint64_t applied_lsn, uint64_t next_sequence, Err *err)
{
    StoreUsage usage;
    {
        MUTEX_HELD(&store->mutex);
        usage = store->usage;
    }
    Buf key AUTO(buf_done);
    buf_init(&key, INDEX_KEY_MAX);
    for (size_t i = 0; i < PLAN_SLOTS; i++)
        for (KeyState *state = plan->slots[i]; state; state = state->next) {
            if (!state->dirty)
                continue;
            key_writes(plan, state, &key);
            usage.objects += (uint64_t)state->is - (uint64_t)state->was;
            usage.object_bytes += state->is ? state->now.info.size_bytes : 0;
            usage.object_bytes -= state->was ? state->before.info.size_bytes : 0;
        }
    for (BucketState *state = plan->buckets; state; state = state->next)
        if (state->dirty)
            bucket_writes(plan, state, &key);
    state_write(plan, applied_lsn, next_sequence, &usage, &key);
    TRY(buf_end(&key, "a key of the index", err));
    TRY(store->index_ops->apply(store->index, plan->writes.items, plan->writes.len, err));
    MUTEX_HELD(&store->mutex);
    store->applied_lsn = applied_lsn;
    store->next_sequence = next_sequence;
    store->usage = usage;
    return E_OK;
}

void plan_drop_blobs(Plan *plan, Store *store)
{
    bool orphans = false;
    for (size_t i = 0; i < PLAN_SLOTS; i++)
        for (KeyState *state = plan->slots[i]; state; state = state->next)
            if (state->dirty && blob_dropped(state)) {
                Code code =
                    store->backend_ops->blob_remove(store->backend, &state->before.blob, NULL);
                orphans = orphans || (code != E_OK && code != E_NOT_FOUND);
            }
    MUTEX_HELD(&store->mutex);
    store->orphans = store->orphans || orphans;
}
