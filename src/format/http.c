/* Heads: one pass over the bytes, each looked at once.
 *
 * Invariants:
 * 1. A refusal is decided by the first byte that makes it certain, or at the head's last byte: the
 *    answer is the same however the bytes were cut.
 * 2. `fields` are positions, so that a head whose bytes are copied needs no walk over them. */
#include "format/http_priv.h"

#include <string.h>

enum { LENGTH_DIGITS_MAX = 18 };

const uint8_t http_byte_class[256] = {
    ['\t'] = HTTP_IN_VALUE,
    [' '] = HTTP_IN_VALUE,
    ['!'] = HTTP_IN_ALL,
    ['"'] = HTTP_IN_VALUE | HTTP_IN_TARGET,
    ['#'] = HTTP_IN_VALUE | HTTP_IN_TOKEN,
    ['$' ... '\''] = HTTP_IN_ALL,
    ['(' ... ')'] = HTTP_IN_VALUE | HTTP_IN_TARGET,
    ['*' ... '+'] = HTTP_IN_ALL,
    [','] = HTTP_IN_VALUE | HTTP_IN_TARGET,
    ['-' ... '.'] = HTTP_IN_ALL | HTTP_IN_NAME,
    ['/'] = HTTP_IN_VALUE | HTTP_IN_TARGET,
    ['0' ... '9'] = HTTP_IN_ALL | HTTP_IN_NAME,
    [':' ... '@'] = HTTP_IN_VALUE | HTTP_IN_TARGET,
    ['A' ... 'Z'] = HTTP_IN_ALL | HTTP_IN_NAME,
    ['[' ... ']'] = HTTP_IN_VALUE | HTTP_IN_TARGET,
    ['^'] = HTTP_IN_ALL,
    ['_'] = HTTP_IN_ALL | HTTP_IN_NAME,
    ['`'] = HTTP_IN_ALL,
    ['a' ... 'z'] = HTTP_IN_ALL | HTTP_IN_NAME,
    ['{'] = HTTP_IN_VALUE | HTTP_IN_TARGET,
    ['|'] = HTTP_IN_ALL,
    ['}'] = HTTP_IN_VALUE | HTTP_IN_TARGET,
    ['~'] = HTTP_IN_ALL | HTTP_IN_NAME,
    [0x80 ... 0xFF] = HTTP_IN_VALUE,
};

static bool all_in(Str s, uint8_t class)
{
    for (size_t i = 0; i < s.len; i++)
        if (!http_byte_in(s.ptr[i], class))
            return false;
    return true;
}

bool http_token_ok(Str s)
{
    return s.len > 0 && all_in(s, HTTP_IN_TOKEN);
}

bool http_value_ok(Str s)
{
    return all_in(s, HTTP_IN_VALUE);
}

/* Why the byte that ended a scan may not stand there. */
static HttpStep refuse_byte(HttpRefusal *ret_refusal, char c, const char *text)
{
    if (c == '\n')
        text = "a line ends without CR";
    else if (c == 0)
        text = "a NUL in the head";
    return http_refuse(ret_refusal, 400, text);
}

/* ---- hosts (RFC 3986 3.2.2) ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* Four numbers of at most 255 without leading zeros. */
static bool ipv4_ok(Str s)
{
    Str part;
    int parts = 0;
    while (str_split(&s, '.', &part)) {
        uint64_t number;
        if (++parts > 4 || part.len > 3 || !str_u64(part, &number) || number > 255 ||
            (part.len > 1 && part.ptr[0] == '0'))
            return false;
    }
    return parts == 4;
}

/* Eight groups of at most four digits, or fewer with one `::`; the last two may be an IPv4. */
static bool ipv6_ok(Str s)
{
    int groups = 0;
    bool gap = false;
    while (s.len > 0) {
        if (str_starts(s, STR("::"))) {
            if (gap)
                return false;
            gap = true;
            s = str_from(s, 2);
            if (s.len > 0 && s.ptr[0] == ':')
                return false;
            continue;
        }
        if (groups > 0 && s.ptr[0] == ':')
            s = str_from(s, 1);
        size_t len = 0;
        while (len < s.len && is_hex(s.ptr[len]))
            len++;
        if (len < s.len && s.ptr[len] == '.')
            return ipv4_ok(s) && (gap ? groups < 6 : groups == 6);
        if (len == 0 || len > 4 || (len < s.len && s.ptr[len] != ':'))
            return false;
        groups++;
        s = str_from(s, len);
    }
    return gap ? groups < 8 : groups == 8;
}

