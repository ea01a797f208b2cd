/* Invariants:
 * 1. yyjson sees no text before json_check_depth has passed it.
 * 2. A Json * is a yyjson_val * of an immutable document whose memory is the Arena's.
 * 3. Numbers keep their digits: 64-bit integers exactly, larger integers as text, others as double.
 */
#include "format/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <yyjson.h>

enum {
    JSON_DEPTH_TOP = 1024, /* no limit may be higher: writing recurses */
    JSON_FEW_KEYS = 16,    /* objects up to here are searched for duplicates pair by pair */
    JSON_NUMBER_TEXT_MAX = 64,
    JSON_NUMBER_POOL = 2048 /* what yyjson wants to write one number */
};

static yyjson_val *inner(const Json *value)
{
    return (yyjson_val *)(uintptr_t)value;
}

static const Json *outer(const yyjson_val *value)
{
    return (const Json *)value;
}

/* ---- reading ---- */

/* Returns where the string that starts at `at` ends (its closing quote), or text.len. */
static size_t string_end(Str text, size_t at)
{
    for (at++; at < text.len; at++) {
        if (text.ptr[at] == '\\')
            at++;
        else if (text.ptr[at] == '"')
            return at;
    }
    return text.len;
}

Code json_check_depth(Str text, const JsonLimits *limits, Err *err)
{
    size_t bytes_max = limits && limits->bytes_max ? limits->bytes_max : JSON_BYTES_MAX;
    unsigned depth_max = limits && limits->depth_max ? limits->depth_max : JSON_DEPTH_MAX;
    ASSERT(depth_max <= JSON_DEPTH_TOP);
    if (text.len > bytes_max)
        return err_set(err, E_LIMIT, "JSON of %zu bytes is over the maximum of %zu", text.len,
                       bytes_max);
    unsigned depth = 0;
    for (size_t at = 0; at < text.len; at++) {
        char c = text.ptr[at];
        if (c == '"') {
            at = string_end(text, at);
        } else if (c == '[' || c == '{') {
            if (++depth > depth_max) {
                err_set(err, E_LIMIT, "JSON is nested deeper than %u levels", depth_max);
                return err_at(err, E_LIMIT, (int64_t)at);
            }
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        }
    }
    return E_OK;
}

static void *arena_malloc(void *arena, size_t size)
{
    return arena_alloc(arena, size);
}

static void *arena_realloc(void *arena, void *old, size_t old_size, size_t size)
{
    if (size <= old_size)
        return old;
    void *grown = arena_alloc(arena, size);
    memcpy(grown, old, old_size);
    return grown;
}

static void arena_no_free(void *arena, void *memory)
{
    (void)arena;
    (void)memory;
}

static int key_order(const void *a, const void *b)
{
    return str_cmp(*(const Str *)a, *(const Str *)b);
}

/* Most objects have few keys, of different lengths: comparing all pairs costs less than their order. */
static Str duplicate_of_few(const Str *keys, size_t count)
{
    for (size_t i = 1; i < count; i++)
        for (size_t k = 0; k < i; k++)
            if (str_eq(keys[i], keys[k]))
                return keys[i];
    return STR_NONE;
}

/* A key that an object has twice, or STR_NONE. */
static Str duplicate_key(const Json *object)
{
    size_t count = json_len(object);
    Str few[JSON_FEW_KEYS];
    Arena tmp AUTO(arena_done) = { 0 };
    Str *keys = count <= JSON_FEW_KEYS ? few : arena_array(&tmp, Str, count);
    size_t at = 0;
    for (JsonIter it = json_iter(object); json_next(&it);)
        keys[at++] = it.key;
    if (count <= JSON_FEW_KEYS)
        return duplicate_of_few(keys, count);
    qsort(keys, count, sizeof *keys, key_order);
    for (size_t i = 1; i < count; i++)
        if (str_eq(keys[i - 1], keys[i]))
            return keys[i];
    return STR_NONE;
}

/* What yyjson lets pass and we do not: a key twice, a number beyond the doubles. */
static Code check_value(const Json *value, bool keeps_duplicates, Err *err)
{
    JsonType type = json_type(value);
    if (type == JSON_NUMBER && !isfinite(json_f64(value, INFINITY)))
        return err_set(err, E_SYNTAX, "JSON number is too large");
    if (type != JSON_OBJECT && type != JSON_ARRAY)
        return E_OK;
    if (type == JSON_OBJECT && json_len(value) > 1 && !keeps_duplicates) {
        Str key = duplicate_key(value);
        if (key.ptr)
            return err_set(err, E_SYNTAX, "JSON object has the key '" STR_FMT "' twice",
                           STR_ARG(key));
    }
    for (JsonIter it = json_iter(value); json_next(&it);)
        TRY(check_value(it.value, keeps_duplicates, err));
    return E_OK;
}

