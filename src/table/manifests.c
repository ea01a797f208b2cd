/* The manifests of a new snapshot: those of its parent, without removed files, plus the new ones.
 *
 * Invariants
 *  1. A manifest is never changed: one that loses files is written anew, the old object stays.
 *  2. Carried entries keep their snapshot id and sequence numbers; added ones inherit (spec,
 * "Sequence Number Inheritance"), so that the files need not know the number before the commit.
 *  3. A removed file is written once as DELETED by the snapshot that removes it, then forgotten. */
#include "table/catalog_priv.h"
#include "table/table_keep.h"

#include <stdlib.h>
#include <string.h>

typedef struct ManifestList {
    ManifestFile *files;
    size_t count, cap;
} ManifestList;

typedef struct EntryList {
    ManifestEntry *entries;
    size_t count, cap;
} EntryList;

static void list_add(Arena *arena, ManifestList *list, const ManifestFile *file)
{
    if (list->count == list->cap) {
        list->cap = list->cap ? 2 * list->cap : 16;
        ManifestFile *grown = arena_array(arena, ManifestFile, list->cap);
        if (list->count)
            memcpy(grown, list->files, list->count * sizeof *grown);
        list->files = grown;
    }
    list->files[list->count++] = *file;
}

static void entry_add(Arena *arena, EntryList *list, const ManifestEntry *entry)
{
    if (list->count == list->cap) {
        list->cap = list->cap ? 2 * list->cap : 64;
        ManifestEntry *grown = arena_array(arena, ManifestEntry, list->cap);
        if (list->count)
            memcpy(grown, list->entries, list->count * sizeof *grown);
        list->entries = grown;
    }
    list->entries[list->count++] = *entry;
}

Code build_manifests_load(TableBuild *build, Err *err)
{
    const IceSnapshot *current = table_snapshot_current(build->m);
    if (build->manifests_loaded)
        return E_OK;
    build->manifests = NULL;
    build->manifest_count = 0;
    if (current)
        TRY(catalog_manifests_load(build->catalog, current, build->arena, &build->manifests,
                                   &build->manifest_count, err));
    build->manifests_loaded = true;
    return E_OK;
}

/* A manifest of an earlier snapshot of the same group is not in the store yet. */
static Code entries_load(TableBuild *build, const ManifestFile *file, ManifestEntry **ret_entries,
                         size_t *ret_count, Err *err)
{
    for (size_t i = build->object_count; i-- > 0;)
        if (str_eq(build->objects[i].address, file->path))
            return manifest_decode(build->arena, build->objects[i].bytes, build->m, file,
                                   ret_entries, ret_count, err);
    return catalog_entries_load(build->catalog, build->m, file, build->arena, ret_entries,
                                ret_count, err);
}

static Code manifest_write(TableBuild *build, const SnapshotDelta *delta, int32_t spec_id,
                           const EntryList *list, ManifestFile *ret_file, Err *err)
{
    Buf AUTO(buf_done) bytes;
    buf_init(&bytes, MANIFEST_BYTES_MAX);
    Arena *arena = build->arena;
    Str uuid = uuid_format(arena, build->commit);
    Str path = build_address(build, "metadata/" STR_FMT "-m%u.avro", STR_ARG(uuid),
                             build->manifest_serial++);
    ManifestWrite write = { .metadata = build->m,
                            .spec = table_spec(build->m, spec_id),
                            .path = path,
                            .snapshot_id = delta->snapshot_id,
                            .sequence_number = delta->sequence_number,
                            .sync = build->commit };
    TRY(manifest_encode(&write, list->entries, list->count, arena, &bytes, ret_file, err));
    TRY(buf_end(&bytes, "manifest", err));
    build_object_add(build, path, str_copy(arena, buf_str(&bytes)), STR("avro/binary"));
    return E_OK;
}

/* The rows of a rewrite are as old as those that they replace: deletes that come later meet them (spec,
 * "Sequence Numbers"). */
