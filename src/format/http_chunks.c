/* Chunked bodies (RFC 9112 7.1): a machine of one byte at a time around runs of data, and lines of
 * trailers that are checked when they are whole.
 *
 * Invariants:
 * 1. `left` is 0 but in CHUNK_SIZE (the number so far), CHUNK_EXTENSION.., CHUNK_SIZE_LF and
 *    CHUNK_DATA.
 * 2. `trailers` holds checked lines, and behind them at most one that has no LF yet; it never grows
 *    beyond HTTP_TRAILER_BYTES_MAX. It takes memory only when a trailer comes. */
#include "format/http_priv.h"

#include <string.h>

enum { CHUNK_DIGITS_MAX = 15, EXTENSION_MAX = 256, EXTENSIONS_MAX = 16 << 10 };

enum ChunkState {
    CHUNK_SIZE, /* the zeroed state */
    EXT_BEFORE, /* blanks before a `;` */
    EXT_NAME_BEGIN,
    EXT_NAME,
    EXT_NAME_OVER, /* blanks behind a name */
    EXT_VALUE_BEGIN,
    EXT_VALUE,
    EXT_QUOTED,
    EXT_ESCAPED, /* behind a backslash in quotes */
    EXT_QUOTED_OVER,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILERS,
    CHUNK_OVER
};

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* ---- extensions: *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ) ---- */

enum ExtensionByte {
    BY_TOKEN,
    BY_BLANK,
    BY_SEMICOLON,
    BY_EQUALS,
    BY_QUOTE,
    BY_BACKSLASH,
    BY_CR,
    BY_TEXT,
    BY_OTHER
};

/* The state behind each kind of byte; 0: it may not stand there. */
static const uint8_t extension_next[CHUNK_SIZE_LF][BY_OTHER + 1] = {
    [EXT_BEFORE] = { [BY_BLANK] = EXT_BEFORE, [BY_SEMICOLON] = EXT_NAME_BEGIN },
    [EXT_NAME_BEGIN] = { [BY_BLANK] = EXT_NAME_BEGIN, [BY_TOKEN] = EXT_NAME },
    [EXT_NAME] = { [BY_TOKEN] = EXT_NAME,
                   [BY_BLANK] = EXT_NAME_OVER,
                   [BY_SEMICOLON] = EXT_NAME_BEGIN,
                   [BY_EQUALS] = EXT_VALUE_BEGIN,
                   [BY_CR] = CHUNK_SIZE_LF },
    [EXT_NAME_OVER] = { [BY_BLANK] = EXT_NAME_OVER,
                        [BY_SEMICOLON] = EXT_NAME_BEGIN,
                        [BY_EQUALS] = EXT_VALUE_BEGIN },
    [EXT_VALUE_BEGIN] = { [BY_BLANK] = EXT_VALUE_BEGIN,
                          [BY_TOKEN] = EXT_VALUE,
                          [BY_QUOTE] = EXT_QUOTED },
    [EXT_VALUE] = { [BY_TOKEN] = EXT_VALUE,
                    [BY_BLANK] = EXT_BEFORE,
                    [BY_SEMICOLON] = EXT_NAME_BEGIN,
                    [BY_CR] = CHUNK_SIZE_LF },
    [EXT_QUOTED] = { [BY_TOKEN] = EXT_QUOTED,
                     [BY_BLANK] = EXT_QUOTED,
                     [BY_SEMICOLON] = EXT_QUOTED,
                     [BY_EQUALS] = EXT_QUOTED,
                     [BY_TEXT] = EXT_QUOTED,
                     [BY_BACKSLASH] = EXT_ESCAPED,
                     [BY_QUOTE] = EXT_QUOTED_OVER },
    [EXT_ESCAPED] = { [BY_TOKEN] = EXT_QUOTED,
                      [BY_BLANK] = EXT_QUOTED,
                      [BY_SEMICOLON] = EXT_QUOTED,
                      [BY_EQUALS] = EXT_QUOTED,
                      [BY_TEXT] = EXT_QUOTED,
                      [BY_BACKSLASH] = EXT_QUOTED,
                      [BY_QUOTE] = EXT_QUOTED },
    [EXT_QUOTED_OVER] = { [BY_BLANK] = EXT_BEFORE,
                          [BY_SEMICOLON] = EXT_NAME_BEGIN,
                          [BY_CR] = CHUNK_SIZE_LF },
};

static enum ExtensionByte extension_kind(char c)
{
    if (http_byte_in(c, HTTP_IN_TOKEN))
        return BY_TOKEN;
    switch (c) {
    case ' ':
    case '\t':
        return BY_BLANK;
    case ';':
        return BY_SEMICOLON;
    case '=':
        return BY_EQUALS;
    case '"':
        return BY_QUOTE;
    case '\\':
        return BY_BACKSLASH;
    case '\r':
        return BY_CR;
    default:
        return http_byte_in(c, HTTP_IN_VALUE) ? BY_TEXT : BY_OTHER;
    }
}

