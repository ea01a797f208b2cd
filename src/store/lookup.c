/* lookup.c: what the other files ask the index. */
#include "store/store_priv.h"

Code cursor_init(Cursor *cursor, Store *store, Err *err)
{
    *cursor = (Cursor){ .store = store, .ops = store->index_ops };
    return store->index_ops->cursor_open(store->index, false, &cursor->inner, err);
}

Code cursor_init_now(Cursor *cursor, Store *store, Err *err)
{
    *cursor = (Cursor){ .store = store, .ops = store->index_ops };
    return store->index_ops->cursor_open(store->index, true, &cursor->inner, err);
}

void cursor_done(Cursor *cursor)
{
    if (cursor->inner)
        cursor->ops->cursor_close(cursor->inner);
    cursor->inner = NULL;
}

static Code seen(Cursor *cursor, Code code, Err *err)
{
    if (code == E_CORRUPT)
        index_damaged(cursor->store, err);
    return code;
}

Code cursor_seek(Cursor *cursor, Str key, Err *err)
{
    return seen(cursor, cursor->ops->cursor_seek(cursor->inner, key, &cursor->there, err), err);
}

Code cursor_next(Cursor *cursor, Err *err)
{
    return seen(cursor, cursor->ops->cursor_next(cursor->inner, &cursor->there, err), err);
}

Str cursor_key(const Cursor *cursor)
{
    return cursor->ops->cursor_key(cursor->inner);
}

Str cursor_value(const Cursor *cursor)
{
    return cursor->ops->cursor_value(cursor->inner);
}

static Code row_decode(const Cursor *cursor, Str bucket, Str key, Arena *arena,
                       ObjectRecord *ret_record, Err *err)
{
    ObjectRecord record;
    TRY(object_decode(cursor_value(cursor), false, arena, &record, err));
    record.info.bucket = str_copy(arena, bucket);
    record.info.key = str_copy(arena, key);
    *ret_record = record;
    return E_OK;
}

Code store_lookup(Store *store, Str bucket, Str key, Arena *arena, ObjectRecord *ret_record,
                  bool *ret_found, Err *err)
{
    return store_lookup_version(store, bucket, key, 0, arena, ret_record, ret_found, err);
}

static Code row_find(Store *store, Str key, Cursor *cursor, bool *ret_found, Err *err)
{
    TRY(cursor_init(cursor, store, err));
    TRY(cursor_seek(cursor, key, err));
    *ret_found = cursor->there && str_eq(cursor_key(cursor), key);
    return E_OK;
}

static Code null_at(Cursor *cursor, Str bucket, Str key, uint64_t *ret_sequence, Err *err)
{
    Buf seek AUTO(buf_done);
    buf_init(&seek, INDEX_KEY_MAX);
    key_null(&seek, bucket, key);
    TRY(buf_end(&seek, "a key", err));
    TRY(cursor_seek(cursor, buf_str(&seek), err));
    *ret_sequence = 0;
    if (!cursor->there || !str_eq(cursor_key(cursor), buf_str(&seek)))
        return E_OK;
    Reader r = reader_of(cursor_value(cursor));
    *ret_sequence = read_u64le(&r);
    return reader_end(&r, "the null version of a key", err);
}

Code null_lookup(Store *store, Str bucket, Str key, uint64_t *ret_sequence, Err *err)
{
    Cursor cursor AUTO(cursor_done) = { 0 };
    TRY(cursor_init(&cursor, store, err));
    return null_at(&cursor, bucket, key, ret_sequence, err);
}

/* The newest version, or that with this sequence. */
static Code version_at(Cursor *cursor, Str bucket, Str key, uint64_t sequence, Arena *arena,
                       ObjectRecord *ret_record, bool *ret_found, Err *err)
{
    Buf seek AUTO(buf_done);
    buf_init(&seek, INDEX_KEY_MAX);
    if (sequence)
        key_version(&seek, bucket, key, sequence);
    else
        key_object(&seek, bucket, key);
    TRY(buf_end(&seek, "a key", err));
    TRY(cursor_seek(cursor, buf_str(&seek), err));
    *ret_found = cursor->there && str_starts(cursor_key(cursor), buf_str(&seek));
    return *ret_found ? row_decode(cursor, bucket, key, arena, ret_record, err) : E_OK;
}

static Code version_find(Store *store, Str bucket, Str key, uint64_t sequence, bool now, Arena *arena,
                         ObjectRecord *ret_record, bool *ret_found, Err *err)
{
    Cursor cursor AUTO(cursor_done) = { 0 };
    TRY(now ? cursor_init_now(&cursor, store, err) : cursor_init(&cursor, store, err));
    return version_at(&cursor, bucket, key, sequence, arena, ret_record, ret_found, err);
}

Code store_lookup_at(Cursor *cursor, Str bucket, Str key, Arena *arena, ObjectRecord *ret_record, bool *ret_found,
                     Err *err)
{
    return version_at(cursor, bucket, key, 0, arena, ret_record, ret_found, err);
}

