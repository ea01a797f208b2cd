/* catalog_priv.h: what the files of the catalog share: its state, objects in and out, builds of a
 * commit. Owner:   a TableBuild is filled by one commit and lives in its Arena. Threads: as said in
 * catalog.c; a TableBuild belongs to one thread. Errors:  those of catalog.h. Limits:  those of
 * catalog.h. Units:   _ms, _us since 1970 UTC. */
#pragma once

#include "os/thread.h"
#include "table/catalog.h"
#include "table/scan.h"

#include <stdatomic.h>

enum {
    CACHE_VERSIONS_DEFAULT = 256,
    COMMIT_ATTEMPTS_MAX = 16,
    SNAPSHOTS_KEPT_MAX = 500,
    METADATA_LOG_KEPT = 100,
    LOAD_ATTEMPTS_MAX = 3,
    MANIFESTS_MERGE_MIN = 40,
    MANIFEST_MERGE_BYTES_MAX = 4 << 20,
    MANIFEST_MERGE_ENTRIES_MAX = 50000, /* more are not written again */
    MANIFEST_MERGED_ENTRIES_MAX = 500000,
    SWEEP_GROUP = 1000, /* rows of one transaction, three items each */
    SWEEP_GROUP_MAX = META_TXN_ITEMS_MAX / 3
};

typedef struct TableQueue TableQueue;

struct TableVersion {
    atomic_size_t refs;
    Catalog *catalog;
    Arena arena; /* everything below */
    TableEntry entry;
    TableMetadata *metadata; /* NULL: a view */
    uint64_t used;           /* tick of the cache */
    TableVersion *before, *after; /* all that live, guarded by cache_mutex */
};

struct Catalog {
    Os *os;
    Store *store;
    Meta *meta;
    Arena arena;
    Str lake_bucket;
    size_t cache_max;
    Mutex cache_mutex;
    TableVersion **cache; /* guarded by cache_mutex */
    size_t cache_count;
    uint64_t cache_tick;
    TableVersion *versions; /* guarded by cache_mutex: every one that is not freed */
    Mutex queue_mutex;
    Cond queue_changed;
    TableQueue *queues; /* guarded by queue_mutex */
    atomic_uint_fast64_t snapshots_expired, objects_removed, bytes_removed, tables_removed;
};

/* catalog_io.c */
Code catalog_object_load(Catalog *catalog, Str address, size_t size_max, Arena *arena,
                         Str *ret_bytes, Err *err) CHECKED;
typedef struct ObjectOut {
    Str address, bytes, content_type;
} ObjectOut;
/* All of them or none, durable, in one group. */
Code catalog_objects_publish(Catalog *catalog, const ObjectOut *objects, size_t count,
                             Err *err) CHECKED;
void catalog_objects_delete(Catalog *catalog, const ObjectOut *objects,
                            size_t count); /* best effort */
Code catalog_manifests_load(Catalog *catalog, const IceSnapshot *snapshot, Arena *arena,
                            ManifestFile **ret_files, size_t *ret_count, Err *err) CHECKED;
Code catalog_entries_load(Catalog *catalog, const TableMetadata *metadata, const ManifestFile *file,
                          Arena *arena, ManifestEntry **ret_entries, size_t *ret_count,
                          Err *err) CHECKED;

/* catalog.c */
Code catalog_name_check(Str what, Str name, Err *err) CHECKED;
Code catalog_find(MetaRead *read, TableName name, Arena *arena, MetaTable *ret_row,
                  Err *err) CHECKED;
Code catalog_version_of(Catalog *catalog, const MetaTable *row, TableVersion **ret_version,
                        Err *err) CHECKED;
void catalog_cache_put(Catalog *catalog, TableVersion *version);
TableVersion *table_version_new(Catalog *catalog, const MetaTable *row);
/* Those of a table that others than the cache hold; the caller frees each. */
void catalog_versions_held(Catalog *catalog, Uuid table, Arena *arena, TableVersion ***ret_versions,
                           size_t *ret_count);

