/* Covers tls_ticket.c and reload in tls_config.c. */
#include "os/tls_rig.h"

#include "base/test.h"

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
    clock_pass(INT64_C(25) * 3600 * 1000);
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
        clock_pass(PERIOD_MS);
        CHECK(str_ends(client_try(&client, &rig.door, line, sizeof line), STR("resumed")));
        clock_pass(PERIOD_MS);
        CHECK(str_ends(client_try(&client, &rig.door, line, sizeof line), STR("resumed")));
        clock_pass(2 * PERIOD_MS);
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
