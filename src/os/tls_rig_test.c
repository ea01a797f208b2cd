/* The rig of the tests of TLS: tls_rig.h. */
#include "os/tls_rig.h"

#include "base/test.h"

#include <openssl/err.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* A clock that the test moves. */
static atomic_int_fast64_t clock_skew_us;
static OsOps skewed_ops;
static Os skewed_os;

static int64_t skewed_monotonic_us(void *self)
{
    (void)self;
    return os_monotonic_us(os_real()) + atomic_load(&clock_skew_us);
}

static int64_t skewed_now_us(void *self)
{
    (void)self;
    return os_now_us(os_real()) + atomic_load(&clock_skew_us);
}

Os *os_skewed(void)
{
    atomic_store(&clock_skew_us, 0);
    skewed_ops = *os_real()->ops;
    skewed_ops.now_us = skewed_now_us;
    skewed_ops.monotonic_us = skewed_monotonic_us;
    skewed_os = (Os){ &skewed_ops, os_real()->self };
    return &skewed_os;
}

void clock_pass(int64_t ms)
{
    atomic_fetch_add(&clock_skew_us, ms * 1000);
}

void seconds_pass(EchoDoor *door)
{
    for (int i = 0; i < 3; i++) {
        clock_pass(2000);
        echo_wake(door);
        echo_wake(door);
    }
}

/* ---- certificates ---- */

static const char *pki_path(Pki *pki, const char *name, const char *end)
{
    ASSERT(pki->path_count < ARRAY_LEN(pki->paths));
    char *path = pki->paths[pki->path_count++];
    snprintf(path, sizeof pki->paths[0], "%s/%s%s", test_dir(), name, end);
    return path;
}

static void pki_write(const char *path, const Buf *bytes)
{
    Err err;
    CHECK_OK(os_write_whole(os_real(), path, buf_str(bytes), &err), &err);
}

const char *pki_ca(Pki *pki, const char *name)
{
    Err err;
    buf_done(&pki->ca_cert);
    buf_done(&pki->ca_key);
    buf_init(&pki->ca_cert, CERT_PEM_BYTES_MAX);
    buf_init(&pki->ca_key, CERT_PEM_BYTES_MAX);
    CHECK_OK(cert_make_ca(name, 30, &pki->ca_cert, &pki->ca_key, &err), &err);
    const char *path = pki_path(pki, name, ".pem");
    pki_write(path, &pki->ca_cert);
    return path;
}

TlsCert pki_leaf(Pki *pki, const char *file, const char *name, CertUse use, int days)
{
    Err err;
    Buf cert AUTO(buf_done) = { .max = CERT_PEM_BYTES_MAX };
    Buf key AUTO(buf_done) = { .max = CERT_PEM_BYTES_MAX };
    Str names[] = { str_z(name) };
    CertLeaf leaf = { buf_str(&pki->ca_cert), buf_str(&pki->ca_key), names, 1, days, use };
    CHECK_OK(cert_make_leaf(&leaf, &cert, &key, &err), &err);
    TlsCert made = { pki_path(pki, file, ".pem"), pki_path(pki, file, ".key") };
    pki_write(made.cert_path, &cert);
    pki_write(made.key_path, &key);
    return made;
}

void pki_done(Pki *pki)
{
    buf_done(&pki->ca_cert);
    buf_done(&pki->ca_key);
}

/* ---- a door with TLS ---- */

void rig_init(Rig *rig)
{
    signal(SIGPIPE, SIG_IGN); /* OpenSSL's clients write to who has cut them off */
    rig->ca_path = pki_ca(&rig->pki, "root");
    rig->options = (TlsOptions){ .os = os_real(), .cert_count = 1,
                                 .alpn = { STR_INIT("h2"), STR_INIT("http/1.1") } };
    rig->options.certs[0] = pki_leaf(&rig->pki, "server", "a.test", CERT_SERVER, 10);
}

void rig_start(Rig *rig)
{
    Err err;
    CHECK_OK(tls_server_new(&rig->options, &rig->tls, &err), &err);
    rig->door.loop_count = 1;
    rig->door.listen.tls = rig->tls;
    echo_start(&rig->door);
}

void rig_done(Rig *rig)
{
    echo_stop(&rig->door);
    tls_server_free(&rig->tls);
    pki_done(&rig->pki);
}

/* ---- a client ---- */

static int session_keep(SSL *ssl, SSL_SESSION *session)
{
    Client *client = SSL_get_app_data(ssl);
    SSL_SESSION_free(client->session);
    client->session = session;
    return 1;
}

bool client_open(Client *client, const EchoDoor *door)
{
    client->fd = echo_client(door);
    client->ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_verify(client->ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_session_cache_mode(client->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(client->ctx, session_keep);
    CHECK_INT(SSL_CTX_load_verify_file(client->ctx, client->ca_path), 1);
    if (client->version)
        SSL_CTX_set_max_proto_version(client->ctx, client->version);
    if (client->cert.cert_path) {
        CHECK_INT(SSL_CTX_use_certificate_file(client->ctx, client->cert.cert_path, SSL_FILETYPE_PEM), 1);
        CHECK_INT(SSL_CTX_use_PrivateKey_file(client->ctx, client->cert.key_path, SSL_FILETYPE_PEM), 1);
    }
    client->ssl = SSL_new(client->ctx);
    SSL_set_app_data(client->ssl, client);
    if (client->name) {
        SSL_set_tlsext_host_name(client->ssl, client->name);
        SSL_set1_host(client->ssl, client->name);
    }
    if (client->alpn)
        SSL_set_alpn_protos(client->ssl, (const unsigned char *)client->alpn,
                            (unsigned)strlen(client->alpn));
    if (client->session)
        SSL_set_session(client->ssl, client->session);
    if (client->before.len > 0)
        echo_say(client->fd, client->before);
    SSL_set_fd(client->ssl, client->fd);
    return SSL_connect(client->ssl) == 1;
}

void client_close(Client *client)
{
    if (client->ssl)
        SSL_shutdown(client->ssl);
    SSL_free(client->ssl);
    SSL_CTX_free(client->ctx);
    net_close(&client->fd);
    client->ssl = NULL;
    client->ctx = NULL;
    ERR_clear_error();
}

void client_done(Client *client)
{
    client_close(client);
    SSL_SESSION_free(client->session);
    client->session = NULL;
}

void client_say(Client *client, const char *text)
{
    CHECK_INT(SSL_write(client->ssl, text, (int)strlen(text)), strlen(text));
}

Str client_line(Client *client, char *line, size_t size)
{
    size_t len = 0;
    while (len < size && SSL_read(client->ssl, line + len, 1) == 1) {
        if (line[len] == '\n')
            return str_of(line, len);
        len++;
    }
    return STR_NONE;
}

Str client_ask(Client *client, const char *text, char *line, size_t size)
{
    client_say(client, text);
    return client_line(client, line, size);
}

Str client_try(Client *client, const EchoDoor *door, char *line, size_t size)
{
    Str known = STR_NONE;
    if (client_open(client, door) && SSL_write(client->ssl, "tls\n", 4) == 4)
        known = client_line(client, line, size);
    if (known.len > 0 && client->version == TLS1_2_VERSION)
        session_keep(client->ssl, SSL_get1_session(client->ssl)); /* renewed ones are not told */
    client_close(client);
    return known;
}
