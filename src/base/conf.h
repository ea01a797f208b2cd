/* conf.h: settings from one table: type, default, bounds, unit, doc; file < environment < flag.
 * Owner:   main/ owns the Conf; everyone else gets plain values at open time, never a Conf.
 * Threads: filled by one, read by any afterwards.
 * Errors:  INVALID with the key, the place and what would be right; unknown key: the nearest name.
 * Limits:  a text value at most CONF_TEXT_MAX bytes.
 * Units:   as the row says; sizes accept k, M, G (1024), times accept ms, s, m, h. */
#pragma once

#include "base/err.h"
#include "base/str.h"

enum { CONF_TEXT_MAX = 4096, CONF_ROWS_MAX = 256 };

typedef enum ConfType { CONF_TEXT, CONF_INT, CONF_SIZE, CONF_TIME_MS, CONF_BOOL, CONF_CHOICE } ConfType;
typedef enum ConfSource { CONF_DEFAULT, CONF_FILE, CONF_ENVIRONMENT, CONF_FLAG } ConfSource;

typedef struct ConfRow {
    const char *key;       /* "http.listen": section.name */
    ConfType type;
    const char *value;     /* the default as text */
    int64_t least, most;   /* of numbers; both 0: unbounded */
    const char *choices;   /* "a|b|c" of CONF_CHOICE */
    const char *unit;      /* "bytes", "ms", "" */
    const char *doc;       /* one sentence */
} ConfRow;

typedef struct ConfValue {
    Str text;
    int64_t number;
    ConfSource source;
    Str place; /* "tarn.yaml:7", "TARN_HTTP_LISTEN", "--http" */
} ConfValue;

typedef struct Conf {
    const ConfRow *rows;
    size_t row_count;
    ConfValue values[CONF_ROWS_MAX];
    Arena arena;
} Conf;

/* Every value is its default afterwards; a default that breaks its own row is a mistake of ours. */
void conf_init(Conf *conf, const ConfRow *rows, size_t row_count);
void conf_done(Conf *conf);

/* A weaker source never replaces a stronger one. */
Code conf_set(Conf *conf, Str key, Str value, ConfSource source, Str place, Err *err) CHECKED;

/* Reads TARN_SECTION_NAME for every row through `get` (NULL: not set). */
Code conf_set_environment(Conf *conf, const char *(*get)(const char *name), Err *err) CHECKED;

Str conf_text(const Conf *conf, const char *key);
int64_t conf_number(const Conf *conf, const char *key);
bool conf_bool(const Conf *conf, const char *key);
const char *conf_source_name(ConfSource source);
