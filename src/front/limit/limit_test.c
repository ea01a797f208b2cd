/* Limits: buckets, the table of clients and its eviction, the budget of bytes, from many threads. */
#include "front/limit/limit.h"

#include "base/test.h"
#include "os/thread.h"

#include <stdio.h>
#include <string.h>

enum { SECOND_US = 1000000 };

static Limits *made(const LimitOptions *options)
{
    Limits *limits = NULL;
    Err err;
    CHECK_OK(limits_new(options, &limits, &err), &err);
    return limits;
}

static LimitKey address_key(const char *text)
{
    NetAddress address;
    Err err;
    CHECK_OK(net_address_parse(str_z(text), &address, &err), &err);
    return limit_key_address(&address);
}

static bool same(LimitKey a, LimitKey b)
{
    return a.high == b.high && a.low == b.low && a.kind == b.kind;
}

TEST(limit_settings_that_are_none)
{
    Limits *limits = NULL;
    CHECK_CODE(limits_new(&(LimitOptions){ .entries = LIMIT_ENTRIES_MAX + 1 }, &limits, NULL), E_INVALID);
    CHECK_CODE(limits_new(&(LimitOptions){ .tier_count = LIMIT_TIERS_MAX + 1 }, &limits, NULL), E_INVALID);
    static const char *const bad_names[] = { "", "A", "a b", "a\"b", "a;b", NULL };
    for (size_t i = 0; i < ARRAY_LEN(bad_names); i++) {
        LimitOptions options = { .tiers = { { bad_names[i], 1, 1 } }, .tier_count = 1 };
        CHECK_CODE(limits_new(&options, &limits, NULL), E_INVALID);
    }
    LimitOptions much = { .tiers = { { "a", LIMIT_REQUESTS_MAX + 1, 1 } }, .tier_count = 1 };
    CHECK_CODE(limits_new(&much, &limits, NULL), E_INVALID);
    CHECK(limits == NULL);
}

TEST(limit_keys_of_addresses)
{
    CHECK(same(address_key("10.1.2.3:1"), address_key("10.1.2.3:65000")));
    CHECK(!same(address_key("10.1.2.3:1"), address_key("10.1.2.4:1")));
    CHECK(same(address_key("[2001:db8:1:2::1]:1"), address_key("[2001:db8:1:2:ffff::9]:2")));
    CHECK(!same(address_key("[2001:db8:1:2::1]:1"), address_key("[2001:db8:1:3::1]:1")));
    CHECK(same(address_key("10.1.2.3:1"), address_key("[::ffff:10.1.2.3]:1")));
    CHECK(!same(address_key("[::1]:1"), address_key("127.0.0.1:1")));
    LimitKey key = address_key("10.1.2.3:1");
    CHECK(!same(key, limit_key_failures(key)));
    Limits *limits = made(&(LimitOptions){ 0 });
    CHECK(same(limit_key_name(limits, STR("anna")), limit_key_name(limits, STR("anna"))));
    CHECK(!same(limit_key_name(limits, STR("anna")), limit_key_name(limits, STR("annb"))));
    CHECK(!same(limit_key_name(limits, STR("")), limit_key_name(limits, STR("a"))));
    limits_free(&limits);
}

