/* Bytes that are waited for: turns of clients, order within one, who leaves, what there never is, many threads. */
#include "front/limit/limit.h"

#include "base/test.h"
#include "os/thread.h"

#include <stdatomic.h>
#include <stdio.h>

enum { BUDGET = 1000 };

typedef struct Asker {
    LimitWaiter waiter; /* first */
    atomic_int granted;
    int at;             /* which grant it was */
} Asker;

static atomic_int grants;

static void granted(LimitWaiter *waiter)
{
    Asker *asker = (Asker *)waiter;
    asker->at = atomic_fetch_add(&grants, 1) + 1;
    atomic_fetch_add(&asker->granted, 1);
}

static Limits *made(uint64_t bytes_max)
{
    Limits *limits = NULL;
    LimitOptions options = { .bytes_max = bytes_max, .requests_an_address = 1000 };
    Err err;
    CHECK_OK(limits_new(&options, &limits, &err), &err);
    atomic_store(&grants, 0);
    return limits;
}

static LimitEntry *client(Limits *limits, int number)
{
    char text[40];
    NetAddress address;
    LimitEntry *entry = NULL;
    Err err;
    snprintf(text, sizeof text, "10.0.0.%d:1", number);
    CHECK_OK(net_address_parse(str_z(text), &address, &err), &err);
    LimitKey key = limit_key_address(&address);
    CHECK_INT(limits_request_take(limits, NULL, &key, &entry), LIMIT_OK);
    CHECK(entry != NULL);
    return entry;
}

static void ask(Limits *limits, Asker *asker, LimitEntry *entry, size_t bytes)
{
    *asker = (Asker){ .waiter = { .entry = entry, .bytes = bytes, .granted = granted } };
    limits_bytes_await(limits, &asker->waiter);
}

static uint64_t waiting(Limits *limits)
{
    LimitStats stats;
    limits_stats(limits, &stats);
    return stats.waiting;
}

TEST(limit_bytes_clients_take_turns_and_each_keeps_its_order)
{
    Limits *limits = made(BUDGET);
    LimitEntry *a = client(limits, 1), *b = client(limits, 2);
    Asker askers[6];
    CHECK(limits_bytes_take(limits, NULL, BUDGET));
    for (int i = 0; i < 4; i++)
        ask(limits, &askers[i], a, 100); /* before b asks for anything */
    ask(limits, &askers[4], b, 100);
    ask(limits, &askers[5], b, 100);
    CHECK_INT(waiting(limits), 6);
    CHECK(limits_bytes_short(limits));
    CHECK(!limits_bytes_try(limits, b, 1)); /* nobody comes before those who wait */
    for (int i = 0; i < 6; i++)
        limits_bytes_give(limits, NULL, 100);
    static const int order[] = { 1, 3, 5, 6, 2, 4 }; /* a b a b a a */
    for (size_t i = 0; i < ARRAY_LEN(order); i++)
        CHECK_INT(askers[i].at, order[i]);
    CHECK_INT(waiting(limits), 0);
    CHECK(!limits_bytes_short(limits));
    limits_bytes_give(limits, a, 400);
    limits_bytes_give(limits, b, 200);
    CHECK_INT(limits_bytes_left(limits), 600);
    limits_free(&limits);
}

TEST(limit_bytes_a_client_at_its_share_is_passed_over_and_a_large_wish_is_not)
{
    Limits *limits = made(BUDGET);
    LimitEntry *a = client(limits, 1), *b = client(limits, 2);
    Asker own, large, small;
    CHECK(limits_bytes_take(limits, a, 450)); /* of 500 */
    ask(limits, &own, a, 100);
    CHECK(!limits_bytes_short(limits)); /* all have room: who can do with less needs not leave it */
    ask(limits, &large, b, 500);
    CHECK_INT(large.granted, 1);
    CHECK_INT(own.granted, 0);
    limits_bytes_give(limits, b, 500);
    CHECK(limits_bytes_take(limits, NULL, 300));
    ask(limits, &large, b, 400); /* there are 250 */
    ask(limits, &small, NULL, 10);
    CHECK_INT(large.granted, 0);
    CHECK_INT(small.granted, 0); /* else the large one would never come to it */
    limits_bytes_give(limits, NULL, 300);
    CHECK_INT(large.granted, 1);
    CHECK_INT(small.granted, 1);
    limits_bytes_give(limits, a, 450);
    CHECK_INT(own.granted, 1);
    limits_free(&limits);
}

