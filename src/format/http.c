#include "format/http.h"

#include <string.h>

enum { LENGTH_DIGITS_MAX = 18, CHUNK_DIGITS_MAX = 15, CHUNK_EXTENSION_MAX = 256 };

static HttpStep refuse(HttpRefusal *ret_refusal, int status, const char *text)
{
    *ret_refusal = (HttpRefusal){ status, text };
    return HTTP_REFUSE;
}

/* RFC 9110 5.6.2. */
static bool is_token_char(uint8_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

static bool is_token(Str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (!is_token_char((uint8_t)s.ptr[i]))
            return false;
    return s.len > 0;
}

static bool is_value_char(uint8_t c)
{
    return c == '\t' || (c >= 0x20 && c != 0x7F);
}

static Str trim_blanks(Str s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
        s = str_from(s, 1);
    while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return s;
}

/* ---- lines ---- */

/* The line at `*at` without its CR LF, and `*at` behind it. */
static HttpStep next_line(Str bytes, size_t *at, Str *ret_line, HttpRefusal *ret_refusal)
{
    const char *start = bytes.ptr + *at;
    size_t left = bytes.len - *at;
    const char *end = left > 0 ? memchr(start, '\n', left) : NULL;
    size_t len = end ? (size_t)(end - start) : left;
    if (end && (len == 0 || start[len - 1] != '\r'))
        return refuse(ret_refusal, 400, "a line ends without CR");
    size_t checked = end ? len - 1 : len;
    for (size_t i = 0; i < checked; i++) {
        if (start[i] == 0)
            return refuse(ret_refusal, 400, "a NUL in the head");
        if (start[i] == '\r' && i + 1 < left)
            return refuse(ret_refusal, 400, "a CR without LF in the head");
    }
    if (!end)
        return HTTP_MORE;
    *ret_line = str_of(start, len - 1);
    *at += len + 1;
    return HTTP_DONE;
}

/* ---- request line ---- */

static HttpStep parse_target(HttpHead *head, HttpRefusal *ret_refusal)
{
    Str target = head->target;
    if (target.len == 0)
        return refuse(ret_refusal, 400, "no request target");
    if (target.len > HTTP_TARGET_MAX)
        return refuse(ret_refusal, 414, "the request target is too long");
    for (size_t i = 0; i < target.len; i++) {
        uint8_t c = (uint8_t)target.ptr[i];
        if (c <= 0x20 || c >= 0x7F || c == '#')
            return refuse(ret_refusal, 400, "a byte that may not stand in a request target");
    }
    Str rest = target;
    if (str_istarts(target, STR("http://")) || str_istarts(target, STR("https://"))) {
        rest = str_from(target, (size_t)str_find(target, STR("://")) + 3);
        size_t len = 0;
        while (len < rest.len && rest.ptr[len] != '/' && rest.ptr[len] != '?')
            len++;
        head->host = str_sub(rest, 0, len);
        rest = str_from(rest, len);
        if (head->host.len == 0 || str_find_char(head->host, '@') >= 0)
            return refuse(ret_refusal, 400, "no host in the request target");
    } else if (target.ptr[0] != '/' &&
               !(str_eq(target, STR("*")) && str_eq(head->method, STR("OPTIONS")))) {
        return refuse(ret_refusal, 400, "the request target must start with /");
    }
    ptrdiff_t mark = str_find_char(rest, '?');
    head->path = mark < 0 ? rest : str_sub(rest, 0, (size_t)mark);
    head->query = mark < 0 ? STR_NONE : str_from(rest, (size_t)mark + 1);
    if (head->path.len == 0)
        head->path = STR("/");
    return HTTP_DONE;
}

static HttpStep parse_version(Str version, int *ret_minor, HttpRefusal *ret_refusal)
{
    if (version.len != 8 || !str_starts(version, STR("HTTP/")) || version.ptr[6] != '.' ||
        version.ptr[5] < '0' || version.ptr[5] > '9' || version.ptr[7] < '0' ||
        version.ptr[7] > '9')
        return refuse(ret_refusal, 400, "the request line does not end with a version of HTTP");
    if (version.ptr[5] != '1' || version.ptr[7] > '1')
        return refuse(ret_refusal, 505, "only HTTP/1.0 and HTTP/1.1");
    *ret_minor = version.ptr[7] - '0';
    return HTTP_DONE;
}

static HttpStep parse_request_line(Str line, HttpHead *head, HttpRefusal *ret_refusal)
{
    ptrdiff_t first = str_find_char(line, ' '), last = str_rfind_char(line, ' ');
    if (first <= 0 || last == first)
        return refuse(ret_refusal, 400, "the request line is not METHOD TARGET VERSION");
    head->method = str_sub(line, 0, (size_t)first);
    head->target = str_sub(line, (size_t)first + 1, (size_t)(last - first - 1));
    if (!is_token(head->method) || head->method.len > HTTP_METHOD_MAX)
        return refuse(ret_refusal, 400, "the method is not a token");
    HttpStep step =
        parse_version(str_from(line, (size_t)last + 1), &head->minor_version, ret_refusal);
    if (step != HTTP_DONE)
        return step;
    if (str_eq(head->method, STR("CONNECT")))
        return refuse(ret_refusal, 501, "CONNECT is not done here");
    return parse_target(head, ret_refusal);
}

/* ---- fields ---- */

static HttpStep parse_field(Str line, HttpHead *head, HttpRefusal *ret_refusal)
{
    if (head->field_count == HTTP_FIELDS_MAX)
        return refuse(ret_refusal, 431, "too many header fields");
    if (line.ptr[0] == ' ' || line.ptr[0] == '\t')
        return refuse(ret_refusal, 400, "a header field goes on in the next line");
    ptrdiff_t colon = str_find_char(line, ':');
    if (colon <= 0)
        return refuse(ret_refusal, 400, "a header line without a name and a colon");
    HttpField field = { str_sub(line, 0, (size_t)colon),
                        trim_blanks(str_from(line, (size_t)colon + 1)) };
    if (!is_token(field.name))
        return refuse(ret_refusal, 400, "a header name is not a token");
    for (size_t i = 0; i < field.value.len; i++)
        if (!is_value_char((uint8_t)field.value.ptr[i]))
            return refuse(ret_refusal, 400, "a control character in a header value");
    if (!field.value.ptr)
        field.value = str_of("", 0);
    head->fields[head->field_count++] = field;
    return HTTP_DONE;
}

Str http_field(const HttpHead *head, Str name)
{
    for (size_t i = 0; i < head->field_count; i++)
        if (str_ieq(head->fields[i].name, name))
            return head->fields[i].value;
    return STR_NONE;
}

bool http_list_has(Str value, Str token)
{
    Str part;
    while (str_split(&value, ',', &part))
        if (str_ieq(trim_blanks(part), token))
            return true;
    return false;
}

static size_t field_times(const HttpHead *head, Str name)
{
    size_t times = 0;
    for (size_t i = 0; i < head->field_count; i++)
        times += str_ieq(head->fields[i].name, name);
    return times;
}

static bool any_list_has(const HttpHead *head, Str name, Str token)
{
    for (size_t i = 0; i < head->field_count; i++)
        if (str_ieq(head->fields[i].name, name) && http_list_has(head->fields[i].value, token))
            return true;
    return false;
}

/* RFC 9112 6.1 to 6.3, and stricter: one length and no second opinion. */
static HttpStep check_framing(HttpHead *head, HttpRefusal *ret_refusal)
{
    size_t lengths = field_times(head, STR("Content-Length"));
    size_t codings = field_times(head, STR("Transfer-Encoding"));
    if (lengths + codings > 1)
        return refuse(ret_refusal, 400, "the length of the body is given twice");
    if (lengths == 1) {
        Str value = http_field(head, STR("Content-Length"));
        if (value.len == 0 || value.len > LENGTH_DIGITS_MAX || value.ptr[0] == '-' ||
            !str_u64(value, &head->content_length))
            return refuse(ret_refusal, 400, "Content-Length is not a number of at most 18 digits");
        head->has_length = true;
    }
    if (codings == 1) {
        if (head->minor_version == 0)
            return refuse(ret_refusal, 400, "HTTP/1.0 has no Transfer-Encoding");
        if (!str_ieq(http_field(head, STR("Transfer-Encoding")), STR("chunked")))
            return refuse(ret_refusal, 501, "only the transfer coding chunked");
        head->chunked = true;
    }
    return HTTP_DONE;
}

static bool host_is_fit(Str host)
{
    for (size_t i = 0; i < host.len; i++) {
        uint8_t c = (uint8_t)host.ptr[i];
        bool letter = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && (c == 0 || !strchr("-._~%!$&'()*+,;=:[]", c)))
            return false;
    }
    return true;
}

