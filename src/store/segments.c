/* segments.c: how many bytes live in each segment of the journal: what compaction decides by.
 *
 * Invariants
 * 1. A small body counts in the segment where the index finds it, also one in the trash. The rows change in the
 *    batch that puts it there, moves it or takes it away, so they are as exact as the index and are made again with it.
 * 2. Tags that were set later count where the body is, with which compaction writes them, so a segment can seem to hold
 *    more than it has room for: it counts as full then.
 * 3. The index does not know in which segment the record of a version is that has its bytes elsewhere, or none. These
 *    records count in segment 0, which no journal has, and are taken to lie evenly in all of them.
 * 4. `live` is the leader's to change, under the mutex; it is sorted by id and has no zeros. */
#include "store/store_priv.h"

#include <string.h>

/* What a version takes beside its key, tags and fields, about: with a body, without one, a part of it. */
enum { RECORD_COST = 300, BARE_COST = 160, PART_COST = 100, NOWHERE = 0 };

static void row_key(Buf *buf, uint64_t id)
{
    buf_put_char(buf, 'g');
    write_u64be(buf, id);
}

Code segments_load(Store *store, Err *err)
{
    Cursor cursor AUTO(cursor_done) = { 0 };
    TRY(cursor_init(&cursor, store, err));
    TRY(cursor_seek(&cursor, STR("g"), err));
    while (cursor.there && str_starts(cursor_key(&cursor), STR("g"))) {
        Reader k = reader_of(str_from(cursor_key(&cursor), 1)), r = reader_of(cursor_value(&cursor));
        SegmentLive live = { .id = read_u64be(&k), .bytes = read_u64le(&r) };
        TRY(reader_end(&k, "the number of a segment", err));
        TRY(reader_end(&r, "what lives in a segment", err));
        vec_push(&store->live, live);
        TRY(cursor_next(&cursor, err));
    }
    return E_OK;
}

/* The first with this id or a greater one. */
static size_t live_find(const Store *store, uint64_t id)
{
    size_t low = 0, high = store->live.len;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (store->live.items[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void live_add(Plan *plan, uint64_t id, uint64_t bytes)
{
    SegmentDelta *delta = plan->segments;
    while (delta && delta->id != id)
        delta = delta->next;
    if (!delta) {
        delta = arena_new(&plan->arena, SegmentDelta);
        delta->id = id;
        delta->next = plan->segments;
        plan->segments = delta;
    }
    delta->bytes += bytes;
}

void segments_count(Plan *plan, const Store *store, const ObjectRecord *record, size_t key_len, bool more)
{
    if (store->segment_bytes == 0)
        return; /* a backend without a journal */
    const ObjectInfo *info = &record->info;
    bool here = record->place == PLACE_JOURNAL;
    uint64_t cost = here ? RECORD_COST + info->size_bytes
                         : BARE_COST + info->part_count * PART_COST + info->content_type.len + info->owner.len;
    cost += key_len + pairs_bytes(info->tags, info->tag_count) + pairs_bytes(info->meta, info->meta_count);
    live_add(plan, here ? record->at / store->segment_bytes : NOWHERE, more ? cost : 0 - cost);
}

void segments_note(Plan *plan, const Store *store, const KeyState *state, const VersionState *version)
{
    if (version->was)
        segments_count(plan, store, &version->before, state->key.len, false);
    if (version->is)
        segments_count(plan, store, &version->now, state->key.len, true);
}

void segments_writes(Plan *plan, const Store *store, Buf *key)
{
    for (const SegmentDelta *delta = plan->segments; delta; delta = delta->next) {
        size_t at = live_find(store, delta->id);
        bool there = at < store->live.len && store->live.items[at].id == delta->id;
        uint64_t bytes = delta->bytes + (there ? store->live.items[at].bytes : 0);
        row_key(key, delta->id);
        if (bytes == 0) {
            plan_write_remove(plan, key);
            continue;
        }
        Buf value AUTO(buf_done);
        buf_init(&value, INDEX_KEY_MAX);
        write_u64le(&value, bytes);
        plan_write_put(plan, key, plan_text(plan, &value));
    }
}

void segments_applied(const Plan *plan, Store *store)
{
    for (const SegmentDelta *delta = plan->segments; delta; delta = delta->next) {
        size_t at = live_find(store, delta->id);
        if (at == store->live.len || store->live.items[at].id != delta->id) {
            vec_push(&store->live, (SegmentLive){ 0 });
            memmove(store->live.items + at + 1, store->live.items + at,
                    (store->live.len - 1 - at) * sizeof store->live.items[0]);
            store->live.items[at] = (SegmentLive){ .id = delta->id };
        }
        store->live.items[at].bytes += delta->bytes;
        if (store->live.items[at].bytes > 0)
            continue;
        store->live.len--;
        memmove(store->live.items + at, store->live.items + at + 1,
                (store->live.len - at) * sizeof store->live.items[0]);
    }
}

static uint64_t live_bytes(const Store *store, size_t at)
{
    const SegmentLive *live = &store->live.items[at];
    return live->id == NOWHERE ? live->bytes : MIN(live->bytes, store->segment_bytes);
}

uint64_t segments_live(Store *store)
{
    MUTEX_HELD(&store->mutex);
    uint64_t sum = 0;
    for (size_t i = 0; i < store->live.len; i++)
        sum += live_bytes(store, i);
    return sum;
}

uint64_t segments_worth(Store *store, uint64_t first, uint64_t end, unsigned percent)
{
    MUTEX_HELD(&store->mutex);
    uint64_t worth = first, live = 0;
    uint64_t nowhere = store->live.len && store->live.items[0].id == NOWHERE ? store->live.items[0].bytes : 0;
    uint64_t spread = MIN(nowhere / (end + 2 - first), store->segment_bytes); /* with the tail and what is before it */
    size_t at = live_find(store, first);
    for (uint64_t id = first; id < end; id++) {
        uint64_t here = spread;
        if (at < store->live.len && store->live.items[at].id == id)
            here += live_bytes(store, at++);
        live += MIN(here, store->segment_bytes);
        if (live <= (id + 1 - first) * (store->segment_bytes / 100 * percent))
            worth = id + 1;
    }
    return worth;
}
