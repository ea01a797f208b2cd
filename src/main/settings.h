/* settings.h: the settings of the server from their table, tarn.yaml, environment and flags.
 * Owner:   the command.
 * Threads: one.
 * Errors:  INVALID with key, place and what would be right.
 * Limits:  a settings file has SETTINGS_FILE_MAX bytes.
 * Units:   as the rows say. */
#pragma once

#include "base/conf.h"
#include "main/args.h"

enum { SETTINGS_FILE_MAX = 1 << 20 };

extern const OptionRow settings_options[]; /* flags of `serve` and `config` */

/* `--config FILE`, else tarn.yaml in the data directory when it is there. */
Code settings_load(Conf *ret_conf, const Args *args, Err *err) CHECKED;

/* The setting of that row of the Conf also takes effect at SIGHUP, not at the next start only. */
bool settings_reloads(size_t row);

/* Sections of `key: value` two levels deep, from YAML; places are NAME:LINE. */
Code settings_parse(Conf *conf, Str yaml, Str name, Err *err) CHECKED;
