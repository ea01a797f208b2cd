/* Metadata and schemas as JSON: metadata.c, metadata_find.c, schema.c, schema_json.c. */
#include "base/test.h"
#include "table/iceberg.h"

#include <string.h>

/* As PyIceberg writes it, with members that we do not interpret. */
static const char WHOLE[] =
    "{\"location\":\"s3://lake/silver/t/1/"
    "\",\"table-uuid\":\"9c12d441-03fe-4693-9a96-a0705ddf69c1\","
    "\"last-updated-ms\":1602638573590,\"last-column-id\":8,\"schemas\":["
    "{\"type\":\"struct\",\"fields\":[{\"id\":1,\"name\":\"x\",\"type\":\"long\",\"required\":true}"
    "],\"schema-id\":0,"
    "\"identifier-field-ids\":[]},"
    "{\"type\":\"struct\",\"fields\":[{\"id\":1,\"name\":\"x\",\"type\":\"long\",\"required\":true}"
    ","
    "{\"id\":2,\"name\":\"y\",\"type\":\"string\",\"required\":false,\"doc\":\"why\"},"
    "{\"id\":3,\"name\":\"l\",\"required\":false,\"type\":{\"type\":\"list\",\"element-id\":5,"
    "\"element\":\"int\","
    "\"element-required\":false}},"
    "{\"id\":4,\"name\":\"m\",\"required\":false,\"type\":{\"type\":\"map\",\"key-id\":6,\"key\":"
    "\"string\",\"value-id\":7,"
    "\"value\":{\"type\":\"struct\",\"fields\":[{\"id\":8,\"name\":\"z\",\"type\":\"decimal(9, "
    "2)\",\"required\":false}]},"
    "\"value-required\":true}}],\"schema-id\":1,\"identifier-field-ids\":[1]}],"
    "\"current-schema-id\":1,\"partition-specs\":[{\"spec-id\":0,\"fields\":[{\"source-id\":1,"
    "\"field-id\":1000,"
    "\"transform\":\"bucket[4]\",\"name\":\"x_bucket\"}]}],\"default-spec-id\":0,\"last-partition-"
    "id\":1000,"
    "\"properties\":{\"a\":\"b\"},\"current-snapshot-id\":2,\"snapshots\":["
    "{\"snapshot-id\":1,\"sequence-number\":1,\"timestamp-ms\":1515100955770,\"manifest-list\":"
    "\"s3://a/b/1.avro\","
    "\"summary\":{\"operation\":\"append\",\"total-records\":\"3\"},\"schema-id\":0},"
    "{\"snapshot-id\":2,\"sequence-number\":2,\"parent-snapshot-id\":1,\"timestamp-ms\":"
    "1555100955770,"
    "\"manifest-list\":\"s3://a/b/"
    "2.avro\",\"summary\":{\"operation\":\"overwrite\"},\"schema-id\":1}],"
    "\"snapshot-log\":[{\"snapshot-id\":1,\"timestamp-ms\":1515100955770},"
    "{\"snapshot-id\":2,\"timestamp-ms\":1555100955770}],"
    "\"metadata-log\":[{\"metadata-file\":\"s3://bucket/v1.json\",\"timestamp-ms\":1515100}],"
    "\"sort-orders\":[{\"order-id\":3,\"fields\":[{\"transform\":\"identity\",\"source-id\":2,"
    "\"direction\":\"desc\","
    "\"null-order\":\"nulls-last\"}]}],\"default-sort-order-id\":3,"
    "\"refs\":{\"main\":{\"snapshot-id\":2,\"type\":\"branch\"},\"test\":{\"snapshot-id\":1,"
    "\"type\":\"tag\","
    "\"max-ref-age-ms\":10000000}},\"statistics\":[{\"snapshot-id\":1}],\"format-version\":2,"
    "\"last-sequence-number\":34}";

static TableMetadata *whole(Arena *arena)
{
    TableMetadata *m = NULL;
    Err err;
    CHECK_OK(table_metadata_decode(arena, str_z(WHOLE), &m, &err), &err);
    return m;
}

