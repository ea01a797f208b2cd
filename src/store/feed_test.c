/* Covers commit_stats.c, and feed.c: what a change says, waiting, giving back, and that nothing a reader has not read is
 * lost: not by compaction, not with the index, not by a restart. */
#include "store/store_priv.h"

#include "base/test.h"
#include "os/thread.h"
#include "store/store_conformance.h"
#include "store/store_fixture.h"
#include "store/upload.h"

#include <stdio.h>
#include <string.h>

#define BUCKET STR("feeds")

static const char *kept_index(void)
{
    return fixture_has_rocksdb ? "rocksdb" : "memory";
}

static Code feed_open_bound(const char *index, uint64_t journal_bytes, Store **store, Err *err)
{
    static char dir[OS_PATH_MAX];
    snprintf(dir, sizeof dir, "%s/store", test_dir());
    StoreOptions options = { .index = index, .dir = dir, .segment_bytes = 1 << 20, .trash_seconds = -1,
                             .feed_journal_bytes = journal_bytes };
    return store_open(os_real(), &options, store, err);
}

static Code feed_open(const char *index, Store **store, Err *err)
{
    return feed_open_bound(index, 0, store, err);
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
    CHECK_OK(feed_open(kept_index(), &store, &err), &err);
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
    CHECK_OK(feed_open(kept_index(), &store, &err), &err);
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
    CHECK_OK(feed_open(kept_index(), &store, &err), &err);
    CHECK_INT(changes_of(store, GIVEN, &arena, &changes), PUTS - GIVEN + 2);
    if (!str_eq(str_z(kept_index()), STR("memory")))
        CHECK_CODE(store_feed_read(store, 0, 0, &arena, &changes, &count, &err), E_GONE);
    store_free(&store);
    CHECK_OK(feed_open("memory", &store, &err), &err); /* the journal still has all */
    CHECK_INT(changes_of(store, GIVEN, &arena, &changes), PUTS - GIVEN + 2);
}

/* An index whose next batch is looked at right behind it, before the store says that it is there. */
static const IndexOps *inner_ops;
static Store *looked_at;
static Code code_behind;

static Code apply_and_look(Index *index, const IndexWrite *writes, size_t count, Err *err)
{
    Arena arena AUTO(arena_done) = { 0 };
    StoreChange *changes;
    TRY(inner_ops->apply(index, writes, count, err));
    code_behind = store_feed_read(looked_at, 0, 0, &arena, &changes, &count, NULL);
    return E_OK;
}

