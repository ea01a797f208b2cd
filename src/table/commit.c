/* The commit of tables and the queue before it (docs/ARCHITECTURE.md, "The commit of a table").
 *
 * Invariants
 *  1. One thread at a time changes a table: whoever sets `busy` of its queue. It takes the waiting
 * commits of the queue as one group, so a commit may be done by the thread of another.
 *  2. Order: intents; objects durable; one metadata transaction with the compare-and-swap, the
 * extras of all commits of the group and the end of the intents; cache; answers.
 *  3. A commit that cannot stand alone leaves the group with its own error; when the transaction
 * fails and the table's pointer did not move, an extra is to blame and each commit is tried alone.
 *  4. Objects of a failed attempt are deleted only when it is known that it failed.
 *  5. A queue lives while somebody waits in it. */
#include "table/catalog_priv.h"

#include <string.h>

typedef struct Waiter Waiter;
struct Waiter {
    const TableCommit *commit;
    const MetaTxn *extra;
    CommitResult result;
    Code code;
    Err err;
    bool done;
    Waiter *next;
};

struct TableQueue {
    Uuid uuid;
    bool busy;
    size_t users; /* threads inside catalog_commit for this table */
    Waiter *first, *last;
    TableQueue *next;
};

/* ---- queues; all under queue_mutex ---- */

static TableQueue *queue_enter(Catalog *catalog, Uuid uuid)
{
    TableQueue *queue = catalog->queues;
    while (queue && !uuid_eq(queue->uuid, uuid))
        queue = queue->next;
    if (!queue) {
        queue = mem_new(sizeof *queue);
        queue->uuid = uuid;
        queue->next = catalog->queues;
        catalog->queues = queue;
    }
    queue->users++;
    return queue;
}

static void queue_leave(Catalog *catalog, TableQueue *queue)
{
    if (--queue->users)
        return;
    TableQueue **at = &catalog->queues;
    while (*at != queue)
        at = &(*at)->next;
    *at = queue->next;
    mem_free(&queue);
}

static void queue_push(TableQueue *queue, Waiter *waiter)
{
    *(queue->first ? &queue->last->next : &queue->first) = waiter;
    queue->last = waiter;
}

static size_t queue_take(TableQueue *queue, Waiter **group)
{
    size_t count = 0;
    while (queue->first && count < CATALOG_GROUP_MAX) {
        group[count++] = queue->first;
        queue->first = queue->first->next;
    }
    return count;
}

/* ---- the metadata transaction ---- */

Str staged_run_of(Arena *arena, Uuid commit)
{
    Str uuid = uuid_format(arena, commit);
    return str_format(arena, "commit:" STR_FMT, STR_ARG(uuid));
}

Code builds_publish(Catalog *catalog, TableBuild *const *builds, const Uuid *tables, size_t count,
                    Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    MetaTxn intents;
    meta_txn_init(&intents, &tmp);
    meta_txn_set_commit(&intents, os_uuid(catalog->os));
    int64_t now_us = os_now_us(catalog->os);
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        Str run_id = staged_run_of(&tmp, builds[i]->commit);
        for (size_t j = 0; j < builds[i]->object_count; j++)
            meta_add_staged_file(&intents,
                                 &(MetaStagedFile){ .run_id = run_id,
                                                    .table_uuid = tables[i],
                                                    .address = builds[i]->objects[j].address,
                                                    .created_us = now_us });
        total += builds[i]->object_count;
    }
    TRY(meta_commit(catalog->meta, &intents, err));
    ObjectOut *objects = arena_array(&tmp, ObjectOut, total + 1);
    size_t at = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < builds[i]->object_count; j++)
            objects[at++] = builds[i]->objects[j];
    return catalog_objects_publish(catalog, objects, total, err);
}

