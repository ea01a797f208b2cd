#include "base/text.h"

#include <stdio.h>
#include <string.h>

static const char HEX[] = "0123456789abcdef";
static const char BASE64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

bool uuid_eq(Uuid a, Uuid b)
{
    return memcmp(a.bytes, b.bytes, sizeof a.bytes) == 0;
}

bool uuid_is_none(Uuid uuid)
{
    return uuid_eq(uuid, (Uuid){ { 0 } });
}

static void uuid_stamp(Uuid *uuid, uint8_t version)
{
    uuid->bytes[6] = (uint8_t)((uuid->bytes[6] & 0x0F) | version << 4);
    uuid->bytes[8] = (uint8_t)((uuid->bytes[8] & 0x3F) | 0x80);
}

Uuid uuid_v7(int64_t time_us, const uint8_t random[10])
{
    Uuid uuid;
    uint64_t time_ms = (uint64_t)(time_us / 1000);
    for (int i = 0; i < 6; i++)
        uuid.bytes[i] = (uint8_t)(time_ms >> (40 - 8 * i));
    memcpy(uuid.bytes + 6, random, 10);
    uuid_stamp(&uuid, 7);
    return uuid;
}

Str uuid_format(Arena *arena, Uuid uuid)
{
    char *text = arena_alloc(arena, UUID_TEXT_LEN);
    size_t at = 0;
    for (size_t i = 0; i < sizeof uuid.bytes; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            text[at++] = '-';
        text[at++] = HEX[uuid.bytes[i] >> 4];
        text[at++] = HEX[uuid.bytes[i] & 15];
    }
    return str_of(text, at);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

bool uuid_parse(Str text, Uuid *ret_uuid)
{
    Uuid uuid;
    size_t at = 0;
    if (text.len != UUID_TEXT_LEN)
        return false;
    for (size_t i = 0; i < sizeof uuid.bytes; i++) {
        if ((i == 4 || i == 6 || i == 8 || i == 10) && text.ptr[at++] != '-')
            return false;
        int high = hex_digit(text.ptr[at]);
        int low = hex_digit(text.ptr[at + 1]);
        if (high < 0 || low < 0)
            return false;
        uuid.bytes[i] = (uint8_t)(high << 4 | low);
        at += 2;
    }
    *ret_uuid = uuid;
    return true;
}

Str hex_format(Arena *arena, Str bytes)
{
    char *text = arena_alloc(arena, bytes.len * 2);
    for (size_t i = 0; i < bytes.len; i++) {
        text[2 * i] = HEX[(uint8_t)bytes.ptr[i] >> 4];
        text[2 * i + 1] = HEX[(uint8_t)bytes.ptr[i] & 15];
    }
    return str_of(text, bytes.len * 2);
}

bool hex_parse(Arena *arena, Str text, Str *ret_bytes)
{
    if (text.len % 2)
        return false;
    char *bytes = arena_alloc(arena, text.len / 2);
    for (size_t i = 0; i < text.len; i += 2) {
        int high = hex_digit(text.ptr[i]);
        int low = hex_digit(text.ptr[i + 1]);
        if (high < 0 || low < 0)
            return false;
        bytes[i / 2] = (char)(high << 4 | low);
    }
    *ret_bytes = str_of(bytes, text.len / 2);
    return true;
}

void base64_put(Buf *buf, Str bytes)
{
    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t left = bytes.len - i;
        uint32_t group = (uint32_t)(uint8_t)bytes.ptr[i] << 16;
        group |= left > 1 ? (uint32_t)(uint8_t)bytes.ptr[i + 1] << 8 : 0;
        group |= left > 2 ? (uint8_t)bytes.ptr[i + 2] : 0;
        buf_put_char(buf, BASE64[group >> 18]);
        buf_put_char(buf, BASE64[group >> 12 & 63]);
        buf_put_char(buf, left > 1 ? BASE64[group >> 6 & 63] : '=');
        buf_put_char(buf, left > 2 ? BASE64[group & 63] : '=');
    }
}

