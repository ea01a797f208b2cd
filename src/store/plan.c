/* plan.c: what a group of commits changes, seen as one: conditions of later requests see the
 * effects of earlier ones, and the index gets one batch.
 *
 * Invariants
 * 1. A version has one state a plan; `before` is what the index holds, `now` what it will hold. What
 *    was not looked at stays as it is.
 * 2. Sequences grow with the journal. So what a put or a marker replaces is older than itself, also
 *    when a replay meets moved records and repeated deletes behind newer ones.
 * 3. The batch carries the applied LSN, so the index is always a prefix of the journal. */
#include "store/store_priv.h"

void plan_done(Plan *plan)
{
    arena_done(&plan->arena);
    vec_done(&plan->writes);
}

static VersionState *version_known(Plan *plan, const KeyState *state, uint64_t sequence)
{
    VersionState *version = plan->versions[sequence % PLAN_SLOTS];
    for (; version; version = version->next_slot, plan->looks++)
        if (version->sequence == sequence && version->key == state)
            return version;
    return NULL;
}

static VersionState *version_add(Plan *plan, KeyState *state, uint64_t sequence)
{
    VersionState *version = arena_new(&plan->arena, VersionState);
    VersionState **slot = &plan->versions[sequence % PLAN_SLOTS];
    *version = (VersionState){ .sequence = sequence, .key = state, .next = state->versions, .next_slot = *slot };
    state->versions = *slot = version;
    return version;
}

static KeyState *key_known(KeyState *slot, Str bucket, Str key)
{
    for (KeyState *state = slot; state; state = state->next)
        if (str_eq(state->key, key) && str_eq(state->bucket, bucket))
            return state;
    return NULL;
}

/* `newest`: its newest version in the index; NULL: none is there. */
static KeyState *key_add(Plan *plan, KeyState **slot, Str bucket, Str key, const ObjectRecord *newest)
{
    KeyState *state = arena_new(&plan->arena, KeyState);
    state->bucket = str_copy(&plan->arena, bucket);
    state->key = str_copy(&plan->arena, key);
    state->all_known = !newest;
    if (newest) {
        VersionState *version = version_add(plan, state, newest->info.sequence);
        version->was = version->is = true;
        version->now = version->before = *newest;
    }
    state->next = *slot;
    return *slot = state;
}

static KeyState **key_slot(Plan *plan, Str bucket, Str key)
{
    return &plan->slots[(str_hash(key) ^ str_hash(bucket)) % PLAN_SLOTS];
}

Code plan_key(Plan *plan, Store *store, Str bucket, Str key, KeyState **ret_state, Err *err)
{
    KeyState **slot = key_slot(plan, bucket, key);
    ObjectRecord newest;
    bool there;
    *ret_state = key_known(*slot, bucket, key);
    if (*ret_state)
        return E_OK;
    TRY(store_lookup(store, bucket, key, &plan->arena, &newest, &there, err));
    *ret_state = key_add(plan, slot, bucket, key, there ? &newest : NULL);
    return E_OK;
}

Code plan_key_at(Plan *plan, Cursor *cursor, Str bucket, Str key, Err *err)
{
    KeyState **slot = key_slot(plan, bucket, key);
    ObjectRecord newest;
    bool there;
    if (key_known(*slot, bucket, key))
        return E_OK;
    TRY(store_lookup_at(cursor, bucket, key, &plan->arena, &newest, &there, err));
    IGNORE(key_add(plan, slot, bucket, key, there ? &newest : NULL) == NULL); /* for plan_key */
    return E_OK;
}

static Code version_load(Plan *plan, KeyState *state, uint64_t sequence, Str value,
                         VersionState **ret_version, Err *err)
{
    ObjectRecord record;
    TRY(object_decode(value, false, &plan->arena, &record, err));
    record.info.bucket = state->bucket;
    record.info.key = state->key;
    VersionState *version = version_add(plan, state, sequence);
    version->was = version->is = true;
    version->before = version->now = record;
    *ret_version = version;
    return E_OK;
}

