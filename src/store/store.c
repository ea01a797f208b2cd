/* store.c: opening and closing.
 *
 * Opening: the index says how far it has come (applied LSN); the backend's journal is replayed from there; without an
 * index, with one in memory or one that compaction has left behind, from its start. After an end that was not clean
 * the blobs that no version names are removed. */
#include "store/store_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPLAY_GROUP = 256, REPLAY_OPS = 4096 }; /* commits, and changes in them, applied to the index at once */

static const BackendOps *const backends[] = { &backend_drives, &backend_memory };
static const IndexOps *const indexes[] = { &index_rocksdb, &index_memory };

typedef struct Replay {
    Store *store;
    Plan plan;
    size_t commits, ops;
    bool seen;         /* a commit record */
    uint64_t skip_lsn; /* is applied already */
    uint64_t lsn;
    uint64_t next_sequence;
    Vec(uint64_t) bodies;
} Replay;

static void replay_done(Replay *replay)
{
    plan_done(&replay->plan);
    vec_done(&replay->bodies);
}

static Code replay_apply(Replay *replay, Err *err)
{
    if (replay->commits > 0)
        TRY(plan_apply(&replay->plan, replay->store, replay->lsn, replay->next_sequence, err));
    plan_done(&replay->plan);
    replay->plan = (Plan){ 0 };
    replay->commits = replay->ops = 0;
    return E_OK;
}

/* Versions and parts drop their bytes when a plan is applied: what is said of trash comes behind that. */
static bool of_trash(const Commit *commit)
{
    OpKind kind = commit->op_count ? commit->ops[0].kind : OP_PUT;
    return kind == OP_PURGE || kind == OP_TRASH || kind == OP_EXPUNGE || kind == OP_KEPT || kind == OP_UNDELETE;
}

static Code replay_commit(Replay *replay, const JournalRecord *record, Err *err)
{
    Commit commit;
    TRY(commit_decode(record->payload, &replay->plan.arena, &commit, err));
    if (of_trash(&commit) && replay->commits > 0) {
        TRY(replay_apply(replay, err));
        TRY(commit_decode(record->payload, &replay->plan.arena, &commit, err));
    }
    size_t missing = commit.body_count - MIN(commit.body_count, replay->bodies.len);
    if (missing > 0 && replay->seen)
        return err_set(err, E_CORRUPT, "a commit record of the journal has lost its bodies");
    /* Only of the first record: they were in a segment that is compacted away, their puts moved. */
    const uint64_t *bodies =
        replay->bodies.items + (replay->bodies.len + missing - commit.body_count);
    for (size_t i = 0; i < commit.op_count; i++) {
        CommitOp *op = &commit.ops[i];
        if (op->record.place == PLACE_JOURNAL) {
            if (op->record.at < missing) {
                if (op->kind != OP_KEPT)
                    feed_put(&replay->plan, replay->store, op, CHANGE_PUT);
                continue;
            }
            op->record.at = bodies[op->record.at - missing];
        }
        TRY(plan_op(&replay->plan, replay->store, op, err));
    }
    replay->lsn = record->lsn;
    replay->next_sequence = MAX(replay->next_sequence, commit.next_sequence);
    replay->ops += commit.op_count;
    return ++replay->commits < REPLAY_GROUP && replay->ops < REPLAY_OPS ? E_OK : replay_apply(replay, err);
}

static Code replay_record(void *arg, const JournalRecord *record, Err *err)
{
    Replay *replay = arg;
    if (record->type == RECORD_BODY) {
        vec_push(&replay->bodies, record->lsn);
        return E_OK;
    }
    if (record->type != RECORD_COMMIT)
        return E_OK; /* of another user of the journal */
    if (record->lsn != replay->skip_lsn)
        TRY(replay_commit(replay, record, err));
    replay->seen = true;
    replay->bodies.len = 0;
    return E_OK;
}

static Code sweep_visit(void *arg, const BlobId *id, Err *err)
{
    Store *store = arg;
    Buf key AUTO(buf_done);
    buf_init(&key, INDEX_KEY_MAX);
    key_blob(&key, id);
    {
        Cursor cursor AUTO(cursor_done) = { 0 };
        TRY(cursor_init(&cursor, store, err));
        TRY(cursor_seek(&cursor, buf_str(&key), err));
        if (cursor.there && str_eq(cursor_key(&cursor), buf_str(&key)))
            return E_OK;
    }
    return store->backend_ops->blob_remove(store->backend, id, err);
}

static Code journal_replay(Store *store, const StoreOptions *options, bool *ret_clean, Err *err)
{
    Replay replay AUTO(replay_done) = { .store = store,
                                        .skip_lsn = store->applied_lsn,
                                        .next_sequence = store->next_sequence };
    TRY(feed_load(store, err));
    TRY(segments_load(store, err));
    TRY(store->backend_ops->open(store->os, options, store->applied_lsn, replay_record, &replay,
                                 ret_clean, &store->segment_bytes, &store->backend, err));
    return replay_apply(&replay, err);
}

static Code start(Store *store, const StoreOptions *options, Err *err)
{
    bool clean;
    if (options->dir)
        TRY(os_dir_make_durable(store->os, options->dir, err));
    int64_t begun_us = os_monotonic_us(store->os);
    TRY(index_open(store, options, err));
    Code code = journal_replay(store, options, &clean, err);
    if (code == E_GONE) {
        TRY(index_renew(store, options, err));
        code = journal_replay(store, options, &clean, err);
    }
    TRY(code);
    store->remade.took_us = os_monotonic_us(store->os) - begun_us;
    TRY(space_open(store, options, err));
    return clean ? E_OK : store->backend_ops->blob_list(store->backend, sweep_visit, store, err);
}

