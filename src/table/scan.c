/* Planning: snapshot to manifests to files. */
#include "table/catalog_priv.h"
#include "table/prune_priv.h"

#include <stdlib.h>
#include <string.h>

static Code snapshot_missing(const TableVersion *version, Str what, Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    const TableMetadata *m = version->metadata;
    Str *names = arena_array(&tmp, Str, m->ref_count + 1);
    for (size_t i = 0; i < m->ref_count; i++)
        names[i] = m->refs[i].name;
    Code code =
        err_set(err, E_NOT_FOUND,
                "table " STR_FMT "." STR_FMT " has no snapshot, branch or tag '" STR_FMT "'",
                STR_ARG(version->entry.ns), STR_ARG(version->entry.name), STR_ARG(what));
    Str nearest = str_nearest(what, names, m->ref_count);
    return nearest.len ? err_hint(err, code, "did you mean '" STR_FMT "'? tarn.snapshots lists them",
                                  STR_ARG(nearest))
                       : err_hint(err, code, "tarn.snapshots lists them");
}

/* What a query asked for; `ret_historic`: it sees the schema of that snapshot (spec, "Point in time
 * reads": branches are read with the table's current schema). */
static Code snapshot_choose(const TableVersion *version, const TableScan *query, Arena *arena,
                            const IceSnapshot **ret_snapshot, bool *ret_historic, Err *err)
{
    const TableMetadata *m = version->metadata;
    int64_t id = query->snapshot_id;
    *ret_historic = true;
    if ((query->snapshot_id != 0) + (query->timestamp_ms != 0) + (query->ref.ptr != NULL) > 1)
        return err_set(err, E_INVALID, "a scan takes one of snapshot, time and ref");
    if (query->timestamp_ms) {
        *ret_snapshot = table_snapshot_at(m, query->timestamp_ms);
        if (*ret_snapshot)
            return E_OK;
        Str time = time_format(arena, query->timestamp_ms * 1000);
        Code code = err_set(err, E_NOT_FOUND,
                            "table " STR_FMT "." STR_FMT " has no snapshot at " STR_FMT,
                            STR_ARG(version->entry.ns), STR_ARG(version->entry.name), STR_ARG(time));
        return err_hint(err, code, "tarn.snapshots lists them");
    }
    Str text = query->ref;
    if (query->ref.ptr) {
        const IceRef *ref = table_ref(m, query->ref);
        if (ref) {
            *ret_historic = ref->is_tag;
            *ret_snapshot = table_snapshot(m, ref->snapshot_id);
            return E_OK;
        }
        if (!str_i64(query->ref, &id) || !id)
            return snapshot_missing(version, text, err);
    }
    if (!id) {
        *ret_historic = false;
        *ret_snapshot = table_snapshot_current(m);
        return E_OK;
    }
    *ret_snapshot = table_snapshot(m, id);
    text = str_format(arena, "%lld", (long long)id);
    return *ret_snapshot ? E_OK : snapshot_missing(version, text, err);
}

typedef struct Found {
    DataFile *file;
    size_t ordinal;
} Found;

typedef struct FoundList {
    Found *items;
    size_t count, cap;
} FoundList;

static void found_add(Arena *arena, FoundList *list, DataFile *file)
{
    if (list->count == list->cap) {
        list->cap = list->cap ? 2 * list->cap : 64;
        Found *grown = arena_array(arena, Found, list->cap);
        if (list->count)
            memcpy(grown, list->items, list->count * sizeof *grown);
        list->items = grown;
    }
    list->items[list->count] = (Found){ file, list->count };
    list->count++;
}

/* By age, then as written: rows come in the order in which they were inserted. */
static int found_order(const void *a, const void *b)
{
    const Found *left = a, *right = b;
    if (left->file->sequence_number != right->file->sequence_number)
        return left->file->sequence_number < right->file->sequence_number ? -1 : 1;
    return left->ordinal < right->ordinal ? -1 : left->ordinal > right->ordinal;
}

static void plan_fill(FoundList *list, Arena *arena, ScanPlan *plan)
{
    if (list->count)
        qsort(list->items, list->count, sizeof *list->items, found_order);
    plan->files = arena_array(arena, DataFile *, list->count + 1);
    for (size_t i = 0; i < list->count; i++) {
        plan->files[plan->file_count++] = list->items[i].file;
        plan->record_count += list->items[i].file->record_count;
        plan->size_bytes += list->items[i].file->size_bytes;
    }
}

static Code deletes_refuse(const TableVersion *version, const ManifestFile *manifest, Err *err)
{
    if (!manifest->is_deletes || (manifest->added_files == 0 && manifest->existing_files == 0))
        return E_OK;
    Code code =
        err_set(err, E_UNSUPPORTED, "table " STR_FMT "." STR_FMT " has row-level delete files",
                STR_ARG(version->entry.ns), STR_ARG(version->entry.name));
    return err_hint(
        err, code,
        "compact it with the engine that wrote them; tarn reads and writes copy-on-write");
}

