/* text.h: values that have one text form: UUIDs, times, hexadecimal, base64.
 * Owner:   results are values or live in the given arena or Buf.
 * Threads: any.
 * Errors:  parsers return false and leave their output alone.
 * Limits:  years 0001 to 9999.
 * Units:   _us: microseconds since 1970-01-01 00:00 UTC; days since that day. */
#pragma once

#include "base/buf.h"

typedef struct Uuid {
    uint8_t bytes[16]; /* in the order of the text form, RFC 9562 */
} Uuid;

enum { UUID_TEXT_LEN = 36 };

bool uuid_eq(Uuid a, Uuid b);
bool uuid_is_none(Uuid uuid);                       /* all zero */
Uuid uuid_v7(int64_t time_us, const uint8_t random[10]);
Str uuid_format(Arena *arena, Uuid uuid);           /* lower case, with hyphens */
bool uuid_parse(Str text, Uuid *ret_uuid);

Str hex_format(Arena *arena, Str bytes);            /* lower case */
bool hex_parse(Arena *arena, Str text, Str *ret_bytes);
void base64_put(Buf *buf, Str bytes);               /* RFC 4648 section 4, padded */
bool base64_parse(Arena *arena, Str text, Str *ret_bytes);
void url_encode(Buf *buf, Str bytes, bool keep_slash); /* RFC 3986 unreserved stay */
bool url_decode(Arena *arena, Str text, Str *ret_bytes);
bool url_decode_form(Arena *arena, Str text, Str *ret_bytes); /* of a form or a query: `+` is a blank */

/* Civil days, proleptic Gregorian. */
int64_t days_from_civil(int64_t year, unsigned month, unsigned day);
void civil_from_days(int64_t days, int64_t *ret_year, unsigned *ret_month, unsigned *ret_day);

Str time_format(Arena *arena, int64_t time_us);     /* 2026-11-22T18:25:00.000000Z */
Str date_format(Arena *arena, int64_t time_us);     /* 2026-11-22 */
/* `2026-11-22`, `2026-11-22 18:25[:00[.123456]]`, with `T`, with `Z` or an offset; none is UTC. */
bool time_parse(Str text, int64_t *ret_time_us);

void bytes_human(Buf *buf, uint64_t size_bytes);    /* 13.5 MB: decimal units */
void count_human(Buf *buf, uint64_t count);         /* 2,999,806 */
