#include "base/str.h"

#include "base/vec.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NEAREST_NAME_MAX = 64 };

Str str_z(const char *z)
{
    return z ? (Str){ z, strlen(z) } : STR_NONE;
}

Str str_of(const void *ptr, size_t len)
{
    return (Str){ ptr, len };
}

bool str_eq(Str a, Str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

bool str_ieq(Str a, Str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (ascii_lower(a.ptr[i]) != ascii_lower(b.ptr[i]))
            return false;
    return true;
}

int str_cmp(Str a, Str b)
{
    size_t common = MIN(a.len, b.len);
    int order = common ? memcmp(a.ptr, b.ptr, common) : 0;
    if (order)
        return order;
    return a.len < b.len ? -1 : a.len > b.len;
}

bool str_starts(Str s, Str prefix)
{
    return s.len >= prefix.len && str_eq(str_sub(s, 0, prefix.len), prefix);
}

bool str_istarts(Str s, Str prefix)
{
    return s.len >= prefix.len && str_ieq(str_sub(s, 0, prefix.len), prefix);
}

bool str_ends(Str s, Str suffix)
{
    return s.len >= suffix.len && str_eq(str_from(s, s.len - suffix.len), suffix);
}

Str str_sub(Str s, size_t from, size_t len)
{
    if (from >= s.len)
        return (Str){ s.ptr ? s.ptr + s.len : NULL, 0 };
    return (Str){ s.ptr + from, MIN(len, s.len - from) };
}

Str str_from(Str s, size_t from)
{
    return str_sub(s, from, SIZE_MAX);
}

static bool ascii_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

Str str_trim(Str s)
{
    while (s.len && ascii_space(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len && ascii_space(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

ptrdiff_t str_find(Str s, Str needle)
{
    if (needle.len == 0)
        return 0;
    const char *at = s.len ? memmem(s.ptr, s.len, needle.ptr, needle.len) : NULL;
    return at ? at - s.ptr : -1;
}

ptrdiff_t str_find_char(Str s, char c)
{
    const char *at = s.len ? memchr(s.ptr, c, s.len) : NULL;
    return at ? at - s.ptr : -1;
}

ptrdiff_t str_rfind_char(Str s, char c)
{
    const char *at = s.len ? memrchr(s.ptr, c, s.len) : NULL;
    return at ? at - s.ptr : -1;
}

bool str_split(Str *rest, char separator, Str *ret_part)
{
    if (!rest->ptr)
        return false;
    ptrdiff_t at = str_find_char(*rest, separator);
    if (at < 0) {
        *ret_part = *rest;
        *rest = STR_NONE;
        return true;
    }
    *ret_part = str_sub(*rest, 0, (size_t)at);
    *rest = (Str){ rest->ptr + at + 1, rest->len - (size_t)at - 1 };
    return true;
}

bool str_u64(Str s, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned)(s.ptr[i] - '0');
        if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value))
            return false;
    }
    *ret_value = value;
    return true;
}

bool str_i64(Str s, int64_t *ret_value)
{
    bool negative = s.len && s.ptr[0] == '-';
    uint64_t size;
    if (!str_u64(negative ? str_from(s, 1) : s, &size))
        return false;
    if (size > (uint64_t)INT64_MAX + negative)
        return false;
    *ret_value = negative ? (int64_t)(0 - size) : (int64_t)size;
    return true;
}

bool str_f64(Str s, double *ret_value)
{
    char text[64];
    if (s.len == 0 || s.len >= sizeof text || ascii_space(s.ptr[0]))
        return false;
    memcpy(text, s.ptr, s.len);
    text[s.len] = '\0';
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    if (end != text + s.len || errno == ERANGE)
        return false;
    *ret_value = value;
    return true;
}

uint64_t str_hash(Str s)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < s.len; i++)
        hash = (hash ^ (unsigned char)s.ptr[i]) * 0x100000001b3u;
    return hash;
}

/* Length of the UTF-8 sequence at `at`, 0 when it is not one. */
static size_t utf8_sequence(const unsigned char *at, size_t left)
{
    if (at[0] < 0x80)
        return 1;
    size_t len = at[0] >= 0xF0 ? 4 : at[0] >= 0xE0 ? 3 : 2;
    if (at[0] < 0xC2 || at[0] > 0xF4 || left < len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((at[i] & 0xC0) != 0x80)
            return 0;
    bool overlong = (at[0] == 0xE0 && at[1] < 0xA0) || (at[0] == 0xF0 && at[1] < 0x90);
    bool surrogate = at[0] == 0xED && at[1] > 0x9F;
    bool beyond = at[0] == 0xF4 && at[1] > 0x8F;
    return overlong || surrogate || beyond ? 0 : len;
}

size_t str_utf8_len(Str s)
{
    return s.len == 0 ? 0 : utf8_sequence((const unsigned char *)s.ptr, s.len);
}

bool str_is_utf8(Str s)
{
    for (size_t at = 0; at < s.len;) {
        size_t len = utf8_sequence((const unsigned char *)s.ptr + at, s.len - at);
        if (len == 0)
            return false;
        at += len;
    }
    return true;
}

/* Levenshtein's distance without regard to ASCII case; names are cut to NEAREST_NAME_MAX. */
static size_t edit_distance(Str a, Str b)
{
    size_t row[NEAREST_NAME_MAX + 1];
    for (size_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t change = diagonal + (ascii_lower(a.ptr[i - 1]) != ascii_lower(b.ptr[j - 1]));
            diagonal = row[j];
            size_t shift = MIN(row[j], row[j - 1]) + 1;
            row[j] = MIN(change, shift);
        }
    }
    return row[b.len];
}

Str str_nearest(Str name, const Str *names, size_t count)
{
    Str best = STR_NONE;
    size_t best_distance = name.len / 3 + 2;
    name = str_sub(name, 0, NEAREST_NAME_MAX);
    for (size_t i = 0; i < count; i++) {
        size_t distance = edit_distance(name, str_sub(names[i], 0, NEAREST_NAME_MAX));
        if (distance < best_distance) {
            best_distance = distance;
            best = names[i];
        }
    }
    return best;
}

Str str_copy(Arena *arena, Str s)
{
    return (Str){ s.len ? arena_copy(arena, s.ptr, s.len) : "", s.len };
}

const char *str_copy_z(Arena *arena, Str s)
{
    char *copy = arena_alloc(arena, s.len + 1);
    if (s.len)
        memcpy(copy, s.ptr, s.len);
    return copy;
}

enum { SMALL_TEXT = 256 }; /* formatted once; longer texts are measured first */

Str str_format(Arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    char small[SMALL_TEXT];
    int wanted = vsnprintf(small, sizeof small, format, args);
    va_end(args);
    ASSERT(wanted >= 0);
    char *text = arena_alloc(arena, (size_t)wanted + 1);
    if ((size_t)wanted < sizeof small)
        memcpy(text, small, (size_t)wanted + 1);
    else
        vsnprintf(text, (size_t)wanted + 1, format, again);
    va_end(again);
    return (Str){ text, (size_t)wanted };
}

Str str_lower(Arena *arena, Str s)
{
    char *copy = arena_alloc(arena, s.len);
    for (size_t i = 0; i < s.len; i++)
        copy[i] = ascii_lower(s.ptr[i]);
    return (Str){ copy, s.len };
}
