/* catalog.h: namespaces, tables and views of the lake, and the commit that changes them.
 * Owner:   main/ opens one Catalog; a TableVersion is counted, each holder frees its own reference.
 * Threads: any. Commits of one table queue; adjacent blind appends share one snapshot.
 * Errors:  NOT_FOUND with the nearest name; EXISTS; CONFLICT when a base or a removed file is
 * gone; PRECONDITION; UNKNOWN_OUTCOME only when the metadata database cannot say. Limits:  names of
 * ICE_NAME_MAX bytes; COMMIT_FILES_MAX files a commit; CATALOG_GROUP_MAX a group. Units:   _ms and
 * _us since 1970 UTC. */
#pragma once

#include "meta/meta.h"
#include "os/os.h"
#include "store/store.h"
#include "table/manifest.h"

enum { COMMIT_FILES_MAX = 1000000, CATALOG_GROUP_MAX = 64, SCHEMA_CHANGES_MAX = 1000 };

typedef struct Catalog Catalog;
typedef struct TableVersion TableVersion;
typedef struct CatalogOptions {
    Os *os;
    Store *store;
    Meta *meta;
    Str lake_bucket; /* tables live at s3://LAKE_BUCKET/NAMESPACE/NAME/UUID; made when absent */
    size_t cache_versions; /* loaded tables kept; 0: 256 */
} CatalogOptions;

Code catalog_open(const CatalogOptions *options, Catalog **ret_catalog, Err *err) CHECKED;
void catalog_free(Catalog **catalog);

typedef struct TableName {
    Str ns, name;
} TableName;

/* Namespaces. Reserved names (system, temp, main, memory, pg_catalog, information_schema, tarn) are
 * refused; a namespace with tables is not dropped (PRECONDITION). */
Code catalog_namespace_create(Catalog *catalog, Str ns, const IceProperty *properties, size_t count,
                              const MetaTxn *extra, Err *err) CHECKED;
Code catalog_namespace_drop(Catalog *catalog, Str ns, const MetaTxn *extra, Err *err) CHECKED;
Code catalog_namespace_list(Catalog *catalog, Arena *arena, Str **ret_names, size_t *ret_count,
                            Err *err) CHECKED;

typedef struct TableEntry {
    Str ns, name;
    Uuid uuid;
    bool is_view;
    Str location, metadata_location, view_sql;
    int64_t created_us;
} TableEntry;

/* `ns` with ptr NULL: all namespaces. In the order of names. */
Code catalog_table_list(Catalog *catalog, Str ns, Arena *arena, TableEntry **ret_entries,
                        size_t *ret_count, Err *err) CHECKED;

/* Create. A draft fixes UUID, location and field ids, so that files can be written before the table
 * exists; catalog_table_create with it makes the table and appends `add` in one transaction. */
typedef struct PartitionColumn {
    Str column; /* dotted path in the schema */
    IceTransform transform;
    Str name; /* ptr NULL: as Iceberg names it: ts_day, id_bucket, name */
} PartitionColumn;

typedef struct SortColumn {
    Str column;
    bool descending, nulls_last;
} SortColumn;

typedef struct TableCreate {
    Str ns, name;
    const IceField *columns; /* ids 0: assigned */
    size_t column_count;
    const PartitionColumn *partition;
    size_t partition_count;
    const SortColumn *sort;
    size_t sort_count;
    const IceProperty *properties;
    size_t property_count;
    Str view_sql;      /* ptr not NULL: a view; columns and the rest are ignored */
    bool replace_view; /* CREATE OR REPLACE VIEW */
} TableCreate;

typedef struct TableDraft {
    TableName name;
    Uuid uuid;
    Str location;            /* s3://... without a last slash */
    TableMetadata *metadata; /* schema with ids, spec, sort order; no snapshot */
} TableDraft;

Code catalog_table_draft(Catalog *catalog, const TableCreate *create, Arena *arena,
                         TableDraft *ret_draft, Err *err) CHECKED;
/* `run_id` ptr not NULL: its staged files of this table end with the commit. */
Code catalog_draft_commit(Catalog *catalog, const TableDraft *draft, const DataFile *add,
                          size_t add_count, Str run_id, const MetaTxn *extra, Err *err) CHECKED;
Code catalog_table_create(Catalog *catalog, const TableCreate *create, const MetaTxn *extra,
                          Err *err) CHECKED;
/* Into the trash: its name is free, its files stay until catalog_reclaim_dropped (table_keep.h). */
Code catalog_table_drop(Catalog *catalog, TableName name, const MetaTxn *extra, Err *err) CHECKED;
Code catalog_table_rename(Catalog *catalog, TableName from, TableName to, const MetaTxn *extra,
                          Err *err) CHECKED;

/* One immutable state of a table or view; loading after a commit has returned sees that commit. */
Code catalog_load(Catalog *catalog, Str ns, Str name, TableVersion **ret_version, Err *err) CHECKED;
/* All at one metadata snapshot, or none. `ret_versions` has room for `count`. */
Code catalog_resolve(Catalog *catalog, const TableName *names, size_t count,
                     TableVersion **ret_versions, Err *err) CHECKED;
TableVersion *table_version_ref(TableVersion *version);
void table_version_free(TableVersion **version);
const TableMetadata *table_version_metadata(const TableVersion *version); /* NULL for a view */
const TableEntry *table_version_entry(const TableVersion *version);

