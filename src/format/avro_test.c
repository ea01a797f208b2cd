/* Covers avro.c, avro_file.c, avro_schema.c. */
#include "base/test.h"
#include "base/text.h"
#include "format/avro.h"

#include <string.h>

static AvroSchema *schema_of(Arena *arena, const char *json)
{
    Err err;
    AvroSchema *schema = NULL;
    CHECK_OK(avro_schema_parse(arena, str_z(json), &schema, &err), &err);
    return schema;
}

TEST(avro_schema_refuses)
{
    static const struct {
        const char *json;
        Code code;
    } rows[] = {
        { "", E_INVALID },
        { "\"strange\"", E_INVALID },
        { "1", E_INVALID },
        { "[]", E_INVALID },
        { "[[\"null\"]]", E_INVALID },
        { "{\"type\":\"record\",\"name\":\"r\"}", E_INVALID },
        { "{\"type\":\"record\",\"fields\":[]}", E_INVALID },
        { "{\"type\":\"array\"}", E_INVALID },
        { "{\"type\":\"fixed\",\"name\":\"f\",\"size\":-1}", E_INVALID },
        { "{\"type\":\"enum\",\"name\":\"e\",\"symbols\":[1]}", E_INVALID },
        { "[{\"type\":\"fixed\",\"name\":\"f\",\"size\":1},{\"type\":\"fixed\",\"name\":\"f\","
          "\"size\":1}]",
          E_INVALID },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        Err err;
        AvroSchema *schema;
        CHECK_CODE(avro_schema_parse(&arena, str_z(rows[i].json), &schema, &err), rows[i].code);
    }
    Arena arena AUTO(arena_done) = { 0 };
    Buf deep AUTO(buf_done);
    Err err;
    AvroSchema *schema;
    buf_init(&deep, 1 << 16);
    for (int i = 0; i < 40; i++)
        buf_put(&deep, STR("{\"type\":\"array\",\"items\":"));
    buf_put(&deep, STR("\"int\""));
    for (int i = 0; i < 40; i++)
        buf_put(&deep, STR("}"));
    CHECK_CODE(avro_schema_parse(&arena, buf_str(&deep), &schema, &err), E_LIMIT);
}

TEST(avro_schema_keeps_ids)
{
    Arena arena AUTO(arena_done) = { 0 };
    AvroSchema *s = schema_of(
        &arena,
        "{\"type\":\"record\",\"name\":\"a.r\",\"fields\":["
        "{\"name\":\"x\",\"field-id\":7,\"type\":[\"null\",{\"type\":\"array\",\"element-id\":8,"
        "\"items\":{\"type\":\"fixed\",\"name\":\"dec\",\"size\":4,\"logicalType\":\"decimal\","
        "\"precision\":9,\"scale\":2}}]},{\"name\":\"y\",\"type\":\"dec\"},"
        "{\"name\":\"z\",\"type\":{\"type\":\"map\",\"key-id\":1,\"value-id\":2,\"values\":\"a."
        "dec\"}}]}");
    CHECK_INT(s->fields[0].field_id, 7);
    CHECK_INT(s->fields[1].field_id, AVRO_NO_ID);
    const AvroSchema *list = s->fields[0].schema->branches[1];
    CHECK_INT(list->element_id, 8);
    CHECK_STR(list->items->logical_type, STR("decimal"));
    CHECK_INT(list->items->precision, 9);
    CHECK_INT(list->items->scale, 2);
    CHECK_STR(list->items->name, STR("a.dec"));
    CHECK(s->fields[1].schema == list->items && s->fields[2].schema->items == list->items);
    CHECK_INT(s->fields[2].schema->key_id, 1);
    CHECK_INT(s->fields[2].schema->value_id, 2);
}

static Str encoded(Arena *arena, const char *schema, AvroValue value)
{
    Err err;
    Buf out AUTO(buf_done);
    buf_init(&out, 1000);
    CHECK_OK(avro_encode(&out, schema_of(arena, schema), &value, &err), &err);
    return hex_format(arena, buf_str(&out));
}

