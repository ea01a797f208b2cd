/* The lake about itself: health, metrics, its own description. */
#include "front/http/http_access.h"
#include "front/http/http_policy.h"
#include "front/metrics.h"
#include "front/rest/rest_priv.h"
#include "os/loop.h"
#include "os/tls.h"
#include "store/store_keep.h"

#include <string.h>

enum { METRIC_BUCKETS_MAX = 500, METRICS_BYTES_MAX = 4 << 20 };

void rest_livez(HttpReq *r)
{
    http_reply(r, 200, "text/plain", STR("ok\n"));
}

void rest_readyz(HttpReq *r)
{
    ApiHealth health;
    Err err;
    if (api_health(rest_call(r), &health, &err) == E_OK)
        http_reply(r, 200, "text/plain", STR("ok\n"));
    else
        http_reply_problem_status(r, 503, &err, STR_NONE);
}

void rest_health(HttpReq *r)
{
    ApiHealth health;
    Err err;
    Buf out;
    if (api_health(rest_call(r), &health, &err) != E_OK) {
        http_reply_problem_status(r, 503, &err, STR_NONE);
        return;
    }
    buf_init(&out, 64 << 10);
    JsonWriter w = json_writer(&out);
    json_begin_object(&w);
    json_field_str(&w, "status", health.ok ? STR("ok") : STR("failing"));
    json_field_str(&w, "version", health.version);
    json_field_i64(&w, "uptime_ms", health.uptime_ms);
    json_field_u64(&w, "sequence", health.sequence);
    json_field_str(&w, "run_id", health.run_id.len ? health.run_id : STR_NONE);
    json_end_object(&w);
    buf_put_char(&out, '\n');
    http_reply_take(r, 200, REST_JSON, &out);
}

/* ---- metrics ---- */

static void row_put(Buf *out, const char *name, const char *type, const char *help, uint64_t value)
{
    buf_format(out, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", name, help, name, type, name,
               (unsigned long long)value);
}