/* build.c: one new metadata.json of one table, made of the commits of a group. */
typedef struct TableBuild {
    Catalog *catalog;
    Arena *arena;
    TableMetadata *m;  /* changes until build_finish */
    Str base_location; /* of the metadata it started from; empty: a new table */
    int64_t base_updated_ms;
    Str new_location; /* after build_finish */
    Uuid commit;
    ObjectOut *objects; /* what must be durable before the swap */
    size_t object_count, object_cap;
    Str *dropped_metadata; /* old metadata files that the log forgot: deleted after the swap */
    size_t dropped_count;
    Str *expired_lists; /* manifest lists of snapshots that this commit forgets */
    size_t expired_count;
    size_t snapshots_gone; /* how many this commit forgets */
    ManifestFile *manifests; /* of the current snapshot in m */
    size_t manifest_count;
    bool manifests_loaded;
    uint32_t manifest_serial;
    struct PendingAppend { /* appends that share the next snapshot */
        DataFile *files;
        size_t count, cap;
        IceProperty *summary;
        size_t summary_count;
        bool open;
        int64_t snapshot_id;
    } pending;
} TableBuild;

void build_init(TableBuild *build, Catalog *catalog, Arena *arena, const TableMetadata *base,
                Str base_location, Uuid commit);
/* A failure leaves the build as it was: the commit can be left out. */
Code build_apply(TableBuild *build, const TableCommit *commit, CommitResult *result,
                 Err *err) CHECKED;
/* Closes open snapshots, trims logs, encodes metadata.json. */
Code build_finish(TableBuild *build, Err *err) CHECKED;
int64_t build_snapshot_id(Os *os);
Str build_address(TableBuild *build, const char *format, ...) PRINTF_LIKE(2, 3);
void build_object_add(TableBuild *build, Str address, Str bytes, Str content_type);

/* manifests.c: the manifests of a snapshot that is being built. */
Code build_manifests_load(TableBuild *build, Err *err) CHECKED;
typedef struct SnapshotDelta {
    const DataFile *add;
    size_t add_count;
    const Str *remove;
    size_t remove_count;
    bool remove_all;
    bool rewrite; /* what is added holds the rows of what is removed */
    int64_t snapshot_id, sequence_number;
    /* counted while it is made */
    int64_t added_rows, added_bytes, removed_files, removed_rows, removed_bytes;
    int64_t removed_sequence; /* the newest data sequence number of them */
    size_t changed_partitions;
} SnapshotDelta;
/* New list of manifests after the delta; writes manifests into build->objects. CONFLICT: a file to
 * remove is not there. */
Code build_manifests_change(TableBuild *build, SnapshotDelta *delta, ManifestFile **ret_files,
                            size_t *ret_count, Err *err) CHECKED;

/* expire.c: the rows of staged_files that are no intents but name manifest lists of expired snapshots. */
#define EXPIRED_RUN STR("expired")
/* dropped.c: those that name the metadata file of a table that was dropped and is forgotten. */
#define DROPPED_RUN STR("dropped")
void build_expire(TableBuild *build); /* in build->m; fills expired_lists */
size_t snapshots_due(const TableMetadata *m, int64_t now_ms, bool *ret_due); /* one a snapshot */
bool table_gc_enabled(const TableMetadata *m);
/* From which age on files that tarn did not write and no snapshot names are removed; -1: they are not. */
int64_t table_orphans_age_ms(const TableMetadata *m);
void txn_add_expired(MetaTxn *txn, Uuid table, const Str *lists, size_t count, int64_t now_us);
static inline bool keep_stops(const bool *stop)
{
    return stop && __atomic_load_n(stop, __ATOMIC_ACQUIRE);
}

/* create.c */
Str staged_run_of(Arena *arena, Uuid commit); /* the run id of a commit's own objects */
MetaTable draft_row(const TableDraft *draft, Arena *arena, int64_t now_us);
void draft_txn(MetaTxn *txn, const TableDraft *draft, Arena *arena, Str metadata_location, int64_t now_us);

/* commit.c: intents and metadata files of one or more builds; `txn` is what makes them a commit. */
Code builds_publish(Catalog *catalog, TableBuild *const *builds, const Uuid *tables, size_t count,
                    Err *err) CHECKED;
void builds_undo(Catalog *catalog, TableBuild *const *builds, size_t count);
void txn_end_staged(MetaTxn *txn, Arena *arena, Uuid commit, Str run_id, const DataFile *add,
                    size_t add_count);
/* meta_commit, and the commit UUID looked up when the outcome is not known. */
Code txn_commit(Catalog *catalog, const MetaTxn *txn, Err *err) CHECKED;

/* schema_change.c */
Code schema_install(Arena *arena, TableMetadata *m, const IceSchema *schema, Err *err) CHECKED;
/* Are all fields of `written` still readable as fields of the current schema? */
bool schema_covers(const TableMetadata *m, const IceSchema *written);
