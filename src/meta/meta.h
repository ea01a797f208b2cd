/* meta.h: the lake's metadata database: what exists, where it points, who may, what has run.
 * Owner:   meta_open gives the Meta, meta_free takes it; rows live in the arena that was passed.
 * Threads: any for every function; a MetaRead and a MetaTxn belong to one thread at a time.
 * Errors:  CONFLICT, NOT_FOUND, EXISTS, PRECONDITION name the requirement that failed;
 *          UNKNOWN_OUTCOME: the machine failed in the middle of a commit, look its UUID up after a
 *          restart; UNSUPPORTED: the database is newer than this program; CORRUPT, IO, NO_SPACE.
 * Limits:  META_READERS_MAX snapshots at once (more wait), META_TXN_ITEMS_MAX items a transaction,
 *          META_VALUE_BYTES_MAX a value, META_LIST_MAX rows a list.
 * Units:   _us: microseconds since 1970 UTC; 0: never. An empty Str and no Str are the same. */
#pragma once

#include "meta/meta_read.h"
#include "meta/meta_rows.h"
#include "meta/meta_txn.h"
#include "os/os.h"

enum {
    META_READERS_MAX = 32,
    META_TXN_ITEMS_MAX = 200000,
    META_LIST_MAX = 1000000,
    META_VALUE_BYTES_MAX = 64 << 20
};

typedef struct MetaOptions {
    const char *path;     /* DIR/meta/tarn.db; its directory is there */
    /* For tests; 0: the usual. */
    uint32_t version_max;       /* migrate only up to this number */
    uint32_t checkpoint_frames; /* move the log into the database when it has so many pages */
} MetaOptions;

/* Opens or makes the database and brings it to the newest version. UNSUPPORTED: it is newer. The
 * caller holds the lock of the data directory: there is no other process in this database. */
Code meta_open(Os *os, const MetaOptions *options, Meta **ret_meta, Err *err) CHECKED;
void meta_free(Meta **meta);
Code meta_writable(Meta *meta, Err *err) CHECKED; /* IO: a sync has failed; no change until the next start */
uint32_t meta_version(const Meta *meta); /* number of the last migration in the database */

/* All items of the transaction or none, durable on return. A requirement
 * that does not hold gives the code of its row in ops.def and names it. A transaction whose commit
 * UUID is in the database already was applied before: E_OK, and nothing happens; so a transaction
 * may be replayed after UNKNOWN_OUTCOME. */
Code meta_commit(Meta *meta, const MetaTxn *txn, Err *err) CHECKED;

/* Did this commit happen? UNKNOWN_OUTCOME: the machine failed while it was written, and only a restart
 * can tell: until then nobody may delete what it names. */
Code meta_commit_exists(Meta *meta, Uuid commit, bool *ret_exists, Err *err) CHECKED;

/* For doctor: SQLite's own check and the invariants between tables. One text per finding, none when
 * all is well; the code tells only whether the check itself could run. */
Code meta_check(Meta *meta, Arena *arena, Str **ret_findings, size_t *ret_count, Err *err) CHECKED;

/* Writes a whole, synced copy of one snapshot to `path`, which must be absent. Commits go on. */
Code meta_backup(Meta *meta, const char *path, Err *err) CHECKED;
