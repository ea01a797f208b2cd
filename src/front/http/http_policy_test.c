/* http_policy and http_count against a running server: settings that are none, reload, counts of routes, replies in
 * their fields. What a client sees in detail: tests/limit/test_limit.py. */
#include "front/http/http_policy.h"

#include "front/http/http_fake.h"
#include "os/thread.h"

#define ASK(path) "GET " path " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

static Policy *made(const HttpPolicy *options)
{
    Policy *policy = NULL;
    Err err;
    CHECK_OK(policy_new(os_real(), options, &policy, &err), &err);
    return policy;
}

TEST(policy_settings_that_are_none)
{
    static const Str bad_net[] = { STR_INIT("10.0.0.0/33") }, bad_origin[] = { STR_INIT("example.org") };
    static const Str any[] = { STR_INIT("*") }, many[POLICY_PROXIES_MAX + 1];
    const HttpPolicy rows[] = {
        { .trusted_proxies = bad_net, .trusted_proxy_count = 1 },
        { .trusted_proxies = many, .trusted_proxy_count = ARRAY_LEN(many) },
        { .cors_origins = bad_origin, .cors_origin_count = 1 },
        { .cors_origins = many, .cors_origin_count = ARRAY_LEN(many) },
        { .cors_origins = any, .cors_origin_count = 1, .cors_credentials = true },
        { .public_url = STR("lake.example.org") },
        { .public_url = STR("https://a\r\nSet-Cookie: x") },
        { .gzip_level = 10 }, { .zstd_level = -1 },
        { .limits = { .tiers = { { "No" } }, .tier_count = 1 } },
        { .limits = { .tier_count = LIMIT_TIERS_MAX + 1 } },
        { .limits = { .tiers = { { "a" }, { "b" }, { "c" }, { "d" }, { "e" }, { "f" }, { "g" }, { "h" } },
                      .tier_count = LIMIT_TIERS_MAX }, .failures_a_minute = 1 },
    };
    Policy *good = made(NULL);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Policy *policy = NULL;
        if (policy_new(os_real(), &rows[i], &policy, NULL) != E_INVALID || policy)
            test_failed(__FILE__, __LINE__, "row %zu was taken", i);
        CHECK_CODE(policy_reload(good, &rows[i], NULL), E_INVALID);
    }
    policy_free(&good);
    HttpPolicy no_file = { .log_format = HTTP_LOG_JSON, .log_path = "/dev/null/none" };
    CHECK_CODE(policy_new(os_real(), &no_file, &good, NULL), E_NOT_FOUND);
}

TEST(policy_connections_are_counted_but_those_of_proxies)
{
    static const Str nets[] = { STR_INIT("10.0.0.0/8") };
    HttpPolicy options = { .trusted_proxies = nets, .trusted_proxy_count = 1, .limits = { .connections_an_address = 1 } };
    Policy *policy = made(&options);
    NetAddress proxy, client;
    Err err;
    CHECK_OK(net_address_parse(STR("10.1.1.1:1"), &proxy, &err), &err);
    CHECK_OK(net_address_parse(STR("11.1.1.1:1"), &client, &err), &err);
    CHECK(policy_trusts(policy, &proxy));
    CHECK(!policy_trusts(policy, &client));
    void *seat = NULL, *other = NULL, *of_proxy = NULL;
    CHECK(policy_conn_admit(policy, &client, &seat) && seat);
    CHECK(!policy_conn_admit(policy, &client, &other));
    policy_conn_gone(policy, seat);
    CHECK(policy_conn_admit(policy, &client, &seat));
    for (int i = 0; i < 10; i++)
        CHECK(policy_conn_admit(policy, &proxy, &of_proxy) && !of_proxy);
    options.trusted_proxy_count = 0;
    CHECK_OK(policy_reload(policy, &options, &err), &err);
    CHECK(!policy_trusts(policy, &proxy));
    policy_conn_gone(policy, of_proxy); /* was not counted, whatever holds now */
    CHECK(policy_conn_admit(policy, &proxy, &of_proxy) && of_proxy);
    CHECK(!policy_conn_admit(policy, &proxy, &other));
    policy_free(&policy);
}

