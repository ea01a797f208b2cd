/* One new metadata.json of one table, made of the commits of a group.
 *
 * Invariants
 *  1. build_apply checks everything before it changes the build: a commit that fails leaves no
 * trace but unused objects, which are not published (they are cut off the list again).
 *  2. Appends wait in `pending`; whatever is no append closes them first, so the order of commits
 * is the order of snapshots.
 *  3. Snapshot times rise strictly: max(now, last-updated-ms + 1). */
#include "table/reclaim_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void build_init(TableBuild *build, Catalog *catalog, Arena *arena, const TableMetadata *base,
                Str base_location, Uuid commit)
{
    *build = (TableBuild){ .catalog = catalog,
                           .arena = arena,
                           .base_location = base_location,
                           .base_updated_ms = base->last_updated_ms,
                           .commit = commit };
    /* A shallow copy: arrays are replaced when they change, never written to. */
    build->m = arena_copy(arena, base, sizeof *base);
}

Str build_address(TableBuild *build, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    ASSERT(len > 0 && (size_t)len < sizeof text);
    return str_format(build->arena, STR_FMT "/%s", STR_ARG(build->m->location), text);
}

void build_object_add(TableBuild *build, Str address, Str bytes, Str content_type)
{
    if (build->object_count == build->object_cap) {
        build->object_cap = build->object_cap ? 2 * build->object_cap : 8;
        ObjectOut *grown = arena_array(build->arena, ObjectOut, build->object_cap);
        if (build->object_count)
            memcpy(grown, build->objects, build->object_count * sizeof *grown);
        build->objects = grown;
    }
    build->objects[build->object_count++] = (ObjectOut){ address, bytes, content_type };
}

int64_t build_snapshot_id(Os *os)
{
    int64_t id;
    os_random(os, &id, sizeof id);
    id &= INT64_MAX;
    return id ? id : 1;
}

static int64_t time_next(TableBuild *build)
{
    return MAX(os_now_us(build->catalog->os) / 1000, build->m->last_updated_ms + 1);
}

/* ---- summary of a snapshot ---- */

typedef struct Summary {
    Arena *arena;
    IceProperty *lines;
    size_t count;
} Summary;

static void summary_number(Summary *summary, const char *key, int64_t number, bool when_zero)
{
    if (number || when_zero)
        summary->lines[summary->count++] =
            (IceProperty){ str_z(key), str_format(summary->arena, "%lld", (long long)number) };
}

static int64_t total_before(const IceSnapshot *parent, const char *key, bool *known)
{
    int64_t number = 0;
    for (size_t i = 0; parent && i < parent->summary_count; i++)
        if (str_eq(parent->summary[i].key, str_z(key)) &&
            str_i64(parent->summary[i].value, &number))
            return number;
    *known = !parent;
    return 0;
}

static void summary_make(TableBuild *build, const SnapshotDelta *delta, const ManifestFile *files,
                         size_t count, IceSnapshot *snapshot)
{
    enum { LINES_MAX = 24 };
    size_t lines_max = LINES_MAX + build->pending.summary_count;
    Summary summary = { build->arena, arena_array(build->arena, IceProperty, lines_max), 0 };
    int64_t total_files = 0, total_rows = 0;
    for (size_t i = 0; i < count; i++)
        if (!files[i].is_deletes) {
            total_files += (int64_t)files[i].added_files + files[i].existing_files;
            total_rows += files[i].added_rows + files[i].existing_rows;
        }
    bool bytes_known = true;
    int64_t bytes =
        total_before(table_snapshot_current(build->m), "total-files-size", &bytes_known);
    summary.lines[summary.count++] = (IceProperty){ STR("engine-name"), STR("tarn") };
    summary_number(&summary, "added-data-files", (int64_t)delta->add_count, false);
    summary_number(&summary, "added-records", delta->added_rows, false);
    summary_number(&summary, "added-files-size", delta->added_bytes, false);
    summary_number(&summary, "deleted-data-files", delta->removed_files, false);
    summary_number(&summary, "deleted-records", delta->removed_rows, false);
    summary_number(&summary, "removed-files-size", delta->removed_bytes, false);
    summary_number(&summary, "changed-partition-count", (int64_t)delta->changed_partitions, false);
    summary_number(&summary, "total-data-files", total_files, true);
    summary_number(&summary, "total-records", total_rows, true);
    if (bytes_known)
        summary_number(&summary, "total-files-size",
                       bytes + delta->added_bytes - delta->removed_bytes, true);
    summary_number(&summary, "total-delete-files", 0, true);
    summary_number(&summary, "total-position-deletes", 0, true);
    summary_number(&summary, "total-equality-deletes", 0, true);
    for (size_t i = 0; i < build->pending.summary_count; i++)
        summary.lines[summary.count++] = build->pending.summary[i];
    snapshot->summary = summary.lines;
    snapshot->summary_count = summary.count;
}

