/* http_priv.h: what http.c and http_chunks.c share.
 * Owner:   nothing is owned.
 * Threads: any.
 * Errors:  http_refuse fills a refusal.
 * Limits:  none.
 * Units:   bytes. */
#pragma once

#include "format/http.h"

/* Where a byte may stand. */
enum {
    HTTP_IN_TOKEN = 1,  /* RFC 9110 5.6.2 */
    HTTP_IN_VALUE = 2,  /* of a field: visible, blank, tab, 0x80-0xFF */
    HTTP_IN_TARGET = 4, /* visible ASCII but `#` */
    HTTP_IN_NAME = 8,   /* of a host: letters, digits, `-._~` */
    HTTP_IN_ALL = HTTP_IN_TOKEN | HTTP_IN_VALUE | HTTP_IN_TARGET
};
extern const uint8_t http_byte_class[256];

static inline bool http_byte_in(char c, uint8_t class)
{
    return (http_byte_class[(uint8_t)c] & class) != 0;
}

static inline Str http_trim(Str s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '\t'))
        s = (Str){ s.ptr + 1, s.len - 1 };
    while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
        s.len--;
    return s;
}

static inline HttpStep http_refuse(HttpRefusal *ret_refusal, int status, const char *text)
{
    *ret_refusal = (HttpRefusal){ status, text };
    return HTTP_REFUSE;
}
