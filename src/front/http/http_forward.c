/* Chains of proxies, read from the right.
 *
 * Each hop appends, so the element at the right is the word of the peer, the next one the word of the
 * hop that the first one names, and so on: an element counts when all hops to its right are trusted.
 * What stands further left is a client's own writing; it is never parsed, so no damage in it matters. */
#include "front/http/http_forward.h"

/* One field that may come in several lines, from its last element to its first. */
typedef struct Backwards {
    const HttpHead *head;
    Str name;
    size_t line;  /* lines from here on have been read */
    Str rest;     /* of the line that is read */
    bool open;
} Backwards;

/* Cuts the part behind the last comma that is in no quoted string. */
static Str last_part(Str *rest)
{
    bool quoted = false;
    for (size_t i = rest->len; i-- > 0;) {
        char c = rest->ptr[i];
        if (c == '"') {
            size_t slashes = 0;
            while (slashes < i && rest->ptr[i - 1 - slashes] == '\\')
                slashes++;
            quoted = slashes % 2 == 0 ? !quoted : quoted;
        } else if (c == ',' && !quoted) {
            Str part = str_from(*rest, i + 1);
            *rest = str_sub(*rest, 0, i);
            return str_trim(part);
        }
    }
    Str part = *rest;
    *rest = STR_NONE;
    return str_trim(part);
}

static bool back_next(Backwards *b, Str *ret_part)
{
    while (!b->open) {
        if (b->line == 0)
            return false;
        b->line--;
        b->open = str_ieq(http_field_name(b->head, b->line), b->name);
        b->rest = b->open ? http_field_value(b->head, b->line) : STR_NONE;
    }
    *ret_part = last_part(&b->rest);
    b->open = b->rest.ptr != NULL;
    return true;
}

/* `walk` over the hops: `client` moves on while who it is at the moment is trusted. */
typedef struct Walk {
    const IpNet *trusted;
    size_t trusted_count, hops;
    Forward *forward;
} Walk;

/* Whether the next element is the word of a trusted hop. */
static bool walk_trusts(Walk *walk)
{
    Ip ip = ip_of(&walk->forward->client);
    return walk->hops < FORWARD_HOPS_MAX && ip_nets_have(walk->trusted, walk->trusted_count, &ip);
}

/* False: who the hop names cannot be known, so the hop itself is the client. */
static bool walk_on(Walk *walk, Str node)
{
    NetAddress address;
    walk->hops++;
    if (!ip_parse(node, &address))
        return false;
    walk->forward->client = address;
    walk->forward->told = true;
    return true;
}

static Str scheme_of(Str value)
{
    return str_ieq(value, STR("https")) ? STR("https") : str_ieq(value, STR("http")) ? STR("http") : STR_NONE;
}

static Str host_of(Str value)
{
    return http_host_ok(value) ? value : STR_NONE;
}

/* ---- X-Forwarded-For, -Proto, -Host ---- */

/* The element that the hop which names the client wrote; a proxy that replaces instead of appending
 * leaves fewer elements than there are hops, and then it is the leftmost. */
static Str x_word(const HttpHead *head, Str name, size_t hops)
{
    Backwards b = { .head = head, .name = name, .line = head->field_count };
    Str part = STR_NONE, next;
    for (size_t i = 0; i < MAX(hops, (size_t)1) && back_next(&b, &next); i++)
        part = next;
    return part;
}

static void x_find(const HttpHead *head, Walk *walk)
{
    Backwards b = { .head = head, .name = STR("X-Forwarded-For"), .line = head->field_count };
    Str node;
    while (walk_trusts(walk) && back_next(&b, &node) && walk_on(walk, node))
        continue;
    walk->forward->scheme = scheme_of(x_word(head, STR("X-Forwarded-Proto"), walk->hops));
    walk->forward->host = host_of(x_word(head, STR("X-Forwarded-Host"), walk->hops));
}

/* ---- Forwarded ---- */

/* Cuts the part before the next ';' that is in no quoted string. */
static Str first_part(Str *rest)
{
    bool quoted = false;
    for (size_t i = 0; i < rest->len; i++) {
        char c = rest->ptr[i];
        if (c == '\\' && quoted)
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (c == ';' && !quoted) {
            Str part = str_sub(*rest, 0, i);
            *rest = str_from(*rest, i + 1);
            return str_trim(part);
        }
    }
    Str part = *rest;
    *rest = STR_NONE;
    return str_trim(part);
}

/* A token or a quoted string without escapes: addresses, hosts and schemes need none. */
static bool value_of(Str text, Str *ret_value)
{
    bool quoted = text.len >= 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"';
    *ret_value = quoted ? str_sub(text, 1, text.len - 2) : text;
    return str_find_char(*ret_value, '"') < 0 && str_find_char(*ret_value, '\\') < 0 &&
           (quoted || http_token_ok(text));
}

static void forwarded_find(const HttpHead *head, Walk *walk)
{
    Backwards b = { .head = head, .name = STR("Forwarded"), .line = head->field_count };
    Str element;
    bool known = true;
    while (known && walk_trusts(walk) && back_next(&b, &element)) {
        Str node = STR_NONE, value;
        while (element.ptr) {
            Str pair = first_part(&element);
            ptrdiff_t equals = str_find_char(pair, '=');
            Str name = str_sub(pair, 0, (size_t)MAX(equals, 0));
            bool is_for = str_ieq(name, STR("for")), is_proto = str_ieq(name, STR("proto"));
            if (!is_for && !is_proto && !str_ieq(name, STR("host")))
                continue;
            if (!value_of(str_from(pair, (size_t)equals + 1), &value))
                return;
            if (is_for)
                node = value;
            else if (is_proto)
                walk->forward->scheme = scheme_of(value).ptr ? scheme_of(value) : walk->forward->scheme;
            else if (host_of(value).ptr)
                walk->forward->host = value;
        }
        known = walk_on(walk, node);
    }
}

void forward_find(const HttpHead *head, ForwardKind kind, const NetAddress *peer, const IpNet *trusted,
                  size_t trusted_count, Forward *ret_forward)
{
    Walk walk = { .trusted = trusted, .trusted_count = trusted_count, .forward = ret_forward };
    *ret_forward = (Forward){ .client = *peer };
    if (trusted_count == 0 || !walk_trusts(&walk))
        return;
    if (kind == FORWARD_X)
        x_find(head, &walk);
    else
        forwarded_find(head, &walk);
}
