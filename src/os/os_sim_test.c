/* Covers os_sim.c and os_sim_disk.c. */
#include "os/os_sim.h"

#include "base/test.h"

#include <string.h>

static void file_make(Os *os, const char *path, OsFile **ret_file)
{
    Err err;
    CHECK_OK(os_file_open(os, path, OS_READ | OS_WRITE | OS_CREATE, ret_file, &err), &err);
}

static bool is_there(Os *os, const char *path)
{
    OsStat stat;
    return os_stat(os, path, &stat, NULL) == E_OK;
}

TEST(sim_keeps_what_was_synced)
{
    for (uint64_t seed = 1; seed <= 64; seed++) {
        Err err;
        OsSim *sim AUTO(os_sim_free) = os_sim_new(seed);
        Os *os = os_sim_os(sim);
        OsFile *file AUTO(os_file_close) = NULL;
        file_make(os, "/a", &file);
        CHECK_OK(os_file_pwrite(file, STR("kept"), 0, &err), &err);
        CHECK_OK(os_file_sync(file, &err), &err);
        CHECK_OK(os_dir_sync(os, "/", &err), &err);
        CHECK_OK(os_file_pwrite(file, STR("lost"), 4, &err), &err);
        os_sim_crash(sim);
        CHECK_CODE(os_file_sync(file, &err), E_IO);
        os_sim_reboot(sim);
        CHECK_CODE(os_file_sync(file, &err), E_IO);
        Buf bytes AUTO(buf_done);
        buf_init(&bytes, 64);
        CHECK_OK(os_read_whole(os, "/a", &bytes, &err), &err);
        CHECK(str_starts(buf_str(&bytes), STR("kept")));
    }
}

/* Over many seeds each outcome of an unsynced write must come up, or the simulator is too kind. */
TEST(sim_loses_tears_and_reorders)
{
    int whole = 0, none = 0, second_only = 0, torn = 0, nameless = 0;
    static char big[4 * OS_SIM_SECTOR_BYTES];
    memset(big, 'x', sizeof big);
    for (uint64_t seed = 1; seed <= 400; seed++) {
        Err err;
        OsSim *sim AUTO(os_sim_free) = os_sim_new(seed);
        Os *os = os_sim_os(sim);
        OsFile *file AUTO(os_file_close) = NULL;
        file_make(os, "/a", &file);
        CHECK_OK(os_file_allocate(file, 2 * sizeof big, &err), &err);
        CHECK_OK(os_file_sync(file, &err), &err);
        CHECK_OK(os_dir_sync(os, "/", &err), &err);
        OsFile *other AUTO(os_file_close) = NULL;
        file_make(os, "/b", &other);
        CHECK_OK(os_file_pwrite(file, str_of(big, sizeof big), 0, &err), &err);
        CHECK_OK(os_file_pwrite(file, str_of(big, sizeof big), sizeof big, &err), &err);
        os_sim_crash(sim);
        os_sim_reboot(sim);
        Buf bytes AUTO(buf_done);
        buf_init(&bytes, 2 * sizeof big);
        CHECK_OK(os_read_whole(os, "/a", &bytes, &err), &err);
        CHECK_INT(bytes.len, 2 * sizeof big);
        bool first = memcmp(bytes.ptr, big, sizeof big) == 0;
        bool second = memcmp(bytes.ptr + sizeof big, big, sizeof big) == 0;
        bool any = memchr(bytes.ptr, 'x', bytes.len) != NULL;
        whole += first && second;
        none += !any;
        second_only += second && !first;
        torn += any && !first && !second;
        nameless += !is_there(os, "/b");
    }
    CHECK(whole > 0 && none > 0 && second_only > 0 && torn > 0);
    CHECK(nameless > 0 && nameless < 400);
}

