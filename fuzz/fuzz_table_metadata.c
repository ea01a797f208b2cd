/* table-metadata.json: what was read is written, and is read as the same text again. */
#include "table/iceberg.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    Arena arena AUTO(arena_done) = { 0 };
    Buf first AUTO(buf_done) = { 0 }, second AUTO(buf_done) = { 0 };
    TableMetadata *m;
    Err err;
    if (table_metadata_decode(&arena, str_of(bytes, len), &m, &err) != E_OK)
        return 0;
    buf_init(&first, 64 << 20);
    buf_init(&second, 64 << 20);
    table_metadata_encode(&first, m);
    ASSERT(table_metadata_decode(&arena, buf_str(&first), &m, &err) == E_OK);
    table_metadata_encode(&second, m);
    ASSERT(str_eq(buf_str(&first), buf_str(&second)));
    ASSERT(table_schema_current(m) && table_spec_default(m) && table_sort_order_default(m));
    const IceSchema *schema = table_schema_current(m);
    for (size_t i = 0; i < schema->field_count; i++)
        ASSERT(ice_schema_field(schema, schema->fields[i].id) == &schema->fields[i]);
    return 0;
}
