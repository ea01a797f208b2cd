/* Manifests (spec, "Manifests"), both ways. Numbers in comments are the spec's field ids. */
#include "table/manifest_priv.h"
#include "table/schema_json_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- writing ---- */

typedef int64_t ColumnCount(const DataFileColumn *column);
typedef Str ColumnBound(const DataFileColumn *column);

static int64_t column_size(const DataFileColumn *column)
{
    return column->size_bytes;
}

static int64_t column_values(const DataFileColumn *column)
{
    return column->value_count;
}

static int64_t column_nulls(const DataFileColumn *column)
{
    return column->null_count;
}

static int64_t column_nans(const DataFileColumn *column)
{
    return column->nan_count;
}

static Str column_lower(const DataFileColumn *column)
{
    return column->lower;
}

static Str column_upper(const DataFileColumn *column)
{
    return column->upper;
}

static AvroValue pair(Arena *arena, int32_t key, AvroValue value)
{
    AvroValue *fields = arena_array(arena, AvroValue, 2);
    fields[0] = avro_int(key);
    fields[1] = value;
    return avro_record(fields, 2);
}

/* A map of the columns that know the number or bound; null when none does. */
static AvroValue column_map(Arena *arena, const DataFile *file, ColumnCount *count,
                            ColumnBound *bound)
{
    AvroValue *items = arena_array(arena, AvroValue, file->column_count + 1);
    size_t len = 0;
    for (size_t i = 0; i < file->column_count; i++) {
        const DataFileColumn *column = &file->columns[i];
        if (count && count(column) >= 0)
            items[len++] = pair(arena, column->field_id, avro_long(count(column)));
        if (bound && bound(column).ptr)
            items[len++] = pair(arena, column->field_id, avro_bytes(bound(column)));
    }
    return len ? avro_list(items, len) : avro_null();
}

static AvroValue optional_long(int64_t number)
{
    return number == -1 ? avro_null() : avro_long(number);
}

static AvroValue data_file_value(Arena *arena, const DataFile *file, const IceType *const *types)
{
    AvroValue *partition = arena_array(arena, AvroValue, file->partition_count + 1);
    for (size_t i = 0; i < file->partition_count; i++)
        partition[i] = partition_value_to_avro(arena, types[i], &file->partition[i]);
    AvroValue *splits = arena_array(arena, AvroValue, file->split_offset_count + 1);
    for (size_t i = 0; i < file->split_offset_count; i++)
        splits[i] = avro_long(file->split_offsets[i]);
    AvroValue fields[] = {
        avro_int(file->content),                       /* 134 */
        avro_string(file->address),                    /* 100 */
        avro_string(file->format),                     /* 101 */
        avro_record(partition, file->partition_count), /* 102 */
        avro_long(file->record_count),                 /* 103 */
        avro_long(file->size_bytes),                   /* 104 */
        column_map(arena, file, column_size, NULL),    /* 108 */
        column_map(arena, file, column_values, NULL),  /* 109 */
        column_map(arena, file, column_nulls, NULL),   /* 110 */
        column_map(arena, file, column_nans, NULL),    /* 137 */
        column_map(arena, file, NULL, column_lower),   /* 125 */
        column_map(arena, file, NULL, column_upper),   /* 128 */
        avro_null(),                                   /* 131 key_metadata */
        file->split_offset_count ? avro_list(splits, file->split_offset_count)
                                 : avro_null(), /* 132 */
        avro_null(),                            /* 135 equality_ids */
        file->sort_order_id < 0 ? avro_null() : avro_int(file->sort_order_id), /* 140 */
    };
    return avro_record(arena_copy(arena, fields, sizeof fields), ARRAY_LEN(fields));
}

