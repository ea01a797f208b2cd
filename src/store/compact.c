/* compact.c: gives the space of dead records back, from the oldest segment on.
 *
 * Invariants
 * 1. What is live is appended again (OP_MOVE, with its own sequence) and applied before the segment
 *    is forgotten; buckets are repeated, and deletes until every reader of the feed has given them back. Other
 *    changes that a reader has not given back are said again as such (OP_CHANGE).
 * 2. The index is flushed before a segment is forgotten: a replay never has to start in it.
 * 3. At least one commit record is written each time, so that the next sequence number survives the
 *    loss of the index.
 * 4. Segments are chosen as a run from the oldest on, the longest that is dead enough as a whole: a full one in
 *    front is moved as soon as what is dead behind it pays for that; a gap in the journal stays a sign of damage.
 * 5. A commit record whose bodies lie in the segment before its own is scanned with that one. */
#include "store/store_priv.h"

enum {
    MOVE_GROUP_BYTES = 4 * 1024 * 1024, /* bodies and what the record says: a half of what a record may have */
    MOVE_GROUP_PART = 4,                /* of a segment at most */
    MOVE_GROUP_OPS = 1000
};

typedef struct Compaction {
    Store *store;
    Journal *journal;
    uint64_t end;  /* of the segment: its records lie before it */
    bool counting; /* the first pass: only `last_sequence` */
    uint64_t last_sequence; /* of the segment */
    bool done;
    Vec(uint64_t) bodies;
    Vec(CommitOp) ops; /* of the group that is being made */
    Vec(CommitOp) trash; /* to be said again behind it, in a record of its own */
    Vec(CommitOp) changes; /* the same */
    Arena arena;       /* of the group */
    uint64_t group_bytes, group_bytes_max;
    uint64_t said_again, said_again_bytes; /* changes */
} Compaction;

static void compaction_done(Compaction *compaction)
{
    vec_done(&compaction->bodies);
    vec_done(&compaction->ops);
    vec_done(&compaction->trash);
    vec_done(&compaction->changes);
    arena_done(&compaction->arena);
}

/* The body of what is to be appended again. */
static Code body_take(Compaction *compaction, CommitOp *op, Err *err)
{
    compaction->group_bytes += op_bytes_encoded(op);
    if (op->record.place != PLACE_JOURNAL)
        return E_OK;
    Buf body AUTO(buf_done);
    buf_init(&body, JOURNAL_PAYLOAD_MAX);
    TRY(journal_read(compaction->journal, op->record.at, RECORD_BODY, &body, err));
    op->body = str_copy(&compaction->arena, buf_str(&body));
    compaction->group_bytes += op->body.len;
    return E_OK;
}

/* If this version is trash that still waits, with its body at the same place, the journal says so again. */
static Code kept_again(Compaction *compaction, const ObjectRecord *was, Err *err)
{
    CommitOp kept = { .kind = OP_KEPT, .again = true };
    bool found;
    TRY(trashed_lookup(compaction->store, was->info.bucket, was->info.key, was->info.sequence, &compaction->arena,
                       &kept.record, &kept.trashed_us, &found, err));
    if (!found || kept.record.place != was->place || (was->place == PLACE_JOURNAL && kept.record.at != was->at))
        return E_OK;
    kept.old_lsn = was->at;
    TRY(body_take(compaction, &kept, err));
    vec_push(&compaction->trash, kept);
    return E_OK;
}

/* The readers of the feed do not lose a change whose record goes. */
static Code change_again(Compaction *compaction, uint64_t sequence, Err *err)
{
    CommitOp again;
    bool any;
    TRY(feed_again(compaction->store, sequence, &compaction->arena, &again, &any, err));
    if (any) {
        uint64_t bytes = op_bytes_encoded(&again);
        vec_push(&compaction->changes, again);
        compaction->group_bytes += bytes;
        compaction->said_again_bytes += bytes;
        compaction->said_again++;
    }
    return E_OK;
}

static Code group_commit(Compaction *compaction, Err *err)
{
    if (compaction->ops.len > 0)
        TRY(store_commit(compaction->store, compaction->ops.items, compaction->ops.len, err));
    for (size_t i = 0; i < compaction->ops.len; i++) {
        const CommitOp *op = &compaction->ops.items[i];
        if (op->kind == OP_MOVE && op->skip) /* it went to the trash before it was moved */
            TRY(kept_again(compaction, &op->record, err));
        if ((op->kind == OP_MOVE || op->kind == OP_BUCKET_CREATE) && op->skip)
            TRY(change_again(compaction, op->record.info.sequence, err));
    }
    if (compaction->trash.len > 0)
        TRY(store_commit(compaction->store, compaction->trash.items, compaction->trash.len, err));
    if (compaction->changes.len > 0)
        TRY(store_commit(compaction->store, compaction->changes.items, compaction->changes.len, err));
    compaction->ops.len = compaction->trash.len = compaction->changes.len = 0;
    compaction->group_bytes = 0;
    arena_reset(&compaction->arena);
    return E_OK;
}

