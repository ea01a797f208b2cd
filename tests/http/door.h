/* door.h: the test door: a server whose routes do one thing each, for the suites that drive HTTP.
 * Owner:   door_main.c makes and ends the one Door of the process.
 * Threads: handlers run where their route says; Door.parked is under its mutex, counts are atomics.
 * Errors:  a bad option ends the process with 2.
 * Limits:  DOOR_ROUTES_MAX.
 * Units:   bytes, _ms. */
#pragma once

#include "front/http/http_server.h"

#include <pthread.h>

enum { DOOR_ROUTES_MAX = 128 };

typedef struct DoorParked DoorParked;

typedef struct Door {
    int file_fd;           /* what GET /file sends */
    uint64_t file_bytes;
    pthread_mutex_t mutex; /* guards what follows */
    struct DoorParked *parked[1 << 14];
} Door;

/* A table of routes that another file brings. */
typedef struct DoorRoutes {
    const HttpRoute *items;
    size_t count;
} DoorRoutes;

DoorRoutes door_routes(void);
void door_pattern_fill(void); /* before the first request */
#ifdef DOOR_WS
DoorRoutes door_ws_routes(void);
#endif
#ifdef DOOR_GRPC
DoorRoutes door_grpc_routes(void);
#endif
#ifdef DOOR_LIMIT
DoorRoutes door_limit_routes(void);
void door_limit_setup(HttpOptions *http, HttpPolicy *policy);            /* keys and their tiers */
bool door_limit_option(HttpPolicy *policy, const char *name, const char *value); /* false: not one of these */
#endif

/* The table as the server gets it: each entry and end of a handler is counted. */
size_t door_table(const HttpRoute **ret_table);
/* {"entered":{"fixed":1,...},"ended":{...}} of the routes that were entered. */
void door_counts_put(Buf *out);
