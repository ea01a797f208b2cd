/* backup.h: backups of one lake under one directory, each a whole tree of files; the same bytes lie there once.
 * Owner:   texts live in the arena that was passed; a BackupList is freed by its holder.
 * Threads: one.
 * Errors:  NOT_FOUND (no such backup), CORRUPT (a file is not as it was written down), UNSUPPORTED (a newer layout),
 *          those of os/.
 * Limits:  BACKUP_FILES_MAX files of a backup.
 * Units:   bytes; _us: microseconds since 1970 UTC.
 *
 *   DIR/LOCK                 held while one is made
 *   DIR/20260131T120000Z/    one backup; `.part` behind the name: not whole yet
 *        backup.json         what it is, and the CRC32C of `files`
 *        files               a line for each file: CRC32C, size, path; in the order of the paths
 *        data/               a data directory, without what a start makes again */
#pragma once

#include "api/api.h"
#include "base/vec.h"
#include "os/copy.h"

enum { BACKUP_LAYOUT = 1, BACKUP_FILES_MAX = 200 << 20, BACKUP_NAME_MAX = 64, BACKUP_RENEW_US = 10 * 1000000 };

typedef struct BackupFile {
    Str path; /* below data/ */
    uint64_t size;
    uint32_t crc;
    bool fresh; /* copied by this backup: not compared yet */
    bool found; /* a killed one had copied it */
} BackupFile;

typedef struct BackupList {
    Vec(BackupFile) files; /* sorted by path */
    Arena arena;
} BackupList;

typedef struct BackupHead {
    Str name;
    int64_t made_us;
    uint64_t sequence;                  /* every change up to it is in the copy */
    uint64_t begin, end, segment_bytes; /* of the journal */
    uint64_t files, bytes, new_bytes;
    uint64_t left_out; /* bodies that were damaged already */
    bool keys;
    uint32_t list_crc;
    Code code;       /* not E_OK: nothing but the name is known, */
    const char *why; /* for this reason */
} BackupHead;

/* ---- what lies there (backup_set.c) ---- */
/* Those that were finished, the oldest first; `ret_part`: the name of one that was not, empty: none. */
Code backup_heads(const char *dir, Arena *arena, BackupHead **ret_heads, size_t *ret_count, Str *ret_part,
                  Err *err) CHECKED;
/* By its name; empty: the newest. */
Code backup_find(const char *dir, Str name, Arena *arena, BackupHead *ret_head, Err *err) CHECKED;
Code backup_list_read(const char *dir, const BackupHead *head, BackupList *ret_list, Err *err) CHECKED;
Code backup_list_write(const char *tree, BackupHead *head, const BackupList *list, Err *err) CHECKED;
void backup_list_done(BackupList *list);
const BackupFile *backup_list_get(const BackupList *list, Str path); /* NULL: not in it */
Code backup_remove(const char *path, Err *err) CHECKED; /* a whole tree */
/* A backup goes for good: from the first step on it is none any more; what a kill leaves of it the next
 * backup_rests_remove takes. */
Code backup_go(const char *dir, Str name, Err *err) CHECKED;
Code backup_rests_remove(const char *dir, Err *err) CHECKED;
const char *backup_path(Arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);

/* ---- one is made (backup_copy.c) ---- */
typedef struct Backup {
    const char *from; /* the data directory */
    const char *dir;
    bool keys;
    Code (*renew)(void *arg, Err *err); /* asked for at least every BACKUP_RENEW_US */
    void *arg;
    Arena *arena;
    /* The caller fills in these of `head`: name, made_us, sequence, begin, end, segment_bytes. */
    BackupHead head;
    const char *metadata; /* the snapshot of the database */
    /* Since the last one: */
    BackupHead before; /* no name: there was none */
    BackupList before_list;
    bool same_journal; /* what it has of the journal lies in front of ours */
    /* On the way: */
    BackupList list;
    const char *tree; /* DIR/NAME.part */
    int64_t next_renew_us;
    uint64_t total, done;
    uint64_t linked; /* bytes that were there already */
    uint64_t unfinished; /* bodies that somebody sends just now */
} Backup;

/* What a backup would copy, from looking at the directory alone. */
Code backup_plan(Backup *backup, uint64_t *ret_new_bytes, uint64_t *ret_all_bytes, Err *err) CHECKED;
/* Copies everything; the hold may end behind it. */
Code backup_copy(Backup *backup, Err *err) CHECKED;
/* Compares what is new with its checksums, writes the list, gives the tree its name. */
Code backup_finish(Backup *backup, Err *err) CHECKED;
void backup_done(Backup *backup);

/* ---- one is looked at (backup_check.c) ---- */
typedef void BackupFinding(Str path, const char *what);
/* CORRUPT: `found` were told. */
Code backup_verify(const char *dir, const BackupHead *head, BackupFinding *finding, uint64_t *ret_found,
                   Err *err) CHECKED;
Code backup_restore(const char *dir, const BackupHead *head, const char *to, Err *err) CHECKED;
/* CRC32C and size of a file. */
Code backup_crc(const char *path, uint32_t *ret_crc, uint64_t *ret_size, Err *err) CHECKED;
