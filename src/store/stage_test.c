/* Covers stage.c where bytes are lent, and commit.c, later.c, plan.c, usage.c, index_rocksdb.c where a group has many
 * puts: they are looked up by one cursor and written in the order of their keys. */
#include "store/store_priv.h"

#include "base/test.h"
#include "store/store_conformance.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUCKET STR("staged")

static void opened(const char *index, Store **ret_store)
{
    static char dir[OS_PATH_MAX];
    Err err;
    snprintf(dir, sizeof dir, "%s/store", test_dir());
    StoreOptions options = { .index = index, .dir = dir, .segment_bytes = 8 << 20 };
    CHECK_OK(store_open(os_real(), &options, ret_store, &err), &err);
}

static void published(Store *store, Str key, StagedObject *take_staged)
{
    Err err;
    StorePut put = { .bucket = BUCKET, .key = key, .take_staged = take_staged };
    CHECK_OK(store_publish(store, &put, 1, NULL, &err), &err);
}

/* Lent in `pieces` of the bytes, the first one as they are, the others written behind it. */
static void lend_check(Store *store, size_t len, size_t pieces)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    StagedObject *staged = NULL;
    uint8_t digest[SHA256_LEN];
    Str key = str_format(&arena, "of-%zu-%zu", len, pieces);
    char *bytes = arena_alloc(&arena, len + 1);
    pattern_fill(bytes, len, 7, 0);
    sha256_of(str_of(bytes, len), digest);
    CHECK_OK(store_stage(store, &staged, &err), &err);
    store_stage_expect(staged, len);
    CHECK_OK(store_stage_lend(staged, str_of(bytes, len / pieces), &err), &err);
    CHECK_OK(store_stage_write(staged, str_of(bytes + len / pieces, len - len / pieces), &err), &err);
    CHECK_OK(store_stage_finish(staged, &err), &err);
    CHECK_INT(store_stage_size(staged), len);
    CHECK(memcmp(store_stage_sha256(staged), digest, sizeof digest) == 0);
    published(store, key, staged);
    memset(bytes, 0, len); /* the lender's again */
    CHECK(pattern_is(store, BUCKET, key, len, 7));
}

TEST(stage_lends_what_stays)
{
    Store *store AUTO(store_free) = NULL;
    Err err;
    StagedObject *staged = NULL;
    opened("memory", &store);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    static const size_t lens[] = { 1, 63, 64, 1000, 16384, STORE_INLINE_MAX, STORE_INLINE_MAX + 1 };
    for (size_t i = 0; i < ARRAY_LEN(lens); i++)
        for (size_t pieces = 1; pieces <= 3 && pieces <= lens[i]; pieces++)
            lend_check(store, lens[i], pieces);
    CHECK_OK(store_stage(store, &staged, &err), &err);
    CHECK_OK(store_stage_lend(staged, STR("never published"), &err), &err);
    store_stage_abort(&staged);
    CHECK_OK(store_stage(store, &staged, &err), &err);
    CHECK_OK(store_stage_finish(staged, &err), &err);
    CHECK_CODE(store_stage_lend(staged, STR("too late"), &err), E_INVALID);
    store_stage_abort(&staged);
    CHECK_INT(atomic_load(&store->staged), 0);
}

enum { KEYS = 40, ROUNDS = 3 };

typedef struct Over {
    Mutex mutex;
    Cond changed;
    size_t count;
} Over;

static void over(StorePublication *publication)
{
    Over *o = publication->arg;
    MUTEX_HELD(&o->mutex);
    o->count += publication->code == E_OK;
    cond_signal(&o->changed);
}

/* The keys of one round, as no order has them. */
static Str key_of(Arena *arena, size_t i)
{
    return str_format(arena, "k%03zu", i * 17 % KEYS);
}

/* All rounds in one group: each key is put by each, over what was there before. */
static void group_put(Store *store, Arena *arena, Over *o)
{
    Err err;
    StorePublication *all = arena_array(arena, StorePublication, ROUNDS * KEYS);
    mutex_lock(&store->mutex);
    store->leading = true; /* nobody takes what is queued */
    mutex_unlock(&store->mutex);
    for (size_t i = 0; i < ROUNDS * KEYS; i++) {
        char *bytes = arena_alloc(arena, 100 + i);
        StagedObject *staged;
        pattern_fill(bytes, 100 + i, i, 0);
        CHECK_OK(store_stage(store, &staged, &err), &err);
        CHECK_OK(store_stage_lend(staged, str_of(bytes, 100 + i), &err), &err);
        CHECK_OK(store_stage_finish(staged, &err), &err);
        all[i] = (StorePublication){ .put = { .take_staged = staged, .bucket = BUCKET, .key = key_of(arena, i % KEYS) },
                                     .done = over, .arg = o, .md5_wanted = true };
        CHECK_OK(store_publish_later(store, &all[i], arena, &err), &err);
    }
    mutex_lock(&store->mutex);
    store->leading = false;
    cond_signal(&store->asked);
    mutex_unlock(&store->mutex);
    mutex_lock(&o->mutex);
    while (o->count < ROUNDS * KEYS)
        cond_wait(&o->changed, &o->mutex);
    mutex_unlock(&o->mutex);
}

static void group_check(Store *store, Arena *arena)
{
    Err err;
    StoreBucket bucket;
    uint64_t bytes = 0;
    for (size_t i = 0; i < KEYS; i++) {
        size_t last = (ROUNDS - 1) * KEYS + i;
        CHECK(pattern_is(store, BUCKET, key_of(arena, i), 100 + last, last));
        bytes += 100 + last;
    }
    CHECK_OK(store_bucket_get(store, BUCKET, arena, &bucket, &err), &err);
    CHECK_INT(bucket.objects, KEYS);
    CHECK_INT(bucket.versions, KEYS);
    CHECK_INT(bucket.bytes, bytes);
}

