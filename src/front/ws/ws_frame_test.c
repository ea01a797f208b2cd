#include "base/test.h"
#include "front/ws/ws_frame.h"

enum { MESSAGE_MAX = 1000, FRAGMENTS_MAX = 5 };

static const WsReaderOptions plain = { .message_max = MESSAGE_MAX, .fragments_max = FRAGMENTS_MAX };
static const WsReaderOptions masked = { .message_max = MESSAGE_MAX,
                                        .fragments_max = FRAGMENTS_MAX,
                                        .from_client = true };
static const WsReaderOptions packed = { .message_max = MESSAGE_MAX,
                                        .fragments_max = FRAGMENTS_MAX,
                                        .deflate = true,
                                        .keeps_window = true,
                                        .window_bits = DEFLATE_BITS_MAX };

/* What a reader says, in words: `text(..) binary(..) ping(..) pong(..) close(code ..) fail(code)`. */
static void tell(const WsReaderOptions *options, Str in, size_t piece, Buf *out)
{
    WsReader reader;
    ws_reader_init(&reader, options);
    WsStep step = WS_MORE;
    for (size_t at = 0; at < in.len && step != WS_FAILED; at += piece) {
        Str part = str_sub(in, at, piece);
        WsEvent event;
        while ((step = ws_reader_next(&reader, &part, &event)) == WS_EVENT) {
            const char *name = event.opcode == WS_TEXT     ? "text"
                               : event.opcode == WS_BINARY ? "binary"
                               : event.opcode == WS_PING   ? "ping"
                               : event.opcode == WS_PONG   ? "pong"
                                                           : "close";
            buf_format(out, "%s(", name);
            if (event.opcode == WS_CLOSE)
                buf_format(out, "%u ", event.code);
            buf_put(out, event.bytes);
            buf_put(out, STR(") "));
        }
    }
    if (step == WS_FAILED)
        buf_format(out, "fail(%u)", reader.fail_code);
    ws_reader_done(&reader);
}

static void check_row(const char *name, const WsReaderOptions *options, Str in, Str wanted)
{
    for (size_t piece = 1; piece <= in.len + 1; piece += piece < 4 ? 1 : in.len) {
        Buf out AUTO(buf_done);
        buf_init(&out, 1 << 20);
        tell(options, in, piece, &out);
        if (!str_eq(str_trim(buf_str(&out)), wanted))
            test_failed(__FILE__, __LINE__, "%s in pieces of %zu: '" STR_FMT "', wanted '" STR_FMT "'", name,
                        piece, STR_ARG(buf_str(&out)), STR_ARG(wanted));
    }
}

#define X25 "xxxxxxxxxxxxxxxxxxxxxxxxx"
#define X125 X25 X25 X25 X25 X25

