/* sql.h: SQL over the lake: one statement in, Arrow batches out; a SELECT into data files.
 * Owner:   sql_open's caller owns the Sql; a SqlResult is its reader's; both borrow catalog, store.
 * Threads: a Sql from any; a SqlResult by one at a time, but sql_result_cancel from any.
 * Errors:  SYNTAX, INVALID, TYPE, NOT_FOUND (nearest name in the hint), FORBIDDEN (not on the lists
 *          of the gate), LIMIT, TIMEOUT, CANCELLED, CONFLICT, UNSUPPORTED; the position is that of
 *          the user's text.
 * Limits:  SQL_TEXT_MAX, SQL_PARAMS_MAX, SQL_BINDINGS_MAX, SQL_TABLES_MAX; time, bytes of the
 * result and slots as SqlOptions and SqlRequest say. Units:   _ms, _us, _bytes; times in
 * microseconds since 1970 UTC. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "base/text.h"
#include "os/os.h"

struct ArrowSchema;
struct ArrowArray;
typedef struct Catalog Catalog;
typedef struct DataFile DataFile;
typedef struct IcePartitionSpec IcePartitionSpec;
typedef struct IceSchema IceSchema;
typedef struct IceSortOrder IceSortOrder;
typedef struct MetaTxn MetaTxn;
typedef struct ScanSource ScanSource;
typedef struct Store Store;
typedef struct TableMetadata TableMetadata;

enum {
    SQL_TEXT_MAX = 1 << 20,
    SQL_PARAMS_MAX = 256,
    SQL_BINDINGS_MAX = 256,
    SQL_TABLES_MAX = 256, /* names one statement may refer to */
    SQL_SOURCES_MAX = 64, /* registered with sql_register_source */
    SQL_TAILS_MAX = 8     /* registered with sql_register_tail */
};

typedef struct Sql Sql;
typedef struct SqlResult SqlResult;

typedef struct SqlOptions {
    Os *os;
    Catalog *catalog;
    Store *store;
    Str lake_bucket;           /* where CREATE TABLE puts its files; empty: "lake" */
    unsigned threads;          /* of each engine instance; 0: one a core */
    unsigned slots;            /* statements that run at once; 0: SQL_SLOTS_DEFAULT of sql.c */
    uint64_t memory_bytes;     /* all instances together; 0: 1 GiB */
    uint64_t spill_bytes_max;  /* 0: 16 GiB */
    const char *temp_dir;      /* spilled blocks; NULL: nothing spills */
    int64_t timeout_ms;        /* of a request that names none; 0: 300,000 */
    uint64_t result_bytes_max; /* of a request that names none; 0: no bound (results stream) */
} SqlOptions;

Code sql_open(const SqlOptions *options, Sql **ret_sql, Err *err) CHECKED;
void sql_free(Sql **sql); /* after the last result is freed; fit for AUTO */

/* Called when a call of the engine still runs 2 s after its interrupt (client gone, out of time):
 * once a statement, from a thread of the engine, with the beginning of its text. */
typedef void SqlLate(void *arg, int64_t late_ms, Str text);
void sql_on_late(Sql *sql, SqlLate *late, void *arg); /* NULL: nobody, as soon as it returns */

/* A table of the system, e.g. ("bronze", "objects"), ("tarn", "runs"). `source` is borrowed until
 * sql_free. EXISTS when the name is taken. Only before the first query. */
Code sql_register_source(Sql *sql, Str ns, Str name, const ScanSource *source, Err *err) CHECKED;

/* The newest rows of a table of the lake, those that its files do not have yet: read together with it
 * (but for FOR VERSION AS OF), each row once. Statements that would change the table are FORBIDDEN. */
typedef struct SqlTail {
    Str ns, name;
    const ScanSource *source; /* the table's columns; asked with `column > N` */
    Str column;               /* a number that grows; not null */
    Str property;             /* of the table: up to which number its files go; absent: 0 */
    /* As `property`, where it is ahead: no row is missing in the files of a version loaded later. The rows behind it
     * stay readable until it was given back as often as it was taken. */
    uint64_t (*pin)(void *self);
    void (*unpin)(void *self, uint64_t place);
    void *self;
} SqlTail;

/* What `tail` points to is borrowed until sql_free. Only before the first query. */
Code sql_register_tail(Sql *sql, const SqlTail *tail, Err *err) CHECKED;

/* ---- a statement ---- */

typedef enum SqlParamKind {
    SQL_PARAM_NULL,
    SQL_PARAM_BOOL,
    SQL_PARAM_I64,
    SQL_PARAM_F64,
    SQL_PARAM_TEXT,
    SQL_PARAM_TIMESTAMP, /* i64: microseconds UTC; a TIMESTAMP without zone */
    SQL_PARAM_DATE       /* i64: days since 1970 */
} SqlParamKind;

typedef struct SqlParam {
    Str name; /* "start_ts" for $start_ts; empty: $1, $2, ... by place in the list */
    SqlParamKind kind;
    int64_t i64; /* BOOL, I64, TIMESTAMP, DATE */
    double f64;
    Str text;
} SqlParam;

/* A name of this request only; it hides a table of the lake of the same name. Exactly one of `sql`,
 * `source`, `schema` (with `files`) is set. */
typedef struct SqlBinding {
    Str ns; /* empty: a bare name */
    Str name;
    Str sql; /* a SELECT over names of the lake and of bindings before this one */
    const ScanSource *source;
    const IceSchema *schema; /* staged files: their table's schema */
    const DataFile *files;   /* may be none */
    size_t file_count;
} SqlBinding;

