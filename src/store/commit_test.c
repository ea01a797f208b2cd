/* Covers commit.c and later.c: conditions among threads, publishing without waiting, a bucket that is not empty. */
#include "base/test.h"
#include "format/digest.h"
#include "os/thread.h"
#include "store/store_conformance.h"
#include "store/store_fixture.h"
#include "store/upload.h"

#include <stdio.h>
#include <string.h>

#define BUCKET FIXTURE_BUCKET

typedef struct Racer {
    Store *store;
    int number;
    size_t won;
    Thread thread;
} Racer;

static void *race(void *arg)
{
    Racer *racer = arg;
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    for (int i = 0; i < 100; i++) {
        StorePut put = { .bucket = BUCKET,
                         .key = str_format(&arena, "race-%d", i),
                         .condition = PUT_IF_ABSENT };
        Code code = store_put(racer->store, &put, STR("x"), NULL, &err);
        racer->won += code == E_OK;
        if (code != E_OK)
            CHECK_INT(code, E_PRECONDITION);
        CHECK_OK(pattern_put(racer->store, BUCKET, STR("shared"), 1000, 1, &err), &err);
        CHECK(pattern_is(racer->store, BUCKET, STR("shared"), 1000, 1));
    }
    return NULL;
}

TEST(store_conditions_are_exact_among_threads)
{
    for (int row = 0; row < 1 + fixture_has_rocksdb; row++) {
        Err err;
        Store *store AUTO(store_free) = NULL;
        char dir[OS_PATH_MAX];
        snprintf(dir, sizeof dir, "%s/%d", test_dir(), row);
        StoreOptions options = { .index = row == 0 ? "memory" : "rocksdb", .dir = dir };
        CHECK_OK(store_open(os_real(), &options, &store, &err), &err);
        CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
        Racer racers[4] = { 0 };
        for (int i = 0; i < 4; i++) {
            racers[i].store = store;
            racers[i].number = i;
            CHECK_OK(thread_start(&racers[i].thread, "race", race, &racers[i], &err), &err);
        }
        size_t won = 0;
        for (int i = 0; i < 4; i++) {
            thread_join(&racers[i].thread);
            won += racers[i].won;
        }
        CHECK_INT(won, 100);
        CHECK_INT(store_sequence(store), 1 + 100 + 400);
    }
}

enum { LATER_COUNT = 200 };

typedef struct LaterCount {
    Mutex mutex;
    Cond changed;
    size_t over, ok, refused;
} LaterCount;

static void later_done(StorePublication *publication)
{
    LaterCount *count = publication->arg;
    MUTEX_HELD(&count->mutex);
    count->over++;
    count->ok += publication->code == E_OK && publication->sequence > 0;
    count->refused += publication->code == E_PRECONDITION && publication->put.take_staged;
    cond_signal(&count->changed);
}

/* Two of each key, both only when it is absent: one of them wins, and keeps what it put. */
TEST(store_publishes_later_as_it_publishes)
{
    Store *store;
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    LaterCount count = { 0 };
    StorePublication *all = arena_array(&arena, StorePublication, LATER_COUNT);
    mutex_init(&count.mutex);
    cond_init(&count.changed);
    CHECK_OK(fixture_open("memory", &store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    for (size_t i = 0; i < LATER_COUNT; i++) {
        StagedObject *staged;
        Str key = str_format(&arena, "k%zu", i / 2);
        CHECK_OK(store_stage(store, &staged, &err), &err);
        CHECK_OK(store_stage_write(staged, key, &err), &err);
        CHECK_OK(store_stage_finish(staged, &err), &err);
        CHECK(store_stage_small(staged));
        all[i] = (StorePublication){ .put = { .take_staged = staged, .bucket = BUCKET, .key = key, .condition = PUT_IF_ABSENT },
                                     .done = later_done, .arg = &count, .md5_wanted = true };
        CHECK_OK(store_publish_later(store, &all[i], &arena, &err), &err);
    }
    mutex_lock(&count.mutex);
    while (count.over < LATER_COUNT)
        cond_wait(&count.changed, &count.mutex);
    mutex_unlock(&count.mutex);
    CHECK_INT(count.ok, LATER_COUNT / 2);
    CHECK_INT(count.refused, LATER_COUNT / 2);
    for (size_t i = 0; i < LATER_COUNT; i++) {
        ObjectInfo info;
        CHECK(all[i].code == E_OK || all[i].put.take_staged);
        store_stage_abort(&all[i].put.take_staged);
        CHECK_OK(store_head(store, BUCKET, all[i].put.key, &arena, &info, &err), &err);
        CHECK_INT(info.size_bytes, all[i].put.key.len);
        DigestValue md5 = digest_of(DIGEST_MD5, all[i].put.key);
        CHECK(info.has_md5 && memcmp(info.md5, md5.bytes, sizeof info.md5) == 0);
        CHECK(all[i].code != E_OK || memcmp(all[i].md5, md5.bytes, sizeof all[i].md5) == 0);
    }
    store_free(&store);
    CHECK_OK(fixture_open("memory", &store, &err), &err);
    StoreBucket bucket;
    CHECK_OK(store_bucket_get(store, BUCKET, &arena, &bucket, &err), &err);
    CHECK_INT(bucket.versions, LATER_COUNT / 2);
    store_free(&store);
    cond_done(&count.changed);
    mutex_done(&count.mutex);
}

TEST(store_keeps_a_bucket_with_an_upload)
{
    Store *store AUTO(store_free) = NULL;
    Err err;
    StoreUploadId id;
    StoreUpload upload = { .bucket = BUCKET, .key = STR("up") };
    StoreOptions options = { .backend = "memory", .index = "memory" };
    CHECK_OK(store_open(os_real(), &options, &store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    CHECK_OK(store_upload_create(store, &upload, &id, &err), &err);
    CHECK_CODE(store_bucket_delete(store, BUCKET, &err), E_CONFLICT);
    CHECK_OK(store_upload_abort(store, BUCKET, upload.key, &id, &err), &err);
    CHECK_OK(store_bucket_delete(store, BUCKET, &err), &err);
}
