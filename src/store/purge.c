/* purge.c: the end of what is trash.
 *
 * Invariants
 * 1. The journal says first that something goes for good, then its bytes go. Whoever takes it back at the same time
 *    comes before that record or finds nothing. Bytes that a crash leaves have no name: the next start sweeps them.
 * 2. A reader of an object in parts is pinned before it looks its version up for good. Versions that are pinned keep
 *    their bytes however old they are; a reader of one file has it open, one of a small body has read it.
 * 3. One purge at a time, none beside a compaction: `compacting` is held. */
#include "store/store_priv.h"

#include <string.h>

enum { PURGE_MAX = 500, TRASH_KEY_LEN = 1 + 8 + sizeof(BlobId) };

/* ---- pins ---- */

/* The first of its files: a version that was taken back has those of the old one, which somebody may still read. */
uint64_t pin_of(const ObjectRecord *record)
{
    for (size_t i = 0; i < blob_count(record); i++)
        if (!blob_is_none(blob_at(record, i)))
            return load_u64le(blob_at(record, i)->bytes);
    return 0;
}

void pin_add(Store *store, Pin *pin, uint64_t id)
{
    MUTEX_HELD(&store->pins_mutex);
    Pin **slot = &store->pins[id % PIN_SLOTS];
    pin->id = id;
    pin->next = *slot;
    *slot = pin;
}

void pin_remove(Store *store, Pin *pin)
{
    MUTEX_HELD(&store->pins_mutex);
    Pin **at = &store->pins[pin->id % PIN_SLOTS];
    while (*at && *at != pin)
        at = &(*at)->next;
    if (*at)
        *at = pin->next;
}

static bool is_pinned(Store *store, uint64_t id)
{
    MUTEX_HELD(&store->pins_mutex);
    const Pin *pin = store->pins[id % PIN_SLOTS];
    while (pin && pin->id != id)
        pin = pin->next;
    return pin != NULL;
}

/* ---- the purge ---- */

typedef struct Purge {
    Store *store;
    int64_t until_us; /* older ones go */
    Buf after;        /* the row that was looked at last */
    Arena arena;
    Vec(IndexWrite) rows; /* of one batch */
    Vec(CommitOp) ops;
    Vec(ObjectRecord) records; /* one an op: of the version, or of the blob alone */
    size_t files;
    bool more;
} Purge;

static void purge_done(Purge *purge)
{
    buf_done(&purge->after);
    arena_done(&purge->arena);
    vec_done(&purge->rows);
    vec_done(&purge->ops);
    vec_done(&purge->records);
}

static void blob_choose(Purge *purge, const TrashItem *item)
{
    CommitOp op = { .kind = OP_PURGE, .again = true, .of_sequence = item->of_sequence };
    op.record.blob = item->blob;
    op.record.info.modified_us = item->time_us;
    op.record.info.size_bytes = item->size_bytes;
    op.record.info.bucket = item->bucket;
    ObjectRecord record = op.record;
    record.place = PLACE_BLOB;
    vec_push(&purge->ops, op);
    vec_push(&purge->records, record);
    purge->files++;
}

static Code version_choose(Purge *purge, Str row, Err *err)
{
    CommitOp op = { .kind = OP_EXPUNGE, .again = true };
    ObjectRecord record;
    ObjectInfo *info = &op.record.info;
    int64_t time_us;
    bool found;
    TRY(key_object_parse(row, &purge->arena, &info->bucket, &info->key, &op.of_sequence, err));
    TRY(trashed_lookup(purge->store, info->bucket, info->key, op.of_sequence, &purge->arena, &record, &time_us, &found,
                       err));
    if (!found || (record.place == PLACE_PARTS && is_pinned(purge->store, pin_of(&record))))
        return E_OK; /* taken back meanwhile, or somebody reads it */
    vec_push(&purge->ops, op);
    vec_push(&purge->records, record);
    purge->files += blob_count(&record);
    return E_OK;
}

static Code row_choose(Purge *purge, Str key, Str value, Err *err)
{
    TrashItem item;
    if (key.len == TRASH_KEY_LEN) {
        TRY(trash_row_read(key, value, &purge->arena, &item, err));
        blob_choose(purge, &item);
        return E_OK;
    }
    return version_choose(purge, value, err);
}

