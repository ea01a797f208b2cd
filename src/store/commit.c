/* commit.c: the one way in which anything changes.
 *
 * Invariants
 * 1. The first request that finds nobody leading takes the queue as a group. Only the leader
 * appends to the journal and applies to the index, so conditions that it checks hold until its
 * group is applied.
 * 2. A request is one commit record behind its bodies: whole or absent after a crash. A replayed
 *    commit record takes the BODY records right before it.
 * 3. Nobody is answered, and no reader sees a change, before its record is durable.
 * 4. If the index cannot follow the journal the store is broken: it refuses to write, and the next
 *    start replays what is missing. */
#include "store/store_priv.h"

#include "format/md5_many.h"
#include "format/sha256_many.h"

#include <string.h>

typedef struct Group {
    Plan plan;
    Request *first;
    Vec(JournalRecord) records;
    uint64_t next_sequence;
    Code plan_code; /* of the change that could not be planned: then nothing of the group is done */
} Group;

static void group_done(Group *group)
{
    plan_done(&group->plan);
    vec_done(&group->records);
}

static Code precondition(const CommitOp *op, const char *why, Err *err)
{
    return err_set(err, E_PRECONDITION, "s3://" STR_FMT "/" STR_FMT " %s",
                   STR_ARG(op->record.info.bucket), STR_ARG(op->record.info.key), why);
}

static Code put_check(const CommitOp *op, const VersionState *newest, const BucketState *bucket,
                      Err *err)
{
    bool there = newest && !newest->now.info.delete_marker;
    if (!bucket->is)
        return err_set(err, E_NOT_FOUND, "no bucket " STR_FMT, STR_ARG(bucket->now.name));
    switch (op->condition) {
    case PUT_ALWAYS:
        return E_OK;
    case PUT_IF_ABSENT:
        return there ? precondition(op, "exists already", err) : E_OK;
    case PUT_IF_SEQUENCE:
        if (!there)
            return precondition(op, "is not there any more", err);
        if (newest->sequence != op->if_sequence)
            return precondition(op, "was replaced in the meantime", err);
        return E_OK;
    }
    return E_OK;
}

/* How a put or a marker stands to the versions that are there. */
static Code versioning_set(Group *group, Store *store, KeyState *state, CommitOp *op,
                           StoreVersioning versioning, Err *err)
{
    VersionState *null_version;
    op->record.info.null_version = versioning != VERSIONING_ENABLED;
    op->replace = versioning == VERSIONING_NEVER     ? REPLACE_OLDER
                  : versioning == VERSIONING_ENABLED ? REPLACE_NOTHING
                                                     : REPLACE_NULL;
    if (op->replace == REPLACE_NULL)
        TRY(plan_null(&group->plan, store, state, &null_version, err)); /* loaded for plan_op */
    return E_OK;
}

/* Nothing in the index and nothing of this group. */
static Code bucket_empty_check(Group *group, Store *store, Str bucket, Err *err)
{
    Buf seek AUTO(buf_done);
    buf_init(&seek, INDEX_KEY_MAX);
    key_bucket_objects(&seek, bucket);
    Cursor cursor AUTO(cursor_done) = { 0 };
    TRY(cursor_init(&cursor, store, err));
    TRY(cursor_seek(&cursor, buf_str(&seek), err));
    bool empty = !(cursor.there && str_starts(cursor_key(&cursor), buf_str(&seek)));
    buf_clear(&seek);
    key_bucket_uploads(&seek, bucket);
    TRY(cursor_seek(&cursor, buf_str(&seek), err));
    empty = empty && !(cursor.there && str_starts(cursor_key(&cursor), buf_str(&seek)));
    for (const UploadState *upload = group->plan.uploads; upload; upload = upload->next)
        empty = empty && !(upload->is && str_eq(upload->bucket, bucket));
    for (size_t i = 0; i < PLAN_SLOTS; i++)
        for (KeyState *state = group->plan.slots[i]; state; state = state->next)
            for (VersionState *version = state->versions; version; version = version->next)
                empty = empty && !(version->is && str_eq(state->bucket, bucket));
    return empty ? E_OK
                 : err_set(err, E_CONFLICT, "bucket " STR_FMT " is not empty", STR_ARG(bucket));
}

