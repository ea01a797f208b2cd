/* undelete.c: the trash as people see it: listed, and taken back out of.
 *
 * Invariants
 * 1. Taking back is one record (OP_UNDELETE): a new version with the bytes, names and fields of the old one, and
 *    the old one out of the trash. The leader checks both at once: of two that take the same back one finds
 *    nothing, and a purge comes before or after.
 * 2. Files keep their names on the drive; a small body is appended again, for its segment may be compacted away. */
#include "store/store_priv.h"
#include "store/store_trash.h"

#include <string.h>

enum { UNDELETE_TRIES = 16 }; /* a small body may be moved while it is read */

static Code trashed_here(const Cursor *cursor, Str prefix, bool light, Arena *arena, StoreTrashed *ret_item,
                         ObjectRecord *ret_record, bool *ret_there, Err *err)
{
    Str bucket, key;
    uint64_t sequence;
    *ret_there = cursor->there && str_starts(cursor_key(cursor), prefix);
    if (!*ret_there)
        return E_OK;
    TRY(key_object_parse(cursor_key(cursor), arena, &bucket, &key, &sequence, err));
    TRY(trashed_decode(cursor_value(cursor), light, arena, &ret_item->deleted_us, ret_record, err));
    ret_record->info.bucket = bucket;
    ret_record->info.key = key;
    ret_item->object = ret_record->info;
    return E_OK;
}

static void list_seek(const StoreTrashQuery *query, Buf *seek)
{
    if (str_cmp(query->start_after, query->prefix) < 0 || query->start_after.len == 0) {
        key_prefix(seek, query->bucket, query->prefix);
    } else if (query->after_sequence != 0) {
        key_version(seek, query->bucket, query->start_after, query->after_sequence);
        buf_put_char(seek, 0); /* just behind it */
    } else {
        key_object(seek, query->bucket, query->start_after);
        seek_behind(seek);
    }
    seek->ptr[0] = 'd';
}

Code store_trash_list(Store *store, const StoreTrashQuery *query, Arena *arena, StoreTrashPage *ret_page, Err *err)
{
    if (!store_bucket_name_ok(query->bucket) || query->prefix.len > STORE_KEY_MAX ||
        query->start_after.len > STORE_KEY_MAX)
        return err_set(err, E_INVALID, "not a bucket name, or a prefix or start is longer than any key");
    size_t limit = query->limit ? MIN(query->limit, (size_t)STORE_LIST_MAX) : STORE_LIST_MAX;
    StoreTrashPage page = { .items = arena_array(arena, StoreTrashed, limit) };
    Buf own AUTO(buf_done), seek AUTO(buf_done);
    buf_init(&own, INDEX_KEY_MAX);
    buf_init(&seek, INDEX_KEY_MAX);
    key_prefix(&own, query->bucket, query->prefix);
    own.ptr[0] = 'd';
    list_seek(query, &seek);
    TRY(buf_end(&seek, "a key", err));
    Cursor cursor AUTO(cursor_done) = { 0 };
    TRY(cursor_init(&cursor, store, err));
    TRY(cursor_seek(&cursor, buf_str(&seek), err));
    for (;;) {
        StoreTrashed item;
        ObjectRecord record;
        bool there;
        TRY(trashed_here(&cursor, buf_str(&own), true, arena, &item, &record, &there, err));
        page.truncated = there && page.count == limit;
        if (!there || page.truncated)
            break;
        item.until_us = item.deleted_us + store->trash_us;
        page.items[page.count++] = item;
        page.next = item.object.key;
        page.next_sequence = item.object.sequence;
        TRY(cursor_next(&cursor, err));
    }
    *ret_page = page;
    return E_OK;
}

static Code no_trash(Str bucket, Str key, Err *err)
{
    return err_set(err, E_NOT_FOUND, "the trash has no s3://" STR_FMT "/" STR_FMT, STR_ARG(bucket), STR_ARG(key));
}

