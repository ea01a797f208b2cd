/* Covers commit.c and later.c: conditions among threads, publishing without waiting, a bucket that is not empty, groups
 * that are one append. */
#include "store/store_priv.h"

#include "base/test.h"
#include "format/digest.h"
#include "os/os_sim.h"
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

/* ---- several requests are one append ---- */

enum { COMPLETIONS = 14 };

typedef struct Completion {
    Request request;
    CommitOp op;
    StoreComplete complete;
    StorePart part;
    Err err;
} Completion;

static StoreTag *pairs_longest(Arena *arena, size_t count, size_t name_len, size_t value_len)
{
    StoreTag *pairs = arena_array(arena, StoreTag, count);
    char *value = arena_array(arena, char, value_len);
    memset(value, 'v', value_len);
    for (size_t i = 0; i < count; i++) {
        char *name = arena_array(arena, char, name_len);
        memset(name, 'n', name_len);
        snprintf(name, name_len, "%zu", i);
        pairs[i] = (StoreTag){ str_of(name, name_len), str_of(value, value_len) };
    }
    return pairs;
}

/* All of an upload but its completion, which is left in the queue. */
static void completion_wait(Store *store, Completion *all, size_t i, StoreUpload *upload)
{
    Err err;
    Completion *c = &all[i];
    StagedObject *staged AUTO(store_stage_abort) = NULL;
    c->part.number = 1;
    c->complete = (StoreComplete){ .bucket = BUCKET, .key = upload->key, .parts = &c->part, .part_count = 1 };
    CHECK_OK(store_upload_create(store, upload, &c->complete.id, &err), &err);
    CHECK_OK(store_stage_part(store, &staged, &err), &err);
    CHECK_OK(store_stage_write(staged, STR("p"), &err), &err);
    CHECK_OK(store_stage_finish(staged, &err), &err);
    CHECK_OK(store_upload_part(store, BUCKET, upload->key, &c->complete.id, &c->part, &staged, &err), &err);
    c->op = (CommitOp){ .kind = OP_PUT, .complete = &c->complete, .record.upload = c->complete.id,
                        .record.info = { .bucket = BUCKET, .key = upload->key } };
    c->request = (Request){ .ops = &c->op, .count = 1, .err = &c->err, .next = i > 0 ? &all[i - 1].request : NULL };
}

static const BackendOps *inner_ops;
static size_t appends;

static Code append_count(Backend *backend, JournalRecord *records, size_t count, Err *err)
{
    appends++;
    return inner_ops->append(backend, records, count, err);
}

/* Also when they end uploads that began with as many and as long fields and tags as there can be: on a full disk a second
 * append could fail behind the first one. */
TEST(store_appends_completions_of_a_group_at_once)
{
    OsSim *sim AUTO(os_sim_free) = os_sim_new(1);
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    Completion *all = arena_array(&arena, Completion, COMPLETIONS);
    StoreOptions options = { .index = "memory", .dir = "/s", .segment_bytes = 24 << 20 };
    StoreUpload upload = { .bucket = BUCKET, .meta_count = STORE_META_MAX, .tag_count = STORE_TAGS_MAX };
    upload.meta = pairs_longest(&arena, STORE_META_MAX, STORE_META_NAME_MAX, STORE_META_VALUE_MAX);
    upload.tags = pairs_longest(&arena, STORE_TAGS_MAX, STORE_TAG_KEY_MAX, STORE_TAG_VALUE_MAX);
    CHECK_OK(store_open(os_sim_os(sim), &options, &store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    for (size_t i = 0; i < COMPLETIONS; i++) {
        upload.key = str_format(&arena, "k%zu", i);
        completion_wait(store, all, i, &upload);
    }
    static BackendOps ops;
    ops = *(inner_ops = store->backend_ops);
    ops.append = append_count;
    store->backend_ops = &ops;
    mutex_lock(&store->mutex);
    store->queue_first = &all[COMPLETIONS - 1].request;
    store->queue_last = &all[0].request;
    size_t groups = 0;
    for (; store->queue_first; groups++)
        store_lead(store);
    mutex_unlock(&store->mutex);
    store->backend_ops = inner_ops;
    CHECK(groups < COMPLETIONS);
    CHECK_INT(appends, groups);
    for (size_t i = 0; i < COMPLETIONS; i++)
        CHECK_OK(all[i].request.code, &all[i].err);
}
