/* http_access.h: one line for each request, to a file or to standard output, never in the loop's way.
 * Owner:   a Policy has one AccessLog; access_free writes what is left.
 * Threads: access_put from any, it never waits for the disk; one thread of the log writes.
 * Errors:  IO and NOT_FOUND when the file cannot be opened; later ones are counted, lines are lost.
 * Limits:  ACCESS_*; a line that finds the buffer full is dropped and counted.
 * Units:   bytes, _us. */
#pragma once

#include "base/buf.h"
#include "base/err.h"
#include "os/os.h"

enum {
    ACCESS_SHARDS = 8,                /* buffers; a loop always uses the same one */
    ACCESS_BUFFER_BYTES = 1 << 20,    /* of each; half of it wakes the writer early */
    ACCESS_GATHER_US = 20000,         /* so long lines are gathered before they are written */
    ACCESS_LINE_MAX = 8 << 10,
    ACCESS_TARGET_MAX = 2048,         /* of a line: bytes after escaping, longer ones are cut */
    ACCESS_TEXT_MAX = 512
};

typedef enum HttpLogFormat {
    HTTP_LOG_LINE,      /* a line of the log of the process, at level INFO */
    HTTP_LOG_JSON,
    HTTP_LOG_COMBINED,  /* as Apache and nginx write it */
    HTTP_LOG_NONE
} HttpLogFormat;

typedef struct AccessEntry {
    int64_t time_us;    /* since 1970 UTC, of the head */
    uint64_t took_us, in, out;
    int status;
    Str client, method, target, protocol, host, route, principal, id, trace, referer, agent, tls, refused;
} AccessEntry;

/* One line with its newline, at most ACCESS_LINE_MAX bytes into `to`. No byte of an entry can end the
 * line or a field: JSON escapes control bytes and replaces what is no UTF-8, combined writes \xNN.
 * Values of query parameters that are secrets are left out. */
size_t access_json(const AccessEntry *entry, char *to);
size_t access_combined(const AccessEntry *entry, char *to);

typedef struct AccessLog AccessLog;
/* `path` NULL: standard output. */
Code access_open(Os *os, const char *path, AccessLog **ret_log, Err *err) CHECKED;
void access_free(AccessLog **log);
void access_put(AccessLog *log, size_t shard, Str line);
void access_flush(AccessLog *log);                    /* what was put before is written afterwards */
/* Writes what is there to the old file and opens `path` anew; an error keeps the old one. */
Code access_reopen(AccessLog *log, const char *path, Err *err) CHECKED;
typedef struct AccessStats {
    uint64_t written, dropped, failed; /* lines; failed: writes that the machine refused */
} AccessStats;
void access_stats(AccessLog *log, AccessStats *ret_stats);
