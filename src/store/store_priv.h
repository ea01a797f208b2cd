/* store_priv.h: what the files of store/ share: records, the two kinds of rows, the commit queue.
 * Owner:   the Store; records point into the arena that they were decoded into.
 * Threads: the Store's `mutex` guards what stands below it.
 * Errors:  as store.h.
 * Limits:  as store.h.
 * Units:   bytes. */
#pragma once

#include "base/cursor.h"
#include "base/vec.h"
#include "format/checksum.h"
#include "os/crash_point.h"
#include "journal/journal.h"
#include "os/thread.h"
#include "store/store_keep.h"
#include "store/upload.h"

#include <stdatomic.h>

/* ---- records (record.c) ---- */

typedef struct BlobId {
    uint8_t bytes[16]; /* random; the first is the fan-out directory */
} BlobId;

typedef enum PlaceKind { PLACE_NONE, PLACE_JOURNAL, PLACE_BLOB, PLACE_PARTS } PlaceKind;

/* Where the bytes are. In a commit record `at` of PLACE_JOURNAL counts the BODY records right
 * before it, from 0; in the index it is the LSN. PLACE_PARTS: a blob a part, in their order. */
typedef struct ObjectRecord {
    ObjectInfo info;
    PlaceKind place;
    uint64_t at;
    BlobId blob;
    BlobId *part_blobs;      /* of PLACE_PARTS: info.part_count of them; NULL when decoded light */
    StoreUploadId upload;    /* that it was completed from; all zero: none */
} ObjectRecord;

typedef enum OpKind {
    OP_PUT = 1,
    OP_DELETE = 2, /* of a version */
    OP_TRUST = 3,
    OP_BUCKET_CREATE = 4,
    OP_BUCKET_DELETE = 5,
    OP_MOVE = 6,   /* a live put again, with its own sequence, out of an old segment */
    OP_MARKER = 7, /* a delete marker */
    OP_TAGS = 8,
    OP_BUCKET_SET = 9, /* the whole bucket, as it is now */
    OP_UPLOAD_CREATE = 10,
    OP_UPLOAD_PART = 11,
    OP_UPLOAD_ABORT = 12,
    OP_PURGE = 13, /* a blob that was trash is gone: its time, size, bucket and version stand in the op */
    OP_TRASH = 14, /* compaction says again that it is trash */
    OP_EXPUNGE = 15, /* a version in the trash goes for good */
    OP_KEPT = 16,    /* compaction says again what is in the trash: the version, with its own sequence and body */
    OP_UNDELETE = 17, /* a put of what is in the trash, which leaves it */
    OP_CHANGE = 18 /* compaction says again what the feed says: whose other record goes and who is not read by all */
} OpKind;

/* What a put or a marker takes away. */
typedef enum ReplaceKind { REPLACE_OLDER, REPLACE_NOTHING, REPLACE_NULL } ReplaceKind;

/* One change. Sequence, time, bucket and key stand in record.info for every kind. */
typedef struct CommitOp {
    OpKind kind;
    ObjectRecord record;
    ReplaceKind replace;  /* of OP_PUT, OP_MOVE and OP_MARKER; the leader sets it */
    uint64_t of_sequence; /* OP_TRUST, _TAGS, _DELETE, _EXPUNGE, _UNDELETE: the version; 0 in OP_DELETE: any */
    int64_t trashed_us;   /* OP_KEPT: the time of the change that took it away */
    StoreBucket bucket;   /* OP_BUCKET_CREATE, OP_BUCKET_SET: all but name and counts */
    StorePart part;       /* OP_UPLOAD_PART; its bytes in record.blob, unless it has none */
    StoreChangeKind change; /* OP_CHANGE */
    bool again;           /* compaction repeats an old delete or bucket: no condition, no number */
    /* Not on disk: */
    StoreCondition condition;
    uint64_t if_sequence;
    bool of_key;      /* OP_DELETE as the bucket's versioning says */
    bool existed;     /* OP_DELETE: something was there */
    uint64_t old_lsn; /* OP_MOVE, OP_KEPT: skipped when the version is not there any more */
    const StoreComplete *complete; /* OP_PUT of an upload: the leader makes the record */
    const StoreProperty *property; /* OP_BUCKET_SET: what changes; NULL: the versioning */
    Str body;
    bool md5_wanted; /* of `body`: the leader makes it */
    const uint8_t *sha256_wanted; /* the same, and refuses the change where it is another; NULL: not asked for */
    bool skip;
} CommitOp;

