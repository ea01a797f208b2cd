/* feed.c: the changes of objects in the order of their numbers: written, read, waited for, trimmed.
 *
 * Invariants
 * 1. The row of a change is in the batch that makes the change visible: whoever reads from number N
 *    on sees every later change once and in order, also after a crash or a lost index.
 * 2. Rows are removed only up to `floor`, which their readers have given back for good, and the row
 *    of number 0 says so in the same batch: who asks for an earlier one gets GONE, never a gap.
 * 3. While `held`, no change above `floor` leaves the journal: an index that is made again from it has the feed of
 *    every reader. Segments with such changes stay for a while, since most readers come soon (feed_waits); behind that
 *    compaction says the changes again, without bytes (OP_CHANGE). None is ever given up: bronze.objects has each once.
 * 4. Nobody is woken before there is more than he waits for: groups come a thousand times a second.
 * 5. `trimming` and the writes belong to the leader; the rest is under the store's mutex. */
#include "store/store_priv.h"

#include <string.h>

enum { TRIM_LEAST = 256, TRIM_MAX = 4096, AGAIN_BYTES = 200 /* of a change that is said again, at least */,
       FLAG_MARKER = 1, FLAG_NULL = 2, FLAG_SHA256 = 4, FLAG_MD5 = 8 };

/* ---- rows ---- */

static void details_encode(Buf *buf, const ObjectInfo *info)
{
    write_u8(buf, (uint8_t)((info->delete_marker ? FLAG_MARKER : 0) | (info->null_version ? FLAG_NULL : 0) |
                            (info->has_sha256 ? FLAG_SHA256 : 0) | (info->has_md5 ? FLAG_MD5 : 0)));
    if (info->has_sha256)
        buf_put(buf, str_of(info->sha256, sizeof info->sha256));
    if (info->has_md5)
        buf_put(buf, str_of(info->md5, sizeof info->md5));
    write_u32le(buf, (uint32_t)info->part_count);
    write_str32(buf, info->content_type);
    write_u32le(buf, (uint32_t)info->tag_count);
    for (size_t i = 0; i < info->tag_count; i++) {
        write_str32(buf, info->tags[i].key);
        write_str32(buf, info->tags[i].value);
    }
}

static void digest_read(Reader *r, bool has, uint8_t *ret_bytes, size_t len)
{
    Str bytes = has ? read_bytes(r, len) : STR_NONE;
    if (bytes.len == len)
        memcpy(ret_bytes, bytes.ptr, len);
}

static void details_decode(Reader *r, Arena *arena, ObjectInfo *info)
{
    uint8_t flags = read_u8(r);
    info->delete_marker = flags & FLAG_MARKER;
    info->null_version = flags & FLAG_NULL;
    info->has_sha256 = flags & FLAG_SHA256;
    info->has_md5 = flags & FLAG_MD5;
    digest_read(r, info->has_sha256, info->sha256, sizeof info->sha256);
    digest_read(r, info->has_md5, info->md5, sizeof info->md5);
    info->part_count = read_count(r, read_u32le(r), STORE_PARTS_MAX);
    info->content_type = str_copy(arena, read_str32(r, STORE_CONTENT_TYPE_MAX));
    info->tag_count = read_count(r, read_u32le(r), STORE_TAGS_MAX);
    info->tags = arena_array(arena, StoreTag, info->tag_count);
    for (size_t i = 0; i < info->tag_count; i++) {
        info->tags[i].key = str_copy(arena, read_str32(r, STORE_TAG_KEY_MAX));
        info->tags[i].value = str_copy(arena, read_str32(r, STORE_TAG_VALUE_MAX));
    }
}

