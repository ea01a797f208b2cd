/* Files that no snapshot reaches any more.
 *
 * Invariants
 *  1. What stays: every file that a snapshot of the table names, as the metadata is now and in each version
 *     of it that somebody in this process holds (reached.c), or a snapshot that expired too short a time ago.
 *  2. Data files go first, then manifests, then the manifest list, then the row that names it: a cut at any
 *     call leaves the row, and what is gone already is passed over the next time.
 *  3. A manifest that a snapshot still names keeps all its files; so only those of the others are looked at.
 *  4. Nothing outside of the table's own location is removed. No other table has files there
 *     (build.c refuses them, meta/ refuses overlapping locations). */
#include "table/reclaim_priv.h"

#include <stdlib.h>
#include <string.h>

typedef struct Reclaim {
    Catalog *catalog;
    Arena *arena;
    const bool *stop;
    TableVersion *now; /* the table as it is */
    Reached reached;
    Manifests dead_manifests;
    Names dead; /* data files of dead manifests */
    size_t objects;
} Reclaim;

/* ---- what is dead ---- */

/* The files that a manifest names, also those that it tells to be removed. */
static Code dead_manifest(Reclaim *r, const ManifestFile *file, Err *err)
{
    ManifestEntry *entries;
    size_t count;
    Code code = catalog_entries_load(r->catalog, r->now->metadata, file, r->arena, &entries, &count, err);
    if (code == E_NOT_FOUND)
        return E_OK; /* its files went before it: invariant 2 */
    TRY(code);
    for (size_t i = 0; i < count; i++)
        names_add(r->arena, &r->dead, entries[i].file.address);
    return E_OK;
}

static Code dead_list(Reclaim *r, Str list, Err *err)
{
    Manifests named = { 0 };
    if (names_find(&r->reached.lists, list))
        return E_OK; /* a branch was put back on it */
    Code code = manifests_add_list(r->catalog, list, r->arena, &named, err);
    if (code == E_NOT_FOUND)
        return E_OK;
    TRY(code);
    for (size_t i = 0; i < named.count; i++)
        if (!names_find(&r->reached.paths, named.items[i].path))
            manifests_add(r->arena, &r->dead_manifests, &named.items[i]);
    return E_OK;
}

static Code dead_find(Reclaim *r, const MetaStagedFile *rows, size_t count, Err *err)
{
    for (size_t i = 0; i < count && !keep_stops(r->stop); i++)
        TRY(dead_list(r, rows[i].address, err));
    manifests_once(&r->dead_manifests);
    for (size_t i = 0; i < r->dead_manifests.count && !keep_stops(r->stop); i++)
        TRY(dead_manifest(r, &r->dead_manifests.items[i], err));
    return E_OK;
}

/* Takes out of `dead` what a manifest that stays names. */
static Code dead_spare(Reclaim *r, Err *err)
{
    names_sort(&r->dead);
    bool *spared = arena_array(r->arena, bool, r->dead.count + 1);
    TRY(reached_spare(r->now, &r->reached, &r->dead, r->stop, spared, err));
    size_t left = 0;
    for (size_t i = 0; i < r->dead.count; i++)
        if (!spared[i])
            r->dead.items[left++] = r->dead.items[i];
    r->dead.count = left;
    return E_OK;
}

/* ---- the end of them ---- */

static Code remove_files(Reclaim *r, const MetaStagedFile *rows, size_t count, Remover *remover, Err *err)
{
    for (size_t i = 0; i < r->dead.count && !keep_stops(r->stop); i++)
        TRY(remover_add(remover, r->dead.items[i], err));
    TRY(remover_flush(remover, err));
    if (keep_stops(r->stop))
        return E_OK;
    for (size_t i = 0; i < r->dead_manifests.count; i++)
        TRY(remover_add(remover, r->dead_manifests.items[i].path, err));
    TRY(remover_flush(remover, err));
    for (size_t i = 0; i < count; i++)
        if (!names_find(&r->reached.lists, rows[i].address))
            TRY(remover_add(remover, rows[i].address, err));
    return remover_flush(remover, err);
}

