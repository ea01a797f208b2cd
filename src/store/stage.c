/* stage.c: bytes on their way in, and their publication.
 *
 * States: writing -> finished -> taken (by store_publish) | aborted.
 * Invariants
 * 1. Up to STORE_INLINE_MAX the bytes are in memory (`small`, or the caller's: `lent`, never both); beyond that they
 *    are in a blob, from the first on when so many were announced.
 * 2. After a failed write the object can only be aborted.
 * 3. After a publication of unknown outcome an abort leaves the blob: the next start sweeps it, or
 *    finds the record that names it.
 * 4. A blob is durable (file and directory) before the record that names it is appended. */
#include "store/store_priv.h"

#include "format/md5_sha256.h"

#include <string.h>

enum { SMALL_START = 4096 };

struct StagedObject {
    Store *store;
    Buf small;
    Str lent;
    Blob *blob; /* open while writing */
    BlobId blob_id;
    bool has_blob;
    bool is_part;  /* its bytes never travel in the journal */
    bool is_large; /* more than STORE_INLINE_MAX were announced */
    bool from_reserve;
    bool finished;
    bool failed;
    bool unhashed; /* nobody wants its SHA-256 */
    bool unknown; /* a record may name its blob */
    uint64_t size_bytes;
    Sha256 sha; /* begun with the first bytes that it is asked of; of lent bytes alone it is `sha256` at once */
    Digest *md5; /* the caller's; NULL: none */
    uint8_t sha256[SHA256_LEN];
};


Code store_stage(Store *store, StagedObject **ret_staged, Err *err)
{
    (void)err;
    StagedObject *staged = mem_new(sizeof *staged);
    staged->store = store;
    buf_init(&staged->small, STORE_INLINE_MAX);
    atomic_fetch_add(&store->staged, 1);
    *ret_staged = staged;
    return E_OK;
}

/* The bytes in memory. */
static Str bytes_small(const StagedObject *staged)
{
    return staged->lent.len > 0 ? staged->lent : buf_str(&staged->small);
}

static void bytes_hash(StagedObject *staged, Str bytes)
{
    if (!staged->sha.context && !staged->unhashed)
        sha256_init(&staged->sha);
    if (staged->md5 && !staged->unhashed)
        md5_sha256_update(staged->md5, &staged->sha, bytes);
    else if (staged->md5)
        digest_update(staged->md5, bytes);
    else if (!staged->unhashed)
        sha256_update(&staged->sha, bytes);
}

/* More bytes come behind those that were lent. */
static void lent_copy(StagedObject *staged)
{
    Str lent = staged->lent;
    if (lent.len == 0)
        return;
    buf_put(&staged->small, lent);
    staged->lent = STR_NONE;
    if (!staged->unhashed) {
        sha256_init(&staged->sha);
        sha256_update(&staged->sha, lent);
    }
}

static Code bytes_keep(StagedObject *staged, Str bytes, Err *err)
{
    const BackendOps *ops = staged->store->backend_ops;
    bool in_memory = !staged->has_blob && !staged->is_part && !staged->is_large;
    if (in_memory && staged->small.len + bytes.len <= STORE_INLINE_MAX) {
        buf_put(&staged->small, bytes);
        return buf_end(&staged->small, "a small object", err);
    }
    if (!staged->from_reserve)
        TRY(space_admit(staged->store, bytes.len, err));
    if (!staged->has_blob) {
        TRY(ops->blob_create(staged->store->backend, &staged->blob_id, &staged->blob, err));
        staged->has_blob = true;
        TRY(ops->blob_write(staged->blob, buf_str(&staged->small), err));
        buf_done(&staged->small);
    }
    return ops->blob_write(staged->blob, bytes, err);
}

Code store_stage_part(Store *store, StagedObject **ret_staged, Err *err)
{
    TRY(store_stage(store, ret_staged, err));
    (*ret_staged)->is_part = true;
    return E_OK;
}

Code staged_part(const Store *store, const StagedObject *staged, StorePart *part, BlobId *ret_blob,
                 Err *err)
{
    if (!staged || staged->store != store || !staged->finished || !staged->is_part)
        return err_set(err, E_INVALID, "only a finished staged part can be a part of an upload");
    part->size_bytes = staged->size_bytes;
    *ret_blob = staged->has_blob ? staged->blob_id : (BlobId){ 0 };
    return E_OK;
}

Code store_stage_write(StagedObject *staged, Str bytes, Err *err)
{
    if (staged->finished || staged->failed)
        return err_set(err, E_INVALID, "this staged object takes no more bytes");
    if (bytes.len == 0)
        return E_OK;
    if (bytes.len > STORE_OBJECT_MAX - staged->size_bytes)
        return err_set(err, E_LIMIT, "an object of more than %llu bytes",
                       (unsigned long long)STORE_OBJECT_MAX);
    lent_copy(staged);
    Code code = bytes_keep(staged, bytes, err);
    if (code != E_OK) {
        staged->failed = true;
        return code;
    }
    bytes_hash(staged, bytes);
    staged->size_bytes += bytes.len;
    return E_OK;
}

