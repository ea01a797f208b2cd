/* meta_state_priv.h: the opened database: its writer, its readers.
 * Owner:   meta.c and meta_read.c.
 * Threads: as the fields say.
 * Errors:  none.
 * Limits:  META_READERS_MAX.
 * Units:   none. */
#pragma once

#include "meta/sqlite_db.h"
#include "os/thread.h"

struct MetaRead {
    Meta *meta;
    MetaRead *next; /* of the idle ones */
    MetaDb db;
    int64_t sequence;
};

struct Meta {
    Os *os;
    char *path;
    MetaVfs *vfs;
    uint32_t version;
    uint32_t checkpoint_frames;
    Mutex writer_mutex; /* guards the writer; held over its I/O: there is one log and one writer */
    MetaDb writer;
    uint32_t restart_frames; /* when the log is so long, its readers are waited for; 0: the usual */
    Mutex readers_mutex; /* guards what follows */
    Cond readers_cond;   /* a reader came back */
    MetaRead *idle;
    size_t reader_count; /* idle and given out */
    Uuid unknown;        /* the commit whose outcome only a restart can tell; all zero: none */
};