static const StoreProperty *property_find(const StoreBucket *bucket, Str name)
{
    for (size_t i = 0; i < bucket->property_count; i++)
        if (str_eq(bucket->properties[i].name, name))
            return &bucket->properties[i];
    return NULL;
}

/* The bucket with one property changed, added or removed. */
static Code property_set(Arena *arena, const StoreBucket *now, const StoreProperty *property,
                         StoreBucket *ret_bucket, Err *err)
{
    bool removes = property->value.ptr == NULL;
    size_t count = 0;
    if (!removes && !property_find(now, property->name) && now->property_count == STORE_PROPERTIES_MAX)
        return err_set(err, E_LIMIT, "bucket " STR_FMT " has %d properties already", STR_ARG(now->name),
                       STORE_PROPERTIES_MAX);
    StoreProperty *properties = arena_array(arena, StoreProperty, now->property_count + 1);
    for (size_t i = 0; i < now->property_count; i++)
        if (!str_eq(now->properties[i].name, property->name))
            properties[count++] = now->properties[i];
    if (!removes)
        properties[count++] = *property;
    *ret_bucket = *now;
    ret_bucket->properties = properties;
    ret_bucket->property_count = count;
    return E_OK;
}

static Code bucket_set_check(Group *group, const BucketState *state, CommitOp *op, Err *err)
{
    StoreVersioning versioning = op->bucket.versioning;
    if (op->property)
        return property_set(&group->plan.arena, &state->now, op->property, &op->bucket, err);
    if (versioning == VERSIONING_NEVER && state->now.versioning != VERSIONING_NEVER)
        return err_set(err, E_INVALID, "bucket " STR_FMT " counts versions: it can only be suspended",
                       STR_ARG(state->now.name));
    op->bucket = state->now;
    op->bucket.versioning = versioning;
    return E_OK;
}

static Code bucket_check(Group *group, Store *store, CommitOp *op, Err *err)
{
    Str name = op->record.info.bucket;
    BucketState *state;
    TRY(plan_bucket(&group->plan, store, name, &state, err));
    if (op->again) {
        bool live = state->is && state->now.sequence == op->record.info.sequence;
        op->skip = op->kind != OP_BUCKET_DELETE && !live;
        if (!op->skip && op->kind != OP_BUCKET_DELETE)
            op->bucket = state->now;
        return E_OK;
    }
    if (op->kind == OP_BUCKET_CREATE)
        return state->is
                   ? err_set(err, E_EXISTS, "bucket " STR_FMT " exists already", STR_ARG(name))
                   : E_OK;
    if (!state->is)
        return err_set(err, E_NOT_FOUND, "no bucket " STR_FMT, STR_ARG(name));
    return op->kind == OP_BUCKET_SET ? bucket_set_check(group, state, op, err)
                                     : bucket_empty_check(group, store, name, err);
}

static Code move_check(Group *group, Store *store, KeyState *state, CommitOp *op, Err *err)
{
    VersionState *version;
    TRY(plan_version(&group->plan, store, state, op->record.info.sequence, &version, err));
    op->skip = !version->is || version->now.place != op->record.place ||
               (version->now.place == PLACE_JOURNAL && version->now.at != op->old_lsn);
    op->replace = REPLACE_NOTHING;
    if (!op->skip) {
        op->record.info.trust = version->now.info.trust;
        op->record.info.tags = version->now.info.tags;
        op->record.info.tag_count = version->now.info.tag_count;
    }
    return E_OK;
}

