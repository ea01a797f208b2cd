/* Covers compact.c and segments.c: a segment full of what lives does not pin what is dead behind it. And what of an
 * index is made again from the journal: random work in a bucket that counts versions, then suspends them, with uploads,
 * tags and compactions between; the index is thrown away, everything is compared. */
#include "store/store_priv.h"
#include "store/store_trash.h"

#include "base/test.h"
#include "os/os_sim.h"
#include "store/store_conformance.h"

#include <string.h>

enum { BODY_LEN = 60000, LARGE_LEN = 140000, PART_LEN = 3000, KEYS = 6, STEPS = 520, TRASH_SECONDS = 600 };

static const Str buckets[] = { STR_INIT("plain"), STR_INIT("counted") };

static Code compact_open(OsSim *sim, int64_t trash_seconds, Store **store, Err *err)
{
    StoreOptions options = { .index = "memory", .dir = "/s", .segment_bytes = 256 * 1024,
                             .trash_seconds = trash_seconds, .feed_journal_bytes = 1 };
    return store_open(os_sim_os(sim), &options, store, err);
}

static uint64_t journal_bytes(Store *store)
{
    Err err;
    StoreUsage usage = { 0 };
    CHECK_OK(store_usage(store, &usage, &err), &err);
    return usage.journal_bytes;
}

TEST(store_compacts_past_a_segment_that_lives)
{
    OsSim *sim AUTO(os_sim_free) = os_sim_new(1);
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    size_t freed = 0;
    CHECK_OK(compact_open(sim, -1, &store, &err), &err);
    CHECK_OK(store_bucket_create(store, buckets[0], &err), &err);
    for (uint64_t i = 0; i < 4; i++) /* the oldest segment, full */
        CHECK_OK(pattern_put(store, buckets[0], str_format(&arena, "old-%d", (int)i), BODY_LEN, i, &err), &err);
    CHECK_OK(store_compact(store, NULL, &freed, &err), &err);
    CHECK_INT(freed, 0);
    for (int pass = 0; pass < 3; pass++) {
        for (uint64_t i = 0; i < 40; i++)
            CHECK_OK(pattern_put(store, buckets[0], STR("hot"), BODY_LEN, 100 + i, &err), &err);
        CHECK_OK(store_compact(store, NULL, &freed, &err), &err);
        CHECK(freed >= 8);
        CHECK(journal_bytes(store) <= 5 * 256 * 1024);
    }
    for (int pass = 0; pass < 3; pass++)
        CHECK_OK(store_compact(store, NULL, &freed, &err), &err);
    CHECK_INT(freed, 0); /* nothing is moved for nothing */
    store_free(&store);
    CHECK_OK(compact_open(sim, -1, &store, &err), &err);
    for (uint64_t i = 0; i < 4; i++)
        CHECK(pattern_is(store, buckets[0], str_format(&arena, "old-%d", (int)i), BODY_LEN, i));
    CHECK(pattern_is(store, buckets[0], STR("hot"), BODY_LEN, 139));
}

/* Deletes are records too: once every reader of the feed has them, compaction lets them go. */
TEST(store_compaction_ends_deletes_that_everybody_has_read)
{
    enum { ROUNDS = 6, DELETES = 700 };
    OsSim *sim AUTO(os_sim_free) = os_sim_new(2);
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    size_t freed = 0;
    CHECK_OK(compact_open(sim, -1, &store, &err), &err);
    CHECK_OK(store_bucket_create(store, buckets[0], &err), &err);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < DELETES; i++) {
            Str key = str_format(&arena, "%0200d", i);
            CHECK_OK(pattern_put(store, buckets[0], key, 10, 1, &err), &err);
            CHECK_OK(store_delete(store, buckets[0], key, &err), &err);
        }
        store_feed_release(store, store_sequence(store));
        for (int pass = 0; pass < 4; pass++) {
            CHECK_OK(pattern_put(store, buckets[0], STR("hot"), BODY_LEN, 1, &err), &err);
            CHECK_OK(store_compact(store, NULL, &freed, &err), &err);
        }
    }
    CHECK(journal_bytes(store) <= 6 * 256 * 1024); /* a round is about as much; all of them would be 3 MiB */
    store_free(&store);
    CHECK_OK(compact_open(sim, -1, &store, &err), &err);
    StoreUsage usage = { 0 };
    CHECK_OK(store_usage(store, &usage, &err), &err);
    CHECK_INT(usage.objects, 1);
}

