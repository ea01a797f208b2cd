#include "main/settings.h"

#include "os/os.h"

#include <stdlib.h>
#include <yaml.h>

static const ConfRow rows[] = {
#define SETTING(key, type, value, least, most, choices, unit, when, doc)                           \
    { key, type, value, least, most, choices, unit, doc },
#include "main/settings.def"
#undef SETTING
};

enum { START, RELOAD };

static const char when_read[] = {
#define SETTING(key, type, value, least, most, choices, unit, when, doc) when,
#include "main/settings.def"
#undef SETTING
};

bool settings_reloads(size_t row)
{
    return when_read[row] == RELOAD;
}

const OptionRow settings_options[] = {
    { "--config", "FILE", "settings file (default DIR/tarn.yaml when it is there)" },
    { "--http", "ADDR:PORT", "http.listen" },
    { "--https", "ADDR:PORT", "https.listen" },
    { "--s3", "ADDR:PORT", "s3.listen" },
    { "--s3-tls", "ADDR:PORT", "s3.listen_tls" },
    { "--set", "KEY=VALUE", "any setting by its key" },
    { "--bucket-prefix", "TEXT", "init.bucket_prefix" },
    { NULL, NULL, NULL },
};

static const struct {
    const char *option, *key;
} short_forms[] = {
    { "--data", "data.dir" },   { "--http", "http.listen" },   { "--https", "https.listen" },
    { "--s3", "s3.listen" },     { "--s3-tls", "s3.listen_tls" },
    { "--bucket-prefix", "init.bucket_prefix" },
};

/* What the walk over YAML's events has seen. */
typedef struct Walk {
    Conf *conf;
    Arena *tmp;
    Str name;
    Str section, key; /* of the mapping that is open */
    int depth;
} Walk;

static Code scalar_take(Walk *walk, const yaml_event_t *event, Err *err)
{
    Str text = str_copy(walk->tmp, str_of(event->data.scalar.value, event->data.scalar.length));
    Str place = str_format(walk->tmp, STR_FMT ":%zu", STR_ARG(walk->name),
                           event->start_mark.line + 1);
    if (walk->depth == 0) {
        Code code = err_set(err, E_INVALID, "settings are sections of `name: value`");
        return err_place(err, code, STR_FMT, STR_ARG(place));
    }
    if (!walk->key.ptr) {
        walk->key = text;
        return E_OK;
    }
    Str key = walk->depth == 1 ? walk->key
                               : str_format(walk->tmp, STR_FMT "." STR_FMT, STR_ARG(walk->section),
                                            STR_ARG(walk->key));
    walk->key = STR_NONE;
    return conf_set(walk->conf, key, text, CONF_FILE, place, err);
}

static Code mapping_open(Walk *walk, const yaml_event_t *event, Err *err)
{
    if (walk->depth == 2 || (walk->depth == 1 && !walk->key.ptr)) {
        Code code = err_set(err, E_INVALID, "settings are at most two levels deep");
        return err_place(err, code, STR_FMT ":%zu", STR_ARG(walk->name), event->start_mark.line + 1);
    }
    walk->section = walk->key;
    walk->key = STR_NONE;
    walk->depth++;
    return E_OK;
}

static Code event_take(Walk *walk, const yaml_event_t *event, Err *err)
{
    if (event->type == YAML_SCALAR_EVENT)
        return scalar_take(walk, event, err);
    if (event->type == YAML_MAPPING_START_EVENT)
        return mapping_open(walk, event, err);
    if (event->type == YAML_MAPPING_END_EVENT) {
        walk->depth--;
        walk->section = walk->key = STR_NONE;
        return E_OK;
    }
    if (event->type == YAML_SEQUENCE_START_EVENT || event->type == YAML_ALIAS_EVENT) {
        Code code = err_set(err, E_INVALID, "no setting is a list or an alias");
        return err_place(err, code, STR_FMT ":%zu", STR_ARG(walk->name), event->start_mark.line + 1);
    }
    return E_OK;
}

Code settings_parse(Conf *conf, Str yaml, Str name, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Walk walk = { .conf = conf, .tmp = &tmp, .name = name };
    yaml_parser_t parser;
    ASSERT(yaml_parser_initialize(&parser));
    yaml_parser_set_input_string(&parser, (const unsigned char *)yaml.ptr, yaml.len);
    Code code = E_OK;
    for (bool end = false; code == E_OK && !end;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            code = err_set(err, E_SYNTAX, "no YAML: %s", parser.problem ? parser.problem : "");
            err_place(err, code, STR_FMT ":%zu", STR_ARG(name), parser.problem_mark.line + 1);
            break;
        }
        end = event.type == YAML_STREAM_END_EVENT;
        code = event_take(&walk, &event, err);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return code;
}

static Code file_read(Conf *conf, Str path, bool must, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Buf text AUTO(buf_done);
    buf_init(&text, SETTINGS_FILE_MAX);
    Code code = os_read_whole(os_real(), str_copy_z(&tmp, path), &text, err);
    if (code == E_NOT_FOUND && !must)
        return E_OK;
    TRY(code);
    return settings_parse(conf, buf_str(&text), path, err);
}

static const char *environment_get(const char *name)
{
    return getenv(name);
}

static Code flags_take(Conf *conf, const Args *args, Err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(short_forms); i++)
        if (args_has(args, short_forms[i].option))
            TRY(conf_set(conf, str_z(short_forms[i].key), args_get(args, short_forms[i].option),
                         CONF_FLAG, str_z(short_forms[i].option), err));
    for (size_t i = 0; i < args->option_count; i++) {
        if (!str_eq(str_z(args->options[i]), STR("--set")))
            continue;
        Str value = args->values[i];
        ptrdiff_t equals = str_find_char(value, '=');
        if (equals < 0)
            return err_hint(err, err_set(err, E_INVALID, "--set takes KEY=VALUE, not '" STR_FMT "'", STR_ARG(value)),
                            "`tarn config explain` shows the keys");
        TRY(conf_set(conf, str_sub(value, 0, (size_t)equals), str_from(value, (size_t)equals + 1),
                     CONF_FLAG, STR("--set"), err));
    }
    return E_OK;
}

static Code door_check(const Conf *conf, const char *key, Err *err)
{
    if (str_eq(conf_text(conf, key), STR("off")))
        return E_OK;
    Code code = err_set(err, E_UNSUPPORTED, "%s is '" STR_FMT "', but that door is not built yet", key,
                        STR_ARG(conf_text(conf, key)));
    return err_hint(err, code, "leave it `off`");
}

Code settings_load(Conf *ret_conf, const Args *args, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    conf_init(ret_conf, rows, ARRAY_LEN(rows));
    Code code = conf_set_environment(ret_conf, environment_get, err);
    if (code == E_OK)
        code = flags_take(ret_conf, args, err);
    const char *data = getenv("TARN_DATA"); /* the short name that every command knows */
    if (code == E_OK && data && *data)
        code = conf_set(ret_conf, STR("data.dir"), str_z(data), CONF_ENVIRONMENT, STR("TARN_DATA"), err);
    Str file = args_get(args, "--config");
    if (code == E_OK && file.len)
        code = file_read(ret_conf, file, true, err);
    else if (code == E_OK)
        code = file_read(ret_conf, str_format(&tmp, STR_FMT "/tarn.yaml",
                                              STR_ARG(conf_text(ret_conf, "data.dir"))), false, err);
    if (code == E_OK)
        code = door_check(ret_conf, "kafka.listen", err);
    if (code == E_OK)
        code = door_check(ret_conf, "pg.listen", err);
    return code;
}
