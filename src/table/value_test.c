/* Single values, transforms and bounds, with the vectors of the specification: value.c,
 * value_text.c, transform.c, murmur.c, bound.c. */
#include "base/test.h"
#include "table/stats.h"

#include <math.h>

static const IceType *sql_type(Arena *arena, const char *sql)
{
    const IceType *type = NULL;
    Err err;
    CHECK_OK(ice_type_from_sql(arena, str_z(sql), &type, &err), &err);
    return type;
}

static IceValue parsed(Arena *arena, const IceType *type, const char *text)
{
    IceValue value = ICE_NULL;
    Err err;
    CHECK_OK(ice_value_parse(type, str_z(text), arena, &value, &err), &err);
    return value;
}

/* The specification, appendix B: 32-bit hash requirements. */
TEST(value_hash_of_the_specification)
{
    static const struct {
        const char *sql, *text;
        int32_t wanted;
    } ROWS[] = {
        { "INTEGER", "34", 2017239379 },
        { "BIGINT", "34", 2017239379 },
        { "DECIMAL(9,2)", "14.20", -500754589 },
        { "DATE", "2017-11-16", -653330422 },
        { "TIME", "22:31:08", -662762989 },
        { "TIMESTAMP", "2017-11-16T22:31:08", -2047944441 },
        { "TIMESTAMP", "2017-11-16T22:31:08.000001", -1207196810 },
        { "TIMESTAMPTZ", "2017-11-16T14:31:08-08:00", -2047944441 },
        { "TIMESTAMPTZ", "2017-11-16T14:31:08.000001-08:00", -1207196810 },
        { "VARCHAR", "iceberg", 1210000089 },
        { "UUID", "f79c3e09-677c-4bbd-a479-3f349cb785e7", 1488055340 },
        { "BLOB", "00010203", -188683207 },
    };
    Arena AUTO(arena_done) arena = { 0 };
    Err err;
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        const IceType *type = sql_type(&arena, ROWS[i].sql);
        IceValue value = parsed(&arena, type, ROWS[i].text), bucket;
        IceTransform transform = { TRANSFORM_BUCKET, 1000 };
        CHECK_OK(ice_transform_apply(transform, type, &value, &bucket, &err), &err);
        CHECK_INT(bucket.number, (ROWS[i].wanted & INT32_MAX) % 1000);
    }
    CHECK_INT((int32_t)ice_hash_i64(34), 2017239379);
    CHECK_INT((int32_t)murmur3_32(STR("iceberg"), 0), 1210000089);
    CHECK_INT((int32_t)ice_hash_decimal(1420), -500754589);
}

TEST(value_transforms_of_the_specification)
{
    static const struct {
        const char *sql, *transform, *text, *wanted;
    } ROWS[] = {
        { "INTEGER", "truncate[10]", "1", "0" },
        { "INTEGER", "truncate[10]", "-1", "-10" },
        { "BIGINT", "truncate[10]", "-1", "-10" },
        { "DECIMAL(9,2)", "truncate[50]", "10.65", "10.50" },
        { "DECIMAL(9,2)", "truncate[50]", "-0.05", "-0.50" },
        { "VARCHAR", "truncate[3]", "iceberg", "ice" },
        { "VARCHAR", "truncate[2]", "\xc3\xa9t\xc3\xa9", "\xc3\xa9t" },
        { "BLOB", "truncate[2]", "010203", "0102" },
        { "DATE", "year", "2017-11-16", "47" },
        { "DATE", "month", "2017-11-16", "574" },
        { "DATE", "day", "2017-11-16", "2017-11-16" },
        { "DATE", "month", "1969-12-31", "-1" },
        { "DATE", "year", "1969-01-01", "-1" },
        { "TIMESTAMP", "hour", "2017-11-16T22:31:08", "419686" },
        { "TIMESTAMP", "hour", "1969-12-31T23:59:59.999999", "-1" },
        { "TIMESTAMP", "day", "1969-12-31T23:59:59.999999", "1969-12-31" },
        { "TIMESTAMPTZ", "day", "2017-11-16T23:31:08-08:00", "2017-11-17" },
        { "VARCHAR", "identity", "x", "x" },
        { "INTEGER", "void", "7", "null" },
    };
    Arena AUTO(arena_done) arena = { 0 };
    Err err;
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        const IceType *type = sql_type(&arena, ROWS[i].sql), *result;
        IceValue value = parsed(&arena, type, ROWS[i].text), out = ICE_NULL;
        IceTransform transform;
        CHECK_OK(ice_transform_parse(str_z(ROWS[i].transform), &transform, &err), &err);
        CHECK_STR(ice_transform_format(&arena, transform), str_z(ROWS[i].transform));
        CHECK_OK(ice_transform_type(transform, type, &result, &err), &err);
        CHECK_OK(ice_transform_apply(transform, type, &value, &out, &err), &err);
        CHECK_STR(ice_value_format(&arena, result, &out), str_z(ROWS[i].wanted));
        IceValue null = ICE_NULL;
        CHECK_OK(ice_transform_apply(transform, type, &null, &out, &err), &err);
        CHECK(!out.present);
    }
}

