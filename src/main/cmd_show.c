/* Commands that ask one thing and show it. */
#include "base/text.h"
#include "format/json.h"
#include "main/command.h"
#include "main/door_settings.h"
#include "main/lake.h"
#include "main/render.h"
#include "main/settings.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

const OptionRow model_options[] = { { NULL, NULL, NULL } };
const OptionRow table_options[] = { { NULL, NULL, NULL } };
Code command_client(const Args *args, Client **ret_client, Err *err)
{
    ClientOptions options = { .url = args_get(args, "--url"), .data = args_get(args, "--data"),
                              .ca = args_get(args, "--ca"), .cert = args_get(args, "--cert"),
                              .key = args_get(args, "--key") };
    return client_open(&options, ret_client, err);
}

/* `{rows_key: [{...}]}` as `{"columns": [...], "rows": [[...]]}`. */
static Code rows_table(Arena *tmp, const Json *rows, const char *columns, const Json **ret_answer,
                       Err *err)
{
    Buf buf AUTO(buf_done);
    buf_init(&buf, CLIENT_REPLY_MAX);
    JsonWriter w = json_writer(&buf);
    json_begin_object(&w);
    json_key(&w, STR("columns"));
    json_begin_array(&w);
    Str rest = str_z(columns), name;
    while (str_split(&rest, ',', &name))
        json_put_str(&w, name);
    json_end_array(&w);
    json_key(&w, STR("rows"));
    json_begin_array(&w);
    for (JsonIter row = json_iter(rows); json_next(&row);) {
        json_begin_array(&w);
        for (rest = str_z(columns); str_split(&rest, ',', &name);) {
            const Json *value = json_get_str(row.value, name);
            if (value)
                json_put_value(&w, value);
            else
                json_put_null(&w);
        }
        json_end_array(&w);
    }
    json_end_array(&w);
    json_end_object(&w);
    TRY(buf_end(&buf, "the table", err));
    return json_parse(tmp, str_copy(tmp, buf_str(&buf)), NULL, ret_answer, err);
}

Code command_show_json(const Args *args, Str json, const char *rows_key, const char *columns, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    const Json *root, *answer;
    if (args_has(args, "--json") || !columns) {
        printf(STR_FMT "\n", STR_ARG(str_trim(json)));
        return E_OK;
    }
    TRY(json_parse(&tmp, json, NULL, &root, err));
    const Json *rows = json_type(root) == JSON_ARRAY ? root : json_get(root, rows_key);
    TRY(rows_table(&tmp, rows, columns, &answer, err));
    if (args_has(args, "--csv")) {
        render_csv(stdout, answer);
        return E_OK;
    }
    render_table(stdout, answer, render_width());
    return E_OK;
}

Code command_show(const Args *args, Str path, const char *rows_key, const char *columns, Err *err)
{
    AUTO(client_free) Client *client = NULL;
    Buf body AUTO(buf_done);
    buf_init(&body, CLIENT_REPLY_MAX);
    TRY(command_client(args, &client, err));
    ClientRequest request = { .path = path };
    TRY(client_call(client, &request, &body, err));
    return command_show_json(args, buf_str(&body), rows_key, columns, err);
}

Code command_no_words(const Args *args, const char *command, Err *err)
{
    if (args->count == 0)
        return E_OK;
    Code code = err_set(err, E_INVALID, "'" STR_FMT "' is one word too many for `tarn %s`", STR_ARG(args->words[0]),
                        command);
    return err_hint(err, code, "name the directory with --data DIR: tarn %s --data " STR_FMT, command,
                    STR_ARG(args->words[0]));
}

Code command_words_check(const Args *args, const char *command, size_t min, size_t max, const char *usage,
                         Err *err)
{
    if (args->count >= min && args->count <= max)
        return E_OK;
    Code code = E_INVALID;
    if (args->count < min)
        err_set(err, code, "a word is missing behind `tarn %s " STR_FMT "`", command, STR_ARG(args->words[0]));
    else
        err_set(err, code, "'" STR_FMT "' is one word too many for `tarn %s " STR_FMT "`", STR_ARG(args->words[max]),
                command, STR_ARG(args->words[0]));
    return err_hint(err, code, "usage: tarn %s %s", command, usage);
}

Code command_word_refuse(const char *command, Str word, const char *words, Err *err)
{
    enum { WORDS_MAX = 32 };
    Str rest = str_z(words), names[WORDS_MAX];
    size_t count = 0;
    while (count < WORDS_MAX && rest.len && str_split(&rest, ' ', &names[count]))
        count++;
    Str near = word.len ? str_nearest(word, names, count) : STR_NONE;
    Code code = err_set(err, E_INVALID, "`tarn %s` wants to know what to do", command);
    if (word.len)
        code = err_set(err, E_INVALID, "`tarn %s` knows no '" STR_FMT "'", command, STR_ARG(word));
    if (near.ptr)
        return err_hint(err, code, "did you mean `tarn %s " STR_FMT "`?", command, STR_ARG(near));
    if (count == 1)
        return err_hint(err, code, "`tarn %s %s`", command, words);
    return err_hint(err, code, "it is one of %s; `tarn %s --help` shows an example", words, command);
}

