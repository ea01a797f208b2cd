/* `tarn run` and `tarn model`: load a project, show the plan, follow the run, close with the summary. */
#include "base/text.h"
#include "format/json.h"
#include "main/command.h"
#include "main/render.h"
#include "os/os.h"

#include <stdio.h>
#include <unistd.h>

const OptionRow run_options[] = {
    { "--yes", NULL, "run without asking" },
    { "--plan", NULL, "only show what would run" },
    { "--model", "NAME", "only this model (may be repeated)" },
    { "--from", "DATE", "first day or time" },
    { "--to", "DATE", "first day or time that is not run any more" },
    { "--failed", NULL, "only what failed or was held back" },
    { "--force", NULL, "also what is up to date" },
    { "--follow", "RUN", "show a run that is there already; `latest`: the newest, also of an arrival" },
    { NULL, NULL, NULL },
};

enum { PROJECT_FILES_MAX = 1000, PROJECT_FILE_MAX = 4 << 20, PROJECT_BYTES_MAX = 64 << 20,
       MODELS_SHOWN_MAX = 1024 };

/* ---- the project, from files ---- */

static Code file_add(JsonWriter *w, const char *path, Str name, Err *err)
{
    Buf text AUTO(buf_done);
    buf_init(&text, PROJECT_FILE_MAX);
    TRY(os_read_whole(os_real(), path, &text, err));
    if (!str_is_utf8(buf_str(&text)))
        return err_place(err, err_set(err, E_INVALID, "a project's files are UTF-8"), "%s", path);
    json_begin_object(w);
    json_field_str(w, "path", name);
    json_field_str(w, "text", buf_str(&text));
    json_end_object(w);
    return E_OK;
}

static Code folder_add(JsonWriter *w, Arena *tmp, Str dir, const char *folder, size_t *count, Err *err)
{
    OsDirEntry *entries;
    size_t entry_count;
    const char *path = str_copy_z(tmp, str_format(tmp, STR_FMT "/%s", STR_ARG(dir), folder));
    Code code = os_dir_list(os_real(), path, tmp, &entries, &entry_count, err);
    if (code == E_NOT_FOUND)
        return E_OK;
    TRY(code);
    for (size_t i = 0; i < entry_count; i++) {
        Str name = entries[i].name;
        if (entries[i].is_dir || !(str_ends(name, STR(".sql")) || str_ends(name, STR(".json")) ||
                                   str_ends(name, STR(".csv"))))
            continue;
        if (++*count > PROJECT_FILES_MAX)
            return err_set(err, E_LIMIT, "a project has at most %d files", PROJECT_FILES_MAX);
        TRY(file_add(w, str_copy_z(tmp, str_format(tmp, "%s/" STR_FMT, path, STR_ARG(name))),
                     str_format(tmp, "%s/" STR_FMT, folder, STR_ARG(name)), err));
    }
    return E_OK;
}

static Code project_load(Client *client, Str dir, Err *err)
{
    static const char *const folders[] = { "models", "suites", "seeds" };
    Arena tmp AUTO(arena_done) = { 0 };
    Buf body AUTO(buf_done);
    Buf answer AUTO(buf_done);
    buf_init(&body, PROJECT_BYTES_MAX);
    buf_init(&answer, CLIENT_REPLY_MAX);
    JsonWriter w = json_writer(&body);
    size_t count = 0;
    json_begin_object(&w);
    json_key(&w, STR("files"));
    json_begin_array(&w);
    for (size_t i = 0; i < ARRAY_LEN(folders); i++)
        TRY(folder_add(&w, &tmp, dir, folders[i], &count, err));
    json_end_array(&w);
    json_end_object(&w);
    TRY(buf_end(&body, "the project", err));
    if (!count)
        return err_hint(err, err_set(err, E_NOT_FOUND, STR_FMT " holds no project", STR_ARG(dir)),
                        "a project is a directory with models/*.sql, suites/*.json and seeds/*.csv");
    ClientRequest request = { .path = STR("/v1/models"), .body = buf_str(&body),
                              .content_type = STR("application/json") };
    return client_call(client, &request, &answer, err);
}

/* ---- the plan ---- */

static void body_put(const Args *args, Buf *body)
{
    JsonWriter w = json_writer(body);
    json_begin_object(&w);
    if (args_has(args, "--model")) {
        json_key(&w, STR("models"));
        json_begin_array(&w);
        for (size_t i = 0; i < args->option_count; i++)
            if (str_eq(str_z(args->options[i]), STR("--model")))
                json_put_str(&w, args->values[i]);
        json_end_array(&w);
    }
    if (args_has(args, "--from"))
        json_field_str(&w, "from", args_get(args, "--from"));
    if (args_has(args, "--to"))
        json_field_str(&w, "to", args_get(args, "--to"));
    if (args_has(args, "--failed"))
        json_field_bool(&w, "failed", true);
    if (args_has(args, "--force"))
        json_field_bool(&w, "force", true);
    json_end_object(&w);
}

