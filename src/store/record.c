/* record.c: commit records of the journal and object values of the index, both directions. */
#include "store/store_priv.h"

#include <string.h>

enum { COMMIT_OPS_MAX = STORE_PUBLISH_MAX, OP_BYTES_MIN = 8 };

static void str_write(Buf *buf, Str s)
{
    write_varint(buf, s.len);
    buf_put(buf, s);
}

static Str str_read(Reader *r, size_t max)
{
    return read_bytes(r, (size_t)read_count(r, read_varint(r), max));
}

void object_encode(Buf *buf, const ObjectRecord *record)
{
    const ObjectInfo *info = &record->info;
    write_u8(buf, RECORD_VERSION);
    write_u8(buf, (uint8_t)record->place);
    if (record->place == PLACE_JOURNAL)
        write_u64le(buf, record->at);
    if (record->place == PLACE_BLOB)
        buf_put(buf, str_of(record->blob.bytes, sizeof record->blob.bytes));
    write_u64le(buf, info->size_bytes);
    write_u64le(buf, info->sequence);
    write_u64le(buf, (uint64_t)info->modified_us);
    buf_put(buf, str_of(info->sha256, sizeof info->sha256));
    write_u8(buf, (uint8_t)info->trust);
    str_write(buf, info->content_type);
    write_varint(buf, info->tag_count);
    for (size_t i = 0; i < info->tag_count; i++) {
        str_write(buf, info->tags[i].key);
        str_write(buf, info->tags[i].value);
    }
}

static void tags_read(Reader *r, Arena *arena, ObjectInfo *info)
{
    info->tag_count = (size_t)read_count(r, read_varint(r), STORE_TAGS_MAX);
    info->tags = arena_array(arena, StoreTag, info->tag_count);
    for (size_t i = 0; i < info->tag_count && reader_ok(r); i++) {
        info->tags[i].key = str_copy(arena, str_read(r, STORE_TAG_KEY_MAX));
        info->tags[i].value = str_copy(arena, str_read(r, STORE_TAG_VALUE_MAX));
    }
}

static void object_read(Reader *r, Arena *arena, ObjectRecord *record)
{
    ObjectInfo *info = &record->info;
    if (read_u8(r) != RECORD_VERSION)
        reader_fail(r, "an object record of another version");
    record->place = (PlaceKind)read_count(r, read_u8(r), PLACE_BLOB);
    if (record->place == PLACE_JOURNAL)
        record->at = read_u64le(r);
    Str blob = read_bytes(r, record->place == PLACE_BLOB ? sizeof record->blob.bytes : 0);
    if (blob.len)
        memcpy(record->blob.bytes, blob.ptr, blob.len);
    info->size_bytes = read_count(r, read_u64le(r), STORE_OBJECT_MAX);
    info->sequence = read_u64le(r);
    info->modified_us = (int64_t)read_u64le(r);
    Str sha = read_bytes(r, sizeof info->sha256);
    if (sha.len)
        memcpy(info->sha256, sha.ptr, sha.len);
    info->trust = (ObjectTrust)read_count(r, read_u8(r), TRUST_REFUSED);
    info->content_type = str_copy(arena, str_read(r, STORE_CONTENT_TYPE_MAX));
    tags_read(r, arena, info);
}

Code object_decode(Str bytes, Arena *arena, ObjectRecord *ret_record, Err *err)
{
    Reader r = reader_of(bytes);
    ObjectRecord record = { 0 };
    object_read(&r, arena, &record);
    TRY(reader_end(&r, "an object record of the index", err));
    *ret_record = record;
    return E_OK;
}

static void op_encode(Buf *buf, const CommitOp *op)
{
    const ObjectInfo *info = &op->record.info;
    write_u8(buf, (uint8_t)op->kind);
    write_u8(buf, op->again);
    write_u64le(buf, info->sequence);
    write_u64le(buf, (uint64_t)info->modified_us);
    str_write(buf, info->bucket);
    str_write(buf, info->key);
    switch (op->kind) {
    case OP_PUT:
    case OP_MOVE:
        object_encode(buf, &op->record);
        break;
    case OP_TRUST:
        write_u64le(buf, op->of_sequence);
        write_u8(buf, (uint8_t)info->trust);
        break;
    case OP_DELETE:
        write_u64le(buf, op->of_sequence);
        break;
    case OP_BUCKET_CREATE:
    case OP_BUCKET_DELETE:
        break;
    }
}

static void op_read(Reader *r, Arena *arena, CommitOp *op)
{
    op->kind = (OpKind)read_count(r, read_u8(r), OP_MOVE);
    op->again = read_count(r, read_u8(r), 1) != 0;
    ObjectInfo named = { .sequence = read_u64le(r), .modified_us = (int64_t)read_u64le(r) };
    named.bucket = str_copy(arena, str_read(r, STORE_BUCKET_MAX));
    named.key = str_copy(arena, str_read(r, STORE_KEY_MAX));
    op->record.info = named;
    switch (op->kind) {
    case OP_PUT:
    case OP_MOVE:
        object_read(r, arena, &op->record);
        if (op->record.info.sequence != named.sequence)
            reader_fail(r, "two sequence numbers of one put");
        op->record.info.bucket = named.bucket;
        op->record.info.key = named.key;
        return;
    case OP_TRUST:
        op->of_sequence = read_u64le(r);
        op->record.info.trust = (ObjectTrust)read_count(r, read_u8(r), TRUST_REFUSED);
        return;
    case OP_DELETE:
        op->of_sequence = read_u64le(r);
        return;
    case OP_BUCKET_CREATE:
    case OP_BUCKET_DELETE:
        return;
    }
    reader_fail(r, "an unknown kind of change");
}

void commit_encode(Buf *buf, const Commit *commit)
{
    size_t count = 0;
    for (size_t i = 0; i < commit->op_count; i++)
        count += !commit->ops[i].skip;
    write_u8(buf, RECORD_VERSION);
    write_u64le(buf, commit->next_sequence);
    write_varint(buf, commit->body_count);
    write_varint(buf, count);
    for (size_t i = 0; i < commit->op_count; i++)
        if (!commit->ops[i].skip)
            op_encode(buf, &commit->ops[i]);
}

Code commit_decode(Str bytes, Arena *arena, Commit *ret_commit, Err *err)
{
    Reader r = reader_of(bytes);
    Commit commit = { 0 };
    uint8_t version = read_u8(&r);
    if (version > RECORD_VERSION)
        return err_set(err, E_UNSUPPORTED, "a commit record of a newer version of tarn");
    commit.next_sequence = read_u64le(&r);
    commit.body_count = (size_t)read_count(&r, read_varint(&r), COMMIT_OPS_MAX);
    commit.op_count = (size_t)read_count(&r, read_varint(&r), COMMIT_OPS_MAX);
    read_count(&r, commit.op_count * OP_BYTES_MIN, reader_left(&r)); /* before memory is taken */
    if (reader_ok(&r))
        commit.ops = arena_array(arena, CommitOp, commit.op_count);
    for (size_t i = 0; i < commit.op_count && reader_ok(&r); i++) {
        op_read(&r, arena, &commit.ops[i]);
        const ObjectRecord *record = &commit.ops[i].record;
        if (record->place == PLACE_JOURNAL && record->at >= commit.body_count)
            reader_fail(&r, "a body that is not there");
    }
    TRY(reader_end(&r, "a commit record of the journal", err));
    *ret_commit = commit;
    return E_OK;
}
