/* Covers remake.c: an index that is damaged, incomplete, gone or older is made again by the start, and says so. */
#include "base/test.h"
#include "store/store_conformance.h"
#include "store/store_priv.h"

#include <stdio.h>
#include <string.h>

#define BUCKET STR("bronze")
enum { COUNT = 120, LEN = 300, FLIPS = 6 };

static Code remake_open(const char *dir, Store **store, Err *err)
{
    StoreOptions options = { .dir = dir, .segment_bytes = 256 * 1024 };
    return store_open(os_real(), &options, store, err);
}

static Str key_of(Arena *arena, uint64_t i)
{
    return str_format(arena, "key-%04llu", (unsigned long long)i);
}

/* Every third is deleted: what is made again has to know that too. */
static const char *filled(Arena *arena, Err *err)
{
    const char *dir = str_copy_z(arena, str_format(arena, "%s/store", test_dir()));
    Store *store AUTO(store_free) = NULL;
    CHECK_OK(remake_open(dir, &store, err), err);
    CHECK_OK(store_bucket_create(store, BUCKET, err), err);
    for (uint64_t i = 0; i < COUNT; i++)
        CHECK_OK(pattern_put(store, BUCKET, key_of(arena, i), LEN, i, err), err);
    for (uint64_t i = 0; i < COUNT; i += 3)
        CHECK_OK(store_delete(store, BUCKET, key_of(arena, i), err), err);
    return dir;
}

/* False: a read was refused. Wrong bytes, and deleted ones that are back, are failures. */
static bool all_read(Store *store)
{
    Arena arena AUTO(arena_done) = { 0 };
    for (uint64_t i = 0; i < COUNT; i++) {
        ObjectReader *reader AUTO(object_reader_free) = NULL;
        Code code = store_reader_open(store, BUCKET, key_of(&arena, i), 0, &reader, NULL);
        if (code == E_CORRUPT)
            return false;
        CHECK_INT(code, i % 3 == 0 ? E_NOT_FOUND : E_OK);
        char got[LEN + 1], wanted[LEN];
        size_t len = 0;
        pattern_fill(wanted, LEN, i, 0);
        if (reader)
            CHECK(object_pread(reader, got, sizeof got, 0, &len, NULL) == E_OK && len == LEN &&
                  memcmp(got, wanted, LEN) == 0);
    }
    return true;
}

static void flip(const char *path, uint64_t at, unsigned bit)
{
    Err err;
    OsFile *file AUTO(os_file_close) = NULL;
    char byte;
    size_t got;
    CHECK_OK(os_file_open(os_real(), path, OS_READ | OS_WRITE, &file, &err), &err);
    CHECK_OK(os_file_pread(file, &byte, 1, at, &got, &err), &err);
    byte = (char)(byte ^ 1 << bit);
    CHECK_OK(os_file_pwrite(file, str_of(&byte, 1), at, &err), &err);
}

/* Starts, reads; after a read that was refused the next start has to be right. Whether it was made again. */
static bool heals(const char *dir, const char *what)
{
    Err err;
    StoreRemade remade = { 0 };
    for (int start = 0; start < 2; start++) {
        Store *store AUTO(store_free) = NULL;
        Code code = remake_open(dir, &store, &err);
        if (code != E_OK) {
            test_failed(__FILE__, __LINE__, "%s: no start: %s", what, err.text);
            return false;
        }
        store_index_remade(store, &remade);
        if (all_read(store)) {
            StoreVerified verified = { 0 };
            CHECK_OK(store_verify(store, true, NULL, NULL, &verified, &err), &err);
            if (remade.remade)
                CHECK_INT(verified.findings, 0);
            return remade.remade;
        }
    }
    test_failed(__FILE__, __LINE__, "%s: the second start reads damage too", what);
    return false;
}

static bool old_says(const char *dir, Str text)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Buf reason AUTO(buf_done) = { 0 };
    buf_init(&reason, 4096);
    const char *path = str_copy_z(&tmp, str_format(&tmp, "%s/index.old/REASON", dir));
    return os_read_whole(os_real(), path, &reason, NULL) == E_OK && str_find(buf_str(&reason), text) >= 0;
}

