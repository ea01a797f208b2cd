#include "main/args.h"

#include "base/test.h"

#include <string.h>

static const OptionRow rows[] = {
    { "--source", "NAME", "" }, { "--yes", NULL, "" }, { "-c", "TEXT", "" }, { NULL, NULL, NULL }
};

static Args args;

static Code parse(Err *err, int argc, const char **argv)
{
    return args_parse(&args, argc, (char **)argv, rows, err);
}

TEST(args_words_and_options)
{
    Err err;
    const char *argv[] = { "a.csv", "--source=skies", "--yes", "-c", "select -1", "--", "--b.csv" };
    CHECK_OK(parse(&err, ARRAY_LEN(argv), argv), &err);
    CHECK_INT(args.count, 2);
    CHECK_STR(args.words[1], STR("--b.csv"));
    CHECK_STR(args_get(&args, "--source"), STR("skies"));
    CHECK_STR(args_get(&args, "-c"), STR("select -1"));
    CHECK(args_has(&args, "--yes") && !args_has(&args, "--json"));
}

TEST(args_unknown_option_offers_the_nearest)
{
    Err err;
    const char *argv[] = { "--sorce", "x" };
    CHECK_CODE(parse(&err, 2, argv), E_INVALID);
    CHECK(strstr(err.hint, "--source"));
    static const char *const far[] = { "--nope", "--x", "-z", "--pg" };
    for (size_t i = 0; i < ARRAY_LEN(far); i++) {
        const char *one[] = { far[i] };
        err_clear(&err);
        CHECK_CODE(parse(&err, 1, one), E_INVALID);
        CHECK_STR(str_z(err.hint), STR(""));
    }
}

TEST(args_switch_takes_no_value)
{
    Err err;
    const char *argv[] = { "--yes=no" };
    CHECK_CODE(parse(&err, 1, argv), E_INVALID);
    CHECK(strstr(err.text, "--yes"));
    const char *empty[] = { "--source=" };
    CHECK_OK(parse(&err, 1, empty), &err);
}

TEST(args_missing_value)
{
    Err err;
    const char *argv[] = { "--source" };
    CHECK_CODE(parse(&err, 1, argv), E_INVALID);
    CHECK(strstr(err.text, "NAME"));
    const char *eaten[] = { "--source", "--yes" }; /* no value, but the next option */
    CHECK_CODE(parse(&err, 2, eaten), E_INVALID);
    const char *text[] = { "-c", "-- a remark" };
    CHECK_OK(parse(&err, 2, text), &err);
}
