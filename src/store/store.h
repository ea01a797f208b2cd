/* store.h: objects in buckets: staged, published durably, read verified, listed, followed.
 * Owner:   store_open gives a Store to the caller; results live in the arena that is passed in.
 * Threads: a Store and an ObjectReader: any. A StagedObject: one at a time.
 * Errors:  NOT_FOUND, EXISTS, INVALID, PRECONDITION (a condition of a put or delete), GONE (another
 *          version was asked for), LIMIT, CORRUPT (a checksum differs, damage on disk), NO_SPACE,
 *          IO; after a failed sync everything that writes gives UNAVAILABLE (the drive is fenced);
 *          UNKNOWN_OUTCOME: the bytes are durable or not, the next start shows which.
 * Limits:  those of object.h.
 * Units:   bytes; _us: microseconds since 1970 UTC; sequence: number of the change, from 1. */
#pragma once

#include "base/err.h"
#include "os/os.h"
#include "store/object.h"

typedef struct Store Store;
typedef struct StagedObject StagedObject;
typedef struct ObjectReader ObjectReader;

/* Hexadecimal, without quotes, "-N" behind it for N parts. */
Str object_etag(Arena *arena, const ObjectInfo *info);
/* How doors call the version: 24 hexadecimal digits that sort by age; the last 8 tell typos. */
Str object_version(Arena *arena, uint64_t sequence);

typedef struct StoreOptions {
    const char *backend;    /* "drives" (NULL) or "memory" (nothing survives) */
    const char *index;      /* "rocksdb" (NULL) or "memory" (rebuilt from the journal at start) */
    const char *dir;        /* DIR/store: made when absent; holds journal/, objects/, index/ */
    uint64_t segment_bytes; /* of the journal; 0: JOURNAL_SEGMENT_DEFAULT */
    uint64_t index_cache_bytes; /* 0: 32 MiB */
    uint64_t reserve_bytes;     /* kept for what frees space; 0: two segments and 32 MiB for the index */
    unsigned space_percent[3]; /* of the file system: where alarm, no background work, no writes begin; 0: 85 90 95 */
    uint64_t feed_journal_bytes; /* of the journal wait for readers of the feed before compaction; 0: 1 GiB */
    int64_t trash_seconds; /* deleted and replaced bytes stay so long; 0: an hour; below 0: not at all */
} StoreOptions;

Code store_open(Os *os, const StoreOptions *options, Store **ret_store, Err *err) CHECKED;
void store_free(Store **store); /* no reader and no staged object may be left */

/* "s3://bucket/key" -> both parts, borrowed; false: not of this form, or a name is not allowed. */
bool store_address_parse(Str address, Str *ret_bucket, Str *ret_key);
bool store_bucket_name_ok(Str bucket);
Code store_bucket_create(Store *store, Str bucket, Err *err) CHECKED; /* EXISTS */
Code store_bucket_create_owned(Store *store, Str bucket, Str owner, Err *err) CHECKED;
Code store_bucket_get(Store *store, Str bucket, Arena *arena, StoreBucket *ret_bucket,
                      Err *err) CHECKED; /* NOT_FOUND */
/* Once counted, versions are suspended, not forgotten: INVALID for VERSIONING_NEVER. */
Code store_bucket_set_versioning(Store *store, Str bucket, StoreVersioning versioning,
                                 Err *err) CHECKED;
/* A value without a pointer removes it; removing what is not there is fine. */
Code store_bucket_set_property(Store *store, Str bucket, Str name, Str value, Err *err) CHECKED;
Code store_bucket_delete(Store *store, Str bucket, Err *err) CHECKED; /* CONFLICT: not empty */
/* As store_bucket_get, without its counts: what each request asks. NOT_FOUND. */
Code store_bucket_find(Store *store, Str bucket, Arena *arena, StoreBucket *ret_bucket, Err *err) CHECKED;
bool store_bucket_known(Store *store, Str bucket); /* it is remembered: store_bucket_find reads nothing */
Code store_bucket_exists(Store *store, Str bucket, bool *ret_exists, Err *err) CHECKED;
Code store_bucket_list(Store *store, Arena *arena, StoreBucket **ret_buckets, size_t *ret_count,
                       Err *err) CHECKED;

