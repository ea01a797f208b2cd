/* copy.c: of the real machine only: what a simulated one keeps has no descriptors. */
#include "os/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COPY_PIECE = 32 * 1024 * 1024, READ_PIECE = 256 * 1024 };

static Code refuse(Err *err, const char *doing, const char *path)
{
    int why = errno;
    Code code = why == ENOENT || why == ENOTDIR           ? E_NOT_FOUND
                : why == EEXIST                           ? E_EXISTS
                : why == ENOSPC || why == EDQUOT          ? E_NO_SPACE
                : why == EACCES || why == EPERM || why == EROFS ? E_FORBIDDEN
                                                          : E_IO;
    return err_set(err, code, "cannot %s %s: %s", doing, path, strerror(why));
}

static void fd_close(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}

Code os_link(const char *from, const char *to, Err *err)
{
    if (link(from, to) == 0)
        return E_OK;
    if (errno == EXDEV || errno == EPERM || errno == EOPNOTSUPP || errno == EMLINK || errno == ENOSYS)
        return err_set(err, E_UNSUPPORTED, "cannot give %s a second name: %s", from, strerror(errno));
    return refuse(err, "link", to);
}

static Code piece_write(int fd, const char *to, const char *bytes, size_t len, Err *err)
{
    for (size_t done = 0; done < len;) {
        ssize_t put = write(fd, bytes + done, len - done);
        if (put < 0 && errno != EINTR)
            return refuse(err, "write", to);
        done += put > 0 ? (size_t)put : 0;
    }
    return E_OK;
}

/* Where the kernel cannot: other kinds of file systems, or old ones. */
static Code piece_by_hand(int in, int out, const char *to, size_t *ret_len, Err *err)
{
    static _Thread_local char bytes[READ_PIECE];
    ssize_t got;
    do
        got = read(in, bytes, sizeof bytes);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return refuse(err, "read for", to);
    *ret_len = (size_t)got;
    return piece_write(out, to, bytes, (size_t)got, err);
}

static Code bytes_copy(int in, int out, const char *to, CopyStep *step, void *arg, Err *err)
{
    bool by_hand = false;
    for (size_t len = 1; len > 0;) {
        ssize_t got = by_hand ? -1 : copy_file_range(in, NULL, out, NULL, COPY_PIECE, 0);
        if (got < 0 && !by_hand && (errno == ENOSPC || errno == EDQUOT || errno == EIO))
            return refuse(err, "write", to);
        by_hand = got < 0;
        len = got > 0 ? (size_t)got : 0;
        if (by_hand)
            TRY(piece_by_hand(in, out, to, &len, err));
        if (step && len > 0)
            TRY(step(arg, len, err));
    }
    return E_OK;
}

Code os_copy(const char *from, const char *to, bool names, CopyStep *step, void *arg, CopyWay *ret_way, Err *err)
{
    int in AUTO(fd_close) = open(from, O_RDONLY | O_CLOEXEC), out AUTO(fd_close) = -1;
    struct stat stat;
    if (in < 0 || fstat(in, &stat) != 0)
        return refuse(err, "open", from);
    out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (out < 0)
        return refuse(err, "make", to);
    *ret_way = COPY_SHARED;
    if (ioctl(out, FICLONE, in) == 0)
        return step ? step(arg, (uint64_t)stat.st_size, err) : E_OK;
    *ret_way = COPY_NAMED;
    if (names && unlink(to) == 0) {
        if (link(from, to) == 0)
            return step ? step(arg, (uint64_t)stat.st_size, err) : E_OK;
        close(out);
        out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (out < 0)
            return refuse(err, "make", to);
    }
    *ret_way = COPY_BYTES;
    return bytes_copy(in, out, to, step, arg, err);
}

Code os_filesystem_sync(const char *dir, Err *err)
{
    int fd AUTO(fd_close) = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && syncfs(fd) == 0 ? E_OK : refuse(err, "sync", dir);
}
