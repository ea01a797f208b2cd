/* Invariants:
 * 1. Between two messages an Inflater stands at a byte's edge, behind an empty stored block. A message
 *    without a byte is taken as an empty one: that is what zlib gives to a sender who does not look.
 * 2. The window outlives a block with BFINAL: what follows it may refer to bytes before it.
 * 3. `out` grows by pieces that its maximum bounds: memory is never asked for by what a sender claims. */
#include "format/deflate_stream.h"

#include <zlib.h>

enum {
    STREAM_PIECE = 16 << 10,
    STREAM_IN_MAX = 1 << 30, /* zlib counts in 32 bits */
    WINDOW_BYTES_MAX = 1 << DEFLATE_BITS_MAX,
    AT_BLOCK = 128, /* z_stream.data_type: a block has ended, no bits are left over */
    MEM_LEVEL_OFFSET = 7 /* hash tables of 2^(level + 9) bytes are as large as the window's part */
};

static const char tail[] = { 0, 0, (char)0xFF, (char)0xFF };

struct Deflater {
    z_stream z;
};

struct Inflater {
    z_stream z;
    unsigned finals; /* blocks with BFINAL in this message */
    bool begun;      /* a byte of this message has come */
    bool ended;      /* zlib saw the last one and wants to be set back */
};

Code deflater_open(int window_bits, int level, Deflater **ret_deflater, Err *err)
{
    ASSERT(window_bits >= DEFLATE_BITS_MIN && window_bits <= DEFLATE_BITS_MAX);
    Deflater *deflater = mem_new(sizeof *deflater);
    int mem_level = MIN(window_bits - MEM_LEVEL_OFFSET, MAX_MEM_LEVEL);
    if (deflateInit2(&deflater->z, level, Z_DEFLATED, -window_bits, mem_level,
                     Z_DEFAULT_STRATEGY) != Z_OK) {
        mem_free(&deflater);
        return err_set(err, E_INTERNAL, "zlib cannot start");
    }
    *ret_deflater = deflater;
    return E_OK;
}

void deflater_free(Deflater **deflater)
{
    if (!*deflater)
        return;
    deflateEnd(&(*deflater)->z);
    mem_free(deflater);
}

Code deflater_message(Deflater *deflater, Str in, bool keeps, Buf *out, Err *err)
{
    z_stream *z = &deflater->z;
    if (in.len > STREAM_IN_MAX)
        return err_set(err, E_LIMIT, "%zu bytes are too many for one message", in.len);
    if (in.len == 0) { /* zlib gives nothing for a flush behind a flush */
        buf_put_char(out, 0);
        return buf_end(out, "compressed message", err);
    }
    z->next_in = (Bytef *)(uintptr_t)in.ptr;
    z->avail_in = (uInt)in.len;
    do {
        if (!buf_reserve(out, STREAM_PIECE))
            return buf_end(out, "compressed message", err);
        z->next_out = (Bytef *)out->ptr + out->len;
        z->avail_out = STREAM_PIECE;
        int result = deflate(z, Z_SYNC_FLUSH);
        ASSERT(result == Z_OK || result == Z_BUF_ERROR);
        out->len += STREAM_PIECE - z->avail_out;
    } while (z->avail_out == 0);
    ASSERT(out->len >= sizeof tail &&
           str_ends(buf_str(out), str_of(tail, sizeof tail)));
    out->len -= sizeof tail;
    if (!keeps)
        deflateReset(z);
    return E_OK;
}

Code inflater_open(int window_bits, Inflater **ret_inflater, Err *err)
{
    ASSERT(window_bits >= INFLATE_BITS_MIN && window_bits <= DEFLATE_BITS_MAX);
    Inflater *inflater = mem_new(sizeof *inflater);
    if (inflateInit2(&inflater->z, -window_bits) != Z_OK) {
        mem_free(&inflater);
        return err_set(err, E_INTERNAL, "zlib cannot start");
    }
    *ret_inflater = inflater;
    return E_OK;
}

void inflater_free(Inflater **inflater)
{
    if (!*inflater)
        return;
    inflateEnd(&(*inflater)->z);
    mem_free(inflater);
}

/* A block with BFINAL is over: the next one goes on with the same window. */
static Code inflater_go_on(Inflater *inflater, Err *err)
{
    if (++inflater->finals > DEFLATE_FINALS_MAX)
        return err_set(err, E_LIMIT, "more than %d final blocks in one message",
                       DEFLATE_FINALS_MAX);
    Bytef window[WINDOW_BYTES_MAX];
    uInt len = sizeof window;
    int got = inflateGetDictionary(&inflater->z, window, &len), reset = inflateReset(&inflater->z);
    ASSERT(got == Z_OK && reset == Z_OK);
    if (len > 0) {
        int set = inflateSetDictionary(&inflater->z, window, len);
        ASSERT(set == Z_OK);
    }
    inflater->ended = false;
    return E_OK;
}

Code inflater_piece(Inflater *inflater, Str in, Buf *out, Err *err)
{
    z_stream *z = &inflater->z;
    if (in.len > STREAM_IN_MAX)
        return err_set(err, E_LIMIT, "%zu bytes are too many for one piece", in.len);
    if (in.len > 0)
        inflater->begun = true;
    z->next_in = (Bytef *)(uintptr_t)in.ptr;
    z->avail_in = (uInt)in.len;
    bool full = false; /* more may wait inside of zlib */
    while (z->avail_in > 0 || full) {
        if (inflater->ended)
            TRY(inflater_go_on(inflater, err));
        char spare;
        size_t room = MIN(out->max - out->len, (size_t)STREAM_PIECE);
        bool counts = room > 0 && buf_reserve(out, room);
        z->next_out = counts ? (Bytef *)out->ptr + out->len : (Bytef *)&spare;
        z->avail_out = counts ? (uInt)room : 1;
        uInt before = z->avail_out;
        int result = inflate(z, Z_SYNC_FLUSH);
        size_t given = before - z->avail_out;
        if (!counts && given > 0)
            return err_set(err, E_LIMIT, "more than %zu bytes come out of a message", out->max);
        if (counts)
            out->len += given; /* also those before the damage: a reader may judge them first */
        if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
            return err_set(err, E_CORRUPT, "deflate: %s", z->msg ? z->msg : "damaged");
        inflater->ended = result == Z_STREAM_END;
        full = z->avail_out == 0 && !inflater->ended;
    }
    return E_OK;
}

Code inflater_message_end(Inflater *inflater, bool keeps, Buf *out, Err *err)
{
    if (!inflater->begun)
        return E_OK;
    TRY(inflater_piece(inflater, str_of(tail, sizeof tail), out, err));
    if (inflater->ended || inflater->z.data_type != AT_BLOCK)
        return err_set(err, E_CORRUPT, "deflate: a message ends inside of a block");
    inflater->finals = 0;
    inflater->begun = false;
    if (!keeps)
        inflateReset(&inflater->z);
    return E_OK;
}
