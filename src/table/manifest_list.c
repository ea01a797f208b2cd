/* Manifest lists (spec, "Manifest lists"), both ways. Numbers in comments are the spec's field ids.
 */
#include "table/manifest_priv.h"

#include <string.h>

static AvroValue optional_bytes(Str bytes)
{
    return bytes.ptr ? avro_bytes(bytes) : avro_null();
}

static AvroValue partitions_value(Arena *arena, const ManifestFile *file)
{
    AvroValue *items = arena_array(arena, AvroValue, file->partition_count + 1);
    for (size_t i = 0; i < file->partition_count; i++) {
        const PartitionSummary *summary = &file->partitions[i];
        AvroValue fields[] = {
            avro_boolean(summary->contains_null),                                   /* 509 */
            summary->nan_known ? avro_boolean(summary->contains_nan) : avro_null(), /* 518 */
            optional_bytes(summary->lower),                                         /* 510 */
            optional_bytes(summary->upper),                                         /* 511 */
        };
        items[i] = avro_record(arena_copy(arena, fields, sizeof fields), ARRAY_LEN(fields));
    }
    return avro_list(items, file->partition_count);
}

static AvroValue file_value(Arena *arena, const ManifestFile *file)
{
    AvroValue fields[] = {
        avro_string(file->path),              /* 500 */
        avro_long(file->length),              /* 501 */
        avro_int(file->spec_id),              /* 502 */
        avro_int(file->is_deletes),           /* 517 */
        avro_long(file->sequence_number),     /* 515 */
        avro_long(file->min_sequence_number), /* 516 */
        avro_long(file->added_snapshot_id),   /* 503 */
        avro_int(file->added_files),          /* 504 */
        avro_int(file->existing_files),       /* 505 */
        avro_int(file->deleted_files),        /* 506 */
        avro_long(file->added_rows),          /* 512 */
        avro_long(file->existing_rows),       /* 513 */
        avro_long(file->deleted_rows),        /* 514 */
        partitions_value(arena, file),        /* 507 */
        avro_null(),                          /* 519 key_metadata */
    };
    return avro_record(arena_copy(arena, fields, sizeof fields), ARRAY_LEN(fields));
}

Code manifest_list_encode(const IceSnapshot *snapshot, Uuid sync, const ManifestFile *files,
                          size_t count, Buf *ret_bytes, Err *err)
{
    Arena AUTO(arena_done) tmp = { 0 };
    Buf AUTO(buf_done) schema;
    buf_init(&schema, MANIFEST_SCHEMA_BYTES_MAX);
    manifest_list_schema_put(&schema);
    AvroMeta meta[] = {
        { STR("snapshot-id"), str_format(&tmp, "%lld", (long long)snapshot->id) },
        { STR("parent-snapshot-id"),
          snapshot->parent_id == -1 ? STR("null")
                                    : str_format(&tmp, "%lld", (long long)snapshot->parent_id) },
        { STR("sequence-number"), str_format(&tmp, "%lld", (long long)snapshot->sequence_number) },
        { STR("format-version"), STR("2") },
    };
    AvroWriterOptions options = { .schema_json = buf_str(&schema),
                                  .codec = AVRO_CODEC_DEFLATE,
                                  .meta = meta,
                                  .meta_count = ARRAY_LEN(meta) };
    memcpy(options.sync, sync.bytes, AVRO_SYNC_LEN);
    AvroWriter *AUTO(avro_writer_free) writer = NULL;
    TRY(avro_writer_open(ret_bytes, &options, &writer, err));
    for (size_t i = 0; i < count; i++) {
        AvroValue value = file_value(&tmp, &files[i]);
        TRY(avro_writer_put(writer, &value, err));
    }
    return avro_writer_finish(writer, err);
}

static Code broken(const char *what, Err *err)
{
    return err_set(err, E_CORRUPT, "manifest list: %s", what);
}

static Str bytes_of(const AvroSchema *record, const AvroValue *value, int32_t field_id)
{
    const AvroValue *field = avro_field_by_id(record, value, field_id);
    if (!field || field->kind != AVRO_BYTES)
        return STR_NONE;
    return str_of(field->bytes.ptr ? field->bytes.ptr : "", field->bytes.len);
}

