/* Compression of streams.
 *
 * Invariants:
 * 1. Every call takes all its input, so nothing borrowed is kept.
 * 2. After ENCODE_FLUSH and ENCODE_END nothing waits inside; after ENCODE_END there is no call.
 * 3. Memory does not depend on the input: the windows are fixed when the Encoder is opened. */
#include "format/encode.h"

#include <isa-l/igzip_lib.h>
#include <zlib.h>
#include <zstd.h>

enum { GZIP_WINDOW = 15 + 16, GZIP_MEMORY = 8, OUT_STEP = 16 << 10, IN_STEP = 1 << 30, ISAL_LEVEL_MAX = 3 };

struct Encoder {
    EncodeKind kind;
    bool ended;
    struct isal_zstream *isal;     /* one of these three */
    uint8_t *isal_room;
    z_stream *z;
    ZSTD_CCtx *zstd;
};

static void isal_open(Encoder *encoder, int level)
{
    static const uint32_t rooms[ISAL_LEVEL_MAX + 1] = { 0, ISAL_DEF_LVL1_DEFAULT, ISAL_DEF_LVL2_DEFAULT,
                                                        ISAL_DEF_LVL3_DEFAULT };
    encoder->isal = mem_new(sizeof *encoder->isal);
    encoder->isal_room = mem_new(rooms[level]);
    isal_deflate_init(encoder->isal);
    encoder->isal->level = (uint32_t)level;
    encoder->isal->level_buf = encoder->isal_room;
    encoder->isal->level_buf_size = rooms[level];
    encoder->isal->gzip_flag = IGZIP_GZIP;
}

static Code zlib_open(Encoder *encoder, int level, Err *err)
{
    z_stream *z = mem_new(sizeof *z);
    if (deflateInit2(z, level, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY, Z_DEFAULT_STRATEGY) != Z_OK) {
        mem_free(&z);
        return err_set(err, E_INTERNAL, "zlib cannot start");
    }
    encoder->z = z;
    return E_OK;
}

Code encoder_open(EncodeKind kind, int level, Encoder **ret_encoder, Err *err)
{
    if (level < 0 || level > ENCODE_LEVEL_MAX)
        return err_set(err, E_INVALID, "the level of a compression is 1 to %d", ENCODE_LEVEL_MAX);
    Encoder *encoder AUTO(encoder_free) = mem_new(sizeof *encoder);
    encoder->kind = kind;
    if (kind == ENCODE_GZIP) {
        level = level ? level : ENCODE_GZIP_LEVEL;
        if (level <= ISAL_LEVEL_MAX)
            isal_open(encoder, level);
        else
            TRY(zlib_open(encoder, level, err));
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
        ENCODE_ZSTD_BYTES, ENCODE_ZSTD_BYTES, 2 << 20, 2 << 20, 4 << 20, 5 << 20, 5 << 20, 8 << 20, 8 << 20, 14 << 20,
    };
    return kind == ENCODE_GZIP ? (size_t)ENCODE_GZIP_BYTES : zstd[MIN(MAX(level, 0), (int)ENCODE_LEVEL_MAX)];
}

void encoder_free(Encoder **encoder)
{
    Encoder *gone = TAKE(*encoder);
    if (!gone)
        return;
    if (gone->z)
        deflateEnd(gone->z);
    mem_free(&gone->z);
    mem_free(&gone->isal_room);
    mem_free(&gone->isal);
    ZSTD_freeCCtx(gone->zstd);
    mem_free(&gone);
}

static Code isal_put(struct isal_zstream *isal, Str in, EncodeStep step, Buf *out, Err *err)
{
    bool done = false;
    while (!done) {
        size_t part = MIN(in.len, (size_t)IN_STEP);
        bool last = part == in.len;
        if (!buf_reserve(out, OUT_STEP))
            return buf_end(out, "compressed bytes", err);
        isal->next_in = (uint8_t *)(uintptr_t)in.ptr;
        isal->avail_in = (uint32_t)part;
        isal->next_out = (uint8_t *)out->ptr + out->len;
        isal->avail_out = OUT_STEP;
        isal->end_of_stream = last && step == ENCODE_END;
        isal->flush = last && step == ENCODE_FLUSH ? SYNC_FLUSH : NO_FLUSH;
        int result = isal_deflate(isal);
        if (result != COMP_OK)
            return err_set(err, E_INTERNAL, "ISA-L: %d", result);
        out->len += OUT_STEP - isal->avail_out;
        in = str_from(in, part - isal->avail_in);
        done = in.len == 0 && (step == ENCODE_END ? isal->internal_state.state == ZSTATE_END
                                                  : isal->avail_out > 0);
    }
    return E_OK;
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
    if (encoder->isal)
        return isal_put(encoder->isal, in, step, out, err);
    return encoder->z ? gzip_put(encoder->z, in, step, out, err) : zstd_put(encoder->zstd, in, step, out, err);
}