bool base64_parse(Arena *arena, Str text, Str *ret_bytes)
{
    if (text.len % 4)
        return false;
    size_t padding = 0;
    while (padding < 2 && padding < text.len && text.ptr[text.len - 1 - padding] == '=')
        padding++;
    char *bytes = arena_alloc(arena, text.len / 4 * 3);
    uint32_t group = 0;
    for (size_t i = 0; i < text.len; i++) {
        const char *digit = i < text.len - padding ? memchr(BASE64, text.ptr[i], 64) : BASE64;
        if (!digit)
            return false;
        group = group << 6 | (uint32_t)(digit - BASE64);
        if (i % 4 != 3)
            continue;
        bytes[i / 4 * 3] = (char)(group >> 16);
        bytes[i / 4 * 3 + 1] = (char)(group >> 8);
        bytes[i / 4 * 3 + 2] = (char)group;
        group = 0;
    }
    *ret_bytes = str_of(bytes, text.len / 4 * 3 - padding);
    return true;
}

static bool url_unreserved(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           c == '-' || c == '.' || c == '_' || c == '~';
}

void url_encode(Buf *buf, Str bytes, bool keep_slash)
{
    static const char upper[] = "0123456789ABCDEF";
    for (size_t i = 0; i < bytes.len; i++) {
        char c = bytes.ptr[i];
        if (url_unreserved(c) || (keep_slash && c == '/')) {
            buf_put_char(buf, c);
            continue;
        }
        buf_put_char(buf, '%');
        buf_put_char(buf, upper[(uint8_t)c >> 4]);
        buf_put_char(buf, upper[(uint8_t)c & 15]);
    }
}

static bool decode(Arena *arena, Str text, bool of_form, Str *ret_bytes)
{
    char *bytes = arena_alloc(arena, text.len);
    size_t len = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != '%') {
            bytes[len++] = of_form && text.ptr[i] == '+' ? ' ' : text.ptr[i];
            continue;
        }
        int high = i + 2 < text.len ? hex_digit(text.ptr[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(text.ptr[i + 2]) : -1;
        if (low < 0)
            return false;
        bytes[len++] = (char)(high << 4 | low);
        i += 2;
    }
    *ret_bytes = str_of(bytes, len);
    return true;
}

bool url_decode(Arena *arena, Str text, Str *ret_bytes)
{
    return decode(arena, text, false, ret_bytes);
}

bool url_decode_form(Arena *arena, Str text, Str *ret_bytes)
{
    return decode(arena, text, true, ret_bytes);
}

