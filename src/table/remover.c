/* Objects on their way out: sets of their names, and their removal by groups. */
#include "table/reclaim_priv.h"

#include <stdlib.h>
#include <string.h>

static int name_order(const void *a, const void *b)
{
    const Str *left = a, *right = b;
    return str_cmp(*left, *right);
}

void names_add(Arena *arena, Names *names, Str name)
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

void names_sort(Names *names)
{
    size_t count = 0;
    if (names->count)
        qsort(names->items, names->count, sizeof *names->items, name_order);
    for (size_t i = 0; i < names->count; i++)
        if (!count || !str_eq(names->items[count - 1], names->items[i]))
            names->items[count++] = names->items[i];
    names->count = count;
}

const Str *names_find(const Names *names, Str name)
{
    if (!names->count)
        return NULL;
    return bsearch(&name, names->items, names->count, sizeof *names->items, name_order);
}

bool address_is_below(Str address, Str location)
{
    return str_starts(address, location) && address.len > location.len && address.ptr[location.len] == '/';
}

void remover_done(Remover *remover)
{
    arena_done(&remover->arena);
    remover->group = NULL;
    remover->count = 0;
}

Code remover_flush(Remover *r, Err *err)
{
    StoreDeleted deleted[REMOVE_GROUP];
    size_t objects = 0;
    if (!r->count)
        return E_OK;
    TRY(store_delete_many(r->catalog->store, r->group, r->count, deleted, err));
    for (size_t i = 0; i < r->count; i++)
        objects += deleted[i].existed;
    r->objects += objects;
    atomic_fetch_add_explicit(&r->catalog->objects_removed, objects, memory_order_relaxed);
    atomic_fetch_add_explicit(&r->catalog->bytes_removed, r->bytes, memory_order_relaxed);
    remover_done(r);
    r->bytes = 0;
    return E_OK;
}

/* A group names a version once: manifests of several snapshots may name the same file. */
static bool group_has(const Remover *r, Str bucket, Str key)
{
    for (size_t i = 0; i < r->count; i++)
        if (str_eq(r->group[i].key, key) && str_eq(r->group[i].bucket, bucket))
            return true;
    return false;
}

static Code group_add(Remover *r, Str bucket, Str key, uint64_t sequence, uint64_t bytes, Err *err)
{
    if (!r->group)
        r->group = arena_array(&r->arena, StoreDelete, REMOVE_GROUP);
    r->group[r->count++] = (StoreDelete){ .bucket = str_copy(&r->arena, bucket),
                                          .key = str_copy(&r->arena, key),
                                          .sequence = sequence };
    r->bytes += bytes;
    return r->count == REMOVE_GROUP ? remover_flush(r, err) : E_OK;
}

static bool is_ours(const Remover *r, Str address, Str *ret_bucket, Str *ret_key)
{
    return (!r->location.len || address_is_below(address, r->location)) &&
           store_address_parse(address, ret_bucket, ret_key) && !group_has(r, *ret_bucket, *ret_key);
}

Code remover_add(Remover *r, Str address, Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    ObjectInfo info;
    Str bucket, key;
    if (!is_ours(r, address, &bucket, &key))
        return E_OK;
    Code code = store_head(r->catalog->store, bucket, key, &tmp, &info, err);
    if (code == E_NOT_FOUND)
        return E_OK;
    TRY(code);
    return group_add(r, bucket, key, info.sequence, info.size_bytes, err);
}

Code remover_add_version(Remover *r, Str address, uint64_t sequence, uint64_t bytes, Err *err)
{
    Str bucket, key;
    if (!is_ours(r, address, &bucket, &key))
        return E_OK;
    return group_add(r, bucket, key, sequence, bytes, err);
}

CatalogKept catalog_kept(Catalog *catalog)
{
    return (CatalogKept){
        .snapshots_expired = atomic_load_explicit(&catalog->snapshots_expired, memory_order_relaxed),
        .objects_removed = atomic_load_explicit(&catalog->objects_removed, memory_order_relaxed),
        .bytes_removed = atomic_load_explicit(&catalog->bytes_removed, memory_order_relaxed),
        .tables_removed = atomic_load_explicit(&catalog->tables_removed, memory_order_relaxed),
    };
}
