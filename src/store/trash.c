/* trash.c: large bytes that no version and no upload names any more, kept for a while, then removed for good.
 *
 * Invariants
 * 1. Bytes go to the trash in the batch that takes their last name away, with the time of that change. So a
 *    rebuilt index has the same trash, and what the sweep of a start finds unnamed was never named.
 * 2. Bytes are removed only while their own row says that they are trash; the row goes after them. A crash
 *    between leaves a row without bytes, which the next purge takes.
 * 3. A reader of an object in parts is pinned before it looks its version up for good. Versions that are pinned keep
 *    their bytes however old they are; a reader of one file has it open.
 * 4. One purge at a time, none beside a compaction: `compacting` is held. */
#include "store/store_priv.h"

#include <string.h>

enum { PURGE_MAX = 500, TRASH_KEY_LEN = 1 + 8 + sizeof(BlobId) };

/* ---- rows ---- */

static void row_key(Buf *buf, int64_t time_us, const BlobId *blob)
{
    buf_put_char(buf, 't');
    write_u64be(buf, (uint64_t)time_us);
    buf_put(buf, str_of(blob->bytes, sizeof blob->bytes));
}

static Code row_read(Str key, Str value, Arena *arena, TrashItem *ret_item, Err *err)
{
    Reader k = reader_of(str_from(key, 1)), r = reader_of(value);
    TrashItem item = { .time_us = (int64_t)read_u64be(&k) };
    Str blob = read_bytes(&k, sizeof item.blob);
    item.of_sequence = read_u64le(&r);
    item.size_bytes = read_u64le(&r);
    item.bucket = str_copy(arena, read_str32(&r, STORE_BUCKET_MAX));
    TRY(reader_end(&k, "a key of the trash", err));
    TRY(reader_end(&r, "a row of the trash", err));
    memcpy(item.blob.bytes, blob.ptr, sizeof item.blob);
    *ret_item = item;
    return E_OK;
}

static Code row_is_there(Store *store, int64_t time_us, const BlobId *blob, bool *ret_there, Err *err)
{
    Buf seek AUTO(buf_done);
    buf_init(&seek, INDEX_KEY_MAX);
    row_key(&seek, time_us, blob);
    Cursor cursor AUTO(cursor_done) = { 0 };
    TRY(cursor_init(&cursor, store, err));
    TRY(cursor_seek(&cursor, buf_str(&seek), err));
    *ret_there = cursor.there && str_eq(cursor_key(&cursor), buf_str(&seek));
    return E_OK;
}

/* ---- the plan ---- */

static TrashState **state_slot(Plan *plan, const BlobId *blob)
{
    TrashState **at = &plan->trash[(load_u32le(blob->bytes) ^ load_u32le(blob->bytes + 8)) % TRASH_SLOTS];
    while (*at && memcmp(&(*at)->blob, blob, sizeof *blob) != 0)
        at = &(*at)->next;
    return at;
}

static void state_set(Plan *plan, const BlobId *blob, bool is)
{
    TrashState **at = state_slot(plan, blob);
    if (!*at) {
        *at = arena_new(&plan->arena, TrashState);
        (*at)->blob = *blob;
    }
    (*at)->is = is;
}

void trash_add(Plan *plan, const TrashItem *item)
{
    if (blob_is_none(&item->blob))
        return;
    Buf buf AUTO(buf_done);
    buf_init(&buf, INDEX_KEY_MAX);
    row_key(&buf, item->time_us, &item->blob);
    Str row = plan_text(plan, &buf);
    buf_clear(&buf);
    write_u64le(&buf, item->of_sequence);
    write_u64le(&buf, item->size_bytes);
    write_str32(&buf, item->bucket);
    Str value = plan_text(plan, &buf);
    buf_clear(&buf);
    vec_push(&plan->writes, ((IndexWrite){ .key = row, .value = value }));
    key_blob(&buf, &item->blob);
    plan_write_put(plan, &buf, row);
    state_set(plan, &item->blob, true);
    usage_of(plan, item->bucket)->trash_bytes += item->size_bytes;
    plan->trashed_bytes += item->size_bytes;
    plan->trashed_count++;
}