/* Without `orderly` nothing is marked clean: for a start that failed. */
static void store_end(Store *store, bool orderly)
{
    committer_stop(store);
    ASSERT(!store->leading && !store->queue_first);
    orderly = orderly && !store->broken && store->index && store->backend;
    if (orderly && store->index_ops->flush(store->index, NULL) != E_OK)
        orderly = false;
    if (store->index)
        store->index_ops->close(store->index);
    if (store->backend)
        store->backend_ops->close(store->backend, orderly && atomic_load(&store->staged) == 0 && !store->orphans);
    cond_done(&store->changed);
    cond_done(&store->asked);
    mutex_done(&store->mutex);
    vec_done(&store->live);
    space_done(&store->space);
    mutex_done(&store->holds.mutex);
    mutex_done(&store->pins_mutex);
    mutex_done(&store->compacting);
    arena_done(&store->buckets.arena);
    mutex_done(&store->buckets.mutex);
    free(store->dir);
    mem_free(&store);
}

void store_free(Store **store)
{
    if (*store)
        store_end(TAKE(*store), true);
}

static Store *store_new(Os *os, const StoreOptions *options)
{
    Store *store = mem_new(sizeof *store);
    store->os = os;
    store->next_sequence = 1;
    store->dir = options->dir ? strdup(options->dir) : NULL;
    ASSERT(!options->dir || store->dir);
    mutex_init(&store->compacting);
    mutex_init(&store->holds.mutex);
    mutex_init(&store->pins_mutex);
    space_init(&store->space);
    int64_t seconds = options->trash_seconds ? options->trash_seconds : STORE_TRASH_SECONDS;
    store->trash_us = MAX(seconds, (int64_t)0) * 1000000;
    store->feed.journal_max = options->feed_journal_bytes ? options->feed_journal_bytes : STORE_FEED_JOURNAL_BYTES;
    store->opened_us = os_now_us(store->os);
    store->opened_monotonic_us = os_monotonic_us(store->os);
    mutex_init(&store->mutex);
    cond_init(&store->changed);
    cond_init(&store->asked);
    mutex_init(&store->buckets.mutex);
    return store;
}

Code store_shadow_open(Store *store, Store **ret_shadow, Err *err)
{
    char path[OS_PATH_MAX] = "";
    Store *shadow = store_new(store->os, &(StoreOptions){ 0 });
    Replay replay AUTO(replay_done) = { .store = shadow, .next_sequence = 1 };
    shadow->backend_ops = store->backend_ops;
    shadow->index_ops = store->index_ops;
    shadow->segment_bytes = store->segment_bytes;
    shadow->trash_us = store->trash_us;
    Code code = store->dir ? index_shadow_path(store, path, err) : E_OK;
    if (code == E_OK)
        code = shadow->index_ops->open(store->os, path, 0, true, &shadow->index, err);
    if (code == E_OK)
        code = journal_scan(store->backend_ops->journal(store->backend), 0, UINT64_MAX, replay_record, &replay, err);
    if (code == E_OK)
        code = replay_apply(&replay, err);
    *ret_shadow = shadow;
    if (code != E_OK)
        store_shadow_close(store, ret_shadow);
    return code;
}

void store_shadow_close(Store *store, Store **shadow)
{
    store_end(TAKE(*shadow), false);
    index_shadow_remove(store);
}

/* `*ret_again`: the index was found to be damaged on the way, so that the next try makes it again. */
static Code open_once(Os *os, const StoreOptions *options, Store **ret_store, bool *ret_again, Err *err)
{
    Str backend = str_z(options->backend ? options->backend : "drives");
    Str index = str_z(options->index ? options->index : "rocksdb");
    Store *store = store_new(os, options);
    for (size_t i = 0; i < ARRAY_LEN(backends); i++)
        if (str_eq(str_z(backends[i]->name), backend))
            store->backend_ops = backends[i];
    for (size_t i = 0; i < ARRAY_LEN(indexes); i++)
        if (str_eq(str_z(indexes[i]->name), index))
            store->index_ops = indexes[i];
    Code code = E_OK;
    if (!store->backend_ops || !store->index_ops)
        code = err_set(err, E_INVALID, "no such backend or index: " STR_FMT ", " STR_FMT,
                       STR_ARG(backend), STR_ARG(index));
    else if (!options->dir && (store->backend_ops->durable || store->index_ops->persistent))
        code = err_set(err, E_INVALID, "this store needs a directory");
    if (code == E_OK)
        code = start(store, options, err);
    if (code == E_OK)
        code = committer_start(store, err);
    if (code != E_OK) {
        *ret_again = atomic_load(&store->index_bad);
        store_end(store, false);
        return err_wrap(err, code, "the store cannot be opened");
    }
    *ret_store = store;
    return E_OK;
}

Code store_open(Os *os, const StoreOptions *options, Store **ret_store, Err *err)
{
    bool again = false, once = false;
    Code code = open_once(os, options, ret_store, &again, err);
    return code != E_OK && again ? open_once(os, options, ret_store, &once, err) : code;
}

Code store_usage(Store *store, StoreUsage *ret_usage, Err *err)
{
    (void)err;
    Journal *journal = store->backend_ops->journal(store->backend);
    uint64_t journal_bytes = 0;
    if (journal) {
        uint64_t size = journal_segment_bytes(journal);
        journal_bytes = (journal_end(journal) / size - journal_start(journal) / size + 1) * size;
    }
    MUTEX_HELD(&store->mutex);
    *ret_usage = store->usage;
    ret_usage->journal_bytes = journal_bytes;
    if (journal)
        journal_recent(journal, &ret_usage->recent_bytes, &ret_usage->recent_reads);
    return E_OK;
}
