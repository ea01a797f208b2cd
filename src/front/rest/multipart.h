/* multipart.h: multipart/form-data (RFC 7578) taken apart while it streams.
 * Owner:   whoever declared it; multipart_done empties it.
 * Threads: one at a time.
 * Errors:  INVALID for a form that is not consistent or ends too early; those of the callbacks.
 * Limits:  MULTIPART_* below.
 * Units:   bytes. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

enum {
    MULTIPART_BOUNDARY_MAX = 70,          /* RFC 2046 5.1.1 */
    MULTIPART_HEAD_BYTES_MAX = 8 << 10,   /* of one part */
    MULTIPART_PARTS_MAX = 1000
};

typedef struct MultipartPart {
    Str name;          /* of the field */
    Str filename;      /* no pointer: a plain field */
    Str content_type;  /* empty: not said */
} MultipartPart;

/* The Strs live for the call. `data` comes in pieces. */
typedef struct MultipartOps {
    Code (*begin)(void *self, const MultipartPart *part, Err *err);
    Code (*data)(void *self, Str bytes, Err *err);
    Code (*end)(void *self, Err *err);
} MultipartOps;

typedef enum MultipartState { MULTIPART_BEFORE, MULTIPART_HEAD, MULTIPART_DATA, MULTIPART_OVER } MultipartState;

typedef struct Multipart {
    const MultipartOps *ops;
    void *self;
    char mark[MULTIPART_BOUNDARY_MAX + 4]; /* CR LF - - boundary */
    size_t mark_len;
    MultipartState state;
    Buf held;                              /* seen and not yet understood */
    size_t parts;
} Multipart;

/* `content_type` is the whole header with its boundary; INVALID when there is none. */
Code multipart_init(Multipart *m, Str content_type, const MultipartOps *ops, void *self, Err *err) CHECKED;
void multipart_done(Multipart *m);
Code multipart_feed(Multipart *m, Str bytes, Err *err) CHECKED;
Code multipart_finish(Multipart *m, Err *err) CHECKED; /* the closing boundary must have come */
