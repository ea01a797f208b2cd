/* Invariants:
 * 1. A MetaRead that was given out has a transaction open, begun before it was given out, so that
 *    all its answers are of one snapshot; meta_read_end closes the transaction.
 * 2. It is in the list of idle ones or given out, never both. */
#include "meta/meta_read.h"

#include "meta/meta_state_priv.h"

#include <string.h>

enum { READ_WAIT_US = 30 * 1000 * 1000 };

static Code readers_busy(Err *err)
{
    return err_set(err, E_UNAVAILABLE, "all %d readers of the metadata are busy", META_READERS_MAX);
}

static Code read_take(Meta *meta, MetaRead **ret_read, Err *err)
{
    MUTEX_HELD(&meta->readers_mutex);
    while (!meta->idle && meta->reader_count == META_READERS_MAX) {
        if (!os_has_threads(meta->os))
            return readers_busy(err);
        /* With an end: threads that hold one read and ask for another could wait for ever. */
        if (!cond_wait_us(&meta->readers_cond, &meta->readers_mutex, READ_WAIT_US))
            return readers_busy(err);
    }
    MetaRead *read = meta->idle;
    if (read) {
        meta->idle = read->next;
    } else {
        read = mem_new(sizeof *read);
        read->meta = meta;
        meta->reader_count++;
    }
    *ret_read = read;
    return E_OK;
}

/* Back to the idle ones, or away when it has no connection. */
static void read_give(MetaRead *read)
{
    Meta *meta = read->meta;
    MUTEX_HELD(&meta->readers_mutex);
    if (read->db.db) {
        read->next = meta->idle;
        meta->idle = read;
    } else {
        meta->reader_count--;
        mem_free(&read);
    }
    cond_signal(&meta->readers_cond);
}

static Code read_start(MetaRead *read, Err *err)
{
    if (!read->db.db)
        TRY(meta_db_open(&read->db, read->meta->vfs, read->meta->path, META_DB_READER, err));
    TRY(meta_db_exec(&read->db, "BEGIN", err));
    /* The snapshot is taken by the first look, not by BEGIN. */
    return meta_db_number(&read->db, "SELECT coalesce(max(sequence), 0) FROM commits",
                          &read->sequence, err);
}

Code meta_read_begin(Meta *meta, MetaRead **ret_read, Err *err)
{
    MetaRead *read = NULL;
    TRY(read_take(meta, &read, err));
    Code code = read_start(read, err);
    if (code != E_OK) {
        meta_db_close(&read->db);
        read_give(read);
        return code;
    }
    *ret_read = read;
    return E_OK;
}

void meta_read_end(MetaRead **read)
{
    if (!*read)
        return;
    meta_db_rollback(&(*read)->db);
    read_give(*read);
    *read = NULL;
}

int64_t meta_read_sequence(const MetaRead *read)
{
    return read->sequence;
}

/* -- asking -- */

typedef struct Answer {
    char *rows;
    size_t count;
    size_t cap;
} Answer;

static void row_push(Answer *answer, const RowShape *shape, sqlite3_stmt *stmt, Arena *arena)
{
    if (answer->count == answer->cap) {
        size_t cap = answer->cap ? answer->cap * 2 : 8;
        char *rows = arena_array_raw(arena, cap, shape->size);
        if (answer->count)
            memcpy(rows, answer->rows, answer->count * shape->size);
        answer->rows = rows;
        answer->cap = cap;
    }
    char *row = answer->rows + answer->count++ * shape->size;
    for (size_t i = 0; i < shape->count; i++) {
        const RowColumn *column = &shape->columns[i];
        MetaValue value = meta_db_column(stmt, (int)i, column->kind, arena);
        row_decode_column(column, row, &value);
    }
}

static Code rows_ask(MetaRead *read, ReadId id, const MetaValue *values, size_t count, Arena *arena,
                     Answer *answer, Err *err)
{
    const RowShape *shape = &row_shapes[read_infos[id].row];
    sqlite3_stmt *stmt = NULL;
    ASSERT(strlen(read_infos[id].types) == count);
    TRY(meta_db_read(&read->db, id, &stmt, err));
    Code code = meta_db_bind(&read->db, stmt, values, count, err);
    int rc = SQLITE_ROW;
    while (code == E_OK && rc == SQLITE_ROW) {
        rc = sqlite3_step(stmt);
        if (rc == SQLITE_ROW && answer->count == META_LIST_MAX)
            code = err_set(err, E_LIMIT, "%s gives more than %d rows", read_infos[id].name,
                           META_LIST_MAX);
        else if (rc == SQLITE_ROW)
            row_push(answer, shape, stmt, arena);
        else if (rc != SQLITE_DONE)
            code = meta_db_error(&read->db, rc, read_infos[id].name, err);
    }
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt); /* they point into the caller's memory */
    return code;
}

