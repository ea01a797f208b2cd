/* Covers versions, delete markers, properties of buckets and usage: in both indexes, after a reopen, from
 * the journal alone, and after a compaction. */
#include "store/store_priv.h"

#include "base/test.h"
#include "store/store_conformance.h"

#include <stdio.h>
#include <string.h>

#define BUCKET STR("versions")

static Code lake_open(const char *index, Store **store, Err *err)
{
    static char dir[OS_PATH_MAX];
    snprintf(dir, sizeof dir, "%s/store", test_dir());
    StoreOptions options = { .index = index, .dir = dir, .segment_bytes = 1 << 20, .trash_seconds = -1 };
    return store_open(os_real(), &options, store, err);
}

/* What the versions of BUCKET look like, in their order: "key=size", "!" for a marker, "0" for null. */
static Str picture(Store *store, Arena *arena, size_t limit)
{
    Err err;
    Buf out;
    StoreListQuery query = { .bucket = BUCKET, .versions = true, .limit = limit };
    StoreListPage page;
    buf_init(&out, 1 << 16);
    do {
        CHECK_OK(store_list(store, &query, arena, &page, &err), &err);
        for (size_t i = 0; i < page.object_count; i++) {
            const ObjectInfo *info = &page.objects[i];
            buf_format(&out, "%s" STR_FMT "=%llu%s%s", out.len ? " " : "", STR_ARG(info->key),
                       (unsigned long long)info->size_bytes, info->delete_marker ? "!" : "",
                       info->null_version ? "0" : "");
        }
        for (size_t i = 0; i < page.prefix_count; i++)
            buf_format(&out, " [" STR_FMT "]", STR_ARG(page.prefixes[i]));
        query.start_after = page.next;
        query.after_sequence = page.next_sequence;
    } while (page.truncated);
    Str text = str_copy(arena, buf_str(&out));
    buf_done(&out);
    return text;
}

static Str listing(Store *store, Arena *arena, Str delimiter)
{
    Err err;
    Buf out;
    StoreListQuery query = { .bucket = BUCKET, .delimiter = delimiter };
    StoreListPage page;
    buf_init(&out, 1 << 16);
    CHECK_OK(store_list(store, &query, arena, &page, &err), &err);
    for (size_t i = 0; i < page.object_count; i++)
        buf_format(&out, STR_FMT " ", STR_ARG(page.objects[i].key));
    for (size_t i = 0; i < page.prefix_count; i++)
        buf_format(&out, "[" STR_FMT "] ", STR_ARG(page.prefixes[i]));
    Str text = str_copy(arena, buf_str(&out));
    buf_done(&out);
    return text;
}

static StoreDeleted delete_one(Store *store, Str key, uint64_t sequence)
{
    Err err;
    StoreDelete wanted = { BUCKET, key, sequence, 0, STR("ann") };
    StoreDeleted deleted = { 0 };
    CHECK_OK(store_delete_many(store, &wanted, 1, &deleted, &err), &err);
    return deleted;
}

static uint64_t newest(Store *store, Str key)
{
    Arena arena AUTO(arena_done) = { 0 };
    ObjectInfo info = { 0 };
    Err err;
    CHECK_OK(store_head_version(store, BUCKET, key, 0, &arena, &info, &err), &err);
    return info.sequence;
}

static void put(Store *store, Str key, size_t len)
{
    Err err;
    CHECK_OK(pattern_put(store, BUCKET, key, len, len, &err), &err);
}

/* a: before versions counted, twice while they did, then suspended. */
static void history(Store *store, uint64_t *ret_second)
{
    Err err;
    CHECK_OK(store_bucket_create_owned(store, BUCKET, STR("ann"), &err), &err);
    put(store, STR("a"), 1);
    put(store, STR("a"), 2); /* replaces */
    CHECK_OK(store_bucket_set_versioning(store, BUCKET, VERSIONING_ENABLED, &err), &err);
    put(store, STR("a"), 3);
    *ret_second = newest(store, STR("a"));
    put(store, STR("a"), 200000);
    put(store, STR("d/x"), 5);
    StoreDeleted deleted = delete_one(store, STR("d/x"), 0);
    CHECK(deleted.marker && deleted.existed);
    put(store, STR("d/y"), 6);
    CHECK(delete_one(store, STR("never"), 0).marker);
    CHECK_OK(store_bucket_set_property(store, BUCKET, STR("cors"), STR("<CORS/>"), &err), &err);
    CHECK_OK(store_bucket_set_property(store, BUCKET, STR("tags"), STR("t"), &err), &err);
    CHECK_OK(store_bucket_set_property(store, BUCKET, STR("tags"), STR_NONE, &err), &err);
}

