#include "base/test.h"
#include "format/deflate_stream.h"

enum { OUT_MAX = 1 << 20 };

static Code inflate_pieces(Inflater *inflater, Str in, size_t piece, bool keeps, Buf *out, Err *err)
{
    for (size_t at = 0; at < in.len; at += piece)
        TRY(inflater_piece(inflater, str_sub(in, at, piece), out, err));
    return inflater_message_end(inflater, keeps, out, err);
}

/* RFC 7692 section 7.2.3: the examples. The second one refers to the window of the first. */
TEST(inflater_reads_the_examples_of_the_rfc)
{
    static const struct {
        const char *name;
        Str message, wanted;
    } rows[] = {
        { "one block", STR_INIT("\xf2\x48\xcd\xc9\xc9\x07\x00"), STR_INIT("Hello") },
        { "window kept", STR_INIT("\xf2\x00\x11\x00\x00"), STR_INIT("Hello") },
        { "stored", STR_INIT("\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00"), STR_INIT("Hello") },
        { "BFINAL", STR_INIT("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"), STR_INIT("Hello") },
        { "window behind BFINAL", STR_INIT("\xf2\x00\x11\x00\x00"), STR_INIT("Hello") },
        { "two blocks",
          STR_INIT("\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00"), STR_INIT("Hello") },
        { "empty", STR_INIT("\x00"), STR_INIT("") },
        { "no byte", STR_INIT(""), STR_INIT("") },
        { "after no byte", STR_INIT("\xf2\x00\x11\x00\x00"), STR_INIT("Hello") },
    };
    for (size_t piece = 1; piece < 12; piece += 10) {
        Inflater *inflater AUTO(inflater_free) = NULL;
        Err err;
        CHECK_OK(inflater_open(DEFLATE_BITS_MAX, &inflater, &err), &err);
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            Buf out AUTO(buf_done);
            buf_init(&out, OUT_MAX);
            CHECK_OK(inflate_pieces(inflater, rows[i].message, piece, true, &out, &err), &err);
            CHECK_STR(buf_str(&out), rows[i].wanted);
        }
    }
}

TEST(inflater_refuses_what_is_damaged)
{
    static const struct {
        const char *name;
        Str message;
    } rows[] = {
        { "block type 3", STR_INIT("\x06") },
        { "stored lengths differ", STR_INIT("\x00\x05\x00\x00\x00Hello\x00") },
        { "distance before the start", STR_INIT("\xf2\x00\x11\x00\x00") },
        { "ends inside a stored block", STR_INIT("\x00\x09\x00\xf6\xffH") },
        { "ends behind BFINAL", STR_INIT("\xf3\x48\xcd\xc9\xc9\x07\x00") },
        { "ends inside a code", STR_INIT("\xf2\x48") },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        Inflater *inflater AUTO(inflater_free) = NULL;
        Buf out AUTO(buf_done);
        Err err;
        buf_init(&out, OUT_MAX);
        CHECK_OK(inflater_open(DEFLATE_BITS_MAX, &inflater, &err), &err);
        Code code = inflate_pieces(inflater, rows[i].message, 100, true, &out, &err);
        if (code != E_CORRUPT)
            test_failed(__FILE__, __LINE__, "%s: %s", rows[i].name, code_info(code)->name);
    }
}

TEST(inflater_bounds_what_comes_out)
{
    Deflater *deflater AUTO(deflater_free) = NULL;
    Buf plain AUTO(buf_done), packed AUTO(buf_done);
    Err err;
    buf_init(&plain, OUT_MAX);
    buf_init(&packed, OUT_MAX);
    buf_put_zeros(&plain, OUT_MAX);
    CHECK_OK(deflater_open(DEFLATE_BITS_MAX, 6, &deflater, &err), &err);
    CHECK_OK(deflater_message(deflater, buf_str(&plain), true, &packed, &err), &err);
    CHECK(packed.len < 2000);
    for (size_t max = OUT_MAX - 1; max <= OUT_MAX; max++) {
        Inflater *inflater AUTO(inflater_free) = NULL;
        Buf out AUTO(buf_done);
        buf_init(&out, max);
        CHECK_OK(inflater_open(DEFLATE_BITS_MAX, &inflater, &err), &err);
        CHECK_CODE(inflate_pieces(inflater, buf_str(&packed), 7, true, &out, &err),
                   max == OUT_MAX ? E_OK : E_LIMIT);
        CHECK(out.cap <= OUT_MAX);
    }
}

TEST(inflater_counts_final_blocks)
{
    Inflater *inflater AUTO(inflater_free) = NULL;
    Buf message AUTO(buf_done), out AUTO(buf_done);
    Err err;
    buf_init(&message, OUT_MAX);
    buf_init(&out, OUT_MAX);
    CHECK_OK(inflater_open(DEFLATE_BITS_MAX, &inflater, &err), &err);
    for (int over = 0; over < 2; over++) {
        buf_clear(&message);
        for (int i = 0; i < DEFLATE_FINALS_MAX + over; i++)
            buf_put(&message, STR("\x03\x00"));
        buf_put_char(&message, 0);
        for (int round = 0; round < 2 - over; round++)
            CHECK_CODE(inflate_pieces(inflater, buf_str(&message), 3, true, &out, &err),
                       over ? E_LIMIT : E_OK);
    }
}

/* Every window, both ways of keeping it, messages that repeat and messages that do not. */
TEST(deflate_stream_goes_both_ways)
{
    uint64_t random = test_seed() | 1;
    for (int bits = DEFLATE_BITS_MIN; bits <= DEFLATE_BITS_MAX; bits++)
        for (int keeps = 0; keeps < 2; keeps++) {
            Deflater *deflater AUTO(deflater_free) = NULL;
            Inflater *inflater AUTO(inflater_free) = NULL;
            Err err;
            CHECK_OK(deflater_open(bits, 6, &deflater, &err), &err);
            CHECK_OK(inflater_open(bits, &inflater, &err), &err);
            for (int round = 0; round < 8; round++) {
                Buf plain AUTO(buf_done), packed AUTO(buf_done), out AUTO(buf_done);
                buf_init(&plain, OUT_MAX);
                buf_init(&packed, OUT_MAX);
                buf_init(&out, OUT_MAX);
                for (int i = 0; i < round * 5000; i++) {
                    random = random * 6364136223846793005u + 1442695040888963407u;
                    buf_put_char(&plain, round & 1 ? (char)(random >> 60) : (char)(random >> 33));
                }
                CHECK_OK(deflater_message(deflater, buf_str(&plain), keeps, &packed, &err), &err);
                CHECK_OK(inflate_pieces(inflater, buf_str(&packed), 1 + random % 999, keeps, &out,
                                        &err),
                         &err);
                CHECK_STR(buf_str(&out), buf_str(&plain));
            }
        }
}
