#include "source/source.h"

enum { HASH8 = 8 };

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

Code source_id_check(Str source, Err *err)
{
    bool good = source.len > 0 && source.len <= SOURCE_ID_MAX;
    for (size_t i = 0; good && i < source.len; i++) {
        char c = source.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        good = plain || (i > 0 && (c == '-' || c == '_'));
    }
    if (good)
        return E_OK;
    Code code = err_set(err, E_INVALID, "not a source name: '" STR_FMT "'",
                        STR_ARG(str_sub(source, 0, SOURCE_ID_MAX)));
    return err_hint(err, code, "1 to 63 of a-z, 0-9, - and _, beginning with a letter or digit");
}

static const char *part_problem(Str part)
{
    if (part.len == 0)
        return "has an empty part";
    if (str_eq(part, STR(".")) || str_eq(part, STR("..")))
        return "has a part that is . or ..";
    return NULL;
}

/* `STEM~0123abcd.EXT` is how a second file under one name is told apart. */
static bool looks_like_ours(Str name)
{
    ptrdiff_t slash = str_rfind_char(name, '/');
    Str last = str_from(name, (size_t)(slash + 1));
    ptrdiff_t dot = str_rfind_char(last, '.');
    Str stem = dot > 0 ? str_sub(last, 0, (size_t)dot) : last;
    if (stem.len < HASH8 + 1 || stem.ptr[stem.len - HASH8 - 1] != '~')
        return false;
    for (size_t i = stem.len - HASH8; i < stem.len; i++) {
        if (!is_hex(stem.ptr[i]))
            return false;
    }
    return true;
}

static const char *name_problem(Str name)
{
    if (name.len == 0)
        return "is empty";
    if (name.len > SOURCE_NAME_MAX)
        return "is longer than 512 bytes";
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.ptr[i];
        if (c < 0x20 || c == 0x7f)
            return "holds a control byte";
        if (c == '\\')
            return "holds a backslash";
    }
    if (!str_is_utf8(name))
        return "is not UTF-8";
    Str rest = name;
    Str part;
    while (str_split(&rest, '/', &part)) {
        const char *problem = part_problem(part);
        if (problem)
            return problem;
    }
    return looks_like_ours(name) ? "ends in ~ and 8 hexadecimal digits, which is kept for versions"
                                 : NULL;
}

Code source_name_check(Str name, Err *err)
{
    const char *problem = name_problem(name);
    if (!problem)
        return E_OK;
    Code code = err_set(err, E_INVALID, "the name of the file %s", problem);
    return err_hint(err, code, "send it under a plain relative name such as day1/flights.csv");
}