TEST(metadata_is_read)
{
    Arena AUTO(arena_done) arena = { 0 };
    TableMetadata *m = whole(&arena);
    if (!m)
        return;
    CHECK_STR(m->location, STR("s3://lake/silver/t/1"));
    CHECK_INT(m->schema_count, 2);
    const IceSchema *schema = table_schema_current(m);
    CHECK_INT(schema->id, 1);
    CHECK_INT(ice_schema_find(schema, STR("m.value.z"))->id, 8);
    CHECK_INT(ice_schema_find(schema, STR("L.ELEMENT"))->id, 5);
    CHECK(!ice_schema_find(schema, STR("m.z")));
    CHECK_INT(ice_schema_field(schema, 8)->type->precision, 9);
    CHECK_STR(ice_schema_nearest(schema, STR("yy")), STR("y"));
    CHECK_INT(table_spec_default(m)->fields[0].transform.width, 4);
    CHECK(table_sort_order_default(m)->fields[0].descending);
    CHECK_INT(table_snapshot_at(m, 1515100955770)->id, 1);
    CHECK_INT(table_snapshot_at(m, 1999999999999)->id, 2);
    CHECK(!table_snapshot_at(m, 5));
    CHECK(table_ref(m, STR("test"))->is_tag);
    CHECK_INT(m->extra_count, 1);
    CHECK_INT(m->last_sequence_number, 34);
}

TEST(metadata_is_written_as_it_was_read)
{
    Arena AUTO(arena_done) arena = { 0 };
    Buf AUTO(buf_done) first = { 0 }, second = { 0 };
    TableMetadata *m = whole(&arena);
    Err err;
    buf_init(&first, 1 << 20);
    buf_init(&second, 1 << 20);
    table_metadata_encode(&first, m);
    CHECK_OK(table_metadata_decode(&arena, buf_str(&first), &m, &err), &err);
    table_metadata_encode(&second, m);
    CHECK_STR(buf_str(&first), buf_str(&second));
    CHECK(str_find(buf_str(&first), STR("\"statistics\":[{\"snapshot-id\":1}]")) > 0);
    CHECK(str_find(buf_str(&first), STR("\"doc\":\"why\"")) > 0);
    CHECK(str_find(buf_str(&first), STR("\"max-ref-age-ms\":10000000")) > 0);
}

/* WHOLE with one part replaced. */
static Code changed(Arena *arena, const char *from, const char *to, Err *err)
{
    Str text = str_z(WHOLE);
    ptrdiff_t at = str_find(text, str_z(from));
    CHECK(at >= 0);
    Str head = str_sub(text, 0, (size_t)at), tail = str_from(text, (size_t)at + strlen(from));
    Buf AUTO(buf_done) json;
    buf_init(&json, 1 << 20);
    buf_put(&json, head);
    buf_put(&json, str_z(to));
    buf_put(&json, tail);
    TableMetadata *m = NULL;
    return table_metadata_decode(arena, str_copy(arena, buf_str(&json)), &m, err);
}

