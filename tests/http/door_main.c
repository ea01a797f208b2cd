/* Starts the test door: `door --http 127.0.0.1:0 --https 127.0.0.1:0 --cert F --key F`. Prints a line
 * `door: http ADDRESS` or `door: https ADDRESS` for each listener in the order of the options, then
 * `door: ready`; drains and ends on SIGTERM or SIGINT, reads its certificates again on SIGHUP.
 *
 *   --http A, --https A        a listener; may come several times
 *   --cert F, --key F          a pair; several pairs are told apart by name
 *   --client-ca F              client certificates are required; --client-optional: or none
 *   --alpn LIST                default h2,http/1.1; --tls12: TLS 1.2 too
 *   --proxy                    the listeners behind it want a PROXY v2 header
 *   --trusted NET              a trusted proxy; may come several times
 *   --limit NAME=N             a number of HttpOptions or of LimitOptions by its name
 *   --tier NAME:REQUESTS:SECONDS, --cors ORIGIN, --hsts SECONDS, --compress-off, --access FORMAT[:PATH]
 *   --access-file F, --forwarded forwarded, --public-url U, --tier-address N, --credentials yes
 *   --loops N, --drain MS, --file F (what GET /file sends), --log */
#include "door.h"

#include "base/log.h"
#include "format/json.h"
#include "front/http/http_policy.h"
#include "os/tls.h"

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TRUSTED_MAX = 16, ORIGINS_MAX = 16 };

typedef struct Setup {
    HttpOptions http;
    HttpPolicy policy;
    TlsOptions tls;
    bool is_tls[HTTP_LISTENERS_MAX];
    bool proxy, logs;
    size_t key_count, alpn_count;
    Str trusted[TRUSTED_MAX], origins[ORIGINS_MAX];
    uint32_t drain_ms;
    const char *file_path;
} Setup;

static _Noreturn void fail(const char *what, const char *why)
{
    fprintf(stderr, "door: %s: %s\n", what, why);
    exit(2);
}

/* ---- the table of routes, counted ---- */

static HttpRoute table[DOOR_ROUTES_MAX];
static HttpRoute inner[DOOR_ROUTES_MAX]; /* as their files have them */
static atomic_ullong entered[DOOR_ROUTES_MAX], came_to_end[DOOR_ROUTES_MAX];
static size_t table_count;

static void counted_head(HttpReq *r)
{
    size_t at = (size_t)(http_req_route(r) - table);
    atomic_fetch_add_explicit(&entered[at], 1, memory_order_relaxed);
    inner[at].on_head(r);
}

static void counted_end(HttpReq *r)
{
    size_t at = (size_t)(http_req_route(r) - table);
    bool first = !inner[at].on_head || http_req_length(r) == 0;
    if (first)
        atomic_fetch_add_explicit(&entered[at], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&came_to_end[at], 1, memory_order_relaxed);
    inner[at].on_end(r);
}

static void table_add(DoorRoutes routes)
{
    for (size_t i = 0; i < routes.count; i++) {
        ASSERT(table_count < DOOR_ROUTES_MAX);
        HttpRoute *row = &table[table_count];
        inner[table_count++] = *row = routes.items[i];
        row->on_end = counted_end;
        if (row->on_head)
            row->on_head = counted_head;
    }
}

size_t door_table(const HttpRoute **ret_table)
{
    table_add(door_routes());
#ifdef DOOR_WS
    table_add(door_ws_routes());
#endif
#ifdef DOOR_GRPC
    table_add(door_grpc_routes());
#endif
#ifdef DOOR_LIMIT
    table_add(door_limit_routes());
#endif
    *ret_table = table;
    return table_count;
}

static void counts_put(JsonWriter *w, const char *name, atomic_ullong *counts)
{
    json_key(w, str_z(name));
    json_begin_object(w);
    for (size_t i = 0; i < table_count; i++) {
        unsigned long long count = atomic_load(&counts[i]);
        if (count > 0 && strcmp(table[i].name, "counts") != 0)
            json_field_u64(w, table[i].name, count);
    }
    json_end_object(w);
}

void door_counts_put(Buf *out)
{
    JsonWriter w = json_writer(out);
    json_begin_object(&w);
    counts_put(&w, "entered", entered);
    counts_put(&w, "ended", came_to_end);
    json_end_object(&w);
}

/* ---- options ---- */

static bool number_set(void *base, const char *const *names, const size_t *places, size_t count,
                       Str name, uint64_t number)
{
    for (size_t i = 0; i < count; i++) {
        if (!str_eq(name, str_z(names[i])))
            continue;
        uint32_t value = (uint32_t)number;
        memcpy((char *)base + places[i], &value, sizeof value);
        return true;
    }
    return false;
}

