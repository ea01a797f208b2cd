/* upload.c: uploads in parts: what the leader judges and plans, and what callers ask.
 *
 * Invariants
 * 1. Bytes of a part are a blob, durable before the record that names it; none for an empty part.
 * 2. A blob is named by one row: its part's, and from the completion on its version's. What a
 * repeated part, an abort or a completion leaves unnamed goes to the trash.
 * 3. A completion is one OP_PUT that carries all its parts, so a replay needs no upload.
 * 4. Parts may have rows before their upload has one: a replay meets records whose upload was begun in a segment that
 *    is compacted away, and only later that it was (again), or how it ended. */
#include "store/store_priv.h"

#include <string.h>

bool blob_is_none(const BlobId *blob)
{
    static const BlobId none;
    return memcmp(blob, &none, sizeof none) == 0;
}

bool upload_is_none(const StoreUploadId *id)
{
    static const StoreUploadId none;
    return memcmp(id, &none, sizeof none) == 0;
}

/* ---- the plan ---- */

static Code row_get(Store *store, Str key, Arena *arena, Str *ret_value, bool *ret_found, Err *err)
{
    Cursor cursor AUTO(cursor_done) = { 0 };
    TRY(cursor_init(&cursor, store, err));
    TRY(cursor_seek(&cursor, key, err));
    *ret_found = cursor.there && str_eq(cursor_key(&cursor), key);
    if (*ret_found)
        *ret_value = str_copy(arena, cursor_value(&cursor));
    return E_OK;
}

Code plan_upload(Plan *plan, Store *store, const CommitOp *op, UploadState **ret_state, Err *err)
{
    const ObjectInfo *info = &op->record.info;
    for (UploadState *state = plan->uploads; state; state = state->next)
        if (memcmp(&state->id, &op->record.upload, sizeof state->id) == 0 && str_eq(state->key, info->key) &&
            str_eq(state->bucket, info->bucket)) {
            *ret_state = state;
            return E_OK;
        }
    Buf key AUTO(buf_done);
    Str value;
    UploadState *state = arena_new(&plan->arena, UploadState);
    buf_init(&key, INDEX_KEY_MAX);
    key_upload(&key, info->bucket, info->key, &op->record.upload);
    TRY(row_get(store, buf_str(&key), &plan->arena, &value, &state->was, err));
    if (state->was)
        TRY(object_decode(value, false, &plan->arena, &state->record, err));
    state->is = state->was;
    state->id = op->record.upload;
    state->bucket = str_copy(&plan->arena, info->bucket);
    state->key = str_copy(&plan->arena, info->key);
    state->all_known = op->kind == OP_UPLOAD_CREATE && !op->again && !state->was;
    state->next = plan->uploads;
    *ret_state = plan->uploads = state;
    return E_OK;
}

static PartState *part_known(Plan *plan, PartState *first, uint32_t number)
{
    for (PartState *part = first; part; part = part->next, plan->looks++)
        if (part->number == number)
            return part;
    return NULL;
}

static PartState *part_add(Plan *plan, UploadState *state, uint32_t number)
{
    PartState *part = arena_new(&plan->arena, PartState);
    part->number = number;
    part->next = state->parts;
    state->parts = part;
    return part;
}

static Code plan_part(Plan *plan, Store *store, UploadState *state, uint32_t number,
                      PartState **ret_part, Err *err)
{
    *ret_part = part_known(plan, state->parts, number);
    if (*ret_part)
        return E_OK;
    Buf key AUTO(buf_done);
    Str value;
    bool found = false;
    buf_init(&key, INDEX_KEY_MAX);
    key_part(&key, &state->id, number);
    if (!state->all_known)
        TRY(row_get(store, buf_str(&key), &plan->arena, &value, &found, err));
    PartState *part = part_add(plan, state, number);
    if (found)
        TRY(part_decode(value, &part->part, &part->blob, err));
    part->was = part->is = found;
    *ret_part = part;
    return E_OK;
}