TEST(ws_frames_are_read)
{
    static const struct {
        const char *name;
        const WsReaderOptions *options;
        Str in, wanted;
    } rows[] = {
        /* the examples of RFC 6455 section 5.7 */
        { "text", &plain, STR_INIT("\x81\x05Hello"), STR_INIT("text(Hello)") },
        { "masked text", &masked, STR_INIT("\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), STR_INIT("text(Hello)") },
        { "two fragments", &plain, STR_INIT("\x01\x03Hel\x80\x02lo"), STR_INIT("text(Hello)") },
        { "ping", &plain, STR_INIT("\x89\x05Hello"), STR_INIT("ping(Hello)") },
        { "masked pong", &masked, STR_INIT("\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), STR_INIT("pong(Hello)") },
        /* and of RFC 7692 section 7.2.3 */
        { "compressed", &packed, STR_INIT("\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00"), STR_INIT("text(Hello)") },
        { "compressed in two", &packed, STR_INIT("\x41\x03\xf2\x48\xcd\x80\x04\xc9\xc9\x07\x00"), STR_INIT("text(Hello)") },
        { "window kept", &packed, STR_INIT("\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00\xc1\x05\xf2\x00\x11\x00\x00"),
          STR_INIT("text(Hello) text(Hello)") },
        { "plain beside compressed", &packed, STR_INIT("\x81\x02Hi\xc2\x07\xf2\x48\xcd\xc9\xc9\x07\x00"),
          STR_INIT("text(Hi) binary(Hello)") },
        { "ping in a compressed one", &packed, STR_INIT("\x41\x03\xf2\x48\xcd\x89\x00\x80\x04\xc9\xc9\x07\x00"),
          STR_INIT("ping() text(Hello)") },
        { "empty compressed", &packed, STR_INIT("\xc1\x01\x00\xc1\x00"), STR_INIT("text() text()") },
        { "empty", &plain, STR_INIT("\x81\x00\x82\x00"), STR_INIT("text() binary()") },
        { "empty fragments", &plain, STR_INIT("\x02\x00\x00\x00\x80\x00"), STR_INIT("binary()") },
        { "control between", &plain, STR_INIT("\x01\x01" "a\x89\x01p\x00\x01" "b\x8a\x00\x80\x01" "c"),
          STR_INIT("ping(p) pong() text(abc)") },
        { "largest control", &plain, STR_INIT("\x89\x7d" X125), STR_INIT("ping(" X125 ")") },
        { "126 bytes", &plain, STR_INIT("\x82\x7e\x00\x7e" X125 "y"), STR_INIT("binary(" X125 "y)") },
        { "close", &plain, STR_INIT("\x88\x00"), STR_INIT("close(1005 )") },
        { "close with code", &plain, STR_INIT("\x88\x02\x03\xe8"), STR_INIT("close(1000 )") },
        { "close with reason", &plain, STR_INIT("\x88\x05\x0f\xa0" "bye"), STR_INIT("close(4000 bye)") },
        { "nothing behind close", &plain, STR_INIT("\x88\x00\x81\x05Hello\xff\xff"), STR_INIT("close(1005 )") },
        { "a character cut in two", &plain, STR_INIT("\x01\x02\xc3\xb6\x00\x01\xc3\x80\x01\xb6"), STR_INIT("text(\xc3\xb6\xc3\xb6)") },
        { "binary is no text", &plain, STR_INIT("\x82\x02\xff\xfe"), STR_INIT("binary(\xff\xfe)") },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check_row(rows[i].name, rows[i].options, rows[i].in, rows[i].wanted);
}

TEST(ws_frames_are_refused)
{
    static const struct {
        const char *name;
        const WsReaderOptions *options;
        Str in, wanted;
    } rows[] = {
        { "unmasked", &masked, STR_INIT("\x81\x05"), STR_INIT("fail(1002)") },
        { "masked by a server", &plain, STR_INIT("\x81\x85"), STR_INIT("fail(1002)") },
        { "RSV1", &plain, STR_INIT("\xc1"), STR_INIT("fail(1002)") },
        { "RSV2", &plain, STR_INIT("\xa1"), STR_INIT("fail(1002)") },
        { "RSV3", &packed, STR_INIT("\x91"), STR_INIT("fail(1002)") },
        { "RSV1 of a continuation", &packed, STR_INIT("\x41\x01\xf2\xc0"), STR_INIT("fail(1002)") },
        { "RSV1 of a ping", &packed, STR_INIT("\xc9"), STR_INIT("fail(1002)") },
        { "opcode 3", &plain, STR_INIT("\x83"), STR_INIT("fail(1002)") },
        { "opcode 7", &plain, STR_INIT("\x87"), STR_INIT("fail(1002)") },
        { "opcode 11", &plain, STR_INIT("\x8b"), STR_INIT("fail(1002)") },
        { "opcode 15", &plain, STR_INIT("\x8f"), STR_INIT("fail(1002)") },
        { "ping of 126", &plain, STR_INIT("\x89\x7e"), STR_INIT("fail(1002)") },
        { "ping in pieces", &plain, STR_INIT("\x09"), STR_INIT("fail(1002)") },
        { "continuation of nothing", &plain, STR_INIT("\x80"), STR_INIT("fail(1002)") },
        { "continuation after the end", &plain, STR_INIT("\x81\x01" "a\x80"), STR_INIT("text(a) fail(1002)") },
        { "text inside of a text", &plain, STR_INIT("\x01\x01" "a\x81"), STR_INIT("fail(1002)") },
        { "binary inside of a text", &plain, STR_INIT("\x01\x01" "a\x02"), STR_INIT("fail(1002)") },
        { "length 5 in two bytes", &plain, STR_INIT("\x82\x7e\x00\x05"), STR_INIT("fail(1002)") },
        { "length 65535 in eight", &plain, STR_INIT("\x82\x7f\0\0\0\0\0\0\xff\xff"), STR_INIT("fail(1002)") },
        { "top bit of a length", &plain, STR_INIT("\x82\x7f\x80\0\0\0\0\0\0\0"), STR_INIT("fail(1002)") },
        { "frame of 2^62", &plain, STR_INIT("\x82\x7f\x40\0\0\0\0\0\0\0"), STR_INIT("fail(1009)") },
        { "too big", &plain, STR_INIT("\x82\x7e\x03\xe9"), STR_INIT("fail(1009)") },
        { "too big in two", &plain, STR_INIT("\x02\x01" "a\x80\x7e\x03\xe8"), STR_INIT("fail(1009)") },
        { "sum of lengths over 64 bits", &plain,
          STR_INIT("\x02\x01" "a\x80\x7f\x7f\xff\xff\xff\xff\xff\xff\xff"), STR_INIT("fail(1009)") },
        { "too many fragments", &plain, STR_INIT("\x02\0\0\0\0\0\0\0\0\0\x80\0"), STR_INIT("fail(1008)") },
        { "no UTF-8", &plain, STR_INIT("\x81\x05" "ab\xff"), STR_INIT("fail(1007)") },
        { "no UTF-8 in the second", &plain, STR_INIT("\x01\x01\xf4\x00\x05\x90"), STR_INIT("fail(1007)") },
        { "half a character", &plain, STR_INIT("\x81\x01\xc3"), STR_INIT("fail(1007)") },
        { "a character over two messages", &plain, STR_INIT("\x81\x01\xc3\x81\x01\xb6"), STR_INIT("fail(1007)") },
        { "compressed no UTF-8", &packed, STR_INIT("\xc1\x0a\x00\x02\x00\xfd\xff\xff\xff\x00"), STR_INIT("fail(1007)") },
        { "damaged", &packed, STR_INIT("\xc1\x01\x06"), STR_INIT("fail(1007)") },
        { "close of one byte", &plain, STR_INIT("\x88\x01"), STR_INIT("fail(1002)") },
        { "reason no UTF-8", &plain, STR_INIT("\x88\x03\x03\xe8\xff"), STR_INIT("fail(1007)") },
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        check_row(rows[i].name, rows[i].options, rows[i].in, rows[i].wanted);
}

TEST(ws_close_codes)
{
    for (unsigned code = 0; code <= UINT16_MAX; code++) {
        bool wanted = (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
                      (code >= 3000 && code < 5000);
        if (ws_code_valid((uint16_t)code) != wanted)
            test_failed(__FILE__, __LINE__, "code %u", code);
    }
    static const uint16_t bad[] = { 0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535 };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char in[] = { (char)0x88, 2, (char)(bad[i] >> 8), (char)bad[i] };
        check_row("code", &plain, str_of(in, sizeof in), STR("fail(1002)"));
    }
}

TEST(ws_bomb_is_refused)
{
    Deflater *deflater AUTO(deflater_free) = NULL;
    Buf zeros AUTO(buf_done), message AUTO(buf_done), frame AUTO(buf_done);
    Err err;
    buf_init(&zeros, 1 << 20);
    buf_init(&message, 1 << 20);
    buf_init(&frame, 1 << 20);
    CHECK_OK(deflater_open(DEFLATE_BITS_MAX, 9, &deflater, &err), &err);
    for (size_t len = MESSAGE_MAX; len <= 1 << 20; len += (1 << 20) - MESSAGE_MAX) {
        buf_clear(&zeros), buf_clear(&message), buf_clear(&frame);
        buf_put_zeros(&zeros, len);
        CHECK_OK(deflater_message(deflater, buf_str(&zeros), false, &message, &err), &err);
        size_t cut = MIN(message.len, (size_t)500); /* the first frame's bytes are enough */
        WsFrame head = { WS_BINARY, cut == message.len, true, NULL };
        ws_frame_put(&frame, &head, str_sub(buf_str(&message), 0, cut));
        WsReader reader;
        WsEvent event;
        ws_reader_init(&reader, &packed);
        Str in = buf_str(&frame);
        CHECK_INT(ws_reader_next(&reader, &in, &event), len == MESSAGE_MAX ? WS_EVENT : WS_FAILED);
        CHECK_INT(reader.fail_code, len == MESSAGE_MAX ? 0 : WS_TOO_BIG);
        CHECK(reader.bytes.cap <= MESSAGE_MAX);
        ws_reader_done(&reader);
    }
}

/* Every length around the borders, with and without a mask, comes back as it went. */
TEST(ws_frames_go_both_ways)
{
    static const size_t lengths[] = { 0, 1, 7, 8, 9, 125, 126, 127, 65535, 65536, 70001 };
    static const uint8_t mask[WS_MASK_LEN] = { 0x12, 0, 0xff, 0x80 };
    for (size_t i = 0; i < ARRAY_LEN(lengths) * 2; i++) {
        Buf bytes AUTO(buf_done), out AUTO(buf_done);
        buf_init(&bytes, 1 << 20);
        buf_init(&out, 1 << 20);
        for (size_t at = 0; at < lengths[i / 2]; at++)
            buf_put_char(&bytes, (char)(at * 7 >> 3));
        WsFrame frame = { WS_BINARY, true, false, i & 1 ? mask : NULL };
        ws_frame_put(&out, &frame, buf_str(&bytes));
        uint8_t head[WS_HEAD_MAX];
        size_t head_len = ws_frame_head(head, &frame, bytes.len);
        CHECK_INT(out.len, head_len + bytes.len);
        WsReaderOptions options = { .message_max = 1 << 20, .fragments_max = 1, .from_client = i & 1 };
        WsReader reader;
        WsEvent event;
        ws_reader_init(&reader, &options);
        for (size_t cut = 0; cut < MIN(out.len, (size_t)40); cut++) {
            Str first = str_sub(buf_str(&out), 0, cut), rest = str_from(buf_str(&out), cut);
            CHECK_INT(ws_reader_next(&reader, &first, &event), WS_MORE);
            CHECK_INT(ws_reader_next(&reader, &rest, &event), WS_EVENT);
            CHECK_STR(event.bytes, buf_str(&bytes));
        }
        ws_reader_done(&reader);
    }
}

TEST(ws_close_frames)
{
    Buf out AUTO(buf_done), reason AUTO(buf_done);
    buf_init(&out, 1000);
    buf_init(&reason, 1000);
    ws_close_put(&out, WS_NO_STATUS, STR("not sent"), NULL);
    CHECK_STR(buf_str(&out), STR("\x88\x00"));
    buf_clear(&out);
    ws_close_put(&out, WS_GOING_AWAY, STR("bye"), NULL);
    CHECK_STR(buf_str(&out), STR("\x88\x05\x03\xe9" "bye"));
    buf_clear(&out);
    for (int i = 0; i < 100; i++)
        buf_put(&reason, STR("\xc3\xb6"));
    ws_close_put(&out, WS_NORMAL, buf_str(&reason), NULL); /* 122 bytes: 61 characters */
    CHECK_INT(out.len, 2 + 2 + 122);
    Buf told AUTO(buf_done);
    buf_init(&told, 1000);
    tell(&plain, buf_str(&out), 1000, &told);
    CHECK(str_starts(buf_str(&told), STR("close(1000 \xc3\xb6")));
}

/* A window that nobody keeps is given back with its message. */
TEST(ws_reader_forgets_windows)
{
    for (int keeps = 0; keeps < 2; keeps++) {
        WsReaderOptions options = packed;
        options.keeps_window = keeps;
        WsReader reader;
        WsEvent event;
        ws_reader_init(&reader, &options);
        Str in = STR("\xc1\x07\xf2\x48\xcd\xc9\xc9\x07\x00");
        CHECK_INT(ws_reader_next(&reader, &in, &event), WS_EVENT);
        CHECK_INT(reader.inflater != NULL, keeps);
        in = STR("\xc1\x05\xf2\x00\x11\x00\x00"); /* refers to it */
        CHECK_INT(ws_reader_next(&reader, &in, &event), keeps ? WS_EVENT : WS_FAILED);
        ws_reader_done(&reader);
    }
}

/* What a reader keeps while nothing is under way. */
TEST(ws_reader_rests_small)
{
    WsReaderOptions options = { .message_max = 1 << 20, .fragments_max = 1 };
    WsReader reader;
    WsEvent event;
    Buf frame AUTO(buf_done), zeros AUTO(buf_done);
    buf_init(&frame, 1 << 20);
    buf_init(&zeros, 1 << 20);
    buf_put_zeros(&zeros, 1 << 19);
    ws_frame_put(&frame, &(WsFrame){ WS_BINARY, true, false, NULL }, buf_str(&zeros));
    ws_reader_init(&reader, &options);
    Str in = buf_str(&frame);
    CHECK_INT(ws_reader_next(&reader, &in, &event), WS_EVENT);
    CHECK_INT(ws_reader_next(&reader, &in, &event), WS_MORE);
    CHECK(reader.bytes.cap <= WS_KEEP_BYTES);
    CHECK(sizeof reader <= 400);
    ws_reader_done(&reader);
}
