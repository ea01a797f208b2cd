/* Addresses as 16 bytes, networks as a prefix of them. */
#include "front/limit/ip.h"

#include <string.h>

enum { V4_BITS = 32, V6_BITS = 128, ADDRESS_CHARS_MAX = 64 };

static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

Ip ip_of(const NetAddress *address)
{
    Str host = net_address_host(address);
    Ip ip = { { 0 } };
    if (host.len == 4) {
        memcpy(ip.bytes, mapped, sizeof mapped);
        memcpy(ip.bytes + sizeof mapped, host.ptr, 4);
    } else if (host.len == sizeof ip.bytes) {
        memcpy(ip.bytes, host.ptr, sizeof ip.bytes);
    }
    return ip;
}

bool ip_is_v4(const Ip *ip)
{
    return memcmp(ip->bytes, mapped, sizeof mapped) == 0;
}

static bool digits_only(Str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        bool ok = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') ||
                  c == ':' || c == '.' || c == '[' || c == ']';
        if (!ok)
            return false;
    }
    return text.len > 0 && text.len <= ADDRESS_CHARS_MAX;
}

bool ip_parse(Str text, NetAddress *ret_address)
{
    if (!digits_only(text))
        return false;
    bool brackets = text.ptr[0] == '[', ends = text.ptr[text.len - 1] == ']';
    ptrdiff_t first = str_find_char(text, ':'), last = str_rfind_char(text, ':');
    bool bare_v6 = !brackets && first >= 0 && first != last;
    bool has_port = brackets ? !ends : !bare_v6 && first >= 0;
    if (first == 0 && !bare_v6)
        return false; /* ":80" is every address of the machine to net_address_parse */
    if (brackets && str_find_char(str_sub(text, 0, (size_t)MAX(str_find_char(text, ']'), 0)), ':') < 0)
        return false; /* no IPv6 in them */
    char room[ADDRESS_CHARS_MAX + 8];
    size_t len = 0;
    if (bare_v6)
        room[len++] = '[';
    memcpy(room + len, text.ptr, text.len);
    len += text.len;
    if (bare_v6)
        room[len++] = ']';
    if (!has_port) {
        memcpy(room + len, ":0", 2);
        len += 2;
    }
    Err err;
    err_clear(&err);
    return net_address_parse(str_of(room, len), ret_address, &err) == E_OK;
}

Str ip_format(const NetAddress *address, char *text)
{
    Str whole = net_address_format(address, text);
    ptrdiff_t colon = str_rfind_char(whole, ':');
    Str host = colon >= 0 ? str_sub(whole, 0, (size_t)colon) : whole;
    return str_starts(host, STR("[")) && host.len > 2 ? str_sub(host, 1, host.len - 2) : host;
}

static bool bits_behind_are_zero(const Ip *ip, unsigned bits)
{
    for (unsigned i = bits; i < V6_BITS; i++) {
        if (ip->bytes[i / 8] & 0x80 >> i % 8)
            return false;
    }
    return true;
}

Code ip_net_parse(Str text, IpNet *ret_net, Err *err)
{
    ptrdiff_t slash = str_find_char(text, '/');
    Str host = slash >= 0 ? str_sub(text, 0, (size_t)slash) : text;
    NetAddress address;
    IpNet net;
    if (!ip_parse(host, &address) || net_address_port(&address) != 0)
        return err_set(err, E_INVALID, "'" STR_FMT "' is no address or network", STR_ARG(text));
    net.ip = ip_of(&address);
    uint64_t bits, most = ip_is_v4(&net.ip) ? V4_BITS : V6_BITS;
    if (slash < 0)
        bits = most;
    else if (!str_u64(str_from(text, (size_t)slash + 1), &bits) || bits > most)
        return err_set(err, E_INVALID, "'" STR_FMT "' has no prefix of 0 to %d bits", STR_ARG(text),
                       (int)most);
    net.bits = (unsigned)(bits + V6_BITS - most);
    if (!bits_behind_are_zero(&net.ip, net.bits))
        return err_set(err, E_INVALID, "'" STR_FMT "' has bits behind its prefix", STR_ARG(text));
    *ret_net = net;
    return E_OK;
}

bool ip_nets_have(const IpNet *nets, size_t count, const Ip *ip)
{
    for (size_t i = 0; i < count; i++) {
        unsigned whole = nets[i].bits / 8, rest = nets[i].bits % 8;
        if (memcmp(nets[i].ip.bytes, ip->bytes, whole) != 0)
            continue;
        unsigned mask = 0xff00 >> rest & 0xff;
        if (rest == 0 || (nets[i].ip.bytes[whole] & mask) == (ip->bytes[whole] & mask))
            return true;
    }
    return false;
}
