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

enum {
    HAS_SHA256 = 1,
    HAS_MD5 = 2,
    IS_MARKER = 4,
    IS_NULL = 8,
    IS_COMPOSITE = 16,
    HAS_UPLOAD = 32,
    PART_HAS_CRC64 = 128 /* of the byte that has the kind of a part's checksum */
};

static void digest_write(Buf *buf, const DigestValue *value)
{
    write_u8(buf, (uint8_t)value->kind);
    buf_put(buf, digest_str(value));
}

static DigestValue digest_read_of(Reader *r, unsigned kind)
{
    DigestValue value = { .kind = (DigestKind)read_count(r, kind, DIGEST_KINDS - 1) };
    Str bytes = read_bytes(r, digest_len(value.kind));
    if (bytes.len)
        memcpy(value.bytes, bytes.ptr, bytes.len);
    return value;
}

static DigestValue digest_read(Reader *r)
{
    return digest_read_of(r, read_u8(r));
}

static void tags_write(Buf *buf, const StoreTag *tags, size_t count)
{
    write_varint(buf, count);
    for (size_t i = 0; i < count; i++) {
        str_write(buf, tags[i].key);
        str_write(buf, tags[i].value);
    }
}

static StoreTag *tags_read(Reader *r, Arena *arena, size_t count_max, size_t name_max,
                           size_t value_max, size_t *ret_count)
{
    size_t count = (size_t)read_count(r, read_varint(r), count_max);
    StoreTag *tags = arena_array(arena, StoreTag, count);
    for (size_t i = 0; i < count && reader_ok(r); i++) {
        tags[i].key = str_copy(arena, str_read(r, name_max));
        tags[i].value = str_copy(arena, str_read(r, value_max));
    }
    *ret_count = count;
    return tags;
}

static unsigned flags_of(const ObjectRecord *record)
{
    const ObjectInfo *info = &record->info;
    return (info->has_sha256 ? HAS_SHA256 : 0u) | (info->has_md5 ? HAS_MD5 : 0u) |
           (info->delete_marker ? IS_MARKER : 0u) | (info->null_version ? IS_NULL : 0u) |
           (info->checksum_composite ? IS_COMPOSITE : 0u) |
           (upload_is_none(&record->upload) ? 0u : HAS_UPLOAD);
}

void part_encode(Buf *buf, const StorePart *part, const BlobId *blob)
{
    write_varint(buf, part->number);
    write_varint(buf, part->size_bytes);
    buf_put(buf, str_of(part->md5, sizeof part->md5));
    write_u8(buf, (uint8_t)((unsigned)part->checksum.kind | (part->has_crc64 ? PART_HAS_CRC64 : 0u)));
    buf_put(buf, digest_str(&part->checksum));
    if (part->has_crc64)
        buf_put(buf, str_of(part->crc64, sizeof part->crc64));
    buf_put(buf, str_of(blob->bytes, sizeof blob->bytes));
}

static void parts_write(Buf *buf, const ObjectRecord *record)
{
    write_varint(buf, record->info.part_count);
    for (size_t i = 0; i < record->info.part_count; i++)
        part_encode(buf, &record->info.parts[i], &record->part_blobs[i]);
}

void object_encode(Buf *buf, const ObjectRecord *record)
{
    const ObjectInfo *info = &record->info;
    unsigned flags = flags_of(record);
    write_u8(buf, RECORD_VERSION);
    write_u8(buf, (uint8_t)record->place);
    if (record->place == PLACE_JOURNAL)
        write_u64le(buf, record->at);
    if (record->place == PLACE_BLOB)
        buf_put(buf, str_of(record->blob.bytes, sizeof record->blob.bytes));
    write_u64le(buf, info->size_bytes);
    write_u64le(buf, info->sequence);
    write_u64le(buf, (uint64_t)info->modified_us);
    write_u8(buf, (uint8_t)flags);
    if (flags & HAS_SHA256)
        buf_put(buf, str_of(info->sha256, sizeof info->sha256));
    if (flags & HAS_MD5)
        buf_put(buf, str_of(info->md5, sizeof info->md5));
    if (flags & HAS_UPLOAD)
        buf_put(buf, str_of(record->upload.bytes, sizeof record->upload.bytes));
    digest_write(buf, &info->checksum);
    write_u8(buf, (uint8_t)info->trust);
    str_write(buf, info->content_type);
    tags_write(buf, info->tags, info->tag_count);
    str_write(buf, info->owner);
    tags_write(buf, info->meta, info->meta_count);
    parts_write(buf, record);
}

