/* space.c: what the store does while the file system fills, and how it comes back.
 *
 *   level        from     what it means
 *   HEALTHY
 *   ALARM        85 %     the trash goes at once, the oldest first, and segments are compacted sooner
 *   BACKGROUND   90 %     whoever writes in the background waits (store_background_ok)
 *   FULL         95 %     what adds bytes gives NO_SPACE before anything was written; deletes, tags, completions,
 *                         compaction and purges go on
 *
 * Invariants
 * 1. A level is what the last look at the file system said. At FULL every write looks again, so space that came
 *    back is used at once; nobody has to restart or clear anything.
 * 2. The reserve is a file with allocated blocks. It is given up when the journal has no room for what frees
 *    space, or when almost nothing is left, and made again as soon as there is room. Its loss loses nothing.
 * 3. The reserve counts as used also while it is given up: no write takes what deletes got from it. */
#include "store/store_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LOOK_US = 1000000,
    LOOK_BYTES = 16 * 1024 * 1024,
    INDEX_RESERVE_BYTES = 32 * 1024 * 1024,
    LIVE_PERCENT_PRESSED = 85, /* of a segment that is compacted under pressure */
    RESERVE_PART = 4 /* of the file system at most */
};

static void reserve_path(const Store *store, char path[OS_PATH_MAX])
{
    snprintf(path, OS_PATH_MAX, "%s/reserve", store->space.dir);
}

/* The mutex of the space is held. */
static void reserve_drop(Store *store)
{
    char path[OS_PATH_MAX];
    reserve_path(store, path);
    if (store->space.reserve_held)
        IGNORE(os_unlink(store->os, path, NULL)); /* what is not there takes no space */
    store->space.reserve_held = false;
}

/* The mutex of the space is held, or the store is being opened. A file system without room for it has none. */
static Code reserve_make(Store *store, Err *err)
{
    char path[OS_PATH_MAX];
    uint64_t size = 0, wanted = store->space.reserve_bytes;
    OsFile *file AUTO(os_file_close) = NULL;
    reserve_path(store, path);
    TRY(os_file_open(store->os, path, OS_READ | OS_WRITE | OS_CREATE, &file, err));
    TRY(os_file_size(file, &size, err));
    if (size > wanted)
        TRY(os_file_truncate(file, wanted, err));
    Code code = os_file_allocate(file, wanted, err);
    store->space.reserve_held = code == E_OK;
    if (code == E_NO_SPACE) {
        IGNORE(os_unlink(store->os, path, NULL)); /* a part of it is of no use */
        return E_OK;
    }
    return code;
}

static StoreSpaceLevel level_of(const Space *space, uint64_t free_bytes, uint64_t total_bytes)
{
    uint64_t owed = space->reserve_held ? 0 : space->reserve_bytes;
    uint64_t used = MIN(total_bytes - MIN(free_bytes, total_bytes) + owed, total_bytes);
    StoreSpaceLevel level = SPACE_HEALTHY;
    for (int i = 0; i < SPACE_LEVELS - 1; i++)
        if (used >= total_bytes / 100 * space->percent[i])
            level = (StoreSpaceLevel)(i + 1);
    return level;
}

static void space_look(Store *store)
{
    Space *space = &store->space;
    uint64_t free_bytes, total_bytes;
    if (!space->dir || os_space(store->os, space->dir, &free_bytes, &total_bytes, NULL) != E_OK)
        return; /* what was seen last holds */
    MUTEX_HELD(&space->mutex);
    if (!space->reserve_held && free_bytes > space->reserve_bytes + total_bytes / 20 &&
        reserve_make(store, NULL) == E_OK && space->reserve_held)
        free_bytes -= space->reserve_bytes;
    atomic_store(&space->level, (int)level_of(space, free_bytes, total_bytes));
    space->free_bytes = free_bytes;
    space->total_bytes = total_bytes;
    atomic_store(&space->next_look_us, os_monotonic_us(store->os) + LOOK_US);
    atomic_store(&space->until_look, (int64_t)MIN((uint64_t)LOOK_BYTES, free_bytes / 64));
    if (free_bytes < MIN(space->reserve_bytes / 4, total_bytes / 200)) /* the index has to write too */
        reserve_drop(store);
}

/* After `bytes` more were written, or are about to be. */
static StoreSpaceLevel space_now(Store *store, uint64_t bytes)
{
    Space *space = &store->space;
    if (!space->dir)
        return SPACE_HEALTHY;
    int64_t left = atomic_fetch_sub(&space->until_look, (int64_t)bytes) - (int64_t)bytes;
    bool full = atomic_load(&space->level) == SPACE_FULL;
    if (full || left <= 0 || os_monotonic_us(store->os) >= atomic_load(&space->next_look_us))
        space_look(store);
    return (StoreSpaceLevel)atomic_load(&space->level);
}

