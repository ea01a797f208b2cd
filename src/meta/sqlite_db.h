/* sqlite_db.h: one connection to the metadata database with its prepared statements.
 * Owner:   meta_db_open fills it, meta_db_close empties it (fit for a zeroed one).
 * Threads: one at a time.
 * Errors:  SQLite's results as Codes, with the machine's words where it was the machine.
 * Limits:  META_VALUE_BYTES_MAX a value.
 * Units:   none. */
#pragma once

#include "meta/meta_priv.h"
#include "meta/sqlite_vfs.h"

#include <sqlite3.h>

typedef enum MetaDbRole {
    META_DB_WRITER, /* the only one that checkpoints */
    META_DB_READER,
    META_DB_COPIER  /* for backups: may write another file */
} MetaDbRole;

enum { META_DB_WAIT_MS = 5000 }; /* for a lock that another connection holds */

typedef struct MetaDb {
    sqlite3 *db;
    MetaVfs *vfs;
    int wal_frames; /* in the log after the last commit; the writer's */
    sqlite3_stmt *ops[OP_COUNT];
    sqlite3_stmt *reads[READ_COUNT];
    sqlite3_stmt *commit_find;
    sqlite3_stmt *commit_add;
} MetaDb;

Code meta_db_open(MetaDb *db, MetaVfs *vfs, const char *path, MetaDbRole role, Err *err) CHECKED;
void meta_db_close(MetaDb *db);

/* The Code and text of an SQLite result that is not OK, ROW or DONE. */
Code meta_db_error(MetaDb *db, int rc, const char *what, Err *err);
Code meta_db_exec(MetaDb *db, const char *sql, Err *err) CHECKED;
void meta_db_rollback(MetaDb *db); /* does nothing outside a transaction */
Code meta_db_number(MetaDb *db, const char *sql, int64_t *ret_number, Err *err) CHECKED;

/* Prepared once per connection, bound, ready to step; the caller resets it. */
Code meta_db_prepare(MetaDb *db, const char *sql, sqlite3_stmt **kept, Err *err) CHECKED;
Code meta_db_op(MetaDb *db, OpId op, sqlite3_stmt **ret_stmt, Err *err) CHECKED;
Code meta_db_read(MetaDb *db, ReadId read, sqlite3_stmt **ret_stmt, Err *err) CHECKED;
Code meta_db_bind(MetaDb *db, sqlite3_stmt *stmt, const MetaValue *values, size_t count,
                  Err *err) CHECKED;
MetaValue meta_db_column(sqlite3_stmt *stmt, int at, char kind, Arena *arena);
