/* Crash and fault tests of the store on the simulated machine, with the index in memory: each start
 * rebuilds it from the journal. */
#include "base/test.h"
#include "os/os_sim.h"
#include "store/store_conformance.h"
#include "store/store_keep.h"
#include "store/upload.h"

#include <string.h>

#define BUCKET STR("bronze")
enum { SMALL_LEN = 5000, LARGE_LEN = 140000, MANY = 5 };

/* What was acknowledged, step by step. */
typedef struct Acks {
    bool bucket, small, large, replaced, many, deleted, part, completed, versioned, marked, purged;
} Acks;

static Code sim_open(OsSim *sim, Store **store, Err *err)
{
    StoreOptions options = { .index = "memory", .dir = "/s", .segment_bytes = 256 * 1024,
                             .trash_seconds = -1 };
    return store_open(os_sim_os(sim), &options, store, err);
}

static Code publish_many(Store *store, Err *err)
{
    StagedObject *staged[MANY] = { NULL };
    StorePut puts[MANY];
    static const Str keys[MANY] = { STR_INIT("m0"), STR_INIT("m1"), STR_INIT("m2"), STR_INIT("m3"),
                                    STR_INIT("m4") };
    static char bytes[LARGE_LEN];
    Code code = E_OK;
    for (uint64_t i = 0; i < MANY && code == E_OK; i++) {
        size_t len = i % 2 ? LARGE_LEN : SMALL_LEN;
        pattern_fill(bytes, len, 10 + i, 0);
        code = store_stage(store, &staged[i], err);
        if (code == E_OK)
            code = store_stage_write(staged[i], str_of(bytes, len), err);
        if (code == E_OK)
            code = store_stage_finish(staged[i], err);
        puts[i] = (StorePut){ .take_staged = staged[i], .bucket = BUCKET, .key = keys[i] };
    }
    if (code == E_OK)
        code = store_publish(store, puts, MANY, NULL, err);
    for (int i = 0; i < MANY && code != E_OK; i++)
        store_stage_abort(&staged[i]);
    return code;
}

static Code part_put(Store *store, const StoreUploadId *id, StorePart *part, Err *err)
{
    static char bytes[LARGE_LEN];
    StagedObject *staged AUTO(store_stage_abort) = NULL;
    pattern_fill(bytes, LARGE_LEN, 50, 0);
    *part = (StorePart){ .number = 7, .size_bytes = LARGE_LEN, .md5 = { 1 } };
    TRY(store_stage_part(store, &staged, err));
    TRY(store_stage_write(staged, str_of(bytes, LARGE_LEN), err));
    TRY(store_stage_finish(staged, err));
    return store_upload_part(store, BUCKET, STR("up"), id, part, &staged, err);
}

/* An upload of one part, sent twice; then versions count. */
static Code late_steps(Store *store, Acks *acks, Err *err)
{
    StoreUpload upload = { .bucket = BUCKET, .key = STR("up") };
    StoreUploadId id;
    StorePart part;
    uint64_t sequence;
    TRY(store_upload_create(store, &upload, &id, err));
    TRY(part_put(store, &id, &part, err));
    acks->part = true;
    TRY(part_put(store, &id, &part, err));
    StoreComplete complete = { .bucket = BUCKET, .key = STR("up"), .id = id, .parts = &part, .part_count = 1 };
    TRY(store_upload_complete(store, &complete, &sequence, err));
    acks->completed = true;
    TRY(store_bucket_set_versioning(store, BUCKET, VERSIONING_ENABLED, err));
    TRY(pattern_put(store, BUCKET, STR("v"), SMALL_LEN, 60, err));
    TRY(pattern_put(store, BUCKET, STR("v"), SMALL_LEN + 1, 61, err));
    acks->versioned = true;
    TRY(store_delete(store, BUCKET, STR("v"), err));
    acks->marked = true;
    StorePurged purged;
    TRY(store_trash_purge(store, NULL, &purged, err));
    acks->purged = purged.objects == 2; /* the replaced "large", the part that was sent twice */
    return E_OK;
}

