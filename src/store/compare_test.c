/* Covers compare.c: of each kind of row one that is lost, one that is too many and one that says something else is named;
 * what is as the journal says is no finding, and the next start puts it right. */
#include "store/store_priv.h"

#include "base/test.h"
#include "store/store_conformance.h"
#include "store/store_fixture.h"

#include <stdio.h>
#include <string.h>

#define PLAIN STR("plain")
#define COUNTED STR("counted")
enum { SMALL = 300, LARGE = 200000, ROWS_MAX = 200 };

static const char *kept_index(void)
{
    return fixture_has_rocksdb ? "rocksdb" : "memory";
}

static Code compare_open(const char *index, Store **store, Err *err)
{
    static char dir[OS_PATH_MAX];
    snprintf(dir, sizeof dir, "%s/store", test_dir());
    return store_open(os_real(), &(StoreOptions){ .index = index, .dir = dir, .segment_bytes = 1 << 20 }, store, err);
}

static void upload_begin(Store *store)
{
    Err err;
    StoreUploadId id;
    StoreUpload upload = { .bucket = PLAIN, .key = STR("parts") };
    StorePart part = { .number = 7 };
    StagedObject *staged AUTO(store_stage_abort) = NULL;
    CHECK_OK(store_upload_create(store, &upload, &id, &err), &err);
    CHECK_OK(store_stage_part(store, &staged, &err), &err);
    CHECK_OK(store_stage_write(staged, STR("part"), &err), &err);
    CHECK_OK(store_stage_finish(staged, &err), &err);
    CHECK_OK(store_upload_part(store, PLAIN, upload.key, &id, &part, &staged, &err), &err);
}

/* Rows of every kind. */
static void fill(Store *store)
{
    Err err;
    StoreDeleted deleted;
    CHECK_OK(store_bucket_create(store, PLAIN, &err), &err);
    CHECK_OK(store_bucket_create(store, COUNTED, &err), &err);
    CHECK_OK(pattern_put(store, COUNTED, STR("null"), SMALL, 1, &err), &err);
    CHECK_OK(store_bucket_set_versioning(store, COUNTED, VERSIONING_ENABLED, &err), &err);
    CHECK_OK(pattern_put(store, COUNTED, STR("null"), SMALL, 2, &err), &err);
    CHECK_OK(store_delete_many(store, &(StoreDelete){ .bucket = COUNTED, .key = STR("marked") }, 1, &deleted, &err), &err);
    CHECK_OK(pattern_put(store, PLAIN, STR("large"), LARGE, 3, &err), &err);
    CHECK_OK(pattern_put(store, PLAIN, STR("gone"), SMALL, 4, &err), &err);
    CHECK_OK(store_delete(store, PLAIN, STR("gone"), &err), &err);
    upload_begin(store);
}

typedef struct Seen {
    size_t count;
    char text[512], bucket[STORE_BUCKET_MAX + 1], key[STORE_KEY_MAX + 1];
} Seen;

static void seen_visit(void *arg, const StoreFinding *found)
{
    Seen *seen = arg;
    seen->count++;
    CHECK(found->code == E_CORRUPT && str_find(str_z(found->advice), STR("start tarn again")) >= 0);
    snprintf(seen->text, sizeof seen->text, "%s", found->text);
    snprintf(seen->bucket, sizeof seen->bucket, STR_FMT, STR_ARG(found->bucket));
    snprintf(seen->key, sizeof seen->key, STR_FMT, STR_ARG(found->key));
}

static Seen compared(Store *store)
{
    Err err;
    Seen seen = { 0 };
    StoreCompared result = { 0 };
    CHECK_OK(store_compare(store, seen_visit, &seen, NULL, &result, &err), &err);
    CHECK_INT(result.findings, seen.count);
    CHECK(result.rows > 20);
    return seen;
}

typedef struct Row {
    Str key, value;
} Row;

static size_t rows_of(Store *store, Arena *arena, Row *rows)
{
    Err err;
    size_t count = 0;
    Cursor cursor AUTO(cursor_done) = { 0 };
    CHECK_OK(cursor_init(&cursor, store, &err), &err);
    CHECK_OK(cursor_seek(&cursor, STR_NONE, &err), &err);
    while (cursor.there && count < ROWS_MAX) {
        rows[count++] = (Row){ str_copy(arena, cursor_key(&cursor)), str_copy(arena, cursor_value(&cursor)) };
        CHECK_OK(cursor_next(&cursor, &err), &err);
    }
    return count;
}