#define HISTORY "a=200000 a=3 a=20 d/x=0! d/x=5 d/y=6 never=0!"

static void check_history(Store *store, uint64_t second)
{
    Arena arena AUTO(arena_done) = { 0 };
    Err err;
    StoreBucket bucket = { 0 };
    ObjectInfo info = { 0 };
    CHECK_STR(picture(store, &arena, 0), STR(HISTORY));
    CHECK_STR(picture(store, &arena, 1), STR(HISTORY));
    CHECK_STR(picture(store, &arena, 2), STR(HISTORY));
    CHECK_STR(listing(store, &arena, STR("")), STR("a d/y "));
    CHECK_STR(listing(store, &arena, STR("/")), STR("a [d/] "));
    CHECK_OK(store_bucket_get(store, BUCKET, &arena, &bucket, &err), &err);
    CHECK_INT(bucket.versioning, VERSIONING_ENABLED);
    CHECK_INT(bucket.versions, 5);
    CHECK_INT(bucket.bytes, 200000 + 3 + 2 + 5 + 6);
    CHECK_STR(bucket.owner, STR("ann"));
    CHECK_INT(bucket.property_count, 1);
    CHECK_STR(bucket.properties[0].value, STR("<CORS/>"));
    CHECK_OK(store_head_version(store, BUCKET, STR("a"), second, &arena, &info, &err), &err);
    CHECK_INT(info.size_bytes, 3);
    CHECK_OK(store_head_version(store, BUCKET, STR("a"), STORE_VERSION_NULL, &arena, &info, &err), &err);
    CHECK_INT(info.size_bytes, 2);
    CHECK_CODE(store_head(store, BUCKET, STR("d/x"), &arena, &info, &err), E_NOT_FOUND);
    CHECK_CODE(store_head_version(store, BUCKET, STR("a"), 999, &arena, &info, &err), E_NOT_FOUND);
    ObjectReader *reader AUTO(object_reader_free) = NULL;
    CHECK_OK(store_reader_open(store, BUCKET, STR("a"), second, &reader, &err), &err);
    CHECK_INT(object_reader_info(reader)->size_bytes, 3);
}

TEST(versions_stay_through_reopen_rebuild_and_compaction)
{
    static const char *const indexes[] = { "rocksdb", "memory", "memory", "rocksdb" };
    Arena arena AUTO(arena_done) = { 0 };
    Err err;
    uint64_t second = 0;
    for (size_t pass = 0; pass < ARRAY_LEN(indexes); pass++) {
        Store *store AUTO(store_free) = NULL;
        if (lake_open(indexes[pass], &store, &err) == E_INVALID)
            continue; /* built without RocksDB */
        if (second == 0)
            history(store, &second);
        check_history(store, second);
        if (pass != 1)
            continue;
        CHECK_OK(store_bucket_create(store, STR("other"), &err), &err);
        for (int i = 0; i < 60; i++) /* dead bytes, so that old segments are compacted */
            CHECK_OK(pattern_put(store, STR("other"), STR("hot"), 60000, 1, &err), &err);
        size_t freed = 0;
        CHECK_OK(store_compact(store, NULL, &freed, &err), &err);
        CHECK(freed > 0);
        check_history(store, second);
        CHECK_OK(store_delete(store, STR("other"), STR("hot"), &err), &err);
        CHECK_OK(store_bucket_delete(store, STR("other"), &err), &err);
    }
}

/* A copy of the index from before a compaction has what was deleted and forgotten since: it is made again. */
TEST(versions_of_an_older_index_do_not_come_back)
{
    Err err;
    Store *store AUTO(store_free) = NULL;
    if (lake_open("rocksdb", &store, &err) == E_INVALID)
        return; /* built without RocksDB */
    CHECK_OK(store_bucket_create(store, STR("other"), &err), &err);
    CHECK_OK(pattern_put(store, STR("other"), STR("gone"), 100, 1, &err), &err);
    store_free(&store); /* its index stays as it is now */
    CHECK_OK(lake_open("memory", &store, &err), &err);
    CHECK_OK(store_delete(store, STR("other"), STR("gone"), &err), &err);
    store_feed_release(store, store_sequence(store));
    for (int round = 0; round < 8; round++) {
        size_t freed;
        for (int i = 0; i < 40; i++)
            CHECK_OK(pattern_put(store, STR("other"), STR("hot"), 60000, 1, &err), &err);
        store_feed_release(store, store_sequence(store));
        CHECK_OK(store_compact(store, NULL, &freed, &err), &err);
    }
    store_free(&store);
    CHECK_OK(lake_open("rocksdb", &store, &err), &err);
    ObjectInfo info;
    Arena arena AUTO(arena_done) = { 0 };
    CHECK_CODE(store_head(store, STR("other"), STR("gone"), &arena, &info, &err), E_NOT_FOUND);
    CHECK(pattern_is(store, STR("other"), STR("hot"), 60000, 1));
}

