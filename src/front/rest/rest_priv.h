/* rest_priv.h: what the handlers of this folder share.
 * Owner:   an ApiCall lives in its request's arena.
 * Threads: those of the request.
 * Errors:  handlers answer their own.
 * Limits:  REST_JSON_MAX of a JSON answer that is built whole.
 * Units:   bytes. */
#pragma once

#include "format/arrow.h"
#include "format/json.h"
#include "front/rest/rest.h"

#include <stdatomic.h>

enum { REST_JSON_MAX = 64 << 20 };

#define REST_JSON "application/json"

/* What a route has beyond HttpRoute. */
typedef struct RestMore {
    HttpHandler *once;
    const char *query;
} RestMore;

struct RestServer {
    ApiLake *lake;
    HttpServer *http;
    TlsServer *tls; /* of the first listener over TLS, for metrics; NULL: none */
    atomic_int tier_reader, tier_admin;
};

extern const HttpRoute rest_routes[];
extern const size_t rest_route_count;

/* Every handler that routes.def names. */
HttpHandler rest_livez, rest_readyz, rest_health, rest_metrics, rest_openapi;
HttpHandler rest_datasets, rest_dataset, rest_dataset_schema, rest_preview, rest_page, rest_sql;
HttpHandler rest_ingest_head, rest_ingest_end, rest_ingest_free;
void rest_ingest_body(HttpReq *r, Str block);
HttpHandler rest_buckets, rest_objects, rest_object;
HttpHandler rest_models, rest_models_load, rest_plan, rest_runs, rest_run_start, rest_run;
HttpHandler rest_run_cancel, rest_run_events, rest_keys, rest_key_create, rest_key_revoke;
HttpHandler rest_principals, rest_principal_create, rest_principal_set;
HttpHandler rest_access_keys, rest_access_create, rest_access_set, rest_access_rotate, rest_access_revoke;
HttpHandler rest_trash, rest_undelete;
HttpHandler rest_backup_begin, rest_backup_renew, rest_backup_end, rest_backup_verified;
HttpHandler rest_once;

/* The call of this request; made when it is asked for first. */
ApiCall *rest_call(HttpReq *r);
Str rest_query(const HttpReq *r, const char *name);            /* empty: not given */
/* A count from the query; INVALID when it is none. */
Code rest_number(HttpReq *r, const char *name, int64_t fallback, int64_t *ret_number, Err *err) CHECKED;
/* {id}: namespace.name, %1F for a dot inside a part. */
Code rest_dataset_name(HttpReq *r, Str *ret_ns, Str *ret_name, Err *err) CHECKED;
/* Sends what was built, or the problem when `code` is none; `out` is taken. */
void rest_send(HttpReq *r, int status, Buf *take_out, Code code, const Err *err);
Str rest_media_type(HttpReq *r); /* of the body, without parameters, as sent */

/* Idempotency-Key of a request whose handler is not behind rest_once. */
Code rest_claim(HttpReq *r, Str key, Str body, uint8_t ret_fingerprint[32], bool *ret_replayed,
                Err *err) CHECKED;
void rest_claim_problem(HttpReq *r, Code code, const Err *err);
/* Keeps the reply that was just set, or gives the claim back when it may come out otherwise later. */
void rest_claim_end(HttpReq *r, Str key, const uint8_t fingerprint[32]);
void rest_claim_release(HttpReq *r, Str key, const uint8_t fingerprint[32]);

/* Formats of rows. */
typedef enum RowFormat { ROWS_JSON, ROWS_NDJSON, ROWS_CSV, ROWS_ARROW } RowFormat;
bool rest_row_format(HttpReq *r, RowFormat *ret_format, const char **ret_type); /* false: 406 was sent */
void rest_columns_put(JsonWriter *w, const ArrowSchema *schema);
