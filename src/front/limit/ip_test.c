/* Addresses and networks as people write them. */
#include "front/limit/ip.h"

#include "base/test.h"

TEST(ip_addresses_with_and_without_ports)
{
    static const struct {
        const char *text, *wanted; /* NULL: none */
        uint16_t port;
    } rows[] = {
        { "10.1.2.3", "10.1.2.3", 0 }, { "10.1.2.3:80", "10.1.2.3", 80 },
        { "2001:db8::1", "2001:db8::1", 0 }, { "[2001:db8::1]", "2001:db8::1", 0 },
        { "[2001:DB8::1]:443", "2001:db8::1", 443 }, { "::1", "::1", 0 },
        { "", NULL, 0 }, { "localhost", NULL, 0 }, { "unknown", NULL, 0 }, { "_hidden", NULL, 0 },
        { "10.1.2", NULL, 0 }, { "10.1.2.256", NULL, 0 }, { "10.1.2.3:", NULL, 0 },
        { "10.1.2.3:65536", NULL, 0 }, { "10.1.2.3:x", NULL, 0 }, { "[::1", NULL, 0 }, { "::1]", NULL, 0 },
        { "[::1]x", NULL, 0 }, { "fe80::1%eth0", NULL, 0 }, { ":80", NULL, 0 }, { "[]", NULL, 0 },
        { "1:2:3:4:5:6:7:8:9", NULL, 0 }, { "10.1.2.3 ", NULL, 0 }, { "[10.1.2.3]", NULL, 0 },
        { "0000000000000000000000000000000000000000000000000000000000000000000000001", NULL, 0 },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        NetAddress address;
        char text[NET_ADDRESS_TEXT_MAX];
        bool got = ip_parse(str_z(rows[i].text), &address);
        if (got != (rows[i].wanted != NULL))
            test_failed(__FILE__, __LINE__, "'%s': %d", rows[i].text, got);
        if (!got || !rows[i].wanted)
            continue;
        CHECK_STR(ip_format(&address, text), str_z(rows[i].wanted));
        CHECK_INT(net_address_port(&address), rows[i].port);
    }
}

TEST(ip_networks)
{
    static const struct {
        const char *net, *inside, *outside;
    } rows[] = {
        { "10.0.0.0/8", "10.255.0.1", "11.0.0.1" }, { "192.168.4.0/22", "192.168.7.255", "192.168.8.0" },
        { "127.0.0.1", "127.0.0.1", "127.0.0.2" }, { "0.0.0.0/0", "8.8.8.8", "::1" },
        { "::1", "::1", "::2" }, { "2001:db8::/32", "2001:db8:ffff::1", "2001:db9::" },
        { "::/0", "::1", NULL }, { "fe80::/10", "febf::1", "fec0::1" }, { "10.0.0.128/25", "10.0.0.129", "10.0.0.1" },
        { "::ffff:10.0.0.0/8", "10.1.1.1", "11.1.1.1" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        IpNet net;
        Err err;
        NetAddress address;
        CHECK_OK(ip_net_parse(str_z(rows[i].net), &net, &err), &err);
        CHECK(ip_parse(str_z(rows[i].inside), &address));
        Ip ip = ip_of(&address);
        if (!ip_nets_have(&net, 1, &ip))
            test_failed(__FILE__, __LINE__, "%s lacks %s", rows[i].net, rows[i].inside);
        if (!rows[i].outside)
            continue;
        CHECK(ip_parse(str_z(rows[i].outside), &address));
        ip = ip_of(&address);
        if (ip_nets_have(&net, 1, &ip))
            test_failed(__FILE__, __LINE__, "%s has %s", rows[i].net, rows[i].outside);
    }
    static const char *const bad[] = { "", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.1/8",
                                       "::/129", "2001:db8::1/32", "10.0.0.1:80", "host", "10.0.0.0/8/8" };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        IpNet net;
        CHECK_CODE(ip_net_parse(str_z(bad[i]), &net, NULL), E_INVALID);
    }
}