Code store_stage_lend(StagedObject *staged, Str bytes, Err *err)
{
    bool stays = staged->size_bytes == 0 && !staged->is_part && !staged->is_large && !staged->md5 &&
                 bytes.len <= STORE_INLINE_MAX;
    if (!stays || staged->finished || staged->failed || bytes.len == 0)
        return store_stage_write(staged, bytes, err);
    staged->lent = bytes;
    staged->size_bytes = bytes.len;
    if (!staged->unhashed)
        sha256_of(bytes, staged->sha256);
    return E_OK;
}

Code store_stage_finish(StagedObject *staged, Err *err)
{
    if (staged->finished)
        return E_OK;
    if (staged->failed)
        return err_set(err, E_INVALID, "a write of this staged object failed");
    const BackendOps *ops = staged->store->backend_ops;
    if (staged->has_blob) {
        Code code = ops->blob_finish(staged->blob, err);
        if (code != E_OK) {
            staged->failed = true;
            return code;
        }
        ops->blob_close(TAKE(staged->blob));
        space_press(staged->store);
    }
    if (!staged->unhashed && staged->lent.len == 0) {
        if (!staged->sha.context)
            sha256_init(&staged->sha); /* of no bytes */
        sha256_final(&staged->sha, staged->sha256);
    }
    staged->finished = true;
    return E_OK;
}

bool store_stage_small(const StagedObject *staged)
{
    return !staged->has_blob && !staged->is_part;
}

uint64_t store_stage_size(const StagedObject *staged)
{
    return staged->size_bytes;
}

void store_stage_expect(StagedObject *staged, uint64_t bytes)
{
    staged->is_large = bytes > STORE_INLINE_MAX;
}

void store_stage_from_reserve(StagedObject *staged)
{
    staged->from_reserve = true;
}

void store_stage_md5(StagedObject *staged, Digest *md5)
{
    staged->md5 = md5;
}

void store_stage_unhashed(StagedObject *staged)
{
    staged->unhashed = true;
}

const uint8_t *store_stage_sha256(const StagedObject *staged)
{
    ASSERT(staged->finished && !staged->unhashed);
    return staged->sha256;
}

static void staged_record(const StagedObject *staged, ObjectRecord *record)
{
    record->info.size_bytes = staged->size_bytes;
    record->info.has_sha256 = !staged->unhashed;
    if (!staged->unhashed)
        memcpy(record->info.sha256, staged->sha256, sizeof staged->sha256);
    record->place = staged->has_blob          ? PLACE_BLOB
                    : staged->size_bytes == 0 ? PLACE_NONE
                                              : PLACE_JOURNAL;
    record->blob = staged->blob_id;
}

Code store_stage_reader(StagedObject *staged, ObjectReader **ret_reader, Err *err)
{
    if (!staged->finished)
        return err_set(err, E_INVALID, "a staged object can be read once it is finished");
    ObjectRecord record = { 0 };
    staged_record(staged, &record);
    return reader_new(staged->store, &record, bytes_small(staged), ret_reader, err);
}

static void staged_free(StagedObject **staged)
{
    StagedObject *s = *staged;
    if (s->blob)
        s->store->backend_ops->blob_close(s->blob);
    buf_done(&s->small);
    sha256_done(&s->sha);
    atomic_fetch_sub(&s->store->staged, 1);
    mem_free(staged);
}

void store_stage_abort(StagedObject **staged)
{
    StagedObject *s = *staged;
    if (!s)
        return;
    if (s->blob)
        s->store->backend_ops->blob_close(TAKE(s->blob));
    const BackendOps *ops = s->store->backend_ops;
    bool orphan = s->has_blob &&
                  (s->unknown || ops->blob_remove(s->store->backend, &s->blob_id, NULL) != E_OK);
    if (orphan) {
        MUTEX_HELD(&s->store->mutex);
        s->store->orphans = true;
    }
    staged_free(staged);
}

Code tags_check(const StoreTag *tags, size_t count, Err *err)
{
    if (count > STORE_TAGS_MAX)
        return err_set(err, E_LIMIT, "%zu tags; at most %d", count, STORE_TAGS_MAX);
    for (size_t i = 0; i < count; i++)
        if (tags[i].key.len > STORE_TAG_KEY_MAX || tags[i].value.len > STORE_TAG_VALUE_MAX)
            return err_set(err, E_LIMIT, "tag '" STR_FMT "' is too long",
                           STR_ARG(str_sub(tags[i].key, 0, STORE_TAG_KEY_MAX)));
    return E_OK;
}

Code fields_check(const StorePut *put, Err *err)
{
    if (put->content_type.len > STORE_CONTENT_TYPE_MAX)
        return err_set(err, E_LIMIT, "a content type of %zu bytes", put->content_type.len);
    if (put->owner.len > STORE_OWNER_MAX)
        return err_set(err, E_LIMIT, "an owner of %zu bytes", put->owner.len);
    if (put->meta_count > STORE_META_MAX)
        return err_set(err, E_LIMIT, "%zu fields; at most %d", put->meta_count, STORE_META_MAX);
    for (size_t i = 0; i < put->meta_count; i++)
        if (put->meta[i].key.len > STORE_META_NAME_MAX || put->meta[i].value.len > STORE_META_VALUE_MAX)
            return err_set(err, E_LIMIT, "field '" STR_FMT "' is too long",
                           STR_ARG(str_sub(put->meta[i].key, 0, STORE_TAG_KEY_MAX)));
    return tags_check(put->tags, put->tag_count, err);
}

