/* index_memory.c: the index as a sorted array in memory: for tests, simulation and small stores.
 *
 * Invariants
 * 1. `entries` is sorted by key, without doubles.
 * 2. A cursor holds the mutex from open to close: it sees one moment. */
#include "store/store_priv.h"

#include <string.h>

typedef struct Entry {
    uint32_t key_len, value_len;
    char bytes[];
} Entry;

struct Index {
    Mutex mutex;
    Vec(Entry *) entries;
};

struct IndexCursor {
    Index *index;
    size_t at;
};

static Str entry_key(const Entry *entry)
{
    return str_of(entry->bytes, entry->key_len);
}

static Code memory_open(Os *os, const char *dir, uint64_t cache_bytes, bool fresh,
                        Index **ret_index, Err *err)
{
    (void)os, (void)dir, (void)cache_bytes, (void)fresh, (void)err;
    Index *index = mem_new(sizeof *index);
    mutex_init(&index->mutex);
    *ret_index = index;
    return E_OK;
}

static void memory_close(Index *index)
{
    for (size_t i = 0; i < index->entries.len; i++)
        mem_free(&index->entries.items[i]);
    vec_done(&index->entries);
    mutex_done(&index->mutex);
    mem_free(&index);
}

static Code memory_flush(Index *index, Err *err)
{
    (void)index, (void)err;
    return E_OK;
}

/* The place of the first entry whose key is not less. */
static size_t lower_bound(const Index *index, Str key)
{
    size_t low = 0, high = index->entries.len;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (str_cmp(entry_key(index->entries.items[middle]), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void entry_put(Index *index, size_t at, bool there, const IndexWrite *write)
{
    Entry *entry = mem_new(sizeof *entry + write->key.len + write->value.len);
    entry->key_len = (uint32_t)write->key.len;
    entry->value_len = (uint32_t)write->value.len;
    memcpy(entry->bytes, write->key.ptr, write->key.len);
    if (write->value.len)
        memcpy(entry->bytes + write->key.len, write->value.ptr, write->value.len);
    if (there) {
        mem_free(&index->entries.items[at]);
    } else {
        vec_push(&index->entries, NULL);
        memmove(index->entries.items + at + 1, index->entries.items + at,
                (index->entries.len - 1 - at) * sizeof(Entry *));
    }
    index->entries.items[at] = entry;
}

static Code memory_apply(Index *index, const IndexWrite *writes, size_t count, Err *err)
{
    (void)err;
    MUTEX_HELD(&index->mutex);
    for (size_t i = 0; i < count; i++) {
        size_t at = lower_bound(index, writes[i].key);
        bool there =
            at < index->entries.len && str_eq(entry_key(index->entries.items[at]), writes[i].key);
        if (!writes[i].remove) {
            entry_put(index, at, there, &writes[i]);
        } else if (there) {
            mem_free(&index->entries.items[at]);
            index->entries.len--;
            memmove(index->entries.items + at, index->entries.items + at + 1,
                    (index->entries.len - at) * sizeof(Entry *));
        }
    }
    return E_OK;
}

static Code memory_cursor_open(Index *index, bool now, IndexCursor **ret_cursor, Err *err)
{
    (void)now;
    (void)err;
    mutex_lock(&index->mutex);
    IndexCursor *cursor = mem_new(sizeof *cursor);
    cursor->index = index;
    *ret_cursor = cursor;
    return E_OK;
}

static void memory_cursor_close(IndexCursor *cursor)
{
    mutex_unlock(&cursor->index->mutex);
    mem_free(&cursor);
}

static Code memory_cursor_seek(IndexCursor *cursor, Str key, bool *ret_there, Err *err)
{
    (void)err;
    cursor->at = lower_bound(cursor->index, key);
    *ret_there = cursor->at < cursor->index->entries.len;
    return E_OK;
}

static Code memory_cursor_next(IndexCursor *cursor, bool *ret_there, Err *err)
{
    (void)err;
    *ret_there = ++cursor->at < cursor->index->entries.len;
    return E_OK;
}

static Str memory_cursor_key(IndexCursor *cursor)
{
    return entry_key(cursor->index->entries.items[cursor->at]);
}

static Str memory_cursor_value(IndexCursor *cursor)
{
    const Entry *entry = cursor->index->entries.items[cursor->at];
    return str_of(entry->bytes + entry->key_len, entry->value_len);
}

const IndexOps index_memory = {
    .name = "memory",
    .persistent = false,
    .open = memory_open,
    .close = memory_close,
    .flush = memory_flush,
    .apply = memory_apply,
    .cursor_open = memory_cursor_open,
    .cursor_close = memory_cursor_close,
    .cursor_seek = memory_cursor_seek,
    .cursor_next = memory_cursor_next,
    .cursor_key = memory_cursor_key,
    .cursor_value = memory_cursor_value,
};
