/* http.h: strict HTTP/1.1 request heads and chunked bodies (RFC 9112), nothing of sockets.
 * Owner:   HttpHead borrows from the bytes that were parsed; HttpChunks owns its trailers.
 * Threads: any; one HttpChunks at a time.
 * Errors:  HTTP_REFUSE with the status to send and one sentence in HttpRefusal; then close.
 * Limits:  HTTP_*_MAX below; 18 digits of Content-Length; of a chunk's size 15; chunk extensions of
 *          256 bytes in a line and 16 KiB in a body.
 * Units:   bytes.
 *
 * Refused because two readers could take them differently: a line that ends without CR, a bare CR
 * or NUL, white space before a colon, folded lines, Content-Length together with Transfer-Encoding
 * or twice, any transfer coding but exactly `chunked`, no Host, two, or one that is no host and
 * port, a target whose authority is not that of Host, a fragment in the target.
 * The answer does not depend on how the bytes were cut when they came. */
#pragma once

#include "base/buf.h"
#include "base/str.h"

enum {
    HTTP_HEAD_BYTES_MAX = 32 << 10,
    HTTP_FIELDS_MAX = 96,
    HTTP_TARGET_MAX = 8 << 10,
    HTTP_METHOD_MAX = 32,
    HTTP_TRAILER_BYTES_MAX = 16 << 10
};

typedef enum HttpStep { HTTP_MORE, HTTP_DONE, HTTP_REFUSE } HttpStep;

typedef struct HttpRefusal {
    int status;       /* 400, 413, 414, 416, 417, 431, 501, 505 */
    const char *text; /* what is wrong, a sentence without a full stop */
} HttpRefusal;

/* ---- fields ---- */

/* Fields that are found while the head is read, by length: http_known then costs nothing. */
#define HTTP_KNOWN_FIELDS(X)                  \
    X(HOST, "Host")                           \
    X(RANGE, "Range")                         \
    X(ACCEPT, "Accept")                       \
    X(EXPECT, "Expect")                       \
    X(ORIGIN, "Origin")                       \
    X(UPGRADE, "Upgrade")                     \
    X(IF_MATCH, "If-Match")                   \
    X(IF_RANGE, "If-Range")                   \
    X(FORWARDED, "Forwarded")                 \
    X(CONNECTION, "Connection")               \
    X(TRACEPARENT, "traceparent")             \
    X(CONTENT_TYPE, "Content-Type")           \
    X(X_REQUEST_ID, "X-Request-Id")           \
    X(AUTHORIZATION, "Authorization")         \
    X(IF_NONE_MATCH, "If-None-Match")         \
    X(CONTENT_LENGTH, "Content-Length")       \
    X(ACCEPT_ENCODING, "Accept-Encoding")     \
    X(X_FORWARDED_FOR, "X-Forwarded-For")     \
    X(CONTENT_ENCODING, "Content-Encoding")   \
    X(X_FORWARDED_HOST, "X-Forwarded-Host")   \
    X(IF_MODIFIED_SINCE, "If-Modified-Since") \
    X(SEC_WEBSOCKET_KEY, "Sec-WebSocket-Key") \
    X(TRANSFER_ENCODING, "Transfer-Encoding") \
    X(X_FORWARDED_PROTO, "X-Forwarded-Proto") \
    X(AC_REQUEST_METHOD, "Access-Control-Request-Method")

#define HTTP_KNOWN_ENUM(name, text) HTTP_FIELD_##name,
typedef enum HttpKnown { HTTP_KNOWN_FIELDS(HTTP_KNOWN_ENUM) HTTP_KNOWN_COUNT } HttpKnown;

/* Positions in HttpHead.bytes. */
typedef struct HttpField {
    uint16_t name_at, name_len;   /* as sent; compare with str_ieq */
    uint16_t value_at, value_len; /* without white space around it; may hold bytes 0x80-0xFF */
} HttpField;

typedef enum HttpForm { HTTP_ORIGIN, HTTP_ABSOLUTE, HTTP_ASTERISK } HttpForm; /* CONNECT is 501 */

