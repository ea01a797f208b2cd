/* A power cut at every call that meta makes: what was acknowledged is there, what was not is whole
 * or absent. Also the full disk, the failing sync, and the proof that the test can fail.
 * Covers meta.c, migrations.c, sqlite_vfs.c. */
#include "meta/migrations.h"
#include "meta/meta.h"

#include "base/test.h"
#include "meta/migrations.h"
#include "os/os_sim.h"

#include <stdio.h>
#include <string.h>

#define DB_PATH "/meta/tarn.db"

enum { COMMITS = 10, BIG_VALUE_BYTES = 20000, CHECKPOINT_FRAMES = 24, CALLS_MAX = 500 };

typedef struct Work {
    OsSim *sim;
    Meta *meta;
    int acknowledged; /* commits 1 .. */
    int tried;
} Work;

static const MetaOptions options = { .path = DB_PATH, .checkpoint_frames = CHECKPOINT_FRAMES };

static Uuid commit_uuid(int number)
{
    Uuid uuid = { { 0x01, 0x90 } };
    uuid.bytes[15] = (uint8_t)number;
    return uuid;
}

/* Commit `number`: one namespace more, and the setting says how many there are. */
static Code work_commit(Work *work, int number, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    MetaTxn txn;
    meta_txn_init(&txn, &tmp);
    meta_txn_set_commit(&txn, commit_uuid(number));
    Str big = { arena_alloc(&tmp, BIG_VALUE_BYTES), number % 3 ? 10 : BIG_VALUE_BYTES };
    memset((char *)big.ptr, 'a' + number, big.len);
    Str last = number > 1 ? str_format(&tmp, "%d", number - 1) : STR_NONE;
    meta_require_setting(&txn, STR("last"), last);
    meta_add_namespace(&txn, &(MetaNamespace){ str_format(&tmp, "n%02d", number), big, number });
    meta_put_setting(&txn, STR("last"), str_format(&tmp, "%d", number));
    return meta_commit(work->meta, &txn, err);
}

static Code work_part(Work *work, int from, int to, Err *err)
{
    TRY(meta_open(os_sim_os(work->sim), &options, &work->meta, err));
    for (int i = from; i <= to; i++) {
        work->tried = i;
        Code code = work_commit(work, i, err);
        if (code != E_OK && code != E_UNKNOWN_OUTCOME)
            work->tried = i - 1; /* it said that this one did not happen */
        TRY(code);
        work->acknowledged = i;
    }
    meta_free(&work->meta); /* moves the log into the database and removes it */
    return E_OK;
}

static Code work_run(Work *work, Err *err)
{
    Os *os = os_sim_os(work->sim);
    TRY(os_dir_make(os, "/meta", err));
    TRY(os_dir_sync(os, "/", err));
    TRY(work_part(work, 1, COMMITS / 2, err));
    return work_part(work, COMMITS / 2 + 1, COMMITS, err);
}

/* How many commits the database holds; -1: it contradicts itself. */
static int state_count(Meta *meta, int tried)
{
    Err err;
    Arena tmp AUTO(arena_done) = { 0 };
    AUTO(meta_read_end) MetaRead *read = NULL;
    MetaNamespace *rows = NULL;
    size_t count = 0;
    MetaSetting last = { .value = STR_INIT("0") };
    CHECK_OK(meta_read_begin(meta, &read, &err), &err);
    CHECK_OK(meta_list_namespaces(read, &tmp, &rows, &count, &err), &err);
    Code code = meta_get_setting(read, STR("last"), &tmp, &last, &err);
    int64_t said;
    if ((code != E_OK && code != E_NOT_FOUND) || !str_i64(last.value, &said))
        return -1;
    bool whole = said == (int64_t)count && meta_read_sequence(read) == (int64_t)count;
    for (size_t i = 0; i < count; i++) {
        int number = (int)i + 1;
        size_t len = number % 3 ? 10 : BIG_VALUE_BYTES;
        whole = whole && rows[i].created_us == number && rows[i].properties_json.len == len &&
                rows[i].properties_json.ptr[len - 1] == 'a' + number;
    }
    for (int i = 1; i <= tried; i++) {
        bool exists = false;
        CHECK_OK(meta_commit_exists(meta, commit_uuid(i), &exists, &err), &err);
        whole = whole && exists == (i <= (int)count);
    }
    Str *findings;
    size_t finding_count = 0;
    CHECK_OK(meta_check(meta, &tmp, &findings, &finding_count, &err), &err);
    return whole && finding_count == 0 ? (int)count : -1;
}