/* The next rows whose time is over. */
static Code rows_take(Purge *purge, Err *err)
{
    Cursor cursor AUTO(cursor_done) = { 0 };
    TRY(cursor_init(&cursor, purge->store, err));
    TRY(cursor_seek(&cursor, buf_str(&purge->after), err));
    for (purge->rows.len = 0; cursor.there && str_starts(cursor_key(&cursor), STR("t"));) {
        Reader k = reader_of(str_from(cursor_key(&cursor), 1));
        if (purge->rows.len == PURGE_MAX || (int64_t)read_u64be(&k) > purge->until_us)
            return E_OK;
        IndexWrite row = { .key = str_copy(&purge->arena, cursor_key(&cursor)),
                           .value = str_copy(&purge->arena, cursor_value(&cursor)) };
        vec_push(&purge->rows, row);
        TRY(cursor_next(&cursor, err));
    }
    return E_OK;
}

static Code purge_choose(Purge *purge, Err *err)
{
    TRY(rows_take(purge, err));
    purge->more = purge->rows.len == PURGE_MAX;
    for (size_t i = 0; i < purge->rows.len; i++) {
        TRY(row_choose(purge, purge->rows.items[i].key, purge->rows.items[i].value, err));
        buf_clear(&purge->after);
        buf_put(&purge->after, purge->rows.items[i].key);
        buf_put_char(&purge->after, 0); /* the next look begins behind it */
        if (purge->files < PURGE_MAX)
            continue;
        purge->more = true;
        return E_OK;
    }
    return E_OK;
}

/* No record and no row names them any more. */
static Code bytes_remove(Store *store, const ObjectRecord *record, StorePurged *purged, Err *err)
{
    size_t count = blob_count(record);
    Code failed = E_OK;
    for (size_t i = 0; i < count; i++) {
        if (blob_is_none(blob_at(record, i)))
            continue;
        Code code = store->backend_ops->blob_remove(store->backend, blob_at(record, i), err);
        if (code != E_OK && code != E_NOT_FOUND)
            failed = code;
        purged->objects++;
    }
    purged->objects += count == 0;
    purged->bytes += record->info.size_bytes;
    if (failed != E_OK) {
        MUTEX_HELD(&store->mutex);
        store->orphans = true;
    }
    return failed;
}

static Code purge_batch(Purge *purge, StorePurged *purged, Err *err)
{
    Store *store = purge->store;
    purge->ops.len = purge->records.len = purge->files = 0;
    arena_reset(&purge->arena);
    TRY(purge_choose(purge, err));
    if (purge->ops.len == 0)
        return E_OK;
    CRASH_POINT_AT("trash_chosen");
    TRY(store_commit(store, purge->ops.items, purge->ops.len, err));
    CRASH_POINT_AT("trash_purged");
    Code failed = E_OK;
    for (size_t i = 0; i < purge->ops.len; i++) {
        Code code = purge->ops.items[i].skip ? E_OK : bytes_remove(store, &purge->records.items[i], purged, err);
        failed = code == E_OK ? failed : code;
    }
    CRASH_POINT_AT("trash_unlinked");
    return failed;
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

/* The clock can be set while the store is open: what it jumped ahead is no time that bytes were kept. Set back,
 * it keeps what is there for longer, by as much; what goes from then on has its own time. */
static int64_t trash_now_us(Store *store)
{
    int64_t went_by_us = os_monotonic_us(store->os) - store->opened_monotonic_us;
    return MIN(os_now_us(store->os), store->opened_us + went_by_us);
}

Code store_trash_purge(Store *store, const bool *stop, StorePurged *ret_purged, Err *err)
{
    StorePurged pressed, purged;
    MUTEX_HELD(&store->compacting);
    TRY(space_keep(store, stop, &pressed, err));
    TRY(trash_purge(store, trash_now_us(store) - store->trash_us, NULL, stop, &purged, err));
    *ret_purged = (StorePurged){ pressed.objects + purged.objects, pressed.bytes + purged.bytes };
    return E_OK;
}
