#include "main/settings.h"

#include "base/test.h"

#include <string.h>

static Args args;

static Code load(Conf *conf, Err *err, int argc, const char **argv)
{
    Code code = args_parse(&args, argc, (char **)argv, settings_options, err);
    return code == E_OK ? settings_load(conf, &args, err) : code;
}

TEST(settings_flags_are_stronger_than_the_file)
{
    Err err;
    Conf conf AUTO(conf_done) = { 0 };
    const char *argv[] = { "--data", "/nonexistent", "--http", "127.0.0.1:0", "--set", "sql.slots=3" };
    CHECK_OK(load(&conf, &err, ARRAY_LEN(argv), argv), &err);
    CHECK_OK(settings_parse(&conf, STR("http:\n  listen: 1.2.3.4:5\nsql: {slots: 7, timeout: 9s}\n"),
                            STR("tarn.yaml"), &err), &err);
    CHECK_STR(conf_text(&conf, "http.listen"), STR("127.0.0.1:0"));
    CHECK_INT(conf_number(&conf, "sql.slots"), 3);
    CHECK_INT(conf_number(&conf, "sql.timeout"), 9000);
    CHECK_STR(str_z(conf_source_name(conf.values[0].source)), STR("flag"));
}

TEST(settings_bad_files_are_refused_with_the_line)
{
    static const struct { Str yaml; const char *place; } cases[] = {
        { STR_INIT("http:\n  listn: x\n"), "f:2" },
        { STR_INIT("sql:\n  slots: many\n"), "f:2" },
        { STR_INIT("sql:\n  slots: [1]\n"), "f:2" },
        { STR_INIT("a:\n  b:\n    c: 1\n"), "f:3" },
        { STR_INIT("- x\n"), "f:1" },
        { STR_INIT("a: {\n"), "f:" },
        { STR_INIT("just text\n"), "f:1" },
    };
    const char *argv[] = { "--data", "/nonexistent" };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Err err;
        err_clear(&err);
        Conf conf AUTO(conf_done) = { 0 };
        CHECK_OK(load(&conf, &err, 2, argv), &err);
        CHECK(settings_parse(&conf, cases[i].yaml, STR("f"), &err) != E_OK);
        CHECK(strncmp(err.place, cases[i].place, strlen(cases[i].place)) == 0);
    }
}

TEST(settings_doors_that_are_not_built_stay_off)
{
    Err err;
    Conf conf AUTO(conf_done) = { 0 };
    const char *argv[] = { "--data", "/nonexistent", "--set", "kafka.listen=127.0.0.1:9092" };
    CHECK_CODE(load(&conf, &err, ARRAY_LEN(argv), argv), E_UNSUPPORTED);
}