/* The version that a delete is about, as its bucket's versioning says; a marker becomes one. */
static Code delete_check(Group *group, Store *store, KeyState *state, CommitOp *op, Err *err)
{
    const ObjectInfo *info = &op->record.info;
    VersionState *newest, *version = NULL;
    BucketState *bucket;
    TRY(plan_bucket(&group->plan, store, info->bucket, &bucket, err));
    if (!bucket->is)
        return err_set(err, E_NOT_FOUND, "no bucket " STR_FMT, STR_ARG(info->bucket));
    bool exact = op->of_sequence != 0 && op->of_sequence != STORE_VERSION_NULL;
    if (exact && op->if_sequence == 0)
        newest = NULL; /* no matter which: a key with many versions is not looked through for each */
    else
        TRY(plan_newest(&group->plan, store, state, &newest, err));
    if (op->if_sequence != 0 && (!newest || newest->now.info.delete_marker))
        return no_such_key(info->bucket, info->key, err);
    if (op->if_sequence != 0 && newest->sequence != op->if_sequence)
        return precondition(op, "was replaced in the meantime", err);
    if (op->of_key && bucket->now.versioning != VERSIONING_NEVER) {
        op->kind = OP_MARKER;
        op->record.info.delete_marker = true;
        op->existed = newest && !newest->now.info.delete_marker;
        return versioning_set(group, store, state, op, bucket->now.versioning, err);
    }
    version = newest;
    if (op->of_sequence == STORE_VERSION_NULL)
        TRY(plan_null(&group->plan, store, state, &version, err));
    else if (op->of_sequence != 0)
        TRY(plan_version(&group->plan, store, state, op->of_sequence, &version, err));
    op->existed = version && version->is;
    op->skip = !op->existed;
    if (op->skip)
        return E_OK;
    op->of_sequence = version->sequence;
    op->record.info.delete_marker = version->now.info.delete_marker;
    op->record.info.null_version = version->now.info.null_version;
    return E_OK;
}

/* Trust, tags: of a version that is there. */
static Code change_check(Group *group, Store *store, KeyState *state, CommitOp *op, Err *err)
{
    VersionState *newest, *version;
    TRY(plan_newest(&group->plan, store, state, &newest, err));
    if (!newest || (op->of_sequence == 0 && newest->now.info.delete_marker))
        return no_such_key(op->record.info.bucket, op->record.info.key, err);
    version = newest;
    if (op->of_sequence == STORE_VERSION_NULL)
        TRY(plan_null(&group->plan, store, state, &version, err));
    else if (op->of_sequence != 0)
        TRY(plan_version(&group->plan, store, state, op->of_sequence, &version, err));
    if (!version || !version->is)
        return err_set(err, E_GONE, "this version is not there any more");
    op->of_sequence = version->sequence;
    return E_OK;
}

static Code object_check(Group *group, Store *store, const Request *request, CommitOp *op, Err *err)
{
    const ObjectInfo *info = &op->record.info;
    KeyState *state;
    VersionState *newest;
    BucketState *bucket;
    TRY(plan_key(&group->plan, store, info->bucket, info->key, &state, err));
    bool exact = op->kind == OP_DELETE && op->of_sequence != 0;
    bool twice = state->request == request && !op->again && op->kind != OP_MOVE && !exact;
    state->request = exact ? state->request : request;
    if (twice)
        return err_set(err, E_INVALID, "the key '" STR_FMT "' stands twice in one group",
                       STR_ARG(info->key));
    if (op->kind == OP_MOVE)
        return move_check(group, store, state, op, err);
    if (op->again)
        return E_OK;
    if (op->kind == OP_DELETE)
        return delete_check(group, store, state, op, err);
    if (op->kind != OP_PUT && op->kind != OP_UNDELETE)
        return change_check(group, store, state, op, err);
    TRY(plan_bucket(&group->plan, store, info->bucket, &bucket, err));
    if (op->kind == OP_UNDELETE)
        TRY(undelete_check(&group->plan, store, state, bucket, op, err));
    TRY(plan_newest(&group->plan, store, state, &newest, err));
    TRY(put_check(op, newest, bucket, err));
    if (op->complete)
        TRY(upload_check(&group->plan, store, op, err));
    return versioning_set(group, store, state, op, bucket->now.versioning, err);
}

static bool of_upload(const CommitOp *op)
{
    return op->kind == OP_UPLOAD_CREATE || op->kind == OP_UPLOAD_PART || op->kind == OP_UPLOAD_ABORT;
}

static bool of_bucket(const CommitOp *op)
{
    return op->kind == OP_BUCKET_CREATE || op->kind == OP_BUCKET_DELETE || op->kind == OP_BUCKET_SET;
}