/* Where the host ends and the port, or nothing, begins; 0: no host. */
static size_t host_len(Str s)
{
    size_t len = 0;
    if (s.len > 0 && s.ptr[0] == '[') {
        ptrdiff_t end = str_find_char(s, ']');
        return end > 0 && ipv6_ok(str_sub(s, 1, (size_t)end - 1)) ? (size_t)end + 1 : 0;
    }
    while (len < s.len && http_byte_in(s.ptr[len], HTTP_IN_NAME))
        len++;
    return len;
}

static bool port_ok(Str port)
{
    uint64_t number = 0;
    return port.len == 0 ||
           (is_digit(port.ptr[0]) && port.len <= 5 && str_u64(port, &number) && number <= 65535);
}

bool http_host_ok(Str s)
{
    size_t len = host_len(s);
    return len > 0 && (len == s.len || (s.ptr[len] == ':' && port_ok(str_from(s, len + 1))));
}

/* The same host, and the same port when that of the scheme is the one left out. */
static bool same_authority(Str scheme, Str a, Str b)
{
    size_t a_len = host_len(a), b_len = host_len(b);
    Str standard = scheme.len == 5 ? STR("443") : STR("80");
    Str a_port = str_from(a, a_len + 1), b_port = str_from(b, b_len + 1);
    return str_ieq(str_sub(a, 0, a_len), str_sub(b, 0, b_len)) &&
           str_eq(a_port.len ? a_port : standard, b_port.len ? b_port : standard);
}

/* ---- request line ---- */

/* Every `%` of a path has two digits: what decodes it later cannot fail halfway. */
static bool escapes_ok(Str path)
{
    const char *end = path.ptr + path.len;
    for (const char *at = path.ptr; (at = memchr(at, '%', (size_t)(end - at))); at += 3)
        if (end - at < 3 || !is_hex(at[1]) || !is_hex(at[2]))
            return false;
    return true;
}

static HttpStep parse_absolute(HttpHead *head, Str *ret_rest, HttpRefusal *ret_refusal)
{
    size_t scheme = str_istarts(head->target, STR("http://"))    ? 4
                    : str_istarts(head->target, STR("https://")) ? 5
                                                                 : 0;
    if (scheme == 0)
        return http_refuse(ret_refusal, 400, "the request target must start with /");
    Str rest = str_from(head->target, scheme + 3);
    size_t len = 0;
    while (len < rest.len && rest.ptr[len] != '/' && rest.ptr[len] != '?')
        len++;
    head->form = HTTP_ABSOLUTE;
    head->scheme = str_sub(head->target, 0, scheme);
    head->host = str_sub(rest, 0, len);
    *ret_rest = str_from(rest, len);
    if (!http_host_ok(head->host))
        return http_refuse(ret_refusal, 400, "no host in the request target");
    return HTTP_DONE;
}

/* The shape of a target whose bytes may all stand in one. */
static HttpStep target_shape(HttpHead *head, HttpRefusal *ret_refusal)
{
    Str rest = head->target;
    if (rest.ptr[0] != '/') {
        if (str_eq(rest, STR("*")) && str_eq(head->method, STR("OPTIONS")))
            head->form = HTTP_ASTERISK;
        else if (parse_absolute(head, &rest, ret_refusal) != HTTP_DONE)
            return HTTP_REFUSE;
    }
    const char *mark = rest.len > 0 ? memchr(rest.ptr, '?', rest.len) : NULL;
    head->path = rest;
    if (mark) {
        head->path.len = (size_t)(mark - rest.ptr);
        head->query = str_of(mark + 1, rest.len - head->path.len - 1);
    }
    if (head->path.len == 0)
        head->path = STR("/");
    if (!escapes_ok(head->path))
        return http_refuse(ret_refusal, 400, "a % in the path without two hexadecimal digits");
    return HTTP_DONE;
}