static void limit_set(Setup *setup, Str text)
{
#define AT(type, field) offsetof(type, field)
    static const char *const http_names[] = { "io_workers", "query_workers", "head_ms_max",
        "idle_ms_max", "request_ms_max", "rate_bytes_min", "rate_window_ms", "connections_max" };
    static const size_t http_places[] = { AT(HttpOptions, io_workers), AT(HttpOptions, query_workers),
        AT(HttpOptions, head_ms_max), AT(HttpOptions, idle_ms_max), AT(HttpOptions, request_ms_max),
        AT(HttpOptions, rate_bytes_min), AT(HttpOptions, rate_window_ms),
        AT(HttpOptions, connections_max) };
    static const char *const limit_names[] = { "entries", "connections_an_address",
                                               "requests_an_address", "requests_max" };
    static const size_t limit_places[] = { AT(LimitOptions, entries),
        AT(LimitOptions, connections_an_address), AT(LimitOptions, requests_an_address),
        AT(LimitOptions, requests_max) };
    uint64_t number = 0;
    ptrdiff_t equals = str_find_char(text, '=');
    Str name = str_sub(text, 0, (size_t)MAX(equals, (ptrdiff_t)0));
    if (equals < 0 || !str_u64(str_from(text, (size_t)equals + 1), &number))
        fail(text.ptr, "is not NAME=NUMBER");
    if (str_eq(name, STR("bytes_max")))
        setup->policy.limits.bytes_max = number;
    else if (str_eq(name, STR("failures_a_minute")))
        setup->policy.failures_a_minute = (uint32_t)number;
    else if (!number_set(&setup->http, http_names, http_places, ARRAY_LEN(http_names), name, number) &&
             !number_set(&setup->policy.limits, limit_names, limit_places, ARRAY_LEN(limit_names), name,
                         number))
        fail(text.ptr, "is no limit");
}

/* NAME:REQUESTS:SECONDS */
static void tier_add(Setup *setup, char *text)
{
    LimitOptions *limits = &setup->policy.limits;
    char *requests = strchr(text, ':'), *window = requests ? strchr(requests + 1, ':') : NULL;
    if (!window || limits->tier_count == LIMIT_TIERS_MAX)
        fail(text, "is not NAME:REQUESTS:SECONDS");
    *requests++ = 0;
    *window++ = 0;
    limits->tiers[limits->tier_count++] =
        (LimitTier){ text, (uint32_t)atoi(requests), (uint32_t)atoi(window) };
}

static void listener_add(Setup *setup, const char *address, bool tls)
{
    if (setup->http.listener_count == HTTP_LISTENERS_MAX)
        fail(address, "is one listener too many");
    setup->is_tls[setup->http.listener_count] = tls;
    setup->http.listeners[setup->http.listener_count++] =
        (HttpListener){ .address = str_z(address), .proxy_protocol = setup->proxy };
}

/* FORMAT or FORMAT:PATH */
static void access_set(Setup *setup, char *format)
{
    static const char *const names[] = { "line", "json", "combined", "none" };
    char *path = strchr(format, ':');
    if (path) {
        *path = 0;
        setup->policy.log_path = path + 1;
    }
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(names[i], format) == 0)
            setup->policy.log_format = (HttpLogFormat)i;
    }
}

static bool flag_take(Setup *setup, const char *name)
{
    if (strcmp(name, "--proxy") == 0)
        setup->proxy = true;
    else if (strcmp(name, "--client-optional") == 0)
        setup->tls.client = TLS_CLIENT_OPTIONAL;
    else if (strcmp(name, "--tls12") == 0)
        setup->tls.least = TLS_1_2;
    else if (strcmp(name, "--compress-off") == 0)
        setup->policy.compress_off = true;
    else if (strcmp(name, "--log") == 0)
        setup->logs = true;
    else
        return false;
    return true;
}

static void alpn_set(Setup *setup, Str list)
{
    Str one;
    memset(setup->tls.alpn, 0, sizeof setup->tls.alpn);
    for (size_t i = 0; i < TLS_ALPN_MAX && str_split(&list, ',', &one); i++)
        setup->tls.alpn[i] = one;
}

static void option_take(Setup *setup, const char *name, char *value)
{
    if (strcmp(name, "--http") == 0)
        listener_add(setup, value, false);
    else if (strcmp(name, "--https") == 0)
        listener_add(setup, value, true);
    else if (strcmp(name, "--cert") == 0 && setup->tls.cert_count < TLS_CERTS_MAX)
        setup->tls.certs[setup->tls.cert_count++].cert_path = value;
    else if (strcmp(name, "--key") == 0 && setup->key_count < TLS_CERTS_MAX)
        setup->tls.certs[setup->key_count++].key_path = value;
    else if (strcmp(name, "--client-ca") == 0)
        setup->tls.client_ca_path = value;
    else if (strcmp(name, "--alpn") == 0)
        alpn_set(setup, str_z(value));
    else if (strcmp(name, "--trusted") == 0 && setup->policy.trusted_proxy_count < TRUSTED_MAX)
        setup->trusted[setup->policy.trusted_proxy_count++] = str_z(value);
    else if (strcmp(name, "--cors") == 0 && setup->policy.cors_origin_count < ORIGINS_MAX)
        setup->origins[setup->policy.cors_origin_count++] = str_z(value);
    else if (strcmp(name, "--limit") == 0)
        limit_set(setup, str_z(value));
    else if (strcmp(name, "--tier") == 0)
        tier_add(setup, value);
    else if (strcmp(name, "--hsts") == 0)
        setup->policy.hsts_max_age_s = (uint32_t)atoi(value);
    else if (strcmp(name, "--access") == 0)
        access_set(setup, value);
    else if (strcmp(name, "--loops") == 0)
        setup->http.loops = (uint32_t)atoi(value);
    else if (strcmp(name, "--drain") == 0)
        setup->drain_ms = (uint32_t)atoi(value);
    else if (strcmp(name, "--file") == 0)
        setup->file_path = value;
#ifdef DOOR_LIMIT
    else if (door_limit_option(&setup->policy, name, value))
        return;
#endif
    else
        fail(name, "is no option");
}

