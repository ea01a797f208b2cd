/* compact.c
 *
 * Invariants:
 * 1. A bin is read and committed whole: one snapshot `replace` that removes its files and adds as many rows in
 *    the same partition. The commit loses against whoever removed one of the files, never against appends.
 * 2. The version that the plan was made of is held until its files are read: nothing reclaims them meanwhile.
 * 3. What was written and not committed is dropped at once, or swept. */
#include "sql/compact.h"

#include "sql/sql_priv.h"
#include "store/store_keep.h"

static bool stops(const Sql *sql, const SqlCompact *compact)
{
    return (compact->stop && __atomic_load_n(compact->stop, __ATOMIC_ACQUIRE)) ||
           (compact->background && !store_background_ok(sql->options.store));
}

static Code bin_write(Sql *sql, const SqlCompact *compact, const TableVersion *version, const CompactBin *bin,
                      Str run_id, Arena *arena, DataFile **ret_files, size_t *ret_count, Err *err)
{
    const TableMetadata *m = table_version_metadata(version);
    SqlBinding files = { .name = STR("files"), .schema = table_schema_current(m), .files = bin->files,
                         .file_count = bin->file_count };
    SqlWrite write = { .select = { .text = STR("SELECT * FROM files"), .bindings = &files, .binding_count = 1,
                                   .cancel = compact->stop, .read_only = true },
                       .schema = table_schema_current(m),
                       .spec = bin->spec,
                       .sort = table_sort_order_default(m),
                       .location = m->location,
                       .metadata = m,
                       .table = m->uuid,
                       .run_id = run_id };
    SqlWriteStats stats;
    return sql_write(sql, &write, arena, ret_files, ret_count, &stats, err);
}

static Code partition_check(const TableMetadata *m, const CompactBin *bin, const DataFile *files, size_t count,
                            Arena *arena, Err *err)
{
    Str wanted, got;
    TRY(table_partition_key(arena, m, &bin->files[0], &wanted, err));
    for (size_t i = 0; i < count; i++) {
        TRY(table_partition_key(arena, m, &files[i], &got, err));
        if (!str_eq(got, wanted))
            return err_set(err, E_INTERNAL, "a row left its partition while it was written again");
    }
    return E_OK;
}

static Code bin_commit(Sql *sql, const TableVersion *version, const CompactBin *bin, Str run_id,
                       const DataFile *files, size_t count, Arena *arena, Err *err)
{
    const TableMetadata *m = table_version_metadata(version);
    Str *remove = arena_array(arena, Str, bin->file_count);
    for (size_t i = 0; i < bin->file_count; i++)
        remove[i] = bin->files[i].address;
    CommitResult result;
    TableCommit commit = { .uuid = m->uuid,
                           .kind = COMMIT_COMPACT,
                           .add = files,
                           .add_count = count,
                           .remove = remove,
                           .remove_count = bin->file_count,
                           .has_base_schema = true,
                           .base_schema_id = m->current_schema_id,
                           .run_id = run_id };
    TRY(partition_check(m, bin, files, count, arena, err));
    return catalog_commit(sql->options.catalog, &commit, 1, NULL, &result, err);
}

static Code bin_join(Sql *sql, const SqlCompact *compact, const TableVersion *version, const CompactBin *bin,
                     SqlCompacted *done, Err *err)
{
    Arena arena AUTO(arena_done) = { 0 };
    DataFile *files = NULL;
    size_t count = 0;
    Str run_id = str_format(&arena, "compact:" STR_FMT, STR_ARG(uuid_format(&arena, os_uuid(sql->options.os))));
    Code code = bin_write(sql, compact, version, bin, run_id, &arena, &files, &count, err);
    if (code == E_OK)
        code = bin_commit(sql, version, bin, run_id, files, count, &arena, err);
    if (code != E_OK) {
        if (code != E_UNKNOWN_OUTCOME)
            IGNORE(catalog_stage_drop(sql->options.catalog, run_id, NULL)); /* else the sweep has it */
        return code;
    }
    done->commits++;
    done->files_before += bin->file_count;
    done->files_after += count;
    done->rows += (uint64_t)bin->records;
    done->bytes += (uint64_t)bin->bytes;
    return E_OK;
}

/* `ret_table`: set once it was there. */
static Code attempt(Sql *sql, const SqlCompact *compact, Uuid *ret_table, SqlCompacted *done, Err *err)
{
    Arena arena AUTO(arena_done) = { 0 };
    TableVersion *version AUTO(table_version_free) = NULL;
    CompactBin *bins;
    size_t count;
    TRY(catalog_load(sql->options.catalog, compact->ns, compact->name, &version, err));
    *ret_table = table_version_entry(version)->uuid;
    if (table_version_entry(version)->is_view)
        return err_set(err, E_INVALID, "'" STR_FMT "." STR_FMT "' is a view", STR_ARG(compact->ns),
                       STR_ARG(compact->name));
    TRY(table_compact_plan(version, &compact->rule, &arena, &bins, &count, err));
    for (size_t i = 0; i < count && !stops(sql, compact); i++)
        TRY(bin_join(sql, compact, version, &bins[i], done, err));
    return E_OK;
}

static bool was_dropped(Sql *sql, const SqlCompact *compact, Uuid table)
{
    TableVersion *version AUTO(table_version_free) = NULL;
    Code code = catalog_load(sql->options.catalog, compact->ns, compact->name, &version, NULL);
    return code == E_NOT_FOUND || (code == E_OK && !uuid_eq(table_version_entry(version)->uuid, table));
}

Code sql_compact(Sql *sql, const SqlCompact *compact, SqlCompacted *ret_compacted, Err *err)
{
    Code code = E_CONFLICT;
    Uuid table = { 0 };
    *ret_compacted = (SqlCompacted){ 0 };
    for (int i = 0; i < COMPACT_ATTEMPTS_MAX && code == E_CONFLICT && !stops(sql, compact); i++)
        code = attempt(sql, compact, &table, ret_compacted, err);
    if (code == E_NOT_FOUND && !uuid_is_none(table) && was_dropped(sql, compact, table))
        return E_OK; /* while its files were read: nothing is left to join */
    return code == E_CONFLICT && stops(sql, compact) ? E_OK : code;
}
