/* Counters of routes: each loop has its own, so that counting is a load and a store of its own memory.
 *
 * Invariants:
 * 1. The counters of a room are written by its loop's thread only; others read them relaxed, so a sum
 *    may be a request behind, and never goes back.
 * 2. They are made at the room's first request and live as long as the server. */
#include "front/http/http_priv.h"

const uint32_t http_latency_bounds_us[HTTP_LATENCY_BUCKETS] = {
    250, 500, 1000, 2500, 5000, 10000, 50000, 100000, 500000, 1000000, 5000000, 30000000,
};

typedef struct RouteStats {
    atomic_uint_fast64_t by_class[6];
    atomic_uint_fast64_t latency[HTTP_LATENCY_BUCKETS + 1];
    atomic_uint_fast64_t latency_sum_us, bytes_in, bytes_out;
} RouteStats;

struct HttpCounts {
    _Atomic(RouteStats *) rooms[LOOPS_MAX]; /* one a route, and one for what matches none */
};

HttpCounts *counts_new(void)
{
    return mem_new(sizeof(HttpCounts));
}

void counts_free(HttpCounts **counts)
{
    HttpCounts *gone = TAKE(*counts);
    if (!gone)
        return;
    for (size_t i = 0; i < LOOPS_MAX; i++) {
        RouteStats *stats = atomic_load(&gone->rooms[i]);
        mem_free(&stats);
    }
    mem_free(&gone);
}

static void add(atomic_uint_fast64_t *counter, uint64_t more)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + more, memory_order_relaxed);
}

static RouteStats *room_stats(HttpCounts *counts, const HttpRoom *room)
{
    _Atomic(RouteStats *) *slot = &counts->rooms[room->index];
    RouteStats *all = atomic_load_explicit(slot, memory_order_relaxed);
    if (!all) {
        all = mem_new((room->server->options.route_count + 1) * sizeof *all);
        atomic_store_explicit(slot, all, memory_order_release);
    }
    return all;
}

void counts_refused(HttpRoom *room, int status)
{
    const HttpServer *server = room->server;
    add(&room_stats(policy_counts(server->policy), room)[server->options.route_count].by_class[status / 100], 1);
}

void counts_add(HttpCounts *counts, const HttpReq *r, uint64_t took_us)
{
    RouteStats *stats = &room_stats(counts, r->room)[r->stats_at];
    size_t bucket = 0;
    while (bucket < HTTP_LATENCY_BUCKETS && took_us > http_latency_bounds_us[bucket])
        bucket++;
    add(&stats->by_class[MIN(MAX(r->status / 100, 0), 5)], 1);
    add(&stats->latency[bucket], 1);
    add(&stats->latency_sum_us, took_us);
    add(&stats->bytes_in, r->body_bytes);
    add(&stats->bytes_out, r->sent_bytes);
}

static uint64_t load(const atomic_uint_fast64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

void http_server_route_stats(const HttpServer *server, size_t route, HttpRouteStats *ret_stats)
{
    HttpCounts *counts = policy_counts(server->policy);
    HttpRouteStats sum = { 0 };
    for (size_t room = 0; room < LOOPS_MAX; room++) {
        const RouteStats *all = atomic_load_explicit(&counts->rooms[room], memory_order_acquire);
        if (!all)
            continue;
        const RouteStats *stats = &all[MIN(route, server->options.route_count)];
        for (size_t i = 0; i < ARRAY_LEN(sum.by_class); i++)
            sum.by_class[i] += load(&stats->by_class[i]);
        for (size_t i = 0; i < ARRAY_LEN(sum.latency); i++)
            sum.latency[i] += load(&stats->latency[i]);
        sum.latency_sum_us += load(&stats->latency_sum_us);
        sum.bytes_in += load(&stats->bytes_in);
        sum.bytes_out += load(&stats->bytes_out);
    }
    *ret_stats = sum;
}
