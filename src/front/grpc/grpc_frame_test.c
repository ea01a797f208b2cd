#include "base/test.h"
#include "front/grpc/grpc_frame.h"

enum { MESSAGE_MAX = 100 };

/* The messages, each in brackets, and how it ended. */
static void tell(Str in, size_t piece, Buf *out)
{
    static const char *const ends[] = { "", "", "too big", "compressed", "malformed" };
    GrpcReader reader;
    grpc_reader_init(&reader, MESSAGE_MAX);
    GrpcStep step = GRPC_MORE;
    for (size_t at = 0; at < in.len && step <= GRPC_MESSAGE; at += piece) {
        Str part = str_sub(in, at, piece), message;
        while ((step = grpc_reader_next(&reader, &part, &message)) == GRPC_MESSAGE)
            buf_format(out, "[" STR_FMT "]", STR_ARG(message));
    }
    buf_put(out, str_z(ends[step]));
    if (step == GRPC_MORE && !grpc_reader_between(&reader))
        buf_put(out, STR("half"));
    grpc_reader_done(&reader);
}

TEST(grpc_frames_are_read)
{
    static const struct {
        Str in, wanted;
    } rows[] = {
        { STR_INIT("\0\0\0\0\5hello"), STR_INIT("[hello]") },
        { STR_INIT("\0\0\0\0\0"), STR_INIT("[]") },
        { STR_INIT("\0\0\0\0\0\0\0\0\0\1x\0\0\0\0\0"), STR_INIT("[][x][]") },
        { STR_INIT("\0\0\0\0\2ab\0\0\0\0\3cde"), STR_INIT("[ab][cde]") },
        { STR_INIT("\0\0\0\0\5hell"), STR_INIT("half") },
        { STR_INIT("\0\0\0"), STR_INIT("half") },
        { STR_INIT(""), STR_INIT("") },
        { STR_INIT("\0\0\0\0\1a\1\0\0\0\5hello"), STR_INIT("[a]compressed") },
        { STR_INIT("\2\0\0\0\5hello"), STR_INIT("malformed") },
        { STR_INIT("\0\0\0\0\x65"), STR_INIT("too big") },
        { STR_INIT("\0\xff\xff\xff\xff"), STR_INIT("too big") },
        { STR_INIT("\1\xff\xff\xff\xff"), STR_INIT("compressed") },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (size_t piece = 1; piece < 20; piece++) {
            Buf out AUTO(buf_done);
            buf_init(&out, 1000);
            tell(rows[i].in, piece, &out);
            if (!str_eq(buf_str(&out), rows[i].wanted))
                test_failed(__FILE__, __LINE__, "row %zu in pieces of %zu: '" STR_FMT "'", i, piece,
                            STR_ARG(buf_str(&out)));
        }
}

TEST(grpc_frames_go_both_ways)
{
    Buf message AUTO(buf_done), out AUTO(buf_done);
    buf_init(&message, MESSAGE_MAX);
    buf_init(&out, 1 << 20);
    for (size_t len = 0; len <= MESSAGE_MAX; len++) {
        GrpcReader reader;
        Str in, got;
        buf_clear(&out);
        grpc_frame_put(&out, buf_str(&message));
        grpc_frame_put(&out, buf_str(&message));
        in = buf_str(&out);
        grpc_reader_init(&reader, MESSAGE_MAX);
        for (int round = 0; round < 2; round++) {
            CHECK_INT(grpc_reader_next(&reader, &in, &got), GRPC_MESSAGE);
            CHECK_STR(got, buf_str(&message));
            CHECK(len == 0 || (got.ptr > out.ptr && got.ptr < out.ptr + out.len)); /* no copy */
        }
        CHECK(in.len == 0 && grpc_reader_between(&reader));
        grpc_reader_done(&reader);
        if (len < MESSAGE_MAX)
            buf_put_char(&message, (char)len);
    }
}

/* A length alone costs nothing, and a large message leaves nothing behind. */
TEST(grpc_reader_rests_small)
{
    GrpcReader reader;
    Buf zeros AUTO(buf_done);
    Str message;
    buf_init(&zeros, 1 << 20);
    buf_put_zeros(&zeros, 1 << 20);
    grpc_reader_init(&reader, 1 << 20);
    Str in = STR("\0\0\x10\0\0");
    CHECK_INT(grpc_reader_next(&reader, &in, &message), GRPC_MORE);
    CHECK(reader.bytes.cap == 0);
    in = str_sub(buf_str(&zeros), 0, 1 << 19);
    CHECK_INT(grpc_reader_next(&reader, &in, &message), GRPC_MORE);
    in = str_sub(buf_str(&zeros), 0, 1 << 19);
    CHECK_INT(grpc_reader_next(&reader, &in, &message), GRPC_MESSAGE);
    CHECK_INT(message.len, 1 << 20);
    CHECK_INT(grpc_reader_next(&reader, &in, &message), GRPC_MORE);
    CHECK(reader.bytes.cap <= GRPC_KEEP_BYTES && sizeof reader <= 100);
    grpc_reader_done(&reader);
}
