/* Looks at text before a reader that is not ours does: encoding, sizes, and the structure that
 * every row must have. One pass, no memory but counters; lines are counted only for an error.
 * 1. A CSV is cut here as raw_text.c cuts it and as the engine is told to: raw_csv_dialect and
 * raw_csv_field are the one place that says how.
 * 2. What passes has the same number of fields in every record, text behind no closing quote, and
 * every JSON row is an object of tokens that JSON has. As text, such rows are rows still (raw.h),
 * and only what would make rows uncertain is refused. */
#include "sql/raw_priv.h"

#include <string.h>

enum { KEYS_MAX = RAW_COLUMNS_MAX, DIALECT_RECORDS = 20, ENCODING_STEP = 256 };

static const uint64_t HIGH_BITS = 0x8080808080808080u;

static const char *const CSV_HINT = "quote what holds a delimiter, or say delim, quote; a model "
                                    "that declares columns sets such records "
                                    "aside, as_text := true gives them in _raw";
static const char *const JSON_HINT =
    "rows are objects, one behind the other or the items of one array";
static const char *const EMPTY_HINT = "declare them: columns := {'name': 'TYPE', ...}";

static Code at_byte(Code code, Str text, Str address, size_t at, Err *err)
{
    long long line = 1;
    for (Str rest = str_sub(text, 0, at); rest.len > 0; line++) {
        const char *next = memchr(rest.ptr, '\n', rest.len);
        if (!next)
            break;
        rest = str_from(rest, (size_t)(next - rest.ptr) + 1);
    }
    return err_place(err, code, STR_FMT ":%lld", STR_ARG(address), line);
}

/* ---- encoding ---- */

/* The first byte that is no UTF-8, somewhat earlier at most; the length when all is. */
static size_t find_no_utf8(Str text)
{
    for (size_t at = 0; at < text.len;) {
        uint64_t word;
        if (text.len - at >= sizeof word) {
            memcpy(&word, text.ptr + at, sizeof word);
            if (!(word & HIGH_BITS)) {
                at += sizeof word;
                continue;
            }
        }
        size_t end = MIN(at + ENCODING_STEP, text.len);
        while (end < text.len && ((unsigned char)text.ptr[end] & 0xc0) == 0x80)
            end++;
        if (!str_is_utf8(str_sub(text, at, end - at))) {
            while (at < end && str_is_utf8(str_sub(text, at, 1)))
                at++; /* the ASCII before it */
            return at;
        }
        at = end;
    }
    return text.len;
}

static Code check_encoding(Str text, Str address, Err *err)
{
    if (str_starts(text, STR("\xff\xfe")) || str_starts(text, STR("\xfe\xff"))) {
        err_set(err, E_CORRUPT, "the text is UTF-16; only UTF-8 is read");
        return err_place(err, E_CORRUPT, STR_FMT, STR_ARG(address));
    }
    const char *nul = text.len ? memchr(text.ptr, 0, text.len) : NULL;
    if (nul)
        return at_byte(err_set(err, E_CORRUPT, "there is a zero byte in the text"), text, address,
                       (size_t)(nul - text.ptr), err);
    size_t bad = find_no_utf8(text);
    if (bad == text.len)
        return E_OK;
    Code code = err_set(err, E_CORRUPT, "the text is not UTF-8");
    return at_byte(err_hint(err, code, "convert it to UTF-8 before it is ingested"), text, address,
                   bad, err);
}

static Str without_mark(Str text)
{
    return str_starts(text, STR("\xef\xbb\xbf")) ? str_from(text, 3) : text;
}

bool raw_text_is_empty(RawFormat format, Str text)
{
    text = str_trim(without_mark(text));
    if (format == RAW_JSON && text.len >= 2 && text.ptr[0] == '[' && text.ptr[text.len - 1] == ']')
        return str_trim(str_sub(text, 1, text.len - 2)).len == 0;
    return text.len == 0;
}

Code raw_empty_error(Str address, Err *err)
{
    Code code = err_set(err, E_CORRUPT, "the object is empty: it has no columns to be found");
    code = err_hint(err, code, "%s", EMPTY_HINT);
    return err_place(err, code, STR_FMT ":1", STR_ARG(address));
}

/* ---- CSV ---- */

static bool ends_line(char c)
{
    return c == '\n' || c == '\r';
}

