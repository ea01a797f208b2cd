#include "base/str.h"

#include "base/test.h"

TEST(str_split_gives_every_part)
{
    Str rest = STR("a,,b,");
    Str part;
    const Str wanted[] = { STR("a"), STR(""), STR("b"), STR("") };
    size_t n = 0;
    while (str_split(&rest, ',', &part) && n < 4)
        CHECK_STR(part, wanted[n++]);
    CHECK_INT(n, 4);
}

TEST(str_numbers_are_strict)
{
    static const struct { Str text; bool good; int64_t value; } cases[] = {
        { STR_INIT("0"), true, 0 },       { STR_INIT("-9223372036854775808"), true, INT64_MIN },
        { STR_INIT("9223372036854775808"), false, 0 }, { STR_INIT(""), false, 0 },
        { STR_INIT("-"), false, 0 },      { STR_INIT("+1"), false, 0 },
        { STR_INIT(" 1"), false, 0 },     { STR_INIT("1x"), false, 0 },
        { STR_INIT("99999999999999999999"), false, 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t value = 0;
        CHECK_INT(str_i64(cases[i].text, &value), cases[i].good);
        if (cases[i].good)
            CHECK_INT(value, cases[i].value);
    }
    double number;
    CHECK(str_f64(STR("1e3"), &number) && number == 1000);
    CHECK(!str_f64(STR("1e3 "), &number));
}

TEST(str_utf8_is_strict)
{
    static const struct { Str text; bool good; } cases[] = {
        { STR_INIT("gr\xC3\xBC\xC3\x9F"), true },   { STR_INIT("\xF0\x9F\x8F\x94"), true },
        { STR_INIT("\xC0\x80"), false },            { STR_INIT("\xED\xA0\x80"), false },
        { STR_INIT("\xF4\x90\x80\x80"), false },    { STR_INIT("\xE2\x82"), false },
        { STR_INIT("\x80"), false },                { STR_INIT("\xE0\x9F\xBF"), false },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        CHECK_INT(str_is_utf8(cases[i].text), cases[i].good);
}

TEST(str_nearest_finds_a_misspelling)
{
    const Str names[] = { STR("silver.flights"), STR("silver.airports"), STR("gold.route") };
    CHECK_STR(str_nearest(STR("silver.fligths"), names, 3), STR("silver.flights"));
    CHECK(str_nearest(STR("zzz"), names, 3).ptr == NULL);
}
