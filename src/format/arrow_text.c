/* Text of values. `row` is logical everywhere: an array's own offset is added where its buffers are
 * read, and a child of a struct is asked for the struct's row plus the struct's offset. */
#include "base/text.h"
#include "format/arrow_priv.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_TEXT_MAX = 80, DECIMAL_DIGITS_MAX = 40 };

static const int64_t units_a_second[] = { 1, 1000, 1000000, 1000000000 };

static bool bit_at(const void *bits, int64_t index)
{
    return ((const uint8_t *)bits)[index >> 3] >> (index & 7) & 1;
}

bool arrow_is_null(const ArrowSchema *schema, const ArrowArray *array, int64_t row)
{
    if (schema->format[0] == 'n' && !schema->format[1])
        return true;
    if (array->null_count == 0 || array->n_buffers == 0 || !array->buffers[0])
        return false;
    return !bit_at(array->buffers[0], row + array->offset);
}

static const void *value_at(const ArrowArray *array, size_t width, int64_t row)
{
    return (const char *)array->buffers[1] + width * (size_t)(row + array->offset);
}

static int64_t load_signed(const void *at, unsigned bits)
{
    int64_t wide = 0;
    memcpy(&wide, at, bits / 8);
    return bits == 64 ? wide : (int64_t)((uint64_t)wide << (64 - bits)) >> (64 - bits);
}

static uint64_t load_unsigned(const void *at, unsigned bits)
{
    uint64_t wide = 0;
    memcpy(&wide, at, bits / 8);
    return wide;
}

/* IEEE 754 binary16. */
static double half_value(uint16_t half)
{
    int exponent = half >> 10 & 31, fraction = half & 1023;
    double size = exponent == 31  ? (fraction ? (double)NAN : (double)INFINITY)
                  : exponent == 0 ? ldexp(fraction, -24)
                                  : ldexp(fraction + 1024, exponent - 25);
    return half >> 15 ? -size : size;
}

static double load_float(const void *at, unsigned bits)
{
    uint16_t half;
    float single;
    double whole;
    if (bits == 16)
        return memcpy(&half, at, sizeof half), half_value(half);
    if (bits == 32)
        return memcpy(&single, at, sizeof single), single;
    return memcpy(&whole, at, sizeof whole), whole;
}

/* Where the values of a list's row are in its child. */
static void list_range(const ArrowType *type, const ArrowArray *array, int64_t row,
                       int64_t *ret_from, int64_t *ret_to)
{
    int64_t at = row + array->offset;
    if (type->kind == ARROW_FIXED_LIST) {
        *ret_from = at * type->len;
        *ret_to = *ret_from + type->len;
    } else if (type->large) {
        *ret_from = load_signed((const int64_t *)array->buffers[1] + at, 64);
        *ret_to = load_signed((const int64_t *)array->buffers[1] + at + 1, 64);
    } else {
        *ret_from = load_signed((const int32_t *)array->buffers[1] + at, 32);
        *ret_to = load_signed((const int32_t *)array->buffers[1] + at + 1, 32);
    }
}

static Str bytes_at(const ArrowType *type, const ArrowArray *array, int64_t row)
{
    int64_t from, to;
    if (type->kind == ARROW_FIXED)
        return str_of(value_at(array, (size_t)type->len, row), (size_t)type->len);
    list_range(type, array, row, &from, &to);
    return to > from ? str_of((const char *)array->buffers[2] + from, (size_t)(to - from))
                     : str_of("", 0);
}

static int64_t index_at(const ArrowSchema *schema, const ArrowArray *array, int64_t row)
{
    ArrowType type = arrow_type_of(schema->format);
    return load_signed(value_at(array, arrow_width(&type), row), type.bits);
}

Str arrow_str(const ArrowSchema *schema, const ArrowArray *array, int64_t row)
{
    ArrowType type = arrow_type_of(schema->format);
    if (arrow_is_null(schema, array, row))
        return STR_NONE;
    if (schema->dictionary && array->dictionary)
        return arrow_str(schema->dictionary, array->dictionary, index_at(schema, array, row));
    if (type.kind != ARROW_UTF8 && type.kind != ARROW_BINARY && type.kind != ARROW_FIXED)
        return STR_NONE;
    return bytes_at(&type, array, row);
}