void builds_undo(Catalog *catalog, TableBuild *const *builds, size_t count)
{
    Arena AUTO(arena_done) tmp = { 0 };
    MetaTxn txn;
    meta_txn_init(&txn, &tmp);
    meta_txn_set_commit(&txn, os_uuid(catalog->os));
    for (size_t i = 0; i < count; i++) {
        catalog_objects_delete(catalog, builds[i]->objects, builds[i]->object_count);
        meta_delete_staged_run(&txn, staged_run_of(&tmp, builds[i]->commit));
    }
    IGNORE(meta_commit(catalog->meta, &txn, NULL)); /* what stays is swept after its time */
}

void txn_end_staged(MetaTxn *txn, Arena *arena, Uuid commit, Str run_id, const DataFile *add,
                    size_t add_count)
{
    meta_delete_staged_run(txn, staged_run_of(arena, commit));
    for (size_t i = 0; run_id.ptr && i < add_count; i++) {
        meta_require_staged_file(txn, run_id, add[i].address); /* else the sweep has its object */
        meta_delete_staged_file(txn, run_id, add[i].address);
    }
}

Code txn_commit(Catalog *catalog, const MetaTxn *txn, Err *err)
{
    Code code = meta_commit(catalog->meta, txn, err);
    if (code != E_UNKNOWN_OUTCOME)
        return code;
    bool exists = false;
    if (meta_commit_exists(catalog->meta, txn->commit, &exists, NULL))
        return code;
    return exists ? E_OK : err_wrap(err, E_IO, "the commit did not happen");
}

/* ---- one attempt ---- */

/* What one table takes part with: a group of waiters, or one of several tables. */
typedef struct Part {
    Uuid table;
    Waiter **waiters;
    size_t count;
    TableVersion *base;
    TableBuild build;
} Part;

/* A table that is made has one commit: nobody else knows its UUID. */
static const TableDraft *part_draft(const Part *part)
{
    return part->waiters[0]->commit->draft;
}

static Code part_load(Catalog *catalog, Part *part, Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    MetaTable row;
    if (part_draft(part))
        return E_OK;
    {
        MetaRead *AUTO(meta_read_end) read = NULL;
        TRY(meta_read_begin(catalog->meta, &read, err));
        TRY(meta_get_table(read, part->table, &tmp, &row, err));
    }
    if (row.kind == META_VIEW)
        return err_set(err, E_INVALID, "'" STR_FMT "." STR_FMT "' is a view",
                       STR_ARG(row.namespace_name), STR_ARG(row.name));
    return catalog_version_of(catalog, &row, &part->base, err);
}

/* Waiters whose own conditions do not hold get their error here. E_OK: at least one is left. */
static Code part_build(Catalog *catalog, Part *part, Uuid commit, Arena *arena, Err *err)
{
    const TableDraft *draft = part_draft(part);
    build_init(&part->build, catalog, arena, draft ? draft->metadata : part->base->metadata,
               draft ? STR("") : part->base->entry.metadata_location, commit);
    Code code = E_OK;
    size_t good = 0;
    for (size_t i = 0; i < part->count; i++) {
        Waiter *waiter = part->waiters[i];
        err_clear(&waiter->err);
        waiter->code = build_apply(&part->build, waiter->commit, &waiter->result, &waiter->err);
        good += waiter->code == E_OK;
        if (waiter->code) {
            code = waiter->code;
            if (err)
                *err = waiter->err;
        }
    }
    if (!good)
        return code;
    return build_finish(&part->build, err);
}

static void part_txn(Catalog *catalog, Part *part, Arena *arena, MetaTxn *txn)
{
    const TableBuild *build = &part->build;
    if (part_draft(part))
        draft_txn(txn, part_draft(part), arena, build->new_location, os_now_us(catalog->os));
    else
        meta_table_swap(txn, part->table, build->base_location, build->new_location,
                        os_now_us(catalog->os));
    txn_add_expired(txn, part->table, build->expired_lists, build->expired_count,
                    os_now_us(catalog->os));
    for (size_t i = 0; i < part->count; i++) {
        const Waiter *waiter = part->waiters[i];
        if (waiter->code)
            continue;
        txn_end_staged(txn, arena, build->commit, waiter->commit->run_id, waiter->commit->add,
                       waiter->commit->add_count);
        if (waiter->extra)
            meta_append(txn, waiter->extra);
    }
}

