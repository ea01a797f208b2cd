/* err.h: the one error type: a code from errors.def, text, place and hint.
 * Owner:   the caller, mostly on its stack; an Err holds no memory.
 * Threads: one at a time.
 * Errors:  none.
 * Limits:  text, place and hint are cut at their maximum.
 * Units:   position in bytes from the start of the user's text. */
#pragma once

#include "base/base.h"

typedef enum Code {
#define CODE(name, retry, http, grpc, s3, kafka, sqlstate, exit_status, text) E_##name,
#include "base/errors.def"
#undef CODE
    E_COUNT
} Code;

enum { ERR_TEXT_MAX = 2048, ERR_PLACE_MAX = 512, ERR_HINT_MAX = 512 };

typedef struct Err {
    Code code;
    int64_t position;           /* byte offset in the text that the user sent; -1: none */
    char text[ERR_TEXT_MAX];    /* what happened, with the name of the thing */
    char place[ERR_PLACE_MAX];  /* where: an address, `file.csv:17`, a field; empty: none */
    char hint[ERR_HINT_MAX];    /* what would be right, the next command; empty: none */
} Err;

/* One row of errors.def. */
typedef struct CodeInfo {
    const char *name; /* "NOT_FOUND" */
    bool retriable;   /* the same call may succeed later */
    int http;
    int grpc;
    const char *s3;
    int kafka;
    const char *sqlstate;
    int exit_status;
    const char *text;
} CodeInfo;

const CodeInfo *code_info(Code code);

/* Empties an error: E_OK, no text, position -1. */
void err_clear(Err *err);

/* Sets code and text, clears place, hint and position, returns the code. `err` may be NULL. */
Code err_set(Err *err, Code code, const char *format, ...) PRINTF_LIKE(3, 4);

/* Puts "text: " before what is there, keeps the rest, returns `code`. Once per layer. */
Code err_wrap(Err *err, Code code, const char *format, ...) PRINTF_LIKE(3, 4);

/* These add to an error that is set already and return its code (E_OK stays E_OK). */
Code err_hint(Err *err, Code code, const char *format, ...) PRINTF_LIKE(3, 4);
Code err_place(Err *err, Code code, const char *format, ...) PRINTF_LIKE(3, 4);
Code err_at(Err *err, Code code, int64_t position);