static void bytes_read(Reader *r, void *to, size_t len)
{
    Str bytes = read_bytes(r, len);
    if (bytes.len)
        memcpy(to, bytes.ptr, bytes.len);
}

static void part_read(Reader *r, StorePart *part, BlobId *blob)
{
    part->number = (uint32_t)read_count(r, read_varint(r), STORE_PARTS_MAX);
    part->size_bytes = read_count(r, read_varint(r), STORE_OBJECT_MAX);
    bytes_read(r, part->md5, sizeof part->md5);
    unsigned kind = read_u8(r);
    part->checksum = digest_read_of(r, kind & ~(unsigned)PART_HAS_CRC64);
    part->has_crc64 = kind & PART_HAS_CRC64;
    bytes_read(r, part->crc64, part->has_crc64 ? sizeof part->crc64 : 0);
    bytes_read(r, blob->bytes, sizeof blob->bytes);
    if ((part->size_bytes == 0) != blob_is_none(blob))
        reader_fail(r, "a part without bytes, or bytes without a part");
}

Code part_decode(Str bytes, StorePart *ret_part, BlobId *ret_blob, Err *err)
{
    Reader r = reader_of(bytes);
    StorePart part = { 0 };
    BlobId blob = { 0 };
    part_read(&r, &part, &blob);
    TRY(reader_end(&r, "a part of the index", err));
    *ret_part = part;
    *ret_blob = blob;
    return E_OK;
}

static void parts_read(Reader *r, bool light, Arena *arena, ObjectRecord *record)
{
    ObjectInfo *info = &record->info;
    info->part_count = (size_t)read_count(r, read_varint(r), STORE_PARTS_MAX);
    if ((record->place == PLACE_PARTS) != (info->part_count > 0))
        reader_fail(r, "parts where there are none, or none where they are");
    read_count(r, info->part_count * (sizeof(BlobId) + 16), reader_left(r)); /* before memory */
    if (light)
        read_skip(r, reader_left(r));
    if (light || !reader_ok(r))
        return;
    info->parts = arena_array(arena, StorePart, info->part_count);
    record->part_blobs = arena_array(arena, BlobId, info->part_count);
    uint64_t sum = 0;
    for (size_t i = 0; i < info->part_count && reader_ok(r); i++) {
        part_read(r, &info->parts[i], &record->part_blobs[i]);
        sum += info->parts[i].size_bytes;
    }
    if (info->part_count > 0 && sum != info->size_bytes)
        reader_fail(r, "parts that are not the whole");
}

