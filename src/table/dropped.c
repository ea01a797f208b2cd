/* Tables that were dropped: from the trash to the end of their files.
 *
 * Invariants
 *  1. A dropped table is in the trash (its row has dropped_us) until its time is over. Then one transaction forgets
 *     it and writes a row of staged_files under DROPPED_RUN, which names its metadata file: from there on nothing
 *     brings it back, and only this file removes what is left of it.
 *  2. The data files of its manifests go first, then the manifests, then the lists, then what tarn wrote below
 *     its location and nothing names, then metadata.json, then the row: a cut at any call leaves the row, and what
 *     is gone already is passed over the next time.
 *  3. A table of which somebody in this process holds a version stays in the trash, and so does one with
 *     gc.enabled = false.
 *  4. What tarn did not write stays, unless a snapshot names it or tarn.orphans-age-ms asks for its removal.
 *     Intents are the sweep's, nothing outside of the table's location is touched, and no other table has
 *     files there (build.c: owner_check). */
#include "table/reclaim_priv.h"

#include <string.h>

typedef struct Dropped {
    Catalog *catalog;
    Arena *arena;
    const bool *stop;
    const MetaStagedFile *row; /* under DROPPED_RUN */
    Str location;
    TableMetadata *metadata; /* NULL: its file is gone already */
    Names lists, intents;
    Manifests manifests;
    Remover remover;
} Dropped;

Str dropped_location(Str metadata_location)
{
    ptrdiff_t at = str_rfind_char(metadata_location, '/');
    at = at > 0 ? str_rfind_char(str_sub(metadata_location, 0, (size_t)at), '/') : at;
    return at > 0 ? str_sub(metadata_location, 0, (size_t)at) : STR("");
}

/* ---- what it consists of ---- */

static Code metadata_find(Dropped *d, Err *err)
{
    Str json, address = d->row->address;
    d->location = dropped_location(address);
    if (!d->location.len)
        return err_set(err, E_CORRUPT, "'" STR_FMT "' is no metadata file of a table", STR_ARG(address));
    Code code = catalog_object_load(d->catalog, address, METADATA_BYTES_MAX, d->arena, &json, err);
    if (code == E_NOT_FOUND)
        return E_OK;
    TRY(code);
    TRY(table_metadata_decode(d->arena, json, &d->metadata, err));
    if (!str_eq(d->metadata->location, d->location))
        return err_set(err, E_CORRUPT, "'" STR_FMT "' is of a table at '" STR_FMT "'", STR_ARG(address),
                       STR_ARG(d->metadata->location));
    return E_OK;
}

static Code rows_find(Dropped *d, Err *err)
{
    MetaRead *AUTO(meta_read_end) read = NULL;
    MetaStagedFile *rows;
    size_t count;
    TRY(meta_read_begin(d->catalog->meta, &read, err));
    TRY(meta_list_staged_before(read, INT64_MAX, d->arena, &rows, &count, err));
    for (size_t i = 0; i < count; i++) {
        if (!uuid_eq(rows[i].table_uuid, d->row->table_uuid) || str_eq(rows[i].run_id, DROPPED_RUN))
            continue;
        names_add(d->arena, str_eq(rows[i].run_id, EXPIRED_RUN) ? &d->lists : &d->intents, rows[i].address);
    }
    return E_OK;
}

static Code parts_find(Dropped *d, Err *err)
{
    TRY(metadata_find(d, err));
    TRY(rows_find(d, err));
    for (size_t i = 0; d->metadata && i < d->metadata->snapshot_count; i++)
        if (d->metadata->snapshots[i].manifest_list.len)
            names_add(d->arena, &d->lists, d->metadata->snapshots[i].manifest_list);
    names_sort(&d->lists);
    names_sort(&d->intents);
    for (size_t i = 0; d->metadata && i < d->lists.count && !keep_stops(d->stop); i++) {
        Code code = manifests_add_list(d->catalog, d->lists.items[i], d->arena, &d->manifests, err);
        if (code != E_NOT_FOUND)
            TRY(code);
    }
    manifests_once(&d->manifests);
    return E_OK;
}

