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
    server->stats = mem_new((options->route_count + 1) * sizeof *server->stats);
    for (size_t i = 0; i < options->route_count; i++) {
        ASSERT(options->routes[i].on_end && options->routes[i].name);
        TRY(route_shape_parse(options->routes[i].path, &server->shapes[i], err));
    }
    return E_OK;
}

Code http_server_start(const HttpOptions *options, HttpServer **ret_server, Err *err)
{
    HttpServer *server AUTO(http_server_free) = mem_new(sizeof *server);
    NetAddress address, bound;
    server->options = *options;
    defaults_set(&server->options);
    options = &server->options;
    TRY(routes_check(server, err));
    TRY(net_address_parse(options->listen, &address, err));
    os_random(options->os, &server->boot, sizeof server->boot);
    LoopOptions loops = { .os = options->os,
                          .loops = options->loops,
                          .connections_max = options->connections_max,
                          .lanes = { { "io", options->io_workers, HTTP_QUEUE_MAX },
                                     { "query", options->query_workers, HTTP_QUEUE_MAX } },
                          .lane_count = 2 };
    TRY(loops_start(&loops, &server->loops, err));
    LoopListen listen = { .address = address, .protocol = &http_protocol, .context = server };
    TRY(loops_listen(server->loops, &listen, &bound, err));
    server->address_len = net_address_format(&bound, server->address).len;
    *ret_server = TAKE(server);
    return E_OK;
}

Str http_server_address(const HttpServer *server)
{
    return str_of(server->address, server->address_len);
}

bool http_server_drain(HttpServer *server, uint32_t wait_ms)
{
    atomic_store(&server->draining, true);
    return loops_drain(server->loops, wait_ms);
}

void http_server_free(HttpServer **server_at)
{
    HttpServer *server = TAKE(*server_at);
    if (!server)
        return;
    atomic_store(&server->draining, true);
    loops_free(&server->loops);
    mem_free(&server->shapes);
    mem_free(&server->stats);
    mem_free(&server);
}
