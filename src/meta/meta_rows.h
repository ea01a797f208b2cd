/* meta_rows.h: the rows of the metadata database as structs, one per table.
 * Owner:   a row's texts live in the arena of the read, or with the caller of a write.
 * Threads: values; any.
 * Errors:  none.
 * Limits:  META_VALUE_BYTES_MAX a value.
 * Units:   _us: microseconds since 1970 UTC, 0: never. */
#pragma once

#include "base/str.h"
#include "base/text.h"

typedef struct MetaNamespace {
    Str name;
    Str properties_json; /* an object of strings */
    int64_t created_us;
} MetaNamespace;

typedef enum MetaTableKind { META_TABLE = 0, META_VIEW = 1 } MetaTableKind;

typedef struct MetaTable {
    Uuid uuid;
    Str namespace_name;
    Str name;
    MetaTableKind kind;
    Str location;          /* ends in /UUID/; does not overlap any other's */
    Str metadata_location; /* the pointer; empty for a view */
    Str view_sql;          /* views only */
    int64_t created_us;
    int64_t updated_us;    /* of the last swap */
    int64_t dropped_us;    /* not 0: in the trash, its name is free */
} MetaTable;

typedef struct MetaStagedFile {
    Str run_id;
    Str address;        /* s3://bucket/key */
    Uuid table_uuid;
    Str data_file_json; /* table/ writes and reads it */
    int64_t created_us;
} MetaStagedFile;

typedef struct MetaCommit {
    int64_t sequence; /* order of commits, 1 .. */
    Uuid uuid;
    int64_t time_us;
} MetaCommit;

typedef struct MetaLedger {
    Str model;
    Str fingerprint;
    int64_t start_us; /* a FULL model has one interval: 0, 0 */
    int64_t end_us;
    Str state;        /* flow's words: published, gated, failed, incomplete ... */
    Str run_id;
    int64_t rows;
    Str reason;
    int64_t updated_us;
} MetaLedger;

typedef struct MetaRun {
    Str run_id;
    Str model; /* empty: the run as a whole */
    Str state;
    int64_t started_us;
    int64_t ended_us;
    Str detail_json;
} MetaRun;

typedef struct MetaQuality {
    Str run_id;
    Str model;
    int64_t start_us; /* the interval, as in MetaLedger */
    int64_t end_us;
    Uuid table_uuid;
    int64_t snapshot_id;
    double score; /* 0 .. 1 */
    double gate;
    bool passed;
    Str results_json;
    int64_t time_us;
} MetaQuality;

typedef struct MetaLineage {
    Str target;
    Str source;
    Str run_id;
    int64_t time_us;
} MetaLineage;

typedef struct MetaKey {
    Str id;
    Str name;
    Str role;          /* admin, reader */
    Str secret_sha256; /* 32 bytes */
    int64_t created_us;
    int64_t expires_us;
    int64_t revoked_us;
} MetaKey;

typedef struct MetaPrincipal {
    Str id;
    Str name;
    Str role;            /* data_viewer, data_scientist, data_engineer, admin */
    int64_t epoch;       /* of its session tokens: a higher one ends those given before */
    int64_t created_us;
    int64_t disabled_us; /* 0: it may sign */
} MetaPrincipal;

typedef struct MetaAccessKey {
    Str id;
    Str principal_id;
    Str secret_sealed; /* by the master key, with the id as context */
    int64_t created_us;
    int64_t expires_us;  /* 0: never */
    int64_t disabled_us; /* 0: active */
    int64_t revoked_us;
    int64_t used_us; /* last, to the minute; 0: not yet */
    Str used_service, used_region; /* "s3", "us-east-1" */
} MetaAccessKey;

typedef struct MetaSetting {
    Str key;
    Str value;
} MetaSetting;

typedef struct MetaIdempotency {
    Str principal;
    Str key;
    Str request_sha256; /* the same key with another request is refused by api/ */
    int64_t status;     /* HTTP status of the first answer */
    Str response;
    int64_t created_us;
} MetaIdempotency;

typedef struct MetaFeedCursor {
    Str consumer;
    int64_t sequence; /* the last change that it has taken */
} MetaFeedCursor;

typedef struct MetaAudit {
    int64_t id; /* given by the database; ignored in writes */
    int64_t time_us;
    Str principal;
    Str verb;
    Str target;
    Str outcome; /* ok, or the name of a code */
    Str detail_json;
} MetaAudit;

typedef struct MetaModel {
    Str name;
    Str fingerprint;
    Str text;
    Str path;
    int64_t updated_us;
} MetaModel;

typedef struct MetaOutbox {
    int64_t id; /* given by the database; ignored in writes */
    Str topic;
    Str payload_json;
    int64_t created_us;
} MetaOutbox;
