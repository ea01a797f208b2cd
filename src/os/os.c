#include "os/os.h"

#include <fcntl.h>
#include <string.h>

struct OsFile {
    Os os; /* a copy: two pointers */
    void *inner;
};

bool os_has_threads(const Os *os)
{
    return os->ops->threads;
}

Code os_file_open(Os *os, const char *path, unsigned flags, OsFile **ret_file, Err *err)
{
    void *inner;
    TRY(os->ops->file_open(os->self, path, flags, &inner, err));
    OsFile *file = mem_new(sizeof *file);
    *file = (OsFile){ *os, inner };
    *ret_file = file;
    return E_OK;
}

void os_file_close(OsFile **file)
{
    if (!*file)
        return;
    (*file)->os.ops->file_close((*file)->os.self, (*file)->inner);
    mem_free(file);
}

Code os_file_pread(OsFile *file, void *bytes, size_t len, uint64_t at, size_t *ret_len, Err *err)
{
    return file->os.ops->file_pread(file->os.self, file->inner, bytes, len, at, ret_len, err);
}

Code os_file_pread_two(OsFile *file, const OsPart parts[2], uint64_t at, bool now, size_t *ret_len, Err *err)
{
    const OsOps *ops = file->os.ops;
    size_t rest = 0;
    if (ops->file_pread_two)
        return ops->file_pread_two(file->os.self, file->inner, parts, at, now, ret_len, err);
    if (now)
        return err_set(err, E_UNAVAILABLE, "this machine does not say whether a read waits");
    TRY(os_file_pread(file, parts[0].ptr, parts[0].len, at, ret_len, err));
    if (*ret_len == parts[0].len)
        TRY(os_file_pread(file, parts[1].ptr, parts[1].len, at + parts[0].len, &rest, err));
    *ret_len += rest;
    return E_OK;
}

Code os_file_pwrite(OsFile *file, Str bytes, uint64_t at, Err *err)
{
    return file->os.ops->file_pwrite(file->os.self, file->inner, bytes, at, err);
}

Code os_file_sync(OsFile *file, Err *err)
{
    return file->os.ops->file_sync(file->os.self, file->inner, err);
}

Code os_file_size(OsFile *file, uint64_t *ret_size, Err *err)
{
    return file->os.ops->file_size(file->os.self, file->inner, ret_size, err);
}

Code os_file_truncate(OsFile *file, uint64_t size, Err *err)
{
    return file->os.ops->file_truncate(file->os.self, file->inner, size, err);
}

Code os_file_allocate(OsFile *file, uint64_t size, Err *err)
{
    return file->os.ops->file_allocate(file->os.self, file->inner, size, err);
}

size_t os_file_peek(OsFile *file, void *bytes, size_t len, uint64_t at)
{
    const OsOps *ops = file->os.ops;
    return ops->file_peek ? ops->file_peek(file->os.self, file->inner, bytes, len, at) : 0;
}

void os_file_ahead(OsFile *file, uint64_t at, size_t len)
{
    int fd = os_file_fd(file);
    if (fd >= 0)
        IGNORE(posix_fadvise(fd, (off_t)at, (off_t)len, POSIX_FADV_WILLNEED)); /* only time is lost without */
}

void os_file_cool(OsFile *file)
{
    int fd = os_file_fd(file);
    if (fd >= 0)
        IGNORE(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED)); /* only memory is lost without */
}

int os_file_fd(OsFile *file)
{
    return file->os.ops->file_fd ? file->os.ops->file_fd(file->os.self, file->inner) : -1;
}

Code os_file_lock(OsFile *file, Err *err)
{
    const OsOps *ops = file->os.ops;
    return ops->file_lock ? ops->file_lock(file->os.self, file->inner, err) : E_OK;
}

Code os_dir_make(Os *os, const char *path, Err *err)
{
    return os->ops->dir_make(os->self, path, err);
}

Code os_dir_remove(Os *os, const char *path, Err *err)
{
    return os->ops->dir_remove(os->self, path, err);
}

Code os_dir_sync(Os *os, const char *path, Err *err)
{
    return os->ops->dir_sync(os->self, path, err);
}

Code os_dir_list(Os *os, const char *path, Arena *arena, OsDirEntry **ret_entries,
                 size_t *ret_count, Err *err)
{
    return os->ops->dir_list(os->self, path, arena, ret_entries, ret_count, err);
}

Code os_rename(Os *os, const char *from, const char *to, Err *err)
{
    return os->ops->path_rename(os->self, from, to, err);
}

Code os_unlink(Os *os, const char *path, Err *err)
{
    return os->ops->path_unlink(os->self, path, err);
}

Code os_stat(Os *os, const char *path, OsStat *ret_stat, Err *err)
{
    return os->ops->path_stat(os->self, path, ret_stat, err);
}

Code os_space_free(Os *os, const char *path, uint64_t *ret_bytes, Err *err)
{
    uint64_t total;
    return os_space(os, path, ret_bytes, &total, err);
}

Code os_space(Os *os, const char *path, uint64_t *ret_free, uint64_t *ret_total, Err *err)
{
    return os->ops->space(os->self, path, ret_free, ret_total, err);
}

int64_t os_now_us(Os *os)
{
    return os->ops->now_us(os->self);
}

int64_t os_monotonic_us(Os *os)
{
    return os->ops->monotonic_us(os->self);
}

void os_random(Os *os, void *bytes, size_t len)
{
    os->ops->random(os->self, bytes, len);
}

Uuid os_uuid(Os *os)
{
    uint8_t random[10];
    os_random(os, random, sizeof random);
    return uuid_v7(os_now_us(os), random);
}

Code os_read_whole(Os *os, const char *path, Buf *ret_bytes, Err *err)
{
    AUTO(os_file_close) OsFile *file = NULL;
    uint64_t size;
    TRY(os_file_open(os, path, OS_READ, &file, err));
    TRY(os_file_size(file, &size, err));
    if (size > ret_bytes->max - ret_bytes->len)
        return err_set(err, E_LIMIT, "%s has %llu bytes, at most %zu are read", path,
                       (unsigned long long)size, ret_bytes->max);
    if (!buf_reserve(ret_bytes, (size_t)size))
        return buf_end(ret_bytes, path, err);
    size_t len;
    TRY(os_file_pread(file, ret_bytes->ptr + ret_bytes->len, (size_t)size, 0, &len, err));
    ret_bytes->len += len;
    return E_OK;
}

static Str dir_of(const char *path)
{
    Str whole = str_z(path);
    ptrdiff_t slash = str_rfind_char(whole, '/');
    if (slash < 0)
        return STR(".");
    return slash == 0 ? STR("/") : str_sub(whole, 0, (size_t)slash);
}

static Code write_new(Os *os, const char *path, Str bytes, Err *err)
{
    AUTO(os_file_close) OsFile *file = NULL;
    TRY(os_file_open(os, path, OS_WRITE | OS_CREATE | OS_TRUNCATE, &file, err));
    TRY(os_file_pwrite(file, bytes, 0, err));
    return os_file_sync(file, err);
}

Code os_dir_make_durable(Os *os, const char *dir, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    TRY(os_dir_make(os, dir, err));
    return os_dir_sync(os, str_copy_z(&tmp, dir_of(dir)), err);
}

Code os_write_whole(Os *os, const char *path, Str bytes, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    const char *fresh = str_copy_z(&tmp, str_format(&tmp, "%s.new", path));
    TRY(write_new(os, fresh, bytes, err));
    TRY(os_rename(os, fresh, path, err));
    return os_dir_sync(os, str_copy_z(&tmp, dir_of(path)), err);
}
