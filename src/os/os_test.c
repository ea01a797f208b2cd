/* Tests of os.c and os_real.c. */
#include "os/os.h"

#include "base/test.h"

#include <stdio.h>
#include <string.h>

static const char *path_in_dir(char path[512], const char *name)
{
    snprintf(path, 512, "%s/%s", test_dir(), name);
    return path;
}

TEST(os_file_round_trip)
{
    Err err;
    char path[512];
    AUTO(os_file_close) OsFile *file = NULL;
    path_in_dir(path, "a");
    CHECK_OK(os_file_open(os_real(), path, OS_READ | OS_WRITE | OS_CREATE | OS_EXCLUSIVE, &file, &err), &err);
    CHECK_OK(os_file_pwrite(file, STR("hello"), 3, &err), &err);
    CHECK_OK(os_file_sync(file, &err), &err);
    char bytes[16];
    size_t len = 0;
    CHECK_OK(os_file_pread(file, bytes, sizeof bytes, 3, &len, &err), &err);
    CHECK_STR(str_of(bytes, len), STR("hello"));
    OsFile *again = NULL;
    CHECK_CODE(os_file_open(os_real(), path, OS_WRITE | OS_CREATE | OS_EXCLUSIVE, &again, &err), E_EXISTS);
    CHECK(strstr(err.text, path));
    CHECK_CODE(os_file_open(os_real(), path_in_dir(path, "none"), OS_READ, &again, &err), E_NOT_FOUND);
}

TEST(os_file_reads_two_parts)
{
    Err err;
    char path[512], a[4] = "", b[16] = "";
    size_t len = 0;
    AUTO(os_file_close) OsFile *file = NULL;
    path_in_dir(path, "two");
    CHECK_OK(os_file_open(os_real(), path, OS_READ | OS_WRITE | OS_CREATE, &file, &err), &err);
    CHECK_OK(os_file_pwrite(file, STR("0123456789"), 0, &err), &err);
    OsPart parts[2] = { { a, 4 }, { b, 5 } };
    CHECK_OK(os_file_pread_two(file, parts, 1, false, &len, &err), &err);
    CHECK_INT(len, 9);
    CHECK_STR(str_of(a, 4), STR("1234"));
    CHECK_STR(str_of(b, 5), STR("56789"));
    memset(a, 0, sizeof a);
    if (os_file_pread_two(file, parts, 1, true, &len, &err) == E_OK) /* not every file system can say */
        CHECK_STR(str_of(a, 4), STR("1234"));
    parts[1].len = sizeof b;
    CHECK_OK(os_file_pread_two(file, parts, 1, false, &len, &err), &err);
    CHECK_INT(len, 9);
    CHECK_CODE(os_file_pread_two(file, parts, 1, true, &len, NULL), E_UNAVAILABLE);
}

TEST(os_file_direct_is_read_back)
{
    Err err;
    char path[512], bytes[8];
    size_t len = 0;
    AUTO(os_file_close) OsFile *file = NULL, *direct = NULL;
    static _Alignas(OS_BLOCK_BYTES) char block[OS_BLOCK_BYTES];
    path_in_dir(path, "direct");
    CHECK_OK(os_file_open(os_real(), path, OS_READ | OS_WRITE | OS_CREATE, &file, &err), &err);
    CHECK_OK(os_file_open(os_real(), path, OS_WRITE | OS_DIRECT, &direct, &err), &err);
    for (char c = 'a'; c < 'd'; c++) { /* what the cache has of it goes */
        memset(block, c, sizeof block);
        CHECK_OK(os_file_pwrite(direct, str_of(block, sizeof block), OS_BLOCK_BYTES, &err), &err);
        CHECK_OK(os_file_pread(file, bytes, sizeof bytes, OS_BLOCK_BYTES + 100, &len, &err), &err);
        CHECK_STR(str_of(bytes, len), str_of(block, sizeof bytes));
    }
}

TEST(os_file_lock_is_for_one)
{
    Err err;
    char path[512];
    AUTO(os_file_close) OsFile *first = NULL;
    AUTO(os_file_close) OsFile *second = NULL;
    path_in_dir(path, "LOCK");
    CHECK_OK(os_file_open(os_real(), path, OS_WRITE | OS_CREATE, &first, &err), &err);
    CHECK_OK(os_file_open(os_real(), path, OS_WRITE, &second, &err), &err);
    CHECK_OK(os_file_lock(first, &err), &err);
    CHECK_CODE(os_file_lock(second, &err), E_UNAVAILABLE);
    os_file_close(&first);
    CHECK_OK(os_file_lock(second, &err), &err);
}

TEST(os_write_whole_replaces)
{
    Err err;
    char path[512];
    Buf bytes AUTO(buf_done);
    buf_init(&bytes, 5);
    path_in_dir(path, "w");
    CHECK_OK(os_write_whole(os_real(), path, STR("one"), &err), &err);
    CHECK_OK(os_write_whole(os_real(), path, STR("three"), &err), &err);
    CHECK_OK(os_read_whole(os_real(), path, &bytes, &err), &err);
    CHECK_STR(buf_str(&bytes), STR("three"));
    CHECK_OK(os_write_whole(os_real(), path, STR("eleven"), &err), &err);
    buf_clear(&bytes);
    CHECK_CODE(os_read_whole(os_real(), path, &bytes, &err), E_LIMIT);
}

TEST(os_dir_list_is_ordered)
{
    Err err;
    char path[512];
    Arena tmp AUTO(arena_done) = { 0 };
    const char *const names[] = { "c", "a", "b" };
    for (size_t i = 0; i < 3; i++)
        CHECK_OK(os_dir_make(os_real(), path_in_dir(path, names[i]), &err), &err);
    OsDirEntry *entries = NULL;
    size_t count = 0;
    CHECK_OK(os_dir_list(os_real(), test_dir(), &tmp, &entries, &count, &err), &err);
    CHECK_INT(count, 3);
    CHECK_STR(entries[0].name, STR("a"));
    CHECK(entries[2].is_dir);
    CHECK_OK(os_dir_remove(os_real(), path, &err), &err);
    CHECK_OK(os_dir_sync(os_real(), test_dir(), &err), &err);
}

TEST(os_uuids_sort_by_time)
{
    Uuid a = os_uuid(os_real());
    Uuid b = os_uuid(os_real());
    CHECK(!uuid_eq(a, b));
    CHECK(memcmp(a.bytes, b.bytes, 6) <= 0);
}