Code plan_version(Plan *plan, Store *store, KeyState *state, uint64_t sequence,
                  VersionState **ret_version, Err *err)
{
    *ret_version = version_known(plan, state, sequence);
    if (*ret_version)
        return E_OK;
    Buf seek AUTO(buf_done);
    buf_init(&seek, INDEX_KEY_MAX);
    key_version(&seek, state->bucket, state->key, sequence);
    Cursor cursor AUTO(cursor_done) = { 0 };
    if (!state->all_known) {
        TRY(cursor_init(&cursor, store, err));
        TRY(cursor_seek(&cursor, buf_str(&seek), err));
        if (cursor.there && str_eq(cursor_key(&cursor), buf_str(&seek)))
            return version_load(plan, state, sequence, cursor_value(&cursor), ret_version, err);
    }
    *ret_version = version_add(plan, state, sequence);
    return E_OK;
}

static VersionState *best_known(Plan *plan, const KeyState *state, bool null_only)
{
    VersionState *best = NULL;
    for (VersionState *version = state->versions; version; version = version->next, plan->looks++)
        if (version->is && (!best || version->sequence > best->sequence) &&
            (!null_only || version->now.info.null_version))
            best = version;
    return best;
}

/* Walks the rows of the key, the newest first, until one that is not known counts. */
Code plan_newest(Plan *plan, Store *store, KeyState *state, VersionState **ret_version, Err *err)
{
    *ret_version = best_known(plan, state, false);
    if (state->all_known)
        return E_OK;
    Buf seek AUTO(buf_done);
    buf_init(&seek, INDEX_KEY_MAX);
    key_object(&seek, state->bucket, state->key);
    Cursor cursor AUTO(cursor_done) = { 0 };
    TRY(cursor_init(&cursor, store, err));
    Code code = cursor_seek(&cursor, buf_str(&seek), err);
    for (; code == E_OK && cursor.there && str_starts(cursor_key(&cursor), buf_str(&seek));
         code = cursor_next(&cursor, err), plan->looks++) {
        Str row = cursor_key(&cursor);
        Reader r = reader_of(str_from(row, row.len - 8));
        uint64_t sequence = ~read_u64be(&r);
        VersionState *version = version_known(plan, state, sequence);
        if (version && version->is)
            return E_OK; /* best_known has found one at least as new */
        if (version)
            continue;
        TRY(version_load(plan, state, sequence, cursor_value(&cursor), &version, err));
        if (!*ret_version || sequence > (*ret_version)->sequence)
            *ret_version = version;
        return E_OK;
    }
    state->all_known = code == E_OK;
    return code;
}

/* A key has at most one null version: it is known, or the newest row, or the row of hidden ones has it. */
Code plan_null(Plan *plan, Store *store, KeyState *state, VersionState **ret_version, Err *err)
{
    uint64_t sequence;
    *ret_version = best_known(plan, state, true);
    if (state->all_known || *ret_version)
        return E_OK;
    TRY(null_lookup(store, state->bucket, state->key, &sequence, err));
    if (sequence == 0)
        return E_OK;
    TRY(plan_version(plan, store, state, sequence, ret_version, err));
    if (!(*ret_version)->is)
        *ret_version = NULL; /* taken away by this plan */
    return E_OK;
}

Code plan_bucket(Plan *plan, Store *store, Str bucket, BucketState **ret_state, Err *err)
{
    for (BucketState *state = plan->buckets; state; state = state->next)
        if (str_eq(state->now.name, bucket)) {
            *ret_state = state;
            return E_OK;
        }
    BucketState *state = arena_new(&plan->arena, BucketState);
    TRY(store_bucket_lookup(store, bucket, &plan->arena, &state->before, &state->was, err));
    state->before.name = str_copy(&plan->arena, bucket);
    state->now = state->before;
    state->is = state->was;
    state->next = plan->buckets;
    *ret_state = plan->buckets = state;
    return E_OK;
}