void trash_add_record(Plan *plan, const ObjectRecord *record, int64_t time_us)
{
    TrashItem item = { .time_us = time_us,
                       .of_sequence = record->info.sequence,
                       .bucket = record->info.bucket };
    for (size_t i = 0; i < blob_count(record); i++) {
        item.blob = *blob_at(record, i);
        item.size_bytes = record->place == PLACE_BLOB ? record->info.size_bytes : record->info.parts[i].size_bytes;
        trash_add(plan, &item);
    }
}

static TrashItem item_of(const CommitOp *op)
{
    return (TrashItem){ .time_us = op->record.info.modified_us,
                        .blob = op->record.blob,
                        .of_sequence = op->of_sequence,
                        .size_bytes = op->record.info.size_bytes,
                        .bucket = op->record.info.bucket };
}

/* The leader: compaction repeats only what is still trash. */
Code trash_check(Store *store, CommitOp *op, Err *err)
{
    bool there;
    TRY(row_is_there(store, op->record.info.modified_us, &op->record.blob, &there, err));
    op->skip = !there;
    return E_OK;
}

Code trash_op(Plan *plan, Store *store, const CommitOp *op, Err *err)
{
    TrashItem item = item_of(op);
    const TrashState *known = *state_slot(plan, &item.blob);
    bool there = known && known->is;
    if (!known)
        TRY(row_is_there(store, item.time_us, &item.blob, &there, err));
    if (op->kind == OP_TRASH && !there)
        trash_add(plan, &item);
    if (op->kind == OP_TRASH || !there)
        return E_OK;
    Buf key AUTO(buf_done);
    buf_init(&key, INDEX_KEY_MAX);
    row_key(&key, item.time_us, &item.blob);
    plan_write_remove(plan, &key);
    key_blob(&key, &item.blob);
    plan_write_remove(plan, &key);
    state_set(plan, &item.blob, false);
    usage_of(plan, item.bucket)->trash_bytes -= item.size_bytes;
    plan->trashed_bytes -= item.size_bytes;
    plan->trashed_count--;
    return E_OK;
}

Code trash_find(Store *store, const BlobId *blob, Arena *arena, TrashItem *ret_item, bool *ret_found, Err *err)
{
    Buf seek AUTO(buf_done);
    buf_init(&seek, INDEX_KEY_MAX);
    key_blob(&seek, blob);
    Cursor cursor AUTO(cursor_done) = { 0 };
    TRY(cursor_init(&cursor, store, err));
    TRY(cursor_seek(&cursor, buf_str(&seek), err));
    *ret_found = cursor.there && str_eq(cursor_key(&cursor), buf_str(&seek)) &&
                 cursor_value(&cursor).len == TRASH_KEY_LEN && cursor_value(&cursor).ptr[0] == 't';
    if (!*ret_found)
        return E_OK;
    Str row = str_copy(arena, cursor_value(&cursor));
    TRY(cursor_seek(&cursor, row, err));
    *ret_found = cursor.there && str_eq(cursor_key(&cursor), row);
    return *ret_found ? row_read(row, cursor_value(&cursor), arena, ret_item, err) : E_OK;
}

/* ---- pins ---- */

void pin_add(Store *store, Pin *pin, uint64_t sequence)
{
    MUTEX_HELD(&store->pins_mutex);
    Pin **slot = &store->pins[sequence % PIN_SLOTS];
    pin->sequence = sequence;
    pin->next = *slot;
    *slot = pin;
}

void pin_remove(Store *store, Pin *pin)
{
    MUTEX_HELD(&store->pins_mutex);
    Pin **at = &store->pins[pin->sequence % PIN_SLOTS];
    while (*at && *at != pin)
        at = &(*at)->next;
    if (*at)
        *at = pin->next;
}

static bool is_pinned(Store *store, uint64_t sequence)
{
    MUTEX_HELD(&store->pins_mutex);
    const Pin *pin = store->pins[sequence % PIN_SLOTS];
    while (pin && pin->sequence != sequence)
        pin = pin->next;
    return pin != NULL;
}

