/* tls_server_priv.h: what the files of TLS share, with OpenSSL's types.
 * Owner:   tls.c the TlsServer, tls_config.c the TlsConfig (counted), tls_ticket.c the TicketKeys.
 * Threads: a TlsConfig does not change; the rest of a TlsServer is under its mutex.
 * Errors:  none of its own.
 * Limits:  those of tls.h.
 * Units:   _us: monotonic microseconds. */
#pragma once

#include "os/thread.h"
#include "os/tls_priv.h"

#include <openssl/ssl.h>
#include <stdatomic.h>

enum { TICKET_NAME_BYTES = 16, TICKET_KEY_BYTES = 32, ALPN_BYTES_MAX = 64 };

typedef struct TicketKey {
    uint8_t name[TICKET_NAME_BYTES], cipher[TICKET_KEY_BYTES], mac[TICKET_KEY_BYTES];
} TicketKey;

typedef struct TicketKeys {
    TicketKey now, before;
    bool has_before;
    int64_t born_us; /* of `now`; 0: none yet */
    uint32_t period_ms;
} TicketKeys;

/* A host name of a certificate, in lower case. */
typedef struct TlsName {
    char *text; /* "*.example.org" covers one label */
    size_t cert;
} TlsName;

/* Everything that one state of the options and files gives. */
typedef struct TlsConfig {
    atomic_uint refs;
    SSL_CTX *certs[TLS_CERTS_MAX];
    size_t count;
    TlsName *names;
    size_t name_count;
    uint8_t alpn[ALPN_BYTES_MAX]; /* as it goes over the wire */
    size_t alpn_len;
    int64_t expires_s;
} TlsConfig;

struct TlsServer {
    Os *os;
    BIO_METHOD *method;
    Mutex mutex; /* guards what follows */
    TlsConfig *config;
    TicketKeys tickets;
};

/* tls.c */
TlsConfig *tls_config_take(TlsServer *server);
void tls_config_give(TlsConfig **config);
/* The code with OpenSSL's newest reason behind `what` and `path`; empties its queue. */
Code tls_failed(Err *err, Code code, const char *what, const char *path);

/* tls_config.c */
Code tls_config_new(TlsServer *server, const TlsOptions *options, TlsConfig **ret_config, Err *err)
    CHECKED;
void tls_config_free(TlsConfig **config);
/* The context for the host that a client asks for; the first one for none and for unknown ones. */
SSL_CTX *tls_config_find(const TlsConfig *config, Str name);

/* tls_ticket.c: SSL_CTX_set_tlsext_ticket_key_evp_cb's */
int tls_ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                   EVP_MAC_CTX *mac, int seals);
/* SSL_CTX_set_session_ticket_cb's; `arg` is the TlsServer */
SSL_TICKET_RETURN tls_ticket_opened(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                    size_t name_len, SSL_TICKET_STATUS status, void *arg);

/* tls_conn.c */
BIO_METHOD *tls_bio_new(void);
