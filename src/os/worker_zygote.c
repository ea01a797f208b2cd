/* The zygote and the workers.
 *   zygote: fork -> waits for notices and deaths -> forks so that `warm` workers wait -> dies with
 * its parent worker: waits on control -> takes one order -> tells the zygote -> hello -> request ->
 * lock -> body -> exit Invariants:
 * 1. The zygote has no threads, takes no orders and never sees bytes of users.
 * 2. A worker does one job, and is locked in before its body sees the request's objects. */
#include "base/cursor.h"
#include "os/worker_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CONTROL_FD = 3, NOTICE_FD = 4, STREAM_FD = 3, OBJECTS_FD = 4, NOTICES_AT_ONCE = 64, FORK_AGAIN_MS = 100 };

static bool read_all(int fd, char *bytes, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t got = read(fd, bytes + at, len - at);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += (size_t)got;
    }
    return true;
}

static bool write_all(int fd, const char *bytes, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t put = write(fd, bytes + at, len - at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        at += (size_t)put;
    }
    return true;
}

/* ---- a worker ---- */

static bool put_frame(int fd, char letter, Str bytes)
{
    char head[WORKER_FRAME_HEAD] = { letter };
    store_u32le(head + 1, (uint32_t)bytes.len);
    return write_all(fd, head, sizeof head) && write_all(fd, bytes.ptr, bytes.len);
}

Code worker_reply(WorkerCall *call, Str bytes, Err *err)
{
    while (bytes.len > 0) {
        Str piece = str_sub(bytes, 0, WORKER_FRAME_MAX);
        if (!put_frame(call->reply_fd_, WORKER_DATA, piece))
            return err_set(err, E_CANCELLED, "nobody reads the answer any more");
        bytes = str_from(bytes, piece.len);
    }
    return E_OK;
}

static void put_error(int fd, const Err *err)
{
    Buf frame;
    buf_init(&frame, WORKER_FRAME_MAX);
    write_u32le(&frame, err->code);
    write_u64le(&frame, (uint64_t)err->position);
    write_str32(&frame, str_z(err->text));
    write_str32(&frame, str_z(err->place));
    write_str32(&frame, str_z(err->hint));
    IGNORE(put_frame(fd, WORKER_ERROR, buf_str(&frame))); /* nobody there: nobody to tell */
    buf_done(&frame);
}

/* Receives one order and its descriptors; they lie at STREAM_FD and behind afterwards, all others
 * closed. */
static bool take_order(WorkerOrder *ret_order)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int) * (WORKER_FDS_MAX + 1))];
        struct cmsghdr align;
    } control;
    struct iovec piece = { ret_order, sizeof *ret_order };
    struct msghdr message = { .msg_iov = &piece,
                              .msg_iovlen = 1,
                              .msg_control = &control,
                              .msg_controllen = sizeof control };
    ssize_t got;
    do
        got = recvmsg(CONTROL_FD, &message, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    struct cmsghdr *rights = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    size_t count = rights ? (rights->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
    if (got != sizeof *ret_order || count != ret_order->fd_count + 1 ||
        count > WORKER_FDS_MAX + 1 || ret_order->request_len > WORKER_REQUEST_BYTES_MAX)
        return false;
    pid_t self = getpid();
    IGNORE(write(NOTICE_FD, &self, sizeof self) <
           0); /* the zygote is gone: this one goes as well, soon */
    int fds[WORKER_FDS_MAX + 1], high[WORKER_FDS_MAX + 1];
    memcpy(fds, CMSG_DATA(rights), count * sizeof(int));
    for (size_t i = 0; i < count; i++)
        high[i] = fcntl(fds[i], F_DUPFD, STREAM_FD + (int)count);
    for (size_t i = 0; i < count; i++)
        if (high[i] < 0 || dup2(high[i], STREAM_FD + (int)i) < 0)
            return false;
    return syscall(SYS_close_range, STREAM_FD + (int)count, ~0U, 0) == 0;
}

/* The pidfd lets the other side end exactly this process, whatever becomes of its number. */
static bool put_hello(void)
{
    int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0);
    char letter = WORKER_HELLO;
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = { .bytes = { 0 } };
    struct iovec piece = { &letter, 1 };
    struct msghdr message = { .msg_iov = &piece,
                              .msg_iovlen = 1,
                              .msg_control = &control,
                              .msg_controllen = sizeof control };
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    *rights = (struct cmsghdr){ .cmsg_len = CMSG_LEN(sizeof(int)),
                                .cmsg_level = SOL_SOCKET,
                                .cmsg_type = SCM_RIGHTS };
    memcpy(CMSG_DATA(rights), &pidfd, sizeof pidfd);
    bool sent = pidfd >= 0 && sendmsg(STREAM_FD, &message, 0) == 1;
    if (pidfd >= 0)
        close(pidfd);
    return sent;
}

