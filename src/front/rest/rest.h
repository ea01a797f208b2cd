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
    /* Listeners, times, policy; routes, authorize and context are the door's own. NULL: as below. */
    const HttpOptions *http;
    Str listen;             /* without `http`: "127.0.0.1:8080"; port 0: any free one */
    uint32_t loops, io_workers, query_workers; /* without `http`; 0: defaults */
    int tier_reader, tier_admin; /* of requests with a key of that role, see rest_tier */
} RestOptions;

Code rest_start(const RestOptions *options, RestServer **ret_rest, Err *err) CHECKED;
Str rest_address(const RestServer *rest);
HttpServer *rest_http(RestServer *rest);
/* HttpPolicy.tier of this door: by the role of the key. Any thread changes the tiers. */
int rest_tier(HttpReq *r);
void rest_set_tiers(RestServer *rest, int reader, int admin);
bool rest_drain(RestServer *rest, uint32_t wait_ms); /* true: every request has ended */
void rest_free(RestServer **rest);

/* OpenAPI 3.1 of the table, for /v1/openapi.json and docs. */
void rest_openapi_put(Buf *out, Str version, Str server_url /* empty: none is named */);