/* Is this put what the index holds, at this place? Then *ret_live is its record. */
static Code put_live(Compaction *compaction, const CommitOp *op, uint64_t lsn, bool *ret_live,
                     ObjectRecord *ret_record, Err *err)
{
    const ObjectInfo *info = &op->record.info;
    TRY(store_lookup_version(compaction->store, info->bucket, info->key, info->sequence,
                             &compaction->arena, ret_record, ret_live, err));
    *ret_live = *ret_live && ret_record->place == op->record.place &&
                (op->record.place != PLACE_JOURNAL || ret_record->at == lsn);
    return E_OK;
}

static Code put_move(Compaction *compaction, const ObjectRecord *record, Err *err)
{
    CommitOp move = { .kind = OP_MOVE, .record = *record, .old_lsn = record->at };
    TRY(body_take(compaction, &move, err));
    vec_push(&compaction->ops, move);
    return E_OK;
}

/* If these bytes are trash that still waits, the journal says so again: the record that named them goes. */
static Code trash_again(Compaction *compaction, const BlobId *blob, Err *err)
{
    TrashItem item;
    bool found = false;
    if (compaction->trash.len == MOVE_GROUP_OPS) /* of the parts of one object too */
        TRY(group_commit(compaction, err));
    if (!blob_is_none(blob))
        TRY(trash_find(compaction->store, blob, &compaction->arena, &item, &found, err));
    if (!found)
        return E_OK;
    CommitOp again = { .kind = OP_TRASH, .again = true, .of_sequence = item.of_sequence };
    again.record.blob = item.blob;
    again.record.info.modified_us = item.time_us;
    again.record.info.size_bytes = item.size_bytes;
    again.record.info.bucket = item.bucket;
    vec_push(&compaction->trash, again);
    return E_OK;
}

static Code op_visit(Compaction *compaction, const CommitOp *op, uint64_t commit_lsn,
                     uint64_t body_lsn, Err *err)
{
    bool in_segment = commit_lsn < compaction->end;
    bool put = op->kind == OP_PUT || op->kind == OP_MOVE || op->kind == OP_MARKER || op->kind == OP_UNDELETE ||
               op->kind == OP_KEPT;
    if (!put && !in_segment)
        return E_OK;
    if (op->kind == OP_TRUST || op->kind == OP_TAGS || op->kind == OP_CHANGE) /* those of a live version move with it */
        return change_again(compaction, op->record.info.sequence, err);
    if (op->kind == OP_UPLOAD_ABORT || op->kind == OP_PURGE || op->kind == OP_EXPUNGE)
        return E_OK; /* what they were about is gone or moves by itself */
    if (op->kind == OP_UPLOAD_PART || op->kind == OP_TRASH)
        TRY(trash_again(compaction, &op->record.blob, err));
    if (op->kind == OP_TRASH)
        return E_OK;
    bool ends = op->kind == OP_DELETE || op->kind == OP_BUCKET_DELETE;
    if (ends && feed_gave_back(compaction->store, op->record.info.sequence))
        return E_OK; /* the records of what it took away are all older, so they are gone or go with it */
    if (!put) {
        CommitOp again = *op; /* the leader says what is in it now: as much as now, or it is left out */
        compaction->group_bytes += op_bytes_encoded(op);
        again.again = true;
        again.record.info.bucket = str_copy(&compaction->arena, op->record.info.bucket);
        again.record.info.key = str_copy(&compaction->arena, op->record.info.key);
        vec_push(&compaction->ops, again);
        return E_OK;
    }
    if (!in_segment && (op->record.place != PLACE_JOURNAL || body_lsn >= compaction->end))
        return E_OK;
    bool live;
    ObjectRecord record;
    TRY(put_live(compaction, op, body_lsn, &live, &record, err));
    if (live)
        return put_move(compaction, &record, err);
    if (in_segment && op->kind != OP_KEPT) /* its change is said elsewhere, once */
        TRY(change_again(compaction, op->record.info.sequence, err));
    for (size_t i = 0; i < blob_count(&op->record); i++)
        TRY(trash_again(compaction, blob_at(&op->record, i), err));
    if (compaction->trash.len >= MOVE_GROUP_OPS)
        TRY(group_commit(compaction, err));
    record = op->record;
    record.at = body_lsn;
    return kept_again(compaction, &record, err);
}

