/* Covers store.c, backend_drives.c, backend_memory.c, index_memory.c, index_rocksdb.c, commit.c, later.c,
 * plan.c, lookup.c, list.c, read.c, stage.c, compact.c and verify.c; the suite is
 * store_conformance.c. */
#include "store/store_priv.h"

#include "base/test.h"
#include "store/store_conformance.h"
#include "store/store_keep.h"

#include <stdio.h>
#include <string.h>

#define BUCKET STR("bronze")

/* RocksDB is not instrumented: under the thread sanitizer its rows would only show false races. */
#if defined(__SANITIZE_THREAD__)
static const bool has_rocksdb = false;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
static const bool has_rocksdb = false;
#else
static const bool has_rocksdb = true;
#endif
#else
static const bool has_rocksdb = true;
#endif

/* Every backend with every index. */
static const struct {
    const char *backend, *index;
} rows[] = {
    { "memory", "memory" }, { "memory", "rocksdb" }, { "drives", "memory" }, { "drives", "rocksdb" }
};

static void conform(void (*suite)(Os *os, const StoreOptions *options))
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!has_rocksdb && str_eq(str_z(rows[i].index), STR("rocksdb")))
            continue;
        char dir[OS_PATH_MAX];
        snprintf(dir, sizeof dir, "%s/%zu", test_dir(), i);
        StoreOptions options = {
            .backend = rows[i].backend, .index = rows[i].index, .dir = dir, .segment_bytes = 1 << 20
        };
        suite(os_real(), &options);
    }
}

#define CONFORM(name)            \
    TEST(store_conforms_##name)  \
    {                            \
        conform(conform_##name); \
    }
CONFORM(put_and_read)
CONFORM(large_objects)
CONFORM(conditions)
CONFORM(publish_all_or_nothing)
CONFORM(listing)
CONFORM(buckets)
CONFORM(feed)
CONFORM(bad_input)
CONFORM(readers_outlive_objects)

static Code open_in(const char *index, Store **store, Err *err)
{
    static char dir[OS_PATH_MAX];
    snprintf(dir, sizeof dir, "%s/store", test_dir());
    StoreOptions options = { .index = index, .dir = dir, .segment_bytes = 1 << 20,
                             .trash_seconds = -1 };
    return store_open(os_real(), &options, store, err);
}

static void dir_empty(const char *name)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    const char *dir = str_format(&arena, "%s/store/%s", test_dir(), name).ptr;
    OsDirEntry *entries;
    size_t count;
    CHECK_OK(os_dir_list(os_real(), dir, &arena, &entries, &count, &err), &err);
    for (size_t i = 0; i < count; i++) {
        Str path = str_format(&arena, "%s/" STR_FMT "%c", dir, STR_ARG(entries[i].name), 0);
        CHECK_OK(os_unlink(os_real(), path.ptr, &err), &err);
    }
}

static size_t blob_files(const char *name)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    size_t all = 0;
    for (unsigned i = 0; i < 256; i++) {
        Str dir = str_format(&arena, "%s/%s/objects/%02x%c", test_dir(), name, i, 0);
        OsDirEntry *entries;
        size_t count = 0;
        CHECK_OK(os_dir_list(os_real(), dir.ptr, &arena, &entries, &count, &err), &err);
        all += count;
    }
    return all;
}

/* How many files of the trash went for good. */
static size_t trash_out(Store *store)
{
    Err err;
    StorePurged purged = { 0 };
    CHECK_OK(store_trash_purge(store, NULL, &purged, &err), &err);
    return (size_t)purged.objects;
}

/* Objects of all kinds, some replaced, some deleted. */
static void fill(Store *store)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    for (uint64_t i = 0; i < 30; i++)
        for (uint64_t pass = 0; pass < 1 + i % 2; pass++)
            CHECK_OK(pattern_put(store, BUCKET, str_format(&arena, "k%02d", (int)i),
                                 i % 3 == 0 ? 150000 + i : 100 * i, i + 50 * pass, &err),
                     &err);
    for (int i = 0; i < 30; i += 5)
        CHECK_OK(store_delete(store, BUCKET, str_format(&arena, "k%02d", i), &err), &err);
    CHECK_OK(store_set_trust(store, BUCKET, STR("k01"), 4, TRUST_CHECKED, &err), &err);
}

