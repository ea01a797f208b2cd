/* Clients behind proxies: what is believed, what is spoofed, what is broken. */
#include "front/http/http_forward.h"

#include "base/test.h"

typedef struct Row {
    const char *name, *peer, *fields, *client, *scheme, *host;
    ForwardKind kind;
} Row;

#define X FORWARD_X
#define F FORWARD_RFC7239

static const Row rows[] = {
    { "no fields", "10.0.0.1:5", "", "10.0.0.1:5", "", "", X },
    { "one hop", "10.0.0.1:5", "X-Forwarded-For: 8.8.8.8\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: a.example\r\n",
      "8.8.8.8:0", "https", "a.example", X },
    { "peer is not trusted", "9.9.9.9:5", "X-Forwarded-For: 8.8.8.8\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\n",
      "9.9.9.9:5", "", "", X },
    { "spoofed left of the proxy", "10.0.0.1:5", "X-Forwarded-For: 127.0.0.1, 8.8.8.8\r\n", "8.8.8.8:0", "", "", X },
    { "spoofed trusted left of the client", "10.0.0.1:5", "X-Forwarded-For: 1.1.1.1, 10.0.0.7, 8.8.8.8\r\n", "8.8.8.8:0", "", "", X },
    { "two hops", "10.0.0.1:5", "X-Forwarded-For: 1.1.1.1, 8.8.8.8, 10.0.0.2\r\n", "8.8.8.8:0", "", "", X },
    { "two hops in two lines", "10.0.0.1:5", "X-Forwarded-For: 1.1.1.1, 8.8.8.8\r\nX-Forwarded-For: 10.0.0.2\r\n", "8.8.8.8:0", "", "", X },
    { "spoofed line before", "10.0.0.1:5", "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 8.8.8.8\r\n", "8.8.8.8:0", "", "", X },
    { "all trusted: the first", "10.0.0.1:5", "X-Forwarded-For: 10.0.0.3, 10.0.0.2\r\n", "10.0.0.3:0", "", "", X },
    { "rubbish stops at the hop", "10.0.0.1:5", "X-Forwarded-For: 8.8.8.8, unknown\r\n", "10.0.0.1:5", "", "", X },
    { "rubbish further left", "10.0.0.1:5", "X-Forwarded-For: <script>, \"x, 8.8.8.8\r\n", "8.8.8.8:0", "", "", X },
    { "an empty element", "10.0.0.1:5", "X-Forwarded-For: 8.8.8.8,\r\n", "10.0.0.1:5", "", "", X },
    { "a port", "10.0.0.1:5", "X-Forwarded-For: 8.8.8.8:77\r\n", "8.8.8.8:77", "", "", X },
    { "IPv6", "[fd00::1]:5", "X-Forwarded-For: 2001:db8::7\r\n", "[2001:db8::7]:0", "", "", X },
    { "IPv6 in brackets", "[fd00::1]:5", "X-Forwarded-For: [2001:db8::7]:9\r\n", "[2001:db8::7]:9", "", "", X },
    { "scheme of the hop that faces the client", "10.0.0.1:5",
      "X-Forwarded-For: 8.8.8.8, 10.0.0.2\r\nX-Forwarded-Proto: ftp, https, http\r\n", "8.8.8.8:0", "https", "", X },
    { "scheme replaced", "10.0.0.1:5", "X-Forwarded-For: 8.8.8.8, 10.0.0.2\r\nX-Forwarded-Proto: https\r\n", "8.8.8.8:0", "https", "", X },
    { "spoofed scheme left", "10.0.0.1:5", "X-Forwarded-For: 8.8.8.8\r\nX-Forwarded-Proto: https, http\r\n", "8.8.8.8:0", "http", "", X },
    { "scheme alone", "10.0.0.1:5", "X-Forwarded-Proto: HTTPS\r\n", "10.0.0.1:5", "https", "", X },
    { "a scheme that is none", "10.0.0.1:5", "X-Forwarded-Proto: javascript\r\n", "10.0.0.1:5", "", "", X },
    { "a host that is none", "10.0.0.1:5", "X-Forwarded-Host: a@b/c\r\n", "10.0.0.1:5", "", "", X },
    { "the other kind is the client's word", "10.0.0.1:5", "Forwarded: for=1.1.1.1;proto=https;host=evil\r\n", "10.0.0.1:5", "", "", X },
    { "the other kind beside", "10.0.0.1:5", "Forwarded: for=1.1.1.1\r\nX-Forwarded-For: 8.8.8.8\r\n", "8.8.8.8:0", "", "", X },
    { "Forwarded", "10.0.0.1:5", "Forwarded: for=8.8.8.8;proto=https;host=a.example;by=10.0.0.1\r\n", "8.8.8.8:0", "https", "a.example", F },
    { "Forwarded, X is ignored", "10.0.0.1:5", "X-Forwarded-For: 1.1.1.1\r\nForwarded: for=8.8.8.8\r\n", "8.8.8.8:0", "", "", F },
    { "Forwarded only X", "10.0.0.1:5", "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\n", "10.0.0.1:5", "", "", F },
    { "Forwarded quoted", "10.0.0.1:5", "Forwarded: For=\"[2001:db8::7]:9\" ; Proto=https\r\n", "[2001:db8::7]:9", "https", "", F },
    { "Forwarded two hops", "10.0.0.1:5", "Forwarded: for=1.1.1.1, for=8.8.8.8;proto=https, for=10.0.0.2;proto=http\r\n", "8.8.8.8:0", "https", "", F },
    { "Forwarded two lines", "10.0.0.1:5", "Forwarded: for=1.1.1.1, for=8.8.8.8\r\nForwarded: for=10.0.0.2\r\n", "8.8.8.8:0", "", "", F },
    { "Forwarded unknown", "10.0.0.1:5", "Forwarded: for=8.8.8.8, for=unknown\r\n", "10.0.0.1:5", "", "", F },
    { "Forwarded hidden", "10.0.0.1:5", "Forwarded: for=_x1;proto=https\r\n", "10.0.0.1:5", "https", "", F },
    { "Forwarded open quote left", "10.0.0.1:5", "Forwarded: for=\"1.1.1.1, for=8.8.8.8\r\n", "8.8.8.8:0", "", "", F },
    { "Forwarded comma in quotes", "10.0.0.1:5", "Forwarded: for=8.8.8.8;x=\"a, for=1.1.1.1\"\r\n", "8.8.8.8:0", "", "", F },
    { "Forwarded escaped quote", "10.0.0.1:5", "Forwarded: for=1.1.1.1;x=\"a\\\", for=8.8.8.8\r\n", "8.8.8.8:0", "", "", F },
    { "Forwarded escaped quote behind a comma", "10.0.0.1:5", "Forwarded: for=8.8.8.8;x=\"a, for=1.1.1.1\\\"b\"\r\n", "8.8.8.8:0", "", "", F },
    { "Forwarded semicolon in quotes", "10.0.0.1:5", "Forwarded: x=\"a;for=1.1.1.1\";for=8.8.8.8\r\n", "8.8.8.8:0", "", "", F },
    { "Forwarded broken", "10.0.0.1:5", "Forwarded: for\r\n", "10.0.0.1:5", "", "", F },
    { "Forwarded blanks", "10.0.0.1:5", "Forwarded: for = 8.8.8.8\r\n", "10.0.0.1:5", "", "", F },
    { "Forwarded not trusted", "9.9.9.9:5", "Forwarded: for=8.8.8.8;proto=https\r\n", "9.9.9.9:5", "", "", F },
};