/* The same of buckets. */
TEST(store_compaction_ends_deletes_of_buckets_that_everybody_has_read)
{
    enum { ROUNDS = 20, BUCKETS = 600 };
    OsSim *sim AUTO(os_sim_free) = os_sim_new(9);
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    size_t freed = 0, count = 0;
    StoreBucket *found;
    CHECK_OK(compact_open(sim, -1, &store, &err), &err);
    CHECK_OK(store_bucket_create(store, buckets[0], &err), &err);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < BUCKETS; i++) {
            Str name = str_format(&arena, "bucket-with-a-long-name-%032d", round * BUCKETS + i);
            CHECK_OK(store_bucket_create(store, name, &err), &err);
            CHECK_OK(store_bucket_delete(store, name, &err), &err);
        }
        store_feed_release(store, store_sequence(store));
        for (int pass = 0; pass < 4; pass++) {
            CHECK_OK(pattern_put(store, buckets[0], STR("hot"), BODY_LEN, 1, &err), &err);
            CHECK_OK(store_compact(store, NULL, &freed, &err), &err);
        }
    }
    CHECK(journal_bytes(store) <= 3 * 256 * 1024); /* all of the deletes would be 5 */
    store_free(&store);
    CHECK_OK(compact_open(sim, -1, &store, &err), &err);
    CHECK_OK(store_bucket_list(store, &arena, &found, &count, &err), &err);
    CHECK_INT(count, 1);
}

static StorePart part_add(Store *store, Str key, const StoreUploadId *id, uint32_t number)
{
    Err err;
    StagedObject *staged AUTO(store_stage_abort) = NULL;
    StorePart part = { .number = number };
    CHECK_OK(store_stage_part(store, &staged, &err), &err);
    CHECK_OK(store_stage_write(staged, STR("p"), &err), &err);
    CHECK_OK(store_stage_finish(staged, &err), &err);
    CHECK_OK(store_upload_part(store, buckets[0], key, id, &part, &staged, &err), &err);
    return part;
}

static Code trash_visit(void *arg, const JournalRecord *record, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Commit commit;
    size_t *most = arg;
    if (record->type != RECORD_COMMIT)
        return E_OK;
    TRY(commit_decode(record->payload, &tmp, &commit, err));
    if (commit.op_count > 0 && (commit.ops[0].kind == OP_TRASH || commit.ops[0].kind == OP_KEPT))
        *most = MAX(*most, commit.op_count);
    return E_OK;
}

/* All its bytes become trash at once. What says so again comes in records of some size, however many parts it had: a
 * start takes no record of more than STORE_PUBLISH_MAX changes. */
TEST(store_compacts_an_object_of_many_parts_in_groups)
{
    enum { PARTS = 1200, GROUP_MAX = 1000 };
    OsSim *sim AUTO(os_sim_free) = os_sim_new(3);
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    StorePart *parts = arena_array(&arena, StorePart, PARTS);
    StoreUpload upload = { .bucket = buckets[0], .key = STR("parts") };
    StoreComplete complete = { .bucket = buckets[0], .key = upload.key, .parts = parts, .part_count = PARTS };
    uint64_t sequence;
    size_t freed = 0, most = 0;
    CHECK_OK(compact_open(sim, -1, &store, &err), &err);
    CHECK_OK(store_bucket_create(store, buckets[0], &err), &err);
    CHECK_OK(store_upload_create(store, &upload, &complete.id, &err), &err);
    for (uint32_t i = 0; i < PARTS; i++)
        parts[i] = part_add(store, upload.key, &complete.id, i + 1);
    CHECK_OK(store_upload_complete(store, &complete, &sequence, &err), &err);
    CHECK_OK(store_delete(store, buckets[0], upload.key, &err), &err);
    for (int i = 0; i < 12; i++)
        CHECK_OK(pattern_put(store, buckets[0], STR("hot"), BODY_LEN, 1, &err), &err);
    CHECK_OK(store_compact(store, NULL, &freed, &err), &err);
    CHECK(freed > 0);
    CHECK_OK(journal_scan(store->backend_ops->journal(store->backend), 0, UINT64_MAX, trash_visit, &most, &err), &err);
    CHECK(most > 0 && most <= GROUP_MAX);
    store_free(&store);
    CHECK_OK(compact_open(sim, -1, &store, &err), &err);
    StoreUsage usage = { 0 };
    CHECK_OK(store_usage(store, &usage, &err), &err);
    CHECK_INT(usage.trash_objects, 1);
    CHECK_INT(usage.trash_bytes, PARTS);
}

