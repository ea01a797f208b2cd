/* buf.h: owned bytes that grow, born with a maximum.
 * Owner:   whoever declared it; buf_done frees.
 * Threads: one at a time.
 * Errors:  growth beyond the maximum sticks: later writes do nothing and buf_end gives LIMIT.
 * Limits:  the maximum of buf_init.
 * Units:   bytes. */
#pragma once

#include "base/err.h"
#include "base/str.h"

typedef struct Buf {
    char *ptr;
    size_t len;
    size_t cap;
    size_t max;
    bool over; /* a write did not fit */
} Buf;

void buf_init(Buf *buf, size_t max);
void buf_done(Buf *buf);
void buf_clear(Buf *buf);                       /* empties it and forgets `over`, keeps the memory */
void buf_put(Buf *buf, Str bytes);
void buf_put_char(Buf *buf, char c);
void buf_put_zeros(Buf *buf, size_t count);
void buf_format(Buf *buf, const char *format, ...) PRINTF_LIKE(2, 3);
bool buf_reserve(Buf *buf, size_t more);        /* room for `more` bytes at ptr + len */
void buf_drop_front(Buf *buf, size_t count);    /* moves the rest to the start */
Str buf_str(const Buf *buf);                    /* borrowed until the next write */
Code buf_end(const Buf *buf, const char *what, Err *err) CHECKED; /* LIMIT when a write did not fit */
