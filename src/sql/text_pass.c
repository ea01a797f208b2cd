/* text_pass.c: the small pass of lexer.h over a statement's text.
 *
 * Invariants:
 * 1. Every edit writes as many bytes as it takes: positions stay the user's.
 * 2. An edit touches only bytes of tokens that it recognised whole, and spaces between them.
 * 3. `"@N"` cannot come from a namespace of the lake: its names have no '@'. */
#include "sql/lexer.h"

#include <stdio.h>
#include <string.h>

Str sql_text_str(const SqlText *text)
{
    return str_of(text->ptr, text->len);
}

void sql_text_blank(SqlText *text, size_t from, size_t to)
{
    ASSERT(from <= to && to <= text->len);
    for (size_t i = from; i < to; i++)
        if (text->ptr[i] != '\n')
            text->ptr[i] = ' ';
}

/* `replacement`, then spaces up to `to`. */
static void overwrite(SqlText *text, size_t from, size_t to, Str replacement)
{
    ASSERT(from + replacement.len <= to);
    sql_text_blank(text, from, to);
    memcpy(text->ptr + from, replacement.ptr, replacement.len);
}

static const SqlToken *token_at(const SqlText *text, size_t i)
{
    static const SqlToken END = { .kind = SQL_TOKEN_END };
    return i < text->token_count ? &text->tokens[i] : &END;
}

static bool word_at(const SqlText *text, size_t i, const char *word)
{
    return sql_token_is(token_at(text, i), word);
}

/* `FOR VERSION|TIMESTAMP|SYSTEM_VERSION|SYSTEM_TIME AS OF` at token i: the place of its value, or
 * 0. */
static size_t for_clause(const SqlText *text, size_t i, bool *ret_timestamp)
{
    if (!word_at(text, i, "for") || !word_at(text, i + 2, "as") || !word_at(text, i + 3, "of"))
        return 0;
    bool version = word_at(text, i + 1, "version") || word_at(text, i + 1, "system_version");
    bool timestamp = word_at(text, i + 1, "timestamp") || word_at(text, i + 1, "system_time");
    *ret_timestamp = timestamp;
    return version || timestamp ? i + 4 : 0;
}

/* `AT ( VERSION|TIMESTAMP =>` at token i: the place of its value, or 0. */
static size_t at_clause(const SqlText *text, size_t i, bool *ret_timestamp)
{
    if (!word_at(text, i, "at") || !word_at(text, i + 1, "(") || !word_at(text, i + 3, "=>"))
        return 0;
    *ret_timestamp = word_at(text, i + 2, "timestamp");
    return *ret_timestamp || word_at(text, i + 2, "version") ? i + 4 : 0;
}

/* The value at token i, `*ret_next` behind it. */
static Code travel_value(const SqlText *text, size_t i, Arena *arena, SqlTravel *travel,
                         size_t *ret_next, Err *err)
{
    if (travel->timestamp && word_at(text, i, "timestamp"))
        i++;
    const SqlToken *value = token_at(text, i);
    size_t place = value->kind == SQL_TOKEN_END ? text->len : value->at;
    if (value->kind == SQL_TOKEN_NUMBER && !travel->timestamp) {
        int64_t number = 0;
        if (!str_i64(value->text, &number))
            return err_at(
                err,
                err_set(err, E_SYNTAX, "'" STR_FMT "' is no snapshot id", STR_ARG(value->text)),
                (int64_t)place);
        travel->value = value->text;
    } else if (value->kind == SQL_TOKEN_STRING) {
        travel->value = sql_token_value(arena, value);
        travel->is_text = true;
    } else {
        Code code = err_at(
            err,
            err_set(err, E_SYNTAX, "time travel takes %s here",
                    travel->timestamp ? "a time in quotes" : "a snapshot id or a name in quotes"),
            (int64_t)place);
        return err_hint(err, code,
                        "FOR VERSION AS OF 8123, FOR VERSION AS OF 'tag', "
                        "FOR TIMESTAMP AS OF '2026-01-31 12:00'");
    }
    *ret_next = i + 1;
    return E_OK;
}

/* First token of the name that ends before token i: 0, 1 or 2 dots; -1 when there is none. */
static ptrdiff_t name_before(const SqlText *text, size_t i)
{
    if (i == 0 || !sql_token_names(token_at(text, i - 1)))
        return -1;
    size_t first = i - 1;
    while (first >= 2 && word_at(text, first - 1, ".") &&
           sql_token_names(token_at(text, first - 2)))
        first -= 2;
    return (ptrdiff_t)first;
}

