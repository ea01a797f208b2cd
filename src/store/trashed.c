/* trashed.c: versions in the trash: their rows, and what a plan makes of them.
 *
 * A version that was deleted or replaced keeps its whole record in a row under its key (`d`), by which it is listed
 * and taken back, and has one under the time of its end (`t`), by which it is purged. Delete markers
 * have no bytes and leave nothing.
 *
 * Invariants
 * 1. A version goes to the trash in the batch that takes it away, with the time of that change. So a rebuilt index has
 *    the same trash, and what the sweep of a start finds unnamed was never named.
 * 2. A small body in the trash counts as living in its segment (segments.c): compaction appends it again
 *    (OP_KEPT) until it is expunged.
 * 3. A version lives, or it is trash, or it is gone. Leaving the trash is a record of the journal (OP_EXPUNGE,
 *    OP_UNDELETE), and the leader decides which comes first. */
#include "store/store_priv.h"

static void time_key(Buf *buf, int64_t time_us, uint64_t sequence)
{
    buf_put_char(buf, 't');
    write_u64be(buf, (uint64_t)time_us);
    write_u64be(buf, sequence);
}

Code trashed_decode(Str value, bool light, Arena *arena, int64_t *ret_time_us, ObjectRecord *ret_record, Err *err)
{
    Reader r = reader_of(value);
    *ret_time_us = (int64_t)read_u64le(&r);
    if (!reader_ok(&r))
        return reader_end(&r, "a row of the trash", err);
    return object_decode(str_from(value, sizeof(uint64_t)), light, arena, ret_record, err);
}

Code trashed_lookup(Store *store, Str bucket, Str key, uint64_t sequence, Arena *arena, ObjectRecord *ret_record,
                    int64_t *ret_time_us, bool *ret_found, Err *err)
{
    Buf seek AUTO(buf_done);
    buf_init(&seek, INDEX_KEY_MAX);
    key_trashed(&seek, bucket, key, sequence);
    TRY(buf_end(&seek, "a key", err));
    Cursor cursor AUTO(cursor_done) = { 0 };
    TRY(cursor_init(&cursor, store, err));
    TRY(cursor_seek(&cursor, buf_str(&seek), err));
    *ret_found = cursor.there && str_eq(cursor_key(&cursor), buf_str(&seek));
    if (!*ret_found)
        return E_OK;
    TRY(trashed_decode(cursor_value(&cursor), false, arena, ret_time_us, ret_record, err));
    ret_record->info.bucket = str_copy(arena, bucket);
    ret_record->info.key = str_copy(arena, key);
    return E_OK;
}

/* ---- the plan ---- */

static Trashed **trashed_slot(Plan *plan, uint64_t sequence)
{
    Trashed **at = &plan->trashed[sequence % TRASH_SLOTS];
    while (*at && (*at)->sequence != sequence)
        at = &(*at)->next;
    return at;
}

static Trashed *trashed_new(Plan *plan, Str bucket, Str key, uint64_t sequence)
{
    Trashed **slot = trashed_slot(plan, sequence);
    if (!*slot)
        *slot = arena_new(&plan->arena, Trashed);
    (*slot)->bucket = bucket;
    (*slot)->key = key;
    (*slot)->sequence = sequence;
    return *slot;
}

Code trashed_load(Plan *plan, Store *store, Str bucket, Str key, uint64_t sequence, Trashed **ret_state, Err *err)
{
    *ret_state = *trashed_slot(plan, sequence);
    if (*ret_state)
        return E_OK;
    ObjectRecord record = { 0 };
    int64_t time_us = 0;
    bool found;
    TRY(trashed_lookup(store, bucket, key, sequence, &plan->arena, &record, &time_us, &found, err));
    Trashed *state = trashed_new(plan, str_copy(&plan->arena, bucket), str_copy(&plan->arena, key), sequence);
    state->was = state->is = found;
    state->time_us = time_us;
    state->before = state->now = record;
    *ret_state = state;
    return E_OK;
}

static bool has_blobs(const ObjectRecord *record)
{
    for (size_t i = 0; i < blob_count(record); i++)
        if (!blob_is_none(blob_at(record, i)))
            return true;
    return false;
}

void trashed_add(Plan *plan, const Store *store, const KeyState *key, const VersionState *version)
{
    if (version->now.info.delete_marker || (store->trash_us == 0 && !has_blobs(&version->now)))
        return; /* without a trash, only files wait: somebody may read them */
    Trashed *state = trashed_new(plan, key->bucket, key->key, version->sequence);
    state->is = state->dirty = true;
    state->unnamed = !version->was; /* the rows of its blobs were never written */
    state->time_us = version->removed_us;
    state->now = version->now;
    state->put = version->put;
    cool_add(plan, &version->now);
}

/* The leader: EXPUNGE and KEPT of what is trash no more are left out. */
Code trashed_check(Plan *plan, Store *store, CommitOp *op, Err *err)
{
    const ObjectInfo *info = &op->record.info;
    bool kept = op->kind == OP_KEPT;
    Trashed *state;
    TRY(trashed_load(plan, store, info->bucket, info->key, kept ? info->sequence : op->of_sequence, &state, err));
    op->skip = !state->is || (kept && (state->now.place != op->record.place ||
                                       (state->now.place == PLACE_JOURNAL && state->now.at != op->old_lsn)));
    return E_OK;
}