/* After the power cut: true when nothing that was acknowledged is lost and nothing is half there. */
static bool work_survived(Work *work)
{
    Err err;
    meta_free(&work->meta);
    os_sim_crash(work->sim);
    os_sim_reboot(work->sim);
    Os *os = os_sim_os(work->sim);
    OsStat stat;
    if (os_stat(os, "/meta", &stat, &err) != E_OK)
        return work->acknowledged == 0;
    if (meta_open(os, &options, &work->meta, &err) != E_OK)
        return false;
    int count = state_count(work->meta, work->tried);
    bool well = count >= work->acknowledged && count <= work->tried;
    /* And it goes on from there: the commit that was cut off is replayed, or the next one is made. */
    for (int i = work->acknowledged + 1; well && i <= work->acknowledged + 2; i++)
        well = work_commit(work, i, &err) == E_OK && state_count(work->meta, i) >= i;
    meta_free(&work->meta);
    return well;
}

static uint64_t calls_of_clean_run(uint64_t seed)
{
    Err err;
    OsSim *sim AUTO(os_sim_free) = os_sim_new(seed);
    Work work = { .sim = sim };
    CHECK_OK(work_run(&work, &err), &err);
    CHECK_INT(work.acknowledged, COMMITS);
    uint64_t calls = os_sim_calls(sim);
    CHECK(work_survived(&work));
    return calls;
}

/* Crashes at each call; gives how many runs lost or tore something. */
static int crash_everywhere(uint64_t seed, bool honest, uint64_t *ret_points)
{
    uint64_t calls = calls_of_clean_run(seed);
    int bad = 0;
    for (uint64_t at = 1; at <= calls; at++) {
        Err err;
        OsSim *sim AUTO(os_sim_free) = os_sim_new(seed);
        Work work = { .sim = sim };
        os_sim_set_honest(sim, honest);
        os_sim_crash_at(sim, at);
        IGNORE(work_run(&work, &err)); /* fails somewhere, or in the closing that says nothing */
        bool well = work_survived(&work);
        if (!well && honest)
            test_failed(__FILE__, __LINE__, "seed %llu, call %llu: %d acknowledged, %d tried",
                        (unsigned long long)seed, (unsigned long long)at, work.acknowledged,
                        work.tried);
        bad += !well;
    }
    *ret_points += calls;
    return bad;
}

TEST(meta_survives_a_power_cut_at_every_call)
{
    uint64_t points = 0;
    for (uint64_t i = 0; i < 4; i++)
        CHECK_INT(crash_everywhere(test_seed() + i, true, &points), 0);
    printf("     %llu power cuts\n", (unsigned long long)points);
}

TEST(meta_power_cuts_without_syncs_lose)
{
    uint64_t points = 0;
    CHECK(crash_everywhere(test_seed(), false, &points) > 0);
}

static void trace_of(uint64_t seed, uint64_t crash_at, uint64_t *ret_trace, uint64_t *ret_calls)
{
    Err err;
    OsSim *sim AUTO(os_sim_free) = os_sim_new(seed);
    Work work = { .sim = sim };
    os_sim_crash_at(sim, crash_at);
    IGNORE(work_run(&work, &err)); /* the crash ends it */
    CHECK(work_survived(&work));
    *ret_trace = os_sim_trace(sim);
    *ret_calls = os_sim_calls(sim);
}

TEST(meta_equal_seeds_give_equal_traces)
{
    for (uint64_t crash_at = 0; crash_at <= 200; crash_at += 40) {
        uint64_t trace[3], calls[3];
        trace_of(test_seed(), crash_at, &trace[0], &calls[0]);
        trace_of(test_seed(), crash_at, &trace[1], &calls[1]);
        trace_of(test_seed() + 1, crash_at, &trace[2], &calls[2]);
        CHECK_INT(trace[0], trace[1]);
        CHECK_INT(calls[0], calls[1]);
        CHECK(trace[0] != trace[2]);
    }
}

/* -- migrations -- */

