/* What the leader looks at stays in proportion to what a client sent: many parts, many deletes, many versions of a key.
 * It covers plan.c and upload.c in this; Store.looks is the measure. */
#include "store/store_priv.h"

#include "base/test.h"
#include "os/os_sim.h"
#include "store/store_conformance.h"

#include <string.h>

#define BUCKET STR("counts")
enum { PARTS = STORE_PARTS_MAX, VERSIONS = 3000, PART_LEN = 7 };

static Store *counts_open(StoreVersioning versioning)
{
    Err err;
    Store *store = NULL;
    StoreOptions options = { .backend = "memory", .index = "memory" };
    CHECK_OK(store_open(os_real(), &options, &store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    if (versioning != VERSIONING_NEVER)
        CHECK_OK(store_bucket_set_versioning(store, BUCKET, versioning, &err), &err);
    return store;
}

static void part_put(Store *store, const StoreUploadId *id, StorePart *part)
{
    Err err;
    StagedObject *staged AUTO(store_stage_abort) = NULL;
    CHECK_OK(store_stage_part(store, &staged, &err), &err);
    CHECK_OK(store_stage_write(staged, STR("1234567"), &err), &err);
    CHECK_OK(store_stage_finish(staged, &err), &err);
    CHECK_OK(store_upload_part(store, BUCKET, STR("k"), id, part, &staged, &err), &err);
}

/* Every second part is used, so that each of the others has to be found unused. */
TEST(store_completes_many_parts_without_looking_at_each_for_each)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = counts_open(VERSIONING_NEVER);
    StorePart *parts = arena_array(&arena, StorePart, PARTS);
    StoreUpload upload = { .bucket = BUCKET, .key = STR("k") };
    StoreUploadId id;
    uint64_t sequence;
    CHECK_OK(store_upload_create(store, &upload, &id, &err), &err);
    for (uint32_t i = 0; i < PARTS; i++) {
        parts[i] = (StorePart){ .number = i + 1, .size_bytes = PART_LEN, .md5 = { (uint8_t)i } };
        part_put(store, &id, &parts[i]);
    }
    for (uint32_t i = 0; i < PARTS / 2; i++)
        parts[i] = parts[2 * i];
    uint64_t before = store->looks;
    StoreComplete complete = {
        .bucket = BUCKET, .key = STR("k"), .id = id, .parts = parts, .part_count = PARTS / 2
    };
    CHECK_OK(store_upload_complete(store, &complete, &sequence, &err), &err);
    CHECK(store->looks - before < 20 * PARTS);
    ObjectReader *reader AUTO(object_reader_free) = NULL;
    char bytes[2 * PART_LEN];
    size_t len;
    CHECK_OK(store_reader_open(store, BUCKET, STR("k"), 0, &reader, &err), &err);
    for (uint64_t at = 0; at < PARTS / 2 * PART_LEN; at += 13) {
        CHECK_OK(object_pread(reader, bytes, sizeof bytes, at, &len, &err), &err);
        CHECK_INT(len, MIN(sizeof bytes, PARTS / 2 * PART_LEN - at));
        CHECK_INT(bytes[0], '1' + (int)(at % PART_LEN));
    }
}

/* The null version lies below all others: nobody walks them to find it. */
TEST(store_finds_a_null_version_below_many)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = counts_open(VERSIONING_NEVER);
    ObjectInfo info;
    CHECK_OK(pattern_put(store, BUCKET, STR("k"), 10, 1, &err), &err);
    CHECK_OK(store_bucket_set_versioning(store, BUCKET, VERSIONING_ENABLED, &err), &err);
    for (uint64_t i = 0; i < VERSIONS; i++)
        CHECK_OK(pattern_put(store, BUCKET, STR("k"), 20, 2, &err), &err);
    CHECK_OK(store_head_version(store, BUCKET, STR("k"), STORE_VERSION_NULL, &arena, &info, &err), &err);
    CHECK_INT(info.size_bytes, 10);
    CHECK_OK(store_bucket_set_versioning(store, BUCKET, VERSIONING_SUSPENDED, &err), &err);
    uint64_t before = store->looks;
    CHECK_OK(pattern_put(store, BUCKET, STR("k"), 30, 3, &err), &err); /* takes the null version away */
    CHECK(store->looks - before < 100);
    CHECK_OK(store_head_version(store, BUCKET, STR("k"), STORE_VERSION_NULL, &arena, &info, &err), &err);
    CHECK_INT(info.size_bytes, 30);
    CHECK_OK(store_bucket_set_versioning(store, BUCKET, VERSIONING_ENABLED, &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("k"), 40, 4, &err), &err);
    CHECK_OK(store_head_version(store, BUCKET, STR("k"), STORE_VERSION_NULL, &arena, &info, &err), &err);
    CHECK_INT(info.size_bytes, 30);
    CHECK_OK(store_delete_version(store, BUCKET, STR("k"), store_sequence(store), &err), &err);
    StoreDelete wanted = { BUCKET, STR("k"), STORE_VERSION_NULL, 0, STR_NONE };
    StoreDeleted deleted;
    CHECK_OK(store_delete_many(store, &wanted, 1, &deleted, &err), &err);
    CHECK(deleted.existed && deleted.null_version);
    CHECK_CODE(store_head_version(store, BUCKET, STR("k"), STORE_VERSION_NULL, &arena, &info, &err), E_NOT_FOUND);
    StoreBucket bucket;
    CHECK_OK(store_bucket_get(store, BUCKET, &arena, &bucket, &err), &err);
    CHECK_INT(bucket.versions, VERSIONS);
}