/* The record inside an optional list: union of null and array of records. */
static const AvroSchema *summary_schema(const AvroSchema *record)
{
    for (size_t i = 0; i < record->field_count; i++) {
        const AvroSchema *schema = record->fields[i].schema;
        if (record->fields[i].field_id != 507)
            continue;
        for (size_t j = 0; schema->kind == AVRO_UNION && j < schema->branch_count; j++)
            if (schema->branches[j]->kind == AVRO_ARRAY) {
                schema = schema->branches[j];
                break;
            }
        return schema->kind == AVRO_ARRAY && schema->items->kind == AVRO_RECORD ? schema->items
                                                                                : NULL;
    }
    return NULL;
}

static Code summaries_decode(Arena *arena, const AvroSchema *record, const AvroValue *value,
                             ManifestFile *file, Err *err)
{
    const AvroValue *list = avro_field_by_id(record, value, 507);
    const AvroSchema *schema = summary_schema(record);
    if (!list || list->kind != AVRO_ARRAY)
        return E_OK;
    if (!schema || list->count > SPEC_FIELDS_MAX)
        return broken("a partition summary is none", err);
    file->partitions = arena_array(arena, PartitionSummary, list->count + 1);
    for (size_t i = 0; i < list->count; i++) {
        const AvroValue *null = avro_field_by_id(schema, &list->items[i], 509);
        const AvroValue *nan = avro_field_by_id(schema, &list->items[i], 518);
        bool nan_known = nan && nan->kind == AVRO_BOOLEAN;
        file->partitions[file->partition_count++] = (PartitionSummary){
            .contains_null = !null || null->kind != AVRO_BOOLEAN || null->truth,
            .contains_nan = nan_known && nan->truth,
            .nan_known = nan_known,
            .lower = bytes_of(schema, &list->items[i], 510),
            .upper = bytes_of(schema, &list->items[i], 511),
        };
    }
    return E_OK;
}

static Code line_decode(Arena *arena, const AvroSchema *record, const AvroValue *value,
                        ManifestFile *file, Err *err)
{
    const AvroValue *path = avro_field_by_id(record, value, 500);
    if (!path || path->kind != AVRO_STRING || !path->bytes.len)
        return broken("a line has no path", err);
    *file = (ManifestFile){
        .path = path->bytes,
        .length = avro_i64_or(record, value, 501, -1),
        .spec_id = (int32_t)avro_i64_or(record, value, 502, -1),
        .is_deletes = avro_i64_or(record, value, 517, 0) == 1,
        .sequence_number = avro_i64_or(record, value, 515, 0),
        .min_sequence_number = avro_i64_or(record, value, 516, 0),
        .added_snapshot_id = avro_i64_or(record, value, 503, -1),
        .added_files = (int32_t)avro_i64_or(record, value, 504, -1),
        .existing_files = (int32_t)avro_i64_or(record, value, 505, -1),
        .deleted_files = (int32_t)avro_i64_or(record, value, 506, -1),
        .added_rows = avro_i64_or(record, value, 512, -1),
        .existing_rows = avro_i64_or(record, value, 513, -1),
        .deleted_rows = avro_i64_or(record, value, 514, -1),
    };
    if (file->length < 0 || file->spec_id < 0)
        return broken("a line has no length or partition spec", err);
    return summaries_decode(arena, record, value, file, err);
}

Code manifest_list_decode(Arena *arena, Str bytes, ManifestFile **ret_files, size_t *ret_count,
                          Err *err)
{
    AvroReader *AUTO(avro_reader_free) reader = NULL;
    TRY(avro_reader_open(bytes, &reader, err));
    const AvroSchema *record = avro_reader_schema(reader);
    if (record->kind != AVRO_RECORD)
        return broken("it holds no records", err);
    ManifestFile *files = NULL;
    size_t count = 0, cap = 0;
    for (;;) {
        AvroValue value;
        bool more = false;
        TRY(avro_reader_next(reader, arena, &value, &more, err));
        if (!more)
            break;
        if (count == MANIFEST_LIST_MAX)
            return err_set(err, E_LIMIT, "manifest list: more than %d manifests",
                           MANIFEST_LIST_MAX);
        if (count == cap) {
            cap = cap ? 2 * cap : 64;
            ManifestFile *grown = arena_array(arena, ManifestFile, cap);
            if (count)
                memcpy(grown, files, count * sizeof *grown);
            files = grown;
        }
        TRY(line_decode(arena, record, &value, &files[count++], err));
    }
    *ret_files = files;
    *ret_count = count;
    return E_OK;
}
