/* parquet.h: the footer of a Parquet file, decoded and checked, and the sanity of its page headers.
 * Owner:   everything lives in the Arena that was passed; binary values are copies there.
 * Threads: any.
 * Errors:  CORRUPT names the field; LIMIT; UNSUPPORTED for encrypted footers.
 * Limits:  PARQUET_* below. Offsets and lengths of every chunk are inside the file.
 * Units:   bytes; rows. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

enum {
    PARQUET_TAIL_LEN = 8, /* footer length and "PAR1" */
    PARQUET_FOOTER_BYTES_MAX = 64 << 20,
    PARQUET_DEPTH_MAX = 32,     /* of the schema tree */
    PARQUET_SCHEMA_MAX = 16384, /* elements */
    PARQUET_ROW_GROUPS_MAX = 65536,
    PARQUET_CHUNKS_MAX = 1 << 20, /* columns times row groups */
    PARQUET_KEY_VALUES_MAX = 1024,
    PARQUET_THRIFT_DEPTH_MAX = 32, /* structs in structs that are skipped */
    PARQUET_PAGE_HEADER_MAX = 1 << 20,
    PARQUET_PAGE_BYTES_MAX = 1 << 30, /* decompressed */
    PARQUET_NONE = -1                 /* a number that the file does not say */
};

typedef enum ParquetType {
    PARQUET_BOOLEAN,
    PARQUET_INT32,
    PARQUET_INT64,
    PARQUET_INT96,
    PARQUET_FLOAT,
    PARQUET_DOUBLE,
    PARQUET_BYTE_ARRAY,
    PARQUET_FIXED,
    PARQUET_GROUP /* a node with children */
} ParquetType;

typedef enum ParquetRepetition {
    PARQUET_REQUIRED,
    PARQUET_OPTIONAL,
    PARQUET_REPEATED
} ParquetRepetition;

typedef enum ParquetLogical {
    PARQUET_L_NONE,
    PARQUET_L_STRING,
    PARQUET_L_MAP,
    PARQUET_L_LIST,
    PARQUET_L_ENUM,
    PARQUET_L_DECIMAL,
    PARQUET_L_DATE,
    PARQUET_L_TIME,
    PARQUET_L_TIMESTAMP,
    PARQUET_L_INTEGER,
    PARQUET_L_NULL,
    PARQUET_L_JSON,
    PARQUET_L_BSON,
    PARQUET_L_UUID,
    PARQUET_L_FLOAT16,
    PARQUET_L_OTHER
} ParquetLogical;

typedef enum ParquetUnit { PARQUET_MILLIS, PARQUET_MICROS, PARQUET_NANOS } ParquetUnit;

typedef struct ParquetNode ParquetNode;
struct ParquetNode {
    Str name;
    ParquetType type;
    ParquetRepetition repetition;
    ParquetLogical logical;
    int32_t field_id;         /* PARQUET_NONE */
    int32_t fixed_len;        /* of PARQUET_FIXED */
    int32_t precision, scale; /* of decimals */
    int32_t bit_width;        /* of integers: 8 to 64 */
    bool is_signed;
    bool utc; /* times: adjusted to UTC */
    ParquetUnit unit;
    ParquetNode *parent; /* NULL: the root */
    ParquetNode **children;
    size_t child_count;
    int32_t column; /* leaves: its position among the chunks of a row group; else PARQUET_NONE */
    int16_t definition_max, repetition_max;
};

typedef struct ParquetChunk {
    const ParquetNode *node;
    int32_t codec;       /* Parquet's CompressionCodec */
    int64_t value_count; /* with nulls; of repeated fields: entries */
    int64_t compressed_bytes, uncompressed_bytes;
    int64_t start;      /* of the dictionary page or else the first data page */
    int64_t null_count; /* PARQUET_NONE; likewise below */
    int64_t distinct_count;
    bool has_min, has_max, min_exact, max_exact;
    Str min, max; /* plain encoding, little endian; only from min_value/max_value, or from
                     the old fields for signed numbers (their order is known there) */
} ParquetChunk;

typedef struct ParquetRowGroup {
    int64_t row_count;
    int64_t total_bytes;  /* uncompressed, as the file says */
    int64_t start;        /* byte where its first page begins: Iceberg's split offset */
    ParquetChunk *chunks; /* one per leaf, in the schema's order */
} ParquetRowGroup;

typedef struct ParquetFooter {
    int32_t version;
    int64_t row_count;
    ParquetNode *root;
    ParquetNode **leaves;
    size_t leaf_count;
    ParquetRowGroup *row_groups;
    size_t row_group_count;
    Str created_by;
    struct ParquetKeyValue {
        Str key, value;
    } *key_values;
    size_t key_value_count;
} ParquetFooter;

/* From the last PARQUET_TAIL_LEN bytes: how long the footer before them is (without them). CORRUPT
 * when it cannot be inside a file of `file_bytes`. */
Code parquet_footer_size(Str tail, uint64_t file_bytes, uint64_t *ret_footer_bytes,
                         Err *err) CHECKED;

/* Decodes the footer of a file that is `file_bytes` long; every check of the header of this file.
 */
Code parquet_footer_decode(Str footer, uint64_t file_bytes, Arena *arena, ParquetFooter *ret_footer,
                           Err *err) CHECKED;

/* The leaf with that field id, or NULL. */
const ParquetNode *parquet_leaf_by_id(const ParquetFooter *footer, int32_t field_id);

/* A page header at the start of `bytes` (all that is left of the chunk): its own length and that of
 * the page behind it. CORRUPT when a size is negative or goes beyond `bytes_left`. */
typedef struct ParquetPage {
    int32_t type; /* Parquet's PageType */
    int64_t header_bytes, page_bytes, uncompressed_bytes;
    int64_t value_count; /* PARQUET_NONE: no data page */
} ParquetPage;
Code parquet_page_decode(Str bytes, uint64_t bytes_left, ParquetPage *ret_page, Err *err) CHECKED;

/* Reads up to `len` bytes at `at`; `*ret_len` is less only at the end of the file. */
typedef Code ParquetRead(void *arg, uint64_t at, void *bytes, size_t len, size_t *ret_len,
                         Err *err);

/* Walks all page headers of a file whose footer was decoded: sizes inside the column chunks, counts
 * of values that add up. What a foreign file must pass once before an engine reads it in process.
 */
Code parquet_pages_check(const ParquetFooter *footer, ParquetRead *read, void *arg,
                         Err *err) CHECKED;
