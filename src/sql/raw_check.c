/* Looks at text before a reader that is not ours does. One pass, no memory but counters. */
#include "sql/raw_priv.h"

#include <string.h>

enum { KEYS_MAX = RAW_COLUMNS_MAX };

static Code check_encoding(Str text, Str address, Err *err)
{
    if (str_starts(text, STR("\xff\xfe")) || str_starts(text, STR("\xfe\xff"))) {
        err_set(err, E_CORRUPT, "the text is UTF-16; only UTF-8 is read");
        return err_place(err, E_CORRUPT, STR_FMT, STR_ARG(address));
    }
    const char *nul = text.len ? memchr(text.ptr, 0, text.len) : NULL;
    if (nul || !str_is_utf8(text)) {
        err_set(err, E_CORRUPT, nul ? "there is a zero byte in the text" : "the text is not UTF-8");
        return err_place(err, E_CORRUPT, STR_FMT, STR_ARG(address));
    }
    return E_OK;
}

static Code at_line(Code code, Str address, int64_t line, Err *err)
{
    return err_place(err, code, STR_FMT ":%lld", STR_ARG(address), (long long)line);
}

Code raw_check_csv(Str text, Str delim, Str quote, Str address, Err *err)
{
    TRY(check_encoding(text, address, err));
    char quote_char = quote.len ? quote.ptr[0] : '"';
    bool quoted = false;
    int64_t line = 1, quote_line = 0;
    size_t line_bytes = 0, delims = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        line_bytes++;
        if (c == quote_char) {
            quoted = !quoted;
            quote_line = line;
        } else if (c == '\n') {
            line++;
            if (!quoted)
                line_bytes = delims = 0;
        } else if (!quoted && (delim.len ? c == delim.ptr[0]
                                         : c == ',' || c == ';' || c == '\t' || c == '|')) {
            delims++;
        }
        if (delims >= RAW_COLUMNS_MAX)
            return at_line(err_set(err, E_LIMIT, "a line has more than %d fields", RAW_COLUMNS_MAX),
                           address, line, err);
        if (line_bytes > RAW_FIELD_BYTES_MAX)
            return at_line(
                err_set(err, E_LIMIT, "a record has more than %d bytes", RAW_FIELD_BYTES_MAX),
                address, line, err);
    }
    if (quoted)
        return at_line(err_set(err, E_CORRUPT, "a quote is not closed"), address, quote_line, err);
    return E_OK;
}

/* Counters over JSON text. */
typedef struct JsonScan {
    bool in_string, escaped;
    int depth, base;                     /* base 1: the values are the items of one array */
    size_t keys[RAW_JSON_DEPTH_MAX + 1]; /* of the object that is open at each depth */
    size_t value_bytes;
    int64_t line;
} JsonScan;

static Code scan_byte(JsonScan *s, char c, Str address, Err *err)
{
    s->value_bytes++;
    if (c == '\n')
        s->line++;
    if (s->in_string) {
        if (s->escaped)
            s->escaped = false;
        else if (c == '\\')
            s->escaped = true;
        else if (c == '"')
            s->in_string = false;
    } else if (c == '"') {
        s->in_string = true;
    } else if (c == '{' || c == '[') {
        if (++s->depth > RAW_JSON_DEPTH_MAX)
            return at_line(
                err_set(err, E_LIMIT, "the JSON is nested deeper than %d", RAW_JSON_DEPTH_MAX),
                address, s->line, err);
        s->keys[s->depth] = 0;
    } else if (c == '}' || c == ']') {
        s->depth--;
    } else if (c == ':' && s->depth >= 0 && ++s->keys[s->depth] > KEYS_MAX) {
        return at_line(err_set(err, E_LIMIT, "an object has more than %d keys", KEYS_MAX), address,
                       s->line, err);
    }
    if (!s->in_string && s->depth <= s->base)
        s->value_bytes = 0;
    if (s->value_bytes > RAW_FIELD_BYTES_MAX)
        return at_line(err_set(err, E_LIMIT, "a value has more than %d bytes", RAW_FIELD_BYTES_MAX),
                       address, s->line, err);
    return E_OK;
}

Code raw_check_json(Str text, Str address, Err *err)
{
    TRY(check_encoding(text, address, err));
    Str trimmed = str_trim(text);
    JsonScan s = { .line = 1, .base = trimmed.len && trimmed.ptr[0] == '[' ? 1 : 0 };
    for (size_t i = 0; i < text.len; i++)
        TRY(scan_byte(&s, text.ptr[i], address, err));
    if (s.in_string || s.depth != 0)
        return at_line(err_set(err, E_CORRUPT, "the JSON ends too early"), address, s.line, err);
    return E_OK;
}