static AvroValue entry_value(Arena *arena, const ManifestEntry *entry, const IceType *const *types)
{
    AvroValue fields[] = {
        avro_int(entry->status),                     /* 0 */
        optional_long(entry->snapshot_id),           /* 1 */
        optional_long(entry->sequence_number),       /* 3 */
        optional_long(entry->file_sequence_number),  /* 4 */
        data_file_value(arena, &entry->file, types), /* 2 */
    };
    return avro_record(arena_copy(arena, fields, sizeof fields), ARRAY_LEN(fields));
}

static void counts_add(ManifestFile *file, const ManifestEntry *entry, int64_t sequence_number)
{
    int64_t sequence = entry->sequence_number == -1 ? sequence_number : entry->sequence_number;
    switch (entry->status) {
    case ENTRY_ADDED:
        file->added_files++;
        file->added_rows += entry->file.record_count;
        break;
    case ENTRY_EXISTING:
        file->existing_files++;
        file->existing_rows += entry->file.record_count;
        break;
    case ENTRY_DELETED:
        file->deleted_files++;
        file->deleted_rows += entry->file.record_count;
        return;
    }
    file->min_sequence_number = MIN(file->min_sequence_number, sequence);
}

static bool is_nan(const IceType *type, const IceValue *value)
{
    return (type->kind == ICE_FLOAT || type->kind == ICE_DOUBLE) && isnan(value->real);
}

/* Lowest and highest value of one partition field over all entries (507). */
static Code summary_make(Arena *arena, const IceType *type, const ManifestEntry *entries,
                         size_t count, size_t at, PartitionSummary *summary, Err *err)
{
    const IceValue *low = NULL, *high = NULL;
    summary->nan_known = true;
    for (size_t i = 0; i < count; i++) {
        const IceValue *value = &entries[i].file.partition[at];
        summary->contains_null |= !value->present;
        if (!value->present)
            continue;
        if (is_nan(type, value)) {
            summary->contains_nan = true;
            continue;
        }
        if (!low || ice_value_compare(type, value, low) < 0)
            low = value;
        if (!high || ice_value_compare(type, value, high) > 0)
            high = value;
    }
    if (!low)
        return E_OK;
    TRY(ice_value_encode(arena, type, low, &summary->lower, err));
    return ice_value_encode(arena, type, high, &summary->upper, err);
}

/* Schema, spec and format of the manifest, for whoever reads it without the table's metadata. */
static Code writer_open(const ManifestWrite *write, const IceType *const *types, Arena *arena,
                        Buf *out, AvroWriter **ret_writer, Err *err)
{
    Buf AUTO(buf_done) avro = { 0 }, schema = { 0 }, spec = { 0 };
    buf_init(&avro, MANIFEST_SCHEMA_BYTES_MAX);
    buf_init(&schema, METADATA_BYTES_MAX);
    buf_init(&spec, MANIFEST_SCHEMA_BYTES_MAX);
    manifest_schema_put(&avro, write->spec, types);
    const IceSchema *current = table_schema_current(write->metadata);
    ice_schema_encode(&schema, current);
    ice_spec_fields_encode(&spec, write->spec);
    TRY(buf_end(&avro, "schema of a manifest", err));
    AvroMeta meta[] = {
        { STR("schema"), buf_str(&schema) },
        { STR("schema-id"), str_format(arena, "%d", current->id) },
        { STR("partition-spec"), buf_str(&spec) },
        { STR("partition-spec-id"), str_format(arena, "%d", write->spec->id) },
        { STR("format-version"), STR("2") },
        { STR("content"), STR("data") },
    };
    AvroWriterOptions options = { .schema_json = buf_str(&avro),
                                  .codec = AVRO_CODEC_DEFLATE,
                                  .meta = meta,
                                  .meta_count = ARRAY_LEN(meta) };
    memcpy(options.sync, write->sync.bytes, AVRO_SYNC_LEN);
    return avro_writer_open(out, &options, ret_writer, err);
}