static Code remove_all(Reclaim *r, const MetaStagedFile *rows, size_t count, Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    Remover remover AUTO(remover_done) = { .catalog = r->catalog, .location = r->now->metadata->location };
    Code code = remove_files(r, rows, count, &remover, err);
    r->objects = remover.objects;
    TRY(code);
    if (keep_stops(r->stop))
        return E_OK;
    MetaTxn txn;
    meta_txn_init(&txn, &tmp);
    meta_txn_set_commit(&txn, os_uuid(r->catalog->os));
    for (size_t i = 0; i < count; i++)
        meta_delete_staged_file(&txn, EXPIRED_RUN, rows[i].address);
    return txn_commit(r->catalog, &txn, err);
}

/* ---- one table ---- */

enum { RECLAIM_ROWS_MAX = 10000 }; /* snapshots of one transaction */

/* Also one that was dropped: it may come back. NOT_FOUND: it is forgotten altogether. */
static Code row_of(Catalog *catalog, Uuid table, Arena *arena, MetaTable *ret_row, Err *err)
{
    MetaRead *AUTO(meta_read_end) read = NULL;
    MetaTable *rows;
    size_t count;
    TRY(meta_read_begin(catalog->meta, &read, err));
    Code code = meta_get_table(read, table, arena, ret_row, err);
    if (code != E_NOT_FOUND)
        return code;
    TRY(meta_list_dropped_tables(read, arena, &rows, &count, err));
    for (size_t i = 0; i < count; i++)
        if (uuid_eq(rows[i].uuid, table)) {
            *ret_row = rows[i];
            return E_OK;
        }
    return code;
}

/* `rows` of one table in the order of time; the first `due` of them are to go. */
static Code reclaim_table(Reclaim *r, const MetaStagedFile *rows, size_t due, size_t count, Err *err)
{
    MetaTable row;
    Names young = { 0 };
    Code code = row_of(r->catalog, rows[0].table_uuid, r->arena, &row, err);
    if (code == E_NOT_FOUND)
        return E_OK;
    TRY(code);
    TRY(catalog_version_of(r->catalog, &row, &r->now, err));
    if (!r->now->metadata || !table_gc_enabled(r->now->metadata))
        return E_OK;
    for (size_t i = due; i < count; i++)
        names_add(r->arena, &young, rows[i].address);
    TRY(reached_find(r->now, &young, r->stop, r->arena, &r->reached, err));
    TRY(dead_find(r, rows, due, err));
    TRY(dead_spare(r, err));
    if (keep_stops(r->stop)) /* not everything was looked at */
        return E_OK;
    return remove_all(r, rows, due, err);
}

static int row_order(const void *a, const void *b)
{
    const MetaStagedFile *left = a, *right = b;
    int order = memcmp(left->table_uuid.bytes, right->table_uuid.bytes, sizeof left->table_uuid.bytes);
    if (order)
        return order;
    return left->created_us < right->created_us ? -1 : left->created_us > right->created_us;
}

static Code rows_load(Catalog *catalog, Arena *arena, MetaStagedFile **ret_rows, size_t *ret_count, Err *err)
{
    MetaRead *AUTO(meta_read_end) read = NULL;
    TRY(meta_read_begin(catalog->meta, &read, err));
    TRY(meta_list_staged_files(read, EXPIRED_RUN, arena, ret_rows, ret_count, err));
    if (*ret_count)
        qsort(*ret_rows, *ret_count, sizeof **ret_rows, row_order);
    return E_OK;
}

Code catalog_reclaim(Catalog *catalog, int64_t before_us, const bool *stop, size_t *ret_objects,
                     Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    MetaStagedFile *rows;
    size_t count, objects = 0, group, due;
    Code worst = E_OK;
    TRY(rows_load(catalog, &tmp, &rows, &count, err));
    for (size_t at = 0; at < count && !keep_stops(stop); at += group) {
        for (group = due = 0; at + group < count && uuid_eq(rows[at].table_uuid, rows[at + group].table_uuid); group++)
            due += rows[at + group].created_us < before_us && due < RECLAIM_ROWS_MAX;
        if (!due)
            continue;
        Arena AUTO(arena_done) arena = { 0 };
        Reclaim r = { .catalog = catalog, .arena = &arena, .stop = stop };
        Code code = reclaim_table(&r, rows + at, due, group, err);
        table_version_free(&r.now);
        objects += r.objects;
        if (code)
            worst = err_wrap(err, code, "files of expired snapshots");
    }
    *ret_objects = objects;
    return worst;
}
