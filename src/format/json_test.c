/* Covers json.c, json_write.c. */
#include "base/test.h"
#include "format/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const Json *parsed(Arena *arena, Str text)
{
    Err err;
    const Json *value = NULL;
    CHECK_OK(json_parse(arena, text, NULL, &value, &err), &err);
    return value;
}

TEST(json_refuses)
{
    static const struct {
        const char *text;
        Code code;
    } rows[] = {
        { "", E_SYNTAX },
        { " ", E_SYNTAX },
        { "nul", E_SYNTAX },
        { "{\"a\":1,}", E_SYNTAX },
        { "[1 2]", E_SYNTAX },
        { "[NaN]", E_SYNTAX },
        { "[1]x", E_SYNTAX },
        { "\"\x80\"", E_SYNTAX },
        { "// c\n1", E_SYNTAX },
        { "01", E_SYNTAX },
        { "\"a\nb\"", E_SYNTAX },
        { "\"\\ud800\"", E_SYNTAX },
        { "{\"a\":1,\"a\":2}", E_SYNTAX },
        { "[[{\"x\":{\"a\":1,\"b\":2,\"a\":3}}]]", E_SYNTAX },
        { "{\"a\":1,\"\\u0061\":2}", E_SYNTAX }, /* the same key, escaped */
        { "1e999", E_SYNTAX },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        Err err;
        const Json *value = NULL;
        CHECK_CODE(json_parse(&arena, str_z(rows[i].text), NULL, &value, &err), rows[i].code);
        CHECK(value == NULL);
    }
}

TEST(json_depth_and_size_have_maxima)
{
    Arena arena AUTO(arena_done) = { 0 };
    Buf text AUTO(buf_done);
    Err err;
    const Json *value;
    buf_init(&text, 1 << 20);
    for (int i = 0; i < 100000; i++)
        buf_put_char(&text, '[');
    CHECK_CODE(json_parse(&arena, buf_str(&text), NULL, &value, &err), E_LIMIT);
    CHECK_INT(err.position, JSON_DEPTH_MAX);
    CHECK_CODE(json_check_depth(STR("[[1]]"), &(JsonLimits){ .depth_max = 1 }, &err), E_LIMIT);
    CHECK_OK(json_check_depth(STR("[\"[[\\\"[[\"]"), &(JsonLimits){ .depth_max = 1 }, &err), &err);
    CHECK_CODE(json_parse(&arena, STR("[1,2]"), &(JsonLimits){ .bytes_max = 4 }, &value, &err),
               E_LIMIT);
}

TEST(json_many_keys_and_one_twice)
{
    Arena arena AUTO(arena_done) = { 0 };
    Buf text AUTO(buf_done);
    Err err;
    const Json *value = NULL;
    buf_init(&text, 1 << 20);
    buf_put_char(&text, '{');
    for (int i = 0; i < 1000; i++)
        buf_format(&text, "\"k%d\":%d,", i, i);
    size_t len = text.len;
    buf_put(&text, STR("\"z\":1}"));
    CHECK_OK(json_parse(&arena, buf_str(&text), NULL, &value, &err), &err);
    CHECK_INT(json_i64(json_get(value, "k777"), -1), 777);
    text.len = len;
    buf_put(&text, STR("\"k500\":1}"));
    CHECK_CODE(json_parse(&arena, buf_str(&text), NULL, &value, &err), E_SYNTAX);
    CHECK(strstr(err.text, "k500") != NULL);
    CHECK_OK(
        json_parse(&arena, buf_str(&text), &(JsonLimits){ .keeps_duplicates = true }, &value, &err),
        &err);
    CHECK_INT(json_i64(json_get(value, "k500"), -1), 500);
}