HttpStep http_target_parse(HttpHead *head, HttpRefusal *ret_refusal)
{
    if (head->target.len == 0)
        return http_refuse(ret_refusal, 400, "no request target");
    if (head->target.len > HTTP_TARGET_MAX)
        return http_refuse(ret_refusal, 414, "the request target is too long");
    if (!all_in(head->target, HTTP_IN_TARGET))
        return http_refuse(ret_refusal, 400, "a byte that may not stand in a request target");
    return target_shape(head, ret_refusal);
}

/* CONNECT has a host and port for a target (RFC 9112 3.2.3); we are no tunnel. */
static HttpStep refuse_connect(Str target, HttpRefusal *ret_refusal)
{
    size_t len = host_len(target);
    if (!http_host_ok(target) || len + 1 >= target.len)
        return http_refuse(ret_refusal, 400, "the target of CONNECT is not HOST:PORT");
    return http_refuse(ret_refusal, 501, "CONNECT is not done here");
}

typedef struct Cursor {
    const char *at, *end;
} Cursor;

/* The bytes of one class from the cursor on, which then stands at the first that is not. */
static Str scan(Cursor *in, uint8_t class)
{
    const char *start = in->at, *at = start, *end = in->end;
    while (at < end && http_byte_in(*at, class))
        at++;
    in->at = at;
    return str_of(start, (size_t)(at - start));
}

/* The same for HTTP_IN_VALUE, eight bytes at a time as long as none of them is below 0x20 or 0x7F.
 */
static Str scan_value(Cursor *in)
{
    const uint64_t ones = UINT64_MAX / 255, tops = ones * 0x80;
    const char *start = in->at;
    for (uint64_t word; in->end - in->at >= 8; in->at += 8) {
        memcpy(&word, in->at, 8);
        uint64_t deletes = word ^ ones * 0x7F;
        if ((((word - ones * 0x20) & ~word) | ((deletes - ones) & ~deletes)) & tops)
            break;
    }
    scan(in, HTTP_IN_VALUE);
    return str_of(start, (size_t)(in->at - start));
}

/* `HTTP/1.1` CR LF. */
static HttpStep parse_version(Cursor *in, int *ret_minor, HttpRefusal *ret_refusal)
{
    static const char shape[] = "HTTP/0.0\r\n";
    size_t left = (size_t)(in->end - in->at), len = MIN(left, sizeof shape - 1);
    const char *text = in->at;
    for (size_t i = 0; i < len; i++)
        if (shape[i] == '0' ? !is_digit(text[i]) : text[i] != shape[i])
            return refuse_byte(ret_refusal, text[i],
                               "the request line does not end with a version of HTTP");
    if (len < sizeof shape - 1)
        return HTTP_MORE;
    if (text[5] != '1' || text[7] > '1')
        return http_refuse(ret_refusal, 505, "only HTTP/1.0 and HTTP/1.1");
    *ret_minor = text[7] - '0';
    in->at += len;
    return HTTP_DONE;
}

static HttpStep parse_request_line(Cursor *in, HttpHead *head, HttpRefusal *ret_refusal)
{
    head->method = scan(in, HTTP_IN_TOKEN);
    if (head->method.len > HTTP_METHOD_MAX)
        return http_refuse(ret_refusal, 400, "the method is too long");
    if (in->at == in->end)
        return HTTP_MORE;
    if (*in->at != ' ' || head->method.len == 0)
        return refuse_byte(ret_refusal, *in->at, "the request line does not begin with a method");
    in->at++;
    head->target = scan(in, HTTP_IN_TARGET);
    if (head->target.len > HTTP_TARGET_MAX)
        return http_refuse(ret_refusal, 414, "the request target is too long");
    if (in->at == in->end)
        return HTTP_MORE;
    if (head->target.len == 0)
        return refuse_byte(ret_refusal, *in->at, "no request target behind one space");
    if (*in->at != ' ')
        return refuse_byte(ret_refusal, *in->at,
                           *in->at == '\r' ? "the request line has no version of HTTP"
                                           : "a byte that may not stand in a request target");
    in->at++;
    HttpStep step = parse_version(in, &head->minor_version, ret_refusal);
    if (step != HTTP_DONE)
        return step;
    if (str_eq(head->method, STR("CONNECT")))
        return refuse_connect(head->target, ret_refusal);
    return target_shape(head, ret_refusal);
}

