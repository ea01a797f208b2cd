/* os.h: the only door to the machine: files, directories, clock, random bytes.
 * Owner:   os_real() is the process's; a simulated twin comes from os_sim.h (tests only).
 * Threads: any, any function; one OsFile may be read and written by several at distinct places.
 * Errors:  NOT_FOUND, EXISTS, NO_SPACE, IO, FORBIDDEN, UNAVAILABLE (no descriptor is left); each names the path
 *          and what the machine said.
 * Limits:  paths at most OS_PATH_MAX - 1 bytes.
 * Units:   bytes; _us: microseconds. */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "base/text.h"

enum { OS_PATH_MAX = 4096, OS_BLOCK_BYTES = 4096 };

enum OsOpenFlags {
    OS_READ = 1,
    OS_WRITE = 2,
    OS_CREATE = 4,     /* make the file when it is absent */
    OS_EXCLUSIVE = 8,  /* with OS_CREATE: EXISTS when it is there */
    OS_TRUNCATE = 16,
    OS_DIRECT = 32 /* past the page cache, where the file system can: memory, places, lengths of OS_BLOCK_BYTES */
};

typedef struct OsFile OsFile;

typedef struct OsStat {
    uint64_t size_bytes;
    int64_t modified_us;
    uint32_t mode;  /* permission bits, 0600 */
    uint32_t owner; /* user number */
    bool is_dir;
} OsStat;

typedef struct OsDirEntry {
    Str name;
    bool is_dir;
} OsDirEntry;

typedef struct OsPart {
    void *ptr;
    size_t len;
} OsPart;

/* What a machine can do; os_real.c and os_sim.c fill it. Callers use the functions below. */
typedef struct OsOps {
    Code (*file_open)(void *self, const char *path, unsigned flags, void **ret_file, Err *err);
    void (*file_close)(void *self, void *file);
    Code (*file_pread)(void *self, void *file, void *bytes, size_t len, uint64_t at, size_t *ret_len,
                       Err *err);
    Code (*file_pread_two)(void *self, void *file, const OsPart parts[2], uint64_t at, bool now, size_t *ret_len,
                           Err *err); /* NULL: one after the other, and never at once */
    Code (*file_pwrite)(void *self, void *file, Str bytes, uint64_t at, Err *err);
    Code (*file_sync)(void *self, void *file, Err *err);
    Code (*file_size)(void *self, void *file, uint64_t *ret_size, Err *err);
    Code (*file_truncate)(void *self, void *file, uint64_t size, Err *err);
    Code (*file_allocate)(void *self, void *file, uint64_t size, Err *err);
    int (*file_fd)(void *self, void *file); /* NULL: no descriptors on this machine */
    size_t (*file_peek)(void *self, void *file, void *bytes, size_t len, uint64_t at); /* NULL: never */
    Code (*file_lock)(void *self, void *file, Err *err); /* NULL: one process only */
    Code (*dir_make)(void *self, const char *path, Err *err);
    Code (*dir_remove)(void *self, const char *path, Err *err);
    Code (*dir_sync)(void *self, const char *path, Err *err);
    Code (*dir_list)(void *self, const char *path, Arena *arena, OsDirEntry **ret_entries,
                     size_t *ret_count, Err *err);
    Code (*path_rename)(void *self, const char *from, const char *to, Err *err);
    Code (*path_unlink)(void *self, const char *path, Err *err);
    Code (*path_stat)(void *self, const char *path, OsStat *ret_stat, Err *err);
    Code (*space)(void *self, const char *path, uint64_t *ret_free, uint64_t *ret_total, Err *err);
    int64_t (*now_us)(void *self);
    int64_t (*monotonic_us)(void *self);
    void (*random)(void *self, void *bytes, size_t len);
    bool threads; /* false: one thread only, background work is run by whoever waits for it */
} OsOps;

typedef struct Os {
    const OsOps *ops;
    void *self;
} Os;

