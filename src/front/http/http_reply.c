/* Replies: what a handler says, and its head and problem document as bytes. */
#include "front/http/http_priv.h"

#include "format/json.h"

#include <stdio.h>
#include <string.h>

enum { HEADERS_BYTES_MAX = 32 << 10, PROBLEM_BYTES_MAX = 32 << 10, PAIRS_STEP = 8 };

typedef struct StatusRow {
    int status;
    Str line; /* "HTTP/1.1 200 OK\r\n" */
} StatusRow;

#define STATUS(status, text) { status, STR_INIT("HTTP/1.1 " #status " " text "\r\n") }
static const StatusRow status_rows[] = {
    STATUS(200, "OK"), STATUS(100, "Continue"), STATUS(101, "Switching Protocols"),
    STATUS(201, "Created"), STATUS(202, "Accepted"), STATUS(204, "No Content"),
    STATUS(206, "Partial Content"), STATUS(207, "Multi-Status"), STATUS(301, "Moved Permanently"),
    STATUS(302, "Found"), STATUS(303, "See Other"), STATUS(304, "Not Modified"),
    STATUS(307, "Temporary Redirect"), STATUS(308, "Permanent Redirect"), STATUS(400, "Bad Request"),
    STATUS(401, "Unauthorized"), STATUS(403, "Forbidden"), STATUS(404, "Not Found"),
    STATUS(405, "Method Not Allowed"), STATUS(406, "Not Acceptable"), STATUS(408, "Request Timeout"),
    STATUS(409, "Conflict"), STATUS(410, "Gone"), STATUS(411, "Length Required"),
    STATUS(412, "Precondition Failed"), STATUS(413, "Content Too Large"), STATUS(414, "URI Too Long"),
    STATUS(415, "Unsupported Media Type"), STATUS(416, "Range Not Satisfiable"),
    STATUS(417, "Expectation Failed"), STATUS(421, "Misdirected Request"),
    STATUS(422, "Unprocessable Content"), STATUS(426, "Upgrade Required"),
    STATUS(428, "Precondition Required"), STATUS(429, "Too Many Requests"),
    STATUS(431, "Request Header Fields Too Large"), STATUS(499, "Client Closed Request"),
    STATUS(500, "Internal Server Error"), STATUS(501, "Not Implemented"), STATUS(502, "Bad Gateway"),
    STATUS(503, "Service Unavailable"), STATUS(504, "Gateway Timeout"),
    STATUS(505, "HTTP Version Not Supported"), STATUS(507, "Insufficient Storage"),
};

static const StatusRow *status_row(int status)
{
    for (size_t i = 0; i < ARRAY_LEN(status_rows); i++) {
        if (status_rows[i].status == status)
            return &status_rows[i];
    }
    return NULL;
}

Str http_status_text(int status)
{
    const StatusRow *row = status_row(status);
    return row ? str_sub(row->line, 13, row->line.len - 15) : STR("Status");
}

/* As it was less than half a second ago. */
static Str date_of(HttpRoom *room, int64_t loop_us)
{
    static const char days[7][4] = { "Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed" };
    static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    if (room->date[0] && loop_us - room->date_us < 500 * 1000)
        return str_of(room->date, HTTP_DATE_LEN);
    int64_t seconds = os_now_us(room->server->options.os) / 1000000, day = seconds / 86400, year;
    unsigned month, of_month, left = (unsigned)(seconds % 86400);
    civil_from_days(day, &year, &month, &of_month);
    snprintf(room->date, sizeof room->date, "%s, %02u %s %04lld %02u:%02u:%02u GMT", days[day % 7],
             of_month, months[month - 1], (long long)year, left / 3600, left / 60 % 60, left % 60);
    room->date_us = loop_us;
    return str_of(room->date, HTTP_DATE_LEN);
}

static Str digits_put(char *to, uint64_t value)
{
    char back[20];
    size_t len = 0;
    do
        back[len++] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    for (size_t i = 0; i < len; i++)
        to[i] = back[len - 1 - i];
    return str_of(to, len);
}

size_t reply_fields_all(HttpReq *r, int64_t length, HttpPair *ret_fields)
{
    size_t count = 0;
    bool bodiless = r->status == 204 || r->status == 304 || r->status < 200;
    ret_fields[count++] = (HttpPair){ STR("Date"), date_of(r->room, loop_now_us(r->loop)) };
    if (r->type && !bodiless)
        ret_fields[count++] = (HttpPair){ STR("Content-Type"), str_z(r->type) };
    if (length >= 0 && !bodiless)
        ret_fields[count++] =
            (HttpPair){ STR("Content-Length"), digits_put(r->room->digits, (uint64_t)length) };
    count += policy_fields(r, ret_fields + count);
    ASSERT(count <= HTTP_FIXED_FIELDS_MAX);
    return count;
}

