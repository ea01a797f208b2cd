/* command.h: what a command of `tarn` is; commands.def lists them all.
 * Owner:   main.c runs one.
 * Threads: one.
 * Errors:  the exit status is that of the code (errors.def).
 * Limits:  none.
 * Units:   none. */
#pragma once

#include "base/err.h"
#include "main/args.h"
#include "main/client.h"

typedef struct Command {
    const char *name;
    Code (*run)(const Args *args, Err *err);
    const OptionRow *options; /* besides args_common */
    const char *usage;        /* behind `tarn NAME` */
    const char *doc;          /* one sentence */
    const char *example;      /* a whole line */
} Command;

/* The client of --url, --data and the environment. */
Code command_client(const Args *args, Client **ret_client, Err *err) CHECKED;

/* GET `path` and show: --json and --csv as they come, else the table at `rows_key` with the columns
 * named in `columns` ("name,kind,rows"). */
Code command_show(const Args *args, Str path, const char *rows_key, const char *columns, Err *err) CHECKED;

/* The same of JSON that is there already. */
Code command_show_json(const Args *args, Str json, const char *rows_key, const char *columns, Err *err) CHECKED;

/* A verb of a command of verbs, the first word; a table of them ends with one without a word. */
typedef struct CommandVerb {
    const char *word;
    size_t words_min, words_max; /* with the verb */
    Code (*run)(void *call, Err *err);
    const char *usage;
} CommandVerb;

/* The row of the first word, with as many words as it takes; else INVALID with what would be right. */
Code command_verb(const Args *args, const char *command, const CommandVerb *verbs, const CommandVerb **ret_verb,
                  Err *err) CHECKED;

/* --yes, or a person at a terminal says so. */
bool command_agreed(const Args *args, Str question);

/* INVALID when there are words: of a command that takes its directory by --data. */
Code command_no_words(const Args *args, const char *command, Err *err) CHECKED;

/* INVALID with the nearest of `words` ("create ls rm"), else with where the help is. */
Code command_word_refuse(const char *command, Str word, const char *words, Err *err) CHECKED;

/* INVALID with the usage unless `args` have `min` to `max` words, the verb among them. */
Code command_words_check(const Args *args, const char *command, size_t min, size_t max, const char *usage,
                         Err *err) CHECKED;

/* The SQL text that an error's position counts in; main.c draws the caret with it. */
void command_sent(Str text);

#define COMMAND(name, function, options, usage, doc, example)                                      \
    Code function(const Args *args, Err *err);
#include "main/commands.def"
#undef COMMAND
Code command_trash(const Args *args, Err *err); /* `tarn object trash` */
extern const OptionRow ingest_options[], sql_options[], run_options[], model_options[], table_options[],
    object_options[], bucket_options[], key_options[], cert_options[], fetch_options[], doctor_options[],
    backup_options[], no_options[];