static void dropped_metadata_delete(Catalog *catalog, const TableBuild *build)
{
    Str enabled =
        table_property(build->m, STR("write.metadata.delete-after-commit.enabled"), STR("true"));
    for (size_t i = 0; str_ieq(enabled, STR("true")) && i < build->dropped_count; i++) {
        Str bucket, key;
        /* Only below the table's own location: a registered table may have its log elsewhere. */
        if (str_starts(build->dropped_metadata[i], build->m->location) &&
            store_address_parse(build->dropped_metadata[i], &bucket, &key))
            IGNORE(
                store_delete(catalog->store, bucket, key, NULL)); /* else the orphan sweep has it */
    }
}

/* Step 5. Nothing here can fail the commit any more. */
static void part_done(Catalog *catalog, Part *part)
{
    const TableMetadata *m = part->build.m;
    uint32_t size = 0;
    for (size_t i = 0; i < part->count; i++)
        size += part->waiters[i]->code == E_OK;
    for (size_t i = 0; i < part->count; i++) {
        CommitResult *result = &part->waiters[i]->result;
        const IceSnapshot *snapshot = table_snapshot(m, result->snapshot_id);
        result->sequence_number = snapshot ? snapshot->sequence_number : m->last_sequence_number;
        result->timestamp_ms = snapshot ? snapshot->timestamp_ms : m->last_updated_ms;
        result->schema_id = m->current_schema_id;
        result->group_size = size;
        for (size_t j = 0; snapshot && j < snapshot->summary_count; j++)
            if (str_eq(snapshot->summary[j].key, STR("total-records")))
                IGNORE(
                    !str_i64(snapshot->summary[j].value, &result->total_records)); /* we wrote it */
    }
    atomic_fetch_add_explicit(&catalog->snapshots_expired, part->build.snapshots_gone, memory_order_relaxed);
    dropped_metadata_delete(catalog, &part->build);
    if (part_draft(part))
        return; /* loaded when somebody asks */
    const ObjectOut *json = &part->build.objects[part->build.object_count - 1];
    TableVersion *AUTO(table_version_free) version =
        table_version_new(catalog, &(MetaTable){ .uuid = part->table,
                                                 .namespace_name = part->base->entry.ns,
                                                 .name = part->base->entry.name,
                                                 .location = part->base->entry.location,
                                                 .metadata_location = json->address,
                                                 .created_us = part->base->entry.created_us });
    if (table_metadata_decode(&version->arena, json->bytes, &version->metadata, NULL) == E_OK)
        catalog_cache_put(catalog, version);
}

/* Did somebody else move one of the tables since it was loaded? */
static bool parts_moved(Catalog *catalog, const Part *parts, size_t count)
{
    Arena AUTO(arena_done) tmp = { 0 };
    MetaRead *AUTO(meta_read_end) read = NULL;
    if (meta_read_begin(catalog->meta, &read, NULL))
        return false;
    for (size_t i = 0; i < count; i++) {
        MetaTable row;
        if (meta_get_table(read, parts[i].table, &tmp, &row, NULL) == E_OK &&
            !str_eq(row.metadata_location, parts[i].build.base_location))
            return true;
    }
    return false;
}

typedef enum Outcome { DONE, FAILED, MOVED, BLAMED } Outcome;

/* Builds, publishes and swaps. FAILED: `err` is everybody's; BLAMED: the transaction did not take
 * an extra. */
