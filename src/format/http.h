/* http.h: strict HTTP/1.1 request heads and chunked bodies (RFC 9112), nothing of sockets.
 * Owner:   HttpHead borrows from the bytes that were parsed.
 * Threads: any; one HttpChunks at a time.
 * Errors:  HTTP_REFUSE with the status to send and one sentence in HttpRefusal; then close.
 * Limits:  HTTP_HEAD_BYTES_MAX, HTTP_FIELDS_MAX, HTTP_TARGET_MAX; 18 digits of Content-Length, 15
 * of a chunk's size, 16 KiB of trailers. Units:   bytes.
 *
 * Refused because two readers could take them differently: a line that ends without CR, a bare CR
 * or NUL, white space before a colon, folded lines, Content-Length together with Transfer-Encoding
 * or twice, any transfer coding but exactly `chunked`, no Host or two, chunk extensions longer than
 * 256. */
#pragma once

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

typedef struct HttpField {
    Str name;  /* as sent; compare with str_ieq */
    Str value; /* without white space around it; RFC 9110: bytes 0x80-0xFF may be in it */
} HttpField;

typedef struct HttpHead {
    Str method;
    Str target;        /* raw: route on it, decode per segment */
    Str path;          /* of target before `?`; of the absolute form without scheme and host */
    Str query;         /* behind `?`; no pointer: none */
    int minor_version; /* 0 or 1 */
    Str host;
    HttpField fields[HTTP_FIELDS_MAX];
    size_t field_count;
    bool has_length, chunked;
    uint64_t content_length; /* when has_length */
    bool keep_alive;         /* what the client wants */
    bool expects_continue;
    bool upgrades; /* `Connection: upgrade` stands with an Upgrade field */
} HttpHead;

/* Parses one head at the start of `bytes`; HTTP_DONE: `*ret_used` bytes are the head. HTTP_MORE:
 * call again with more bytes behind the same ones (up to HTTP_HEAD_BYTES_MAX, then it is refused).
 * One empty line before the request line is skipped. */
HttpStep http_head_parse(Str bytes, HttpHead *ret_head, size_t *ret_used, HttpRefusal *ret_refusal);

/* The value of the first field of that name; no pointer: none. */
Str http_field(const HttpHead *head, Str name);

/* True when the comma-separated list in `value` has `token` (ASCII letters alike). */
bool http_list_has(Str value, Str token);

/* The chunked decoder. A zeroed one is ready. */
typedef struct HttpChunks {
    int state;
    unsigned digits;
    size_t line_len; /* bytes of the extension or of trailers so far */
    uint64_t left;   /* of this chunk's data */
    uint64_t total;  /* data bytes so far */
} HttpChunks;

/* Takes bytes off the front of `*in`; `*ret_data` is the next piece of data in them (may be empty).
 * HTTP_MORE: give more bytes, or call again while `in` is not empty. HTTP_DONE: the body is over,
 * `in` is what follows it. Trailers are read and dropped. */
HttpStep http_chunks_next(HttpChunks *chunks, Str *in, Str *ret_data, HttpRefusal *ret_refusal);

/* One `Range: bytes=` with one range (RFC 9110 14.1.2): HTTP_DONE with the cut of a body of `size`
 * bytes; HTTP_REFUSE is 416; HTTP_MORE: no range that we know, send the whole. */
HttpStep http_range_parse(Str value, uint64_t size, uint64_t *ret_from, uint64_t *ret_len);