/* Version 1: a SHA-256 always, no versions, no fields, no parts. */
static void object_read(Reader *r, bool light, Arena *arena, ObjectRecord *record)
{
    ObjectInfo *info = &record->info;
    uint8_t version = read_u8(r);
    if (version < 1 || version > RECORD_VERSION)
        reader_fail(r, "an object record of another version");
    record->place = (PlaceKind)read_count(r, read_u8(r), version < 2 ? PLACE_BLOB : PLACE_PARTS);
    if (record->place == PLACE_JOURNAL)
        record->at = read_u64le(r);
    bytes_read(r, record->blob.bytes, record->place == PLACE_BLOB ? sizeof record->blob.bytes : 0);
    info->size_bytes = read_count(r, read_u64le(r), STORE_OBJECT_MAX);
    info->sequence = read_u64le(r);
    info->modified_us = (int64_t)read_u64le(r);
    unsigned flags = version < 2 ? HAS_SHA256 | IS_NULL
                                 : (unsigned)read_count(r, read_u8(r), 2 * HAS_UPLOAD - 1);
    info->has_sha256 = flags & HAS_SHA256;
    info->has_md5 = flags & HAS_MD5;
    info->delete_marker = flags & IS_MARKER;
    info->null_version = flags & IS_NULL;
    info->checksum_composite = flags & IS_COMPOSITE;
    bytes_read(r, info->sha256, flags & HAS_SHA256 ? sizeof info->sha256 : 0);
    bytes_read(r, info->md5, flags & HAS_MD5 ? sizeof info->md5 : 0);
    bytes_read(r, record->upload.bytes, flags & HAS_UPLOAD ? sizeof record->upload.bytes : 0);
    if (version >= 2)
        info->checksum = digest_read(r);
    info->trust = (ObjectTrust)read_count(r, read_u8(r), TRUST_REFUSED);
    info->content_type = str_copy(arena, str_read(r, STORE_CONTENT_TYPE_MAX));
    info->tags = tags_read(r, arena, STORE_TAGS_MAX, STORE_TAG_KEY_MAX, STORE_TAG_VALUE_MAX,
                           &info->tag_count);
    if (version < 2)
        return;
    info->owner = str_copy(arena, str_read(r, STORE_OWNER_MAX));
    info->meta = tags_read(r, arena, STORE_META_MAX, STORE_META_NAME_MAX, STORE_META_VALUE_MAX,
                           &info->meta_count);
    parts_read(r, light, arena, record);
}

Code object_decode(Str bytes, bool light, Arena *arena, ObjectRecord *ret_record, Err *err)
{
    Reader r = reader_of(bytes);
    ObjectRecord record = { 0 };
    object_read(&r, light, arena, &record);
    TRY(reader_end(&r, "an object record of the index", err));
    *ret_record = record;
    return E_OK;
}

void bucket_encode(Buf *buf, const StoreBucket *bucket)
{
    write_u64le(buf, (uint64_t)bucket->created_us);
    write_u64le(buf, bucket->sequence);
    write_u8(buf, (uint8_t)bucket->versioning);
    str_write(buf, bucket->owner);
    write_varint(buf, bucket->property_count);
    for (size_t i = 0; i < bucket->property_count; i++) {
        str_write(buf, bucket->properties[i].name);
        str_write(buf, bucket->properties[i].value);
    }
}

static void bucket_read(Reader *r, Arena *arena, StoreBucket *bucket)
{
    bucket->created_us = (int64_t)read_u64le(r);
    bucket->sequence = read_u64le(r);
    bucket->versioning = (StoreVersioning)read_count(r, read_u8(r), VERSIONING_SUSPENDED);
    bucket->owner = str_copy(arena, str_read(r, STORE_OWNER_MAX));
    bucket->property_count = (size_t)read_count(r, read_varint(r), STORE_PROPERTIES_MAX);
    bucket->properties = arena_array(arena, StoreProperty, bucket->property_count);
    for (size_t i = 0; i < bucket->property_count && reader_ok(r); i++) {
        bucket->properties[i].name = str_copy(arena, str_read(r, STORE_PROPERTY_NAME_MAX));
        bucket->properties[i].value = str_copy(arena, str_read(r, STORE_PROPERTY_MAX));
    }
}

Code bucket_decode(Str bytes, Arena *arena, StoreBucket *ret_bucket, Err *err)
{
    Reader r = reader_of(bytes);
    StoreBucket bucket = { 0 };
    bucket_read(&r, arena, &bucket);
    TRY(reader_end(&r, "a bucket of the index", err));
    *ret_bucket = bucket;
    return E_OK;
}

