/* model_lex.h: the header of a model file as a tree of items and atoms.
 * Owner:   the Arena; texts borrow the file's text but for strings with doubled quotes.
 * Threads: any.
 * Errors:  SYNTAX with the byte in the file; LIMIT for depth and counts.
 * Limits:  MODEL_DEPTH_MAX brackets, MODEL_COLUMNS_MAX items a list, HEAD_ATOMS_MAX atoms an item.
 * Units:   bytes.
 *
 *   list := '(' [item {',' item}] ')'      item := atom {atom}
 *   atom := word [list] | "name" | 'text' | number | ':=' | list */
#pragma once

#include "base/err.h"
#include "base/str.h"

enum { HEAD_ATOMS_MAX = 64 };

typedef enum HeadAtomKind { HEAD_WORD, HEAD_NAME, HEAD_TEXT, HEAD_ASSIGN, HEAD_LIST } HeadAtomKind;

typedef struct HeadList HeadList;

typedef struct HeadAtom {
    HeadAtomKind kind;
    Str text;       /* without quotes */
    HeadList *list; /* of a HEAD_LIST, or right behind a word; else NULL */
    size_t from, to;
} HeadAtom;

typedef struct HeadItem {
    HeadAtom *atoms;
    size_t count;
    size_t from, to; /* in the file's text */
} HeadItem;

struct HeadList {
    HeadItem *items;
    size_t count;
    size_t from, to;
};

/* Reads `MODEL ( ... )` at the start of `text` (white space and comments may stand before it);
 * `*ret_end` is the first byte behind the closing bracket. */
Code head_parse(Arena *arena, Str text, HeadList **ret_list, size_t *ret_end, Err *err) CHECKED;

/* The first byte at or after `at` that is neither white space nor comment. */
size_t head_skip_blank(Str text, size_t at);
