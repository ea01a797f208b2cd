/* Covers uploads in parts: in both indexes, over a reopen, from the journal alone, after a
 * compaction. */
#include "store/store_priv.h"

#include "base/test.h"
#include "store/store_conformance.h"

#include <stdio.h>
#include <string.h>

#define BUCKET STR("uploads")

static Code lake_open(const char *index, Store **store, Err *err)
{
    static char dir[OS_PATH_MAX];
    snprintf(dir, sizeof dir, "%s/store", test_dir());
    StoreOptions options = { .index = index, .dir = dir, .segment_bytes = 1 << 20,
                             .trash_seconds = -1 };
    return store_open(os_real(), &options, store, err);
}

static size_t blob_files(Store *store)
{
    StorePurged purged;
    CHECK(store_trash_purge(store, NULL, &purged, NULL) == E_OK);
    Arena arena AUTO(arena_done) = { 0 };
    size_t files = 0;
    for (unsigned i = 0; i < 256; i++) {
        OsDirEntry *entries;
        size_t count = 0;
        Str dir = str_format(&arena, "%s/store/objects/%02x%c", test_dir(), i, 0);
        CHECK(os_dir_list(os_real(), dir.ptr, &arena, &entries, &count, NULL) == E_OK);
        files += count;
    }
    return files;
}

static Code part_put(Store *store, Str key, const StoreUploadId *id, uint32_t number, size_t len,
                     StorePart *ret_part, Err *err)
{
    static char bytes[400000];
    StagedObject *staged AUTO(store_stage_abort) = NULL;
    pattern_fill(bytes, len, number, 0);
    StorePart part = { .number = number, .checksum = digest_of(DIGEST_CRC32C, str_of(bytes, len)) };
    DigestValue md5 = digest_of(DIGEST_MD5, str_of(bytes, len));
    memcpy(part.md5, md5.bytes, sizeof part.md5);
    TRY(store_stage_part(store, &staged, err));
    TRY(store_stage_write(staged, str_of(bytes, len), err));
    TRY(store_stage_finish(staged, err));
    TRY(store_upload_part(store, BUCKET, key, id, &part, &staged, err));
    part.size_bytes = len;
    *ret_part = part;
    return E_OK;
}

static StoreUploadId begin(Store *store, Str key)
{
    Err err;
    StoreUploadId id = { 0 };
    StoreTag meta[] = { { STR("x-amz-meta-a"), STR("b") } };
    StoreUpload upload = { .bucket = BUCKET,
                           .key = key,
                           .owner = STR("ann"),
                           .content_type = STR("text/csv"),
                           .checksum_kind = DIGEST_CRC32C,
                           .meta = meta,
                           .meta_count = 1 };
    CHECK_OK(store_upload_create(store, &upload, &id, &err), &err);
    return id;
}

static const size_t sizes[] = { 300000, 1000, 0, 150000 };

static void check_bytes(Store *store, Str key)
{
    Err err;
    static char got[500000], wanted[500000];
    size_t len = 0, total = 0;
    for (uint32_t i = 0; i < ARRAY_LEN(sizes); i++) {
        pattern_fill(wanted + total, sizes[i], 2 * i + 1, 0);
        total += sizes[i];
    }
    ObjectReader *reader AUTO(object_reader_free) = NULL;
    CHECK_OK(store_reader_open(store, BUCKET, key, 0, &reader, &err), &err);
    if (!reader)
        return;
    CHECK_OK(object_pread(reader, got, sizeof got, 0, &len, &err), &err);
    CHECK_INT(len, total);
    CHECK(memcmp(got, wanted, total) == 0);
    CHECK_OK(object_pread(reader, got, 2000, 299500, &len, &err), &err); /* over three parts */
    CHECK_INT(len, 2000);
    CHECK(memcmp(got, wanted + 299500, 2000) == 0);
    CHECK_INT(object_reader_info(reader)->part_count, 4);
    CHECK_STR(object_reader_info(reader)->owner, STR("ann"));
    CHECK_STR(object_reader_info(reader)->meta[0].value, STR("b"));
}

static Code complete(Store *store, Str key, const StoreUploadId *id, const StorePart *parts,
                     size_t count, Err *err)
{
    uint64_t sequence;
    StoreComplete wanted = {
        .bucket = BUCKET, .key = key, .id = *id, .parts = parts, .part_count = count
    };
    return store_upload_complete(store, &wanted, &sequence, err);
}