typedef struct Commit {
    uint64_t next_sequence; /* after it */
    size_t body_count;
    CommitOp *ops;
    size_t op_count;
} Commit;

enum { RECORD_COMMIT = JOURNAL_TYPE_USER, RECORD_BODY, RECORD_VERSION = 2 };
/* A commit record is of the least version that knows its changes: an older tarn reads what it can, refuses the rest. */
enum { COMMIT_VERSION_LEAST = 2, COMMIT_VERSION_TRASH = 3, COMMIT_VERSION = 4 };

void commit_encode(Buf *buf, const Commit *commit);
uint64_t op_bytes_encoded(const CommitOp *op); /* what it takes in a commit record */
Code commit_decode(Str bytes, Arena *arena, Commit *ret_commit, Err *err) CHECKED;
void object_encode(Buf *buf, const ObjectRecord *record);
/* No names. `light`: without its parts. */
Code object_decode(Str bytes, bool light, Arena *arena, ObjectRecord *ret_record,
                   Err *err) CHECKED;
void bucket_encode(Buf *buf, const StoreBucket *bucket);
Code bucket_decode(Str bytes, Arena *arena, StoreBucket *ret_bucket, Err *err) CHECKED;

/* ---- the index: ordered bytes to bytes ---- */

typedef struct Index Index;
typedef struct IndexCursor IndexCursor;

typedef struct IndexWrite {
    bool remove;
    Str key;
    Str value;
} IndexWrite;

typedef struct IndexOps {
    const char *name;
    bool persistent;
    /* `fresh`: what is there is of no use and is removed first. */
    Code (*open)(Os *os, const char *dir, uint64_t cache_bytes, bool fresh, Index **ret_index,
                 Err *err);
    void (*close)(Index *index);
    Code (*flush)(Index *index, Err *err); /* all that was applied survives a crash */
    Code (*verify)(Index *index, Err *err); /* reads all that is on the drive, past every cache; NULL: nothing is */
    Code (*apply)(Index *index, const IndexWrite *writes, size_t count,
                  Err *err); /* all or nothing */
    /* A cursor sees one moment; its thread applies nothing while it has one. */
    Code (*cursor_open)(Index *index, bool now, IndexCursor **ret_cursor,
                        Err *err); /* now: what would wait for the drive is UNAVAILABLE */
    void (*cursor_close)(IndexCursor *cursor);
    /* To the first key >= `key`; key and value are borrowed until the next call. */
    Code (*cursor_seek)(IndexCursor *cursor, Str key, bool *ret_there, Err *err);
    Code (*cursor_next)(IndexCursor *cursor, bool *ret_there, Err *err);
    Str (*cursor_key)(IndexCursor *cursor);
    Str (*cursor_value)(IndexCursor *cursor);
} IndexOps;

extern const IndexOps index_memory;
extern const IndexOps index_rocksdb;

enum { INDEX_VERSION = 10 }; /* of keys and values; stands in the state */

enum { ROW_BYTES = 512 }; /* that most rows and records of one change take: room for them from the first byte on */

/* Keys (keys.c); each is put behind what is in the Buf. */
/* The longest is that of an upload: its bucket and key, of which each byte may take two, its id, and 4 bytes between
 * them; one more, to seek just behind it. */
