/* Which hosts and addresses a request of a user may reach: the special blocks of the IANA registries for
 * IPv4 and IPv6 are kept away, whatever form they are written in. */
#include "os/fetch.h"

#include <arpa/inet.h>
#include <string.h>

enum { HOST_MAX = 255, BITS = 128, BITS_BEFORE_FOUR = 96 };

/* The first `bits` of an address of 16 bytes; IPv4 as ::ffff:a.b.c.d. */
typedef struct Network {
    uint8_t bytes[16];
    unsigned bits;
} Network;

struct FetchRulesTable {
    Arena arena;
    Str *hosts;
    size_t host_count;
    Network *networks;
    size_t network_count;
};

#define FOUR(a, b, c, d) { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d }

/* Not for the public: RFC 6890 and the registry behind it. */
static const Network special_four[] = {
    { FOUR(0, 0, 0, 0), 96 + 8 },       /* this network */
    { FOUR(10, 0, 0, 0), 96 + 8 },      /* private */
    { FOUR(100, 64, 0, 0), 96 + 10 },   /* shared: carriers */
    { FOUR(127, 0, 0, 0), 96 + 8 },     /* loopback */
    { FOUR(169, 254, 0, 0), 96 + 16 },  /* link-local, metadata of clouds */
    { FOUR(172, 16, 0, 0), 96 + 12 },   /* private */
    { FOUR(192, 0, 0, 0), 96 + 24 },    /* protocol assignments */
    { FOUR(192, 0, 2, 0), 96 + 24 },    /* documentation */
    { FOUR(192, 88, 99, 0), 96 + 24 },  /* 6to4 relays */
    { FOUR(192, 168, 0, 0), 96 + 16 },  /* private */
    { FOUR(198, 18, 0, 0), 96 + 15 },   /* benchmarks */
    { FOUR(198, 51, 100, 0), 96 + 24 }, /* documentation */
    { FOUR(203, 0, 113, 0), 96 + 24 },  /* documentation */
    { FOUR(224, 0, 0, 0), 96 + 4 },     /* multicast */
    { FOUR(240, 0, 0, 0), 96 + 4 },     /* reserved, broadcast */
};

/* Of IPv6 only 2000::/3 is public, without these. */
static const Network public_six = { { 0x20 }, 3 };
static const Network special_six[] = {
    { { 0x20, 0x01, 0x00, 0x00 }, 23 },       /* protocol assignments, Teredo */
    { { 0x20, 0x01, 0x0d, 0xb8 }, 32 },       /* documentation */
    { { 0x20, 0x02 }, 16 },                   /* 6to4: an IPv4 address inside */
    { { 0x3f, 0xff, 0x00, 0x00 }, 20 },       /* documentation */
};
static const Network mapped_four = { FOUR(0, 0, 0, 0), 96 };
static const Network nat64 = { { 0x00, 0x64, 0xff, 0x9b }, 96 }; /* an IPv4 address behind it */

static bool network_has(const Network *network, const uint8_t bytes[16])
{
    unsigned whole = network->bits / 8, rest = network->bits % 8;
    if (memcmp(network->bytes, bytes, whole) != 0)
        return false;
    return rest == 0 || (network->bytes[whole] ^ bytes[whole]) >> (8 - rest) == 0;
}

static bool any_has(const Network *networks, size_t count, const uint8_t bytes[16])
{
    for (size_t i = 0; i < count; i++) {
        if (network_has(&networks[i], bytes))
            return true;
    }
    return false;
}

static bool is_public(const uint8_t bytes[16])
{
    uint8_t inner[16] = FOUR(0, 0, 0, 0);
    memcpy(inner + 12, bytes + 12, 4);
    if (network_has(&mapped_four, bytes) || network_has(&nat64, bytes))
        return !any_has(special_four, ARRAY_LEN(special_four), inner);
    return network_has(&public_six, bytes) &&
           !any_has(special_six, ARRAY_LEN(special_six), bytes);
}

/* "10.0.0.0/8", "fd00::/8", "127.0.0.1" */
static Code network_parse(Str text, Network *ret_network, Err *err)
{
    char host[INET6_ADDRSTRLEN + 1];
    uint8_t bytes[16] = FOUR(0, 0, 0, 0);
    ptrdiff_t slash = str_find_char(text, '/');
    Str name = str_trim(slash < 0 ? text : str_sub(text, 0, (size_t)slash));
    uint64_t bits = 0, most = BITS;
    bool ok = name.len > 0 && name.len < sizeof host;
    if (ok) {
        memcpy(host, name.ptr, name.len);
        host[name.len] = 0;
        bool four = inet_pton(AF_INET, host, bytes + 12) == 1;
        most = four ? BITS - BITS_BEFORE_FOUR : BITS;
        bits = most;
        ok = (four || inet_pton(AF_INET6, host, bytes) == 1) &&
             (slash < 0 || (str_u64(str_trim(str_from(text, (size_t)slash + 1)), &bits) && bits <= most));
    }
    if (!ok)
        return err_hint(err, err_set(err, E_INVALID, "'" STR_FMT "' is no network", STR_ARG(text)),
                        "10.1.0.0/16, fd00::/8 or 127.0.0.1");
    *ret_network = (Network){ .bits = (unsigned)(bits + (BITS - most)) };
    memcpy(ret_network->bytes, bytes, sizeof bytes);
    return E_OK;
}

Code fetch_rules_new(const FetchRules *rules, FetchRulesTable **ret_table, Err *err)
{
    if (rules->host_count > FETCH_RULES_MAX || rules->network_count > FETCH_RULES_MAX)
        return err_set(err, E_LIMIT, "more than %d hosts or networks", FETCH_RULES_MAX);
    FetchRulesTable *table AUTO(fetch_rules_free) = mem_new(sizeof *table);
    table->hosts = arena_array(&table->arena, Str, rules->host_count + 1);
    table->networks = arena_array(&table->arena, Network, rules->network_count + 1);
    for (size_t i = 0; i < rules->host_count; i++) {
        if (rules->hosts[i].len == 0 || rules->hosts[i].len > HOST_MAX)
            return err_set(err, E_INVALID, "a host of the list is empty or too long");
        table->hosts[table->host_count++] = str_copy(&table->arena, rules->hosts[i]);
    }
    for (size_t i = 0; i < rules->network_count; i++)
        TRY(network_parse(rules->networks[i], &table->networks[table->network_count++], err));
    *ret_table = TAKE(table);
    return E_OK;
}

void fetch_rules_free(FetchRulesTable **table)
{
    if (*table)
        arena_done(&(*table)->arena);
    mem_free(table);
}

bool fetch_rules_host(const FetchRulesTable *table, Str host)
{
    if (str_ends(host, STR(".")))
        host = str_sub(host, 0, host.len - 1);
    for (size_t i = 0; i < table->host_count; i++) {
        Str rule = table->hosts[i];
        if (str_ieq(rule, host))
            return true;
        if (!str_starts(rule, STR("*.")) || host.len < rule.len)
            continue;
        if (str_ieq(str_from(host, host.len - (rule.len - 1)), str_from(rule, 1)))
            return true;
    }
    return table->host_count == 0;
}

bool fetch_rules_address(const FetchRulesTable *table, const NetAddress *address)
{
    uint8_t bytes[16];
    net_address_bytes(address, bytes);
    return is_public(bytes) || any_has(table->networks, table->network_count, bytes);
}