/* It has no bytes here, and of its parts only how many there were. */
static void change_encode(Buf *buf, const CommitOp *op)
{
    ObjectRecord record = { .info = op->record.info };
    record.info.part_count = 0;
    write_u8(buf, (uint8_t)op->change);
    write_u64le(buf, op->of_sequence);
    write_varint(buf, op->record.info.part_count);
    object_encode(buf, &record);
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
    case OP_MARKER:
        write_u8(buf, (uint8_t)op->replace);
        object_encode(buf, &op->record);
        break;
    case OP_UNDELETE:
        write_u64le(buf, op->of_sequence);
        write_u8(buf, (uint8_t)op->replace);
        object_encode(buf, &op->record);
        break;
    case OP_KEPT:
        write_u64le(buf, (uint64_t)op->trashed_us);
        object_encode(buf, &op->record);
        break;
    case OP_TRUST:
        write_u64le(buf, op->of_sequence);
        write_u8(buf, (uint8_t)info->trust);
        break;
    case OP_TAGS:
        write_u64le(buf, op->of_sequence);
        tags_write(buf, info->tags, info->tag_count);
        break;
    case OP_DELETE:
    case OP_EXPUNGE:
        write_u64le(buf, op->of_sequence);
        break;
    case OP_CHANGE:
        change_encode(buf, op);
        break;
    case OP_BUCKET_CREATE:
    case OP_BUCKET_SET:
        bucket_encode(buf, &op->bucket);
        break;
    case OP_UPLOAD_CREATE:
        object_encode(buf, &op->record);
        break;
    case OP_UPLOAD_PART:
        buf_put(buf, str_of(op->record.upload.bytes, sizeof op->record.upload.bytes));
        part_encode(buf, &op->part, &op->record.blob);
        break;
    case OP_UPLOAD_ABORT:
        buf_put(buf, str_of(op->record.upload.bytes, sizeof op->record.upload.bytes));
        break;
    case OP_PURGE:
    case OP_TRASH:
        buf_put(buf, str_of(op->record.blob.bytes, sizeof op->record.blob.bytes));
        write_u64le(buf, op->of_sequence);
        write_varint(buf, info->size_bytes);
        break;
    case OP_BUCKET_DELETE:
        break;
    }
}

static void named_read(Reader *r, Arena *arena, CommitOp *op)
{
    ObjectInfo named = op->record.info;
    object_read(r, false, arena, &op->record);
    if (op->record.info.sequence != named.sequence)
        reader_fail(r, "two sequence numbers of one version");
    op->record.info.bucket = named.bucket;
    op->record.info.key = named.key;
}

static void change_read(Reader *r, Arena *arena, CommitOp *op)
{
    op->change = (StoreChangeKind)read_count(r, read_u8(r), CHANGE_TAGS);
    op->of_sequence = read_u64le(r);
    size_t parts = (size_t)read_count(r, read_varint(r), STORE_PARTS_MAX);
    named_read(r, arena, op);
    if (op->record.place != PLACE_NONE)
        reader_fail(r, "a change that is said again with bytes");
    op->record.info.part_count = parts;
}

/* The last kind that a commit record of this version knows. */
static OpKind kind_last(int version)
{
    return version < COMMIT_VERSION_LEAST    ? OP_MOVE
           : version < COMMIT_VERSION_TRASH  ? OP_TRASH
           : version < COMMIT_VERSION        ? OP_UNDELETE
                                             : OP_CHANGE;
}

