#include "base/conf.h"

#include "base/test.h"

#include <string.h>

static const ConfRow rows[] = {
    { "http.listen", CONF_TEXT, "127.0.0.1:8080", 0, 0, NULL, "", "Where." },
    { "sql.slots", CONF_INT, "4", 1, 64, NULL, "", "How many." },
    { "sql.memory", CONF_SIZE, "1G", 1 << 20, 1LL << 40, NULL, "bytes", "How much." },
    { "sql.timeout", CONF_TIME_MS, "5m", 1, 86400000, NULL, "ms", "How long." },
    { "log.level", CONF_CHOICE, "info", 0, 0, "error|warn|info|debug", "", "How loud." },
    { "sql.cache", CONF_BOOL, "true", 0, 0, NULL, "", "Whether." },
};

TEST(conf_defaults_hold)
{
    Conf conf AUTO(conf_done);
    conf_init(&conf, rows, ARRAY_LEN(rows));
    CHECK_STR(conf_text(&conf, "http.listen"), STR("127.0.0.1:8080"));
    CHECK_INT(conf_number(&conf, "sql.memory"), 1 << 30);
    CHECK_INT(conf_number(&conf, "sql.timeout"), 300000);
    CHECK_INT(conf_number(&conf, "log.level"), 2);
    CHECK(conf_bool(&conf, "sql.cache"));
}

TEST(conf_weaker_source_does_not_replace)
{
    Err err;
    Conf conf AUTO(conf_done);
    conf_init(&conf, rows, ARRAY_LEN(rows));
    CHECK_OK(conf_set(&conf, STR("sql.slots"), STR("8"), CONF_FLAG, STR("--slots"), &err), &err);
    CHECK_OK(conf_set(&conf, STR("sql.slots"), STR("2"), CONF_FILE, STR("tarn.yaml:3"), &err), &err);
    CHECK_INT(conf_number(&conf, "sql.slots"), 8);
}

TEST(conf_refuses_with_place_and_hint)
{
    static const struct { Str key, value; const char *hint; } cases[] = {
        { STR_INIT("sql.slotz"), STR_INIT("8"), "sql.slots" },
        { STR_INIT("sql.slots"), STR_INIT("0"), "from 1 to 64" },
        { STR_INIT("sql.slots"), STR_INIT("x"), "whole number" },
        { STR_INIT("log.level"), STR_INIT("loud"), "error|warn" },
        { STR_INIT("sql.memory"), STR_INIT("99999999999T"), "size" },
    };
    Conf conf AUTO(conf_done);
    conf_init(&conf, rows, ARRAY_LEN(rows));
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Err err;
        CHECK_CODE(conf_set(&conf, cases[i].key, cases[i].value, CONF_FILE, STR("f:1"), &err),
                   E_INVALID);
        CHECK(strstr(err.hint, cases[i].hint));
        CHECK_STR(str_z(err.place), STR("f:1"));
    }
}

static const char *environment_of_test(const char *name)
{
    return strcmp(name, "TARN_SQL_SLOTS") == 0 ? "9" : NULL;
}

TEST(conf_reads_the_environment)
{
    Err err;
    Conf conf AUTO(conf_done);
    conf_init(&conf, rows, ARRAY_LEN(rows));
    CHECK_OK(conf_set_environment(&conf, environment_of_test, &err), &err);
    CHECK_INT(conf_number(&conf, "sql.slots"), 9);
}