static Code op_of_put(Store *store, const StorePut *put, uint64_t bytes, CommitOp *op, Err *err)
{
    if (!put->from_reserve)
        TRY(space_admit(store, bytes, err));
    TRY(key_check(put->bucket, put->key, err));
    TRY(fields_check(put, err));
    *op = (CommitOp){
        .kind = OP_PUT,
        .condition = put->condition,
        .if_sequence = put->if_sequence,
        .record.info = {
            .bucket = put->bucket,
            .key = put->key,
            .trust = put->trust,
            .content_type = put->content_type,
            .tags = (StoreTag *)(uintptr_t)put->tags, /* read only: encoded */
            .tag_count = put->tag_count,
            .meta = (StoreTag *)(uintptr_t)put->meta,
            .meta_count = put->meta_count,
            .owner = put->owner,
            .has_md5 = put->md5 != NULL,
            .checksum = put->checksum,
        },
    };
    if (put->md5)
        memcpy(op->record.info.md5, put->md5, sizeof op->record.info.md5);
    return E_OK;
}

void staged_after_commit(StagedObject **staged, Code code)
{
    (*staged)->unknown = code == E_UNKNOWN_OUTCOME;
    if (code == E_OK)
        staged_free(staged);
}

Code op_of_staged(Store *store, const StorePut *put, CommitOp *op, Err *err)
{
    const StagedObject *staged = put->take_staged;
    StorePut admitted = *put;
    admitted.from_reserve = put->from_reserve || (staged && staged->from_reserve);
    TRY(op_of_put(store, &admitted, staged ? bytes_small(staged).len : 0, op, err));
    if (!staged || staged->store != store || !staged->finished || staged->is_part)
        return err_set(err, E_INVALID, "only a finished staged object can be published");
    staged_record(staged, &op->record);
    if (op->record.place == PLACE_JOURNAL)
        op->body = bytes_small(staged);
    return E_OK;
}

Code store_publish(Store *store, StorePut *puts, size_t count, uint64_t *ret_sequences, Err *err)
{
    if (count > STORE_PUBLISH_MAX)
        return err_set(err, E_LIMIT, "%zu objects in one group; at most %d", count,
                       STORE_PUBLISH_MAX);
    Arena tmp AUTO(arena_done) = { 0 };
    CommitOp *ops = arena_array(&tmp, CommitOp, count);
    BlobId *blobs = arena_array(&tmp, BlobId, count);
    size_t blob_count = 0;
    for (size_t i = 0; i < count; i++) {
        TRY(op_of_staged(store, &puts[i], &ops[i], err));
        if (ops[i].record.place == PLACE_BLOB)
            blobs[blob_count++] = ops[i].record.blob;
    }
    if (count == 0)
        return E_OK;
    TRY(store->backend_ops->blob_names_sync(store->backend, blobs, blob_count, err));
    Code code = store_commit(store, ops, count, err);
    for (size_t i = 0; i < count; i++)
        puts[i].take_staged->unknown = code == E_UNKNOWN_OUTCOME;
    if (code != E_OK)
        return code;
    for (size_t i = 0; i < count; i++) {
        if (ret_sequences)
            ret_sequences[i] = ops[i].record.info.sequence;
        staged_free(&puts[i].take_staged);
    }
    cool_do(store);
    return E_OK;
}

static Code put_large(Store *store, const StorePut *put, Str bytes, uint64_t *ret_sequence,
                      Err *err)
{
    StagedObject *staged AUTO(store_stage_abort) = NULL;
    TRY(store_stage(store, &staged, err));
    staged->from_reserve = put->from_reserve;
    TRY(store_stage_write(staged, bytes, err));
    TRY(store_stage_finish(staged, err));
    StorePut publish = *put;
    publish.take_staged = staged;
    TRY(store_publish(store, &publish, 1, ret_sequence, err));
    staged = NULL; /* taken */
    return E_OK;
}

Code store_put(Store *store, const StorePut *put, Str bytes, uint64_t *ret_sequence, Err *err)
{
    ASSERT(!put->take_staged);
    CommitOp op;
    TRY(op_of_put(store, put, bytes.len, &op, err));
    if (bytes.len > STORE_INLINE_MAX)
        return put_large(store, put, bytes, ret_sequence, err);
    op.record.place = bytes.len ? PLACE_JOURNAL : PLACE_NONE;
    op.record.info.size_bytes = bytes.len;
    op.body = bytes;
    op.record.info.has_sha256 = true;
    sha256_of(bytes, op.record.info.sha256);
    TRY(store_commit(store, &op, 1, err));
    if (ret_sequence)
        *ret_sequence = op.record.info.sequence;
    return E_OK;
}