/* Howard Hinnant's algorithms: eras of 400 years that begin on the first of March. */
int64_t days_from_civil(int64_t year, unsigned month, unsigned day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

void civil_from_days(int64_t days, int64_t *ret_year, unsigned *ret_month, unsigned *ret_day)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted_month = (5 * day_of_year + 2) / 153;
    *ret_day = (unsigned)(day_of_year - (153 * shifted_month + 2) / 5 + 1);
    *ret_month = (unsigned)(shifted_month < 10 ? shifted_month + 3 : shifted_month - 9);
    *ret_year = year_of_era + era * 400 + (*ret_month <= 2);
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

Str date_format(Arena *arena, int64_t time_us)
{
    int64_t year;
    unsigned month, day;
    civil_from_days(floor_div(time_us, 86400000000), &year, &month, &day);
    return str_format(arena, "%04lld-%02u-%02u", (long long)year, month, day);
}

Str time_format(Arena *arena, int64_t time_us)
{
    int64_t of_day = time_us - floor_div(time_us, 86400000000) * 86400000000;
    int64_t second = of_day / 1000000;
    Str date = date_format(arena, time_us);
    return str_format(arena, STR_FMT "T%02d:%02d:%02d.%06dZ", STR_ARG(date), (int)(second / 3600),
                      (int)(second / 60 % 60), (int)(second % 60), (int)(of_day % 1000000));
}

/* Takes exactly `digits` digits off the front. */
static bool digits_take(Str *text, size_t digits, unsigned *ret_value)
{
    uint64_t value;
    if (text->len < digits || !str_u64(str_sub(*text, 0, digits), &value))
        return false;
    *text = str_from(*text, digits);
    *ret_value = (unsigned)value;
    return true;
}

static bool char_take(Str *text, char c)
{
    if (!text->len || text->ptr[0] != c)
        return false;
    *text = str_from(*text, 1);
    return true;
}

static bool fraction_take(Str *text, int64_t *ret_us)
{
    int64_t us = 0;
    int64_t unit = 100000;
    size_t digits = 0;
    for (; text->len && text->ptr[0] >= '0' && text->ptr[0] <= '9'; digits++) {
        us += unit * (text->ptr[0] - '0');
        unit /= 10;
        *text = str_from(*text, 1);
    }
    *ret_us = us;
    return digits > 0 && digits <= 9;
}

/* `Z`, `+hh`, `+hh:mm` or nothing. */
static bool zone_take(Str *text, int64_t *ret_us)
{
    *ret_us = 0;
    if (text->len == 0 || char_take(text, 'Z'))
        return true;
    bool west = char_take(text, '-');
    unsigned hours, minutes = 0;
    if (!west && !char_take(text, '+'))
        return false;
    if (!digits_take(text, 2, &hours) || hours > 18)
        return false;
    bool colon = char_take(text, ':');
    if ((colon || text->len) && !digits_take(text, 2, &minutes))
        return false;
    *ret_us = (hours * 60 + minutes) * (west ? -60000000LL : 60000000LL);
    return minutes < 60;
}

static bool date_take(Str *text, int64_t *ret_days)
{
    static const unsigned month_days[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    unsigned year, month, day;
    if (!digits_take(text, 4, &year) || !char_take(text, '-') || !digits_take(text, 2, &month) ||
        !char_take(text, '-') || !digits_take(text, 2, &day))
        return false;
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > month_days[month - 1])
        return false;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (month == 2 && day == 29 && !leap)
        return false;
    *ret_days = days_from_civil(year, month, day);
    return true;
}

bool time_parse(Str text, int64_t *ret_time_us)
{
    int64_t days, fraction_us = 0, zone_us = 0;
    unsigned hour = 0, minute = 0, second = 0;
    if (!date_take(&text, &days))
        return false;
    if (text.len) {
        if (!char_take(&text, 'T') && !char_take(&text, ' '))
            return false;
        if (!digits_take(&text, 2, &hour) || !char_take(&text, ':') ||
            !digits_take(&text, 2, &minute))
            return false;
        if (char_take(&text, ':') && !digits_take(&text, 2, &second))
            return false;
        if (char_take(&text, '.') && !fraction_take(&text, &fraction_us))
            return false;
        if (!zone_take(&text, &zone_us) || text.len)
            return false;
    }
    if (hour > 23 || minute > 59 || second > 59)
        return false;
    int64_t of_day = ((int64_t)hour * 3600 + minute * 60 + second) * 1000000 + fraction_us;
    *ret_time_us = days * 86400000000 + of_day - zone_us;
    return true;
}

void bytes_human(Buf *buf, uint64_t size_bytes)
{
    static const char *const units[] = { "B", "kB", "MB", "GB", "TB", "PB", "EB" };
    double size = (double)size_bytes;
    size_t unit = 0;
    for (; size >= 999.95 && unit + 1 < ARRAY_LEN(units); unit++)
        size /= 1000;
    if (unit == 0)
        buf_format(buf, "%llu B", (unsigned long long)size_bytes);
    else
        buf_format(buf, "%.1f %s", size, units[unit]);
}

void count_human(Buf *buf, uint64_t count)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)count);
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            buf_put_char(buf, ',');
        buf_put_char(buf, digits[i]);
    }
}