static Code record_visit(void *arg, const JournalRecord *record, Err *err)
{
    Compaction *compaction = arg;
    if (record->type == RECORD_BODY)
        vec_push(&compaction->bodies, record->lsn);
    if (record->type != RECORD_COMMIT)
        return E_OK;
    Arena tmp AUTO(arena_done) = { 0 };
    Commit commit;
    TRY(commit_decode(record->payload, &tmp, &commit, err));
    if (record->lsn < compaction->end)
        compaction->last_sequence = commit.next_sequence - 1;
    size_t there = MIN(commit.body_count, compaction->bodies.len);
    size_t missing = commit.body_count - there, first = compaction->bodies.len - there;
    for (size_t i = 0; i < commit.op_count && !compaction->counting; i++) {
        const CommitOp *op = &commit.ops[i];
        uint64_t lsn = 0;
        if (op->record.place == PLACE_JOURNAL && op->record.at >= missing)
            lsn = compaction->bodies.items[first + op->record.at - missing];
        TRY(op_visit(compaction, op, record->lsn, lsn, err));
        if (compaction->group_bytes > compaction->group_bytes_max || compaction->ops.len >= MOVE_GROUP_OPS ||
            compaction->changes.len >= MOVE_GROUP_OPS)
            TRY(group_commit(compaction, err));
    }
    compaction->bodies.len = 0;
    compaction->done = record->lsn >= compaction->end;
    return compaction->done ? E_CANCELLED : E_OK; /* ends the scan */
}

static Code segment_pass(Compaction *compaction, uint64_t start, bool counting, Err *err)
{
    compaction->counting = counting;
    compaction->done = false;
    compaction->bodies.len = 0;
    Code code = journal_scan(compaction->journal, start, UINT64_MAX, record_visit, compaction, err);
    if (code != E_OK && !compaction->done)
        return code;
    return group_commit(compaction, err);
}

/* Of the oldest segment, whatever lives in it: segments_worth has found that it pays. */
static Code segment_compact(Store *store, Journal *journal, uint64_t worth, bool *ret_freed, Err *err)
{
    uint64_t size = journal_segment_bytes(journal);
    uint64_t start = journal_start(journal);
    Compaction compaction AUTO(
        compaction_done) = { .store = store, .journal = journal, .end = (start / size + 1) * size };
    compaction.group_bytes_max = MIN((uint64_t)MOVE_GROUP_BYTES, size / MOVE_GROUP_PART);
    *ret_freed = false;
    TRY(segment_pass(&compaction, start, true, err));
    if (feed_unread(store, compaction.last_sequence) && feed_waits(store, worth * size - start))
        return E_OK;
    CRASH_POINT_AT("compact_chosen");
    TRY(segment_pass(&compaction, start, false, err));
    feed_again_took(store, compaction.said_again, compaction.said_again_bytes);
    CRASH_POINT_AT("compact_moved");
    TRY(store_commit(store, NULL, 0, err)); /* invariant 3 */
    TRY(store->index_ops->flush(store->index, err));
    CRASH_POINT_AT("compact_flushed");
    TRY(journal_forget(journal, compaction.end, err));
    CRASH_POINT_AT("compact_forgotten");
    *ret_freed = true;
    return E_OK;
}

Code store_compact(Store *store, const bool *stop, size_t *ret_segments, Err *err)
{
    MUTEX_HELD(&store->compacting);
    Journal *journal = store->backend_ops->journal(store->backend);
    *ret_segments = 0;
    if (!journal || store_hold_on(store))
        return E_OK;
    uint64_t size = journal_segment_bytes(journal);
    uint64_t first = journal_start(journal) / size;
    uint64_t end = journal_end(journal) / size; /* the tail and the one before it stay */
    uint64_t worth = end > first ? segments_worth(store, first, end - 1, space_live_percent_max(store)) : first;
    bool freed = true;
    feed_waits_none(store);
    while (freed && journal_start(journal) / size < worth && !(stop && __atomic_load_n(stop, __ATOMIC_ACQUIRE))) {
        TRY(segment_compact(store, journal, worth, &freed, err));
        *ret_segments += freed;
    }
    return E_OK;
}
