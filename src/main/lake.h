/* lake.h: every room of the house opened in order, closed in the reverse order.
 * Owner:   `tarn serve`, `init` and `doctor`.
 * Threads: opened and closed by one; what it holds says for itself.
 * Errors:  UNAVAILABLE when another process has the directory open; UNSUPPORTED for a newer layout.
 * Limits:  none.
 * Units:   bytes. */
#pragma once

#include "api/api.h"
#include "base/conf.h"
#include "os/clock.h"

enum { LAKE_FORMAT = 1 }; /* of the data directory: DIR/FORMAT */
#define LAKE_UNFINISHED "restore: not finished" /* DIR/FORMAT until it is */

typedef struct Lake {
    ApiLake api;
    OsFile *lock;     /* DIR/LOCK, held while the lake is open; has the process id in it */
    Arena arena;
    const char *dir;
    Clock *clock;     /* over DIR/clock */
    bool keeps_clock; /* who only looks does not */
    Str bronze_bucket, lake_bucket;
    Str token;        /* of the admin key */
    Str access_key, secret_key; /* of the principal `admin`, for signed requests */
    bool first_start; /* the key was made just now */
} Lake;

Code lake_open(const Conf *conf, Lake *ret_lake, Err *err) CHECKED;
/* The same without keys: nothing is made that is not there, but the lock and what was cut off is mended.
 * `ret_stage`: the room that could not be opened: "lock", "layout", "metadata", "store", "rooms". */
Code lake_look(const Conf *conf, Lake *ret_lake, const char **ret_stage, Err *err) CHECKED;
void lake_close(Lake *lake);

/* INVALID: settings that lake_open would refuse, each of them right by itself. */
Code lake_settings_check(const Conf *conf, Err *err) CHECKED;

/* Makes the directory with all those above it. */
Code lake_dirs_make(const char *path, Err *err) CHECKED;
Code lake_unwritable(Code code, Err *err) CHECKED; /* the same code, with what a directory of ours takes */

/* What memory.total comes to on this machine. */
uint64_t lake_memory(const Conf *conf);

/* Forks the zygote of the scan workers: before the first thread of the process. */
Code lake_workers_start(Err *err) CHECKED;
