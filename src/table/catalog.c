/* Opening, namespaces, loading and the cache of table versions.
 *
 * Invariants
 *  1. A TableVersion never changes; the cache holds one reference to each that it knows.
 *  2. The cache is keyed by metadata location, which is never used twice: what it holds is never
 * stale. Which location a name means is always asked of the metadata database.
 *  3. No lock is held while the store or the database is read. */
#include "format/json.h"
#include "table/catalog_priv.h"

#include <string.h>

Code catalog_open(const CatalogOptions *options, Catalog **ret_catalog, Err *err)
{
    bool exists;
    TRY(store_bucket_exists(options->store, options->lake_bucket, &exists, err));
    if (!exists)
        TRY(store_bucket_create(options->store, options->lake_bucket, err));
    Catalog *catalog = mem_new(sizeof *catalog);
    catalog->os = options->os;
    catalog->store = options->store;
    catalog->meta = options->meta;
    catalog->lake_bucket = str_copy(&catalog->arena, options->lake_bucket);
    catalog->cache_max = options->cache_versions ? options->cache_versions : CACHE_VERSIONS_DEFAULT;
    catalog->cache = arena_array(&catalog->arena, TableVersion *, catalog->cache_max);
    mutex_init(&catalog->cache_mutex);
    mutex_init(&catalog->queue_mutex);
    cond_init(&catalog->queue_changed);
    *ret_catalog = catalog;
    return E_OK;
}

void catalog_free(Catalog **catalog_pointer)
{
    Catalog *catalog = TAKE(*catalog_pointer);
    if (!catalog)
        return;
    for (size_t i = 0; i < catalog->cache_count; i++)
        table_version_free(&catalog->cache[i]);
    ASSERT(!catalog->queues); /* a commit is still running */
    mutex_done(&catalog->cache_mutex);
    mutex_done(&catalog->queue_mutex);
    cond_done(&catalog->queue_changed);
    arena_done(&catalog->arena);
    mem_free(&catalog);
}

/* ---- names ---- */

Code catalog_name_check(Str what, Str name, Err *err)
{
    bool ok = name.len && name.len <= ICE_NAME_MAX && str_is_utf8(name);
    for (size_t i = 0; ok && i < name.len; i++)
        ok = (unsigned char)name.ptr[i] >= 0x20 && name.ptr[i] != 0x7f;
    if (!ok)
        return err_set(err, E_INVALID,
                       STR_FMT " needs a name of 1 to %d bytes of UTF-8 without control characters",
                       STR_ARG(what), ICE_NAME_MAX);
    return E_OK;
}

static Code namespace_name_check(Str ns, Err *err)
{
    static const char *const RESERVED[] = { "system", "temp",       "main",
                                            "memory", "pg_catalog", "information_schema",
                                            "tarn" };
    TRY(catalog_name_check(STR("a namespace"), ns, err));
    for (size_t i = 0; i < ARRAY_LEN(RESERVED); i++)
        if (str_ieq(ns, str_z(RESERVED[i])))
            return err_set(err, E_INVALID, "the name '" STR_FMT "' belongs to the SQL engine",
                           STR_ARG(ns));
    return E_OK;
}

static Str properties_json(Arena *arena, const IceProperty *properties, size_t count)
{
    Buf AUTO(buf_done) json;
    buf_init(&json, METADATA_BYTES_MAX);
    JsonWriter w = json_writer(&json);
    json_begin_object(&w);
    for (size_t i = 0; i < count; i++) {
        json_key(&w, properties[i].key);
        json_put_str(&w, properties[i].value);
    }
    json_end_object(&w);
    return str_copy(arena, buf_str(&json));
}

Code catalog_namespace_create(Catalog *catalog, Str ns, const IceProperty *properties, size_t count,
                              const MetaTxn *extra, Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    MetaTxn txn;
    TRY(namespace_name_check(ns, err));
    meta_txn_init(&txn, &tmp);
    meta_txn_set_commit(&txn, os_uuid(catalog->os));
    meta_add_namespace(
        &txn, &(MetaNamespace){ .name = ns,
                                .properties_json = properties_json(&tmp, properties, count),
                                .created_us = os_now_us(catalog->os) });
    if (extra)
        meta_append(&txn, extra);
    return meta_commit(catalog->meta, &txn, err);
}