static void write_row(Store *store, bool remove, Str key, Str value)
{
    Err err;
    CHECK_OK(store->index_ops->apply(store->index, &(IndexWrite){ remove, key, value }, 1, &err), &err);
}

typedef struct Kind {
    char kind;
    const char *name, *bucket, *key;
    bool met;
} Kind;

/* In the order of keys: the first of its kind may have a name of its own. */
static Kind kinds[] = {
    { 'b', "a bucket", "counted", "" },
    { 'd', "a version in the trash", "plain", "gone" },
    { 'f', "a change of the feed", "", "" },
    { 'g', "how much lives in a segment", "", "" },
    { 'n', "which version is the null version", "counted", "null" },
    { 'o', "a delete marker", "counted", "marked" },
    { 'o', "a version", "counted", "null" },
    { 'p', "a part of an upload", "", "" },
    { 'q', "the counts of a bucket", "counted", "" },
    { 's', "its own state", "", "" },
    { 't', "since when something is trash", "", "" },
    { 'u', "an upload in parts", "plain", "parts" },
    { 'x', "whose the bytes of a file are", "", "" },
};

static Kind *kind_next(char kind)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (kinds[i].kind == kind && !kinds[i].met)
            return &kinds[i];
    return NULL;
}

static void named(const Seen *seen, const char *difference, const Kind *kind)
{
    Arena tmp AUTO(arena_done) = { 0 };
    CHECK_INT(seen->count, 1);
    Str text = str_format(&tmp, "%s %s", difference, kind->name);
    if (!str_starts(str_z(seen->text), text))
        test_failed(__FILE__, __LINE__, "'%s' does not begin with '" STR_FMT "'", seen->text, STR_ARG(text));
    CHECK_STR(str_z(seen->bucket), str_z(kind->bucket));
    CHECK_STR(str_z(seen->key), str_z(kind->key));
}

TEST(compare_names_a_row_of_each_kind)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    Row rows[ROWS_MAX];
    CHECK_OK(compare_open("memory", &store, &err), &err);
    fill(store);
    CHECK_INT(compared(store).count, 0);
    size_t count = rows_of(store, &arena, rows);
    for (size_t i = 0; i < count; i++) {
        Kind *kind = kind_next(rows[i].key.ptr[0]);
        if (!kind)
            continue;
        kind->met = true;
        write_row(store, true, rows[i].key, STR_NONE);
        Seen seen = compared(store);
        named(&seen, "the index has lost", kind);
        Str other = str_format(&arena, STR_FMT "!", STR_ARG(rows[i].value));
        write_row(store, false, rows[i].key, other);
        seen = compared(store);
        if (!str_eq(str_z(kind->name), STR("a delete marker"))) /* with that behind it, it is no version that can be read */
            named(&seen, "the index and the journal do not agree on", kind);
        write_row(store, false, rows[i].key, rows[i].value);
    }
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        CHECK(kinds[i].met);
    Str more = str_format(&arena, "bmore"), kept = rows[0].value;
    write_row(store, false, more, kept);
    Seen seen = compared(store);
    named(&seen, "the journal does not know of", &(Kind){ .name = "a bucket", .bucket = "more", .key = "" });
    write_row(store, true, more, STR_NONE);
    CHECK_INT(compared(store).count, 0);
}

/* The marker that no count misses comes back with the next start; nothing is left beside the index. */
TEST(compare_makes_the_next_start_put_it_right)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    StoreVerified verified = { 0 };
    OsStat stat;
    Row rows[ROWS_MAX];
    CHECK_OK(compare_open(kept_index(), &store, &err), &err);
    fill(store);
    store_feed_release(store, 4); /* given back, and not removed yet */
    CHECK_INT(compared(store).count, 0);
    size_t count = rows_of(store, &arena, rows);
    for (size_t i = 0; i < count; i++)
        if (str_starts(rows[i].key, STR("ocounted\0marked")))
            write_row(store, true, rows[i].key, STR_NONE);
    CHECK_OK(store_verify(store, true, NULL, NULL, &verified, &err), &err);
    CHECK_INT(verified.findings, 0); /* no count has missed it */
    CHECK_INT(compared(store).count, 1);
    const char *beside = str_copy_z(&arena, str_format(&arena, "%s/store/index.shadow", test_dir()));
    CHECK_CODE(os_stat(os_real(), beside, &stat, &err), E_NOT_FOUND);
    store_free(&store);
    CHECK_OK(compare_open(kept_index(), &store, &err), &err);
    CHECK_INT(compared(store).count, 0);
    CHECK_INT(rows_of(store, &arena, rows), count);
}
