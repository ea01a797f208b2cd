#include "base/test.h"
#include "format/inflate.h"

#include <string.h>

static const InflateKind kinds[] = { INFLATE_GZIP, INFLATE_ZSTD, INFLATE_ZLIB, INFLATE_RAW };

static void text_of(Buf *buf, size_t lines)
{
    buf_init(buf, 64 << 20);
    for (size_t i = 0; i < lines; i++)
        buf_format(buf, "line %zu of a file, %zu\n", i, i * 7919 % 1000);
}

static Code inflated(InflateKind kind, Str in, Buf *out, Err *err)
{
    buf_init(out, 64 << 20);
    return inflate_whole(kind, in, NULL, out, err);
}

TEST(inflate_gives_back)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        for (size_t lines = 0; lines < 20000; lines = lines * 8 + 1) {
            Buf text AUTO(buf_done), small AUTO(buf_done), back AUTO(buf_done);
            Err err;
            text_of(&text, lines);
            buf_init(&small, 64 << 20);
            CHECK_OK(deflate_whole(kinds[i], buf_str(&text), 6, &small, &err), &err);
            CHECK_OK(inflated(kinds[i], buf_str(&small), &back, &err), &err);
            CHECK(str_eq(buf_str(&back), buf_str(&text)));
        }
    }
}

TEST(inflate_refuses_every_cut)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        Buf text AUTO(buf_done), small AUTO(buf_done);
        Err err;
        text_of(&text, 100);
        buf_init(&small, 64 << 20);
        CHECK_OK(deflate_whole(kinds[i], buf_str(&text), 6, &small, &err), &err);
        for (size_t len = 0; len < small.len; len++) {
            Buf back AUTO(buf_done);
            CHECK_CODE(inflated(kinds[i], str_of(small.ptr, len), &back, &err), E_CORRUPT);
        }
    }
}

TEST(inflate_gzip_checks_crc_and_length_and_what_follows)
{
    Buf text AUTO(buf_done), small AUTO(buf_done);
    Err err;
    text_of(&text, 100);
    buf_init(&small, 64 << 20);
    CHECK_OK(deflate_whole(INFLATE_GZIP, buf_str(&text), 6, &small, &err), &err);
    for (size_t from_end = 1; from_end <= 8; from_end++) {
        Buf back AUTO(buf_done);
        small.ptr[small.len - from_end] ^= 1;
        CHECK_CODE(inflated(INFLATE_GZIP, buf_str(&small), &back, &err), E_CORRUPT);
        small.ptr[small.len - from_end] ^= 1;
    }
    size_t one = small.len;
    CHECK_OK(deflate_whole(INFLATE_GZIP, STR("more"), 6, &small, &err), &err);
    Buf both AUTO(buf_done), junk AUTO(buf_done);
    CHECK_OK(inflated(INFLATE_GZIP, buf_str(&small), &both, &err), &err); /* two members */
    CHECK(str_ends(buf_str(&both), STR("more")) && both.len == text.len + 4);
    small.len = one;
    buf_put(&small, STR("junk"));
    CHECK_CODE(inflated(INFLATE_GZIP, buf_str(&small), &junk, &err), E_CORRUPT);
}

TEST(inflate_tail_is_refused_or_dropped)
{
    Buf small AUTO(buf_done), out AUTO(buf_done);
    Err err;
    buf_init(&small, 1 << 20);
    buf_init(&out, 1 << 20);
    CHECK_OK(deflate_whole(INFLATE_RAW, STR("hello"), 6, &small, &err), &err);
    buf_put(&small, STR("abc"));
    CHECK_CODE(inflate_whole(INFLATE_RAW, buf_str(&small), NULL, &out, &err), E_CORRUPT);
    buf_clear(&out);
    InflateLimits limits = { .ignores_tail = true };
    CHECK_OK(inflate_whole(INFLATE_RAW, buf_str(&small), &limits, &out, &err), &err);
    CHECK_STR(buf_str(&out), STR("hello"));
}

TEST(inflate_has_maxima)
{
    for (size_t i = 0; i < 2; i++) {
        Buf zeros AUTO(buf_done), bomb AUTO(buf_done), out AUTO(buf_done);
        Err err;
        buf_init(&zeros, 64 << 20);
        buf_put_zeros(&zeros, 40 << 20);
        buf_init(&bomb, 64 << 20);
        buf_init(&out, 64 << 20);
        CHECK_OK(deflate_whole(kinds[i], buf_str(&zeros), 9, &bomb, &err), &err);
        CHECK_CODE(inflate_whole(kinds[i], buf_str(&bomb), NULL, &out, &err), E_LIMIT);
        CHECK(out.len < 20 << 20);
        buf_clear(&out);
        InflateLimits limits = { .bytes_max = 1000 };
        CHECK_CODE(inflate_whole(kinds[i], buf_str(&bomb), &limits, &out, &err), E_LIMIT);
        Buf tiny AUTO(buf_done);
        buf_init(&tiny, 100);
        limits.bytes_max = 0;
        CHECK_CODE(inflate_whole(kinds[i], buf_str(&bomb), &limits, &tiny, &err), E_LIMIT);
    }
}

