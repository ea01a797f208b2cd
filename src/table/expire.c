/* Which snapshots a table keeps, and what a commit writes down of those that go.
 *
 * Invariants
 *  1. The current snapshot and those that a ref names stay.
 *  2. The manifest list of a snapshot that goes becomes a row of staged_files under EXPIRED_RUN in the
 *     transaction of the commit: so catalog_reclaim finds its files, and the sweep leaves the row alone.
 *  3. The snapshot log begins after the last snapshot that went (spec, "snapshot-log"). */
#include "table/catalog_priv.h"
#include "table/table_keep.h"

static const int64_t HOUR_MS = 3600000, WEEK_MS = 7 * 24 * 3600000LL;

static bool property_number(const TableMetadata *m, Str key, int64_t least, int64_t most,
                            int64_t *ret_number)
{
    int64_t number;
    if (!str_i64(table_property(m, key, STR("")), &number) || number < least || number > most)
        return false;
    *ret_number = number;
    return true;
}

static bool is_held(const TableMetadata *m, int64_t snapshot_id)
{
    for (size_t i = 0; i < m->ref_count; i++)
        if (m->refs[i].snapshot_id == snapshot_id)
            return true;
    return snapshot_id == m->current_snapshot_id;
}

/* By age alone. Snapshots stand in the order of time. */
static bool is_due(const TableMetadata *m, size_t i, int64_t now_ms)
{
    int64_t at = m->snapshots[i].timestamp_ms, age_ms = 0, least = 1;
    if (property_number(m, STR("history.expire.max-snapshot-age-ms"), 0, INT64_MAX / 2, &age_ms) &&
        at < now_ms - age_ms) {
        IGNORE(!property_number(m, STR("history.expire.min-snapshots-to-keep"), 1, SNAPSHOTS_MAX, &least));
        if (m->snapshot_count - i > (size_t)least)
            return true;
    }
    if (!str_ieq(table_property(m, STR("tarn.snapshots-thin"), STR("")), STR("true")))
        return false;
    bool last_of_hour =
        i + 1 == m->snapshot_count || m->snapshots[i + 1].timestamp_ms / HOUR_MS != at / HOUR_MS;
    return at < now_ms - WEEK_MS || (at < now_ms - HOUR_MS && !last_of_hour);
}

size_t snapshots_due(const TableMetadata *m, int64_t now_ms, bool *ret_due)
{
    int64_t most = SNAPSHOTS_KEPT_MAX;
    size_t count = 0;
    IGNORE(!property_number(m, STR("tarn.snapshots-max"), 1, SNAPSHOTS_MAX / 2, &most));
    for (size_t i = 0; i < m->snapshot_count; i++) {
        ret_due[i] = is_due(m, i, now_ms) && !is_held(m, m->snapshots[i].id);
        count += ret_due[i];
    }
    for (size_t i = 0; i < m->snapshot_count && m->snapshot_count - count > (size_t)most; i++)
        if (!ret_due[i] && !is_held(m, m->snapshots[i].id)) {
            ret_due[i] = true;
            count++;
        }
    return count;
}

bool table_gc_enabled(const TableMetadata *m)
{
    return !str_ieq(table_property(m, STR("gc.enabled"), STR("true")), STR("false"));
}

int64_t table_orphans_age_ms(const TableMetadata *m)
{
    int64_t age_ms = -1;
    return property_number(m, STR("tarn.orphans-age-ms"), ORPHANS_AGE_MS_MIN, INT64_MAX / 2, &age_ms) ? age_ms : -1;
}

void build_expire(TableBuild *build)
{
    TableMetadata *m = build->m;
    bool *due = arena_array(build->arena, bool, m->snapshot_count + 1);
    size_t going = snapshots_due(m, os_now_us(build->catalog->os) / 1000, due);
    if (!going)
        return;
    build->snapshots_gone = going;
    IceSnapshot *kept = arena_array(build->arena, IceSnapshot, m->snapshot_count - going + 1);
    build->expired_lists = arena_array(build->arena, Str, going);
    size_t count = 0;
    for (size_t i = 0; i < m->snapshot_count; i++) {
        if (!due[i])
            kept[count++] = m->snapshots[i];
        else if (m->snapshots[i].manifest_list.len && table_gc_enabled(m))
            build->expired_lists[build->expired_count++] = m->snapshots[i].manifest_list;
    }
    m->snapshots = kept;
    m->snapshot_count = count;
    size_t from = m->snapshot_log_count;
    while (from && table_snapshot(m, m->snapshot_log[from - 1].snapshot_id))
        from--;
    m->snapshot_log += from;
    m->snapshot_log_count -= from;
}

void txn_add_expired(MetaTxn *txn, Uuid table, const Str *lists, size_t count, int64_t now_us)
{
    for (size_t i = 0; i < count; i++)
        meta_add_staged_file(txn, &(MetaStagedFile){ .run_id = EXPIRED_RUN,
                                                     .address = lists[i],
                                                     .table_uuid = table,
                                                     .created_us = now_us });
}

/* ---- tables that nobody commits to ---- */

static Code expire_one(Catalog *catalog, const TableEntry *entry, size_t *snapshots, Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    TableVersion *AUTO(table_version_free) version = NULL;
    Code code = catalog_load(catalog, entry->ns, entry->name, &version, err);
    if (code == E_NOT_FOUND)
        return E_OK; /* dropped meanwhile */
    TRY(code);
    const TableMetadata *m = table_version_metadata(version);
    if (!m)
        return E_OK;
    bool *due = arena_array(&tmp, bool, m->snapshot_count + 1);
    size_t going = snapshots_due(m, os_now_us(catalog->os) / 1000, due);
    if (!going)
        return E_OK;
    CommitResult result;
    TableCommit commit = { .uuid = entry->uuid, .kind = COMMIT_PROPERTIES };
    code = catalog_commit(catalog, &commit, 1, NULL, &result, err);
    if (code == E_NOT_FOUND)
        return E_OK; /* dropped just now */
    TRY(code);
    *snapshots += going;
    return E_OK;
}

Code catalog_expire(Catalog *catalog, const bool *stop, size_t *ret_snapshots, Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    TableEntry *entries;
    size_t count, snapshots = 0;
    Code worst = E_OK;
    TRY(catalog_table_list(catalog, STR_NONE, &tmp, &entries, &count, err));
    for (size_t i = 0; i < count && !keep_stops(stop); i++) {
        Code code = entries[i].is_view ? E_OK : expire_one(catalog, &entries[i], &snapshots, err);
        if (code)
            worst = err_wrap(err, code, STR_FMT "." STR_FMT, STR_ARG(entries[i].ns),
                             STR_ARG(entries[i].name));
    }
    *ret_snapshots = snapshots;
    return worst;
}
