/* Origins that may, and texts that only look like one of them. */
#include "front/http/http_cors.h"

#include "base/test.h"

TEST(cors_origins)
{
    static const Str rules[] = { STR_INIT("https://app.example.org"), STR_INIT("http://localhost:3000"),
                                 STR_INIT("https://*.example.com"), STR_INIT("null") };
    static const struct {
        const char *origin;
        bool allowed;
    } rows[] = {
        { "https://app.example.org", true }, { "http://localhost:3000", true }, { "null", true },
        { "https://a.example.com", true }, { "https://a.b.example.com", true },
        { "", false }, { "*", false }, { "https://example.com", false }, { "https://.example.com", false },
        { "https://*.example.com", false }, { "https://evilexample.com", false },
        { "https://app.example.org.evil.net", false }, { "https://app.example.org:444", false },
        { "http://app.example.org", false }, { "HTTPS://app.example.org", false },
        { "https://app.example.org/", false }, { "https://APP.example.org", false },
        { "https://app.example.org https://x", false }, { "http://localhost", false },
        { "https://a.example.com@evil.net", false }, { "https://evil.net/.example.com", false },
        { "https://evil.net?.example.com", false }, { "https://evil.net\t.example.com", false },
        { "http://a.example.com", false }, { "Null", false },
    };
    CorsRules made;
    Err err;
    CHECK_OK(cors_rules_make(rules, ARRAY_LEN(rules), true, 0, &made, &err), &err);
    CHECK_STR(str_z(made.max_age), STR("600"));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (cors_allows(&made, str_z(rows[i].origin)) != rows[i].allowed)
            test_failed(__FILE__, __LINE__, "'%s'", rows[i].origin);
    }
    CHECK_OK(cors_rules_make(&STR("*"), 1, false, 7, &made, &err), &err);
    CHECK(cors_allows(&made, STR("https://anything.example")));
    CHECK(!cors_allows(&made, STR("anything")));
    CHECK_OK(cors_rules_make(NULL, 0, false, 7, &made, &err), &err);
    CHECK(!cors_allows(&made, STR("https://anything.example")));
}

TEST(cors_rules_that_are_none)
{
    static const char *const bad[] = { "", "example.org", "https://", "https://a/b", "https://a b", "://a",
                                       "https://A", "https://a@b", "ht tp://a", "https://*", "https://*." };
    CorsRules made;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        Str origin = str_z(bad[i]);
        if (cors_rules_make(&origin, 1, false, 0, &made, NULL) != E_INVALID)
            test_failed(__FILE__, __LINE__, "'%s' was taken", bad[i]);
    }
    CHECK_CODE(cors_rules_make(&STR("*"), 1, true, 0, &made, NULL), E_INVALID);
    static const Str many[CORS_ORIGINS_MAX + 1];
    CHECK_CODE(cors_rules_make(many, ARRAY_LEN(many), false, 0, &made, NULL), E_INVALID);
}

TEST(cors_field_names)
{
    CHECK(cors_headers_ok(STR("content-type, x-request-id,authorization")));
    CHECK(!cors_headers_ok(STR("content-type,,a")));
    CHECK(!cors_headers_ok(STR("a b")));
    CHECK(!cors_headers_ok(STR("a\r\nSet-Cookie: x")));
    CHECK(!cors_headers_ok(STR("a\r")));
    char many[CORS_HEADERS_BYTES_MAX + 1];
    for (size_t i = 0; i < sizeof many; i++)
        many[i] = 'a';
    CHECK(!cors_headers_ok(str_of(many, sizeof many)));
}