static HttpStep check_host(HttpHead *head, HttpRefusal *ret_refusal)
{
    size_t hosts = field_times(head, STR("Host"));
    if (hosts > 1)
        return refuse(ret_refusal, 400, "two Host fields");
    if (hosts == 0 && head->minor_version == 1)
        return refuse(ret_refusal, 400, "no Host field");
    if (!head->host.ptr) /* the absolute form of the target goes first: RFC 9112 3.2.2 */
        head->host = http_field(head, STR("Host"));
    if (!host_is_fit(head->host) || !host_is_fit(http_field(head, STR("Host"))))
        return refuse(ret_refusal, 400, "the Host field is not a host");
    return HTTP_DONE;
}

static HttpStep check_connection(HttpHead *head, HttpRefusal *ret_refusal)
{
    Str name = STR("Connection");
    bool close = any_list_has(head, name, STR("close"));
    head->keep_alive =
        !close && (head->minor_version == 1 || any_list_has(head, name, STR("keep-alive")));
    head->upgrades =
        any_list_has(head, name, STR("upgrade")) && field_times(head, STR("Upgrade")) > 0;
    Str expect = http_field(head, STR("Expect"));
    if (!expect.ptr || head->minor_version == 0)
        return HTTP_DONE;
    if (!str_ieq(expect, STR("100-continue")))
        return refuse(ret_refusal, 417, "only Expect: 100-continue");
    head->expects_continue = true;
    return HTTP_DONE;
}

