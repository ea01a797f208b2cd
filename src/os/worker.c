/* The caller's side. Invariants:
 * 1. the_zygote changes only in worker_start and worker_stop, while no other thread uses workers.
 * 2. A WorkerJob owns its end of the stream, and the worker's pidfd once the hello has come.
 * 3. `jobs` counts the jobs between worker_job_new and worker_job_free. */
#include "os/worker.h"

#include "base/cursor.h"
#include "os/worker_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { TIMEOUT_MS_USUAL = 60000, WHAT_MAX = 512, CANCEL_LOOK_MS = 10 };

static struct {
    pid_t pid; /* 0: not running */
    int control;
    WorkerBodyRow bodies[WORKER_BODIES_MAX];
} the_zygote = { .control = -1 };

static atomic_size_t jobs;

struct WorkerJob {
    int stream;
    int pidfd;   /* -1: the hello has not come */
    bool over;   /* the body returned OK, or the error was given */
    size_t left; /* data bytes of the current frame */
    int64_t deadline_ms;
    const bool *cancel;
    WorkerLimits limits;
    char what[WHAT_MAX];
};

static int64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void worker_register(unsigned id, const char *name, WorkerBody *body, void (*warm)(void))
{
    ASSERT(id < WORKER_BODIES_MAX && the_zygote.pid == 0);
    the_zygote.bodies[id] = (WorkerBodyRow){ name, body, warm };
}

Code worker_start(size_t warm_count, Err *err)
{
    int ends[2];
    ASSERT(the_zygote.pid == 0);
    if (!worker_lock_possible())
        return err_set(err, E_FORBIDDEN,
                       "this machine has no seccomp: objects of others cannot be read safely");
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return err_set(err, E_UNAVAILABLE, "no socket for the workers: %s", strerror(errno));
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        setsid(); /* a Ctrl-C of the terminal is for the parent, which ends its workers */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        worker_zygote(ends[1], MIN(MAX(warm_count, (size_t)1), (size_t)WORKER_WARM_MAX),
                      the_zygote.bodies);
    }
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return err_set(err, E_UNAVAILABLE, "no process for the workers: %s", strerror(errno));
    }
    the_zygote.pid = pid;
    the_zygote.control = ends[0];
    return E_OK;
}

void worker_stop(void)
{
    if (the_zygote.pid == 0)
        return;
    close(the_zygote.control);
    kill(the_zygote.pid, SIGKILL);
    waitpid(the_zygote.pid, NULL, 0);
    the_zygote.pid = 0;
    the_zygote.control = -1;
}

bool worker_running(void)
{
    siginfo_t state = { .si_pid = 0 };
    int options = WEXITED | WNOHANG | WNOWAIT; /* worker_stop takes the dead one away */
    return the_zygote.pid > 0 && waitid(P_PID, (id_t)the_zygote.pid, &state, options) == 0 &&
           state.si_pid == 0;
}

/* ---- a job ---- */

static Code send_order(const WorkerRequest *request, int stream, Err *err)
{
    WorkerOrder order = { .id = request->id,
                          .fd_count = (uint32_t)request->fd_count,
                          .request_len = request->request.len,
                          .limits = request->limits };
    union {
        char bytes[CMSG_SPACE(sizeof(int) * (WORKER_FDS_MAX + 1))];
        struct cmsghdr align;
    } control = { .bytes = { 0 } };
    int fds[WORKER_FDS_MAX + 1] = { stream };
    size_t fds_len = (request->fd_count + 1) * sizeof(int);
    if (request->fd_count > 0)
        memcpy(fds + 1, request->fds, request->fd_count * sizeof(int));
    struct iovec piece = { &order, sizeof order };
    struct msghdr message = { .msg_iov = &piece,
                              .msg_iovlen = 1,
                              .msg_control = &control,
                              .msg_controllen = CMSG_SPACE(fds_len) };
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    *rights = (struct cmsghdr){ .cmsg_len = CMSG_LEN(fds_len),
                                .cmsg_level = SOL_SOCKET,
                                .cmsg_type = SCM_RIGHTS };
    memcpy(CMSG_DATA(rights), fds, fds_len);
    if (sendmsg(the_zygote.control, &message, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)sizeof order)
        return err_set(err, E_UNAVAILABLE, "no worker takes the job: %s", strerror(errno));
    return E_OK;
}