static void plan_show(const Json *plan)
{
    for (JsonIter step = json_iter(json_get(plan, "steps")); json_next(&step);)
        printf("  %s" STR_FMT "%s  " STR_FMT "\n", render_bold(),
               STR_ARG(json_str(json_get(step.value, "model"))), render_plain(),
               STR_ARG(json_str(json_get(step.value, "why"))));
    printf(STR_FMT "\n", STR_ARG(json_str(json_get(plan, "summary"))));
}

/* ---- the run ---- */

typedef struct Follow {
    const Args *args;
    Buf line;    /* of the event stream, not yet whole */
    Arena arena; /* of the report */
    const Json *end;
} Follow;

static void progress_show(const Json *event)
{
    Arena tmp AUTO(arena_done) = { 0 };
    double models = json_f64(json_get(event, "models"), 1);
    double done = json_f64(json_get(event, "models_done"), 0) + json_f64(json_get(event, "fraction"), 0);
    Str model = json_str(json_get(event, "model"));
    Str label = model.len ? model : STR("run"); /* its turn has not come */
    Str tail = str_format(&tmp, STR_FMT, STR_ARG(json_str(json_get(event, "phase"))));
    render_progress(str_copy_z(&tmp, label), models > 0 ? MIN(done / models, 1.0) : 1, str_copy_z(&tmp, tail));
    const Json *report = json_get(event, "report");
    if (json_is_null(report))
        return;
    render_progress_end();
    Buf rows AUTO(buf_done);
    buf_init(&rows, 64);
    count_human(&rows, json_u64(json_get(report, "rows_out"), 0));
    fprintf(stderr, "  %-28.*s %-9.*s %12.*s rows %7.2f s\n", STR_ARG(json_str(json_get(report, "model"))),
            STR_ARG(json_str(json_get(report, "state"))), STR_ARG(buf_str(&rows)),
            json_f64(json_get(report, "ms"), 0) / 1000);
}

static Code event_take(Follow *follow, Str line, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    const Json *event;
    if (args_has(follow->args, "--json"))
        printf(STR_FMT "\n", STR_ARG(line));
    TRY(json_parse(&tmp, line, NULL, &event, err));
    if (!str_eq(json_str(json_get(event, "event")), STR("end"))) {
        if (!args_has(follow->args, "--json"))
            progress_show(event);
        return E_OK;
    }
    return json_parse(&follow->arena, str_copy(&follow->arena, line), NULL, &follow->end, err);
}

static Code events_receive(void *arg, Str bytes, Err *err)
{
    Follow *follow = arg;
    buf_put(&follow->line, bytes);
    for (;;) {
        ptrdiff_t end = str_find_char(buf_str(&follow->line), '\n');
        if (end < 0)
            return buf_end(&follow->line, "an event of the run", err);
        Str line = str_trim(str_sub(buf_str(&follow->line), 0, (size_t)end));
        if (line.len)
            TRY(event_take(follow, line, err));
        buf_drop_front(&follow->line, (size_t)end + 1);
    }
}

static void count_put(JsonWriter *w, const Json *report, const char *key)
{
    Buf text AUTO(buf_done);
    buf_init(&text, 64);
    count_human(&text, json_u64(json_get(report, key), 0));
    json_put_str(w, buf_str(&text));
}

/* "191 duplicate, 3 expect_column_values_to_be_between(delay)": why rows did not come through. */
static void reasons_print(const Json *report)
{
    Buf text AUTO(buf_done);
    buf_init(&text, 1 << 16);
    uint64_t duplicates = json_u64(json_get(report, "rows_duplicate"), 0);
    if (duplicates)
        buf_format(&text, "%llu duplicate", (unsigned long long)duplicates);
    for (JsonIter reject = json_iter(json_get(report, "rejects")); json_next(&reject);)
        buf_format(&text, "%s%llu " STR_FMT, text.len ? ", " : "",
                   (unsigned long long)json_u64(json_get(reject.value, "rows"), 0),
                   STR_ARG(json_str(json_get(reject.value, "reason"))));
    uint64_t incomplete = json_u64(json_get(report, "days_incomplete"), 0);
    if (incomplete)
        buf_format(&text, "%s%llu incomplete day%s", text.len ? ", " : "", (unsigned long long)incomplete,
                   incomplete == 1 ? "" : "s");
    const Json *error = json_get(report, "error");
    if (error)
        buf_format(&text, "%s" STR_FMT, text.len ? ", " : "", STR_ARG(json_str(json_get(error, "text"))));
    if (text.len)
        printf("  " STR_FMT ": " STR_FMT "\n", STR_ARG(json_str(json_get(report, "model"))),
               STR_ARG(buf_str(&text)));
}

