/* What the snapshots of a table reach.
 *
 * Invariants
 *  1. Versions are looked at after the table was read: one that is loaded later has the snapshots of now.
 *  2. What a snapshot of the table as it is names has to be there; what only an older version or an expired
 *     snapshot names may be gone: whoever holds it cannot read it either. */
#include "table/reclaim_priv.h"

#include <stdlib.h>
#include <string.h>

void manifests_add(Arena *arena, Manifests *manifests, const ManifestFile *file)
{
    if (manifests->count == manifests->cap) {
        manifests->cap = manifests->cap ? 2 * manifests->cap : 64;
        ManifestFile *grown = arena_array(arena, ManifestFile, manifests->cap);
        if (manifests->count)
            memcpy(grown, manifests->items, manifests->count * sizeof *grown);
        manifests->items = grown;
    }
    manifests->items[manifests->count++] = *file;
}

static int manifest_order(const void *a, const void *b)
{
    const ManifestFile *left = a, *right = b;
    return str_cmp(left->path, right->path);
}

void manifests_once(Manifests *manifests)
{
    size_t kept = 0;
    ManifestFile *files = manifests->items;
    if (manifests->count)
        qsort(files, manifests->count, sizeof *files, manifest_order);
    for (size_t i = 0; i < manifests->count; i++)
        if (!kept || !str_eq(files[kept - 1].path, files[i].path))
            files[kept++] = files[i];
    manifests->count = kept;
}

Code manifests_add_list(Catalog *catalog, Str list, Arena *arena, Manifests *manifests, Err *err)
{
    ManifestFile *files;
    size_t count;
    TRY(catalog_manifests_load(catalog, &(IceSnapshot){ .manifest_list = list }, arena, &files, &count, err));
    for (size_t i = 0; i < count; i++)
        manifests_add(arena, manifests, &files[i]);
    return E_OK;
}

static Code reach_list(Catalog *catalog, Str list, bool now, Arena *arena, Reached *reached, Err *err)
{
    if (!list.len)
        return E_OK;
    Code code = manifests_add_list(catalog, list, arena, &reached->manifests, err);
    if (code == E_NOT_FOUND && !now)
        return E_OK; /* invariant 2 */
    TRY(code);
    names_add(arena, &reached->lists, list);
    return E_OK;
}

static Code reach_version(const TableVersion *now, const TableVersion *version, const bool *stop, Arena *arena,
                          Reached *reached, Err *err)
{
    const TableMetadata *m = version->metadata;
    for (size_t i = 0; m && i < m->snapshot_count && !keep_stops(stop); i++)
        if (version == now || !table_snapshot(now->metadata, m->snapshots[i].id))
            TRY(reach_list(now->catalog, m->snapshots[i].manifest_list, version == now, arena, reached, err));
    return E_OK;
}

Code reached_find(TableVersion *now, const Names *more, const bool *stop, Arena *arena, Reached *ret_reached,
                  Err *err)
{
    Reached reached = { 0 };
    TableVersion **held;
    size_t count;
    TRY(reach_version(now, now, stop, arena, &reached, err));
    Code code = E_OK;
    catalog_versions_held(now->catalog, now->entry.uuid, arena, &held, &count);
    for (size_t i = 0; i < count; i++) {
        if (!code && held[i] != now)
            code = reach_version(now, held[i], stop, arena, &reached, err);
        table_version_free(&held[i]);
    }
    for (size_t i = 0; more && !code && i < more->count && !keep_stops(stop); i++)
        code = reach_list(now->catalog, more->items[i], false, arena, &reached, err);
    TRY(code);
    manifests_once(&reached.manifests);
    for (size_t i = 0; i < reached.manifests.count; i++)
        names_add(arena, &reached.paths, reached.manifests.items[i].path);
    names_sort(&reached.lists);
    names_sort(&reached.paths);
    *ret_reached = reached;
    return E_OK;
}

Code reached_spare(const TableVersion *now, const Reached *reached, const Names *names, const bool *stop,
                   bool *spared, Err *err)
{
    for (size_t i = 0; i < reached->manifests.count && names->count && !keep_stops(stop); i++) {
        Arena AUTO(arena_done) tmp = { 0 };
        ManifestEntry *entries;
        size_t count;
        TRY(catalog_entries_load(now->catalog, now->metadata, &reached->manifests.items[i], &tmp, &entries,
                                 &count, err));
        for (size_t k = 0; k < count; k++) {
            const Str *hit = names_find(names, entries[k].file.address);
            if (hit && entries[k].status != ENTRY_DELETED)
                spared[hit - names->items] = true;
        }
    }
    return E_OK;
}
