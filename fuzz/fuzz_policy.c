/* What HTTP's policy reads of a client's fields, and what it writes of them. The first byte chooses:
 * forwarded fields, trace context, Accept-Encoding, origins, networks, log lines. */
#include "format/json.h"
#include "front/http/http_access.h"
#include "front/http/http_cors.h"
#include "front/http/http_encode.h"
#include "front/http/http_forward.h"
#include "front/http/http_trace.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Whatever is left of the last trusted hop changes nothing: in front of the field stands a comma. */
static void forwarded(Str bytes)
{
    static const char *const peers[] = { "10.0.0.1:5", "9.9.9.9:5" };
    Arena arena AUTO(arena_done) = { 0 };
    HttpHead head;
    HttpRefusal refusal;
    size_t used;
    IpNet net;
    Err err;
    Str text = str_format(&arena, "GET / HTTP/1.1\r\nHost: x\r\n" STR_FMT "\r\n\r\n", STR_ARG(bytes));
    if (http_head_parse(text, &head, &used, &refusal) != HTTP_DONE)
        return;
    ASSERT(ip_net_parse(STR("10.0.0.0/8"), &net, &err) == E_OK);
    for (size_t i = 0; i < 4; i++) {
        NetAddress peer;
        Forward forward;
        Ip ip;
        ASSERT(net_address_parse(str_z(peers[i % 2]), &peer, &err) == E_OK);
        forward_find(&head, i / 2 ? FORWARD_RFC7239 : FORWARD_X, &peer, &net, 1, &forward);
        ip = ip_of(&forward.client);
        ASSERT(i % 2 == 0 || (!forward.told && !forward.scheme.ptr && !forward.host.ptr));
        ASSERT(forward.told || memcmp(&forward.client, &peer, sizeof peer) == 0);
        ASSERT(!forward.host.ptr || http_host_ok(forward.host));
        ASSERT(!forward.scheme.ptr || str_eq(forward.scheme, STR("http")) || str_eq(forward.scheme, STR("https")));
        char room[NET_ADDRESS_TEXT_MAX];
        NetAddress again;
        ASSERT(ip_parse(ip_format(&forward.client, room), &again));
        Ip same = ip_of(&again);
        ASSERT(memcmp(&ip, &same, sizeof ip) == 0);
    }
}

static void trace(Str bytes)
{
    TraceParent parent, again;
    char text[TRACE_PARENT_LEN];
    Buf state AUTO(buf_done) = { 0 }, twice AUTO(buf_done) = { 0 };
    buf_init(&state, 1 << 16);
    buf_init(&twice, 1 << 16);
    if (trace_parent_parse(bytes, &parent)) {
        ASSERT(trace_parent_parse(trace_parent_format(&parent, 7, text), &again));
        ASSERT(memcmp(parent.trace_id, again.trace_id, sizeof parent.trace_id) == 0 && parent.flags == again.flags);
    }
    if (trace_state_put(bytes, &state)) {
        ASSERT(state.len <= TRACE_STATE_BYTES_MAX && trace_state_put(buf_str(&state), &twice));
        ASSERT(str_eq(buf_str(&state), buf_str(&twice)));
    }
}

static void origin(Str bytes)
{
    static const Str named[] = { STR_INIT("https://a.example"), STR_INIT("https://*.example.org") };
    CorsRules rules;
    Err err;
    ASSERT(cors_rules_make(named, ARRAY_LEN(named), true, 0, &rules, &err) == E_OK);
    if (cors_allows(&rules, bytes))
        ASSERT(str_eq(bytes, named[0]) || (str_starts(bytes, STR("https://")) && str_ends(bytes, STR(".example.org")) &&
                                           str_find_char(str_from(bytes, 8), '/') < 0));
    if (cors_rules_make(&bytes, 1, false, 0, &rules, &err) == E_OK)
        ASSERT(rules.any || !memchr(bytes.ptr, '\n', bytes.len));
    if (cors_headers_ok(bytes))
        ASSERT(!memchr(bytes.ptr, '\r', bytes.len) && bytes.len <= CORS_HEADERS_BYTES_MAX);
}

static void net(Str bytes)
{
    IpNet got;
    Err err;
    if (ip_net_parse(bytes, &got, &err) == E_OK)
        ASSERT(got.bits <= 128 && ip_nets_have(&got, 1, &got.ip));
}

static void lines(Str bytes)
{
    Arena arena AUTO(arena_done) = { 0 };
    char to[ACCESS_LINE_MAX];
    const Json *json = NULL;
    Err err;
    AccessEntry entry = { .status = 200, .client = bytes, .method = bytes, .target = bytes, .protocol = bytes, .host = bytes,
                          .principal = bytes, .id = bytes, .referer = bytes, .agent = bytes, .refused = bytes };
    Str line = str_of(to, access_json(&entry, to));
    ASSERT(str_find_char(line, '\n') == (ptrdiff_t)line.len - 1);
    ASSERT(json_parse(&arena, str_sub(line, 0, line.len - 1), NULL, &json, &err) == E_OK);
    line = str_of(to, access_combined(&entry, to));
    size_t quotes = 0;
    for (size_t i = 0; i < line.len; i++) {
        quotes += line.ptr[i] == '"';
        ASSERT(i + 1 == line.len ? line.ptr[i] == '\n' : line.ptr[i] >= ' ' && line.ptr[i] < 127);
    }
    ASSERT(quotes == 6);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    Str bytes = str_of(data + 1, size - 1);
    int coding;
    switch (data[0] % 6) {
    case 0: forwarded(bytes); break;
    case 1: trace(bytes); break;
    case 2: origin(bytes); break;
    case 3: net(bytes); break;
    case 4: lines(bytes); break;
    default:
        coding = encode_choose(bytes);
        ASSERT(coding == ENCODE_IDENTITY || coding == ENCODE_GZIP || coding == ENCODE_ZSTD);
        IGNORE(encode_type_ok(bytes)); /* only that it ends */
    }
    return 0;
}
