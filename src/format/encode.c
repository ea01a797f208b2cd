/* Compression of streams.
 *
 * Invariants:
 * 1. Every call takes all its input, so nothing borrowed is kept.
 * 2. After ENCODE_FLUSH and ENCODE_END nothing waits inside; after ENCODE_END there is no call.
 * 3. Memory does not depend on the input: the windows are fixed when the Encoder is opened. */
#include "format/encode.h"

#include <zlib.h>
#include <zstd.h>

enum { GZIP_WINDOW = 15 + 16, GZIP_MEMORY = 8, OUT_STEP = 16 << 10, IN_STEP = 1 << 30 };

struct Encoder {
    EncodeKind kind;
    bool ended;
    z_stream z;
    ZSTD_CCtx *zstd;
};

Code encoder_open(EncodeKind kind, int level, Encoder **ret_encoder, Err *err)
{
    if (level < 0 || level > ENCODE_LEVEL_MAX)
        return err_set(err, E_INVALID, "the level of a compression is 1 to %d", ENCODE_LEVEL_MAX);
    Encoder *encoder AUTO(encoder_free) = mem_new(sizeof *encoder);
    encoder->kind = kind;
    if (kind == ENCODE_GZIP) {
        if (deflateInit2(&encoder->z, level ? level : ENCODE_GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW,
                         GZIP_MEMORY, Z_DEFAULT_STRATEGY) != Z_OK)
            return err_set(err, E_INTERNAL, "zlib cannot start");
        *ret_encoder = TAKE(encoder);
        return E_OK;
    }
    encoder->zstd = ZSTD_createCCtx();
    bool ok = encoder->zstd &&
              !ZSTD_isError(ZSTD_CCtx_setParameter(encoder->zstd, ZSTD_c_compressionLevel,
                                                   level ? level : ENCODE_ZSTD_LEVEL)) &&
              !ZSTD_isError(ZSTD_CCtx_setParameter(encoder->zstd, ZSTD_c_windowLog,
                                                   ENCODE_ZSTD_WINDOW_LOG));
    if (!ok)
        return err_set(err, E_INTERNAL, "Zstandard cannot start");
    *ret_encoder = TAKE(encoder);
    return E_OK;
}

/* Of ZSTD_estimateCStreamSize with this window, rounded up; encode_test.c measures. */
size_t encoder_bytes(EncodeKind kind, int level)
{
    static const size_t zstd[ENCODE_LEVEL_MAX + 1] = {
        ENCODE_ZSTD_BYTES, 2 << 20, 2 << 20, 2 << 20, 4 << 20, 5 << 20, 5 << 20, 8 << 20, 8 << 20, 14 << 20,
    };
    return kind == ENCODE_GZIP ? (size_t)ENCODE_GZIP_BYTES : zstd[MIN(MAX(level, 0), (int)ENCODE_LEVEL_MAX)];
}

void encoder_free(Encoder **encoder)
{
    Encoder *gone = TAKE(*encoder);
    if (!gone)
        return;
    if (gone->kind == ENCODE_GZIP)
        deflateEnd(&gone->z);
    ZSTD_freeCCtx(gone->zstd);
    mem_free(&gone);
}

static Code gzip_put(z_stream *z, Str in, EncodeStep step, Buf *out, Err *err)
{
    static const int flushes[] = { [ENCODE_MORE] = Z_NO_FLUSH, [ENCODE_FLUSH] = Z_SYNC_FLUSH,
                                   [ENCODE_END] = Z_FINISH };
    bool done = false;
    while (!done) {
        size_t part = MIN(in.len, (size_t)IN_STEP);
        int flush = part == in.len ? flushes[step] : Z_NO_FLUSH;
        if (!buf_reserve(out, OUT_STEP))
            return buf_end(out, "compressed bytes", err);
        z->next_in = (Bytef *)(uintptr_t)in.ptr;
        z->avail_in = (uInt)part;
        z->next_out = (Bytef *)out->ptr + out->len;
        z->avail_out = OUT_STEP;
        int result = deflate(z, flush);
        if (result == Z_STREAM_ERROR)
            return err_set(err, E_INTERNAL, "zlib: %d", result);
        out->len += OUT_STEP - z->avail_out;
        in = str_from(in, part - z->avail_in);
        done = in.len == 0 && (step == ENCODE_END ? result == Z_STREAM_END : z->avail_out > 0);
    }
    return E_OK;
}

static Code zstd_put(ZSTD_CCtx *zstd, Str in, EncodeStep step, Buf *out, Err *err)
{
    static const ZSTD_EndDirective directives[] = { [ENCODE_MORE] = ZSTD_e_continue,
                                                    [ENCODE_FLUSH] = ZSTD_e_flush,
                                                    [ENCODE_END] = ZSTD_e_end };
    ZSTD_inBuffer input = { in.ptr, in.len, 0 };
    bool done = false;
    while (!done) {
        if (!buf_reserve(out, OUT_STEP))
            return buf_end(out, "compressed bytes", err);
        ZSTD_outBuffer output = { out->ptr + out->len, OUT_STEP, 0 };
        size_t left = ZSTD_compressStream2(zstd, &output, &input, directives[step]);
        if (ZSTD_isError(left))
            return err_set(err, E_INTERNAL, "Zstandard: %s", ZSTD_getErrorName(left));
        out->len += output.pos;
        done = input.pos == input.size && (step == ENCODE_MORE || left == 0);
    }
    return E_OK;
}

Code encoder_put(Encoder *encoder, Str in, EncodeStep step, Buf *out, Err *err)
{
    ASSERT(!encoder->ended);
    encoder->ended = step == ENCODE_END;
    if (in.len == 0 && step == ENCODE_MORE)
        return E_OK;
    return encoder->kind == ENCODE_GZIP ? gzip_put(&encoder->z, in, step, out, err)
                                        : zstd_put(encoder->zstd, in, step, out, err);
}