static Code run_order(const WorkerOrder *order, WorkerLock *lock, const WorkerBodyRow *bodies,
                      Err *err)
{
    int fds[WORKER_FDS_MAX];
    char *request = mem_new((size_t)order->request_len + 1);
    if (!read_all(STREAM_FD, request, (size_t)order->request_len))
        return err_set(err, E_CANCELLED, "the request did not come");
    for (size_t i = 0; i < order->fd_count; i++)
        fds[i] = OBJECTS_FD + (int)i;
    WorkerCall call = { .request = str_of(request, (size_t)order->request_len),
                        .fds = fds,
                        .fd_count = order->fd_count,
                        .reply_fd_ = STREAM_FD };
    if (order->id >= WORKER_BODIES_MAX || !bodies[order->id].body)
        return err_set(err, E_INTERNAL, "no worker body has the id %u", order->id);
    TRY(worker_lock_close(lock, &order->limits, err));
    return bodies[order->id].body(&call, err);
}

static _Noreturn void worker_main(const WorkerBodyRow *bodies)
{
    WorkerOrder order;
    WorkerLock *lock = NULL;
    Err err;
    err_clear(&err);
    Code code = worker_lock_prepare(&lock, &err);
    if (!take_order(&order) || !put_hello())
        _exit(1);
    if (code == E_OK)
        code = run_order(&order, lock, bodies, &err);
    if (code == E_OK)
        IGNORE(put_frame(STREAM_FD, WORKER_OVER, STR(""))); /* nobody there: nobody to tell */
    else
        put_error(STREAM_FD, &err);
    _exit(0);
}

/* ---- the zygote ---- */

typedef struct Zygote {
    pid_t waiting[WORKER_WARM_MAX]; /* 0: a free place */
    size_t warm_count;
    const WorkerBodyRow *bodies;
} Zygote;

static void forget(Zygote *zygote, pid_t pid)
{
    for (size_t i = 0; i < zygote->warm_count; i++)
        if (zygote->waiting[i] == pid)
            zygote->waiting[i] = 0;
}

static void die_with(pid_t parent)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
}

static bool fork_worker(Zygote *zygote, size_t place)
{
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        sigset_t none;
        sigemptyset(&none);
        die_with(parent);
        signal(SIGPIPE, SIG_IGN);
        sigprocmask(SIG_SETMASK, &none, NULL);
        worker_main(zygote->bodies);
    }
    zygote->waiting[place] = pid > 0 ? pid : 0;
    return pid > 0;
}

/* The zygote keeps nothing of its parent open but the control socket and the pipe of notices. */
static int settle_fds(int control, int *ret_signals)
{
    int notices[2], null = open("/dev/null", O_RDWR);
    sigset_t children;
    if (null < 0 || pipe(notices) != 0)
        _exit(1);
    for (int fd = 0; fd < 3; fd++)
        dup2(null, fd);
    int high_control = fcntl(control, F_DUPFD, 10), high_read = fcntl(notices[0], F_DUPFD, 10);
    int high_write = fcntl(notices[1], F_DUPFD, 10);
    dup2(high_control, CONTROL_FD);
    dup2(high_write, NOTICE_FD);
    dup2(high_read, 5);
    syscall(SYS_close_range, 6, ~0U, 0);
    fcntl(5, F_SETFL, O_NONBLOCK);
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    sigprocmask(SIG_SETMASK, &children, NULL);
    *ret_signals = signalfd(-1, &children, SFD_NONBLOCK | SFD_CLOEXEC);
    return 5;
}

_Noreturn void worker_zygote(int control, size_t warm_count, const WorkerBodyRow *bodies)
{
    Zygote zygote = { .warm_count = warm_count, .bodies = bodies };
    int signals, notices = settle_fds(control, &signals);
    for (size_t i = 0; i < WORKER_BODIES_MAX; i++)
        if (bodies[i].warm)
            bodies[i].warm();
    for (;;) {
        pid_t pids[NOTICES_AT_ONCE], pid;
        for (ssize_t got; (got = read(notices, pids, sizeof pids)) > 0;)
            for (size_t i = 0; i < (size_t)got / sizeof *pids; i++)
                forget(&zygote, pids[i]);
        struct signalfd_siginfo infos[8];
        while (read(signals, infos, sizeof infos) > 0)
            continue;
        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
            forget(&zygote, pid);
        bool all = true; /* else the machine had no process to give: nobody tells when it has */
        for (size_t i = 0; i < warm_count; i++)
            if (zygote.waiting[i] == 0)
                all = fork_worker(&zygote, i) && all;
        struct pollfd waits[] = { { notices, POLLIN, 0 },
                                  { signals, POLLIN, 0 },
                                  { CONTROL_FD, 0, 0 } };
        poll(waits, ARRAY_LEN(waits), all ? -1 : FORK_AGAIN_MS);
        if (waits[2].revents & (POLLHUP | POLLERR))
            _exit(0);
    }
}