TEST(limit_tiers_let_their_quota_in_and_no_more)
{
    static const struct {
        uint32_t requests, window_s, retry_s;
    } rows[] = { { 1, 60, 60 }, { 2, 60, 30 }, { 7, 60, 9 }, { 100, 60, 1 }, { 1000, 60, 1 }, { 10000, 60, 1 }, { 5, 1, 1 } };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        LimitOptions options = { .tiers = { { "t", rows[i].requests, rows[i].window_s } }, .tier_count = 1 };
        Limits *limits = made(&options);
        LimitKey key = limit_key_name(limits, STR("anna"));
        LimitRate rate;
        int64_t now_us = 77 * (int64_t)SECOND_US;
        CHECK_INT(limits_rate_peek(limits, key, 0, now_us, &rate), LIMIT_OK);
        CHECK_INT(rate.remaining, rows[i].requests);
        for (uint32_t n = 1; n <= rows[i].requests; n++) {
            CHECK_INT(limits_rate_take(limits, key, 0, now_us, &rate), LIMIT_OK);
            CHECK_INT(rate.remaining, rows[i].requests - n);
        }
        CHECK_INT(limits_rate_take(limits, key, 0, now_us, &rate), LIMIT_RATE);
        CHECK_INT(rate.remaining, 0);
        CHECK_INT(rate.reset_s, rows[i].retry_s);
        /* After what it says one is let in, and one window later the bucket is full. */
        now_us += rate.reset_s * (int64_t)SECOND_US;
        CHECK_INT(limits_rate_take(limits, key, 0, now_us, &rate), LIMIT_OK);
        now_us += 2 * rows[i].window_s * (int64_t)SECOND_US;
        CHECK_INT(limits_rate_peek(limits, key, 0, now_us, &rate), LIMIT_OK);
        CHECK_INT(rate.remaining, rows[i].requests);
        CHECK_INT(rate.reset_s, 0);
        limits_free(&limits);
    }
}

TEST(limit_a_steady_client_is_never_refused_and_a_fast_one_gets_its_rate)
{
    LimitOptions options = { .tiers = { { "t", 100, 60 } }, .tier_count = 1 };
    Limits *limits = made(&options);
    LimitKey steady = limit_key_name(limits, STR("steady")), fast = limit_key_name(limits, STR("fast"));
    LimitRate rate;
    int let_in = 0;
    for (int64_t now_us = 0; now_us < 600 * (int64_t)SECOND_US; now_us += 100000) {
        if (now_us % 600000 == 0)
            CHECK_INT(limits_rate_take(limits, steady, 0, now_us, &rate), LIMIT_OK);
        let_in += limits_rate_take(limits, fast, 0, now_us, &rate) == LIMIT_OK;
    }
    CHECK(let_in >= 1099 && let_in <= 1100); /* ten minutes, and the bucket that was full */
    limits_free(&limits);
}

TEST(limit_peeking_takes_nothing_and_a_tier_of_none_never_refuses)
{
    LimitOptions options = { .tiers = { { "t", 1, 60 }, { "open", 0, 0 } }, .tier_count = 2 };
    Limits *limits = made(&options);
    LimitKey key = limit_key_name(limits, STR("anna"));
    LimitRate rate;
    for (int i = 0; i < 3; i++)
        CHECK_INT(limits_rate_peek(limits, key, 0, 5, &rate), LIMIT_OK);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(limits_rate_take(limits, key, 1, 5, &rate), LIMIT_OK);
        CHECK(rate.tier == NULL);
        CHECK_INT(limits_rate_take(limits, key, 9, 5, &rate), LIMIT_OK);
    }
    CHECK_INT(limits_rate_take(limits, key, 0, 5, &rate), LIMIT_OK);
    CHECK_INT(limits_rate_peek(limits, key, 0, 5, &rate), LIMIT_RATE);
    CHECK_STR(str_z(rate.tier->name), STR("t"));
    limits_free(&limits);
}

/* A connection that is not given back. */
static bool conn_take(Limits *limits, LimitKey key)
{
    LimitEntry *entry = NULL;
    return limits_conn_take(limits, key, &entry);
}

