/* verify.c: looks at everything that is stored, while the store is in use.
 *
 * Invariants
 * 1. What was replaced or deleted meanwhile is no finding: it is looked up again before it counts as damage.
 * 2. No cursor is open while bytes are read: rows are taken in pages.
 * 3. Each damage is one finding: that of a journal record is the object's whose body it is, if one lives. */
#include "store/store_priv.h"

#include <string.h>

enum { VERIFY_PIECE_BYTES = 1024 * 1024, PAGE_ROWS = 100, DAMAGES_MAX = 10000, WALKS = 3 };

static const char PUT_AGAIN[] = "put the object again from its source, or restore it from a backup";
static const char UPLOAD_AGAIN[] = "send this part again, or abort the upload";
static const char INDEX_AGAIN[] = "start tarn again: a start makes a damaged index/ again from the journal";
static const char KEEP_INDEX[] = "no object that lives has its bytes here; do not remove index/, which still knows "
                                 "what this record said, make a backup, and let compaction write it again";
static const char CHECK_DRIVE[] = "check the drive and its cable, then look again";

typedef struct Damage {
    uint64_t lsn;
    JournalDamage *what; /* in the arena */
    bool told;
} Damage;

typedef struct Verify {
    Store *store;
    const StoreScrub *scrub;
    StoreFindingVisit *visit;
    void *arg;
    StoreVerified seen;
    char *piece;
    Arena arena;
    Vec(Damage) damages;
    int64_t started_us;
    uint64_t read_bytes;
} Verify;

static void verify_done(Verify *verify)
{
    mem_free(&verify->piece);
    vec_done(&verify->damages);
    arena_done(&verify->arena);
}

static bool stopped(const Verify *verify)
{
    return verify->scrub->stop && __atomic_load_n(verify->scrub->stop, __ATOMIC_ACQUIRE);
}

/* Waits as long as the rate asks. */
static void pace(Verify *verify, uint64_t bytes)
{
    uint64_t rate = verify->scrub->bytes_per_second;
    Os *os = verify->store->os;
    verify->read_bytes += bytes;
    if (rate == 0 || !os_has_threads(os))
        return;
    int64_t due_us = verify->started_us + (int64_t)(verify->read_bytes / rate * 1000000 +
                                                    verify->read_bytes % rate * 1000000 / rate);
    Mutex mutex;
    Cond never;
    mutex_init(&mutex);
    cond_init(&never);
    mutex_lock(&mutex);
    for (int64_t left; (left = due_us - os_monotonic_us(os)) > 0 && !stopped(verify);)
        IGNORE(cond_wait_us(&never, &mutex, MIN(left, (int64_t)200000)));
    mutex_unlock(&mutex);
    cond_done(&never);
    mutex_done(&mutex);
}

static void read_count_bytes(Verify *verify, uint64_t bytes)
{
    verify->seen.bytes += bytes;
    pace(verify, bytes);
}

static void finding(Verify *verify, StoreFinding *found)
{
    verify->seen.findings++;
    if (!found->file)
        found->file = "";
    if (verify->visit)
        verify->visit(verify->arg, found);
}

/* File and byte from the error's place, "path:byte". */
static void finding_of_error(Verify *verify, StoreFinding *found, const Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Str place = str_z(err->place);
    ptrdiff_t colon = str_rfind_char(place, ':');
    uint64_t at;
    if (colon > 0 && str_u64(str_from(place, (size_t)colon + 1), &at)) {
        found->file = str_copy_z(&tmp, str_sub(place, 0, (size_t)colon));
        found->at = at;
    }
    found->text = err->text;
    if (found->code == E_IO && found->advice != INDEX_AGAIN)
        found->advice = CHECK_DRIVE;
    finding(verify, found);
}

/* ---- the journal ---- */

static Code record_seen(void *arg, const JournalRecord *record, Err *err)
{
    Verify *verify = arg;
    Arena tmp AUTO(arena_done) = { 0 };
    Commit commit;
    verify->seen.records++;
    pace(verify, record->payload.len);
    if (stopped(verify))
        return err_set(err, E_CANCELLED, "stopped");
    return record->type == RECORD_COMMIT ? commit_decode(record->payload, &tmp, &commit, err) : E_OK;
}

static void record_damaged(void *arg, const JournalDamage *what)
{
    Verify *verify = arg;
    if (verify->damages.len == DAMAGES_MAX)
        return;
    Damage damage = { .lsn = what->lsn, .what = arena_new(&verify->arena, JournalDamage) };
    *damage.what = *what;
    vec_push(&verify->damages, damage);
}

