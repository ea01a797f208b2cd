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
#include "flow/flow.h"
#include "govern/govern.h"
#include "source/source.h"
#include "sql/sql.h"
#include "store/store.h"
#include "table/catalog.h"

#include <stdatomic.h>

typedef struct ApiState ApiState;
typedef struct SystemTables SystemTables;
typedef struct Landing Landing;
typedef struct FlowArrivals FlowArrivals;

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
    API_OVERLAP_S_MAX = 30 * 86400, /* for which a rotated access key goes on */
    API_EXPIRES_DAYS_MAX = 36500,   /* from now */
    API_RUN_EVENTS_MAX = 10000      /* kept of one run for its event stream, beside its end */
};

/* What another door adds to /metrics. */
typedef struct ApiMetricsDoor {
    void (*put)(void *self, Buf *out); /* NULL: it is closed */
    void *self;
} ApiMetricsDoor;

/* What the last walk over every stored byte has found; `tarn serve` keeps it. */
typedef struct ApiScrubbed {
    atomic_uint_fast64_t seconds, objects, bytes, findings; /* seconds since 1970; 0: there was none */
} ApiScrubbed;

/* What the rounds of upkeep did since start; `tarn serve` keeps it. */
typedef struct ApiMaintained {
    atomic_uint_fast64_t seconds, failures, joined_files, joined_bytes; /* seconds: as above */
} ApiMaintained;

typedef struct ApiLake {
    Os *os;
    Store *store;
    Meta *meta;
    Catalog *catalog;
    Sql *sql;
    Govern *govern;
    Flow *flow;
    Source *source;
    Landing *landing;            /* of bronze.objects */
    FlowArrivals *arrivals;      /* of `tarn serve`; else NULL */
    SystemTables *system_tables; /* system_tables_open; freed behind sql */
    ApiMetricsDoor s3_metrics;   /* set while the S3 door stands */
    ApiScrubbed *scrubbed;       /* of `tarn serve`; else NULL */
    ApiMaintained *maintained;   /* likewise */
    const char *data_dir; /* NULL: none; where backups look for the snapshot of the database */
    Str lake_bucket, bronze_bucket; /* of the tables' files, of raw files: the lake's own */
    Str version;        /* "0.1.0" */
    ApiState *state;    /* api_open makes it, api_close ends it */
} ApiLake;

typedef enum ApiRight { API_OPEN, API_READ, API_WRITE, API_ADMIN } ApiRight;

/* One request. `arena` holds every result. */
typedef struct ApiCall {
    ApiLake *lake;
    Arena *arena;
    Principal principal;     /* of api_enter */
    Str request_id;
    int64_t timeout_ms;      /* 0: the engine's default */
    const bool *cancel;      /* read atomically; NULL: never */
} ApiCall;

Code api_open(ApiLake *lake, Err *err) CHECKED;
void api_close(ApiLake *lake);  /* cancels the run that is going on and waits for it */

/* Writes the rows of the audit that could not be written when their changes were made, if they can be now. */
void api_audit_flush(ApiLake *lake);

/* Fills the principal from a bearer token and checks `right` on `target`. */
Code api_enter(ApiCall *call, Str bearer, ApiRight right, Str target, Err *err) CHECKED;

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
    bool preview;            /* any rows, in no order, without a cursor */
} ApiPageQuery;

typedef struct ApiPage {
    SqlResult *result;       /* the caller frees it; its first `columns` columns are the page's */
    size_t columns, keys;    /* the key columns behind them are text */
    size_t limit;            /* show so many rows; the result may hold one more */
    int64_t snapshot_id;
    Str pin;                 /* what the cursor is made for */
    Str before_key;          /* JSON of the last row's key of the page before; empty: first page */
    uint64_t before_same;    /* rows shown with just that key */
} ApiPage;

Code api_page(ApiCall *call, const ApiPageQuery *query, ApiPage *ret_page, Err *err) CHECKED;
/* The cursor behind a row: its key as a JSON array, and how many shown rows have just that key. */
Code api_page_cursor(const ApiPage *page, Str key_json, uint64_t same, Buf *out, Err *err) CHECKED;

/* ---- SQL ---- */
/* Any statement; writes need API_WRITE. The caller reads and frees the result. */
Code api_sql(ApiCall *call, Str text, const SqlParam *params, size_t param_count,
             SqlResult **ret_result, Err *err) CHECKED;

/* ---- objects ---- */
/* Newest version; read with object_pread, free with object_reader_free. */
Code api_object_open(ApiCall *call, Str bucket, Str key, ObjectReader **ret_reader, Err *err) CHECKED;
Code api_objects(ApiCall *call, const StoreListQuery *query, StoreListPage *ret_page, Err *err) CHECKED;
Code api_buckets(ApiCall *call, StoreBucket **ret_buckets, size_t *ret_count, Err *err) CHECKED;

