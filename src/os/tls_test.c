/* Covers tls.c, tls_config.c, tls_conn.c, tls_ticket.c, loop_tls.c. */
#include "os/tls.h"

#include "base/test.h"
#include "os/cert.h"
#include "os/loop_echo.h"

#include <fcntl.h>
#include <malloc.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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

static Os *os_skewed(void)
{
    atomic_store(&clock_skew_us, 0);
    skewed_ops = *os_real()->ops;
    skewed_ops.now_us = skewed_now_us;
    skewed_ops.monotonic_us = skewed_monotonic_us;
    skewed_os = (Os){ &skewed_ops, os_real()->self };
    return &skewed_os;
}

/* ---- certificates ---- */

typedef struct Pki {
    Buf ca_cert, ca_key;
    char paths[16][600];
    size_t path_count;
} Pki;

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

static const char *pki_ca(Pki *pki, const char *name)
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

static TlsCert pki_leaf(Pki *pki, const char *file, const char *name, CertUse use, int days)
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

static void pki_done(Pki *pki)
{
    buf_done(&pki->ca_cert);
    buf_done(&pki->ca_key);
}

/* ---- a door with TLS ---- */

typedef struct Rig {
    Pki pki;
    const char *ca_path;
    TlsOptions options;
    TlsServer *tls;
    EchoDoor door;
} Rig;

static void rig_init(Rig *rig)
{
    signal(SIGPIPE, SIG_IGN); /* OpenSSL's clients write to who has cut them off */
    rig->ca_path = pki_ca(&rig->pki, "root");
    rig->options = (TlsOptions){ .os = os_real(), .cert_count = 1,
                                 .alpn = { STR_INIT("h2"), STR_INIT("http/1.1") } };
    rig->options.certs[0] = pki_leaf(&rig->pki, "server", "a.test", CERT_SERVER, 10);
}

static void rig_start(Rig *rig)
{
    Err err;
    CHECK_OK(tls_server_new(&rig->options, &rig->tls, &err), &err);
    rig->door.loop_count = 1;
    rig->door.listen.tls = rig->tls;
    echo_start(&rig->door);
}

static void rig_done(Rig *rig)
{
    echo_stop(&rig->door);
    tls_server_free(&rig->tls);
    pki_done(&rig->pki);
}

/* ---- a client ---- */

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

static int session_keep(SSL *ssl, SSL_SESSION *session)
{
    Client *client = SSL_get_app_data(ssl);
    SSL_SESSION_free(client->session);
    client->session = session;
    return 1;
}

/* false: the handshake failed as the client sees it. */
static bool client_open(Client *client, const EchoDoor *door)
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

static void client_close(Client *client)
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

static void client_done(Client *client)
{
    client_close(client);
    SSL_SESSION_free(client->session);
    client->session = NULL;
}

static void client_say(Client *client, const char *text)
{
    CHECK_INT(SSL_write(client->ssl, text, (int)strlen(text)), strlen(text));
}

/* One line, without its end; "" when the connection ends. */
static Str client_line(Client *client, char *line, size_t size)
{
    size_t len = 0;
    while (len < size && SSL_read(client->ssl, line + len, 1) == 1) {
        if (line[len] == '\n')
            return str_of(line, len);
        len++;
    }
    return STR_NONE;
}

static Str client_ask(Client *client, const char *text, char *line, size_t size)
{
    client_say(client, text);
    return client_line(client, line, size);
}

#define CHECK_ASK(client, text, wanted)                                                            \
    do {                                                                                           \
        char line_[512];                                                                           \
        CHECK_STR(client_ask(client, text, line_, sizeof line_), str_z(wanted));                   \
    } while (0)

/* Opens, asks what the server knows, closes; STR_NONE: refused by one side or the other. */
static Str client_try(Client *client, const EchoDoor *door, char *line, size_t size)
{
    Str known = STR_NONE;
    if (client_open(client, door) && SSL_write(client->ssl, "tls\n", 4) == 4)
        known = client_line(client, line, size);
    if (known.len > 0 && client->version == TLS1_2_VERSION)
        session_keep(client->ssl, SSL_get1_session(client->ssl)); /* renewed ones are not told */
    client_close(client);
    return known;
}

