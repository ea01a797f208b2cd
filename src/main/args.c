#include "main/args.h"

#include <string.h>

const OptionRow args_common[] = {
    { "--data", "DIR", "data directory (default TARN_DATA, else ./tarn-data)" },
    { "--url", "URL", "address of the server (default TARN_URL, else from DIR/admin.json)" },
    { "--ca", "FILE", "authority of an https server (default TARN_CA, else DIR/tls/ca.pem and the system's)" },
    { "--cert", "FILE", "client certificate (default TARN_CERT), its key in --key FILE" },
    { "--key", "FILE", "key of --cert (default TARN_KEY)" },
    { "--json", NULL, "answer as JSON" },
    { "--csv", NULL, "answer as CSV" },
    { "--no-color", NULL, "plain text" },
    { "--help", NULL, "show the help of this command" },
    { NULL, NULL, NULL },
};

static const OptionRow *row_find(const OptionRow *rows, Str name)
{
    for (; rows && rows->name; rows++)
        if (str_eq(name, str_z(rows->name)))
            return rows;
    return NULL;
}

static Str undashed(Str name)
{
    while (str_starts(name, STR("-")))
        name = str_from(name, 1);
    return name;
}

/* What all options begin with makes none of them near. */
static Code option_unknown(Str name, const OptionRow *rows, Err *err)
{
    Str names[OPTIONS_MAX * 2];
    size_t count = 0;
    for (const OptionRow *row = args_common; row->name; row++)
        names[count++] = undashed(str_z(row->name));
    for (; rows && rows->name && count < ARRAY_LEN(names); rows++)
        names[count++] = undashed(str_z(rows->name));
    Str near = str_nearest(undashed(name), names, count);
    Code code = err_set(err, E_INVALID, "unknown option '" STR_FMT "'", STR_ARG(name));
    if (near.len > 1)
        return err_hint(err, code, "did you mean '--" STR_FMT "'?", STR_ARG(near));
    return code;
}

static Code option_take(Args *args, int *at, int argc, char **argv, const OptionRow *rows, Err *err)
{
    Str word = str_z(argv[*at]);
    ptrdiff_t equals = str_starts(word, STR("--")) ? str_find_char(word, '=') : -1;
    Str name = equals < 0 ? word : str_sub(word, 0, (size_t)equals);
    const OptionRow *row = row_find(rows, name);
    if (!row)
        row = row_find(args_common, name);
    if (!row)
        return option_unknown(name, rows, err);
    if (!row->value && equals >= 0) /* `--yes=no` would be a yes */
        return err_set(err, E_INVALID, "option '%s' takes no value", row->name);
    if (args->option_count == OPTIONS_MAX)
        return err_set(err, E_LIMIT, "more than %d options", OPTIONS_MAX);
    Str value = equals < 0 ? STR_NONE : str_from(word, (size_t)equals + 1);
    if (row->value && equals < 0) {
        Str next = *at + 1 < argc ? str_z(argv[*at + 1]) : STR_NONE;
        if (!next.ptr || row_find(rows, next) || row_find(args_common, next))
            return err_set(err, E_INVALID, "option '%s' wants a value: %s %s", row->name, row->name,
                           row->value);
        value = str_z(argv[++*at]);
    }
    args->options[args->option_count] = row->name;
    args->values[args->option_count++] = value;
    return E_OK;
}

Code args_parse(Args *ret_args, int argc, char **argv, const OptionRow *rows, Err *err)
{
    ret_args->count = ret_args->option_count = 0;
    bool only_words = false;
    for (int i = 0; i < argc; i++) {
        Str word = str_z(argv[i]);
        if (!only_words && str_eq(word, STR("--"))) {
            only_words = true;
            continue;
        }
        if (!only_words && word.len > 1 && word.ptr[0] == '-') {
            TRY(option_take(ret_args, &i, argc, argv, rows, err));
            continue;
        }
        if (ret_args->count == ARGS_MAX)
            return err_set(err, E_LIMIT, "more than %d words", ARGS_MAX);
        ret_args->words[ret_args->count++] = word;
    }
    return E_OK;
}

bool args_has(const Args *args, const char *name)
{
    for (size_t i = 0; i < args->option_count; i++)
        if (strcmp(args->options[i], name) == 0)
            return true;
    return false;
}

Str args_get(const Args *args, const char *name)
{
    for (size_t i = args->option_count; i-- > 0;)
        if (strcmp(args->options[i], name) == 0)
            return args->values[i];
    return STR_NONE;
}
