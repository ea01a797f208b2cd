/* Files that no snapshot reaches any more.
 *
 * Invariants
 *  1. What stays: every file that a snapshot of the table names, as the metadata is now and in each version
 *     of it that somebody in this process holds. Versions are looked at after the table was read: one that
 *     is loaded later has the snapshots of now.
 *  2. Data files go first, then manifests, then the manifest list, then the row that names it: a cut at any
 *     call leaves the row, and what is gone already is passed over the next time.
 *  3. A manifest that a snapshot still names keeps all its files; so only those of the others are looked at.
 *  4. Nothing outside of the table's own location is removed. No other table has files there
 *     (build.c refuses them, meta/ refuses overlapping locations). */
#include "table/catalog_priv.h"
#include "table/table_keep.h"

#include <stdlib.h>
#include <string.h>

typedef struct Names {
    Str *items; /* sorted after names_sort, each once */
    size_t count, cap;
} Names;

typedef struct Reclaim {
    Catalog *catalog;
    Arena *arena;
    const bool *stop;
    TableVersion *now; /* the table as it is */
    Names lists, manifests; /* that are reached */
    ManifestFile *dead_manifests, *live_manifests;
    size_t dead_count, dead_cap, live_count, live_cap;
    Names dead; /* data files of dead manifests */
    size_t objects;
} Reclaim;

static int name_order(const void *a, const void *b)
{
    const Str *left = a, *right = b;
    return str_cmp(*left, *right);
}

static void names_add(Arena *arena, Names *names, Str name)
{
    if (names->count == names->cap) {
        names->cap = names->cap ? 2 * names->cap : 64;
        Str *grown = arena_array(arena, Str, names->cap);
        if (names->count)
            memcpy(grown, names->items, names->count * sizeof *grown);
        names->items = grown;
    }
    names->items[names->count++] = name;
}

static void names_sort(Names *names)
{
    size_t count = 0;
    if (names->count)
        qsort(names->items, names->count, sizeof *names->items, name_order);
    for (size_t i = 0; i < names->count; i++)
        if (!count || !str_eq(names->items[count - 1], names->items[i]))
            names->items[count++] = names->items[i];
    names->count = count;
}

static Str *names_find(const Names *names, Str name)
{
    if (!names->count)
        return NULL;
    return bsearch(&name, names->items, names->count, sizeof *names->items, name_order);
}

static void manifest_add(Arena *arena, ManifestFile **items, size_t *count, size_t *cap,
                         const ManifestFile *file)
{
    if (*count == *cap) {
        *cap = *cap ? 2 * *cap : 64;
        ManifestFile *grown = arena_array(arena, ManifestFile, *cap);
        if (*count)
            memcpy(grown, *items, *count * sizeof *grown);
        *items = grown;
    }
    (*items)[(*count)++] = *file;
}

static int manifest_order(const void *a, const void *b)
{
    const ManifestFile *left = a, *right = b;
    return str_cmp(left->path, right->path);
}

/* Each once: neighbouring snapshots share most of their manifests. */
static size_t manifests_once(ManifestFile *files, size_t count)
{
    size_t kept = 0;
    if (count)
        qsort(files, count, sizeof *files, manifest_order);
    for (size_t i = 0; i < count; i++)
        if (!kept || !str_eq(files[kept - 1].path, files[i].path))
            files[kept++] = files[i];
    return kept;
}

/* ---- what is reached ---- */

static Code reach_snapshot(Reclaim *r, const IceSnapshot *snapshot, Err *err)
{
    ManifestFile *files;
    size_t count;
    if (!snapshot->manifest_list.len)
        return E_OK;
    TRY(catalog_manifests_load(r->catalog, snapshot, r->arena, &files, &count, err));
    names_add(r->arena, &r->lists, snapshot->manifest_list);
    for (size_t i = 0; i < count; i++)
        manifest_add(r->arena, &r->live_manifests, &r->live_count, &r->live_cap, &files[i]);
    return E_OK;
}

static Code reach_version(Reclaim *r, const TableVersion *version, bool now, Err *err)
{
    const TableMetadata *m = version->metadata;
    for (size_t i = 0; m && i < m->snapshot_count && !keep_stops(r->stop); i++) {
        if (!now && table_snapshot(r->now->metadata, m->snapshots[i].id))
            continue;
        Code code = reach_snapshot(r, &m->snapshots[i], err);
        /* An older version may name what went before somebody took it: he cannot read it either. */
        if (code && (now || code != E_NOT_FOUND))
            return code;
    }
    return E_OK;
}

static Code reach(Reclaim *r, Err *err)
{
    TableVersion **held;
    size_t count;
    Code code = reach_version(r, r->now, true, err);
    TRY(code);
    catalog_versions_held(r->catalog, r->now->entry.uuid, r->arena, &held, &count);
    for (size_t i = 0; i < count; i++) {
        if (!code && held[i] != r->now)
            code = reach_version(r, held[i], false, err);
        table_version_free(&held[i]);
    }
    TRY(code);
    r->live_count = manifests_once(r->live_manifests, r->live_count);
    for (size_t i = 0; i < r->live_count; i++)
        names_add(r->arena, &r->manifests, r->live_manifests[i].path);
    names_sort(&r->lists);
    names_sort(&r->manifests);
    return E_OK;
}

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
    ManifestFile *files;
    size_t count;
    if (names_find(&r->lists, list))
        return E_OK; /* a branch was put back on it */
    Code code = catalog_manifests_load(r->catalog, &(IceSnapshot){ .manifest_list = list }, r->arena,
                                       &files, &count, err);
    if (code == E_NOT_FOUND)
        return E_OK;
    TRY(code);
    for (size_t i = 0; i < count; i++)
        if (!names_find(&r->manifests, files[i].path))
            manifest_add(r->arena, &r->dead_manifests, &r->dead_count, &r->dead_cap, &files[i]);
    return E_OK;
}