TEST(tls_lines_come_back_and_both_sides_say_farewell)
{
    Rig rig AUTO(rig_done) = { 0 };
    rig_init(&rig);
    rig_start(&rig);
    Client client AUTO(client_done) = { .ca_path = rig.ca_path, .name = "a.test", .alpn = "\2h2" };
    CHECK(client_open(&client, &rig.door));
    CHECK_ASK(&client, "one\n", "one");
    CHECK_ASK(&client, "tls\n", "TLSv1.3 TLS_AES_128_GCM_SHA256 name=a.test alpn=h2 peer=");
    CHECK_ASK(&client, "work ab\n", "WORK AB");
    CHECK_ASK(&client, "close\n", "bye");
    char byte;
    CHECK_INT(SSL_read(client.ssl, &byte, 1), 0);
    CHECK_INT(SSL_get_error(client.ssl, 0), SSL_ERROR_ZERO_RETURN);
    CHECK(tls_server_expires(rig.tls) > 0);
}

TEST(tls_the_clients_farewell_is_told)
{
    Rig rig AUTO(rig_done) = { 0 };
    rig_init(&rig);
    rig_start(&rig);
    Client client AUTO(client_done) = { .ca_path = rig.ca_path, .name = "a.test" };
    CHECK(client_open(&client, &rig.door));
    CHECK_ASK(&client, "tls\n", "TLSv1.3 TLS_AES_128_GCM_SHA256 name=a.test alpn= peer=");
    SSL_shutdown(client.ssl);
    char byte;
    CHECK_INT(SSL_read(client.ssl, &byte, 1), 0);
    CHECK_INT(atomic_load(&rig.door.ended), 1);
}

TEST(tls_versions_as_the_options_say)
{
    char line[512];
    Rig rig AUTO(rig_done) = { 0 }, older AUTO(rig_done) = { 0 };
    rig_init(&rig);
    rig_start(&rig);
    older.options = rig.options;
    older.options.least = TLS_1_2;
    rig_start(&older);
    Client client AUTO(client_done) = { .ca_path = rig.ca_path, .name = "a.test", .version = TLS1_2_VERSION };
    CHECK_STR(client_try(&client, &rig.door, line, sizeof line), STR_NONE);
    CHECK_STR(client_try(&client, &older.door, line, sizeof line),
              STR("TLSv1.2 TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 name=a.test alpn= peer="));
    client.version = TLS1_1_VERSION;
    CHECK_STR(client_try(&client, &older.door, line, sizeof line), STR_NONE);
}

TEST(tls_alpn_by_our_preference_and_nothing_in_common_fails)
{
    static const struct {
        const char *asked, *wanted;
    } rows[] = {
        { "\2h2", "alpn=h2" },
        { "\10http/1.1\2h2", "alpn=h2" },
        { "\10http/1.1", "alpn=http/1.1" },
        { "\10http/1.0\10http/1.1", "alpn=http/1.1" },
        { "\10http/1.0", NULL },
    };
    Rig rig AUTO(rig_done) = { 0 };
    rig_init(&rig);
    rig_start(&rig);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char line[512];
        Client client AUTO(client_done) = { .ca_path = rig.ca_path, .name = "a.test", .alpn = rows[i].asked };
        Str known = client_try(&client, &rig.door, line, sizeof line);
        if (rows[i].wanted)
            CHECK(str_find(known, str_z(rows[i].wanted)) > 0);
        else
            CHECK_STR(known, STR_NONE);
    }
}