static void check_filled(Store *store)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    ObjectInfo info;
    for (uint64_t i = 0; i < 30; i++) {
        Str key = str_format(&arena, "k%02d", (int)i);
        if (i % 5 == 0)
            CHECK_CODE(store_head(store, BUCKET, key, &arena, &info, &err), E_NOT_FOUND);
        else
            CHECK(pattern_is(store, BUCKET, key, i % 3 == 0 ? 150000 + i : 100 * i,
                             i + 50 * (i % 2)));
    }
    CHECK_OK(store_head(store, BUCKET, STR("k01"), &arena, &info, &err), &err);
    CHECK_INT(info.trust, TRUST_CHECKED);
    StoreUsage usage;
    CHECK_OK(store_usage(store, &usage, &err), &err);
    CHECK_INT(usage.objects, 24);
}

static void check_feed_equal(Store *store)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    StoreChange *changes;
    size_t count = 0;
    CHECK_OK(store_feed_read(store, 0, 0, &arena, &changes, &count, &err), &err);
    CHECK_INT(count, 1 + 45 + 6 + 1);
    CHECK_INT(store_sequence(store), 53);
}

TEST(store_comes_back_and_a_deleted_index_is_rebuilt)
{
    if (!has_rocksdb)
        return;
    Err err;
    Store *store AUTO(store_free) = NULL;
    CHECK_OK(open_in("rocksdb", &store, &err), &err);
    fill(store);
    check_filled(store);
    CHECK(trash_out(store) > 0);
    size_t files = blob_files("store");
    CHECK_INT(files, 8);
    store_free(&store);
    for (int pass = 0; pass < 4; pass++) {
        if (pass % 2)
            dir_empty("index");
        CHECK_OK(open_in(pass == 2 ? "memory" : "rocksdb", &store, &err), &err);
        check_filled(store);
        check_feed_equal(store);
        CHECK_INT(blob_files("store"), files);
        store_free(&store);
    }
}

TEST(store_compacts_and_is_rebuilt_after)
{
    if (!has_rocksdb)
        return;
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    CHECK_OK(open_in("rocksdb", &store, &err), &err);
    fill(store);
    for (uint64_t i = 0; i < 100; i++) /* 6 MB of which 60 kB stay */
        CHECK_OK(pattern_put(store, BUCKET, STR("hot"), 60000, i, &err), &err);
    uint64_t sequence = store_sequence(store);
    StoreUsage before, after;
    CHECK_OK(store_usage(store, &before, &err), &err);
    size_t freed = 0;
    CHECK_OK(store_compact(store, NULL, &freed, &err), &err);
    CHECK(freed >= 3);
    CHECK_OK(store_usage(store, &after, &err), &err);
    CHECK(after.journal_bytes < before.journal_bytes);
    CHECK(pattern_is(store, BUCKET, STR("hot"), 60000, 99));
    store_free(&store);
    for (int pass = 0; pass < 2; pass++) {
        CHECK_OK(open_in("rocksdb", &store, &err), &err);
        CHECK(pattern_is(store, BUCKET, STR("hot"), 60000, 99));
        CHECK_INT(store_sequence(store), sequence);
        CHECK_OK(store_delete(store, BUCKET, STR("hot"), &err), &err);
        check_filled(store);
        StoreVerified verified;
        CHECK_OK(store_verify(store, true, NULL, NULL, &verified, &err), &err);
        CHECK_INT(verified.objects, 24);
        CHECK_INT(verified.findings, 0);
        CHECK_OK(pattern_put(store, BUCKET, STR("hot"), 60000, 99, &err), &err);
        sequence = store_sequence(store);
        store_free(&store);
        dir_empty("index");
    }
}

