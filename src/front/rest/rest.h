/* rest.h: the REST door: /v1 and its unversioned neighbours, from the one table routes.def.
 * Owner:   main/ owns the RestServer and the ApiLake that it was given.
 * Threads: handlers run on the server's; the functions here by one.
 * Errors:  those of http_server.h.
 * Limits:  routes.def has a body limit and a time for each path.
 * Units:   _ms. */
#pragma once

#include "api/api.h"
#include "front/http/http_server.h"

typedef struct RestServer RestServer;

typedef struct RestOptions {
    ApiLake *lake;
    Str listen;             /* "127.0.0.1:8080"; port 0: any free one */
    uint32_t loops;         /* 0: one a core */
    uint32_t io_workers, query_workers; /* 0: defaults */
} RestOptions;

Code rest_start(const RestOptions *options, RestServer **ret_rest, Err *err) CHECKED;
Str rest_address(const RestServer *rest);
bool rest_drain(RestServer *rest, uint32_t wait_ms); /* true: every request has ended */
void rest_free(RestServer **rest);

/* OpenAPI 3.1 of the table, for /v1/openapi.json and docs. */
void rest_openapi_put(Buf *out, Str version);