static Code ops_check(Group *group, Store *store, Request *request, Err *err)
{
    for (size_t i = 0; i < request->count; i++) {
        CommitOp *op = &request->ops[i];
        op->skip = false;
        if (of_bucket(op))
            TRY(bucket_check(group, store, op, err));
        else if (op->kind == OP_PURGE || op->kind == OP_TRASH)
            TRY(trash_check(&group->plan, store, op, err));
        else if (op->kind == OP_EXPUNGE || op->kind == OP_KEPT)
            TRY(trashed_check(&group->plan, store, op, err));
        else if (op->kind == OP_CHANGE)
            continue; /* it was, whatever is now */
        else if (of_upload(op))
            TRY(upload_check(&group->plan, store, op, err));
        else
            TRY(object_check(group, store, request, op, err));
    }
    return E_OK;
}

bool sha256_differs(const CommitOp *op)
{
    return memcmp(op->sha256_wanted, op->record.info.sha256, SHA256_LEN) != 0;
}

static Code digests_check(const Request *request, Err *err)
{
    for (size_t i = 0; i < request->count; i++)
        if (request->ops[i].sha256_wanted && sha256_differs(&request->ops[i]))
            return err_set(err, E_INVALID, "the bytes of '" STR_FMT "' have another SHA-256 than was said",
                           STR_ARG(request->ops[i].record.info.key));
    return E_OK;
}

/* Numbers the ops, encodes them, changes the plan. On failure nothing of the request is left, or `plan_code` is set. */
static Code request_plan(Group *group, Store *store, Request *request, int64_t now_us, Err *err)
{
    TRY(digests_check(request, err));
    TRY(ops_check(group, store, request, err));
    Commit commit = { .next_sequence = group->next_sequence,
                      .ops = request->ops,
                      .op_count = request->count };
    for (size_t i = 0; i < request->count; i++) {
        CommitOp *op = &request->ops[i];
        if (!op->again && op->kind != OP_MOVE && !op->skip) {
            op->record.info.sequence = commit.next_sequence++;
            op->record.info.modified_us = now_us;
        }
        if (op->kind == OP_BUCKET_CREATE && !op->again)
            op->bucket.created_us = now_us;
        if (!op->skip && op->record.place == PLACE_JOURNAL)
            op->record.at = commit.body_count++;
    }
    Buf buf AUTO(buf_done);
    buf_init(&buf, JOURNAL_PAYLOAD_MAX);
    IGNORE(!buf_reserve(&buf, ROW_BYTES));
    commit_encode(&buf, &commit);
    TRY(buf_end(&buf, "a group of changes", err));
    for (size_t i = 0; i < request->count; i++) {
        const CommitOp *op = &request->ops[i];
        if (op->skip)
            continue;
        if (op->record.place == PLACE_JOURNAL)
            vec_push(&group->records, (JournalRecord){ .type = RECORD_BODY, .payload = op->body });
        group->plan_code = plan_op(&group->plan, store, op, err);
        if (group->plan_code != E_OK) /* an index that is damaged: ops_check has not looked at all of it */
            return group->plan_code;
    }
    Str payload = str_copy(&group->plan.arena, buf_str(&buf));
    vec_push(&group->records, (JournalRecord){ .type = RECORD_COMMIT, .payload = payload });
    group->next_sequence = commit.next_sequence;
    return E_OK;
}

/* Whether something of the group is not refused on a full disk: it goes on with the reserve. */
static bool group_frees(const Group *group)
{
    for (const Request *request = group->first; request; request = request->next) {
        OpKind kind = request->count ? request->ops[0].kind : OP_MOVE; /* an empty one is of compaction */
        if (request->code == E_OK && kind != OP_PUT && kind != OP_UPLOAD_CREATE && kind != OP_UPLOAD_PART &&
            kind != OP_UNDELETE)
            return true;
    }
    return false;
}

/* Requests of the pieces before are durable, and nobody here knows which. */
static Code group_is_half(Store *store, Err *err)
{
    MUTEX_HELD(&store->mutex);
    store->broken = true;
    return err_wrap(err, E_IO, "a part of the group is in the journal");
}