Code json_parse(Arena *arena, Str text, const JsonLimits *limits, const Json **ret_value, Err *err)
{
    TRY(json_check_depth(text, limits, err));
    if (text.len == 0)
        return err_at(err, err_set(err, E_SYNTAX, "JSON text is empty"), 0);
    yyjson_alc alc = { arena_malloc, arena_realloc, arena_no_free, arena };
    yyjson_read_err failure = { 0 };
    yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)text.ptr, text.len,
                                       YYJSON_READ_BIGNUM_AS_RAW, &alc, &failure);
    if (!doc) {
        err_set(err, E_SYNTAX, "JSON: %s", failure.msg ? failure.msg : "cannot be read");
        return err_at(err, E_SYNTAX, (int64_t)failure.pos);
    }
    const Json *value = outer(yyjson_doc_get_root(doc));
    TRY(check_value(value, limits && limits->keeps_duplicates, err));
    *ret_value = value;
    return E_OK;
}

JsonType json_type(const Json *value)
{
    switch (yyjson_get_type(inner(value))) {
    case YYJSON_TYPE_NULL:
        return JSON_NULL;
    case YYJSON_TYPE_BOOL:
        return JSON_BOOL;
    case YYJSON_TYPE_RAW:
    case YYJSON_TYPE_NUM:
        return JSON_NUMBER;
    case YYJSON_TYPE_STR:
        return JSON_STRING;
    case YYJSON_TYPE_ARR:
        return JSON_ARRAY;
    case YYJSON_TYPE_OBJ:
        return JSON_OBJECT;
    default:
        return JSON_MISSING;
    }
}

const char *json_type_name(JsonType type)
{
    static const char *const names[] = { "nothing",  "null",     "a truth value", "a number",
                                         "a string", "an array", "an object" };
    return names[type];
}

bool json_is_null(const Json *value)
{
    return json_type(value) <= JSON_NULL;
}

const Json *json_get(const Json *object, const char *key)
{
    return json_get_str(object, str_z(key));
}

const Json *json_get_str(const Json *object, Str key)
{
    return outer(yyjson_obj_getn(inner(object), key.ptr ? key.ptr : "", key.len));
}

const Json *json_at(const Json *array, size_t index)
{
    return outer(yyjson_arr_get(inner(array), index));
}

size_t json_len(const Json *value)
{
    yyjson_val *val = inner(value);
    return yyjson_is_ctn(val) ? unsafe_yyjson_get_len(val) : 0;
}

Str json_str(const Json *value)
{
    yyjson_val *val = inner(value);
    return yyjson_is_str(val) ? str_of(unsafe_yyjson_get_str(val), unsafe_yyjson_get_len(val))
                              : STR_NONE;
}

bool json_bool(const Json *value, bool fallback)
{
    yyjson_val *val = inner(value);
    return yyjson_is_bool(val) ? unsafe_yyjson_get_bool(val) : fallback;
}

bool json_is_i64(const Json *value)
{
    yyjson_val *val = inner(value);
    return yyjson_is_sint(val) || (yyjson_is_uint(val) && unsafe_yyjson_get_uint(val) <= INT64_MAX);
}

bool json_is_u64(const Json *value)
{
    return yyjson_is_uint(inner(value));
}

int64_t json_i64(const Json *value, int64_t fallback)
{
    return json_is_i64(value) ? unsafe_yyjson_get_sint(inner(value)) : fallback;
}

uint64_t json_u64(const Json *value, uint64_t fallback)
{
    return json_is_u64(value) ? unsafe_yyjson_get_uint(inner(value)) : fallback;
}

double json_f64(const Json *value, double fallback)
{
    yyjson_val *val = inner(value);
    double number = fallback;
    if (yyjson_is_raw(val))
        return str_f64(str_of(unsafe_yyjson_get_raw(val), unsafe_yyjson_get_len(val)), &number)
                   ? number
                   : fallback;
    return yyjson_is_num(val) ? yyjson_get_num(val) : fallback;
}

JsonIter json_iter(const Json *value)
{
    yyjson_val *val = inner(value);
    if (!yyjson_is_ctn(val))
        return (JsonIter){ .left_ = 0 };
    return (JsonIter){ .left_ = unsafe_yyjson_get_len(val),
                       .is_object_ = yyjson_is_obj(val),
                       .next_ = outer(unsafe_yyjson_get_first(val)) };
}

bool json_next(JsonIter *iter)
{
    if (iter->left_ == 0)
        return false;
    iter->left_--;
    yyjson_val *at = inner(iter->next_);
    if (iter->is_object_) {
        iter->key = str_of(unsafe_yyjson_get_str(at), unsafe_yyjson_get_len(at));
        at++;
    }
    iter->value = outer(at);
    iter->next_ = outer(unsafe_yyjson_get_next(at));
    return true;
}