static HttpStep parse_lines(Str bytes, HttpHead *head, size_t *at, HttpRefusal *ret_refusal)
{
    bool first = true;
    for (Str line;; first = false) {
        HttpStep step = next_line(bytes, at, &line, ret_refusal);
        if (step == HTTP_MORE && first && bytes.len - *at > HTTP_TARGET_MAX + HTTP_METHOD_MAX + 16)
            return refuse(ret_refusal, 414, "the request line is too long");
        if (step != HTTP_DONE)
            return step;
        if (line.len == 0 && !first)
            return HTTP_DONE;
        step = first ? parse_request_line(line, head, ret_refusal)
                     : parse_field(line, head, ret_refusal);
        if (step != HTTP_DONE)
            return step;
    }
}

HttpStep http_head_parse(Str bytes, HttpHead *ret_head, size_t *ret_used, HttpRefusal *ret_refusal)
{
    Str window = str_sub(bytes, 0, HTTP_HEAD_BYTES_MAX);
    size_t at = str_starts(window, STR("\r\n")) ? 2 : 0;
    memset(ret_head, 0, offsetof(HttpHead, fields));
    memset(&ret_head->field_count, 0, sizeof *ret_head - offsetof(HttpHead, field_count));
    HttpStep step = parse_lines(window, ret_head, &at, ret_refusal);
    if (step == HTTP_MORE && window.len == HTTP_HEAD_BYTES_MAX)
        return refuse(ret_refusal, 431, "the head is too long");
    if (step != HTTP_DONE)
        return step;
    HttpStep (*const checks[])(HttpHead *, HttpRefusal *) = { check_framing, check_host,
                                                              check_connection };
    for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
        step = checks[i](ret_head, ret_refusal);
        if (step != HTTP_DONE)
            return step;
    }
    *ret_used = at;
    return HTTP_DONE;
}

/* ---- chunks (RFC 9112 7.1) ---- */

enum ChunkState {
    CHUNK_SIZE, /* the zeroed state */
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER, /* at the start of a trailer line */
    CHUNK_TRAILER_NAME,
    CHUNK_TRAILER_VALUE,
    CHUNK_TRAILER_LF,
    CHUNK_END_LF,
    CHUNK_OVER
};

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static HttpStep chunk_size_byte(HttpChunks *chunks, uint8_t c, HttpRefusal *ret_refusal)
{
    int digit = hex_value(c);
    if (digit >= 0) {
        if (++chunks->digits > CHUNK_DIGITS_MAX)
            return refuse(ret_refusal, 400, "the size of a chunk has too many digits");
        chunks->left = chunks->left << 4 | (unsigned)digit;
        return HTTP_MORE;
    }
    if (chunks->digits == 0 || (c != '\r' && c != ';'))
        return refuse(ret_refusal, 400, "the size of a chunk is not a hexadecimal number");
    chunks->line_len = 0;
    chunks->state = c == ';' ? CHUNK_EXTENSION : CHUNK_SIZE_LF;
    return HTTP_MORE;
}