void feed_put(Plan *plan, const Store *store, const CommitOp *op, StoreChangeKind kind)
{
    const ObjectInfo *info = &op->record.info;
    bool again = op->again || op->kind == OP_MOVE;
    if (again && info->sequence <= store->feed.trimming)
        return; /* compaction says it again, and its readers are past it */
    Buf buf AUTO(buf_done);
    buf_init(&buf, JOURNAL_PAYLOAD_MAX);
    IGNORE(!buf_reserve(&buf, ROW_BYTES)); /* most rows have less, and grow no more */
    key_change(&buf, info->sequence);
    IndexWrite write = { .key = plan_text(plan, &buf) };
    buf_clear(&buf);
    write_u8(&buf, (uint8_t)kind);
    write_u64le(&buf, (uint64_t)info->modified_us);
    write_u64le(&buf, kind == CHANGE_PUT ? info->size_bytes : 0);
    write_str32(&buf, info->bucket);
    write_str32(&buf, info->key);
    write_u64le(&buf, op->kind == OP_UNDELETE ? 0 : op->of_sequence); /* it is a put, also when it is moved */
    bool kept = kind == CHANGE_PUT || op->kind == OP_MARKER || op->kind == OP_MOVE || kind == CHANGE_TAGS ||
                op->kind == OP_CHANGE;
    details_encode(&buf, kept ? info : &(ObjectInfo){ 0 }); /* alike live and in a replay */
    write.value = plan_text(plan, &buf);
    vec_push(&plan->writes, write);
}

static Code change_decode(Str key, Str value, Arena *arena, StoreChange *ret_change, Err *err)
{
    Reader k = reader_of(str_from(key, 1)), r = reader_of(value);
    StoreChange change = { .sequence = read_u64be(&k) };
    change.kind = (StoreChangeKind)read_u8(&r);
    change.time_us = (int64_t)read_u64le(&r);
    change.size_bytes = read_u64le(&r);
    change.bucket = str_copy(arena, read_str32(&r, STORE_BUCKET_MAX));
    change.key = str_copy(arena, read_str32(&r, STORE_KEY_MAX));
    change.of_sequence = read_u64le(&r);
    details_decode(&r, arena, &change.object);
    TRY(reader_end(&k, "a number of the feed", err));
    TRY(reader_end(&r, "a change of the feed", err));
    change.object.bucket = change.bucket;
    change.object.key = change.key;
    change.object.size_bytes = change.size_bytes;
    change.object.modified_us = change.time_us;
    change.object.sequence = change.of_sequence ? change.of_sequence : change.sequence;
    *ret_change = change;
    return E_OK;
}

/* ---- readers ---- */

static bool is_change(const Cursor *cursor)
{
    return cursor->there && str_starts(cursor_key(cursor), STR("f"));
}

static Code changes_read(Store *store, uint64_t after, size_t limit, Arena *arena,
                         StoreChange *changes, size_t *ret_count, Err *err)
{
    Buf seek AUTO(buf_done);
    Cursor cursor AUTO(cursor_done) = { 0 };
    size_t count = 0;
    buf_init(&seek, INDEX_KEY_MAX);
    key_change(&seek, after + 1);
    TRY(cursor_init(&cursor, store, err));
    TRY(cursor_seek(&cursor, buf_str(&seek), err));
    while (count < limit && is_change(&cursor)) {
        TRY(change_decode(cursor_key(&cursor), cursor_value(&cursor), arena, &changes[count], err));
        count++;
        TRY(cursor_next(&cursor, err));
    }
    *ret_count = count;
    return E_OK;
}

Code store_feed_read(Store *store, uint64_t after, size_t limit, Arena *arena,
                     StoreChange **ret_changes, size_t *ret_count, Err *err)
{
    limit = limit ? MIN(limit, (size_t)STORE_FEED_MAX) : STORE_FEED_MAX;
    StoreChange *changes = arena_array(arena, StoreChange, limit);
    size_t count = 0;
    if (after < UINT64_MAX)
        TRY(changes_read(store, after, limit, arena, changes, &count, err));
    MUTEX_HELD(&store->mutex); /* behind the read: what was, or is being, trimmed while it went on counts */
    if (after < store->feed.trimmed)
        return err_set(err, E_GONE, "the changes up to %llu are not kept any more",
                       (unsigned long long)store->feed.trimmed);
    *ret_changes = changes;
    *ret_count = count;
    return E_OK;
}