/* The machine itself. */
Os *os_real(void);

/* False under simulation: then no thread may be started and waiting work runs in the caller. */
bool os_has_threads(const Os *os);

Code os_file_open(Os *os, const char *path, unsigned flags, OsFile **ret_file, Err *err) CHECKED;
void os_file_close(OsFile **file); /* fit for AUTO */

/* Reads up to `len` bytes; `*ret_len` is less only at the end of the file. */
Code os_file_pread(OsFile *file, void *bytes, size_t len, uint64_t at, size_t *ret_len, Err *err) CHECKED;
/* What of it is in memory now, without waiting for the disk; 0: nothing, also where that cannot be known. */
size_t os_file_peek(OsFile *file, void *bytes, size_t len, uint64_t at);
void os_file_ahead(OsFile *file, uint64_t at, size_t len); /* it will be read soon: in one go, nobody waits */
void os_file_cool(OsFile *file); /* nobody will read it soon: what is on the disk leaves the page cache */
/* Two parts that lie one behind the other, by one call. `now`: UNAVAILABLE where that would wait for the drive. */
Code os_file_pread_two(OsFile *file, const OsPart parts[2], uint64_t at, bool now, size_t *ret_len, Err *err) CHECKED;
Code os_file_pwrite(OsFile *file, Str bytes, uint64_t at, Err *err) CHECKED; /* all of them */

/* fdatasync: an error is final; nobody may sync the same file again and believe it. */
Code os_file_sync(OsFile *file, Err *err) CHECKED;
Code os_file_size(OsFile *file, uint64_t *ret_size, Err *err) CHECKED;
Code os_file_truncate(OsFile *file, uint64_t size, Err *err) CHECKED;
Code os_file_allocate(OsFile *file, uint64_t size, Err *err) CHECKED; /* NO_SPACE now, not later */
int os_file_fd(OsFile *file); /* -1 under simulation; stays the OsFile's */

/* Holds the file for this process until it is closed; UNAVAILABLE when another process holds it. */
Code os_file_lock(OsFile *file, Err *err) CHECKED;

Code os_dir_make(Os *os, const char *path, Err *err) CHECKED;  /* one level; there already is fine */
Code os_dir_remove(Os *os, const char *path, Err *err) CHECKED; /* an empty one */
Code os_dir_sync(Os *os, const char *path, Err *err) CHECKED;
/* Names without `.` and `..`, in byte order. */
Code os_dir_list(Os *os, const char *path, Arena *arena, OsDirEntry **ret_entries, size_t *ret_count,
                 Err *err) CHECKED;
Code os_rename(Os *os, const char *from, const char *to, Err *err) CHECKED; /* replaces; not synced */
Code os_unlink(Os *os, const char *path, Err *err) CHECKED;
Code os_stat(Os *os, const char *path, OsStat *ret_stat, Err *err) CHECKED;
Code os_space_free(Os *os, const char *path, uint64_t *ret_bytes, Err *err) CHECKED;
/* Of the file system that `path` is on: what we may still take, and that plus what is used. */
Code os_space(Os *os, const char *path, uint64_t *ret_free, uint64_t *ret_total, Err *err) CHECKED;

int64_t os_now_us(Os *os);       /* since 1970 UTC */
int64_t os_monotonic_us(Os *os); /* never goes back */
void os_random(Os *os, void *bytes, size_t len);
Uuid os_uuid(Os *os);            /* version 7: sorts by time */

/* Small whole files. */
Code os_read_whole(Os *os, const char *path, Buf *ret_bytes, Err *err) CHECKED; /* LIMIT over buf's max */
/* It and its name in the directory above are there after a power cut too. */
Code os_dir_make_durable(Os *os, const char *dir, Err *err) CHECKED;
/* Crash-safe: temporary file, sync, rename, sync of the directory. Files are readable by the owner only. */
Code os_write_whole(Os *os, const char *path, Str bytes, Err *err) CHECKED;