TEST(tls_certificates_by_the_name_that_is_asked_for)
{
    static const struct {
        const char *name;
        bool good;
    } rows[] = {
        { "a.test", true },       { "A.Test", true },     { "b.test", true },
        { "x.wild.test", true },  { "X.WILD.test", true }, { "x.y.wild.test", false },
        { "wild.test", false },   { "other.test", false },
    };
    Rig rig AUTO(rig_done) = { 0 };
    rig_init(&rig);
    rig.options.certs[1] = pki_leaf(&rig.pki, "b", "b.test", CERT_SERVER, 10);
    rig.options.certs[2] = pki_leaf(&rig.pki, "wild", "*.wild.test", CERT_SERVER, 10);
    rig.options.cert_count = 3;
    rig_start(&rig);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char line[512];
        Client client AUTO(client_done) = { .ca_path = rig.ca_path, .name = rows[i].name };
        Str known = client_try(&client, &rig.door, line, sizeof line);
        CHECK_INT(known.len > 0, rows[i].good);
    }
    Client nameless AUTO(client_done) = { .ca_path = rig.ca_path };
    CHECK(client_open(&nameless, &rig.door));
    CHECK_INT(X509_check_host(SSL_get0_peer_certificate(nameless.ssl), "a.test", 0, 0, NULL), 1);
}

TEST(tls_clients_refuse_a_wrong_authority)
{
    char line[512];
    Rig rig AUTO(rig_done) = { 0 };
    rig_init(&rig);
    rig_start(&rig);
    const char *stranger = pki_ca(&rig.pki, "stranger");
    Client client AUTO(client_done) = { .ca_path = stranger, .name = "a.test" };
    CHECK_STR(client_try(&client, &rig.door, line, sizeof line), STR_NONE);
    for (int i = 0; i < 20000 && loops_handshakes_failed(rig.door.loops) == 0; i++)
        usleep(1000);
    CHECK_INT(loops_handshakes_failed(rig.door.loops), 1);
    CHECK_INT(atomic_load(&rig.door.open), 0);
}

TEST(tls_certificates_of_clients)
{
    Rig rig AUTO(rig_done) = { 0 };
    TlsCert none = { 0 };
    rig_init(&rig);
    TlsCert good = pki_leaf(&rig.pki, "good", "Ann", CERT_CLIENT, 10);
    TlsCert expired = pki_leaf(&rig.pki, "expired", "Old", CERT_CLIENT, -1);
    TlsCert server = pki_leaf(&rig.pki, "misuse", "c.test", CERT_SERVER, 10);
    pki_ca(&rig.pki, "stranger");
    TlsCert strange = pki_leaf(&rig.pki, "strange", "Eve", CERT_CLIENT, 10);
    struct {
        TlsClientMode mode;
        TlsCert cert;
        int version;
        const char *wanted; /* NULL: refused */
    } rows[] = {
        { TLS_CLIENT_OFF, none, 0, "peer=" },
        { TLS_CLIENT_OFF, strange, 0, "peer=" },
        { TLS_CLIENT_OPTIONAL, none, 0, "peer=" },
        { TLS_CLIENT_OPTIONAL, good, 0, "peer=Ann" },
        { TLS_CLIENT_OPTIONAL, strange, 0, NULL },
        { TLS_CLIENT_OPTIONAL, expired, 0, NULL },
        { TLS_CLIENT_REQUIRED, good, 0, "peer=Ann" },
        { TLS_CLIENT_REQUIRED, good, TLS1_2_VERSION, "peer=Ann" },
        { TLS_CLIENT_REQUIRED, none, 0, NULL },
        { TLS_CLIENT_REQUIRED, none, TLS1_2_VERSION, NULL },
        { TLS_CLIENT_REQUIRED, expired, 0, NULL },
        { TLS_CLIENT_REQUIRED, strange, 0, NULL },
        { TLS_CLIENT_REQUIRED, strange, TLS1_2_VERSION, NULL },
        { TLS_CLIENT_REQUIRED, server, 0, NULL },
    };
    Err err;
    rig.options.client_ca_path = rig.ca_path;
    rig.options.least = TLS_1_2;
    rig_start(&rig);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char line[512];
        Client client AUTO(client_done) = { .ca_path = rig.ca_path, .name = "a.test",
                                            .cert = rows[i].cert, .version = rows[i].version };
        rig.options.client = rows[i].mode;
        CHECK_OK(tls_server_reload(rig.tls, &rig.options, &err), &err);
        Str known = client_try(&client, &rig.door, line, sizeof line);
        if (rows[i].wanted)
            CHECK(str_ends(known, str_z(rows[i].wanted)));
        else
            CHECK_STR(known, STR_NONE);
    }
    CHECK_INT(atomic_load(&rig.door.admitted), ARRAY_LEN(rows));
}