/* ---- their end ---- */

static Code files_remove(Dropped *d, Err *err)
{
    for (size_t i = 0; i < d->manifests.count && !keep_stops(d->stop); i++) {
        Arena AUTO(arena_done) tmp = { 0 };
        ManifestEntry *entries;
        size_t count;
        Code code = catalog_entries_load(d->catalog, d->metadata, &d->manifests.items[i], &tmp, &entries, &count, err);
        if (code == E_NOT_FOUND)
            continue; /* its files went before it */
        TRY(code);
        for (size_t k = 0; k < count && !keep_stops(d->stop); k++)
            TRY(remover_add(&d->remover, entries[k].file.address, err));
    }
    return remover_flush(&d->remover, err);
}

static Code manifests_remove(Dropped *d, Err *err)
{
    for (size_t i = 0; i < d->manifests.count; i++)
        TRY(remover_add(&d->remover, d->manifests.items[i].path, err));
    TRY(remover_flush(&d->remover, err));
    for (size_t i = 0; i < d->lists.count; i++)
        TRY(remover_add(&d->remover, d->lists.items[i], err));
    return remover_flush(&d->remover, err);
}

static bool is_left(const Dropped *d, const ObjectInfo *info, Str address)
{
    bool asked = d->metadata && table_orphans_age_ms(d->metadata) >= 0;
    return (info->trust == TRUST_OURS || asked) && !str_eq(address, d->row->address) &&
           !names_find(&d->intents, address);
}

static Code rest_remove(Dropped *d, Err *err)
{
    StoreListPage page = { 0 };
    Str bucket, key, from = STR("");
    Str prefix = str_format(d->arena, STR_FMT "/", STR_ARG(d->location));
    if (!store_address_parse(prefix, &bucket, &key))
        return E_OK;
    do {
        Arena AUTO(arena_done) tmp = { 0 };
        StoreListQuery query = { .bucket = bucket, .prefix = key, .start_after = from };
        TRY(store_list(d->catalog->store, &query, &tmp, &page, err));
        for (size_t i = 0; i < page.object_count && !keep_stops(d->stop); i++) {
            const ObjectInfo *info = &page.objects[i];
            Str address = str_format(&tmp, "s3://" STR_FMT "/" STR_FMT, STR_ARG(bucket), STR_ARG(info->key));
            if (is_left(d, info, address))
                TRY(remover_add_version(&d->remover, address, info->sequence, info->size_bytes, err));
        }
        from = str_copy(d->arena, page.next);
    } while (page.truncated && !keep_stops(d->stop));
    return remover_flush(&d->remover, err);
}

static Code rows_remove(Dropped *d, Err *err)
{
    TRY(remover_add(&d->remover, d->row->address, err));
    TRY(remover_flush(&d->remover, err));
    for (size_t at = 0; at <= d->lists.count; at += SWEEP_GROUP) {
        Arena AUTO(arena_done) tmp = { 0 };
        MetaTxn txn;
        meta_txn_init(&txn, &tmp);
        meta_txn_set_commit(&txn, os_uuid(d->catalog->os));
        for (size_t i = at; i < MIN(d->lists.count, at + SWEEP_GROUP); i++)
            meta_delete_staged_file(&txn, EXPIRED_RUN, d->lists.items[i]);
        if (at + SWEEP_GROUP > d->lists.count)
            meta_delete_staged_file(&txn, DROPPED_RUN, d->row->address);
        TRY(txn_commit(d->catalog, &txn, err));
    }
    atomic_fetch_add_explicit(&d->catalog->tables_removed, 1, memory_order_relaxed);
    return E_OK;
}

