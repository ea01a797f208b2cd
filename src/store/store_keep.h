/* store_keep.h: what keeps a store: its feed of changes, compaction, usage, verification.
 * Owner:   as store.h.
 * Threads: any; one compaction at a time, others wait.
 * Errors:  as store.h.
 * Limits:  STORE_FEED_MAX changes of one read.
 * Units:   bytes; _us: microseconds since 1970 UTC. */
#pragma once

#include "store/store.h"

/* The feed: one change a sequence, in order, without a gap for whoever goes on behind the last one that
 * it has read; numbers that changed no object are left out. A reader keeps its place itself, durably,
 * and gives back what no reader needs any more; what it read and did not keep comes again. */
typedef enum StoreChangeKind {
    CHANGE_PUT = 1,
    CHANGE_DELETE = 2,
    CHANGE_TRUST = 3,
    CHANGE_BUCKET_CREATE = 4,
    CHANGE_BUCKET_DELETE = 5,
    CHANGE_TAGS = 6
} StoreChangeKind;

typedef struct StoreChange {
    uint64_t sequence;
    StoreChangeKind kind;
    Str bucket;
    Str key;
    uint64_t size_bytes;
    int64_t time_us;
    uint64_t of_sequence; /* the version that was removed or changed; 0: none */
    ObjectInfo object;    /* as it was put: type, digests, tags, how many parts; of a delete its names */
} StoreChange;

/* GONE: the changes behind `after` were given back. */
Code store_feed_read(Store *store, uint64_t after, size_t limit, Arena *arena,
                     StoreChange **ret_changes, size_t *ret_count, Err *err) CHECKED;
uint64_t store_sequence(Store *store); /* of the newest change; 0: none yet */
uint64_t store_feed_begin(Store *store); /* the changes behind it are there */
/* Waits until there is a change behind `after`; false: the time is over, or `*stop` (read atomically;
 * NULL: never) and store_feed_wake. `wait_us` below 0: without end. */
bool store_feed_wait(Store *store, uint64_t after, int64_t wait_us, const bool *stop);
void store_feed_wake(Store *store); /* whoever waits looks at its `stop` */
/* Gives the changes up to `sequence` back: every reader has them, durably. From the first call on no
 * change behind it is lost, also when the index is. The space follows with later changes. */
void store_feed_release(Store *store, uint64_t sequence);

/* What the slowest reader has not given back. Its rows stay, however many they are, and so does what the journal says
 * of them; its segments stay up to feed_journal_bytes, or 400 bytes for each of the changes where that is more. */
typedef struct StoreFeedState {
    uint64_t newest;
    uint64_t unread; /* changes, with numbers that changed no object */
    uint64_t journal_bytes; /* that the last compaction could have given back but for them */
} StoreFeedState;
void store_feed_state(Store *store, StoreFeedState *ret_state);

/* Moves live records out of the oldest journal segments while they hold mostly dead bytes, then
 * recycles these. `ret_segments`: how many became free. Safe at any time, for a maintenance job.
 * `stop` is read atomically before each segment: true ends the work early; NULL: never. */
Code store_compact(Store *store, const bool *stop, size_t *ret_segments, Err *err) CHECKED;

/* For tests: the process ends as by kill -9 where crash_points.def says, "name" or "name:n" for the n-th time;
 * an empty text disarms. False: no such name. Before the first thread. */
bool store_crash_arm(Str spec);

/* Bodies larger than STORE_INLINE_MAX and parts that nothing names any more are trash: they stay for
 * trash_seconds, and as long as somebody reads them. This removes those whose time is over. */
typedef struct StorePurged {
    uint64_t objects; /* files */
    uint64_t bytes;
} StorePurged;
Code store_trash_purge(Store *store, const bool *stop, StorePurged *ret_purged, Err *err) CHECKED;

/* For a copy of the files while the store is in use: as long as a hold stands, no segment of the journal is forgotten
 * and no file of an object is removed. It ends with its time if it is not renewed, and when the disk gets full: then
 * renew and end give NOT_FOUND, and what was copied under it is no backup. */
enum { STORE_HOLDS_MAX = 4 };
Code store_hold_begin(Store *store, int64_t seconds, uint64_t *ret_id, Err *err) CHECKED; /* LIMIT */
Code store_hold_renew(Store *store, uint64_t id, int64_t seconds, Err *err) CHECKED;
Code store_hold_end(Store *store, uint64_t id, Err *err) CHECKED;
bool store_hold_on(Store *store); /* one stands; on a full disk all end now */
bool store_hold_stands(Store *store, uint64_t id); /* this one does */

/* What a copy has to hold: the journal's bytes from `begin` to `end`, in files of `segment_bytes` under
 * DIR/journal, and the files under DIR/objects. All changes up to `sequence` are in it. */
