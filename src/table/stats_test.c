/* Statistics from a Parquet footer that we did not write: stats.c. */
#include "base/test.h"
#include "table/stats.h"

#include <string.h>

/* Written by Arrow C++: id bigint, s text, d double, l list of int (ids 1, 2, 3, 4 with element 5), three rows
 * in two row groups: (7, 20 times 'a', 1.5, [1]), (-3, NULL, 0.0, [2, 3]); (9, 'zz', -2.0, NULL). */
static const uint8_t TINY[] = {
    80, 65, 82, 49, 21, 0, 21, 44, 21, 44, 44, 21, 4, 21, 0, 21, 6, 21, 6, 28,
    24, 8, 7, 0, 0, 0, 0, 0, 0, 0, 24, 8, 253, 255, 255, 255, 255, 255, 255, 255,
    22, 0, 40, 8, 7, 0, 0, 0, 0, 0, 0, 0, 24, 8, 253, 255, 255, 255, 255, 255,
    255, 255, 17, 17, 0, 0, 0, 2, 0, 0, 0, 4, 1, 7, 0, 0, 0, 0, 0, 0,
    0, 253, 255, 255, 255, 255, 255, 255, 255, 21, 0, 21, 60, 21, 60, 44, 21, 4, 21, 0,
    21, 6, 21, 6, 28, 54, 2, 40, 20, 97, 97, 97, 97, 97, 97, 97, 97, 97, 97, 97,
    97, 97, 97, 97, 97, 97, 97, 97, 97, 24, 20, 97, 97, 97, 97, 97, 97, 97, 97, 97,
    97, 97, 97, 97, 97, 97, 97, 97, 97, 97, 97, 17, 17, 0, 0, 0, 2, 0, 0, 0,
    3, 1, 20, 0, 0, 0, 97, 97, 97, 97, 97, 97, 97, 97, 97, 97, 97, 97, 97, 97,
    97, 97, 97, 97, 97, 97, 21, 0, 21, 44, 21, 44, 44, 21, 4, 21, 0, 21, 6, 21,
    6, 28, 24, 8, 0, 0, 0, 0, 0, 0, 248, 63, 24, 8, 0, 0, 0, 0, 0, 0,
    0, 128, 22, 0, 40, 8, 0, 0, 0, 0, 0, 0, 248, 63, 24, 8, 0, 0, 0, 0,
    0, 0, 0, 128, 17, 17, 0, 0, 0, 2, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0,
    0, 248, 63, 0, 0, 0, 0, 0, 0, 0, 0, 21, 0, 21, 48, 21, 48, 44, 21, 6,
    21, 0, 21, 6, 21, 6, 28, 24, 4, 3, 0, 0, 0, 24, 4, 1, 0, 0, 0, 22,
    0, 40, 4, 3, 0, 0, 0, 24, 4, 1, 0, 0, 0, 17, 17, 0, 0, 0, 2, 0,
    0, 0, 3, 4, 2, 0, 0, 0, 6, 3, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0,
    0, 0, 21, 0, 21, 28, 21, 28, 44, 21, 2, 21, 0, 21, 6, 21, 6, 28, 24, 8,
    9, 0, 0, 0, 0, 0, 0, 0, 24, 8, 9, 0, 0, 0, 0, 0, 0, 0, 22, 0,
    40, 8, 9, 0, 0, 0, 0, 0, 0, 0, 24, 8, 9, 0, 0, 0, 0, 0, 0, 0,
    17, 17, 0, 0, 0, 2, 0, 0, 0, 2, 1, 9, 0, 0, 0, 0, 0, 0, 0, 21,
    0, 21, 24, 21, 24, 44, 21, 2, 21, 0, 21, 6, 21, 6, 28, 54, 0, 40, 2, 122,
    122, 24, 2, 122, 122, 17, 17, 0, 0, 0, 2, 0, 0, 0, 2, 1, 2, 0, 0, 0,
    122, 122, 21, 0, 21, 28, 21, 28, 44, 21, 2, 21, 0, 21, 6, 21, 6, 28, 24, 8,
    0, 0, 0, 0, 0, 0, 0, 192, 24, 8, 0, 0, 0, 0, 0, 0, 0, 192, 22, 0,
    40, 8, 0, 0, 0, 0, 0, 0, 0, 192, 24, 8, 0, 0, 0, 0, 0, 0, 0, 192,
    17, 17, 0, 0, 0, 2, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 192, 21,
    0, 21, 24, 21, 24, 44, 21, 2, 21, 0, 21, 6, 21, 6, 28, 54, 2, 0, 0, 0,
    2, 0, 0, 0, 2, 0, 2, 0, 0, 0, 2, 0, 21, 4, 25, 124, 53, 0, 24, 6,
    115, 99, 104, 101, 109, 97, 21, 8, 0, 21, 4, 37, 2, 24, 2, 105, 100, 85, 2, 0,
    21, 12, 37, 2, 24, 1, 115, 37, 0, 53, 4, 28, 28, 0, 0, 0, 21, 10, 37, 2,
    24, 1, 100, 85, 6, 0, 53, 2, 24, 1, 108, 21, 2, 21, 6, 53, 8, 28, 60, 0,
    0, 0, 53, 4, 24, 4, 108, 105, 115, 116, 21, 2, 0, 21, 2, 37, 2, 24, 7, 101,
    108, 101, 109, 101, 110, 116, 85, 10, 0, 22, 6, 25, 44, 25, 76, 38, 0, 28, 21, 4,
    25, 37, 6, 0, 25, 24, 2, 105, 100, 21, 0, 22, 4, 22, 170, 1, 22, 170, 1, 38,
    8, 60, 24, 8, 7, 0, 0, 0, 0, 0, 0, 0, 24, 8, 253, 255, 255, 255, 255, 255,
    255, 255, 22, 0, 40, 8, 7, 0, 0, 0, 0, 0, 0, 0, 24, 8, 253, 255, 255, 255,
    255, 255, 255, 255, 17, 17, 0, 25, 28, 21, 0, 21, 0, 21, 2, 0, 60, 41, 6, 25,
    38, 0, 4, 0, 0, 0, 38, 0, 28, 21, 12, 25, 37, 6, 0, 25, 24, 1, 115, 21,
    0, 22, 4, 22, 194, 1, 22, 194, 1, 38, 178, 1, 60, 54, 2, 40, 20, 97, 97, 97,
    97, 97, 97, 97, 97, 97, 97, 97, 97, 97, 97, 97, 97, 97, 97, 97, 97, 24, 20, 97,
    97, 97, 97, 97, 97, 97, 97, 97, 97, 97, 97, 97, 97, 97, 97, 97, 97, 97, 97, 17,
    17, 0, 25, 28, 21, 0, 21, 0, 21, 2, 0, 60, 22, 40, 25, 6, 25, 38, 2, 2,
    0, 0, 0, 38, 0, 28, 21, 10, 25, 37, 6, 0, 25, 24, 1, 100, 21, 0, 22, 4,
    22, 170, 1, 22, 170, 1, 38, 244, 2, 60, 24, 8, 0, 0, 0, 0, 0, 0, 248, 63,
    24, 8, 0, 0, 0, 0, 0, 0, 0, 128, 22, 0, 40, 8, 0, 0, 0, 0, 0, 0,
    248, 63, 24, 8, 0, 0, 0, 0, 0, 0, 0, 128, 17, 17, 0, 25, 28, 21, 0, 21,
    0, 21, 2, 0, 60, 41, 6, 25, 38, 0, 4, 0, 0, 0, 38, 0, 28, 21, 2, 25,
    37, 6, 0, 25, 56, 1, 108, 4, 108, 105, 115, 116, 7, 101, 108, 101, 109, 101, 110, 116,
    21, 0, 22, 6, 22, 142, 1, 22, 142, 1, 38, 158, 4, 60, 24, 4, 3, 0, 0, 0,
    24, 4, 1, 0, 0, 0, 22, 0, 40, 4, 3, 0, 0, 0, 24, 4, 1, 0, 0, 0,
    17, 17, 0, 25, 28, 21, 0, 21, 0, 21, 2, 0, 60, 41, 38, 4, 2, 25, 70, 0,
    0, 0, 6, 0, 0, 0, 22, 164, 5, 22, 4, 38, 8, 22, 164, 5, 0, 25, 76, 38,
    0, 28, 21, 4, 25, 37, 6, 0, 25, 24, 2, 105, 100, 21, 0, 22, 2, 22, 154, 1,
    22, 154, 1, 38, 172, 5, 60, 24, 8, 9, 0, 0, 0, 0, 0, 0, 0, 24, 8, 9,
    0, 0, 0, 0, 0, 0, 0, 22, 0, 40, 8, 9, 0, 0, 0, 0, 0, 0, 0, 24,
    8, 9, 0, 0, 0, 0, 0, 0, 0, 17, 17, 0, 25, 28, 21, 0, 21, 0, 21, 2,
    0, 60, 41, 6, 25, 38, 0, 2, 0, 0, 0, 38, 0, 28, 21, 12, 25, 37, 6, 0,
    25, 24, 1, 115, 21, 0, 22, 2, 22, 86, 22, 86, 38, 198, 6, 60, 54, 0, 40, 2,
    122, 122, 24, 2, 122, 122, 17, 17, 0, 25, 28, 21, 0, 21, 0, 21, 2, 0, 60, 22,
    4, 25, 6, 25, 38, 0, 2, 0, 0, 0, 38, 0, 28, 21, 10, 25, 37, 6, 0, 25,
    24, 1, 100, 21, 0, 22, 2, 22, 154, 1, 22, 154, 1, 38, 156, 7, 60, 24, 8, 0,
    0, 0, 0, 0, 0, 0, 192, 24, 8, 0, 0, 0, 0, 0, 0, 0, 192, 22, 0, 40,
    8, 0, 0, 0, 0, 0, 0, 0, 192, 24, 8, 0, 0, 0, 0, 0, 0, 0, 192, 17,
    17, 0, 25, 28, 21, 0, 21, 0, 21, 2, 0, 60, 41, 6, 25, 38, 0, 2, 0, 0,
    0, 38, 0, 28, 21, 2, 25, 37, 6, 0, 25, 56, 1, 108, 4, 108, 105, 115, 116, 7,
    101, 108, 101, 109, 101, 110, 116, 21, 0, 22, 2, 22, 66, 22, 66, 38, 182, 8, 60, 54,
    2, 0, 25, 28, 21, 0, 21, 0, 21, 2, 0, 60, 41, 38, 2, 0, 25, 70, 2, 0,
    0, 0, 0, 0, 0, 22, 204, 3, 22, 2, 38, 172, 5, 22, 204, 3, 0, 40, 32, 112,
    97, 114, 113, 117, 101, 116, 45, 99, 112, 112, 45, 97, 114, 114, 111, 119, 32, 118, 101, 114,
    115, 105, 111, 110, 32, 50, 54, 46, 48, 46, 49, 25, 76, 28, 0, 0, 28, 0, 0, 28,
    0, 0, 28, 0, 0, 0, 86, 3, 0, 0, 80, 65, 82, 49,
};

