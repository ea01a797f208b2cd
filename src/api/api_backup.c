/* A copy of the lake's files while it is in use (docs/backup.md). Whoever copies asks for a place to copy up to and
 * keeps asking while it copies.
 *
 * Invariants
 * 1. Nothing is removed from the moment before the snapshot of the metadata on, until the hold ends (store/hold.c).
 * 2. The journal is copied up to a place behind the snapshot: whatever the metadata names is in front of it, and no
 *    file of a table was deleted between the two, so it is still there at that place.
 * 3. A snapshot whose hold stands is removed by the end of that one alone: its hold began before its file did.
 * 4. Metrics tell of a backup when whoever made it has verified it, never earlier and never of an older one. */
#include "api/api_priv.h"
#include "store/store_keep.h"

#include <string.h>

enum { SNAPSHOT_TRIES_MAX = 20, CHANGES_MAX = 1000000, CHANGES_PAGE = 1000 };

static const char snapshot_prefix[] = "backup-";
static const Str last_setting = STR_INIT("backup.last");

static const char *snapshot_path(ApiCall *call, Str name)
{
    return str_copy_z(call->arena, str_format(call->arena, "%s/tmp/" STR_FMT, call->lake->data_dir, STR_ARG(name)));
}

static Str snapshot_name(ApiCall *call, uint64_t id)
{
    return str_format(call->arena, "%s%llu.db", snapshot_prefix, (unsigned long long)id);
}

/* "backup-ID.db" and what the database may leave beside it. */
static bool snapshot_id(Str name, uint64_t *ret_id)
{
    if (!str_starts(name, str_z(snapshot_prefix)))
        return false;
    Str rest = str_from(name, strlen(snapshot_prefix)), digits;
    return str_split(&rest, '.', &digits) && str_u64(digits, ret_id);
}

/* Of backups that were given up. */
static Code snapshots_clear(ApiCall *call, Err *err)
{
    OsDirEntry *entries;
    size_t count;
    TRY(os_dir_list(call->lake->os, snapshot_path(call, STR("")), call->arena, &entries, &count, err));
    uint64_t id;
    for (size_t i = 0; i < count; i++)
        if (snapshot_id(entries[i].name, &id) && !store_hold_stands(call->lake->store, id))
            IGNORE(os_unlink(call->lake->os, snapshot_path(call, entries[i].name), NULL)); /* at the latest at start */
    return E_OK;
}

/* Was a file of a table deleted behind `after`? Also when too much happened to tell. */
static Code tables_shrank(ApiCall *call, uint64_t after, uint64_t until, bool *ret_shrank, Err *err)
{
    Arena page AUTO(arena_done) = { 0 };
    StoreChange *changes;
    size_t count = 1;
    *ret_shrank = true;
    if (until - after > CHANGES_MAX)
        return E_OK;
    for (; after < until && count > 0; arena_reset(&page)) {
        Code code = store_feed_read(call->lake->store, after, CHANGES_PAGE, &page, &changes, &count, err);
        if (code == E_GONE)
            return E_OK;
        TRY(code);
        for (size_t i = 0; i < count && changes[i].sequence <= until; i++)
            if (changes[i].kind == CHANGE_DELETE && str_eq(changes[i].bucket, call->lake->lake_bucket))
                return E_OK;
        after = count ? changes[count - 1].sequence : after;
    }
    *ret_shrank = false;
    return E_OK;
}

static Code point_take(ApiCall *call, const char *path, StorePoint *ret_point, Err *err)
{
    ApiLake *lake = call->lake;
    bool shrank = true;
    for (int i = 0; i < SNAPSHOT_TRIES_MAX && shrank; i++) {
        uint64_t before = store_sequence(lake->store);
        Code code = os_unlink(lake->os, path, err);
        if (code != E_OK && code != E_NOT_FOUND)
            return code;
        TRY(meta_backup(lake->meta, path, err));
        TRY(store_point(lake->store, ret_point, err));
        TRY(tables_shrank(call, before, ret_point->sequence, &shrank, err));
    }
    if (!shrank)
        return E_OK;
    return err_hint(err, err_set(err, E_UNAVAILABLE, "files of tables are deleted faster than a snapshot is made"),
                    "try again in a moment");
}

