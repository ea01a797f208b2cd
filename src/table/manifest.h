/* manifest.h: data files, manifests and manifest lists of Iceberg v2 (Avro).
 * Owner:   decoded structs live in the Arena; strings may point into the given bytes, which stay.
 * Threads: any.
 * Errors:  CORRUPT with what is wrong; LIMIT.
 * Limits:  MANIFEST_BYTES_MAX, MANIFEST_ENTRIES_MAX, MANIFEST_LIST_MAX.
 * Units:   _bytes; counts of rows. */
#pragma once

#include "table/iceberg.h"

enum {
    MANIFEST_BYTES_MAX = 256 << 20,
    MANIFEST_ENTRIES_MAX = 1000000,
    MANIFEST_LIST_MAX = 100000,
    DATA_FILE_COLUMNS_MAX = ICE_FIELDS_MAX,
    SPLIT_OFFSETS_MAX = 100000
};

/* Statistics of one field; -1 and a NULL ptr: not known. */
typedef struct DataFileColumn {
    int32_t field_id;
    int64_t size_bytes, value_count, null_count, nan_count;
    Str lower, upper; /* single-value bytes, maybe truncated */
} DataFileColumn;

typedef enum DataFileContent { CONTENT_DATA, CONTENT_POSITION_DELETES, CONTENT_EQUALITY_DELETES } DataFileContent;

typedef struct DataFile {
    DataFileContent content;
    Str address;                   /* s3://bucket/key */
    Str format;                    /* "PARQUET" */
    int32_t spec_id;               /* of `partition` */
    IceValue *partition;           /* one per field of the spec */
    size_t partition_count;
    int64_t record_count, size_bytes;
    DataFileColumn *columns;       /* ascending field_id */
    size_t column_count;
    int64_t *split_offsets;
    size_t split_offset_count;
    int32_t sort_order_id;         /* -1: not recorded */
    int64_t sequence_number;       /* data sequence number; -1 in files that are not committed yet */
} DataFile;

typedef enum EntryStatus { ENTRY_EXISTING, ENTRY_ADDED, ENTRY_DELETED } EntryStatus;

typedef struct ManifestEntry {
    EntryStatus status;
    int64_t snapshot_id;           /* -1: inherited */
    int64_t sequence_number;       /* -1: inherited */
    int64_t file_sequence_number;  /* -1: inherited */
    DataFile file;
} ManifestEntry;

typedef struct PartitionSummary {
    bool contains_null, contains_nan, nan_known;
    Str lower, upper;              /* single-value bytes; ptr NULL: none */
} PartitionSummary;

/* One line of a manifest list. */
typedef struct ManifestFile {
    Str path;
    int64_t length;
    int32_t spec_id;
    bool is_deletes;
    int64_t sequence_number, min_sequence_number, added_snapshot_id;
    int32_t added_files, existing_files, deleted_files;
    int64_t added_rows, existing_rows, deleted_rows;
    PartitionSummary *partitions;
    size_t partition_count;
} ManifestFile;

/* `entries` all have spec->id. A value of -1 is written as null, to be inherited. `ret_file` gets all
 * but path and sequence number, which the caller knows. */
Code manifest_encode(Arena *arena, const IceSchema *schema, const IcePartitionSpec *spec,
                     const ManifestEntry *entries, size_t count, Buf *ret_bytes, ManifestFile *ret_file,
                     Err *err) CHECKED;

/* Inherits snapshot id and sequence numbers from `from` (a line of the list). */
Code manifest_decode(Arena *arena, Str bytes, const TableMetadata *metadata, const ManifestFile *from,
                     ManifestEntry **ret_entries, size_t *ret_count, Err *err) CHECKED;

Code manifest_list_encode(int64_t snapshot_id, int64_t parent_id, int64_t sequence_number,
                          const ManifestFile *files, size_t count, Buf *ret_bytes, Err *err) CHECKED;
Code manifest_list_decode(Arena *arena, Str bytes, ManifestFile **ret_files, size_t *ret_count,
                          Err *err) CHECKED;

/* One data file as JSON, for rows of staged files in the metadata database. */
void data_file_encode(Buf *json, const DataFile *file, const IcePartitionSpec *spec,
                      const IceSchema *schema);
Code data_file_decode(Arena *arena, Str json, const TableMetadata *metadata, DataFile *ret_file,
                      Err *err) CHECKED;
