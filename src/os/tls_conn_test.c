/* Covers tls_conn.c, loop_tls.c: bytes in any pieces, hostile and unlucky clients, memory. */
#include "os/tls_rig.h"

#include "base/test.h"

#include <fcntl.h>
#include <malloc.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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
    clock_pass(LOOP_HANDSHAKE_MS - 100);
    echo_wake(&rig.door);
    CHECK_INT(loops_connections(rig.door.loops), 3);
    echo_say(half, STR("\xfc"));
    clock_pass(200);
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
