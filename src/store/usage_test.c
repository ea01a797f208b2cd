/* Covers usage.c: the counts of a bucket are those of a walk over it, whatever happened, in whatever
 * way the index came to be. */
#include "store/store_keep.h"

#include "base/test.h"
#include "store/store_conformance.h"
#include "store/upload.h"

#include <stdio.h>

#define BUCKET STR("counted")

static Code usage_open(int64_t trash_seconds, Store **store, Err *err)
{
    static char dir[OS_PATH_MAX];
    snprintf(dir, sizeof dir, "%s/store", test_dir());
    StoreOptions options = { .index = "memory", .dir = dir, .segment_bytes = 1 << 20,
                             .trash_seconds = trash_seconds };
    return store_open(os_real(), &options, store, err);
}

/* By walking over everything. */
static StoreBucket walked(Store *store, Arena *arena)
{
    Err err;
    StoreBucket out = { 0 };
    StoreListQuery query = { .bucket = BUCKET, .versions = true };
    StoreListPage page;
    Str last = STR_NONE;
    CHECK_OK(store_list(store, &query, arena, &page, &err), &err);
    CHECK(!page.truncated);
    for (size_t i = 0; i < page.object_count; i++) {
        const ObjectInfo *info = &page.objects[i];
        out.objects += !info->delete_marker && !str_eq(info->key, last);
        out.versions += !info->delete_marker;
        out.bytes += info->delete_marker ? 0 : info->size_bytes;
        last = info->key;
    }
    return out;
}

static void check_usage(Store *store, uint64_t objects, uint64_t trash_bytes, uint64_t uploads)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    StoreBucket bucket;
    CHECK_OK(store_bucket_get(store, BUCKET, &arena, &bucket, &err), &err);
    StoreBucket walk = walked(store, &arena);
    CHECK_INT(bucket.objects, walk.objects);
    CHECK_INT(bucket.versions, walk.versions);
    CHECK_INT(bucket.bytes, walk.bytes);
    CHECK_INT(bucket.objects, objects);
    CHECK_INT(bucket.trash_bytes, trash_bytes);
    CHECK_INT(bucket.uploads, uploads);
}

static void del(Store *store, Str key, uint64_t sequence)
{
    Err err;
    StoreDelete one = { .bucket = BUCKET, .key = key, .sequence = sequence };
    CHECK_OK(store_delete_many(store, &one, 1, &(StoreDeleted){ 0 }, &err), &err);
}

static StoreUploadId begin(Store *store, Str key)
{
    Err err;
    StoreUploadId id = { 0 };
    StoreUpload upload = { .bucket = BUCKET, .key = key };
    CHECK_OK(store_upload_create(store, &upload, &id, &err), &err);
    return id;
}

static uint64_t newest_of(Store *store, Str key)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    ObjectInfo info = { 0 };
    CHECK_OK(store_head_version(store, BUCKET, key, 0, &arena, &info, &err), &err);
    return info.sequence;
}

TEST(usage_counts_what_a_walk_finds)
{
    Err err;
    Store *store AUTO(store_free) = NULL;
    CHECK_OK(usage_open(0, &store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("a"), 100, 1, &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("a"), 300000, 2, &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("b"), 7, 3, &err), &err);
    check_usage(store, 2, 100, 0);
    CHECK_OK(pattern_put(store, BUCKET, STR("a"), 5, 4, &err), &err);
    check_usage(store, 2, 300100, 0);
    del(store, STR("b"), 0);
    check_usage(store, 1, 300107, 0);
    CHECK_OK(store_bucket_set_versioning(store, BUCKET, VERSIONING_ENABLED, &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("v"), 11, 5, &err), &err);
    uint64_t first = newest_of(store, STR("v"));
    CHECK_OK(pattern_put(store, BUCKET, STR("v"), 12, 6, &err), &err);
    check_usage(store, 2, 300107, 0);
    del(store, STR("v"), 0); /* a marker */
    check_usage(store, 1, 300107, 0);
    del(store, STR("v"), newest_of(store, STR("v"))); /* the marker goes: there again */
    check_usage(store, 2, 300107, 0);
    del(store, STR("v"), newest_of(store, STR("v"))); /* the older one shows */
    check_usage(store, 2, 300119, 0);
    del(store, STR("v"), first);
    check_usage(store, 1, 300130, 0);
    StoreUploadId one = begin(store, STR("u")), two = begin(store, STR("w"));
    check_usage(store, 1, 300130, 2);
    CHECK_OK(store_upload_abort(store, BUCKET, STR("u"), &one, &err), &err);
    check_usage(store, 1, 300130, 1);
    store_free(&store);
    CHECK_OK(usage_open(-1, &store, &err), &err); /* made again from the journal; it keeps no small ones */
    check_usage(store, 1, 300000, 1);
    CHECK_OK(store_upload_abort(store, BUCKET, STR("w"), &two, &err), &err);
    for (uint64_t i = 0; i < 60; i++)
        CHECK_OK(pattern_put(store, BUCKET, STR("hot"), 60000, i, &err), &err);
    size_t freed;
    CHECK_OK(store_compact(store, NULL, &freed, &err), &err);
    check_usage(store, 2, 300000, 0);
    store_free(&store);
    CHECK_OK(usage_open(-1, &store, &err), &err);
    check_usage(store, 2, 300000, 0);
}