size_t raw_csv_field(Str s, size_t at, RawDialect d, RawField *ret_field)
{
    size_t start = at;
    *ret_field = (RawField){ 0 };
    while (at < s.len && s.ptr[at] == ' ' && d.delim != ' ')
        at++;
    if (at < s.len && s.ptr[at] == d.quote) {
        size_t from = ++at;
        for (;;) {
            const char *next = at < s.len ? memchr(s.ptr + at, d.quote, s.len - at) : NULL;
            ret_field->is_open = !next;
            at = next ? (size_t)(next - s.ptr) : s.len;
            if (!next || at + 1 >= s.len || s.ptr[at + 1] != d.quote)
                break;
            ret_field->is_doubled = true;
            at += 2;
        }
        ret_field->is_quoted = true;
        ret_field->text = str_sub(s, from, at - from);
        at += !ret_field->is_open;
        while (at < s.len && s.ptr[at] == ' ' && d.delim != ' ')
            at++;
        start = at;
    }
    while (at < s.len && s.ptr[at] != d.delim && !ends_line(s.ptr[at]))
        at++;
    if (ret_field->is_quoted)
        ret_field->has_more = at > start;
    else
        ret_field->text = str_sub(s, start, at - start);
    return at;
}

static size_t skip_line_ends(Str s, size_t at)
{
    while (at < s.len && ends_line(s.ptr[at]))
        at++;
    return at;
}

/* The fields of the record at `*at`, which becomes its end. */
static size_t record_width(Str s, size_t *at, RawDialect d)
{
    RawField field;
    size_t width = 1;
    for (;; width++) {
        *at = raw_csv_field(s, *at, d, &field);
        if (*at >= s.len || s.ptr[*at] != d.delim)
            return width;
        ++*at;
    }
}

/* The delimiter that cuts the first records into as many fields each; else the one that cuts the
 * first into most. */
RawDialect raw_csv_dialect(Str text, Str delim, Str quote)
{
    static const char candidates[] = { ',', ';', '\t', '|' };
    RawDialect best = { delim.len ? delim.ptr[0] : ',', quote.len ? quote.ptr[0] : '"' };
    size_t best_width = 1;
    bool best_even = false;
    text = without_mark(text);
    for (size_t c = 0; c < sizeof candidates && !delim.len; c++) {
        RawDialect d = { candidates[c], best.quote };
        size_t at = skip_line_ends(text, 0), width = 0;
        bool even = true;
        for (size_t n = 0; n < DIALECT_RECORDS && at < text.len; n++) {
            size_t now = record_width(text, &at, d);
            even = even && (n == 0 || now == width);
            width = n == 0 ? now : width;
            at = skip_line_ends(text, at);
        }
        if (width > 1 && (even > best_even || (even == best_even && width > best_width))) {
            best.delim = d.delim;
            best_width = width;
            best_even = even;
        }
    }
    return best;
}

static Code check_field(const RawField *field, bool as_text, Err *err)
{
    if (field->is_open)
        return err_set(err, E_CORRUPT, "a quote is not closed");
    if (field->has_more && !as_text)
        return err_hint(err, err_set(err, E_CORRUPT, "there is text behind a closing quote"),
                        "a quote in a quoted field is written twice; a model that declares columns "
                        "sets such records aside");
    return E_OK;
}

/* One record from `*at` on; `*width` 0: it is the first. */
static Code check_record(Str text, size_t *at, RawDialect d, bool as_text, size_t *width, Err *err)
{
    size_t start = *at, fields = 1;
    for (;; fields++) {
        RawField field;
        size_t from = *at;
        *at = raw_csv_field(text, from, d, &field);
        if (*at - start > RAW_FIELD_BYTES_MAX)
            return err_set(err, E_LIMIT, "a record has more than %d bytes", RAW_FIELD_BYTES_MAX);
        Code code = check_field(&field, as_text, err);
        if (code != E_OK) {
            *at = from;
            return code;
        }
        if (fields >= RAW_COLUMNS_MAX)
            return err_set(err, E_LIMIT, "a line has more than %d fields", RAW_COLUMNS_MAX);
        if (*at >= text.len || text.ptr[*at] != d.delim)
            break;
        ++*at;
    }
    if (*width == 0)
        *width = fields;
    if (fields == *width || as_text)
        return E_OK;
    *at = start;
    return err_hint(
        err,
        err_set(err, E_CORRUPT, "a record has %zu fields, the first one has %zu", fields, *width),
        "%s", CSV_HINT);
}

Code raw_check_csv(Str text, RawDialect dialect, bool as_text, Str address, Err *err)
{
    TRY(check_encoding(text, address, err));
    Str s = without_mark(text);
    size_t width = 0;
    for (size_t at = skip_line_ends(s, 0); at < s.len; at = skip_line_ends(s, at)) {
        Code code = check_record(s, &at, dialect, as_text, &width, err);
        if (code != E_OK)
            return at_byte(code, s, address, at, err);
    }
    return E_OK;
}

