/* Any bytes as a commit record, as each kind of row of the index, as an index key: what is accepted survives a round
 * trip. */
#include "store/store_priv.h"

enum { TRASH_KEY_LEN = 1 + 8 + sizeof(BlobId) };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_commit(Str bytes, Arena *arena)
{
    Commit commit, again;
    if (commit_decode(bytes, arena, &commit, NULL) != E_OK)
        return;
    Buf buf AUTO(buf_done);
    buf_init(&buf, JOURNAL_PAYLOAD_MAX);
    commit_encode(&buf, &commit);
    ASSERT(buf_end(&buf, "a commit", NULL) == E_OK);
    ASSERT(commit_decode(buf_str(&buf), arena, &again, NULL) == E_OK);
    ASSERT(again.op_count == commit.op_count && again.next_sequence == commit.next_sequence);
    for (size_t i = 0; i < commit.op_count; i++)
        ASSERT(str_eq(again.ops[i].record.info.key, commit.ops[i].record.info.key));
}

static void check_object(Str bytes, Arena *arena)
{
    ObjectRecord record, again;
    if (object_decode(bytes, false, arena, &record, NULL) != E_OK)
        return;
    Buf buf AUTO(buf_done);
    buf_init(&buf, JOURNAL_PAYLOAD_MAX);
    object_encode(&buf, &record);
    ASSERT(object_decode(buf_str(&buf), false, arena, &again, NULL) == E_OK);
    ASSERT(again.info.size_bytes == record.info.size_bytes && again.place == record.place);
}

static void check_part(Str bytes)
{
    StorePart part, again;
    BlobId blob, blob_again;
    Buf buf AUTO(buf_done);
    buf_init(&buf, JOURNAL_PAYLOAD_MAX);
    if (part_decode(bytes, &part, &blob, NULL) != E_OK)
        return;
    part_encode(&buf, &part, &blob);
    ASSERT(part_decode(buf_str(&buf), &again, &blob_again, NULL) == E_OK);
    ASSERT(again.number == part.number && again.size_bytes == part.size_bytes);
    ASSERT(blob_is_none(&blob) == blob_is_none(&blob_again));
}

static void check_bucket(Str bytes, Arena *arena)
{
    StoreBucket bucket, again;
    Buf buf AUTO(buf_done);
    buf_init(&buf, JOURNAL_PAYLOAD_MAX);
    if (bucket_decode(bytes, arena, &bucket, NULL) != E_OK)
        return;
    bucket_encode(&buf, &bucket);
    ASSERT(bucket_decode(buf_str(&buf), arena, &again, NULL) == E_OK);
    ASSERT(again.property_count == bucket.property_count && again.sequence == bucket.sequence);
    ASSERT(str_eq(again.owner, bucket.owner));
}

/* What only has to be taken or refused. */
static void check_others(Str bytes, Arena *arena)
{
    int64_t time_us;
    ObjectRecord record;
    TrashItem item;
    Str key;
    StoreUploadId id;
    if (trashed_decode(bytes, false, arena, &time_us, &record, NULL) == E_OK)
        ASSERT(record.info.part_count <= STORE_PARTS_MAX);
    if (trash_row_read(str_sub(bytes, 0, TRASH_KEY_LEN), str_from(bytes, TRASH_KEY_LEN), arena, &item, NULL) == E_OK)
        ASSERT(item.bucket.len <= STORE_BUCKET_MAX);
    if (key_upload_parse(bytes, arena, &key, &id, NULL) == E_OK)
        ASSERT(key.len <= bytes.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Arena arena AUTO(arena_done) = { 0 };
    Str bytes = str_of((const char *)data, size);
    check_commit(bytes, &arena);
    check_object(bytes, &arena);
    check_part(bytes);
    check_bucket(bytes, &arena);
    check_others(bytes, &arena);
    Str bucket, key;
    uint64_t sequence;
    if (key_object_parse(bytes, &arena, &bucket, &key, &sequence, NULL) == E_OK)
        ASSERT(key.len <= size && bucket.len <= size);
    return 0;
}