static void put_tagged(Store *store, Str key, size_t value_len)
{
    enum { TAGS = 10 };
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    StoreTag tags[TAGS];
    char *value = arena_array(&arena, char, value_len);
    memset(value, 'v', value_len);
    for (int i = 0; i < TAGS; i++)
        tags[i] = (StoreTag){ str_format(&arena, "tag-%d", i), str_of(value, value_len) };
    StorePut put = { .bucket = buckets[0], .key = key, .tags = tags, .tag_count = TAGS };
    CHECK_OK(store_put(store, &put, STR("x"), NULL, &err), &err);
}

/* What is moved together is one record: tags weigh there too, not only bodies. */
TEST(store_compacts_small_objects_with_many_tags)
{
    enum { OBJECTS = 1000, VALUE_LEN = 900, HOT = 170 };
    OsSim *sim AUTO(os_sim_free) = os_sim_new(4);
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    StoreOptions options = { .index = "memory", .dir = "/s", .segment_bytes = 10 << 20, .trash_seconds = -1 };
    size_t freed = 0;
    CHECK_OK(store_open(os_sim_os(sim), &options, &store, &err), &err);
    CHECK_OK(store_bucket_create(store, buckets[0], &err), &err);
    for (int i = 0; i < OBJECTS; i++)
        put_tagged(store, str_format(&arena, "o-%d", i), VALUE_LEN);
    for (int i = 0; i < HOT; i++)
        CHECK_OK(pattern_put(store, buckets[0], STR("hot"), STORE_INLINE_MAX, 1, &err), &err);
    CHECK_OK(store_compact(store, NULL, &freed, &err), &err);
    CHECK(freed > 0);
}

/* Nothing is moved for nothing: what lives of a record is its tags and fields too. */
TEST(store_leaves_segments_of_tags_that_live)
{
    enum { OBJECTS = 200, VALUE_LEN = 500 };
    OsSim *sim AUTO(os_sim_free) = os_sim_new(5);
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    size_t freed = 0;
    CHECK_OK(compact_open(sim, -1, &store, &err), &err);
    CHECK_OK(store_bucket_create(store, buckets[0], &err), &err);
    for (int i = 0; i < OBJECTS; i++)
        put_tagged(store, str_format(&arena, "o-%d", i), VALUE_LEN);
    for (int pass = 0; pass < 3; pass++) {
        CHECK_OK(store_compact(store, NULL, &freed, &err), &err);
        CHECK_INT(freed, 0);
    }
}

/* The same where there are no bodies: the records of empty objects, of large ones, of markers live too. */
TEST(store_leaves_segments_of_records_that_live)
{
    enum { OBJECTS = 6000 };
    OsSim *sim AUTO(os_sim_free) = os_sim_new(8);
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    size_t freed = 0;
    CHECK_OK(compact_open(sim, -1, &store, &err), &err);
    CHECK_OK(store_bucket_create(store, buckets[0], &err), &err);
    for (int i = 0; i < OBJECTS; i++)
        CHECK_OK(pattern_put(store, buckets[0], str_format(&arena, "o-%d", i), 0, 1, &err), &err);
    for (int pass = 0; pass < 3; pass++) {
        CHECK_OK(store_compact(store, NULL, &freed, &err), &err);
        CHECK_INT(freed, 0);
    }
    for (int i = 0; i < OBJECTS; i++)
        if (i % 8)
            CHECK_OK(store_delete(store, buckets[0], str_format(&arena, "o-%d", i), &err), &err);
    store_feed_release(store, store_sequence(store));
    for (int pass = 0; pass < 4; pass++) {
        CHECK_OK(pattern_put(store, buckets[0], STR("hot"), BODY_LEN, 1, &err), &err); /* trims the feed */
        CHECK_OK(store_compact(store, NULL, &freed, &err), &err);
    }
    CHECK(journal_bytes(store) <= 4 * 256 * 1024);
}