/* The examples of the specification. */
TEST(avro_encodes_as_the_specification_says)
{
    Arena arena AUTO(arena_done) = { 0 };
    CHECK_STR(encoded(&arena, "\"long\"", avro_long(-64)), STR("7f"));
    CHECK_STR(encoded(&arena, "\"long\"", avro_long(64)), STR("8001"));
    CHECK_STR(encoded(&arena, "\"int\"", avro_long(-1)), STR("01"));
    CHECK_STR(encoded(&arena, "\"string\"", avro_string(STR("foo"))), STR("06666f6f"));
    AvroValue fields[] = { avro_long(27), avro_string(STR("foo")) };
    CHECK_STR(
        encoded(
            &arena,
            "{\"type\":\"record\",\"name\":\"test\",\"fields\":[{\"name\":\"a\",\"type\":\"long\"},"
            "{\"name\":\"b\",\"type\":\"string\"}]}",
            avro_record(fields, 2)),
        STR("3606666f6f"));
    AvroValue items[] = { avro_long(3), avro_long(27) };
    CHECK_STR(encoded(&arena, "{\"type\":\"array\",\"items\":\"long\"}", avro_list(items, 2)),
              STR("04063600"));
    CHECK_STR(encoded(&arena, "[\"null\",\"string\"]", avro_null()), STR("00"));
    CHECK_STR(encoded(&arena, "[\"null\",\"string\"]", avro_string(STR("a"))), STR("020261"));
    CHECK_STR(encoded(&arena, "[\"int\",\"long\"]", avro_long(5)), STR("020a"));
    CHECK_STR(encoded(&arena, "[\"null\",\"int\"]", avro_long(5)), STR("020a"));
    CHECK_STR(encoded(&arena, "\"double\"", avro_double(1.5)), STR("000000000000f83f"));
    CHECK_STR(encoded(&arena, "\"float\"", avro_float(1.5f)), STR("0000c03f"));
    CHECK_STR(encoded(&arena, "\"boolean\"", avro_boolean(true)), STR("01"));
    Str keys[] = { STR("k") };
    AvroValue values[] = { avro_bytes(STR("\xff")) };
    CHECK_STR(encoded(&arena, "{\"type\":\"map\",\"values\":\"bytes\"}", avro_map(keys, values, 1)),
              STR("02026b02ff00"));
}

TEST(avro_encode_refuses_what_does_not_fit)
{
    static const char *const schemas[] = { "\"int\"", "\"string\"", "[\"null\",\"boolean\"]",
                                           "\"null\"",
                                           "{\"type\":\"fixed\",\"name\":\"f\",\"size\":3}" };
    for (size_t i = 0; i < ARRAY_LEN(schemas); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        Err err;
        Buf out AUTO(buf_done);
        buf_init(&out, 1000);
        AvroValue value = avro_long(INT64_C(1) << 40);
        CHECK_CODE(avro_encode(&out, schema_of(&arena, schemas[i]), &value, &err), E_INVALID);
    }
}

