/* What is encoded piece by piece comes back whole, and at once after a flush. */
#include "format/encode.h"

#include "base/test.h"
#include "format/inflate.h"

#include <malloc.h>

static const InflateKind kinds[] = { [ENCODE_GZIP] = INFLATE_GZIP, [ENCODE_ZSTD] = INFLATE_ZSTD };
static const InflateLimits limits = { 0 };

/* Text that compresses, and in between bytes that do not. */
static void text_put(Buf *out, size_t bytes, uint64_t seed)
{
    while (out->len < bytes) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        if (seed >> 60 == 0) {
            for (int i = 0; i < 200; i++) {
                seed = seed * 6364136223846793005u + 1442695040888963407u;
                buf_put_char(out, (char)(seed >> 56));
            }
        }
        buf_format(out, "{\"key\":%llu,\"name\":\"anna\"}\n", (unsigned long long)(seed >> 54));
    }
}

TEST(encode_round_trips_in_pieces_of_every_size)
{
    static const size_t pieces[] = { 1, 7, 1000, 65536, 1 << 20 };
    Buf text AUTO(buf_done) = { 0 };
    buf_init(&text, 1 << 20);
    text_put(&text, 300000, test_seed());
    for (int turn = 0; turn < 6; turn++) {
        int kind = turn % 2, level = (int[]){ 0, 6, 3 }[turn / 2]; /* each of the libraries */
        for (size_t p = 0; p < ARRAY_LEN(pieces); p++) {
            Encoder *encoder AUTO(encoder_free) = NULL;
            Buf out AUTO(buf_done) = { 0 }, back AUTO(buf_done) = { 0 };
            Err err;
            buf_init(&out, 1 << 20);
            buf_init(&back, 1 << 20);
            CHECK_OK(encoder_open((EncodeKind)kind, level, &encoder, &err), &err);
            Str all = buf_str(&text);
            for (size_t at = 0; at < (pieces[p] == 1 ? 20000 : all.len); at += pieces[p])
                CHECK_OK(encoder_put(encoder, str_sub(all, at, pieces[p]), ENCODE_MORE, &out, &err), &err);
            CHECK_OK(encoder_put(encoder, STR_NONE, ENCODE_END, &out, &err), &err);
            CHECK_OK(inflate_whole(kinds[kind], buf_str(&out), &limits, &back, &err), &err);
            CHECK(str_eq(buf_str(&back), pieces[p] == 1 ? str_sub(all, 0, 20000) : all));
            if (pieces[p] > 1 && out.len >= back.len / 2)
                test_failed(__FILE__, __LINE__, "kind %d level %d pieces %zu: %zu of %zu", kind, level, pieces[p], out.len, back.len);
        }
    }
}

TEST(encode_flush_makes_all_readable_at_once)
{
    for (int turn = 0; turn < 4; turn++) {
        int kind = turn % 2;
        Encoder *encoder AUTO(encoder_free) = NULL;
        Inflate *inflate AUTO(inflate_free) = NULL;
        Buf out AUTO(buf_done) = { 0 };
        Err err;
        buf_init(&out, 1 << 20);
        CHECK_OK(encoder_open((EncodeKind)kind, turn / 2 * 5, &encoder, &err), &err);
        CHECK_OK(inflate_open(kinds[kind], &limits, &inflate, &err), &err);
        for (int i = 0; i < 50; i++) {
            char back[64];
            size_t len, got = 0;
            CHECK_OK(encoder_put(encoder, STR("data: one event\n\n"), ENCODE_FLUSH, &out, &err), &err);
            Str in = buf_str(&out);
            do {
                CHECK_OK(inflate_step(inflate, &in, back + got, sizeof back - got, &len, &err), &err);
                got += len;
            } while (len > 0 || in.len > 0);
            CHECK_STR(str_of(back, got), STR("data: one event\n\n"));
            buf_clear(&out);
        }
        CHECK_OK(encoder_put(encoder, STR_NONE, ENCODE_END, &out, &err), &err);
        CHECK(out.len > 0);
    }
}

TEST(encode_nothing_and_output_that_does_not_fit)
{
    for (int kind = ENCODE_GZIP; kind <= ENCODE_ZSTD; kind++) {
        Encoder *encoder AUTO(encoder_free) = NULL;
        Buf out AUTO(buf_done) = { 0 }, back AUTO(buf_done) = { 0 };
        Err err;
        buf_init(&out, 1 << 20);
        buf_init(&back, 100);
        CHECK_CODE(encoder_open(kind, -1, &encoder, NULL), E_INVALID);
        CHECK_CODE(encoder_open(kind, ENCODE_LEVEL_MAX + 1, &encoder, NULL), E_INVALID);
        CHECK_OK(encoder_open(kind, 1, &encoder, &err), &err);
        CHECK_OK(encoder_put(encoder, STR_NONE, ENCODE_END, &out, &err), &err);
        CHECK_OK(inflate_whole(kinds[kind], buf_str(&out), &limits, &back, &err), &err);
        CHECK_INT(back.len, 0);
        encoder_free(&encoder);
        Buf small AUTO(buf_done) = { 0 };
        buf_init(&small, 100);
        CHECK_OK(encoder_open(kind, 0, &encoder, &err), &err);
        CHECK_CODE(encoder_put(encoder, STR("x"), ENCODE_END, &small, NULL), E_LIMIT);
    }
}

TEST(encode_memory_is_what_it_is_charged_with)
{
    Buf text AUTO(buf_done) = { 0 }, out AUTO(buf_done) = { 0 };
    Err err;
    buf_init(&text, 4 << 20);
    buf_init(&out, 4 << 20);
    text_put(&text, 2 << 20, 1);
    if (!buf_reserve(&out, 4 << 20) || mallinfo2().uordblks == 0)
        return; /* an allocator that does not tell */
    for (int kind = ENCODE_GZIP; kind <= ENCODE_ZSTD; kind++) {
        for (int level = 0; level <= ENCODE_LEVEL_MAX; level++) {
            struct mallinfo2 before = mallinfo2();
            Encoder *encoder AUTO(encoder_free) = NULL;
            CHECK_OK(encoder_open(kind, level, &encoder, &err), &err);
            CHECK_OK(encoder_put(encoder, buf_str(&text), ENCODE_MORE, &out, &err), &err);
            struct mallinfo2 after = mallinfo2();
            size_t took = after.uordblks + after.hblkhd - before.uordblks - before.hblkhd;
            if (took > encoder_bytes(kind, level) || took < encoder_bytes(kind, level) / 4)
                test_failed(__FILE__, __LINE__, "kind %d level %d: %zu bytes, charged %zu", kind, level, took,
                            encoder_bytes(kind, level));
            buf_clear(&out);
        }
    }
}