/* ---- JSON ---- */

static Code check_word(Str text, size_t at, Err *err)
{
    bool is_null = text.ptr[at] == 'n' && at + 1 < text.len && text.ptr[at + 1] == 'u';
    return is_null ? E_OK
                   : err_hint(err,
                              err_set(err, E_CORRUPT,
                                      "there is a value that JSON does not have, like NaN"),
                              "write null, or the number as a string");
}

/* From the quote at `at` to the closing one; the length when there is none. */
static size_t string_end(Str text, size_t at)
{
    for (at++; at < text.len && text.ptr[at] != '"'; at++)
        if (text.ptr[at] == '\\')
            at++;
    return MIN(at, text.len);
}

static Code too_long(Err *err)
{
    return err_set(err, E_LIMIT, "a value has more than %d bytes", RAW_FIELD_BYTES_MAX);
}

/* From the `{` at `*at` to behind its `}`: depth, keys, size, words that JSON does not have. */
static Code check_object(Str text, size_t *at, Err *err)
{
    size_t keys[RAW_JSON_DEPTH_MAX + 1] = { 0 };
    size_t start = *at;
    int depth = 0;
    for (size_t i = start; i < text.len; i++) {
        *at = i;
        switch (text.ptr[i]) {
        case '"':
            i = string_end(text, i);
            if (i - start > RAW_FIELD_BYTES_MAX)
                return too_long(err);
            break;
        case '{':
        case '[':
            if (++depth > RAW_JSON_DEPTH_MAX)
                return err_set(err, E_LIMIT, "the JSON is nested deeper than %d",
                               RAW_JSON_DEPTH_MAX);
            keys[depth] = 0;
            break;
        case '}':
        case ']':
            if (--depth > 0)
                break;
            *at = i + 1;
            return i - start < RAW_FIELD_BYTES_MAX ? E_OK : too_long(err);
        case ':':
            if (++keys[depth] > KEYS_MAX)
                return err_set(err, E_LIMIT, "an object has more than %d keys", KEYS_MAX);
            break;
        case 'n':
        case 'N':
        case 'i':
        case 'I':
            TRY(check_word(text, i, err));
            break;
        default:
            break;
        }
    }
    *at = text.len;
    return text.len - start > RAW_FIELD_BYTES_MAX
               ? too_long(err)
               : err_set(err, E_CORRUPT, "the JSON ends too early");
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Objects, blank between them; in an array also commas, whose places the reader checks. */
static Code check_objects(Str text, size_t *at, Err *err)
{
    bool in_array = false, ended = false;
    while (*at < text.len) {
        char c = text.ptr[*at];
        if (c == '{' && !ended) {
            TRY(check_object(text, at, err));
            continue;
        }
        bool opens = c == '[' && !in_array && str_trim(str_sub(text, 0, *at)).len == 0;
        bool closes = c == ']' && in_array && !ended;
        if (!is_blank(c) && !opens && !closes && !(c == ',' && in_array && !ended))
            return err_hint(err,
                            err_set(err, E_CORRUPT,
                                    ended ? "there is text behind the array"
                                          : "a value that is no object stands where a row should"),
                            "%s", JSON_HINT);
        in_array = in_array || opens;
        ended = ended || closes;
        ++*at;
    }
    return in_array && !ended ? err_set(err, E_CORRUPT, "the JSON ends too early") : E_OK;
}

/* Values a line: each is parsed by code of ours, with its own limits. */
static Code check_lines(Str text, size_t *at, Err *err)
{
    while (*at < text.len) {
        const char *next = memchr(text.ptr + *at, '\n', text.len - *at);
        size_t end = next ? (size_t)(next - text.ptr) : text.len;
        if (end - *at > RAW_FIELD_BYTES_MAX)
            return too_long(err);
        *at = end + 1;
    }
    return E_OK;
}

Code raw_check_json(Str text, bool as_text, Str address, Err *err)
{
    TRY(check_encoding(text, address, err));
    Str s = without_mark(text);
    size_t at = 0;
    bool is_array = str_starts(str_trim(s), STR("["));
    Code code = as_text && !is_array ? check_lines(s, &at, err) : E_OK;
    if (!as_text)
        code = check_objects(s, &at, err);
    return code == E_OK ? E_OK : at_byte(code, s, address, MIN(at, s.len), err);
}
