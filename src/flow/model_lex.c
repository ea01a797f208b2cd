#include "flow/model_lex.h"

#include "base/vec.h"
#include "flow/model.h"

#include <string.h>

typedef Vec(HeadAtom) AtomVec;
typedef Vec(HeadItem) ItemVec;

typedef struct Lexer {
    Arena *arena;
    Str text;
    size_t at;
    unsigned depth;
    Err *err;
} Lexer;

static bool is_word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_'
           || c == '.' || c == '@' || c == '-' || c == '+' || c == '*' || c == '/' || c == '%'
           || (unsigned char)c >= 0x80;
}

size_t head_skip_blank(Str text, size_t at)
{
    while (at < text.len) {
        char c = text.ptr[at];
        char next = at + 1 < text.len ? text.ptr[at + 1] : 0;
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
            at++;
        } else if (c == '-' && next == '-') {
            while (at < text.len && text.ptr[at] != '\n')
                at++;
        } else if (c == '/' && next == '*') {
            ptrdiff_t end = str_find(str_from(text, at + 2), STR("*/"));
            at = end < 0 ? text.len : at + 2 + (size_t)end + 2;
        } else {
            break;
        }
    }
    return at;
}

static Code fail(Lexer *lexer, Code code, const char *what)
{
    return err_at(lexer->err, err_set(lexer->err, code, "%s", what), (int64_t)lexer->at);
}

/* 'text' or "name"; a doubled quote stands for one. */
static Code lex_quoted(Lexer *lexer, HeadAtom *ret_atom)
{
    char quote = lexer->text.ptr[lexer->at];
    size_t from = lexer->at + 1;
    size_t end = from;
    size_t doubled = 0;
    for (;; end++) {
        if (end >= lexer->text.len)
            return fail(lexer, E_SYNTAX, "a quote in the MODEL header is not closed");
        if (lexer->text.ptr[end] != quote)
            continue;
        if (end + 1 >= lexer->text.len || lexer->text.ptr[end + 1] != quote)
            break;
        end++;
        doubled++;
    }
    Str value = str_sub(lexer->text, from, end - from);
    if (doubled > 0) {
        char *copy = arena_alloc(lexer->arena, value.len);
        size_t out = 0;
        for (size_t i = 0; i < value.len; i++) {
            copy[out++] = value.ptr[i];
            i += value.ptr[i] == quote;
        }
        value = str_of(copy, out);
    }
    *ret_atom = (HeadAtom){ .kind = quote == '"' ? HEAD_NAME : HEAD_TEXT, .text = value,
                            .from = lexer->at, .to = end + 1 };
    lexer->at = end + 1;
    return E_OK;
}

static void lex_word(Lexer *lexer, HeadAtom *ret_atom)
{
    size_t from = lexer->at;
    while (lexer->at < lexer->text.len && is_word_byte(lexer->text.ptr[lexer->at]))
        lexer->at++;
    *ret_atom = (HeadAtom){ .kind = HEAD_WORD, .text = str_sub(lexer->text, from, lexer->at - from),
                            .from = from, .to = lexer->at };
}

static Code lex_list(Lexer *lexer, HeadList **ret_list);

static Code lex_atom(Lexer *lexer, HeadAtom *ret_atom)
{
    char c = lexer->text.ptr[lexer->at];
    if (c == '\'' || c == '"')
        return lex_quoted(lexer, ret_atom);
    if (c == ':' && lexer->at + 1 < lexer->text.len && lexer->text.ptr[lexer->at + 1] == '=') {
        *ret_atom = (HeadAtom){ .kind = HEAD_ASSIGN, .from = lexer->at, .to = lexer->at + 2 };
        lexer->at += 2;
        return E_OK;
    }
    HeadAtom atom = { .kind = HEAD_LIST, .from = lexer->at };
    if (c != '(') {
        if (!is_word_byte(c))
            return fail(lexer, E_SYNTAX, "a byte in the MODEL header that means nothing there");
        lex_word(lexer, &atom);
        size_t next = head_skip_blank(lexer->text, lexer->at);
        if (next >= lexer->text.len || lexer->text.ptr[next] != '(') {
            *ret_atom = atom;
            return E_OK;
        }
        lexer->at = next;
    }
    TRY(lex_list(lexer, &atom.list));
    atom.to = lexer->at;
    *ret_atom = atom;
    return E_OK;
}