static Code row_ask(MetaRead *read, ReadId id, const MetaValue *values, size_t count, Arena *arena,
                    void *ret_row, Err *err)
{
    Answer answer = { 0 };
    TRY(rows_ask(read, id, values, count, arena, &answer, err));
    if (answer.count == 0) {
        Arena tmp AUTO(arena_done) = { 0 };
        Str text = message_format(&tmp, read_infos[id].message, values, count);
        return err_set(err, E_NOT_FOUND, STR_FMT, STR_ARG(text));
    }
    memcpy(ret_row, answer.rows, row_shapes[read_infos[id].row].size);
    return E_OK;
}

#define TEXT(s) { .kind = 't', .bytes = (s) }
#define BYTES(s) { .kind = 'b', .bytes = (s) }
#define NUMBER(n) { .kind = 'i', .number = (n) }
#define UUID(u) { .kind = 'u', .bytes = { (const char *)(u).bytes, sizeof(u).bytes } }

typedef struct Values {
    const MetaValue *items;
    size_t count;
} Values;

#define VALUES(...)                                                                                \
    ((Values){ (const MetaValue[]){ __VA_ARGS__ },                                                 \
               sizeof((const MetaValue[]){ __VA_ARGS__ }) / sizeof(MetaValue) })
#define NO_VALUES ((Values){ NULL, 0 })

static Code row_get(MetaRead *read, ReadId id, Values values, Arena *arena, void *ret_row, Err *err)
{
    return row_ask(read, id, values.items, values.count, arena, ret_row, err);
}

/* `ret_rows` is the address of a pointer to rows. */
static Code rows_list(MetaRead *read, ReadId id, Values values, Arena *arena, void *ret_rows,
                      size_t *ret_count, Err *err)
{
    Answer answer = { 0 };
    TRY(rows_ask(read, id, values.items, values.count, arena, &answer, err));
    memcpy(ret_rows, &answer.rows, sizeof answer.rows);
    *ret_count = answer.count;
    return E_OK;
}

static int64_t limit_of(size_t limit)
{
    return limit == 0 || limit > META_LIST_MAX ? META_LIST_MAX : (int64_t)limit;
}

Code meta_get_namespace(MetaRead *read, Str name, META_GET(MetaNamespace))
{
    return row_get(read, READ_get_namespace, VALUES(TEXT(name)), arena, ret_row, err);
}

Code meta_list_namespaces(MetaRead *read, META_LIST(MetaNamespace))
{
    return rows_list(read, READ_list_namespaces, NO_VALUES, arena, ret_rows, ret_count, err);
}

Code meta_get_table(MetaRead *read, Uuid table, META_GET(MetaTable))
{
    return row_get(read, READ_get_table, VALUES(UUID(table)), arena, ret_row, err);
}

Code meta_get_table_named(MetaRead *read, Str namespace_name, Str name, META_GET(MetaTable))
{
    return row_get(read, READ_get_table_named, VALUES(TEXT(namespace_name), TEXT(name)),
                   arena, ret_row, err);
}

Code meta_list_tables(MetaRead *read, Str namespace_name, META_LIST(MetaTable))
{
    if (namespace_name.len == 0)
        return rows_list(read, READ_list_tables, NO_VALUES, arena, ret_rows, ret_count, err);
    return rows_list(read, READ_list_tables_of, VALUES(TEXT(namespace_name)),
                     arena, ret_rows, ret_count, err);
}

Code meta_list_dropped_tables(MetaRead *read, META_LIST(MetaTable))
{
    return rows_list(read, READ_list_dropped_tables, NO_VALUES, arena, ret_rows, ret_count, err);
}

Code meta_list_staged_files(MetaRead *read, Str run_id, META_LIST(MetaStagedFile))
{
    return rows_list(read, READ_list_staged_files, VALUES(TEXT(run_id)),
                     arena, ret_rows, ret_count, err);
}

Code meta_list_staged_before(MetaRead *read, int64_t time_us, META_LIST(MetaStagedFile))
{
    return rows_list(read, READ_list_staged_before, VALUES(NUMBER(time_us)),
                     arena, ret_rows, ret_count, err);
}

Code meta_list_models(MetaRead *read, META_LIST(MetaModel))
{
    return rows_list(read, READ_list_models, NO_VALUES, arena, ret_rows, ret_count, err);
}

Code meta_list_ledger(MetaRead *read, Str model, Str fingerprint, META_LIST(MetaLedger))
{
    return rows_list(read, READ_list_ledger, VALUES(TEXT(model), TEXT(fingerprint)),
                     arena, ret_rows, ret_count, err);
}

