/* HTTP: heads and chunked bodies give the same answer whole and byte by byte. The first byte
 * chooses. */
#include "base/buf.h"
#include "format/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void fuzz_head(Str in)
{
    HttpHead head, piecewise;
    HttpRefusal refusal;
    size_t used = 0, used_piecewise = 0;
    HttpStep whole = http_head_parse(in, &head, &used, &refusal), step = HTTP_MORE;
    for (size_t at = 0; at <= in.len && step == HTTP_MORE; at++)
        step = http_head_parse(str_sub(in, 0, at), &piecewise, &used_piecewise, &refusal);
    ASSERT(step == whole && used == used_piecewise);
    if (whole == HTTP_DONE) {
        uint64_t from, cut;
        ASSERT(used <= in.len && used <= HTTP_HEAD_BYTES_MAX && !(head.has_length && head.chunked));
        ASSERT(head.field_count <= HTTP_FIELDS_MAX && head.path.len > 0);
        if (http_range_parse(http_field(&head, STR("Range")), 1000, &from, &cut) == HTTP_DONE)
            ASSERT(from < 1000 && cut > 0 && cut <= 1000 - from);
    }
}

static HttpStep decode(Str in, size_t piece_len, Buf *out, size_t *ret_left)
{
    HttpChunks chunks = { 0 };
    HttpRefusal refusal;
    HttpStep step = HTTP_MORE;
    while (in.len > 0 && step == HTTP_MORE) {
        Str piece = str_sub(in, 0, piece_len), data;
        size_t before = piece.len;
        do {
            step = http_chunks_next(&chunks, &piece, &data, &refusal);
            if (step != HTTP_REFUSE)
                buf_put(out, data);
        } while (step == HTTP_MORE && piece.len > 0);
        in = str_from(in, before - piece.len);
    }
    *ret_left = in.len;
    return step;
}

static void fuzz_chunks(Str in)
{
    Buf whole AUTO(buf_done), bytewise AUTO(buf_done);
    size_t left_whole, left_bytewise;
    buf_init(&whole, 16 << 20);
    buf_init(&bytewise, 16 << 20);
    HttpStep a = decode(in, SIZE_MAX, &whole, &left_whole),
             b = decode(in, 1, &bytewise, &left_bytewise);
    ASSERT(a == b && str_eq(buf_str(&whole), buf_str(&bytewise)));
    ASSERT(a != HTTP_DONE || left_whole == left_bytewise);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    if (len == 0)
        return 0;
    if (bytes[0] == 'C')
        fuzz_chunks(str_of(bytes + 1, len - 1));
    else
        fuzz_head(str_of(bytes + 1, len - 1));
    return 0;
}