static Code begin_put(ApiCall *call, uint64_t id, const StorePoint *point, Str snapshot, Buf *out, Err *err)
{
    JsonWriter w = json_writer(out);
    json_begin_object(&w);
    json_field_str(&w, "id", str_format(call->arena, "%llu", (unsigned long long)id));
    json_field_u64(&w, "sequence", point->sequence);
    json_key(&w, STR("journal"));
    json_begin_object(&w);
    json_field_u64(&w, "begin", point->begin);
    json_field_u64(&w, "end", point->end);
    json_field_u64(&w, "segment_bytes", point->segment_bytes);
    json_end_object(&w);
    json_field_str(&w, "metadata", str_format(call->arena, "tmp/" STR_FMT, STR_ARG(snapshot)));
    json_field_i64(&w, "hold_s", API_BACKUP_HOLD_S);
    json_end_object(&w);
    return buf_end(out, "the backup", err);
}

Code api_backup_begin(ApiCall *call, Buf *out, Err *err)
{
    Store *store = call->lake->store;
    uint64_t id;
    StorePoint point;
    if (!call->lake->data_dir)
        return err_set(err, E_UNSUPPORTED, "this lake has no directory");
    TRY(snapshots_clear(call, err));
    TRY(store_hold_begin(store, API_BACKUP_HOLD_S, &id, err));
    Str name = snapshot_name(call, id);
    Code code = point_take(call, snapshot_path(call, name), &point, err);
    if (code == E_OK)
        code = api_audit(call, "backup.begin", str_format(call->arena, "%llu", (unsigned long long)id),
                         str_format(call->arena, "{\"sequence\":%llu}", (unsigned long long)point.sequence), err);
    if (code == E_OK)
        code = store_hold_renew(store, id, API_BACKUP_HOLD_S, err);
    if (code == E_OK)
        return begin_put(call, id, &point, name, out, err);
    IGNORE(store_hold_end(store, id, NULL));
    IGNORE(os_unlink(call->lake->os, snapshot_path(call, name), NULL));
    return code;
}

static Code id_parse(Str text, uint64_t *ret_id, Err *err)
{
    return str_u64(text, ret_id) ? E_OK : err_set(err, E_NOT_FOUND, "there is no such backup");
}

Code api_backup_renew(ApiCall *call, Str id, Err *err)
{
    uint64_t number;
    TRY(id_parse(id, &number, err));
    return store_hold_renew(call->lake->store, number, API_BACKUP_HOLD_S, err);
}

/* "SECONDS SEQUENCE" */
static void last_note(ApiLake *lake, Str text)
{
    Str seconds;
    uint64_t at = 0, sequence = 0;
    if (!str_split(&text, ' ', &seconds) || !str_u64(seconds, &at) || !str_u64(text, &sequence))
        return;
    atomic_store(&lake->state->backup_seconds, at);
    atomic_store(&lake->state->backup_sequence, sequence);
}

Code api_backup_load(ApiLake *lake, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    AUTO(meta_read_end) MetaRead *read = NULL;
    MetaSetting setting;
    TRY(meta_read_begin(lake->meta, &read, err));
    Code code = meta_get_setting(read, last_setting, &tmp, &setting, err);
    if (code == E_OK)
        last_note(lake, setting.value);
    return code == E_NOT_FOUND ? E_OK : code;
}

Code api_backup_end(ApiCall *call, Str id, Err *err)
{
    uint64_t number;
    TRY(id_parse(id, &number, err));
    Code code = store_hold_end(call->lake->store, number, err);
    if (call->lake->data_dir)
        IGNORE(os_unlink(call->lake->os, snapshot_path(call, snapshot_name(call, number)), NULL));
    TRY(code);
    api_audit_behind(call, "backup.end", id, STR_NONE);
    return E_OK;
}

Code api_backup_verified(ApiCall *call, Str id, uint64_t sequence, Err *err)
{
    ApiLake *lake = call->lake;
    uint64_t number;
    MetaTxn txn;
    TRY(id_parse(id, &number, err));
    if (sequence > store_sequence(lake->store))
        return err_set(err, E_INVALID, "this lake has no change %llu: the newest is %llu", (unsigned long long)sequence,
                       (unsigned long long)store_sequence(lake->store));
    Str last = str_format(call->arena, "%lld %llu", (long long)(os_now_us(lake->os) / 1000000),
                          (unsigned long long)sequence);
    bool newest = sequence >= atomic_load(&lake->state->backup_sequence);
    meta_txn_init(&txn, call->arena);
    if (newest)
        meta_put_setting(&txn, last_setting, last);
    govern_audit(lake->govern, &txn, call->principal.id, STR("backup.verified"), id, STR("ok"),
                 str_format(call->arena, "{\"sequence\":%llu}", (unsigned long long)sequence));
    api_count(call, API_COUNT_mutations, 1);
    TRY(meta_commit(lake->meta, &txn, err));
    if (newest)
        last_note(lake, last);
    return E_OK;
}