static void summary_row(JsonWriter *w, Arena *tmp, const Json *report)
{
    Buf size AUTO(buf_done);
    buf_init(&size, 64);
    bytes_human(&size, json_u64(json_get(report, "bytes"), 0));
    json_begin_array(w);
    json_put_str(w, json_str(json_get(report, "model")));
    json_put_str(w, json_str(json_get(report, "state")));
    count_put(w, report, "rows_in");
    count_put(w, report, "rows_out");
    count_put(w, report, "rows_quarantined");
    json_put_str(w, str_format(tmp, "%.4f / %.2f", json_f64(json_get(report, "score"), 0),
                               json_f64(json_get(report, "gate"), 0)));
    json_put_str(w, buf_str(&size));
    json_put_str(w, str_format(tmp, "%.2f s", json_f64(json_get(report, "ms"), 0) / 1000));
    json_end_array(w);
}

static Code summary_show(const Json *report, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Buf text AUTO(buf_done);
    buf_init(&text, CLIENT_REPLY_MAX);
    JsonWriter w = json_writer(&text);
    json_begin_object(&w);
    json_key(&w, STR("columns"));
    json_put_raw(&w, STR("[{\"name\":\"model\",\"type\":\"\"},{\"name\":\"state\",\"type\":\"\"},"
                         "{\"name\":\"rows in\",\"type\":\"int\"},{\"name\":\"rows out\",\"type\":\"int\"},"
                         "{\"name\":\"quarantined\",\"type\":\"int\"},{\"name\":\"score / gate\",\"type\":\"int\"},"
                         "{\"name\":\"bytes\",\"type\":\"int\"},{\"name\":\"time\",\"type\":\"int\"}]"));
    json_key(&w, STR("rows"));
    json_begin_array(&w);
    for (JsonIter model = json_iter(json_get(report, "models")); json_next(&model);)
        summary_row(&w, &tmp, model.value);
    json_end_array(&w);
    json_end_object(&w);
    TRY(buf_end(&text, "the summary", err));
    const Json *answer;
    TRY(json_parse(&tmp, buf_str(&text), NULL, &answer, err));
    render_table(stdout, answer, render_width());
    for (JsonIter model = json_iter(json_get(report, "models")); json_next(&model);)
        reasons_print(model.value);
    return E_OK;
}

/* The exit status comes from the worst state of the models. */
static Code verdict(const Json *end, Err *err)
{
    Str state = json_str(json_get(end, "state"));
    if (str_eq(state, STR("published")))
        return E_OK;
    if (str_eq(state, STR("cancelled")))
        return err_set(err, E_CANCELLED, "the run was cancelled");
    if (!str_eq(state, STR("gated"))) {
        Code code = err_set(err, E_TYPE, "the run failed: " STR_FMT,
                            STR_ARG(json_str(json_get(end, "detail"))));
        for (JsonIter model = json_iter(json_get(json_get(end, "report"), "models")); json_next(&model);) {
            const Json *error = json_get(model.value, "error");
            if (!error)
                continue;
            err_set(err, code, STR_FMT ": " STR_FMT, STR_ARG(json_str(json_get(model.value, "model"))),
                    STR_ARG(json_str(json_get(error, "text"))));
            err_place(err, code, STR_FMT, STR_ARG(json_str(json_get(error, "place"))));
            return err_hint(err, code, STR_FMT, STR_ARG(json_str(json_get(error, "hint"))));
        }
        return code;
    }
    Code code = err_set(err, E_GATED, "a model was held back by its gate: nothing of it is visible");
    return err_hint(err, code, "--json shows its checks; where its table was published before, the rows are in "
                    "TABLE FOR VERSION AS OF 'run:" STR_FMT "'",
                    STR_ARG(json_str(json_get(json_get(end, "report"), "run_id"))));
}

static Code run_follow(const Args *args, Client *client, Str run_id, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Follow follow = { .args = args };
    buf_init(&follow.line, 16 << 20);
    ClientRequest request = { .path = str_format(&tmp, "/v1/runs/" STR_FMT "/events", STR_ARG(run_id)),
                              .accept = STR("application/x-ndjson"), .receive = events_receive,
                              .arg = &follow };
    Code code = client_call(client, &request, NULL, err);
    render_progress_end();
    if (code == E_OK && !follow.end)
        code = err_set(err, E_UNAVAILABLE, "the server ended the stream of run " STR_FMT, STR_ARG(run_id));
    if (code == E_OK && !args_has(args, "--json"))
        code = summary_show(json_get(follow.end, "report"), err);
    if (code == E_OK)
        code = verdict(follow.end, err);
    buf_done(&follow.line);
    arena_done(&follow.arena);
    return code;
}