TEST(limit_bytes_who_leaves_makes_place)
{
    Limits *limits = made(BUDGET);
    LimitEntry *a = client(limits, 1), *b = client(limits, 2);
    Asker first, second, third;
    CHECK(limits_bytes_take(limits, NULL, 700));
    ask(limits, &first, a, 500);
    ask(limits, &second, b, 200);
    ask(limits, &third, b, 100);
    CHECK_INT(second.granted + third.granted, 0);
    CHECK(limits_bytes_leave(limits, &first.waiter));
    CHECK_INT(first.granted, 0);
    CHECK_INT(second.granted, 1);
    CHECK_INT(third.granted, 1);
    CHECK(!limits_bytes_leave(limits, &second.waiter)); /* it has them */
    CHECK_INT(waiting(limits), 0);
    limits_free(&limits);
}

TEST(limit_bytes_nobody_waits_for_what_there_never_is)
{
    Limits *limits = made(BUDGET);
    LimitEntry *a = client(limits, 1);
    Asker one, two, three;
    Err err;
    ask(limits, &one, a, BUDGET * 9); /* half of all is the most of one client */
    CHECK_INT(one.granted, 1);
    CHECK_INT(one.waiter.bytes, BUDGET / LIMIT_CLIENT_SHARE);
    limits_bytes_give(limits, a, one.waiter.bytes);
    limits_bytes_force(limits, NULL, BUDGET * 2);
    CHECK_INT(limits_bytes_left(limits), 0);
    ask(limits, &two, a, 10);
    ask(limits, &three, a, 10);
    LimitOptions more = { .bytes_max = BUDGET * 2 + 10, .requests_an_address = 1000 };
    CHECK_OK(limits_set(limits, &more, &err), &err);
    CHECK_INT(two.granted, 1);
    CHECK_INT(three.granted, 0);
    limits_bytes_give(limits, NULL, BUDGET * 2);
    CHECK_INT(three.granted, 1);
    limits_free(&limits);
}

/* ---- many threads ---- */

enum { THREADS = 4, ROUNDS = 3000 };

typedef struct Crowd {
    Limits *limits;
    LimitEntry *entry;
    Thread thread;
} Crowd;

/* Each waits for what the others have, gives it back, leaves now and then. */
static void *crowd_run(void *arg)
{
    Crowd *crowd = arg;
    for (int i = 0; i < ROUNDS; i++) {
        Asker asker;
        ask(crowd->limits, &asker, crowd->entry, 300 + (size_t)i % 200);
        bool left = i % 7 == 0 && limits_bytes_leave(crowd->limits, &asker.waiter);
        while (!left && !atomic_load(&asker.granted))
            continue; /* one that is overlooked never ends */
        if (!left)
            limits_bytes_give(crowd->limits, crowd->entry, asker.waiter.bytes);
        if (limits_bytes_take(crowd->limits, crowd->entry, 250))
            limits_bytes_give(crowd->limits, crowd->entry, 250);
    }
    return NULL;
}

TEST(limit_bytes_nobody_is_overlooked_under_many_threads)
{
    Limits *limits = made(BUDGET);
    Crowd crowds[THREADS];
    Err err;
    for (int i = 0; i < THREADS; i++) {
        crowds[i] = (Crowd){ .limits = limits, .entry = client(limits, i / 2) }; /* two are one client */
        CHECK_OK(thread_start(&crowds[i].thread, "crowd", crowd_run, &crowds[i], &err), &err);
    }
    for (int i = 0; i < THREADS; i++)
        thread_join(&crowds[i].thread);
    CHECK_INT(limits_bytes_left(limits), BUDGET);
    CHECK_INT(waiting(limits), 0);
    limits_free(&limits);
}