TEST(inflate_in_small_steps)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        Buf text AUTO(buf_done), small AUTO(buf_done), back AUTO(buf_done);
        Inflate *inf AUTO(inflate_free) = NULL;
        Err err;
        text_of(&text, 300);
        buf_init(&small, 64 << 20);
        buf_init(&back, 64 << 20);
        CHECK_OK(deflate_whole(kinds[i], buf_str(&text), 1, &small, &err), &err);
        CHECK_OK(inflate_open(kinds[i], NULL, &inf, &err), &err);
        for (size_t at = 0; at < small.len; at++) {
            Str in = str_of(small.ptr + at, 1);
            char out[7];
            size_t len;
            do {
                CHECK_OK(inflate_step(inf, &in, out, sizeof out, &len, &err), &err);
                buf_put(&back, str_of(out, len));
            } while (len > 0 || in.len > 0);
        }
        CHECK_OK(inflate_end(inf, &err), &err);
        CHECK(str_eq(buf_str(&back), buf_str(&text)));
    }
}

TEST(inflate_kind_by_content)
{
    InflateKind kind;
    CHECK(inflate_kind_of(STR("\x1f\x8b\x08"), &kind) && kind == INFLATE_GZIP);
    CHECK(inflate_kind_of(STR("\x28\xb5\x2f\xfd"), &kind) && kind == INFLATE_ZSTD);
    CHECK(!inflate_kind_of(STR("PAR1"), &kind) && !inflate_kind_of(STR(""), &kind));
}

/* The library may know the formats before 0.8 (their first byte is 0x27 and less): they are not ours. */
TEST(inflate_takes_zstd_frames_as_published_only)
{
    Str old = STR("\x27\xb5\x2f\xfd\x00\x1f\xfd\xf1\x00"), half = STR("\x28\xb5\x2f\xfc");
    Str text = STR("a text"), skipped = STR("\x5f\x2a\x4d\x18\x02\x00\x00\x00xy");
    Buf all AUTO(buf_done), back AUTO(buf_done);
    Err err;
    buf_init(&all, 1 << 20);
    buf_init(&back, 1 << 20);
    CHECK_CODE(inflate_whole(INFLATE_ZSTD, old, NULL, &back, &err), E_CORRUPT);
    CHECK_STR(str_z(err.text), STR("Zstandard: a frame does not begin with its magic number"));
    CHECK_CODE(inflate_whole(INFLATE_ZSTD, half, NULL, &back, &err), E_CORRUPT);
    buf_put(&all, skipped);
    CHECK_OK(deflate_whole(INFLATE_ZSTD, text, 3, &all, &err), &err);
    buf_put(&all, skipped);
    CHECK_OK(deflate_whole(INFLATE_ZSTD, text, 3, &all, &err), &err);
    CHECK_OK(inflate_whole(INFLATE_ZSTD, buf_str(&all), NULL, &back, &err), &err);
    CHECK_STR(buf_str(&back), STR("a texta text"));
    buf_put(&all, old);
    CHECK_CODE(inflate_whole(INFLATE_ZSTD, buf_str(&all), NULL, &back, &err), E_CORRUPT);
}

TEST(inflate_zstd_frame_gives_the_size_that_it_names)
{
    Str lies = STR("\x28\xb5\x2f\xfd\x80\x19\x19\x73\x00\x00\x00\x00\x00\x01\x00\x00");
    for (size_t piece = 1; piece <= lies.len; piece++) {
        Inflate *inflate AUTO(inflate_free) = NULL;
        Err err;
        Code code = inflate_open(INFLATE_ZSTD, NULL, &inflate, &err);
        for (size_t at = 0; code == E_OK && at < lies.len; at += piece) {
            Str in = str_sub(lies, at, piece);
            char room[64];
            size_t len = 0;
            code = inflate_step(inflate, &in, room, sizeof room, &len, &err);
        }
        CHECK_CODE(code == E_OK ? inflate_end(inflate, &err) : code, E_CORRUPT);
    }
}