/* ---- a new snapshot ---- */

/* The array with room for one more; lists of metadata are short (SNAPSHOTS_KEPT_MAX). */
#define ARRAY_GROWN(arena, items, count)                                                   \
    ({                                                                                     \
        __typeof__(items) grown_ = arena_array_raw((arena), (count) + 1, sizeof *(items)); \
        if (count)                                                                         \
            memcpy(grown_, (items), (count) * sizeof *(items));                            \
        grown_;                                                                            \
    })

static void main_set(TableBuild *build, int64_t snapshot_id)
{
    TableMetadata *m = build->m;
    m->refs = ARRAY_GROWN(build->arena, m->refs, m->ref_count);
    m->current_snapshot_id = snapshot_id;
    for (size_t i = 0; i < m->ref_count; i++)
        if (str_eq(m->refs[i].name, STR("main"))) {
            m->refs[i].snapshot_id = snapshot_id;
            return;
        }
    m->refs[m->ref_count++] = (IceRef){ .name = STR("main"),
                                        .snapshot_id = snapshot_id,
                                        .snapshots_keep_min = -1,
                                        .snapshot_age_ms_max = -1,
                                        .ref_age_ms_max = -1 };
}

static void snapshot_install(TableBuild *build, const IceSnapshot *snapshot)
{
    TableMetadata *m = build->m;
    m->snapshots = ARRAY_GROWN(build->arena, m->snapshots, m->snapshot_count);
    m->snapshots[m->snapshot_count++] = *snapshot;
    m->snapshot_log = ARRAY_GROWN(build->arena, m->snapshot_log, m->snapshot_log_count);
    m->snapshot_log[m->snapshot_log_count++] =
        (IceSnapshotLog){ snapshot->timestamp_ms, snapshot->id };
    m->last_sequence_number = snapshot->sequence_number;
    m->last_updated_ms = snapshot->timestamp_ms;
    main_set(build, snapshot->id);
}

static Code snapshot_make(TableBuild *build, SnapshotDelta *delta, Str operation, Err *err)
{
    TableMetadata *m = build->m;
    size_t objects = build->object_count;
    ManifestFile *files;
    size_t count;
    delta->sequence_number = m->last_sequence_number + 1;
    Code code = build_manifests_change(build, delta, &files, &count, err);
    IceSnapshot snapshot = { .id = delta->snapshot_id,
                             .parent_id = m->current_snapshot_id,
                             .sequence_number = delta->sequence_number,
                             .timestamp_ms = time_next(build),
                             .operation = operation,
                             .schema_id = m->current_schema_id };
    Buf AUTO(buf_done) list;
    buf_init(&list, MANIFEST_BYTES_MAX);
    if (!code)
        code = manifest_list_encode(&snapshot, build->commit, files, count, &list, err);
    if (!code)
        code = buf_end(&list, "manifest list", err);
    if (code) {
        build->object_count = objects;
        return code;
    }
    Str uuid = uuid_format(build->arena, build->commit);
    snapshot.manifest_list = build_address(build, "metadata/snap-%lld-1-" STR_FMT ".avro",
                                           (long long)snapshot.id, STR_ARG(uuid));
    summary_make(build, delta, files, count, &snapshot);
    build_object_add(build, snapshot.manifest_list, str_copy(build->arena, buf_str(&list)),
                     STR("avro/binary"));
    snapshot_install(build, &snapshot);
    build->manifests = files;
    build->manifest_count = count;
    build->manifests_loaded = true;
    return E_OK;
}