TEST(value_transforms_refuse_other_types)
{
    IceTransform transform;
    const IceType *type;
    Err err;
    CHECK_CODE(ice_transform_parse(STR("bucket[0]"), &transform, &err), E_INVALID);
    CHECK_CODE(ice_transform_parse(STR("bucket[9999999]"), &transform, &err), E_INVALID);
    CHECK_CODE(ice_transform_parse(STR("week"), &transform, &err), E_INVALID);
    CHECK_CODE(ice_transform_type((IceTransform){ TRANSFORM_DAY, 0 }, ice_type_simple(ICE_STRING),
                                  &type, &err),
               E_TYPE);
    CHECK_CODE(ice_transform_type((IceTransform){ TRANSFORM_HOUR, 0 }, ice_type_simple(ICE_DATE),
                                  &type, &err),
               E_TYPE);
    CHECK_CODE(ice_transform_type((IceTransform){ TRANSFORM_BUCKET, 4 },
                                  ice_type_simple(ICE_DOUBLE), &type, &err),
               E_TYPE);
}

TEST(value_bytes_round_trip)
{
    static const struct {
        const char *sql, *text, *hex;
    } ROWS[] = {
        { "BOOLEAN", "true", "01" },
        { "INTEGER", "-2", "feffffff" },
        { "BIGINT", "258", "0201000000000000" },
        { "FLOAT", "1.5", "0000c03f" },
        { "DOUBLE", "-1.5", "000000000000f8bf" },
        { "DATE", "1970-01-02", "01000000" },
        { "TIME", "00:00:01.000000", "40420f0000000000" },
        { "DECIMAL(9,2)", "14.20", "058c" },
        { "DECIMAL(9,2)", "-0.01", "ff" },
        { "DECIMAL(9,2)", "1.28", "0080" },
        { "DECIMAL(9,2)", "0.00", "00" },
        { "VARCHAR", "ice", "696365" },
        { "BLOB", "00ff", "00ff" },
        { "DECIMAL(38,0)", "-99999999999999999999999999999999999999",
          "b4c4b357a5793b85f675ddc000000001" },
        { "UUID", "f79c3e09-677c-4bbd-a479-3f349cb785e7", "f79c3e09677c4bbda4793f349cb785e7" },
    };
    Arena AUTO(arena_done) arena = { 0 };
    Err err;
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        const IceType *type = sql_type(&arena, ROWS[i].sql);
        IceValue value = parsed(&arena, type, ROWS[i].text), back = ICE_NULL;
        Str bytes = STR("");
        CHECK_OK(ice_value_encode(&arena, type, &value, &bytes, &err), &err);
        CHECK_STR(hex_format(&arena, bytes), str_z(ROWS[i].hex));
        CHECK_OK(ice_value_decode(type, bytes, &back, &err), &err);
        CHECK_INT(ice_value_compare(type, &value, &back), 0);
        CHECK_STR(ice_value_format(&arena, type, &back), str_z(ROWS[i].text));
    }
}

TEST(value_bytes_of_a_wrong_size_are_refused)
{
    Arena AUTO(arena_done) arena = { 0 };
    IceValue value = ICE_NULL;
    Err err;
    CHECK_CODE(ice_value_decode(ice_type_simple(ICE_INT), STR("12345678"), &value, &err),
               E_CORRUPT);
    CHECK_CODE(ice_value_decode(ice_type_simple(ICE_LONG), STR(""), &value, &err), E_CORRUPT);
    CHECK_CODE(ice_value_decode(ice_type_simple(ICE_UUID), STR("1234"), &value, &err), E_CORRUPT);
    CHECK_CODE(ice_value_decode(sql_type(&arena, "DECIMAL(9,2)"), STR(""), &value, &err),
               E_CORRUPT);
    CHECK(!value.present);
    /* A bound from before int became long. */
    CHECK_OK(ice_value_decode(ice_type_simple(ICE_LONG), STR("\xfe\xff\xff\xff"), &value, &err),
             &err);
    CHECK_INT(value.number, -2);
}

