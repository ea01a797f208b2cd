/* sqlite_vfs.h: SQLite's door to the machine: a VFS over Os with locks and shared memory in process.
 * Owner:   meta_vfs_new gives it, meta_vfs_free takes it when all its databases are closed.
 * Threads: any; each connection belongs to one thread at a time.
 * Errors:  SQLite's own numbers; the machine's text is kept for meta_vfs_error.
 * Limits:  one process: locks are not seen by others, the data directory's lock keeps them out.
 * Units:   bytes. */
#pragma once

#include "os/os.h"

typedef struct MetaVfs MetaVfs;

Code meta_vfs_new(Os *os, MetaVfs **ret_vfs, Err *err) CHECKED;
void meta_vfs_free(MetaVfs **vfs);
const char *meta_vfs_name(const MetaVfs *vfs); /* for sqlite3_open_v2 */

/* The last failure of the machine; false: none yet. */
bool meta_vfs_error(MetaVfs *vfs, Err *ret_err);

/* After a failed sync nobody may believe the file: all writes and syncs are refused from then on. */
bool meta_vfs_is_fenced(MetaVfs *vfs);
void meta_vfs_fence(MetaVfs *vfs);

/* The writer says that a transaction begins. When its COMMIT failed, undo makes sure that what it
 * has put into the write-ahead log is not taken for a commit by a later recovery: it wipes the first
 * frame that was written since begin, and syncs. */
void meta_vfs_txn_begin(MetaVfs *vfs);
Code meta_vfs_txn_undo(MetaVfs *vfs, Err *err) CHECKED;
