/* sql_priv.h: what the files of a statement's way share: sql.c, resolve.c, statement.c, ddl.c,
 * dml.c. */
#pragma once

#include "sql/border_parse.h"
#include "sql/engine.h"
#include "sql/lexer.h"
#include "sql/raw.h"
#include "sql/resolve.h"
#include "sql/sql.h"
#include "table/catalog.h"

enum {
    SQL_SLOTS_DEFAULT = 8,
    SQL_TIMEOUT_MS_DEFAULT = 300000,
    SQL_LEASE_WAIT_US = 30 * 1000 * 1000
};

typedef struct SqlSystemTable {
    Str ns, name;
    const ScanSource *source;
} SqlSystemTable;

struct Sql {
    SqlOptions options;
    Arena arena; /* of the names below */
    Engine *engine;
    SqlSystemTable tables[SQL_SOURCES_MAX];
    size_t table_count;
    SqlTail tails[SQL_TAILS_MAX];
    size_t tail_count;
};

/* NULL: the table is all in its files. */
const SqlTail *sql_tail_of(const Sql *sql, Str ns, Str name);

struct SqlResult {
    Arena arena;
    Sql *sql;
    EngineLease *lease;
    EngineResult *result;
    SqlResolved resolved;
    SqlStats stats;
    int64_t start_us;
};

/* A statement on its way, all in the arena of its result. */
typedef struct SqlRun {
    Sql *sql;
    const SqlRequest *request;
    SqlResult *result;
    Arena *arena;
    Err *err;
    SqlText text;            /* after the pass */
    BorderStatement *parsed; /* of `text` */
    Str write_id;            /* of the intents of its files; empty: none yet */
} SqlRun;

/* The request's flag is raised. */
bool sql_is_cancelled(const SqlRequest *request);

/* sql.c */
Code sql_params(const SqlRequest *request, Arena *arena, BorderParam **ret_params,
                Err *err) CHECKED;
int64_t sql_timeout_us(const Sql *sql, const SqlRequest *request);
/* Errors in a text that starts `shift` bytes before the user's: their positions are moved. */
Code sql_shift(Err *err, Code code, int64_t shift);

/* statement.c: runs `text` of ours or the user's over what was resolved, into run->result. */
Code sql_run_text(SqlRun *run, Str text, SqlKind kind) CHECKED;
/* Gates, resolves and runs one SELECT. */
Code sql_run_select(SqlRun *run, SqlKind kind) CHECKED;
/* The result of a statement that is no read: one row. */
Code sql_run_done(SqlRun *run, SqlKind kind, const char *words, uint64_t rows) CHECKED;
/* The target's namespace: written, or the default one. */
Code sql_run_target(SqlRun *run, TableName *ret_name) CHECKED;

/* ddl.c */
/* Only the piece stays in the text; the rest becomes spaces. */
void sql_keep_piece(SqlText *text, const BorderText *piece);
Code sql_run_create_table(SqlRun *run) CHECKED; /* without AS */
Code sql_run_create_view(SqlRun *run) CHECKED;
Code sql_run_schema(SqlRun *run) CHECKED; /* CREATE and DROP SCHEMA */
Code sql_run_drop(SqlRun *run) CHECKED;
Code sql_run_alter(SqlRun *run) CHECKED;
/* Partition, sort and properties of a CREATE TABLE; columns are the caller's. */
Code sql_table_create(SqlRun *run, TableCreate *ret_create) CHECKED;

/* dml.c */
/* Resolves and binds one SELECT; its columns with ids from 1 on. */
Code sql_bind_columns(Sql *sql, BorderConn *conn, const SqlRequest *request, SqlText *text,
                      Arena *arena, IceSchema **ret_schema, Err *err) CHECKED;
Code sql_run_create_as(SqlRun *run) CHECKED;
Code sql_run_insert(SqlRun *run) CHECKED;
Code sql_run_delete(SqlRun *run) CHECKED;

/* info.c */
/* SHOW and DESCRIBE of names: the SELECT that answers them; ptr NULL when the text is something
 * else. */
Code sql_info_statement(const SqlText *text, const SqlRequest *request, Arena *arena,
                        Str *ret_select, Err *err) CHECKED;
/* information_schema.NAME as text; ptr NULL: there is no such table. */
Code sql_info_table(Sql *sql, Str name, Arena *arena, Str *ret_sql, Err *err) CHECKED;
/* Namespaces and tables for "did you mean". */
Str sql_info_nearest(Sql *sql, Str ns, Str name, Arena *arena);
