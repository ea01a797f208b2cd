/* traceparent and tracestate (W3C Recommendation of 23 November 2021). */
#include "front/http/http_trace.h"

#include <endian.h>
#include <string.h>

enum { KEY_MAX = 256, VALUE_MAX = 256 };

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Lower case only, as the recommendation says. */
static bool hex_ok(Str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (hex_digit(text.ptr[i]) < 0)
            return false;
    }
    return true;
}

static bool all_zero(Str text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != '0')
            return false;
    }
    return true;
}

bool trace_parent_parse(Str text, TraceParent *ret_parent)
{
    if (text.len < TRACE_PARENT_LEN || text.ptr[2] != '-' || text.ptr[35] != '-' || text.ptr[52] != '-')
        return false;
    Str version = str_sub(text, 0, 2), trace = str_sub(text, 3, 32), parent = str_sub(text, 36, 16);
    Str flags = str_sub(text, 53, 2);
    if (!hex_ok(version) || !hex_ok(trace) || !hex_ok(parent) || !hex_ok(flags))
        return false;
    if (str_eq(version, STR("ff")) || all_zero(trace) || all_zero(parent))
        return false;
    bool first = all_zero(version);
    if (text.len > TRACE_PARENT_LEN && (first || text.ptr[TRACE_PARENT_LEN] != '-'))
        return false;
    memcpy(ret_parent->trace_id, trace.ptr, trace.len);
    memcpy(ret_parent->parent_id, parent.ptr, parent.len);
    int bits = hex_digit(flags.ptr[0]) << 4 | hex_digit(flags.ptr[1]);
    ret_parent->flags = (unsigned char)(first ? bits : bits & 1); /* only `sampled` is known of others */
    return true;
}

/* Eight digits at once: a nibble in each byte, then what it is as a character. */
static void eight_put(char *to, uint32_t value)
{
    uint64_t x = value;
    x = (x | x << 16) & 0x0000ffff0000ffff;
    x = (x | x << 8) & 0x00ff00ff00ff00ff;
    x = (x | x << 4) & 0x0f0f0f0f0f0f0f0f;
    uint64_t letters = (x + 0x0606060606060606) >> 4 & 0x0101010101010101;
    x = htobe64(x + 0x3030303030303030 + letters * ('a' - '0' - 10));
    memcpy(to, &x, sizeof x);
}

static void digits_put(char *to, uint64_t value)
{
    eight_put(to, (uint32_t)(value >> 32));
    eight_put(to + 8, (uint32_t)value);
}

Str trace_parent_format(const TraceParent *parent, uint64_t span_id, char *text)
{
    memcpy(text, "00-", 3);
    memcpy(text + 3, parent->trace_id, 32);
    text[35] = '-';
    digits_put(text + 36, span_id ? span_id : 1); /* none is all zeros */
    text[52] = '-';
    text[53] = "0123456789abcdef"[parent->flags >> 4];
    text[54] = "0123456789abcdef"[parent->flags & 15];
    return str_of(text, TRACE_PARENT_LEN);
}

Str trace_parent_new(uint64_t trace_high, uint64_t trace_low, uint64_t span_id, char *text)
{
    TraceParent parent = { .flags = 0 };
    digits_put(parent.trace_id, trace_high);
    digits_put(parent.trace_id + 16, trace_high | trace_low ? trace_low : 1); /* none is all zeros */
    return trace_parent_format(&parent, span_id, text);
}

static bool key_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '*' ||
           c == '/' || c == '@';
}

/* key = value: a vendor's name, then printable characters but ',' and '='. */
static bool member_ok(Str member)
{
    ptrdiff_t equals = str_find_char(member, '=');
    if (equals <= 0 || equals > KEY_MAX || member.len - (size_t)equals - 1 > VALUE_MAX)
        return false;
    Str key = str_sub(member, 0, (size_t)equals), value = str_from(member, (size_t)equals + 1);
    bool starts = (key.ptr[0] >= 'a' && key.ptr[0] <= 'z') || (key.ptr[0] >= '0' && key.ptr[0] <= '9');
    for (size_t i = 0; i < key.len; i++)
        starts = starts && key_char(key.ptr[i]);
    for (size_t i = 0; i < value.len; i++)
        starts = starts && value.ptr[i] >= ' ' && value.ptr[i] <= '~' && value.ptr[i] != '=';
    return starts && value.len > 0;
}

bool trace_state_put(Str text, Buf *out)
{
    Str members[TRACE_STATE_MEMBERS_MAX], member;
    size_t count = 0, from = out->len;
    while (str_split(&text, ',', &member)) {
        member = str_trim(member);
        if (member.len == 0)
            continue; /* an empty one is allowed */
        if (count == TRACE_STATE_MEMBERS_MAX || !member_ok(member))
            return false;
        Str key = str_sub(member, 0, (size_t)str_find_char(member, '=') + 1);
        for (size_t i = 0; i < count; i++) {
            if (str_starts(members[i], key))
                return false; /* each vendor once */
        }
        members[count++] = member;
    }
    /* Those on the left are the latest: what does not fit falls off on the right. */
    for (size_t i = 0; i < count && out->len - from + members[i].len + 1 <= TRACE_STATE_BYTES_MAX; i++) {
        if (i > 0)
            buf_put_char(out, ',');
        buf_put(out, members[i]);
    }
    return true;
}