static StoreChange change_at(Store *store, Arena *arena, uint64_t sequence)
{
    Err err;
    StoreChange *changes;
    size_t count = 0;
    CHECK_OK(store_feed_read(store, sequence - 1, 1, arena, &changes, &count, &err), &err);
    return count ? changes[0] : (StoreChange){ 0 };
}

/* A put whose body ends a segment and whose record begins the next: when the body goes, since the object was replaced,
 * readers of the feed still get the change. */
TEST(store_compaction_keeps_the_change_of_a_body_that_goes)
{
    enum { SEGMENT = 256 * 1024, ENDS = 2 * 40 + 8 }; /* headers of the body and of the end of the segment */
    OsSim *sim AUTO(os_sim_free) = os_sim_new(6);
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    size_t freed = 0;
    CHECK_OK(compact_open(sim, -1, &store, &err), &err);
    Journal *journal = store->backend_ops->journal(store->backend);
    CHECK_OK(store_bucket_create(store, buckets[0], &err), &err);
    while (SEGMENT - journal_end(journal) % SEGMENT > 2 * BODY_LEN)
        CHECK_OK(pattern_put(store, buckets[0], STR("hot"), BODY_LEN, 1, &err), &err);
    store_feed_release(store, store_sequence(store));
    uint64_t at = journal_end(journal), sequence = store_sequence(store) + 1;
    CHECK_OK(pattern_put(store, buckets[0], STR("hot"), SEGMENT - at % SEGMENT - ENDS, 2, &err), &err);
    CHECK_INT(journal_end(journal) / SEGMENT, at / SEGMENT + 1);
    for (int i = 0; i < 20; i++)
        CHECK_OK(pattern_put(store, buckets[0], STR("hot"), BODY_LEN, 1, &err), &err);
    CHECK_OK(store_compact(store, NULL, &freed, &err), &err);
    CHECK_INT(change_at(store, &arena, sequence).sequence, sequence);
    store_free(&store);
    CHECK_OK(compact_open(sim, -1, &store, &err), &err);
    CHECK_INT(change_at(store, &arena, sequence).sequence, sequence);
}

/* Its change says the same behind a compaction. */
TEST(store_compaction_leaves_delete_markers_what_they_are)
{
    OsSim *sim AUTO(os_sim_free) = os_sim_new(7);
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    size_t freed = 0;
    CHECK_OK(compact_open(sim, -1, &store, &err), &err);
    CHECK_OK(store_bucket_create(store, buckets[1], &err), &err);
    CHECK_OK(store_bucket_set_versioning(store, buckets[1], VERSIONING_ENABLED, &err), &err);
    CHECK_OK(pattern_put(store, buckets[1], STR("k"), 10, 1, &err), &err);
    CHECK_OK(store_delete(store, buckets[1], STR("k"), &err), &err);
    uint64_t sequence = store_sequence(store);
    CHECK(change_at(store, &arena, sequence).object.delete_marker);
    CHECK_OK(store_bucket_create(store, buckets[0], &err), &err);
    for (int i = 0; i < 20; i++)
        CHECK_OK(pattern_put(store, buckets[0], STR("hot"), BODY_LEN, 1, &err), &err);
    CHECK_OK(store_compact(store, NULL, &freed, &err), &err);
    CHECK(freed > 0 && change_at(store, &arena, sequence).object.delete_marker);
}

/* ---- the property ---- */

enum { OPEN_MAX = 8 };

typedef struct OpenUpload {
    Str bucket;
    char key;
    StoreUploadId id;
    StorePart part; /* the last */
} OpenUpload;

typedef struct Random {
    uint64_t state;
    OpenUpload open[OPEN_MAX]; /* uploads that are ended much later */
    size_t open_count;
} Random;

static uint64_t below(Random *random, uint64_t end)
{
    random->state = random->state * 6364136223846793005u + 1442695040888963407u;
    return (random->state >> 33) % end;
}

/* All rows of the index but those that tell of places in the journal, as text; those of the feed where one reads it
 * that stands still. */