/* What a ticket says counts: the peer's name comes along, and a session of other rules does not. */
TEST(tls_tickets_resume_under_the_same_rules_only)
{
    char line[512];
    Rig rig AUTO(rig_done) = { 0 };
    Err err;
    rig_init(&rig);
    rig.options.client_ca_path = rig.ca_path;
    rig.options.client = TLS_CLIENT_OPTIONAL;
    rig_start(&rig);
    Client client AUTO(client_done) = { .ca_path = rig.ca_path, .name = "a.test",
                                        .cert = pki_leaf(&rig.pki, "ann", "Ann", CERT_CLIENT, 10) };
    CHECK(str_ends(client_try(&client, &rig.door, line, sizeof line), STR("peer=Ann")));
    CHECK(str_ends(client_try(&client, &rig.door, line, sizeof line), STR("peer=Ann resumed")));
    CHECK_OK(tls_server_reload(rig.tls, &rig.options, &err), &err);
    CHECK(str_ends(client_try(&client, &rig.door, line, sizeof line), STR("peer=Ann resumed")));
    rig.options.client = TLS_CLIENT_REQUIRED;
    CHECK_OK(tls_server_reload(rig.tls, &rig.options, &err), &err);
    CHECK(str_ends(client_try(&client, &rig.door, line, sizeof line), STR("peer=Ann")));
}

/* A session does not outlive the certificate of the client that it was made with. */
TEST(tls_tickets_end_with_the_clients_certificate)
{
    char line[512];
    Rig rig AUTO(rig_done) = { 0 };
    rig_init(&rig);
    rig.options.os = os_skewed();
    rig.options.ticket_ms = 48 * 3600 * 1000;
    rig.options.client_ca_path = rig.ca_path;
    rig.options.client = TLS_CLIENT_REQUIRED;
    rig_start(&rig);
    Client client AUTO(client_done) = { .ca_path = rig.ca_path, .name = "a.test",
                                        .cert = pki_leaf(&rig.pki, "ann", "Ann", CERT_CLIENT, 1) };
    CHECK(str_ends(client_try(&client, &rig.door, line, sizeof line), STR("peer=Ann")));
    CHECK(str_ends(client_try(&client, &rig.door, line, sizeof line), STR("peer=Ann resumed")));
    atomic_fetch_add(&clock_skew_us, INT64_C(25) * 3600 * 1000 * 1000);
    CHECK(str_ends(client_try(&client, &rig.door, line, sizeof line), STR("peer=Ann")));
}

TEST(tls_ticket_keys_turn_and_the_one_before_still_opens)
{
    static const struct {
        int version;
    } rows[] = { { 0 }, { TLS1_2_VERSION } };
    enum { PERIOD_MS = 3600 * 1000 };
    Rig rig AUTO(rig_done) = { 0 };
    rig_init(&rig);
    rig.options.os = os_skewed();
    rig.options.ticket_ms = PERIOD_MS;
    rig.options.least = TLS_1_2;
    rig_start(&rig);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char line[512];
        Client client AUTO(client_done) = { .ca_path = rig.ca_path, .name = "a.test", .version = rows[i].version };
        CHECK(!str_ends(client_try(&client, &rig.door, line, sizeof line), STR("resumed")));
        CHECK(str_ends(client_try(&client, &rig.door, line, sizeof line), STR("resumed")));
        atomic_fetch_add(&clock_skew_us, (int64_t)PERIOD_MS * 1000);
        CHECK(str_ends(client_try(&client, &rig.door, line, sizeof line), STR("resumed")));
        atomic_fetch_add(&clock_skew_us, (int64_t)PERIOD_MS * 1000);
        CHECK(str_ends(client_try(&client, &rig.door, line, sizeof line), STR("resumed")));
        atomic_fetch_add(&clock_skew_us, (int64_t)PERIOD_MS * 2000);
        Str known = client_try(&client, &rig.door, line, sizeof line);
        CHECK(known.len > 0 && !str_ends(known, STR("resumed")));
    }
}

