/* Files below a table's location that nothing names: of snapshots that were forgotten without a row, of
 * metadata files whose removal was cut off, of programs that write there without committing.
 *
 * Invariants
 *  1. A file is an orphan when one look at the metadata database, taken after the file was seen, knows it
 *     neither as an intent nor through the table's metadata, and no version that somebody in this process holds
 *     reaches it. A commit names new files only, and each new file had an intent before it existed: an orphan
 *     stays one.
 *  2. Only what tarn wrote goes, after the time that intents have; what others wrote goes when the table has
 *     tarn.orphans-age-ms, after that time: their writers keep no intents.
 *  3. What expired snapshots reach is reclaim.c's; a table with gc.enabled = false keeps everything.
 *  4. A file goes as the version that was seen. */
#include "table/reclaim_priv.h"

#include <string.h>

enum { ORPHANS_GROUP = 100000 }; /* files below a location that are compared at a time */

typedef struct Orphans {
    Catalog *catalog;
    Arena *arena; /* of a group */
    const bool *stop;
    TableVersion *now;
    int64_t ours_before_us, others_before_us;
    Names names; /* addresses in the order of the listing, which is theirs */
    uint64_t *sequences, *bytes;
    bool *spared;
} Orphans;

/* ---- what is there ---- */

static void candidate_add(Orphans *o, Str bucket, const ObjectInfo *info)
{
    bool ours = info->trust == TRUST_OURS;
    if (info->modified_us >= (ours ? o->ours_before_us : o->others_before_us))
        return;
    o->sequences[o->names.count] = info->sequence;
    o->bytes[o->names.count] = info->size_bytes;
    names_add(o->arena, &o->names,
              str_format(o->arena, "s3://" STR_FMT "/" STR_FMT, STR_ARG(bucket), STR_ARG(info->key)));
}

/* `from` is where the group begins, and then where the next one does; empty: there is none. */
static Code candidates_list(Orphans *o, Str prefix, Buf *from, Err *err)
{
    StoreListPage page = { 0 };
    Str bucket, key;
    size_t room = ORPHANS_GROUP + STORE_LIST_MAX;
    o->sequences = arena_array(o->arena, uint64_t, room);
    o->bytes = arena_array(o->arena, uint64_t, room);
    o->spared = arena_array(o->arena, bool, room);
    if (!store_address_parse(prefix, &bucket, &key))
        return err_set(err, E_CORRUPT, "'" STR_FMT "' is no location of a table", STR_ARG(prefix));
    do {
        Arena AUTO(arena_done) tmp = { 0 };
        StoreListQuery query = { .bucket = bucket, .prefix = key, .start_after = buf_str(from) };
        TRY(store_list(o->catalog->store, &query, &tmp, &page, err));
        for (size_t i = 0; i < page.object_count; i++)
            candidate_add(o, bucket, &page.objects[i]);
        buf_clear(from);
        if (page.truncated)
            buf_put(from, page.next);
    } while (page.truncated && o->names.count < ORPHANS_GROUP && !keep_stops(o->stop));
    return E_OK;
}

/* ---- what names it ---- */

static void spare(Orphans *o, Str address)
{
    const Str *hit = names_find(&o->names, address);
    if (hit)
        o->spared[hit - o->names.items] = true;
}

/* Statistics files and the like stand in members that tarn does not interpret. */
static void spare_extras(Orphans *o, const TableMetadata *m)
{
    for (size_t i = 0; m->extra_count && i < o->names.count; i++) {
        Str address = o->names.items[i];
        Str name = str_from(address, (size_t)(str_rfind_char(address, '/') + 1));
        for (size_t k = 0; k < m->extra_count; k++)
            o->spared[i] |= str_find(m->extras[k].json, name) >= 0;
    }
}

static Code spare_reached(Orphans *o, const Names *expired, Err *err)
{
    Reached reached;
    const TableMetadata *m = o->now->metadata;
    TRY(reached_find(o->now, expired, o->stop, o->arena, &reached, err));
    for (size_t i = 0; i < reached.lists.count; i++)
        spare(o, reached.lists.items[i]);
    for (size_t i = 0; i < reached.paths.count; i++)
        spare(o, reached.paths.items[i]);
    spare(o, o->now->entry.metadata_location);
    for (size_t i = 0; i < m->metadata_log_count; i++)
        spare(o, m->metadata_log[i].location);
    spare_extras(o, m);
    return reached_spare(o->now, &reached, &o->names, o->stop, o->spared, err);
}

