/* Invariants:
 * 1. `left` > 0: a sequence is open and its next byte lies between `low` and `high`; else they mean
 *    nothing.
 * 2. The bounds of the second byte keep overlong forms, surrogates and code points above 10FFFF out
 *    (the table of RFC 3629 section 4), so that the first wrong byte is the one that is refused. */
#include "front/ws/ws_utf8.h"

#include <string.h>

#define HIGH_BITS 0x8080808080808080u

static bool lead_add(Utf8Check *check, uint8_t byte)
{
    if (byte < 0x80)
        return true;
    if (byte < 0xC2 || byte > 0xF4)
        return false;
    check->left = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
    check->low = byte == 0xE0 ? 0xA0 : byte == 0xF0 ? 0x90 : 0x80;
    check->high = byte == 0xED ? 0x9F : byte == 0xF4 ? 0x8F : 0xBF;
    return true;
}

static bool next_add(Utf8Check *check, uint8_t byte)
{
    if (byte < check->low || byte > check->high)
        return false;
    check->left--;
    check->low = 0x80;
    check->high = 0xBF;
    return true;
}

bool utf8_add(Utf8Check *check, Str piece)
{
    const uint8_t *bytes = (const uint8_t *)piece.ptr;
    size_t at = 0;
    while (at < piece.len) {
        if (check->left > 0) {
            if (!next_add(check, bytes[at++]))
                return false;
            continue;
        }
        uint64_t word;
        for (; piece.len - at >= sizeof word; at += sizeof word) {
            memcpy(&word, bytes + at, sizeof word);
            if (word & HIGH_BITS)
                break;
        }
        while (at < piece.len && bytes[at] < 0x80)
            at++;
        if (at < piece.len && !lead_add(check, bytes[at++]))
            return false;
    }
    return true;
}

bool utf8_complete(const Utf8Check *check)
{
    return check->left == 0;
}
