/* Covers crash_points.c: each place of crash_points.def is reached, ends the process, and the store that comes back has
 * what was acknowledged, no half object and no bytes that nothing names. */
#include "base/test.h"
#include "store/store_conformance.h"
#include "store/store_keep.h"
#include "store/store_trash.h"
#include "store/upload.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define BUCKET STR("points")
enum { LARGE_LEN = 140000, SMALL_LEN = 3000, HOT_LEN = 60000, HOT_COUNT = 24, HALF_COUNT = 80 };

/* What was acknowledged, in memory that outlives the child. */
typedef struct Acks {
    unsigned hot; /* of the key "hot": how many puts */
    bool bucket, large, replaced, small, deleted, part, completed, aborted, many, trashed, back, done;
} Acks;

static Code points_open(Store **store, Err *err)
{
    static char dir[OS_PATH_MAX];
    snprintf(dir, sizeof dir, "%s/store", test_dir());
    StoreOptions options = { .index = "memory", .dir = dir, .segment_bytes = 256 * 1024,
                             .trash_seconds = -1 };
    return store_open(os_real(), &options, store, err);
}

static Code part_put(Store *store, const StoreUploadId *id, uint64_t number, StorePart *part, Err *err)
{
    static char bytes[LARGE_LEN];
    StagedObject *staged AUTO(store_stage_abort) = NULL;
    pattern_fill(bytes, LARGE_LEN, number, 0);
    *part = (StorePart){ .number = 3, .size_bytes = LARGE_LEN, .md5 = { (uint8_t)number } };
    TRY(store_stage_part(store, &staged, err));
    TRY(store_stage_write(staged, str_of(bytes, LARGE_LEN), err));
    TRY(store_stage_finish(staged, err));
    return store_upload_part(store, BUCKET, STR("up"), id, part, &staged, err);
}

static Code uploads(Store *store, Acks *acks, Err *err)
{
    StoreUpload upload = { .bucket = BUCKET, .key = STR("up") };
    StoreUploadId id, other;
    StorePart part;
    uint64_t sequence;
    TRY(store_upload_create(store, &upload, &id, err));
    TRY(part_put(store, &id, 50, &part, err));
    TRY(part_put(store, &id, 51, &part, err));
    acks->part = true;
    StoreComplete complete = { .bucket = BUCKET, .key = STR("up"), .id = id, .parts = &part, .part_count = 1 };
    TRY(store_upload_complete(store, &complete, &sequence, err));
    acks->completed = true;
    TRY(store_upload_create(store, &upload, &other, err));
    TRY(part_put(store, &other, 52, &part, err));
    TRY(store_upload_abort(store, BUCKET, STR("up"), &other, err));
    acks->aborted = true;
    return E_OK;
}

/* A group that is larger than one piece of the journal. */
static Code publish_many(Store *store, Err *err)
{
    StagedObject *staged[HALF_COUNT] = { NULL };
    StorePut puts[HALF_COUNT];
    static char keys[HALF_COUNT][8];
    static char bytes[STORE_INLINE_MAX];
    Code code = E_OK;
    for (int i = 0; i < HALF_COUNT && code == E_OK; i++) {
        pattern_fill(bytes, sizeof bytes, 200 + (uint64_t)i, 0);
        snprintf(keys[i], sizeof keys[i], "m%02d", i);
        code = store_stage(store, &staged[i], err);
        if (code == E_OK)
            code = store_stage_write(staged[i], str_of(bytes, sizeof bytes), err);
        if (code == E_OK)
            code = store_stage_finish(staged[i], err);
        puts[i] = (StorePut){ .take_staged = staged[i], .bucket = BUCKET, .key = str_z(keys[i]) };
    }
    if (code == E_OK)
        code = store_publish(store, puts, HALF_COUNT, NULL, err);
    for (int i = 0; i < HALF_COUNT && code != E_OK; i++)
        store_stage_abort(&staged[i]);
    return code;
}

static Code steps(Acks *acks, Err *err)
{
    Store *store AUTO(store_free) = NULL;
    size_t freed = 0;
    TRY(points_open(&store, err));
    TRY(store_bucket_create(store, BUCKET, err));
    acks->bucket = true;
    TRY(pattern_put(store, BUCKET, STR("large"), LARGE_LEN, 2, err));
    acks->large = true;
    TRY(pattern_put(store, BUCKET, STR("large"), LARGE_LEN + 1, 3, err));
    acks->replaced = true;
    TRY(pattern_put(store, BUCKET, STR("small"), SMALL_LEN, 1, err));
    TRY(pattern_put(store, BUCKET, STR("gone"), SMALL_LEN, 4, err));
    acks->small = true;
    TRY(store_delete(store, BUCKET, STR("gone"), err));
    acks->deleted = true;
    TRY(pattern_put(store, BUCKET, STR("back"), LARGE_LEN, 6, err));
    TRY(store_delete(store, BUCKET, STR("back"), err));
    acks->trashed = true;
    Arena arena AUTO(arena_done) = { 0 };
    ObjectInfo info;
    TRY(store_undelete(store, BUCKET, STR("back"), 0, &arena, &info, err));
    acks->back = true;
    TRY(uploads(store, acks, err));
    for (uint64_t i = 0; i < HOT_COUNT; i++, acks->hot++)
        TRY(pattern_put(store, BUCKET, STR("hot"), HOT_LEN, 100 + i, err));
    TRY(store_compact(store, NULL, &freed, err));
    StorePurged purged;
    TRY(store_trash_purge(store, NULL, &purged, err));
    TRY(publish_many(store, err));
    acks->many = true;
    acks->done = true;
    return E_OK;
}

