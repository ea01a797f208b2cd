/* meta_read.h: one consistent snapshot of the metadata database and the questions to it.
 * Owner:   meta_read_begin gives a MetaRead, meta_read_end takes it; rows live in the arena.
 * Threads: a MetaRead belongs to one thread at a time; any number beside the writer.
 * Errors:  meta_get_*: NOT_FOUND naming what is missing; CORRUPT, IO.
 * Limits:  META_READERS_MAX at once, more wait: end a read before network or file work begins.
 *          `limit` 0: META_LIST_MAX, beyond which it is LIMIT.
 * Units:   _us: microseconds since 1970 UTC. */
#pragma once

#include "base/err.h"
#include "meta/meta_rows.h"

typedef struct Meta Meta;
typedef struct MetaRead MetaRead;

/* UNAVAILABLE: no reader came back within 30 s. */
Code meta_read_begin(Meta *meta, MetaRead **ret_read, Err *err) CHECKED;
void meta_read_end(MetaRead **read); /* fit for AUTO */
/* Of the last commit that the snapshot holds; 0: none. */
int64_t meta_read_sequence(const MetaRead *read);

/* A getter fills one struct; a list gives an array and its length (NULL, 0: there is none). */
#define META_GET(Row) Arena *arena, Row *ret_row, Err *err
#define META_LIST(Row) Arena *arena, Row **ret_rows, size_t *ret_count, Err *err

Code meta_get_namespace(MetaRead *read, Str name, META_GET(MetaNamespace)) CHECKED;
Code meta_list_namespaces(MetaRead *read, META_LIST(MetaNamespace)) CHECKED; /* by name */

/* Tables and views that are not in the trash. */
Code meta_get_table(MetaRead *read, Uuid table, META_GET(MetaTable)) CHECKED;
Code meta_get_table_named(MetaRead *read, Str namespace_name, Str name,
                          META_GET(MetaTable)) CHECKED;
/* Of one namespace, or of all when it is empty; by namespace and name. */
Code meta_list_tables(MetaRead *read, Str namespace_name, META_LIST(MetaTable)) CHECKED;
Code meta_list_dropped_tables(MetaRead *read, META_LIST(MetaTable)) CHECKED; /* oldest first */

Code meta_list_staged_files(MetaRead *read, Str run_id, META_LIST(MetaStagedFile)) CHECKED;
Code meta_list_staged_before(MetaRead *read, int64_t time_us, META_LIST(MetaStagedFile)) CHECKED;

Code meta_list_models(MetaRead *read, META_LIST(MetaModel)) CHECKED; /* by name */
/* Intervals of a model by start; an empty fingerprint: of all its versions; empty model: of all. */
Code meta_list_ledger(MetaRead *read, Str model, Str fingerprint, META_LIST(MetaLedger)) CHECKED;
Code meta_get_run(MetaRead *read, Str run_id, Str model, META_GET(MetaRun)) CHECKED;
/* The parts of one run, the whole first. */
Code meta_list_run_parts(MetaRead *read, Str run_id, META_LIST(MetaRun)) CHECKED;
/* Whole runs (rows with an empty model), newest first, started before `before_us` (0: now). */
Code meta_list_runs(MetaRead *read, int64_t before_us, size_t limit, META_LIST(MetaRun)) CHECKED;
/* Newest first; empty model: of all models. */
Code meta_list_quality(MetaRead *read, Str model, size_t limit, META_LIST(MetaQuality)) CHECKED;
/* Edges that touch `name` on either side; empty: all. The newest run of each edge. */
Code meta_list_lineage(MetaRead *read, Str name, META_LIST(MetaLineage)) CHECKED;

Code meta_get_key(MetaRead *read, Str id, META_GET(MetaKey)) CHECKED;
Code meta_get_key_of_secret(MetaRead *read, Str secret_sha256, META_GET(MetaKey)) CHECKED;
Code meta_list_keys(MetaRead *read, META_LIST(MetaKey)) CHECKED; /* oldest first */
Code meta_get_principal(MetaRead *read, Str id, META_GET(MetaPrincipal)) CHECKED;
Code meta_get_principal_named(MetaRead *read, Str name, META_GET(MetaPrincipal)) CHECKED;
Code meta_list_principals(MetaRead *read, META_LIST(MetaPrincipal)) CHECKED;
Code meta_get_access_key(MetaRead *read, Str id, META_GET(MetaAccessKey)) CHECKED;
/* Of one principal, or of all with an empty id; oldest first. */
Code meta_list_access_keys(MetaRead *read, Str principal_id, META_LIST(MetaAccessKey)) CHECKED;
/* Rows with a greater id, oldest first. */
Code meta_list_audit(MetaRead *read, int64_t after_id, size_t limit, META_LIST(MetaAudit)) CHECKED;
Code meta_get_setting(MetaRead *read, Str key, META_GET(MetaSetting)) CHECKED;
Code meta_list_settings(MetaRead *read, META_LIST(MetaSetting)) CHECKED;
Code meta_get_idempotency(MetaRead *read, Str principal, Str key,
                          META_GET(MetaIdempotency)) CHECKED;
/* A consumer without a row is at 0. */
Code meta_get_feed_cursor(MetaRead *read, Str consumer, int64_t *ret_sequence, Err *err) CHECKED;
Code meta_list_feed_cursors(MetaRead *read, META_LIST(MetaFeedCursor)) CHECKED;
/* Oldest first. */
Code meta_list_outbox(MetaRead *read, size_t limit, META_LIST(MetaOutbox)) CHECKED;