static Store *memory_store(void)
{
    Err err;
    Store *store = NULL;
    StoreOptions options = { .backend = "memory", .index = "memory" };
    CHECK_OK(store_open(os_real(), &options, &store, &err), &err);
    return store;
}

TEST(versions_are_deleted_one_by_one)
{
    Store *store AUTO(store_free) = memory_store();
    Arena arena AUTO(arena_done) = { 0 };
    uint64_t second = 0;
    Err err;
    ObjectInfo info;
    history(store, &second);
    StoreDeleted deleted = delete_one(store, STR("a"), second);
    CHECK(deleted.existed && !deleted.marker && deleted.sequence == second);
    CHECK(!delete_one(store, STR("a"), second).existed);
    deleted = delete_one(store, STR("a"), STORE_VERSION_NULL);
    CHECK(deleted.existed && deleted.null_version);
    deleted = delete_one(store, STR("d/x"), newest(store, STR("d/x")));
    CHECK(deleted.existed && deleted.marker); /* what it covered is back */
    CHECK_OK(store_head(store, BUCKET, STR("d/x"), &arena, &info, &err), &err);
    CHECK_INT(info.size_bytes, 5);
    CHECK_STR(picture(store, &arena, 0), STR("a=200000 d/x=5 d/y=6 never=0!"));
    CHECK_CODE(store_bucket_delete(store, BUCKET, &err), E_CONFLICT);
    StoreDelete all[4] = { { BUCKET, STR("a"), newest(store, STR("a")), 0, STR_NONE },
                           { BUCKET, STR("d/x"), newest(store, STR("d/x")), 0, STR_NONE },
                           { BUCKET, STR("d/y"), newest(store, STR("d/y")), 0, STR_NONE },
                           { BUCKET, STR("never"), newest(store, STR("never")), 0, STR_NONE } };
    StoreDeleted gone[4];
    CHECK_OK(store_delete_many(store, all, 4, gone, &err), &err);
    CHECK_OK(store_bucket_delete(store, BUCKET, &err), &err);
}

TEST(versions_of_one_key_fall_in_one_group)
{
    Store *store AUTO(store_free) = memory_store();
    Arena arena AUTO(arena_done) = { 0 };
    Err err;
    StoreDelete wanted[5];
    StoreDeleted gone[5];
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    CHECK_OK(store_bucket_set_versioning(store, BUCKET, VERSIONING_ENABLED, &err), &err);
    for (size_t i = 0; i < 5; i++) {
        put(store, STR("k"), 10 + i);
        wanted[i] = (StoreDelete){ BUCKET, STR("k"), newest(store, STR("k")), 0, STR_NONE };
    }
    CHECK_OK(store_delete_many(store, wanted + 2, 3, gone, &err), &err); /* the newest three */
    CHECK_STR(picture(store, &arena, 0), STR("k=11 k=10"));
    StorePut if_absent = { .bucket = BUCKET, .key = STR("k"), .condition = PUT_IF_ABSENT };
    CHECK_CODE(store_put(store, &if_absent, STR("x"), NULL, &err), E_PRECONDITION);
    CHECK_OK(store_delete(store, BUCKET, STR("k"), &err), &err);
    CHECK_OK(store_put(store, &if_absent, STR("x"), NULL, &err), &err); /* over a marker */
    CHECK_STR(picture(store, &arena, 0), STR("k=1 k=0! k=11 k=10"));
}

