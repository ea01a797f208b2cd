/* api.h: every verb of the lake once: the right checked, done, audited. Doors call these and nothing below.
 * Owner:   main/ fills an ApiLake at start and calls api_open; doors borrow it.
 * Threads: any, any verb; an ApiCall and what it returns belong to one request. All verbs may block.
 * Errors:  UNAUTHENTICATED, FORBIDDEN from the rights; GONE for a cursor whose snapshot left; else
 *          those of the layer that does the work, with its place and hint.
 * Limits:  the API_*_MAX below; a page's limit is capped, not refused.
 * Units:   bytes; _us, _ms; results live in the call's arena. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#include <stdatomic.h>

typedef struct Os Os;
typedef struct Store Store;
typedef struct Meta Meta;
typedef struct Catalog Catalog;
typedef struct Sql Sql;
typedef struct SqlResult SqlResult;
typedef struct SqlParam SqlParam;
typedef struct Govern Govern;
typedef struct Flow Flow;
typedef struct Source Source;
typedef struct ObjectReader ObjectReader;
typedef struct ApiState ApiState;

enum {
    API_PAGE_ROWS_DEFAULT = 100,
    API_PAGE_ROWS_MAX = 10000,
    API_PAGE_BYTES_MAX = 8 << 20,   /* a page ends early, with a cursor, before it is larger */
    API_KEY_COLUMNS_MAX = 200,      /* of a table that can be paged */
    API_CURSOR_BYTES_MAX = 64 << 10,
    API_SELECT_MAX = 1000,          /* columns in ?select= */
    API_LIST_MAX = 1000,            /* objects, datasets, runs in one answer */
    API_REPLY_KEPT_MAX = 1 << 20,   /* of a reply kept for an Idempotency-Key */
    API_MODEL_FILES_MAX = 1000,
    API_RUN_EVENTS_MAX = 10000      /* kept of one run for its event stream */
};

typedef struct ApiLake {
    Os *os;
    Store *store;
    Meta *meta;
    Catalog *catalog;
    Sql *sql;
    Govern *govern;
    Flow *flow;
    Source *source;
    Str version;        /* "0.1.0" */
    ApiState *state;    /* api_open makes it, api_close ends it */
} ApiLake;

typedef enum ApiRight { API_OPEN, API_READ, API_WRITE, API_ADMIN } ApiRight;

/* One request. `arena` holds every result. */
typedef struct ApiCall {
    ApiLake *lake;
    Arena *arena;
    Str principal_id, principal_name;  /* of api_enter */
    ApiRight granted;                  /* the most this principal may */
    Str request_id;
    const atomic_bool *cancelled;      /* NULL: never */
    int64_t timeout_ms;                /* 0: the engine's default */
} ApiCall;

Code api_open(ApiLake *lake, Err *err) CHECKED;
void api_close(ApiLake *lake);  /* cancels the run that is going on and waits for it */

/* Fills principal and granted from a bearer token and checks `right`. */
Code api_enter(ApiCall *call, Str bearer, ApiRight right, Err *err) CHECKED;

/* ---- the house ---- */
typedef struct ApiHealth {
    bool ok;
    Str version;
    int64_t uptime_ms;
    uint64_t sequence;       /* of the change feed */
    Str run_id;              /* running now; empty: none */
} ApiHealth;
Code api_health(ApiCall *call, ApiHealth *ret_health, Err *err) CHECKED;

/* ---- datasets: tables and views of the lake ---- */
typedef struct ApiColumn {
    Str name, type, doc;
    int32_t field_id;
    bool required;
} ApiColumn;

typedef struct ApiDataset {
    Str ns, name, kind;      /* "table", "view" */
    Str uuid, location;
    int64_t snapshot_id;     /* 0: none yet */
    int64_t updated_us;
    int64_t rows, files, bytes; /* -1: not known (views) */
    const ApiColumn *columns;
    size_t column_count;
    Str view_sql;
    Str metadata_address;
    const Str *partition_by; /* "day(ts)" */
    size_t partition_count;
} ApiDataset;

/* Ordered by namespace and name; `after` is "ns.name" or empty. */
Code api_datasets(ApiCall *call, Str ns, Str after, size_t limit, ApiDataset **ret_datasets,
                  size_t *ret_count, bool *ret_more, Err *err) CHECKED;
Code api_dataset(ApiCall *call, Str ns, Str name, ApiDataset *ret_dataset, Err *err) CHECKED;

/* A page of rows. The order is total: `order`, then all other columns; the cursor pins the snapshot
 * and holds the last row's values. */
typedef struct ApiPageQuery {
    Str ns, name;
    Str select;              /* "a,b": columns; empty: all */
    Str where;               /* an SQL expression over the columns; empty: all rows */
    Str order;               /* "a,-b,c desc" */
    Str cursor;              /* of an earlier page with the same select, where and order */
    int64_t limit;           /* 0: default */
} ApiPageQuery;

typedef struct ApiPage {
    SqlResult *result;       /* the caller frees it with sql_result_free */
    size_t column_count;     /* the first ones of the result; the rest is the key, for the cursor */
    size_t limit;            /* show so many rows; the result may hold one more */
    int64_t snapshot_id;
    const struct ApiKey *key;
} ApiPage;