TEST(json_numbers_stay_exact)
{
    Arena arena AUTO(arena_done) = { 0 };
    const Json *v =
        parsed(&arena, STR("[9223372036854775807,-9223372036854775808,18446744073709551615,"
                           "0.1,9007199254740993,123456789012345678901234567890,1.0]"));
    CHECK_INT(json_i64(json_at(v, 0), 0), INT64_MAX);
    CHECK_INT(json_i64(json_at(v, 1), 0), INT64_MIN);
    CHECK_INT(json_i64(json_at(v, 2), -7), -7);
    CHECK(json_u64(json_at(v, 2), 0) == UINT64_MAX);
    CHECK(json_f64(json_at(v, 3), 0) == 0.1);
    CHECK_INT(json_i64(json_at(v, 4), 0), 9007199254740993);
    CHECK(!json_is_i64(json_at(v, 6)));
    Buf out AUTO(buf_done);
    buf_init(&out, 1000);
    JsonWriter w = json_writer(&out);
    json_put_value(&w, v);
    CHECK_STR(buf_str(&out), STR("[9223372036854775807,-9223372036854775808,18446744073709551615,"
                                 "0.1,9007199254740993,123456789012345678901234567890,1.0]"));
}

TEST(json_needed_members)
{
    Arena arena AUTO(arena_done) = { 0 };
    const Json *v =
        parsed(&arena, STR("{\"s\":\"x\",\"n\":3,\"o\":{},\"a\":[1,null],\"b\":true,\"f\":1.5}"));
    Err err;
    Str text;
    int64_t number;
    const Json *value;
    bool truth;
    double real;
    CHECK_OK(json_need_str(v, "s", &text, &err), &err);
    CHECK_STR(text, STR("x"));
    CHECK_OK(json_need_i64(v, "n", &number, &err), &err);
    CHECK_OK(json_need_obj(v, "o", &value, &err), &err);
    CHECK_OK(json_need_bool(v, "b", &truth, &err), &err);
    CHECK_OK(json_need_f64(v, "f", &real, &err), &err);
    CHECK_OK(json_need_arr(v, "a", &value, &err), &err);
    CHECK_INT(json_len(value), 2);
    CHECK(json_is_null(json_at(value, 1)) && json_is_null(json_at(value, 2)) &&
          !json_is_null(value));
    CHECK_CODE(json_need_str(v, "missing", &text, &err), E_INVALID);
    CHECK_STR(str_z(err.text), STR("'missing' is missing: it must be a string"));
    CHECK_CODE(json_need_i64(v, "s", &number, &err), E_INVALID);
    CHECK_STR(str_z(err.text), STR("'s' must be a 64-bit integer, not a string"));
    CHECK_CODE(json_need_i64(NULL, "s", &number, &err), E_INVALID);
}

TEST(json_iterates_in_order)
{
    Arena arena AUTO(arena_done) = { 0 };
    const Json *v = parsed(&arena, STR("{\"b\":[1,[2,3],{\"x\":{}}],\"a\":\"q\",\"\":0}"));
    JsonIter it = json_iter(v);
    CHECK(json_next(&it));
    CHECK_STR(it.key, STR("b"));
    CHECK_INT(json_len(it.value), 3);
    JsonIter items = json_iter(it.value);
    CHECK(json_next(&items) && json_next(&items));
    CHECK_INT(json_i64(json_at(items.value, 1), 0), 3);
    CHECK(json_next(&items) && json_type(items.value) == JSON_OBJECT && !json_next(&items));
    CHECK(json_next(&it));
    CHECK_STR(json_str(it.value), STR("q"));
    CHECK(json_next(&it) && it.key.len == 0 && !json_next(&it));
    it = json_iter(NULL);
    CHECK(!json_next(&it));
}

TEST(json_writes)
{
    Buf out AUTO(buf_done);
    buf_init(&out, 1000);
    JsonWriter w = json_writer(&out);
    json_begin_object(&w);
    json_field_str(&w, "s", STR("a\"\\\n\x01\xC3\xA4\xFF"));
    json_key(&w, STR("list"));
    json_begin_array(&w);
    json_put_i64(&w, -5);
    json_put_f64(&w, 0.1);
    json_put_f64(&w, NAN);
    json_begin_object(&w);
    json_end_object(&w);
    json_put_bool(&w, true);
    json_end_array(&w);
    json_field_str(&w, "none", STR_NONE);
    json_field_u64(&w, "u", UINT64_MAX);
    json_end_object(&w);
    CHECK_STR(
        buf_str(&out),
        STR("{\"s\":\"a\\\"\\\\\\n\\u0001\xC3\xA4\xEF\xBF\xBD\",\"list\":[-5,0.1,null,{},true],"
            "\"none\":null,\"u\":18446744073709551615}"));
}

