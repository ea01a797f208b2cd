#include "main/render.h"

#include "base/buf.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { CELL_WIDTH_MAX = 120, CELL_WIDTH_MIN = 6, BAR_WIDTH_MIN = 10, PROGRESS_BAR = 24, CSV_FIELD_MAX = 1 << 20 };

static bool colors_wanted = true;
static bool progress_shown;

void render_colors(bool on)
{
    colors_wanted = on;
}

bool render_is_terminal(FILE *out)
{
    return isatty(fileno(out));
}

static const char *color(const char *code)
{
    return colors_wanted && !getenv("NO_COLOR") && render_is_terminal(stdout) ? code : "";
}

const char *render_bold(void)
{
    return color("\x1b[1m");
}

const char *render_dim(void)
{
    return color("\x1b[2m");
}

const char *render_red(void)
{
    return color("\x1b[31m");
}

const char *render_plain(void)
{
    return color("\x1b[0m");
}

size_t render_width(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    const char *columns = getenv("COLUMNS");
    uint64_t width;
    return columns && str_u64(str_z(columns), &width) ? (size_t)width : 0;
}

static bool wide(uint32_t c)
{
    return (c >= 0x1100 && c <= 0x115F) || (c >= 0x2E80 && c <= 0xA4CF) ||
           (c >= 0xAC00 && c <= 0xD7A3) || (c >= 0xF900 && c <= 0xFAFF) ||
           (c >= 0xFE30 && c <= 0xFE6F) || (c >= 0xFF00 && c <= 0xFF60) ||
           (c >= 0x1F300 && c <= 0x1FAFF) || (c >= 0x20000 && c <= 0x3FFFD);
}

/* One character off the front; control characters come as a visible dot. */
static size_t char_width(Str *text)
{
    unsigned char first = (unsigned char)text->ptr[0];
    size_t len = first < 0x80 ? 1 : first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    len = MIN(len, text->len);
    uint32_t c = len == 1 ? first : first & (0xFFu >> (len + 1));
    for (size_t i = 1; i < len; i++)
        c = c << 6 | ((unsigned char)text->ptr[i] & 0x3F);
    *text = str_from(*text, len);
    return wide(c) ? 2 : 1;
}

size_t render_text_width(Str text)
{
    size_t width = 0;
    while (text.len)
        width += char_width(&text);
    return width;
}

/* A value as text in the arena; a text goes without quotes, NULL as an empty cell. */
static Str cell_text(Arena *arena, const Json *value)
{
    if (!value || json_is_null(value))
        return STR("");
    if (json_type(value) == JSON_STRING) {
        Str text = json_str(value);
        char *clean = arena_copy(arena, text.ptr ? text.ptr : "", text.len);
        for (size_t i = 0; i < text.len; i++)
            clean[i] = (unsigned char)clean[i] < 0x20 || clean[i] == 0x7F ? ' ' : clean[i];
        return str_of(clean, text.len);
    }
    Buf buf AUTO(buf_done);
    buf_init(&buf, 1 << 20);
    JsonWriter writer = json_writer(&buf);
    json_put_value(&writer, value);
    return str_copy(arena, buf_str(&buf));
}

static bool type_is_number(Str type)
{
    static const Str names[] = { STR_INIT("int"), STR_INIT("long"), STR_INIT("float"),
                                 STR_INIT("double"), STR_INIT("decimal"), STR_INIT("BIGINT"),
                                 STR_INIT("INTEGER"), STR_INIT("DOUBLE"), STR_INIT("FLOAT"),
                                 STR_INIT("DECIMAL"), STR_INIT("HUGEINT"), STR_INIT("UBIGINT"),
                                 STR_INIT("SMALLINT"), STR_INIT("TINYINT"), STR_INIT("UINTEGER"),
                                 STR_INIT("uint") };
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_istarts(type, names[i]))
            return true;
    return false;
}

typedef struct Column {
    Str name;
    bool number;
    size_t width;
} Column;

static void cell_print(FILE *out, Str text, size_t width, bool right)
{
    size_t wanted = render_text_width(text);
    if (wanted <= width) {
        fprintf(out, "%*s" STR_FMT "%*s", right ? (int)(width - wanted) : 0, "", STR_ARG(text),
                right ? 0 : (int)(width - wanted), "");
        return;
    }
    Str rest = text;
    size_t used = 0;
    while (rest.len) {
        Str next = rest;
        size_t step = char_width(&next);
        if (used + step > width - 1)
            break;
        used += step;
        rest = next;
    }
    fprintf(out, STR_FMT "…%*s", STR_ARG(str_sub(text, 0, text.len - rest.len)),
            (int)(width - 1 - used), "");
}

