/* render.h: what a person sees: tables that fit the terminal, bars, progress, errors with a caret.
 * Owner:   the command; everything is written to the given stream.
 * Threads: one.
 * Errors:  none: output that cannot be written is lost.
 * Limits:  RENDER_COLUMNS_MAX columns; wider tables are cut with a note.
 * Units:   columns of the terminal. */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "format/json.h"

#include <stdio.h>

enum { RENDER_COLUMNS_MAX = 512 };

size_t render_width(void);                 /* of the terminal; 0: the output is none */
bool render_is_terminal(FILE *out);
void render_colors(bool on);
const char *render_bold(void);
const char *render_dim(void);
const char *render_red(void);
const char *render_plain(void);

/* `{"columns":[{"name","type"}], "rows":[[...]]}` as a box; numbers to the right. */
void render_table(FILE *out, const Json *answer, size_t width);
/* The same as CSV: a row of names, then the rows; quoted where a field has a comma, a quote or a line's end. */
void render_csv(FILE *out, const Json *answer);
/* First column labels, second numbers. */
void render_bars(FILE *out, const Json *answer, size_t width);

/* A line that stays in place on a terminal and is left out elsewhere. */
void render_progress(const char *label, double fraction, const char *tail);
void render_progress_end(void);

/* The error, the place with a caret below the text that the user sent, and the hint. */
void render_error(const Err *err, Str sent);

/* Columns that a UTF-8 text takes, counting East Asian wide characters twice. */
size_t render_text_width(Str text);
