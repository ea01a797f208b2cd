/* arrow.h: the Arrow C data interface, our codec of the Arrow IPC stream, and text of values.
 * Owner:   an ArrowArray or ArrowSchema with `release` is whoever's who holds it, and is released
 * once; what an ArrowIpcReader gives lives until its release, apart from the reader. Threads: one
 * at a time. Errors:  CORRUPT for IPC bytes that are not consistent, UNSUPPORTED for types that are
 * not named below, LIMIT. Limits:  ARROW_* below. Units:   bytes; rows.
 *
 * Types: null, bool, int8..int64, uint8..uint64, float, double, decimal128, utf8, large_utf8,
 * binary, large_binary, fixed binary, date32, date64, time32, time64, timestamp with and without
 * zone, duration, interval (month_day_nano), list, large_list, fixed_size_list, struct, map;
 * float16 as bytes only. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "format/json.h"

enum {
    ARROW_DEPTH_MAX = 32,
    ARROW_COLUMNS_MAX = 16384,           /* children of one node */
    ARROW_NODES_MAX = 65536,             /* of one schema, with children */
    ARROW_METADATA_BYTES_MAX = 16 << 20, /* of one message */
    ARROW_BODY_BYTES_MAX = 1 << 30
};

#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE

#define ARROW_FLAG_DICTIONARY_ORDERED 1
#define ARROW_FLAG_NULLABLE 2
#define ARROW_FLAG_MAP_KEYS_SORTED 4

struct ArrowSchema {
    const char *format;
    const char *name;
    const char *metadata;
    int64_t flags;
    int64_t n_children;
    struct ArrowSchema **children;
    struct ArrowSchema *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length;
    int64_t null_count;
    int64_t offset;
    int64_t n_buffers;
    int64_t n_children;
    const void **buffers;
    struct ArrowArray **children;
    struct ArrowArray *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};

#endif /* ARROW_C_DATA_INTERFACE */

typedef struct ArrowSchema ArrowSchema;
typedef struct ArrowArray ArrowArray;

/* Fit for AUTO and for released ones. */
void arrow_schema_done(ArrowSchema *schema);
void arrow_array_done(ArrowArray *array);

/* A deep copy of a schema that owns itself. */
void arrow_schema_copy(const ArrowSchema *schema, ArrowSchema *ret_copy);

/* ---- IPC stream (Arrow columnar format 1.x, metadata version V5, no dictionaries, no compression)
 * ---- */

/* `schema` is the struct (format "+s") that a stream's columns are the children of. */
Code arrow_ipc_schema_put(Buf *out, const ArrowSchema *schema, Err *err) CHECKED;
Code arrow_ipc_batch_put(Buf *out, const ArrowSchema *schema, const ArrowArray *array,
                         Err *err) CHECKED;
void arrow_ipc_eos_put(Buf *out);

/* Reads a stream from bytes in pieces of any size. */
typedef struct ArrowIpcReader ArrowIpcReader;
Code arrow_ipc_reader_new(ArrowIpcReader **ret_reader, Err *err) CHECKED;
void arrow_ipc_reader_free(ArrowIpcReader **reader);
Code arrow_ipc_reader_feed(ArrowIpcReader *reader, Str bytes, Err *err) CHECKED;

/* The schema, or NULL while it has not come. Borrowed. */
Code arrow_ipc_reader_schema(ArrowIpcReader *reader, const ArrowSchema **ret_schema,
                             Err *err) CHECKED;

/* The next batch that is complete; `ret_array->release` is NULL when more bytes are needed or the
 * stream is over. Every offset, length, count and text is checked: the array is safe to read. Its
 * children live as long as the root: do not move them out. */
Code arrow_ipc_reader_next(ArrowIpcReader *reader, ArrowArray *ret_array, Err *err) CHECKED;
bool arrow_ipc_reader_at_end(const ArrowIpcReader *reader); /* the end-of-stream mark was read */

/* ---- text of values ---- */

/* The Str of row `row` of a utf8, binary or fixed binary array; no pointer: null, or another type.
 */
Str arrow_str(const ArrowSchema *schema, const ArrowArray *array, int64_t row);
bool arrow_is_null(const ArrowSchema *schema, const ArrowArray *array, int64_t row);
int64_t arrow_i64(const ArrowSchema *schema, const ArrowArray *array, int64_t row,
                  int64_t fallback);
double arrow_f64(const ArrowSchema *schema, const ArrowArray *array, int64_t row, double fallback);

/* One row of a struct array as a JSON object, as a JSON array, as a line of CSV with its CR LF. */
void arrow_put_json_row(JsonWriter *w, const ArrowSchema *schema, const ArrowArray *array,
                        int64_t row);
void arrow_put_json_array(JsonWriter *w, const ArrowSchema *schema, const ArrowArray *array,
                          int64_t row);
void arrow_put_csv_row(Buf *out, const ArrowSchema *schema, const ArrowArray *array, int64_t row);
void arrow_put_csv_header(Buf *out, const ArrowSchema *schema);

/* One value. JSON: integers over 2^53 stay numbers, decimals are numbers with their digits,
 * not-a-number and infinities are the strings "NaN", "Infinity", "-Infinity", binary is base64,
 * dates and times are ISO 8601 strings, a map is an object when its keys are strings, else an array
 * of [key, value]. */
void arrow_put_json_value(JsonWriter *w, const ArrowSchema *schema, const ArrowArray *array,
                          int64_t row);

/* The bare text of one value (no quotes around strings; nested ones as JSON); null puts nothing. */
void arrow_put_text(Buf *out, const ArrowSchema *schema, const ArrowArray *array, int64_t row);

/* The SQL name of a column's type: "BIGINT", "DECIMAL(9,2)", "STRUCT(a INTEGER, b VARCHAR)[]". */
void arrow_put_type_name(Buf *out, const ArrowSchema *schema);
