/* lexer.c: tokens as the engine's scanner sees them (PostgreSQL's rules: doubled quotes, E'..' with
 * backslashes, dollar quotes, nested comments), and the pass of lexer.h.
 *
 * Invariants:
 * 1. sql_token_next always moves on, or gives END or BAD; after BAD it gives END.
 * 2. Tokens do not overlap and lie in the text in order.
 * 3. SqlText.len is the length of the user's text, always. */
#include "sql/lexer.h"

#include "base/buf.h"

#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool starts_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool goes_on_name(char c)
{
    return starts_name(c) || is_digit(c) || c == '$';
}

static char byte_at(const SqlLexer *lexer, size_t at)
{
    return at < lexer->text.len ? lexer->text.ptr[at] : '\0';
}

static SqlToken token_of(SqlLexer *lexer, SqlTokenKind kind, size_t from, size_t to)
{
    lexer->at = to;
    return (SqlToken){ .kind = kind, .text = str_sub(lexer->text, from, to - from), .at = from };
}

static SqlToken token_bad(SqlLexer *lexer, size_t from, const char *why)
{
    SqlToken token = token_of(lexer, SQL_TOKEN_BAD, from, lexer->text.len);
    token.why = why;
    return token;
}

/* Past the comment that starts at `*at`; false when it does not end. */
static bool skip_block_comment(const SqlLexer *lexer, size_t *at)
{
    unsigned depth = 0;
    for (size_t i = *at; i + 1 < lexer->text.len; i++) {
        if (lexer->text.ptr[i] == '/' && lexer->text.ptr[i + 1] == '*') {
            if (++depth > LEXER_COMMENT_DEPTH_MAX)
                return false;
            i++;
        } else if (lexer->text.ptr[i] == '*' && lexer->text.ptr[i + 1] == '/') {
            i++;
            if (--depth == 0) {
                *at = i + 1;
                return true;
            }
        }
    }
    return false;
}

/* White space and comments; false: a comment at `*ret_at` does not end. */
static bool skip_blank(SqlLexer *lexer, size_t *ret_at)
{
    size_t at = lexer->at;
    for (;;) {
        if (at < lexer->text.len && is_space(lexer->text.ptr[at])) {
            at++;
        } else if (byte_at(lexer, at) == '-' && byte_at(lexer, at + 1) == '-') {
            while (at < lexer->text.len && lexer->text.ptr[at] != '\n' &&
                   lexer->text.ptr[at] != '\r')
                at++;
        } else if (byte_at(lexer, at) == '/' && byte_at(lexer, at + 1) == '*') {
            *ret_at = at;
            if (!skip_block_comment(lexer, &at))
                return false;
        } else {
            *ret_at = at;
            return true;
        }
    }
}

/* `quote` at `open`; a doubled quote stays inside. */
static SqlToken read_quoted(SqlLexer *lexer, size_t from, size_t open, char quote, bool backslash,
                            SqlTokenKind kind)
{
    for (size_t i = open + 1; i < lexer->text.len; i++) {
        if (backslash && lexer->text.ptr[i] == '\\') {
            i++;
        } else if (lexer->text.ptr[i] == quote) {
            if (byte_at(lexer, i + 1) != quote)
                return token_of(lexer, kind, from, i + 1);
            i++;
        }
    }
    return token_bad(lexer, from,
                     quote == '"' ? "the quoted name does not end" : "the string does not end");
}

static SqlToken read_dollar(SqlLexer *lexer, size_t from)
{
    size_t to = from + 1;
    if (is_digit(byte_at(lexer, to))) {
        while (is_digit(byte_at(lexer, to)))
            to++;
        return token_of(lexer, SQL_TOKEN_PARAM, from, to);
    }
    while (starts_name(byte_at(lexer, to)) || (to > from + 1 && is_digit(byte_at(lexer, to))))
        to++;
    if (byte_at(lexer, to) != '$') {
        if (to == from + 1)
            return token_of(lexer, SQL_TOKEN_SYMBOL, from, to);
        return token_of(lexer, SQL_TOKEN_PARAM, from, to);
    }
    Str tag = str_sub(lexer->text, from, to + 1 - from);
    ptrdiff_t end = str_find(str_from(lexer->text, to + 1), tag);
    if (end < 0)
        return token_bad(lexer, from, "the dollar-quoted string does not end");
    return token_of(lexer, SQL_TOKEN_STRING, from, to + 1 + (size_t)end + tag.len);
}