Code manifest_encode(const ManifestWrite *write, const ManifestEntry *entries, size_t count,
                     Arena *arena, Buf *ret_bytes, ManifestFile *ret_file, Err *err)
{
    const IceType **types;
    if (count > MANIFEST_ENTRIES_MAX) /* nobody could read it */
        return err_set(err, E_LIMIT, "more than %d files in one manifest", MANIFEST_ENTRIES_MAX);
    TRY(partition_types(write->metadata, write->spec, arena, &types, err));
    AvroWriter *AUTO(avro_writer_free) writer = NULL;
    TRY(writer_open(write, types, arena, ret_bytes, &writer, err));
    ManifestFile file = { .path = write->path,
                          .spec_id = write->spec->id,
                          .sequence_number = write->sequence_number,
                          .min_sequence_number = write->sequence_number,
                          .added_snapshot_id = write->snapshot_id,
                          .partition_count = write->spec->field_count };
    Arena AUTO(arena_done) row = { 0 };
    for (size_t i = 0; i < count; i++) {
        ASSERT(entries[i].file.partition_count == write->spec->field_count);
        AvroValue value = entry_value(&row, &entries[i], types);
        TRY(avro_writer_put(writer, &value, err));
        counts_add(&file, &entries[i], write->sequence_number);
        arena_reset(&row);
    }
    TRY(avro_writer_finish(writer, err));
    file.partitions = arena_array(arena, PartitionSummary, write->spec->field_count + 1);
    for (size_t i = 0; i < write->spec->field_count; i++)
        TRY(summary_make(arena, types[i], entries, count, i, &file.partitions[i], err));
    file.length = (int64_t)ret_bytes->len;
    *ret_file = file;
    return E_OK;
}

/* ---- reading ---- */

typedef struct ManifestIn {
    Arena *arena;
    const TableMetadata *metadata;
    const ManifestFile *from;
    const IcePartitionSpec *spec;
    const IceType **types;
    const AvroSchema *entry, *file, *partition; /* the records in the file's own schema */
    Err *err;
} ManifestIn;

static Code broken(ManifestIn *in, const char *what)
{
    return err_set(in->err, E_CORRUPT, "manifest: %s", what);
}

static const AvroSchema *record_of(const AvroSchema *record, int32_t field_id)
{
    for (size_t i = 0; record && i < record->field_count; i++)
        if (record->fields[i].field_id == field_id && record->fields[i].schema->kind == AVRO_RECORD)
            return record->fields[i].schema;
    return NULL;
}

static Str text_of(const AvroSchema *record, const AvroValue *value, int32_t field_id)
{
    const AvroValue *field = avro_field_by_id(record, value, field_id);
    return field && field->kind == AVRO_STRING ? field->bytes : STR_NONE;
}

static const int32_t COLUMN_MAPS[] = { 108, 109, 110, 137, 125, 128 };

/* One entry of one of the maps. */
typedef struct ColumnItem {
    int32_t field_id, map;
    const AvroValue *value;
} ColumnItem;

static int item_order(const void *a, const void *b)
{
    const ColumnItem *left = a, *right = b;
    return (left->field_id > right->field_id) - (left->field_id < right->field_id);
}

static bool column_set(DataFileColumn *column, int32_t map, const AvroValue *value)
{
    bool number = value->kind == AVRO_LONG || value->kind == AVRO_INT;
    if (map == 125 || map == 128) {
        if (value->kind != AVRO_BYTES)
            return false;
        *(map == 125 ? &column->lower : &column->upper) =
            str_of(value->bytes.ptr ? value->bytes.ptr : "", value->bytes.len);
        return true;
    }
    int64_t *to = map == 108   ? &column->size_bytes
                  : map == 109 ? &column->value_count
                  : map == 110 ? &column->null_count
                               : &column->nan_count;
    if (number)
        *to = value->integer;
    return number;
}

