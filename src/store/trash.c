/* trash.c: parts that no upload names any more, kept for a while: bytes without a name, a row each under their time.
 * Versions in the trash are in trashed.c, the end of both in purge.c.
 *
 * They go to the trash in the batch that takes their upload's name away, with the time of that change. So a rebuilt
 * index has the same trash, and what the sweep of a start finds unnamed was never named. */
#include "store/store_priv.h"

#include <string.h>

enum { TRASH_KEY_LEN = 1 + 8 + sizeof(BlobId) };

/* ---- rows ---- */

static void row_key(Buf *buf, int64_t time_us, const BlobId *blob)
{
    buf_put_char(buf, 't');
    write_u64be(buf, (uint64_t)time_us);
    buf_put(buf, str_of(blob->bytes, sizeof blob->bytes));
}

Code trash_row_read(Str key, Str value, Arena *arena, TrashItem *ret_item, Err *err)
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

static TrashItem item_of(const CommitOp *op)
{
    return (TrashItem){ .time_us = op->record.info.modified_us,
                        .blob = op->record.blob,
                        .of_sequence = op->of_sequence,
                        .size_bytes = op->record.info.size_bytes,
                        .bucket = op->record.info.bucket };
}

/* The leader: what is trash no more goes no second time, and is not said again. */
Code trash_check(Plan *plan, Store *store, CommitOp *op, Err *err)
{
    const TrashState *known = *state_slot(plan, &op->record.blob);
    bool there = known && known->is;
    if (!known) {
        TRY(row_is_there(store, op->record.info.modified_us, &op->record.blob, &there, err));
        state_set(plan, &op->record.blob, there);
    }
    op->skip = !there;
    return E_OK;
}

/* In a journal of the version before: they are of a version whose record still says so. */
static Code blob_is_of_trashed(Store *store, const BlobId *blob, bool *ret_is, Err *err)
{
    Buf seek AUTO(buf_done);
    buf_init(&seek, INDEX_KEY_MAX);
    key_blob(&seek, blob);
    Cursor cursor AUTO(cursor_done) = { 0 };
    TRY(cursor_init(&cursor, store, err));
    TRY(cursor_seek(&cursor, buf_str(&seek), err));
    *ret_is = cursor.there && str_eq(cursor_key(&cursor), buf_str(&seek)) &&
              str_starts(cursor_value(&cursor), STR("o"));
    if (!*ret_is)
        return E_OK;
    buf_clear(&seek);
    buf_put(&seek, cursor_value(&cursor));
    seek.ptr[0] = 'd';
    TRY(cursor_seek(&cursor, buf_str(&seek), err));
    *ret_is = cursor.there && str_eq(cursor_key(&cursor), buf_str(&seek));
    return E_OK;
}

Code trash_op(Plan *plan, Store *store, const CommitOp *op, Err *err)
{
    TrashItem item = item_of(op);
    const TrashState *known = *state_slot(plan, &item.blob);
    bool there = known && known->is;
    if (!known)
        TRY(row_is_there(store, item.time_us, &item.blob, &there, err));
    if (op->kind == OP_TRASH) {
        bool of_trashed = false;
        if (!there)
            TRY(blob_is_of_trashed(store, &item.blob, &of_trashed, err));
        if (!there && !of_trashed)
            trash_add(plan, &item);
        return E_OK;
    }
    if (!there && item.of_sequence != 0) {
        TRY(trashed_split(plan, store, &item, err));
        known = *state_slot(plan, &item.blob);
        there = known && known->is;
    }
    if (!there)
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
    return *ret_found ? trash_row_read(row, cursor_value(&cursor), arena, ret_item, err) : E_OK;
}

/* ---- the page cache ---- */

void cool_add(Plan *plan, const ObjectRecord *record)
{
    for (size_t i = 0; i < blob_count(record) && plan->cool_count < COOL_MAX; i++)
        if (!blob_is_none(blob_at(record, i)))
            plan->cool[plan->cool_count++] = *blob_at(record, i);
}

void cool_note(Store *store, const Plan *plan)
{
    if (plan->cool_count == 0 || !store->backend_ops->blob_cool)
        return;
    MUTEX_HELD(&store->mutex);
    for (size_t i = 0; i < plan->cool_count && store->cool_count < COOL_MAX; i++)
        store->cool[store->cool_count++] = plan->cool[i];
}

void cool_do(Store *store)
{
    BlobId blobs[COOL_MAX];
    size_t count;
    {
        MUTEX_HELD(&store->mutex);
        count = store->cool_count;
        memcpy(blobs, store->cool, count * sizeof *blobs);
        store->cool_count = 0;
    }
    for (size_t i = 0; i < count; i++)
        store->backend_ops->blob_cool(store->backend, &blobs[i]);
}