static void rows_text(Store *store, bool feed, Buf *out)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Cursor cursor AUTO(cursor_done) = { 0 };
    CHECK_OK(cursor_init(&cursor, store, &err), &err);
    CHECK_OK(cursor_seek(&cursor, STR_NONE, &err), &err);
    bool first = true;
    for (;; first = false) {
        if (!first)
            CHECK_OK(cursor_next(&cursor, &err), &err);
        if (!cursor.there)
            break;
        Str key = cursor_key(&cursor), value = cursor_value(&cursor);
        char kind = key.ptr[0];
        if (kind == 'g' || kind == 's' || (kind == 'f' && !feed))
            continue;
        if (kind == 'o' || kind == 'd') {
            ObjectRecord record;
            Buf again AUTO(buf_done);
            buf_init(&again, JOURNAL_PAYLOAD_MAX);
            size_t time = kind == 'd' ? sizeof(uint64_t) : 0; /* before the record */
            CHECK_OK(object_decode(str_from(value, time), false, &arena, &record, &err), &err);
            record.at = 0;
            buf_put(&again, str_sub(value, 0, time));
            object_encode(&again, &record);
            value = str_copy(&arena, buf_str(&again));
        }
        buf_put(out, hex_format(&arena, key));
        buf_put_char(out, '=');
        buf_put(out, hex_format(&arena, value));
        buf_put_char(out, '\n');
    }
}

/* What lives in each segment, counted again from the rows. */
static void live_is_counted(Store *store, uint64_t seed)
{
    Err err;
    Plan plan AUTO(plan_done) = { 0 };
    for (int kind = 0; kind < 2; kind++) {
        Cursor cursor AUTO(cursor_done) = { 0 };
        Str first = kind ? STR("d") : STR("o");
        CHECK_OK(cursor_init(&cursor, store, &err), &err);
        CHECK_OK(cursor_seek(&cursor, first, &err), &err);
        while (cursor.there && str_starts(cursor_key(&cursor), first)) {
            Str bucket, key, value = str_from(cursor_value(&cursor), kind ? sizeof(uint64_t) : 0);
            uint64_t sequence;
            ObjectRecord record;
            CHECK_OK(key_object_parse(cursor_key(&cursor), &plan.arena, &bucket, &key, &sequence, &err), &err);
            CHECK_OK(object_decode(value, false, &plan.arena, &record, &err), &err);
            segments_count(&plan, store, &record, key.len, true);
            CHECK_OK(cursor_next(&cursor, &err), &err);
        }
    }
    size_t rows = 0;
    for (const SegmentDelta *delta = plan.segments; delta; delta = delta->next, rows++) {
        size_t at = 0;
        while (at < store->live.len && store->live.items[at].id != delta->id)
            at++;
        if (at == store->live.len || store->live.items[at].bytes != delta->bytes)
            test_failed(__FILE__, __LINE__, "seed %llu: segment %llu has %llu bytes that live, and not as many counted",
                        (unsigned long long)seed, (unsigned long long)delta->id, (unsigned long long)delta->bytes);
    }
    CHECK_INT(rows, store->live.len);
}

static void part_step(Store *store, Random *random, Str bucket, Str key, const StoreUploadId *id, StorePart *part)
{
    static char bytes[PART_LEN];
    Err err;
    StagedObject *staged AUTO(store_stage_abort) = NULL;
    pattern_fill(bytes, PART_LEN, below(random, 100), 0);
    *part = (StorePart){ .number = 1 + (uint32_t)below(random, 3), .md5 = { (uint8_t)below(random, 256) } };
    CHECK_OK(store_stage_part(store, &staged, &err), &err);
    CHECK_OK(store_stage_write(staged, str_of(bytes, 1 + below(random, PART_LEN)), &err), &err);
    CHECK_OK(store_stage_finish(staged, &err), &err);
    CHECK_OK(store_upload_part(store, bucket, key, id, part, &staged, &err), &err);
}

static void upload_end(Store *store, const OpenUpload *open, bool completes)
{
    Err err;
    uint64_t sequence;
    const char key[] = { 'k', open->key };
    StoreComplete complete = { .bucket = open->bucket, .key = str_of(key, sizeof key), .id = open->id,
                               .parts = &open->part, .part_count = 1 };
    if (completes)
        CHECK_OK(store_upload_complete(store, &complete, &sequence, &err), &err);
    else
        CHECK_OK(store_upload_abort(store, complete.bucket, complete.key, &open->id, &err), &err);
}

