/* read.c: heads, readers, deletes, trust: what concerns one object.
 *
 * Invariants
 * 1. A reader holds the bytes that it was opened for: a small body in memory, verified when it was
 *    opened; a large one by an open file, each block verified when it is read; one in parts by a pin,
 *    which keeps them in the trash. Replacing or deleting the object takes nothing from it. */
#include "store/store_priv.h"

#include "base/text.h"

#include <string.h>

enum { OPEN_TRIES = 16 }; /* an object may be replaced or moved while it is being opened */

struct ObjectReader {
    Store *store;
    Arena arena;
    ObjectInfo info;
    Buf body;
    Blob *blob;            /* of PLACE_PARTS: the part that was read last */
    BlobId *part_blobs;    /* in the arena */
    bool bare;             /* only its info was asked for */
    Pin pin;               /* of PLACE_PARTS */
    uint64_t *part_starts; /* in the arena: where each begins; one more: the end */
    Mutex mutex;           /* guards what follows and, of PLACE_PARTS, `blob` */
    size_t part_open;      /* 1 + its index; 0: none */
};

void object_reader_free(ObjectReader **reader)
{
    ObjectReader *r = *reader;
    if (!r)
        return;
    if (r->blob)
        r->store->backend_ops->blob_close(r->blob);
    if (r->part_blobs)
        pin_remove(r->store, &r->pin);
    mutex_done(&r->mutex);
    buf_done(&r->body);
    arena_done(&r->arena);
    mem_free(reader);
}

