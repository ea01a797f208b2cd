/* store_fixture.c: the store that several tests begin with, and what is left of one whose process was killed. */
#include "store/store_fixture.h"

#include "base/test.h"
#include "store/store_conformance.h"

#include <stdio.h>
#include <string.h>

#define BUCKET FIXTURE_BUCKET

#if defined(__SANITIZE_THREAD__)
const bool fixture_has_rocksdb = false;
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
const bool fixture_has_rocksdb = false;
#else
const bool fixture_has_rocksdb = true;
#endif
#else
const bool fixture_has_rocksdb = true;
#endif

Code fixture_open(const char *index, Store **store, Err *err)
{
    static char dir[OS_PATH_MAX];
    snprintf(dir, sizeof dir, "%s/store", test_dir());
    StoreOptions options = { .index = index, .dir = dir, .segment_bytes = 1 << 20,
                             .trash_seconds = -1 };
    return store_open(os_real(), &options, store, err);
}

size_t fixture_files(const char *name)
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

/* Objects of all kinds, some replaced, some deleted. */
void fixture_fill(Store *store)
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

void fixture_check(Store *store)
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

void fixture_image_take(const char *name)
{
    Arena arena AUTO(arena_done) = { 0 };
    tree_copy(str_format(&arena, "%s/store%c", test_dir(), 0).ptr,
              str_format(&arena, "%s/%s%c", test_dir(), name, 0).ptr);
}

Code fixture_image_open(const char *name, Store **store, Err *err)
{
    char dir[OS_PATH_MAX];
    snprintf(dir, sizeof dir, "%s/%s", test_dir(), name);
    StoreOptions options = { .dir = dir };
    return store_open(os_real(), &options, store, err);
}