Str plan_text(Plan *plan, Buf *buf)
{
    return str_copy(&plan->arena, buf_str(buf));
}

static void version_remove(VersionState *version, const CommitOp *op)
{
    version->removed_us = op->record.info.modified_us;
    version->is = false;
    version->dirty = true;
}

/* All that is older (there is at most one where versions never counted), or the null version. */
static Code replaced_remove(Plan *plan, Store *store, KeyState *state, const CommitOp *op, Err *err)
{
    uint64_t sequence = op->record.info.sequence;
    VersionState *version = NULL;
    switch (op->replace) {
    case REPLACE_NOTHING:
        return E_OK;
    case REPLACE_NULL:
        TRY(plan_null(plan, store, state, &version, err));
        if (version && version->sequence < sequence)
            version_remove(version, op);
        return E_OK;
    case REPLACE_OLDER:
        for (;;) {
            TRY(plan_newest(plan, store, state, &version, err));
            if (!version || version->sequence >= sequence)
                return E_OK;
            version_remove(version, op);
        }
    }
    return E_OK;
}

static Code put_op(Plan *plan, Store *store, KeyState *state, const CommitOp *op, Err *err)
{
    const ObjectInfo *info = &op->record.info;
    VersionState *version;
    feed_put(plan, store, op, info->delete_marker ? CHANGE_DELETE : CHANGE_PUT);
    TRY(replaced_remove(plan, store, state, op, err));
    if (op->replace == REPLACE_OLDER) {
        TRY(plan_newest(plan, store, state, &version, err));
        if (version && version->sequence > info->sequence)
            return E_OK; /* a moved one, replaced in the meantime */
    }
    TRY(plan_version(plan, store, state, info->sequence, &version, err));
    version->is = version->dirty = true;
    version->now = op->record;
    version->put = op;
    return upload_is_none(&op->record.upload) || op->kind != OP_PUT ? E_OK
                                                                   : plan_upload_op(plan, store, op, err);
}

static Code delete_op(Plan *plan, Store *store, KeyState *state, const CommitOp *op, Err *err)
{
    VersionState *version = NULL;
    feed_put(plan, store, op, CHANGE_DELETE);
    if (op->of_sequence == 0) {
        CommitOp older = *op;
        older.replace = REPLACE_OLDER;
        return replaced_remove(plan, store, state, &older, err);
    }
    TRY(plan_version(plan, store, state, op->of_sequence, &version, err));
    if (version->is)
        version_remove(version, op);
    return E_OK;
}

static void bucket_op(Plan *plan, const Store *store, BucketState *state, const CommitOp *op)
{
    Str name = state->now.name;
    bool lives = op->kind != OP_BUCKET_DELETE;
    if (op->kind != OP_BUCKET_SET)
        feed_put(plan, store, op, lives ? CHANGE_BUCKET_CREATE : CHANGE_BUCKET_DELETE);
    if (state->is && state->now.sequence > op->record.info.sequence)
        return;
    state->is = lives;
    state->dirty = true;
    state->now = op->bucket;
    state->now.name = name;
    state->now.sequence = op->record.info.sequence;
}

static Code changed_op(Plan *plan, Store *store, KeyState *state, const CommitOp *op, Err *err)
{
    VersionState *version;
    feed_put(plan, store, op, op->kind == OP_TAGS ? CHANGE_TAGS : CHANGE_TRUST);
    TRY(plan_version(plan, store, state, op->of_sequence, &version, err));
    if (!version->is)
        return E_OK;
    version->dirty = true;
    if (op->kind == OP_TRUST) {
        version->now.info.trust = op->record.info.trust;
    } else {
        version->now.info.tags = op->record.info.tags;
        version->now.info.tag_count = op->record.info.tag_count;
    }
    return E_OK;
}