/* Of the versions of this key that with this sequence; 0: that which was taken away last. `*ret_sequence` 0: none. */
static Code trashed_pick(Store *store, Str bucket, Str key, uint64_t sequence, uint64_t *ret_sequence, Err *err)
{
    Buf own AUTO(buf_done);
    buf_init(&own, INDEX_KEY_MAX);
    key_object(&own, bucket, key);
    own.ptr[0] = 'd';
    TRY(buf_end(&own, "a key", err));
    Cursor cursor AUTO(cursor_done) = { 0 };
    int64_t best_us = 0;
    bool there = true;
    *ret_sequence = 0;
    TRY(cursor_init(&cursor, store, err));
    TRY(cursor_seek(&cursor, buf_str(&own), err));
    while (there) {
        Arena tmp AUTO(arena_done) = { 0 };
        StoreTrashed item;
        ObjectRecord record;
        TRY(trashed_here(&cursor, buf_str(&own), true, &tmp, &item, &record, &there, err));
        if (!there)
            break;
        bool wanted = sequence ? record.info.sequence == sequence : *ret_sequence == 0 || item.deleted_us > best_us;
        if (wanted) {
            *ret_sequence = record.info.sequence;
            best_us = item.deleted_us;
        }
        TRY(cursor_next(&cursor, err));
    }
    return E_OK;
}

static Code trashed_find(Store *store, Str bucket, Str key, uint64_t which, Arena *arena, ObjectRecord *ret_record,
                         Err *err)
{
    uint64_t sequence;
    int64_t time_us;
    bool found = false;
    TRY(trashed_pick(store, bucket, key, which, &sequence, err));
    if (sequence)
        TRY(trashed_lookup(store, bucket, key, sequence, arena, ret_record, &time_us, &found, err));
    return found ? E_OK : no_trash(bucket, key, err);
}

/* The leader: what there is to take back, and whether its place is free. */
Code undelete_check(Plan *plan, Store *store, KeyState *key, const BucketState *bucket, CommitOp *op, Err *err)
{
    const ObjectInfo *info = &op->record.info;
    VersionState *there = NULL;
    Trashed *state;
    if (!bucket->is)
        return err_set(err, E_NOT_FOUND, "no bucket " STR_FMT, STR_ARG(info->bucket));
    TRY(trashed_load(plan, store, info->bucket, info->key, op->of_sequence, &state, err));
    if (!state->is)
        return no_trash(info->bucket, info->key, err);
    if (bucket->now.versioning == VERSIONING_NEVER)
        TRY(plan_newest(plan, store, key, &there, err));
    else if (bucket->now.versioning == VERSIONING_SUSPENDED)
        TRY(plan_null(plan, store, key, &there, err));
    if (!there || there->now.info.delete_marker)
        return E_OK;
    return err_hint(err, err_set(err, E_CONFLICT, "s3://" STR_FMT "/" STR_FMT " is there: taking the old one back "
                                 "would replace it", STR_ARG(info->bucket), STR_ARG(info->key)),
                    "copy or delete the present one first, or let the bucket count versions");
}

static Code undelete_try(Store *store, Str bucket, Str key, uint64_t which, ObjectInfo *ret_info, Arena *arena,
                         Code *ret_read, Err *err)
{
    CommitOp op = { .kind = OP_UNDELETE };
    Buf body AUTO(buf_done);
    buf_init(&body, STORE_INLINE_MAX);
    TRY(trashed_find(store, bucket, key, which, arena, &op.record, err));
    op.of_sequence = op.record.info.sequence;
    memset(&op.record.upload, 0, sizeof op.record.upload); /* its completion is over */
    if (op.record.place == PLACE_JOURNAL) {
        *ret_read = store->backend_ops->body_read(store->backend, op.record.at, op.record.info.size_bytes, false,
                                                   &body, err);
        if (*ret_read != E_OK)
            return *ret_read;
        op.body = buf_str(&body);
        TRY(space_admit(store, body.len, err));
    }
    TRY(store_commit(store, &op, 1, err));
    *ret_info = op.record.info;
    return E_OK;
}

Code store_undelete(Store *store, Str bucket, Str key, uint64_t which, Arena *arena, ObjectInfo *ret_info, Err *err)
{
    Code code = E_OK;
    TRY(key_check(bucket, key, err));
    for (int i = 0; i < UNDELETE_TRIES; i++) {
        Code read = E_OK;
        code = undelete_try(store, bucket, key, which, ret_info, arena, &read, err);
        if (code == E_OK || read == E_OK)
            return code;
    }
    return err_wrap(err, code == E_NOT_FOUND ? E_CORRUPT : code, "s3://" STR_FMT "/" STR_FMT, STR_ARG(bucket),
                    STR_ARG(key));
}
