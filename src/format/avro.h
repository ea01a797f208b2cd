/* avro.h: Avro schemas, values, single records and object container files (Avro 1.11
 * specification). Owner:   schemas and decoded values live in the Arena that was passed; readers
 * and writers are freed with their _free. Decoded strings may borrow from the file's bytes: keep
 * those. Threads: a schema may be read by any thread; a reader or writer by one at a time. Errors:
 * CORRUPT (bytes), INVALID (a schema, or a value that does not fit it), UNSUPPORTED (codec), LIMIT.
 * Limits:  AVRO_* below; nesting is bounded, also that of recursive schemas.
 * Units:   bytes. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/cursor.h"
#include "format/json.h"

enum {
    AVRO_DEPTH_MAX = 32,             /* of a schema and of a value */
    AVRO_FIELDS_MAX = 4096,          /* of one record; branches of a union; symbols of an enum */
    AVRO_ITEMS_MAX = 1 << 22,        /* values in one datum, inner ones counted */
    AVRO_BLOCK_BYTES_MAX = 64 << 20, /* of one block, decompressed */
    AVRO_SCHEMA_BYTES_MAX = 4 << 20,
    AVRO_META_MAX = 256, /* entries of a file's header */
    AVRO_SYNC_LEN = 16,
    AVRO_NO_ID = -1 /* the schema has no such id */
};

typedef enum AvroKind {
    AVRO_NULL,
    AVRO_BOOLEAN,
    AVRO_INT,
    AVRO_LONG,
    AVRO_FLOAT,
    AVRO_DOUBLE,
    AVRO_BYTES,
    AVRO_STRING,
    AVRO_FIXED,
    AVRO_ENUM,
    AVRO_ARRAY,
    AVRO_MAP,
    AVRO_RECORD,
    AVRO_UNION
} AvroKind;

typedef struct AvroSchema AvroSchema;

typedef struct AvroField {
    Str name;
    int32_t field_id; /* Iceberg's; AVRO_NO_ID */
    AvroSchema *schema;
    const Json *json; /* the whole field as written */
} AvroField;

struct AvroSchema {
    AvroKind kind;
    Str name;         /* record, enum, fixed: full name */
    Str logical_type; /* "decimal", "uuid", "timestamp-micros", "map", ...; empty: none */
    const Json *json; /* as written: other attributes */
    size_t fixed_len;
    int32_t precision, scale;             /* of decimal */
    int32_t element_id, key_id, value_id; /* Iceberg's; AVRO_NO_ID */
    AvroField *fields;                    /* record */
    size_t field_count;
    AvroSchema **branches; /* union */
    size_t branch_count;
    AvroSchema *items; /* array: of its items; map: of its values */
    Str *symbols;      /* enum */
    size_t symbol_count;
};

/* A decoded value. A union is not a value of its own: it is its branch, with `branch` set. */
typedef struct AvroValue AvroValue;
struct AvroValue {
    AvroKind kind;   /* never AVRO_UNION */
    uint32_t branch; /* position in the union that it came from; 0 outside of unions */
    union {
        bool truth;
        int64_t integer; /* int, long, and the position of an enum's symbol */
        double real;     /* float, double */
        Str bytes;       /* bytes, string, fixed */
        struct {
            AvroValue *items; /* array items, record fields in the schema's order, map values */
            Str *keys;        /* map only */
            size_t count;
        };
    };
};

Code avro_schema_parse(Arena *arena, Str json, AvroSchema **ret_schema, Err *err) CHECKED;

/* Of a record: by name, by Iceberg field id; NULL: not there. */
const AvroValue *avro_field(const AvroSchema *record, const AvroValue *value, Str name);
const AvroValue *avro_field_by_id(const AvroSchema *record, const AvroValue *value,
                                  int32_t field_id);

/* Values to write. */
AvroValue avro_null(void);
AvroValue avro_boolean(bool truth);
AvroValue avro_int(int32_t number);
AvroValue avro_long(int64_t number);
AvroValue avro_double(double number);
AvroValue avro_float(float number);
AvroValue avro_bytes(Str bytes);
AvroValue avro_string(Str text);
AvroValue avro_fixed(Str bytes);
AvroValue avro_list(AvroValue *items, size_t count); /* an array */
AvroValue avro_map(Str *keys, AvroValue *values, size_t count);
AvroValue avro_record(AvroValue *fields, size_t count); /* in the schema's order */

/* One datum without header, as in streams. Encoding picks the union branch: `value->branch` where
 * its kind fits, else the first that fits (an int also fits long, long fits int when it is small).
 * Failures of `out` stick in it: buf_end. */
Code avro_encode(Buf *out, const AvroSchema *schema, const AvroValue *value, Err *err) CHECKED;
Code avro_decode(Reader *r, Arena *arena, const AvroSchema *schema, AvroValue *ret_value,
                 Err *err) CHECKED;

typedef enum AvroCodec { AVRO_CODEC_NULL, AVRO_CODEC_DEFLATE, AVRO_CODEC_ZSTANDARD } AvroCodec;

typedef struct AvroMeta {
    Str key, value;
} AvroMeta;

/* A container file whose bytes are all there. Blocks are decompressed into the Arena of
 * avro_reader_next. */
typedef struct AvroReader AvroReader;
Code avro_reader_open(Str file, AvroReader **ret_reader, Err *err) CHECKED;
void avro_reader_free(AvroReader **reader);
const AvroSchema *avro_reader_schema(const AvroReader *reader);
Str avro_reader_schema_json(const AvroReader *reader);   /* as it stands in the file */
Str avro_reader_meta(const AvroReader *reader, Str key); /* STR_NONE: no such entry */
Code avro_reader_next(AvroReader *reader, Arena *arena, AvroValue *ret_value, bool *ret_more,
                      Err *err) CHECKED;

typedef struct AvroWriterOptions {
    Str schema_json; /* goes into the header byte by byte */
    AvroCodec codec;
    const AvroMeta
        *meta; /* further header entries, in this order after avro.schema and avro.codec */
    size_t meta_count;
    uint8_t sync[AVRO_SYNC_LEN]; /* random */
    size_t block_bytes;          /* a block is written when it is this big; 0: 64 KiB */
} AvroWriterOptions;

typedef struct AvroWriter AvroWriter;
Code avro_writer_open(Buf *out, const AvroWriterOptions *options, AvroWriter **ret_writer,
                      Err *err) CHECKED;
Code avro_writer_put(AvroWriter *writer, const AvroValue *value, Err *err) CHECKED;
Code avro_writer_finish(AvroWriter *writer, Err *err) CHECKED; /* LIMIT when `out` was too small */
void avro_writer_free(AvroWriter **writer);                    /* also without finish */
