/* HTTP: heads and chunked bodies give the same answer whole, byte by byte and in pieces whose
 * lengths the input chooses. The first byte chooses which. */
#include "base/buf.h"
#include "format/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void check_head(const HttpHead *head, Str in, size_t used)
{
    uint64_t from, cut;
    ASSERT(used <= in.len && used <= HTTP_HEAD_BYTES_MAX && !(head->has_length && head->chunked));
    ASSERT(head->field_count <= HTTP_FIELDS_MAX && head->path.len > 0);
    ASSERT(http_token_ok(head->method) && (head->host.len == 0 || http_host_ok(head->host)));
    for (size_t i = 0; i < head->field_count; i++) {
        Str name = http_field_name(head, i), value = http_field_value(head, i);
        ASSERT(http_token_ok(name) && http_value_ok(value) &&
               value.ptr + value.len <= in.ptr + used);
        ASSERT(http_field(head, name).ptr <= value.ptr);
    }
    if (http_range_parse(http_field(head, STR("Range")), 1000, &from, &cut) == HTTP_DONE)
        ASSERT(from < 1000 && cut > 0 && cut <= 1000 - from);
}

static void fuzz_head(Str in)
{
    HttpHead head, piecewise;
    HttpRefusal refusal = { 0 }, refusal_piecewise = { 0 };
    size_t used = 0, used_piecewise = 0;
    HttpStep whole = http_head_parse(in, &head, &used, &refusal), step = HTTP_MORE;
    for (size_t at = 0; at <= in.len && step == HTTP_MORE; at++)
        step = http_head_parse(str_sub(in, 0, at), &piecewise, &used_piecewise, &refusal_piecewise);
    ASSERT(step == whole && used == used_piecewise && refusal.status == refusal_piecewise.status);
    ASSERT(refusal.text == refusal_piecewise.text);
    if (whole == HTTP_DONE)
        check_head(&head, in, used);
}

typedef struct Decoded {
    HttpStep step;
    HttpRefusal refusal;
    size_t left;
    Buf data, trailers;
} Decoded;

static void decoded_done(Decoded *decoded)
{
    buf_done(&decoded->data);
    buf_done(&decoded->trailers);
}

/* In pieces of at most `piece_len` bytes; 0: of lengths that the bytes themselves give. */
static void decode(Str in, size_t piece_len, Decoded *ret_decoded)
{
    HttpChunks chunks AUTO(http_chunks_done) = { 0 };
    Decoded *d = ret_decoded;
    buf_init(&d->data, 16 << 20);
    buf_init(&d->trailers, HTTP_TRAILER_BYTES_MAX);
    while (in.len > 0 && d->step == HTTP_MORE) {
        Str piece = str_sub(in, 0, piece_len ? piece_len : 1u + (uint8_t)in.ptr[in.len / 2] % 16u),
            data;
        size_t before = piece.len;
        do {
            d->step = http_chunks_next(&chunks, &piece, &data, &d->refusal);
            if (d->step != HTTP_REFUSE)
                buf_put(&d->data, data);
        } while (d->step == HTTP_MORE && piece.len > 0);
        in = str_from(in, before - piece.len);
    }
    d->left = in.len;
    ASSERT(d->step == HTTP_REFUSE || chunks.total == d->data.len);
    Str rest = http_chunks_trailers(&chunks), name, value;
    if (d->step != HTTP_DONE)
        return;
    buf_put(&d->trailers, rest);
    while (http_trailer_next(&rest, &name, &value)) {
        ASSERT(http_token_ok(name) && http_value_ok(value) && !str_ieq(name, STR("Host")));
        ASSERT(http_trailer(http_chunks_trailers(&chunks), name).ptr <= value.ptr);
    }
}

static void fuzz_chunks(Str in)
{
    Decoded whole AUTO(decoded_done) = { 0 };
    decode(in, SIZE_MAX, &whole);
    for (size_t piece_len = 0; piece_len < 2; piece_len++) {
        Decoded pieces AUTO(decoded_done) = { 0 };
        decode(in, piece_len, &pieces);
        ASSERT(pieces.step == whole.step && pieces.refusal.text == whole.refusal.text);
        ASSERT(str_eq(buf_str(&pieces.data), buf_str(&whole.data)));
        ASSERT(str_eq(buf_str(&pieces.trailers), buf_str(&whole.trailers)));
        ASSERT(whole.step != HTTP_DONE || pieces.left == whole.left);
    }
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