/* Copies the files below `from`: what a killed process leaves behind. */
static void tree_copy(const char *from, const char *to)
{
    enum { FILE_MAX = 8 * 1024 * 1024 };
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    OsDirEntry *entries;
    size_t count = 0;
    CHECK_OK(os_dir_make(os_real(), to, &err), &err);
    CHECK_OK(os_dir_list(os_real(), from, &arena, &entries, &count, &err), &err);
    for (size_t i = 0; i < count; i++) {
        const char *name = str_copy_z(&arena, entries[i].name);
        const char *source = str_format(&arena, "%s/%s%c", from, name, 0).ptr;
        const char *target = str_format(&arena, "%s/%s%c", to, name, 0).ptr;
        if (str_eq(entries[i].name, STR("reserve")))
            continue; /* large and empty; made again when it is not there */
        if (entries[i].is_dir) {
            tree_copy(source, target);
            continue;
        }
        Buf bytes AUTO(buf_done);
        buf_init(&bytes, FILE_MAX);
        OsFile *file AUTO(os_file_close) = NULL;
        CHECK_OK(os_read_whole(os_real(), source, &bytes, &err), &err);
        CHECK_OK(os_file_open(os_real(), target, OS_WRITE | OS_CREATE, &file, &err), &err);
        CHECK_OK(os_file_pwrite(file, buf_str(&bytes), 0, &err), &err);
    }
}

static void image_take(const char *name)
{
    Arena arena AUTO(arena_done) = { 0 };
    tree_copy(str_format(&arena, "%s/store%c", test_dir(), 0).ptr,
              str_format(&arena, "%s/%s%c", test_dir(), name, 0).ptr);
}

static Code image_open(const char *name, Store **store, Err *err)
{
    char dir[OS_PATH_MAX];
    snprintf(dir, sizeof dir, "%s/%s", test_dir(), name);
    StoreOptions options = { .dir = dir };
    return store_open(os_real(), &options, store, err);
}

TEST(store_of_a_killed_process_comes_back)
{
    if (!has_rocksdb)
        return;
    Err err;
    Store *store AUTO(store_free) = NULL, *image AUTO(store_free) = NULL;
    CHECK_OK(open_in("rocksdb", &store, &err), &err);
    fill(store);
    image_take("first"); /* nothing of the index was flushed */
    CHECK_OK(store->index_ops->flush(store->index, &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("late"), 777, 7, &err), &err);
    CHECK_OK(store_delete(store, BUCKET, STR("k11"), &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("k11"), 1100, 61, &err), &err);
    image_take("second"); /* some of it was */
    CHECK_OK(image_open("first", &image, &err), &err);
    check_filled(image);
    check_feed_equal(image);
    store_free(&image);
    CHECK_OK(image_open("second", &image, &err), &err);
    CHECK(pattern_is(image, BUCKET, STR("late"), 777, 7));
    CHECK_OK(store_delete(image, BUCKET, STR("late"), &err), &err);
    check_filled(image);
    CHECK_INT(store_sequence(image), 57);
}

TEST(store_sweeps_what_was_never_published)
{
    if (!has_rocksdb)
        return;
    Err err;
    Store *store AUTO(store_free) = NULL, *image AUTO(store_free) = NULL;
    CHECK_OK(open_in("rocksdb", &store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("k"), 200000, 1, &err), &err);
    StagedObject *staged AUTO(store_stage_abort) = NULL;
    static char bytes[300000];
    CHECK_OK(store_stage(store, &staged, &err), &err);
    CHECK_OK(store_stage_write(staged, str_of(bytes, sizeof bytes), &err), &err);
    CHECK_OK(store_stage_finish(staged, &err), &err);
    CHECK_INT(blob_files("store"), 2);
    StagedObject *aborted AUTO(store_stage_abort) = NULL;
    CHECK_OK(store_stage(store, &aborted, &err), &err);
    CHECK_OK(store_stage_write(aborted, str_of(bytes, sizeof bytes), &err), &err);
    CHECK_INT(blob_files("store"), 3);
    image_take("killed");
    store_stage_abort(&aborted);
    CHECK_INT(blob_files("store"), 2);
    store_stage_abort(&staged);
    CHECK_INT(blob_files("store"), 1);
    CHECK_OK(image_open("killed", &image, &err), &err);
    CHECK_INT(blob_files("killed"), 1);
    CHECK(pattern_is(image, BUCKET, STR("k"), 200000, 1));
}