/* Some are ended at once, some later, some never. */
static void upload_step(Store *store, Random *random, Str bucket, Str key)
{
    Err err;
    StoreUpload upload = { .bucket = bucket, .key = key };
    OpenUpload open = { .bucket = bucket, .key = key.ptr[1] };
    if (random->open_count > 0 && below(random, 2)) {
        OpenUpload *old = &random->open[below(random, random->open_count)];
        upload_end(store, old, below(random, 3) > 0);
        *old = random->open[--random->open_count];
        return;
    }
    CHECK_OK(store_upload_create(store, &upload, &open.id, &err), &err);
    for (uint64_t i = below(random, 4) + 1; i > 0; i--)
        part_step(store, random, bucket, key, &open.id, &open.part);
    if (random->open_count < OPEN_MAX && below(random, 2))
        random->open[random->open_count++] = open;
    else if (below(random, 3))
        upload_end(store, &open, below(random, 3) > 0);
}

/* One of the versions of the key, 0: the key itself. */
static uint64_t version_pick(Store *store, Random *random, Str bucket, Str key)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    StoreListQuery query = { .bucket = bucket, .prefix = key, .versions = true, .limit = 20 };
    StoreListPage page = { 0 };
    CHECK_OK(store_list(store, &query, &arena, &page, &err), &err);
    uint64_t at = below(random, page.object_count + 1);
    return at == page.object_count ? 0 : page.objects[at].sequence;
}

static void tags_step(Store *store, Random *random, Str bucket, Str key)
{
    Arena arena AUTO(arena_done) = { 0 };
    StoreTag tag = { STR("t"), str_format(&arena, "%d", (int)below(random, 1000)) };
    Code code = store_set_tags(store, bucket, key, version_pick(store, random, bucket, key), &tag, 1, NULL);
    CHECK(code == E_OK || code == E_NOT_FOUND || code == E_GONE);
}

static void bucket_step(Store *store, Random *random)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    uint64_t choice = below(random, 4);
    Str value = str_format(&arena, "%d", (int)below(random, 1000));
    if (choice < 2)
        CHECK_OK(store_bucket_set_versioning(store, buckets[1], choice ? VERSIONING_SUSPENDED : VERSIONING_ENABLED,
                                             &err), &err);
    else if (choice == 2)
        CHECK_OK(store_bucket_set_property(store, buckets[0], STR("cors"), value, &err), &err);
    else if (store_bucket_create(store, STR("comes-and-goes"), &err) != E_OK)
        CHECK_OK(store_bucket_delete(store, STR("comes-and-goes"), &err), &err);
}

static void undelete_step(Store *store, Random *random, Str bucket, Str key)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    StoreTrashQuery query = { .bucket = bucket, .prefix = key };
    StoreTrashPage page = { 0 };
    CHECK_OK(store_trash_list(store, &query, &arena, &page, &err), &err);
    uint64_t at = below(random, page.count + 1);
    ObjectInfo info;
    Code code = store_undelete(store, bucket, key, at == page.count ? 0 : page.items[at].object.sequence, &arena, &info,
                               &err);
    CHECK(code == E_OK || code == E_CONFLICT || (code == E_NOT_FOUND && page.count == 0));
}

/* One of four seeds has a reader of the feed that never gives anything back. */
static bool reader_stands(uint64_t seed)
{
    return seed % 4 == 2;
}

