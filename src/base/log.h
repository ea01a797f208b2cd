/* log.h: structured lines for operators; written by source/, flow/, api/, front/ and main/.
 * Owner:   main/ sets the sink and the level once, before the first thread.
 * Threads: any; a line reaches the sink whole.
 * Errors:  none; a line that cannot be written is lost.
 * Limits:  a line is cut at LOG_LINE_MAX bytes.
 * Units:   none. */
#pragma once

#include "base/str.h"

typedef enum LogLevel { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG } LogLevel;

enum { LOG_LINE_MAX = 4096 };

typedef void LogSink(LogLevel level, Str line);

void log_init(LogSink *sink, LogLevel most);
void log_level_set(LogLevel most); /* any thread */
bool log_on(LogLevel level);

/* `message` is followed by `key=value` pairs that the caller formats; control bytes become `\xNN`,
 * so that no input can forge a line. */
void log_line(LogLevel level, const char *format, ...) PRINTF_LIKE(2, 3);