static Code dropped_remove(Dropped *d, Err *err)
{
    TRY(parts_find(d, err));
    d->remover.location = d->location;
    if (keep_stops(d->stop)) /* not everything was found */
        return E_OK;
    TRY(files_remove(d, err));
    if (keep_stops(d->stop))
        return E_OK;
    TRY(manifests_remove(d, err));
    TRY(rest_remove(d, err));
    return keep_stops(d->stop) ? E_OK : rows_remove(d, err);
}

/* ---- out of the trash ---- */

static bool is_held(Catalog *catalog, Uuid table)
{
    Arena AUTO(arena_done) tmp = { 0 };
    TableVersion **held;
    size_t count;
    catalog_versions_held(catalog, table, &tmp, &held, &count);
    for (size_t i = 0; i < count; i++)
        table_version_free(&held[i]);
    return count > 0;
}

/* Metadata that is gone forbids nothing. */
static Code may_go(Catalog *catalog, const MetaTable *row, bool *ret_may, Err *err)
{
    TableVersion *AUTO(table_version_free) version = NULL;
    *ret_may = !is_held(catalog, row->uuid);
    if (row->kind == META_VIEW || !*ret_may)
        return E_OK;
    Code code = catalog_version_of(catalog, row, &version, err);
    if (code == E_OK)
        *ret_may = table_gc_enabled(version->metadata);
    return code == E_NOT_FOUND ? E_OK : code;
}

static Code trash_leave(Catalog *catalog, const MetaTable *row, Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    MetaTxn txn;
    bool may;
    TRY(may_go(catalog, row, &may, err));
    if (!may)
        return E_OK;
    meta_txn_init(&txn, &tmp);
    meta_txn_set_commit(&txn, os_uuid(catalog->os));
    meta_delete_table(&txn, row->uuid); /* NOT_FOUND: it was brought back */
    if (row->kind != META_VIEW)
        meta_add_staged_file(&txn, &(MetaStagedFile){ .run_id = DROPPED_RUN,
                                                      .address = row->metadata_location,
                                                      .table_uuid = row->uuid,
                                                      .created_us = os_now_us(catalog->os) });
    Code code = txn_commit(catalog, &txn, err);
    return code == E_NOT_FOUND ? E_OK : code;
}

static Code trash_empty(Catalog *catalog, int64_t before_us, const bool *stop, Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    MetaTable *rows;
    size_t count;
    Code worst = E_OK;
    {
        MetaRead *AUTO(meta_read_end) read = NULL;
        TRY(meta_read_begin(catalog->meta, &read, err));
        TRY(meta_list_dropped_tables(read, &tmp, &rows, &count, err));
    }
    for (size_t i = 0; i < count && rows[i].dropped_us < before_us && !keep_stops(stop); i++) {
        Code code = trash_leave(catalog, &rows[i], err);
        if (code)
            worst = err_wrap(err, code, "dropped table " STR_FMT "." STR_FMT, STR_ARG(rows[i].namespace_name),
                             STR_ARG(rows[i].name));
    }
    return worst;
}

Code catalog_reclaim_dropped(Catalog *catalog, int64_t before_us, const bool *stop, size_t *ret_objects, Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    MetaStagedFile *rows;
    size_t count, objects = 0;
    Code worst = trash_empty(catalog, before_us, stop, err);
    {
        MetaRead *AUTO(meta_read_end) read = NULL;
        TRY(meta_read_begin(catalog->meta, &read, err));
        TRY(meta_list_staged_files(read, DROPPED_RUN, &tmp, &rows, &count, err));
    }
    for (size_t i = 0; i < count && !keep_stops(stop); i++) {
        Arena AUTO(arena_done) arena = { 0 };
        Dropped d = { .catalog = catalog, .arena = &arena, .stop = stop, .row = &rows[i],
                      .remover = { .catalog = catalog } };
        Code code = dropped_remove(&d, err);
        objects += d.remover.objects;
        remover_done(&d.remover);
        if (code)
            worst = err_wrap(err, code, "files of a dropped table at " STR_FMT, STR_ARG(rows[i].address));
    }
    *ret_objects = objects;
    return worst;
}
