/* errors.c: a table of patterns in the engine's messages; what no row knows keeps its text.
 * Candidates that the engine lists become the hint; advice about its own settings is cut off. */
#include "sql/errors.h"

#include "base/arena.h"

#include <string.h>

typedef struct Pattern {
    const char *part; /* in the engine's text */
    Code code;        /* E_OK: as it is */
    const char *hint; /* NULL: none, or the engine's candidates */
} Pattern;

static const Pattern PATTERNS[] = {
    { "Referenced column", E_NOT_FOUND, NULL },
    { "does not have a column named", E_NOT_FOUND, NULL },
    { "Referenced table", E_NOT_FOUND, NULL },
    { "Could not convert", E_TYPE, "TRY_CAST(x AS type) gives NULL for such values" },
    { "Conversion Error", E_TYPE, "TRY_CAST(x AS type) gives NULL for such values" },
    { "out of range", E_TYPE, "TRY_CAST(x AS type) gives NULL for such values" },
    { "Overflow in", E_TYPE, "cast to a wider type first" },
    { "tarn: the value would have", E_LIMIT, "FROM range(n) streams; a value this large does not" },
    { "Out of Memory", E_LIMIT, "fewer columns, a filter, or a higher sql.memory" },
    { "could not allocate", E_LIMIT, "fewer columns, a filter, or a higher sql.memory" },
    { "failed to allocate", E_LIMIT, "fewer columns, a filter, or a higher sql.memory" },
    { "Values were not provided for the following prepared statement parameters", E_INVALID,
      "give each parameter a value: $1, $name" },
    { "must appear in the GROUP BY clause", E_INVALID,
      "GROUP BY ALL groups by every other column" },
    { "No function matches", E_TYPE, NULL },
};

/* Copies `text` without the engine's own prefixes. */
static Str without_prefix(Str text)
{
    static const char *const PREFIXES[] = {
        "Binder Error: ",     "Catalog Error: ",       "Parser Error: ",
        "Conversion Error: ", "Invalid Input Error: ", "Out of Range Error: ",
        "IO Error: ",         "Out of Memory Error: ", "tarn: ",
    };
    for (size_t i = 0; i < ARRAY_LEN(PREFIXES); i++)
        if (str_starts(text, str_z(PREFIXES[i])))
            text = str_from(text, strlen(PREFIXES[i]));
    return text;
}

/* What stands behind `word` up to the end of its line. */
static Str line_behind(Str text, const char *word)
{
    ptrdiff_t at = str_find(text, str_z(word));
    if (at < 0)
        return STR_NONE;
    Str rest = str_from(text, (size_t)at + strlen(word));
    ptrdiff_t end = str_find_char(rest, '\n');
    return str_trim(end < 0 ? rest : str_sub(rest, 0, (size_t)end));
}

static Code set_hint(Err *err, Code code, Str message, const Pattern *pattern)
{
    Str candidates = line_behind(message, "Candidate bindings:");
    if (candidates.len == 0)
        candidates = line_behind(message, "Candidate tables:");
    Str mean = line_behind(message, "Did you mean");
    if (candidates.len > 0)
        return err_hint(err, code, "did you mean " STR_FMT "?", STR_ARG(candidates));
    if (mean.len > 0)
        return err_hint(err, code, "did you mean " STR_FMT, STR_ARG(mean));
    if (pattern != NULL && pattern->hint != NULL)
        return err_hint(err, code, "%s", pattern->hint);
    return code;
}

/* The first paragraph, on one line. */
static Str first_sentence(Arena *arena, Str message)
{
    Str text = without_prefix(message);
    static const char *const ENDS[] = { "\nCandidate", "\n\n", "\nDid you mean", "\nLINE " };
    for (size_t i = 0; i < ARRAY_LEN(ENDS); i++) {
        ptrdiff_t end = str_find(text, str_z(ENDS[i]));
        if (end > 0)
            text = str_sub(text, 0, (size_t)end);
    }
    char *line = arena_copy(arena, text.ptr, text.len);
    for (size_t i = 0; i < text.len; i++)
        if (line[i] == '\n' || line[i] == '\t')
            line[i] = ' ';
    return str_trim(str_of(line, text.len));
}

Code sql_error(Err *err, Code code, Str text)
{
    if (code == E_OK || err == NULL || err->text[0] == '\0')
        return code;
    Arena arena AUTO(arena_done) = { 0 };
    Str message = str_copy(&arena, str_z(err->text));
    int64_t position = err->position;
    bool has_hint = err->hint[0] != '\0';
    const Pattern *pattern = NULL;
    for (size_t i = 0; i < ARRAY_LEN(PATTERNS) && pattern == NULL; i++)
        if (str_find(message, str_z(PATTERNS[i].part)) >= 0)
            pattern = &PATTERNS[i];
    bool ours = code != E_INVALID && code != E_TYPE && code != E_SYNTAX && code != E_INTERNAL &&
                code != E_LIMIT && code != E_IO;
    if (ours || has_hint)
        return code;
    if (pattern != NULL && code != E_LIMIT && code != E_IO)
        code = pattern->code;
    char place[ERR_PLACE_MAX];
    memcpy(place, err->place, sizeof place);
    Str sentence = first_sentence(&arena, message);
    code = err_set(err, code, STR_FMT, STR_ARG(sentence));
    code = set_hint(err, code, message, pattern);
    memcpy(err->place, place, sizeof place);
    if (position >= 0 && (text.ptr == NULL || (uint64_t)position <= text.len))
        err->position = position;
    return code;
}
