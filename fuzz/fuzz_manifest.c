/* Manifests and manifest lists: decoding never breaks, and a manifest that was read can be written.
 */
#include "table/manifest.h"
#include "table/prune_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

/* The table of the corpus: id bigint, s text, day date, d double; by month(day) and bucket[4](id).
 */
static const char TABLE[] =
    "{\"format-version\":2,\"table-uuid\":\"9c12d441-03fe-4693-9a96-a0705ddf69c1\",\"location\":"
    "\"s3://l/t\","
    "\"last-sequence-number\":1,\"last-updated-ms\":1,\"last-column-id\":4,\"current-schema-id\":0,"
    "\"schemas\":["
    "{\"type\":\"struct\",\"schema-id\":0,\"fields\":[{\"id\":1,\"name\":\"id\",\"required\":false,"
    "\"type\":\"long\"},"
    "{\"id\":2,\"name\":\"s\",\"required\":false,\"type\":\"string\"},"
    "{\"id\":3,\"name\":\"day\",\"required\":false,\"type\":\"date\"},"
    "{\"id\":4,\"name\":\"d\",\"required\":false,\"type\":\"double\"}]}],"
    "\"default-spec-id\":0,\"partition-specs\":[{\"spec-id\":0,\"fields\":["
    "{\"source-id\":3,\"field-id\":1000,\"name\":\"day_month\",\"transform\":\"month\"},"
    "{\"source-id\":1,\"field-id\":1001,\"name\":\"id_bucket\",\"transform\":\"bucket[4]\"}]}]}";

static void write_and_read(Arena *arena, const TableMetadata *m, const ManifestEntry *entries,
                           size_t count)
{
    Buf out AUTO(buf_done);
    ManifestFile file;
    ManifestEntry *again;
    size_t again_count;
    Err err;
    buf_init(&out, 64 << 20);
    ManifestWrite write = {
        .metadata = m, .spec = table_spec_default(m), .path = STR("s3://l/m"), .sequence_number = 1
    };
    if (manifest_encode(&write, entries, count, arena, &out, &file, &err) != E_OK)
        return; /* text that is no UTF-8 may be read, and is not written */
    ASSERT(manifest_decode(arena, buf_str(&out), m, &file, &again, &again_count, &err) == E_OK);
    ASSERT(again_count == count);
    for (size_t i = 0; i < count; i++)
        ASSERT(str_eq(again[i].file.address, entries[i].file.address) &&
               again[i].file.column_count <= entries[i].file.column_count);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    Arena arena AUTO(arena_done) = { 0 };
    TableMetadata *m;
    ManifestFile *files;
    ManifestEntry *entries;
    Pruner *pruner;
    size_t count;
    Err err;
    Str input = str_of(bytes, len);
    ASSERT(table_metadata_decode(&arena, str_z(TABLE), &m, &err) == E_OK);
    IceValue value = ice_value_i64(7);
    ScanPredicate predicate = {
        .field_id = 1, .op = PREDICATE_EQ, .values = &value, .value_count = 1
    };
    ASSERT(pruner_new(&arena, m, table_schema_current(m), &predicate, 1, &pruner, &err) == E_OK);
    if (manifest_list_decode(&arena, input, &files, &count, &err) == E_OK)
        for (size_t i = 0; i < count; i++)
            prune_keeps_manifest(pruner, &files[i]);
    ManifestFile from = { .path = STR("s3://l/m"),
                          .length = (int64_t)len,
                          .sequence_number = 1,
                          .added_snapshot_id = 1 };
    if (manifest_decode(&arena, input, m, &from, &entries, &count, &err) != E_OK)
        return 0;
    for (size_t i = 0; i < count; i++)
        prune_keeps_file(pruner, &entries[i].file);
    write_and_read(&arena, m, entries, count);
    return 0;
}
