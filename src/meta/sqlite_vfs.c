/* Invariants:
 * 1. A node stands for one path as long as a file of it is open; it holds the locks of the database
 *    file and the shared memory of its write-ahead log. All of it is guarded by `mutex`.
 * 2. `fenced` never goes back: what a failed sync should have kept may be gone, and the next sync
 *    would say OK about it.
 * 3. A file that was made here has its directory synced with its first own sync.
 * 4. `wal_from` is the lowest place in the write-ahead log `wal` written since meta_vfs_txn_begin. */
#include "meta/sqlite_vfs.h"

#include "os/thread.h"

#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum {
    SHM_REGIONS_MAX = 4096, /* of 32 KiB: a log of 16 million pages */
    SECTOR_BYTES = 4096,
    WAL_HEADER_BYTES = 32,
    WAL_FRAME_HEADER_BYTES = 24
};

typedef struct VfsFile VfsFile;

typedef struct VfsNode {
    struct VfsNode *next;
    char *path;
    unsigned refs;
    unsigned shared;        /* files that hold SHARED or more */
    VfsFile *reserved;      /* who holds RESERVED or more */
    VfsFile *pending;       /* who waits for EXCLUSIVE or has it */
    unsigned shm_refs;
    int shm_shared[SQLITE_SHM_NLOCK];
    VfsFile *shm_exclusive[SQLITE_SHM_NLOCK];
    void *regions[SHM_REGIONS_MAX];
} VfsNode;

struct VfsFile {
    sqlite3_file base;
    MetaVfs *vfs;
    OsFile *file;
    VfsNode *node; /* of main databases; NULL: others */
    const char *path;
    int lock;
    bool is_wal;
    bool is_fresh; /* its directory must be synced yet */
    bool has_shm;
    unsigned shm_mine; /* bits of SHARED locks */
};

struct MetaVfs {
    sqlite3_vfs base;
    Os *os;
    char name[48];
    Mutex mutex; /* guards what follows */
    VfsNode *nodes;
    Err last;
    bool has_last;
    bool fenced;
    VfsFile *wal; /* see 4; the writer's */
    uint64_t wal_from;
};

static int note(MetaVfs *vfs, const Err *err, int rc)
{
    MUTEX_HELD(&vfs->mutex);
    vfs->last = *err;
    vfs->has_last = true;
    return rc;
}

static int note_fence(MetaVfs *vfs, const Err *err, int rc)
{
    MUTEX_HELD(&vfs->mutex);
    vfs->last = *err;
    vfs->has_last = vfs->fenced = true;
    return rc;
}

bool meta_vfs_error(MetaVfs *vfs, Err *ret_err)
{
    MUTEX_HELD(&vfs->mutex);
    if (vfs->has_last)
        *ret_err = vfs->last;
    return vfs->has_last;
}

bool meta_vfs_is_fenced(MetaVfs *vfs)
{
    MUTEX_HELD(&vfs->mutex);
    return vfs->fenced;
}

void meta_vfs_fence(MetaVfs *vfs)
{
    MUTEX_HELD(&vfs->mutex);
    vfs->fenced = true;
}

const char *meta_vfs_name(const MetaVfs *vfs)
{
    return vfs->name;
}