/* ---- fields ---- */

#define KNOWN_TEXT(name, text) STR_INIT(text),
static const Str known_names[] = { HTTP_KNOWN_FIELDS(KNOWN_TEXT) };

/* By the length of a name: where in known_names those of this length begin. */
enum { KNOWN_LEN_MAX = 29 };
static const uint8_t known_start[KNOWN_LEN_MAX + 2] = {
    [5] = HTTP_FIELD_RANGE,
    [6] = HTTP_FIELD_ACCEPT,
    [7] = HTTP_FIELD_UPGRADE,
    [8] = HTTP_FIELD_IF_MATCH,
    [9] = HTTP_FIELD_FORWARDED,
    [10] = HTTP_FIELD_CONNECTION,
    [11] = HTTP_FIELD_TRACEPARENT,
    [12] = HTTP_FIELD_CONTENT_TYPE,
    [13] = HTTP_FIELD_AUTHORIZATION,
    [14] = HTTP_FIELD_CONTENT_LENGTH,
    [15] = HTTP_FIELD_ACCEPT_ENCODING,
    [16] = HTTP_FIELD_CONTENT_ENCODING,
    [17] = HTTP_FIELD_IF_MODIFIED_SINCE,
    [18 ... KNOWN_LEN_MAX] = HTTP_FIELD_AC_REQUEST_METHOD,
    [KNOWN_LEN_MAX + 1] = HTTP_KNOWN_COUNT,
};

/* `known` has letters and dashes only, so that setting 0x20 in both makes no two tokens alike that
 * are not. */
static bool is_known(Str name, Str known)
{
    for (size_t i = 0; i < name.len; i++)
        if ((name.ptr[i] | 0x20) != (known.ptr[i] | 0x20))
            return false;
    return true;
}

/* HTTP_KNOWN_COUNT: none of them. */
static size_t known_find(Str name)
{
    if (name.len > KNOWN_LEN_MAX)
        return HTTP_KNOWN_COUNT;
    for (size_t i = known_start[name.len]; i < known_start[name.len + 1]; i++)
        if (is_known(name, known_names[i]))
            return i;
    return HTTP_KNOWN_COUNT;
}

HttpStep http_head_add(HttpHead *head, Str name, Str value, HttpRefusal *ret_refusal)
{
    if (head->field_count == HTTP_FIELDS_MAX)
        return http_refuse(ret_refusal, 431, "too many header fields");
    size_t name_at = (size_t)(name.ptr - head->bytes), value_at = (size_t)(value.ptr - head->bytes);
    ASSERT(name_at + name.len <= UINT16_MAX && value_at + value.len <= UINT16_MAX);
    head->fields[head->field_count++] = (HttpField){ (uint16_t)name_at, (uint16_t)name.len,
                                                     (uint16_t)value_at, (uint16_t)value.len };
    size_t known = known_find(name);
    if (known == HTTP_KNOWN_COUNT)
        return HTTP_DONE;
    if (head->known[known])
        head->twice |= 1U << known;
    else
        head->known[known] = (uint8_t)head->field_count;
    return HTTP_DONE;
}