static void journal_verify(Verify *verify)
{
    Journal *journal = verify->store->backend_ops->journal(verify->store->backend);
    JournalScrub wanted = { record_seen, record_damaged, verify };
    Err err;
    err_clear(&err);
    Code code = journal ? journal_scrub(journal, &wanted, &err) : E_OK;
    StoreFinding found = { .code = code, .advice = KEEP_INDEX };
    if (code != E_OK && !stopped(verify))
        finding_of_error(verify, &found, &err);
}

/* Behind the walk over the objects: what none of them has claimed. */
static void damages_tell(Verify *verify)
{
    for (size_t i = 0; i < verify->damages.len; i++) {
        const Damage *damage = &verify->damages.items[i];
        Arena tmp AUTO(arena_done) = { 0 };
        StoreFinding found = { .code = E_CORRUPT, .file = damage->what->file, .at = damage->what->at,
                               .advice = KEEP_INDEX };
        if (damage->told)
            continue;
        found.text = str_format(&tmp, "%s of the journal is damaged%c", damage->what->what, 0).ptr;
        finding(verify, &found);
    }
}

static void damage_claim(Verify *verify, uint64_t lsn, StoreFinding *found)
{
    for (size_t i = 0; i < verify->damages.len; i++)
        if (verify->damages.items[i].lsn == lsn) {
            verify->damages.items[i].told = true;
            found->file = verify->damages.items[i].what->file;
            found->at = verify->damages.items[i].what->at;
        }
}

/* ---- objects ---- */

static Code bytes_verify(Verify *verify, ObjectReader *reader, Err *err)
{
    const ObjectInfo *info = object_reader_info(reader);
    uint8_t digest[SHA256_LEN];
    Sha256 sha AUTO(sha256_done) = { 0 };
    sha256_init(&sha);
    for (uint64_t at = 0; at < info->size_bytes && !stopped(verify);) {
        size_t got;
        TRY(object_pread(reader, verify->piece, VERIFY_PIECE_BYTES, at, &got, err));
        sha256_update(&sha, str_of(verify->piece, got));
        at += got;
        read_count_bytes(verify, got);
    }
    sha256_final(&sha, digest);
    if (info->has_sha256 && !stopped(verify) && memcmp(digest, info->sha256, sizeof digest) != 0)
        return err_set(err, E_CORRUPT, "the SHA-256 of the bytes is not the stored one");
    return E_OK;
}

static void object_verify(Verify *verify, const ObjectInfo *info)
{
    Err err;
    err_clear(&err);
    Arena tmp AUTO(arena_done) = { 0 };
    ObjectReader *reader AUTO(object_reader_free) = NULL;
    ObjectRecord record;
    bool there = false;
    Code code =
        store_reader_open(verify->store, info->bucket, info->key, info->sequence, &reader, &err);
    if (code == E_OK && verify->scrub->hashes)
        code = bytes_verify(verify, reader, &err);
    if (code == E_OK)
        verify->seen.objects++;
    if (code == E_OK ||
        (store_lookup_version(verify->store, info->bucket, info->key, info->sequence, &tmp, &record, &there, NULL) ==
             E_OK && !there))
        return; /* good, or replaced in the meantime */
    StoreFinding found = { .code = code, .bucket = info->bucket, .key = info->key, .sequence = info->sequence,
                           .advice = PUT_AGAIN };
    if (there && record.place == PLACE_JOURNAL)
        damage_claim(verify, record.at, &found);
    finding_of_error(verify, &found, &err);
}

static void index_finding(Verify *verify, Code code, const Err *err)
{
    StoreFinding found = { .code = code, .advice = INDEX_AGAIN };
    if (code == E_CORRUPT)
        index_damaged(verify->store, err);
    finding_of_error(verify, &found, err);
}

/* The rows that were walked over beside what their batches have counted: so a row that is lost is found. */
typedef struct Walk {
    uint64_t sequence; /* before it: with another behind it, nothing can be said */
    uint64_t versions, bytes;
} Walk;

static bool walk_agrees(Verify *verify, Str bucket, const Walk *walk)
{
    StoreBucket counted = { 0 };
    return usage_lookup(verify->store, bucket, &counted, NULL) != E_OK ||
           store_sequence(verify->store) != walk->sequence || stopped(verify) ||
           (counted.versions == walk->versions && counted.bytes == walk->bytes);
}