TEST(sim_rename_is_atomic)
{
    int old = 0, fresh = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        Err err;
        OsSim *sim AUTO(os_sim_free) = os_sim_new(seed);
        Os *os = os_sim_os(sim);
        CHECK_OK(os_write_whole(os, "/f", STR("old"), &err), &err);
        uint64_t before = os_sim_calls(sim);
        os_sim_crash_at(sim, before + 1 + seed % 6);
        bool said = os_write_whole(os, "/f", STR("new"), NULL) == E_OK;
        os_sim_crash(sim);
        os_sim_reboot(sim);
        Buf bytes AUTO(buf_done);
        buf_init(&bytes, 64);
        CHECK_OK(os_read_whole(os, "/f", &bytes, &err), &err);
        bool is_new = str_eq(buf_str(&bytes), STR("new"));
        CHECK(is_new || str_eq(buf_str(&bytes), STR("old")));
        CHECK(is_new || !said);
        old += !is_new;
        fresh += is_new;
    }
    CHECK(old > 0 && fresh > 0);
}

static uint64_t trace_of(uint64_t seed)
{
    Err err;
    OsSim *sim AUTO(os_sim_free) = os_sim_new(seed);
    Os *os = os_sim_os(sim);
    CHECK_OK(os_dir_make(os, "/d", &err), &err);
    Uuid uuid = os_uuid(os);
    CHECK_OK(os_write_whole(os, "/d/u", str_of(uuid.bytes, 16), &err), &err);
    os_sim_crash(sim);
    os_sim_reboot(sim);
    Arena tmp AUTO(arena_done) = { 0 };
    OsDirEntry *entries;
    size_t count;
    CHECK_OK(os_dir_list(os, "/", &tmp, &entries, &count, &err), &err);
    return os_sim_trace(sim);
}

TEST(sim_equal_seeds_equal_traces)
{
    CHECK_INT(trace_of(7), trace_of(7));
    CHECK(trace_of(7) != trace_of(8));
}

TEST(sim_failures)
{
    Err err;
    OsSim *sim AUTO(os_sim_free) = os_sim_new(3);
    Os *os = os_sim_os(sim);
    OsFile *file AUTO(os_file_close) = NULL;
    file_make(os, "/a", &file);
    os_sim_set_capacity(sim, 1000);
    CHECK_CODE(os_file_allocate(file, 1001, &err), E_NO_SPACE);
    CHECK_OK(os_file_allocate(file, 1000, &err), &err);
    CHECK_OK(os_unlink(os, "/a", &err), &err);
    OsFile *again AUTO(os_file_close) = NULL;
    file_make(os, "/a", &again);
    CHECK_OK(os_file_pwrite(again, STR("0123456789"), 0, &err), &err);
    /* A sync that failed has lost the bytes; the next one says OK and still has not got them. */
    os_sim_fail_at(sim, os_sim_calls(sim) + 1, 1, E_IO);
    CHECK_CODE(os_file_sync(again, &err), E_IO);
    CHECK_OK(os_file_sync(again, &err), &err);
    CHECK_OK(os_dir_sync(os, "/", &err), &err);
    os_sim_crash(sim);
    os_sim_reboot(sim);
    OsStat stat;
    CHECK_OK(os_stat(os, "/a", &stat, &err), &err);
    CHECK_INT(stat.size_bytes, 0);
    CHECK_CODE(os_stat(os, "/none/a", &stat, &err), E_NOT_FOUND);
    CHECK_CODE(os_sim_flip_bit(sim, "/a", 0, 0, &err), E_INVALID);
}

/* The control run: when syncs lie, a synced byte can be lost; else crash tests prove nothing. */
TEST(sim_dishonest_syncs_lose)
{
    int lost = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        Err err;
        OsSim *sim AUTO(os_sim_free) = os_sim_new(seed);
        Os *os = os_sim_os(sim);
        os_sim_set_honest(sim, false);
        CHECK_OK(os_write_whole(os, "/f", STR("x"), &err), &err);
        os_sim_crash(sim);
        os_sim_reboot(sim);
        lost += !is_there(os, "/f");
    }
    CHECK(lost > 0);
}