static SqlToken read_number(SqlLexer *lexer, size_t from)
{
    size_t to = from;
    while (goes_on_name(byte_at(lexer, to)) || byte_at(lexer, to) == '.') {
        char c = lexer->text.ptr[to];
        char next = byte_at(lexer, to + 1);
        bool hex = byte_at(lexer, from + 1) == 'x' || byte_at(lexer, from + 1) == 'X';
        if ((c == 'e' || c == 'E') && !hex && (next == '+' || next == '-') &&
            is_digit(byte_at(lexer, to + 2)))
            to++;
        to++;
    }
    return token_of(lexer, SQL_TOKEN_NUMBER, from, to);
}

static SqlToken read_name(SqlLexer *lexer, size_t from)
{
    size_t to = from;
    char c = lexer->text.ptr[from];
    if (byte_at(lexer, from + 1) == '\'' && strchr("eEbBxXnN", c) != NULL)
        return read_quoted(lexer, from, from + 1, '\'', c == 'e' || c == 'E', SQL_TOKEN_STRING);
    while (goes_on_name(byte_at(lexer, to)))
        to++;
    return token_of(lexer, SQL_TOKEN_NAME, from, to);
}

SqlToken sql_token_next(SqlLexer *lexer)
{
    size_t at = lexer->at;
    if (!skip_blank(lexer, &at))
        return token_bad(lexer, at, "the comment does not end");
    if (at >= lexer->text.len)
        return token_of(lexer, SQL_TOKEN_END, lexer->text.len, lexer->text.len);
    char c = lexer->text.ptr[at];
    char next = byte_at(lexer, at + 1);
    if (c == '\0')
        return token_bad(lexer, at, "a NUL byte is no SQL");
    if (c == '\'')
        return read_quoted(lexer, at, at, '\'', false, SQL_TOKEN_STRING);
    if (c == '"')
        return read_quoted(lexer, at, at, '"', false, SQL_TOKEN_QUOTED);
    if (c == '$')
        return read_dollar(lexer, at);
    if (c == '?')
        return token_of(lexer, SQL_TOKEN_PARAM, at, at + 1);
    if (is_digit(c) || (c == '.' && is_digit(next)))
        return read_number(lexer, at);
    if (starts_name(c))
        return read_name(lexer, at);
    return token_of(lexer, SQL_TOKEN_SYMBOL, at, at + (c == '=' && next == '>' ? 2 : 1));
}

Code sql_tokens(Str text, Arena *arena, SqlToken **ret_tokens, size_t *ret_count, Err *err)
{
    SqlLexer count_lexer = { .text = text };
    size_t count = 0;
    for (;;) {
        SqlToken token = sql_token_next(&count_lexer);
        if (token.kind == SQL_TOKEN_BAD)
            return err_at(err, err_set(err, E_SYNTAX, "%s", token.why), (int64_t)token.at);
        if (token.kind == SQL_TOKEN_END)
            break;
        if (++count > LEXER_TOKENS_MAX)
            return err_set(err, E_LIMIT, "the statement has more than %d tokens", LEXER_TOKENS_MAX);
    }
    SqlToken *tokens = arena_array(arena, SqlToken, count + 1);
    SqlLexer lexer = { .text = text };
    for (size_t i = 0; i < count; i++)
        tokens[i] = sql_token_next(&lexer);
    *ret_tokens = tokens;
    *ret_count = count;
    return E_OK;
}

bool sql_token_is(const SqlToken *token, const char *word)
{
    if (token->kind != SQL_TOKEN_NAME && token->kind != SQL_TOKEN_SYMBOL)
        return false;
    return str_ieq(token->text, str_z(word));
}

bool sql_token_names(const SqlToken *token)
{
    return token->kind == SQL_TOKEN_NAME || token->kind == SQL_TOKEN_QUOTED;
}

size_t sql_token_end(const SqlToken *token)
{
    return token->at + token->text.len;
}

/* The text between quotes with each doubled quote made single. */
static Str undouble(Arena *arena, Str inner, char quote)
{
    char *out = arena_alloc(arena, inner.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < inner.len; i++) {
        out[len++] = inner.ptr[i];
        if (inner.ptr[i] == quote)
            i++;
    }
    return str_of(out, len);
}

Str sql_token_value(Arena *arena, const SqlToken *token)
{
    Str text = token->text;
    if (token->kind != SQL_TOKEN_QUOTED && token->kind != SQL_TOKEN_STRING)
        return text;
    if (text.ptr[0] == '"')
        return undouble(arena, str_sub(text, 1, text.len - 2), '"');
    if (text.ptr[0] == '\'')
        return undouble(arena, str_sub(text, 1, text.len - 2), '\'');
    if (text.ptr[0] == '$') {
        size_t tag = (size_t)str_find_char(str_from(text, 1), '$') + 2;
        return str_sub(text, tag, text.len - 2 * tag);
    }
    return undouble(arena, str_sub(text, 2, text.len - 3), '\'');
}