/* Waits until the stream is ready; TIMEOUT when the job's time is over. */
static Code wait_for(WorkerJob *job, short events, Err *err)
{
    int64_t turn_ms = job->cancel ? CANCEL_LOOK_MS : INT32_MAX;
    for (;;) {
        if (job->cancel && __atomic_load_n(job->cancel, __ATOMIC_ACQUIRE))
            return err_set(err, E_CANCELLED, "reading %s was cancelled", job->what);
        int64_t left = job->deadline_ms - clock_ms();
        struct pollfd wait = { job->stream, events, 0 };
        int ready = left > 0 ? poll(&wait, 1, (int)MIN(left, turn_ms)) : 0;
        if (ready > 0)
            return E_OK;
        if (ready == 0 && left <= turn_ms)
            return err_set(err, E_TIMEOUT, "reading %s took too long", job->what);
    }
}

static Code job_died(const WorkerJob *job, Err *err)
{
    uint64_t memory = job->limits.memory_bytes ? job->limits.memory_bytes : UINT64_C(2) << 30;
    uint64_t seconds = job->limits.cpu_seconds ? job->limits.cpu_seconds : 60;
    err_set(err, E_WORKER_DIED,
            "the process that read %s died: it crashed, or went over %llu MiB or %llu s", job->what,
            (unsigned long long)(memory >> 20), (unsigned long long)seconds);
    return err_place(err, E_WORKER_DIED, "%s", job->what);
}

static Code send_request(WorkerJob *job, Str request, Err *err)
{
    while (request.len > 0) {
        ssize_t put = send(job->stream, request.ptr, request.len, MSG_NOSIGNAL);
        if (put > 0)
            request = str_from(request, (size_t)put);
        else if (errno == EAGAIN)
            TRY(wait_for(job, POLLOUT, err));
        else if (errno != EINTR)
            return job_died(job, err);
    }
    return E_OK;
}

Code worker_job_new(const WorkerRequest *request, WorkerJob **ret_job, Err *err)
{
    int ends[2];
    if (request->fd_count > WORKER_FDS_MAX || request->request.len > WORKER_REQUEST_BYTES_MAX)
        return err_set(err, E_LIMIT, "a job of %zu descriptors and %zu bytes", request->fd_count,
                       request->request.len);
    if (the_zygote.pid == 0)
        return err_set(err, E_UNAVAILABLE, "the workers are not started");
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return err_set(err, E_UNAVAILABLE, "no socket for a worker: %s", strerror(errno));
    WorkerJob *job AUTO(worker_job_free) = mem_new(sizeof *job);
    int timeout_ms = request->timeout_ms > 0 ? request->timeout_ms : TIMEOUT_MS_USUAL;
    *job = (WorkerJob){ .stream = ends[0],
                        .pidfd = -1,
                        .limits = request->limits,
                        .deadline_ms = clock_ms() + timeout_ms,
                        .cancel = request->cancel };
    Str what = request->what.len > 0 ? str_sub(request->what, 0, WHAT_MAX - 1) : STR("an object");
    memcpy(job->what, what.ptr, what.len);
    size_t before = atomic_fetch_add(&jobs, 1);
    fcntl(job->stream, F_SETFL, O_NONBLOCK);
    Code code = before < WORKER_JOBS_MAX
                    ? send_order(request, ends[1], err)
                    : err_set(err, E_UNAVAILABLE, "%zu workers run already", before);
    close(ends[1]);
    TRY(code);
    TRY(send_request(job, request->request, err));
    *ret_job = TAKE(job);
    return E_OK;
}

/* Takes the worker's pidfd. `*ret_came` false: nothing is there yet. */
static bool take_hello(WorkerJob *job, bool *ret_came)
{
    char letter = 0;
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec piece = { &letter, 1 };
    struct msghdr message = { .msg_iov = &piece,
                              .msg_iovlen = 1,
                              .msg_control = &control,
                              .msg_controllen = sizeof control };
    ssize_t got = recvmsg(job->stream, &message, MSG_CMSG_CLOEXEC);
    *ret_came = false;
    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
    if (got != 1 || letter != WORKER_HELLO || !rights || rights->cmsg_type != SCM_RIGHTS)
        return false;
    memcpy(&job->pidfd, CMSG_DATA(rights), sizeof job->pidfd);
    *ret_came = true;
    return true;
}

/* Reads up to `len` bytes of the stream, at least one. */
static Code read_some(WorkerJob *job, void *bytes, size_t len, size_t *ret_len, Err *err)
{
    for (;;) {
        ssize_t got = recv(job->stream, bytes, len, 0);
        if (got > 0) {
            *ret_len = (size_t)got;
            return E_OK;
        }
        if (got == 0 || (errno != EAGAIN && errno != EINTR))
            return job_died(job, err);
        TRY(wait_for(job, POLLIN, err));
    }
}