TEST(tls_reload_keeps_live_connections_and_refuses_bad_files)
{
    Rig rig AUTO(rig_done) = { 0 };
    Err err;
    rig_init(&rig);
    rig_start(&rig);
    Client old AUTO(client_done) = { .ca_path = rig.ca_path, .name = "a.test" };
    CHECK(client_open(&old, &rig.door));
    CHECK_ASK(&old, "one\n", "one");
    TlsOptions bad = rig.options;
    bad.certs[0].key_path = pki_leaf(&rig.pki, "alien", "a.test", CERT_SERVER, 1).key_path;
    CHECK_CODE(tls_server_reload(rig.tls, &bad, &err), E_INVALID);
    CHECK(str_find(str_z(err.text), STR("alien.key")) > 0);
    bad.certs[0].cert_path = "/nowhere.pem";
    CHECK_CODE(tls_server_reload(rig.tls, &bad, &err), E_NOT_FOUND);
    bad.certs[0].cert_path = rig.options.certs[0].key_path;
    CHECK_CODE(tls_server_reload(rig.tls, &bad, &err), E_INVALID);
    rig.options.certs[0] = pki_leaf(&rig.pki, "next", "next.test", CERT_SERVER, 20);
    CHECK_OK(tls_server_reload(rig.tls, &rig.options, &err), &err);
    Client fresh AUTO(client_done) = { .ca_path = rig.ca_path, .name = "next.test" };
    CHECK(client_open(&fresh, &rig.door));
    CHECK_ASK(&fresh, "two\n", "two");
    CHECK_ASK(&old, "three\n", "three");
}

/* ---- hostile and unlucky clients ---- */

TEST(tls_garbage_for_a_hello_is_answered_by_an_alert_and_clear_text_by_words)
{
    static const char *const rows[] = { "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\xff\xff garbage",
                                        "\x16\x03\x01\0\5hello", "\x15\x03\x01\0\2\2\50" };
    static const size_t lens[] = { 18, 13, 10, 7 };
    Rig rig AUTO(rig_done) = { 0 };
    rig_init(&rig);
    rig_start(&rig);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char got[64];
        int fd = echo_client(&rig.door);
        echo_say(fd, str_of(rows[i], lens[i]));
        if (i == 0)
            echo_hear(fd, STR("speak TLS\n"));
        shutdown(fd, SHUT_WR);
        ssize_t len = read(fd, got, sizeof got);
        CHECK(len <= 0 || (len >= 7 && got[0] == 0x15 && i > 0));
        while (len > 0)
            len = read(fd, got, sizeof got);
        net_close(&fd);
    }
    CHECK_INT(atomic_load(&rig.door.open), 0);
    for (int i = 0; i < 20000 && loops_connections(rig.door.loops) > 0; i++)
        usleep(1000);
    CHECK_INT(loops_connections(rig.door.loops), 0);
}

/* Every byte of a whole conversation in a segment of its own, both ways of the handshake. */
TEST(tls_byte_by_byte)
{
    Rig rig AUTO(rig_done) = { 0 };
    rig_init(&rig);
    rig_start(&rig);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = SSL_new(ctx);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    int fd = echo_client(&rig.door), done = 0;
    char reply[64];
    SSL_set_bio(ssl, in, out);
    SSL_set_connect_state(ssl);
    for (int round = 0; round < 10000 && done <= 0; round++) {
        char byte, block[4096];
        if (SSL_do_handshake(ssl) == 1 && round < 10000) {
            if (SSL_write(ssl, "hello\n", 6) == 6)
                round = 10000;
        }
        while (BIO_read(out, &byte, 1) == 1)
            echo_say(fd, str_of(&byte, 1));
        if (round >= 10000)
            break;
        ssize_t len = read(fd, block, sizeof block);
        if (len <= 0)
            break;
        BIO_write(in, block, (int)len);
    }
    while ((done = SSL_read(ssl, reply, sizeof reply)) <= 0) {
        char block[4096];
        ssize_t len = read(fd, block, sizeof block);
        if (len <= 0)
            break;
        BIO_write(in, block, (int)len);
    }
    CHECK_STR(str_of(reply, (size_t)MAX(done, 0)), STR("hello\n"));
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    net_close(&fd);
}