static Code pending_close(TableBuild *build, Err *err)
{
    if (!build->pending.open)
        return E_OK;
    SnapshotDelta delta = { .add = build->pending.files,
                            .add_count = build->pending.count,
                            .snapshot_id = build->pending.snapshot_id };
    TRY(snapshot_make(build, &delta, STR("append"), err));
    build->pending = (struct PendingAppend){ 0 };
    return E_OK;
}

/* ---- checks of a commit ---- */

static Code file_check(const TableMetadata *m, const DataFile *file, Err *err)
{
    const IcePartitionSpec *spec = table_spec(m, file->spec_id);
    if (!spec || spec->field_count != file->partition_count)
        return err_set(err, E_INVALID,
                       "file '" STR_FMT "' does not have the partition of a spec of the table",
                       STR_ARG(file->address));
    if (file->content != CONTENT_DATA || !str_eq(file->format, STR("PARQUET")))
        return err_set(err, E_UNSUPPORTED, "file '" STR_FMT "' is no Parquet data file",
                       STR_ARG(file->address));
    if (file->record_count < 0 || file->size_bytes <= 0 || !file->address.len)
        return err_set(err, E_INVALID, "a file has no address, rows or size");
    return E_OK;
}

static Code owner_refuse(const DataFile *file, const MetaTable *row, Err *err)
{
    return err_set(err, E_INVALID, "file '" STR_FMT "' is one of %s " STR_FMT "." STR_FMT, STR_ARG(file->address),
                   row->dropped_us ? "the dropped table" : "table", STR_ARG(row->namespace_name),
                   STR_ARG(row->name));
}

static Code owners_check(const TableBuild *build, const DataFile *file, const MetaTable *rows, size_t count, Err *err)
{
    for (size_t i = 0; i < count; i++)
        if (!uuid_eq(rows[i].uuid, build->m->uuid) && rows[i].kind != META_VIEW && rows[i].location.len &&
            str_starts(file->address, rows[i].location))
            return owner_refuse(file, &rows[i], err);
    return E_OK;
}

/* What lies below another table's location is that table's to keep and to remove, also when it was dropped. */
static Code owner_check(const TableBuild *build, const DataFile *file, Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    MetaRead *AUTO(meta_read_end) read = NULL;
    MetaTable *rows;
    MetaStagedFile *going;
    size_t count;
    if (address_is_below(file->address, build->m->location))
        return E_OK;
    TRY(meta_read_begin(build->catalog->meta, &read, err));
    TRY(meta_list_tables(read, STR_NONE, &tmp, &rows, &count, err));
    TRY(owners_check(build, file, rows, count, err));
    TRY(meta_list_dropped_tables(read, &tmp, &rows, &count, err));
    TRY(owners_check(build, file, rows, count, err));
    TRY(meta_list_staged_files(read, DROPPED_RUN, &tmp, &going, &count, err));
    for (size_t i = 0; i < count; i++)
        if (address_is_below(file->address, dropped_location(going[i].address)))
            return err_set(err, E_INVALID, "file '" STR_FMT "' is one of a dropped table", STR_ARG(file->address));
    return E_OK;
}

/* Did a snapshot after `base` add files, or, where all files are replaced, remove rows? Walks the parents of the
 * current one; what was appended before in the same group is the newest. */
static Code base_check(const TableBuild *build, const TableCommit *commit, Err *err)
{
    const TableMetadata *m = build->m;
    int64_t base = commit->base_snapshot_id;
    if (!base || commit->snapshot_isolation)
        return E_OK;
    if (build->pending.open)
        return err_set(err, E_CONFLICT, "the table was changed by snapshot %lld after %lld",
                       (long long)build->pending.snapshot_id, (long long)base);
    for (int64_t id = m->current_snapshot_id; id != base;) {
        const IceSnapshot *snapshot = table_snapshot(m, id);
        if (!snapshot)
            return err_set(err, E_CONFLICT, "snapshot %lld is not in the table's history",
                           (long long)base);
        bool removed = str_eq(snapshot->operation, STR("delete")) && commit->kind != COMMIT_REPLACE;
        if (!removed && !str_eq(snapshot->operation, STR("replace")))
            return err_set(err, E_CONFLICT, "the table was changed by snapshot %lld after %lld",
                           (long long)id, (long long)base);
        id = snapshot->parent_id;
    }
    return E_OK;
}