Code api_page(ApiCall *call, const ApiPageQuery *query, ApiPage *ret_page, Err *err) CHECKED;

/* ---- SQL ---- */
/* Any statement; writes need API_WRITE. The caller reads and frees the result. */
Code api_sql(ApiCall *call, Str text, const SqlParam *params, size_t param_count,
             SqlResult **ret_result, Err *err) CHECKED;

/* ---- objects ---- */
typedef struct ApiObject {
    Str bucket, key, content_type;
    uint64_t size_bytes, sequence;
    int64_t modified_us;
    uint8_t sha256[32];
    Str trust;
} ApiObject;

Code api_object_open(ApiCall *call, Str bucket, Str key, ObjectReader **ret_reader,
                     ApiObject *ret_object, Err *err) CHECKED; /* reader NULL: only the head */
Code api_object_read(ObjectReader *reader, void *bytes, size_t len, uint64_t at, size_t *ret_len,
                     Err *err) CHECKED;
void api_object_close(ObjectReader **reader);
Code api_objects(ApiCall *call, Str bucket, Str prefix, Str delimiter, Str after, size_t limit,
                 ApiObject **ret_objects, size_t *ret_count, Str **ret_prefixes,
                 size_t *ret_prefix_count, Str *ret_next, Err *err) CHECKED;
Code api_buckets(ApiCall *call, Str **ret_names, size_t *ret_count, Err *err) CHECKED;

/* ---- ingest ---- */
typedef struct ApiIngest ApiIngest;
typedef struct ApiIngested {
    Str address, source, name, content_type;
    uint64_t size_bytes, sequence, rows;
    uint8_t sha256[32];
    int64_t ingested_us;
    bool duplicate;
} ApiIngested;
Code api_ingest_begin(ApiCall *call, Str source, Str name, Str content_type, bool rows,
                      ApiIngest **ret_ingest, Err *err) CHECKED;
Code api_ingest_write(ApiIngest *ingest, Str bytes, Err *err) CHECKED;
Code api_ingest_finish(ApiCall *call, ApiIngest **take_ingest, ApiIngested *ret_done, Err *err) CHECKED;
void api_ingest_abort(ApiIngest **ingest);

/* ---- models and runs: results are JSON text ---- */
Code api_models(ApiCall *call, Buf *out, Err *err) CHECKED;
/* {"files":[{"path":...,"text":...}]}: replaces the project. */
Code api_models_load(ApiCall *call, Str json, Buf *out, Err *err) CHECKED;
/* {"models":[...],"from":...,"to":...,"failed":bool,"force":bool}; empty: everything missing. */
Code api_plan(ApiCall *call, Str json, Buf *out, Err *err) CHECKED;
/* Starts it in the background; `out`: {"run_id":...,"state":...,"plan":...}. UNAVAILABLE: one is on. */
Code api_run_start(ApiCall *call, Str json, Buf *out, Str *ret_run_id, Err *err) CHECKED;
Code api_runs(ApiCall *call, size_t limit, Buf *out, Err *err) CHECKED;
Code api_run(ApiCall *call, Str run_id, Buf *out, Err *err) CHECKED;
Code api_run_cancel(ApiCall *call, Str run_id, Err *err) CHECKED;
/* Events (one JSON object a line) of a run after number `*after`, which moves; `*ret_end`: no more. */
Code api_run_events(ApiCall *call, Str run_id, uint64_t *after, Buf *out, bool *ret_end,
                    Err *err) CHECKED;

/* ---- keys ---- */
Code api_key_create(ApiCall *call, Str name, Str role, int64_t expires_us, Buf *out, Err *err) CHECKED;
Code api_keys(ApiCall *call, Buf *out, Err *err) CHECKED;
Code api_key_revoke(ApiCall *call, Str id, Err *err) CHECKED;

/* ---- Idempotency-Key ---- */
typedef enum ApiClaim { API_CLAIM_NEW, API_CLAIM_REPLAY } ApiClaim;
typedef struct ApiKept {
    int status;
    Str type, body;
} ApiKept;
/* Claims a key before the work. CONFLICT: in flight; INVALID (answered 422): other request. */
Code api_idempotency_claim(ApiCall *call, Str key, const uint8_t fingerprint[32],
                           ApiClaim *ret_claim, ApiKept *ret_kept, Err *err) CHECKED;
/* Keeps the reply; `kept` NULL gives the claim back (the work has not happened). */
Code api_idempotency_end(ApiCall *call, Str key, const uint8_t fingerprint[32],
                         const ApiKept *kept, Err *err) CHECKED;

/* Counters of the verbs, for metrics: (name, value) pairs of one table. */
typedef enum ApiCounter {
#define API_COUNTER(name, doc) API_COUNT_##name,
#include "api/counters.def"
#undef API_COUNTER
    API_COUNTER_COUNT
} ApiCounter;
uint64_t api_counter(const ApiLake *lake, ApiCounter counter);