uint64_t store_sequence(Store *store)
{
    MUTEX_HELD(&store->mutex);
    return store->next_sequence - 1;
}

uint64_t store_feed_begin(Store *store)
{
    MUTEX_HELD(&store->mutex);
    return store->feed.trimmed;
}

/* The mutex is held. */
static void waiter_remove(Store *store, const FeedWaiter *waiter)
{
    FeedWaiter **at = &store->feed.waiters;
    while (*at != waiter)
        at = &(*at)->next;
    *at = waiter->next;
}

bool store_feed_wait(Store *store, uint64_t after, int64_t wait_us, const bool *stop)
{
    int64_t until_us = os_monotonic_us(store->os) + wait_us;
    FeedWaiter waiter = { .after = after };
    cond_init(&waiter.moved);
    bool moved;
    {
        MUTEX_HELD(&store->mutex);
        waiter.next = store->feed.waiters;
        store->feed.waiters = &waiter;
        while (store->next_sequence - 1 <= after && !(stop && __atomic_load_n(stop, __ATOMIC_ACQUIRE))) {
            int64_t left_us = until_us - os_monotonic_us(store->os);
            if (wait_us < 0)
                cond_wait(&waiter.moved, &store->mutex);
            else if (left_us <= 0 || !cond_wait_us(&waiter.moved, &store->mutex, left_us))
                break;
        }
        waiter_remove(store, &waiter);
        moved = store->next_sequence - 1 > after;
    }
    cond_done(&waiter.moved);
    return moved;
}

void store_feed_wake(Store *store)
{
    MUTEX_HELD(&store->mutex);
    for (FeedWaiter *waiter = store->feed.waiters; waiter; waiter = waiter->next)
        cond_signal(&waiter->moved);
}

/* ---- trimming ---- */

void store_feed_release(Store *store, uint64_t sequence)
{
    MUTEX_HELD(&store->mutex);
    store->feed.held = true;
    store->feed.floor = MAX(store->feed.floor, MIN(sequence, store->next_sequence - 1));
}

bool feed_unread(Store *store, uint64_t sequence)
{
    MUTEX_HELD(&store->mutex);
    return store->feed.held && sequence > store->feed.floor;
}

bool feed_gave_back(Store *store, uint64_t sequence)
{
    MUTEX_HELD(&store->mutex);
    return store->feed.held && sequence <= store->feed.trimmed;
}

bool feed_waits(Store *store, uint64_t bytes)
{
    bool full = space_is_full(store); /* its reader may not be able to write what it reads */
    MUTEX_HELD(&store->mutex);
    uint64_t each = MAX(store->feed.again_each, (uint64_t)AGAIN_BYTES);
    uint64_t again = (store->next_sequence - 1 - store->feed.floor) * each;
    /* No less than what is said again pays for: else the same changes would be written all the time. */
    bool waits = bytes <= (full ? again : MAX(store->feed.journal_max, 2 * again));
    store->feed.journal_waits = waits ? bytes : 0;
    return waits;
}

void feed_again_took(Store *store, uint64_t changes, uint64_t bytes)
{
    MUTEX_HELD(&store->mutex);
    if (changes > 0)
        store->feed.again_each = bytes / changes;
}

void feed_waits_none(Store *store)
{
    MUTEX_HELD(&store->mutex);
    store->feed.journal_waits = 0;
}

void store_feed_state(Store *store, StoreFeedState *ret_state)
{
    MUTEX_HELD(&store->mutex);
    uint64_t newest = store->next_sequence - 1;
    *ret_state = (StoreFeedState){ .newest = newest, .journal_bytes = store->feed.journal_waits,
                                   .unread = store->feed.held ? newest - store->feed.floor : 0 };
}