Code meta_get_run(MetaRead *read, Str run_id, Str model, META_GET(MetaRun))
{
    return row_get(read, READ_get_run, VALUES(TEXT(run_id), TEXT(model)), arena, ret_row, err);
}

Code meta_list_run_parts(MetaRead *read, Str run_id, META_LIST(MetaRun))
{
    return rows_list(read, READ_list_run_parts, VALUES(TEXT(run_id)),
                     arena, ret_rows, ret_count, err);
}

Code meta_list_runs(MetaRead *read, int64_t before_us, size_t limit, META_LIST(MetaRun))
{
    return rows_list(read, READ_list_runs, VALUES(NUMBER(before_us), NUMBER(limit_of(limit))),
                     arena, ret_rows, ret_count, err);
}

Code meta_list_quality(MetaRead *read, Str model, size_t limit, META_LIST(MetaQuality))
{
    return rows_list(read, READ_list_quality, VALUES(TEXT(model), NUMBER(limit_of(limit))),
                     arena, ret_rows, ret_count, err);
}

Code meta_list_lineage(MetaRead *read, Str name, META_LIST(MetaLineage))
{
    return rows_list(read, READ_list_lineage, VALUES(TEXT(name)), arena, ret_rows, ret_count, err);
}

Code meta_get_key(MetaRead *read, Str id, META_GET(MetaKey))
{
    return row_get(read, READ_get_key, VALUES(TEXT(id)), arena, ret_row, err);
}

Code meta_get_key_of_secret(MetaRead *read, Str secret_sha256, META_GET(MetaKey))
{
    return row_get(read, READ_get_key_of_secret, VALUES(BYTES(secret_sha256)), arena, ret_row, err);
}

Code meta_list_keys(MetaRead *read, META_LIST(MetaKey))
{
    return rows_list(read, READ_list_keys, NO_VALUES, arena, ret_rows, ret_count, err);
}

Code meta_get_principal(MetaRead *read, Str id, META_GET(MetaPrincipal))
{
    return row_get(read, READ_get_principal, VALUES(TEXT(id)), arena, ret_row, err);
}

Code meta_get_principal_named(MetaRead *read, Str name, META_GET(MetaPrincipal))
{
    return row_get(read, READ_get_principal_named, VALUES(TEXT(name)), arena, ret_row, err);
}

Code meta_list_principals(MetaRead *read, META_LIST(MetaPrincipal))
{
    return rows_list(read, READ_list_principals, NO_VALUES, arena, ret_rows, ret_count, err);
}

Code meta_get_access_key(MetaRead *read, Str id, META_GET(MetaAccessKey))
{
    return row_get(read, READ_get_access_key, VALUES(TEXT(id)), arena, ret_row, err);
}

Code meta_list_access_keys(MetaRead *read, Str principal_id, META_LIST(MetaAccessKey))
{
    return rows_list(read, READ_list_access_keys, VALUES(TEXT(principal_id)), arena, ret_rows, ret_count, err);
}

Code meta_list_audit(MetaRead *read, int64_t after_id, size_t limit, META_LIST(MetaAudit))
{
    return rows_list(read, READ_list_audit, VALUES(NUMBER(after_id), NUMBER(limit_of(limit))),
                     arena, ret_rows, ret_count, err);
}

Code meta_get_setting(MetaRead *read, Str key, META_GET(MetaSetting))
{
    return row_get(read, READ_get_setting, VALUES(TEXT(key)), arena, ret_row, err);
}

Code meta_list_settings(MetaRead *read, META_LIST(MetaSetting))
{
    return rows_list(read, READ_list_settings, NO_VALUES, arena, ret_rows, ret_count, err);
}

Code meta_get_idempotency(MetaRead *read, Str principal, Str key, META_GET(MetaIdempotency))
{
    return row_get(read, READ_get_idempotency, VALUES(TEXT(principal), TEXT(key)),
                   arena, ret_row, err);
}

Code meta_get_feed_cursor(MetaRead *read, Str consumer, int64_t *ret_sequence, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    const MetaValue value = TEXT(consumer);
    MetaFeedCursor row = { .sequence = 0 };
    Code code = row_ask(read, READ_get_feed_cursor, &value, 1, &tmp, &row, err);
    if (code != E_OK && code != E_NOT_FOUND)
        return code;
    *ret_sequence = row.sequence;
    return E_OK;
}

Code meta_list_feed_cursors(MetaRead *read, META_LIST(MetaFeedCursor))
{
    return rows_list(read, READ_list_feed_cursors, NO_VALUES, arena, ret_rows, ret_count, err);
}

Code meta_list_outbox(MetaRead *read, size_t limit, META_LIST(MetaOutbox))
{
    return rows_list(read, READ_list_outbox, VALUES(NUMBER(limit_of(limit))),
                     arena, ret_rows, ret_count, err);
}