/* With an odd seed a reader gives the feed back, so that compaction lets deletes go. */
static void step(OsSim *sim, Store *store, Random *random, uint64_t seed)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    size_t freed;
    StorePurged purged;
    Str bucket = buckets[below(random, 2)], key = str_format(&arena, "k%d", (int)below(random, KEYS));
    uint64_t choice = below(random, 22);
    size_t len = choice == 0 ? LARGE_LEN : choice < 3 ? 0 : (size_t)below(random, BODY_LEN);
    StoreDelete wanted = { .bucket = bucket, .key = key };
    StoreDeleted deleted;
    os_sim_advance_us(sim, (int64_t)below(random, 300) * 1000000);
    if (choice < 10) {
        CHECK_OK(pattern_put(store, bucket, key, len, below(random, 50), &err), &err);
    } else if (choice < 14) {
        wanted.sequence = below(random, 2) ? version_pick(store, random, bucket, key) : 0;
        CHECK_OK(store_delete_many(store, &wanted, 1, &deleted, &err), &err);
    } else if (choice < 16) {
        upload_step(store, random, bucket, key);
    } else if (choice == 16) {
        tags_step(store, random, bucket, key);
    } else if (choice == 17) {
        bucket_step(store, random);
    } else if (choice == 18) {
        if (seed % 2)
            store_feed_release(store, store_sequence(store));
        CHECK_OK(store_compact(store, NULL, &freed, &err), &err);
    } else if (choice < 21) {
        undelete_step(store, random, bucket, key);
    } else {
        CHECK_OK(store_trash_purge(store, NULL, &purged, &err), &err);
    }
}

/* Also of places in the journal and of counts, which rows_text leaves out. */
static void differs(void *arg, const StoreFinding *found)
{
    const uint64_t *seed = arg;
    test_failed(__FILE__, __LINE__, "seed %llu: " STR_FMT "/" STR_FMT ": %s", (unsigned long long)*seed,
                STR_ARG(found->bucket), STR_ARG(found->key), found->text);
}

static void rebuilt_equal(OsSim *sim, Store **store, uint64_t seed, int at)
{
    Err err;
    Buf before AUTO(buf_done), after AUTO(buf_done);
    buf_init(&before, 1 << 24);
    buf_init(&after, 1 << 24);
    rows_text(*store, reader_stands(seed), &before);
    live_is_counted(*store, seed);
    StoreUsage usage, again;
    StoreCompared compared = { 0 };
    CHECK_OK(store_compare(*store, differs, &(uint64_t){ seed }, NULL, &compared, &err), &err);
    CHECK_INT(compared.findings, 0);
    CHECK_OK(store_usage(*store, &usage, &err), &err);
    uint64_t sequence = store_sequence(*store);
    store_free(store);
    CHECK_OK(compact_open(sim, TRASH_SECONDS, store, &err), &err); /* the index in memory is gone: from the journal alone */
    if (reader_stands(seed))
        store_feed_release(*store, 0);
    rows_text(*store, reader_stands(seed), &after);
    live_is_counted(*store, seed);
    CHECK_OK(store_usage(*store, &again, &err), &err);
    CHECK_INT(store_sequence(*store), sequence);
    CHECK_INT(again.objects, usage.objects);
    CHECK_INT(again.object_bytes, usage.object_bytes);
    CHECK_INT(again.trash_bytes, usage.trash_bytes);
    size_t i = 0, line = 0;
    for (; i < MIN(before.len, after.len) && before.ptr[i] == after.ptr[i]; i++)
        line = before.ptr[i] == '\n' ? i + 1 : line;
    if (!str_eq(buf_str(&before), buf_str(&after)))
        test_failed(__FILE__, __LINE__, "seed %llu, step %d: the rebuilt index is another at " STR_FMT "|" STR_FMT,
                    (unsigned long long)seed, at, STR_ARG(str_sub(buf_str(&before), line, i + 60 - line)),
                    STR_ARG(str_sub(buf_str(&after), i, 60)));
    StoreVerified verified = { 0 };
    CHECK_OK(store_verify(*store, true, NULL, NULL, &verified, &err), &err);
    CHECK_INT(verified.findings, 0);
}

/* The record of a beginning goes with the oldest segment while those of the parts stay: an index that is made again
 * from these ends the upload as it was ended, whatever its replay takes at once. */
