/* Covers commit_stats.c, and feed.c: what a change says, waiting, giving back, and that nothing a reader has not read is
 * lost: not by compaction, not with the index, not by a restart. */
#include "store/store_keep.h"

#include "base/test.h"
#include "os/thread.h"
#include "store/store_conformance.h"
#include "store/upload.h"

#include <stdio.h>
#include <string.h>

#define BUCKET STR("feeds")

#if defined(__SANITIZE_THREAD__)
static const char *const kept_index = "memory"; /* RocksDB is not instrumented */
#else
static const char *const kept_index = "rocksdb";
#endif

static Code feed_open(const char *index, Store **store, Err *err)
{
    static char dir[OS_PATH_MAX];
    snprintf(dir, sizeof dir, "%s/store", test_dir());
    StoreOptions options = { .index = index, .dir = dir, .segment_bytes = 1 << 20, .trash_seconds = -1 };
    return store_open(os_real(), &options, store, err);
}

static size_t changes_of(Store *store, uint64_t after, Arena *arena, StoreChange **ret_changes)
{
    Err err;
    size_t count = 0;
    CHECK_OK(store_feed_read(store, after, 0, arena, ret_changes, &count, &err), &err);
    return count;
}

TEST(feed_says_what_was_put)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    CHECK_OK(feed_open(kept_index, &store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    CHECK_OK(store_bucket_set_versioning(store, BUCKET, VERSIONING_ENABLED, &err), &err);
    StoreTag tags[] = { { STR("source"), STR("skies") }, { STR("consent"), STR("a,b") } };
    uint8_t md5[16] = { 0xab, 0xcd };
    StorePut put = { .bucket = BUCKET, .key = STR("k"), .content_type = STR("text/csv"), .tags = tags,
                     .tag_count = 2, .md5 = md5 };
    CHECK_OK(store_put(store, &put, STR("12345"), NULL, &err), &err);
    CHECK_OK(store_set_tags(store, BUCKET, STR("k"), 3, tags, 1, &err), &err);
    CHECK_OK(store_delete_many(store, &(StoreDelete){ .bucket = BUCKET, .key = STR("k") }, 1,
                               &(StoreDeleted){ 0 }, &err), &err);
    StoreDelete marker = { .bucket = BUCKET, .key = STR("k"), .sequence = 5 };
    CHECK_OK(store_delete_many(store, &marker, 1, &(StoreDeleted){ 0 }, &err), &err);
    for (int pass = 0; pass < 2; pass++) { /* the second: made again from the journal */
        StoreChange *c;
        CHECK_INT(changes_of(store, 2, &arena, &c), 4);
        CHECK_INT(c[0].kind, CHANGE_PUT);
        CHECK_INT(c[0].object.sequence, 3);
        CHECK_INT(c[0].object.size_bytes, 5);
        CHECK_STR(c[0].object.content_type, STR("text/csv"));
        CHECK_STR(object_etag(&arena, &c[0].object), STR("abcd0000000000000000000000000000"));
        CHECK(c[0].object.has_sha256 && c[0].object.sha256[0] == 0x59);
        CHECK_INT(c[0].object.tag_count, 2);
        CHECK_STR(c[0].object.tags[1].value, STR("a,b"));
        CHECK_INT(c[1].kind, CHANGE_TAGS);
        CHECK_INT(c[1].object.sequence, 3);
        CHECK_INT(c[1].object.tag_count, 1);
        CHECK_INT(c[2].kind, CHANGE_DELETE);
        CHECK(c[2].object.delete_marker && c[2].of_sequence == 0);
        CHECK_INT(c[3].kind, CHANGE_DELETE);
        CHECK(c[3].of_sequence == 5 && !c[3].object.delete_marker);
        store_free(&store);
        CHECK_OK(feed_open("memory", &store, &err), &err);
    }
}

typedef struct Waiter {
    Store *store;
    uint64_t after;
    bool stop, moved;
} Waiter;

static void *waiter_run(void *arg)
{
    Waiter *waiter = arg;
    waiter->moved = store_feed_wait(waiter->store, waiter->after, -1, &waiter->stop);
    return NULL;
}

TEST(feed_wakes_who_waits)
{
    Err err;
    Thread thread = { 0 };
    Store *store AUTO(store_free) = NULL;
    CHECK_OK(store_open(os_real(), &(StoreOptions){ .backend = "memory", .index = "memory" }, &store, &err),
             &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    CHECK(store_feed_wait(store, 0, -1, NULL));   /* it is there already */
    CHECK(!store_feed_wait(store, 1, 1000, NULL)); /* nothing comes */
    Waiter waiter = { .store = store, .after = 1 };
    CHECK_OK(thread_start(&thread, "waiter", waiter_run, &waiter, &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("k"), 7, 1, &err), &err);
    thread_join(&thread);
    CHECK(waiter.moved);
    waiter = (Waiter){ .store = store, .after = 2 };
    CHECK_OK(thread_start(&thread, "waiter", waiter_run, &waiter, &err), &err);
    __atomic_store_n(&waiter.stop, true, __ATOMIC_RELEASE);
    store_feed_wake(store);
    thread_join(&thread);
    CHECK(!waiter.moved);
}

TEST(feed_forgets_what_was_given_back)
{
    enum { PUTS = 700, GIVEN = 600 };
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    StoreChange *changes;
    size_t count;
    CHECK_OK(feed_open(kept_index, &store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    for (int i = 1; i < PUTS; i++)
        CHECK_OK(pattern_put(store, BUCKET, str_format(&arena, "k%d", i), 10, 1, &err), &err);
    store_feed_release(store, GIVEN);
    CHECK_INT(changes_of(store, 0, &arena, &changes), PUTS); /* the space follows later */
    CHECK_OK(store_delete(store, BUCKET, STR("k1"), &err), &err);
    CHECK_CODE(store_feed_read(store, GIVEN - 1, 0, &arena, &changes, &count, &err), E_GONE);
    CHECK_INT(changes_of(store, GIVEN, &arena, &changes), PUTS - GIVEN + 1);
    CHECK_INT(changes[0].sequence, GIVEN + 1);
    store_feed_release(store, GIVEN - 100); /* never back */
    CHECK_OK(store_delete(store, BUCKET, STR("k2"), &err), &err);
    CHECK_INT(changes_of(store, GIVEN, &arena, &changes), PUTS - GIVEN + 2);
    store_free(&store);
    CHECK_OK(feed_open(kept_index, &store, &err), &err);
    CHECK_INT(changes_of(store, GIVEN, &arena, &changes), PUTS - GIVEN + 2);
    if (!str_eq(str_z(kept_index), STR("memory")))
        CHECK_CODE(store_feed_read(store, 0, 0, &arena, &changes, &count, &err), E_GONE);
    store_free(&store);
    CHECK_OK(feed_open("memory", &store, &err), &err); /* the journal still has all */
    CHECK_INT(changes_of(store, GIVEN, &arena, &changes), PUTS - GIVEN + 2);
}

/* Overwrites of one key: of a bucket that keeps no versions, so their bytes are dead at once. */
static void overwrite(Store *store, uint64_t count)
{
    Err err;
    for (uint64_t i = 0; i < count; i++)
        CHECK_OK(pattern_put(store, BUCKET, STR("hot"), 60000, i, &err), &err);
}

TEST(feed_keeps_what_a_reader_has_not_read)
{
    enum { PUTS = 100, READ = 5 };
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    StoreChange *changes;
    size_t freed;
    CHECK_OK(feed_open("memory", &store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    store_feed_release(store, 0); /* there is a reader */
    overwrite(store, PUTS);       /* 6 MB in segments of 1 MB */
    store_feed_release(store, READ);
    CHECK_OK(store_compact(store, NULL, &freed, &err), &err);
    CHECK_INT(freed, 0);
    store_free(&store);
    CHECK_OK(feed_open("memory", &store, &err), &err); /* the index is lost */
    CHECK_INT(changes_of(store, READ, &arena, &changes), PUTS + 1 - READ);
    for (size_t i = 0; i < PUTS + 1 - READ; i++)
        CHECK_INT(changes[i].sequence, READ + 1 + i);
    store_feed_release(store, PUTS - 10);
    CHECK_OK(store_compact(store, NULL, &freed, &err), &err);
    CHECK(freed >= 3);
    store_free(&store);
    CHECK_OK(feed_open("memory", &store, &err), &err);
    CHECK_INT(changes_of(store, PUTS - 10, &arena, &changes), 11);
    CHECK(pattern_is(store, BUCKET, STR("hot"), 60000, PUTS - 1));
}

TEST(commits_are_counted)
{
    Err err;
    Store *store AUTO(store_free) = NULL;
    StoreCommitStats before, after;
    CHECK_OK(store_open(os_real(), &(StoreOptions){ .backend = "memory", .index = "memory" }, &store, &err),
             &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    store_commit_stats(store, &before);
    for (int i = 0; i < 5; i++)
        CHECK_OK(pattern_put(store, BUCKET, STR("k"), 1000, 1, &err), &err);
    CHECK_CODE(store_bucket_create(store, BUCKET, &err), E_EXISTS); /* nothing is appended */
    store_commit_stats(store, &after);
    CHECK_INT(after.groups - before.groups, 5);
    CHECK_INT(after.requests - before.requests, 5);
    CHECK(after.bytes - before.bytes > 5000);
    uint64_t timed = 0;
    for (size_t i = 0; i <= STORE_SYNC_BUCKETS; i++)
        timed += after.sync[i];
    CHECK_INT(timed, after.groups);
}