static Code dead_find(Reclaim *r, const MetaStagedFile *rows, size_t count, Err *err)
{
    for (size_t i = 0; i < count && !keep_stops(r->stop); i++)
        TRY(dead_list(r, rows[i].address, err));
    r->dead_count = manifests_once(r->dead_manifests, r->dead_count);
    for (size_t i = 0; i < r->dead_count && !keep_stops(r->stop); i++)
        TRY(dead_manifest(r, &r->dead_manifests[i], err));
    return E_OK;
}

/* Takes out of `dead` what a manifest that stays names. */
static Code dead_spare(Reclaim *r, Err *err)
{
    names_sort(&r->dead);
    bool *spared = arena_array(r->arena, bool, r->dead.count + 1);
    for (size_t i = 0; i < r->live_count && r->dead.count && !keep_stops(r->stop); i++) {
        Arena AUTO(arena_done) tmp = { 0 };
        ManifestEntry *entries;
        size_t count;
        TRY(catalog_entries_load(r->catalog, r->now->metadata, &r->live_manifests[i], &tmp, &entries,
                                 &count, err));
        for (size_t k = 0; k < count; k++) {
            const Str *hit = names_find(&r->dead, entries[k].file.address);
            if (hit && entries[k].status != ENTRY_DELETED)
                spared[hit - r->dead.items] = true;
        }
    }
    size_t left = 0;
    for (size_t i = 0; i < r->dead.count; i++)
        if (!spared[i])
            r->dead.items[left++] = r->dead.items[i];
    r->dead.count = left;
    return E_OK;
}

/* ---- the end of them ---- */

static Code remove_object(Reclaim *r, Str address, Err *err)
{
    Str bucket, key, location = r->now->metadata->location;
    if (!str_starts(address, location) || address.len <= location.len || address.ptr[location.len] != '/' ||
        !store_address_parse(address, &bucket, &key))
        return E_OK;
    Code code = store_delete(r->catalog->store, bucket, key, err);
    if (code == E_NOT_FOUND)
        return E_OK;
    r->objects += code == E_OK;
    return code;
}

static Code remove_all(Reclaim *r, const MetaStagedFile *rows, size_t count, Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    for (size_t i = 0; i < r->dead.count; i++) {
        if (keep_stops(r->stop))
            return E_OK;
        TRY(remove_object(r, r->dead.items[i], err));
    }
    for (size_t i = 0; i < r->dead_count; i++)
        TRY(remove_object(r, r->dead_manifests[i].path, err));
    MetaTxn txn;
    meta_txn_init(&txn, &tmp);
    meta_txn_set_commit(&txn, os_uuid(r->catalog->os));
    for (size_t i = 0; i < count; i++) {
        if (!names_find(&r->lists, rows[i].address))
            TRY(remove_object(r, rows[i].address, err));
        meta_delete_staged_file(&txn, EXPIRED_RUN, rows[i].address);
    }
    return txn_commit(r->catalog, &txn, err);
}

/* ---- one table ---- */

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

static Code reclaim_table(Reclaim *r, const MetaStagedFile *rows, size_t count, Err *err)
{
    MetaTable row;
    Code code = row_of(r->catalog, rows[0].table_uuid, r->arena, &row, err);
    if (code == E_NOT_FOUND)
        return E_OK;
    TRY(code);
    TRY(catalog_version_of(r->catalog, &row, &r->now, err));
    if (!r->now->metadata || !table_gc_enabled(r->now->metadata))
        return E_OK;
    TRY(reach(r, err));
    TRY(dead_find(r, rows, count, err));
    TRY(dead_spare(r, err));
    if (keep_stops(r->stop)) /* not everything was looked at */
        return E_OK;
    return remove_all(r, rows, count, err);
}

static int row_order(const void *a, const void *b)
{
    const MetaStagedFile *left = a, *right = b;
    return memcmp(left->table_uuid.bytes, right->table_uuid.bytes, sizeof left->table_uuid.bytes);
}

static Code rows_due(Catalog *catalog, int64_t before_us, Arena *arena, MetaStagedFile **ret_rows,
                     size_t *ret_count, Err *err)
{
    MetaRead *AUTO(meta_read_end) read = NULL;
    size_t due = 0;
    TRY(meta_read_begin(catalog->meta, &read, err));
    TRY(meta_list_staged_files(read, EXPIRED_RUN, arena, ret_rows, ret_count, err));
    for (size_t i = 0; i < *ret_count; i++)
        if ((*ret_rows)[i].created_us < before_us)
            (*ret_rows)[due++] = (*ret_rows)[i];
    *ret_count = due;
    if (due)
        qsort(*ret_rows, due, sizeof **ret_rows, row_order);
    return E_OK;
}

Code catalog_reclaim(Catalog *catalog, int64_t before_us, const bool *stop, size_t *ret_objects,
                     Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    MetaStagedFile *rows;
    size_t count, objects = 0, group;
    Code worst = E_OK;
    TRY(rows_due(catalog, before_us, &tmp, &rows, &count, err));
    for (size_t at = 0; at < count && !keep_stops(stop); at += group) {
        Arena AUTO(arena_done) arena = { 0 };
        Reclaim r = { .catalog = catalog, .arena = &arena, .stop = stop };
        for (group = 1; at + group < count && row_order(&rows[at], &rows[at + group]) == 0; group++)
            ;
        Code code = reclaim_table(&r, rows + at, group, err);
        table_version_free(&r.now);
        objects += r.objects;
        if (code)
            worst = err_wrap(err, code, "files of expired snapshots");
    }
    *ret_objects = objects;
    return worst;
}