static const char *dir_of(const char *path, char dir[OS_PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t len = slash == path ? 1 : slash ? (size_t)(slash - path) : 0;
    if (len == 0)
        return ".";
    memcpy(dir, path, len);
    dir[len] = '\0';
    return dir;
}

/* -- files -- */

static int file_read(sqlite3_file *base, void *bytes, int len, sqlite3_int64 at)
{
    VfsFile *file = (VfsFile *)base;
    Err err;
    size_t got;
    if (os_file_pread(file->file, bytes, (size_t)len, (uint64_t)at, &got, &err) != E_OK)
        return note(file->vfs, &err, SQLITE_IOERR_READ);
    if (got == (size_t)len)
        return SQLITE_OK;
    memset((char *)bytes + got, 0, (size_t)len - got);
    return SQLITE_IOERR_SHORT_READ;
}

/* False: the machine is fenced. */
static bool write_begin(VfsFile *file, uint64_t at)
{
    MetaVfs *vfs = file->vfs;
    MUTEX_HELD(&vfs->mutex);
    if (file->is_wal && !vfs->fenced) {
        vfs->wal = file;
        vfs->wal_from = MIN(vfs->wal_from, at);
    }
    return !vfs->fenced;
}

static int file_write(sqlite3_file *base, const void *bytes, int len, sqlite3_int64 at)
{
    VfsFile *file = (VfsFile *)base;
    Err err;
    if (!write_begin(file, (uint64_t)at))
        return SQLITE_IOERR_WRITE;
    Code code = os_file_pwrite(file->file, str_of(bytes, (size_t)len), (uint64_t)at, &err);
    if (code == E_OK)
        return SQLITE_OK;
    return note(file->vfs, &err, code == E_NO_SPACE ? SQLITE_FULL : SQLITE_IOERR_WRITE);
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    VfsFile *file = (VfsFile *)base;
    Err err;
    if (meta_vfs_is_fenced(file->vfs))
        return SQLITE_IOERR_TRUNCATE;
    if (os_file_truncate(file->file, (uint64_t)size, &err) != E_OK)
        return note(file->vfs, &err, SQLITE_IOERR_TRUNCATE);
    return SQLITE_OK;
}

static int file_sync(sqlite3_file *base, int flags)
{
    (void)flags;
    VfsFile *file = (VfsFile *)base;
    char dir[OS_PATH_MAX];
    Err err;
    if (meta_vfs_is_fenced(file->vfs))
        return SQLITE_IOERR_FSYNC;
    if (os_file_sync(file->file, &err) != E_OK)
        return note_fence(file->vfs, &err, SQLITE_IOERR_FSYNC);
    if (!file->is_fresh)
        return SQLITE_OK;
    if (os_dir_sync(file->vfs->os, dir_of(file->path, dir), &err) != E_OK)
        return note_fence(file->vfs, &err, SQLITE_IOERR_DIR_FSYNC);
    file->is_fresh = false;
    return SQLITE_OK;
}

static int file_size(sqlite3_file *base, sqlite3_int64 *ret_size)
{
    VfsFile *file = (VfsFile *)base;
    Err err;
    uint64_t size;
    if (os_file_size(file->file, &size, &err) != E_OK)
        return note(file->vfs, &err, SQLITE_IOERR_FSTAT);
    *ret_size = (sqlite3_int64)size;
    return SQLITE_OK;
}

/* NONE -> SHARED -> RESERVED -> (PENDING) -> EXCLUSIVE, as sqlite3.h says at xLock. */
static int file_lock(sqlite3_file *base, int wanted)
{
    VfsFile *file = (VfsFile *)base;
    VfsNode *node = file->node;
    if (!node || file->lock >= wanted)
        return SQLITE_OK;
    MUTEX_HELD(&file->vfs->mutex);
    if (wanted == SQLITE_LOCK_SHARED) {
        if (node->pending)
            return SQLITE_BUSY;
        node->shared++;
        file->lock = SQLITE_LOCK_SHARED;
        return SQLITE_OK;
    }
    if (node->reserved && node->reserved != file)
        return SQLITE_BUSY;
    node->reserved = file;
    if (wanted == SQLITE_LOCK_RESERVED) {
        file->lock = SQLITE_LOCK_RESERVED;
        return SQLITE_OK;
    }
    node->pending = file;
    file->lock = SQLITE_LOCK_PENDING;
    if (node->shared > 1)
        return SQLITE_BUSY;
    file->lock = SQLITE_LOCK_EXCLUSIVE;
    return SQLITE_OK;
}

static void unlock_held(VfsFile *file, int wanted)
{
    VfsNode *node = file->node;
    if (!node || file->lock <= wanted)
        return;
    if (node->reserved == file)
        node->reserved = NULL;
    if (node->pending == file)
        node->pending = NULL;
    if (wanted == SQLITE_LOCK_NONE && file->lock >= SQLITE_LOCK_SHARED)
        node->shared--;
    file->lock = wanted;
}

static int file_unlock(sqlite3_file *base, int wanted)
{
    VfsFile *file = (VfsFile *)base;
    MUTEX_HELD(&file->vfs->mutex);
    unlock_held(file, wanted);
    return SQLITE_OK;
}

static int file_check_reserved(sqlite3_file *base, int *ret_is_reserved)
{
    VfsFile *file = (VfsFile *)base;
    MUTEX_HELD(&file->vfs->mutex);
    *ret_is_reserved = file->node && file->node->reserved;
    return SQLITE_OK;
}

static int file_control(sqlite3_file *base, int op, void *arg)
{
    (void)base, (void)op, (void)arg;
    return SQLITE_NOTFOUND;
}

static int file_sector_size(sqlite3_file *base)
{
    (void)base;
    return SECTOR_BYTES;
}

static int file_characteristics(sqlite3_file *base)
{
    (void)base;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE; /* as SQLite's own VFS for Linux */
}

/* -- shared memory of the write-ahead log -- */

static int shm_map(sqlite3_file *base, int at, int size, int extend, void volatile **ret_region)
{
    VfsFile *file = (VfsFile *)base;
    VfsNode *node = file->node;
    MUTEX_HELD(&file->vfs->mutex);
    *ret_region = NULL;
    if (at >= SHM_REGIONS_MAX)
        return SQLITE_IOERR_SHMSIZE;
    if (!file->has_shm) {
        file->has_shm = true;
        node->shm_refs++;
    }
    if (!node->regions[at] && extend)
        node->regions[at] = mem_new((size_t)size);
    *ret_region = node->regions[at];
    return SQLITE_OK;
}

static void shm_unlock_held(VfsFile *file, int from, int count)
{
    for (int i = from; i < from + count; i++) {
        if (file->node->shm_exclusive[i] == file)
            file->node->shm_exclusive[i] = NULL;
        if (file->shm_mine & (1u << i))
            file->node->shm_shared[i]--;
        file->shm_mine &= ~(1u << i);
    }
}

static bool shm_is_free(const VfsFile *file, int at, bool exclusive)
{
    const VfsNode *node = file->node;
    if (node->shm_exclusive[at] && node->shm_exclusive[at] != file)
        return false;
    int mine = (file->shm_mine >> at) & 1;
    return !exclusive || node->shm_shared[at] == mine;
}

static int shm_lock(sqlite3_file *base, int from, int count, int flags)
{
    VfsFile *file = (VfsFile *)base;
    bool exclusive = flags & SQLITE_SHM_EXCLUSIVE;
    MUTEX_HELD(&file->vfs->mutex);
    if (flags & SQLITE_SHM_UNLOCK) {
        shm_unlock_held(file, from, count);
        return SQLITE_OK;
    }
    for (int i = from; i < from + count; i++)
        if (!shm_is_free(file, i, exclusive))
            return SQLITE_BUSY;
    for (int i = from; i < from + count; i++) {
        if (exclusive) {
            file->node->shm_exclusive[i] = file;
        } else if (!(file->shm_mine & (1u << i))) {
            file->shm_mine |= 1u << i;
            file->node->shm_shared[i]++;
        }
    }
    return SQLITE_OK;
}

static void shm_barrier(sqlite3_file *base)
{
    VfsFile *file = (VfsFile *)base;
    atomic_thread_fence(memory_order_seq_cst);
    MUTEX_HELD(&file->vfs->mutex);
}

static void shm_unmap_held(VfsFile *file)
{
    if (!file->has_shm)
        return;
    file->has_shm = false;
    shm_unlock_held(file, 0, SQLITE_SHM_NLOCK);
    if (--file->node->shm_refs > 0)
        return;
    for (size_t i = 0; i < SHM_REGIONS_MAX; i++)
        mem_free(&file->node->regions[i]);
}

static int shm_unmap(sqlite3_file *base, int delete_it)
{
    (void)delete_it;
    VfsFile *file = (VfsFile *)base;
    MUTEX_HELD(&file->vfs->mutex);
    shm_unmap_held(file);
    return SQLITE_OK;
}

/* -- opening and closing -- */

static VfsNode *node_take(MetaVfs *vfs, const char *path)
{
    MUTEX_HELD(&vfs->mutex);
    VfsNode *node = vfs->nodes;
    while (node && strcmp(node->path, path) != 0)
        node = node->next;
    if (!node) {
        node = mem_new(sizeof *node);
        node->path = mem_new(strlen(path) + 1);
        memcpy(node->path, path, strlen(path));
        node->next = vfs->nodes;
        vfs->nodes = node;
    }
    node->refs++;
    return node;
}

static void node_release_held(MetaVfs *vfs, VfsNode *node)
{
    if (--node->refs > 0)
        return;
    VfsNode **link = &vfs->nodes;
    while (*link != node)
        link = &(*link)->next;
    *link = node->next;
    mem_free(&node->path);
    mem_free(&node);
}

static int file_close(sqlite3_file *base)
{
    VfsFile *file = (VfsFile *)base;
    MetaVfs *vfs = file->vfs;
    os_file_close(&file->file);
    MUTEX_HELD(&vfs->mutex);
    if (vfs->wal == file)
        vfs->wal = NULL;
    if (file->node) {
        unlock_held(file, SQLITE_LOCK_NONE);
        shm_unmap_held(file);
        node_release_held(vfs, file->node);
    }
    return SQLITE_OK;
}

static const sqlite3_io_methods file_methods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
    .xShmMap = shm_map,
    .xShmLock = shm_lock,
    .xShmBarrier = shm_barrier,
    .xShmUnmap = shm_unmap,
};