/* ---- the purge ---- */

typedef struct Purge {
    Store *store;
    int64_t until_us; /* older ones go */
    Buf after;        /* the row that was looked at last */
    Arena arena;
    Vec(CommitOp) ops;
    bool more;
} Purge;

static void purge_done(Purge *purge)
{
    buf_done(&purge->after);
    arena_done(&purge->arena);
    vec_done(&purge->ops);
}

static Code purge_choose(Purge *purge, Err *err)
{
    Cursor cursor AUTO(cursor_done) = { 0 };
    TrashItem item;
    TRY(cursor_init(&cursor, purge->store, err));
    TRY(cursor_seek(&cursor, buf_str(&purge->after), err));
    purge->more = false;
    while (cursor.there && str_starts(cursor_key(&cursor), STR("t"))) {
        TRY(row_read(cursor_key(&cursor), cursor_value(&cursor), &purge->arena, &item, err));
        if (item.time_us > purge->until_us)
            return E_OK;
        purge->more = purge->ops.len == PURGE_MAX;
        if (purge->more)
            return E_OK;
        buf_clear(&purge->after);
        buf_put(&purge->after, cursor_key(&cursor));
        buf_put_char(&purge->after, 0); /* the next look begins behind it */
        if (item.of_sequence == 0 || !is_pinned(purge->store, item.of_sequence)) {
            CommitOp op = { .kind = OP_PURGE, .again = true, .of_sequence = item.of_sequence };
            op.record.blob = item.blob;
            op.record.info.modified_us = item.time_us;
            op.record.info.size_bytes = item.size_bytes;
            op.record.info.bucket = item.bucket;
            vec_push(&purge->ops, op);
        }
        TRY(cursor_next(&cursor, err));
    }
    return E_OK;
}

static Code purge_batch(Purge *purge, StorePurged *purged, Err *err)
{
    Store *store = purge->store;
    purge->ops.len = 0;
    arena_reset(&purge->arena);
    TRY(purge_choose(purge, err));
    if (purge->ops.len == 0)
        return E_OK;
    CRASH_POINT_AT("trash_chosen");
    for (size_t i = 0; i < purge->ops.len; i++) {
        Code code = store->backend_ops->blob_remove(store->backend, &purge->ops.items[i].record.blob, err);
        if (code != E_OK && code != E_NOT_FOUND)
            return code;
        purged->objects++;
        purged->bytes += purge->ops.items[i].record.info.size_bytes;
    }
    CRASH_POINT_AT("trash_unlinked");
    TRY(store_commit(store, purge->ops.items, purge->ops.len, err));
    CRASH_POINT_AT("trash_purged");
    return E_OK;
}

/* `compacting` is held. `enough` says between batches whether to go on; NULL: to the end. */
Code trash_purge(Store *store, int64_t until_us, bool (*enough)(Store *store), const bool *stop,
                 StorePurged *ret_purged, Err *err)
{
    Purge purge AUTO(purge_done) = { .store = store, .until_us = until_us, .more = true };
    StorePurged purged = { 0 };
    buf_init(&purge.after, INDEX_KEY_MAX);
    buf_put_char(&purge.after, 't');
    Code code = E_OK;
    purge.more = !store_hold_on(store);
    while (code == E_OK && purge.more && !(stop && __atomic_load_n(stop, __ATOMIC_ACQUIRE)) &&
           !(enough && enough(store)))
        code = purge_batch(&purge, &purged, err);
    *ret_purged = purged;
    return code;
}

Code store_trash_purge(Store *store, const bool *stop, StorePurged *ret_purged, Err *err)
{
    StorePurged pressed, purged;
    MUTEX_HELD(&store->compacting);
    TRY(space_keep(store, stop, &pressed, err));
    TRY(trash_purge(store, os_now_us(store->os) - store->trash_us, NULL, stop, &purged, err));
    *ret_purged = (StorePurged){ pressed.objects + purged.objects, pressed.bytes + purged.bytes };
    return E_OK;
}