TEST(upload_becomes_an_object)
{
    static const char *const indexes[] = { "rocksdb", "memory", "rocksdb" };
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    StoreUploadId id = { 0 }, other = { 0 };
    StorePart parts[4], extra;
    bool begun = false;
    for (size_t pass = 0; pass < ARRAY_LEN(indexes); pass++) {
        Store *store AUTO(store_free) = NULL;
        if (lake_open(indexes[pass], &store, &err) == E_INVALID)
            continue;
        if (!begun) {
            begun = true;
            CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
            id = begin(store, STR("k"));
            other = begin(store, STR("k"));
            for (uint32_t i = 0; i < 4; i++) /* out of order, with odd numbers */
                CHECK_OK(part_put(store, STR("k"), &id, 2 * (3 - i) + 1, sizes[3 - i],
                                  &parts[3 - i], &err),
                         &err);
            CHECK_OK(part_put(store, STR("k"), &id, 100, 140000, &extra, &err), &err);
            CHECK_OK(part_put(store, STR("k"), &id, 1, 300001, &extra, &err), &err);
            CHECK_OK(part_put(store, STR("k"), &id, 1, sizes[0], &parts[0], &err),
                     &err); /* again */
            CHECK_INT(blob_files(store), 4);
            continue; /* it survives a reopen, here from the journal */
        }
        if (pass == 1) {
            StorePart *listed;
            size_t count = 0;
            bool truncated = false;
            CHECK_OK(store_upload_parts(store, BUCKET, STR("k"), &id, 1, 3, &arena, &listed, &count,
                                        &truncated, &err),
                     &err);
            CHECK_INT(count, 3);
            CHECK(truncated);
            CHECK_INT(listed[0].number, 3);
            CHECK_INT(listed[2].size_bytes, sizes[3]);
            CHECK_CODE(complete(store, STR("k"), &id, (StorePart[]){ parts[1], parts[0] }, 2, &err),
                       E_INVALID);
            CHECK_CODE(complete(store, STR("k"), &id, &extra, 1, &err),
                       E_INVALID); /* another MD5 */
            CHECK_OK(complete(store, STR("k"), &id, parts, 4, &err), &err);
            CHECK_INT(blob_files(store), 3);
            CHECK_CODE(complete(store, STR("k"), &id, parts, 4, &err), E_NOT_FOUND);
            ObjectInfo info = { 0 };
            bool completed = false;
            CHECK_OK(store_completed(store, BUCKET, STR("k"), &id, &arena, &info, &completed, &err),
                     &err);
            CHECK(completed);
            CHECK(str_ends(object_etag(&arena, &info), STR("-4")));
            CHECK_OK(store_upload_abort(store, BUCKET, STR("k"), &other, &err), &err);
            CHECK_CODE(store_upload_abort(store, BUCKET, STR("k"), &other, &err), E_NOT_FOUND);
        }
        check_bytes(store, STR("k"));
        StoreVerified verified = { 0 };
        CHECK_OK(store_verify(store, true, NULL, NULL, &verified, &err), &err);
        CHECK_INT(verified.findings, 0);
        if (pass == 2) {
            CHECK_OK(store_delete(store, BUCKET, STR("k"), &err), &err);
            CHECK_INT(blob_files(store), 0);
        }
    }
}

