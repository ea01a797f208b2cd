#include "base/buf.h"
#include "main/command.h"
#include "main/render.h"
#include "main/settings.h"

#include <stdio.h>
#include <string.h>

const OptionRow no_options[] = { { NULL, NULL, NULL } };

static const Command commands[] = {
#define COMMAND(name, function, options, usage, doc, example)                                      \
    { name, function, options, usage, doc, example },
#include "main/commands.def"
#undef COMMAND
};

static Str sent_text;

void command_sent(Str text)
{
    sent_text = text;
}

static void help_all(void)
{
    printf("tarn: a whole data lake in one program\n\nusage: tarn COMMAND [options]\n\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        printf("  %-9s %s\n", commands[i].name, commands[i].doc);
    printf("\n`tarn COMMAND --help` shows a command's options and an example.\n"
           "Start here:  tarn serve --data ./lake\n"
           "Exit status: 0 done; 2 the command is wrong; 3 not there; 4 not allowed; 5 it is otherwise there, or not\n"
           "             empty; 7 no answer, try again; 130 stopped by Ctrl-C; 1 anything else\n");
}

static void help_options(const OptionRow *rows)
{
    for (; rows->name; rows++)
        printf("  %s %-*s %s\n", rows->name, (int)(24 - strlen(rows->name)),
               rows->value ? rows->value : "", rows->doc);
}

/* A line for each way: they are divided by " | " outside of brackets. */
static void usage_print(const Command *command)
{
    Str usage = str_z(command->usage);
    const char *label = "usage:";
    size_t from = 0;
    int depth = 0;
    for (size_t i = 0; i <= usage.len; i++) {
        char c = i < usage.len ? usage.ptr[i] : '\0';
        depth += c == '[' ? 1 : c == ']' ? -1 : 0;
        if (c && !(depth == 0 && str_starts(str_from(usage, i), STR(" | "))))
            continue;
        printf("%s tarn %s%s" STR_FMT "\n", label, command->name, i > from ? " " : "",
               STR_ARG(str_sub(usage, from, i - from)));
        label = "      ";
        from = i + 3;
    }
    printf("\n");
}

static void help_command(const Command *command)
{
    printf("%s\n\n", command->doc);
    usage_print(command);
    help_options(command->options);
    help_options(args_common);
    Str rest = str_z(command->example), line;
    for (const char *label = "\nexample: "; str_split(&rest, '\n', &line); label = "         ")
        printf("%s" STR_FMT "\n", label, STR_ARG(line));
}

static const Command *command_find(Str name)
{
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        if (str_eq(name, str_z(commands[i].name)))
            return &commands[i];
    return NULL;
}

static Code command_unknown(Str name, Err *err)
{
    Str names[ARRAY_LEN(commands)];
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        names[i] = str_z(commands[i].name);
    Str near = str_nearest(name, names, ARRAY_LEN(commands));
    Code code = err_set(err, E_INVALID, "there is no command '" STR_FMT "'", STR_ARG(name));
    if (near.ptr)
        return err_hint(err, code, "did you mean `tarn " STR_FMT "`?", STR_ARG(near));
    return err_hint(err, code, "`tarn help` lists the commands");
}

static Code run(int argc, char **argv, Err *err)
{
    static Args args; /* large, used once */
    const Command *command = command_find(str_z(argv[1]));
    if (!command)
        return command_unknown(str_z(argv[1]), err);
    TRY(args_parse(&args, argc - 2, argv + 2, command->options, err));
    render_colors(!args_has(&args, "--no-color"));
    if (args_has(&args, "--help")) {
        help_command(command);
        return E_OK;
    }
    return command->run(&args, err);
}

int main(int argc, char **argv)
{
    if (argc < 2 || strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0) {
        help_all();
        return argc < 2 ? 2 : 0;
    }
    if (strcmp(argv[1], "--version") == 0)
        argv[1] = "version";
    Err err;
    err_clear(&err);
    Code code = run(argc, argv, &err);
    if (code != E_OK)
        render_error(&err, sent_text);
    fflush(stdout);
    return code_info(code)->exit_status;
}