static Code steps(Store *store, Acks *acks, Err *err)
{
    TRY(store_bucket_create(store, BUCKET, err));
    acks->bucket = true;
    TRY(pattern_put(store, BUCKET, STR("small"), SMALL_LEN, 1, err));
    acks->small = true;
    TRY(pattern_put(store, BUCKET, STR("large"), LARGE_LEN, 2, err));
    acks->large = true;
    TRY(pattern_put(store, BUCKET, STR("large"), LARGE_LEN + 1, 3, err));
    acks->replaced = true;
    TRY(publish_many(store, err));
    acks->many = true;
    TRY(store_delete(store, BUCKET, STR("small"), err));
    acks->deleted = true;
    return late_steps(store, acks, err);
}

static Code work(OsSim *sim, Acks *acks, Err *err)
{
    Store *store AUTO(store_free) = NULL;
    TRY(sim_open(sim, &store, err));
    return steps(store, acks, err);
}

static bool is_there(Store *store, Str key)
{
    Arena arena AUTO(arena_done) = { 0 };
    ObjectInfo info;
    return store_head(store, BUCKET, key, &arena, &info, NULL) == E_OK;
}

#define HOLDS(condition)                                                 \
    do {                                                                 \
        if (!(condition))                                                \
            test_failed(__FILE__, __LINE__, "point %llu variant %d: %s", \
                        (unsigned long long)point, variant, #condition); \
    } while (0)

static size_t versions_of(Store *store, Str key)
{
    Arena arena AUTO(arena_done) = { 0 };
    StoreListQuery query = { .bucket = BUCKET, .prefix = key, .versions = true };
    StoreListPage page = { 0 };
    return store_list(store, &query, &arena, &page, NULL) == E_OK ? page.object_count : 0;
}

static size_t parts_waiting(Store *store)
{
    Arena arena AUTO(arena_done) = { 0 };
    StoreUploadQuery query = { .bucket = BUCKET };
    StoreUploadPage page = { 0 };
    StorePart *parts;
    size_t sum = 0, count = 0;
    bool truncated;
    if (store_upload_list(store, &query, &arena, &page, NULL) != E_OK)
        return 0; /* no bucket yet */
    for (size_t i = 0; i < page.upload_count; i++, sum += count)
        if (store_upload_parts(store, BUCKET, STR("up"), &page.uploads[i].id, 0, 0, &arena, &parts, &count,
                               &truncated, NULL) != E_OK)
            count = 0;
    return sum;
}

/* Acknowledged is there; unacknowledged is whole or absent. */
static void check_state(Store *store, const Acks *acks, uint64_t point, int variant)
{
    bool small = is_there(store, STR("small"));
    bool large_old = pattern_is(store, BUCKET, STR("large"), LARGE_LEN, 2);
    bool large_new = pattern_is(store, BUCKET, STR("large"), LARGE_LEN + 1, 3);
    HOLDS(!small || pattern_is(store, BUCKET, STR("small"), SMALL_LEN, 1));
    HOLDS(!acks->small || small || acks->many);
    HOLDS(!acks->deleted || !small);
    HOLDS(!is_there(store, STR("large")) || large_old || large_new);
    HOLDS(!acks->large || large_old || large_new);
    HOLDS(!acks->replaced || large_new);
    int many = 0;
    static const Str keys[MANY] = { STR_INIT("m0"), STR_INIT("m1"), STR_INIT("m2"), STR_INIT("m3"),
                                    STR_INIT("m4") };
    for (uint64_t i = 0; i < MANY; i++) {
        many += is_there(store, keys[i]);
        HOLDS(!is_there(store, keys[i]) ||
              pattern_is(store, BUCKET, keys[i], i % 2 ? LARGE_LEN : SMALL_LEN, 10 + i));
    }
    HOLDS(!acks->completed || pattern_is(store, BUCKET, STR("up"), LARGE_LEN, 50));
    HOLDS(!acks->versioned || versions_of(store, STR("v")) >= 2);
    HOLDS(!acks->marked || (versions_of(store, STR("v")) == 3 && !is_there(store, STR("v"))));
    HOLDS(!acks->part || is_there(store, STR("up")) || parts_waiting(store) == 1);
    HOLDS(many == 0 || many == MANY);
    HOLDS(!acks->many || many == MANY);
}

/* Files below objects/ once the trash is out: as many as large objects, so nothing leaked. */
static void check_no_leak(OsSim *sim, Store *store, uint64_t point, int variant)
{
    Arena arena AUTO(arena_done) = { 0 };
    Err err;
    StorePurged purged;
    StoreUsage usage = { 0 };
    HOLDS(store_trash_purge(store, NULL, &purged, &err) == E_OK && store_usage(store, &usage, &err) == E_OK);
    HOLDS(usage.trash_objects == 0 && usage.trash_bytes == 0);
    size_t files = 0, wanted = is_there(store, STR("large"));
    wanted += is_there(store, STR("m1")) + is_there(store, STR("m3"));
    wanted += is_there(store, STR("up")) + parts_waiting(store);
    for (unsigned i = 0; i < 256; i++) {
        Str dir = str_format(&arena, "/s/objects/%02x%c", i, 0);
        OsDirEntry *entries;
        size_t count = 0;
        CHECK_OK(os_dir_list(os_sim_os(sim), dir.ptr, &arena, &entries, &count, &err), &err);
        files += count;
    }
    HOLDS(files == wanted);
}

static void check_after(OsSim *sim, const Acks *acks, uint64_t point, int variant)
{
    Err err;
    Store *store AUTO(store_free) = NULL;
    Code code = sim_open(sim, &store, &err);
    if (code != E_OK) {
        test_failed(__FILE__, __LINE__, "point %llu variant %d: %s", (unsigned long long)point,
                    variant, err.text);
        return;
    }
    check_state(store, acks, point, variant);
    check_no_leak(sim, store, point, variant);
    bool bucket = false;
    HOLDS(store_bucket_exists(store, BUCKET, &bucket, NULL) == E_OK && (bucket || !acks->bucket));
    if (!bucket)
        HOLDS(store_bucket_create(store, BUCKET, &err) == E_OK);
    HOLDS(pattern_put(store, BUCKET, STR("after"), LARGE_LEN, 77, &err) == E_OK);
    HOLDS(pattern_is(store, BUCKET, STR("after"), LARGE_LEN, 77));
}

/* The calls of a run, and how many of them belong to the first start. */
static uint64_t count_calls(uint64_t seed, uint64_t *ret_start)
{
    OsSim *sim AUTO(os_sim_free) = os_sim_new(seed);
    Err err;
    Acks acks = { 0 };
    Store *store = NULL;
    CHECK_OK(sim_open(sim, &store, &err), &err);
    *ret_start = os_sim_calls(sim);
    CHECK_OK(steps(store, &acks, &err), &err);
    CHECK(acks.deleted && acks.marked && acks.purged);
    store_free(&store);
    return os_sim_calls(sim);
}

/* All calls, but of the 256 directories that the first start makes only some. */
static uint64_t point_next(uint64_t point, uint64_t start)
{
    uint64_t first = 10, last = start - 30;
    return point < first || point >= last ? point + 1 : MIN(point + 37, last);
}

TEST(store_survives_a_crash_at_every_call)
{
    uint64_t seed = test_seed(), start;
    uint64_t calls = count_calls(seed, &start);
    for (uint64_t point = 1; point <= calls; point = point_next(point, start))
        for (int variant = 0; variant < 2; variant++) {
            OsSim *sim AUTO(os_sim_free) = os_sim_new(seed + (uint64_t)variant);
            Err err;
            Acks acks = { 0 };
            os_sim_crash_at(sim, point);
            IGNORE(work(sim, &acks, &err)); /* most fail: the power is gone */
            os_sim_reboot(sim);
            check_after(sim, &acks, point, variant);
        }
}

/* Variants: IO and NO_SPACE, each followed by a power cut, or only by a new start. */
TEST(store_errors_leave_no_leak_and_no_half_object)
{
    uint64_t seed = test_seed(), start;
    uint64_t calls = count_calls(seed, &start);
    for (uint64_t point = 1; point <= calls; point = point_next(point, start))
        for (int variant = 0; variant < 4; variant++) {
            OsSim *sim AUTO(os_sim_free) = os_sim_new(seed);
            Err err;
            Acks acks = { 0 };
            os_sim_fail_at(sim, point, 1, variant % 2 ? E_NO_SPACE : E_IO);
            IGNORE(work(sim, &acks, &err));
            os_sim_fail_at(sim, 0, 0, E_IO);
            if (variant < 2) {
                os_sim_crash(sim);
                os_sim_reboot(sim);
            }
            check_after(sim, &acks, point, variant);
        }
}

/* Fills several segments with what is mostly dead, then compacts twice with a put between. */
static Code churn(OsSim *sim, bool *ret_filled, Err *err)
{
    Store *store AUTO(store_free) = NULL;
    TRY(sim_open(sim, &store, err));
    TRY(store_bucket_create(store, BUCKET, err));
    TRY(pattern_put(store, BUCKET, STR("small"), SMALL_LEN, 1, err));
    TRY(pattern_put(store, BUCKET, STR("large"), LARGE_LEN, 2, err));
    TRY(pattern_put(store, BUCKET, STR("gone"), SMALL_LEN, 4, err));
    TRY(store_delete(store, BUCKET, STR("gone"), err));
    for (uint64_t i = 0; i < 12; i++)
        TRY(pattern_put(store, BUCKET, STR("hot"), 100000, i, err));
    *ret_filled = true;
    size_t freed = 0;
    TRY(store_compact(store, NULL, &freed, err));
    CHECK(freed >= 3);
    TRY(pattern_put(store, BUCKET, STR("hot"), 100000, 11, err));
    return store_compact(store, NULL, &freed, err);
}

TEST(store_compaction_survives_a_crash_at_every_call)
{
    uint64_t seed = test_seed();
    Err err;
    bool filled = false;
    OsSim *clean AUTO(os_sim_free) = os_sim_new(seed);
    CHECK_OK(churn(clean, &filled, &err), &err);
    uint64_t calls = os_sim_calls(clean);
    for (uint64_t point = 270; point <= calls; point++)
        for (int variant = 0; variant < 3; variant++) {
            OsSim *sim AUTO(os_sim_free) = os_sim_new(seed + (uint64_t)variant);
            filled = false;
            if (variant == 2)
                os_sim_fail_at(sim, point, 1, E_NO_SPACE);
            else
                os_sim_crash_at(sim, point);
            IGNORE(churn(sim, &filled, &err));
            os_sim_crash(sim);
            os_sim_reboot(sim);
            Store *store AUTO(store_free) = NULL;
            HOLDS(sim_open(sim, &store, &err) == E_OK);
            if (!filled || !store)
                continue;
            HOLDS(pattern_is(store, BUCKET, STR("hot"), 100000, 11));
            HOLDS(pattern_is(store, BUCKET, STR("small"), SMALL_LEN, 1));
            HOLDS(pattern_is(store, BUCKET, STR("large"), LARGE_LEN, 2));
            HOLDS(!is_there(store, STR("gone")));
            HOLDS(store_sequence(store) >= 17);
            bool bucket = false;
            HOLDS(store_bucket_exists(store, BUCKET, &bucket, &err) == E_OK && bucket);
        }
}

/* A body in a file of its own, or the directory of its name, cannot be synced: the drive takes nothing more, not even
 * what would go elsewhere. */
TEST(store_is_fenced_by_every_failed_sync)
{
    size_t fenced = 0;
    for (uint64_t point = 1; point <= 20; point++) {
        OsSim *sim AUTO(os_sim_free) = os_sim_new(point);
        Store *store AUTO(store_free) = NULL;
        Err err;
        CHECK_OK(sim_open(sim, &store, &err), &err);
        CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
        os_sim_fail_at(sim, os_sim_calls(sim) + point, 1, E_IO);
        Code code = pattern_put(store, BUCKET, STR("large"), LARGE_LEN, 1, &err);
        os_sim_fail_at(sim, 0, 0, E_IO);
        Code writable = store_writable(store, &err);
        Code next = pattern_put(store, BUCKET, STR("small"), SMALL_LEN, 2, &err);
        CHECK_INT(writable, next);
        CHECK(next == E_OK || (code != E_OK && next == E_UNAVAILABLE));
        CHECK(!is_there(store, STR("small")) == (next != E_OK));
        fenced += next == E_UNAVAILABLE;
    }
    CHECK_INT(fenced, 4); /* file, directory, the record's write and its sync */
}

/* A start that ended before it had synced the directories of large bodies, and one behind it that finds them all: what
 * is acknowledged then has its directory. */
TEST(store_syncs_the_directories_that_a_start_before_has_made)
{
    uint64_t seed = test_seed(), start;
    count_calls(seed, &start);
    for (uint64_t point = 1; point <= start; point = point_next(point, start))
        for (int variant = 0; variant < 4; variant++) {
            OsSim *sim AUTO(os_sim_free) = os_sim_new(seed + (uint64_t)variant);
            Err err;
            Store *store = NULL;
            os_sim_fail_at(sim, point, 1, E_UNAVAILABLE);
            if (sim_open(sim, &store, &err) == E_OK)
                store_free(&store);
            os_sim_fail_at(sim, 0, 0, E_IO);
            HOLDS(sim_open(sim, &store, &err) == E_OK);
            if (!store)
                continue;
            HOLDS(store_bucket_create(store, BUCKET, &err) == E_OK);
            HOLDS(pattern_put(store, BUCKET, STR("large"), LARGE_LEN, 2, &err) == E_OK);
            os_sim_crash(sim);
            store_free(&store);
            os_sim_reboot(sim);
            HOLDS(sim_open(sim, &store, &err) == E_OK && pattern_is(store, BUCKET, STR("large"), LARGE_LEN, 2));
            store_free(&store);
        }
}

TEST(store_without_syncs_loses)
{
    uint64_t lost = 0;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        OsSim *sim AUTO(os_sim_free) = os_sim_new(seed);
        Err err;
        Acks acks = { 0 };
        os_sim_set_honest(sim, false);
        CHECK_OK(work(sim, &acks, &err), &err);
        os_sim_crash(sim);
        os_sim_reboot(sim);
        Store *store AUTO(store_free) = NULL;
        lost += sim_open(sim, &store, &err) != E_OK ||
                !pattern_is(store, BUCKET, STR("large"), LARGE_LEN + 1, 3);
    }
    CHECK(lost > 0);
}

