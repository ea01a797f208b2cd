/* Metrics modes and the cutting of bounds (spec, "Metrics" and the upper bound of truncated
 * values). */
#include "table/stats.h"

#include <string.h>

enum { METRICS_WIDTH_DEFAULT = 16, METRICS_WIDTH_MAX = 1 << 20 };

static MetricsMode mode_parse(Str text, MetricsMode fallback)
{
    if (str_ieq(text, STR("none")))
        return (MetricsMode){ METRICS_NONE, 0 };
    if (str_ieq(text, STR("counts")))
        return (MetricsMode){ METRICS_COUNTS, 0 };
    if (str_ieq(text, STR("full")))
        return (MetricsMode){ METRICS_FULL, 0 };
    int64_t width;
    if (str_istarts(text, STR("truncate(")) && str_ends(text, STR(")")) &&
        str_i64(str_trim(str_sub(text, 9, text.len - 10)), &width) && width >= 1 &&
        width <= METRICS_WIDTH_MAX)
        return (MetricsMode){ METRICS_TRUNCATE, (int32_t)width };
    return fallback;
}

MetricsMode metrics_mode(const TableMetadata *metadata, Str column)
{
    MetricsMode mode = { METRICS_TRUNCATE, METRICS_WIDTH_DEFAULT };
    static const Str PREFIX = STR_INIT("write.metadata.metrics.column.");
    if (!metadata)
        return mode;
    mode =
        mode_parse(table_property(metadata, STR("write.metadata.metrics.default"), STR("")), mode);
    for (size_t i = 0; i < metadata->property_count; i++) {
        Str key = metadata->properties[i].key;
        if (str_starts(key, PREFIX) && str_eq(str_from(key, PREFIX.len), column))
            return mode_parse(metadata->properties[i].value, mode);
    }
    return mode;
}

/* Bytes of the first `count` code points. */
static size_t prefix_len(Str text, int32_t count)
{
    size_t at = 0;
    for (; at < text.len; at++)
        if (((uint8_t)text.ptr[at] & 0xc0) != 0x80 && count-- == 0)
            break;
    return at;
}

static size_t cut_len(const IceType *type, Str value, int32_t width)
{
    if (type->kind == ICE_STRING)
        return prefix_len(value, width);
    return type->kind == ICE_BINARY ? MIN(value.len, (size_t)width) : value.len;
}

Str bound_truncate_lower(Arena *arena, const IceType *type, Str value, int32_t width)
{
    (void)arena;
    return str_sub(value, 0, cut_len(type, value, width));
}

/* The last byte that is not 0xff goes up by one, what follows is cut. */
static Str bytes_round_up(Arena *arena, Str value)
{
    size_t len = value.len;
    while (len && (uint8_t)value.ptr[len - 1] == 0xff)
        len--;
    if (!len)
        return STR_NONE;
    char *out = arena_copy(arena, value.ptr, len);
    out[len - 1]++;
    return str_of(out, len);
}

static uint32_t utf8_last(Str text, size_t *ret_start)
{
    size_t at = text.len - 1;
    while (at && ((uint8_t)text.ptr[at] & 0xc0) == 0x80)
        at--;
    *ret_start = at;
    uint8_t lead = (uint8_t)text.ptr[at];
    uint32_t point = lead < 0x80   ? lead
                     : lead < 0xe0 ? lead & 0x1f
                     : lead < 0xf0 ? lead & 0x0f
                                   : lead & 7;
    while (++at < text.len)
        point = point << 6 | ((uint8_t)text.ptr[at] & 0x3f);
    return point;
}

static size_t utf8_put(char *out, uint32_t point)
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    size_t len = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    static const uint8_t LEAD[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    for (size_t i = len - 1; i > 0; i--, point >>= 6)
        out[i] = (char)(0x80 | (point & 0x3f));
    out[0] = (char)(LEAD[len] | point);
    return len;
}

/* The last code point that has a next one goes up, what follows is cut; surrogates are no text. */
static Str text_round_up(Arena *arena, Str value)
{
    while (value.len) {
        size_t start;
        uint32_t point = utf8_last(value, &start) + 1;
        if (point == 0xd800)
            point = 0xe000;
        if (point > 0x10ffff) {
            value.len = start;
            continue;
        }
        char *out = arena_alloc(arena, start + 4);
        memcpy(out, value.ptr, start);
        return str_of(out, start + utf8_put(out + start, point));
    }
    return STR_NONE;
}

Str bound_truncate_upper(Arena *arena, const IceType *type, Str value, int32_t width)
{
    size_t len = cut_len(type, value, width);
    if (len == value.len)
        return value;
    Str head = str_sub(value, 0, len);
    return type->kind == ICE_STRING ? text_round_up(arena, head) : bytes_round_up(arena, head);
}
