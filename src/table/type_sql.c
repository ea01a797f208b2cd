/* SQL type text to types and back. The grammar is DuckDB's:
 *     type    := base suffix*        suffix := "[]"
 *     base    := "STRUCT(" name type ("," name type)* ")" | "MAP(" type "," type ")"
 *              | words [ "(" number ("," number)* ")" ]
 * Depth is bounded by ICE_DEPTH_MAX, the number of fields by ICE_FIELDS_MAX. */
#include "table/type.h"

#include <ctype.h>
#include <string.h>

typedef struct SqlTypes {
    Arena *arena;
    Str text;
    size_t at;
    int depth;
    size_t fields;
    Err *err;
} SqlTypes;

typedef struct Alias {
    const char *sql;
    IceKind kind;
} Alias;

static const Alias ALIASES[] = {
#define ICE_TYPE(kind, name, sql, parquet, bound) { sql, ICE_##kind },
#define SQL_ALIAS(sql, kind) { sql, ICE_##kind },
#define SQL_UNSUPPORTED(sql, cast)
#include "table/types.def"
#undef ICE_TYPE
#undef SQL_ALIAS
#undef SQL_UNSUPPORTED
};

static const struct {
    const char *sql, *cast;
} REFUSED[] = {
#define ICE_TYPE(kind, name, sql, parquet, bound)
#define SQL_ALIAS(sql, kind)
#define SQL_UNSUPPORTED(sql, cast) { sql, cast },
#include "table/types.def"
#undef ICE_TYPE
#undef SQL_ALIAS
#undef SQL_UNSUPPORTED
};

static Code type_read(SqlTypes *in, const IceType **ret_type);

static Code fail(SqlTypes *in, const char *what)
{
    Code code = err_set(in->err, E_SYNTAX, "type '" STR_FMT "': %s", STR_ARG(in->text), what);
    return err_at(in->err, code, (int64_t)in->at);
}

static void skip_space(SqlTypes *in)
{
    while (in->at < in->text.len && isspace((unsigned char)in->text.ptr[in->at]))
        in->at++;
}

static bool next_is(SqlTypes *in, char c)
{
    skip_space(in);
    return in->at < in->text.len && in->text.ptr[in->at] == c;
}