bool command_agreed(const Args *args, Str question)
{
    char line[16];
    if (args_has(args, "--yes"))
        return true;
    if (!isatty(STDIN_FILENO))
        return false;
    fprintf(stderr, STR_FMT " [y/N] ", STR_ARG(question));
    return fgets(line, sizeof line, stdin) && (line[0] == 'y' || line[0] == 'Y');
}

Code command_verb(const Args *args, const char *command, const CommandVerb *verbs, const CommandVerb **ret_verb,
                  Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Str words = STR_NONE;
    for (const CommandVerb *verb = verbs; verb->word; verb++) {
        words = str_format(&tmp, STR_FMT "%s%s", STR_ARG(words), words.len ? " " : "", verb->word);
        if (!args->count || !str_eq(args->words[0], str_z(verb->word)))
            continue;
        *ret_verb = verb;
        return command_words_check(args, command, verb->words_min, verb->words_max, verb->usage, err);
    }
    return command_word_refuse(command, args->count ? args->words[0] : STR_NONE, str_copy_z(&tmp, words), err);
}

static Code table_list(void *arg, Err *err)
{
    return command_show(arg, STR("/v1/datasets?limit=1000"), "items", "namespace,name,kind,rows,files,bytes", err);
}

static Code table_show(void *arg, Err *err)
{
    const Args *args = arg;
    Arena tmp AUTO(arena_done) = { 0 };
    Str path = str_format(&tmp, "/v1/datasets/" STR_FMT "/schema", STR_ARG(args->words[1]));
    return command_show(args, path, "columns", "name,type,required,doc", err);
}

Code command_table(const Args *args, Err *err)
{
    static const CommandVerb verbs[] = { { "list", 1, 1, table_list, "list" },
                                         { "show", 2, 2, table_show, "show NAMESPACE.NAME" },
                                         { NULL, 0, 0, NULL, NULL } };
    const CommandVerb *verb;
    TRY(command_verb(args, "table", verbs, &verb, err));
    return verb->run((void *)args, err);
}

static Code config_json(const Conf *conf, Err *err)
{
    Buf out AUTO(buf_done);
    buf_init(&out, CLIENT_REPLY_MAX);
    JsonWriter w = json_writer(&out);
    json_begin_object(&w);
    json_key(&w, STR("items"));
    json_begin_array(&w);
    for (size_t i = 0; i < conf->row_count; i++) {
        json_begin_object(&w);
        json_field_str(&w, "key", str_z(conf->rows[i].key));
        json_field_str(&w, "value", conf->values[i].text);
        json_field_str(&w, "from", conf->values[i].place);
        json_field_str(&w, "default", str_z(conf->rows[i].value));
        json_field_str(&w, "unit", str_z(conf->rows[i].unit));
        json_field_str(&w, "read", settings_reloads(i) ? STR("start, SIGHUP") : STR("start"));
        json_field_str(&w, "what", str_z(conf->rows[i].doc));
        json_end_object(&w);
    }
    json_end_array(&w);
    json_end_object(&w);
    TRY(buf_end(&out, "the settings", err));
    printf(STR_FMT "\n", STR_ARG(buf_str(&out)));
    return E_OK;
}

/* Every setting, and behind them what a start would refuse. */
Code command_config(const Args *args, Err *err)
{
    static const CommandVerb verbs[] = { { "explain", 1, 1, NULL, "explain" }, { NULL, 0, 0, NULL, NULL } };
    Conf conf AUTO(conf_done) = { 0 };
    const CommandVerb *verb;
    TRY(command_verb(args, "config", verbs, &verb, err));
    TRY(settings_load(&conf, args, err));
    if (args_has(args, "--json"))
        TRY(config_json(&conf, err));
    for (size_t i = 0; i < conf.row_count && !args_has(args, "--json"); i++) {
        const ConfRow *row = &conf.rows[i];
        printf("%s%s%s = " STR_FMT "%s%s   %s(" STR_FMT ")%s\n    %s Default: %s. %s.\n", render_bold(),
               row->key, render_plain(), STR_ARG(conf.values[i].text), *row->unit ? " " : "",
               row->unit, render_dim(), STR_ARG(conf.values[i].place), render_plain(), row->doc,
               *row->value ? row->value : "empty", settings_reloads(i) ? "Also read at SIGHUP" : "Read at start only");
    }
    TRY(lake_settings_check(&conf, err));
    return door_settings_check(&conf, err);
}

Code command_version(const Args *args, Err *err)
{
    (void)args, (void)err;
    printf("tarn %s\n", TARN_VERSION);
    return E_OK;
}