TEST(versions_suspended)
{
    Store *store AUTO(store_free) = memory_store();
    Arena arena AUTO(arena_done) = { 0 };
    Err err;
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    put(store, STR("k"), 1);
    CHECK_OK(store_bucket_set_versioning(store, BUCKET, VERSIONING_ENABLED, &err), &err);
    put(store, STR("k"), 2);
    CHECK_OK(store_bucket_set_versioning(store, BUCKET, VERSIONING_SUSPENDED, &err), &err);
    CHECK_CODE(store_bucket_set_versioning(store, BUCKET, VERSIONING_NEVER, &err), E_INVALID);
    put(store, STR("k"), 3); /* replaces the null version that lies below */
    CHECK_STR(picture(store, &arena, 0), STR("k=30 k=2"));
    put(store, STR("k"), 4);
    CHECK_STR(picture(store, &arena, 0), STR("k=40 k=2"));
    StoreDeleted deleted = delete_one(store, STR("k"), 0); /* a null marker takes its place */
    CHECK(deleted.marker && deleted.null_version);
    CHECK_STR(picture(store, &arena, 0), STR("k=0!0 k=2"));
    CHECK_STR(listing(store, &arena, STR("")), STR(""));
    deleted = delete_one(store, STR("k"), STORE_VERSION_NULL);
    CHECK(deleted.marker && deleted.existed);
    CHECK_STR(listing(store, &arena, STR("")), STR("k "));
}

/* An index in which the key is put again before the second look of a reader. */
static const IndexOps *inner_ops;
static Store *put_into;
static int cursors;

static Code cursor_open_and_put(Index *index, bool now, IndexCursor **ret_cursor, Err *err)
{
    if (++cursors == 2) {
        put_into->index_ops = inner_ops;
        TRY(pattern_put(put_into, BUCKET, STR("k"), 30, 3, err));
    }
    return inner_ops->cursor_open(index, now, ret_cursor, err);
}

TEST(versions_null_is_there_while_it_is_replaced)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    ObjectInfo info;
    static IndexOps ops;
    CHECK_OK(lake_open("memory", &store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("k"), 10, 1, &err), &err);
    CHECK_OK(store_bucket_set_versioning(store, BUCKET, VERSIONING_ENABLED, &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("k"), 20, 2, &err), &err);
    CHECK_OK(store_bucket_set_versioning(store, BUCKET, VERSIONING_SUSPENDED, &err), &err);
    ops = *(inner_ops = store->index_ops);
    ops.cursor_open = cursor_open_and_put;
    put_into = store;
    store->index_ops = &ops;
    CHECK_OK(store_head_version(store, BUCKET, STR("k"), STORE_VERSION_NULL, &arena, &info, &err), &err);
    store->index_ops = inner_ops;
    CHECK(info.null_version && info.size_bytes == 10);
    CHECK_OK(pattern_put(store, BUCKET, STR("k"), 30, 3, &err), &err);
    CHECK_OK(store_head_version(store, BUCKET, STR("k"), STORE_VERSION_NULL, &arena, &info, &err), &err);
    CHECK(info.null_version && info.size_bytes == 30);
}

TEST(versions_tags_and_fields)
{
    Store *store AUTO(store_free) = memory_store();
    Arena arena AUTO(arena_done) = { 0 };
    Err err;
    ObjectInfo info = { 0 };
    StoreTag tags[] = { { STR("team"), STR("ornithology") } };
    StoreTag meta[] = { { STR("content-encoding"), STR("gzip") }, { STR("x-amz-meta-a"), STR("b") } };
    uint8_t md5[16] = { 1, 2, 3 };
    StorePut wanted = { .bucket = BUCKET, .key = STR("k"), .meta = meta, .meta_count = 2, .md5 = md5,
                        .owner = STR("ann"), .checksum = digest_of(DIGEST_CRC32C, STR("x")) };
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    CHECK_OK(store_bucket_set_versioning(store, BUCKET, VERSIONING_ENABLED, &err), &err);
    uint64_t first = 0;
    CHECK_OK(store_put(store, &wanted, STR("x"), &first, &err), &err);
    put(store, STR("k"), 7);
    CHECK_OK(store_set_tags(store, BUCKET, STR("k"), first, tags, 1, &err), &err);
    CHECK_CODE(store_set_tags(store, BUCKET, STR("k"), 999, tags, 1, &err), E_GONE);
    CHECK_OK(store_head_version(store, BUCKET, STR("k"), first, &arena, &info, &err), &err);
    CHECK_INT(info.tag_count, 1);
    CHECK_STR(info.tags[0].value, STR("ornithology"));
    CHECK_INT(info.meta_count, 2);
    CHECK_STR(info.meta[1].value, STR("b"));
    CHECK_STR(info.owner, STR("ann"));
    CHECK_STR(object_etag(&arena, &info), STR("01020300000000000000000000000000"));
    CHECK(digest_eq(&info.checksum, &wanted.checksum));
    CHECK_OK(store_head(store, BUCKET, STR("k"), &arena, &info, &err), &err);
    CHECK_INT(info.tag_count, 0);
    CHECK_INT(object_etag(&arena, &info).len, 32);
}