TEST(avro_decode_refuses)
{
    static const struct {
        const char *schema, *hex;
    } rows[] = {
        { "\"long\"", "" },
        { "\"long\"", "ffffffffffffffffffff01" },
        { "\"int\"", "8080808010" }, /* 2^31 */
        { "\"boolean\"", "02" },
        { "\"string\"", "0861" },
        { "\"string\"", "01" },
        { "[\"null\",\"long\"]", "04" },
        { "[\"null\",\"long\"]", "01" },
        { "{\"type\":\"array\",\"items\":\"long\"}", "ffffffff0f00" },
        { "{\"type\":\"array\",\"items\":\"null\"}", "ffffffffff0f00" },
        { "{\"type\":\"array\",\"items\":\"long\"}", "ffffffffffffffffff01" },
        { "{\"type\":\"map\",\"values\":\"null\"}", "feff0f00" },
        { "{\"type\":\"enum\",\"name\":\"e\",\"symbols\":[\"A\"]}", "02" },
        { "{\"type\":\"fixed\",\"name\":\"f\",\"size\":3}", "0101" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        Err err;
        Str bytes;
        AvroValue value;
        CHECK(hex_parse(&arena, str_z(rows[i].hex), &bytes));
        Reader r = reader_of(bytes);
        CHECK_CODE(avro_decode(&r, &arena, schema_of(&arena, rows[i].schema), &value, &err),
                   E_CORRUPT);
    }
}

TEST(avro_recursive_schema_ends)
{
    Arena arena AUTO(arena_done) = { 0 };
    AvroSchema *s =
        schema_of(&arena, "{\"type\":\"record\",\"name\":\"node\",\"fields\":[{\"name\":\"next\","
                          "\"type\":[\"null\",\"node\"]}]}");
    char deep[100];
    memset(deep, 2, sizeof deep);
    Err err;
    AvroValue value;
    Reader r = reader_of(str_of(deep, sizeof deep));
    CHECK_CODE(avro_decode(&r, &arena, s, &value, &err), E_CORRUPT);
    r = reader_of(STR("\x02\x02\x00"));
    CHECK_OK(avro_decode(&r, &arena, s, &value, &err), &err);
    CHECK_INT(value.items[0].items[0].items[0].kind, AVRO_NULL);
}

static const char entry_schema[] =
    "{\"type\": \"record\", \"name\": \"manifest_entry\", \"fields\": ["
    "{\"name\": \"status\", \"type\": \"int\", \"field-id\": 0},"
    "{\"name\": \"snapshot_id\", \"type\": [\"null\", \"long\"], \"default\": null, \"field-id\": "
    "1},"
    "{\"name\": \"sizes\", \"type\": [\"null\", {\"type\": \"array\", \"items\": {\"type\": "
    "\"record\","
    " \"name\": \"k117_v118\", \"fields\": [{\"name\": \"key\", \"type\": \"int\", \"field-id\": "
    "117},"
    "{\"name\": \"value\", \"type\": \"long\", \"field-id\": 118}]}, \"logicalType\": \"map\"}],"
    " \"default\": null, \"field-id\": 108}]}";

static void write_entries(Buf *out, AvroCodec codec, int count)
{
    Err err;
    AvroWriter *w AUTO(avro_writer_free) = NULL;
    AvroMeta meta[] = { { STR("format-version"), STR("2") }, { STR("content"), STR("data") } };
    AvroWriterOptions options = { .schema_json = str_z(entry_schema),
                                  .codec = codec,
                                  .meta = meta,
                                  .meta_count = 2,
                                  .sync = { 1, 2, 3 },
                                  .block_bytes = 100 };
    CHECK_OK(avro_writer_open(out, &options, &w, &err), &err);
    for (int i = 0; i < count; i++) {
        AvroValue pair[] = { avro_int(i), avro_long(i * 1000) };
        AvroValue pairs[] = { avro_record(pair, 2) };
        AvroValue fields[] = { avro_int(1), i % 2 ? avro_null() : avro_long(i),
                               avro_list(pairs, 1) };
        AvroValue entry = avro_record(fields, 3);
        CHECK_OK(avro_writer_put(w, &entry, &err), &err);
    }
    CHECK_OK(avro_writer_finish(w, &err), &err);
}

static Code read_entries(Str file, int *ret_count, Err *err)
{
    Arena arena AUTO(arena_done) = { 0 };
    AvroReader *r AUTO(avro_reader_free) = NULL;
    TRY(avro_reader_open(file, &r, err));
    CHECK_STR(avro_reader_schema_json(r), str_z(entry_schema));
    CHECK_STR(avro_reader_meta(r, STR("format-version")), STR("2"));
    CHECK(avro_reader_meta(r, STR("nothing")).ptr == NULL);
    AvroValue value;
    int count = 0;
    for (bool more;; count++) {
        TRY(avro_reader_next(r, &arena, &value, &more, err));
        if (!more)
            break;
        const AvroValue *id = avro_field_by_id(avro_reader_schema(r), &value, 1);
        CHECK(count % 2 ? id->kind == AVRO_NULL : id->kind == AVRO_LONG && id->integer == count);
        const AvroValue *sizes = avro_field(avro_reader_schema(r), &value, STR("sizes"));
        CHECK_INT(sizes->count, 1);
        CHECK_INT(sizes->items[0].items[1].integer, count * 1000);
    }
    *ret_count = count;
    return E_OK;
}

TEST(avro_files_come_back)
{
    for (int codec = AVRO_CODEC_NULL; codec <= AVRO_CODEC_ZSTANDARD; codec++) {
        for (int count = 0; count <= 1000; count = count * 10 + 1) {
            Buf file AUTO(buf_done);
            Err err;
            int found = -1;
            buf_init(&file, 1 << 20);
            write_entries(&file, (AvroCodec)codec, count);
            CHECK_OK(read_entries(buf_str(&file), &found, &err), &err);
            CHECK_INT(found, count);
        }
    }
}

TEST(avro_files_damaged_anywhere_never_pass_whole)
{
    Buf file AUTO(buf_done);
    Err err;
    int found = 0;
    buf_init(&file, 1 << 20);
    write_entries(&file, AVRO_CODEC_NULL, 20);
    for (size_t len = 0; len < file.len; len++) {
        found = 0;
        if (read_entries(str_of(file.ptr, len), &found, &err) == E_OK)
            CHECK(found < 20); /* cut between two blocks: only the count of the caller sees it */
    }
    file.ptr[file.len - 1] ^= 1; /* the sync marker */
    CHECK_CODE(read_entries(buf_str(&file), &found, &err), E_CORRUPT);
}

TEST(avro_writer_keeps_to_its_maximum)
{
    Buf file AUTO(buf_done);
    Err err;
    AvroWriter *w AUTO(avro_writer_free) = NULL;
    buf_init(&file, 50);
    AvroWriterOptions options = { .schema_json = STR("\"bytes\"") };
    CHECK_CODE(avro_writer_open(&file, &options, &w, &err), E_LIMIT);
    CHECK(w == NULL);
}
