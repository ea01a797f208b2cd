#include "format/json.h"

#include <string.h>

static const char hex_digits[] = "0123456789abcdef";

/* How many bytes at `at` are one well-formed UTF-8 character (RFC 3629); 0: none. */
static size_t utf8_len(Str text, size_t at)
{
    static const uint8_t sizes[] = { 2, 3, 4 };
    uint8_t lead = (uint8_t)text.ptr[at];
    if (lead < 0x80)
        return 1;
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++)
        if (at + sizes[i] <= text.len && str_is_utf8(str_sub(text, at, sizes[i])))
            return lead >= 0xC2 ? sizes[i] : 0;
    return 0;
}

static void put_escape(Buf *out, uint8_t c)
{
    switch (c) {
    case '"':
        buf_put(out, STR("\\\""));
        break;
    case '\\':
        buf_put(out, STR("\\\\"));
        break;
    case '\b':
        buf_put(out, STR("\\b"));
        break;
    case '\f':
        buf_put(out, STR("\\f"));
        break;
    case '\n':
        buf_put(out, STR("\\n"));
        break;
    case '\r':
        buf_put(out, STR("\\r"));
        break;
    case '\t':
        buf_put(out, STR("\\t"));
        break;
    default: {
        char escape[6] = { '\\', 'u', '0', '0', hex_digits[c >> 4], hex_digits[c & 15] };
        buf_put(out, str_of(escape, sizeof escape));
    }
    }
}

/* Printable ASCII without what JSON escapes, as names and numbers in texts are: eight bytes at a time. For bytes
 * below 0x80, `x - k` borrows into the high bit when x is below k, and x ^ c is 0 for the byte c alone. */
static bool is_plain(Str text)
{
    static const uint64_t ones = 0x0101010101010101, highs = 0x8080808080808080;
    for (size_t at = 0; at < text.len; at += sizeof ones) {
        uint64_t word = ones * 'a';
        memcpy(&word, text.ptr + at, MIN(text.len - at, sizeof word));
        uint64_t quotes = word ^ ones * '"', slashes = word ^ ones * '\\';
        if ((word | (word - ones * 0x20) | (quotes - ones) | (slashes - ones)) & highs)
            return false;
    }
    return true;
}

static void put_plain(Buf *out, Str text)
{
    if (!buf_reserve(out, text.len + 2))
        return;
    char *at = out->ptr + out->len;
    at[0] = '"';
    if (text.len)
        memcpy(at + 1, text.ptr, text.len);
    at[text.len + 1] = '"';
    out->len += text.len + 2;
}

void json_quote(Buf *out, Str text)
{
    if (is_plain(text)) {
        put_plain(out, text);
        return;
    }
    bool clean = str_is_utf8(text);
    size_t start = 0;
    buf_put_char(out, '"');
    for (size_t at = 0; at < text.len;) {
        uint8_t c = (uint8_t)text.ptr[at];
        size_t len = clean || c < 0x80 ? 1 : utf8_len(text, at);
        if (len > 0 && c >= 0x20 && c != '"' && c != '\\') {
            at += len;
            continue;
        }
        buf_put(out, str_sub(text, start, at - start));
        if (len == 0)
            buf_put(out, STR("\xEF\xBF\xBD"));
        else
            put_escape(out, c);
        start = ++at;
    }
    buf_put(out, str_from(text, start));
    buf_put_char(out, '"');
}

JsonWriter json_writer(Buf *out)
{
    return (JsonWriter){ .out = out };
}

static void item_begin(JsonWriter *w)
{
    if (w->comma)
        buf_put_char(w->out, ',');
    w->comma = true;
}

static void bracket_open(JsonWriter *w, char bracket)
{
    item_begin(w);
    buf_put_char(w->out, bracket);
    w->comma = false;
}

static void bracket_close(JsonWriter *w, char bracket)
{
    buf_put_char(w->out, bracket);
    w->comma = true;
}

void json_begin_object(JsonWriter *w)
{
    bracket_open(w, '{');
}

void json_end_object(JsonWriter *w)
{
    bracket_close(w, '}');
}

void json_begin_array(JsonWriter *w)
{
    bracket_open(w, '[');
}

void json_end_array(JsonWriter *w)
{
    bracket_close(w, ']');
}

void json_key(JsonWriter *w, Str key)
{
    item_begin(w);
    json_quote(w->out, key);
    buf_put_char(w->out, ':');
    w->comma = false;
}

void json_put_raw(JsonWriter *w, Str json)
{
    item_begin(w);
    buf_put(w->out, json);
}

void json_put_str(JsonWriter *w, Str text)
{
    if (!text.ptr) {
        json_put_null(w);
        return;
    }
    item_begin(w);
    json_quote(w->out, text);
}

static void put_digits(Buf *out, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;
    do
        digits[--at] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    buf_put(out, str_of(digits + at, sizeof digits - at));
}

void json_put_i64(JsonWriter *w, int64_t number)
{
    item_begin(w);
    if (number < 0)
        buf_put_char(w->out, '-');
    put_digits(w->out, number < 0 ? -(uint64_t)number : (uint64_t)number);
}

void json_put_u64(JsonWriter *w, uint64_t number)
{
    item_begin(w);
    put_digits(w->out, number);
}

void json_put_bool(JsonWriter *w, bool truth)
{
    json_put_raw(w, truth ? STR("true") : STR("false"));
}

void json_put_null(JsonWriter *w)
{
    json_put_raw(w, STR("null"));
}

void json_field_str(JsonWriter *w, const char *key, Str text)
{
    json_key(w, str_z(key));
    json_put_str(w, text);
}

void json_field_i64(JsonWriter *w, const char *key, int64_t number)
{
    json_key(w, str_z(key));
    json_put_i64(w, number);
}

void json_field_u64(JsonWriter *w, const char *key, uint64_t number)
{
    json_key(w, str_z(key));
    json_put_u64(w, number);
}

void json_field_f64(JsonWriter *w, const char *key, double number)
{
    json_key(w, str_z(key));
    json_put_f64(w, number);
}

void json_field_bool(JsonWriter *w, const char *key, bool truth)
{
    json_key(w, str_z(key));
    json_put_bool(w, truth);
}

void json_field_raw(JsonWriter *w, const char *key, Str json)
{
    json_key(w, str_z(key));
    json_put_raw(w, json);
}
