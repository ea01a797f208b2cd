/* copy.h: a file copied by the machine itself: shared blocks, a second name, or bytes that never come up here.
 * Owner:   none.
 * Threads: any.
 * Errors:  NOT_FOUND, EXISTS (the target is there), NO_SPACE, FORBIDDEN, IO; a part of a target may be left.
 * Limits:  none.
 * Units:   bytes. */
#pragma once

#include "base/err.h"

typedef enum CopyWay { COPY_SHARED, COPY_NAMED, COPY_BYTES } CopyWay;

/* Called between pieces of a long copy with the bytes of the last one; not E_OK ends it. */
typedef Code CopyStep(void *arg, uint64_t bytes, Err *err);

/* The whole of `from` as `to`, which must be absent. `names`: where both are on one file system that cannot share
 * blocks, `to` becomes a second name of the same file: for files that are never written again. Not synced. */
Code os_copy(const char *from, const char *to, bool names, CopyStep *step, void *arg, CopyWay *ret_way,
             Err *err) CHECKED;
Code os_link(const char *from, const char *to, Err *err) CHECKED; /* a second name; UNSUPPORTED here: no such thing */
/* Everything that was written on the file system of `dir` is durable on return. */
Code os_filesystem_sync(const char *dir, Err *err) CHECKED;