TEST(value_text_that_is_none_is_refused)
{
    static const char *const ROWS[][2] = { { "INTEGER", "2147483648" },
                                           { "INTEGER", "1.0" },
                                           { "DATE", "2020-02-30" },
                                           { "DECIMAL(4,2)", "1.234" },
                                           { "DECIMAL(4,2)", "." },
                                           { "BOOLEAN", "yes" },
                                           { "UUID", "12" },
                                           { "TIME", "25:00:00" },
                                           { "BLOB", "0g" } };
    Arena AUTO(arena_done) arena = { 0 };
    IceValue value;
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++)
        CHECK_CODE(
            ice_value_parse(sql_type(&arena, ROWS[i][0]), str_z(ROWS[i][1]), &arena, &value, NULL),
            E_TYPE);
}

TEST(value_order_has_nan_last_and_zeros_apart)
{
    const IceType *type = ice_type_simple(ICE_DOUBLE);
    IceValue nan = ice_value_f64(NAN), inf = ice_value_f64(INFINITY), zero = ice_value_f64(0.0),
             minus = ice_value_f64(-0.0);
    CHECK(ice_value_compare(type, &nan, &inf) > 0);
    CHECK(ice_value_compare(type, &minus, &zero) < 0);
    CHECK_INT(ice_value_compare(type, &nan, &nan), 0);
    IceValue high = ice_value_str(STR("\xff")), low = ice_value_str(STR("a"));
    CHECK(ice_value_compare(ice_type_simple(ICE_BINARY), &high, &low) > 0);
}

TEST(bound_upper_is_rounded_up)
{
    static const struct {
        IceKind kind;
        Str value, wanted;
    } ROWS[] = {
        { ICE_STRING, STR_INIT("abc"), STR_INIT("abc") },
        { ICE_STRING, STR_INIT("abcde"), STR_INIT("abd") },
        { ICE_STRING,
          STR_INIT("ab\x7f"
                   "de"),
          STR_INIT("ab\xc2\x80") },
        { ICE_STRING,
          STR_INIT("ab\xdf\xbf"
                   "d"),
          STR_INIT("ab\xe0\xa0\x80") },
        { ICE_STRING,
          STR_INIT("ab\xed\x9f\xbf"
                   "d"),
          STR_INIT("ab\xee\x80\x80") }, /* over the surrogates */
        { ICE_STRING,
          STR_INIT("ab\xef\xbf\xbf"
                   "d"),
          STR_INIT("ab\xf0\x90\x80\x80") },
        { ICE_STRING,
          STR_INIT("ab\xf4\x8f\xbf\xbf"
                   "d"),
          STR_INIT("ac") },
        { ICE_STRING, STR_INIT("\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9"),
          STR_INIT("\xc3\xa9\xc3\xa9\xc3\xaa") },
        { ICE_BINARY,
          STR_INIT("ab\xff"
                   "d"),
          STR_INIT("ac") },
        { ICE_BINARY, STR_INIT("abc"), STR_INIT("abc") },
    };
    Arena AUTO(arena_done) arena = { 0 };
    for (size_t i = 0; i < ARRAY_LEN(ROWS); i++) {
        const IceType *type = ice_type_simple(ROWS[i].kind);
        Str upper = bound_truncate_upper(&arena, type, ROWS[i].value, 3);
        CHECK_STR(upper, ROWS[i].wanted);
        CHECK(str_cmp(upper, ROWS[i].value) >= 0);
        CHECK(str_cmp(bound_truncate_lower(&arena, type, ROWS[i].value, 3), ROWS[i].value) <= 0);
    }
    CHECK(
        !bound_truncate_upper(&arena, ice_type_simple(ICE_BINARY), STR("\xff\xff\xff\xff"), 3).ptr);
    CHECK(!bound_truncate_upper(&arena, ice_type_simple(ICE_STRING),
                                STR("\xf4\x8f\xbf\xbf"
                                    "a"),
                                1)
               .ptr);
}

TEST(metrics_mode_comes_from_properties)
{
    IceProperty lines[] = { { STR_INIT("write.metadata.metrics.default"), STR_INIT("counts") },
                            { STR_INIT("write.metadata.metrics.column.a"),
                              STR_INIT("truncate(8)") },
                            { STR_INIT("write.metadata.metrics.column.b"), STR_INIT("nonsense") } };
    TableMetadata m = { .properties = lines, .property_count = ARRAY_LEN(lines) };
    CHECK_INT(metrics_mode(NULL, STR("a")).width, 16);
    CHECK_INT(metrics_mode(&m, STR("a")).width, 8);
    CHECK_INT(metrics_mode(&m, STR("b")).kind, METRICS_COUNTS);
}