enum { INDEX_KEY_MAX = 2 * STORE_KEY_MAX + STORE_BUCKET_MAX + STORE_UPLOAD_ID_LEN + 5 };
void key_state(Buf *buf);
void key_bucket(Buf *buf, Str bucket);
void key_bucket_objects(Buf *buf, Str bucket);     /* of all objects of the bucket */
void key_prefix(Buf *buf, Str bucket, Str prefix); /* of all keys that start so */
void key_object(Buf *buf, Str bucket, Str key);    /* of all versions of it */
Str key_all_versions(Str index_key);               /* the same, of the row of one of them */
void key_version(Buf *buf, Str bucket, Str key, uint64_t sequence);
void key_trashed(Buf *buf, Str bucket, Str key, uint64_t sequence);
void key_null(Buf *buf, Str bucket, Str key); /* of its null version, when newer ones hide it */
void key_change(Buf *buf, uint64_t sequence);
void key_blob(Buf *buf, const BlobId *blob);
void key_usage(Buf *buf, Str bucket);
void key_bucket_uploads(Buf *buf, Str bucket);
void key_upload_prefix(Buf *buf, Str bucket, Str prefix); /* of all keys that start so */
void key_upload(Buf *buf, Str bucket, Str key, const StoreUploadId *id);
void key_parts(Buf *buf, const StoreUploadId *id);
void key_part(Buf *buf, const StoreUploadId *id, uint32_t number);
/* The object key and id of an index key of key_upload's form. */
Code key_upload_parse(Str index_key, Arena *arena, Str *ret_key, StoreUploadId *ret_id,
                      Err *err) CHECKED;
/* The object key of an index key of key_version's or key_trashed's form. */
Code key_object_parse(Str index_key, Arena *arena, Str *ret_bucket, Str *ret_key,
                      uint64_t *ret_sequence, Err *err) CHECKED;

/* ---- the backend: where records and large bodies are ---- */

typedef struct Backend Backend;
typedef struct Blob Blob; /* one large body, being written or read */

typedef Code BlobVisit(void *arg, const BlobId *blob, Err *err);

typedef struct BackendOps {
    const char *name;
    bool durable;
    Code (*open)(Os *os, const StoreOptions *options, uint64_t replay_from, JournalVisit *visit,
                 void *arg, bool *ret_clean, uint64_t *ret_segment_bytes, Backend **ret_backend,
                 Err *err); /* the size of segments is there before the first visit; 0: no journal */
    void (*close)(Backend *backend, bool clean);
    Code (*append)(Backend *backend, JournalRecord *records, size_t count, Err *err);
    Code (*body_read)(Backend *backend, uint64_t lsn, size_t len, bool now, Buf *buf,
                      Err *err); /* now: UNAVAILABLE where it would wait for the drive */
    Code (*blob_create)(Backend *backend, BlobId *ret_id, Blob **ret_blob, Err *err);
    Code (*blob_write)(Blob *blob, Str bytes, Err *err);
    Code (*blob_finish)(Blob *blob, Err *err); /* the bytes are synced; then it can be read */
    Code (*blob_names_sync)(Backend *backend, const BlobId *ids, size_t count, Err *err);
    Code (*blob_open)(Backend *backend, const BlobId *id, uint64_t size_bytes, Blob **ret_blob,
                      Err *err);
    Code (*blob_pread)(Blob *blob, void *bytes, size_t len, uint64_t at,
                       Err *err); /* within size */
    /* As object_in_file, of a blob that is read; NULL: it has no files. */
    size_t (*blob_in_file)(Blob *blob, uint64_t at, size_t len, char *room, size_t room_len, int *ret_fd);
    void (*blob_cool)(Backend *backend, const BlobId *id); /* it leaves the page cache; NULL: there is none */
    void (*blob_close)(Blob *blob);
    Code (*blob_remove)(Backend *backend, const BlobId *id, Err *err);
    Code (*blob_list)(Backend *backend, BlobVisit *visit, void *arg, Err *err);
    Journal *(*journal)(Backend *backend); /* NULL: the backend has none */
} BackendOps;

extern const BackendOps backend_drives;
extern const BackendOps backend_memory;

/* ---- the plan of a group: what changes in the index (plan.c) ---- */

typedef struct VersionState {
    bool was, is; /* there before the group; there now */
    int64_t removed_us; /* the time of the change that took it away */
    bool dirty;
    uint64_t sequence;
    ObjectRecord before, now;
    const CommitOp *put; /* of this group, when it made `now`: knows the LSN after the append */
    const struct KeyState *key;
    struct VersionState *next;      /* of the key */
    struct VersionState *next_slot; /* of Plan.versions */
} VersionState;

