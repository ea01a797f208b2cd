/* worker.h: processes that touch what nobody vouches for: forked from a zygote, locked in, replaced
 * on death. Owner:   the zygote is the process's, started by worker_start before the first thread;
 * a WorkerJob is the caller's until worker_job_free. Threads: worker_start in the only thread; the
 * rest from any, one WorkerJob by one thread at a time. Errors:  WORKER_DIED (killed, crashed, over
 * a limit), UNAVAILABLE (no worker free, no zygote), TIMEOUT, LIMIT; what the body answered as its
 * own error comes as that error. Limits:  WORKER_* below and WorkerLimits. Units:   bytes; _ms:
 * milliseconds.
 *
 * A worker has no files but the descriptors that it was given, no network, no exec, no new
 * privileges; RLIMIT_DATA, RLIMIT_CPU and RLIMIT_FSIZE stand. It writes its answer as bytes to a
 * socket. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#include <sys/types.h>

enum {
    WORKER_FDS_MAX = 16, /* descriptors of one job */
    WORKER_REQUEST_BYTES_MAX = 4 << 20,
    WORKER_BODIES_MAX = 16,
    WORKER_JOBS_MAX = 64, /* at the same time */
    WORKER_WARM_MAX = 8
};

typedef struct WorkerLimits {
    uint64_t memory_bytes; /* RLIMIT_DATA; 0: 2 GiB */
    uint64_t cpu_seconds;  /* RLIMIT_CPU; 0: 60 */
    uint64_t file_bytes;   /* RLIMIT_FSIZE; 0: nothing may be written to files */
} WorkerLimits;

/* What a body sees inside of the worker. */
typedef struct WorkerCall {
    Str request;    /* as the caller serialized it */
    const int *fds; /* read-only objects, in the caller's order */
    size_t fd_count;
    int reply_fd_;
} WorkerCall;

/* Runs in the worker process and may start threads there. Its error ends the job with that error.
 */
typedef Code WorkerBody(WorkerCall *call, Err *err);

/* Sends a piece of the answer; blocks while the reader is behind. CANCELLED: the caller went away.
 */
Code worker_reply(WorkerCall *call, Str bytes, Err *err) CHECKED;

/* Before worker_start: the body of jobs with this id. `warm` (may be NULL) runs once in the zygote
 * before the first fork: it may open libraries, and must not start threads. */
void worker_register(unsigned id, const char *name, WorkerBody *body, void (*warm)(void));

/* Forks the zygote. With `warm_count` workers waiting. FORBIDDEN when the machine cannot lock them
 * in. */
Code worker_start(size_t warm_count, Err *err) CHECKED;
void worker_stop(void); /* ends the zygote; jobs that run are killed */
bool worker_running(void);

typedef struct WorkerJob WorkerJob;

typedef struct WorkerRequest {
    unsigned id;
    Str request;
    const int *fds; /* borrowed: the worker gets copies; open them read-only */
    size_t fd_count;
    WorkerLimits limits;
    Str what;       /* the object's address, for errors */
    int timeout_ms; /* for the whole job; 0: 60 s */
    const bool *cancel; /* read atomically while the caller waits; true: CANCELLED; NULL: never */
} WorkerRequest;

Code worker_job_new(const WorkerRequest *request, WorkerJob **ret_job, Err *err) CHECKED;

/* The next bytes of the answer; `*ret_len` 0: it is complete and the body returned OK. */
Code worker_job_read(WorkerJob *job, void *bytes, size_t cap, size_t *ret_len, Err *err) CHECKED;
void worker_job_free(WorkerJob **job); /* kills the worker when it still runs; fit for AUTO */

/* The whole answer of a short job. */
Code worker_run(const WorkerRequest *request, Buf *ret_answer, Err *err) CHECKED;

/* A read-only descriptor of bytes in memory, for small objects; close it after worker_job_new. */
Code worker_memory_fd(Str bytes, int *ret_fd, Err *err) CHECKED;