typedef struct StorePoint {
    uint64_t sequence;
    uint64_t begin, end;
    uint64_t segment_bytes;
} StorePoint;
Code store_point(Store *store, StorePoint *ret_point, Err *err) CHECKED; /* UNSUPPORTED: nothing is on a disk */

/* Compares a copied body with the checksums that it carries; the file's name is `name`. `*ret_whole` false: it
 * has no footer, as one that is still being written. CORRUPT: it is damaged, `err` says where. */
Code store_file_check(Os *os, const char *path, Str name, bool *ret_whole, uint32_t *ret_crc32c, Err *err) CHECKED;

/* How full the file system is; what each level means stands in space.c. */
typedef enum StoreSpaceLevel { SPACE_HEALTHY, SPACE_ALARM, SPACE_BACKGROUND, SPACE_FULL, SPACE_LEVELS } StoreSpaceLevel;
typedef struct StoreSpace {
    StoreSpaceLevel level;
    uint64_t free_bytes;
    uint64_t total_bytes; /* 0: the backend has no file system */
    uint64_t reserve_bytes; /* held now */
    uint64_t trash_objects;
    uint64_t trash_bytes;
    uint64_t refused; /* writes, since the start */
} StoreSpace;
void store_space(Store *store, StoreSpace *ret_space); /* looks now */
bool store_background_ok(Store *store); /* false: what is not asked for by a user, and adds bytes, waits */

/* Whether it takes changes; UNAVAILABLE: not before the next start, because of an error of the drive or of the index. A
 * full disk is none: store_space. */
Code store_writable(Store *store, Err *err) CHECKED;

/* What the start did when it could not use the index that it found: it made one from the journal. */
typedef struct StoreRemade {
    bool remade;
    char reason[256];
    int64_t time_us;
    int64_t took_us; /* with the replay of the journal */
} StoreRemade;
void store_index_remade(Store *store, StoreRemade *ret_remade);
bool store_index_bad(Store *store); /* a read has met damage: the next start makes it again */

typedef struct StoreUsage {
    uint64_t objects;
    uint64_t object_bytes;
    uint64_t trash_objects;
    uint64_t trash_bytes;
    uint64_t journal_bytes; /* in segments */
    uint64_t recent_bytes;  /* the newest of it, in memory */
    uint64_t recent_reads;  /* bodies that were read there */
} StoreUsage;
Code store_usage(Store *store, StoreUsage *ret_usage, Err *err) CHECKED;

/* Of the one writer, since start. A group is one append and one sync; requests / groups is how many share it. */
enum { STORE_SYNC_BUCKETS = 11 };
extern const uint32_t store_sync_bounds_us[STORE_SYNC_BUCKETS]; /* upper; above the last: +Inf */
typedef struct StoreCommitStats {
    uint64_t groups, requests, bytes;
    uint64_t sync[STORE_SYNC_BUCKETS + 1]; /* groups by the time of append and sync; not cumulative */
    uint64_t sync_sum_us;
} StoreCommitStats;
void store_commit_stats(Store *store, StoreCommitStats *ret_stats);

/* For doctor and for scrubbing in the background: all that the journal acknowledged, every version, every part of an
 * upload, with `hashes` every block, digest and file of the index. Findings go to the visitor; E_OK when the walk could
 * be finished. Safe while the store is in use; what changes meanwhile is no finding. */
typedef struct StoreFinding {
    Code code; /* CORRUPT, NOT_FOUND (bytes are missing), IO */
    Str bucket; /* empty: of no object that lives */
    Str key;
    const char *text;
    uint64_t sequence;  /* of the version; 0: not of one */
    const char *file;   /* empty: not known */
    uint64_t at;        /* byte of the file where the damaged block or record begins */
    const char *advice; /* what to do */
} StoreFinding;
typedef void StoreFindingVisit(void *arg, const StoreFinding *finding);
typedef struct StoreVerified {
    uint64_t objects;
    uint64_t bytes;
    uint64_t records; /* of the journal */
    uint64_t findings;
} StoreVerified;
typedef struct StoreScrub {
    bool hashes;
    uint64_t bytes_per_second; /* of bodies and of the journal; 0: no bound */
    const bool *stop;          /* read atomically: true ends the walk; NULL: never */
} StoreScrub;
Code store_scrub(Store *store, const StoreScrub *scrub, StoreFindingVisit *visit, void *arg,
                 StoreVerified *ret_verified, Err *err) CHECKED;
Code store_verify(Store *store, bool hashes, StoreFindingVisit *visit, void *arg,
                  StoreVerified *ret_verified, Err *err) CHECKED;

/* The whole index beside one that is made from the journal alone, for which there has to be room: rows that were lost,
 * are too many or say something else are findings. CONFLICT: the store was changed meanwhile; for doctor, offline. */
typedef struct StoreCompared {
    uint64_t rows;
    uint64_t findings;
} StoreCompared;
Code store_compare(Store *store, StoreFindingVisit *visit, void *arg, const bool *stop, StoreCompared *ret_compared,
                   Err *err) CHECKED;