typedef struct KeyState {
    Str bucket, key;
    VersionState *versions; /* those that were looked at or made */
    bool all_known;         /* no row of the index is unlooked at */
    const void *request;    /* the last that touched it, to refuse one key twice */
    struct KeyState *next;
} KeyState;

typedef struct BucketState {
    StoreBucket before, now;
    bool was, is;
    bool dirty;
    struct BucketState *next;
} BucketState;

typedef struct PartState {
    uint32_t number;
    bool was, is, dirty;
    StorePart part; /* now */
    BlobId blob;
    struct PartState *next;
} PartState;

typedef struct UploadState {
    Str bucket, key;
    StoreUploadId id;
    bool was, is, dirty;
    ObjectRecord record;
    PartState *parts; /* those that were looked at */
    bool all_known;
    struct UploadState *next;
} UploadState;

typedef struct TrashState {
    BlobId blob;
    bool is; /* trash, behind this plan */
    struct TrashState *next;
} TrashState;

typedef struct Trashed { /* a version in the trash */
    Str bucket, key;
    uint64_t sequence;
    bool was, is, dirty;
    bool unnamed; /* its blobs have no rows yet */
    bool goes;    /* for good, not back to its key */
    int64_t time_us; /* of the change that took it away */
    ObjectRecord before, now;
    const CommitOp *put; /* of this group, when it made `now`: knows the LSN after the append */
    struct Trashed *next;
} Trashed;

typedef struct UsageDelta { /* of a bucket, wrapping where it shrinks */
    Str bucket;
    uint64_t versions, bytes, objects, trash_bytes, uploads;
    bool looked_up; /* `before` is its row in the index */
    StoreBucket before;
    struct UsageDelta *next;
} UsageDelta;

enum { PLAN_SLOTS = 256, TRASH_SLOTS = 128, COOL_MAX = 16 };
typedef struct Plan {
    Arena arena;
    KeyState *slots[PLAN_SLOTS];
    VersionState *versions[PLAN_SLOTS]; /* all of them, by sequence */
    BucketState *buckets;
    UploadState *uploads;
    struct SegmentDelta *segments;
    TrashState *trash[TRASH_SLOTS]; /* what goes into and out of it, by blob */
    Trashed *trashed[TRASH_SLOTS]; /* by sequence */
    UsageDelta *usage;
    BlobId cool[COOL_MAX]; /* some of those that became trash */
    size_t cool_count;
    uint64_t trashed_bytes, trashed_count; /* more trash than before, wrapping where it shrinks */
    Vec(IndexWrite) writes; /* of the feed */
    uint64_t looks;         /* at known parts and at rows of one key: what a client's counts could make grow */
} Plan;

void plan_done(Plan *plan);
Code plan_key(Plan *plan, Store *store, Str bucket, Str key, KeyState **ret_state,
              Err *err) CHECKED;
/* NULL: there is none. A delete marker is a version too. */
Code plan_newest(Plan *plan, Store *store, KeyState *state, VersionState **ret_version,
                 Err *err) CHECKED;
Code plan_null(Plan *plan, Store *store, KeyState *state, VersionState **ret_version,
               Err *err) CHECKED;
/* Never NULL: `is` says whether it is there. */
Code plan_version(Plan *plan, Store *store, KeyState *state, uint64_t sequence,
                  VersionState **ret_version, Err *err) CHECKED;
Code plan_bucket(Plan *plan, Store *store, Str bucket, BucketState **ret_state, Err *err) CHECKED;
/* upload.c: their part of the plan. */
Code plan_upload(Plan *plan, Store *store, const CommitOp *op, UploadState **ret_state,
                 Err *err) CHECKED;
/* Loads what plan_upload_op looks at, judges, and makes the record of a completion. */
Code upload_check(Plan *plan, Store *store, CommitOp *op, Err *err) CHECKED;
Code plan_upload_op(Plan *plan, Store *store, const CommitOp *op, Err *err) CHECKED;
void upload_writes(Plan *plan, Buf *key);
Str plan_text(Plan *plan, Buf *buf); /* a copy that lives as long as the plan */
void plan_write_remove(Plan *plan, Buf *key);
void plan_write_put(Plan *plan, Buf *key, Str value);
/* trash.c: large bytes that became trash leave the page cache to those that come: noted by the leader, done
 * by whoever published next. */