TEST(tls_a_cut_in_the_handshake_leaves_nothing)
{
    Rig rig AUTO(rig_done) = { 0 };
    rig_init(&rig);
    rig_start(&rig);
    for (int i = 0; i < 8; i++) {
        int fd = echo_client(&rig.door);
        echo_say(fd, str_sub(STR("\x16\x03\x01\2\0\1\0\1\xfc\x03\x03"), 0, (size_t)i + 1));
        net_close(&fd);
    }
    for (int i = 0; i < 20000 && loops_accepted(rig.door.loops) < 8; i++)
        usleep(1000);
    for (int i = 0; i < 20000 && loops_connections(rig.door.loops) > 0; i++)
        usleep(1000);
    CHECK_INT(loops_connections(rig.door.loops), 0);
    CHECK_INT(atomic_load(&rig.door.open), 0);
}

/* More at once than a turn goes on with. */
TEST(tls_many_handshakes_at_once)
{
    enum { COUNT = 4 * LOOP_HANDSHAKES_A_TURN };
    Rig rig AUTO(rig_done) = { 0 };
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *clients[COUNT];
    int fds[COUNT];
    size_t done = 0;
    rig_init(&rig);
    rig_start(&rig);
    for (size_t i = 0; i < COUNT; i++) {
        fds[i] = echo_client(&rig.door);
        clients[i] = SSL_new(ctx);
        SSL_set_fd(clients[i], fds[i]);
        SSL_set_connect_state(clients[i]);
        CHECK(fcntl(fds[i], F_SETFL, O_NONBLOCK) == 0);
        CHECK(SSL_do_handshake(clients[i]) != 0); /* the hello has gone; the answer may be here already */
    }
    for (size_t i = 0; i < COUNT; i++) {
        char got[8];
        CHECK(fcntl(fds[i], F_SETFL, 0) == 0);
        done += SSL_do_handshake(clients[i]) == 1 && SSL_write(clients[i], "one\n", 4) == 4 &&
                SSL_read(clients[i], got, sizeof got) == 4;
        SSL_free(clients[i]);
        net_close(&fds[i]);
    }
    CHECK_INT(done, COUNT);
    SSL_CTX_free(ctx);
    ERR_clear_error();
}

/* Large replies both from memory and from a file, to a reader that stops in between. */
TEST(tls_large_replies_arrive_whole)
{
    enum { BIG = 5 << 20 };
    Rig rig AUTO(rig_done) = { 0 };
    char path[600];
    rig_init(&rig);
    snprintf(path, sizeof path, "%s/file", test_dir());
    Buf content AUTO(buf_done) = { .max = BIG };
    for (size_t i = 0; i < BIG; i++)
        buf_put_char(&content, (char)('a' + i % 23));
    Err err;
    CHECK_OK(os_write_whole(os_real(), path, buf_str(&content), &err), &err);
    rig.door.file_fd = open(path, O_RDONLY | O_CLOEXEC);
    rig.door.file_len = BIG - 1;
    rig_start(&rig);
    Client client AUTO(client_done) = { .ca_path = rig.ca_path, .name = "a.test" };
    CHECK(client_open(&client, &rig.door));
    char *got = mem_new(BIG);
    for (int round = 0; round < 2; round++) {
        char line[8];
        size_t len = 0, wanted = round == 0 ? BIG : BIG - 1;
        if (round == 0)
            client_say(&client, "big 5242880\n");
        else
            CHECK_ASK(&client, "file\n", "<");
        while (len < wanted) {
            int n = SSL_read(client.ssl, got + len, (int)MIN(wanted - len, (size_t)(37 << 10)));
            if (n <= 0)
                break;
            len += (size_t)n;
        }
        CHECK_INT(len, wanted);
        CHECK(memcmp(got, content.ptr + round, wanted) == 0);
        if (round == 1)
            CHECK_STR(client_line(&client, line, sizeof line), STR(">"));
    }
    CHECK_INT(atomic_load(&rig.door.files_done), 1);
    mem_free(&got);
    net_close(&rig.door.file_fd);
}