static void rule_print(FILE *out, const Column *columns, size_t count, const char *left,
                       const char *middle, const char *right)
{
    fprintf(out, "%s%s", render_dim(), left);
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < columns[i].width + 2; k++)
            fputs("─", out);
        fputs(i + 1 < count ? middle : right, out);
    }
    fprintf(out, "%s\n", render_plain());
}

static size_t columns_read(Arena *tmp, const Json *answer, Column *columns)
{
    size_t count = 0;
    const Json *names = json_get(answer, "columns");
    size_t all = MIN(json_len(names), (size_t)RENDER_COLUMNS_MAX);
    for (; count < all; count++) {
        const Json *column = json_at(names, count);
        Str name = json_type(column) == JSON_STRING ? json_str(column) : json_str(json_get(column, "name"));
        columns[count] = (Column){ .name = str_copy(tmp, name),
                                   .number = type_is_number(json_str(json_get(column, "type"))),
                                   .width = MAX(render_text_width(name), (size_t)1) };
    }
    return count;
}

/* Narrows the widest columns until the line fits. */
static size_t columns_fit(Column *columns, size_t count, size_t width)
{
    size_t used = 1;
    for (size_t i = 0; i < count; i++)
        used += columns[i].width + 3;
    while (width && used > width) {
        size_t widest = 0;
        for (size_t i = 1; i < count; i++)
            if (columns[i].width > columns[widest].width)
                widest = i;
        if (columns[widest].width <= CELL_WIDTH_MIN)
            break;
        columns[widest].width--;
        used--;
    }
    size_t shown = count;
    for (; width && shown > 1 && used > width; shown--)
        used -= columns[shown - 1].width + 3;
    return shown;
}

void render_table(FILE *out, const Json *answer, size_t width)
{
    Arena tmp AUTO(arena_done) = { 0 };
    Column *columns = arena_array(&tmp, Column, RENDER_COLUMNS_MAX);
    size_t count = columns_read(&tmp, answer, columns);
    const Json *rows = json_get(answer, "rows");
    size_t row_count = json_len(rows);
    Str *cells = arena_array(&tmp, Str, MAX(row_count * count, (size_t)1));
    JsonIter iter = json_iter(rows);
    for (size_t r = 0; r < row_count && json_next(&iter); r++) {
        JsonIter values = json_iter(iter.value);
        for (size_t c = 0; c < count && json_next(&values); c++) {
            Str text = cells[r * count + c] = cell_text(&tmp, values.value);
            columns[c].number |= json_type(values.value) == JSON_NUMBER;
            columns[c].width = MAX(columns[c].width,
                                   MIN(render_text_width(text), (size_t)CELL_WIDTH_MAX));
        }
    }
    size_t shown = columns_fit(columns, count, width);
    rule_print(out, columns, shown, "┌", "┬", "┐");
    for (size_t c = 0; c < shown; c++) {
        fprintf(out, "%s│%s %s", render_dim(), render_plain(), render_bold());
        cell_print(out, columns[c].name, columns[c].width, columns[c].number);
        fprintf(out, "%s ", render_plain());
    }
    fprintf(out, "%s│%s\n", render_dim(), render_plain());
    rule_print(out, columns, shown, "├", "┼", "┤");
    for (size_t r = 0; r < row_count; r++) {
        for (size_t c = 0; c < shown; c++) {
            fprintf(out, "%s│%s ", render_dim(), render_plain());
            cell_print(out, cells[r * count + c], columns[c].width, columns[c].number);
            fputc(' ', out);
        }
        fprintf(out, "%s│%s\n", render_dim(), render_plain());
    }
    rule_print(out, columns, shown, "└", "┴", "┘");
    if (shown < count)
        fprintf(out, "%zu of %zu columns fit; --csv or --json gives all\n", shown, count);
}

static void csv_field(FILE *out, Str text)
{
    bool quoted = false;
    for (size_t i = 0; i < text.len; i++)
        quoted = quoted || text.ptr[i] == ',' || text.ptr[i] == '"' || text.ptr[i] == '\n' || text.ptr[i] == '\r';
    if (quoted)
        fputc('"', out);
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"')
            fputc('"', out);
        fputc(text.ptr[i], out);
    }
    if (quoted)
        fputc('"', out);
}