/* The run that began last. */
static Code latest_run(Client *client, Arena *arena, Str *ret_run_id, Err *err)
{
    Buf answer AUTO(buf_done);
    const Json *root;
    buf_init(&answer, CLIENT_REPLY_MAX);
    ClientRequest request = { .path = STR("/v1/runs?limit=1") };
    TRY(client_call(client, &request, &answer, err));
    TRY(json_parse(arena, str_copy(arena, buf_str(&answer)), NULL, &root, err));
    JsonIter it = json_iter(json_get(root, "items"));
    if (!json_next(&it))
        return err_set(err, E_NOT_FOUND, "nothing has run yet");
    *ret_run_id = json_str(json_get(it.value, "run_id"));
    return E_OK;
}

static Code follow_other(const Args *args, Client *client, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Str run_id = args_get(args, "--follow");
    if (str_eq(run_id, STR("latest")))
        TRY(latest_run(client, &tmp, &run_id, err));
    return run_follow(args, client, run_id, err);
}

Code command_run(const Args *args, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    AUTO(client_free) Client *client = NULL;
    Buf body AUTO(buf_done);
    Buf answer AUTO(buf_done);
    buf_init(&body, 1 << 20);
    buf_init(&answer, CLIENT_REPLY_MAX);
    const Json *plan, *started;
    TRY(command_client(args, &client, err));
    if (args_has(args, "--follow"))
        return follow_other(args, client, err);
    if (args->count)
        TRY(project_load(client, args->words[0], err));
    body_put(args, &body);
    ClientRequest request = { .path = STR("/v1/plan"), .body = buf_str(&body),
                              .content_type = STR("application/json") };
    TRY(client_call(client, &request, &answer, err));
    TRY(json_parse(&tmp, str_copy(&tmp, buf_str(&answer)), NULL, &plan, err));
    if (!args_has(args, "--json"))
        plan_show(plan);
    else if (args_has(args, "--plan"))
        printf(STR_FMT "\n", STR_ARG(buf_str(&answer)));
    if (args_has(args, "--plan") || !json_len(json_get(plan, "steps")))
        return E_OK;
    if (!command_agreed(args, STR("run it?")))
        return err_hint(err, err_set(err, E_INVALID, "nothing was run"), "--yes runs the plan without asking");
    buf_clear(&answer);
    request.path = STR("/v1/runs");
    TRY(client_call(client, &request, &answer, err));
    TRY(json_parse(&tmp, str_copy(&tmp, buf_str(&answer)), NULL, &started, err));
    if (str_eq(json_str(json_get(started, "state")), STR("nothing")))
        return E_OK;
    return run_follow(args, client, json_str(json_get(started, "run_id")), err);
}

static Code model_list(void *arg, Err *err)
{
    return command_show(arg, STR("/v1/models"), "items", "name,kind,state,gate,path,owner", err);
}

static Code model_load(void *arg, Err *err)
{
    const Args *args = arg;
    AUTO(client_free) Client *client = NULL;
    TRY(command_client(args, &client, err));
    TRY(project_load(client, args->words[1], err));
    printf("loaded " STR_FMT "; `tarn run` shows what is missing\n", STR_ARG(args->words[1]));
    return E_OK;
}

static Code model_show(void *arg, Err *err)
{
    const Args *args = arg;
    AUTO(client_free) Client *client = NULL;
    Arena tmp AUTO(arena_done) = { 0 };
    Buf answer AUTO(buf_done);
    buf_init(&answer, CLIENT_REPLY_MAX);
    TRY(command_client(args, &client, err));
    ClientRequest request = { .path = STR("/v1/models") };
    const Json *root;
    TRY(client_call(client, &request, &answer, err));
    TRY(json_parse(&tmp, buf_str(&answer), NULL, &root, err));
    for (JsonIter model = json_iter(json_get(root, "items")); json_next(&model);)
        if (str_eq(json_str(json_get(model.value, "name")), args->words[1])) {
            printf(STR_FMT "\n", STR_ARG(str_trim(json_str(json_get(model.value, "text")))));
            return E_OK;
        }
    return err_hint(err, err_set(err, E_NOT_FOUND, "there is no model '" STR_FMT "'", STR_ARG(args->words[1])),
                    "`tarn model list` shows them");
}

Code command_model(const Args *args, Err *err)
{
    static const CommandVerb verbs[] = { { "list", 1, 1, model_list, "list" },
                                         { "show", 2, 2, model_show, "show NAME" },
                                         { "load", 2, 2, model_load, "load DIR" },
                                         { NULL, 0, 0, NULL, NULL } };
    const CommandVerb *verb;
    TRY(command_verb(args, "model", verbs, &verb, err));
    return verb->run((void *)args, err);
}