/* In pieces that the journal takes: of a lone request the commit record is in the last. */
static Code records_append(Group *group, Store *store, Err *err)
{
    size_t from = 0;
    while (from < group->records.len) {
        uint64_t bytes = 0;
        size_t to = from;
        while (
            to < group->records.len &&
            (to == from || bytes + group->records.items[to].payload.len <= JOURNAL_GROUP_MAX / 2))
            bytes += group->records.items[to++].payload.len;
        Code code = store->backend_ops->append(store->backend, group->records.items + from, to - from, err);
        if (code == E_NO_SPACE && group_frees(group) && space_reserve_use(store))
            code = store->backend_ops->append(store->backend, group->records.items + from, to - from, err);
        if (code != E_OK)
            return from > 0 && group->first->next ? group_is_half(store, err) : code;
        from = to;
        if (from < group->records.len)
            CRASH_POINT_AT("put_half_appended");
    }
    return E_OK;
}

/* Counts of bodies become the LSNs that the append has given. */
static void places_set(Group *group)
{
    size_t at = 0;
    for (Request *request = group->first; request; request = request->next) {
        if (request->code != E_OK)
            continue;
        for (size_t i = 0; i < request->count; i++) {
            CommitOp *op = &request->ops[i];
            if (!op->skip && op->record.place == PLACE_JOURNAL)
                op->record.at = group->records.items[at++].lsn;
        }
        at++; /* its commit record */
    }
}

/* Only under test: where a group of one kind of change is. */
static void crash_points(const Group *group, CrashStage stage)
{
    for (const Request *request = group->first; request; request = request->next)
        if (request->code == E_OK && request->count > 0)
            crash_point_of(&request->ops[0], stage);
}

static size_t group_ops(const Group *group)
{
    size_t count = 0;
    for (const Request *request = group->first; request; request = request->next)
        count += request->count;
    return count;
}

static Str *bodies_of(CommitOp *const *ops, size_t count, Arena *arena)
{
    Str *bodies = arena_array(arena, Str, count);
    for (size_t i = 0; i < count; i++)
        bodies[i] = ops[i]->body;
    return bodies;
}

/* Many at once take a fraction of what one after the other takes. */
static void group_md5(CommitOp *const *ops, size_t count, Arena *arena)
{
    uint8_t (*digests)[MD5_LEN] = arena_array_raw(arena, count, sizeof *digests);
    md5_many(bodies_of(ops, count, arena), count, digests);
    for (size_t i = 0; i < count; i++) {
        memcpy(ops[i]->record.info.md5, digests[i], MD5_LEN);
        ops[i]->record.info.has_md5 = true;
    }
}

static void group_sha256(CommitOp *const *ops, size_t count, Arena *arena)
{
    uint8_t (*digests)[SHA256_LEN] = arena_array_raw(arena, count, sizeof *digests);
    sha256_many(bodies_of(ops, count, arena), count, digests);
    for (size_t i = 0; i < count; i++) {
        memcpy(ops[i]->record.info.sha256, digests[i], SHA256_LEN);
        ops[i]->record.info.has_sha256 = true;
    }
}

static void group_hash(Group *group)
{
    Arena *arena = &group->plan.arena;
    size_t most = group_ops(group), md5 = 0, sha256 = 0;
    CommitOp **of_md5 = arena_array(arena, CommitOp *, most), **of_sha256 = arena_array(arena, CommitOp *, most);
    for (const Request *request = group->first; request; request = request->next)
        for (size_t i = 0; i < request->count; i++) {
            CommitOp *op = &request->ops[i];
            if (op->md5_wanted)
                of_md5[md5++] = op;
            if (op->sha256_wanted)
                of_sha256[sha256++] = op;
        }
    if (md5 > 0)
        group_md5(of_md5, md5, arena);
    if (sha256 > 0)
        group_sha256(of_sha256, sha256, arena);
}

static size_t group_requests(const Group *group)
{
    size_t count = 0;
    for (const Request *request = group->first; request; request = request->next)
        count += request->code == E_OK;
    return count;
}

