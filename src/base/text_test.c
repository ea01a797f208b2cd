#include "base/text.h"

#include "base/test.h"

TEST(uuid_round_trip)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Uuid uuid = uuid_v7(1700000000000000, (const uint8_t[10]){ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 });
    Str text = uuid_format(&tmp, uuid);
    Uuid again;
    CHECK(uuid_parse(text, &again) && uuid_eq(uuid, again));
    CHECK_INT(text.ptr[14], '7');
    CHECK(!uuid_parse(STR("00000000-0000-0000-0000-00000000000g"), &again));
    CHECK(!uuid_parse(STR("00000000000000000000000000000000aaaa"), &again));
}

TEST(base64_vectors_of_rfc_4648)
{
    static const struct { Str bytes, text; } cases[] = {
        { STR_INIT(""), STR_INIT("") },         { STR_INIT("f"), STR_INIT("Zg==") },
        { STR_INIT("fo"), STR_INIT("Zm8=") },   { STR_INIT("foo"), STR_INIT("Zm9v") },
        { STR_INIT("foob"), STR_INIT("Zm9vYg==") },
    };
    Arena tmp AUTO(arena_done) = { 0 };
    Buf buf AUTO(buf_done);
    buf_init(&buf, 100);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Str bytes;
        buf_clear(&buf);
        base64_put(&buf, cases[i].bytes);
        CHECK_STR(buf_str(&buf), cases[i].text);
        CHECK(base64_parse(&tmp, cases[i].text, &bytes));
        CHECK_STR(bytes, cases[i].bytes);
    }
    Str bytes;
    CHECK(!base64_parse(&tmp, STR("Zg="), &bytes));
    CHECK(!base64_parse(&tmp, STR("Z!=="), &bytes));
}

TEST(url_decoding_refuses_bad_escapes)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Str bytes;
    CHECK(url_decode(&tmp, STR("a%2Fb%00"), &bytes));
    CHECK_STR(bytes, STR("a/b\0"));
    CHECK(!url_decode(&tmp, STR("a%2"), &bytes));
    CHECK(!url_decode(&tmp, STR("%zz"), &bytes));
    CHECK(url_decode(&tmp, STR("a+b%2B"), &bytes));
    CHECK_STR(bytes, STR("a+b+"));
    CHECK(url_decode_form(&tmp, STR("a+b%2B"), &bytes));
    CHECK_STR(bytes, STR("a b+"));
    CHECK(!url_decode_form(&tmp, STR("+%"), &bytes));
}

TEST(time_forms)
{
    static const struct { Str text; bool good; int64_t us; } cases[] = {
        { STR_INIT("1970-01-01"), true, 0 },
        { STR_INIT("1970-01-02T00:00:00Z"), true, 86400000000 },
        { STR_INIT("1970-01-01 00:00:00.000001"), true, 1 },
        { STR_INIT("1970-01-01T01:00:00+01:00"), true, 0 },
        { STR_INIT("1969-12-31T23:59:59.5Z"), true, -500000 },
        { STR_INIT("2000-02-30"), false, 0 }, { STR_INIT("1900-02-29"), false, 0 },
        { STR_INIT("2000-01-01T24:00:00"), false, 0 }, { STR_INIT("2000-1-1"), false, 0 },
        { STR_INIT("2000-01-01T00:00:00+01:"), false, 0 },
    };
    Arena tmp AUTO(arena_done) = { 0 };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t us = 0;
        CHECK_INT(time_parse(cases[i].text, &us), cases[i].good);
        if (cases[i].good)
            CHECK_INT(us, cases[i].us);
    }
    CHECK_STR(time_format(&tmp, -1), STR("1969-12-31T23:59:59.999999Z"));
    for (int64_t day = -800000; day < 800000; day += 37) {
        int64_t year;
        unsigned month, dom;
        civil_from_days(day, &year, &month, &dom);
        CHECK_INT(days_from_civil(year, month, dom), day);
    }
}

TEST(human_numbers)
{
    Buf buf AUTO(buf_done);
    buf_init(&buf, 100);
    count_human(&buf, 2999806);
    buf_put_char(&buf, ' ');
    bytes_human(&buf, 13493022);
    CHECK_STR(buf_str(&buf), STR("2,999,806 13.5 MB"));
}
