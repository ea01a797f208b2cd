/* store.h: objects in buckets: staged, published durably, read verified, listed, followed.
 * Owner:   store_open gives a Store to the caller; results live in the arena that is passed in.
 * Threads: a Store and an ObjectReader: any. A StagedObject: one at a time.
 * Errors:  NOT_FOUND, EXISTS, INVALID, PRECONDITION (a condition of a put or delete), GONE (another
 *          version was asked for), LIMIT, CORRUPT (a checksum differs, damage on disk), NO_SPACE,
 *          IO; after a failed sync everything that writes gives UNAVAILABLE (the drive is fenced);
 *          UNKNOWN_OUTCOME: the bytes are durable or not, the next start shows which.
 * Limits:  the enum below.
 * Units:   bytes; _us: microseconds since 1970 UTC; sequence: number of the change, from 1. */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "os/os.h"

enum {
    STORE_BUCKET_MIN = 3,
    STORE_BUCKET_MAX = 63, /* a-z 0-9 - . ; starts and ends with a letter or digit */
    STORE_KEY_MAX = 1024,  /* opaque bytes, at least one */
    STORE_CONTENT_TYPE_MAX = 256,
    STORE_TAGS_MAX = 64,
    STORE_TAG_KEY_MAX = 128,
    STORE_TAG_VALUE_MAX = 2048,
    STORE_LIST_MAX = 1000,         /* objects and prefixes of one page */
    STORE_FEED_MAX = 10000,        /* changes of one read */
    STORE_PUBLISH_MAX = 10000,     /* puts of one group */
    STORE_INLINE_MAX = 128 * 1024, /* bodies up to this travel in the journal */
    STORE_BLOCK_BYTES = 64 * 1024  /* one CRC32C each */
};
#define STORE_OBJECT_MAX ((uint64_t)1 << 40)

typedef struct Store Store;
typedef struct StagedObject StagedObject;
typedef struct ObjectReader ObjectReader;

/* PROTOCOLS: trust is a property of the object's version. */
typedef enum ObjectTrust { TRUST_UNKNOWN, TRUST_OURS, TRUST_CHECKED, TRUST_REFUSED } ObjectTrust;

typedef struct StoreTag {
    Str key;
    Str value;
} StoreTag;

typedef struct ObjectInfo {
    Str bucket;
    Str key;
    uint64_t size_bytes;
    uint64_t sequence; /* of the put that made this version */
    int64_t modified_us;
    uint8_t sha256[32];
    ObjectTrust trust;
    Str content_type;
    StoreTag *tags;
    size_t tag_count;
} ObjectInfo;

typedef struct StoreOptions {
    const char *backend;    /* "drives" (NULL) or "memory" (nothing survives) */
    const char *index;      /* "rocksdb" (NULL) or "memory" (rebuilt from the journal at start) */
    const char *dir;        /* DIR/store: made when absent; holds journal/, objects/, index/ */
    uint64_t segment_bytes; /* of the journal; 0: JOURNAL_SEGMENT_DEFAULT */
    uint64_t index_cache_bytes; /* 0: 32 MiB */
} StoreOptions;

Code store_open(Os *os, const StoreOptions *options, Store **ret_store, Err *err) CHECKED;
void store_free(Store **store); /* no reader and no staged object may be left */

/* "s3://bucket/key" -> both parts, borrowed; false: not of this form, or a name is not allowed. */
bool store_address_parse(Str address, Str *ret_bucket, Str *ret_key);
bool store_bucket_name_ok(Str bucket);
Code store_bucket_create(Store *store, Str bucket, Err *err) CHECKED; /* EXISTS */
Code store_bucket_delete(Store *store, Str bucket, Err *err) CHECKED; /* CONFLICT: not empty */
Code store_bucket_exists(Store *store, Str bucket, bool *ret_exists, Err *err) CHECKED;
typedef struct StoreBucket {
    Str name;
    int64_t created_us;
} StoreBucket;
Code store_bucket_list(Store *store, Arena *arena, StoreBucket **ret_buckets, size_t *ret_count,
                       Err *err) CHECKED;

/* Staged bytes have an id and no key; what is never published is gone after the next start at the
 * latest. finish makes the bytes durable; only then can they be read and published. */
Code store_stage(Store *store, StagedObject **ret_staged, Err *err) CHECKED;
Code store_stage_write(StagedObject *staged, Str bytes, Err *err) CHECKED;
Code store_stage_finish(StagedObject *staged, Err *err) CHECKED; /* a second time does nothing */
uint64_t store_stage_size(const StagedObject *staged);
const uint8_t *store_stage_sha256(const StagedObject *staged); /* 32 bytes, after finish */
Code store_stage_reader(StagedObject *staged, ObjectReader **ret_reader, Err *err) CHECKED;
void store_stage_abort(StagedObject **staged); /* fit for AUTO; the bytes are removed */

typedef enum StoreCondition { PUT_ALWAYS, PUT_IF_ABSENT, PUT_IF_SEQUENCE } StoreCondition;