static int vfs_open(sqlite3_vfs *base, sqlite3_filename path, sqlite3_file *ret_file, int flags,
                    int *ret_flags)
{
    MetaVfs *vfs = base->pAppData;
    VfsFile *file = (VfsFile *)ret_file;
    memset(file, 0, sizeof *file);
    if (!path) /* temporary files: temp_store keeps them in memory */
        return SQLITE_CANTOPEN;
    unsigned how = flags & SQLITE_OPEN_READWRITE ? OS_READ | OS_WRITE : OS_READ;
    Err err;
    Code code = os_file_open(vfs->os, path, how, &file->file, &err);
    if (code == E_NOT_FOUND && (flags & SQLITE_OPEN_CREATE)) {
        code = os_file_open(vfs->os, path, how | OS_CREATE, &file->file, &err);
        file->is_fresh = true;
    }
    if (code != E_OK)
        return note(vfs, &err, SQLITE_CANTOPEN);
    file->vfs = vfs;
    file->path = path;
    file->is_wal = flags & SQLITE_OPEN_WAL;
    if (flags & SQLITE_OPEN_MAIN_DB)
        file->node = node_take(vfs, path);
    file->base.pMethods = &file_methods;
    if (ret_flags)
        *ret_flags = flags;
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *base, const char *path, int sync_dir)
{
    MetaVfs *vfs = base->pAppData;
    char dir[OS_PATH_MAX];
    Err err;
    if (meta_vfs_is_fenced(vfs))
        return SQLITE_IOERR_DELETE;
    Code code = os_unlink(vfs->os, path, &err);
    if (code == E_NOT_FOUND)
        return SQLITE_IOERR_DELETE_NOENT;
    if (code != E_OK)
        return note(vfs, &err, SQLITE_IOERR_DELETE);
    if (sync_dir && os_dir_sync(vfs->os, dir_of(path, dir), &err) != E_OK)
        return note_fence(vfs, &err, SQLITE_IOERR_DIR_FSYNC);
    return SQLITE_OK;
}