Code plan_op(Plan *plan, Store *store, const CommitOp *op, Err *err)
{
    const ObjectInfo *info = &op->record.info;
    KeyState *state;
    BucketState *bucket;
    switch (op->kind) {
    case OP_BUCKET_CREATE:
    case OP_BUCKET_SET:
    case OP_BUCKET_DELETE:
        TRY(plan_bucket(plan, store, info->bucket, &bucket, err));
        bucket_op(plan, store, bucket, op);
        return E_OK;
    case OP_PUT:
    case OP_MOVE:
    case OP_MARKER:
        TRY(plan_key(plan, store, info->bucket, info->key, &state, err));
        return put_op(plan, store, state, op, err);
    case OP_DELETE:
        TRY(plan_key(plan, store, info->bucket, info->key, &state, err));
        return delete_op(plan, store, state, op, err);
    case OP_TRUST:
    case OP_TAGS:
        TRY(plan_key(plan, store, info->bucket, info->key, &state, err));
        return changed_op(plan, store, state, op, err);
    case OP_UPLOAD_CREATE:
    case OP_UPLOAD_PART:
    case OP_UPLOAD_ABORT:
        return plan_upload_op(plan, store, op, err);
    case OP_PURGE:
    case OP_TRASH:
        return trash_op(plan, store, op, err);
    case OP_EXPUNGE:
    case OP_KEPT:
        return trashed_op(plan, store, op, err);
    case OP_CHANGE:
        feed_put(plan, store, op, op->change);
        return E_OK;
    case OP_UNDELETE:
        TRY(trashed_op(plan, store, op, err));
        TRY(plan_key(plan, store, info->bucket, info->key, &state, err));
        return put_op(plan, store, state, op, err);
    }
    return err_set(err, E_CORRUPT, "a change of a kind that the store does not know");
}

/* ---- the batch ---- */

void plan_write_remove(Plan *plan, Buf *key)
{
    vec_push(&plan->writes, (IndexWrite){ .remove = true, .key = plan_text(plan, key) });
    buf_clear(key);
}

void plan_write_put(Plan *plan, Buf *key, Str value)
{
    vec_push(&plan->writes, (IndexWrite){ .key = plan_text(plan, key), .value = value });
    buf_clear(key);
}

size_t blob_count(const ObjectRecord *record)
{
    return record->place == PLACE_BLOB ? 1 : record->place == PLACE_PARTS ? record->info.part_count : 0;
}

const BlobId *blob_at(const ObjectRecord *record, size_t i)
{
    return record->place == PLACE_BLOB ? &record->blob : &record->part_blobs[i];
}

static void version_writes(Plan *plan, const Store *store, const KeyState *state, VersionState *version, Buf *key)
{
    if (version->was && !version->is) {
        key_version(key, state->bucket, state->key, version->sequence);
        plan_write_remove(plan, key);
    }
    if (!version->is) {
        trashed_add(plan, store, state, version);
        return;
    }
    if (version->now.place == PLACE_JOURNAL && version->put)
        version->now.at = version->put->record.at;
    Buf value AUTO(buf_done);
    buf_init(&value, JOURNAL_PAYLOAD_MAX);
    IGNORE(!buf_reserve(&value, ROW_BYTES));
    object_encode(&value, &version->now);
    key_version(key, state->bucket, state->key, version->sequence);
    Str row = plan_text(plan, key);
    plan_write_put(plan, key, plan_text(plan, &value));
    for (size_t i = 0; i < blob_count(&version->now) && !version->was; i++) {
        if (blob_is_none(blob_at(&version->now, i)))
            continue;
        key_blob(key, blob_at(&version->now, i));
        plan_write_put(plan, key, row);
    }
}

/* The row of a null version that newer versions hide: so that nobody has to walk them to find it. It is written when
 * the version becomes hidden, and goes with the version or with the last that hides it. In each case the version is
 * known here: the newest row of a key always is, before (plan_key) and after (usage_add_key). */
