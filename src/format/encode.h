/* encode.h: gzip and Zstandard made piece by piece, for replies whose end is not known yet.
 * Owner:   whoever opened an Encoder frees it.
 * Threads: one at a time.
 * Errors:  LIMIT: the output does not fit its Buf; INTERNAL: the library refuses to work.
 * Limits:  encoder_bytes of memory for each open Encoder, however long the stream is.
 * Units:   bytes. */
#pragma once

#include "base/buf.h"

enum {
    /* Lines of JSON on one core: gzip 2 makes 0.19 of them at 930 MB/s, 5 0.16 at 110; Zstandard 1
     * 0.16 at 810, 3 0.17 at 380. Whoever reads a reply waits for it. */
    ENCODE_GZIP_LEVEL = 2,          /* of 1 to 9: to 3 by ISA-L, above by zlib */
    ENCODE_ZSTD_LEVEL = 1,          /* of 1 to 9: those above need more memory than a reply is worth */
    ENCODE_LEVEL_MAX = 9,
    ENCODE_GZIP_BYTES = 432 << 10,  /* memory of an open Encoder: window and tables */
    ENCODE_ZSTD_BYTES = 1280 << 10, /* at its default level */
    ENCODE_ZSTD_WINDOW_LOG = 18     /* 256 KiB; RFC 9659 lets a peer have up to 8 MiB */
};

typedef enum EncodeKind { ENCODE_GZIP, ENCODE_ZSTD } EncodeKind;
typedef enum EncodeStep {
    ENCODE_MORE,   /* output comes when there is enough of it */
    ENCODE_FLUSH,  /* all input so far can be read by the peer */
    ENCODE_END     /* the end of the stream: the last call */
} EncodeStep;

typedef struct Encoder Encoder;

/* `level` 0: the default. */
Code encoder_open(EncodeKind kind, int level, Encoder **ret_encoder, Err *err) CHECKED;
void encoder_free(Encoder **encoder);
/* The memory of an open one: what it is charged with. */
size_t encoder_bytes(EncodeKind kind, int level);
/* Takes all of `in` and appends to `out` what is ready. */
Code encoder_put(Encoder *encoder, Str in, EncodeStep step, Buf *out, Err *err) CHECKED;
