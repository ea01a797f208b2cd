/* Manifests and what is pruned by them: manifest.c, manifest_list.c, manifest_schema.c,
 * partition_value.c, data_file_json.c, prune.c. */
#include "base/test.h"
#include "table/manifest.h"
#include "table/prune_priv.h"

#include <math.h>
#include <string.h>

/* A table with a partition of every kind of value. */
typedef struct Fixture {
    Arena arena;
    TableMetadata m;
    IceSchema schema;
    IcePartitionSpec spec;
    IceField fields[12];
    IcePartitionField parts[12];
} Fixture;

static const char *const TYPES[] = { "BOOLEAN",   "INTEGER",      "BIGINT", "FLOAT",
                                     "DOUBLE",    "DECIMAL(9,2)", "DATE",   "TIME",
                                     "TIMESTAMP", "VARCHAR",      "UUID",   "BLOB" };
static const char *const VALUES[] = { "true",
                                      "-5",
                                      "5000000000",
                                      "1.5",
                                      "-2.5",
                                      "14.20",
                                      "2020-02-29",
                                      "01:02:03.000004",
                                      "2020-02-29T01:02:03.000004",
                                      "z\xc3\xbc",
                                      "f79c3e09-677c-4bbd-a479-3f349cb785e7",
                                      "00ff" };

static void fixture_init(Fixture *f)
{
    Err err;
    *f = (Fixture){ 0 };
    for (size_t i = 0; i < ARRAY_LEN(TYPES); i++) {
        f->fields[i] = (IceField){ .id = (int32_t)i + 1,
                                   .name = str_format(&f->arena, "%zuc-%s", i, TYPES[i]) };
        CHECK_OK(ice_type_from_sql(&f->arena, str_z(TYPES[i]), &f->fields[i].type, &err), &err);
        f->parts[i] = (IcePartitionField){ .source_id = (int32_t)i + 1,
                                           .field_id = 1000 + (int32_t)i,
                                           .name = f->fields[i].name };
    }
    f->schema = (IceSchema){ .fields = f->fields, .field_count = ARRAY_LEN(TYPES) };
    f->spec = (IcePartitionSpec){ .fields = f->parts, .field_count = ARRAY_LEN(TYPES) };
    f->m = (TableMetadata){ .format_version = 2,
                            .schemas = &f->schema,
                            .schema_count = 1,
                            .specs = &f->spec,
                            .spec_count = 1,
                            .last_column_id = 12,
                            .current_snapshot_id = -1 };
}

static ManifestEntry entry_of(Fixture *f, EntryStatus status, bool nulls)
{
    ManifestEntry entry = { .status = status,
                            .snapshot_id = 7,
                            .sequence_number = status == ENTRY_ADDED ? -1 : 3,
                            .file_sequence_number = status == ENTRY_ADDED ? -1 : 3 };
    IceValue *values = arena_array(&f->arena, IceValue, ARRAY_LEN(TYPES));
    Err err;
    for (size_t i = 0; !nulls && i < ARRAY_LEN(TYPES); i++)
        CHECK_OK(ice_value_parse(f->fields[i].type, str_z(VALUES[i]), &f->arena, &values[i], &err),
                 &err);
    DataFileColumn columns[] = {
        { .field_id = 1,
          .size_bytes = 10,
          .value_count = 100,
          .null_count = 0,
          .nan_count = -1,
          .lower = STR("\0"),
          .upper = STR("\1") },
        { .field_id = 10,
          .size_bytes = -1,
          .value_count = 100,
          .null_count = 100,
          .nan_count = -1 },
    };
    int64_t splits[] = { 4, 5000 };
    entry.file = (DataFile){ .address = STR("s3://lake/a.parquet"),
                             .format = STR("PARQUET"),
                             .partition = values,
                             .partition_count = ARRAY_LEN(TYPES),
                             .record_count = 100,
                             .size_bytes = 4096,
                             .columns = arena_copy(&f->arena, columns, sizeof columns),
                             .column_count = 2,
                             .split_offsets = arena_copy(&f->arena, splits, sizeof splits),
                             .split_offset_count = 2,
                             .sort_order_id = 0 };
    return entry;
}

static ManifestFile encoded(Fixture *f, const ManifestEntry *entries, size_t count, Buf *bytes)
{
    ManifestFile file = { 0 };
    Err err;
    ManifestWrite write = { .metadata = &f->m,
                            .spec = &f->spec,
                            .path = STR("s3://lake/m0.avro"),
                            .snapshot_id = 9,
                            .sequence_number = 11 };
    CHECK_OK(manifest_encode(&write, entries, count, &f->arena, bytes, &file, &err), &err);
    return file;
}

