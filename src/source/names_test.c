#include "source/source.h"

#include "base/test.h"

#include <string.h>

TEST(source_ids)
{
    static const struct { Str id; bool good; } cases[] = {
        { STR_INIT("skies"), true },   { STR_INIT("a"), true },      { STR_INIT("0-a_b"), true },
        { STR_INIT(""), false },       { STR_INIT("-a"), false },    { STR_INIT("_a"), false },
        { STR_INIT("Skies"), false },  { STR_INIT("a/b"), false },   { STR_INIT("a.b"), false },
        { STR_INIT("..") , false },    { STR_INIT("a\0b"), false },  { STR_INIT("gr\xC3\xBCn"), false },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        CHECK_INT(source_id_check(cases[i].id, NULL) == E_OK, cases[i].good);
    char longest[SOURCE_ID_MAX + 1];
    memset(longest, 'a', sizeof longest);
    CHECK(source_id_check(str_of(longest, SOURCE_ID_MAX), NULL) == E_OK);
    CHECK_CODE(source_id_check(str_of(longest, SOURCE_ID_MAX + 1), NULL), E_INVALID);
}

TEST(source_names_that_are_hostile_are_refused)
{
    static const struct { Str name; bool good; } cases[] = {
        { STR_INIT("flights.csv"), true },      { STR_INIT("a/b/c.parquet"), true },
        { STR_INIT("with space.csv"), true },   { STR_INIT("\xC3\xBC.json"), true },
        { STR_INIT(".hidden"), true },          { STR_INIT("a..b"), true },
        { STR_INIT("a~b.csv"), true },          { STR_INIT("a~0123abc.csv"), true },
        { STR_INIT("a~0123abcd"), false },      { STR_INIT("d/a~0123abcd.csv"), false },
        { STR_INIT(""), false },                { STR_INIT("/etc/passwd"), false },
        { STR_INIT("../x"), false },            { STR_INIT("a/../b"), false },
        { STR_INIT("a/./b"), false },           { STR_INIT("a//b"), false },
        { STR_INIT("a/"), false },              { STR_INIT(".."), false },
        { STR_INIT("a\nb"), false },            { STR_INIT("a\0b"), false },
        { STR_INIT("a\x7f"), false },           { STR_INIT("a\\b"), false },
        { STR_INIT("\xFF.csv"), false },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Err err;
        if ((source_name_check(cases[i].name, &err) == E_OK) != cases[i].good)
            test_failed(__FILE__, __LINE__, "case %zu: '" STR_FMT "'", i, STR_ARG(cases[i].name));
    }
    char longest[SOURCE_NAME_MAX + 1];
    memset(longest, 'a', sizeof longest);
    CHECK(source_name_check(str_of(longest, SOURCE_NAME_MAX), NULL) == E_OK);
    CHECK_CODE(source_name_check(str_of(longest, SOURCE_NAME_MAX + 1), NULL), E_INVALID);
}