static HttpStep extension_byte(HttpChunks *chunks, char c, HttpRefusal *ret_refusal)
{
    if (++chunks->extension_len > EXTENSION_MAX || ++chunks->extensions_len > EXTENSIONS_MAX)
        return http_refuse(ret_refusal, 400, "a chunk extension is too long");
    chunks->state = extension_next[chunks->state][extension_kind(c)];
    if (chunks->state == 0)
        return http_refuse(ret_refusal, 400, "a chunk extension is not ;NAME=VALUE");
    return HTTP_MORE;
}

/* ---- sizes and line ends ---- */

static HttpStep size_byte(HttpChunks *chunks, uint8_t c, HttpRefusal *ret_refusal)
{
    int digit = hex_value(c);
    if (digit >= 0) {
        if (++chunks->digits > CHUNK_DIGITS_MAX)
            return http_refuse(ret_refusal, 400, "the size of a chunk has too many digits");
        chunks->left = chunks->left << 4 | (unsigned)digit;
        return HTTP_MORE;
    }
    bool blank = c == ' ' || c == '\t';
    if (chunks->digits == 0 || (c != '\r' && c != ';' && !blank))
        return http_refuse(ret_refusal, 400, "the size of a chunk is not a hexadecimal number");
    chunks->extension_len = 0;
    chunks->state = c == '\r' ? CHUNK_SIZE_LF : c == ';' ? EXT_NAME_BEGIN : EXT_BEFORE;
    return HTTP_MORE;
}

/* The byte that a state waits for, and the state behind it. */
static HttpStep exact_byte(HttpChunks *chunks, uint8_t c, uint8_t wanted, int next,
                           HttpRefusal *ret_refusal)
{
    if (c != wanted)
        return http_refuse(ret_refusal, 400,
                           "a chunk is longer than its size, or a line does not end with CR LF");
    chunks->state = next;
    return HTTP_MORE;
}

static HttpStep control_byte(HttpChunks *chunks, uint8_t c, HttpRefusal *ret_refusal)
{
    switch (chunks->state) {
    case CHUNK_SIZE:
        return size_byte(chunks, c, ret_refusal);
    case CHUNK_SIZE_LF:
        return exact_byte(chunks, c, '\n', chunks->left > 0 ? CHUNK_DATA : CHUNK_TRAILERS,
                          ret_refusal);
    case CHUNK_DATA_CR:
        return exact_byte(chunks, c, '\r', CHUNK_DATA_LF, ret_refusal);
    case CHUNK_DATA_LF:
        chunks->digits = 0;
        return exact_byte(chunks, c, '\n', CHUNK_SIZE, ret_refusal);
    default:
        return extension_byte(chunks, (char)c, ret_refusal);
    }
}

/* ---- trailers ---- */

/* Those that change how a message is framed or where it goes; two readers could differ. */
static const Str trailers_refused[] = { STR_INIT("Content-Length"), STR_INIT("Transfer-Encoding"),
                                        STR_INIT("Host") };
/* Those that a recipient must know before the body (RFC 9110 6.5.1): they do not count any more. */
static const Str trailers_dropped[] = {
    STR_INIT("Age"),
    STR_INIT("Authorization"),
    STR_INIT("Cache-Control"),
    STR_INIT("Connection"),
    STR_INIT("Content-Encoding"),
    STR_INIT("Content-Range"),
    STR_INIT("Content-Type"),
    STR_INIT("Cookie"),
    STR_INIT("Expect"),
    STR_INIT("Forwarded"),
    STR_INIT("If-Match"),
    STR_INIT("If-Modified-Since"),
    STR_INIT("If-None-Match"),
    STR_INIT("If-Range"),
    STR_INIT("If-Unmodified-Since"),
    STR_INIT("Keep-Alive"),
    STR_INIT("Max-Forwards"),
    STR_INIT("Origin"),
    STR_INIT("Pragma"),
    STR_INIT("Proxy-Authorization"),
    STR_INIT("Proxy-Connection"),
    STR_INIT("Range"),
    STR_INIT("TE"),
    STR_INIT("Trailer"),
    STR_INIT("Upgrade"),
    STR_INIT("X-Forwarded-For"),
    STR_INIT("X-Forwarded-Host"),
    STR_INIT("X-Forwarded-Proto"),
};

static bool one_of(Str name, const Str *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (str_ieq(name, names[i]))
            return true;
    return false;
}

/* HTTP_DONE: it may be given on; HTTP_MORE: it is left out. */
static HttpStep trailer_check(Str name, Str value, HttpRefusal *ret_refusal)
{
    if (!http_token_ok(name))
        return http_refuse(ret_refusal, 400, "a trailer is not NAME: VALUE");
    if (!http_value_ok(value))
        return http_refuse(ret_refusal, 400, "a control character in a trailer");
    if (one_of(name, trailers_refused, ARRAY_LEN(trailers_refused)))
        return http_refuse(ret_refusal, 400, "a field that may not stand in the trailers");
    return one_of(name, trailers_dropped, ARRAY_LEN(trailers_dropped)) ? HTTP_MORE : HTTP_DONE;
}