static Code nearest_hint(Str wanted, const Str *names, size_t count, Code code, Err *err)
{
    Str nearest = str_nearest(wanted, names, count);
    return nearest.len ? err_hint(err, code, "did you mean '" STR_FMT "'?", STR_ARG(nearest))
                       : code;
}

static Code namespace_missing(MetaRead *read, Str ns, Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    MetaNamespace *rows = NULL;
    size_t count = 0;
    TRY(meta_list_namespaces(read, &tmp, &rows, &count, err));
    Str *names = arena_array(&tmp, Str, count + 1);
    for (size_t i = 0; i < count; i++)
        names[i] = rows[i].name;
    Code code = err_set(err, E_NOT_FOUND, "namespace '" STR_FMT "' does not exist", STR_ARG(ns));
    return nearest_hint(ns, names, count, code, err);
}

Code catalog_namespace_drop(Catalog *catalog, Str ns, const MetaTxn *extra, Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    MetaTxn txn;
    meta_txn_init(&txn, &tmp);
    meta_txn_set_commit(&txn, os_uuid(catalog->os));
    meta_require_namespace_exists(&txn, ns);
    meta_require_namespace_empty(&txn, ns);
    meta_delete_namespace(&txn, ns);
    if (extra)
        meta_append(&txn, extra);
    return meta_commit(catalog->meta, &txn, err);
}

Code catalog_namespace_list(Catalog *catalog, Arena *arena, Str **ret_names, size_t *ret_count,
                            Err *err)
{
    MetaRead *AUTO(meta_read_end) read = NULL;
    MetaNamespace *rows;
    size_t count;
    TRY(meta_read_begin(catalog->meta, &read, err));
    TRY(meta_list_namespaces(read, arena, &rows, &count, err));
    Str *names = arena_array(arena, Str, count + 1);
    for (size_t i = 0; i < count; i++)
        names[i] = rows[i].name;
    *ret_names = names;
    *ret_count = count;
    return E_OK;
}

/* ---- tables ---- */

static TableEntry entry_of(Arena *arena, const MetaTable *row)
{
    Str location = row->location;
    while (str_ends(location, STR("/")))
        location.len--;
    return (TableEntry){ .ns = str_copy(arena, row->namespace_name),
                         .name = str_copy(arena, row->name),
                         .uuid = row->uuid,
                         .is_view = row->kind == META_VIEW,
                         .location = str_copy(arena, location),
                         .metadata_location = str_copy(arena, row->metadata_location),
                         .view_sql =
                             row->kind == META_VIEW ? str_copy(arena, row->view_sql) : STR_NONE,
                         .created_us = row->created_us };
}

Code catalog_table_list(Catalog *catalog, Str ns, Arena *arena, TableEntry **ret_entries,
                        size_t *ret_count, Err *err)
{
    MetaRead *AUTO(meta_read_end) read = NULL;
    MetaTable *rows;
    size_t count;
    TRY(meta_read_begin(catalog->meta, &read, err));
    if (ns.len) {
        MetaNamespace row;
        Code code = meta_get_namespace(read, ns, arena, &row, err);
        if (code)
            return code == E_NOT_FOUND ? namespace_missing(read, ns, err) : code;
    }
    TRY(meta_list_tables(read, ns, arena, &rows, &count, err));
    TableEntry *entries = arena_array(arena, TableEntry, count + 1);
    for (size_t i = 0; i < count; i++)
        entries[i] = entry_of(arena, &rows[i]);
    *ret_entries = entries;
    *ret_count = count;
    return E_OK;
}

static Code table_missing(MetaRead *read, TableName name, Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    MetaNamespace row;
    MetaTable *rows = NULL;
    size_t count = 0;
    Code code = meta_get_namespace(read, name.ns, &tmp, &row, NULL);
    if (code == E_NOT_FOUND)
        return namespace_missing(read, name.ns, err);
    TRY(meta_list_tables(read, STR_NONE, &tmp, &rows, &count, err));
    Str *names = arena_array(&tmp, Str, count + 1);
    for (size_t i = 0; i < count; i++)
        names[i] = str_format(&tmp, STR_FMT "." STR_FMT, STR_ARG(rows[i].namespace_name),
                              STR_ARG(rows[i].name));
    Str wanted = str_format(&tmp, STR_FMT "." STR_FMT, STR_ARG(name.ns), STR_ARG(name.name));
    code = err_set(err, E_NOT_FOUND, "table '" STR_FMT "' does not exist", STR_ARG(wanted));
    return nearest_hint(wanted, names, count, code, err);
}