static void csv_value(FILE *out, const Json *value)
{
    Buf text AUTO(buf_done);
    buf_init(&text, CSV_FIELD_MAX);
    JsonWriter w = json_writer(&text);
    if (json_is_null(value))
        return;
    if (json_type(value) != JSON_STRING)
        json_put_value(&w, value);
    csv_field(out, json_type(value) == JSON_STRING ? json_str(value) : buf_str(&text));
}

void render_csv(FILE *out, const Json *answer)
{
    const char *comma = "";
    for (JsonIter name = json_iter(json_get(answer, "columns")); json_next(&name); comma = ",") {
        fputs(comma, out);
        csv_value(out, json_type(name.value) == JSON_OBJECT ? json_get(name.value, "name") : name.value);
    }
    fputc('\n', out);
    for (JsonIter row = json_iter(json_get(answer, "rows")); json_next(&row);) {
        comma = "";
        for (JsonIter cell = json_iter(row.value); json_next(&cell); comma = ",") {
            fputs(comma, out);
            csv_value(out, cell.value);
        }
        fputc('\n', out);
    }
}

void render_bars(FILE *out, const Json *answer, size_t width)
{
    Arena tmp AUTO(arena_done) = { 0 };
    const Json *rows = json_get(answer, "rows");
    double most = 0;
    size_t label_width = 1;
    JsonIter iter = json_iter(rows);
    while (json_next(&iter)) {
        Str label = cell_text(&tmp, json_at(iter.value, 0));
        label_width = MAX(label_width, MIN(render_text_width(label), (size_t)CELL_WIDTH_MAX));
        most = MAX(most, json_f64(json_at(iter.value, 1), 0));
    }
    size_t room = width > label_width + 20 ? width - label_width - 20 : BAR_WIDTH_MIN;
    room = MIN(room, (size_t)60);
    static const char *const parts[] = { "", "▏", "▎", "▍", "▌", "▋", "▊", "▉" };
    for (iter = json_iter(rows); json_next(&iter);) {
        double value = json_f64(json_at(iter.value, 1), 0);
        size_t eighths = most > 0 && value > 0 ? (size_t)(value / most * (double)room * 8) : 0;
        cell_print(out, cell_text(&tmp, json_at(iter.value, 0)), label_width, false);
        fputs(" ", out);
        for (size_t i = 0; i < eighths / 8; i++)
            fputs("█", out);
        fprintf(out, "%s " STR_FMT "\n", parts[eighths % 8],
                STR_ARG(cell_text(&tmp, json_at(iter.value, 1))));
    }
}

void render_progress(const char *label, double fraction, const char *tail)
{
    if (!render_is_terminal(stderr))
        return;
    size_t full = (size_t)(MAX(0.0, MIN(1.0, fraction)) * PROGRESS_BAR);
    fprintf(stderr, "\r\x1b[K%-34.34s ", label);
    for (size_t i = 0; i < PROGRESS_BAR; i++)
        fputs(i < full ? "█" : "░", stderr);
    fprintf(stderr, " %3d %% %s", (int)(fraction * 100), tail);
    fflush(stderr);
    progress_shown = true;
}

void render_progress_end(void)
{
    if (progress_shown)
        fputs("\r\x1b[K", stderr);
    progress_shown = false;
}

/* The line of `sent` that holds the position, and a caret below it. */
static void caret_print(Str sent, size_t position)
{
    if (position > sent.len)
        return;
    ptrdiff_t before = str_rfind_char(str_sub(sent, 0, position), '\n');
    size_t start = (size_t)(before + 1);
    Str line = str_from(sent, start);
    ptrdiff_t end = str_find_char(line, '\n');
    if (end >= 0)
        line = str_sub(line, 0, (size_t)end);
    size_t column = render_text_width(str_sub(line, 0, position - start));
    size_t from = column > 70 ? position - start - 60 : 0;
    while (from && from < line.len && ((unsigned char)line.ptr[from] & 0xC0) == 0x80)
        from--;
    column = render_text_width(str_sub(line, from, position - start - from));
    Str shown = str_sub(line, from, 110);
    fprintf(stderr, "  %s" STR_FMT "\n  %s%*s^\n", from ? "…" : "", STR_ARG(shown), from ? " " : "",
            (int)column, "");
}

void render_error(const Err *err, Str sent)
{
    render_progress_end();
    fprintf(stderr, "%starn: %s%s\n", render_red(), err->text, render_plain());
    if (sent.len && err->position >= 0)
        caret_print(sent, (size_t)err->position);
    if (err->place[0])
        fprintf(stderr, "  at %s\n", err->place);
    if (err->hint[0])
        fprintf(stderr, "  hint: %s\n", err->hint);
}
