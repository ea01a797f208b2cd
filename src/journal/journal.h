/* journal.h: the durable record log of one drive: what journal_append returned for, stays.
 * Owner:   journal_open gives a Journal to the caller; payloads of a replay live for the visit.
 * Threads: any; appends that meet share one sync (the first that waits writes for all).
 * Errors:  NO_SPACE (no segment could be allocated: nothing happened), IO and from then on
 *          UNAVAILABLE (a write or sync failed: the journal is fenced for good), CORRUPT (damage
 *          that is no torn tail), UNSUPPORTED (a newer format), NOT_FOUND (no record at this place),
 *          GONE (the place to replay from was forgotten).
 * Limits:  JOURNAL_PAYLOAD_MAX; segments of JOURNAL_SEGMENT_MIN to JOURNAL_SEGMENT_MAX bytes.
 * Units:   bytes; an LSN is segment id * segment bytes + byte offset of the record's header. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "os/os.h"

enum {
    JOURNAL_PAYLOAD_MAX = 8 * 1024 * 1024,
    JOURNAL_GROUP_MAX = 16 * 1024 * 1024, /* bytes of one append call, headers included */
    JOURNAL_SEGMENT_MIN = 64 * 1024,
    JOURNAL_SEGMENT_DEFAULT = 64 * 1024 * 1024,
    JOURNAL_SEGMENT_MAX = 1024 * 1024 * 1024,
    JOURNAL_SPARES_MAX = 2, /* recycled segments that are kept */
    JOURNAL_RECENT_BYTES = 16 * 1024 * 1024 /* the newest, in memory: records in it are read there */
};

typedef struct Journal Journal;

/* Types below JOURNAL_TYPE_USER are the journal's own and are never replayed to the user. */
enum { JOURNAL_TYPE_USER = 16 };

typedef struct JournalRecord {
    uint16_t type;
    Str payload;
    uint64_t lsn; /* out: its place */
} JournalRecord;

typedef struct JournalOptions {
    const char *dir;        /* made when absent (one level) */
    uint64_t segment_bytes; /* of a new journal; 0: the default; an old one keeps its own */
    uint64_t replay_from;   /* LSN of a record: it and all behind are replayed; 0: all */
    uint64_t *ret_segment_bytes; /* the journal's own, before the first visit; NULL: not asked for */
} JournalOptions;

typedef Code JournalVisit(void *arg, const JournalRecord *record, Err *err);

typedef struct JournalOpened {
    bool clean;          /* the last owner closed it by journal_close */
    uint64_t records;    /* replayed */
    uint64_t torn_bytes; /* of an unacknowledged tail that was cut; 0: none */
} JournalOpened;

/* Finds the end, cuts a torn tail, replays through `visit` on the way (may be NULL). */
Code journal_open(Os *os, const JournalOptions *options, JournalVisit *visit, void *arg,
                  JournalOpened *ret_opened, Journal **ret_journal, Err *err) CHECKED;
/* Marks the end as clean when it can. */
void journal_close(Journal **journal);
/* As a crash would leave it: for AUTO on ways out of a failed start, and for tests. */
void journal_drop(Journal **journal);

/* All records, one behind the other, durable on return. Each record is whole or absent after a
 * crash; a later one is never there without an earlier one. */
Code journal_append(Journal *journal, JournalRecord *records, size_t count, Err *err) CHECKED;

/* The payload of the record at `lsn`, verified; `buf` is cleared first and its max holds. */
Code journal_read(Journal *journal, uint64_t lsn, uint16_t type, Buf *buf, Err *err) CHECKED;
/* The same of a record whose payload has `len` bytes: one read. `now`: UNAVAILABLE where that would wait. */
Code journal_read_known(Journal *journal, uint64_t lsn, uint16_t type, size_t len, bool now, Buf *buf,
                        Err *err) CHECKED;

/* How much of the newest bytes memory has, of JOURNAL_RECENT_BYTES, and how many reads it answered. */
void journal_recent(Journal *journal, uint64_t *ret_bytes, uint64_t *ret_reads);

/* Replays what lies in [from, to), of whole segments at least; for compaction and verify. */
Code journal_scan(Journal *journal, uint64_t from, uint64_t to, JournalVisit *visit, void *arg,
                  Err *err) CHECKED;

/* Looks at all that was acknowledged, while the journal is in use. `visit` (may be NULL) gets the good records,
 * `damage` each place that is not as it was written; the look goes on behind it. */
typedef struct JournalDamage {
    char file[OS_PATH_MAX];
    uint64_t at; /* byte of the file where the damaged record begins */
    uint64_t lsn;
    const char *what;
} JournalDamage;
typedef struct JournalScrub {
    JournalVisit *visit;
    void (*damage)(void *arg, const JournalDamage *damage);
    void *arg;
} JournalScrub;
Code journal_scrub(Journal *journal, const JournalScrub *wanted, Err *err) CHECKED;

/* UNAVAILABLE, with the error that fenced it: nothing is taken any more. */
Code journal_writable(Journal *journal, Err *err) CHECKED;
uint64_t journal_start(Journal *journal); /* the LSN of the oldest segment's first place */
uint64_t journal_end(Journal *journal);   /* the LSN behind the last durable record */
uint64_t journal_segment_bytes(const Journal *journal);
uint64_t journal_segment_of(const Journal *journal, uint64_t lsn); /* its segment's first LSN */

/* Gives the segments wholly below `lsn` back for recycling. Their records are gone. After a failure those that were
 * not given back are still there. */
Code journal_forget(Journal *journal, uint64_t lsn, Err *err) CHECKED;

/* What came of a sync on this drive, passed through: one that failed fences the journal. A full disk and a lack of
 * descriptors are not of the drive. `err` may be NULL. */
Code journal_sync_judge(Journal *journal, Code code, const Err *err) CHECKED;