int64_t arrow_i64(const ArrowSchema *schema, const ArrowArray *array, int64_t row, int64_t fallback)
{
    ArrowType type = arrow_type_of(schema->format);
    if (arrow_is_null(schema, array, row) || schema->dictionary)
        return fallback;
    if (type.kind == ARROW_BOOL)
        return bit_at(array->buffers[1], row + array->offset);
    if (type.kind == ARROW_INT && !type.is_signed) {
        uint64_t value = load_unsigned(value_at(array, arrow_width(&type), row), type.bits);
        return value <= INT64_MAX ? (int64_t)value : fallback;
    }
    bool integer = type.kind == ARROW_INT || type.kind == ARROW_DATE || type.kind == ARROW_TIME ||
                   type.kind == ARROW_TIMESTAMP || type.kind == ARROW_DURATION ||
                   (type.kind == ARROW_DECIMAL && type.scale == 0 && type.bits <= 64);
    return integer ? load_signed(value_at(array, arrow_width(&type), row), type.bits) : fallback;
}

static void put_decimal(Buf *out, const ArrowType *type, const void *at);

double arrow_f64(const ArrowSchema *schema, const ArrowArray *array, int64_t row, double fallback)
{
    ArrowType type = arrow_type_of(schema->format);
    if (arrow_is_null(schema, array, row) || schema->dictionary)
        return fallback;
    if (type.kind == ARROW_FLOAT)
        return load_float(value_at(array, arrow_width(&type), row), type.bits);
    if (type.kind == ARROW_DECIMAL) {
        Buf text AUTO(buf_done);
        buf_init(&text, NUMBER_TEXT_MAX);
        put_decimal(&text, &type, value_at(array, arrow_width(&type), row));
        double value = fallback;
        return str_f64(buf_str(&text), &value) ? value : fallback;
    }
    if (type.kind == ARROW_INT && !type.is_signed)
        return (double)load_unsigned(value_at(array, arrow_width(&type), row), type.bits);
    bool integer = type.kind == ARROW_INT || type.kind == ARROW_BOOL;
    return integer ? (double)arrow_i64(schema, array, row, 0) : fallback;
}

/* ---- bare text of scalars ---- */

/* Digits of at least `width`, zeros before them; a page of results has millions of these. */
static void put_digits(Buf *out, uint64_t value, int width)
{
    char digits[NUMBER_TEXT_MAX];
    int at = NUMBER_TEXT_MAX;
    do
        digits[--at] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    while (at > 0 && NUMBER_TEXT_MAX - at < width)
        digits[--at] = '0';
    buf_put(out, str_of(digits + at, (size_t)(NUMBER_TEXT_MAX - at)));
}

static void put_decimal(Buf *out, const ArrowType *type, const void *at)
{
    __int128 value = 0;
    if (type->bits == 128)
        memcpy(&value, at, sizeof value);
    else
        value = load_signed(at, type->bits);
    unsigned __int128 size = value < 0 ? -(unsigned __int128)value : (unsigned __int128)value;
    char digits[DECIMAL_DIGITS_MAX];
    int count = 0, scale = MAX(type->scale, 0);
    for (; size > 0 && count < DECIMAL_DIGITS_MAX; size /= 10)
        digits[count++] = (char)('0' + (int)(size % 10));
    if (value < 0)
        buf_put_char(out, '-');
    if (count <= scale)
        buf_put_char(out, '0');
    for (int i = count; i > scale; i--)
        buf_put_char(out, digits[i - 1]);
    if (scale > 0)
        buf_put_char(out, '.');
    for (int i = scale; i > 0; i--)
        buf_put_char(out, i <= count ? digits[i - 1] : '0');
    for (int i = type->scale; i < 0 && count > 0; i++)
        buf_put_char(out, '0');
}

static void put_float(Buf *out, double value, unsigned bits)
{
    char text[NUMBER_TEXT_MAX];
    if (!isfinite(value)) {
        buf_put(out, isnan(value) ? STR("NaN") : value > 0 ? STR("Infinity") : STR("-Infinity"));
        return;
    }
    if (bits == 64) {
        JsonWriter w = json_writer(out);
        json_put_f64(&w, value);
        return;
    }
    for (int digits = 6; digits <= 9; digits++) { /* the fewest that give the same float back */
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtof(text, NULL) == (float)value)
            break;
    }
    buf_put(out, str_z(text));
    if (!strpbrk(text, ".e"))
        buf_put(out, STR(".0"));
}

