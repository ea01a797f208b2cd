/* verify.c: looks at everything that is stored, while the store is in use. */
#include "store/store_priv.h"

#include <string.h>

enum { VERIFY_PIECE_BYTES = 1024 * 1024 };

typedef struct Verify {
    Store *store;
    bool hashes;
    StoreFindingVisit *visit;
    void *arg;
    StoreVerified seen;
    char *piece;
} Verify;

static void verify_done(Verify *verify)
{
    mem_free(&verify->piece);
}

static void finding(Verify *verify, Code code, Str bucket, Str key, const char *text)
{
    verify->seen.findings++;
    StoreFinding found = { code, bucket, key, text };
    if (verify->visit)
        verify->visit(verify->arg, &found);
}

static Code record_count(void *arg, const JournalRecord *record, Err *err)
{
    Verify *verify = arg;
    verify->seen.records++;
    Arena tmp AUTO(arena_done) = { 0 };
    Commit commit;
    return record->type == RECORD_COMMIT ? commit_decode(record->payload, &tmp, &commit, err)
                                         : E_OK;
}

static Code bytes_verify(Verify *verify, ObjectReader *reader, Err *err)
{
    const ObjectInfo *info = object_reader_info(reader);
    uint8_t digest[SHA256_LEN];
    Sha256 sha AUTO(sha256_done) = { 0 };
    sha256_init(&sha);
    for (uint64_t at = 0; at < info->size_bytes;) {
        size_t got;
        TRY(object_pread(reader, verify->piece, VERIFY_PIECE_BYTES, at, &got, err));
        sha256_update(&sha, str_of(verify->piece, got));
        at += got;
        verify->seen.bytes += got;
    }
    sha256_final(&sha, digest);
    if (info->has_sha256 && memcmp(digest, info->sha256, sizeof digest) != 0)
        return err_set(err, E_CORRUPT, "the SHA-256 of the bytes is not the stored one");
    return E_OK;
}

static void object_verify(Verify *verify, const ObjectInfo *info)
{
    Err err;
    err_clear(&err);
    ObjectReader *reader AUTO(object_reader_free) = NULL;
    Code code =
        store_reader_open(verify->store, info->bucket, info->key, info->sequence, &reader, &err);
    if (code == E_OK && verify->hashes)
        code = bytes_verify(verify, reader, &err);
    bool replaced = code == E_GONE || (code == E_NOT_FOUND && !reader);
    if (code == E_OK)
        verify->seen.objects++;
    else if (!replaced) /* in the meantime; it is nobody's fault */
        finding(verify, code, info->bucket, info->key, err.text);
}

static Code blob_verify(Verify *verify, const BlobId *id, uint64_t size, Err *err)
{
    const BackendOps *ops = verify->store->backend_ops;
    Blob *blob;
    TRY(ops->blob_open(verify->store->backend, id, size, &blob, err));
    Code code = E_OK;
    for (uint64_t at = 0; verify->hashes && code == E_OK && at < size;) {
        size_t len = (size_t)MIN((uint64_t)VERIFY_PIECE_BYTES, size - at);
        code = ops->blob_pread(blob, verify->piece, len, at, err);
        at += len;
        verify->seen.bytes += len;
    }
    ops->blob_close(blob);
    return code;
}

static Code part_verify(Verify *verify, Str row, Str value, Err *err)
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
    Arena tmp AUTO(arena_done) = { 0 };
    Cursor now AUTO(cursor_done) = { 0 };
    TRY(cursor_init(&now, verify->store, err));
    TRY(cursor_seek(&now, row, err));
    if (now.there && str_eq(cursor_key(&now), row)) /* neither completed nor aborted in the meantime */
        finding(verify, code, STR_NONE, STR_NONE,
                str_copy_z(&tmp, str_format(&tmp, "a part of an upload: %s", why.text)));
    return E_OK;
}

/* Parts of uploads that go on are nobody's versions. */
static Code parts_verify(Verify *verify, Err *err)
{
    Cursor cursor AUTO(cursor_done) = { 0 };
    TRY(cursor_init(&cursor, verify->store, err));
    TRY(cursor_seek(&cursor, STR("p"), err));
    while (cursor.there && str_starts(cursor_key(&cursor), STR("p"))) {
        TRY(part_verify(verify, cursor_key(&cursor), cursor_value(&cursor), err));
        TRY(cursor_next(&cursor, err));
    }
    return E_OK;
}

static Code bucket_verify(Verify *verify, Str bucket, Err *err)
{
    Arena page_arena AUTO(arena_done) = { 0 };
    char next[STORE_KEY_MAX];
    StoreListQuery query = { .bucket = bucket, .versions = true };
    StoreListPage page;
    do {
        Code code = store_list(verify->store, &query, &page_arena, &page, err);
        if (code == E_NOT_FOUND)
            return E_OK; /* deleted in the meantime */
        if (code != E_OK)
            return code;
        for (size_t i = 0; i < page.object_count; i++)
            if (!page.objects[i].delete_marker)
                object_verify(verify, &page.objects[i]);
        if (page.next.len)
            memcpy(next, page.next.ptr, page.next.len);
        query.start_after = str_of(next, page.next.len);
        query.after_sequence = page.next_sequence;
        arena_reset(&page_arena);
    } while (page.truncated);
    return E_OK;
}

/* Every block of the index is read, so that each is compared with its checksum. */
static Code index_verify(Verify *verify, Err *err)
{
    Cursor cursor AUTO(cursor_done) = { 0 };
    TRY(cursor_init(&cursor, verify->store, err));
    TRY(cursor_seek(&cursor, STR_NONE, err));
    while (cursor.there)
        TRY(cursor_next(&cursor, err));
    return E_OK;
}

Code store_verify(Store *store, bool hashes, StoreFindingVisit *visit, void *arg,
                  StoreVerified *ret_verified, Err *err)
{
    Verify verify AUTO(
        verify_done) = { .store = store, .hashes = hashes, .visit = visit, .arg = arg };
    Arena arena AUTO(arena_done) = { 0 };
    StoreBucket *buckets;
    size_t count;
    verify.piece = mem_new(VERIFY_PIECE_BYTES);
    Journal *journal = store->backend_ops->journal(store->backend);
    if (journal) {
        Err why;
        err_clear(&why);
        Code code = journal_scan(journal, 0, UINT64_MAX, record_count, &verify, &why);
        if (code != E_OK)
            finding(&verify, code, STR_NONE, STR_NONE, why.text);
    }
    if (hashes)
        TRY(index_verify(&verify, err));
    TRY(store_bucket_list(store, &arena, &buckets, &count, err));
    for (size_t i = 0; i < count; i++)
        TRY(bucket_verify(&verify, buckets[i].name, err));
    TRY(parts_verify(&verify, err));
    *ret_verified = verify.seen;
    return E_OK;
}