static Code items_collect(ManifestIn *in, const AvroValue *map, int32_t map_id, ColumnItem *items,
                          size_t *count)
{
    for (size_t i = 0; i < map->count; i++) {
        const AvroValue *item = &map->items[i];
        if (item->kind != AVRO_RECORD || item->count != 2 || item->items[0].kind != AVRO_INT)
            return broken(in, "a map of statistics is none");
        items[(*count)++] =
            (ColumnItem){ (int32_t)item->items[0].integer, map_id, &item->items[1] };
    }
    return E_OK;
}

static Code columns_decode(ManifestIn *in, const AvroValue *value, DataFile *file)
{
    size_t room = 0, count = 0;
    const AvroValue *maps[ARRAY_LEN(COLUMN_MAPS)];
    for (size_t i = 0; i < ARRAY_LEN(COLUMN_MAPS); i++) {
        maps[i] = avro_field_by_id(in->file, value, COLUMN_MAPS[i]);
        room += maps[i] && maps[i]->kind == AVRO_ARRAY ? maps[i]->count : 0;
    }
    if (room > ARRAY_LEN(COLUMN_MAPS) * (size_t)DATA_FILE_COLUMNS_MAX)
        return err_set(in->err, E_LIMIT, "manifest: a file has statistics of more than %d columns",
                       DATA_FILE_COLUMNS_MAX);
    Arena AUTO(arena_done) tmp = { 0 };
    ColumnItem *items = arena_array(&tmp, ColumnItem, room + 1);
    for (size_t i = 0; i < ARRAY_LEN(COLUMN_MAPS); i++)
        if (maps[i] && maps[i]->kind == AVRO_ARRAY)
            TRY(items_collect(in, maps[i], COLUMN_MAPS[i], items, &count));
    qsort(items, count, sizeof *items, item_order);
    size_t columns = 0;
    for (size_t i = 0; i < count; i++)
        columns += !i || items[i].field_id != items[i - 1].field_id;
    file->columns = arena_array(in->arena, DataFileColumn, columns + 1);
    for (size_t i = 0; i < count; i++) {
        if (!i || items[i].field_id != items[i - 1].field_id)
            file->columns[file->column_count++] = (DataFileColumn){ .field_id = items[i].field_id,
                                                                    .size_bytes = -1,
                                                                    .value_count = -1,
                                                                    .null_count = -1,
                                                                    .nan_count = -1 };
        if (!column_set(&file->columns[file->column_count - 1], items[i].map, items[i].value))
            return broken(in, "a map of statistics is none");
    }
    return E_OK;
}

static Code splits_decode(ManifestIn *in, const AvroValue *value, DataFile *file)
{
    const AvroValue *splits = avro_field_by_id(in->file, value, 132);
    if (!splits || splits->kind != AVRO_ARRAY)
        return E_OK;
    if (splits->count > SPLIT_OFFSETS_MAX)
        return err_set(in->err, E_LIMIT, "manifest: more than %d split offsets", SPLIT_OFFSETS_MAX);
    file->split_offsets = arena_array(in->arena, int64_t, splits->count + 1);
    for (size_t i = 0; i < splits->count; i++) {
        if (splits->items[i].kind != AVRO_LONG)
            return broken(in, "a split offset is no long");
        file->split_offsets[file->split_offset_count++] = splits->items[i].integer;
    }
    return E_OK;
}

static Code file_decode(ManifestIn *in, const AvroValue *value, DataFile *file)
{
    int64_t content = avro_i64_or(in->file, value, 134, 0);
    if (content < 0 || content > CONTENT_EQUALITY_DELETES)
        return broken(in, "'content' is out of range");
    *file = (DataFile){ .content = (DataFileContent)content,
                        .address = text_of(in->file, value, 100),
                        .format = text_of(in->file, value, 101),
                        .spec_id = in->spec->id,
                        .record_count = avro_i64_or(in->file, value, 103, -1),
                        .size_bytes = avro_i64_or(in->file, value, 104, -1),
                        .sort_order_id = (int32_t)avro_i64_or(in->file, value, 140, -1),
                        .partition_count = in->spec->field_count };
    if (!file->address.len || file->record_count < 0 || file->size_bytes < 0)
        return broken(in, "a file has no path, record count or size");
    file->partition = arena_array(in->arena, IceValue, in->spec->field_count + 1);
    const AvroValue *partition = avro_field_by_id(in->file, value, 102);
    for (size_t i = 0; i < in->spec->field_count; i++)
        TRY(partition_value_from_avro(
            in->types[i], avro_field_by_id(in->partition, partition, in->spec->fields[i].field_id),
            &file->partition[i], in->err));
    TRY(columns_decode(in, value, file));
    return splits_decode(in, value, file);
}