static void verbs_put(Buf *out, const ApiLake *lake)
{
    static const struct {
        const char *name, *help;
    } rows[] = {
#define API_COUNTER(name, doc) { "tarn_" #name "_total", doc },
#include "api/counters.def"
#undef API_COUNTER
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        row_put(out, rows[i].name, "counter", rows[i].help, api_counter(lake, (ApiCounter)i));
}

static void metrics_put(Buf *out, const ApiLake *lake)
{
    static const struct {
        const char *name, *type, *help;
    } rows[] = {
#define API_METRIC(name, type, doc) { "tarn_" #name, #type, doc },
#include "api/metrics.def"
#undef API_METRIC
    };
    uint64_t values[API_METRIC_COUNT];
    api_metrics(lake, values);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        row_put(out, rows[i].name, rows[i].type, rows[i].help, values[i]);
}

/* A line a bucket; beyond METRIC_BUCKETS_MAX buckets the system table tarn.buckets has the rest. */
static void buckets_put(Buf *out, const ApiLake *lake)
{
    static const struct {
        Metric metric;
        const char *name;
    } rows[] = { { METRIC_bucket_objects, "objects" },
                 { METRIC_bucket_versions, "versions" },
                 { METRIC_bucket_bytes, "bytes" },
                 { METRIC_bucket_trash_bytes, "trash_bytes" },
                 { METRIC_bucket_uploads_open, "uploads_open" } };
    Arena tmp AUTO(arena_done) = { 0 };
    StoreBucket *buckets;
    size_t count;
    if (store_bucket_list(lake->store, &tmp, &buckets, &count, NULL) != E_OK)
        return;
    for (size_t n = 0; n < ARRAY_LEN(rows); n++) {
        metric_head(out, rows[n].metric);
        for (size_t i = 0; i < MIN(count, (size_t)METRIC_BUCKETS_MAX); i++) {
            const StoreBucket *b = &buckets[i];
            const uint64_t values[] = { b->objects, b->versions, b->bytes, b->trash_bytes, b->uploads };
            buf_format(out, "tarn_bucket_%s{bucket=\"" STR_FMT "\"} %llu\n", rows[n].name, STR_ARG(b->name),
                       (unsigned long long)values[n]);
        }
    }
}

static void commits_put(Buf *out, const ApiLake *lake)
{
    StoreCommitStats stats;
    uint64_t sum = 0;
    store_commit_stats(lake->store, &stats);
    metric_one(out, METRIC_store_commit_groups_total, stats.groups);
    metric_one(out, METRIC_store_commit_requests_total,
               stats.requests);
    metric_one(out, METRIC_store_commit_bytes_total, stats.bytes);
    metric_head(out, METRIC_store_sync_seconds);
    for (size_t b = 0; b < STORE_SYNC_BUCKETS; b++)
        buf_format(out, "tarn_store_sync_seconds_bucket{le=\"%g\"} %llu\n", store_sync_bounds_us[b] / 1e6,
                   (unsigned long long)(sum += stats.sync[b]));
    sum += stats.sync[STORE_SYNC_BUCKETS];
    buf_format(out, "tarn_store_sync_seconds_bucket{le=\"+Inf\"} %llu\ntarn_store_sync_seconds_sum %.6f\n"
                    "tarn_store_sync_seconds_count %llu\n",
               (unsigned long long)sum, (double)stats.sync_sum_us / 1e6, (unsigned long long)sum);
}

static void requests_put(Buf *out, const HttpServer *http)
{
    metric_head(out, METRIC_http_requests_total);
    for (size_t i = 0; i <= rest_route_count; i++) {
        HttpRouteStats stats;
        const char *route = i < rest_route_count ? rest_routes[i].name : "none";
        http_server_route_stats(http, i, &stats);
        for (int class = 2; class < 6; class++) {
            if (stats.by_class[class])
                buf_format(out, "tarn_http_requests_total{route=\"%s\",code=\"%dxx\"} %llu\n", route, class,
                           (unsigned long long)stats.by_class[class]);
        }
    }
}

static void latency_put(Buf *out, const char *route, const HttpRouteStats *stats)
{
    uint64_t sum = 0;
    for (size_t b = 0; b <= HTTP_LATENCY_BUCKETS; b++) {
        sum += stats->latency[b];
        buf_format(out, "tarn_http_request_seconds_bucket{route=\"%s\",le=\"", route);
        if (b < HTTP_LATENCY_BUCKETS)
            buf_format(out, "%g\"} %llu\n", http_latency_bounds_us[b] / 1e6, (unsigned long long)sum);
        else
            buf_format(out, "+Inf\"} %llu\n", (unsigned long long)sum);
    }
    buf_format(out, "tarn_http_request_seconds_sum{route=\"%s\"} %.6f\n", route,
               (double)stats->latency_sum_us / 1e6);
    buf_format(out, "tarn_http_request_seconds_count{route=\"%s\"} %llu\n", route, (unsigned long long)sum);
}

static void latencies_put(Buf *out, const HttpServer *http)
{
    uint64_t in = 0, gone = 0;
    metric_head(out, METRIC_http_request_seconds);
    for (size_t i = 0; i < rest_route_count; i++) {
        HttpRouteStats stats;
        uint64_t seen = 0;
        http_server_route_stats(http, i, &stats);
        for (size_t b = 0; b <= HTTP_LATENCY_BUCKETS; b++)
            seen += stats.latency[b];
        if (seen)
            latency_put(out, rest_routes[i].name, &stats);
        in += stats.bytes_in;
        gone += stats.bytes_out;
    }
    metric_one(out, METRIC_http_body_bytes_in_total, in);
    metric_one(out, METRIC_http_body_bytes_out_total, gone);
}

/* Resident memory of the process, from the machine's own account. */
static uint64_t resident_bytes(Os *os)
{
    Buf text AUTO(buf_done);
    Str rest, field;
    uint64_t pages = 0;
    buf_init(&text, 4096);
    if (os_read_whole(os, "/proc/self/statm", &text, NULL) != E_OK)
        return 0;
    rest = buf_str(&text);
    if (str_split(&rest, ' ', &field) && str_split(&rest, ' ', &field) && str_u64(field, &pages))
        return pages * 4096;
    return 0;
}

static void limits_put(Buf *out, HttpServer *http)
{
    LimitStats stats;
    limits_stats(policy_limits(http_server_policy(http)), &stats);
    metric_one(out, METRIC_http_buffered_bytes, stats.bytes);
    metric_one(out, METRIC_http_waiting_requests, stats.waiting);
    metric_head(out, METRIC_http_limited_total);
    const struct {
        const char *limit;
        uint64_t count;
    } refused[] = {
        { "connections_per_client", stats.refused_connections }, { "rate", stats.refused_rate },
        { "requests_per_client", stats.refused_address },        { "requests_max", stats.refused_full },
        { "buffered_max", stats.refused_bytes },
    };
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        buf_format(out, "tarn_http_limited_total{limit=\"%s\"} %llu\n", refused[i].limit,
                   (unsigned long long)refused[i].count);
}

static void log_put(Buf *out, HttpServer *http)
{
    AccessStats stats;
    AccessLog *log = policy_access(http_server_policy(http));
    if (!log)
        return;
    access_stats(log, &stats);
    metric_one(out, METRIC_http_access_lines_total, stats.written);
    metric_one(out, METRIC_http_access_lost_total,
               stats.dropped + stats.failed);
}

static void tls_put(Buf *out, const RestServer *rest)
{
    uint64_t failed = loops_handshakes_failed(http_server_loops(rest->http));
    metric_one(out, METRIC_http_handshakes_failed_total, failed);
    if (rest->tls)
        metric_one(out, METRIC_tls_expires_seconds,
                   (uint64_t)tls_server_expires(rest->tls));
}

void rest_metrics(HttpReq *r)
{
    const ApiLake *lake = rest_call(r)->lake;
    const RestServer *rest = http_req_context(r);
    const HttpServer *http = rest->http;
    HttpServerStats stats;
    Buf out;
    buf_init(&out, METRICS_BYTES_MAX);
    http_server_stats(http, &stats);
    metric_one(&out, METRIC_http_connections, stats.connections);
    metric_one(&out, METRIC_http_in_flight, stats.in_flight);
    metric_one(&out, METRIC_http_accepted_total, stats.accepted);
    metric_one(&out, METRIC_http_refused_total, stats.refused);
    metric_one(&out, METRIC_http_timeouts_total, stats.timeouts);
    metric_one(&out, METRIC_http_aborted_total, stats.aborted);
    requests_put(&out, http);
    latencies_put(&out, http);
    limits_put(&out, rest->http);
    log_put(&out, rest->http);
    tls_put(&out, rest);
    verbs_put(&out, lake);
    metric_one(&out, METRIC_resident_bytes,
               resident_bytes(lake->os));
    metrics_put(&out, lake);
    commits_put(&out, lake);
    buckets_put(&out, lake);
    if (lake->s3_metrics.put)
        lake->s3_metrics.put(lake->s3_metrics.self, &out);
    http_reply_take(r, 200, "text/plain; version=0.0.4", &out);
}

/* ---- OpenAPI ---- */

static void parameter_put(JsonWriter *w, Str name, const char *in)
{
    json_begin_object(w);
    json_field_str(w, "name", name);
    json_field_str(w, "in", str_z(in));
    json_field_bool(w, "required", strcmp(in, "path") == 0);
    bool number = str_eq(name, STR("limit"));
    json_field_raw(w, "schema", number ? STR("{\"type\":\"integer\",\"minimum\":0}")
                                       : STR("{\"type\":\"string\"}"));
    json_end_object(w);
}

static void parameters_put(JsonWriter *w, const HttpRoute *route)
{
    const RestMore *more = route->more;
    Str rest = str_z(route->path), part, names = str_z(more->query);
    json_key(w, STR("parameters"));
    json_begin_array(w);
    while (str_split(&rest, '/', &part)) {
        if (part.len > 2 && part.ptr[0] == '{')
            parameter_put(w, str_sub(part, 1, part.len - (str_ends(part, STR("*}")) ? 3 : 2)), "path");
    }
    while (names.len > 0 && str_split(&names, ' ', &part))
        parameter_put(w, part, "query");
    if (more->once)
        parameter_put(w, STR("Idempotency-Key"), "header");
    json_end_array(w);
}

static void operation_put(JsonWriter *w, const HttpRoute *route)
{
    Str doc = str_z(route->doc);
    ptrdiff_t stop = str_find(doc, STR(". "));
    Str method = str_z(route->method);
    char lower[16] = { 0 };
    for (size_t i = 0; i < method.len && i + 1 < sizeof lower; i++)
        lower[i] = (char)(method.ptr[i] | 32);
    json_key(w, str_z(lower));
    json_begin_object(w);
    json_field_str(w, "operationId", str_z(route->name));
    json_field_str(w, "summary", stop < 0 ? doc : str_sub(doc, 0, (size_t)stop + 1));
    json_field_str(w, "description", doc);
    if (route->right == API_OPEN)
        json_field_raw(w, "security", STR("[]"));
    parameters_put(w, route);
    if (str_eq(method, STR("POST")))
        json_field_raw(w, "requestBody", STR("{\"content\":{\"*/*\":{\"schema\":{}}}}"));
    json_field_raw(w, "responses",
                   STR("{\"2XX\":{\"description\":\"Done.\"},\"default\":{\"description\":\"A problem.\","
                       "\"content\":{\"application/problem+json\":{\"schema\":"
                       "{\"$ref\":\"#/components/schemas/Problem\"}}}}}"));
    json_end_object(w);
}

/* `{key*}` is `{key}` in OpenAPI. */
static void path_put(JsonWriter *w, const char *path)
{
    Buf text AUTO(buf_done);
    buf_init(&text, 4096);
    for (const char *c = path; *c; c++) {
        if (*c != '*')
            buf_put_char(&text, *c);
    }
    json_key(w, buf_str(&text));
}

static bool path_is_first(size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (strcmp(rest_routes[i].path, rest_routes[at].path) == 0)
            return false;
    }
    return true;
}

