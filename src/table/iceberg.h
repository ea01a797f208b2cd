/* iceberg.h: Iceberg v2 table metadata as structs that mirror the specification.
 * Owner:   everything lives in the Arena it was decoded or made in and is not changed afterwards.
 * Threads: any, for reading.
 * Errors:  CORRUPT for JSON that breaks the spec, with the field; UNSUPPORTED for format version 3.
 * Limits:  METADATA_BYTES_MAX and the maxima below, also for foreign files.
 * Units:   _ms: milliseconds since 1970 UTC; _us: microseconds; _bytes. */
#pragma once

#include "base/text.h"
#include "table/value.h"

enum {
    METADATA_BYTES_MAX = 256 << 20,
    SCHEMAS_MAX = 10000,
    SPECS_MAX = 1000,
    SPEC_FIELDS_MAX = 64,
    SNAPSHOTS_MAX = 200000,
    REFS_MAX = 10000,
    PROPERTIES_MAX = 10000,
    METADATA_LOG_MAX = 100000,
    PARTITION_FIELD_ID_FIRST = 1000
};

typedef struct IceProperty {
    Str key, value;
} IceProperty;

typedef struct IceSchema {
    int32_t id;
    IceField *fields; /* the columns, in order */
    size_t field_count;
    int32_t *identifier_ids;
    size_t identifier_count;
} IceSchema;

typedef struct IcePartitionField {
    int32_t source_id, field_id; /* field_id 1000 and up */
    Str name;
    IceTransform transform;
} IcePartitionField;

typedef struct IcePartitionSpec {
    int32_t id;
    IcePartitionField *fields;
    size_t field_count; /* 0: not partitioned */
} IcePartitionSpec;

typedef struct IceSortField {
    int32_t source_id;
    IceTransform transform;
    bool descending, nulls_last;
} IceSortField;

typedef struct IceSortOrder {
    int32_t id; /* 0: unsorted */
    IceSortField *fields;
    size_t field_count;
} IceSortOrder;

typedef struct IceSnapshot {
    int64_t id, parent_id; /* parent_id -1: none */
    int64_t sequence_number, timestamp_ms;
    Str manifest_list;    /* address */
    Str operation;        /* append, overwrite, delete, replace */
    IceProperty *summary; /* without "operation" */
    size_t summary_count;
    int32_t schema_id; /* -1: not recorded */
} IceSnapshot;

typedef struct IceSnapshotLog {
    int64_t timestamp_ms, snapshot_id;
} IceSnapshotLog;

typedef struct IceMetadataLog {
    int64_t timestamp_ms;
    Str location;
} IceMetadataLog;

typedef struct IceRef {
    Str name; /* "main" is the table's state */
    int64_t snapshot_id;
    bool is_tag;
    int64_t snapshots_keep_min, snapshot_age_ms_max, ref_age_ms_max; /* -1: not set */
} IceRef;

/* A member that we do not interpret (statistics files and the like), kept as it was written. */
typedef struct IceExtra {
    Str key, json;
} IceExtra;

typedef struct TableMetadata {
    int32_t format_version; /* 2; a table of version 1 is read and written on as 2 */
    Uuid uuid;
    Str location; /* without the last slash */
    int64_t last_sequence_number, last_updated_ms;
    int32_t last_column_id, current_schema_id;
    IceSchema *schemas;
    size_t schema_count;
    int32_t default_spec_id, last_partition_id;
    IcePartitionSpec *specs;
    size_t spec_count;
    int32_t default_sort_order_id;
    IceSortOrder *sort_orders;
    size_t sort_order_count;
    IceProperty *properties;
    size_t property_count;
    int64_t current_snapshot_id; /* -1: none */
    IceSnapshot *snapshots;
    size_t snapshot_count;
    IceSnapshotLog *snapshot_log;
    size_t snapshot_log_count;
    IceMetadataLog *metadata_log;
    size_t metadata_log_count;
    IceRef *refs;
    size_t ref_count;
    IceExtra *extras;
    size_t extra_count;
} TableMetadata;

Code table_metadata_decode(Arena *arena, Str json, TableMetadata **ret_metadata, Err *err) CHECKED;
void table_metadata_encode(Buf *json, const TableMetadata *metadata);
/* The JSON of one schema, as in metadata and in the header of manifests. */
void ice_schema_encode(Buf *json, const IceSchema *schema);
Code ice_schema_decode(Arena *arena, Str json, IceSchema **ret_schema, Err *err) CHECKED;
void ice_spec_fields_encode(Buf *json, const IcePartitionSpec *spec);

/* Look-ups: NULL when it is not there. */
const IceSchema *table_schema(const TableMetadata *metadata, int32_t schema_id);
const IceSchema *table_schema_current(const TableMetadata *metadata);
const IcePartitionSpec *table_spec(const TableMetadata *metadata, int32_t spec_id);
const IcePartitionSpec *table_spec_default(const TableMetadata *metadata);
const IceSortOrder *table_sort_order_default(const TableMetadata *metadata);
const IceSnapshot *table_snapshot(const TableMetadata *metadata, int64_t snapshot_id);
const IceSnapshot *table_snapshot_current(const TableMetadata *metadata);
const IceSnapshot *table_snapshot_at(const TableMetadata *metadata, int64_t timestamp_ms);
const IceRef *table_ref(const TableMetadata *metadata, Str name);
Str table_property(const TableMetadata *metadata, Str key, Str fallback);

const IceField *ice_schema_field(const IceSchema *schema, int32_t id); /* at any depth */
const IceField *ice_schema_column(const IceSchema *schema, Str name);  /* exact name, top level */
/* "a", "a.b", "l.element": exact, else ignoring case; `ret_path` of the field's id or NULL. */
const IceField *ice_schema_find(const IceSchema *schema, Str dotted);
/* The nearest column name for "did you mean", or STR_NONE. */
Str ice_schema_nearest(const IceSchema *schema, Str name);

/* Gives every field without an id one, columns first, then nested; names must be unique and not
 * empty. */
Code ice_schema_assign_ids(Arena *arena, IceSchema *schema, int32_t *last_id, Err *err) CHECKED;
IceSchema *ice_schema_copy(Arena *arena, const IceSchema *schema);