typedef struct Fixture {
    Arena arena;
    Store *store;
    IceSchema schema;
    IceField fields[4];
    Err err;
} Fixture;

static void fixture_open(Fixture *f, Str bytes)
{
    static const char *const TYPES[] = { "BIGINT", "VARCHAR", "DOUBLE", "INTEGER[]" };
    static const char *const NAMES[] = { "id", "s", "d", "l" };
    *f = (Fixture){ 0 };
    int32_t last = 0;
    StoreOptions options = { .backend = "memory", .index = "memory", .dir = test_dir() };
    CHECK_OK(store_open(os_real(), &options, &f->store, &f->err), &f->err);
    CHECK_OK(store_bucket_create(f->store, STR("lake"), &f->err), &f->err);
    StorePut put = { .bucket = STR("lake"), .key = STR("tiny") };
    CHECK_OK(store_put(f->store, &put, bytes, NULL, &f->err), &f->err);
    for (size_t i = 0; i < 4; i++) {
        f->fields[i].name = str_z(NAMES[i]);
        CHECK_OK(ice_type_from_sql(&f->arena, str_z(TYPES[i]), &f->fields[i].type, &f->err),
                 &f->err);
    }
    f->schema = (IceSchema){ .fields = f->fields, .field_count = 4 };
    CHECK_OK(ice_schema_assign_ids(&f->arena, &f->schema, &last, &f->err), &f->err);
}