static void pairs_put(Buf *out, const HttpPair *pairs, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t len = pairs[i].name.len + pairs[i].value.len + 4;
        if (!buf_reserve(out, len))
            return;
        char *at = out->ptr + out->len;
        memcpy(at, pairs[i].name.ptr, pairs[i].name.len);
        at += pairs[i].name.len;
        *at++ = ':';
        *at++ = ' ';
        if (pairs[i].value.len > 0)
            memcpy(at, pairs[i].value.ptr, pairs[i].value.len);
        at += pairs[i].value.len;
        *at++ = '\r';
        *at++ = '\n';
        out->len += len;
    }
}

void reply_head_put(HttpReq *r, Buf *out, int64_t length, bool chunked, bool closes)
{
    const StatusRow *row = status_row(r->status);
    HttpPair fixed[HTTP_FIXED_FIELDS_MAX];
    if (row)
        buf_put(out, row->line);
    else
        buf_format(out, "HTTP/1.1 %d Status\r\n", r->status);
    pairs_put(out, fixed, reply_fields_all(r, chunked ? -1 : length, fixed));
    if (chunked)
        buf_put(out, STR("Transfer-Encoding: chunked\r\n"));
    if (r->status >= 200 && closes)
        buf_put(out, STR("Connection: close\r\n"));
    else if (r->head.minor_version == 0)
        buf_put(out, STR("Connection: keep-alive\r\n"));
    pairs_put(out, r->reply_fields, r->reply_field_count);
    buf_put(out, STR("\r\n"));
}

Str chunk_size_line(size_t size, char *to)
{
    unsigned digits = 1;
    while (digits < 16 && size >> (4 * digits) > 0)
        digits++;
    for (unsigned i = 0; i < digits; i++)
        to[i] = "0123456789abcdef"[size >> (4 * (digits - 1 - i)) & 15];
    to[digits] = '\r';
    to[digits + 1] = '\n';
    return str_of(to, digits + 2);
}

void reply_trailers_put(HttpReq *r, Buf *out)
{
    pairs_put(out, r->reply_trailers, r->reply_trailer_count);
}

static bool value_ok(Str value)
{
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] == '\r' || value.ptr[i] == '\n' || value.ptr[i] == 0)
            return false;
    }
    return true;
}

static void pair_add(HttpReq *r, HttpPair **pairs, size_t *count, Str name, Str value)
{
    if (!value_ok(value) || *count == HTTP_REPLY_HEADERS_MAX ||
        r->reply_field_bytes + name.len + value.len > HEADERS_BYTES_MAX / 2)
        return;
    if (*count % PAIRS_STEP == 0) {
        HttpPair *more = arena_array(&r->arena, HttpPair, *count + PAIRS_STEP);
        if (*count > 0)
            memcpy(more, *pairs, *count * sizeof *more);
        *pairs = more;
    }
    r->reply_field_bytes += name.len + value.len;
    (*pairs)[(*count)++] = (HttpPair){ str_copy(&r->arena, name), str_copy(&r->arena, value) };
}

void http_reply_header(HttpReq *r, const char *name, Str value)
{
    pair_add(r, &r->reply_fields, &r->reply_field_count, str_z(name), value);
}

void http_reply_trailer(HttpReq *r, const char *name, Str value)
{
    pair_add(r, &r->reply_trailers, &r->reply_trailer_count, str_z(name), value);
}

int http_reply_status(const HttpReq *r)
{
    return r->status;
}

bool http_replied(const HttpReq *r)
{
    return r->reply != REPLY_NONE;
}

/* The type is kept: a handler may build it. */
void reply_set(HttpReq *r, ReplyKind kind, int status, const char *type)
{
    r->reply = kind;
    r->status = status;
    for (const char *c = type; c && *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 127)
            type = "application/octet-stream"; /* a type that a user stored, and that would forge fields */
    }
    r->type = type ? str_copy_z(&r->arena, str_z(type)) : NULL;
}

void http_reply_take(HttpReq *r, int status, const char *type, Buf *take_body)
{
    if (http_replied(r)) {
        buf_done(take_body);
        return;
    }
    reply_set(r, REPLY_WHOLE, status, type);
    buf_done(&r->reply_body);
    r->reply_body = *take_body;
    *take_body = (Buf){ 0 };
}

void http_reply(HttpReq *r, int status, const char *type, Str body)
{
    if (http_replied(r))
        return;
    reply_set(r, REPLY_WHOLE, status, type);
    r->reply_body.max = MAX(body.len, r->reply_body.max);
    buf_put(&r->reply_body, body);
}

void http_reply_stream(HttpReq *r, int status, const char *type, int64_t length,
                       const HttpPull *pull, void *self)
{
    if (http_replied(r)) {
        if (pull->done)
            pull->done(self);
        return;
    }
    reply_set(r, REPLY_STREAM, status, type);
    r->length = length;
    r->pull = pull;
    r->pull_self = self;
}

bool http_reply_peek(const HttpReq *r, int *ret_status, Str *ret_type, Str *ret_body)
{
    if (r->reply != REPLY_WHOLE)
        return false;
    *ret_status = r->status;
    *ret_type = str_z(r->type);
    *ret_body = buf_str(&r->reply_body);
    return true;
}

