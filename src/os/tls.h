/* tls.h: the server side of TLS (OpenSSL): certificates by name, client certificates, tickets.
 * Owner:   whoever calls tls_server_new frees it, after the Loops that listen with it.
 * Threads: tls_server_reload from any; loops take what is current for each new connection.
 * Errors:  INVALID for a certificate or key that is none or do not match, NOT_FOUND, FORBIDDEN and
 *          IO for files; each names the file.
 * Limits:  TLS_CERTS_MAX, TLS_ALPN_MAX, TLS_FILE_BYTES_MAX.
 * Units:   _ms. */
#pragma once

#include "os/os.h"

enum {
    TLS_CERTS_MAX = 64,
    TLS_ALPN_MAX = 4,
    TLS_FILE_BYTES_MAX = 4 << 20,
    TLS_TICKET_MS = 12 * 3600 * 1000 /* a ticket key seals new tickets so long, and opens twice as long */
};

typedef enum TlsClientMode { TLS_CLIENT_OFF, TLS_CLIENT_OPTIONAL, TLS_CLIENT_REQUIRED } TlsClientMode;
typedef enum TlsVersion { TLS_1_3, TLS_1_2 } TlsVersion;

/* PEM files: the certificate with those that it was issued by behind it; its key without a password. */
typedef struct TlsCert {
    const char *cert_path, *key_path;
} TlsCert;

typedef struct TlsOptions {
    Os *os;
    TlsCert certs[TLS_CERTS_MAX]; /* the first one is for clients that name no host, or an unknown one */
    size_t cert_count;
    const char *client_ca_path;   /* PEM; required unless `client` is off */
    TlsClientMode client;         /* optional: none, or a good one */
    TlsVersion least;
    Str alpn[TLS_ALPN_MAX];       /* by preference; an empty one ends the list; none: no ALPN */
    uint32_t ticket_ms;           /* 0: TLS_TICKET_MS */
} TlsOptions;

typedef struct TlsServer TlsServer;

/* Of one connection, as long as it. Texts from the peer are UTF-8 without control characters. */
typedef struct TlsInfo {
    Str alpn;        /* empty: the client asked for none of ours */
    Str server_name; /* that the client asked for; may be empty */
    Str version;     /* "TLSv1.3" */
    Str cipher;      /* "TLS_AES_128_GCM_SHA256" */
    Str peer_name;   /* of the client's verified certificate: subject CN, else its first alternative name */
    bool resumed;
} TlsInfo;

Code tls_server_new(const TlsOptions *options, TlsServer **ret_server, Err *err) CHECKED;
/* Takes the options and files as they are now; on an error nothing changes. New connections get the
 * new ones, old ones keep theirs. Ticket keys stay, so clients resume. */
Code tls_server_reload(TlsServer *server, const TlsOptions *options, Err *err) CHECKED;
/* When the first of the certificates in use expires, seconds since 1970. */
int64_t tls_server_expires(TlsServer *server);
void tls_server_free(TlsServer **server);