static void fixture_close(Fixture *f)
{
    store_free(&f->store);
    arena_done(&f->arena);
}

static Code described(Fixture *f, const TableMetadata *metadata, DataFile *file)
{
    ObjectReader *AUTO(object_reader_free) reader = NULL;
    TRY(store_reader_open(f->store, STR("lake"), STR("tiny"), 0, &reader, &f->err));
    return data_file_from_footer(reader, &f->schema, metadata, &f->arena, file, &f->err);
}

static const DataFileColumn *column_of(const DataFile *file, int32_t id)
{
    for (size_t i = 0; i < file->column_count; i++)
        if (file->columns[i].field_id == id)
            return &file->columns[i];
    test_failed(__FILE__, __LINE__, "no column %d", id);
    return &file->columns[0];
}

static Str text_of(Fixture *f, IceKind kind, Str bytes)
{
    IceValue value = ICE_NULL;
    CHECK_OK(ice_value_decode(ice_type_simple(kind), bytes, &value, &f->err), &f->err);
    return ice_value_format(&f->arena, ice_type_simple(kind), &value);
}

TEST(stats_of_a_footer)
{
    Fixture f;
    DataFile file = { 0 };
    fixture_open(&f, str_of(TINY, sizeof TINY));
    CHECK_OK(described(&f, NULL, &file), &f.err);
    CHECK_INT(file.record_count, 3);
    CHECK_INT(file.size_bytes, sizeof TINY);
    CHECK_INT(file.column_count, 4);
    CHECK_INT(file.split_offset_count, 2);
    CHECK_INT(file.split_offsets[0], 4);
    const DataFileColumn *id = column_of(&file, 1), *s = column_of(&file, 2),
                         *d = column_of(&file, 3), *element = column_of(&file, 5);
    CHECK_INT(id->value_count, 3);
    CHECK_INT(id->null_count, 0);
    CHECK_STR(text_of(&f, ICE_LONG, id->lower), STR("-3"));
    CHECK_STR(text_of(&f, ICE_LONG, id->upper), STR("9"));
    CHECK_INT(s->null_count, 1);
    CHECK_STR(s->lower, STR("aaaaaaaaaaaaaaaa")); /* 16 of 20 */
    CHECK_STR(s->upper, STR("zz"));
    CHECK_STR(text_of(&f, ICE_DOUBLE, d->lower), STR("-2"));
    CHECK_STR(text_of(&f, ICE_DOUBLE, d->upper), STR("1.5"));
    CHECK_INT(d->nan_count, -1);
    CHECK_INT(element->value_count, 4); /* the NULL list counts as an entry */
    CHECK(!element->lower.ptr && !element->upper.ptr);
    fixture_close(&f);
}

