/* Invariants:
 * 1. `between` is true before the first byte and after a complete, verified member or frame.
 * 2. taken and given count every byte; both maxima are looked at after each piece that came out.
 * 3. Only frames of Zstandard as published reach the library: it may know the formats from before,
 *    whose decoders nobody looks after.
 * 4. A Zstandard frame is always read in pieces: its first byte goes alone, or the library would take a
 *    second way for frames that are there as a whole, which does not refuse the same frames.
 * 5. A Zstandard frame that names its size gives exactly that: the library does not look when the last
 *    block is empty. */
#include "format/inflate.h"

#include <zlib.h>
#include <zstd.h>

enum {
    INFLATE_PIECE = 64 << 10,
    DEFLATE_BYTES_MAX = 1 << 30,
    GZIP_BITS = 15 + 16,
    ZLIB_BITS = 15,
    RAW_BITS = -15,
    ZSTD_HEAD_MAX = 18, /* RFC 8878: magic number and the longest frame header */
    ZSTD_MAGIC_LEN = 4
};

struct Inflate {
    InflateKind kind;
    InflateLimits limits;
    z_stream z;
    ZSTD_DStream *zstd;
    uint64_t taken, given;
    uint64_t members; /* complete ones */
    uint64_t frame_taken, frame_given; /* of the Zstandard frame that is open */
    uint8_t head[ZSTD_HEAD_MAX];       /* its first bytes */
    size_t head_len;
    bool between;
};

bool inflate_kind_of(Str first_bytes, InflateKind *ret_kind)
{
    if (str_starts(first_bytes, STR("\x1f\x8b")))
        *ret_kind = INFLATE_GZIP;
    else if (str_starts(first_bytes, STR("\x28\xb5\x2f\xfd")))
        *ret_kind = INFLATE_ZSTD;
    else
        return false;
    return true;
}

static int window_bits(InflateKind kind)
{
    return kind == INFLATE_GZIP ? GZIP_BITS : kind == INFLATE_ZLIB ? ZLIB_BITS : RAW_BITS;
}

Code inflate_open(InflateKind kind, const InflateLimits *limits, Inflate **ret_inflate, Err *err)
{
    Inflate *inflate AUTO(inflate_free) = mem_new(sizeof *inflate);
    inflate->kind = kind;
    inflate->between = true;
    if (limits)
        inflate->limits = *limits;
    if (inflate->limits.ratio_max == 0)
        inflate->limits.ratio_max = INFLATE_RATIO_MAX;
    if (kind == INFLATE_ZSTD) {
        inflate->zstd = ZSTD_createDStream();
        ASSERT(inflate->zstd != NULL);
        size_t result =
            ZSTD_DCtx_setParameter(inflate->zstd, ZSTD_d_windowLogMax, INFLATE_WINDOW_LOG_MAX);
        if (ZSTD_isError(result))
            return err_set(err, E_INTERNAL, "Zstandard: %s", ZSTD_getErrorName(result));
    } else if (inflateInit2(&inflate->z, window_bits(kind)) != Z_OK) {
        return err_set(err, E_INTERNAL, "zlib cannot start");
    }
    *ret_inflate = TAKE(inflate);
    return E_OK;
}

void inflate_free(Inflate **inflate)
{
    if (!*inflate)
        return;
    if ((*inflate)->kind == INFLATE_ZSTD)
        ZSTD_freeDStream((*inflate)->zstd);
    else
        inflateEnd(&(*inflate)->z);
    mem_free(inflate);
}

static const char *kind_name(InflateKind kind)
{
    static const char *const names[] = { "gzip", "Zstandard", "zlib", "deflate" };
    return names[kind];
}