static void op_read(Reader *r, int version, Arena *arena, CommitOp *op)
{
    op->kind = (OpKind)read_count(r, read_u8(r), kind_last(version));
    op->again = read_count(r, read_u8(r), 1) != 0;
    ObjectInfo named = { .sequence = read_u64le(r), .modified_us = (int64_t)read_u64le(r) };
    named.bucket = str_copy(arena, str_read(r, STORE_BUCKET_MAX));
    named.key = str_copy(arena, str_read(r, STORE_KEY_MAX));
    op->record.info = named;
    switch (op->kind) {
    case OP_PUT:
    case OP_MOVE:
    case OP_MARKER:
        if (version >= 2)
            op->replace = (ReplaceKind)read_count(r, read_u8(r), REPLACE_NULL);
        named_read(r, arena, op);
        return;
    case OP_UNDELETE:
        op->of_sequence = read_u64le(r);
        op->replace = (ReplaceKind)read_count(r, read_u8(r), REPLACE_NULL);
        named_read(r, arena, op);
        return;
    case OP_KEPT:
        op->trashed_us = (int64_t)read_u64le(r);
        named_read(r, arena, op);
        return;
    case OP_TRUST:
        op->of_sequence = read_u64le(r);
        op->record.info.trust = (ObjectTrust)read_count(r, read_u8(r), TRUST_REFUSED);
        return;
    case OP_TAGS:
        op->of_sequence = read_u64le(r);
        op->record.info.tags = tags_read(r, arena, STORE_TAGS_MAX, STORE_TAG_KEY_MAX,
                                         STORE_TAG_VALUE_MAX, &op->record.info.tag_count);
        return;
    case OP_DELETE:
    case OP_EXPUNGE:
        op->of_sequence = read_u64le(r);
        return;
    case OP_CHANGE:
        change_read(r, arena, op);
        return;
    case OP_BUCKET_CREATE:
    case OP_BUCKET_SET:
        op->bucket = (StoreBucket){ .created_us = named.modified_us, .sequence = named.sequence };
        if (version >= 2)
            bucket_read(r, arena, &op->bucket);
        return;
    case OP_BUCKET_DELETE:
        return;
    case OP_UPLOAD_CREATE:
        object_read(r, false, arena, &op->record);
        op->record.info.bucket = named.bucket;
        op->record.info.key = named.key;
        if (op->record.place != PLACE_NONE || upload_is_none(&op->record.upload))
            reader_fail(r, "an upload without an id, or with bytes");
        return;
    case OP_UPLOAD_PART:
        bytes_read(r, op->record.upload.bytes, sizeof op->record.upload.bytes);
        part_read(r, &op->part, &op->record.blob);
        return;
    case OP_UPLOAD_ABORT:
        bytes_read(r, op->record.upload.bytes, sizeof op->record.upload.bytes);
        return;
    case OP_PURGE:
    case OP_TRASH:
        bytes_read(r, op->record.blob.bytes, sizeof op->record.blob.bytes);
        op->of_sequence = read_u64le(r);
        op->record.info.size_bytes = read_count(r, read_varint(r), STORE_OBJECT_MAX);
        return;
    }
    reader_fail(r, "an unknown kind of change");
}

uint64_t op_bytes_encoded(const CommitOp *op)
{
    Buf buf AUTO(buf_done);
    buf_init(&buf, JOURNAL_PAYLOAD_MAX);
    op_encode(&buf, op);
    return buf.len;
}

void commit_encode(Buf *buf, const Commit *commit)
{
    size_t count = 0;
    uint8_t version = COMMIT_VERSION_LEAST;
    for (size_t i = 0; i < commit->op_count; i++) {
        count += !commit->ops[i].skip;
        if (commit->ops[i].kind > kind_last(version))
            version = commit->ops[i].kind > kind_last(COMMIT_VERSION_TRASH) ? COMMIT_VERSION : COMMIT_VERSION_TRASH;
    }
    ASSERT(count <= COMMIT_OPS_MAX); /* no start could read it */
    write_u8(buf, version);
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
    if (version > COMMIT_VERSION)
        return err_set(err, E_UNSUPPORTED, "a commit record of a newer version of tarn");
    commit.next_sequence = read_u64le(&r);
    commit.body_count = (size_t)read_count(&r, read_varint(&r), COMMIT_OPS_MAX);
    commit.op_count = (size_t)read_count(&r, read_varint(&r), COMMIT_OPS_MAX);
    read_count(&r, commit.op_count * OP_BYTES_MIN, reader_left(&r)); /* before memory is taken */
    if (reader_ok(&r))
        commit.ops = arena_array(arena, CommitOp, commit.op_count);
    for (size_t i = 0; i < commit.op_count && reader_ok(&r); i++) {
        op_read(&r, version, arena, &commit.ops[i]);
        const ObjectRecord *record = &commit.ops[i].record;
        if (record->place == PLACE_JOURNAL && record->at >= commit.body_count)
            reader_fail(&r, "a body that is not there");
    }
    TRY(reader_end(&r, "a commit record of the journal", err));
    *ret_commit = commit;
    return E_OK;
}
