/* list.c: buckets and listings: what walks the index.
 *
 * A listing seeks over everything that it does not give: the versions behind the newest, and all
 * keys below a common prefix. So its cost is that of its results. */
#include "store/store_priv.h"

#include <string.h>

static bool bucket_char_ok(char c, bool edge)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (!edge && (c == '-' || c == '.'));
}

bool store_bucket_name_ok(Str bucket)
{
    if (bucket.len < STORE_BUCKET_MIN || bucket.len > STORE_BUCKET_MAX)
        return false;
    for (size_t i = 0; i < bucket.len; i++)
        if (!bucket_char_ok(bucket.ptr[i], i == 0 || i + 1 == bucket.len))
            return false;
    return str_find(bucket, STR("..")) < 0;
}

bool store_address_parse(Str address, Str *ret_bucket, Str *ret_key)
{
    if (!str_starts(address, STR("s3://")))
        return false;
    Str rest = str_from(address, 5);
    ptrdiff_t slash = str_find_char(rest, '/');
    if (slash < 0)
        return false;
    Str bucket = str_sub(rest, 0, (size_t)slash), key = str_from(rest, (size_t)slash + 1);
    if (!store_bucket_name_ok(bucket) || key.len == 0 || key.len > STORE_KEY_MAX)
        return false;
    *ret_bucket = bucket;
    *ret_key = key;
    return true;
}

static Code bucket_change(Store *store, Str bucket, CommitOp *op, Err *err)
{
    TRY(key_check(bucket, STR("-"), err));
    op->record.info.bucket = bucket;
    return store_commit(store, op, 1, err);
}

Code store_bucket_create(Store *store, Str bucket, Err *err)
{
    return store_bucket_create_owned(store, bucket, STR_NONE, err);
}

Code store_bucket_create_owned(Store *store, Str bucket, Str owner, Err *err)
{
    CommitOp op = { .kind = OP_BUCKET_CREATE, .bucket.owner = owner };
    if (owner.len > STORE_OWNER_MAX)
        return err_set(err, E_LIMIT, "an owner of %zu bytes", owner.len);
    return bucket_change(store, bucket, &op, err);
}

Code store_bucket_delete(Store *store, Str bucket, Err *err)
{
    return bucket_change(store, bucket, &(CommitOp){ .kind = OP_BUCKET_DELETE }, err);
}

Code store_bucket_set_versioning(Store *store, Str bucket, StoreVersioning versioning, Err *err)
{
    CommitOp op = { .kind = OP_BUCKET_SET, .bucket.versioning = versioning };
    return bucket_change(store, bucket, &op, err);
}

Code store_bucket_set_property(Store *store, Str bucket, Str name, Str value, Err *err)
{
    StoreProperty property = { name, value };
    CommitOp op = { .kind = OP_BUCKET_SET, .property = &property };
    if (name.len == 0 || name.len > STORE_PROPERTY_NAME_MAX || value.len > STORE_PROPERTY_MAX)
        return err_set(err, E_LIMIT, "a property of %zu and %zu bytes", name.len, value.len);
    return bucket_change(store, bucket, &op, err);
}

Code store_bucket_exists(Store *store, Str bucket, bool *ret_exists, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    StoreBucket found;
    *ret_exists = false;
    if (!store_bucket_name_ok(bucket))
        return E_OK;
    return store_bucket_lookup(store, bucket, &tmp, &found, ret_exists, err);
}

Code store_bucket_find(Store *store, Str bucket, Arena *arena, StoreBucket *ret_bucket, Err *err)
{
    bool exists = false;
    if (store_bucket_name_ok(bucket))
        TRY(store_bucket_lookup(store, bucket, arena, ret_bucket, &exists, err));
    return exists ? E_OK
                  : err_set(err, E_NOT_FOUND, "no bucket " STR_FMT,
                            STR_ARG(str_sub(bucket, 0, STORE_BUCKET_MAX)));
}

Code store_bucket_get(Store *store, Str bucket, Arena *arena, StoreBucket *ret_bucket, Err *err)
{
    StoreBucket found = { 0 };
    TRY(store_bucket_find(store, bucket, arena, &found, err));
    TRY(usage_lookup(store, bucket, &found, err));
    *ret_bucket = found;
    return E_OK;
}

