/* client.h: the command line's HTTP client: finds the server, sends a request, reads problems as Err.
 * Owner:   the command that opened it.
 * Threads: one at a time.
 * Errors:  UNAVAILABLE when no server answers; else the code of the server's problem document.
 * Limits:  a kept reply has CLIENT_REPLY_MAX bytes; streamed ones have no bound.
 * Units:   bytes, _ms. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum { CLIENT_REPLY_MAX = 512 << 20 };

typedef struct Client Client;

typedef struct ClientOptions {
    Str url;   /* empty: TARN_URL, else the address in admin.json */
    Str data;  /* empty: TARN_DATA, else ./tarn-data */
    Str token; /* empty: TARN_TOKEN, else the token in admin.json */
    Str ca;    /* PEM file; empty: TARN_CA, else tls/ca.pem in the data directory and the system's */
    Str cert, key; /* PEM files; empty: TARN_CERT, TARN_KEY, else no client certificate */
} ClientOptions;

Code client_open(const ClientOptions *options, Client **ret_client, Err *err) CHECKED;
void client_free(Client **client);
Str client_url(const Client *client);

typedef Code ClientBytes(void *arg, Str bytes, Err *err);
typedef void ClientProgress(void *arg, uint64_t sent_bytes);

typedef struct ClientRequest {
    const char *method; /* NULL: GET, or POST with a body or a file */
    Str path;           /* "/v1/sql" with an encoded query */
    Str accept;         /* empty: application/json */
    Str content_type;   /* of the body */
    Str body;
    const char *file;   /* sent as the body instead */
    ClientProgress *progress;
    ClientBytes *receive; /* NULL: the reply is kept in `ret_body` */
    void *arg;            /* of progress and receive */
} ClientRequest;

/* E_OK for a status below 400. `ret_body` may be NULL when `receive` is set. */
Code client_call(Client *client, const ClientRequest *request, Buf *ret_body, Err *err) CHECKED;