TEST(limit_connections_and_requests_of_one_client)
{
    LimitOptions options = { .connections_an_address = 2, .requests_an_address = 3, .requests_max = 4 };
    Limits *limits = made(&options);
    LimitKey anna = address_key("10.0.0.1:1"), bert = address_key("10.0.0.2:1");
    LimitEntry *entries[4];
    LimitEntry *seat = NULL;
    CHECK(limits_conn_take(limits, anna, &seat));
    CHECK(conn_take(limits, anna));
    CHECK(!conn_take(limits, anna));
    CHECK(conn_take(limits, bert));
    limits_conn_give(seat);
    CHECK(conn_take(limits, anna));
    for (int i = 0; i < 3; i++)
        CHECK_INT(limits_request_take(limits, NULL, &anna, &entries[i]), LIMIT_OK);
    CHECK_INT(limits_request_take(limits, NULL, &anna, &entries[3]), LIMIT_ADDRESS_FULL);
    CHECK_INT(limits_request_take(limits, NULL, &bert, &entries[3]), LIMIT_OK);
    LimitEntry *none = NULL;
    CHECK_INT(limits_request_take(limits, NULL, &bert, &none), LIMIT_FULL);
    CHECK(none == NULL);
    limits_request_give(limits, entries[0]);
    CHECK_INT(limits_request_take(limits, NULL, &bert, &entries[0]), LIMIT_OK);
    LimitStats stats;
    limits_stats(limits, &stats);
    CHECK_INT(stats.requests, 4);
    CHECK_INT(stats.refused_connections, 1);
    CHECK_INT(stats.refused_address, 1);
    CHECK_INT(stats.refused_full, 1);
    for (int i = 0; i < 4; i++)
        limits_request_give(limits, entries[i]);
    limits_stats(limits, &stats);
    CHECK_INT(stats.requests, 0);
    limits_free(&limits);
}

TEST(limit_a_seat_saves_the_look_up_and_counts_the_same)
{
    LimitOptions options = { .requests_an_address = 2 };
    Limits *limits = made(&options);
    LimitKey anna = address_key("10.0.0.1:1");
    LimitEntry *seat = NULL, *first = NULL, *second = NULL, *third = NULL;
    LimitStats stats;
    CHECK(limits_conn_take(limits, anna, &seat));
    CHECK_INT(limits_request_take(limits, seat, NULL, &first), LIMIT_OK);
    CHECK(first == seat);
    CHECK_INT(limits_request_take(limits, NULL, &anna, &second), LIMIT_OK);
    CHECK(second == seat);
    CHECK_INT(limits_request_take(limits, seat, NULL, &third), LIMIT_ADDRESS_FULL);
    limits_request_give(limits, second);
    CHECK_INT(limits_request_take(limits, seat, NULL, &third), LIMIT_OK);
    limits_conn_give(seat); /* its requests go on, and keep the entry */
    CHECK_INT(limits_request_take(limits, NULL, &anna, &second), LIMIT_ADDRESS_FULL);
    limits_request_give(limits, first);
    limits_request_give(limits, third);
    CHECK_INT(limits_request_take(limits, NULL, &anna, &second), LIMIT_OK);
    limits_request_give(limits, second);
    limits_stats(limits, &stats);
    CHECK_INT(stats.refused_address, 2);
    CHECK_INT(stats.requests, 0);
    limits_free(&limits);
}

TEST(limit_one_client_has_its_share_of_the_bytes)
{
    LimitOptions options = { .requests_an_address = 2, .bytes_max = 1000 };
    Limits *limits = made(&options);
    LimitKey anna = address_key("10.0.0.1:1"), bert = address_key("10.0.0.2:1");
    LimitEntry *a = NULL, *b = NULL;
    CHECK_INT(limits_request_take(limits, NULL, &anna, &a), LIMIT_OK);
    CHECK_INT(limits_request_take(limits, NULL, &bert, &b), LIMIT_OK);
    CHECK(limits_bytes_take(limits, a, 500));
    CHECK(!limits_bytes_take(limits, a, 1));
    CHECK_INT(limits_bytes_left(limits), 500);
    CHECK(limits_bytes_take(limits, b, 400));
    CHECK(!limits_bytes_take(limits, b, 101));
    CHECK(limits_bytes_take(limits, NULL, 100));
    CHECK(!limits_bytes_take(limits, b, 1)); /* its share is not used up, the whole is */
    limits_bytes_give(limits, a, 500);
    CHECK(limits_bytes_take(limits, b, 100));
    CHECK(!limits_bytes_take(limits, b, 1));
    limits_bytes_give(limits, b, 500);
    limits_bytes_give(limits, NULL, 100);
    CHECK_INT(limits_bytes_left(limits), 1000);
    limits_request_give(limits, a);
    limits_request_give(limits, b);
    limits_free(&limits);
}