/* Rewrites `ns.name CLAUSE` into `"@N".name` and spaces; the alias that follows stays. */
static Code cut_travel(SqlText *text, Arena *arena, size_t clause, size_t value, bool bracket,
                       bool timestamp, Err *err)
{
    const SqlToken *start = token_at(text, clause);
    ptrdiff_t first = name_before(text, clause);
    if (first < 0 || clause - (size_t)first > 3)
        return err_at(
            err,
            err_set(err, E_SYNTAX, "time travel stands behind a table's name, before its alias"),
            (int64_t)start->at);
    if (text->first_travel + text->travel_count >= LEXER_TRAVELS_MAX)
        return err_set(err, E_LIMIT, "more than %d time travel clauses", LEXER_TRAVELS_MAX);
    const SqlToken *name = token_at(text, clause - 1);
    SqlTravel travel = { .timestamp = timestamp,
                         .position = (int64_t)token_at(text, (size_t)first)->at };
    size_t next = 0;
    TRY(travel_value(text, value, arena, &travel, &next, err));
    if (bracket) {
        if (!word_at(text, next, ")"))
            return err_at(err, err_set(err, E_SYNTAX, "AT (...) is not closed"),
                          (int64_t)start->at);
        next++;
    }
    travel.name = sql_token_value(arena, name);
    if ((size_t)first + 1 < clause)
        travel.ns = sql_token_value(arena, token_at(text, (size_t)first));
    travel.schema = str_format(arena, "@%zu", text->first_travel + text->travel_count);
    Str replacement =
        str_format(arena, "\"" STR_FMT "\"." STR_FMT, STR_ARG(travel.schema), STR_ARG(name->text));
    size_t from = (size_t)travel.position;
    size_t to = sql_token_end(token_at(text, next - 1));
    overwrite(text, from, to, replacement);
    text->travels[text->travel_count++] = travel;
    return E_OK;
}

static Code cut_travels(SqlText *text, Arena *arena, Err *err)
{
    text->travels = arena_array(arena, SqlTravel, LEXER_TRAVELS_MAX);
    for (size_t i = 0; i < text->token_count; i++) {
        bool timestamp = false;
        size_t value = for_clause(text, i, &timestamp);
        bool bracket = value == 0;
        if (bracket)
            value = at_clause(text, i, &timestamp);
        if (value != 0)
            TRY(cut_travel(text, arena, i, value, bracket, timestamp, err));
    }
    return E_OK;
}

/* `all := true` of source(...): a keyword, which no argument may be called in the engine's grammar.
 */
static void quote_all(SqlText *text)
{
    for (size_t i = 0; i < text->token_count; i++) {
        bool named =
            word_at(text, i + 1, "=>") || (word_at(text, i + 1, ":") && word_at(text, i + 2, "="));
        if (named && word_at(text, i, "all"))
            overwrite(text, token_at(text, i)->at, sql_token_end(token_at(text, i)), STR("\"a\""));
    }
}

/* Iceberg's words for what the engine's grammar calls otherwise. */
static void change_words(SqlText *text)
{
    bool ddl = word_at(text, 0, "create") || word_at(text, 0, "drop") || word_at(text, 0, "alter");
    for (size_t i = 0; ddl && i < text->token_count; i++) {
        const SqlToken *token = token_at(text, i);
        if ((i == 1 || i == 3) && word_at(text, i, "namespace"))
            overwrite(text, token->at, sql_token_end(token), STR("SCHEMA"));
        if (word_at(text, i, "tblproperties") && word_at(text, i + 1, "("))
            overwrite(text, token->at, sql_token_end(token), STR("WITH"));
    }
}

Code sql_text_prepare(Str text, size_t first_travel, Arena *arena, SqlText *ret_text, Err *err)
{
    SqlText prepared = { .ptr = arena_copy(arena, text.ptr, text.len),
                         .len = text.len,
                         .first_travel = first_travel };
    TRY(sql_tokens(text, arena, &prepared.tokens, &prepared.token_count, err));
    TRY(cut_travels(&prepared, arena, err));
    change_words(&prepared);
    quote_all(&prepared);
    *ret_text = prepared;
    return E_OK;
}

static bool names(const SqlToken *token, Str name)
{
    if (token->kind == SQL_TOKEN_NAME)
        return str_ieq(token->text, name);
    return token->kind == SQL_TOKEN_QUOTED &&
           str_ieq(str_sub(token->text, 1, token->text.len - 2), name);
}

void sql_text_shorten(SqlText *text, Str ns, Str name)
{
    for (size_t i = 0; i + 4 < text->token_count; i++) {
        if (i > 0 && word_at(text, i - 1, "."))
            continue;
        const SqlToken *third = token_at(text, i + 4);
        if (names(token_at(text, i), ns) && word_at(text, i + 1, ".") &&
            names(token_at(text, i + 2), name) && word_at(text, i + 3, ".") &&
            (sql_token_names(third) || sql_token_is(third, "*")))
            sql_text_blank(text, token_at(text, i)->at, sql_token_end(token_at(text, i + 1)));
    }
}

Code sql_text_replace_call(SqlText *text, int64_t position, Str replacement, Err *err)
{
    size_t i = 0;
    while (i < text->token_count && (int64_t)token_at(text, i)->at < position)
        i++;
    size_t from = token_at(text, i)->at;
    bool found = (int64_t)from == position && word_at(text, i + 1, "(");
    size_t depth = 0;
    for (i++; found && i < text->token_count; i++) {
        if (word_at(text, i, "("))
            depth++;
        if (word_at(text, i, ")") && --depth == 0)
            break;
    }
    if (!found || i >= text->token_count)
        return err_at(err, err_set(err, E_SYNTAX, "a call with its brackets should stand here"),
                      position);
    size_t to = sql_token_end(token_at(text, i));
    if (from + replacement.len > to)
        return err_at(err, err_set(err, E_SYNTAX, "the call is too short to be one of an object"),
                      position);
    overwrite(text, from, to, replacement);
    return E_OK;
}