/* The fraction of a second without zeros at its end. */
static void put_fraction(Buf *out, int64_t fraction, uint8_t unit)
{
    if (fraction == 0)
        return;
    buf_put_char(out, '.');
    put_digits(out, (uint64_t)fraction, unit * 3);
    while (!out->over && out->ptr[out->len - 1] == '0')
        out->len--;
}

static void put_clock(Buf *out, int64_t value, uint8_t unit)
{
    if (value < 0) { /* no time of day: it came from a file and stays visible */
        buf_put_char(out, '-');
        value = value == INT64_MIN ? INT64_MAX : -value;
    }
    uint64_t seconds = (uint64_t)(value / units_a_second[unit]);
    put_digits(out, seconds / 3600, 2);
    buf_put_char(out, ':');
    put_digits(out, seconds / 60 % 60, 2);
    buf_put_char(out, ':');
    put_digits(out, seconds % 60, 2);
    put_fraction(out, value % units_a_second[unit], unit);
}

static void put_date(Buf *out, int64_t days)
{
    int64_t year;
    unsigned month, day;
    civil_from_days(days, &year, &month, &day);
    if (year < 0)
        buf_put_char(out, '-');
    put_digits(out, (uint64_t)(year < 0 ? -year : year), 4);
    buf_put_char(out, '-');
    put_digits(out, month, 2);
    buf_put_char(out, '-');
    put_digits(out, day, 2);
}

static void put_timestamp(Buf *out, int64_t value, const ArrowType *type)
{
    int64_t a_day = 86400 * units_a_second[type->unit];
    int64_t days = value / a_day - (value % a_day < 0);
    put_date(out, days);
    buf_put_char(out, 'T');
    put_clock(out, (value % a_day + a_day) % a_day, type->unit);
    if (type->zone[0])
        buf_put_char(out, 'Z');
}

/* DuckDB's infinities: the largest value and its negative. */
static bool put_infinity(Buf *out, int64_t value, int64_t largest)
{
    if (value != largest && value != -largest)
        return false;
    buf_put(out, value > 0 ? STR("infinity") : STR("-infinity"));
    return true;
}

static void put_seconds(Buf *out, int64_t value, uint8_t unit)
{
    int64_t one = units_a_second[unit];
    uint64_t size = value < 0 ? -(uint64_t)value : (uint64_t)value;
    buf_format(out, "%s%" PRIu64, value < 0 ? "-" : "", size / (uint64_t)one);
    put_fraction(out, (int64_t)(size % (uint64_t)one), unit);
    buf_put_char(out, 'S');
}

/* ISO 8601: P1M2DT3.5S. */
static void put_interval(Buf *out, const ArrowType *type, const char *at)
{
    int64_t months = 0, days = 0, rest = 0;
    uint8_t unit = 3;
    if (type->unit == 0) {
        months = load_signed(at, 32);
    } else if (type->unit == 1) {
        days = load_signed(at, 32);
        rest = load_signed(at + 4, 32);
        unit = 1;
    } else {
        months = load_signed(at, 32);
        days = load_signed(at + 4, 32);
        rest = load_signed(at + 8, 64);
    }
    buf_put_char(out, 'P');
    if (months)
        buf_format(out, "%" PRId64 "M", months);
    if (days)
        buf_format(out, "%" PRId64 "D", days);
    if (rest || (!months && !days)) {
        buf_put_char(out, 'T');
        put_seconds(out, rest, unit);
    }
}