/* Staged bytes have an id and no key; what is never published is gone after the next start at the
 * latest. finish makes the bytes durable; only then can they be read and published. */
Code store_stage(Store *store, StagedObject **ret_staged, Err *err) CHECKED;
Code store_stage_write(StagedObject *staged, Str bytes, Err *err) CHECKED;
/* As the write of the first bytes, where they stay as they are until the object is published or aborted: those of a
 * small object are not copied. */
Code store_stage_lend(StagedObject *staged, Str bytes, Err *err) CHECKED;
Code store_stage_finish(StagedObject *staged, Err *err) CHECKED; /* a second time does nothing */
bool store_stage_small(const StagedObject *staged); /* no larger than its journal record takes */
uint64_t store_stage_size(const StagedObject *staged);
/* Before its bytes: so many will come, so that a large object is not held in memory first. */
void store_stage_expect(StagedObject *staged, uint64_t bytes);
void store_stage_from_reserve(StagedObject *staged); /* before its bytes: not refused on a full disk */
/* Before its bytes: each write feeds this MD5 too, which is the caller's and outlives the writes. */
void store_stage_md5(StagedObject *staged, Digest *md5);
void store_stage_unhashed(StagedObject *staged); /* before its bytes: no SHA-256 is taken of them */
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
    const StoreTag *meta;
    size_t meta_count;
    Str owner;
    const uint8_t *md5; /* 16 bytes; NULL: not known */
    DigestValue checksum; /* DIGEST_NONE: none */
    bool from_reserve;    /* it frees space or is needed to: not refused on a full disk */
} StorePut;

/* All or nothing, durable on return, seen by all readers at once. `ret_sequences` is an array of
 * `count`, or NULL. On success every take_staged is NULL; on failure the caller still has them. */
Code store_publish(Store *store, StorePut *puts, size_t count, uint64_t *ret_sequences,
                   Err *err) CHECKED;
/* One put on its way. */
typedef struct StorePublication {
    StorePut put;
    void (*done)(struct StorePublication *publication); /* once, on a thread of the store; must not wait */
    void *arg;
    bool md5_wanted; /* in place of put.md5: made with those of the others in its group */
    uint8_t md5[16]; /* then, when it was published */
    /* What the SHA-256 of the bytes has to be, of an object that was staged unhashed: made with those of its group.
     * Where it is another, the put is refused with INVALID, and `sha256` says which. NULL: nothing is compared. */
    const uint8_t *sha256_wanted;
    bool sha256_differs;
    uint8_t sha256[32];
    Code code; /* set before `done`, with `err` or `sequence` */
    Err err;
    uint64_t sequence;
} StorePublication;

/* Whether many SHA-256 at once are worth waiting for on this machine. */
bool store_publish_later_hashes(void);
/* As store_publish of one small object (store_stage_small), without waiting. Unless it fails at
 * once the publication, the arena and what `put` points to are the store's until `done`. */
Code store_publish_later(Store *store, StorePublication *publication, Arena *arena, Err *err) CHECKED;

/* Bytes in memory in one call; put->take_staged is NULL. `ret_sequence` may be NULL. */
Code store_put(Store *store, const StorePut *put, Str bytes, uint64_t *ret_sequence,
               Err *err) CHECKED;

Code store_head(Store *store, Str bucket, Str key, Arena *arena, ObjectInfo *ret_info,
                Err *err) CHECKED;
/* A version by its number, STORE_VERSION_NULL for the null version, 0 for the newest; a delete marker
 * is given too, with `delete_marker` set. NOT_FOUND: no such version. */