typedef Vec(StoreBucket) BucketVec;

static Code buckets_read(Store *store, Arena *arena, BucketVec *found, Err *err)
{
    Cursor cursor AUTO(cursor_done) = { 0 };
    TRY(cursor_init(&cursor, store, err));
    TRY(cursor_seek(&cursor, STR("b"), err));
    while (cursor.there && str_starts(cursor_key(&cursor), STR("b"))) {
        StoreBucket bucket;
        TRY(bucket_decode(cursor_value(&cursor), arena, &bucket, err));
        bucket.name = str_copy(arena, str_from(cursor_key(&cursor), 1));
        vec_push(found, bucket);
        TRY(cursor_next(&cursor, err));
    }
    return E_OK;
}

Code store_bucket_list(Store *store, Arena *arena, StoreBucket **ret_buckets, size_t *ret_count,
                       Err *err)
{
    BucketVec found = { 0 };
    Code code = buckets_read(store, arena, &found, err);
    StoreBucket *buckets = arena_array(arena, StoreBucket, found.len);
    for (size_t i = 0; i < found.len && code == E_OK; i++) {
        buckets[i] = found.items[i];
        code = usage_lookup(store, buckets[i].name, &buckets[i], err);
    }
    if (code == E_OK) {
        *ret_buckets = buckets;
        *ret_count = found.len;
    }
    vec_done(&found);
    return code;
}

enum { OBJECTS_AT_FIRST = 16 };

typedef struct Listing {
    const StoreListQuery *query;
    Arena *arena;
    Cursor cursor;
    Buf seek;
    size_t limit, room; /* of results; of page.objects: a page of folders has few */
    StoreListPage page;
} Listing;

static void listing_done(Listing *listing)
{
    cursor_done(&listing->cursor);
    buf_done(&listing->seek);
}

/* Behind every key that starts with what is in `seek`: its successor in byte order. */
void seek_behind(Buf *seek)
{
    while (seek->len > 0 && (uint8_t)seek->ptr[seek->len - 1] == 0xff)
        seek->len--;
    ASSERT(seek->len > 0); /* the bucket's part is never all ff */
    seek->ptr[seek->len - 1]++;
}

static Code listing_start(Listing *listing, Err *err)
{
    const StoreListQuery *query = listing->query;
    buf_clear(&listing->seek);
    bool goes_on = str_cmp(query->start_after, query->prefix) >= 0 && query->start_after.len > 0;
    if (goes_on && query->versions && query->after_sequence != 0) {
        key_version(&listing->seek, query->bucket, query->start_after, query->after_sequence);
        buf_put_char(&listing->seek, 0); /* just behind it */
    } else if (goes_on) {
        key_object(&listing->seek, query->bucket, query->start_after);
        seek_behind(&listing->seek);
    } else {
        key_prefix(&listing->seek, query->bucket, query->prefix);
    }
    TRY(buf_end(&listing->seek, "a key", err));
    return cursor_seek(&listing->cursor, buf_str(&listing->seek), err);
}

Str key_folded(Str key, Str prefix, Str delimiter)
{
    if (delimiter.len == 0)
        return STR_NONE;
    ptrdiff_t at = str_find(str_from(key, prefix.len), delimiter);
    return at < 0 ? STR_NONE : str_sub(key, 0, prefix.len + (size_t)at + delimiter.len);
}

/* Behind what starts with `seek`. The next row is mostly it, and cheaper than a seek. */
static Code listing_skip(Listing *listing, Err *err)
{
    Buf *seek = &listing->seek;
    TRY(buf_end(seek, "a key", err));
    TRY(cursor_next(&listing->cursor, err));
    if (!listing->cursor.there || !str_starts(cursor_key(&listing->cursor), buf_str(seek)))
        return E_OK;
    seek_behind(seek);
    return cursor_seek(&listing->cursor, buf_str(seek), err);
}