static Code null_writes(Plan *plan, Store *store, const KeyState *state, Buf *key, Err *err)
{
    BucketState *bucket;
    const VersionState *null_version = NULL;
    bool hidden = false, gone = false;
    for (const VersionState *version = state->versions; version; version = version->next) {
        if (version->is && version->now.info.null_version)
            null_version = version;
        gone = gone || (version->was && !version->is && version->before.info.null_version);
    }
    for (const VersionState *version = state->versions; version && null_version; version = version->next) {
        bool newer = version->sequence > null_version->sequence;
        hidden = hidden || (newer && version->is);
        gone = gone || (newer && version->was && !version->is);
    }
    if (!hidden && !gone)
        return E_OK;
    TRY(plan_bucket(plan, store, state->bucket, &bucket, err));
    if (!hidden && bucket->was && bucket->before.versioning == VERSIONING_NEVER &&
        bucket->now.versioning == VERSIONING_NEVER)
        return E_OK; /* nothing could hide one there, so there is no row */
    key_null(key, state->bucket, state->key);
    if (!hidden) {
        plan_write_remove(plan, key);
        return E_OK;
    }
    Buf value AUTO(buf_done);
    buf_init(&value, INDEX_KEY_MAX);
    write_u64le(&value, null_version->sequence);
    plan_write_put(plan, key, plan_text(plan, &value));
    return E_OK;
}

static void bucket_writes(Plan *plan, const BucketState *state, Buf *key)
{
    key_bucket(key, state->now.name);
    if (!state->is) {
        plan_write_remove(plan, key);
        return;
    }
    Buf value AUTO(buf_done);
    buf_init(&value, JOURNAL_PAYLOAD_MAX);
    bucket_encode(&value, &state->now);
    plan_write_put(plan, key, plan_text(plan, &value));
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
    write_u64le(&value, usage->trash_objects);
    write_u64le(&value, usage->trash_bytes);
    key_state(key);
    plan_write_put(plan, key, plan_text(plan, &value));
}

static Code key_writes(Plan *plan, Store *store, KeyState *state, Buf *key, Err *err)
{
    bool dirty = false;
    for (VersionState *version = state->versions; version; version = version->next) {
        if (!version->dirty)
            continue;
        dirty = true;
        version_writes(plan, store, state, version, key);
        segments_note(plan, store, state, version);
        usage_add_version(plan, state->bucket, version);
    }
    if (!dirty)
        return E_OK;
    TRY(usage_add_key(plan, store, state, err));
    return null_writes(plan, store, state, key, err);
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
        for (KeyState *state = plan->slots[i]; state; state = state->next)
            TRY(key_writes(plan, store, state, &key, err));
    bool buckets = false;
    for (BucketState *state = plan->buckets; state; state = state->next) {
        buckets = buckets || state->dirty;
        if (state->dirty)
            bucket_writes(plan, state, &key);
    }
    upload_writes(plan, &key);
    trashed_writes(plan, store, &key);
    TRY(usage_writes(plan, store, &usage, &key, err));
    segments_writes(plan, store, &key);
    TRY(feed_writes(plan, store, &key, err));
    usage.trash_objects += plan->trashed_count;
    usage.trash_bytes += plan->trashed_bytes;
    state_write(plan, applied_lsn, next_sequence, &usage, &key);
    TRY(buf_end(&key, "a key of the index", err));
    Code code = store->index_ops->apply(store->index, plan->writes.items, plan->writes.len, err);
    if (buckets)
        bucket_cache_drop(store);
    if (code == E_CORRUPT)
        index_damaged(store, err);
    TRY(code);
    MUTEX_HELD(&store->mutex);
    store->applied_lsn = applied_lsn;
    store->next_sequence = next_sequence;
    store->usage = usage;
    store->looks += plan->looks;
    segments_applied(plan, store);
    feed_moved(store);
    return E_OK;
}