void cool_add(Plan *plan, const ObjectRecord *record);
void cool_note(Store *store, const Plan *plan);
void cool_do(Store *store);
bool blob_is_none(const BlobId *blob); /* of a part without bytes */
bool upload_is_none(const StoreUploadId *id);
/* record.c */
void part_encode(Buf *buf, const StorePart *part, const BlobId *blob);
Code part_decode(Str bytes, StorePart *ret_part, BlobId *ret_blob, Err *err) CHECKED;

/* Changes the states and adds to the feed; conditions were checked before. */
Code plan_op(Plan *plan, Store *store, const CommitOp *op, Err *err) CHECKED;
/* Writes it all with the state of the store in one batch. */
Code plan_apply(Plan *plan, Store *store, uint64_t applied_lsn, uint64_t next_sequence,
                Err *err) CHECKED;
size_t blob_count(const ObjectRecord *record);
const BlobId *blob_at(const ObjectRecord *record, size_t i);

/* ---- what lives in the segments (segments.c) ---- */

typedef struct SegmentLive {
    uint64_t id;
    uint64_t bytes;
} SegmentLive;
typedef struct SegmentDelta { /* wrapping where it shrinks */
    uint64_t id, bytes;
    struct SegmentDelta *next;
} SegmentDelta;

Code segments_load(Store *store, Err *err) CHECKED;
void segments_note(Plan *plan, const Store *store, const KeyState *state, const VersionState *version);
void segments_count(Plan *plan, const Store *store, const ObjectRecord *record, size_t key_len, bool more);
void segments_writes(Plan *plan, const Store *store, Buf *key);
void segments_applied(const Plan *plan, Store *store); /* the mutex is held */
uint64_t segments_live(Store *store); /* in all of them */
/* Behind the last of the segments from `first` on that are worth compacting: together they hold at most so
 * much that lives. `first` itself: none. */
uint64_t segments_worth(Store *store, uint64_t first, uint64_t end, unsigned percent);

/* ---- the trash (trash.c, trashed.c, purge.c, undelete.c) ---- */

typedef struct TrashItem {
    BlobId blob;
    int64_t time_us;      /* of the change that took its last name */
    uint64_t of_sequence; /* the version that named it; 0: an upload */
    uint64_t size_bytes;
    Str bucket;
} TrashItem;

/* Files that stay while they are read. */
typedef struct Pin {
    uint64_t id;
    struct Pin *next;
} Pin;
enum { PIN_SLOTS = 256 };

void trash_add(Plan *plan, const TrashItem *item);
Code trash_row_read(Str key, Str value, Arena *arena, TrashItem *ret_item, Err *err) CHECKED;
Code trash_check(Plan *plan, Store *store, CommitOp *op, Err *err) CHECKED;
Code trash_op(Plan *plan, Store *store, const CommitOp *op, Err *err) CHECKED;
Code trash_find(Store *store, const BlobId *blob, Arena *arena, TrashItem *ret_item, bool *ret_found,
                Err *err) CHECKED;
Code trash_purge(Store *store, int64_t until_us, bool (*enough)(Store *store), const bool *stop,
                 StorePurged *ret_purged, Err *err) CHECKED;
Code trashed_decode(Str value, bool light, Arena *arena, int64_t *ret_time_us, ObjectRecord *ret_record,
                    Err *err) CHECKED;
Code trashed_lookup(Store *store, Str bucket, Str key, uint64_t sequence, Arena *arena, ObjectRecord *ret_record,
                    int64_t *ret_time_us, bool *ret_found, Err *err) CHECKED;
/* Never NULL: `is` says whether it is trash. */
Code trashed_load(Plan *plan, Store *store, Str bucket, Str key, uint64_t sequence, Trashed **ret_state,
                  Err *err) CHECKED;