static int vfs_access(sqlite3_vfs *base, const char *path, int flags, int *ret_is)
{
    MetaVfs *vfs = base->pAppData;
    Err err;
    OsStat stat;
    Code code = os_stat(vfs->os, path, &stat, &err);
    if (code != E_OK && code != E_NOT_FOUND)
        return note(vfs, &err, SQLITE_IOERR_ACCESS);
    /* An empty journal is none. */
    *ret_is = code == E_OK && (flags != SQLITE_ACCESS_EXISTS || stat.size_bytes > 0);
    return SQLITE_OK;
}

static int vfs_full_path(sqlite3_vfs *base, const char *path, int size, char *ret_path)
{
    (void)base;
    int len = snprintf(ret_path, (size_t)size, "%s", path);
    return len < size ? SQLITE_OK : SQLITE_CANTOPEN;
}

static int vfs_randomness(sqlite3_vfs *base, int len, char *bytes)
{
    MetaVfs *vfs = base->pAppData;
    os_random(vfs->os, bytes, (size_t)len);
    return len;
}

/* Waits as the readers of a log do while it is being reset: on a condition that nobody signals. */
static int vfs_sleep(sqlite3_vfs *base, int wait_us)
{
    MetaVfs *vfs = base->pAppData;
    if (!os_has_threads(vfs->os))
        return wait_us;
    Cond cond;
    cond_init(&cond);
    mutex_lock(&vfs->mutex);
    IGNORE(cond_wait_us(&cond, &vfs->mutex, wait_us)); /* the time is over, nothing else can be */
    mutex_unlock(&vfs->mutex);
    cond_done(&cond);
    return wait_us;
}