/* Nothing of a reply that breaks off in the middle of a write goes to whoever is next on the loop. */
TEST(tls_a_file_that_is_shorter_breaks_its_connection_only)
{
    enum { LEN = 40 << 10 };
    Rig rig AUTO(rig_done) = { 0 };
    char path[600], line[16];
    Err err;
    Buf content AUTO(buf_done) = { .max = LEN };
    buf_put_zeros(&content, LEN);
    rig_init(&rig);
    snprintf(path, sizeof path, "%s/file", test_dir());
    CHECK_OK(os_write_whole(os_real(), path, buf_str(&content), &err), &err);
    rig.door.file_fd = open(path, O_RDONLY | O_CLOEXEC);
    rig.door.file_len = LEN + 1;
    rig_start(&rig);
    Client cut AUTO(client_done) = { .ca_path = rig.ca_path, .name = "a.test" };
    Client other AUTO(client_done) = { .ca_path = rig.ca_path, .name = "a.test" };
    CHECK(client_open(&cut, &rig.door) && client_open(&other, &rig.door));
    CHECK_ASK(&other, "one\n", "one");
    client_say(&cut, "file\n");
    CHECK_STR(client_line(&cut, line, sizeof line), STR_NONE);
    CHECK_ASK(&other, "two\n", "two");
    CHECK(echo_until(&rig.door.files_done, 1));
    net_close(&rig.door.file_fd);
}

/* A client that asks for new keys for ever and reads none of the answers is cut off. */
TEST(tls_key_updates_without_end_are_cut_off)
{
    Rig rig AUTO(rig_done) = { 0 };
    rig_init(&rig);
    rig_start(&rig);
    Client client AUTO(client_done) = { .ca_path = rig.ca_path, .name = "a.test" };
    CHECK(client_open(&client, &rig.door));
    CHECK_ASK(&client, "one\n", "one");
    bool cut = false;
    for (int i = 0; i < 2000000 && !cut; i++)
        cut = SSL_key_update(client.ssl, SSL_KEY_UPDATE_REQUESTED) != 1 || SSL_do_handshake(client.ssl) != 1;
    CHECK(cut);
}

/* Neither silence nor a half hello holds a descriptor for longer than the deadline; whoever is in
 * time is not touched by it. */
TEST(tls_half_a_handshake_is_timed_out)
{
    Rig rig AUTO(rig_done) = { 0 };
    rig_init(&rig);
    rig.door.os = os_skewed();
    rig_start(&rig);
    Client client AUTO(client_done) = { .ca_path = rig.ca_path, .name = "a.test" };
    CHECK(client_open(&client, &rig.door));
    CHECK_ASK(&client, "one\n", "one");
    int silent = echo_client(&rig.door), half = echo_client(&rig.door);
    echo_say(half, STR("\x16\x03\x01\2\0\1\0\1"));
    for (int i = 0; i < 20000 && loops_accepted(rig.door.loops) < 3; i++)
        usleep(1000);
    echo_wake(&rig.door);
    atomic_fetch_add(&clock_skew_us, (int64_t)(LOOP_HANDSHAKE_MS - 100) * 1000);
    echo_wake(&rig.door);
    CHECK_INT(loops_connections(rig.door.loops), 3);
    echo_say(half, STR("\xfc"));
    atomic_fetch_add(&clock_skew_us, 200 * 1000);
    echo_wake(&rig.door);
    echo_wake(&rig.door);
    CHECK_INT(loops_connections(rig.door.loops), 1);
    CHECK_INT(loops_handshakes_failed(rig.door.loops), 2);
    CHECK_ASK(&client, "two\n", "two");
    net_close(&silent);
    net_close(&half);
}