TEST(policy_counts_of_routes_are_summed_over_loops)
{
    Fake fake;
    HttpRouteStats stats;
    fake_start(&fake, NULL);
    for (int i = 0; i < 20; i++) {
        Arena arena AUTO(arena_done) = { 0 };
        CHECK_INT(fake_status(fake_ask(&fake, STR(ASK("/plain")), &arena)), 200);
        CHECK_INT(fake_status(fake_ask(&fake, STR(ASK("/none")), &arena)), 404);
        CHECK_INT(fake_status(fake_ask(&fake, STR("rubbish\r\n\r\n"), &arena)), 400);
        CHECK_INT(fake_status(fake_ask(&fake, STR("GET /plain HTTP/1.2\r\nHost: x\r\n\r\n"), &arena)), 505);
    }
    CHECK(http_server_drain(fake.server, 10000));
    http_server_route_stats(fake.server, 0, &stats);
    CHECK_INT(stats.by_class[2], 20);
    uint64_t sum = 0;
    for (size_t i = 0; i < ARRAY_LEN(stats.latency); i++)
        sum += stats.latency[i];
    CHECK_INT(sum, 20);
    CHECK(stats.bytes_out >= 20);
    http_server_route_stats(fake.server, SIZE_MAX, &stats);
    CHECK_INT(stats.by_class[4], 40);
    CHECK_INT(stats.by_class[5], 20);
    fake_end(&fake);
}

static void *reload_run(void *arg)
{
    HttpServer *server = arg;
    static const Str origins[] = { STR_INIT("https://a.example"), STR_INIT("https://b.example") };
    static const Str nets[] = { STR_INIT("127.0.0.0/8") };
    for (uint32_t i = 0; i < 300; i++) {
        HttpPolicy options = { .cors_origins = origins + i % 2, .cors_origin_count = 1, .trusted_proxies = nets,
                               .trusted_proxy_count = i % 3 > 0, .failures_a_minute = 1000000,
                               .limits = { .requests_max = 1000 + i, .requests_an_address = i % 2 * 1000,
                                           .tiers = { { "t", 1000000 + i, 60 } }, .tier_count = 1 } };
        Err err;
        CHECK_OK(policy_reload(http_server_policy(server), &options, &err), &err);
    }
    return NULL;
}

TEST(policy_reload_while_requests_run)
{
    Fake fake;
    Thread thread = { 0 };
    Err err;
    LimitStats stats;
    fake_start(&fake, NULL);
    CHECK_OK(thread_start(&thread, "reload", reload_run, fake.server, &err), &err);
    for (int i = 0; i < 100; i++) {
        Arena arena AUTO(arena_done) = { 0 };
        CHECK_INT(fake_status(fake_ask(&fake, STR(ASK("/plain")), &arena)), 200);
        CHECK_INT(fake_status(fake_ask(&fake, STR(ASK("/keyed")), &arena)), 401);
    }
    thread_join(&thread);
    CHECK(http_server_drain(fake.server, 10000));
    limits_stats(policy_limits(http_server_policy(fake.server)), &stats);
    CHECK_INT(stats.requests, 0);
    CHECK_INT(stats.bytes, 0);
    fake_end(&fake);
}

TEST(policy_a_reload_changes_what_comes_next)
{
    Fake fake;
    Err err;
    Arena arena AUTO(arena_done) = { 0 };
    HttpPolicy none = { 0 }, tight = { .limits = { .tiers = { { "tight", 1, 3600 } }, .tier_count = 1 } };
    fake_start(&fake, NULL);
    for (int i = 0; i < 3; i++)
        CHECK_INT(fake_status(fake_ask(&fake, STR(ASK("/plain")), &arena)), 200);
    CHECK_OK(policy_reload(http_server_policy(fake.server), &tight, &err), &err);
    Str reply = fake_ask(&fake, STR(ASK("/plain")), &arena);
    CHECK_INT(fake_status(reply), 200);
    CHECK(str_find(reply, STR("RateLimit-Policy: \"tight\";q=1;w=3600\r\n")) > 0);
    CHECK(str_find(reply, STR("RateLimit: \"tight\";r=0;t=3600\r\n")) > 0);
    reply = fake_ask(&fake, STR(ASK("/plain")), &arena);
    CHECK_INT(fake_status(reply), 429);
    CHECK(str_find(reply, STR("Retry-After: 3600\r\n")) > 0);
    CHECK(str_find(reply, STR("\"violated-policies\":[\"tight\"]}\n")) > 0);
    CHECK_OK(policy_reload(http_server_policy(fake.server), &none, &err), &err);
    reply = fake_ask(&fake, STR(ASK("/plain")), &arena);
    CHECK_INT(fake_status(reply), 200);
    CHECK(str_find(reply, STR("RateLimit")) < 0);
    fake_end(&fake);
}
