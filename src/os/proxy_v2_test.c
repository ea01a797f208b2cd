/* Covers proxy_v2.c, loop_greet.c. */
#include "os/proxy_v2.h"

#include "base/test.h"
#include "os/loop_echo.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SIGN "\r\n\r\n\0\r\nQUIT\n"
#define FOUR "\xcb\0\x71\7\x7f\0\0\1\x12\x34\1\xbb" /* 203.0.113.7:4660 to 127.0.0.1:443 */
#define SIX "\x20\1\r\xb8\0\0\0\0\0\0\0\0\0\0\0\7" "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1" "\x12\x34\1\xbb"
#define SUMMED SIGN "\x21\x11\0\x13" FOUR "\3\0\4"

typedef struct Row {
    Str bytes;
    ProxyV2Step step;
    size_t source_len;
} Row;

static const Row rows[] = {
    { STR_INIT(SIGN "\x21\x11\0\x0c" FOUR), PROXY_V2_DONE, 4 },
    { STR_INIT(SIGN "\x21\x21\0\x24" SIX), PROXY_V2_DONE, 16 },
    { STR_INIT(SIGN "\x20\0\0\0"), PROXY_V2_DONE, 0 },
    { STR_INIT(SIGN "\x20\x11\0\x0c" FOUR), PROXY_V2_DONE, 0 },     /* LOCAL: addresses do not count */
    { STR_INIT(SIGN "\x20\x11\0\3abc"), PROXY_V2_DONE, 0 },
    { STR_INIT(SIGN "\x21\0\0\0"), PROXY_V2_DONE, 0 },              /* unknown: the peer counts */
    { STR_INIT(SIGN "\x21\0\0\3abc"), PROXY_V2_DONE, 0 },
    { STR_INIT(SIGN "\x21\x11\0\x0f" FOUR "\4\0\0"), PROXY_V2_DONE, 4 },  /* NOOP */
    { STR_INIT(SIGN "\x21\x11\0\x14" FOUR "\1\0\5h2abc"), PROXY_V2_DONE, 4 },
    { STR_INIT(SIGN "\x21\x11\0\x0e" FOUR "\4\0"), PROXY_V2_REFUSE, 0 },  /* a TLV cut in its head */
    { STR_INIT(SIGN "\x21\x11\0\x0f" FOUR "\4\0\1"), PROXY_V2_REFUSE, 0 }, /* and in its value */
    { STR_INIT(SUMMED "\0\0\0\0"), PROXY_V2_REFUSE, 0 },            /* a wrong checksum */
    { STR_INIT(SIGN "\x21\x11\0\x11" FOUR "\3\0\2ab"), PROXY_V2_REFUSE, 0 }, /* a short one */
    { STR_INIT(SIGN "\x21\x11\0\x0b" FOUR), PROXY_V2_REFUSE, 0 },   /* too short for its family */
    { STR_INIT(SIGN "\x21\x21\0\x0c" FOUR), PROXY_V2_REFUSE, 0 },
    { STR_INIT(SIGN "\x21\x12\0\x0c" FOUR), PROXY_V2_REFUSE, 0 },   /* datagrams */
    { STR_INIT(SIGN "\x21\x10\0\x0c" FOUR), PROXY_V2_REFUSE, 0 },
    { STR_INIT(SIGN "\x21\x41\0\x0c" FOUR), PROXY_V2_REFUSE, 0 },
    { STR_INIT(SIGN "\x22\x11\0\x0c" FOUR), PROXY_V2_REFUSE, 0 },   /* no such command */
    { STR_INIT(SIGN "\x11\x11\0\x0c" FOUR), PROXY_V2_REFUSE, 0 },   /* no such version */
    { STR_INIT(SIGN "\x21\x11\xff\xff"), PROXY_V2_REFUSE, 0 },      /* longer than we read */
    { STR_INIT(SIGN "\x21\x31\0\x0c" FOUR), PROXY_V2_REFUSE, 0 },   /* a short path */
    { STR_INIT("PROXY TCP4 203.0.113.7 127.0.0.1 4660 443\r\n"), PROXY_V2_REFUSE, 0 }, /* version 1 */
    { STR_INIT("GET / HTTP/1.1\r\n"), PROXY_V2_REFUSE, 0 },
    { STR_INIT("\r\n\r\n\0\r\nQUIT\r"), PROXY_V2_REFUSE, 0 },
};

TEST(proxy_v2_headers)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ProxyHeader header = { 0 };
        size_t used = 0;
        CHECK_INT(proxy_v2_decode(rows[i].bytes, &header, &used), rows[i].step);
        CHECK_INT(header.source_len, rows[i].source_len);
        CHECK_INT(header.announces, rows[i].source_len > 0);
        if (rows[i].step != PROXY_V2_DONE)
            continue;
        CHECK_INT(used, rows[i].bytes.len);
        for (size_t cut = 0; cut < used; cut++)
            CHECK_INT(proxy_v2_decode(str_sub(rows[i].bytes, 0, cut), &header, &used), PROXY_V2_MORE);
        if (header.announces) {
            CHECK_INT(header.source_port, 0x1234);
            CHECK_INT(header.target_port, 443);
            CHECK_INT(header.source[header.source_len - 1], 7);
        }
    }
}