/* A thousand versions of one key fall in one group, the newest ones first. */
TEST(store_deletes_many_versions_of_one_key)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = counts_open(VERSIONING_ENABLED);
    StoreDelete *wanted = arena_array(&arena, StoreDelete, STORE_DELETE_MAX);
    StoreDeleted *deleted = arena_array(&arena, StoreDeleted, STORE_DELETE_MAX);
    for (size_t i = 0; i < STORE_DELETE_MAX; i++) {
        CHECK_OK(pattern_put(store, BUCKET, STR("k"), 20, 2, &err), &err);
        wanted[STORE_DELETE_MAX - 1 - i] = (StoreDelete){ BUCKET, STR("k"), store_sequence(store), 0, STR_NONE };
    }
    uint64_t before = store->looks;
    CHECK_OK(store_delete_many(store, wanted, STORE_DELETE_MAX, deleted, &err), &err);
    CHECK(store->looks - before < 20 * STORE_DELETE_MAX);
    StoreBucket bucket;
    CHECK_OK(store_bucket_get(store, BUCKET, &arena, &bucket, &err), &err);
    CHECK_INT(bucket.versions, 0);
}

/* A start takes the changes of the journal by so many, however many one call of a client had. */
TEST(store_replays_large_commits_piece_by_piece)
{
    enum { CALLS = 40 };
    OsSim *sim AUTO(os_sim_free) = os_sim_new(1);
    Err err;
    Store *store AUTO(store_free) = NULL;
    StoreOptions options = { .index = "memory", .dir = "/s", .trash_seconds = -1 };
    CHECK_OK(store_open(os_sim_os(sim), &options, &store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    CHECK_OK(store_bucket_set_versioning(store, BUCKET, VERSIONING_ENABLED, &err), &err);
    for (int call = 0; call < CALLS; call++) {
        Arena arena AUTO(arena_done) = { 0 };
        StoreDelete *wanted = arena_array(&arena, StoreDelete, STORE_DELETE_MAX);
        StoreDeleted *deleted = arena_array(&arena, StoreDeleted, STORE_DELETE_MAX);
        for (int i = 0; i < STORE_DELETE_MAX; i++)
            wanted[i] = (StoreDelete){ .bucket = BUCKET, .key = str_format(&arena, "%d-%d", call, i) };
        CHECK_OK(store_delete_many(store, wanted, STORE_DELETE_MAX, deleted, &err), &err);
    }
    store_free(&store);
    CHECK_OK(store_open(os_sim_os(sim), &options, &store, &err), &err);
    CHECK(store->looks < 10 * CALLS * STORE_DELETE_MAX);
}