/* The exact name, else the only one that differs in the case of letters (SQL names ignore it). */
Code catalog_find(MetaRead *read, TableName name, Arena *arena, MetaTable *ret_row, Err *err)
{
    Code code = meta_get_table_named(read, name.ns, name.name, arena, ret_row, err);
    if (code != E_NOT_FOUND)
        return code;
    MetaTable *rows = NULL;
    size_t count = 0, hits = 0;
    TRY(meta_list_tables(read, STR_NONE, arena, &rows, &count, err));
    for (size_t i = 0; i < count; i++)
        if (str_ieq(rows[i].name, name.name) && str_ieq(rows[i].namespace_name, name.ns)) {
            *ret_row = rows[i];
            hits++;
        }
    return hits == 1 ? E_OK : table_missing(read, name, err);
}

TableVersion *table_version_new(Catalog *catalog, const MetaTable *row)
{
    TableVersion *version = mem_new(sizeof *version);
    atomic_init(&version->refs, 1);
    version->catalog = catalog;
    version->entry = entry_of(&version->arena, row);
    MUTEX_HELD(&catalog->cache_mutex);
    version->after = catalog->versions;
    if (version->after)
        version->after->before = version;
    catalog->versions = version;
    return version;
}

TableVersion *table_version_ref(TableVersion *version)
{
    atomic_fetch_add_explicit(&version->refs, 1, memory_order_relaxed);
    return version;
}

void table_version_free(TableVersion **version_pointer)
{
    TableVersion *version = TAKE(*version_pointer);
    if (!version || atomic_fetch_sub_explicit(&version->refs, 1, memory_order_acq_rel) != 1)
        return;
    {
        MUTEX_HELD(&version->catalog->cache_mutex);
        *(version->before ? &version->before->after : &version->catalog->versions) = version->after;
        if (version->after)
            version->after->before = version->before;
    }
    arena_done(&version->arena);
    mem_free(&version);
}

/* A reference more, but for one that is being freed. */
static bool version_hold(TableVersion *version, size_t cached)
{
    size_t refs = atomic_load_explicit(&version->refs, memory_order_acquire);
    while (refs > cached)
        if (atomic_compare_exchange_weak_explicit(&version->refs, &refs, refs + 1, memory_order_acq_rel,
                                                  memory_order_acquire))
            return true;
    return false;
}

void catalog_versions_held(Catalog *catalog, Uuid table, Arena *arena, TableVersion ***ret_versions,
                           size_t *ret_count)
{
    size_t most = 0, count = 0;
    MUTEX_HELD(&catalog->cache_mutex);
    for (TableVersion *version = catalog->versions; version; version = version->after)
        most += uuid_eq(version->entry.uuid, table);
    TableVersion **versions = arena_array(arena, TableVersion *, most + 1);
    for (TableVersion *version = catalog->versions; version; version = version->after) {
        size_t cached = 0;
        for (size_t i = 0; i < catalog->cache_count; i++)
            cached += catalog->cache[i] == version;
        if (uuid_eq(version->entry.uuid, table) && version_hold(version, cached))
            versions[count++] = version;
    }
    *ret_versions = versions;
    *ret_count = count;
}

const TableMetadata *table_version_metadata(const TableVersion *version)
{
    return version->metadata;
}

const TableEntry *table_version_entry(const TableVersion *version)
{
    return &version->entry;
}

/* A renamed table keeps its metadata location, so the name is compared too. */
static TableVersion *cache_get(Catalog *catalog, const MetaTable *row)
{
    MUTEX_HELD(&catalog->cache_mutex);
    for (size_t i = 0; i < catalog->cache_count; i++) {
        TableVersion *version = catalog->cache[i];
        if (!str_eq(version->entry.metadata_location, row->metadata_location) ||
            !str_eq(version->entry.name, row->name) ||
            !str_eq(version->entry.ns, row->namespace_name))
            continue;
        version->used = ++catalog->cache_tick;
        return table_version_ref(version);
    }
    return NULL;
}

