/* os/worker.h for the tests of this folder: a child of the test, not locked in. The runner links this in
 * place of the real one, so that its cases need no zygote. */
#include "os/worker.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static struct {
    WorkerBody *body;
    void (*warm)(void);
} bodies[WORKER_BODIES_MAX];

struct WorkerJob {
    pid_t pid;
    int answer, outcome; /* bytes; then one Err */
    bool done;
};

void worker_register(unsigned id, const char *name, WorkerBody *body, void (*warm)(void))
{
    (void)name;
    bodies[id].body = body;
    bodies[id].warm = warm;
}

Code worker_start(size_t warm_count, Err *err)
{
    (void)warm_count;
    (void)err;
    return E_OK;
}

void worker_stop(void)
{
}

bool worker_running(void)
{
    return true;
}

static Code write_all(int fd, const void *bytes, size_t len, Err *err)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = write(fd, (const char *)bytes + at, len - at);
        if (n <= 0)
            return err_set(err, E_CANCELLED, "the reader went away");
        at += (size_t)n;
    }
    return E_OK;
}

Code worker_reply(WorkerCall *call, Str bytes, Err *err)
{
    return write_all(call->reply_fd_, bytes.ptr, bytes.len, err);
}

Code worker_job_new(const WorkerRequest *request, WorkerJob **ret_job, Err *err)
{
    int answer[2], outcome[2];
    if (pipe(answer) != 0 || pipe(outcome) != 0)
        return err_set(err, E_UNAVAILABLE, "no pipe");
    pid_t pid = fork();
    if (pid == 0) {
        WorkerCall call = { .request = request->request, .fds = request->fds, .fd_count = request->fd_count,
                            .reply_fd_ = answer[1] };
        Err own;
        err_clear(&own);
        alarm(60);
        own.code = bodies[request->id].body(&call, &own);
        IGNORE(write_all(outcome[1], &own, sizeof own, NULL));
        _exit(0);
    }
    close(answer[1]);
    close(outcome[1]);
    WorkerJob *job = mem_new(sizeof *job);
    *job = (WorkerJob){ .pid = pid, .answer = answer[0], .outcome = outcome[0] };
    *ret_job = job;
    return E_OK;
}

Code worker_job_read(WorkerJob *job, void *bytes, size_t cap, size_t *ret_len, Err *err)
{
    ssize_t n = read(job->answer, bytes, cap);
    *ret_len = n > 0 ? (size_t)n : 0;
    if (n > 0)
        return E_OK;
    Err own;
    if (read(job->outcome, &own, sizeof own) != (ssize_t)sizeof own)
        return err_set(err, E_WORKER_DIED, "the worker died");
    if (own.code != E_OK && err)
        *err = own;
    return own.code;
}

void worker_job_free(WorkerJob **job_place)
{
    WorkerJob *job = *job_place;
    if (!job)
        return;
    close(job->answer);
    close(job->outcome);
    waitpid(job->pid, NULL, 0); /* a write to the closed pipe ends it */
    mem_free(job_place);
}

Code worker_run(const WorkerRequest *request, Buf *ret_answer, Err *err)
{
    WorkerJob *job AUTO(worker_job_free) = NULL;
    TRY(worker_job_new(request, &job, err));
    char chunk[4096];
    for (size_t len = 1; len > 0;) {
        TRY(worker_job_read(job, chunk, sizeof chunk, &len, err));
        buf_put(ret_answer, str_of(chunk, len));
    }
    return E_OK;
}

Code worker_memory_fd(Str bytes, int *ret_fd, Err *err)
{
    int fd = memfd_create("raw", 0);
    if (fd < 0)
        return err_set(err, E_UNAVAILABLE, "no memory file");
    Code code = write_all(fd, bytes.ptr, bytes.len, err);
    if (code == E_OK)
        *ret_fd = fd;
    else
        close(fd);
    return code;
}
