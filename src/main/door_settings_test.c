#include "main/door_settings.h"

#include "base/test.h"
#include "main/settings.h"

#include <string.h>

static Args args;

/* Settings with those of `pairs` ("key=value"), up to a NULL. */
static void settings_make(Conf *conf, const char *const *pairs)
{
    Err err;
    const char *argv[32] = { "--data", "/nonexistent" };
    int argc = 2;
    for (; *pairs; pairs++) {
        argv[argc++] = "--set";
        argv[argc++] = *pairs;
    }
    CHECK_OK(args_parse(&args, argc, (char **)argv, settings_options, &err), &err);
    CHECK_OK(settings_load(conf, &args, &err), &err);
}

TEST(door_settings_defaults_are_safe)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Conf conf AUTO(conf_done) = { 0 };
    HttpPolicy policy;
    HttpOptions options = { 0 };
    settings_make(&conf, (const char *[]){ NULL });
    CHECK_OK(door_policy(&conf, 8000, &arena, &policy, &err), &err);
    door_http_options(&conf, &options);
    CHECK_INT(policy.trusted_proxy_count, 0);
    CHECK_INT(policy.cors_origin_count, 0);
    CHECK_INT(policy.limits.bytes_max, 1000);
    CHECK_INT(policy.limits.tier_count, 3);
    CHECK_INT(policy.limits.tiers[0].requests, 100);
    CHECK_INT(policy.limits.tiers[1].requests, 1000);
    CHECK_INT(policy.limits.tiers[2].requests, 10000);
    CHECK_INT(policy.tier_address, 1);
    CHECK_INT(door_tiers(&conf).reader, 2);
    CHECK_INT(door_tiers(&conf).admin, DOOR_TIER_NONE);
    CHECK_INT(options.head_ms_max, 10000);
    CHECK_INT(options.rate_bytes_min, 1024);
    CHECK(door_is_off(&conf, "https.listen") && !door_is_off(&conf, "http.listen"));
}

TEST(door_settings_lists)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Conf conf AUTO(conf_done) = { 0 };
    HttpPolicy policy;
    settings_make(&conf, (const char *[]){ "http.trusted_proxies=10.0.0.0/8 , ::1", "cors.origins=https://a.example",
                                           "cors.credentials=true", "http.hsts=24h", "http.public_url=https://x.example",
                                           "http.forwarded=forwarded", "http.access_log=json",
                                           "http.access_log_file=/var/log/a.log", NULL });
    CHECK_OK(door_policy(&conf, 8000, &arena, &policy, &err), &err);
    CHECK_INT(policy.trusted_proxy_count, 2);
    CHECK_STR(policy.trusted_proxies[0], STR("10.0.0.0/8"));
    CHECK_STR(policy.trusted_proxies[1], STR("::1"));
    CHECK_STR(policy.cors_origins[0], STR("https://a.example"));
    CHECK_INT(policy.forwarded, FORWARD_RFC7239);
    CHECK_INT(policy.hsts_max_age_s, 86400);
    CHECK_INT(policy.log_format, HTTP_LOG_JSON);
    CHECK_INT(strcmp(policy.log_path, "/var/log/a.log"), 0);
}

TEST(door_settings_that_cannot_be_are_refused)
{
    static const char *const cases[][4] = {
        { "http.trusted_proxies=10.0.0.0/8,,::1", NULL },
        { "http.proxy_protocol=true", NULL },
        { "cors.origins=*", "cors.credentials=true", NULL },
        { "http.public_url=lake.example.org", NULL },
        { "http.access_log_file=/x", NULL },
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Err err;
        err_clear(&err);
        Arena arena AUTO(arena_done) = { 0 };
        Conf conf AUTO(conf_done) = { 0 };
        HttpPolicy policy;
        settings_make(&conf, cases[i]);
        CHECK_CODE(door_policy(&conf, 8000, &arena, &policy, &err), E_INVALID);
        CHECK(err.hint[0]);
    }
}

TEST(door_settings_of_tls)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Conf conf AUTO(conf_done) = { 0 };
    TlsOptions tls;
    settings_make(&conf, (const char *[]){ "tls.certificates=/a/b.pem  /a/b.key, /c.pem /c.key", "tls.client=required",
                                           "tls.min=1.2", "tls.ticket_rotation=1h", NULL });
    CHECK_OK(door_tls(&conf, "/d", &arena, &tls, &err), &err);
    CHECK_INT(tls.cert_count, 2);
    CHECK_INT(strcmp(tls.certs[0].key_path, "/a/b.key"), 0);
    CHECK_INT(strcmp(tls.certs[1].cert_path, "/c.pem"), 0);
    CHECK_INT(tls.client, TLS_CLIENT_REQUIRED);
    CHECK_INT(strcmp(tls.client_ca_path, "/d/tls/ca.pem"), 0);
    CHECK_INT(tls.least, TLS_1_2);
    CHECK_INT(tls.ticket_ms, 3600000);
    CHECK_STR(tls.alpn[0], STR("h2"));
}

TEST(door_settings_of_tls_without_files)
{
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    Conf conf AUTO(conf_done) = { 0 };
    Conf odd AUTO(conf_done) = { 0 };
    TlsOptions tls;
    err_clear(&err);
    settings_make(&conf, (const char *[]){ NULL });
    CHECK_CODE(door_tls(&conf, "/nonexistent", &arena, &tls, &err), E_NOT_FOUND);
    CHECK(strstr(err.hint, "tarn cert"));
    settings_make(&odd, (const char *[]){ "tls.certificates=/a/b.pem", NULL });
    CHECK_CODE(door_tls(&odd, "/d", &arena, &tls, &err), E_INVALID);
}

TEST(settings_that_reload_are_marked)
{
    Conf conf AUTO(conf_done) = { 0 };
    settings_make(&conf, (const char *[]){ NULL });
    for (size_t i = 0; i < conf.row_count; i++) {
        Str key = str_z(conf.rows[i].key);
        if (str_eq(key, STR("tls.certificates")) || str_eq(key, STR("http.trusted_proxies")))
            CHECK(settings_reloads(i));
        if (str_eq(key, STR("data.dir")) || str_eq(key, STR("http.listen")))
            CHECK(!settings_reloads(i));
    }
}

TEST(door_settings_that_no_door_opens_with)
{
    static const struct {
        const char *pair, *named;
    } cases[] = {
        { "s3.domain=a.example,,b.example", "s3.domain" },
        { "s3.domain=a,b,c,d,e,f,g,h,i", "s3.domain has more than 8" },
        { "http.proxy_protocol=true", "http.proxy_protocol" },
        { "fetch.proxy=10.0.0.1:3128", "fetch.proxy" },
    };
    Err err;
    Conf good AUTO(conf_done) = { 0 };
    settings_make(&good, (const char *[]){ "s3.domain= a.example , b.example", NULL });
    CHECK_OK(door_settings_check(&good, &err), &err);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        Conf conf AUTO(conf_done) = { 0 };
        settings_make(&conf, (const char *[]){ cases[i].pair, NULL });
        CHECK(door_settings_check(&conf, &err) != E_OK);
        CHECK(strstr(err.text, cases[i].named) != NULL);
    }
}
