#include "meta/meta_txn.h"

#include "meta/meta_priv.h"

#include <string.h>

void meta_txn_init(MetaTxn *txn, Arena *arena)
{
    *txn = (MetaTxn){ .arena = arena };
}

void meta_txn_set_commit(MetaTxn *txn, Uuid commit)
{
    txn->commit = commit;
}

static MetaItem *item_push(MetaTxn *txn)
{
    if (txn->len == txn->cap) {
        size_t cap = txn->cap ? txn->cap * 2 : 8;
        MetaItem *items = arena_array(txn->arena, MetaItem, cap);
        if (txn->len)
            memcpy(items, txn->items, txn->len * sizeof *items);
        txn->items = items;
        txn->cap = cap;
    }
    return &txn->items[txn->len++];
}

static void item_add(MetaTxn *txn, OpId op, const MetaValue *values, size_t count)
{
    MetaValue *copy = arena_array(txn->arena, MetaValue, count);
    for (size_t i = 0; i < count; i++) {
        copy[i] = values[i];
        copy[i].bytes = str_copy(txn->arena, values[i].bytes);
    }
    *item_push(txn) = (MetaItem){ op, count, copy };
}

static void row_add(MetaTxn *txn, OpId op, const void *row)
{
    MetaValue values[META_PARAMS_MAX];
    const RowShape *shape = &row_shapes[op_infos[op].row];
    row_values(shape, row, values);
    item_add(txn, op, values, shape->count);
}

void meta_append(MetaTxn *txn, const MetaTxn *other)
{
    for (size_t i = 0; i < other->len; i++)
        item_add(txn, other->items[i].op, other->items[i].values, other->items[i].count);
}

#define TEXT(s) { .kind = 't', .bytes = (s) }
#define NUMBER(n) { .kind = 'i', .number = (n) }
#define UUID(u) { .kind = 'u', .bytes = { (const char *)(u).bytes, sizeof(u).bytes } }
#define ITEM(txn, op, ...)                                                                         \
    do {                                                                                           \
        const MetaValue values_[] = { __VA_ARGS__ };                                               \
        item_add(txn, op, values_, ARRAY_LEN(values_));                                            \
    } while (0)

void meta_require_namespace_exists(MetaTxn *txn, Str name)
{
    ITEM(txn, OP_require_namespace_exists, TEXT(name));
}

void meta_require_namespace_absent(MetaTxn *txn, Str name)
{
    ITEM(txn, OP_require_namespace_absent, TEXT(name));
}

void meta_require_namespace_empty(MetaTxn *txn, Str name)
{
    ITEM(txn, OP_require_namespace_empty, TEXT(name));
}

void meta_add_namespace(MetaTxn *txn, const MetaNamespace *row)
{
    row_add(txn, OP_add_namespace, row);
}

void meta_set_namespace_properties(MetaTxn *txn, Str name, Str properties_json)
{
    ITEM(txn, OP_set_namespace_properties, TEXT(name), TEXT(properties_json));
}

void meta_delete_namespace(MetaTxn *txn, Str name)
{
    ITEM(txn, OP_delete_namespace, TEXT(name));
}

void meta_require_table_at(MetaTxn *txn, Uuid table, Str metadata_location)
{
    ITEM(txn, OP_require_table_at, UUID(table), TEXT(metadata_location));
}

void meta_require_table_exists(MetaTxn *txn, Uuid table)
{
    ITEM(txn, OP_require_table_exists, UUID(table));
}

void meta_require_table_absent(MetaTxn *txn, Str namespace_name, Str name)
{
    ITEM(txn, OP_require_table_absent, TEXT(namespace_name), TEXT(name));
}

void meta_require_location_free(MetaTxn *txn, Str location)
{
    ITEM(txn, OP_require_location_free, TEXT(location));
}

void meta_add_table(MetaTxn *txn, const MetaTable *row)
{
    row_add(txn, OP_add_table, row);
}

void meta_table_swap(MetaTxn *txn, Uuid table, Str from, Str to, int64_t time_us)
{
    ITEM(txn, OP_table_swap, UUID(table), TEXT(from), TEXT(to), NUMBER(time_us));
}

void meta_table_set_view_sql(MetaTxn *txn, Uuid table, Str view_sql, int64_t time_us)
{
    ITEM(txn, OP_table_set_view_sql, UUID(table), TEXT(view_sql), NUMBER(time_us));
}

void meta_table_rename(MetaTxn *txn, Uuid table, Str namespace_name, Str name)
{
    ITEM(txn, OP_table_rename, UUID(table), TEXT(namespace_name), TEXT(name));
}

void meta_table_drop(MetaTxn *txn, Uuid table, int64_t time_us)
{
    ITEM(txn, OP_table_drop, UUID(table), NUMBER(time_us));
}

void meta_table_undrop(MetaTxn *txn, Uuid table)
{
    ITEM(txn, OP_table_undrop, UUID(table));
}

void meta_delete_table(MetaTxn *txn, Uuid table)
{
    ITEM(txn, OP_delete_table, UUID(table));
}

void meta_require_staged_file(MetaTxn *txn, Str run_id, Str address)
{
    ITEM(txn, OP_require_staged_file, TEXT(run_id), TEXT(address));
}

void meta_add_staged_file(MetaTxn *txn, const MetaStagedFile *row)
{
    row_add(txn, OP_add_staged_file, row);
}

void meta_complete_staged_file(MetaTxn *txn, Str run_id, Str address, int64_t created_us, Str data_file_json)
{
    ITEM(txn, OP_complete_staged_file, TEXT(run_id), TEXT(address), NUMBER(created_us), TEXT(data_file_json));
}