/* One byte of a trailer: name, value or the end of its line. */
static HttpStep trailer_byte(HttpChunks *chunks, uint8_t c, HttpRefusal *ret_refusal)
{
    if (++chunks->line_len > HTTP_TRAILER_BYTES_MAX)
        return refuse(ret_refusal, 431, "the trailers are too long");
    if (chunks->state == CHUNK_TRAILER_VALUE) {
        if (c == '\r')
            chunks->state = CHUNK_TRAILER_LF;
        else if (!is_value_char(c))
            return refuse(ret_refusal, 400, "a control character in a trailer");
    } else if (chunks->state == CHUNK_TRAILER && c == '\r') {
        chunks->state = CHUNK_END_LF;
    } else if (chunks->state == CHUNK_TRAILER_NAME && c == ':') {
        chunks->state = CHUNK_TRAILER_VALUE;
    } else if (is_token_char(c)) {
        chunks->state = CHUNK_TRAILER_NAME;
    } else {
        return refuse(ret_refusal, 400, "a trailer is not NAME: VALUE");
    }
    return HTTP_MORE;
}

/* The byte that a state waits for, and the state behind it. */
static HttpStep exact_byte(HttpChunks *chunks, uint8_t c, uint8_t wanted, int next,
                           HttpRefusal *ret_refusal)
{
    if (c != wanted)
        return refuse(ret_refusal, 400,
                      "a chunk is longer than its size, or a line does not end with CR LF");
    chunks->state = next;
    return HTTP_MORE;
}

static HttpStep control_byte(HttpChunks *chunks, uint8_t c, HttpRefusal *ret_refusal)
{
    switch ((enum ChunkState)chunks->state) {
    case CHUNK_SIZE:
        return chunk_size_byte(chunks, c, ret_refusal);
    case CHUNK_EXTENSION:
        if (c == '\r')
            chunks->state = CHUNK_SIZE_LF;
        else if (!is_value_char(c) || ++chunks->line_len > CHUNK_EXTENSION_MAX)
            return refuse(ret_refusal, 400, "a chunk extension that is too long or no text");
        return HTTP_MORE;
    case CHUNK_SIZE_LF:
        chunks->line_len = 0;
        return exact_byte(chunks, c, '\n', chunks->left > 0 ? CHUNK_DATA : CHUNK_TRAILER,
                          ret_refusal);
    case CHUNK_DATA_CR:
        return exact_byte(chunks, c, '\r', CHUNK_DATA_LF, ret_refusal);
    case CHUNK_DATA_LF:
        chunks->digits = 0;
        return exact_byte(chunks, c, '\n', CHUNK_SIZE, ret_refusal);
    case CHUNK_TRAILER:
    case CHUNK_TRAILER_NAME:
    case CHUNK_TRAILER_VALUE:
        return trailer_byte(chunks, c, ret_refusal);
    case CHUNK_TRAILER_LF:
        return exact_byte(chunks, c, '\n', CHUNK_TRAILER, ret_refusal);
    case CHUNK_END_LF:
        return exact_byte(chunks, c, '\n', CHUNK_OVER, ret_refusal);
    case CHUNK_DATA:
    case CHUNK_OVER:
        break;
    }
    return HTTP_MORE;
}

HttpStep http_chunks_next(HttpChunks *chunks, Str *in, Str *ret_data, HttpRefusal *ret_refusal)
{
    *ret_data = str_of(in->ptr, 0);
    while (in->len > 0 && chunks->state != CHUNK_OVER) {
        if (chunks->state == CHUNK_DATA) {
            size_t len = (size_t)MIN((uint64_t)in->len, chunks->left);
            *ret_data = str_sub(*in, 0, len);
            *in = str_from(*in, len);
            chunks->left -= len;
            chunks->total += len;
            if (chunks->left == 0)
                chunks->state = CHUNK_DATA_CR;
            return HTTP_MORE;
        }
        if (control_byte(chunks, (uint8_t)in->ptr[0], ret_refusal) == HTTP_REFUSE)
            return HTTP_REFUSE;
        *in = str_from(*in, 1);
    }
    return chunks->state == CHUNK_OVER ? HTTP_DONE : HTTP_MORE;
}

/* ---- ranges ---- */

HttpStep http_range_parse(Str value, uint64_t size, uint64_t *ret_from, uint64_t *ret_len)
{
    value = trim_blanks(value);
    if (!str_istarts(value, STR("bytes=")))
        return HTTP_MORE;
    value = trim_blanks(str_from(value, 6));
    ptrdiff_t dash = str_find_char(value, '-');
    if (dash < 0 || str_find_char(value, ',') >= 0)
        return HTTP_MORE;
    Str first = str_sub(value, 0, (size_t)dash), last = str_from(value, (size_t)dash + 1);
    uint64_t from = 0, to = 0;
    if ((first.len > 0 && !str_u64(first, &from)) || (last.len > 0 && !str_u64(last, &to)) ||
        first.len + last.len == 0 || (first.len > 0 && last.len > 0 && to < from))
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