TEST(manifest_of_too_many_entries_is_not_written)
{
    Fixture f;
    Buf AUTO(buf_done) bytes;
    Err err;
    ManifestFile file;
    fixture_init(&f);
    buf_init(&bytes, 1 << 20);
    ManifestEntry one = entry_of(&f, ENTRY_ADDED, false);
    ManifestWrite write = { .metadata = &f.m, .spec = &f.spec, .path = STR("s3://lake/m0.avro") };
    CHECK_CODE(manifest_encode(&write, &one, MANIFEST_ENTRIES_MAX + 1, &f.arena, &bytes, &file, &err), E_LIMIT);
    arena_done(&f.arena);
}

TEST(manifest_round_trip_with_every_partition_type)
{
    Fixture f;
    Buf AUTO(buf_done) bytes;
    Err err;
    fixture_init(&f);
    buf_init(&bytes, 1 << 20);
    ManifestEntry in[] = { entry_of(&f, ENTRY_ADDED, false), entry_of(&f, ENTRY_EXISTING, true),
                           entry_of(&f, ENTRY_DELETED, false) };
    ManifestFile file = encoded(&f, in, 3, &bytes);
    CHECK_INT(file.added_files, 1);
    CHECK_INT(file.existing_rows, 100);
    CHECK_INT(file.deleted_files, 1);
    CHECK_INT(file.min_sequence_number, 3);
    ManifestEntry *out = NULL;
    size_t count = 0;
    CHECK_OK(manifest_decode(&f.arena, buf_str(&bytes), &f.m, &file, &out, &count, &err), &err);
    CHECK_INT(count, 3);
    if (count != 3)
        return;
    CHECK_INT(out[0].sequence_number, 11); /* inherited */
    CHECK_INT(out[0].snapshot_id, 7);
    CHECK_INT(out[1].sequence_number, 3);
    CHECK_INT(out[2].status, ENTRY_DELETED);
    for (size_t i = 0; i < ARRAY_LEN(TYPES); i++) {
        CHECK_STR(ice_value_format(&f.arena, f.fields[i].type, &out[0].file.partition[i]),
                  str_z(VALUES[i]));
        CHECK(!out[1].file.partition[i].present);
        CHECK(file.partitions[i].contains_null);
        CHECK(file.partitions[i].lower.ptr != NULL);
    }
    CHECK_INT(out[0].file.column_count, 2);
    CHECK_STR(out[0].file.columns[0].lower, STR("\0"));
    CHECK_INT(out[0].file.columns[1].size_bytes, -1);
    CHECK_INT(out[0].file.columns[1].null_count, 100);
    CHECK_INT(out[0].file.split_offsets[1], 5000);
    CHECK_INT(out[0].file.sort_order_id, 0);
    arena_done(&f.arena);
}

TEST(manifest_damaged_anywhere_is_refused_or_harmless)
{
    Fixture f;
    Buf AUTO(buf_done) bytes;
    fixture_init(&f);
    buf_init(&bytes, 1 << 20);
    ManifestEntry in = entry_of(&f, ENTRY_ADDED, false);
    ManifestFile file = encoded(&f, &in, 1, &bytes);
    size_t refused = 0;
    for (size_t at = 0; at < bytes.len; at++) {
        Arena AUTO(arena_done) tmp = { 0 };
        ManifestEntry *out;
        size_t count;
        bytes.ptr[at] ^= 0x11;
        refused += manifest_decode(&tmp, buf_str(&bytes), &f.m, &file, &out, &count, NULL) != E_OK;
        bytes.ptr[at] ^= 0x11;
        CHECK(manifest_decode(&tmp, str_sub(buf_str(&bytes), 0, at), &f.m, &file, &out, &count,
                              NULL) != E_OK);
    }
    CHECK(refused > bytes.len / 4);
    arena_done(&f.arena);
}

TEST(manifest_list_round_trip)
{
    Arena AUTO(arena_done) arena = { 0 };
    Buf AUTO(buf_done) bytes;
    Err err;
    buf_init(&bytes, 1 << 20);
    PartitionSummary summaries[] = {
        { .contains_null = true, .nan_known = true, .lower = STR("a"), .upper = STR("b") }, { 0 }
    };
    ManifestFile in[] = {
        { .path = STR("s3://lake/m0.avro"),
          .length = 77,
          .spec_id = 2,
          .sequence_number = 5,
          .min_sequence_number = 4,
          .added_snapshot_id = 6,
          .added_files = 1,
          .added_rows = 2,
          .partitions = summaries,
          .partition_count = 2 },
        { .path = STR("s3://lake/m1.avro"), .length = 78, .is_deletes = true },
    };
    IceSnapshot snapshot = { .id = 6, .parent_id = -1, .sequence_number = 5 };
    CHECK_OK(manifest_list_encode(&snapshot, (Uuid){ 0 }, in, 2, &bytes, &err), &err);
    ManifestFile *out = NULL;
    size_t count = 0;
    CHECK_OK(manifest_list_decode(&arena, buf_str(&bytes), &out, &count, &err), &err);
    CHECK_INT(count, 2);
    if (count != 2)
        return;
    CHECK_STR(out[0].path, in[0].path);
    CHECK_INT(out[0].min_sequence_number, 4);
    CHECK_INT(out[0].partition_count, 2);
    CHECK_STR(out[0].partitions[0].upper, STR("b"));
    CHECK(!out[0].partitions[1].nan_known && !out[0].partitions[1].lower.ptr);
    CHECK(out[1].is_deletes);
}