static uint64_t group_bytes(const Group *group)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < group->records.len; i++)
        bytes += group->records.items[i].payload.len;
    return bytes;
}

/* What the puts of the group meet, and what their buckets hold, by one cursor: opening one for each costs as much as
 * the rest of its planning. */
static Code group_look(Group *group, Store *store, Err *err)
{
    Cursor cursor AUTO(cursor_done) = { 0 };
    if (!group->first->next)
        return E_OK;
    TRY(cursor_init(&cursor, store, err));
    for (const Request *request = group->first; request; request = request->next)
        for (size_t i = 0; i < request->count; i++) {
            const CommitOp *op = &request->ops[i];
            if (op->kind != OP_PUT)
                continue;
            TRY(plan_key_at(&group->plan, &cursor, op->record.info.bucket, op->record.info.key, err));
            TRY(usage_look(&group->plan, &cursor, op->record.info.bucket, err));
        }
    return E_OK;
}

static Code group_commit(Group *group, Store *store, Err *err)
{
    group_hash(group);
    IGNORE(group_look(group, store, NULL) != E_OK); /* what it did not find is looked for, and told, by its request */
    int64_t now_us = os_now_us(store->os);
    for (Request *request = group->first; request && group->plan_code == E_OK; request = request->next)
        request->code = request_plan(group, store, request, now_us, request->err);
    if (group->plan_code != E_OK)
        return err_set(err, group->plan_code, "a change of the same group could not be planned");
    if (group->records.len == 0)
        return E_OK;
    if (crash_point_armed)
        crash_points(group, CRASH_CHECKED);
    int64_t begun_us = os_monotonic_us(store->os);
    Code appended = records_append(group, store, err);
    commit_stats_add(store, group_requests(group), group_bytes(group), os_monotonic_us(store->os) - begun_us);
    if (appended == E_IO) /* the record may be on the drive: its bytes must stay */
        return err_wrap(err, E_UNKNOWN_OUTCOME,
                        "whether it is durable will show at the next start");
    if (appended != E_OK)
        return appended;
    if (crash_point_armed)
        crash_points(group, CRASH_APPENDED);
    places_set(group);
    uint64_t lsn = vec_last(&group->records)->lsn;
    Code code = plan_apply(&group->plan, store, lsn, group->next_sequence, err);
    if (code != E_OK) {
        MUTEX_HELD(&store->mutex);
        store->broken = true;
        return err_wrap(err, E_UNKNOWN_OUTCOME, "it is durable, but the index could not follow");
    }
    cool_note(store, &group->plan);
    if (crash_point_armed)
        crash_points(group, CRASH_APPLIED);
    return E_OK;
}

/* Of a change without its pairs and parts; of a pair's lengths; of a part; of what the leader adds to a completion:
 * the fields and tags that its upload began with, as many and as long as they can be. */
enum {
    OP_BYTES = 2 * STORE_KEY_MAX + 512,
    PAIR_BYTES = 20,
    PART_BYTES = 160,
    UPLOADED_BYTES = STORE_META_MAX * (STORE_META_NAME_MAX + STORE_META_VALUE_MAX + PAIR_BYTES) +
                     STORE_TAGS_MAX * (STORE_TAG_KEY_MAX + STORE_TAG_VALUE_MAX + PAIR_BYTES)
};

uint64_t pairs_bytes(const StoreTag *pairs, size_t count)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += pairs[i].key.len + pairs[i].value.len + PAIR_BYTES;
    return bytes;
}

/* No less than its records take in the journal, so that several requests of a group fit one append: the pieces
 * of a group that the disk has no room for any more are those of a lone request (group_is_half). */