static Code manifest_scan(const TableVersion *version, const ManifestFile *manifest, Pruner *pruner,
                          Arena *arena, FoundList *list, ScanPlan *plan, Err *err)
{
    ManifestEntry *entries;
    size_t count;
    TRY(catalog_entries_load(version->catalog, version->metadata, manifest, arena, &entries, &count,
                             err));
    plan->manifests_read++;
    for (size_t i = 0; i < count; i++) {
        if (entries[i].status == ENTRY_DELETED)
            continue;
        if (entries[i].file.content != CONTENT_DATA)
            return err_set(err, E_CORRUPT, "a manifest of data files lists a delete file");
        plan->files_total++;
        if (prune_keeps_file(pruner, &entries[i].file))
            found_add(arena, list, &entries[i].file);
    }
    return E_OK;
}

static Code staged_scan(const TableVersion *version, Str run_id, Pruner *pruner, Arena *arena,
                        ScanPlan *plan, Err *err)
{
    DataFile *files;
    size_t count;
    FoundList list = { 0 };
    TRY(catalog_stage_list(version->catalog, run_id, version->entry.uuid, version->metadata, arena,
                           &files, &count, err));
    if (!count)
        return err_set(err, E_NOT_FOUND,
                       "run '" STR_FMT "' has no staged files of table " STR_FMT "." STR_FMT,
                       STR_ARG(run_id), STR_ARG(version->entry.ns), STR_ARG(version->entry.name));
    for (size_t i = 0; i < count; i++) {
        plan->files_total++;
        if (prune_keeps_file(pruner, &files[i]))
            found_add(arena, &list, &files[i]);
    }
    plan_fill(&list, arena, plan);
    return E_OK;
}

static Code plan_begin(const TableVersion *version, const TableScan *query,
                       const IceSnapshot *snapshot, bool historic, Arena *arena,
                       Pruner **ret_pruner, ScanPlan *plan, Err *err)
{
    const TableMetadata *m = version->metadata;
    *plan = (ScanPlan){ .metadata = m,
                        .snapshot_id = snapshot ? snapshot->id : -1,
                        .snapshot_timestamp_ms = snapshot ? snapshot->timestamp_ms : 0 };
    plan->schema = historic && snapshot && snapshot->schema_id >= 0
                       ? table_schema(m, snapshot->schema_id)
                       : NULL;
    if (!plan->schema)
        plan->schema = table_schema_current(m);
    return pruner_new(arena, m, plan->schema, query->predicates, query->predicate_count, ret_pruner,
                      err);
}

Code table_scan(const TableVersion *version, const TableScan *query, Arena *arena,
                ScanPlan *ret_plan, Err *err)
{
    const IceSnapshot *snapshot = NULL;
    bool historic = false, staged = str_starts(query->ref, STR("run:"));
    ScanPlan plan;
    Pruner *pruner;
    if (!version->metadata)
        return err_set(err, E_INVALID, "'" STR_FMT "." STR_FMT "' is a view",
                       STR_ARG(version->entry.ns), STR_ARG(version->entry.name));
    if (!staged)
        TRY(snapshot_choose(version, query, arena, &snapshot, &historic, err));
    TRY(plan_begin(version, query, snapshot, historic, arena, &pruner, &plan, err));
    if (staged) {
        TRY(staged_scan(version, str_from(query->ref, 4), pruner, arena, &plan, err));
        *ret_plan = plan;
        return E_OK;
    }
    ManifestFile *manifests = NULL;
    size_t count = 0;
    FoundList list = { 0 };
    if (snapshot)
        TRY(catalog_manifests_load(version->catalog, snapshot, arena, &manifests, &count, err));
    plan.manifests_total = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        TRY(deletes_refuse(version, &manifests[i], err));
        if (!manifests[i].is_deletes && prune_keeps_manifest(pruner, &manifests[i]))
            TRY(manifest_scan(version, &manifests[i], pruner, arena, &list, &plan, err));
    }
    plan_fill(&list, arena, &plan);
    *ret_plan = plan;
    return E_OK;
}

Code table_files(const TableVersion *version, int64_t snapshot_id, Arena *arena,
                 DataFile **ret_files, size_t *ret_count, Err *err)
{
    ScanPlan plan;
    TRY(table_scan(version, &(TableScan){ .snapshot_id = snapshot_id }, arena, &plan, err));
    DataFile *files = arena_array(arena, DataFile, plan.file_count + 1);
    for (size_t i = 0; i < plan.file_count; i++)
        files[i] = *plan.files[i];
    *ret_files = files;
    *ret_count = plan.file_count;
    return E_OK;
}
