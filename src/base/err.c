#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define no false
#define yes true
static const CodeInfo code_table[] = {
#define CODE(name, retry, http, grpc, s3, kafka, sqlstate, exit_status, text)                      \
    { #name, retry, http, grpc, s3, kafka, sqlstate, exit_status, text },
#include "base/errors.def"
#undef CODE
};
#undef no
#undef yes

const CodeInfo *code_info(Code code)
{
    ASSERT((unsigned)code < E_COUNT);
    return &code_table[code];
}

void err_clear(Err *err)
{
    if (!err)
        return;
    err->code = E_OK;
    err->position = -1;
    err->text[0] = err->place[0] = err->hint[0] = '\0';
}

/* Cuts a text that vsnprintf cut in the middle of a UTF-8 sequence back to a whole character. */
static void text_cut(char *text, size_t size, int wanted)
{
    if (wanted < 0 || (size_t)wanted < size)
        return;
    size_t end = size - 1;
    while (end > 0 && ((unsigned char)text[end - 1] & 0xC0) == 0x80)
        end--;
    if (end > 0 && ((unsigned char)text[end - 1] & 0x80))
        end--;
    text[end] = '\0';
}

static void text_set(char *text, size_t size, const char *format, va_list args)
{
    text_cut(text, size, vsnprintf(text, size, format, args));
}

Code err_set(Err *err, Code code, const char *format, ...)
{
    if (!err)
        return code;
    char text[ERR_TEXT_MAX]; /* the arguments may point into *err */
    va_list args;
    va_start(args, format);
    text_set(text, sizeof text, format, args);
    va_end(args);
    err_clear(err);
    err->code = code;
    memcpy(err->text, text, sizeof text);
    return code;
}

Code err_wrap(Err *err, Code code, const char *format, ...)
{
    if (!err)
        return code;
    char text[ERR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    text_set(text, sizeof text, format, args);
    va_end(args);
    size_t used = strlen(text);
    if (err->text[0])
        text_cut(text + used, sizeof text - used,
                 snprintf(text + used, sizeof text - used, ": %s", err->text));
    memcpy(err->text, text, sizeof text);
    err->code = code;
    return code;
}

#define ERR_ADD(field)                                                                             \
    if (err && code != E_OK) {                                                                     \
        va_list args;                                                                              \
        va_start(args, format);                                                                    \
        text_set(err->field, sizeof err->field, format, args);                                     \
        va_end(args);                                                                              \
    }                                                                                              \
    return code;

Code err_hint(Err *err, Code code, const char *format, ...)
{
    ERR_ADD(hint)
}

Code err_place(Err *err, Code code, const char *format, ...)
{
    ERR_ADD(place)
}

Code err_at(Err *err, Code code, int64_t position)
{
    if (err && code != E_OK)
        err->position = position;
    return code;
}

_Noreturn void assert_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "tarn: a mistake of ours: '%s' does not hold at %s:%d\n", condition, file, line);
    abort();
}

void *mem_new(size_t size)
{
    void *memory = calloc(1, size ? size : 1);
    ASSERT(memory && "memory");
    return memory;
}

void *mem_grow(void *memory, size_t size)
{
    void *grown = realloc(memory, size ? size : 1);
    ASSERT(grown && "memory");
    return grown;
}

void mem_free(void *memory_pointer)
{
    void *memory;
    memcpy(&memory, memory_pointer, sizeof memory);
    free(memory);
    memory = NULL;
    memcpy(memory_pointer, &memory, sizeof memory);
}