/* One line, the cursor at its first byte, which is no CR. */
static HttpStep parse_field(Cursor *in, HttpHead *head, HttpRefusal *ret_refusal)
{
    if (head->field_count == HTTP_FIELDS_MAX)
        return http_refuse(ret_refusal, 431, "too many header fields");
    if (*in->at == ' ' || *in->at == '\t')
        return http_refuse(ret_refusal, 400, "a header field goes on in the next line");
    Str name = scan(in, HTTP_IN_TOKEN);
    if (in->at == in->end)
        return HTTP_MORE;
    if (*in->at != ':' || name.len == 0)
        return refuse_byte(ret_refusal, *in->at, "a header name is not a token with a colon");
    in->at++;
    while (in->at < in->end && (*in->at == ' ' || *in->at == '\t'))
        in->at++;
    Str value = scan_value(in);
    if (in->at == in->end)
        return HTTP_MORE;
    if (*in->at != '\r')
        return refuse_byte(ret_refusal, *in->at, "a control character in a header value");
    if (in->end - in->at < 2)
        return HTTP_MORE;
    if (in->at[1] != '\n')
        return http_refuse(ret_refusal, 400, "a CR without LF in the head");
    in->at += 2;
    while (value.len > 0 && (value.ptr[value.len - 1] == ' ' || value.ptr[value.len - 1] == '\t'))
        value.len--;
    return http_head_add(head, name, value, ret_refusal);
}

Str http_field_name(const HttpHead *head, size_t at)
{
    return str_of(head->bytes + head->fields[at].name_at, head->fields[at].name_len);
}

Str http_field_value(const HttpHead *head, size_t at)
{
    return str_of(head->bytes + head->fields[at].value_at, head->fields[at].value_len);
}

Str http_known(const HttpHead *head, HttpKnown known)
{
    return head->known[known] ? http_field_value(head, head->known[known] - 1U) : STR_NONE;
}

Str http_field(const HttpHead *head, Str name)
{
    size_t known = known_find(name);
    if (known < HTTP_KNOWN_COUNT)
        return http_known(head, (HttpKnown)known);
    for (size_t i = 0; i < head->field_count; i++)
        if (head->fields[i].name_len == name.len && str_ieq(http_field_name(head, i), name))
            return http_field_value(head, i);
    return STR_NONE;
}

bool http_list_has(Str value, Str token)
{
    Str part;
    while (str_split(&value, ',', &part))
        if (str_ieq(http_trim(part), token))
            return true;
    return false;
}

/* ---- what the fields say together ---- */

static bool came_twice(const HttpHead *head, HttpKnown known)
{
    return (head->twice >> known & 1) != 0;
}

HttpStep http_length_parse(HttpHead *head, HttpRefusal *ret_refusal)
{
    Str value = http_known(head, HTTP_FIELD_CONTENT_LENGTH);
    if (!value.ptr)
        return HTTP_DONE;
    if (came_twice(head, HTTP_FIELD_CONTENT_LENGTH))
        return http_refuse(ret_refusal, 400, "the length of the body is given twice");
    uint64_t length = 0;
    bool ok = value.len > 0 && value.len <= LENGTH_DIGITS_MAX;
    for (size_t i = 0; ok && i < value.len; i++) {
        ok = is_digit(value.ptr[i]);
        length = length * 10 + (uint64_t)(value.ptr[i] - '0');
    }
    if (!ok)
        return http_refuse(ret_refusal, 400, "Content-Length is not a number of at most 18 digits");
    head->content_length = length;
    head->has_length = true;
    return HTTP_DONE;
}

/* 501 for a coding that we do not know, 400 for what is no list that ends with one `chunked`. */
static HttpStep refuse_coding(Str value, HttpRefusal *ret_refusal)
{
    Str part = STR_NONE;
    bool chunked = false, sound = true;
    while (str_split(&value, ',', &part)) {
        part = http_trim(part);
        sound = sound && !chunked && http_token_ok(part);
        chunked = str_ieq(part, STR("chunked"));
    }
    if (sound && !chunked && str_ieq(part, STR("identity")))
        sound = false;
    return sound ? http_refuse(ret_refusal, 501, "only the transfer coding chunked")
                 : http_refuse(ret_refusal, 400, "Transfer-Encoding is not a list of codings");
}