/* One piece through zlib. */
static Code zlib_step(Inflate *inf, Str *in, void *out, size_t cap, size_t *ret_len, Err *err)
{
    z_stream *z = &inf->z;
    if (inf->between && inf->members > 0) {
        if (inf->kind != INFLATE_GZIP && inf->limits.ignores_tail) {
            *in = STR_NONE;
            *ret_len = 0;
            return E_OK;
        }
        if (inf->kind != INFLATE_GZIP)
            return err_set(err, E_CORRUPT, "bytes behind the end of the %s stream",
                           kind_name(inf->kind));
        inflateReset(z);
    }
    inf->between = false;
    size_t in_len = MIN(in->len, (size_t)INFLATE_PIECE), out_len = MIN(cap, (size_t)INFLATE_PIECE);
    z->next_in = (Bytef *)(uintptr_t)in->ptr;
    z->avail_in = (uInt)in_len;
    z->next_out = out;
    z->avail_out = (uInt)out_len;
    int result = inflate(z, Z_NO_FLUSH);
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
        return err_set(err, E_CORRUPT, "%s: %s", kind_name(inf->kind), z->msg ? z->msg : "damaged");
    if (result == Z_STREAM_END) {
        inf->between = true;
        inf->members++;
    }
    size_t used = in_len - z->avail_in;
    inf->taken += used;
    *in = str_from(*in, used);
    *ret_len = out_len - z->avail_out;
    return E_OK;
}

/* `next` follows the bytes of the frame that were taken. */
static void zstd_head_see(Inflate *inf, Str next)
{
    for (size_t i = 0; i < next.len && inf->frame_taken + i < ZSTD_HEAD_MAX; i++) {
        inf->head[inf->frame_taken + i] = (uint8_t)next.ptr[i];
        inf->head_len = inf->frame_taken + i + 1;
    }
}

/* As far as it is here, the magic number is one of RFC 8878: of data (one) or of what is skipped (16). */
static bool zstd_head_ours(const Inflate *inf)
{
    static const uint8_t data[ZSTD_MAGIC_LEN] = { 0x28, 0xB5, 0x2F, 0xFD },
                         skipped[ZSTD_MAGIC_LEN] = { 0x50, 0x2A, 0x4D, 0x18 };
    const uint8_t *wanted = inf->head[0] == data[0] ? data : skipped;
    for (size_t i = 0; i < MIN(inf->head_len, (size_t)ZSTD_MAGIC_LEN); i++)
        if ((wanted == skipped && i == 0 ? inf->head[i] & 0xF0 : inf->head[i]) != wanted[i])
            return false;
    return true;
}

static Code zstd_frame_end(Inflate *inf, Err *err)
{
    unsigned long long wanted = ZSTD_getFrameContentSize(inf->head, inf->head_len);
    if (wanted != ZSTD_CONTENTSIZE_UNKNOWN && wanted != inf->frame_given)
        return err_set(err, E_CORRUPT, "Zstandard: a frame of %llu bytes has %llu", wanted,
                       (unsigned long long)inf->frame_given);
    inf->between = true;
    inf->members++;
    return E_OK;
}

static Code zstd_step(Inflate *inf, Str *in, void *out, size_t cap, size_t *ret_len, Err *err)
{
    ZSTD_inBuffer source = { in->ptr, MIN(in->len, (size_t)INFLATE_PIECE), 0 };
    ZSTD_outBuffer target = { out, MIN(cap, (size_t)INFLATE_PIECE), 0 };
    if (inf->between)
        inf->frame_taken = inf->frame_given = inf->head_len = 0;
    if (inf->frame_taken == 0)
        source.size = MIN(source.size, (size_t)1);
    zstd_head_see(inf, *in);
    if (!zstd_head_ours(inf))
        return err_set(err, E_CORRUPT, "Zstandard: a frame does not begin with its magic number");
    inf->between = false;
    size_t result = ZSTD_decompressStream(inf->zstd, &target, &source);
    if (ZSTD_isError(result))
        return err_set(err, E_CORRUPT, "Zstandard: %s", ZSTD_getErrorName(result));
    inf->taken += source.pos;
    inf->frame_taken += source.pos;
    inf->frame_given += target.pos;
    *in = str_from(*in, source.pos);
    *ret_len = target.pos;
    return result == 0 ? zstd_frame_end(inf, err) : E_OK;
}

