/* read.c: heads, readers, deletes, trust: what concerns one object.
 *
 * Invariants
 * 1. A reader holds the bytes that it was opened for: a small body in memory, verified when it was
 *    opened; a large one by an open file, each block verified when it is read. Replacing or
 * deleting the object takes nothing from it. */
#include "store/store_priv.h"

#include <string.h>

enum { OPEN_TRIES = 16 }; /* an object may be replaced or moved while it is being opened */

struct ObjectReader {
    Store *store;
    Arena arena;
    ObjectInfo info;
    Buf body;
    Blob *blob;
};

void object_reader_free(ObjectReader **reader)
{
    ObjectReader *r = *reader;
    if (!r)
        return;
    if (r->blob)
        r->store->backend_ops->blob_close(r->blob);
    buf_done(&r->body);
    arena_done(&r->arena);
    mem_free(reader);
}

static ObjectReader *reader_empty(Store *store)
{
    ObjectReader *reader = mem_new(sizeof *reader);
    reader->store = store;
    buf_init(&reader->body, STORE_INLINE_MAX);
    return reader;
}

Code reader_new(Store *store, const ObjectRecord *record, Str body, ObjectReader **ret_reader,
                Err *err)
{
    ObjectReader *reader AUTO(object_reader_free) = reader_empty(store);
    reader->info = record->info;
    if (record->place == PLACE_BLOB)
        TRY(store->backend_ops->blob_open(store->backend, &record->blob, record->info.size_bytes,
                                          &reader->blob, err));
    else
        buf_put(&reader->body, body);
    TRY(buf_end(&reader->body, "a small object", err));
    *ret_reader = TAKE(reader);
    return E_OK;
}

static Code bytes_open(ObjectReader *reader, const ObjectRecord *record, Err *err)
{
    const BackendOps *ops = reader->store->backend_ops;
    Backend *backend = reader->store->backend;
    switch (record->place) {
    case PLACE_NONE:
        return E_OK;
    case PLACE_BLOB:
        return ops->blob_open(backend, &record->blob, record->info.size_bytes, &reader->blob, err);
    case PLACE_JOURNAL:
        TRY(ops->body_read(backend, record->at, &reader->body, err));
        if (reader->body.len != record->info.size_bytes)
            return err_set(err, E_CORRUPT, "a stored object has another length");
        return E_OK;
    }
    return err_set(err, E_CORRUPT, "a place of no known kind");
}

static bool same_place(const ObjectRecord *a, const ObjectRecord *b)
{
    return a->place == b->place && a->at == b->at && a->info.sequence == b->info.sequence;
}

Code store_reader_open(Store *store, Str bucket, Str key, uint64_t sequence,
                       ObjectReader **ret_reader, Err *err)
{
    TRY(key_check(bucket, key, err));
    ObjectRecord tried = { 0 };
    Code code = E_OK;
    for (int i = 0; i < OPEN_TRIES; i++) {
        ObjectReader *reader AUTO(object_reader_free) = reader_empty(store);
        ObjectRecord record;
        bool found;
        TRY(store_lookup(store, bucket, key, &reader->arena, &record, &found, err));
        if (!found)
            return no_such_key(bucket, key, err);
        if (sequence != 0 && record.info.sequence != sequence)
            return err_set(err, E_GONE, "version %llu of s3://" STR_FMT "/" STR_FMT " was replaced",
                           (unsigned long long)sequence, STR_ARG(bucket), STR_ARG(key));
        if (i > 0 && same_place(&tried, &record)) /* so it was not moved away: the damage is real */
            return err_wrap(err, code == E_NOT_FOUND ? E_CORRUPT : code,
                            "s3://" STR_FMT "/" STR_FMT, STR_ARG(bucket), STR_ARG(key));
        reader->info = record.info;
        code = bytes_open(reader, &record, err);
        if (code == E_OK) {
            *ret_reader = TAKE(reader);
            return E_OK;
        }
        tried = record;
    }
    return code;
}

const ObjectInfo *object_reader_info(const ObjectReader *reader)
{
    return &reader->info;
}

Code object_pread(ObjectReader *reader, void *bytes, size_t len, uint64_t at, size_t *ret_len,
                  Err *err)
{
    uint64_t size = reader->info.size_bytes;
    size_t part = at >= size ? 0 : (size_t)MIN((uint64_t)len, size - at);
    if (part > 0 && reader->blob)
        TRY(reader->store->backend_ops->blob_pread(reader->blob, bytes, part, at, err));
    else if (part > 0)
        memcpy(bytes, reader->body.ptr + at, part);
    *ret_len = part;
    return E_OK;
}

Code store_head(Store *store, Str bucket, Str key, Arena *arena, ObjectInfo *ret_info, Err *err)
{
    TRY(key_check(bucket, key, err));
    ObjectRecord record;
    bool found;
    TRY(store_lookup(store, bucket, key, arena, &record, &found, err));
    if (!found)
        return no_such_key(bucket, key, err);
    *ret_info = record.info;
    return E_OK;
}

Code store_delete_version(Store *store, Str bucket, Str key, uint64_t sequence, Err *err)
{
    TRY(key_check(bucket, key, err));
    CommitOp op = { .kind = OP_DELETE, .of_sequence = sequence };
    op.record.info.bucket = bucket;
    op.record.info.key = key;
    return store_commit(store, &op, 1, err);
}

Code store_delete(Store *store, Str bucket, Str key, Err *err)
{
    return store_delete_version(store, bucket, key, 0, err);
}

Code store_set_trust(Store *store, Str bucket, Str key, uint64_t sequence, ObjectTrust trust,
                     Err *err)
{
    TRY(key_check(bucket, key, err));
    CommitOp op = { .kind = OP_TRUST, .of_sequence = sequence };
    op.record.info.bucket = bucket;
    op.record.info.key = key;
    op.record.info.trust = trust;
    return store_commit(store, &op, 1, err);
}
