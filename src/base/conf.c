#include "base/conf.h"

#include <string.h>

void conf_init(Conf *conf, const ConfRow *rows, size_t row_count)
{
    ASSERT(row_count <= CONF_ROWS_MAX);
    *conf = (Conf){ .rows = rows, .row_count = row_count };
    for (size_t i = 0; i < row_count; i++) {
        Code code = conf_set(conf, str_z(rows[i].key), str_z(rows[i].value), CONF_DEFAULT,
                             STR("default"), NULL);
        ASSERT(code == E_OK);
    }
}

void conf_done(Conf *conf)
{
    arena_done(&conf->arena);
    *conf = (Conf){ 0 };
}

static ptrdiff_t row_find(const Conf *conf, Str key)
{
    for (size_t i = 0; i < conf->row_count; i++)
        if (str_eq(key, str_z(conf->rows[i].key)))
            return (ptrdiff_t)i;
    return -1;
}

static Code key_unknown(const Conf *conf, Str key, Str place, Err *err)
{
    Str names[CONF_ROWS_MAX];
    for (size_t i = 0; i < conf->row_count; i++)
        names[i] = str_z(conf->rows[i].key);
    Str near = str_nearest(key, names, conf->row_count);
    Code code = err_set(err, E_INVALID, "unknown setting '" STR_FMT "'", STR_ARG(key));
    err_place(err, code, STR_FMT, STR_ARG(place));
    if (near.ptr)
        return err_hint(err, code, "did you mean '" STR_FMT "'?", STR_ARG(near));
    return err_hint(err, code, "`tarn config explain` lists every setting");
}

typedef struct Suffix {
    Str name;
    int64_t factor;
} Suffix;

static const Suffix size_suffixes[] = {
    { STR_INIT("k"), 1 << 10 }, { STR_INIT("K"), 1 << 10 }, { STR_INIT("M"), 1 << 20 },
    { STR_INIT("G"), 1 << 30 }, { STR_INIT("T"), 1LL << 40 },
};
static const Suffix time_suffixes[] = {
    { STR_INIT("ms"), 1 },     { STR_INIT("s"), 1000 },     { STR_INIT("m"), 60000 },
    { STR_INIT("h"), 3600000 }, { STR_INIT("d"), 86400000 },
};

static bool number_parse(Str text, const Suffix *suffixes, size_t count, int64_t *ret_number)
{
    int64_t factor = 1;
    for (size_t i = 0; i < count; i++)
        if (str_ends(text, suffixes[i].name)) {
            factor = suffixes[i].factor;
            text = str_sub(text, 0, text.len - suffixes[i].name.len);
            break;
        }
    int64_t number;
    return str_i64(text, &number) && !__builtin_mul_overflow(number, factor, ret_number);
}

static bool choice_find(const char *choices, Str value, int64_t *ret_number)
{
    Str rest = str_z(choices);
    Str choice;
    for (int64_t i = 0; str_split(&rest, '|', &choice); i++)
        if (str_eq(choice, value)) {
            *ret_number = i;
            return true;
        }
    return false;
}

/* False when the text is no value of the row's type. */
static bool value_parse(const ConfRow *row, Str text, int64_t *ret_number)
{
    switch (row->type) {
    case CONF_TEXT:
        *ret_number = 0;
        return text.len <= CONF_TEXT_MAX;
    case CONF_INT:
        return str_i64(text, ret_number);
    case CONF_SIZE:
        return number_parse(text, size_suffixes, ARRAY_LEN(size_suffixes), ret_number);
    case CONF_TIME_MS:
        return number_parse(text, time_suffixes, ARRAY_LEN(time_suffixes), ret_number);
    case CONF_BOOL:
        return choice_find("false|true", text, ret_number);
    case CONF_CHOICE:
        return choice_find(row->choices, text, ret_number);
    }
    return false;
}

static Code value_refuse(const ConfRow *row, Str value, Str place, Err *err)
{
    static const char *const wanted[] = {
        [CONF_TEXT] = "a text",          [CONF_INT] = "a whole number",
        [CONF_SIZE] = "a size like 64M", [CONF_TIME_MS] = "a time like 500ms, 10s or 5m",
        [CONF_BOOL] = "true or false",   [CONF_CHOICE] = "one of ",
    };
    Code code = err_set(err, E_INVALID, "setting '%s' is '" STR_FMT "'", row->key, STR_ARG(value));
    err_place(err, code, STR_FMT, STR_ARG(place));
    if (row->least || row->most)
        return err_hint(err, code, "it takes %s from %lld to %lld%s%s", wanted[row->type],
                        (long long)row->least, (long long)row->most, *row->unit ? " " : "",
                        row->unit);
    return err_hint(err, code, "it takes %s%s", wanted[row->type],
                    row->type == CONF_CHOICE ? row->choices : "");
}

Code conf_set(Conf *conf, Str key, Str value, ConfSource source, Str place, Err *err)
{
    ptrdiff_t at = row_find(conf, key);
    if (at < 0)
        return key_unknown(conf, key, place, err);
    const ConfRow *row = &conf->rows[at];
    int64_t number = 0;
    if (!value_parse(row, value, &number))
        return value_refuse(row, value, place, err);
    bool numeric = row->type == CONF_INT || row->type == CONF_SIZE || row->type == CONF_TIME_MS;
    if (numeric && (row->least || row->most) && (number < row->least || number > row->most))
        return value_refuse(row, value, place, err);
    if (source < conf->values[at].source)
        return E_OK;
    conf->values[at] = (ConfValue){ .text = str_copy(&conf->arena, value),
                                    .number = number,
                                    .source = source,
                                    .place = str_copy(&conf->arena, place) };
    return E_OK;
}

Code conf_set_environment(Conf *conf, const char *(*get)(const char *name), Err *err)
{
    for (size_t i = 0; i < conf->row_count; i++) {
        Arena tmp AUTO(arena_done) = { 0 };
        Str key = str_z(conf->rows[i].key);
        Str text = str_format(&tmp, "TARN_" STR_FMT, STR_ARG(key));
        char *name = arena_copy(&tmp, text.ptr, text.len + 1);
        for (char *c = name; *c; c++)
            *c = *c == '.' ? '_' : *c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c;
        const char *value = get(name);
        if (value)
            TRY(conf_set(conf, key, str_z(value), CONF_ENVIRONMENT, str_z(name), err));
    }
    return E_OK;
}

static const ConfValue *value_get(const Conf *conf, const char *key)
{
    ptrdiff_t at = row_find(conf, str_z(key));
    ASSERT(at >= 0 && "a setting that has no row");
    return &conf->values[at];
}

Str conf_text(const Conf *conf, const char *key)
{
    return value_get(conf, key)->text;
}

int64_t conf_number(const Conf *conf, const char *key)
{
    return value_get(conf, key)->number;
}

bool conf_bool(const Conf *conf, const char *key)
{
    return value_get(conf, key)->number != 0;
}

const char *conf_source_name(ConfSource source)
{
    static const char *const names[] = { "default", "file", "environment", "flag" };
    return names[source];
}
