/* The lake as one thing: opened, entered, watched. */
#include "api/api_priv.h"

#include "base/log.h"
#include "format/json.h"
#include "store/store_keep.h"


/* The engine looks at an interrupt between blocks of rows: one function over large values can run on. */
static void sql_late(void *arg, int64_t late_ms, Str text)
{
    ApiState *state = arg;
    atomic_fetch_add(&state->counters[API_COUNT_sql_interrupts_late], 1);
    if (log_on(LOG_WARN))
        log_line(LOG_WARN, "statement runs on behind its interrupt ms=%lld sql=" STR_FMT, (long long)late_ms,
                 STR_ARG(text));
}

Code api_open(ApiLake *lake, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    MetaTxn txn;
    ApiState *state = mem_new(sizeof *state);
    state->started_us = govern_now_us(lake->govern);
    state->started_monotonic_us = os_monotonic_us(lake->os);
    mutex_init(&state->mutex);
    mutex_init(&state->audit_mutex);
    lake->state = state;
    if (lake->sql)
        sql_on_late(lake->sql, sql_late, state);
    meta_txn_init(&txn, &tmp);
    meta_delete_idempotency_before(&txn, state->started_us - (int64_t)IDEMPOTENCY_HOURS * 3600 * 1000000);
    TRY(meta_commit(lake->meta, &txn, err));
    return api_backup_load(lake, err);
}

void api_close(ApiLake *lake)
{
    ApiState *state = lake->state;
    if (!state)
        return;
    api_runs_end(state);
    api_audit_flush(lake);
    if (state->audit_waiting.count > 0)
        log_line(LOG_ERROR, "event=audit result=lost rows=%zu", state->audit_waiting.count);
    lake->state = NULL;
    if (lake->sql)
        sql_on_late(lake->sql, NULL, NULL);
    arena_done(&state->audit_waiting.arena);
    mutex_done(&state->audit_mutex);
    mutex_done(&state->mutex);
    mem_free(&state);
}

Code api_enter(ApiCall *call, Str bearer, ApiRight right, Str target, Err *err)
{
    static const GovernRight rights[] = { RIGHT_READ, RIGHT_READ, RIGHT_WRITE, RIGHT_ADMIN };
    Code code = E_OK;
    if (right == API_OPEN)
        return E_OK;
    if (bearer.len == 0)
        code = err_hint(err, err_set(err, E_UNAUTHENTICATED, "a key is needed"),
                        "send `Authorization: Bearer KEY`; the first start printed the admin key");
    else
        code = govern_authenticate(call->lake->govern, bearer, call->arena, &call->principal, err);
    if (code == E_OK)
        code = govern_check(&call->principal, rights[right], target, err);
    if (code != E_OK)
        api_count(call, API_COUNT_refusals, 1);
    return code;
}

void api_count(ApiCall *call, ApiCounter counter, uint64_t more)
{
    atomic_fetch_add_explicit(&call->lake->state->counters[counter], more, memory_order_relaxed);
}

uint64_t api_counter(const ApiLake *lake, ApiCounter counter)
{
    return atomic_load_explicit(&lake->state->counters[counter], memory_order_relaxed);
}

Code api_health(ApiCall *call, ApiHealth *ret_health, Err *err)
{
    ApiLake *lake = call->lake;
    ApiHealth health = { .ok = true, .version = lake->version };
    MetaRead *read AUTO(meta_read_end) = NULL;
    TRY(meta_read_begin(lake->meta, &read, err)); /* the database answers */
    TRY(store_writable(lake->store, err)); /* reads go on, but somebody has to look */
    TRY(meta_writable(lake->meta, err));
    health.uptime_ms = (os_monotonic_us(lake->os) - lake->state->started_monotonic_us) / 1000;
    health.sequence = store_sequence(lake->store);
    MUTEX_HELD(&lake->state->mutex);
    ApiRun *run = lake->state->runs;
    if (run) {
        mutex_lock(&run->mutex);
        if (!run->ended)
            health.run_id = str_copy(call->arena, run->run_id);
        mutex_unlock(&run->mutex);
    }
    *ret_health = health;
    return E_OK;
}

/* ---- objects and ingest ---- */

Code api_object_open(ApiCall *call, Str bucket, Str key, ObjectReader **ret_reader, Err *err)
{
    TRY(store_reader_open(call->lake->store, bucket, key, 0, ret_reader, err));
    api_count(call, API_COUNT_object_reads, 1);
    return E_OK;
}

Code api_objects(ApiCall *call, const StoreListQuery *query, StoreListPage *ret_page, Err *err)
{
    bool exists = false;
    TRY(store_bucket_exists(call->lake->store, query->bucket, &exists, err));
    if (!exists)
        return err_set(err, E_NOT_FOUND, "there is no bucket '" STR_FMT "'", STR_ARG(query->bucket));
    return store_list(call->lake->store, query, call->arena, ret_page, err);
}

Code api_buckets(ApiCall *call, StoreBucket **ret_buckets, size_t *ret_count, Err *err)
{
    return store_bucket_list(call->lake->store, call->arena, ret_buckets, ret_count, err);
}

Code api_ingest_begin(ApiCall *call, const IngestBegin *begin, Ingest **ret_ingest, Err *err)
{
    return source_ingest_begin(call->lake->source, begin, ret_ingest, err);
}