void meta_delete_staged_file(MetaTxn *txn, Str run_id, Str address)
{
    ITEM(txn, OP_delete_staged_file, TEXT(run_id), TEXT(address));
}

void meta_delete_staged_run(MetaTxn *txn, Str run_id)
{
    ITEM(txn, OP_delete_staged_run, TEXT(run_id));
}

void meta_put_model(MetaTxn *txn, const MetaModel *row)
{
    row_add(txn, OP_put_model, row);
}

void meta_delete_model(MetaTxn *txn, Str name)
{
    ITEM(txn, OP_delete_model, TEXT(name));
}

void meta_require_ledger_state(MetaTxn *txn, const MetaLedger *row)
{
    ITEM(txn, OP_require_ledger_state, TEXT(row->model), TEXT(row->fingerprint),
         NUMBER(row->start_us), NUMBER(row->end_us), TEXT(row->state));
}

void meta_put_ledger(MetaTxn *txn, const MetaLedger *row)
{
    row_add(txn, OP_put_ledger, row);
}

void meta_put_run(MetaTxn *txn, const MetaRun *row)
{
    row_add(txn, OP_put_run, row);
}

void meta_put_quality(MetaTxn *txn, const MetaQuality *row)
{
    row_add(txn, OP_put_quality, row);
}

void meta_put_lineage(MetaTxn *txn, const MetaLineage *row)
{
    row_add(txn, OP_put_lineage, row);
}

void meta_delete_lineage(MetaTxn *txn, Str target)
{
    ITEM(txn, OP_delete_lineage, TEXT(target));
}

void meta_require_key_active(MetaTxn *txn, Str id, int64_t now_us)
{
    ITEM(txn, OP_require_key_active, TEXT(id), NUMBER(now_us));
}

void meta_require_key_name_free(MetaTxn *txn, Str name)
{
    ITEM(txn, OP_require_key_name_free, TEXT(name));
}

void meta_add_key(MetaTxn *txn, const MetaKey *row)
{
    row_add(txn, OP_add_key, row);
}

void meta_revoke_key(MetaTxn *txn, Str id, int64_t time_us)
{
    ITEM(txn, OP_revoke_key, TEXT(id), NUMBER(time_us));
}

void meta_add_principal(MetaTxn *txn, const MetaPrincipal *row)
{
    row_add(txn, OP_add_principal, row);
}

void meta_set_principal(MetaTxn *txn, Str id, Str role, int64_t epoch, int64_t disabled_us)
{
    ITEM(txn, OP_set_principal, TEXT(id), TEXT(role), NUMBER(epoch), NUMBER(disabled_us));
}

void meta_require_principal_exists(MetaTxn *txn, Str id)
{
    ITEM(txn, OP_require_principal_exists, TEXT(id));
}

void meta_add_access_key(MetaTxn *txn, const MetaAccessKey *row)
{
    row_add(txn, OP_add_access_key, row);
}

void meta_use_access_key(MetaTxn *txn, Str id, int64_t used_us, Str service, Str region)
{
    ITEM(txn, OP_use_access_key, TEXT(id), NUMBER(used_us), TEXT(service), TEXT(region));
}

void meta_set_access_key(MetaTxn *txn, Str id, int64_t expires_us, int64_t disabled_us, int64_t revoked_us)
{
    ITEM(txn, OP_set_access_key, TEXT(id), NUMBER(expires_us), NUMBER(disabled_us), NUMBER(revoked_us));
}

void meta_add_audit(MetaTxn *txn, const MetaAudit *row)
{
    row_add(txn, OP_add_audit, row);
}

void meta_delete_commits_before(MetaTxn *txn, int64_t time_us)
{
    ITEM(txn, OP_delete_commits_before, NUMBER(time_us));
}

void meta_delete_audit_before(MetaTxn *txn, int64_t time_us)
{
    ITEM(txn, OP_delete_audit_before, NUMBER(time_us));
}

void meta_require_setting(MetaTxn *txn, Str key, Str value)
{
    ITEM(txn, OP_require_setting, TEXT(key), TEXT(value));
}

void meta_put_setting(MetaTxn *txn, Str key, Str value)
{
    row_add(txn, OP_put_setting, &(MetaSetting){ key, value });
}

void meta_delete_setting(MetaTxn *txn, Str key)
{
    ITEM(txn, OP_delete_setting, TEXT(key));
}

void meta_add_idempotency(MetaTxn *txn, const MetaIdempotency *row)
{
    row_add(txn, OP_add_idempotency, row);
}

void meta_delete_idempotency_before(MetaTxn *txn, int64_t time_us)
{
    ITEM(txn, OP_delete_idempotency_before, NUMBER(time_us));
}

void meta_put_feed_cursor(MetaTxn *txn, Str consumer, int64_t sequence)
{
    row_add(txn, OP_put_feed_cursor, &(MetaFeedCursor){ consumer, sequence });
}

void meta_move_feed_cursor(MetaTxn *txn, Str consumer, int64_t from, int64_t to)
{
    ITEM(txn, OP_require_feed_cursor, TEXT(consumer), NUMBER(from));
    meta_put_feed_cursor(txn, consumer, to);
}

void meta_add_outbox(MetaTxn *txn, const MetaOutbox *row)
{
    row_add(txn, OP_add_outbox, row);
}

void meta_delete_outbox(MetaTxn *txn, int64_t id)
{
    ITEM(txn, OP_delete_outbox, NUMBER(id));
}