/* Where the next version of the table goes: over the one before, which nobody asks for any more; else at the end,
 * or over the one that was used longest ago. */
static size_t cache_place(const Catalog *catalog, Uuid table)
{
    size_t oldest = 0;
    for (size_t i = 0; i < catalog->cache_count; i++) {
        if (uuid_eq(catalog->cache[i]->entry.uuid, table))
            return i;
        oldest = catalog->cache[i]->used < catalog->cache[oldest]->used ? i : oldest;
    }
    return catalog->cache_count < catalog->cache_max ? catalog->cache_count : oldest;
}

/* Takes a reference of its own. Whoever holds the version that makes room keeps it. */
void catalog_cache_put(Catalog *catalog, TableVersion *version)
{
    TableVersion *AUTO(table_version_free) old = NULL;
    MUTEX_HELD(&catalog->cache_mutex);
    size_t at = cache_place(catalog, version->entry.uuid);
    if (at < catalog->cache_count)
        old = catalog->cache[at];
    else
        catalog->cache_count++;
    version->used = ++catalog->cache_tick;
    catalog->cache[at] = table_version_ref(version);
}

Code catalog_version_of(Catalog *catalog, const MetaTable *row, TableVersion **ret_version,
                        Err *err)
{
    if (row->kind == META_VIEW) {
        *ret_version = table_version_new(catalog, row);
        return E_OK;
    }
    TableVersion *cached = cache_get(catalog, row);
    if (cached) {
        *ret_version = cached;
        return E_OK;
    }
    Arena AUTO(arena_done) tmp = { 0 };
    TableVersion *AUTO(table_version_free) version = table_version_new(catalog, row);
    Str json;
    TRY(catalog_object_load(catalog, row->metadata_location, METADATA_BYTES_MAX, &tmp, &json, err));
    Code code = table_metadata_decode(&version->arena, json, &version->metadata, err);
    if (code)
        return err_place(err, code, STR_FMT, STR_ARG(row->metadata_location));
    catalog_cache_put(catalog, version);
    *ret_version = TAKE(version);
    return E_OK;
}

static Code rows_find(Catalog *catalog, const TableName *names, size_t count, Arena *arena,
                      MetaTable *rows, Err *err)
{
    MetaRead *AUTO(meta_read_end) read = NULL;
    TRY(meta_read_begin(catalog->meta, &read, err));
    for (size_t i = 0; i < count; i++)
        TRY(catalog_find(read, names[i], arena, &rows[i], err));
    return E_OK;
}

static Code versions_of(Catalog *catalog, const MetaTable *rows, size_t count,
                        TableVersion **versions, Err *err)
{
    for (size_t i = 0; i < count; i++) {
        Code code = catalog_version_of(catalog, &rows[i], &versions[i], err);
        if (!code)
            continue;
        code = err_wrap(err, code, "table " STR_FMT "." STR_FMT, STR_ARG(rows[i].namespace_name),
                        STR_ARG(rows[i].name));
        while (i--)
            table_version_free(&versions[i]);
        return code;
    }
    return E_OK;
}

Code catalog_resolve(Catalog *catalog, const TableName *names, size_t count,
                     TableVersion **ret_versions, Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    MetaTable *rows = arena_array(&tmp, MetaTable, count + 1);
    TableVersion **versions = arena_array(&tmp, TableVersion *, count + 1);
    /* Between the look-up and the read the table may have moved on so far that the file is gone. */
    for (int attempt = 1;; attempt++) {
        TRY(rows_find(catalog, names, count, &tmp, rows, err));
        Code code = versions_of(catalog, rows, count, versions, err);
        if (!code)
            break;
        if (code != E_NOT_FOUND || attempt == LOAD_ATTEMPTS_MAX)
            return code == E_NOT_FOUND ? err_wrap(err, E_CORRUPT, "metadata is missing") : code;
    }
    memcpy(ret_versions, versions, count * sizeof *versions);
    return E_OK;
}

Code catalog_load(Catalog *catalog, Str ns, Str name, TableVersion **ret_version, Err *err)
{
    TableName wanted = { ns, name };
    return catalog_resolve(catalog, &wanted, 1, ret_version, err);
}