void trashed_add(Plan *plan, const Store *store, const KeyState *key, const VersionState *version);
Code trashed_check(Plan *plan, Store *store, CommitOp *op, Err *err) CHECKED;
Code trashed_op(Plan *plan, Store *store, const CommitOp *op, Err *err) CHECKED;
Code trashed_split(Plan *plan, Store *store, const TrashItem *item, Err *err) CHECKED;
void trashed_writes(Plan *plan, const Store *store, Buf *key);
Code undelete_check(Plan *plan, Store *store, KeyState *key, const BucketState *bucket, CommitOp *op,
                    Err *err) CHECKED;
uint64_t pin_of(const ObjectRecord *record);
void pin_add(Store *store, Pin *pin, uint64_t id);
void pin_remove(Store *store, Pin *pin); /* does nothing when it was not added */

/* ---- the feed (feed.c) ---- */

typedef struct FeedWaiter FeedWaiter;
struct FeedWaiter {
    Cond moved; /* the newest sequence is above `after`, or whoever waits shall look at its `stop` */
    uint64_t after;
    FeedWaiter *next;
};

typedef struct Feed {
    FeedWaiter *waiters; /* each on the stack of its thread */
    bool held;         /* somebody reads it and gives back what was read */
    uint64_t floor;    /* given back */
    uint64_t trimmed;  /* removed, at the latest with the group at hand */
    uint64_t trimming; /* the leader's: the same */
    uint64_t journal_max; /* set once: bytes of the journal that compaction leaves for readers */
    uint64_t journal_waits; /* that it leaves now */
    uint64_t again_each;    /* bytes of a change that is said again, as compaction found them last; 0: not yet */
} Feed;

void feed_put(Plan *plan, const Store *store, const CommitOp *op, StoreChangeKind kind);
Code feed_load(Store *store, Err *err) CHECKED;
/* A part of what was given back is removed with the group at hand. */
Code feed_writes(Plan *plan, Store *store, Buf *key, Err *err) CHECKED;
void feed_moved(Store *store); /* the mutex is held, the group applied */
bool feed_unread(Store *store, uint64_t sequence); /* its record has to stay */
bool feed_gave_back(Store *store, uint64_t sequence); /* nobody can ask for this change any more */
/* Whether compaction leaves the `bytes` of the journal that it could give back, for readers that are behind. */
bool feed_waits(Store *store, uint64_t bytes);
void feed_waits_none(Store *store);
void feed_again_took(Store *store, uint64_t changes, uint64_t bytes); /* to say them again */
/* An OP_CHANGE of this change, when somebody may still read it; its texts live in the arena. */
Code feed_again(Store *store, uint64_t sequence, Arena *arena, CommitOp *ret_op, bool *ret_any, Err *err) CHECKED;

/* ---- the store ---- */

typedef struct Request {
    CommitOp *ops;
    size_t count;
    struct Request *next;
    bool done;
    Code code;
    Err *err;
    /* Called in place of setting `done`, without the mutex, by whoever led the group; it is the
     * leader's last touch of the request. NULL: somebody waits in store_commit. */
    void (*over)(struct Request *request);
} Request;

bool sha256_differs(const CommitOp *op); /* from what it has to be */

/* Rows of buckets, by name: each request asks for one. Emptied when any of them changes. */
enum { BUCKET_CACHE_MAX = 64, BUCKET_CACHE_ROW_MAX = 16 << 10 };
typedef struct BucketCache {
    Mutex mutex;
    Arena arena;
    uint64_t changes;
    size_t count;
    struct {
        Str name, row;
    } rows[BUCKET_CACHE_MAX];
} BucketCache;

/* ---- the governor of space (space.c) ---- */

typedef struct Space {
    char *dir; /* NULL: no file system */
    unsigned percent[SPACE_LEVELS - 1];
    uint64_t reserve_bytes;
    atomic_int level;
    atomic_int_fast64_t next_look_us;
    atomic_int_fast64_t until_look; /* bytes that may be written before the next look */
    atomic_uint_fast64_t refused;
    Mutex mutex; /* guards what follows */
    bool reserve_held;
    uint64_t free_bytes, total_bytes;
} Space;