/* ---- required members ---- */

static Code wrong_member(const Json *object, const char *key, const char *wanted, Err *err)
{
    JsonType found = json_type(json_get(object, key));
    if (found == JSON_MISSING)
        return err_set(err, E_INVALID, "'%s' is missing: it must be %s", key, wanted);
    return err_set(err, E_INVALID, "'%s' must be %s, not %s", key, wanted, json_type_name(found));
}

Code json_need_str(const Json *object, const char *key, Str *ret_text, Err *err)
{
    const Json *value = json_get(object, key);
    if (json_type(value) != JSON_STRING)
        return wrong_member(object, key, "a string", err);
    *ret_text = json_str(value);
    return E_OK;
}

Code json_need_i64(const Json *object, const char *key, int64_t *ret_number, Err *err)
{
    const Json *value = json_get(object, key);
    if (!json_is_i64(value))
        return wrong_member(object, key, "a 64-bit integer", err);
    *ret_number = json_i64(value, 0);
    return E_OK;
}

Code json_need_f64(const Json *object, const char *key, double *ret_number, Err *err)
{
    const Json *value = json_get(object, key);
    if (json_type(value) != JSON_NUMBER)
        return wrong_member(object, key, "a number", err);
    *ret_number = json_f64(value, 0);
    return E_OK;
}

Code json_need_bool(const Json *object, const char *key, bool *ret_truth, Err *err)
{
    const Json *value = json_get(object, key);
    if (json_type(value) != JSON_BOOL)
        return wrong_member(object, key, "true or false", err);
    *ret_truth = json_bool(value, false);
    return E_OK;
}

Code json_need_obj(const Json *object, const char *key, const Json **ret_value, Err *err)
{
    const Json *value = json_get(object, key);
    if (json_type(value) != JSON_OBJECT)
        return wrong_member(object, key, "an object", err);
    *ret_value = value;
    return E_OK;
}

Code json_need_arr(const Json *object, const char *key, const Json **ret_value, Err *err)
{
    const Json *value = json_get(object, key);
    if (json_type(value) != JSON_ARRAY)
        return wrong_member(object, key, "an array", err);
    *ret_value = value;
    return E_OK;
}

/* ---- writing values that were read ---- */

/* The shortest digits that read back as `number`, by yyjson, in JSON's form. */
static Str number_digits(double number, char text[JSON_NUMBER_TEXT_MAX])
{
    char pool[JSON_NUMBER_POOL];
    yyjson_alc alc;
    ASSERT(yyjson_alc_pool_init(&alc, pool, sizeof pool));
    yyjson_val val = { .tag = YYJSON_TYPE_NUM | YYJSON_SUBTYPE_REAL, .uni.f64 = number };
    size_t len = 0;
    char *digits = yyjson_val_write_opts(&val, YYJSON_WRITE_NOFLAG, &alc, &len, NULL);
    ASSERT(digits && len < JSON_NUMBER_TEXT_MAX);
    memcpy(text, digits, len);
    return str_of(text, len);
}

void json_put_f64(JsonWriter *w, double number)
{
    char text[JSON_NUMBER_TEXT_MAX];
    if (isfinite(number))
        json_put_raw(w, number_digits(number, text));
    else
        json_put_null(w);
}

static void put_number(JsonWriter *w, const yyjson_val *val)
{
    yyjson_val *number = (yyjson_val *)(uintptr_t)val;
    if (yyjson_is_raw(number))
        json_put_raw(w, str_of(unsafe_yyjson_get_raw(number), unsafe_yyjson_get_len(number)));
    else if (yyjson_is_uint(number))
        json_put_u64(w, unsafe_yyjson_get_uint(number));
    else if (yyjson_is_sint(number))
        json_put_i64(w, unsafe_yyjson_get_sint(number));
    else
        json_put_f64(w, unsafe_yyjson_get_real(number));
}

void json_put_value(JsonWriter *w, const Json *value)
{
    JsonType type = json_type(value);
    switch (type) {
    case JSON_MISSING:
    case JSON_NULL:
        json_put_null(w);
        break;
    case JSON_BOOL:
        json_put_bool(w, json_bool(value, false));
        break;
    case JSON_NUMBER:
        put_number(w, inner(value));
        break;
    case JSON_STRING:
        json_put_str(w, json_str(value));
        break;
    case JSON_ARRAY:
        json_begin_array(w);
        for (JsonIter it = json_iter(value); json_next(&it);)
            json_put_value(w, it.value);
        json_end_array(w);
        break;
    case JSON_OBJECT:
        json_begin_object(w);
        for (JsonIter it = json_iter(value); json_next(&it);) {
            json_key(w, it.key);
            json_put_value(w, it.value);
        }
        json_end_object(w);
        break;
    }
}

