/* border.h: the one C face of the engine (DuckDB): instances, files, names, queries, its parser.
 * Owner:   whoever opened; a BorderQuery ends before its BorderConn, that before its Border.
 * Threads: a Border: any. A BorderConn and its query: one at a time, but for border_interrupt.
 * Errors:  every exception becomes an Err with the byte position in the text that was given.
 * Limits:  BORDER_TEXT_MAX bytes of SQL, BORDER_STATEMENTS_MAX statements a text.
 * Units:   bytes; _us: microseconds; positions in bytes from the start of the text.
 *
 * Nothing is reachable but what the caller hands in: `s3://` files through BorderFiles, names
 * through the bindings of the request, writing through its sink. Local files (but the engine's own
 * spill below temp_dir), networks, extensions, settings are refused. */
#pragma once

#include "sql/scan_source.h"

enum {
    BORDER_TEXT_MAX = 4 << 20,
    BORDER_STATEMENTS_MAX = 256,
    BORDER_SET_OPERATIONS_MAX =
        1000, /* UNION, EXCEPT, INTERSECT: planning takes the square of their number */
    BORDER_CONJUNCTIONS_MAX = 10000, /* AND, OR: likewise */
    BORDER_PARAMS_MAX = 10000,
    BORDER_BINDINGS_MAX = 10000
};

typedef struct Border Border;
typedef struct BorderConn BorderConn;
typedef struct BorderQuery BorderQuery;

/* Objects for reading. A handle is read by several threads at once. */
typedef struct BorderFileInfo {
    uint64_t size_bytes;
    uint64_t version; /* names these very bytes: the cache of blocks is keyed by it */
    int64_t modified_us;
} BorderFileInfo;

typedef struct BorderFiles {
    void *self;
    Code (*open)(void *self, Str address, void **ret_file, BorderFileInfo *ret_info, Err *err);
    Code (*pread)(void *file, void *bytes, size_t len, uint64_t at, size_t *ret_len, Err *err);
    void (*close)(void *file);
} BorderFiles;

/* Where a COPY of this request writes. Several files are open at once, each written in order by one
 * thread. `create` ... `finish` is a whole file; `abandon` ends one that did not get that far. A
 * file that was finished is the sink's, whatever becomes of the COPY. */
typedef struct BorderSink {
    void *self;
    Code (*create)(void *self, Str address, void **ret_file, Err *err);
    Code (*write)(void *file, Str bytes, Err *err);
    Code (*finish)(void *file, Err *err);
    void (*abandon)(void *file);
} BorderSink;

typedef struct BorderOptions {
    BorderFiles files;
    unsigned threads;      /* 0: 1 */
    uint64_t memory_bytes; /* 0: 1 GiB */
    const char *temp_dir;  /* for spilling; NULL: none */
    uint64_t temp_bytes;   /* 0: 8 GiB */
    bool any_order;        /* rows may come out in another order than they went in: faster writes */
    /* Iceberg's 32-bit hash (spec, appendix B) for the SQL function tarn_hash; NULL: there is none.
     */
    uint32_t (*hash_i64)(int64_t number);
    uint32_t (*hash_bytes)(Str bytes, uint32_t seed);
    uint32_t (*hash_decimal)(__int128 unscaled);
} BorderOptions;

/* About 8 ms. */
Code border_open(const BorderOptions *options, Border **ret_border, Err *err) CHECKED;
void border_close(Border **border);
Code border_connect(Border *border, BorderConn **ret_conn, Err *err) CHECKED;
void border_disconnect(BorderConn **conn);
/* What the allocator of all instances keeps for a next query goes back to the kernel. */
void border_trim(void);

/* The instance met an internal error of its own and gives nothing but errors from now on. */
bool border_is_broken(const Border *border);

/* A name and what stands for it. Exactly one of sql, source, code is used. */
typedef struct BorderBinding {
    Str schema; /* compared without case, like `name`; empty: the bare name */
    Str name;
    Str sql; /* a SELECT; bound in place of the name with its own alias */
    const ScanSource *source;
    Code code; /* not E_OK: binding the name is this error */
    Str error;
    Str hint;
} BorderBinding;

typedef enum BorderParamKind {
    BORDER_PARAM_NULL,
    BORDER_PARAM_BOOL,
    BORDER_PARAM_I64,
    BORDER_PARAM_F64,
    BORDER_PARAM_TEXT,
    BORDER_PARAM_BLOB,
    BORDER_PARAM_TIMESTAMP, /* i64: microseconds since 1970; a TIMESTAMP without zone */
    BORDER_PARAM_DATE       /* i64: days since 1970 */
} BorderParamKind;

typedef struct BorderParam {
    Str name; /* of `$name`; empty: the next of `?` or `$1`, `$2`, ... */
    BorderParamKind kind;
    bool boolean;
    int64_t i64;
    double f64;
    Str text;
} BorderParam;

/* Everything pointed to is borrowed until border_query_free. */
typedef struct BorderRequest {
    Str text; /* one statement */
    const BorderParam *params;
    size_t param_count;
    const BorderBinding *bindings; /* no other name binds, but for the text's own CTEs */
    size_t binding_count;
    const BorderSink *sink; /* NULL: nothing can be written */
    bool columns_only;      /* nothing of it is run and it has no rows */
} BorderRequest;

typedef enum BorderStep {
    BORDER_MORE, /* call again at once */
    BORDER_WAIT, /* others work: call again after a moment */
    BORDER_READY /* fetch now */
} BorderStep;

/* Parses, binds, plans. */
Code border_query_start(BorderConn *conn, const BorderRequest *request, BorderQuery **ret_query,
                        Err *err) CHECKED;
Code border_query_step(BorderQuery *query, BorderStep *ret_step, Err *err) CHECKED;
size_t border_query_columns(const BorderQuery *query);
Str border_query_column_name(const BorderQuery *query, size_t column); /* borrowed */
Str border_query_column_type(const BorderQuery *query,
                             size_t column); /* "DECIMAL(9,2)"; borrowed */
Code border_query_schema(BorderQuery *query, struct ArrowSchema *ret_schema, Err *err) CHECKED;
/* Up to about `rows_max` rows or `bytes_max` bytes as one batch; its release is NULL at the end.
 * The first chunk comes as it is ready. `ret_bytes`: about. Call after BORDER_READY. */
Code border_query_fetch(BorderQuery *query, size_t rows_max, size_t bytes_max,
                        struct ArrowArray *ret_array, size_t *ret_bytes, Err *err) CHECKED;
void border_query_free(BorderQuery **query);

/* The SQL function tarn_ordinal(VARCHAR...) gives every tuple of texts a number from 0 on, per
 * query. Here are the tuples by their number: `parts` texts each, ptr NULL for NULL; borrowed until
 * free. */
size_t border_query_tuples(BorderQuery *query, size_t *ret_parts);
Str border_query_tuple_part(BorderQuery *query, size_t tuple, size_t part);

/* Makes the running call of this connection end with CANCELLED, also one that waits for a
 * ScanSource which looks at `interrupted`; from any thread. */
void border_interrupt(BorderConn *conn);

/* What json_serialize_sql says of a text: `{"error":false,"statements":[...]}`, into `arena`.
 * SYNTAX with the position for text that does not parse, UNSUPPORTED for what is no SELECT. */
Code border_serialize(BorderConn *conn, Str text, Arena *arena, Str *ret_json, Err *err) CHECKED;