/* Of one moment: a null version that another replaces is at no time missing. */
static Code null_find(Store *store, Str bucket, Str key, Arena *arena, ObjectRecord *ret_record, bool *ret_found,
                      Err *err)
{
    uint64_t sequence;
    Cursor cursor AUTO(cursor_done) = { 0 };
    TRY(cursor_init(&cursor, store, err));
    TRY(version_at(&cursor, bucket, key, 0, arena, ret_record, ret_found, err));
    if (!*ret_found || ret_record->info.null_version)
        return E_OK;
    *ret_found = false;
    TRY(null_at(&cursor, bucket, key, &sequence, err));
    return sequence ? version_at(&cursor, bucket, key, sequence, arena, ret_record, ret_found, err) : E_OK;
}

Code store_lookup_version(Store *store, Str bucket, Str key, uint64_t sequence, Arena *arena,
                          ObjectRecord *ret_record, bool *ret_found, Err *err)
{
    return sequence == STORE_VERSION_NULL
               ? null_find(store, bucket, key, arena, ret_record, ret_found, err)
               : version_find(store, bucket, key, sequence, false, arena, ret_record, ret_found, err);
}

Code store_lookup_now(Store *store, Str bucket, Str key, Arena *arena, ObjectRecord *ret_record, bool *ret_found,
                      Err *err)
{
    return version_find(store, bucket, key, 0, true, arena, ret_record, ret_found, err);
}

/* A copy of the bucket's row as it was read last, or STR_NONE; and how often rows had changed then. */
static Str bucket_cached(Store *store, Str bucket, Arena *arena, uint64_t *ret_changes)
{
    BucketCache *cache = &store->buckets;
    MUTEX_HELD(&cache->mutex);
    *ret_changes = cache->changes;
    for (size_t i = 0; i < cache->count; i++)
        if (str_eq(cache->rows[i].name, bucket))
            return str_copy(arena, cache->rows[i].row);
    return STR_NONE;
}

bool store_bucket_known(Store *store, Str bucket)
{
    BucketCache *cache = &store->buckets;
    bool known = false;
    MUTEX_HELD(&cache->mutex);
    for (size_t i = 0; i < cache->count; i++)
        known = known || str_eq(cache->rows[i].name, bucket);
    return known;
}

/* What was read before a change is not kept. */
static void bucket_cache(Store *store, Str bucket, Str row, uint64_t changes)
{
    BucketCache *cache = &store->buckets;
    MUTEX_HELD(&cache->mutex);
    if (cache->changes != changes || row.len > BUCKET_CACHE_ROW_MAX)
        return;
    if (cache->count == BUCKET_CACHE_MAX) {
        arena_reset(&cache->arena);
        cache->count = 0;
    }
    cache->rows[cache->count].name = str_copy(&cache->arena, bucket);
    cache->rows[cache->count++].row = str_copy(&cache->arena, row);
}

void bucket_cache_drop(Store *store)
{
    BucketCache *cache = &store->buckets;
    MUTEX_HELD(&cache->mutex);
    cache->changes++;
    cache->count = 0;
    arena_reset(&cache->arena);
}

Code store_bucket_lookup(Store *store, Str bucket, Arena *arena, StoreBucket *ret_bucket,
                         bool *ret_found, Err *err)
{
    uint64_t changes;
    Str row = bucket_cached(store, bucket, arena, &changes);
    *ret_found = row.ptr != NULL;
    if (!*ret_found) {
        Buf seek AUTO(buf_done);
        buf_init(&seek, INDEX_KEY_MAX);
        key_bucket(&seek, bucket);
        TRY(buf_end(&seek, "a bucket", err));
        Cursor cursor AUTO(cursor_done) = { 0 };
        TRY(row_find(store, buf_str(&seek), &cursor, ret_found, err));
        if (!*ret_found)
            return E_OK;
        row = str_copy(arena, cursor_value(&cursor));
        bucket_cache(store, bucket, row, changes);
    }
    TRY(bucket_decode(row, arena, ret_bucket, err));
    ret_bucket->name = str_copy(arena, bucket);
    return E_OK;
}

Code key_check(Str bucket, Str key, Err *err)
{
    if (!store_bucket_name_ok(bucket))
        return err_hint(err,
                        err_set(err, E_INVALID, "not a bucket name: '" STR_FMT "'",
                                STR_ARG(str_sub(bucket, 0, 2 * STORE_BUCKET_MAX))),
                        "3 to 63 of a-z, 0-9, - and ., a letter or digit first and last");
    if (key.len == 0 || key.len > STORE_KEY_MAX)
        return err_set(err, E_INVALID, "a key of %zu bytes; 1 to %d are allowed", key.len,
                       STORE_KEY_MAX);
    return E_OK;
}

Code no_such_key(Str bucket, Str key, Err *err)
{
    return err_set(err, E_NOT_FOUND, "no object s3://" STR_FMT "/" STR_FMT, STR_ARG(bucket),
                   STR_ARG(key));
}