/* Spec, "Sequence number inheritance". */
static Code entry_decode(ManifestIn *in, const AvroValue *value, ManifestEntry *entry)
{
    int64_t status = avro_i64_or(in->entry, value, 0, -1);
    if (status < 0 || status > ENTRY_DELETED)
        return broken(in, "'status' is out of range");
    entry->status = (EntryStatus)status;
    entry->snapshot_id = avro_i64_or(in->entry, value, 1, in->from->added_snapshot_id);
    int64_t inherited = entry->status == ENTRY_ADDED ? in->from->sequence_number : 0;
    entry->sequence_number = avro_i64_or(in->entry, value, 3, inherited);
    entry->file_sequence_number = avro_i64_or(in->entry, value, 4, inherited);
    const AvroValue *file = avro_field_by_id(in->entry, value, 2);
    if (!file || file->kind != AVRO_RECORD)
        return broken(in, "an entry has no data file");
    TRY(file_decode(in, file, &entry->file));
    entry->file.sequence_number = entry->sequence_number;
    return E_OK;
}

static Code head_decode(ManifestIn *in, const AvroReader *reader)
{
    in->entry = avro_reader_schema(reader);
    if (in->entry->kind != AVRO_RECORD)
        return broken(in, "it holds no records");
    in->file = record_of(in->entry, 2);
    in->partition = record_of(in->file, 102);
    if (!in->file || !in->partition)
        return broken(in, "its schema has no data file with a partition");
    in->spec = table_spec(in->metadata, in->from->spec_id);
    if (!in->spec)
        return broken(in, "its partition spec is not in the table's metadata");
    return partition_types(in->metadata, in->spec, in->arena, &in->types, in->err);
}

Code manifest_decode(Arena *arena, Str bytes, const TableMetadata *metadata,
                     const ManifestFile *from, ManifestEntry **ret_entries, size_t *ret_count,
                     Err *err)
{
    AvroReader *AUTO(avro_reader_free) reader = NULL;
    if ((int64_t)bytes.len !=
        from->length) /* Avro itself cannot tell that whole blocks are missing */
        return err_set(err, E_CORRUPT, "manifest: it has %zu bytes, the list says %lld", bytes.len,
                       (long long)from->length);
    TRY(avro_reader_open(bytes, &reader, err));
    ManifestIn in = { .arena = arena, .metadata = metadata, .from = from, .err = err };
    TRY(head_decode(&in, reader));
    ManifestEntry *entries = NULL;
    size_t count = 0, cap = 0;
    for (;;) {
        AvroValue value;
        bool more = false;
        TRY(avro_reader_next(reader, arena, &value, &more, err));
        if (!more)
            break;
        if (count == MANIFEST_ENTRIES_MAX)
            return err_set(err, E_LIMIT, "manifest: more than %d entries", MANIFEST_ENTRIES_MAX);
        if (count == cap) {
            cap = cap ? 2 * cap : 64;
            ManifestEntry *grown = arena_array(arena, ManifestEntry, cap);
            if (count)
                memcpy(grown, entries, count * sizeof *grown);
            entries = grown;
        }
        TRY(entry_decode(&in, &value, &entries[count++]));
    }
    *ret_entries = entries;
    *ret_count = count;
    return E_OK;
}