TEST(group_of_many_puts_of_few_keys)
{
    static const char *const indexes[] = { "memory", "rocksdb" };
    for (size_t i = 0; i < ARRAY_LEN(indexes); i++) {
        Store *store;
        Err err;
        Arena arena AUTO(arena_done) = { 0 };
        Over o = { 0 };
        mutex_init(&o.mutex);
        cond_init(&o.changed);
        opened(indexes[i], &store);
        if (i == 0)
            CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
        for (size_t key = 0; key < KEYS; key += 2) /* half of them are there */
            CHECK_OK(pattern_put(store, BUCKET, key_of(&arena, key), 50, 1000, &err), &err);
        group_put(store, &arena, &o);
        group_check(store, &arena);
        store_free(&store);
        opened(indexes[i], &store);
        group_check(store, &arena);
        store_free(&store);
        cond_done(&o.changed);
        mutex_done(&o.mutex);
    }
}

static void over_any(StorePublication *publication)
{
    Over *o = publication->arg;
    MUTEX_HELD(&o->mutex);
    o->count++;
    cond_signal(&o->changed);
}

enum { SAID = 30 };

/* Every third says another SHA-256 than its bytes have: it is refused alone, with what they have, and nothing is there. */
TEST(group_refuses_bytes_of_another_sha256)
{
    Store *store AUTO(store_free) = NULL;
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Over o = { 0 };
    StorePublication *all = arena_array(&arena, StorePublication, SAID);
    uint8_t real[SAID][SHA256_LEN], said[SAID][SHA256_LEN];
    mutex_init(&o.mutex);
    cond_init(&o.changed);
    opened("memory", &store);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    for (size_t i = 0; i < SAID; i++) {
        char *bytes = arena_alloc(&arena, 100 * i + 1);
        StagedObject *staged;
        pattern_fill(bytes, 100 * i, i, 0);
        sha256_of(str_of(bytes, 100 * i), real[i]);
        memcpy(said[i], real[i], SHA256_LEN);
        said[i][31] ^= i % 3 == 0;
        CHECK_OK(store_stage(store, &staged, &err), &err);
        store_stage_unhashed(staged);
        CHECK_OK(store_stage_lend(staged, str_of(bytes, 100 * i), &err), &err);
        CHECK_OK(store_stage_finish(staged, &err), &err);
        all[i] = (StorePublication){ .put = { .take_staged = staged, .bucket = BUCKET, .key = str_format(&arena, "s%zu", i) },
                                     .done = over_any, .arg = &o, .sha256_wanted = said[i] };
        CHECK_OK(store_publish_later(store, &all[i], &arena, &err), &err);
    }
    mutex_lock(&o.mutex);
    while (o.count < SAID)
        cond_wait(&o.changed, &o.mutex);
    mutex_unlock(&o.mutex);
    for (size_t i = 0; i < SAID; i++) {
        ObjectInfo info;
        bool wrong = i % 3 == 0;
        CHECK_INT(all[i].code, wrong ? E_INVALID : E_OK);
        CHECK_INT(all[i].sha256_differs, wrong);
        CHECK(memcmp(all[i].sha256, real[i], SHA256_LEN) == 0);
        CHECK_INT(store_head(store, BUCKET, all[i].put.key, &arena, &info, NULL), wrong ? E_NOT_FOUND : E_OK);
        CHECK(wrong || (info.has_sha256 && pattern_is(store, BUCKET, all[i].put.key, 100 * i, i)));
        store_stage_abort(&all[i].put.take_staged);
    }
    cond_done(&o.changed);
    mutex_done(&o.mutex);
}

/* Of one key the last write of a batch counts, whichever it is. */
TEST(index_batches_keep_the_order_of_a_key)
{
    static const IndexOps *const kinds[] = { &index_memory, &index_rocksdb };
    static const Str keys[] = { STR_INIT("z"), STR_INIT("a"), STR_INIT("z"), STR_INIT("m"), STR_INIT("a") };
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        Index *index;
        IndexCursor *cursor;
        Err err;
        bool there;
        IndexWrite writes[ARRAY_LEN(keys)];
        char dir[OS_PATH_MAX];
        snprintf(dir, sizeof dir, "%s/index", test_dir());
        CHECK_OK(kinds[i]->open(os_real(), dir, 0, true, &index, &err), &err);
        for (size_t w = 0; w < ARRAY_LEN(keys); w++)
            writes[w] = (IndexWrite){ .key = keys[w], .value = str_of(&"01234"[w], 1), .remove = w == 4 };
        CHECK_OK(kinds[i]->apply(index, writes, ARRAY_LEN(keys), &err), &err);
        CHECK_OK(kinds[i]->cursor_open(index, false, &cursor, &err), &err);
        CHECK_OK(kinds[i]->cursor_seek(cursor, STR("a"), &there, &err), &err);
        CHECK(there && str_eq(kinds[i]->cursor_key(cursor), STR("m")));
        CHECK_OK(kinds[i]->cursor_next(cursor, &there, &err), &err);
        CHECK(there && str_eq(kinds[i]->cursor_key(cursor), STR("z")) && str_eq(kinds[i]->cursor_value(cursor), STR("2")));
        CHECK_OK(kinds[i]->cursor_next(cursor, &there, &err), &err);
        CHECK(!there);
        kinds[i]->cursor_close(cursor);
        kinds[i]->close(index);
    }
}
