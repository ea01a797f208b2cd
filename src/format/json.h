/* json.h: JSON text read into values and written from values.
 * Owner:   values and their strings live in the Arena that was passed to json_parse.
 * Threads: values may be read by any thread; a writer by one at a time.
 * Errors:  SYNTAX with the byte position, LIMIT for depth and size, INVALID from json_need_*.
 * Limits:  JsonLimits; JSON_DEPTH_MAX and JSON_BYTES_MAX when none are given. RFC 8259: UTF-8 only,
 *          one value, no comments, no NaN; an object that has a key twice is refused.
 * Units:   bytes. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

enum { JSON_DEPTH_MAX = 64, JSON_BYTES_MAX = 256 << 20 };

typedef struct Json Json;

typedef enum JsonType {
    JSON_MISSING, /* what a NULL pointer is */
    JSON_NULL,
    JSON_BOOL,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
} JsonType;

typedef struct JsonLimits {
    size_t bytes_max;      /* 0: JSON_BYTES_MAX */
    unsigned depth_max;    /* 0: JSON_DEPTH_MAX; at most 1,024 */
    bool keeps_duplicates; /* an object may have a key twice; json_get gives the first */
} JsonLimits;

Code json_parse(Arena *arena, Str text, const JsonLimits *limits, const Json **ret_value,
                Err *err) CHECKED;

/* The check that json_parse does before anything else sees the text: size, and depth of brackets
 * outside strings. For text that is given to a foreign reader. */
Code json_check_depth(Str text, const JsonLimits *limits, Err *err) CHECKED;

/* All take NULL for a value that is not there. */
JsonType json_type(const Json *value);
const char *json_type_name(JsonType type);
bool json_is_null(const Json *value);                      /* missing, or null */
const Json *json_get(const Json *object, const char *key); /* NULL: no such key, or no object */
const Json *json_get_str(const Json *object, Str key);
const Json *json_at(const Json *array,
                    size_t index);  /* NULL: beyond the end; O(1) for flat arrays */
size_t json_len(const Json *value); /* items of an array, keys of an object */
Str json_str(const Json *value);    /* STR_NONE when it is no string */
bool json_bool(const Json *value, bool fallback);
int64_t json_i64(const Json *value, int64_t fallback); /* fallback also when it does not fit */
uint64_t json_u64(const Json *value, uint64_t fallback);
double json_f64(const Json *value, double fallback); /* any number */
bool json_is_i64(const Json *value);
bool json_is_u64(const Json *value);

/* `JsonIter it = json_iter(v); while (json_next(&it)) use(it.key, it.value);` in the text's order.
 */
typedef struct JsonIter {
    Str key; /* of an object's member; STR_NONE in an array */
    const Json *value;
    const Json *next_; /* its own */
    size_t left_;
    bool is_object_;
} JsonIter;

JsonIter json_iter(const Json *value);
bool json_next(JsonIter *iter);

/* Required members: INVALID names the key and what was found instead. */
Code json_need_str(const Json *object, const char *key, Str *ret_text, Err *err) CHECKED;
Code json_need_i64(const Json *object, const char *key, int64_t *ret_number, Err *err) CHECKED;
Code json_need_f64(const Json *object, const char *key, double *ret_number, Err *err) CHECKED;
Code json_need_bool(const Json *object, const char *key, bool *ret_truth, Err *err) CHECKED;
Code json_need_obj(const Json *object, const char *key, const Json **ret_value, Err *err) CHECKED;
Code json_need_arr(const Json *object, const char *key, const Json **ret_value, Err *err) CHECKED;

/* Writes compact text to a Buf and puts the commas. Growth beyond the Buf's maximum sticks there.
 */
typedef struct JsonWriter {
    Buf *out;
    bool comma; /* the next item of the open array or object needs one */
} JsonWriter;

JsonWriter json_writer(Buf *out);
void json_begin_object(JsonWriter *w);
void json_end_object(JsonWriter *w);
void json_begin_array(JsonWriter *w);
void json_end_array(JsonWriter *w);
void json_key(JsonWriter *w, Str key);
void json_put_str(JsonWriter *w,
                  Str text); /* bytes that are not UTF-8 become U+FFFD; no pointer: null */
void json_put_i64(JsonWriter *w, int64_t number);
void json_put_u64(JsonWriter *w, uint64_t number);
void json_put_f64(JsonWriter *w, double number); /* shortest that reads back; not finite: null */
void json_put_bool(JsonWriter *w, bool truth);
void json_put_null(JsonWriter *w);
void json_put_raw(JsonWriter *w, Str json); /* JSON text as it is */
void json_put_value(JsonWriter *w, const Json *value);

/* `"key": value` in one call. */
void json_field_str(JsonWriter *w, const char *key, Str text);
void json_field_i64(JsonWriter *w, const char *key, int64_t number);
void json_field_u64(JsonWriter *w, const char *key, uint64_t number);
void json_field_f64(JsonWriter *w, const char *key, double number);
void json_field_bool(JsonWriter *w, const char *key, bool truth);
void json_field_raw(JsonWriter *w, const char *key, Str json);

/* The quoted form of one string. */
void json_quote(Buf *out, Str text);

/* RFC 8785: keys sorted by UTF-16 units, shortest numbers, no white space. Integers that fit 64
 * bits keep their digits, also where a double would not. A value nested deeper than 1,024 cannot
 * come from json_parse. */
void json_canonical(Buf *out, const Json *value);
