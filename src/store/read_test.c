/* Covers read.c and backend_drives.c where bytes leave without being copied or waited for: verified, from the page cache
 * or from memory. */
#include "base/test.h"
#include "store/store_conformance.h"
#include "store/store_fixture.h"

#define BUCKET FIXTURE_BUCKET

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
    if (!fixture_has_rocksdb)
        return;
    enum { LEN = 500000 };
    static char room[3 * STORE_BLOCK_BYTES];
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    ObjectReader *reader AUTO(object_reader_free) = NULL;
    int fd = -1;
    uint64_t at = 0;
    CHECK_OK(fixture_open("rocksdb", &store, &err), &err);
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
    if (!fixture_has_rocksdb)
        return;
    Err err;
    char byte;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    ObjectReader *reader AUTO(object_reader_free) = NULL;
    CHECK_OK(fixture_open("rocksdb", &store, &err), &err);
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
    for (int now = 0; now < 2; now++) { /* its head says all but its bytes */
        size_t got = 0;
        CHECK_OK(store_reader_head(store, BUCKET, STR("large"), 0, now, &reader, &err), &err);
        CHECK_INT(object_reader_info(reader)->size_bytes, sizeof large);
        CHECK_CODE(object_pread(reader, large, 1, 0, &got, NULL), E_INVALID);
        object_reader_free(&reader);
    }
    CHECK_CODE(store_reader_head(store, BUCKET, STR("k"), 0, true, &reader, NULL), E_UNAVAILABLE);
    CHECK_CODE(store_reader_head(store, BUCKET, STR("k"), 0, false, &reader, NULL), E_NOT_FOUND);
    put.key = STR("k");
    CHECK_OK(store_put(store, &put, STR("bytes"), NULL, &err), &err);
    CHECK_OK(store_reader_open_now(store, BUCKET, STR("k"), &reader, &err), &err);
    object_reader_free(&reader);
    CHECK_OK(store_delete(store, BUCKET, STR("k"), &err), &err);
    CHECK_CODE(store_reader_open_now(store, BUCKET, STR("k"), &reader, NULL), E_UNAVAILABLE);
    store_free(&store);
}