TEST(json_canonical_rfc8785)
{
    static const struct {
        const char *text, *wanted;
    } rows[] = {
        { "{ \"numbers\": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],\n"
          "\"string\": \"\\u20ac$\\u000F\\u000aA'\\u0042\\u0022\\u005c\\\\\\\"\\/\", \"literals\": "
          "[null, true, false]}",
          "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],"
          "\"string\":\"\xE2\x82\xAC$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}" },
        { "{\"\\ufb33\":1,\"\\ud83d\\ude00\":2,\"\\u20ac\":3,\"\\r\":4,\"1\":5}",
          "{\"\\r\":4,\"1\":5,\"\xE2\x82\xAC\":3,\"\xF0\x9F\x98\x80\":2,\"\xEF\xAC\xB3\":1}" },
        { "[-0, 0.0, 1e21, 1e20, 123456.789, 1e-6, 1e-7, 5e-324, 1.7976931348623157e308, "
          "295147905179352830000]",
          "[0,0,1e+21,100000000000000000000,123456.789,0.000001,1e-7,5e-324,1.7976931348623157e+"
          "308,"
          "295147905179352830000]" },
        { "[5.684341886080802e-14,9223372036854775807,-1.5]",
          "[5.684341886080802e-14,9223372036854775807,-1.5]" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Arena arena AUTO(arena_done) = { 0 };
        Buf out AUTO(buf_done);
        buf_init(&out, 1000);
        json_canonical(&out, parsed(&arena, str_z(rows[i].text)));
        CHECK_STR(buf_str(&out), str_z(rows[i].wanted));
    }
}

/* Each byte at each place of texts of each length up to three words: as one at a time would have it. */
TEST(json_quotes_each_byte_at_each_place)
{
    enum { LEN_MAX = 24 };
    for (size_t len = 0; len <= LEN_MAX; len++)
        for (size_t at = 0; at < len; at++)
            for (int c = 0; c < 256; c++) {
                char text[LEN_MAX], wanted[64] = "\"";
                memset(text, 'z', len);
                text[at] = (char)c;
                const char *escape = c == '"' ? "\\\"" : c == '\\' ? "\\\\" : c == '\b' ? "\\b" : c == '\f' ? "\\f" :
                                     c == '\n' ? "\\n" : c == '\r' ? "\\r" : c == '\t' ? "\\t" : NULL;
                int end = 1 + (int)at;
                memset(wanted + 1, 'z', at);
                if (escape)
                    end += snprintf(wanted + end, sizeof wanted - (size_t)end, "%s", escape);
                else if (c < 0x20)
                    end += snprintf(wanted + end, sizeof wanted - (size_t)end, "\\u%04x", (unsigned)c);
                else if (c < 0x80)
                    wanted[end++] = (char)c;
                else
                    end += snprintf(wanted + end, sizeof wanted - (size_t)end, "\xEF\xBF\xBD");
                memset(wanted + end, 'z', len - at - 1);
                end += (int)(len - at - 1);
                wanted[end++] = '"';
                Buf out AUTO(buf_done);
                buf_init(&out, 100);
                json_quote(&out, str_of(text, len));
                if (!str_eq(buf_str(&out), str_of(wanted, (size_t)end)))
                    test_failed(__FILE__, __LINE__, "byte %d at %zu of %zu", c, at, len);
            }
    Buf small AUTO(buf_done);
    buf_init(&small, 4);
    json_quote(&small, STR("abc"));
    CHECK(small.over);
}