static Outcome parts_try(Catalog *catalog, Part *parts, size_t count, Code *ret_code, Err *err)
{
    Arena AUTO(arena_done) arena = { 0 };
    TableBuild **builds = arena_array(&arena, TableBuild *, count);
    Uuid *tables = arena_array(&arena, Uuid, count);
    MetaTxn txn;
    Uuid commit = os_uuid(catalog->os);
    meta_txn_init(&txn, &arena);
    meta_txn_set_commit(&txn, commit);
    for (size_t i = 0; i < count; i++) {
        if ((*ret_code = part_load(catalog, &parts[i], err)) ||
            (*ret_code = part_build(catalog, &parts[i], commit, &arena, err)))
            return FAILED;
        builds[i] = &parts[i].build;
        tables[i] = parts[i].table;
    }
    /* The sweep takes rows of intents before objects: what it took is not committed. */
    for (size_t i = 0; i < count; i++)
        meta_require_staged_file(&txn, staged_run_of(&arena, commit), builds[i]->new_location);
    for (size_t i = 0; i < count; i++)
        part_txn(catalog, &parts[i], &arena, &txn);
    if ((*ret_code = builds_publish(catalog, builds, tables, count, err))) {
        builds_undo(catalog, builds, count);
        return FAILED;
    }
    *ret_code = txn_commit(catalog, &txn, err);
    if (*ret_code == E_OK) {
        for (size_t i = 0; i < count; i++)
            part_done(catalog, &parts[i]);
        return DONE;
    }
    if (*ret_code == E_UNKNOWN_OUTCOME)
        return FAILED;
    builds_undo(catalog, builds, count);
    return parts_moved(catalog, parts, count) ? MOVED : BLAMED;
}

static void parts_release(Part *parts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        table_version_free(&parts[i].base);
}

/* Tries until the table holds still; only other catalogs on the same database can move it
 * meanwhile. */
static Outcome parts_run(Catalog *catalog, Part *parts, size_t count, Code *ret_code, Err *err)
{
    for (int attempt = 1;; attempt++) {
        Outcome outcome = parts_try(catalog, parts, count, ret_code, err);
        parts_release(parts, count);
        if (outcome != MOVED || attempt == COMMIT_ATTEMPTS_MAX)
            return outcome;
    }
}

/* ---- groups ---- */

static void group_fail(Waiter **group, size_t count, Code code, const Err *err)
{
    for (size_t i = 0; i < count; i++)
        if (group[i]->code == E_OK) {
            group[i]->code = code;
            group[i]->err = *err;
        }
}

static void group_run(Catalog *catalog, Uuid table, Waiter **group, size_t count)
{
    Err err;
    Code code = E_OK;
    Part part = { .table = table, .waiters = group, .count = count };
    for (size_t i = 0; i < count; i++)
        group[i]->code = E_OK;
    err_clear(&err);
    if (parts_run(catalog, &part, 1, &code, &err) == DONE)
        return;
    if (count == 1 || code == E_UNKNOWN_OUTCOME) {
        group_fail(group, count, code, &err);
        return;
    }
    for (size_t i = 0; i < count; i++)
        group_run(catalog, table, &group[i], 1);
}

static void group_lead(Catalog *catalog, TableQueue *queue)
{
    Waiter *group[CATALOG_GROUP_MAX];
    size_t count = queue_take(queue, group);
    queue->busy = true;
    mutex_unlock(&catalog->queue_mutex);
    group_run(catalog, queue->uuid, group, count);
    mutex_lock(&catalog->queue_mutex);
    for (size_t i = 0; i < count; i++)
        group[i]->done = true;
    queue->busy = false;
    cond_broadcast(&catalog->queue_changed);
}

static Code commit_one(Catalog *catalog, const TableCommit *commit, Uuid table,
                       const MetaTxn *extra, CommitResult *ret_result, Err *err)
{
    Waiter waiter = { .commit = commit, .extra = extra };
    {
        MUTEX_HELD(&catalog->queue_mutex);
        TableQueue *queue = queue_enter(catalog, table);
        queue_push(queue, &waiter);
        while (!waiter.done) {
            if (queue->busy)
                cond_wait(&catalog->queue_changed, &catalog->queue_mutex);
            else
                group_lead(catalog, queue);
        }
        queue_leave(catalog, queue);
    }
    if (waiter.code) {
        if (err)
            *err = waiter.err;
        return waiter.code;
    }
    *ret_result = waiter.result;
    return E_OK;
}

/* ---- several tables ---- */