TEST(remake_after_a_flipped_bit_in_each_file)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    const char *dir = filled(&arena, &err);
    const char *index = str_copy_z(&arena, str_format(&arena, "%s/index", dir));
    size_t remade = 0, files = 0;
    OsDirEntry *entries;
    size_t count;
    CHECK_OK(os_dir_list(os_real(), index, &arena, &entries, &count, &err), &err);
    for (size_t i = 0; i < count; i++) {
        Str name = entries[i].name;
        for (uint64_t k = 0; k < FLIPS; k++) {
            OsDirEntry *now;
            size_t now_count, same = SIZE_MAX;
            CHECK_OK(os_dir_list(os_real(), index, &arena, &now, &now_count, &err), &err);
            for (size_t n = 0; n < now_count; n++) /* its number may have moved on: the same kind of file */
                if (str_eq(str_sub(now[n].name, 0, 3), str_sub(name, 0, 3)) &&
                    (str_find_char(name, '-') > 0 || str_ends(now[n].name, str_from(name, name.len - 3))))
                    same = n;
            Str file = same == SIZE_MAX ? STR_NONE : now[same].name;
            const char *path = str_copy_z(&arena, str_format(&arena, "%s/" STR_FMT, index, STR_ARG(file)));
            OsStat stat = { 0 };
            if (!file.len || os_stat(os_real(), path, &stat, NULL) != E_OK || stat.size_bytes == 0)
                continue;
            uint64_t at = stat.size_bytes * k / FLIPS;
            flip(path, at, (unsigned)(k % 8));
            Str what = str_format(&arena, "%s byte %llu%c", path, (unsigned long long)at, 0);
            remade += heals(dir, what.ptr);
            files++;
        }
    }
    CHECK(files >= 24 && remade >= 5);
    CHECK(old_says(dir, STR("Corruption")));
}

TEST(remake_after_a_file_is_gone)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    const char *dir = filled(&arena, &err);
    const char *index = str_copy_z(&arena, str_format(&arena, "%s/index", dir));
    for (int pass = 0; pass < 2; pass++) {
        OsDirEntry *entries;
        size_t count;
        bool remade = false;
        CHECK_OK(os_dir_list(os_real(), index, &arena, &entries, &count, &err), &err);
        for (size_t i = 0; i < count; i++) {
            bool wanted = pass ? str_starts(entries[i].name, STR("MANIFEST")) : str_ends(entries[i].name, STR(".sst"));
            const char *path = str_copy_z(&arena, str_format(&arena, "%s/" STR_FMT, index, STR_ARG(entries[i].name)));
            if (!wanted || remade)
                continue;
            CHECK_OK(os_unlink(os_real(), path, &err), &err);
            remade = heals(dir, path);
            CHECK(remade);
        }
        CHECK(remade);
    }
}

/* What a read has found is not met a second time, also when the process ends in no good way. */
TEST(remake_of_what_a_read_has_found)
{
    Err err, why;
    Arena arena AUTO(arena_done) = { 0 };
    const char *dir = filled(&arena, &err);
    Store *store AUTO(store_free) = NULL;
    StoreRemade remade;
    CHECK_OK(remake_open(dir, &store, &err), &err);
    err_set(&why, E_CORRUPT, "a block that is bad");
    index_damaged(store, &why);
    store_free(&store);
    CHECK_OK(remake_open(dir, &store, &err), &err);
    store_index_remade(store, &remade);
    CHECK(remade.remade && all_read(store) && old_says(dir, STR("a block that is bad")));
    store_free(&store);
    CHECK_OK(remake_open(dir, &store, &err), &err);
    store_index_remade(store, &remade);
    CHECK(!remade.remade && all_read(store));
}

/* A row that no read can miss: only what was counted knows of it. */
TEST(remake_after_a_row_is_lost)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    const char *dir = filled(&arena, &err);
    Store *store AUTO(store_free) = NULL;
    StoreVerified verified = { 0 };
    ObjectInfo info;
    CHECK_OK(remake_open(dir, &store, &err), &err);
    CHECK_OK(store_verify(store, false, NULL, NULL, &verified, &err), &err);
    CHECK_INT(verified.findings, 0);
    CHECK_OK(store_head(store, BUCKET, key_of(&arena, 7), &arena, &info, &err), &err);
    Buf row AUTO(buf_done);
    buf_init(&row, INDEX_KEY_MAX);
    key_version(&row, BUCKET, key_of(&arena, 7), info.sequence);
    IndexWrite lost = { .remove = true, .key = buf_str(&row) };
    CHECK_OK(store->index_ops->apply(store->index, &lost, 1, &err), &err);
    CHECK_OK(store_verify(store, false, NULL, NULL, &verified, &err), &err);
    CHECK_INT(verified.findings, 1);
    store_free(&store);
    CHECK_OK(remake_open(dir, &store, &err), &err);
    CHECK(all_read(store) && old_says(dir, STR("has lost rows of the bucket")));
    CHECK_OK(store_verify(store, true, NULL, NULL, &verified, &err), &err);
    CHECK_INT(verified.findings, 0);
}

/* The state of an older index is of no use, its rows neither. */
TEST(remake_of_an_older_version)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    const char *dir = filled(&arena, &err);
    Store *store AUTO(store_free) = NULL;
    StoreRemade remade;
    CHECK_OK(remake_open(dir, &store, &err), &err);
    char state[] = { INDEX_VERSION - 1, 0, 0, 0 };
    IndexWrite older = { .key = STR("s"), .value = str_of(state, sizeof state) };
    CHECK_OK(store->index_ops->apply(store->index, &older, 1, &err), &err);
    store_free(&store);
    CHECK_OK(remake_open(dir, &store, &err), &err);
    store_index_remade(store, &remade);
    CHECK(remade.remade && str_find(str_z(remade.reason), STR("earlier")) >= 0 && all_read(store));
}