static bool is_there(Store *store, Str key)
{
    Arena arena AUTO(arena_done) = { 0 };
    ObjectInfo info;
    return store_head(store, BUCKET, key, &arena, &info, NULL) == E_OK;
}

static void check_state(const char *point, const Acks *acks)
{
    Err err;
    Store *store AUTO(store_free) = NULL;
    CHECK_OK(points_open(&store, &err), &err);
    if (!store)
        return;
    bool good = !acks->small || pattern_is(store, BUCKET, STR("small"), SMALL_LEN, 1);
    good = good && (!acks->large || is_there(store, STR("large")));
    good = good && (!acks->replaced || pattern_is(store, BUCKET, STR("large"), LARGE_LEN + 1, 3));
    good = good && (!acks->deleted || !is_there(store, STR("gone")));
    good = good && (!acks->completed || pattern_is(store, BUCKET, STR("up"), LARGE_LEN, 51));
    if (acks->trashed && !acks->back && !is_there(store, STR("back"))) {
        Arena tmp AUTO(arena_done) = { 0 };
        ObjectInfo info;
        good = good && store_undelete(store, BUCKET, STR("back"), 0, &tmp, &info, &err) == E_OK;
    }
    good = good && (!acks->trashed || pattern_is(store, BUCKET, STR("back"), LARGE_LEN, 6));
    bool newest = acks->hot == 0 || pattern_is(store, BUCKET, STR("hot"), HOT_LEN, 99 + acks->hot) ||
                  pattern_is(store, BUCKET, STR("hot"), HOT_LEN, 100 + acks->hot);
    good = good && newest;
    size_t many = 0;
    Arena arena AUTO(arena_done) = { 0 };
    for (int i = 0; i < HALF_COUNT; i++)
        many += pattern_is(store, BUCKET, str_format(&arena, "m%02d", i), STORE_INLINE_MAX, 200 + (uint64_t)i);
    good = good && (many == HALF_COUNT || (many == 0 && !acks->many));
    StoreVerified verified = { 0 };
    good = good && store_verify(store, true, NULL, NULL, &verified, &err) == E_OK && verified.findings == 0;
    if (!good)
        test_failed(__FILE__, __LINE__, "%s: what was acknowledged is not there as it was", point);
}

static int child_run(const char *point, Acks *acks)
{
    pid_t child = fork();
    if (child == 0) {
        Err err;
        bool armed = store_crash_arm(str_z(point));
        _exit(armed && steps(acks, &err) == E_OK ? 0 : 1);
    }
    int status = -1;
    CHECK(child > 0 && waitpid(child, &status, 0) == child);
    return status;
}

static void store_remove(void)
{
    Arena arena AUTO(arena_done) = { 0 };
    const char *from = str_format(&arena, "%s/store%c", test_dir(), 0).ptr;
    static int number;
    const char *to = str_format(&arena, "%s/old-%d%c", test_dir(), number++, 0).ptr;
    Err err;
    CHECK_OK(os_rename(os_real(), from, to, &err), &err);
}

static void point_try(const char *point, Acks *acks)
{
    *acks = (Acks){ 0 };
    int status = child_run(point, acks);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        test_failed(__FILE__, __LINE__, "%s is not reached", point);
    check_state(point, acks);
    store_remove();
}

TEST(store_points_are_reached_and_lose_nothing)
{
    static const char *const names[] = {
#define CRASH_POINT(name, doc) #name,
#include "store/crash_points.def"
#undef CRASH_POINT
    };
    Acks *acks = mmap(NULL, sizeof *acks, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(acks != MAP_FAILED && test_dir()); /* the directory is the parent's */
    CHECK_INT(child_run("", acks), 0); /* nothing armed: it runs to its end */
    CHECK(acks->done);
    store_remove();
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        point_try(names[i], acks);
    point_try("journal_synced:9", acks);
    point_try("put_appended:20", acks);
    CHECK(!store_crash_arm(STR("no_such_place")));
    CHECK(!store_crash_arm(STR("put_applied:0")));
    CHECK(store_crash_arm(STR_NONE));
    munmap(acks, sizeof *acks);
}