/* The right value, reckoned elsewhere; with another bit the header is none, but for that of LOCAL and of the sum itself. */
TEST(proxy_v2_checksum)
{
    char bytes[] = SUMMED "\0\0\0\0";
    uint8_t sum[4] = { 0xE9, 0xCC, 0xC1, 0xC9 };
    ProxyHeader header;
    size_t used = 0;
    memcpy(bytes + sizeof bytes - 5, sum, 4);
    CHECK_INT(proxy_v2_decode(str_of(bytes, sizeof bytes - 1), &header, &used), PROXY_V2_DONE);
    for (size_t i = 0; i < sizeof bytes - 1; i++) {
        bytes[i] ^= 1;
        CHECK(proxy_v2_decode(str_of(bytes, sizeof bytes - 1), &header, &used) != PROXY_V2_DONE ||
              i == 12 || i == 28);
        bytes[i] ^= 1;
    }
}

static void door_start(EchoDoor *door)
{
    door->loop_count = 1;
    door->trusts = true;
    door->listen.proxy_protocol = true;
    echo_start(door);
}

TEST(proxy_v2_the_announced_client_counts)
{
    EchoDoor door AUTO(echo_stop) = { 0 };
    door_start(&door);
    int fd = echo_client(&door);
    echo_say(fd, STR(SIGN "\x21\x11\0\x0c" FOUR "peer\n"));
    echo_hear(fd, STR("203.0.113.7:4660\n"));
    CHECK_STR(str_z(door.seen), STR("203.0.113.7:4660"));
    net_close(&fd);
    fd = echo_client(&door);
    echo_say(fd, STR(SIGN "\x21\x21\0\x24" SIX "peer\none\n"));
    echo_hear(fd, STR("[2001:db8::7]:4660\none\n"));
    net_close(&fd);
    fd = echo_client(&door);
    echo_say(fd, STR(SIGN "\x20\0\0\0" "peer\n"));
    echo_hear(fd, STR("127.0.0.1:"));
    net_close(&fd);
    CHECK_INT(atomic_load(&door.admitted), 3);
}

TEST(proxy_v2_byte_by_byte)
{
    static const Str all = STR_INIT(SIGN "\x21\x11\0\x0f" FOUR "\4\0\0" "peer\none\n");
    EchoDoor door AUTO(echo_stop) = { 0 };
    door_start(&door);
    int fd = echo_client(&door);
    for (size_t i = 0; i < all.len; i++)
        echo_say(fd, str_sub(all, i, 1));
    echo_hear(fd, STR("203.0.113.7:4660\none\n"));
    net_close(&fd);
}

TEST(proxy_v2_who_sends_no_header_is_closed_unanswered)
{
    EchoDoor door AUTO(echo_stop) = { 0 };
    door_start(&door);
    static const Str says[] = { STR_INIT("peer\n"), STR_INIT("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\npeer\n"),
                                STR_INIT(SIGN "\x21\x12\0\x0c" FOUR "peer\n") };
    for (size_t i = 0; i < ARRAY_LEN(says); i++) {
        int fd = echo_client(&door);
        echo_say(fd, says[i]);
        echo_hear_end(fd);
        net_close(&fd);
    }
    CHECK_INT(atomic_load(&door.admitted), 0);
    CHECK_INT(loops_handshakes_failed(door.loops), ARRAY_LEN(says));
}

TEST(proxy_v2_only_from_trusted_addresses)
{
    EchoDoor door AUTO(echo_stop) = { 0 };
    char byte;
    door_start(&door);
    door.trusts = false;
    int fd = echo_client(&door);
    IGNORE(write(fd, SIGN "\x21\x11\0\x0c" FOUR "peer\n", 33) < 0); /* it may be closed already */
    echo_hear(fd, STR("full\n"));
    CHECK(read(fd, &byte, 1) <= 0);
    net_close(&fd);
    CHECK_INT(atomic_load(&door.admitted), 0);
    CHECK_INT(loops_refused(door.loops), 1);
}

TEST(proxy_v2_the_announced_client_is_refused_with_the_refusal)
{
    EchoDoor door AUTO(echo_stop) = { 0 };
    door_start(&door);
    door.admits = false;
    int fd = echo_client(&door);
    echo_say(fd, STR(SIGN "\x21\x11\0\x0c" FOUR));
    echo_hear(fd, STR("full\n"));
    echo_hear_end(fd);
    CHECK_STR(str_z(door.seen), STR("203.0.113.7:4660"));
    CHECK_INT(loops_refused(door.loops), 1);
    net_close(&fd);
}