/* ---- ingest ---- */
Code api_ingest_begin(ApiCall *call, const IngestBegin *begin, Ingest **ret_ingest, Err *err) CHECKED;
Code api_ingest_write(Ingest *ingest, Str bytes, Err *err) CHECKED;
Code api_ingest_finish(ApiCall *call, Ingest **take_ingest, IngestResult *ret_done, Err *err) CHECKED;

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
/* Runs of arrivals are runs as these: they have events, can be cancelled, and the run of a caller waits for them. */
struct FlowWatch;
void api_watch_arrivals(ApiLake *lake, struct FlowWatch *ret_watch);

/* ---- keys: `expires_us` 0 is never ---- */
/* So many seconds from now, by the clock that keys end by: whoever asks needs none of his own. */
Code api_expires_in(ApiCall *call, int64_t seconds, int64_t *ret_expires_us, Err *err) CHECKED;
Code api_key_create(ApiCall *call, Str name, Str role, int64_t expires_us, Buf *out, Err *err) CHECKED;
Code api_keys(ApiCall *call, Buf *out, Err *err) CHECKED;
Code api_key_revoke(ApiCall *call, Str id, Err *err) CHECKED;

/* ---- backups: the lake holds still for a copy of its files (docs/backup.md) ---- */
enum { API_BACKUP_HOLD_S = 60 }; /* from begin, and from each renewal */
/* `out`: {"id", "sequence", "journal": {"begin", "end", "segment_bytes"}, "metadata": "tmp/...", "hold_s"}. */
Code api_backup_begin(ApiCall *call, Buf *out, Err *err) CHECKED;
Code api_backup_renew(ApiCall *call, Str id, Err *err) CHECKED; /* NOT_FOUND: it is over, the copy is no backup */
Code api_backup_end(ApiCall *call, Str id, Err *err) CHECKED;   /* the same */
/* Behind the end: the copy was compared with its checksums and is whole up to `sequence`; metrics tell of it. */
Code api_backup_verified(ApiCall *call, Str id, uint64_t sequence, Err *err) CHECKED;

/* ---- principals and their access keys, for signed requests: `out` is JSON ---- */
typedef struct ApiPrincipalSet {
    Str name;
    Str role;                /* empty: stays */
    bool sets_disabled, disabled;
} ApiPrincipalSet;
Code api_principals(ApiCall *call, Buf *out, Err *err) CHECKED;
Code api_principal_create(ApiCall *call, Str name, Str role, Buf *out, Err *err) CHECKED;
/* PRECONDITION for `admin`, whose key the server itself keeps. */
Code api_principal_set(ApiCall *call, const ApiPrincipalSet *set, Buf *out, Err *err) CHECKED;
/* Of one principal; empty: of all. */
Code api_access_keys(ApiCall *call, Str principal, Buf *out, Err *err) CHECKED;
/* The secret is in `out` this once. */
Code api_access_create(ApiCall *call, Str principal, int64_t expires_us, Buf *out, Err *err) CHECKED;
typedef struct ApiAccessSet {
    Str id;
    bool sets_expires, sets_disabled, disabled;
    int64_t expires_us;      /* 0: never */
} ApiAccessSet;
Code api_access_set(ApiCall *call, const ApiAccessSet *set, Err *err) CHECKED;
Code api_access_rotate(ApiCall *call, Str id, int64_t overlap_s, int64_t expires_us, Buf *out,
                       Err *err) CHECKED;
Code api_access_revoke(ApiCall *call, Str id, Err *err) CHECKED;

/* ---- Idempotency-Key ---- */
typedef enum ApiClaim { API_CLAIM_NEW, API_CLAIM_REPLAY } ApiClaim;
typedef struct ApiKept {
    int status;
    Str type, body;
} ApiKept;
/* Claims a key before the work. CONFLICT: in flight, or its outcome is unknown; PRECONDITION
 * (answered 422): the key came with another request. */
Code api_idempotency_claim(ApiCall *call, Str key, const uint8_t fingerprint[32],
                           ApiClaim *ret_claim, ApiKept *ret_kept, Err *err) CHECKED;
/* Keeps the reply; `kept` NULL gives the claim back: the same request may try again. */
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

/* The rows of metrics.def: of the store, its feed and what reads it. */
typedef enum ApiMetric {
#define API_METRIC(name, type, doc) API_METRIC_##name,
#include "api/metrics.def"
#undef API_METRIC
    API_METRIC_COUNT
} ApiMetric;
void api_metrics(const ApiLake *lake, uint64_t ret_values[API_METRIC_COUNT]);
