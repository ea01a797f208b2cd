/* Rows of the audit for changes that are in no metadata transaction themselves: objects, buckets, runs.
 *
 * Invariants
 * 1. A change that stands is never answered with the error of its row: api_audit_behind cannot fail. What can still be
 *    undone, or has handed out nothing, asks for its row with api_audit and fails with it.
 * 2. A row that could not be written waits, with its own time, and is written behind the next one that can be, by
 *    api_audit_flush, which maintenance calls every few minutes, or at api_close. At most AUDIT_WAITING_MAX wait;
 *    beyond them it is lost and counted. The log has each that waits.
 * 3. A crash between a change and its row loses the row: only what is one metadata transaction is exact. */
#include "api/api_priv.h"

#include "base/log.h"

static MetaAudit row_of(ApiCall *call, const char *verb, Str target, Str detail_json)
{
    return (MetaAudit){ .time_us = os_now_us(call->lake->os), .principal = call->principal.id, .verb = str_z(verb),
                        .target = target, .outcome = STR("ok"),
                        .detail_json = detail_json.len ? detail_json : STR("{}") };
}

static Code rows_write(const ApiLake *lake, const MetaAudit *rows, size_t count, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    MetaTxn txn;
    meta_txn_init(&txn, &tmp);
    for (size_t i = 0; i < count; i++)
        meta_add_audit(&txn, &rows[i]);
    return meta_commit(lake->meta, &txn, err);
}

static void rows_wait(ApiState *state, const MetaAudit *rows, size_t count)
{
    MUTEX_HELD(&state->audit_mutex);
    AuditWaiting *waiting = &state->audit_waiting;
    Arena *arena = &waiting->arena;
    for (size_t i = 0; i < count; i++) {
        if (waiting->count == AUDIT_WAITING_MAX) {
            atomic_fetch_add(&state->audit_lost, 1);
            continue;
        }
        if (!waiting->rows)
            waiting->rows = arena_array(arena, MetaAudit, AUDIT_WAITING_MAX);
        MetaAudit *row = &waiting->rows[waiting->count++];
        *row = rows[i];
        row->principal = str_copy(arena, rows[i].principal);
        row->verb = str_copy(arena, rows[i].verb);
        row->target = str_copy(arena, rows[i].target);
        row->outcome = str_copy(arena, rows[i].outcome);
        row->detail_json = str_copy(arena, rows[i].detail_json);
    }
}

/* Nobody else writes what was taken. */
static AuditWaiting waiting_take(ApiState *state)
{
    MUTEX_HELD(&state->audit_mutex);
    AuditWaiting waiting = state->audit_waiting;
    state->audit_waiting = (AuditWaiting){ 0 };
    return waiting;
}

void api_audit_flush(ApiLake *lake)
{
    ApiState *state = lake->state;
    AuditWaiting waiting = waiting_take(state);
    if (waiting.count > 0 && rows_write(lake, waiting.rows, waiting.count, NULL) != E_OK)
        rows_wait(state, waiting.rows, waiting.count);
    arena_done(&waiting.arena);
}

uint64_t api_audit_waits(ApiState *state)
{
    MUTEX_HELD(&state->audit_mutex);
    return state->audit_waiting.count;
}

Code api_audit(ApiCall *call, const char *verb, Str target, Str detail_json, Err *err)
{
    MetaAudit row = row_of(call, verb, target, detail_json);
    TRY(rows_write(call->lake, &row, 1, err));
    api_count(call, API_COUNT_mutations, 1);
    api_audit_flush(call->lake);
    return E_OK;
}

void api_audit_behind(ApiCall *call, const char *verb, Str target, Str detail_json)
{
    Err err;
    err_clear(&err);
    MetaAudit row = row_of(call, verb, target, detail_json);
    api_count(call, API_COUNT_mutations, 1);
    if (rows_write(call->lake, &row, 1, &err) == E_OK) {
        api_audit_flush(call->lake);
        return;
    }
    rows_wait(call->lake->state, &row, 1);
    log_line(LOG_ERROR, "event=audit result=waits verb=%s target=\"" STR_FMT "\" principal=" STR_FMT " error=\"%s\"",
             verb, STR_ARG(target), STR_ARG(row.principal), err.text);
}
