/* The machine itself. Invariants:
 * 1. Files are made 0600 and directories 0700: what the lake keeps is the lake's.
 * 2. EINTR and short transfers are finished here; callers see all or an error.
 * 3. Every error names the path. */
#include "os/os.h"

#include "base/vec.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

enum { PATH_IN_ERROR_MAX = 256 };

typedef struct RealFile {
    int fd;
    char path[PATH_IN_ERROR_MAX];
} RealFile;

static Code machine_error(Err *err, const char *doing, const char *path)
{
    int why = errno;
    Code code = why == ENOENT || why == ENOTDIR ? E_NOT_FOUND
                : why == EEXIST                 ? E_EXISTS
                : why == ENOSPC || why == EDQUOT ? E_NO_SPACE
                : why == EMFILE || why == ENFILE ? E_UNAVAILABLE /* of descriptors: nothing was done */
                : why == EACCES || why == EPERM || why == EROFS ? E_FORBIDDEN
                                                                : E_IO;
    return err_set(err, code, "cannot %s %s: %s", doing, path, strerror(why));
}

static Code real_file_open(void *self, const char *path, unsigned flags, void **ret_file, Err *err)
{
    (void)self;
    int how = O_CLOEXEC;
    how |= (flags & OS_WRITE) ? ((flags & OS_READ) ? O_RDWR : O_WRONLY) : O_RDONLY;
    how |= (flags & OS_CREATE) ? O_CREAT : 0;
    how |= (flags & OS_EXCLUSIVE) ? O_EXCL : 0;
    how |= (flags & OS_TRUNCATE) ? O_TRUNC : 0;
    int fd;
    do {
        fd = open(path, how | ((flags & OS_DIRECT) ? O_DIRECT : 0), 0600);
        if (fd < 0 && errno == EINVAL && (flags & OS_DIRECT)) /* a file system in memory */
            fd = open(path, how, 0600);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return machine_error(err, "open", path);
    RealFile *file = mem_new(sizeof *file);
    file->fd = fd;
    snprintf(file->path, sizeof file->path, "%s", path);
    *ret_file = file;
    return E_OK;
}

static void real_file_close(void *self, void *inner)
{
    (void)self;
    RealFile *file = inner;
    close(file->fd);
    mem_free(&file);
}

static Code real_file_pread(void *self, void *inner, void *bytes, size_t len, uint64_t at,
                            size_t *ret_len, Err *err)
{
    (void)self;
    RealFile *file = inner;
    size_t done = 0;
    while (done < len) {
        ssize_t got = pread(file->fd, (char *)bytes + done, len - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return machine_error(err, "read", file->path);
        if (got == 0)
            break;
        done += (size_t)got;
    }
    *ret_len = done;
    return E_OK;
}

static size_t real_file_peek(void *self, void *inner, void *bytes, size_t len, uint64_t at)
{
    (void)self;
    RealFile *file = inner;
    struct iovec part = { bytes, len };
    ssize_t got = preadv2(file->fd, &part, 1, (off_t)at, RWF_NOWAIT);
    return got > 0 ? (size_t)got : 0;
}

static Code real_file_pread_two(void *self, void *inner, const OsPart parts[2], uint64_t at, bool now,
                                size_t *ret_len, Err *err)
{
    const RealFile *file = inner;
    struct iovec pieces[2] = { { parts[0].ptr, parts[0].len }, { parts[1].ptr, parts[1].len } };
    size_t wanted = parts[0].len + parts[1].len, rest = 0;
    ssize_t got = preadv2(file->fd, pieces, ARRAY_LEN(pieces), (off_t)at, now ? RWF_NOWAIT : 0);
    *ret_len = wanted;
    if (got >= 0 && (size_t)got == wanted)
        return E_OK;
    if (now)
        return err_set(err, E_UNAVAILABLE, "these bytes are not in memory");
    TRY(real_file_pread(self, inner, parts[0].ptr, parts[0].len, at, ret_len, err));
    if (*ret_len == parts[0].len)
        TRY(real_file_pread(self, inner, parts[1].ptr, parts[1].len, at + parts[0].len, &rest, err));
    *ret_len += rest;
    return E_OK;
}

static Code real_file_pwrite(void *self, void *inner, Str bytes, uint64_t at, Err *err)
{
    (void)self;
    RealFile *file = inner;
    size_t done = 0;
    while (done < bytes.len) {
        ssize_t put = pwrite(file->fd, bytes.ptr + done, bytes.len - done, (off_t)(at + done));
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return machine_error(err, "write", file->path);
        done += (size_t)put;
    }
    return E_OK;
}

static Code real_file_sync(void *self, void *inner, Err *err)
{
    (void)self;
    RealFile *file = inner;
    return fdatasync(file->fd) == 0 ? E_OK : machine_error(err, "sync", file->path);
}

static Code real_file_size(void *self, void *inner, uint64_t *ret_size, Err *err)
{
    (void)self;
    RealFile *file = inner;
    struct stat st;
    if (fstat(file->fd, &st) < 0)
        return machine_error(err, "stat", file->path);
    *ret_size = (uint64_t)st.st_size;
    return E_OK;
}

static Code real_file_truncate(void *self, void *inner, uint64_t size, Err *err)
{
    (void)self;
    RealFile *file = inner;
    return ftruncate(file->fd, (off_t)size) == 0 ? E_OK : machine_error(err, "cut", file->path);
}

static Code real_file_allocate(void *self, void *inner, uint64_t size, Err *err)
{
    (void)self;
    RealFile *file = inner;
    if (size == 0)
        return E_OK;
    int why;
    do
        why = posix_fallocate(file->fd, 0, (off_t)size);
    while (why == EINTR);
    errno = why;
    return why == 0 ? E_OK : machine_error(err, "allocate", file->path);
}

static int real_file_fd(void *self, void *inner)
{
    (void)self;
    return ((RealFile *)inner)->fd;
}

static Code real_file_lock(void *self, void *inner, Err *err)
{
    (void)self;
    RealFile *file = inner;
    if (flock(file->fd, LOCK_EX | LOCK_NB) == 0)
        return E_OK;
    if (errno == EWOULDBLOCK)
        return err_set(err, E_UNAVAILABLE, "%s is held by another process", file->path);
    return machine_error(err, "lock", file->path);
}

static Code real_dir_make(void *self, const char *path, Err *err)
{
    (void)self;
    struct stat st;
    if (mkdir(path, 0700) == 0)
        return E_OK;
    if (errno == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return E_OK;
    return machine_error(err, "make directory", path);
}

static Code real_dir_remove(void *self, const char *path, Err *err)
{
    (void)self;
    return rmdir(path) == 0 ? E_OK : machine_error(err, "remove directory", path);
}

static Code real_dir_sync(void *self, const char *path, Err *err)
{
    (void)self;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return machine_error(err, "open directory", path);
    int failed = fsync(fd);
    int why = errno;
    close(fd);
    errno = why;
    return failed ? machine_error(err, "sync directory", path) : E_OK;
}

static int entry_order(const void *a, const void *b)
{
    return str_cmp(((const OsDirEntry *)a)->name, ((const OsDirEntry *)b)->name);
}

static bool entry_is_dir(DIR *dir, const struct dirent *entry)
{
    struct stat st;
    if (entry->d_type != DT_UNKNOWN)
        return entry->d_type == DT_DIR;
    return fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode);
}

static Code real_dir_list(void *self, const char *path, Arena *arena, OsDirEntry **ret_entries,
                          size_t *ret_count, Err *err)
{
    (void)self;
    Vec(OsDirEntry) entries = { 0 };
    DIR *dir = opendir(path);
    if (!dir)
        return machine_error(err, "list", path);
    errno = 0; /* a list that breaks off looks like one that is over, but for this */
    for (const struct dirent *entry; (entry = readdir(dir)); errno = 0) {
        Str name = str_z(entry->d_name);
        if (!str_eq(name, STR(".")) && !str_eq(name, STR("..")))
            vec_push(&entries, (OsDirEntry){ str_copy(arena, name), entry_is_dir(dir, entry) });
    }
    Code code = errno ? machine_error(err, "list", path) : E_OK;
    closedir(dir);
    if (code != E_OK) {
        vec_done(&entries);
        return code;
    }
    if (entries.len)
        qsort(entries.items, entries.len, sizeof *entries.items, entry_order);
    *ret_entries = arena_copy(arena, entries.items, entries.len * sizeof *entries.items);
    *ret_count = entries.len;
    vec_done(&entries);
    return E_OK;
}

static Code real_path_rename(void *self, const char *from, const char *to, Err *err)
{
    (void)self;
    return rename(from, to) == 0 ? E_OK : machine_error(err, "rename", from);
}

static Code real_path_unlink(void *self, const char *path, Err *err)
{
    (void)self;
    return unlink(path) == 0 ? E_OK : machine_error(err, "remove", path);
}

static Code real_path_stat(void *self, const char *path, OsStat *ret_stat, Err *err)
{
    (void)self;
    struct stat st;
    if (stat(path, &st) < 0)
        return machine_error(err, "stat", path);
    *ret_stat = (OsStat){
        .size_bytes = (uint64_t)st.st_size,
        .modified_us = (int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000,
        .mode = st.st_mode & 07777,
        .owner = st.st_uid,
        .is_dir = S_ISDIR(st.st_mode),
    };
    return E_OK;
}

static Code real_space(void *self, const char *path, uint64_t *ret_free, uint64_t *ret_total, Err *err)
{
    (void)self;
    struct statvfs st;
    if (statvfs(path, &st) < 0)
        return machine_error(err, "ask for the space of", path);
    *ret_free = (uint64_t)st.f_bavail * st.f_frsize;
    *ret_total = (uint64_t)(st.f_blocks - st.f_bfree + st.f_bavail) * st.f_frsize;
    return E_OK;
}

static int64_t clock_us(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t real_now_us(void *self)
{
    (void)self;
    return clock_us(CLOCK_REALTIME);
}

static int64_t real_monotonic_us(void *self)
{
    (void)self;
    return clock_us(CLOCK_MONOTONIC);
}

static void real_random(void *self, void *bytes, size_t len)
{
    (void)self;
    for (size_t done = 0; done < len;) {
        ssize_t got = getrandom((char *)bytes + done, len - done, 0);
        ASSERT(got > 0 || errno == EINTR);
        done += got > 0 ? (size_t)got : 0;
    }
}

static const OsOps real_ops = {
    .file_open = real_file_open,
    .file_close = real_file_close,
    .file_pread = real_file_pread,
    .file_pread_two = real_file_pread_two,
    .file_pwrite = real_file_pwrite,
    .file_sync = real_file_sync,
    .file_size = real_file_size,
    .file_truncate = real_file_truncate,
    .file_allocate = real_file_allocate,
    .file_fd = real_file_fd,
    .file_peek = real_file_peek,
    .file_lock = real_file_lock,
    .dir_make = real_dir_make,
    .dir_remove = real_dir_remove,
    .dir_sync = real_dir_sync,
    .dir_list = real_dir_list,
    .path_rename = real_path_rename,
    .path_unlink = real_path_unlink,
    .path_stat = real_path_stat,
    .space = real_space,
    .now_us = real_now_us,
    .monotonic_us = real_monotonic_us,
    .random = real_random,
    .threads = true,
};

static Os real_machine = { &real_ops, NULL };

Os *os_real(void)
{
    return &real_machine;
}
