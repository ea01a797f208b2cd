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

static Code bucket_verify(Verify *verify, Str bucket, Err *err)
{
    Arena page_arena AUTO(arena_done) = { 0 };
    char next[STORE_KEY_MAX];
    StoreListQuery query = { .bucket = bucket };
    StoreListPage page;
    do {
        Code code = store_list(verify->store, &query, &page_arena, &page, err);
        if (code == E_NOT_FOUND)
            return E_OK; /* deleted in the meantime */
        if (code != E_OK)
            return code;
        for (size_t i = 0; i < page.object_count; i++)
            object_verify(verify, &page.objects[i]);
        if (page.next.len)
            memcpy(next, page.next.ptr, page.next.len);
        query.start_after = str_of(next, page.next.len);
        arena_reset(&page_arena);
    } while (page.truncated);
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
    TRY(store_bucket_list(store, &arena, &buckets, &count, err));
    for (size_t i = 0; i < count; i++)
        TRY(bucket_verify(&verify, buckets[i].name, err));
    *ret_verified = verify.seen;
    return E_OK;
}