TEST(data_file_json_round_trip)
{
    Fixture f;
    Buf AUTO(buf_done) json;
    Err err;
    DataFile out = { 0 };
    fixture_init(&f);
    buf_init(&json, 1 << 20);
    ManifestEntry in = entry_of(&f, ENTRY_ADDED, false);
    CHECK_OK(data_file_encode(&json, &in.file, &f.m, &err), &err);
    CHECK_OK(data_file_decode(&f.arena, buf_str(&json), &f.m, &out, &err), &err);
    CHECK_STR(out.address, in.file.address);
    CHECK_STR(ice_value_format(&f.arena, f.fields[5].type, &out.partition[5]), STR("14.20"));
    CHECK_STR(out.columns[0].upper, STR("\1"));
    CHECK_INT(out.columns[1].null_count, 100);
    CHECK_INT(out.split_offset_count, 2);
    CHECK_CODE(data_file_decode(&f.arena, STR("{\"spec\":0,\"partition\":[]}"), &f.m, &out, &err),
               E_CORRUPT);
    arena_done(&f.arena);
}

/* ---- pruning ---- */

typedef struct PruneRow {
    const char *sql;
    IceTransform transform;
    const char *low, *high; /* bounds of the file; NULL: unknown */
    int64_t nulls;          /* of 10 values */
    PredicateOp op;
    const char *value;
    bool by_bounds, by_partition; /* kept? */
} PruneRow;

static const PruneRow PRUNE_ROWS[] = {
    { "INTEGER", { 0 }, "5", "9", 0, PREDICATE_EQ, "4", false, false },
    { "INTEGER", { 0 }, "5", "9", 0, PREDICATE_EQ, "7", true, false },
    { "INTEGER", { 0 }, "5", "5", 0, PREDICATE_NE, "5", false, false },
    { "INTEGER", { 0 }, "5", "9", 0, PREDICATE_LT, "5", false, false },
    { "INTEGER", { 0 }, "5", "9", 0, PREDICATE_LE, "5", true, true },
    { "INTEGER", { 0 }, "5", "9", 0, PREDICATE_GT, "9", false, false },
    { "INTEGER", { 0 }, "5", "9", 0, PREDICATE_GE, "9", true, false },
    { "INTEGER", { 0 }, "5", "9", 0, PREDICATE_IS_NULL, NULL, false, false },
    { "INTEGER", { 0 }, "5", "9", 3, PREDICATE_IS_NULL, NULL, true, false },
    { "INTEGER", { 0 }, NULL, NULL, 10, PREDICATE_NOT_NULL, NULL, false, false },
    { "INTEGER", { 0 }, NULL, NULL, 10, PREDICATE_EQ, "5", false, false },
    { "VARCHAR", { 0 }, "abc", "abd", 0, PREDICATE_STARTS_WITH, "ab", true, true },
    { "VARCHAR", { 0 }, "abc", "abd", 0, PREDICATE_STARTS_WITH, "ac", false, false },
    { "VARCHAR", { 0 }, "abc", "abd", 0, PREDICATE_STARTS_WITH, "abcdef", true, false },
    { "DOUBLE", { 0 }, "1", "2", 0, PREDICATE_GT, "5", true, false }, /* NaN may hide above the
                                                                         bound */
    { "DOUBLE", { 0 }, "1", "2", 0, PREDICATE_LT, "0.5", false, false },
    { "DOUBLE", { 0 }, "-0.0", "2", 0, PREDICATE_EQ, "0.0", true, true },
    { "DOUBLE", { 0 }, "0.0", "2", 0, PREDICATE_EQ, "-0.0", true, true },
    { "DATE",
      { TRANSFORM_MONTH, 0 },
      "2020-02-10",
      "2020-02-20",
      0,
      PREDICATE_LT,
      "2020-02-05",
      false,
      true },
    { "DATE",
      { TRANSFORM_MONTH, 0 },
      "2020-02-10",
      "2020-02-20",
      0,
      PREDICATE_GE,
      "2020-03-01",
      false,
      false },
    { "TIMESTAMP",
      { TRANSFORM_DAY, 0 },
      "2020-02-10",
      "2020-02-10T12:00",
      0,
      PREDICATE_GT,
      "2020-02-10T23:00",
      false,
      true },
    { "VARCHAR",
      { TRANSFORM_TRUNCATE, 2 },
      "abc",
      "abz",
      0,
      PREDICATE_STARTS_WITH,
      "abq",
      true,
      true },
    { "VARCHAR",
      { TRANSFORM_TRUNCATE, 2 },
      "abc",
      "abz",
      0,
      PREDICATE_STARTS_WITH,
      "acq",
      false,
      false },
    { "BIGINT", { TRANSFORM_BUCKET, 1000 }, "34", "34", 0, PREDICATE_EQ, "35", false, false },
    { "BIGINT", { TRANSFORM_BUCKET, 1000 }, "34", "34", 0, PREDICATE_GT, "34", false, true },
    { "INTEGER", { TRANSFORM_VOID, 0 }, "5", "9", 0, PREDICATE_IS_NULL, NULL, false, true },
};

