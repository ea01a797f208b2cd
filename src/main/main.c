#include "base/buf.h"
#include "main/command.h"
#include "main/render.h"
#include "main/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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
           "             empty; 6 a gate held a model back; 7 no answer, try again; 130 stopped by Ctrl-C;\n"
           "             1 anything else\n");
}

static void help_options(const OptionRow *rows)
{
    for (; rows->name; rows++)
        printf("  %s %-*s %s\n", rows->name, (int)(24 - strlen(rows->name)),
               rows->value ? rows->value : "", rows->doc);
}

/* Takes the first way off `*rest`: ways are divided by " | " outside of brackets. */
static bool usage_split(Str *rest, Str *ret_way)
{
    int depth = 0;
    if (!rest->ptr)
        return false;
    for (size_t i = 0; i < rest->len; i++) {
        depth += rest->ptr[i] == '[' ? 1 : rest->ptr[i] == ']' ? -1 : 0;
        if (depth != 0 || !str_starts(str_from(*rest, i), STR(" | ")))
            continue;
        *ret_way = str_sub(*rest, 0, i);
        *rest = str_from(*rest, i + 3);
        return true;
    }
    *ret_way = *rest;
    *rest = STR_NONE;
    return true;
}

/* Whether a line begins with these words. */
static bool words_begin(Str line, const Str *words, size_t count)
{
    Str word;
    for (size_t i = 0; i < count; i++)
        if (!str_split(&line, ' ', &word) || !str_eq(word, words[i]))
            return false;
    return true;
}

/* How many of the words that came with --help tell ways apart: `key access`, `key access rotate`. */
static size_t words_that_tell(const Command *command, const Args *args)
{
    for (size_t count = args->count; count > 0; count--)
        for (Str rest = str_z(command->usage), way; usage_split(&rest, &way);)
            if (words_begin(way, args->words, count))
                return count;
    return 0;
}

static void examples_print(const Command *command, const Args *args, size_t words)
{
    Str before = STR_INIT("tarn "), rest = str_z(command->example), line;
    size_t skip = before.len + strlen(command->name) + 1;
    const char *label = "\nexample: ";
    while (str_split(&rest, '\n', &line)) {
        Str behind = str_starts(line, before) ? str_from(line, MIN(skip, line.len)) : STR_NONE;
        if (words && !words_begin(behind, args->words, words))
            continue;
        printf("%s" STR_FMT "\n", label, STR_ARG(line));
        label = "         ";
    }
}

/* Of the whole command, or of the verb that stands before --help. */
static void help_command(const Command *command, const Args *args)
{
    size_t words = words_that_tell(command, args);
    const char *label = "usage:";
    printf("%s\n\n", command->doc);
    for (Str rest = str_z(command->usage), way; usage_split(&rest, &way);)
        if (words_begin(way, args->words, words)) {
            printf("%s tarn %s%s" STR_FMT "\n", label, command->name, way.len ? " " : "", STR_ARG(way));
            label = "      ";
        }
    printf("\n");
    help_options(command->options);
    help_options(args_common);
    examples_print(command, args, words);
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
    Code code = args_parse(&args, argc - 2, argv + 2, command->options, err);
    if (code != E_OK)
        return err->hint[0] ? code : err_hint(err, code, "`tarn %s --help` lists the options", command->name);
    render_colors(!args_has(&args, "--no-color"));
    if (args_has(&args, "--help")) {
        help_command(command, &args);
        return E_OK;
    }
    return command->run(&args, err);
}

/* One that is closed would be the number of the next file that is opened: the log would go into a lake's file. */
static void standard_files_keep(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) != fd)
            _exit(1);
}

/* An answer that was cut off by a full disk is no answer. */
static Code output_end(Code code, Err *err)
{
    bool written = !ferror(stdout);
    errno = 0;
    written = fflush(stdout) == 0 && written;
    if (written || code != E_OK)
        return code;
    return err_set(err, errno == ENOSPC || errno == EDQUOT ? E_NO_SPACE : E_IO,
                   "the answer could not be written to the standard output%s%s", errno ? ": " : "",
                   errno ? strerror(errno) : "");
}

int main(int argc, char **argv)
{
    standard_files_keep();
    if (argc < 2 || strcmp(argv[1], "help") == 0 || strcmp(argv[1], "--help") == 0) {
        help_all();
        return argc < 2 ? 2 : 0;
    }
    if (strcmp(argv[1], "--version") == 0)
        argv[1] = "version";
    Err err;
    err_clear(&err);
    Code code = output_end(run(argc, argv, &err), &err);
    if (code != E_OK)
        render_error(&err, sent_text);
    return code_info(code)->exit_status;
}