TEST(forward_rows)
{
    IpNet nets[2];
    Err err;
    CHECK_OK(ip_net_parse(STR("10.0.0.0/8"), &nets[0], &err), &err);
    CHECK_OK(ip_net_parse(STR("fd00::/8"), &nets[1], &err), &err);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const Row *row = &rows[i];
        Arena arena AUTO(arena_done) = { 0 };
        HttpHead head;
        HttpRefusal refusal;
        size_t used;
        NetAddress peer;
        Forward forward;
        char text[NET_ADDRESS_TEXT_MAX];
        Str bytes = str_format(&arena, "GET / HTTP/1.1\r\nHost: x\r\n%s\r\n", row->fields);
        CHECK_INT(http_head_parse(bytes, &head, &used, &refusal), HTTP_DONE);
        CHECK_OK(net_address_parse(str_z(row->peer), &peer, &err), &err);
        forward_find(&head, row->kind, &peer, nets, ARRAY_LEN(nets), &forward);
        Str client = net_address_format(&forward.client, text);
        if (!str_eq(client, str_z(row->client)) || !str_eq(forward.scheme, str_z(row->scheme)) ||
            !str_eq(forward.host, str_z(row->host)))
            test_failed(__FILE__, __LINE__, "%s: " STR_FMT " '" STR_FMT "' '" STR_FMT "'", row->name,
                        STR_ARG(client), STR_ARG(forward.scheme), STR_ARG(forward.host));
        CHECK_INT(forward.told, !str_eq(client, str_z(row->peer)));
    }
}

TEST(forward_a_chain_without_end_is_cut)
{
    Arena arena AUTO(arena_done) = { 0 };
    Buf bytes AUTO(buf_done) = { 0 };
    buf_init(&bytes, 1 << 16);
    buf_put(&bytes, STR("GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 8.8.8.8"));
    for (int i = 0; i < 100; i++)
        buf_format(&bytes, ", 10.0.1.%d", i);
    buf_put(&bytes, STR("\r\n\r\n"));
    HttpHead head;
    HttpRefusal refusal;
    size_t used;
    CHECK_INT(http_head_parse(buf_str(&bytes), &head, &used, &refusal), HTTP_DONE);
    NetAddress peer;
    IpNet net;
    Err err;
    Forward forward;
    char text[NET_ADDRESS_TEXT_MAX];
    CHECK_OK(net_address_parse(STR("10.0.0.1:5"), &peer, &err), &err);
    CHECK_OK(ip_net_parse(STR("10.0.0.0/8"), &net, &err), &err);
    forward_find(&head, FORWARD_X, &peer, &net, 1, &forward);
    CHECK_STR(net_address_format(&forward.client, text), STR("10.0.1.84:0"));
}
