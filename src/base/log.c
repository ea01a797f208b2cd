#include "base/log.h"

#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

/* Set once before the first thread; the only mutable globals of base/. */
static LogSink *log_sink;
static _Atomic LogLevel log_most = LOG_INFO;

void log_init(LogSink *sink, LogLevel most)
{
    log_sink = sink;
    log_most = most;
}

void log_level_set(LogLevel most)
{
    log_most = most;
}

bool log_on(LogLevel level)
{
    return log_sink && level <= log_most;
}

static void text_put_printable(Buf *line, Str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c < 0x20 || c == 0x7F)
            buf_format(line, "\\x%02x", c);
        else
            buf_put_char(line, (char)c);
    }
}

void log_line(LogLevel level, const char *format, ...)
{
    if (!log_on(level))
        return;
    char text[LOG_LINE_MAX];
    va_list args;
    va_start(args, format);
    int wanted = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (wanted < 0)
        return;
    Buf line;
    buf_init(&line, LOG_LINE_MAX);
    text_put_printable(&line, str_of(text, MIN((size_t)wanted, sizeof text - 1)));
    log_sink(level, buf_str(&line));
    buf_done(&line);
}
