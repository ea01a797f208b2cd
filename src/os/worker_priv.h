/* worker_priv.h: what the caller's side and the worker's side of worker.h share.
 * Owner:   as in worker.h.
 * Threads: as in worker.h.
 * Errors:  as in worker.h.
 * Limits:  as in worker.h.
 * Units:   bytes.
 *
 * A job goes as one packet on the control socket: a WorkerOrder and its descriptors, the first of
 * them the worker's end of the job's own stream. Waiting workers all receive on that socket, and a
 * packet goes to one of them. On the stream: down the request; up 'H' with a pidfd of the worker,
 * then frames: a letter, a length (u32le) and so many bytes. */
#pragma once

#include "os/worker.h"

enum {
    WORKER_FRAME_HEAD = 5,
    WORKER_FRAME_MAX = 1 << 20,
    WORKER_HELLO = 'H', /* once, without a length, carries the pidfd */
    WORKER_DATA = 'D',
    WORKER_ERROR = 'E', /* code u32le, position u64le, text, place, hint as read_str32 */
    WORKER_OVER = 'K'   /* the body returned OK */
};

typedef struct WorkerOrder {
    uint32_t id;
    uint32_t fd_count; /* without the stream */
    uint64_t request_len;
    WorkerLimits limits;
} WorkerOrder;

typedef struct WorkerBodyRow {
    const char *name;
    WorkerBody *body;
    void (*warm)(void);
} WorkerBodyRow;

/* The zygote's whole life: keeps `warm_count` workers waiting on `control`. */
_Noreturn void worker_zygote(int control, size_t warm_count, const WorkerBodyRow *bodies);

/* In the worker, before the body: limits, no new privileges, Landlock, seccomp. */
typedef struct WorkerLock WorkerLock;
Code worker_lock_prepare(WorkerLock **ret_lock, Err *err) CHECKED; /* before a job is there */
Code worker_lock_close(WorkerLock *lock, const WorkerLimits *limits, Err *err) CHECKED;
bool worker_lock_possible(void);
