#include "main/shell.h"

#include "main/render.h"

#include <editline/readline.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HISTORY_MAX = 1000 };

static const char *const shell_help =
    "  \\d            tables            \\d NAME       columns of a table\n"
    "  \\dn           namespaces        \\timing       show times on or off\n"
    "  \\x table|json|csv               how answers are shown\n"
    "  \\q            end (also Ctrl-D) \\?            this help\n"
    "A statement ends with `;` and may have several lines. Ctrl-C empties the line.\n";

/* Ends in `;` outside of quotes and comments: then the statement is whole. */
static bool statement_whole(Str text)
{
    char quote = 0;
    bool comment = false, whole = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (comment) {
            comment = c != '\n';
            continue;
        }
        if (quote) {
            quote = c == quote ? 0 : quote;
            continue;
        }
        if (c == '-' && i + 1 < text.len && text.ptr[i + 1] == '-')
            comment = true;
        else if (c == '\'' || c == '"')
            quote = c;
        if (c == ';')
            whole = true;
        else if (!comment && c != ' ' && c != '\t' && c != '\n')
            whole = false;
    }
    return whole && !quote;
}

/* As a person goes on, and a script does not. */
static void statement_run(Client *client, Str text, const SqlView *view)
{
    Err err;
    err_clear(&err);
    if (sql_statement(client, text, view, &err) != E_OK)
        render_error(&err, text);
}

/* A statement that was typed or piped in: never a part of one that is too long. */
static Code text_run(Client *client, const Buf *text, const SqlView *view, bool person, Err *err)
{
    Code code = buf_end(text, "the statement", err);
    if (code == E_OK && !person)
        return sql_statement(client, buf_str(text), view, err);
    if (code == E_OK)
        statement_run(client, buf_str(text), view);
    if (code != E_OK && person)
        render_error(err, STR_NONE);
    return person ? E_OK : code;
}

static void format_set(SqlView *view, Str name)
{
    if (str_eq(name, STR("json")))
        view->format = SQL_VIEW_JSON;
    else if (str_eq(name, STR("csv")))
        view->format = SQL_VIEW_CSV;
    else
        view->format = SQL_VIEW_TABLE;
}

/* False: the shell ends. */
static bool backslash_run(Client *client, SqlView *view, Str line)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Str rest = line, word;
    if (!str_split(&rest, ' ', &word))
        return true;
    rest = str_trim(rest);
    if (str_eq(word, STR("\\q")))
        return false;
    if (str_eq(word, STR("\\timing")))
        printf("timing is %s\n", (view->timing = !view->timing) ? "on" : "off");
    else if (str_eq(word, STR("\\x")))
        format_set(view, rest);
    else if (str_eq(word, STR("\\dn")))
        statement_run(client, STR("SHOW NAMESPACES"), view);
    else if (str_eq(word, STR("\\d")) && rest.len)
        statement_run(client, str_format(&tmp, "DESCRIBE " STR_FMT, STR_ARG(rest)), view);
    else if (str_eq(word, STR("\\d")))
        statement_run(client, STR("SHOW TABLES"), view);
    else
        fputs(shell_help, stdout);
    return true;
}

static const char *history_path(Arena *arena)
{
    const char *home = getenv("HOME");
    return home && *home ? str_copy_z(arena, str_format(arena, "%s/.tarn_history", home)) : NULL;
}

Code shell_run(Client *client, SqlView *view, Err *err)
{
    static Buf text; /* the error's caret is drawn after this returns */
    Arena arena AUTO(arena_done) = { 0 };
    buf_init(&text, SHELL_TEXT_MAX);
    bool person = isatty(STDIN_FILENO);
    const char *history = person ? history_path(&arena) : NULL;
    using_history();
    stifle_history(HISTORY_MAX);
    if (history)
        read_history(history);
    if (person)
        printf("tarn at " STR_FMT ". \\? for help, \\q to end.\n", STR_ARG(client_url(client)));
    bool go_on = true;
    for (char *line; go_on && (line = readline(!person ? "" : text.len ? "   -> " : "tarn> "));) {
        Str given = str_z(line);
        if (!text.len && str_starts(str_trim(given), STR("\\"))) {
            go_on = backslash_run(client, view, str_trim(given));
        } else {
            if (text.len)
                buf_put_char(&text, '\n');
            buf_put(&text, given);
        }
        if (given.len && person)
            add_history(line);
        bool ends = str_find_char(given, ';') >= 0; /* only such a line can end one */
        free(line);
        if (text.over || (ends && statement_whole(buf_str(&text)))) {
            TRY(text_run(client, &text, view, person, err));
            buf_clear(&text);
        }
    }
    if (str_trim(buf_str(&text)).len) /* input that ends without `;` */
        TRY(text_run(client, &text, view, person, err));
    if (history)
        write_history(history);
    if (person)
        printf("\n");
    return E_OK;
}