static ObjectReader *reader_empty(Store *store)
{
    ObjectReader *reader = mem_new(sizeof *reader);
    reader->store = store;
    mutex_init(&reader->mutex);
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

/* The mutex is held, or the reader is not yet given out. */
static Code part_open(ObjectReader *reader, size_t i, Err *err)
{
    const BackendOps *ops = reader->store->backend_ops;
    if (reader->part_open == i + 1)
        return E_OK;
    if (reader->blob)
        ops->blob_close(TAKE(reader->blob));
    reader->part_open = 0;
    if (blob_is_none(&reader->part_blobs[i]))
        return E_OK;
    TRY(ops->blob_open(reader->store->backend, &reader->part_blobs[i],
                       reader->info.parts[i].size_bytes, &reader->blob, err));
    reader->part_open = i + 1;
    return E_OK;
}

/* The last part that begins at or before this byte of the object. */
static size_t part_of(const ObjectReader *reader, uint64_t at)
{
    size_t low = 0, high = reader->info.part_count - 1;
    while (low < high) {
        size_t middle = (low + high + 1) / 2;
        if (reader->part_starts[middle] <= at)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/* From here on no purge takes the parts: the version was pinned and is still there. */
static Code parts_place(ObjectReader *reader, const ObjectRecord *record, Str bucket, Str key, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    ObjectRecord again;
    bool found;
    pin_add(reader->store, &reader->pin, pin_of(record));
    reader->part_blobs = record->part_blobs;
    reader->part_starts = arena_array(&reader->arena, uint64_t, record->info.part_count + 1);
    for (size_t i = 0; i < record->info.part_count; i++)
        reader->part_starts[i + 1] = reader->part_starts[i] + record->info.parts[i].size_bytes;
    TRY(store_lookup_version(reader->store, bucket, key, record->info.sequence, &tmp, &again, &found, err));
    return found ? E_OK : no_such_key(bucket, key, err);
}

static Code parts_pread(ObjectReader *reader, char *bytes, size_t len, uint64_t at, Err *err)
{
    MUTEX_HELD(&reader->mutex);
    const uint64_t *starts = reader->part_starts;
    for (size_t i = part_of(reader, at); len > 0; i++) {
        size_t piece = (size_t)MIN((uint64_t)len, starts[i + 1] - at);
        if (piece == 0)
            continue; /* a part without bytes */
        TRY(part_open(reader, i, err));
        TRY(reader->store->backend_ops->blob_pread(reader->blob, bytes, piece, at - starts[i], err));
        bytes += piece;
        len -= piece;
        at += piece;
    }
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
    case PLACE_PARTS:
        TRY(parts_place(reader, record, record->info.bucket, record->info.key, err));
        return part_open(reader, 0, err);
    case PLACE_JOURNAL:
        return ops->body_read(backend, record->at, record->info.size_bytes, false, &reader->body, err);
    }
    return err_set(err, E_CORRUPT, "a place of no known kind");
}

static bool same_place(const ObjectRecord *a, const ObjectRecord *b)
{
    return a->place == b->place && a->at == b->at && a->info.sequence == b->info.sequence;
}

static Code reader_open(Store *store, Str bucket, Str key, uint64_t sequence, bool bare, ObjectReader **ret_reader,
                        Err *err)
{
    TRY(key_check(bucket, key, err));
    ObjectRecord tried = { 0 };
    Code code = E_OK;
    for (int i = 0; i < OPEN_TRIES; i++) {
        ObjectReader *reader AUTO(object_reader_free) = reader_empty(store);
        ObjectRecord record;
        bool found;
        TRY(store_lookup_version(store, bucket, key, sequence, &reader->arena, &record, &found, err));
        if ((found && record.info.delete_marker) || (!found && sequence == 0))
            return no_such_key(bucket, key, err);
        if (!found)
            return err_set(err, E_GONE, "version %llu of s3://" STR_FMT "/" STR_FMT " was replaced",
                           (unsigned long long)sequence, STR_ARG(bucket), STR_ARG(key));
        if (i > 0 && same_place(&tried, &record)) /* so it was not moved away: the damage is real */
            return err_wrap(err, code == E_NOT_FOUND ? E_CORRUPT : code,
                            "s3://" STR_FMT "/" STR_FMT, STR_ARG(bucket), STR_ARG(key));
        reader->info = record.info;
        reader->bare = bare;
        code = bare ? E_OK : bytes_open(reader, &record, err);
        if (code == E_OK) {
            *ret_reader = TAKE(reader);
            return E_OK;
        }
        tried = record;
    }
    return code;
}

Code store_reader_open(Store *store, Str bucket, Str key, uint64_t sequence,
                       ObjectReader **ret_reader, Err *err)
{
    return reader_open(store, bucket, key, sequence, false, ret_reader, err);
}

static Code reader_open_now(Store *store, Str bucket, Str key, bool bare, ObjectReader **ret_reader, Err *err)
{
    TRY(key_check(bucket, key, err));
    ObjectReader *reader AUTO(object_reader_free) = reader_empty(store);
    ObjectRecord record;
    bool found;
    TRY(store_lookup_now(store, bucket, key, &reader->arena, &record, &found, err));
    bool small = record.place == PLACE_NONE || record.place == PLACE_JOURNAL;
    if (!found || record.info.delete_marker || (!bare && !small))
        return err_set(err, E_UNAVAILABLE, "no small object");
    if (!bare && record.place == PLACE_JOURNAL)
        TRY(store->backend_ops->body_read(store->backend, record.at, record.info.size_bytes, true, &reader->body, err));
    reader->info = record.info;
    reader->bare = bare;
    *ret_reader = TAKE(reader);
    return E_OK;
}

Code store_reader_open_now(Store *store, Str bucket, Str key, ObjectReader **ret_reader, Err *err)
{
    return reader_open_now(store, bucket, key, false, ret_reader, err);
}

Code store_reader_head(Store *store, Str bucket, Str key, uint64_t sequence, bool now, ObjectReader **ret_reader,
                       Err *err)
{
    return now && sequence == 0 ? reader_open_now(store, bucket, key, true, ret_reader, err)
                                : reader_open(store, bucket, key, sequence, true, ret_reader, err);
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
    if (reader->bare)
        return err_set(err, E_INVALID, "bytes of an object of which only the head was asked for");
    if (part > 0 && reader->part_blobs)
        TRY(parts_pread(reader, bytes, part, at, err));
    else if (part > 0 && reader->blob)
        TRY(reader->store->backend_ops->blob_pread(reader->blob, bytes, part, at, err));
    else if (part > 0)
        memcpy(bytes, reader->body.ptr + at, part);
    *ret_len = part;
    return E_OK;
}

/* A part that is not open is left to object_pread: opening it waits for the disk. */
static size_t part_in_file(ObjectReader *reader, uint64_t at, size_t len, char *room, size_t room_len, int *ret_fd,
                           uint64_t *ret_file_at)
{
    MUTEX_HELD(&reader->mutex);
    size_t i = part_of(reader, at);
    const uint64_t *starts = reader->part_starts;
    if (reader->part_open != i + 1)
        return 0;
    *ret_file_at = at - starts[i];
    len = (size_t)MIN((uint64_t)len, starts[i + 1] - at);
    return reader->store->backend_ops->blob_in_file(reader->blob, *ret_file_at, len, room, room_len, ret_fd);
}

size_t object_in_file(ObjectReader *reader, uint64_t at, size_t len, char *room, size_t room_len, int *ret_fd,
                      uint64_t *ret_file_at)
{
    const BackendOps *ops = reader->store->backend_ops;
    uint64_t size = reader->info.size_bytes;
    if (!ops->blob_in_file || at >= size)
        return 0;
    len = (size_t)MIN((uint64_t)len, size - at);
    if (reader->part_blobs)
        return part_in_file(reader, at, len, room, room_len, ret_fd, ret_file_at);
    *ret_file_at = at;
    return reader->blob ? ops->blob_in_file(reader->blob, at, len, room, room_len, ret_fd) : 0;
}

Code store_head_version(Store *store, Str bucket, Str key, uint64_t sequence, Arena *arena,
                        ObjectInfo *ret_info, Err *err)
{
    TRY(key_check(bucket, key, err));
    ObjectRecord record;
    bool found;
    TRY(store_lookup_version(store, bucket, key, sequence, arena, &record, &found, err));
    if (!found)
        return no_such_key(bucket, key, err);
    *ret_info = record.info;
    return E_OK;
}

Code store_head(Store *store, Str bucket, Str key, Arena *arena, ObjectInfo *ret_info, Err *err)
{
    ObjectInfo info;
    TRY(store_head_version(store, bucket, key, 0, arena, &info, err));
    if (info.delete_marker)
        return no_such_key(bucket, key, err);
    *ret_info = info;
    return E_OK;
}

Str object_etag(Arena *arena, const ObjectInfo *info)
{
    Str hex = hex_format(arena, str_of(info->has_md5 ? info->md5 : info->sha256, 16));
    return info->part_count > 0 ? str_format(arena, STR_FMT "-%zu", STR_ARG(hex), info->part_count)
                                : hex;
}

Str object_version(Arena *arena, uint64_t sequence)
{
    enum { LEN = 24 };
    uint32_t check = (uint32_t)((sequence ^ sequence >> 32) * 2654435761u);
    char *text = arena_alloc(arena, LEN);
    for (unsigned i = 0; i < LEN; i++) { /* "%016llx%08x": a page of versions has a thousand */
        uint64_t half = i < 16 ? sequence >> 4 * (15 - i) : check >> 4 * (LEN - 1 - i);
        text[i] = "0123456789abcdef"[half & 15];
    }
    return str_of(text, LEN);
}

static Code delete_op_set(const StoreDelete *wanted, CommitOp *op, Err *err)
{
    TRY(key_check(wanted->bucket, wanted->key, err));
    if (wanted->owner.len > STORE_OWNER_MAX)
        return err_set(err, E_LIMIT, "an owner of %zu bytes", wanted->owner.len);
    *op = (CommitOp){ .kind = OP_DELETE,
                      .of_key = wanted->sequence == 0,
                      .of_sequence = wanted->sequence,
                      .if_sequence = wanted->if_sequence };
    op->record.info.bucket = wanted->bucket;
    op->record.info.key = wanted->key;
    op->record.info.owner = wanted->owner;
    return E_OK;
}

Code store_delete_many(Store *store, const StoreDelete *deletes, size_t count,
                       StoreDeleted *ret_deleted, Err *err)
{
    if (count > STORE_DELETE_MAX)
        return err_set(err, E_LIMIT, "%zu deletes in one group; at most %d", count, STORE_DELETE_MAX);
    Arena tmp AUTO(arena_done) = { 0 };
    CommitOp *ops = arena_array(&tmp, CommitOp, count);
    for (size_t i = 0; i < count; i++)
        TRY(delete_op_set(&deletes[i], &ops[i], err));
    if (count > 0)
        TRY(store_commit(store, ops, count, err));
    space_press(store);
    for (size_t i = 0; i < count; i++) {
        const ObjectInfo *info = &ops[i].record.info;
        bool made = ops[i].kind == OP_MARKER;
        ret_deleted[i] = (StoreDeleted){ .existed = ops[i].existed,
                                         .marker = info->delete_marker,
                                         .sequence = made ? info->sequence : ops[i].of_sequence,
                                         .null_version = info->null_version };
    }
    return E_OK;
}

Code store_delete_version(Store *store, Str bucket, Str key, uint64_t sequence, Err *err)
{
    StoreDelete wanted = { bucket, key, sequence, sequence, STR_NONE };
    StoreDeleted deleted;
    return store_delete_many(store, &wanted, 1, &deleted, err);
}

Code store_delete(Store *store, Str bucket, Str key, Err *err)
{
    StoreDelete wanted = { bucket, key, 0, 0, STR_NONE };
    StoreDeleted deleted;
    TRY(store_delete_many(store, &wanted, 1, &deleted, err));
    return deleted.existed || deleted.marker ? E_OK : no_such_key(bucket, key, err);
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

Code store_set_tags(Store *store, Str bucket, Str key, uint64_t sequence, const StoreTag *tags,
                    size_t tag_count, Err *err)
{
    TRY(key_check(bucket, key, err));
    TRY(tags_check(tags, tag_count, err));
    CommitOp op = { .kind = OP_TAGS, .of_sequence = sequence };
    op.record.info.bucket = bucket;
    op.record.info.key = key;
    op.record.info.tags = (StoreTag *)(uintptr_t)tags; /* read only: encoded */
    op.record.info.tag_count = tag_count;
    return store_commit(store, &op, 1, err);
}