static Code read_exactly(WorkerJob *job, char *bytes, size_t len, Err *err)
{
    for (size_t at = 0, got = 0; at < len; at += got)
        TRY(read_some(job, bytes + at, len - at, &got, err));
    return E_OK;
}

/* The error that the body returned. What a worker sends may be anything: it is checked like a file.
 */
static Code read_error(WorkerJob *job, size_t len, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    char *bytes = arena_alloc(&tmp, len + 1);
    TRY(read_exactly(job, bytes, len, err));
    Reader r = reader_of(str_of(bytes, len));
    uint32_t code = read_u32le(&r);
    int64_t position = (int64_t)read_u64le(&r);
    Str text = read_str32(&r, ERR_TEXT_MAX), place = read_str32(&r, ERR_PLACE_MAX),
        hint = read_str32(&r, ERR_HINT_MAX);
    if (!reader_ok(&r) || code == E_OK || code >= E_COUNT)
        return job_died(job, err);
    job->over = true;
    Code result = err_set(err, (Code)code, STR_FMT, STR_ARG(text));
    if (place.len > 0)
        err_place(err, result, STR_FMT, STR_ARG(place));
    if (hint.len > 0)
        err_hint(err, result, STR_FMT, STR_ARG(hint));
    return position >= 0 ? err_at(err, result, position) : result;
}

static Code next_frame(WorkerJob *job, Err *err)
{
    char head[WORKER_FRAME_HEAD];
    for (bool came = job->pidfd >= 0; !came;) {
        TRY(wait_for(job, POLLIN, err));
        if (!take_hello(job, &came))
            return job_died(job, err);
    }
    TRY(read_exactly(job, head, sizeof head, err));
    size_t len = load_u32le(head + 1);
    if (len > WORKER_FRAME_MAX)
        return job_died(job, err);
    if (head[0] == WORKER_ERROR)
        return read_error(job, len, err);
    if (head[0] == WORKER_OVER && len == 0)
        job->over = true;
    else if (head[0] == WORKER_DATA)
        job->left = len;
    else
        return job_died(job, err);
    return E_OK;
}

Code worker_job_read(WorkerJob *job, void *bytes, size_t cap, size_t *ret_len, Err *err)
{
    while (job->left == 0 && !job->over)
        TRY(next_frame(job, err));
    size_t len = 0;
    if (job->left > 0)
        TRY(read_some(job, bytes, MIN(cap, job->left), &len, err));
    job->left -= len;
    *ret_len = len;
    return E_OK;
}

void worker_job_free(WorkerJob **job)
{
    bool came;
    if (!*job)
        return;
    if ((*job)->pidfd < 0)
        IGNORE(take_hello(*job, &came)); /* it may be there unread */
    if ((*job)->pidfd >= 0) {
        if (!(*job)->over)
            syscall(SYS_pidfd_send_signal, (*job)->pidfd, SIGKILL, NULL, 0);
        close((*job)->pidfd);
    }
    close((*job)->stream);
    atomic_fetch_sub(&jobs, 1);
    mem_free(job);
}

Code worker_run(const WorkerRequest *request, Buf *ret_answer, Err *err)
{
    enum { PIECE = 64 << 10 };
    WorkerJob *job AUTO(worker_job_free) = NULL;
    TRY(worker_job_new(request, &job, err));
    for (size_t len = 1; len > 0;) {
        if (!buf_reserve(ret_answer, PIECE))
            return buf_end(ret_answer, "a worker's answer", err);
        TRY(worker_job_read(job, ret_answer->ptr + ret_answer->len, PIECE, &len, err));
        ret_answer->len += len;
    }
    return E_OK;
}

Code worker_memory_fd(Str bytes, int *ret_fd, Err *err)
{
    int fd = memfd_create("object", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return err_set(err, E_IO, "no memory for an object: %s", strerror(errno));
    for (size_t at = 0; at < bytes.len;) {
        ssize_t put = pwrite(fd, bytes.ptr + at, bytes.len - at, (off_t)at);
        if (put <= 0 && errno != EINTR) {
            close(fd);
            return err_set(err, E_IO, "no memory for an object: %s", strerror(errno));
        }
        at += put > 0 ? (size_t)put : 0;
    }
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0) {
        close(fd);
        return err_set(err, E_IO, "an object in memory cannot be sealed: %s", strerror(errno));
    }
    *ret_fd = fd;
    return E_OK;
}