TEST(stats_follow_the_metrics_mode)
{
    IceProperty lines[] = {
        { STR_INIT("write.metadata.metrics.default"), STR_INIT("none") },
        { STR_INIT("write.metadata.metrics.column.id"), STR_INIT("counts") },
        { STR_INIT("write.metadata.metrics.column.s"), STR_INIT("full") },
    };
    TableMetadata m = { .properties = lines, .property_count = ARRAY_LEN(lines) };
    Fixture f;
    DataFile file = { 0 };
    fixture_open(&f, str_of(TINY, sizeof TINY));
    CHECK_OK(described(&f, &m, &file), &f.err);
    CHECK_INT(column_of(&file, 3)->value_count, -1);
    CHECK_INT(column_of(&file, 1)->value_count, 3);
    CHECK(!column_of(&file, 1)->lower.ptr);
    CHECK_INT(column_of(&file, 2)->lower.len, 20);
    fixture_close(&f);
}

TEST(stats_refuse_other_types_and_damage)
{
    Fixture f;
    DataFile file = { 0 };
    fixture_open(&f, str_of(TINY, sizeof TINY));
    f.fields[0].type = ice_type_simple(ICE_STRING);
    CHECK_CODE(described(&f, NULL, &file), E_TYPE);
    f.fields[0].type = ice_type_simple(ICE_INT); /* a long is no int */
    CHECK_CODE(described(&f, NULL, &file), E_TYPE);
    fixture_close(&f);
    for (size_t len = 0; len < sizeof TINY; len += 61) {
        fixture_open(&f, str_of(TINY, len));
        CHECK_CODE(described(&f, NULL, &file), E_CORRUPT);
        fixture_close(&f);
    }
}
