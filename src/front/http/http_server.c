/* The server: its options with defaults, its loops, its end. */
#include "front/http/http_priv.h"

#include <string.h>

static void defaults_set(HttpOptions *options)
{
#define DEFAULT(field, value) options->field = options->field ? options->field : (value)
    DEFAULT(io_workers, HTTP_IO_WORKERS);
    DEFAULT(query_workers, HTTP_QUERY_WORKERS);
    DEFAULT(head_ms_max, 10 * 1000);
    DEFAULT(idle_ms_max, 60 * 1000);
    DEFAULT(request_ms_max, 60 * 1000);
    DEFAULT(rate_bytes_min, 1024);
    DEFAULT(rate_window_ms, 30 * 1000);
#undef DEFAULT
}

static Code routes_check(HttpServer *server, Err *err)
{
    const HttpOptions *options = &server->options;
    ASSERT(options->route_count <= HTTP_ROUTES_MAX);
    server->shapes = mem_new(MAX(options->route_count, (size_t)1) * sizeof *server->shapes);
    for (size_t i = 0; i < options->route_count; i++) {
        ASSERT(options->routes[i].on_end && options->routes[i].name);
        TRY(route_shape_parse(options->routes[i].path, &server->shapes[i], err));
        server->route_keys[i] = route_key(&server->shapes[i], options->routes[i].path);
    }
    return E_OK;
}

/* ---- rooms ---- */

void room_count(atomic_uint_fast64_t *counter)
{
    uint64_t value = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, value + 1, memory_order_relaxed);
}

HttpRoom *room_of(HttpServer *server, Loop *loop)
{
    for (size_t i = 0; i < server->room_count; i++) {
        if (server->rooms[i].loop == loop)
            return &server->rooms[i];
    }
    ASSERT(!"a loop of another server");
    return NULL;
}

static void rooms_make(HttpServer *server)
{
    server->room_count = loops_count(server->loops);
    server->rooms = mem_new(server->room_count * sizeof *server->rooms);
    for (size_t i = 0; i < server->room_count; i++) {
        server->rooms[i].server = server;
        server->rooms[i].index = i;
        os_random(server->options.os, &server->rooms[i].random, sizeof server->rooms[i].random);
        server->rooms[i].loop = loops_at(server->loops, i);
        buf_init(&server->rooms[i].out, 64 << 10);
    }
}

/* ---- listeners ---- */

static Code listen_one(HttpServer *server, const HttpListener *listener, Err *err)
{
    LoopListen listen = { .fd = listener->fd,
                          .protocol = &http_protocol,
                          .context = server,
                          .tls = listener->tls,
                          .proxy_protocol = listener->proxy_protocol,
                          .guard = server->policy,
                          .trusted = policy_trusts,
                          .admit = policy_conn_admit,
                          .gone = policy_conn_gone };
    NetAddress bound;
    if (listener->fd <= 0)
        TRY(net_address_parse(listener->address, &listen.address, err));
    TRY(loops_listen(server->loops, &listen, &bound, err));
    char *text = server->addresses[server->address_count];
    server->address_lens[server->address_count++] = net_address_format(&bound, text).len;
    return E_OK;
}

static Code listeners_open(HttpServer *server, Err *err)
{
    const HttpOptions *options = &server->options;
    ASSERT(options->listener_count + (options->listen.len > 0) <= HTTP_LISTENERS_MAX);
    if (options->listen.len > 0)
        TRY(listen_one(server, &(HttpListener){ .address = options->listen }, err));
    for (size_t i = 0; i < options->listener_count; i++)
        TRY(listen_one(server, &options->listeners[i], err));
    return E_OK;
}

/* ---- start and end ---- */

static void boot_name(HttpServer *server)
{
    unsigned char bytes[sizeof server->boot / 2];
    os_random(server->options.os, bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof server->boot; i++)
        server->boot[i] = "0123456789abcdef"[bytes[i / 2] >> (i % 2 * 4) & 15];
}

Code http_server_start(const HttpOptions *options, HttpServer **ret_server, Err *err)
{
    HttpServer *server AUTO(http_server_free) = mem_new(sizeof *server);
    server->options = *options;
    defaults_set(&server->options);
    options = &server->options;
    TRY(routes_check(server, err));
    boot_name(server);
    TRY(policy_new(options->os, options->policy, &server->policy, err));
    LoopOptions loops = { .os = options->os,
                          .loops = options->loops,
                          .connections_max = options->connections_max,
                          .lanes = { { "io", options->io_workers, HTTP_QUEUE_MAX },
                                     { "query", options->query_workers, HTTP_QUEUE_MAX } },
                          .lane_count = 2 };
    TRY(loops_start(&loops, &server->loops, err));
    rooms_make(server);
    TRY(listeners_open(server, err));
    *ret_server = TAKE(server);
    return E_OK;
}

Str http_server_address_at(const HttpServer *server, size_t listener)
{
    if (listener >= server->address_count)
        return STR_NONE;
    return str_of(server->addresses[listener], server->address_lens[listener]);
}

Str http_server_address(const HttpServer *server)
{
    return http_server_address_at(server, 0);
}

Policy *http_server_policy(HttpServer *server)
{
    return server->policy;
}

Loops *http_server_loops(HttpServer *server)
{
    return server->loops;
}

bool http_server_drain(HttpServer *server, uint32_t wait_ms)
{
    atomic_store(&server->draining, true);
    return loops_drain(server->loops, wait_ms);
}

/* ---- the end ---- */

static void room_done(HttpRoom *room)
{
    while (room->spare) {
        HttpReq *r = room->spare;
        room->spare = r->next_spare;
        buf_done(&r->reply_body);
        mutex_done(&r->mutex);
        arena_done(&r->arena);
        mem_free(&r);
    }
    buf_done(&room->out);
}

void http_server_free(HttpServer **server_at)
{
    HttpServer *server = TAKE(*server_at);
    if (!server)
        return;
    atomic_store(&server->draining, true);
    loops_free(&server->loops);
    for (size_t i = 0; i < server->room_count; i++)
        room_done(&server->rooms[i]);
    policy_free(&server->policy);
    mem_free(&server->rooms);
    mem_free(&server->shapes);
    mem_free(&server);
}

static uint64_t load(const atomic_uint_fast64_t *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

void http_server_stats(const HttpServer *server, HttpServerStats *ret_stats)
{
    HttpServerStats stats = { .connections = loops_connections(server->loops),
                              .accepted = loops_accepted(server->loops),
                              .refused = loops_refused(server->loops) };
    uint64_t ended = 0;
    for (size_t i = 0; i < server->room_count; i++)
        ended += load(&server->rooms[i].ended); /* first: one that begins meanwhile is in flight */
    for (size_t i = 0; i < server->room_count; i++) {
        stats.requests += load(&server->rooms[i].requests);
        stats.timeouts += load(&server->rooms[i].timeouts);
        stats.aborted += load(&server->rooms[i].aborted);
    }
    stats.in_flight = stats.requests - ended;
    *ret_stats = stats;
}
