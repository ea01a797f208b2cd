/* meta_txn.h: a metadata transaction as a list of requirements and operations, made before it runs.
 * Owner:   the arena of meta_txn_init holds the items and copies of all values.
 * Threads: one at a time.
 * Errors:  none here; meta_commit looks. What each item means: one row in ops.def.
 * Limits:  META_TXN_ITEMS_MAX items.
 * Units:   _us: microseconds since 1970 UTC.
 *
 * Items run in the order of the list, so a requirement sees what the items before it wrote.
 * require: nothing is written, the row of ops.def says with which code it fails. add: EXISTS when
 * it is there. put: writes or replaces. Other verbs on what is not there: NOT_FOUND, but where said. */
#pragma once

#include "meta/meta_rows.h"

typedef struct MetaItem MetaItem;

typedef struct MetaTxn {
    Arena *arena;
    MetaItem *items;
    size_t len;
    size_t cap;
    Uuid commit; /* all zero: meta_commit makes one up */
} MetaTxn;

void meta_txn_init(MetaTxn *txn, Arena *arena);
void meta_txn_set_commit(MetaTxn *txn, Uuid commit); /* a version 7 UUID of os_uuid() */
/* Adds copies of the other's items; the commit UUID stays. So table/ takes flow's and api's items. */
void meta_append(MetaTxn *txn, const MetaTxn *other);

/* Namespaces. */
void meta_require_namespace_exists(MetaTxn *txn, Str name); /* NOT_FOUND */
void meta_require_namespace_absent(MetaTxn *txn, Str name); /* EXISTS */
void meta_require_namespace_empty(MetaTxn *txn, Str name);  /* PRECONDITION: has tables or views */
void meta_add_namespace(MetaTxn *txn, const MetaNamespace *row);
void meta_set_namespace_properties(MetaTxn *txn, Str name, Str properties_json);
void meta_delete_namespace(MetaTxn *txn, Str name);

/* Tables and views. `drop` moves into the trash, `delete` out of the database. */
void meta_require_table_at(MetaTxn *txn, Uuid table, Str metadata_location); /* CONFLICT */
void meta_require_table_exists(MetaTxn *txn, Uuid table);                    /* NOT_FOUND */
void meta_require_table_absent(MetaTxn *txn, Str namespace_name, Str name);  /* EXISTS */
void meta_require_location_free(MetaTxn *txn, Str location);                 /* EXISTS: overlap */
void meta_add_table(MetaTxn *txn, const MetaTable *row);
/* The compare-and-swap of a commit: CONFLICT when the pointer is not at `from`. */
void meta_table_swap(MetaTxn *txn, Uuid table, Str from, Str to, int64_t time_us);
void meta_table_set_view_sql(MetaTxn *txn, Uuid table, Str view_sql, int64_t time_us);
void meta_table_rename(MetaTxn *txn, Uuid table, Str namespace_name, Str name); /* EXISTS: taken */
void meta_table_drop(MetaTxn *txn, Uuid table, int64_t time_us);
void meta_table_undrop(MetaTxn *txn, Uuid table); /* EXISTS: the name is taken by now */
void meta_delete_table(MetaTxn *txn, Uuid table); /* from the trash, when its files are gone */

/* Intents: files written for a table that no commit names yet. */
void meta_require_staged_file(MetaTxn *txn, Str run_id, Str address); /* CONFLICT: swept */
void meta_add_staged_file(MetaTxn *txn, const MetaStagedFile *row);
void meta_complete_staged_file(MetaTxn *txn, Str run_id, Str address, int64_t created_us,
                               Str data_file_json); /* CONFLICT: swept */
void meta_delete_staged_file(MetaTxn *txn, Str run_id, Str address); /* absent is fine */
void meta_delete_staged_run(MetaTxn *txn, Str run_id);               /* absent is fine */

/* Models, runs, quality, lineage. */
void meta_put_model(MetaTxn *txn, const MetaModel *row);
void meta_delete_model(MetaTxn *txn, Str name);
void meta_require_ledger_state(MetaTxn *txn, const MetaLedger *row); /* CONFLICT: other state */
void meta_put_ledger(MetaTxn *txn, const MetaLedger *row);
void meta_put_run(MetaTxn *txn, const MetaRun *row);
void meta_put_quality(MetaTxn *txn, const MetaQuality *row);
void meta_put_lineage(MetaTxn *txn, const MetaLineage *row);
void meta_delete_lineage(MetaTxn *txn, Str target); /* absent is fine */

/* Keys, audit, settings. */
void meta_require_key_active(MetaTxn *txn, Str id, int64_t now_us); /* FORBIDDEN */
void meta_require_key_name_free(MetaTxn *txn, Str name);            /* EXISTS: an unrevoked one */
void meta_add_key(MetaTxn *txn, const MetaKey *row);
void meta_revoke_key(MetaTxn *txn, Str id, int64_t time_us);
void meta_add_principal(MetaTxn *txn, const MetaPrincipal *row);
void meta_set_principal(MetaTxn *txn, Str id, Str role, int64_t epoch, int64_t disabled_us);
void meta_require_principal_exists(MetaTxn *txn, Str id);
void meta_add_access_key(MetaTxn *txn, const MetaAccessKey *row);
void meta_use_access_key(MetaTxn *txn, Str id, int64_t used_us, Str service, Str region);
void meta_set_access_key(MetaTxn *txn, Str id, int64_t expires_us, int64_t disabled_us,
                         int64_t revoked_us);
void meta_add_audit(MetaTxn *txn, const MetaAudit *row);
/* Of the commits' UUIDs; the last one stays. For maintenance: long after anybody could replay. */
void meta_delete_commits_before(MetaTxn *txn, int64_t time_us);
/* The last row stays, so that no id comes twice. */
void meta_delete_audit_before(MetaTxn *txn, int64_t time_us);
void meta_require_setting(MetaTxn *txn, Str key, Str value); /* CONFLICT; empty value: absent */
void meta_put_setting(MetaTxn *txn, Str key, Str value);
void meta_delete_setting(MetaTxn *txn, Str key); /* absent is fine */

/* Requests that may come twice, consumers of the change feed, messages that leave after the commit. */
void meta_add_idempotency(MetaTxn *txn, const MetaIdempotency *row);
void meta_delete_idempotency_before(MetaTxn *txn, int64_t time_us); /* none is fine */
void meta_put_feed_cursor(MetaTxn *txn, Str consumer, int64_t sequence);
/* CONFLICT when the cursor is not at `from`; a consumer without a row is at 0. */
void meta_move_feed_cursor(MetaTxn *txn, Str consumer, int64_t from, int64_t to);
void meta_add_outbox(MetaTxn *txn, const MetaOutbox *row);
void meta_delete_outbox(MetaTxn *txn, int64_t id); /* absent is fine */