static Code commit_check(TableBuild *build, const TableCommit *commit, Err *err)
{
    const TableMetadata *m = build->m;
    if (commit->add_count > COMMIT_FILES_MAX || commit->remove_count > COMMIT_FILES_MAX)
        return err_set(err, E_LIMIT, "more than %d files in one commit", COMMIT_FILES_MAX);
    if (m->property_count + commit->set_count > PROPERTIES_MAX)
        return err_set(err, E_LIMIT, "more than %d properties", PROPERTIES_MAX);
    for (size_t i = 0; i < commit->add_count; i++) {
        TRY(file_check(m, &commit->add[i], err));
        TRY(owner_check(build, &commit->add[i], err));
    }
    if (commit->has_base_schema && !commit->schema) {
        const IceSchema *written = table_schema(m, commit->base_schema_id);
        if (!written || !schema_covers(m, written))
            return err_set(err, E_CONFLICT,
                           "the columns were changed after the files were written");
    }
    if (commit->kind == COMMIT_OVERWRITE || commit->kind == COMMIT_DELETE ||
        commit->kind == COMMIT_REPLACE)
        TRY(base_check(build, commit, err));
    return E_OK;
}

/* ---- properties ---- */

static bool is_unset(const TableCommit *commit, Str key)
{
    for (size_t i = 0; i < commit->unset_count; i++)
        if (str_eq(commit->unset[i], key))
            return true;
    for (size_t i = 0; i < commit->set_count; i++)
        if (str_eq(commit->set[i].key, key))
            return true;
    return false;
}

static void properties_apply(TableBuild *build, const TableCommit *commit)
{
    TableMetadata *m = build->m;
    if (!commit->set_count && !commit->unset_count)
        return;
    IceProperty *properties =
        arena_array(build->arena, IceProperty, m->property_count + commit->set_count + 1);
    size_t count = 0;
    for (size_t i = 0; i < m->property_count; i++)
        if (!is_unset(commit, m->properties[i].key))
            properties[count++] = m->properties[i];
    for (size_t i = 0; i < commit->set_count; i++)
        properties[count++] = (IceProperty){ str_copy(build->arena, commit->set[i].key),
                                             str_copy(build->arena, commit->set[i].value) };
    m->properties = properties;
    m->property_count = count;
}

/* ---- the kinds of commits ---- */

static void pending_add(TableBuild *build, const TableCommit *commit)
{
    struct PendingAppend *pending = &build->pending;
    if (!pending->open)
        *pending = (struct PendingAppend){ .open = true,
                                           .snapshot_id = build_snapshot_id(build->catalog->os) };
    DataFile *files = arena_array(build->arena, DataFile, pending->count + commit->add_count + 1);
    if (pending->count)
        memcpy(files, pending->files, pending->count * sizeof *files);
    if (commit->add_count)
        memcpy(files + pending->count, commit->add, commit->add_count * sizeof *files);
    pending->files = files;
    pending->count += commit->add_count;
    IceProperty *summary =
        arena_array(build->arena, IceProperty, pending->summary_count + commit->summary_count + 1);
    if (pending->summary_count)
        memcpy(summary, pending->summary, pending->summary_count * sizeof *summary);
    for (size_t i = 0; i < commit->summary_count; i++) {
        size_t at = 0; /* the later one stands: a key comes once */
        while (at < pending->summary_count && !str_eq(summary[at].key, commit->summary[i].key))
            at++;
        summary[at] = commit->summary[i];
        pending->summary_count += at == pending->summary_count;
    }
    pending->summary = summary;
}

static Str operation_of(const TableCommit *commit)
{
    if (commit->kind == COMMIT_COMPACT)
        return STR("replace");
    if (commit->kind == COMMIT_DELETE || (commit->kind == COMMIT_OVERWRITE && !commit->add_count))
        return STR("delete");
    return STR("overwrite");
}

static Code rewrite(TableBuild *build, const TableCommit *commit, CommitResult *result, Err *err)
{
    TRY(pending_close(build, err));
    const TableMetadata before = *build->m;
    if (commit->schema)
        TRY(schema_install(build->arena, build->m, commit->schema, err));
    SnapshotDelta delta = { .add = commit->add,
                            .add_count = commit->add_count,
                            .remove = commit->remove,
                            .remove_count = commit->remove_count,
                            .remove_all = commit->kind == COMMIT_REPLACE,
                            .rewrite = commit->kind == COMMIT_COMPACT,
                            .snapshot_id = build_snapshot_id(build->catalog->os) };
    build->pending.summary = (IceProperty *)commit->summary;
    build->pending.summary_count = commit->summary_count;
    Code code = snapshot_make(build, &delta, operation_of(commit), err);
    build->pending = (struct PendingAppend){ 0 };
    if (code) {
        *build->m = before;
        return code;
    }
    result->snapshot_id = delta.snapshot_id;
    return E_OK;
}