#define STORE_VERSION_NULL UINT64_MAX
Code store_head_version(Store *store, Str bucket, Str key, uint64_t sequence, Arena *arena,
                        ObjectInfo *ret_info, Err *err) CHECKED;
/* `sequence` 0: the newest version; another: GONE when that version is not there any more. */
Code store_reader_open(Store *store, Str bucket, Str key, uint64_t sequence,
                       ObjectReader **ret_reader, Err *err) CHECKED;
/* The newest version of a small object, without waiting for the drive: any error says no more than that
 * store_reader_open has to be asked. */
Code store_reader_open_now(Store *store, Str bucket, Str key, ObjectReader **ret_reader, Err *err) CHECKED;
/* As store_reader_open, or, `now` and `sequence` 0, store_reader_open_now, of objects of any size: for the info
 * alone. No body is opened; object_pread gives INVALID. */
Code store_reader_head(Store *store, Str bucket, Str key, uint64_t sequence, bool now, ObjectReader **ret_reader,
                       Err *err) CHECKED;
const ObjectInfo *object_reader_info(const ObjectReader *reader);
/* How many of the `len` bytes from `at` on stand verified in a file, from `ret_file_at` on, and are in the
 * page cache at this moment; 0: they are not, or they are damaged: object_pread says. It does not wait for
 * the disk. Not beside an object_pread; `room`, OBJECT_ROOM_BYTES at least, is worked in. The file is open
 * until the next call. */
size_t object_in_file(ObjectReader *reader, uint64_t at, size_t len, char *room, size_t room_len, int *ret_fd,
                      uint64_t *ret_file_at);
/* Every byte was compared with its checksum. `*ret_len` is less than `len` only at the end. */
Code object_pread(ObjectReader *reader, void *bytes, size_t len, uint64_t at, size_t *ret_len,
                  Err *err) CHECKED;
void object_reader_free(ObjectReader **reader);

Code store_delete(Store *store, Str bucket, Str key, Err *err) CHECKED; /* NOT_FOUND */

/* As the bucket's versioning says: removes the object, or puts a delete marker over it; with a
 * `sequence` removes that version, or STORE_VERSION_NULL. What is not there is no error. */
typedef struct StoreDelete {
    Str bucket;
    Str key;
    uint64_t sequence;    /* 0: the key */
    uint64_t if_sequence; /* the newest version has to be this one: PRECONDITION; 0: any */
    Str owner;            /* of the marker */
} StoreDelete;
typedef struct StoreDeleted {
    bool existed;      /* something was removed or covered */
    bool marker;       /* a delete marker was made, or the version that was removed was one */
    uint64_t sequence; /* of the marker, or of the version that was removed */
    bool null_version;
} StoreDeleted;
/* All in one group, durable on return. Each key, or each of its versions, once. */
Code store_delete_many(Store *store, const StoreDelete *deletes, size_t count,
                       StoreDeleted *ret_deleted, Err *err) CHECKED;
/* GONE: the version is not there any more. `sequence` 0: the newest. */
Code store_set_tags(Store *store, Str bucket, Str key, uint64_t sequence, const StoreTag *tags,
                    size_t tag_count, Err *err) CHECKED;
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
    bool versions;   /* all versions and delete markers, the newest of a key first */
    uint64_t after_sequence; /* with `versions`: of start_after's versions only older ones; 0: none */
} StoreListQuery;

typedef struct StoreListPage {
    ObjectInfo *objects; /* in byte order of their keys */
    size_t object_count;
    Str *prefixes;
    size_t prefix_count;
    bool truncated;
    Str next; /* start_after of the next page */
    uint64_t next_sequence; /* with `versions`: after_sequence of the next page */
} StoreListPage;

Code store_list(Store *store, const StoreListQuery *query, Arena *arena, StoreListPage *ret_page,
                Err *err) CHECKED;
