/* Invariants:
 * 1. A source's objects are read from the store once, before its first claim is answered.
 * 2. An entry has a key, or is free (empty key), or is claimed (no pointer): then exactly one thread is
 *    about to settle it.
 * 3. The mutex is never held over a call of the store.
 * 4. An entry whose object was deleted or replaced since is found out by the claimer (it looks the key
 *    up) and becomes a claim. */
#include "source/index_priv.h"

#include "base/vec.h"
#include "os/thread.h"

#include <string.h>

typedef struct Entry {
    uint8_t sha256[32];
    Str key; /* its memory is the entry's; no pointer: claimed; empty: given up, free to be claimed */
} Entry;

typedef struct SourceShas {
    Str source;
    bool loaded;
    Vec(Entry) entries;
    uint32_t *slots; /* entry + 1; 0: free. A power of two, at most half full */
    size_t slot_count;
} SourceShas;

struct SourceIndex {
    Store *store;
    Str bucket;
    Mutex mutex; /* guards the rest */
    Cond settled;
    Vec(SourceShas *) sources;
};

static Str own_copy(Str text)
{
    char *copy = mem_new(text.len + 1);
    if (text.len > 0)
        memcpy(copy, text.ptr, text.len);
    return str_of(copy, text.len);
}

static void own_free(Str *text)
{
    char *memory = (char *)(uintptr_t)text->ptr;
    mem_free(&memory);
    *text = STR_NONE;
}

SourceIndex *source_index_new(Store *store, Str bucket)
{
    SourceIndex *index = mem_new(sizeof *index);
    index->store = store;
    index->bucket = own_copy(bucket);
    mutex_init(&index->mutex);
    cond_init(&index->settled);
    return index;
}

void source_index_free(SourceIndex **index_pointer)
{
    SourceIndex *index = TAKE(*index_pointer);
    if (!index)
        return;
    for (size_t i = 0; i < index->sources.len; i++) {
        SourceShas *shas = index->sources.items[i];
        for (size_t j = 0; j < shas->entries.len; j++)
            own_free(&shas->entries.items[j].key);
        vec_done(&shas->entries);
        mem_free(&shas->slots);
        own_free(&shas->source);
        mem_free(&shas);
    }
    vec_done(&index->sources);
    own_free(&index->bucket);
    cond_done(&index->settled);
    mutex_done(&index->mutex);
    mem_free(&index);
}

static SourceShas *shas_of(SourceIndex *index, Str source)
{
    for (size_t i = 0; i < index->sources.len; i++) {
        if (str_eq(index->sources.items[i]->source, source))
            return index->sources.items[i];
    }
    SourceShas *shas = mem_new(sizeof *shas);
    shas->source = own_copy(source);
    vec_push(&index->sources, shas);
    return shas;
}

/* The slot of the hash, or the free one where it belongs. The hash's own bytes are random enough. */
static uint32_t *slot_of(SourceShas *shas, const uint8_t sha256[32])
{
    uint64_t hash;
    memcpy(&hash, sha256, sizeof hash);
    for (size_t at = hash & (shas->slot_count - 1);; at = (at + 1) & (shas->slot_count - 1)) {
        uint32_t *slot = &shas->slots[at];
        if (*slot == 0 || memcmp(shas->entries.items[*slot - 1].sha256, sha256, 32) == 0)
            return slot;
    }
}

static void shas_grow(SourceShas *shas)
{
    if ((shas->entries.len + 1) * 2 <= shas->slot_count)
        return;
    size_t count = shas->slot_count ? shas->slot_count * 2 : 256;
    mem_free(&shas->slots);
    shas->slots = mem_new(count * sizeof *shas->slots);
    shas->slot_count = count;
    for (size_t i = 0; i < shas->entries.len; i++)
        *slot_of(shas, shas->entries.items[i].sha256) = (uint32_t)i + 1;
}

/* The entry of the hash; `*ret_new` when it was not there. */
static Entry *entry_of(SourceShas *shas, const uint8_t sha256[32], bool *ret_new)
{
    shas_grow(shas);
    uint32_t *slot = slot_of(shas, sha256);
    *ret_new = *slot == 0;
    if (*slot == 0) {
        Entry entry = { .key = STR_NONE };
        memcpy(entry.sha256, sha256, 32);
        vec_push(&shas->entries, entry);
        *slot = (uint32_t)shas->entries.len;
    }
    return &shas->entries.items[*slot - 1];
}