static Code parts_load(Plan *plan, Store *store, UploadState *state, Err *err)
{
    if (state->all_known)
        return E_OK;
    Buf seek AUTO(buf_done);
    buf_init(&seek, INDEX_KEY_MAX);
    key_parts(&seek, &state->id);
    Cursor cursor AUTO(cursor_done) = { 0 };
    TRY(cursor_init(&cursor, store, err));
    TRY(cursor_seek(&cursor, buf_str(&seek), err));
    PartState *known = state->parts; /* what is loaded now has no double */
    while (cursor.there && str_starts(cursor_key(&cursor), buf_str(&seek))) {
        Reader r = reader_of(str_from(cursor_key(&cursor), seek.len));
        uint32_t number = read_u32be(&r);
        if (!part_known(plan, known, number)) {
            PartState *part = part_add(plan, state, number);
            TRY(part_decode(cursor_value(&cursor), &part->part, &part->blob, err));
            part->was = part->is = true;
        }
        TRY(cursor_next(&cursor, err));
    }
    state->all_known = true;
    return E_OK;
}

static void part_trash(Plan *plan, const UploadState *state, const PartState *part, const CommitOp *op)
{
    TrashItem item = { .blob = part->blob,
                       .time_us = op->record.info.modified_us,
                       .size_bytes = part->part.size_bytes,
                       .bucket = state->bucket };
    trash_add(plan, &item);
}