TEST(store_holds_nothing_of_a_large_object_that_was_announced)
{
    if (!has_rocksdb)
        return;
    Err err;
    Store *store AUTO(store_free) = NULL;
    static char bytes[STORE_INLINE_MAX];
    CHECK_OK(open_in("rocksdb", &store, &err), &err);
    for (int announced = 0; announced < 2; announced++) {
        StagedObject *staged AUTO(store_stage_abort) = NULL;
        CHECK_OK(store_stage(store, &staged, &err), &err);
        store_stage_expect(staged, sizeof bytes + (size_t)announced);
        CHECK_OK(store_stage_write(staged, str_of(bytes, 1), &err), &err);
        CHECK_INT(blob_files("store"), announced);
        CHECK_OK(store_stage_write(staged, str_of(bytes, sizeof bytes - 1), &err), &err);
        CHECK(store_stage_small(staged) == !announced);
    }
}

/* A bit flipped anywhere in the index's own files is found, or changes nothing. */
TEST(store_never_answers_wrongly_from_a_damaged_index)
{
    if (!has_rocksdb)
        return;
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    size_t found = 0, count = 0;
    CHECK_OK(open_in("rocksdb", &store, &err), &err);
    fill(store);
    store_free(&store);
    Str dir = str_format(&arena, "%s/store/index%c", test_dir(), 0);
    OsDirEntry *entries;
    CHECK_OK(os_dir_list(os_real(), dir.ptr, &arena, &entries, &count, &err), &err);
    for (size_t i = 0; i < count; i++) {
        if (!str_ends(entries[i].name, STR(".sst")))
            continue;
        for (uint64_t at = 10; at < 3000; at += 700) {
            const char *name = str_format(&arena, "bit-%d%c", (int)(i * 3000 + at), 0).ptr;
            image_take(name);
            Str path = str_format(&arena, "%s/%s/index/" STR_FMT "%c", test_dir(), name,
                                  STR_ARG(entries[i].name), 0);
            OsFile *file AUTO(os_file_close) = NULL;
            char byte;
            size_t got;
            CHECK_OK(os_file_open(os_real(), path.ptr, OS_READ | OS_WRITE, &file, &err), &err);
            CHECK_OK(os_file_pread(file, &byte, 1, at, &got, &err), &err);
            byte ^= 4;
            CHECK_OK(os_file_pwrite(file, str_of(&byte, got), at, &err), &err);
            Store *image AUTO(store_free) = NULL;
            Code code = image_open(name, &image, &err);
            StoreRemade remade = { 0 };
            if (code == E_OK)
                store_index_remade(image, &remade);
            StoreListPage page = { 0 };
            StoreListQuery query = { .bucket = BUCKET };
            if (code == E_OK)
                code = store_list(image, &query, &arena, &page, &err);
            CHECK(code == E_CORRUPT || (code == E_OK && page.object_count == 24));
            found += code == E_CORRUPT || remade.remade;
        }
    }
    CHECK(found > 0);
}

typedef struct Found {
    size_t count;
    Code code;
} Found;

static void found_visit(void *arg, const StoreFinding *finding)
{
    Found *found = arg;
    found->count++;
    found->code = finding->code;
}

