/* inflate.h: gzip and Zstandard streams decompressed and verified: checksum, length, no end cut
 * off. Owner:   whoever opened it; inflate_free. Threads: one at a time. Errors:  CORRUPT: damaged,
 * cut short, or bytes behind the end; LIMIT: over a maximum. Limits:  InflateLimits: bytes that
 * come out, and how many come out for one that goes in. Units:   bytes. */
#pragma once

#include "base/buf.h"

enum {
    INFLATE_RATIO_MAX = 1000,      /* text in columns reaches 100; bombs have 1,030 and more */
    INFLATE_RATIO_FREE = 16 << 20, /* so much may come out before the ratio is looked at */
    INFLATE_WINDOW_LOG_MAX = 27    /* of Zstandard: 128 MiB */
};

typedef enum InflateKind { INFLATE_GZIP, INFLATE_ZSTD, INFLATE_ZLIB, INFLATE_RAW } InflateKind;

typedef struct InflateLimits {
    uint64_t bytes_max; /* 0: none */
    uint64_t ratio_max; /* 0: INFLATE_RATIO_MAX */
    bool ignores_tail;  /* raw and zlib: bytes behind the end are dropped, not refused */
} InflateLimits;

typedef struct Inflate Inflate;

/* What the first bytes say; false: neither gzip nor Zstandard. */
bool inflate_kind_of(Str first_bytes, InflateKind *ret_kind);

Code inflate_open(InflateKind kind, const InflateLimits *limits, Inflate **ret_inflate,
                  Err *err) CHECKED;
void inflate_free(Inflate **inflate);

/* Takes bytes off the front of `*in` and fills `out`; `*ret_len` is what came out. Call until `in`
 * is empty and nothing came out. Several members or frames behind each other are one stream. */
Code inflate_step(Inflate *inflate, Str *in, void *out, size_t out_cap, size_t *ret_len,
                  Err *err) CHECKED;

/* After the last byte: CORRUPT unless the stream ended exactly here with a good checksum. */
Code inflate_end(Inflate *inflate, Err *err) CHECKED;

/* All at once, appended to `out`. */
Code inflate_whole(InflateKind kind, Str in, const InflateLimits *limits, Buf *out,
                   Err *err) CHECKED;

/* The way back, for blocks and answers. */
Code deflate_whole(InflateKind kind, Str in, int level, Buf *out, Err *err) CHECKED;