static ManifestEntry entry_of_new(const DataFile *file, const SnapshotDelta *delta)
{
    return (ManifestEntry){ .status = ENTRY_ADDED,
                            .snapshot_id = delta->snapshot_id,
                            .sequence_number = delta->rewrite ? delta->removed_sequence : -1,
                            .file_sequence_number = -1,
                            .file = *file };
}

/* One manifest a partition spec. */
static Code added_write(TableBuild *build, SnapshotDelta *delta, ManifestList *out, Err *err)
{
    for (size_t s = 0; s < build->m->spec_count; s++) {
        int32_t spec_id = build->m->specs[s].id;
        EntryList list = { 0 };
        for (size_t i = 0; i < delta->add_count; i++) {
            if (delta->add[i].spec_id != spec_id)
                continue;
            ManifestEntry entry = entry_of_new(&delta->add[i], delta);
            entry_add(build->arena, &list, &entry);
            delta->added_rows += delta->add[i].record_count;
            delta->added_bytes += delta->add[i].size_bytes;
        }
        if (!list.count)
            continue;
        ManifestFile file;
        TRY(manifest_write(build, delta, spec_id, &list, &file, err));
        list_add(build->arena, out, &file);
    }
    return E_OK;
}

static int address_order(const void *a, const void *b)
{
    const Str *left = a, *right = b;
    return str_cmp(*left, *right);
}

/* The manifest without removed files; true in `*ret_hit` when it had one. */
static Code manifest_filter(TableBuild *build, SnapshotDelta *delta, const Str *sorted, bool *found,
                            const ManifestFile *from, EntryList *kept, bool *ret_hit, Err *err)
{
    ManifestEntry *entries;
    size_t count;
    TRY(entries_load(build, from, &entries, &count, err));
    for (size_t i = 0; i < count; i++) {
        ManifestEntry entry = entries[i];
        if (entry.status == ENTRY_DELETED)
            continue;
        const Str *hit = delta->remove_all
                             ? &entry.file.address
                             : bsearch(&entry.file.address, sorted, delta->remove_count,
                                       sizeof *sorted, address_order);
        entry.status = hit ? ENTRY_DELETED : ENTRY_EXISTING;
        if (hit) {
            entry.snapshot_id = delta->snapshot_id;
            if (!delta->remove_all)
                found[hit - sorted] = true;
            delta->removed_files++;
            delta->removed_rows += entry.file.record_count;
            delta->removed_bytes += entry.file.size_bytes;
            delta->removed_sequence = MAX(delta->removed_sequence, entry.sequence_number);
            *ret_hit = true;
        }
        entry_add(build->arena, kept, &entry);
    }
    return E_OK;
}

static Code removed_check(const Str *sorted, const bool *found, size_t count, Err *err)
{
    for (size_t i = 0; i < count; i++)
        if (!found[i])
            return err_set(err, E_CONFLICT, "file '" STR_FMT "' is not in the table any more",
                           STR_ARG(sorted[i]));
    return E_OK;
}

static Code carried_write(TableBuild *build, SnapshotDelta *delta, ManifestList *out, Err *err)
{
    Arena *arena = build->arena;
    bool removing = delta->remove_all || delta->remove_count;
    Str *sorted = arena_array(arena, Str, delta->remove_count + 1);
    bool *found = arena_array(arena, bool, delta->remove_count + 1);
    if (delta->remove_count)
        memcpy(sorted, delta->remove, delta->remove_count * sizeof *sorted);
    qsort(sorted, delta->remove_count, sizeof *sorted, address_order);
    for (size_t i = 0; i < build->manifest_count; i++) {
        const ManifestFile *from = &build->manifests[i];
        if (from->is_deletes && removing)
            return err_set(err, E_UNSUPPORTED,
                           "the table has delete files; they cannot be rewritten yet");
        if (!from->is_deletes && from->added_files == 0 && from->existing_files == 0)
            continue; /* nothing but what an older snapshot removed */
        EntryList kept = { 0 };
        bool hit = false;
        if (removing)
            TRY(manifest_filter(build, delta, sorted, found, from, &kept, &hit, err));
        if (!hit) {
            list_add(arena, out, from);
            continue;
        }
        ManifestFile file;
        TRY(manifest_write(build, delta, from->spec_id, &kept, &file, err));
        list_add(arena, out, &file);
    }
    return removed_check(sorted, found, delta->remove_count, err);
}