/* Flips one bit of every file of objects/ in turn: reading and doctor both find it. */
TEST(store_finds_flipped_bits_of_bodies)
{
    if (!has_rocksdb)
        return;
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    CHECK_OK(open_in("rocksdb", &store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("k"), 200000, 1, &err), &err);
    for (unsigned i = 0; i < 256; i++) {
        Str dir = str_format(&arena, "%s/store/objects/%02x%c", test_dir(), i, 0);
        OsDirEntry *entries;
        size_t count = 0;
        CHECK_OK(os_dir_list(os_real(), dir.ptr, &arena, &entries, &count, &err), &err);
        if (count == 0)
            continue;
        Str path = str_format(&arena, "%s/" STR_FMT "%c", dir.ptr, STR_ARG(entries[0].name), 0);
        OsFile *file AUTO(os_file_close) = NULL;
        uint64_t size = 0;
        CHECK_OK(os_file_open(os_real(), path.ptr, OS_READ | OS_WRITE, &file, &err), &err);
        CHECK_OK(os_file_size(file, &size, &err), &err);
        for (uint64_t at = 0; at < size; at += at < 190000 ? 9973 : 1) {
            char byte, flipped;
            size_t got;
            CHECK_OK(os_file_pread(file, &byte, 1, at, &got, &err), &err);
            flipped = (char)(byte ^ (1 << (at % 8)));
            CHECK_OK(os_file_pwrite(file, str_of(&flipped, 1), at, &err), &err);
            if (pattern_is(store, BUCKET, STR("k"), 200000, 1))
                test_failed(__FILE__, __LINE__, "byte %d is not looked at", (int)at);
            Found found = { 0 };
            StoreVerified verified;
            if (at % 50 == 0) {
                CHECK_OK(store_verify(store, true, found_visit, &found, &verified, &err), &err);
                CHECK_INT(found.count, 1);
                CHECK_INT(found.code, E_CORRUPT);
            }
            CHECK_OK(os_file_pwrite(file, str_of(&byte, 1), at, &err), &err);
            at = at >= 190000 && at < 199990 ? 199990 : at;
        }
        CHECK_OK(os_unlink(os_real(), path.ptr, &err), &err);
    }
    ObjectReader *reader AUTO(object_reader_free) = NULL;
    CHECK_CODE(store_reader_open(store, BUCKET, STR("k"), 0, &reader, &err), E_CORRUPT);
    Found found = { 0 };
    StoreVerified verified;
    CHECK_OK(store_verify(store, false, found_visit, &found, &verified, &err), &err);
    CHECK_INT(found.count, 1);
}

/* The only file below objects/. */
static OsFile *only_body(Arena *arena)
{
    Err err;
    OsFile *file = NULL;
    for (unsigned i = 0; i < 256 && !file; i++) {
        Str dir = str_format(arena, "%s/store/objects/%02x%c", test_dir(), i, 0);
        OsDirEntry *entries;
        size_t count = 0;
        CHECK_OK(os_dir_list(os_real(), dir.ptr, arena, &entries, &count, &err), &err);
        if (count == 0)
            continue;
        Str path = str_format(arena, "%s/" STR_FMT "%c", dir.ptr, STR_ARG(entries[0].name), 0);
        CHECK_OK(os_file_open(os_real(), path.ptr, OS_READ | OS_WRITE, &file, &err), &err);
    }
    return file;
}

