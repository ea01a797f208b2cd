/* aws_chunked.h: the body encoding `aws-chunked` of S3, signed or not, with or without trailers.
 * Owner:   pieces borrow from the input; the trailers are the decoder's until aws_chunks_done.
 * Threads: any; one AwsChunks at a time.
 * Errors:  AWS_CHUNKS_REFUSE with `fault`; nothing may follow.
 * Limits:  AWS_CHUNK_*; 15 hexadecimal digits of a size; a chunk below AWS_CHUNK_BYTES_MIN must be the
 *          last one (InvalidChunkSizeError).
 * Units:   bytes.
 *
 *   chunk   = size [";chunk-signature=" 64HEX] CRLF data CRLF
 *   last    = "0" [";chunk-signature=" 64HEX] CRLF *(name ":" value [LF] CRLF) CRLF */
#pragma once

#include "base/buf.h"

enum {
    AWS_CHUNK_BYTES_MIN = 8192,
    AWS_CHUNK_LINE_MAX = 256,      /* of a chunk's size and signature */
    AWS_CHUNK_TRAILER_MAX = 8192,  /* of all trailers */
    AWS_CHUNK_SIGNATURE_LEN = 64
};

typedef enum AwsChunkFault {
    AWS_FAULT_NONE,
    AWS_FAULT_SYNTAX,        /* IncompleteBody or InvalidRequest */
    AWS_FAULT_CHUNK_SIZE,    /* InvalidChunkSizeError */
    AWS_FAULT_SIGNATURE,     /* one is missing where the body is signed, or stands where it is not */
    AWS_FAULT_TRAILER        /* MalformedTrailerError */
} AwsChunkFault;

typedef enum AwsChunkStep {
    AWS_CHUNKS_MORE,      /* give more bytes, or call again while `in` is not empty */
    AWS_CHUNKS_DATA,      /* `*ret_data` is the next piece */
    AWS_CHUNKS_CHUNK_END, /* the data of a chunk is over, the last one of size 0 too: check `signature` */
    AWS_CHUNKS_DONE,      /* the body is over; what is left of `in` is not of it */
    AWS_CHUNKS_REFUSE
} AwsChunkStep;

typedef struct AwsChunks {
    bool is_signed, has_trailer; /* set by the caller before the first call */
    int state;
    AwsChunkFault fault;
    uint64_t left, size;         /* of this chunk */
    uint64_t total;              /* data bytes so far */
    uint64_t number;             /* of the chunk, from 1 */
    bool was_small;
    char line[AWS_CHUNK_LINE_MAX];
    size_t line_len;
    char signature[AWS_CHUNK_SIGNATURE_LEN]; /* of this chunk, when is_signed */
    Buf trailers;                /* "name:value\n", names in lower case, values trimmed */
} AwsChunks;

void aws_chunks_init(AwsChunks *chunks, bool is_signed, bool has_trailer);
void aws_chunks_done(AwsChunks *chunks); /* fit for AUTO, also when zeroed */
AwsChunkStep aws_chunks_next(AwsChunks *chunks, Str *in, Str *ret_data);
/* The next trailer off the front of `*rest`, which begins as buf_str(&chunks->trailers). */
bool aws_trailer_next(Str *rest, Str *ret_name, Str *ret_value);