Code feed_again(Store *store, uint64_t sequence, Arena *arena, CommitOp *ret_op, bool *ret_any, Err *err)
{
    Buf seek AUTO(buf_done);
    Cursor cursor AUTO(cursor_done) = { 0 };
    StoreChange change;
    buf_init(&seek, INDEX_KEY_MAX);
    *ret_any = false;
    if (!feed_unread(store, sequence))
        return E_OK;
    key_change(&seek, sequence);
    TRY(cursor_init(&cursor, store, err));
    TRY(cursor_seek(&cursor, buf_str(&seek), err));
    if (!cursor.there || !str_eq(cursor_key(&cursor), buf_str(&seek)))
        return E_OK;
    TRY(change_decode(cursor_key(&cursor), cursor_value(&cursor), arena, &change, err));
    *ret_op = (CommitOp){ .kind = OP_CHANGE, .again = true, .change = change.kind, .of_sequence = change.of_sequence,
                          .record.info = change.object };
    ret_op->record.info.sequence = sequence;
    *ret_any = true;
    return E_OK;
}

Code feed_load(Store *store, Err *err)
{
    Buf seek AUTO(buf_done);
    Cursor cursor AUTO(cursor_done) = { 0 };
    buf_init(&seek, INDEX_KEY_MAX);
    key_change(&seek, 0);
    TRY(cursor_init(&cursor, store, err));
    TRY(cursor_seek(&cursor, buf_str(&seek), err));
    if (!cursor.there || !str_eq(cursor_key(&cursor), buf_str(&seek)))
        return E_OK;
    Reader r = reader_of(cursor_value(&cursor));
    store->feed.trimmed = store->feed.trimming = store->feed.floor = read_u64le(&r);
    store->feed.held = true;
    return reader_end(&r, "the floor of the feed", err);
}

/* Rows from the first one on, up to `floor`; at most TRIM_MAX. */
static Code rows_remove(Plan *plan, Store *store, uint64_t floor, Buf *key, Err *err)
{
    Cursor cursor AUTO(cursor_done) = { 0 };
    size_t count = 0;
    uint64_t last = floor;
    key_change(key, store->feed.trimming + 1);
    TRY(cursor_init(&cursor, store, err));
    TRY(cursor_seek(&cursor, buf_str(key), err));
    buf_clear(key);
    for (; is_change(&cursor); count++) {
        Reader r = reader_of(str_from(cursor_key(&cursor), 1));
        uint64_t sequence = read_u64be(&r);
        if (sequence > floor)
            break;
        if (count == TRIM_MAX) {
            last = sequence - 1;
            break;
        }
        key_change(key, sequence);
        plan_write_remove(plan, key);
        TRY(cursor_next(&cursor, err));
    }
    store->feed.trimming = last;
    return E_OK;
}

Code feed_writes(Plan *plan, Store *store, Buf *key, Err *err)
{
    uint64_t floor;
    {
        MUTEX_HELD(&store->mutex);
        floor = store->feed.floor;
    }
    if (floor < store->feed.trimming + TRIM_LEAST)
        return E_OK;
    TRY(rows_remove(plan, store, floor, key, err));
    {
        MUTEX_HELD(&store->mutex); /* before the rows go: whoever does not find them is told (invariant 2) */
        store->feed.trimmed = store->feed.trimming;
    }
    Buf value AUTO(buf_done);
    buf_init(&value, sizeof(uint64_t));
    write_u64le(&value, store->feed.trimming);
    key_change(key, 0);
    plan_write_put(plan, key, plan_text(plan, &value));
    return E_OK;
}

void feed_moved(Store *store)
{
    for (FeedWaiter *waiter = store->feed.waiters; waiter; waiter = waiter->next)
        if (waiter->after < store->next_sequence - 1)
            cond_signal(&waiter->moved);
}
