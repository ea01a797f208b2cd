/* WebSocket: a reader says the same whole and byte by byte, and what it read can be written and
 * read again. Offers of extensions end, and what is taken is what was asked. The first byte chooses. */
#include "base/buf.h"
#include "front/ws/ws_deflate.h"
#include "front/ws/ws_frame.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum { MESSAGE_MAX = 64 << 10, SAID_MAX = 64 << 20, CHOICE_OFFER = 0x80 };

/* What the reader said, as frames without a mask, and then how it ended. */
static void say(const WsReaderOptions *options, Str in, size_t piece, Buf *said)
{
    WsReader reader;
    ws_reader_init(&reader, options);
    WsStep step = WS_MORE;
    while (in.len > 0 && step != WS_FAILED) {
        Str part = str_sub(in, 0, piece);
        in = str_from(in, part.len);
        WsEvent event;
        while ((step = ws_reader_next(&reader, &part, &event)) == WS_EVENT) {
            ASSERT(event.bytes.len <= MESSAGE_MAX);
            ASSERT(event.opcode != WS_TEXT || str_is_utf8(event.bytes));
            ASSERT(event.opcode < WS_CLOSE || event.bytes.len <= WS_CONTROL_MAX);
            if (event.opcode == WS_CLOSE)
                ws_close_put(said, event.code, event.bytes, NULL);
            else
                ws_frame_put(said, &(WsFrame){ event.opcode, true, false, NULL }, event.bytes);
        }
        ASSERT(step == WS_FAILED || part.len == 0);
    }
    ASSERT((step == WS_FAILED) == (reader.fail_code != 0) && reader.bytes.cap <= MESSAGE_MAX);
    if (step == WS_FAILED) {
        ASSERT(ws_code_valid(reader.fail_code));
        buf_format(said, "failed %u %s", reader.fail_code, reader.fail_text);
    }
    ws_reader_done(&reader);
}

static void fuzz_frames(uint8_t choice, Str in)
{
    WsReaderOptions options = { .message_max = MESSAGE_MAX,
                                .fragments_max = 20,
                                .from_client = choice & 1,
                                .deflate = choice & 2,
                                .keeps_window = choice & 4,
                                .window_bits = INFLATE_BITS_MIN + (choice >> 3) % 8 };
    Buf whole AUTO(buf_done), bytewise AUTO(buf_done), again AUTO(buf_done);
    buf_init(&whole, SAID_MAX);
    buf_init(&bytewise, SAID_MAX);
    buf_init(&again, SAID_MAX);
    say(&options, in, SIZE_MAX, &whole);
    say(&options, in, 1, &bytewise);
    /* zlib sees a distance beyond a smaller window only where a piece begins */
    bool exact = !options.deflate || options.window_bits == DEFLATE_BITS_MAX;
    ASSERT(!exact || str_eq(buf_str(&whole), buf_str(&bytewise)));
    ptrdiff_t end = str_find(buf_str(&whole), STR("failed "));
    if (end < 0) {
        WsReaderOptions plain = { .message_max = MESSAGE_MAX, .fragments_max = 1 };
        say(&plain, buf_str(&whole), 1000, &again);
        ASSERT(str_eq(buf_str(&again), buf_str(&whole)));
    }
}

static void fuzz_offer(uint8_t choice, Str in)
{
    WsDeflate most = { 9 + (choice & 7) % 7, 9 + (choice >> 3 & 7) % 7, choice & 1, choice & 8 };
    WsDeflate taken, confirmed;
    Buf answer AUTO(buf_done), again AUTO(buf_done);
    buf_init(&answer, 1000);
    buf_init(&again, 1000);
    if (ws_offer_take(in, &most, &taken, &answer) != WS_OFFER_TAKEN) {
        ASSERT(answer.len == 0);
        return;
    }
    ASSERT(taken.server_bits >= DEFLATE_BITS_MIN && taken.server_bits <= most.server_bits);
    ASSERT(taken.client_bits >= INFLATE_BITS_MIN && taken.client_bits <= DEFLATE_BITS_MAX);
    ASSERT(!answer.over && str_starts(buf_str(&answer), STR("permessage-deflate")));
    /* the answer is itself an offer, and is met as it stands */
    ASSERT(ws_offer_take(buf_str(&answer), &most, &confirmed, &again) == WS_OFFER_TAKEN);
    ASSERT(str_eq(buf_str(&again), buf_str(&answer)));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    if (len == 0)
        return 0;
    if (bytes[0] & CHOICE_OFFER)
        fuzz_offer(bytes[0] & 0x7F, str_of(bytes + 1, len - 1));
    else
        fuzz_frames(bytes[0], str_of(bytes + 1, len - 1));
    return 0;
}