/* Forgets a reply, so that a problem can stand in its place. Ends a stream that has not begun. */
void reply_reset(HttpReq *r)
{
    const HttpPull *pull = TAKE(r->pull);
    if (pull && pull->done)
        pull->done(r->pull_self);
    file_drop(r);
    buf_done(&r->reply_body);
    r->reply_body.max = HTTP_PULLED_MAX;
    r->reply_field_count = r->reply_trailer_count = 0;
    r->reply_field_bytes = 0;
    r->shaped = false;
    r->reply = REPLY_NONE;
}

static void position_put(JsonWriter *w, int64_t offset, Str text)
{
    int64_t line = 1, column = 1;
    if (offset < 0)
        return;
    for (size_t i = 0; i < text.len && i < (size_t)offset; i++) {
        bool inner = ((unsigned char)text.ptr[i] & 0xC0) == 0x80; /* of a UTF-8 character */
        column = text.ptr[i] == '\n' ? 1 : column + !inner;
        line += text.ptr[i] == '\n';
    }
    json_key(w, STR("position"));
    json_begin_object(w);
    json_field_i64(w, "offset", offset);
    if (text.ptr) {
        json_field_i64(w, "line", line);
        json_field_i64(w, "column", column);
    }
    json_end_object(w);
}

/* RFC 9457. `text` is what the position counts in; no pointer: only the offset is known. */
void problem_put(HttpReq *r, Buf *out, int status, const Err *err, Str text)
{
    const CodeInfo *info = code_info(err->code);
    const char *base = r->server->options.problem_base;
    JsonWriter w = json_writer(out);
    json_begin_object(&w);
    Str type = str_format(&r->arena, "%s%s", base ? base : "/problems/", info->name);
    json_field_str(&w, "type", str_lower(&r->arena, type));
    json_field_str(&w, "title", str_z(info->text));
    json_field_i64(&w, "status", status);
    json_field_str(&w, "detail", str_z(err->text[0] ? err->text : info->text));
    json_field_str(&w, "instance", r->head.path);
    json_field_str(&w, "code", str_z(info->name));
    json_field_str(&w, "sqlstate", str_z(info->sqlstate));
    json_field_bool(&w, "retriable", info->retriable);
    if (err->place[0])
        json_field_str(&w, "place", str_z(err->place));
    if (err->hint[0])
        json_field_str(&w, "hint", str_z(err->hint));
    position_put(&w, err->position, text);
    json_field_str(&w, "request_id", r->id);
    json_end_object(&w);
    buf_put_char(out, '\n');
}

/* In the words of the door, when it has its own. */
static const char *problem_say(HttpReq *r, Buf *out, int *status, const Err *err, Str text)
{
    const HttpOptions *options = &r->server->options;
    if (!options->problem) {
        problem_put(r, out, *status, err, text);
        return "application/problem+json";
    }
    HttpProblem problem = { r, *status, err, r->head.method, r->head.path, r->id };
    *status = options->problem(&problem, out);
    return options->problem_type;
}

const char *problem_plain(const HttpServer *server, Buf *out, int *status, const char *text, Str id)
{
    const HttpOptions *options = &server->options;
    Code code = *status == 408 ? E_TIMEOUT : E_INVALID;
    if (options->problem) {
        Err err;
        IGNORE(err_set(&err, code, "%s", text)); /* said */
        *status = options->problem(&(HttpProblem){ .status = *status, .err = &err, .id = id }, out);
        return options->problem_type;
    }
    JsonWriter w = json_writer(out);
    json_begin_object(&w);
    json_field_str(&w, "type", STR("about:blank"));
    json_field_str(&w, "title", http_status_text(*status));
    json_field_i64(&w, "status", *status);
    json_field_str(&w, "detail", str_z(text));
    json_field_str(&w, "code", str_z(code_info(code)->name));
    json_field_str(&w, "request_id", id);
    json_end_object(&w);
    return "application/problem+json";
}

void http_reply_problem_status(HttpReq *r, int status, const Err *err, Str text)
{
    Buf body;
    if (http_replied(r))
        return;
    buf_init(&body, PROBLEM_BYTES_MAX);
    const char *type = problem_say(r, &body, &status, err, text);
    if (status == 401)
        http_reply_header(r, "WWW-Authenticate", STR("Bearer realm=\"tarn\""));
    if (status == 429 || status == 503)
        http_reply_header(r, "Retry-After", STR("1"));
    http_reply_take(r, status, type, &body);
}

void http_reply_problem_in(HttpReq *r, const Err *err, Str text)
{
    http_reply_problem_status(r, code_info(err->code)->http, err, text);
}

void http_reply_problem(HttpReq *r, const Err *err)
{
    http_reply_problem_in(r, err, r->text);
}

void http_req_set_text(HttpReq *r, Str text)
{
    r->text = text;
}

void http_problem_put(HttpReq *r, Buf *out, const Err *err)
{
    problem_put(r, out, code_info(err->code)->http, err, r->text);
    if (!out->over)
        out->len--; /* its newline */
}

bool http_reply_begun(const HttpReq *r)
{
    return r->head_sent;
}