typedef struct StorePut {
    StagedObject *take_staged; /* finished; taken only on success */
    Str bucket;
    Str key;
    StoreCondition condition; /* PRECONDITION when it does not hold */
    uint64_t if_sequence;     /* of the version that is replaced */
    Str content_type;
    const StoreTag *tags;
    size_t tag_count;
    ObjectTrust trust;
} StorePut;

/* All or nothing, durable on return, seen by all readers at once. `ret_sequences` is an array of
 * `count`, or NULL. On success every take_staged is NULL; on failure the caller still has them. */
Code store_publish(Store *store, StorePut *puts, size_t count, uint64_t *ret_sequences,
                   Err *err) CHECKED;
/* Bytes in memory in one call; put->take_staged is NULL. `ret_sequence` may be NULL. */
Code store_put(Store *store, const StorePut *put, Str bytes, uint64_t *ret_sequence,
               Err *err) CHECKED;

Code store_head(Store *store, Str bucket, Str key, Arena *arena, ObjectInfo *ret_info,
                Err *err) CHECKED;
/* `sequence` 0: the newest version; another: GONE when that version is not there any more. */
Code store_reader_open(Store *store, Str bucket, Str key, uint64_t sequence,
                       ObjectReader **ret_reader, Err *err) CHECKED;
const ObjectInfo *object_reader_info(const ObjectReader *reader);
/* Every byte was compared with its checksum. `*ret_len` is less than `len` only at the end. */
Code object_pread(ObjectReader *reader, void *bytes, size_t len, uint64_t at, size_t *ret_len,
                  Err *err) CHECKED;
void object_reader_free(ObjectReader **reader);

Code store_delete(Store *store, Str bucket, Str key, Err *err) CHECKED; /* NOT_FOUND */
/* Only this version: PRECONDITION when the newest is another. */
Code store_delete_version(Store *store, Str bucket, Str key, uint64_t sequence, Err *err) CHECKED;
Code store_set_trust(Store *store, Str bucket, Str key, uint64_t sequence, ObjectTrust trust,
                     Err *err) CHECKED;

typedef struct StoreListQuery {
    Str bucket;
    Str prefix;
    Str start_after; /* keys and prefixes greater than this; `next` of the page before */
    Str delimiter;   /* empty: none; keys are folded at its first place behind the prefix */
    size_t limit;    /* 0: STORE_LIST_MAX */
} StoreListQuery;

typedef struct StoreListPage {
    ObjectInfo *objects; /* in byte order of their keys */
    size_t object_count;
    Str *prefixes;
    size_t prefix_count;
    bool truncated;
    Str next; /* start_after of the next page */
} StoreListPage;

Code store_list(Store *store, const StoreListQuery *query, Arena *arena, StoreListPage *ret_page,
                Err *err) CHECKED;

/* The feed: one change a sequence, in order. The change of a version that was replaced since may be
 * missing once its segment was compacted; the newest of each key and every delete stay. */
typedef enum StoreChangeKind {
    CHANGE_PUT = 1,
    CHANGE_DELETE = 2,
    CHANGE_TRUST = 3,
    CHANGE_BUCKET_CREATE = 4,
    CHANGE_BUCKET_DELETE = 5
} StoreChangeKind;

typedef struct StoreChange {
    uint64_t sequence;
    StoreChangeKind kind;
    Str bucket;
    Str key;
    uint64_t size_bytes;
    int64_t time_us;
} StoreChange;

Code store_feed_read(Store *store, uint64_t after, size_t limit, Arena *arena,
                     StoreChange **ret_changes, size_t *ret_count, Err *err) CHECKED;
uint64_t store_sequence(Store *store); /* of the newest change; 0: none yet */

/* Moves live records out of the oldest journal segments while they hold mostly dead bytes, then
 * recycles these. `ret_segments`: how many became free. Safe at any time, for a maintenance job.
 * `stop` is read atomically before each segment: true ends the work early; NULL: never. */
Code store_compact(Store *store, const bool *stop, size_t *ret_segments, Err *err) CHECKED;

typedef struct StoreUsage {
    uint64_t objects;
    uint64_t object_bytes;
    uint64_t journal_bytes; /* in segments */
} StoreUsage;
Code store_usage(Store *store, StoreUsage *ret_usage, Err *err) CHECKED;

/* For doctor: the journal is whole, every object has its bytes, of the right length; with `hashes`
 * every block and SHA-256 too. Findings go to the visitor; E_OK when the walk could be finished. */
typedef struct StoreFinding {
    Code code; /* CORRUPT, NOT_FOUND (bytes are missing), IO */
    Str bucket;
    Str key;
    const char *text;
} StoreFinding;
typedef void StoreFindingVisit(void *arg, const StoreFinding *finding);
typedef struct StoreVerified {
    uint64_t objects;
    uint64_t bytes;
    uint64_t records; /* of the journal */
    uint64_t findings;
} StoreVerified;
Code store_verify(Store *store, bool hashes, StoreFindingVisit *visit, void *arg,
                  StoreVerified *ret_verified, Err *err) CHECKED;