Code trashed_op(Plan *plan, Store *store, const CommitOp *op, Err *err)
{
    const ObjectInfo *info = &op->record.info;
    bool kept = op->kind == OP_KEPT;
    Trashed *state;
    TRY(trashed_load(plan, store, info->bucket, info->key, kept ? info->sequence : op->of_sequence, &state, err));
    if (!kept) {
        state->dirty = state->dirty || state->is;
        state->goes = state->is && op->kind == OP_EXPUNGE;
        state->is = false;
        return E_OK;
    }
    if (!state->is) { /* a replay: what put it there is compacted away */
        state->unnamed = !state->was;
        state->time_us = op->trashed_us;
    }
    state->is = state->dirty = true;
    state->now = op->record;
    state->put = op;
    return E_OK;
}

/* A journal of the version before takes the blobs of a version out of the trash one by one: those that it leaves
 * become bytes without a name. */
Code trashed_split(Plan *plan, Store *store, const TrashItem *item, Err *err)
{
    Buf seek AUTO(buf_done);
    buf_init(&seek, INDEX_KEY_MAX);
    time_key(&seek, item->time_us, item->of_sequence);
    Str bucket, key;
    uint64_t sequence;
    {
        Cursor cursor AUTO(cursor_done) = { 0 };
        TRY(cursor_init(&cursor, store, err));
        TRY(cursor_seek(&cursor, buf_str(&seek), err));
        if (!cursor.there || !str_eq(cursor_key(&cursor), buf_str(&seek)))
            return E_OK;
        TRY(key_object_parse(cursor_value(&cursor), &plan->arena, &bucket, &key, &sequence, err));
    }
    Trashed *state;
    TRY(trashed_load(plan, store, bucket, key, sequence, &state, err));
    for (size_t i = 0; state->is && i < blob_count(&state->now); i++) {
        TrashItem left = *item;
        left.blob = *blob_at(&state->now, i);
        left.size_bytes = state->now.place == PLACE_BLOB ? state->now.info.size_bytes
                                                         : state->now.info.parts[i].size_bytes;
        trash_add(plan, &left);
    }
    state->dirty = state->dirty || state->is;
    state->is = false;
    return E_OK;
}

/* ---- the batch ---- */

static void blobs_write(Plan *plan, const Trashed *state, Buf *key)
{
    key_version(key, state->bucket, state->key, state->sequence);
    Str row = plan_text(plan, key);
    buf_clear(key);
    for (size_t i = 0; i < blob_count(&state->now); i++) {
        if (blob_is_none(blob_at(&state->now, i)))
            continue;
        key_blob(key, blob_at(&state->now, i));
        if (state->is)
            plan_write_put(plan, key, row);
        else
            plan_write_remove(plan, key);
    }
}

static void row_write(Plan *plan, Trashed *state, Buf *key)
{
    if (state->now.place == PLACE_JOURNAL && state->put)
        state->now.at = state->put->record.at;
    Buf value AUTO(buf_done);
    buf_init(&value, JOURNAL_PAYLOAD_MAX);
    write_u64le(&value, (uint64_t)state->time_us);
    object_encode(&value, &state->now);
    key_trashed(key, state->bucket, state->key, state->sequence);
    Str row = plan_text(plan, key);
    plan_write_put(plan, key, plan_text(plan, &value));
    if (state->was)
        return; /* only its body has moved */
    time_key(key, state->time_us, state->sequence);
    plan_write_put(plan, key, row);
}

static void rows_remove(Plan *plan, const Trashed *state, Buf *key)
{
    key_trashed(key, state->bucket, state->key, state->sequence);
    plan_write_remove(plan, key);
    time_key(key, state->time_us, state->sequence);
    plan_write_remove(plan, key);
}

static void counts_write(Plan *plan, const Store *store, const Trashed *state)
{
    uint64_t size = state->is ? state->now.info.size_bytes : 0 - state->before.info.size_bytes;
    if (state->was)
        segments_count(plan, store, &state->before, state->key.len, false);
    if (state->is)
        segments_count(plan, store, &state->now, state->key.len, true);
    if (state->is == state->was)
        return;
    usage_of(plan, state->bucket)->trash_bytes += size;
    plan->trashed_bytes += size;
    plan->trashed_count += state->is ? 1 : (uint64_t)-1;
}

void trashed_writes(Plan *plan, const Store *store, Buf *key)
{
    for (size_t i = 0; i < TRASH_SLOTS; i++)
        for (Trashed *state = plan->trashed[i]; state; state = state->next) {
            if (!state->dirty)
                continue;
            if (state->is)
                row_write(plan, state, key);
            else if (state->was)
                rows_remove(plan, state, key);
            if (state->is ? state->unnamed : state->goes)
                blobs_write(plan, state, key);
            counts_write(plan, store, state);
        }
}
