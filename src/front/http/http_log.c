/* One line and one count a request. */
#include "front/http/http_priv.h"

#include "base/log.h"

const uint32_t http_latency_bounds_us[HTTP_LATENCY_BUCKETS] = {
    250, 500, 1000, 2500, 5000, 10000, 50000, 100000, 500000, 1000000, 5000000, 30000000,
};

void req_count(HttpReq *r)
{
    HttpServer *server = r->server;
    RouteStats *stats = &server->stats[r->stats_at];
    uint64_t took_us = (uint64_t)MAX(os_monotonic_us(server->options.os) - r->started_us, 0);
    size_t bucket = 0;
    while (bucket < HTTP_LATENCY_BUCKETS && took_us > http_latency_bounds_us[bucket])
        bucket++;
    atomic_fetch_add(&stats->by_class[MIN(MAX(r->status / 100, 0), 5)], 1);
    atomic_fetch_add(&stats->latency[bucket], 1);
    atomic_fetch_add(&stats->latency_sum_us, took_us);
    atomic_fetch_add(&stats->bytes_in, r->body_bytes);
    atomic_fetch_add(&stats->bytes_out, r->sent_bytes);
    if (!log_on(LOG_INFO))
        return;
    log_line(LOG_INFO,
             "request method=" STR_FMT " path=" STR_FMT " route=%s status=%d in=%llu out=%llu us=%llu"
             " key=" STR_FMT " peer=" STR_FMT " id=" STR_FMT,
             STR_ARG(r->head.method), STR_ARG(str_sub(r->head.path, 0, 1024)),
             r->route ? r->route->name : "none", r->status, (unsigned long long)r->body_bytes,
             (unsigned long long)r->sent_bytes, (unsigned long long)took_us,
             STR_ARG(r->principal.len ? r->principal : STR("-")), STR_ARG(r->peer), STR_ARG(r->id));
}

static uint64_t load(const atomic_uint_fast64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

void http_server_route_stats(const HttpServer *server, size_t route, HttpRouteStats *ret_stats)
{
    const RouteStats *stats = &server->stats[MIN(route, server->options.route_count)];
    HttpRouteStats result = { .latency_sum_us = load(&stats->latency_sum_us),
                              .bytes_in = load(&stats->bytes_in),
                              .bytes_out = load(&stats->bytes_out) };
    for (size_t i = 0; i < ARRAY_LEN(result.by_class); i++)
        result.by_class[i] = load(&stats->by_class[i]);
    for (size_t i = 0; i < ARRAY_LEN(result.latency); i++)
        result.latency[i] = load(&stats->latency[i]);
    *ret_stats = result;
}
