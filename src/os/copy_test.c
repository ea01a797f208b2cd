/* Covers copy.c: the bytes are the same by each way, an absent source and a present target are refused. */
#include "base/test.h"
#include "os/copy.h"
#include "os/os.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEN = 700001 };

static Code step_count(void *arg, uint64_t bytes, Err *err)
{
    uint64_t *sum = arg;
    *sum += bytes;
    return *sum > 2 * (uint64_t)LEN ? err_set(err, E_CANCELLED, "enough") : E_OK;
}

static bool same(const char *a, const char *b)
{
    Buf one AUTO(buf_done), two AUTO(buf_done);
    buf_init(&one, LEN + 1);
    buf_init(&two, LEN + 1);
    return os_read_whole(os_real(), a, &one, NULL) == E_OK && os_read_whole(os_real(), b, &two, NULL) == E_OK &&
           str_eq(buf_str(&one), buf_str(&two));
}

TEST(os_copy_by_each_way)
{
    Err err;
    char dir[] = "/tmp/tarn-copy-XXXXXX", paths[4][64];
    static char bytes[LEN];
    CopyWay way;
    uint64_t sum = 0;
    CHECK(mkdtemp(dir) != NULL);
    for (size_t i = 0; i < LEN; i++)
        bytes[i] = (char)(i * 31 + i / 251);
    for (int i = 0; i < 4; i++)
        snprintf(paths[i], sizeof paths[i], "%s/%d", dir, i);
    CHECK_OK(os_write_whole(os_real(), paths[0], str_of(bytes, LEN), &err), &err);
    CHECK_OK(os_copy(paths[0], paths[1], false, step_count, &sum, &way, &err), &err);
    CHECK(same(paths[0], paths[1]) && sum == LEN && way != COPY_NAMED);
    CHECK_OK(os_copy(paths[0], paths[2], true, step_count, &sum, &way, &err), &err);
    CHECK(same(paths[0], paths[2]) && sum == 2 * (uint64_t)LEN);
    CHECK_CODE(os_copy(paths[0], paths[2], true, NULL, NULL, &way, &err), E_EXISTS);
    CHECK_CODE(os_copy("/proc/self/absent", paths[3], true, NULL, NULL, &way, &err), E_NOT_FOUND);
    CHECK_CODE(os_copy(paths[0], paths[3], false, step_count, &sum, &way, &err), E_CANCELLED);
    CHECK_CODE(os_link(paths[0], paths[1], &err), E_EXISTS);
    CHECK_OK(os_filesystem_sync(dir, &err), &err);
    for (int i = 0; i < 4; i++)
        CHECK_OK(os_unlink(os_real(), paths[i], &err), &err);
    CHECK_OK(os_dir_remove(os_real(), dir, &err), &err);
}