/* RFC 9112 6.1 to 6.3, and stricter: one length and no second opinion. */
static HttpStep check_framing(HttpHead *head, HttpRefusal *ret_refusal)
{
    Str coding = http_known(head, HTTP_FIELD_TRANSFER_ENCODING);
    if (coding.ptr &&
        (head->known[HTTP_FIELD_CONTENT_LENGTH] || came_twice(head, HTTP_FIELD_TRANSFER_ENCODING)))
        return http_refuse(ret_refusal, 400, "the length of the body is given twice");
    if (coding.ptr && head->minor_version == 0)
        return http_refuse(ret_refusal, 400, "HTTP/1.0 has no Transfer-Encoding");
    if (coding.ptr && !str_ieq(coding, STR("chunked")))
        return refuse_coding(coding, ret_refusal);
    head->chunked = coding.ptr != NULL;
    return http_length_parse(head, ret_refusal);
}

/* RFC 9112 3.2, 3.3: empty only where the target names no resource, or from HTTP/1.0. */
static HttpStep check_host(HttpHead *head, HttpRefusal *ret_refusal)
{
    Str host = http_known(head, HTTP_FIELD_HOST);
    if (came_twice(head, HTTP_FIELD_HOST))
        return http_refuse(ret_refusal, 400, "two Host fields");
    if (!host.ptr && head->minor_version == 1)
        return http_refuse(ret_refusal, 400, "no Host field");
    bool may_be_empty = head->minor_version == 0 || head->form == HTTP_ASTERISK;
    if (host.ptr && !http_host_ok(host) && !(host.len == 0 && may_be_empty))
        return http_refuse(ret_refusal, 400, "the Host field is not a host");
    if (head->form != HTTP_ABSOLUTE)
        head->host = host;
    else if (host.len > 0 && !same_authority(head->scheme, head->host, host))
        return http_refuse(ret_refusal, 400, "the Host field and the request target differ");
    return HTTP_DONE;
}

/* In any of the Connection fields. */
static bool connection_has(const HttpHead *head, Str token)
{
    size_t first = head->known[HTTP_FIELD_CONNECTION];
    if (first == 0)
        return false;
    if (!came_twice(head, HTTP_FIELD_CONNECTION))
        return http_list_has(http_field_value(head, first - 1), token);
    for (size_t i = first - 1; i < head->field_count; i++)
        if (str_ieq(http_field_name(head, i), STR("Connection")) &&
            http_list_has(http_field_value(head, i), token))
            return true;
    return false;
}

static HttpStep check_connection(HttpHead *head, HttpRefusal *ret_refusal)
{
    bool newest = head->minor_version == 1;
    head->keep_alive =
        newest ? !connection_has(head, STR("close"))
               : connection_has(head, STR("keep-alive")) && !connection_has(head, STR("close"));
    head->upgrades =
        newest && head->known[HTTP_FIELD_UPGRADE] && connection_has(head, STR("upgrade"));
    if (came_twice(head, HTTP_FIELD_AUTHORIZATION))
        return http_refuse(ret_refusal, 400, "two Authorization fields");
    Str expect = http_known(head, HTTP_FIELD_EXPECT);
    if (!expect.ptr || !newest)
        return HTTP_DONE;
    if (came_twice(head, HTTP_FIELD_EXPECT))
        return http_refuse(ret_refusal, 417, "only Expect: 100-continue");
    head->expects_other = !str_ieq(expect, STR("100-continue"));
    head->expects_continue =
        !head->expects_other && (head->chunked || head->content_length > 0);
    return HTTP_DONE;
}

/* ---- heads ---- */

/* What ends at the cursor: an empty line (HTTP_DONE), nothing yet (HTTP_MORE with the cursor at a
 * byte of something else, or at the end). */
static HttpStep empty_line(Cursor *in, HttpRefusal *ret_refusal)
{
    if (in->at == in->end || *in->at != '\r')
        return HTTP_MORE;
    if (in->end - in->at < 2) {
        in->at = in->end;
        return HTTP_MORE;
    }
    if (in->at[1] != '\n')
        return http_refuse(ret_refusal, 400, "a CR without LF in the head");
    in->at += 2;
    return HTTP_DONE;
}

