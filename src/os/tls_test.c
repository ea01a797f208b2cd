/* Covers tls.c, tls_config.c: what the options say, and who is let in. Tickets, bytes and hostile clients:
 * tls_ticket_test.c, tls_conn_test.c. */
#include "os/tls_rig.h"

#include "base/test.h"

#include <openssl/x509v3.h>
#include <unistd.h>

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
