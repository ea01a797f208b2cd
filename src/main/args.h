/* args.h: words of the command line: options (`--name value`, `--name=value`, `-x`) and the rest.
 * Owner:   the command; borrows argv.
 * Threads: one.
 * Errors:  INVALID with the nearest option.
 * Limits:  ARGS_MAX words.
 * Units:   none. */
#pragma once

#include "base/err.h"
#include "base/str.h"

enum { ARGS_MAX = 4096, OPTIONS_MAX = 64 };

/* One option of a command. `value` NULL: a switch without value. */
typedef struct OptionRow {
    const char *name;  /* "--source" */
    const char *value; /* "NAME" */
    const char *doc;
} OptionRow;

typedef struct Args {
    Str words[ARGS_MAX];
    size_t count;
    const char *options[OPTIONS_MAX];
    Str values[OPTIONS_MAX];
    size_t option_count;
} Args;

/* `rows` ends with a row without name; the options of every command are known besides. */
Code args_parse(Args *ret_args, int argc, char **argv, const OptionRow *rows, Err *err) CHECKED;
bool args_has(const Args *args, const char *name);
Str args_get(const Args *args, const char *name); /* the last one; STR_NONE when absent */

/* --data, --url, --ca, --cert, --key, --json, --csv, --no-color, --help. */
extern const OptionRow args_common[];