/* `fields` comes last: beyond `field_count` it is neither written nor worth copying. */
typedef struct HttpHead {
    const char *bytes; /* what `fields` are positions in, at most 64 KiB */
    Str method;
    Str target; /* raw: route on it, decode per segment */
    Str path;   /* of target before `?`; of the absolute form without scheme and host */
    Str query;  /* behind `?`; no pointer: none */
    Str scheme; /* of the absolute form, `http` or `https` as sent; no pointer: not told */
    Str host;   /* with its port, as sent; no pointer: none told (HTTP/1.0) */
    uint64_t content_length; /* when has_length */
    int minor_version;       /* 0 or 1 */
    HttpForm form;
    bool has_length, chunked;
    bool keep_alive;                 /* what the client wants */
    bool expects_continue;           /* and a body follows */
    bool expects_other;              /* than 100-continue: 417, or not looked at */
    bool upgrades;                   /* `Connection: upgrade` stands with an Upgrade field */
    uint8_t known[HTTP_KNOWN_COUNT]; /* 1 + the place in `fields` of the first; 0: none */
    uint32_t twice;                  /* the bit of each known field that came more than once */
    size_t field_count;
    HttpField fields[HTTP_FIELDS_MAX];
} HttpHead;

/* Parses one head at the start of `bytes`; HTTP_DONE: `*ret_used` bytes are the head. HTTP_MORE:
 * call again with more bytes behind the same ones (up to HTTP_HEAD_BYTES_MAX, then it is refused).
 * One empty line before the request line is skipped. */
HttpStep http_head_parse(Str bytes, HttpHead *ret_head, size_t *ret_used, HttpRefusal *ret_refusal);

/* `to` holds a copy of what was at `head->bytes`: makes the head borrow from there. */
void http_head_move(HttpHead *head, const char *to);

/* The value of the first field of that name; no pointer: none. */
Str http_known(const HttpHead *head, HttpKnown known);
Str http_field(const HttpHead *head, Str name);
/* By place, `at` < field_count. */
Str http_field_name(const HttpHead *head, size_t at);
Str http_field_value(const HttpHead *head, size_t at);

/* True when the comma-separated list in `value` has `token` (ASCII letters alike). */
bool http_list_has(Str value, Str token);

/* ---- the same checks for a head that comes in another shape (HTTP/2) ---- */

bool http_token_ok(Str s); /* RFC 9110 5.6.2, not empty */
bool http_value_ok(Str s); /* no control character but tab */
bool http_host_ok(Str s);  /* a name of letters, digits and `-._~`, IPv4 or [IPv6], then [":" port] */

/* Of `method` and `target`: fills path, query, form and, from the absolute form, scheme and host.
 */
HttpStep http_target_parse(HttpHead *head, HttpRefusal *ret_refusal);

/* Notes a field whose name and value lie within 64 KiB from `head->bytes`; both were checked. */
HttpStep http_head_add(HttpHead *head, Str name, Str value, HttpRefusal *ret_refusal);

/* The digits of Content-Length, when there is one, and that it came once. */
HttpStep http_length_parse(HttpHead *head, HttpRefusal *ret_refusal);

/* ---- chunked bodies ---- */

/* The chunked decoder. A zeroed one is ready; http_chunks_done ends one that was used. */
typedef struct HttpChunks {
    int state;
    unsigned digits;
    size_t extension_len, extensions_len; /* in this line; in the whole body */
    uint64_t left;                        /* of this chunk's data */
    uint64_t total;                       /* data bytes so far */
    size_t trailers_len, trailer_count;   /* bytes and lines so far, those left out among them */
    size_t trailer_at;                    /* in `trailers`: where the line begins that comes */
    Buf trailers;                         /* lines that were checked, then the one that comes */
} HttpChunks;

/* Takes bytes off the front of `*in`; `*ret_data` is the next piece of data in them (may be empty).
 * HTTP_MORE: give more bytes, or call again while `in` is not empty. HTTP_DONE: the body is over,
 * `in` is what follows it and http_chunks_trailers has its fields. */
HttpStep http_chunks_next(HttpChunks *chunks, Str *in, Str *ret_data, HttpRefusal *ret_refusal);
void http_chunks_done(HttpChunks *chunks);

/* The trailer fields of a body that is over, checked like those of a head, as lines for the two
 * functions below. Content-Length, Transfer-Encoding and Host among them were refused; others that
 * may not stand there (RFC 9110 6.5.1: framing, routing, credentials, conditions, coding) left out.
 */
Str http_chunks_trailers(const HttpChunks *chunks);
bool http_trailer_next(Str *rest, Str *ret_name, Str *ret_value);
Str http_trailer(Str trailers, Str name); /* of the first of that name; no pointer: none */
/* Appends one such line: trailers that come in another shape. HTTP_MORE: it was left out. */
HttpStep http_trailer_put(Buf *trailers, Str name, Str value, HttpRefusal *ret_refusal);

/* ---- ranges ---- */

/* One `Range: bytes=` with one range (RFC 9110 14.1.2): HTTP_DONE with the cut of a body of `size`
 * bytes; HTTP_REFUSE is 416; HTTP_MORE: no range that we know, send the whole. */
HttpStep http_range_parse(Str value, uint64_t size, uint64_t *ret_from, uint64_t *ret_len);