static Code bucket_walk(Verify *verify, Str bucket, bool bytes, Walk *ret_walk, Err *err)
{
    Arena page_arena AUTO(arena_done) = { 0 };
    char next[STORE_KEY_MAX];
    *ret_walk = (Walk){ .sequence = store_sequence(verify->store) };
    StoreListQuery query = { .bucket = bucket, .versions = true };
    StoreListPage page;
    do {
        Code code = store_list(verify->store, &query, &page_arena, &page, err);
        if (code != E_OK)
            return code;
        for (size_t i = 0; i < page.object_count && !stopped(verify); i++) {
            if (page.objects[i].delete_marker)
                continue;
            ret_walk->versions++;
            ret_walk->bytes += page.objects[i].size_bytes;
            if (bytes)
                object_verify(verify, &page.objects[i]);
        }
        if (page.next.len)
            memcpy(next, page.next.ptr, page.next.len);
        query.start_after = str_of(next, page.next.len);
        query.after_sequence = page.next_sequence;
        arena_reset(&page_arena);
    } while (page.truncated && !stopped(verify));
    return E_OK;
}

static Code bucket_verify(Verify *verify, Str bucket, Err *err)
{
    Walk walk;
    for (int i = 0; i < WALKS; i++) { /* again: a change may have been half seen */
        Code code = bucket_walk(verify, bucket, i == 0, &walk, err);
        if (code == E_NOT_FOUND)
            return E_OK; /* deleted in the meantime */
        if (code != E_OK)
            return code;
        if (walk_agrees(verify, bucket, &walk))
            return E_OK;
    }
    StoreBucket counted = { 0 };
    Err why;
    TRY(usage_lookup(verify->store, bucket, &counted, err));
    err_set(&why, E_CORRUPT, "the index has lost rows of the bucket " STR_FMT ": it lists %llu versions with %llu "
            "bytes, and has counted %llu with %llu", STR_ARG(bucket), (unsigned long long)walk.versions,
            (unsigned long long)walk.bytes, (unsigned long long)counted.versions, (unsigned long long)counted.bytes);
    index_finding(verify, E_CORRUPT, &why);
    return E_OK;
}

/* ---- uploads ---- */

typedef struct Rows {
    Arena arena;
    Str keys[PAGE_ROWS], values[PAGE_ROWS];
    size_t count;
} Rows;

static void rows_done(Rows *rows)
{
    arena_done(&rows->arena);
}

/* Those behind `*after` that start so; *after moves to the last. */
static Code rows_take(Verify *verify, Str prefix, Buf *after, Rows *rows, Err *err)
{
    Cursor cursor AUTO(cursor_done) = { 0 };
    TRY(cursor_init(&cursor, verify->store, err));
    TRY(cursor_seek(&cursor, buf_str(after), err));
    for (rows->count = 0; rows->count < PAGE_ROWS && cursor.there && str_starts(cursor_key(&cursor), prefix);) {
        rows->keys[rows->count] = str_copy(&rows->arena, cursor_key(&cursor));
        rows->values[rows->count++] = str_copy(&rows->arena, cursor_value(&cursor));
        TRY(cursor_next(&cursor, err));
    }
    if (rows->count == 0)
        return E_OK;
    buf_clear(after);
    buf_put(after, rows->keys[rows->count - 1]);
    buf_put_char(after, 0);
    return E_OK;
}

static Code blob_verify(Verify *verify, const BlobId *id, uint64_t size, Err *err)
{
    const BackendOps *ops = verify->store->backend_ops;
    Blob *blob;
    TRY(ops->blob_open(verify->store->backend, id, size, &blob, err));
    Code code = E_OK;
    for (uint64_t at = 0; verify->scrub->hashes && code == E_OK && at < size && !stopped(verify);) {
        size_t len = (size_t)MIN((uint64_t)VERIFY_PIECE_BYTES, size - at);
        code = ops->blob_pread(blob, verify->piece, len, at, err);
        at += len;
        read_count_bytes(verify, len);
    }
    ops->blob_close(blob);
    return code;
}