void space_init(Space *space);
Code space_open(Store *store, const StoreOptions *options, Err *err) CHECKED;
void space_done(Space *space);
Code space_admit(Store *store, uint64_t bytes, Err *err) CHECKED; /* NO_SPACE */
bool space_reserve_use(Store *store); /* gives the reserve up; false: it is gone already */
void space_press(Store *store);       /* under pressure the trash goes now; nobody waits for it */
/* For maintenance, `compacting` held: the trash under pressure, the reserve again. */
Code space_keep(Store *store, const bool *stop, StorePurged *ret_purged, Err *err) CHECKED;
bool space_is_full(Store *store); /* as it was looked at last */
unsigned space_live_percent_max(Store *store); /* a segment with more that lives stays */

/* ---- holds (hold.c) ---- */

typedef struct Holds {
    Mutex mutex; /* guards what follows */
    struct {
        uint64_t id; /* 0: free */
        int64_t until_us; /* monotonic */
    } rows[STORE_HOLDS_MAX];
} Holds;

struct Store {
    Space space;
    Holds holds;
    BucketCache buckets;
    Os *os;
    const BackendOps *backend_ops;
    Backend *backend;
    const IndexOps *index_ops;
    Index *index;
    char *dir; /* NULL: in memory */
    atomic_bool index_bad;
    atomic_uint staged; /* not yet published or aborted */
    StoreRemade remade;
    int64_t trash_us; /* how long bytes stay in the trash */
    int64_t opened_us, opened_monotonic_us; /* both clocks as the store was opened */
    Mutex compacting; /* one compaction or purge at a time */
    Mutex pins_mutex;
    Pin *pins[PIN_SLOTS];
    Mutex mutex;
    Cond changed;
    Request *queue_first, *queue_last;
    unsigned waiting;  /* threads in store_commit */
    Thread committer;  /* leads for those who do not wait; not on a simulated machine */
    Cond asked;        /* for the committer: the queue is not empty, or `ending` */
    bool ending;
    bool leading; /* its setter owns the backend's append and the index's apply */
    bool broken;  /* the index could not follow the journal */
    uint64_t next_sequence;
    uint64_t applied_lsn;
    StoreUsage usage;
    uint64_t segment_bytes;  /* set once */
    Vec(SegmentLive) live;
    Feed feed;
    StoreCommitStats commit_stats;
    BlobId cool[COOL_MAX]; /* that became trash and are in the page cache still; more are forgotten */
    size_t cool_count;
    bool orphans;    /* a blob could not be removed: the next start sweeps */
    uint64_t looks;  /* of all plans; tests bound it */
};

/* usage.c */
UsageDelta *usage_of(Plan *plan, Str bucket);
void usage_add_version(Plan *plan, Str bucket, const VersionState *version);
Code usage_add_key(Plan *plan, Store *store, KeyState *state, Err *err) CHECKED;
Code usage_writes(Plan *plan, Store *store, StoreUsage *usage, Buf *key, Err *err) CHECKED;
Code usage_lookup(Store *store, Str bucket, StoreBucket *ret_bucket, Err *err) CHECKED; /* its counts */
/* commit_stats.c */
void commit_stats_add(Store *store, size_t requests, uint64_t bytes, int64_t took_us);
uint64_t pairs_bytes(const StoreTag *pairs, size_t count); /* commit.c: in a record, no less than they take */
/* commit.c: waits until the request is durable and seen, or failed. */
Code store_commit(Store *store, CommitOp *ops, size_t count, Err *err) CHECKED;

/* The same without waiting: `request->over` tells. */
void store_commit_later(Store *store, Request *request);
/* A group of the queue, which is not empty and has no leader; the mutex is held. */
void store_lead(Store *store);

/* later.c */
Code committer_start(Store *store, Err *err) CHECKED;
void committer_stop(Store *store);

/* crash_points.c */
typedef enum CrashStage { CRASH_CHECKED, CRASH_APPENDED, CRASH_APPLIED, CRASH_STAGES } CrashStage;
void crash_point_of(const CommitOp *op, CrashStage stage);

/* store.c: what the journal alone says, in an index of its own; nothing but its rows is of use. */
Code store_shadow_open(Store *store, Store **ret_shadow, Err *err) CHECKED;
void store_shadow_close(Store *store, Store **shadow);