TEST(store_a_full_disk_fails_one_write_and_not_the_next)
{
    OsSim *sim AUTO(os_sim_free) = os_sim_new(5);
    Err err;
    Acks acks = { 0 };
    Store *store AUTO(store_free) = NULL;
    CHECK_OK(sim_open(sim, &store, &err), &err);
    CHECK_OK(steps(store, &acks, &err), &err);
    os_sim_set_capacity(sim, 1);
    CHECK_CODE(pattern_put(store, BUCKET, STR("full"), 3 * LARGE_LEN, 1, &err), E_NO_SPACE);
    CHECK(!is_there(store, STR("full")));
    os_sim_set_capacity(sim, 0);
    CHECK_OK(pattern_put(store, BUCKET, STR("full"), 3 * LARGE_LEN, 1, &err), &err);
    CHECK(pattern_is(store, BUCKET, STR("full"), 3 * LARGE_LEN, 1));
}

TEST(store_runs_of_one_seed_are_equal)
{
    uint64_t traces[2];
    for (int i = 0; i < 2; i++) {
        OsSim *sim AUTO(os_sim_free) = os_sim_new(11);
        Err err;
        Acks acks = { 0 };
        CHECK_OK(work(sim, &acks, &err), &err);
        traces[i] = os_sim_trace(sim);
    }
    CHECK(traces[0] == traces[1]);
}

/* The disk is full, or fails, from one call of the end on: the end comes all the same, and nothing is lost by it. */
TEST(store_ends_on_a_disk_that_fails)
{
    uint64_t seed = test_seed();
    for (int variant = 0; variant < 2; variant++)
        for (uint64_t point = 1, calls = 1; point <= calls; point++) {
            OsSim *sim AUTO(os_sim_free) = os_sim_new(seed);
            Err err;
            Acks acks = { 0 };
            Store *store = NULL;
            CHECK_OK(sim_open(sim, &store, &err), &err);
            CHECK_OK(steps(store, &acks, &err), &err);
            uint64_t before = os_sim_calls(sim);
            os_sim_fail_at(sim, before + point, 1000, variant ? E_NO_SPACE : E_IO);
            store_free(&store);
            calls = MAX(os_sim_calls(sim) - before, (uint64_t)1);
            os_sim_fail_at(sim, 0, 0, E_IO);
            check_after(sim, &acks, point, variant);
        }
}