static Code check_limits(const Inflate *inf, Err *err)
{
    if (inf->limits.bytes_max && inf->given > inf->limits.bytes_max)
        return err_set(err, E_LIMIT, "more than %llu bytes come out of the %s stream",
                       (unsigned long long)inf->limits.bytes_max, kind_name(inf->kind));
    if (inf->given > INFLATE_RATIO_FREE && inf->given / inf->limits.ratio_max > inf->taken)
        return err_set(err, E_LIMIT, "the %s stream grows more than %llu times",
                       kind_name(inf->kind), (unsigned long long)inf->limits.ratio_max);
    return E_OK;
}

Code inflate_step(Inflate *inf, Str *in, void *out, size_t out_cap, size_t *ret_len, Err *err)
{
    size_t total = 0, len = 0;
    Str left = *in;
    while (total < out_cap && !(inf->between && left.len == 0)) {
        size_t before = left.len;
        char *at = (char *)out + total;
        if (inf->kind == INFLATE_ZSTD)
            TRY(zstd_step(inf, &left, at, out_cap - total, &len, err));
        else
            TRY(zlib_step(inf, &left, at, out_cap - total, &len, err));
        total += len;
        inf->given += len;
        TRY(check_limits(inf, err));
        if (len == 0 && before == left.len)
            break;
    }
    *in = left;
    *ret_len = total;
    return E_OK;
}

Code inflate_end(Inflate *inf, Err *err)
{
    if (inf->between && inf->members > 0)
        return E_OK;
    return err_set(err, E_CORRUPT, "the %s stream is cut short", kind_name(inf->kind));
}

Code inflate_whole(InflateKind kind, Str in, const InflateLimits *limits, Buf *out, Err *err)
{
    Inflate *inf AUTO(inflate_free) = NULL;
    TRY(inflate_open(kind, limits, &inf, err));
    for (;;) {
        char spare;
        size_t room = MIN(out->max - out->len, (size_t)INFLATE_PIECE), len = 0, before = in.len;
        char *at = room > 0 && buf_reserve(out, room) ? out->ptr + out->len : &spare;
        TRY(inflate_step(inf, &in, at, at == &spare ? 1 : room, &len, err));
        if (at == &spare && len > 0)
            return err_set(err, E_LIMIT, "more than %zu bytes come out of the %s stream", out->max,
                           kind_name(kind));
        if (at != &spare)
            out->len += len;
        if (len == 0 && before == in.len)
            break;
    }
    return inflate_end(inf, err);
}

static Code zstd_whole(Str in, int level, Buf *out, Err *err)
{
    size_t bound = ZSTD_compressBound(in.len);
    if (!buf_reserve(out, bound))
        return buf_end(out, "compressed bytes", err);
    size_t len = ZSTD_compress(out->ptr + out->len, bound, in.ptr, in.len, level);
    if (ZSTD_isError(len))
        return err_set(err, E_INTERNAL, "Zstandard: %s", ZSTD_getErrorName(len));
    out->len += len;
    return E_OK;
}

Code deflate_whole(InflateKind kind, Str in, int level, Buf *out, Err *err)
{
    if (kind == INFLATE_ZSTD)
        return zstd_whole(in, level, out, err);
    if (in.len > DEFLATE_BYTES_MAX)
        return err_set(err, E_LIMIT, "%zu bytes are too many to compress at once", in.len);
    z_stream z = { 0 };
    if (deflateInit2(&z, level, Z_DEFLATED, window_bits(kind), MAX_MEM_LEVEL, Z_DEFAULT_STRATEGY) !=
        Z_OK)
        return err_set(err, E_INTERNAL, "zlib cannot start");
    size_t bound = deflateBound(&z, in.len);
    int result = Z_BUF_ERROR;
    if (buf_reserve(out, bound)) {
        z.next_in = (Bytef *)(uintptr_t)in.ptr;
        z.avail_in = (uInt)in.len;
        z.next_out = (Bytef *)out->ptr + out->len;
        z.avail_out = (uInt)bound;
        result = deflate(&z, Z_FINISH);
        out->len += bound - z.avail_out;
    }
    deflateEnd(&z);
    TRY(buf_end(out, "compressed bytes", err));
    return result == Z_STREAM_END ? E_OK : err_set(err, E_INTERNAL, "zlib: %d", result);
}
