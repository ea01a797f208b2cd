#include "meta/sqlite_vfs.h"

#include "base/test.h"
#include "os/os_sim.h"

#include <sqlite3.h>

typedef struct Twins {
    MetaVfs *vfs;
    sqlite3_file *files[2];
} Twins;

/* Two files open on one database. */
static void twins_open(Twins *twins, OsSim *sim)
{
    Err err;
    CHECK_OK(meta_vfs_new(os_sim_os(sim), &twins->vfs, &err), &err);
    sqlite3_vfs *vfs = sqlite3_vfs_find(meta_vfs_name(twins->vfs));
    for (int i = 0; i < 2; i++) {
        twins->files[i] = mem_new((size_t)vfs->szOsFile);
        int flags = SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
        CHECK_INT(vfs->xOpen(vfs, "/db", twins->files[i], flags, NULL), SQLITE_OK);
    }
}

static void twins_close(Twins *twins)
{
    for (int i = 0; i < 2; i++) {
        twins->files[i]->pMethods->xClose(twins->files[i]);
        mem_free(&twins->files[i]);
    }
    meta_vfs_free(&twins->vfs);
}

typedef struct Step {
    int file;
    bool unlock;
    int level;
    int wanted;
} Step;

TEST(vfs_locks_of_the_database)
{
    static const Step steps[] = {
        { 0, false, SQLITE_LOCK_SHARED, SQLITE_OK },
        { 1, false, SQLITE_LOCK_SHARED, SQLITE_OK },
        { 0, false, SQLITE_LOCK_RESERVED, SQLITE_OK },
        { 1, false, SQLITE_LOCK_RESERVED, SQLITE_BUSY },
        { 0, false, SQLITE_LOCK_EXCLUSIVE, SQLITE_BUSY }, /* pending: no new readers */
        { 1, true, SQLITE_LOCK_NONE, SQLITE_OK },
        { 1, false, SQLITE_LOCK_SHARED, SQLITE_BUSY },
        { 0, false, SQLITE_LOCK_EXCLUSIVE, SQLITE_OK },
        { 0, true, SQLITE_LOCK_SHARED, SQLITE_OK },
        { 1, false, SQLITE_LOCK_SHARED, SQLITE_OK },
        { 1, false, SQLITE_LOCK_EXCLUSIVE, SQLITE_BUSY },
        { 0, true, SQLITE_LOCK_NONE, SQLITE_OK },
        { 1, false, SQLITE_LOCK_EXCLUSIVE, SQLITE_OK },
    };
    OsSim *sim AUTO(os_sim_free) = os_sim_new(1);
    Twins twins;
    twins_open(&twins, sim);
    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        sqlite3_file *file = twins.files[steps[i].file];
        int rc = steps[i].unlock ? file->pMethods->xUnlock(file, steps[i].level)
                                 : file->pMethods->xLock(file, steps[i].level);
        if (rc != steps[i].wanted)
            test_failed(__FILE__, __LINE__, "step %zu gave %d, wanted %d", i, rc, steps[i].wanted);
    }
    twins_close(&twins);
}

static int shm(sqlite3_file *file, int from, int count, int flags)
{
    return file->pMethods->xShmLock(file, from, count, flags);
}

TEST(vfs_shared_memory_is_shared)
{
    OsSim *sim AUTO(os_sim_free) = os_sim_new(1);
    Twins twins;
    twins_open(&twins, sim);
    sqlite3_file *a = twins.files[0], *b = twins.files[1];
    void volatile *at_a;
    void volatile *at_b;
    CHECK_INT(a->pMethods->xShmMap(a, 0, 32768, 0, &at_a), SQLITE_OK);
    CHECK(!at_a);
    CHECK_INT(a->pMethods->xShmMap(a, 0, 32768, 1, &at_a), SQLITE_OK);
    CHECK_INT(b->pMethods->xShmMap(b, 0, 32768, 0, &at_b), SQLITE_OK);
    CHECK(at_a && at_a == at_b);
    CHECK_INT(shm(a, 3, 1, SQLITE_SHM_LOCK | SQLITE_SHM_SHARED), SQLITE_OK);
    CHECK_INT(shm(b, 3, 1, SQLITE_SHM_LOCK | SQLITE_SHM_SHARED), SQLITE_OK);
    CHECK_INT(shm(b, 2, 3, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE), SQLITE_BUSY);
    CHECK_INT(shm(a, 3, 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_SHARED), SQLITE_OK);
    CHECK_INT(shm(b, 3, 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_SHARED), SQLITE_OK);
    CHECK_INT(shm(b, 2, 3, SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE), SQLITE_OK);
    CHECK_INT(shm(a, 4, 1, SQLITE_SHM_LOCK | SQLITE_SHM_SHARED), SQLITE_BUSY);
    CHECK_INT(shm(a, 5, 1, SQLITE_SHM_LOCK | SQLITE_SHM_SHARED), SQLITE_OK);
    b->pMethods->xShmUnmap(b, 0); /* lets go of what it had */
    CHECK_INT(shm(a, 4, 1, SQLITE_SHM_LOCK | SQLITE_SHM_SHARED), SQLITE_OK);
    twins_close(&twins);
}

TEST(vfs_a_failed_sync_fences)
{
    Err err;
    OsSim *sim AUTO(os_sim_free) = os_sim_new(1);
    Twins twins;
    twins_open(&twins, sim);
    sqlite3_file *a = twins.files[0], *b = twins.files[1];
    CHECK_INT(a->pMethods->xWrite(a, "x", 1, 0), SQLITE_OK);
    os_sim_fail_at(sim, os_sim_calls(sim) + 1, 1, E_IO);
    CHECK_INT(a->pMethods->xSync(a, SQLITE_SYNC_NORMAL), SQLITE_IOERR_FSYNC);
    CHECK(meta_vfs_is_fenced(twins.vfs));
    CHECK_INT(b->pMethods->xSync(b, SQLITE_SYNC_NORMAL), SQLITE_IOERR_FSYNC);
    CHECK_INT(b->pMethods->xWrite(b, "x", 1, 0), SQLITE_IOERR_WRITE);
    CHECK(meta_vfs_error(twins.vfs, &err));
    CHECK_CODE(err.code, E_IO);
    char byte;
    CHECK_INT(b->pMethods->xRead(b, &byte, 1, 0), SQLITE_OK);
    CHECK_INT(b->pMethods->xRead(b, &byte, 1, 7), SQLITE_IOERR_SHORT_READ);
    twins_close(&twins);
}