#define JULIAN_1970_MS 210866760000000

static int vfs_time_ms(sqlite3_vfs *base, sqlite3_int64 *ret_ms)
{
    MetaVfs *vfs = base->pAppData;
    *ret_ms = os_now_us(vfs->os) / 1000 + JULIAN_1970_MS;
    return SQLITE_OK;
}

static int vfs_time(sqlite3_vfs *base, double *ret_days)
{
    sqlite3_int64 ms;
    vfs_time_ms(base, &ms);
    *ret_days = (double)ms / 86400000.0;
    return SQLITE_OK;
}

static int vfs_last_error(sqlite3_vfs *base, int len, char *text)
{
    (void)base, (void)len, (void)text;
    return 0;
}

Code meta_vfs_new(Os *os, MetaVfs **ret_vfs, Err *err)
{
    MetaVfs *vfs = mem_new(sizeof *vfs);
    vfs->os = os;
    snprintf(vfs->name, sizeof vfs->name, "tarn-%p", (void *)vfs);
    mutex_init(&vfs->mutex);
    vfs->base = (sqlite3_vfs){
        .iVersion = 2,
        .szOsFile = sizeof(VfsFile),
        .mxPathname = OS_PATH_MAX - 16, /* room for "-journal" */
        .zName = vfs->name,
        .pAppData = vfs,
        .xOpen = vfs_open,
        .xDelete = vfs_delete,
        .xAccess = vfs_access,
        .xFullPathname = vfs_full_path,
        .xRandomness = vfs_randomness,
        .xSleep = vfs_sleep,
        .xCurrentTime = vfs_time,
        .xCurrentTimeInt64 = vfs_time_ms,
        .xGetLastError = vfs_last_error,
    };
    if (sqlite3_vfs_register(&vfs->base, 0) != SQLITE_OK) {
        meta_vfs_free(&vfs);
        return err_set(err, E_INTERNAL, "SQLite did not take the VFS");
    }
    *ret_vfs = vfs;
    return E_OK;
}

void meta_vfs_free(MetaVfs **vfs)
{
    if (!*vfs)
        return;
    ASSERT(!(*vfs)->nodes);
    sqlite3_vfs_unregister(&(*vfs)->base);
    mutex_done(&(*vfs)->mutex);
    mem_free(vfs);
}

/* -- the writer's transaction -- */

void meta_vfs_txn_begin(MetaVfs *vfs)
{
    MUTEX_HELD(&vfs->mutex);
    vfs->wal_from = UINT64_MAX;
    vfs->wal = NULL;
}

static bool undo_place(MetaVfs *vfs, VfsFile **ret_wal, uint64_t *ret_at)
{
    MUTEX_HELD(&vfs->mutex);
    *ret_wal = vfs->wal;
    *ret_at = MAX(vfs->wal_from, (uint64_t)WAL_HEADER_BYTES);
    return vfs->wal && vfs->wal_from != UINT64_MAX;
}

Code meta_vfs_txn_undo(MetaVfs *vfs, Err *err)
{
    static const char zeros[WAL_FRAME_HEADER_BYTES];
    VfsFile *wal;
    uint64_t at;
    uint64_t size;
    if (meta_vfs_is_fenced(vfs))
        return err_set(err, E_IO, "a sync of the metadata database failed");
    if (!undo_place(vfs, &wal, &at))
        return E_OK;
    TRY(os_file_size(wal->file, &size, err));
    if (size <= at)
        return E_OK;
    TRY(os_file_pwrite(wal->file, str_of(zeros, sizeof zeros), at, err));
    if (file_sync(&wal->base, 0) != SQLITE_OK)
        return err_set(err, E_IO, "a sync of the metadata database failed");
    return E_OK;
}