static void options_read(Setup *setup, int count, char **items)
{
    for (int i = 1; i < count; i++) {
        if (flag_take(setup, items[i]))
            continue;
        if (i + 1 == count)
            fail(items[i], "needs a value");
        option_take(setup, items[i], items[i + 1]);
        i++;
    }
    if (setup->tls.client_ca_path && setup->tls.client == TLS_CLIENT_OFF)
        setup->tls.client = TLS_CLIENT_REQUIRED;
    setup->policy.trusted_proxies = setup->trusted;
    setup->policy.cors_origins = setup->origins;
}

/* ---- the file, the life ---- */

/* Without --file: one of 8 MiB whose byte number i is i % 251. */
static void file_open(Door *door, const char *path)
{
    struct stat info;
    char name[] = "/tmp/tarn-door-XXXXXX";
    door->file_fd = path ? open(path, O_RDONLY | O_CLOEXEC) : mkostemp(name, O_CLOEXEC);
    if (door->file_fd < 0)
        fail(path ? path : name, "cannot be opened");
    if (!path) {
        unlink(name);
        char block[251 * 64];
        for (size_t i = 0; i < sizeof block; i++)
            block[i] = (char)(i % 251);
        for (size_t left = 8 << 20; left > 0;) {
            ssize_t put = write(door->file_fd, block, MIN(left, sizeof block));
            if (put <= 0)
                fail(name, "cannot be written");
            left -= (size_t)put;
        }
    }
    if (fstat(door->file_fd, &info) != 0)
        fail(path ? path : name, "cannot be read");
    door->file_bytes = (uint64_t)info.st_size;
}

static void log_sink(LogLevel level, Str line)
{
    static const char *const names[] = { "error", "warn", "info", "debug" };
    fprintf(stderr, "%s " STR_FMT "\n", names[level], STR_ARG(line));
}

static void live(HttpServer *server, TlsServer *tls, Setup *setup, const sigset_t *signals)
{
    Err err;
    int got = 0;
    while (got != SIGTERM && got != SIGINT) {
        if (sigwait(signals, &got) != 0)
            fail("sigwait", "failed");
        if (got == SIGHUP && tls && tls_server_reload(tls, &setup->tls, &err) != E_OK)
            fprintf(stderr, "door: %s\n", err.text);
        if (got == SIGHUP && policy_reopen(http_server_policy(server), &err) != E_OK)
            fprintf(stderr, "door: %s\n", err.text);
    }
    bool whole = http_server_drain(server, setup->drain_ms);
    printf("door: %s\n", whole ? "drained" : "cut off");
}

int main(int count, char **items)
{
    static Door door;
    static Setup setup = { .drain_ms = 10000, .policy = { .log_format = HTTP_LOG_NONE } };
    Err err;
    sigset_t signals;
    TlsServer *tls = NULL;
    HttpServer *server = NULL;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    alpn_set(&setup, STR("h2,http/1.1"));
    options_read(&setup, count, items);
    log_init(log_sink, setup.logs ? LOG_INFO : LOG_ERROR);
    door_pattern_fill();
    pthread_mutex_init(&door.mutex, NULL);
    file_open(&door, setup.file_path);
    setup.tls.os = setup.http.os = os_real();
    if (setup.tls.cert_count > 0 && tls_server_new(&setup.tls, &tls, &err) != E_OK)
        fail("tls", err.text);
    for (size_t i = 0; i < setup.http.listener_count; i++)
        setup.http.listeners[i].tls = setup.is_tls[i] ? tls : NULL;
    setup.http.route_count = door_table(&setup.http.routes);
    setup.http.context = &door;
    setup.http.policy = &setup.policy;
#ifdef DOOR_LIMIT
    door_limit_setup(&setup.http, &setup.policy);
#endif
    if (http_server_start(&setup.http, &server, &err) != E_OK)
        fail("start", err.text);
    for (size_t i = 0; i < setup.http.listener_count; i++)
        printf("door: %s " STR_FMT "\n", setup.is_tls[i] ? "https" : "http",
               STR_ARG(http_server_address_at(server, i)));
    printf("door: ready\n");
    fflush(stdout);
    live(server, tls, &setup, &signals);
    http_server_free(&server);
    tls_server_free(&tls);
    close(door.file_fd);
    return 0;
}
