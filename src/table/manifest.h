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

typedef enum DataFileContent {
    CONTENT_DATA,
    CONTENT_POSITION_DELETES,
    CONTENT_EQUALITY_DELETES
} DataFileContent;

typedef struct DataFile {
    DataFileContent content;
    Str address;         /* s3://bucket/key */
    Str format;          /* "PARQUET" */
    int32_t spec_id;     /* of `partition` */
    IceValue *partition; /* one per field of the spec */
    size_t partition_count;
    int64_t record_count, size_bytes;
    DataFileColumn *columns; /* ascending field_id */
    size_t column_count;
    int64_t *split_offsets;
    size_t split_offset_count;
    int32_t sort_order_id;   /* -1: not recorded */
    int64_t sequence_number; /* data sequence number; -1 in files that are not committed yet */
} DataFile;

typedef enum EntryStatus { ENTRY_EXISTING, ENTRY_ADDED, ENTRY_DELETED } EntryStatus;

typedef struct ManifestEntry {
    EntryStatus status;
    int64_t snapshot_id;          /* -1: inherited */
    int64_t sequence_number;      /* -1: inherited */
    int64_t file_sequence_number; /* -1: inherited */
    DataFile file;
} ManifestEntry;

typedef struct PartitionSummary {
    bool contains_null, contains_nan, nan_known;
    Str lower, upper; /* single-value bytes; ptr NULL: none */
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

/* What a manifest is written with. Its path is known before its bytes, so that the list can name
 * it. */
typedef struct ManifestWrite {
    const TableMetadata *metadata;
    const IcePartitionSpec *spec; /* of all entries */
    Str path;
    int64_t snapshot_id, sequence_number; /* of the commit: what added entries inherit */
    Uuid sync;                            /* random: Avro's sync marker */
} ManifestWrite;

/* Numbers of -1 are written as null, to be inherited. */
Code manifest_encode(const ManifestWrite *write, const ManifestEntry *entries, size_t count,
                     Arena *arena, Buf *ret_bytes, ManifestFile *ret_file, Err *err) CHECKED;

/* Inherits snapshot id and sequence numbers from `from` (a line of the list). */
Code manifest_decode(Arena *arena, Str bytes, const TableMetadata *metadata,
                     const ManifestFile *from, ManifestEntry **ret_entries, size_t *ret_count,
                     Err *err) CHECKED;

Code manifest_list_encode(const IceSnapshot *snapshot, Uuid sync, const ManifestFile *files,
                          size_t count, Buf *ret_bytes, Err *err) CHECKED;
Code manifest_list_decode(Arena *arena, Str bytes, ManifestFile **ret_files, size_t *ret_count,
                          Err *err) CHECKED;

/* Types of the partition values of a spec, one a field; a source column that was dropped since is
 * found in an older schema. */
Code partition_types(const TableMetadata *metadata, const IcePartitionSpec *spec, Arena *arena,
                     const IceType ***ret_types, Err *err) CHECKED;

/* One data file as JSON, for rows of staged files in the metadata database. */
Code data_file_encode(Buf *json, const DataFile *file, const TableMetadata *metadata,
                      Err *err) CHECKED;
Code data_file_decode(Arena *arena, Str json, const TableMetadata *metadata, DataFile *ret_file,
                      Err *err) CHECKED;
