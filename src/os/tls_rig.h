/* tls_rig.h: a door of lines over TLS, authorities and certificates, and clients by OpenSSL, for the tests of TLS.
 * Owner:   the test: rig_done, client_done, pki_done.
 * Threads: one.
 * Errors:  a failed CHECK.
 * Limits:  16 files of a Pki.
 * Units:   none. */
#pragma once

#include "os/cert.h"
#include "os/loop_echo.h"
#include "os/tls.h"

#include <openssl/ssl.h>

Os *os_skewed(void); /* the real one, with a clock that those move on */
void clock_pass(int64_t ms);
void seconds_pass(EchoDoor *door); /* six, in which the loops look at their timers */

typedef struct Pki {
    Buf ca_cert, ca_key;
    char paths[16][600];
    size_t path_count;
} Pki;

const char *pki_ca(Pki *pki, const char *name);
TlsCert pki_leaf(Pki *pki, const char *file, const char *name, CertUse use, int days);
void pki_done(Pki *pki);

typedef struct Rig {
    Pki pki;
    const char *ca_path;
    TlsOptions options;
    TlsServer *tls;
    EchoDoor door;
} Rig;

void rig_init(Rig *rig);  /* options of one certificate, to be changed */
void rig_start(Rig *rig);
void rig_done(Rig *rig);

typedef struct Client {
    const char *ca_path, *name;
    TlsCert cert;
    const char *alpn; /* as on the wire */
    Str before;       /* sent in clear before anything else */
    int version;      /* 0: any */
    SSL_SESSION *session; /* to resume, and the newest that came */
    int fd;
    SSL_CTX *ctx;
    SSL *ssl;
} Client;

bool client_open(Client *client, const EchoDoor *door); /* false: the handshake failed as the client sees it */
void client_close(Client *client);
void client_done(Client *client);
void client_say(Client *client, const char *text);
/* One line, without its end; "" when the connection ends. */
Str client_line(Client *client, char *line, size_t size);
Str client_ask(Client *client, const char *text, char *line, size_t size);
/* Opens, asks what the server knows, closes; STR_NONE: refused by one side or the other. */
Str client_try(Client *client, const EchoDoor *door, char *line, size_t size);

#define CHECK_ASK(client, text, wanted)                                                            \
    do {                                                                                           \
        char line_[512];                                                                           \
        CHECK_STR(client_ask(client, text, line_, sizeof line_), str_z(wanted));                   \
    } while (0)