/* source('skies', 'airports.csv') -> addresses of objects, the newest version of each name;
 * `all`: every one. */
typedef Code SqlSourceResolve(void *self, Str source, Str name, bool all, Arena *arena,
                              Str **ret_addresses, size_t *ret_count, Err *err);

typedef struct SqlRequest {
    Str text; /* one statement; a `;` may end it */
    const SqlParam *params;
    size_t param_count;
    const SqlBinding *bindings;
    size_t binding_count;
    SqlSourceResolve *source_resolve; /* NULL: source() is refused */
    void *source_self;
    Str principal;             /* for the summary of snapshots */
    const MetaTxn *extra;      /* rides in the transaction of a write; NULL: nothing */
    Str default_ns;            /* of bare table names; empty: they must be bindings or CTEs */
    int64_t timeout_ms;        /* 0: SqlOptions' */
    const bool *cancel;        /* read atomically while it runs; true: CANCELLED; NULL: never */
    uint64_t result_bytes_max; /* 0: SqlOptions'; more gives LIMIT from sql_result_next */
    bool read_only;            /* anything but a read gives FORBIDDEN */
    bool refuse_volatile;      /* now(), random(), uuid() and their kin give INVALID (models) */
} SqlRequest;

typedef enum SqlKind {
    SQL_SELECT,
    SQL_EXPLAIN,
    SQL_SHOW, /* SHOW, DESCRIBE */
    SQL_CREATE,
    SQL_DROP,
    SQL_ALTER,
    SQL_INSERT,
    SQL_DELETE
} SqlKind;

typedef struct SqlStats {
    SqlKind kind;
    uint64_t rows;  /* given so far; of a write: written or deleted */
    uint64_t bytes; /* of the batches given so far */
    uint64_t files_planned;
    uint64_t files_pruned;
    int64_t snapshot_id; /* made by a write; 0: none */
    int64_t elapsed_us;
} SqlStats;

/* Any statement. A read streams; a write has happened when this returns, and its result is one row
 * (`statement` VARCHAR, `rows` BIGINT). The request's parts are borrowed until sql_result_free. */
Code sql_query(Sql *sql, const SqlRequest *request, SqlResult **ret_result, Err *err) CHECKED;

const struct ArrowSchema *sql_result_schema(const SqlResult *result); /* borrowed: a struct */

/* The next batch, which the caller releases; at the end `release` is NULL. */
Code sql_result_next(SqlResult *result, struct ArrowArray *ret_batch, Err *err) CHECKED;

void sql_result_cancel(SqlResult *result); /* any thread; the next call of _next gives CANCELLED */
SqlStats sql_result_stats(const SqlResult *result);
void sql_result_free(SqlResult **result); /* gives slot and connection back; fit for AUTO */

/* ---- what a SELECT is made of (models, plans) ---- */

typedef enum SqlDependencyKind { SQL_DEP_TABLE, SQL_DEP_SOURCE, SQL_DEP_OBJECT } SqlDependencyKind;

typedef struct SqlDependency {
    SqlDependencyKind kind;
    Str ns;   /* TABLE: namespace, empty for a bare name; SOURCE: the source */
    Str name; /* TABLE: table; SOURCE: the file's name; OBJECT: the address s3://... */
    bool all; /* SOURCE: every version */
    int64_t position;
} SqlDependency;

/* Gates the text (one SELECT) and lists what it reads, each name once, in order of appearance.
 * Nothing is resolved: the tables need not be there. Reads the request's text and refuse_volatile.
 */
Code sql_dependencies(Sql *sql, const SqlRequest *request, Arena *arena,
                      SqlDependency **ret_dependencies, size_t *ret_count, Err *err) CHECKED;

/* The columns that a SELECT gives, as a schema with field ids 1.. (see table/types.def for the
 * types; one without a row there gives UNSUPPORTED with the cast to use). */
Code sql_describe(Sql *sql, const SqlRequest *request, Arena *arena, IceSchema **ret_schema,
                  Err *err) CHECKED;

/* ---- a SELECT into files ---- */

typedef struct SqlWrite {
    SqlRequest select;
    const IceSchema *schema;       /* matched by name: absent ones NULL, unknown ones INVALID */
    bool by_position;              /* matched by place instead */
    const IcePartitionSpec *spec;  /* NULL: unpartitioned */
    const IceSortOrder *sort;      /* NULL: as they come */
    Str location;                  /* s3://lake/gold/t/UUID: files go to LOCATION/data/ */
    const TableMetadata *metadata; /* for metrics modes and the staged rows; may be NULL */
    Uuid table;                    /* with run_id: intents; with metadata: read as run:ID */
    Str run_id;
    bool from_reserve;             /* not refused on a full disk: it is needed to free space */
} SqlWrite;

typedef struct SqlWriteStats {
    uint64_t rows;
    uint64_t files;
    uint64_t bytes;
    int64_t elapsed_us;
} SqlWriteStats;

/* Runs the SELECT into Parquet files that are durable and published but in no table yet: commit
 * them with catalog_commit, read them through SqlBinding, or leave them to the orphan sweep. */
Code sql_write(Sql *sql, const SqlWrite *write, Arena *arena, DataFile **ret_files,
               size_t *ret_count, SqlWriteStats *ret_stats, Err *err) CHECKED;

/* ---- text helpers ---- */

/* "name" in quotes, inner ones doubled. */
void sql_put_name(Buf *buf, Str name);
/* 'text' with quotes doubled. */
void sql_put_text(Buf *buf, Str text);
/* Names that the lake refuses for namespaces: system, temp, main, memory, pg_catalog, ... */
bool sql_name_reserved(Str ns);
