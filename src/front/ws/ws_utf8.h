/* ws_utf8.h: UTF-8 that comes in pieces, refused at the first byte that cannot be right.
 * Owner:   a Utf8Check is a value; a zeroed one stands at the start of a text.
 * Threads: any.
 * Errors:  false, and from then on nothing may be added.
 * Limits:  none.
 * Units:   bytes. */
#pragma once

#include "base/str.h"

/* RFC 3629: what the next byte may be inside of a sequence. */
typedef struct Utf8Check {
    uint8_t left;      /* continuation bytes that must follow */
    uint8_t low, high; /* bounds of the next one */
} Utf8Check;

/* Goes on with the next piece of the text; false: no text begins like this. */
bool utf8_add(Utf8Check *check, Str piece) CHECKED;
/* No sequence is open. */
bool utf8_complete(const Utf8Check *check);
