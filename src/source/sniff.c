#include "source/source.h"

#include <string.h>

/* Formats that say what they are with fixed bytes at a fixed place. */
static const struct Magic {
    size_t at;
    Str bytes;
    Str type;
} MAGICS[] = {
    { 0, STR_INIT("PAR1"), STR_INIT("application/vnd.apache.parquet") },
    { 0, STR_INIT("ARROW1\0\0"), STR_INIT("application/vnd.apache.arrow.file") },
    { 0, STR_INIT("Obj\x01"), STR_INIT("application/vnd.apache.avro") },
    { 0, STR_INIT("ORC"), STR_INIT("application/vnd.apache.orc") },
    { 0, STR_INIT("\x1f\x8b\x08"), STR_INIT("application/gzip") },
    { 0, STR_INIT("\x28\xb5\x2f\xfd"), STR_INIT("application/zstd") },
    { 0, STR_INIT("BZh"), STR_INIT("application/x-bzip2") },
    { 0, STR_INIT("\xfd"
                  "7zXZ\0"), STR_INIT("application/x-xz") },
    { 0, STR_INIT("PK\x03\x04"), STR_INIT("application/zip") },
    { 0, STR_INIT("%PDF-"), STR_INIT("application/pdf") },
    { 0, STR_INIT("\x89PNG\r\n\x1a\n"), STR_INIT("image/png") },
    { 0, STR_INIT("\xff\xd8\xff"), STR_INIT("image/jpeg") },
    { 0, STR_INIT("GIF87a"), STR_INIT("image/gif") },
    { 0, STR_INIT("GIF89a"), STR_INIT("image/gif") },
    { 0, STR_INIT("II*\0"), STR_INIT("image/tiff") },
    { 0, STR_INIT("MM\0*"), STR_INIT("image/tiff") },
    { 8, STR_INIT("WEBP"), STR_INIT("image/webp") },
    { 8, STR_INIT("WAVE"), STR_INIT("audio/wav") },
    { 0, STR_INIT("fLaC"), STR_INIT("audio/flac") },
    { 0, STR_INIT("OggS"), STR_INIT("audio/ogg") },
    { 0, STR_INIT("ID3"), STR_INIT("audio/mpeg") },
    { 4, STR_INIT("ftyp"), STR_INIT("video/mp4") },
    { 0, STR_INIT("\x1a\x45\xdf\xa3"), STR_INIT("video/webm") },
    { 0, STR_INIT("SQLite format 3\0"), STR_INIT("application/vnd.sqlite3") },
    { 257, STR_INIT("ustar"), STR_INIT("application/x-tar") },
};

static const struct Ending {
    Str ending;
    Str type;
} TEXT_ENDINGS[] = {
    { STR_INIT(".csv"), STR_INIT("text/csv") },
    { STR_INIT(".tsv"), STR_INIT("text/tab-separated-values") },
    { STR_INIT(".md"), STR_INIT("text/markdown") },
    { STR_INIT(".sql"), STR_INIT("application/sql") },
    { STR_INIT(".yaml"), STR_INIT("application/yaml") },
    { STR_INIT(".yml"), STR_INIT("application/yaml") },
};

/* The kinds of text that a sender may name when the bytes say only "text". */
static const Str TEXT_HINTS[] = {
    STR_INIT("text/csv"),      STR_INIT("text/tab-separated-values"), STR_INIT("text/plain"),
    STR_INIT("text/markdown"), STR_INIT("application/sql"),           STR_INIT("application/yaml"),
};

static Str magic_type(Str front)
{
    for (size_t i = 0; i < ARRAY_LEN(MAGICS); i++) {
        Str at = str_from(front, MAGICS[i].at);
        if (at.len > 0 && str_starts(at, MAGICS[i].bytes))
            return MAGICS[i].type;
    }
    return STR_NONE;
}

static bool is_text(Str front, bool whole)
{
    for (size_t i = 0; i < front.len; i++) {
        unsigned char c = (unsigned char)front.ptr[i];
        if (c < 0x20 && c != '\t' && c != '\n' && c != '\r' && c != '\f' && c != 0x1b)
            return false;
    }
    if (str_is_utf8(front))
        return true;
    /* The front may end inside a character. */
    for (size_t cut = 1; !whole && cut < 4 && cut < front.len; cut++) {
        if (str_is_utf8(str_sub(front, 0, front.len - cut)))
            return true;
    }
    return false;
}

/* JSON, or one JSON object a line when the first line is closed and another one begins like it. */
static Str json_type_of(Str text, bool whole)
{
    ptrdiff_t newline = str_find_char(text, '\n');
    if (text.ptr[0] == '{' && newline > 0) {
        Str first = str_trim(str_sub(text, 0, (size_t)newline));
        Str rest = str_trim(str_from(text, (size_t)newline));
        bool closed = first.ptr[first.len - 1] == '}';
        if (closed && (rest.len == 0 ? !whole : rest.ptr[0] == '{'))
            return STR("application/x-ndjson");
    }
    return STR("application/json");
}

static size_t count_of(Str line, char c)
{
    size_t n = 0;
    bool quoted = false;
    for (size_t i = 0; i < line.len; i++) {
        quoted ^= line.ptr[i] == '"';
        n += !quoted && line.ptr[i] == c;
    }
    return n;
}

/* The first two lines have the same number of separators, at least one. */
static bool is_table(Str text, char separator)
{
    Str rest = text;
    Str first;
    Str second;
    if (!str_split(&rest, '\n', &first) || !str_split(&rest, '\n', &second) || second.len == 0)
        return false;
    size_t n = count_of(first, separator);
    return n > 0 && n == count_of(second, separator);
}

static Str text_type(Str text, Str name, Str hint)
{
    Str bare = hint;
    ptrdiff_t semicolon = str_find_char(hint, ';');
    if (semicolon >= 0)
        bare = str_trim(str_sub(hint, 0, (size_t)semicolon));
    for (size_t i = 0; i < ARRAY_LEN(TEXT_HINTS); i++) {
        if (str_ieq(bare, TEXT_HINTS[i]))
            return TEXT_HINTS[i];
    }
    for (size_t i = 0; i < ARRAY_LEN(TEXT_ENDINGS); i++) {
        if (str_ends(name, TEXT_ENDINGS[i].ending))
            return TEXT_ENDINGS[i].type;
    }
    if (is_table(text, '\t'))
        return STR("text/tab-separated-values");
    return is_table(text, ',') || is_table(text, ';') ? STR("text/csv") : STR("text/plain");
}

Str source_content_type(Str front, bool whole, Str name, Str hint)
{
    Str type = magic_type(front);
    if (type.ptr)
        return type;
    if (front.len == 0)
        return STR("application/x-empty");
    if (!is_text(front, whole))
        return STR("application/octet-stream");
    Str text = str_starts(front, STR("\xEF\xBB\xBF")) ? str_from(front, 3) : front;
    text = str_trim(text);
    if (text.len == 0)
        return STR("text/plain");
    if (text.ptr[0] == '{' || text.ptr[0] == '[')
        return json_type_of(text, whole);
    if (str_istarts(text, STR("<!doctype html")) || str_istarts(text, STR("<html")))
        return STR("text/html");
    if (str_starts(text, STR("<?xml")))
        return STR("application/xml");
    return text_type(text, name, hint);
}