/* remake.c: opens it, or moves it aside for a new one that the replay fills. */
Code index_open(Store *store, const StoreOptions *options, Err *err) CHECKED;
Code index_renew(Store *store, const StoreOptions *options, Err *err) CHECKED; /* nothing of it is of use */
void index_damaged(Store *store, const Err *err); /* a read has found that; the next start makes it again */
void index_old_remove(Store *store);
Code index_shadow_path(const Store *store, char path[OS_PATH_MAX], Err *err) CHECKED;
void index_shadow_remove(Store *store);

/* lookup.c */
typedef struct Cursor { /* fit for AUTO(cursor_done) */
    Store *store;
    const IndexOps *ops;
    IndexCursor *inner;
    bool there;
} Cursor;
Code cursor_init(Cursor *cursor, Store *store, Err *err) CHECKED;
Code cursor_init_now(Cursor *cursor, Store *store, Err *err) CHECKED; /* never waits for the drive: UNAVAILABLE */
void cursor_done(Cursor *cursor);
Code cursor_seek(Cursor *cursor, Str key, Err *err) CHECKED;
Code cursor_next(Cursor *cursor, Err *err) CHECKED;
Str cursor_key(const Cursor *cursor);
Str cursor_value(const Cursor *cursor);
/* The newest version, a delete marker too, or `*ret_found` false. */
Code store_lookup(Store *store, Str bucket, Str key, Arena *arena, ObjectRecord *ret_record,
                  bool *ret_found, Err *err) CHECKED;
/* `sequence` as store_head_version has it. */
Code store_lookup_version(Store *store, Str bucket, Str key, uint64_t sequence, Arena *arena,
                          ObjectRecord *ret_record, bool *ret_found, Err *err) CHECKED;
/* The newest version; UNAVAILABLE where that would wait for the drive. */
Code store_lookup_now(Store *store, Str bucket, Str key, Arena *arena, ObjectRecord *ret_record, bool *ret_found,
                      Err *err) CHECKED;
/* As store_lookup, by a cursor of the caller's: opening one costs as much as the look. */
Code store_lookup_at(Cursor *cursor, Str bucket, Str key, Arena *arena, ObjectRecord *ret_record, bool *ret_found,
                     Err *err) CHECKED;
/* plan.c: has plan_key find the key without a cursor of its own. */
Code plan_key_at(Plan *plan, Cursor *cursor, Str bucket, Str key, Err *err) CHECKED;
Code usage_look(Plan *plan, Cursor *cursor, Str bucket, Err *err) CHECKED; /* usage.c: the same of its counts */
/* Without its counts. */
Code store_bucket_lookup(Store *store, Str bucket, Arena *arena, StoreBucket *ret_bucket,
                         bool *ret_found, Err *err) CHECKED;
/* Sequence of the key's null version, when newer ones hide it; 0: none. */
Code null_lookup(Store *store, Str bucket, Str key, uint64_t *ret_sequence, Err *err) CHECKED;
void bucket_cache_drop(Store *store); /* a row of a bucket was written */
Code key_check(Str bucket, Str key, Err *err) CHECKED; /* INVALID */
/* stage.c */
Code fields_check(const StorePut *put, Err *err) CHECKED;
/* Size and blob of a finished staged part. */
Code staged_part(const Store *store, const StagedObject *staged, StorePart *part, BlobId *ret_blob,
                 Err *err) CHECKED;
Code op_of_staged(Store *store, const StorePut *put, CommitOp *op, Err *err) CHECKED;
void staged_after_commit(StagedObject **staged, Code code); /* frees it when it was taken */
/* list.c: the part of a key, with the delimiter, that stands for all that share it; empty: it stands for itself. */
Str key_folded(Str key, Str prefix, Str delimiter);
void seek_behind(Buf *seek); /* list.c: the successor of all keys that start so */
Code tags_check(const StoreTag *tags, size_t count, Err *err) CHECKED;
Code no_such_key(Str bucket, Str key, Err *err);       /* sets NOT_FOUND */

/* read.c: a reader of these bytes; `body` is of PLACE_JOURNAL. */
Code reader_new(Store *store, const ObjectRecord *record, Str body, ObjectReader **ret_reader,
                Err *err) CHECKED;