/* What may go out by the page cache ends before the first block that is not as it was written. */
TEST(store_lets_only_verified_pages_go)
{
    if (!has_rocksdb)
        return;
    enum { LEN = 500000 };
    static char room[3 * STORE_BLOCK_BYTES];
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    ObjectReader *reader AUTO(object_reader_free) = NULL;
    int fd = -1;
    uint64_t at = 0;
    CHECK_OK(open_in("rocksdb", &store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("k"), LEN, 1, &err), &err);
    CHECK_OK(store_reader_open(store, BUCKET, STR("k"), 0, &reader, &err), &err);
    OsFile *file AUTO(os_file_close) = only_body(&arena);
    if (object_in_file(reader, 0, 1, room, sizeof room, &fd, &at) == 0)
        return; /* a file system that does not say what is in memory: all is read */
    CHECK_INT(object_in_file(reader, 0, LEN, room, sizeof room, &fd, &at), LEN);
    CHECK(fd >= 0 && at == 0);
    CHECK_INT(object_in_file(reader, 70001, LEN, room, sizeof room, &fd, &at), LEN - 70001);
    CHECK_INT(at, 70001);
    CHECK_INT(object_in_file(reader, LEN - 1, 1, room, STORE_BLOCK_BYTES, &fd, &at), 1);
    CHECK_INT(object_in_file(reader, 100, 65536, room, STORE_BLOCK_BYTES, &fd, &at), 65536 - 100); /* a whole block */
    CHECK_INT(object_in_file(reader, 100, 65000, room, STORE_BLOCK_BYTES, &fd, &at), 65000);
    CHECK_INT(object_in_file(reader, LEN, 1, room, sizeof room, &fd, &at), 0);
    for (uint64_t flip = 0; flip < LEN; flip += 49999) {
        char byte, flipped;
        size_t got;
        uint64_t block = flip / STORE_BLOCK_BYTES * STORE_BLOCK_BYTES;
        CHECK_OK(os_file_pread(file, &byte, 1, flip, &got, &err), &err);
        flipped = (char)(byte ^ 1);
        CHECK_OK(os_file_pwrite(file, str_of(&flipped, 1), flip, &err), &err);
        CHECK_INT(object_in_file(reader, 0, LEN, room, sizeof room, &fd, &at), block);
        CHECK_INT(object_in_file(reader, flip, LEN, room, sizeof room, &fd, &at), 0);
        CHECK_INT(object_in_file(reader, block, 1, room, sizeof room, &fd, &at), 0);
        CHECK_OK(os_file_pwrite(file, str_of(&byte, 1), flip, &err), &err);
    }
    CHECK_OK(os_file_truncate(file, 100000, &err), &err); /* by somebody else */
    CHECK_INT(object_in_file(reader, 0, LEN, room, sizeof room, &fd, &at), STORE_BLOCK_BYTES);
    CHECK_INT(object_in_file(reader, 300000, LEN, room, sizeof room, &fd, &at), 0);
}

TEST(store_gives_the_memory_of_replaced_bytes_back)
{
    if (!has_rocksdb)
        return;
    Err err;
    char byte;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    ObjectReader *reader AUTO(object_reader_free) = NULL;
    CHECK_OK(open_in("rocksdb", &store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("k"), 500000, 1, &err), &err);
    CHECK_OK(store_reader_open(store, BUCKET, STR("k"), 0, &reader, &err), &err);
    OsFile *file AUTO(os_file_close) = only_body(&arena);
    if (os_file_peek(file, &byte, 1, 300000) == 0)
        return; /* a file system that does not say what is in memory */
    CHECK_OK(pattern_put(store, BUCKET, STR("k"), 500000, 2, &err), &err);
    CHECK_INT(os_file_peek(file, &byte, 1, 300000), 0);
    size_t got;
    CHECK_OK(object_pread(reader, &byte, 1, 300000, &got, &err), &err); /* who has it open reads on */
    CHECK(pattern_is(store, BUCKET, STR("k"), 500000, 2));
}

