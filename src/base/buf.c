#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_init(Buf *buf, size_t max)
{
    *buf = (Buf){ .max = max };
}

void buf_done(Buf *buf)
{
    free(buf->ptr);
    *buf = (Buf){ .max = buf->max };
}

void buf_clear(Buf *buf)
{
    buf->len = 0;
    buf->over = false;
}

bool buf_reserve(Buf *buf, size_t more)
{
    if (buf->over || more > buf->max - buf->len) {
        buf->over = true;
        return false;
    }
    size_t wanted = buf->len + more;
    if (wanted <= buf->cap)
        return true;
    size_t cap = buf->cap ? buf->cap : 64;
    while (cap < wanted)
        cap = cap > SIZE_MAX / 2 ? wanted : cap * 2;
    cap = MIN(cap, buf->max);
    buf->ptr = mem_grow(buf->ptr, cap);
    buf->cap = cap;
    return true;
}

void buf_put(Buf *buf, Str bytes)
{
    if (bytes.len == 0 || !buf_reserve(buf, bytes.len))
        return;
    memcpy(buf->ptr + buf->len, bytes.ptr, bytes.len);
    buf->len += bytes.len;
}

void buf_put_char(Buf *buf, char c)
{
    if (!buf_reserve(buf, 1))
        return;
    buf->ptr[buf->len++] = c;
}

void buf_put_zeros(Buf *buf, size_t count)
{
    if (count == 0 || !buf_reserve(buf, count))
        return;
    memset(buf->ptr + buf->len, 0, count);
    buf->len += count;
}

enum { SMALL_TEXT = 256 }; /* formatted once; longer texts are measured first */

void buf_format(Buf *buf, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    char small[SMALL_TEXT];
    int wanted = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    if (wanted > 0 && (size_t)wanted < sizeof small) {
        buf_put(buf, str_of(small, (size_t)wanted));
    } else if (wanted > 0) {
        /* vsnprintf writes a NUL behind the text: room for it may lie beyond the maximum. */
        size_t text_len = (size_t)wanted;
        char *text = mem_new(text_len + 1);
        vsnprintf(text, text_len + 1, format, again);
        buf_put(buf, str_of(text, text_len));
        free(text);
    }
    va_end(again);
}

void buf_drop_front(Buf *buf, size_t count)
{
    ASSERT(count <= buf->len);
    if (count == 0)
        return;
    memmove(buf->ptr, buf->ptr + count, buf->len - count);
    buf->len -= count;
}

Str buf_str(const Buf *buf)
{
    return (Str){ buf->ptr ? buf->ptr : "", buf->len };
}

Code buf_end(const Buf *buf, const char *what, Err *err)
{
    if (buf->over)
        return err_set(err, E_LIMIT, "%s is larger than %zu bytes", what, buf->max);
    return E_OK;
}