TEST(limit_the_table_forgets_idle_clients_and_never_busy_ones)
{
    enum { CLIENTS = 20000 };
    LimitOptions options = { .entries = 512, .connections_an_address = 1,
                             .tiers = { { "t", 1, 60 } }, .tier_count = 1 };
    Limits *limits = made(&options);
    LimitKey busy = { .high = 7, .kind = LIMIT_ADDRESS };
    LimitRate rate;
    CHECK(conn_take(limits, busy));
    CHECK_INT(limits_rate_take(limits, busy, 0, 1, &rate), LIMIT_OK);
    for (uint64_t i = 0; i < CLIENTS; i++) {
        LimitKey key = { .high = 1000 + i, .kind = LIMIT_ADDRESS };
        LimitEntry *seat = NULL;
        CHECK(limits_conn_take(limits, key, &seat));
        CHECK_INT(limits_rate_take(limits, key, 0, 2, &rate), LIMIT_OK);
        limits_conn_give(seat);
    }
    CHECK(!conn_take(limits, busy));
    CHECK_INT(limits_rate_take(limits, busy, 0, 2, &rate), LIMIT_RATE);
    LimitStats stats;
    limits_stats(limits, &stats);
    CHECK_INT(stats.unpinned, 0);
    limits_free(&limits);
}

TEST(limit_who_has_taken_most_is_remembered_longest)
{
    LimitOptions options = { .entries = 512, .tiers = { { "t", 100, 60 } }, .tier_count = 1 };
    Limits *limits = made(&options);
    LimitKey heavy = { .high = 7, .kind = LIMIT_ADDRESS };
    LimitRate rate;
    for (int i = 0; i < 50; i++)
        CHECK_INT(limits_rate_take(limits, heavy, 0, 1, &rate), LIMIT_OK);
    for (uint64_t i = 0; i < 5000; i++)
        CHECK_INT(limits_rate_take(limits, (LimitKey){ .high = 1000 + i, .kind = LIMIT_ADDRESS }, 0, 1, &rate), LIMIT_OK);
    CHECK_INT(limits_rate_peek(limits, heavy, 0, 1, &rate), LIMIT_OK);
    CHECK_INT(rate.remaining, 50);
    limits_free(&limits);
}

TEST(limit_a_table_full_of_busy_clients_lets_newcomers_in)
{
    enum { CLIENTS = 5000 };
    LimitOptions options = { .entries = 512, .connections_an_address = 1 };
    Limits *limits = made(&options);
    LimitStats stats;
    static LimitEntry *seats[CLIENTS];
    for (uint64_t i = 0; i < CLIENTS; i++)
        CHECK(limits_conn_take(limits, (LimitKey){ .high = i, .kind = LIMIT_ADDRESS }, &seats[i]));
    limits_stats(limits, &stats);
    CHECK(stats.unpinned >= CLIENTS - 512 && stats.unpinned < CLIENTS);
    for (uint64_t i = 0; i < CLIENTS; i++)
        limits_conn_give(seats[i]);
    CHECK(conn_take(limits, (LimitKey){ .high = 1, .kind = LIMIT_ADDRESS }));
    CHECK(!conn_take(limits, (LimitKey){ .high = 1, .kind = LIMIT_ADDRESS }));
    limits_free(&limits);
}

TEST(limit_the_budget_of_bytes)
{
    Limits *limits = made(&(LimitOptions){ .bytes_max = 1000 });
    CHECK(limits_bytes_take(limits, NULL, 600));
    CHECK(!limits_bytes_take(limits, NULL, 401));
    CHECK(!limits_bytes_take(limits, NULL, SIZE_MAX));
    CHECK(limits_bytes_take(limits, NULL, 400));
    CHECK_INT(limits_bytes_left(limits), 0);
    limits_bytes_give(limits, NULL, 600);
    CHECK_INT(limits_bytes_left(limits), 600);
    Err err;
    CHECK_OK(limits_set(limits, &(LimitOptions){ .bytes_max = 100 }, &err), &err);
    CHECK_INT(limits_bytes_left(limits), 0);
    CHECK(!limits_bytes_take(limits, NULL, 1));
    limits_bytes_give(limits, NULL, 400);
    CHECK(limits_bytes_take(limits, NULL, 100));
    LimitStats stats;
    limits_stats(limits, &stats);
    CHECK_INT(stats.bytes, 100);
    CHECK_INT(stats.bytes_peak, 1000);
    CHECK_INT(stats.refused_bytes, 3);
    limits_bytes_give(limits, NULL, 100);
    limits_free(&limits);
}

