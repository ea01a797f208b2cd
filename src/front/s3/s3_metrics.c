/* Requests of the door by operation: counted once each, when the handler is done with them.
 *
 * Invariants
 * 1. Counters only grow and are added to relaxed: a scrape may be a request behind.
 * 2. An operation has one line a name; what was refused before its operation was known is `none`. */
#include "front/metrics.h"
#include "front/s3/s3_priv.h"

#include "front/http/http_policy.h"

#include <stdatomic.h>

static const uint16_t statuses[] = { 200, 204, 206, 301, 304, 400, 403, 404,
                                     405, 409, 411, 412, 416, 429, 500, 501, 503 };
enum { STATUSES = ARRAY_LEN(statuses) + 1 }; /* the last: any other */

typedef struct OpCounts {
    atomic_uint_fast64_t by_status[STATUSES];
    atomic_uint_fast64_t latency[HTTP_LATENCY_BUCKETS + 1]; /* not cumulative */
    atomic_uint_fast64_t latency_sum_us;
} OpCounts;

struct S3Counts {
    size_t ops;
    OpCounts rows[]; /* an operation each, NotServed, none */
};

static void add(atomic_uint_fast64_t *counter, uint64_t more)
{
    atomic_fetch_add_explicit(counter, more, memory_order_relaxed);
}

static uint64_t load(const atomic_uint_fast64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

S3Counts *s3_counts_new(size_t ops)
{
    S3Counts *counts = mem_new(sizeof *counts + (ops + 2) * sizeof counts->rows[0]);
    counts->ops = ops;
    return counts;
}

void s3_count(const S3Req *s)
{
    S3Counts *counts = s->server->counts;
    OpCounts *row = &counts->rows[s3_op_number(s->op)];
    int status = http_reply_status(s->r);
    size_t slot = 0, bucket = 0;
    uint64_t took_us = (uint64_t)(os_monotonic_us(s->server->options.lake->os) - http_req_started_us(s->r));
    while (slot < ARRAY_LEN(statuses) && statuses[slot] != status)
        slot++;
    while (bucket < HTTP_LATENCY_BUCKETS && took_us > http_latency_bounds_us[bucket])
        bucket++;
    add(&row->by_status[slot], 1);
    add(&row->latency[bucket], 1);
    add(&row->latency_sum_us, took_us);
}

static void requests_put(Buf *out, const S3Counts *counts)
{
    metric_head(out, METRIC_s3_requests_total);
    for (size_t op = 0; op < counts->ops + 2; op++)
        for (size_t i = 0; i < STATUSES; i++) {
            uint64_t count = load(&counts->rows[op].by_status[i]);
            if (count == 0)
                continue;
            buf_format(out, "tarn_s3_requests_total{operation=\"%s\",code=\"", s3_op_name(op));
            if (i < ARRAY_LEN(statuses))
                buf_format(out, "%d", statuses[i]);
            else
                buf_put(out, STR("other"));
            buf_format(out, "\"} %llu\n", (unsigned long long)count);
        }
}

static void latency_put(Buf *out, const OpCounts *row, const char *name)
{
    uint64_t sum = 0;
    for (size_t b = 0; b < HTTP_LATENCY_BUCKETS; b++) {
        sum += load(&row->latency[b]);
        buf_format(out, "tarn_s3_request_seconds_bucket{operation=\"%s\",le=\"%g\"} %llu\n", name,
                   http_latency_bounds_us[b] / 1e6, (unsigned long long)sum);
    }
    sum += load(&row->latency[HTTP_LATENCY_BUCKETS]);
    buf_format(out, "tarn_s3_request_seconds_bucket{operation=\"%s\",le=\"+Inf\"} %llu\n", name,
               (unsigned long long)sum);
    buf_format(out, "tarn_s3_request_seconds_sum{operation=\"%s\"} %.6f\n", name,
               (double)load(&row->latency_sum_us) / 1e6);
    buf_format(out, "tarn_s3_request_seconds_count{operation=\"%s\"} %llu\n", name, (unsigned long long)sum);
}

static bool is_used(const OpCounts *row)
{
    for (size_t b = 0; b <= HTTP_LATENCY_BUCKETS; b++)
        if (load(&row->latency[b]) > 0)
            return true;
    return false;
}

static void bytes_put(Buf *out, const HttpServer *http, size_t routes)
{
    uint64_t in = 0, gone = 0;
    for (size_t i = 0; i < routes; i++) {
        HttpRouteStats stats;
        http_server_route_stats(http, i, &stats);
        in += stats.bytes_in;
        gone += stats.bytes_out;
    }
    metric_one(out, METRIC_s3_bytes_in_total, in);
    metric_one(out, METRIC_s3_bytes_out_total, gone);
}

void s3_metrics_put(void *self, Buf *out)
{
    const S3Server *s3 = self;
    const S3Counts *counts = s3->counts;
    HttpServerStats stats;
    LimitStats limits;
    requests_put(out, counts);
    metric_head(out, METRIC_s3_request_seconds);
    for (size_t op = 0; op < counts->ops + 2; op++)
        if (is_used(&counts->rows[op]))
            latency_put(out, &counts->rows[op], s3_op_name(op));
    bytes_put(out, s3->http, s3->routes);
    http_server_stats(s3->http, &stats);
    metric_one(out, METRIC_s3_connections, stats.connections);
    metric_one(out, METRIC_s3_in_flight, stats.in_flight);
    limits_stats(policy_limits(http_server_policy(s3->http)), &limits);
    metric_one(out, METRIC_s3_buffered_bytes, limits.bytes);
    metric_one(out, METRIC_s3_waiting_requests, limits.waiting);
}