/* Schema changes, applied in order. Renames of nested fields are refused (UNSUPPORTED). */
typedef enum SchemaChangeKind {
    SCHEMA_ADD,
    SCHEMA_DROP,
    SCHEMA_RENAME,
    SCHEMA_WIDEN,
    SCHEMA_OPTIONAL,
    SCHEMA_DOC,
    SCHEMA_FIRST,
    SCHEMA_AFTER
} SchemaChangeKind;

typedef struct SchemaChange {
    SchemaChangeKind kind;
    Str column;          /* dotted path; of ADD: the new name, with its struct's path before it */
    Str text;            /* RENAME: new name; DOC: text; AFTER: the column before */
    const IceType *type; /* ADD, WIDEN */
} SchemaChange;

typedef enum CommitKind {
    COMMIT_APPEND,    /* add files; blind: merges with its neighbours */
    COMMIT_OVERWRITE, /* remove and add files: DELETE with rewritten rows, partition overwrite */
    COMMIT_DELETE,    /* remove files only */
    COMMIT_REPLACE,   /* remove whatever is there now, add files; `schema` may change with it */
    COMMIT_COMPACT,   /* same rows in other files (operation "replace") */
    COMMIT_SCHEMA,
    COMMIT_PROPERTIES
} CommitKind;

typedef struct TableCommit {
    TableName name;
    Uuid uuid; /* none: by name; else CONFLICT when the name means another table */
    CommitKind kind;
    const DataFile *add; /* addresses are durable objects; partition per spec_id */
    size_t add_count;
    const Str *remove; /* addresses; CONFLICT when one is not in the table any more */
    size_t remove_count;
    int64_t base_snapshot_id; /* 0: any. OVERWRITE, DELETE, REPLACE: CONFLICT when files were added
                                 since, REPLACE also when rows were removed (serializable); -1: the
                                 table had no snapshot */
    bool snapshot_isolation;  /* then only removed files are checked */
    int32_t base_schema_id;   /* of the written files when has_base_schema; CONFLICT when a field is
                                 gone */
    bool has_base_schema;
    const IceSchema *schema;     /* REPLACE: from catalog_schema_plan; NULL: as it is */
    const SchemaChange *changes; /* SCHEMA */
    size_t change_count;
    const IceProperty *set; /* PROPERTIES; also together with any other kind */
    size_t set_count;
    const Str *unset;
    size_t unset_count;
    const IceProperty *summary; /* more lines for the snapshot's summary */
    size_t summary_count;
    Str run_id; /* ptr not NULL: staged files of this run and table end with the commit */
    const TableDraft *draft; /* not NULL: the table is made by this commit, an APPEND; EXISTS */
} TableCommit;

typedef struct CommitResult {
    Uuid uuid;
    int64_t snapshot_id; /* -1: none was made (SCHEMA, PROPERTIES) */
    int64_t sequence_number, timestamp_ms, total_records;
    int32_t schema_id;
    uint32_t group_size; /* commits that shared the swap */
} CommitResult;

/* All or nothing, with `extra` in the same metadata transaction. `ret_results` has room for
 * `count`. Conflicts with other commits are retried inside as long as the commit's own conditions
 * hold. */
Code catalog_commit(Catalog *catalog, const TableCommit *commits, size_t count,
                    const MetaTxn *extra, CommitResult *ret_results, Err *err) CHECKED;

/* The schema that a table gets when its columns become `columns`: same names keep their ids (types
 * may widen), new ones get new ids. Write files with it, then commit REPLACE with it. */
Code catalog_schema_plan(const TableMetadata *metadata, const IceField *columns, size_t count,
                         Arena *arena, IceSchema **ret_schema, Err *err) CHECKED;
/* What COMMIT_SCHEMA would make. */
Code catalog_schema_apply(const TableMetadata *metadata, const SchemaChange *changes, size_t count,
                          Arena *arena, IceSchema **ret_schema, Err *err) CHECKED;

/* Staged files: known to the orphan sweep, readable as FOR VERSION AS OF 'run:ID'. `add` of the run
 * is recorded before its bytes are published (the intent), completed with statistics afterwards. */
Code catalog_stage_intend(Catalog *catalog, Str run_id, Uuid table, const Str *addresses,
                          size_t count, Err *err) CHECKED;
Code catalog_stage_files(Catalog *catalog, Str run_id, const TableMetadata *metadata,
                         const DataFile *files, size_t count, Err *err) CHECKED; /* CONFLICT: swept */
Code catalog_stage_list(Catalog *catalog, Str run_id, Uuid table, const TableMetadata *metadata,
                        Arena *arena, DataFile **ret_files, size_t *ret_count, Err *err) CHECKED;
Code catalog_stage_drop(Catalog *catalog, Str run_id, Err *err) CHECKED; /* and its objects */
/* Recovery: objects of intents from before `before_us` that no commit ended. Safe
 * at any time: a commit whose intents were swept gives CONFLICT. `stop` is read atomically before
 * each object: true ends the sweep early; NULL: never. */
Code catalog_sweep(Catalog *catalog, int64_t before_us, const bool *stop, size_t *ret_objects,
                   Err *err) CHECKED;
