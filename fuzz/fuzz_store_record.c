/* Any bytes as a commit record, an index value, an index key: what is accepted survives a round trip. */
#include "store/store_priv.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Arena arena AUTO(arena_done) = { 0 };
    Str bytes = str_of((const char *)data, size);
    check_commit(bytes, &arena);
    check_object(bytes, &arena);
    Str bucket, key;
    uint64_t sequence;
    if (key_object_parse(bytes, &arena, &bucket, &key, &sequence, NULL) == E_OK)
        ASSERT(key.len <= size && bucket.len <= size);
    return 0;
}