static Code lex_item(Lexer *lexer, HeadItem *ret_item)
{
    HeadAtom atoms[HEAD_ATOMS_MAX];
    HeadItem item = { .from = lexer->at };
    for (;;) {
        lexer->at = head_skip_blank(lexer->text, lexer->at);
        if (lexer->at >= lexer->text.len)
            return fail(lexer, E_SYNTAX, "the MODEL header is not closed");
        char c = lexer->text.ptr[lexer->at];
        if (c == ',' || c == ')')
            break;
        if (item.count == HEAD_ATOMS_MAX)
            return fail(lexer, E_LIMIT, "too many words in one property of the MODEL header");
        TRY(lex_atom(lexer, &atoms[item.count]));
        item.to = atoms[item.count].to;
        item.count++;
    }
    if (item.count == 0)
        return fail(lexer, E_SYNTAX, "something is missing here in the MODEL header");
    item.atoms = arena_copy(lexer->arena, atoms, item.count * sizeof *atoms);
    *ret_item = item;
    return E_OK;
}

static Code lex_items(Lexer *lexer, ItemVec *items)
{
    lexer->at = head_skip_blank(lexer->text, lexer->at + 1);
    if (lexer->at < lexer->text.len && lexer->text.ptr[lexer->at] == ')')
        return E_OK;
    for (;;) {
        lexer->at = head_skip_blank(lexer->text, lexer->at);
        HeadItem item;
        TRY(lex_item(lexer, &item));
        if (items->len == MODEL_COLUMNS_MAX)
            return fail(lexer, E_LIMIT, "too many items in one list of the MODEL header");
        vec_push(items, item);
        if (lexer->text.ptr[lexer->at] == ')')
            return E_OK;
        lexer->at++;
        size_t next = head_skip_blank(lexer->text, lexer->at);
        if (next < lexer->text.len && lexer->text.ptr[next] == ')') { /* a comma may end a list */
            lexer->at = next;
            return E_OK;
        }
    }
}

static Code lex_list(Lexer *lexer, HeadList **ret_list)
{
    if (lexer->depth == MODEL_DEPTH_MAX)
        return fail(lexer, E_LIMIT, "brackets too deep in the MODEL header");
    lexer->depth++;
    size_t from = lexer->at;
    ItemVec items = { 0 };
    Code code = lex_items(lexer, &items);
    if (code == E_OK) {
        lexer->at++;
        HeadList *list = arena_new(lexer->arena, HeadList);
        *list = (HeadList){ .count = items.len, .from = from, .to = lexer->at };
        list->items = arena_copy(lexer->arena, items.items, items.len * sizeof *items.items);
        *ret_list = list;
    }
    vec_done(&items);
    lexer->depth--;
    return code;
}

Code head_parse(Arena *arena, Str text, HeadList **ret_list, size_t *ret_end, Err *err)
{
    Lexer lexer = { .arena = arena, .text = text, .err = err };
    lexer.at = head_skip_blank(text, 0);
    if (lexer.at >= text.len || !is_word_byte(text.ptr[lexer.at]))
        return fail(&lexer, E_SYNTAX, "a model file begins with MODEL (...)");
    HeadAtom word;
    lex_word(&lexer, &word);
    size_t next = head_skip_blank(text, lexer.at);
    if (!str_ieq(word.text, STR("MODEL")) || next >= text.len || text.ptr[next] != '(')
        return fail(&lexer, E_SYNTAX, "a model file begins with MODEL (...)");
    lexer.at = next;
    HeadList *list;
    TRY(lex_list(&lexer, &list));
    *ret_list = list;
    *ret_end = lexer.at;
    return E_OK;
}
