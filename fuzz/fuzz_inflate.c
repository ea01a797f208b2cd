/* Decompression: the first byte chooses the kind; in small steps the same comes out as at once. */
#include "format/inflate.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static Code stepwise(InflateKind kind, const InflateLimits *limits, Str in, Buf *out, Err *err)
{
    Inflate *inflate AUTO(inflate_free) = NULL;
    TRY(inflate_open(kind, limits, &inflate, err));
    while (in.len > 0) {
        Str piece = str_sub(in, 0, 3);
        char room[100];
        size_t got, before = piece.len;
        do {
            TRY(inflate_step(inflate, &piece, room, sizeof room, &got, err));
            buf_put(out, str_of(room, got));
        } while (got > 0);
        if (piece.len == before)
            return err_set(err, E_CORRUPT, "stuck");
        in = str_from(in, before - piece.len);
    }
    return inflate_end(inflate, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    Buf whole AUTO(buf_done), steps AUTO(buf_done);
    InflateLimits limits = { .bytes_max = 1 << 20 };
    Err err;
    if (len == 0)
        return 0;
    buf_init(&whole, 2 << 20);
    buf_init(&steps, 2 << 20);
    InflateKind kind = (InflateKind)(bytes[0] % 4);
    Str in = str_of(bytes + 1, len - 1);
    Code a = inflate_whole(kind, in, &limits, &whole, &err),
         b = stepwise(kind, &limits, in, &steps, &err);
    ASSERT((a == E_OK) == (b == E_OK));
    ASSERT(a != E_OK || str_eq(buf_str(&whole), buf_str(&steps)));
    return 0;
}
