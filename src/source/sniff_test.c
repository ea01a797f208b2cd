#include "source/source.h"

#include "base/test.h"

TEST(content_type_is_found_in_the_bytes)
{
    static const struct { Str bytes, name, hint, type; } cases[] = {
        { STR_INIT("PAR1...."), STR_INIT("x.csv"), STR_INIT("text/csv"),
          STR_INIT("application/vnd.apache.parquet") },
        { STR_INIT("\x1f\x8b\x08\0"), STR_INIT("a"), STR_INIT(""), STR_INIT("application/gzip") },
        { STR_INIT("a,b\n1,2\n"), STR_INIT("a"), STR_INIT(""), STR_INIT("text/csv") },
        { STR_INIT("a\tb\n1\t2\n"), STR_INIT("a"), STR_INIT(""), STR_INIT("text/tab-separated-values") },
        { STR_INIT("one line"), STR_INIT("a.csv"), STR_INIT(""), STR_INIT("text/csv") },
        { STR_INIT("one line"), STR_INIT("a"), STR_INIT("text/csv; charset=utf-8"), STR_INIT("text/csv") },
        { STR_INIT("hello, world"), STR_INIT("a"), STR_INIT("image/png"), STR_INIT("text/plain") },
        { STR_INIT("{\"a\":1}\n{\"a\":2}\n"), STR_INIT("a.csv"), STR_INIT("text/csv"),
          STR_INIT("application/x-ndjson") },
        { STR_INIT("{\n \"a\":1}"), STR_INIT("a"), STR_INIT(""), STR_INIT("application/json") },
        { STR_INIT("{\"a\":1}\n"), STR_INIT("a"), STR_INIT(""), STR_INIT("application/json") },
        { STR_INIT(" [1]"), STR_INIT("a"), STR_INIT(""), STR_INIT("application/json") },
        { STR_INIT("<!DOCTYPE html><p>"), STR_INIT("a"), STR_INIT(""), STR_INIT("text/html") },
        { STR_INIT("\xEF\xBB\xBF<?xml version='1.0'?>"), STR_INIT("a"), STR_INIT(""),
          STR_INIT("application/xml") },
        { STR_INIT("a,b\n\0,2\n"), STR_INIT("a.csv"), STR_INIT("text/csv"),
          STR_INIT("application/octet-stream") },
        { STR_INIT("\xFF\xFE" "a"), STR_INIT("a"), STR_INIT(""), STR_INIT("application/octet-stream") },
        { STR_INIT(""), STR_INIT("a.csv"), STR_INIT("text/csv"), STR_INIT("application/x-empty") },
        { STR_INIT(" \n"), STR_INIT("a"), STR_INIT(""), STR_INIT("text/plain") },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        CHECK_STR(source_content_type(cases[i].bytes, true, cases[i].name, cases[i].hint),
                  cases[i].type);
}

TEST(content_type_of_text_cut_inside_a_character)
{
    CHECK_STR(source_content_type(STR("gr\xC3"), false, STR("a"), STR("")), STR("text/plain"));
    CHECK_STR(source_content_type(STR("gr\xC3"), true, STR("a"), STR("")),
              STR("application/octet-stream"));
}