HttpStep http_trailer_put(Buf *trailers, Str name, Str value, HttpRefusal *ret_refusal)
{
    value = http_trim(value);
    HttpStep step = trailer_check(name, value, ret_refusal);
    if (step != HTTP_DONE)
        return step;
    if (trailers->max == 0)
        buf_init(trailers, HTTP_TRAILER_BYTES_MAX);
    if (trailers->len + name.len + value.len + 3 > HTTP_TRAILER_BYTES_MAX)
        return http_refuse(ret_refusal, 431, "the trailers are too long");
    buf_put(trailers, name);
    buf_put_char(trailers, ':');
    buf_put(trailers, value);
    buf_put(trailers, STR("\r\n"));
    return HTTP_DONE;
}

bool http_trailer_next(Str *rest, Str *ret_name, Str *ret_value)
{
    if (rest->len == 0)
        return false;
    const char *colon = memchr(rest->ptr, ':', rest->len),
               *end = memchr(rest->ptr, '\n', rest->len);
    *ret_name = str_of(rest->ptr, (size_t)(colon - rest->ptr));
    *ret_value = http_trim(str_of(colon + 1, (size_t)(end - colon) - 2));
    *rest = str_from(*rest, (size_t)(end - rest->ptr) + 1);
    return true;
}

Str http_trailer(Str trailers, Str name)
{
    Str each, value;
    while (http_trailer_next(&trailers, &each, &value))
        if (str_ieq(each, name))
            return value;
    return STR_NONE;
}

/* The line that just became whole, at the end of `trailers`. HTTP_DONE: it is the empty one. */
static HttpStep trailer_line(HttpChunks *chunks, HttpRefusal *ret_refusal)
{
    Str line = str_from(buf_str(&chunks->trailers), chunks->trailer_at);
    if (line.len < 2 || line.ptr[line.len - 2] != '\r')
        return http_refuse(ret_refusal, 400, "a line ends without CR");
    line.len -= 2;
    if (line.len == 0) {
        chunks->trailers.len = chunks->trailer_at;
        return HTTP_DONE;
    }
    ptrdiff_t colon = str_find_char(line, ':');
    Str name = str_sub(line, 0, colon < 0 ? 0 : (size_t)colon);
    Str value = http_trim(str_from(line, name.len + 1));
    HttpStep step = trailer_check(name, value, ret_refusal);
    if (step == HTTP_REFUSE)
        return step;
    if (++chunks->trailer_count > HTTP_FIELDS_MAX)
        return http_refuse(ret_refusal, 431, "too many trailers");
    if (step == HTTP_MORE)
        chunks->trailers.len = chunks->trailer_at;
    chunks->trailer_at = chunks->trailers.len;
    return HTTP_MORE;
}

/* Takes bytes up to the end of a line. */
static HttpStep trailer_bytes(HttpChunks *chunks, Str *in, HttpRefusal *ret_refusal)
{
    const char *end = memchr(in->ptr, '\n', in->len);
    Str piece = str_sub(*in, 0, end ? (size_t)(end - in->ptr) + 1 : in->len);
    chunks->trailers_len += piece.len;
    if (chunks->trailers_len > HTTP_TRAILER_BYTES_MAX)
        return http_refuse(ret_refusal, 431, "the trailers are too long");
    *in = str_from(*in, piece.len);
    if (chunks->trailers.max == 0) {
        if (chunks->trailers_len == 2 && str_eq(piece, STR("\r\n"))) { /* none, as nearly always */
            chunks->state = CHUNK_OVER;
            return HTTP_MORE;
        }
        buf_init(&chunks->trailers, HTTP_TRAILER_BYTES_MAX);
    }
    buf_put(&chunks->trailers, piece);
    HttpStep step = end ? trailer_line(chunks, ret_refusal) : HTTP_MORE;
    if (step == HTTP_DONE)
        chunks->state = CHUNK_OVER;
    return step;
}

Str http_chunks_trailers(const HttpChunks *chunks)
{
    return buf_str(&chunks->trailers);
}

void http_chunks_done(HttpChunks *chunks)
{
    buf_done(&chunks->trailers);
}

/* ---- bodies ---- */

HttpStep http_chunks_next(HttpChunks *chunks, Str *in, Str *ret_data, HttpRefusal *ret_refusal)
{
    *ret_data = str_of(in->ptr, 0);
    while (in->len > 0 && chunks->state != CHUNK_OVER) {
        if (chunks->state == CHUNK_DATA) {
            size_t len = (size_t)MIN((uint64_t)in->len, chunks->left);
            *ret_data = str_sub(*in, 0, len);
            *in = str_from(*in, len);
            chunks->left -= len;
            chunks->total += len;
            if (chunks->left == 0)
                chunks->state = CHUNK_DATA_CR;
            return HTTP_MORE;
        }
        if (chunks->state == CHUNK_TRAILERS) {
            if (trailer_bytes(chunks, in, ret_refusal) == HTTP_REFUSE)
                return HTTP_REFUSE;
            continue;
        }
        if (control_byte(chunks, (uint8_t)in->ptr[0], ret_refusal) == HTTP_REFUSE)
            return HTTP_REFUSE;
        *in = str_from(*in, 1);
    }
    return chunks->state == CHUNK_OVER ? HTTP_DONE : HTTP_MORE;
}
