/* str.h: borrowed text or bytes, a pointer and a length, never NUL-dependent.
 * Owner:   whoever owns the bytes; a Str owns nothing.
 * Threads: any, while the bytes stay.
 * Errors:  the parsers return false and leave their output alone.
 * Limits:  none.
 * Units:   lengths in bytes. */
#pragma once

#include "base/arena.h"
#include "base/base.h"

typedef struct Str {
    const char *ptr;
    size_t len;
} Str;

#define STR(literal) ((Str){ "" literal, sizeof(literal) - 1 })
#define STR_INIT(literal) { "" literal, sizeof(literal) - 1 } /* in tables */
#define STR_NONE ((Str){ NULL, 0 })
#define STR_FMT "%.*s"
#define STR_ARG(s) (int)(s).len, (s).ptr ? (s).ptr : ""

Str str_z(const char *z);                      /* of a NUL-terminated string; NULL gives STR_NONE */
Str str_of(const void *ptr, size_t len);
bool str_eq(Str a, Str b);
bool str_ieq(Str a, Str b);                    /* ASCII letters alike */
int str_cmp(Str a, Str b);                     /* bytes as unsigned, shorter first */
bool str_starts(Str s, Str prefix);
bool str_ends(Str s, Str suffix);
bool str_istarts(Str s, Str prefix);
Str str_sub(Str s, size_t from, size_t len);   /* cut to what is there */
Str str_from(Str s, size_t from);
Str str_trim(Str s);                           /* ASCII white space off both ends */
ptrdiff_t str_find(Str s, Str needle);         /* -1: not there */
ptrdiff_t str_find_char(Str s, char c);
ptrdiff_t str_rfind_char(Str s, char c);

/* Takes the part before the next `separator` off `*rest`; false when nothing is left. An empty
 * part between two separators is a part; after the last part `rest->ptr` is NULL. */
bool str_split(Str *rest, char separator, Str *ret_part);

/* Whole-string decimal integers: optional '-', no '+', no spaces, no overflow. */
bool str_i64(Str s, int64_t *ret_value);
bool str_u64(Str s, uint64_t *ret_value);
bool str_f64(Str s, double *ret_value);        /* whole string, C locale */

uint64_t str_hash(Str s);                      /* FNV-1a, for tables in memory only */
size_t str_utf8_len(Str s);                   /* of the character in front; 0: none, or no UTF-8 */
bool str_is_utf8(Str s);                       /* RFC 3629: no overlong forms, no surrogates */

/* The nearest of `names` by edit distance, or STR_NONE when none is near (more than a third of the
 * length away). For the "did you mean" of errors. */
Str str_nearest(Str name, const Str *names, size_t count);

/* Into an arena. */
Str str_copy(Arena *arena, Str s);
const char *str_copy_z(Arena *arena, Str s);   /* with a NUL behind; bytes after an inner NUL stay */
Str str_format(Arena *arena, const char *format, ...) PRINTF_LIKE(2, 3);
Str str_lower(Arena *arena, Str s);            /* ASCII */