TEST(metadata_that_breaks_the_specification_is_refused)
{
    static const struct {
        const char *from, *to;
        Code wanted;
    } ROWS[] = {
        { "\"format-version\":2", "\"format-version\":3", E_UNSUPPORTED },
        { "\"format-version\":2", "\"format-version\":\"2\"", E_CORRUPT },
        { "\"current-schema-id\":1", "\"current-schema-id\":7", E_CORRUPT },
        { "\"default-spec-id\":0", "\"default-spec-id\":1", E_CORRUPT },
        { "\"default-sort-order-id\":3", "\"default-sort-order-id\":4", E_CORRUPT },
        { "\"current-snapshot-id\":2", "\"current-snapshot-id\":9", E_CORRUPT },
        { "\"main\":{\"snapshot-id\":2", "\"main\":{\"snapshot-id\":1", E_CORRUPT },
        { "\"key-id\":6", "\"key-id\":5", E_CORRUPT }, /* twice */
        { "\"id\":8,", "\"id\":-8,", E_CORRUPT },
        { "\"type\":\"string\"", "\"type\":\"variant\"", E_UNSUPPORTED },
        { "\"type\":\"string\"", "\"type\":\"text\"", E_CORRUPT },
        { "bucket[4]", "bucket[x]", E_INVALID },
        { "9c12d441-03fe", "9c12d441-03f", E_CORRUPT },
        { "\"last-column-id\":8,", "", E_CORRUPT },
        { "\"identifier-field-ids\":[1]", "\"identifier-field-ids\":[99]", E_CORRUPT },
        { "\"manifest-list\":\"s3://a/b/1.avro\"", "\"manifests\":[\"x\"]", E_UNSUPPORTED },
        { "\"properties\":{\"a\":\"b\"}", "\"properties\":{\"a\":1}", E_CORRUPT },
    };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        Arena AUTO(arena_done) arena = { 0 };
        Err err;
        err_clear(&err);
        CHECK_CODE(changed(&arena, ROWS[i].from, ROWS[i].to, &err), ROWS[i].wanted);
        CHECK(err.text[0] != 0);
    }
}

TEST(metadata_cut_anywhere_is_refused)
{
    Str text = str_z(WHOLE);
    for (size_t len = 0; len < text.len; len += 7) {
        Arena AUTO(arena_done) arena = { 0 };
        TableMetadata *m = NULL;
        CHECK_CODE(table_metadata_decode(&arena, str_sub(text, 0, len), &m, NULL), E_CORRUPT);
        CHECK(!m);
    }
}

TEST(schema_nested_too_deep_is_refused)
{
    Arena AUTO(arena_done) arena = { 0 };
    Buf AUTO(buf_done) json;
    IceSchema *schema = NULL;
    buf_init(&json, 1 << 20);
    buf_put(&json, STR("{\"type\":\"struct\",\"schema-id\":0,\"fields\":[{\"id\":1,\"name\":\"a\","
                       "\"required\":false,\"type\":"));
    for (int i = 0; i < 40; i++)
        buf_format(
            &json,
            "{\"type\":\"list\",\"element-required\":false,\"element-id\":%d,\"element\":", i + 2);
    buf_put(&json, STR("\"int\""));
    for (int i = 0; i < 40; i++)
        buf_put(&json, STR("}"));
    buf_put(&json, STR("}]}"));
    CHECK_CODE(ice_schema_decode(&arena, buf_str(&json), &schema, NULL), E_LIMIT);
}

TEST(schema_ids_are_given_level_by_level)
{
    Arena AUTO(arena_done) arena = { 0 };
    const IceType *nested;
    Err err;
    int32_t last = 0;
    CHECK_OK(ice_type_from_sql(&arena, STR("STRUCT(a INT, b MAP(INT, INT[]))"), &nested, &err),
             &err);
    IceField fields[] = { { .name = STR("n"), .type = nested },
                          { .name = STR("x"), .type = ice_type_simple(ICE_INT) } };
    IceSchema schema = { .fields = fields, .field_count = 2 };
    CHECK_OK(ice_schema_assign_ids(&arena, &schema, &last, &err), &err);
    CHECK_INT(last, 7);
    CHECK_INT(ice_schema_find(&schema, STR("x"))->id, 2);
    CHECK_INT(ice_schema_find(&schema, STR("n.a"))->id, 3);
    CHECK_INT(ice_schema_find(&schema, STR("n.b.value.element"))->id, 7);
    IceField twice[] = { { .name = STR("n"), .type = nested },
                         { .name = STR("N"), .type = nested } };
    IceSchema bad = { .fields = twice, .field_count = 2 };
    CHECK_CODE(ice_schema_assign_ids(&arena, &bad, &last, &err), E_INVALID);
    IceField unnamed[] = { { .name = STR(""), .type = nested } };
    bad = (IceSchema){ .fields = unnamed, .field_count = 1 };
    CHECK_CODE(ice_schema_assign_ids(&arena, &bad, &last, &err), E_INVALID);
}
