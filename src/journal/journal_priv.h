/* journal_priv.h: what the files of journal/ share: the bytes on disk, segments, the journal.
 * Owner:   journal_open; a Segment is counted: the journal holds one count, each use another.
 * Threads: `mutex` guards what stands below it; while `writing` is set, its setter alone owns the
 *          tail and the group buffer.
 * Errors:  as journal.h.
 * Limits:  as journal.h.
 * Units:   bytes. */
#pragma once

#include "base/cursor.h"
#include "base/vec.h"
#include "format/checksum.h"
#include "journal/journal.h"
#include "os/thread.h"

#include <stdatomic.h>

/* A segment: one header block, then records at multiples of 8; all integers little endian.
 *   header: magic 8 | version u32 | features u32 | segment id u64 | segment bytes u64 | salt u32 |
 *           reserved | CRC32C of all before u32, at SEGMENT_HEADER_CRC_AT
 *   record: magic u32 | payload length u32 | LSN u64 | durable LSN u64 | type u16 | reserved u16 |
 *           payload CRC32C u32 | reserved u32 | header CRC32C (seed: salt) u32 | payload | zeros to 8
 * The durable LSN is the journal's durable end when the record's group was written. */
enum {
    SEGMENT_VERSION = 1,
    SEGMENT_FEATURES = 0,
    SEGMENT_HEADER_BYTES = 4096,
    SEGMENT_HEADER_CRC_AT = 60,
    RECORD_HEADER_BYTES = 40,
    RECORD_ALIGN = 8,
    YOUNG_BYTES = 256 * 1024 * 1024, /* the newest are read with their neighbours: at most so much, each once */
    YOUNG_RUN_BYTES = 256 * 1024,
    WINDOW_BYTES = 1024 * 1024,
    GROUP_PIECE_BYTES = 1024 * 1024, /* a group is written in pieces of it */
    SEGMENT_NAME_MAX = 32
};
#define SEGMENT_MAGIC "TARNJRNL"
#define RECORD_MAGIC 0x31524a54u /* "TJR1" */

enum { TYPE_END = 1, TYPE_OPENED = 2, TYPE_CLOSED = 3 }; /* end of a segment; seals of an owner */

typedef struct Segment {
    uint64_t id;
    OsFile *file;
    OsFile *direct; /* the writer's own, past the page cache; NULL behind the tail */
    atomic_int uses;
} Segment;

typedef struct RecordHeader {
    uint32_t payload_len;
    uint64_t lsn;
    uint64_t durable;
    uint16_t type;
    uint32_t payload_crc;
} RecordHeader;

typedef struct Append Append;

struct Journal {
    Os *os;
    char *dir;
    uint64_t segment_bytes;
    uint32_t salt;
    Mutex mutex;
    Cond changed;
    Vec(Segment *) segments; /* ids without a gap; the tail is not always in the last */
    Vec(uint64_t) spares;    /* former ids of recycled files */
    Append *queue_first;
    Append *queue_last;
    bool writing;
    bool fenced;
    Err fence;        /* the error that fenced it */
    uint64_t tail;    /* where the next record goes */
    uint64_t durable; /* everything before was synced; == tail between groups */
    char *recent;     /* the ring: written by the writer, read with `recent_mutex` held */
    uint64_t group_at; /* of the writer: where bytes begin that are not in the file, a multiple of OS_BLOCK_BYTES */
    size_t group_len, group_old; /* of the old ones the file has the same */
    Mutex recent_mutex;          /* guards what follows */
    uint64_t recent_from, recent_to;
    atomic_ullong recent_reads; /* those that it answered */
};

/* segment.c */
Code segment_path(const Journal *journal, const char *kind, uint64_t id, char *ret_path,
                  Err *err) CHECKED; /* of OS_PATH_MAX; kind "seg" or "spare" */
Code segment_create(Journal *journal, uint64_t id, Segment **ret_segment, Err *err) CHECKED;
Code segment_open(Journal *journal, uint64_t id, Segment **ret_segment, Err *err) CHECKED;
/* It loses its name: to a spare, or removed. A second try after a failure is fine. */
Code segment_retire(Journal *journal, uint64_t id, bool *ret_spare, Err *err) CHECKED;
void segment_release(Segment **segment);
Segment *segment_borrow(Journal *journal, uint64_t id); /* NULL: not there; release it */
uint64_t segment_first_lsn(const Journal *journal, uint64_t id);
Code segment_open_direct(const Journal *journal, Segment *segment, Err *err) CHECKED;

/* record.c */
bool bytes_are_zeros(Str bytes);
uint64_t record_bytes(size_t payload_len); /* header, payload, padding */
/* To `head` of RECORD_HEADER_BYTES. */
void record_head(char *head, uint32_t salt, const RecordHeader *header, Str payload);
bool record_header_get(Str bytes, uint32_t salt, uint64_t lsn, RecordHeader *ret_header);
uint64_t journal_payload_max(const Journal *journal);

/* A moving view of one segment's bytes. */
typedef struct Window {
    OsFile *file;
    Buf bytes;
    uint64_t at; /* of bytes.ptr in the file */
    uint64_t file_len;
} Window;
Code window_init(Window *window, OsFile *file, uint64_t file_len, Err *err) CHECKED;
void window_done(Window *window);
/* `len` bytes from `at`, or fewer at the end of the file; borrowed until the next call. */
Code window_get(Window *window, uint64_t at, size_t len, Str *ret_bytes, Err *err) CHECKED;
/* The whole record at `lsn`, or `*ret_good` false: damaged or none. */
Code window_record(Window *window, const Journal *journal, uint64_t lsn, RecordHeader *ret_header,
                   Str *ret_payload, bool *ret_good, Err *err) CHECKED;

/* recover.c */
Code journal_recover(Journal *journal, uint64_t from, JournalVisit *visit, void *arg,
                     uint64_t *ret_segment_bytes, JournalOpened *ret_opened, Err *err) CHECKED;