static void take_page(SourceIndex *index, Str source, const StoreListPage *page)
{
    MUTEX_HELD(&index->mutex);
    SourceShas *shas = shas_of(index, source);
    for (size_t i = 0; i < page->object_count; i++) {
        bool fresh;
        if (!page->objects[i].has_sha256) /* it came in parts, or without one being asked for */
            continue;
        Entry *entry = entry_of(shas, page->objects[i].sha256, &fresh);
        if (fresh)
            entry->key = own_copy(page->objects[i].key);
    }
    shas->loaded |= !page->truncated;
}

/* Two threads may load the same source: the second one finds every entry there. */
static Code load(SourceIndex *index, Str source, Err *err)
{
    Arena arena AUTO(arena_done) = { 0 };
    StoreListQuery query = { .bucket = index->bucket,
                             .prefix = str_format(&arena, STR_FMT "/", STR_ARG(source)) };
    for (;;) {
        Arena tmp AUTO(arena_done) = { 0 };
        StoreListPage page;
        TRY(store_list(index->store, &query, &tmp, &page, err));
        take_page(index, source, &page);
        if (!page.truncated)
            return E_OK;
        query.start_after = str_copy(&arena, page.next);
    }
}

/* Waits for somebody else's claim; true when this thread owns it now. */
static bool claim(SourceIndex *index, Str source, const uint8_t sha256[32], Arena *arena,
                  Str *ret_key)
{
    MUTEX_HELD(&index->mutex);
    SourceShas *shas = shas_of(index, source);
    for (;;) {
        bool fresh;
        Entry *entry = entry_of(shas, sha256, &fresh);
        if (fresh)
            return true;
        if (entry->key.ptr && entry->key.len > 0) {
            *ret_key = str_copy(arena, entry->key);
            return false;
        }
        if (!entry->key.ptr) { /* claimed by another thread */
            cond_wait(&index->settled, &index->mutex);
            continue;
        }
        own_free(&entry->key);
        return true;
    }
}

static bool is_loaded(SourceIndex *index, Str source)
{
    MUTEX_HELD(&index->mutex);
    return shas_of(index, source)->loaded;
}

/* The object of an entry is gone or has other bytes: its key is taken off, unless somebody else did. */
static bool still_there(SourceIndex *index, const uint8_t sha256[32], Str key)
{
    Arena tmp AUTO(arena_done) = { 0 };
    ObjectInfo info;
    return store_head(index->store, index->bucket, key, &tmp, &info, NULL) == E_OK
           && memcmp(info.sha256, sha256, 32) == 0;
}

static void forget(SourceIndex *index, Str source, const uint8_t sha256[32], Str key)
{
    MUTEX_HELD(&index->mutex);
    bool fresh;
    Entry *entry = entry_of(shas_of(index, source), sha256, &fresh);
    if (entry->key.ptr && str_eq(entry->key, key)) {
        own_free(&entry->key);
        entry->key = own_copy(STR(""));
    }
}

Code source_index_claim(SourceIndex *index, Str source, const uint8_t sha256[32], Arena *arena,
                        Str *ret_key, Err *err)
{
    if (!is_loaded(index, source))
        TRY(load(index, source, err));
    for (;;) {
        Str key = STR_NONE;
        if (claim(index, source, sha256, arena, &key)) {
            *ret_key = STR_NONE;
            return E_OK;
        }
        if (still_there(index, sha256, key)) {
            *ret_key = key;
            return E_OK;
        }
        forget(index, source, sha256, key);
    }
}

void source_index_settle(SourceIndex *index, Str source, const uint8_t sha256[32], Str key)
{
    MUTEX_HELD(&index->mutex);
    bool fresh;
    Entry *entry = entry_of(shas_of(index, source), sha256, &fresh);
    own_free(&entry->key);
    entry->key = own_copy(key); /* empty: free to be claimed */
    cond_broadcast(&index->settled);
}