static Code old_lake_make(Work *work, uint32_t version, Err *err)
{
    Os *os = os_sim_os(work->sim);
    MetaOptions old = { .path = DB_PATH, .version_max = version };
    TRY(os_dir_make(os, "/meta", err));
    TRY(os_dir_sync(os, "/", err));
    TRY(meta_open(os, &old, &work->meta, err));
    TRY(work_commit(work, 1, err));
    meta_free(&work->meta);
    work->tried = work->acknowledged = 1;
    return E_OK;
}

static bool migration_crashes(uint64_t seed, uint32_t from, uint64_t at)
{
    Err err;
    OsSim *sim AUTO(os_sim_free) = os_sim_new(seed);
    Work work = { .sim = sim };
    Os *os = os_sim_os(sim);
    CHECK_OK(old_lake_make(&work, from, &err), &err);
    os_sim_crash_at(sim, os_sim_calls(sim) + at);
    Code code = meta_open(os, &options, &work.meta, &err);
    uint32_t version = code == E_OK ? meta_version(work.meta) : 0;
    bool over = code == E_OK;
    meta_free(&work.meta);
    os_sim_crash(sim);
    os_sim_reboot(sim);
    MetaOptions as_it_is = { .path = DB_PATH, .version_max = from };
    CHECK_OK(meta_open(os, &as_it_is, &work.meta, &err), &err);
    CHECK(meta_version(work.meta) >= MAX(from, version));
    CHECK_INT(state_count(work.meta, 1), 1);
    meta_free(&work.meta);
    CHECK_OK(meta_open(os, &options, &work.meta, &err), &err);
    CHECK_INT(meta_version(work.meta), META_VERSION);
    CHECK_INT(state_count(work.meta, 1), 1);
    meta_free(&work.meta);
    return over;
}

TEST(meta_migration_survives_a_power_cut_at_every_call)
{
    uint64_t points = 0;
    for (uint32_t from = 1; from < META_VERSION; from++) {
        uint64_t at = 1;
        while (at < CALLS_MAX && !migration_crashes(test_seed(), from, at))
            at++;
        CHECK(at < CALLS_MAX);
        points += at;
    }
    CHECK(points > 40);
    printf("     %llu power cuts\n", (unsigned long long)points);
}

/* -- backups -- */

/* True when the backup went through before the power did. */
static bool backup_crashes(uint64_t at)
{
    Err err;
    OsSim *sim AUTO(os_sim_free) = os_sim_new(test_seed() + at);
    Work work = { .sim = sim };
    Os *os = os_sim_os(sim);
    MetaOptions copy = { .path = "/meta/copy.db" };
    CHECK_OK(old_lake_make(&work, 0, &err), &err);
    CHECK_OK(meta_open(os, &options, &work.meta, &err), &err);
    os_sim_crash_at(sim, os_sim_calls(sim) + at);
    Code code = meta_backup(work.meta, copy.path, &err);
    CHECK(work_survived(&work));
    OsStat stat;
    bool is_there = os_stat(os, copy.path, &stat, &err) == E_OK;
    CHECK(is_there || code != E_OK);
    CHECK_OK(meta_open(os, &options, &work.meta, &err), &err);
    if (!is_there)
        CHECK_OK(meta_backup(work.meta, copy.path, &err), &err);
    meta_free(&work.meta);
    CHECK_OK(meta_open(os, &copy, &work.meta, &err), &err);
    CHECK(state_count(work.meta, 0) >= 1); /* the whole of it, as it was or with what came after */
    meta_free(&work.meta);
    return code == E_OK;
}

TEST(meta_backup_is_whole_or_absent)
{
    uint64_t at = 1;
    while (at < CALLS_MAX && !backup_crashes(at))
        at++;
    CHECK(at > 20 && at < CALLS_MAX);
}

/* -- failures without a power cut -- */

TEST(meta_full_disk_commits_nothing)
{
    Err err;
    int refused = 0;
    for (uint64_t room = 0; room < 120000; room += 3000) {
        OsSim *sim AUTO(os_sim_free) = os_sim_new(test_seed());
        Work work = { .sim = sim };
        CHECK_OK(old_lake_make(&work, 0, &err), &err);
        CHECK_OK(meta_open(os_sim_os(sim), &options, &work.meta, &err), &err);
        uint64_t free_bytes = 0;
        CHECK_OK(os_space_free(os_sim_os(sim), "/", &free_bytes, &err), &err);
        os_sim_set_capacity(sim, ((uint64_t)1 << 40) - free_bytes + room + 1);
        for (int i = 2; i <= 4; i++) {
            work.tried = i;
            Code code = work_commit(&work, i, &err);
            if (code != E_OK) {
                CHECK_CODE(code, E_NO_SPACE);
                CHECK(strstr(err.text, "not committed") || strstr(err.text, "metadata"));
                refused++;
                work.tried = i - 1; /* it said that this one did not happen */
                break;
            }
            work.acknowledged = i;
        }
        os_sim_set_capacity(sim, 0);
        CHECK_INT(state_count(work.meta, work.tried), work.acknowledged);
        CHECK(work_survived(&work));
    }
    CHECK(refused > 5);
}

