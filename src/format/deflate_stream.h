/* deflate_stream.h: raw DEFLATE of messages that end one by one on a shared window (RFC 7692 section 7.2).
 * Owner:   whoever opened a Deflater or an Inflater frees it.
 * Threads: one at a time.
 * Errors:  CORRUPT: damaged bytes; LIMIT: more comes out than the Buf may hold.
 * Limits:  window of 9 (inflating: 8) to 15 bits; DEFLATE_FINALS_MAX final blocks in one message.
 * Units:   bits are the logarithm of a window in bytes. */
#pragma once

#include "base/buf.h"

enum {
    DEFLATE_BITS_MIN = 9, /* zlib has no raw stream of 8 */
    DEFLATE_BITS_MAX = 15,
    INFLATE_BITS_MIN = 8,
    /* Blocks with BFINAL in one message: legal, hardly used, and each costs a copy of the window. */
    DEFLATE_FINALS_MAX = 16
};

typedef struct Deflater Deflater;
typedef struct Inflater Inflater;

/* Memory: 2^(bits + 2) bytes and as much again for the hash tables. */
Code deflater_open(int window_bits, int level, Deflater **ret_deflater, Err *err) CHECKED;
void deflater_free(Deflater **deflater);
/* Appends one message to `out`: blocks, then an empty stored one without its last four bytes 00 00 FF
 * FF. `keeps`: the window stays for the next message. */
Code deflater_message(Deflater *deflater, Str in, bool keeps, Buf *out, Err *err) CHECKED;

Code inflater_open(int window_bits, Inflater **ret_inflater, Err *err) CHECKED;
void inflater_free(Inflater **inflater);
/* Appends what comes out of the next piece of a message; `out` bounds it. */
Code inflater_piece(Inflater *inflater, Str in, Buf *out, Err *err) CHECKED;
/* After the last piece: gives the four bytes back that the sender left out. */
Code inflater_message_end(Inflater *inflater, bool keeps, Buf *out, Err *err) CHECKED;