TEST(upload_survives_compaction_and_lists)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    CHECK_OK(lake_open("memory", &store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    StoreUploadId ids[4] = { begin(store, STR("a")), begin(store, STR("a")),
                             begin(store, STR("d/x")), begin(store, STR("e")) };
    StorePart part;
    CHECK_OK(part_put(store, STR("a"), &ids[1], 1, 200000, &part, &err), &err);
    CHECK_OK(store_upload_abort(store, BUCKET, STR("e"), &ids[3], &err), &err);
    for (int i = 0; i < 60; i++)
        CHECK_OK(pattern_put(store, BUCKET, STR("hot"), 60000, 1, &err), &err);
    size_t freed = 0;
    CHECK_OK(store_compact(store, NULL, &freed, &err), &err);
    CHECK(freed > 0);
    store_free(&store);
    CHECK_OK(lake_open("memory", &store, &err), &err); /* from what the journal still has */
    for (size_t limit = 1; limit < 5; limit++) {
        StoreUploadQuery query = { .bucket = BUCKET, .delimiter = STR("/"), .limit = limit };
        StoreUploadPage page;
        size_t uploads = 0, prefixes = 0;
        StoreUploadId after;
        do {
            CHECK_OK(store_upload_list(store, &query, &arena, &page, &err), &err);
            for (size_t i = 0; i < page.upload_count; i++)
                CHECK(memcmp(&page.uploads[i].id, &ids[uploads + i], sizeof ids[0]) == 0);
            uploads += page.upload_count;
            prefixes += page.prefix_count;
            query.key_after = page.next_key;
            after = page.next_id;
            query.id_after = page.next_has_id ? &after : NULL;
        } while (page.truncated);
        CHECK_INT(uploads, 2);
        CHECK_INT(prefixes, 1);
    }
    StoreUpload upload = { 0 };
    CHECK_OK(store_upload_get(store, BUCKET, STR("a"), &ids[1], &arena, &upload, &err), &err);
    CHECK_STR(upload.content_type, STR("text/csv"));
    CHECK_STR(upload.meta[0].value, STR("b"));
    CHECK_OK(complete(store, STR("a"), &ids[1], &part, 1, &err), &err);
    CHECK_CODE(store_upload_get(store, BUCKET, STR("a"), &ids[1], &arena, &upload, &err),
               E_NOT_FOUND);
}

/* An index in which an upload is aborted before the second look of a reader. */
static const IndexOps *inner_ops;
static Store *abort_in;
static StoreUploadId abort_id;
static int cursors;

static Code cursor_open_and_abort(Index *index, bool now, IndexCursor **ret_cursor, Err *err)
{
    if (++cursors == 2) {
        abort_in->index_ops = inner_ops;
        TRY(store_upload_abort(abort_in, BUCKET, STR("k"), &abort_id, err));
    }
    return inner_ops->cursor_open(index, now, ret_cursor, err);
}

TEST(upload_that_ends_has_all_its_parts_or_is_gone)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Store *store AUTO(store_free) = NULL;
    StorePart part, *parts;
    size_t count = 0;
    bool truncated;
    static IndexOps ops;
    CHECK_OK(lake_open("memory", &store, &err), &err);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    abort_id = begin(store, STR("k"));
    CHECK_OK(part_put(store, STR("k"), &abort_id, 1, 1000, &part, &err), &err);
    ops = *(inner_ops = store->index_ops);
    ops.cursor_open = cursor_open_and_abort;
    abort_in = store;
    store->index_ops = &ops;
    Code code = store_upload_parts(store, BUCKET, STR("k"), &abort_id, 0, 0, &arena, &parts, &count, &truncated, &err);
    store->index_ops = inner_ops;
    CHECK(code == E_NOT_FOUND || (code == E_OK && count == 1));
}

TEST(upload_refuses)
{
    Err err;
    Store *store AUTO(store_free) = NULL;
    StoreOptions options = { .backend = "memory", .index = "memory" };
    CHECK_OK(store_open(os_real(), &options, &store, &err), &err);
    StoreUploadId id = { { 1 } };
    StorePart part;
    StoreUpload upload = { .bucket = BUCKET, .key = STR("k") };
    CHECK_CODE(store_upload_create(store, &upload, &id, &err), E_NOT_FOUND);
    CHECK_OK(store_bucket_create(store, BUCKET, &err), &err);
    CHECK_CODE(part_put(store, STR("k"), &id, 1, 10, &part, &err), E_NOT_FOUND);
    id = begin(store, STR("k"));
    CHECK_CODE(part_put(store, STR("k"), &id, 0, 10, &part, &err), E_INVALID);
    CHECK_CODE(part_put(store, STR("k"), &id, 10001, 10, &part, &err), E_INVALID);
    CHECK_CODE(part_put(store, STR("other"), &id, 1, 10, &part, &err), E_NOT_FOUND);
    CHECK_OK(part_put(store, STR("k"), &id, 1, 10, &part, &err), &err);
    CHECK_OK(pattern_put(store, BUCKET, STR("k"), 5, 1, &err), &err);
    StoreComplete wanted = { .bucket = BUCKET,
                             .key = STR("k"),
                             .id = id,
                             .parts = &part,
                             .part_count = 1,
                             .condition = PUT_IF_ABSENT };
    uint64_t sequence;
    CHECK_CODE(store_upload_complete(store, &wanted, &sequence, &err), E_PRECONDITION);
    CHECK(pattern_is(store, BUCKET, STR("k"), 5, 1));
    wanted.condition = PUT_ALWAYS;
    CHECK_OK(store_upload_complete(store, &wanted, &sequence, &err), &err); /* nothing was lost */
}