Code api_ingest_write(Ingest *ingest, Str bytes, Err *err)
{
    return source_ingest_write(ingest, bytes, err);
}

Code api_ingest_finish(ApiCall *call, Ingest **take_ingest, IngestResult *ret_done, Err *err)
{
    IngestResult done;
    TRY(source_ingest_finish(take_ingest, call->arena, &done, err));
    api_count(call, done.duplicate ? API_COUNT_ingest_duplicates : API_COUNT_ingests, 1);
    api_count(call, API_COUNT_ingest_bytes, done.size_bytes);
    *ret_done = done;
    if (done.duplicate)
        return E_OK; /* nothing has changed */
    Str detail = str_format(call->arena, "{\"size_bytes\":%llu,\"sequence\":%llu}",
                            (unsigned long long)done.size_bytes, (unsigned long long)done.sequence);
    api_audit_behind(call, "ingest", done.address, detail);
    return E_OK;
}

Code api_source_resolve(void *self, Str source, Str name, bool all, Arena *arena,
                        Str **ret_addresses, size_t *ret_count, Err *err)
{
    ApiCall *call = self;
    ObjectInfo *objects;
    size_t count;
    TRY(source_find(call->lake->source, source, name, all, arena, &objects, &count, err));
    Str *addresses = arena_array(arena, Str, MAX(count, (size_t)1));
    for (size_t i = 0; i < count; i++)
        addresses[i] = str_format(arena, "s3://" STR_FMT "/" STR_FMT, STR_ARG(objects[i].bucket),
                                  STR_ARG(objects[i].key));
    *ret_addresses = addresses;
    *ret_count = count;
    return E_OK;
}

/* ---- keys ---- */

Code api_named(Code code, Err *err, const char *next)
{
    if ((code != E_NOT_FOUND && code != E_EXISTS) || !err)
        return code;
    err->place[0] = '\0'; /* a name of the database's */
    return err->hint[0] ? code : err_hint(err, code, "%s", next);
}

void api_time_field(JsonWriter *w, Arena *arena, const char *key, int64_t time_us)
{
    json_key(w, str_z(key));
    json_put_str(w, time_us ? time_format(arena, time_us) : STR_NONE);
}

JsonWriter api_items_begin(Buf *out)
{
    JsonWriter w = json_writer(out);
    json_begin_object(&w);
    json_key(&w, STR("items"));
    json_begin_array(&w);
    return w;
}

Code api_items_end(JsonWriter *w, const char *what, Err *err)
{
    json_end_array(w);
    json_end_object(w);
    return buf_end(w->out, what, err);
}

Code api_role_parse(Str role, GovernRole *ret_role, Err *err)
{
    if (govern_role_parse(role, ret_role))
        return E_OK;
    return err_hint(err, err_set(err, E_INVALID, "there is no role '" STR_FMT "'", STR_ARG(role)),
                    "the roles are data_viewer, data_scientist, data_engineer and admin");
}

Code api_key_create(ApiCall *call, Str name, Str role, int64_t expires_us, Buf *out, Err *err)
{
    KeyCreate create = { .name = name, .expires_us = expires_us, .principal = call->principal.id };
    Str id, secret;
    TRY(api_role_parse(role, &create.role, err));
    TRY(api_named(govern_key_create(call->lake->govern, &create, call->arena, &id, &secret, err), err,
                  "take another name; `tarn key list` shows those that are there"));
    api_count(call, API_COUNT_mutations, 1);
    JsonWriter w = json_writer(out);
    json_begin_object(&w);
    json_field_str(&w, "id", id);
    json_field_str(&w, "name", name);
    json_field_str(&w, "role", govern_role_name(create.role));
    json_field_str(&w, "key", secret);
    api_time_field(&w, call->arena, "expires", expires_us);
    json_end_object(&w);
    return buf_end(out, "the key", err);
}

Code api_keys(ApiCall *call, Buf *out, Err *err)
{
    MetaKey *keys;
    size_t count;
    TRY(govern_key_list(call->lake->govern, call->arena, &keys, &count, err));
    JsonWriter w = api_items_begin(out);
    for (size_t i = 0; i < count; i++) {
        json_begin_object(&w);
        json_field_str(&w, "id", keys[i].id);
        json_field_str(&w, "name", keys[i].name);
        json_field_str(&w, "role", keys[i].role);
        api_time_field(&w, call->arena, "created", keys[i].created_us);
        api_time_field(&w, call->arena, "expires", keys[i].expires_us);
        api_time_field(&w, call->arena, "revoked", keys[i].revoked_us);
        json_end_object(&w);
    }
    return api_items_end(&w, "the list of keys", err);
}

Code api_key_revoke(ApiCall *call, Str id, Err *err)
{
    if (str_eq(id, call->principal.id))
        return err_hint(err, err_set(err, E_PRECONDITION, "a key cannot revoke itself"),
                        "use another admin key");
    TRY(api_named(govern_key_revoke(call->lake->govern, id, call->principal.id, err), err,
                  "`tarn key list` shows the keys and their ids"));
    api_count(call, API_COUNT_mutations, 1);
    return E_OK;
}
