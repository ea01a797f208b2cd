/* Covers what a reader meets of damage: in the index, in bodies and in the journal. Never wrong bytes and never a list that
 * lacks something: an error, or the right answer; and verify.c names it. */
#include "store/store_priv.h"

#include "base/test.h"
#include "store/store_conformance.h"
#include "store/store_fixture.h"

#include <string.h>

#define BUCKET FIXTURE_BUCKET

/* A bit flipped anywhere in the index's own files is found, or changes nothing. */
TEST(store_never_answers_wrongly_from_a_damaged_index)
{
    if (!fixture_has_rocksdb)
        return;
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    size_t found = 0, count = 0;
    CHECK_OK(fixture_open("rocksdb", &store, &err), &err);
    fixture_fill(store);
    store_free(&store);
    Str dir = str_format(&arena, "%s/store/index%c", test_dir(), 0);
    OsDirEntry *entries;
    CHECK_OK(os_dir_list(os_real(), dir.ptr, &arena, &entries, &count, &err), &err);
    for (size_t i = 0; i < count; i++) {
        if (!str_ends(entries[i].name, STR(".sst")))
            continue;
        for (uint64_t at = 10; at < 3000; at += 700) {
            const char *name = str_format(&arena, "bit-%d%c", (int)(i * 3000 + at), 0).ptr;
            fixture_image_take(name);
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
            Code code = fixture_image_open(name, &image, &err);
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
    if (!fixture_has_rocksdb)
        return;
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    CHECK_OK(fixture_open("rocksdb", &store, &err), &err);
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

/* The same for the journal, where small bodies and the records are. */
TEST(store_finds_flipped_bits_of_the_journal)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    CHECK_OK(fixture_open("memory", &store, &err), &err);
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