TEST(tls_behind_a_proxy_header)
{
    static const char header[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"
                                 "\xcb\0\x71\7\x7f\0\0\1\x12\x34\1\xbb";
    char line[512];
    Rig rig AUTO(rig_done) = { 0 };
    rig_init(&rig);
    rig.door.listen.proxy_protocol = true;
    rig.door.trusts = true;
    rig_start(&rig);
    Client client AUTO(client_done) = { .ca_path = rig.ca_path, .name = "a.test",
                                        .before = str_of(header, sizeof header - 1) };
    CHECK(client_open(&client, &rig.door));
    CHECK_ASK(&client, "peer\n", "203.0.113.7:4660");
    CHECK_STR(str_z(rig.door.seen), STR("203.0.113.7:4660"));
    Client bare AUTO(client_done) = { .ca_path = rig.ca_path, .name = "a.test" };
    CHECK_STR(client_try(&bare, &rig.door, line, sizeof line), STR_NONE);
    CHECK_INT(atomic_load(&rig.door.admitted), 1);
}

static void seconds_pass(EchoDoor *door)
{
    for (int i = 0; i < 3; i++) {
        atomic_fetch_add(&clock_skew_us, 2 * 1000 * 1000);
        echo_wake(door);
        echo_wake(door);
    }
}

TEST(tls_idle_connections_are_small)
{
    enum { COUNT = 400, BYTES_MAX = 16 << 10 };
    Rig rig AUTO(rig_done) = { 0 };
    int fds[COUNT];
    size_t before = 0, warm = COUNT / 4;
    rig_init(&rig);
    rig.door.os = os_skewed();
    rig_start(&rig);
    for (size_t i = 0; i < COUNT; i++) {
        Client client AUTO(client_done) = { .ca_path = rig.ca_path, .name = "a.test", .alpn = "\2h2" };
        if (i == warm)
            before = mallinfo2().uordblks;
        CHECK(client_open(&client, &rig.door));
        CHECK_ASK(&client, "one\n", "one");
        SSL_set_quiet_shutdown(client.ssl, 1); /* the client forgets it, the server does not know */
        fds[i] = dup(client.fd);
    }
    size_t each = (mallinfo2().uordblks - before) / (COUNT - warm);
    printf("     %zu bytes an idle connection\n", each);
    CHECK(each <= BYTES_MAX);
    CHECK_INT(loops_connections(rig.door.loops), COUNT);
    for (size_t i = 0; i < COUNT; i++)
        net_close(&fds[i]);
}

/* Who talks all the time keeps its buffers, and gives them back later. */
TEST(tls_busy_connections_become_small_when_they_rest)
{
    enum { COUNT = 100, BYTES_MAX = 16 << 10 };
    Rig rig AUTO(rig_done) = { 0 };
    int fds[COUNT];
    rig_init(&rig);
    rig.door.os = os_skewed();
    rig_start(&rig);
    size_t before = mallinfo2().uordblks;
    for (size_t i = 0; i < COUNT; i++) {
        Client client AUTO(client_done) = { .ca_path = rig.ca_path, .name = "a.test", .alpn = "\2h2" };
        CHECK(client_open(&client, &rig.door));
        for (int round = 0; round < 20; round++)
            CHECK_ASK(&client, "one\n", "one");
        SSL_set_quiet_shutdown(client.ssl, 1);
        fds[i] = dup(client.fd);
    }
    size_t busy = (mallinfo2().uordblks - before) / COUNT;
    seconds_pass(&rig.door);
    size_t idle = (mallinfo2().uordblks - before) / COUNT;
    CHECK(idle <= BYTES_MAX + 8192); /* with what the first handshake of a process leaves */
    CHECK(idle < busy || busy == 0);
    for (size_t i = 0; i < COUNT; i++)
        net_close(&fds[i]);
}

TEST(tls_options_that_are_none)
{
    Rig rig = { 0 };
    TlsServer *server = NULL;
    Err err;
    rig_init(&rig);
    TlsOptions options = rig.options;
    options.cert_count = 0;
    CHECK_CODE(tls_server_new(&options, &server, &err), E_INVALID);
    options = rig.options;
    options.client = TLS_CLIENT_REQUIRED;
    CHECK_CODE(tls_server_new(&options, &server, &err), E_INVALID);
    options.client_ca_path = options.certs[0].key_path;
    CHECK_CODE(tls_server_new(&options, &server, &err), E_INVALID);
    options.client_ca_path = "/nowhere";
    CHECK_CODE(tls_server_new(&options, &server, &err), E_NOT_FOUND);
    CHECK(server == NULL);
    pki_done(&rig.pki);
}
