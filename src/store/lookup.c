/* lookup.c: what the other files ask the index. */
#include "store/store_priv.h"

Code cursor_init(Cursor *cursor, Store *store, Err *err)
{
    *cursor = (Cursor){ .ops = store->index_ops };
    return store->index_ops->cursor_open(store->index, &cursor->inner, err);
}

void cursor_done(Cursor *cursor)
{
    if (cursor->inner)
        cursor->ops->cursor_close(cursor->inner);
    cursor->inner = NULL;
}

Code cursor_seek(Cursor *cursor, Str key, Err *err)
{
    return cursor->ops->cursor_seek(cursor->inner, key, &cursor->there, err);
}

Code cursor_next(Cursor *cursor, Err *err)
{
    return cursor->ops->cursor_next(cursor->inner, &cursor->there, err);
}

Str cursor_key(const Cursor *cursor)
{
    return cursor->ops->cursor_key(cursor->inner);
}

Str cursor_value(const Cursor *cursor)
{
    return cursor->ops->cursor_value(cursor->inner);
}

Code store_lookup(Store *store, Str bucket, Str key, Arena *arena, ObjectRecord *ret_record,
                  bool *ret_found, Err *err)
{
    Buf seek AUTO(buf_done);
    buf_init(&seek, INDEX_KEY_MAX);
    key_object(&seek, bucket, key);
    TRY(buf_end(&seek, "a key", err));
    Cursor cursor AUTO(cursor_done) = { 0 };
    TRY(cursor_init(&cursor, store, err));
    TRY(cursor_seek(&cursor, buf_str(&seek), err));
    *ret_found = false;
    if (!cursor.there || !str_starts(cursor_key(&cursor), buf_str(&seek)))
        return E_OK;
    ObjectRecord record;
    TRY(object_decode(cursor_value(&cursor), arena, &record, err));
    record.info.bucket = str_copy(arena, bucket);
    record.info.key = str_copy(arena, key);
    *ret_record = record;
    *ret_found = true;
    return E_OK;
}

Code store_bucket_lookup(Store *store, Str bucket, int64_t *ret_created_us, uint64_t *ret_sequence,
                         bool *ret_found, Err *err)
{
    Buf seek AUTO(buf_done);
    buf_init(&seek, INDEX_KEY_MAX);
    key_bucket(&seek, bucket);
    TRY(buf_end(&seek, "a bucket", err));
    Cursor cursor AUTO(cursor_done) = { 0 };
    TRY(cursor_init(&cursor, store, err));
    TRY(cursor_seek(&cursor, buf_str(&seek), err));
    *ret_found = false;
    if (!cursor.there || !str_eq(cursor_key(&cursor), buf_str(&seek)))
        return E_OK;
    Reader r = reader_of(cursor_value(&cursor));
    int64_t created_us = (int64_t)read_u64le(&r);
    uint64_t sequence = read_u64le(&r);
    TRY(reader_end(&r, "a bucket of the index", err));
    *ret_created_us = created_us;
    *ret_sequence = sequence;
    *ret_found = true;
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