static bool take(SqlTypes *in, char c)
{
    if (!next_is(in, c))
        return false;
    in->at++;
    return true;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static Str word_read(SqlTypes *in)
{
    skip_space(in);
    size_t start = in->at;
    while (in->at < in->text.len && is_word(in->text.ptr[in->at]))
        in->at++;
    return str_sub(in->text, start, in->at - start);
}

/* A bare word or a "quoted ""name""". */
static Code name_read(SqlTypes *in, Str *ret_name)
{
    if (!next_is(in, '"')) {
        Str name = word_read(in);
        if (!name.len)
            return fail(in, "a field name is missing");
        *ret_name = str_copy(in->arena, name);
        return E_OK;
    }
    in->at++;
    char *out = arena_alloc(in->arena, in->text.len - in->at + 1);
    size_t len = 0;
    while (in->at < in->text.len) {
        char c = in->text.ptr[in->at++];
        if (c == '"' && (in->at == in->text.len || in->text.ptr[in->at] != '"')) {
            *ret_name = str_of(out, len);
            return len ? E_OK : fail(in, "a field name is empty");
        }
        in->at += c == '"';
        out[len++] = c;
    }
    return fail(in, "a quoted name does not end");
}

static Code field_add(SqlTypes *in, IceType *type, size_t at, Str name)
{
    if (++in->fields > ICE_FIELDS_MAX)
        return err_set(in->err, E_LIMIT, "a type has more than %d fields", ICE_FIELDS_MAX);
    type->fields[at].name = name;
    return type_read(in, &type->fields[at].type);
}

static Code struct_read(SqlTypes *in, IceType *type)
{
    if (!take(in, '('))
        return fail(in, "STRUCT needs its fields: STRUCT(name TYPE, ...)");
    type->kind = ICE_STRUCT;
    size_t cap = 0;
    do {
        if (type->field_count == cap) {
            cap = cap ? cap * 2 : 8;
            IceField *more = arena_array(in->arena, IceField, cap);
            if (type->field_count)
                memcpy(more, type->fields, type->field_count * sizeof *more);
            type->fields = more;
        }
        Str name;
        TRY(name_read(in, &name));
        for (size_t i = 0; i < type->field_count; i++)
            if (str_ieq(type->fields[i].name, name))
                return fail(in, "a field name comes twice");
        TRY(field_add(in, type, type->field_count, name));
        type->field_count++;
    } while (take(in, ','));
    return take(in, ')') ? E_OK : fail(in, "')' is missing after the fields");
}

static Code map_read(SqlTypes *in, IceType *type)
{
    if (!take(in, '('))
        return fail(in, "MAP needs its types: MAP(KEY, VALUE)");
    type->kind = ICE_MAP;
    type->fields = arena_array(in->arena, IceField, 2);
    type->field_count = 2;
    TRY(field_add(in, type, 0, STR("key")));
    type->fields[0].required = true;
    if (!take(in, ','))
        return fail(in, "MAP needs two types");
    TRY(field_add(in, type, 1, STR("value")));
    return take(in, ')') ? E_OK : fail(in, "')' is missing after the types");
}

/* "(a, b)"; `ret_numbers` keeps what is not there. */
static Code numbers_read(SqlTypes *in, int64_t ret_numbers[2], size_t *ret_count)
{
    size_t count = 0;
    if (take(in, '(')) {
        do {
            int64_t number;
            if (count == 2 || !str_i64(word_read(in), &number))
                return fail(in, "a number is expected here");
            ret_numbers[count++] = number;
        } while (take(in, ','));
        if (!take(in, ')'))
            return fail(in, "')' is missing after the numbers");
    }
    *ret_count = count;
    return E_OK;
}

static Code decimal_read(SqlTypes *in, IceType *type)
{
    int64_t numbers[2] = { 18, 3 };
    size_t count;
    TRY(numbers_read(in, numbers, &count));
    if (count == 1)
        numbers[1] = 0;
    if (numbers[0] < 1 || numbers[0] > 38 || numbers[1] < 0 || numbers[1] > numbers[0])
        return fail(in, "DECIMAL has 1 to 38 digits, of which the scale is a part");
    *type = (IceType){ .kind = ICE_DECIMAL,
                       .precision = (int32_t)numbers[0],
                       .scale = (int32_t)numbers[1] };
    return E_OK;
}

/* Words until something else, in upper case with one space between. */
static Str words_read(SqlTypes *in)
{
    char *out = arena_alloc(in->arena, in->text.len + 1);
    size_t len = 0;
    for (;;) {
        Str word = word_read(in);
        if (!word.len)
            return str_of(out, len);
        if (len)
            out[len++] = ' ';
        for (size_t i = 0; i < word.len; i++)
            out[len++] = (char)toupper((unsigned char)word.ptr[i]);
    }
}

static Code kind_find(SqlTypes *in, Str words, IceKind *ret_kind)
{
    for (size_t i = 0; i < ARRAY_LEN(REFUSED); i++)
        if (str_eq(words, str_z(REFUSED[i].sql))) {
            Code code = err_set(in->err, E_TYPE, "a table cannot hold the type %s", REFUSED[i].sql);
            return err_hint(in->err, code, "cast it: CAST(... AS %s)", REFUSED[i].cast);
        }
    if (str_eq(words, STR("FIXED")))
        words = STR("BLOB");
    /* BLOB stands for two kinds in the table; the one of open length is meant. */
    if (str_eq(words, STR("BLOB"))) {
        *ret_kind = ICE_BINARY;
        return E_OK;
    }
    for (size_t i = 0; i < ARRAY_LEN(ALIASES); i++)
        if (str_eq(words, str_z(ALIASES[i].sql)) && ALIASES[i].kind != ICE_LIST) {
            *ret_kind = ALIASES[i].kind;
            return E_OK;
        }
    Str names[ARRAY_LEN(ALIASES)];
    for (size_t i = 0; i < ARRAY_LEN(ALIASES); i++)
        names[i] = str_z(ALIASES[i].sql);
    Str nearest = str_nearest(words, names, ARRAY_LEN(names));
    Code code = err_set(in->err, E_TYPE, "type '" STR_FMT "' is unknown", STR_ARG(words));
    if (nearest.len)
        return err_hint(in->err, code, "did you mean " STR_FMT "?", STR_ARG(nearest));
    return code;
}

static Code base_read(SqlTypes *in, IceType *type)
{
    size_t start = in->at;
    Str words = words_read(in);
    if (!words.len)
        return fail(in, "a type is missing");
    IceKind kind = ICE_KIND_COUNT;
    Code code = kind_find(in, words, &kind);
    if (code)
        return err_at(in->err, code, (int64_t)start);
    if (kind == ICE_STRUCT)
        return struct_read(in, type);
    if (kind == ICE_MAP)
        return map_read(in, type);
    if (kind == ICE_DECIMAL)
        return decimal_read(in, type);
    int64_t ignored[2];
    size_t count = 0;
    if (kind == ICE_STRING || kind == ICE_BINARY) /* VARCHAR(20): the length means nothing */
        TRY(numbers_read(in, ignored, &count));
    *type = *ice_type_simple(kind);
    return E_OK;
}

static Code type_read(SqlTypes *in, const IceType **ret_type)
{
    if (++in->depth > ICE_DEPTH_MAX)
        return err_set(in->err, E_LIMIT, "a type is nested deeper than %d", ICE_DEPTH_MAX);
    IceType *type = arena_new(in->arena, IceType);
    TRY(base_read(in, type));
    int lists = 0;
    while (take(in, '[')) {
        if (!take(in, ']')) {
            Code code = fail(in, "a table cannot hold arrays of a fixed length");
            return err_hint(in->err, code, "cast it to a list: CAST(... AS TYPE[])");
        }
        if (in->depth + ++lists > ICE_DEPTH_MAX)
            return err_set(in->err, E_LIMIT, "a type is nested deeper than %d", ICE_DEPTH_MAX);
        IceType *list = arena_new(in->arena, IceType);
        *list = (IceType){ .kind = ICE_LIST,
                           .fields = arena_array(in->arena, IceField, 1),
                           .field_count = 1 };
        list->fields[0] = (IceField){ .name = STR("element"), .type = type };
        type = list;
    }
    in->depth--;
    *ret_type = type;
    return E_OK;
}

Code ice_type_from_sql(Arena *arena, Str sql, const IceType **ret_type, Err *err)
{
    if (sql.len > (1u << 20))
        return err_set(err, E_LIMIT, "a type has more than 1 MiB of text");
    SqlTypes in = { .arena = arena, .text = sql, .err = err };
    const IceType *type;
    TRY(type_read(&in, &type));
    skip_space(&in);
    if (in.at != sql.len)
        return fail(&in, "text is left over");
    *ret_type = type;
    return E_OK;
}

static void name_put(Buf *buf, Str name)
{
    buf_put_char(buf, '"');
    for (size_t i = 0; i < name.len; i++) {
        if (name.ptr[i] == '"')
            buf_put_char(buf, '"');
        buf_put_char(buf, name.ptr[i]);
    }
    buf_put_char(buf, '"');
}

void ice_type_put_sql(Buf *buf, const IceType *type)
{
    if (type->kind == ICE_LIST) {
        ice_type_put_sql(buf, type->fields[0].type);
        buf_put(buf, STR("[]"));
        return;
    }
    buf_put(buf, str_z(ice_kind_info(type->kind)->sql));
    if (type->kind == ICE_DECIMAL)
        buf_format(buf, "(%d,%d)", type->precision, type->scale);
    if (!ice_is_nested(type))
        return;
    buf_put_char(buf, '(');
    for (size_t i = 0; i < type->field_count; i++) {
        if (i)
            buf_put(buf, STR(", "));
        if (type->kind == ICE_STRUCT) {
            name_put(buf, type->fields[i].name);
            buf_put_char(buf, ' ');
        }
        ice_type_put_sql(buf, type->fields[i].type);
    }
    buf_put_char(buf, ')');
}

Str ice_type_to_sql(Arena *arena, const IceType *type)
{
    Buf AUTO(buf_done) text;
    buf_init(&text, 64u << 20);
    ice_type_put_sql(&text, type);
    return str_copy(arena, buf_str(&text));
}
