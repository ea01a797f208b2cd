/* Single values as text: what people read in plans and manifests, and what staged rows keep. */
#include "base/text.h"
#include "table/value.h"

#include <stdio.h>

enum { DECIMAL_DIGITS_MAX = 38 };

static const int64_t US_PER_DAY = 86400LL * 1000000;

static Str decimal_format(Arena *arena, __int128 value, int32_t scale)
{
    char text[64];
    size_t at = sizeof text;
    unsigned __int128 rest = value < 0 ? -(unsigned __int128)value : (unsigned __int128)value;
    int digits = 0;
    while (rest || digits <= scale) {
        if (digits == scale && scale)
            text[--at] = '.';
        text[--at] = (char)('0' + (int)(rest % 10));
        rest /= 10;
        digits++;
    }
    if (value < 0)
        text[--at] = '-';
    return str_copy(arena, str_of(text + at, sizeof text - at));
}

static Str time_of_day_format(Arena *arena, int64_t us)
{
    int64_t seconds = us / 1000000;
    return str_format(arena, "%02lld:%02lld:%02lld.%06lld", (long long)(seconds / 3600),
                      (long long)(seconds / 60 % 60), (long long)(seconds % 60),
                      (long long)(us % 1000000));
}

static Str date_text(Arena *arena, int64_t days)
{
    int64_t year;
    unsigned month, day;
    civil_from_days(days, &year, &month, &day);
    return str_format(arena, "%04lld-%02u-%02u", (long long)year, month, day);
}

static Str timestamp_text(Arena *arena, int64_t us, bool utc)
{
    int64_t days = us / US_PER_DAY - (us % US_PER_DAY < 0);
    Str date = date_text(arena, days), time = time_of_day_format(arena, us - days * US_PER_DAY);
    return str_format(arena, STR_FMT "T" STR_FMT "%s", STR_ARG(date), STR_ARG(time),
                      utc ? "+00:00" : "");
}

Str ice_value_format(Arena *arena, const IceType *type, const IceValue *value)
{
    if (!value->present)
        return STR("null");
    switch (type->kind) {
    case ICE_BOOLEAN:
        return value->number ? STR("true") : STR("false");
    case ICE_INT:
    case ICE_LONG:
        return str_format(arena, "%lld", (long long)value->number);
    case ICE_FLOAT:
        return str_format(arena, "%.9g", value->real);
    case ICE_DOUBLE:
        return str_format(arena, "%.17g", value->real);
    case ICE_DECIMAL:
        return decimal_format(arena, value->decimal, type->scale);
    case ICE_DATE:
        return date_text(arena, value->number);
    case ICE_TIME:
        return time_of_day_format(arena, value->number);
    case ICE_TIMESTAMP:
    case ICE_TIMESTAMPTZ:
        return timestamp_text(arena, value->number, type->kind == ICE_TIMESTAMPTZ);
    case ICE_STRING:
        return value->bytes;
    case ICE_UUID: {
        Uuid uuid = { { 0 } };
        for (size_t i = 0; i < 16 && i < value->bytes.len; i++)
            uuid.bytes[i] = (uint8_t)value->bytes.ptr[i];
        return uuid_format(arena, uuid);
    }
    case ICE_FIXED:
    case ICE_BINARY:
        return hex_format(arena, value->bytes);
    case ICE_STRUCT:
    case ICE_LIST:
    case ICE_MAP:
    case ICE_KIND_COUNT:
        break;
    }
    return STR("?");
}

static bool decimal_parse(Str text, const IceType *type, IceValue *value)
{
    bool negative = str_starts(text, STR("-"));
    int32_t scale = -1, digits = 0;
    bool any = false;
    __int128 number = 0;
    for (size_t i = negative; i < text.len; i++) {
        char c = text.ptr[i];
        if (c == '.' && scale < 0) {
            scale = 0;
            continue;
        }
        if (c < '0' || c > '9')
            return false;
        any = true;
        digits += digits > 0 || c != '0';
        if (digits > DECIMAL_DIGITS_MAX)
            return false;
        number = number * 10 + (c - '0');
        scale += scale >= 0;
    }
    scale = scale < 0 ? 0 : scale;
    if (!any || scale > type->scale)
        return false;
    for (; scale < type->scale; scale++) {
        if (++digits > DECIMAL_DIGITS_MAX + 1)
            return false;
        number *= 10;
    }
    value->decimal = negative ? -number : number;
    return true;
}

/* "18:25[:00[.123456]]" through the parser of timestamps. */
static bool time_of_day_parse(Arena *arena, Str text, IceValue *value)
{
    Str whole = str_format(arena, "1970-01-01T" STR_FMT, STR_ARG(text));
    return time_parse(whole, &value->number) && value->number >= 0 && value->number < US_PER_DAY;
}

static bool date_parse(Str text, IceValue *value)
{
    int64_t us;
    if (!time_parse(text, &us) || us % US_PER_DAY)
        return false;
    value->number = us / US_PER_DAY;
    return true;
}

static bool uuid_value_parse(Arena *arena, Str text, IceValue *value)
{
    Uuid uuid;
    if (!uuid_parse(text, &uuid))
        return false;
    value->bytes = str_of(arena_copy(arena, uuid.bytes, 16), 16);
    return true;
}

static bool parse(const IceType *type, Str text, Arena *arena, IceValue *value)
{
    switch (type->kind) {
    case ICE_BOOLEAN:
        value->number = str_ieq(text, STR("true"));
        return value->number || str_ieq(text, STR("false"));
    case ICE_INT:
        return str_i64(text, &value->number) && value->number >= INT32_MIN &&
               value->number <= INT32_MAX;
    case ICE_LONG:
        return str_i64(text, &value->number);
    case ICE_FLOAT:
    case ICE_DOUBLE:
        return str_f64(text, &value->real);
    case ICE_DECIMAL:
        return decimal_parse(text, type, value);
    case ICE_DATE:
        return date_parse(text, value);
    case ICE_TIME:
        return time_of_day_parse(arena, text, value);
    case ICE_TIMESTAMP:
    case ICE_TIMESTAMPTZ:
        return time_parse(text, &value->number);
    case ICE_STRING:
        value->bytes = text;
        return true;
    case ICE_UUID:
        return uuid_value_parse(arena, text, value);
    case ICE_FIXED:
        return hex_parse(arena, text, &value->bytes) && value->bytes.len == (size_t)type->length;
    case ICE_BINARY:
        return hex_parse(arena, text, &value->bytes);
    case ICE_STRUCT:
    case ICE_LIST:
    case ICE_MAP:
    case ICE_KIND_COUNT:
        break;
    }
    return false;
}

Code ice_value_parse(const IceType *type, Str text, Arena *arena, IceValue *ret_value, Err *err)
{
    IceValue value = { .present = true };
    if (!parse(type, text, arena, &value)) {
        Str name = ice_type_format(arena, type);
        return err_set(err, E_TYPE, "'" STR_FMT "' is no value of type " STR_FMT, STR_ARG(text),
                       STR_ARG(name));
    }
    *ret_value = value;
    return E_OK;
}