/* ---- RFC 8785 ---- */

/* Order by UTF-16 units differs from byte order only where one side is beyond the basic plane
 * (lead byte F0 and up) and the other in U+E000 to U+FFFF (EE, EF): surrogates sort below these. */
static int utf16_cmp(Str a, Str b)
{
    size_t len = MIN(a.len, b.len);
    for (size_t i = 0; i < len; i++) {
        uint8_t x = (uint8_t)a.ptr[i], y = (uint8_t)b.ptr[i];
        if (x == y)
            continue;
        if (x >= 0xEE && y >= 0xEE && (x >= 0xF0) != (y >= 0xF0))
            return x >= 0xF0 ? -1 : 1;
        return x < y ? -1 : 1;
    }
    return a.len == b.len ? 0 : a.len < b.len ? -1 : 1;
}

typedef struct Member {
    Str key;
    const Json *value;
} Member;

static int member_order(const void *a, const void *b)
{
    return utf16_cmp(((const Member *)a)->key, ((const Member *)b)->key);
}

/* 0.DIGITS * 10^n as ECMAScript's Number::toString writes it (RFC 8785 3.2.2.3). */
static void put_ecma(Buf *out, const char *digits, int count, int n)
{
    if (n > 0 && n <= 21) {
        buf_put(out, str_of(digits, (size_t)MIN(count, n)));
        for (int i = count; i < n; i++)
            buf_put_char(out, '0');
        if (count > n) {
            buf_put_char(out, '.');
            buf_put(out, str_of(digits + n, (size_t)(count - n)));
        }
    } else if (n > -6 && n <= 0) {
        buf_put(out, STR("0."));
        for (int i = n; i < 0; i++)
            buf_put_char(out, '0');
        buf_put(out, str_of(digits, (size_t)count));
    } else {
        buf_put_char(out, digits[0]);
        if (count > 1) {
            buf_put_char(out, '.');
            buf_put(out, str_of(digits + 1, (size_t)count - 1));
        }
        buf_format(out, "e%+d", n - 1);
    }
}

static void canonical_double(Buf *out, double number)
{
    char text[JSON_NUMBER_TEXT_MAX], digits[JSON_NUMBER_TEXT_MAX];
    if (number == 0 || !isfinite(number)) {
        buf_put_char(out, '0');
        return;
    }
    Str form = number_digits(fabs(number), text);
    int count = 0, point = 0;
    int64_t exponent = 0;
    bool fraction = false;
    for (size_t i = 0; i < form.len; i++) {
        char c = form.ptr[i];
        if (c == 'e' || c == 'E') {
            size_t sign = form.ptr[i + 1] == '+';
            ASSERT(str_i64(str_from(form, i + 1 + sign), &exponent));
            break;
        }
        if (c == '.') {
            fraction = true;
        } else if (count > 0 || c != '0') {
            digits[count++] = c;
            point += !fraction;
        } else {
            point -= fraction; /* a zero between the point and the first digit */
        }
    }
    while (count > 1 && digits[count - 1] == '0')
        count--;
    if (number < 0)
        buf_put_char(out, '-');
    put_ecma(out, digits, count, point + (int)exponent);
}

static void canonical_number(Buf *out, const Json *value)
{
    JsonWriter w = json_writer(out);
    if (json_is_i64(value) || json_is_u64(value))
        put_number(&w, inner(value));
    else
        canonical_double(out, json_f64(value, 0));
}

static void canonical_object(Buf *out, const Json *object)
{
    Arena tmp AUTO(arena_done) = { 0 };
    size_t count = json_len(object), at = 0;
    Member *members = arena_array(&tmp, Member, count);
    for (JsonIter it = json_iter(object); json_next(&it);)
        members[at++] = (Member){ it.key, it.value };
    if (count > 1)
        qsort(members, count, sizeof *members, member_order);
    buf_put_char(out, '{');
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_put_char(out, ',');
        json_quote(out, members[i].key);
        buf_put_char(out, ':');
        json_canonical(out, members[i].value);
    }
    buf_put_char(out, '}');
}

void json_canonical(Buf *out, const Json *value)
{
    JsonType type = json_type(value);
    JsonWriter w = json_writer(out);
    if (type == JSON_NUMBER) {
        canonical_number(out, value);
    } else if (type == JSON_OBJECT) {
        canonical_object(out, value);
    } else if (type == JSON_ARRAY) {
        buf_put_char(out, '[');
        size_t at = 0;
        for (JsonIter it = json_iter(value); json_next(&it);) {
            if (at++ > 0)
                buf_put_char(out, ',');
            json_canonical(out, it.value);
        }
        buf_put_char(out, ']');
    } else {
        json_put_value(&w, value);
    }
}