static void put_scalar(Buf *out, const ArrowType *type, const ArrowArray *array, int64_t row)
{
    const void *at = type->kind == ARROW_BOOL ? NULL : value_at(array, arrow_width(type), row);
    int64_t value =
        at && type->bits <= 64 && type->kind != ARROW_FLOAT ? load_signed(at, type->bits) : 0;
    switch (type->kind) {
    case ARROW_BOOL:
        buf_put(out, bit_at(array->buffers[1], row + array->offset) ? STR("true") : STR("false"));
        break;
    case ARROW_INT:
        if (type->is_signed)
            json_put_i64(&(JsonWriter){ .out = out }, value);
        else
            json_put_u64(&(JsonWriter){ .out = out }, load_unsigned(at, type->bits));
        break;
    case ARROW_FLOAT:
        put_float(out, load_float(at, type->bits), type->bits);
        break;
    case ARROW_DECIMAL:
        put_decimal(out, type, at);
        break;
    case ARROW_DATE:
        if (type->bits == 64)
            value = value / 86400000 - (value % 86400000 < 0);
        if (!put_infinity(out, value, INT32_MAX))
            put_date(out, value);
        break;
    case ARROW_TIME:
        put_clock(out, value, type->unit);
        break;
    case ARROW_TIMESTAMP:
        if (!put_infinity(out, value, INT64_MAX))
            put_timestamp(out, value, type);
        break;
    case ARROW_DURATION:
        buf_put(out, STR("PT"));
        put_seconds(out, value, type->unit);
        break;
    case ARROW_INTERVAL:
        put_interval(out, type, at);
        break;
    case ARROW_UNKNOWN:
    case ARROW_NULL:
    case ARROW_UTF8:
    case ARROW_BINARY:
    case ARROW_FIXED:
    case ARROW_LIST:
    case ARROW_FIXED_LIST:
    case ARROW_STRUCT:
    case ARROW_MAP:
        break;
    }
}

/* ---- JSON ---- */

static void put_json_list(JsonWriter *w, const ArrowType *type, const ArrowSchema *schema,
                          const ArrowArray *array, int64_t row)
{
    int64_t from, to;
    list_range(type, array, row, &from, &to);
    json_begin_array(w);
    for (int64_t i = from; i < to; i++)
        arrow_put_json_value(w, schema->children[0], array->children[0], i);
    json_end_array(w);
}

static void put_json_map(JsonWriter *w, const ArrowType *type, const ArrowSchema *schema,
                         const ArrowArray *array, int64_t row)
{
    const ArrowSchema *keys = schema->children[0]->children[0],
                      *values = schema->children[0]->children[1];
    const ArrowArray *entries = array->children[0];
    bool object = arrow_type_of(keys->format).kind == ARROW_UTF8 && !keys->dictionary;
    int64_t from, to;
    list_range(type, array, row, &from, &to);
    if (object)
        json_begin_object(w);
    else
        json_begin_array(w);
    for (int64_t i = from + entries->offset; i < to + entries->offset; i++) {
        if (object) {
            json_key(w, arrow_str(keys, entries->children[0], i));
        } else {
            json_begin_array(w);
            arrow_put_json_value(w, keys, entries->children[0], i);
        }
        arrow_put_json_value(w, values, entries->children[1], i);
        if (!object)
            json_end_array(w);
    }
    if (object)
        json_end_object(w);
    else
        json_end_array(w);
}

void arrow_put_json_row(JsonWriter *w, const ArrowSchema *schema, const ArrowArray *array,
                        int64_t row)
{
    json_begin_object(w);
    for (int64_t i = 0; i < schema->n_children; i++) {
        json_key(w, str_z(schema->children[i]->name));
        arrow_put_json_value(w, schema->children[i], array->children[i], row + array->offset);
    }
    json_end_object(w);
}

void arrow_put_json_array(JsonWriter *w, const ArrowSchema *schema, const ArrowArray *array,
                          int64_t row)
{
    json_begin_array(w);
    for (int64_t i = 0; i < schema->n_children; i++)
        arrow_put_json_value(w, schema->children[i], array->children[i], row + array->offset);
    json_end_array(w);
}

static void put_json_binary(JsonWriter *w, Str bytes)
{
    json_put_raw(w, STR("\""));
    base64_put(w->out, bytes);
    buf_put_char(w->out, '"');
}