static Code part_verify(Verify *verify, Str bucket, Str key, Str row, Str value, Err *err)
{
    Err why;
    StorePart part;
    BlobId blob;
    err_clear(&why);
    Code code = part_decode(value, &part, &blob, &why);
    if (code == E_OK && !blob_is_none(&blob))
        code = blob_verify(verify, &blob, part.size_bytes, &why);
    if (code == E_OK)
        return E_OK;
    Cursor now AUTO(cursor_done) = { 0 };
    TRY(cursor_init(&now, verify->store, err));
    TRY(cursor_seek(&now, row, err));
    StoreFinding found = { .code = code, .bucket = bucket, .key = key, .advice = UPLOAD_AGAIN };
    if (now.there && str_eq(cursor_key(&now), row) && str_eq(cursor_value(&now), value))
        finding_of_error(verify, &found, &why); /* neither completed, aborted nor sent again in the meantime */
    return E_OK;
}

static Code upload_verify(Verify *verify, Str upload_row, Err *err)
{
    Buf own AUTO(buf_done), after AUTO(buf_done);
    Rows *rows AUTO(mem_free) = mem_new(sizeof *rows);
    Str key;
    StoreUploadId id;
    Arena tmp AUTO(arena_done) = { 0 };
    Code code = key_upload_parse(upload_row, &tmp, &key, &id, err);
    Str bucket = str_sub(upload_row, 1, (size_t)str_find_char(upload_row, 0) - 1);
    buf_init(&own, INDEX_KEY_MAX);
    buf_init(&after, INDEX_KEY_MAX);
    key_parts(&own, &id);
    key_parts(&after, &id);
    do {
        if (code == E_OK)
            code = rows_take(verify, buf_str(&own), &after, rows, err);
        for (size_t i = 0; i < rows->count && code == E_OK && !stopped(verify); i++)
            code = part_verify(verify, bucket, key, rows->keys[i], rows->values[i], err);
        arena_reset(&rows->arena);
    } while (code == E_OK && rows->count == PAGE_ROWS && !stopped(verify));
    rows_done(rows);
    return code;
}

/* Parts of uploads that go on are nobody's versions. */
static Code uploads_verify(Verify *verify, Err *err)
{
    Buf after AUTO(buf_done);
    Rows *rows AUTO(mem_free) = mem_new(sizeof *rows);
    Code code = E_OK;
    buf_init(&after, INDEX_KEY_MAX);
    buf_put_char(&after, 'u');
    do {
        code = rows_take(verify, STR("u"), &after, rows, err);
        for (size_t i = 0; i < rows->count && code == E_OK && !stopped(verify); i++)
            code = upload_verify(verify, rows->keys[i], err);
        arena_reset(&rows->arena);
    } while (code == E_OK && rows->count == PAGE_ROWS && !stopped(verify));
    rows_done(rows);
    return code;
}

/* ---- the whole ---- */

static void index_verify(Verify *verify)
{
    Store *store = verify->store;
    Err err;
    err_clear(&err);
    if (!store->index_ops->verify || !verify->scrub->hashes || stopped(verify))
        return;
    Code code = store->index_ops->verify(store->index, &err);
    if (code != E_OK)
        index_finding(verify, code, &err);
}

static Code named_verify(Verify *verify, Err *err)
{
    StoreBucket *buckets;
    size_t count;
    TRY(store_bucket_list(verify->store, &verify->arena, &buckets, &count, err));
    for (size_t i = 0; i < count && !stopped(verify); i++)
        TRY(bucket_verify(verify, buckets[i].name, err));
    return uploads_verify(verify, err);
}

Code store_scrub(Store *store, const StoreScrub *scrub, StoreFindingVisit *visit, void *arg,
                 StoreVerified *ret_verified, Err *err)
{
    Verify verify AUTO(verify_done) = { .store = store, .scrub = scrub, .visit = visit, .arg = arg };
    Err why;
    err_clear(&why);
    verify.started_us = os_monotonic_us(store->os);
    verify.piece = mem_new(VERIFY_PIECE_BYTES);
    journal_verify(&verify);
    index_verify(&verify);
    Code code = named_verify(&verify, &why);
    if (code == E_CORRUPT) /* of the index: what it cannot list is not looked at */
        index_finding(&verify, code, &why);
    else if (code != E_OK && err)
        *err = why;
    if (code != E_OK && code != E_CORRUPT)
        return code;
    damages_tell(&verify);
    *ret_verified = verify.seen;
    return E_OK;
}

Code store_verify(Store *store, bool hashes, StoreFindingVisit *visit, void *arg,
                  StoreVerified *ret_verified, Err *err)
{
    return store_scrub(store, &(StoreScrub){ .hashes = hashes }, visit, arg, ret_verified, err);
}
