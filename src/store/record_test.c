/* Covers record.c and keys.c. */
#include "store/store_priv.h"

#include "base/test.h"

#include <string.h>

static void commit_sample(Commit *commit, CommitOp ops[5], StoreTag *tag)
{
    *tag = (StoreTag){ STR("source"), STR("skies") };
    for (int i = 0; i < 5; i++) {
        ops[i] = (CommitOp){ .kind = (OpKind)(i + 1) };
        ops[i].record.info = (ObjectInfo){ .bucket = STR("bronze"),
                                           .key = STR("a\0b"),
                                           .sequence = 7 + (uint64_t)i,
                                           .modified_us = -5 };
    }
    ops[0].record.place = PLACE_JOURNAL;
    ops[0].record.at = 1;
    ops[0].record.info.size_bytes = 99;
    ops[0].record.info.content_type = STR("text/csv");
    ops[0].record.info.tags = tag;
    ops[0].record.info.tag_count = 1;
    ops[2].of_sequence = 3;
    ops[2].record.info.trust = TRUST_REFUSED;
    *commit = (Commit){ .next_sequence = 12, .body_count = 2, .ops = ops, .op_count = 5 };
}

TEST(record_commit_round_trip_and_every_cut_refused)
{
    Arena arena AUTO(arena_done) = { 0 };
    Err err;
    Commit commit, again;
    CommitOp ops[5];
    StoreTag tag;
    commit_sample(&commit, ops, &tag);
    Buf buf AUTO(buf_done);
    buf_init(&buf, 10000);
    commit_encode(&buf, &commit);
    CHECK_OK(commit_decode(buf_str(&buf), &arena, &again, &err), &err);
    CHECK_INT(again.op_count, 5);
    CHECK_INT(again.next_sequence, 12);
    CHECK_STR(again.ops[0].record.info.key, STR("a\0b"));
    CHECK_STR(again.ops[0].record.info.tags[0].value, STR("skies"));
    CHECK_INT(again.ops[0].record.at, 1);
    CHECK_INT(again.ops[2].record.info.trust, TRUST_REFUSED);
    CHECK_INT(again.ops[4].record.info.modified_us, -5);
    for (size_t cut = 0; cut < buf.len; cut++)
        CHECK_CODE(commit_decode(str_sub(buf_str(&buf), 0, cut), &arena, &again, &err), E_CORRUPT);
    buf.ptr[0] = COMMIT_VERSION + 1;
    CHECK_CODE(commit_decode(buf_str(&buf), &arena, &again, &err), E_UNSUPPORTED);
    buf.ptr[0] = COMMIT_VERSION_LEAST;
    for (int i = 0; i < 3; i++) { /* of the trash: of a kind that the version before does not know */
        ops[i].kind = (OpKind)(OP_EXPUNGE + i);
        ops[i].of_sequence = 4;
        ops[i].trashed_us = 77;
        ops[i].record.place = i == 0 ? PLACE_NONE : PLACE_JOURNAL;
        ops[i].record.at = (uint64_t)i / 2;
    }
    buf_clear(&buf);
    commit_encode(&buf, &commit);
    CHECK_INT(buf.ptr[0], COMMIT_VERSION_TRASH);
    CHECK_OK(commit_decode(buf_str(&buf), &arena, &again, &err), &err);
    CHECK_INT(again.ops[0].of_sequence, 4);
    CHECK_INT(again.ops[1].trashed_us, 77);
    CHECK_INT(again.ops[1].record.info.sequence, 8);
    CHECK_STR(again.ops[2].record.info.key, STR("a\0b"));
    CHECK_INT(again.ops[2].of_sequence, 4);
    CHECK_INT(again.ops[2].record.at, 1);
    for (size_t cut = 0; cut < buf.len; cut++)
        CHECK_CODE(commit_decode(str_sub(buf_str(&buf), 0, cut), &arena, &again, &err), E_CORRUPT);
    buf.ptr[0] = COMMIT_VERSION_LEAST;
    CHECK_CODE(commit_decode(buf_str(&buf), &arena, &again, &err), E_CORRUPT);
    ops[0].kind = OP_CHANGE;
    ops[0].change = CHANGE_PUT;
    ops[0].record.info.part_count = 3; /* a number, without the parts */
    ops[0].record.info.tags = &tag;
    ops[0].record.info.tag_count = 1;
    buf_clear(&buf);
    commit_encode(&buf, &commit);
    CHECK_INT(buf.ptr[0], COMMIT_VERSION);
    CHECK_OK(commit_decode(buf_str(&buf), &arena, &again, &err), &err);
    CHECK(again.ops[0].kind == OP_CHANGE && again.ops[0].change == CHANGE_PUT && again.ops[0].of_sequence == 4);
    CHECK(again.ops[0].record.info.part_count == 3 && again.ops[0].record.info.sequence == 7);
    CHECK_STR(again.ops[0].record.info.tags[0].value, STR("skies"));
    for (size_t cut = 0; cut < buf.len; cut++)
        CHECK_CODE(commit_decode(str_sub(buf_str(&buf), 0, cut), &arena, &again, &err), E_CORRUPT);
    buf.ptr[0] = COMMIT_VERSION_TRASH;
    CHECK_CODE(commit_decode(buf_str(&buf), &arena, &again, &err), E_CORRUPT);
    commit.body_count = 1; /* the put names a body that is not there */
    buf_clear(&buf);
    commit_encode(&buf, &commit);
    CHECK_CODE(commit_decode(buf_str(&buf), &arena, &again, &err), E_CORRUPT);
}

TEST(record_keys_sort_and_come_back)
{
    static const Str keys[] = { STR_INIT("a"),    STR_INIT("a\0"), STR_INIT("a\0\0"),
                                STR_INIT("a\0b"), STR_INIT("a\1"), STR_INIT("ab"),
                                STR_INIT("\xff") };
    Arena arena AUTO(arena_done) = { 0 };
    Err err;
    Str before = STR_NONE;
    for (size_t i = 0; i < ARRAY_LEN(keys); i++)
        for (uint64_t sequence = 3; sequence > 0; sequence--) { /* the latest first */
            Buf buf AUTO(buf_done);
            buf_init(&buf, INDEX_KEY_MAX);
            key_version(&buf, STR("bronze"), keys[i], sequence);
            Str index_key = str_copy(&arena, buf_str(&buf)), bucket, key;
            CHECK(str_cmp(before, index_key) < 0);
            before = index_key;
            uint64_t parsed = 0;
            CHECK_OK(key_object_parse(index_key, &arena, &bucket, &key, &parsed, &err), &err);
            CHECK_STR(key, keys[i]);
            CHECK_STR(bucket, STR("bronze"));
            CHECK_INT(parsed, sequence);
        }
}