static HttpStep parse_lines(Cursor *in, HttpHead *head, HttpRefusal *ret_refusal)
{
    HttpStep step = empty_line(in, ret_refusal);
    if (step == HTTP_REFUSE)
        return step;
    step = parse_request_line(in, head, ret_refusal);
    while (step == HTTP_DONE) {
        HttpStep end = empty_line(in, ret_refusal);
        if (end != HTTP_MORE || in->at == in->end)
            return end;
        step = parse_field(in, head, ret_refusal);
    }
    return step;
}

HttpStep http_head_parse(Str bytes, HttpHead *ret_head, size_t *ret_used, HttpRefusal *ret_refusal)
{
    size_t len = MIN(bytes.len, (size_t)HTTP_HEAD_BYTES_MAX);
    Cursor in = { bytes.ptr, bytes.ptr + len };
    memset(ret_head, 0, offsetof(HttpHead, fields));
    ret_head->bytes = bytes.ptr;
    HttpStep step = parse_lines(&in, ret_head, ret_refusal);
    if (step == HTTP_MORE && len == HTTP_HEAD_BYTES_MAX)
        return http_refuse(ret_refusal, 431, "the head is too long");
    if (step == HTTP_DONE)
        step = check_framing(ret_head, ret_refusal);
    if (step == HTTP_DONE)
        step = check_host(ret_head, ret_refusal);
    if (step == HTTP_DONE)
        step = check_connection(ret_head, ret_refusal);
    if (step == HTTP_DONE)
        *ret_used = (size_t)(in.at - bytes.ptr);
    return step;
}

void http_head_move(HttpHead *head, const char *to)
{
    Str *const parts[] = { &head->method, &head->target, &head->path,
                           &head->query,  &head->scheme, &head->host };
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        const char *ptr = parts[i]->ptr;
        if (ptr >= head->bytes && ptr <= head->bytes + UINT16_MAX) /* the path may be our own `/` */
            parts[i]->ptr = to + (ptr - head->bytes);
    }
    head->bytes = to;
}

/* ---- ranges ---- */

/* A position; one that no number holds is beyond the end of everything. */
static bool position_parse(Str digits, uint64_t *ret_at)
{
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.ptr[i] < '0' || digits.ptr[i] > '9')
            return false;
    }
    if (!str_u64(digits, ret_at))
        *ret_at = UINT64_MAX;
    return true;
}

/* Of positions that were written out: without the zeros ahead, the longer is the higher. */
static bool position_before(Str a, Str b)
{
    while (a.len > 1 && a.ptr[0] == '0')
        a = str_from(a, 1);
    while (b.len > 1 && b.ptr[0] == '0')
        b = str_from(b, 1);
    return a.len != b.len ? a.len < b.len : str_cmp(a, b) < 0;
}

HttpStep http_range_parse(Str value, uint64_t size, uint64_t *ret_from, uint64_t *ret_len)
{
    value = http_trim(value);
    if (!str_istarts(value, STR("bytes=")))
        return HTTP_MORE;
    value = http_trim(str_from(value, 6));
    ptrdiff_t dash = str_find_char(value, '-');
    if (dash < 0 || str_find_char(value, ',') >= 0)
        return HTTP_MORE;
    Str first = str_sub(value, 0, (size_t)dash), last = str_from(value, (size_t)dash + 1);
    uint64_t from = 0, to = 0;
    if (!position_parse(first, &from) || !position_parse(last, &to) ||
        first.len + last.len == 0 || (first.len > 0 && last.len > 0 && position_before(last, first)))
        return HTTP_MORE;
    if (first.len == 0) { /* the last `to` bytes */
        if (to == 0 || size == 0)
            return HTTP_REFUSE;
        from = to < size ? size - to : 0;
        to = size - 1;
    }
    if (from >= size)
        return HTTP_REFUSE;
    if (last.len == 0 || to >= size)
        to = size - 1;
    *ret_from = from;
    *ret_len = to - from + 1;
    return HTTP_DONE;
}
