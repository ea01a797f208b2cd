/* lexer.h: SQL text as tokens, and the small pass over it before the engine's parser sees it.
 * Owner:   results live in the given arena; tokens point into the text.
 * Threads: any.
 * Errors:  SYNTAX with the position: an unfinished string, name or comment, a broken time travel
 * clause. Limits:  LEXER_TOKENS_MAX tokens, LEXER_TRAVELS_MAX time travel clauses,
 * LEXER_COMMENT_DEPTH_MAX. Units:   positions in bytes from the start of the text.
 *
 * The pass never changes a length: what is cut becomes spaces, what is renamed is padded. So a
 * position in the new text is the same position in the user's text, and no map of offsets is
 * needed. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum {
    LEXER_TOKENS_MAX = 1 << 20,
    LEXER_TRAVELS_MAX = 256,
    LEXER_COMMENT_DEPTH_MAX = 64,
    LEXER_NAME_MAX = 512
};

typedef enum SqlTokenKind {
    SQL_TOKEN_END,
    SQL_TOKEN_NAME,   /* bare: name or keyword */
    SQL_TOKEN_QUOTED, /* "name" */
    SQL_TOKEN_STRING, /* 'text', E'text', $tag$text$tag$, x'00' */
    SQL_TOKEN_NUMBER,
    SQL_TOKEN_PARAM,  /* ?, $1, $name */
    SQL_TOKEN_SYMBOL, /* one byte, or => */
    SQL_TOKEN_BAD     /* `why` says what is wrong */
} SqlTokenKind;

typedef struct SqlToken {
    SqlTokenKind kind;
    Str text; /* as it stands, with quotes */
    size_t at;
    const char *why;
} SqlToken;

typedef struct SqlLexer {
    Str text;
    size_t at;
} SqlLexer;

SqlToken sql_token_next(SqlLexer *lexer);
/* All but the END; the text is not touched. */
Code sql_tokens(Str text, Arena *arena, SqlToken **ret_tokens, size_t *ret_count, Err *err) CHECKED;
bool sql_token_is(const SqlToken *token,
                  const char *word);         /* a bare word, case ignored, or a symbol */
bool sql_token_names(const SqlToken *token); /* bare or quoted */
Str sql_token_value(Arena *arena, const SqlToken *token); /* quotes and escapes undone */
size_t sql_token_end(const SqlToken *token);

/* `bronze.events FOR VERSION AS OF 12`, `... FOR TIMESTAMP AS OF '2026-01-01'`, `AT (VERSION =>
 * 12)`. */
typedef struct SqlTravel {
    Str ns, name; /* ns empty: a bare name */
    bool timestamp;
    Str value;    /* digits, or the string's text */
    bool is_text; /* a string: branch, tag, run:ID, or a time */
    int64_t position;
    Str schema; /* what stands in the new text in place of `ns`: "@0", "@1", ... */
} SqlTravel;

/* The text after the pass, and its tokens. */
typedef struct SqlText {
    char *ptr; /* of the user's length */
    size_t len;
    SqlToken *tokens; /* of the user's text */
    size_t token_count;
    SqlTravel *travels;
    size_t travel_count;
    size_t first_travel;
} SqlText;

/* Cuts time travel clauses; their references are numbered from `first_travel` on. NAMESPACE after
 * CREATE, DROP, ALTER becomes SCHEMA; TBLPROPERTIES becomes WITH; `all :=` becomes `"a" :=`. */
Code sql_text_prepare(Str text, size_t first_travel, Arena *arena, SqlText *ret_text,
                      Err *err) CHECKED;
Str sql_text_str(const SqlText *text);

/* `ns.name.column` -> `name.column` for every place where three parts stand; `ns` of the new text.
 */
void sql_text_shorten(SqlText *text, Str ns, Str name);

/* Replaces the call that starts at `position` (its name, then brackets) by `"schema"."name"` and
 * spaces. SYNTAX when it does not fit or no call is there. */
Code sql_text_replace_call(SqlText *text, int64_t position, Str replacement, Err *err) CHECKED;

/* Spaces over [from, to). */
void sql_text_blank(SqlText *text, size_t from, size_t to);