/* Its parts are in the order of their numbers. */
static bool record_has_part(Plan *plan, const ObjectRecord *record, const PartState *part)
{
    size_t low = 0, high = record->info.part_count;
    for (; low < high; plan->looks++) {
        size_t middle = (low + high) / 2;
        if (record->info.parts[middle].number < part->number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < record->info.part_count && record->info.parts[low].number == part->number &&
           memcmp(&record->part_blobs[low], &part->blob, sizeof part->blob) == 0;
}

/* `op` aborts it, or is the put that it became: then the parts that this names keep their bytes. */
static Code upload_end(Plan *plan, Store *store, UploadState *state, const CommitOp *op, Err *err)
{
    TRY(parts_load(plan, store, state, err));
    for (PartState *part = state->parts; part; part = part->next) {
        if (!part->is)
            continue;
        if (op->kind == OP_UPLOAD_ABORT || !record_has_part(plan, &op->record, part))
            part_trash(plan, state, part, op);
        part->is = false;
        part->dirty = true;
    }
    state->dirty = state->dirty || state->is;
    state->is = false;
    return E_OK;
}

Code plan_upload_op(Plan *plan, Store *store, const CommitOp *op, Err *err)
{
    UploadState *state;
    PartState *part;
    TRY(plan_upload(plan, store, op, &state, err));
    switch (op->kind) {
    case OP_UPLOAD_CREATE:
        state->is = state->dirty = true;
        state->record = op->record;
        return E_OK;
    case OP_UPLOAD_PART:
        TRY(plan_part(plan, store, state, op->part.number, &part, err));
        if (part->is && memcmp(&part->blob, &op->record.blob, sizeof part->blob) != 0)
            part_trash(plan, state, part, op);
        part->is = part->dirty = true;
        part->part = op->part;
        part->blob = op->record.blob;
        return E_OK;
    default:
        return upload_end(plan, store, state, op, err);
    }
}

static void part_writes(Plan *plan, const UploadState *state, const PartState *part, Buf *key)
{
    key_part(key, &state->id, part->number);
    if (!part->is) {
        plan_write_remove(plan, key);
        return;
    }
    Buf value AUTO(buf_done);
    buf_init(&value, INDEX_KEY_MAX);
    part_encode(&value, &part->part, &part->blob);
    Str row = plan_text(plan, key);
    plan_write_put(plan, key, plan_text(plan, &value));
    if (blob_is_none(&part->blob))
        return;
    key_blob(key, &part->blob);
    plan_write_put(plan, key, row);
}

void upload_writes(Plan *plan, Buf *key)
{
    for (UploadState *state = plan->uploads; state; state = state->next) {
        for (PartState *part = state->parts; part; part = part->next)
            if (part->dirty && (part->is || part->was))
                part_writes(plan, state, part, key);
        if (!state->dirty)
            continue;
        usage_of(plan, state->bucket)->uploads += (uint64_t)state->is - (uint64_t)state->was;
        key_upload(key, state->bucket, state->key, &state->id);
        if (!state->is) {
            plan_write_remove(plan, key);
            continue;
        }
        Buf value AUTO(buf_done);
        buf_init(&value, JOURNAL_PAYLOAD_MAX);
        object_encode(&value, &state->record);
        plan_write_put(plan, key, plan_text(plan, &value));
    }
}

/* ---- the leader's judgement ---- */

static Code no_such_upload(const CommitOp *op, Err *err)
{
    return err_set(err, E_NOT_FOUND, "no such upload of s3://" STR_FMT "/" STR_FMT,
                   STR_ARG(op->record.info.bucket), STR_ARG(op->record.info.key));
}

static Code part_refuse(const StorePart *part, const char *why, Err *err)
{
    Code code = err_set(err, E_INVALID, "part %u %s", part->number, why);
    return err_place(err, code, "%u", part->number);
}

/* Its record, from the parts as they are now. */
static Code completion_make(Plan *plan, Store *store, UploadState *state, CommitOp *op, Err *err)
{
    const StoreComplete *complete = op->complete;
    ObjectInfo *info = &op->record.info;
    size_t count = complete->part_count;
    Digest md5 AUTO(digest_done) = { 0 };
    TRY(parts_load(plan, store, state, err));
    const PartState **by_number = arena_array(&plan->arena, const PartState *, STORE_PARTS_MAX + 1);
    for (const PartState *part = state->parts; part; part = part->next)
        if (part->is)
            by_number[part->number] = part;
    info->parts = arena_array(&plan->arena, StorePart, count);
    op->record.part_blobs = arena_array(&plan->arena, BlobId, count);
    digest_init(&md5, DIGEST_MD5);
    info->size_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        const StorePart *wanted = &complete->parts[i];
        const PartState *part =
            wanted->number <= STORE_PARTS_MAX ? by_number[wanted->number] : NULL;
        if (!part || memcmp(part->part.md5, wanted->md5, sizeof wanted->md5) != 0)
            return part_refuse(wanted, part ? "has another MD5" : "is not there", err);
        if (i > 0 && wanted->number <= complete->parts[i - 1].number)
            return part_refuse(wanted, "is not in order", err);
        info->parts[i] = part->part;
        info->parts[i].has_crc64 = false;
        if (state->record.info.checksum.kind == DIGEST_NONE) /* the upload named none: of the whole alone */
            info->parts[i].checksum = (DigestValue){ 0 };
        op->record.part_blobs[i] = part->blob;
        info->size_bytes += part->part.size_bytes;
        digest_update(&md5, str_of(part->part.md5, sizeof part->part.md5));
    }
    if (info->size_bytes > STORE_OBJECT_MAX)
        return err_set(err, E_LIMIT, "an object of more than %llu bytes",
                       (unsigned long long)STORE_OBJECT_MAX);
    DigestValue etag = digest_final(&md5);
    memcpy(info->md5, etag.bytes, sizeof info->md5);
    info->has_md5 = true;
    info->part_count = count;
    op->record.place = PLACE_PARTS;
    return E_OK;
}

static void upload_fields_take(const UploadState *state, CommitOp *op)
{
    const ObjectInfo *from = &state->record.info;
    ObjectInfo *info = &op->record.info;
    info->owner = from->owner;
    info->content_type = from->content_type;
    info->tags = from->tags;
    info->tag_count = from->tag_count;
    info->meta = from->meta;
    info->meta_count = from->meta_count;
    info->checksum = op->complete->checksum;
    info->checksum_composite = from->checksum_composite;
}

Code upload_check(Plan *plan, Store *store, CommitOp *op, Err *err)
{
    UploadState *state;
    BucketState *bucket;
    PartState *part;
    TRY(plan_upload(plan, store, op, &state, err));
    if (op->kind == OP_UPLOAD_CREATE) {
        op->skip = op->again && !state->is;
        if (op->again && state->is) { /* as it is now, in memory that lives as long as the plan */
            op->record = state->record;
            op->record.info.bucket = state->bucket;
            op->record.info.key = state->key;
        }
        TRY(plan_bucket(plan, store, op->record.info.bucket, &bucket, err));
        return bucket->is || op->again ? E_OK
                                       : err_set(err, E_NOT_FOUND, "no bucket " STR_FMT,
                                                 STR_ARG(op->record.info.bucket));
    }
    if (op->kind == OP_UPLOAD_PART)
        TRY(plan_part(plan, store, state, op->part.number, &part, err));
    if (op->again) {
        op->skip = op->kind == OP_UPLOAD_ABORT || !state->is || !part->is ||
                   memcmp(&part->blob, &op->record.blob, sizeof part->blob) != 0;
        return E_OK;
    }
    if (!state->is)
        return no_such_upload(op, err);
    if (op->kind == OP_UPLOAD_ABORT)
        return parts_load(plan, store, state, err);
    if (op->kind != OP_PUT)
        return E_OK;
    upload_fields_take(state, op);
    return completion_make(plan, store, state, op, err);
}

/* ---- callers ---- */

static void op_of_upload(Str bucket, Str key, const StoreUploadId *id, OpKind kind, CommitOp *op)
{
    *op = (CommitOp){ .kind = kind };
    op->record.info.bucket = bucket;
    op->record.info.key = key;
    op->record.upload = *id;
}

static void upload_id_make(Store *store, StoreUploadId *ret_id)
{
    uint64_t now_us = (uint64_t)os_now_us(store->os);
    for (int i = 0; i < 8; i++)
        ret_id->bytes[i] = (uint8_t)(now_us >> (56 - 8 * i));
    os_random(store->os, ret_id->bytes + 8, sizeof ret_id->bytes - 8);
}

Code store_upload_create(Store *store, const StoreUpload *upload, StoreUploadId *ret_id, Err *err)
{
    CommitOp op;
    StoreUploadId id;
    StorePut fields = { .content_type = upload->content_type,
                        .owner = upload->owner,
                        .tags = upload->tags,
                        .tag_count = upload->tag_count,
                        .meta = upload->meta,
                        .meta_count = upload->meta_count };
    TRY(space_admit(store, 0, err));
    TRY(key_check(upload->bucket, upload->key, err));
    TRY(fields_check(&fields, err));
    upload_id_make(store, &id);
    op_of_upload(upload->bucket, upload->key, &id, OP_UPLOAD_CREATE, &op);
    ObjectInfo *info = &op.record.info;
    info->owner = upload->owner;
    info->content_type = upload->content_type;
    info->checksum.kind = upload->checksum_kind;
    info->checksum_composite = upload->checksum_composite;
    info->tags = (StoreTag *)(uintptr_t)upload->tags; /* read only: encoded */
    info->tag_count = upload->tag_count;
    info->meta = (StoreTag *)(uintptr_t)upload->meta;
    info->meta_count = upload->meta_count;
    TRY(store_commit(store, &op, 1, err));
    *ret_id = id;
    return E_OK;
}

static void upload_of_record(const ObjectRecord *record, Str bucket, Str key,
                             const StoreUploadId *id, StoreUpload *ret_upload)
{
    const ObjectInfo *info = &record->info;
    *ret_upload = (StoreUpload){ .id = *id,
                                 .bucket = bucket,
                                 .key = key,
                                 .owner = info->owner,
                                 .content_type = info->content_type,
                                 .created_us = info->modified_us,
                                 .checksum_kind = info->checksum.kind,
                                 .checksum_composite = info->checksum_composite,
                                 .tags = info->tags,
                                 .tag_count = info->tag_count,
                                 .meta = info->meta,
                                 .meta_count = info->meta_count };
}

Code store_upload_get(Store *store, Str bucket, Str key, const StoreUploadId *id, Arena *arena,
                      StoreUpload *ret_upload, Err *err)
{
    Buf row AUTO(buf_done);
    Str value;
    bool found = false;
    CommitOp op;
    ObjectRecord record;
    buf_init(&row, INDEX_KEY_MAX);
    TRY(key_check(bucket, key, err));
    key_upload(&row, bucket, key, id);
    TRY(row_get(store, buf_str(&row), arena, &value, &found, err));
    if (!found) {
        op_of_upload(bucket, key, id, OP_UPLOAD_PART, &op);
        return no_such_upload(&op, err);
    }
    TRY(object_decode(value, false, arena, &record, err));
    upload_of_record(&record, str_copy(arena, bucket), str_copy(arena, key), id, ret_upload);
    return E_OK;
}

Code store_upload_part(Store *store, Str bucket, Str key, const StoreUploadId *id,
                       const StorePart *part, StagedObject **take_staged, Err *err)
{
    CommitOp op;
    TRY(key_check(bucket, key, err));
    if (part->number < 1 || part->number > STORE_PARTS_MAX)
        return err_set(err, E_INVALID, "part %u; 1 to %d are allowed", part->number,
                       STORE_PARTS_MAX);
    op_of_upload(bucket, key, id, OP_UPLOAD_PART, &op);
    op.part = *part;
    TRY(staged_part(store, *take_staged, &op.part, &op.record.blob, err));
    size_t blobs = !blob_is_none(&op.record.blob);
    TRY(store->backend_ops->blob_names_sync(store->backend, &op.record.blob, blobs, err));
    Code code = store_commit(store, &op, 1, err);
    staged_after_commit(take_staged, code);
    return code;
}

Code store_upload_parts(Store *store, Str bucket, Str key, const StoreUploadId *id,
                        uint32_t after_number, size_t limit, Arena *arena, StorePart **ret_parts,
                        size_t *ret_count, bool *ret_truncated, Err *err)
{
    CommitOp op;
    Buf own AUTO(buf_done), seek AUTO(buf_done);
    buf_init(&own, INDEX_KEY_MAX);
    buf_init(&seek, INDEX_KEY_MAX);
    TRY(key_check(bucket, key, err));
    limit = limit ? MIN(limit, (size_t)STORE_PARTS_MAX) : STORE_LIST_MAX;
    StorePart *parts = arena_array(arena, StorePart, limit);
    size_t count = 0;
    BlobId blob;
    Cursor cursor AUTO(cursor_done) = { 0 }; /* of one moment: an upload that ends has all its parts, or is gone */
    TRY(cursor_init(&cursor, store, err));
    key_upload(&seek, bucket, key, id);
    TRY(cursor_seek(&cursor, buf_str(&seek), err));
    op_of_upload(bucket, key, id, OP_UPLOAD_PART, &op);
    if (!cursor.there || !str_eq(cursor_key(&cursor), buf_str(&seek)))
        return no_such_upload(&op, err);
    buf_clear(&seek);
    key_parts(&own, id);
    key_part(&seek, id, MIN(after_number, (uint32_t)STORE_PARTS_MAX) + 1);
    TRY(cursor_seek(&cursor, buf_str(&seek), err));
    while (cursor.there && str_starts(cursor_key(&cursor), buf_str(&own)) && count < limit) {
        TRY(part_decode(cursor_value(&cursor), &parts[count++], &blob, err));
        TRY(cursor_next(&cursor, err));
    }
    *ret_truncated = cursor.there && str_starts(cursor_key(&cursor), buf_str(&own));
    *ret_parts = parts;
    *ret_count = count;
    return E_OK;
}

Code store_upload_abort(Store *store, Str bucket, Str key, const StoreUploadId *id, Err *err)
{
    CommitOp op;
    TRY(key_check(bucket, key, err));
    op_of_upload(bucket, key, id, OP_UPLOAD_ABORT, &op);
    return store_commit(store, &op, 1, err);
}

Code store_upload_complete(Store *store, const StoreComplete *complete, uint64_t *ret_sequence,
                           Err *err)
{
    CommitOp op;
    TRY(key_check(complete->bucket, complete->key, err));
    if (complete->part_count < 1 || complete->part_count > STORE_PARTS_MAX)
        return err_set(err, E_INVALID, "%zu parts; 1 to %d are allowed", complete->part_count,
                       STORE_PARTS_MAX);
    op_of_upload(complete->bucket, complete->key, &complete->id, OP_PUT, &op);
    op.complete = complete;
    op.condition = complete->condition;
    op.if_sequence = complete->if_sequence;
    TRY(store_commit(store, &op, 1, err));
    *ret_sequence = op.record.info.sequence;
    return E_OK;
}

Code store_completed(Store *store, Str bucket, Str key, const StoreUploadId *id, Arena *arena,
                     ObjectInfo *ret_info, bool *ret_completed, Err *err)
{
    ObjectRecord record;
    bool found = false;
    TRY(key_check(bucket, key, err));
    TRY(store_lookup(store, bucket, key, arena, &record, &found, err));
    *ret_completed = found && memcmp(&record.upload, id, sizeof *id) == 0;
    if (*ret_completed)
        *ret_info = record.info;
    return E_OK;
}

/* ---- the list of uploads ---- */

typedef struct UploadListing {
    const StoreUploadQuery *query;
    Arena *arena;
    size_t limit;
    Cursor cursor;
    Buf seek;
    StoreUploadPage page;
} UploadListing;

static void upload_listing_done(UploadListing *listing)
{
    cursor_done(&listing->cursor);
    buf_done(&listing->seek);
}

static Code upload_listing_start(UploadListing *listing, Err *err)
{
    const StoreUploadQuery *query = listing->query;
    Buf *seek = &listing->seek;
    bool goes_on = query->key_after.len > 0 && str_cmp(query->key_after, query->prefix) >= 0;
    if (goes_on && query->id_after) {
        key_upload(seek, query->bucket, query->key_after, query->id_after);
        buf_put_char(seek, 0); /* just behind it */
    } else if (goes_on) {
        key_upload_prefix(seek, query->bucket, query->key_after);
        buf_put_zeros(seek, 2);
        seek_behind(seek);
    } else {
        key_upload_prefix(seek, query->bucket, query->prefix);
    }
    TRY(buf_end(seek, "a key", err));
    return cursor_seek(&listing->cursor, buf_str(seek), err);
}

static Code upload_listing_step(UploadListing *listing, bool *ret_more, Err *err)
{
    const StoreUploadQuery *query = listing->query;
    StoreUploadPage *page = &listing->page;
    Str key;
    StoreUploadId id;
    ObjectRecord record;
    TRY(key_upload_parse(cursor_key(&listing->cursor), listing->arena, &key, &id, err));
    *ret_more = str_starts(key, query->prefix);
    if (!*ret_more)
        return E_OK;
    Str fold = key_folded(key, query->prefix, query->delimiter);
    bool given_before = fold.len > 0 && str_cmp(fold, query->key_after) <= 0;
    if (!given_before && page->upload_count + page->prefix_count == listing->limit) {
        page->truncated = true;
        *ret_more = false;
        return E_OK;
    }
    page->next_has_id = fold.len == 0;
    if (fold.len == 0) {
        TRY(object_decode(cursor_value(&listing->cursor), false, listing->arena, &record, err));
        upload_of_record(&record, query->bucket, key, &id, &page->uploads[page->upload_count++]);
        page->next_key = key;
        page->next_id = id;
        return cursor_next(&listing->cursor, err);
    }
    if (!given_before)
        page->next_key = page->prefixes[page->prefix_count++] = fold;
    buf_clear(&listing->seek);
    key_upload_prefix(&listing->seek, query->bucket, fold);
    seek_behind(&listing->seek);
    return cursor_seek(&listing->cursor, buf_str(&listing->seek), err);
}

Code store_upload_list(Store *store, const StoreUploadQuery *query, Arena *arena,
                       StoreUploadPage *ret_page, Err *err)
{
    bool exists, more = true;
    TRY(store_bucket_exists(store, query->bucket, &exists, err));
    if (!exists)
        return err_set(err, E_NOT_FOUND, "no bucket " STR_FMT,
                       STR_ARG(str_sub(query->bucket, 0, STORE_BUCKET_MAX)));
    if (query->prefix.len > STORE_KEY_MAX || query->key_after.len > STORE_KEY_MAX ||
        query->delimiter.len > STORE_KEY_MAX)
        return err_set(err, E_INVALID, "a prefix, start or delimiter is longer than any key");
    UploadListing listing AUTO(upload_listing_done) = { .query = query, .arena = arena };
    listing.limit = query->limit ? MIN(query->limit, (size_t)STORE_LIST_MAX) : STORE_LIST_MAX;
    listing.page.uploads = arena_array(arena, StoreUpload, listing.limit);
    listing.page.prefixes = arena_array(arena, Str, listing.limit);
    buf_init(&listing.seek, INDEX_KEY_MAX);
    Buf own AUTO(buf_done);
    buf_init(&own, INDEX_KEY_MAX);
    key_bucket_uploads(&own, query->bucket);
    TRY(cursor_init(&listing.cursor, store, err));
    TRY(upload_listing_start(&listing, err));
    while (more && listing.cursor.there && str_starts(cursor_key(&listing.cursor), buf_str(&own)))
        TRY(upload_listing_step(&listing, &more, err));
    *ret_page = listing.page;
    return E_OK;
}
