/* source.h: what brings files in: bytes as a stream become one object of bronze, exactly as received.
 * Owner:   main/ opens one Source a lake; whoever begins an Ingest finishes or aborts it.
 * Threads: a Source from any thread; one Ingest from one thread at a time.
 * Errors:  INVALID (a name or source that cannot be made safe, rows that are no JSON objects),
 *          LIMIT, NO_SPACE, IO; after an error the Ingest only wants source_ingest_abort.
 * Limits:  the enum below.
 * Units:   bytes; _us: microseconds since 1970 UTC.
 *
 * Addresses: s3://bronze/SOURCE/ingest_date=YYYY-MM-DD/NAME. The same bytes from the
 * same source again: nothing is written, the first address comes back with `duplicate`. The same name
 * with other bytes: NAME becomes STEM~HASH8.EXT, HASH8 being the first 8 digits of the SHA-256.
 *
 * Names. A source is 1 to 63 of a-z, 0-9, `-`, `_`, and begins with a letter or digit; anything else is
 * refused. A name may hold folders (`a/b.csv`). Refused: empty, over SOURCE_NAME_MAX bytes, NUL or any
 * other control byte, invalid UTF-8, a part that is `.` or `..`, a leading `/`, a backslash, an empty
 * part, a `~` before 8 hexadecimal digits at the end of the stem (it is ours). Nothing is renamed in
 * silence. */
#pragma once

#include "os/os.h"
#include "sql/scan_source.h"
#include "store/store_keep.h"

enum {
    SOURCE_ID_MAX = 63,
    SOURCE_NAME_MAX = 512,
    SOURCE_CONSENT_MAX = 256,
    SOURCE_ROW_BYTES_MAX = 16 << 20, /* one NDJSON row */
    SOURCE_SNIFF_BYTES = 64 << 10    /* the front of the bytes that decides the content type */
};

typedef struct Source Source;
typedef struct Ingest Ingest;

typedef struct SourceOptions {
    Os *os;
    Store *store;
    Str bronze_bucket; /* empty: "bronze"; made when absent */
    Str lake_bucket;   /* empty: "lake"; its changes are those of tables, not of objects */
} SourceOptions;

typedef struct IngestBegin {
    Str source;
    Str name;         /* empty: rows-UUID.ndjson for rows, file-UUID otherwise */
    Str content_type; /* what the sender says; a hint where the bytes leave it open */
    Str consent;      /* flags of the subject's consent, `a,b`; empty: none */
    bool rows;        /* NDJSON: every line must be one JSON object, else INVALID with the line */
} IngestBegin;

typedef struct IngestResult {
    Str address; /* s3://bucket/key, in the Arena */
    Str source;
    Str name;    /* as stored: with ~HASH8 where that was needed */
    uint64_t size_bytes;
    uint64_t sequence;
    uint64_t rows; /* of NDJSON rows; else 0 */
    uint8_t sha256[32];
    Str content_type;
    int64_t ingested_us;
    bool duplicate; /* the same bytes came before: `address` is the first one */
} IngestResult;

Code source_open(const SourceOptions *options, Source **ret_source, Err *err) CHECKED;
void source_free(Source **source);

Code source_ingest_begin(Source *source, const IngestBegin *begin, Ingest **ret_ingest,
                         Err *err) CHECKED;
Code source_ingest_write(Ingest *ingest, Str bytes, Err *err) CHECKED;
/* Durable on return. Frees the Ingest, also after an error. */
Code source_ingest_finish(Ingest **take_ingest, Arena *arena, IngestResult *ret_result,
                          Err *err) CHECKED;
void source_ingest_abort(Ingest **ingest); /* fit for AUTO */

/* All at once, for small things (seeds, tests). */
Code source_ingest_bytes(Source *source, const IngestBegin *begin, Str bytes, Arena *arena,
                         IngestResult *ret_result, Err *err) CHECKED;

Str source_bucket(const Source *source); /* of bronze */

/* The rules above, alone: INVALID says which rule. */
Code source_id_check(Str source, Err *err) CHECKED;
Code source_name_check(Str name, Err *err) CHECKED;

/* The content type by the first bytes; `whole` says that there are no more. `hint` decides between
 * kinds of text, and the name's ending after it. Never NULL; a constant. */
Str source_content_type(Str front, bool whole, Str name, Str hint);

/* The newest object of a source under a name (the name as it was sent, so that STEM~HASH8.EXT counts as
 * NAME); NOT_FOUND names the nearest. `all`: every version, oldest first. */
Code source_find(Source *source, Str source_id, Str name, bool all, Arena *arena,
                 ObjectInfo **ret_objects, size_t *ret_count, Err *err) CHECKED;

/* The changes of objects that the feed of the store still has, in the columns of objects.def; borrowed,
 * lives as long as the Source. landing.h makes `bronze.objects` of them. */
const ScanSource *source_changes(Source *source);
/* Whether a row of that table is made of the change: of an object, in a bucket that is not the tables'. */
bool source_counts(const Source *source, const StoreChange *change);