/* The table and all intents, at one moment. NOT_FOUND: it was dropped. */
static Code look(Orphans *o, Uuid table, MetaTable *ret_row, Names *expired, Err *err)
{
    MetaRead *AUTO(meta_read_end) read = NULL;
    MetaStagedFile *rows;
    size_t count;
    TRY(meta_read_begin(o->catalog->meta, &read, err));
    TRY(meta_get_table(read, table, o->arena, ret_row, err));
    TRY(meta_list_staged_before(read, INT64_MAX, o->arena, &rows, &count, err));
    for (size_t i = 0; i < count; i++) {
        spare(o, rows[i].address);
        if (uuid_eq(rows[i].table_uuid, table) && str_eq(rows[i].run_id, EXPIRED_RUN))
            names_add(o->arena, expired, rows[i].address);
    }
    return E_OK;
}

static Code orphans_remove(Orphans *o, Remover *remover, Err *err)
{
    for (size_t i = 0; i < o->names.count && !keep_stops(o->stop); i++)
        if (!o->spared[i])
            TRY(remover_add_version(remover, o->names.items[i], o->sequences[i], o->bytes[i], err));
    return remover_flush(remover, err);
}

/* ---- one table ---- */

/* With the candidates of a group; `now` is loaded again for each, behind its candidates. */
static Code group_remove(Orphans *o, Uuid table, Remover *remover, Err *err)
{
    MetaTable row;
    Names expired = { 0 };
    Code code = look(o, table, &row, &expired, err);
    if (code == E_NOT_FOUND)
        return E_OK; /* dropped.c has its files */
    TRY(code);
    TRY(catalog_version_of(o->catalog, &row, &o->now, err));
    if (!table_gc_enabled(o->now->metadata))
        return E_OK;
    TRY(spare_reached(o, &expired, err));
    if (keep_stops(o->stop)) /* not everything was looked at */
        return E_OK;
    return orphans_remove(o, remover, err);
}

static int64_t others_before(const TableMetadata *m, int64_t now_us)
{
    int64_t age_ms = table_orphans_age_ms(m);
    return age_ms < 0 || age_ms > now_us / 1000 ? INT64_MIN : now_us - age_ms * 1000;
}

static Code table_orphans(Catalog *catalog, const TableEntry *entry, int64_t before_us, const bool *stop,
                          size_t *objects, Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    TableVersion *AUTO(table_version_free) first = NULL;
    Buf from AUTO(buf_done);
    buf_init(&from, STORE_KEY_MAX + 1);
    Code code = catalog_load(catalog, entry->ns, entry->name, &first, err);
    if (code == E_NOT_FOUND)
        return E_OK; /* dropped meanwhile */
    TRY(code);
    if (!first->metadata || !table_gc_enabled(first->metadata))
        return E_OK;
    Str location = first->metadata->location;
    Str prefix = str_format(&tmp, STR_FMT "/", STR_ARG(location));
    Remover remover AUTO(remover_done) = { .catalog = catalog, .location = location };
    do {
        Arena AUTO(arena_done) arena = { 0 };
        Orphans o = { .catalog = catalog, .arena = &arena, .stop = stop, .ours_before_us = before_us,
                      .others_before_us = others_before(first->metadata, os_now_us(catalog->os)) };
        code = candidates_list(&o, prefix, &from, err);
        if (!code && o.names.count)
            code = group_remove(&o, first->entry.uuid, &remover, err);
        table_version_free(&o.now);
        if (code)
            break;
    } while (buf_str(&from).len && !keep_stops(stop));
    *objects += remover.objects;
    return code;
}

Code catalog_reclaim_orphans(Catalog *catalog, int64_t before_us, const bool *stop, size_t *ret_objects, Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    TableEntry *entries;
    size_t count, objects = 0;
    Code worst = E_OK;
    TRY(catalog_table_list(catalog, STR_NONE, &tmp, &entries, &count, err));
    for (size_t i = 0; i < count && !keep_stops(stop); i++) {
        Code code = entries[i].is_view ? E_OK
                                       : table_orphans(catalog, &entries[i], before_us, stop, &objects, err);
        if (code)
            worst = err_wrap(err, code, "files below table " STR_FMT "." STR_FMT, STR_ARG(entries[i].ns),
                             STR_ARG(entries[i].name));
    }
    *ret_objects = objects;
    return worst;
}