void arrow_put_json_value(JsonWriter *w, const ArrowSchema *schema, const ArrowArray *array,
                          int64_t row)
{
    ArrowType type = arrow_type_of(schema->format);
    if (arrow_is_null(schema, array, row)) {
        json_put_null(w);
        return;
    }
    if (schema->dictionary && array->dictionary) {
        arrow_put_json_value(w, schema->dictionary, array->dictionary,
                             index_at(schema, array, row));
        return;
    }
    switch (type.kind) {
    case ARROW_UNKNOWN:
    case ARROW_NULL:
        json_put_null(w);
        break;
    case ARROW_UTF8:
        json_put_str(w, bytes_at(&type, array, row));
        break;
    case ARROW_BINARY:
    case ARROW_FIXED:
        put_json_binary(w, bytes_at(&type, array, row));
        break;
    case ARROW_LIST:
    case ARROW_FIXED_LIST:
        put_json_list(w, &type, schema, array, row);
        break;
    case ARROW_STRUCT:
        arrow_put_json_row(w, schema, array, row);
        break;
    case ARROW_MAP:
        put_json_map(w, &type, schema, array, row);
        break;
    case ARROW_FLOAT:
    case ARROW_BOOL:
    case ARROW_INT:
    case ARROW_DECIMAL:
    case ARROW_DATE:
    case ARROW_TIME:
    case ARROW_TIMESTAMP:
    case ARROW_DURATION:
    case ARROW_INTERVAL: {
        bool bare = type.kind == ARROW_BOOL || type.kind == ARROW_INT ||
                    type.kind == ARROW_DECIMAL ||
                    (type.kind == ARROW_FLOAT &&
                     isfinite(load_float(value_at(array, arrow_width(&type), row), type.bits)));
        json_put_raw(w, bare ? STR("") : STR("\""));
        put_scalar(w->out, &type, array, row);
        if (!bare)
            buf_put_char(w->out, '"');
    }
    }
}

/* ---- CSV ---- */

void arrow_put_text(Buf *out, const ArrowSchema *schema, const ArrowArray *array, int64_t row)
{
    ArrowType type = arrow_type_of(schema->format);
    if (arrow_is_null(schema, array, row))
        return;
    if (schema->dictionary && array->dictionary) {
        arrow_put_text(out, schema->dictionary, array->dictionary, index_at(schema, array, row));
    } else if (type.kind == ARROW_UTF8) {
        buf_put(out, bytes_at(&type, array, row));
    } else if (type.kind == ARROW_BINARY || type.kind == ARROW_FIXED) {
        base64_put(out, bytes_at(&type, array, row));
    } else if (type.kind == ARROW_LIST || type.kind == ARROW_FIXED_LIST ||
               type.kind == ARROW_STRUCT || type.kind == ARROW_MAP) {
        JsonWriter w = json_writer(out);
        arrow_put_json_value(&w, schema, array, row);
    } else {
        put_scalar(out, &type, array, row);
    }
}

static void put_quoted(Buf *out, Str text)
{
    buf_put_char(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] == '"')
            buf_put_char(out, '"');
        buf_put_char(out, text.ptr[i]);
    }
    buf_put_char(out, '"');
}

static bool wants_quotes(Str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] == ',' || text.ptr[i] == '"' || text.ptr[i] == '\n' || text.ptr[i] == '\r')
            return true;
    return text.len == 0 || text.ptr[0] == ' ' || text.ptr[text.len - 1] == ' ';
}

static void put_csv_text(Buf *out, Str text)
{
    if (wants_quotes(text))
        put_quoted(out, text);
    else
        buf_put(out, text);
}

/* Null is nothing between the commas, an empty string is "". */
static void put_csv_value(Buf *out, const ArrowSchema *schema, const ArrowArray *array, int64_t row)
{
    ArrowKind kind = arrow_type_of(schema->format).kind;
    if (arrow_is_null(schema, array, row))
        return;
    Buf text AUTO(buf_done);
    buf_init(&text, out->max);
    Str plain = arrow_str(schema, array, row);
    if (kind == ARROW_UTF8 || (schema->dictionary && plain.ptr)) {
        put_csv_text(out, plain);
        return;
    }
    arrow_put_text(&text, schema, array, row);
    put_csv_text(out, buf_str(&text));
    out->over = out->over || text.over;
}

void arrow_put_csv_row(Buf *out, const ArrowSchema *schema, const ArrowArray *array, int64_t row)
{
    for (int64_t i = 0; i < schema->n_children; i++) {
        if (i > 0)
            buf_put_char(out, ',');
        put_csv_value(out, schema->children[i], array->children[i], row + array->offset);
    }
    buf_put(out, STR("\r\n"));
}

void arrow_put_csv_header(Buf *out, const ArrowSchema *schema)
{
    for (int64_t i = 0; i < schema->n_children; i++) {
        if (i > 0)
            buf_put_char(out, ',');
        put_csv_text(out, str_z(schema->children[i]->name));
    }
    buf_put(out, STR("\r\n"));
}