static uint64_t op_bytes(const CommitOp *op)
{
    const ObjectInfo *info = &op->record.info;
    if (op->kind == OP_BUCKET_SET || op->kind == OP_UNDELETE) /* the leader makes what it says */
        return JOURNAL_GROUP_MAX;
    bool begun_again = op->kind == OP_UPLOAD_CREATE && op->again; /* the leader finds what it began with */
    bool whole = op->kind == OP_PUT || op->kind == OP_MOVE || op->kind == OP_MARKER || op->kind == OP_KEPT ||
                 (op->kind == OP_UPLOAD_CREATE && !op->again); /* others have no record that still stands */
    uint64_t bytes = op->body.len + OP_BYTES + (op->complete || begun_again ? UPLOADED_BYTES : 0);
    if (whole || op->kind == OP_TAGS || op->kind == OP_CHANGE)
        bytes += pairs_bytes(info->tags, info->tag_count);
    if (whole)
        bytes += pairs_bytes(info->meta, info->meta_count) +
                 (op->complete ? op->complete->part_count : info->part_count) * PART_BYTES;
    return bytes;
}

static uint64_t request_bytes(const Request *request)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < request->count; i++)
        bytes += op_bytes(&request->ops[i]);
    return bytes;
}

/* The mutex is held. */
static Request *group_take(Store *store)
{
    Request *first = store->queue_first, *last = first;
    uint64_t bytes = request_bytes(first);
    while (last->next && bytes + request_bytes(last->next) <= JOURNAL_GROUP_MAX / 2) {
        last = last->next;
        bytes += request_bytes(last);
    }
    store->queue_first = last->next;
    if (!store->queue_first)
        store->queue_last = NULL;
    last->next = NULL;
    return first;
}

/* The mutex is held on entry and on return, and free while `over` is called. */
static void group_tell(Store *store, Request *later)
{
    if (store->waiting > 0)
        cond_broadcast(&store->changed);
    if (!later)
        return;
    mutex_unlock(&store->mutex);
    for (Request *next; later; later = next) {
        next = later->next;
        later->over(later);
    }
    mutex_lock(&store->mutex);
}

static const char broken_text[] = "the store must be opened again";

Code store_writable(Store *store, Err *err)
{
    Journal *journal = store->backend_ops->journal(store->backend);
    mutex_lock(&store->mutex);
    bool broken = store->broken;
    mutex_unlock(&store->mutex);
    if (broken)
        return err_set(err, E_UNAVAILABLE, "%s", broken_text);
    return journal ? journal_writable(journal, err) : E_OK;
}

void store_lead(Store *store)
{
    Group group = { .first = group_take(store), .next_sequence = store->next_sequence };
    Err err;
    err_clear(&err);
    bool broken = store->broken;
    store->leading = true;
    mutex_unlock(&store->mutex);
    Code code = broken ? err_set(&err, E_UNAVAILABLE, "%s", broken_text)
                       : group_commit(&group, store, &err);
    Request *later = NULL, **later_end = &later;
    group_done(&group);
    mutex_lock(&store->mutex);
    store->leading = false;
    for (Request *request = group.first, *next; request; request = next) {
        next = request->next;
        if (request->code == E_OK && code != E_OK) {
            request->code = code;
            if (request->err)
                *request->err = err;
        }
        if (request->over) {
            request->next = NULL;
            *later_end = request;
            later_end = &request->next;
        } else {
            request->done = true; /* its owner may go as soon as the mutex is free */
        }
    }
    if (store->queue_first)
        cond_signal(&store->asked);
    group_tell(store, later);
}

/* The mutex is held. */
static void enqueue(Store *store, Request *request)
{
    if (store->queue_last)
        store->queue_last->next = request;
    else
        store->queue_first = request;
    store->queue_last = request;
}

void store_commit_later(Store *store, Request *request)
{
    MUTEX_HELD(&store->mutex);
    enqueue(store, request);
    if (store->committer.running && !store->leading && store->queue_first == request)
        cond_signal(&store->asked);
    while (!store->committer.running && store->queue_first && !store->leading)
        store_lead(store);
}

Code store_commit(Store *store, CommitOp *ops, size_t count, Err *err)
{
    Request request = { .ops = ops, .count = count, .err = err };
    MUTEX_HELD(&store->mutex);
    enqueue(store, &request);
    store->waiting++;
    while (!request.done) {
        if (store->leading)
            cond_wait(&store->changed, &store->mutex);
        else
            store_lead(store);
    }
    store->waiting--;
    return request.code;
}