Code space_admit(Store *store, uint64_t bytes, Err *err)
{
    if (space_now(store, bytes) < SPACE_FULL)
        return E_OK;
    atomic_fetch_add(&store->space.refused, 1);
    return err_hint(err, err_set(err, E_NO_SPACE, "the disk is more than %u %% full: writes are refused",
                                 store->space.percent[SPACE_FULL - 1]),
                    "delete objects or add space; writes go on by themselves");
}

bool space_reserve_use(Store *store)
{
    MUTEX_HELD(&store->space.mutex);
    bool held = store->space.reserve_held;
    reserve_drop(store);
    atomic_store(&store->space.until_look, 0);
    return held;
}

/* What compaction gives back as things are: a purge of small bodies frees their segments only then. */
static uint64_t owed_by_compaction(Store *store)
{
    Journal *journal = store->backend_ops->journal(store->backend);
    uint64_t size = journal_segment_bytes(journal);
    uint64_t held = (journal_end(journal) / size - journal_start(journal) / size) * size;
    uint64_t stays = segments_live(store) / LIVE_PERCENT_PRESSED * 100 + 3 * size;
    return held > stays ? held - stays : 0;
}

static bool enough(Store *store)
{
    Space *space = &store->space;
    space_look(store);
    if (atomic_load(&space->level) < SPACE_ALARM)
        return true;
    uint64_t owed = owed_by_compaction(store);
    MUTEX_HELD(&space->mutex);
    return level_of(space, space->free_bytes + owed, space->total_bytes) < SPACE_ALARM;
}

void space_press(Store *store)
{
    StorePurged purged;
    uint64_t trash;
    {
        MUTEX_HELD(&store->mutex);
        trash = store->usage.trash_objects;
    }
    if (trash == 0 || space_now(store, 0) < SPACE_ALARM || !mutex_try(&store->compacting))
        return;
    IGNORE(trash_purge(store, INT64_MAX, enough, NULL, &purged, NULL)); /* maintenance tries again */
    mutex_unlock(&store->compacting);
}

Code space_keep(Store *store, const bool *stop, StorePurged *ret_purged, Err *err)
{
    *ret_purged = (StorePurged){ 0 };
    space_look(store);
    if (atomic_load(&store->space.level) >= SPACE_ALARM)
        index_old_remove(store);
    if (atomic_load(&store->space.level) >= SPACE_ALARM)
        TRY(trash_purge(store, INT64_MAX, enough, stop, ret_purged, err));
    return E_OK;
}

bool space_is_full(Store *store)
{
    return atomic_load(&store->space.level) == SPACE_FULL;
}

unsigned space_live_percent_max(Store *store)
{
    return atomic_load(&store->space.level) >= SPACE_ALARM ? LIVE_PERCENT_PRESSED : 60;
}

/* ---- opening, asking ---- */

Code space_open(Store *store, const StoreOptions *options, Err *err)
{
    static const unsigned by_default[SPACE_LEVELS - 1] = { 85, 90, 95 };
    Space *space = &store->space;
    Journal *journal = store->backend_ops->journal(store->backend);
    for (int i = 0; i < SPACE_LEVELS - 1; i++)
        space->percent[i] = options->space_percent[i] ? options->space_percent[i] : by_default[i];
    if (!journal || !options->dir)
        return E_OK;
    space->dir = strdup(options->dir);
    ASSERT(space->dir && "memory");
    space->reserve_bytes = options->reserve_bytes;
    if (space->reserve_bytes == 0)
        space->reserve_bytes = 2 * journal_segment_bytes(journal) +
                               (store->index_ops->persistent ? (uint64_t)INDEX_RESERVE_BYTES : 0);
    uint64_t free_bytes, total_bytes;
    TRY(os_space(store->os, space->dir, &free_bytes, &total_bytes, err));
    space->reserve_bytes = MIN(space->reserve_bytes, total_bytes / RESERVE_PART);
    TRY(reserve_make(store, err));
    space_look(store);
    return E_OK;
}

void space_init(Space *space)
{
    mutex_init(&space->mutex);
}

void space_done(Space *space)
{
    free(space->dir);
    mutex_done(&space->mutex);
}

void store_space(Store *store, StoreSpace *ret_space)
{
    space_look(store);
    Space *space = &store->space;
    StoreSpace now = { .level = (StoreSpaceLevel)atomic_load(&space->level),
                       .refused = atomic_load(&space->refused) };
    {
        MUTEX_HELD(&space->mutex);
        now.free_bytes = space->free_bytes;
        now.total_bytes = space->total_bytes;
        now.reserve_bytes = space->reserve_held ? space->reserve_bytes : 0;
    }
    MUTEX_HELD(&store->mutex);
    now.trash_objects = store->usage.trash_objects;
    now.trash_bytes = store->usage.trash_bytes;
    *ret_space = now;
}

bool store_background_ok(Store *store)
{
    return space_now(store, 0) < SPACE_BACKGROUND;
}