void rest_openapi_put(Buf *out, Str version, Str server_url)
{
    JsonWriter w = json_writer(out);
    json_begin_object(&w);
    json_field_str(&w, "openapi", STR("3.1.0"));
    json_key(&w, STR("info"));
    json_begin_object(&w);
    json_field_str(&w, "title", STR("tarn"));
    json_field_str(&w, "version", version);
    json_end_object(&w);
    if (server_url.len) {
        json_key(&w, STR("servers"));
        json_begin_array(&w);
        json_begin_object(&w);
        json_field_str(&w, "url", server_url);
        json_end_object(&w);
        json_end_array(&w);
    }
    json_field_raw(&w, "security", STR("[{\"key\":[]}]"));
    json_key(&w, STR("paths"));
    json_begin_object(&w);
    for (size_t i = 0; i < rest_route_count; i++) {
        if (!path_is_first(i))
            continue;
        path_put(&w, rest_routes[i].path);
        json_begin_object(&w);
        for (size_t j = i; j < rest_route_count; j++) {
            if (strcmp(rest_routes[i].path, rest_routes[j].path) == 0)
                operation_put(&w, &rest_routes[j]);
        }
        json_end_object(&w);
    }
    json_end_object(&w);
    json_field_raw(&w, "components",
                   STR("{\"securitySchemes\":{\"key\":{\"type\":\"http\",\"scheme\":\"bearer\"}},"
                       "\"schemas\":{\"Problem\":{\"type\":\"object\",\"properties\":{"
                       "\"type\":{\"type\":\"string\"},\"title\":{\"type\":\"string\"},"
                       "\"status\":{\"type\":\"integer\"},\"detail\":{\"type\":\"string\"},"
                       "\"instance\":{\"type\":\"string\"},\"code\":{\"type\":\"string\"},"
                       "\"sqlstate\":{\"type\":\"string\"},\"retriable\":{\"type\":\"boolean\"},"
                       "\"place\":{\"type\":\"string\"},\"hint\":{\"type\":\"string\"},"
                       "\"position\":{\"type\":\"object\",\"properties\":{\"offset\":{\"type\":\"integer\"},"
                       "\"line\":{\"type\":\"integer\"},\"column\":{\"type\":\"integer\"}}},"
                       "\"request_id\":{\"type\":\"string\"}}}}}"));
    json_end_object(&w);
    buf_put_char(out, '\n');
}

void rest_openapi(HttpReq *r)
{
    Buf out;
    buf_init(&out, METRICS_BYTES_MAX);
    rest_openapi_put(&out, rest_call(r)->lake->version, http_req_base_url(r));
    http_reply_take(r, 200, REST_JSON, &out);
}