Code build_apply(TableBuild *build, const TableCommit *commit, CommitResult *result, Err *err)
{
    *result = (CommitResult){ .uuid = build->commit, .snapshot_id = -1 };
    TRY(commit_check(build, commit, err));
    switch (commit->kind) {
    case COMMIT_APPEND:
        if (commit->add_count) {
            pending_add(build, commit);
            result->snapshot_id = build->pending.snapshot_id;
        }
        break;
    case COMMIT_OVERWRITE:
    case COMMIT_DELETE:
    case COMMIT_REPLACE:
    case COMMIT_COMPACT:
        TRY(rewrite(build, commit, result, err));
        break;
    case COMMIT_SCHEMA: {
        TRY(pending_close(build, err)); /* its files were written with the schema of before */
        IceSchema *schema;
        TRY(catalog_schema_apply(build->m, commit->changes, commit->change_count, build->arena,
                                 &schema, err));
        TRY(schema_install(build->arena, build->m, schema, err));
        break;
    }
    case COMMIT_PROPERTIES:
        break;
    }
    properties_apply(build, commit);
    return E_OK;
}

/* ---- the end ---- */

static void metadata_log_add(TableBuild *build, int64_t timestamp_ms)
{
    TableMetadata *m = build->m;
    if (!build->base_location.len)
        return;
    int64_t most = METADATA_LOG_KEPT, wanted;
    if (str_i64(table_property(m, STR("write.metadata.previous-versions-max"), STR("")), &wanted) &&
        wanted >= 1 && wanted <= METADATA_LOG_MAX / 2)
        most = wanted;
    m->metadata_log = ARRAY_GROWN(build->arena, m->metadata_log, m->metadata_log_count);
    m->metadata_log[m->metadata_log_count++] =
        (IceMetadataLog){ timestamp_ms, build->base_location };
    if (m->metadata_log_count <= (size_t)most)
        return;
    size_t excess = m->metadata_log_count - (size_t)most;
    build->dropped_metadata = arena_array(build->arena, Str, excess);
    for (size_t i = 0; i < excess; i++)
        build->dropped_metadata[i] = m->metadata_log[i].location;
    build->dropped_count = excess;
    m->metadata_log += excess;
    m->metadata_log_count -= excess;
}

/* metadata/00012-UUID.metadata.json: the number of the file before, plus one. */
static Str metadata_address(TableBuild *build)
{
    int64_t version = -1;
    Str name =
        str_from(build->base_location, (size_t)(str_rfind_char(build->base_location, '/') + 1));
    ptrdiff_t dash = str_find_char(name, '-');
    if (dash <= 0 || !str_i64(str_sub(name, 0, (size_t)dash), &version) || version < 0 ||
        version > INT32_MAX)
        version = build->base_location.len ? (int64_t)build->m->metadata_log_count : -1;
    Str uuid = uuid_format(build->arena, build->commit);
    return build_address(build, "metadata/%05lld-" STR_FMT ".metadata.json", (long long)version + 1,
                         STR_ARG(uuid));
}

Code build_finish(TableBuild *build, Err *err)
{
    TableMetadata *m = build->m;
    TRY(pending_close(build, err));
    if (build->base_location.len && m->last_updated_ms == build->base_updated_ms)
        m->last_updated_ms = time_next(build); /* no snapshot was made */
    build_expire(build);
    metadata_log_add(build, build->base_updated_ms);
    Buf AUTO(buf_done) json;
    buf_init(&json, METADATA_BYTES_MAX);
    table_metadata_encode(&json, m);
    TRY(buf_end(&json, "table metadata", err));
    build->new_location = metadata_address(build);
    build_object_add(build, build->new_location, str_copy(build->arena, buf_str(&json)),
                     STR("application/json"));
    return E_OK;
}
