#include "format/json.h"
#include "main/command.h"
#include "main/render.h"
#include "main/shell.h"
#include "os/os.h"

#include <stdio.h>
#include <unistd.h>

const OptionRow sql_options[] = {
    { "-c", "TEXT", "run one statement and end" },
    { "-f", "FILE", "run the statement in a file and end" },
    { "--bars", NULL, "draw the answer as bars: first column labels, second numbers" },
    { "--timing", NULL, "show how long it took" },
    { NULL, NULL, NULL },
};

enum { SQL_FILE_MAX = 1 << 20, SHOWN_ROWS_MAX = 10000 };

static Code out_write(void *arg, Str bytes, Err *err)
{
    (void)arg;
    if (fwrite(bytes.ptr, 1, bytes.len, stdout) != bytes.len)
        return err_set(err, E_IO, "cannot write the output");
    return E_OK;
}

/* Streams the answer in a format of the server's. */
static Code statement_stream(Client *client, Str text, Str accept, Err *err)
{
    ClientRequest request = { .path = STR("/v1/sql"), .accept = accept, .body = text,
                              .content_type = STR("text/plain"), .receive = out_write };
    return client_call(client, &request, NULL, err);
}

/* EXPLAIN answers with drawings: each stands as it is. */
static bool explain_show(const Json *answer)
{
    const Json *column = json_at(json_get(answer, "columns"), 1);
    if (!str_eq(json_str(json_get(column, "name")), STR("explain_value")))
        return false;
    for (JsonIter row = json_iter(json_get(answer, "rows")); json_next(&row);)
        printf(STR_FMT "\n", STR_ARG(json_str(json_at(row.value, 1))));
    return true;
}

static Code statement_show(Client *client, Str text, const SqlView *view, Err *err)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Buf body AUTO(buf_done);
    buf_init(&body, CLIENT_REPLY_MAX);
    int64_t start_us = os_monotonic_us(os_real());
    ClientRequest request = { .path = STR("/v1/sql"), .body = text, .content_type = STR("text/plain") };
    TRY(client_call(client, &request, &body, err));
    const Json *answer;
    JsonLimits limits = { .bytes_max = CLIENT_REPLY_MAX, .keeps_duplicates = true };
    TRY(json_parse(&tmp, buf_str(&body), &limits, &answer, err));
    if (explain_show(answer))
        return E_OK;
    if (view->bars)
        render_bars(stdout, answer, view->width ? view->width : 100);
    else
        render_table(stdout, answer, view->width);
    size_t rows = json_len(json_get(answer, "rows"));
    if (view->foot)
        printf("%zu row%s", rows, rows == 1 ? "" : "s");
    if (view->timing)
        printf("%s%.1f ms", view->foot ? ", " : "",
               (double)(os_monotonic_us(os_real()) - start_us) / 1000);
    if (view->foot || view->timing)
        printf("\n");
    return E_OK;
}

Code sql_statement(Client *client, Str text, const SqlView *view, Err *err)
{
    command_sent(text);
    if (view->format == SQL_VIEW_JSON)
        return statement_stream(client, text, STR("application/x-ndjson"), err);
    if (view->format == SQL_VIEW_CSV)
        return statement_stream(client, text, STR("text/csv"), err);
    return statement_show(client, text, view, err);
}

Code command_sql(const Args *args, Err *err)
{
    static Buf file; /* the error's caret is drawn after this returns */
    AUTO(client_free) Client *client = NULL;
    SqlView view = {
        .format = args_has(args, "--json") ? SQL_VIEW_JSON
                  : args_has(args, "--csv") ? SQL_VIEW_CSV
                                            : SQL_VIEW_TABLE,
        .bars = args_has(args, "--bars"),
        .timing = args_has(args, "--timing"),
        .width = render_width(),
        .foot = render_is_terminal(stdout),
    };
    bool named = args_has(args, "-c") || args_has(args, "-f");
    if (args->count > (named ? 0 : 1))
        return err_hint(err, err_set(err, E_INVALID, "`tarn sql` takes one statement"),
                        "quotes keep it one word: tarn sql -c \"SELECT 1\"");
    TRY(command_client(args, &client, err));
    if (args_has(args, "-c") || args->count == 1)
        return sql_statement(client, args->count ? args->words[0] : args_get(args, "-c"), &view, err);
    if (args_has(args, "-f")) {
        Arena tmp AUTO(arena_done) = { 0 };
        buf_init(&file, SQL_FILE_MAX);
        Code code = os_read_whole(os_real(), str_copy_z(&tmp, args_get(args, "-f")), &file, err);
        if (code != E_OK)
            return err_hint(err, code, "is the path right? -f takes a file with one statement of at most %d bytes",
                            SQL_FILE_MAX);
        return sql_statement(client, buf_str(&file), &view, err);
    }
    return shell_run(client, &view, err);
}