TEST(store_ends_uploads_whose_beginning_is_compacted_away)
{
    enum { SEED = 1, LIVE = 16, PARTS_AT = 11, SMALL = 300 /* more than a replay applies at once */ };
    OsSim *sim AUTO(os_sim_free) = os_sim_new(SEED);
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    StoreUpload completed = { .bucket = buckets[0], .key = STR("completed") }, aborted = completed;
    StoreComplete complete = { .bucket = buckets[0], .key = completed.key, .part_count = 1 };
    StorePurged purged;
    uint64_t sequence;
    size_t freed = 0;
    CHECK_OK(compact_open(sim, TRASH_SECONDS, &store, &err), &err);
    CHECK_OK(store_bucket_create(store, buckets[0], &err), &err);
    CHECK_OK(store_upload_create(store, &completed, &complete.id, &err), &err);
    CHECK_OK(store_upload_create(store, &aborted, &aborted.id, &err), &err);
    for (int i = 0; i < 4; i++) /* the oldest segment, dead */
        CHECK_OK(pattern_put(store, buckets[0], STR("hot"), BODY_LEN, 1, &err), &err);
    CHECK_OK(store_delete(store, buckets[0], STR("hot"), &err), &err);
    os_sim_advance_us(sim, 2 * (int64_t)TRASH_SECONDS * 1000000);
    CHECK_OK(store_trash_purge(store, NULL, &purged, &err), &err);
    for (uint64_t i = 0; i < LIVE; i++) {
        CHECK_OK(pattern_put(store, buckets[0], str_format(&arena, "live-%d", (int)i), BODY_LEN, i, &err), &err);
        if (i != PARTS_AT)
            continue;
        StorePart part = part_add(store, complete.key, &complete.id, 1);
        complete.parts = &part;
        part_add(store, complete.key, &complete.id, 2);
        part_add(store, aborted.key, &aborted.id, 1);
        for (int k = 0; k < SMALL; k++)
            CHECK_OK(pattern_put(store, buckets[0], str_format(&arena, "small-%d", k), 0, 1, &err), &err);
        CHECK_OK(store_upload_complete(store, &complete, &sequence, &err), &err);
        CHECK_OK(store_upload_abort(store, buckets[0], aborted.key, &aborted.id, &err), &err);
    }
    CHECK_OK(store_compact(store, NULL, &freed, &err), &err);
    CHECK(freed > 0);
    rebuilt_equal(sim, &store, SEED, 0);
}

/* The row of a null version that newer ones hide goes when the last of them goes, not only with the version. */
TEST(store_null_version_that_is_the_newest_again_has_no_row)
{
    enum { SEED = 1 };
    OsSim *sim AUTO(os_sim_free) = os_sim_new(SEED);
    Err err;
    Store *store AUTO(store_free) = NULL;
    CHECK_OK(compact_open(sim, TRASH_SECONDS, &store, &err), &err);
    CHECK_OK(store_bucket_create(store, buckets[1], &err), &err);
    CHECK_OK(pattern_put(store, buckets[1], STR("k"), 10, 1, &err), &err);
    CHECK_OK(store_bucket_set_versioning(store, buckets[1], VERSIONING_ENABLED, &err), &err);
    for (uint64_t i = 0; i < 2; i++)
        CHECK_OK(pattern_put(store, buckets[1], STR("k"), 10, 2 + i, &err), &err);
    StoreDelete wanted = { .bucket = buckets[1], .key = STR("k"), .sequence = store_sequence(store) - 1 };
    for (int i = 0; i < 2; i++, wanted.sequence++) {
        StoreDeleted deleted;
        CHECK_OK(store_delete_many(store, &wanted, 1, &deleted, &err), &err);
        rebuilt_equal(sim, &store, SEED, i);
    }
    CHECK(pattern_is(store, buckets[1], STR("k"), 10, 1));
}

TEST(store_index_is_rebuilt_from_the_journal_alone)
{
    for (uint64_t seed = test_seed(); seed < test_seed() + 8; seed++) {
        OsSim *sim AUTO(os_sim_free) = os_sim_new(seed);
        Err err;
        Random random = { .state = seed * 2654435761u };
        Store *store AUTO(store_free) = NULL;
        CHECK_OK(compact_open(sim, TRASH_SECONDS, &store, &err), &err);
        if (reader_stands(seed))
            store_feed_release(store, 0);
        for (size_t i = 0; i < ARRAY_LEN(buckets); i++)
            CHECK_OK(store_bucket_create(store, buckets[i], &err), &err);
        for (int i = 1; i <= STEPS; i++) {
            step(sim, store, &random, seed);
            if (i % 104 == 0)
                rebuilt_equal(sim, &store, seed, i);
        }
    }
}