TEST(feed_says_that_changes_are_gone_before_they_are)
{
    enum { PUTS = 400 };
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    CHECK_OK(feed_open("memory", &store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    for (int i = 1; i < PUTS; i++)
        CHECK_OK(pattern_put(store, BUCKET, str_format(&arena, "k%d", i), 10, 1, &err), &err);
    store_feed_release(store, PUTS);
    static IndexOps ops;
    ops = *(inner_ops = store->index_ops);
    ops.apply = apply_and_look;
    looked_at = store;
    store->index_ops = &ops;
    CHECK_OK(store_delete(store, BUCKET, STR("k1"), &err), &err);
    store->index_ops = inner_ops;
    CHECK_INT(code_behind, E_GONE);
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

/* Changes of every kind, of which the last overwrites have taken the bytes away. */
static void all_kinds(Store *store)
{
    Err err;
    StoreTag tag = { STR("t"), STR("1") };
    StoreDeleted deleted;
    ObjectInfo info;
    Arena arena AUTO(arena_done) = { 0 };
    CHECK_OK(pattern_put(store, BUCKET, STR("tagged"), 10, 1, &err), &err);
    CHECK_OK(store_set_tags(store, BUCKET, STR("tagged"), 0, &tag, 1, &err), &err);
    CHECK_OK(store_head(store, BUCKET, STR("tagged"), &arena, &info, &err), &err);
    CHECK_OK(store_set_trust(store, BUCKET, STR("tagged"), info.sequence, TRUST_CHECKED, &err), &err);
    CHECK_OK(store_delete(store, BUCKET, STR("tagged"), &err), &err);
    CHECK_OK(store_bucket_create(store, STR("counted"), &err), &err);
    CHECK_OK(store_bucket_set_versioning(store, STR("counted"), VERSIONING_ENABLED, &err), &err);
    CHECK_OK(pattern_put(store, STR("counted"), STR("k"), 200000, 1, &err), &err);
    CHECK_OK(store_delete_many(store, &(StoreDelete){ .bucket = STR("counted"), .key = STR("k") }, 1, &deleted, &err),
             &err);
    for (int i = 0; i < 2; i++) { /* the marker, then the version below it */
        StoreListQuery query = { .bucket = STR("counted"), .versions = true };
        StoreListPage page;
        CHECK_OK(store_list(store, &query, &arena, &page, &err), &err);
        StoreDelete newest = { .bucket = STR("counted"), .key = STR("k"), .sequence = page.objects[0].sequence };
        CHECK_OK(store_delete_many(store, &newest, 1, &deleted, &err), &err);
    }
    CHECK_OK(store_bucket_delete(store, STR("counted"), &err), &err);
}

/* As it was made again, and as it was. */
static void changes_equal(const StoreChange *a, const StoreChange *b, Arena *arena)
{
    CHECK_INT(a->sequence, b->sequence);
    CHECK(a->kind == b->kind && a->time_us == b->time_us && a->of_sequence == b->of_sequence);
    CHECK_INT(a->size_bytes, b->size_bytes);
    CHECK_STR(a->bucket, b->bucket);
    CHECK_STR(a->key, b->key);
    CHECK_STR(object_etag(arena, &a->object), object_etag(arena, &b->object));
    CHECK_STR(a->object.content_type, b->object.content_type);
    CHECK(a->object.delete_marker == b->object.delete_marker && a->object.has_sha256 == b->object.has_sha256);
    CHECK(memcmp(a->object.sha256, b->object.sha256, sizeof a->object.sha256) == 0);
    CHECK_INT(a->object.tag_count, b->object.tag_count);
}

/* A reader that stands still keeps its changes, not the bytes around them: not in the journal, and the index may be
 * lost on top of that. */
TEST(feed_of_a_reader_that_stands_still)
{
    enum { ROUNDS = 4, PUTS = 100, KINDS = 10, MIB = 1 << 20 };
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    StoreChange *before, *after;
    StoreFeedState state;
    StoreUsage usage;
    size_t freed, count = 0;
    CHECK_OK(feed_open_bound("memory", 3 * MIB, &store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    store_feed_release(store, 0);
    for (int round = 0; round < ROUNDS; round++) { /* 6 MB each */
        all_kinds(store);
        overwrite(store, PUTS);
        CHECK_OK(store_compact(store, NULL, &freed, &err), &err);
        CHECK(freed > 0);
        store_feed_state(store, &state);
        CHECK(state.journal_bytes > 0 && state.journal_bytes <= 3 * MIB);
        CHECK_INT(state.unread, store_sequence(store));
        CHECK_OK(store_usage(store, &usage, &err), &err);
        CHECK(usage.journal_bytes <= 6 * MIB); /* and what is no segment's that could go */
        count = changes_of(store, 0, &arena, &before);
        CHECK_INT(count, (size_t)((round + 1) * (PUTS + KINDS) + 1));
        store_free(&store);
        CHECK_OK(feed_open_bound("memory", 3 * MIB, &store, &err), &err); /* the index is lost */
        store_feed_release(store, 0);
        CHECK_INT(changes_of(store, 0, &arena, &after), count);
        for (size_t i = 0; i < count; i++)
            changes_equal(&after[i], &before[i], &arena);
    }
    overwrite(store, PUTS);
    store_feed_release(store, store_sequence(store));
    CHECK_OK(store_compact(store, NULL, &freed, &err), &err);
    store_feed_state(store, &state);
    CHECK(freed > 0 && state.journal_bytes == 0 && state.unread == 0);
    store_free(&store);
    CHECK_OK(feed_open_bound("memory", 3 * MIB, &store, &err), &err);
    CHECK(changes_of(store, 0, &arena, &after) < 2 * PUTS); /* what everybody has is not said again */
    CHECK(pattern_is(store, BUCKET, STR("hot"), 60000, PUTS - 1));
}

/* Changes without bytes: they are not written again and again for the sake of nothing. */
/* How many segments many looks of the compaction free, under a reader that stands still. */
static size_t freed_by_looks(const char *name, int key_len)
{
    enum { PUTS = 12000, LOOKS = 20 };
    char dir[OS_PATH_MAX];
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    size_t freed, all = 0;
    snprintf(dir, sizeof dir, "%s/%s", test_dir(), name);
    CHECK_OK(store_open(os_real(), &(StoreOptions){ .index = "memory", .dir = dir, .segment_bytes = 1 << 20,
                                                    .feed_journal_bytes = 1, .trash_seconds = -1 }, &store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    store_feed_release(store, 0);
    for (int i = 0; i < PUTS; i += 100) {
        StorePut puts[100];
        for (int k = 0; k < 100; k++) {
            puts[k] = (StorePut){ .bucket = BUCKET, .key = str_format(&arena, "%0*d", key_len, k) };
            CHECK_OK(store_stage(store, &puts[k].take_staged, &err), &err);
            CHECK_OK(store_stage_finish(puts[k].take_staged, &err), &err);
        }
        CHECK_OK(store_publish(store, puts, 100, NULL, &err), &err);
    }
    for (int i = 0; i < LOOKS; i++) {
        CHECK_OK(store_compact(store, NULL, &freed, &err), &err);
        all += freed;
    }
    return all;
}

TEST(feed_of_small_changes_is_not_written_again_all_the_time)
{
    CHECK(freed_by_looks("short", 4) <= 6); /* 2.4 MB in all */
    CHECK(freed_by_looks("long", 900) <= 30); /* 14 MB, and what is said again once */
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
