/* Replies: what a handler says, and its head and problem document as bytes. */
#include "front/http/http_priv.h"

#include "format/json.h"

#include <string.h>

enum { HEADERS_BYTES_MAX = 32 << 10, PROBLEM_BYTES_MAX = 32 << 10 };

Str http_status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } rows[] = {
        { 200, "OK" }, { 201, "Created" }, { 202, "Accepted" }, { 204, "No Content" },
        { 206, "Partial Content" }, { 304, "Not Modified" }, { 400, "Bad Request" },
        { 401, "Unauthorized" }, { 403, "Forbidden" }, { 404, "Not Found" },
        { 405, "Method Not Allowed" }, { 406, "Not Acceptable" }, { 408, "Request Timeout" },
        { 409, "Conflict" }, { 410, "Gone" }, { 411, "Length Required" },
        { 412, "Precondition Failed" }, { 413, "Content Too Large" }, { 414, "URI Too Long" },
        { 415, "Unsupported Media Type" }, { 416, "Range Not Satisfiable" },
        { 417, "Expectation Failed" }, { 422, "Unprocessable Content" }, { 428, "Precondition Required" },
        { 429, "Too Many Requests" }, { 431, "Request Header Fields Too Large" },
        { 499, "Client Closed Request" }, { 500, "Internal Server Error" }, { 501, "Not Implemented" },
        { 503, "Service Unavailable" }, { 504, "Gateway Timeout" },
        { 505, "HTTP Version Not Supported" }, { 507, "Insufficient Storage" },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (rows[i].status == status)
            return str_z(rows[i].text);
    }
    return STR("Status");
}

static void date_put(Buf *out, int64_t now_us)
{
    static const char days[7][4] = { "Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed" };
    static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                        "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
    int64_t seconds = now_us / 1000000, day = seconds / 86400, year;
    unsigned month, of_month, left = (unsigned)(seconds % 86400);
    civil_from_days(day, &year, &month, &of_month);
    buf_format(out, "Date: %s, %02u %s %04lld %02u:%02u:%02u GMT\r\n", days[day % 7], of_month,
               months[month - 1], (long long)year, left / 3600, left / 60 % 60, left % 60);
}

/* `length` -1: chunked, or until the end of the connection for HTTP/1.0. */
void reply_head_put(HttpReq *r, Buf *out, int64_t length, bool closes)
{
    Str reason = http_status_text(r->status);
    bool bodiless = r->status == 204 || r->status == 304;
    buf_format(out, "HTTP/1.1 %d " STR_FMT "\r\n", r->status, STR_ARG(reason));
    date_put(out, os_now_us(r->server->options.os));
    if (r->type && !bodiless)
        buf_format(out, "Content-Type: %s\r\n", r->type);
    if (length >= 0 && !bodiless)
        buf_format(out, "Content-Length: %lld\r\n", (long long)length);
    else if (length < 0 && r->head.minor_version > 0)
        buf_put(out, STR("Transfer-Encoding: chunked\r\n"));
    buf_format(out, "X-Request-Id: " STR_FMT "\r\n", STR_ARG(r->id));
    if (r->trace.len > 0)
        buf_format(out, "traceparent: " STR_FMT "\r\n", STR_ARG(r->trace));
    buf_put(out, STR("X-Content-Type-Options: nosniff\r\n"));
    if (closes)
        buf_put(out, STR("Connection: close\r\n"));
    else if (r->head.minor_version == 0)
        buf_put(out, STR("Connection: keep-alive\r\n"));
    buf_put(out, buf_str(&r->headers));
    buf_put(out, STR("\r\n"));
}

void http_reply_header(HttpReq *r, const char *name, Str value)
{
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] == '\r' || value.ptr[i] == '\n' || value.ptr[i] == 0)
            return;
    }
    if (r->header_count == HTTP_REPLY_HEADERS_MAX || r->headers.len + value.len > HEADERS_BYTES_MAX / 2)
        return;
    r->header_count++;
    buf_format(&r->headers, "%s: " STR_FMT "\r\n", name, STR_ARG(value));
}

bool http_replied(const HttpReq *r)
{
    return r->reply != REPLY_NONE;
}

/* The type is kept: a handler may build it. */
static void reply_set(HttpReq *r, ReplyKind kind, int status, const char *type)
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
    r->reply_body = *take_body;
    *take_body = (Buf){ 0 };
}

void http_reply(HttpReq *r, int status, const char *type, Str body)
{
    Buf copy;
    buf_init(&copy, MAX(body.len, (size_t)1));
    buf_put(&copy, body);
    http_reply_take(r, status, type, &copy);
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
    buf_init(&r->reply_body, HTTP_PULLED_MAX);
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
    buf_done(&r->reply_body);
    buf_clear(&r->headers);
    r->header_count = 0;
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

void http_reply_problem_status(HttpReq *r, int status, const Err *err, Str text)
{
    Buf body;
    if (http_replied(r))
        return;
    buf_init(&body, PROBLEM_BYTES_MAX);
    problem_put(r, &body, status, err, text);
    if (status == 401)
        http_reply_header(r, "WWW-Authenticate", STR("Bearer realm=\"tarn\""));
    if (status == 429 || status == 503)
        http_reply_header(r, "Retry-After", STR("1"));
    http_reply_take(r, status, "application/problem+json", &body);
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