/* As the list says it. */
static int64_t entry_count(const ManifestFile *file)
{
    return (int64_t)file->added_files + file->existing_files;
}

static bool mergeable(const ManifestFile *file, int32_t spec_id)
{
    return !file->is_deletes && file->spec_id == spec_id &&
           file->length < MANIFEST_MERGE_BYTES_MAX && entry_count(file) < MANIFEST_MERGE_ENTRIES_MAX;
}

/* Many small manifests of one spec become one, so that a plan reads few objects; what would be too many entries in
 * it waits for the next commits. */
static Code merge(TableBuild *build, const SnapshotDelta *delta, ManifestList *list, Err *err)
{
    int32_t spec_id = build->m->default_spec_id;
    size_t small = 0;
    int64_t merging = 0;
    for (size_t i = 0; i < list->count; i++)
        small += mergeable(&list->files[i], spec_id);
    if (small < MANIFESTS_MERGE_MIN)
        return E_OK;
    EntryList all = { 0 };
    ManifestList out = { 0 };
    for (size_t i = 0; i < list->count; i++) {
        const ManifestFile *file = &list->files[i];
        bool ours = file->added_snapshot_id == delta->snapshot_id; /* not in the store yet */
        if (ours || !mergeable(file, spec_id) || merging + entry_count(file) > MANIFEST_MERGED_ENTRIES_MAX) {
            list_add(build->arena, &out, file);
            continue;
        }
        merging += entry_count(file);
        ManifestEntry *entries;
        size_t count;
        TRY(entries_load(build, file, &entries, &count, err));
        for (size_t j = 0; j < count; j++) {
            if (entries[j].status == ENTRY_DELETED)
                continue; /* invariant 3: by an older snapshot */
            entries[j].status = ENTRY_EXISTING;
            entry_add(build->arena, &all, &entries[j]);
        }
    }
    if (!all.count)
        return E_OK; /* all are ours: a replacement */
    ManifestFile merged;
    TRY(manifest_write(build, delta, spec_id, &all, &merged, err));
    list_add(build->arena, &out, &merged);
    *list = out;
    return E_OK;
}

/* Distinct partition tuples of the added files, for the summary. */
static size_t partitions_changed(TableBuild *build, const SnapshotDelta *delta)
{
    Arena AUTO(arena_done) tmp = { 0 };
    Str *keys = arena_array(&tmp, Str, delta->add_count + 1);
    for (size_t i = 0; i < delta->add_count; i++) {
        if (table_partition_key(&tmp, build->m, &delta->add[i], &keys[i], NULL))
            keys[i] = delta->add[i].address;
    }
    qsort(keys, delta->add_count, sizeof *keys, address_order);
    size_t distinct = 0;
    for (size_t i = 0; i < delta->add_count; i++)
        distinct += !i || !str_eq(keys[i], keys[i - 1]);
    return distinct;
}

Code build_manifests_change(TableBuild *build, SnapshotDelta *delta, ManifestFile **ret_files,
                            size_t *ret_count, Err *err)
{
    TRY(build_manifests_load(build, err));
    ManifestList out = { 0 }, carried = { 0 };
    TRY(carried_write(build, delta, &carried, err));
    TRY(added_write(build, delta, &out, err));
    for (size_t i = 0; i < carried.count; i++)
        list_add(build->arena, &out, &carried.files[i]);
    TRY(merge(build, delta, &out, err));
    if (delta->rewrite && delta->added_rows != delta->removed_rows)
        return err_set(err, E_INVALID, "the new files hold %lld rows, those that they replace %lld",
                       (long long)delta->added_rows, (long long)delta->removed_rows);
    if (out.count > MANIFEST_LIST_MAX)
        return err_set(err, E_LIMIT, "the table has more than %d manifests", MANIFEST_LIST_MAX);
    delta->changed_partitions = partitions_changed(build, delta);
    *ret_files = out.files;
    *ret_count = out.count;
    return E_OK;
}