static void prune_row_check(const PruneRow *row, size_t number)
{
    Arena AUTO(arena_done) arena = { 0 };
    Err err;
    IceField field = { .id = 1, .name = STR("x") };
    IcePartitionField part = {
        .source_id = 1, .field_id = 1000, .name = STR("p"), .transform = row->transform
    };
    IceSchema schema = { .fields = &field, .field_count = 1 };
    IcePartitionSpec specs[] = { { .id = 0 }, { .id = 1, .fields = &part, .field_count = 1 } };
    TableMetadata m = { .schemas = &schema, .schema_count = 1, .specs = specs, .spec_count = 2 };
    CHECK_OK(ice_type_from_sql(&arena, str_z(row->sql), &field.type, &err), &err);
    IceValue literal = ICE_NULL, low = ICE_NULL, high = ICE_NULL, partition = ICE_NULL;
    DataFileColumn column = {
        .field_id = 1, .size_bytes = 1, .value_count = 10, .null_count = row->nulls, .nan_count = -1
    };
    if (row->value)
        CHECK_OK(ice_value_parse(field.type, str_z(row->value), &arena, &literal, &err), &err);
    if (row->low) {
        CHECK_OK(ice_value_parse(field.type, str_z(row->low), &arena, &low, &err), &err);
        CHECK_OK(ice_value_parse(field.type, str_z(row->high), &arena, &high, &err), &err);
        CHECK_OK(ice_value_encode(&arena, field.type, &low, &column.lower, &err), &err);
        CHECK_OK(ice_value_encode(&arena, field.type, &high, &column.upper, &err), &err);
    }
    CHECK_OK(ice_transform_apply(row->transform, field.type, &low, &partition, &err), &err);
    ScanPredicate predicate = {
        .field_id = 1, .op = row->op, .values = &literal, .value_count = row->value != NULL
    };
    Pruner *pruner = NULL;
    CHECK_OK(pruner_new(&arena, &m, &schema, &predicate, 1, &pruner, &err), &err);
    DataFile by_bounds = {
        .spec_id = 0, .columns = &column, .column_count = 1, .record_count = 10
    };
    DataFile by_partition = {
        .spec_id = 1, .partition = &partition, .partition_count = 1, .record_count = 10
    };
    if (prune_keeps_file(pruner, &by_bounds) != row->by_bounds)
        test_failed(__FILE__, __LINE__, "row %zu: bounds", number);
    if (prune_keeps_file(pruner, &by_partition) != row->by_partition)
        test_failed(__FILE__, __LINE__, "row %zu: partition", number);
}

TEST(prune_by_bounds_and_partitions)
{
    for (size_t i = 0; i < ARRAY_LEN(PRUNE_ROWS); i++)
        prune_row_check(&PRUNE_ROWS[i], i);
}

TEST(prune_by_manifest_summaries)
{
    Fixture f;
    Buf AUTO(buf_done) bytes;
    Err err;
    fixture_init(&f);
    buf_init(&bytes, 1 << 20);
    ManifestEntry in = entry_of(&f, ENTRY_ADDED, false);
    ManifestFile file = encoded(&f, &in, 1, &bytes);
    IceValue five = ice_value_i64(-5), six = ice_value_i64(6);
    for (int i = 0; i < 2; i++) {
        Pruner *pruner = NULL;
        ScanPredicate predicate = {
            .field_id = 2, .op = PREDICATE_EQ, .values = i ? &six : &five, .value_count = 1
        };
        CHECK_OK(pruner_new(&f.arena, &f.m, &f.schema, &predicate, 1, &pruner, &err), &err);
        CHECK_INT(prune_keeps_manifest(pruner, &file), !i);
    }
    arena_done(&f.arena);
}