TEST(limit_new_settings_hold_for_what_comes_and_keep_the_counts)
{
    LimitOptions options = { .connections_an_address = 5, .tiers = { { "t", 100, 60 } }, .tier_count = 1 };
    Limits *limits = made(&options);
    LimitKey key = address_key("10.0.0.1:1");
    LimitRate rate, old;
    Err err;
    for (int i = 0; i < 3; i++)
        CHECK(conn_take(limits, key));
    for (int i = 0; i < 50; i++)
        CHECK_INT(limits_rate_take(limits, key, 0, 1, &old), LIMIT_OK);
    options.connections_an_address = 3;
    options.tiers[0] = (LimitTier){ "less", 10, 60 };
    CHECK_OK(limits_set(limits, &options, &err), &err);
    CHECK(!conn_take(limits, key));
    CHECK_INT(limits_rate_take(limits, key, 0, 1, &rate), LIMIT_OK);
    CHECK_INT(rate.remaining, 4); /* half of it was taken before */
    CHECK_STR(str_z(old.tier->name), STR("t"));
    CHECK_STR(str_z(rate.tier->name), STR("less"));
    options.tiers[0].name = "No";
    CHECK_CODE(limits_set(limits, &options, NULL), E_INVALID);
    limits_free(&limits);
}

enum { THREADS = 4, ROUNDS = 20000 };
typedef struct Crowd {
    Limits *limits;
    unsigned at;
    unsigned let_in, rated;
} Crowd;

static void *crowd_run(void *arg)
{
    Crowd *crowd = arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        LimitKey key = { .high = i % 97, .low = 1, .kind = LIMIT_ADDRESS };
        LimitEntry *entry = NULL;
        LimitRate rate;
        if (limits_request_take(crowd->limits, NULL, &key, &entry) == LIMIT_OK) {
            crowd->let_in++;
            bool bytes = limits_bytes_take(crowd->limits, entry, 64);
            if (limits_rate_take(crowd->limits, key, 0, 1, &rate) == LIMIT_OK)
                crowd->rated++;
            if (bytes)
                limits_bytes_give(crowd->limits, entry, 64);
            limits_request_give(crowd->limits, entry);
        }
        LimitEntry *seat = NULL;
        if (!limits_conn_take(crowd->limits, key, &seat))
            continue;
        if (limits_request_take(crowd->limits, seat, NULL, &entry) == LIMIT_OK)
            limits_request_give(crowd->limits, entry);
        limits_conn_give(seat);
    }
    return NULL;
}

TEST(limit_counts_hold_under_many_threads)
{
    LimitOptions options = { .requests_an_address = 2, .requests_max = 3, .bytes_max = 128,
                             .connections_an_address = 3, .tiers = { { "t", 40, 60 } }, .tier_count = 1 };
    Limits *limits = made(&options);
    Crowd crowds[THREADS] = { 0 };
    Thread threads[THREADS] = { 0 };
    unsigned rated = 0;
    Err err;
    for (unsigned i = 0; i < THREADS; i++) {
        crowds[i] = (Crowd){ .limits = limits, .at = i };
        CHECK_OK(thread_start(&threads[i], "crowd", crowd_run, &crowds[i], &err), &err);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        thread_join(&threads[i]);
        rated += crowds[i].rated;
    }
    LimitStats stats;
    limits_stats(limits, &stats);
    CHECK_INT(stats.requests, 0);
    CHECK_INT(stats.bytes, 0);
    CHECK(stats.bytes_peak <= 128);
    CHECK_INT(rated, 97 * 40); /* not one more than the buckets held */
    limits_free(&limits);
}