/* One call of a commit fails; `again`: then the same commit is tried again, else the power goes.
 * True when the outcome was unknown. */
static bool failing_call(uint64_t seed, uint64_t at, bool again)
{
    Err err;
    OsSim *sim AUTO(os_sim_free) = os_sim_new(seed);
    Work work = { .sim = sim };
    Code code = E_OK;
    CHECK_OK(old_lake_make(&work, 0, &err), &err);
    CHECK_OK(meta_open(os_sim_os(sim), &options, &work.meta, &err), &err);
    os_sim_fail_at(sim, os_sim_calls(sim) + at, 1, E_IO);
    for (int i = 2; code == E_OK && i <= 5; i++) {
        work.tried = i;
        code = work_commit(&work, i, &err);
        if (code == E_OK)
            work.acknowledged = i;
    }
    if (code == E_UNKNOWN_OUTCOME) {
        bool exists;
        CHECK_CODE(work_commit(&work, work.tried, &err), E_IO); /* fenced */
        CHECK_CODE(meta_commit_exists(work.meta, commit_uuid(work.tried), &exists, &err),
                   E_UNKNOWN_OUTCOME);
    } else if (code != E_OK) {
        CHECK_CODE(code, E_IO);
        CHECK_INT(state_count(work.meta, work.acknowledged), work.acknowledged);
        work.tried = work.acknowledged; /* it said that the last one did not happen */
        if (again) {
            CHECK_OK(work_commit(&work, ++work.tried, &err), &err); /* the machine is well again */
            work.acknowledged++;
        }
    }
    CHECK(work_survived(&work));
    return code == E_UNKNOWN_OUTCOME;
}

TEST(meta_survives_a_failing_call_anywhere)
{
    uint64_t calls = calls_of_clean_run(test_seed());
    int failed = 0;
    for (uint64_t at = 1; at <= calls; at++) {
        Err err;
        OsSim *sim AUTO(os_sim_free) = os_sim_new(test_seed());
        Work work = { .sim = sim };
        os_sim_fail_at(sim, at, 1, at % 2 ? E_IO : E_NO_SPACE);
        Code code = work_run(&work, &err);
        failed += code != E_OK;
        bool well = work_survived(&work);
        if (!well || (code != E_OK && err.text[0] == '\0'))
            test_failed(__FILE__, __LINE__, "call %llu: %s, %d acknowledged, %d tried",
                        (unsigned long long)at, code_info(code)->name, work.acknowledged,
                        work.tried);
    }
    CHECK(failed > 100);
}

TEST(meta_failing_calls_never_lie)
{
    int unknown = 0;
    for (uint64_t at = 1; at <= 50; at++) {
        for (uint64_t i = 0; i < 12; i++)
            unknown += failing_call(test_seed() + i, at, i < 4);
    }
    CHECK(unknown > 0);
}

TEST(meta_damage_at_rest_is_found)
{
    Err err;
    int found = 0;
    for (uint64_t byte = 4096 + 7; byte < 16 * 4096; byte += 4096) {
        OsSim *sim AUTO(os_sim_free) = os_sim_new(test_seed());
        Work work = { .sim = sim };
        CHECK_OK(old_lake_make(&work, 0, &err), &err);
        CHECK_OK(os_sim_flip_bit(sim, DB_PATH, byte, 6, &err), &err);
        Code code = meta_open(os_sim_os(sim), &options, &work.meta, &err);
        CHECK(code == E_OK || code == E_CORRUPT);
        Arena tmp AUTO(arena_done) = { 0 };
        Str *findings;
        size_t count = 0;
        if (code == E_OK)
            CHECK_OK(meta_check(work.meta, &tmp, &findings, &count, &err), &err);
        found += code == E_CORRUPT || count > 0;
        meta_free(&work.meta);
    }
    CHECK(found > 5);
}
