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
    OsStat stat;
    OsFile *again AUTO(os_file_close) = NULL;
    file_make(os, "/a", &again); /* the room is free again */
    CHECK_OK(os_file_allocate(again, 1000, &err), &err);
    CHECK_OK(os_file_truncate(again, 0, &err), &err);
    CHECK_CODE(os_stat(os, "/none/a", &stat, &err), E_NOT_FOUND);
    CHECK_CODE(os_sim_flip_bit(sim, "/a", 0, 0, &err), E_INVALID);
}

/* A failed sync has brought some of the bytes to the disk or none; the next one says OK and has not
 * got the rest. */
TEST(sim_a_failed_sync_is_final)
{
    int kept = 0, lost = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        Err err;
        OsSim *sim AUTO(os_sim_free) = os_sim_new(seed);
        Os *os = os_sim_os(sim);
        OsFile *file AUTO(os_file_close) = NULL;
        OsStat stat;
        file_make(os, "/a", &file);
        CHECK_OK(os_dir_sync(os, "/", &err), &err);
        CHECK_OK(os_file_pwrite(file, STR("0123456789"), 0, &err), &err);
        os_sim_fail_at(sim, os_sim_calls(sim) + 1, 1, E_IO);
        CHECK_CODE(os_file_sync(file, &err), E_IO);
        CHECK_OK(os_file_sync(file, &err), &err);
        os_sim_crash(sim);
        os_sim_reboot(sim);
        CHECK_OK(os_stat(os, "/a", &stat, &err), &err);
        kept += stat.size_bytes == 10;
        lost += stat.size_bytes == 0;
    }
    CHECK(kept > 0 && lost > 0);
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

/* -- the twin does what the machine does: the same random calls on both, the same answers -- */

enum { TWIN_CALLS = 3000, TWIN_NAMES = 6, TWIN_BYTES_MAX = 3000 };

typedef struct Twin {
    Os *os;
    const char *root;
    OsFile *files[TWIN_NAMES];
    Arena arena;
} Twin;

typedef struct TwinCall {
    unsigned kind;
    unsigned a;
    unsigned b;
    unsigned at;
    unsigned len;
} TwinCall;

static const char *twin_path(Twin *twin, unsigned name)
{
    static const char *const names[TWIN_NAMES] = { "f0", "f1", "d0/f2", "d0/f3", "d0", "d1" };
    return str_copy_z(&twin->arena,
                      str_format(&twin->arena, "%s/%s", twin->root, names[name % TWIN_NAMES]));
}

/* Opens, reads, writes a file that is open. Gives the code and a hash of what was seen. */
static Code twin_file_call(Twin *twin, TwinCall call, uint64_t *ret_seen)
{
    OsFile *file = twin->files[call.a];
    static char bytes[TWIN_BYTES_MAX];
    size_t len = 0;
    uint64_t size = 0;
    Code code = E_OK;
    if (!file)
        return E_OK;
    switch (call.kind) {
    case 0:
        memset(bytes, 'a' + (int)(call.b % 26), call.len);
        return os_file_pwrite(file, str_of(bytes, call.len), call.at, NULL);
    case 1:
        code = os_file_pread(file, bytes, call.len, call.at, &len, NULL);
        *ret_seen = str_hash(str_of(bytes, len));
        return code;
    case 2:
        return os_file_truncate(file, call.at, NULL);
    case 3:
        return os_file_allocate(file, call.at + 1, NULL);
    }
    code = os_file_size(file, &size, NULL);
    *ret_seen = size;
    return code;
}

static Code twin_name_call(Twin *twin, TwinCall call, uint64_t *ret_seen)
{
    static const unsigned flags[] = { OS_READ | OS_WRITE, OS_READ | OS_WRITE | OS_CREATE,
                                      OS_READ | OS_WRITE | OS_CREATE | OS_EXCLUSIVE,
                                      OS_READ | OS_WRITE | OS_CREATE | OS_TRUNCATE };
    OsStat stat = { 0 };
    OsDirEntry *entries = NULL;
    size_t count = 0;
    Code code = E_OK;
    switch (call.kind) {
    case 5:
    case 6:
        os_file_close(&twin->files[call.a]);
        return os_file_open(twin->os, twin_path(twin, call.a), flags[call.b % 4],
                            &twin->files[call.a], NULL);
    case 7:
        return os_unlink(twin->os, twin_path(twin, call.a % 4), NULL);
    case 8:
        return os_rename(twin->os, twin_path(twin, call.a % 4), twin_path(twin, call.b % 4), NULL);
    case 9:
        return os_dir_make(twin->os, twin_path(twin, call.a), NULL);
    case 10:
        return os_dir_remove(twin->os, twin_path(twin, 5), NULL);
    case 11:
        code = os_dir_list(twin->os, twin->root, &twin->arena, &entries, &count, NULL);
        for (size_t i = 0; i < count; i++)
            *ret_seen = *ret_seen * 31 + str_hash(entries[i].name) + entries[i].is_dir;
        return code;
    }
    code = os_stat(twin->os, twin_path(twin, call.a), &stat, NULL);
    *ret_seen = stat.is_dir ? 1 : stat.size_bytes + 2;
    return code;
}

static Code twin_call(Twin *twin, TwinCall call, uint64_t *ret_seen)
{
    *ret_seen = 0;
    return call.kind < 5 ? twin_file_call(twin, call, ret_seen)
                         : twin_name_call(twin, call, ret_seen);
}

static void twin_done(Twin *twin)
{
    for (size_t i = 0; i < TWIN_NAMES; i++)
        os_file_close(&twin->files[i]);
    arena_done(&twin->arena);
}

TEST(sim_answers_as_the_machine_does)
{
    OsSim *sim AUTO(os_sim_free) = os_sim_new(test_seed());
    OsSim *dice AUTO(os_sim_free) = os_sim_new(test_seed());
    Twin real AUTO(twin_done) = { .os = os_real(), .root = test_dir() };
    Twin twin AUTO(twin_done) = { .os = os_sim_os(sim), .root = "" };
    int seen_codes[E_COUNT] = { 0 };
    for (int i = 0; i < TWIN_CALLS; i++) {
        uint16_t r[5];
        uint64_t seen[2];
        os_random(os_sim_os(dice), r, sizeof r);
        TwinCall call = { r[0] % 13, r[1] % TWIN_NAMES, r[2] % TWIN_NAMES, r[3] % TWIN_BYTES_MAX,
                          r[4] % TWIN_BYTES_MAX };
        Code wanted = twin_call(&real, call, &seen[0]);
        Code got = twin_call(&twin, call, &seen[1]);
        seen_codes[wanted]++;
        if (got != wanted || seen[0] != seen[1]) {
            test_failed(__FILE__, __LINE__, "call %d (kind %u, %u, %u): %s, the machine: %s", i,
                        call.kind, call.a, call.b, code_info(got)->name, code_info(wanted)->name);
            return;
        }
    }
    CHECK(seen_codes[E_OK] > 500 && seen_codes[E_NOT_FOUND] > 50 && seen_codes[E_EXISTS] > 10);
}