static Code object_take(Listing *listing, Str key, const ObjectRecord *record, Err *err)
{
    StoreListPage *page = &listing->page;
    if (page->object_count == listing->room) {
        size_t room = MIN(listing->room * 4, listing->limit);
        ObjectInfo *wider = arena_array(listing->arena, ObjectInfo, room);
        memcpy(wider, page->objects, page->object_count * sizeof *wider);
        page->objects = wider;
        listing->room = room;
    }
    ObjectInfo *info = &page->objects[page->object_count++];
    *info = record->info;
    info->bucket = listing->query->bucket;
    page->next = info->key = key;
    page->next_sequence = info->sequence;
    if (listing->query->versions)
        return cursor_next(&listing->cursor, err);
    Str row = cursor_key(&listing->cursor);
    buf_clear(&listing->seek);
    buf_put(&listing->seek, key_all_versions(row)); /* as key_object makes it */
    return listing_skip(listing, err);
}

/* Takes what the cursor stands on and moves it to the next that can count. */
static Code listing_step(Listing *listing, bool *ret_more, Err *err)
{
    StoreListPage *page = &listing->page;
    const StoreListQuery *query = listing->query;
    Str bucket, key;
    uint64_t sequence;
    ObjectRecord record;
    TRY(key_object_parse(cursor_key(&listing->cursor), listing->arena, &bucket, &key, &sequence,
                         err));
    *ret_more = str_starts(key, query->prefix);
    if (!*ret_more)
        return E_OK;
    Str fold = key_folded(key, query->prefix, query->delimiter);
    bool given_before = fold.len > 0 && str_cmp(fold, query->start_after) <= 0;
    TRY(object_decode(cursor_value(&listing->cursor), true, listing->arena, &record, err));
    if (record.info.delete_marker && !query->versions) { /* the key looks deleted */
        buf_clear(&listing->seek);
        key_object(&listing->seek, bucket, key);
        return listing_skip(listing, err);
    }
    if (!given_before && page->object_count + page->prefix_count == listing->limit) {
        page->truncated = true;
        *ret_more = false;
        return E_OK;
    }
    if (fold.len == 0)
        return object_take(listing, key, &record, err);
    if (!given_before) {
        page->next = page->prefixes[page->prefix_count++] = fold;
        page->next_sequence = 0;
    }
    buf_clear(&listing->seek);
    key_prefix(&listing->seek, bucket, fold);
    return listing_skip(listing, err);
}

Code store_list(Store *store, const StoreListQuery *query, Arena *arena, StoreListPage *ret_page,
                Err *err)
{
    bool exists;
    TRY(store_bucket_exists(store, query->bucket, &exists, err));
    if (!exists)
        return err_set(err, E_NOT_FOUND, "no bucket " STR_FMT,
                       STR_ARG(str_sub(query->bucket, 0, STORE_BUCKET_MAX)));
    if (query->prefix.len > STORE_KEY_MAX || query->start_after.len > STORE_KEY_MAX ||
        query->delimiter.len > STORE_KEY_MAX)
        return err_set(err, E_INVALID, "a prefix, start or delimiter is longer than any key");
    size_t limit = query->limit ? MIN(query->limit, (size_t)STORE_LIST_MAX) : STORE_LIST_MAX;
    Listing listing AUTO(listing_done) = { .query = query, .arena = arena, .limit = limit };
    buf_init(&listing.seek, INDEX_KEY_MAX);
    listing.room = query->delimiter.len > 0 ? MIN(limit, (size_t)OBJECTS_AT_FIRST) : limit;
    listing.page.objects = arena_array(arena, ObjectInfo, listing.room);
    listing.page.prefixes = arena_array(arena, Str, limit);
    Buf own AUTO(buf_done);
    buf_init(&own, INDEX_KEY_MAX);
    key_bucket_objects(&own, query->bucket);
    TRY(cursor_init(&listing.cursor, store, err));
    TRY(listing_start(&listing, err));
    bool more = true;
    while (more && listing.cursor.there && str_starts(cursor_key(&listing.cursor), buf_str(&own)))
        TRY(listing_step(&listing, &more, err));
    *ret_page = listing.page;
    return E_OK;
}