static void queues_take(Catalog *catalog, Part *parts, size_t count, TableQueue **queues)
{
    MUTEX_HELD(&catalog->queue_mutex);
    for (size_t i = 0; i < count;
         i++) { /* parts are in the order of UUIDs: no two wait for each other */
        queues[i] = queue_enter(catalog, parts[i].table);
        while (queues[i]->busy)
            cond_wait(&catalog->queue_changed, &catalog->queue_mutex);
        queues[i]->busy = true;
    }
}

static void queues_give(Catalog *catalog, TableQueue **queues, size_t count)
{
    MUTEX_HELD(&catalog->queue_mutex);
    for (size_t i = 0; i < count; i++) {
        queues[i]->busy = false;
        queue_leave(catalog, queues[i]);
    }
    cond_broadcast(&catalog->queue_changed);
}

static void parts_sort(Part *parts, size_t count)
{
    for (size_t i = 1; i < count; i++)
        for (size_t j = i; j && memcmp(parts[j].table.bytes, parts[j - 1].table.bytes, 16) < 0;
             j--) {
            Part swap = parts[j];
            parts[j] = parts[j - 1];
            parts[j - 1] = swap;
        }
}

static Code commit_several(Catalog *catalog, const TableCommit *commits, const Uuid *tables,
                           size_t count, const MetaTxn *extra, CommitResult *ret_results, Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    Waiter *waiters = arena_array(&tmp, Waiter, count);
    Waiter **pointers = arena_array(&tmp, Waiter *, count);
    Part *parts = arena_array(&tmp, Part, count);
    TableQueue **queues = arena_array(&tmp, TableQueue *, count);
    for (size_t i = 0; i < count; i++) {
        waiters[i] = (Waiter){ .commit = &commits[i], .extra = i ? NULL : extra };
        pointers[i] = &waiters[i];
        parts[i] = (Part){ .table = tables[i], .waiters = &pointers[i], .count = 1 };
    }
    parts_sort(parts, count);
    for (size_t i = 1; i < count; i++)
        if (uuid_eq(parts[i].table, parts[i - 1].table))
            return err_set(err, E_INVALID, "one commit changes the same table twice");
    Code code = E_OK;
    queues_take(catalog, parts, count, queues);
    Outcome outcome = parts_run(catalog, parts, count, &code, err);
    queues_give(catalog, queues, count);
    if (outcome != DONE)
        return code;
    for (size_t i = 0; i < count; i++)
        ret_results[i] = waiters[i].result;
    return E_OK;
}

/* The tables that the commits mean; CONFLICT when a name means another table by now. */
static Code tables_find(Catalog *catalog, const TableCommit *commits, size_t count, Arena *arena,
                        Uuid *tables, Err *err)
{
    MetaRead *AUTO(meta_read_end) read = NULL;
    TRY(meta_read_begin(catalog->meta, &read, err));
    for (size_t i = 0; i < count; i++) {
        MetaTable row;
        if (commits[i].draft) {
            tables[i] = commits[i].draft->uuid;
            continue;
        }
        if (!commits[i].name.name.len) {
            tables[i] = commits[i].uuid;
            continue;
        }
        TRY(catalog_find(read, commits[i].name, arena, &row, err));
        if (!uuid_is_none(commits[i].uuid) && !uuid_eq(commits[i].uuid, row.uuid))
            return err_set(err, E_CONFLICT, "'" STR_FMT "." STR_FMT "' is another table by now",
                           STR_ARG(commits[i].name.ns), STR_ARG(commits[i].name.name));
        tables[i] = row.uuid;
    }
    return E_OK;
}

Code catalog_commit(Catalog *catalog, const TableCommit *commits, size_t count,
                    const MetaTxn *extra, CommitResult *ret_results, Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    Uuid *tables = arena_array(&tmp, Uuid, count + 1);
    ASSERT(count > 0);
    TRY(tables_find(catalog, commits, count, &tmp, tables, err));
    if (count == 1)
        return commit_one(catalog, &commits[0], tables[0], extra, ret_results, err);
    return commit_several(catalog, commits, tables, count, extra, ret_results, err);
}