/* The same for the journal, where small bodies and the records are. */
TEST(store_finds_flipped_bits_of_the_journal)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    CHECK_OK(open_in("memory", &store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    for (uint64_t i = 0; i < 4; i++)
        CHECK_OK(pattern_put(store, BUCKET, str_format(&arena, "k%d", (int)i), 500, i, &err), &err);
    Str path = str_format(&arena, "%s/store/journal/0000000000000001.seg%c", test_dir(), 0);
    OsFile *file AUTO(os_file_close) = NULL;
    CHECK_OK(os_file_open(os_real(), path.ptr, OS_READ | OS_WRITE, &file, &err), &err);
    for (uint64_t at = 4096; at < 4096 + 2400; at += 41) {
        char byte, flipped;
        size_t got;
        CHECK_OK(os_file_pread(file, &byte, 1, at, &got, &err), &err);
        flipped = (char)(byte ^ (1 << (at % 8)));
        CHECK_OK(os_file_pwrite(file, str_of(&flipped, 1), at, &err), &err);
        Found found = { 0 };
        StoreVerified verified;
        CHECK_OK(store_verify(store, true, found_visit, &found, &verified, &err), &err);
        if (found.count == 0 || found.code != E_CORRUPT)
            test_failed(__FILE__, __LINE__, "byte %d is not looked at", (int)at);
        for (uint64_t i = 0; i < 4; i++) { /* never wrong bytes: an error, or the right ones */
            Str key = str_format(&arena, "k%d", (int)i);
            ObjectReader *reader AUTO(object_reader_free) = NULL;
            Code code = store_reader_open(store, BUCKET, key, 0, &reader, &err);
            CHECK(code == E_CORRUPT || (code == E_OK && pattern_is(store, BUCKET, key, 500, i)));
        }
        CHECK_OK(os_file_pwrite(file, str_of(&byte, 1), at, &err), &err);
    }
}

TEST(store_refuses_odd_options)
{
    Err err;
    Store *store AUTO(store_free) = NULL;
    StoreOptions options = { .backend = "tape", .dir = test_dir() };
    CHECK_CODE(store_open(os_real(), &options, &store, &err), E_INVALID);
    options = (StoreOptions){ .index = "memory" };
    CHECK_CODE(store_open(os_real(), &options, &store, &err), E_INVALID);
}

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
    for (int row = 0; row < 1 + has_rocksdb; row++) {
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

/* ---- reading and publishing without waiting ---- */

TEST(store_reads_what_is_in_memory_at_once)
{
    Store *store;
    Err err;
    ObjectReader *reader = NULL;
    static char large[STORE_INLINE_MAX + 1];
    CHECK_OK(store_open(os_real(), &(StoreOptions){ .backend = "memory", .index = "memory" }, &store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    StorePut put = { .bucket = BUCKET, .key = STR("large") };
    CHECK_OK(store_put(store, &put, str_of(large, sizeof large), NULL, &err), &err);
    CHECK_CODE(store_reader_open_now(store, BUCKET, STR("large"), &reader, NULL), E_UNAVAILABLE);
    CHECK_CODE(store_reader_open_now(store, BUCKET, STR("k"), &reader, NULL), E_UNAVAILABLE);
    put.key = STR("k");
    CHECK_OK(store_put(store, &put, STR("bytes"), NULL, &err), &err);
    CHECK_OK(store_reader_open_now(store, BUCKET, STR("k"), &reader, &err), &err);
    object_reader_free(&reader);
    CHECK_OK(store_delete(store, BUCKET, STR("k"), &err), &err);
    CHECK_CODE(store_reader_open_now(store, BUCKET, STR("k"), &reader, NULL), E_UNAVAILABLE);
    store_free(&store);
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
    CHECK_OK(open_in("memory", &store, &err), &err);
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
    CHECK_OK(open_in("memory", &store, &err), &err);
    StoreBucket bucket;
    CHECK_OK(store_bucket_get(store, BUCKET, &arena, &bucket, &err), &err);
    CHECK_INT(bucket.versions, LATER_COUNT / 2);
    store_free(&store);
    cond_done(&count.changed);
    mutex_done(&count.mutex);
}

static bool index_is_damaged;

static Code damaged_next(IndexCursor *cursor, bool *ret_there, Err *err)
{
    return index_is_damaged ? err_set(err, E_CORRUPT, "a block of the index") : index_memory.cursor_next(cursor, ret_there, err);
}

/* A row of the index that cannot be read while a change is planned: an answer, and nothing is done. */
TEST(store_answers_when_its_index_is_damaged)
{
    Store *store AUTO(store_free) = NULL;
    Err err;
    StoreOptions options = { .backend = "memory", .index = "memory" };
    CHECK_OK(store_open(os_real(), &options, &store, &err), &err);
    IndexOps damaged = index_memory;
    damaged.cursor_next = damaged_next;
    store->index_ops = &damaged;
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("k"), 100, 1, &err), &err);
    index_is_damaged = true;
    CHECK_CODE(pattern_put(store, BUCKET, STR("k"), 100, 2, &err), E_CORRUPT);
    CHECK(strstr(err.text, "a block of the index"));
    index_is_damaged = false;
    CHECK(pattern_is(store, BUCKET, STR("k"), 100, 1));
    CHECK_OK(pattern_put(store, BUCKET, STR("k"), 100, 3, &err), &err);
    CHECK(pattern_is(store, BUCKET, STR("k"), 100, 3));
    store->index_ops = &index_memory;
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
