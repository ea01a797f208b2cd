/* load.h: what the two files of the S3 load generator share: the plan of a run, and its requests, signed before it.
 * Owner:   main.
 * Threads: one.
 * Errors:  a message, and the process ends.
 * Limits:  LOAD_*.
 * Units:   bytes; _us. */
#pragma once

#include "base/buf.h"

enum { LOAD_STAMP = 16, LOAD_ASKS_MAX = 4000000, LOAD_NAME_MAX = 128 };

typedef enum LoadVerb { LOAD_PUT, LOAD_GET, LOAD_HEAD, LOAD_LIST, LOAD_MIX, LOAD_FILE } LoadVerb;

typedef struct LoadPlan {
    LoadVerb verb;
    const char *address, *access, *secret, *region, *bucket, *prefix;
    bool unsigned_payload; /* UNSIGNED-PAYLOAD in place of the body's SHA-256 */
    bool plain;            /* no signature: for a server of static files */
    bool versions;         /* of a list */
    const char *delimiter; /* of a list; NULL: none */
    uint64_t size;         /* of each object */
    uint64_t first, keys;  /* numbers of the keys */
    uint64_t fold;         /* keys in one folder; 0: no folders */
    uint64_t page;         /* of a list */
    uint64_t connections, requests, seconds;
} LoadPlan;

/* One request, ready to be sent. Its body, when it has one, is LOAD_STAMP bytes of its number and the plan's body. */
typedef struct LoadAsk {
    uint64_t at; /* of the head, in LoadAsks.heads */
    uint32_t len;
    uint32_t items; /* that a list has to give */
    uint64_t number;
    LoadVerb verb;
} LoadAsk;

typedef struct LoadAsks {
    Buf heads;
    LoadAsk *asks;
    size_t count;
    char *body; /* the same of all objects, but for the stamp in front */
} LoadAsks;

void load_sign(const LoadPlan *plan, LoadAsks *ret_asks);
void load_stamp(uint64_t number, char ret_stamp[LOAD_STAMP]);
